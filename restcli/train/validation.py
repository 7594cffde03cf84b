"""Calibration, operating points, and results of a network on validation data.

Thresholds are chosen for so many false alarms a day, where background is like that of a ward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import logistic, plain_scores, to_events
from restcli.detect.timeline import INTERVAL, calibrate, spread_around
from restcli.evaluation import measures
from restcli.evaluation.scoring import Tally, score_events, total
from restcli.events import Event, EventRule, Events
from restcli.nn.baselines import BandPowerBaseline, amplitude_baseline, fit_band_power
from restcli.nn.network import NEVER
from restcli.nn.weights import BALANCED, SENSITIVITIES, Calibration, OperatingPoint
from restcli.signal.sequences import nan_mean, true_runs
from restcli.train.store import SEIZURE, UNKNOWN, Examples, Float32Array
from restcli.train.traces import Trace, stretch_bands

# False alarms a day of each point, in units of those asked for.
_RATES = dict(zip(SENSITIVITIES, (1.5, 1.0, 0.5), strict=True))
_ENOUGH = 2.0  # a sample must be long enough for so many false alarms at the rate asked for
# Thresholds tried, strictest first: a tenth of log odds apart.
_LEVELS = tuple(round(float(level), 4) for level in logistic(np.arange(69, -40, -1) / 10))
_FEW, _LOW = 0.2, 0.1  # sensitivity and threshold below which the user is warned


def fit_baseline(examples: Examples) -> BandPowerBaseline:
    """Fit the regression on band power to the training side."""
    features, labels = np.concatenate([stretch_bands(stretch) for stretch in examples.stretches]), examples.labels()
    known = labels != UNKNOWN
    return fit_band_power(features[known], labels[known] >= SEIZURE)


def probabilities(traces: Sequence[Trace], calibration: Calibration) -> list[Float32Array]:
    """Return the calibrated probability of each second of each trace."""
    return [calibrate(trace.logit, calibration) for trace in traces]


def fit_calibration(traces: Sequence[Trace]) -> Calibration:
    """Fit scale and bias so that probabilities mean what they say on these traces."""
    # Seizures are far commoner in training data than in a ward: the probability is that on data like these.
    logits, targets = [], []
    for trace in traces:
        known = np.isfinite(trace.logit) & (trace.labels != UNKNOWN)
        logits.append(trace.logit[known])
        targets.append(trace.labels[known] >= SEIZURE)
    scale, bias = measures.fit_logistic(np.concatenate(logits), np.concatenate(targets))
    return Calibration(max(scale, 1e-3), bias)


def count_events(traces: Sequence[Trace], found: Sequence[Float32Array], rule: EventRule) -> Tally:
    """Apply a rule to probabilities and count seizures and false alarms as `restcli evaluate` does."""
    # Each stretch is counted by itself: alarms on both sides of a gap are not joined.
    return total(
        score_events(_marks(trace), to_events(plain_scores(np.arange(len(probability)) + 0.5, probability), rule))
        for trace, probability in zip(traces, found, strict=True)
    )


def _marks(trace: Trace) -> Events:
    seizures = tuple(Event(float(first), float(stop - first)) for first, stop in true_runs(trace.marks))
    return Events(seizures, float(len(trace.marks)))


def measure(
    traces: Sequence[Trace], found: Sequence[Float32Array], counts: Tally, *, baseline: BandPowerBaseline
) -> dict[str, Any]:
    """Return AUROC of seconds beside that of both baselines, Brier score, and events with their counts."""
    score, labels = np.concatenate(found), np.concatenate([trace.labels for trace in traces])
    amplitude = np.concatenate([amplitude_baseline(trace.amplitude[:, None]) for trace in traces])
    bands = np.concatenate([baseline.predict(trace.bands) for trace in traces])
    known = np.isfinite(score) & (labels != UNKNOWN) & np.isfinite(amplitude) & np.isfinite(bands)
    target = labels[known] >= SEIZURE
    return {
        "seconds": int(known.sum()),
        "ictal_seconds": int(target.sum()),
        "auroc_seconds": measures.auroc(score[known], target),
        "auroc_amplitude_baseline": measures.auroc(amplitude[known], target),
        "auroc_band_power_baseline": measures.auroc(bands[known], target),
        "brier": float(np.mean((score[known] - target) ** 2)),
        "seizures": counts.expert,
        "seizures_found": counts.found,
        "sensitivity": counts.sensitivity,
        "false_alarms": counts.false,
        "hours": counts.seconds / 3600,
        "false_alarms_per_day": counts.false_per_day,
    }


def confusion_of_types(traces: Sequence[Trace], n_types: int) -> NDArray[np.int64]:
    """Count seizures of known type by the type read out over them, shape (C, C): row true, column found."""
    table = np.zeros((n_types, n_types), dtype=np.int64)
    for trace in traces:
        if trace.types is None:
            continue
        for first, stop in true_runs(trace.labels > SEIZURE):
            true = int(np.bincount(trace.labels[first:stop]).argmax()) - SEIZURE - 1
            part = trace.types[first:stop]
            part = part[np.isfinite(part).all(axis=1)]
            if len(part):
                table[true, int(part.mean(axis=0).argmax())] += 1
    return table


def reliability(traces: Sequence[Trace], found: Sequence[Float32Array]) -> list[dict[str, float]]:
    """Compare probabilities with how often they were right, in equal bins; empty ones are left out."""
    labels = np.concatenate([trace.labels for trace in traces])
    score = np.where(labels != UNKNOWN, np.concatenate(found), np.nan)
    return measures.reliability(score, labels >= SEIZURE).rows()


def measure_intervals(
    traces: Sequence[Trace], found: Sequence[Float32Array], calibration: Calibration, rule: EventRule
) -> dict[str, float]:
    """Measure whether the interval over masked passes straddles the threshold where the network errs."""
    widths, unsure, wrong, n_passes = [], [], [], 0
    for trace, probability in zip(traces, found, strict=True):
        assert trace.passes is not None  # the caller asked for them
        n_passes = trace.passes.shape[1]
        known = np.isfinite(probability) & (trace.labels != UNKNOWN)
        around = spread_around(trace.passes, trace.logit)
        around = calibrate(around, calibration)[known]
        low, high = np.percentile(around, INTERVAL, axis=1) if known.any() else np.zeros((2, 0))
        widths.append(high - low)
        unsure.append((low < rule.threshold) & (high >= rule.threshold))
        wrong.append((probability[known] >= rule.threshold) != (trace.labels[known] >= SEIZURE))
    width, straddles, errs = (np.concatenate(parts) for parts in (widths, unsure, wrong))
    return {
        "passes": n_passes,
        "seconds": len(width),
        "mean_width": float(width.mean()),
        "straddling": float(straddles.mean()),
        "wrong_where_straddling": nan_mean(errs[straddles].astype(float)),
        "wrong_elsewhere": nan_mean(errs[~straddles].astype(float)),
    }


@dataclass(frozen=True, eq=False)
class Sample:
    """Recordings that thresholds are chosen on."""

    name: str  # in words
    traces: Sequence[Trace]
    found: Sequence[Float32Array]  # probability of each second of each
    rule: EventRule
    tallies: dict[float, Tally] = field(default_factory=dict)  # counted so far, by threshold

    @property
    def hours(self) -> float:
        """Its length."""
        return sum(len(trace.labels) for trace in self.traces) / 3600

    @property
    def seizures(self) -> int:
        """How many there are."""
        return self.count(self.rule.threshold).expert

    def enough(self, per_day: float) -> bool:
        """Whether it is long enough to tell rates about `per_day` apart."""
        return self.hours / 24 * per_day >= _ENOUGH

    def count(self, threshold: float) -> Tally:
        """Count seizures and false alarms at a threshold."""
        if threshold not in self.tallies:
            self.tallies[threshold] = count_events(self.traces, self.found, self.rule.with_threshold(threshold))
        return self.tallies[threshold]

    def threshold(self, per_day: float) -> float:
        """Return the lowest threshold that, like all higher ones, keeps to `per_day`; the strictest when none does."""
        return _LEVELS[measures.lowest_safe((self.count(level).false_per_day for level in _LEVELS), per_day)]


@dataclass(frozen=True)
class Chosen:
    """The rule at the balanced point, all points, and warnings for the user."""

    rule: EventRule
    points: tuple[OperatingPoint, ...]
    warnings: tuple[str, ...] = ()


def choose_points(
    samples: Sequence[Sample], per_day: float, rule: EventRule, parent: Sequence[OperatingPoint] = ()
) -> Chosen:
    """Choose a threshold for each point: the strictest that one of the samples that are long enough asks for."""
    # Where none is long enough the threshold is that of the weights that the training started from.
    before = {point.name: point for point in parent}
    points, warnings = [], []
    for name, factor in _RATES.items():
        asked = factor * per_day
        usable = [sample for sample in samples if sample.hours and sample.enough(asked)]
        if usable:
            # The first sample tells what to expect of a threshold.
            threshold = max(sample.threshold(asked) for sample in usable)
            tally = usable[0].count(threshold)
            points.append(OperatingPoint(name, threshold, tally.sensitivity, tally.false_per_day, asked))
        else:
            hours = _ENOUGH * 24 / asked if asked else math.inf
            kept = f"keeps that of the initial weights ({before[name].threshold:g})" if name in before else "is not set"
            warnings.append(
                f"too little background for a threshold at {asked:g} false alarms a day, which takes {hours:.1f} h: "
                f"{name} {kept}"
            )
            points += [before[name]] if name in before else []
    points = [point for point in points if math.isfinite(point.threshold)]
    for point in points:
        if point.name == BALANCED:
            rule = rule.with_threshold(point.threshold)
            rule = replace(rule, release=min(round(rule.release, 4), rule.threshold))
    return Chosen(rule, tuple(points), tuple(warnings))


def doubts(rule: EventRule, validation: Tally, memory: int) -> tuple[str, ...]:
    """Say what speaks against a threshold, and against a network."""
    found = []
    if validation.expert and validation.sensitivity < _FEW:
        found.append(
            f"the threshold {rule.threshold:g} finds only {validation.found} of {validation.expert} seizures of the "
            "validation data"
        )
    if rule.threshold < _LOW:
        found.append(f"the threshold {rule.threshold:g} is so low that nearly anything can become an event")
    if memory >= NEVER:
        what = "the network does not forget: in long recordings, scores depend on where stretches begin"
        found.append(f"{what}; train it longer")
    return tuple(found)
