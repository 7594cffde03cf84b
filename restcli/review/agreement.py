"""How detections and reviewers agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from restcli.evaluation.measures import agreement, binomial_interval, poisson_interval
from restcli.evaluation.scoring import RULES, Tally, plain, score_events, second_mask
from restcli.events import Event, Events
from restcli.output.shown import ACCEPTED, REJECTED, UNSURE
from restcli.review.entries import Entry
from restcli.review.verdicts import PENDING, Review, review_of, reviewed_events
from restcli.text import count

CAVEAT = (
    "Missed seizures are known only where a reviewer looked for them, so sensitivity may be too high. "
    "Events that nobody judged, or of which the reviewers are unsure, are left out."
)
_INTERVALS = "95 % exact (binomial, Poisson), events taken as independent"


@dataclass(frozen=True)
class Counts:
    """What became of the detected events; add first, divide last."""

    accepted: int = 0
    rejected: int = 0
    unsure: int = 0
    not_judged: int = 0
    added: int = 0  # by the reviewers, control stretches in which they saw a seizure among them
    edited: int = 0  # of the accepted ones
    tally: Tally = field(default_factory=Tally)  # SzCORE events
    tally_read: Tally = field(default_factory=Tally)  # the same in recordings that a reviewer read as a whole
    empty_read: int = 0  # recordings without detected events that were read as a whole
    empty_missed: int = 0  # of these, how many in which a seizure was added

    def __add__(self, other: Counts) -> Counts:
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def to_dict(self) -> dict[str, Any]:
        """Return counts and measures with their intervals, null where undefined."""
        tally, read, days = self.tally, self.tally_read, self.tally.seconds / 86400
        missed = self.empty_missed / self.empty_read if self.empty_read else math.nan
        measures = {
            "sensitivity": (tally.sensitivity, *binomial_interval(tally.found, tally.expert)),
            "sensitivity_where_read_whole": (read.sensitivity, *binomial_interval(read.found, read.expert)),
            "precision": (tally.precision, *binomial_interval(tally.found, tally.found + tally.false)),
            "false_alarms_per_day": (tally.false_per_day, *poisson_interval(tally.false, days)),
            "missed_in_recordings_without_events": (missed, *binomial_interval(self.empty_missed, self.empty_read)),
        }
        counts = {name: value for name, value in vars(self).items() if not isinstance(value, Tally)}
        return {
            **counts,
            "szcore": tally.to_dict(),
            **{name: with_interval(value, interval) for name, (value, *interval) in measures.items()},
            "rule": RULES["event"],
            "intervals": _INTERVALS,
            "caveat": CAVEAT,
        }


def rejected_in_words(counts: Counts) -> str:
    """Say how many detections were rejected, and how many false alarms the rule counts if that differs."""
    text = f"rejected detections: {counts.rejected} of {counts.accepted + counts.rejected} judged"
    if counts.tally.false == counts.rejected:
        return text
    return f"{text}, counted as {count(counts.tally.false, 'false alarm')} because the rule joins neighbouring events"


def count_verdicts(review: Review, detected: Events) -> Counts:
    """Count the verdicts on one recording, and compare the detections judged with what the reviewers confirmed."""
    found, added = review.of("e"), sum(not item.id.startswith("e") for item in review.confirmed)
    states = [review.items[f"e{number}"].state for number in range(1, len(detected) + 1)]
    judged = tuple(event for event, state in zip(detected, states, strict=True) if state not in (PENDING, UNSURE))
    tally = score_events(reviewed_events(review, detected), replace(detected, events=judged))
    is_read = bool(review.read_by)
    return Counts(
        accepted=sum(item.state == ACCEPTED for item in found),
        rejected=sum(item.state == REJECTED for item in found),
        unsure=sum(item.state == UNSURE for item in found),
        not_judged=sum(item.state == PENDING for item in found),
        added=added,
        edited=sum(item.edited and item.state == ACCEPTED for item in found),
        tally=tally,
        tally_read=tally if is_read else Tally(),
        empty_read=int(is_read and not found),
        empty_missed=int(is_read and not found and added > 0),
    )


@dataclass(frozen=True)
class Pair:
    """How two reviewers judged the same events and seconds; add first, divide last."""

    events: Counter[tuple[str, str]] = field(default_factory=Counter)  # verdicts on the events that both judged
    seconds: Counter[tuple[bool, bool]] = field(default_factory=Counter)  # seizure, where both leave it decided

    def __add__(self, other: Pair) -> Pair:
        return Pair(self.events + other.events, self.seconds + other.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return percent agreement and kappa, null where undefined."""
        return {"events": _alike(self.events), "seconds": _alike(self.seconds)}


def _alike(pairs: Counter[Any]) -> dict[str, Any]:
    one, other = zip(*pairs.elements(), strict=True) if pairs else ((), ())
    alike, kappa = agreement(list(one), list(other)) if pairs else (math.nan, math.nan)
    return {"n": len(one), "agreement": plain(alike), "kappa": plain(kappa)}


def compare_reviewers(
    entries: Sequence[Entry], shown: Mapping[str, Event], detected: Events
) -> dict[tuple[str, str], Pair]:
    """Compare each two reviewers on the events that both judged, and on the seconds that both leave decided."""
    reviews = {name: review_of(entries, shown, reviewer=name) for name in sorted({entry.reviewer for entry in entries})}
    return {pair: _compare(reviews[pair[0]], reviews[pair[1]], detected) for pair in combinations(reviews, 2)}


def _compare(one: Review, other: Review, detected: Events) -> Pair:
    both = [
        (item.state, other.items[name].state)
        for name, item in one.items.items()
        if name in other.items and PENDING not in (item.state, other.items[name].state)
    ]
    events = [reviewed_events(review, detected) for review in (one, other)]
    masks = [second_mask(each) for each in events]
    middles = np.arange(len(masks[0])) + 0.5
    decided = np.ones(len(middles), dtype=bool)
    for each in events:
        for span in each.unscored:
            decided &= ~((middles >= span.start) & (middles < span.stop))
    seconds = zip(*(mask[decided].tolist() for mask in masks), strict=True)
    return Pair(Counter(both), Counter(seconds))


def with_interval(value: float, interval: Sequence[float]) -> dict[str, Any]:
    """Return a measure and its interval as plain values, null where undefined."""
    return {"value": plain(value), "low": plain(interval[0]), "high": plain(interval[1])}


def interval_text(found: dict[str, Any]) -> str:
    """Return a measure with its interval."""
    if found["value"] is None:
        return "undefined"
    return f"{found['value']:.3g} ({found['low']:.3g} to {found['high']:.3g})"
