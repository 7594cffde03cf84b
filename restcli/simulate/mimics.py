"""Patterns that resemble seizures but are not: periodic, rhythmic and physiological ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from restcli.simulate.artefacts import muscle_burst
from restcli.simulate.background import Brain
from restcli.simulate.head import dipole_map, direction, mirrored, patch_maps, random_direction
from restcli.simulate.profiles import Profile
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, WaveGenerator, edges, play

Maker = Callable[[Scene, Brain, WaveGenerator], None]


def add_mimics(scene: Scene, brain: Brain, profile: Profile, *, focus: FloatArray | None = None) -> None:
    """Add patterns that fit age and state; where a seizure has a focus, half as many, and interictal spikes at it."""
    rng, state = scene.rng("mimics"), brain.state
    rates = profile.mimics_of_sick if state == "encephalopathic" else profile.mimics
    hours = scene.seconds / 3600 * (1.0 if focus is None else 0.5)
    for name, (add, fits) in _MIMICS.items():
        if fits(brain.age, state):
            for _ in range(rng.poisson(rates[name] * hours)):
                add(scene, brain, rng)
    if focus is not None and rng.random() < 0.5:
        _add_spikes(scene, brain, rng, focus)


def _span(scene: Scene, rng: WaveGenerator, shortest: float, longest: float) -> tuple[float, int]:
    """Draw onset (s) and length (samples) of a pattern that may begin before or end after the scene."""
    duration = rng.log_uniform(shortest, longest)
    onset = rng.uniform(-0.3 * duration, max(scene.seconds - 0.3 * duration, 1.0))
    return onset, max(20, round(duration * SFREQ))


def _moments(scene: Scene, rng: WaveGenerator, low: float, high: float) -> list[float]:
    """Draw the onsets (s) of events of a spell of one to five minutes, `low` to `high` of them a minute."""
    start, n = _span(scene, rng, 60, 300)
    return [start + time for time in rng.poisson_times(rng.uniform(low, high) / 60, n / SFREQ)]


def _mark(scene: Scene, kind: str, onset: float, n: int, **drawn: object) -> None:
    scene.mark("mimic", onset, n / SFREQ)
    scene.note("mimic", kind=kind, onset=onset, duration=n / SFREQ, **drawn)


def _add_periodic(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add lateralised or generalised periodic discharges: .3-2.2 Hz, 1.5-6 x base."""
    # Hirsch et al., ACNS Standardized Critical Care EEG Terminology: 2021 Version, J Clin Neurophysiol 2021.
    onset, n = _span(scene, rng, 8, 200)
    frequency = rng.uniform(0.3, 2.2)
    regular = rng.uniform(0.02, 0.2)
    gaps = np.maximum(0.15, rng.normal(1, regular, int(n / SFREQ * frequency) + 2)) / frequency
    length = min(0.9 / frequency, rng.uniform(0.12, 0.6))
    wave = rng.sharp_waves(np.cumsum(gaps) - gaps[0], n, length) * edges(n, 1, 1)
    amplitude = brain.base * rng.log_uniform(1.5, 6)
    size = {"amplitude": amplitude}
    generalised = rng.random() < 0.5
    if rng.random() < 0.6:
        size = {"rise": _add_wide(scene, rng, onset, wave, direction("FZ+CZ") if generalised else None)}
    elif generalised:
        place = direction("FZ" if rng.random() < 0.6 else "CZ")
        scene.add(dipole_map(rng, place, spread=0.2, depth=(0.4, 0.6)), onset, wave, amplitude)
    else:
        place = random_direction(rng, -0.05)
        scene.add(dipole_map(rng, place), onset, wave, amplitude)
        if rng.random() < 0.5:
            late = np.roll(wave, round(rng.uniform(0, 0.04) * SFREQ))
            scene.add(dipole_map(rng, place, spread=0.4), onset, late, amplitude * rng.uniform(0.2, 0.6))
    _mark(scene, "GPD" if generalised else "LPD", onset, n, frequency=frequency, **size)


def _add_wide(scene: Scene, rng: WaveGenerator, onset: float, wave: Float32Array, centre: FloatArray | None) -> float:
    """Add a pattern, lateralised if it has no centre; return by how much it rises, neper."""
    # As wide as a seizure, so that neither extent nor size alone distinguishes them.
    rise = rng.uniform(0.1, 1.3)
    fall = rng.log_uniform(0.3, 1.2) if centre is None else rng.log_uniform(0.8, 8.0)
    maps, distance, _ = patch_maps(rng, random_direction(rng, -0.05) if centre is None else centre, fall)
    lags = np.round(distance * rng.uniform(0, 0.03) * SFREQ).astype(int)
    span = scene.span(onset, len(wave) / SFREQ)
    usual = scene.usual(span)
    with scene.layer():
        scene.add_all(onset, maps, np.stack([np.roll(wave, lag) for lag in lags]))
        scene.data *= scene.layer_gain(span, usual, rise)
    return rise


