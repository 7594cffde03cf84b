"""Data-set layouts: which marks, patient and split belong to a recording."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from restcli.errors import AnnotationError, RecordingError
from restcli.events import Events
from restcli.files import refuse_folder
from restcli.io.companions import ANY_FORMAT
from restcli.io.recording import Recording
from restcli.io.registry import NO_SIGNALS, is_folder_of_one, is_recording, open_recording, why_no_recording
from restcli.marks.chbmit import read_summary
from restcli.marks.registry import ENDINGS, lacks_columns, may_hold_events, read_events
from restcli.marks.reviewed import find_reviewed, is_detected, read_claims
from restcli.marks.siena import read_list
from restcli.marks.table import Table, decode, read_bytes, read_cells, to_events
from restcli.marks.types import known_type
from restcli.text import some_of

Listing = Callable[[Path, Mapping[str, datetime]], Mapping[str, Table | AnnotationError]]
"""Reads a list of many recordings, given the known starts: the marks of each, or what is wrong with them."""


@dataclass(frozen=True)
class Marks:
    """Where the marks of a recording stand; they are read when asked for."""

    path: Path  # a table, or a list that speaks of many recordings
    entry: str = ""  # name of the recording in such a list
    listing: Listing | None = None
    label: str = ""  # type of every seizure when the list does not say

    def read(self, recording: Recording) -> Events:
        """Read the marks and check them against the recording; AnnotationError if they do not fit."""
        if self.listing is None and is_detected(self.path):
            what = "it holds what restcli detected, by the run report or live log beside it, not what an expert marked"
            raise AnnotationError(str(self.path), what, "an expert's marks", "Write outputs elsewhere, or review them")
        if self.listing is None:
            return read_events(self.path, duration=recording.duration, start=recording.clock)
        starts = {} if recording.clock is None else {self.entry: recording.clock}
        table = self.listing(self.path, starts)[self.entry]
        if isinstance(table, AnnotationError):
            raise table
        if self.label:
            table = replace(table, rows=tuple(replace(row, label=self.label) for row in table.rows))
        return to_events(table, f"{self.path}, {self.entry}", recording.duration, recording.clock)


@dataclass(frozen=True)
class Item:
    """One recording of a data folder with its marks."""

    recording_path: Path
    marks: Marks
    patient: str  # recordings of one patient share it
    source: str  # name of the layout
    split: str | None = None  # official: train, dev or eval

    @property
    def events(self) -> Events:
        """Seizures of the recording, read now; opens the recording's header."""
        return self.marks.read(open_recording(self.recording_path))


@dataclass(frozen=True)
class Layout:
    """A data-set layout."""

    name: str  # the `source` of its items
    title: str  # a few words for listings
    stem: re.Pattern[str]  # file names of its recordings without their ending; the first group is the patient
    # Makes an item of a recording and the match of its stem; None without marks. Faults of marks appear on reading.
    find: Callable[[Path, re.Match[str]], Item | None]
    split: Callable[[Path, Path], str | None] = lambda *_: None  # official side of a recording in a folder of data


def find_items(path: str | Path) -> tuple[Item, ...]:
    """Find recordings by one of `LAYOUTS`, or with ``X_events.tsv`` beside each; none without marks is background.

    A folder that ``restcli review apply`` wrote to stands for the recordings that were reviewed, wherever they are.
    """
    found, root = look_for_items(path), Path(path)
    missing = [str(recording) for recording, item in found.items() if item is None]
    if missing:
        raise AnnotationError(
            str(root),
            f"{len(missing)} of {len(found)} recordings have no marks: {some_of(missing, 5)}",
            "a table of events for each, with a bckg row where none were found",
            "Write one, or move these recordings elsewhere",
        )
    return tuple(item for item in found.values() if item is not None)


def look_for_items(path: str | Path) -> dict[Path, Item | None]:
    """Return the recordings of a folder with what `find_items` finds; None where a recording has no marks."""
    root = Path(path)
    if not root.exists():
        raise RecordingError(str(root), "does not exist", "a recording or a folder of recordings")
    if reviewed := find_reviewed(root):
        return {recording: _reviewed(recording, report, root) for recording, report in reviewed.items()}
    is_one = root.is_file() or is_folder_of_one(root)
    recordings = [root] if is_one else [path for path in _files(root) if is_recording(path)]
    if not recordings:
        raise RecordingError(str(root), "holds no recordings", ANY_FORMAT)
    return {recording: _find(recording, root) for recording in recordings}


