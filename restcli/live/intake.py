"""From chunks as they arrive to whole seconds at the rate of analysis, the same as those of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from restcli.live.source import Chunk
from restcli.signal import resampling
from restcli.signal.resampling import Signal

# Time constant, in seconds, for following slow drift between the source's clock and its samples; and how many seconds
# the clock's advance must differ from the time waited to count as a jump.
_DRIFT_SECONDS, _CLOCK_JUMP = 10.0, 5.0
# Seconds. Where the time waited is unknown, a longer gap means that the clock was set, not that decades were lost.
_LONGEST_GAP = 86_400.0
LOST, JUMPED = "samples were lost", "the source's clock jumped"


@dataclass(frozen=True, eq=False)
class Second:
    """A whole second of a segment."""

    start: float  # s from the start of the recording
    data: Signal  # (C, n), µV
    saturated: Signal  # (C,), fraction of stored samples at the limits


@dataclass(frozen=True)
class SegmentEnd:
    """The signal breaks off."""

    stop: float  # s
    resumes: float  # s
    reason: str


class Intake:
    """Counts samples, finds where some were lost, and cuts whole seconds.

    Without `jitter`, stamps are times of the recording and signal is lost where the source says so. Else times follow
    the samples: stamps only tell where signal was lost, and a clock that drifts from the sampling rate moves nothing.
    """

    def __init__(self, groups: Sequence[Sequence[int]], rates: Sequence[Fraction], sfreq: int, jitter: float) -> None:
        self._rows, self._rates, self._sfreq, self._jitter = groups, rates, sfreq, jitter
        self._n_channels = sum(map(len, groups))
        # Seconds by which groups may end apart: their samples rarely divide a chunk evenly.
        self._apart = jitter + 2 / float(min(rates)) if jitter else math.inf
        self._start, self._offset = 0.0, math.nan  # of the segment; what stamps are ahead of the recording's time
        self._begin(0.0)

    @property
    def now(self) -> float:
        """The end of the signal that has come, s from the start of the recording."""
        return self._start + self._groups[0].n_seconds

    def take(self, chunk: Chunk) -> Iterator[Second | SegmentEnd]:
        """Add samples; yield the seconds that are whole, and where signal was lost before them."""
        resumes, reason = self._resumes(chunk)
        lengths = [part.shape[1] / float(rate) for part, rate in zip(chunk.values, self._rates, strict=True)]
        ends = [n + (0.0 if reason else group.n_seconds) for n, group in zip(lengths, self._groups, strict=True)]
        complete = max(ends) - min(ends) <= self._apart
        if not complete:  # which samples of the chunk belong together is unknown
            resumes, reason = resumes + max(lengths), reason or LOST
        if reason:
            yield from self.close()
            yield SegmentEnd(self.now, resumes, reason)
            self._begin(resumes)
        if complete:
            for group, values, at_limit in zip(self._groups, chunk.values, chunk.at_limit, strict=True):
                group.append(values, at_limit)
            yield from self._seconds(closing=False)

    def close(self) -> Iterator[Second]:
        """End the segment; yield the whole seconds that waited for samples after them."""
        yield from self._seconds(closing=True)

    def _begin(self, start: float) -> None:
        self._start, self._next = start, 0
        self._groups = [
            _Group(rate, self._sfreq, len(rows)) for rate, rows in zip(self._rates, self._rows, strict=True)
        ]

    def _resumes(self, chunk: Chunk) -> tuple[float, str]:
        """Return when a chunk begins, and why that is not where the last one ended; empty when it is."""
        now, stamp = self.now, chunk.stamp
        if stamp is None or self._jitter == 0:
            return (now, "") if stamp is None or not chunk.begins else (stamp, LOST)
        if math.isnan(self._offset):
            self._offset = stamp
            return now, ""
        ahead = stamp - self._offset - now
        longest = _CLOCK_JUMP + 2 * chunk.waited if math.isfinite(chunk.waited) else _LONGEST_GAP
        jumped = not -self._jitter <= ahead <= longest
        if jumped and not chunk.begins:
            lost = chunk.waited if _CLOCK_JUMP < chunk.waited < math.inf else 0.0
            self._offset = stamp - now - lost
            return now + lost, JUMPED
        if ahead > self._jitter or chunk.begins:
            return now + ahead, LOST
        length = chunk.values[0].shape[1] / float(self._rates[0])
        self._offset += ahead * min(1.0, length / _DRIFT_SECONDS)
        return now, ""

    def _seconds(self, *, closing: bool) -> Iterator[Second]:
        longest = math.floor(max(group.n_seconds for group in self._groups) + 1e-6)
        while not closing or self._next < longest:
            if not all(group.has(self._next, closing=closing) for group in self._groups):
                return
            data = np.full((self._n_channels, self._sfreq), np.nan, dtype=np.float32)
            saturated = np.zeros(self._n_channels, dtype=np.float32)
            for rows, group in zip(self._rows, self._groups, strict=True):
                data[list(rows)], saturated[list(rows)] = group.second(self._next)
            start = self._start + self._next
            self._next += 1  # before it is yielded: a caller that stops there must not get it twice
            for group in self._groups:
                group.forget(self._next)
            yield Second(start, data, saturated)


class _Group:
    """Channels of one rate in one segment: samples that are still needed."""

    def __init__(self, rate: Fraction, sfreq: int, n_channels: int) -> None:
        self.rate, self._sfreq = rate, sfreq
        self.ratio = resampling.ratio_of(Fraction(sfreq), rate)
        self._first = self._n = 0  # index of the first sample kept; how many came
        self._values: Signal = np.zeros((n_channels, 0), dtype=np.float32)
        self._at_limit: NDArray[np.bool_] = np.zeros((n_channels, 0), dtype=bool)

    @property
    def n_seconds(self) -> float:
        return float(self._n / self.rate)

    def append(self, values: Signal, at_limit: NDArray[np.bool_] | None) -> None:
        limits = np.zeros(values.shape, dtype=bool) if at_limit is None else at_limit
        self._values = np.concatenate([self._values, values.astype(np.float32, copy=False)], axis=1)
        self._at_limit = np.concatenate([self._at_limit, limits], axis=1)
        self._n += values.shape[1]

    def has(self, second: int, *, closing: bool) -> bool:
        """Whether a second can be cut: resampling needs some samples more, unless there are none to come."""
        if closing:
            return self._n > 0
        return self._n >= max(
            resampling.support(self._span(second), self.ratio)[1], math.ceil((second + 1) * self.rate)
        )

    def second(self, second: int) -> tuple[Signal, Signal]:
        """Return samples of a second, and the fraction of stored ones at the limits."""
        span = self._span(second)
        tiles = resampling.widen(span, self.ratio)
        low, high = resampling.support(tiles, self.ratio)
        stored = self._stored(low, high)
        # Outputs that would need samples to come are computed with the rest of their tile, and not used.
        data = stored if self.ratio == 1 else resampling.resample(stored, low, tiles, self.ratio)
        edges = [math.ceil(k * self.rate) - self._first for k in (second, second + 1)]
        limits = self._at_limit[:, edges[0] : edges[1]]
        saturated = limits.mean(axis=1) if limits.shape[1] else np.zeros(len(limits))
        return data[:, span[0] - tiles[0] : span[1] - tiles[0]], saturated.astype(np.float32)

    def forget(self, second: int) -> None:
        """Drop samples that neither this second nor a later one needs."""
        low = resampling.support(resampling.widen(self._span(second), self.ratio), self.ratio)[0]
        skip = min(low, math.floor(second * self.rate)) - self._first
        if skip > 0:
            self._values, self._at_limit = self._values[:, skip:].copy(), self._at_limit[:, skip:].copy()
            self._first += skip

    def _span(self, second: int) -> tuple[int, int]:
        return second * self._sfreq, (second + 1) * self._sfreq

    def _stored(self, low: int, high: int) -> Signal:
        """Return samples `low` to `high`; outside the segment its first and last one are repeated."""
        first, last = min(max(low, 0), self._n - 1), max(min(high, self._n), 1)
        part = self._values[:, first - self._first : last - self._first]
        return np.pad(part, ((0, 0), (first - low, high - last)), mode="edge") if (first, last) != (low, high) else part
