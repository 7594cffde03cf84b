"""Alarms: the events of scores that arrive one after the other, each as soon as nothing to come can undo it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import to_events
from restcli.events import Event, EventRule, Events, Scores

State = Literal["begin", "update", "end", "joined"]

# Scores that stand for what is to come, or for what is forgotten: no rule that weights may have looks farther from a
# score. The past is cut when it is twice as long as what is kept, or later, when nothing depends on it; s.
_REACH = 300
_KEPT, _FORGET = 600, 60
_UPDATE = 10.0  # s between updates of an alarm


@dataclass(frozen=True)
class Alarm:
    """What is new about an event."""

    number: int  # from 1, in the order of the beginnings
    state: State
    event: Event  # as the scores so far tell
    at: float  # s from the start of the recording, when this was said
    joined: int = 0  # number of the earlier alarm whose event this one turned out to be part of


@dataclass
class _Running:
    number: int
    event: Event
    said: float


class AlarmRule:
    """The event rule made causal: what it says in the end are exactly the events of `restcli.detect.rule.to_events`.

    The rule is applied to the scores so far, followed once by zeros and once by ones. An event that stands although
    only zeros follow is certain: its alarm begins. One that is the same whatever follows is over: its alarm ends.
    This holds for every rule in which higher probabilities never remove an event.
    """

    def __init__(self, rule: EventRule, nodes: tuple[str, ...]) -> None:
        self.rule, self.nodes = rule, nodes
        self.ended: list[Event] = []
        self._recent = _Recent(len(nodes))
        self._running: list[_Running] = []
        self._n = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """All events so far, those that last as far as they are known."""
        return tuple(sorted([*self.ended, *self.lasting]))

    @property
    def lasting(self) -> tuple[Event, ...]:
        """The events that are not over."""
        return tuple(running.event for running in self._running)

    def advance(self, time: float, probability: float, by_node: NDArray[np.float32], *, at: float) -> list[Alarm]:
        """Take the score of the next second, centred on `time`, which is known at `at`; return what is new."""
        self._recent.append(time, probability, by_node)
        certain = [event for event in self._spans(0.0) if not self._is_over(event)]
        alarms = []
        if certain:
            # Whatever follows lies between zeros and ones.
            settled = {_settled(event) for event in self._spans(1.0)}
            known = self._spans(None)
            for event in certain:
                over = _settled(event) in settled
                alarms += self._follow(event if over else _same(event, known), over=over, at=at)
        self._forget()
        return alarms

    def finish(self, at: float) -> list[Alarm]:
        """End with the scores so far: whatever is an event now stays one."""
        alarms = []
        for event in self._spans(None):
            if not self._is_over(event):
                alarms += self._follow(event, over=True, at=at)
        return alarms

    def _is_over(self, event: Event) -> bool:
        """Tell whether the alarm of an event has ended; a later event may end before an earlier one is certain."""
        return any(_overlap(event, ended) for ended in reversed(self.ended))

    def _follow(self, event: Event, *, over: bool, at: float) -> list[Alarm]:
        """Say what is new about an event that is certain."""
        own = [each for each in self._running if _overlap(each.event, event)]
        alarms = []
        if not own:
            self._n += 1
            own = [_Running(self._n, self._whole(event), at)]
            self._running += own
            alarms.append(Alarm(self._n, "begin", own[0].event, at))
        first, *others = own
        for other in others:
            self._running.remove(other)
            alarms.append(Alarm(other.number, "joined", event, at, first.number))
        if over:
            self._running.remove(first)
            self.ended.append(self._whole(event))
            alarms.append(Alarm(first.number, "end", self.ended[-1], at))
        elif at - first.said >= _UPDATE:
            first.event, first.said = self._whole(event), at
            alarms.append(Alarm(first.number, "update", first.event, at))
        else:
            first.event = replace(first.event, onset=event.onset, duration=event.duration)
        return alarms

    def _whole(self, event: Event) -> Event:
        """Return an event with its channels, as the scores so far tell."""
        return _same(event, to_events(self._recent.scores(self.nodes, after=None), self.rule))

    def _spans(self, to_come: float | None) -> Events:
        """Apply the rule to the scores so far, followed by zeros, by ones, or by nothing; nodes are not looked at."""
        return to_events(self._recent.scores((), after=to_come), self.rule)

    def _forget(self) -> None:
        """Drop scores that no event to come can depend on, once there are many."""
        recent = self._recent
        if recent.n_rows < 2 * _KEPT or recent.n_rows % _FORGET:
            return
        start = recent.start_of(recent.n_rows - _KEPT)
        if any(running.event.onset < start for running in self._running):
            return
        for after in (0.0, 1.0):
            found = []
            for before in (0.0, 1.0):
                scores = recent.scores((), after=after, before=before)
                spans = [(event.onset, event.stop) for event in to_events(scores, self.rule)]
                found.append([span for span in spans if span[0] >= start])
            if found[0] != found[1]:
                return  # what came before matters
        recent.drop(recent.n_rows - _KEPT)


def _overlap(one: Event, other: Event) -> bool:
    return one.stop > other.onset and one.onset < other.stop


def _settled(event: Event) -> tuple[float, ...]:
    return event.onset, event.stop, round(event.confidence, 9)


def _same(event: Event, events: Events) -> Event:
    """Return what an event is among others, for which another future was assumed."""
    return next((other for other in events if _overlap(other, event)), event)


def alarm_times(scores: Scores, rule: EventRule, look_ahead: int) -> list[float]:
    """Return when the alarm of each event would have begun, had these scores, one a second, come live."""
    return [_certain_at(scores, rule, event) + look_ahead for event in to_events(scores, rule)]


def _certain_at(scores: Scores, rule: EventRule, event: Event) -> float:
    """Return the end of the first second after which only zeros need follow for the event to stand."""
    onset, stop = np.searchsorted(scores.time, [event.onset, event.stop]).tolist()
    first, last = max(0, onset - _REACH), min(len(scores.time), stop + _REACH)

    def stands(n_known: int) -> bool:
        probability = np.concatenate([scores.probability[first:n_known], np.zeros(_REACH)])
        time = np.concatenate([scores.time[first:n_known], scores.time[n_known - 1] + np.arange(1, _REACH + 1)])
        nothing = np.zeros((len(time), 0), dtype=np.float32)
        found = to_events(Scores(time, probability, nothing, (), 1.0, float(time[-1]) + 0.5), rule)
        return any(_overlap(other, event) for other in found)

    low, high = onset, last  # more is known, more stands; at the end of the scores an event needs no more
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stands(middle) else (middle, high)
    return float(scores.time[high - 1]) + 0.5


class _Recent:
    """The last scores, in arrays that have room for what may follow."""

    def __init__(self, n_nodes: int) -> None:
        self.n_rows = 0
        self._make(2 * _KEPT, n_nodes)

    def _make(self, size: int, n_nodes: int) -> None:
        self._time = np.zeros(size)
        self._probability = np.zeros(size)
        self._by_node = np.full((size, n_nodes), np.nan, dtype=np.float32)

    def append(self, time: float, probability: float, by_node: NDArray[np.float32]) -> None:
        """Add a score."""
        if self.n_rows + _REACH >= len(self._time):
            self._move(0, 2 * len(self._time))
        row = self.n_rows
        self._time[row], self._probability[row], self._by_node[row] = time, probability, by_node
        self.n_rows += 1

    def drop(self, first: int) -> None:
        """Forget the scores before the first."""
        self._move(first, len(self._time))

    def _move(self, first: int, size: int) -> None:
        time, probability, by_node = self._time, self._probability, self._by_node
        kept, n_rows = slice(first, self.n_rows), self.n_rows - first
        self._make(size, by_node.shape[1])
        self._time[:n_rows], self._probability[:n_rows] = time[kept], probability[kept]
        self._by_node[:n_rows] = by_node[kept]
        self.n_rows = n_rows

    def start_of(self, row: int) -> float:
        """Return when a second begins."""
        return float(self._time[row]) - 0.5

    def scores(self, nodes: tuple[str, ...], *, after: float | None, before: float | None = None) -> Scores:
        """Return the scores so far, followed by the value `after`; with `before`, only what is kept, behind it."""
        n_rows, stop = self.n_rows, self.n_rows + (0 if after is None else _REACH)
        self._probability[n_rows:stop] = 0.0 if after is None else after
        self._time[n_rows:stop] = self._time[n_rows - 1] + np.arange(1, stop - n_rows + 1)
        first, probability = 0, self._probability[:stop]
        if before is not None:
            first = n_rows - _KEPT - _REACH
            probability = probability[first:].copy()
            probability[:_REACH] = before
        return Scores(
            time=self._time[first:stop],
            probability=probability,
            by_node=self._by_node[first:stop, : len(nodes)],
            nodes=nodes,
            step=1.0,
            duration=float(self._time[stop - 1]) + 0.5,
        )
