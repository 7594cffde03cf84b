"""What is recorded from eyes, muscles, heart, skin, cables and mains; knows nothing of brains or seizures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from restcli.simulate.waves import (
    ELECTRODES_21,
    Float32Array,
    Scene,
    band_noise,
    cycle_table,
    direction,
    edges,
    local_map,
    log_uniform,
    movement_wave,
    muscle_burst,
    per_cycle,
    phase_track,
    pick,
    play,
    poisson_times,
    positions,
    rhythm,
    slow_curve,
)


def eye_map(rng: np.random.Generator, vertical: bool) -> Float32Array:
    """Field of the eyes' dipoles: falls off from FP1/FP2 backwards, or has opposite signs at F7 and F8."""
    x, y, z = positions().T
    if vertical:
        field_map = np.exp(-(1 - y) / rng.uniform(0.15, 0.4)) * (1 - 0.3 * np.clip(z, 0, 1))
    else:
        field_map = np.exp(-(1 - y) / rng.uniform(0.4, 0.9)) * x * 1.6
    return np.asarray(field_map / np.abs(field_map[:19]).max(), dtype=np.float32)


def add_artefacts(scene: Scene, state: str, age: float, *, amount: float = 1.0) -> None:
    """Add what a body and a room add to a recording; a drawn level scales how much.

    Parameters
    ----------
    scene : Scene
        Already holding what the brain does.
    state : str
        Vigilance: who sleeps does not blink.
    age : float
        Years; NaN when unknown.
    amount : float
        Factor on the level.

    Notes
    -----
    Amplitudes are absolute (µV at the electrode), since a body does not know how large its brain's potentials are.
    Ranges after Barlow, *Artifact Processing (Rejection and Minimization) in EEG Data Processing*, in Handbook of
    Electroencephalography and Clinical Neurophysiology, Elsevier 1986, and Tatum et al., *Artifact and recording
    concepts in EEG*, Journal of Clinical Neurophysiology 2011.
    """
    rng = scene.rng("artefacts")
    level = amount * rng.uniform(0.2, 1.2)
    scene.note("artefact_level", level=level)
    body = "body" in scene.components
    asleep = body and state in ("n2", "n3")
    waking = 1.6 if body and state == "awake" else 1.0
    chances: list[tuple[float, Callable[[Scene, np.random.Generator], None]]] = [
        (0.0 if asleep else 0.6 * waking, _add_blinks),
        (0.0 if asleep else 0.15, _add_flutter),
        (0.0 if asleep else 0.4 * waking, _add_saccades),
        (0.7, _add_muscle),
        (0.3, _add_pops),
        (0.2, _add_bad_electrode),
        (0.35, _add_movement),
        (0.2, _add_rhythmic_movement),
        (0.4, _add_heart),
        (0.25, _add_sweat),
    ]
    for chance, maker in chances:
        if rng.random() < chance * level:
            maker(scene, rng)
    if body:
        _add_body(scene, level, asleep=asleep, young=age < 8)


def _add_body(scene: Scene, level: float, *, asleep: bool, young: bool) -> None:
    """Add what the first simulator lacked: restless people, rhythms, talk, pulse, breath, nystagmus, long strain."""
    rng = scene.rng("body")
    awake = 0.15 if asleep else 1.0
    chances: list[tuple[float, Callable[[Scene, np.random.Generator], None]]] = [
        ((0.45 if young else 0.15) * awake, _add_restlessness),
        ((0.3 if young else 0.15) * awake, _add_chewing),
        (0.15 * awake, _add_talk),
        ((0.25 if young else 0.12), _add_percussion),
        (0.2 * awake, _add_strain),
        (0.12, _add_pulse),
        (0.12, _add_breath),
        (0.04 * awake, _add_nystagmus),
        (0.3 * (1.0 - awake) + 0.08, _add_rolling_eyes),
        (0.05, _add_tremor),
    ]
    for chance, maker in chances:
        if rng.random() < chance * level:
            maker(scene, rng)


