"""The discharge of a seizure: its oscillation, its evolution and its spread over the cortex."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from restcli.simulate.head import dipole_map, direction, mirrored, patch_maps, random_direction
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, WaveGenerator, edges, generator

_TEMPORAL = ("F7+T3", "F8+T4", "T3+T5", "T4+T6")
_WAVEFORMS = {"sine": 0.25, "sharp": 0.45, "spike_wave": 0.2, "triangle": 0.1}
_SPIKE_WAVE = {"spike_wave": 1.0}


@dataclass(frozen=True)
class Seizure:
    """When a seizure is to happen and what it looks like."""

    kind: str
    onset: float  # s
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
        if self.kind == "temporal":
            return direction(rng.choose(_TEMPORAL))
        return random_direction(rng, -0.15)


@dataclass(frozen=True)
class Discharge:
    """One oscillation, of which every source shows a version with its own delay and phase."""

    frequency: float  # mean, Hz
    phase: FloatArray  # (n,), cycles
    shapes: Float32Array  # (K, 1024), cycle tables
    choice: NDArray[np.intp]  # (n,), shape of the current cycle
    size: Float32Array  # (n,), of the current cycle
    course: Float32Array  # (n,), amplitude, µV

    def times(self, gain: Float32Array | np.float32) -> Discharge:
        """Return the discharge with another amplitude."""
        return replace(self, course=self.course * gain)

    def read(self, skip: int, lag: float) -> Float32Array:
        """Return the wave from sample `skip` on, shifted by `lag` cycles."""
        at = (((self.phase[skip:] + lag) % 1.0) * self.shapes.shape[1]).astype(np.intp)
        return cast("Float32Array", self.shapes[self.choice[skip:], at] * self.size[skip:] * self.course[skip:])


def oscillate(
    rng: WaveGenerator, n: int, path: tuple[float, ...], *, kinds: dict[str, float] = _SPIKE_WAVE, jitter: float
) -> Discharge:
    """Draw an irregular oscillation along a path of frequencies, whose shape changes through one to three waveforms."""
    phase = rng.gliding_phase(n, path, jitter=jitter, knot=max(0.25, 0.5 / max(path)))
    count = int(rng.integers(1, 4))
    shapes = np.stack([rng.cycle_table(rng.pick(kinds)) for _ in range(count)])
    # The power of a sine of amplitude 1: spikes stand out of the waves that go with them instead of dwarfing them.
    shapes /= np.sqrt(2 * np.mean(shapes**2, axis=1, keepdims=True))
    cycle = np.floor(phase - phase[0]).astype(np.intp)
    total = int(cycle[-1]) + 1
    drift = np.linspace(0, count - 1e-3, total) + rng.normal(0, 0.4, total)
    choice = np.clip(drift.astype(np.intp), 0, count - 1)[cycle]
    size = rng.per_cycle(phase, rng.uniform(0.05, 0.3 if count == 1 else 0.45))
    return Discharge(float(np.mean(path)), phase, shapes, choice, size, np.ones(n, dtype=np.float32))


def evolve(rng: WaveGenerator, seizure: Seizure, path: tuple[float, ...], amplitude: float) -> Discharge:
    """Draw an oscillation that grows to `amplitude` (µV) and declines; a fifth wax and wane, as in intensive care."""
    n = seizure.n
    discharge = oscillate(rng, n, path, kinds=_WAVEFORMS, jitter=rng.log_uniform(0.02, 0.25))
    peak = rng.uniform(0.2, 0.9)
    growth = np.interp(np.linspace(0, 1, n), [0, peak, 1], [rng.uniform(0.2, 0.8), 1, rng.uniform(0.3, 1)])
    course = growth.astype(np.float32) * rng.slow_curve(n, 0.2, 2) * edges(n, 0.6, rng.uniform(0.2, 2))
    if rng.random() < 0.2:
        course = course * rng.slow_curve(n, 0.6, rng.uniform(1, 4))
    return discharge.times(course * np.float32(amplitude))


def spread(scene: Scene, rng: WaveGenerator, seizure: Seizure, place: FloatArray, discharge: Discharge) -> Float32Array:
    """Add a discharge that spreads from `place`, and return the field of its first source."""
    # 3-8 sources join with lags of about a tenth of a cycle, in 40 % also in the mirror region; patients vary as much
    # (Schomer and Lopes da Silva, Niedermeyer's Electroencephalography, 7th ed. 2018).
    n = len(discharge.course)
    count = int(rng.integers(3, 9))
    latest = rng.uniform(0.2, 0.9) * seizure.duration
    across = rng.random() < 0.4
    wide = rng.random() < 0.5  # the field of a seizure that has taken a hemisphere or more
    irregular = rng.uniform(0.0, 0.7) if rng.random() < 0.6 else 0.0
    maps = []
    for index in range(count):
        spot = place + rng.normal(0, 0.12 + 0.12 * index, 3)
        if across and index >= count // 2:
            spot = mirrored(spot)
        depth = (0.3, 0.6) if wide and index > 0 else (0.5, 0.8)
        maps.append(dipole_map(rng, spot / np.linalg.norm(spot), spread=0.05, depth=depth))
        delay = 0.0 if index == 0 else latest * (index / count) * rng.uniform(0.5, 1)
        skip = min(round(delay * SFREQ), n - 1)
        part = discharge.read(skip, rng.normal(0, 0.1))
        if irregular > 0:
            own = rng.rhythm(n - skip, discharge.frequency, 0.4 * discharge.frequency)
            part = part + np.float32(0.5 * irregular) * own * discharge.course[skip:]
        part = part * edges(n - skip, min(2.0, 0.3 + delay / 4), 0.1)
        strength = 1.0 if index == 0 else rng.uniform(0.2, 0.9)
        scene.add(maps[-1], seizure.onset + skip / SFREQ, part, strength)
    if rng.random() < 0.75:
        whole = discharge.times(np.float32(rng.log_uniform(0.4, 1.5)))
        scene.add_all(seizure.onset, *recruit(rng, whole, place, rng.log_uniform(0.3, 4.0), latest))
    return maps[0]


def recruit(
    rng: WaveGenerator, discharge: Discharge, centre: FloatArray, fall: float, latest: float = 0.0
) -> tuple[Float32Array, Float32Array]:
    """Draw fields (21, 19) and waves (19, n) of cortex that joins: less, and up to `latest` s later, far away."""
    # A scalp rhythm needs about 10 cm2 of synchronous cortex to be visible: more than a few dipoles.
    n = len(discharge.course)
    maps, distance = patch_maps(rng, centre, fall)
    waves = np.zeros((19, n), dtype=np.float32)
    for index in range(19):
        skip = min(round(latest * distance[index] / 2 * rng.uniform(0, 1) * SFREQ), n - 1)
        waves[index, skip:] = discharge.read(skip, rng.normal(0, 0.1)) * edges(n - skip, min(1.0, 0.1 + latest), 0.1)
    return maps, waves
