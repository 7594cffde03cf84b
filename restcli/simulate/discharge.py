"""The discharge of a seizure: its oscillation, its evolution and its spread over the cortex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from restcli.simulate.head import dipole_map, direction, nearest_electrodes, patch_maps, random_direction
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, WaveGenerator, bin_frequencies, edges, generator

_TEMPORAL = ("F7+T3", "F8+T4", "T3+T5", "T4+T6")
_WAVEFORMS = {"sine": 0.3, "sharp": 0.45, "spike_wave": 0.15, "triangle": 0.1}
_REGIONS = {"F": "frontal", "C": "central", "P": "parietal", "O": "occipital", "T": "temporal"}


@dataclass(frozen=True)
class Seizure:
    """When a seizure is to happen and what it looks like."""

    kind: str
    onset: float  # s; negative when the recording begins within the seizure
    duration: float  # s
    looks: int  # seed of the appearance: seizures of one person share it

    @property
    def n(self) -> int:
        """Length in samples."""
        return round(self.duration * SFREQ)

    @property
    def place(self) -> FloatArray:
        """Focus on the unit sphere, (3,), which follows from `looks`."""
        rng = generator(self.looks, 1)
        if self.kind in ("temporal", "compact_temporal"):
            return direction(rng.choose(_TEMPORAL))
        return random_direction(rng, -0.15)

    def after(self, seconds: float) -> Seizure:
        """Return the rest of the seizure."""
        return replace(self, onset=self.onset + seconds, duration=self.duration - seconds)


def side_and_region(place: FloatArray) -> tuple[str, str]:
    """Name side and region of a place on the unit sphere; F7 and F8 record the front of the temporal lobe.

    >>> side_and_region(direction("F7+T3"))
    ('left', 'temporal')
    """
    name = nearest_electrodes(place, 0.0)[0]
    side = "midline" if abs(place[0]) < 0.2 else "left" if place[0] < 0 else "right"
    return side, "temporal" if name in ("F7", "F8") else _REGIONS[name[0]]


@dataclass(frozen=True)
class Discharge:
    """One oscillation, of which every source shows a version with its own delay."""

    frequency: float  # mean, Hz
    phase: FloatArray  # (n,), cycles
    shapes: Float32Array  # (K, 1024), cycle tables
    choice: NDArray[np.intp]  # (n,), shape of the current cycle
    course: Float32Array  # (n,), amplitude, µV

    def times(self, gain: Float32Array | np.float32) -> Discharge:
        """Return the discharge with another amplitude."""
        return replace(self, course=self.course * gain)

    def read(self, skip: int, lag: float) -> Float32Array:
        """Return the wave from sample `skip` on, shifted by `lag` cycles."""
        at = (((self.phase[skip:] + lag) % 1.0) * self.shapes.shape[1]).astype(np.intp)
        return cast("Float32Array", self.shapes[self.choice[skip:], at] * self.course[skip:])


def glide(rng: WaveGenerator, *frequencies: float) -> tuple[float, ...]:
    """Draw a path (Hz) through some frequencies that also jumps by about a tenth, up to four times."""
    path = np.interp(np.linspace(0, 1, 60), np.linspace(0, 1, len(frequencies)), np.log(frequencies))
    for first in rng.integers(5, 60, size=int(rng.integers(0, 5))):
        path[first:] += rng.normal(0, 0.12)
    return tuple(np.exp(path).tolist())


def oscillate(
    rng: WaveGenerator, n: int, path: tuple[float, ...], *, kinds: Mapping[str, float], jitter: float
) -> Discharge:
    """Draw an irregular oscillation along a path of frequencies, whose shape changes through one to three waveforms."""
    # Each cycle has a length and a size of its own; slower cycles are larger.
    phase = rng.jittered(rng.gliding_phase(n, path, jitter=0.03), jitter)
    count = int(rng.integers(1, 4))
    shapes = np.stack([rng.cycle_table(rng.pick(kinds)) for _ in range(count)])
    # The power of a sine of amplitude 1: spikes stand out of the waves that go with them instead of dwarfing them.
    shapes /= np.sqrt(2 * np.mean(shapes**2, axis=1, keepdims=True))
    cycle = np.floor(phase - phase[0]).astype(np.intp)
    total = int(cycle[-1]) + 1
    drift = np.linspace(0, count - 1e-3, total) + rng.normal(0, 0.4, total)
    choice = np.clip(drift.astype(np.intp), 0, count - 1)[cycle]
    mean = float(np.exp(np.mean(np.log(path))))
    slowness = np.interp(np.arange(n), np.linspace(0, n - 1, len(path)), np.log(mean / np.array(path)))
    course = rng.per_cycle(phase, rng.uniform(0.1, 0.35)) * np.exp(rng.uniform(0.2, 1.0) * slowness).astype(np.float32)
    return Discharge(mean, phase, shapes, choice, course)


def evolve(
    rng: WaveGenerator, seizure: Seizure, path: tuple[float, ...], *, kinds: Mapping[str, float] | None = None
) -> Discharge:
    """Draw an oscillation of unit size that grows and declines, waxes and wanes, and drops out now and then."""
    n = seizure.n
    discharge = oscillate(rng, n, path, kinds=kinds or _WAVEFORMS, jitter=rng.log_uniform(0.05, 0.35))
    peak = rng.uniform(0.2, 0.9)
    growth = np.interp(np.linspace(0, 1, n), [0, peak, 1], [rng.uniform(0.2, 0.8), 1, rng.uniform(0.3, 1)])
    course = growth.astype(np.float32) * edges(n, 0.6, rng.uniform(0.2, 2))
    course *= rng.slow_curve(n, rng.uniform(0.05, 0.35), rng.log_uniform(0.5, 4))
    for onset in rng.poisson_times(rng.uniform(0, 0.07), seizure.duration - 1):
        first, length = round(onset * SFREQ), min(rng.samples(0.4, 3), n)
        part = course[first : first + length]
        part *= 1 - np.float32(rng.uniform(0.6, 0.95)) * edges(len(part), 0.15, 0.15)
    return discharge.times(course)


def spread(scene: Scene, rng: WaveGenerator, seizure: Seizure, place: FloatArray, discharge: Discharge) -> None:
    """Add a discharge that spreads from `place`."""
    # Patients vary as much (Schomer and Lopes da Silva, Niedermeyer's Electroencephalography, 7th ed. 2018).
    focus = dipole_map(rng, place, spread=0.05, depth=(0.45, 0.75), radial=1.0)
    scene.add(focus, seizure.onset, discharge.read(0, 0.0), rng.log_uniform(0.1, 0.8))
    latest = rng.uniform(0.1, 0.8) * seizure.duration
    across = rng.uniform(0.3, 1.0) if rng.random() < 0.5 else 0.0
    scene.add_all(
        seizure.onset, *recruit(rng, discharge, place, rng.log_uniform(0.45, 6.0), latest=latest, across=across)
    )


def recruit(
    rng: WaveGenerator,
    discharge: Discharge,
    centre: FloatArray,
    fall: float,
    *,
    latest: float = 0.0,
    across: float = 0.0,
) -> tuple[Float32Array, Float32Array]:
    """Draw fields (21, 19) and waves (19, n) of cortex that joins, more weakly and up to `latest` s later far away."""
    # The centre drives the others, which follow after 5-40 ms for each head radius and add waves of their own. A
    # fraction `across` of the strength is reached on the other side, in the second half of the time.
    # A scalp rhythm needs about 10 cm2 of synchronous cortex to be visible: more than a few dipoles.
    n = len(discharge.course)
    maps, distance, beyond = patch_maps(rng, centre, fall, across=across)
    delay = np.where(beyond, rng.uniform(0.5, 1), rng.uniform(0, 1, 19) * distance / 2) * latest
    lag = -discharge.frequency * distance * rng.log_uniform(0.005, 0.04) + rng.normal(0, 0.04, 19)
    waves = _own_waves(rng, n, discharge.frequency) * np.float32(rng.uniform(0.3, 1.3)) * discharge.course
    waxing = [rng.slow_curve(n, rng.uniform(0.1, 0.4), rng.log_uniform(0.5, 4)) for _ in range(6)]
    for index in range(19):
        skip = min(round(delay[index] * SFREQ), n - 1)
        waves[index, :skip] = 0
        waves[index, skip:] += discharge.read(skip, lag[index])
        waves[index, skip:] *= edges(n - skip, min(1.5, 0.1 + latest / 4), 0.1) * waxing[index % 6][skip:]
    return maps, waves


def _own_waves(rng: WaveGenerator, n: int, frequency: float) -> Float32Array:
    """Draw irregular waves around and below a frequency, (19, n), partly common to all: the slowing of seizures."""
    hertz = bin_frequencies(n)
    line = np.exp(-0.5 * ((hertz - frequency) / (0.4 * frequency)) ** 2) + rng.uniform(0.3, 2.5) * np.exp(
        -0.5 * ((hertz - rng.uniform(0.8, 2.5)) / 0.5) ** 2
    )
    high = int(np.searchsorted(hertz, 3 * frequency + 3))
    noise = rng.shaped_noise(np.repeat(line[None, :high].astype(np.float32), 6, axis=0), n)
    common = np.float32(rng.uniform(0.1, 0.8))
    return np.asarray((common * noise[5] + np.sqrt(1 - common**2) * noise[:5])[rng.permutation(19) % 5])
