"""Detect on a data set whose seizures are known, and evaluate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from restcli.detect.alarms import alarm_times
from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.settings import Settings, rule_in_force
from restcli.errors import RestError
from restcli.evaluation.cases import evaluate_cases
from restcli.evaluation.report import Evaluation
from restcli.evaluation.scoring import Case, Float
from restcli.io.registry import open_recording
from restcli.marks.layouts import Item, find_items, passed_over
from restcli.nn.baselines import AMPLITUDE, BAND_POWER, amplitude_baseline, band_powers
from restcli.nn.weights import load_weights

Progress = Callable[[float, float], None]


def evaluate_dataset(
    data: str | Path, settings: Settings, *, seed: int = 0, on_progress: Progress | None = None
) -> Evaluation:
    """Detect on every recording of a folder and compare with the experts.

    Recordings that cannot be scored count nowhere and are named in the notes.
    """
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
    notes = [*(f"not scored, counted nowhere: {text}" for text in failed), *passed_over(data)]
    model = f"{weights.name} ({weights.sha256[:8]})"
    return evaluate_cases(cases, rule=rule_in_force(weights, settings), model=model, seed=seed, notes=notes)


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
