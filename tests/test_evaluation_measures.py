"""Ranking, calibration and the bootstrap, against scikit-learn and hand counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from restcli.evaluation.measures import (
    auprc,
    auroc,
    binned_auprc,
    binned_auroc,
    bootstrap,
    reliability,
)
from restcli.signal.sequences import nan_mean

# ------------------------------------------------------------------------------------- windows


def test_window_ranking_leaves_out_what_was_not_scored() -> None:
    scores = np.array([0.1, 0.4, 0.35, 0.8, np.nan])
    labels = np.array([False, False, True, True, True])
    assert auroc(scores, labels) == 0.75
    assert auprc(scores, labels) == pytest.approx(average_precision_score(labels[:4], scores[:4]))


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_window_ranking_of_one_kind_is_undefined(labels: list[bool]) -> None:
    scores = np.array([0.1, 0.2])
    assert math.isnan(auroc(scores, np.array(labels))) and math.isnan(auprc(scores, np.array(labels)))


def test_histograms_rank_as_scikit_learn_does() -> None:
    generator = np.random.default_rng(3)
    labels = generator.random(3000) < 0.1
    bins = np.clip((generator.random(3000) + 0.4 * labels) * 50, 0, 69).astype(int)
    table = np.stack([np.bincount(bins[~labels], minlength=70), np.bincount(bins[labels], minlength=70)]).astype(float)
    assert binned_auroc(table) == pytest.approx(roc_auc_score(labels, bins))
    assert binned_auprc(table) == pytest.approx(average_precision_score(labels, bins))
    assert math.isnan(binned_auroc(table * [[1], [0]])) and math.isnan(binned_auprc(table * [[0], [1]]))


def test_reliability_bins() -> None:
    probability = np.array([0.05, 0.05, 0.95, 0.85, 1.0, np.nan, 0.0])
    labels = np.array([False, True, True, True, True, True, False])
    result = reliability(probability, labels)
    assert result.counts.tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    assert result.predicted[0] == pytest.approx(0.1 / 3) and result.observed[0] == pytest.approx(1 / 3)
    assert np.isnan(result.predicted[1:8]).all() and result.observed[9] == 1.0
    assert result.brier == pytest.approx(np.mean([0.05**2, 0.95**2, 0.05**2, 0.15**2, 0, 0]))
    assert result.calibration_error == pytest.approx((3 * 0.3 + 1 * 0.15 + 2 * 0.025) / 6)
    empty = reliability(np.array([np.nan]), np.array([True]))
    assert math.isnan(empty.brier) and math.isnan(empty.calibration_error)


# ----------------------------------------------------------------------------------- bootstrap


def test_bootstrap_is_seeded_and_covers() -> None:
    values = np.random.default_rng(1).normal(5.0, 1.0, 40)
    one = bootstrap(lambda chosen: float(values[chosen].mean()), 40, seed=4)
    assert one == bootstrap(lambda chosen: float(values[chosen].mean()), 40, seed=4)
    assert one != bootstrap(lambda chosen: float(values[chosen].mean()), 40, seed=5)
    half = (one[1] - one[0]) / 2
    assert one[0] < values.mean() < one[1] and half == pytest.approx(1.96 * values.std() / np.sqrt(40), rel=0.15)


def test_bootstrap_without_patients_to_draw_is_undefined() -> None:
    assert all(math.isnan(x) for x in bootstrap(lambda chosen: 1.0, 1))
    assert all(math.isnan(x) for x in bootstrap(lambda chosen: math.nan, 5, n_draws=10))
    assert bootstrap(lambda chosen: 1.0 if 0 in chosen else math.nan, 3, n_draws=50) == (1.0, 1.0)


def test_nan_mean() -> None:
    assert nan_mean(np.array([1.0, np.nan, 3.0])) == 2.0
    assert math.isnan(nan_mean(np.array([np.nan])))


def test_auroc_counts_ties_half() -> None:
    target = np.array([False, True, False, True])
    assert auroc(np.array([0.0, 0.0, 0.0, 0.0]), target) == 0.5
    assert auroc(np.array([0.0, 1.0, 0.5, 2.0]), target) == 1.0
    assert np.isnan(auroc(np.zeros(2), np.zeros(2, dtype=bool)))
