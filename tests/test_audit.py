"""The audit trail of an archive, and what a check finds after somebody changed something by hand."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from typer.testing import CliRunner

from restcli.archive.audit import Trail, read_trail
from restcli.archive.coordinator import Request, run_batch
from restcli.archive.job import earlier_outputs
from restcli.archive.ledger import LedgerRow
from restcli.archive.resources import PoolOptions
from restcli.archive.verify import verify
from restcli.cli.app import app
from restcli.detect.settings import Settings
from restcli.errors import UsageError
from restcli.files import sha256_of
from restcli.review.journal import Journal

TRAIL, LEDGER, INDEX = "audit.jsonl", "ledger.sqlite", "index.html"


@pytest.fixture(scope="module")
def finished(toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the outputs of a batch: one recording with events, a copy of it, and one that failed."""
    folder = tmp_path_factory.mktemp("audit")
    archive, out = folder / "archive", folder / "out"
    archive.mkdir()
    write_edf(archive / "a.edf", noise(19, 40, 200, seed=1), 200)
    shutil.copy(archive / "a.edf", archive / "copy.edf")
    (archive / "broken.edf").write_bytes(b"0" * 300)
    settings = Settings(weights=str(toy_weights), threshold=0.3)
    run_batch(Request(archive, out, settings, plot="none"), PoolOptions(workers=1))
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def test_untouched_outputs_verify_and_the_trail_says_what_was_done(out: Path) -> None:
    found = verify(out)
    assert found.faults == () and found.remarks == ()
    assert found.n_outputs == 4
    entries = read_trail(out / TRAIL).entries
    assert [entry["what"] for entry in entries][0::3] == ["begin", "end"]
    assert sorted(entry["what"] for entry in entries[1:3]) == ["done", "failed"]
    done = next(entry for entry in entries if entry["what"] == "done")
    assert all(len(done[name]) == 64 for name in ("input", "weights", "settings", "result", "ledger"))
    assert all(entry["who"].startswith("op-") for entry in entries)


def test_what_describes_a_bids_dataset_is_ours_and_nothing_else_is(
    toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, out = tmp_path / "bids", tmp_path / "out"
    (archive / "sub-01").mkdir(parents=True)
    (archive / "dataset_description.json").write_text("{}")
    run_batch(Request(archive, out, Settings(weights=str(toy_weights)), plot="none"))
    assert (out / "derivatives/restcli/dataset_description.json").exists()
    monkeypatch.chdir(tmp_path)
    assert verify(out).faults == () == verify(Path("out")).faults
    (out / "derivatives/restcli/sub-01").mkdir()
    (out / "derivatives/restcli/sub-01/dataset_description.json").write_text("{}")
    assert verify(out).faults == ("derivatives/restcli/sub-01/dataset_description.json: was added",)


def test_a_hash_that_was_found_after_a_failure_is_no_change(out: Path) -> None:
    sql("UPDATE recordings SET hash = 'found when a copy came' WHERE state = 'failed'")(out)
    assert verify(out).faults == ()


def sql(statement: str) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        with sqlite3.connect(out / LEDGER) as db:
            db.execute(statement)

    return change


def text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        before = (out / name).read_text(encoding="utf-8")
        assert old in before
        (out / name).write_text(before.replace(old, new, 1), encoding="utf-8")

    return change


def without_lines(first: int, stop: int) -> Callable[[Path], None]:
    def change(out: Path) -> None:
        lines = (out / TRAIL).read_bytes().splitlines(keepends=True)
        (out / TRAIL).write_bytes(b"".join(lines[:first] + lines[stop:]))

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (text("a_events.tsv", "onset", "Onset"), "a_events.tsv: was changed"),
        (text("a_run.json", '"fraction"', '"fractioN"'), "a_run.json: was changed"),
        (lambda out: (out / "a_burden.tsv").unlink(), "a_burden.tsv: is missing"),
        (lambda out: (out / "broken_events.tsv").write_text("onset\n"), "broken_events.tsv: was added"),
        (text(INDEX, "broken.edf", "other.edf"), "index.html: is missing or was changed"),
        (sql("UPDATE events SET onset = onset + 1"), "'a.edf' was changed (ledger)"),
        (sql("DELETE FROM events"), "'a.edf' was changed (ledger)"),
        (sql("UPDATE recordings SET error = 'other' WHERE state = 'failed'"), "'broken.edf' was changed (ledger)"),
        (sql("UPDATE recordings SET acknowledged = 'x' WHERE state = 'failed'"), "'broken.edf' is acknowledged"),
        (sql("UPDATE recordings SET hash = 'x' WHERE state = 'done'"), "'a.edf' was changed (input)"),
        (sql("UPDATE recordings SET weights = 'x' WHERE state = 'done'"), "'a.edf' was changed (weights)"),
        (sql("UPDATE outputs SET hash = 'x' WHERE name = 'a_run.json'"), "'a.edf' was changed (result)"),
        (sql("UPDATE outputs SET hash = 'x' WHERE name = 'a_events.tsv'"), "a_events.tsv: was changed"),
        (text(TRAIL, '"what": "done"', '"what": "failed"'), "audit.jsonl, line"),
        (text(TRAIL, '"who": "op-', '"who": "xx-'), "audit.jsonl, line 1: was changed"),
        (without_lines(0, 1), "audit.jsonl, line 1: does not follow"),
        (without_lines(1, 2), "audit.jsonl, line 2: does not follow"),
        (without_lines(1, 4), "but the trail does not mention it"),
        (lambda out: (out / TRAIL).unlink(), "audit.jsonl: is missing"),
    ],
)
def test_what_was_changed_by_hand_is_named(out: Path, change: Callable[[Path], None], named: str) -> None:
    change(out)
    assert any(named in fault for fault in verify(out).faults)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "../a", "/etc/passwd", "", {"a": 1}, None])
