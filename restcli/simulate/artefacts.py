"""What eyes, muscles, heart, skin and cables add to a recording; `add_artefacts` names the references."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from restcli.simulate.head import ELECTRODES_21, any_electrode, direction, electrode_map, local_map, positions
from restcli.simulate.profiles import Profile
from restcli.simulate.scene import Scene
from restcli.simulate.waves import SFREQ, Float32Array, Wave, WaveGenerator, edges, play

# Temporalis and frontalis first, neck next, the vertex hardly ever: Goncharova et al., Clin Neurophysiol 2003.
_MUSCLE_SITES = ("T3", "T4", "F7", "F8", "FP1", "FP2", "T5", "T6", "O1", "O2", "A1", "A2", "C3", "C4", "F3", "F4")
_MUSCLE_WEIGHTS = np.array([4, 4, 4, 4, 3, 3, 2, 2, 1.5, 1.5, 1.5, 1.5, 0.5, 0.5, 1, 1])


def add_artefacts(scene: Scene, state: str, age: float, profile: Profile, *, amount: float = 1.0) -> None:
    """Add what a body and a room add to a recording; a drawn level, times `amount`, scales how often."""
    # µV at the electrode after Barlow, Artifact Processing in EEG Data Processing, 1986, and Tatum et al., Artifact and
    # recording concepts in EEG, J Clin Neurophysiol 2011.
    rng = scene.rng("artefacts")
    level = amount * rng.uniform(0.3, 1.7)
    scene.note("artefact_level", level=level)
    hours = scene.seconds / 3600
    for name, (add, asleep, young) in _ARTEFACTS.items():
        often = level * (asleep if state in ("n2", "n3") else 1.0) * (young if age < 8 else 1.0)
        goes_on = name in profile.traits
        count = (
            int(rng.random() < profile.traits[name] * often)
            if goes_on
            else rng.poisson(profile.spells[name] * hours * often)
        )
        for _ in range(count):
            add(scene, rng)


def muscle_burst(scene: Scene, rng: WaveGenerator, onset: float, envelope: Float32Array, *, level: float) -> None:
    """Add muscle activity of `level` µV RMS under an envelope at 1-6 sites, 12-30 to 95 Hz."""
    n = len(envelope)
    shares = _MUSCLE_WEIGHTS / _MUSCLE_WEIGHTS.sum()
    for site in rng.choice(len(shares), size=int(rng.integers(1, 7)), replace=False, p=shares):
        wave = rng.band_noise(n, rng.uniform(12, 30), rng.uniform(60, 95)) * envelope * rng.slow_curve(n, 0.4, 0.7)
        field_map = local_map(direction(_MUSCLE_SITES[site]), rng.uniform(0.2, 0.45))
        scene.add(field_map, onset, wave, level * rng.uniform(0.4, 1))


def movement_wave(scene: Scene, rng: WaveGenerator, onset: float, envelope: Float32Array) -> None:
    """Add slow irregular waves under an envelope (µV) that reach electrodes unevenly."""
    n = len(envelope)
    for _ in range(int(rng.integers(1, 5))):
        wave = rng.rhythm(n, rng.uniform(0.5, 3), rng.uniform(0.5, 1.5)) * rng.slow_curve(n, 0.5, 1)
        field_map = local_map(any_electrode(rng), rng.uniform(0.3, 1.5)) * _uneven(rng, 0.5)
        scene.add(field_map, onset, wave * envelope, rng.uniform(0.3, 1))


def _uneven(rng: WaveGenerator, sigma: float) -> Float32Array:
    """Draw how well each electrode picks something up, log-normal, (21,)."""
    return np.asarray(np.exp(rng.normal(0, sigma, len(ELECTRODES_21))), dtype=np.float32)


def _normed(field_map: Wave) -> Float32Array:
    """Scale a field to a peak of 1 on the scalp."""
    return np.asarray(field_map / np.abs(field_map[:19]).max(), dtype=np.float32)


def _lids_map(rng: WaveGenerator) -> Float32Array:
    """Draw the field of blinks, which falls off from FP1 and FP2 backwards."""
    _, y, z = positions().T
    return _normed(np.exp(-(1 - y) / rng.uniform(0.15, 0.4)) * (1 - 0.3 * np.clip(z, 0, 1)))


def _gaze_map(rng: WaveGenerator) -> Float32Array:
    """Draw the field of lateral eye movements, of opposite signs at F7 and F8."""
    x, y, _ = positions().T
    return _normed(np.exp(-(1 - y) / rng.uniform(0.4, 0.9)) * x * 1.6)


def _tongue_map(rng: WaveGenerator) -> Float32Array:
    """Draw the field of the tongue (glossokinetic potential): broad, from below, front against back."""
    _, y, z = positions().T
    return _normed(-0.8 * z + rng.uniform(0.1, 0.9) * y + rng.normal(0, 0.1, len(z)))


def _once(
    scene: Scene, rng: WaveGenerator, shortest: float, longest: float, *, early: float = 0.0
) -> tuple[float, int]:
    """Draw onset (s) and length (samples) of a spell; a fraction `early` of it may lie before the scene."""
    n = rng.samples(shortest, longest)
    return rng.uniform(-early * n / SFREQ, scene.seconds), n


def _add_blinks(scene: Scene, rng: WaveGenerator) -> None:
    """Add blinks: 60-250 µV at FP1/FP2, 2-25 a minute, .2-.5 s."""
    field_map, amplitude = _lids_map(rng), rng.log_uniform(60, 250)
    for onset in scene.moments(rng, 2, 25):
        n = round(rng.uniform(0.2, 0.5) * SFREQ)
        time = np.arange(n) / n
        wave = np.sin(np.pi * time) ** 2 - 0.15 * np.sin(np.pi * time**2)
        scene.add(field_map, onset, wave, amplitude * np.exp(rng.normal(0, 0.25)))


def _add_flutter(scene: Scene, rng: WaveGenerator) -> None:
    """Add eyelid flutter: 2.5-7 Hz, 20-120 µV, 1-8 s."""
    field_map = _lids_map(rng)
    for onset in scene.moments(rng, 0.5, 3):
        n = rng.samples(1, 8)
        wave = rng.train(n, (rng.uniform(2.5, 7),), jitter=0.08, uneven=0.25) * edges(n, 0.3, 0.3)
        scene.add(field_map, onset, wave, rng.log_uniform(20, 120))
        scene.mark("flutter", onset, n / SFREQ)


def _add_saccades(scene: Scene, rng: WaveGenerator) -> None:
    """Add lateral eye movements: steps of 15-100 µV between F7 and F8, held .2-2 s."""
    field_map = _gaze_map(rng)
    for onset in scene.moments(rng, 2, 20):
        wave = edges(round(rng.uniform(0.2, 2) * SFREQ), 0.05, 0.06).astype(np.float64)
        scene.add(field_map, onset, wave, rng.choice([-1, 1]) * rng.log_uniform(15, 100))


def _add_muscle(scene: Scene, rng: WaveGenerator) -> None:
    """Add muscle bursts: .3-40 s, 4-90 µV RMS; a quarter of them rhythmic (chewing, tremor)."""
    for onset in scene.moments(rng, 0.5, 4):
        n = rng.samples(0.3, 40)
        envelope = edges(n, rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.8))
        rhythmic = rng.random() < 0.25
        if rhythmic:
            phase = rng.gliding_phase(n, (rng.log_uniform(1, 8),), jitter=0.06)
            envelope = envelope * _beats(phase) ** 2
        level = rng.log_uniform(4, 90)
        muscle_burst(scene, rng, onset, envelope, level=level)
        scene.log("muscle", "muscle", onset, n, level=level, rhythmic=rhythmic)


def _beats(phase: Wave) -> Float32Array:
    """Return an envelope of one swell from 0 to 1 and back in each cycle."""
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * phase), dtype=np.float32)


def _add_pops(scene: Scene, rng: WaveGenerator) -> None:
    """Add electrode pops: a step of 50-400 µV at one electrode that decays within .05-.6 s."""
    field_map = electrode_map(int(rng.integers(0, 19)))
    for onset in scene.moments(rng, 1, 12):
        decay = np.exp(-np.arange(300) / (rng.uniform(0.05, 0.6) * SFREQ))
        scene.add(field_map, onset, decay, rng.choice([-1, 1]) * rng.log_uniform(50, 400))
        scene.mark("pop", onset, 1)


def _add_bad_electrode(scene: Scene, rng: WaveGenerator) -> None:
    """Add one noisy electrode: slow drift and broad noise of 10-150 µV for 10 s to the end."""
    site = int(rng.integers(0, 19))
    onset = rng.uniform(0, scene.seconds * 0.8)
    n = round(min(rng.log_uniform(10, 300), scene.seconds - onset) * SFREQ)
    wave = rng.rhythm(n, 0.8, 1.0) + rng.uniform(0.1, 1) * rng.band_noise(n, 1, 90)
    scene.add(electrode_map(site), onset, wave * rng.slow_curve(n, 0.7, 2), rng.log_uniform(10, 150))
    scene.mark("bad_electrode", onset, n / SFREQ)
    scene.note("bad_electrode", electrode=ELECTRODES_21[site], onset=onset, duration=n / SFREQ)


def _add_movement(scene: Scene, rng: WaveGenerator) -> None:
    """Add head and body movement: irregular waves below 4 Hz, 30-300 µV, 1-15 s, different at each electrode."""
    for onset in scene.moments(rng, 0.4, 2):
        n, amplitude = rng.samples(1, 15), rng.log_uniform(30, 300)
        movement_wave(scene, rng, onset, edges(n, 0.4, 0.6) * np.float32(amplitude))
        scene.log("movement", "movement", onset, n, amplitude=amplitude)


def _add_rhythmic_movement(scene: Scene, rng: WaveGenerator) -> None:
    """Add rhythmic movement (patting, tremor, head on the pillow): 1-7 Hz, 10-150 µV, 2-30 s, in one region."""
    for onset in scene.moments(rng, 0.4, 1.5):
        n = rng.samples(2, 30)
        wave = rng.train(n, (rng.log_uniform(1, 7),), jitter=rng.uniform(0.02, 0.12), uneven=0.3)
        field_map = local_map(any_electrode(rng, 21), rng.uniform(0.25, 0.7))
        scene.add(field_map, onset, wave * edges(n, 0.5, 0.5), rng.log_uniform(10, 150))
        scene.mark("movement", onset, n / SFREQ)


def _add_heart(scene: Scene, rng: WaveGenerator) -> None:
    """Add the ECG, 1.5-25 µV, 50-130 a minute, strongest at the ears and the left side."""
    rate, amplitude = rng.uniform(50, 130) / 60, rng.log_uniform(1.5, 25)
    x, _, z = positions().T
    field_map = (0.5 - rng.uniform(0.2, 0.6) * x - 0.5 * z + rng.normal(0, 0.1, len(x))).astype(np.float32)
    time = rng.gliding_phase(scene.n, (rate,), jitter=0.03, knot=1.0) % 1.0 / rate  # seconds since the last beat began
    waves = ((1.0, 0.2, 0.012), (-0.3, 0.235, 0.014), (0.15, 0.45, 0.05))  # R, S and T: size, s and width
    wave = sum(size * np.exp(-0.5 * ((time - at) / width) ** 2) for size, at, width in waves)
    scene.add(field_map, 0, np.asarray(wave), amplitude)
    scene.note("heart", rate=rate, amplitude=amplitude)


def _add_sweat(scene: Scene, rng: WaveGenerator) -> None:
    """Add sweat sway: .1-.5 Hz, 15-150 µV over some electrodes."""
    for _ in range(int(rng.integers(1, 5))):
        wave = rng.rhythm(scene.n, rng.uniform(0.1, 0.5), 0.15)
        scene.add(local_map(any_electrode(rng), rng.uniform(0.3, 0.9)), 0, wave, rng.log_uniform(15, 150))


def _add_restlessness(scene: Scene, rng: WaveGenerator) -> None:
    """Add a restless spell of 5-100 s: movement of 50-1,000 µV in jerks of .5-12 s, with muscle of 5-150 µV."""
    length = rng.log_uniform(5, 100)
    first = rng.uniform(0, max(scene.seconds - length / 2, 1))
    size = rng.log_uniform(50, 600)
    time = first
    while time < first + length:
        n = rng.samples(0.5, 12)
        shape = edges(n, rng.uniform(0.05, 1), rng.uniform(0.1, 1.5))
        movement_wave(scene, rng, time, shape * np.float32(min(1000.0, size * np.exp(rng.normal(0, 0.6)))))
        if rng.random() < 0.6:
            muscle_burst(scene, rng, time, shape, level=rng.log_uniform(5, 150))
        scene.mark("movement", time, n / SFREQ)
        time += n / SFREQ + rng.log_uniform(0.3, 10)
    scene.note("restlessness", onset=first, duration=length, amplitude=size)


def _add_chewing(scene: Scene, rng: WaveGenerator) -> None:
    """Add chewing or sucking: bursts of temporal muscle at .8-2.6 Hz over 3-40 s, with the tongue's slow potential."""
    onset, n = _once(scene, rng, 3, 40)
    phase = rng.gliding_phase(n, (rng.uniform(0.8, 2.6),), jitter=0.07)
    gate = np.exp(-0.5 * (((phase % 1.0) - 0.5) / rng.uniform(0.08, 0.2)) ** 2).astype(np.float32)
    level = rng.log_uniform(8, 150)
    envelope = gate * rng.per_cycle(phase, 0.3) * edges(n, 0.5, 0.5)
    for site in ("T3", "T4", "F7", "F8"):
        wave = rng.band_noise(n, rng.uniform(15, 30), 95) * envelope
        scene.add(local_map(direction(site), 0.3), onset, wave, level * rng.uniform(0.3, 1))
    tongue = play(rng.cycle_table("sharp"), phase) * edges(n, 0.5, 0.5)
    scene.add(_tongue_map(rng), onset, tongue, rng.log_uniform(5, 80))
    scene.log("muscle", "chewing", onset, n, level=level)


