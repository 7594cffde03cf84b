"""What an evaluation found, as tables, Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from restcli.evaluation.curve import OperatingCurve
from restcli.evaluation.measures import Reliability
from restcli.evaluation.scoring import RULES, Case, Float, Tally, plain
from restcli.events import EventRule
from restcli.text import count, markdown_table, percent

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]  # heading and cells


@dataclass(frozen=True)
class Measure:
    """One number, with its rule, its interval over patients and the counts behind it."""

    name: str
    of: str  # what was measured: detections, scores or a baseline
    value: float  # NaN where undefined
    low: float  # middle 95 % over bootstrap draws of patients; NaN for fewer than two
    high: float
    rule: str  # key of RULES, or two joined by "+"
    counts: str  # what it was computed from


@dataclass(frozen=True)
class PatientResult:
    """Counts of one patient."""

    patient: str
    n_recordings: int
    event: Tally
    sample: Tally
    auroc: float = math.nan  # of the windows; NaN without scores, or when one kind of window is absent
    baselines: Mapping[str, float] = field(default_factory=dict)  # AUROC of each baseline


@dataclass(frozen=True)
class PointResult:
    """What an operating point of the weights gives here, beside what they expect of it."""

    name: str
    threshold: float
    event: Tally  # by SzCORE's event rule
    expected_sensitivity: float
    expected_false_per_day: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that an evaluation found; every number names its rule."""

    measures: tuple[Measure, ...]
    patients: tuple[PatientResult, ...]
    types: Mapping[str, tuple[int, int]]  # by the expert's type of seizure: how many, and how many found
    delays: Float  # (E,), onset delay of each expert event, s; NaN where not found
    curves: Mapping[str, OperatingCurve]  # of the scores and each baseline; empty without scores
    reliability: Reliability | None  # of the scores
    cases: tuple[Case, ...]
    model: str = ""  # what made the detections
    rule: EventRule | None = None  # how scores became events
    notes: tuple[str, ...] = ()  # what a reader must know
    points: tuple[PointResult, ...] = ()  # operating points of the weights
    n_failed: int = 0  # recordings that could not be scored and are counted nowhere

    @property
    def scored(self) -> float:
        """Fraction of the recordings' time that was scored; NaN when the detections came without scores."""
        known = [case.scores for case in self.cases if case.scores is not None]
        whole = sum(scores.announced for scores in known)
        return sum(scores.scored * scores.announced for scores in known) / whole if whole else math.nan

    @property
    def hours(self) -> float:
        """Length of all recordings."""
        return sum(case.expert.duration for case in self.cases) / 3600

    def value(self, name: str, rule: str, of: str = "detections") -> float:
        """Return one number by the name, rule and subject of its `Measure`; KeyError when there is none."""
        for measure in self.measures:
            if (measure.name, measure.rule, measure.of) == (name, rule, of):
                return measure.value
        raise KeyError(f"{name} ({rule}, {of})")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; null where undefined."""
        patients = [vars(row) | {"event": row.event.to_dict(), "sample": row.sample.to_dict()} for row in self.patients]
        curve_columns = ("threshold", "sensitivity", "false_per_day")
        bins = self.reliability
        table: dict[str, Any] = {
            "format": "restcli-evaluation",
            "version": 1,
            "model": self.model or None,
            "rule": None if self.rule is None else vars(self.rule),
            "scorer": f"timescoring {version('timescoring')}",
            "rules": RULES,
            "n_recordings": len(self.cases),
            "hours": self.hours,
            "scored": self.scored,
            "measures": [vars(measure) for measure in self.measures],
            "patients": patients,
            "types": {name: {"expert": n, "found": k} for name, (n, k) in self.types.items()},
            "delays": self.delays[np.isfinite(self.delays)],
            "points": [vars(point) | {"event": point.event.to_dict()} for point in self.points],
            "curves": {of: {name: getattr(curve, name) for name in curve_columns} for of, curve in self.curves.items()},
            "reliability": None if bins is None else vars(bins) | {"calibration_error": bins.calibration_error},
            "notes": self.notes,
        }
        return {key: plain(value) for key, value in table.items()}

    def measure_table(self) -> Table:
        """Return every measure with its interval, rule and counts."""
        rows: list[tuple[str, ...]] = []
        for m in self.measures:
            interval = "" if math.isnan(m.low) else f"{_number(m.low)} to {_number(m.high)}"
            rows.append((m.name, m.of, _number(m.value), interval, m.rule, m.counts))
        return ("measure", "of", "value", "95 % CI over patients", "rule", "counts"), rows

    def patient_table(self) -> Table:
        """Return SzCORE events, F1 of seconds, and the AUROC of windows beside that of the baselines."""
        baselines = tuple(self.patients[0].baselines)
        head = ("patient", "recordings", "hours", "events", "found", "false alarms", "per day", "sample F1", "AUROC")
        rows = []
        for row in self.patients:
            event = row.event
            counts = (row.n_recordings, f"{event.seconds / 3600:.2f}", event.expert, event.found, event.false)
            ratios = (event.false_per_day, row.sample.f1, row.auroc, *(row.baselines[name] for name in baselines))
            rows.append((row.patient, *map(str, counts), *map(_number, ratios)))
        return (*head, *baselines), rows

    def type_table(self) -> Table:
        """Return expert events of each type, as marked, and those found."""
        rows: list[tuple[str, ...]] = [(name, str(n), str(k), _number(k / n)) for name, (n, k) in self.types.items()]
        return ("type", "marked", "found", "sensitivity"), rows

    def point_table(self) -> Table:
        """Return what each operating point gives and what was expected of it."""
        head = ("point", "threshold", "sensitivity", "expected", "false alarms per day", "expected per day")
        rows: list[tuple[str, ...]] = [
            (
                point.name,
                _number(point.threshold),
                f"{_number(point.event.sensitivity)} ({point.event.found} of {point.event.expert})",
                _number(point.expected_sensitivity),
                _number(point.event.false_per_day),
                _number(point.expected_false_per_day),
            )
            for point in self.points
        ]
        return head, rows

    def curve_table(self) -> Table:
        """Return the operating curve of the scores: one row for each rate of false alarms, at its best sensitivity."""
        best: dict[float, tuple[float, float]] = {}  # by false alarms a day: sensitivity and threshold
        curve = self.curves.get("scores", OperatingCurve(*[np.zeros(0)] * 3))
        for threshold, found, false in zip(curve.threshold, curve.sensitivity, curve.false_per_day, strict=True):
            point = (found, threshold)
            best[false] = max(best.get(false, point), point, key=lambda each: (np.nan_to_num(each[0], nan=-1), each[1]))
        rows: list[tuple[str, ...]] = [
            (_number(threshold), _number(found), _number(false)) for false, (found, threshold) in sorted(best.items())
        ]
        return ("threshold", "sensitivity", "false alarms per day"), rows

    def to_markdown(self) -> str:
        """Return tables for a report or a card."""
        scored = "" if math.isnan(self.scored) else f", {percent(self.scored)} of it scored"
        head = f"{count(len(self.cases), 'recording')} of {count(len(self.patients), 'patient')}, "
        head += f"{self.hours:.2f} h{scored}."
        if self.model:
            head += f" Detections by {self.model}."
        if self.rule is not None:
            head += f" Events: {self.rule.describe()}."
        parts = ["# Evaluation", head, markdown_table(*self.measure_table())]
        parts += ["## By patient", markdown_table(*self.patient_table())]
        for title, (columns, body) in (
            ("Operating points", self.point_table()),
            ("Operating curve", self.curve_table()),
        ):
            parts += [f"## {title}", markdown_table(columns, body)] if body else []
        if self.types:
            parts += ["## By type of seizure", markdown_table(*self.type_table())]
        used = dict.fromkeys(key for measure in self.measures for key in measure.rule.split("+"))
        named = [f"- **{key}**: {RULES[key]}" for key in [*used, *(["type"] if self.types else [])]]
        parts += ["## Rules", "\n".join([*named, f"- scorer: timescoring {version('timescoring')}"])]
        if self.notes:
            parts += ["## Notes", "\n".join(f"- {note}" for note in self.notes)]
        return "\n\n".join(parts) + "\n"


def _number(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
