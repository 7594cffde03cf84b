"""The machine form of a result, X_run.json. It contains nothing about the patient."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restcli import __version__
from restcli.errors import RestError
from restcli.io.recording import Recording
from restcli.marks.json import event_to_dict
from restcli.output.burden import burden_of
from restcli.output.text import DISCLAIMER, quality_warnings, usual_amplitude

if TYPE_CHECKING:
    from restcli.detect.result import Result

REPORT_END = "_run.json"  # of its file's name, after the stem


def run_report(result: Result) -> dict[str, Any]:
    """Describe a run in plain values for JSON."""
    usual = usual_amplitude(result)
    return {
        "restcli": __version__,
        "python": platform.python_version(),
        "packages": _versions(),
        "disclaimer": DISCLAIMER,
        "recording": describe_recording(result.recording) | {"fingerprint": result.recording.fingerprint},
        "weights": _describe_weights(result),
        "device": result.device,
        "settings": asdict(result.settings),
        "rule": asdict(result.rule),
        "montage": describe_montage(result),
        "quality": {
            "band_limit_hz": result.band_limit,
            "usual_amplitude_uv": None if usual is None else round(usual, 2),
            "warnings": quality_warnings(result),
            "seconds_left_out_by_node": {node: dict(counts) for node, counts in result.bad_seconds.items()},
        },
        "scored": {
            "fraction": round(result.scores.scored, 6),
            "n_scores": result.scores.n_scored,
            "not_scored": [
                {"start": round(span.start, 3), "stop": round(span.stop, 3), "reason": span.reason}
                for span in result.scores.unscored
            ],
        },
        "events": [event_to_dict(event) for event in result.events],
        "burden": burden_of(result.events, result.scores.announced).to_dict(),
        "runtime_s": {stage: round(seconds, 4) for stage, seconds in result.stages.items()},
    }


def describe_recording(recording: Recording) -> dict[str, Any]:
    """Describe a recording without anything about the patient."""
    rates = [f"{channel.sfreq:g}" for channel in recording.channels]
    return {
        "path": str(recording.path),
        "format": recording.format,
        "start": None if recording.start is None else recording.start.isoformat(sep=" "),
        "duration_s": recording.duration,
        "missing_s": recording.missing,
        "n_channels": len(recording.channels),
        "channels_by_sfreq_hz": {rate: rates.count(rate) for rate in dict.fromkeys(rates)},
        "segments": [{"start": segment.start, "stop": segment.stop} for segment in recording.segments],
        "repairs": list(recording.repairs),
    }


def describe_montage(result: Result) -> dict[str, Any]:
    """Say which nodes were derived from which channels."""
    montage, labels = result.montage, [channel.label for channel in result.recording.channels]
    return {
        "kind": montage.kind,
        "nodes": list(montage.nodes),
        "missing": list(montage.missing),
        "channels": [labels[i] for i in montage.channels],
        "duplicates_left_out": [labels[i] for i in montage.duplicates],
    }


def _describe_weights(result: Result) -> dict[str, Any]:
    weights = result.weights
    return {
        "name": weights.name,
        "sha256": weights.sha256,
        "n_parameters": weights.n_parameters,
        "memory_s": weights.memory,
        "look_ahead_s": weights.look_ahead,
        "nodes": len(weights.nodes),
        "features": asdict(weights.features),
    }


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "numpy", "scipy", "mne", "matplotlib"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def failure_report(path: str | Path, error: RestError) -> dict[str, Any]:
    """Return the machine form of a recording that could not be used: never an empty list of events."""
    return {"restcli": __version__, "recording": {"path": str(path)}, "error": str(error), "events": None}
