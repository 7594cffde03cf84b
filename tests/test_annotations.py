"""Event tables: each form is read back by another library and by our own reader; real marks are understood."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import re
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pyedflib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timescoring.annotations import Annotation
from timescoring.scoring import SampleScoring

from restcli.errors import AnnotationError, OutputError
from restcli.events import Event, Events
from restcli.marks import annotations as room
from restcli.marks.annotations import (
    KINDS,
    parse_wfdb,
    read_chbmit_summary,
    read_events,
    read_siena_list,
    write_events,
    write_whole,
)

START = datetime(2016, 11, 6, 13, 43, 4)
FOUND = Events(
    (
        Event(10.0, 60.0, "sz", 0.87, ("all",)),
        Event(3010.5, 42.0, "sz_foc_ia", 0.5, ("T3", "T5"), 0.75),
    ),
    3600.0,
    START,
)
NONE = Events((), 3600.0, START)


@pytest.fixture
def marks(shared_eeg: Path) -> Path:
    return shared_eeg / "edf_quirks" / "epilepsy2bids" / "tests" / "data"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def written(events: Events, folder: Path, kind: str) -> Path:
    path = folder / f"night_events.{kind}"
    write_events(events, path, kind)
    return path


# ------------------------------------------------------------------------------------------ SzCORE


def test_tsv_has_exactly_szcores_bytes(tmp_path: Path) -> None:
    assert written(FOUND, tmp_path, "tsv").read_bytes() == (
        b"onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
        b"10.00\t60.00\tsz\t0.87\tall\t2016-11-06 13:43:04\t3600.00\n"
        b"3010.50\t42.00\tsz_foc_ia\t0.50\tT3,T5\t2016-11-06 13:43:04\t3600.00\n"
    )


def test_tsv_says_that_nothing_was_found(tmp_path: Path) -> None:
    lines = written(NONE, tmp_path, "tsv").read_text().splitlines()
    assert lines[1:] == ["0.00\t3600.00\tbckg\tn/a\tn/a\t2016-11-06 13:43:04\t3600.00"]


def test_tsv_spells_what_is_not_known_as_n_a(tmp_path: Path) -> None:
    path = written(Events((Event(1.0, 2.0),), 10.0), tmp_path, "tsv")
    assert path.read_text().splitlines()[1] == "1.00\t2.00\tsz\tn/a\tn/a\tn/a\t10.00"
    frame = pd.read_csv(path, delimiter="\t")
    assert frame.confidence.isna().all()


@pytest.mark.parametrize(
    ("duration", "printed"),
    [(3600.0, "3600.00"), (3599.999, "3599.999"), (600.125, "600.125"), (86399.9999, "86399.9999"), (0.5, "0.50")],
)
def test_recording_duration_floors_as_the_file_does(tmp_path: Path, duration: float, printed: str) -> None:
    path = written(Events((), duration), tmp_path, "tsv")
    last = path.read_text().splitlines()[1].split("\t")[-1]
    assert last == printed
    assert int(float(last)) == int(duration)


def test_tsv_scores_perfectly_against_itself_in_timescoring(tmp_path: Path) -> None:
    frame = pd.read_csv(written(FOUND, tmp_path, "tsv"), delimiter="\t")
    mask = np.zeros(int(frame.recordingDuration[0]), dtype=bool)
    for onset, length in zip(frame.onset, frame.duration, strict=True):
        mask[int(onset) : int(onset + length)] = True
    truth = Annotation([(event.onset, event.stop) for event in FOUND], 10, 36000)
    result = SampleScoring(truth, Annotation(mask, 1), 1)
    # 3010.5 to 3052.5 floors to one second earlier on the whole-second grid
    assert (result.tp, result.fp, result.refTrue) == (102, 0, 102) or abs(result.tp - result.refTrue) <= 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.floats(0.02, 40.0), min_size=2, max_size=8),
    st.floats(0.0, 0.99999),
    st.floats(1.5, 40.0),
)
def test_tsv_events_survive_the_scorers_whole_seconds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[float], part: float, rest: float
) -> None:
    times = np.cumsum([part, *steps])
    duration = float(times[-1]) + rest
    pairs = zip(times[::2], times[1::2], strict=False)
    events = Events(tuple(Event(float(a), float(b - a)) for a, b in pairs), duration)
    path = written(events, tmp_path_factory.mktemp("t"), "tsv")
    frame = pd.read_csv(path, delimiter="\t")
    assert (frame.duration >= 0.995).all()
    assert (frame.onset + frame.duration <= duration + 1e-9).all()
    for onset, length in zip(frame.onset, frame.duration, strict=True):
        assert int(min(onset + length, int(duration))) - int(onset) >= 1
    for event in events:  # nothing was lost
        assert ((frame.onset <= event.stop + 0.011) & (frame.onset + frame.duration >= event.onset - 0.011)).any()


def test_a_short_event_becomes_one_second_around_its_middle(tmp_path: Path) -> None:
    path = written(Events((Event(110.2, 0.7),), 3600.0), tmp_path, "tsv")
    assert path.read_text().splitlines()[1].startswith("110.05\t1.00\tsz")


@pytest.mark.parametrize("kind", ["csv", "csv_bi", "edf", "xml", "json"])
def test_other_forms_keep_a_short_event(tmp_path: Path, kind: str) -> None:
    path = written(Events((Event(110.2, 0.7),), 3600.0, START), tmp_path, kind)
    (event,) = read_events(path, duration=3600.0, start=START)
    assert (event.onset, event.duration) == pytest.approx((110.2, 0.7), abs=1e-6)


# ----------------------------------------------------------------------------- the other forms


def test_csv_bi_tiles_the_recording_as_tusz_does(tmp_path: Path) -> None:
    path = tmp_path / "night.csv_bi"
    write_events(FOUND, path, "csv_bi")
    assert path.read_text() == (
        "# version = csv_v1.0.0\n# bname = night\n# duration = 3600.0000 secs\n"
        "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n#\n"
        "channel,start_time,stop_time,label,confidence\n"
        "TERM,0.0000,10.0000,bckg,1.0000\n"
        "TERM,10.0000,70.0000,seiz,0.8700\n"
        "TERM,70.0000,3010.5000,bckg,1.0000\n"
        "TERM,3010.5000,3052.5000,seiz,0.5000\n"
        "TERM,3052.5000,3600.0000,bckg,1.0000\n"
    )
    frame = pd.read_csv(path, comment="#")
    assert (frame.start_time.to_numpy()[1:] == frame.stop_time.to_numpy()[:-1]).all()


def test_csv_bi_has_the_header_of_a_real_one(tmp_path: Path, marks: Path) -> None:
    real = next((marks / "tuh").rglob("*.csv_bi")).read_text().splitlines()[:6]
    ours = written(FOUND, tmp_path, "csv_bi").read_text().splitlines()[:6]
    keys = [[line.split("=")[0] for line in lines] for lines in (real, ours)]
    assert keys[0] == keys[1]
    assert real[3] == ours[3]


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("events", [FOUND, NONE], ids=["found", "none"])
def test_every_form_comes_back(tmp_path: Path, kind: str, events: Events) -> None:
    again = read_events(written(events, tmp_path, kind), duration=3600.0, start=START)
    assert again.duration == 3600.0 and again.start == START
    assert [(event.onset, event.duration) for event in again] == [(event.onset, event.duration) for event in events]
    if kind != "csv_bi":
        assert [event.label for event in again] == [event.label for event in events]
        assert [event.channels for event in again] == [event.channels for event in events]
    assert [event.confidence for event in again] == [event.confidence for event in events]
    if kind in {"csv", "json"}:
        assert repr(again) == repr(events)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_events_give_the_same_bytes(tmp_path: Path, kind: str) -> None:
    assert written(FOUND, tmp_path, kind).read_bytes() == written(FOUND, tmp_path, kind).read_bytes()


# ------------------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / f"night.{kind}"
    path.write_bytes(b"before")
    monkeypatch.setattr(room.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_events(FOUND, path, kind)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == [path.name]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "x", b"x")
    assert names(tmp_path) == []


def test_a_missing_folder_or_a_folder_as_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere.*: No such file"):
        write_events(FOUND, tmp_path / "nowhere" / "x.tsv", "tsv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    with pytest.raises(OutputError):
        write_events(FOUND, tmp_path / "folder", "tsv")
    assert names(tmp_path) == ["folder"]


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *args: object, **keywords: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(OutputError, match=r"Permission denied\. Expected a folder that can be written to"):
        write_events(FOUND, tmp_path / "x.tsv", "tsv")
    with pytest.raises(AnnotationError, match="Permission denied"):
        read_events(tmp_path / "x.tsv")
    assert names(tmp_path) == []


def test_an_unknown_kind_or_type_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="unknown kind 'mat'"):
        write_events(FOUND, tmp_path / "x", "mat")
    with pytest.raises(OutputError, match="event type 'sz-foc'"):
        write_events(Events((Event(1.0, 2.0, "sz-foc"),), 10.0), tmp_path / "x", "tsv")
    assert names(tmp_path) == []


# ----------------------------------------------------------------------------------- reading


def table(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"


def test_a_table_without_rows_is_unknown_and_a_bckg_row_is_none_found(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no rows\. .*bckg"):
        read_events(table(tmp_path, "a.tsv", HEADER), duration=100.0)
    found = read_events(table(tmp_path, "b.tsv", HEADER + "0\t100\tbckg\tn/a\tn/a\tn/a\t100\n"))
    assert found == Events((), 100.0)


def test_a_table_that_speaks_of_other_things_only_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no row that speaks of seizures"):
        read_events(table(tmp_path, "a.tsv", HEADER + "0\t5\timpd\tn/a\tn/a\tn/a\t100\n"))


def test_overlapping_rows_become_one_event(tmp_path: Path) -> None:
    rows = "20\t10\tsz\tn/a\tn/a\tn/a\t100\n5\t20\tsz_foc\t0.3\tT3\tn/a\t100\n"
    (event,) = read_events(table(tmp_path, "a.tsv", HEADER + rows))
    assert (event.onset, event.stop, event.label, event.channels) == (5.0, 30.0, "sz", ("T3",))


def test_hyphens_of_the_documentation_and_hospital_spellings_are_taken(tmp_path: Path) -> None:
    rows = "5\t20\tsz-foc-ia\tNA\t\t\t100\r\n\r\n50\t20\tSeizure\tn/a\tn/a\tn/a\t100\n"
    first, second = read_events(table(tmp_path, "a.tsv", HEADER + rows))
    assert (first.label, second.label) == ("sz_foc_ia", "sz")
    assert math.isnan(first.confidence)


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    text = "# made by hand\nonset,duration,trial_type\n5,20,sz\n"
    (event,) = read_events(table(tmp_path, "a.csv", text), duration=60.0)
    assert (event.onset, event.duration) == (5.0, 20.0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("5\tlong\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: 'long' where a number"),
        ("1\t1\tsz\tn/a\tn/a\tn/a\t100\n5\t20\tsz\n", "line 3: too few or too many cells"),
        ("90\t20\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a seizure that ends at 110.00 s\\. .* 100.00 s"),
        ("-5\t20\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a seizure from -5.00"),
        ("5\tn/a\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a time that is no number"),
        ("5\t0\tsz\tn/a\tn/a\tn/a\t100\n", "line 2: a seizure without length"),
        ("1\t1\tsz\tn/a\tn/a\tn/a\t100\n5\t2\tsz\tn/a\tn/a\tn/a\t200\n", "several recordingDuration"),
        ("5\t20\tsz\tn/a\tn/a\tn/a\tn/a\n", "no duration of the recording"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_events(table(tmp_path, "a.tsv", HEADER + rows))


def test_a_table_of_another_recording_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a.tsv", HEADER + "0\t100\tbckg\tn/a\tn/a\tn/a\t100\n")
    assert read_events(path, duration=100.9).duration == 100.9
    with pytest.raises(AnnotationError, match=r"marks of a recording of 100.00 s. Expected marks of one of 101.50 s"):
        read_events(path, duration=101.5)


def test_a_rounded_end_is_clipped_to_the_recording(tmp_path: Path) -> None:
    path = table(tmp_path, "a.tsv", HEADER + "90\t10\tsz\tn/a\tn/a\tn/a\t100\n")
    (event,) = read_events(path, duration=99.6)
    assert event.stop == pytest.approx(99.6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"", "an empty file"),
        ("a.tsv", b" \n\n", "an empty file"),
        ("a.txt", b"hello\n", "in a form that is not known"),
        ("a.tsv", b"onset\tduration\n1\t2\n", "no column eventType"),
        ("a.json", b'{"events": []}', "JSON of another kind"),
        ("a.json", b"{", "JSON of another kind"),
        ("a.xml", b"<?xml version='1.0'?><a>", "XML of another kind"),
        ("a.edf", b"0       " + b" " * 500, "annotations that cannot be read"),
        ("a.edf.seizures", b"\x00\xec\x0b", "stops in the middle"),
        ("a.edf.seizures", bytes.fromhex("00840000"), r"unpaired '\]'"),
        ("a.edf.seizures", bytes.fromhex("00800000"), "never ends"),
        ("x-summary.txt", b"Data Sampling Rate: 256 Hz\n", "Give the folder"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        read_events(tmp_path / name, duration=100.0)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no\.tsv: No such file"):
        read_events(tmp_path / "no.tsv")


# ------------------------------------------------------------------------------------- TUSZ


TUSZ = (
    "# version = csv_v1.0.0\n# bname = aaaaaaac_s001_t000\n# duration = 301.00 secs\n"
    "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n#\n"
    "channel,start_time,stop_time,label,confidence\n"
)


def test_tusz_csv_is_the_union_over_channels(tmp_path: Path) -> None:
    rows = (
        "FP1-F7,0.0000,36.8868,bckg,1.0000\nFP1-F7,36.8868,183.3055,cpsz,1.0000\n"
        "F7-T3,30.0000,100.0000,cpsz,1.0000\nT3-T5,200.0000,210.0000,tnsz,1.0000\nT3-T5,209.0,220.0,gnsz,0.9\n"
    )
    first, second = read_events(table(tmp_path, "a.csv", TUSZ + rows))
    assert (first.onset, first.stop, first.label) == (30.0, 183.3055, "sz_foc_ia")
    assert set(first.channels) == {"FP1-F7", "F7-T3"}
    assert (second.onset, second.stop, second.label) == (200.0, 220.0, "sz")


@pytest.mark.parametrize(("theirs", "ours"), room._TUSZ_TYPES.items())
def test_tusz_types_are_mapped(tmp_path: Path, theirs: str, ours: str) -> None:
    (event,) = read_events(table(tmp_path, "a.csv", f"{TUSZ}FP1-F7,1.0,5.0,{theirs.upper()},1.0\n"))
    assert event.label == ours


def test_tusz_artefacts_are_not_seizures_and_unknown_labels_are_refused(tmp_path: Path) -> None:
    assert len(read_events(table(tmp_path, "a.csv", TUSZ + "FP1-F7,1.0,5.0,eyem,1.0\n"))) == 0
    with pytest.raises(AnnotationError, match="line 7: label 'zzzz'"):
        read_events(table(tmp_path, "b.csv", TUSZ + "FP1-F7,1.0,5.0,zzzz,1.0\n"))


def test_tusz_rows_without_length_are_dropped_beside_others(tmp_path: Path) -> None:
    events = read_events(table(tmp_path, "a.csv_bi", TUSZ + "TERM,0.0,0.0,seiz,1.0\nTERM,5.0,9.0,seiz,1.0\n"))
    assert [(event.onset, event.stop) for event in events] == [(5.0, 9.0)]


def test_tse_and_lbl_of_version_1_5(tmp_path: Path) -> None:
    tse = "version = tse_v1.0.0\n\n0.0000 10.2775 bckg 1.0000\n10.2775 35.7750 gnsz 1.0000\n35.7750 60.0 bckg 1.0000\n"
    events = read_events(table(tmp_path, "a.tse", tse))
    assert [(e.onset, e.stop, e.label) for e in events] == [(10.2775, 35.775, "sz_gen")]
    assert events.duration == 60.0
    lbl = (
        "version = lbl_v1.0.0\n\nmontage = 0, FP1-F7: EEG FP1-REF -- EEG F7-REF\n"
        "montage = 1, F7-T3: EEG F7-REF -- EEG T3-REF\nnumber_of_levels = 1\nlevel[0] = 3\n"
        "symbols[0] = {0: '(null)', 1: 'bckg', 2: 'fnsz'}\n"
        "label = {0, 0, 0.0000, 10.0000, 0, [0.0, 1.0, 0.0]}\nlabel = {0, 0, 10.0000, 30.0000, 0, [0.0, 0.0, 1.0]}\n"
        "label = {0, 0, 12.0000, 33.0000, 1, [0.0, 0.0, 1.0]}\nlabel = {0, 0, 33.0000, 60.0000, 1, [0.0, 1.0, 0.0]}\n"
    )
    (event,) = read_events(table(tmp_path, "a.lbl", lbl))
    assert (event.onset, event.stop, event.label, event.channels) == (10.0, 33.0, "sz_foc", ("FP1-F7", "F7-T3"))
    with pytest.raises(AnnotationError, match="line 8: a line that is not lbl"):
        read_events(table(tmp_path, "b.lbl", lbl.replace("10.0000, 0, [0.0, 1.0, 0.0]}", "10.0000, 0, [0.0")))


def test_all_real_tusz_tables_are_read(marks: Path) -> None:
    files = sorted((marks / "tuh").rglob("*.csv_bi"))
    assert len(files) == 102
    seizures = 0
    for path in files:
        events = read_events(path)
        frame = pd.read_csv(path, comment="#")
        theirs = frame[(frame.label == "seiz") & (frame.stop_time > frame.start_time)]
        total = sum(event.duration for event in events)
        assert total == pytest.approx(float((theirs.stop_time - theirs.start_time).sum()), abs=1e-6)
        seizures += len(events)
    assert seizures > 100


# ------------------------------------------------------------------------------------ SeizeIT


def test_real_seizeit_tables(marks: Path) -> None:
    folder = marks / "seizeit"
    (event,) = read_events(folder / "P_ID83" / "P_ID83_r10_a1.tsv", duration=3600.0)
    assert (event.onset, event.stop, event.label) == (404.0, 457.0, "sz_foc_ia")
    assert len(read_events(folder / "P_ID64" / "P_ID64_r6_a1.tsv", duration=3600.0)) == 0
    with pytest.raises(AnnotationError, match="no duration of the recording"):
        read_events(folder / "P_ID64" / "P_ID64_r6_a1.tsv")


def test_a_seizeit_seizure_without_end_lasts_half_a_minute_with_low_confidence(marks: Path) -> None:
    path = marks / "seizeit" / "P_ID64" / "P_ID64_r1_a1.tsv"
    (event,) = read_events(path, duration=40000.0)
    assert (event.onset, event.duration, event.confidence) == (8971.0, 30.0, 0.5)
    (event,) = read_events(path, duration=8980.0)
    assert event.stop == 8980.0


# ------------------------------------------------------------------------------- EDF+ annotations


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
    [("sz", "without a length"), ("seizure onset", "never ends"), ("eyes open", "speaks of seizures|no rows")],
)
def test_marks_that_settle_nothing_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read_events(edf_with(tmp_path, (10.0, None, text)))


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
    with pytest.raises(AnnotationError, match="no duration"):
        read_events(path)


def test_xml_needs_the_start(tmp_path: Path) -> None:
    path = written(FOUND, tmp_path, "xml")
    with pytest.raises(AnnotationError, match="onsets as clock times"):
        read_events(path, duration=3600.0)


# ------------------------------------------------------------------------------------ CHB-MIT


CHB01_03 = bytes.fromhex("00ec0b0000b4008000ec0000002800840000")  # the real chb01_03.edf.seizures


def test_seizures_file_of_chb01_03(tmp_path: Path) -> None:
    path = tmp_path / "chb01_03.edf.seizures"
    path.write_bytes(CHB01_03)
    (event,) = read_events(path, duration=3600.0)
    assert (event.onset, event.stop, event.label) == (2996.0, 3036.0, "sz")


def test_wfdb_stream_with_small_steps_and_texts() -> None:
    words = [(22 << 10) | 0, (63 << 10) | 23]
    stream = b"".join(word.to_bytes(2, "little") for word in words) + b"## time resolution: 128\0"
    stream += b"".join(word.to_bytes(2, "little") for word in [(32 << 10) | 1023, (60 << 10) | 2, (33 << 10) | 257, 0])
    assert parse_wfdb(stream) == [(0.0, "22"), (1023 / 128, "["), (10.0, "]")]


def test_real_summary_of_chb08(marks: Path) -> None:
    found = read_chbmit_summary(marks / "chbmit" / "chb08" / "chb08-summary.txt")
    assert {name: [(e.onset, e.stop) for e in events] for name, events in found.items() if len(events)} == {
        "chb08_02.edf": [(2670, 2841)],
        "chb08_05.edf": [(2856, 3046)],
        "chb08_11.edf": [(2988, 3122)],
        "chb08_13.edf": [(2417, 2577)],
        "chb08_21.edf": [(2083, 2347)],
    }
    assert len(found) == 20
    assert {found[name].duration for name in ("chb08_14.edf", "chb08_15.edf", "chb08_29.edf")} == {3600.0, 3623.0}


SUMMARY = """Data Sampling Rate: 256 Hz
*************************
Channels in EDF Files:
Channel 1: FP1-F7

