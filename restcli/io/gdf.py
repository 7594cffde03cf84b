"""GDF recordings, versions 1 and 2: records as in EDF, of numbers of many types, and a table of events.

After Schlögl, *GDF - A general dataformat for biosignals*, https://arxiv.org/abs/cs/0608052. MNE takes millivolts of
version 1 for volts and misreads the duration of records from version 2.21 on.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from restcli.errors import RecordingError
from restcli.io import headers
from restcli.io.companions import open_regular
from restcli.io.edf_header import signal_fields
from restcli.io.recording import Recording
from restcli.io.records import RecordLayout, StoredSignal, from_records
from restcli.io.segments import at_joins

_FORMAT = "a GDF recording of version 1 or 2"
_COPY = "Copy it again, or convert it to EDF"
_MOST_CHANNELS = 1024
_MOST_EVENTS = 2**22
_TYPES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 16: "<f4", 17: "<f8", 279: ""}
_WIDTHS = {7: 8, 8: 8, 279: 3, 535: 3}  # bytes of types that numpy does not name, or that are not read
# Codes of units (ISO 11073): of volts by their prefix, and of some other quantities.
_UNITS = {4256: "V", 4274: "mV", 4275: "µV", 4276: "nV", 512: "n/a", 544: "%", 2496: "Hz", 2528: "bpm", 6048: "degC"}
_FLOATS = (16, 17)
_NEW_SEGMENT = 0x7FFE
_DAY_1970 = 719_529  # of 1970-01-01, counted from the year 0


@dataclass(frozen=True)
class _Fields:
    """What the fixed header says, without its patient fields."""

    version: float
    start: datetime | None
    data_start: int  # byte of the first record
    n_records: int  # negative where unknown
    duration: Fraction  # of a record, seconds
    n_channels: int


@dataclass(frozen=True)
class _Channel:
    """The header of a channel."""

    label: str
    unit: str  # empty where the header gives none
    limits: tuple[float, float, float, float]  # physical and digital minimum and maximum
    n_samples: int  # in a record
    kind: int  # code of the type of numbers


def is_gdf(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a GDF recording."""
    return re.match(rb"GDF [12]\.\d", raw) is not None


def open_gdf(files: tuple[Path, ...]) -> Recording:
    """Open a GDF file; at events that begin a new segment, the length of the pause is unknown."""
    path, where = files[0], str(files[0])
    with open_regular(path) as file:
        head, status = file.read(256), os.fstat(file.fileno())
        fields = _fixed(head, where)
        raw = file.read(256 * fields.n_channels)
        if len(raw) < 256 * fields.n_channels:
            raise RecordingError(where, "the file ends inside its own header", _FORMAT, _COPY)
        channels = _channels(raw, fields)
        signals, form, record_bytes = _signals(channels, fields, where)
        n_records, missing = _records(fields, status.st_size, record_bytes, where)
        rate = float(math.lcm(*(c.n_samples for c in channels if c.n_samples)) / fields.duration)
        table = fields.data_start + n_records * record_bytes
        joins = _new_segments(file, fields.version, table, rate) if not missing else []
    held, announced = (float(n * fields.duration) for n in (n_records, n_records + missing))
    header = RecordLayout(
        kind="GDF",
        start=fields.start,
        data_start=fields.data_start,
        record_bytes=record_bytes,
        sample_bytes=np.dtype(form).itemsize if form else 3,
        n_records=n_records,
        record_duration=fields.duration,
        signals=signals,
        repairs=_reported(channels, signals)
        + headers.length_notes(held, announced)
        + ((headers.NO_CLOCK,) if fields.start is None else ()),
        n_missing=missing,
        form=form,
    )
    recording = from_records(path, header, status)
    places = np.array([place for place in joins if 0 < place < held])
    return at_joins(recording, places, np.full(len(places), math.nan))


