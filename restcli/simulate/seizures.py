"""Seizures of each type: rhythm, evolution, spread, muscle, aftermath; knows nothing of files or recording chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from restcli.events import Event
from restcli.simulate.waves import (
    ELECTRODES_21,
    SFREQ,
    Brain,
    Float32Array,
    Scene,
    band_noise,
    cycle_table,
    dipole_map,
    direction,
    edges,
    k_complex,
    local_map,
    log_uniform,
    mirrored,
    movement_wave,
    muscle_burst,
    patch_maps,
    per_cycle,
    phase_track,
    pick,
    poisson_times,
    random_direction,
    rhythm,
    slow_curve,
    stand_out,
)

# The first simulator: how often each kind is drawn; a detector meets focal seizures most, and must know every kind.
KINDS = {
    "focal": 0.28,
    "temporal": 0.16,
    "absence": 0.14,
    "tonic_clonic": 0.10,
    "decrement": 0.10,
    "nonconvulsive": 0.12,
    "fast": 0.05,
    "slow_spike_wave": 0.05,
}
# With the component `discharges`: share, shortest and longest (s), youngest and oldest typical age (years; others are
# drawn at a fifth of the share). Durations: Jenssen et al., Epilepsia 2006 (focal 10-180 s, tonic-clonic about 60 s);
# Sadleir et al., Neurology 2006 (absences 3-30 s); Fisher et al., Epilepsia 2017 for the kinds.
REPERTOIRE = {
    "focal": (0.24, 5.0, 180.0, 0.0, 99.0),
    "temporal": (0.17, 10.0, 180.0, 8.0, 99.0),
    "absence": (0.12, 3.0, 30.0, 3.0, 25.0),
    "tonic_clonic": (0.08, 25.0, 150.0, 1.0, 99.0),
    "decrement": (0.06, 3.0, 60.0, 0.0, 99.0),
    "nonconvulsive": (0.12, 10.0, 180.0, 12.0, 99.0),
    "fast": (0.04, 3.0, 60.0, 3.0, 99.0),
    "slow_spike_wave": (0.05, 4.0, 60.0, 2.0, 30.0),
    "polymorphic": (0.06, 3.0, 60.0, 1.0, 30.0),
    "spasms": (0.04, 1.0, 2.5, 0.2, 2.0),
    "tonic": (0.03, 3.0, 25.0, 1.0, 40.0),
    "clonic": (0.04, 6.0, 90.0, 0.0, 99.0),
}
_PLACES = {
    "temporal": ("F7+T3", "F8+T4", "T3+T5", "T4+T6"),
    "generalised": ("FZ", "FZ+CZ", "FZ+CZ", "CZ"),
}
CONVULSIVE = frozenset({"tonic_clonic"})
_OWN_MUSCLE = frozenset({"tonic_clonic", "tonic", "clonic", "spasms"})
_WAVEFORMS = {"sine": 0.25, "sharp": 0.45, "spike_wave": 0.2, "triangle": 0.1}


@dataclass(frozen=True)
class Plan:
    """One seizure to be made.

    Parameters
    ----------
    kind : str
        One of `KINDS` or of `REPERTOIRE`.
    onset, duration : float
        Seconds in the scene.
    seed : int
        Identity of the seizure's looks; two seizures of one person share it and look alike.
    """

    kind: str
    onset: float
    duration: float
    seed: int

    @property
    def place(self) -> NDArray[np.float64]:
        """Focus on the unit sphere, shape (3,); it follows from the looks."""
        looks = np.random.Generator(np.random.PCG64([self.seed, 1]))
        if self.kind == "temporal":
            return direction(_PLACES["temporal"][int(looks.integers(0, 4))])
        return random_direction(looks, -0.15)


def draw_kind(rng: np.random.Generator, age: float, components: frozenset[str]) -> str:
    """Draw what kind of seizure a person has."""
    if "discharges" not in components:
        return pick(rng, KINDS)
    weights = {
        kind: share * (1.0 if not (age < youngest or age > oldest) else 0.2)
        for kind, (share, _, _, youngest, oldest) in REPERTOIRE.items()
        if kind != "spasms" or not age > 3
    }
    if age < 2:
        weights["spasms"] *= 5  # the commonest epilepsy of the first year
    return pick(rng, weights)


def draw_duration(rng: np.random.Generator, kind: str, components: frozenset[str]) -> float:
    """Draw how long a seizure of a kind lasts, s."""
    if "discharges" in components:
        return log_uniform(rng, *REPERTOIRE[kind][1:3])
    return log_uniform(rng, 3.5, 30) if kind == "absence" else log_uniform(rng, 8, 90)


def plan_seizures(
    rng: np.random.Generator, seconds: float, kind: str, components: frozenset[str], *, looks: int | None = None
) -> list[Plan]:
    """Place the seizures of a stretch: mostly one; absences come in threes, spasms in clusters.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    seconds : float
        Length of the stretch.
    kind : str
        From `draw_kind`.
    components : frozenset of str
        Optional components that are switched on.
    looks : int, optional
        Seed of the seizures' looks; drawn when not given.
    """
    rich = "discharges" in components
    count = 3 if kind == "absence" and rng.random() < 0.5 else 1
    looks = int(rng.integers(2**31)) if looks is None else looks
    if rich and kind == "spasms":
        return _plan_cluster(rng, seconds, looks)
    if rich and kind not in ("absence", "tonic_clonic") and rng.random() < 0.2:
        count = 2
    plans: list[Plan] = []
    for _ in range(count):
        duration = min(draw_duration(rng, kind, components), 0.8 * seconds)
        for _attempt in range(20):
            # One seizure in eight runs into the end of the recording, as cut recordings have it.
            onset = rng.uniform(0, seconds - (duration if rng.random() < 0.875 else min(duration, 5.0)))
            length = min(duration, seconds - onset)
            if all(onset + length + 4 < other.onset or other.onset + other.duration + 4 < onset for other in plans):
                plans.append(Plan(kind, onset, length, looks))
                break
    return sorted(plans, key=lambda plan: plan.onset)


def _plan_cluster(rng: np.random.Generator, seconds: float, looks: int) -> list[Plan]:
    """Place a cluster of spasms 4-30 s apart."""
    plans, time = [], rng.uniform(0, 0.5 * seconds)
    for _ in range(int(rng.integers(2, 16))):
        duration = log_uniform(rng, *REPERTOIRE["spasms"][1:3])
        if time + duration >= seconds:
            break
        plans.append(Plan("spasms", time, duration, looks))
        time += duration + log_uniform(rng, 4, 30)
    return plans


def add_seizure(scene: Scene, brain: Brain, plan: Plan) -> Event:
    """Add one seizure to a scene and return its label.

    Returns
    -------
    Event
        SzCORE event type, and the electrodes at which it begins (``all`` when it begins everywhere).
    """
    # The looks come from the plan's seed alone, the course from scene and onset.
    rng = scene.rng(f"seizure-{plan.seed}-{plan.onset:.3f}")
    looks = np.random.Generator(np.random.PCG64(plan.seed))
    wanted = None
    if "discharges" in scene.components:
        with scene.layer():
            label, field_map = _MAKERS[plan.kind](scene, brain, plan, (looks, rng))
            wanted = _draw_stand_out(looks)
            if wanted is not None:
                scene.data *= max(np.float32(1.0), stand_out(scene, plan.onset, plan.duration, wanted))
    else:
        label, field_map = _MAKERS[plan.kind](scene, brain, plan, (looks, rng))
    if "discharges" in scene.components:
        _add_ictal_body(scene, plan, (looks, rng))
    elif "ictal_muscle" in scene.components:
        _add_ictal_muscle(scene, plan, rng)
    _add_aftermath(scene, brain, plan, rng)
    scene.mark("seizure", plan.onset, plan.onset + plan.duration)
    scene.note("seizure", kind=plan.kind, onset=plan.onset, duration=plan.duration, label=label, stand_out=wanted)
    return Event(plan.onset, plan.duration, label, channels=onset_electrodes(field_map))


def _draw_stand_out(looks: np.random.Generator) -> float | None:
    """Draw the multiple (1-7) of what it lies on that a discharge is raised to; in 25 % None, left as drawn.

    A larger one is not lowered, and the limit of `stand_out` may keep it below.

    Measured on the real seizures that may be looked at: in the median derivation they are 1.2 to 9 times the
    background, where simulated ones of drawn source strengths mostly stayed below it. A rhythm that no reader could
    see is not what an expert marks; the quarter left as drawn keeps low-voltage seizures in.
    """
    wanted = log_uniform(looks, 1.0, 7.0)
    return None if looks.random() < 0.25 else wanted


def onset_electrodes(field_map: Float32Array | None) -> tuple[str, ...]:
    """Name the electrodes that see at least half of a field's peak, strongest first; ``all`` when most do."""
    if field_map is None:
        return ("all",)
    strength = np.abs(field_map[:19])
    order = [int(i) for i in np.argsort(-strength, kind="stable") if strength[i] >= 0.5 * strength.max()]
    return ("all",) if len(order) > 12 else tuple(ELECTRODES_21[i] for i in order)