def passed_over(path: str | Path) -> tuple[str, ...]:
    """Name the recordings that `find_items` leaves out: compressed ones, and those in formats that are not read."""
    reasons = ((file, why_no_recording(file)) for file in _files(Path(path)))
    return tuple(f"left out: {file} {reason}" for file, reason in reasons if reason not in {"", NO_SIGNALS})


def _files(root: Path) -> Iterator[Path]:
    for folder, inside, names in os.walk(root, onerror=refuse_folder):
        ones = [name for name in inside if is_folder_of_one(Path(folder, name))]
        inside[:] = sorted(
            name for name in inside if not name.startswith(".") and name != "derivatives" and name not in ones
        )
        yield from (Path(folder, name) for name in sorted(names + ones))


def _find(recording: Path, root: Path) -> Item | None:
    """Try the layouts, most particular first, then a table beside the recording."""
    for layout in LAYOUTS:
        match = layout.stem.fullmatch(recording.stem)
        if match is not None and (item := layout.find(recording, match)) is not None:
            return replace(item, split=layout.split(recording, root))
    marks = _beside(recording)
    if marks is None:
        return None
    return Item(recording, Marks(marks), patient_of(_place(recording, root)), "folder")


def _reviewed(recording: Path, report: Path, root: Path) -> Item:
    marks = Marks(report, "reviewed", lambda path, _: {"reviewed": read_claims(path, recording)})
    return Item(recording, marks, patient_of(_place(report, root)), "reviewed")


def _place(path: Path, root: Path) -> Path:
    """Return where a file lies in a data folder."""
    return path.relative_to(root) if root.is_dir() and root != path else Path(path.name)


def _beside(recording: Path) -> Path | None:
    """Find a table of events by its name; without ``_events`` it must also look like one, as sidecars do not."""
    named = [path for ending in ENDINGS if (path := recording.with_name(f"{recording.stem}_events{ending}")).is_file()]
    others = (recording.with_suffix(ending) for ending in ENDINGS)
    like = (path for path in others if path != recording and path.is_file() and may_hold_events(path))
    return _first(path for path in named if not is_detected(path)) or _first(like) or _first(named)


def unknown_tables(recording: Path) -> dict[Path, str]:
    """Return the tables beside a recording that begin with its name but are no marks, with what they lack."""
    beside = (path for path in sorted(recording.parent.iterdir()) if path.name.startswith(recording.stem))
    tables = [path for path in beside if path.suffix.lower() in {".csv", ".tsv"} and path.is_file()]
    return {path: lacks_columns(path) for path in tables if not may_hold_events(path)}


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _bids(recording: Path, match: re.Match[str]) -> Item | None:
    marks = recording.with_name(f"{recording.stem.removesuffix('_eeg')}_events.tsv")
    folders = (recording.parent.resolve() / recording.name).parents  # also where the root is one of the subject's
    subject = next((folder for folder in folders if folder.name == match[1]), folders[0])
    patient = f"{subject.parent.name}/{match[1]}"
    return Item(recording, Marks(marks), patient, "bids") if marks.is_file() else None


def _tusz(recording: Path, match: re.Match[str]) -> Item | None:
    marks = _first(recording.with_suffix(ending) for ending in (".csv", ".csv_bi", ".tse", ".tse_bi", ".lbl"))
    return None if marks is None else Item(recording, Marks(marks), match[1], "tusz")


def _tusz_split(recording: Path, root: Path) -> str | None:
    """Name the nearest folder of a split: in or at the root, or above it if in ``edf``, as TUSZ is downloaded."""
    official = {"train": "train", "dev": "dev", "dev_test": "dev", "eval": "eval"}
    place = _place(recording, root)
    inside = [folder.name for folder in (root.resolve() / place).parents[: len(place.parts)] if root.is_dir()]
    downloaded = [folder.name for folder in recording.resolve().parents if folder.parent.name == "edf"]
    return next((official[name] for name in inside + downloaded if name in official), None)


_CHBMIT_SAME = {"chb21": "chb01"}  # one girl, recorded again 1.5 years later (PhysioNet, CHB-MIT 1.0.0)


