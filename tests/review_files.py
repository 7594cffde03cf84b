"""A small result on disk, as the tests of the review need it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from edf_writer import noise, write_edf

from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.rule import to_events
from restcli.detect.settings import Settings
from restcli.events import Event, Events
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights
from restcli.output.bundle import Bundle

EVENTS = (
    Event(40.0, 20.0, "sz", 0.9, ("F7-T3", "T3-T5")),
    Event(150.0, 10.0, "sz", 0.7, ("all",)),
    Event(250.0, 5.0, "sz", 0.8),
)


# The parts of a run report that a review uses.
REPORT: dict[str, Any] = {
    "restcli": "0",
    "disclaimer": "research only",
    "device": "cpu",
    "quality": {"warnings": []},
    "recording": {
        "path": "a.edf",
        "fingerprint": "f" * 64,
        "duration_s": 300.0,
        "n_channels": 19,
        "segments": [{"start": 0.0, "stop": 300.0}],
    },
    "weights": {
        "name": "w",
        "sha256": "f" * 64,
        "features": {"bands": [[1, 13], [14, 40]], "amplitude": True, "relative": True, "floor": 0.001},
    },
    "settings": {
        "weights": "w",
        "step": 1,
        "threshold": None,
        "channel_map": [["A", "F3"]],
        "formats": ["tsv"],
        "plot": "png",
    },
    "rule": {"threshold": 0.5, "release": 0.4, "min_duration": 3.0, "max_gap": 3.0, "smooth": 3.0},
    "montage": {"nodes": ["FP1-F7"]},
    "scored": {"not_scored": [{"start": 100.0, "stop": 120.0, "reason": "flat"}]},
    "events": [
        {
            "onset": 40.0,
            "duration": 20.0,
            "eventType": "sz",
            "confidence": 0.9,
            "channels": ["FP1-F7"],
            "typeConfidence": None,
        }
    ],
    "outputs": {"a_events.tsv": "f" * 64},
}


_SCORED: dict[int, Result] = {}


def _scored(path: Path | None, weights: Path, seconds: int) -> Result:
    """Score noise of each length once: it is nearly the same in every recording."""
    if path is not None:
        settings = Settings(weights=str(weights))
        _SCORED[seconds] = Detector(load_weights(weights), "cpu").annotate(open_recording(path), settings)
    return _SCORED[seconds]


def write_result(
    folder: Path,
    weights: Path,
    *,
    name: str = "night",
    events: tuple[Event, ...] = EVENTS,
    seconds: int = 300,
    bursts: dict[float, float] | None = None,
) -> Path:
    """Write a recording of noise, a result with these events beside it, and return the run report.

    With bursts, onset and probability of ten seconds each, the scores are made of them, and events follow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gain = 1 + sum(name.encode()) / 1e5  # recordings of other names are other recordings
    path = write_edf(folder / f"{name}.edf", gain * noise(19, seconds, 200), 200)
    found = replace(_scored(path if seconds not in _SCORED else None, weights, seconds), recording=open_recording(path))
    if bursts is not None:
        probability = np.where(np.isfinite(found.scores.probability), 0.05, np.nan)
        for onset, level in bursts.items():
            probability[(found.scores.time >= onset) & (found.scores.time < onset + 10)] = level
        found = replace(found, scores=replace(found.scores, probability=probability.astype(np.float32)))
        events = to_events(found.scores, found.rule).events
    own = Events(events, found.recording.duration, found.recording.clock, found.scores.unscored)
    return Bundle(folder, name, plot="none").write(replace(found, events=own)).files[-1]
