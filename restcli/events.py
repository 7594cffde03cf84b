"""Scores and events with their own clock, and the one rule between them; knows neither models nor files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RestError
from restcli.signal.sequences import running_mean

FloatArray = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    """A stretch of the recording that was not scored.

    Parameters
    ----------
    start, stop : float
        Seconds from the start of the recording.
    reason : str
        Why, in words for a user.
    """

    start: float
    stop: float
    reason: str


@dataclass(frozen=True, eq=False)
class Scores:
    """Seizure probability along a recording; NaN means *not scored*, never 'no seizure'.

    Parameters
    ----------
    time : ndarray, shape (B,)
        Seconds from the start of the recording: the centre of what each score judges.
    probability : ndarray, shape (B,)
        Seizure probability, 0 to 1; NaN where not scored.
    by_node : ndarray, shape (B, N)
        Probability read out at each node; NaN where a node took no part.
    nodes : tuple of str
        Names of the N nodes.
    window, step : float
        Seconds seen by the network for one score, and seconds between scores.
    duration : float
        Seconds of the whole recording.
    unscored : tuple of Span
        What was not scored, and why.
    interval : ndarray, shape (B, 2), or None
        5th and 95th percentile of the probability over masked passes.
    types : tuple of str
        SzCORE event types that `by_type` speaks of.
    by_type : ndarray, shape (B, C), or None
        Probability of each type, given a seizure.
    """

    time: FloatArray
    probability: FloatArray
    by_node: FloatArray
    nodes: tuple[str, ...]
    window: float
    step: float
    duration: float
    unscored: tuple[Span, ...] = ()
    interval: FloatArray | None = None
    types: tuple[str, ...] = ()
    by_type: FloatArray | None = None

    def __post_init__(self) -> None:
        n_windows = len(self.time)
        if self.probability.shape != (n_windows,) or self.by_node.shape != (n_windows, len(self.nodes)):
            raise RestError(
                "scores",
                f"time {self.time.shape}, probability {self.probability.shape}, by_node {self.by_node.shape}",
                "shapes (B,), (B,), (B, N)",
            )
        finite = self.probability[np.isfinite(self.probability)]
        if finite.size and (finite.min() < 0 or finite.max() > 1):
            raise RestError("scores", "a probability outside 0..1", "probabilities, not logits")

    @property
    def n_scored(self) -> int:
        """Number of scores that are not NaN."""
        return int(np.isfinite(self.probability).sum())

    def cover(self, index: int) -> tuple[float, float]:
        """Return the stretch that a score stands for, seconds: from the second it judges up to the next score.

        It never reaches into what was not scored.
        """
        centre = float(self.time[index])
        start = max(0.0, centre - min(self.step, 1.0) / 2)
        stop = min([self.duration, start + self.step, *(span.start for span in self.unscored if span.start > centre)])
        return start, stop

    @property
    def scored(self) -> float:
        """Fraction of the recording that was scored, 0 to 1."""
        if self.duration <= 0 or self.n_scored == 0:
            return 0.0
        # Spans know of stretches between scores that are further apart than a second, counts of lost parts of seconds.
        by_spans = 1.0 - sum(span.stop - span.start for span in self.unscored) / self.duration
        return max(0.0, min(1.0, by_spans, self.n_scored * self.step / self.duration))


@dataclass(frozen=True, order=True)
class Event:
    """One stretch of one kind, in seconds from the start of the recording.

    Parameters
    ----------
    onset, duration : float
        Seconds.
    label : str
        SzCORE event type, e.g. ``sz`` or ``sz_foc``.
    confidence : float
        0 to 1; NaN when unknown.
    channels : tuple of str
        Nodes involved; empty means unknown, ``("all",)`` everywhere.
    label_confidence : float
        Probability of the type given a seizure; NaN when only ``sz`` is claimed.
    """

    onset: float
    duration: float
    label: str = "sz"
    confidence: float = float("nan")
    channels: tuple[str, ...] = ()
    label_confidence: float = float("nan")

    @property
    def stop(self) -> float:
        """End of the event in seconds from the start of the recording."""
        return self.onset + self.duration


@dataclass(frozen=True)
class Events:
    """Seizures of one recording: sorted, disjoint, inside it. Empty means 'looked, found none'.

    Parameters
    ----------
    events : tuple of Event
        Seizure events.
    duration : float
        Seconds of the whole recording.
    start : datetime or None
        Clock time of the recording's start, when known.
    unscored : tuple of Span
        Stretches that were not looked at: outside the events there nothing is claimed.
    ignored : tuple of str
        Types of rows that the reader of a table left out because they are not about seizures.

    Raises
    ------
    RestError
        If events overlap, are unsorted or leave the recording.
    """

    events: tuple[Event, ...]
    duration: float
    start: datetime | None = None
    unscored: tuple[Span, ...] = ()
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        previous = 0.0
        for event in self.events:
            if event.duration < 0 or event.onset < previous - 1e-6 or event.stop > self.duration + 1e-6:
                raise RestError(
                    "events",
                    f"event {event.onset:.3f} s + {event.duration:.3f} s in a recording of {self.duration:.3f} s",
                    "sorted, disjoint events inside the recording",
                )
            previous = event.stop

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def mask(self, time: FloatArray) -> NDArray[np.bool_]:
        """Tell which instants lie inside an event.

        Parameters
        ----------
        time : ndarray, shape (B,)
            Seconds from the start of the recording.

        Returns
        -------
        ndarray of bool, shape (B,)
        """
        inside = np.zeros(len(time), dtype=bool)
        for event in self.events:
            inside |= (time >= event.onset) & (time < event.stop)
        return inside


def merge_events(events: Sequence[Event], duration: float, start: datetime | None = None) -> Events:
    """Sort, clip to the recording and join overlapping events.

    Parameters
    ----------
    events : sequence of Event
        In any order, possibly overlapping (per-channel marks, say).
    duration : float
        Seconds of the recording.
    start : datetime or None
        Clock time of its start.

    Returns
    -------
    Events
        A joined event keeps the label when all agree, else ``sz``; the highest confidence; the union of channels.
    """
    clipped = []
    for event in sorted(events):
        onset, stop = max(0.0, event.onset), min(duration, event.stop)
        if stop > onset:
            clipped.append(
                Event(onset, stop - onset, event.label, event.confidence, event.channels, event.label_confidence)
            )
    merged: list[Event] = []
    for event in clipped:
        if merged and event.onset <= merged[-1].stop:
            merged[-1] = _join(merged[-1], event)
        else:
            merged.append(event)
    return Events(tuple(merged), duration, start)


def _join(first: Event, second: Event) -> Event:
    channels = tuple(dict.fromkeys(first.channels + second.channels))
    if "all" in channels:
        channels = ("all",)
    same = first.label == second.label
    return Event(
        first.onset,
        max(first.stop, second.stop) - first.onset,
        first.label if same else "sz",
        float(np.fmax(first.confidence, second.confidence)),
        channels,
        float(np.fmax(first.label_confidence, second.label_confidence)) if same else float("nan"),
    )


@dataclass(frozen=True)
class EventRule:
    """The one rule that turns scores into events; its parameters come with the weights.

    Parameters
    ----------
    threshold : float
        An event must reach this smoothed probability.
    release : float
        It lasts while the smoothed probability stays at or above this (hysteresis).
    min_duration : float
        Shorter events are dropped, seconds.
    max_gap : float
        Events closer than this are joined, seconds.
    smooth : float
        Width of the centred moving average, seconds.
    """

    threshold: float = 0.5
    release: float = 0.35
    min_duration: float = 3.0
    max_gap: float = 3.0
    smooth: float = 3.0

    def with_threshold(self, threshold: float) -> EventRule:
        """Return the rule with another threshold; the release follows at the same distance in log odds.

        >>> EventRule(threshold=0.5, release=0.25).with_threshold(0.9).release
        0.75
        """
        old, release, new = (min(max(p, 1e-6), 1 - 1e-6) for p in (self.threshold, self.release, threshold))
        odds = new / (1 - new) * release / (1 - release) * (1 - old) / old
        return replace(self, threshold=threshold, release=min(round(odds / (1 + odds), 9), threshold))

    def describe(self) -> str:
        """Return the rule in words.

        >>> EventRule().describe()
        'threshold 0.5, release 0.35, at least 3 s, gaps up to 3 s closed, mean over 3 s'
        """
        return (
            f"threshold {self.threshold:g}, release {self.release:g}, at least {self.min_duration:g} s, "
            f"gaps up to {self.max_gap:g} s closed, mean over {self.smooth:g} s"
        )


def smooth_scores(probability: FloatArray, width: int) -> NDArray[np.float64]:
    """Average probabilities over a centred window, leaving out scores that are missing; missing stays missing.

    Parameters
    ----------
    probability : ndarray, shape (B,) or (B, N)
        NaN where not scored.
    width : int
        Number of scores in the window; 1 changes nothing.

    Returns
    -------
    ndarray, same shape

    Examples
    --------
    >>> smooth_scores(np.array([0.0, 1.0, np.nan, 1.0]), 3).tolist()
    [0.5, 0.5, nan, 1.0]
    """
    # Sums run along the whole recording: rounding could leave a mean of ones a little above one.
    return np.clip(running_mean(probability, width), 0.0, 1.0)


def to_events(scores: Scores, rule: EventRule, start: datetime | None = None) -> Events:
    """Turn scores into events: smooth, hysteresis, close gaps, drop what is too short.

    Parameters
    ----------
    scores : Scores
        One probability a step; NaN where not scored.
    rule : EventRule
        Thresholds in probability, widths in seconds.
    start : datetime or None
        Clock time of the recording's start.

    Returns
    -------
    Events
        An event never spans a stretch that was not scored: missing scores end it.

    Notes
    -----
    A score stands for the second that it judges and for those up to the next score, see `Scores.cover`. Confidence is
    the highest smoothed probability in the event; the channels are the nodes whose mean probability over the event
    reaches the release threshold, most involved first, ``all`` when more than two thirds of the nodes do, and the
    strongest node when none does.
    """
    probability = smooth_scores(scores.probability, max(1, round(rule.smooth / scores.step)))
    runs = _hysteresis(probability, rule.threshold, rule.release)
    spans = _close_gaps(runs, scores, rule)
    events = []
    for first, last in spans:
        onset, stop = scores.cover(first)[0], scores.cover(last)[1]
        if stop - onset < rule.min_duration - 1e-6:
            continue
        part = slice(first, last + 1)
        confidence = float(np.nanmax(probability[part]))
        label, certainty = _event_type(scores, part)
        events.append(Event(onset, stop - onset, label, confidence, _involved(scores, part, rule), certainty))
    return Events(tuple(events), scores.duration, start, scores.unscored)


def _hysteresis(probability: NDArray[np.float64], threshold: float, release: float) -> list[tuple[int, int]]:
    """Find runs of scores at or above `release` that reach `threshold` somewhere, as (first, last) indices."""
    above = np.nan_to_num(probability, nan=-1.0) >= min(release, threshold)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]]).astype(np.int8)))
    runs = zip(edges[::2], edges[1::2] - 1, strict=True)
    return [(int(a), int(b)) for a, b in runs if np.nanmax(probability[a : b + 1]) >= threshold]


def _close_gaps(runs: list[tuple[int, int]], scores: Scores, rule: EventRule) -> list[tuple[int, int]]:
    """Join runs closer than `max_gap` when every score between them exists."""
    joined: list[tuple[int, int]] = []
    for first, last in runs:
        if joined:
            previous = joined[-1][1]
            gap = float(scores.time[first] - scores.time[previous]) - scores.step
            between = scores.probability[previous + 1 : first]
            if gap <= rule.max_gap + 1e-6 and bool(np.isfinite(between).all()):
                joined[-1] = (joined[-1][0], last)
                continue
        joined.append((first, last))
    return joined


def _involved(scores: Scores, part: slice, rule: EventRule) -> tuple[str, ...]:
    """Names of the nodes that take part in an event, most involved first."""
    values = scores.by_node[part]
    counts = np.asarray(np.isfinite(values).sum(axis=0))
    mean = np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), -1.0)
    n_known = int(np.count_nonzero(counts))
    if n_known == 0:
        return ()
    order = np.argsort(-mean, kind="stable")
    chosen = [int(i) for i in order if mean[i] >= rule.release]
    if len(chosen) > 2 / 3 * n_known:
        return ("all",)
    return tuple(scores.nodes[i] for i in (chosen or [int(order[0])]))


def _event_type(scores: Scores, part: slice) -> tuple[str, float]:
    """Find the type over an event, weighted by the seizure probability; ``sz`` when none stands out."""
    if scores.by_type is None or not scores.types:
        return "sz", float("nan")
    values = scores.by_type[part]
    weight = np.nan_to_num(np.asarray(scores.probability[part], dtype=float))
    known = np.isfinite(values).all(axis=1) & (weight > 0)
    if not known.any():
        return "sz", float("nan")
    mean = np.average(values[known], axis=0, weights=weight[known])
    best = int(np.argmax(mean))
    # A type is claimed only when it is likelier than all others together.
    return (scores.types[best], float(mean[best])) if mean[best] > 0.5 else ("sz", float("nan"))