def _chbmit(recording: Path, match: re.Match[str]) -> Item | None:
    """Look in the patient's summary, then beside the recording, then in the data set's list of seizures."""
    patient = _CHBMIT_SAME.get(match[1], match[1])
    summary = recording.with_name(f"{match[1]}-summary.txt")
    stream = recording.with_name(f"{recording.name}.seizures")
    records = recording.resolve().parent.parent / "RECORDS-WITH-SEIZURES"
    marks = None
    if summary.is_file() and _is_listed(summary, recording.name, read_summary):
        marks = Marks(summary, recording.name, lambda path, _: read_summary(path))
    elif stream.is_file():
        marks = Marks(stream)
    elif records.is_file() and not _is_listed(records, f"{match[1]}/{recording.name}", _words):
        marks = Marks(records, recording.name, lambda *_: defaultdict(lambda: Table((), looked=True)))
    return None if marks is None else Item(recording, marks, patient, "chbmit")


def _words(path: Path) -> list[str]:
    return decode(read_bytes(path)).split()


def _is_listed(path: Path, name: str, read: Callable[[Path], Iterable[str]]) -> bool:
    try:
        return name in read(path)
    except AnnotationError:
        return True  # reading the marks will say why


def _siena(recording: Path, match: re.Match[str]) -> Item | None:
    listed = recording.with_name(f"Seizures-list-{match[1]}.txt")
    if not listed.is_file() or not _is_listed(listed, recording.name, read_list):
        return None
    marks = Marks(listed, recording.name, read_list, _siena_type(listed, match[1]))
    return Item(recording, marks, match[1], "siena")


def _siena_type(listed: Path, patient: str) -> str:
    """Return the type of a patient's seizures from ``subject_info.csv``; empty where it is unknown."""
    table = listed.resolve().parent.parent / "subject_info.csv"
    try:
        kinds = [cells["seizure"] for _, cells in read_cells(table) if cells["patient_id"] == patient]
    except (AnnotationError, KeyError):
        return ""
    return known_type(kinds[0]) or "" if kinds else ""


def _seizeit(recording: Path, match: re.Match[str]) -> Item | None:
    marks = recording.with_name(f"{recording.stem}_a1.tsv")
    return Item(recording, Marks(marks), match[1], "seizeit") if marks.is_file() else None


LAYOUTS = (
    Layout("reviewed", "outputs of restcli review apply", re.compile(r"(?!)"), lambda *_: None),  # see `find_items`
    Layout("bids", "BIDS-EEG with SzCORE events", re.compile(r"(sub-[A-Za-z0-9]+)_(?:\S+_)?eeg"), _bids),
    Layout("tusz", "TUSZ as downloaded", re.compile(r"([a-z0-9]{8})_s\d+_t\d+"), _tusz, _tusz_split),
    Layout("chbmit", "CHB-MIT", re.compile(r"(chb\d\d)[a-z]?_\d+\+?"), _chbmit),
    Layout("siena", "Siena", re.compile(r"(PN\d\d)-\S+"), _siena),
    Layout("seizeit", "SeizeIT1", re.compile(r"(P_ID\d+)_r\d+"), _seizeit),
)


def patient_of(place: str | Path) -> str:
    """Name the patient of a recording, or of a table of its events, by its place in a folder.

    Known layouts come first, then the folder ``sub-XX``, the first folder, and the name up to its first ``_``, ``-`` or
    blank: numbered recordings in one folder are one patient rather than on two sides of a split.

    >>> [patient_of(place) for place in ("dev/aaaaaaac/s001/aaaaaaac_s001_t000", "chb21/chb21_01.edf", "ana/night.edf")]
    ['aaaaaaac', 'chb01', 'ana']
    >>> [patient_of(place) for place in ("sub-01/ses-02/eeg/sub-01_run-00_eeg.edf", "Subject00_2.edf", "night")]
    ['sub-01', 'Subject00', 'night']
    """
    parts = Path(place).parts
    for layout in LAYOUTS:
        found = layout.stem.match(parts[-1])
        if found is not None:
            return _CHBMIT_SAME.get(found[1], found[1])
    subject = next((part for part in parts[:-1] if part.startswith("sub-")), parts[0])
    return subject if len(parts) > 1 else re.findall(r"^(?:sub-[A-Za-z0-9]+|[^_\-\s.]*)", subject)[0]
