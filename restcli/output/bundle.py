"""The outputs of one recording: written whole or not at all, and never over a user's own files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import OutputError, UsageError
from restcli.events import Events, Scores
from restcli.files import read_json, replacing, sha256_of, write_atomically
from restcli.io.registry import is_recording
from restcli.marks.registry import WRITABLE, write_events
from restcli.output.burden import burden_of
from restcli.output.pictures import PICTURES, PLOTS, draw_pictures
from restcli.output.run_report import REPORT_END, run_report
from restcli.output.shown import REVIEWED, Shown
from restcli.profiling import StageClock

if TYPE_CHECKING:
    from restcli.detect.result import Result

_LONGEST_STEM = 255 - len("_event1000_p6_reviewed.png")
_CSV_ROWS = 2000
_WRITABLE = "a folder that can be written to, with room on the disk"
_LEAST_UNSCORED = 1.0  # s
_LOCK = "lock"
_WORKSHOP = re.compile(r"\..{1,30}\.[0-9a-f]{12}\.part", re.DOTALL)


@dataclass(frozen=True)
class Written:
    """What a run left on disk."""

    files: tuple[Path, ...]  # the run report last
    report: Mapping[str, Any]  # the run report


@dataclass(frozen=True)
class Reviewed:
    """What replaces the facts of a run after a review."""

    report: Mapping[str, Any]  # of the review, as a run report
    shown: Sequence[Shown]  # events with verdicts


@dataclass(frozen=True)
class Bundle:
    """The outputs of one recording: where they go and in which forms."""

    folder: Path
    stem: str  # what all names begin with
    formats: tuple[str, ...] = ()  # event tables beside the SzCORE tsv
    plot: str = "png"  # one of PLOTS
    overwrite: bool = False  # replace files even if they are not unchanged outputs of restcli for this recording
    owned: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of further files that are ours
    mark: str = ""  # "", or REVIEWED: outputs after a review, beside the original ones

    def __post_init__(self) -> None:
        check_formats(self.formats, self.plot)
        try:
            fits = len(self.stem.encode("utf-8")) <= _LONGEST_STEM and "\0" not in self.stem
        except UnicodeEncodeError:
            fits = False
        if not fits:
            what = f"outputs cannot be named after {self.stem[:30]!a}..., which is too long or not valid"
            remedy = "Copy or link the recording under a shorter name"
            raise OutputError(str(self.folder), what, f"a name of at most {_LONGEST_STEM} bytes of UTF-8", remedy)

    @property
    def report_name(self) -> str:
        """File name of the run report."""
        return f"{self.stem}_run{self.mark}.json"

    def check(self, fingerprint: str = "") -> None:
        """Raise, before anything is scored, if outputs cannot be written or would replace files that are not ours.

        With the fingerprint of a recording, outputs of one with other contents are not ours either.
        """
        clear_leftovers(self.folder)
        first = [f"{picture}{number}" for picture in PICTURES for number in ("", "01")]
        pages = [] if self.plot == "none" else [f"{name}{self.mark}.{self.plot}" for name in first]
        tables = [f"events{self.mark}.{kind}" for kind in ("tsv", *self.formats)] + [f"burden{self.mark}.tsv"]
        scores = [] if self.mark else ["scores.csv"]
        self._check_ours([*(f"{self.stem}_{end}" for end in [*tables, *scores, *pages]), self.report_name])
        earlier = recording_of(self.folder / self.report_name)
        if not self.overwrite and fingerprint and earlier not in ("", fingerprint):
            what = f"a recording with other contents has the outputs {self.stem}_*"
            remedy = "Choose another folder with --out, or replace them with --overwrite"
            raise OutputError(str(self.folder), what, "outputs of the same recording, or none", remedy)
        _check_writable(self.folder)

    def write(self, result: Result, *, clock: StageClock | None = None, reviewed: Reviewed | None = None) -> Written:
        """Write tables, scores, pictures and the run report; on an error earlier outputs stay as they were."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _workshop(self.folder, self.stem) as workshop:
                report = self._make(result, workshop, clock or StageClock(), reviewed)
                names = [*report["outputs"], self.report_name]
                self._check_ours(names)
                stale, report["earlier_outputs"] = self._earlier(report["outputs"])
                # From here on a run that is interrupted is completed by the next one.
                write_atomically(workshop / self.report_name, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
                for name in stale:
                    (self.folder / name).unlink(missing_ok=True)
                _complete(workshop)
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error
        except OutputError as error:
            if not error.where.startswith(str(_workshop_path(self.folder, self.stem))):
                raise
            raise self._failed(error.what) from error
        return Written(tuple(self.folder / name for name in names), report)

    def _make(self, result: Result, workshop: Path, clock: StageClock, reviewed: Reviewed | None) -> dict[str, Any]:
        """Write everything except the run report, which is returned."""
        names, remarks = [], list[str]()
        with clock("tables"):
            for kind in dict.fromkeys(("tsv", *self.formats)):
                names.append(f"{self.stem}_events{self.mark}.{kind}")
                remark = write_events(result.events, workshop / names[-1], kind)
                remarks += [f"{names[-1]}: {remark}"] if remark else []
            remarks += self._not_held(result.events)
            names.append(f"{self.stem}_burden{self.mark}.tsv")
            write_atomically(workshop / names[-1], burden_of(result.events, result.scores.announced).to_table())
            if not self.mark:
                names.append(f"{self.stem}_scores.csv")
                with replacing(workshop / names[-1]) as file:
                    file.writelines(line.encode() for line in scores_csv(result.scores))
        failed: dict[str, str] = {}
        if self.plot != "none":
            with clock("pictures"):
                shown = None if reviewed is None else reviewed.shown
                pictures, failed = draw_pictures(result, workshop, self.stem, self.plot, reviewed=shown)
            names += pictures
        report = run_report(result) if reviewed is None else dict(reviewed.report)
        report["settings"] = report["settings"] | {"formats": list(self.formats), "plot": self.plot}
        outputs = {name: sha256_of(workshop / name) for name in names}
        return report | {"remarks": remarks, "pictures_failed": failed, "outputs": outputs}

    def _not_held(self, events: Events) -> list[str]:
        """Say which of the tables asked for cannot hold what was not scored; that the SzCORE tsv cannot is known."""
        seconds = sum(span.stop - span.start for span in events.unscored)
        kinds = [kind for kind in dict.fromkeys(("tsv", *self.formats)) if not WRITABLE[kind].holds_unscored]
        if seconds < _LEAST_UNSCORED or kinds == ["tsv"]:
            return []
        tables = " and ".join(f"{self.stem}_events{self.mark}.{kind}" for kind in kinds)
        return [f"{tables} cannot hold the {seconds:,.0f} s that were not scored; {self.report_name} lists them"]

    def _check_ours(self, names: Sequence[str]) -> None:
        """Raise when a file that would be replaced is a recording, or not ours without `overwrite`."""
        listed = listed_outputs(self.folder / self.report_name)
        for name in names:
            path = self.folder / name
            check_no_recording(path)
            if not (path.exists() or path.is_symlink()) or (name == self.report_name and listed):
                continue
            if self.overwrite or (path.is_file() and sha256_of(path) in (listed.get(name), self.owned.get(name))):
                continue
            remedy = "Choose another folder with --out, or replace the file with --overwrite"
            if self.mark:
                remedy = "Move it away"
            raise OutputError(str(path), "exists and is not an unchanged output of restcli", "a free name", remedy)

    def _earlier(self, made: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """Find earlier outputs that are not made again: unchanged pictures of this kind, which go, and the rest."""
        page = re.compile(re.escape(f"{self.stem}_") + r"[a-z]+\d*(_p\d)?" + re.escape(f"{self.mark}.{self.plot}"))
        stale, left = [], {}
        for name, digest in (dict(self.owned) | listed_outputs(self.folder / self.report_name)).items():
            path = self.folder / name
            if name in made or name == self.report_name or not path.is_file():
                continue
            if page.fullmatch(name) and sha256_of(path) == digest:
                stale.append(name)
            else:
                left[name] = digest
        return stale, left

    def _failed(self, what: str) -> OutputError:
        what = f"the outputs of {self.stem} could not be written ({what}); nothing of this run was kept"
        return OutputError(str(self.folder), what, _WRITABLE)


def check_formats(formats: Sequence[str], plot: str) -> None:
    """Raise UsageError when a format or a kind of picture is unknown."""
    for name in formats:
        if name not in WRITABLE:
            raise UsageError("--format", f"{name!r} is not an event format", f"one or more of {', '.join(WRITABLE)}")
    if plot not in PLOTS:
        raise UsageError("--plot", f"{plot!r} is not a kind of picture", f"one of {', '.join(PLOTS)}")


def check_no_recording(path: Path) -> None:
    """Raise OutputError if a file that would be replaced is a recording."""
    if path.is_file() and is_recording(path):
        raise OutputError(str(path), "is a recording, which is never replaced", "a free name", "Choose another folder")


def _check_writable(folder: Path) -> None:
    """Try to write a little into a folder, or into the nearest one that exists."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(65536))
            file.flush()
    except OSError as error:
        what = f"cannot be written to ({error.strerror or error})"
        raise OutputError(str(folder), what, _WRITABLE, "Choose another folder with --out") from error


def listed_outputs(report: Path) -> dict[str, str]:
    """Return names and hashes of the outputs that a run report lists; names with a path in them are left out."""
    try:
        content = read_json(report)
        listed = {**content.get("earlier_outputs", {}), **content["outputs"]}
        return {str(name): str(digest) for name, digest in listed.items() if Path(str(name)).name == str(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def recording_of(report: Path) -> str:
    """Return the fingerprint of the recording that a run report describes; empty where it is unknown."""
    try:
        return str(read_json(report)["recording"]["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _workshop_path(folder: Path, stem: str) -> Path:
    """Return the hidden folder in which the outputs of a recording are made; no other stem has the same."""
    digest = hashlib.sha256(stem.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return folder / f".{stem[:30]}.{digest}.part"


@contextmanager
def _workshop(folder: Path, stem: str) -> Iterator[Path]:
    """Make the hidden folder and hold it; another process that writes the same outputs waits for its turn."""
    place = _workshop_path(folder, stem)
    with _lock(place):
        _complete(place)
        try:
            yield place
        finally:
            with suppress(OSError):
                _complete(place)
            shutil.rmtree(place, ignore_errors=True)


def _lock(place: Path, *, wait: bool = True) -> BinaryIO:
    """Make a folder and lock it while the returned file is open; the lock ends with the process at the latest."""
    while True:
        place.mkdir(exist_ok=True)
        if place.is_symlink():  # someone wants another folder to be emptied
            raise OutputError(str(place), "is a link", "a folder that restcli made", "Remove the link")
        with suppress(FileNotFoundError):  # the process that held the folder has just removed it
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            file = os.fdopen(os.open(place / _LOCK, flags, 0o666), "ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if not wait:
                    file.close()
                    raise  # another process is at work; else the file system has no locks
            if os.path.samestat(os.fstat(file.fileno()), (place / _LOCK).stat()):
                return file
            file.close()


def _complete(workshop: Path) -> None:
    """Move outputs to their places if they are complete, that is, if there is a run report; empty the folder."""
    for end in (REPORT_END, f"_run{REVIEWED}.json"):
        for report in workshop.glob(f"*{end}"):
            own = f"{report.name.removesuffix(end)}_"
            (workshop.parent / report.name).unlink(missing_ok=True)
            for name in [*listed_outputs(report), report.name]:
                if name.startswith(own) and (workshop / name).exists():
                    (workshop / name).replace(workshop.parent / name)
    descriptor = os.open(workshop, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for left in list(os.scandir(descriptor)):
            if left.name != _LOCK:
                os.unlink(left.name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def clear_leftovers(folder: Path, stem: str | None = None) -> None:
    """Complete or remove what killed processes left in a folder, for one recording or all; running ones are spared."""
    with suppress(OSError):
        if stem is None:
            places = [item for item in folder.iterdir() if _WORKSHOP.fullmatch(item.name)]
        else:
            places = [place for place in [_workshop_path(folder, stem)] if place.exists()]
        for place in (place for place in places if not place.is_symlink()):
            with suppress(OSError), _lock(place, wait=False):
                _complete(place)
                shutil.rmtree(place)


def scores_csv(scores: Scores) -> Iterator[str]:
    """Yield the scores as CSV, some rows at a time; a field is empty where nothing was scored."""
    tables = {"probability": scores.probability[:, None]}
    if scores.interval is not None:
        tables["probability_low,probability_high"] = scores.interval
    if scores.by_type is not None:
        tables[",".join(f"type_{name}" for name in scores.types)] = scores.by_type
    tables[",".join(scores.nodes)] = scores.by_node
    yield ",".join(["time", *tables]) + "\n"
    words = _four_decimals()
    for begin in range(0, len(scores.time), _CSV_ROWS):
        part = slice(begin, begin + _CSV_ROWS)
        values = np.concatenate([table[part] for table in tables.values()], axis=1)
        codes = np.where(np.isfinite(values), np.rint(np.nan_to_num(values) * 10000), 10001).astype(int)
        times = np.array([[f"{time:.2f}".encode()] for time in scores.time[part].tolist()])
        ends = np.full(times.shape, b"\n")
        # Fields of equal length side by side, padded with zeros, which go: several times faster than joining strings.
        lines = np.concatenate([field.view(np.uint8) for field in (times, words[codes], ends)], axis=1)
        yield lines.tobytes().replace(b"\0", b"").decode("ascii")


@cache
def _four_decimals() -> NDArray[np.bytes_]:
    """Return the CSV fields for 0 to 1 in steps of 0.0001, and an empty field, each with the comma before it."""
    return np.array([f",{i / 10000:.4f}".encode() for i in range(10001)] + [b","])
