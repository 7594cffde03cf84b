"""Seizures of a recording: which kind, when, and what comes with them and after them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from restcli.events import Event
from restcli.simulate.artefacts import movement_wave, muscle_burst
from restcli.simulate.background import Brain
from restcli.simulate.discharge import Seizure, side_and_region
from restcli.simulate.head import dipole_map, nearest_electrodes, random_direction
from restcli.simulate.profiles import Profile
from restcli.simulate.scene import SMALLEST, Scene, derivation_rms
from restcli.simulate.seizure_kinds import KINDS
from restcli.simulate.waves import SFREQ, WaveGenerator, edges, generator

QUIET = frozenset({"focal", "temporal", "nonconvulsive"})
"""Kinds of which some hardly rise above the background."""
COMPACT = frozenset({"compact_focal", "compact_temporal", "compact_nonconvulsive"})
"""Kinds that the training diet has in place of those above."""
_OWN_MUSCLE = frozenset({"tonic_clonic", "tonic", "clonic", "spasms"})


def draw_kind(rng: WaveGenerator, brain: Brain, profile: Profile) -> str:
    """Draw what kind of seizures a person has; outside its typical ages a kind has a fifth of its share."""
    weights = {
        name: profile.seizures[name] * (1.0 if kind.youngest <= brain.age <= kind.oldest else 0.2)
        for name, kind in KINDS.items()
        if name != "spasms" or brain.age <= 3
    }
    if brain.age < 2:
        weights["spasms"] *= 5  # the commonest epilepsy of the first year
    if brain.state == "encephalopathic":
        weights["nonconvulsive"] *= 4  # most seizures in intensive care (Westover et al., Clin Neurophysiol 2015)
    return rng.pick(weights)


def begin_early(rng: WaveGenerator, seizures: list[Seizure], seconds: float) -> list[Seizure]:
    """Let one recording in ten begin within its first seizure, and one in twenty consist of little else."""
    chance, first = rng.random(), seizures[0]
    if chance < 0.05 and first.kind in QUIET | COMPACT:
        return [replace(first, onset=-rng.uniform(0, 30), duration=seconds * rng.uniform(0.7, 1.5))]
    if chance < 0.15 and first.kind != "spasms":
        return [replace(first, onset=-rng.uniform(0.1, 0.8) * first.duration), *seizures[1:]]
    return seizures


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
    """Place a series of spasms 4-30 s apart, which come faster at first and slow down."""
    # Kellaway et al., Ann Neurol 1979: clusters of a few to over a hundred.
    found, time, gap = [], rng.uniform(0, 0.5 * seconds), rng.log_uniform(4, 12)
    for _ in range(int(rng.integers(3, 40))):
        duration = rng.log_uniform(KINDS["spasms"].shortest, KINDS["spasms"].longest)
        if time + duration >= seconds:
            break
        found.append(Seizure("spasms", time, duration, looks))
        gap *= rng.uniform(1.0, 1.12)
        time += duration + max(4.0, min(30.0, gap * float(np.exp(rng.normal(0, 0.3)))))
    return found


def add_seizure(scene: Scene, brain: Brain, seizure: Seizure) -> Event:
    """Add one seizure to a scene; return it with its SzCORE type and the electrodes at its focus."""
    # The appearance depends only on the seed, the course on scene and onset.
    rng = scene.rng(f"seizure-{seizure.looks}-{seizure.onset:.3f}")
    looks = generator(seizure.looks)
    onset, duration = seizure.onset, seizure.duration
    span = scene.span(onset, duration)
    usual = scene.usual(span)
    with scene.layer():
        label, place = KINDS[seizure.kind].add(scene, brain, seizure, looks, rng)
        share = 0.5 if seizure.kind in COMPACT else 0.25
        gain = scene.layer_gain(span, usual, _draw_rise(looks, seizure.kind), share=share)
        if seizure.kind in QUIET:
            scene.data *= gain
        elif looks.random() < 0.75:  # a quarter is left as drawn
            scene.data *= max(np.float32(1.0), gain)
    rises = np.log(derivation_rms(scene.data[:, span]) / np.maximum(usual, SMALLEST))
    _add_body(scene, seizure, looks, rng)
    _add_aftermath(scene, brain, seizure, rng)
    scene.mark("seizure", onset, duration)
    side, region = ("generalised", "generalised") if place is None else side_and_region(place)
    channels = ("all",) if place is None else nearest_electrodes(place, 0.6)
    start, stop = max(onset, 0.0), min(onset + duration, scene.seconds)
    scene.note(
        "seizure",
        kind=seizure.kind,
        onset=start,
        duration=stop - start,
        label=label,
        side=side,
        region=region,
        rise=np.median(rises),  # neper over the derivations' usual RMS, before muscle
        rise_of_quarter=np.quantile(rises, 0.75),
    )
    return Event(start, stop - start, label, channels=channels)


def _draw_rise(looks: WaveGenerator, kind: str) -> float:
    """Draw by how much (neper) the most active quarter (half, if compact) of the derivations rises."""
    # In the shared seizures (of children) that quarter rises by .3 to 2.1; adult focal ones are quieter.
    if kind in COMPACT:
        return looks.uniform(0.35, 1.95)
    if kind not in QUIET:
        return looks.uniform(0.6, 2.3)
    ranges = {"hidden": (0.15, 0.35), "quiet": (0.35, 1.2), "loud": (1.2, 2.3)}
    return looks.uniform(*ranges[looks.pick({"hidden": 0.07, "quiet": 0.58, "loud": 0.35})])


def _add_body(scene: Scene, seizure: Seizure, looks: WaveGenerator, rng: WaveGenerator) -> None:
    """Add strain, twitches and movement during a seizure; absences are nearly free of them."""
    # About half of the real seizures in people awake are buried in muscle within 10 s.
    kind = seizure.kind.removeprefix("compact_")
    chance = {"absence": 0.35, "nonconvulsive": 0.3, "slow_spike_wave": 0.5}.get(kind, 0.7)
    if seizure.kind in _OWN_MUSCLE or looks.random() > chance:
        return
    level = looks.log_uniform(3, 100)
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
