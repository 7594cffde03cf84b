"""The door to signal files: every quirk has a name, and other libraries are the judges of what is read."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import warnings
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from foreign_files import write_brainvision, write_eeglab, write_persyst
from scipy.signal import resample_poly

from restcli.errors import RecordingError, UsageError
from restcli.io import recording as door
from restcli.io import records
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.signal import resampling


def stored(recording: Recording, channels: list[int] | None = None) -> np.ndarray:
    """Everything at the stored rate."""
    picks = list(range(len(recording.channels))) if channels is None else channels
    return recording.read(picks, 0, recording.duration)


def joined(recording: Recording, channels: list[int], **options: object) -> np.ndarray:
    return np.concatenate([block.data for block in recording.blocks(channels, **options)], axis=1)


def close(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


# ---- a sound file


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


# ---- units and calibration


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
    file = EdfFile(labels=["SPO2", "PLET"], units=["%", "au"])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert [channel.unit for channel in recording.channels] == ["%", "au"]
    assert recording.repairs == ("channel 'PLET': unit 'au' unknown; left out",)


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


# ---- labels


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


# ---- size of the file


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
    assert "wrong size of itself; 768 bytes" in recording.repairs[0]
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


# ---- dates


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


# ---- time: segments and gaps


def gapped(onsets: list[float], **fields: object) -> EdfFile:
    texts = [f"+{onset:.7g}" if onset >= 0 else f"{onset:.7g}" for onset in onsets]
    return EdfFile(**{"kind": "EDF+D", "onsets": texts, "n_records": len(onsets), **fields})


def test_gap_keeps_the_true_clock(tmp_path: Path) -> None:
    file = gapped([0, 1, 2, 3, 100.5, 101.5, 102.5])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 4, 0), (100.5, 103.5, 4)]
    assert recording.duration == 103.5 and recording.repairs == ()
    expected = file.microvolts()
    blocks = list(recording.blocks([0, 1], sfreq=256, seconds=2))
    assert [block.start for block in blocks] == [0, 2, 100.5, 102.5]
    close(blocks[2].data, expected[:, 4 * 256 : 6 * 256])
    trace = recording.read([0, 1], 3.5, 101)
    close(trace[:, :128], expected[:, 896:1024])
    assert np.isnan(trace[:, 128 : 97 * 256]).all()
    close(trace[:, 97 * 256 :], expected[:, 1024 : 1024 + 128])


def test_resampling_never_reaches_across_a_gap(tmp_path: Path) -> None:
    file = gapped([0, 1, 2, 3, 100, 101, 102])
    blocks = list(open_recording(file.write(tmp_path / "a.edf")).blocks([0, 1], sfreq=200))
    for block, part in zip(blocks, (slice(0, 1024), slice(1024, 1792)), strict=True):
        alone = resample_poly(file.microvolts()[:, part], 25, 32, axis=1, padtype="edge")
        np.testing.assert_allclose(block.data, alone, atol=1e-3 * np.abs(alone).max())


def test_discontinuous_file_without_gaps_is_one_segment(tmp_path: Path) -> None:
    recording = open_recording(gapped([float(k) for k in range(8)]).write(tmp_path / "a.edf"))
    assert recording.format == "EDF+D" and len(recording.segments) == 1 and recording.repairs == ()


def test_bdf_plus_d_has_gaps_too(tmp_path: Path) -> None:
    recording = open_recording(gapped([0, 1, 5], kind="BDF+D", bdf=True).write(tmp_path / "a.bdf"))
    assert recording.format == "BDF+D" and [s.start for s in recording.segments] == [0, 5]


def test_subsecond_start_moves_the_clock_not_the_signal(tmp_path: Path) -> None:
    recording = open_recording(gapped([0.25, 1.25, 2.25], kind="EDF+C").write(tmp_path / "a.edf"))
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16, 250_000)
    assert recording.segments[0].start == 0 and recording.duration == 3 and recording.repairs == ()


def test_late_first_record_moves_the_clock_and_is_said(tmp_path: Path) -> None:
    recording = open_recording(gapped([60, 61, 62]).write(tmp_path / "a.edf"))
    assert recording.start == datetime(2021, 3, 2, 14, 16, 16) and "60.000 s after" in recording.repairs[0]


def test_rounded_record_times_are_no_gaps(tmp_path: Path) -> None:
    step = 0.976562
    file = gapped([round(k * step, 3) for k in range(40)], duration=str(step), counts=(250, 250))
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert len(recording.segments) == 1 and recording.channels[0].sfreq == 250 / step and recording.repairs == ()


def test_clock_set_back_a_little_is_repaired(tmp_path: Path) -> None:
    recording = open_recording(gapped([0, 1, 2, 2.9, 3.9, 9]).write(tmp_path / "a.edf"))
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 5), (9, 10)]
    assert "overlap by up to 0.100 s" in recording.repairs[0]


@pytest.mark.parametrize("onsets", [[0, 1, 50, 20, 21], [0, 0, 0, 0], [5, 4, 3, 2]])
def test_shuffled_record_times_are_refused(tmp_path: Path, onsets: list[float]) -> None:
    with pytest.raises(RecordingError, match="backwards"):
        open_recording(gapped(onsets).write(tmp_path / "a.edf"))


def test_continuous_file_with_useless_times_is_continuous(tmp_path: Path) -> None:
    recording = open_recording(gapped([0.0] * 8, kind="EDF+C").write(tmp_path / "a.edf"))
    assert len(recording.segments) == 1 and recording.duration == 8 and "run backwards" in recording.repairs[0]


def test_continuous_file_whose_times_show_a_gap(tmp_path: Path) -> None:
    recording = open_recording(gapped([0, 1, 2, 33, 34], kind="EDF+C").write(tmp_path / "a.edf"))
    assert [s.start for s in recording.segments] == [0, 33] and "show 1 gap" in recording.repairs[0]


def test_record_times_with_commas_and_stray_texts(tmp_path: Path) -> None:
    onsets = ["+0,5", b"+1,5\x14\x14\x00+1.7\x151\x14Seizure \xff\xfe\x14\x00", "+2,5"]
    recording = open_recording(EdfFile(kind="EDF+D", onsets=onsets, n_records=3).write(tmp_path / "a.edf"))
    assert len(recording.segments) == 1 and recording.duration == 3


def test_single_unreadable_time_follows_its_predecessor(tmp_path: Path) -> None:
    onsets = ["+0", b"garbage", "+2", "+9"]
    recording = open_recording(EdfFile(kind="EDF+D", onsets=onsets, n_records=4).write(tmp_path / "a.edf"))
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 3), (9, 10)] and "unreadable" in recording.repairs[0]


def test_misplaced_record_times_are_damage(tmp_path: Path) -> None:
    file = EdfFile(kind="EDF+C", onsets=[f"+{k}" for k in range(10)])
    raw, path = file.bytes(), tmp_path / "a.edf"
    path.write_bytes(raw[:2000] + b"\x05" * 7 + raw[2000:])
    with pytest.raises(RecordingError, match="not where they belong"):
        open_recording(path)


@pytest.mark.parametrize("onsets", [[b""] * 5, None])
def test_interrupted_file_without_times_is_refused(tmp_path: Path, onsets: list[bytes] | None) -> None:
    with pytest.raises(RecordingError, match="EDF\\+D"):
        open_recording(EdfFile(kind="EDF+D", onsets=onsets, n_records=5).write(tmp_path / "a.edf"))


def test_continuous_file_with_blank_times(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(kind="EDF+C", onsets=[b""] * 5, n_records=5).write(tmp_path / "a.edf"))
    assert recording.duration == 5 and "no time stamps" in recording.repairs[0]


def test_last_partial_second_is_dropped_by_blocks_not_by_read(tmp_path: Path) -> None:
    file = EdfFile(duration="0.75", counts=(192, 192), n_records=5)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.duration == 3.75
    assert joined(recording, [0], sfreq=256).shape == (1, 768)
    close(stored(recording), file.microvolts())


# ---- refusals


def refused(path: Path, words: str) -> None:
    with pytest.raises(RecordingError, match=words) as caught:
        open_recording(path)
    assert caught.value.exit_code == 3 and str(caught.value).startswith(str(path))


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


# ---- rates and resampling

RATES = [100, 128, 199.98, 250, 256, 256.41, 512 / 3, 500, 512, 1000, 5000]


def at_rate(rate: float) -> EdfFile:
    """A file of some 11 s whose rate is exactly `rate` = count / duration."""
    whole = Fraction(rate).limit_denominator(1000)
    return EdfFile(
        counts=(whole.numerator,) * 2, duration=str(whole.denominator), n_records=max(1, 12 // whole.denominator)
    )


@pytest.mark.parametrize("rate", RATES)
def test_resampling_does_not_depend_on_block_size(tmp_path: Path, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = open_recording(at_rate(rate).write(tmp_path / "a.edf"))
    assert recording.channels[0].sfreq == pytest.approx(rate)
    monkeypatch.setattr(door, "_SHORTEST_CHUNK", 3)
    monkeypatch.setattr(door, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(resampling, "_TILE", 150)
    resampling.bank.cache_clear()
    whole = joined(recording, [0, 1], sfreq=200, seconds=600)
    assert whole.shape == (2, 200 * int(recording.duration)) and np.isfinite(whole).all()
    for seconds in (1, 7, 60):
        np.testing.assert_array_equal(joined(recording, [0, 1], sfreq=200, seconds=seconds), whole)
    resampling.bank.cache_clear()
    if recording.duration < 100:
        ratio = resampling.ratio_of(Fraction(200), recording.source.rates[0])
        oracle = resample_poly(stored(recording), ratio.numerator, ratio.denominator, axis=1, padtype="edge")
        np.testing.assert_allclose(whole, oracle[:, : whole.shape[1]], atol=2e-3 * np.abs(oracle).max())


@pytest.mark.parametrize("rate", [100, 256, 199.98, 512, 5000])
def test_sine_comes_out_at_its_time_and_size(rate: float) -> None:
    rate_fraction = resampling.exact_rate(rate)
    ratio = resampling.ratio_of(Fraction(200), rate_fraction)
    n_seconds = 30
    time = np.arange(int(rate * (n_seconds + 4))) / rate
    tiles = resampling.widen((400, 400 + 200 * 20), ratio)
    low, high = resampling.support(tiles, ratio)
    signal = 30 * np.sin(2 * np.pi * 7 * time) + 50_000
    padded = np.pad(signal, (max(0, -low), max(0, high - len(signal))), mode="edge")[
        max(0, low) : max(0, low) + high - low
    ]
    out = resampling.resample(padded[None].astype(np.float32), low, tiles, ratio)[0, 400 - tiles[0] : 4400 - tiles[0]]
    expected = 30 * np.sin(2 * np.pi * 7 * (np.arange(400, 4400) / 200)) + 50_000
    # A constant of 50 mV leaves no ripple beyond the rounding of float32.
    assert np.abs(out - expected).max() < 0.1


@pytest.mark.parametrize("rate", ["200.004", "199.9990", "256.001", "250.0025"])
def test_rates_close_to_a_simple_one_keep_the_clock(rate: str) -> None:
    stored = Fraction(rate)
    ratio = resampling.ratio_of(Fraction(200), stored)
    n_samples = round(86_400 * stored)  # a day
    assert abs(float(n_samples * ratio / 200) - 86_400) < 0.005


def test_rate_20_ppm_above_200_is_resampled(tmp_path: Path) -> None:
    # 50 001 samples in 250 s
    file = EdfFile(labels=["a"], counts=(50_001,), duration="250", n_records=2)
    times = np.arange(100_002) / 200.004
    wave = np.round(20_000 * np.sin(2 * np.pi * 5 * times)).astype(int)
    file.samples = lambda: [wave]  # type: ignore[method-assign]
    recording = open_recording(file.write(tmp_path / "a.edf"))
    data = joined(recording, [0], sfreq=200, seconds=60)
    expected = (20_000 * np.sin(2 * np.pi * 5 * np.arange(data.shape[1]) / 200) + 32768) * 6400 / 65535 - 3200
    assert np.abs(data[0] - expected)[1000:-1000].max() < 4  # of 1953; the interpolation is good to 0.1 %


def test_content_above_the_new_nyquist_is_removed(tmp_path: Path) -> None:
    ratio = Fraction(2, 5)
    time = np.arange(500 * 60) / 500
    tone = np.sin(2 * np.pi * 130 * time)[None].astype(np.float32)
    out = resampling.resample(
        np.pad(tone, ((0, 0), (200, 20000)), mode="edge"), -200, resampling.widen((0, 8000), ratio), ratio
    )
    assert np.abs(out[0, 400:8000]).max() < 0.01


def test_channels_of_different_rates_in_one_call(tmp_path: Path) -> None:
    file = EdfFile(labels=["a", "b", "c", "d"], counts=(256, 200, 512, 1), n_records=30)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    together = joined(recording, [2, 3, 0, 1], sfreq=200)
    for row, channel in enumerate([2, 3, 0, 1]):
        np.testing.assert_array_equal(together[row], joined(recording, [channel], sfreq=200)[0])
    scale = 6400 / 65535
    close(together[3], (file.samples()[1] + 32768) * scale - 3200)


@pytest.mark.parametrize(("duration", "count", "n_records"), [("10", 2560, 3), ("0.1", 20, 57), ("30", 6000, 1)])
def test_any_record_duration(tmp_path: Path, duration: str, count: int, n_records: int) -> None:
    file = EdfFile(duration=duration, counts=(count,) * 2, n_records=n_records)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.duration == pytest.approx(float(duration) * n_records)
    close(stored(recording), file.microvolts())
    start, rate = 1.5, recording.channels[0].sfreq
    close(recording.read([1], start, start + 2), file.microvolts()[1:, int(start * rate) : int((start + 2) * rate)])


@pytest.mark.parametrize("bdf", [False, True])
def test_records_too_long_to_hold_are_read_in_parts(tmp_path: Path, bdf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    file = EdfFile(duration="15", counts=(3000,) * 2, n_records=3, bdf=bdf)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    whole = stored(recording)
    monkeypatch.setattr(records, "LONGEST_RECORD", 1024)
    np.testing.assert_array_equal(stored(recording), whole)
    close(whole, file.microvolts())


def test_channel_without_samples(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(counts=(256, 0)).write(tmp_path / "a.edf"))
    assert "holds no samples" in recording.repairs[0]
    data = joined(recording, [0, 1], sfreq=200)
    assert np.isfinite(data[0]).all() and np.isnan(data[1]).all()


def test_rates_asked_for_must_be_whole(tmp_path: Path) -> None:
    recording = open_recording(EdfFile().write(tmp_path / "a.edf"))
    with pytest.raises(UsageError, match="whole numbers"):
        next(recording.blocks([0], sfreq=199.5))


def test_read_outside_the_recording_is_nan(tmp_path: Path) -> None:
    file = EdfFile()
    recording = open_recording(file.write(tmp_path / "a.edf"))
    trace = recording.read([0], -1, 11)
    assert np.isnan(trace[0, :256]).all() and np.isnan(trace[0, -256:]).all()
    close(trace[:, 256:-256], file.microvolts()[:1])
    assert recording.read([0], 20, 21).shape == (1, 256) and recording.read([0], 3, 3).shape == (1, 0)
    resampled = recording.read([0], 2, 5, sfreq=200)
    np.testing.assert_array_equal(resampled, joined(recording, [0], sfreq=200)[:, 400:1000])


# ---- saturation


def test_saturation_counts_stored_samples_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = EdfFile(digital=[(-2048, 2047)] * 2, counts=(250, 250))
    values = [np.zeros(2500, int), np.zeros(2500, int)]
    values[0][250:500] = 2047  # second 1 all
    values[0][500:550] = -2048  # second 2 one fifth
    values[1][600] = 2047
    monkeypatch.setattr(EdfFile, "samples", lambda self: values)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    for seconds in (600, 1, 3):
        found = np.concatenate([b.saturated for b in recording.blocks([0, 1], sfreq=200, seconds=seconds)], axis=1)
        expected = np.zeros((2, 10))
        expected[0, 1:3] = 1, 0.2
        expected[1, 2] = 1 / 250
        np.testing.assert_allclose(found, expected, atol=1e-7)


# ---- files that change


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    blocks = open_recording(path).blocks([0], sfreq=200, seconds=2)
    next(blocks)
    os.truncate(path, 5000)
    with pytest.raises(RecordingError, match="changed while"):
        next(blocks)


def test_short_read_is_an_error_not_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    recording = open_recording(path)
    os.truncate(path, 5000)
    status = path.stat()
    object.__setattr__(recording.source, "size", 5000)
    object.__setattr__(recording.source, "modified", status.st_mtime_ns)
    with pytest.raises(RecordingError, match="ended before its last record"):
        list(recording.blocks([0], sfreq=200))


def test_file_that_vanishes(tmp_path: Path) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    recording = open_recording(path)
    path.unlink()
    with pytest.raises(RecordingError, match="does not exist"):
        recording.read([0], 0, 1)


# ---- memory


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Two hours of 23 channels are 85 MB of samples and 265 MB as float32 at 256 Hz."""
    file = EdfFile(labels=[f"E{i}" for i in range(23)], counts=(256,) * 23, n_records=10)
    raw = file.bytes()
    head = len(raw) - 10 * 23 * 512
    path = tmp_path / "long.edf"
    with path.open("wb") as out:
        out.write(raw[:236] + b"7200    " + raw[244:head])
        for _ in range(720):
            out.write(raw[head:])
    script = (
        "import resource, sys\n"
        "from restcli.io.registry import open_recording\n"
        "import scipy.signal\n"
        "recording = open_recording(sys.argv[1])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "n = sum(b.data.shape[1] for b in recording.blocks(range(23), sfreq=200, seconds=60))\n"
        "print(n, peak() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    n_samples, grown = map(int, run.stdout.split())
    assert n_samples == 7200 * 200
    assert grown < 60_000 * (1024 if sys.platform == "darwin" else 1), f"{grown} kB"


# ---- other libraries as judges


def mne_microvolts(path: Path) -> tuple[list[str], np.ndarray]:
    import mne

    reader = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = reader(path, preload=True, stim_channel=None, verbose="error")
    return raw.ch_names, raw.get_data() * 1e6


@pytest.mark.parametrize(
    "file",
    [
        EdfFile(),
        EdfFile(bdf=True),
        EdfFile(units=["mV", "mV"]),
        EdfFile(physical=[(3200, -3200)] * 2),
        EdfFile(physical=[(-187470, 187470)] * 2, digital=[(-100, 1000)] * 2),
        EdfFile(kind="EDF+C", onsets=[f"+{k}" for k in range(10)]),
        EdfFile(claimed=-1),
        EdfFile(duration="0.5", counts=(100, 100)),
        EdfFile(labels=["T8-P8", "T8-P8"]),
    ],
)
def test_equal_to_mne(tmp_path: Path, file: EdfFile) -> None:
    path = file.write(tmp_path / ("a.bdf" if file.bdf else "a.edf"))
    close(stored(open_recording(path)), mne_microvolts(path)[1])


def quirk_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".edf", ".bdf", ".eeg"})


