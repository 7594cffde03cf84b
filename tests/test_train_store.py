"""The example store, and examples from simulated and real recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edf_writer import noise, write_edf

from restcli.errors import RecordingError, UsageError
from restcli.events import Events
from restcli.marks.registry import write_events
from restcli.train.settings import TrainSettings
from restcli.train.sources import build_examples, find_tasks
from restcli.train.store import SEIZURE, Examples, Store, Stretch, Task


def _gather(data: list[str], settings: TrainSettings, cache: Path) -> Examples:
    return build_examples(find_tasks(data, settings), settings, cache)


def test_store_drops_what_an_interruption_left(tmp_path: Path) -> None:
    piece = Stretch(np.ones((5, 2, 100), np.float16), np.ones((5, 2), np.uint8), np.arange(5, dtype=np.int8))
    store = Store(tmp_path, ("A", "B"))
    with store.locked():
        store.append("one", [piece])
    with next(tmp_path.glob("*.labels")).open("ab") as file:
        file.write(b"\x07\x07")
    with store.locked():
        store.append("two", [piece, piece])
        examples = store.examples([Task("two", "made", "p"), Task("one", "made", "q")])
    assert [(e.start, e.seconds) for e in examples.items] == [(5, 5), (10, 5), (0, 5)]
    assert examples.labels.tolist() == [0, 1, 2, 3, 4] * 3


def test_simulated_examples_are_kept_and_do_not_depend_on_workers(tmp_path: Path) -> None:
    settings = TrainSettings(recordings=3, seconds=20.0)
    first = _gather(["sim:"], settings, tmp_path / "a")
    calls: list[int] = []
    tasks = find_tasks(["sim:"], settings)
    again = build_examples(tasks, settings, tmp_path / "a", on_progress=lambda done, total, values: calls.append(done))
    apart = _gather(["sim:0-2"], replace(settings, workers=2), tmp_path / "b")
    assert calls == []
    assert np.array_equal(first.spectra, again.spectra)
    assert np.array_equal(first.spectra, apart.spectra)
    assert np.array_equal(first.labels, apart.labels)
    assert first.summary()["simulated"]["recordings"] == len({e.task.key for e in first.items})


def test_recordings_on_disk_give_the_examples_that_their_marks_say(tmp_path: Path) -> None:
    from restcli.io.registry import open_recording
    from restcli.marks.layouts import find_items
    from restcli.simulate.bids import DatasetSettings, write_dataset

    write_dataset(tmp_path / "data", DatasetSettings(recordings=3, hours=0.05, seizures_per_day=1000.0, seed=1))
    examples = _gather([str(tmp_path / "data")], TrainSettings(), tmp_path / "cache")
    items = {item.recording_path: item for item in find_items(tmp_path / "data")}
    assert len(items) == 3
    assert len({example.task.patient for example in examples.items}) == 3
    assert any(ictal.size for ictal in examples.ictal)
    for example in examples.items:
        assert example.task.path is not None
        item = items[example.task.path]
        assert example.seconds == int(open_recording(item.recording_path).duration)
        expected = item.events.mask(np.arange(example.seconds) + 0.5)
        assert np.array_equal(examples.labels_of(example) >= SEIZURE, expected)
    assert examples.present.mean() > 0.7


def test_nonsense_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sim:FIRST-LAST"):
        find_tasks(["sim:some"], TrainSettings())


def test_a_recording_with_too_few_electrodes_is_refused_before_any_work(tmp_path: Path) -> None:
    write_edf(tmp_path / "few.edf", noise(2, 20, 200), 200, labels=("F3", "C3"))
    write_events(Events((), 20.0), tmp_path / "few_events.tsv", "tsv")
    with pytest.raises(RecordingError, match=r"few.edf: only \d of 18 nodes can be derived"):
        find_tasks([str(tmp_path)], TrainSettings())
