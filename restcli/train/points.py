"""Operating points: thresholds for so many false alarms a day, chosen where background is like that of a ward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from restcli.detect.rule import logistic
from restcli.evaluation.measures import lowest_safe
from restcli.evaluation.scoring import Tally
from restcli.events import EventRule
from restcli.nn.network import NEVER
from restcli.nn.weights import BALANCED, SENSITIVITIES, OperatingPoint
from restcli.train.store import Float32Array
from restcli.train.traces import Trace
from restcli.train.validation import count_events

# False alarms a day of each point, in units of those asked for.
_RATES = dict(zip(SENSITIVITIES, (1.5, 1.0, 0.5), strict=True))
_ENOUGH = 2.0  # false alarms that a sample must be long enough for, at the rate asked for
# Thresholds tried, strictest first: a tenth of log odds apart.
_LEVELS = tuple(round(float(level), 4) for level in logistic(np.arange(69, -40, -1) / 10))
_FEW, _LOW = 0.2, 0.1  # sensitivity and threshold below which a training is warned of


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
        """Return the lowest threshold that, as all higher ones, keeps to `per_day`; the strictest when none does."""
        return _LEVELS[lowest_safe((self.count(level).false_per_day for level in _LEVELS), per_day)]


@dataclass(frozen=True)
class Chosen:
    """The outcome: the rule at the balanced point, all points, and what a user must be told."""

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
            # What to expect of a threshold is told by the first sample.
            threshold = max(sample.threshold(asked) for sample in usable)
            tally = usable[0].count(threshold)
            points.append(OperatingPoint(name, threshold, tally.sensitivity, tally.false_per_day, asked))
        else:
            hours = _ENOUGH * 24 / asked if asked else math.inf
            kept = f"that of the weights before ({before[name].threshold:g})" if name in before else "not chosen"
            warnings.append(f"too little background for a threshold at {asked:g} false alarms a day: {name} is {kept}")
            warnings[-1] += f"; it takes {hours:.1f} h"
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
            f"the threshold {rule.threshold:g} finds only {validation.found} of {validation.expert} seizures of "
            "validation: these weights miss most of what they were trained for"
        )
    if rule.threshold < _LOW:
        found.append(f"the threshold {rule.threshold:g} is so low that nearly anything can become an event")
    if memory >= NEVER:
        what = "the network does not forget: in long recordings, scores depend on where stretches begin"
        found.append(f"{what}; train it longer")
    return tuple(found)
