"""Evaluations of events, files and folders."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from restcli.errors import AnnotationError, UsageError
from restcli.evaluation.files import _cases, evaluate
from restcli.evaluation.scoring import Tally
from restcli.events import Event, Events, Span
from restcli.files import sha256_of
from restcli.marks.registry import write_events

HOUR = 3600.0
DRAWS = 100


def events(*spans: tuple[float, float], duration: float = HOUR, label: str = "sz") -> Events:
    return Events(tuple(Event(a, b - a, label) for a, b in spans), duration)


def tree(root: Path, found: dict[str, Events], kind: str = "tsv", *, stem: str = "_events") -> Path:
    for name, one in found.items():
        path = root / f"{name}{stem}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_events(one, path, kind)
    return root


def test_two_files(tmp_path: Path) -> None:
    write_events(events((500, 560)), tmp_path / "expert.tsv", "tsv")
    write_events(events((510, 550), (2000, 2010)), tmp_path / "found.csv_bi", "csv_bi")
    result = evaluate(tmp_path / "expert.tsv", tmp_path / "found.csv_bi", n_draws=DRAWS)
    assert result.patients[0].event == Tally(1, 1, 1, HOUR)
    assert result.delays.tolist() == [10.0]


@pytest.mark.parametrize("kind", ["xml", "edf"])
def test_a_file_without_duration_takes_the_other_sides(tmp_path: Path, kind: str) -> None:
    write_events(events((500, 560)), tmp_path / f"expert.{kind}", kind)
    write_events(events((510, 550)), tmp_path / "found.tsv", "tsv")
    for pair in ((f"expert.{kind}", "found.tsv"), ("found.tsv", f"expert.{kind}")):
        assert evaluate(*(tmp_path / name for name in pair), n_draws=DRAWS).patients[0].event.found == 1
    with pytest.raises(AnnotationError, match="does not say how long the recording is"):
        evaluate(tmp_path / f"expert.{kind}", tmp_path / f"expert.{kind}", n_draws=DRAWS)


def test_expert_marks_and_detections_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    tree(tmp_path, {"x": events((500, 560))}, "csv_bi", stem="")
    tree(tmp_path, {"x": events()})
    table = tmp_path / "x_events.tsv"
    (tmp_path / "x_run.json").write_text(json.dumps({"outputs": {table.name: sha256_of(table)}}))
    result = evaluate(tmp_path, tmp_path, n_draws=DRAWS)
    assert (result.patients[0].event.expert, result.patients[0].event.found, result.notes) == (1, 0, ())
    (tmp_path / "x.csv_bi").unlink()
    notes = evaluate(tmp_path, tmp_path, n_draws=DRAWS).notes
    assert "1 table on the expert's side is what restcli detected (x_events.tsv)" in notes


def test_mirrored_trees(tmp_path: Path) -> None:
    marks = {
        "sub-01/ses-01/eeg/sub-01_ses-01_run-00": events((500, 560)),
        "sub-01/ses-02/eeg/sub-01_ses-02_run-00": events((500, 560), (900, 960)),
        "sub-02/ses-01/eeg/sub-02_ses-01_run-00": events(),
    }
    found = {name: events((500, 560)) for name in marks} | {"sub-09/x": events()}
    expert = tree(tmp_path / "expert", marks)
    (expert / "participants.tsv").write_text("participant_id\tage\nsub-01\t5\n")
    (expert / "sub-01" / "x_channels.tsv").write_text("name\ttype\n")
    (expert / "dataset_description.json").write_text("{}")
    detected = tree(tmp_path / "found", found, stem="_eeg_events")
    tree(detected, {name: events() for name in marks}, "json", stem="_eeg_events")  # the table goes before the JSON
    (detected / "sub-01" / "x_scores.csv").write_text("time,probability\n")
    result = evaluate(expert, detected, n_draws=DRAWS)
    assert [(row.patient, row.n_recordings, row.event) for row in result.patients] == [
        ("sub-01", 2, Tally(3, 2, 0, 7200.0)),
        ("sub-02", 1, Tally(0, 0, 1, HOUR)),
    ]
    assert result.notes[-1] == "1 recordings with detected events left out: no expert marks"


def test_names_with_dots_and_streams_and_datasets_are_told_apart(tmp_path: Path) -> None:
    names = ("PN10/PN10-4.5.6", "PN10/PN10-7.8.9", "dev/aaaaaaac/s001/aaaaaaac_s001_t000", "chb21/chb21_01")
    detected = tree(tmp_path / "found", {name: events((510, 550)) for name in names})
    expert = tree(tmp_path / "expert", {name: events((500, 560)) for name in names[:3]})
    words = [(32 << 10) | 0, (59 << 10), 0, 256 * 60, (33 << 10), 0]  # a seizure from 0 to 60 s
    (expert / "chb21").mkdir()
    (expert / "chb21" / "chb21_01.edf.seizures").write_bytes(b"".join(w.to_bytes(2, "little") for w in words))
    result = evaluate(expert, detected, n_draws=DRAWS)
    assert [(row.patient, row.n_recordings) for row in result.patients] == [("PN10", 2), ("aaaaaaac", 1), ("chb01", 1)]
    assert result.patients[2].event == Tally(1, 0, 1, HOUR)


def test_a_recording_without_detections_is_not_one_without_seizures(tmp_path: Path) -> None:
    expert = tree(tmp_path / "expert", {"a/x": events((5, 15)), "b/y": events()})
    detected = tree(tmp_path / "found", {"b/y": events()})
    with pytest.raises(AnnotationError, match="no events for 1 of 2 recordings: a/x"):
        evaluate(expert, detected)
    result = evaluate(expert, detected, skip_missing=True, n_draws=DRAWS)
    assert "1 of 2 recordings left out: no detected events (a/x, ...)" in result.notes
    assert math.isnan(result.value("sensitivity", "event+pooled"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="no events for 2 of 2"):
        evaluate(expert, tmp_path / "empty", skip_missing=True)
    with pytest.raises(AnnotationError, match="no tables of events"):
        evaluate(tmp_path / "empty", detected)
    with pytest.raises(UsageError, match="one is a file, the other a folder"):
        evaluate(expert, detected / "b" / "y_events.tsv")


def test_a_header_only_table_is_an_error_and_not_nothing_found(tmp_path: Path) -> None:
    write_events(events((5, 15)), tmp_path / "a.tsv", "tsv")
    (tmp_path / "b.tsv").write_text((tmp_path / "a.tsv").read_text().splitlines()[0] + "\n")
    with pytest.raises(AnnotationError, match=r"b.tsv: the table has no rows"):
        evaluate(tmp_path / "a.tsv", tmp_path / "b.tsv")


def test_lengths_that_differ_by_rounding_are_settled_and_said_and_others_refused(tmp_path: Path) -> None:
    write_events(events((5, 15), duration=3600.0), tmp_path / "a.tsv", "tsv")
    write_events(events((5, 15), (3590, 3600.4), duration=3600.4), tmp_path / "b.tsv", "tsv")
    write_events(events((5, 15), duration=3599.9), tmp_path / "c.tsv", "tsv")
    write_events(events((5, 15), duration=3602.0), tmp_path / "d.tsv", "tsv")
    assert not evaluate(tmp_path / "a.tsv", tmp_path / "b.tsv", n_draws=DRAWS).notes
    result = evaluate(tmp_path / "a.tsv", tmp_path / "c.tsv", n_draws=DRAWS)
    assert "expert's 3600.00 s used, detections say 3599.90 s" in result.notes[0]
    assert result.patients[0].event.found == 1
    with pytest.raises(AnnotationError, match=r"d.tsv: these events are of a recording of 3602.00 s"):
        evaluate(tmp_path / "a.tsv", tmp_path / "d.tsv")


def test_real_tusz_tables_against_themselves(shared_eeg: Path) -> None:
    folder = shared_eeg / "edf_quirks" / "epilepsy2bids" / "tests" / "data" / "tuh" / "dev"
    result = evaluate(folder, folder, n_draws=DRAWS)
    assert result.value("sensitivity", "event+pooled") == 1.0
    assert result.value("F1", "sample+pooled") == 1.0
    assert result.value("median onset delay, s", "delay") <= 0.0
    assert {row.patient for row in result.patients} == {"aaaaahln", "aaaaaool"}


def test_events_in_memory() -> None:
    result = evaluate(events((500, 560)), events((510, 550), (2000, 2010)), n_draws=DRAWS)
    assert result.value("sensitivity", "event+pooled") == 1.0
    assert result.patients[0].event == Tally(1, 1, 1, HOUR)
    with pytest.raises(UsageError, match="both sides of the same kind"):
        evaluate(events(), Path("detected.tsv"))
    with pytest.raises(AnnotationError, match=r"recording of 60.00 s"):
        evaluate(events(), events(duration=60.0))


def test_what_was_not_scored_stays_when_lengths_differ_by_less_than_a_second() -> None:
    detected = Events((Event(50.0, 4.0),), 180.4, unscored=(Span(90.0, 100.0, "gap"), Span(170.0, 180.4, "flat")))
    (case,), _ = _cases(Events((Event(50.0, 4.0),), 180.0), detected, False)
    assert [(span.start, span.stop) for span in case.detected.unscored] == [(90.0, 100.0), (170.0, 180.0)]


def test_types_that_are_not_about_seizures_are_listed(tmp_path: Path) -> None:
    head = "onset\tduration\teventType\trecordingDuration\n"
    (tmp_path / "a.tsv").write_text(f"{head}50\t4\tsz\t180\n90\t4\timpd\t180\n99\t4\tchewing\t180\n")
    (tmp_path / "b.tsv").write_text(f"{head}50\t4\tsz\t180\n")
    notes = evaluate(tmp_path / "a.tsv", tmp_path / "b.tsv", n_draws=DRAWS).notes
    assert notes == ("rows of these types in the experts' tables are not about seizures: chewing, impd",)
