"""Count and rank under named rules: events and arrays in, numbers out; knows neither files, models nor signals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import AnnotationError
from restcli.events import Events, FloatArray

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

BEFORE, AFTER = 30.0, 60.0
"""Seconds before and after an expert event in which a detection still counts (SzCORE)."""

RULES = {
    "event": "SzCORE events: whole seconds, gaps under 90 s joined, over 300 s split, -30/+60 s, any overlap",
    "sample": "SzCORE samples: second by second",
    "subject": "counts summed in each subject, then mean over subjects (NaN left out)",
    "pooled": "counts summed over all recordings",
    "window": "score at its time against the expert's mark at that time; scored windows only",
    "mean window": "as windows, in each subject with both kinds, then mean over subjects",
    "type": "expert events as marked, -30/+60 s, any overlap",
    "delay": "first detected second from 30 s before onset to 60 s after end, minus onset; expert events as marked",
    "curve": "SzCORE events at each threshold, counts summed over all recordings",
}
"""What each number is counted by."""

_DAY = 86400.0


# ------------------------------------------------------------------------------------------- counts


@dataclass(frozen=True)
class Tally:
    """Counts of one rule on one or more recordings; add first, divide last.

    Parameters
    ----------
    expert : int
        Events (or seconds) that the expert marked.
    found : int
        Those of them that were detected.
    false : int
        Detections (or seconds) that no mark explains.
    seconds : float
        Time looked at.

    Examples
    --------
    >>> total = Tally(2, 1, 0, 43200.0) + Tally(0, 0, 3, 43200.0)
    >>> total.sensitivity, total.precision, total.false_per_day
    (0.5, 0.25, 3.0)
    >>> Tally(seconds=60.0).sensitivity
    nan
    """

    expert: int = 0
    found: int = 0
    false: int = 0
    seconds: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.expert + other.expert,
            self.found + other.found,
            self.false + other.false,
            self.seconds + other.seconds,
        )

    @property
    def sensitivity(self) -> float:
        """Fraction of the expert's that was found; NaN when there is none."""
        return self.found / self.expert if self.expert else math.nan

    @property
    def precision(self) -> float:
        """Fraction of what was detected that is right; NaN when nothing was detected."""
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


def score_events(expert: Events, detected: Events) -> Tally:
    """Count by SzCORE's event rule.

    Parameters
    ----------
    expert, detected : Events
        Of one recording.

    Returns
    -------
    Tally
        `expert` counts the expert's events after joining and splitting.

    Raises
    ------
    AnnotationError
        If both are not equally long in whole seconds.

    Notes
    -----
    As in szcore-evaluation both sides become masks of whole seconds (floor) before timescoring sees them: an event
    that holds no whole second's start disappears, and what overlaps or is nested becomes one event, because
    timescoring's joining shortens an event that contains the next one. A detection is compared with the expert's
    event *after* it was widened by -30/+60 s.

    References
    ----------
    .. [1] Dan et al., "SzCORE: seizure community open-source research evaluation framework", Epilepsia, 2024.
    """
    from timescoring.annotations import Annotation
    from timescoring.scoring import EventScoring

    masks = _both_masks(expert, detected)
    if masks is None:
        return Tally()
    rule = EventScoring.Parameters(
        toleranceStart=BEFORE, toleranceEnd=AFTER, minOverlap=0, maxEventDuration=300, minDurationBetweenEvents=90
    )
    result = EventScoring(Annotation(masks[0], 1), Annotation(masks[1], 1), rule)
    return Tally(int(result.refTrue), int(result.tp), int(result.fp), float(len(masks[0])))


def score_samples(expert: Events, detected: Events) -> Tally:
    """Count by SzCORE's sample rule: second by second.

    Parameters
    ----------
    expert, detected : Events
        Of one recording.

    Returns
    -------
    Tally
        In seconds.

    Raises
    ------
    AnnotationError
        If both are not equally long in whole seconds.
    """
    from timescoring.annotations import Annotation
    from timescoring.scoring import SampleScoring

    masks = _both_masks(expert, detected)
    if masks is None:
        return Tally()
    result = SampleScoring(Annotation(masks[0], 1), Annotation(masks[1], 1), fs=1)
    return Tally(int(result.refTrue), int(result.tp), int(result.fp), float(len(masks[0])))


def _both_masks(expert: Events, detected: Events) -> tuple[Bool, Bool] | None:
    """Masks of whole seconds; None when the recording is shorter than one."""
    lengths = int(expert.duration), int(detected.duration)
    if lengths[0] != lengths[1]:
        raise AnnotationError(
            "evaluation",
            f"expert marks over {expert.duration:.2f} s, detected events over {detected.duration:.2f} s",
            "the same recording",
        )
    return (second_mask(expert), second_mask(detected)) if lengths[0] else None


def second_mask(events: Events) -> Bool:
    """Mark whole seconds as SzCORE does: from the floor of each onset to the floor of each end.

    Parameters
    ----------
    events : Events
        Seconds.

    Returns
    -------
    ndarray of bool, shape (floor of the duration,)
    """
    mask = np.zeros(int(events.duration), dtype=bool)
    for event in events:
        # one microsecond forgives 69.99999999999 for the 70 that a table said
        mask[int(event.onset + 1e-6) : int(event.stop + 1e-6)] = True
    return mask


# ------------------------------------------------------------------------------ one event at a time


