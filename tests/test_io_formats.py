"""BrainVision, Persyst, EEGLAB and Nihon Kohden files."""

from __future__ import annotations

import pickle
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from foreign_files import write_brainvision, write_eeglab, write_persyst
from io_checks import close, refused, stored

from restcli.io.registry import open_recording


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


def test_persyst_drift_cuts_nothing_and_is_reported(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="250=51317.003\n500=51318.06\n750=51319.12\n")
    text = path.read_text().replace("SamplingRate=250", "SamplingRate=2.5")
    path.write_text(text.replace("51317.003", "51416.1").replace("51318.06", "51516.2").replace("51319.12", "51616.3"))
    recording = open_recording(path)
    assert len(recording.segments) == 1 and "drift by 0.30 s" in recording.repairs[0]


def test_persyst_wrong_sample_time_is_ignored_and_reported(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="200=51346.8\n400=51317.6\n600=51318.4\n750=51349\n")
    recording = open_recording(path)
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (33, 3)]
    assert "wrong by up to 30.000 s" in recording.repairs[0]


def test_persyst_clock_set_back_is_refused(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="250=51287\n500=51288\n750=51349\n")
    refused(path, "set back by 30.000 s")


@pytest.mark.parametrize(
    ("test_time", "first", "start", "words"),
    [
        ("14:15:16.25", "51316.25", "14:15:16.250", ""),
        ("14:15:16", "51316.25", "14:15:16.250", ""),
        ("14:15:16", "0.0", "14:15:16", ""),
        ("14:15:16", "51318.5", "14:15:16", "+2.500 s from the test time"),
        ("00:00:00", "86399.5", "00:00:00", ""),
        ("14:15:16.5", "54916.5", "14:15:16.500", "+3600.000 s from"),
    ],
)
def test_persyst_two_clocks(tmp_path: Path, test_time: str, first: str, start: str, words: str) -> None:
    path, _ = write_persyst(tmp_path)
    path.write_text(
        path.read_text().replace("TestTime=14:15:16", f"TestTime={test_time}").replace("0=51316.000", f"0={first}")
    )
    recording = open_recording(path)
    assert recording.start == datetime.fromisoformat(f"2021-03-02 {start}") and recording.duration == 4
    assert words in " ".join(recording.repairs) and bool(recording.repairs) == bool(words)


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
