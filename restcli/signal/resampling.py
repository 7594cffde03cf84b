"""From one sampling rate to another, bit for bit the same however the signal is cut into chunks."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Signal = NDArray[np.float32]

# Sampling rates are turned into fractions of terms up to the first number, if that is exact enough (1 ms a day), else
# up to the second: the filter has twenty times as many taps as the larger term.
_USUAL_FACTOR, _LARGEST_FACTOR = 20_000, 200_000
_EXACT = 1e-8
# Up to this factor of upsampling the resampling kernel is unrolled into a matrix.
LARGEST_BANK = 200
# Output samples made in one matrix product; the tiles are counted from the start of a segment.
_TILE = 2000


def exact_rate(rate: float) -> Fraction:
    """Take a rate in Hz for the fraction that it most likely is."""
    return Fraction(rate).limit_denominator(1_000_000)


def ratio_of(target: Fraction, rate: Fraction) -> Fraction:
    """Return target over stored rate with terms small enough for a filter: off by less than 0.2 s a day, mostly 0."""
    ratio = target / rate
    for largest in (_USUAL_FACTOR, _LARGEST_FACTOR):
        smallest = Fraction(1, largest)
        if ratio > 1:
            near = 1 / max((1 / ratio).limit_denominator(largest), smallest)
        else:
            near = max(ratio.limit_denominator(largest), smallest)
        if abs(near / ratio - 1) < _EXACT:
            break
    return near


def support(span: tuple[int, int], ratio: Fraction) -> tuple[int, int]:
    """Return the stored samples (first, last + 1) that output samples `span` depend on."""
    if ratio == 1:
        return span
    up, down = ratio.numerator, ratio.denominator
    half = 10 * max(up, down)
    return -(-(span[0] * down - half) // up), ((span[1] - 1) * down + half) // up + 1


@lru_cache(maxsize=16)
def _kernel(ratio: Fraction) -> Signal:
    """Low-pass of `scipy.signal.resample_poly` (20 lobes, Kaiser 5), each phase scaled to pass a constant unchanged."""
    # Without the scaling a DC offset of millivolts, usual in DC-coupled amplifiers, leaves a ripple of microvolts. The
    # window is written out because importing scipy.signal takes longer than resampling half an hour.
    widest = max(ratio.numerator, ratio.denominator)
    half = 10 * widest
    taps = np.sinc(np.arange(-half, half + 1) / widest) * np.kaiser(2 * half + 1, 5.0)
    for phase in range(ratio.numerator):
        taps[phase :: ratio.numerator] /= taps[phase :: ratio.numerator].sum()
    return np.asarray(taps, dtype=np.float32)


def resample(stored: Signal, first: int, span: tuple[int, int], ratio: Fraction) -> Signal:
    """Resample stored samples, from index `first` of the segment on, to output samples `span`.

    Output m is centred on stored sample m * down / up of the segment, wherever the chunk begins; `stored` must hold
    `support` of whole tiles. Within a tile the products and their order are fixed, so that the result is the same
    bit for bit whatever the chunk.
    """
    if ratio.numerator > LARGEST_BANK:
        return _sparse(stored, first, span, ratio)
    weights, hop, n_rows = bank(ratio)
    n_taps, n_out = weights.shape
    n_tiles = (span[1] - span[0]) // (n_rows * n_out)
    out = np.empty((len(stored), span[1] - span[0]), dtype=np.float32)
    for row, signal in enumerate(stored):
        windows = sliding_window_view(signal, n_taps)[::hop][: n_tiles * n_rows]
        tiles = np.ascontiguousarray(windows).reshape(n_tiles, n_rows, n_taps)
        np.matmul(tiles, weights, out=out[row].reshape(n_tiles, n_rows, n_out))
    return out


@lru_cache(maxsize=16)
def bank(ratio: Fraction) -> tuple[Signal, int, int]:
    """Return the kernel as a matrix (taps, outputs), the stored samples between its rows, and the rows of a tile."""
    # One product gives some 32 neighbouring outputs: a matrix product is several times faster than
    # `scipy.signal.upfirdn`, which makes them one by one.
    up, down = ratio.numerator, ratio.denominator
    kernel = _kernel(ratio)
    periods = max(1, round(32 / up))
    low, high = support((0, up * periods), ratio)
    place = np.arange(up * periods) * down - np.arange(low, high)[:, None] * up + len(kernel) // 2
    inside = (place >= 0) & (place < len(kernel))
    weights = np.where(inside, kernel[np.clip(place, 0, len(kernel) - 1)], np.float32(0))
    return weights, down * periods, max(1, round(_TILE / (up * periods)))


def widen(span: tuple[int, int], ratio: Fraction) -> tuple[int, int]:
    """Widen output samples `span` to whole tiles, counted from the start of the segment."""
    if ratio == 1 or ratio.numerator > LARGEST_BANK:
        return span
    weights, _, n_rows = bank(ratio)
    size = weights.shape[1] * n_rows
    return span[0] // size * size, -(-span[1] // size) * size


def _sparse(stored: Signal, first: int, span: tuple[int, int], ratio: Fraction) -> Signal:
    """Resample by a ratio of large terms, such as 200 to 199.98 Hz, whose matrix would fill the memory."""
    # `scipy.signal.upfirdn` counts from the chunk's first sample; the kernel is shifted by up to one step to meet the
    # grid of the segment.
    from scipy.signal import upfirdn

    up, down = ratio.numerator, ratio.denominator
    kernel = _kernel(ratio)
    lag = span[0] * down - first * up + len(kernel) // 2
    shift = -lag % down
    skip = (lag + shift) // down
    shifted = np.concatenate([np.zeros(shift, dtype=np.float32), kernel])
    out = upfirdn(shifted, stored, up, down, axis=-1)[:, skip : skip + span[1] - span[0]]
    return np.asarray(out, dtype=np.float32)
