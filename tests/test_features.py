"""Spectra of each second and the network's inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from restcli.signal.features import FeatureConfig, magnitudes, rms, spectra

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


def test_nothing_warns_on_zeros() -> None:
    features = spectra(magnitudes(np.zeros((3, 400), np.float32), SFREQ), FeatureConfig())
    assert np.isfinite(features).all()
