"""Reference values that travel with weights: this version must compute what the weights were trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restcli.errors import WeightsError
from restcli.nn.network import Network, Recurrence
from restcli.nn.weights import Weights
from restcli.signal.features import REFERENCE_RATE
from restcli.signal.usual import first_inputs

GOLDEN_TOLERANCE = 1e-3
_SECONDS = 20


def golden_signal(n_nodes: int) -> NDArray[np.float32]:
    """Make the fixed test signal: a different chirp with a 3-Hz train at each node, µV, shape (N, n)."""
    clock = np.arange(_SECONDS * REFERENCE_RATE) / REFERENCE_RATE
    node = np.arange(n_nodes)[:, None]
    chirp = 20.0 * np.sin(2 * np.pi * (2.0 + 0.3 * node + 0.4 * clock) * clock)
    train = 30.0 * np.maximum(np.sin(2 * np.pi * 3.0 * clock + node), 0.0) ** 4 * (clock > _SECONDS / 2)
    ripple = 3.0 * np.sin(2 * np.pi * (17.3 + node) * clock + node)
    return np.asarray(chirp + train + ripple, dtype=np.float32)


def golden_logits(weights: Weights) -> tuple[float, ...]:
    """Compute the mean logit after each of the last 8 seconds of the test signal."""
    network = Network.of(weights)
    signal = golden_signal(len(weights.nodes))
    seconds = signal.reshape(len(signal), -1, REFERENCE_RATE).swapaxes(0, 1)
    features = first_inputs(seconds, np.ones(seconds.shape[:2], dtype=bool), weights.features)
    recurrence, logits = Recurrence(network), []
    for t, projected in enumerate(network.project(features)):
        recurrence.advance(projected[:, None], begins=slice(None) if t == 0 else None)
        logits.append(float(recurrence.read_out()[..., 0].mean()))
    return tuple(logits[-8:])


def check_golden(weights: Weights) -> None:
    """Refuse weights whose stored reference values are not reproduced by this version."""
    if not weights.golden:
        return
    found = golden_logits(weights)
    if not np.allclose(found, weights.golden, atol=GOLDEN_TOLERANCE):
        raise WeightsError(
            weights.name,
            f"this version computes other values ({found[0]:.4f} on the test signal) than the one that trained them",
            f"{weights.golden[0]:.4f}",
            "Install the version of restcli that made them, or train them again",
        )
