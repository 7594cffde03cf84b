"""The quality of each second, and low-passed recordings."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.signal.features import FeatureConfig
from restcli.signal.montage import DOUBLE_BANANA
from restcli.signal.quality import Quality, derive_seconds, gain_doubts, summarise, upper_band_limit

SFREQ = 200
CLOCK = np.arange(10 * SFREQ) / SFREQ


def sine(frequency: float, amplitude: float, sfreq: int = SFREQ) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * np.arange(10 * sfreq) / sfreq)).astype(np.float32)


def codes_of(row: np.ndarray, saturated: float = 0.0, sfreq: int = SFREQ) -> list[int]:
    seconds = np.asarray(row, dtype=np.float32).reshape(1, -1, sfreq)
    limits = np.full(seconds.shape[:2], saturated, np.float32)
    summary = summarise(seconds, limits, np.ones((1, 1), np.float32), FeatureConfig())
    return [int(code) for code in summary.codes[:, 0]]


def test_quality_names_each_fault() -> None:
    good = sine(10, 30)
    flat = good.copy()
    flat[400:800] = 0.05
    assert codes_of(flat)[:5] == [Quality.GOOD, Quality.GOOD, Quality.FLAT, Quality.FLAT, Quality.GOOD]
    assert set(codes_of(good, saturated=0.2)) == {Quality.SATURATED}
    assert set(codes_of(sine(3, 3000))) == {Quality.ABSURD}
    assert set(codes_of(sine(50, 300) + sine(10, 10))) == {Quality.MAINS}
    assert set(codes_of(sine(60, 300) + sine(10, 10))) == {Quality.MAINS}
    gone = good.copy()
    gone[0] = np.nan
    assert codes_of(gone)[0] == Quality.MISSING
    # A violent but real discharge, and hum that does not hide the EEG, stay.
    assert set(codes_of(sine(3, 900))) == {Quality.GOOD}
    assert set(codes_of(sine(50, 60) + sine(10, 30))) == {Quality.GOOD}


@pytest.mark.parametrize("sfreq", [128, 250, 256, 500, 1024])
def test_faults_are_judged_alike_at_every_rate(sfreq: int) -> None:
    eeg = sine(10, 20, sfreq) + sine(3, 20, sfreq)
    assert set(codes_of(eeg, sfreq=sfreq)) == {Quality.GOOD}
    for hum, code in ((155, Quality.MAINS), (130, Quality.GOOD)):  # 110 and 92 µV RMS
        assert set(codes_of(sine(50, hum, sfreq) + eeg, sfreq=sfreq)) == {code}
    for size, code in ((2050, Quality.ABSURD), (1950, Quality.GOOD)):
        assert set(codes_of(sine(3, size, sfreq), sfreq=sfreq)) == {code}
    for size, code in ((0.35, Quality.GOOD), (0.22, Quality.FLAT)):  # 0.25 and 0.16 µV RMS
        assert set(codes_of(sine(5, size, sfreq), sfreq=sfreq)) == {code}
    spike = eeg.copy()
    spike[sfreq + 7] += 4100
    assert codes_of(spike, sfreq=sfreq)[:3] == [Quality.GOOD, Quality.ABSURD, Quality.GOOD]


def test_a_dead_or_missing_channel_is_told_of_its_nodes_and_of_no_others() -> None:
    data = 20 * np.random.default_rng(0).standard_normal((4, 6, SFREQ)).astype(np.float32)
    data[1, 2], data[1, 3, 7], saturated = 5.0, np.nan, np.zeros((4, 6), np.float32)
    saturated[2, 4] = 0.2
    matrix = np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1], [0, 0, 0, 1]], np.float32)
    summary = summarise(data, saturated, matrix, FeatureConfig())
    expected = np.zeros((6, 4), dtype=np.uint8)
    expected[2, :2], expected[3, :2], expected[4, 1:3] = Quality.FLAT, Quality.MISSING, Quality.SATURATED
    np.testing.assert_array_equal(summary.codes, expected)
    wide = summary.widened([0, 2, 3, 5], 6)
    np.testing.assert_array_equal(wide.codes[:, [0, 2, 3, 5]], expected)
    assert (wide.codes[:, [1, 4]] == Quality.MISSING).all()
    assert wide.logs.shape == (6, 6, 101) and np.isnan(wide.rms[:, [1, 4]]).all()


def test_derivations_are_sums_of_channels_and_nothing_spreads_from_a_missing_one() -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((7, 5, 50)).astype(np.float32)
    matrix = np.array([[1, -1, 0, 0, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0, -1], [0, 0, 0, 0, 0, 2, 0]], np.float32)
    average = np.eye(7, dtype=np.float32)[:1] - np.float32(1 / 7)
    whole = np.concatenate([matrix, average])
    expected = np.einsum("nc,cts->tns", whole, data)
    np.testing.assert_allclose(derive_seconds(data, whole), expected, atol=1e-5)
    data[3, 2] = np.nan  # no node but the mean of all has it
    np.testing.assert_allclose(derive_seconds(data, matrix), expected[:, :3], atol=1e-5)


def test_steady_hum_is_judged_alike_in_every_second() -> None:
    brain = np.random.default_rng(0).normal(size=2000).cumsum() % 80 - 40
    assert set(codes_of(sine(50, 300) + brain)) == {Quality.MAINS}


@pytest.mark.parametrize(("cutoff", "order"), [(15, 8), (20, 8), (35, 4), (50, 4), (70, 4)])
def test_low_passed_recording_is_recognised(cutoff: float, order: int) -> None:
    frequency = np.arange(101.0)
    power = 100 / np.maximum(frequency, 1) ** 1.5 + 0.02
    power[10] *= 8
    power[[50, 60]] *= 50
    assert upper_band_limit(power) is None
    found = upper_band_limit(power / (1 + (frequency / cutoff) ** (2 * order)))
    assert found is not None
    assert abs(found - cutoff) <= 12


def amplitudes(n_seconds: int = 120) -> np.ndarray:
    """RMS (T, 18) that differ by nodes and seconds as those of EEG do."""
    return 12 * np.exp(0.3 * np.random.default_rng(0).standard_normal((n_seconds, 18))).astype(np.float32)


def doubts(amplitude: np.ndarray, good: np.ndarray | None = None) -> tuple[str, ...]:
    return gain_doubts(amplitude, np.ones(amplitude.shape, bool) if good is None else good, DOUBLE_BANANA)


def test_gains_that_cannot_be_are_named() -> None:
    assert doubts(amplitudes()) == ()
    for factor, word in ((10, "larger"), (1 / 10, "smaller")):
        wrong = amplitudes()
        wrong[:, 3] *= factor
        (text,) = doubts(wrong)
        assert word in text and "T5-O1" in text and "F7-T3" not in text
        good = np.ones(wrong.shape, bool)
        good[:, 3] = False
        assert doubts(wrong, good) == ()
    (text,) = doubts(np.repeat(amplitudes()[:, :1], 18, axis=1))
    assert "copies of one signal" in text
    (text,) = doubts(np.repeat(amplitudes()[:, :1], 18, axis=1) * np.linspace(0.5, 2, 18, dtype=np.float32))
    assert "copies of one signal" in text  # at different gains
    copied = amplitudes()
    copied[:, 10:18] = copied[:, :8]  # the right half is the left one
    (text,) = doubts(copied)
    assert "FP1-F7 and FP2-F4" in text and "and 4 more; their channels may be copies of each other" in text
    assert doubts(amplitudes(30) * np.linspace(1, 30, 18, dtype=np.float32)) == ()  # too short to tell
