"""The kinds of seizures: rhythm, evolution and muscle of each, with their SzCORE types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from restcli.simulate.artefacts import muscle_burst
from restcli.simulate.background import Brain
from restcli.simulate.compact import add_compact
from restcli.simulate.discharge import Seizure, evolve, glide, oscillate, recruit, spread
from restcli.simulate.head import dipole_map, direction, local_map
from restcli.simulate.scene import LARGEST, Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, WaveGenerator, edges

_SPIKE_WAVE = {"spike_wave": 1.0}
Made = tuple[str, FloatArray | None]
"""SzCORE type, and the focus; None when a seizure begins everywhere."""
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


@dataclass(frozen=True)
class _Onset:
    """An onset pattern: share in temporal and in other seizures, Hz at first and in the end, waveforms."""

    shares: tuple[float, float]
    first: tuple[float, float]
    last: tuple[float, float]
    kinds: Mapping[str, float]


_ROUND = {"sine": 0.25, "sharp": 0.6, "triangle": 0.15}
_SHARP = {"sharp": 0.4, "spike_wave": 0.3, "pulse": 0.3}
# Patterns: Foldvary et al., Neurology 2001 (486 seizures: rhythmic theta in temporal and mesial frontal, repetitive
# spikes in lateral frontal ones) and Ebersole and Pacia, Epilepsia 1996. 192 temporal seizures began with 5-9 Hz in
# 65 % and 2-5 Hz in 35 % (Clin Neurophysiol 2019;130:1604). Flattening and low-voltage fast activity: Pacia and
# Ebersole, Epilepsia 1997. The other shares are settings.
_ONSETS = {
    "theta": _Onset((0.45, 0.22), (4.5, 9), (2.5, 6), _ROUND),
    "delta": _Onset((0.27, 0.2), (1.8, 4.5), (1.5, 5), _ROUND),
    "alpha": _Onset((0.1, 0.12), (8, 13), (2.5, 6), _ROUND),
    "spikes": _Onset((0.06, 0.2), (1.2, 6), (1.2, 5), _SHARP),
    "fast": _Onset((0.05, 0.14), (6, 14), (2, 6), _ROUND),
    "flattening": _Onset((0.07, 0.12), (3, 9), (1.5, 5), _ROUND),
}


def _large(looks: WaveGenerator, brain: Brain, low: float, high: float) -> float:
    """Draw the amplitude of a generalised discharge, µV: 1.5 low to 4 high times base, 900 at most."""
    return min(brain.base * looks.log_uniform(1.5 * low, 4 * high), LARGEST)


def _focal(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add a focal seizure that begins with one of `_ONSETS` and evolves."""
    temporal = seizure.kind == "temporal"
    name = looks.pick({name: onset.shares[0 if temporal else 1] for name, onset in _ONSETS.items()})
    onset = _ONSETS[name]
    ends = looks.log_uniform(*onset.first), looks.log_uniform(*onset.last)
    scene.note("onset", pattern=name, frequency=ends)
    scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.4, 1.0))
    rest = seizure
    if name in ("fast", "flattening"):
        rest = _begin_low(scene, brain, seizure, rng, flat=name == "flattening")
    path = glide(rng, *(ends if looks.random() < 0.85 else ends[::-1]))
    discharge = evolve(rng, rest, path, kinds=onset.kinds).times(np.float32(2 * brain.base))
    spread(scene, rng, rest, seizure.place, discharge)
    return ("sz_foc_ia" if temporal or looks.random() < 0.4 else "sz_foc"), seizure.place


def _begin_low(scene: Scene, brain: Brain, seizure: Seizure, rng: WaveGenerator, *, flat: bool) -> Seizure:
    """Begin with low-voltage activity of 13-30 Hz, over a flattened background or at the focus; return what is left."""
    early = min(rng.log_uniform(1, 12), 0.7 * seizure.duration)
    n = round(early * SFREQ)
    wave = rng.rhythm(n, rng.uniform(13, 30), rng.uniform(1, 3)) * edges(n, 0.5, 0.5) * rng.slow_curve(n, 0.3, 1)
    if flat:
        scene.attenuate(seizure.onset, early, rng.uniform(0.1, 0.6), rise=0.3, fall=1.0)
        place, size = direction("FZ+CZ"), rng.log_uniform(0.1, 0.5)
    else:
        place, size = seizure.place, rng.log_uniform(0.3, 1.5)
    scene.add(dipole_map(rng, place, depth=(0.35, 0.7)), seizure.onset, wave, brain.base * size)
    return seizure.after(0.8 * early)


