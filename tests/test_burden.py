"""Seizure burden: ACNS words and the status rule, with what was not scored as a third state."""

from __future__ import annotations

import pytest

from restcli.events import Event, Events, Span
from restcli.output.burden import MET, NOT_EXCLUDED, NOT_MET, Period, burden_of


def make(
    *seizures: tuple[float, float], duration: float = 7200.0, unscored: tuple[tuple[float, float], ...] = ()
) -> Events:
    events = tuple(Event(start, stop - start) for start, stop in seizures)
    return Events(events, duration, None, tuple(Span(*span, "x") for span in unscored))


@pytest.mark.parametrize(
    ("seizure", "unscored", "word"),
    [
        (0, 0, "none"),
        (35, 0, "rare"),
        (36, 0, "occasional"),
        (360, 0, "frequent"),
        (1800, 0, "abundant"),
        (3240, 0, "continuous"),
        (180, 1800, "frequent"),
        (0, 3600, "not scored"),
        (0, 3599, "none"),
    ],
)
def test_words_speak_of_the_scored_time(seizure: float, unscored: float, word: str) -> None:
    assert Period(0, 3600, seizure, unscored).word == word


def test_periods_share_out_events_and_what_was_not_scored() -> None:
    burden = burden_of(make((290, 320), (3590, 3610), unscored=((310, 400), (7000, 7200))), 7500.0)
    five, hours = burden.periods[300.0], burden.periods[3600.0]
    assert [(period.seizure, period.unscored) for period in five[:2]] == [(10, 0), (20, 80)]
    assert [(period.start, period.stop, period.seizure, period.unscored) for period in hours] == [
        (0, 3600, 40, 80),
        (3600, 7200, 10, 200),
        (7200, 7500, 0, 300),
    ]
    assert five[-1].word == "not scored"
    assert (burden.whole.seizure, burden.whole.unscored, burden.longest) == (50, 580, 30)
    head, *rows = burden.to_table().splitlines()
    assert head.endswith("prevalence_acns_2021") and len(rows) == 25 + 3
    assert all("ACNS 2021" in burden.to_dict()["rules"][name] for name in ("prevalence", "status"))


@pytest.mark.parametrize(
    ("events", "status"),
    [
        (make(), NOT_MET),
        (make((0, 599)), NOT_MET),
        (make((0, 600)), MET),
        (make((0, 300), (300, 600)), MET),
        (make((1800, 2160), (4800, 5160)), MET),  # 12 min within 60, though no clock hour holds them
        (make((1700, 2060), (5000, 5360)), NOT_MET),  # further apart than 60 min
        (make((0, 590), unscored=((590, 605),)), NOT_EXCLUDED),
        (make(unscored=((0, 700),)), NOT_EXCLUDED),
        (make((0, 100), unscored=((7195, 7200),)), NOT_MET),
    ],
)
def test_status_is_ten_minutes_or_a_fifth_of_an_hour(events: Events, status: str) -> None:
    assert burden_of(events, 7200.0).status == status


def test_nothing_scored_is_not_no_seizure() -> None:
    burden = burden_of(make(duration=60.0, unscored=((0, 60),)), 60.0)
    assert burden.whole.word == "not scored"
    empty = burden_of(make(duration=0.0), 0.0)
    assert (empty.whole.word, empty.periods[3600.0]) == ("not scored", ())
