"""Keep what a recording was scored with, exactly, and make a result from it again; knows no archive and no network."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from restcli.detect.result import Result, Trend
from restcli.detect.rule import to_events
from restcli.detect.settings import Settings, fit_montage, rule_in_force
from restcli.events import Scores, Span
from restcli.files import write_atomically
from restcli.io.recording import Recording
from restcli.nn.weights import Weights
from restcli.signal.features import SPECTRUM_BINS

_KEY = "restcli-scores-1"
# Bins of the spectrum that pictures show are 1..40 Hz; the others are not kept.
_KEPT_BINS = 41


def keep_result(result: Result, place: str | Path) -> None:
    """Keep scores, trend and quality of a result: exact values, whole file or none.

    Parameters
    ----------
    result : Result
        From `restcli.detect.detector.Detector.annotate`.
    place : str or Path
        From `Shelf.place`.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from safetensors.numpy import save

    scores, trend = result.scores, result.trend
    arrays: dict[str, Any] = {
        "time": scores.time,
        "probability": scores.probability,
        "by_node": scores.by_node,
        "interval": scores.interval,
        "by_type": scores.by_type,
        "trend_time": trend.time,
        "amplitude": trend.amplitude,
        "spectrum": trend.spectrum[:, :_KEPT_BINS],
    }
    meta = {
        "nodes": scores.nodes,
        "window": scores.window,
        "step": scores.step,
        "duration": scores.duration,
        "types": scores.types,
        "unscored": [asdict(span) for span in scores.unscored],
        "bad_seconds": {node: dict(counts) for node, counts in result.bad_seconds.items()},
        "band_limit": result.band_limit,
        "device": result.device,
    }
    tensors = {name: np.ascontiguousarray(values) for name, values in arrays.items() if values is not None}
    write_atomically(place, save(tensors, metadata={_KEY: json.dumps(meta, sort_keys=True)}))


def restore_result(place: str | Path, recording: Recording, weights: Weights, settings: Settings) -> Result | None:
    """Make a result from kept scores with the rule now in force; no signal is read.

    Parameters
    ----------
    place : str or Path
        From `Shelf.place`.
    recording : Recording
        The opened recording that the scores belong to.
    weights : Weights
        That they were made with.
    settings : Settings
        In force; may differ in the threshold.

    Returns
    -------
    Result or None
        None when nothing (whole) is kept there; then the recording must be scored.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = Path(place).read_bytes()
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        meta = json.loads(header["__metadata__"][_KEY])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    scores = _scores(arrays, meta)
    spectrum = np.full((len(arrays["spectrum"]), SPECTRUM_BINS), np.nan, dtype=np.float32)
    spectrum[:, : arrays["spectrum"].shape[1]] = arrays["spectrum"]
    rule = rule_in_force(weights, settings)
    return Result(
        recording=recording,
        montage=fit_montage(recording, weights, settings),
        weights=weights,
        settings=settings,
        rule=rule,
        scores=scores,
        events=to_events(scores, rule, recording.start),
        trend=Trend(arrays["trend_time"], arrays["amplitude"], spectrum),
        bad_seconds=meta["bad_seconds"],
        band_limit=meta["band_limit"],
        device=meta["device"],
        stages={},
    )


def _scores(arrays: dict[str, Any], meta: dict[str, Any]) -> Scores:
    return Scores(
        time=arrays["time"],
        probability=arrays["probability"],
        by_node=arrays["by_node"],
        nodes=tuple(meta["nodes"]),
        window=meta["window"],
        step=meta["step"],
        duration=meta["duration"],
        unscored=tuple(Span(**span) for span in meta["unscored"]),
        interval=arrays.get("interval"),
        types=tuple(meta["types"]),
        by_type=arrays.get("by_type"),
    )
