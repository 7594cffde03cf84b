"""How well scores rank and how well they are calibrated; bootstrap intervals over patients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from restcli.evaluation.scoring import Bool, Float
from restcli.events import FloatArray

Statistic = Callable[[NDArray[np.intp]], float]  # of the indices of the patients drawn


def auroc(scores: FloatArray, labels: Bool) -> float:
    """Return the area under the ROC curve (ties count half); NaN scores are left out, NaN when one kind is absent.

    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return _ranking(roc_auc_score, scores, labels)


def auprc(scores: FloatArray, labels: Bool) -> float:
    """Return the average precision, as in `auroc`."""
    from sklearn.metrics import average_precision_score

    return _ranking(average_precision_score, scores, labels)


def _ranking(measure: Callable[[Bool, Float], float], scores: FloatArray, labels: Bool) -> float:
    known = np.isfinite(scores)
    values, truth = np.asarray(scores, dtype=float)[known], np.asarray(labels, dtype=bool)[known]
    return float(measure(truth, values)) if 0 < np.count_nonzero(truth) < len(truth) else math.nan


def binned_auroc(table: Float) -> float:
    """Return the area under the ROC curve of a histogram (2, K): other windows, seizure windows."""
    from sklearn.metrics import auc

    other, seizure = (np.append(0.0, np.cumsum(side[::-1])) for side in table)
    return float(auc(other / other[-1], seizure / seizure[-1])) if other[-1] and seizure[-1] else math.nan


def binned_auprc(table: Float) -> float:
    """Return the average precision of a histogram (2, K)."""
    other, seizure = (np.cumsum(side[::-1]) for side in table)
    if not other[-1] or not seizure[-1]:
        return math.nan
    precision = seizure / np.maximum(seizure + other, 1)
    return float((np.diff(seizure, prepend=0.0) * precision).sum() / seizure[-1])


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often windows of each probability were seizure: the arrays of a reliability diagram."""

    predicted: Float  # (K,), mean probability of each bin; NaN in empty bins
    observed: Float  # (K,), fraction of seizure
    counts: NDArray[np.int64]  # (K,), windows
    brier: float  # mean squared difference between probability and truth

    def rows(self) -> list[dict[str, float]]:
        """Return probability, fraction of seizure and count of each bin that is not empty."""
        columns = (self.predicted.tolist(), self.observed.tolist(), self.counts.tolist())
        return [{"probability": p, "ictal": ictal, "n": n} for p, ictal, n in zip(*columns, strict=True) if n]

    @property
    def calibration_error(self) -> float:
        """Mean absolute distance of the bins from the diagonal, weighted by their windows."""
        used = self.counts > 0
        if not used.any():
            return math.nan
        return float(np.average(np.abs(self.predicted - self.observed)[used], weights=self.counts[used]))


def reliability(probability: FloatArray, labels: Bool) -> Reliability:
    """Compare probabilities (B,) with the truth in ten equal bins; NaN is left out."""
    n_bins = 10
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


def bootstrap(statistic: Statistic, n_patients: int, *, n_draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Draw patients with replacement and return the middle 95 % of a statistic; NaN for fewer than two patients."""
    if n_patients < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(seed).integers(0, n_patients, size=(n_draws, n_patients))
    values = np.array([statistic(draw) for draw in draws])
    values = values[np.isfinite(values)]
    if not values.size:
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def binomial_interval(k: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval (Clopper and Pearson, 1934) of a fraction; NaN when `n` is 0.

    >>> [round(bound, 3) for bound in binomial_interval(9, 10)]
    [0.555, 0.997]
    """
    from scipy.special import betaincinv

    if n == 0:
        return math.nan, math.nan
    low = float(betaincinv(k, n - k + 1, 0.025)) if k else 0.0
    high = float(betaincinv(k + 1, n - k, 0.975)) if k < n else 1.0
    return low, high


def poisson_interval(k: int, exposure: float) -> tuple[float, float]:
    """Return the exact 95 % interval (Garwood, 1936) of a rate of `k` in `exposure`; NaN without exposure.

    >>> [round(bound, 3) for bound in poisson_interval(0, 2.0)]
    [0.0, 1.844]
    """
    from scipy.special import gammaincinv

    if exposure <= 0:
        return math.nan, math.nan
    low = float(gammaincinv(k, 0.025)) if k else 0.0
    return low / exposure, float(gammaincinv(k + 1, 0.975)) / exposure


def lowest_safe(rates: Iterable[float], most: float) -> int:
    """Return the place of the lowest threshold that, like all higher ones, keeps to a rate; the highest when none does.

    `rates` are those of ever lower thresholds, and are asked for only as far as they keep to it.

    >>> lowest_safe([0, 1, 3, 1], 2.0)
    1
    """
    return max(0, sum(1 for _ in takewhile(lambda rate: rate <= most, rates)) - 1)


def fit_logistic(values: FloatArray, targets: Bool) -> tuple[float, float]:
    """Return scale and bias of the logistic function of values that fits the targets best (Platt, 1999)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e10, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(np.asarray(values, dtype=np.float64)[:, None], targets)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def agreement(first: Sequence[Hashable], second: Sequence[Hashable]) -> tuple[float, float]:
    """Return the fraction of equal judgements and Cohen's kappa (1960), which is NaN when only one word was used.

    >>> agreement("aabb", "aaba")
    (0.75, 0.5)
    """
    n = len(first)
    if n == 0:
        return math.nan, math.nan
    counts = Counter(first), Counter(second)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    expected = sum(counts[0][word] * counts[1][word] for word in counts[0]) / n**2
    return observed, (observed - expected) / (1 - expected) if expected < 1 else math.nan