def _add_blinks(scene: Scene, rng: np.random.Generator) -> None:
    """Add blinks: 60-250 µV at FP1/FP2, 2-25 a minute, .2-.5 s."""
    field_map, amplitude = eye_map(rng, True), log_uniform(rng, 60, 250)
    for onset in poisson_times(rng, rng.uniform(2, 25) / 60, scene.seconds):
        n = round(rng.uniform(0.2, 0.5) * 200)
        time = np.arange(n) / n
        wave = np.sin(np.pi * time) ** 2 - 0.15 * np.sin(np.pi * time**2)
        scene.add(field_map, onset, (amplitude * np.exp(rng.normal(0, 0.25)) * wave).astype(np.float32))


def _add_flutter(scene: Scene, rng: np.random.Generator) -> None:
    """Add eyelid flutter: 2.5-7 Hz, 20-120 µV, 1-8 s."""
    field_map = eye_map(rng, True)
    for onset in poisson_times(rng, rng.uniform(0.5, 3) / 60, scene.seconds):
        n = round(log_uniform(rng, 1, 8) * 200)
        phase = phase_track(rng, n, (rng.uniform(2.5, 7),), jitter=0.08)
        wave = play(cycle_table(rng, "sharp"), phase) * per_cycle(rng, phase, 0.25) * edges(n, 0.3, 0.3)
        scene.add(field_map, onset, wave * np.float32(log_uniform(rng, 20, 120)))
        scene.mark("flutter", onset, onset + n / 200)


def _add_saccades(scene: Scene, rng: np.random.Generator) -> None:
    """Add lateral eye movements: steps of 15-100 µV between F7 and F8, held .2-2 s."""
    field_map = eye_map(rng, False)
    for onset in poisson_times(rng, rng.uniform(2, 20) / 60, scene.seconds):
        n = round(rng.uniform(0.2, 2) * 200)
        wave = edges(n, 0.05, 0.06) * rng.choice([-1, 1]) * log_uniform(rng, 15, 100)
        scene.add(field_map, onset, wave.astype(np.float32))


def _add_muscle(scene: Scene, rng: np.random.Generator) -> None:
    """Add muscle bursts: .3-40 s, 4-90 µV RMS; a quarter of them rhythmic (chewing, tremor)."""
    for onset in poisson_times(rng, rng.uniform(0.5, 4) / 60, scene.seconds):
        n = round(log_uniform(rng, 0.3, 40) * 200)
        envelope = edges(n, rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.8))
        rhythmic = rng.random() < 0.25
        if rhythmic:
            phase = phase_track(rng, n, (log_uniform(rng, 1, 8),), jitter=0.06)
            envelope = envelope * (0.5 + 0.5 * np.sin(2 * np.pi * phase)).astype(np.float32) ** 2
        level = log_uniform(rng, 4, 90)
        muscle_burst(scene, rng, onset, envelope, level=level)
        scene.mark("muscle", onset, onset + n / 200)
        scene.note("muscle", onset=onset, duration=n / 200, level=level, rhythmic=rhythmic)


def _add_pops(scene: Scene, rng: np.random.Generator) -> None:
    """Add electrode pops: a step of 50-400 µV at one electrode that decays within .05-.6 s."""
    site = int(rng.integers(0, 19))
    field_map = np.zeros(len(ELECTRODES_21), dtype=np.float32)
    field_map[site] = 1
    for onset in poisson_times(rng, rng.uniform(1, 12) / 60, scene.seconds):
        n = 300
        wave = np.exp(-np.arange(n) / (rng.uniform(0.05, 0.6) * 200)) * rng.choice([-1, 1]) * log_uniform(rng, 50, 400)
        scene.add(field_map, onset, wave.astype(np.float32))
        scene.mark("pop", onset, onset + 1)


def _add_bad_electrode(scene: Scene, rng: np.random.Generator) -> None:
    """Add one noisy electrode: slow drift and broad noise of 10-150 µV for 10 s to the end."""
    site = int(rng.integers(0, 19))
    onset = rng.uniform(0, scene.seconds * 0.8)
    n = round(min(log_uniform(rng, 10, 300), scene.seconds - onset) * 200)
    wave = rhythm(rng, n, 0.8, 1.0) + rng.uniform(0.1, 1) * band_noise(rng, n, 1, 90)
    field_map = np.zeros(len(ELECTRODES_21), dtype=np.float32)
    field_map[site] = 1
    scene.add(field_map, onset, wave * slow_curve(rng, n, 0.7, 2) * np.float32(log_uniform(rng, 10, 150)))
    scene.mark("bad_electrode", onset, onset + n / 200)
    scene.note("bad_electrode", electrode=ELECTRODES_21[site], onset=onset, duration=n / 200)


