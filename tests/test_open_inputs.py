"""Seconds without EEG are not scored, and EEG that is small or lies under hum is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edf_writer import write_edf
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from restcli.archive.cache import ScoreCache
from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.scoring import Scorer
from restcli.detect.settings import Settings, fit_montage
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights
from restcli.output.run_report import run_report
from restcli.profiling import StageClock
from restcli.signal.features import FeatureConfig, power_spectrum, transform
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, derive
from restcli.signal.open_inputs import BANDS, HUM_BINS, Listener, NoiseListener, band_levels, spread_back
from restcli.signal.quality import QUALITY_WORDS, Quality, Summary, summarise

Array = NDArray[np.float64]
FS, SECONDS, OPEN = 200, 70, slice(20, 50)
AHEAD, FOUND = 3, slice(22, 50)  # 5 of the 6 s up to the readout must have passed
CLOCK = np.arange(SECONDS * FS) / FS
WORDS = QUALITY_WORDS[Quality.NO_EEG]


def white(rms: float, seed: int = 1) -> Array:
    return rms * np.random.default_rng(seed).standard_normal((19, len(CLOCK)))


def eeg(rms: float, *, slope: float = 1.0, seed: int = 0) -> Array:
    """Noise whose amplitude falls with frequency to this power, of this RMS in each channel."""
    frequency = np.fft.rfftfreq(len(CLOCK), 1 / FS)
    spectrum = np.fft.rfft(white(1.0, seed)) / np.maximum(frequency, 1.0) ** slope
    signal = np.fft.irfft(spectrum, len(CLOCK))
    return rms * signal / signal.std(axis=1, keepdims=True)


def hum(rms: float, frequency: float = 50.0) -> Array:
    return rms * np.sqrt(2) * np.sin(2 * np.pi * frequency * CLOCK)


def wander(rms: float, seed: int = 2) -> Array:
    walk = np.random.default_rng(seed).standard_normal(len(CLOCK)).cumsum()
    return rms * (walk - walk.mean()) / walk.std()


def low_passed(signal: Array, cutoff: float) -> Array:
    return np.asarray(sosfilt(butter(4, cutoff, fs=FS, output="sos"), signal))


def beta(rms: float) -> Array:
    band = np.asarray(sosfilt(butter(2, (14, 28), "bandpass", fs=FS, output="sos"), white(1.0, seed=5)))
    return rms * band / band.std()


def muscle(rms: float) -> Array:
    band = np.asarray(sosfilt(butter(2, (25, 90), "bandpass", fs=FS, output="sos"), white(1.0, seed=6)))
    return rms * band / band.std()


def unlike() -> Array:
    return np.random.default_rng(3).uniform(0.3, 1.7, (19, 1))


OPEN_INPUTS: dict[str, Callable[[], Array]] = {
    "amplifier noise": lambda: white(0.3),
    "loud amplifier noise": lambda: white(2.5),
    "low-passed amplifier noise": lambda: low_passed(white(1.5), 30),
    "common hum": lambda: hum(150) + white(2),
    "hum beside the mains frequency": lambda: hum(150, 49.9) + white(2),
    "hum unlike on each channel": lambda: hum(90) * unlike() + white(2),
    "60-Hz hum unlike on each channel, off the frequency": lambda: hum(90, 60.1) * unlike() + white(2),
    "hum over loud noise": lambda: hum(200) * unlike() + white(5),
    "common 60-Hz hum over loud noise": lambda: hum(150, 60) + white(5),
    "common wander and hum": lambda: wander(400) + hum(80) + white(1),
    "white noise of 30 µV": lambda: white(30),
    "white noise of 100 µV": lambda: white(100),
    "white noise unlike on each channel": lambda: 40 * unlike() * white(1),
    "white noise, low-passed": lambda: low_passed(white(40), 35),
    "white noise over wander": lambda: white(30) + wander(200) * unlike(),
    "beating 60-Hz hum": lambda: hum(90, 60.3) * unlike() + white(2),
    "slow wander unlike on each channel": lambda: 100 * unlike() * np.sin(2 * np.pi * 0.05 * CLOCK) + white(1),
    "identical channels": lambda: eeg(60)[:1] + white(0.5),
}

HEADS: dict[str, Callable[[], Array]] = {
    "suppressed": lambda: eeg(1.5) + white(0.3),
    "low-voltage fast": lambda: eeg(1.5) + beta(2.0) + white(0.2),
    "suppressed, in common hum": lambda: eeg(2) + hum(150) + white(0.3),
    "in common hum": lambda: eeg(15) + hum(300, 49.9) + white(1),
    "in hum left in the derivations": lambda: eeg(8) + hum(60) * unlike() + white(0.5),
    "bad reference": lambda: eeg(15) + white(200)[:1] + wander(300) + hum(100),
    "muscle": lambda: eeg(10) + eeg(8, slope=0.0, seed=7),
    "muscle all over the head": lambda: eeg(15) + muscle(30),
    "muscle all over the head, much of it": lambda: eeg(40) + muscle(150),
    "muscle in bursts": lambda: eeg(15) + muscle(40) * (CLOCK % 3 < 2),
    "low-passed at 15 Hz": lambda: low_passed(eeg(8), 15) + white(0.1),
}


def heard_open(data: Array) -> NDArray[np.bool_]:
    """Tell what a readout knows to be open inputs, (T, N), of the 19 electrodes' signals."""
    summary = summary_of(data)
    good = np.ones(summary.codes.shape, dtype=bool)
    noisy = NoiseListener(good.shape[1]).advance(summary.noise, good)
    return spread_back(Listener(good.shape[1]).advance(summary.levels, good) | noisy, AHEAD)


