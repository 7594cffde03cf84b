"""The brain between seizures: the person, and the background by age and state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from restcli.simulate.head import MIRROR, dipole_map, dipole_maps, direction, local_map, mix, random_direction
from restcli.simulate.profiles import TRAINING, Profile
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, Float32Array, FloatArray, WaveGenerator, edges, overlap

# Youngest and oldest (years), factor on the amplitude. Children and infants have thin skulls and high voltages; the old
# have slightly lower ones (Niedermeyer, ch. on maturation and ageing).
_AGES = {
    "infant": (0.25, 1.5, 1.9),
    "child": (1.5, 12.0, 1.7),
    "young": (12.0, 20.0, 1.0),
    "adult": (20.0, 65.0, 0.8),
    "old": (65.0, 90.0, 0.75),
}
# Vigilance five minutes later; encephalopathic people stay so.
_NEXT = {
    "awake": {"awake": 0.85, "drowsy": 0.15},
    "drowsy": {"awake": 0.45, "drowsy": 0.25, "n2": 0.3},
    "n2": {"awake": 0.15, "drowsy": 0.15, "n2": 0.4, "n3": 0.3},
    "n3": {"awake": 0.15, "n2": 0.45, "n3": 0.4},
    "encephalopathic": {"encephalopathic": 1.0},
}
# Factor on the amplitude of the background: sleep is larger than wakefulness.
_STATE_GAIN = {"awake": 1.0, "drowsy": 1.05, "n2": 1.4, "n3": 1.9, "encephalopathic": 1.3}
# Frontal and temporal theta and posterior slow waves of youth: share of people, sites, Hz, width in Hz, how it waxes,
# spread of the dipoles, and size in units of the background.
_WAKING = (
    (0.35, ("FZ",), (4.5, 7.5), 0.6, (0.7, 4), 0.1, (0.2, 0.9)),
    (0.3, ("T3", "T4"), (4, 7.5), 0.8, (0.9, 3), 0.1, (0.1, 0.8)),
    (0.25, ("O1+O2",), (2.5, 4.5), 0.7, (0.8, 3), 0.2, (0.2, 1.2)),
)
_STATE_SLOPE = {"n2": 0.3, "n3": 0.6}


@dataclass(frozen=True)
class Brain:
    """What stays the same in one person."""

    age: float  # years
    base: float  # median over electrodes of the waking background's RMS, µV
    state: str  # at the beginning
    maps: Float32Array  # (21, K), fields of the K background sources
    slope: FloatArray  # (K,), power spectrum 1 / (f + knee)^slope
    knee: FloatArray  # (K,), Hz
    alpha: float  # frequency of the posterior rhythm, Hz
    alpha_amplitude: float  # at the occiput, in units of `base`
    unrest: float  # spread (ln) of the background's amplitude from second to second
    breach: bool  # whether the skull has a hole


def draw_brain(rng: WaveGenerator, profile: Profile = TRAINING) -> Brain:
    """Draw a person."""
    # Slope 1.75 +- .3 in adults, steeper in the young and in slow waves: Donoghue et al., Nature Neuroscience 2020.
    maps = _draw_sources(rng)
    count = maps.shape[1]
    youngest, oldest, factor = _AGES[rng.pick(profile.ages)]
    age = rng.log_uniform(youngest, oldest)
    sick = rng.random() < profile.sick["older" if age > 1.5 else "younger"]
    vigilance = rng.pick(profile.vigilance)
    steep = rng.normal(1.75, 0.3) + (0.5 if age < 2 else 0.25 if age < 12 else 0.0) + (0.4 if sick else 0.0)
    slope = np.clip(steep + rng.normal(0, 0.15, count), 0.7, 3.2)
    knee = rng.log_uniform(0.3, 3.0) * np.exp(rng.normal(0, 0.2, count))
    slowing = rng.uniform(0.55, 0.9) if sick or rng.random() < 0.1 else 1.0
    alpha = posterior_frequency(age) * slowing * np.exp(rng.normal(0, 0.09))
    # 3-45 µV: healthy adults between ears and a low-passed record have 5-15, sick and young ones more.
    base = rng.log_uniform(3.5, 25) * factor * (1.2 if sick else 1.0)
    state = "encephalopathic" if sick else vigilance
    strength = rng.log_uniform(0.3, 3.5) * (0.3 if sick else 1.0)
    return Brain(
        age, base, state, maps, slope, knee, alpha, strength, rng.uniform(0.08, 0.35), rng.random() < profile.breach
    )


def _draw_sources(rng: WaveGenerator) -> Float32Array:
    """Draw the fields of 25-45 background sources, more than 19 electrodes can tell apart."""
    # Derivations of the two sides correlate at .2-.5, independent sources at .1: some have a weaker twin there.
    count = int(rng.integers(25, 46))
    places = np.array([random_direction(rng, -0.2) for _ in range(count)])
    # Deep dipoles stand for wide synchronous patches; people differ in how many they have.
    maps = dipole_maps(rng, places, depth=(rng.uniform(0.1, 0.5), 0.8))
    maps = maps * np.exp(rng.normal(0, 0.4, count)).astype(np.float32)
    together = rng.uniform(0.1, 0.7)
    share = np.where(rng.random(count) < together, rng.uniform(0.1, 0.9, count), 0.0).astype(np.float32)
    return np.asarray(maps + share * maps[MIRROR])


def posterior_frequency(age: float) -> float:
    """Return the typical frequency of the posterior rhythm at an age (Lindsley 1939; Niedermeyer).

    >>> [posterior_frequency(age) for age in (1.0, 3.0, 30.0)]
    [6.0, 8.0, 10.2]
    """
    return float(np.interp(age, [0.25, 1, 3, 9, 15, 60, 90], [3.7, 6, 8, 9, 10.2, 10.2, 8.8]))


def next_state(rng: WaveGenerator, state: str) -> str:
    """Draw the state a few minutes later."""
    return rng.pick(_NEXT[state])


def add_background(scene: Scene, brain: Brain, state: str) -> None:
    """Add the background of one state to an empty scene."""
    rng = scene.rng("background")
    infant = brain.age < 2
    _add_aperiodic(scene, brain, rng, state)
    if state in ("awake", "drowsy"):
        _add_posterior_rhythm(scene, brain, rng, state)
        _add_waking_rhythms(scene, brain, rng)
        _add_tone(scene, rng, state)
    if state == "drowsy":
        _add_drowsiness(scene, brain, rng)
    if state in ("n2", "n3"):
        _add_sleep(scene, brain, rng, state)
    if state == "encephalopathic" or (infant and rng.random() < 0.7):
        _add_slow_sources(scene, brain, rng, may_burst=not infant)
    if rng.random() < 0.15:
        _add_focal_delta(scene, brain, rng)
    if brain.breach:
        _add_breach(scene, brain, rng)
    unrest = rng.slow_curve(scene.n, brain.unrest, rng.uniform(0.8, 3))
    scene.data *= unrest * rng.slow_curve(scene.n, 0.6 * brain.unrest, rng.uniform(8, 30))
    drawn = {name: getattr(brain, name) for name in ("age", "base", "alpha", "alpha_amplitude")}
    scene.note("background", state=state, **drawn)


def _add_aperiodic(scene: Scene, brain: Brain, rng: WaveGenerator, state: str) -> None:
    """Add the 1/f background; each source swells and fades by itself, all of them a little together."""
    noise = rng.coloured_noise(scene.n, brain.slope + _STATE_SLOPE.get(state, 0.0), brain.knee)
    groups = np.stack([rng.slow_curve(scene.n, rng.uniform(0.1, 0.4), rng.uniform(2, 10)) for _ in range(6)])
    for index in range(len(noise)):
        noise[index] *= groups[index % 6]
    mixed = mix(brain.maps, noise)
    level = np.median(np.sqrt(np.mean(mixed[:19] ** 2, axis=1)))
    scene.data += mixed * np.float32(brain.base * _STATE_GAIN[state] / level)


def _add_tone(scene: Scene, rng: WaveGenerator, state: str) -> None:
    """Add the resting tone of scalp muscle while awake: .15-5 µV over both temples, forehead and neck."""
    # Goncharova et al., Clin Neurophysiol 2003; Whitham et al., Clin Neurophysiol 2007 (EEG during paralysis).
    tension = rng.log_uniform(0.15, 5) * (1.0 if state == "awake" else 0.5)
    for sites in (("T3", "F7"), ("T4", "F8"), ("FP1+FP2",), ("O1+O2",)):
        wave = rng.band_noise(scene.n, rng.uniform(15, 35), 95) * rng.slow_curve(scene.n, 0.3, 5)
        for site in sites:
            level = tension * np.exp(rng.normal(0, 0.6))
            scene.add(local_map(direction(site), rng.uniform(0.2, 0.4)), 0, wave, level)


def _add_posterior_rhythm(scene: Scene, brain: Brain, rng: WaveGenerator, state: str) -> None:
    """Add the posterior dominant rhythm on both sides, blocked when the eyes open."""
    gate = _eyes(scene, rng)
    amplitude = brain.base * brain.alpha_amplitude / np.sqrt(2)
    frequency = brain.alpha * (rng.uniform(0.85, 1.0) if state == "drowsy" else 1.0)
    width = rng.uniform(0.3, 1.4)
    shared = rng.rhythm(scene.n, frequency, width)
    coherence = rng.uniform(0.4, 0.95)
    # Both occipital lobes as one wide generator, whose field all posterior derivations share.
    wide = dipole_map(rng, direction("O1+O2"), spread=0.2, depth=(0.25, 0.6))
    scene.add(wide, 0, np.asarray(amplitude * rng.uniform(0.2, 1.0) * shared * gate, dtype=np.float32))
    # The rhythm reaches forward to the parietal electrodes and beyond, with different waves at each place.
    forward = rng.uniform(0.2, 0.9)
    for side, strength in {"O1": 1.0, "O2": 1.0, "P3": forward, "P4": forward, "CZ": 0.6 * forward}.items():
        own = rng.rhythm(scene.n, frequency * np.exp(rng.normal(0, 0.04)), width)
        wave = (coherence * shared + np.sqrt(1 - coherence**2) * own) * gate * strength
        size = amplitude * np.exp(rng.normal(0, 0.2))
        scene.add(dipole_map(rng, direction(side), spread=0.12), 0, wave, size)


def _eyes(scene: Scene, rng: WaveGenerator) -> Float32Array:
    """Draw when the eyes are closed (1) or open (a residue of the rhythm): blocks of 5-60 s."""
    residue = rng.uniform(0.1, 0.6)
    knots, values, time = [], [], 0.0
    closed = rng.random() < 0.65
    while time < scene.seconds:
        duration = rng.log_uniform(5, 60)
        knots += [time + 0.3, time + duration]
        values += [1.0 if closed else residue] * 2
        time += duration
        closed = not closed
    return np.interp(np.arange(scene.n) / SFREQ, knots, values).astype(np.float32)


def _add_waking_rhythms(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add mu with its harmonic and beta, sometimes frontal or temporal theta and posterior slow waves of youth."""
    n, base = scene.n, brain.base
    if rng.random() < 0.75:
        frequency = rng.uniform(8.5, 13) * (min(1.0, brain.alpha / 9.5) if brain.age < 12 else 1.0)
        for side in ("C3", "C4"):
            wave = rng.rhythm(n, frequency, 0.7) + rng.uniform(0.2, 0.6) * rng.rhythm(n, 2 * frequency, 1.0)
            scene.add(dipole_map(rng, direction(side), spread=0.1), 0, wave, base * rng.uniform(0.1, 0.9))
    centre, most = rng.uniform(13, 25), rng.uniform(0.05, 0.6)
    for place in ("FZ", "C3", "C4", "F7", "F8", "PZ"):
        frequency, size = centre * np.exp(rng.normal(0, 0.12)), most * rng.uniform(0.3, 0.8)
        wave = rng.rhythm(n, frequency, rng.uniform(1.5, 5))
        scene.add(dipole_map(rng, direction(place), spread=0.3), 0, wave, base * size)
    for chance, sites, hertz, width, waxing, spread, sizes in _WAKING:
        if rng.random() < chance:
            for site in sites:
                wave = rng.rhythm(n, rng.uniform(*hertz), width) * rng.slow_curve(n, *waxing)
                scene.add(dipole_map(rng, direction(site), spread=spread), 0, wave, base * rng.uniform(*sizes))


