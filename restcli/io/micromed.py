"""Micromed recordings (.trc): a header of fixed fields and tables, then interleaved unsigned integers.

The package eeg2edf reads the same layout in .vwr files, but takes every unit for microvolts and one rate for all.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io import headers
from restcli.io.companions import open_regular
from restcli.io.recording import Recording
from restcli.io.records import RecordLayout, StoredSignal, from_records, with_samples
from restcli.io.segments import at_joins

_FORMAT = "a Micromed recording (.trc) of header type 4"
_EXPORT = "Export the recording as EDF from the EEG system"
_HEADER, _CHANNEL = 640, 128  # bytes
_MOST_CHANNELS = 1024
_UNITS = {-1: "nV", 0: "µV", 1: "mV", 2: "V", 100: "%", 101: "bpm"}


@dataclass(frozen=True)
class _Layout:
    """Where the samples of a file lie."""

    start: int  # byte of the first sample
    n_channels: int
    rate: int  # Hz, of which channels have multiples
    width: int  # bytes of a sample


def is_micromed(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a Micromed recording."""
    return raw.startswith(b"* MICROMED")


def open_micromed(files: tuple[Path, ...]) -> Recording:
    """Open a Micromed file; its table of cuts says where parts of the original recording were left out."""
    path, where = files[0], str(files[0])
    with open_regular(path) as file:
        head, status = file.read(_HEADER), os.fstat(file.fileno())
        if len(head) < _HEADER or not is_micromed(head):
            raise RecordingError(where, "the file ends inside its own header, or is not a Micromed file", _FORMAT)
        layout = _layout(head, status.st_size, where)
        rows = _rows(file, head, layout.n_channels, where)
        cuts = np.frombuffer(_table(file, head, "TRONCA", where, needed=False), "<u4").reshape(-1, 2).astype(np.int64)
    multiples = {struct.unpack_from("<H", row, 44)[0] for row in rows}
    if len(multiples) != 1 or not 0 < (sfreq := layout.rate * multiples.pop()) <= 10**6:
        raise RecordingError(where, "its channels have different or impossible sampling rates", _FORMAT, _EXPORT)
    n_samples, rest = divmod(status.st_size - layout.start, layout.n_channels * layout.width)
    if n_samples == 0:
        raise RecordingError(where, "the file holds no samples", _FORMAT, "Copy it again")
    signals = tuple(_signal(row, place) for place, row in enumerate(rows))
    day, month, year, *time = head[128:134]
    start = headers.clock_time(1900 + year, month, day, *time)
    header = RecordLayout(
        kind="Micromed",
        start=start,
        data_start=layout.start,
        record_bytes=layout.n_channels * layout.width,
        sample_bytes=layout.width,
        record_duration=Fraction(1, sfreq),
        signals=signals,
        repairs=(() if start else (headers.WRONG_CLOCK,))
        + headers.channel_notes((signal.label, signal.problem and f"{signal.problem}; left out") for signal in signals)
        + headers.channel_notes((signal.label, headers.unit_note(signal.unit)) for signal in signals),
        form=f"<u{layout.width}",
    )
    header = with_samples(header, n_samples, n_samples, incomplete=rest > 0, where=where)
    recording = from_records(path, header, status)
    return _at_cuts(recording, cuts[cuts.any(axis=1)], sfreq)


def _layout(head: bytes, size: int, where: str) -> _Layout:
    """Find out where samples lie, or why they cannot be read."""
    start, n_channels, distance, rate, width, packed = struct.unpack_from("<IHHHHH", head, 138)
    what = ""
    if head[175] != 4:
        what = f"its header is of type {head[175]}"
    elif packed:
        what = "its samples are compressed"
    elif not 0 < n_channels <= _MOST_CHANNELS or width not in (1, 2, 4) or distance not in (0, n_channels * width):
        what = "its header gives impossible numbers of channels or bytes"
    elif not _HEADER <= start <= size:
        what = "the file is cut off, or its header does not say where samples begin"
    if what:
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    return _Layout(start, n_channels, rate, width)


def _rows(file: BinaryIO, head: bytes, n_channels: int, where: str) -> list[bytes]:
    """Return the description of each stored channel."""
    codes = np.frombuffer(_table(file, head, "ORDER", where)[: 2 * n_channels], "<u2").tolist()
    labels = _table(file, head, "LABCOD", where)
    if len(codes) < n_channels or len(labels) < _CHANNEL * (max(codes) + 1):
        raise RecordingError(where, "its table of channels is incomplete", _FORMAT, _EXPORT)
    return [labels[_CHANNEL * code : _CHANNEL * (code + 1)] for code in codes]


def _table(file: BinaryIO, head: bytes, name: str, where: str, *, needed: bool = True) -> bytes:
    """Read a table whose place and length the header gives."""
    for at in range(176, _HEADER - 15, 16):
        if head[at : at + 8].strip(b" \0") == name.encode():
            place, length = struct.unpack_from("<II", head, at + 8)
            file.seek(place)
            found = file.read(length)
            if len(found) == length:
                return found[: length - length % 8] if name == "TRONCA" else found
    if not needed:
        return b""
    raise RecordingError(where, f"its table {name} is missing or cut off", _FORMAT, "Copy it again")


def _signal(row: bytes, place: int) -> StoredSignal:
    """Read the label, the reference and the calibration of a channel."""
    label, ground = (headers.printable(text.split(b"\0")[0].decode("latin-1")) for text in (row[2:8], row[8:14]))
    low, high, zero, least, most = struct.unpack_from("<5i", row, 14)
    unit = _UNITS.get(struct.unpack_from("<h", row, 34)[0], "unknown")
    factor, problem = headers.microvolts(unit), ""
    if low >= high or least == most:
        problem = "its range is empty"
    scale = (most - least) / (high - low + 1) * (factor or 1.0) if not problem else math.nan
    return StoredSignal(
        headers.with_reference(label, ground),
        unit if factor is None else "µV",
        scale,
        -zero * scale,
        low,
        high,
        1,
        place,
        problem,
    )


def _at_cuts(recording: Recording, cuts: NDArray[np.int64], sfreq: int) -> Recording:
    """Place the parts of a shortened recording where they were in the original."""
    if not len(cuts):
        return recording
    original, here = cuts.T / sfreq
    if (np.diff(here) <= 0).any():
        what = "its table of cuts is not in order, so that times are unknown"
        raise RecordingError(str(recording.path), what, _FORMAT, _EXPORT)
    if (np.diff(original - here, prepend=0 if here[0] else -math.inf) < 0).any():
        what = "its table of cuts says that parts overlap, so that times are unknown"
        raise RecordingError(str(recording.path), what, "parts that follow each other", _EXPORT)
    if here[0] == 0 and original[0] > 0:
        note = "it was cut out of a longer recording whose start its header may give; clock times are unknown"
        recording = replace(recording, start=None, repairs=(*recording.repairs, note))
    return at_joins(recording, here, original - here)
