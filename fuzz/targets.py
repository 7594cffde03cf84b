"""What is fuzzed: for each reader a strategy of broken files, and what must hold when it reads one."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import strategies as st

from fuzz.mutations import broken_bytes, broken_json, hostile_value
from restcli.errors import InternalError, RestError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
_SLOW = 10.0  # s
_NAMES = ("Schmidt", "Erika")  # of the patient in the good files


@dataclass(frozen=True)
class Target:
    """A reader and what is fed to it."""

    name: str
    broken: st.SearchStrategy[Any]
    read: Callable[[Path, Any], None]  # into an empty folder, a broken file


def check(target: Target, drawn: Any) -> None:
    """Read a broken file: it is read, or refused by an error for people, soon and without a patient's name."""
    with TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.monotonic()
        try:
            target.read(Path(folder), drawn)
        except RestError as error:
            text = str(error)
            assert not isinstance(error, InternalError), text
            assert not any(name in text for name in _NAMES), "a patient's name is in the error"
            assert len(text) < 3000, "the error quotes too much"
        seconds = time.monotonic() - begin
        assert seconds < _SLOW, f"took {seconds:.0f} s"


@contextmanager
def _made() -> Iterator[Path]:
    with TemporaryDirectory(prefix="fuzz-") as folder:
        yield Path(folder)


def _read_recording(path: Path) -> None:
    from restcli.io.registry import open_recording, recording_hash

    recording_hash(path)
    recording = open_recording(path)
    fast = [number for number, channel in enumerate(recording.channels) if channel.sfreq >= 80]  # as detection does
    for number, _ in enumerate(recording.blocks(fast[:2], sfreq=200.0) if fast else ()):
        if number == 2:
            break


# ---- recordings


def _edf_seeds() -> list[tuple[str, bytes]]:
    from edf_bytes import EdfFile

    header = {8: b"X F 01-JAN-1980 Erika_Schmidt".ljust(80)}
    onsets = [f"+{k}" for k in range(10)]
    return [
        ("a.edf", EdfFile(header=header).bytes()),
        ("a.edf", EdfFile(header=header, kind="EDF+C", onsets=onsets).bytes()),
        (
            "a.edf",
            EdfFile(header=header, kind="EDF+D", onsets=[*onsets[:5], *(f"+{k + 100}" for k in range(5))]).bytes(),
        ),
        ("a.bdf", EdfFile(header=header, bdf=True).bytes()),
    ]


def _edf() -> Target:
    def read(folder: Path, drawn: tuple[str, bytes]) -> None:
        (folder / drawn[0]).write_bytes(drawn[1])
        _read_recording(folder / drawn[0])

    return Target("EDF headers and stamps", _any_of(_edf_seeds()), read)


def _with_files(name: str, write: Callable[[Path], tuple[Path, Any]], *, samples: bool = False) -> Target:
    """Make a target of a format of several files, one of which is broken: a header, or one with `samples`."""
    with _made() as folder:
        main = write(folder)[0].name
        found = [path for path in folder.rglob("*") if path.is_file()]
        good = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    def read(folder: Path, drawn: tuple[str, bytes]) -> None:
        for file, content in (good | dict([drawn])).items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        _read_recording(folder / main)

    headers = [(file, content) for file, content in good.items() if b"\0" not in content[:200]]
    return Target(name, _any_of(list(good.items()) if samples or not headers else headers), read)


def _any_of(seeds: list[tuple[str, bytes]]) -> st.SearchStrategy[tuple[str, bytes]]:
    return st.sampled_from(seeds).flatmap(lambda seed: st.tuples(st.just(seed[0]), broken_bytes(seed[1])))


# ---- marks


def _marks() -> Target:
    from marks_tables import written
    from test_marks_faults import READ_ONLY, SUMMARY, UNSCORED

    from restcli.marks.chbmit import read_summary
    from restcli.marks.registry import WRITABLE, read_events

    with _made() as folder:
        seeds = [(f"x_events.{kind}", written(UNSCORED, folder, kind).read_bytes()) for kind in WRITABLE]
    seeds += [*READ_ONLY.items(), ("a-summary.txt", SUMMARY)]

    def read(folder: Path, drawn: tuple[str, bytes]) -> None:
        (folder / drawn[0]).write_bytes(drawn[1])
        if drawn[0] == "a-summary.txt":
            read_summary(folder / drawn[0])
        read_events(folder / drawn[0], duration=3600.0, start=datetime(2016, 11, 6, 13, 43, 4))

    return Target("event tables", _any_of(seeds), read)


