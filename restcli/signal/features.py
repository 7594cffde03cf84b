"""Microvolts to spectra and the quality of each second; knows neither patients nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

REFERENCE_RMS = 15.0
"""Microvolts that the amplitude feature calls zero: a usual 1-40 Hz RMS of a bipolar derivation."""

AMPLITUDE_RANGE = (-3.0, 4.0)
SPECTRUM_BINS = 101


@dataclass(frozen=True)
class FeatureConfig:
    """What the network sees of each second; stored with the weights.

    Parameters
    ----------
    sfreq : float
        Samples a second that the spectra are computed at, Hz; a whole number.
    bands : tuple of (int, int)
        Groups of 1-Hz bins, both ends included; each group is z-scored apart, for each node and second.
    amplitude : bool
        Append ``ln(RMS / 15 µV)`` of the bins used, clipped to [-3, 4].
    floor : float
        Smallest magnitude given to the logarithm.

    Notes
    -----
    The paper's form is ``bands=((0, 99),), amplitude=False``.
    """

    sfreq: float = 200.0
    bands: tuple[tuple[int, int], ...] = ((1, 40),)
    amplitude: bool = True
    floor: float = 1e-3

    @property
    def n_features(self) -> int:
        """Number of features of one node in one second."""
        return sum(high - low + 1 for low, high in self.bands) + int(self.amplitude)

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest bin used, Hz."""
        return min(low for low, _ in self.bands), max(high for _, high in self.bands)


class Quality(IntEnum):
    """What is wrong with one node in one second; only GOOD takes part."""

    GOOD = 0
    FLAT = 1
    SATURATED = 2
    ABSURD = 3
    MAINS = 4
    MISSING = 5


QUALITY_WORDS = {
    Quality.GOOD: "good",
    Quality.FLAT: "flat or disconnected",
    Quality.SATURATED: "clipped at the amplifier's limits",
    Quality.ABSURD: "amplitude beyond any EEG",
    Quality.MAINS: "drowned in mains hum",
    Quality.MISSING: "no signal",
}

# Limits in µV. Flat: below the noise of any clinical amplifier for a whole second. Absurd: over twice the largest
# discharges described (hypsarrhythmia and generalised spike-wave reach some 1 mV). Mains: hum that hides the EEG.
FLAT_STD = 0.2
ABSURD_PEAK_TO_PEAK = 4000.0
MAINS_RMS = 100.0
MAINS_RATIO = 1.0
SATURATED_FRACTION = 0.05


@dataclass(frozen=True, eq=False)
class Summary:
    """What is kept of some seconds beside the network's inputs.

    Parameters
    ----------
    codes : ndarray of uint8, shape (T, N)
        `Quality` of each node.
    rms : ndarray of float32, shape (T, N)
        µV.
    spectrum : ndarray of float32, shape (T, 101)
        Mean log10 power over good nodes.
    """

    codes: NDArray[np.uint8]
    rms: Float32Array
    spectrum: Float32Array


def summarise(
    data: Float32Array, saturated: Float32Array, signal: Float32Array, matrix: Float32Array, config: FeatureConfig
) -> tuple[Summary, Float32Array]:
    """Judge whole seconds and turn them into the network's inputs; `gpu_features.summarise` on a GPU.

    Parameters
    ----------
    data : ndarray, shape (C, n)
        Channels in µV at the configured rate; NaN where unknown.
    saturated : ndarray, shape (C, T)
        Fraction of each second's samples at the amplifier's limits.
    signal : ndarray, shape (N, n)
        ``matrix @ data``, where what is unknown counts as 0.
    matrix : ndarray, shape (N, C)
        From `restcli.signal.montage.derive`.
    config : FeatureConfig
        What the network sees.

    Returns
    -------
    summary : Summary
    features : ndarray of float32, shape (T, N, F)
    """
    magnitude = magnitudes(signal, config.sfreq)
    faults = node_faults(matrix, channel_faults(data, saturated, sfreq=config.sfreq))
    codes = quality(signal, magnitude, faults, sfreq=config.sfreq)
    spectrum = mean_log_power(magnitude, codes == Quality.GOOD, config)
    return Summary(codes, rms(magnitude, config), spectrum), spectra(magnitude, config)


