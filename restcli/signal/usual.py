"""The usual amplitude of each node, known from the past alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restcli.signal.features import RELATIVE_RANGE, Float32Array

# Mean log magnitude of simulated background, at which a recording begins, and how far a second moves the usual
# amplitude towards its own: down quickly, up slowly, so that a long seizure does not become usual.
PRIOR = 4.9
RISE, FALL = 1 / 240, 1 / 60


class UsualAmplitude:
    """A running mean of the log amplitude of each node, which follows quiet seconds faster than loud ones."""

    def __init__(self, n_nodes: int) -> None:
        self.usual = np.full(n_nodes, PRIOR, dtype=np.float32)

    def advance(self, amplitude: Float32Array, good: NDArray[np.bool_]) -> Float32Array:
        """Take the log amplitudes of the next seconds, (T, N); return those relative to the seconds before each."""
        relative = np.zeros(amplitude.shape, dtype=np.float32)
        usual, rise, fall = self.usual, np.float32(RISE), np.float32(FALL)
        steps = np.where(good, np.nan_to_num(amplitude), np.nan)
        for t, row in enumerate(steps):
            distance = row - usual
            relative[t] = distance
            distance *= np.where(distance > 0, rise, fall)
            usual = usual + np.nan_to_num(distance, copy=False)
        self.usual = usual
        return np.clip(np.nan_to_num(relative, copy=False), *RELATIVE_RANGE)
