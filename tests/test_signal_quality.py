"""The quality of each second, and low-passed recordings."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.signal.montage import DOUBLE_BANANA
from restcli.signal.quality import Quality, gain_doubts, judge, upper_band_limit

SFREQ = 200.0
CLOCK = np.arange(int(10 * SFREQ)) / SFREQ


def sine(frequency: float, amplitude: float) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * CLOCK)).astype(np.float32)


def codes_of(row: np.ndarray, saturated: float = 0.0) -> list[int]:
    signal = np.asarray(row, dtype=np.float32)[None]
    n_seconds = signal.shape[1] // 200
    unity = np.ones((1, 1), np.float32)
    *_, codes = judge(signal, np.full((1, n_seconds), saturated, np.float32), signal, unity, sfreq=SFREQ)
    return [int(code) for code in codes[:, 0]]


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
    assert doubts(amplitudes(30) * np.linspace(1, 30, 18, dtype=np.float32)) == ()  # too short to tell
