"""Evaluate detected events against an expert's: in memory, two files, or two mirrored folders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from restcli.errors import AnnotationError, UsageError
from restcli.evaluation.cases import evaluate_cases
from restcli.evaluation.report import Evaluation
from restcli.evaluation.scoring import Case
from restcli.events import Events, merge_events
from restcli.files import files_below
from restcli.io.edf import is_annotations_only
from restcli.marks.layouts import patient_of
from restcli.marks.registry import ENDINGS, ending_of, may_hold_events, read_events
from restcli.marks.reviewed import is_detected
from restcli.marks.table import UnknownLengthError
from restcli.text import some_of

_NO_MARKS = tuple(
    "participants _channels _electrodes _scans _sessions _scores _run _burden _reviewed dataset_description".split()
)


def evaluate(
    expert: Events | str | Path,
    detected: Events | str | Path,
    *,
    skip_missing: bool = False,
    n_draws: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compare detected events with an expert's under named rules.

    Parameters
    ----------
    expert, detected : Events, str or Path
        Both `Events` of one recording; or two tables of events in any format that restcli reads; or two folders with
        a table for each recording at the same place under the same name (``_events``, ``_eeg`` and the file
        extension do not count).
    skip_missing : bool, default=False
        Leave out recordings that have no table of detected events, and say so in `Evaluation.notes`, instead of
        raising.
    n_draws : int, default=1000
        Bootstrap draws of patients for the 95 % intervals.
    seed : int, default=0
        Seed of these draws.

    Returns
    -------
    Evaluation
        Sensitivity, precision, F1 and false alarms a day by SzCORE's event and sample rules [1]_, onset delays, counts
        by patient and by type; see `Evaluation.value`, `Evaluation.to_dict` and `Evaluation.to_markdown`.

    Raises
    ------
    AnnotationError
        If a table cannot be read, a recording has a table on one side only (a failed recording is not one without
        seizures), or both sides differ in length by more than a second.
    UsageError
        If the two sides are not of the same kind.

    References
    ----------
    .. [1] Dan et al., "SzCORE: seizure community open-source research evaluation framework", Epilepsia, 2024.

    Examples
    --------
    >>> from restcli.events import Event, Events
    >>> expert = Events((Event(600, 60), Event(1800, 40)), duration=3600)
    >>> found = Events((Event(610, 45), Event(3000, 10)), duration=3600)
    >>> report = evaluate(expert, found)
    >>> report.value("sensitivity", "event+pooled"), report.value("false alarms a day", "event+pooled")
    (0.5, 24.0)
    """
    cases, notes = _cases(expert, detected, skip_missing)
    return evaluate_cases(cases, n_draws=n_draws, seed=seed, notes=notes)


def _cases(
    expert: Events | str | Path, detected: Events | str | Path, skip_missing: bool
) -> tuple[list[Case], list[str]]:
    """Pair what is to be compared; the notes say what a reader must know."""
    if isinstance(expert, Events) and isinstance(detected, Events):
        case, note = _pair("recording", "recording", expert, detected)
        return [case], note
    if isinstance(expert, Events) or isinstance(detected, Events):
        raise UsageError("evaluate", "events and a path", "both sides of the same kind")
    sides = Path(expert), Path(detected)
    if sides[0].is_dir() != sides[1].is_dir():
        raise UsageError("EXPERT DETECTED", "one is a file, the other a folder", "two files or two folders")
    if sides[0].is_dir():
        return _folder_cases(*sides, skip_missing)
    case, note = _file_pair(sides[0].stem, sides[0].stem, *sides)
    return [case], note


