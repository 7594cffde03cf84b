"""Data sets on disk: BIDS, readable by others, true to what was drawn, the same bytes for the same settings."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pyedflib
import pytest

from restcli.errors import OutputError, UsageError
from restcli.marks.registry import read_events
from restcli.signal.montage import DOUBLE_BANANA, derive, parse_label
from restcli.simulate.bids import DatasetSettings, _resampled, write_dataset
from restcli.simulate.draw import draw_long


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Path, ...]]:
    root = tmp_path_factory.mktemp("simulated") / "out"
    return root, write_dataset(root, DatasetSettings(4, 0.05, 400.0, seed=5))


def test_a_dataset_is_bids(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    root, paths = dataset
    assert json.loads((root / "dataset_description.json").read_text())["BIDSVersion"] == "1.8.0"
    people = (root / "participants.tsv").read_text().splitlines()
    assert people[0].split("\t")[0] == "participant_id" and len(people) == 5
    for index, path in enumerate(paths):
        name = f"sub-{index + 1:03d}"
        assert path == root / name / "ses-01" / "eeg" / f"{name}_ses-01_task-szMonitoring_run-00_eeg.edf"
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert {"TaskName", "EEGReference", "SamplingFrequency", "PowerLineFrequency", "SoftwareFilters"} <= set(
            sidecar
        )
        assert sidecar["RecordingDuration"] == 180
        assert json.loads((root / "sourcedata" / path.name.replace("_eeg.edf", "_drawn.json")).read_text())["pieces"]
    assert not list(root.rglob("*.part"))


def test_others_read_the_files(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    for path in dataset[1]:
        sidecar = json.loads(path.with_suffix(".json").read_text())
        raw = mne.io.read_raw_edf(path, preload=True, verbose="ERROR")
        with pyedflib.EdfReader(str(path)) as reader:
            assert reader.getFileDuration() == 180
            assert reader.signals_in_file == len(raw.ch_names) == sidecar["EEGChannelCount"]
            assert reader.getSampleFrequency(0) == raw.info["sfreq"] == sidecar["SamplingFrequency"]
            one = reader.readSignal(2)
        assert np.allclose(raw.get_data()[2] * 1e6, one, atol=0.05)
        assert 1 < np.median(raw.get_data().std(axis=1)) * 1e6 < 500
        assert len(derive(raw.ch_names, DOUBLE_BANANA).nodes) >= 9
        assert all(parse_label(label) for label in raw.ch_names)


def test_the_files_hold_what_was_drawn(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    """Back from the file at 200 Hz: the samples are those of `draw_long`, and the table holds its seizures."""
    root, paths = dataset
    drawn = json.loads((root / "sourcedata" / paths[0].name.replace("_eeg.edf", "_drawn.json")).read_text())
    (piece,) = draw_long(drawn["seed"], seconds=180.0, seizures_per_day=400.0)
    table = read_events(str(paths[0]).replace("_eeg.edf", "_events.tsv"), duration=180)
    assert [event.label for event in table] == [event.label for event in piece.events]
    for read, made in zip(table, piece.events, strict=True):
        assert read.onset == pytest.approx(made.onset, abs=0.51) and read.channels == made.channels
    _, data = next(iter(_resampled([piece], drawn["stored"]["rate"])))
    with pyedflib.EdfReader(str(paths[0])) as reader:
        if drawn["stored"]["style"] != "chbmit":
            limit = reader.getPhysicalMaximum(0)
            assert np.abs(np.clip(data[0], -limit, limit) - reader.readSignal(0)).max() <= 1.1 * limit / 32767


def test_headers_name_nobody(dataset: tuple[Path, tuple[Path, ...]]) -> None:
    for path in dataset[1]:
        head = path.read_bytes()[:256].decode("ascii")
        assert head[8:88].split() == ["X", "X", "X", "X"]
        assert head[88:168].split() == ["Startdate", "01-JAN-2000", "X", "X", "X"]


def test_the_same_plan_writes_the_same_bytes(dataset: tuple[Path, tuple[Path, ...]], tmp_path: Path) -> None:
    root, paths = dataset
    again = write_dataset(tmp_path / "again", DatasetSettings(2, 0.05, 400.0, seed=5))
    for path, other in zip(paths, again, strict=False):
        assert path.read_bytes() == other.read_bytes()
        assert path.with_suffix(".json").read_bytes() == other.with_suffix(".json").read_bytes()
    name = paths[1].name.replace("_eeg.edf", "_drawn.json")
    assert (root / "sourcedata" / name).read_bytes() == (tmp_path / "again" / "sourcedata" / name).read_bytes()


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not empty"):
        write_dataset(tmp_path, DatasetSettings(1, 0.05))
    with pytest.raises(UsageError):
        DatasetSettings(0, 1.0)
    with pytest.raises(UsageError):
        DatasetSettings(1, 0.001)


def test_a_run_that_was_killed_in_its_first_recording_can_be_repeated(tmp_path: Path) -> None:
    program = (
        "import os, sys; from restcli.simulate import bids\n"
        "bids._write_edf = lambda *_: os.kill(os.getpid(), 9)\n"
        "bids.write_dataset(sys.argv[1], bids.DatasetSettings(1, 0.02))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "sim")], check=False)
    assert done.returncode == -signal.SIGKILL and list((tmp_path / "sim").iterdir())
    (path,) = write_dataset(tmp_path / "sim", DatasetSettings(1, 0.02))
    assert path.exists() and not list((tmp_path / "sim").rglob("*.part"))
