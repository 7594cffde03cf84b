"""The baselines that stand beside every network: plain, deterministic, and silent where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from restcli.errors import UsageError
from restcli.evaluation.measures import auroc
from restcli.nn.baselines import amplitude_baseline, band_powers, fit_band_power


def test_amplitude_baseline_is_the_log_of_the_median_over_nine_seconds() -> None:
    rms = np.full((30, 5), 10.0)
    rms[:, 0] = 4000.0  # one bad electrode does not move the median
    rms[15] = 10.0 * math.e**9
    baseline = amplitude_baseline(rms)
    assert baseline[5] == pytest.approx(math.log(10))
    assert baseline[11:20] == pytest.approx(math.log(10) + 1)
    assert baseline[20] == pytest.approx(math.log(10))


def test_amplitude_baseline_leaves_out_bad_nodes_and_seconds() -> None:
    rms = np.full((20, 3), 10.0)
    rms[4, :2] = np.nan
    rms[10] = np.nan
    baseline = amplitude_baseline(rms)
    assert np.isnan(baseline[10]) and np.isfinite(np.delete(baseline, 10)).all()
    assert baseline[9] == pytest.approx(math.log(10))
    assert amplitude_baseline(np.zeros((3, 2))) == pytest.approx(np.log(1e-3))
    assert amplitude_baseline(np.zeros((0, 2))).shape == (0,)


def test_band_powers_find_the_band() -> None:
    spectrum = np.zeros((4, 101))
    for row, frequency in enumerate((2, 6, 10, 37)):
        spectrum[row, frequency] = 8.0
    powers = band_powers(spectrum)
    assert powers.shape == (4, 10)
    assert powers.argmax(axis=1).tolist() == [0, 2, 4, 9]
    assert powers[0, 0] == pytest.approx(4.0)
    assert np.isnan(band_powers(np.full((1, 101), np.nan))).all()


def test_band_power_baseline_separates_and_is_deterministic() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([False, True, False], 100)
    features = generator.normal(size=(300, 5)) + labels[:, None] * [2.0, 0, 0, 0, 0]
    features[7] = np.nan
    baseline = fit_band_power(features, labels)
    again = fit_band_power(features, labels)
    assert baseline == again
    score = baseline.predict(features)
    assert np.isnan(score[7]) and ((score[8:] >= 0) & (score[8:] <= 1)).all()
    assert auroc(score, labels) > 0.95
    with pytest.raises(UsageError, match="of one kind"):
        fit_band_power(features, np.zeros(300, dtype=bool))
