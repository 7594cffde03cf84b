"""Seconds in which an amplifier recorded but no EEG came in: open inputs, which carry noise and hum.

`Listener` judges each node by itself, by noise that is small or lies under hum; `NoiseListener` all nodes together.
"""

from __future__ import annotations

from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray

from restcli.signal.features import REFERENCE_RATE, Float32Array, band_sum, power_spectrum, transform

# Bands, Hz, last bin left out, whose power densities are compared, and those in which mains hum is looked for.
BANDS = ((2, 7), (7, 14), (14, 25), (26, 41))
HUM_BINS = ((48, 53), (58, 63))
N_LEVELS = len(BANDS) + 1

# A second is judged by the means over the 11 s that end with it. Densities of white noise then differ by a factor of
# 1.33, and by less than 1.8 in 98 of 100 windows; those of EEG of less than 4 µV by 2.2 at least in 23
# recordings of healthy adults, and by over 5 as a rule. The highest band may be lost to a low-pass filter; below 2 µV
# three bands are enough.
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
# Power above 7 Hz, µV². Only a second below the first limit, or below the second limit and as strong above 26 Hz as
# below, can belong to such 11 s; for all other seconds a plain spectrum is enough.
SMALL_POWER, LARGE_POWER = 6.0, 30.0
# White noise of any size on many nodes at once. A node's means over a window are compared with those of white noise:
# over the lower bands, which low-pass filters leave, and from second to second. The ratio is about 1 for white noise,
# and below NOISE_LIMIT in 9 of 10 seconds. Muscle over EEG can be as white in some nodes, so a share of the good nodes
# must be: in 220 simulated recordings at most 39 % were over 6 s and 17 % over 11 s, all in seizures with muscle over
# the whole head; in real recordings 28 and 11 %. Beside such nodes, others need not be quite as white.
NOISE_BANDS = ((2, 4), (4, 7), (7, 10), (10, 14), (14, 19), (19, 25))
NOISE_WINDOWS = ((6, 0.75), (WINDOW, 0.34))
NOISE_LIMIT, NOISE_LIMIT_BESIDE = 3.0, 6.0
FEWEST_NOISY = 4
# Single seconds of white noise stay within this ratio in 999 of 1,000; the taper makes sums of bins vary more, as if
# there were fewer.
MAYBE_NOISE_RATIO = 12.0
TAPER_SHARE = 1.94
# Which channels are worth a spectrum of their own: small ones, µV, unless slow waves prevail in them, and those of
# nodes with hum or about white. The roughness of white noise is 1, that of a slow wave 0.
QUIET_STD = 8.0
ROUGH = 0.4
ABOUT_WHITE_RATIO = 6.0


def band_levels(seconds: Float32Array, transformed: NDArray[np.complex64], power: Float32Array) -> Float32Array:
    """Return the levels of seconds, (..., n) to (..., 5): mean power density by band in µV²/Hz, then hum in µV²."""
    # `transformed` and `power` are their spectra. Where the levels may matter they are those of tapered seconds: the
    # Hann taper keeps hum of 49.9 Hz out of the bands, and slow wander where its slope is removed as well.
    levels = _levels(power, np.float32(2 / REFERENCE_RATE**2))
    high = sum(levels[..., k] * np.float32(BANDS[k][1] - BANDS[k][0]) for k in range(1, len(BANDS)))
    near = (high < SMALL_POWER) | ((high < LARGE_POWER) & (levels[..., 2] < 2 * levels[..., 3]))
    near |= levels[..., -1] > HUM_RMS**2 / 4
    if near.any():
        levels[near] = _levels(*_tapered_power(seconds[near], transformed[..., : HUM_BINS[-1][-1] + 1][near]))
    return levels


