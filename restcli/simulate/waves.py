"""Signals of one source: random numbers, shaped noise, envelopes, oscillations and single waves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Wave = NDArray[np.floating[Any]]
_Item = TypeVar("_Item")

SFREQ = 200.0
_TABLE = 1024  # points in one cycle of a tabulated waveform: a spike of .05 cycle still has 50 points
_ONE_CYCLE = np.arange(_TABLE) / _TABLE


def scaled(wave: Wave, size: float) -> Float32Array:
    """Return a wave times its size, rounded to single precision once."""
    return np.asarray(wave * float(size), dtype=np.float32)


def overlap(start: float, length: int, n: int) -> tuple[slice, slice]:
    """Return which of `n` samples a wave from `start` s on covers, and which of its `length` samples those are."""
    first = round(start * SFREQ)
    low = max(0, first)
    high = max(low, min(n, first + length))
    return slice(low, high), slice(low - first, high - first)


def fft_length(n: int) -> int:
    """Return the FFT length used for `n` samples: fast, even and never shorter."""
    length = int(fft.next_fast_len(n, real=True))
    return length if length % 2 == 0 else int(fft.next_fast_len(n + n % 2 + 2, real=True)) // 2 * 2


def bin_frequencies(n: int) -> Float32Array:
    """Return the frequencies (Hz) of the real FFT that `shaped_noise` uses for `n` samples."""
    return np.asarray(fft.rfftfreq(fft_length(n), 1 / SFREQ), dtype=np.float32)


def edges(n: int, rise: float, fall: float) -> Float32Array:
    """Return a plateau of 1 with raised-cosine edges of `rise` and `fall` seconds, (n,)."""
    window = np.ones(n, dtype=np.float32)
    first, last = (min(n, max(1, round(seconds * SFREQ))) for seconds in (rise, fall))
    window[:first] *= (0.5 - 0.5 * np.cos(np.pi * (np.arange(first) + 0.5) / first)).astype(np.float32)
    window[n - last :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(last) + 0.5) / last)).astype(np.float32)
    return window


def _sharp_cycle(rng: Generator, phase: FloatArray) -> FloatArray:
    """Add four harmonics with drawn phases: arched, notched or saw-like."""
    weights = np.array([1.0, rng.uniform(0.2, 0.6), rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.2)])
    lags = rng.uniform(0, 1) + rng.normal(0, 0.12, 4)
    wave = np.zeros_like(phase)
    for harmonic, (weight, lag) in enumerate(zip(weights, lags, strict=True), start=1):
        wave += weight * np.cos(2 * np.pi * harmonic * (phase - lag))
    return wave


def _spike_cycle(rng: Generator, phase: FloatArray, depth: tuple[float, float]) -> FloatArray:
    """Draw a spike of .04-.12 cycle, double in 30 %, before a slow wave whose size is drawn from `depth`."""
    width = rng.uniform(0.04, 0.12)
    wave = np.exp(-0.5 * ((phase - 0.2) / (0.4 * width)) ** 2)
    if rng.random() < 0.3:
        wave = wave + rng.uniform(0.4, 0.9) * np.exp(-0.5 * ((phase - 0.2 - 1.5 * width) / (0.4 * width)) ** 2)
    size = rng.uniform(*depth)
    start, stop = 0.2 + width, rng.uniform(0.75, 1.0)
    inside = (phase > start) & (phase < stop)
    slow = np.where(inside, np.sin(np.pi * (phase - start) / (stop - start)), 0.0)
    return np.asarray(wave - size * slow)


_CYCLES: dict[str, Callable[[Generator, FloatArray], FloatArray]] = {
    "sine": lambda rng, phase: np.sin(2 * np.pi * phase),  # noqa: ARG005
    "sharp": _sharp_cycle,
    "triangle": lambda rng, phase: np.interp(phase, [0, rng.uniform(0.2, 0.8), 1], [-1, 1, -1]),
    "spike_wave": partial(_spike_cycle, depth=(0.4, 1.2)),
    "pulse": partial(_spike_cycle, depth=(0.1, 0.5)),
}


def play(table: Float32Array, phase: FloatArray) -> Float32Array:
    """Read a cycle table along a phase in cycles."""
    return cast("Float32Array", table[((phase % 1.0) * _TABLE).astype(np.int32) & (_TABLE - 1)])


class WaveGenerator(Generator):
    """Random numbers and the signals of single sources that are drawn from them."""

    def log_uniform(self, low: float, high: float) -> float:
        """Draw from a log-uniform distribution."""
        return float(np.exp(self.uniform(np.log(low), np.log(high))))

    def pick(self, weights: Mapping[str, float]) -> str:
        """Draw one key; weights need not add up to one."""
        names = list(weights)
        cumulated = np.cumsum([weights[name] for name in names])
        return names[
            int(np.searchsorted(cumulated, self.uniform(0, cumulated[-1]), side="right").clip(0, len(names) - 1))
        ]

    def choose(self, items: Sequence[_Item]) -> _Item:
        """Draw one item, all equally likely."""
        return items[int(self.integers(0, len(items)))]

    def samples(self, shortest: float, longest: float) -> int:
        """Draw a length in samples, log-uniform between two limits in seconds."""
        return round(self.log_uniform(shortest, longest) * SFREQ)

    def poisson_times(self, rate: float, seconds: float) -> list[float]:
        """Draw the onsets (s) of events that come independently at `rate` a second."""
        return sorted(self.uniform(0, seconds, int(self.poisson(rate * seconds))).tolist())

    def shaped_noise(self, gain: Float32Array, n: int, *, low: int = 0) -> Float32Array:
        """Make noise of unit RMS, (K, n), with amplitudes `gain` (K, F) in the F bins of the FFT from `low` on."""
        count, width = gain.shape
        length = fft_length(n)
        spectrum = np.zeros((count, length // 2 + 1), dtype=np.complex64)
        parts = self.standard_normal((count, width, 2), dtype=np.float32)
        spectrum[:, low : low + width] = parts.view(np.complex64)[..., 0] * gain
        spectrum[:, 0] = 0
        norm = length / np.sqrt(2 * 2 * np.maximum((gain.astype(np.float64) ** 2).sum(axis=1, keepdims=True), 1e-30))
        wave: Float32Array = fft.irfft(spectrum * norm.astype(np.float32), n=length, axis=1)[:, :n]
        return wave

    def coloured_noise(self, n: int, slope: FloatArray, knee: FloatArray, *, high: float = 100.0) -> Float32Array:
        """Make noise of power ``1 / (f + knee)^slope`` from .05 Hz to `high`, unit RMS; slope, knee (K,) -> (K, n)."""
        frequency = bin_frequencies(n)
        frequency = frequency[frequency <= high]
        corner = np.log(frequency[None] + knee.astype(np.float32)[:, None] + 1e-6)
        gain = np.exp(corner * (-0.5 * slope.astype(np.float32))[:, None])
        gain[:, frequency < 0.05] = 0
        return self.shaped_noise(gain, n)

    def rhythm(self, n: int, frequency: float, width: float) -> Float32Array:
        """Make a narrow-band Gaussian rhythm, (n,), unit RMS; it waxes and wanes over about 1/width s."""
        frequencies = bin_frequencies(n)
        low, high = np.searchsorted(frequencies, [max(0.05, frequency - 4 * width), frequency + 4 * width])
        high = max(high, low + 2)
        gain = np.exp(-0.5 * ((frequencies[low:high] - frequency) / width) ** 2)
        return cast("Float32Array", self.shaped_noise(gain[None].astype(np.float32), n, low=int(low))[0])

    def band_noise(self, n: int, low: float, high: float) -> Float32Array:
        """Make noise between two frequencies (Hz) with soft edges, (n,), unit RMS."""
        frequency = bin_frequencies(n).astype(np.float64)
        gain = 1 / np.sqrt(1 + (low / np.maximum(frequency, 1e-3)) ** 6) / np.sqrt(1 + (frequency / high) ** 8)
        return cast("Float32Array", self.shaped_noise(gain[None].astype(np.float32), n)[0])

    def slow_curve(self, n: int, sigma: float, period: float) -> Float32Array:
        """Draw a curve that wanders about 1: exp of normal knots (`sigma`) every `period` s, joined by lines."""
        knots = int(np.ceil(n / SFREQ / period)) + 2
        values = self.normal(0, sigma, knots) - 0.5 * sigma**2
        time = np.arange(n, dtype=np.float64) / SFREQ + self.uniform(0, period)
        return np.exp(np.interp(time, np.arange(knots) * period, values).astype(np.float32))

    def gliding_phase(self, n: int, frequencies: tuple[float, ...], *, jitter: float, knot: float = 0.5) -> FloatArray:
        """Draw the phase in cycles, (n,), of an oscillation that glides through `frequencies` (Hz), evenly in time."""
        # It follows the points geometrically and wanders by the fraction `jitter` every `knot` s.
        knots = max(2, int(np.ceil(n / SFREQ / knot)) + 1)
        path = np.interp(np.linspace(0, 1, knots), np.linspace(0, 1, len(frequencies)), np.log(frequencies))
        path = path + self.normal(0, jitter, knots)
        frequency = np.exp(np.interp(np.linspace(0, knots - 1, n), np.arange(knots), path))
        return np.cumsum(frequency) / SFREQ + self.uniform(0, 1)

    def jittered(self, phase: FloatArray, sigma: float) -> FloatArray:
        """Give each cycle of a phase a length of its own (log-normal, `sigma`), within the same time."""
        past = phase - phase[0]
        marks = np.append(np.arange(np.floor(past[-1]) + 1), past[-1])
        lengths = np.diff(np.interp(marks, past, np.arange(len(past)))) * np.exp(self.normal(0, sigma, len(marks) - 1))
        moved = np.append(0.0, np.cumsum(lengths)) * ((len(past) - 1) / lengths.sum())
        return np.asarray(np.interp(np.arange(len(past)), moved, marks) + phase[0])

    def cycle_table(self, kind: str) -> Float32Array:
        """Draw one cycle of a waveform, peak 1, (1024,): sine, sharp, triangle, spike_wave or pulse."""
        wave = _CYCLES[kind](self, _ONE_CYCLE)
        wave = wave - wave.mean()
        return cast("Float32Array", (wave / np.abs(wave).max()).astype(np.float32))

    def train(
        self,
        n: int,
        path: tuple[float, ...],
        *,
        shape: str | dict[str, float] = "sharp",
        jitter: float,
        uneven: float = 0.0,
    ) -> Float32Array:
        """Draw cycles of one waveform (or of one among several, by weight) that glide and vary in size, (n,)."""
        phase = self.gliding_phase(n, path, jitter=jitter)
        wave = play(self.cycle_table(shape if isinstance(shape, str) else self.pick(shape)), phase)
        return wave * self.per_cycle(phase, uneven) if uneven else wave

    def per_cycle(self, phase: FloatArray, sigma: float) -> Float32Array:
        """Draw an amplitude for each cycle (log-normal, `sigma`), held over the cycle, (n,)."""
        cycle = np.floor(phase - phase[0]).astype(np.int32)
        return cast("Float32Array", np.exp(self.normal(0, sigma, int(cycle[-1]) + 1)).astype(np.float32)[cycle])

    def k_complex(self, amplitude: float) -> Float32Array:
        """Draw a sharp wave followed by a slower one of the other sign, .3-1.2 s in all."""
        length = self.uniform(0.3, 1.2)
        time = np.arange(round(length * SFREQ)) / SFREQ / length
        slow = self.uniform(0.4, 0.9) * np.exp(-0.5 * ((time - 0.6) / 0.16) ** 2)
        return np.asarray(amplitude * (slow - np.exp(-0.5 * ((time - 0.25) / 0.09) ** 2)), dtype=np.float32)

    def sharp_waves(self, times: Sequence[float] | FloatArray, n: int, length: float) -> Float32Array:
        """Draw a train of sharp discharges of one shape, unit peak and about `length` s each, at `times` (s), (n,)."""
        table = np.append(self.cycle_table("pulse"), np.float32(0))
        wave = np.zeros(n, dtype=np.float32)
        for time in times:
            m = max(8, round(length * np.exp(self.normal(0, 0.15)) * SFREQ))
            shape = np.interp(np.linspace(0, len(table) - 1, m), np.arange(len(table)), table) * np.exp(
                self.normal(0, 0.2)
            )
            inside, part = overlap(time, m, n)
            wave[inside] += shape[part]
        return wave


def generator(*seed: int) -> WaveGenerator:
    """Return a PCG64 generator; `numpy.random.default_rng` may change its algorithm."""
    return WaveGenerator(np.random.PCG64(seed))
