"""Baselines that a network must beat: amplitude, and a logistic regression on band power."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.signal.features import BANDS
from restcli.signal.sequences import running_mean

Float = NDArray[np.float64]
FloatArray = NDArray[np.floating]

AMPLITUDE, BAND_POWER = "amplitude baseline", "band-power baseline"

_SECONDS = 9
_DIGITS = 6


def amplitude_baseline(rms: FloatArray) -> Float:
    """Score seconds by the log of RMS (T, N) in µV: median over the nodes, mean over 9 s, NaN without good nodes."""
    logs = np.log(np.maximum(np.asarray(rms, dtype=float), 1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a second without a good node is NaN
        middle = np.asarray(np.nanmedian(logs, axis=1), dtype=float)
    return running_mean(middle, _SECONDS)


def band_powers(spectrum: FloatArray) -> Float:
    """Average log10 power (T, K) at 0, 1, 2, ... Hz within ten bands from 1-2 to 33-40 Hz, shape (T, 10)."""
    table = np.asarray(spectrum, dtype=float)
    return np.stack([table[:, low : high + 1].mean(axis=1) for low, high in BANDS], axis=1)


@dataclass(frozen=True)
class BandPowerBaseline:
    """A logistic regression on band power, fitted on the network's training data."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    slope: tuple[float, ...]
    intercept: float

    def predict(self, features: FloatArray) -> Float:
        """Return the probability of seconds from their `band_powers` (T, 10), averaged over 9 s; NaN stays NaN."""
        standard = (np.asarray(features, dtype=float) - np.array(self.centre)) / np.array(self.scale)
        odds = standard @ np.array(self.slope) + self.intercept
        return running_mean(np.asarray(0.5 * (1 + np.tanh(odds / 2)), dtype=float), _SECONDS)


def fit_band_power(features: FloatArray, labels: NDArray[np.bool_]) -> BandPowerBaseline:
    """Fit the regression on `band_powers` (T, F) and labels (T,), both classes with the same weight."""
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(features).all(axis=1)
    rows, truth = np.asarray(features, dtype=float)[known], np.asarray(labels, dtype=bool)[known]
    if truth.all() or not truth.any():
        raise UsageError(BAND_POWER, "all training seconds are of one kind", "seizure and other seconds")
    centre, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit((rows - centre) / scale, truth)

    def rounded(values: Float) -> tuple[float, ...]:  # it is written to the metadata of weights files
        return tuple(float(f"{value:.{_DIGITS}g}") for value in values)

    return BandPowerBaseline(rounded(centre), rounded(scale), rounded(model.coef_[0]), rounded(model.intercept_)[0])
