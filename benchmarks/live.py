"""A day at the bedside: memory, processor time and clock of `restcli live`, its tables included."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.tables import Rows, Tables
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.io.registry import open_recording
from restcli.live.monitor import Monitor, Row
from restcli.live.outputs import Tables as Outputs
from restcli.live.source import Chunk, Silence, describe
from restcli.nn.weights import load_weights
from restcli.signal.montage import ELECTRODES_19

_EXAMPLE = Path(__file__).parent.parent / "examples" / "absence.edf"
_SFREQ, _CHUNKS = 200, 4  # Hz; a second
_QUIET = 40  # s of the example before its first seizure
_DRIFT, _NOISE = 5e-5, 0.02  # of the source's clock; s that its stamps are off


class _Ward:
    """Plays an hour with three absences again and again, with the stamps of an ordinary amplifier."""

    jitter = 0.25
    end = math.inf

    def __init__(self, hours: float) -> None:
        example = open_recording(_EXAMPLE)
        labels = [channel.label for channel in example.channels]
        picks = [k for k, label in enumerate(labels) if label.upper().split("-")[0].split()[-1] in ELECTRODES_19]
        data = example.read(picks, 0.0, 180.0, sfreq=float(_SFREQ))
        quiet = np.tile(data[:, : _QUIET * _SFREQ], (3600 - 180) // _QUIET + 1)[:, : (3600 - 180) * _SFREQ]
        self._hour, self._n = np.concatenate([quiet, data], axis=1), round(hours * 3600 * _CHUNKS)
        self.recording = describe("ward", [(labels[k], "uV", _SFREQ) for k in picks], kind="benchmark")

    def chunks(self, groups: Sequence[Sequence[int]]) -> Iterator[Chunk | Silence]:
        """Yield the day without waiting."""
        rng, size = np.random.default_rng(0), _SFREQ // _CHUNKS
        (group,) = groups
        hour = self._hour[list(group)]
        for number in range(self._n):
            first = number * size % hour.shape[1]
            stamp = 1e5 + number / _CHUNKS * (1 + _DRIFT) + abs(rng.normal(0, _NOISE))
            yield Chunk((hour[:, first : first + size],), (None,), stamp, waited=1 / _CHUNKS)


def _memory() -> float:
    """Return the memory of this process now, MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def measure(options: argparse.Namespace) -> Tables:
    """Monitor the longest of the hours asked for, and look at memory and processor time on the way."""
    hours = max(map(float, options.hours.split(",")))
    detector, rows = Detector(load_weights("rest-default"), "cpu"), Rows()
    with threadpool_limits(1, "blas"), tempfile.TemporaryDirectory() as folder:
        monitor = Monitor(detector, _Ward(hours), Settings())
        outputs = Outputs(Path(folder), "ward")
        begun, wall = time.process_time(), time.perf_counter()
        for news in monitor.run():
            outputs.take(news, monitor)
            if isinstance(news, Row) and monitor.rows in {600, *(3600 * k for k in (1, 2, 6, 12, 18, 24))}:
                rows.append(_state(monitor, time.process_time() - begun, time.perf_counter() - wall))
        outputs.close(monitor)
    off = monitor.until - hours * 3600
    clock = [{"hours": hours, "offset from the sample clock, s": off, "not scored, s": monitor.rows - monitor.scored}]
    return {"live monitoring of a day, tables included, one thread": rows, "clock": clock}


def _state(monitor: Monitor, spent: float, wall: float) -> dict[str, Any]:
    return {
        "hours": monitor.rows / 3600,
        "memory, MB": _memory(),
        "processor s": spent,
        "share of a core at real time, %": 100 * spent / monitor.rows,
        "times real time": monitor.rows / wall,
        "events": len(monitor.alarms.events),
    }
