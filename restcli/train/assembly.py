"""From trained networks to weights: calibration, operating points and what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.nn.baselines import BandPowerBaseline
from restcli.nn.network import NEVER, Network, memory_of
from restcli.nn.rest import Rest
from restcli.nn.weights import Calibration, OperatingPoint, Weights, load_weights
from restcli.train.points import Sample, choose_points, doubts
from restcli.train.settings import TrainSettings
from restcli.train.store import TYPES, Examples, Float32Array
from restcli.train.traces import Reader, Trace
from restcli.train.validation import (
    confusion_of_types,
    count_events,
    fit_calibration,
    measure,
    measure_intervals,
    probabilities,
    reliability,
)

_PASSES = 20  # masked passes that intervals are measured with


def reader_of(networks: Sequence[Rest], settings: TrainSettings) -> Reader:
    """Return trained members as one network that reads stretches as a detector reads recordings."""
    members = [{k: v.detach().cpu().numpy() for k, v in network.state_dict().items()} for network in networks]
    network = Network.joined(members, settings.nodes, settings.network.inference_updates)
    return Reader(network, settings.features, settings.network.fire_rate, settings.look_ahead)


def finish(
    networks: Sequence[Rest],
    validation: Examples,
    ward: Examples,
    settings: TrainSettings,
    *,
    baseline: BandPowerBaseline,
) -> Weights:
    """Calibrate trained members and measure them on validation; choose their thresholds on the ward."""
    reader = reader_of(networks, settings)
    memory = memory_of(reader.network, settings.features)
    intervals = settings.network.has_intervals
    traces = reader.traces(validation.stretches, n_passes=_PASSES if intervals else 0)
    calibration = fit_calibration(traces)
    found = probabilities(traces, calibration)
    samples = [_ward_sample(reader, ward, calibration, settings), _real_sample(validation, traces, found, settings)]
    chosen = choose_points(samples, settings.false_alarms_per_day, settings.rule, _points_before(settings))
    rule = chosen.rule
    counts = count_events(traces, found, rule)
    metrics: dict[str, Any] = {
        "validation": measure(traces, found, counts, baseline=baseline),
        "reliability": reliability(traces, found),
        "chosen_on": [{"sample": s.name, "hours": s.hours, "seizures": s.seizures} for s in samples if s.hours],
        "warnings": [*chosen.warnings, *doubts(rule, counts), *_never_forgets(memory)],
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
        memory=memory,
        look_ahead=settings.look_ahead,
        min_nodes=reader.min_nodes,
        rule=rule,
        points=chosen.points,
        calibration=calibration,
        types=types,
        metrics=metrics,
        baseline=baseline,
    )


def _never_forgets(memory: int) -> list[str]:
    """Return the warning that stretches of a long recording may not be scored apart."""
    if memory < NEVER:
        return []
    return ["the network does not forget: in long recordings, scores depend on where stretches begin; train it longer"]


def _ward_sample(reader: Reader, ward: Examples, calibration: Calibration, settings: TrainSettings) -> Sample:
    traces = reader.traces(ward.stretches)
    return Sample("simulated as on a ward", traces, probabilities(traces, calibration), settings.rule)


def _real_sample(
    validation: Examples, traces: Sequence[Trace], found: Sequence[Float32Array], settings: TrainSettings
) -> Sample:
    """Return what is real of the validation side."""
    real = [number for number, item in enumerate(validation.items) if item.task.seed is None]
    picked = [traces[number] for number in real], [found[number] for number in real]
    return Sample("real recordings of validation", *picked, settings.rule)


def _points_before(settings: TrainSettings) -> tuple[OperatingPoint, ...]:
    return () if settings.start_from is None else load_weights(settings.start_from).points


def _stack(networks: Sequence[Rest]) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of one network, or those of several along a first axis."""
    parts = [{k: v.detach().cpu().numpy().astype(np.float32) for k, v in n.state_dict().items()} for n in networks]
    return parts[0] if len(parts) == 1 else {key: np.stack([part[key] for part in parts]) for key in parts[0]}
