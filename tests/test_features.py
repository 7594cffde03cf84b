"""Spectra of each second and the network's inputs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import rfft

from restcli.signal import features
from restcli.signal.features import (
    FeatureConfig,
    Float32Array,
    analysis_rate,
    log_features,
    log_magnitude,
    mean_log,
    mean_log_power,
    rms,
    rms_of_logs,
    spectra,
    transform,
)

PLAIN = FeatureConfig(relative=False)
PAPER = FeatureConfig(bands=((0, 99),), amplitude=False, relative=False)


def sine(frequency: float, amplitude: float, sfreq: int = 200) -> Float32Array:
    """Ten seconds of one channel, (10, 1, sfreq)."""
    clock = np.arange(10 * sfreq) / sfreq
    return (amplitude * np.sin(2 * np.pi * frequency * clock)).astype(np.float32).reshape(10, 1, sfreq)


def inputs(seconds: NDArray[np.float32], config: FeatureConfig) -> Float32Array:
    power = spectra(seconds)
    relative = np.zeros(power.shape[:-1], dtype=np.float32)
    return log_features(log_magnitude(power, config), rms(power, config), relative, config)


def noise(*shape: int, seed: int = 0) -> Float32Array:
    return 20 * np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_paper_form_equals_torch() -> None:
    signal = noise(5, 19, 200)
    logs = torch.log(torch.fft.rfft(torch.from_numpy(signal))[..., :100].abs())
    theirs = (logs - logs.mean(2, keepdim=True)) / (logs.std(2, keepdim=True) + 1e-10)
    ours = inputs(signal, PAPER)
    assert ours.shape == (5, 19, 100)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("sfreq", [128, 200, 250, 256, 500, 1024])
def test_a_second_has_the_same_spectrum_at_every_rate(sfreq: int) -> None:
    signal = sine(10, 30, sfreq) + sine(23, 5, sfreq) + 40
    power = spectra(signal)
    assert power.shape == (10, 1, 101)
    expected = np.zeros(101)
    expected[[0, 10, 23]] = (200 * 40) ** 2, (100 * 30) ** 2, (100 * 5) ** 2  # squared |rFFT| of 200 samples
    np.testing.assert_allclose(power[3, 0], expected, atol=1.0, rtol=1e-4)
    assert (power[..., sfreq // 2 + 1 :] == 0).all()


def test_transform_is_that_of_scipy_however_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = noise(3, 2, 250)[:, :, ::2]
    expected = rfft(signal)
    assert features._rfft() is not rfft
    assert np.array_equal(transform(signal), expected)
    monkeypatch.setattr(features.PathFinder, "find_spec", lambda *_: None)
    features._rfft.cache_clear()
    assert features._rfft() is rfft
    assert np.array_equal(transform(signal), expected)
    monkeypatch.undo()
    features._rfft.cache_clear()


def test_analysis_is_at_the_recordings_own_rate_where_bins_are_whole_hertz() -> None:
    for rate in (128, 200, 250, 256, 500, 512, 1000, 1024, 2048):
        assert analysis_rate([Fraction(rate)] * 3, PLAIN) == rate
    assert analysis_rate([Fraction(80)], PLAIN) == 80  # twice the highest bin
    for rate in (Fraction(79), Fraction(2500, 9), 199.98, 4096, 2049):
        assert analysis_rate([rate], PLAIN) == 200
    assert analysis_rate([Fraction(256), Fraction(512)], PLAIN) == 200
    assert analysis_rate([Fraction(128)], PAPER) == 200
    assert analysis_rate([], PLAIN) == 200


def test_amplitude_is_log_rms_over_15_microvolts() -> None:
    features = inputs(sine(10, 15 * np.sqrt(2)), PLAIN)
    assert features.shape == (10, 1, 41)
    np.testing.assert_allclose(features[:, 0, -1], 0.0, atol=1e-4)


@pytest.mark.parametrize("sfreq", [200, 256, 500])
def test_rms_leaves_out_what_the_bins_leave_out(sfreq: int) -> None:
    power = spectra(sine(10, 20, sfreq) + sine(60, 500, sfreq) + 300)
    np.testing.assert_allclose(rms(power, PLAIN), 20 / np.sqrt(2), rtol=1e-4)
    np.testing.assert_allclose(rms_of_logs(log_magnitude(power, PLAIN), PLAIN), 20 / np.sqrt(2), rtol=1e-3)


def test_gain_changes_only_the_amplitude() -> None:
    signal = noise(4, 2, 200)
    one, two = (inputs(signal * np.float32(gain), PLAIN) for gain in (1, 2))
    np.testing.assert_allclose(one[..., :-1], two[..., :-1], atol=1e-4)
    np.testing.assert_allclose(two[..., -1] - one[..., -1], np.log(2), atol=1e-4)


def test_bands_are_normalised_apart() -> None:
    features = inputs(noise(1, 1, 200), FeatureConfig(bands=((1, 13), (14, 40)), amplitude=False, relative=False))[0, 0]
    assert len(features) == 40
    for part in (features[:13], features[13:]):
        assert abs(part.mean()) < 1e-5
        assert part.std(ddof=1) == pytest.approx(1, abs=1e-4)


def test_relative_amplitude_comes_last() -> None:
    power, config = spectra(noise(6, 3, 256)), FeatureConfig()
    relative = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    features = log_features(log_magnitude(power, config), rms(power, config), relative, config)
    assert features.shape == (6, 3, config.n_features) == (6, 3, 42)
    np.testing.assert_array_equal(features[..., -1], relative)
    np.testing.assert_array_equal(features[..., :-1], inputs(noise(6, 3, 256), PLAIN))


def test_nothing_warns_on_zeros() -> None:
    for config in (PLAIN, PAPER, FeatureConfig()):
        assert np.isfinite(inputs(np.zeros((3, 2, 200), np.float32), config)).all()


def test_mean_spectrum_is_that_of_the_good_nodes() -> None:
    logs, good = log_magnitude(spectra(noise(4, 3, 200)), PLAIN), np.ones((4, 3), dtype=bool)
    good[1, 2], good[2] = False, False
    found = mean_log_power(logs, good)
    assert np.isnan(found[2]).all()
    amplitude = np.exp(logs) / 100  # of a sine in µV: a magnitude of 100 is 1 µV
    np.testing.assert_allclose(found[0], np.log10(amplitude[0] ** 2).mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(found[1], np.log10(amplitude[1, :2] ** 2).mean(axis=0), atol=1e-4)


def test_mean_log_weighs_wide_and_narrow_bands_alike() -> None:
    logs = np.zeros((1, 101), dtype=np.float32)
    logs[0, 33:41] = 1  # the widest band, muscle
    assert mean_log(logs)[0] == pytest.approx(0.1, abs=1e-6)
    logs[0, 1:3] = 1  # the slowest
    logs[0, 0] = logs[0, 41:] = 50
    assert mean_log(logs)[0] == pytest.approx(0.2, abs=1e-6)
