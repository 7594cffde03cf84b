"""The chunks of an XDF file, and reading the samples of one of its streams.

After https://github.com/sccn/xdf/wiki/Specifications. The package pyxdf holds whole files in memory, goes on silently
after damaged chunks, and draws time stamps straight across gaps of less than a second or 500 samples.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.companions import reading
from restcli.io.uniform import SampleStore, Stored, parts

MAGIC = b"XDF:"
FORMAT = "an XDF recording with one stream of EEG at a regular sampling rate"
_FILE, _STREAM, _SAMPLES, _CLOCK, _BOUNDARY, _FOOTER = range(1, 7)  # kinds of chunks
_LARGEST_HEADER, _LARGEST_HEADERS, _LARGEST_CHUNK = 2**22, 2**24, 2**28  # bytes
_MOST_CHUNKS = 2**22


@dataclass
class Contents:
    """What the chunks of a file are."""

    header: bytes = b""
    streams: dict[int, bytes] = field(default_factory=dict)  # their headers
    samples: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # place and length of chunks of samples
    clocks: dict[int, list[tuple[float, float]]] = field(default_factory=dict)  # times and offsets
    header_bytes: int = 0  # of streams
    damaged: bool = False  # whether what comes after the last chunk listed is lost


def list_chunks(file: BinaryIO, size: int, where: str) -> Contents:
    """Walk through a file; nothing is known after a damaged chunk."""
    found, at, n_chunks = Contents(), len(MAGIC), 0
    while at < size and not found.damaged:
        if n_chunks == _MOST_CHUNKS:
            raise RecordingError(where, f"it holds more than {_MOST_CHUNKS} chunks", FORMAT, "Record it in larger ones")
        file.seek(at)
        head = file.read(15)
        width = head[0] if head[:1] in (b"\1", b"\4", b"\x08") else 0
        length = int.from_bytes(head[1 : 1 + width], "little")
        begin, n_chunks = at + 1 + width, n_chunks + 1
        at = begin + length
        kind = int.from_bytes(head[1 + width : 3 + width], "little")
        sound = width and _FILE <= kind <= _FOOTER and length >= (2 if kind in (_FILE, _BOUNDARY) else 6)
        if not sound or at > size or not _enter(found, file, kind, (begin + 2, length - 2)):
            found.damaged = True
    return found


def _enter(found: Contents, file: BinaryIO, kind: int, span: tuple[int, int]) -> bool:
    """Add a chunk to what is known; tell whether it makes sense."""
    place, length = span
    if kind in (_BOUNDARY, _FOOTER):
        return True
    file.seek(place)
    if kind == _FILE:
        found.header = file.read(min(length, _LARGEST_HEADER))
        return length <= _LARGEST_HEADER
    stream = int.from_bytes(file.read(4), "little")
    if kind == _STREAM:
        found.header_bytes += length
        if length > _LARGEST_HEADER or found.header_bytes > _LARGEST_HEADERS:
            return False
        found.streams[stream] = file.read(length - 4)
        return True
    if kind == _CLOCK:
        raw = file.read(16)
        if length == 20 and len(raw) == 16:
            found.clocks.setdefault(stream, []).append(struct.unpack("<dd", raw))
        return length == 20
    found.samples.setdefault(stream, []).append((place + 4, length - 4))
    return length <= _LARGEST_CHUNK and stream in found.streams


@dataclass(frozen=True)
class Form:
    """How samples of a stream are stored."""

    dtype: str  # of numpy, lowest byte first
    n_channels: int

    @property
    def bytes(self) -> int:
        """Bytes of a sample of all channels, without its time."""
        return np.dtype(self.dtype).itemsize * self.n_channels


def split(raw: bytes, form: Form) -> tuple[NDArray[np.float64], NDArray[np.uint8]] | None:
    """Return the times of the samples of a chunk, NaN without one, and their bytes; None if it makes no sense."""
    width = raw[0] if raw[:1] in (b"\1", b"\4", b"\x08") else 0
    n_samples, rest = int.from_bytes(raw[1 : 1 + width], "little"), memoryview(raw)[1 + width :]
    size = 1 + form.bytes
    if not width or not n_samples * size <= len(rest) <= n_samples * (size + 8):
        return None
    if len(rest) == n_samples * (size + 8):  # each has a time
        rows = np.frombuffer(rest, np.uint8).reshape(n_samples, size + 8)
        if not (rows[:, 0] == 8).all():
            return None
        return rows[:, 1:9].copy().view("<f8")[:, 0], rows[:, 9:]
    if len(rest) == n_samples * size + 8 and rest[0] == 8:  # only the first has one
        times = np.full(n_samples, np.nan)
        (times[0],) = struct.unpack_from("<d", rest, 1)
        rows = np.frombuffer(bytes(rest[:1]) + bytes(rest[9:]), np.uint8).reshape(n_samples, size)
        return (times, rows[:, 1:]) if not rows[1:, 0].any() else _one_by_one(rest, n_samples, form)
    return _one_by_one(rest, n_samples, form)


def _one_by_one(rest: memoryview, n_samples: int, form: Form) -> tuple[NDArray[np.float64], NDArray[np.uint8]] | None:
    times, starts, at = np.full(n_samples, np.nan), np.empty(n_samples, dtype=np.int64), 0
    for sample in range(n_samples):
        if at >= len(rest) or rest[at] not in (0, 8) or at + rest[at] + 1 + form.bytes > len(rest):
            return None
        if rest[at]:
            (times[sample],) = struct.unpack_from("<d", rest, at + 1)
        starts[sample] = at + 1 + rest[at]
        at = int(starts[sample]) + form.bytes
    if at != len(rest):
        return None
    whole = np.frombuffer(rest, np.uint8)
    return times, np.stack([whole[start : start + form.bytes] for start in starts.tolist()])


@dataclass(frozen=True)
class XdfStore(SampleStore):
    """One stream of a file."""

    form: Form
    places: NDArray[np.int64] = field(repr=False)  # place and length of each chunk, (n, 2)
    edges: NDArray[np.int64] = field(repr=False)  # first sample of each chunk, and the number of all samples

    @contextmanager
    def open(self) -> Iterator[Stored]:
        """Open the file for reading."""
        with reading(self.files[0]) as file:

            def read(picks: list[int], start: int, stop: int) -> NDArray[Any]:
                data = np.empty((len(picks), stop - start))
                for chunk, low, high in parts(self.edges, start, stop):
                    begin = int(self.edges[chunk])
                    values = self._values(file, chunk, slice(low - begin, high - begin))
                    with np.errstate(invalid="ignore"):
                        data[:, low - start : high - start] = values[:, picks].T
                return data

            yield read

    def _values(self, file: BinaryIO, chunk: int, samples: slice) -> NDArray[Any]:
        place, length = self.places[chunk].tolist()
        file.seek(place)
        found = split(file.read(length), self.form)
        if found is None:
            raise RecordingError(str(self.files[0]), "a chunk of samples cannot be read", FORMAT, "Copy it again")
        return np.ascontiguousarray(found[1][samples]).view(self.form.dtype)
