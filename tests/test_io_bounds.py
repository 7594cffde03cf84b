"""Headers that ask for the impossible are refused at once, with an error that a user understands."""

from __future__ import annotations

import configparser
import os
import re
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from foreign_files import write_brainvision, write_eeglab, write_persyst

from restcli.errors import RecordingError
from restcli.io.registry import open_recording


def refused(path: Path, words: str | None = None) -> str:
    begin = time.process_time()
    with pytest.raises(RecordingError, match=words) as caught:
        open_recording(path)
    assert time.process_time() - begin < 1.0
    return str(caught.value)


@pytest.fixture(scope="module", autouse=True)
def mne_imported() -> None:
    """The first import of MNE takes longer than a second."""
    import mne  # noqa: F401


@pytest.mark.parametrize("count", [b"1e99", b"9999", b"-1  ", b"1e9 "])
def test_impossible_number_of_signals(tmp_path: Path, count: bytes) -> None:
    refused(EdfFile(header={252: count, 184: b"1e99    "}).write(tmp_path / "a.edf"))


@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
@pytest.mark.parametrize("first", ["+100000000000000", "-100000000000000", "+9999999999999999999"])
def test_first_stamp_far_away(tmp_path: Path, kind: str, first: str) -> None:
    begin = int(first)
    file = EdfFile(kind=kind, onsets=[f"{begin + k:+d}" for k in range(10)])
    refused(file.write(tmp_path / "a.edf"), "stamped weeks away|backwards")


@pytest.mark.parametrize("date", ["1.1.9999", "1.1.0000", "1.1.1500"])
def test_impossible_years_are_unknown(tmp_path: Path, date: str) -> None:
    onsets = [f"+{86_399 + k}" for k in range(10)]
    recording = open_recording(EdfFile(kind="EDF+C", date=date, onsets=onsets).write(tmp_path / "a.edf"))
    assert recording.start is None and any("clock times are unknown" in note for note in recording.repairs)
    late = EdfFile(date="yy", header={88: b"Startdate 31-DEC-9999 X X X"})
    assert open_recording(late.write(tmp_path / "b.edf")).start is None


def test_possible_years_are_kept(tmp_path: Path) -> None:
    for year in (1950, 2085):
        recording = open_recording(EdfFile(date=f"1.1.{year}").write(tmp_path / "a.edf"))
        assert recording.start == datetime(year, 1, 1, 14, 15, 16)


@pytest.mark.parametrize("kind", ["", "EDF+C", "EDF+D"])
@pytest.mark.parametrize(("duration", "counts"), [("1", (256, 256)), ("0.001", (1, 1)), ("60", (32, 32))])
def test_sparse_file_of_a_tebibyte(tmp_path: Path, kind: str, duration: str, counts: tuple[int, int]) -> None:
    file = EdfFile(kind=kind, duration=duration, counts=counts, onsets=[b""] * 10 if kind else None)
    path = file.write(tmp_path / "a.edf")
    os.truncate(path, 2**40)
    assert "days" in refused(path)


def test_many_blank_stamps_are_not_all_read(tmp_path: Path) -> None:
    path = EdfFile(kind="EDF+D", duration="0.001", counts=(8, 8), onsets=[b""] * 10).write(tmp_path / "a.edf")
    os.truncate(path, 2**36)
    refused(path, "have no time")


@pytest.mark.parametrize("duration", ["1e99", "1e9", "1e-99", "1e20"])
def test_impossible_record_duration(tmp_path: Path, duration: str) -> None:
    refused(EdfFile(duration=duration).write(tmp_path / "a.edf"))


def test_impossible_number_of_records_is_counted(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(claimed="1e99").write(tmp_path / "a.edf"))
    assert (recording.duration, recording.missing) == (10.0, 0.0)