def _add_movement(scene: Scene, rng: np.random.Generator) -> None:
    """Add head and body movement: irregular waves below 4 Hz, 30-300 µV, 1-15 s, many electrodes unlike each other."""
    for onset in poisson_times(rng, rng.uniform(0.4, 2) / 60, scene.seconds):
        n = round(log_uniform(rng, 1, 15) * 200)
        amplitude = log_uniform(rng, 30, 300)
        movement_wave(scene, rng, onset, edges(n, 0.4, 0.6) * np.float32(amplitude))
        scene.mark("movement", onset, onset + n / 200)
        scene.note("movement", onset=onset, duration=n / 200, amplitude=amplitude)


def _add_rhythmic_movement(scene: Scene, rng: np.random.Generator) -> None:
    """Add rhythmic movement (patting, tremor, head on the pillow): 1-7 Hz, 10-150 µV, 2-30 s, locally."""
    for onset in poisson_times(rng, rng.uniform(0.4, 1.5) / 60, scene.seconds):
        n = round(log_uniform(rng, 2, 30) * 200)
        phase = phase_track(rng, n, (log_uniform(rng, 1, 7),), jitter=rng.uniform(0.02, 0.12))
        wave = play(cycle_table(rng, "sharp"), phase) * per_cycle(rng, phase, 0.3) * edges(n, 0.5, 0.5)
        place = direction(ELECTRODES_21[int(rng.integers(0, 21))])
        scene.add(local_map(place, rng.uniform(0.25, 0.7)), onset, wave * np.float32(log_uniform(rng, 10, 150)))
        scene.mark("movement", onset, onset + n / 200)


def _add_heart(scene: Scene, rng: np.random.Generator) -> None:
    """Add the ECG, 1.5-25 µV, 50-130 a minute, strongest at the ears and the left side."""
    rate, amplitude = rng.uniform(50, 130) / 60, log_uniform(rng, 1.5, 25)
    x, _, z = positions().T
    field_map = (0.5 - rng.uniform(0.2, 0.6) * x - 0.5 * z + rng.normal(0, 0.1, len(x))).astype(np.float32)
    phase = phase_track(rng, scene.n, (rate,), jitter=0.03, knot=1.0)
    time = (phase % 1.0) / rate  # seconds after each beat's start
    wave = np.exp(-0.5 * ((time - 0.2) / 0.012) ** 2) - 0.3 * np.exp(-0.5 * ((time - 0.235) / 0.014) ** 2)
    wave = wave + 0.15 * np.exp(-0.5 * ((time - 0.45) / 0.05) ** 2)
    scene.add(field_map, 0, (amplitude * wave).astype(np.float32))
    scene.note("heart", rate=rate, amplitude=amplitude)


def _add_sweat(scene: Scene, rng: np.random.Generator) -> None:
    """Add sweat sway: .1-.5 Hz, 15-150 µV over some electrodes."""
    for _ in range(int(rng.integers(1, 5))):
        wave = rhythm(rng, scene.n, rng.uniform(0.1, 0.5), 0.15)
        place = direction(ELECTRODES_21[int(rng.integers(0, 19))])
        scene.add(local_map(place, rng.uniform(0.3, 0.9)), 0, wave * np.float32(log_uniform(rng, 15, 150)))


def _add_restlessness(scene: Scene, rng: np.random.Generator) -> None:
    """Add a restless spell of 5-100 s: movement of 50-1,000 µV in jerks of .5-12 s, with muscle of 5-150 µV."""
    length = log_uniform(rng, 5, 100)
    first = rng.uniform(0, max(scene.seconds - length / 2, 1))
    size = log_uniform(rng, 50, 600)
    time = first
    while time < first + length:
        n = round(log_uniform(rng, 0.5, 12) * 200)
        shape = edges(n, rng.uniform(0.05, 1), rng.uniform(0.1, 1.5))
        movement_wave(scene, rng, time, shape * np.float32(min(1000.0, size * np.exp(rng.normal(0, 0.6)))))
        if rng.random() < 0.6:
            muscle_burst(scene, rng, time, shape, level=log_uniform(rng, 5, 150))
        scene.mark("movement", time, time + n / 200)
        time += n / 200 + log_uniform(rng, 0.3, 10)
    scene.note("restlessness", onset=first, duration=length, amplitude=size)


