"""XDF recordings of LabRecorder."""

from __future__ import annotations

import gzip
import pickle
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from foreign_files import write_xdf
from io_checks import close, refused, stored

from restcli.io import xdf_chunks
from restcli.io.registry import is_recording, open_recording, why_no_recording

NOON = datetime(2021, 3, 15, 14, 15, 16)


@pytest.mark.parametrize("form", ["float32", "double64", "int16"])
@pytest.mark.parametrize("stamped", ["all", "first", "some", "none"])
def test_samples_with_and_without_their_time(tmp_path: Path, form: str, stamped: str) -> None:
    path, values = write_xdf(tmp_path, form=form, stamped=stamped)
    recording = open_recording(path)
    assert (recording.format, recording.start, recording.duration) == ("XDF", NOON, 4) and is_recording(path)
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [("Fp1", "µV", 250), ("Fp2", "µV", 250)]
    assert [note.split(" ")[0] for note in recording.repairs] == ["clock"]
    close(stored(recording), values)
    close(pickle.loads(pickle.dumps(recording)).read([1], 0.3, 3.1), values[1:2, 75:775])  # noqa: S301
    assert not any(name in repr(recording) for name in ("Erika", "Schmidt"))


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1e3), ("nanovolts", 1e-3), ("", 1), ("uV", 1)])
def test_units(tmp_path: Path, unit: str, factor: float) -> None:
    path, values = write_xdf(tmp_path, unit=unit)
    recording = open_recording(path)
    close(stored(recording), values * factor)
    assert any("microvolts assumed" in note for note in recording.repairs) == (not unit)
    recording = open_recording(write_xdf(tmp_path, unit="Schmidt")[0])
    assert recording.channels[0].unit == "unknown" and "unit unknown; left out" in recording.repairs[0]


@pytest.mark.parametrize("jitter", [0.0, 0.01])
def test_pauses_are_gaps_in_spite_of_jitter(tmp_path: Path, jitter: float) -> None:
    times = np.arange(15_000) / 250
    times[5130:] += 0.3
    times[9211:] += 20
    times += np.random.default_rng(2).normal(0, jitter, size=len(times))
    path, values = write_xdf(tmp_path, stamped="all", times=times)
    recording = open_recording(path)
    assert [s.offset for s in recording.segments] == pytest.approx([0, 5130 / 250, 9211 / 250], abs=1e-9)
    assert [s.start for s in recording.segments] == pytest.approx([0, 20.82, 57.144], abs=0.02)
    close(recording.read([0], recording.segments[2].start, recording.duration), values[:1, 9211:])


def test_late_stamps_are_no_gap(tmp_path: Path) -> None:
    """The computer was busy for a while: samples came late, and none is missing."""
    times = np.arange(15_000) / 250
    times[4000:4040] = times[4040]
    recording = open_recording(write_xdf(tmp_path, stamped="all", times=times)[0])
    assert len(recording.segments) == 1 and recording.duration == pytest.approx(60, abs=0.01)


def test_clock_that_drifts_is_followed_and_one_that_was_set_is_refused(tmp_path: Path) -> None:
    times = np.arange(15_000) / 250
    offsets = [(t, 40 + 1e-3 * t + 1e-5 * (t % 7)) for t in np.arange(0, 60, 5.0)]
    recording = open_recording(write_xdf(tmp_path, times=times, offsets=offsets)[0])
    assert recording.duration == pytest.approx(60, abs=0.1) and len(recording.segments) == 1
    slow = open_recording(write_xdf(tmp_path, times=times * 1.002 * 25, stamped="none")[0])
    assert slow.duration == 60  # without stamps there is nothing to follow
    drifting = np.arange(75_000) / 250 * 1.003
    recording = open_recording(write_xdf(tmp_path, times=drifting)[0])
    assert recording.duration == pytest.approx(300.9, abs=0.01) and "drift steadily" in recording.repairs[-1]
    refused(write_xdf(tmp_path, times=times, offsets=[*offsets, (60.0, 3000.0)])[0], "clock of its EEG stream was set")
    times[8000:] -= 15
    refused(write_xdf(tmp_path, times=times, stamped="all")[0], "clock was set back")


def test_offsets_of_a_short_while_do_not_stretch_a_recording(tmp_path: Path) -> None:
    """Two measurements close to each other differ by their own errors."""
    times = np.arange(15_000) / 250
    for offsets in ([(0.0, 0.0), (1.0, 0.002)], [(0.0, 0.0), (1e-6, 0.5)]):
        recording = open_recording(write_xdf(tmp_path, times=times, offsets=offsets)[0])
        assert recording.duration == 60 and len(recording.repairs) == 1
    refused(write_xdf(tmp_path, times=times, offsets=[(0.0, 0.0), (5.0, 3000.0)])[0], "clock .* was set")


