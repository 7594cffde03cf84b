"""From data to a weights file with its log, curves and card."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from restcli.errors import OutputError, UsageError
from restcli.files import make_folder, write_atomically
from restcli.nn.golden import golden_logits
from restcli.nn.rest import Rest
from restcli.nn.weights import FINGERPRINT, Weights, load_weights, save_weights
from restcli.train.assembly import finish, reader_of
from restcli.train.card import card_text
from restcli.train.loop import Row, build_network, checkpoint_path, fit, one_thread
from restcli.train.settings import TrainSettings, adopt
from restcli.train.sources import Progress, build_examples, find_tasks, ward_tasks
from restcli.train.split import check_split, split_examples
from restcli.train.store import Examples, Task
from restcli.train.types import fit_types
from restcli.train.validation import fit_baseline


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training left behind."""

    weights: Weights  # as saved
    path: Path
    log: Path
    card: Path
    curves: Path
    rows: tuple[Row, ...]  # the log
    seconds: float  # wall time of the training loop

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against using these weights."""
        return tuple(self.weights.metrics["warnings"])


def train(
    data: Sequence[str], out: str | Path, settings: TrainSettings | None = None, *, on_progress: Progress | None = None
) -> TrainResult:
    """Train weights on ``sim:``, ``sim:FIRST-LAST`` or data sets, and write them into a folder.

    `on_progress` is called with things done, things in all, and a dictionary: empty while examples are prepared, then
    ``loss`` and ``auroc``. What can be checked is checked before anything is computed.
    """
    settings, out = adopt(settings or TrainSettings()), Path(out)
    check_before(out, settings)
    tasks = find_tasks(data, settings)
    sides = check_split(tasks, settings)
    examples = build_examples(tasks, settings, settings.cache or out / "cache", on_progress=on_progress)
    ward = build_examples(ward_tasks(settings), settings, settings.cache or out / "cache", on_progress=on_progress)
    train_side, validation = split_examples(examples, sides)
    baseline = fit_baseline(train_side)
    begin = time.perf_counter()
    networks, rows = _fit_members(train_side, validation, settings, out, on_progress=on_progress)
    if settings.network.n_types:
        with one_thread():
            fit_types(networks, reader_of(networks, settings), train_side)
    seconds = time.perf_counter() - begin
    weights = finish(networks, validation, ward, settings, baseline=baseline)
    # No clock time and no path of this machine, so that bytes can be compared.
    provenance = {
        "data": describe_data(data),
        "training": train_side.summary(),
        "validation": validation.summary(),
        "settings": {key: value for key, value in settings.trained_by().items() if key != "member"},
        "recordings": _recordings(tasks, settings),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    weights = replace(weights, provenance=provenance)
    weights = replace(weights, golden=golden_logits(weights))
    return _write(out, weights, rows, settings, seconds)


def describe_data(data: Sequence[str]) -> list[str]:
    """Name what was trained on without names of folders, which may be those of patients.

    >>> describe_data(["sim:0-99", "/archive/doe_jane"])
    ['sim:0-99', 'data set 2']
    """
    return [item if item.startswith("sim:") else f"data set {k}" for k, item in enumerate(data, 1)]


def _recordings(tasks: Sequence[Task], settings: TrainSettings) -> list[str]:
    """Return the beginning of the SHA-256 of every real recording that these weights or those before them learnt from.

    `restcli evaluate` knows them by it.
    """
    before = [] if settings.start_from is None else load_weights(settings.start_from).provenance.get("recordings", [])
    return sorted({*before, *(task.content[:FINGERPRINT] for task in tasks if task.content)})


def check_before(out: Path, settings: TrainSettings) -> None:
    """Refuse before any work what would fail after it: existing weights, folder, network size, device."""
    make_folder(out)
    if not os.access(out, os.W_OK):
        raise OutputError(str(out), "the folder cannot be written to", remedy="Choose another folder with --out")
    existing = [path for path in _outputs(out, settings) if path.exists()]
    if existing and not settings.overwrite:
        raise OutputError(
            str(existing[0]),
            "it exists already, and a training would replace it",
            remedy="Choose another --name, or pass --overwrite",
        )
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device", "torch finds no GPU here", "a CUDA device", "Pass --device cpu")
    build_network(settings)


def _outputs(out: Path, settings: TrainSettings) -> list[Path]:
    endings = (".safetensors", ".md", "_log.csv", "_curves.png", "_reliability.png")
    return [out / f"{settings.name}{ending}" for ending in endings]


def _fit_members(
    train_side: Examples, validation: Examples, settings: TrainSettings, out: Path, *, on_progress: Progress | None
) -> tuple[list[Rest], list[Row]]:
    """Train the members one after another; an interrupted training goes on with the member it was at."""
    networks, rows = [], []
    members = settings.network.members
    for k in range(members):

        def report(done: int, _: int, state: dict[str, float], before: int = k * settings.steps) -> None:
            if on_progress is not None:
                on_progress(before + done, members * settings.steps, state)

        own = settings.of_member(k)
        network, log = fit(train_side, validation, own, checkpoint=checkpoint_path(out, own), on_progress=report)
        networks.append(network)
        rows += [{"member": float(k), **row} for row in log]
    return networks, rows


def _write(out: Path, weights: Weights, rows: Sequence[Row], settings: TrainSettings, seconds: float) -> TrainResult:
    """Write weights, log, pictures and card; the checkpoints have done their work."""
    path, card, log, curves, reliable = _outputs(out, settings)
    weights = replace(weights, sha256=save_weights(weights, path))
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(log, table.getvalue())
    write_atomically(card, card_text(weights))
    _draw(curves, reliable, weights, rows, settings)
    for k in range(settings.network.members):
        checkpoint_path(out, settings.of_member(k)).unlink(missing_ok=True)
    return TrainResult(weights, path, log, card, curves, tuple(rows), seconds)


def _draw(curves: Path, reliable: Path, weights: Weights, rows: Sequence[Row], settings: TrainSettings) -> None:
    from restcli.output.plots.curves import plot_curves, plot_reliability
    from restcli.output.plots.save import save_figure

    members = settings.network.members
    table = {name: np.array([row[name] for row in rows]).reshape(members, -1) for name in rows[0]}
    means = {name: table[name].mean(axis=0) for name in ("loss", "validation_loss", "auroc")}
    title = f"Training of {settings.name}" + (f", mean of {members} members" if members > 1 else "")
    footer = f"seed {settings.seed}, {settings.loss}"
    save_figure(plot_curves(table["step"][0], means, title=title, footer=footer), curves)
    footer = f"{weights.name} ({weights.sha256[:8]}) · seconds of validation, never trained on"
    save_figure(plot_reliability(weights.metrics["reliability"], title="Reliability", footer=footer), reliable)