def _add_talk(scene: Scene, rng: WaveGenerator) -> None:
    """Add talking: irregular glossokinetic waves of 1-5 Hz, 10-120 µV, with muscle, for 3-60 s."""
    onset, n = _once(scene, rng, 3, 60)
    wave = rng.rhythm(n, rng.uniform(1, 4), rng.uniform(0.5, 1.2)) * rng.slow_curve(n, 0.8, 0.8) * edges(n, 0.3, 0.3)
    scene.add(_tongue_map(rng), onset, wave, rng.log_uniform(10, 120))
    muscle_burst(scene, rng, onset, edges(n, 0.3, 0.3) * rng.slow_curve(n, 0.8, 0.4), level=rng.log_uniform(3, 60))
    scene.mark("muscle", onset, n / SFREQ)


def _add_percussion(scene: Scene, rng: WaveGenerator) -> None:
    """Add patting, rocking, chest percussion: 1-12 Hz, 15-500 µV, 3-60 s, sometimes speeding up or slowing down."""
    onset, n = _once(scene, rng, 3, 60)
    start = rng.log_uniform(1, 12)
    path = (start, start * (np.exp(rng.normal(0, 0.25)) if rng.random() < 0.5 else 1.0))
    shape = {"sharp": 3.0, "sine": 1.0, "pulse": 1.0}
    wave = rng.train(n, path, shape=shape, jitter=rng.uniform(0.01, 0.08), uneven=0.25)
    wave = wave * rng.slow_curve(n, 0.4, 3) * edges(n, 0.7, 0.7)
    back = direction(rng.pick({"O1+O2": 2, "O1": 1, "O2": 1, "T5": 1, "T6": 1, "T3": 1, "T4": 1, "CZ": 0.5}))
    uneven = _uneven(rng, 0.4)
    sign = np.where(rng.random(len(ELECTRODES_21)) < 0.2, -1, 1).astype(np.float32)
    field_map = local_map(back, rng.uniform(0.3, 1.5)) * uneven * sign
    amplitude = rng.log_uniform(15, 500)
    scene.add(field_map, onset, wave, amplitude)
    scene.log("movement", "percussion", onset, n, frequency=path, amplitude=amplitude)