@pytest.mark.parametrize("bad", [1e300, -1e308, np.inf, np.nan])
def test_absurd_numbers_in_a_damaged_file_are_no_times_and_no_samples(tmp_path: Path, bad: float) -> None:
    times = np.arange(15_000) / 250
    times[[700, 701, 5000]] = bad
    offsets = [(t, 40.0) for t in (0.0, 20.0, 40.0, 60.0)] + [(bad, 40.0), (2 * bad, bad)]
    path, values = write_xdf(tmp_path, times=times, offsets=offsets, stamped="all")
    raw = path.read_bytes()
    signalling = values[0, 10:11].astype("<f4").tobytes() + values[1, 10:11].astype("<f4").tobytes()
    assert raw.count(signalling) == 1
    path.write_bytes(raw.replace(signalling, b"\1\0\xa0\x7f" * 2))
    recording = open_recording(path)
    assert recording.duration == pytest.approx(60, abs=0.01) and len(recording.segments) == 1
    found = stored(recording)
    assert np.isnan(found[:, 10]).all()
    close(np.delete(found, 10, axis=1), np.delete(values, 10, axis=1))


def test_headers_of_streams_that_would_fill_the_memory_are_not_read(tmp_path: Path) -> None:
    path, _ = write_xdf(tmp_path)
    first = b"\4" + struct.pack("<IHI", 6 + 2**22, 2, 50)
    path.write_bytes(path.read_bytes()[:4] + first + b" " * 2**22 + path.read_bytes()[4:])
    refused(path, "it holds no streams")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<type>EEG</type><channel_c", "<type>Gaze</type><channel_c", "none of its 2 streams is of the type EEG"),
        ("<nominal_srate>250", "<nominal_srate>0", "no regular sampling rate"),
        ("<nominal_srate>250", "<nominal_srate>1e30", "impossible sampling rate"),
        ("<channel_count>2", "<channel_count>-2", "impossible number of channels"),
        ("<channel_count>2", "<channel_count>3", "3 channels and names 2"),
        ("float32", "string", "not numbers"),
        ("<channels>", "<x></channels>", "not valid XML"),
        ("<?xml version='1.0'?>", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>", "not valid XML"),
    ],
)
def test_streams_that_cannot_be_used_say_why(tmp_path: Path, old: str, new: str, words: str) -> None:
    refused(write_xdf(tmp_path, changes=(old, new))[0], words)


def test_channels_without_names_are_numbered_for_a_map(tmp_path: Path) -> None:
    path, values = write_xdf(tmp_path, changes=("desc>", "others>"))
    recording = open_recording(path)
    assert [(c.label, c.unit) for c in recording.channels] == [("Ch1", "µV"), ("Ch2", "µV")]
    assert "microvolts assumed" in recording.repairs[0]
    close(stored(recording), values)


def test_several_streams_of_eeg_are_not_guessed(tmp_path: Path) -> None:
    refused(write_xdf(tmp_path, streams=2)[0], "2 streams of EEG.* Convert its EEG stream to EDF")


def test_file_that_is_cut_off_is_read_to_its_last_chunk(tmp_path: Path) -> None:
    path, values = write_xdf(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    recording = open_recording(path)
    n_samples = recording.channels[0].n_samples
    assert n_samples % 100 == 0 and 400 <= n_samples <= 500 and "damaged or cut off" in recording.repairs[0]
    close(stored(recording), values[:, :n_samples])
    path.write_bytes(raw[:100])
    refused(path, "holds no streams")
    path.write_bytes(raw[:4] + b"\x08" + b"\xff" * 8 + raw[13:])
    refused(path, "holds no streams")


def test_more_chunks_than_are_read_are_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdf_chunks, "_MOST_CHUNKS", 8)
    refused(write_xdf(tmp_path)[0], "more than 8 chunks")


def test_compressed_files_are_named(tmp_path: Path) -> None:
    path, _ = write_xdf(tmp_path)
    for name in ("y.xdfz", "y.mfz", "y.xdf.gz"):
        packed = tmp_path / name
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert not is_recording(packed) and "unpack" in why_no_recording(packed)
        refused(packed, "compressed")
    (tmp_path / "x.xdfz").write_bytes(b"")
    assert why_no_recording(tmp_path / "x.xdfz") == ""  # unpacked beside it