def summary_of(data: Array) -> Summary:
    seconds = data.astype(np.float32).reshape(len(data), -1, FS)
    limits = np.zeros(seconds.shape[:2], dtype=np.float32)
    return summarise(seconds, limits, derive(ELECTRODES_19, DOUBLE_BANANA).matrix, FeatureConfig())


@pytest.mark.parametrize("kind", OPEN_INPUTS)
def test_an_outage_is_found_from_its_third_second_to_its_last(kind: str) -> None:
    data, samples = eeg(15) + white(0.3, seed=9), slice(OPEN.start * FS, OPEN.stop * FS)
    data[:, samples] = np.broadcast_to(OPEN_INPUTS[kind](), data.shape)[:, samples]
    found = heard_open(data)
    # What is left over are nodes with much hum, which are known as drowned in it, and single seconds.
    assert found[FOUND].mean() > 0.96
    assert found[FOUND].mean(axis=0).min() > 0.5
    assert not found[: OPEN.start].any()
    assert not found[OPEN.stop + 1 :].any()
    assert found[OPEN.stop].mean() < 0.1


@pytest.mark.parametrize("kind", HEADS)
def test_eeg_stays(kind: str) -> None:
    assert not heard_open(HEADS[kind]()).any()


@pytest.mark.parametrize("gain", [1, 1 / 4, 1 / 10])
def test_real_eeg_stays_when_it_is_small_or_lies_in_hum(example: Path, gain: float) -> None:
    recording = open_recording(example)
    montage = derive([channel.label for channel in recording.channels], DOUBLE_BANANA)
    data = gain * next(recording.blocks(montage.channels, sfreq=FS)).data[:, : 300 * FS]
    clock = np.arange(data.shape[1]) / FS
    for mains in (0.0, 200.0):
        data += (mains * np.sin(2 * np.pi * 49.95 * clock)).astype(np.float32)
        seconds = data.reshape(len(data), -1, FS)
        summary = summarise(seconds, np.zeros(seconds.shape[:2], np.float32), montage.matrix, FeatureConfig())
        good = np.ones(summary.codes.shape, dtype=bool)
        assert not Listener(good.shape[1]).advance(summary.levels, good).any()
        assert not NoiseListener(good.shape[1]).advance(summary.noise, good).any()


