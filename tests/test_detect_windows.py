"""Blocks are scored on threads: errors and Ctrl-C come through, memory is bounded, nothing depends on their number."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edf_writer import noise, write_edf

from restcli.detect import windows
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.io.recording import Block, Recording
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return open_recording(write_edf(tmp_path_factory.mktemp("edf") / "noise.edf", noise(19, 60, 200), 200))


@pytest.fixture(scope="module")
def detector(toy_weights: Path) -> Detector:
    detector = Detector(load_weights(toy_weights), "cpu")
    change(detector, block_seconds=5)
    return detector


def change(detector: Detector, **parts: Any) -> None:
    """Change parts of the backend."""
    detector.engine = replace(detector.engine, backend=replace(detector.engine.backend, **parts))


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("restcli")]
    torch.set_num_threads(before)


def test_error_of_the_reader_comes_through(
    recording: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Recording.blocks

    def failing(self: Recording, *args: Any, **options: Any) -> Iterator[Block]:
        for number, block in enumerate(blocks(self, *args, **options)):
            if number == 4:
                raise OSError("the disk is gone")
            yield block

    monkeypatch.setattr(Recording, "blocks", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        detector.annotate(recording, Settings())


def test_error_of_a_worker_comes_through(
    recording: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))
    summarise = detector.engine.backend.summarise

    def failing(*args: Any, **options: Any) -> Any:
        if next(calls) == 3:
            raise ZeroDivisionError
        return summarise(*args, **options)

    backend = replace(detector.engine.backend, summarise=failing)
    monkeypatch.setattr(detector, "engine", replace(detector.engine, backend=backend))
    with pytest.raises(ZeroDivisionError):
        detector.annotate(recording, Settings())


def test_ctrl_c_ends_the_workers(recording: Recording, detector: Detector) -> None:
    def interrupt(done: float, _total: float) -> None:
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detector.annotate(recording, Settings(), on_progress=interrupt)


def test_reader_waits_for_the_workers(
    recording: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, alive = Recording.blocks, []
    read, done = [0], [0]

    def counting(self: Recording, *args: Any, **options: Any) -> Iterator[Block]:
        for block in blocks(self, *args, **options):
            read[0] += 1
            alive.append(read[0] - done[0])
            yield block

    def progress(_done: float, _total: float) -> None:
        done[0] += 1

    monkeypatch.setattr(Recording, "blocks", counting)
    detector.annotate(recording, Settings(), on_progress=progress)
    assert (read[0], done[0]) == (12, 12)
    assert max(alive) <= 2 + 2  # one at each of two workers, one that waits for them, one being read


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_number_of_threads_changes_nothing(recording: Recording, detector: Detector, n_threads: int) -> None:
    two = detector.annotate(recording, Settings(passes=2)).scores
    torch.set_num_threads(n_threads)
    other = detector.annotate(recording, Settings(passes=2)).scores
    torch.set_num_threads(2)
    np.testing.assert_array_equal(two.probability, other.probability)
    np.testing.assert_array_equal(two.by_node, other.by_node)
    np.testing.assert_array_equal(two.interval, other.interval)


def test_workers_use_one_thread_each(recording: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    run_windows = detector.engine.backend.run_windows

    def noting(*args: Any, **options: Any) -> Any:
        seen.add((threading.current_thread().name.startswith("restcli"), torch.get_num_threads()))
        return run_windows(*args, **options)

    backend = replace(detector.engine.backend, run_windows=noting)
    monkeypatch.setattr(detector, "engine", replace(detector.engine, backend=backend))
    detector.annotate(recording, Settings())
    assert seen == {(True, 1)}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in Linux's /proc")
def test_workers_bring_no_threads_of_their_own(
    recording: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine threads that wait for each other made a clip of 50 s take 10 s instead of .02 s."""
    count = []
    run_windows = detector.engine.backend.run_windows

    def counting(*args: Any, **options: Any) -> Any:
        state = run_windows(*args, **options)
        count.append(len(list(Path("/proc/self/task").iterdir())))
        return state

    backend = replace(detector.engine.backend, run_windows=counting)
    monkeypatch.setattr(detector, "engine", replace(detector.engine, backend=backend))
    before = len(list(Path("/proc/self/task").iterdir()))
    detector.annotate(recording, Settings())
    assert max(count) <= before + 2


def test_threads_come_back_when_several_annotate_at_once() -> None:
    """The one that began later found the number of the other and left it behind."""
    inside, leave, seen = threading.Event(), threading.Event(), []

    def later() -> None:
        with windows.one_thread_each():
            inside.set()
            leave.wait(10)
        seen.append(torch.get_num_threads())
        fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        fresh.start()
        fresh.join()

    other = threading.Thread(target=later)
    with windows.one_thread_each():
        other.start()
        assert inside.wait(10)
    assert torch.get_num_threads() == 2
    leave.set()
    other.join()
    assert seen == [2, 2]


def test_workers_that_begin_while_another_recording_ends_use_one_thread() -> None:
    with windows.worker_pool(1, torch.device("cpu")) as pool:
        pool.submit(int).result()
        torch.set_num_threads(2)
        assert pool.submit(torch.get_num_threads).result() == 1