def _add_drowsiness(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add the 4-7 Hz activity of drowsiness, waxing over seconds; 3-5 Hz in the first years of life."""
    low, high = (3, 5) if brain.age < 3 else (4, 7)
    for _ in range(int(rng.integers(2, 5))):
        wave = rng.rhythm(scene.n, rng.uniform(low, high), rng.uniform(0.4, 1.0)) * rng.slow_curve(scene.n, 0.8, 5)
        strength = brain.base * rng.log_uniform(0.2, 1.5)
        scene.add(dipole_map(rng, random_direction(rng, 0.1)), 0, wave, strength)


def _add_sleep(scene: Scene, brain: Brain, rng: WaveGenerator, state: str) -> None:
    """Add delta of .7-1.6 Hz, spindles (11.5-14.5 Hz, .5-2 s) and K-complexes or vertex waves (2.5-7 x base)."""
    # Berry et al., The AASM Manual for the Scoring of Sleep and Associated Events.
    base = brain.base
    for _ in range(3):
        wave = rng.rhythm(scene.n, rng.uniform(0.7, 1.6), 0.35) * rng.slow_curve(scene.n, 0.5, 8)
        strength = base * rng.uniform(0.8, 2.0) * (1.0 if state == "n3" else 0.4)
        scene.add(dipole_map(rng, direction("FZ"), spread=0.4), 0, wave, strength)
    frequency = rng.uniform(11.5, 14.5)
    for onset in scene.moments(rng, 2, 9):
        n = round(rng.uniform(0.5, 2.0) * SFREQ)
        phase = np.arange(n) / SFREQ * (frequency + rng.normal(0, 0.3))
        wave = np.sin(2 * np.pi * phase) * np.hanning(n) * base * rng.uniform(0.5, 2.0)
        # In the first year spindles occur on one side at a time.
        place = direction(rng.choose(("C3", "C4")) if brain.age < 1 else "CZ")
        scene.add(dipole_map(rng, place, spread=0.3), onset, wave)
    for onset in scene.moments(rng, 0.5, 4):
        scene.add(dipole_map(rng, direction("CZ"), spread=0.15), onset, rng.k_complex(base * rng.uniform(2.5, 7)))


def _add_slow_sources(scene: Scene, brain: Brain, rng: WaveGenerator, *, may_burst: bool) -> None:
    """Add five slow sources of .8-4 Hz anywhere; in 30 % everything occurs in bursts between suppressions."""
    for _ in range(5):
        wave = rng.rhythm(scene.n, rng.uniform(0.8, 4), rng.uniform(0.3, 0.9)) * rng.slow_curve(scene.n, 0.6, 5)
        strength = brain.base * rng.log_uniform(0.2, 1.5)
        scene.add(dipole_map(rng, random_direction(rng, -0.1)), 0, wave, strength)
    if may_burst and rng.random() < 0.3:
        residue, time = rng.uniform(0.05, 0.3), 0.0
        gate = np.full(scene.n, residue, dtype=np.float32)
        while time < scene.seconds:
            burst = rng.log_uniform(0.7, 6)
            envelope = edges(round(burst * SFREQ), 0.2, 0.3)
            inside, part = overlap(time, len(envelope), scene.n)
            gate[inside] += (1 - residue) * envelope[part]
            time += burst + rng.log_uniform(1, 12)
        scene.data *= gate
        scene.note("burst_suppression", floor=residue)


def _add_focal_delta(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add polymorphic focal slowing of 1-3.5 Hz over one region."""
    place = random_direction(rng, -0.05)
    field_map = dipole_map(rng, place, depth=(0.5, 0.75))
    wave = rng.rhythm(scene.n, rng.uniform(1, 3.5), rng.uniform(0.5, 1.2)) * rng.slow_curve(scene.n, 0.6, 4)
    scene.add(field_map, 0, wave, brain.base * rng.uniform(0.5, 2.5))
    scene.note("focal_delta", place=place)


def _add_breach(scene: Scene, brain: Brain, rng: WaveGenerator) -> None:
    """Add a breach rhythm: 1.5-4 times larger over a hole in the skull, with arched 6-11 Hz and beta."""
    # Cobb, Guiloff and Cast, Electroenceph Clin Neurophysiol 1979.
    place = direction(rng.choose(("C3", "C4", "T3", "T4", "F3", "F4", "P3", "P4")))
    window = local_map(place, rng.uniform(0.3, 0.5))
    scene.data *= 1 + window[:, None] * np.float32(rng.uniform(0.5, 3))
    for low, high in ((6, 11), (14, 28)):
        wave = rng.rhythm(scene.n, rng.uniform(low, high), rng.uniform(0.6, 2)) * rng.slow_curve(scene.n, 0.6, 2)
        scene.add(window, 0, wave, brain.base * rng.uniform(0.3, 1.5))
    scene.note("breach", place=place)
