"""Outputs appear whole or not at all, agree with each other, and hold nothing about the patient."""

from __future__ import annotations

import csv
import fcntl
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edf_writer import noise, write_edf

from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.settings import Settings
from restcli.errors import OutputError, UsageError
from restcli.events import Event, Events, Span
from restcli.files import sha256_of
from restcli.io.registry import open_recording
from restcli.marks.registry import read_events
from restcli.nn.weights import load_weights
from restcli.output import bundle
from restcli.output.bundle import Bundle, Written, clear_leftovers, scores_csv
from restcli.output.pictures import PICTURES
from restcli.output.plots.event import MOST_EVENTS, pictured_events
from restcli.output.plots.traces import read_traces
from restcli.output.run_report import run_report
from restcli.output.shown import detected
from restcli.output.text import quality_warnings
from restcli.text import percent

ALL_FORMATS = ("csv_bi", "edf", "xml", "csv", "json")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, toy_weights: Path) -> Result:
    path = write_edf(tmp_path_factory.mktemp("edf") / "ward 7.edf", noise(19, 40, 200), 200)
    found = Detector(load_weights(toy_weights), "cpu").annotate(open_recording(path), Settings(passes=4, types=True))
    events = Events((Event(8.0, 6.0, "sz_foc", 0.8, ("FP1-F7", "F7-T3"), 0.7),), 40.0, found.recording.start)
    return replace(found, events=events)


def write(result: Result, folder: Path, stem: str = "ward 7", **options: Any) -> Written:
    return Bundle(folder, stem, **options).write(result)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_output_is_written_and_listed_with_its_hash(result: Result, tmp_path: Path) -> None:
    written = write(result, tmp_path, formats=ALL_FORMATS).files
    assert names(tmp_path) == sorted(path.name for path in written)
    assert written[-1].name == "ward 7_run.json"
    told = json.loads(written[-1].read_text())["outputs"]
    assert set(told) == {path.name for path in written[:-1]}
    assert {"ward 7_overview.png", "ward 7_event01.png", "ward 7_scores.csv", "ward 7_events.tsv"} <= set(told)


def test_all_tables_tell_the_same_events(result: Result, tmp_path: Path) -> None:
    write(result, tmp_path, formats=ALL_FORMATS, plot="none")
    for kind in ("tsv", *ALL_FORMATS):
        events = read_events(tmp_path / f"ward 7_events.{kind}", duration=40.0, start=result.recording.start)
        assert [(event.onset, event.duration) for event in events] == [(8.0, 6.0)], kind


def test_scores_read_back_with_pandas(result: Result, tmp_path: Path) -> None:
    write(result, tmp_path, plot="none")
    table = pd.read_csv(tmp_path / "ward 7_scores.csv")
    np.testing.assert_allclose(table["time"], result.scores.time)
    np.testing.assert_allclose(table["probability"], result.scores.probability, atol=5.1e-5)
    np.testing.assert_allclose(table[list(result.scores.nodes)], result.scores.by_node, atol=5.1e-5)
    assert list(table.columns[:4]) == ["time", "probability", "probability_low", "probability_high"]
    np.testing.assert_allclose(table[["type_sz_foc", "type_sz_gen"]].dropna().sum(axis=1), 1, atol=2e-4)


def test_not_scored_is_empty_not_zero(result: Result) -> None:
    last = list(csv.reader("".join(scores_csv(result.scores)).splitlines()))[-1]
    assert last[0] == "39.50"
    assert set(last[1:]) == {""}


def test_same_input_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    first = write(result, tmp_path / "a", formats=ALL_FORMATS).files
    second = write(result, tmp_path / "b", formats=ALL_FORMATS).files
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_patient_never_reaches_an_output(result: Result, tmp_path: Path) -> None:
    for path in write(result, tmp_path, formats=ALL_FORMATS, plot="pdf").files:
        content = path.read_bytes()
        born = () if path.suffix == ".pdf" else (b"1980",)  # offsets and lengths of a PDF may hold any digits
        for secret in (b"Doe", b"Jane", b"SECRET", b"03-FEB", b"Doe_Jane", *born):
            assert secret not in content, path.name


