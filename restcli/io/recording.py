"""The door to signal files: checks, repairs, segments, blocks in microvolts; knows neither brains nor torch."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError, UsageError
from restcli.io import edf_header, edf_times, persyst
from restcli.profiling import StageClock
from restcli.signal import resampling

Signal = NDArray[np.float32]
AnyBlock = TypeVar("AnyBlock")

# Bytes of samples read at a time, small enough for the processor's cache; blocks are put together from such chunks.
_CHUNK_BYTES = 2**21
# Bytes of the seconds of a block that is resampled elsewhere; tiles at its ends add some twenty seconds.
_STORED_BYTES = 3 * 2**24
# Shorter chunks, seconds, would make more tiles (see `resampling`) than they use.
_SHORTEST_CHUNK = 40
_MNE_FORMATS = {".vhdr": "BrainVision", ".eeg": "Nihon Kohden", ".lay": "Persyst", ".set": "EEGLAB"}
_EDF_ENDINGS = frozenset({".edf", ".bdf", ".rec"})
_ANY_FORMAT = "an EDF, BDF, BrainVision, Nihon Kohden, Persyst or EEGLAB recording was expected"
# What readers raise on files that they cannot make sense of.
_READER_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
)


@dataclass(frozen=True)
class Channel:
    """A stored signal.

    Parameters
    ----------
    label : str
        As in the file, without padding.
    unit : str
        Unit of what `Recording.blocks` gives: ``µV``, or the file's own unit when that is no voltage.
    sfreq : float
        Stored sampling rate, Hz.
    n_samples : int
        Stored samples.
    minimum, maximum : float
        Values at the digital limits, in `unit`; NaN when unknown.
    problem : str
        Why the samples have no meaning (they read as NaN); empty when they have.
    """

    label: str
    unit: str
    sfreq: float
    n_samples: int
    minimum: float
    maximum: float
    problem: str = ""


@dataclass(frozen=True)
class Segment:
    """A stretch without gaps.

    Parameters
    ----------
    start, stop : float
        True time, seconds from the start of the recording.
    offset : float
        Seconds into the stored signal, where gaps take no room.
    """

    start: float
    stop: float
    offset: float


@dataclass(frozen=True, eq=False)
class Block:
    """Whole seconds of signal from one segment.

    Parameters
    ----------
    start : float
        True time of the first sample, seconds from the start of the recording.
    data : ndarray of float32, shape (C, n)
        Microvolts at the sampling rate asked for; NaN on channels without meaning.
    saturated : ndarray of float32, shape (C, n_seconds)
        Fraction of stored samples of each second that lie at the digital limits.
    """

    start: float
    data: Signal
    saturated: Signal


@dataclass(frozen=True, eq=False)
class StoredBlock:
    """Whole seconds of one segment as they lie in the file, to be scaled and resampled elsewhere.

    Parameters
    ----------
    start : float
        True time of the first second, seconds from the start of the recording.
    records : ndarray of int16, shape (R, n)
        Whole records.
    signals : tuple of EdfSignal
        Where the C channels lie in a record, and what their integers mean.
    cut : tuple of int
        First stored sample used and the one after the last, counted from the first record.
    repeat : tuple of int
        How often the first and the last of them are repeated, where the resampling filter reaches beyond the segment.
    ratio : Fraction
        Rate asked for over stored rate.
    skip, n_samples : int
        Samples to leave out after resampling, and samples to keep.
    edges : ndarray, shape (T + 1,)
        Where each second begins, and the last ends, in stored samples used.
    """

    start: float
    records: NDArray[np.int16]
    signals: tuple[edf_header.EdfSignal, ...]
    cut: tuple[int, int]
    repeat: tuple[int, int]
    ratio: Fraction
    skip: int
    n_samples: int
    edges: NDArray[np.intp]


class Handle(Protocol):
    """An open file that gives stored samples."""

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, NDArray[np.bool_] | None]:
        """Return stored samples `start` to `stop` of channels of one rate, (C, n), and which lie at the limits."""


class Source(Protocol):
    """How to come back to a file: plain data, no open handle."""

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""

    @property
    def bytes_per_second(self) -> float:
        """Bytes that one second of reading holds in memory."""

    def open(self) -> Any:
        """Return a context manager that gives a `Handle`."""


@dataclass(frozen=True)
class Recording:
    """What is known of a recording before its signals are read.

    Parameters
    ----------
    path : Path
        As given.
    format : str
        E.g. ``EDF+D`` or ``Persyst``.
    channels : tuple of Channel
        Stored signals, without annotations.
    start : datetime or None
        Clock time of the first sample.
    duration : float
        True duration, gaps included, seconds.
    segments : tuple of Segment
        In order; what lies between them was not recorded.
    repairs : tuple of str
        What was wrong in the file and what was done; never patient data.
    source : Source
        How the file is read.
    """

    path: Path
    format: str
    channels: tuple[Channel, ...]
    start: datetime | None
    duration: float
    segments: tuple[Segment, ...]
    repairs: tuple[str, ...]
    source: Source = field(repr=False, compare=False)

    def blocks(
        self, channels: Sequence[int], *, sfreq: float, seconds: int = 600, clock: StageClock | None = None
    ) -> Iterator[Block]:
        """Read the recording from end to end.

        Parameters
        ----------
        channels : sequence of int
            Indices into `channels`.
        sfreq : float
            Sampling rate of the result, Hz; a whole number.
        seconds : int
            Longest block. The samples do not depend on it.
        clock : StageClock, optional
            Collects the time spent on reading and on resampling.

        Yields
        ------
        Block
            Never across a gap; the last partial second of a segment is left out.

        Raises
        ------
        RecordingError
            If the file changes or cannot be read on.
        """
        return self._each(self._block, channels, sfreq, seconds, clock or StageClock())

    def stored_blocks(
        self, channels: Sequence[int], *, sfreq: float, seconds: int = 600, clock: StageClock | None = None
    ) -> Iterator[Block | StoredBlock]:
        """Read the recording from end to end, as stored where that can be resampled elsewhere.

        Parameters
        ----------
        channels, sfreq, seconds, clock
            As in `blocks`.

        Yields
        ------
        StoredBlock or Block
            `StoredBlock` when channels of one rate lie in 16-bit records of usual length, else as `blocks` does. Where
            seconds take many bytes a block is shorter, so that its records hardly take more than 64 MB.
        """
        if not self._storable(channels, sfreq):
            return self.blocks(channels, sfreq=sfreq, seconds=seconds, clock=clock)
        most = max(_SHORTEST_CHUNK, int(_STORED_BYTES / self.source.bytes_per_second))
        return self._each(self._stored_block, channels, sfreq, min(seconds, most), clock or StageClock())

    def read(self, channels: Sequence[int], start: float, stop: float, *, sfreq: float | None = None) -> Signal:
        """Read a stretch, for traces.

        Parameters
        ----------
        channels : sequence of int
            Indices into `channels`.
        start, stop : float
            Seconds from the start of the recording.
        sfreq : float or None
            Sampling rate of the result, Hz; the highest of the channels when None.

        Returns
        -------
        ndarray of float32, shape (C, round((stop - start) * sfreq))
            Microvolts; NaN in gaps and outside the recording.
        """
        rates = self.source.rates
        target = (
            resampling.exact_rate(sfreq)
            if sfreq is not None
            else max((rates[c] for c in channels), default=Fraction(0))
        )
        n_samples = max(0, round((stop - start) * float(target)))
        out = np.full((len(channels), n_samples), np.nan, dtype=np.float32)
        with self.source.open() as handle:
            for segment in self.segments:
                shift = round((start - segment.start) * float(target))
                length = round((segment.stop - segment.start) * float(target))
                low, high = max(0, shift), min(length, shift + n_samples)
                if low < high:
                    for rows, picks in _by_rate(channels, rates):
                        part, _ = self._resampled(
                            handle, picks, segment, span=(low, high), target=target, clock=StageClock()
                        )
                        out[rows, low - shift : high - shift] = part
        return out

    def _each(
        self, read: Callable[..., AnyBlock], channels: Sequence[int], sfreq: float, seconds: int, clock: StageClock
    ) -> Iterator[AnyBlock]:
        if sfreq != round(sfreq) or sfreq < 1 or seconds < 1:
            raise UsageError("blocks", f"sampling rate {sfreq} Hz, {seconds} s", "whole numbers of at least 1")
        with self.source.open() as handle:
            for segment in self.segments:
                n_seconds = math.floor(segment.stop - segment.start + 1e-6)
                for first in range(0, n_seconds, seconds):
                    span = (first, min(first + seconds, n_seconds))
                    yield read(handle, channels, segment, span=span, sfreq=int(sfreq), clock=clock)

    def _block(
        self,
        handle: Handle,
        channels: Sequence[int],
        segment: Segment,
        *,
        span: tuple[int, int],
        sfreq: int,
        clock: StageClock,
    ) -> Block:
        """Whole seconds of one segment, read in chunks so that memory does not grow with rates."""
        first, last = span
        data = np.full((len(channels), (last - first) * sfreq), np.nan, dtype=np.float32)
        saturated = np.zeros((len(channels), last - first), dtype=np.float32)
        step = max(_SHORTEST_CHUNK, int(_CHUNK_BYTES / self.source.bytes_per_second))
        for rows, picks in _by_rate(channels, self.source.rates):
            for second in range(first, last, step):
                stop = min(second + step, last)
                part, limits = self._resampled(
                    handle, picks, segment, span=(second * sfreq, stop * sfreq), target=Fraction(sfreq), clock=clock
                )
                data[rows, (second - first) * sfreq : (stop - first) * sfreq] = part
                if limits is not None:
                    fraction = _per_second(limits, self.source.rates[picks[0]], (second, stop))
                    saturated[rows, second - first : stop - first] = fraction
        return Block(segment.start + first, data, saturated)

    def _storable(self, channels: Sequence[int], sfreq: float) -> bool:
        rates = {self.source.rates[channel] for channel in channels}
        if not isinstance(self.source, RecordSource) or len(rates) != 1 or 0 in rates:
            return False
        header = self.source.header
        ratio = resampling.ratio_of(Fraction(sfreq), rates.pop())
        usual = header.record_bytes <= _CHUNK_BYTES // 4 and ratio.numerator <= resampling.LARGEST_BANK
        return header.sample_bytes == 2 and usual

    def _stored_block(
        self,
        handle: RecordHandle,
        channels: Sequence[int],
        segment: Segment,
        *,
        span: tuple[int, int],
        sfreq: int,
        clock: StageClock,
    ) -> StoredBlock:
        wanted = (span[0] * sfreq, span[1] * sfreq)
        reach = self._reach(channels[0], segment, span=wanted, target=Fraction(sfreq))
        signals = tuple(handle.source.header.signals[channel] for channel in channels)
        with clock("read"):
            begin = (reach.origin + reach.first) // signals[0].n_samples
            end = -(-(reach.origin + reach.last) // signals[0].n_samples)
            records = handle.records(begin, end)
        before = reach.origin - begin * signals[0].n_samples  # stored samples of the records before the segment's
        return StoredBlock(
            start=segment.start + span[0],
            records=records.view("<i2")[..., 0],
            signals=signals,
            cut=(before + reach.first, before + reach.last),
            repeat=(reach.first - reach.low, reach.high - reach.last),
            ratio=reach.ratio,
            skip=wanted[0] - reach.tiles[0],
            n_samples=wanted[1] - wanted[0],
            edges=_edges(self.source.rates[channels[0]], span, reach.first, reach.last - reach.first),
        )

    def _reach(self, channel: int, segment: Segment, *, span: tuple[int, int], target: Fraction) -> _Reach:
        rate = self.source.rates[channel]
        origin = round(Fraction(segment.offset).limit_denominator(1_000_000_000) * rate)
        n_stored = min(round((segment.stop - segment.start) * float(rate)), self.channels[channel].n_samples - origin)
        ratio = resampling.ratio_of(target, rate)
        tiles = resampling.widen(span, ratio)
        low, high = resampling.support(tiles, ratio)
        first, last = min(max(low, 0), n_stored - 1), max(min(high, n_stored), 1)
        return _Reach(origin, ratio, tiles, low, high, first, last)

    def _resampled(
        self,
        handle: Handle,
        channels: Sequence[int],
        segment: Segment,
        *,
        span: tuple[int, int],
        target: Fraction,
        clock: StageClock,
    ) -> tuple[Signal, tuple[NDArray[np.bool_], int] | None]:
        """Return samples `span` of a segment at the target rate, and which stored samples are at the limits."""
        reach = self._reach(channels[0], segment, span=span, target=target)
        low, high, first, last = reach.low, reach.high, reach.first, reach.last
        with clock("read"):
            stored, limits = handle.read(channels, reach.origin + first, reach.origin + last)
        found = None if limits is None or not limits.any() else (limits, first)
        if low < first or high > last:
            stored = np.pad(stored, ((0, 0), (first - low, high - last)), mode="edge")
        if reach.ratio == 1:
            return stored, found
        with clock("resample"):
            data = resampling.resample(stored, low, reach.tiles, reach.ratio)
        return data[:, span[0] - reach.tiles[0] : span[1] - reach.tiles[0]], found


@dataclass(frozen=True)
class _Reach:
    """Which stored samples of a segment, counted from `origin`, some output samples need."""

    origin: int
    ratio: Fraction
    tiles: tuple[int, int]  # the output samples in whole tiles
    low: int  # stored samples needed, some perhaps outside the segment
    high: int
    first: int  # those of them that exist
    last: int


def _by_rate(channels: Sequence[int], rates: Sequence[Fraction]) -> Iterator[tuple[list[int], list[int]]]:
    """Group channels by sampling rate: rows of the result, and channel indices."""
    groups: dict[Fraction, list[int]] = {}
    for row, channel in enumerate(channels):
        if rates[channel] > 0:
            groups.setdefault(rates[channel], []).append(row)
    for rows in groups.values():
        yield rows, [channels[row] for row in rows]


def _per_second(limits: tuple[NDArray[np.bool_], int], rate: Fraction, seconds: tuple[int, int]) -> Signal:
    """Return the fraction of stored samples at the limits in each second, (C, n)."""
    at_limit, first = limits
    edges = _edges(rate, seconds, first, at_limit.shape[1])
    total = np.concatenate([np.zeros((len(at_limit), 1)), np.cumsum(at_limit, axis=1)], axis=1)
    return np.asarray(np.diff(total[:, edges], axis=1) / np.maximum(np.diff(edges), 1), dtype=np.float32)


def _edges(rate: Fraction, seconds: tuple[int, int], first: int, n_samples: int) -> NDArray[np.intp]:
    """Where seconds begin among `n_samples` stored samples from `first` on, and the end of the last one."""
    begins = [math.ceil(second * rate) - first for second in range(seconds[0], seconds[1] + 1)]
    return np.clip(np.array(begins, dtype=np.intp), 0, n_samples)


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """Open a recording: read and mend its header, find its segments; signals stay on disk.

    Parameters
    ----------
    path : path
        EDF, EDF+, BDF, BrainVision (``.vhdr``), Nihon Kohden (``.EEG``), Persyst (``.lay``) or EEGLAB (``.set``).

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        If the file cannot be used; the reason is meant for the user.
    """
    path = Path(path)
    where = str(path)
    try:
        if path.is_dir():
            raise RecordingError(where, "is a folder", _ANY_FORMAT, "name the file in it")
        if not path.exists():
            raise RecordingError(where, "does not exist", _ANY_FORMAT, "check the name")
        if not path.is_file():
            raise RecordingError(where, "is no ordinary file", _ANY_FORMAT)
        with path.open("rb") as file:
            head = file.read(256)
            if not head:
                raise RecordingError(where, "is empty", _ANY_FORMAT, "copy the file again")
            ending = path.suffix.lower()
            if edf_header.is_edf(head) or ending in _EDF_ENDINGS or ending not in {*_MNE_FORMATS, ".dat", ".fdt"}:
                return _open_edf(path, file, head)
        path = _main_file(path)
        return _open_persyst(path) if path.suffix.lower() == ".lay" else _open_other(path, where)
    except OSError as error:
        raise _unreadable(where, error) from None


def _unreadable(where: str, error: OSError) -> RecordingError:
    reason = (
        "you have no permission to read it" if isinstance(error, PermissionError) else error.strerror or "no reason"
    )
    return RecordingError(where, f"cannot be read ({reason})", _ANY_FORMAT, "check the file and its permissions")


def recording_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a recording's content, in hexadecimal.

    Parameters
    ----------
    path : path
        The recording; files that a BrainVision, Persyst or EEGLAB header points to are hashed after it.

    Raises
    ------
    RecordingError
        If a file cannot be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    for part in (path, *_companions(path)):
        try:
            with part.open("rb") as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
        except OSError as error:
            raise _unreadable(str(part), error) from None
    return digest.hexdigest()


# ---- EDF and BDF


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
            with self.path.open("rb", buffering=0) as file:
                yield RecordHandle(self, file)
        except OSError as error:
            raise _unreadable(str(self.path), error) from None


@dataclass(frozen=True)
class RecordHandle:
    """An open file of records."""

    source: RecordSource
    file: io.FileIO

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
        if header.record_bytes <= _CHUNK_BYTES // 4:
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


def _open_edf(path: Path, file: io.BufferedReader, head: bytes) -> Recording:
    where = str(path)
    status = os.fstat(file.fileno())
    head += file.read(256 * edf_header.count_signals(head, where))
    header = edf_header.parse_header(head, status.st_size, where)
    file.seek(header.data_start)
    if edf_times.is_text_damaged(file.read(2**20)):
        raise RecordingError(
            where,
            "was damaged when it was copied: line endings were converted as in a text file, which shifts the samples",
            "the original bytes",
            "copy the original again as a binary file",
        )
    return _from_records(path, header, _timeline(file, header, where), source=RecordSource.of(path, header, status))


def _from_records(
    path: Path, header: edf_header.EdfHeader, times: edf_times.Timeline, *, source: RecordSource
) -> Recording:
    step = header.record_duration
    edges = [*times.first, header.n_records]
    segments = tuple(
        Segment(start, start + float((after - first) * step), float(first * step))
        for start, first, after in zip(times.start, edges, edges[1:], strict=False)
    )
    channels = []
    for signal in header.signals:
        low, high = sorted(limit * signal.scale + signal.shift for limit in (signal.digital_min, signal.digital_max))
        rate = float(signal.n_samples / step)
        count = signal.n_samples * header.n_records
        channels.append(Channel(signal.label, signal.unit, rate, count, low, high, signal.problem))
    clock = header.start + timedelta(seconds=times.origin) if header.start is not None else None
    repairs = header.repairs + times.repairs
    return Recording(path, header.kind, tuple(channels), clock, segments[-1].stop, segments, repairs, source)


def _timeline(file: io.BufferedReader, header: edf_header.EdfHeader, where: str) -> edf_times.Timeline:
    """Read the time stamps of the records: all of them if gaps are announced or a sample of them shows one."""
    if not header.annotations or header.annotations[0].n_samples == 0:
        if header.kind.endswith("+D"):
            raise RecordingError(where, "is interrupted (EDF+D) but has no annotations to say where the gaps are")
        return edf_times.Timeline((0,), (0.0,))
    every, step = np.arange(header.n_records), float(header.record_duration)
    if not header.kind.endswith("+D"):
        some = np.unique(np.linspace(0, header.n_records - 1, 500).astype(int))
        onsets = _onsets(file, header, some)
        plain = bool(np.isfinite(onsets).all())
        if plain and np.abs(onsets - onsets[0] - some * step).max() < 1e-3:
            return edf_times.timeline(onsets[:1], step, header.kind, where=where)
    return edf_times.timeline(_onsets(file, header, every), step, header.kind, where=where)


def _onsets(file: io.BufferedReader, header: edf_header.EdfHeader, records: NDArray[np.intp]) -> NDArray[np.float64]:
    mark = header.annotations[0]
    place = header.data_start + mark.first * header.sample_bytes
    length = min(48, mark.n_samples * header.sample_bytes)
    onsets = np.empty(len(records))
    for i, record in enumerate(records.tolist()):
        file.seek(place + record * header.record_bytes)
        onsets[i] = edf_times.record_onset(file.read(length))
    return onsets


# ---- Persyst


def _open_persyst(path: Path) -> Recording:
    """Open a .lay file: interleaved samples are records of one sample.

    MNE refuses headers whose patient fields were removed, prints birth dates and does not see gaps.
    """
    where = str(path)
    raw = path.read_bytes()
    lay = persyst.parse_lay(edf_header.decode(raw), where)
    beside = [path.with_name(lay.data_name)] if lay.data_name else []
    data = next((p for p in [*beside, path.with_suffix(".dat")] if p.is_file()), None)
    if data is None:
        raise RecordingError(where, "its file of samples (.dat) is not beside it", _ANY_FORMAT, "copy both files")
    status, width = data.stat(), lay.sample_bytes * len(lay.labels)
    n_samples, rest = divmod(max(0, status.st_size - lay.data_start), width)
    if n_samples == 0:
        raise RecordingError(where, "its file of samples is empty", _ANY_FORMAT, "copy it again")
    repairs = [*lay.repairs, *(["the last sample is incomplete; left out"] if rest else [])]
    rail = 2 ** (8 * lay.sample_bytes - 1)
    signals = tuple(
        edf_header.EdfSignal(label, "µV", lay.calibration, 0.0, -rail, rail - 1, 1, place)
        for place, label in enumerate(lay.labels)
    )
    header = edf_header.EdfHeader(
        "Persyst",
        lay.start,
        lay.data_start,
        width,
        lay.sample_bytes,
        n_samples,
        1 / lay.sfreq,
        signals,
        (),
        tuple(repairs),
    )
    first, start, notes = persyst.sample_gaps(lay, n_samples)
    times = edf_times.Timeline(tuple(first), tuple(start), 0.0, notes)
    return _from_records(path, header, times, source=RecordSource.of(data, header, status))


# ---- other formats, through MNE


@dataclass(frozen=True)
class MneSource:
    """Reads a format of another maker through MNE."""

    path: Path
    n_channels: int
    rate: Fraction
    to_unit: tuple[float, ...]
    stamps: tuple[tuple[Path, int, int], ...]

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return (self.rate,) * self.n_channels

    @property
    def bytes_per_second(self) -> float:
        """Bytes of all signals in a second, as MNE holds them."""
        return float(8 * self.n_channels * self.rate)

    @contextmanager
    def open(self) -> Iterator[MneHandle]:
        """Open the file for reading."""
        yield MneHandle(self, _read_raw(self.path, str(self.path)))


@dataclass(frozen=True)
class MneHandle:
    """An open file of another maker."""

    source: MneSource
    raw: Any

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, None]:
        """Return stored samples in microvolts; digital limits are unknown."""
        where = str(self.source.path)
        if any(_stamp(path) != (size, modified) for path, size, modified in self.source.stamps):
            raise RecordingError(where, "changed while it was read", remedy="try again when it is closed")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = self.raw.get_data(picks=list(channels), start=start, stop=stop, verbose="error")
        except _READER_ERRORS as error:
            raise RecordingError(where, f"cannot be read on ({type(error).__name__})", "a complete file") from None
        if data.shape[1] != stop - start:
            raise RecordingError(where, "ended before its last sample", "a complete file", "copy it again")
        data *= np.array(self.source.to_unit)[list(channels), None]
        return data.astype(np.float32), None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(str(path), error) from None
    return status.st_size, status.st_mtime_ns


def _main_file(path: Path) -> Path:
    """Find the header file when the user named the file of samples."""
    for ending, header in ((".eeg", ".vhdr"), (".dat", ".lay"), (".dat", ".vhdr"), (".fdt", ".set")):
        if path.suffix.lower() == ending and path.with_suffix(header).exists():
            return path.with_suffix(header)
    return path


def _companions(path: Path) -> tuple[Path, ...]:
    """Files of samples that a header names: BrainVision DataFile=, Persyst File=, EEGLAB .fdt beside .set."""
    ending = path.suffix.lower()
    if ending == ".set":
        return tuple(p for p in (path.with_suffix(".fdt"),) if p.exists())
    if ending not in {".vhdr", ".lay"}:
        return ()
    try:
        text = path.read_bytes().decode("latin-1")
    except OSError as error:
        raise _unreadable(str(path), error) from None
    found = re.search(r"^(?:DataFile|File)\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    # Only the name counts: the folder in it is often that of the machine that recorded.
    name = re.split(r"[\\/]", found[1])[-1].replace("$b", path.stem) if found else ""
    return (path.with_name(name),) if name and path.with_name(name).exists() else ()


def _read_raw(path: Path, where: str) -> Any:
    import mne

    kind = _MNE_FORMATS.get(path.suffix.lower())
    if kind is None:
        raise RecordingError(where, "its header file is not beside it", _ANY_FORMAT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Some readers print, even patient fields; stdout belongs to the results.
            with redirect_stdout(io.StringIO()):
                return mne.io.read_raw(path, preload=False, verbose="error")
    except _READER_ERRORS as error:
        # The reader's own words may quote the header, so only the kind of error is told.
        raise RecordingError(
            where,
            f"cannot be read as {kind} ({type(error).__name__})",
            "a complete recording with all its files side by side",
            "export it as EDF from the EEG system",
        ) from None


def _open_other(path: Path, where: str) -> Recording:
    raw = _read_raw(path, where)
    rate = resampling.exact_rate(raw.info["sfreq"])
    volts = [int(channel["unit"]) == 107 for channel in raw.info["chs"]]  # FIFF_UNIT_V
    nan = float("nan")
    channels = tuple(
        Channel(label, "µV" if volt else "", float(rate), raw.n_times, nan, nan)
        for label, volt in zip(raw.ch_names, volts, strict=True)
    )
    if not channels or raw.n_times == 0:
        raise RecordingError(where, "holds no signals", _ANY_FORMAT)
    files = {path, *_companions(path), *(Path(name) for name in raw.filenames if name is not None)}
    stamps = tuple((name, *_stamp(name)) for name in sorted(files))
    source = MneSource(path, len(channels), rate, tuple(1e6 if volt else 1.0 for volt in volts), stamps)
    clock = raw.info["meas_date"]
    start = clock.replace(tzinfo=None) if clock is not None else None
    segments, repairs = _joined(raw)
    kind = _MNE_FORMATS[path.suffix.lower()]
    return Recording(path, kind, channels, start, segments[-1].stop, segments, repairs, source)


def _joined(raw: Any) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Cut at the marks where a maker joined pieces of signal; how long the gaps were is not told."""
    sfreq = float(raw.info["sfreq"])
    cuts = {0, raw.n_times}
    for onset, text in zip(raw.annotations.onset, raw.annotations.description, strict=True):
        if re.match(r"(BAD |EDGE )?boundary|New Segment", str(text), re.IGNORECASE):
            cuts.add(min(max(0, round((float(onset) - raw.first_time) * sfreq)), raw.n_times))
    edges = [cut / sfreq for cut in sorted(cuts)]
    segments = tuple(Segment(low, high, low) for low, high in pairwise(edges))
    n_joins = len(segments) - 1
    note = f"{n_joins} joins between pieces of unknown distance; times after the first count stored signal only"
    return segments, (note,) if n_joins else ()
