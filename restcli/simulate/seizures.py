"""Seizures of a recording: which kind, when, and what comes with them and after them."""

from __future__ import annotations

import numpy as np

from restcli.events import Event
from restcli.simulate.artefacts import movement_wave, muscle_burst
from restcli.simulate.background import Brain
from restcli.simulate.discharge import Seizure
from restcli.simulate.head import ELECTRODES_21, dipole_map, random_direction
from restcli.simulate.profiles import Profile
from restcli.simulate.scene import Scene
from restcli.simulate.seizure_kinds import KINDS
from restcli.simulate.waves import SFREQ, Float32Array, WaveGenerator, edges, generator

_OWN_MUSCLE = frozenset({"tonic_clonic", "tonic", "clonic", "spasms"})


def draw_kind(rng: WaveGenerator, age: float, profile: Profile) -> str:
    """Draw what kind of seizures a person has; outside its typical ages a kind has a fifth of its share."""
    weights = {
        name: profile.seizures[name] * (1.0 if kind.youngest <= age <= kind.oldest else 0.2)
        for name, kind in KINDS.items()
        if name != "spasms" or age <= 3
    }
    if age < 2:
        weights["spasms"] *= 5  # the commonest epilepsy of the first year
    return rng.pick(weights)


def draw_seizures(rng: WaveGenerator, seconds: float, kind: str, *, looks: int | None = None) -> list[Seizure]:
    """Place the seizures of one episode: mostly one; absences also come in threes, spasms in clusters."""
    count = 3 if kind == "absence" and rng.random() < 0.5 else 1
    looks = int(rng.integers(2**31)) if looks is None else looks
    if kind == "spasms":
        return _draw_cluster(rng, seconds, looks)
    if kind not in ("absence", "tonic_clonic") and rng.random() < 0.2:
        count = 2
    found: list[Seizure] = []
    for _ in range(count):
        duration = min(rng.log_uniform(KINDS[kind].shortest, KINDS[kind].longest), 0.8 * seconds)
        for _attempt in range(20):
            # One seizure in eight runs into the end of the recording.
            onset = rng.uniform(0, seconds - (duration if rng.random() < 0.875 else min(duration, 5.0)))
            length = min(duration, seconds - onset)
            if all(onset + length + 4 < other.onset or other.onset + other.duration + 4 < onset for other in found):
                found.append(Seizure(kind, onset, length, looks))
                break
    return sorted(found, key=lambda seizure: seizure.onset)


def _draw_cluster(rng: WaveGenerator, seconds: float, looks: int) -> list[Seizure]:
    """Place a cluster of spasms 4-30 s apart."""
    found, time = [], rng.uniform(0, 0.5 * seconds)
    for _ in range(int(rng.integers(2, 16))):
        duration = rng.log_uniform(KINDS["spasms"].shortest, KINDS["spasms"].longest)
        if time + duration >= seconds:
            break
        found.append(Seizure("spasms", time, duration, looks))
        time += duration + rng.log_uniform(4, 30)
    return found


def add_seizure(scene: Scene, brain: Brain, seizure: Seizure) -> Event:
    """Add one seizure to a scene; return it with its SzCORE type and the electrodes at which it begins."""
    # The appearance follows from the seed alone, the course from scene and onset.
    rng = scene.rng(f"seizure-{seizure.looks}-{seizure.onset:.3f}")
    looks = generator(seizure.looks)
    onset, duration = seizure.onset, seizure.duration
    with scene.layer():
        label, field_map = KINDS[seizure.kind].add(scene, brain, seizure, looks, rng)
        # In the median derivation the real seizures looked at are 1.2 to 9 times the background; source strengths as
        # drawn mostly stay below it. A quarter is left as drawn.
        wanted = looks.log_uniform(1.0, 7.0)
        lifted = looks.random() >= 0.25
        if lifted:
            scene.data *= max(np.float32(1.0), scene.layer_gain(onset, duration, wanted))
    _add_body(scene, seizure, looks, rng)
    _add_aftermath(scene, brain, seizure, rng)
    scene.mark("seizure", onset, duration)
    scene.note(
        "seizure", kind=seizure.kind, onset=onset, duration=duration, label=label, stand_out=wanted if lifted else None
    )
    return Event(onset, duration, label, channels=onset_electrodes(field_map))


def onset_electrodes(field_map: Float32Array | None) -> tuple[str, ...]:
    """Name the electrodes that see at least half of a field's peak, strongest first; ``all`` when most do."""
    if field_map is None:
        return ("all",)
    strength = np.abs(field_map[:19])
    order = [int(i) for i in np.argsort(-strength, kind="stable") if strength[i] >= 0.5 * strength.max()]
    return ("all",) if len(order) > 12 else tuple(ELECTRODES_21[i] for i in order)


def _add_body(scene: Scene, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> None:
    """Add strain, twitches and movement during a seizure; absences are nearly free of them."""
    # About half of the real seizures in people awake are buried in muscle within 10 s.
    chance = {"absence": 0.35, "nonconvulsive": 0.3, "slow_spike_wave": 0.5}.get(seizure.kind, 0.7)
    if seizure.kind in _OWN_MUSCLE or looks.random() > chance:
        return
    level = looks.log_uniform(4, 120)
    for _ in range(int(rng.integers(1, 6))):
        length = min(rng.log_uniform(0.5, 120), seizure.duration)
        onset = seizure.onset + rng.uniform(0, max(seizure.duration - length, 0))
        n = max(20, round(length * SFREQ))
        envelope = edges(n, min(length / 2, rng.log_uniform(0.1, 6)), rng.uniform(0.1, 0.8))
        if rng.random() < 0.3:
            phase = rng.gliding_phase(n, (rng.log_uniform(0.8, 6),), jitter=0.1)
            envelope = envelope * np.exp(-(phase % 1.0) / rng.uniform(0.1, 0.6)).astype(np.float32)
        muscle_burst(scene, rng, onset, envelope, level=level * float(np.exp(rng.normal(0, 0.5))))
    if looks.random() < 0.35:
        size = looks.log_uniform(10, 400)
        late = np.linspace(rng.uniform(0, 1), 1, seizure.n).astype(np.float32)
        movement_wave(scene, rng, seizure.onset, edges(seizure.n, 1, 1) * late * np.float32(size))


def _add_aftermath(scene: Scene, brain: Brain, seizure: Seizure, rng: WaveGenerator) -> None:
    """Suppress and slow the background after 60 % of the seizures of 10 s and more, but not after absences."""
    if seizure.kind in ("absence", "slow_spike_wave") or seizure.duration < 10 or rng.random() > 0.6:
        return
    start = seizure.onset + seizure.duration
    duration = min(rng.log_uniform(5, 60), scene.seconds - start)
    if duration < 2:
        return
    scene.attenuate(start, duration, rng.uniform(0.2, 0.9), rise=0.3, fall=duration / 3)
    n = round(duration * SFREQ)
    for _ in range(3):
        wave = rng.rhythm(n, rng.uniform(0.8, 3), 0.6) * edges(n, 1.0, duration / 2)
        strength = brain.base * rng.log_uniform(0.3, 1.5)
        scene.add(dipole_map(rng, random_direction(rng)), start, wave, strength)
    scene.mark("postictal", start, duration)
