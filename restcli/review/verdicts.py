"""What the entries of a journal amount to: the state of each event, and the events as reviewed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from restcli.events import Event, Events, Span, merge_events
from restcli.output.shown import ACCEPTED, REJECTED, UNSURE
from restcli.review.entries import Entry

PENDING = "pending"
_STATES = {"accept": ACCEPTED, "reject": REJECTED, "unsure": UNSURE}
_OPEN = {PENDING: "detected, but judged by nobody", UNSURE: "detected; the reviewer is unsure"}


@dataclass(frozen=True)
class ReviewedEvent:
    """An event with what was decided about it."""

    id: str  # e1: detected; a1: added; c1: control stretch
    event: Event  # as corrected
    state: str = PENDING
    side: str = ""
    reviewer: str = ""  # who judged last
    edited: bool = False


@dataclass(frozen=True)
class Review:
    """The state of a review."""

    items: Mapping[str, ReviewedEvent]
    reviewers: tuple[str, ...] = ()
    read_by: tuple[str, ...] = ()  # who read the whole recording: where they added nothing, they saw no seizure

    def of(self, kind: str) -> list[ReviewedEvent]:
        """Return the items of a kind: e, a or c."""
        return [item for item in self.items.values() if item.id.startswith(kind)]

    @property
    def judged(self) -> int:
        """Number of detected events with a verdict."""
        return sum(item.state != PENDING for item in self.of("e"))

    @property
    def confirmed(self) -> list[ReviewedEvent]:
        """Seizures by the reviewers: accepted, added, and control stretches in which they saw one."""
        return [item for item in self.items.values() if item.state == ACCEPTED]


def named_events(events: Iterable[Event]) -> dict[str, Event]:
    """Give detected events their ids."""
    return {f"e{number}": event for number, event in enumerate(events, start=1)}


def review_of(entries: Sequence[Entry], detected: Mapping[str, Event], *, reviewer: str | None = None) -> Review:
    """Return what the entries, all on these events, or those of one reviewer, amount to; the last word counts."""
    chosen = [entry for entry in entries if reviewer in (None, entry.reviewer)]
    items = {name: ReviewedEvent(name, event) for name, event in detected.items()}
    valid = in_force(chosen)
    for entry in valid:
        known = items.get(entry.event)
        if entry.action == "remove":
            items.pop(entry.event, None)
        elif entry.action == "add":
            items[entry.event] = _changed(ReviewedEvent(entry.event, Event(0.0, 1.0), ACCEPTED), entry)
        elif known is not None:
            items[entry.event] = _changed(known, entry)
    return Review(
        items,
        reviewers=tuple(dict.fromkeys(entry.reviewer for entry in chosen)),
        read_by=tuple(dict.fromkeys(entry.reviewer for entry in valid if entry.action == "read")),
    )


def in_force(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that no undo takes back; an undo can be undone as well."""
    undone: set[int] = set()
    for entry in reversed(entries):
        if entry.action == "undo" and entry.seq not in undone and entry.undoes is not None:
            undone.add(entry.undoes)
    return [entry for entry in entries if entry.action != "undo" and entry.seq not in undone]


def _changed(item: ReviewedEvent, entry: Entry) -> ReviewedEvent:
    event = item.event
    if entry.onset is not None and entry.stop is not None:
        event = replace(event, onset=entry.onset, duration=entry.stop - entry.onset)
    if entry.label and entry.label != event.label:
        event = replace(event, label=entry.label, label_confidence=math.nan)
    return replace(
        item,
        event=event,
        state=_STATES.get(entry.action, item.state),
        side=entry.side if entry.action == "edit" else entry.side or item.side,  # an edit may take the side away
        reviewer=entry.reviewer,
        edited=item.edited or event != item.event,
    )


def reviewed_events(review: Review, detected: Events) -> Events:
    """Return the confirmed seizures; where nobody has decided nothing is claimed, as where nothing was scored."""
    items = [item for item in review.of("e") if item.state in _OPEN]
    spans = [Span(item.event.onset, item.event.stop, _OPEN[item.state]) for item in items]
    return Events(
        merge_events([item.event for item in review.confirmed], detected.duration).events,
        detected.duration,
        detected.start,
        tuple(sorted((*detected.unscored, *spans), key=lambda span: (span.start, span.stop))),
    )
