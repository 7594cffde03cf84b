"""Stored records on disk, read as integers and scaled to microvolts."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io import edf_header
from restcli.io.companions import open_regular, unreadable
from restcli.signal.resampling import Signal

# Longer records, bytes, are read in parts: one would fill the memory.
LONGEST_RECORD = 2**19


@dataclass(frozen=True)
class RecordSource:
    """Reads stored records itself: MNE closes gaps, brings channels to one rate and hides digital limits."""

    path: Path
    header: edf_header.EdfHeader
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path, header: edf_header.EdfHeader, status: os.stat_result) -> RecordSource:
        """Remember the file as it is now, to notice when it changes."""
        return cls(path, header, status.st_size, status.st_mtime_ns)

    @property
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
            raise RecordingError(
                str(self.source.path), "changed while it was read", remedy="try again when it is closed"
            )

    def _records(self, first: int, last: int) -> NDArray[np.uint8]:
        header = self.source.header
        raw = self._bytes(header.data_start + first * header.record_bytes, (last - first) * header.record_bytes)
        return raw.reshape(last - first, -1, header.sample_bytes)

    def _stored(
        self, signals: Sequence[edf_header.EdfSignal], start: int, stop: int
    ) -> NDArray[np.int32] | NDArray[np.int16]:
        """Integers as stored, (C, n)."""
        header = self.source.header
        width, n_samples = header.sample_bytes, signals[0].n_samples
        first, last = start // n_samples, -(-stop // n_samples)
        dtype = np.int16 if width == 2 else np.int32
        out = np.empty((len(signals), last - first, n_samples), dtype=dtype)
        # Records are read whole unless they are so long that one would fill the memory.
        if header.record_bytes <= LONGEST_RECORD:
            samples = self._records(first, last)
            for row, signal in enumerate(signals):
                out[row] = _integers(samples[:, signal.first : signal.first + n_samples])
            return out.reshape(len(signals), -1)[:, start - first * n_samples : stop - first * n_samples]
        return self._long_records(signals, start, stop)

    def _long_records(
        self, signals: Sequence[edf_header.EdfSignal], start: int, stop: int
    ) -> NDArray[np.int32] | NDArray[np.int16]:
        header = self.source.header
        width, n_samples = header.sample_bytes, signals[0].n_samples
        out = np.empty((len(signals), stop - start), dtype=np.int16 if width == 2 else np.int32)
        for row, signal in enumerate(signals):
            position = start
            while position < stop:
                record, inside = divmod(position, n_samples)
                count = min(stop - position, n_samples - inside)
                place = header.data_start + record * header.record_bytes + (signal.first + inside) * width
                part = self._bytes(place, count * width).reshape(1, count, width)
                out[row, position - start : position - start + count] = _integers(part)[0]
                position += count
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
                raise RecordingError(
                    str(self.source.path),
                    "ended before its last record",
                    remedy="it shrank while it was read; copy it again",
                )
            done += got
        return raw


def _integers(samples: NDArray[np.uint8]) -> NDArray[np.int32] | NDArray[np.int16]:
    """Turn little-endian bytes, (records, n, 2 to 4), into integers, (records, n)."""
    if samples.shape[-1] != 3:
        return samples.view(f"<i{samples.shape[-1]}")[..., 0]
    # Three bytes become the upper three of four; the shift down restores size and sign.
    wide = np.zeros((*samples.shape[:2], 4), dtype=np.uint8)
    wide[..., 1:] = samples
    return wide.view("<i4")[..., 0] >> 8
