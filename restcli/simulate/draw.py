"""Draw recordings with known seizures, artefacts and mimics from a seed; knows nothing of networks or commands."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np

from restcli.errors import UsageError
from restcli.events import Event, Events
from restcli.simulate.artefacts import add_artefacts
from restcli.simulate.background import add_background, draw_brain, next_state
from restcli.simulate.chain import Chain, Recorder, draw_chain, operate
from restcli.simulate.mimics import add_mimics
from restcli.simulate.seizures import Plan, add_seizure, draw_kind, plan_seizures
from restcli.simulate.waves import SFREQ, BoolArray, Brain, Float32Array, Scene

PIECE = 300.0  # s: what a long recording is made of; bounds the memory
_OVERLAP = 2.0  # s: pieces are faded into each other before anything is recorded
# Changes whenever the same seed gives other bytes.
VERSION = 4
# What can be switched on beyond the first simulator: muscle in seizures; people with an age, two halves of the brain
# that work together and a restless background; normal variants; what bodies do; what machines do; seizures of more
# kinds, irregular, longer, lower and higher.
COMPONENTS = frozenset({"ictal_muscle", "people", "variants", "body", "machine", "discharges"})
FIRST = frozenset({"ictal_muscle"})


@dataclass(frozen=True)
class SimulateOptions:
    """What to simulate.

    Parameters
    ----------
    seizure_share : float
        Fraction of recordings that hold a seizure; 0 draws background only.
    components : frozenset of str
        Optional components that are switched on, some of `COMPONENTS`.
    ages : tuple of float, optional
        Youngest and oldest age, years; all ages when not given.
    state : str, optional
        The state to begin in (``awake``, ``drowsy``, ``n2``, ``n3``, ``encephalopathic``); any when not given.
    healthy : bool
        No sick people and no pathological mimics.
    artefacts : float
        Factor on how many artefacts there are.
    chain : Chain, optional
        One recording chain for all; drawn for each recording when not given.
    """

    seizure_share: float = 0.7
    components: frozenset[str] = COMPONENTS
    ages: tuple[float, float] | None = None
    state: str | None = None
    healthy: bool = False
    artefacts: float = 1.0
    chain: Chain | None = None

    def __post_init__(self) -> None:
        unknown = self.components - COMPONENTS
        if unknown or not 0 <= self.seizure_share <= 1:
            raise UsageError(
                "simulate",
                f"components {sorted(unknown)} or seizure share {self.seizure_share} make no sense",
                f"some of {sorted(COMPONENTS)}, a share between 0 and 1",
            )


@dataclass(frozen=True, eq=False)
class Simulated:
    """One simulated recording.

    Parameters
    ----------
    seed : int
        What it was drawn from.
    labels : tuple of str
        C electrode names (referential).
    data : ndarray of float32, shape (C, n)
        µV as recorded.
    events : Events
        The seizures, with SzCORE types and onset electrodes.
    drawn : dict
        Everything that was drawn, ready for JSON.
    states : dict of str to ndarray of bool, shape (T,)
        Seconds touched by a seizure, mimic, movement, muscle and so on.
    sfreq : float
        Sampling rate, Hz.
    """

    seed: int
    labels: tuple[str, ...]
    data: Float32Array
    events: Events
    drawn: dict[str, Any]
    states: dict[str, BoolArray] = field(default_factory=dict)
    sfreq: float = SFREQ


def draw(seed: int, *, seconds: float = 120.0, options: SimulateOptions | None = None) -> Simulated:
    """Draw one recording; the same seed gives the same bytes.

    Parameters
    ----------
    seed : int
        Identity of the recording.
    seconds : float
        Its length.
    options : SimulateOptions, optional
        What to simulate.

    Returns
    -------
    Simulated

    Notes
    -----
    Potentials of brain, body and room are mixed at 21 electrodes; only then do reference, filters, noise and converter
    act on the whole, so that no property of the recording chain can betray a seizure.
    """
    options = options or SimulateOptions()
    scene = Scene((seed,), round(seconds * SFREQ), options.components)
    person = scene.rng("person")
    brain = _draw_fitting_brain(person, options)
    plans: list[Plan] = []
    if person.random() < options.seizure_share:
        plans = plan_seizures(person, seconds, draw_kind(person, brain.age, options.components), options.components)
    events = _fill(scene, brain, options, plans)
    chain = options.chain or draw_chain(scene.rng("chain"), options.components)
    recorder = Recorder(chain, scene.rng("noise"))
    data = recorder.record(scene.data, operate(scene, chain))
    drawn = {"version": VERSION, "seed": seed, "seconds": seconds, "chain": chain.drawn(), "scene": scene.drawn}
    return Simulated(seed, recorder.labels, data, Events(events, seconds), drawn, scene.states)


def _draw_fitting_brain(rng: np.random.Generator, options: SimulateOptions) -> Brain:
    """Draw people until one fits the options."""
    youngest, oldest = options.ages or (-np.inf, np.inf)
    for _ in range(1000):
        brain = draw_brain(rng, options.components)
        fits = not (brain.age < youngest or brain.age > oldest)
        if fits and options.state in (None, brain.state) and not (options.healthy and brain.state == "encephalopathic"):
            return brain
    raise UsageError("simulate", "nobody fits the ages and the state asked for", "a state that people can be in")


def _fill(scene: Scene, brain: Brain, options: SimulateOptions, plans: list[Plan]) -> tuple[Event, ...]:
    """Put everything that brain and body do into an empty scene; return the seizures."""
    add_background(scene, brain, brain.state)
    if options.state is None:
        _change_state(scene, brain, brain.state)
    if not options.healthy:
        focus = plans[0].place if plans else None
        add_mimics(scene, brain, brain.state, has_seizure=bool(plans), focus=focus)
    events = tuple(add_seizure(scene, brain, plan) for plan in plans)
    add_artefacts(scene, brain.state, brain.age, amount=options.artefacts)
    return events


def _change_state(scene: Scene, brain: Brain, state: str) -> None:
    """In a quarter of stretches let the person drift into another state, within 1-20 s: nothing of it is a seizure."""
    rng = scene.rng("change")
    if "people" not in scene.components or rng.random() > 0.25 or scene.seconds < 30:
        return
    other = next_state(rng, state)
    later = Scene((*scene.seed, 1), scene.n, scene.components)
    add_background(later, brain, other)
    middle, width = rng.uniform(0.1, 0.9) * scene.seconds, rng.uniform(1, 20)
    turn = np.clip((np.arange(scene.n) / SFREQ - middle) / width + 0.5, 0, 1).astype(np.float32) * np.float32(np.pi / 2)
    scene.data *= np.cos(turn)
    scene.data += later.data * np.sin(turn)
    scene.note("change", to=other, at=middle)


def stream(
    first_seed: int, n: int, seconds: float = 120.0, *, workers: int = 2, options: SimulateOptions | None = None
) -> Iterator[Simulated]:
    """Draw recordings of consecutive seeds, in order, in several processes; the result does not depend on how many.

    Parameters
    ----------
    first_seed, n : int
        Seeds ``first_seed .. first_seed + n - 1``.
    seconds : float
        Length of each.
    workers : int
        Processes; 0 or 1 draws in this one.
    options : SimulateOptions, optional
        What to simulate.

    Yields
    ------
    Simulated
    """
    make = partial(draw, seconds=seconds, options=options)
    seeds = iter(range(first_seed, first_seed + n))
    if workers <= 1:
        yield from map(make, seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(make, seed) for seed in islice(seeds, 4 * workers)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(make, seed) for seed in islice(seeds, 1)]


def draw_long(
    seed: int, *, seconds: float, seizures_per_day: float, options: SimulateOptions | None = None
) -> Iterator[Simulated]:
    """Draw a long recording of one person piece by piece, in bounded memory.

    Parameters
    ----------
    seed : int
        Identity of the recording.
    seconds : float
        Its length, whole seconds.
    seizures_per_day : float
        Mean number of seizure episodes in 24 h; a cluster of spasms or three absences are one episode.
    options : SimulateOptions, optional
        What to simulate; `seizure_share` plays no part.

    Yields
    ------
    Simulated
        Consecutive pieces of at most `PIECE` + 60 s; events and states are in seconds of the piece.

    Notes
    -----
    The person, the recording chain, the kind of seizure and its looks stay the same; vigilance goes from state to
    state and the amplitude drifts. Pieces are faded into each other as potentials, and filters carry their state
    across, so that nothing marks a seam in what is recorded.
    """
    options = options or SimulateOptions()
    whole = Scene((seed,), 0, options.components)
    rng = whole.rng("course")
    brain = _draw_fitting_brain(whole.rng("person"), options)
    habit = (draw_kind(rng, brain.age, options.components), int(rng.integers(2**31)))
    chain = options.chain or draw_chain(whole.rng("chain"), options.components)
    recorder = Recorder(chain, whole.rng("noise"))
    drift, start, tail = 0.0, 0.0, None
    while start < seconds:
        length = seconds - start if seconds - start < PIECE + 60 else PIECE
        overlap = _OVERLAP if start + length < seconds else 0.0
        scene = Scene((seed, 1 + int(start)), round((length + overlap) * SFREQ), options.components)
        plans = _plan_piece(rng, length, seizures_per_day / 86400, habit, options.components)
        drift = 0.9 * drift + rng.normal(0, 0.06)
        now = replace(brain, base=brain.base * float(np.exp(drift)))
        events = _fill(scene, now, options, plans)
        brain = replace(brain, state=brain.state if options.state else next_state(rng, brain.state))
        n = round(length * SFREQ)
        if tail is not None:
            _fade_in(scene.data, tail)
        tail = scene.data[:, n:].copy()
        board = operate(scene, chain)
        data = recorder.record(scene.data[:, :n], board.cut(n))
        drawn = {"start": start, "chain": chain.drawn(), "scene": scene.drawn}
        states = {name: mask[: int(length)] for name, mask in scene.states.items()}
        yield Simulated(seed, recorder.labels, data, Events(events, length), drawn, states)
        start += length


def _plan_piece(
    rng: np.random.Generator, length: float, rate: float, habit: tuple[str, int], components: frozenset[str]
) -> list[Plan]:
    """Place at most one episode in a piece, clear of its seams."""
    inner = length - 2 * _OVERLAP
    if rng.random() >= 1 - np.exp(-rate * length) or inner < 20:
        return []
    plans = plan_seizures(rng, inner, habit[0], components, looks=habit[1])
    return [replace(plan, onset=plan.onset + _OVERLAP) for plan in plans]


def _fade_in(data: Float32Array, tail: Float32Array) -> None:
    """Fade the end of the piece before into the beginning of this one, in place; powers add up."""
    n = min(tail.shape[1], data.shape[1])
    turn = (np.linspace(0, np.pi / 2, n)).astype(np.float32)
    data[:, :n] = tail[:, :n] * np.cos(turn) + data[:, :n] * np.sin(turn)
