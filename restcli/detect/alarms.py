"""Alarms: events of scores as they arrive, each raised as soon as no later score can undo it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import plain_scores, to_events
from restcli.events import Event, EventRule, Events, Scores

State = Literal["begin", "update", "end", "joined"]

# Seconds of scores that stand in for the future and for the forgotten past: no rule that weights may have reaches
# farther. The past is cut once it is twice as long as what is kept and nothing depends on it any more.
_REACH = 300
_KEPT, _FORGET = 600, 60
_UPDATE = 10.0  # s between updates of an alarm


@dataclass(frozen=True)
class Alarm:
    """What is new about an event."""

    number: int  # from 1, in the order of the beginnings
    state: State
    event: Event  # as known from the scores so far
    at: float  # s from the start of the recording, when this became known
    joined: int = 0  # number of the earlier alarm whose event this one turned out to be part of


@dataclass
class _Running:
    number: int
    event: Event
    said: float


class AlarmRule:
    """The event rule made causal: in the end its events are exactly those of `restcli.detect.rule.to_events`.

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
        """End with the scores so far: what is an event now stays one."""
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
        """Return an event with its channels, as known from the scores so far."""
        whole = replace(self._recent.scores(), by_node=self._recent.by_node, nodes=self.nodes)
        return _same(event, to_events(whole, self.rule))

    def _spans(self, to_come: float | None) -> Events:
        """Apply the rule to the scores so far, followed by zeros, by ones, or by nothing; nodes are not looked at."""
        return to_events(self._recent.scores(after=to_come), self.rule)

    def _forget(self) -> None:
        """Drop scores that no event to come can depend on, once there are many."""
        recent = self._recent
        if len(recent) < 2 * _KEPT or len(recent) % _FORGET:
            return
        start = float(recent.time[-_KEPT]) - 0.5
        if any(running.event.onset < start for running in self._running):
            return
        for after in (0.0, 1.0):
            found = []
            for before in (0.0, 1.0):
                scores = recent.scores(after=after, before=before)
                spans = [(event.onset, event.stop) for event in to_events(scores, self.rule)]
                found.append([span for span in spans if span[0] >= start])
            if found[0] != found[1]:
                return  # what came before matters
        recent.drop(len(recent) - _KEPT)


def _overlap(one: Event, other: Event) -> bool:
    return one.stop > other.onset and one.onset < other.stop


def _settled(event: Event) -> tuple[float, ...]:
    return event.onset, event.stop, round(event.confidence, 9)


def _same(event: Event, events: Events) -> Event:
    """Return the same event as found under another assumption about the future."""
    return next((other for other in events if _overlap(other, event)), event)


def alarm_times(scores: Scores, rule: EventRule, look_ahead: int) -> list[float]:
    """Return when the alarm of each event would have begun if these scores had come live, one a second."""
    return [_certain_at(scores, rule, event) + look_ahead for event in to_events(scores, rule)]


def _certain_at(scores: Scores, rule: EventRule, event: Event) -> float:
    """Return the end of the first second after which only zeros need follow for the event to stand."""
    onset, stop = np.searchsorted(scores.time, [event.onset, event.stop]).tolist()
    first, last = max(0, onset - _REACH), min(len(scores.time), stop + _REACH)

    def stands(n_known: int) -> bool:
        probability = np.concatenate([scores.probability[first:n_known], np.zeros(_REACH)])
        time = np.concatenate([scores.time[first:n_known], scores.time[n_known - 1] + np.arange(1, _REACH + 1)])
        return any(_overlap(other, event) for other in to_events(plain_scores(time, probability), rule))

    low, high = onset, last  # more is known, more stands; at the end of the scores an event needs no more
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if stands(middle) else (middle, high)
    return float(scores.time[high - 1]) + 0.5


class _Recent:
    """The last scores, one a second."""

    def __init__(self, n_nodes: int) -> None:
        self.time, self.probability = np.zeros(0), np.zeros(0)
        self.by_node = np.zeros((0, n_nodes), dtype=np.float32)

    def __len__(self) -> int:
        return len(self.time)

    def append(self, time: float, probability: float, by_node: NDArray[np.float32]) -> None:
        """Add a score."""
        self.time, self.probability = np.append(self.time, time), np.append(self.probability, probability)
        self.by_node = np.concatenate([self.by_node, by_node[None]])

    def drop(self, first: int) -> None:
        """Forget the scores before the first."""
        self.time, self.probability, self.by_node = self.time[first:], self.probability[first:], self.by_node[first:]

    def scores(self, *, after: float | None = None, before: float | None = None) -> Scores:
        """Return the scores so far, followed by the value `after`; with `before`, only what is kept, behind it."""
        n_more = 0 if after is None else _REACH
        time = np.append(self.time, self.time[-1] + np.arange(1, n_more + 1))
        probability = np.append(self.probability, np.full(n_more, after or 0.0))
        if before is not None:
            first = len(self) - _KEPT - _REACH
            time, probability = time[first:], probability[first:]
            probability[:_REACH] = before
        return plain_scores(time, probability)
