"""From trained networks to weights: calibration, operating points and what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from restcli.nn.baselines import BandPowerBaseline
from restcli.nn.network import Network, memory_of
from restcli.nn.rest import Rest
from restcli.nn.weights import Tensors, Weights, load_weights
from restcli.train.settings import TrainSettings
from restcli.train.store import TYPES, Examples
from restcli.train.traces import TraceReader
from restcli.train.validation import (
    Sample,
    choose_points,
    confusion_of_types,
    count_events,
    doubts,
    fit_calibration,
    measure,
    measure_intervals,
    probabilities,
    reliability,
)

_PASSES = 20  # masked passes that intervals are measured with


def reader_of(networks: Sequence[Rest], settings: TrainSettings) -> TraceReader:
    """Return trained members as one network that reads stretches as a detector reads recordings."""
    network = Network.joined(_parameters(networks), settings.nodes, settings.network.inference_updates)
    return TraceReader(network, settings.features, settings.network.fire_rate, settings.look_ahead)


def finish(
    networks: Sequence[Rest],
    validation: Examples,
    ward: Examples,
    settings: TrainSettings,
    *,
    baseline: BandPowerBaseline,
) -> Weights:
    """Calibrate trained members and measure them on validation; choose their thresholds on the ward."""
    reader, parts = reader_of(networks, settings), _parameters(networks)
    return Weights(
        name=settings.name,
        config=settings.network,
        features=settings.features,
        nodes=settings.nodes,
        tensors=parts[0] if len(parts) == 1 else {key: np.stack([part[key] for part in parts]) for key in parts[0]},
        look_ahead=settings.look_ahead,
        min_nodes=reader.min_nodes,
        types=TYPES[: settings.network.n_types],
        baseline=baseline,
        **_measured(reader, validation, ward, settings, baseline=baseline),
    )


def _measured(
    reader: TraceReader, validation: Examples, ward: Examples, settings: TrainSettings, *, baseline: BandPowerBaseline
) -> dict[str, Any]:
    """Return memory, calibration, rule, points and metrics of the weights."""
    memory = memory_of(reader.network, settings.features)
    intervals, n_types = settings.network.has_intervals, settings.network.n_types
    traces = reader.traces(validation.stretches, n_passes=_PASSES if intervals else 0)
    real = [trace for trace, item in zip(traces, validation.items, strict=True) if item.task.seed is None]
    sources = {"simulated as on a ward": reader.traces(ward.stretches), "real recordings of validation": real}
    parent = None if settings.start_from is None else load_weights(settings.start_from)
    # A fine-tuning often has few recordings for validation; and a threshold that is kept would change its meaning.
    calibration = fit_calibration(traces) if parent is None else parent.calibration
    samples = [Sample(name, each, probabilities(each, calibration), settings.rule) for name, each in sources.items()]
    before = () if parent is None else parent.points
    chosen = choose_points(samples, settings.false_alarms_per_day, settings.rule, before)
    found = probabilities(traces, calibration)
    counts = count_events(traces, found, chosen.rule)
    metrics: dict[str, Any] = {
        "validation": measure(traces, found, counts, baseline=baseline),
        "reliability": reliability(traces, found),
        "chosen_on": [{"sample": s.name, "hours": s.hours, "seizures": s.seizures} for s in samples if s.hours],
        "warnings": [*chosen.warnings, *doubts(chosen.rule, counts, memory)],
    }
    if intervals:
        metrics["intervals"] = measure_intervals(traces, found, calibration, chosen.rule)
    if n_types:
        metrics["types"] = {"names": list(TYPES[:n_types]), "seizures": confusion_of_types(traces, n_types).tolist()}
    outcome = {"rule": chosen.rule, "points": chosen.points, "calibration": calibration}
    return {"memory": memory, "metrics": metrics, **outcome}


def _parameters(networks: Sequence[Rest]) -> list[Tensors]:
    return [{k: v.detach().cpu().numpy() for k, v in network.state_dict().items()} for network in networks]
