"""From data to a weights file with its log, curves and card."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restcli.errors import OutputError, UsageError
from restcli.files import make_folder, write_atomically
from restcli.nn.baselines import BandPowerBaseline
from restcli.nn.golden import golden_logits
from restcli.nn.network import Network, memory_of
from restcli.nn.rest import Rest
from restcli.nn.weights import Weights, save_weights
from restcli.train.card import card_text
from restcli.train.loop import Row, build_network, checkpoint_path, fit, one_thread
from restcli.train.settings import TrainSettings, adopt
from restcli.train.sources import Progress, build_examples, find_tasks
from restcli.train.split import check_split, split_examples
from restcli.train.store import TYPES, Examples
from restcli.train.traces import Reader
from restcli.train.types import fit_types
from restcli.train.validation import (
    choose_rule,
    confusion_of_types,
    fit_baseline,
    fit_calibration,
    measure,
    measure_intervals,
    probabilities,
    reliability,
)

_PASSES = 20  # masked passes that intervals are measured with


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
    train_side, validation = split_examples(examples, sides)
    baseline = fit_baseline(train_side)
    begin = time.perf_counter()
    networks, rows = _fit_members(train_side, validation, settings, out, on_progress=on_progress)
    if settings.network.n_types:
        with one_thread():
            fit_types(networks, _reader(networks, settings), train_side)
    seconds = time.perf_counter() - begin
    weights = finish(networks, validation, settings, baseline=baseline)
    # No clock time and no path of this machine, so that bytes can be compared.
    provenance = {
        "data": describe_data(data),
        "training": train_side.summary(),
        "validation": validation.summary(),
        "settings": {key: value for key, value in settings.trained_by().items() if key != "member"},
        "false_alarms_per_day_asked": settings.false_alarms_per_day,
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


def _reader(networks: Sequence[Rest], settings: TrainSettings) -> Reader:
    members = [{k: v.detach().cpu().numpy() for k, v in network.state_dict().items()} for network in networks]
    network = Network.joined(members, settings.nodes, settings.network.inference_updates)
    return Reader(network, settings.features, settings.network.fire_rate, settings.look_ahead)


def finish(
    networks: Sequence[Rest], validation: Examples, settings: TrainSettings, *, baseline: BandPowerBaseline
) -> Weights:
    """Calibrate trained members on validation, choose their rule and measure it there."""
    reader = _reader(networks, settings)
    intervals = settings.network.has_intervals
    traces = reader.traces(validation.stretches, n_passes=_PASSES if intervals else 0)
    calibration = fit_calibration(traces)
    found = probabilities(traces, calibration)
    rule = choose_rule(traces, found, settings.false_alarms_per_day)
    metrics: dict[str, Any] = {
        "validation": measure(traces, found, rule, baseline=baseline),
        "reliability": reliability(traces, found),
    }
    if intervals:
        metrics["intervals"] = measure_intervals(traces, found, calibration, rule)
    types = TYPES[: settings.network.n_types]
    if types:
        metrics["types"] = {"names": list(types), "seizures": confusion_of_types(traces, len(types)).tolist()}
    return Weights(
        name=settings.name,
        config=settings.network,
        features=settings.features,
        nodes=settings.nodes,
        tensors=_stack(networks),
        memory=memory_of(reader.network, settings.features),
        look_ahead=settings.look_ahead,
        min_nodes=reader.min_nodes,
        rule=rule,
        calibration=calibration,
        types=types,
        metrics=metrics,
        baseline=baseline,
    )


def _stack(networks: Sequence[Rest]) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of one network, or those of several along a first axis."""
    parts = [{k: v.detach().cpu().numpy().astype(np.float32) for k, v in n.state_dict().items()} for n in networks]
    return parts[0] if len(parts) == 1 else {key: np.stack([part[key] for part in parts]) for key in parts[0]}


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
