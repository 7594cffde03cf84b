"""Stretches are scored side by side on threads: neither how they are cut nor what runs them changes a score."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from definition import mean_logits
from edf_bytes import EdfFile
from edf_writer import noise, write_edf
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_info

from restcli.detect import detector as detector_module
from restcli.detect import scoring
from restcli.detect.detector import Detector
from restcli.detect.scoring import Scorer
from restcli.detect.settings import Settings, fit_montage, needed_nodes
from restcli.detect.timeline import Timeline, to_scores
from restcli.errors import RestError
from restcli.io.recording import Block, Recording
from restcli.io.registry import open_recording
from restcli.nn.weights import DEFAULT_NAME, load_weights
from restcli.profiling import StageClock
from restcli.signal.features import log_features, log_magnitude, mean_log, rms, spectra
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19
from restcli.signal.usual import UsualAmplitude


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(load_weights(DEFAULT_NAME), "cpu")


def scorer_of(recording: Recording, detector: Detector, settings: Settings | None = None, **cut: Any) -> Scorer:
    settings = settings or Settings()
    montage = fit_montage(recording, detector.weights, settings)
    return Scorer(detector.engine, recording, montage, settings, StageClock(), **cut)


# --- the definition -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["toy", pytest.param(DEFAULT_NAME, marks=pytest.mark.slow), "rest-paper"])
@pytest.mark.parametrize("sfreq", [200, 256])
def test_scores_equal_the_definition_in_torch(tmp_path: Path, toy_weights: Path, weights: str, sfreq: int) -> None:
    """The state is carried from the first second to the last, in one piece, as it is trained."""
    detector = Detector(load_weights(toy_weights if weights == "toy" else weights), "cpu")
    recording = open_recording(write_edf(tmp_path / "a.edf", noise(19, 330, sfreq), sfreq))
    nodes, config, ahead = detector.weights.nodes, detector.weights.features, detector.weights.look_ahead
    montage = fit_montage(recording, detector.weights, Settings())
    signal = montage.matrix @ recording.read(montage.channels, 0, 330)
    power = spectra(signal.reshape(len(nodes), -1, sfreq).swapaxes(0, 1))
    logs = log_magnitude(power, config)
    relative = UsualAmplitude(len(nodes)).advance(mean_log(logs), np.ones(logs.shape[:2], dtype=bool))
    found = mean_logits(detector.weights, log_features(logs, rms(power, config), relative, config))[ahead:]
    logits, types = found[..., 0], found[..., 1:]
    timeline = scorer_of(recording, detector, block_seconds=16, lane_seconds=40).score()
    assert timeline.codes.shape == (len(logits) + ahead, len(nodes))
    judged = len(timeline.logits) - ahead
    np.testing.assert_allclose(timeline.logits[:judged], logits, atol=1e-4)
    assert np.isnan(timeline.logits[judged:]).all()
    np.testing.assert_allclose(timeline.whole()[:judged], logits.mean(axis=-1), atol=1e-4)
    assert logits.std() > 0.01
    if types.size:
        expected = softmax(types.mean(axis=1), axis=-1)
        np.testing.assert_allclose(timeline.types[:judged], expected, atol=1e-4)


# --- chunks ---------------------------------------------------------------------------------------------------------


def cuts(seed: int, length: float) -> dict[str, int]:
    rng = np.random.default_rng(seed)
    return {
        "block_seconds": int(rng.integers(1, 200)),
        "lane_seconds": int(rng.integers(max(5, length // 400), max(30, min(length, 700)))),
    }


def assert_same_however_cut(recording: Recording, detector: Detector, seed: int) -> Timeline:
    rng, length = np.random.default_rng(seed), recording.duration
    step = int(rng.integers(1, 15))
    whole = scorer_of(recording, detector, lane_seconds=10**6).score()
    for k in range(2):
        found = scorer_of(
            recording, detector, Settings(threads=int(rng.integers(1, 4))), **cuts(seed + k, length)
        ).score()
        np.testing.assert_array_equal(found.codes, whole.codes)
        np.testing.assert_array_equal(found.present, whole.present)
        np.testing.assert_allclose(found.logits, whole.logits, atol=1e-4, rtol=0)
        np.testing.assert_allclose(found.types, whole.types, atol=1e-4, rtol=0)
        needed = needed_nodes(detector.weights, Settings())
        every, some = (to_scores(t, detector.weights, needed=needed, step=s) for t, s in ((whole, 1), (found, step)))
        kept = np.isin(every.time, some.time)
        np.testing.assert_allclose(some.probability, every.probability[kept], atol=1e-4, rtol=0)
        assert some.unscored == every.unscored
    return whole


def long_and_broken(tmp_path: Path, sfreq: int = 128) -> Recording:
    """Nine minutes, a gap, half a minute, and four minutes, with noise of its own in each channel."""
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19[:18]]
    onsets = [f"+{second}" for second in (*range(540), *range(550, 580), *range(600, 840))]
    odd = EdfFile(labels, [sfreq] * 18, n_records=810, kind="EDF+D", onsets=onsets)
    return open_recording(odd.write(tmp_path / "a.edf"))


@pytest.mark.parametrize("seed", range(4))
def test_cutting_changes_nothing(tmp_path: Path, detector: Detector, seed: int) -> None:
    timeline = assert_same_however_cut(long_and_broken(tmp_path), detector, 10 * seed)
    assert len(list(timeline.segments())) == 3
    assert np.isfinite(timeline.whole()).sum() == 810 - 9


def test_cutting_matters_where_the_memory_is_too_short(tmp_path: Path, detector: Detector) -> None:
    """So that the test above can fail."""
    short = Detector(replace(detector.weights, memory=3), "cpu")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_however_cut(long_and_broken(tmp_path), short, 0)


def test_masked_passes_do_not_depend_on_cuts(tmp_path: Path, detector: Detector) -> None:
    recording, settings = long_and_broken(tmp_path), Settings(passes=3, seed=5, threads=2)
    one, other = (
        scorer_of(recording, detector, settings, block_seconds=b, lane_seconds=lane).score().passes
        for b, lane in ((150, 10**6), (33, 71))
    )
    assert np.isfinite(one).sum() == 3 * (810 - 9)
    assert (one.max(axis=1) - one.min(axis=1) > 0.01).any()
    np.testing.assert_allclose(other, one, atol=1e-3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cutting_real_recordings_changes_nothing(real_recordings: list[Path], detector: Detector) -> None:
    n_used = 0
    for seed, path in enumerate(real_recordings):
        try:
            recording = open_recording(path)
            scorer_of(recording, detector)
        except RestError:
            continue
        assert_same_however_cut(recording, detector, seed)
        n_used += 1
    assert n_used >= 20


# --- threads --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return open_recording(write_edf(tmp_path_factory.mktemp("edf") / "noise.edf", noise(19, 60, 200), 200))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `Detector` read blocks of 5 s."""
    monkeypatch.setattr(detector_module, "Scorer", partial(Scorer, block_seconds=5))


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    before = blas_threads()
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("restcli")]
    assert blas_threads() == before


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.usefixtures("small_blocks")
def test_error_of_the_reader_comes_through(
    minute: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Recording.blocks

    def failing(self: Recording, *args: Any, **options: Any) -> Iterator[Block]:
        for number, block in enumerate(blocks(self, *args, **options)):
            if number == 4:
                raise OSError("the disk is gone")
            yield block

    monkeypatch.setattr(Recording, "blocks", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        detector.annotate(minute, Settings(threads=2))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("place", ["summarise", "log_features"])
@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_error_of_a_worker_comes_through(
    minute: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch, place: str, n_threads: int
) -> None:
    """The block after one that failed waits for what it would have handed on: it must not wait forever."""
    calls, whole = iter(range(100)), getattr(scoring, place)

    def failing(*args: Any, **options: Any) -> Any:
        if next(calls) == 3:
            time.sleep(0.05)
            raise ZeroDivisionError
        return whole(*args, **options)

    monkeypatch.setattr(scoring, place, failing)
    with pytest.raises(ZeroDivisionError):
        detector.annotate(minute, Settings(threads=n_threads))


def test_error_of_the_network_comes_through(minute: Recording, detector: Detector) -> None:
    def failing(_lanes: object) -> Any:
        raise ZeroDivisionError

    broken = Detector(detector.weights, "cpu")
    broken.engine.scan = failing  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        broken.annotate(minute, Settings(threads=2))


@pytest.mark.usefixtures("small_blocks")
def test_ctrl_c_ends_the_workers(minute: Recording, detector: Detector) -> None:
    def interrupt(done: float, _total: float) -> None:
        if done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detector.annotate(minute, Settings(threads=2), on_progress=interrupt)


@pytest.mark.usefixtures("small_blocks")
def test_reader_waits_for_the_workers(minute: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, alive, read, done = Recording.blocks, [], [0], [0]

    def counting(self: Recording, *args: Any, **options: Any) -> Iterator[Block]:
        for block in blocks(self, *args, **options):
            read[0] += 1
            alive.append(read[0] - done[0])
            yield block

    def progress(_done: float, _total: float) -> None:
        done[0] += 1

    monkeypatch.setattr(Recording, "blocks", counting)
    detector.annotate(minute, Settings(threads=2), on_progress=progress)
    assert (read[0], done[0]) == (12, 12)
    assert max(alive) <= 3 + 1  # `n_workers + 1` that run or wait, and one being read


def test_progress_never_goes_back(tmp_path: Path, detector: Detector) -> None:
    recording, seen = long_and_broken(tmp_path), []
    scorer = scorer_of(recording, detector, Settings(threads=3), block_seconds=20, lane_seconds=60)
    replace(scorer, on_progress=lambda done, total: seen.append((done, total))).score()
    assert seen == sorted(seen)
    assert seen[-1] == (recording.duration, recording.duration)


@pytest.mark.parametrize("n_threads", [1, 3, 8])
def test_number_of_threads_changes_nothing(tmp_path: Path, detector: Detector, n_threads: int) -> None:
    recording = long_and_broken(tmp_path)
    two, other = (detector.annotate(recording, Settings(passes=2, threads=n)).scores for n in (2, n_threads))
    np.testing.assert_allclose(other.probability, two.probability, atol=1e-5, rtol=0)
    np.testing.assert_allclose(other.by_node, two.by_node, atol=1e-5, rtol=0)
    assert two.interval is not None and other.interval is not None
    np.testing.assert_allclose(other.interval, two.interval, atol=1e-5, rtol=0)
    assert other.unscored == two.unscored


def seen_in_workers(monkeypatch: pytest.MonkeyPatch, look: Callable[[], Any]) -> list[Any]:
    """Return a list that is filled with what workers see."""
    seen: list[Any] = []
    summarise = scoring.summarise

    def noting(*args: Any, **options: Any) -> Any:
        seen.append((threading.current_thread().name.split("_")[0], look()))
        return summarise(*args, **options)

    monkeypatch.setattr(scoring, "summarise", noting)
    return seen


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.skipif(not blas_threads(), reason="threadpoolctl knows no BLAS here")
def test_blas_has_one_thread_while_scoring(
    minute: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_in_workers(monkeypatch, lambda: set(blas_threads()))
    with scoring.threadpool_limits(2, "blas"):
        detector.annotate(minute, Settings(threads=2))
        assert set(blas_threads()) == {2}
    assert seen == [("restcli", {1})] * 12


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_as_many_threads_compute_as_were_asked_for(
    minute: Recording, detector: Detector, monkeypatch: pytest.MonkeyPatch, n_threads: int
) -> None:
    """On a busy machine threads that wait for each other made a clip of 50 s take 10 s instead of .02 s."""
    seen = seen_in_workers(
        monkeypatch, lambda: sum(thread.name.startswith("restcli") for thread in threading.enumerate())
    )
    detector.annotate(minute, Settings(threads=n_threads))
    assert max(count for _, count in seen) == n_threads


def test_nothing_is_computed_for_channels_that_no_node_uses(
    tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = [*(f"EEG {name}-REF" for name in ELECTRODES_19), "ECG", "EEG A1-REF", "EEG A2-REF"]
    recording = open_recording(write_edf(tmp_path / "a.edf", noise(22, 20, 200), 200, labels=labels))
    seen: list[NDArray[np.float32]] = []
    summarise = scoring.summarise
    monkeypatch.setattr(scoring, "summarise", lambda data, *rest: seen.append(data) or summarise(data, *rest))
    detector.annotate(recording)
    assert {len(data) for data in seen} == {len({e for node in DOUBLE_BANANA for e in node.split("-")})}
