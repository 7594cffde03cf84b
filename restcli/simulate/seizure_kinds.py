"""The kinds of seizures: rhythm, evolution and muscle of each, with their SzCORE types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from restcli.simulate.artefacts import muscle_burst
from restcli.simulate.background import Brain
from restcli.simulate.discharge import Discharge, Seizure, evolve, oscillate, recruit, spread
from restcli.simulate.head import dipole_map, direction, local_map
from restcli.simulate.scene import LARGEST, Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, WaveGenerator, edges

Made = tuple[str, Float32Array | None]
"""SzCORE type, and the field at onset; None when a seizure begins everywhere."""
Maker = Callable[[Scene, Brain, Seizure, WaveGenerator, WaveGenerator], Made]
"""Adds a seizure; draws its appearance from the first generator and its course from the second."""


@dataclass(frozen=True)
class Kind:
    """How long a kind of seizure lasts (s), in whom it is typical (years), and how to add it."""

    shortest: float
    longest: float
    youngest: float
    oldest: float
    add: Maker


def _size(looks: WaveGenerator, low: float = 1.2, high: float = 6.0) -> float:
    """Draw the peak amplitude in units of the background: 1.2 low to 2.5 high, a fifth only .9-1.8."""
    # Temporal rhythms of 20-40 µV are recognised only by their regularity: loudness must not be the mark of a seizure.
    return looks.log_uniform(0.9, 1.8) if looks.random() < 0.2 else looks.log_uniform(1.2 * low, 2.5 * high)


def _large(looks: WaveGenerator, brain: Brain, low: float, high: float) -> float:
    """Draw the amplitude of a generalised discharge, µV: 1.5 low to 4 high times base, 900 at most."""
    return min(brain.base * looks.log_uniform(1.5 * low, 4 * high), LARGEST)


def _focal(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add a focal seizure of 3-13 Hz falling to 1.3-5 Hz; temporal: 4.5-8 to 2.5-6 Hz (Risinger, Neurology 1989)."""
    temporal = seizure.kind == "temporal"
    if temporal:
        path = (looks.uniform(4.5, 8), looks.uniform(2.5, 6))
    else:
        path = (looks.log_uniform(3, 13), looks.log_uniform(1.3, 5))
    path = path if looks.random() < 0.85 else path[::-1]
    scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.5 if temporal else 0.4, 1.0))
    discharge = evolve(rng, seizure, path, brain.base * _size(looks))
    field_map = spread(scene, rng, seizure, seizure.place, discharge)
    if rng.random() <= 0.2:  # low-voltage fast activity at the onset
        n = max(20, round(min(rng.uniform(1, 6), seizure.duration) * SFREQ))
        wave = rng.rhythm(n, rng.uniform(12, 30), 2.0) * edges(n, 0.5, 0.5)
        scene.add(field_map, seizure.onset, wave, brain.base * rng.log_uniform(0.3, 1.5))
    return ("sz_foc_ia" if temporal or looks.random() < 0.4 else "sz_foc"), field_map


