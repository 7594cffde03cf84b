"""Waves: noise keeps to its spectrum, oscillations to their frequency."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.simulate.waves import edges, fft_length, generator, play


@pytest.mark.parametrize("n", [20, 199, 4000, 4001, 24000])
def test_noise_has_unit_power_and_the_wanted_length(n: int) -> None:
    noise = generator(0).coloured_noise(n, np.full(8, 1.0), np.full(8, 2.0))
    assert noise.shape == (8, n) and noise.dtype == np.float32
    assert fft_length(n) >= n and fft_length(n) % 2 == 0
    if n >= 4000:
        assert 0.85 < np.sqrt((noise**2).mean()) < 1.15


def test_a_rhythm_peaks_at_its_frequency() -> None:
    spectrum = np.abs(np.fft.rfft(generator(0).rhythm(20000, 10.0, 0.5)))
    assert abs(np.fft.rfftfreq(20000, 1 / 200)[spectrum.argmax()] - 10) < 1.5


def test_band_noise_keeps_to_its_band() -> None:
    power = np.abs(np.fft.rfft(generator(0).band_noise(20000, 20, 60))) ** 2
    hertz = np.fft.rfftfreq(20000, 1 / 200)
    assert power[(hertz > 20) & (hertz < 60)].sum() > 0.8 * power.sum()
    assert power[hertz < 10].sum() < 0.02 * power.sum()


@pytest.mark.parametrize("kind", ["sine", "sharp", "spike_wave", "triangle", "pulse"])
def test_every_waveform_is_periodic_without_offset(kind: str) -> None:
    table = generator(3).cycle_table(kind)
    assert np.abs(table).max() == pytest.approx(1, abs=1e-6)
    assert abs(float(table.mean())) < 1e-6
    phase = np.arange(0, 3, 0.01)
    assert np.array_equal(play(table, phase), play(table, phase + 1))


def test_a_phase_follows_its_frequencies() -> None:
    phase = generator(0).gliding_phase(20000, (8.0, 2.0), jitter=0.0)
    rate = np.diff(phase) * 200
    assert rate[0] == pytest.approx(8, rel=1e-3) and rate[-1] == pytest.approx(2, rel=1e-3)
    assert np.all(np.diff(rate) <= 1e-9)


def test_edges_are_smooth_and_end_near_nothing() -> None:
    window = edges(1000, 1.0, 2.0)
    assert window[0] < 0.01 and window[-1] < 0.01 and window[500] == 1
