"""What a network must beat: amplitude alone, and a plain regression on band power; knows neither networks nor files."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.signal.sequences import running_mean

Float = NDArray[np.float64]
FloatArray = NDArray[np.floating]

AMPLITUDE, BAND_POWER = "amplitude floor", "band-power floor"
"""What the floors are called in every table."""

# First and last bin, Hz: narrow where seizures have their rhythms, wide where muscle lies.
_BANDS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 13), (14, 18), (19, 25), (26, 32), (33, 40))
_SECONDS = 9
_DIGITS = 6


def amplitude_floor(rms: FloatArray) -> Float:
    """Score seconds by amplitude alone.

    Parameters
    ----------
    rms : ndarray, shape (T, N)
        RMS of 1 to 40 Hz in each second and node, µV; NaN for bad nodes.

    Returns
    -------
    ndarray, shape (T,)
        Natural logarithm, median over the nodes, mean over 9 s around each second; NaN where no node is good.
    """
    logs = np.log(np.maximum(np.asarray(rms, dtype=float), 1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a second without a good node is NaN
        middle = np.asarray(np.nanmedian(logs, axis=1), dtype=float)
    return running_mean(middle, _SECONDS)


def band_powers(spectrum: FloatArray) -> Float:
    """Reduce spectra to the power in ten bands: the features of the plain regression.

    Parameters
    ----------
    spectrum : ndarray, shape (T, K)
        Log10 power at 0, 1, 2, ... Hz, at least up to 40 Hz, mean over the good nodes; NaN where there is none.

    Returns
    -------
    ndarray, shape (T, 10)
        Mean log10 power in each band from 1-2 to 33-40 Hz.
    """
    table = np.asarray(spectrum, dtype=float)
    return np.stack([table[:, low : high + 1].mean(axis=1) for low, high in _BANDS], axis=1)


@dataclass(frozen=True)
class BandPowerFloor:
    """A logistic regression on band power, fitted on what the network was trained on.

    Parameters
    ----------
    centre, scale, slope : tuple of float
        Standardisation and coefficient of each band.
    intercept : float
        Log odds at the centre.
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    slope: tuple[float, ...]
    intercept: float

    def predict(self, features: FloatArray) -> Float:
        """Score seconds.

        Parameters
        ----------
        features : ndarray, shape (T, 10)
            From `band_powers`; NaN where a second could not be judged.

        Returns
        -------
        ndarray, shape (T,)
            Probability, averaged over 9 s around each second; NaN where not judged.
        """
        standard = (np.asarray(features, dtype=float) - np.array(self.centre)) / np.array(self.scale)
        odds = standard @ np.array(self.slope) + self.intercept
        return running_mean(np.asarray(0.5 * (1 + np.tanh(odds / 2)), dtype=float), _SECONDS)


def fit_band_power(features: FloatArray, labels: NDArray[np.bool_]) -> BandPowerFloor:
    """Fit the plain regression on training seconds; both kinds weigh the same.

    Parameters
    ----------
    features : ndarray, shape (T, F)
        From `band_powers`, of training recordings only; rows with NaN are left out.
    labels : ndarray of bool, shape (T,)
        Whether the second is part of a seizure.

    Returns
    -------
    BandPowerFloor
        Rounded to six digits: it travels in the metadata of weights files.

    Raises
    ------
    UsageError
        If the training seconds are all of one kind.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.isfinite(features).all(axis=1)
    rows, truth = np.asarray(features, dtype=float)[known], np.asarray(labels, dtype=bool)[known]
    if truth.all() or not truth.any():
        raise UsageError("band-power floor", "training seconds of one kind", "seizure and other seconds")
    centre, scale = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-9)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit((rows - centre) / scale, truth)

    def plain(values: Float) -> tuple[float, ...]:
        return tuple(float(f"{value:.{_DIGITS}g}") for value in values)

    return BandPowerFloor(plain(centre), plain(scale), plain(model.coef_[0]), plain(model.intercept_)[0])