Chances = tuple[np.random.Generator, np.random.Generator]
Made = tuple[str, Float32Array | None]


def _size(scene: Scene, looks: np.random.Generator, low: float = 1.2, high: float = 6.0) -> float:
    """Draw the peak amplitude in units of the background.

    With `discharges` a fifth is low (.9-1.8 x: temporal rhythms of 20-40 µV are seen only by their regularity), the
    others reach twice what the first simulator had: neither loudness nor its lack is the mark of a seizure.
    """
    if "discharges" not in scene.components:
        return log_uniform(looks, low, high)
    return log_uniform(looks, 0.9, 1.8) if looks.random() < 0.2 else log_uniform(looks, 1.2 * low, 2.5 * high)


def _large(scene: Scene, looks: np.random.Generator, brain: Brain, low: float, high: float) -> float:
    """Draw the amplitude (µV) of a generalised discharge; with `discharges` up to four times, 900 µV at most."""
    if "discharges" not in scene.components:
        return brain.base * log_uniform(looks, low, high)
    return min(brain.base * log_uniform(looks, 1.5 * low, 4 * high), 900.0)


@dataclass(frozen=True)
class _Oscillation:
    """Phase, shapes and cycle-to-cycle sizes of one discharge, from which each source takes its own reading."""

    phase: NDArray[np.float64]
    tables: Float32Array
    choice: NDArray[np.intp]
    size: Float32Array

    def read(self, skip: int, lag: float) -> Float32Array:
        """Return the wave from sample `skip` on, `lag` cycles apart from the first source."""
        at = (((self.phase[skip:] + lag) % 1.0) * self.tables.shape[1]).astype(np.intp)
        return cast("Float32Array", self.tables[self.choice[skip:], at] * self.size[skip:])


