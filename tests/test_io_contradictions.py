"""Headers that contradict their samples, types that contradict names, and values that are no samples."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
import scipy.sparse
from edf_writer import noise
from foreign_files import write_brainvision, write_eeglab, write_persyst
from io_checks import refused, stored
from scipy.io import savemat

from restcli.detect.settings import Settings, fit_montage
from restcli.errors import RecordingError
from restcli.io.matlab import check_matlab
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights
from restcli.output.plots.traces import read_traces
from restcli.signal.montage import ELECTRODES_19


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("NumberOfChannels=2", "NumberOfChannels=1", "impossible number of channels"),
        ("DataFormat=", "SegmentationType=MARKERBASED\nDataFormat=", "segments"),
        ("DataFormat=", "Averaged=YES\nDataFormat=", "averages"),
        ("DataFormat=", "DataType=FREQUENCYDOMAIN\nDataFormat=", "spectra"),
        ("MULTIPLEXED", "VECTORIZED\nDataPoints=400", "size of its file of samples"),
    ],
)
def test_brainvision_samples_that_are_no_recording_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    refused(edited(write_brainvision(tmp_path)[0], old, new), words)


def test_brainvision_files_that_are_cut_off_or_too_long_are_reported(tmp_path: Path) -> None:
    path = edited(write_brainvision(tmp_path)[0], "DataFormat=", "DataPoints=500\nDataFormat=")
    assert open_recording(path).repairs == ()
    samples = path.with_suffix(".eeg")
    samples.write_bytes(samples.read_bytes()[:-401])
    recording = open_recording(path)
    assert (recording.duration, recording.missing) == (1.995, pytest.approx(0.505))
    assert "0.505 s of the 2.5 s" in recording.repairs[0] and "last sample is incomplete" in recording.repairs[1]
    samples.write_bytes(bytes(4 * 600))
    assert "3 s instead of 2.5 s" in open_recording(path).repairs[0]


def test_eeglab_samples_of_another_size_are_refused(tmp_path: Path) -> None:
    path, _ = write_eeglab(tmp_path)
    samples = path.with_suffix(".fdt")
    content = samples.read_bytes()
    for other in (content[:-8], content + content):
        samples.write_bytes(other)
        refused(path, "size of its file of samples")
    write_eeglab(tmp_path, apart=False)  # the old file beside samples that lie in the header is not read
    assert open_recording(path).duration == 2


@pytest.mark.parametrize("kind", ["boundary", "Boundary", "-99", -99, "New Segment", "boundary event"])
def test_eeglab_spellings_of_boundaries(tmp_path: Path, kind: str | int) -> None:
    recording = open_recording(write_eeglab(tmp_path, events=[(kind, 250.5, 500.0)])[0])  # type: ignore[list-item]
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 1), (3, 4)]


def test_channels_that_share_names_are_numbered_and_reported(tmp_path: Path) -> None:
    path, _ = write_eeglab(tmp_path, labels=("Fp1", "Fp1"))
    recording = open_recording(path)
    assert [channel.label for channel in recording.channels] == ["Fp1-0", "Fp1-1"]
    assert recording.repairs == ("channels share names; numbered in their order",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Fp2-Ref=2", "Fp2-Ref=1", "occur twice"),
        ("Fp2-Ref=2", "Fp2-Ref=3", "leave some out"),
        ("FileType=Interleaved", "FileType=Sequential", "not interleaved"),
        ("Calibration=0.2", "Calibration=0", "impossible rate, scale"),
    ],
)
def test_persyst_headers_that_contradict_themselves(tmp_path: Path, old: str, new: str, words: str) -> None:
    refused(edited(write_persyst(tmp_path)[0], old, new), words)


def test_persyst_samples_that_are_missing_by_its_times(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="250=51317\n1250=51321\n99999999999=51400\n")
    recording = open_recording(path)
    assert (recording.duration, recording.missing) == (4, 1) and "1 s of the 5 s" in recording.repairs[0]


def montage_of(recording: Recording, *names: str) -> int:
    settings = Settings(channel_map=tuple((name, name) for name in names))
    return len(fit_montage(recording, load_weights(), settings).nodes)


def depth(kind: str, n_inside: int = 19) -> mne.io.RawArray:
    types = [kind] * n_inside + ["eeg"] * (19 - n_inside)
    return mne.io.RawArray(noise(19, 20, 200) * 1e-6, mne.create_info(list(ELECTRODES_19), 200, types), verbose="error")


@pytest.mark.parametrize("kind", ["seeg", "ecog", "dbs"])
def test_electrodes_inside_the_head_are_not_scored_whatever_their_names(kind: str) -> None:
    recording = open_recording(depth(kind))
    assert "of a type that lies inside the head" in recording.repairs[0]
    with pytest.raises(RecordingError, match=r"inside the head.* Name scalp electrodes with --channel-map"):
        montage_of(recording)
    assert montage_of(recording, *ELECTRODES_19) == 18
    pages = read_traces(recording, 0, 10, channel_map={name: name for name in ELECTRODES_19})
    assert pages is not None and len(pages.names) == 18 and read_traces(recording, 0, 10) is None
    assert montage_of(open_recording(depth(kind, n_inside=1))) == 16  # FP1 is left out


def test_eeglab_types_tell_electrodes_inside_the_head(tmp_path: Path) -> None:
    path, _ = write_eeglab(tmp_path, kinds=("SEEG", "EEG"))
    assert [channel.inside for channel in open_recording(path).channels] == [True, False]


def test_values_that_are_no_samples_are_unknown(tmp_path: Path) -> None:
    path, values = write_eeglab(tmp_path)
    odd = values.copy()
    odd[1, 100:103] = np.nan, np.inf, 1e30
    path.with_suffix(".fdt").write_bytes(odd.T.astype("<f4").tobytes())
    found = stored(open_recording(path))
    assert np.isnan(found[1]).sum() == 3 and np.isfinite(np.delete(found, [100, 101, 102], axis=1)).all()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (368 - 8, 190),  # a type of values that does not exist: scipy crashes
        (329, 8),  # complex numbers without an imaginary part: scipy crashes
        (328, 1),  # a cell that holds numbers
        (160, 200),  # more structures than are there
        (126, 77),  # the byte order
        (324, 1),  # sizes beyond the end
    ],
)
def test_damaged_matlab_files_are_refused_before_scipy_reads_them(tmp_path: Path, place: int, value: int) -> None:
    path, _ = write_eeglab(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[place] = value
    path.write_bytes(raw)
    refused(path, "structure as a MATLAB file is damaged")


def test_whatever_scipy_writes_passes(tmp_path: Path) -> None:
    values = {
        "a": np.zeros((2, 0)),
        "b": [1 + 2j, 3],
        "c": np.array([["x", "yy"]], dtype=object),
        "d": {"e": {"f": "g"}},
    }
    values |= {"h": np.arange(3, dtype=np.int8), "i": scipy.sparse.csc_array(np.eye(3)), "j": np.array([True, False])}
    for packed in (False, True):
        savemat(tmp_path / "x.set", values, appendmat=False, do_compression=packed)
        check_matlab(tmp_path / "x.set")


def test_matlab_files_of_format_7_3_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.set"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(99))
    refused(path, "format 7.3 .HDF5., which is not read.* Save the data set from EEGLAB in format 6 or 7")


def test_epochs_of_eeglab_are_named(tmp_path: Path) -> None:
    refused(write_eeglab(tmp_path, n_trials=2)[0], "holds epochs, not a continuous recording")
