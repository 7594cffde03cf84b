"""Find recordings with their marks, patients and splits; knows folder layouts, neither signals nor models."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from restcli.errors import AnnotationError, RecordingError, RestError, UsageError
from restcli.events import Event, Events, merge_events
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.marks.annotations import read_chbmit_summary, read_events, read_siena_list

SPLITS = ("train", "dev", "eval")
"""Names of official splits; ``eval`` is for the last look, never for tuning or thresholds."""

_ENDINGS = frozenset({".edf", ".bdf", ".vhdr", ".set", ".lay"})
_TUSZ_NAME = re.compile(r"([a-z0-9]{8})_s\d+_t\d+")
_TUSZ_ENDINGS = (".csv", ".csv_bi", ".tse", ".tse_bi", ".lbl")
_OFFICIAL = {"train": "train", "dev": "dev", "dev_test": "dev", "eval": "eval"}
_CHBMIT_NAME = re.compile(r"(chb\d\d)[a-z]?_\d+\+?")
_CHBMIT_SAME = {"chb21": "chb01"}  # one girl, recorded again 1.5 years later (PhysioNet, CHB-MIT 1.0.0)
_SIENA_NAME = re.compile(r"(PN\d\d)-\S+")
_SIENA_TYPES = {"IAS": "sz_foc_ia", "WIAS": "sz_foc_a", "FBTC": "sz_foc_f2b"}
_SEIZEIT_NAME = re.compile(r"(P_ID\d+)_r\d+")
_BIDS_NAME = re.compile(r"(sub-[A-Za-z0-9]+)_(?:\S+_)?eeg")
_BESIDE = tuple(
    f"{stem}{ending}" for stem in ("_events", "") for ending in (".tsv", ".csv", ".csv_bi", ".json", ".xml")
)
_LISTED = 5


@dataclass(frozen=True)
class Marks:
    """Where the marks of a recording stand; they are read when asked for.

    Parameters
    ----------
    path : Path
        A table, or a list that speaks of many recordings.
    entry : str
        Name of the recording in such a list; empty for a table.
    label : str
        SzCORE type of every seizure when the list does not say (Siena); empty when it does.
    """

    path: Path
    entry: str = ""
    label: str = ""

    def read(self, recording: Recording) -> Events:
        """Read the marks.

        Parameters
        ----------
        recording : Recording
            The recording they belong to: it knows its duration and start.

        Returns
        -------
        Events

        Raises
        ------
        AnnotationError
            If they cannot be understood, or do not fit the recording.
        """
        if not self.entry:
            return read_events(self.path, duration=recording.duration, start=recording.start)
        if self.path.name == _RECORDS_WITH_SEIZURES:
            return Events((), recording.duration, recording.start)
        if self.path.name.startswith("Seizures-list"):
            starts = {} if recording.start is None else {self.entry: recording.start}
            found = read_siena_list(self.path, starts=starts)[self.entry]
        else:
            found = read_chbmit_summary(self.path)[self.entry]
        return self._fit(found, recording)

    def _fit(self, found: Events, recording: Recording) -> Events:
        late = [event for event in found if event.stop > recording.duration + 1.0]
        if late:
            raise AnnotationError(
                str(self.path),
                f"a seizure of {self.entry} that ends at {late[0].stop:.0f} s",
                f"an end inside the recording of {recording.duration:.0f} s",
                "check that list and recording belong together",
            )
        events: Iterable[Event] = found
        if self.label:
            events = [replace(event, label=self.label) for event in found]
        return merge_events(list(events), recording.duration, recording.start)


@dataclass(frozen=True)
class Item:
    """One recording of a data folder with its marks.

    Parameters
    ----------
    recording_path : Path
        The recording.
    marks : Marks
        Where its marks stand.
    patient : str
        Who; recordings of one patient share it.
    split : str or None
        Official split, where the layout has one: ``train``, ``dev`` or ``eval``.
    source : str
        Layout: ``bids``, ``tusz``, ``chbmit``, ``siena``, ``seizeit`` or ``folder``.
    """

    recording_path: Path
    marks: Marks
    patient: str
    split: str | None
    source: str

    @property
    def events(self) -> Events:
        """Seizures of the recording, read now; opens the recording's header."""
        return self.marks.read(open_recording(self.recording_path))