def _add_strain(scene: Scene, rng: WaveGenerator) -> None:
    """Add long tension: muscle of 8-150 µV for 10-120 s, rising and falling over seconds."""
    onset, n = _once(scene, rng, 10, 120, early=0.3)
    envelope = edges(n, rng.uniform(0.2, 8), rng.uniform(0.2, 8)) * rng.slow_curve(n, 0.4, 3)
    level = rng.log_uniform(8, 150)
    muscle_burst(scene, rng, onset, envelope, level=level)
    scene.log("muscle", "strain", onset, n, level=level)


def _add_pulse(scene: Scene, rng: WaveGenerator) -> None:
    """Add a pulse wave at one electrode over an artery: 50-140 a minute, 10-80 µV, smooth."""
    phase = rng.gliding_phase(scene.n, (rng.uniform(50, 140) / 60,), jitter=0.03, knot=1.0)
    field_map = electrode_map(int(rng.integers(0, 19)))
    wave = play(rng.cycle_table("sharp"), phase) * rng.slow_curve(scene.n, 0.3, 15)
    scene.add(field_map, 0, wave, rng.log_uniform(10, 80))


def _add_breath(scene: Scene, rng: WaveGenerator) -> None:
    """Add breathing or a ventilator: .2-.6 Hz, 10-150 µV, some electrodes."""
    phase = rng.gliding_phase(scene.n, (rng.uniform(0.2, 0.6),), jitter=0.06, knot=3.0)
    wave = play(rng.cycle_table("sharp"), phase)
    scene.add(local_map(any_electrode(rng), rng.uniform(0.2, 0.8)), 0, wave, rng.log_uniform(10, 150))


