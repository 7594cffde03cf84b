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
from restcli.train.store import Examples, ExampleStore, Stretch, Task


def _gather(data: list[str], settings: TrainSettings, cache: Path) -> Examples:
    return build_examples(find_tasks(data, settings), settings, cache)


def test_a_recording_is_in_the_store_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (5, 2)
    relative = np.full(shape, 0.5, np.float32)
    piece = Stretch(np.ones((*shape, 100), np.float16), np.ones(shape, np.uint8), relative, np.arange(5, dtype=np.int8))
    one, two, none = (Task(name, "made", name) for name in ("one", "two", "none"))
    store = ExampleStore(tmp_path, ("A", "B"))
    for task, stretches in ((one, [piece]), (two, [piece, piece]), (none, [])):
        store.add(task, stretches)
    examples = store.examples([two, none, one])
    assert [(example.task.key, example.stretch.seconds) for example in examples.items] == [
        ("two", 5),
        ("two", 5),
        ("one", 5),
    ]
    assert examples.labels().tolist() == [0, 1, 2, 3, 4] * 3
    assert all((stretch.spectra == 1).all() and (stretch.present == 1).all() for stretch in examples.stretches)
    assert all((stretch.relative == 0.5).all() for stretch in examples.stretches)

    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.add(Task("three", "made", "p"), [piece])
    assert sorted(tmp_path.iterdir()) == before
    assert store.path(one) != ExampleStore(tmp_path, ("A", "C")).path(one)


def test_simulated_examples_are_kept_and_do_not_depend_on_workers(tmp_path: Path) -> None:
    settings = TrainSettings(recordings=3, seconds=20.0)
    first = _gather(["sim:"], settings, tmp_path / "a")
    calls: list[int] = []
    tasks = find_tasks(["sim:"], settings)
    again = build_examples(tasks, settings, tmp_path / "a", on_progress=lambda done, total, values: calls.append(done))
    apart = _gather(["sim:0-2"], replace(settings, workers=2), tmp_path / "b")
    assert calls == []
    for one, *others in zip(first.stretches, again.stretches, apart.stretches, strict=True):
        assert all(np.array_equal(one.spectra, other.spectra) for other in others)
        assert all(np.array_equal(one.labels, other.labels) for other in others)
        assert all(np.array_equal(one.relative, other.relative) for other in others)
        assert one.relative.std() > 0
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
    assert any(stretch.ictal.any() for stretch in examples.stretches)
    for example in examples.items:
        assert example.task.path is not None
        item = items[example.task.path]
        assert example.stretch.seconds == int(open_recording(item.recording_path).duration)
        expected = item.events.mask(np.arange(example.stretch.seconds) + 0.5)
        assert np.array_equal(example.stretch.ictal, expected)
        assert example.stretch.present.mean() > 0.7


def test_nonsense_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sim:FIRST-LAST"):
        find_tasks(["sim:some"], TrainSettings())


def test_a_recording_with_too_few_electrodes_is_refused_before_any_work(tmp_path: Path) -> None:
    write_edf(tmp_path / "few.edf", noise(2, 20, 200), 200, labels=("F3", "C3"))
    write_events(Events((), 20.0), tmp_path / "few_events.tsv", "tsv")
    with pytest.raises(RecordingError, match=r"few.edf: only \d of 18 nodes can be derived"):
        find_tasks([str(tmp_path)], TrainSettings())
