"""A GPU is used only where it computes what the CPU does; torch on the CPU stands in for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edf_writer import noise, write_edf
from threadpoolctl import threadpool_limits

from restcli.detect import backends
from restcli.detect.backends import Engine, engine_on, fault_of
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.errors import RecordingError, UsageError
from restcli.io.registry import open_recording
from restcli.nn import gpu
from restcli.nn.gpu import scan_on
from restcli.nn.network import FloatArray, Lanes
from restcli.nn.weights import DEFAULT_NAME, Weights, load_weights
from restcli.signal.montage import ELECTRODES_19

CPU = torch.device("cpu")
Scan = Callable[[Lanes], FloatArray]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scan | None], None]:
    """Return a function that offers a GPU, on which lanes run so, or as torch runs them on the CPU."""

    def offer_gpu(scan: Scan | None = None) -> None:
        monkeypatch.setattr(gpu, "find_gpu", lambda: (CPU, ""))
        if scan is not None:
            monkeypatch.setattr(gpu, "scan_on", lambda _weights, _device: scan)

    return offer_gpu


def on_torch(weights: str | Path = DEFAULT_NAME) -> Detector:
    """Return a detector that runs the network as on a GPU, on the CPU."""
    detector = Detector(load_weights(weights), "cpu")
    detector.engine = Engine(detector.weights, scan_on(detector.weights, CPU))
    return detector


def assert_same_result(path: Path, here: Detector, there: Detector, settings: Settings | None = None) -> int:
    """Annotate on both and return the number of events."""
    one, other = (detector.annotate(open_recording(path), settings or Settings()) for detector in (here, there))
    np.testing.assert_allclose(other.scores.probability, one.scores.probability, atol=1e-5)
    np.testing.assert_allclose(other.scores.by_node, one.scores.by_node, atol=1e-5)
    if one.scores.interval is not None:
        np.testing.assert_allclose(other.scores.interval, one.scores.interval, atol=1e-5)
    assert [(event.onset, event.stop, event.label) for event in other.events] == [
        (event.onset, event.stop, event.label) for event in one.events
    ]
    assert other.bad_seconds == one.bad_seconds
    return len(one.events)


def test_example_gives_the_same_events_on_torch(example: Path) -> None:
    assert assert_same_result(example, Detector(load_weights(DEFAULT_NAME), "cpu"), on_torch())


def test_missing_nodes_faults_and_masks_on_torch(tmp_path: Path, toy_weights: Path) -> None:
    data = noise(17, 160, 200)
    data[3, 4000:5000] = 7.0
    data[:12, 9000:9400] = 0.0
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19[:17]]
    path = write_edf(tmp_path / "few.edf", data, 200, labels=labels)
    here, there = Detector(load_weights(toy_weights), "cpu"), on_torch(toy_weights)
    assert_same_result(path, here, there, Settings(passes=3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_events_of_the_cpu(example: Path) -> None:
    weights = load_weights(DEFAULT_NAME)
    there = Detector(weights, "cuda")
    assert assert_same_result(example, Detector(weights, "cpu"), there)


# --- the choice -----------------------------------------------------------------------------------------------------


def test_a_reason_is_given_when_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, toy_weights: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for version, reason in ((None, "this torch is built without CUDA"), ("12.4", "torch sees no GPU")):
        monkeypatch.setattr(torch.version, "cuda", version)
        with pytest.raises(UsageError, match=rf"{reason}.*Pass --device cpu"):
            engine_on(load_weights(toy_weights), "cuda")


def test_a_gpu_is_used_when_it_is_asked_for(
    example: Path, toy_weights: Path, offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer()
    detector = Detector(load_weights(toy_weights), "cuda")
    monkeypatch.setattr(backends, "scan", None)
    assert detector.annotate(open_recording(example), Settings()).device == "cuda"
    monkeypatch.setattr(gpu, "find_gpu", None)
    assert Detector(load_weights(toy_weights)).engine.on_gpu is None


@pytest.mark.parametrize("name", [DEFAULT_NAME, "rest-paper"])
def test_a_sound_gpu_passes_with_room_to_spare(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    weights = load_weights(name)
    monkeypatch.setattr(backends, "GOLDEN_TOLERANCE", 1e-4)
    with threadpool_limits(1):  # one order of sums, whatever the number of cores
        assert fault_of(Engine(weights, scan_on(weights, CPU))) == ""


def zeros(lanes: Lanes) -> FloatArray:
    return np.zeros((*lanes.present.shape, 3), dtype=np.float32)


def not_a_number(lanes: Lanes) -> FloatArray:
    return zeros(lanes) * np.float32(np.nan)


def but(**changes: Any) -> Callable[[Weights], Scan]:
    """Return how to run lanes with some of their parts changed."""

    def changed(weights: Weights) -> Scan:
        sound = scan_on(weights, CPU)
        return lambda lanes: sound(Lanes(**(vars(lanes) | {k: change(lanes) for k, change in changes.items()})))

    return changed


@pytest.mark.parametrize(
    "broken",
    [
        lambda _weights: zeros,
        lambda _weights: not_a_number,
        but(gate=lambda _lanes: None),
        but(present=lambda lanes: np.ones_like(lanes.present)),
        but(begins=lambda lanes: np.zeros_like(lanes.begins)),
        but(projected=lambda lanes: lanes.projected * np.float32(1.002)),
    ],
    ids=["zeros", "nan", "masks ignored", "absence ignored", "beginnings ignored", "few bits"],
)
def test_a_gpu_that_computes_something_else_is_not_taken(
    toy_weights: Path, offer: Callable[..., None], broken: Callable[[Weights], Scan]
) -> None:
    weights = load_weights(toy_weights)
    offer(broken(weights))
    with pytest.raises(UsageError, match=r"it computes other values than the CPU.*Pass --device cpu"):
        Detector(weights, "cuda")


def no_compiler(_lanes: Lanes) -> FloatArray:
    raise RuntimeError("Failed to find C compiler.\nPlease specify via CC.")


def test_a_gpu_that_fails_at_once_is_not_taken(toy_weights: Path, offer: Callable[..., None]) -> None:
    offer(no_compiler)
    with pytest.raises(UsageError, match=r"--device: Failed to find C compiler\..*Pass --device cpu"):
        Detector(load_weights(toy_weights), "cuda")


# --- failures at work -----------------------------------------------------------------------------------------------


class ResourceError(Exception):
    """As drivers raise it: no RuntimeError."""


def fails_at_work(kind: type[Exception]) -> Scan:
    sound = scan_on(load_weights(DEFAULT_NAME), CPU)

    def run(lanes: Lanes) -> FloatArray:
        if len(lanes.present) > 50:  # the trial takes fewer seconds
            raise kind("out of memory. Tried to allocate 2.00 GiB.\nSee the documentation.")
        return sound(lanes)

    return run


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, ResourceError])
def test_a_gpu_that_fails_while_scoring_is_an_error_of_the_recording(
    example: Path, offer: Callable[..., None], kind: type[Exception]
) -> None:
    offer(fails_at_work(kind))
    detector = Detector(load_weights(DEFAULT_NAME), "cuda")
    with pytest.raises(RecordingError, match=r"the GPU failed: out of memory.*Pass --device cpu"):
        detector.annotate(open_recording(example), Settings())


def test_what_fails_on_the_cpu_is_not_taken_for_a_gpu(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(load_weights(DEFAULT_NAME), "cpu")
    monkeypatch.setattr(backends, "scan", lambda _network, lanes: fails_at_work(MemoryError)(lanes))
    with pytest.raises(MemoryError):
        detector.annotate(open_recording(example), Settings())
