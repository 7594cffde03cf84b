"""From stored integers to the network's inputs in torch operations, for GPUs.

Functions do what their namesakes in `restcli.signal` do in numpy, which is faster on a CPU; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restcli.io.recording import Block, Recording, StoredBlock
from restcli.signal import features, open_inputs, quality
from restcli.signal.features import FeatureConfig
from restcli.signal.quality import Quality, Summary
from restcli.signal.resampling import bank

_COMPARED_SECONDS = 30
_MICROVOLT_TOLERANCE = 0.01


def to_microvolts(block: StoredBlock, device: torch.device) -> tuple[Tensor, Tensor]:
    """Send whole records to the device as they are, then pick channels, scale and resample there.

    Returns µV at the rate asked for, (C, n), NaN on channels without meaning, and the fraction of the stored samples of
    each second that lie at the digital limits, (C, T).
    """
    signals = block.signals
    records = torch.from_numpy(block.records).to(device)  # (R, n) int16
    picked = torch.stack([records[:, s.first : s.first + s.n_samples] for s in signals])
    stored = picked.flatten(1)[:, block.cut[0] : block.cut[1]]  # (C, n)

    def column(values: list[float], dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)[:, None]

    low, high = (column([getattr(s, end) for s in signals], torch.int32) for end in ("digital_min", "digital_max"))
    usable = column([not s.problem for s in signals], torch.bool)
    at_limit = ((stored == low) | (stored == high)) & usable
    total = torch.nn.functional.pad(at_limit.cumsum(dim=1, dtype=torch.int32), (1, 0))
    edges = torch.from_numpy(block.edges).to(device)
    saturated = total[:, edges].diff(dim=1) / edges.diff().clamp(min=1)
    scale, shift = (column([getattr(s, name) for s in signals], torch.float32) for name in ("scale", "shift"))
    return _resample(stored * scale + shift, block), saturated


def _resample(data: Tensor, block: StoredBlock) -> Tensor:
    """Repeat the ends where the filter reaches beyond them, then multiply windows with the kernel's bank."""
    before, after = block.repeat
    ends = (data[:, :1].expand(-1, before), data, data[:, -1:].expand(-1, after))
    padded = torch.cat(ends, dim=1) if before or after else data
    if block.ratio != 1:
        weights, hop, _ = bank(block.ratio)
        windows = padded.unfold(1, len(weights), hop)  # (C, rows, taps)
        padded = (windows @ torch.from_numpy(weights).to(data.device)).flatten(1)
    return padded[:, block.skip : block.skip + block.n_samples]


def check_microvolts(recording: Recording, channels: Sequence[int], sfreq: float, device: torch.device) -> None:
    """Compare the first seconds as the device makes them from stored integers with those made on the CPU."""
    options: dict[str, Any] = {"sfreq": sfreq, "seconds": _COMPARED_SECONDS}
    here = next(recording.blocks(channels, **options), None)
    there = next(recording.stored_blocks(channels, **options), None)
    if here is None or not isinstance(there, StoredBlock):
        return
    found, saturated = (part.cpu().numpy() for part in to_microvolts(there, device))
    if not np.allclose(found, here.data, rtol=1e-4, atol=_MICROVOLT_TOLERANCE, equal_nan=True):
        raise ArithmeticError("it makes other microvolts of stored integers than the CPU")
    if not np.allclose(saturated, here.saturated, atol=1e-4):
        raise ArithmeticError("it counts other samples at the amplifier's limits than the CPU")


def summarise_block(
    block: Block | StoredBlock, matrix: NDArray[np.float32], config: FeatureConfig, *, device: torch.device
) -> tuple[Summary, Tensor]:
    """Judge a block and compute its features (T, N, F) on the device, from stored integers where the file has them."""
    if isinstance(block, StoredBlock):
        data, saturated = to_microvolts(block, device)
    else:
        data, saturated = (torch.from_numpy(part).to(device) for part in (block.data, block.saturated))
    return summarise(data, saturated, torch.from_numpy(matrix).to(device), config)


def summarise(data: Tensor, saturated: Tensor, matrix: Tensor, config: FeatureConfig) -> tuple[Summary, Tensor]:
    """Judge whole seconds and turn them into the network's inputs (T, N, F), as `restcli.signal.quality.summarise`."""
    length, n_seconds = int(config.sfreq), saturated.shape[1]
    data = data[:, : n_seconds * length]
    signal = matrix @ torch.nan_to_num(data)
    seconds = signal.view(len(signal), n_seconds, length)
    magnitude = torch.fft.rfft(seconds).abs()  # (N, T, bins)
    faults = _channel_faults(data.view(len(data), n_seconds, length), saturated)
    inherited = torch.where((matrix != 0)[..., None], faults, 0).amax(dim=1)  # (N, T)
    codes = _quality(seconds, magnitude, inherited)
    amplitude = _rms(magnitude, config)
    spectrum = _mean_log_power(magnitude, codes == Quality.GOOD, config)
    levels = _quietest_levels(data.view(len(data), n_seconds, length), seconds, matrix)
    kept = (codes.T, amplitude.T, spectrum, levels.transpose(0, 1))
    summary = Summary(*(part.cpu().numpy() for part in kept))
    return summary, _spectra(magnitude, amplitude, config).transpose(0, 1)


