"""What event formats share: their description, rows as a file gives them, and the checks between rows and events."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.events import Event, Events, Span, merge_events
from restcli.files import open_regular
from restcli.marks.types import BACKGROUND, OTHER, known_type, resembles_seizure

SLACK = 1.0  # s; tables round, and headers round otherwise
UNKNOWN_START = datetime(1985, 1, 1)  # what EDF software writes for an anonymised start
_LARGEST = 64 * 2**20  # bytes of a table
_MISSING = frozenset({"", "n/a", "na", "nan", "none", "null"})


class UnknownLengthError(AnnotationError):
    """Marks that do not say how long their recording is, or when it began, where that is needed."""


@dataclass(frozen=True)
class Row:
    """One mark as the file gives it."""

    where: str  # file and line
    onset: float  # s
    stop: float  # s
    label: str  # SzCORE type, BACKGROUND, or OTHER with or without a name
    confidence: float = math.nan
    channels: tuple[str, ...] = ()
    label_confidence: float = math.nan
    open_end: bool = False  # the stop is a guess that may lie beyond the recording


@dataclass(frozen=True)
class Table:
    """All marks of one recording as the file gives them."""

    rows: tuple[Row, ...]
    duration: float | None = None  # s
    start: datetime | None = None
    origin: datetime | None = None  # times count from this moment and not from the start of the recording
    looked: bool = False  # a table without rows means 'none found'
    unscored: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Head:
    """The beginning of a file, for `Format.matches`."""

    path: Path
    raw: bytes
    lines: tuple[str, ...]  # lower-case, without blank lines
    first: str  # first of them that is not a comment

    @property
    def columns(self) -> frozenset[str]:
        """Names in the first line, separated by tabs or commas."""
        return frozenset(name.strip().strip('"') for name in re.split(r"[,\t]", self.first))


@dataclass(frozen=True)
class Format:
    """An event format: how to recognise, read and write it."""

    name: str  # what ``--format`` calls it; files that restcli writes end in ``_events.NAME``
    title: str  # a few words for listings
    endings: tuple[str, ...]  # of file names, lower-case with their dot
    matches: Callable[[Head], bool]  # at most one format matches a file
    read: Callable[[Path], Table]  # raises nothing but AnnotationError, which never quotes free text
    write: Callable[[Events, str], bytes] | None = None  # events and stem of the file
    remark: Callable[[Events], str] = lambda _: ""  # what the file cannot say of these events although it usually can
    holds_unscored: bool = True  # whether a written file says what was not scored
    package: str = ""  # library that reads and writes the file; empty when restcli does


def read_bytes(path: Path, limit: int = _LARGEST) -> bytes:
    """Read up to `limit` bytes of a file that is not empty."""
    try:
        with open_regular(path) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AnnotationError(str(path), f"cannot be read ({reason})", "a readable event table") from error
    if len(data) > limit == _LARGEST:
        raise AnnotationError(str(path), "the file is larger than 64 MiB", "a table of events")
    if not data.strip():
        raise AnnotationError(str(path), "the file is empty", f"events, or a {BACKGROUND} row if none were found")
    return data[:limit]


def decode(data: bytes) -> str:
    """Decode UTF-8, UTF-16 with its mark, or Latin-1."""
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def head_of(path: Path) -> Head:
    """Read the beginning of a file."""
    raw = read_bytes(path, 65536)
    lines = tuple(line.strip().lower() for line in _lines(decode(raw)) if line.strip())
    return Head(path, raw, lines, next((line for line in lines if not line.startswith("#")), ""))


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the place ("file, line 3") and text of each line that is not blank."""
    for number, text in enumerate(_lines(decode(read_bytes(path))), 1):
        if text.strip():
            yield f"{path}, line {number}", text


def named_values(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, lower-case name and value of each line such as ``Seizure Start Time: 417 s``."""
    for where, text in numbered_lines(path):
        name, _, value = text.partition(":")
        yield where, " ".join(name.lower().split()), value.strip()


def read_cells(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place and cells, by lower-case column name, of each row of a table with tabs or commas."""
    names: list[str] = []
    delimiter = ","
    for where, text in numbered_lines(path):
        if text.startswith("#"):
            continue
        if not names:
            delimiter = "\t" if "\t" in text else ","
        try:
            # Line by line: an unclosed quote must not swallow the rows below it.
            cells = [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter))]
        except csv.Error as error:
            raise AnnotationError(where, "the line cannot be split into cells", "cells under 128 KiB") from error
        if not names:
            names = [cell.lower() for cell in cells]
            if any(names.count(name) > 1 for name in names if name):
                raise AnnotationError(
                    where, "two columns have the same name", "one of each name", "Rename or remove one"
                )
        elif len(cells) != len(names):
            raise AnnotationError(where, f"the row has {len(cells)} cells", f"{len(names)}, as in the header")
        else:
            yield where, dict(zip(names, cells, strict=True))