def _folder_cases(expert: Path, detected: Path, skip_missing: bool) -> tuple[list[Case], list[str]]:
    tables = _tables(expert, is_detected), _tables(detected, lambda path: not is_detected(path))
    if not tables[0]:
        raise AnnotationError(str(expert), "no tables of events in it", "marks such as X_events.tsv")
    missing = sorted(set(tables[0]) - set(tables[1]))
    if missing and (not skip_missing or len(missing) == len(tables[0])):
        raise AnnotationError(
            str(detected),
            f"no events for {len(missing)} of {len(tables[0])} recordings: {some_of(missing, 5)}",
            "a table for each, with a bckg row where none were found",
            "Run the detection on them, or pass --skip-missing to leave them out",
        )
    cases, notes = [], []
    for key in (key for key in tables[0] if key in tables[1]):
        case, note = _file_pair(key, patient_of(key), tables[0][key], tables[1][key])
        cases.append(case)
        notes += note
    if missing:
        notes.append(f"{len(missing)} of {len(tables[0])} recordings left out: no detected events ({missing[0]}, ...)")
    own = [table.name for table in tables[0].values() if is_detected(table)]
    if own:
        many = f"{len(own)} tables on the expert's side are" if len(own) > 1 else "1 table on the expert's side is"
        notes.append(f"{many} what restcli detected ({own[0]}{', ...' if len(own) > 1 else ''})")
    extra = len(tables[1].keys() - tables[0].keys())
    if extra:
        notes.append(f"{extra} recordings with detected events left out: no expert marks")
    return cases, notes


def _tables(root: Path, is_other: Callable[[Path], bool]) -> dict[str, Path]:
    """Find tables by place and name without file extension; of several of a recording, not the other side's.

    Expert marks and detections may lie in one folder. Of several of one side the preferred format counts.
    """
    found: dict[str, Path] = {}

    def rank(path: Path) -> tuple[bool, int]:
        return is_other(path), ENDINGS.index(ending_of(path))

    for path in sorted(files_below(root)):
        ending = ending_of(path)
        stem = path.name[: len(path.name) - len(ending)]
        if not ending or not path.is_file() or stem.endswith(_NO_MARKS) or not _holds_events(path, ending):
            continue
        key = (path.relative_to(root).parent / stem.removesuffix("_events").removesuffix("_eeg")).as_posix()
        if key not in found or rank(path) < rank(found[key]):
            found[key] = path
    return found


def _holds_events(path: Path, ending: str) -> bool:
    """Tell events from other files with these extensions: sidecars in JSON, other XML, recordings."""
    if ending in {".json", ".xml"}:
        return may_hold_events(path)
    return ending not in {".edf", ".bdf"} or is_annotations_only(path)


def _file_pair(name: str, patient: str, expert: Path, detected: Path) -> tuple[Case, list[str]]:
    """Read two tables of which at least one says how long the recording is."""
    try:
        found = read_events(detected)
    except UnknownLengthError:
        marks = read_events(expert)
        found = read_events(detected, duration=marks.duration, start=marks.start)
    else:
        try:
            marks = read_events(expert)
        except UnknownLengthError:
            marks = read_events(expert, duration=found.duration, start=found.start)
    return _pair(name, patient, marks, found, where=str(detected))


def _pair(
    name: str, patient: str, expert: Events, detected: Events, *, where: str = "detected events"
) -> tuple[Case, list[str]]:
    """Make a case; the expert's length counts when both differ by less than a second."""
    if abs(detected.duration - expert.duration) > 1.0:
        raise AnnotationError(
            where,
            f"these events are of a recording of {detected.duration:.2f} s",
            f"events of one of {expert.duration:.2f} s, as the expert's marks say",
            "Check that both belong together",
        )
    notes = []
    if int(detected.duration) != int(expert.duration):
        note = f"{name}: expert's {expert.duration:.2f} s used, detections say {detected.duration:.2f} s"
        notes.append(f"{note} (szcore-evaluation would drop all detections)")
    if detected.duration != expert.duration:
        merged = merge_events(detected.events, expert.duration, detected.start)
        unscored = tuple(replace(s, stop=min(s.stop, expert.duration)) for s in detected.unscored)
        unscored = tuple(span for span in unscored if span.stop > span.start)
        detected = replace(merged, unscored=unscored, ignored=detected.ignored)
    return Case(name, patient, expert, detected), notes
