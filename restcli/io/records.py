"""Stored records on disk, read as numbers and scaled to microvolts."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.companions import changed, reading
from restcli.io.edf_times import RecordTimes
from restcli.io.headers import PART_OF_SAMPLE, check_length, length_notes
from restcli.io.recording import Channel, Recording, to_samples
from restcli.io.segments import of_runs
from restcli.signal.resampling import Signal

Samples: TypeAlias = NDArray[Any]  # integers of any size, or floats

# Longer records, bytes, are read in parts: one would fill the memory.
LONGEST_RECORD = 2**19


@dataclass(frozen=True)
class StoredSignal:
    """One signal of a file of records; ``value = digital * scale + shift`` in `unit`."""

    label: str
    unit: str  # see `headers.known_unit`
    scale: float  # NaN, as `shift`, when there is a problem
    shift: float
    digital_min: int
    digital_max: int  # equal to `digital_min` where no limits are known
    n_samples: int  # in each record
    first: int  # place of the first of them in the record, samples
    problem: str = ""  # why the channel cannot be used; empty when it can


@dataclass(frozen=True)
class RecordLayout:
    """What a header says, after repair, of equal records; patient and recording fields are not kept."""

    kind: str  # such as "EDF", "EDF+C", "EDF+D" or "Persyst"
    start: datetime | None  # clock time as the header gives it
    data_start: int  # bytes before the first record
    record_bytes: int
    sample_bytes: int
    record_duration: Fraction  # s
    signals: tuple[StoredSignal, ...]
    repairs: tuple[str, ...]
    annotations: tuple[StoredSignal, ...] = ()  # signals that hold time stamps and text
    n_records: int = 0  # complete records in the file
    n_missing: int = 0  # records that the header announces and the file does not hold
    form: str = ""  # numpy's name of the type of samples, where they are not signed integers

    def place(self, record: int, signal: StoredSignal) -> int:
        """Return the byte at which the samples of a signal begin in a record."""
        return self.data_start + record * self.record_bytes + signal.first * self.sample_bytes


@dataclass(frozen=True)
class RecordSource:
    """A file of equal records, and its size and time when it was opened, to notice when it changes."""

    path: Path
    header: RecordLayout
    size: int
    modified: int  # ns

    @cached_property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return tuple(s.n_samples / self.header.record_duration for s in self.header.signals)

    @contextmanager
    def open(self) -> Iterator[RecordHandle]:
        """Open the file for reading."""
        with reading(self.path) as file:
            yield RecordHandle(self, file)


@dataclass(frozen=True)
class RecordHandle:
    """An open file of records."""

    source: RecordSource
    file: io.BufferedReader

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, NDArray[np.bool_] | None]:
        """Return stored samples in microvolts, and which lie at the digital limits."""
        self._check_unchanged()
        header = self.source.header
        signals = [header.signals[channel] for channel in channels]
        n_samples = signals[0].n_samples
        first, last = start // n_samples, -(-stop // n_samples)
        long = header.record_bytes > LONGEST_RECORD
        records = None if long else self._records(first, last)
        shape, before = ((1, stop - start), 0) if long else ((last - first, n_samples), start - first * n_samples)
        data = np.empty((len(signals), *shape), dtype=np.float32)
        limits = None
        for row, signal in enumerate(signals):
            if records is None:
                stored = self._long_records(signal, start, stop)
            else:
                stored = _numbers(records[:, signal.first : signal.first + n_samples], header.form)
            with np.errstate(over="ignore", invalid="ignore"):
                data[row] = stored
                data[row] *= np.float32(signal.scale)
                if signal.shift:
                    data[row] += np.float32(signal.shift)
            if stored.dtype.kind == "f":
                data[row] = to_samples(data[row])
            low, high = signal.digital_min, signal.digital_max
            if not signal.problem and low != high and (stored.min() <= low or stored.max() >= high):
                limits = np.zeros(data.shape, dtype=bool) if limits is None else limits
                limits[row] = (stored == low) | (stored == high)
        cut = slice(before, before + stop - start)
        return data.reshape(len(data), -1)[:, cut], None if limits is None else limits.reshape(len(data), -1)[:, cut]

    def _check_unchanged(self) -> None:
        status = os.fstat(self.file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.source.size, self.source.modified):
            raise changed(self.source.path)

    def _records(self, first: int, last: int) -> NDArray[np.uint8]:
        header = self.source.header
        raw = self._bytes(header.data_start + first * header.record_bytes, (last - first) * header.record_bytes)
        return raw.reshape(last - first, -1, header.sample_bytes)

    def _long_records(self, signal: StoredSignal, start: int, stop: int) -> Samples:
        """Return stored samples of one signal, (1, n), without reading the others' or more of its records."""
        header, size, done = self.source.header, self.source.header.sample_bytes, 0
        out = np.empty((1, stop - start), dtype=header.form or (np.int16 if size == 2 else np.int32))
        while done < out.size:
            record, inside = divmod(start + done, signal.n_samples)
            count = min(out.size - done, signal.n_samples - inside)
            place = header.place(record, signal) + inside * size
            out[0, done : done + count] = _numbers(
                self._bytes(place, count * size).reshape(1, count, size), header.form
            )[0]
            done += count
        return out

    def _bytes(self, place: int, count: int) -> NDArray[np.uint8]:
        """Read exactly `count` bytes, or fail: a short read must not become zeros."""
        raw = np.empty(count, dtype=np.uint8)
        view = raw.data
        self.file.seek(place)
        done = 0
        while done < count:
            got = self.file.readinto(view[done:])
            if not got:
                what = "the file ended before its last record"
                raise RecordingError(str(self.source.path), what, remedy="Copy it again")
            done += got
        return raw


