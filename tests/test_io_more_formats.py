"""Neuroscan, EGI and Nicolet files, and Nihon Kohden's EEG-1200."""

from __future__ import annotations

import pickle
import struct
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from foreign_files import write_egi, write_neuroscan, write_nicolet, write_nihon_1200
from io_checks import close, refused, stored

from restcli.io.recording import Recording
from restcli.io.registry import is_recording, open_recording, recording_hash
from restcli.signal.montage import DOUBLE_BANANA, derive

NOON = datetime(2021, 3, 15, 14, 15, 16)


def same_in_parts(recording: Recording, values: np.ndarray) -> None:
    """Check samples as a whole and from odd places on, and that a recording travels to workers."""
    rate = recording.channels[0].sfreq
    close(stored(recording), values)
    close(recording.read([1], 101 / rate, 333 / rate), values[1:2, 101:333])
    close(stored(pickle.loads(pickle.dumps(recording))), values)  # noqa: S301


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("block", [1, 40])
def test_neuroscan(tmp_path: Path, width: int, block: int) -> None:
    path, values = write_neuroscan(tmp_path, width=width, block=block)
    recording = open_recording(path)
    assert (recording.format, recording.start, recording.duration) == ("Neuroscan", NOON, 4)
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [(n, "µV", 250) for n in ("Fp1", "Fp2", "Cz")]
    assert recording.repairs == () and is_recording(path) and recording_hash(path)
    same_in_parts(recording, values)


def test_neuroscan_interruptions_are_pauses_of_unknown_length(tmp_path: Path) -> None:
    path, _ = write_neuroscan(tmp_path, events=[(14, 0), (13, 250), (14, 500), (11, 750)])
    recording = open_recording(path)
    assert [s.offset for s in recording.segments] == [0, 2, 3] and recording.clock is None
    assert "2 joins between stretches of unknown distance" in recording.repairs[0]


@pytest.mark.parametrize(("date", "words"), [("03/04/21", "month/day/year"), ("31/31/21", "unreadable")])
def test_neuroscan_dates_that_are_doubtful_are_reported(tmp_path: Path, date: str, words: str) -> None:
    path, _ = write_neuroscan(tmp_path, date=date)
    recording = open_recording(path)
    assert words in " ".join(recording.repairs) and (recording.start is None) == (words == "unreadable")


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [(864, 999, "contradict"), (864, 0, "contradict"), (886, 10**9, "cut off"), (886, 4, "cut off")],
)
def test_neuroscan_headers_that_contradict_the_file_are_refused(
    tmp_path: Path, place: int, value: int, words: str
) -> None:
    path, _ = write_neuroscan(tmp_path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<i", raw, place, value)
    path.write_bytes(raw)
    refused(path, words)


@pytest.mark.parametrize(("version", "bits", "span"), [(4, 0, 0), (6, 0, 0), (2, 0, 0), (2, 12, 2000)])
def test_egi(tmp_path: Path, version: int, bits: int, span: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    path, values = write_egi(tmp_path, version=version, bits=bits, span=span)
    recording = open_recording(path)
    assert (recording.format, recording.duration) == ("EGI", 4)
    assert recording.start == NOON.replace(microsecond=250_000)
    assert [(c.label, c.unit) for c in recording.channels] == [("E1", "µV"), ("E2", "µV"), ("E3", "µV"), ("stim", "")]
    close(stored(recording, [0, 1, 2]), values)
    assert recording.repairs == () and is_recording(path)


def test_egi_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    path, _ = write_egi(tmp_path, version=5)
    refused(path, "segments")
    path, _ = write_egi(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, "cut off")


def test_other_files_with_these_endings_are_no_recordings(tmp_path: Path) -> None:
    for name in ("photo.raw", "a.cnt", "source.e"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 4)
        assert not is_recording(tmp_path / name)
        refused(tmp_path / name, "not EDF or BDF")


def test_recordings_of_other_makers_are_named(tmp_path: Path) -> None:
    for head, words in ((b"RIFF\0\0\0\0CNT LIST", "ANT Neuro"), (b"* MICROMED  Brain", "Micromed"), (b"XDF:", "XDF")):
        (tmp_path / "a.cnt").write_bytes(head + bytes(300))
        refused(tmp_path / "a.cnt", words)


def test_nicolet(tmp_path: Path) -> None:
    pytest.importorskip("eeg2edf")
    path, values = write_nicolet(tmp_path)
    recording = open_recording(path)
    assert recording.format == "Nicolet" and is_recording(path)
    assert recording.start is not None and abs((recording.start - NOON.replace(second=0)).total_seconds()) < 0.01
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [("Fp1-CS2", "µV", 256), ("F3-C3", "µV", 256)]
    np.testing.assert_allclose([(s.start, s.stop) for s in recording.segments], [(0, 2), (32, 34)], atol=0.01)
    assert [s.offset for s in recording.segments] == [0, 2]
    close(recording.read([0, 1], 0, 2), values[:, :512])
    assert len(recording.repairs) == 1 and "could not be tried" in recording.repairs[0]


def test_nicolet_without_its_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "eeg2edf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "editable" not in repr(finder)])
    path, _ = write_nicolet(tmp_path)
    refused(path, r"needs the package eeg2edf, which is not installed. Pip install 'rest-eeg\[vendor\]'")


def test_nihon_1200(tmp_path: Path) -> None:
    pytest.importorskip("eeg2edf")
    names = dict(enumerate("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6".split()))
    path, values = write_nihon_1200(tmp_path, names=names, dates=("210315141516", "210315141616"))
    recording = open_recording(path)
    assert recording.format == "Nihon Kohden" and recording.start == NOON
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 2, 0), (60, 62, 2)]
    assert [c.label for c in recording.channels[:16]] == list(names.values())
    assert [bool(c.problem) for c in recording.channels] == [False] * 16 + [True] * 3  # names by default
    assert len(derive([c.label for c in recording.channels[:16]], DOUBLE_BANANA).nodes) == 16
    np.testing.assert_allclose(recording.read(list(range(16)), 60, 62), values[:16, 400:], atol=0.1)
