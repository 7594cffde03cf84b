"""Alarms say in the end exactly what the event rule says of all scores, and never take an event back."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.detect.alarms import _REACH, Alarm, AlarmRule, alarm_times
from restcli.detect.rule import to_events
from restcli.events import Event, EventRule, Scores

NODES = ("F3-C3", "C3-P3", "FZ-CZ")


def drawn(seed: int, n_scores: int) -> Scores:
    """Probabilities that wander about the thresholds, with gaps and, sometimes, a very long doubtful stretch."""
    rng = np.random.default_rng(seed)
    slow = np.exp(-np.arange(61) / rng.choice([2, 8, 20]))
    wandering = np.convolve(rng.standard_normal(n_scores + 60), slow, "valid")[:n_scores]
    probability = 1 / (1 + np.exp(rng.uniform(0, 3) - wandering))
    if seed % 3 == 0:
        probability[200:1700] = np.clip(0.5 + 0.01 * rng.standard_normal(1500), 0, 1)  # above the release for 25 min
        probability[1600:1620] = 0.9 if seed % 2 else 0.5
    if seed % 3 == 1:
        probability[200:1500] = np.maximum(probability[200:1500], 0.6)
    for first in rng.integers(0, n_scores, rng.integers(0, 20)):
        probability[first : first + rng.integers(1, 30)] = np.nan
    known = np.isfinite(probability)[:, None]
    by_node = np.where(known, rng.random((n_scores, 3)), np.nan).astype(np.float32)
    time = np.arange(n_scores) + 0.5
    return Scores(time, probability, by_node, NODES, 1.0, float(n_scores))


def followed(scores: Scores, rule: EventRule) -> tuple[AlarmRule, list[Alarm]]:
    alarms, said = AlarmRule(rule, scores.nodes), []
    for row in zip(scores.time, scores.probability, scores.by_node, strict=True):
        said += alarms.advance(float(row[0]), float(row[1]), row[2], at=float(row[0]) + 3.5)
    return alarms, said + alarms.finish(scores.duration)


def rounded(event: Event) -> tuple[object, ...]:
    return event.onset, event.duration, event.label, event.channels, round(event.confidence, 9)


@pytest.mark.parametrize(
    ("seed", "scales"),
    [
        (3, {}),
        (11, {"long": 21.0, "lift": 0.8}),
        pytest.param(22, {"long": 40.0}, marks=pytest.mark.slow),
        pytest.param(12, {"long": 21.0, "lift": 0.8}, marks=pytest.mark.slow),
    ],
)
def test_alarms_become_the_events_of_the_rule(seed: int, scales: dict[str, float]) -> None:
    rng = np.random.default_rng(seed)
    smooth, least, gap = (float(rng.choice(values)) for values in ([1, 3, 9, 25], [0, 3, 10], [0, 3, 8]))
    rule = EventRule(threshold=0.68, release=0.44, smooth=smooth, min_duration=least, max_gap=gap, **scales)
    scores = drawn(seed, 1900)
    alarms, said = followed(scores, rule)
    expected = to_events(scores, rule)
    assert [rounded(event) for event in alarms.ended] == [rounded(event) for event in expected]
    assert alarms.lasting == ()
    assert len(expected)
    begun = [alarm.number for alarm in said if alarm.state == "begin"]
    assert begun == list(range(1, len(begun) + 1))
    assert sorted(alarm.number for alarm in said if alarm.state in ("end", "joined")) == begun
    first = {alarm.number: alarm.at for alarm in said if alarm.state == "begin"}
    ended = [first[alarm.number] for alarm in said if alarm.state == "end"]
    assert alarm_times(scores, rule, 3) == ended
    assert len(begun) - len(expected) == sum(alarm.state == "joined" for alarm in said)


def constant(*parts: tuple[float, int]) -> Scores:
    probability = np.concatenate([np.full(n, value) for value, n in parts])
    time, n = np.arange(len(probability)) + 0.5, len(probability)
    by_node = np.repeat(probability[:, None], 3, axis=1).astype(np.float32)
    return Scores(time, probability, by_node, NODES, 1.0, float(n))


def test_an_alarm_begins_as_soon_as_nothing_can_undo_it() -> None:
    rule = EventRule(threshold=0.7, release=0.4, smooth=1.0, min_duration=3.0, max_gap=3.0)
    _, said = followed(constant((0.1, 20), (0.9, 25), (0.1, 20)), rule)
    assert [(alarm.state, alarm.at) for alarm in said] == [
        ("begin", 26.0),  # three seconds long, and the network looks ahead by three
        ("update", 36.0),
        ("update", 46.0),
        ("end", 52.0),  # four seconds without, which no gap closes
    ]
    assert [said[-1].event.onset, said[-1].event.stop] == [20.0, 45.0]


def test_what_was_not_scored_ends_an_event() -> None:
    rule = EventRule(threshold=0.7, release=0.4, smooth=1.0, min_duration=3.0, max_gap=8.0)
    _, said = followed(constant((0.1, 20), (0.9, 5), (float("nan"), 1), (0.9, 5), (0.1, 20)), rule)
    assert [(alarm.state, alarm.at) for alarm in said][:2] == [("begin", 26.0), ("end", 29.0)]
    assert [(alarm.event.onset, alarm.event.stop) for alarm in said if alarm.state == "end"] == [(20, 25), (26, 31)]


def test_an_event_that_is_certain_after_a_later_one_has_ended_is_not_lost() -> None:
    rule, rng = EventRule(0.6, 0.45, 3.0, 3.0, 3.0, long=60.0, lift=0.8), np.random.default_rng(375)
    probability = np.full(200, 0.2)
    for _ in range(4):
        first = int(rng.integers(40, 150))
        probability[first : first + int(rng.integers(4, 14))] = rng.uniform(0.45, 0.9)
    scores = Scores(np.arange(200) + 0.5, probability, np.zeros((200, 3), np.float32), NODES, 1.0, 200.0)
    alarms, _ = followed(scores, rule)
    spans = [(event.onset, event.stop) for event in to_events(scores, rule)]
    assert len(spans) == 4
    assert [(event.onset, event.stop) for event in alarms.events] == spans


def test_no_rule_that_weights_may_have_reaches_farther_than_alarms_look() -> None:
    from restcli.nn.checks import _BOUNDS

    assert sum(_BOUNDS[f"rule.{name}"][1] for name in ("smooth", "long", "min_duration", "max_gap")) <= _REACH


@pytest.mark.slow
def test_the_past_is_forgotten() -> None:
    alarms = AlarmRule(EventRule(), NODES)
    longest = 0
    for second in range(6000):
        probability = 0.9 if second % 700 < 20 else 0.2
        alarms.advance(second + 0.5, probability, np.zeros(3, np.float32), at=second + 4.0)
        longest = max(longest, len(alarms._recent))
    assert longest <= 1260
    assert len(alarms.ended) == 9
