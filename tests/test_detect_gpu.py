"""What a GPU does equals what the CPU does: torch against numpy on the CPU, the fused kernel against the plain form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edf_bytes import EdfFile
from edf_writer import noise, write_edf

from restcli.detect import backends
from restcli.detect import gpu_features as device
from restcli.detect.backends import Summarise, choose_device, gpu_backend
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.errors import RecordingError, RestError, UsageError
from restcli.io.recording import Block, StoredBlock
from restcli.io.registry import open_recording
from restcli.nn.config import RestConfig
from restcli.nn.rest import Rest
from restcli.nn.weights import DEFAULT_NAME, load_weights
from restcli.nn.windows import Inputs, Windows, run_windows
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, derive
from restcli.signal.quality import Quality, summarise

CPU = torch.device("cpu")


def on_device_path(weights: str | Path = DEFAULT_NAME) -> Detector:
    """Return a detector that uses the backend of a GPU, on the CPU."""
    detector = Detector(load_weights(weights), "cpu")
    detector.engine = replace(detector.engine, backend=gpu_backend("GPU", CPU, run_windows))
    return detector


def assert_same_blocks(path: Path, *, seconds: int, sfreq: float = 200.0) -> None:
    recording = open_recording(path)
    channels = [i for i, channel in enumerate(recording.channels) if channel.label.startswith("EEG")][:19]
    pairs = zip(
        recording.blocks(channels, sfreq=sfreq, seconds=seconds),
        recording.stored_blocks(channels, sfreq=sfreq, seconds=seconds),
        strict=True,
    )
    for here, there in pairs:
        assert isinstance(there, StoredBlock)
        assert there.records.dtype == np.dtype("<i2")
        data, saturated = device.to_microvolts(there, CPU)
        assert here.start == there.start
        np.testing.assert_allclose(data, here.data, atol=1e-3)
        np.testing.assert_allclose(saturated, here.saturated, atol=1e-6)


@pytest.mark.parametrize("sfreq", [128, 200, 250, 256, 512])
@pytest.mark.parametrize("seconds", [7, 600])
def test_stored_integers_become_the_same_microvolts(tmp_path: Path, sfreq: int, seconds: int) -> None:
    data = noise(19, 20, sfreq)
    data[3, 2 * sfreq : 3 * sfreq] = 1e5  # beyond the digital limits
    assert_same_blocks(write_edf(tmp_path / "a.edf", data, sfreq), seconds=seconds)


@pytest.mark.parametrize(("count", "duration"), [(256, "1"), (100, "0.5"), (1000, "4")])
def test_stored_integers_on_both_sides_of_a_gap_become_the_same_microvolts(
    tmp_path: Path, count: int, duration: str
) -> None:
    length = float(duration)
    onsets = [f"+{length * k:g}" for k in (*range(9), *range(30, 41))]
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    digital = [(-32768, 32767)] * 18 + [(5, 5)]  # the last has no meaning
    odd = EdfFile(labels, [count] * 19, n_records=20, duration=duration, digital=digital, kind="EDF+D", onsets=onsets)
    path = odd.write(tmp_path / "gap.edf")
    assert len(open_recording(path).segments) == 2
    assert_same_blocks(path, seconds=3)


def test_what_cannot_be_sent_as_stored_comes_in_microvolts(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "odd.edf", noise(19, 10, 199), 199)  # a ratio of 200 to 199 has too large a kernel
    recording = open_recording(path)
    channels = range(19)
    kinds = {type(block) for block in recording.stored_blocks(channels, sfreq=251.0)}
    assert kinds == {Block}


def test_blocks_of_wide_records_stay_small(tmp_path: Path) -> None:
    labels = [*(f"EEG {name}-REF" for name in ELECTRODES_19), "wide"]
    odd = EdfFile(labels, [256] * 19 + [200_000], n_records=250, duration="1", kind="EDF+C")
    path = odd.write(tmp_path / "wide.edf")
    recording = open_recording(path)
    blocks = list(recording.stored_blocks(range(19), sfreq=200.0, seconds=1800))
    assert all(isinstance(block, StoredBlock) and block.records.nbytes <= 64e6 for block in blocks)
    assert sum(len(block.edges) - 1 for block in blocks if isinstance(block, StoredBlock)) == 250
    path.unlink()  # 100 MB


def faulty(n_channels: int, n_seconds: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Signals with every fault that a second can have, and the fraction of samples at the limits."""
    data = noise(n_channels, n_seconds, length).astype(np.float32)
    clock = np.arange(length) / length
    data[0, :length] = 3.0  # flat
    data[1, length : 2 * length] += 5000 * np.sin(2 * np.pi * 3 * clock).astype(np.float32)  # absurd
    data[2, 2 * length : 3 * length] += 400 * np.sin(2 * np.pi * 50 * clock).astype(np.float32)  # mains
    data[3, 3 * length + 7] = np.nan  # missing
    saturated = np.zeros((n_channels, n_seconds), dtype=np.float32)
    saturated[4, 4] = 0.2
    data[5] *= 0.05  # an open input
    data[6] += 150 * np.sin(2 * np.pi * 60.1 * np.arange(data.shape[1]) / length).astype(np.float32)
    return data, saturated