def _add_nystagmus(scene: Scene, rng: WaveGenerator) -> None:
    """Add nystagmus: sawtooth of 1-4 Hz between F7 and F8, 15-100 µV, 3-40 s."""
    onset, n = _once(scene, rng, 3, 40)
    phase = rng.gliding_phase(n, (rng.uniform(1, 4),), jitter=0.08)
    wave = ((phase % 1.0) - 0.5).astype(np.float32) * rng.per_cycle(phase, 0.2) * edges(n, 0.3, 0.3)
    scene.add(_gaze_map(rng), onset, wave, rng.log_uniform(30, 200))
    scene.mark("eyes", onset, n / SFREQ)


def _add_rolling_eyes(scene: Scene, rng: WaveGenerator) -> None:
    """Add the slow rolling eyes of falling asleep: .2-.6 Hz between F7 and F8, 20-120 µV."""
    wave = rng.rhythm(scene.n, rng.uniform(0.2, 0.6), 0.15) * rng.slow_curve(scene.n, 0.7, 10)
    scene.add(_gaze_map(rng), 0, wave, rng.log_uniform(20, 120))


def _add_tremor(scene: Scene, rng: WaveGenerator) -> None:
    """Add tremor or shivering: 4-12 Hz, 5-60 µV at the back of the head, with muscle in the same rhythm, 5-120 s."""
    onset, n = _once(scene, rng, 5, 120, early=0.3)
    phase = rng.gliding_phase(n, (rng.uniform(4, 12),), jitter=0.03)
    envelope = edges(n, 1, 1) * rng.slow_curve(n, 0.5, 3)
    muscle_burst(scene, rng, onset, envelope * _beats(phase), level=rng.log_uniform(5, 80))
    wave = play(rng.cycle_table("sharp"), phase) * envelope
    scene.add(local_map(direction("O1+O2"), rng.uniform(0.3, 0.9)), onset, wave, rng.log_uniform(5, 60))
    scene.mark("movement", onset, n / SFREQ)


