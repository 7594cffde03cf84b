"""Count seizures found and false alarms under named rules; how late alarms are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import AnnotationError
from restcli.events import Event, Events, FloatArray, Scores

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

BEFORE, AFTER = 30.0, 60.0  # s around an expert event in which a detection still counts (SzCORE)

# What each number is counted by.
RULES = {
    "event": "SzCORE events: whole seconds, merged if under 90 s apart, split over 300 s, -30/+60 s, any overlap",
    "sample": "SzCORE samples: each second compared",
    "subject": "counts summed per subject, then averaged over subjects (undefined values left out)",
    "pooled": "counts summed over all recordings",
    "window": "score of each scored window against the expert's mark at its time",
    "mean window": "as window, per subject with seizure and other windows, then averaged over subjects",
    "type": "expert events as marked, -30/+60 s, any overlap",
    "delay": "first detected second from 30 s before onset to 60 s after end, minus onset; expert events as marked",
    "latency": "as delay, but to the moment at which a live alarm begins: when no later signal can undo the event",
    "curve": "SzCORE events at each threshold, counts summed over all recordings",
}

_DAY = 86400.0


@dataclass(frozen=True, eq=False)
class Case:
    """One recording to be evaluated."""

    name: str  # the recording, as the user named it
    patient: str
    expert: Events
    detected: Events
    scores: Scores | None = None  # what the detections were made of, when known
    baselines: Mapping[str, FloatArray] = field(default_factory=dict)  # (B,) each: other scores of the same windows
    alarms: tuple[float, ...] | None = None  # when a live alarm of each detected event would have begun, s

    def values(self, baseline: str = "") -> Float:
        """Return the probability, or one baseline, of each window, (B,); none without scores."""
        if self.scores is None:
            return np.zeros(0)
        return np.asarray(self.baselines[baseline] if baseline else self.scores.probability, dtype=float)

    def labels(self) -> Bool:
        """Return which windows lie in an expert's event, (B,); none without scores."""
        return self.expert.mask(np.zeros(0) if self.scores is None else self.scores.time)


@dataclass(frozen=True)
class Tally:
    """Counts of one rule on one or more recordings: add first, divide last.

    >>> total = Tally(2, 1, 0, 43200.0) + Tally(0, 0, 3, 43200.0)
    >>> total.sensitivity, total.precision, total.false_per_day
    (0.5, 0.25, 3.0)
    >>> Tally(seconds=60.0).sensitivity
    nan
    """

    expert: int = 0  # events (or seconds) that the expert marked
    found: int = 0  # of these, how many were detected
    false: int = 0  # detections (or seconds) that no mark explains
    seconds: float = 0.0  # time looked at

    def __add__(self, other: Tally) -> Tally:
        sums = (getattr(self, name) + getattr(other, name) for name in ("expert", "found", "false", "seconds"))
        return Tally(*sums)

    @property
    def sensitivity(self) -> float:
        """Fraction of the expert's events that were found; NaN when there are none."""
        return self.found / self.expert if self.expert else math.nan

    @property
    def precision(self) -> float:
        """Fraction of the detections that are right; NaN when nothing was detected."""
        detected = self.found + self.false
        return self.found / detected if detected else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN when there is nothing to find and nothing was detected."""
        whole = self.expert + self.found + self.false
        return 2 * self.found / whole if self.expert + self.false else math.nan

    @property
    def false_per_day(self) -> float:
        """False detections in 24 hours; NaN when no time was looked at."""
        return self.false * _DAY / self.seconds if self.seconds else math.nan

    def to_dict(self) -> dict[str, float | None]:
        """Return counts and ratios, null where undefined."""
        names = ("expert", "found", "false", "seconds", "sensitivity", "precision", "f1", "false_per_day")
        return {name: plain(getattr(self, name)) for name in names}


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies; none give zero counts."""
    return sum(tallies, Tally())


