"""Seconds in which an amplifier recorded but no EEG came in: open inputs, which carry noise and hum."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from restcli.signal.features import Float32Array
from restcli.signal.sequences import running_mean

# Bands, Hz, last bin left out, whose power densities are compared, and those in which mains hum is looked for.
BANDS = ((2, 7), (7, 14), (14, 25), (26, 41))
HUM_BINS = ((48, 53), (58, 63))
N_LEVELS = len(BANDS) + 1
_EDGES = sorted({edge for band in (*BANDS, *HUM_BINS) for edge in band} - {HUM_BINS[-1][-1]})
_PLACES = [_EDGES.index(low) for low, _ in (*BANDS, *HUM_BINS)]

# A second is judged by the means over the 11 s around it. Densities of white noise then differ by a factor of 1.33, and
# by less than 1.8 in 98 of 100 windows; those of EEG of less than 4 µV by 2.2 at least in 23 recordings of healthy
# adults, and by over 5 as a rule. The highest band may be lost to a low-pass filter; below 2 µV three bands are enough.
WINDOW = 11
WHITE_RATIO = 1.8
# RMS in the bands, µV: a clinical amplifier with open inputs stays below 4 on a derivation. Suppressed EEG may be as
# small, but is not white; nothing from a head is as small as 0.5.
NOISE_RMS = 4.0
LOW_PASSED_NOISE_RMS = 2.0
SILENT_RMS = 0.5
# Hum of this RMS in µV, and this many times larger than the bands, over a white spectrum of any size.
HUM_RMS = 30.0
HUM_RATIO = 10.0
# Which channels are worth a spectrum of their own: small ones, µV, and those of nodes with hum or about white.
QUIET_STD = 8.0
ABOUT_WHITE_RATIO = 6.0


def band_levels(signal: Float32Array, transformed: NDArray[np.complex64], *, sfreq: float) -> Float32Array:
    """Return the levels of each second, (N, n) to (T, N, 5): mean power density by band in µV²/Hz, then hum in µV².

    The Hann taper keeps hum of 49.9 Hz out of the bands, and slow wander where its slope is removed as well.
    `transformed` is the rFFT of the whole seconds, (N, T, bins).
    """
    length, n_seconds = int(sfreq), transformed.shape[1]
    seconds = signal[:, : n_seconds * length].reshape(len(signal), n_seconds, length)
    return _levels(seconds, transformed).swapaxes(0, 1)


def levels_of_seconds(seconds: Float32Array) -> Float32Array:
    """Return the levels of single seconds, (..., n) to (..., 5)."""
    return _levels(seconds, scipy.fft.rfft(np.asarray(seconds, dtype=np.float32), axis=-1))


def _levels(seconds: Float32Array, transformed: NDArray[np.complex64]) -> Float32Array:
    """Taper and take the slope out of spectra that exist: both are sums of a few bins."""
    length, low, high = seconds.shape[-1], BANDS[0][0], HUM_BINS[-1][-1]
    taper, ramp = taper_and_ramp(length)
    slope = np.einsum("...n,n->...", seconds, taper * ramp)
    spectrum = transformed[..., low - 1 : high - 1] + transformed[..., low + 1 : high + 1]
    spectrum *= np.float32(-0.25)
    spectrum += np.float32(0.5) * transformed[..., low:high]
    spectrum -= slope[..., None] * np.fft.rfft(taper * ramp)[low:high].astype(np.complex64)
    power = spectrum.real**2 + spectrum.imag**2
    # No matrix products here: their threads would be in the way of the other blocks.
    sums = np.add.reduceat(power, [edge - low for edge in _EDGES], axis=-1)[..., _PLACES] * power_scale(length)
    sums[..., : len(BANDS)] /= np.array([last - first for first, last in BANDS], dtype=np.float32)
    return np.concatenate([sums[..., : len(BANDS)], sums[..., len(BANDS) :].max(axis=-1, keepdims=True)], axis=-1)


def taper_and_ramp(length: int) -> tuple[Float32Array, Float32Array]:
    """Return the periodic Hann taper, and a rising line whose sum of squares under it is 1."""
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    ramp = np.arange(length) - length / 2
    ramp /= np.sqrt((taper * ramp**2).sum())
    return taper.astype(np.float32), ramp.astype(np.float32)


def power_scale(length: int) -> np.float32:
    """Return what turns |rFFT|² of a tapered second into µV²/Hz, one side."""
    return np.float32(2.0 / (0.375 * length**2))


def quietest_levels(data: Float32Array, found: Float32Array, matrix: Float32Array, *, sfreq: float) -> Float32Array:
    """Return for each second and node, (T, N, 5), the levels of the node or of one of its channels, the least of them.

    The derivation of an open input and one that works looks like EEG: only the channel tells. `data` are the channels
    (C, n), `found` the levels of the nodes, which are changed in place.
    """
    length, n_channels, n_seconds = int(sfreq), len(data), len(found)
    seconds = data[:, : n_seconds * length].reshape(n_channels, n_seconds, length)
    used = matrix != 0
    bands = found[..., : len(BANDS)]
    suspect = (found[..., -1] > HUM_RMS**2) | (bands.max(axis=-1) < ABOUT_WHITE_RATIO * bands.min(axis=-1))
    listen = (seconds[..., ::4].std(axis=-1) < QUIET_STD) | (suspect @ used).T
    if listen.any():
        channels = np.full((n_channels, n_seconds, N_LEVELS), np.inf, dtype=np.float32)
        channels[listen] = levels_of_seconds(seconds[listen])
        for node, channel in np.argwhere(used):
            less = bands_power(channels[channel]) < bands_power(found[:, node])
            found[less, node] = channels[channel, less]
    return found


def bands_power(levels: Float32Array) -> Float32Array:
    """Return the power in the bands, µV², (..., 5) to (...)."""
    parts = [levels[..., column] * np.float32(high - low) for column, (low, high) in enumerate(BANDS)]
    return np.asarray(sum(parts), dtype=np.float32)


def without_eeg(levels: Float32Array, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which good seconds of which nodes, (T, N), hold no EEG, from their levels (T, N, 5).

    A second counts when it lies in 11 s that hold none, so that an outage is found from its first second to its last.
    """
    means = np.empty_like(levels)
    for k in range(N_LEVELS):
        means[..., k] = running_mean(np.where(good, levels[..., k], np.nan), WINDOW)
    return np.asarray(maximum_filter1d(sounds_open(means), WINDOW, axis=0, mode="constant") & good)


def sounds_open(means: Float32Array) -> NDArray[np.bool_]:
    """Judge levels averaged over time, (..., 5): amplifier noise, silence, or hum over a white spectrum."""
    power, hum, bands = bands_power(means), means[..., -1], means[..., : len(BANDS)]
    with np.errstate(invalid="ignore"):
        low_white, white = (part.max(axis=-1) < WHITE_RATIO * part.min(axis=-1) for part in (bands[..., :3], bands))
        humming = (hum > HUM_RMS**2) & (hum > HUM_RATIO**2 * power)
        noise = white & ((power < NOISE_RMS**2) | humming)
        return np.asarray((power < SILENT_RMS**2) | noise | (low_white & (power < LOW_PASSED_NOISE_RMS**2)))