def _add_chewing(scene: Scene, rng: np.random.Generator) -> None:
    """Add chewing or sucking: bursts of temporal muscle at .8-2.6 Hz over 3-40 s, with the tongue's slow potential."""
    n = round(log_uniform(rng, 3, 40) * 200)
    onset = rng.uniform(0, scene.seconds)
    phase = phase_track(rng, n, (rng.uniform(0.8, 2.6),), jitter=0.07)
    gate = np.exp(-0.5 * (((phase % 1.0) - 0.5) / rng.uniform(0.08, 0.2)) ** 2).astype(np.float32)
    level = log_uniform(rng, 8, 150)
    envelope = gate * per_cycle(rng, phase, 0.3) * edges(n, 0.5, 0.5)
    for site in ("T3", "T4", "F7", "F8"):
        wave = band_noise(rng, n, rng.uniform(15, 30), 95) * envelope
        scene.add(local_map(direction(site), 0.3), onset, wave * np.float32(level * rng.uniform(0.3, 1)))
    tongue = play(cycle_table(rng, "sharp"), phase) * edges(n, 0.5, 0.5)
    scene.add(_tongue_map(rng), onset, tongue * np.float32(log_uniform(rng, 5, 80)))
    scene.mark("muscle", onset, onset + n / 200)
    scene.note("chewing", onset=onset, duration=n / 200, level=level)


def _tongue_map(rng: np.random.Generator) -> Float32Array:
    """Field of the tongue's dipole: broad, from below, front against back (glossokinetic potential)."""
    _, y, z = positions().T
    field_map = -0.8 * z + rng.uniform(0.1, 0.9) * y + rng.normal(0, 0.1, len(z))
    return np.asarray(field_map / np.abs(field_map[:19]).max(), dtype=np.float32)


def _add_talk(scene: Scene, rng: np.random.Generator) -> None:
    """Add talking: irregular glossokinetic waves of 1-5 Hz, 10-120 µV, with muscle, for 3-60 s."""
    n = round(log_uniform(rng, 3, 60) * 200)
    onset = rng.uniform(0, scene.seconds)
    wave = rhythm(rng, n, rng.uniform(1, 4), rng.uniform(0.5, 1.2)) * slow_curve(rng, n, 0.8, 0.8) * edges(n, 0.3, 0.3)
    scene.add(_tongue_map(rng), onset, wave * np.float32(log_uniform(rng, 10, 120)))
    muscle_burst(scene, rng, onset, edges(n, 0.3, 0.3) * slow_curve(rng, n, 0.8, 0.4), level=log_uniform(rng, 3, 60))
    scene.mark("muscle", onset, onset + n / 200)


def _add_percussion(scene: Scene, rng: np.random.Generator) -> None:
    """Add patting, rocking, chest percussion: 1-12 Hz, 15-500 µV, 3-60 s, at times speeding up or slowing down."""
    n = round(log_uniform(rng, 3, 60) * 200)
    onset = rng.uniform(0, scene.seconds)
    start = log_uniform(rng, 1, 12)
    path = (start, start * (np.exp(rng.normal(0, 0.25)) if rng.random() < 0.5 else 1.0))
    phase = phase_track(rng, n, path, jitter=rng.uniform(0.01, 0.08))
    wave = play(cycle_table(rng, pick(rng, {"sharp": 3, "sine": 1, "pulse": 1})), phase)
    wave = wave * per_cycle(rng, phase, 0.25) * slow_curve(rng, n, 0.4, 3) * edges(n, 0.7, 0.7)
    back = direction(pick(rng, {"O1+O2": 2, "O1": 1, "O2": 1, "T5": 1, "T6": 1, "T3": 1, "T4": 1, "CZ": 0.5}))
    uneven = np.exp(rng.normal(0, 0.4, len(ELECTRODES_21))).astype(np.float32)
    sign = np.where(rng.random(len(ELECTRODES_21)) < 0.2, -1, 1).astype(np.float32)
    field_map = local_map(back, rng.uniform(0.3, 1.5)) * uneven * sign
    amplitude = log_uniform(rng, 15, 500)
    scene.add(field_map, onset, wave * np.float32(amplitude))
    scene.mark("movement", onset, onset + n / 200)
    scene.note("percussion", onset=onset, duration=n / 200, frequency=path, amplitude=amplitude)


