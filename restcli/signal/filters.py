"""How signals are displayed: filters that shift nothing in time and never look across a gap, and the sensitivity."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from restcli.signal.sequences import true_runs

_NOTCH_QUALITY = 30.0  # centre over width at half power
_SHORTEST = 40  # samples; shorter runs only lose their mean
# Sensitivities of EEG machines from the usual one on, µV/mm; finer ones would only show noise.
_SENSITIVITIES = (7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)


def sensitivity(data: NDArray[np.floating[Any]], room: float) -> float:
    """Choose the finest usual sensitivity, µV/mm, at which 95 % of all samples stay within a room, mm.

    >>> sensitivity(np.full((2, 100), 60.0), 7.0)
    10.0
    """
    known = np.abs(data[np.isfinite(data)])
    wanted = float(np.percentile(known, 95)) / room if known.size else 0.0
    return float(next((step for step in _SENSITIVITIES if step >= wanted), _SENSITIVITIES[-1]))


def filter_runs(
    data: NDArray[np.float32], sfreq: float, *, high_pass: float = 0.0, low_pass: float = 0.0, notch: float = 0.0
) -> NDArray[np.float32]:
    """Filter each run without NaN of signals (C, n); each frequency in Hz, 0 for none.

    A high-pass or a low-pass is a Butterworth filter of second order, applied forwards and backwards.
    """
    filtered = np.full_like(data, np.nan)
    for begin, end in true_runs(np.asarray(np.isfinite(data).all(axis=0))):
        part = data[:, begin:end]
        if end - begin > _SHORTEST:
            filtered[:, begin:end] = _filter(part, sfreq, (high_pass, low_pass, notch))
        else:
            filtered[:, begin:end] = part - part.mean(axis=1, keepdims=True) if high_pass else part
    return filtered


def _filter(part: NDArray[np.float32], sfreq: float, corners: tuple[float, float, float]) -> NDArray[np.float32]:
    """Filter by the spectrum, which takes less than importing scipy.signal; both ends are continued mirrored."""
    length = part.shape[1]
    margin = min(length - 1, round(5 * sfreq))
    before = 2 * part[:, :1] - part[:, margin:0:-1]
    after = 2 * part[:, -1:] - part[:, -2 : -margin - 2 : -1]
    whole = np.concatenate([before, part, after], axis=1)
    size = scipy.fft.next_fast_len(whole.shape[1], real=True)
    padded = np.concatenate([whole, np.repeat(whole[:, -1:], size - whole.shape[1], axis=1)], axis=1)
    gain = _gain(size, sfreq, *corners)
    filtered = scipy.fft.irfft(scipy.fft.rfft(padded, axis=1) * gain, n=size, axis=1)
    return np.asarray(filtered[:, margin : margin + length], dtype=np.float32)


def _gain(size: int, sfreq: float, high_pass: float, low_pass: float, notch: float) -> NDArray[np.float32]:
    """Return what each frequency is multiplied with, warped as the bilinear transform of a sampled filter warps it."""
    frequency = np.tan(np.pi * np.fft.rfftfreq(size)[1:])
    gain = np.ones(len(frequency))
    if high_pass > 0:
        gain /= 1 + (np.tan(np.pi * min(high_pass / sfreq, 0.49)) / frequency) ** 4
    if 0 < low_pass < 0.49 * sfreq:
        gain /= 1 + (frequency / np.tan(np.pi * low_pass / sfreq)) ** 4
    if 0 < notch < 0.49 * sfreq:
        centre = np.tan(np.pi * notch / sfreq)
        width = (1 + centre**2) * np.tan(np.pi * notch / (_NOTCH_QUALITY * sfreq))
        distance = (frequency**2 - centre**2) ** 2
        gain *= distance / (distance + (frequency * width) ** 2)
    return np.concatenate([[0.0 if high_pass > 0 else 1.0], gain]).astype(np.float32)
