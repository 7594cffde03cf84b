"""Calibration, thresholds by the rule of evaluation, and what intervals and passes are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from train_examples import TINY

from restcli.detect.rule import to_events
from restcli.evaluation.files import evaluate
from restcli.evaluation.scoring import Tally
from restcli.events import Event, EventRule, Events
from restcli.nn.weights import Calibration
from restcli.train.loop import build_network
from restcli.train.store import BACKGROUND, SEIZURE, UNKNOWN
from restcli.train.traces import Trace, gates
from restcli.train.validation import (
    as_scores,
    choose_rule,
    count_events,
    fit_calibration,
    measure_intervals,
    probabilities,
)


def _trace(logit: list[float], labels: list[int]) -> Trace:
    return Trace(
        np.array(logit, np.float32),
        np.full(len(logit), 15, np.float32),
        None,
        np.array(labels, dtype=np.int8),
        np.array(labels) >= SEIZURE,
        np.zeros((len(logit), 10)),
    )


def test_calibration_corrects_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    ictal = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))
    trace = _trace(list(logit), list(ictal.astype(int) * SEIZURE))
    calibration = fit_calibration([trace], Calibration())
    assert calibration.scale == pytest.approx(0.5, abs=0.08)
    assert calibration.bias == pytest.approx(-1, abs=0.15)


def test_threshold_keeps_to_the_false_alarms_asked_for() -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros(4000, dtype=int)
    labels[2000:2030] = SEIZURE
    logit = np.where(labels == SEIZURE, 4, -3 + rng.normal(0, 2, 4000))
    trace = _trace(list(logit), list(labels))
    found = probabilities([trace], Calibration())
    loose, strict = (choose_rule([trace], found, per_day) for per_day in (2000.0, 1.0))
    assert loose.threshold < strict.threshold
    assert strict.release < strict.threshold
    counts = count_events([trace], found, strict)
    assert counts == Tally(1, 1, 0, 4000.0)


def test_alarms_are_counted_as_evaluation_counts_them() -> None:
    """SzCORE joins alarms less than 90 s apart, and counts per day of recording, not of background."""
    probability = np.zeros(3600, dtype=np.float32)
    for first in (500, 560, 2000, 2075):  # two pairs of alarms within 90 s: two false alarms, not four
        probability[first : first + 10] = 1
    labels = np.zeros(3600, dtype=np.int8)
    labels[3000:3030] = SEIZURE
    probability[2980:2990] = 1  # within 30 s of the seizure: it counts as found
    trace = replace(_trace(list(probability), list(labels)))
    rule = EventRule()
    counts = count_events([trace], [probability], rule)
    expert = Events((Event(3000.0, 30.0),), 3600.0)
    report = evaluate(expert, to_events(as_scores(probability), rule))
    assert counts == report.patients[0].event == Tally(1, 1, 2, 3600.0)
    assert counts.false_per_day == report.value("false alarms a day", "event+pooled") == 48.0


def test_a_seizure_that_was_not_scored_counts_as_missed() -> None:
    """As in an evaluation: what experts marked counts whether or not enough nodes were good there."""
    labels = np.zeros(400, dtype=np.int8)
    labels[200:210] = UNKNOWN
    probability = np.where(labels == UNKNOWN, np.nan, 0.0).astype(np.float32)
    trace = replace(_trace(list(probability), list(labels)), marks=labels == UNKNOWN)
    assert count_events([trace], [probability], EventRule()) == Tally(1, 0, 0, 400.0)


def test_intervals_are_measured_by_what_they_tell() -> None:
    logit = np.array([3.0, -3.0, 0.2, -0.2, np.nan], np.float32)
    spread = np.linspace(-1, 1, 21, dtype=np.float32)
    trace = replace(
        _trace(list(logit), [SEIZURE, BACKGROUND, BACKGROUND, BACKGROUND, BACKGROUND]),
        passes=(logit[:, None] + 5 + spread * [[0.1], [0.1], [1], [1], [1]]).astype(np.float32),
    )
    calibration = Calibration()
    found = probabilities([trace], calibration)
    told = measure_intervals([trace], found, calibration, EventRule(threshold=0.5))
    assert (told["passes"], told["seconds"], told["straddling"]) == (21, 4, 0.5)
    assert (told["wrong_where_straddling"], told["wrong_elsewhere"]) == (0.5, 0.0)
    assert 0.1 < told["mean_width"] < 0.3


def test_masked_passes_differ_from_each_other_and_repeat() -> None:
    network = build_network(TINY)
    masks, again = ([gate.numpy() for gate in gates(network, torch.zeros(18, 400, 6), 3)] for _ in range(2))
    rate = network.config.fire_rate
    for number, mask in enumerate(masks):
        assert mask.shape == (18, 400)
        np.testing.assert_array_equal(mask, again[number])
        np.testing.assert_allclose(np.unique(mask), [0, 1 / rate])
        assert mask.mean() == pytest.approx(1, abs=0.1)
        assert not any(np.array_equal(mask, other) for other in masks[:number])
