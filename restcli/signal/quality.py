"""What is wrong with a channel or a node in one second, judged in microvolts before any logarithm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.signal.features import (
    REFERENCE_RATE,
    FeatureConfig,
    Float32Array,
    band_sum,
    log_magnitude,
    mean_log_power,
    power_spectrum,
    rms,
    transform,
)
from restcli.signal.open_inputs import HUM_BINS, band_levels, noise_levels, quietest_levels, spread_and_quiet
from restcli.text import some_of


class Quality(IntEnum):
    """What is wrong with one node in one second; only GOOD takes part."""

    GOOD = 0
    FLAT = 1
    SATURATED = 2
    ABSURD = 3
    MAINS = 4
    MISSING = 5
    NO_EEG = 6  # found over several seconds, see `restcli.signal.open_inputs`


QUALITY_WORDS = {
    Quality.GOOD: "good",
    Quality.FLAT: "flat or disconnected",
    Quality.SATURATED: "clipped at the amplifier's limits",
    Quality.ABSURD: "amplitude beyond any EEG",
    Quality.MAINS: "drowned in mains hum",
    Quality.MISSING: "no signal",
    Quality.NO_EEG: "no EEG, only noise or hum as of open inputs",
}

# Limits in µV. Flat: below the noise of any clinical amplifier for a whole second. Absurd: over twice the largest
# discharges described (hypsarrhythmia and generalised spike-wave reach some 1 mV). Mains: hum that hides the EEG.
FLAT_STD = 0.2
ABSURD_PEAK_TO_PEAK = 4000.0
MAINS_RMS = 100.0
MAINS_RATIO = 1.0
SATURATED_FRACTION = 0.05
EEG_BINS = (1, 41)  # Hz, that mains hum is compared with; the last bin is left out

# Gains: over a minute or more the median RMS of a node is 0.28 to 2.34 times that of the usual node in 37 recordings of
# adults, and within a second the nodes differ by 25 % or more.
GAIN_SECONDS = 60
GAIN_RATIO = 6.0
SAME_SPREAD = 0.03


@dataclass(frozen=True, eq=False)
class Summary:
    """What is known of some seconds by themselves."""

    codes: NDArray[np.uint8]  # (T, N), `Quality` of each node
    rms: Float32Array  # (T, N), µV
    spectrum: Float32Array  # (T, 101), mean log10 power over good nodes
    levels: Float32Array  # (T, N, 5), what `restcli.signal.open_inputs` judges
    noise: Float32Array  # (T, N, 6), NaN in seconds that are not white noise
    logs: Float32Array  # (T, N, 101), natural logarithm of the magnitudes

    def widened(self, columns: Sequence[int], n_nodes: int) -> Summary:
        """Put the nodes into columns of a larger graph, whose other nodes are missing."""

        def wide(values: NDArray[Any], fill: float) -> NDArray[Any]:
            out = np.full((len(values), n_nodes, *values.shape[2:]), fill, dtype=values.dtype)
            out[:, columns] = values
            return out

        codes = wide(self.codes, Quality.MISSING)
        levels, noise = wide(self.levels, 0), wide(self.noise, np.nan)
        return Summary(codes, wide(self.rms, np.nan), self.spectrum, levels, noise, wide(self.logs, 0))


def summarise(data: Float32Array, saturated: Float32Array, matrix: Float32Array, config: FeatureConfig) -> Summary:
    """Judge seconds of channels, (C, T, n) in µV with NaN where missing, and compute the spectra of their nodes.

    `saturated`, (C, T), is the fraction of samples at the amplifier's limits.
    """
    seconds = derive_seconds(data, matrix)
    transformed = transform(seconds)
    power = power_spectrum(transformed, seconds.shape[-1])
    spread, quiet = spread_and_quiet(data)
    codes = node_quality(seconds, transformed, power, inherited_faults(matrix, spread, saturated))
    levels = band_levels(seconds, transformed, power)
    noise = noise_levels(seconds, transformed, levels)
    levels = quietest_levels(data, quiet, levels, matrix)
    logs = log_magnitude(power, config)
    spectrum = mean_log_power(logs, codes == Quality.GOOD)
    return Summary(codes, rms(power, config), spectrum, levels, noise, logs)


def derive_seconds(data: Float32Array, matrix: Float32Array) -> Float32Array:
    """Return the nodes' seconds, (C, T, n) to (T, N, n); a missing channel does not affect nodes that do not use it."""
    seconds = np.empty((data.shape[1], len(matrix), data.shape[2]), dtype=np.float32)
    for node, row in enumerate(matrix.tolist()):
        (first, weight), *others = [(channel, weight) for channel, weight in enumerate(row) if weight]
        out = seconds[:, node]
        if weight == 1 and len(others) == 1 and others[0][1] == -1:
            np.subtract(data[first], data[others[0][0]], out=out)
            continue
        # No matrix product: it would add up in an order that depends on how many seconds there are.
        np.multiply(data[first], np.float32(weight), out=out)
        for channel, weight in others:
            out += np.float32(weight) * data[channel]
    return seconds


def inherited_faults(matrix: Float32Array, spread: Float32Array, saturated: Float32Array) -> NDArray[np.uint8]:
    """Give each node, (T, N), the fault of its worst channel: a dead electrode hides in the difference of two."""
    faults = np.where(saturated >= SATURATED_FRACTION, Quality.SATURATED, Quality.GOOD).astype(np.uint8)  # (C, T)
    faults[spread < FLAT_STD] = Quality.FLAT
    if not faults.any():
        return np.zeros((faults.shape[1], len(matrix)), dtype=np.uint8)
    return np.stack([faults[row].max(axis=0) for row in matrix != 0], axis=1)


