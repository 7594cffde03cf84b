"""EGI recordings: a folder of blocks of floats and headers in XML."""

from __future__ import annotations

import os
import pickle
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from foreign_files import write_mff
from io_checks import close, refused, stored

from restcli.archive.walk import walk_archive
from restcli.cli.review import _reports
from restcli.errors import OutputError
from restcli.io.mff_nets import _SENSORS, electrodes_of
from restcli.io.registry import files_of, is_recording, open_recording, recording_hash, stamp_of
from restcli.marks.layouts import find_items, passed_over
from restcli.signal.montage import ALIASES, DOUBLE_BANANA, derive, electrode_position

NOON = datetime(2021, 3, 15, 14, 15, 16, 250_000)


@pytest.mark.parametrize("nano", [False, True])
def test_samples_gains_and_pauses(tmp_path: Path, nano: bool) -> None:
    path, values = write_mff(tmp_path, pauses=(0.5, 10, 3), nano=nano)
    recording = open_recording(path)
    assert (recording.format, recording.duration) == ("EGI MFF", 19)
    assert recording.start == NOON + timedelta(seconds=0.5)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 2, 0), (12, 14, 2), (17, 19, 4)]
    for number, segment in enumerate(recording.segments):
        part = values[:, 500 * number : 500 * (number + 1)]
        close(recording.read(list(range(33)), segment.start, segment.stop), part)
        close(recording.read([7, 3], segment.start + 0.3, segment.start + 1.7), part[[7, 3], 75:425])
    again = pickle.loads(pickle.dumps(recording))  # noqa: S301
    close(again.read([0], 0, 2), values[:1, :500])
    assert not any(name in repr(recording) for name in ("Erika", "Schmidt"))


def test_epochs_without_a_pause_are_one_stretch(tmp_path: Path) -> None:
    path, values = write_mff(tmp_path, pauses=(0, 0, 10, 0.001))
    recording = open_recording(path)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 4, 0), (14, 18, 4)]
    close(recording.read([5], 14, 18), values[5:6, 1000:])


def test_sensors_of_a_net_are_named_by_the_10_20_system(tmp_path: Path) -> None:
    recording = open_recording(write_mff(tmp_path)[0])
    labels = [channel.label for channel in recording.channels]
    assert labels[:3] == ["Fp1-Cz", "Fp2-Cz", "F3-Cz"] and labels[17] == "E18" and labels[-1] == "VREF"
    assert derive(labels, DOUBLE_BANANA).missing == ()
    assert len(recording.repairs) == 1 and "HydroCel" in recording.repairs[0]
    labels = [c.label for c in open_recording(write_mff(tmp_path, reference=False)[0]).channels]  # against another
    assert labels[0] == "Fp1" and labels[-1] == "Cz" and derive(labels, DOUBLE_BANANA).missing == ()


def test_sensors_of_other_nets_have_numbers_only(tmp_path: Path) -> None:
    recording = open_recording(write_mff(tmp_path, net="Geodesic Sensor Net 32 2.0")[0])
    assert [c.label for c in recording.channels][:2] == ["E1", "E2"] and recording.channels[-1].label == "VREF"
    assert derive([c.label for c in recording.channels], DOUBLE_BANANA).nodes == ()


@pytest.mark.parametrize("size", _SENSORS)
def test_electrodes_of_a_net_lie_where_their_names_say(size: str) -> None:
    """Left and right sensors are mirror images, and each lies nearest to its own place of the 10-20 system."""
    mne = pytest.importorskip("mne")
    net = "GSN-HydroCel-65_1.0" if size == "64" else f"GSN-HydroCel-{int(size) + (size != '32')}"
    places = mne.channels.make_standard_montage(net).get_positions()["ch_pos"]
    vertex = str(int(size) + 1)
    sensors = electrodes_of(f"HydroCel GSN {size} 1.0")
    found = {name: places["Cz" if number == vertex else f"E{number}"] for number, name in sensors.items()}
    assert len(found) == 19
    for left, right in (name.split() for name in "Fp1 Fp2,F3 F4,C3 C4,P3 P4,O1 O2,F7 F8,T7 T8,P7 P8".split(",")):
        np.testing.assert_allclose(found[left] * [-1, 1, 1], found[right], atol=1e-3)
        assert found[left][0] < 0
    ours = {name: electrode_position(ALIASES.get(name.upper(), name.upper())) for name in found}
    for name, place in found.items():
        assert max(ours, key=lambda other: float(np.dot(ours[other], place))) == name


def test_folder_stands_for_the_recording(tmp_path: Path) -> None:
    path, _ = write_mff(tmp_path)
    assert is_recording(path) and not any(is_recording(file) for file in path.iterdir())
    assert {file.name for file in files_of(path)} == {file.name for file in path.iterdir()}
    (path / "film.mov").write_bytes(b"large")
    for file in files_of(path):
        assert files_of(file) == files_of(path) and recording_hash(file) == recording_hash(path)
        assert open_recording(file).path == path
        before, raw, status = (recording_hash(path), stamp_of(path)), file.read_bytes(), file.stat()
        file.write_bytes(raw + b" ")
        assert recording_hash(path) != before[0] and stamp_of(path) != before[1]
        file.write_bytes(raw)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert (recording_hash(path), stamp_of(path)) == before


