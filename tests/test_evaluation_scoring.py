"""Each rule and edge case of scoring, against timescoring, scikit-learn and hand counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring

from restcli.errors import AnnotationError
from restcli.evaluation.scoring import (
    Tally,
    match_events,
    score_events,
    score_samples,
    second_mask,
    total,
)
from restcli.events import Event, Events

HOUR = 3600.0


def events(*spans: tuple[float, float], duration: float = HOUR) -> Events:
    return Events(tuple(Event(a, b - a) for a, b in spans), duration)


def counts(expert: Events, detected: Events) -> tuple[int, int, int]:
    tally = score_events(expert, detected)
    return tally.expert, tally.found, tally.false


# ------------------------------------------------------------------------------------- counts


def test_tallies_add_first_and_divide_last() -> None:
    one, two = Tally(4, 1, 2, 3600.0), Tally(1, 1, 0, 82800.0)
    both = total([one, two])
    assert both == Tally(5, 2, 2, 86400.0)
    assert both.sensitivity == 0.4 and both.precision == 0.5 and both.false_per_day == 2.0
    assert both.f1 == pytest.approx(4 / (4 + 2 + 3))
    assert (one.sensitivity + two.sensitivity) / 2 != both.sensitivity


def test_what_is_undefined_is_nan_and_null() -> None:
    nothing = total([])
    assert all(math.isnan(getattr(nothing, name)) for name in ("sensitivity", "precision", "f1", "false_per_day"))
    quiet = Tally(0, 0, 0, HOUR)
    assert math.isnan(quiet.sensitivity) and math.isnan(quiet.f1) and quiet.false_per_day == 0.0
    missed = Tally(1, 0, 0, HOUR)
    assert missed.sensitivity == 0.0 and math.isnan(missed.precision) and missed.f1 == 0.0
    assert quiet.to_dict()["sensitivity"] is None


# ------------------------------------------------------------------ SzCORE's event rule, case by case


@pytest.mark.parametrize(
    ("expert", "detected", "expected"),
    [
        pytest.param([(100, 160)], [(75, 80)], (1, 1, 0), id="25 s early is found"),
        pytest.param([(100, 160)], [(215, 230)], (1, 1, 0), id="55 s late is found"),
        pytest.param([(200, 260)], [(150, 160)], (1, 0, 1), id="ends 40 s before: false"),
        pytest.param([(200, 260)], [(321, 330)], (1, 0, 1), id="61 s late: false"),
        pytest.param([(100, 160), (240, 300)], [], (1, 0, 0), id="80 s apart: one event"),
        pytest.param([(100, 160), (249, 300)], [], (1, 0, 0), id="89 s apart: one event"),
        pytest.param([(100, 160), (250, 300)], [], (2, 0, 0), id="90 s apart: two"),
        pytest.param([(100, 160), (255, 300)], [(100, 300)], (2, 2, 0), id="one over both finds both"),
        pytest.param([(100, 400)], [], (1, 0, 0), id="300 s: one event"),
        pytest.param([(100, 401)], [], (2, 0, 0), id="301 s: two"),
        pytest.param([(100, 580)], [], (2, 0, 0), id="8 min: two"),
        pytest.param([(450, 480)], [(100, 820)], (1, 1, 2), id="12 min around its middle piece: two false"),
        pytest.param([(400, 430)], [(100, 820)], (1, 1, 1), id="12 min, tolerance touches a second piece: one false"),
        pytest.param([(100, 160)], [(105, 120), (215, 219)], (1, 1, 0), id="two detections of one"),
        pytest.param(
            [(100, 160), (255, 300)], [(215, 235)], (2, 2, 0), id="between two: late for one, early for other"
        ),
        pytest.param([(0, 3600)], [(1000, 1010)], (12, 1, 0), id="status epilepticus is split"),
        pytest.param([], [], (0, 0, 0), id="nothing"),
        pytest.param([], [(10, 20), (50, 60), (150, 160)], (0, 0, 2), id="false alarms 30 s apart are one"),
        pytest.param([(3590, 3600)], [(3599, 3600)], (1, 1, 0), id="at the end"),
        pytest.param([(0, 5)], [(0, 1)], (1, 1, 0), id="at the beginning"),
    ],
)
def test_event_rule(
    expert: list[tuple[float, float]], detected: list[tuple[float, float]], expected: tuple[int, int, int]
) -> None:
    assert counts(events(*expert), events(*detected)) == expected


def test_a_mark_without_a_whole_second_disappears() -> None:
    assert counts(events((110.2, 110.9)), events((110.0, 112.0))) == (0, 0, 1)
    assert counts(events((110.9, 111.1)), events((110.0, 112.0))) == (1, 1, 0)


def test_an_alarm_that_is_always_on_gives_some_288_false_alarms_a_day() -> None:
    day = 86400.0
    tally = score_events(events((400, 430), duration=day), events((0, day), duration=day))
    assert tally.found == 1 and 264 <= tally.false_per_day <= 288


def test_whole_seconds_forgive_the_noise_of_floating_point() -> None:
    assert second_mask(events((10.0, 70 - 1e-9))).sum() == 60
    assert second_mask(events((10.5, 70.9), duration=100.9)).nonzero()[0].tolist() == list(range(10, 70))


def test_recordings_of_other_lengths_are_refused_and_the_shortest_counts_nothing() -> None:
    assert counts(events(duration=10.2), events(duration=10.9)) == (0, 0, 0)
    with pytest.raises(AnnotationError, match=r"cover 10.90 s, detected events 11.00 s"):
        score_events(events(duration=10.9), events(duration=11.0))
    with pytest.raises(AnnotationError):
        score_samples(events(duration=10.9), events(duration=11.0))
    assert score_events(events(duration=0.5), events(duration=0.9)) == Tally()


def test_timescorings_joining_fault_is_real_and_does_not_reach_us() -> None:
    # Given as a list, an event that contains the next one is cut to the end of the inner one.
    nested = Annotation([(100, 400), (150, 160)], 10, 36000)
    theirs = EventScoring(nested, Annotation([(350, 390)], 10, 36000))
    assert (theirs.tp, theirs.fp) == (0, 1)
    assert counts(events((100, 400)), events((350, 390))) == (1, 1, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 400), max_size=9),
    st.lists(st.integers(1, 400), max_size=9),
)
def test_counts_agree_with_timescoring_on_whole_seconds(left: list[int], right: list[int]) -> None:
    sides = []
    for steps in (left, right):
        times = np.cumsum(steps)
        sides.append([(int(a), int(b)) for a, b in zip(times[::2], times[1::2], strict=False)])
    theirs = EventScoring(*(Annotation([(float(a), float(b)) for a, b in side], 10, 40000) for side in sides))
    ours = score_events(*(events(*side, duration=4000.0) for side in sides))
    assert (ours.expert, ours.found, ours.false) == (theirs.refTrue, theirs.tp, theirs.fp)
    for name, value in (("sensitivity", ours.sensitivity), ("precision", ours.precision), ("f1", ours.f1)):
        assert value == pytest.approx(getattr(theirs, name), nan_ok=True)
    assert ours.false_per_day == pytest.approx(theirs.fpRate)


def test_sample_rule_counts_seconds() -> None:
    tally = score_samples(events((10, 20), duration=100.0), events((15, 25), duration=100.0))
    assert tally == Tally(10, 5, 5, 100.0)
    assert tally.f1 == 0.5
    assert isinstance(tally.found, int)


# -------------------------------------------------------------------------- one event at a time


def test_matches_and_delays_of_marks_as_they_are() -> None:
    expert = events((100, 110), (150, 160), (500, 510), (1000, 1100))
    detected = events((60, 72), (175, 180), (900, 971), (1159, 1170))
    found, delay = match_events(expert, detected)
    assert found.tolist() == [True, True, False, True]
    assert delay[0] == -30.0  # began before the widened event: counted from 30 s before onset
    assert delay[1] == 25.0
    assert math.isnan(delay[2])
    assert delay[3] == -30.0
    assert match_events(events((1000, 1100)), events((1159, 1170)))[1].tolist() == [159.0]
    assert match_events(events((1000, 1100)), events((1160, 1170)))[0].tolist() == [False]
    assert match_events(events(), detected)[1].shape == (0,)
