"""Reference values that travel with weights: this version must compute what the weights were trained on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from restcli.errors import WeightsError
from restcli.nn.rest import build_network
from restcli.nn.weights import Weights
from restcli.signal.features import magnitudes, spectra
from restcli.signal.montage import electrode_graph

GOLDEN_TOLERANCE = 1e-3


def golden_signal(n_nodes: int, sfreq: float, n_seconds: int = 20) -> NDArray[np.float32]:
    """Make the fixed test signal: a different chirp with a 3-Hz train at each node, µV, shape (N, n)."""
    clock = np.arange(int(n_seconds * sfreq)) / sfreq
    node = np.arange(n_nodes)[:, None]
    chirp = 20.0 * np.sin(2 * np.pi * (2.0 + 0.3 * node + 0.4 * clock) * clock)
    train = 30.0 * np.maximum(np.sin(2 * np.pi * 3.0 * clock + node), 0.0) ** 4 * (clock > n_seconds / 2)
    ripple = 3.0 * np.sin(2 * np.pi * (17.3 + node) * clock + node)
    return np.asarray(chirp + train + ripple, dtype=np.float32)


def golden_logits(weights: Weights) -> tuple[float, ...]:
    """Compute the mean logit after each of the last 8 seconds of the test signal."""
    network, sfreq = build_network(weights), weights.features.sfreq
    magnitude = magnitudes(golden_signal(len(weights.nodes), sfreq), sfreq)
    x = torch.from_numpy(spectra(magnitude, weights.features))
    adjacency = torch.from_numpy(electrode_graph(weights.nodes).adjacency)
    logits, _ = network(x[None], adjacency, masked=False)
    return tuple(float(value) for value in logits[0, -8:].mean(dim=-1))


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