@pytest.mark.parametrize("limits", [("1e99", "-1e99"), ("1e99", 5), ("", "1e50")])
def test_impossible_digital_limits_leave_the_channel_out(tmp_path: Path, limits: tuple[object, object]) -> None:
    file = EdfFile(digital=[(-32768, 32767), limits])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.channels[1].problem
    (block,) = recording.blocks([0, 1], sfreq=256)
    assert np.isfinite(block.data[0]).all() and np.isnan(block.data[1]).all()
    assert (block.saturated[1] == 0).all()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SamplingRate=250", "SamplingRate=1e999999999"),
        ("SamplingRate=250", "SamplingRate=1e-999999999"),
        ("SamplingRate=250", "SamplingRate=nan"),
        ("Calibration=0.2", "Calibration=inf"),
        ("HeaderLength=0", "HeaderLength=" + "9" * 30),
        ("HeaderLength=0", "HeaderLength=" + "9" * 5000),
        ("WaveformCount=2", "WaveformCount=" + "9" * 5000),
        ("0=51316.000", "0=51316.000\n500=" + "9" * 9),
        ("0=51316.000", "0=51316.000\n" + "9" * 15 + "=" + "9" * 9 + "\n500=99999999"),
    ],
)
def test_impossible_persyst_header(tmp_path: Path, old: str, new: str) -> None:
    path, _ = write_persyst(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    refused(path)


def test_persyst_samples_of_a_tebibyte(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    os.truncate(path.with_suffix(".dat"), 2**40)
    assert "days" in refused(path)


@pytest.mark.parametrize("name", ["a.vhdr", "a.lay"])
def test_header_of_a_tebibyte(tmp_path: Path, name: str) -> None:
    write_brainvision(tmp_path)
    write_persyst(tmp_path)
    os.truncate(tmp_path / name, 2**40)
    refused(tmp_path / name, "too large")


def test_brainvision_of_a_tebibyte(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path)
    os.truncate(tmp_path / "a.eeg", 2**40)
    assert "days" in refused(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[Common Infos]", "[Common Infos"),
        ("[Common Infos]", "Patient=Erika Schmidt\n[Common Infos]"),
        ("DataFile=a.eeg", "DataFile=a.eeg\nDataFile=a.eeg"),
        ("DataFile=a.eeg", "Patient Erika Schmidt"),
        ("NumberOfChannels=2", "NumberOfChannels=Erika Schmidt"),
        ("NumberOfChannels=2", "NumberOfChannels=0"),
        ("SamplingInterval=5000", "SamplingInterval=0"),
        ("SamplingInterval=5000", "SamplingInterval=nan"),
        ("Ch1=Fp1,,0.1,µV", "Ch1=Erika Schmidt"),
        ("BinaryFormat=INT_16", "BinaryFormat=Erika Schmidt"),
        ("[Channel Infos]", "[Channel Infos]\n[Channel Infos]"),
    ],
)
def test_broken_brainvision_header_is_refused_without_its_words(tmp_path: Path, old: str, new: str) -> None:
    path, _ = write_brainvision(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    message = refused(path)
    assert "Erika" not in message and "Schmidt" not in message


@pytest.mark.parametrize("number", ["99999999", "3", "-2", "4097"])
def test_brainvision_number_of_channels_is_checked_before_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    path, _ = write_brainvision(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("Channels=2", f"Channels={number}"), encoding="utf-8")
    monkeypatch.setattr("mne.io.read_raw_brainvision", None)
    refused(path, "channels")


def test_brainvision_in_text_is_not_measured_in_bytes(tmp_path: Path) -> None:
    path, microvolts = write_brainvision(tmp_path)
    (tmp_path / "a.eeg").write_text("".join(f"{a:.1f} {b:.1f}\n" for a, b in microvolts.T))
    text = path.read_text(encoding="utf-8").replace("=BINARY", "=ASCII\nDataPoints=500")
    in_text = "[ASCII Infos]\nDecimalSymbol=.\nSkipLines=0\nSkipColumns=0\n"
    text = re.sub(r"\[Binary Infos\]\n.*\n", in_text, text).replace(",0.1,", ",1,")
    path.write_text(text, encoding="utf-8")
    recording = open_recording(path)
    assert (recording.duration, recording.missing, recording.repairs) == (2.5, 0.0, ())
    np.testing.assert_allclose(recording.read([0, 1], 0.0, 2.5), microvolts, atol=1e-3)


def test_brainvision_of_thousands_of_channels(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path)
    text = path.read_text(encoding="utf-8").replace("Channels=2", "Channels=4097")
    path.write_text(text + "".join(f"Ch{k}=E{k},,0.1,µV\n" for k in range(3, 4098)), encoding="utf-8")
    refused(path, "channels")


@pytest.mark.parametrize("kind", [KeyError, configparser.Error, Exception, MemoryError])
def test_any_error_of_a_foreign_reader_is_wrapped(
    tmp_path: Path, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mne

    path, _ = write_eeglab(tmp_path)
    recording = open_recording(path)

    def fails(*args: object, **options: object) -> None:
        raise kind("Erika Schmidt")

    monkeypatch.setattr(mne.io.BaseRaw, "get_data", fails)
    with pytest.raises(RecordingError, match=kind.__name__) as caught:
        recording.read([0], 0, 1)
    assert "Erika" not in str(caught.value) and caught.value.__cause__ is None
    monkeypatch.setattr(mne.io, "read_raw_eeglab", fails)
    assert "Erika" not in refused(path, kind.__name__)
