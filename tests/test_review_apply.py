"""After review: tables, burden and report follow the verdicts, and what was detected stays as it was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from review_files import EVENTS, write_result
from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.errors import AnnotationError, OutputError
from restcli.events import Event, Events
from restcli.files import sha256_of
from restcli.marks.registry import read_events
from restcli.output.plots.event import EventPages, pictured_events
from restcli.review.agreement import count_verdicts, rejected_in_words
from restcli.review.apply import Verdicts, apply_verdicts, shown_events
from restcli.review.entries import Entry
from restcli.review.journal import Journal
from restcli.review.stored import read_result
from restcli.review.verdicts import named_events, review_of


def judge(report: Path, *actions: dict[str, Any], reviewer: str = "r1") -> Journal:
    result = read_result(report)
    journal = Journal(report.with_name(f"{result.stem}_review.jsonl"))
    for action in actions:
        entries = journal.entries()
        content = {"reviewer": reviewer, "hash": result.digest} | action
        journal.append(content, after=entries[-1].seq if entries else 0)
    return journal


ACCEPT, REJECT = {"action": "accept", "event": "e1"}, {"action": "reject", "event": "e2"}
ADD = {"action": "add", "onset": 200.0, "stop": 215.5, "label": "sz_foc"}


@pytest.fixture
def report(tmp_path: Path, toy_weights: Path) -> Path:
    return write_result(tmp_path, toy_weights)


def test_another_recording_of_the_same_form_is_not_judged(report: Path) -> None:
    path = read_result(report).recording.path
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"describes another recording than night\.edf"):
        _ = read_result(report).recording


@pytest.mark.slow
def test_outputs_follow_the_verdicts_and_detected_ones_stay(report: Path) -> None:
    before = {path: sha256_of(path) for path in report.parent.iterdir()}
    judge(report, ACCEPT | {"onset": 41.0, "stop": 62.0}, REJECT, ADD)
    applied = apply_verdicts(read_result(report), formats=("csv",), plot="png")
    assert {path: sha256_of(path) for path in before} == before
    assert {path.name for path in applied.written.files} == {
        *(f"night_events_reviewed.{kind}" for kind in ("tsv", "json", "csv")),
        "night_burden_reviewed.tsv",
        "night_overview_reviewed.png",
        *(f"night_event{page}_reviewed.png" for page in ("01", "01_p2", "01_p3", "02", "02_p2", "a1", "a1_p2", "03")),
        "night_run_reviewed.json",
    }
    folder = report.parent
    for kind in ("tsv", "json", "csv"):
        events = read_events(folder / f"night_events_reviewed.{kind}")
        assert [(event.onset, event.stop, event.label) for event in events] == [(41, 62, "sz"), (200, 215.5, "sz_foc")]
    unscored = read_events(folder / "night_events_reviewed.json").unscored
    assert (250.0, 255.0) in [(span.start, span.stop) for span in unscored], "nobody judged the third"
    content = json.loads((folder / "night_run_reviewed.json").read_text())
    assert content["pictures_failed"] == {}
    facts = content["review"]["agreement"]
    counts = ("accepted", "rejected", "unsure", "not_judged", "added", "edited")
    assert [facts[name] for name in counts] == [1, 1, 0, 1, 1, 1]
    assert (facts["szcore"]["found"], facts["szcore"]["expert"], facts["szcore"]["false"]) == (1, 2, 1)
    assert facts["sensitivity"]["low"] < 0.5 < facts["sensitivity"]["high"]
    assert content["burden"]["seizure_s"] == pytest.approx(36.5)
    assert content["burden"]["not_scored_s"] >= 5
    judge(report, {"action": "edit", "event": "e1", "onset": 41.0, "stop": 45.0})
    again = apply_verdicts(read_result(report), formats=(), plot="png")
    assert list(again.written.report["earlier_outputs"]) == ["night_events_reviewed.csv"]
    assert not (folder / "night_event01_p2_reviewed.png").exists(), "the event became shorter"


def test_verdicts_on_other_events_are_never_applied(report: Path, toy_weights: Path) -> None:
    judge(report, ACCEPT)
    text = (report.parent / "night_review.jsonl").read_text()
    report = write_result(report.parent, toy_weights, events=EVENTS[:2])
    with pytest.raises(AnnotationError, match="holds only verdicts on another recording, or on other events"):
        apply_verdicts(read_result(report), plot="none")
    judge(report, REJECT)
    applied = apply_verdicts(read_result(report), plot="none")
    assert (applied.counts.accepted, applied.counts.rejected) == (0, 1)
    assert any("not applied" in remark for remark in applied.remarks)
    assert (report.parent / "night_review.jsonl").read_text().startswith(text)


def test_verdicts_on_a_recording_that_was_replaced_are_never_applied(tmp_path: Path, toy_weights: Path) -> None:
    report = write_result(tmp_path, toy_weights, events=())
    judge(report, ADD, {"action": "read"})
    facts = json.loads(report.read_text())
    facts["recording"]["fingerprint"] = "0" * 64  # as of another patient's recording of this name and length
    report.write_text(json.dumps(facts))
    with pytest.raises(AnnotationError, match="holds only verdicts on another recording, or on other events"):
        Verdicts.of(read_result(report)).check()


def test_no_verdicts_make_no_reviewed_table(report: Path) -> None:
    with pytest.raises(AnnotationError, match="holds no verdicts"):
        apply_verdicts(read_result(report), plot="none")
    assert not list(report.parent.glob("*_reviewed*"))


def test_two_reviewers_are_compared(report: Path) -> None:
    judge(report, ACCEPT, REJECT, {"action": "reject", "event": "e3"})
    judge(report, ACCEPT, {"action": "accept", "event": "e2"}, {"action": "reject", "event": "e3"}, reviewer="r2")
    applied = apply_verdicts(read_result(report), plot="none")
    (pair,) = applied.written.report["review"]["between_reviewers"]
    assert tuple(pair["reviewers"]) == ("r1", "r2")
    assert (pair["events"]["n"], pair["events"]["agreement"]) == (3, pytest.approx(2 / 3))
    assert pair["events"]["kappa"] == pytest.approx(0.4)
    assert pair["seconds"]["n"] == 297
    assert pair["seconds"]["agreement"] == pytest.approx(287 / 297)
    assert applied.counts.accepted == 2, "the last word counts"
    alone = apply_verdicts(read_result(report), plot="none", reviewer="r1")
    assert alone.counts.accepted == 1


def test_a_users_own_file_is_not_replaced(report: Path) -> None:
    judge(report, ACCEPT)
    (report.parent / "night_events_reviewed.tsv").write_text("mine")
    with pytest.raises(OutputError, match="not an unchanged output"):
        apply_verdicts(read_result(report), plot="none")


def test_the_command_applies_one_or_all_and_says_what_failed(tmp_path: Path, toy_weights: Path) -> None:
    reports = [write_result(tmp_path / "out", toy_weights, name=name, seconds=300) for name in ("a", "b", "c")]
    run = CliRunner()
    assert run.invoke(app, ["review", "apply", str(tmp_path / "out")]).exit_code != 0
    judge(reports[0], ACCEPT, REJECT)
    judge(reports[1], ACCEPT)
    judge(reports[0], ACCEPT, {"action": "accept", "event": "e2"}, reviewer="a2")
    judge(reports[1], ACCEPT, reviewer="a2")
    done = run.invoke(app, ["review", "apply", str(tmp_path / "out"), "--plot", "none", "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    told = run.invoke(app, ["review", "apply", str(tmp_path / "out"), "--plot", "none"]).stderr
    assert re.search(r"written: \S*a_events_reviewed\.tsv and \d+ more beside it", " ".join(told.split())), told
    assert set(facts["recordings"]) == {"a", "b"}
    assert (facts["all"]["accepted"], facts["all"]["rejected"], facts["all"]["not_judged"]) == (3, 0, 3)
    (pair,) = facts["all"]["between_reviewers"]
    assert (pair["reviewers"], pair["events"]["n"], pair["events"]["agreement"]) == (
        ["a2", "r1"],
        3,
        pytest.approx(2 / 3),
    )
    assert pair["seconds"]["n"] == sum(
        each["between_reviewers"][0]["seconds"]["n"] for each in facts["recordings"].values()
    )
    (tmp_path / "out" / "b_scores.csv").write_text("time\n")
    done = run.invoke(app, ["review", "apply", str(tmp_path / "out"), "--plot", "none"])
    assert done.exit_code == 1
    assert "does not belong" in done.output
    (tmp_path / "out" / "a_scores.csv").rename(tmp_path / "scores.csv")
    done = run.invoke(app, ["review", "apply", str(tmp_path / "out"), "--plot", "none"])
    assert (done.exit_code, done.stdout) == (1, ""), "none could be applied"
    (tmp_path / "scores.csv").rename(tmp_path / "out" / "a_scores.csv")
    recording = str(tmp_path / "out" / "a.edf")
    done = run.invoke(app, ["review", "apply", recording, "--out", str(tmp_path / "out"), "--plot", "none"])
    assert done.exit_code == 0
    assert "precision" in done.output and "a2 and r1: 50.0 % of 2 events alike" in done.output
    done = run.invoke(app, ["review", "apply", recording, "--out", str(tmp_path / "out"), "--plot", "none", "--quiet"])
    assert done.output == "a.edf: 1 event that nobody judged: neither seizure nor background in the outputs\n"


def test_rejected_detections_are_counted_beside_the_false_alarms_of_the_rule(report: Path) -> None:
    judge(report, ACCEPT, REJECT)
    done = CliRunner().invoke(app, ["review", "apply", str(report.parent), "--plot", "none"])
    assert "rejected detections: 1 of 2 judged\n" in done.stdout
    detected = Events((Event(100.0, 10.0), Event(130.0, 10.0), Event(160.0, 10.0)), 600.0)
    shown = named_events(detected)
    entries = [
        Entry(seq, "", "r1", "h", action, f"e{seq}")
        for seq, action in enumerate(("accept", "reject", "reject"), start=1)
    ]
    counts = count_verdicts(review_of(entries, shown), detected)
    assert (counts.rejected, counts.tally.false_per_day) == (2, 0)
    assert rejected_in_words(counts).startswith("rejected detections: 2 of 3 judged, counted as 0 false alarms because")


def test_pictures_name_each_verdict_with_who_gave_it_and_what_was_edited(report: Path) -> None:
    control = next(iter(read_result(report).controls))
    judge(report, ACCEPT | {"onset": 41.0, "stop": 62.0}, REJECT, ADD)
    judge(report, {"action": "unsure", "event": "e3"}, {"action": "accept", "event": control}, reviewer="r2")
    result = read_result(report)
    shown = {each.name: each for each in shown_events(Verdicts.of(result).review(), result.events)}
    assert {name: each.verdict for name, each in shown.items()} == {
        "1": "accepted",
        "2": "rejected",
        "3": "unsure",
        "a1": "added",
        control: "added",
    }
    assert shown["1"].in_words == "1 accepted, limits edited"
    assert EventPages(shown["1"], ()).verdict == (
        "Event 1 accepted, limits edited by r1, found from 0:00:40.0 to 0:01:00.0"
    )
    assert EventPages(shown[control], ()).verdict.endswith("added by r2, in a control stretch")
    assert [each.name for each in pictured_events([*shown.values()])] == list(shown)


def test_a_recording_is_found_from_wherever_the_command_is_run(
    tmp_path: Path, toy_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = tmp_path / "ward"
    report = write_result(ward, toy_weights)
    facts = json.loads(report.read_text())
    source = Path(facts["recording"]["path"])
    results = ward / "out" / "results"
    results.mkdir(parents=True)
    for file in ward.glob(f"{source.stem}_*"):
        file.rename(results / file.name)
    facts["recording"]["path"] = source.name  # as of restcli annotate night.edf --out out/results, run in the ward
    (results / report.name).write_text(json.dumps(facts))
    source.rename(ward / source.name)
    monkeypatch.chdir(tmp_path)
    assert read_result(results / report.name).recording.path.resolve() == (ward / source.name).resolve()
