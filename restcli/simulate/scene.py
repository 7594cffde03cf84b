"""The scene: potentials at 21 electrodes in the making, to which every component adds its sources."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from scipy import fft

from restcli.signal.montage import DOUBLE_BANANA
from restcli.simulate.head import ELECTRODES_21, INDEX, mix
from restcli.simulate.waves import (
    SFREQ,
    BoolArray,
    Float32Array,
    Wave,
    WaveGenerator,
    edges,
    fft_length,
    generator,
    overlap,
    scaled,
)

_ENDS = np.array([[INDEX[end] for end in node.split("-")] for node in DOUBLE_BANANA])
LARGEST = 900.0  # µV: no discharge is larger
SMALLEST = 1.0  # µV RMS: what a discharge is compared with in silence


class Scene:
    """Potentials to which components add; each draws from its own generator and notes what it drew."""

    def __init__(self, seed: tuple[int, ...], n: int) -> None:
        self.seed, self.n, self.seconds = seed, n, n / SFREQ
        self.data: Float32Array = np.zeros((len(ELECTRODES_21), n), dtype=np.float32)  # µV
        self.under: Float32Array | None = None  # the rest of the scene while a layer is open
        self.states: dict[str, BoolArray] = {}  # per second
        self.drawn: list[dict[str, Any]] = []

    def rng(self, name: str) -> WaveGenerator:
        """Return the generator of the component `name`."""
        return generator(*self.seed, zlib.crc32(name.encode()))

    def moments(self, rng: WaveGenerator, low: float, high: float) -> list[float]:
        """Draw the onsets (s) of events that come independently, `low` to `high` of them a minute."""
        return rng.poisson_times(rng.uniform(low, high) / 60, self.seconds)

    def add(self, field_map: Float32Array, start: float, wave: Wave, size: float = 1.0) -> None:
        """Add a source: `field_map` (21,) times `wave` (m,) times `size`, µV, from `start` s on, cut at the ends."""
        inside, part = overlap(start, len(wave), self.n)
        self.data[:, inside] += field_map[:, None] * scaled(wave, size)[None, part]

    def add_all(self, start: float, maps: Float32Array, waves: Float32Array) -> None:
        """Add several sources at once: `maps` (21, K), `waves` (K, m)."""
        inside, part = overlap(start, waves.shape[1], self.n)
        self.data[:, inside] += mix(maps, waves[:, part])

    def attenuate(self, start: float, duration: float, depth: float, *, rise: float = 0.5, fall: float = 1.0) -> None:
        """Fade everything added so far to the fraction `depth` for a while."""
        gain = 1 - np.float32(1 - depth) * edges(max(2, round(duration * SFREQ)), rise, fall)
        inside, part = overlap(start, len(gain), self.n)
        for layer in (self.data, self.under):
            if layer is not None:
                layer[:, inside] *= gain[part]

    @contextmanager
    def layer(self) -> Iterator[None]:
        """Collect in `data` only what is added meanwhile, so that it can be scaled as a whole."""
        self.under, self.data = self.data, np.zeros_like(self.data)
        yield
        self.data += self.under
        self.under = None

    def layer_gain(self, span: slice, usual: Float32Array, rise: float, *, share: float = 0.5) -> np.float32:
        """Return the factor for the open layer that lifts a share of the derivations by `rise` neper over `usual`."""
        assert self.under is not None  # a layer is open
        own, under = derivation_rms(self.data[:, span]), derivation_rms(self.under[:, span])
        missing = np.sqrt(np.maximum((np.exp(rise) * np.maximum(usual, SMALLEST)) ** 2 - under**2, 0))
        peak = float(np.abs(self.data[:19, span]).max(initial=1e-6))
        return np.float32(min(float(np.quantile(missing / np.maximum(own, 1e-6), share)), LARGEST / peak))

    def span(self, onset: float, duration: float) -> slice:
        """Return the samples of a time span."""
        return slice(max(0, round(onset * SFREQ)), max(1, round((onset + duration) * SFREQ)))

    def usual(self, span: slice) -> Float32Array:
        """Return the RMS of the derivations outside a span, or inside if less than 5 s are left."""
        rest = np.concatenate([self.data[:, : span.start], self.data[:, span.stop :]], axis=1)
        return derivation_rms(rest if rest.shape[1] >= 5 * SFREQ else self.data[:, span])

    def mark(self, state: str, onset: float, duration: float) -> None:
        """Mark the seconds touched by a time span as being in `state`."""
        seconds = self.states.setdefault(state, np.zeros(int(np.ceil(self.seconds)), dtype=bool))
        seconds[max(0, int(np.floor(onset))) : max(0, int(np.ceil(onset + duration)))] = True

    def note(self, what: str, **values: Any) -> None:
        """Record what was drawn, rounded to 4 digits, ready for JSON."""
        self.drawn.append({"what": what, **{key: _plain(value) for key, value in values.items()}})

    def log(self, state: str, what: str, onset: float, n: int, **values: Any) -> None:
        """Mark the seconds of something that lasts `n` samples, and note it."""
        self.mark(state, onset, n / SFREQ)
        self.note(what, onset=onset, duration=n / SFREQ, **values)


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{float(value):.4g}")
    return [_plain(item) for item in value]


def derivation_rms(potentials: Float32Array) -> Float32Array:
    """Return the RMS between 1 and 40 Hz of the longitudinal bipolar derivations, (21, n) -> (18,), µV."""
    even = potentials.shape[1] // 2 * 2
    halved = potentials[:, 0:even:2] + potentials[:, 1:even:2]  # at half the rate, which costs half the time
    waves = (halved[_ENDS[:, 0]] - halved[_ENDS[:, 1]]) / 2
    n, length = waves.shape[1], fft_length(waves.shape[1])
    frequency = fft.rfftfreq(length, 2 / SFREQ)
    lines = fft.rfft(waves, n=length, axis=1)[:, (frequency >= 1) & (frequency <= 40)]
    power = (lines.real**2 + lines.imag**2).sum(axis=1)
    return cast("Float32Array", np.sqrt(2 * power / n / length))