def test_failed_write_leaves_nothing_and_keeps_what_was_there(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(result, tmp_path, plot="none")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(scores: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("restcli.output.bundle.scores_csv", full)
    with pytest.raises(OutputError, match="No space left"):
        write(result, tmp_path, formats=ALL_FORMATS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_earlier_formats_stay_and_pages_of_events_that_are_no_more_go(result: Result, tmp_path: Path) -> None:
    write(result, tmp_path, formats=("csv_bi", "csv"))
    (tmp_path / "ward 7_notes.txt").write_text("mine")
    edited = tmp_path / "ward 7_events.csv_bi"
    edited.write_text(edited.read_text() + "by hand")
    written = write(replace(result, events=Events((), 40.0)), tmp_path)
    assert names(tmp_path) == [
        "ward 7_burden.tsv",
        "ward 7_events.csv",
        "ward 7_events.csv_bi",
        "ward 7_events.tsv",
        "ward 7_notes.txt",
        "ward 7_overview.png",
        "ward 7_run.json",
        "ward 7_scores.csv",
    ]
    assert edited.read_text().endswith("by hand")
    assert sorted(written.report["earlier_outputs"]) == ["ward 7_events.csv", "ward 7_events.csv_bi"]
    # What was left is still known to be ours, unless it was changed.
    write(result, tmp_path, formats=("csv",))
    with pytest.raises(OutputError, match="csv_bi: exists and is not an unchanged output"):
        write(result, tmp_path, formats=("csv_bi",))


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_of_somebody_else_is_refused_before_anything_is_scored(tmp_path: Path, picture: str) -> None:
    foreign = tmp_path / (f"ward 7_{picture}01.png" if picture == "event" else f"ward 7_{picture}.png")
    foreign.write_bytes(b"mine")
    with pytest.raises(OutputError, match=picture):
        Bundle(tmp_path, "ward 7").check()


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "ward 7_events.tsv").symlink_to("/nowhere/annex")
    with pytest.raises(OutputError, match=r"events\.tsv"):
        Bundle(tmp_path, "ward 7").check()


def test_an_edited_page_is_not_removed(result: Result, tmp_path: Path) -> None:
    write(result, tmp_path)
    page = tmp_path / "ward 7_event01.png"
    page.write_bytes(page.read_bytes() + b"annotated")
    written = write(replace(result, events=Events((), 40.0)), tmp_path)
    assert page.read_bytes().endswith(b"annotated") and list(written.report["earlier_outputs"]) == [page.name]


def test_nothing_found_is_written_as_background(result: Result, tmp_path: Path) -> None:
    write(replace(result, events=Events((), 40.0)), tmp_path, plot="none")
    lines = (tmp_path / "ward 7_events.tsv").read_text().splitlines()
    assert lines[1].split("\t")[:3] == ["0.00", "40.00", "bckg"]


def test_run_report_names_what_was_used(result: Result) -> None:
    told = run_report(result)
    assert told["weights"]["sha256"] == result.weights.sha256
    assert told["scored"]["fraction"] == pytest.approx(37 / 40)
    assert told["scored"]["not_scored"][0]["start"] == 37
    assert told["rule"]["threshold"] == result.rule.threshold
    assert told["montage"]["kind"] == "referential"
    assert told["recording"]["repairs"] == list(result.recording.repairs)
    assert "Not a medical device" in told["disclaimer"]
    json.dumps(told)


def test_many_events_get_pages_for_the_most_confident(result: Result) -> None:
    events = tuple(Event(float(i), 1.0, "sz", (i * 7 % 30) / 30) for i in range(30))
    chosen = pictured_events(detected(events))
    assert len(chosen) == MOST_EVENTS
    assert [int(each.name) for each in chosen] == sorted(int(each.name) for each in chosen)
    assert min(each.event.confidence for each in chosen) >= 10 / 30


def test_traces_show_the_page_around_the_onset(result: Result) -> None:
    traces = read_traces(result.recording, 5.0, 35.0)
    assert traces is not None
    assert traces.time[0] == 5.0
    assert traces.time[-1] == pytest.approx(35.0, abs=0.01)
    assert traces.data.shape == (18, 6000)
    assert np.isfinite(traces.data).all()


def test_a_users_own_files_are_never_overwritten_unasked(result: Result, tmp_path: Path) -> None:
    marks = tmp_path / "ward 7_events.tsv"
    marks.write_text("my own marks")
    with pytest.raises(OutputError, match="--overwrite"):
        write(result, tmp_path, plot="none")
    assert marks.read_text() == "my own marks"
    assert names(tmp_path) == ["ward 7_events.tsv"]
    write(result, tmp_path, plot="none", overwrite=True)
    # Own outputs are replaced without a word, unless somebody changed them since.
    write(result, tmp_path, plot="none")
    marks.write_text(marks.read_text() + "edited by hand")
    with pytest.raises(OutputError, match="not an unchanged output"):
        write(result, tmp_path, plot="none")


def test_too_long_a_name_is_refused_with_the_reason(result: Result, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="shorter name"):
        write(result, tmp_path, "x" * 245)


def test_what_was_not_scored_is_no_background_in_any_table(result: Result, tmp_path: Path) -> None:
    span = Span(37.0, 40.0, "past the end")
    events = replace(result.events, unscored=(span,))
    write(replace(result, events=events), tmp_path, formats=ALL_FORMATS, plot="none")
    rows = [line for line in (tmp_path / "ward 7_events.csv_bi").read_text().splitlines() if line.startswith("TERM")]
    assert rows[-1] == "TERM,14.0000,37.0000,bckg,1.0000"
    assert json.loads((tmp_path / "ward 7_events.json").read_text())["notScored"][0]["start"] == 37
    for kind in ("edf", "xml"):
        assert b"not scored: past the end" in (tmp_path / f"ward 7_events.{kind}").read_bytes()


def test_doubts_are_told(result: Result) -> None:
    assert quality_warnings(result) == []
    loud = replace(result.trend, amplitude=result.trend.amplitude * 30)
    bad = {"F8-T4": {"drowned in mains hum": 20}, "FZ-CZ": {"flat or disconnected": 2}}
    told = quality_warnings(replace(result, trend=loud, band_limit=20, bad_seconds=bad))
    assert len(told) == 3
    assert "unit and gain" in told[0] and "20 Hz" in told[1] and "not trained for" in told[1] and "F8-T4" in told[2]


@pytest.mark.parametrize(
    ("usual", "minutes", "doubted"), [(3.0, 1, False), (3.0, 10, True), (8, 10, False), (80, 10, True)]
)
def test_amplitudes_of_minutes_are_judged_more_strictly(
    result: Result, usual: float, minutes: int, doubted: bool
) -> None:
    trend = replace(result.trend, amplitude=np.full(60 * minutes, usual, dtype=np.float32))
    assert bool(quality_warnings(replace(result, trend=trend))) == doubted
    assert quality_warnings(replace(result, doubts=("far larger",))) == ["far larger"]


def test_many_bad_nodes_make_one_line(result: Result) -> None:
    bad = {node: {"flat or disconnected": 20 + i} for i, node in enumerate(result.scores.nodes)}
    told = quality_warnings(replace(result, bad_seconds=bad))
    assert told == ["T6-O2, T4-T6, F8-T4, FP2-F8 and 14 more left out for up to 37 s: flat or disconnected"]


def test_unknown_format_is_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="csv_bi"):
        write(result, tmp_path, formats=("docx",))
    with pytest.raises(UsageError, match="png"):
        write(result, tmp_path, plot="gif")


def test_percent_never_rounds_up_to_all() -> None:
    assert percent(0.99999) == "99.9 %"


def test_a_picture_that_fails_costs_no_table(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("Doe, Jane 1980-01-01")

    monkeypatch.setattr("restcli.output.plots.overview.plot_overview", fail)
    written = write(result, tmp_path)
    assert names(tmp_path) == [
        f"ward 7_{end}" for end in ("burden.tsv", "event01.png", "events.tsv", "run.json", "scores.csv")
    ]
    report = json.loads((tmp_path / "ward 7_run.json").read_text())
    assert report["pictures_failed"] == written.report["pictures_failed"] == {"overview": "ValueError"}


def test_what_a_format_cannot_hold_is_reported(result: Result, tmp_path: Path) -> None:
    late = replace(result, events=replace(result.events, start=datetime(2091, 11, 5, 14, 15, 16)))
    written = write(late, tmp_path, formats=("edf",), plot="none")
    assert written.report["remarks"] == [
        "ward 7_events.edf: the date 2091-11-05 is written as unknown: EDF+ holds 1985 to 2084"
    ]
    assert write(result, tmp_path, formats=("edf",), plot="none").report["remarks"] == []
    poor = replace(result, events=replace(result.events, unscored=(Span(20.0, 30.0, ""), Span(37.0, 40.0, "end"))))
    assert write(poor, tmp_path, formats=("tsv", "edf"), plot="none").report["remarks"] == []
    assert write(poor, tmp_path, formats=("edf", "csv_bi"), plot="none").report["remarks"] == [
        "ward 7_events.tsv and ward 7_events.csv_bi cannot hold the 13 s that were not scored; "
        "ward 7_run.json lists them"
    ]


def test_files_known_from_elsewhere_may_be_replaced(result: Result, tmp_path: Path) -> None:
    digests = {path.name: sha256_of(path) for path in write(result, tmp_path, plot="none").files}
    (tmp_path / "ward 7_run.json").unlink()
    with pytest.raises(OutputError, match="not an unchanged output"):
        write(result, tmp_path, plot="none")
    write(result, tmp_path, plot="none", owned=digests)


def leave_behind(result: Result, folder: Path, *, complete: bool) -> Path:
    """Make what a process that was killed leaves in a folder: complete, or not yet."""
    write(result, folder / "elsewhere", plot="none")
    workshop = bundle._workshop_path(folder, "ward 7")
    workshop.mkdir()
    for path in (folder / "elsewhere").iterdir():
        if complete or not path.name.endswith("_run.json"):
            path.rename(workshop / path.name)
    shutil.rmtree(folder / "elsewhere")
    return workshop


@pytest.mark.parametrize("complete", [False, True])
def test_leftovers_of_a_killed_process_are_completed_or_removed(result: Result, tmp_path: Path, complete: bool) -> None:
    workshop = leave_behind(result, tmp_path, complete=complete)
    if complete:  # killed after the first of several files had been moved
        (workshop / "ward 7_events.tsv").rename(tmp_path / "ward 7_events.tsv")
    Bundle(tmp_path, "another").check()
    assert names(tmp_path) == (
        [f"ward 7_{end}" for end in ("burden.tsv", "events.tsv", "run.json", "scores.csv")] if complete else []
    )
    write(result, tmp_path)


@pytest.mark.parametrize(("moment", "expected"), [("draw_pictures", 0), ("_complete", 5)])
def test_an_interrupted_run_leaves_all_or_nothing(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, expected: int
) -> None:
    real, calls = getattr(bundle, moment), []

    def interrupt(*arguments: Any, **more: Any) -> Any:
        calls.append(arguments)
        if len(calls) == (2 if moment == "_complete" else 1):
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(bundle, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(replace(result, events=Events((), 40.0)), tmp_path)
    assert len(names(tmp_path)) == expected


def test_what_a_running_process_makes_is_not_touched(result: Result, tmp_path: Path) -> None:
    workshop = leave_behind(result, tmp_path, complete=False)
    before = names(workshop)
    with (workshop / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Bundle(tmp_path, "another").check()
        assert names(workshop) == sorted([*before, "lock"])
    clear_leftovers(tmp_path, "ward 7")
    assert names(tmp_path) == []


def test_a_link_in_place_of_the_working_folder_empties_no_other(result: Result, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (out, elsewhere):
        folder.mkdir()
    (elsewhere / "thesis.txt").write_text("years")
    bundle._workshop_path(out, "ward 7").symlink_to(elsewhere)
    clear_leftovers(out, "ward 7")
    Bundle(out, "another").check()
    with pytest.raises(OutputError, match="is a link"):
        write(result, out, plot="none")
    assert names(elsewhere) == ["thesis.txt"]


def test_leftovers_take_the_place_of_outputs_of_their_recording_alone(result: Result, tmp_path: Path) -> None:
    workshop = leave_behind(result, tmp_path, complete=True)
    (tmp_path / "thesis.txt").write_text("years")
    (workshop / "thesis.txt").write_text("moments")
    report = json.loads((workshop / "ward 7_run.json").read_text())
    report["outputs"]["thesis.txt"] = "0" * 64
    (workshop / "ward 7_run.json").write_text(json.dumps(report))
    clear_leftovers(tmp_path, "ward 7")
    assert (tmp_path / "thesis.txt").read_text() == "years"
    assert (tmp_path / "ward 7_events.tsv").exists()


def test_a_folder_that_cannot_be_written_is_noticed_before_scoring(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"):
        Bundle(tmp_path / "file" / "out", "a").check()
    Bundle(tmp_path / "new" / "out", "a").check()
    assert names(tmp_path) == ["file"]


def test_overview_names_what_was_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_weights: Path) -> None:
    from matplotlib.figure import Figure

    from restcli.output.plots import save

    pages: list[Figure] = []
    begin = save.begin_save

    def keep(figure: Figure, path: Path) -> Callable[[], Path]:
        pages.append(figure)
        return begin(figure, path)

    whole = write_edf(tmp_path / "cut.edf", noise(19, 60, 200), 200).read_bytes()
    (tmp_path / "cut.edf").write_bytes(whole[: len(whole) * 2 // 3])
    result = Detector(load_weights(toy_weights), "cpu").annotate(open_recording(tmp_path / "cut.edf"), Settings())
    monkeypatch.setattr(save, "begin_save", keep)
    write(result, tmp_path / "out", "cut")
    words = [text.get_text() for text in pages[0].texts]
    assert any(text.startswith("Repaired: ") and result.recording.repairs[0][:20] in text for text in words)
