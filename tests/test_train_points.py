"""Operating points: chosen where there is enough background, kept otherwise, and doubted where they find little."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.evaluation.scoring import Tally
from restcli.events import EventRule
from restcli.nn.weights import BALANCED, Calibration, OperatingPoint
from restcli.train.store import SEIZURE
from restcli.train.traces import Trace
from restcli.train.validation import Sample, choose_points, doubts, probabilities

RULE = EventRule(threshold=0.5, release=0.35, smooth=3.0)
PARENT = tuple(OperatingPoint(name, 0.7, 0.8, 3.0, 12.0) for name in ("sensitive", BALANCED, "specific"))


def sample(hours: int, *, seed: int, spread: float = 1.5) -> Sample:
    """Return background of a normal logit, with a clear seizure in every hour."""
    rng = np.random.default_rng(seed)
    traces = []
    for _ in range(hours):
        labels = np.zeros(3600, dtype=np.int8)
        labels[2000:2030] = SEIZURE
        logit = np.where(labels == SEIZURE, 4, -3 + rng.normal(0, spread, 3600)).astype(np.float32)
        nothing = np.zeros((3600, 10))
        traces.append(Trace(logit, np.full(3600, 15, np.float32), None, labels, labels >= SEIZURE, nothing))
    return Sample("made", traces, probabilities(traces, Calibration()), RULE)


def test_points_keep_to_the_false_alarms_asked_for_and_say_what_to_expect() -> None:
    chosen = choose_points([sample(16, seed=0)], 12.0, RULE)
    assert [(point.name, point.asked) for point in chosen.points] == [
        ("sensitive", 18),
        (BALANCED, 12),
        ("specific", 6),
    ]
    thresholds = [point.threshold for point in chosen.points]
    assert thresholds == sorted(thresholds) and thresholds[0] < thresholds[2]
    assert all(point.false_alarms_per_day <= point.asked and point.sensitivity == 1 for point in chosen.points)
    assert chosen.rule.threshold == thresholds[1] and chosen.rule.release < chosen.rule.threshold
    assert not chosen.warnings


def test_the_stricter_of_two_samples_counts_when_both_are_long_enough() -> None:
    quiet, loud = sample(16, seed=0), sample(16, seed=1, spread=2.5)
    alone = choose_points([quiet], 12.0, RULE).rule.threshold
    assert choose_points([quiet, loud], 12.0, RULE).rule.threshold > alone
    assert choose_points([quiet, sample(1, seed=1, spread=2.5)], 12.0, RULE).rule.threshold == alone


def test_no_threshold_is_chosen_below_one_that_gives_too_many_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    def false(_: Sample, threshold: float) -> Tally:  # below .5 false alarms have become one event with a seizure
        return Tally(1, 1, 9 if 0.5 < threshold < 0.6 else 0, 86400.0)

    monkeypatch.setattr(Sample, "count", false)
    assert 0.6 <= sample(1, seed=0).threshold(5.0) < 0.63


def test_without_enough_background_the_thresholds_before_are_kept() -> None:
    short = sample(1, seed=0)
    kept = choose_points([short], 12.0, RULE.with_threshold(0.7), PARENT)
    assert {point.threshold for point in kept.points[1:]} == {0.7} == {kept.rule.threshold}
    assert any("too little background" in line and "(0.7)" in line for line in kept.warnings)
    none = choose_points([short], 1.0, RULE)
    assert none.points == () and none.rule == RULE and len(none.warnings) == 3


@pytest.mark.parametrize(
    ("rule", "tally", "words"),
    [
        (RULE, Tally(10, 1, 0, 3600.0), "finds only 1 of 10 seizures"),
        (RULE.with_threshold(0.05), Tally(10, 9, 0, 3600.0), "so low"),
    ],
)
def test_thresholds_that_mislead_are_doubted(rule: EventRule, tally: Tally, words: str) -> None:
    (line,) = doubts(rule, tally, 60)
    assert words in line
    assert doubts(RULE, Tally(10, 9, 0, 3600.0), 60) == () == doubts(RULE, Tally(0, 0, 0, 3600.0), 60)