def test_one_open_input_takes_its_nodes_along_and_no_others() -> None:
    data = eeg(15) + white(0.3, seed=9)
    for dead in (white(0.4)[0], hum(60)[:] + white(1)[0]):
        data[ELECTRODES_19.index("F7")] = dead
        found = heard_open(data)
        for node, column in zip(DOUBLE_BANANA, found.T, strict=True):
            assert column[7:].all() if "F7" in node.split("-") else not column.any()


@pytest.mark.parametrize("rms", [1, 30, 100])
def test_noise_on_half_of_the_head_takes_that_half(rms: float) -> None:
    data, left = eeg(15) + white(0.3, seed=9), [name[-1] in "1357" for name in ELECTRODES_19]
    data[left] = white(rms)[left]
    found = heard_open(data)
    dead = np.array([node[-1] in "1357" for node in DOUBLE_BANANA])
    assert found[12:, dead].mean() > 0.98
    assert not found[:, ~dead].any()


@pytest.mark.parametrize("seed", range(4))
def test_the_listeners_say_the_same_of_pieces(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data, samples = eeg(15) + white(0.3, seed=9), slice(OPEN.start * FS, OPEN.stop * FS)
    data[:, samples] = (hum(90) * unlike() + white(2 if seed % 2 else 30))[:, samples]
    summary = summary_of(data)
    good = rng.random(summary.codes.shape) > 0.03 * seed
    cuts = [range(1, SECONDS), np.sort(rng.integers(0, SECONDS + 1, 8))]
    n_found = 0
    for kind, levels in ((Listener, summary.levels), (NoiseListener, summary.noise)):
        whole = kind(levels.shape[1]).advance(levels, good)
        n_found += whole[OPEN.start + 10 : OPEN.stop].sum()
        assert not whole[~good].any()
        for places in cuts:
            listener = kind(levels.shape[1])
            parts = zip(np.split(levels, places), np.split(good, places), strict=True)
            np.testing.assert_array_equal(np.concatenate([listener.advance(*part) for part in parts]), whole)
    assert n_found > 150


def test_what_a_readout_knows_reaches_as_far_back_as_it_looks_ahead() -> None:
    found = np.zeros((20, 2), dtype=bool)
    found[9, 0] = found[0, 1] = True
    for ahead in (0, 1, 3):
        assert np.flatnonzero(spread_back(found, ahead)[:, 0]).tolist() == list(range(9 - ahead, 10))
        assert np.flatnonzero(spread_back(found, ahead)[:, 1]).tolist() == [0]


@pytest.fixture(scope="module")
def detector(toy_weights: Path) -> Detector:
    return Detector(load_weights(toy_weights), "cpu")


def annotate(path: Path, detector: Detector) -> Result:
    return detector.annotate(open_recording(path), Settings())


@pytest.fixture(scope="module")
def unplugged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = eeg(15) + white(0.3, seed=9)
    data[:, OPEN.start * FS : OPEN.stop * FS] = white(0.4)[:, : (OPEN.stop - OPEN.start) * FS]
    return write_edf(tmp_path_factory.mktemp("edf") / "unplugged.edf", data, FS, limit=300.0)


def test_open_inputs_are_not_scored_and_the_reason_is_given(unplugged: Path, detector: Detector) -> None:
    result = annotate(unplugged, detector)
    scores, n_lost = result.scores, FOUND.stop - FOUND.start
    assert detector.weights.look_ahead == AHEAD
    assert np.isnan(scores.probability[FOUND]).all()
    assert np.isnan(scores.by_node[FOUND]).all()
    assert np.isfinite(scores.probability[: FOUND.start]).all()
    assert np.isfinite(scores.probability[FOUND.stop : -AHEAD]).all()
    spans = [(span.start, span.stop) for span in scores.unscored if WORDS in span.reason]
    assert spans == [(FOUND.start, FOUND.stop)]
    assert {node: counts[WORDS] for node, counts in result.bad_seconds.items()} == dict.fromkeys(DOUBLE_BANANA, n_lost)
    assert np.isnan(result.trend.amplitude[FOUND]).all()
    assert np.isnan(result.trend.spectrum[FOUND]).all()


@pytest.mark.parametrize("block_seconds", [1, 7, 23])
def test_what_is_found_does_not_depend_on_blocks(unplugged: Path, detector: Detector, block_seconds: int) -> None:
    recording, settings = open_recording(unplugged), Settings(threads=2)
    montage = fit_montage(recording, detector.weights, settings)
    scorer = Scorer(detector.engine, recording, montage, settings, StageClock())
    one, other = scorer.score(), replace(scorer, block_seconds=block_seconds).score()
    assert (one.codes[FOUND] == Quality.NO_EEG).all()
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.present, other.present)
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)


