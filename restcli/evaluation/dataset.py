"""Detect on a data set whose seizures are known, and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from restcli.detect.alarms import alarm_times
from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.rule import to_events
from restcli.detect.scoring import Progress
from restcli.detect.settings import Settings, rule_in_force
from restcli.errors import RestError
from restcli.evaluation.cases import evaluate_cases
from restcli.evaluation.report import Evaluation, PointResult
from restcli.evaluation.scoring import Case, Float, score_events, total
from restcli.io.registry import open_recording, recording_hash
from restcli.marks.layouts import Item, find_items, passed_over
from restcli.nn.baselines import AMPLITUDE, BAND_POWER, amplitude_baseline, band_powers
from restcli.nn.weights import FINGERPRINT, OperatingPoint, Weights, load_weights


def evaluate_dataset(
    data: str | Path, settings: Settings, *, seed: int = 0, on_progress: Progress | None = None
) -> Evaluation:
    """Detect on every recording of a folder and compare with the experts; notes name what could not be scored."""
    detector = Detector(load_weights(settings.weights), settings.device)
    items = find_items(data)
    cases, failed = [], []
    for done, item in enumerate(items):
        if on_progress is not None:
            on_progress(done, len(items))
        try:
            cases.append(_case(item, detector, settings))
        except RestError as error:
            failed.append(str(error))
    if not cases:
        raise RestError(str(data), f"no recording could be scored ({failed[0]})")
    weights = detector.weights
    failures = (f"not scored, counted nowhere: {text}" for text in failed)
    notes = [*_learnt_from(items, weights), *failures, *passed_over(data)]
    model = f"{weights.name} ({weights.sha256[:8]})"
    found = evaluate_cases(cases, rule=rule_in_force(weights, settings), model=model, seed=seed, notes=notes)
    points = tuple(_at(point, cases, weights) for point in weights.points)
    return replace(found, points=points, n_failed=len(failed))


def _learnt_from(items: Sequence[Item], weights: Weights) -> list[str]:
    """Warn of recordings that the weights were trained or validated on, known by their content."""
    known = set(weights.provenance.get("recordings", ()))
    n_known = sum(recording_hash(item.recording_path)[:FINGERPRINT] in known for item in items) if known else 0
    if not n_known:
        return []
    return [
        f"WARNING: {n_known} of {len(items)} recordings were used to train or validate these weights: "
        "the numbers say little about others"
    ]


def _at(point: OperatingPoint, cases: Sequence[Case], weights: Weights) -> PointResult:
    """Count events at an operating point."""
    rule = weights.rule.with_threshold(point.threshold)
    tally = total(score_events(case.expert, to_events(case.scores, rule)) for case in cases if case.scores is not None)
    return PointResult(point.name, point.threshold, tally, point.sensitivity, point.false_alarms_per_day)


def _case(item: Item, detector: Detector, settings: Settings) -> Case:
    recording = open_recording(item.recording_path)
    expert = item.marks.read(recording)
    result = detector.annotate(recording, settings)
    name = str(item.recording_path)
    ahead = result.weights.look_ahead
    alarms = tuple(alarm_times(result.scores, result.rule, ahead)) if settings.step == 1 else None
    return Case(name, item.patient, expert, result.events, result.scores, baselines_of(result), alarms)


def baselines_of(result: Result) -> dict[str, Float]:
    """Return the scores that the network must beat, each of shape (B,); NaN where the network has none."""
    baselines = {AMPLITUDE: amplitude_baseline(result.trend.amplitude[:, None])}
    if result.weights.baseline is not None:
        baselines[BAND_POWER] = result.weights.baseline.predict(band_powers(result.trend.spectrum))
    at = np.searchsorted(result.trend.time, result.scores.time - 1e-6)
    scored = np.isfinite(result.scores.probability)
    return {name: np.where(scored, values[at], np.nan) for name, values in baselines.items()}
