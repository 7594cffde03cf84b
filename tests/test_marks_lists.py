"""Lists of many recordings (CHB-MIT, Siena) with their known misprints, and WFDB streams."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from marks_tables import table

from restcli.errors import AnnotationError
from restcli.marks.chbmit import parse_wfdb, read_summary
from restcli.marks.registry import read_events
from restcli.marks.siena import read_list
from restcli.marks.table import Table


@pytest.fixture
def marks(shared_eeg: Path) -> Path:
    return shared_eeg / "edf_quirks" / "epilepsy2bids" / "tests" / "data"


def spans(found: Table | AnnotationError) -> list[tuple[float, float]]:
    if isinstance(found, AnnotationError):
        raise found
    return [(row.onset, row.stop) for row in found.rows]


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
    found = read_summary(marks / "chbmit" / "chb08" / "chb08-summary.txt")
    assert {name: spans(marks) for name, marks in found.items() if spans(marks)} == {
        "chb08_02.edf": [(2670, 2841)],
        "chb08_05.edf": [(2856, 3046)],
        "chb08_11.edf": [(2988, 3122)],
        "chb08_13.edf": [(2417, 2577)],
        "chb08_21.edf": [(2083, 2347)],
    }
    assert len(found) == 20


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
    found = read_summary(table(tmp_path, "s.txt", SUMMARY))
    assert spans(found["chb09_08.edf"]) == [(2951, 3030), (9196, 9267)]
    assert spans(found["chb24_01.edf"]) == [(417, 532)]
    assert spans(found["chb24_02.edf"]) == []


@pytest.mark.parametrize(
    ("old", "new", "name", "message"),
    [
        ("Seizure End Time: 532 seconds\n", "", "chb24_01.edf", "line 17: 1 starts and 0 ends of seizures do not fit"),
        ("in File: 2", "in File: 3", "chb09_08.edf", "line 6: 2 starts and 2 ends of seizures do not fit"),
        ("in File: 2", "in File: nan", "chb09_08.edf", "line 9: a text is not a number"),
        ("in File: 2", "in File: 2.5", "chb09_08.edf", "line 6: 2 starts"),
        ("Number of Seizures in File: 0\n", "", "chb24_02.edf", "line 22: 0 starts and 0 ends of seizures do not fit"),
        ("2951", "soon", "chb09_08.edf", "line 10: a text is not a number"),
        ("2951 seconds", "", "chb09_08.edf", "line 10: a text is not a number"),
        ("Seizure 1 Start Time: 2951 seconds\n", "", "chb09_08.edf", "line 10: an end without a start"),
        ("2951 seconds", "49 minutes", "chb09_08.edf", "line 10: the unit of a time is unknown"),
        (
            "in File: 0\n",
            "in File: 0\nSeizure Onset: 9 s\n",
            "chb24_02.edf",
            "line 24: a line about seizures that cannot be",
        ),
        (
            "in File: 0\n",
            "in File: 0\nSezure start 9\n",
            "chb24_02.edf",
            "line 24: a line about seizures that cannot be",
        ),
        ("chb24_01.edf", "chb24_02.edf", "chb24_02.edf", "line 22: the recording is listed twice"),
    ],
)
def test_a_fault_in_a_summary_concerns_its_recording_alone(
    tmp_path: Path, old: str, new: str, name: str, message: str
) -> None:
    found = read_summary(table(tmp_path, "s.txt", SUMMARY.replace(old, new)))
    with pytest.raises(AnnotationError, match=f"s.txt, {message}"):
        spans(found.pop(name))
    assert all(spans(marks) is not None for marks in found.values())


def test_a_summary_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no 'File Name:' line"):
        read_summary(table(tmp_path, "s.txt", "hello"))


def siena(file: str, registration: str, seizure: tuple[str, str], end: str = "23.59.59") -> str:
    return (
        f"Seizure n 1 (in sleep):\nFile name: {file} \nRegistration start time:{registration}\n"
        f"Registration end time:  {end}\nSeizure start time: {seizure[0]} \nSeizure end time:{seizure[1]}\n\n"
    )


def test_real_list_of_pn16(marks: Path) -> None:
    found = read_list(marks / "siena" / "PN16" / "Seizures-list-PN16.txt")
    assert {name: [(a, b - a) for a, b in spans(marks)] for name, marks in found.items()} == {
        "PN16-1.edf": [(7184, 123)],
        "PN16-2.edf": [(8574, 107)],
    }


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
    found = read_list(table(tmp_path, "s.txt", text))
    assert {key: [(a, b - a) for a, b in spans(marks)] for key, marks in found.items()} == {name: [(onset, length)]}


def test_one_recording_with_two_seizures_and_short_labels(tmp_path: Path) -> None:
    head = "File name: PN01.edf\nRegistration start time: 19.00.44\nRegistration end time: 08.29.41\n"
    text = (
        f"Seizure n 1\n{head}Start time: 21:51:02\nEnd time: 21.51.56\n\n"
        f"Seizure n 2\n{head}Start time: 07.53.17\nEnd time: 07.54.31\n"
    )
    for layout in (text, text.replace(f"Seizure n 1\n{head}", f"{head}Seizure n 1\n").replace(f"2\n{head}", "2\n")):
        (found,) = read_list(table(tmp_path, "s.txt", layout)).values()
        assert [(a, b - a) for a, b in spans(found)] == [(10218, 54), (46353, 74)]


def test_a_second_seizure_takes_the_registration_of_the_first(tmp_path: Path) -> None:
    text = siena("PN12-1.2.edf", "15.51.31", ("16.13.23", "16.14.26"))
    text += "Seizure n 2\nFile name: PN12-1.2.edf\nSeizure start time: 18.31.01\nSeizure end time: 18.32.09\n"
    assert [a for a, _ in spans(read_list(table(tmp_path, "s.txt", text))["PN12-1.2.edf"])] == [1312, 9570]
    other = read_list(table(tmp_path, "t.txt", text.replace("PN12-1.2.edf\nSeizure s", "PN12-3.edf\nSeizure s")))
    assert spans(other["PN12-1.2.edf"]) == [(1312, 1375)]
    with pytest.raises(
        AnnotationError, match=r"t.txt, line 11: an end without the start of the seizure and of the registration"
    ):
        spans(other["PN12-3.edf"])


def test_the_header_of_the_recording_goes_before_the_list(tmp_path: Path) -> None:
    path = table(tmp_path, "s.txt", siena("PN05-9.edf", "06.01.23", ("07.55.19", "07.55.49")))
    found = read_list(path, starts={"PN05-9.edf": datetime(2016, 1, 1, 6, 1, 13)})
    assert spans(found["PN05-9.edf"])[0][0] == 6846


@pytest.mark.parametrize("wrong", ["2 1.10.13", "25.10.13", "21.70.13", "soon", ""])
def test_a_time_that_cannot_be_read_concerns_its_recording_alone(tmp_path: Path, wrong: str) -> None:
    text = siena("PN00-1.edf", "19.39.33", (wrong, "21.59.46")) + siena(
        "PN00-2.edf", "02.18.17", ("02.38.37", "02.39.31")
    )
    found = read_list(table(tmp_path, "s.txt", text))
    assert spans(found["PN00-2.edf"]) == [(1220, 1274)]
    with pytest.raises(AnnotationError, match=r"s.txt, line 5: the value is not a clock time"):
        spans(found["PN00-1.edf"])


def test_a_seizure_outside_its_recording_is_refused(tmp_path: Path) -> None:
    text = siena("PN00-1.edf", "19.39.33", ("19.58.36", "20.59.46"), "20.22.58")
    with pytest.raises(AnnotationError, match="line 6: a seizure from 1143 to 4813 s in a recording of 2605 s"):
        spans(read_list(table(tmp_path, "s.txt", text))["PN00-1.edf"])


def test_a_seizure_whose_end_is_not_listed_does_not_vanish(tmp_path: Path) -> None:
    text = siena("PN00-1.edf", "19.39.33", ("19.58.36", "19.59.46")).replace("Seizure end time", "Seizure time")
    more = text + "Seizure start time: 20.10.00\nSeizure end time: 20.11.00\n"
    for listed in (text, more):
        with pytest.raises(AnnotationError, match=r"s\.txt"):
            spans(read_list(table(tmp_path, "s.txt", listed))["PN00-1.edf"])


def test_a_seizure_whose_times_are_misspelt_does_not_vanish(tmp_path: Path) -> None:
    good = siena("PN00-1.edf", "19.39.33", ("19.58.36", "19.59.46"))
    bad = "Seizure n 2\nFile name: PN00-1.edf\nSeizure strat time: 20.10.00\nSeizure edn time: 20.11.00\n"
    with pytest.raises(AnnotationError, match=r"s\.txt, line 10: a time with an unknown name"):
        spans(read_list(table(tmp_path, "s.txt", good + bad))["PN00-1.edf"])