@pytest.mark.parametrize(
    "config",
    [FeatureConfig(), FeatureConfig(bands=((0, 99),), amplitude=False), FeatureConfig(bands=((1, 30), (31, 70)))],
)
def test_quality_and_spectra_equal_those_in_numpy(config: FeatureConfig) -> None:
    data, saturated = faulty(19, 12, 200)
    matrix = derive([f"EEG {name}-REF" for name in ELECTRODES_19], DOUBLE_BANANA).matrix
    signal = matrix @ np.nan_to_num(data)
    here, x = summarise(data, saturated, signal, matrix, config)
    there, y = device.summarise(torch.from_numpy(data), torch.from_numpy(saturated), torch.from_numpy(matrix), config)
    assert set(np.unique(here.codes)) == set(Quality) - {Quality.NO_EEG}  # found later, from these levels
    np.testing.assert_allclose(there.levels, here.levels, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(there.codes, here.codes)
    np.testing.assert_allclose(there.rms, here.rms, rtol=1e-4)
    np.testing.assert_allclose(there.spectrum, here.spectrum, atol=1e-3)
    good = here.codes == Quality.GOOD
    np.testing.assert_allclose(y.numpy()[good], x[good], atol=2e-3)


def assert_same_result(path: Path, here: Detector, there: Detector) -> bool:
    """Annotate on both backends; returns whether the recording could be used."""
    results = []
    for detector in (here, there):
        try:
            results.append(detector.annotate(open_recording(path), Settings()))
        except RestError as error:
            results.append(str(error))
    one, other = results
    if isinstance(one, str):
        assert one == other
        return False
    np.testing.assert_allclose(other.scores.probability, one.scores.probability, atol=1e-4)
    np.testing.assert_allclose(other.scores.by_node, one.scores.by_node, atol=1e-3)
    assert [(event.onset, event.duration, event.label) for event in other.events] == [
        (event.onset, event.duration, event.label) for event in one.events
    ]
    assert other.bad_seconds == one.bad_seconds
    assert other.band_limit == one.band_limit
    return True


def test_example_gives_the_same_events_on_the_backend_of_a_gpu(example: Path) -> None:
    assert assert_same_result(example, Detector(load_weights(DEFAULT_NAME), "cpu"), on_device_path())


def test_real_recordings_give_the_same_events_on_the_backend_of_a_gpu(shared_eeg: Path) -> None:
    here, there = Detector(load_weights(DEFAULT_NAME), "cpu"), on_device_path()
    kinds = os.environ.get("RESTCLI_DEVICE_KINDS", "absence iiic chbmit eegmat").split()
    most = int(os.environ.get("RESTCLI_DEVICE_MOST", "4"))
    n_used = sum(
        assert_same_result(path, here, there)
        for kind in kinds
        for path in sorted((shared_eeg / kind).rglob("*.edf"))[:most]
    )
    assert n_used >= 8


def test_missing_electrodes_and_faults_on_the_backend_of_a_gpu(tmp_path: Path, toy_weights: Path) -> None:
    data, _ = faulty(19, 60, 200)
    path = write_edf(
        tmp_path / "few.edf", np.nan_to_num(data[:17]), 200, labels=[f"EEG {n}-REF" for n in ELECTRODES_19[:17]]
    )
    here, there = Detector(load_weights(toy_weights), "cpu"), on_device_path(toy_weights)
    assert assert_same_result(path, here, there)


def test_a_reason_is_given_when_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, toy_weights: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert choose_device("auto") == (CPU, "this torch is built without CUDA")
    assert choose_device("cpu") == (CPU, "")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert Detector(load_weights(toy_weights), "auto").device_reported == "cpu (torch sees no GPU)"
    with pytest.raises(UsageError, match=r"torch sees no GPU.*--device cpu or auto"):
        Detector(load_weights(toy_weights), "cuda")


def test_a_gpu_that_does_not_work_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fail)
    assert choose_device("auto") == (CPU, "the GPU cannot be used: CUDA error: no kernel image is available")


