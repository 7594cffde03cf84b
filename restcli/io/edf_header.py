"""The header of an EDF or BDF file: its fields and how to mend them; knows neither disks nor brains."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from restcli.errors import RecordingError

_MICROVOLTS = {"uv": 1.0, "µv": 1.0, "μv": 1.0, "microv": 1.0, "microvolt": 1.0, "microvolts": 1.0}
_MICROVOLTS |= {"mv": 1e3, "millivolt": 1e3, "v": 1e6, "volt": 1e6, "volts": 1e6, "nv": 1e-3, "nanovolt": 1e-3}
# Microvolts as exports have mangled them: the letter mu lost or written otherwise.
_MANGLED = frozenset({"?v", "\ufffdv", "u", "uvolt", "uvolts", "mcv", "mkv", "мкв", "micv", "ìv", "âµv"})
# Units seen on channels that are no potentials (heart rate, saturation, pressure, ...): nothing to mend there.
_OTHER_UNITS = frozenset(
    "% mm cm sec s ms hz bpm brst/min /min 1/min degc °c c degf mmhg cmh2o l l/s l/min ml boolean bool "
    "g kohm ohm deg rad lux db n/a none bit bits count counts event".split()
)
_ANNOTATIONS = frozenset({"edf annotations", "bdf annotations"})
_FORMAT = "an EDF, EDF+ or BDF recording was expected"
_RE_EXPORT = "export the recording again from the EEG system"
# Field widths of the signal part of the header, in order (edfplus.info, EDF specification, section 2.2).
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")

# No physical or digital limit and no sampling rate (Hz) is larger than this.
_LARGEST = 10**9
_FASTEST = 10**6


@dataclass(frozen=True)
class EdfSignal:
    """One signal of an EDF or BDF file; ``value = digital * scale + shift`` in `unit`.

    Parameters
    ----------
    label, unit : str
        Clean label; ``µV`` when the header names a voltage, else the header's own text.
    scale, shift : float
        NaN when `problem` says why the samples have no meaning.
    digital_min, digital_max : int
        Limits of the stored integers.
    n_samples : int
        Samples in each record.
    first : int
        Place of the first of them in the record, samples.
    problem : str
        Why the channel cannot be used; empty when it can.
    """

    label: str
    unit: str
    scale: float
    shift: float
    digital_min: int
    digital_max: int
    n_samples: int
    first: int
    problem: str = ""


@dataclass(frozen=True)
class EdfHeader:
    """What the header says after mending; see `parse_header`.

    Parameters
    ----------
    kind : str
        ``EDF``, ``EDF+C``, ``EDF+D``, ``BDF``, ``BDF+C`` or ``BDF+D``.
    start : datetime or None
        Clock time of the start as the header gives it.
    data_start, record_bytes, sample_bytes : int
        Where the records begin, and bytes in each record and sample.
    n_records : int
        Complete records in the file.
    record_duration : Fraction
        Seconds.
    signals, annotations : tuple of EdfSignal
        Ordinary signals, and those that hold time stamps and text.
    repairs : tuple of str
        What was wrong, and what was done.
    """

    kind: str
    start: datetime | None
    data_start: int
    record_bytes: int
    sample_bytes: int
    n_records: int
    record_duration: Fraction
    signals: tuple[EdfSignal, ...]
    annotations: tuple[EdfSignal, ...]
    repairs: tuple[str, ...]


@dataclass
class _Mender:
    """Reads header fields and remembers what had to be mended."""

    where: str
    repairs: list[str] = field(default_factory=list)
    nul: bool = False
    comma: bool = False
    latin: bool = False

    def text(self, raw: bytes) -> str:
        """Decode a field; control bytes would reach terminals and tables, so none survives."""
        if b"\0" in raw:
            self.nul = True
        if not raw.isascii():
            self.latin = True
        return "".join(c if c.isprintable() else " " for c in decode(raw)).strip()

    def number(self, raw: bytes) -> Fraction | None:
        """Read a number, or None; Fraction keeps durations such as 0.1 exact."""
        self.nul = self.nul or b"\0" in raw
        text = self.text(raw.lstrip(b"\0 ").split(b"\0")[0])
        if "," in text and "." not in text:
            text = text.replace(",", ".")
            self.comma = self.comma or _NUMBER.fullmatch(text) is not None
        return Fraction(text) if _NUMBER.fullmatch(text) else None

    def summary(self) -> tuple[str, ...]:
        notes = list(self.repairs)
        if self.nul:
            notes.append("header fields are padded with NUL bytes; read as spaces")
        if self.comma:
            notes.append("header numbers are written with decimal commas; read as decimal points")
        if self.latin:
            notes.append("header text is not plain ASCII; read as UTF-8 or Latin-1")
        return tuple(notes)

    def refuse(self, what: str, remedy: str = _RE_EXPORT) -> RecordingError:
        return RecordingError(self.where, what, _FORMAT, remedy)


def decode(raw: bytes) -> str:
    """Decode text as UTF-8, or as Latin-1 when it is not."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def names(labels: Iterable[str], limit: int = 6) -> str:
    """Print labels for people, at most `limit` of them.

    Examples
    --------
    >>> names(["Fp1", "Fp2"])
    "channels 'Fp1', 'Fp2'"
    """
    listed = [f"'{label}'" for label in labels]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return f"channel{'s' if len(listed) > 1 else ''} " + ", ".join(listed[:limit]) + more


