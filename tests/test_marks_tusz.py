"""Tables of TUSZ and SeizeIT1, real ones among them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from marks_tables import FOUND, TUSZ, table, written

from restcli.errors import AnnotationError
from restcli.marks.registry import read_events, write_events
from restcli.marks.types import TUSZ_TYPES


@pytest.fixture
def marks(shared_eeg: Path) -> Path:
    return shared_eeg / "edf_quirks" / "epilepsy2bids" / "tests" / "data"


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


def test_tusz_csv_is_the_union_over_channels(tmp_path: Path) -> None:
    rows = (
        "FP1-F7,0.0000,36.8868,bckg,1.0000\nFP1-F7,36.8868,183.3055,cpsz,1.0000\n"
        "F7-T3,30.0000,100.0000,cpsz,1.0000\nT3-T5,200.0000,210.0000,tnsz,1.0000\nT3-T5,209.0,220.0,gnsz,0.9\n"
    )
    first, second = read_events(table(tmp_path, "a.csv", TUSZ + rows))
    assert (first.onset, first.stop, first.label) == (30.0, 183.3055, "sz_foc_ia")
    assert set(first.channels) == {"FP1-F7", "F7-T3"}
    assert (second.onset, second.stop, second.label) == (200.0, 220.0, "sz")


@pytest.mark.parametrize(("theirs", "ours"), TUSZ_TYPES.items())
def test_tusz_types_are_mapped(tmp_path: Path, theirs: str, ours: str) -> None:
    (event,) = read_events(table(tmp_path, "a.csv", f"{TUSZ}FP1-F7,1.0,5.0,{theirs.upper()},1.0\n"))
    assert event.label == ours


def test_tusz_artefacts_are_not_seizures_and_unknown_labels_are_refused(tmp_path: Path) -> None:
    assert len(read_events(table(tmp_path, "a.csv", TUSZ + "FP1-F7,1.0,5.0,eyem,1.0\n"))) == 0
    with pytest.raises(AnnotationError, match="line 7: the label is unknown"):
        read_events(table(tmp_path, "b.csv", TUSZ + "FP1-F7,1.0,5.0,zzzz,1.0\n"))


def test_a_tusz_row_without_length_is_dropped_only_where_it_touches_a_seizure(tmp_path: Path) -> None:
    events = read_events(table(tmp_path, "a.csv_bi", TUSZ + "TERM,5.0,5.0,seiz,1.0\nTERM,5.0,9.0,seiz,1.0\n"))
    assert [(event.onset, event.stop) for event in events] == [(5.0, 9.0)]
    with pytest.raises(AnnotationError, match="line 7: the seizure has no length"):
        read_events(table(tmp_path, "b.csv_bi", TUSZ + "TERM,0.0,0.0,seiz,1.0\nTERM,5.0,9.0,seiz,1.0\n"))


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
    with pytest.raises(AnnotationError, match="line 8: the line is not of lbl_v1"):
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


def test_real_seizeit_tables(marks: Path) -> None:
    folder = marks / "seizeit"
    (event,) = read_events(folder / "P_ID83" / "P_ID83_r10_a1.tsv", duration=3600.0)
    assert (event.onset, event.stop, event.label) == (404.0, 457.0, "sz_foc_ia")
    assert len(read_events(folder / "P_ID64" / "P_ID64_r6_a1.tsv", duration=3600.0)) == 0
    with pytest.raises(AnnotationError, match="does not say how long the recording is"):
        read_events(folder / "P_ID64" / "P_ID64_r6_a1.tsv")


def test_a_seizeit_seizure_without_end_lasts_half_a_minute_with_low_confidence(marks: Path) -> None:
    path = marks / "seizeit" / "P_ID64" / "P_ID64_r1_a1.tsv"
    (event,) = read_events(path, duration=40000.0)
    assert (event.onset, event.duration, event.confidence) == (8971.0, 30.0, 0.5)
    (event,) = read_events(path, duration=8980.0)
    assert event.stop == 8980.0
