"""Electrographic status epilepticus as an alarm: the burden rule over the last hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from restcli.events import Events
from restcli.output.burden import HOUR, MET, burden_of

_EVERY = 10.0  # s


@dataclass(frozen=True)
class Status:
    """The rule for electrographic status epilepticus is met, or no longer."""

    state: Literal["begin", "end"]
    at: float  # s from the start of the recording
    seizure: float  # s of seizure in the last 60 minutes
    longest: float  # s, the longest event in them


class StatusWatch:
    """Says when the rule begins and ceases to be met."""

    def __init__(self) -> None:
        self.met = False
        self._next = 0.0

    def advance(self, events: Callable[[], Events], at: float) -> Iterator[Status]:
        """Look at the last hour, now and then."""
        if at < self._next:
            return
        self._next = at + _EVERY
        burden = burden_of(last_hour(events()), 0.0)
        if (burden.status == MET) != self.met:
            self.met = not self.met
            yield Status("begin" if self.met else "end", at, burden.whole.seizure, burden.longest)


def last_hour(events: Events) -> Events:
    """Return the parts of events in the last hour, counted from its start."""
    begin = max(0.0, events.duration - HOUR)
    parts = [
        replace(event, onset=max(event.onset, begin) - begin, duration=event.stop - max(event.onset, begin))
        for event in events
        if event.stop > begin
    ]
    return Events(tuple(parts), events.duration - begin)