def plain(value: Any) -> Any:
    """Turn a value into what JSON has: arrays and tuples into lists, NaN and infinities into null."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(part) for part in (value.tolist() if isinstance(value, np.ndarray) else value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def score_events(expert: Events, detected: Events) -> Tally:
    """Count one recording by SzCORE's event rule (Dan et al., Epilepsia, 2024), after joining and splitting."""
    from timescoring.annotations import Annotation
    from timescoring.scoring import EventScoring

    rule = EventScoring.Parameters(
        toleranceStart=BEFORE, toleranceEnd=AFTER, minOverlap=0, maxEventDuration=300, minDurationBetweenEvents=90
    )
    return _count(expert, detected, lambda *masks: EventScoring(*(Annotation(mask, 1) for mask in masks), rule))


def score_samples(expert: Events, detected: Events) -> Tally:
    """Count one recording by SzCORE's sample rule: second by second."""
    from timescoring.annotations import Annotation
    from timescoring.scoring import SampleScoring

    return _count(expert, detected, lambda *masks: SampleScoring(*(Annotation(mask, 1) for mask in masks), fs=1))


def _count(expert: Events, detected: Events, score: Callable[[Bool, Bool], Any]) -> Tally:
    """Apply a rule to masks of whole seconds; a recording shorter than one counts nothing."""
    n_seconds = int(expert.duration)
    if n_seconds != int(detected.duration):
        what = f"expert marks cover {expert.duration:.2f} s, detected events {detected.duration:.2f} s"
        raise AnnotationError("evaluation", what, "both of the same recording")
    if not n_seconds:
        return Tally()
    # Masks, as szcore-evaluation makes them: an event without the start of a whole second disappears, and nested events
    # become one (given a list, timescoring shortens an event that contains the next one).
    result = score(second_mask(expert), second_mask(detected))
    return Tally(int(result.refTrue), int(result.tp), int(result.fp), float(n_seconds))


def second_mask(events: Events) -> Bool:
    """Mark whole seconds as SzCORE does: from the floor of each onset to the floor of each end."""
    mask = np.zeros(int(events.duration), dtype=bool)
    for event in events:
        # one microsecond forgives 69.99999999999 for the 70 that a table said
        mask[int(event.onset + 1e-6) : int(event.stop + 1e-6)] = True
    return mask


def match_events(expert: Events, detected: Events) -> tuple[Bool, Float]:
    """Return which expert events, as marked, were found, and how late (NaN where not), each of shape (E,).

    An event is found when a detection touches it widened by -30/+60 s; the delay is at least -30 s.
    """
    delay = np.full(len(expert), np.nan)
    for index, event in enumerate(expert):
        first, last = event.onset - BEFORE, event.stop + AFTER
        starts = [max(other.onset, first) for other in detected if other.stop > first and other.onset < last]
        if starts:
            delay[index] = min(starts) - event.onset
    return np.isfinite(delay), delay


def alarm_events(alarms: Sequence[tuple[float, Event]], duration: float) -> Events:
    """Return the events of alarms as a ward has them: from the moment of the alarm on."""
    starts = [min(at, duration) for at, _ in alarms]
    ends = [*starts, duration][1:]
    shown = [
        Event(start, max(0.0, min(max(event.stop, start), end) - start), event.label, event.confidence)
        for start, end, (_, event) in zip(starts, ends, alarms, strict=True)
    ]
    return Events(tuple(shown), duration)


def compare_alarms(expert: Events, detected: Events, alarms: Sequence[tuple[float, Event]]) -> list[str]:
    """Say in words how late alarms (when, event) were, beside false alarms a day; by the rules of `evaluate`."""
    found, delays = match_events(expert, alarm_events(alarms, detected.duration))
    tally = score_events(expert, detected)
    lines = [f"alarms: {int(found.sum())} of {len(expert)} expert events (-30/+60 s, any overlap)"]
    if found.any():
        median, late = np.percentile(delays[found], [50, 90])
        lines.append(f"latency from the expert's onset: median {median:.1f} s, 90 % within {late:.1f} s")
    lines.append(f"false alarms: {tally.false} (SzCORE events), {tally.false_per_day:.2f} a day")
    return lines