def fused_equals_plain(place: str) -> None:
    """Compare for several shapes and all masks; n nodes, h hidden, length, step, updates."""
    from restcli.detect.gpu_kernel import run_fused

    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator).to(place)

    for n, h, length, step, updates in ((18, 32, 6, 5, 1), (5, 12, 4, 3, 2), (19, 24, 3, 4, 1)):
        torch.manual_seed(0)
        network = Rest(RestConfig(7, h, variant="RM" if updates > 1 else "RS", updates=updates)).eval().to(place)
        projected, adjacency = draw(n, 16, h) * 4 - 2, draw(n, n) * 0.3
        present, gate = (draw(n, 16) > 0.2).float(), (draw(n, 16) > 0.5).float() * 2
        for inputs in (Inputs(projected), Inputs(projected, present), Inputs(projected, present, gate)):
            windows = Windows(range(1, 16, step), length)
            plain = run_windows(network, inputs, adjacency, windows)
            fused = run_fused(network, inputs, adjacency, windows)
            torch.testing.assert_close(fused, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed; torch's builds for CUDA bring it")
def test_fused_kernel_equals_the_plain_form_in_the_interpreter() -> None:
    code = f"import {__name__} as tests; tests.fused_equals_plain('cpu')"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fused_kernel_equals_the_plain_form_on_a_gpu() -> None:
    pytest.importorskip("triton")
    fused_equals_plain("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_events_of_the_cpu(example: Path) -> None:
    weights = load_weights(DEFAULT_NAME)
    there = Detector(weights, "cuda")
    assert there.device_reported == "cuda"
    assert assert_same_result(example, Detector(weights, "cpu"), there)


def zeros(_network: Rest, inputs: Inputs, _adjacency: torch.Tensor, windows: Windows) -> torch.Tensor:
    return inputs.projected.new_zeros(len(inputs.projected), len(windows.last), inputs.projected.shape[2])


def nothing_known(*arguments: Any) -> torch.Tensor:
    return zeros(*arguments) * torch.nan


def wrong_when_masked(*arguments: Any) -> torch.Tensor:
    return run_windows(*arguments) if arguments[1].gate is None else zeros(*arguments)


def no_compiler(*_: object, **__: object) -> torch.Tensor:
    raise RuntimeError("Failed to find C compiler.\nPlease specify via CC.")


def offer_backends_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, fused: Callable[..., torch.Tensor], *, summarise: Summarise | None = None
) -> None:
    """Offer the backends of a GPU, all of them on the CPU."""
    names = [backend.name for backend in backends.gpu_backends(torch.device("cuda"))]
    assert names == ["fused kernel", "GPU"]
    offered = [gpu_backend("fused kernel", CPU, fused), gpu_backend("GPU", CPU, run_windows)]
    if summarise is not None:
        offered = [replace(backend, summarise=summarise) for backend in offered]
    monkeypatch.setattr(backends, "gpu_backends", lambda _device: offered)
    monkeypatch.setattr(backends, "choose_device", lambda _asked: (torch.device("cuda"), ""))


@pytest.mark.parametrize("runner", [zeros, nothing_known, wrong_when_masked])
def test_a_kernel_that_computes_something_else_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, toy_weights: Path, runner: Callable[..., torch.Tensor]
) -> None:
    offer_backends_of_a_gpu(monkeypatch, runner)
    detector = Detector(load_weights(toy_weights), "cpu")
    assert (detector.engine.backend.name, detector.engine.backend.run_windows) == ("GPU", run_windows)
    assert "fused kernel not used: it computes other values than the CPU on the test signal" in detector.device_reported


def test_a_kernel_that_cannot_be_compiled_is_not_taken(monkeypatch: pytest.MonkeyPatch, example: Path) -> None:
    offer_backends_of_a_gpu(monkeypatch, no_compiler)
    detector = Detector(load_weights(DEFAULT_NAME), "cpu")
    assert detector.device_reported == "cpu (fused kernel not used: Failed to find C compiler.)"
    assert detector.annotate(open_recording(example), Settings()).events


def test_spectra_that_differ_on_the_device_are_not_taken(monkeypatch: pytest.MonkeyPatch, toy_weights: Path) -> None:
    def wrong(*arguments: Any) -> Any:
        summary, features = device.summarise_block(*arguments, device=CPU)
        return summary, features + 0.1

    offer_backends_of_a_gpu(monkeypatch, run_windows_elsewhere, summarise=wrong)
    detector = Detector(load_weights(toy_weights), "cpu")
    assert detector.engine.backend is backends.CPU
    assert "fused kernel not used: it computes" in detector.device_reported
    assert "GPU not used: it computes" in detector.device_reported


def run_windows_elsewhere(*arguments: Any) -> torch.Tensor:
    return run_windows(*arguments)


