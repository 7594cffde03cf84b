"""The header of an EDF or BDF file: its fields, and how wrong ones are repaired."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import BinaryIO

from restcli.errors import RecordingError
from restcli.io import headers
from restcli.io.records import RecordLayout, StoredSignal

# Microvolts as exports have mangled them: the letter mu lost or written otherwise.
_MANGLED = frozenset({"?v", "\ufffdv", "u", "uvolt", "uvolts", "mcv", "mkv", "мкв", "micv", "ìv", "âµv"})
_ANNOTATIONS = frozenset({"edf annotations", "bdf annotations"})
_FORMAT = "an EDF, EDF+ or BDF recording"
_RE_EXPORT = "Export the recording again from the EEG system"
_COPY = "Copy the file again"
# Field widths of the signal part of the header, in order (edfplus.info, EDF specification, section 2.2).
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")

_MONTHS = {name: k for k, name in enumerate(b"jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)}

# Beyond these a header field is damaged: limits, sampling rate (Hz), signals, years.
_LARGEST = 10**9
_FASTEST = 10**6
_MOST_SIGNALS = 4096
_YEARS = (1900, 2200)


@dataclass
class _Fields:
    """Reads header fields and remembers what had to be repaired."""

    where: str
    repairs: list[str] = field(default_factory=list)
    nul: bool = False
    comma: bool = False
    latin: bool = False

    def text(self, raw: bytes) -> str:
        """Decode a field; control bytes would reach terminals and tables, so none survives."""
        self.nul = self.nul or b"\0" in raw
        self.latin = self.latin or not raw.isascii()
        return "".join(c if c.isprintable() else " " for c in headers.decode(raw)).strip()

    def number(self, raw: bytes) -> Fraction | None:
        """Read a number, or None; Fraction keeps durations such as 0.1 exact."""
        self.nul = self.nul or b"\0" in raw
        text = self.text(raw.lstrip(b"\0 ").split(b"\0")[0])
        if "," in text and "." not in text:
            text = text.replace(",", ".")
            self.comma = self.comma or _NUMBER.fullmatch(text) is not None
        return Fraction(text) if _NUMBER.fullmatch(text) else None

    def whole(self, raw: bytes) -> int | None:
        """Read a whole number, or None."""
        number = self.number(raw)
        return int(number) if number is not None and number.denominator == 1 else None

    def all_repairs(self) -> tuple[str, ...]:
        notes = list(self.repairs)
        if self.nul:
            notes.append("header fields are padded with NUL bytes; read as spaces")
        if self.comma:
            notes.append("header numbers are written with decimal commas; read as decimal points")
        if self.latin:
            notes.append("header text is not plain ASCII; read as UTF-8 or Latin-1")
        return tuple(notes)

    def refusal(self, what: str, remedy: str = _RE_EXPORT) -> RecordingError:
        return RecordingError(self.where, what, _FORMAT, remedy)


def is_edf(raw: bytes) -> bool:
    """Tell from the first 8 bytes whether this claims to be EDF or BDF."""
    return raw[:8] == b"\xffBIOSEMI" or (len(raw) >= 8 and raw[:8].strip(b"\0 ") == b"0")


def is_whole_edf(raw: bytes) -> bool:
    """Tell from the first 256 bytes whether this is surely EDF or BDF: its number of signals fits its header's size."""
    try:
        return is_edf(raw) and 0 < 256 * (int(raw[252:256]) + 1) == int(raw[184:192])
    except ValueError:
        return False


def _count_signals(raw: bytes, fields: _Fields) -> int:
    """Return the number of signals from the first 256 bytes of a file."""
    if not raw:
        raise fields.refusal("the file is empty", _COPY)
    if len(raw) < 256:
        raise fields.refusal(f"the file holds only {len(raw)} bytes, less than the shortest header", _COPY)
    count, size = fields.whole(raw[252:256]), fields.whole(raw[184:192])
    from_size = size // 256 - 1 if size is not None and size % 256 == 0 else -1
    n_signals = -1 if count is None else count
    if not is_edf(raw) and (n_signals < 1 or n_signals != from_size):
        raise fields.refusal(_stranger(raw), "")
    n_signals = from_size if n_signals < 0 and from_size > 0 else n_signals
    if n_signals < 0:
        raise fields.refusal("the number of signals in the header is not a number")
    if n_signals == 0:
        raise fields.refusal("the header announces no signals: there is no EEG in this file", "")
    if n_signals > _MOST_SIGNALS:
        raise fields.refusal(f"the header announces more than {_MOST_SIGNALS} signals")
    return n_signals


def _stranger(raw: bytes) -> str:
    """Say what a file that is not EDF seems to be."""
    kinds = {
        b"\x1f\x8b": "compressed (gzip) and must be unpacked first",
        b"PK": "a zip archive and must be unpacked first",
        b"%PDF": "a PDF document",
        b"MATLAB": "a MATLAB file",
        b"\x89HDF": "an HDF5 file",
    }
    for magic, words in kinds.items():
        if raw.startswith(magic):
            return f"the file is not EDF or BDF: it is {words}"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in raw):
        return "the file is not EDF or BDF: it looks like plain text"
    return "the file is not EDF or BDF: it does not begin with an EDF header"