def noise_levels(seconds: Float32Array, transformed: NDArray[np.complex64], levels: Float32Array) -> Float32Array:
    """Return the mean power densities that tell white noise, (..., n) to (..., 6); NaN where it is surely not.

    `levels` are the seconds' own levels.
    """
    found = np.full((*levels.shape[:-1], len(NOISE_BANDS)), np.nan, dtype=np.float32)
    maybe = _within(levels[..., :3], MAYBE_NOISE_RATIO)
    if maybe.any():
        power, scale = _tapered_power(seconds[maybe], transformed[..., : HUM_BINS[-1][-1] + 1][maybe])
        parts = [band_sum(power, low, high) * (scale / np.float32(high - low)) for low, high in NOISE_BANDS]
        found[maybe] = np.stack(parts, axis=-1)
    return found


def _levels(power: Float32Array, scale: np.float32) -> Float32Array:
    """Sum the bins of bands and hum, (..., bins) to (..., 5)."""
    # The values of one level lie together: they are worked on level by level.
    levels = np.moveaxis(np.empty((N_LEVELS, *power.shape[:-1]), dtype=np.float32), 0, -1)
    for column, (low, high) in enumerate(BANDS):
        levels[..., column] = band_sum(power, low, high) * (scale / np.float32(high - low))
    levels[..., -1] = np.maximum(*(band_sum(power, *bins) for bins in HUM_BINS)) * scale
    return levels


def _within(bands: Float32Array, ratio: float) -> NDArray[np.bool_]:
    """Tell where the highest of some levels, along the last axis, is less than `ratio` times the lowest."""
    parts = [bands[..., k] for k in range(bands.shape[-1])]  # numpy is slow along an axis of four
    return np.asarray(reduce(np.maximum, parts) < np.float32(ratio) * reduce(np.minimum, parts))


def _tapered_power(seconds: Float32Array, transformed: NDArray[np.complex64]) -> tuple[Float32Array, np.float32]:
    """Taper and take the slope out of spectra that exist, (K, bins): both are sums of a few bins; return the scale."""
    length, low, high = seconds.shape[-1], BANDS[0][0], HUM_BINS[-1][-1]
    window, shape = _ramp_under_taper(length)
    if transformed.shape[-1] <= high:  # a rate below 128 Hz
        transformed = np.pad(transformed, ((0, 0), (0, high + 1 - transformed.shape[-1])))
    slope = np.einsum("kn,n->k", seconds, window)
    given = transformed.view(np.float32)  # real and imaginary parts: twice as fast as complex numbers times real ones
    parts = given[:, 2 * low - 2 : 2 * high - 2] + given[:, 2 * low + 2 : 2 * high + 2]
    parts *= np.float32(-0.25)
    parts += np.float32(0.5) * given[:, 2 * low : 2 * high]
    parts -= slope[:, None] * shape.view(np.float32)[2 * low : 2 * high]
    power = np.zeros((len(parts), high), dtype=np.float32)
    np.square(np.abs(parts.view(np.complex64)), out=power[:, low:])
    return power, np.float32(2.0 / (0.375 * length**2))


@lru_cache(maxsize=16)
def _ramp_under_taper(length: int) -> tuple[Float32Array, NDArray[np.complex64]]:
    """Return a rising line under the periodic Hann taper, whose sum of squares under it is 1, and its spectrum."""
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    ramp = np.arange(length) - length / 2
    ramp /= np.sqrt((taper * ramp**2).sum())
    spectrum = np.zeros(HUM_BINS[-1][-1], dtype=np.complex64)
    found = np.fft.rfft(taper * ramp)[: len(spectrum)]
    spectrum[: len(found)] = found
    return (taper * ramp).astype(np.float32), spectrum