def _add_strain(scene: Scene, rng: np.random.Generator) -> None:
    """Add long tension: muscle of 8-150 µV for 10-120 s, rising and falling over seconds."""
    n = round(log_uniform(rng, 10, 120) * 200)
    onset = rng.uniform(-0.3 * n / 200, scene.seconds)
    envelope = edges(n, rng.uniform(0.2, 8), rng.uniform(0.2, 8)) * slow_curve(rng, n, 0.4, 3)
    level = log_uniform(rng, 8, 150)
    muscle_burst(scene, rng, onset, envelope, level=level)
    scene.mark("muscle", onset, onset + n / 200)
    scene.note("strain", onset=onset, duration=n / 200, level=level)


def _add_pulse(scene: Scene, rng: np.random.Generator) -> None:
    """Add a pulse wave at one electrode over an artery: 50-140 a minute, 10-80 µV, smooth."""
    phase = phase_track(rng, scene.n, (rng.uniform(50, 140) / 60,), jitter=0.03, knot=1.0)
    field_map = np.zeros(len(ELECTRODES_21), dtype=np.float32)
    field_map[int(rng.integers(0, 19))] = 1
    wave = play(cycle_table(rng, "sharp"), phase) * slow_curve(rng, scene.n, 0.3, 15)
    scene.add(field_map, 0, wave * np.float32(log_uniform(rng, 10, 80)))


def _add_breath(scene: Scene, rng: np.random.Generator) -> None:
    """Add breathing or a ventilator: .2-.6 Hz, 10-150 µV, some electrodes."""
    phase = phase_track(rng, scene.n, (rng.uniform(0.2, 0.6),), jitter=0.06, knot=3.0)
    wave = play(cycle_table(rng, "sharp"), phase)
    place = direction(ELECTRODES_21[int(rng.integers(0, 19))])
    scene.add(local_map(place, rng.uniform(0.2, 0.8)), 0, wave * np.float32(log_uniform(rng, 10, 150)))


def _add_nystagmus(scene: Scene, rng: np.random.Generator) -> None:
    """Add nystagmus: sawtooth of 1-4 Hz between F7 and F8, 15-100 µV, 3-40 s."""
    n = round(log_uniform(rng, 3, 40) * 200)
    onset = rng.uniform(0, scene.seconds)
    phase = phase_track(rng, n, (rng.uniform(1, 4),), jitter=0.08)
    wave = ((phase % 1.0) - 0.5).astype(np.float32) * per_cycle(rng, phase, 0.2) * edges(n, 0.3, 0.3)
    scene.add(eye_map(rng, False), onset, wave * np.float32(log_uniform(rng, 30, 200)))
    scene.mark("eyes", onset, onset + n / 200)


def _add_rolling_eyes(scene: Scene, rng: np.random.Generator) -> None:
    """Add the slow rolling eyes of falling asleep: .2-.6 Hz between F7 and F8, 20-120 µV."""
    wave = rhythm(rng, scene.n, rng.uniform(0.2, 0.6), 0.15) * slow_curve(rng, scene.n, 0.7, 10)
    scene.add(eye_map(rng, False), 0, wave * np.float32(log_uniform(rng, 20, 120)))


def _add_tremor(scene: Scene, rng: np.random.Generator) -> None:
    """Add tremor or shivering: 4-12 Hz, 5-60 µV at the back of the head, with muscle at the same beat, 5-120 s."""
    n = round(log_uniform(rng, 5, 120) * 200)
    onset = rng.uniform(-0.3 * n / 200, scene.seconds)
    phase = phase_track(rng, n, (rng.uniform(4, 12),), jitter=0.03)
    envelope = edges(n, 1, 1) * slow_curve(rng, n, 0.5, 3)
    beat = (0.5 + 0.5 * np.sin(2 * np.pi * phase)).astype(np.float32)
    muscle_burst(scene, rng, onset, envelope * beat, level=log_uniform(rng, 5, 80))
    wave = play(cycle_table(rng, "sharp"), phase) * envelope
    scene.add(local_map(direction("O1+O2"), rng.uniform(0.3, 0.9)), onset, wave * np.float32(log_uniform(rng, 5, 60)))
    scene.mark("movement", onset, onset + n / 200)
