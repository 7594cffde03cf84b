"""EDF and BDF headers: every quirk has a name, and is repaired or refused."""

from __future__ import annotations

import math
import os
import pickle
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from io_checks import close, joined, refused, stored

from restcli.errors import RecordingError
from restcli.io.registry import open_recording


@pytest.mark.parametrize("bdf", [False, True], ids=["EDF", "BDF"])
def test_plain_file_reads_in_microvolts_without_repairs(tmp_path: Path, bdf: bool) -> None:
    file = EdfFile(bdf=bdf)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert (recording.format, recording.duration, recording.repairs) == ("BDF" if bdf else "EDF", 10.0, ())
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16)
    assert [channel.label for channel in recording.channels] == ["EEG Fp1-REF", "EEG Fp2-REF"]
    assert recording.channels[0].sfreq == 256 and recording.channels[0].n_samples == 2560
    assert (recording.channels[0].minimum, recording.channels[0].maximum) == pytest.approx((-3200, 3200))
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 10, 0)]
    close(stored(recording), file.microvolts())


def test_recording_is_plain_data_without_patient_fields(tmp_path: Path) -> None:
    secret = EdfFile(header={8: b"MRN4711 F 02-MAY-1951 Schmidt_Erika", 88: b"Startdate 02-MAR-2021 EEG77 Dr_Secret X"})
    recording = open_recording(secret.write(tmp_path / "a.edf"))
    content = pickle.dumps(recording)
    assert pickle.loads(content) == recording  # noqa: S301
    for word in (b"MRN4711", b"Schmidt", b"Secret", b"EEG77"):
        assert word not in content and word.decode() not in repr(recording)


def test_source_is_never_modified(tmp_path: Path) -> None:
    path = EdfFile(claimed=-1, date="02:03:21").write(tmp_path / "a.edf")
    before = path.read_bytes(), path.stat().st_mtime_ns
    joined(open_recording(path), [0, 1], sfreq=200)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_annotations_are_no_channels_and_need_no_lf_damage(tmp_path: Path) -> None:
    file = EdfFile(kind="EDF+C", onsets=[f"+{k}" for k in range(10)])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert len(recording.channels) == 2 and recording.format == "EDF+C" and recording.repairs == ()
    close(stored(recording), file.microvolts())


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("uV", 1), (b"\xb5V", 1), ("µV".encode(), 1), ("mV", 1e3), ("V", 1e6), ("nV", 1e-3), ("UV", 1), ("uV.", 1)],
)
def test_units_become_microvolts(tmp_path: Path, unit: str | bytes, factor: float) -> None:
    file = EdfFile(units=[unit] * 2)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.channels[0].unit == "µV"
    close(stored(recording), file.microvolts(factor))
    assert recording.channels[0].maximum == pytest.approx(3200 * factor)
    assert all("ASCII" in note for note in recording.repairs)


def test_blank_unit_is_taken_as_microvolts_and_said(tmp_path: Path) -> None:
    file = EdfFile(units=["", "uV"])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.repairs == ("channel 'EEG Fp1-REF': no unit that can be read in the header; microvolts assumed",)
    close(stored(recording), file.microvolts())


def test_other_units_keep_their_name_and_values(tmp_path: Path) -> None:
    file = EdfFile(labels=["SPO2", "PLET"], units=["%", "Schmidt"])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert [channel.unit for channel in recording.channels] == ["%", "unknown"]
    assert recording.repairs == ("channel 'PLET': unit unknown; left out",)


@pytest.mark.parametrize(
    ("physical", "digital", "words"),
    [
        ((-3200, 3200), (0, 0), "digital minimum equals its maximum"),
        ((5, 5), (-100, 100), "physical minimum equals its maximum"),
        (("abc", 3200), (-100, 100), "physical range is not a number"),
        ((-3200, 3200), ("", 100), "digital range is not a number"),
        ((-3200, "1e99"), (-100, 100), "range makes no sense"),
        ((-3200, "nan"), (-100, 100), "physical range is not a number"),
    ],
)
def test_channel_without_calibration_reads_as_nan(tmp_path: Path, physical: tuple, digital: tuple, words: str) -> None:
    file = EdfFile(physical=[(-3200, 3200), physical], digital=[(-32768, 32767), digital])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert words in recording.channels[1].problem and words in recording.repairs[0]
    assert math.isnan(recording.channels[1].minimum)
    block = next(recording.blocks([0, 1], sfreq=200))
    assert np.isfinite(block.data[0]).all() and np.isnan(block.data[1]).all() and not block.saturated.any()


def test_inverted_physical_range_inverts_the_signal(tmp_path: Path) -> None:
    file = EdfFile(physical=[(3200, -3200)] * 2)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert "inverted polarity" in recording.repairs[0]
    close(stored(recording), file.microvolts())
    assert recording.channels[0].minimum == pytest.approx(-3200)


def test_decimal_commas(tmp_path: Path) -> None:
    file = EdfFile(physical=[("-812,5", "812,5")] * 2, duration="1,0")
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.repairs == ("header numbers are written with decimal commas; read as decimal points",)
    close(stored(recording), EdfFile(physical=[(-812.5, 812.5)] * 2).microvolts())


