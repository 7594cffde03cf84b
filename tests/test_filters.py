"""Display filters are zero-phase Butterworth filters that keep to each run without a gap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as reference

from restcli.signal.filters import filter_runs

FS = 200.0


@pytest.mark.parametrize(
    ("given", "coefficients"),
    [
        ({"high_pass": 1.0}, reference.butter(2, 1.0, "high", fs=FS)),
        ({"low_pass": 40.0}, reference.butter(2, 40.0, "low", fs=FS)),
        ({"notch": 50.0}, reference.iirnotch(50.0, 30.0, FS)),
    ],
)
def test_filters_are_those_of_scipy_applied_both_ways(given: dict[str, float], coefficients: tuple) -> None:
    data = np.random.default_rng(0).normal(0, 30, (3, 4000)).astype(np.float32)
    expected = reference.filtfilt(*coefficients, data, padtype="odd", padlen=999)
    np.testing.assert_allclose(filter_runs(data, FS, **given)[:, 300:-300], expected[:, 300:-300], atol=0.05)


def test_each_run_is_filtered_by_itself_and_nothing_is_shifted() -> None:
    data = np.zeros((2, 3000), dtype=np.float32)
    data[:, 700] = 1000.0
    data[:, 1000:1200] = np.nan
    data[:, 1200:] += 500.0
    found = filter_runs(data, FS, high_pass=0.5, low_pass=30.0)
    assert int(np.argmax(found[0, :1000])) == 700
    assert np.isnan(found[:, 1000:1200]).all() and np.isfinite(found[:, 1200:]).all()
    assert np.abs(found[:, 1200:]).max() < 1e-2, "an offset behind a gap does not ring"
    np.testing.assert_allclose(filter_runs(data, FS), data, atol=1e-3)