def _quietest_levels(channels: Tensor, nodes: Tensor, matrix: Tensor) -> Tensor:
    """Return the levels of each node or of one of its channels, the least, (N, T, 5); seconds are (..., T, n)."""
    found, of_channels, used = _levels(nodes), _levels(channels), matrix != 0
    bands = found[..., : len(open_inputs.BANDS)]
    about_white = bands.amax(dim=-1) < open_inputs.ABOUT_WHITE_RATIO * bands.amin(dim=-1)
    suspect = ((found[..., -1] > open_inputs.HUM_RMS**2) | about_white).float().T @ used.float()  # (T, C)
    quiet = channels[..., ::4].std(dim=-1, correction=0) < open_inputs.QUIET_STD
    of_channels[~(quiet | (suspect.T > 0))] = torch.inf
    for node, channel in used.nonzero().tolist():
        less = _bands_power(of_channels[channel]) < _bands_power(found[node])
        found[node] = torch.where(less[:, None], of_channels[channel], found[node])
    return found


def _levels(seconds: Tensor) -> Tensor:
    length = seconds.shape[-1]
    taper, ramp = (torch.from_numpy(part).to(seconds.device) for part in open_inputs.taper_and_ramp(length))
    tapered = seconds * taper
    tapered -= (tapered @ ramp)[..., None] * (ramp * taper)
    power = torch.fft.rfft(tapered).abs().square() * float(open_inputs.power_scale(length))
    bands = [power[..., low:high].sum(dim=-1) / (high - low) for low, high in open_inputs.BANDS]
    hum = torch.maximum(*(power[..., low:high].sum(dim=-1) for low, high in open_inputs.HUM_BINS))
    return torch.stack([*bands, hum], dim=-1)


def _bands_power(levels: Tensor) -> Tensor:
    widths = [float(high - low) for low, high in open_inputs.BANDS]
    return levels[..., : len(widths)] @ torch.tensor(widths, device=levels.device)


def _channel_faults(seconds: Tensor, saturated: Tensor) -> Tensor:
    """Judge channels before they are subtracted, (C, T)."""
    codes = torch.where(saturated >= quality.SATURATED_FRACTION, int(Quality.SATURATED), int(Quality.GOOD))
    codes[seconds[..., ::4].std(dim=-1, correction=0) < quality.FLAT_STD] = int(Quality.FLAT)
    codes[~seconds.isfinite().all(dim=-1)] = int(Quality.MISSING)
    return codes.to(torch.uint8)


def _quality(seconds: Tensor, magnitude: Tensor, inherited: Tensor) -> Tensor:
    """Judge nodes, (N, T): later lines count more than earlier ones."""
    length = seconds.shape[-1]
    power = 2 * _power(magnitude, 1, magnitude.shape[-1])
    if length % 2 == 0:
        power -= magnitude[..., -1] ** 2
    spread = power.sqrt() / length
    hum = torch.maximum(*(_power(magnitude, *bins) for bins in quality.MAINS_BINS)) * (2 / length**2)
    brain = _power(magnitude, *quality.EEG_BINS) * (2 / length**2)
    codes = torch.zeros_like(inherited)
    codes[(hum > quality.MAINS_RMS**2) & (hum > quality.MAINS_RATIO**2 * brain)] = int(Quality.MAINS)
    codes[seconds.amax(dim=-1) - seconds.amin(dim=-1) > quality.ABSURD_PEAK_TO_PEAK] = int(Quality.ABSURD)
    codes[spread < quality.FLAT_STD] = int(Quality.FLAT)
    codes = torch.where(inherited != Quality.GOOD, inherited, codes)
    codes[~spread.isfinite()] = int(Quality.MISSING)
    return codes


def _power(magnitude: Tensor, low: int, high: int) -> Tensor:
    return magnitude[..., low:high].square().sum(dim=-1)


def _rms(magnitude: Tensor, config: FeatureConfig) -> Tensor:
    low, high = config.range
    return (2 * _power(magnitude, max(1, low), high + 1)).sqrt() / config.sfreq


def _spectra(magnitude: Tensor, amplitude: Tensor, config: FeatureConfig) -> Tensor:
    """Log magnitudes z-scored within each band, then the amplitude where asked for, (N, T, F)."""
    logs = magnitude.clamp(min=config.floor).log()
    parts = []
    for low, high in config.bands:
        part = logs[..., low : high + 1]
        part = part - part.mean(dim=-1, keepdim=True)
        parts.append(part / ((part.square().sum(dim=-1, keepdim=True) / (high - low)).sqrt() + 1e-10))
    if config.amplitude:
        ratio = amplitude.clamp(min=1e-6) / features.REFERENCE_RMS
        parts.append(ratio.log().clamp(*features.AMPLITUDE_RANGE)[..., None])
    return torch.cat(parts, dim=-1)


def _mean_log_power(magnitude: Tensor, good: Tensor, config: FeatureConfig) -> Tensor:
    """Mean log10 power over the good nodes, (T, 101); NaN where there is none."""
    n_bins = min(features.SPECTRUM_BINS, magnitude.shape[-1])
    logs = (magnitude[..., :n_bins] / (config.sfreq / 2)).clamp(min=1e-4).log10()
    mean = 2 * torch.where(good[..., None], logs, 0).sum(dim=0) / good.sum(dim=0)[:, None]  # 0 / 0 is NaN
    return torch.nn.functional.pad(mean, (0, features.SPECTRUM_BINS - n_bins), value=torch.nan)