def test_nul_bytes_in_labels_and_numbers(tmp_path: Path) -> None:
    file = EdfFile(labels=[b"Fp1\0\0\0", b"\0Fp2\0"], header={184: b"768\0\0\0\0\0", 0: b"0\0\0\0\0\0\0\0"})
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert [channel.label for channel in recording.channels] == ["Fp1", "Fp2"]
    assert recording.repairs == ("header fields are padded with NUL bytes; read as spaces",)


def test_latin_1_and_control_bytes_in_labels(tmp_path: Path) -> None:
    file = EdfFile(labels=[b"M\xfcller", b"Fp2\x1b[31m"])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert [channel.label for channel in recording.channels] == ["Müller", "Fp2 [31m"]
    assert "ASCII" in recording.repairs[0]


def test_duplicate_labels_are_told_apart_by_position(tmp_path: Path) -> None:
    file = EdfFile(labels=["T8-P8", "T8-P8"])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert "occurs more than once" in recording.repairs[0]
    close(stored(recording), file.microvolts())


@pytest.mark.parametrize("label", ["Status", "STI 014", "Trigger", "stAtUs", "TRIG"])
def test_trigger_like_labels_are_ordinary_channels(tmp_path: Path, label: str) -> None:
    file = EdfFile(labels=[label, "Fp1"], bdf=True)
    close(stored(open_recording(file.write(tmp_path / "a.bdf"))), file.microvolts())


def test_truncated_last_record_is_left_out(tmp_path: Path) -> None:
    file = EdfFile()
    path = tmp_path / "a.edf"
    path.write_bytes(file.bytes()[:-100])
    recording = open_recording(path)
    assert recording.duration == 9.0 and recording.channels[0].n_samples == 2304
    assert recording.missing == 1.0
    assert any("1 s of the 10 s that the header announces are missing" in note for note in recording.repairs)
    assert any("last record is incomplete" in note for note in recording.repairs)
    close(stored(recording), file.microvolts()[:, :2304])


@pytest.mark.parametrize("claimed", ["-1", "", "x"])
def test_unknown_number_of_records_is_counted(tmp_path: Path, claimed: str) -> None:
    recording = open_recording(EdfFile(claimed=claimed).write(tmp_path / "a.edf"))
    assert recording.duration == 10.0 and "10 counted from the size of the file" in recording.repairs[0]


@pytest.mark.parametrize(
    ("claimed", "missing", "words"), [(4, 0.0, "more than the header announces"), (99, 89.0, "cut off")]
)
def test_header_that_lies_about_the_number_of_records(tmp_path: Path, claimed: int, missing: float, words: str) -> None:
    recording = open_recording(EdfFile(claimed=claimed).write(tmp_path / "a.edf"))
    assert (recording.duration, recording.missing) == (10.0, missing) and words in recording.repairs[0]


def test_missing_time_is_not_rounded_in_words(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(claimed=1_234_567).write(tmp_path / "a.edf"))
    assert recording.missing == 1_234_557
    assert "1234557 s of the 1234567 s" in recording.repairs[0]


def test_trailing_bytes_are_left_out(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(tail=b"xyz").write(tmp_path / "a.edf"))
    assert recording.duration == 10.0 and "its 3 of 1024 bytes" in recording.repairs[0]


def test_header_that_lies_about_its_own_size(tmp_path: Path) -> None:
    file = EdfFile(header={184: b"512     "})
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert "states its own size incorrectly; 768 bytes" in recording.repairs[0]
    close(stored(recording), file.microvolts())


def test_header_padded_to_a_larger_size(tmp_path: Path) -> None:
    file = EdfFile(header={184: b"1024    "})
    raw = file.bytes()
    path = tmp_path / "a.edf"
    path.write_bytes(raw[:768] + bytes(256) + raw[768:])
    recording = open_recording(path)
    assert "longer than its signals need" in recording.repairs[0]
    close(stored(recording), file.microvolts())


def test_unreadable_number_of_signals_follows_from_the_header_size(tmp_path: Path) -> None:
    file = EdfFile(header={252: b"????"})
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert "number of signals is unreadable; 2 taken" in recording.repairs[0]
    close(stored(recording), file.microvolts())


def test_wrong_version_is_repaired_when_the_rest_fits(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(header={0: b"EDF     "}).write(tmp_path / "a.edf"))
    assert "version field is wrong" in recording.repairs[0]


@pytest.mark.parametrize(
    ("date", "time", "start", "repaired"),
    [
        ("02.03.21", "14.15.16", datetime(2021, 3, 2, 14, 15, 16), False),
        ("02:03:21", "14:15:16", datetime(2021, 3, 2, 14, 15, 16), True),
        ("02/03/21", "14.15.16", datetime(2021, 3, 2, 14, 15, 16), True),
        ("2.3.21", "4.5.6", datetime(2021, 3, 2, 4, 5, 6), True),
        ("2.3.2021", "14.15.16", datetime(2021, 3, 2, 14, 15, 16), True),
        ("01.01.85", "00.00.00", datetime(1985, 1, 1), False),
        ("31.12.84", "00.00.00", datetime(2084, 12, 31), False),
        ("31.02.21", "14.15.16", None, True),
        ("00.00.00", "00.00.00", None, True),
        ("02.03.21", "25.00.00", None, True),
        ("02.03.yy", "14.15.16", None, True),
        ("", "", None, True),
    ],
)
def test_dates(tmp_path: Path, date: str, time: str, start: datetime | None, repaired: bool) -> None:
    recording = open_recording(EdfFile(date=date, time=time).write(tmp_path / "a.edf"))
    assert recording.start == start
    assert (len(recording.repairs) == 1) == repaired


