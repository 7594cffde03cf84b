"""A recording as an EDF+ file without patient data: gaps kept, events as annotations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import OutputError, RecordingError
from restcli.events import Events
from restcli.files import replacing
from restcli.io.recording import CUT_OFF, Recording
from restcli.io.records import RecordSource
from restcli.marks.annotations import to_annotations
from restcli.marks.szcore import NOT_SCORED
from restcli.text import count, some_of

_CHUNK_BYTES = 2**23
_COARSE = 0.5  # µV; a larger digital step is reported
_LEAST_LOST = 1.0  # s at the end; a part of a second is never scored
_UNKNOWN_START = datetime(1985, 1, 1)
# Seconds that a record may last, in order of preference; each fits into the eight characters of the header.
_DURATIONS = tuple(map(Fraction, "1 1/2 1/4 1/5 1/8 1/10 1/20 1/25 1/40 1/50 1/100".split()))


@dataclass(frozen=True)
class _Signal:
    """A channel in the file."""

    index: int  # in the recording
    label: str
    unit: str
    limits: tuple[str, str]  # physical minimum and maximum as the header writes them
    digital: tuple[int, int]
    n_samples: int  # in each record

    @property
    def step(self) -> float:
        """One digital step, in `unit`."""
        low, high = map(float, self.limits)
        return (high - low) / (self.digital[1] - self.digital[0])

    def to_digital(self, values: NDArray[np.floating]) -> NDArray[np.int16]:
        """Turn values into integers; unknown ones become the lower limit, which reads as clipped."""
        exact = (values.astype(np.float64) - float(self.limits[0])) / self.step + self.digital[0]
        whole = np.clip(np.rint(np.nan_to_num(exact, nan=self.digital[0])), -32768, 32767)
        return np.asarray(whole, dtype="<i2")


@dataclass(frozen=True)
class _Run:
    """Records without a gap between them."""

    start: Fraction  # true time, s
    offset: Fraction  # in the stored signal, s
    n_records: int


def write_edf(
    recording: Recording, path: str | Path, events: Events | None = None, *, keep_date: bool = False
) -> tuple[str, ...]:
    """Write a recording as EDF+C, or EDF+D with gaps, whole or not at all; returns remarks for the user."""
    usable = [i for i, channel in enumerate(recording.channels) if not channel.problem and channel.n_samples]
    if not usable:
        raise RecordingError(str(recording.path), "has no channel with usable samples")
    duration, runs, remarks = _lay_out(recording, usable)
    signals, found = _scale(recording, usable, duration)
    n_left_out = len(recording.channels) - len(usable)
    remarks += [f"{count(n_left_out, 'channel')} without usable samples left out"] if n_left_out else []
    begin, known = recording.clock or _UNKNOWN_START, recording.clock is not None and keep_date
    if known and not 1985 <= begin.year <= 2084:
        known = False
        remarks.append("the date is left out: EDF+ holds 1985 to 2084")
    marks = _marks(recording, runs, duration, events)
    fraction = Fraction(begin.microsecond, 10**6)
    texts = _annotations(runs, duration, fraction, marks)
    kind = "EDF+C" if len(runs) == 1 and runs[0].start == 0 else "EDF+D"
    header = _file_fields(begin if known else begin.replace(1985, 1, 1), named=known)
    header += _pad(256 * (len(signals) + 2), 8) + _pad(kind, 44) + _pad(len(texts), 8) + _pad(_header_text(duration), 8)
    with replacing(path) as file:
        file.write(header + _signal_fields(signals, len(texts[0]) // 2))
        _write_records(recording, signals, runs, texts, file)
    return tuple(remarks + found)


def _marks(
    recording: Recording, runs: Sequence[_Run], duration: Fraction, events: Events | None
) -> list[tuple[float, float, str]]:
    """Describe what is missing after the last record, first, where `restcli.io.edf` looks for it, and the events."""
    found = [] if events is None else to_annotations(events)
    marks = [(mark.onset, mark.duration, mark.text) for mark in found if mark.onset < recording.duration]
    end = float(runs[-1].start + runs[-1].n_records * duration)
    lost = recording.duration + recording.missing - end
    return [(end, lost, f"{NOT_SCORED}: {CUT_OFF}"), *marks] if lost >= _LEAST_LOST else marks


def _lay_out(recording: Recording, usable: Sequence[int]) -> tuple[Fraction, list[_Run], list[str]]:
    """Choose how long records are, and cut the segments into records; what is left over is reported."""
    rates = {recording.source.rates[i] for i in usable}
    choices = [*_DURATIONS, *(Fraction(math.lcm(*(rate.denominator for rate in rates)) * k) for k in (1, 10))]
    if isinstance(recording.source, RecordSource):
        choices.insert(0, recording.source.header.record_duration)
    choices += [round(rate) / rate for rate in rates if rate >= 1]
    possible = [
        step for step in choices if _header_text(step) and all((rate * step).denominator == 1 for rate in rates)
    ]
    if not possible:
        raise OutputError(str(recording.path), "EDF cannot express its sampling rates", "records of a common length")
    lengths = [_exact(segment.stop) - _exact(segment.start) for segment in recording.segments]

    def lost(step: Fraction) -> Fraction:
        return sum((_tail(length, step) for length in lengths), Fraction(0))

    duration = min(possible, key=lambda step: (round(float(lost(step)), 6), possible.index(step)))
    runs = [
        _Run(_exact(segment.start), _exact(segment.offset), int((length - _tail(length, duration)) / duration))
        for segment, length in zip(recording.segments, lengths, strict=True)
    ]
    runs = [run for run in runs if run.n_records]
    if not runs:
        raise RecordingError(str(recording.path), "is shorter than one EDF record")
    left = float(lost(duration))
    note = f"{left:.4g} s at the ends of segments left out: less than a record of {_decimal(duration)} s"
    return duration, runs, [note] if left > 1e-6 else []


def _exact(seconds: float) -> Fraction:
    return Fraction(seconds).limit_denominator(1_000_000)


def _tail(length: Fraction, step: Fraction) -> Fraction:
    rest = length % step
    return Fraction(0) if step - rest < Fraction(1, 10**5) else rest


def _scale(recording: Recording, usable: Sequence[int], duration: Fraction) -> tuple[list[_Signal], list[str]]:
    """Take over the digital limits of 16-bit files; find others from the samples."""
    stored = {index: _stored_limits(recording, index) for index in usable}
    ranges, lacking = _read_ranges(recording) if None in stored.values() else (np.zeros((0, 2)), set[int]())
    signals, remarks = [], []
    for index, own in stored.items():
        channel = recording.channels[index]
        limits, digital = own or (_limits_around(*ranges[index].tolist()), (-32767, 32767))
        if not all(limits):
            remarks.append(f"channel '{channel.label}' left out: EDF cannot express values beyond 9,999,999")
            continue
        unit = "uV" if channel.unit == "µV" else _ascii(channel.unit, 8) or "n/a"  # none is read as microvolts
        n_samples = int(recording.source.rates[index] * duration)
        signals.append(_Signal(index, _ascii(channel.label, 16), unit, limits, digital, n_samples))
        if signals[-1].step > _COARSE and channel.unit == "µV" and digital == (-32767, 32767):
            remarks.append(
                f"channel '{channel.label}' ranges from {limits[0]} to {limits[1]} µV: one digital step is "
                f"{signals[-1].step:.2g} µV"
            )
        if signals[-1].label != channel.label.strip():
            remarks.append(f"channel '{channel.label}' is named '{signals[-1].label}': EDF holds 16 ASCII characters")
    if not signals:
        raise RecordingError(str(recording.path), "holds no channel that EDF can express")
    unknown = [f"'{recording.channels[i].label}'" for i in usable if i in lacking]
    if unknown:
        remarks.append(f"samples without a value are written at the lower limit: {some_of(unknown, 6)}")
    return signals, remarks


def _stored_limits(recording: Recording, index: int) -> tuple[tuple[str, str], tuple[int, int]] | None:
    """Return the limits of a channel of a 16-bit file if an EDF header can express them."""
    source = recording.source
    if not isinstance(source, RecordSource) or source.header.sample_bytes != 2:
        return None
    signal = source.header.signals[index]
    digital = signal.digital_min, signal.digital_max
    low, high = (f"{limit * signal.scale + signal.shift:.7g}" for limit in digital)
    exact = (float(high) - float(low)) / (digital[1] - digital[0])
    inside = -32768 <= digital[0] < digital[1] <= 32767
    if not inside or not _fits(low) or not _fits(high) or abs(exact / signal.scale - 1) > 1e-6:
        return None
    return (low, high), digital


def _read_ranges(recording: Recording) -> tuple[NDArray[np.float64], set[int]]:
    """Read from end to end; return least and largest value of each channel, (C, 2), and which lack some values."""
    source, channels = recording.source, recording.channels
    seconds = max(1, int(_CHUNK_BYTES / (2 * sum(source.rates))))
    ranges, unknown = np.full((len(channels), 2), [math.inf, -math.inf]), set()
    with source.open() as handle:
        for rate in set(source.rates) - {Fraction(0)}:
            group = [i for i, other in enumerate(source.rates) if other == rate and not channels[i].problem]
            step, length = max(1, int(seconds * rate)), channels[group[0]].n_samples if group else 0
            for start in range(0, length, step):
                values, _ = handle.read(group, start, min(start + step, length))
                for index, row in zip(group, values, strict=True):
                    known = row[np.isfinite(row)]
                    if len(known) < len(row):
                        unknown.add(index)
                    if len(known):
                        ranges[index] = min(ranges[index, 0], known.min()), max(ranges[index, 1], known.max())
    return np.where(np.isfinite(ranges), ranges, 0.0), unknown


def _limits_around(low: float, high: float) -> tuple[str, str]:
    """Return physical limits slightly outside the range of the samples, so that nothing looks clipped."""
    margin = max((high - low) * 1e-3, 1e-3 * max(1.0, abs(low)))
    return _limit(low - margin, math.floor), _limit(high + margin, math.ceil)


def _limit(value: float, rounded: Any) -> str:
    """Write a number in eight characters, rounded outwards; empty when it does not fit."""
    for digits in range(6, -1, -1):
        text = f"{rounded(value * 10**digits) / 10**digits:.{digits}f}"
        if _fits(text):
            return text
    return ""


def _write_records(
    recording: Recording, signals: Sequence[_Signal], runs: Sequence[_Run], texts: Sequence[bytes], file: BinaryIO
) -> None:
    record_bytes = sum(2 * signal.n_samples for signal in signals) + len(texts[0])
    step, written = max(1, _CHUNK_BYTES // record_bytes), 0
    with recording.source.open() as handle:
        for run in runs:
            for first in range(0, run.n_records, step):
                n_records = min(step, run.n_records - first)
                parts = _digital(recording, signals, run, range(first, first + n_records), handle=handle)
                marks = b"".join(texts[written : written + n_records])
                parts.append(np.frombuffer(marks, dtype="<i2").reshape(n_records, -1))
                file.write(np.concatenate(parts, axis=1).tobytes())
                written += n_records


def _digital(
    recording: Recording, signals: Sequence[_Signal], run: _Run, records: range, *, handle: Any
) -> list[NDArray[np.int16]]:
    """Return the samples of each signal in some records, (records, n)."""
    parts: dict[int, NDArray[np.int16]] = {}
    for n_samples in {signal.n_samples for signal in signals}:
        group = [signal for signal in signals if signal.n_samples == n_samples]
        origin = round(run.offset * recording.source.rates[group[0].index])
        span = (origin + edge * n_samples for edge in (records.start, records.stop))
        values, _ = handle.read([signal.index for signal in group], *span)
        for signal, row in zip(group, values, strict=True):
            parts[signal.index] = signal.to_digital(row).reshape(len(records), n_samples)
    return [parts[signal.index] for signal in signals]


def _annotations(
    runs: Sequence[_Run], duration: Fraction, fraction: Fraction, marks: Sequence[tuple[float, float, str]]
) -> list[bytes]:
    """Return the annotation signal of each record: its own time, and as many marks as fit."""
    duration = Fraction(_header_text(duration))  # other readers compare the times of records with the header
    own = [
        b"+%s\x14\x14\0" % _decimal(fraction + run.start + k * duration).encode()
        for run in runs
        for k in range(run.n_records)
    ]
    left = [
        f"+{_decimal(fraction + round(Fraction(onset), 4))}\x15{_decimal(round(Fraction(length), 4))}\x14{text}\x14\0"
        for onset, length, text in marks
    ]
    longest = max(map(len, own))
    waiting = [text.encode("utf-8") for text in left]
    room = max(map(len, waiting), default=0)
    while not (records := _place(own, waiting, longest + room)):
        room *= 2
    return records


def _place(own: Sequence[bytes], waiting: Sequence[bytes], size: int) -> list[bytes]:
    """Fill records of `size` bytes in order; empty when the marks do not fit."""
    size += size % 2
    records, rest = [], list(reversed(waiting))
    for text in own:
        content = text
        while rest and len(content) + len(rest[-1]) <= size:
            content += rest.pop()
        records.append(content.ljust(size, b"\0"))
    return [] if rest else records


def _file_fields(begin: datetime, *, named: bool) -> bytes:
    """Return the first fields of the header: version, an unnamed patient, start."""
    month = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()[begin.month - 1]
    day = f"{begin:%d}-{month}-{begin:%Y}" if named else "X"
    clock = _pad(f"{begin:%d.%m.%y}", 8) + _pad(f"{begin:%H.%M.%S}", 8)
    return _pad(0, 8) + _pad("X X X X", 80) + _pad(f"Startdate {day} X X X", 80) + clock


def _signal_fields(signals: Sequence[_Signal], n_annotation: int) -> bytes:
    """Return the number of signals and the fields of each; the last one holds annotations."""
    columns = (
        (16, [s.label for s in signals], "EDF Annotations"),
        (80, [""] * len(signals), ""),
        (8, [s.unit for s in signals], ""),
        (8, [s.limits[0] for s in signals], "-1"),
        (8, [s.limits[1] for s in signals], "1"),
        (8, [s.digital[0] for s in signals], "-32768"),
        (8, [s.digital[1] for s in signals], "32767"),
        (80, [""] * len(signals), ""),
        (8, [s.n_samples for s in signals], str(n_annotation)),
        (32, [""] * len(signals), ""),
    )
    fields = (_pad(value, width) for width, values, last in columns for value in (*values, last))
    return _pad(len(signals) + 1, 4) + b"".join(fields)


def _pad(value: object, width: int) -> bytes:
    return str(value).encode("ascii").ljust(width)[:width]


def _fits(text: str) -> bool:
    return len(text) <= 8 and "e" not in text


def _ascii(text: str, width: int) -> str:
    plain = text.replace("µ", "u").encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else " " for c in plain).strip()[:width].rstrip()


def _header_text(seconds: Fraction) -> str:
    """Write the length of a record in eight characters; empty where that is off by 0.1 s a day or more."""
    text = f"{float(seconds):.{max(1, 7 - len(str(int(seconds))))}f}".rstrip("0").rstrip(".")
    return text if _fits(text) and abs(Fraction(text) / seconds - 1) < 1e-6 else ""


def _decimal(value: Fraction) -> str:
    """Write a number of seconds without an exponent, to the microsecond."""
    text = f"{round(value * 10**6) / 10**6:.6f}".rstrip("0").rstrip(".")
    return text or "0"
