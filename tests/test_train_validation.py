"""Calibration, thresholds by the rule of evaluation, and what intervals and passes are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from train_examples import TINY, made_examples

from restcli.detect.rule import plain_scores, to_events
from restcli.evaluation.files import evaluate
from restcli.evaluation.scoring import Tally
from restcli.events import Event, EventRule, Events
from restcli.nn.weights import Calibration
from restcli.signal.features import log_features, rms_of_logs
from restcli.signal.montage import electrode_graph
from restcli.train.assembly import reader_of
from restcli.train.loop import build_network
from restcli.train.store import BACKGROUND, SEIZURE, UNKNOWN
from restcli.train.traces import Trace
from restcli.train.validation import (
    count_events,
    fit_calibration,
    measure_intervals,
    probabilities,
)


def _trace(logit: list[float], labels: list[int]) -> Trace:
    return Trace(
        logit=np.array(logit, np.float32),
        amplitude=np.full(len(logit), 15, np.float32),
        types=None,
        labels=np.array(labels, dtype=np.int8),
        marks=np.array(labels) >= SEIZURE,
        bands=np.zeros((len(logit), 10)),
    )


def test_calibration_corrects_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    ictal = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))
    trace = _trace(list(logit), list(ictal.astype(int) * SEIZURE))
    calibration = fit_calibration([trace])
    assert calibration.scale == pytest.approx(0.5, abs=0.08)
    assert calibration.bias == pytest.approx(-1, abs=0.15)


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
    report = evaluate(expert, to_events(plain_scores(np.arange(len(probability)) + 0.5, probability), rule))
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
    stretches = made_examples(n=3).stretches
    reader = reader_of([build_network(TINY).eval()], TINY)
    traces, again = (reader.traces(stretches, n_passes=3) for _ in range(2))
    for one, other in zip(traces, again, strict=True):
        assert one.passes is not None and other.passes is not None
        assert one.passes.shape == (stretches[0].seconds, 3)
        np.testing.assert_array_equal(one.passes, other.passes)
        known = np.isfinite(one.logit)
        assert (np.isfinite(one.passes).all(axis=1) == known).all()
        for k in range(3):
            assert not any(np.array_equal(one.passes[known, k], one.passes[known, j]) for j in range(k))
            assert not np.array_equal(one.passes[known, k], one.logit[known])


def test_a_trace_says_what_the_definition_says() -> None:
    stretches = made_examples(n=4).stretches
    stretches[1].present[10:14, :12] = 0  # too few nodes
    stretches[2].present[:, 5] = 0
    network = build_network(TINY).eval()
    traces = reader_of([network], TINY).traces(stretches)
    adjacency = torch.from_numpy(electrode_graph(TINY.nodes))
    for stretch, trace in zip(stretches, traces, strict=True):
        logs, here = stretch.spectra.astype(np.float32), stretch.present.astype(np.float32)
        x = log_features(logs, rms_of_logs(logs, TINY.features), stretch.relative, TINY.features) * here[..., None]
        with torch.no_grad():
            logits, _ = network(torch.from_numpy(x)[None], adjacency, present=torch.from_numpy(here)[None])
        mean = (logits[0].numpy() * here).sum(axis=1) / here.sum(axis=1)
        usable, ahead = here.sum(axis=1) >= 8, TINY.look_ahead
        expected = np.where(usable[:-ahead] & usable[ahead:], mean[ahead:], np.nan)
        np.testing.assert_allclose(trace.logit[:-ahead], expected, atol=1e-4)
        assert np.isnan(trace.logit[-ahead:]).all()
        np.testing.assert_array_equal(trace.labels, np.where(usable, stretch.labels, UNKNOWN))
