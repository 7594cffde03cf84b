"""The ledger: states, keys, copies, resume, damage, two writers."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

import pytest

from restcli.archive.ledger import DONE, FAILED, PENDING, SAME, Keys, Ledger
from restcli.archive.shards import find_ledgers, ledger_name
from restcli.archive.walk import Found, Skipped
from restcli.errors import OutputError

KEYS = Keys("w" * 64, "s" * 64, "r" * 64)
EVENT = {"onset": 3.0, "duration": 9.5, "label": "sz", "confidence": 0.8, "channels": "all", "picture": None}


def found(path: str, size: int = 10, mtime: int = 5) -> Found:
    return Found(path, size, mtime, path.removesuffix(".edf"))


def outcome(*, n_events: int = 0, content: str = "a") -> dict[str, object]:
    return {
        "worker": "here:1",
        "stages": '{"read": 0.5}',
        "hash": content,
        "size": 10,
        "mtime_ns": 5,
        "duration": 60.0,
        "scored": 0.9,
        "missing": 0.0,
        "n_events": n_events,
        "events": [EVENT] * n_events,
        "outputs": {f"{content.removesuffix('.edf')}_events.tsv": "0"},
    }


def begin(ledger: Ledger, *recordings: Found, keys: Keys = KEYS, retry: bool = False) -> int:
    run, _ = ledger.begin_run("/archive", keys, "{}")
    ledger.enter(run, recordings)
    ledger.plan(run, keys, retry=retry)
    return run


def do_all(ledger: Ledger, run: int, *, keys: Keys = KEYS, fail: tuple[str, ...] = ()) -> list[str]:
    """Do what waits; returns paths in the order of their turn."""
    order = []
    while rows := ledger.waiting(run, 1):
        ledger.start(rows[0].id, 1)
        order.append(rows[0].path)
        good = outcome(content=rows[0].path) | {"size": rows[0].size, "mtime_ns": rows[0].mtime_ns}
        bad = {"error": f"{rows[0].path}: is bad", "error_class": "RecordingError", "worker": "here:1"}
        ledger.finish(rows[0].id, keys, bad if rows[0].path in fail else good)
    ledger.end_run(run)
    return order


@pytest.fixture
def ledger(tmp_path: Path):
    with Ledger(tmp_path / ledger_name(), write=True) as opened:
        yield opened


def test_largest_recording_has_its_turn_first(ledger: Ledger) -> None:
    run = begin(ledger, found("a.edf", 1), found("b.edf", 9), found("c.edf", 5))
    assert do_all(ledger, run) == ["b.edf", "c.edf", "a.edf"]


def test_second_run_does_only_what_is_new_or_changed(ledger: Ledger) -> None:
    do_all(ledger, begin(ledger, found("a.edf"), found("b.edf"), found("c.edf")))
    again = begin(ledger, found("a.edf"), found("b.edf", 11), found("c.edf", mtime=4), found("d.edf"))
    assert sorted(do_all(ledger, again)) == ["b.edf", "c.edf", "d.edf"]


def test_an_older_time_counts_as_changed(ledger: Ledger) -> None:
    do_all(ledger, begin(ledger, found("a.edf", mtime=10**18)))
    assert do_all(ledger, begin(ledger, found("a.edf", mtime=0))) == ["a.edf"]


@pytest.mark.parametrize("part", ["weights", "settings", "rendering"])
def test_other_keys_make_it_again(ledger: Ledger, part: str) -> None:
    do_all(ledger, begin(ledger, found("a.edf")))
    other = Keys(**(vars(KEYS) | {part: "other"}))
    assert do_all(ledger, begin(ledger, found("a.edf"), keys=other), keys=other) == ["a.edf"]
    assert do_all(ledger, begin(ledger, found("a.edf"), keys=other), keys=other) == []


def test_another_place_for_outputs_makes_it_again(ledger: Ledger) -> None:
    do_all(ledger, begin(ledger, found("a.edf")))
    assert do_all(ledger, begin(ledger, Found("a.edf", 10, 5, "a.edf"), found("a.bdf"))) == ["a.bdf", "a.edf"]


def test_what_failed_is_left_alone_until_asked_for_or_changed(ledger: Ledger) -> None:
    do_all(ledger, begin(ledger, found("a.edf"), found("b.edf")), fail=("a.edf",))
    assert ledger.counts()[FAILED] == 1
    assert do_all(ledger, begin(ledger, found("a.edf"), found("b.edf"))) == []
    assert do_all(ledger, begin(ledger, found("a.edf"), found("b.edf"), retry=True), fail=("a.edf",)) == ["a.edf"]
    assert do_all(ledger, begin(ledger, found("a.edf", 12), found("b.edf"))) == ["a.edf"]
    assert ledger.counts() == {DONE: 2, FAILED: 0, SAME: 0, "running": 0, PENDING: 0}


def test_unfinished_recordings_wait_again(ledger: Ledger) -> None:
    run = begin(ledger, found("a.edf"), found("b.edf"))
    ledger.start(ledger.waiting(run, 1)[0].id, 1)
    run, left = ledger.begin_run("/archive", KEYS, "{}")
    assert [row.path for row in left] == ["a.edf"]
    ledger.enter(run, [found("a.edf"), found("b.edf")])
    ledger.plan(run, KEYS, retry=False)
    assert [row.path for row in ledger.waiting(run, 9)] == ["a.edf", "b.edf"]
    assert [row["attempts"] for row in ledger.recordings()] == [0, 0]


def test_copies_point_to_one_recording(ledger: Ledger) -> None:
    files = [found("b.edf"), found("a.edf"), found("c.edf", 11), found("d.edf")]
    run = begin(ledger, *files)
    twins = ledger.twins(run, "fingerprint")
    assert [path for _, path in twins] == ["a.edf", "b.edf", "d.edf"]
    ledger.note("fingerprint", {row: "other" if path == "d.edf" else "alike" for row, path in twins})
    twins = ledger.twins(run, "hash")
    assert [path for _, path in twins] == ["a.edf", "b.edf"]
    ledger.note("hash", {row: "h" for row, _ in twins})
    ledger.pair(run)
    assert sorted(do_all(ledger, run)) == ["a.edf", "c.edf", "d.edf"]
    rows = {row["path"]: row for row in ledger.recordings()}
    assert (rows["b.edf"]["state"], rows["b.edf"]["same_as_path"]) == (SAME, "a.edf")


def test_a_copy_is_done_when_its_twin_is_gone(ledger: Ledger) -> None:
    run = begin(ledger, found("a.edf"), found("b.edf"))
    ledger.note("hash", {row.id: "h" for row in ledger.waiting(run, 9)})
    ledger.pair(run)
    assert do_all(ledger, run) == ["a.edf"]
    ledger.note("hash", {1: "h"})
    assert do_all(ledger, begin(ledger, found("b.edf"))) == ["b.edf"]
    assert [row["path"] for row in ledger.recordings()] == ["b.edf"]


def pair(ledger: Ledger, run: int) -> None:
    """Let all recordings be copies of each other."""
    ledger.note("hash", {row["id"]: "h" for row in ledger.recordings()})
    ledger.pair(run)


def test_copies_of_what_failed_are_tried_themselves(ledger: Ledger) -> None:
    names = [found("a.edf"), found("b.edf")]
    run = begin(ledger, *names)
    pair(ledger, run)
    assert do_all(ledger, run, fail=("a.edf", "b.edf")) == ["a.edf", "b.edf"]
    run = begin(ledger, *names, found("c.edf"))
    pair(ledger, run)
    assert do_all(ledger, run, fail=("c.edf",)) == ["c.edf"]
    assert [row["state"] for row in ledger.recordings()] == [FAILED] * 3
    run = begin(ledger, *names, found("c.edf"), found("d.edf"))
    pair(ledger, run)
    assert do_all(ledger, run) == ["d.edf"]
    run = begin(ledger, *names, found("c.edf"), found("d.edf"))
    pair(ledger, run)  # what one reader could do counts for all
    assert [row["state"] for row in ledger.recordings()] == [SAME, SAME, SAME, DONE]


def test_no_two_recordings_are_copies_of_each_other(ledger: Ledger) -> None:
    do_all(ledger, begin(ledger, found("b.edf")))
    names = [found("a.edf"), found("b.edf")]
    pair(ledger, begin(ledger, *names))
    assert [row["state"] for row in ledger.recordings()] == [SAME, DONE]
    other = Keys("other", "s", "r")
    run = begin(ledger, *names, keys=other)
    pair(ledger, run)
    assert do_all(ledger, run, keys=other) == ["b.edf"]


def test_what_came_back_needs_nothing(ledger: Ledger) -> None:
    do_all(ledger, begin(ledger, found("a.edf"), found("b.edf")))
    assert do_all(ledger, begin(ledger, found("b.edf"))) == []
    assert do_all(ledger, begin(ledger, found("a.edf"), found("b.edf"))) == []


def test_events_follow_their_recording(ledger: Ledger) -> None:
    run = begin(ledger, found("a.edf"))
    ledger.finish(ledger.waiting(run, 1)[0].id, KEYS, outcome(n_events=2))
    assert [(event["path"], event["number"], event["onset"]) for event in ledger.events()] == [
        ("a.edf", 1, 3.0),
        ("a.edf", 2, 3.0),
    ]
    other = Keys("w", "s", "r")
    run = begin(ledger, found("a.edf"), keys=other)
    assert list(ledger.events()) == []  # being made again: the old ones no longer count
    ledger.finish(ledger.waiting(run, 1)[0].id, other, outcome(n_events=1))
    assert len(list(ledger.events())) == 1


def test_names_of_any_kind_come_back_as_they_were(ledger: Ledger) -> None:
    names = ["two\nlines.edf", "blänk & <b>.edf", "日本/脳波 1.edf", "'; DROP TABLE runs; --.edf"]
    run = begin(ledger, *map(found, names))
    assert sorted(row.path for row in ledger.waiting(run, 9)) == sorted(names)


def test_things_not_walked_are_those_of_the_last_walk(ledger: Ledger) -> None:
    run, _ = ledger.begin_run("/archive", KEYS, "{}")
    ledger.enter(run, [], skipped=[Skipped("locked", "cannot be read", may_hide=True)])
    assert [item.path for item in ledger.skipped()] == ["locked"]
    run = begin(ledger)
    assert ledger.skipped() == []


def test_second_writer_is_refused_and_readers_are_not(ledger: Ledger) -> None:
    begin(ledger, found("a.edf"))
    with pytest.raises(OutputError, match="another batch is writing"):
        Ledger(ledger.path, write=True)
    with Ledger(ledger.path) as reader:
        assert reader.counts()[PENDING] == 1


def test_a_foreign_lock_is_named_and_not_the_ledger(tmp_path: Path) -> None:
    lock = tmp_path / "ledger.lock"
    lock.write_text("pid 4711 on ward3\n" * 50)
    with pytest.raises(OutputError, match=r"ledger\.lock: is a file of something other than restcli.* Move it away"):
        Ledger(tmp_path / ledger_name(), write=True)
    assert not (tmp_path / ledger_name()).exists() and lock.stat().st_size == 900
    lock.unlink()
    lock.mkdir()
    with pytest.raises(OutputError, match=r"ledger\.lock: is a link or not a regular file"):
        Ledger(tmp_path / ledger_name(), write=True)


@pytest.mark.parametrize("damage", ["header", "middle", "text"])
def test_a_damaged_ledger_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / ledger_name()
    with Ledger(path, write=True) as ledger:
        begin(ledger, *(found(f"{i}.edf") for i in range(2000)))
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:50] = bytes(50)
    elif damage == "middle":
        content[8192:40960] = random.Random(1).randbytes(32768)
    else:
        content = bytearray(b"path;state\n" * 50)
    path.write_bytes(content)
    with pytest.raises(OutputError, match="Move it away"):
        Ledger(path, write=True)
    assert path.read_bytes() == content


def finished(folder: Path) -> Path:
    """Make a ledger with a recording that is done, has an event, and is to be done again."""
    with Ledger(folder / ledger_name(), write=True) as ledger:
        do_all(ledger, begin(ledger, found("ward/a.edf"), found("b.edf")), fail=("b.edf",))
        row = next(row for row in ledger.recordings() if row["path"] == "ward/a.edf")
        ledger.put_back(row["id"])
        ledger.finish(row["id"], KEYS, outcome(n_events=1, content="ward/a.edf"))
    return folder / ledger_name()


def tamper(path: Path, *statements: str) -> None:
    """Change a ledger as somebody can who may write the file."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA ignore_check_constraints = ON")
        db.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            db.executescript(statement)
    db.close()


