"""Recordings are found with their marks in each layout; patients never straddle; nothing unmarked is background."""

from __future__ import annotations

import json
import pickle
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import edfio
import numpy as np
import pytest

import restcli.marks.layouts as room
from restcli.errors import AnnotationError, RecordingError
from restcli.events import Event, Events
from restcli.files import sha256_of
from restcli.marks.layouts import find_items, passed_over, patient_of
from restcli.marks.registry import write_events
from restcli.marks.reviewed import is_detected

HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
NONE_FOUND = HEADER + "0.00\t20.00\tbckg\tn/a\tn/a\tn/a\t20.00\n"
ONE_FOUND = HEADER + "5.00\t10.00\tsz_foc\tn/a\tn/a\tn/a\t20.00\n"


def record(path: Path, *, seconds: int = 20, start: datetime = datetime(2016, 1, 1, 19, 39, 33)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = edfio.EdfSignal(np.zeros(100 * seconds), 100, label="EEG C3-REF", physical_range=(-1, 1))
    header = edfio.Recording(startdate=start.date())
    edfio.Edf([signal], recording=header, starttime=start.time()).write(path)
    return path


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def data(shared_eeg: Path) -> Path:
    return shared_eeg / "edf_quirks" / "epilepsy2bids" / "tests" / "data"


def long(monkeypatch: pytest.MonkeyPatch, duration: float, start: datetime | None = None) -> None:
    """Let recordings have the length they had before they were cut to headers."""
    monkeypatch.setattr(room, "open_recording", lambda path: SimpleNamespace(duration=duration, clock=start))


# ------------------------------------------------------------------------------------ layouts


def test_bids(tmp_path: Path) -> None:
    for subject, table in (("01", ONE_FOUND), ("02", NONE_FOUND)):
        folder = tmp_path / "corpus" / f"sub-{subject}" / "ses-01" / "eeg"
        stem = f"sub-{subject}_ses-01_task-szMonitoring_run-00"
        record(folder / f"{stem}_eeg.edf")
        put(folder / f"{stem}_events.tsv", table)
    record(tmp_path / "corpus" / "derivatives" / "sub-01" / "sub-01_eeg.edf")
    first, second = find_items(tmp_path / "corpus")
    assert (first.patient, first.split, first.source) == ("corpus/sub-01", None, "bids")
    assert [(e.onset, e.stop, e.label) for e in first.events] == [(5.0, 15.0, "sz_foc")]
    assert second.patient == "corpus/sub-02" and len(second.events) == 0
    (alone,) = find_items(first.recording_path)
    assert alone == first


def test_items_are_picklable_and_hold_no_handle(tmp_path: Path) -> None:
    record(tmp_path / "a" / "x.edf")
    put(tmp_path / "a" / "x.tsv", ONE_FOUND)
    (item,) = find_items(tmp_path)
    assert pickle.loads(pickle.dumps(item)) == item  # noqa: S301


def test_plain_folders_take_the_folder_or_the_first_word_as_patient(tmp_path: Path) -> None:
    for name in ("ana/one/x.edf", "ana/two/x.edf", "ben/y.edf", "Subject00_1.edf", "Subject00_2.edf"):
        path = record(tmp_path / name)
        put(path.with_name(path.stem + "_events.tsv"), NONE_FOUND)
    items = find_items(tmp_path)
    assert [item.patient for item in items] == ["Subject00", "Subject00", "ana", "ana", "ben"]
    assert {item.source for item in items} == {"folder"}


def test_what_restcli_detected_is_not_taken_for_an_experts_marks(tmp_path: Path) -> None:
    record(tmp_path / "x.edf")
    table = tmp_path / "x_events.tsv"
    put(table, NONE_FOUND)
    put(tmp_path / "x_run.json", json.dumps({"outputs": {"x_events.tsv": sha256_of(table)}}))
    (item,) = find_items(tmp_path)
    with pytest.raises(AnnotationError, match=r"x_events\.tsv: it holds what restcli detected"):
        _ = item.events
    put(tmp_path / "x.tsv", ONE_FOUND)
    (item,) = find_items(tmp_path)
    assert len(item.events) == 1
    put(table, NONE_FOUND.replace("n/a", "N/A"))  # somebody went over it
    (item,) = find_items(tmp_path)
    assert len(item.events) == 0


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_restcli_live_detected_is_not_taken_for_an_experts_marks(tmp_path: Path, is_whole: bool) -> None:
    record(tmp_path / "x.edf")
    table = tmp_path / "x_events.tsv"
    put(table, NONE_FOUND)
    end = json.dumps({"kind": "end", "outputs": {table.name: sha256_of(table)}})
    put(tmp_path / "x_live.jsonl", '{"kind": "start"}\n' + (end if is_whole else end[:20]))
    with pytest.raises(AnnotationError, match=r"x_events\.tsv: it holds what restcli detected"):
        _ = find_items(tmp_path)[0].events
    put(table, NONE_FOUND.replace("n/a", "N/A"))
    assert is_detected(table) != is_whole, "somebody went over it, which an interrupted log cannot tell"


@pytest.mark.parametrize("kind", ["tsv", "csv", "csv_bi", "json", "xml", "edf"])
def test_each_form_of_marks_beside_a_recording(tmp_path: Path, kind: str) -> None:
    start = datetime(2016, 1, 1, 19, 39, 33)
    record(tmp_path / "x.edf", start=start)
    write_events(Events((Event(5.0, 10.0),), 20.0, start), tmp_path / f"x_events.{kind}", kind)
    (item,) = find_items(tmp_path)  # and an annotation-only EDF+ is no recording
    assert [(e.onset, e.stop) for e in item.events] == [(5.0, 15.0)]


def test_recordings_without_marks_are_listed_and_never_background(tmp_path: Path) -> None:
    for name in ("a.edf", "b.edf", "c.edf"):
        record(tmp_path / name)
    put(tmp_path / "b.tsv", NONE_FOUND)
    with pytest.raises(AnnotationError, match=r"2 of 3 recordings have no marks: .*a\.edf, .*c\.edf\. .*bckg"):
        find_items(tmp_path)


def test_compressed_recordings_are_named(tmp_path: Path) -> None:
    record(tmp_path / "a.edf")
    put(tmp_path / "a_events.tsv", NONE_FOUND)
    for name in ("a.edf.gz", "b.edf.gz", "notes.txt.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8b")
    assert len(find_items(tmp_path)) == 1
    assert passed_over(tmp_path) == (f"left out: {tmp_path / 'b.edf.gz'} is compressed; unpack it first",)


def test_a_folder_without_recordings_or_no_folder_is_refused(tmp_path: Path) -> None:
    put(tmp_path / ".hidden.edf", "x")
    with pytest.raises(RecordingError, match="holds no recordings"):
        find_items(tmp_path)
    with pytest.raises(RecordingError, match="does not exist"):
        find_items(tmp_path / "nowhere")


def test_tusz_as_downloaded(tmp_path: Path) -> None:
    table = "channel,start_time,stop_time,label,confidence\n"
    whole = "# version = csv_v1.0.0\n# duration = 20.00 secs\n"
    stems = {
        "edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000": "csv",
        "edf/dev/aaaaaabb/s001_2002/01_tcp_ar/aaaaaabb_s001_t000": "csv_bi",
        "edf/eval/aaaaaacc/s001_2002/01_tcp_ar/aaaaaacc_s001_t000": "csv_bi",
        "v1/edf/dev_test/01_tcp_ar/002/00000258/s002_2003_07_21/00000258_s002_t000": "tse",
    }
    for stem, kind in stems.items():
        record(tmp_path / f"{stem}.edf")
        text = f"{whole}{table}FP1-F7,3.0,9.0,cpsz,1.0\n"
        if kind == "csv_bi":
            text = f"{whole}{table}TERM,0.0,20.0,bckg,1.0\n"
        elif kind == "tse":
            text = "version = tse_v1.0.0\n\n0.0000 4.0 bckg 1.0\n4.0 8.0 tnsz 1.0\n8.0 20.0 bckg 1.0\n"
        put(tmp_path / f"{stem}.{kind}", text)
    items = {item.patient: item for item in find_items(tmp_path)}
    assert {name: item.split for name, item in items.items()} == {
        "aaaaaaac": "train",
        "aaaaaabb": "dev",
        "aaaaaacc": "eval",
        "00000258": "dev",
    }
    assert [(e.onset, e.label) for e in items["aaaaaaac"].events] == [(3.0, "sz_foc_ia")]
    assert [(e.onset, e.label) for e in items["00000258"].events] == [(4.0, "sz_gen_m_tonic")]


@pytest.mark.parametrize(
    ("place", "root", "split"),
    [
        ("eval/tuh/aaaaaaac", "eval/tuh", None),  # a stranger's folder
        ("eval/tuh/train/aaaaaaac", "eval/tuh", "train"),
        ("tuh/train/aaaaaaac/s001", "tuh/train", "train"),
        ("tuh/edf/eval/aaaaaaac/s001", "tuh/edf/eval/aaaaaaac", "eval"),  # part of what was downloaded
        ("tuh/edf/eval/aaaaaaac", "tuh/edf/eval/aaaaaaac/aaaaaaac_s001_t000.edf", "eval"),
    ],
)
def test_tusz_split_is_inside_the_folder_given(tmp_path: Path, place: str, root: str, split: str | None) -> None:
    path = record(tmp_path / place / "aaaaaaac_s001_t000.edf")
    put(path.with_suffix(".csv"), "x")
    (item,) = find_items(tmp_path / root)
    assert item.split == split


def test_bids_subject_is_the_same_from_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for session in ("ses-01", "ses-02"):
        folder = tmp_path / "corpus" / "sub-01" / session / "eeg"
        record(folder / f"sub-01_{session}_eeg.edf")
        put(folder / f"sub-01_{session}_events.tsv", NONE_FOUND)
    monkeypatch.chdir(tmp_path / "corpus" / "sub-01" / "ses-01")
    assert {item.patient for root in (".", "../ses-02/eeg") for item in find_items(root)} == {"corpus/sub-01"}


def test_tusz_typed_table_goes_before_the_binary_one(tmp_path: Path) -> None:
    path = record(tmp_path / "aaaaaaac_s001_t000.edf")
    for ending in (".csv_bi", ".lbl", ".csv"):
        put(path.with_suffix(ending), "x")
    assert find_items(tmp_path)[0].marks.path.suffix == ".csv"


def test_real_tusz_folders(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = find_items(data / "tuh")
    assert len(items) == 102
    patients = {split: {item.patient for item in items if item.split == split} for split in ("train", "dev", "eval")}
    assert [len(names) for names in patients.values()] == [2] * 3
    # The recordings are cut to 2 s: their tables speak of another length, and that is said, not clipped to nothing.
    with pytest.raises(AnnotationError, match=r"the table is of a recording of \d+.00 s. Expected one of 2.00 s"):
        items[0].events  # noqa: B018


def test_real_siena_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = find_items(data / "siena" / "PN16")
    assert (first.patient, first.source) == ("PN16", "siena")
    long(monkeypatch, 9300.0, datetime(2017, 1, 1, 0, 53, 55))
    assert [(e.onset, e.duration, e.label) for e in second.events] == [(8574.0, 107.0, "sz_foc_ia")]
    long(monkeypatch, 600.0, None)
    with pytest.raises(AnnotationError, match=r"line 44: a seizure ends at 7307.00 s\. .* 600.00 s"):
        first.events  # noqa: B018


def test_a_siena_recording_that_its_list_does_not_name_is_unmarked(data: Path) -> None:
    with pytest.raises(AnnotationError, match="2 of 2 recordings have no marks"):
        find_items(data / "siena" / "PN00")


def test_siena_counts_from_the_header(tmp_path: Path) -> None:
    record(tmp_path / "PN14" / "PN14-9.edf", seconds=60, start=datetime(2016, 1, 1, 23, 59, 50))
    put(
        tmp_path / "PN14" / "Seizures-list-PN14.txt",
        "Seizure n 1\nFile name: PN14-9.edf\nRegistration start time: 23.59.40\nRegistration end time: 00.00.50\n"
        "Seizure start time: 00.00.10\nSeizure end time: 00.00.30\n",
    )
    (item,) = find_items(tmp_path)
    assert [(e.onset, e.stop) for e in item.events] == [(20.0, 40.0)]


def test_real_chbmit_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = find_items(data / "chbmit" / "chb08")
    assert len(items) == 11 and {item.patient for item in items} == {"chb08"}
    long(monkeypatch, 3600.0)
    assert [(e.onset, e.stop) for e in items[0].events] == [(2670.0, 2841.0)]
    assert len(items[1].events) == 0
    with pytest.raises(AnnotationError, match="16 of 16"):  # chb05 came without its summary
        find_items(data / "chbmit" / "chb05")


def test_chbmit_chb21_is_chb01_and_streams_and_lists_settle_the_rest(tmp_path: Path) -> None:
    summary = "File Name: chb01_01.edf\nNumber of Seizures in File: 0\n"
    for name in ("chb01/chb01_01", "chb01/chb01_02", "chb21/chb21_01", "chb17/chb17a_03", "chb02/chb02_16+"):
        record(tmp_path / f"{name}.edf", seconds=60)
    put(tmp_path / "chb01" / "chb01-summary.txt", summary)
    with pytest.raises(AnnotationError, match="4 of 5 recordings have no marks"):
        find_items(tmp_path)
    words = [(32 << 10) | 1000, (33 << 10) | 1000, 0]
    stream = b"".join(word.to_bytes(2, "little") for word in words)
    (tmp_path / "chb01" / "chb01_02.edf.seizures").write_bytes(stream)
    put(tmp_path / "RECORDS-WITH-SEIZURES", "chb01/chb01_02.edf\n\n")
    items = find_items(tmp_path)
    assert [item.patient for item in items] == ["chb01", "chb01", "chb02", "chb17", "chb01"]
    assert [len(item.events) for item in items] == [0, 1, 0, 0, 0]
    assert items[1].events.events[0].onset == pytest.approx(1000 / 256)


def test_real_seizeit_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AnnotationError, match="have no marks"):  # not all of them came with their marks
        find_items(data / "seizeit")
    (item,) = find_items(data / "seizeit" / "P_ID83" / "P_ID83_r4.edf")
    assert (item.patient, item.source) == ("P_ID83", "seizeit")
    long(monkeypatch, 60000.0)
    assert [(e.onset, e.stop) for e in item.events] == [(49911.0, 50045.0)]


@pytest.mark.parametrize(
    ("summary", "message"),
    [
        (
            "Seizure Start Time: 99999 seconds\nSeizure End Time: 99999 seconds\n",
            "line 5: a seizure ends at 99999.00 s",
        ),
        ("Seizure Start Time: 40 seconds\nSeizure End Time: 5 seconds\n", "line 5: a seizure from 40.00 to 5.00 s"),
        ("Seizure Start Time: -4 seconds\nSeizure End Time: 5 seconds\n", "line 5: a seizure from -4.00 to 5.00 s"),
        ("Seizure Start Time: nan seconds\nSeizure End Time: 5 seconds\n", "line 5: a text is not a number"),
        ("Seizure Start Time: 10 seconds\nSeizure End Time: 10 seconds\n", "line 5: the seizure has no length"),
    ],
)
def test_an_impossible_time_in_a_chbmit_summary_concerns_its_recording_alone(
    tmp_path: Path, summary: str, message: str
) -> None:
    for name in ("chb01_01", "chb01_02"):
        record(tmp_path / "chb01" / f"{name}.edf", seconds=60)
    good = "File Name: chb01_01.edf\nNumber of Seizures in File: 0\n"
    bad = f"File Name: chb01_02.edf\nNumber of Seizures in File: 1\n{summary}"
    put(tmp_path / "chb01" / "chb01-summary.txt", good + bad)
    first, second = find_items(tmp_path)
    assert len(first.events) == 0
    with pytest.raises(AnnotationError, match=rf"chb01-summary\.txt, {message}"):
        second.events  # noqa: B018


def test_an_impossible_time_in_a_siena_list_concerns_its_recording_alone(tmp_path: Path) -> None:
    entries = ""
    for name, time in (("PN14-1", "19.40.00"), ("PN14-2", "19.99.00")):
        record(tmp_path / "PN14" / f"{name}.edf", seconds=120)
        entries += f"File name: {name}.edf\nRegistration start time: 19.39.33\nRegistration end time: 19.41.33\n"
        entries += f"Seizure start time: {time}\nSeizure end time: 19.41.00\n"
    put(tmp_path / "PN14" / "Seizures-list-PN14.txt", entries)
    first, second = find_items(tmp_path)
    assert [(event.onset, event.stop) for event in first.events] == [(27.0, 87.0)]
    with pytest.raises(AnnotationError, match=r"Seizures-list-PN14\.txt, line 9: the value is not a clock time"):
        second.events  # noqa: B018


@pytest.mark.parametrize("name", ["chb01/chb01-summary.txt", "PN14/Seizures-list-PN14.txt", "a/x.tsv"])
@pytest.mark.parametrize("content", ["", "hello"])
def test_an_unreadable_list_stops_nothing_else(tmp_path: Path, name: str, content: str) -> None:
    """It is said when the marks of its recordings are read, or its recordings have no marks."""
    folder = (tmp_path / name).parent
    record(folder / {"chb01": "chb01_01.edf", "PN14": "PN14-1.edf", "a": "x.edf"}[folder.name])
    put(tmp_path / name, content)
    with pytest.raises(AnnotationError, match=Path(name).name if name != "a/x.tsv" or not content else "have no marks"):
        find_items(tmp_path)[0].events  # noqa: B018


def test_a_bids_sidecar_is_not_taken_for_marks(tmp_path: Path) -> None:
    record(tmp_path / "sub-01" / "sub-01_task-rest_eeg.edf")
    put(tmp_path / "sub-01" / "sub-01_task-rest_eeg.json", '{"TaskName": "rest"}')
    with pytest.raises(AnnotationError, match="1 of 1 recordings have no marks"):
        find_items(tmp_path)


def test_flat_bids_names_are_patients_of_their_own() -> None:
    assert [patient_of(name) for name in ("sub-01_run-00", "sub-02_run-00_eeg.edf")] == ["sub-01", "sub-02"]