# Maker, and factors on how often: in sleep, below eight years.
_ARTEFACTS: dict[str, tuple[Callable[[Scene, WaveGenerator], None], float, float]] = {
    "blinks": (_add_blinks, 0.0, 1.0),
    "flutter": (_add_flutter, 0.0, 1.0),
    "saccades": (_add_saccades, 0.0, 1.0),
    "muscle": (_add_muscle, 0.6, 1.0),
    "pops": (_add_pops, 1.0, 1.0),
    "bad_electrode": (_add_bad_electrode, 1.0, 1.0),
    "movement": (_add_movement, 0.5, 1.0),
    "rhythmic_movement": (_add_rhythmic_movement, 0.5, 1.0),
    "heart": (_add_heart, 1.0, 1.0),
    "sweat": (_add_sweat, 1.0, 1.0),
    "pulse": (_add_pulse, 1.0, 1.0),
    "breath": (_add_breath, 1.0, 1.0),
    "rolling_eyes": (_add_rolling_eyes, 4.0, 1.0),
    "restlessness": (_add_restlessness, 0.5, 2.0),
    "chewing": (_add_chewing, 0.0, 2.0),
    "talk": (_add_talk, 0.0, 1.0),
    "percussion": (_add_percussion, 1.0, 2.0),
    "strain": (_add_strain, 0.2, 1.0),
    "nystagmus": (_add_nystagmus, 0.2, 1.0),
    "tremor": (_add_tremor, 0.2, 1.0),
}