def use_everything(path: Path) -> None:
    """Do with a ledger what batch, status and export do."""
    from restcli.archive.index import write_index
    from restcli.archive.survey import survey
    from restcli.archive.tables import export_tables

    survey(path.parent)
    write_index(path.parent)
    export_tables(path.parent)
    other = Keys("w", "s", "r")
    with Ledger(path, write=True) as ledger:
        ledger.reports(1)
        run = begin(ledger, found("ward/a.edf"), found("b.edf"), keys=other)
        list(ledger.copies(run))
        ledger.waiting(run, 9)


def test_a_whole_ledger_serves_everything(tmp_path: Path) -> None:
    use_everything(finished(tmp_path))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE outputs SET name = '../../victim'",
        "UPDATE outputs SET name = '/etc/passwd'",
        "UPDATE outputs SET name = 'b_events.tsv'",
        "UPDATE outputs SET name = 'ward/a_x/../../../victim_events.tsv'",
        "UPDATE outputs SET name = CAST(x'FF00' AS TEXT)",
        "UPDATE recordings SET made_stem = '../victim' WHERE state = 'done'",
        "UPDATE recordings SET path = '../victim.edf', stem = '../victim' WHERE state = 'done'",
        "UPDATE recordings SET path = '/etc/a.edf', stem = '/etc/a', state = 'running' WHERE state = 'done'",
        "UPDATE recordings SET stem = '../a', state = 'running'",
        "UPDATE recordings SET state = 'perhaps'",
        "UPDATE recordings SET state = 'done'",
        "UPDATE recordings SET duration = 9e999",
        "UPDATE recordings SET scored = -1",
        "UPDATE recordings SET n_events = -7",
        "UPDATE recordings SET same_as = 1",
        "UPDATE recordings SET stages = '[]'",
        "UPDATE recordings SET stages = '{'",
        "UPDATE events SET onset = 1e300",
        "UPDATE events SET confidence = 7",
        "UPDATE events SET picture = '../../victim.png'",
        "UPDATE runs SET settings = 'nonsense'",
        "UPDATE runs SET settings = '3'",
        f"UPDATE runs SET settings = '{'[' * 5000}'",
        "CREATE TABLE more (x)",
        "CREATE TRIGGER t AFTER UPDATE ON recordings BEGIN DELETE FROM runs; END",
        "DROP TABLE outputs; CREATE TABLE outputs (recording, name, hash);"
        "INSERT INTO outputs VALUES (1, x'00', 3), (1, 2, NULL)",
        "DROP TABLE events; CREATE VIEW events AS SELECT * FROM recordings",
        "DROP INDEX recordings_by_turn",
    ],
)
def test_a_tampered_ledger_is_one_clear_error(tmp_path: Path, statement: str) -> None:
    path = finished(tmp_path)
    tamper(path, statement)
    with pytest.raises(OutputError, match=r"is damaged or was changed by something other"):
        use_everything(path)


def test_a_ledger_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = finished(tmp_path / "elsewhere")
    (tmp_path / ledger_name()).symlink_to(path)
    with pytest.raises(OutputError, match="is a link"):
        Ledger(tmp_path / ledger_name(), write=True)


def test_foreign_and_newer_databases_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    with pytest.raises(OutputError, match="not a restcli ledger"):
        Ledger(path, write=True)
    path.unlink()
    Ledger(path, write=True).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(OutputError, match="version 99"):
        Ledger(path)


def test_a_folder_without_ledger_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds no ledger"):
        find_ledgers(tmp_path)


@pytest.mark.slow
def test_five_thousand_finished_recordings_resume_in_a_moment(ledger: Ledger) -> None:
    files = [found(f"ward {i % 50}/{i}.edf", size=i) for i in range(5000)]
    do_all(ledger, begin(ledger, *files))
    start = time.process_time()
    assert ledger.waiting(begin(ledger, *files), 1) == []
    assert time.process_time() - start < 2.0