def magnitudes(signal: Float32Array, sfreq: float) -> Float32Array:
    """Compute the amplitude spectrum of each whole second.

    Parameters
    ----------
    signal : ndarray, shape (N, n)
        Microvolts at `sfreq`; a last partial second is left out.
    sfreq : float
        Hz, a whole number.

    Returns
    -------
    ndarray of float32, shape (T, N, sfreq // 2 + 1)
        |rFFT|, one bin a hertz; NaN seconds stay NaN.
    """
    n_bins = int(sfreq)
    n_seconds = signal.shape[1] // n_bins
    blocks = signal[:, : n_seconds * n_bins].reshape(signal.shape[0], n_seconds, n_bins)
    spectrum = np.abs(scipy.fft.rfft(np.asarray(blocks, dtype=np.float32), axis=-1))
    return np.ascontiguousarray(spectrum.transpose(1, 0, 2), dtype=np.float32)


def spectra(magnitude: Float32Array, config: FeatureConfig) -> Float32Array:
    """Turn amplitude spectra into the network's inputs.

    Parameters
    ----------
    magnitude : ndarray, shape (T, N, n_bins)
        From `magnitudes`, µV samples.
    config : FeatureConfig
        Bands and amplitude.

    Returns
    -------
    ndarray of float32, shape (T, N, F)
        Log magnitudes z-scored within each band, then the amplitude where asked for.

    Notes
    -----
    The z-score takes the sample standard deviation (``n - 1``), as in the paper's code.
    """
    return log_features(np.log(np.maximum(magnitude, np.float32(config.floor))), config)


def log_features(logs: Float32Array, config: FeatureConfig) -> Float32Array:
    """Turn log amplitude spectra into the network's inputs: `spectra` for spectra that were stored as logarithms.

    Parameters
    ----------
    logs : ndarray of float32, shape (..., n_bins)
        Natural logarithm of the magnitudes.
    config : FeatureConfig
        Bands and amplitude.

    Returns
    -------
    ndarray of float32, shape (..., F)
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
    """Return the root mean square amplitude in the bins used (without 0 Hz), µV, shape (T, N)."""
    low, high = config.range
    power = _power(magnitude, max(1, low), high + 1)
    return np.asarray(np.sqrt(2.0 * power) / np.float32(config.sfreq), dtype=np.float32)


def mean_log_power(magnitude: Float32Array, good: NDArray[np.bool_], config: FeatureConfig) -> Float32Array:
    """Mean log10 power over the good nodes, shape (T, 101); NaN where there is none."""
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
    """Return ``ln(amplitude / 15 µV)`` clipped to [-3, 4], same shape."""
    ratio = np.maximum(amplitude, np.float32(1e-6)) / np.float32(REFERENCE_RMS)
    return np.asarray(np.clip(np.log(ratio), *AMPLITUDE_RANGE), dtype=np.float32)


def channel_faults(data: Float32Array, saturated: Float32Array, *, sfreq: float) -> NDArray[np.uint8]:
    """Judge each channel in each second before derivation: a dead electrode hides in the difference of two.

    Parameters
    ----------
    data : ndarray, shape (C, n)
        Microvolts at `sfreq`.
    saturated : ndarray, shape (C, T)
        Fraction of each second's samples at the amplifier's limits.
    sfreq : float
        Hz.

    Returns
    -------
    ndarray of uint8, shape (C, T)
        Codes of `Quality`: GOOD, FLAT, SATURATED or MISSING.
    """
    n_seconds = saturated.shape[1]
    blocks = data[:, : n_seconds * int(sfreq)].reshape(len(data), n_seconds, int(sfreq))
    codes = np.where(saturated >= SATURATED_FRACTION, Quality.SATURATED, Quality.GOOD).astype(np.uint8)
    # Every fourth sample tells a flat second from a living one at a quarter of the work.
    spread = blocks[..., ::4].std(axis=-1)
    codes[spread < FLAT_STD] = Quality.FLAT
    if not np.isfinite(spread).all() or not np.isfinite(data).all():
        codes[~np.isfinite(blocks).all(axis=-1)] = Quality.MISSING
    return codes


def node_faults(matrix: Float32Array, faults: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give each node the fault of its worst channel.

    Parameters
    ----------
    matrix : ndarray, shape (N, C)
        From `restcli.signal.montage.derive`.
    faults : ndarray of uint8, shape (C, T)
        From `channel_faults`.

    Returns
    -------
    ndarray of uint8, shape (N, T)
    """
    if not faults.any():
        return np.zeros((matrix.shape[0], faults.shape[1]), dtype=np.uint8)
    return np.stack([faults[row].max(axis=0) for row in matrix != 0])