def read_header(file: BinaryIO, where: str, *, marks: bool = False) -> RecordLayout:
    """Read and repair the header at the beginning of a file.

    For its `marks` a file needs no signals; one without signals may have records without a length.

    Kemp et al., *A simple format for exchange of digitized polygraphic recordings*, 1992; Kemp & Olivan, *European data
    format 'plus'*, 2003 (https://www.edfplus.info/specs/edfplus.html).
    """
    size, raw = os.fstat(file.fileno()).st_size, file.read(256)
    n_signals = _count_signals(raw, _Fields(where))
    raw += file.read(256 * n_signals)
    fields = _Fields(where)
    if min(size, len(raw)) < 256 * (n_signals + 1):
        raise fields.refusal("the file ends inside its own header", _COPY)
    family = "BDF" if raw[:1] == b"\xff" else "EDF"
    fields.nul = b"\0" in raw[:8]
    if not is_edf(raw):
        fields.repairs.append(f"the version field is wrong; read as {family} because the rest of the header fits")
    duration = fields.number(raw[244:252])
    signals = _signals(signal_fields(raw[256:], _WIDTHS, n_signals), fields, family)
    ordinary = tuple(s for s in signals if s.label.lower() not in _ANNOTATIONS)
    if not ordinary and not marks:
        raise fields.refusal("the file holds annotations only, no signals", "Give the recording that belongs to it")
    if duration is None or duration < 0 or (duration == 0 and ordinary):
        raise fields.refusal("the duration of a record in the header is not a positive number")
    _report_channels(ordinary, fields)
    width = 3 if family == "BDF" else 2
    record_bytes = width * sum(s.n_samples for s in signals)
    if not any(s.n_samples for s in ordinary or signals):
        raise fields.refusal("the records hold no samples")
    if ordinary and max(s.n_samples for s in ordinary) / duration > _FASTEST:
        raise fields.refusal("the header implies sampling rates above 1 MHz; its record duration must be wrong")
    data_start = _data_start(raw, n_signals, record_bytes, size=size, fields=fields)
    n_records, n_missing = _count_records(raw, size - data_start, record_bytes, duration=duration, fields=fields)
    reserved = raw[192:197].upper()
    return RecordLayout(
        kind=family + (reserved[3:].decode() if reserved in {b"EDF+C", b"EDF+D", b"BDF+C", b"BDF+D"} else ""),
        start=_start(raw, fields),
        data_start=data_start,
        record_bytes=record_bytes,
        sample_bytes=width,
        n_records=n_records,
        record_duration=duration,
        signals=ordinary,
        annotations=tuple(s for s in signals if s.label.lower() in _ANNOTATIONS),
        repairs=fields.all_repairs(),
        n_missing=n_missing,
    )


def signal_fields(raw: bytes, widths: Sequence[int], n_signals: int) -> Iterator[tuple[bytes, ...]]:
    """Yield the fields of each signal; in a header the first field of all signals comes before their second."""
    columns, position = [], 0
    for width in widths:
        columns.append([raw[position + i * width : position + (i + 1) * width] for i in range(n_signals)])
        position += n_signals * width
    return zip(*columns, strict=True)


def _signals(rows: Iterable[tuple[bytes, ...]], fields: _Fields, family: str) -> list[StoredSignal]:
    """Make the signals, with their calibration and their place in a record."""
    signals, first = [], 0
    assumed, odd = [], []
    rail = 2**23 if family == "BDF" else 2**15
    for label, _, unit, *limits, _, count, _ in rows:
        name, text, n_samples = fields.text(label), fields.text(unit), fields.whole(count)
        if n_samples is None or not 0 <= n_samples < 2**31:
            raise fields.refusal("the number of samples in a record is not a number for one of the signals")
        numbers = [fields.number(limit) for limit in limits]
        scale, shift, problem = 1.0, 0.0, ""
        if name.lower() not in _ANNOTATIONS:
            factor = headers.microvolts(text)
            if not text or text.lower() in _MANGLED:
                assumed.append(name)
                text = "µV"
            elif headers.unit_note(text):
                odd.append(name)
            scale, shift, problem = _calibration(numbers, 1.0 if factor is None else factor)
            text = headers.known_unit(text)
        if n_samples == 0:
            problem = "it holds no samples"
        low, high = (
            int(n) if n is not None and not problem else r for n, r in zip(numbers[2:], (-rail, rail - 1), strict=True)
        )
        signals.append(StoredSignal(name, text, scale, shift, low, high, n_samples, first, problem))
        first += n_samples
    if assumed:
        fields.repairs.append(f"{headers.names(assumed)}: no unit that can be read in the header; microvolts assumed")
    if odd:
        fields.repairs.append(f"{headers.names(odd)}: unit unknown; left out")
    return signals


