"""Compact seizures, which networks learn from: one regular rhythm from a few sources near the focus.

Second by second, many of the quiet, irregular and wide seizures of a ward look like periodic and rhythmic patterns of
intensive care. Networks that learn from them rank such patterns above seizures (docs/training-log.md).
"""

from __future__ import annotations

import numpy as np

from restcli.simulate.background import Brain
from restcli.simulate.discharge import Discharge, Seizure, oscillate
from restcli.simulate.head import dipole_map, direction, mirrored, patch_maps
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, FloatArray, WaveGenerator, edges

_WAVEFORMS = {"sine": 0.25, "sharp": 0.45, "spike_wave": 0.2, "triangle": 0.1}
_RHYTHMS = {"compact_temporal": ((4.5, 8), (2.5, 6)), "compact_focal": ((3, 13), (1.3, 5))}  # Hz at first, at last


def add_compact(
    scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator
) -> tuple[str, FloatArray | None]:
    """Add a focal seizure that slows (Risinger et al., Neurology 1989), or one of intensive care at 1.5-4 Hz."""
    place: FloatArray | None = seizure.place
    label = "sz_foc"
    if seizure.kind == "compact_nonconvulsive":
        path = tuple(rng.log_uniform(1.5, 4) for _ in range(int(rng.integers(2, 6))))
        if looks.random() >= 0.6:
            label, place = "sz_gen_nm", None
    else:
        first, last = _RHYTHMS[seizure.kind]
        ends = looks.log_uniform(*first), looks.log_uniform(*last)
        path = ends if looks.random() < 0.85 else ends[::-1]
        scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.4, 1.0))
        if seizure.kind == "compact_temporal" or looks.random() < 0.4:
            label = "sz_foc_ia"
    # Temporal rhythms of 20-40 µV are recognised only by their regularity: loudness must not be the mark of a seizure.
    size = looks.log_uniform(0.9, 1.8) if looks.random() < 0.2 else looks.log_uniform(1.4, 15)
    discharge = _evolve(rng, seizure, path)
    centre = direction("FZ") if place is None else place
    _spread(scene, rng, seizure, centre, discharge.times(np.float32(brain.base * size)))
    return label, place


def _evolve(rng: WaveGenerator, seizure: Seizure, path: tuple[float, ...]) -> Discharge:
    """Draw an oscillation of unit size that grows and declines; a fifth wax and wane, as in intensive care."""
    n = seizure.n
    discharge = oscillate(rng, n, path, kinds=_WAVEFORMS, jitter=rng.log_uniform(0.02, 0.2))
    peak = rng.uniform(0.2, 0.9)
    growth = np.interp(np.linspace(0, 1, n), [0, peak, 1], [rng.uniform(0.2, 0.8), 1, rng.uniform(0.3, 1)])
    course = growth.astype(np.float32) * rng.slow_curve(n, 0.2, 2) * edges(n, 0.6, rng.uniform(0.2, 2))
    if rng.random() < 0.2:
        course = course * rng.slow_curve(n, 0.6, rng.uniform(1, 4))
    return discharge.times(course)


def _spread(scene: Scene, rng: WaveGenerator, seizure: Seizure, place: FloatArray, discharge: Discharge) -> None:
    """Add 3-8 sources that join one after the other, in 40 % on the other side too, and in most wider cortex."""
    n, count = len(discharge.course), int(rng.integers(3, 9))
    latest = rng.uniform(0.2, 0.9) * seizure.duration
    across, wide = rng.random() < 0.4, rng.random() < 0.5
    own = np.float32(rng.uniform(0.0, 0.35) if rng.random() < 0.6 else 0.0)
    for index in range(count):
        spot = place + rng.normal(0, 0.12 + 0.12 * index, 3)
        spot = mirrored(spot) if across and index >= count // 2 else spot
        depth = (0.3, 0.6) if wide and index > 0 else (0.5, 0.8)
        field_map = dipole_map(rng, spot / np.linalg.norm(spot), spread=0.05, depth=depth)
        delay = latest * (index / count) * rng.uniform(0.5, 1)
        skip = min(round(delay * SFREQ), n - 1)
        wave = discharge.read(skip, rng.normal(0, 0.1))
        noise = rng.rhythm(n - skip, discharge.frequency, 0.4 * discharge.frequency)
        wave = (wave + own * noise * discharge.course[skip:]) * edges(n - skip, min(2.0, 0.3 + delay / 4), 0.1)
        scene.add(field_map, seizure.onset + skip / SFREQ, wave, 1.0 if index == 0 else rng.uniform(0.2, 0.9))
    if rng.random() < 0.75:
        _join(scene, rng, seizure, place, discharge.times(np.float32(rng.log_uniform(0.4, 1.5))))


def _join(scene: Scene, rng: WaveGenerator, seizure: Seizure, place: FloatArray, discharge: Discharge) -> None:
    """Add cortex that joins the rhythm, later and more weakly with distance."""
    n = len(discharge.course)
    latest = rng.uniform(0.2, 0.9) * seizure.duration
    maps, distance, _ = patch_maps(rng, place, rng.log_uniform(0.3, 4.0), depth=(0.5, 0.75))
    waves = np.zeros((19, n), dtype=np.float32)
    for index in range(19):
        skip = min(round(latest * distance[index] / 2 * rng.uniform(0, 1) * SFREQ), n - 1)
        waves[index, skip:] = discharge.read(skip, rng.normal(0, 0.1)) * edges(n - skip, min(1.0, 0.1 + latest), 0.1)
    scene.add_all(seizure.onset, maps, waves)