def test_half_a_head_unplugged_leaves_the_mean_to_the_other_half(tmp_path: Path, detector: Detector) -> None:
    data = eeg(15) + white(0.3, seed=9)
    left = [i for i, name in enumerate(ELECTRODES_19) if name[-1] in "1357"]
    data[left, OPEN.start * FS : OPEN.stop * FS] = (hum(150) + white(1))[left, : (OPEN.stop - OPEN.start) * FS]
    result = annotate(write_edf(tmp_path / "half.edf", data, FS), detector)
    seconds = slice(OPEN.start + 8, OPEN.stop)  # each node was heard by itself for 11 s
    dead = [node[-1] in "1357" for node in DOUBLE_BANANA]
    assert np.isnan(result.scores.by_node[seconds][:, dead]).all()
    assert np.isfinite(result.scores.by_node[seconds][:, ~np.array(dead)]).all()
    assert np.isfinite(result.scores.probability[seconds]).all() == (18 - sum(dead) >= detector.weights.min_nodes)


def test_a_gain_that_cannot_be_is_doubted_in_the_run_report_and_after_the_cache(
    tmp_path: Path, detector: Detector
) -> None:
    data = eeg(15)
    data[ELECTRODES_19.index("O2")] *= 10
    path = write_edf(tmp_path / "gain.edf", data, FS)
    result = annotate(path, detector)
    assert len(result.doubts) == 1
    assert "P4-O2" in result.doubts[0] and "T6-O2" in result.doubts[0] and "FP1-F7" not in result.doubts[0]
    assert result.doubts[0] in run_report(result)["quality"]["warnings"]
    cache = ScoreCache(str(tmp_path / "scores"), "k" * 16)
    cache.keep("00ff", result)
    restored = cache.restore("00ff", result.recording, detector.weights, Settings())
    assert restored is not None
    assert restored.doubts == result.doubts


@pytest.mark.parametrize("length", [100, 200, 201, 256, 500])
def test_the_taper_in_the_spectrum_is_the_taper_in_time(length: int) -> None:
    seconds = np.random.default_rng(0).standard_normal((3, 4, length)).cumsum(axis=-1).astype(np.float32) / 4
    transformed = transform(seconds)
    found = band_levels(seconds, transformed, power_spectrum(transformed, length))
    clock = np.arange(length)
    taper, ramp = 0.5 - 0.5 * np.cos(2 * np.pi * clock / length), clock - length / 2
    slope = (seconds * taper * ramp).sum(axis=-1) / (taper * ramp**2).sum()
    power = np.abs(np.fft.rfft(taper * (seconds - slope[..., None] * ramp))) ** 2 * 2 / (length * (taper**2).sum())
    for column, (low, high) in enumerate(BANDS):
        np.testing.assert_allclose(found[..., column], power[..., low:high].mean(axis=-1), rtol=1e-3)
    if length > 130:
        hum_found = np.max([power[..., low:high].sum(axis=-1) for low, high in HUM_BINS], axis=0)
        np.testing.assert_allclose(found[..., -1], hum_found, rtol=1e-3)
