"""Batches of augmented chunks, which depend only on the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restcli.signal.features import log_features, rms_of_logs
from restcli.signal.montage import opposite
from restcli.train.settings import TrainSettings
from restcli.train.store import SEIZURE, TYPES, UNKNOWN, Examples, Float32Array, Stretch

# Stretches with a generalised seizure other than a tonic-clonic one are drawn four times as often as those with others:
# few recordings have them, and the seizures that score closest to the background gain, see docs/training-log.md.
_GENERALISED = SEIZURE + 1 + np.array([TYPES.index("sz_gen"), TYPES.index("sz_gen_nm_typical")])
_OFTEN = 4
_FROM_SEIZURE = 0.6  # of the chunks come from stretches with a seizure
_ON_ICTAL = 0.75  # of those contain an ictal second chosen first
_MOST_DROPPED = 3  # nodes


@dataclass(frozen=True, eq=False)
class Batch:
    """Chunks ready for the network."""

    x: Tensor  # (B, T, N, F)
    present: Tensor  # (B, T, N), 1 where a node takes part
    labels: Tensor  # (B, T), int64, of the seconds themselves, not shifted

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(self.x.to(device), self.present.to(device), self.labels.to(device))


class Sampler:
    """Draws batches from the training side."""

    def __init__(self, examples: Examples, settings: TrainSettings) -> None:
        self.stretches, self.settings = examples.stretches, settings
        with_seizure = np.array([stretch.ictal.any() for stretch in self.stretches])
        weight = np.array([stretch.seconds for stretch in self.stretches], dtype=np.float64)
        often = np.array([np.isin(stretch.labels, _GENERALISED).any() for stretch in self.stretches])
        self._ictal = np.repeat(np.arange(len(with_seizure)), np.where(often, _OFTEN, with_seizure))
        self._quiet = np.flatnonzero(~with_seizure) if not with_seizure.all() else np.arange(len(with_seizure))
        self._quiet_weight = weight[self._quiet] / weight[self._quiet].sum()
        self._mirror = mirror_order(settings.nodes)

    def batch(self, step: int) -> Batch:
        """Return the batch of one step."""
        settings = self.settings
        rng = np.random.default_rng([settings.seed, step])
        places = [self._place(rng) for _ in range(settings.batch)]
        chunks = [(self.stretches[index], slice(start, start + settings.chunk)) for index, start in places]
        spectra, present, relative, labels = padded(chunks, settings.chunk, settings.features.range[1] + 1)
        self._augment(spectra, present, relative, rng)
        x = log_features(spectra, rms_of_logs(spectra, settings.features), relative, settings.features)
        return Batch(torch.from_numpy(x), torch.from_numpy(present), torch.from_numpy(labels))

    def _place(self, rng: np.random.Generator) -> tuple[int, int]:
        """Choose a stretch and the second that its chunk starts at."""
        chunk = self.settings.chunk
        if rng.random() < _FROM_SEIZURE:
            index = int(rng.choice(self._ictal))
            last = max(0, self.stretches[index].seconds - chunk)
            if rng.random() < _ON_ICTAL:
                second = int(rng.choice(np.flatnonzero(self.stretches[index].ictal)))
                return index, int(np.clip(second - rng.integers(chunk), 0, last))
        else:
            index = int(rng.choice(self._quiet, p=self._quiet_weight))
            last = max(0, self.stretches[index].seconds - chunk)
        return index, int(rng.integers(last + 1))

    def _augment(
        self, spectra: Float32Array, present: Float32Array, relative: Float32Array, rng: np.random.Generator
    ) -> None:
        """Change chunks at random, in place; a gain is a sum on log magnitudes."""
        how = self.settings.augmentation
        size, _, n_nodes, _ = spectra.shape
        spectra += rng.normal(0, how.gain, (size, 1, 1, 1)).astype(np.float32)
        for row in range(size):
            if rng.random() < how.mirror:
                spectra[row] = spectra[row][:, self._mirror]
                present[row] = present[row][:, self._mirror]
                relative[row] = relative[row][:, self._mirror]
            if rng.random() < how.drop:
                n_dropped = int(rng.integers(1, _MOST_DROPPED + 1))
                present[row][:, rng.choice(n_nodes, min(n_dropped, n_nodes - 1), replace=False)] = 0


def padded(
    chunks: Sequence[tuple[Stretch, slice]], length: int, n_bins: int
) -> tuple[Float32Array, Float32Array, Float32Array, NDArray[np.int64]]:
    """Return spectra, presence, relative amplitudes and labels of parts of stretches, padded to `length` seconds."""
    n_nodes = chunks[0][0].present.shape[1]
    spectra = np.zeros((len(chunks), length, n_nodes, n_bins), dtype=np.float32)
    present = np.zeros((len(chunks), length, n_nodes), dtype=np.float32)
    relative = np.zeros((len(chunks), length, n_nodes), dtype=np.float32)
    labels = np.full((len(chunks), length), UNKNOWN, dtype=np.int64)
    for row, (stretch, part) in enumerate(chunks):
        n = len(stretch.labels[part])
        spectra[row, :n] = stretch.spectra[part, :, :n_bins]
        present[row, :n] = stretch.present[part]
        relative[row, :n] = stretch.relative[part]
        labels[row, :n] = stretch.labels[part]
    return spectra, present, relative, labels


def mirror_order(nodes: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of nodes that swaps left and right.

    >>> mirror_order(("FP1-F3", "FZ-CZ", "FP2-F4")).tolist()
    [2, 1, 0]
    """
    return np.array([nodes.index(other if (other := opposite(node)) in nodes else node) for node in nodes])
