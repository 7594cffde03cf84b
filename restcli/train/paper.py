"""The protocol of the paper on TUSZ as downloaded, and its table of AUROC by length of windows.

Afzal, Chrysos, Cevher, Shoaran, *REST: Efficient and Accelerated EEG Seizure Analysis through Residual State Updates*,
ICML 2024; what the paper leaves open follows its published code (github.com/arshiaafzal/REST).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restcli.errors import UsageError
from restcli.evaluation.measures import auroc
from restcli.files import check_free, make_folder, write_atomically
from restcli.nn.config import RestConfig
from restcli.nn.network import mean_over_nodes
from restcli.signal.features import FeatureConfig, log_features, rms_of_logs
from restcli.signal.montage import ELECTRODES_19
from restcli.text import markdown_table
from restcli.train.loop import adjacency_of, build_network, one_thread
from restcli.train.sampler import padded
from restcli.train.settings import TrainSettings
from restcli.train.sources import TrainProgress, build_examples, find_tasks
from restcli.train.store import UNKNOWN, Examples, Stretch

LENGTHS = (4, 6, 8, 10, 12, 14)  # s
# AUROC in percent by length, from the authors' page of the paper, arshiaafzal.github.io/REST.
PUBLISHED = {
    "DS": (75.3, 67.0, 72.2, 74.1, 70.6, 70.0),
    "RS": (79.4, 81.1, 81.0, 81.8, 80.1, 78.1),
    "RM": (82.4, 82.2, 82.7, 83.6, 83.4, 82.0),
}
EPOCHS = 100
_BATCH, _RATE = 1024, 5e-4
_INPUT = FeatureConfig(bands=((0, 99),), amplitude=False, relative=False)
_NOTES = """
AUROC of windows in percent, one training run each. *Paper*: Afzal et al., ICML 2024, from arshiaafzal.github.io/REST,
which does not name the release of TUSZ.

Windows do not overlap. A window is positive if it overlaps a seizure; negative windows come from recordings without any
seizure, for training as many as there are positive ones. Adam, learning rate 5e-4, {epochs} epochs, batches of 1024,
squared error of the sigmoid of the mean over 19 electrodes after the last second. As in the published code, the random
mask stays on during evaluation; here it is seeded. Trained on the patients of train, evaluated on those of {judge}.