def _oscillate(
    scene: Scene, rng: np.random.Generator, n: int, path: tuple[float, ...], *, kinds: dict[str, float], jitter: float
) -> _Oscillation:
    """Draw an oscillation along a frequency path; real ones are irregular and change their shape on the way.

    With `discharges` cycles take one of two or three shapes, the first fading into the last.
    """
    phase = phase_track(rng, n, path, jitter=jitter, knot=max(0.25, 0.5 / max(path)))
    count = int(rng.integers(1, 4)) if "discharges" in scene.components else 1
    tables = np.stack([cycle_table(rng, pick(rng, kinds)) for _ in range(count)])
    # Alike in power to a sine of amplitude 1: spikes stand out of the waves that go with them instead of dwarfing them.
    tables /= np.sqrt(2 * np.mean(tables**2, axis=1, keepdims=True))
    cycle = np.floor(phase - phase[0]).astype(np.intp)
    total = int(cycle[-1]) + 1
    drift = np.linspace(0, count - 1e-3, total) + rng.normal(0, 0.4, total)
    choice = np.clip(drift.astype(np.intp), 0, count - 1)[cycle]
    return _Oscillation(phase, tables, choice, per_cycle(rng, phase, rng.uniform(0.05, 0.3 if count == 1 else 0.45)))


def _spread(
    scene: Scene,
    plan: Plan,
    rng: np.random.Generator,
    place: NDArray[np.float64],
    *,
    amplitude: float,
    path: tuple[float, ...],
) -> Float32Array:
    """Add a discharge that evolves in frequency, amplitude and space, and return the field of its first source.

    3-8 sources lie at growing distance from the focus and join one after the other (up to .2-.9 of the duration
    late) with phase lags of about a tenth of a cycle; in 40 % the mirror region joins too. Speeds and lags of spread
    vary that much between patients (Niedermeyer; Schomer and Lopes da Silva, 7th ed., Oxford University Press 2018).
    """
    rich = "discharges" in scene.components
    n = round(plan.duration * 200)
    jitter = log_uniform(rng, 0.02, 0.25) if rich else rng.uniform(0.02, 0.10)
    wave = _oscillate(scene, rng, n, path, kinds=_WAVEFORMS, jitter=jitter)
    peak = rng.uniform(0.2, 0.9)
    course: Any = np.interp(
        np.linspace(0, 1, n), [0, peak, 1], [rng.uniform(0.2 if rich else 0.1, 0.8), 1, rng.uniform(0.3, 1)]
    )
    course = course.astype(np.float32) * slow_curve(rng, n, 0.2, 2) * edges(n, 0.6, rng.uniform(0.2, 2))
    if rich and rng.random() < 0.2:
        course = course * slow_curve(rng, n, 0.6, rng.uniform(1, 4))  # comes and goes, as in the ICU
    course = course * np.float32(amplitude)
    count = int(rng.integers(3, 9))
    latest = rng.uniform(0.2, 0.9) * plan.duration
    across = rng.random() < 0.4
    wide = rich and rng.random() < 0.5  # the field of a seizure that has taken a hemisphere or more
    untidy = rng.uniform(0.0, 0.7) if rich and rng.random() < 0.6 else 0.0
    maps = []
    for index in range(count):
        spot = place + rng.normal(0, 0.12 + 0.12 * index, 3)
        if across and index >= count // 2:
            spot = mirrored(spot)
        depth = (0.3, 0.6) if wide and index > 0 else (0.5, 0.8)
        maps.append(dipole_map(rng, spot / np.linalg.norm(spot), spread=0.05, depth=depth))
        delay = 0.0 if index == 0 else latest * (index / count) * rng.uniform(0.5, 1)
        skip = min(round(delay * 200), n - 1)
        part = wave.read(skip, rng.normal(0, 0.1)) * course[skip:]
        if untidy > 0:
            own = rhythm(rng, n - skip, float(np.mean(path)), 0.4 * float(np.mean(path)))
            part = part + np.float32(0.5 * untidy) * own * course[skip:]
        part = part * edges(n - skip, min(2.0, 0.3 + delay / 4), 0.1)
        scene.add(maps[-1], plan.onset + skip / 200, part * np.float32(1.0 if index == 0 else rng.uniform(0.2, 0.9)))
    if rich and rng.random() < 0.75:
        share = np.float32(log_uniform(rng, 0.4, 1.5))
        fall = log_uniform(rng, 0.3, 4.0)
        _recruit(scene, plan, rng, wave, course=share * course, centre=place, fall=fall, latest=latest)
    return maps[0]