def test_archives_and_data_sets_find_the_folder_and_do_not_look_into_it(tmp_path: Path) -> None:
    place = tmp_path / "in" / "sub-01" / "eeg"
    place.mkdir(parents=True)
    (tmp_path / "in" / "dataset_description.json").write_text("{}")
    path = shutil.move(write_mff(tmp_path)[0], place / "sub-01_task-rest_eeg.mff")
    listings = list(walk_archive(tmp_path / "in", tmp_path / "out"))
    found = [found for listing in listings for found in listing.recordings]
    assert [each.path for each in found] == ["sub-01/eeg/sub-01_task-rest_eeg.mff"]
    assert found[0].stem == "sub-01/eeg/sub-01_task-rest" and (found[0].size, found[0].mtime_ns) == stamp_of(path)
    assert not any(listing.skipped for listing in listings) and passed_over(tmp_path / "in") == ()
    (place / "sub-01_task-rest_events.tsv").write_text(
        "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
        "0.00\t2.00\tbckg\tn/a\tn/a\tn/a\t2.00\n"
    )
    for root in (tmp_path / "in", path):
        (item,) = find_items(root)
        assert item.recording_path == Path(path) and len(item.events) == 0 and item.source == "bids"


def test_review_takes_the_folder_for_a_recording(tmp_path: Path) -> None:
    path, _ = write_mff(tmp_path)
    with pytest.raises(OutputError, match=r"a_run\.json: does not exist.*--out"):
        _reports(path, tmp_path, annotate=False)


def test_file_that_is_cut_off_is_read_to_its_last_block(tmp_path: Path) -> None:
    path, values = write_mff(tmp_path, pauses=(0, 10))
    samples = path / "signal1.bin"
    raw = samples.read_bytes()
    samples.write_bytes(raw[:-100])
    recording = open_recording(path)
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 2), (12, 12.8)]
    assert recording.missing == pytest.approx(1.2) and any("1.2 s of the 4 s" in note for note in recording.repairs)
    close(recording.read([0], 12, 12.8), values[:1, 500:700])
    samples.write_bytes(raw[: len(raw) // 3])
    recording = open_recording(path)
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 0.8)] and recording.missing == pytest.approx(3.2)


@pytest.mark.parametrize("nano", [False, True])
def test_the_unit_of_times_is_known_without_a_whole_epoch(tmp_path: Path, nano: bool) -> None:
    path, _ = write_mff(tmp_path, pauses=(1.0,), nano=nano)
    (path / "signal1.bin").write_bytes((path / "signal1.bin").read_bytes()[:-100])
    recording = open_recording(path)
    assert (recording.duration, recording.missing) == (0.8, pytest.approx(1.2))
    assert recording.start == NOON + timedelta(seconds=1)


def test_headers_that_would_fill_the_memory_are_not_parsed(tmp_path: Path) -> None:
    path, _ = write_mff(tmp_path)
    (path / "epochs.xml").write_bytes(b"<epochs>" + b"<epoch/>" * 2**19 + b"</epochs>")
    refused(path, "header is too large")


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("epochs.xml", "<lastBlock>3<", "<lastBlock>2<", "leave out blocks"),
        ("epochs.xml", "<lastBlock>6<", "<lastBlock>9<", "contradict each other"),
        ("epochs.xml", "<endTime>2000000<", "<endTime>9000000<", "contradict its number of samples"),
        ("epochs.xml", "<beginTime>0<", "<beginTime>Erika<", "epochs cannot be read"),
        ("epochs.xml", "<?xml", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><?xml", "not valid XML"),
        ("epochs.xml", "</epochs>", "", "not valid XML"),
        ("sensorLayout.xml", "<type>2<", "<type>0<", "34 sensors and its samples 33 channels"),
        ("info1.xml", "<EEG>", "<PNSData/><EEG2>", "not valid XML"),
        (
            "info1.xml",
            "</calibrations>",
            "<calibration><type>GCAL</type></calibration></calibrations>",
            "more than once",
        ),
    ],
)
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, name: str, old: str, new: str, words: str) -> None:
    refused(write_mff(tmp_path, pauses=(0, 10), changes={name: (old, new)})[0], words)


def test_folders_that_are_no_continuous_recording_are_refused(tmp_path: Path) -> None:
    path, _ = write_mff(tmp_path)
    (path / "categories.xml").write_text("<categories/>")
    refused(path, "epochs or averages")
    (path / "categories.xml").unlink()
    for name in ("epochs.xml", "sensorLayout.xml"):
        moved = (path / name).rename(tmp_path / name)
        refused(path, f"{name.lower()} is missing")
        moved.rename(path / name)
    (path / "info1.xml").unlink()
    refused(path, "no signals of the type EEG")
    (tmp_path / "b.mff").mkdir()
    refused(tmp_path / "b.mff", "holds no samples")
    (tmp_path / "c.mff").write_bytes(b"no folder" * 40)
    refused(tmp_path / "c.mff", "not EDF or BDF")


def test_doubtful_gains_and_times_are_reported(tmp_path: Path) -> None:
    changes = {"info1.xml": ('n="3">0.5625<', 'n="3">-1<'), "info.xml": ("2021-03-15T", "15 March")}
    recording = open_recording(write_mff(tmp_path, changes=changes)[0])
    assert recording.start is None and "clock times are unknown" in recording.repairs[-1]
    assert recording.channels[2].problem and "'F3-Cz': its gain is not a positive number" in recording.repairs[1]
    assert np.isfinite(stored(recording, [0])).all()