def _fixed(head: bytes, where: str) -> _Fields:
    """Read the first 256 bytes, whose layout changed with version 1.90."""
    if len(head) < 256 or not is_gdf(head):
        raise RecordingError(where, "the file ends inside its own header, or is not a GDF file", _FORMAT, _COPY)
    found = re.match(rb"GDF ([12]\.\d{1,3})", head)
    version = float(found[1]) if found else 0.0
    if version < 1.9:
        start = _written_date(head[168:184])
        (length,), (n_channels,) = struct.unpack_from("<q", head, 184), struct.unpack_from("<I", head, 252)
    else:
        start = _counted_date(struct.unpack_from("<Q", head, 168)[0])
        length, (n_channels,) = 256 * struct.unpack_from("<H", head, 184)[0], struct.unpack_from("<H", head, 252)
    (n_records,) = struct.unpack_from("<q", head, 236)
    over, under = struct.unpack_from("<II", head, 244)
    (seconds,) = struct.unpack_from("<d", head, 244)
    duration = Fraction(over, under) if under and version < 2.21 else Fraction(0)
    if version >= 2.21 and 0 < seconds < 1e9:
        duration = Fraction(seconds).limit_denominator(10**6)
    what = ""
    if not 0 < n_channels <= _MOST_CHANNELS:
        what = "its header gives an impossible number of channels"
    elif length < 256 * (n_channels + 1):
        what = "its header states its own size incorrectly"
    elif duration <= 0:
        what = "its header gives an impossible duration of a record"
    if what:
        raise RecordingError(where, what, _FORMAT, _COPY)
    return _Fields(version, start, length, n_records, duration, n_channels)


def _written_date(raw: bytes) -> datetime | None:
    """Read a date of version 1: the digits of year to second, optionally with hundredths."""
    found = re.match(rb"(\d{14})(\d\d)?", raw)
    try:
        if found is None:
            return None
        return datetime.strptime(found[1].decode(), "%Y%m%d%H%M%S") + timedelta(milliseconds=10 * int(found[2] or 0))
    except ValueError:
        return None


def _counted_date(count: int) -> datetime | None:
    """Read a date of version 2: days since the year 0, in parts of 2 to the 32nd."""
    days, part = divmod(count, 2**32)
    try:
        found = datetime(1970, 1, 1) + timedelta(days=days - _DAY_1970, seconds=part * 86_400 / 2**32)
    except OverflowError:
        return None
    return found if 1900 < found.year < 2200 else None


def _channels(raw: bytes, fields: _Fields) -> list[_Channel]:
    """Read the headers of channels."""
    old = fields.version < 1.9
    between, form = (0, "q") if old else (6, "d")
    widths = (16, 80 + between, 8 if old else 2, 8, 8, 8, 8, 80 if old else 68 + 12, 4, 4)
    found = []
    for label, _, unit, *limits, _, count, kind in signal_fields(raw, widths, fields.n_channels):
        name = headers.printable(headers.decode(label.split(b"\0")[0]))
        low, high, least, most = struct.unpack(f"<2d2{form}", b"".join(limits))
        said = (low, high, float(least), float(most))
        found.append(_Channel(name, _unit(unit, fields), said, *struct.unpack("<II", count + kind)))
    return found


def _unit(raw: bytes, fields: _Fields) -> str:
    """Return the unit of a channel: written in version 1, a code in version 2."""
    if fields.version < 1.9:
        return headers.printable(headers.decode(raw))
    code = int.from_bytes(raw, "little")
    return _UNITS.get(code, "unknown" if code else "")