def _recruit(
    scene: Scene,
    plan: Plan,
    rng: np.random.Generator,
    wave: _Oscillation,
    *,
    course: Float32Array,
    centre: NDArray[np.float64],
    fall: float,
    latest: float,
) -> None:
    """Let the cortex under every electrode join a discharge, the less and the later the farther from the centre.

    Parameters
    ----------
    course : ndarray, shape (n,)
        Amplitude at the electrode that sees most, µV.
    centre : ndarray, shape (3,)
        Where the discharge is strongest.
    fall : float
        As in `patch_maps`.
    latest : float
        Seconds until the farthest cortex joins.

    Notes
    -----
    A scalp rhythm needs some 10 cm2 of synchronous cortex to be seen at all, so a seizure that a reader can mark has
    already taken more than a point; a handful of dipoles would leave the far half of the head untouched.
    """
    n = len(course)
    maps, distance = patch_maps(rng, centre, fall)
    waves = np.zeros((19, n), dtype=np.float32)
    for index in range(19):
        skip = min(round(latest * distance[index] / 2 * rng.uniform(0, 1) * SFREQ), n - 1)
        part = wave.read(skip, rng.normal(0, 0.1)) * course[skip:]
        waves[index, skip:] = part * edges(n - skip, min(1.0, 0.1 + latest), 0.1)
    scene.add_all(maps, plan.onset, waves)


def _attenuate(
    scene: Scene, start: float, duration: float, depth: float, *, rise: float = 0.5, fall: float = 1.0
) -> None:
    """Let what is already there fade to the fraction `depth` for a while."""
    n = max(2, round(duration * 200))
    scene.scale(start, 1 - np.float32(1 - depth) * edges(n, rise, fall))


def _fast_start(scene: Scene, brain: Brain, plan: Plan, rng: np.random.Generator, field_map: Float32Array) -> None:
    """In a fifth of focal seizures begin with flattening and low-voltage fast activity of 12-30 Hz for 1-6 s."""
    if "discharges" not in scene.components or rng.random() > 0.2:
        return
    length = min(rng.uniform(1, 6), plan.duration)
    n = max(20, round(length * 200))
    wave = rhythm(rng, n, rng.uniform(12, 30), 2.0) * edges(n, 0.5, 0.5)
    scene.add(field_map, plan.onset, wave * np.float32(brain.base * log_uniform(rng, 0.3, 1.5)))


