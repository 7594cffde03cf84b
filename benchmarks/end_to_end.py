"""From command to finished tables, by stage, for recordings of half an hour to a day."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.recordings import make_recording
from benchmarks.tables import Rows, Tables

_STAGES = ("import", "open", "weights", "read", "spectra", "network", "events", "tables")


def measure(options: argparse.Namespace) -> Tables:
    """Run each length `repeats` times in a fresh process; medians."""
    hours = sorted(float(text) for text in options.hours.split(","))
    found, drawn = {}, {}
    for length in hours:
        path = make_recording(options.folder, length)
        runs = [(run_command(path), run_command(path, "png")) for _ in range(options.repeats)]
        found[length], drawn[length] = (median_run(list(same)) for same in zip(*runs, strict=True))
    whole: Rows = [
        {
            "hours": length,
            "device": one["device"],
            "command to tables, s": one["command"],
            "times real time": length * 3600 / one["command"],
            "processor s": one["cpu"],
            "peak memory, MB": round(one["peak_mb"]),
            "events": round(one["events"]),
        }
        for length, one in found.items()
    ]
    pictures: Rows = [
        {
            "hours": length,
            "pictures": round(one["pictures"]),
            "stage pictures, s": one["stages"]["pictures"],
            "command to pictures, s": one["command"],
            "added wall time, s": one["command"] - found[length]["command"],
            "added processor s": one["cpu"] - found[length]["cpu"],
            "peak memory, MB": round(one["peak_mb"]),
        }
        for length, one in drawn.items()
    ]
    tables = {"end to end without pictures": whole, "end to end with pictures": pictures}
    for title, key in (
        ("wall seconds by stage (read, spectra and network overlap)", "stages"),
        ("processor seconds by stage", "processor"),
    ):
        tables[title] = [
            {"hours": length, **{stage: one[key].get(stage, 0.0) for stage in _STAGES}} for length, one in found.items()
        ]
    if len(hours) > 1:
        tables["growth with length"] = _growth(found, hours)
    return tables


def run_command(path: Path, plot: str = "none", *, device: str = "cpu") -> dict[str, Any]:
    """Annotate in a fresh process; ``command`` is the wall time from its start to its end."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", str(path), plot, device], capture_output=True, text=True, check=True
    )
    return {**json.loads(done.stdout), "command": time.perf_counter() - begin}


def median_run(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of every number of several runs."""

    def of(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {key: of([value[key] for value in values]) for key in values[0]}
        return statistics.median(values) if isinstance(values[0], int | float) else values[0]

    return dict(of(runs))


def _growth(found: dict[float, dict[str, Any]], hours: list[float]) -> Rows:
    """Exponent k of ``time = length ** k``, start-up left out, and of memory; 1 is linear, 0 is flat."""
    short, long = (2.0 if 2.0 in found else hours[0]), hours[-1]
    span = math.log(long / short)

    def exponent(value: Any) -> float:
        return math.log(value(found[long]) / value(found[short])) / span

    def work(one: dict[str, Any]) -> float:
        return float(one["cpu"] - one["processor"]["import"] - one["processor"]["weights"])

    return [
        {"what": "processor time without start-up", "from h": short, "to h": long, "exponent": exponent(work)},
        {"what": "peak memory", "from h": short, "to h": long, "exponent": exponent(lambda one: one["peak_mb"])},
    ]
