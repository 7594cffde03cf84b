"""The usual amplitude of each node, as the past shows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restcli.signal.features import (
    RELATIVE_RANGE,
    FeatureConfig,
    Float32Array,
    log_features,
    log_magnitude,
    mean_log,
    rms,
    spectra,
)

# Mean log magnitude at which a recording begins: the median of simulated background.
PRIOR = 5.06
# A second moves the usual amplitude by its distance over these numbers of seconds: up slowly and at most by so much,
# down faster, so that a long seizure does not become usual. Early on, when little is known, both are shorter.
RISE, FIRST_RISE, LARGEST_RISE = 120.0, 20.0, 0.3
FALL, FIRST_FALL = 60.0, 10.0
STRIDE = 8  # seconds whose steps are taken together


class UsualAmplitude:
    """A running level of the log amplitude of each node, which follows quiet seconds faster than loud ones."""

    def __init__(self, n_nodes: int) -> None:
        self.level = np.full(n_nodes, PRIOR, dtype=np.float32)
        self.n_seconds = np.zeros(n_nodes, dtype=np.float32)  # good ones so far
        self._step, self._seen = np.zeros_like(self.level), np.zeros_like(self.level)
        self._steps, self._known = np.empty((STRIDE + 1, n_nodes), dtype=np.float32), False
        self.settle()

    def advance(self, amplitude: Float32Array, good: NDArray[np.bool_]) -> Float32Array:
        """Take the log amplitudes of the next seconds, (T, N); return those relative to the level before each.

        Seconds that are not good are 0, and do not move the level.
        """
        relative = np.where(good, amplitude, np.float32(0))
        start = 0
        while start < len(relative):
            stop = min(len(relative), start + STRIDE - self._held)
            part, here = relative[start:stop], good[start:stop]
            part -= self.level
            part *= here
            self._steps[0] = self._step
            steps = self._steps[: stop - start + 1]
            np.minimum(part, np.float32(LARGEST_RISE), out=steps[1:])
            steps[1:] *= np.where(part > 0, self._rise, self._fall)
            # One after the other, so that it does not matter where a block cuts a stride.
            self._step = np.add.accumulate(steps, axis=0)[-1]
            if not self._known:
                self._seen += here.sum(axis=0)
            self._held += stop - start
            if self._held == STRIDE:
                self.settle()
            start = stop
        return np.clip(relative, *RELATIVE_RANGE, out=relative)

    def settle(self) -> None:
        """Take the steps that wait, at the end of a stretch."""
        self.level += self._step
        self._step, self._held = np.zeros_like(self.level), 0
        if not self._known:
            self.n_seconds = np.minimum(self.n_seconds + self._seen, np.float32(RISE))
            self._rise = 1 / np.minimum(self.n_seconds + np.float32(FIRST_RISE), np.float32(RISE))
            self._fall = 1 / np.minimum(self.n_seconds + np.float32(FIRST_FALL), np.float32(FALL))
            self._seen[:], self._known = 0, bool((self.n_seconds == RISE).all())


def first_inputs(seconds: Float32Array, present: NDArray[np.bool_], config: FeatureConfig) -> Float32Array:
    """Return the network's inputs, (T, N, F), for the first seconds of signals, (T, N, n) in µV."""
    power = spectra(seconds)
    logs = log_magnitude(power, config)
    relative = UsualAmplitude(seconds.shape[1]).advance(mean_log(logs), present)
    return log_features(logs, rms(power, config), relative, config)
