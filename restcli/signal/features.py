"""Microvolts to one-second spectra, and spectra to the network's inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Microvolts that the amplitude feature calls zero: a usual 1-40 Hz RMS of a bipolar derivation.
REFERENCE_RMS = 15.0
AMPLITUDE_RANGE = (-3.0, 4.0)
RELATIVE_RANGE = (-2.5, 2.5)

# Spectra hold the bins 0 to 100 Hz. Magnitudes are those of |rFFT| of 200 samples, whatever the rate.
SPECTRUM_BINS = 101
REFERENCE_RATE = 200
HIGHEST_RATE = 2048  # faster recordings are resampled: their transforms cost more than that

# First and last bin, Hz, of ten bands: narrow where seizures have their rhythms, wide where muscle lies.
BANDS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 13), (14, 18), (19, 25), (26, 32), (33, 40))


@dataclass(frozen=True)
class FeatureConfig:
    """What the network sees of each second; stored with the weights.

    The form of the paper is ``bands=((0, 99),), amplitude=False, relative=False``.
    """

    bands: tuple[tuple[int, int], ...] = ((1, 40),)  # groups of 1-Hz bins, both ends included, each z-scored apart
    amplitude: bool = True  # append ln(RMS / 15 µV) of the bins used, clipped to [-3, 4]
    relative: bool = True  # append the amplitude relative to the node's own usual one, see `restcli.signal.usual`
    floor: float = 1e-3  # smallest magnitude given to the logarithm

    @property
    def n_features(self) -> int:
        """Number of features of one node in one second."""
        return sum(high - low + 1 for low, high in self.bands) + int(self.amplitude) + int(self.relative)

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest bin used, Hz."""
        return min(low for low, _ in self.bands), max(high for _, high in self.bands)


def analysis_rate(rates: Iterable[Fraction | float], config: FeatureConfig) -> int:
    """Return the sampling rate that spectra are computed at: the channels' own where it allows bins of whole hertz."""
    found = {Fraction(rate) for rate in rates}
    if len(found) != 1:
        return REFERENCE_RATE
    rate = found.pop()
    fits = rate.denominator == 1 and 2 * config.range[1] <= rate <= HIGHEST_RATE
    return int(rate) if fits else REFERENCE_RATE


def transform(seconds: Float32Array) -> NDArray[np.complex64]:
    """Return the rFFT of single seconds, (..., n) to (..., n // 2 + 1), one bin a hertz."""
    return np.asarray(_rfft()(seconds), dtype=np.complex64)


@cache
def _rfft() -> Callable[[Float32Array], NDArray[np.complex64]]:
    """Return scipy's rFFT, three times as fast as numpy's, without the import of `scipy.fft` where that is possible."""
    # The import brings half of numpy and scipy with it, which takes longer than scoring half an hour.
    scipy = find_spec("scipy")
    folder = Path(scipy.origin).parent / "fft" if scipy is not None and scipy.origin else Path()
    compiled = PathFinder.find_spec("pypocketfft", [str(folder / "_pocketfft")])
    compiled = compiled or PathFinder.find_spec("pyduccfft", [str(folder / "_duccfft")])  # from scipy 1.18 on
    if compiled is not None and compiled.loader is not None:
        module = module_from_spec(compiled)
        compiled.loader.exec_module(module)
        with suppress(AttributeError, TypeError):  # another version's function
            module.r2c(np.zeros(2, np.float32), (-1,), True, 0, None, 1)
            return lambda seconds: module.r2c(seconds, (-1,), True, 0, None, 1)
    from scipy.fft import rfft

    return rfft  # type: ignore[no-any-return]


def power_spectrum(transformed: NDArray[np.complex64], length: int) -> Float32Array:
    """Return squared magnitudes, (..., 101), of transforms of `length` samples; 0 from half the rate up."""
    n_bins = min(SPECTRUM_BINS, transformed.shape[-1])
    power = np.empty((*transformed.shape[:-1], SPECTRUM_BINS), dtype=np.float32)
    power[..., n_bins:] = 0
    np.abs(transformed[..., :n_bins], out=power[..., :n_bins])
    power *= np.float32(REFERENCE_RATE / length)
    power *= power
    return power