def is_edf(raw: bytes) -> bool:
    """Tell from the first 8 bytes whether this claims to be EDF or BDF."""
    return raw[:8] == b"\xffBIOSEMI" or (len(raw) >= 8 and raw[:8].strip(b"\0 ") == b"0")


def count_signals(raw: bytes, where: str) -> int:
    """Return the number of signals from the first 256 bytes of a file.

    Parameters
    ----------
    raw : bytes
        The first 256 bytes.
    where : str
        Name for errors.

    Returns
    -------
    int

    Raises
    ------
    RecordingError
        If this is not the beginning of an EDF or BDF file.
    """
    mender = _Mender(where)
    if len(raw) < 256:
        raise mender.refuse(f"holds only {len(raw)} bytes, less than the shortest header", "copy the file again")
    count, size = mender.number(raw[252:256]), mender.number(raw[184:192])
    n_signals = int(count) if count is not None and count.denominator == 1 else -1
    from_size = int(size) // 256 - 1 if size is not None and size.denominator == 1 and size % 256 == 0 else -1
    if not is_edf(raw) and (n_signals < 1 or n_signals != from_size):
        raise mender.refuse(_stranger(raw), "check the file; a changed ending does not convert it")
    if n_signals < 0 and from_size < 1:
        raise mender.refuse("the number of signals in the header is not a number")
    n_signals = n_signals if n_signals >= 0 else from_size
    if n_signals == 0:
        raise mender.refuse("the header announces no signals: there is no EEG in this file")
    return n_signals


def _stranger(raw: bytes) -> str:
    """Say what a file that is no EDF seems to be."""
    kinds = {
        b"\x1f\x8b": "it is compressed (gzip): unpack it first",
        b"PK": "it is a zip archive: unpack it first",
        b"%PDF": "it is a PDF document",
        b"GDF": "it is a GDF file",
        b"MATLAB": "it is a MATLAB file",
        b"\x89HDF": "it is an HDF5 file",
    }
    for magic, words in kinds.items():
        if raw.startswith(magic):
            return f"is not an EDF or BDF file ({words})"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in raw):
        return "is not an EDF or BDF file (it looks like plain text)"
    return "is not an EDF or BDF file (its first bytes are no EDF header)"