def _signals(channels: Sequence[_Channel], fields: _Fields, where: str) -> tuple[tuple[StoredSignal, ...], str, int]:
    """Return the signals, the type of numbers of those that are read, and the bytes of a record."""
    widths = [np.dtype(_TYPES[c.kind]).itemsize if _TYPES.get(c.kind) else _WIDTHS.get(c.kind, 0) for c in channels]
    most = max(channel.n_samples for channel in channels)
    if not all(widths) or not 0 < most < 2**31 or most / fields.duration > 10**6:
        raise RecordingError(where, "its header gives impossible types or numbers of samples", _FORMAT, _COPY)
    eeg = [c.kind for c in channels if c.n_samples and headers.microvolts(c.unit or "uV") is not None]
    usual = max(eeg, key=eeg.count, default=channels[0].kind)
    width = next(w for w, channel in zip(widths, channels, strict=True) if channel.kind == usual)
    sizes = [w * channel.n_samples for w, channel in zip(widths, channels, strict=True)]
    if usual not in _TYPES or any(size % width for size in sizes):
        what = "its channels store numbers of different types, which cannot be read together"
        raise RecordingError(where, what, _FORMAT, "Convert it to EDF")
    signals, first = [], 0
    for channel, size in zip(channels, sizes, strict=True):
        signals.append(_signal(channel, first, is_usual=channel.kind == usual))
        first += size // width
    return tuple(signals), _TYPES[usual], sum(sizes)


def _signal(channel: _Channel, first: int, *, is_usual: bool) -> StoredSignal:
    """Make a signal with its calibration; without a unit it is in microvolts, as in EDF."""
    low, high, least, most = channel.limits
    factor, problem = headers.microvolts(channel.unit or "uV") or 1.0, ""
    if not channel.n_samples:
        problem = "it holds no samples"
    elif not is_usual:
        problem = "its samples are numbers of another type than those of most channels"
    elif not all(map(math.isfinite, channel.limits)) or max(map(abs, channel.limits)) > 1e18:
        problem = "its range makes no sense"
    elif least == most or low == high:
        problem = "its range is empty"
    scale = shift = float("nan")
    if not problem:
        scale = (high - low) / (most - least) * factor
        shift = low * factor - least * scale
    limits = (int(least), int(most)) if not problem and channel.kind not in _FLOATS else (0, 0)
    unit = headers.known_unit(channel.unit or "uV")
    return StoredSignal(channel.label, unit, scale, shift, *limits, channel.n_samples, first, problem)


def _reported(channels: Sequence[_Channel], signals: Sequence[StoredSignal]) -> tuple[str, ...]:
    """Report channels that cannot be used, and those whose unit is assumed."""
    found = []
    for channel, signal in zip(channels, signals, strict=True):
        note = headers.unit_note(channel.unit) if channel.unit else headers.NO_UNIT
        found.append((channel.label, f"{signal.problem}; left out" if signal.problem else note))
    return headers.channel_notes(found)


def _records(fields: _Fields, size: int, record_bytes: int, where: str) -> tuple[int, int]:
    """Return how many complete records the file holds, and how many more its header announces."""
    held = max(0, size - fields.data_start) // record_bytes
    n_records = min(fields.n_records, held) if fields.n_records >= 0 else held
    if n_records == 0:
        raise RecordingError(where, "the file holds no complete record; it is cut off", _FORMAT, "Copy it again")
    headers.check_length(float(n_records * fields.duration), where)
    announced = fields.n_records if 0 <= fields.n_records * fields.duration < 10**9 else n_records
    return n_records, max(0, announced - n_records)


def _new_segments(file: BinaryIO, version: float, place: int, usual: float) -> list[float]:
    """Return when segments begin, seconds, by the table of events after the last record, at its rate or the usual."""
    file.seek(place)
    head = file.read(8)
    if len(head) < 8 or head[0] not in (1, 3, 5, 7):
        return []
    if version < 1.94:
        rate, n_events = float(int.from_bytes(head[1:4], "little")), int.from_bytes(head[4:], "little")
    else:
        n_events, (rate,) = int.from_bytes(head[1:4], "little"), struct.unpack("<f", head[4:])
    n_events = min(n_events, _MOST_EVENTS)
    raw, rate = file.read(6 * n_events), rate or usual  # versions before 1.25 have no rate there
    if len(raw) < 6 * n_events or not (math.isfinite(rate) and rate > 0):
        return []
    places, kinds = np.frombuffer(raw, "<u4", n_events), np.frombuffer(raw, "<u2", n_events, 4 * n_events)
    begins = np.unique(places[kinds == _NEW_SEGMENT].astype(np.int64))
    return [(begin - 1) / rate for begin in begins.tolist()]  # counted from 1