def test_late_year_is_taken_from_the_recording_field(tmp_path: Path) -> None:
    file = EdfFile(date="02.03.yy", header={88: b"Startdate 02-MAR-2121 X X X"})
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.start == datetime(2121, 3, 2, 14, 15, 16) and "unreadable" in recording.repairs[0]


def test_missing_empty_folder_text_and_strangers(tmp_path: Path) -> None:
    refused(tmp_path / "none.edf", "does not exist")
    refused(tmp_path, "is a folder")
    for name, content, words in (
        ("empty.edf", b"", "the file is empty"),
        ("short.edf", b"0       abc", "only 11 bytes"),
        ("text.edf", b"Dear colleague, the EEG of our patient\n" * 30, "plain text"),
        ("text.txt", b"Dear colleague, the EEG of our patient\n" * 30, "plain text"),
        ("zip.edf", b"PK\x03\x04" + bytes(600), "zip archive"),
        ("gzip.edf", b"\x1f\x8b" + bytes(600), "compressed"),
        ("noise.edf", bytes(range(256)) * 8, "not begin with an EDF header"),
        ("nothing.edf", bytes(4096), "not begin with an EDF header"),
    ):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, words)
    with pytest.raises(RecordingError) as caught:
        open_recording(tmp_path / "text.edf")
    assert "colleague" not in str(caught.value)


def test_unreadable_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = EdfFile().write(tmp_path / "a.edf")

    def denied(path: Path, *args: object, **options: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", denied)  # as root, chmod would not deny
    refused(path, "no permission")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (EdfFile(labels=[], counts=[]), "announces no signals"),
        (EdfFile(labels=[], counts=[], kind="EDF+C", onsets=["+0"] * 10), "annotations only"),
        (EdfFile(duration="0"), "duration of a record"),
        (EdfFile(duration="-1"), "duration of a record"),
        (EdfFile(duration=""), "duration of a record"),
        (EdfFile(duration="1e-9"), "above 1 MHz"),
        (EdfFile(n_records=0), "no complete data record"),
        (EdfFile(header={256 + 2 * 216: b"many    "}), "number of samples"),
        (EdfFile(header={256 + 2 * 216: b"-5      "}), "number of samples"),
    ],
)
def test_what_cannot_be_repaired_is_refused(tmp_path: Path, file: EdfFile, words: str) -> None:
    refused(file.write(tmp_path / "a.edf"), words)


def test_file_that_ends_in_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_bytes(EdfFile().bytes()[:600])
    refused(tmp_path / "a.edf", "inside its own header")


def test_line_end_conversion_is_recognised(tmp_path: Path) -> None:
    raw = EdfFile(n_records=40).bytes()
    (tmp_path / "a.edf").write_bytes(raw[:768] + raw[768:].replace(b"\n", b"\r\n"))
    refused(tmp_path / "a.edf", "line endings")
    (tmp_path / "b.edf").write_bytes(raw)
    assert open_recording(tmp_path / "b.edf").repairs == ()


@pytest.mark.parametrize("bdf", [False, True])
def test_flat_line_that_looks_like_line_ends_is_no_damage(
    tmp_path: Path, bdf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EdfFile, "samples", lambda self: [np.full(2560, 0x0A0D)] * 2)
    assert open_recording(EdfFile(bdf=bdf).write(tmp_path / "a.edf")).repairs == ()


def test_damaged_headers_never_end_in_another_error(tmp_path: Path) -> None:
    """400 headers with random bytes changed: each opens and reads, or is refused as a RecordingError."""
    rng = np.random.default_rng(20)
    path, outcomes = tmp_path / "a.edf", {"read": 0, "refused": 0}
    for trial in range(400):
        kind = ("", "EDF+C", "EDF+D")[trial % 3]
        raw = bytearray(EdfFile(kind=kind, onsets=[f"+{k}" for k in range(10)] if kind else None).bytes())
        for _ in range(rng.integers(1, 6)):
            place = int(rng.integers(0, 256 * (3 + bool(kind))))
            raw[place : place + 2] = rng.choice(
                [b"  ", b"-1", b"9e", b"\0\0", b"\xff.", b",0", bytes([rng.integers(256)] * 2)]
            )
        path.write_bytes(raw if trial % 7 else raw[: int(rng.integers(0, len(raw)))])
        try:
            recording = open_recording(path)
            for _ in recording.blocks(range(len(recording.channels)), sfreq=200):
                pass
            outcomes["read"] += 1
        except RecordingError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 40, outcomes
