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
from restcli.report import MOST_EVENT_PICTURES

_STAGES = ("import", "open", "weights", "read", "resample", "spectra", "network", "events", "tables", "pictures")
_OVERLAPPING = ("read", "resample", "spectra", "network")


def measure(options: argparse.Namespace) -> Tables:
    """Run each length `repeats` times in a fresh process; medians."""
    hours = sorted(float(text) for text in options.hours.split(","))
    found = {}
    for length in hours:
        path = make_recording(options.folder, length)
        found[length] = _median([run_command(path) for _ in range(options.repeats)])
    whole: Rows = [
        {
            "hours": length,
            "device": one["device"],
            "command to tables, s": one["command"],
            "times real time": length * 3600 / one["command"],
            "processor s": one["cpu"],
            "times real time on 2 idle cores": length * 3600 / _on_two(one),
            "peak memory, MB": round(one["peak_mb"]),
            "peak with pictures, MB": round(one["peak_mb_with_pictures"]),
            "events": round(one["events"]),
            "pictures": 1 + min(round(one["events"]), MOST_EVENT_PICTURES),
            "pictures, s": one["stages"]["pictures"],
            "pictures, processor s": one["processor"]["pictures"],
        }
        for length, one in found.items()
    ]
    tables = {"end to end (no pictures unless said)": whole}
    for title, key in (("wall seconds by stage (read, resample, spectra and network overlap)", "stages"),
                       ("processor seconds by stage", "processor")):  # fmt: skip
        tables[title] = [
            {"hours": length, **{stage: one[key].get(stage, 0.0) for stage in _STAGES}} for length, one in found.items()
        ]
    if len(hours) > 1:
        tables["growth with length"] = _growth(found, hours)
    return tables


def _on_two(one: dict[str, Any]) -> float:
    """Estimate the wall time on two cores that do nothing else: two threads share what overlaps."""
    shared = sum(one["processor"][stage] for stage in _OVERLAPPING)
    return float(one["cpu"] - shared / 2)


def run_command(path: Path) -> dict[str, Any]:
    """Annotate in a fresh process; ``command`` is the wall time from its start to finished tables."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", str(path)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    found["command"] = time.perf_counter() - begin - found["after"]
    return dict(found)


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
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