def parse_header(raw: bytes, size: int, where: str) -> EdfHeader:
    """Read and mend the header of an EDF or BDF file.

    Parameters
    ----------
    raw : bytes
        The first ``256 * (1 + n_signals)`` bytes of the file (`count_signals`).
    size : int
        Size of the whole file in bytes.
    where : str
        Name for errors.

    Returns
    -------
    EdfHeader
        Patient and recording fields are neither kept nor quoted.

    Raises
    ------
    RecordingError
        If the samples cannot be found or dated in the file.

    References
    ----------
    Kemp et al., *A simple format for exchange of digitized polygraphic recordings*, 1992; Kemp & Olivan, *European data
    format 'plus'*, 2003 (https://www.edfplus.info/specs/edfplus.html).
    """
    n_signals = count_signals(raw, where)
    mender = _Mender(where)
    if size < 256 * (n_signals + 1) or len(raw) < 256 * (n_signals + 1):
        raise mender.refuse("ends inside its own header", "copy the file again")
    family = "BDF" if raw[:1] == b"\xff" else "EDF"
    mender.nul = b"\0" in raw[:8]
    if not is_edf(raw):
        mender.repairs.append(f"the version field is wrong; read as {family} because the rest of the header fits")
    reserved = raw[192:197].upper()
    kind = family + (reserved[3:].decode() if reserved in {b"EDF+C", b"EDF+D", b"BDF+C", b"BDF+D"} else "")
    duration = mender.number(raw[244:252])
    columns = _columns(raw, n_signals)
    signals = _signals(columns, mender, family)
    ordinary = tuple(s for s in signals if s.label.lower() not in _ANNOTATIONS)
    marks = tuple(s for s in signals if s.label.lower() in _ANNOTATIONS)
    if not ordinary:
        raise mender.refuse("holds annotations only, no signals", "give the recording that belongs to it")
    if duration is None or duration <= 0:
        raise mender.refuse("the duration of a record in the header is not a positive number")
    _audit(ordinary, mender)
    width = 3 if family == "BDF" else 2
    record_bytes = width * sum(s.n_samples for s in signals)
    if record_bytes == 0 or not any(s.n_samples for s in ordinary):
        raise mender.refuse("its records hold no samples")
    if max(s.n_samples for s in ordinary) / duration > _FASTEST:
        raise mender.refuse("the header implies sampling rates above 1 MHz; its record duration must be wrong")
    data_start = _data_start(raw, n_signals, record_bytes, size=size, mender=mender)
    n_records = _count_records(raw, size - data_start, record_bytes, duration=duration, mender=mender)
    start = _start(raw, mender)
    return EdfHeader(
        kind, start, data_start, record_bytes, width, n_records, duration, ordinary, marks, mender.summary()
    )


def _columns(raw: bytes, n_signals: int) -> list[list[bytes]]:
    """Cut the signal part of the header into ten fields a signal."""
    columns, position = [], 256
    for width in _WIDTHS:
        columns.append([raw[position + i * width : position + (i + 1) * width] for i in range(n_signals)])
        position += n_signals * width
    return columns


def _signals(columns: list[list[bytes]], mender: _Mender, family: str) -> list[EdfSignal]:
    """Make the signals, with their calibration and their place in a record."""
    signals, first = [], 0
    assumed, odd = [], []
    rail = 2**23 if family == "BDF" else 2**15
    for label, _, unit, *limits, _, count, _ in zip(*columns, strict=True):
        name, text, n_samples = mender.text(label), mender.text(unit), mender.number(count)
        if n_samples is None or n_samples.denominator != 1 or not 0 <= n_samples < 2**31:
            raise mender.refuse("the number of samples in a record is not a number for one of the signals")
        marks = name.lower() in _ANNOTATIONS
        factor = _MICROVOLTS.get(text.lower().rstrip("."), 1.0)
        known = text.lower().rstrip(".") in _MICROVOLTS or text.lower() in _MANGLED
        if (not text or text.lower() in _MANGLED) and not marks:
            assumed.append(name)
        elif not known and text.lower() not in _OTHER_UNITS and not marks:
            odd.append((name, text))
        numbers = [mender.number(limit) for limit in limits]
        scale, shift, problem = _calibration(numbers, factor) if not marks else (1.0, 0.0, "")
        if n_samples == 0:
            problem = "it holds no samples"
        low, high = (int(n) if n is not None else side for n, side in zip(numbers[2:], (-rail, rail - 1), strict=True))
        shown = "µV" if known or not text else text
        signals.append(EdfSignal(name, shown, scale, shift, low, high, int(n_samples), first, problem))
        first += int(n_samples)
    if assumed:
        mender.repairs.append(f"{names(assumed)}: no unit that can be read in the header; microvolts assumed")
    if odd:
        units = ", ".join(f"'{unit}'" for unit in sorted({unit for _, unit in odd})[:6])
        mender.repairs.append(f"{names(name for name, _ in odd)}: unit {units} unknown; left out")
    return signals


def _calibration(limits: Sequence[Fraction | None], factor: float) -> tuple[float, float, str]:
    """Scale and shift of a signal from its physical and digital limits, or why there are none."""
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


