"""Neuroscan, ANT Neuro, EGI, Nicolet, Curry and Micromed files, and Nihon Kohden's EEG-1200."""

from __future__ import annotations

import pickle
import struct
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from foreign_files import (
    write_ant,
    write_ant_events,
    write_curry,
    write_egi,
    write_micromed,
    write_neuroscan,
    write_nicolet,
    write_nihon_1200,
)
from io_checks import close, refused, stored

from restcli.errors import RecordingError
from restcli.io import ant, ant_child
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


@pytest.mark.parametrize("rf64", [False, True])
def test_ant_is_read_as_antio_reads_it(tmp_path: Path, rf64: bool) -> None:
    antio = pytest.importorskip("antio")
    path, values = write_ant(tmp_path, rf64=rf64)
    recording = open_recording(path)
    assert (recording.format, recording.duration) == ("ANT Neuro", 8)
    assert recording.start == datetime(2021, 3, 15, 14, 15, 46, 250_000)
    labels = ("Fp1-CPz", "Fp2-CPz", "Cz-CPz", "BIP1")
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [(label, "µV", 250) for label in labels]
    assert len(recording.repairs) == 1 and "made files only" in recording.repairs[0] and is_recording(path)
    np.testing.assert_array_equal(stored(recording), antio.read_cnt(path).get_samples_as_nparray(0, 2000))
    same_in_parts(recording, values)
    before = recording_hash(path)
    moved = path.rename(tmp_path / "A.CNT")
    assert recording_hash(moved) == before
    close(stored(open_recording(moved)), values)
    write_ant_events(moved, [(2, 0, "Amplifier disconnected", "")], start=44270.5942824074)
    assert recording_hash(moved) != before and len(open_recording(moved).segments) == 1


@pytest.mark.parametrize(("unit", "known", "factor"), [("mV", "µV", 1000), ("Schmidt", "unknown", 1)])
def test_ant_units(tmp_path: Path, unit: str, known: str, factor: float) -> None:
    pytest.importorskip("antio")
    path, values = write_ant(tmp_path, unit=unit)
    recording = open_recording(path)
    assert {channel.unit for channel in recording.channels} == {known}
    assert ("unit unknown; left out" in recording.repairs[0]) == (known != "µV")
    close(stored(recording), values * factor)


def test_ant_interruptions_are_not_scored_and_pauses_are_gaps(tmp_path: Path) -> None:
    pytest.importorskip("antio")
    path, values = write_ant(tmp_path)
    off, on = "Amplifier disconnected", "Amplifier reconnected"
    events = [(1, 0, "Erika Schmidt", "Erika Schmidt"), (2, 0, off, ""), (4, 0, on, ""), (5, 1, "", "impedance")]
    write_ant_events(path, events, start=44270.5942824074)
    recording = open_recording(path)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 2, 0), (4, 5, 4), (6, 8, 6)]
    assert "for 3 s; not scored" in recording.repairs[-1] and "Schmidt" not in repr(recording)
    np.testing.assert_array_equal(np.isnan(stored(recording)[0]), np.isin(np.arange(2000) // 250, [2, 3, 5]))
    close(recording.read([1], 6, 8), values[1:2, 1500:])
    write_ant_events(path, [(0, 0, off, "")], start=44270.5942824074)
    refused(path, "disconnected all the time")
    path.with_suffix(".evt").unlink()
    path.with_suffix(".trg").write_text("0.004 12\n0.0 900 __\n3.0 900 __\n")
    recording = open_recording(path)
    assert [s.offset for s in recording.segments] == [0, 3] and recording.clock is None
    path.with_suffix(".trg").unlink()
    path.with_suffix(".seg").write_text("NumberSegments=2\n44270.5949768518 0.25 500\n")
    recording = open_recording(path)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 6, 0), (60, 62, 6)]
    assert recording.clock is not None
    path.with_suffix(".seg").write_text("NumberSegments=3\n44270.5949768518 0.25 500\n")
    refused(path, "does not fit the file")