def spectra(seconds: Float32Array) -> Float32Array:
    """Return the squared magnitudes of single seconds of a signal, (..., n) to (..., 101)."""
    return power_spectrum(transform(seconds), seconds.shape[-1])


def log_magnitude(power: Float32Array, config: FeatureConfig) -> Float32Array:
    """Return the natural logarithm of magnitudes, given their squares."""
    logs = np.maximum(power, np.float32(config.floor**2))
    np.log(logs, out=logs)
    logs *= np.float32(0.5)
    return logs


def log_features(
    logs: Float32Array, amplitude: Float32Array, relative: Float32Array, config: FeatureConfig
) -> Float32Array:
    """Turn logarithms of magnitudes, (..., bins), RMS in µV and relative amplitude, (...), into inputs, (..., F).

    The z-score takes the sample standard deviation (``n - 1``), as the paper's code does.
    """
    features = np.empty((*logs.shape[:-1], config.n_features), dtype=np.float32)
    column = 0
    for low, high in config.bands:
        width = high - low + 1
        part = features[..., column : column + width]
        given = logs[..., low : high + 1]
        mean = np.einsum("...f->...", given) / np.float32(width)
        np.subtract(given, mean[..., None], out=part)
        spread = np.sqrt(np.einsum("...f,...f->...", part, part) / np.float32(width - 1))
        part *= (np.float32(1) / (spread + np.float32(1e-10)))[..., None]
        column += width
    if config.amplitude:
        ratio = np.maximum(amplitude, np.float32(1e-6)) / np.float32(REFERENCE_RMS)
        features[..., column] = np.clip(np.log(ratio), *AMPLITUDE_RANGE)
        column += 1
    if config.relative:
        features[..., column] = relative
    return features


def rms(power: Float32Array, config: FeatureConfig) -> Float32Array:
    """Return the root mean square amplitude in the bins used (without 0 Hz), µV, (..., bins) to (...)."""
    low, high = config.range
    total = band_sum(power, max(1, low), high + 1)
    return np.asarray(np.sqrt(np.float32(2.0) * total) / np.float32(REFERENCE_RATE), dtype=np.float32)


def rms_of_logs(logs: Float32Array, config: FeatureConfig) -> Float32Array:
    """Return the amplitude in the bins used, µV, from logarithms of magnitudes, (..., bins) to (...)."""
    return rms(np.exp(np.float32(2) * logs[..., : config.range[1] + 1]), config)


def band_sum(power: Float32Array, low: int, high: int) -> Float32Array:
    """Return the sum of bins `low` to `high`, the last left out, shape (...)."""
    return np.asarray(np.einsum("...f->...", power[..., low:high]), dtype=np.float32)


def mean_log(logs: Float32Array) -> Float32Array:
    """Return the mean over the ten bands of each band's mean logarithm, (..., bins) to (...)."""
    return np.asarray(np.einsum("...f,f->...", logs[..., 1 : len(_SHARES) + 1], _SHARES), dtype=np.float32)


_SHARES = np.concatenate([np.full(high - low + 1, 1 / (len(BANDS) * (high - low + 1))) for low, high in BANDS]).astype(
    np.float32
)


def mean_log_power(logs: Float32Array, good: NDArray[np.bool_]) -> Float32Array:
    """Return the mean log10 power in µV² over the good nodes, (T, N, 101) to (T, 101); NaN in a second without any."""
    table = np.full((len(logs), SPECTRUM_BINS), np.nan, dtype=np.float32)
    count = good.sum(axis=1, dtype=np.float32)
    known = count > 0
    whole = logs.sum(axis=1) if good.all() else np.einsum("tnf,tn->tf", logs, good.astype(np.float32))
    mean = whole[known] / count[known, None] - np.float32(np.log(REFERENCE_RATE / 2))
    table[known] = np.float32(2 / np.log(10)) * mean
    return table
