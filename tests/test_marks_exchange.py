"""EDF+, EDFbrowser XML, CSV and JSON: read back by other libraries; annotations with free text are understood."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pyedflib
import pytest
from marks_tables import FOUND, NONE, START, written

from restcli.errors import AnnotationError
from restcli.events import Event, Events
from restcli.marks.registry import read_events, write_events


def test_edf_opens_in_mne_and_pyedflib(tmp_path: Path) -> None:
    path = written(FOUND, tmp_path, "edf")
    marks = mne.read_annotations(path)
    assert marks.onset.tolist() == [10.0, 3010.5]
    assert marks.duration.tolist() == [60.0, 42.0]
    assert list(marks.description) == ["sz | 0.87 | all", "sz_foc_ia | 0.50 | T3,T5"]
    with pyedflib.EdfReader(str(path)) as file:
        onsets, durations, texts = file.readAnnotations()
        assert file.getStartdatetime() == START
        assert file.getPatientName() in {"", "X"} and not file.getPatientCode()
    assert onsets.tolist() == [10.0, 3010.5] and durations.tolist() == [60.0, 42.0]
    assert texts[0].startswith("sz")


def test_edf_lies_beside_a_recording_that_starts_between_two_seconds(tmp_path: Path) -> None:
    late = START + timedelta(milliseconds=250)
    path = written(Events(FOUND.events, 3600.0, late), tmp_path, "edf")
    assert mne.read_annotations(path).onset.tolist() == [10.0, 3010.5]
    assert read_events(path, duration=3600.0).start == late


def test_edf_and_xml_of_nothing_found_hold_one_background_mark(tmp_path: Path) -> None:
    marks = mne.read_annotations(written(NONE, tmp_path, "edf"))
    assert list(marks.description) == ["bckg"] and marks.duration.tolist() == [3600.0]
    # EDFbrowser refuses a list without any annotation
    assert len(ET.parse(written(NONE, tmp_path, "xml")).getroot().findall("annotation")) == 1


def test_edf_without_a_start_is_written_as_anonymised(tmp_path: Path) -> None:
    path = written(Events(FOUND.events, 3600.0), tmp_path, "edf")
    head = path.read_bytes()[:256]
    assert head[8:88].split() == [b"X"] * 4
    assert head[168:184] == b"01.01.8500.00.00"
    assert read_events(path, duration=3600.0).start is None


def test_xml_is_edfbrowsers(tmp_path: Path) -> None:
    path = written(FOUND, tmp_path, "xml")
    assert path.read_bytes().startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<annotationlist>')
    first = ET.parse(path).getroot().find("annotation")
    assert first is not None
    assert first.findtext("onset") == "2016-11-06T13:43:14.0000000"
    assert float(first.findtext("duration") or 0) == 60.0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}", first.findtext("onset") or "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("annotation>", "Annotation>"),
        ("description>", "Description>"),
        ("<description>sz", "<description><i>sz</i>"),
        ("<annotation>", "<group><annotation>"),
        ("<annotationlist>", '<annotationlist xmlns="urn:x">'),
    ],
)
def test_a_mark_in_xml_written_otherwise_does_not_vanish_beside_another(tmp_path: Path, old: str, new: str) -> None:
    path = written(FOUND, tmp_path, "xml")
    begin, _, end = path.read_text().partition("</annotation>")
    text = begin.replace(old, new) + ("</Annotation>" if new == "Annotation>" else "</annotation>")
    path.write_text(text + ("</group>" if "group" in new else "") + end)
    assert [event.onset for event in read_events(path, duration=3600.0, start=START)] == [10.0, 3010.5]


def test_xml_passes_midnight(tmp_path: Path) -> None:
    events = Events((Event(20 * 3600.0, 5.0),), 86400.0, START)
    onset = ET.parse(written(events, tmp_path, "xml")).getroot().findtext("annotation/onset")
    assert onset == "2016-11-07T09:43:04.0000000"


def test_csv_reads_in_csv_and_pandas(tmp_path: Path) -> None:
    path = written(FOUND, tmp_path, "csv")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["clock"] for row in rows] == ["13:43:14", "14:33:14"]
    assert rows[1]["channels"] == "T3,T5"
    assert pd.read_csv(path).onset.tolist() == [10.0, 3010.5]


def test_json_is_plain_and_unrounded(tmp_path: Path) -> None:
    content = json.loads(written(Events((Event(1 / 3, 2.0),), 10.0), tmp_path, "json").read_text())
    assert content["events"] == [
        {"onset": 1 / 3, "duration": 2.0, "eventType": "sz", "confidence": None, "channels": [], "typeConfidence": None}
    ]
    assert content["dateTime"] is None


def edf_with(folder: Path, *marks: tuple[float, float | None, str]) -> Path:
    import edfio

    path = folder / "marked.edf"
    signal = edfio.EdfSignal(np.zeros(256 * 100), 256, label="EEG T3-REF", physical_range=(-1, 1))
    edfio.Edf([signal], annotations=[edfio.EdfAnnotation(*mark) for mark in marks]).write(path)
    return path


def test_marks_inside_a_recording(tmp_path: Path) -> None:
    path = edf_with(tmp_path, (3.0, None, "eyes open"), (10.0, 5.0, "Seizure@@EEG T3-REF"), (40, None, "No seizure"))
    events = read_events(path)
    assert events.duration == 100.0
    assert [(e.onset, e.duration, e.label, e.channels) for e in events] == [(10.0, 5.0, "sz", ("EEG T3-REF",))]


def test_pairs_of_start_and_end(tmp_path: Path) -> None:
    path = edf_with(tmp_path, (10.0, None, "SZ START"), (22.0, None, "sz end"), (50.0, None, "postseizure slowing"))
    assert [(e.onset, e.stop) for e in read_events(path)] == [(10.0, 22.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("sz", "has no length"), ("seizure onset", "never ends"), ("eyes open", "speaks of seizures|no rows")],
)
def test_marks_that_settle_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_events(edf_with(tmp_path, (10.0, None, text)))


@pytest.mark.parametrize("text", ["ictal", "Anfall", "tonic-clonic", "epileptic event"])
def test_remarks_that_may_mean_a_seizure_do_not_vanish_beside_others(tmp_path: Path, text: str) -> None:
    path = edf_with(tmp_path, (10.0, 5.0, "Seizure"), (50.0, 8.0, text), (70.0, 1.0, "interictal spikes"))
    with pytest.raises(AnnotationError, match=r"the annotation at 50\.00 s may mean a seizure"):
        read_events(path)


@pytest.mark.parametrize(
    ("written", "stop"),
    [
        (b"+50\x158,5\x14Seizure left\x14", 58.5),  # comma
        (b"+50\x158.5\x14Seizure\nleft\x14", 58.5),  # two lines
        (b"50.\x158.5\x14Seizure left\x14", 58.5),  # neither sign nor decimals
        (b"5e1\x15.85\x14Seizure left\x14", 50.85),
        (b"+50\x158.5\x14Seizure l\xe4t\x14", 58.5),  # Latin-1
    ],
)
def test_a_mark_spelled_unusually_does_not_vanish_beside_another(tmp_path: Path, written: bytes, stop: float) -> None:
    path = edf_with(tmp_path, (10.0, 5.0, "Seizure"), (50.0, 8.5, "Seizure left"))
    content = path.read_bytes()
    assert content.count(b"+50\x158.5\x14Seizure left\x14") == 1
    path.write_bytes(content.replace(b"+50\x158.5\x14Seizure left\x14", written))
    assert [(event.onset, event.stop) for event in read_events(path)] == [(10.0, 15.0), (50.0, stop)]


@pytest.mark.parametrize(
    "written",
    [b"+50\x15   \x14Seizure left\x14", b"+50\x15-.5\x14Seizure left\x14", b"+5?\x158.5\x14Seizure left\x14"],
)
def test_a_mark_without_a_length_or_a_time_does_not_vanish_beside_another(tmp_path: Path, written: bytes) -> None:
    path = edf_with(tmp_path, (10.0, 5.0, "Seizure"), (50.0, 8.5, "Seizure left"))
    path.write_bytes(path.read_bytes().replace(b"+50\x158.5\x14Seizure left\x14", written))
    with pytest.raises(AnnotationError, match=r"has no length|cannot be read"):
        read_events(path)


def test_a_first_time_stamp_beyond_all_calendars_moves_no_mark(tmp_path: Path) -> None:
    path = edf_with(tmp_path, (10.0, 5.0, "Seizure"))
    path.write_bytes(path.read_bytes().replace(b"+0\x14\x14\0\0\0", b"1e99\x14\x14\0", 1))
    assert b"1e99" in path.read_bytes()
    assert [event.onset for event in read_events(path, duration=100.0)] == [10.0]


def test_the_first_mark_of_a_record_without_a_time_stamp_is_kept(tmp_path: Path) -> None:
    path = edf_with(tmp_path, (10.0, 5.0, "Seizure"), (50.0, 8.5, "Seizure left"))
    path.write_bytes(path.read_bytes().replace(b"+50\x14\x14\0+50", b"\0" * 6 + b"+50"))
    assert [event.onset for event in read_events(path)] == [10.0, 50.0]


def test_the_technologists_marks_of_the_real_absences(shared_eeg: Path) -> None:
    events = read_events(shared_eeg / "absence" / "absence.edf")
    spans = [(1380.512, 1384.246), (1416.897, 1422.843), (1476.933, 1483.269)]
    assert [(e.onset, pytest.approx(e.stop)) for e in events] == spans
    assert events.duration == 1811.0


def test_a_real_recording_without_seizure_marks_is_unknown(shared_eeg: Path) -> None:
    with pytest.raises(AnnotationError):
        read_events(shared_eeg / "eegmat" / "Subject12_1.edf")


def test_a_recording_with_gaps_leaves_its_length_to_the_recording(tmp_path: Path) -> None:
    path = edf_with(tmp_path, (10.0, 5.0, "Seizure"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"EDF+C", b"EDF+D", 1))
    assert read_events(path, duration=5000.0).duration == 5000.0
    with pytest.raises(AnnotationError, match="does not say how long"):
        read_events(path)


def test_xml_needs_the_start(tmp_path: Path) -> None:
    path = written(FOUND, tmp_path, "xml")
    with pytest.raises(AnnotationError, match="onsets are clock times"):
        read_events(path, duration=3600.0)


@pytest.mark.parametrize("year", [1923, 1984, 2085, 2191])
def test_a_date_that_edf_cannot_hold_is_written_as_unknown_and_reported(tmp_path: Path, year: int) -> None:
    start = START.replace(year=year)
    path = tmp_path / "x_events.edf"
    remark = write_events(Events(FOUND.events, 3600.0, start), path, "edf")
    assert remark == f"the date {year}-11-06 is written as unknown: EDF+ holds 1985 to 2084"
    assert path.read_bytes()[168:184] == b"01.01.8513.43.04"
    again = read_events(path, duration=3600.0)
    assert again.start is None and [event.onset for event in again] == [10.0, 3010.5]
    assert write_events(FOUND, path, "edf") == ""


@pytest.mark.parametrize("year", [1923, 2191])
@pytest.mark.parametrize("kind", ["tsv", "csv", "csv_bi", "xml", "json"])
def test_other_formats_hold_any_date(tmp_path: Path, year: int, kind: str) -> None:
    start = START.replace(year=year)
    again = read_events(written(Events(FOUND.events, 3600.0, start), tmp_path, kind), duration=3600.0, start=start)
    assert again.start == start and [event.onset for event in again] == [10.0, 3010.5]


def test_a_long_recording_without_a_start_comes_back_from_xml(tmp_path: Path) -> None:
    events = Events((Event(90_000.0, 60.0),), 100_000.0)
    (event,) = read_events(written(events, tmp_path, "xml"), duration=100_000.0)
    assert (event.onset, event.duration) == (90_000.0, 60.0)


def test_a_remark_on_the_background_does_not_say_that_somebody_looked_for_seizures(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no row speaks of seizures|has no rows"):
        read_events(edf_with(tmp_path, (10.0, None, "Background"), (20.0, 5.0, "background")))
