"""From data to a weights file with its log, curves and card."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from restcli.errors import OutputError, UsageError
from restcli.files import check_free, make_folder, write_atomically
from restcli.nn.golden import golden_logits
from restcli.nn.rest import Rest
from restcli.nn.weights import FINGERPRINT, Weights, load_weights, save_weights
from restcli.train.assembly import finish, reader_of
from restcli.train.card import card_text
from restcli.train.loop import LogRow, build_network, checkpoint_path, fit, one_thread, step_to_go_on_from
from restcli.train.settings import TrainSettings, adopt
from restcli.train.sources import TrainProgress, build_examples, find_tasks, ward_tasks
from restcli.train.split import Side, check_split, split_examples, with_fold
from restcli.train.store import Examples, ExampleStore, Float32Array, Task
from restcli.train.types import fit_types
from restcli.train.validation import fit_baseline
from restcli.train.workers import worker_pool


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training left behind."""

    weights: Weights  # as saved
    path: Path
    log: Path
    card: Path
    curves: Path
    seconds: float  # wall time of the training loop

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against using these weights."""
        return tuple(self.weights.metrics["warnings"])


def train(
    data: Sequence[str],
    out: str | Path,
    settings: TrainSettings | None = None,
    *,
    on_progress: TrainProgress | None = None,
    on_resume: Callable[[str], None] | None = None,
) -> TrainResult:
    """Train weights on ``sim:``, ``sim:FIRST-LAST`` or data sets, and write them into a folder.

    `on_progress` is called with things done, things in all, and a dictionary: empty while examples are prepared, then
    ``loss`` and ``auroc``; `on_resume` is told where a stopped training resumes. What can be checked is checked
    before anything is computed.
    """
    settings, out = adopt(settings or TrainSettings()), Path(out)
    check_before(out, settings)
    tasks = find_tasks(data, settings)
    settings = with_fold(tasks, settings)
    sides = check_split(tasks, settings)
    cache = _cache_of(settings, out)
    examples = build_examples(tasks, settings, cache, on_progress=on_progress)
    ward = build_examples(ward_tasks(settings), settings, cache, on_progress=on_progress)
    train_side, validation = split_examples(examples, sides)
    baseline = fit_baseline(train_side)
    begin = time.perf_counter()
    members = _Members(tasks, sides, settings, out)
    if on_resume is not None and (text := members.resumed_in_words(train_side, validation)):
        on_resume(text)
    networks, rows = members.fit_all(on_progress=on_progress)
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
    """Return fingerprints, which ``evaluate`` looks for, of the recordings that these or older weights learnt from."""
    before = [] if settings.start_from is None else load_weights(settings.start_from).provenance.get("recordings", [])
    return sorted({*before, *(task.content[:FINGERPRINT] for task in tasks if task.content)})


def check_before(out: Path, settings: TrainSettings) -> None:
    """Refuse before any work what would fail after it: existing weights, folder, network size, device."""
    if not re.fullmatch(r"\w[\w.-]*", settings.name):
        raise UsageError("--name", repr(settings.name), "letters, digits, hyphens, underscores and dots")
    make_folder(out)
    if not os.access(out, os.W_OK):
        raise OutputError(str(out), "the folder cannot be written to", remedy="Choose another folder with --out")
    check_free(_outputs(out, settings), overwrite=settings.overwrite)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device", "torch finds no GPU here", "a CUDA device", "Pass --device cpu")
    build_network(settings)


def _outputs(out: Path, settings: TrainSettings) -> list[Path]:
    endings = (".safetensors", ".md", "_log.csv", "_curves.png", "_reliability.png")
    return [out / f"{settings.name}{ending}" for ending in endings]


@dataclass(frozen=True)
class _Members:
    """The members of one training; a worker process reads their examples from the store again."""

    tasks: tuple[Task, ...]
    sides: dict[str, Side]
    settings: TrainSettings
    out: Path

    def resumed_in_words(self, train_side: Examples, validation: Examples) -> str:
        """Say where each member resumes; empty when all start afresh and no other training left anything."""
        steps = [
            step_to_go_on_from(checkpoint_path(self.out, own), own, train_side, validation)
            for own in map(self.settings.of_member, range(self.settings.network.members))
        ]
        if not any(steps):
            left = f"what a stopped training left in {self.out} belongs to other settings or data and is not used"
            return left if None in steps else ""
        places = (f"member {k} at step {step or 0}" for k, step in enumerate(steps, start=1))
        return f"resumes: {', '.join(places)} of {self.settings.steps}"

    def fit_all(self, *, on_progress: TrainProgress | None) -> tuple[list[Rest], list[LogRow]]:
        """Train them, several at a time if there are workers; an interrupted training resumes where it was."""
        count, steps = self.settings.network.members, self.settings.steps
        workers = min(self.settings.workers, count) if self.settings.device == "cpu" else 1
        if workers > 1:
            with worker_pool(workers) as pool:
                futures = [pool.submit(self.fit, k) for k in range(count)]
                for done, future in enumerate(as_completed(futures), start=1):
                    _, log = future.result()
                    if on_progress is not None:
                        on_progress(done * steps, count * steps, {key: log[-1][key] for key in ("loss", "auroc")})
                found = [future.result() for future in futures]
        else:
            found = [self.fit(k, on_progress=on_progress) for k in range(count)]
        networks = []
        for k, (tensors, _) in enumerate(found):
            network = build_network(self.settings.of_member(k))
            network.load_state_dict({key: torch.from_numpy(value) for key, value in tensors.items()})
            networks.append(network.eval())
        return networks, [{"member": float(k), **row} for k, (_, log) in enumerate(found) for row in log]

    def fit(self, k: int, *, on_progress: TrainProgress | None = None) -> tuple[dict[str, Float32Array], list[LogRow]]:
        """Train one member; return its parameters and the log."""
        own, count = self.settings.of_member(k), self.settings.network.members
        examples = ExampleStore(_cache_of(self.settings, self.out), own.nodes).examples(self.tasks)

        def report(done: int, steps: int, state: dict[str, float]) -> None:
            if on_progress is not None:
                on_progress(k * steps + done, count * steps, state)

        train_side, validation = split_examples(examples, self.sides)
        checkpoint = checkpoint_path(self.out, own)
        network, log = fit(train_side, validation, own, checkpoint=checkpoint, on_progress=report)
        return {key: value.cpu().numpy() for key, value in network.state_dict().items()}, log


def _cache_of(settings: TrainSettings, out: Path) -> Path:
    return settings.cache or out / "cache"


def _write(out: Path, weights: Weights, rows: Sequence[LogRow], settings: TrainSettings, seconds: float) -> TrainResult:
    """Write weights, log, pictures and card; the checkpoints have done their work."""
    path, card, log, curves, reliable = _outputs(out, settings)
    weights = replace(weights, sha256=save_weights(weights, path))
    write_atomically(log, pd.DataFrame(rows).to_csv(index=False, na_rep="nan", lineterminator="\n"))
    write_atomically(card, card_text(weights))
    _draw(curves, reliable, weights, rows, settings)
    for k in range(settings.network.members):
        checkpoint_path(out, settings.of_member(k)).unlink(missing_ok=True)
    return TrainResult(weights, path, log, card, curves, seconds)


def _draw(curves: Path, reliable: Path, weights: Weights, rows: Sequence[LogRow], settings: TrainSettings) -> None:
    from restcli.output.plots.curves import plot_curves, plot_reliability
    from restcli.output.plots.save import save_figure

    members = settings.network.members
    table = {name: np.array([row[name] for row in rows]).reshape(members, -1) for name in rows[0]}
    means = {name: table[name].mean(axis=0) for name in ("loss", "validation_loss", "auroc")}
    title = f"Training of {settings.name}" + (f", mean of {members} members" if members > 1 else "")
    footer = f"seed {settings.seed}, {settings.loss}"
    save_figure(plot_curves(table["step"][0], means, title=title, footer=footer), curves)
    footer = f"{weights.name} ({weights.sha256[:8]}) · seconds of the validation data"
    save_figure(plot_reliability(weights.metrics["reliability"], title="Reliability", footer=footer), reliable)