def quietest_levels(
    data: Float32Array, quiet: NDArray[np.bool_], found: Float32Array, matrix: Float32Array
) -> Float32Array:
    """Return for each second and node, (T, N, 5), the levels of the node or of one of its channels, the least of them.

    The derivation of an open input and one that works looks like EEG: only the channel tells. `data` are the channels'
    seconds (C, T, n), `quiet` tells which of them may be open, `found` are the levels of the nodes, which are changed.
    """
    used = (matrix != 0) & (np.count_nonzero(matrix, axis=1) > 1)[:, None]  # a node of one channel was heard already
    suspect = (found[..., -1] > HUM_RMS**2) | _within(found[..., : len(BANDS)], ABOUT_WHITE_RATIO)
    listen = (quiet & used.any(axis=0)[:, None]) | (suspect.astype(np.float32) @ used > 0).T
    if listen.any():
        channels = np.moveaxis(np.full((N_LEVELS, *listen.shape), np.inf, dtype=np.float32), 0, -1)
        seconds = data[listen]
        transformed = transform(seconds)
        channels[listen] = band_levels(seconds, transformed, power_spectrum(transformed, seconds.shape[-1]))
        own = np.argsort(~used, axis=1, kind="stable")[:, : used.sum(axis=1).max()]  # (N, K), a node's channels first
        is_own = np.take_along_axis(used, own, axis=1)[:, :, None]
        power = np.where(is_own, bands_power(channels)[own], np.inf)  # (N, K, T)
        least = power.argmin(axis=1)
        node, second = np.nonzero(power.min(axis=1) < bands_power(found).T)
        found[second, node] = channels[own[node, least[node, second]], second]
    return found


def spread_and_quiet(seconds: Float32Array) -> tuple[Float32Array, NDArray[np.bool_]]:
    """Return the standard deviation of every fourth sample, (..., n) to (...), and where it may be an open input's."""
    # There it is small, and every fourth sample nearly as far from the one before as from any other.
    some = seconds[..., ::4] - seconds[..., :1]
    mean = np.einsum("...n->...", some) / np.float32(some.shape[-1])
    square = np.einsum("...n,...n->...", some, some) / np.float32(some.shape[-1])
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    quiet = spread < QUIET_STD
    some = some[quiet] - mean[quiet, None]
    steps, square = np.diff(some), np.einsum("kn,kn->k", some, some)
    rough = np.einsum("kn,kn->k", steps, steps) > 2 * ROUGH * square
    quiet[quiet] = rough | (square < SILENT_RMS**2 * some.shape[1])
    return spread, quiet


def bands_power(levels: Float32Array) -> Float32Array:
    """Return the power in the bands, µV², (..., 5) to (...)."""
    parts = [levels[..., column] * np.float32(high - low) for column, (low, high) in enumerate(BANDS)]
    return np.asarray(sum(parts), dtype=np.float32)