# ---- what restcli writes itself


def _weights() -> Target:
    from safetensors.numpy import load, save

    from restcli.detect.detector import Detector
    from restcli.nn.weights import _digest, find_weights, load_weights

    content = find_weights("rest-default").read_bytes()
    tensors = load(content)
    good = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["restcli"]

    def read(folder: Path, drawn: Any) -> None:
        if isinstance(drawn, bytes):
            sealed = drawn
        else:
            if isinstance(drawn, dict):
                drawn.pop("sha256", None)
                drawn["sha256"] = _digest(tensors, drawn)
            sealed = save(tensors, metadata={"restcli": json.dumps(drawn)})
        (folder / "x.safetensors").write_bytes(sealed)
        Detector(load_weights(folder / "x.safetensors"), "cpu")

    return Target("weights", broken_json(good) | broken_bytes(content), read)


@cache
def _good_ledger() -> bytes:
    from restcli.archive.ledger import Keys, Ledger
    from restcli.archive.walk import Found

    keys = Keys("w" * 64, "s" * 64, "r" * 64)
    event = {"onset": 1.0, "duration": 5.0, "label": "sz", "confidence": 0.5, "channels": "all", "picture": None}
    done = {"hash": "h", "duration": 60.0, "scored": 1.0, "missing": 0.0, "n_events": 1, "events": [event]}
    with _made() as folder:
        with Ledger(folder / "ledger.sqlite", write=True) as ledger:
            run, _ = ledger.begin_run("/archive", keys, "{}")
            ledger.enter(run, [Found(f"{name}.edf", 10, 5, name) for name in "ab"])
            first, second = ledger.waiting(run, 9)
            ledger.finish(first.id, keys, done | {"outputs": {"a_run.json": "h", "a_events.tsv": "h"}})
            ledger.finish(second.id, keys, {"error": "b.edf: no", "error_class": "RecordingError"})
            ledger.end_run(run)
        with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
            db.execute("PRAGMA journal_mode=DELETE")
        return (folder / "ledger.sqlite").read_bytes()


_COLUMNS = {
    "runs": ("archive", "settings", "others", "started", "weights"),
    "recordings": ("path", "stem", "made_stem", "state", "same_as", "duration", "scored", "notes", "error", "n_events"),
    "outputs": ("name", "hash", "recording"),
    "events": ("onset", "duration", "label", "channels", "picture", "confidence"),
}


def _ledger() -> Target:
    from restcli.archive.index import write_index
    from restcli.archive.ledger import Keys, Ledger
    from restcli.archive.survey import survey
    from restcli.archive.tables import export_tables
    from restcli.archive.verify import verify

    place = st.sampled_from([(table, column) for table, columns in _COLUMNS.items() for column in columns])
    change = st.tuples(place, hostile_value().filter(lambda value: not isinstance(value, dict | list)))

    def read(folder: Path, drawn: Any) -> None:
        path = folder / "ledger.sqlite"
        path.write_bytes(drawn if isinstance(drawn, bytes) else _good_ledger())
        if not isinstance(drawn, bytes):
            (table, column), value = drawn
            with closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA ignore_check_constraints=ON")
                try:
                    db.execute(f"UPDATE {table} SET {column} = ?", (value,))
                except (sqlite3.Error, OverflowError, UnicodeError):
                    return  # SQLite itself does not hold it
                db.commit()
        survey(folder)
        write_index(folder)
        export_tables(folder, folder / "export")
        verify(folder)
        with Ledger(path, write=True) as ledger:
            run, _ = ledger.begin_run("/archive", Keys("w", "s", "r"), "{}")
            ledger.reports(run)
            ledger.waiting(run, 5)

    return Target("ledgers", change | broken_bytes(_good_ledger()), read)


