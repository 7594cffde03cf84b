"""From scores to events: smoothing, hysteresis, gaps, durations, channels and type."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from restcli.events import Event, EventRule, Events, FloatArray, Scores, check_threshold
from restcli.signal.sequences import running_mean, true_runs

if TYPE_CHECKING:
    from restcli.detect.result import Result

_Real = TypeVar("_Real", np.float32, np.float64)
_MOST_ODDS = 8.0  # log odds that a single score counts for at most


def smooth_scores(probability: FloatArray, width: int) -> NDArray[np.float64]:
    """Average log odds of probabilities, (B,) or (B, N), over `width` scores around each; missing ones stay missing.

    >>> smooth_scores(np.array([0.2, 0.8, np.nan, 0.8]), 3).round(3).tolist()
    [0.5, 0.5, nan, 0.8]
    """
    values = np.asarray(probability, dtype=float)
    return values if width <= 1 else logistic(running_mean(log_odds(values), width))


def evidence(probability: FloatArray, rule: EventRule, step: float) -> NDArray[np.float64]:
    """Return what a rule compares with its threshold, (B,): the higher of the means of log odds on its two time scales.

    The longer mean counts where at least half of its scores exist.
    """
    short = smooth_scores(probability, rule.width(step))
    width = rule.long_width(step)
    if not width:
        return short
    long = running_mean(log_odds(np.asarray(probability, dtype=float)), width, least=(width + 1) // 2)
    return np.fmax(short, logistic(long + rule.lift))


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log odds, within what a single score counts for; NaN stays NaN."""
    with np.errstate(divide="ignore"):
        odds = np.log(probability) - np.log1p(-probability)
    return np.asarray(np.clip(odds, -_MOST_ODDS, _MOST_ODDS))


def logistic(log_odds: NDArray[_Real]) -> NDArray[_Real]:
    """Return probabilities in the precision of their log odds; NaN stays NaN."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0))), dtype=log_odds.dtype)


def to_events(scores: Scores, rule: EventRule, start: datetime | None = None) -> Events:
    """Turn scores into events; `start` is the clock time of the recording's start.

    An event never spans a stretch that was not scored. It begins and ends by the shorter mean of the rule; the longer
    one can only make an event of what would stay below the threshold. Its confidence is the highest evidence. Its
    channels are the nodes whose mean probability reaches the release threshold, most involved first: ``all`` when more
    than two thirds of the nodes do, the strongest node when none does.
    """
    highest = evidence(scores.probability, rule, scores.step)
    short = smooth_scores(scores.probability, rule.width(scores.step))
    events = []
    for first, last in _close_gaps(_hysteresis(short, highest, rule), scores, rule):
        onset, stop = scores.cover(first)[0], scores.cover(last)[1]
        if stop - onset < rule.min_duration - 1e-6:
            continue
        part = slice(first, last + 1)
        confidence = float(np.nanmax(highest[part]))
        label, certainty = _event_type(scores, part)
        events.append(Event(onset, stop - onset, label, confidence, _involved(scores, part, rule), certainty))
    return Events(tuple(events), scores.duration, start, scores.unscored)


def plain_scores(time: FloatArray, probability: FloatArray) -> Scores:
    """Return scores, one a second, of which only the probability is known."""
    nothing = np.zeros((len(time), 0), dtype=np.float32)
    return Scores(time, probability, nothing, (), 1.0, float(time[-1]) + 0.5)


def _hysteresis(short: NDArray[np.float64], highest: NDArray[np.float64], rule: EventRule) -> list[tuple[int, int]]:
    """Find runs at or above the release whose evidence reaches the threshold: index of their first and last score."""
    above = np.nan_to_num(short, nan=-1.0) >= min(rule.release, rule.threshold)
    return [(first, stop - 1) for first, stop in true_runs(above) if highest[first:stop].max() >= rule.threshold]


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
    """Return the nodes that take part in an event, most involved first."""
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
        return "sz", math.nan
    values = scores.by_type[part]
    weight = np.nan_to_num(np.asarray(scores.probability[part], dtype=float))
    known = np.isfinite(values).all(axis=1) & (weight > 0)
    if not known.any():
        return "sz", math.nan
    mean = np.average(values[known], axis=0, weights=weight[known])
    best = int(np.argmax(mean))
    # A type is claimed only when it is likelier than all others together.
    return (scores.types[best], float(mean[best])) if mean[best] > 0.5 else ("sz", math.nan)


def rescore(found: Result | Scores, threshold: float | None = None, *, rule: EventRule | None = None) -> Events:
    """Find events again in existing scores, without reading any signal.

    Parameters
    ----------
    found : Result or Scores
        What `annotate` returned, or its scores.
    threshold : float, optional
        Probability that an event must reach; the release follows it. By default the rule's own.
    rule : EventRule, optional
        By default the rule of the result; for scores alone, ``EventRule()``.

    Returns
    -------
    Events
        With what was not scored in ``unscored``.

    Examples
    --------
    >>> scores = Scores(np.arange(8) + 0.5, np.full(8, 0.6), np.full((8, 1), 0.6), ("C3",), 1.0, 8.0)
    >>> len(rescore(scores)), len(rescore(scores, threshold=0.7))
    (1, 0)
    """
    if threshold is not None:
        check_threshold(threshold, "threshold")
    if isinstance(found, Scores):
        scores, start, rule = found, None, rule or EventRule()
    else:
        scores, start, rule = found.scores, found.recording.clock, rule or found.rule
    return to_events(scores, rule if threshold is None else rule.with_threshold(threshold), start)