def _absence(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add spike-wave of 2.7-4.5 Hz that slows by up to 1 Hz (Sadleir et al., Neurology 2006); atypical: 1-2.5 Hz."""
    typical = seizure.kind == "absence"
    start = looks.uniform(2.7, 4.5) if typical else looks.uniform(1.3, 2.5)
    path = (start, start - looks.uniform(0.2, 1.0) if typical else start * looks.uniform(0.8, 1.1))
    if typical:
        scene.attenuate(seizure.onset, seizure.duration, rng.uniform(0.5, 1.0), rise=0.3, fall=0.3)
    amplitude = _large(looks, brain, 2.5, 10) if typical else _large(looks, brain, 1.5, 6)
    jitter = rng.log_uniform(0.02, 0.1) if typical else 0.12
    discharge = oscillate(rng, seizure.n, path, kinds=_SPIKE_WAVE, jitter=jitter)
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
    path = glide(rng, *(rng.log_uniform(0.8, 2.5) for _ in range(3)))
    discharge = evolve(rng, seizure, path, kinds=_SHARP).times(np.float32(amplitude))
    centre = seizure.place if focal else direction("FZ")
    spread(scene, rng, seizure, centre, discharge)
    for onset in rng.poisson_times(0.3, seizure.duration):  # polyspikes
        m = min(round(rng.uniform(0.2, 1.0) * SFREQ), n - round(onset * SFREQ))
        if m > 20:
            burst = rng.rhythm(m, rng.uniform(10, 22), 2) * np.hanning(m).astype(np.float32)
            scene.add(dipole_map(rng, centre), seizure.onset + onset, burst, 0.4 * amplitude)
    return ("sz_foc", centre) if focal else ("sz_gen_nm_atypical", None)


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
    spread(scene, rng, first, place, evolve(rng, first, path).times(np.float32(0.7 * amplitude)))
    level = rng.log_uniform(20, 200)
    swell = np.interp(np.arange(first.n), [0, 0.6 * SFREQ * tonic, SFREQ * tonic], [0.0, 1, 1]).astype(np.float32)
    _convulse(scene, rng, seizure.onset, swell * np.float32(level))
    last = seizure.after(tonic)
    path = (rng.uniform(4, 7), rng.uniform(0.8, 1.8))
    gate = _add_clonic(scene, rng, last, direction("FZ+CZ"), path, amplitude)
    _convulse(scene, rng, last.onset, gate * np.float32(level))
    return ("sz_foc_f2b", place) if focal else ("sz_gen_m_tonicClonic", None)


def _add_clonic(
    scene: Scene, rng: WaveGenerator, seizure: Seizure, place: FloatArray, path: tuple[float, ...], amplitude: float
) -> Float32Array:
    """Add spike-wave bursts, one per jerk, about `place`; return the envelope (n,) of the muscle that follows them."""
    n = seizure.n
    discharge = oscillate(rng, n, path, kinds=_SPIKE_WAVE, jitter=0.06)
    discharge = discharge.times(edges(n, 0.2, 0.3) * np.float32(amplitude))
    scene.add_all(seizure.onset, *recruit(rng, discharge, place, rng.log_uniform(0.4, 6.0)))
    gate = np.exp(-((discharge.phase - 0.2) % 1.0) / rng.uniform(0.15, 0.5)).astype(np.float32)
    return gate * edges(n, 0.2, 0.3)


def _convulse(scene: Scene, rng: WaveGenerator, onset: float, envelope: Float32Array) -> None:
    """Add muscle everywhere except at the vertex, under an envelope in µV."""
    for site in ("T3", "T4", "FP1", "FP2", "O1", "O2", "C3", "C4"):
        wave = rng.band_noise(len(envelope), rng.uniform(12, 30), 95) * envelope
        scene.add(local_map(direction(site), rng.uniform(0.3, 0.6)), onset, wave, rng.uniform(0.3, 1))


def _nonconvulsive(scene: Scene, brain: Brain, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> Made:
    """Add an electrographic seizure of intensive care: 1.5-4 Hz, waxing and waning (Hirsch et al. 2021)."""
    focal = looks.random() < 0.6
    place = seizure.place if focal else direction("FZ")
    path = glide(rng, *(rng.log_uniform(1.5, 4) for _ in range(int(rng.integers(2, 6)))))
    discharge = evolve(rng, seizure, path).times(np.float32(2 * brain.base))
    spread(scene, rng, seizure, place, discharge)
    return ("sz_foc", place) if focal else ("sz_gen_nm", None)


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
    """Add a clonic seizure: a spike-wave burst per jerk, at 1-4 Hz and slowing, focal or generalised, with muscle."""
    focal = looks.random() < 0.6
    place = seizure.place if focal else direction("FZ+CZ")
    start = looks.uniform(1.5, 4)
    amplitude = _large(looks, brain, 1, 6)
    gate = _add_clonic(scene, rng, seizure, place, (start, start * looks.uniform(0.4, 0.9)), amplitude)
    if looks.random() < 0.8:
        muscle_burst(scene, rng, seizure.onset, gate, level=looks.log_uniform(5, 150))
    if not focal:
        return "sz_gen_m_clonic", None
    return ("sz_foc_ua_m" if looks.random() < 0.3 else "sz_foc"), place


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
    "compact_focal": Kind(5.0, 180.0, 0.0, 99.0, add_compact),
    "compact_temporal": Kind(10.0, 180.0, 8.0, 99.0, add_compact),
    "compact_nonconvulsive": Kind(10.0, 180.0, 12.0, 99.0, add_compact),
    "tonic_clonic": Kind(25.0, 150.0, 1.0, 99.0, _tonic_clonic),
    "nonconvulsive": Kind(10.0, 180.0, 12.0, 99.0, _nonconvulsive),
    "slow_spike_wave": Kind(4.0, 60.0, 2.0, 30.0, _absence),
    "polymorphic": Kind(3.0, 60.0, 1.0, 30.0, _polymorphic),
    "spasms": Kind(1.0, 2.5, 0.2, 2.0, _spasm),
    "tonic": Kind(3.0, 25.0, 1.0, 40.0, _tonic),
    "clonic": Kind(6.0, 90.0, 0.0, 99.0, _clonic),
}
