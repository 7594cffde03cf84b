"""What is known of a recording, and reading its signals in blocks of whole seconds, in microvolts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.profiling import StageClock
from restcli.signal import resampling
from restcli.signal.resampling import Signal

# Samples in the longest block, and the seconds of the shortest one that is long enough to resample well.
_BLOCK_SAMPLES = 2**19
_SHORTEST_BLOCK = 40
LARGEST = 1e9  # in any unit; beyond, powers of samples overflow


def to_samples(values: NDArray[Any]) -> Signal:
    """Return samples in single precision, NaN where they are not finite or absurd."""
    with np.errstate(over="ignore", invalid="ignore"):
        samples = values.astype(np.float32)
        samples[~(np.abs(samples) < LARGEST)] = np.nan
    return samples


@dataclass(frozen=True)
class Channel:
    """A stored signal."""

    label: str  # as in the file, without padding
    unit: str  # of what `Recording.blocks` gives: "µV", or another unit, see `headers.known_unit`
    sfreq: float  # stored sampling rate, Hz
    n_samples: int
    minimum: float  # value at the digital limit, in `unit`; NaN when unknown
    maximum: float
    problem: str = ""  # why the samples have no meaning (they read as NaN); empty when they have
    inside: bool = False  # whether its type says that the electrode lies inside the head


@dataclass(frozen=True)
class Segment:
    """A stretch without gaps."""

    start: float  # true time, seconds from the start of the recording
    stop: float
    offset: float  # seconds into the stored signal, where gaps take no room


@dataclass(frozen=True, eq=False)
class Block:
    """Whole seconds of signal from one segment."""

    start: float  # true time of the first sample, seconds from the start of the recording
    data: Signal  # (C, n), microvolts at the sampling rate asked for; NaN on channels without meaning
    saturated: Signal  # (C, n_seconds), fraction of stored samples of each second that lie at the digital limits


class Handle(Protocol):
    """An open file that gives stored samples."""

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, NDArray[np.bool_] | None]:
        """Return stored samples `start` to `stop` of channels of one rate, (C, n), and which lie at the limits."""


class Source(Protocol):
    """How to come back to a file: plain data, no open handle."""

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""

    def open(self) -> AbstractContextManager[Handle]:
        """Open the file for reading."""


CUT_OFF = "cut off: missing from the file"  # why what is `missing` was not scored


@dataclass(frozen=True)
class Recording:
    """What is known of a recording before its signals are read; plain data that can be pickled."""

    path: Path  # of the file that stands for the recording
    format: str  # such as "EDF+D" or "Persyst"
    channels: tuple[Channel, ...]  # stored signals, without annotations
    start: datetime | None  # clock time of the first sample
    duration: float  # true duration of what can be read, gaps included, seconds
    segments: tuple[Segment, ...]  # in order; what lies between them was not recorded
    repairs: tuple[str, ...]  # what was wrong in the file and what was done; never patient data
    source: Source = field(repr=False, compare=False)
    missing: float = 0.0  # seconds after `duration` that the header or an annotation announces and that the file lacks
    clock_until: float = math.inf  # true time from which on pauses of unknown length lie before the signal, seconds
    # SHA-256 of the beginning, middle and end of its files; empty where it is not in files
    fingerprint: str = field(default="", compare=False)

    @property
    def clock(self) -> datetime | None:
        """Clock time to which times in the recording can be added; None with a pause of unknown length."""
        return self.start if self.clock_until == math.inf else None

    def stored_span(self, segment: Segment, channel: int) -> tuple[int, int]:
        """Return where a segment begins in the stored samples of a channel, and how many it has."""
        rate = self.source.rates[channel]
        origin = round(Fraction(segment.offset).limit_denominator(1_000_000_000) * rate)
        held = self.channels[channel].n_samples - origin
        return origin, min(round((segment.stop - segment.start) * float(rate)), held)

    def blocks(
        self, channels: Sequence[int], *, sfreq: float, seconds: int = 600, clock: StageClock | None = None
    ) -> Iterator[Block]:
        """Read the recording from end to end, in blocks of at most `seconds` that never reach across a gap.

        `sfreq` is a whole number; the last partial second of a segment is left out. The samples do not depend on how
        long blocks are. RecordingError if the file changes or cannot be read on.
        """
        if sfreq != round(sfreq) or sfreq < 1 or seconds < 1:
            raise UsageError("blocks", f"sampling rate {sfreq} Hz, {seconds} s", "whole numbers of at least 1")
        # What is read at a time fits into the processor's cache; resampling has a margin of some 20 s.
        longest = max(_SHORTEST_BLOCK, int(_BLOCK_SAMPLES / sum(self.source.rates)))
        with self.source.open() as handle:
            reading = _Reading(self, handle, channels, Fraction(sfreq), clock or StageClock())
            for segment in self.segments:
                n_seconds = math.floor(segment.stop - segment.start + 1e-6)
                for first in range(0, n_seconds, min(seconds, longest)):
                    yield reading.block(segment, first, min(first + min(seconds, longest), n_seconds))

    def read(self, channels: Sequence[int], start: float, stop: float, *, sfreq: float | None = None) -> Signal:
        """Read a stretch, for traces, shape (C, round((stop - start) * sfreq)).

        In microvolts, at the highest rate of the channels when `sfreq` is None; NaN in gaps and outside the recording.
        """
        rates = self.source.rates
        highest = max((rates[c] for c in channels), default=Fraction(0))
        target = highest if sfreq is None else resampling.exact_rate(sfreq)
        n_samples = max(0, round((stop - start) * float(target)))
        out = np.full((len(channels), n_samples), np.nan, dtype=np.float32)
        with self.source.open() as handle:
            reading = _Reading(self, handle, channels, target, StageClock())
            for segment in self.segments:
                shift = round((start - segment.start) * float(target))
                length = round((segment.stop - segment.start) * float(target))
                low, high = max(0, shift), min(length, shift + n_samples)
                if low < high:
                    for rows, picks in reading.by_rate():
                        part, _ = reading.resampled(picks, segment, (low, high))
                        out[rows, low - shift : high - shift] = part
        return out


@dataclass(frozen=True)
class _Reading:
    """An open recording and the channels that are read from it, at one rate."""

    recording: Recording
    handle: Handle
    channels: Sequence[int]
    target: Fraction  # Hz
    clock: StageClock

    def block(self, segment: Segment, first: int, last: int) -> Block:
        """Read whole seconds of one segment."""
        sfreq, rates = int(self.target), self.recording.source.rates
        saturated = np.zeros((len(self.channels), last - first), dtype=np.float32)
        data: Signal | None = None
        for rows, picks in self.by_rate():
            part, limits = self.resampled(picks, segment, (first * sfreq, last * sfreq))
            if limits is not None:
                saturated[rows] = _per_second(limits, rates[picks[0]], (first, last))
            if len(rows) == len(saturated):
                data = np.ascontiguousarray(part)
                break
            if data is None:
                data = np.full((len(saturated), (last - first) * sfreq), np.nan, dtype=np.float32)
            data[rows] = part
        if data is None:  # no channel has a rate
            data = np.full((len(saturated), (last - first) * sfreq), np.nan, dtype=np.float32)
        return Block(segment.start + first, data, saturated)

    def by_rate(self) -> Iterator[tuple[list[int], list[int]]]:
        """Group channels by sampling rate: rows of the result, and channel indices."""
        rates = self.recording.source.rates
        groups: dict[Fraction, list[int]] = {}
        for row, channel in enumerate(self.channels):
            if rates[channel] > 0:
                groups.setdefault(rates[channel], []).append(row)
        for rows in groups.values():
            yield rows, [self.channels[row] for row in rows]

    def resampled(
        self, picks: Sequence[int], segment: Segment, span: tuple[int, int]
    ) -> tuple[Signal, tuple[NDArray[np.bool_], int] | None]:
        """Return samples `span` of a segment, and which stored samples, from the second value on, are at limits."""
        origin, n_stored = self.recording.stored_span(segment, picks[0])
        ratio = resampling.ratio_of(self.target, self.recording.source.rates[picks[0]])
        tiles = resampling.widen(span, ratio)
        low, high = resampling.support(tiles, ratio)
        first, last = min(max(low, 0), n_stored - 1), max(min(high, n_stored), 1)  # those of them that exist
        with self.clock("read"):
            stored, limits = self.handle.read(picks, origin + first, origin + last)
        found = None if limits is None or not limits.any() else (limits, first)
        if low < first or high > last:
            stored = np.pad(stored, ((0, 0), (first - low, high - last)), mode="edge")
        if ratio == 1:
            return stored, found
        with self.clock("resample"):
            data = resampling.resample(stored, low, tiles, ratio)
        return data[:, span[0] - tiles[0] : span[1] - tiles[0]], found


def _per_second(limits: tuple[NDArray[np.bool_], int], rate: Fraction, seconds: tuple[int, int]) -> Signal:
    """Return the fraction of stored samples at the limits in each second, (C, n)."""
    at_limit, first = limits
    begins = [math.ceil(second * rate) - first for second in range(seconds[0], seconds[1] + 1)]
    edges = np.clip(np.array(begins, dtype=np.intp), 0, at_limit.shape[1])
    fraction = np.zeros((len(at_limit), len(edges) - 1), dtype=np.float32)
    for row in np.flatnonzero(at_limit.any(axis=1)).tolist():
        places = np.searchsorted(np.flatnonzero(at_limit[row]), edges)
        fraction[row] = np.diff(places) / np.maximum(np.diff(edges), 1)
    return fraction
