"""Microvolts to one-second spectra, and spectra to the network's inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Microvolts that the amplitude feature calls zero: a usual 1-40 Hz RMS of a bipolar derivation.
REFERENCE_RMS = 15.0
AMPLITUDE_RANGE = (-3.0, 4.0)
SPECTRUM_BINS = 101


@dataclass(frozen=True)
class FeatureConfig:
    """What the network sees of each second; stored with the weights.

    The form of the paper is ``bands=((0, 99),), amplitude=False``.
    """

    sfreq: float = 200.0  # samples a second that the spectra are computed at, Hz; a whole number
    bands: tuple[tuple[int, int], ...] = ((1, 40),)  # groups of 1-Hz bins, both ends included, each z-scored apart
    amplitude: bool = True  # append ln(RMS / 15 µV) of the bins used, clipped to [-3, 4]
    floor: float = 1e-3  # smallest magnitude given to the logarithm

    @property
    def n_features(self) -> int:
        """Number of features of one node in one second."""
        return sum(high - low + 1 for low, high in self.bands) + int(self.amplitude)

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest bin used, Hz."""
        return min(low for low, _ in self.bands), max(high for _, high in self.bands)


def transform(signal: Float32Array, sfreq: float) -> NDArray[np.complex64]:
    """Return the rFFT of each whole second, (N, n) to (N, T, bins), one bin a hertz."""
    length = int(sfreq)
    n_seconds = signal.shape[1] // length
    seconds = signal[:, : n_seconds * length].reshape(len(signal), n_seconds, length)
    return np.asarray(scipy.fft.rfft(np.asarray(seconds, dtype=np.float32), axis=-1), dtype=np.complex64)


def magnitudes(signal: Float32Array, sfreq: float) -> Float32Array:
    """Return the amplitude spectrum |rFFT| of each whole second, (N, n) to (T, N, bins), one bin a hertz."""
    return amplitudes(transform(signal, sfreq))


def amplitudes(spectrum: NDArray[np.complex64]) -> Float32Array:
    """Return the amplitudes of spectra from `transform`, (N, T, bins) to (T, N, bins)."""
    return np.ascontiguousarray(np.abs(spectrum).transpose(1, 0, 2), dtype=np.float32)


def spectra(magnitude: Float32Array, config: FeatureConfig) -> Float32Array:
    """Turn amplitude spectra, (T, N, bins), into the network's inputs, (T, N, F)."""
    return log_features(np.log(np.maximum(magnitude, np.float32(config.floor))), config)


def log_features(logs: Float32Array, config: FeatureConfig) -> Float32Array:
    """Turn natural logarithms of amplitude spectra, (..., bins), into the network's inputs, (..., F).

    The z-score takes the sample standard deviation (``n - 1``), as the paper's code does.
    """
    features = np.empty((*logs.shape[:-1], config.n_features), dtype=np.float32)
    column = 0
    for low, high in config.bands:
        width = high - low + 1
        part = logs[..., low : high + 1]
        part = part - part.mean(axis=-1, keepdims=True)
        spread = np.sqrt((part * part).sum(axis=-1, keepdims=True) / np.float32(width - 1))
        features[..., column : column + width] = part / (spread + np.float32(1e-10))
        column += width
    if config.amplitude:
        low, high = config.range
        features[..., column] = log_amplitude(rms(np.exp(logs[..., : high + 1]), config))
    return features


def rms(magnitude: Float32Array, config: FeatureConfig) -> Float32Array:
    """Return the root mean square amplitude in the bins used (without 0 Hz), µV, (T, N)."""
    low, high = config.range
    total = power(magnitude, max(1, low), high + 1)
    return np.asarray(np.sqrt(2.0 * total) / np.float32(config.sfreq), dtype=np.float32)


def power(magnitude: Float32Array, low: int, high: int) -> Float32Array:
    """Return the sum of squares of bins `low` to `high`, the last left out, shape (...)."""
    part = magnitude[..., low:high]
    return np.asarray(np.einsum("...f,...f->...", part, part), dtype=np.float32)


def mean_log_power(magnitude: Float32Array, good: NDArray[np.bool_], config: FeatureConfig) -> Float32Array:
    """Return the mean log10 power over the good nodes, (T, 101); NaN in a second without any."""
    n_bins = min(SPECTRUM_BINS, magnitude.shape[-1])
    table = np.full((len(magnitude), SPECTRUM_BINS), np.nan, dtype=np.float32)
    log = magnitude[..., :n_bins] / np.float32(config.sfreq / 2)
    np.log10(np.maximum(log, np.float32(1e-4), out=log), out=log)
    if not good.all():
        log[~good] = 0.0
    count = good.sum(axis=1, dtype=np.float32)
    known = count > 0
    table[known, :n_bins] = 2 * log.sum(axis=1)[known] / count[known, None]
    return table


def log_amplitude(amplitude: Float32Array) -> Float32Array:
    """Return ``ln(amplitude / 15 µV)`` clipped to [-3, 4]."""
    ratio = np.maximum(amplitude, np.float32(1e-6)) / np.float32(REFERENCE_RMS)
    return np.asarray(np.clip(np.log(ratio), *AMPLITUDE_RANGE), dtype=np.float32)
