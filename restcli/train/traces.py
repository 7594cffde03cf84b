"""What a trained network says about every second of the examples, read as a detector reads a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restcli.nn.baselines import band_powers
from restcli.nn.readout import mean_over_nodes
from restcli.nn.rest import Rest
from restcli.nn.windows import Inputs, Windows, run_windows
from restcli.signal.features import FeatureConfig, log_features, rms
from restcli.train.store import SFREQ, UNKNOWN, Examples, Float32Array, Labels, Stretch

_WINDOWS_AT_ONCE = 512


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
class Reader:
    """A trained network with what its weights file says about its use."""

    network: Rest
    adjacency: Tensor  # (N, N)
    features: FeatureConfig
    window: int = 14  # s
    look_ahead: int = 3  # s
    min_nodes: int = 8  # fewer good nodes give no score

    def _inputs(self, stretch: Stretch) -> tuple[Float32Array, Tensor, Inputs]:
        """Return log spectra, good nodes, (N, T), and what the network takes of them."""
        logs = np.asarray(stretch.spectra[..., : self.features.range[1] + 1], dtype=np.float32)
        present = torch.from_numpy(stretch.present.astype(np.float32)).to(self.adjacency.device).T
        x = torch.from_numpy(log_features(logs, self.features)).to(self.adjacency.device)
        return logs, present, Inputs(self.network.l1(x * present.T[..., None]).transpose(0, 1).contiguous(), present)

    @torch.no_grad()
    def states(self, stretch: Stretch) -> Tensor:
        """Return the mean state over the good nodes after each second, (T, H)."""
        _, present, inputs = self._inputs(stretch)
        state = run_windows(self.network, inputs, self.adjacency, Windows(range(stretch.seconds), self.window))
        return mean_over_nodes(state, present[..., None], 0)

    @torch.no_grad()
    def trace(self, stretch: Stretch, *, n_passes: int = 0) -> Trace:
        """Read one stretch: windows that end at each second, without mask, and masked passes beside."""
        logs, present, inputs = self._inputs(stretch)
        usable = stretch.present.sum(axis=1) >= self.min_nodes
        logit, types = self._read_out(inputs, present)
        passes = [
            self._judged(self._read_out(replace(inputs, gate=gate), present)[0], usable)
            for gate in gates(self.network, inputs.projected, n_passes)
        ]
        return Trace(
            logit=self._judged(logit, usable),
            amplitude=median_amplitude(logs, stretch.present, self.features),
            types=None if types is None else _shifted(types, self.look_ahead),
            labels=np.where(usable, stretch.labels, UNKNOWN).astype(np.int8),
            marks=stretch.ictal,
            bands=stretch_bands(stretch),
            passes=np.stack(passes, axis=1) if passes else None,
        )

    def traces(self, examples: Examples, *, n_passes: int = 0) -> tuple[Trace, ...]:
        """Read every stretch."""
        return tuple(self.trace(stretch, n_passes=n_passes) for stretch in examples.stretches)

    def _read_out(self, inputs: Inputs, present: Tensor) -> tuple[Float32Array, Float32Array | None]:
        """Return the mean logit, (T,), and the probability of each type, (T, C), at the second read out."""
        logits, types = [], []
        n_seconds = inputs.projected.shape[1]
        for begin in range(0, n_seconds, _WINDOWS_AT_ONCE):
            last = range(begin, min(begin + _WINDOWS_AT_ONCE, n_seconds))
            state = run_windows(self.network, inputs, self.adjacency, Windows(last, self.window))
            here = present[:, last.start : last.stop]
            logits.append(mean_over_nodes(self.network.fc(state)[..., 0], here, 0))
            if self.network.fc_type is not None:
                mean = mean_over_nodes(self.network.fc_type(state), here[..., None], 0)
                types.append(torch.softmax(mean, dim=-1))
        return torch.cat(logits).cpu().numpy(), torch.cat(types).cpu().numpy() if types else None

    def _judged(self, logit: Float32Array, usable: NDArray[np.bool_]) -> Float32Array:
        moved = _shifted(np.where(usable, logit, np.nan).astype(np.float32), self.look_ahead)
        return np.where(usable, moved, np.nan).astype(np.float32)


def gates(network: Rest, projected: Tensor, n_passes: int) -> Iterator[Tensor]:
    """Yield the masks of masked passes, (N, T), which depend on the number of the pass alone."""
    n_nodes, n_seconds, _ = projected.shape
    rate = network.config.fire_rate
    for k in range(n_passes):
        drawn = np.random.default_rng(k).random((n_nodes, n_seconds), dtype=np.float32) <= rate
        yield torch.from_numpy((drawn / rate).astype(np.float32)).to(projected.device)


def _shifted(values: Float32Array, ahead: int) -> Float32Array:
    """Move readouts to the seconds that they judge; the last ones have none."""
    moved = np.full_like(values, np.nan)
    moved[: max(0, len(values) - ahead)] = values[ahead:]
    return moved


def median_amplitude(logs: Float32Array, present: NDArray[np.uint8], features: FeatureConfig) -> Float32Array:
    """Return the median RMS over the good nodes, µV, (T,); NaN where no node is good."""
    amplitude = np.where(present > 0, rms(np.exp(logs), features), np.nan)
    result = np.full(len(logs), np.nan, dtype=np.float32)
    known = (present > 0).any(axis=1)
    result[known] = np.nanmedian(amplitude[known], axis=1)
    return result


def stretch_bands(stretch: Stretch) -> NDArray[np.float64]:
    """Return the band powers of one stretch as a detector sees them, (T, 10); NaN where no node is good."""
    present = stretch.present.astype(np.float32)
    logs = np.asarray(stretch.spectra, dtype=np.float32)  # of |rFFT|, 0 where a node is absent
    count = present.sum(axis=1, keepdims=True)
    mean = np.where(count > 0, (logs * present[..., None]).sum(axis=1) / np.maximum(count, 1), np.nan)
    return band_powers(2 * (mean - np.log(SFREQ / 2)) / np.log(10))
