"""Detect on a data set whose seizures are known, and evaluate; knows no command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restcli.detect.detector import Detector, Result
from restcli.detect.settings import Settings, rule_in_force
from restcli.errors import RestError
from restcli.evaluation.report import Case, Evaluation, evaluate_cases
from restcli.io.registry import open_recording
from restcli.marks.layouts import Item, find_items
from restcli.nn.baselines import AMPLITUDE, BAND_POWER, amplitude_floor, band_powers
from restcli.nn.weights import load_weights

Progress = Callable[[float, float], None]


def evaluate_data(
    data: Sequence[str | Path],
    settings: Settings,
    *,
    draws: tuple[int, int] = (1000, 0),
    on_progress: Progress | None = None,
) -> Evaluation:
    """Detect on every recording of one or several data sets and compare with the experts.

    Parameters
    ----------
    data : sequence of str or Path
        Folders in any layout that `restcli.marks.layouts.find_items` knows.
    settings : Settings
        Weights, threshold and so on.
    draws : (int, int)
        Number and seed of the bootstrap draws over patients.
    on_progress : callable, optional
        Called with recordings done and recordings in all.

    Returns
    -------
    Evaluation
        With the floors beside the network (band power where the weights file holds one); recordings that could not
        be scored are named in its notes and count nowhere.

    Raises
    ------
    RestError
        If no recording could be scored.
    """
    detector = Detector(load_weights(settings.weights), settings.device)
    items = [item for path in data for item in find_items(path)]
    cases, failed = [], []
    for done, item in enumerate(items):
        if on_progress is not None:
            on_progress(done, len(items))
        try:
            cases.append(_case(item, detector, settings))
        except RestError as error:
            failed.append(str(error))
    if not cases:
        raise RestError(", ".join(str(path) for path in data), "no recording could be scored", failed[0])
    weights = detector.weights
    model = f"{weights.name} ({weights.sha256[:8]})"
    evaluation = evaluate_cases(cases, rule=rule_in_force(weights, settings), model=model, draws=draws)
    notes = (f"not scored, counted nowhere: {text}" for text in failed)
    return replace(evaluation, notes=(*evaluation.notes, *notes))


def _case(item: Item, detector: Detector, settings: Settings) -> Case:
    recording = open_recording(item.recording_path)
    expert = item.marks.read(recording)
    result = detector.annotate(recording, settings)
    floors = floors_of(result)
    return Case(str(item.recording_path), item.patient, expert, result.events, scores=result.scores, floors=floors)


def floors_of(result: Result) -> dict[str, NDArray[np.float64]]:
    """Return what the network must beat, each of shape (B,); NaN wherever the network has no score."""
    floors = {AMPLITUDE: amplitude_floor(result.trend.amplitude[:, None])}
    if result.weights.floor is not None:
        floors[BAND_POWER] = result.weights.floor.predict(band_powers(result.trend.spectrum))
    at = np.searchsorted(result.trend.time, result.scores.time - 1e-6)
    scored = np.isfinite(result.scores.probability)
    return {name: np.where(scored, values[at], np.nan) for name, values in floors.items()}