def _calibration(limits: Sequence[Fraction | None], factor: float) -> tuple[float, float, str]:
    """Return scale and shift of a signal from its physical and digital limits, or NaN and the reason."""
    nan = float("nan")
    low, high, digital_low, digital_high = limits
    if low is None or high is None:
        return nan, nan, "its physical range is not a number"
    if digital_low is None or digital_high is None:
        return nan, nan, "its digital range is not a number"
    if digital_low == digital_high:
        return nan, nan, "its digital minimum equals its maximum"
    if low == high:
        return nan, nan, "its physical minimum equals its maximum"
    if max(abs(low), abs(high)) > _LARGEST or max(abs(digital_low), abs(digital_high)) > _LARGEST:
        return nan, nan, "its range makes no sense"
    scale = (high - low) / (digital_high - digital_low)
    return float(scale) * factor, float(low - digital_low * scale) * factor, ""


def _report_channels(signals: Sequence[StoredSignal], fields: _Fields) -> None:
    """Report channels that cannot be used, repeated labels and inverted polarity."""
    fields.repairs += headers.channel_notes(
        (signal.label, signal.problem and f"{signal.problem}; the channel is left out") for signal in signals
    )
    turned = [s.label for s in signals if s.scale < 0]
    if turned:
        fields.repairs.append(
            f"{headers.names(turned)}: the range is given from high to low; read as inverted polarity"
        )
    twins = [label for label, count in Counter(s.label for s in signals).items() if count > 1]
    if twins:
        fields.repairs.append(f"{headers.names(twins)}: the label occurs more than once; distinguished by position")


def _data_start(raw: bytes, n_signals: int, record_bytes: int, *, size: int, fields: _Fields) -> int:
    """Return where records begin: after all fields, unless only the header's own figure fits the file."""
    if fields.number(raw[252:256]) != n_signals:
        fields.repairs.append(f"the number of signals is unreadable; {n_signals} taken from the size of the header")
    expected, stated, count = 256 * (n_signals + 1), fields.number(raw[184:192]), fields.number(raw[236:244])
    if stated == expected:
        return expected
    if stated is not None and stated > expected and count is not None and size - stated == count * record_bytes > 0:
        fields.repairs.append("the header is longer than its signals need; the extra bytes are skipped")
        return int(stated)
    fields.repairs.append(f"the header states its own size incorrectly; {expected} bytes taken from its signals")
    return expected


def _count_records(
    raw: bytes, available: int, record_bytes: int, *, duration: Fraction, fields: _Fields
) -> tuple[int, int]:
    """Return how many complete records the file holds, and how many announced ones are missing."""
    n_whole, rest = divmod(max(0, available), record_bytes)
    if n_whole == 0:
        raise fields.refusal("the file holds no complete data record; it is cut off", _COPY)
    headers.check_length(float(n_whole * duration), fields.where)
    announced = fields.whole(raw[236:244])
    n_missing = 0
    if announced is None or announced < 0 or announced * duration > headers.LONGEST:
        fields.repairs.append(
            "the header does not give the number of records (the recording was not closed properly); "
            f"{n_whole} counted from the size of the file"
        )
    else:
        n_missing = max(0, announced - n_whole)
        fields.repairs += headers.length_notes(float(n_whole * duration), float(announced * duration))
    if rest:
        fields.repairs.append(f"the last record is incomplete; its {rest} of {record_bytes} bytes are left out")
    return n_whole, n_missing


def _start(raw: bytes, fields: _Fields) -> datetime | None:
    """Read the clock time of the start, in the many ways that systems write it."""
    date, time = fields.text(raw[168:176]), fields.text(raw[176:184])
    clock = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})", time, re.ASCII)
    day = _date(date) or _long_date(raw[88:168])
    try:
        if clock is None or day is None or not _YEARS[0] <= day[0] <= _YEARS[1]:
            raise ValueError
        start = datetime(*day, int(clock[1]), int(clock[2]), int(clock[3]))
    except ValueError:
        fields.repairs.append(headers.WRONG_CLOCK)
        return None
    if _date(date) is None:
        fields.repairs.append("the start date is unreadable; taken from the EDF+ recording field")
    elif not all(re.fullmatch(r"\d\d\.\d\d\.\d\d", text) for text in (date, time)):
        fields.repairs.append("the start date or time is not written dd.mm.yy and hh.mm.ss; read as day, month, year")
    return start


def _date(text: str) -> tuple[int, int, int] | None:
    """Return year, month and day."""
    found = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{2}|\d{4})", text, re.ASCII)
    if found is None:
        return None
    year = int(found[3])
    if len(found[3]) == 2:  # 85 to 99 belong to the last century (EDF+ specification, 2.1.3.2)
        year += 1900 if year >= 85 else 2000
    return year, int(found[2]), int(found[1])


def _long_date(raw: bytes) -> tuple[int, int, int] | None:
    """Return the date that EDF+ repeats, with all digits of the year, in the recording field; nothing else of it."""
    found = re.search(rb"Startdate (\d{2})-([A-Za-z]{3})-(\d{4})", raw)
    month = _MONTHS.get(found[2].lower()) if found else None
    return (int(found[3]), month, int(found[1])) if found and month else None
