"""Draw recordings with known seizures, artefacts and mimics from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from restcli.errors import UsageError
from restcli.events import Event, Events
from restcli.simulate.artefacts import add_artefacts
from restcli.simulate.background import Brain, add_background, draw_brain, next_state
from restcli.simulate.chain import Chain, Recorder, draw_chain, operate
from restcli.simulate.discharge import Seizure
from restcli.simulate.mimics import add_mimics
from restcli.simulate.profiles import TRAINING, Profile
from restcli.simulate.scene import Scene
from restcli.simulate.seizures import add_seizure, begin_early, draw_kind, draw_seizures
from restcli.simulate.waves import SFREQ, BoolArray, Float32Array, WaveGenerator

SEGMENT = 300.0  # s: what a long recording is made of; bounds the memory
_OVERLAP = 2.0  # s: segments are faded into each other before anything is recorded
VERSION = 7  # to be raised whenever the same seed gives other bytes


@dataclass(frozen=True)
class SimulateOptions:
    """What to simulate; None leaves it to chance."""

    seizure_share: float = 0.7  # of recordings with a seizure
    ages: tuple[float, float] | None = None  # youngest and oldest, years
    state: str | None = None  # awake, drowsy, n2, n3 or encephalopathic, throughout
    healthy: bool = False  # no encephalopathy and no mimics
    artefacts: float = 1.0  # factor on how many there are
    chain: Chain | None = None
    profile: Profile = TRAINING  # how often people, states, artefacts and patterns occur


@dataclass(frozen=True, eq=False)
class Simulated:
    """One simulated recording at 200 Hz."""

    labels: tuple[str, ...]  # C electrodes, referential
    data: Float32Array  # (C, n), µV as recorded
    events: Events  # with SzCORE types and onset electrodes
    drawn: dict[str, Any]  # everything that was drawn, ready for JSON
    states: dict[str, BoolArray]  # (T,), seconds touched by a seizure, mimic, ...


def draw(seed: int, *, seconds: float = 120.0, options: SimulateOptions | None = None) -> Simulated:
    """Draw one recording; the same seed gives the same bytes."""
    # The chain acts on the finished mixture, so that none of its properties can betray a seizure.
    options = options or SimulateOptions()
    scene = Scene((seed,), round(seconds * SFREQ))
    person = scene.rng("person")
    brain = _draw_person(person, options)
    has_seizure = person.random() < options.seizure_share
    seizures = draw_seizures(person, seconds, draw_kind(person, brain, options.profile)) if has_seizure else []
    seizures = begin_early(person, seizures, seconds) if seizures else []
    events = _fill(scene, brain, options, seizures)
    chain = options.chain or draw_chain(scene.rng("chain"))
    recorder = Recorder(chain, scene.rng("noise"))
    data = recorder.record(scene.data, operate(scene, chain, options.profile))
    drawn = {"version": VERSION, "seed": seed, "seconds": seconds, "chain": asdict(chain), "scene": scene.drawn}
    return Simulated(recorder.labels, data, Events(events, seconds), drawn, scene.states)


def _draw_person(rng: WaveGenerator, options: SimulateOptions) -> Brain:
    youngest, oldest = options.ages or (0.0, np.inf)
    for _ in range(1000):
        brain = draw_brain(rng, options.profile)
        fits = youngest <= brain.age <= oldest and options.state in (None, brain.state)
        if fits and not (options.healthy and brain.state == "encephalopathic"):
            return brain
    raise UsageError("simulate", "nobody fits the ages and the state asked for", "a state that people can be in")


def _fill(scene: Scene, brain: Brain, options: SimulateOptions, seizures: list[Seizure]) -> tuple[Event, ...]:
    """Put everything that brain and body do into an empty scene; return the seizures."""
    add_background(scene, brain, brain.state)
    if options.state is None:
        _change_state(scene, brain)
    if not options.healthy:
        add_mimics(scene, brain, options.profile, focus=seizures[0].place if seizures else None)
    events = tuple(add_seizure(scene, brain, seizure) for seizure in seizures)
    add_artefacts(scene, brain.state, brain.age, options.profile, amount=options.artefacts)
    return events


def _change_state(scene: Scene, brain: Brain) -> None:
    """In a quarter of scenes let the person drift into another state within 1-20 s."""
    rng = scene.rng("change")
    if rng.random() > 0.25 or scene.seconds < 30:
        return
    other = next_state(rng, brain.state)
    later = Scene((*scene.seed, 1), scene.n)
    add_background(later, brain, other)
    middle, width = rng.uniform(0.1, 0.9) * scene.seconds, rng.uniform(1, 20)
    turn = np.clip((np.arange(scene.n) / SFREQ - middle) / width + 0.5, 0, 1).astype(np.float32) * np.float32(np.pi / 2)
    scene.data *= np.cos(turn)
    scene.data += later.data * np.sin(turn)
    scene.note("change", to=other, at=middle)


def draw_long(
    seed: int, *, seconds: float, seizures_per_day: float, options: SimulateOptions | None = None
) -> Iterator[Simulated]:
    """Draw a long recording of one person in segments of at most `SEGMENT` + 60 s, timed from its own start."""
    # Segments fade into each other as potentials, and filters keep their state: no seam is recorded.
    options = options or SimulateOptions()
    whole = Scene((seed,), 0)
    rng = whole.rng("course")
    brain = _draw_person(whole.rng("person"), options)
    kind, looks = draw_kind(rng, brain, options.profile), int(rng.integers(2**31))
    chain = options.chain or draw_chain(whole.rng("chain"))
    recorder = Recorder(chain, whole.rng("noise"))
    drift, start, tail = 0.0, 0.0, None
    while start < seconds:
        length = seconds - start if seconds - start < SEGMENT + 60 else SEGMENT
        overlap = _OVERLAP if start + length < seconds else 0.0
        scene = Scene((seed, 1 + int(start)), round((length + overlap) * SFREQ))
        seizures = _draw_episode(rng, length, seizures_per_day / 86400, kind, looks)
        drift = 0.9 * drift + rng.normal(0, 0.06)
        events = _fill(scene, replace(brain, base=brain.base * float(np.exp(drift))), options, seizures)
        if options.state is None:
            brain = replace(brain, state=next_state(rng, brain.state))
        n = round(length * SFREQ)
        if tail is not None:  # powers add up
            fade = min(tail.shape[1], scene.n)
            turn = np.linspace(0, np.pi / 2, fade).astype(np.float32)
            scene.data[:, :fade] = tail[:, :fade] * np.cos(turn) + scene.data[:, :fade] * np.sin(turn)
        tail = scene.data[:, n:].copy()
        data = recorder.record(scene.data[:, :n], operate(scene, chain, options.profile))
        drawn = {"start": start, "chain": asdict(chain), "scene": scene.drawn}
        states = {name: mask[: int(length)] for name, mask in scene.states.items()}
        yield Simulated(recorder.labels, data, Events(events, length), drawn, states)
        start += length


def _draw_episode(rng: WaveGenerator, length: float, rate: float, kind: str, looks: int) -> list[Seizure]:
    """Place at most one episode in a segment, clear of its seams."""
    inner = length - 2 * _OVERLAP
    if rng.random() >= 1 - np.exp(-rate * length) or inner < 20:
        return []
    found = draw_seizures(rng, inner, kind, looks=looks)
    return [replace(seizure, onset=seizure.onset + _OVERLAP) for seizure in found]