class Listener:
    """Tells from one second to the next which nodes have held no EEG for 11 s."""

    def __init__(self, n_nodes: int) -> None:
        self._levels = np.zeros((0, n_nodes, N_LEVELS), dtype=np.float32)
        self._good = np.zeros((0, n_nodes), dtype=bool)

    def advance(self, levels: Float32Array, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take the next seconds, (T, N, 5) and (T, N); return where a good node sounded open over the last 11 s."""
        levels, heard = (np.concatenate(pair) for pair in ((self._levels, levels), (self._good, good)))
        self._levels, self._good = levels[-(WINDOW - 1) :].copy("K"), heard[-(WINDOW - 1) :].copy()
        # A mean as small as noise, or as large as hum, needs a second that is.
        quiet = (bands_power(levels) < NOISE_RMS**2) | (levels[..., -1] > HUM_RMS**2)
        found = np.zeros(good.shape, dtype=bool)
        if len(heard) < WINDOW or not (quiet & heard).any():
            return found
        total = _trailing_sums(np.where(heard[..., None], levels, np.float32(0)), WINDOW)
        count = _trailing_sums(heard.astype(np.float32), WINDOW)
        means = np.asarray(total / np.maximum(count, 1)[..., None], dtype=np.float32)
        sounds = sounds_open(means) & (count > 0)
        found[-len(sounds) :] = sounds[-len(good) :]
        return found & good


class NoiseListener:
    """Tells from one second to the next which nodes have held white noise for 6 or 11 s, as many others have."""

    def __init__(self, n_nodes: int) -> None:
        self._levels = np.zeros((0, n_nodes, len(NOISE_BANDS)), dtype=np.float32)
        self._good = np.zeros((0, n_nodes), dtype=bool)

    def advance(self, levels: Float32Array, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take the next seconds, (T, N, 6) and (T, N); return where a good node is one of many that hold noise."""
        levels, heard = (np.concatenate(pair) for pair in ((self._levels, levels), (self._good, good)))
        self._levels, self._good = levels[-(WINDOW - 1) :].copy(), heard[-(WINDOW - 1) :].copy()
        maybe = heard & np.isfinite(levels[..., 0])
        found = np.zeros(good.shape, dtype=bool)
        if np.count_nonzero(maybe, axis=1).max(initial=0) < FEWEST_NOISY:
            return found
        levels = np.where(maybe[..., None], levels, np.float32(0))
        for window, share in NOISE_WINDOWS:
            if len(heard) >= window:
                whole = _trailing_sums(maybe.astype(np.float32), window) == window
                n_good = np.count_nonzero(_trailing_sums(heard.astype(np.float32), window) == window, axis=1)
                unlike = np.where(whole, _unlike_noise(levels, window), np.inf)
                n_noisy = np.count_nonzero(unlike < NOISE_LIMIT, axis=1)
                many = n_noisy >= np.maximum(share * n_good, FEWEST_NOISY)
                noisy = many[:, None] & (unlike < NOISE_LIMIT_BESIDE)
                kept = noisy[-len(good) :]
                found[len(found) - len(kept) :] |= kept
        return found & good


def _unlike_noise(levels: Float32Array, window: int) -> Float32Array:
    """Compare bands and seconds of trailing windows with those of white noise, (T, N, 6) to (T - window + 1, N)."""
    widths = [np.float32(high - low) for low, high in NOISE_BANDS]
    n_bins, n_bands = sum(widths), len(NOISE_BANDS)

    def over_bands(parts: Float32Array) -> Float32Array:
        return np.asarray(reduce(np.add, [parts[..., k] * widths[k] for k in range(n_bands)]))

    means = _trailing_sums(levels, window) / np.float32(window)
    mean = np.maximum(over_bands(means) / n_bins, np.float32(1e-12))
    slope = over_bands((means / mean[..., None] - 1) ** 2) * np.float32(window / TAPER_SHARE / (n_bands - 1))
    power = over_bands(levels) / n_bins
    squares = _trailing_sums(power * power, window) / (mean * mean)
    change = (squares - window) * (n_bins / np.float32(TAPER_SHARE * (window - 1)))
    return np.asarray(np.maximum(slope, change), dtype=np.float32)


def _trailing_sums(values: Float32Array, window: int) -> Float32Array:
    """Sum the values of the trailing window at each second that has one, in the same order whatever came before."""
    n_windows = len(values) - window + 1
    total = values[:n_windows].copy("K")
    for k in range(1, window):
        total += values[k : k + n_windows]
    return total


def spread_back(found: NDArray[np.bool_], ahead: int) -> NDArray[np.bool_]:
    """Return where a node is found at a second or one of the `ahead` after it, within the 11 s that told."""
    out = found.copy()
    for k in range(1, min(ahead, WINDOW - 1) + 1):
        out[:-k] |= found[k:]
    return out


def sounds_open(means: Float32Array) -> NDArray[np.bool_]:
    """Judge levels averaged over time, (..., 5): amplifier noise, silence, or hum over a white spectrum."""
    power, hum, bands = bands_power(means), means[..., -1], means[..., : len(BANDS)]
    with np.errstate(invalid="ignore"):
        low_white, white = _within(bands[..., :3], WHITE_RATIO), _within(bands, WHITE_RATIO)
        humming = (hum > HUM_RMS**2) & (hum > HUM_RATIO**2 * power)
        noise = white & ((power < NOISE_RMS**2) | humming)
        return np.asarray((power < SILENT_RMS**2) | noise | (low_white & (power < LOW_PASSED_NOISE_RMS**2)))