def match_events(expert: Events, detected: Events) -> tuple[Bool, Float]:
    """Tell which expert events were found, and how late.

    Parameters
    ----------
    expert, detected : Events
        Of one recording; the expert's as marked, neither joined nor split.

    Returns
    -------
    found : ndarray of bool, shape (E,)
        Whether any detection touches the event widened by -30/+60 s.
    delay : ndarray, shape (E,)
        Seconds from the onset to the first detected instant inside the widened event, -30 at the earliest; NaN where
        not found.
    """
    delay = np.full(len(expert), np.nan)
    for index, event in enumerate(expert):
        first, last = event.onset - BEFORE, event.stop + AFTER
        starts = [max(other.onset, first) for other in detected if other.stop > first and other.onset < last]
        if starts:
            delay[index] = min(starts) - event.onset
    return np.isfinite(delay), delay


# ------------------------------------------------------------------------------------------ windows


@dataclass(frozen=True)
class WindowScore:
    """How scores rank windows, with the counts behind it.

    Parameters
    ----------
    auroc, auprc : float
        NaN where a kind of window is absent.
    n_seizure, n_other : int
        Windows of each kind that were scored.
    """

    auroc: float
    auprc: float
    n_seizure: int
    n_other: int


def score_windows(scores: FloatArray, labels: Bool) -> WindowScore:
    """Measure how scores rank windows.

    Parameters
    ----------
    scores : ndarray, shape (B,)
        Higher means more like a seizure; any scale; NaN where not scored, which is left out.
    labels : ndarray of bool, shape (B,)
        Whether the expert marked a seizure there.

    Returns
    -------
    WindowScore
        Area under the ROC curve; average precision.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    known = np.isfinite(scores)
    values, truth = np.asarray(scores, dtype=float)[known], np.asarray(labels, dtype=bool)[known]
    n_seizure = int(truth.sum())
    n_other = len(truth) - n_seizure
    if not n_seizure or not n_other:
        return WindowScore(math.nan, math.nan, n_seizure, n_other)
    auroc, auprc = float(roc_auc_score(truth, values)), float(average_precision_score(truth, values))
    return WindowScore(auroc, auprc, n_seizure, n_other)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often what was given probability p was a seizure; the arrays of a reliability diagram.

    Parameters
    ----------
    predicted, observed : ndarray, shape (K,)
        Mean probability and fraction of seizure in each bin; NaN in empty bins.
    counts : ndarray of int, shape (K,)
        Windows in each bin.
    brier : float
        Mean squared difference between probability and truth.
    """

    predicted: Float
    observed: Float
    counts: NDArray[np.int64]
    brier: float

    @property
    def calibration_error(self) -> float:
        """Mean absolute distance of the bins from the diagonal, weighted by their windows."""
        used = self.counts > 0
        if not used.any():
            return math.nan
        return float(np.average(np.abs(self.predicted - self.observed)[used], weights=self.counts[used]))


def reliability(probability: FloatArray, labels: Bool, n_bins: int = 10) -> Reliability:
    """Bin probabilities and compare each bin with the truth.

    Parameters
    ----------
    probability : ndarray, shape (B,)
        0 to 1; NaN where not scored, which is left out.
    labels : ndarray of bool, shape (B,)
        Whether the expert marked a seizure there.
    n_bins : int
        Equal bins of probability.

    Returns
    -------
    Reliability
    """
    known = np.isfinite(probability)
    values, truth = np.asarray(probability, dtype=float)[known], np.asarray(labels, dtype=float)[known]
    bins = np.clip((values * n_bins).astype(int), 0, n_bins - 1)
    counts = np.bincount(bins, minlength=n_bins)
    least = np.maximum(counts, 1)
    empty = np.where(counts > 0, 0.0, np.nan)
    predicted = np.bincount(bins, weights=values, minlength=n_bins) / least + empty
    observed = np.bincount(bins, weights=truth, minlength=n_bins) / least + empty
    brier = float(np.mean((values - truth) ** 2)) if len(values) else math.nan
    return Reliability(predicted, observed, counts.astype(np.int64), brier)


# ------------------------------------------------------------------------------------ the bootstrap


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float], n_patients: int, *, n_draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Draw patients with replacement and give the middle 95 % of a statistic.

    Parameters
    ----------
    statistic : callable
        From indices of patients, shape (n_patients,), to a number; NaN draws are left out.
    n_patients : int
        Fewer than two give NaN: there is nothing to draw from.
    n_draws : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    low, high : float
        2.5th and 97.5th percentile.
    """
    if n_patients < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(seed).integers(0, n_patients, size=(n_draws, n_patients))
    values = np.array([statistic(draw) for draw in draws])
    values = values[np.isfinite(values)]
    if not values.size:
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def nan_mean(values: FloatArray) -> float:
    """Mean of what is defined; NaN when nothing is.

    Parameters
    ----------
    values : ndarray
        NaN where undefined.

    Returns
    -------
    float
    """
    known = np.asarray(values, dtype=float)[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan


def binned_auroc(table: Float) -> float:
    """Area under the ROC curve of a histogram, shape (2, K); ties within a bin count half."""
    other, seizure = table
    pairs = other.sum() * seizure.sum()
    if not pairs:
        return math.nan
    below = np.cumsum(other) - other
    return float((seizure * (below + other / 2)).sum() / pairs)


def binned_auprc(table: Float) -> float:
    """Average precision of a histogram, shape (2, K)."""
    other, seizure = (np.cumsum(side[::-1]) for side in table)
    if not other[-1] or not seizure[-1]:
        return math.nan
    precision = seizure / np.maximum(seizure + other, 1)
    return float((np.diff(seizure, prepend=0.0) * precision).sum() / seizure[-1])


def plain(value: Any) -> Any:
    """Turn NaN and infinities into None, which JSON has."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