def node_quality(
    seconds: Float32Array, transformed: NDArray[np.complex64], power: Float32Array, inherited: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Judge each node, (T, N), by its seconds, (T, N, n), their spectra and the faults of its channels."""
    length = seconds.shape[-1]
    codes = np.full(seconds.shape[:2], Quality.GOOD, dtype=np.uint8)
    spread = _spread(transformed, length)
    loud = spread > 0.7 * MAINS_RMS  # others have no such hum
    if loud.any():
        loud[loud] = _mains_drowned(power[loud])
        codes[loud] = Quality.MAINS
    # Nothing whose standard deviation is small can swing far: of n samples, two may be away from the mean.
    absurd = spread * np.float32(np.sqrt(2.0 * length)) > 0.99 * ABSURD_PEAK_TO_PEAK
    if absurd.any():
        absurd[absurd] = np.ptp(seconds[absurd], axis=-1) > ABSURD_PEAK_TO_PEAK
        codes[absurd] = Quality.ABSURD
    codes[spread < FLAT_STD] = Quality.FLAT
    codes = np.where(inherited != Quality.GOOD, inherited, codes)
    codes[~np.isfinite(spread)] = Quality.MISSING
    return codes


def _spread(transformed: NDArray[np.complex64], length: int) -> Float32Array:
    """Return the standard deviation of each second's samples, (T, N), by Parseval's theorem."""
    parts = transformed.view(np.float32)[..., 2:]  # real and imaginary parts from 1 Hz up
    total = np.float32(2.0) * np.einsum("tnf,tnf->tn", parts, parts)
    if length % 2 == 0:
        total -= parts[..., -2] ** 2  # the bin at half the sampling rate has no mirror image
    return np.asarray(np.sqrt(np.maximum(total, 0)) / np.float32(length), dtype=np.float32)


def _mains_drowned(power: Float32Array) -> NDArray[np.bool_]:
    """Tell where mains hum is both large and far above the EEG, (K, 101) to (K,)."""
    scale = np.float32(2.0 / REFERENCE_RATE**2)
    hum = np.maximum(*(band_sum(power, *bins) for bins in HUM_BINS)) * scale
    eeg = band_sum(power, *EEG_BINS) * scale
    return np.asarray((hum > MAINS_RMS**2) & (hum > MAINS_RATIO**2 * eeg))


def upper_band_limit(power: NDArray[np.float64]) -> int | None:
    """Return the frequency, 15 to 90 Hz, above which a low-pass filter has left nearly nothing; None when none has."""
    # `power` is the median over the recording of each 1-Hz bin, 0 to 100 Hz. Above 20 Hz EEG falls by about 1/f^2 in
    # power or slower (muscle flattens it). A filter falls faster: by 4 dB more than that within 16 Hz, and by 6 dB more
    # up to the end of the spectrum; below 30 Hz, where rhythms make slopes of their own, only a cliff of 12 dB counts.
    level = 10 * np.log10(np.maximum(power, 1e-12))
    smooth = np.array([np.median(level[max(0, k - 3) : k + 4]) for k in range(len(level))])  # bridges mains lines
    centres = np.arange(10, len(level) - 8)
    top = len(level) - 4

    def excess(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(smooth[low] - smooth[high] - 20 * np.log10(high / low))

    steep = excess(centres - 8, np.minimum(centres + 8, top))
    gentle = (steep > 4.0) & (excess(centres - 8, np.full_like(centres, top)) > 6.0) & (centres >= 30)
    cut = gentle | (steep > 12.0)
    return int(centres[cut][0]) if cut.any() else None


def gain_doubts(amplitude: Float32Array, good: NDArray[np.bool_], nodes: Sequence[str]) -> tuple[str, ...]:
    """Say in words which nodes have an amplitude, RMS (T, N) in µV, that a wrong gain explains better than EEG."""
    known = np.where(good, amplitude, np.nan)
    enough = np.isfinite(known).sum(axis=0) >= GAIN_SECONDS
    if enough.sum() < 4:
        return ()
    usual = np.nanmedian(known[:, enough], axis=0)
    names = np.array(nodes)[enough]
    ratio = usual / np.median(usual)
    found = []
    for wrong, how in ((ratio > GAIN_RATIO, "larger"), (ratio < 1 / GAIN_RATIO, "smaller")):
        if wrong.any():
            shown = ", ".join(f"{name} {value:.3g} µV" for name, value in zip(names[wrong], usual[wrong], strict=True))
            found.append(f"far {how} than the other nodes ({np.median(usual):.3g} µV): {shown}; check the gains")
    found += _copies(known[:, enough], names.tolist())
    return tuple(found)


def _copies(known: Float32Array, names: Sequence[str]) -> Iterator[str]:
    """Say which nodes, of amplitudes (T, N) with NaN where unknown, rise and fall together as no EEG does."""
    whole = np.log(np.maximum(known[np.isfinite(known).all(axis=1)], 1e-3))
    if len(whole) >= GAIN_SECONDS and np.median((whole - np.median(whole, axis=0)).std(axis=1)) < SAME_SPREAD:
        yield "all nodes rise and fall together second by second: their channels may be copies of one signal"
        return
    pairs = []
    for first in range(len(names)):
        both = np.isfinite(known[:, first, None] + known[:, first + 1 :])
        same = both & (np.abs(known[:, first, None] - known[:, first + 1 :]) <= 1e-4 * known[:, first, None])
        alike = (both.sum(axis=0) >= GAIN_SECONDS) & (same.sum(axis=0) > 0.5 * both.sum(axis=0))
        pairs += [f"{names[first]} and {names[first + 1 + other]}" for other in np.flatnonzero(alike).tolist()]
    if pairs:
        yield f"the same amplitude second by second: {some_of(pairs, 4)}; their channels may be copies of each other"