def test_ant_files_cut_off_or_without_its_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.cnt"
    header = b"[Sampling Rate]\n256.0\n"
    body = b"CNT eeph" + struct.pack("<I", len(header)) + header
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert is_recording(path)
    (tmp_path / "antio.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    refused(path, r"needs the package antio, which is not installed. Pip install 'rest-eeg\[ant\]'")
    path.write_bytes(path.read_bytes()[:-9])
    refused(path, "cut off")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_ant_files_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("antio")
    script = tmp_path / "child.py"
    script.write_text(Path(ant_child.__file__).read_text().replace("_PATIENCE = 60", "_PATIENCE = 10"))
    monkeypatch.setattr("restcli.io.ant_child.__file__", str(script))  # some copies make antio go round in circles
    path, _ = write_ant(tmp_path, seconds=2)
    whole, random, n_refused = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(150):
        raw = bytearray(whole)
        # The header is at the end, and most of what crashes antio.
        for place in random.integers(0, 1200, 4):
            raw[place if place < 100 else -place + 100] = random.integers(256)
        path.write_bytes(raw)
        try:
            stored(open_recording(path))
        except RecordingError as error:
            assert "Schmidt" not in str(error)
            n_refused += 1
    assert 30 < n_refused < 150


def test_an_ant_reader_that_ends_or_hangs_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.cnt"
    header = b"[Sampling Rate]\n256.0\n"
    body = b"CNT eeph" + struct.pack("<I", len(header)) + header
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    script, own = tmp_path / "child.py", Path(ant_child.__file__)
    monkeypatch.setattr("restcli.io.ant_child.__file__", str(script))
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    refused(path, "it is damaged: the library antio cannot open it")
    said = {"channels": [["Fp1", "uV", ""]], "n_samples": 512, "start": [0, 0], "events": [], "unreadable": 1}
    script.write_text(f"import json; print(json.dumps({said!r}), flush=True); input(); print('abc')")
    recording = open_recording(path)
    assert "1 event unreadable" in recording.repairs[1] and recording.start is None
    with pytest.raises(RecordingError, match="damaged: the library antio cannot read it to its end"):
        recording.read([0], 0, 2)
    slow = (
        own.read_text()
        .replace("_PATIENCE = 60", "_PATIENCE = 0.2")
        .replace("    try:\n", "    sys.stdin.read()\n    try:\n", 1)
    )
    assert slow.count("0.2") == slow.count("    sys.stdin.read()") == 1
    script.write_text(slow)
    refused(path, "it is damaged")


_LIBRARY = """
class pyeep:
    read = get_trigger_count = lambda *_: 0
    get_channel_count = get_sample_count = lambda *_: 1
    get_channel_label = get_channel_unit = get_channel_reference = lambda *_: b"x"
    get_start_date_and_fraction = lambda *_: [0, 0]
"""


@pytest.mark.timeout(30)
def test_an_answer_on_an_ant_file_that_is_too_long_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, header = tmp_path / "a.cnt", b"[Sampling Rate]\n256.0\n"
    body = b"CNT eeph" + struct.pack("<I", len(header)) + header
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    (tmp_path / "antio").mkdir()
    (tmp_path / "antio" / "libeep.py").write_text(_LIBRARY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(ant, "_LONGEST_ANSWER", 10)
    refused(path, "the library antio cannot open it")


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


@pytest.mark.parametrize("version", [7, 8])
@pytest.mark.parametrize("unit", ["uV", "mV"])
def test_curry(tmp_path: Path, version: int, unit: str) -> None:
    path, values = write_curry(tmp_path, version=version, unit=unit)
    recording = open_recording(path)
    assert (recording.format, recording.start) == ("Curry", NOON.replace(microsecond=250_000))
    found = [(c.label, c.unit, c.sfreq) for c in recording.channels]
    assert found == [("Fp2", "µV", 250), ("Cz", "µV", 250), ("Fp1", "µV", 250), ("Trigger", "", 250)]
    assert recording.duration == 4 and len(recording.repairs) == 1 and "'Trigger': unit unknown" in recording.repairs[0]
    factors = np.array([[1e3 if unit == "mV" else 1.0]] * 3 + [[1.0]])
    same_in_parts(recording, values * factors)
    assert sorted(f.name for f in tmp_path.iterdir() if is_recording(f)) == [path.name]
    before = recording_hash(path)
    for part in tmp_path.iterdir():
        part.rename(part.with_name(part.name.upper()))
    assert recording_hash(tmp_path / path.name.upper()) == before
    moved = open_recording(tmp_path / "C.DAT") if version == 7 else open_recording(tmp_path / "C.CDT")
    same_in_parts(moved, values * factors)


def test_curry_samples_that_are_no_number_are_not_used(tmp_path: Path) -> None:
    path, values = write_curry(tmp_path)
    values[1, 100:103] = np.nan, np.inf, 1e30
    path.write_bytes(values.T.tobytes())
    assert np.isnan(stored(open_recording(path))[1]).sum() == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NumTrials": "3"}, "epochs"),
        ({"DataFormat": "ASCII"}, "not stored as floats"),
        ({"DataSampOrder": "CHAN"}, "not stored as floats"),
        ({"DataByteOrder": "MOTOROLA"}, "lowest byte first"),
        ({"NumChannels": "3"}, "do not fit its number of channels"),
        ({"SampleFreqHz": "500"}, "two sampling rates"),
        ({"SampleTimeUsec": "0", "SampleFreqHz": "0"}, "impossible sampling rate"),
        ({"SampleTimeUsec": "1e-999999999"}, "impossible sampling rate"),
        ({"NumSamples": "many"}, "cannot be read"),
        ({"DataGuid": "{2912E8D8-F5C8-4E25-A8E7-A1385967DA09}"}, "compressed"),
    ],
)
def test_curry_recordings_that_cannot_be_used_say_why(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    refused(write_curry(tmp_path, changes=changes)[0], words)


def test_curry_files_that_differ_from_their_header_are_reported_or_refused(tmp_path: Path) -> None:
    path, _ = write_curry(tmp_path, changes={"NumSamples": "1250", "StartMonth": "0"})
    recording = open_recording(path)
    assert (recording.duration, recording.missing, recording.start) == (4, 1, None)
    assert any("1 s of the 5 s" in repair for repair in recording.repairs)
    path.write_bytes(path.read_bytes()[:-4])
    refused(path, "does not fit the number of channels")
    (tmp_path / "c.cdt.dpa").unlink()
    refused(path, r"header \(.cdt.dpa\) is not beside it")


@pytest.mark.parametrize("width", [1, 2])
def test_micromed(tmp_path: Path, width: int) -> None:
    path, values = write_micromed(tmp_path, width=width)
    recording = open_recording(path)
    assert (recording.format, recording.start, recording.duration) == ("Micromed", NOON, 4)
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [
        (f"{name}-G2", "µV", 256) for name in ("Fp1", "Fp2", "Cz")
    ]
    assert recording.repairs == () and is_recording(path)
    rate = recording.channels[0].sfreq
    np.testing.assert_allclose(stored(recording), values, atol=1e-3)
    np.testing.assert_allclose(recording.read([1], 101 / rate, 333 / rate), values[1:2, 101:333], atol=1e-3)


@pytest.mark.parametrize("cuts", [[(0, 0), (100, 200)], [(100, 0), (50, 200)], [(0, 0), (400, 500), (500, 700)]])
def test_micromed_parts_that_overlap_are_refused_for_what_they_are(tmp_path: Path, cuts: list[tuple[int, int]]) -> None:
    path, _ = write_micromed(tmp_path, cuts=cuts)
    with pytest.raises(RecordingError, match="table of cuts says that parts overlap"):
        open_recording(path)


def test_micromed_cuts_are_gaps(tmp_path: Path) -> None:
    path, _ = write_micromed(tmp_path, cuts=[(2560, 512), (25_600, 768)])
    recording = open_recording(path)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 2, 0), (10, 11, 2), (100, 101, 3)]
    assert recording.clock == NOON
    path, _ = write_micromed(tmp_path, cuts=[(2560, 0), (5120, 512)])
    recording = open_recording(path)
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (10, 2)]
    assert recording.clock is None and "cut out of a longer recording" in recording.repairs[0]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (175, b"\3", "of type 3"),
        (150, b"\1", "compressed"),
        (148, b"\3", "impossible numbers"),
        (144, b"\x07", "impossible numbers"),
        (138, b"\xff\xff\xff", "cut off"),
        (176, b"ORDERS", "ORDER is missing"),
        (146, b"\0\0", "sampling rates"),
    ],
)
def test_micromed_headers_that_cannot_be_used_say_why(tmp_path: Path, place: int, value: bytes, words: str) -> None:
    path, _ = write_micromed(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[place : place + len(value)] = value
    path.write_bytes(raw)
    refused(path, words)


def test_micromed_channels_in_other_units_or_without_a_range(tmp_path: Path) -> None:
    path, _ = write_micromed(tmp_path)
    raw = bytearray(path.read_bytes())
    labels = 640 + 512
    struct.pack_into("<h", raw, labels + 128 + 34, 55)
    struct.pack_into("<2i", raw, labels + 3 * 128 + 26, 5, 5)
    path.write_bytes(raw)
    recording = open_recording(path)
    assert [c.unit for c in recording.channels] == ["µV", "unknown", "µV"] and recording.channels[0].problem
    assert "'Fp1-G2': its range is empty" in recording.repairs[0] and "'Fp2-G2': unit unknown" in recording.repairs[1]
    struct.pack_into("<H", raw, labels + 4 * 128 + 44, 1)
    path.write_bytes(raw)
    refused(path, "different or impossible sampling rates")