def _focal(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Focal seizure: 3-13 Hz falling to 1.3-5 Hz (15 % the other way), peak 1.2-6 x base."""
    looks, rng = chances
    path = (log_uniform(looks, 3, 13), log_uniform(looks, 1.3, 5))
    path = path if looks.random() < 0.85 else path[::-1]
    _attenuate(scene, plan.onset, plan.duration, rng.uniform(0.4, 1.0))
    field_map = _spread(scene, plan, rng, plan.place, amplitude=brain.base * _size(scene, looks), path=path)
    _fast_start(scene, brain, plan, rng, field_map)
    return ("sz_foc_ia" if looks.random() < 0.4 else "sz_foc"), field_map


def _temporal(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Temporal-lobe seizure: rhythmic theta of 4.5-8 Hz falling to 2.5-6 Hz over one temple (15 % rising).

    References
    ----------
    Risinger et al., *Ictal localization of temporal lobe seizures with scalp/sphenoidal recordings*, Neurology 1989.
    """
    looks, rng = chances
    path = (looks.uniform(4.5, 8), looks.uniform(2.5, 6))
    path = path if looks.random() < 0.85 else path[::-1]
    _attenuate(scene, plan.onset, plan.duration, rng.uniform(0.5, 1.0))
    field_map = _spread(scene, plan, rng, plan.place, amplitude=brain.base * _size(scene, looks), path=path)
    _fast_start(scene, brain, plan, rng, field_map)
    return "sz_foc_ia", field_map


def _spike_wave(
    scene: Scene, plan: Plan, rng: np.random.Generator, *, amplitude: float, path: tuple[float, ...], jitter: float
) -> None:
    """Add generalised spike-wave, largest in front, the parts of the head a few ms apart."""
    n = round(plan.duration * 200)
    wave = _oscillate(scene, rng, n, path, kinds={"spike_wave": 1.0}, jitter=jitter)
    envelope = edges(n, 0.3, rng.uniform(0.1, 0.6)) * np.float32(amplitude)
    if "discharges" in scene.components:
        # Larger in front as a rule, at times over the back; nowhere absent.
        centre = direction(pick(rng, {"FZ": 0.75, "CZ": 0.1, "PZ": 0.05, "O1+O2": 0.1}))
        fall = log_uniform(rng, 0.8, 8.0)
        _recruit(scene, plan, rng, wave, course=envelope, centre=centre, fall=fall, latest=0.0)
        return
    places = (("FZ", 1.0), ("F3", rng.uniform(0.2, 0.6)), ("F4", rng.uniform(0.2, 0.6)), ("PZ", rng.uniform(0, 0.4)))
    for place, strength in places:
        field_map = dipole_map(rng, direction(place), spread=0.15, depth=(0.35, 0.65))
        field_map = field_map * np.sign(field_map[np.argmax(np.abs(field_map[:19]))])
        scene.add(field_map, plan.onset, wave.read(0, rng.normal(0, 0.02)) * envelope * np.float32(strength))


def _absence(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Typical absence: generalised spike-wave of 2.9-4.5 Hz that slows by up to 1 Hz, 2.5-10 x base.

    References
    ----------
    Sadleir et al., *Electroclinical features of absence seizures in childhood absence epilepsy*, Neurology 2006.
    """
    looks, rng = chances
    rich = "discharges" in scene.components
    start = looks.uniform(2.7, 4.5) if rich else looks.uniform(2.9, 4.5)
    path = (start, start - looks.uniform(0.2, 1.0))
    _attenuate(scene, plan.onset, plan.duration, rng.uniform(0.5, 1.0), rise=0.3, fall=0.3)
    amplitude = _large(scene, looks, brain, 2.5, 10)
    _spike_wave(scene, plan, rng, amplitude=amplitude, path=path, jitter=log_uniform(rng, 0.02, 0.1) if rich else 0.03)
    return "sz_gen_nm_typical", None


def _slow_spike_wave(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Atypical absence: slow spike-wave of 1-2.5 Hz, irregular."""
    looks, rng = chances
    start = looks.uniform(1.3, 2.5)
    path = (start, start * looks.uniform(0.8, 1.1))
    _spike_wave(scene, plan, rng, amplitude=_large(scene, looks, brain, 1.5, 6), path=path, jitter=0.12)
    return "sz_gen_nm_atypical", None


def _polymorphic(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Irregular, many-shaped spike-wave of .8-2.5 Hz, 4-20 x base up to 900 µV, with polyspikes and broken runs."""
    looks, rng = chances
    focal = looks.random() < 0.4
    n = round(plan.duration * 200)
    amplitude = min(brain.base * log_uniform(looks, 4, 20), 900.0)
    path = tuple(log_uniform(rng, 0.8, 2.5) for _ in range(3))
    wave = _oscillate(
        scene, rng, n, path, kinds={"spike_wave": 3, "sharp": 1, "pulse": 1}, jitter=rng.uniform(0.15, 0.4)
    )
    envelope = edges(n, 0.4, 0.6) * slow_curve(rng, n, 0.4, 1.5) * np.float32(amplitude)
    centre = plan.place if focal else direction("FZ")
    first = None
    for index in range(int(rng.integers(3, 7))):
        spot = centre + rng.normal(0, 0.1 + 0.25 * index, 3)
        field_map = dipole_map(rng, spot / np.linalg.norm(spot), depth=(0.35, 0.7))
        first = field_map if first is None else first
        own = rhythm(rng, n, rng.uniform(1, 3), 0.8) * np.float32(rng.uniform(0.1, 0.5))
        part = (wave.read(0, rng.normal(0, 0.06)) + own) * envelope * np.float32(rng.uniform(0.25, 0.8))
        scene.add(field_map, plan.onset, part)
    for onset in poisson_times(rng, 0.3, plan.duration):  # polyspikes
        m = min(round(rng.uniform(0.2, 1.0) * 200), n - round(onset * 200))
        if m > 20 and first is not None:
            burst = rhythm(rng, m, rng.uniform(10, 22), 2) * np.hanning(m).astype(np.float32)
            scene.add(first, plan.onset + onset, burst * np.float32(0.4 * amplitude))
    return ("sz_foc", first) if focal else ("sz_gen_nm_atypical", None)


def _tonic_clonic(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Tonic-clonic seizure: 10-20 -> 6-10 Hz, then clonic bursts of 4-7 -> .8-1.8 Hz; muscle follows the clonic phase.

    References
    ----------
    Gastaut and Broughton, *Epileptic Seizures: Clinical and Electrographic Features*, Charles C Thomas 1972.
    """
    looks, rng = chances
    focal = looks.random() < 0.4
    place = plan.place if focal else direction("FZ+CZ")
    tonic = plan.duration * rng.uniform(0.25, 0.55)
    amplitude = _large(scene, looks, brain, 1.2, 6)
    _attenuate(scene, plan.onset, plan.duration, rng.uniform(0.2, 0.8), rise=1.0)
    path: tuple[float, ...] = (log_uniform(rng, 10, 20), log_uniform(rng, 6, 10))
    if focal and "discharges" in scene.components:
        path = (log_uniform(rng, 3, 9), log_uniform(rng, 3, 8), *path)  # focal to bilateral
    first = replace(plan, duration=tonic)
    field_map = _spread(scene, first, rng, place, amplitude=0.7 * amplitude, path=path)
    level = log_uniform(rng, 20, 200) if "discharges" in scene.components else log_uniform(rng, 10, 120)
    swell = np.interp(np.arange(round(tonic * 200)), [0, tonic * 120, tonic * 200], [0.0, 1, 1]).astype(np.float32)
    _convulsion(scene, rng, plan.onset, swell * np.float32(level))
    last = replace(plan, onset=plan.onset + tonic, duration=plan.duration - tonic)
    gate = _clonic_bursts(
        scene, rng, last, direction("FZ+CZ"), amplitude=amplitude, path=(rng.uniform(4, 7), rng.uniform(0.8, 1.8))
    )
    _convulsion(scene, rng, last.onset, gate * np.float32(level))
    return ("sz_foc_f2b" if focal else "sz_gen_m_tonicClonic"), (field_map if focal else None)


def _clonic_bursts(
    scene: Scene,
    rng: np.random.Generator,
    plan: Plan,
    place: NDArray[np.float64],
    *,
    amplitude: float,
    path: tuple[float, ...],
) -> Float32Array:
    """Add spike-wave bursts, one a jerk, about `place`, and return the muscle's gate (n,) that follows them."""
    n = round(plan.duration * 200)
    wave = _oscillate(scene, rng, n, path, kinds={"spike_wave": 1.0}, jitter=0.06)
    envelope = edges(n, 0.2, 0.3) * np.float32(amplitude)
    if "discharges" in scene.components:
        fall = log_uniform(rng, 0.4, 6.0)
        _recruit(scene, plan, rng, wave, course=envelope, centre=place, fall=fall, latest=0.0)
    for _ in range(0 if "discharges" in scene.components else 4):
        field_map = dipole_map(rng, place, spread=0.35, depth=(0.4, 0.7))
        scene.add(
            field_map, plan.onset, wave.read(0, rng.normal(0, 0.03)) * envelope * np.float32(rng.uniform(0.3, 0.8))
        )
    gate = np.exp(-((wave.phase - 0.2) % 1.0) / rng.uniform(0.15, 0.5)).astype(np.float32)
    return gate * edges(n, 0.2, 0.3)


def _convulsion(scene: Scene, rng: np.random.Generator, onset: float, envelope: Float32Array) -> None:
    """Add muscle everywhere but the vertex under an envelope in µV."""
    for site in ("T3", "T4", "FP1", "FP2", "O1", "O2", "C3", "C4"):
        wave = band_noise(rng, len(envelope), rng.uniform(12, 30), 95) * envelope
        scene.add(local_map(direction(site), rng.uniform(0.3, 0.6)), onset, wave * np.float32(rng.uniform(0.3, 1)))


def _decrement(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Electrodecrement: everything falls to .1-.5, low-voltage 15-30 Hz, then in half a rhythmic evolution."""
    looks, rng = chances
    early = plan.duration * rng.uniform(0.2, 1.0)
    _attenuate(scene, plan.onset, early, rng.uniform(0.1, 0.5), rise=0.3, fall=1.0)
    n = round(early * 200)
    fast = rhythm(rng, n, rng.uniform(15, 30), 2.0) * edges(n, 0.5, 0.5)
    spread_map = dipole_map(rng, direction("FZ"), spread=0.3, depth=(0.35, 0.6))
    scene.add(spread_map, plan.onset, fast * np.float32(brain.base * log_uniform(rng, 0.1, 0.7)))
    if plan.duration - early <= 3:
        return "sz_gen_m_tonic", None
    rest = replace(plan, onset=plan.onset + early, duration=plan.duration - early)
    path = (log_uniform(looks, 3, 10), log_uniform(looks, 1.5, 5))
    amplitude = brain.base * _size(scene, looks, 1.2, 5)
    return "sz_foc", _spread(scene, rest, rng, plan.place, amplitude=amplitude, path=path)


def _nonconvulsive(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Electrographic seizure of the ICU: 1.5-4 Hz, waxing and waning, focal or generalised (Hirsch et al. 2021)."""
    looks, rng = chances
    focal = looks.random() < 0.6
    place = plan.place if focal else direction("FZ")
    path = tuple(log_uniform(rng, 1.5, 4) for _ in range(int(rng.integers(2, 6))))
    field_map = _spread(scene, plan, rng, place, amplitude=brain.base * _size(scene, looks), path=path)
    return ("sz_foc", field_map) if focal else ("sz_gen_nm", None)


def _fast(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Fast activity of 10-25 Hz that slows and grows: frontal seizures and tonic ones."""
    looks, rng = chances
    focal = looks.random() < 0.5
    place = plan.place if focal else direction("FZ+CZ")
    path = (looks.uniform(14, 25), looks.uniform(10, 14))
    _attenuate(scene, plan.onset, plan.duration, rng.uniform(0.2, 0.8), rise=0.3)
    field_map = _spread(scene, plan, rng, place, amplitude=brain.base * _size(scene, looks, 1.0, 4), path=path)
    return ("sz_foc", field_map) if focal else ("sz_gen_m_tonic", None)


def _tonic(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Tonic seizure: flattening, generalised 10-25 Hz of .4-4 x base that grows, and muscle that grows with it."""
    looks, rng = chances
    n = round(plan.duration * 200)
    _attenuate(scene, plan.onset, plan.duration, rng.uniform(0.15, 0.6), rise=0.4, fall=0.8)
    if looks.random() < 0.5:
        field_map = dipole_map(rng, direction("FZ"), spread=0.2, depth=(0.35, 0.6))
        scene.add(field_map, plan.onset, k_complex(rng, brain.base * rng.uniform(2, 7)))
    growth = edges(n, 0.6 * plan.duration, 0.6) * np.float32(brain.base * log_uniform(looks, 0.4, 4))
    phase = phase_track(rng, n, (looks.uniform(14, 25), looks.uniform(9, 16)), jitter=0.06)
    for place in ("FZ", "CZ", "F3", "F4"):
        wave = np.sin(2 * np.pi * phase + rng.normal(0, 0.6)).astype(np.float32) * slow_curve(rng, n, 0.4, 0.6)
        scene.add(dipole_map(rng, direction(place), spread=0.2, depth=(0.35, 0.7)), plan.onset, wave * growth)
    _convulsion(scene, rng, plan.onset, edges(n, 0.4 * plan.duration, 0.5) * np.float32(log_uniform(looks, 6, 150)))
    return "sz_gen_m_tonic", None


def _clonic(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Clonic seizure: a spike-wave burst a jerk at 1-4 Hz that slows, focal or generalised, with jerks of muscle."""
    looks, rng = chances
    focal = looks.random() < 0.6
    place = plan.place if focal else direction("FZ+CZ")
    start = looks.uniform(1.5, 4)
    gate = _clonic_bursts(
        scene,
        rng,
        plan,
        place,
        amplitude=_large(scene, looks, brain, 1, 6),
        path=(start, start * looks.uniform(0.4, 0.9)),
    )
    if looks.random() < 0.8:
        muscle_burst(scene, rng, plan.onset, gate, level=log_uniform(looks, 5, 150))
    label = ("sz_foc_ua_m" if looks.random() < 0.3 else "sz_foc") if focal else "sz_gen_m_clonic"
    return label, dipole_map(rng, place) if focal else None


def _spasm(scene: Scene, brain: Brain, plan: Plan, chances: Chances) -> Made:
    """Epileptic spasm: a wide slow wave of 2-9 x base, then flattening with low fast activity, and a lump of muscle.

    References
    ----------
    Kellaway et al., *Precise characterization and quantification of infantile spasms*, Annals of Neurology 1979.
    """
    looks, rng = chances
    n = max(40, round(plan.duration * 200))
    depth, fast = looks.uniform(0.1, 0.9), looks.uniform(14, 28)
    _attenuate(scene, plan.onset + 0.2, plan.duration + looks.uniform(0, 3), depth, rise=0.2, fall=0.5)
    wave = k_complex(rng, brain.base * log_uniform(looks, 2, 9))
    for place in ("FZ", "CZ", "PZ"):
        field_map = dipole_map(rng, direction(place), spread=0.3, depth=(0.3, 0.55))
        scene.add(field_map, plan.onset, wave * np.float32(rng.uniform(0.3, 1)))
        quick = rhythm(rng, n, fast, 2.0) * np.hanning(n).astype(np.float32)
        scene.add(field_map, plan.onset, quick * np.float32(brain.base * log_uniform(rng, 0.1, 0.8)))
    if looks.random() < 0.85:
        lump = np.hanning(n).astype(np.float32)
        _convulsion(scene, rng, plan.onset, lump * np.float32(log_uniform(looks, 5, 120)))
    return "sz_gen_m_spasms", None


_MAKERS: dict[str, Callable[[Scene, Brain, Plan, Chances], Made]] = {
    "focal": _focal,
    "temporal": _temporal,
    "absence": _absence,
    "tonic_clonic": _tonic_clonic,
    "decrement": _decrement,
    "nonconvulsive": _nonconvulsive,
    "fast": _fast,
    "slow_spike_wave": _slow_spike_wave,
    "polymorphic": _polymorphic,
    "tonic": _tonic,
    "clonic": _clonic,
    "spasms": _spasm,
}


def _add_ictal_muscle(scene: Scene, plan: Plan, rng: np.random.Generator) -> None:
    """Add muscle over 65 % of non-convulsive seizures: 1-4 bursts of .5-50 s, 4-80 µV; 30 % of those drift too."""
    if plan.kind in CONVULSIVE or rng.random() > 0.65:
        return
    for _ in range(int(rng.integers(1, 5))):
        length = min(log_uniform(rng, 0.5, 50), plan.duration)
        onset = plan.onset + rng.uniform(0, max(plan.duration - length, 0))
        n = max(20, round(length * 200))
        envelope = edges(n, min(length / 2, rng.uniform(0.2, 5)), 0.3)
        muscle_burst(scene, rng, onset, envelope, level=log_uniform(rng, 4, 80))
    if rng.random() < 0.3:
        n = round(plan.duration * 200)
        movement_wave(scene, rng, plan.onset, edges(n, 1, 1) * np.float32(log_uniform(rng, 10, 120)))


def _add_ictal_body(scene: Scene, plan: Plan, chances: Chances) -> None:
    """Add what the body does in a seizure: strain, twitches, chewing, movement; more in some people than in others.

    A real seizure of this project's kind of recordings is buried in muscle within 10 s in about half of the people
    awake, so that the rhythm is seen only between the bursts or not at all; absences are nearly free of it.
    """
    looks, rng = chances
    chance = {"absence": 0.35, "nonconvulsive": 0.3, "slow_spike_wave": 0.5}.get(plan.kind, 0.7)
    if plan.kind in _OWN_MUSCLE or looks.random() > chance:
        return
    level = log_uniform(looks, 4, 120)
    for _ in range(int(rng.integers(1, 6))):
        length = min(log_uniform(rng, 0.5, 120), plan.duration)
        onset = plan.onset + rng.uniform(0, max(plan.duration - length, 0))
        n = max(20, round(length * 200))
        envelope = edges(n, min(length / 2, log_uniform(rng, 0.1, 6)), rng.uniform(0.1, 0.8))
        if rng.random() < 0.3:
            phase = phase_track(rng, n, (log_uniform(rng, 0.8, 6),), jitter=0.1)
            envelope = envelope * np.exp(-(phase % 1.0) / rng.uniform(0.1, 0.6)).astype(np.float32)
        muscle_burst(scene, rng, onset, envelope, level=level * float(np.exp(rng.normal(0, 0.5))))
    if looks.random() < 0.35:
        n = round(plan.duration * 200)
        size = min(log_uniform(looks, 10, 400), 400.0)
        late = np.linspace(rng.uniform(0, 1), 1, n).astype(np.float32)
        movement_wave(scene, rng, plan.onset, edges(n, 1, 1) * late * np.float32(size))


def _add_aftermath(scene: Scene, brain: Brain, plan: Plan, rng: np.random.Generator) -> None:
    """After a longer seizure, in 60 %, suppress the background and slow it; typical absences leave nothing."""
    if plan.kind in ("absence", "slow_spike_wave") or plan.duration < 10 or rng.random() > 0.6:
        return
    start = plan.onset + plan.duration
    duration = min(log_uniform(rng, 5, 60), scene.seconds - start)
    if duration < 2:
        return
    _attenuate(scene, start, duration, rng.uniform(0.2, 0.9), rise=0.3, fall=duration / 3)
    n = round(duration * 200)
    for _ in range(3):
        wave = rhythm(rng, n, rng.uniform(0.8, 3), 0.6) * edges(n, 1.0, duration / 2)
        strength = np.float32(brain.base * log_uniform(rng, 0.3, 1.5))
        scene.add(dipole_map(rng, random_direction(rng)), start, wave * strength)
    scene.mark("postictal", start, start + duration)