def test_real_files_equal_pyedflib(shared_eeg: Path) -> None:
    import pyedflib

    files = [shared_eeg / "chbmit" / "chbmit_chb01_03_clip.edf", *sorted((shared_eeg / "iiic").glob("*.edf"))[:2]]
    files.append(shared_eeg / "edf_quirks" / "edfjs" / "sample.edf")
    for path in files:
        recording = open_recording(path)
        with pyedflib.EdfReader(str(path)) as reader:
            for channel in range(min(4, len(recording.channels))):
                assert recording.channels[channel].label == reader.getLabel(channel)
                close(stored(recording, [channel])[0], reader.readSignal(channel))
            assert recording.start == reader.getStartdatetime()
            assert recording.duration == reader.getFileDuration()


def test_real_files_equal_edfio(shared_eeg: Path) -> None:
    import edfio

    for path in sorted((shared_eeg / "eegmat").glob("*.edf"))[:2]:
        recording = open_recording(path)
        signals = edfio.read_edf(path).signals
        factor = {"uV": 1.0, "mV": 1e3}
        for channel in (0, len(signals) - 1):
            expected = signals[channel].data * factor[signals[channel].physical_dimension]
            close(stored(recording, [channel])[0], expected)


def test_every_quirk_file_opens_or_is_refused(shared_eeg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Walk them all, print what became of them, and compare the samples with MNE's wherever one rate allows."""
    lines: dict[str, list[str]] = {}
    folder = shared_eeg / "edf_quirks"
    n_files = n_compared = 0
    for path in quirk_files(folder):
        n_files += 1
        name = str(path.relative_to(folder))
        try:
            recording = open_recording(path)
        except RecordingError as refusal:
            lines.setdefault(f"refused: {refusal.what}", []).append(name)
            continue
        outcome = "; ".join(recording.repairs) or "opened as it is"
        lines.setdefault(f"{recording.format}: {outcome}", []).append(name)
        picks = list(range(min(3, len(recording.channels))))
        block = next(recording.blocks(picks, sfreq=200, seconds=30), None)
        assert block is None or block.data.shape[0] == len(picks)
        if (
            path.suffix != ".EEG"
            and len({c.sfreq for c in recording.channels}) == 1
            and "V" in recording.channels[0].unit
        ):
            expected = mne_microvolts(path)[1][picks]
            close(stored(recording, picks)[:, : expected.shape[1]], expected)
            n_compared += 1
    with capsys.disabled():
        sys.stdout.write("\n")
        for outcome, members in sorted(lines.items(), key=lambda item: -len(item[1])):
            sys.stdout.write(f"{len(members):4d}  {outcome}  (e.g. {members[0]})\n")
    refusals = [name for outcome, members in lines.items() if outcome.startswith("refused") for name in members]
    assert n_files >= 100 and n_compared >= 40
    assert sorted(Path(name).name for name in refusals) == [
        "S001R01.edf",
        "S001R02.edf",
        "SC4001EC-Hypnogram.bdf",
        "SC4001EC-Hypnogram.edf",
    ]


def test_real_headers_of_mixed_rates_equal_mne_group_by_group(shared_eeg: Path) -> None:
    import mne

    path = shared_eeg / "edf_quirks" / "pyedflib/pyedflib/tests/data/test_generator_datarec_generator_2.bdf"
    recording = open_recording(path)
    for index, channel in enumerate(recording.channels):
        raw = mne.io.read_raw_bdf(path, include=[channel.label], stim_channel=None, preload=True, verbose="error")
        assert raw.info["sfreq"] == channel.sfreq
        close(stored(recording, [index]), raw.get_data() * 1e6)


# ---- other formats, through MNE


@pytest.mark.parametrize(("unit", "factor"), [("µV", 1), ("mV", 1e3), ("nV", 1e-3), ("V", 1e6)])
def test_brainvision(tmp_path: Path, unit: str, factor: float) -> None:
    path, values = write_brainvision(tmp_path, unit)
    recording = open_recording(path)
    assert recording.format == "BrainVision" and recording.duration == 2.5 and recording.repairs == ()
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16)
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [("Fp1", "µV", 200), ("Fp2", "µV", 200)]
    close(stored(recording), values * factor)
    blocks = list(recording.blocks([1], sfreq=200))
    close(blocks[0].data, values[1:, :400] * factor)
    assert open_recording(tmp_path / "a.eeg").format == "BrainVision"