def _audit(signals: Sequence[EdfSignal], mender: _Mender) -> None:
    """List channels without meaning, twins and turned polarity."""
    problems: dict[str, list[str]] = {}
    for signal in signals:
        if signal.problem:
            problems.setdefault(signal.problem, []).append(signal.label)
    for problem, labels in problems.items():
        mender.repairs.append(f"{names(labels)}: {problem}; the channel is left out")
    turned = [s.label for s in signals if s.scale < 0]
    if turned:
        mender.repairs.append(f"{names(turned)}: the range is given from high to low; read as inverted polarity")
    twins = [label for label, count in Counter(s.label for s in signals).items() if count > 1]
    if twins:
        mender.repairs.append(f"{names(twins)}: the label occurs more than once; told apart by position")


def _data_start(raw: bytes, n_signals: int, record_bytes: int, *, size: int, mender: _Mender) -> int:
    """Return where records begin: after all fields, unless only the header's own figure fits the file."""
    if mender.number(raw[252:256]) != n_signals:
        mender.repairs.append(f"the number of signals is unreadable; {n_signals} taken from the size of the header")
    expected, stated, count = 256 * (n_signals + 1), mender.number(raw[184:192]), mender.number(raw[236:244])
    if stated == expected:
        return expected
    if stated is not None and stated > expected and count is not None and size - stated == count * record_bytes > 0:
        mender.repairs.append("the header is longer than its signals need; the extra bytes are skipped")
        return int(stated)
    mender.repairs.append(f"the header gives a wrong size of itself; {expected} bytes taken from its signals")
    return expected


def _count_records(raw: bytes, available: int, record_bytes: int, *, duration: Fraction, mender: _Mender) -> int:
    """Return the number of complete records that the file really holds."""
    n_whole, rest = divmod(max(0, available), record_bytes)
    if n_whole == 0:
        raise mender.refuse("holds no complete data record; the file is cut off", "copy the file again")
    claimed = mender.number(raw[236:244])
    seconds = float(n_whole * duration)
    if claimed is None or claimed < 0:
        mender.repairs.append(
            "the header does not give the number of records (the recording was not closed properly); "
            f"{n_whole} counted from the size of the file"
        )
    elif claimed > n_whole:
        lost = float((claimed - n_whole) * duration)
        mender.repairs.append(
            f"the file is cut off: the header announces {float(claimed * duration):g} s, {seconds:g} s are there, "
            f"{lost:g} s are missing at the end"
        )
    elif claimed < n_whole:
        mender.repairs.append(
            f"the file holds more than the header announces: {seconds:g} s instead of "
            f"{float(claimed * duration):g} s; all of it is read"
        )
    if rest:
        mender.repairs.append(f"the last record is incomplete; its {rest} of {record_bytes} bytes are left out")
    return n_whole


def _start(raw: bytes, mender: _Mender) -> datetime | None:
    """Read the clock time of the start, in the many ways that systems write it."""
    date, time = mender.text(raw[168:176]), mender.text(raw[176:184])
    clock = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{1,2})", time, re.ASCII)
    day = re.fullmatch(r"(\d{1,2})\D(\d{1,2})\D(\d{2}|\d{4})", date, re.ASCII)
    # EDF+ repeats the date, with all digits of the year, in the recording field; nothing else of it is looked at.
    long_date = re.search(rb"Startdate (\d{2})-([A-Za-z]{3})-(\d{4})", raw[88:168])
    try:
        if clock is None:
            raise ValueError
        if day is not None:
            year = int(day[3])
            # Two digits: 85 to 99 belong to the last century (EDF+ specification, 2.1.3.2).
            century = 0 if len(day[3]) == 4 else 1900 if year >= 85 else 2000
            date_time = datetime(century + year, int(day[2]), int(day[1]))
        elif long_date is not None:
            month = "jan feb mar apr may jun jul aug sep oct nov dec".split().index(long_date[2].decode().lower()) + 1
            date_time = datetime(int(long_date[3]), month, int(long_date[1]))
            mender.repairs.append("the start date is unreadable; taken from the EDF+ recording field")
        else:
            raise ValueError
        date_time = date_time.replace(hour=int(clock[1]), minute=int(clock[2]), second=int(clock[3]))
    except ValueError:
        mender.repairs.append("the start date or time does not exist; clock times are unknown")
        return None
    if not all(re.fullmatch(r"\d\d\.\d\d\.\d\d", text) for text in (date, time)) and day is not None:
        mender.repairs.append("the start date or time is not written dd.mm.yy and hh.mm.ss; read as day, month, year")
    return date_time