def _numbers(samples: NDArray[np.uint8], form: str = "") -> Samples:
    """Turn little-endian bytes, (records, n, 1 to 4), into numbers, (records, n)."""
    if form or samples.shape[-1] != 3:
        return samples.view(form or f"<i{samples.shape[-1]}")[..., 0]
    # Three bytes become the upper three of four; the shift down restores size and sign.
    wide = np.zeros((*samples.shape[:2], 4), dtype=np.uint8)
    wide[..., 1:] = samples
    return wide.view("<i4")[..., 0] >> 8


def with_samples(layout: RecordLayout, held: int, announced: int, *, incomplete: bool, where: str) -> RecordLayout:
    """Compare the samples that a file holds, one a record, with those that its header announces."""
    held_seconds, announced_seconds = (float(n * layout.record_duration) for n in (held, announced))
    check_length(held_seconds, where)
    notes = length_notes(held_seconds, announced_seconds) + ((PART_OF_SAMPLE,) if incomplete else ())
    missing = max(0, announced - held)
    return replace(layout, n_records=held, n_missing=missing, repairs=layout.repairs + notes)


def from_records(
    path: Path,
    header: RecordLayout,
    status: os.stat_result,
    *,
    times: RecordTimes | None = None,
    data: Path | None = None,
) -> Recording:
    """Make a recording of the equal records of a file in some state: `path`, or `data` beside it."""
    times = times or RecordTimes()
    step = header.record_duration * times.pace
    header = replace(header, record_duration=step)
    segments = of_runs(times, [*times.first, header.n_records], step)
    check_length(segments[-1].stop, str(path))
    channels = []
    for signal in header.signals:
        ends = (signal.digital_min, signal.digital_max) if signal.digital_min != signal.digital_max else (math.nan,) * 2
        low, high = sorted(limit * signal.scale + signal.shift for limit in ends)
        rate = float(signal.n_samples / step)
        count = signal.n_samples * header.n_records
        channels.append(Channel(signal.label, signal.unit, rate, count, low, high, signal.problem))
    clock = header.start + timedelta(seconds=times.origin) if header.start is not None else None
    return Recording(
        path,
        header.kind,
        tuple(channels),
        clock,
        segments[-1].stop,
        segments,
        header.repairs + times.repairs,
        RecordSource(data or path, header, status.st_size, status.st_mtime_ns),
        missing=float(header.n_missing * step),
    )