@pytest.mark.parametrize("weights", [DEFAULT_NAME, "rest-paper"])
def test_a_sound_kernel_is_taken_with_room_to_spare(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    offer_backends_of_a_gpu(monkeypatch, run_windows_elsewhere)
    monkeypatch.setattr(backends, "GOLDEN_TOLERANCE", 1e-4)
    monkeypatch.setattr(backends, "_NODE_TOLERANCE", 1e-3)
    detector = Detector(load_weights(weights), "cpu")
    assert (detector.engine.backend.name, detector.engine.backend.run_windows) == (
        "fused kernel",
        run_windows_elsewhere,
    )
    assert detector.device_reported == "cpu"


def test_a_gpu_asked_for_by_name_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, toy_weights: Path
) -> None:
    offer_backends_of_a_gpu(monkeypatch, zeros, summarise=no_compiler)
    with pytest.raises(UsageError, match=r"GPU not used: Failed to find C compiler.*--device cpu or auto"):
        Detector(load_weights(toy_weights), "cuda")


class ResourceError(Exception):
    """As Triton raises it: no RuntimeError."""


@pytest.mark.parametrize("kind", [torch.OutOfMemoryError, ResourceError])
def test_a_gpu_that_fails_while_scoring_is_left_for_the_cpu(
    monkeypatch: pytest.MonkeyPatch, example: Path, kind: type[Exception]
) -> None:
    offer_backends_of_a_gpu(monkeypatch, fails_at_work(kind))
    detector = Detector(load_weights(DEFAULT_NAME), "auto")
    assert detector.engine.backend.on_gpu
    result = detector.annotate(open_recording(example), Settings())
    assert result.device == "cpu (the GPU failed: out of memory. Tried to allocate 2.00 GiB.)"
    expected = Detector(load_weights(DEFAULT_NAME), "cpu").annotate(open_recording(example), Settings())
    np.testing.assert_array_equal(result.scores.probability, expected.scores.probability)
    assert len(result.events) == len(expected.events) > 0
    assert detector.engine.backend.on_gpu  # the next recording may have better luck


def fails_at_work(kind: type[Exception]) -> Callable[..., torch.Tensor]:
    def run(*arguments: Any) -> torch.Tensor:
        if len(arguments[-1].last) > 20:  # the trial takes fewer windows
            raise kind("out of memory. Tried to allocate 2.00 GiB.\nSee the documentation.")
        return run_windows(*arguments)

    return run


def test_two_threads_may_meet_a_gpu_that_fails(monkeypatch: pytest.MonkeyPatch, example: Path) -> None:
    offer_backends_of_a_gpu(monkeypatch, fails_at_work(torch.OutOfMemoryError))
    detector = Detector(load_weights(DEFAULT_NAME), "auto")
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(detector.annotate, open_recording(example), Settings()) for _ in range(2)]
    assert all("the GPU failed" in run.result().device and run.result().events for run in runs)


def test_a_gpu_asked_for_by_name_that_fails_while_scoring_is_an_error_of_the_recording(
    monkeypatch: pytest.MonkeyPatch, example: Path
) -> None:
    offer_backends_of_a_gpu(monkeypatch, fails_at_work(torch.OutOfMemoryError))
    detector = Detector(load_weights(DEFAULT_NAME), "cpu")
    detector.asked = "cuda"
    with pytest.raises(RecordingError, match=r"the GPU failed: out of memory.*--device cpu or auto"):
        detector.annotate(open_recording(example), Settings())


def test_what_fails_on_the_cpu_is_not_taken_for_a_gpu(example: Path) -> None:
    detector = Detector(load_weights(DEFAULT_NAME), "cpu")
    backend = replace(detector.engine.backend, run_windows=fails_at_work(torch.OutOfMemoryError))
    detector.engine = replace(detector.engine, backend=backend)
    with pytest.raises(torch.OutOfMemoryError):
        detector.annotate(open_recording(example), Settings())


@pytest.mark.parametrize("part", ["_resample", "to_microvolts"])
def test_microvolts_that_differ_on_the_device_are_not_taken(
    monkeypatch: pytest.MonkeyPatch, example: Path, part: str
) -> None:
    """A product in fewer bits, or a count gone wrong, would otherwise read as another recording."""
    whole = device.to_microvolts

    def resample(data: torch.Tensor, block: StoredBlock) -> torch.Tensor:
        return device_resample(data, block) * 1.002

    def microvolts(block: StoredBlock, place: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        data, saturated = whole(block, place)
        return data, saturated + 0.5

    device_resample = device._resample
    if part == "_resample":
        monkeypatch.setattr(device, "_resample", resample)
    else:
        monkeypatch.setattr(device, "to_microvolts", microvolts)
    result = on_device_path().annotate(open_recording(example), Settings())
    assert result.events
    assert "than the CPU" in result.device
