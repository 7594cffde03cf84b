"""What a trained network says about every second of the examples, read as a detector reads a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from restcli.detect.timeline import nan_median
from restcli.nn.baselines import band_powers
from restcli.nn.network import Lanes, Network, mean_over_nodes, scan, shares
from restcli.signal.features import REFERENCE_RATE, FeatureConfig, log_features, rms_of_logs
from restcli.train.store import UNKNOWN, Float32Array, Labels, Stretch

_LANES = 48  # stretches that are read side by side


@dataclass(frozen=True, eq=False)
class Trace:
    """What a network says about one stretch, second by second."""

    logit: Float32Array  # (T,), mean over the good nodes, at the second judged; NaN where there is none
    amplitude: Float32Array  # (T,), median RMS over the good nodes, µV; NaN where no node is good
    types: Float32Array | None  # (T, C), probability of each type
    labels: Labels  # (T,); UNKNOWN where too few nodes are good
    marks: NDArray[np.bool_]  # (T,), whether the expert marked a seizure, scored or not
    bands: NDArray[np.float64]  # (T, 10), `band_powers`; NaN where no node is good
    passes: Float32Array | None = None  # (T, K), as `logit`, of each masked pass


@dataclass(frozen=True, eq=False)
class TraceReader:
    """A trained network with what its weights file says about its use."""

    network: Network
    features: FeatureConfig
    fire_rate: float  # of the random mask
    look_ahead: int = 3  # s
    min_nodes: int = 8  # fewer good nodes give no score

    def states(self, stretches: Sequence[Stretch]) -> Iterator[Float32Array]:
        """Yield the mean state over the present nodes after each second of each stretch, (T, H)."""
        hidden = self.network.hidden
        plain = replace(
            self.network, readout=np.eye(hidden, dtype=np.float32), readout_bias=np.zeros(hidden, dtype=np.float32)
        )
        for some in _batches(stretches):
            states = scan(plain, self._lanes(some))
            for number, stretch in enumerate(some):
                present = stretch.present.astype(np.float32)[..., None]
                yield mean_over_nodes(states[: stretch.seconds, :, number], present, 1)

    def traces(self, stretches: Sequence[Stretch], *, n_passes: int = 0) -> tuple[Trace, ...]:
        """Read stretches as a detector does: the state carried along without mask, and masked passes beside."""
        found = []
        for some in _batches(stretches):
            lanes = self._lanes(some)
            logits = scan(self.network, lanes)
            passes = [
                scan(self.network, replace(lanes, gate=_gates(k, lanes.present.shape, self.fire_rate)))[..., 0]
                for k in range(n_passes)
            ]
            for number, stretch in enumerate(some):
                part = slice(0, stretch.seconds)
                found.append(self._trace(stretch, logits[part, :, number], [p[part, :, number] for p in passes]))
        return tuple(found)

    def _lanes(self, stretches: Sequence[Stretch]) -> Lanes:
        """Put stretches side by side, each from its first second."""
        shape = (max(stretch.seconds for stretch in stretches), len(self.network.adjacency), len(stretches))
        projected = np.zeros((*shape, self.network.hidden), dtype=np.float32)
        present = np.ones(shape, dtype=np.float32)
        for number, stretch in enumerate(stretches):
            here = np.asarray(stretch.present, dtype=np.float32)
            logs = _logs(stretch, self.features)
            features = log_features(logs, rms_of_logs(logs, self.features), stretch.relative, self.features)
            projected[: stretch.seconds, :, number] = self.network.project(features * here[..., None])
            present[: stretch.seconds, :, number] = here
        return Lanes(projected, present, np.zeros(len(stretches), dtype=np.intp))

    def _trace(self, stretch: Stretch, logits: Float32Array, passes: Sequence[Float32Array]) -> Trace:
        present = stretch.present.astype(np.float32)
        usable = stretch.present.sum(axis=1) >= self.min_nodes

        def judged(values: Float32Array) -> Float32Array:
            mean = np.where(usable, mean_over_nodes(values, present, 1), np.nan).astype(np.float32)
            return np.where(usable, _shifted(mean, self.look_ahead), np.nan).astype(np.float32)

        types = None
        if logits.shape[-1] > 1:
            types = _shifted(shares(mean_over_nodes(logits[..., 1:], present[..., None], 1)), self.look_ahead)
        return Trace(
            logit=judged(logits[..., 0]),
            amplitude=nan_median(
                np.where(present > 0, rms_of_logs(_logs(stretch, self.features), self.features), np.nan)
            ),
            types=types,
            labels=np.where(usable, stretch.labels, UNKNOWN).astype(np.int8),
            marks=stretch.ictal,
            bands=stretch_bands(stretch),
            passes=np.stack([judged(values) for values in passes], axis=1) if passes else None,
        )


def _batches(stretches: Sequence[Stretch]) -> Iterator[Sequence[Stretch]]:
    for first in range(0, len(stretches), _LANES):
        yield stretches[first : first + _LANES]


def _logs(stretch: Stretch, features: FeatureConfig) -> Float32Array:
    return np.asarray(stretch.spectra[..., : features.range[1] + 1], dtype=np.float32)


def _gates(k: int, shape: tuple[int, ...], rate: float) -> Float32Array:
    return (np.random.default_rng(k).random(shape, dtype=np.float32) <= rate).astype(np.float32) / np.float32(rate)


def _shifted(values: Float32Array, ahead: int) -> Float32Array:
    """Move readouts to the seconds that they judge; the last ones have none."""
    moved = np.full_like(values, np.nan)
    moved[: max(0, len(values) - ahead)] = values[ahead:]
    return moved


def stretch_bands(stretch: Stretch) -> NDArray[np.float64]:
    """Return the band powers of one stretch as a detector sees them, (T, 10); NaN where no node is good."""
    present = stretch.present.astype(np.float32)
    logs = np.asarray(stretch.spectra, dtype=np.float32)  # of |rFFT|, 0 where a node is absent
    count = present.sum(axis=1, keepdims=True)
    mean = np.where(count > 0, (logs * present[..., None]).sum(axis=1) / np.maximum(count, 1), np.nan)
    return band_powers(2 * (mean - np.log(REFERENCE_RATE / 2)) / np.log(10))