def test_brainvision_segments_are_not_joined(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path, markers="Mk2=New Segment,,301,1,0,20210302151516000000\n")
    recording = open_recording(path)
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 1.5), (1.5, 2.5)]
    assert "unknown distance" in recording.repairs[0]


def test_brainvision_without_its_samples(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path)
    (tmp_path / "a.eeg").unlink()
    refused(path, "samples is not beside it")


def test_persyst(tmp_path: Path) -> None:
    path, values = write_persyst(tmp_path)
    recording = open_recording(path)
    assert (recording.format, recording.duration, recording.repairs) == ("Persyst", 4.0, ())
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16)
    assert [channel.label for channel in recording.channels] == ["Fp1-Ref", "Fp2-Ref"]
    close(stored(recording), values)
    assert b"Schmidt" not in pickle.dumps(recording) and open_recording(tmp_path / "a.dat").format == "Persyst"


def test_persyst_equals_mne(tmp_path: Path) -> None:
    import mne

    path, _ = write_persyst(tmp_path, patient="BirthDate=02/05/51\nSex=f\nHand=r\n")
    # MNE takes channels in the order of lines, so they are put in the order of samples.
    path.write_text(path.read_text().replace("Fp2-Ref=2\nFp1-Ref=1", "Fp1-Ref=1\nFp2-Ref=2").replace("C:\\EEG\\", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw_persyst(path, preload=True, verbose="error")
    close(stored(open_recording(path)), raw.get_data() * 1e6)


def test_persyst_gaps_and_midnight(tmp_path: Path) -> None:
    path, values = write_persyst(tmp_path, times="250=86399.5\n500=0.5\n750=100.25\n")
    recording = open_recording(path)
    late = 86399.5 - 51316
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (late, 1), (86400 + 100.25 - 51316, 3)]
    blocks = list(recording.blocks([0], sfreq=250))
    assert [block.data.shape[1] for block in blocks] == [250, 500, 250]
    close(blocks[1].data, values[:1, 250:750])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("WaveformCount=2", "WaveformCount=3", "counts 3"),
        ("DataType=0", "DataType=5", "KeyError"),
        ("SamplingRate=250", "", "KeyError"),
        ("Calibration=0.2", "Calibration=x", "ValueError"),
    ],
)
def test_broken_persyst_header(tmp_path: Path, old: str, new: str, words: str) -> None:
    path, _ = write_persyst(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    refused(path, words)


def test_persyst_without_its_samples(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    (tmp_path / "a.dat").unlink()
    refused(path, "not beside it")


@pytest.mark.parametrize("apart", [False, True])
def test_eeglab(tmp_path: Path, apart: bool) -> None:
    path, values = write_eeglab(tmp_path, apart=apart)
    recording = open_recording(path)
    assert recording.format == "EEGLAB" and [c.label for c in recording.channels] == ["Fp1", "Fp2"]
    close(stored(recording), values)


def test_nihon_kohden_equals_its_edf_export(shared_eeg: Path) -> None:
    folder = shared_eeg / "edf_quirks" / "mne-testing-data" / "NihonKohden"
    native, export = open_recording(folder / "MB0400FU.EEG"), open_recording(folder / "MB0400FU.EDF")
    assert (native.format, export.format) == ("Nihon Kohden", "EDF+D")
    assert native.start == export.start and native.duration == export.duration
    for name in ("Fp1", "O2"):
        a = next(i for i, c in enumerate(native.channels) if c.label.split("-")[0].upper() == name.upper())
        b = next(i for i, c in enumerate(export.channels) if name.upper() + "-" in c.label.upper())
        np.testing.assert_allclose(stored(native, [a]), stored(export, [b]), atol=0.2)


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


def test_a_clock_that_drifts_is_followed_where_gaps_are_allowed(tmp_path: Path) -> None:
    onsets = [f"+{1.001 * k:.3f}" for k in range(1200)]
    file = EdfFile(counts=[4] * 2, n_records=1200, kind="EDF+D", onsets=onsets)
    recording = open_recording(file.write(tmp_path / "d.edf"))
    assert any("drift by 1.20 s" in repair and "followed" in repair for repair in recording.repairs)
    assert recording.duration == pytest.approx(1201.2, abs=0.26)
    for segment in recording.segments:  # by the stamps no second is more than a step away from its place
        assert segment.start == pytest.approx(round(segment.start / 1.001) * 1.001, abs=0.26)
    file = EdfFile(counts=[4] * 2, n_records=1200, kind="EDF+C", onsets=onsets)
    recording = open_recording(file.write(tmp_path / "c.edf"))
    assert (recording.duration, len(recording.segments)) == (1200, 1)
    assert any("drift by 1.20 s" in repair and "follow the samples" in repair for repair in recording.repairs)


def test_weeks_of_gaps_are_no_recording(tmp_path: Path) -> None:
    onsets = [f"+{k}" for k in range(9)] + ["+2592000"]
    with pytest.raises(RecordingError, match="30 days of gaps"):
        open_recording(EdfFile(kind="EDF+D", onsets=onsets).write(tmp_path / "d.edf"))
    recording = open_recording(EdfFile(kind="EDF+C", onsets=onsets).write(tmp_path / "c.edf"))
    assert recording.duration == 10
    assert any("30 days of gaps" in repair and "ignored" in repair for repair in recording.repairs)
