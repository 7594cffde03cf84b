"""What is wrong with a channel or a node in one second, judged in microvolts before any logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from restcli.signal.features import (
    FeatureConfig,
    Float32Array,
    amplitudes,
    mean_log_power,
    power,
    rms,
    spectra,
    transform,
)
from restcli.signal.open_inputs import band_levels, quietest_levels


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
# Bins, Hz, that are compared: 50 and 60 Hz with their neighbours against the EEG; the last bin is left out.
MAINS_BINS = ((48, 53), (58, 63))
EEG_BINS = (1, 41)

# Gains: over a minute or more the median RMS of a node is 0.28 to 2.34 times that of the usual node in 37 recordings of
# adults, and within a second the nodes differ by 25 % or more.
GAIN_SECONDS = 60
GAIN_RATIO = 6.0
SAME_SPREAD = 0.03


@dataclass(frozen=True, eq=False)
class Summary:
    """What is kept of some seconds beside the network's inputs."""

    codes: NDArray[np.uint8]  # (T, N), `Quality` of each node
    rms: Float32Array  # (T, N), µV
    spectrum: Float32Array  # (T, 101), mean log10 power over good nodes
    levels: Float32Array  # (T, N, 5), what `restcli.signal.open_inputs` judges


def summarise(
    data: Float32Array, saturated: Float32Array, signal: Float32Array, matrix: Float32Array, config: FeatureConfig
) -> tuple[Summary, Float32Array]:
    """Judge whole seconds and return the network's inputs, (T, N, F); `signal` is ``matrix @ data`` with NaN as 0."""
    transformed, magnitude, codes = judge(data, saturated, signal, matrix, sfreq=config.sfreq)
    spectrum = mean_log_power(magnitude, codes == Quality.GOOD, config)
    levels = quietest_levels(data, band_levels(signal, transformed, sfreq=config.sfreq), matrix, sfreq=config.sfreq)
    return Summary(codes, rms(magnitude, config), spectrum, levels), spectra(magnitude, config)


def judge(
    data: Float32Array, saturated: Float32Array, signal: Float32Array, matrix: Float32Array, *, sfreq: float
) -> tuple[NDArray[np.complex64], Float32Array, NDArray[np.uint8]]:
    """Return the nodes' spectra, (N, T, bins), their amplitudes, (T, N, bins), and quality, (T, N)."""
    transformed = transform(signal, sfreq)
    magnitude = amplitudes(transformed)
    inherited = node_faults(matrix, channel_faults(data, saturated, sfreq=sfreq))
    return transformed, magnitude, node_quality(signal, magnitude, inherited, sfreq=sfreq)


def channel_faults(data: Float32Array, saturated: Float32Array, *, sfreq: float) -> NDArray[np.uint8]:
    """Judge each channel, (C, T), before derivation: a dead electrode hides in the difference of two."""
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
    """Give each node, (N, T), the fault of its worst channel."""
    if not faults.any():
        return np.zeros((matrix.shape[0], faults.shape[1]), dtype=np.uint8)
    return np.stack([faults[row].max(axis=0) for row in matrix != 0])


def node_quality(
    signal: Float32Array, magnitude: Float32Array, inherited: NDArray[np.uint8], *, sfreq: float
) -> NDArray[np.uint8]:
    """Judge each node, (T, N), by its signal, its spectrum and the faults of its channels, (N, T)."""
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
    """Return the standard deviation of each second's samples, (T, N), by Parseval's theorem."""
    total = 2.0 * power(magnitude, 1, magnitude.shape[-1])
    if length % 2 == 0:
        total -= magnitude[..., -1] ** 2  # half the sampling rate stands for itself alone
    return np.asarray(np.sqrt(total) / np.float32(length), dtype=np.float32)


def _mains_drowned(magnitude: Float32Array, sfreq: float) -> NDArray[np.bool_]:
    """Tell where mains hum is both large and far above the EEG, (T, N)."""
    scale = 2.0 / sfreq**2
    hum = np.maximum(*(power(magnitude, *bins) for bins in MAINS_BINS)) * scale
    eeg = power(magnitude, *EEG_BINS) * scale
    return np.asarray((hum > MAINS_RMS**2) & (hum > MAINS_RATIO**2 * eeg))


def upper_band_limit(power: NDArray[np.float64]) -> int | None:
    """Return the frequency, 15 to 90 Hz, above which a low-pass filter has left nearly nothing; None when none has.

    `power` is the median over the recording of each 1-Hz bin, 0 to 100 Hz. Above 20 Hz EEG falls by about 1/f^2 in
    power or slower (muscle flattens it). A filter falls faster: by 4 dB more than that within 16 Hz, and by 6 dB more
    up to the end of the spectrum; below 30 Hz, where rhythms make slopes of their own, only a cliff of 12 dB counts.
    """
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
    whole = known[:, enough][np.isfinite(known[:, enough]).all(axis=1)]
    if len(whole) >= GAIN_SECONDS and np.median(np.log(np.maximum(whole, 1e-3)).std(axis=1)) < SAME_SPREAD:
        found.append("all nodes have the same amplitude second by second: their channels may be copies of one signal")
    return tuple(found)
