"""Marks of CHB-MIT: the WFDB stream beside a recording (``X.edf.seizures``) and the summary of a patient."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.marks.table import Format, Head, Row, Table, named_values, number, read_bytes
from restcli.marks.types import names_seizure


def _matches(head: Head) -> bool:
    return head.path.suffix == ".seizures"


def _read(path: Path) -> Table:
    where = str(path)
    try:
        marks = parse_wfdb(read_bytes(path))
    except (struct.error, ValueError, ZeroDivisionError) as error:
        raise AnnotationError(where, "the stream is damaged or stops in the middle", "WFDB annotations") from error
    found = [(moment, symbol) for moment, symbol in marks if symbol in "[]"]
    for index, (moment, symbol) in enumerate(found):
        if symbol != "[]"[index % 2]:
            raise AnnotationError(where, f"an unpaired {symbol!r} at {moment:.2f} s", "pairs of [ and ]")
    if len(found) % 2:
        raise AnnotationError(where, f"the seizure that starts at {found[-1][0]:.2f} s never ends", "pairs of [ and ]")
    times = [moment for moment, _ in found]
    return Table(tuple(Row(where, *span, "sz") for span in zip(times[::2], times[1::2], strict=True)))


def parse_wfdb(data: bytes, sfreq: float = 256.0) -> list[tuple[float, str]]:
    """Parse a WFDB annotation stream (physionet.org/physiotools/wag/annot-5.htm) into seconds and symbols.

    >>> parse_wfdb(bytes.fromhex("00ec0b0000b4008000ec000000280084 0000"))
    [(2996.0, '['), (3036.0, ']')]
    """
    position = sample = 0
    marks: list[tuple[int, str]] = []
    while True:
        (word,) = struct.unpack_from("<H", data, position)
        position += 2
        code, interval = word >> 10, word & 0x3FF
        if code == 0 and interval == 0:
            break
        if code == 59:  # SKIP: a 32-bit interval, high word first (PDP-endian)
            high, low = struct.unpack_from("<hH", data, position)
            position += 4
            sample += (high << 16) + low
        elif code == 63:  # AUX: bytes of text, padded to an even number
            found = re.match(rb"## time resolution: ([\d.]+)", data[position : position + interval])
            sfreq = float(found[1]) if found else sfreq
            position += interval + interval % 2
        elif code < 60:  # 60, 61, 62 set number, subtype and channel of the last annotation
            sample += interval
            marks.append((sample, {32: "[", 33: "]"}.get(code, str(code))))
    return [(sample / sfreq, symbol) for sample, symbol in marks]


@dataclass
class _Block:
    """What a summary says of one recording."""

    where: str
    n_seizures: float | None = None
    starts: list[tuple[str, float]] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    error: AnnotationError | None = None

    def add(self, key: str, value: str, where: str) -> None:
        """Take a line; a number of a wrong seizure (chb09_08) and a missing one do not matter."""
        if key == "number of seizures in file":
            self.n_seizures = number(value, where)
        elif re.fullmatch(r"seizure\s*\d*\s*start time", key):
            self.starts.append((where, _seconds(value, where)))
        elif re.fullmatch(r"seizure\s*\d*\s*end time", key):
            if len(self.stops) >= len(self.starts):
                raise AnnotationError(where, "an end without a start", "pairs of start and end")
            self.stops.append(_seconds(value, where))
        elif names_seizure(key):
            raise AnnotationError(
                where, "a line about seizures that cannot be interpreted", "Seizure Start or End Time"
            )

    def table(self) -> Table | AnnotationError:
        """Return the seizures, or why they are unknown."""
        if self.error is None and not self.n_seizures == len(self.starts) == len(self.stops):
            what = f"{len(self.starts)} starts and {len(self.stops)} ends of seizures do not fit the number announced"
            self.error = AnnotationError(self.where, what, "a start and an end for each seizure")
        pairs = zip(self.starts, self.stops, strict=False)
        rows = tuple(Row(where, onset, stop, "sz") for (where, onset), stop in pairs)
        return self.error or Table(rows, looked=True)


def _seconds(text: str, where: str) -> float:
    """Read ``417 seconds``; other units are refused."""
    value, _, unit = " ".join(text.split()).partition(" ")
    if unit.lower().rstrip(".") not in {"", "s", "sec", "secs", "second", "seconds"}:
        raise AnnotationError(where, "the unit of a time is unknown", "a number of seconds")
    return number(value, where)


def read_summary(path: Path) -> dict[str, Table | AnnotationError]:
    """Read ``chbNN-summary.txt``: the name of each recording and its marks, or what is wrong with them."""
    blocks: dict[str, _Block] = {}
    block: _Block | None = None
    for where, key, value in named_values(path):
        if key == "file name":
            block = _Block(where)
            if value in blocks:
                block.error = AnnotationError(where, "the recording is listed twice", "one entry for each recording")
            blocks[value] = block
        elif block is not None:
            try:
                block.add(key, value, where)
            except AnnotationError as error:
                block.error = block.error or error
    if not blocks:
        raise AnnotationError(str(path), "there is no 'File Name:' line", "a CHB-MIT summary")
    return {name: block.table() for name, block in blocks.items()}


FORMATS = (Format("seizures", "CHB-MIT, WFDB annotations", (".edf.seizures",), _matches, _read),)