def number(text: str, where: str) -> float:
    """Return a finite number."""
    text = text.strip()
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE) and math.isfinite(float(text)):
        return float(text)
    # Other texts are not quoted: they may name a patient.
    shown = repr(text) if re.fullmatch(r"[\d.,:+\- ]{1,24}", text) else "a text"
    raise AnnotationError(where, f"{shown} is not a number", "a number with a decimal point")


def optional_number(text: str | None, where: str) -> float:
    """Return a number, or NaN for ``n/a`` and blanks."""
    return math.nan if is_missing(text) else number(str(text), where)


def is_missing(text: str | None) -> bool:
    """Whether a cell says that its value is unknown."""
    return text is None or text.strip().lower() in _MISSING


def channel_names(text: str | None) -> tuple[str, ...]:
    """Split a comma-separated list of channels."""
    return () if is_missing(text) else tuple(name.strip() for name in str(text).split(",") if name.strip())


def clock_time(text: str | None) -> datetime | None:
    """Return a date and time, or None if there is none."""
    try:
        return None if is_missing(text) else datetime.fromisoformat(str(text).strip()).replace(tzinfo=None)
    except ValueError:
        return None


def label_of(text: str, where: str) -> str:
    """Return the SzCORE type, BACKGROUND or OTHER of an event type; one that may mean a seizure must be known."""
    found = known_type(text)
    if found is None and resembles_seizure(text):
        raise AnnotationError(where, "an unknown event type that may mean a seizure", "a SzCORE type such as sz_foc")
    # Only what looks like the name of a type may be shown: anything else could be a remark about the patient.
    return found or (f"{OTHER}:{text}" if re.fullmatch(r"[a-z][a-z0-9_]{0,15}", text) else OTHER)


def to_events(table: Table, where: str, duration: float | None = None, start: datetime | None = None) -> Events:
    """Check rows against the recording and join those that overlap."""
    start = table.start if start is None else start
    length = _length(table, where, duration)
    seizures = [row for row in table.rows if row.label.startswith("sz")]
    if not seizures and not table.looked and all(row.label != BACKGROUND for row in table.rows):
        raise AnnotationError(
            where,
            "no row speaks of seizures" if table.rows else "the table has no rows",
            f"seizure rows, or a {BACKGROUND} row that says that none were found",
            "Settle whether anyone looked for seizures",
        )
    shift = _shift(table, where, start)
    if shift:
        seizures = [
            replace(row, onset=round(row.onset + shift, 7), stop=round(row.stop + shift, 7)) for row in seizures
        ]
    for row in seizures:
        _check_row(row, length)
    events = [
        Event(row.onset, row.stop - row.onset, row.label, row.confidence, row.channels, row.label_confidence)
        for row in seizures
    ]
    result = merge_events(events, length, start)
    for row in seizures:
        if not any(event.onset <= row.onset <= event.stop for event in result):
            raise AnnotationError(row.where, "the seizure has no length", "a stop after the onset")
    ignored = {row.label.removeprefix(f"{OTHER}:") for row in table.rows if row.label.startswith(OTHER)}
    # What was not scored may lie beyond the end of a file that was cut off.
    spans = [(max(0.0, span.start + shift), span.stop + shift, span.reason) for span in table.unscored]
    unscored = tuple(Span(begin, max(begin, stop), reason) for begin, stop, reason in spans)
    return replace(result, unscored=unscored, ignored=tuple(sorted(ignored)))


def _length(table: Table, where: str, duration: float | None) -> float:
    length = table.duration if duration is None else duration
    if length is None:
        what = "the table does not say how long the recording is"
        raise UnknownLengthError(where, what, remedy="Give the recording too")
    if table.duration is not None and not abs(table.duration - length) <= SLACK:
        what = f"the table is of a recording of {table.duration:.2f} s"
        raise AnnotationError(where, what, f"one of {length:.2f} s", "Check that both belong together")
    if not 0 <= length < math.inf:
        raise AnnotationError(where, f"the recording lasts {length:g} s", "a length in seconds")
    return length


def _shift(table: Table, where: str, start: datetime | None) -> float:
    """Return seconds from the start of the recording to the moment from which the table counts."""
    undated = start is not None and start.date() == UNKNOWN_START.date()
    if table.origin is None or (table.origin == UNKNOWN_START and not undated):
        return 0.0
    if start is None:
        raise UnknownLengthError(where, "onsets are clock times", remedy="Give the recording too")
    return (table.origin - start.replace(tzinfo=None)).total_seconds()


def _check_row(row: Row, length: float) -> None:
    if not 0 <= row.onset <= row.stop < math.inf:
        raise AnnotationError(row.where, f"a seizure from {row.onset:.2f} to {row.stop:.2f} s", "0 <= onset <= stop")
    if max(row.onset, 0.0 if row.open_end else row.stop) > length + SLACK:
        what, expected = f"a seizure ends at {row.stop:.2f} s", f"an end inside the recording of {length:.2f} s"
        raise AnnotationError(row.where, what, expected, "Check that marks and recording belong together")
    for confidence in (row.confidence, row.label_confidence):
        if not (math.isnan(confidence) or 0 <= confidence <= 1):
            raise AnnotationError(row.where, f"the confidence is {confidence:g}", "a probability from 0 to 1")