def _journal() -> Target:
    from restcli.review.journal import Journal

    entry = {"reviewer": "r1", "hash": "a" * 64, "action": "edit", "event": "e1", "onset": 1.0, "stop": 5.0}
    entry |= {"seq": 1, "time": "2026-01-01T00:00:00Z", "label": "sz", "side": "left", "comment": "Erika Schmidt"}
    line = json.dumps(entry)

    def read(folder: Path, drawn: Any) -> None:
        raw = drawn if isinstance(drawn, bytes) else json.dumps(drawn).encode() + b"\n"
        (folder / "a_review.jsonl").write_bytes(raw)
        journal = Journal(folder / "a_review.jsonl")
        known = journal.entries()
        new = {"reviewer": "r1", "hash": "a" * 64, "action": "accept", "event": "e1"}
        journal.append(new, after=known[-1].seq if known else 0)
        assert Journal(folder / "a_review.jsonl").entries()[: len(known)] == known

    return Target("review journals", broken_json(line) | broken_bytes((line + "\n").encode()), read)


def _run_report() -> Target:
    from review_files import REPORT

    from restcli.review.apply import Verdicts
    from restcli.review.stored import read_result

    good = json.dumps(REPORT)

    def read(folder: Path, drawn: Any) -> None:
        raw = drawn if isinstance(drawn, bytes) else json.dumps(drawn).encode()
        (folder / "a_run.json").write_bytes(raw)
        result = read_result(folder / "a_run.json")
        Verdicts.of(result).review()
        assert result.rule and result.unscored is not None
        result.check()

    return Target("run reports", broken_json(good) | broken_bytes(good.encode()), read)


def _trail() -> Target:
    from restcli.archive.audit import Trail, read_trail
    from restcli.archive.verify import verify

    digest = "a" * 64
    known = {"input": "h", "weights": "w" * 64, "settings": "s" * 64, "result": "h", "ledger": digest}
    review = {"report": "a_run_reviewed.json", "result": digest, "reviewers": ["r1"], "of": {}, "journal": {}}
    lines = [
        {"what": "begin", "archive": "/archive"},
        {"what": "done", "path": "a.edf", **known},
        {"what": "verdicts", **review},
        {"what": "end", "counts": {}, "index": digest},
    ]
    with _made() as folder:
        for line in lines:
            Trail(folder / "audit.jsonl").append("2026-01-01", line)
        good = (folder / "audit.jsonl").read_bytes()

    def read(folder: Path, drawn: Any) -> None:
        (folder / "ledger.sqlite").write_bytes(_good_ledger())
        raw = drawn if isinstance(drawn, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in drawn)
        (folder / "audit.jsonl").write_bytes(raw)
        verify(folder)
        before = read_trail(folder / "audit.jsonl")
        Trail(folder / "audit.jsonl").append("2026-01-01", {"what": "end"})
        after = read_trail(folder / "audit.jsonl")
        assert after.entries[: len(before.entries)] == before.entries
        assert len(after.entries) == len(before.entries) + 1

    documents = json.dumps([json.loads(line) for line in good.splitlines()])
    listed = broken_json(documents).filter(lambda drawn: isinstance(drawn, list))
    return Target("audit trails", broken_bytes(good) | listed, read)


def targets() -> list[Target]:
    """Return everything that is fuzzed."""
    import foreign_files

    names = {0: "Fp1", 1: "Fp2"}

    return [
        _edf(),
        _with_files("Persyst", foreign_files.write_persyst),
        _with_files("BrainVision", foreign_files.write_brainvision),
        _with_files("Curry", foreign_files.write_curry),
        _with_files("Micromed", foreign_files.write_micromed),
        _with_files("EEGLAB", foreign_files.write_eeglab),
        _with_files("Neuroscan", foreign_files.write_neuroscan),
        _with_files("EGI simple binary", foreign_files.write_egi),
        _with_files("GDF", foreign_files.write_gdf),
        _with_files(
            "GDF of version 1", lambda folder: foreign_files.write_gdf(folder, version="1.25", segments=(1, 251))
        ),
        _with_files("XDF", lambda folder: foreign_files.write_xdf(folder, stamped="some", offsets=[(0, 1), (5, 1)])),
        _with_files("EGI MFF", lambda folder: foreign_files.write_mff(folder, pauses=(0, 10)), samples=True),
        _with_files("Nihon Kohden", lambda folder: foreign_files.write_nihon(folder, names=names)),
        _marks(),
        _weights(),
        _ledger(),
        _journal(),
        _run_report(),
        _trail(),
    ]
