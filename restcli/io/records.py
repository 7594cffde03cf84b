"""Stored records on disk, read as integers and scaled to microvolts."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.companions import open_regular, unreadable
from restcli.io.edf_header import EdfHeader, EdfSignal
from restcli.signal.resampling import Signal

Integers: TypeAlias = NDArray[np.int16] | NDArray[np.int32]

# Longer records, bytes, are read in parts: one would fill the memory.
LONGEST_RECORD = 2**19


@dataclass(frozen=True)
class RecordSource:
    """A file of equal records, and its size and time when it was opened, to notice when it changes."""

    path: Path
    header: EdfHeader
    size: int
    modified: int  # ns

    @classmethod
    def of(cls, path: Path, header: EdfHeader, status: os.stat_result) -> RecordSource:
        """Remember a file as it is now."""
        return cls(path, header, status.st_size, status.st_mtime_ns)

    @cached_property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return tuple(s.n_samples / self.header.record_duration for s in self.header.signals)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of all signals in a second."""
        return float(self.header.record_bytes / self.header.record_duration)

    @contextmanager
    def open(self) -> Iterator[RecordHandle]:
        """Open the file for reading."""
        try:
            with open_regular(self.path) as file:
                yield RecordHandle(self, file)
        except OSError as error:
            raise unreadable(self.path, error) from None


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
        stored = self._stored(signals, start, stop)
        data = np.empty(stored.shape, dtype=np.float32)
        limits = None
        for row, signal in enumerate(signals):
            np.multiply(stored[row], np.float32(signal.scale), out=data[row])
            data[row] += np.float32(signal.shift)
            low, high = signal.digital_min, signal.digital_max
            if not signal.problem and (stored[row].min() <= low or stored[row].max() >= high):
                limits = np.zeros(stored.shape, dtype=bool) if limits is None else limits
                limits[row] = (stored[row] == low) | (stored[row] == high)
        return data, limits

    def records(self, first: int, last: int) -> NDArray[np.uint8]:
        """Return whole records as they are, (records, samples, bytes of a sample)."""
        self._check_unchanged()
        return self._records(first, last)

    def _check_unchanged(self) -> None:
        status = os.fstat(self.file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.source.size, self.source.modified):
            what = "the file changed while it was read"
            raise RecordingError(str(self.source.path), what, remedy="Try again when it is closed")

    def _records(self, first: int, last: int) -> NDArray[np.uint8]:
        header = self.source.header
        raw = self._bytes(header.data_start + first * header.record_bytes, (last - first) * header.record_bytes)
        return raw.reshape(last - first, -1, header.sample_bytes)

    def _stored(self, signals: Sequence[EdfSignal], start: int, stop: int) -> Integers:
        """Return integers as stored, (C, n)."""
        header, n_samples = self.source.header, signals[0].n_samples
        dtype = np.int16 if header.sample_bytes == 2 else np.int32
        if header.record_bytes > LONGEST_RECORD:
            out = np.empty((len(signals), stop - start), dtype=dtype)
            for row, signal in enumerate(signals):
                self._read_long_records(signal, start, out[row])
            return out
        first, last = start // n_samples, -(-stop // n_samples)
        samples = self._records(first, last)
        whole = np.empty((len(signals), last - first, n_samples), dtype=dtype)
        for row, signal in enumerate(signals):
            whole[row] = _integers(samples[:, signal.first : signal.first + n_samples])
        return whole.reshape(len(signals), -1)[:, start - first * n_samples : stop - first * n_samples]

    def _read_long_records(self, signal: EdfSignal, start: int, out: Integers) -> None:
        """Fill `out` with the samples of one signal from `start` on, without reading the others'."""
        header, done = self.source.header, 0
        while done < len(out):
            record, inside = divmod(start + done, signal.n_samples)
            count = min(len(out) - done, signal.n_samples - inside)
            place = header.data_start + record * header.record_bytes + (signal.first + inside) * header.sample_bytes
            raw = self._bytes(place, count * header.sample_bytes)
            out[done : done + count] = _integers(raw.reshape(1, count, header.sample_bytes))[0]
            done += count

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


def _integers(samples: NDArray[np.uint8]) -> Integers:
    """Turn little-endian bytes, (records, n, 2 to 4), into integers, (records, n)."""
    if samples.shape[-1] != 3:
        return samples.view(f"<i{samples.shape[-1]}")[..., 0]
    # Three bytes become the upper three of four; the shift down restores size and sign.
    wide = np.zeros((*samples.shape[:2], 4), dtype=np.uint8)
    wide[..., 1:] = samples
    return wide.view("<i4")[..., 0] >> 8
