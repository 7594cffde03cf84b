"""Scores, events and their tables: three states, never two."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from restcli.detect.rule import to_events
from restcli.errors import RestError
from restcli.events import Event, EventRule, Events, Scores, Span, merge_events

RULE = EventRule(threshold=0.8, release=0.4, min_duration=3.0, max_gap=2.0, smooth=1.0)


def make_scores(values: list[float], *, step: float = 1.0, by_node: np.ndarray | None = None) -> Scores:
    probability = np.array(values)
    nodes = np.repeat(probability[:, None], 3, axis=1) if by_node is None else by_node
    time = np.arange(len(values)) * step + min(step, 1.0) / 2
    return Scores(time, probability, nodes, ("A-B", "C-D", "E-F"), step, len(values) * step)


def test_scored_counts_what_is_finite() -> None:
    assert make_scores([0.1, float("nan"), 0.1, 0.1]).scored == 0.75


def test_scores_refuse_logits_and_wrong_shapes() -> None:
    with pytest.raises(RestError, match="outside 0"):
        make_scores([0.1, 3.0])
    with pytest.raises(RestError, match="shapes"):
        make_scores([0.1, 0.2], by_node=np.zeros((3, 3)))


def test_events_refuse_overlap_and_leaving_the_recording() -> None:
    with pytest.raises(RestError, match="disjoint"):
        Events((Event(0, 5), Event(4, 5)), 20)
    with pytest.raises(RestError, match="inside"):
        Events((Event(15, 10),), 20)
    for event in (Event(math.nan, 1), Event(1, math.nan)):
        with pytest.raises(RestError, match="inside"):
            Events((event,), 20)


def test_merge_sorts_clips_and_joins() -> None:
    merged = merge_events(
        [Event(8, 4, "sz_foc", 0.5, ("A-B",)), Event(-1, 3, "sz_gen"), Event(10, 30, "sz_foc", 0.9, ("C-D",))], 20
    )
    assert merged.events[0] == Event(0, 2, "sz_gen", merged.events[0].confidence, (), merged.events[0].label_confidence)
    assert (merged.events[1].onset, merged.events[1].stop) == (8, 20)
    assert merged.events[1].channels == ("A-B", "C-D")
    assert merged.events[1].confidence == 0.9


def test_mask_marks_inside() -> None:
    events = Events((Event(1, 2),), 5)
    np.testing.assert_array_equal(events.mask(np.array([0.5, 1.0, 2.9, 3.0])), [False, True, True, False])


@pytest.mark.parametrize("threshold", [0.0, 1e-4, 0.3, 0.5, 0.99, 1.0])
def test_the_release_follows_the_threshold(threshold: float) -> None:
    rule = EventRule(threshold=0.5, release=0.35).with_threshold(threshold)
    assert rule.threshold == threshold
    assert 0 <= rule.release <= threshold
    assert EventRule(threshold=0.5, release=0.5).with_threshold(threshold).release == pytest.approx(threshold, abs=2e-6)


def test_a_rule_in_words_names_all_its_numbers() -> None:
    text = EventRule(0.61, 0.42, 4, 2, 5).describe()
    assert text == "threshold 0.61, release 0.42, at least 4 s, gaps up to 2 s closed, mean over 5 s"


def test_what_the_file_lacks_counts_as_not_scored() -> None:
    whole = make_scores([0.1] * 10)
    cut = replace(whole, unscored=(Span(10.0, 40.0, "cut off: missing from the file"),))
    assert (whole.announced, whole.scored) == (10, 1)
    assert (cut.announced, cut.scored) == (40, 0.25)
    assert cut.cover(9) == (9, 10)
    assert to_events(cut, RULE).unscored == cut.unscored


def test_scores_become_a_table_that_says_why_nothing_is_known() -> None:
    nan = float("nan")
    scores = replace(
        make_scores([0.1, nan, nan, 0.9]),
        unscored=(Span(1.0, 2.0, "no signal"),),
        interval=np.array([[0.0, 0.2], [nan, nan], [nan, nan], [0.8, 1.0]]),
        types=("sz_foc",),
        by_type=np.array([[0.5], [nan], [nan], [0.75]]),
    )
    frame = scores.to_frame()
    assert list(frame) == [
        *("time", "probability", "interval_low", "interval_high", "A-B", "C-D", "E-F", "sz_foc", "not_scored")
    ]
    assert frame["not_scored"].tolist() == ["", "no signal", "not scored", ""]
    np.testing.assert_array_equal(frame["probability"], scores.probability)
    np.testing.assert_array_equal(frame["C-D"], scores.by_node[:, 1])
    np.testing.assert_array_equal(frame["interval_high"], [0.2, nan, nan, 1.0])
    np.testing.assert_array_equal(frame["sz_foc"], [0.5, nan, nan, 0.75])


def test_a_table_without_events_has_the_types_of_one_with_events() -> None:
    empty, full = Events((), 20).to_frame(), Events((Event(1, 2, channels=("C3",)),), 20).to_frame()
    assert list(empty.dtypes) == list(full.dtypes)
    assert empty[empty["channels"].str.contains("C3")].empty


def test_events_become_a_table_that_keeps_what_was_not_scored() -> None:
    gap = Span(20.0, 30.0, "gap")
    events = Events((Event(1.0, 4.0, "sz_foc", 0.9, ("A-B", "C-D"), 0.8), Event(6.0, 2.0)), 30.0, unscored=(gap,))
    frame = events.to_frame()
    assert frame.iloc[0].to_dict() == {
        "onset": 1.0,
        "duration": 4.0,
        "label": "sz_foc",
        "confidence": 0.9,
        "label_confidence": 0.8,
        "channels": "A-B,C-D",
    }
    assert frame["confidence"].isna().tolist() == [False, True]
    assert frame.attrs == {"duration": 30.0, "unscored": [(20.0, 30.0, "gap")]}
    none = Events((), 30.0).to_frame()
    assert list(none) == list(frame) and len(none) == 0
    assert none["onset"].dtype == np.float64
