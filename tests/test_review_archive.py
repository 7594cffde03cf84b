"""The queue of an archive, and verdicts in its index page, its tables and as data to train on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from review_files import EVENTS, write_result
from test_review_apply import ACCEPT, ADD, REJECT, judge
from typer.testing import CliRunner

from restcli.archive.index import write_index
from restcli.archive.ledger import Keys, Ledger
from restcli.archive.shards import ledger_name
from restcli.archive.tables import export_tables
from restcli.archive.walk import Found
from restcli.cli.app import app
from restcli.errors import AnnotationError
from restcli.marks.layouts import find_items
from restcli.review.apply import Verdicts
from restcli.review.desk import open_desk
from restcli.review.stored import REPORT_END, find_results, read_result
from restcli.review.strays import Stray, follow_moved
from restcli.train.sources import _second_labels
from restcli.train.store import BACKGROUND, SEIZURE, UNKNOWN

KEYS = Keys("w" * 64, "s" * 64, "r" * 64)


@pytest.fixture
def out(tmp_path: Path, toy_weights: Path) -> Path:
    """Return a folder as a batch leaves it: three recordings done, two of them with events."""
    place = tmp_path / "out"
    for name, events in (("a", EVENTS), ("ward/b", EVENTS[:1]), ("c", ())):
        write_result((place / name).parent, toy_weights, name=name.rpartition("/")[2], events=events)
    run_batch(place, tmp_path / "archive", {"a.edf": "a", "ward/b.edf": "ward/b", "c.edf": "c"})
    return place


def run_batch(out: Path, archive: Path, found: dict[str, str], *, ends: bool = True) -> None:
    """Let a ledger say that a batch found recordings, each with the stem of its outputs, and did what was new."""
    with Ledger(out / ledger_name(), write=True) as ledger:
        run, _ = ledger.begin_run(str(archive), KEYS, "{}")
        ledger.enter(run, [Found(path, 10, 5, stem) for path, stem in found.items()])
        ledger.plan(run, KEYS, retry=False)
        for row in ledger.waiting(run, 9):
            name = Path(row.path).stem
            events = {"a": EVENTS, "b": EVENTS[:1], "c": ()}[name]
            facts = {"hash": name, "duration": 300.0, "scored": 0.99, "missing": 0.0, "n_events": len(events)}
            rows = [
                {"onset": e.onset, "duration": e.duration, "label": e.label, "confidence": 0.8, "channels": "all"}
                for e in events
            ]
            ledger.finish(row.id, KEYS, {"worker": "w:1", "stages": "{}", "seconds": 1.0, "events": rows} | facts)
        if ends:
            ledger.end_run(run)


def test_verdicts_reach_index_and_tables_and_are_outdated_with_their_result(out: Path, toy_weights: Path) -> None:
    judge(out / "a_run.json", ACCEPT, REJECT, ADD)
    done = CliRunner().invoke(app, ["review", "apply", str(out), "--plot", "none"])
    assert done.exit_code == 0, done.output
    page = (out / "index.html").read_text()
    assert "r1: 1 accepted, 1 rejected, 1 not judged, 1 added" in page
    assert "accepted (r1)" in page and "rejected (r1)" in page
    export_tables(out)
    recordings = pd.read_csv(out / "export" / "recordings.csv", index_col="path")
    assert recordings.loc["a.edf", ["review", "reviewers", "n_accepted", "n_added"]].tolist() == ["current", "r1", 1, 1]
    assert recordings.loc[["ward/b.edf", "c.edf"], "review"].isna().all()
    events = pd.read_csv(out / "export" / "events.csv")
    assert events["verdict"].fillna("").tolist() == ["accepted", "rejected", "pending", ""]
    reviewed = pd.read_parquet(out / "export" / "reviewed_events.parquet")
    assert reviewed[["path", "onset", "label"]].values.tolist() == [["a.edf", 40.0, "sz"], ["a.edf", 200.0, "sz_foc"]]
    write_result(out, toy_weights, name="a", events=EVENTS[:1])  # the recording was done again
    write_index(out)
    assert "on an earlier result" in (out / "index.html").read_text()
    assert "accepted (r1)" not in (out / "index.html").read_text()
    export_tables(out)
    assert pd.read_csv(out / "export" / "events.csv")["verdict"].isna().all()


def test_results_are_found_below_a_hidden_folder_and_not_in_one(tmp_path: Path) -> None:
    for place in (".home/out/a_run.json", ".home/out/.restcli/b_run.json"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("{}")
    assert [path.name for path in find_results(tmp_path / ".home" / "out")] == ["a_run.json"]


def test_the_queue_lists_all_and_draws_from_those_without_events(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = {path.relative_to(out).as_posix().removesuffix(REPORT_END): path for path in find_results(out)}
    assert set(reports) == {"a", "c", "ward/b"}
    with monkeypatch.context() as patch:
        patch.delattr("restcli.review.stored.StoredResult.controls")  # slow for thousands, and not needed here
        assert len(open_desk(reports, reviewer="r1", blind=False).session()["recordings"]) == 3
    judge(out / "a_run.json", ACCEPT)
    judge(out / "c_run.json", {"action": "read"}, reviewer="r2")
    queue = {row["name"]: row for row in open_desk(reports, reviewer="r1", blind=False).session()["recordings"]}
    assert [queue[name]["sample"] for name in ("a", "c", "ward/b")] == [False, True, False]
    assert (queue["a"]["n_judged"], queue["a"]["reviewers"], queue["c"]["read"]) == (1, ["r1"], ["r2"])
    assert (queue["a"]["uncertain"], queue["c"]["uncertain"]) == (0.2, None)
    reports["c"].write_text("{}")
    desk = open_desk(reports, reviewer="r1", blind=False)
    assert (len(desk.cases), len(desk.left_out)) == (2, 1), "one that cannot be read costs no other"


def move_archive(out: Path, *, run: bool) -> Path:
    """Move the recordings of the archive, which were in `out`, to a folder of their own, and let a run find them."""
    archive = out.parent / "elsewhere"
    for name in ("a", "ward/b", "c"):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.edf").rename(archive / f"{name}.edf")
    if run:
        run_batch(out, archive, {"a.edf": "a", "ward/b.edf": "ward/b", "c.edf": "c"})
    return archive


def test_recordings_of_an_archive_that_was_moved_are_found_after_a_run_at_its_new_place(out: Path) -> None:
    judge(out / "ward" / "b_run.json", ACCEPT)
    apply = ["review", "apply", str(out), "--plot", "none"]
    archive = move_archive(out, run=False)
    said = str(CliRunner().invoke(app, apply).exception)
    assert "b.edf, which is not there" in said and "run restcli batch on its archive again" in said
    for path in archive.rglob("*.edf"):
        path.rename(out / path.relative_to(archive))
    archive = move_archive(out, run=True)
    assert CliRunner().invoke(app, apply).exit_code == 0
    (item,) = find_items(out)
    assert (item.recording_path, len(item.events)) == (archive / "ward" / "b.edf", 1), "and train finds it"
    change_last_byte(archive / "ward" / "b.edf")
    assert "describes another recording than b.edf" in str(CliRunner().invoke(app, apply).exception)


@pytest.mark.parametrize(
    ("path", "stem"), [("night/b.edf", "night/b"), ("ward/b.edf", "ward/b.edf")], ids=["moved", "renamed outputs"]
)
def test_verdicts_follow_a_recording_within_its_archive(out: Path, path: str, stem: str) -> None:
    judge(out / "ward" / "b_run.json", ACCEPT)
    (out / stem).parent.mkdir(exist_ok=True)
    for file in (out / "ward").glob("b_[!r]*"):
        shutil.copy(file, out / f"{stem}{file.name[1:]}")
    report = Path(shutil.copy(out / "ward" / "b_run.json", out / f"{stem}_run.json"))
    run_batch(out, out, {"a.edf": "a", "c.edf": "c"}, ends=False)
    assert follow_moved(out) == [], "a run that was cut short may not have seen it"
    run_batch(out, out, {"a.edf": "a", path: stem, "c.edf": "c"})
    assert follow_moved(out) == [Stray(out / "ward" / "b_review.jsonl", out / f"{stem}_review.jsonl")]
    assert not (out / "ward" / "b_review.jsonl").exists()
    assert [entry.action for entry in Verdicts.of(read_result(report)).entries] == ["accept"]
    assert follow_moved(out) == []


def test_verdicts_on_a_recording_that_left_the_archive_are_named_and_stay(out: Path) -> None:
    judge(out / "ward" / "b_run.json", ACCEPT)
    run_batch(out, out, {"a.edf": "a", "c.edf": "c"})
    assert follow_moved(out) == [Stray(out / "ward" / "b_review.jsonl")]
    said = CliRunner().invoke(app, ["batch", "status", str(out)]).stdout
    assert f"verdicts     {out}/ward/b_review.jsonl: beside no result of the archive as it is now" in said
    assert (out / "ward" / "b_review.jsonl").exists()


def test_what_was_missed_is_estimated_from_recordings_that_were_read(out: Path) -> None:
    judge(out / "a_run.json", ACCEPT, REJECT, ADD)
    judge(out / "c_run.json", {"action": "read"}, ADD)
    done = CliRunner().invoke(app, ["review", "apply", str(out), "--plot", "none", "--json"])
    facts = json.loads(done.stdout)["all"]
    assert (facts["empty_read"], facts["empty_missed"]) == (1, 1)
    assert facts["missed_in_recordings_without_events"]["low"] < 0.05
    assert facts["sensitivity"]["value"] == pytest.approx(1 / 3)
    assert facts["sensitivity_where_read_whole"]["value"] == 0.0


def change_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_reviewed_folders_are_data_that_claims_only_what_was_decided(out: Path) -> None:
    judge(out / "a_run.json", ACCEPT, REJECT, ADD)
    judge(out / "ward" / "b_run.json", ACCEPT, {"action": "read"})
    assert CliRunner().invoke(app, ["review", "apply", str(out), "--plot", "none"]).exit_code == 0
    items = {item.recording_path.stem: item for item in find_items(out)}
    assert {name: (item.source, item.patient) for name, item in items.items()} == {
        "a": ("reviewed", "a"),
        "b": ("reviewed", "ward"),
    }
    labels = {name: _second_labels(item.events, 0.0, 300) for name, item in items.items()}
    decided = {name: {place: int(value[place]) for place in (10, 50, 152, 205, 252)} for name, value in labels.items()}
    assert decided["a"] == {10: UNKNOWN, 50: SEIZURE, 152: BACKGROUND, 205: SEIZURE + 1, 252: UNKNOWN}
    assert decided["b"] == {10: BACKGROUND, 50: SEIZURE, 152: BACKGROUND, 205: BACKGROUND, 252: BACKGROUND}
    change_last_byte(out / "a.edf")
    checked = CliRunner().invoke(app, ["data", "check", str(out)])
    assert checked.exit_code == 3
    assert "a_run_reviewed.json: holds verdicts on another recording than a.edf as it is now" in checked.stderr
    assert "not usable: 1 problem; without them, 1 recording of 1 patient" in checked.stdout
    (out / "a.edf").unlink()
    with pytest.raises(AnnotationError, match=r"a\.edf is not there"):
        find_items(out)
