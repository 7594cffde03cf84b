"""Live signal as lines of JSON, for programs that speak no LSL, and for tests.

The first line describes the channels; ``minimum`` and ``maximum``, where the amplifier clips, and ``start``, a clock
time, may be left out::

    {"channels": [{"label": "FP1", "unit": "uV", "sfreq": 256, "minimum": -3200, "maximum": 3200}, ...], "start": null}

Each other line is a frame: a list of samples for each channel, and optionally the time of the first one in seconds by
the source's clock. A frame without a time follows the one before; ``null`` is a sample that is not known::

    {"time": 12.5, "data": [[1.5, null, 2.25], ...]}
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.headers import microvolts
from restcli.io.recording import to_samples
from restcli.live.source import Chunk, Silence, describe
from restcli.signal.resampling import Signal

_POLL = 1.0  # s between looks at whether the source is silent
_WAITING = 1000  # lines that are read ahead at most
_UNREADABLE = "\0"  # what stands for a line that cannot be read
_LATEST = 1e12  # s, of a source's clock
_HEADER = '{"channels": [{"label": "FP1", "unit": "uV", "sfreq": 256}, ...]}'
_FRAME = '{"data": [[...], ...]}, one list of samples for each channel'


class Frames:
    """Reads frames line by line."""

    jitter = 0.02
    end = math.inf

    def __init__(self, lines: Iterable[str], name: str = "stdin") -> None:
        self._lines, self._name, self._n = iter(lines), name, 1
        try:
            header = self._parsed(next(self._lines, ""), _HEADER)
            given = [
                (str(one["label"]), str(one["unit"]), float(one["sfreq"]), _limits(one)) for one in header["channels"]
            ]
            start = datetime.fromisoformat(header["start"]).replace(tzinfo=None) if header.get("start") else None
        except (OSError, KeyError, TypeError, ValueError, OverflowError):
            raise self._wrong("does not describe the channels", _HEADER) from None
        if not given or any(not 1 <= rate <= 1e6 for _, _, rate, _ in given):
            raise self._wrong("does not say how the channels are sampled", "channels of 1 Hz to 1 MHz")
        self._scale = [microvolts(unit) or 1.0 for _, unit, _, _ in given]
        self._limits = np.array([limits for *_, limits in given]) * np.array(self._scale)[:, None]
        known = np.where(np.isfinite(self._limits), self._limits, np.nan).tolist()
        channels = [(*one[:3], *limits) for one, limits in zip(given, known, strict=True)]
        self.recording = describe(name, channels, kind="frames", start=start)

    def chunks(self, groups: Sequence[Sequence[int]]) -> Iterator[Chunk | Silence]:
        """Yield the frames, and a `Silence` whenever none has arrived for a while."""
        arrived: queue.Queue[str | None] = queue.Queue(_WAITING)

        def read() -> None:
            try:
                for line in self._lines:
                    arrived.put(line)
                arrived.put(None)
            except (OSError, ValueError):  # a broken device; bytes that are not text
                arrived.put(_UNREADABLE)

        threading.Thread(target=read, daemon=True, name="restcli-frames").start()
        last = [time.monotonic()] * len(groups)
        while True:
            try:
                line = arrived.get(timeout=_POLL)
            except queue.Empty:
                yield Silence(time.monotonic() - min(last))
                continue
            if line is None:
                return
            self._n += 1
            if line.strip():
                chunk = self._chunk(line, groups)
                yield chunk
                now = time.monotonic()
                last = [now if part.shape[1] else before for part, before in zip(chunk.values, last, strict=True)]
            if (quiet := time.monotonic() - min(last)) >= _POLL:  # lines without samples
                yield Silence(quiet)

    def _chunk(self, line: str, groups: Sequence[Sequence[int]]) -> Chunk:
        frame = self._parsed(line, _FRAME)
        data = frame.get("data")
        if not isinstance(data, list) or len(data) != len(self._scale):
            raise self._wrong(f"does not hold {len(self._scale)} channels", _FRAME)
        values: list[Signal] = []
        limits: list[NDArray[np.bool_] | None] = []
        for group in groups:
            try:
                part = np.array([data[channel] for channel in group], dtype=float)  # null becomes NaN
            except (TypeError, ValueError, OverflowError):
                raise self._wrong("holds something other than samples, or rows of different lengths", _FRAME) from None
            if part.ndim != 2:
                raise self._wrong("holds something other than lists of samples", _FRAME)
            with np.errstate(over="ignore"):
                part = part * np.array([self._scale[channel] for channel in group])[:, None]
            low, high = self._limits[list(group)].T[..., None]
            values.append(to_samples(part))
            limits.append((part <= low) | (part >= high))
        stamp = frame.get("time")
        if stamp is not None and not (isinstance(stamp, int | float) and abs(stamp) < _LATEST):
            raise self._wrong("has a time that is not a number", "seconds")
        return Chunk(tuple(values), tuple(limits), None if stamp is None else float(stamp))

    def _parsed(self, line: str, expected: str) -> dict[str, Any]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._wrong("is not a JSON object" if line.strip() else "is missing", expected)
        return value

    def _wrong(self, what: str, expected: str) -> RecordingError:
        return RecordingError(f"{self._name}, line {self._n}", what, expected)


def _limits(channel: Mapping[str, Any]) -> tuple[float, float]:
    """Return where a channel clips, in its own unit; infinity where it does not say."""
    low, high = channel.get("minimum"), channel.get("maximum")
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)
