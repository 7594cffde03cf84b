"""Sensitivity and false alarms as the threshold moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from restcli.detect.rule import to_events
from restcli.evaluation.scoring import Case, Float, Tally, score_events
from restcli.events import EventRule, FloatArray, Scores

_POINTS = 41


@dataclass(frozen=True, eq=False)
class OperatingCurve:
    """Points counted by SzCORE's event rule over all recordings; NaN where undefined."""

    threshold: Float  # (K,), ascending; above the last no alarm is left
    sensitivity: Float  # (K,)
    false_per_day: Float  # (K,)
    counts: Float = field(default_factory=lambda: np.zeros((0, 0, 4)))  # (K, patients, fields of Tally)

    @staticmethod
    def from_counts(threshold: Float, counts: Float) -> OperatingCurve:
        """Sum counts over the patients, then divide."""
        points = [Tally(*row) for row in counts.sum(axis=1)]
        sensitivity = np.array([point.sensitivity for point in points])
        return OperatingCurve(threshold, sensitivity, np.array([point.false_per_day for point in points]), counts)

    def sensitivity_at(self, false_per_day: float) -> float:
        """Return the best sensitivity with at most this many false alarms a day; NaN when there is no seizure."""
        allowed = self.sensitivity[self.false_per_day <= false_per_day + 1e-9]
        allowed = allowed[np.isfinite(allowed)]
        return float(allowed.max()) if allowed.size else math.nan

    def false_at(self, sensitivity: float) -> float:
        """Return the fewest false alarms a day with at least this sensitivity; NaN when it is never reached."""
        with np.errstate(invalid="ignore"):
            reached = self.false_per_day[self.sensitivity >= sensitivity - 1e-9]
        return float(reached.min()) if reached.size else math.nan


def operating_curve(cases: Sequence[Case], rule: EventRule, *, baseline: str = "") -> OperatingCurve:
    """Move the threshold over the scores of the cases, or over one of their baselines, and count events at each."""
    # Baselines are replaced by their rank among all windows, so that one threshold serves all recordings.
    values = [case.values(baseline) for case in cases]
    if baseline:
        values = _ranks(values)
        rule = replace(rule, smooth=0.0, long=0.0)
    scores = [_without_nodes(case, value) for case, value in zip(cases, values, strict=True)]
    thresholds = _thresholds(np.concatenate(values))
    names = sorted({case.patient for case in cases})
    counts = np.zeros((len(thresholds), len(names), 4))
    for row, level in enumerate(thresholds):
        at = replace(rule, threshold=level, release=level) if baseline else rule.with_threshold(float(level))
        for case, one in zip(cases, scores, strict=True):
            point = score_events(case.expert, to_events(one, at))
            counts[row, names.index(case.patient)] += (point.expert, point.found, point.false, point.seconds)
    return OperatingCurve.from_counts(thresholds, counts)


def _without_nodes(case: Case, values: FloatArray) -> Scores:
    """Return the scores of a case with other values; only the whole is thresholded."""
    scores = case.scores
    assert scores is not None
    return replace(scores, probability=values, by_node=np.zeros((len(values), 0)), nodes=(), types=(), by_type=None)


def _ranks(values: Sequence[Float]) -> list[Float]:
    """Replace values by their rank among all of them, 0 to 1; missing stays missing."""
    pooled = np.sort(np.concatenate(values))
    pooled = pooled[np.isfinite(pooled)]
    scale = max(1, len(pooled) - 1)
    return [
        np.where(np.isfinite(value), np.searchsorted(pooled, np.nan_to_num(value)).clip(0, scale) / scale, np.nan)
        for value in values
    ]


def _thresholds(values: FloatArray) -> Float:
    """Return levels that are dense where alarms are rare, and one that nothing reaches."""
    known = np.asarray(values, dtype=float)[np.isfinite(values)]
    if not known.size:
        return np.array([1.0])
    tail = np.geomspace(0.5, min(0.5, 1.0 / known.size), _POINTS - 1)
    levels = np.unique(np.quantile(known, 1 - tail))
    return np.append(levels[levels > 0], np.nextafter(known.max(), np.inf))
