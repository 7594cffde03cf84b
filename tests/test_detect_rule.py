"""The one rule from scores to events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from restcli.detect.rule import evidence, rescore, smooth_scores, to_events
from restcli.events import EventRule, Scores, Span

RULE = EventRule(threshold=0.8, release=0.4, min_duration=3.0, max_gap=2.0, smooth=1.0)


def make_scores(values: list[float], *, step: float = 1.0, by_node: np.ndarray | None = None) -> Scores:
    probability = np.array(values)
    nodes = np.repeat(probability[:, None], 3, axis=1) if by_node is None else by_node
    time = np.arange(len(values)) * step + min(step, 1.0) / 2
    return Scores(time, probability, nodes, ("A-B", "C-D", "E-F"), step, len(values) * step)


def spans(values: list[float], rule: EventRule = RULE) -> list[tuple[float, float]]:
    return [(event.onset, event.stop) for event in to_events(make_scores(values), rule)]


def test_hysteresis_keeps_the_shoulders() -> None:
    assert spans([0, 0.5, 0.9, 0.5, 0.5, 0]) == [(1, 5)]


def test_what_never_reaches_the_threshold_is_no_event() -> None:
    assert spans([0, 0.7, 0.7, 0.7, 0.7, 0]) == []


def test_short_event_is_dropped() -> None:
    assert spans([0, 0.9, 0.9, 0, 0]) == []


def test_gap_is_closed() -> None:
    assert spans([0.9, 0.9, 0, 0, 0.9, 0.9]) == [(0, 6)]
    assert spans([0.9, 0.9, 0.9, 0, 0, 0, 0.9, 0.9, 0.9]) == [(0, 3), (6, 9)]


def test_event_never_spans_what_was_not_scored() -> None:
    nan = float("nan")
    assert spans([0.9, 0.9, 0.9, nan, 0.9, 0.9, 0.9]) == [(0, 3), (4, 7)]


def test_event_at_both_ends_stays_inside() -> None:
    assert spans([0.9] * 5) == [(0, 5)]


def test_all_missing_gives_no_event_and_nothing_scored() -> None:
    scores = make_scores([float("nan")] * 4)
    assert len(to_events(scores, RULE)) == 0
    assert scores.scored == 0


def test_channels_are_the_involved_nodes_most_involved_first() -> None:
    by_node = np.tile([0.5, 0.1, 0.9], (6, 1))
    event = to_events(make_scores([0.9] * 6, by_node=by_node), RULE).events[0]
    assert event.channels == ("E-F", "A-B")
    everywhere = to_events(make_scores([0.9] * 6), RULE).events[0]
    assert everywhere.channels == ("all",)
    nowhere = np.tile([0.1, 0.2, np.nan], (6, 1))
    assert to_events(make_scores([0.9] * 6, by_node=nowhere), RULE).events[0].channels == ("C-D",)


def test_type_is_the_most_probable_weighted_by_probability() -> None:
    scores = make_scores([0.9, 0.9, 0.9, 0.5])
    by_type = np.array([[0.8, 0.2], [0.8, 0.2], [0.8, 0.2], [0.0, 1.0]])
    typed = Scores(
        scores.time,
        scores.probability,
        scores.by_node,
        scores.nodes,
        1.0,
        4.0,
        types=("sz_foc", "sz_gen"),
        by_type=by_type,
    )
    event = to_events(typed, RULE).events[0]
    assert event.label == "sz_foc"
    assert event.label_confidence == pytest.approx((0.8 * 2.7) / 3.2)


def test_smoothing_ignores_missing_and_never_fills_it() -> None:
    smooth = smooth_scores(np.array([0.9, np.nan, 0.1]), 3)
    np.testing.assert_allclose(smooth, [0.9, np.nan, 0.1])


TWO_SCALES = replace(RULE, smooth=3.0, long=11.0, lift=1.0)


def test_a_quiet_seizure_that_lasts_is_found_by_the_longer_mean_and_limited_by_the_shorter() -> None:
    quiet = [0.05] * 30 + [0.7] * 14 + [0.05] * 30
    assert spans(quiet, replace(TWO_SCALES, long=0.0)) == []
    ((onset, stop),) = spans(quiet, TWO_SCALES)
    assert abs(onset - 30) <= 1 and abs(stop - 44) <= 1
    assert spans([0.05] * 30 + [0.7] * 5 + [0.05] * 30, TWO_SCALES) == []  # too short to count on the longer scale
    loud = [0.05] * 30 + [0.99] * 5 + [0.05] * 30
    assert spans(loud, TWO_SCALES) == spans(loud, replace(TWO_SCALES, long=0.0)) != []


def test_the_longer_mean_needs_half_of_its_scores() -> None:
    nan = float("nan")
    alone = [nan] * 20 + [0.7] * 5 + [nan] * 20
    assert spans(alone, TWO_SCALES) == []
    assert spans(alone, replace(TWO_SCALES, long=9.0)) != []


def test_evidence_depends_on_no_score_further_away_than_the_rule_says() -> None:
    probability = np.random.default_rng(0).random(60)
    before = evidence(probability, TWO_SCALES, 1.0)
    probability[40] = 0.999
    changed = np.flatnonzero(abs(evidence(probability, TWO_SCALES, 1.0) - before) > 1e-9)
    assert changed.min() >= 40 - TWO_SCALES.look_ahead and changed.max() <= 40 + TWO_SCALES.look_ahead


def test_step_scales_durations() -> None:
    scores = make_scores([0, 0.9, 0.9, 0], step=5.0)
    assert [(e.onset, e.stop) for e in to_events(scores, RULE)] == [(5, 15)]


def test_event_never_reaches_into_what_was_not_scored() -> None:
    plain = make_scores([0, 0.9, 0.9, float("nan"), 0], step=5.0)
    scores = replace(plain, unscored=(Span(12.0, 20.0, "gap"),))
    assert [(e.onset, e.stop) for e in to_events(scores, RULE)] == [(5, 12)]
    assert scores.scored == pytest.approx(1 - 8 / 25)


def test_rescore_finds_events_again_with_another_threshold() -> None:
    scores = replace(make_scores([0, 0.6, 0.6, 0.6, 0, 0, 0, 0.9, 0.9, 0.9, 0]), unscored=(Span(10.5, 11.0, "end"),))
    assert [event.onset for event in rescore(scores, rule=RULE)] == [7]
    assert [event.onset for event in rescore(scores, 0.5, rule=RULE)] == [1, 7]
    assert len(rescore(scores, threshold=0.95)) == 0
    assert rescore(scores).unscored == scores.unscored