def test_odd_names_in_a_trail_are_faults(out: Path, name: object) -> None:
    Trail(out / TRAIL).append("2026-01-01", {"what": "verdicts", "report": name, "result": "0" * 64})
    Trail(out / TRAIL).append("2026-01-01", {"what": "done", "path": name})
    Trail(out / TRAIL).append("2000-01-01", {"what": "end", "index": [name]})
    assert any("is missing" in fault for fault in verify(out).faults)


def test_a_noted_head_shows_that_a_whole_trail_was_written_anew(out: Path) -> None:
    head = verify(out).heads[TRAIL]
    Trail(out / TRAIL).append("2026-01-01", {"what": "begin"})
    assert verify(out, [head]).faults == ()
    without_lines(4, 5)(out)
    without_lines(3, 4)(out)
    assert any("noted hash" in fault for fault in verify(out, [head]).faults)


def test_a_torn_line_is_no_fault_and_nothing_is_glued_to_it(out: Path) -> None:
    with (out / TRAIL).open("ab") as file:
        file.write(b'{"number": 5, "ti')
    Trail(out / TRAIL).append("2026-01-01", {"what": "begin"})
    reading = read_trail(out / TRAIL)
    assert reading.faults == () and reading.remarks == ("audit.jsonl: unfinished or unreadable lines: 5",)
    assert [entry["number"] for entry in reading.entries] == [1, 2, 3, 4, 5]


def test_applied_verdicts_enter_the_trail(out: Path) -> None:
    from restcli.review.stored import read_result

    result = read_result(out / "a_run.json")
    assert result.found
    journal = Journal(out / "a_review.jsonl")
    for number in range(1, len(result.found) + 1):
        entry = {"reviewer": "r1", "event": f"e{number}", "action": "accept", "hash": result.digest}
        journal.append(entry, after=number - 1)
    answer = CliRunner().invoke(app, ["review", "apply", str(out / "a_run.json"), "--plot", "none"])
    assert answer.exit_code == 0, answer.output
    assert verify(out).faults == ()
    entry = next(entry for entry in read_trail(out / TRAIL).entries if entry["what"] == "verdicts")
    assert entry["report"] == "a_run_reviewed.json" and entry["reviewers"] == ["r1"]
    text("a_events_reviewed.tsv", "onset", "Onset")(out)
    assert verify(out).faults == ("a_events_reviewed.tsv: was changed",)


def test_an_acknowledgement_enters_the_trail(out: Path) -> None:
    answer = CliRunner().invoke(app, ["batch", "acknowledge", str(out), "broken.edf", "--reason", "cable broke"])
    assert answer.exit_code == 0, answer.output
    assert verify(out).faults == ()
    entry = read_trail(out / TRAIL).entries[-1]
    assert (entry["what"], entry["path"], entry["reason"]) == ("acknowledged", "broken.edf", "cable broke")


def test_the_command_says_what_was_changed(out: Path) -> None:
    answer = CliRunner().invoke(app, ["batch", "verify", str(out)])
    assert answer.exit_code == 0 and "nothing changed by hand" in answer.output
    (out / "a_burden.tsv").unlink()
    answer = CliRunner().invoke(app, ["batch", "verify", str(out), "--json"])
    assert answer.exit_code == 1
    assert json.loads(answer.stdout)["faults"] == ["a_burden.tsv: is missing"]


def test_what_an_earlier_batch_made_is_known_without_its_ledger(out: Path) -> None:
    row = LedgerRow(1, "a.edf", 10, 5, "a")
    made = earlier_outputs(out, out, row)
    assert made == {path.name: sha256_of(path) for path in out.glob("a_*")} and len(made) == 4
    assert earlier_outputs(out, out, replace(row, outputs={"a_run.json": "0"})) == {"a_run.json": "0"}
    assert earlier_outputs(out, out, replace(row, path="b.edf", stem="b")) == {}
    text("a_run.json", "a_scores.csv", "b_scores.csv")(out)  # as from annotate: no trail knows it
    assert earlier_outputs(out, out, row) == {}


def test_the_operator_is_a_pseudonym(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTCLI_OPERATOR", "tech-7")
    Trail(tmp_path / TRAIL).append("2026-01-01", {"what": "begin"})
    assert read_trail(tmp_path / TRAIL).entries[0]["who"] == "tech-7"
    monkeypatch.setenv("RESTCLI_OPERATOR", "two\nlines")
    with pytest.raises(UsageError):
        Trail(tmp_path / TRAIL)