File Name: chb09_08.edf
File Start Time: 23:30:00
File End Time: 26:30:00
Number of Seizures in File: 2
Seizure 1 Start Time: 2951 seconds
Seizure 1 End Time:   3030 seconds
Seizure 2 Start Time: 9196 seconds
Seizure 1 End Time:   9267 seconds

Channels changed:
Channel 1: F7
File Name: chb24_01.edf
Number of Seizures in File: 1
Seizure Start Time: 417 seconds
Seizure End Time: 532 seconds

File Name: chb24_02.edf
Number of Seizures in File: 0
"""


def test_oddities_of_summaries(tmp_path: Path) -> None:
    found = read_chbmit_summary(table(tmp_path, "s.txt", SUMMARY))
    assert [(e.onset, e.stop) for e in found["chb09_08.edf"]] == [(2951, 3030), (9196, 9267)]
    assert found["chb09_08.edf"].duration == 3 * 3600
    assert math.isnan(found["chb24_01.edf"].duration) and len(found["chb24_01.edf"]) == 1
    assert len(found["chb24_02.edf"]) == 0


def test_a_summary_whose_count_does_not_fit_is_refused(tmp_path: Path) -> None:
    for wrong in (
        SUMMARY.replace("Seizure End Time: 532 seconds\n", ""),
        SUMMARY.replace("in File: 2", "in File: 3"),
        SUMMARY.replace("Number of Seizures in File: 0\n", ""),
    ):
        with pytest.raises(AnnotationError, match=r"s.txt, line \d+: \d seizures where (\d|None) are announced"):
            read_chbmit_summary(table(tmp_path, "s.txt", wrong))
    with pytest.raises(AnnotationError, match="line 10: 'soon'"):
        read_chbmit_summary(table(tmp_path, "s.txt", SUMMARY.replace("2951", "soon")))
    with pytest.raises(AnnotationError, match="no 'File Name:' line"):
        read_chbmit_summary(table(tmp_path, "s.txt", "hello"))


# -------------------------------------------------------------------------------------- Siena


def siena(file: str, registration: str, seizure: tuple[str, str], end: str = "23.59.59") -> str:
    return (
        f"Seizure n 1 (in sleep):\nFile name: {file} \nRegistration start time:{registration}\n"
        f"Registration end time:  {end}\nSeizure start time: {seizure[0]} \nSeizure end time:{seizure[1]}\n\n"
    )


def test_real_list_of_pn16(marks: Path) -> None:
    found = read_siena_list(marks / "siena" / "PN16" / "Seizures-list-PN16.txt")
    assert {name: [(e.onset, e.duration) for e in events] for name, events in found.items()} == {
        "PN16-1.edf": [(7184, 123)],
        "PN16-2.edf": [(8574, 107)],
    }
    assert found["PN16-1.edf"].duration == 8270


@pytest.mark.parametrize(
    ("text", "name", "onset", "length"),
    [
        (siena("PN00-1.edf", "19.39.33", ("19.58.36", "19.59.46")), "PN00-1.edf", 1143, 70),
        (siena("PN00-3.edf", "18.15.44", ("18.28.29", "19.29.29"), "18.57.13"), "PN00-3.edf", 765, 60),
        (siena("PNO6-1.edf", "04.21.22", ("05.54.25", "05.55.29")), "PN06-1.edf", 5583, 64),
        (siena("PN11-.edf", "11.31.25", ("13.37.19", "13.38.14")), "PN11-1.edf", 7554, 55),
        (siena("PN10-7.8.9.edf", "1 6.49.25", ("17.35.16", "17.36.01")), "PN10-7.8.9.edf", 2751, 45),
        (siena("PN10-2.edf", "09.30.15", ("11.39.00", "11.41.04 opure 11.40.43")), "PN10-2.edf", 7725, 124),
        (
            siena("PN10-3.edf", "14.00.00", ("15.43.53 (CLINICAL ONSET); 15.43.59 (ELECTRIC ONSET)", "15.45.02")),
            "PN10-3.edf",
            6239,
            63,
        ),
        (
            siena("PN10-4.5.6.edf", "14.00.00", ("15.18.26 (CLINICAL ONSET)", "15.19.26")),
            "PN10-4.5.6.edf",
            4706,
            60,
        ),
        (siena("PN12-4.edf", "15.51.31", ("16:13.23", "16.14.26")), "PN12-4.edf", 1312, 63),
        (siena("PN14-3.edf", "16.17.45", ("21.10.13", "21.10.46"), "06.57.40"), "PN14-3.edf", 6748, 33),
        (siena("PN05-3.edf", "06.01.23", ("07.55.19", "07.55.49")), "PN05-3.edf", 6846, 30),
        (siena("PN07-1.edf", "23.18.10", ("05.25.49", "05.26.51"), "08.01.45"), "PN07-1.edf", 22059, 62),
    ],
)
def test_known_misprints_of_siena(tmp_path: Path, text: str, name: str, onset: float, length: float) -> None:
    found = read_siena_list(table(tmp_path, "s.txt", text))
    assert {key: [(e.onset, e.duration) for e in events] for key, events in found.items()} == {name: [(onset, length)]}


def test_one_recording_with_two_seizures_and_short_labels(tmp_path: Path) -> None:
    head = "File name: PN01.edf\nRegistration start time: 19.00.44\nRegistration end time: 08.29.41\n"
    text = (
        f"Seizure n 1\n{head}Start time: 21:51:02\nEnd time: 21.51.56\n\n"
        f"Seizure n 2\n{head}Start time: 07.53.17\nEnd time: 07.54.31\n"
    )
    for layout in (text, text.replace(f"Seizure n 1\n{head}", f"{head}Seizure n 1\n").replace(f"2\n{head}", "2\n")):
        (found,) = read_siena_list(table(tmp_path, "s.txt", layout)).values()
        assert [(e.onset, e.duration) for e in found] == [(10218, 54), (46353, 74)]


def test_a_second_seizure_takes_the_registration_of_the_first(tmp_path: Path) -> None:
    text = siena("PN12-1.2.edf", "15.51.31", ("16.13.23", "16.14.26"))
    text += "Seizure n 2\nFile name: PN12-1.2.edf\nSeizure start time: 18.31.01\nSeizure end time: 18.32.09\n"
    assert [e.onset for e in read_siena_list(table(tmp_path, "s.txt", text))["PN12-1.2.edf"]] == [1312, 9570]
    with pytest.raises(AnnotationError, match="no registration start"):
        read_siena_list(table(tmp_path, "t.txt", text.replace("PN12-1.2.edf\nSeizure s", "PN12-3.edf\nSeizure s")))


def test_the_header_of_the_recording_goes_before_the_list(tmp_path: Path) -> None:
    path = table(tmp_path, "s.txt", siena("PN05-9.edf", "06.01.23", ("07.55.19", "07.55.49")))
    found = read_siena_list(path, starts={"PN05-9.edf": datetime(2016, 1, 1, 6, 1, 13)})
    assert found["PN05-9.edf"].events[0].onset == 6846


@pytest.mark.parametrize("wrong", ["2 1.10.13", "25.10.13", "21.70.13", "soon", ""])
def test_a_time_that_cannot_be_read_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(AnnotationError, match=r"s.txt, line 5: .* where a clock time should be"):
        read_siena_list(table(tmp_path, "s.txt", siena("PN00-1.edf", "19.39.33", (wrong, "21.59.46"))))


def test_a_seizure_outside_its_recording_is_refused(tmp_path: Path) -> None:
    text = siena("PN00-1.edf", "19.39.33", ("19.58.36", "20.59.46"), "20.22.58")
    with pytest.raises(AnnotationError, match="line 6: a seizure from 1143 to 4813 s in a recording of 2605 s"):
        read_siena_list(table(tmp_path, "s.txt", text))