def _absence(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add spike-wave of 2.7-4.5 Hz that slows by up to 1 Hz (Sadleir et al., Neurology 2006); atypical: 1-2.5 Hz."""
    typical = seizure.kind == "absence"
    start = looks.uniform(2.7, 4.5) if typical else looks.uniform(1.3, 2.5)
    path = (start, start - looks.uniform(0.2, 1.0) if typical else start * looks.uniform(0.8, 1.1))
    if typical:
        scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.5, 1.0), rise=0.3, fall=0.3)
    amplitude = _large(looks, brain, 2.5, 10) if typical else _large(looks, brain, 1.5, 6)
    discharge = oscillate(rng, seizure.n, path, jitter=rng.log_uniform(0.02, 0.1) if typical else 0.12)
    course = edges(seizure.n, 0.3, rng.uniform(0.1, 0.6)) * np.float32(amplitude)
    # Present everywhere, usually largest in front, sometimes over the back.
    centre = direction(rng.pick({"FZ": 0.75, "CZ": 0.1, "PZ": 0.05, "O1+O2": 0.1}))
    scene.add_all(seizure.onset, *recruit(rng, discharge.times(course), centre, rng.log_uniform(0.8, 8.0)))
    return ("sz_gen_nm_typical" if typical else "sz_gen_nm_atypical"), None


def _polymorphic(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add irregular spike-wave of many shapes, .8-2.5 Hz, 4-20 x base up to 900 µV, with polyspikes."""
    focal = looks.random() < 0.4
    n = seizure.n
    amplitude = min(brain.base * looks.log_uniform(4, 20), LARGEST)
    path = tuple(rng.log_uniform(0.8, 2.5) for _ in range(3))
    kinds = {"spike_wave": 3.0, "sharp": 1.0, "pulse": 1.0}
    discharge = oscillate(rng, n, path, kinds=kinds, jitter=rng.uniform(0.15, 0.4))
    envelope = edges(n, 0.4, 0.6) * rng.slow_curve(n, 0.4, 1.5) * np.float32(amplitude)
    centre = seizure.place if focal else direction("FZ")
    maps = []
    for index in range(int(rng.integers(3, 7))):
        spot = centre + rng.normal(0, 0.1 + 0.25 * index, 3)
        maps.append(dipole_map(rng, spot / np.linalg.norm(spot), depth=(0.35, 0.7)))
        own = rng.rhythm(n, rng.uniform(1, 3), 0.8) * np.float32(rng.uniform(0.1, 0.5))
        part = (discharge.read(0, rng.normal(0, 0.06)) + own) * envelope * np.float32(rng.uniform(0.25, 0.8))
        scene.add(maps[-1], seizure.onset, part)
    for onset in rng.poisson_times(0.3, seizure.duration):  # polyspikes
        m = min(round(rng.uniform(0.2, 1.0) * SFREQ), n - round(onset * SFREQ))
        if m > 20:
            burst = rng.rhythm(m, rng.uniform(10, 22), 2) * np.hanning(m).astype(np.float32)
            scene.add(maps[0], seizure.onset + onset, burst, 0.4 * amplitude)
    return ("sz_foc", maps[0]) if focal else ("sz_gen_nm_atypical", None)


def _tonic_clonic(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add a tonic-clonic seizure: 10-20 -> 6-10 Hz, then clonic bursts of 4-7 -> .8-1.8 Hz, with muscle."""
    # Gastaut and Broughton, Epileptic Seizures: Clinical and Electrographic Features, 1972.
    focal = looks.random() < 0.4
    place = seizure.place if focal else direction("FZ+CZ")
    tonic = seizure.duration * rng.uniform(0.25, 0.55)
    amplitude = _large(looks, brain, 1.2, 6)
    scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.2, 0.8), rise=1.0)
    path: tuple[float, ...] = (rng.log_uniform(10, 20), rng.log_uniform(6, 10))
    if focal:  # focal to bilateral
        path = (rng.log_uniform(3, 9), rng.log_uniform(3, 8), *path)
    first = replace(seizure, duration=tonic)
    field_map = spread(scene, rng, first, place, evolve(rng, first, path, 0.7 * amplitude))
    level = rng.log_uniform(20, 200)
    swell = np.interp(np.arange(first.n), [0, 0.6 * SFREQ * tonic, SFREQ * tonic], [0.0, 1, 1]).astype(np.float32)
    _convulse(scene, rng, seizure.onset, swell * np.float32(level))
    last = replace(seizure, onset=seizure.onset + tonic, duration=seizure.duration - tonic)
    path = (rng.uniform(4, 7), rng.uniform(0.8, 1.8))
    clonic = oscillate(rng, last.n, path, jitter=0.06).times(edges(last.n, 0.2, 0.3) * np.float32(amplitude))
    gate = _add_clonic(scene, rng, last, direction("FZ+CZ"), clonic)
    _convulse(scene, rng, last.onset, gate * np.float32(level))
    return ("sz_foc_f2b" if focal else "sz_gen_m_tonicClonic"), (field_map if focal else None)


def _add_clonic(
    scene: Scene, rng: WaveGenerator, seizure: Seizure, place: FloatArray, discharge: Discharge
) -> Float32Array:
    """Add spike-wave bursts, one a jerk, about `place`; return the envelope (n,) of the muscle that follows them."""
    scene.add_all(seizure.onset, *recruit(rng, discharge, place, rng.log_uniform(0.4, 6.0)))
    gate = np.exp(-((discharge.phase - 0.2) % 1.0) / rng.uniform(0.15, 0.5)).astype(np.float32)
    return gate * edges(seizure.n, 0.2, 0.3)


def _convulse(scene: Scene, rng: WaveGenerator, onset: float, envelope: Float32Array) -> None:
    """Add muscle everywhere but at the vertex under an envelope in µV."""
    for site in ("T3", "T4", "FP1", "FP2", "O1", "O2", "C3", "C4"):
        wave = rng.band_noise(len(envelope), rng.uniform(12, 30), 95) * envelope
        scene.add(local_map(direction(site), rng.uniform(0.3, 0.6)), onset, wave, rng.uniform(0.3, 1))


def _decrement(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add an electrodecrement to .1-.5 with low-voltage 15-30 Hz, followed in half by a rhythmic evolution."""
    early = seizure.duration * rng.uniform(0.2, 1.0)
    scene.attenuate(seizure.onset, early, rng.uniform(0.1, 0.5), rise=0.3, fall=1.0)
    n = round(early * SFREQ)
    fast = rng.rhythm(n, rng.uniform(15, 30), 2.0) * edges(n, 0.5, 0.5)
    wide = dipole_map(rng, direction("FZ"), spread=0.3, depth=(0.35, 0.6))
    scene.add(wide, seizure.onset, fast, brain.base * rng.log_uniform(0.1, 0.7))
    if seizure.duration - early <= 3:
        return "sz_gen_m_tonic", None
    rest = replace(seizure, onset=seizure.onset + early, duration=seizure.duration - early)
    path = (looks.log_uniform(3, 10), looks.log_uniform(1.5, 5))
    discharge = evolve(rng, rest, path, brain.base * _size(looks, 1.2, 5))
    return "sz_foc", spread(scene, rng, rest, seizure.place, discharge)


def _nonconvulsive(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add an electrographic seizure of intensive care: 1.5-4 Hz, waxing and waning (Hirsch et al. 2021)."""
    focal = looks.random() < 0.6
    place = seizure.place if focal else direction("FZ")
    path = tuple(rng.log_uniform(1.5, 4) for _ in range(int(rng.integers(2, 6))))
    field_map = spread(scene, rng, seizure, place, evolve(rng, seizure, path, brain.base * _size(looks)))
    return ("sz_foc", field_map) if focal else ("sz_gen_nm", None)


def _fast(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add fast activity of 10-25 Hz that slows and grows: frontal and tonic seizures."""
    focal = looks.random() < 0.5
    place = seizure.place if focal else direction("FZ+CZ")
    path = (looks.uniform(14, 25), looks.uniform(10, 14))
    scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.2, 0.8), rise=0.3)
    field_map = spread(scene, rng, seizure, place, evolve(rng, seizure, path, brain.base * _size(looks, 1.0, 4)))
    return ("sz_foc", field_map) if focal else ("sz_gen_m_tonic", None)


def _tonic(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add a tonic seizure: flattening, 10-25 Hz of .4-4 x base that grows, and muscle that grows with it."""
    n = seizure.n
    scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.15, 0.6), rise=0.4, fall=0.8)
    if looks.random() < 0.5:
        field_map = dipole_map(rng, direction("FZ"), spread=0.2, depth=(0.35, 0.6))
        scene.add(field_map, seizure.onset, rng.k_complex(brain.base * rng.uniform(2, 7)))
    growth = edges(n, 0.6 * seizure.duration, 0.6) * np.float32(brain.base * looks.log_uniform(0.4, 4))
    phase = rng.gliding_phase(n, (looks.uniform(14, 25), looks.uniform(9, 16)), jitter=0.06)
    for place in ("FZ", "CZ", "F3", "F4"):
        wave = np.sin(2 * np.pi * phase + rng.normal(0, 0.6)).astype(np.float32) * rng.slow_curve(n, 0.4, 0.6)
        scene.add(dipole_map(rng, direction(place), spread=0.2, depth=(0.35, 0.7)), seizure.onset, wave * growth)
    tension = edges(n, 0.4 * seizure.duration, 0.5) * np.float32(looks.log_uniform(6, 150))
    _convulse(scene, rng, seizure.onset, tension)
    return "sz_gen_m_tonic", None


def _clonic(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add a clonic seizure: a spike-wave burst a jerk at 1-4 Hz that slows, focal or generalised, with muscle."""
    focal = looks.random() < 0.6
    place = seizure.place if focal else direction("FZ+CZ")
    start = looks.uniform(1.5, 4)
    amplitude = _large(looks, brain, 1, 6)
    path = (start, start * looks.uniform(0.4, 0.9))
    course = edges(seizure.n, 0.2, 0.3) * np.float32(amplitude)
    discharge = oscillate(rng, seizure.n, path, jitter=0.06).times(course)
    gate = _add_clonic(scene, rng, seizure, place, discharge)
    if looks.random() < 0.8:
        muscle_burst(scene, rng, seizure.onset, gate, level=looks.log_uniform(5, 150))
    label = ("sz_foc_ua_m" if looks.random() < 0.3 else "sz_foc") if focal else "sz_gen_m_clonic"
    return label, dipole_map(rng, place) if focal else None


def _spasm(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add an epileptic spasm: a wide slow wave of 2-9 x base, then flattening with fast activity, and muscle."""
    # Kellaway et al., Precise characterization and quantification of infantile spasms, Ann Neurol 1979.
    n = max(40, seizure.n)
    depth, fast = looks.uniform(0.1, 0.9), looks.uniform(14, 28)
    scene.attenuate(seizure.onset + 0.2, seizure.duration + looks.uniform(0, 3), depth, rise=0.2, fall=0.5)
    wave = rng.k_complex(brain.base * looks.log_uniform(2, 9))
    for place in ("FZ", "CZ", "PZ"):
        field_map = dipole_map(rng, direction(place), spread=0.3, depth=(0.3, 0.55))
        scene.add(field_map, seizure.onset, wave, rng.uniform(0.3, 1))
        quick = rng.rhythm(n, fast, 2.0) * np.hanning(n).astype(np.float32)
        scene.add(field_map, seizure.onset, quick, brain.base * rng.log_uniform(0.1, 0.8))
    if looks.random() < 0.85:
        _convulse(scene, rng, seizure.onset, np.hanning(n).astype(np.float32) * np.float32(looks.log_uniform(5, 120)))
    return "sz_gen_m_spasms", None


# Kinds: Fisher et al., Epilepsia 2017. Durations: Jenssen et al., Epilepsia 2006 (focal 10-180 s, tonic-clonic about
# 60 s); Sadleir et al., Neurology 2006 (absences 3-30 s).
KINDS = {
    "focal": Kind(5.0, 180.0, 0.0, 99.0, _focal),
    "temporal": Kind(10.0, 180.0, 8.0, 99.0, _focal),
    "absence": Kind(3.0, 30.0, 3.0, 25.0, _absence),
    "tonic_clonic": Kind(25.0, 150.0, 1.0, 99.0, _tonic_clonic),
    "decrement": Kind(3.0, 60.0, 0.0, 99.0, _decrement),
    "nonconvulsive": Kind(10.0, 180.0, 12.0, 99.0, _nonconvulsive),
    "fast": Kind(3.0, 60.0, 3.0, 99.0, _fast),
    "slow_spike_wave": Kind(4.0, 60.0, 2.0, 30.0, _absence),
    "polymorphic": Kind(3.0, 60.0, 1.0, 30.0, _polymorphic),
    "spasms": Kind(1.0, 2.5, 0.2, 2.0, _spasm),
    "tonic": Kind(3.0, 25.0, 1.0, 40.0, _tonic),
    "clonic": Kind(6.0, 90.0, 0.0, 99.0, _clonic),
}