Differences from the paper: electrodes are referenced to their average (there as recorded); recordings are read and
checked by restcli's rules (missing or unusable electrodes leave the graph; spectra at the recording's own rate;
magnitudes below 1e-3 count as 1e-3); windows start again after a gap.
"""


@dataclass(frozen=True)
class Windows:
    """Windows of one length that begin at every multiple of it."""

    places: tuple[tuple[Stretch, int], ...]  # with the first second
    positive: NDArray[np.bool_]
    length: int

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs (B, T, N, F), presence (B, T, N) and targets (B,) of some windows."""
        chunks = [(stretch, slice(start, start + self.length)) for stretch, start in (self.places[row] for row in rows)]
        spectra, present, relative, _ = padded(chunks, self.length, _INPUT.range[1] + 1)
        x = log_features(spectra, rms_of_logs(spectra, _INPUT), relative, _INPUT)
        target = self.positive[rows].astype(np.float32)
        return torch.from_numpy(x), torch.from_numpy(present), torch.from_numpy(target)

    def balanced(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return all positive windows and as many negative ones, drawn once."""
        positive, negative = np.flatnonzero(self.positive), np.flatnonzero(~self.positive)
        return np.concatenate([positive, rng.choice(negative, min(len(positive), len(negative)), replace=False)])


def windows_of(examples: Examples, length: int) -> Windows:
    """Cut examples into windows; those without a seizure come only from recordings without any."""
    with_seizure = {example.task.key for example in examples.items if example.stretch.ictal.any()}
    places, positive = [], []
    for example in examples.items:
        stretch = example.stretch
        for start in range(0, stretch.seconds - length + 1, length):
            part = slice(start, start + length)
            is_ictal = bool(stretch.ictal[part].any())
            unclear = (stretch.labels[part] == UNKNOWN).any() or not stretch.present[start + length - 1].any()
            if unclear or (not is_ictal and example.task.key in with_seizure):
                continue
            places.append((stretch, start))
            positive.append(is_ictal)
    found = Windows(tuple(places), np.array(positive, dtype=bool), length)
    if not found.positive.any() or found.positive.all():
        missing = "without a seizure, from recordings without any" if found.positive.any() else "with a seizure"
        raise UsageError("DATA", f"there is no window of {length} s {missing}", "both kinds on both sides")
    return found


def reproduce(
    data: Sequence[str], out: Path, settings: TrainSettings, *, on_progress: TrainProgress | None = None
) -> Path:
    """Train the three variants on windows of each length; write the table beside the paper's figures, OUT/paper.md.

    Of the settings, seed, device, workers, cache and overwrite count. The official evaluation set judges (before
    version 2 of TUSZ, the set for development).
    """
    base = TrainSettings(
        features=_INPUT, nodes=ELECTRODES_19, seed=settings.seed, device=settings.device, workers=settings.workers
    )
    check_free([out / "paper.md"], overwrite=settings.overwrite)
    store = settings.cache or make_folder(out) / "cache"
    examples = build_examples(find_tasks(data, base), base, store, on_progress=on_progress)
    judge, (train, test) = _sides(examples)
    reached: dict[str, list[float]] = {variant: [] for variant in PUBLISHED}
    n_all = len(LENGTHS) * len(PUBLISHED)
    for length in LENGTHS:
        windows = windows_of(train, length), windows_of(test, length)
        for variant, column in reached.items():
            config = RestConfig(_INPUT.n_features, variant=variant, mask_per="entry", rescale=False)
            column.append(100 * _trial(*windows, replace(base, config=config)))
            if on_progress is not None:
                on_progress(sum(map(len, reached.values())), n_all, {"auroc": column[-1] / 100})
    note = _NOTES.format(epochs=EPOCHS, judge=judge)
    return write_atomically(out / "paper.md", f"{table_text(reached)}\n{note}")


def table_text(reached: Mapping[str, Sequence[float]]) -> str:
    """Return the table: a row for each variant, and below it the paper's."""
    rows = []
    for variant, figures in reached.items():
        rows.append([f"REST ({variant})", *(f"{figure:.1f}" for figure in figures)])
        rows.append(["paper", *(f"{figure:.1f}" for figure in PUBLISHED[variant])])
    return markdown_table(["", *(f"{length} s" for length in LENGTHS)], rows)


def _sides(examples: Examples) -> tuple[str, tuple[Examples, Examples]]:
    """Return the name of the set that judges, and the examples to train on and to judge by."""
    present = {example.task.split for example in examples.items}
    judge = "eval" if "eval" in present else "dev"
    train, test = (examples.subset(lambda task, side=side: task.split == side) for side in ("train", judge))  # type: ignore[misc]
    if not train.items or not test.items:
        raise UsageError("DATA", f"has no {'train' if test.items else 'eval or dev'} folder", "TUSZ as downloaded")
    both = {example.task.patient for example in train.items} & {example.task.patient for example in test.items}
    if both:
        raise UsageError("DATA", f"{len(both)} patients are in both train and {judge}", "each patient in one")
    return judge, (train, test)


def _trial(train: Windows, test: Windows, settings: TrainSettings) -> float:
    """Train one network and return its AUROC on windows of other patients."""
    rng = np.random.default_rng(settings.seed)
    rows = train.balanced(rng)
    generator = torch.Generator(device=settings.device).manual_seed(settings.seed)
    with one_thread():
        network, adjacency = build_network(settings).to(settings.device), adjacency_of(settings)
        optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)

        def run(windows: Windows, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            """Return logits after the last second, under the random mask, and targets."""
            x, present, target = (each.to(settings.device) for each in windows.batch(rows))
            by_node, _ = network(x, adjacency, present=present, masked=True, generator=generator)
            return mean_over_nodes(by_node[:, -1], present[:, -1], -1), target

        for _ in range(EPOCHS):
            for part in _batches(rng.permutation(rows)):
                logits, target = run(train, part)
                loss = ((torch.sigmoid(logits) - target) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        with torch.no_grad():
            scores = [run(test, part)[0].cpu().numpy() for part in _batches(np.arange(len(test.positive)))]
    return auroc(np.concatenate(scores), test.positive)


def _batches(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.array_split(rows, max(1, math.ceil(len(rows) / _BATCH)))
