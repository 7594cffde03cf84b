"""Lists of seizures of the Siena data set (``Seizures-list-PNxx.txt``)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.marks.table import SLACK, Row, Table, named_values

_DAY = 86400.0
# Misprints of the published lists (version 1.0.0), each found by comparing the list with the header of the recording.
_FILES = {"PN01.edf": "PN01-1.edf", "PN11-.edf": "PN11-1.edf"}
_TIMES = {
    ("PN00-3.edf", "seizure end", "19.29.29"): "18.29.29",  # the recording ends at 18.57.13
    ("PN10-7.8.9.edf", "registration start", "1 6.49.25"): "16.49.25",
    ("PN14-3.edf", "registration start", "16.17.45"): "19.17.45",  # start + 41,995 s is the listed end
    ("PN05-3.edf", "registration start", "06.01.23"): "06.01.13",  # the header's
}
_TIME = re.compile(r"(?<![\d.:])(\d{1,2})[.:](\d{1,2})[.:](\d{1,2})(?![\d.:]\d)")
_KEY = re.compile(r"(?:(registration|seizure) )?(start|end) time")


@dataclass
class _Recording:
    """What a list says of one recording; times are seconds of the day."""

    start: float | None
    times: dict[str, float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    error: AnnotationError | None = None

    def add(self, what: str, time: float, where: str) -> None:
        """Take a time; the end of a seizure completes it."""
        if what in self.times and what == "seizure start":
            raise AnnotationError(where, "a seizure starts before the last one ended", "pairs of start and end")
        self.times[what] = time
        if what == "seizure end":
            self.rows.append(self._row(where))

    def _row(self, where: str) -> Row:
        begin = self.times.get("registration start") if self.start is None else self.start
        onset, stop = self.times.pop("seizure start", None), self.times.pop("seizure end")
        if begin is None or onset is None:
            raise AnnotationError(
                where, "an end without the start of the seizure and of the registration", "all three times"
            )
        onset, stop = (onset - begin) % _DAY, (stop - begin) % _DAY
        end = (self.times["registration end"] - begin) % _DAY if "registration end" in self.times else _DAY
        if not onset < stop <= end + SLACK:
            what = f"a seizure from {onset:.0f} to {stop:.0f} s in a recording of {end:.0f} s"
            raise AnnotationError(where, what, "start < end, both inside the recording")
        return Row(where, onset, stop, "sz")

    def table(self, path: Path) -> Table | AnnotationError:
        """Return the seizures, or why they are unknown."""
        if self.error is None and ("seizure start" in self.times or not self.rows):
            self.error = AnnotationError(str(path), "a seizure without a start or an end", "both for each")
        return self.error or Table(tuple(self.rows))


def read_list(path: Path, starts: Mapping[str, datetime] | None = None) -> dict[str, Table | AnnotationError]:
    """Read the marks of each recording, or what is wrong with them; its header (`starts`) goes before the list."""
    recordings: dict[str, _Recording] = {}
    name = ""
    for where, key, value in named_values(path):
        if key == "file name":
            name = _file_name(value)
            moment = (starts or {}).get(name)
            start = None if moment is None else 3600.0 * moment.hour + 60.0 * moment.minute + moment.second
            recordings.setdefault(name, _Recording(start))
        elif name and (found := _KEY.fullmatch(key)):
            what, recording = f"{found[1] or 'seizure'} {found[2]}", recordings[name]
            try:
                recording.add(what, _seconds_of_day(_TIMES.get((name, what, value), value), where), where)
            except AnnotationError as error:
                recording.error = recording.error or error
        elif name and "time" in key.split():
            unknown = AnnotationError(where, "a time with an unknown name", "Seizure start or end time")
            recordings[name].error = recordings[name].error or unknown
    if not recordings:
        raise AnnotationError(str(path), "there is no 'File name:' line", "a Siena list of seizures")
    return {name: recording.table(path) for name, recording in recordings.items()}


def _file_name(text: str) -> str:
    """Correct the misprinted names of recordings.

    >>> [_file_name(name) for name in ("PN00-1.edf", "PNO6-1.edf", "PN01.edf", "PN11-.edf")]
    ['PN00-1.edf', 'PN06-1.edf', 'PN01-1.edf', 'PN11-1.edf']
    """
    name = re.sub(r"^PNO", "PN0", text.split()[0] if text.split() else "")
    return _FILES.get(name, name)


def _seconds_of_day(text: str, where: str) -> float:
    """Read ``19.58.36``, ``21:51:02`` or ``16:13.23``; of two times the electrical onset counts, else the first."""
    found = list(_TIME.finditer(text))
    rest = re.sub(r"\([^)]*\)|\bop+ure\b|[;,]", "", _TIME.sub("", text), flags=re.IGNORECASE)
    electrical = [match for match in found if re.match(r"\s*\(\s*electr", text[match.end() :], re.IGNORECASE)]
    if found and not rest.strip():
        hours, minutes, seconds = (int(part) for part in (electrical or found)[0].groups())
        if hours < 24 and minutes < 60 and seconds < 60:
            return 3600.0 * hours + 60.0 * minutes + seconds
    raise AnnotationError(where, "the value is not a clock time", "hh.mm.ss")