def _add_rhythmic_delta(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add lateralised or generalised rhythmic delta: .8-3.2 Hz of constant frequency, .8-3 x base."""
    onset, n = _span(scene, rng, 5, 90)
    frequency = rng.uniform(0.8, 3.2)
    shape = {"sine": 0.5, "sharp": 0.4, "triangle": 0.1}
    wave = rng.train(n, (frequency,), shape=shape, jitter=rng.uniform(0.01, 0.08), uneven=0.15)
    wave = wave * rng.slow_curve(n, 0.25, 4) * edges(n, 0.8, 0.8)
    amplitude = brain.base * rng.log_uniform(0.8, 3)
    size = {"amplitude": amplitude}
    generalised = rng.random() < 0.5
    place = direction("FZ") if generalised else random_direction(rng, -0.05)
    if rng.random() < 0.6:
        size = {"rise": _add_wide(scene, rng, onset, wave, place if generalised else None)}
    else:
        scene.add(dipole_map(rng, place, spread=0.2, depth=(0.4, 0.7)), onset, wave, amplitude)
        if not generalised:
            scene.add(dipole_map(rng, place, spread=0.35), onset, wave, amplitude * rng.uniform(0.1, 0.5))
    _mark(scene, "GRDA" if generalised else "LRDA", onset, n, frequency=frequency, **size)


def _add_spikes(scene: Scene, brain: Brain, rng: WaveGenerator, place: FloatArray | None = None) -> None:
    """Add isolated interictal spikes of a focus, in a quarter of its mirror too: 1-40 a minute, 1.5-8 x base."""
    place = random_direction(rng, -0.1) if place is None else place
    onset, n = _span(scene, rng, 60, 600)
    rate = rng.log_uniform(1, 40) / 60
    amplitude = brain.base * rng.log_uniform(1.5, 8)
    for spot in (place, mirrored(place))[: 2 if rng.random() < 0.25 else 1]:
        wave = rng.sharp_waves(rng.poisson_times(rate, n / SFREQ), n, rng.uniform(0.15, 0.5))
        scene.add(dipole_map(rng, spot), onset, wave, amplitude)
    _mark(scene, "spikes", onset, n, rate=rate * 60, amplitude=amplitude)


def _add_hyperventilation(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add the build-up of hyperventilation: 2.3-6 Hz, 1-4 x base, frontal or posterior, for 20-200 s."""
    # In children nearly monomorphic; 200-500 µV are normal (Niedermeyer, ch. on activation).
    onset, n = _span(scene, rng, 20, 200)
    child = brain.age < 18
    amplitude = brain.base * (rng.log_uniform(2, 9) if child else rng.log_uniform(1, 4))
    frequency = rng.uniform(2.3, 4) if child else rng.uniform(2.3, 6)
    build = np.interp(np.arange(n), [0, 0.6 * n, 0.9 * n, n], [0.1, 1, 1, 0.1]).astype(np.float32)
    shape = {"sine": 2.0, "sharp": 1.0}
    shared = rng.train(n, (frequency,), shape=shape, jitter=rng.uniform(0.03, 0.12), uneven=0.35)
    regular = rng.uniform(0.3, 0.9)
    for spot in ("FZ", "F3", "F4") if rng.random() < 0.7 else ("O1", "O2", "PZ"):
        own = rng.rhythm(n, frequency * np.exp(rng.normal(0, 0.05)), rng.uniform(0.2, 0.6))
        wave = (1 - regular) * (own * rng.slow_curve(n, 0.4, 3)) + regular * shared
        field_map = dipole_map(rng, direction(spot), spread=0.2, depth=(0.4, 0.7))
        scene.add(field_map, onset, wave * build, amplitude * rng.uniform(0.4, 1))
    _mark(scene, "hyperventilation", onset, n, frequency=frequency, amplitude=amplitude)


def _add_photic(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add photic driving: trains of 5-10 s at 1-30 Hz with harmonics over the occiput, .3-2.5 x base."""
    onset = rng.uniform(0, scene.seconds * 0.7)
    amplitude = brain.base * rng.log_uniform(0.3, 2.5)
    first = onset
    flashes = [1, 3, 5, 7, 9, 11, 13, 15, 18, 20, 25, 30]
    for frequency in rng.choice(flashes, size=int(rng.integers(1, 8)), replace=False):
        n = round(rng.uniform(5, 10) * SFREQ)
        wave = rng.train(n, (float(frequency),), jitter=0.001) * edges(n, 0.3, 0.2)
        size = amplitude * rng.uniform(0.3, 1)
        for spot in ("O1", "O2"):
            scene.add(dipole_map(rng, direction(spot), spread=0.1), onset, wave, size)
        onset += n / SFREQ + rng.uniform(1, 6)
    _mark(scene, "photic", first, round((onset - first) * SFREQ), amplitude=amplitude)


def _add_bursts(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add bursts of a rhythm that does not evolve: 2-12 Hz, .7-6 s, 1-4 x base."""
    field_map = dipole_map(rng, random_direction(rng, -0.1))
    frequency = rng.uniform(2, 12)
    for onset in _moments(scene, rng, 1, 5):
        n = rng.samples(0.7, 6)
        wave = rng.train(n, (frequency,), shape={"sine": 1.0, "sharp": 1.0}, jitter=0.06)
        amplitude = brain.base * rng.log_uniform(1, 4)
        scene.add(field_map, onset, wave * np.hanning(n).astype(np.float32), amplitude)
        _mark(scene, "burst", onset, n, frequency=frequency, amplitude=amplitude)


def _add_brief_spike_wave(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add generalised spike-wave of less than 2 s, 2-8 x base: interictal by common use."""
    for onset in _moments(scene, rng, 0.5, 5):
        n = round(rng.uniform(0.3, 1.9) * SFREQ)
        wave = rng.train(n, (rng.uniform(2.5, 5),), shape="spike_wave", jitter=0.05) * edges(n, 0.1, 0.2)
        amplitude = brain.base * rng.log_uniform(2, 8)
        field_map = dipole_map(rng, direction("FZ"), spread=0.25, depth=(0.35, 0.6))
        scene.add(field_map, onset, wave, amplitude)
        _mark(scene, "brief_spike_wave", onset, n, amplitude=amplitude)


@dataclass(frozen=True)
class _Trains:
    """Trains of one waveform at varying sites, without evolution; ranges are pairs of limits."""

    kind: str
    sites: tuple[str, ...]
    hertz: tuple[float, float]
    length: tuple[float, float]  # s
    size: tuple[float, float]  # x base
    rate: tuple[float, float]  # a minute

    def add(self, scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
        """Add trains of one drawn frequency, shape and size."""
        frequency = rng.uniform(*self.hertz)
        table = rng.cycle_table(rng.pick({"sharp": 3, "triangle": 1, "sine": 1}))
        amplitude = brain.base * rng.log_uniform(*self.size)
        for onset in _moments(scene, rng, *self.rate):
            n = max(20, rng.samples(*self.length))
            phase = rng.gliding_phase(n, (frequency * np.exp(rng.normal(0, 0.04)),), jitter=0.04)
            wave = play(table, phase) * rng.per_cycle(phase, 0.2) * np.hanning(n).astype(np.float32) ** 0.5
            place, size = direction(rng.choose(self.sites)), amplitude * np.exp(rng.normal(0, 0.25))
            scene.add(dipole_map(rng, place, spread=0.12), onset, wave, size)
            scene.mark("mimic", onset, n / SFREQ)
        scene.note("mimic", kind=self.kind, frequency=frequency, amplitude=amplitude)


_FOURTEEN = _Trains("14_and_6", ("T5", "T6"), hertz=(13, 17), length=(0.5, 1), size=(0.7, 2.5), rate=(1, 8))


def _add_fourteen_six(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add 14- and 6-Hz positive bursts."""
    kind = _FOURTEEN if rng.random() < 0.6 else replace(_FOURTEEN, hertz=(5, 7))
    kind.add(scene, brain, rng)


def _add_temporal_theta(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add Gibbs' psychomotor variant: notched theta of drowsiness over one temple or both."""
    sites = ("F7+T3", "F8+T4")[: int(rng.integers(1, 3))]
    trains = _Trains("temporal_theta", sites, hertz=(4.5, 7), length=(1, 12), size=(0.8, 4), rate=(1, 6))
    trains.add(scene, brain, rng)


def _add_lambda(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add lambda waves: single occipital sharp waves while the eyes scan a scene, 10-60 a minute, .7-3 x base."""
    onset, n = _span(scene, rng, 20, 200)
    wave = rng.sharp_waves(rng.poisson_times(rng.uniform(10, 60) / 60, n / SFREQ), n, rng.uniform(0.15, 0.3))
    amplitude = brain.base * rng.log_uniform(0.7, 3)
    scene.add(dipole_map(rng, direction("O1+O2"), spread=0.1), onset, wave, amplitude)
    scene.note("mimic", kind="lambda", amplitude=amplitude)


def _add_arousal(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add arousals: a large vertex complex, then 3-15 s of rhythm (3-5 Hz in children, alpha in adults) and muscle."""
    for onset in _moments(scene, rng, 0.4, 2.5):
        field_map = dipole_map(rng, direction("FZ+CZ"), spread=0.2, depth=(0.4, 0.6))
        scene.add(field_map, onset, rng.k_complex(brain.base * rng.uniform(2, 6)))
        n = rng.samples(3, 15)
        frequency = rng.uniform(3, 5.5) if brain.age < 12 else rng.uniform(7, 12)
        wave = rng.train(n, (frequency,), jitter=0.06, uneven=0.25) * edges(n, 0.5, n / 500)
        size = rng.log_uniform(1, 5) if brain.age < 12 else rng.log_uniform(0.5, 2)
        scene.add(field_map, onset + 0.6, wave, brain.base * size)
        if rng.random() < 0.7:
            muscle_burst(scene, rng, onset + 0.5, edges(n, 0.3, 1.0), level=rng.log_uniform(4, 60))
        _mark(scene, "arousal", onset, n, frequency=frequency)


def _add_waxing_delta(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add rhythmic delta of encephalopathy that waxes and wanes at one frequency below 2.5 Hz, without evolution."""
    for _ in range(int(rng.integers(1, 3))):
        onset, n = _span(scene, rng, 15, 300)
        path, jitter = (rng.uniform(0.6, 2.4),), rng.uniform(0.02, 0.1)
        wave = rng.train(n, path, shape={"sharp": 2.0, "triangle": 1.0}, jitter=jitter, uneven=0.2)
        wave = wave * rng.slow_curve(n, 0.4, 4) * edges(n, 2, 2)
        place = random_direction(rng, -0.1)
        amplitude = brain.base * rng.log_uniform(0.7, 4)
        for _ in range(int(rng.integers(1, 4))):
            strength = amplitude * rng.uniform(0.3, 1)
            scene.add(dipole_map(rng, place, spread=0.35, depth=(0.4, 0.75)), onset, wave, strength)
        _mark(scene, "waxing_delta", onset, n, amplitude=amplitude)


# Reiher and Lebel 1977: arched trains over a temple.
_WICKET = _Trains("wicket", ("T3", "T4", "F7+T3", "F8+T4"), hertz=(6, 11), length=(0.3, 2), size=(1, 5), rate=(1, 10))
# Positive occipital sharp transients of sleep.
_POSTS = _Trains("POSTS", ("O1+O2", "O1+O2", "O1", "O2"), hertz=(3, 6), length=(0.3, 4), size=(0.8, 4), rate=(2, 15))
# Hypnagogic hypersynchrony of childhood, 100-350 µV.
_SYNCHRONY = _Trains(
    "hypersynchrony", ("FZ+CZ", "CZ", "FZ", "PZ"), hertz=(3, 5), length=(1, 10), size=(2, 7), rate=(1, 6)
)
# Ciganek 1961.
_MIDLINE_THETA = _Trains("midline_theta", ("CZ", "FZ+CZ"), hertz=(4, 7), length=(3, 20), size=(0.7, 3), rate=(0.5, 3))

_SLEEPY = ("drowsy", "n2")
_Fits = Callable[[float, str], bool]
_EVER: _Fits = lambda age, state: True  # noqa: ARG005, E731
_ALERT: _Fits = lambda age, state: age > 1 and state in ("awake", "drowsy")  # noqa: E731
# Who shows it in which state (Niedermeyer, ch. on benign variants).
_MIMICS: dict[str, tuple[Maker, _Fits]] = {
    "periodic": (_add_periodic, _EVER),
    "rhythmic_delta": (_add_rhythmic_delta, _EVER),
    "spikes": (_add_spikes, _EVER),
    "hyperventilation": (_add_hyperventilation, _ALERT),
    "photic": (_add_photic, _ALERT),
    "bursts": (_add_bursts, _EVER),
    "brief_spike_wave": (_add_brief_spike_wave, _EVER),
    "temporal_theta": (_add_temporal_theta, lambda age, state: state in _SLEEPY and age > 10),
    "wicket": (_WICKET.add, lambda age, state: state in _SLEEPY and age > 25),
    "fourteen_six": (_add_fourteen_six, lambda age, state: state in _SLEEPY and 4 < age < 35),
    "occipital_sharp": (_POSTS.add, lambda age, state: state == "n2" and 4 < age < 60),
    "hypersynchrony": (_SYNCHRONY.add, lambda age, state: state in _SLEEPY and age < 14),
    "arousal": (_add_arousal, lambda _, state: state in (*_SLEEPY, "n3")),
    "midline_theta": (_MIDLINE_THETA.add, lambda age, state: state in ("awake", "drowsy") and age > 4),
    "waxing_delta": (_add_waxing_delta, lambda _, state: state == "encephalopathic"),
    "lambda_waves": (_add_lambda, lambda age, state: state == "awake" and age > 1),
}