@dataclass(frozen=True)
class Split:
    """Recordings to learn from, to choose by, and to leave alone; no patient is in two of them.

    Parameters
    ----------
    train, validation, held_out : tuple of Item
        `held_out` is an official ``eval`` split, or empty.
    """

    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    held_out: tuple[Item, ...] = ()

    def __post_init__(self) -> None:
        sides = [{item.patient for item in side} for side in (self.train, self.validation, self.held_out)]
        both = (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])
        if both:
            raise UsageError("split", f"{len(both)} patients on two sides", "each patient on one side")


def find_items(path: str | Path) -> tuple[Item, ...]:
    """Find every recording in a folder, with its marks, patient and official split.

    Parameters
    ----------
    path : str or Path
        One recording, or a folder in one or several of these layouts: BIDS-EEG with SzCORE events, TUSZ as
        downloaded, CHB-MIT, Siena, SeizeIT1, or a plain folder with a table of events beside each recording
        (``X.edf`` with ``X_events.tsv`` or ``X.tsv``, also ``csv``, ``csv_bi``, ``json``, ``xml``).

    Returns
    -------
    tuple of Item
        In the order of their paths.

    Raises
    ------
    RecordingError
        If there is no recording.
    AnnotationError
        If any recording has no marks: whether anyone looked must be settled; it is never taken as background. The
        message lists them.

    Notes
    -----
    Patients: BIDS ``sub-XX`` of its dataset; TUSZ and SeizeIT by file name; CHB-MIT ``chbNN``, where chb21 is chb01
    again; Siena ``PNxx``; else as `patient_of` says: numbered recordings in one folder count as one patient rather than
    straddle a split. Folders named ``derivatives`` or with a leading dot are left out, and so are
    annotation-only EDF files.
    """
    root = Path(path)
    if not root.exists():
        raise RecordingError(str(root), "does not exist", "a recording or a folder of recordings", "check the name")
    recordings = [root] if root.is_file() else list(_walk(root))
    if not recordings:
        raise RecordingError(str(root), "no recordings in it", "EDF, BDF, BrainVision, EEGLAB or Persyst files")
    items, missing = [], []
    for recording in recordings:
        item = _find(recording, root)
        if item is None:
            missing.append(recording)
        else:
            items.append(item)
    if missing:
        names = ", ".join(str(recording) for recording in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise AnnotationError(
            str(root),
            f"{len(missing)} of {len(recordings)} recordings without marks: {names}{more}",
            "a table of events for each, with a bckg row where none were found",
            "write one, or move these recordings elsewhere",
        )
    return tuple(items)


def _walk(root: Path) -> Iterator[Path]:
    for folder, inside, names in os.walk(root):
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name != "derivatives")
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and _is_recording(path):
                yield path