def quality(
    signal: Float32Array, magnitude: Float32Array, inherited: NDArray[np.uint8], *, sfreq: float
) -> NDArray[np.uint8]:
    """Judge each node in each second, in µV, before any logarithm.

    Parameters
    ----------
    signal : ndarray, shape (N, n)
        Microvolts at `sfreq`.
    magnitude : ndarray, shape (T, N, n_bins)
        From `magnitudes`.
    inherited : ndarray of uint8, shape (N, T)
        Codes of the worst channel that each node is made of, from `channel_faults`.
    sfreq : float
        Hz.

    Returns
    -------
    ndarray of uint8, shape (T, N)
        Codes of `Quality`.
    """
    n_seconds, n_nodes = magnitude.shape[:2]
    length = int(sfreq)
    blocks = signal[:, : n_seconds * length].reshape(n_nodes, n_seconds, length)
    codes = np.full((n_seconds, n_nodes), Quality.GOOD, dtype=np.uint8)
    spread = _spread(magnitude, length)
    codes[_mains_drowned(magnitude, sfreq)] = Quality.MAINS
    # Nothing whose standard deviation is small can swing far: of n samples, two may be away from the mean.
    row, column = np.nonzero(spread * np.sqrt(2.0 * length) > 0.99 * ABSURD_PEAK_TO_PEAK)
    absurd = np.ptp(blocks[column, row], axis=-1) > ABSURD_PEAK_TO_PEAK
    codes[row[absurd], column[absurd]] = Quality.ABSURD
    codes[spread < FLAT_STD] = Quality.FLAT
    faults = inherited[:, :n_seconds].T
    codes = np.where(faults != Quality.GOOD, faults, codes)
    codes[~np.isfinite(spread)] = Quality.MISSING
    return codes


def _spread(magnitude: Float32Array, length: int) -> Float32Array:
    """Return the standard deviation of each second's samples, shape (T, N), by Parseval's theorem."""
    power = 2.0 * _power(magnitude, 1, magnitude.shape[-1])
    if length % 2 == 0:
        power -= magnitude[..., -1] ** 2  # half the sampling rate stands for itself alone
    return np.asarray(np.sqrt(power) / np.float32(length), dtype=np.float32)


def _power(magnitude: Float32Array, low: int, high: int) -> Float32Array:
    """Return the sum of squares of bins `low` to `high`, the last left out, shape (...)."""
    part = magnitude[..., low:high]
    return np.asarray(np.einsum("...f,...f->...", part, part), dtype=np.float32)


def _mains_drowned(magnitude: Float32Array, sfreq: float) -> NDArray[np.bool_]:
    """Tell where 50 or 60 Hz (with its neighbours) is both large and far above 1-40 Hz, shape (T, N)."""
    scale = 2.0 / sfreq**2
    hum = np.maximum(_power(magnitude, 48, 53), _power(magnitude, 58, 63)) * scale
    brain = _power(magnitude, 1, 41) * scale
    return np.asarray((hum > MAINS_RMS**2) & (hum > MAINS_RATIO**2 * brain))


def upper_band_limit(power: NDArray[np.float64]) -> int | None:
    """Recognise a recording that was low-passed by its makers or its export.

    Parameters
    ----------
    power : ndarray, shape (n_bins,)
        Median power of each 1-Hz bin over the recording, bins 0..100 Hz.

    Returns
    -------
    int or None
        The frequency above which nearly nothing is left, Hz, between 15 and 90; None when the band is open.

    Notes
    -----
    Above 20 Hz EEG falls by about 1/f^2 in power or slower (muscle flattens it). A filter falls faster: by 4 dB more
    than that within 16 Hz, and by 6 dB more up to the end of the spectrum; below 30 Hz, where rhythms make slopes of
    their own, only a cliff of 12 dB counts. A running median bridges mains lines.
    """
    level = 10 * np.log10(np.maximum(power, 1e-12))
    smooth = np.array([np.median(level[max(0, k - 3) : k + 4]) for k in range(len(level))])
    centres = np.arange(10, len(level) - 8)
    top = len(level) - 4

    def excess(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(smooth[low] - smooth[high] - 20 * np.log10(high / low))

    steep = excess(centres - 8, np.minimum(centres + 8, top))
    gentle = (steep > 4.0) & (excess(centres - 8, np.full_like(centres, top)) > 6.0) & (centres >= 30)
    cut = gentle | (steep > 12.0)
    if not cut.any():
        return None
    return int(centres[int(np.flatnonzero(cut)[0])])
