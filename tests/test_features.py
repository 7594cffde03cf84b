"""Spectra and quality of each second."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restcli.signal.features import (
    FeatureConfig,
    Quality,
    channel_faults,
    magnitudes,
    quality,
    rms,
    spectra,
    upper_band_limit,
)

SFREQ = 200.0
CLOCK = np.arange(int(10 * SFREQ)) / SFREQ


def sine(frequency: float, amplitude: float) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * frequency * CLOCK)).astype(np.float32)


def test_paper_form_equals_torch() -> None:
    signal = np.random.default_rng(0).normal(size=(19, 1000)).astype(np.float32) * 20
    ours = spectra(magnitudes(signal, SFREQ), FeatureConfig(bands=((0, 99),), amplitude=False))
    blocks = torch.from_numpy(signal.reshape(19, 5, 200))
    logs = torch.log(torch.fft.rfft(blocks)[..., :100].abs()).transpose(0, 1)
    theirs = (logs - logs.mean(2, keepdim=True)) / (logs.std(2, keepdim=True) + 1e-10)
    assert ours.shape == (5, 19, 100)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_amplitude_is_log_rms_over_15_microvolts() -> None:
    features = spectra(magnitudes(sine(10, 15 * np.sqrt(2))[None], SFREQ), FeatureConfig())
    assert features.shape == (10, 1, 41)
    np.testing.assert_allclose(features[:, 0, -1], 0.0, atol=1e-4)


def test_rms_leaves_out_what_the_bins_leave_out() -> None:
    signal = (sine(10, 20) + sine(60, 500) + 300)[None].astype(np.float32)
    np.testing.assert_allclose(rms(magnitudes(signal, SFREQ), FeatureConfig()), 20 / np.sqrt(2), rtol=1e-4)


def test_gain_changes_only_the_amplitude() -> None:
    signal = np.random.default_rng(1).normal(size=(2, 400)).astype(np.float32) * 20
    one, two = (spectra(magnitudes(signal * gain, SFREQ), FeatureConfig()) for gain in (1, 2))
    np.testing.assert_allclose(one[..., :-1], two[..., :-1], atol=1e-4)
    np.testing.assert_allclose(two[..., -1] - one[..., -1], np.log(2), atol=1e-4)


def test_bands_are_normalised_apart() -> None:
    config = FeatureConfig(bands=((1, 13), (14, 40)), amplitude=False)
    signal = np.random.default_rng(2).normal(size=(1, 200)).astype(np.float32) * 20
    features = spectra(magnitudes(signal, SFREQ), config)[0, 0]
    for part in (features[:13], features[13:]):
        assert abs(part.mean()) < 1e-5
        assert part.std(ddof=1) == pytest.approx(1, abs=1e-4)


def judge(row: np.ndarray, saturated: float = 0.0) -> list[int]:
    signal = np.asarray(row, dtype=np.float32)[None]
    n_seconds = signal.shape[1] // 200
    faults = channel_faults(signal, np.full((1, n_seconds), saturated, np.float32), sfreq=SFREQ)
    codes = quality(signal, magnitudes(signal, SFREQ), faults, sfreq=SFREQ)
    return [int(code) for code in codes[:, 0]]


def test_quality_names_each_fault() -> None:
    good = sine(10, 30)
    flat = good.copy()
    flat[400:800] = 0.05
    assert judge(flat)[:5] == [Quality.GOOD, Quality.GOOD, Quality.FLAT, Quality.FLAT, Quality.GOOD]
    assert set(judge(good, saturated=0.2)) == {Quality.SATURATED}
    assert set(judge(sine(3, 3000))) == {Quality.ABSURD}
    assert set(judge(sine(50, 300) + sine(10, 10))) == {Quality.MAINS}
    assert set(judge(sine(60, 300) + sine(10, 10))) == {Quality.MAINS}
    gone = good.copy()
    gone[0] = np.nan
    assert judge(gone)[0] == Quality.MISSING
    # A violent but real discharge, and hum that does not hide the EEG, stay.
    assert set(judge(sine(3, 900))) == {Quality.GOOD}
    assert set(judge(sine(50, 60) + sine(10, 30))) == {Quality.GOOD}


def test_steady_hum_is_judged_alike_in_every_second() -> None:
    brain = np.random.default_rng(0).normal(size=2000).cumsum() % 80 - 40
    assert set(judge(sine(50, 300) + brain)) == {Quality.MAINS}


def test_nothing_warns_on_zeros() -> None:
    features = spectra(magnitudes(np.zeros((3, 400), np.float32), SFREQ), FeatureConfig())
    assert np.isfinite(features).all()


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