def _is_recording(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending == ".eeg":  # Nihon Kohden; BrainVision's samples, too, but there the header is named
        return not path.with_suffix(".vhdr").exists()
    return ending in _ENDINGS and not _holds_marks_only(path)


def _holds_marks_only(path: Path) -> bool:
    """Tell an annotation-only EDF+ file, which is no recording, by its one signal."""
    if path.suffix.lower() not in {".edf", ".bdf"}:
        return False
    try:
        with path.open("rb") as stream:
            head = stream.read(272)
    except OSError:
        return False  # the one who opens it will say why
    return head[252:256].strip() == b"1" and head[256:272].strip() in {b"EDF Annotations", b"BDF Annotations"}


def _find(recording: Path, root: Path) -> Item | None:
    """Try the layouts, most particular first; None when no marks are found."""
    for layout in (_bids, _tusz, _chbmit, _siena, _seizeit):
        item = layout(recording)
        if item is not None:
            return item
    return _plain(recording, root)


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _bids(recording: Path) -> Item | None:
    found = _BIDS_NAME.fullmatch(recording.stem)
    if found is None:
        return None
    stem = recording.stem.removesuffix("_eeg")
    marks = _first([recording.with_name(f"{stem}_events.tsv")])
    if marks is None:
        return None
    subject = next((folder for folder in recording.parents if folder.name == found[1]), recording.parent)
    return Item(recording, Marks(marks), f"{subject.resolve().parent.name}/{found[1]}", None, "bids")


def _tusz(recording: Path) -> Item | None:
    found = _TUSZ_NAME.fullmatch(recording.stem)
    marks = _first(recording.with_suffix(ending) for ending in _TUSZ_ENDINGS)
    if found is None or marks is None:
        return None
    folders = [folder.name for folder in recording.resolve().parents]
    split = next((_OFFICIAL[name] for name in folders if name in _OFFICIAL), None)
    return Item(recording, Marks(marks), found[1], split, "tusz")


_RECORDS_WITH_SEIZURES = "RECORDS-WITH-SEIZURES"


def _chbmit(recording: Path) -> Item | None:
    """Look in the patient's summary, then beside the recording, then in the dataset's list of seizures."""
    found = _CHBMIT_NAME.fullmatch(recording.stem)
    if found is None:
        return None
    patient = _CHBMIT_SAME.get(found[1], found[1])
    summary = recording.with_name(f"{found[1]}-summary.txt")
    if summary.is_file() and recording.name in _summary_names(summary):
        return Item(recording, Marks(summary, recording.name), patient, None, "chbmit")
    stream = recording.with_name(f"{recording.name}.seizures")
    if stream.is_file():
        return Item(recording, Marks(stream), patient, None, "chbmit")
    listed = recording.resolve().parent.parent / _RECORDS_WITH_SEIZURES
    if listed.is_file():
        with_seizures = listed.read_text(encoding="utf-8").split()
        if f"{found[1]}/{recording.name}" not in with_seizures:
            return Item(recording, Marks(listed, recording.name), patient, None, "chbmit")
    return None


def _summary_names(path: Path) -> frozenset[str]:
    return frozenset(read_chbmit_summary(path))


def _siena(recording: Path) -> Item | None:
    found = _SIENA_NAME.fullmatch(recording.stem)
    if found is None:
        return None
    listed = recording.with_name(f"Seizures-list-{found[1]}.txt")
    if not listed.is_file() or recording.name not in _siena_names(listed):
        return None
    return Item(recording, Marks(listed, recording.name, _siena_type(listed, found[1])), found[1], None, "siena")


def _siena_names(path: Path) -> frozenset[str]:
    return frozenset(read_siena_list(path))


def _siena_type(listed: Path, patient: str) -> str:
    """Type of a patient's seizures after ``subject_info.csv``, whose column names begin with blanks."""
    table = listed.resolve().parent.parent / "subject_info.csv"
    if not table.is_file():
        return ""
    with table.open(newline="", encoding="utf-8-sig") as stream:
        rows = [{str(key).strip(): str(cell).strip() for key, cell in row.items()} for row in csv.DictReader(stream)]
    kinds = [row.get("seizure", "") for row in rows if row.get("patient_id") == patient]
    return _SIENA_TYPES.get(kinds[0], "") if kinds else ""


def _seizeit(recording: Path) -> Item | None:
    found = _SEIZEIT_NAME.fullmatch(recording.stem)
    marks = recording.with_name(f"{recording.stem}_a1.tsv")
    if found is None or not marks.is_file():
        return None
    return Item(recording, Marks(marks), found[1], None, "seizeit")


def _plain(recording: Path, root: Path) -> Item | None:
    marks = _first(recording.with_name(recording.stem + ending) for ending in (*_BESIDE, "_events.edf"))
    if marks is None:
        return None
    place = recording.relative_to(root) if root.is_dir() else Path(recording.name)
    return Item(recording, Marks(marks), patient_of(place), None, "folder")


def patient_of(place: str | Path) -> str:
    """Name the patient of a recording, or of a table of its events, by its place in a folder.

    Parameters
    ----------
    place : str or Path
        Relative to the folder of data; the ending does not matter.

    Returns
    -------
    str
        By the name of the file in TUSZ, CHB-MIT (chb21 is chb01), Siena and SeizeIT1; else the folder ``sub-XX``; else
        the first folder; else the name up to the first ``_``, ``-`` or blank.

    Examples
    --------
    >>> [patient_of(place) for place in ("dev/aaaaaaac/s001/aaaaaaac_s001_t000", "chb21/chb21_01.edf", "ana/night.edf")]
    ['aaaaaaac', 'chb01', 'ana']
    >>> [patient_of(place) for place in ("sub-01/ses-02/eeg/sub-01_run-00_eeg.edf", "Subject00_2.edf", "night")]
    ['sub-01', 'Subject00', 'night']
    """
    parts = Path(place).parts
    for pattern in (_TUSZ_NAME, _CHBMIT_NAME, _SIENA_NAME, _SEIZEIT_NAME):
        found = pattern.match(parts[-1])
        if found is not None:
            return _CHBMIT_SAME.get(found[1], found[1])
    subject = next((part for part in parts[:-1] if part.startswith("sub-")), parts[0])
    return subject if len(parts) > 1 else re.split(r"[_\-\s.]", subject)[0]


def split_patients(items: Sequence[Item], *, fold: int = 0, n_folds: int = 5, seed: int = 0) -> Split:
    """Split recordings by patient: one fold to choose by, the others to learn from.

    Parameters
    ----------
    items : sequence of Item
        In any order; the result does not depend on it.
    fold : int
        Which fold is left for validation, 0 to `n_folds` - 1.
    n_folds : int
        Number of folds, at least 2; every patient is in exactly one.
    seed : int
        Seed of the order in which patients are dealt to the folds.

    Returns
    -------
    Split
        Items of an official ``eval`` split are held out whatever the fold.

    Raises
    ------
    UsageError
        If there are fewer patients than folds, or no such fold.
    """
    held_out = tuple(item for item in items if item.split == "eval")
    away = {item.patient for item in held_out}
    usable = [item for item in items if item.patient not in away]
    patients = sorted({item.patient for item in usable})
    if not (n_folds >= 2 and 0 <= fold < n_folds):
        raise UsageError("--fold", f"fold {fold} of {n_folds}", "at least 2 folds, counted from 0")
    if len(patients) < n_folds:
        raise UsageError(
            "--folds",
            f"{len(patients)} patients for {n_folds} folds",
            "at least one patient a fold",
            "ask for fewer folds, or give each patient's recordings a folder of their own",
        )
    order = np.random.default_rng(seed).permutation(len(patients))
    chosen = {patients[k] for position, k in enumerate(order) if position % n_folds == fold}
    train = tuple(item for item in usable if item.patient not in chosen)
    return Split(train, tuple(item for item in usable if item.patient in chosen), held_out)


def official_split(items: Sequence[Item]) -> Split:
    """Split recordings as the makers of the dataset did: ``train``, ``dev`` to choose by, ``eval`` held out.

    Parameters
    ----------
    items : sequence of Item
        Each with a split.

    Returns
    -------
    Split

    Raises
    ------
    UsageError
        If a recording has no official split, or a patient is on two sides.
    """
    without = [item for item in items if item.split is None]
    if without:
        raise UsageError(
            "--split official",
            f"{len(without)} recordings without an official split, such as {without[0].recording_path}",
            "train, dev and eval folders as in TUSZ",
            "use --split patient",
        )
    return Split(*(tuple(item for item in items if item.split == name) for name in SPLITS))


def read_all(items: Iterable[Item]) -> tuple[tuple[Item, Events], ...]:
    """Read the marks of all items; problems are gathered, so that they can be settled at once.

    Parameters
    ----------
    items : iterable of Item
        What `find_items` found.

    Returns
    -------
    tuple of (Item, Events)

    Raises
    ------
    AnnotationError
        If the marks of any item cannot be read; the message lists the first few.
    """
    read, problems = [], []
    for item in items:
        try:
            read.append((item, item.events))
        except RestError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        what = " | ".join(str(problem) for problem in problems[:_LISTED])
        more = f" | and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        raise AnnotationError(f"{len(problems)} recordings", what + more, "marks that can be read")
    return tuple(read)
