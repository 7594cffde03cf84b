"""Compare detected with expert events under named rules; knows neither models nor signals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import AnnotationError, UsageError
from restcli.evaluation.scoring import (
    RULES,
    Bool,
    Float,
    Reliability,
    Tally,
    binned_auprc,
    binned_auroc,
    bootstrap,
    match_events,
    nan_mean,
    plain,
    reliability,
    score_events,
    score_samples,
    score_windows,
    total,
)
from restcli.events import Event, EventRule, Events, FloatArray, Scores, merge_events, to_events
from restcli.marks.annotations import UnknownLengthError, read_events
from restcli.marks.layouts import patient_of

_CURVE_POINTS = 41
_AUROC_BINS = 4096
_GOALS = (0.5, 0.8)

# -------------------------------------------------------------------------------------------- cases


@dataclass(frozen=True, eq=False)
class Case:
    """One recording to be evaluated.

    Parameters
    ----------
    name : str
        The recording, as the user named it.
    patient : str
        Whose it is.
    expert, detected : Events
        Both sides.
    scores : Scores or None
        What the detections were made of, when known.
    floors : mapping of str to ndarray, shape (B,)
        Other scores of the same windows, any scale, NaN where not scored: what the network must beat.
    """

    name: str
    patient: str
    expert: Events
    detected: Events
    scores: Scores | None = None
    floors: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_windows = 0 if self.scores is None else len(self.scores.time)
        for floor, values in self.floors.items():
            if len(values) != n_windows:
                raise UsageError(
                    self.name, f"floor {floor} of {len(values)} values", f"one for each of {n_windows} scores"
                )


@dataclass(frozen=True, eq=False)
class OperatingCurve:
    """Sensitivity and false alarms as the threshold moves, counted by SzCORE's event rule over all recordings.

    Parameters
    ----------
    threshold : ndarray, shape (K,)
        Ascending; above the last no alarm is left.
    sensitivity, false_per_day : ndarray, shape (K,)
        NaN where undefined.
    counts : ndarray, shape (K, P, 4)
        Expert events, found, false and seconds, at each threshold and in each patient.
    """

    threshold: Float
    sensitivity: Float
    false_per_day: Float
    counts: Float = field(default_factory=lambda: np.zeros((0, 0, 4)))

    @staticmethod
    def from_counts(threshold: Float, counts: Float) -> OperatingCurve:
        """Divide counts, shape (K, P, 4), summed over the patients."""
        points = [Tally(*row) for row in counts.sum(axis=1)]
        return OperatingCurve(
            threshold,
            np.array([point.sensitivity for point in points]),
            np.array([point.false_per_day for point in points]),
            counts,
        )

    def sensitivity_at(self, false_per_day: float) -> float:
        """Best sensitivity with no more false alarms a day than given; NaN when there is no seizure."""
        allowed = self.sensitivity[self.false_per_day <= false_per_day + 1e-9]
        allowed = allowed[np.isfinite(allowed)]
        return float(allowed.max()) if allowed.size else math.nan

    def false_at(self, sensitivity: float) -> float:
        """Fewest false alarms a day with at least the given sensitivity; NaN when it is never reached."""
        with np.errstate(invalid="ignore"):
            reached = self.false_per_day[self.sensitivity >= sensitivity - 1e-9]
        return float(reached.min()) if reached.size else math.nan


def operating_curve(cases: Sequence[Case], rule: EventRule, *, floor: str = "") -> OperatingCurve:
    """Move the threshold and count events at each.

    Parameters
    ----------
    cases : sequence of Case
        Those with scores are used.
    rule : EventRule
        Its release threshold follows at the same distance in log odds; its durations stay.
    floor : str
        Use this floor of the cases instead of their probability. Its values are replaced by their rank among all
        windows of all cases, so that one threshold serves all recordings, and there is no hysteresis.

    Returns
    -------
    OperatingCurve

    Raises
    ------
    UsageError
        If no case has scores.
    """
    used = [case for case in cases if case.scores is not None]
    if not used:
        raise UsageError("operating curve", "no recording with scores", "detections made here, not tables alone")
    if floor:
        values = _ranks([np.asarray(case.floors[floor], dtype=float) for case in used])
        rule = replace(rule, smooth=0.0)
    else:
        values = [_probability(case) for case in used]
    judged = [_lean(case, value) for case, value in zip(used, values, strict=True)]
    thresholds = _thresholds(np.concatenate(values))
    names = sorted({case.patient for case in used})
    counts = np.zeros((len(thresholds), len(names), 4))
    for row, level in enumerate(thresholds):
        at = replace(rule, threshold=level, release=level) if floor else shift_rule(rule, float(level))
        for case, scores in zip(used, judged, strict=True):
            point = score_events(case.expert, to_events(scores, at))
            counts[row, names.index(case.patient)] += (point.expert, point.found, point.false, point.seconds)
    return OperatingCurve.from_counts(thresholds, counts)


def shift_rule(rule: EventRule, threshold: float) -> EventRule:
    """Move the threshold and let the release follow at the same distance in log odds.

    Parameters
    ----------
    rule : EventRule
        What is shifted.
    threshold : float
        The new one.

    Returns
    -------
    EventRule

    Examples
    --------
    >>> shift_rule(EventRule(threshold=0.5, release=0.5), 0.9).release
    0.9
    """
    old, release, new = (min(max(p, 1e-6), 1 - 1e-6) for p in (rule.threshold, rule.release, threshold))
    odds = math.log(new / (1 - new)) + math.log(release / (1 - release)) - math.log(old / (1 - old))
    follows = 1 / (1 + math.exp(-odds))
    return replace(rule, threshold=threshold, release=min(round(follows, 9), threshold))


def _probability(case: Case) -> Float:
    assert case.scores is not None  # the callers looked; this tells the type checker
    return np.asarray(case.scores.probability, dtype=float)


def _lean(case: Case, values: FloatArray) -> Scores:
    """Scores without nodes: only the whole is thresholded."""
    scores = case.scores
    assert scores is not None  # the caller looked; this tells the type checker
    nothing = np.zeros((len(values), 0))
    return Scores(scores.time, values, nothing, (), scores.window, scores.step, scores.duration)


def _ranks(values: Sequence[Float]) -> list[Float]:
    """Replace values by their rank among all of them, 0 to 1; missing stays missing."""
    pooled = np.sort(np.concatenate(values))
    pooled = pooled[np.isfinite(pooled)]
    scale = max(1, len(pooled) - 1)
    return [
        np.where(np.isfinite(value), np.searchsorted(pooled, np.nan_to_num(value)).clip(0, scale) / scale, np.nan)
        for value in values
    ]


def _thresholds(values: FloatArray) -> Float:
    """Levels dense where alarms are rare, and one that nothing reaches."""
    known = np.asarray(values, dtype=float)[np.isfinite(values)]
    if not known.size:
        return np.array([1.0])
    tail = np.geomspace(0.5, min(0.5, 1.0 / known.size), _CURVE_POINTS - 1)
    levels = np.unique(np.quantile(known, 1 - tail))
    return np.append(levels[levels > 0], np.nextafter(known.max(), np.inf))


@dataclass(frozen=True)
class Measure:
    """One number, with its rule, its interval over patients and the counts behind it.

    Parameters
    ----------
    name : str
        What is measured.
    of : str
        What was measured: ``detections``, ``scores`` or a floor.
    value : float
        NaN where undefined.
    low, high : float
        Middle 95 % over bootstrap draws of patients; NaN when there are fewer than two.
    rule : str
        Key of `RULES`, or two joined by ``+``.
    counts : str
        What it was computed from.
    """

    name: str
    of: str
    value: float
    low: float
    high: float
    rule: str
    counts: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; null where undefined."""
        keys = ("name", "of", "value", "low", "high", "rule", "counts")
        return {key: plain(getattr(self, key)) for key in keys}


_RATIOS = {
    "sensitivity": "sensitivity",
    "precision": "precision",
    "F1": "f1",
    "false alarms a day": "false_per_day",
}


@dataclass(frozen=True)
class _Draws:
    """How intervals are drawn."""

    n: int
    seed: int

    def interval(self, statistic: Callable[[NDArray[np.intp]], float], n_patients: int) -> tuple[float, float]:
        return bootstrap(statistic, n_patients, n_draws=self.n, seed=self.seed)


def _count_measures(kind: str, tallies: Sequence[Tally], draws: _Draws) -> list[Measure]:
    """Measure one rule by subject (SzCORE's way) and pooled; one tally a patient."""
    table = np.array([[t.expert, t.found, t.false, t.seconds] for t in tallies], dtype=float)
    whole = total(tallies)
    unit = "events" if kind == "event" else "s"
    counts = f"{whole.found} of {whole.expert} {unit}, {whole.false} {unit} false, {whole.seconds / 3600:.2f} h"
    measures = []
    for name, attribute in _RATIOS.items():
        if kind == "sample" and attribute == "false_per_day":
            name = "false seconds a day"  # noqa: PLW2901
        each: Float = np.array([getattr(tally, attribute) for tally in tallies], dtype=float)

        def by_subject(chosen: NDArray[np.intp], each: Float = each) -> float:
            return nan_mean(each[chosen])

        def pooled(chosen: NDArray[np.intp], attribute: str = attribute) -> float:
            return float(getattr(Tally(*table[chosen].sum(axis=0)), attribute))

        known = f"{int(np.isfinite(each).sum())} of {len(tallies)} subjects; {counts}"
        interval = draws.interval(by_subject, len(tallies))
        measures.append(Measure(name, "detections", nan_mean(each), *interval, f"{kind}+subject", known))
        interval = draws.interval(pooled, len(tallies))
        value = float(getattr(whole, attribute))
        measures.append(Measure(name, "detections", value, *interval, f"{kind}+pooled", counts))
    return measures


def _window_measures(of: str, values: Sequence[Float], windows: _Windows, draws: _Draws) -> list[Measure]:
    """Measure how scores rank windows: all together, and in each patient who has both kinds."""
    pooled = np.concatenate(values)
    result = score_windows(pooled, windows.labels)
    each = np.array([score_windows(pooled[part], windows.labels[part]).auroc for part in windows.parts()], dtype=float)
    tables = _histograms(pooled, windows)
    n_patients = windows.n_patients
    counts = f"{result.n_seizure} seizure and {result.n_other} other windows of {len(pooled)}"

    def auroc(chosen: NDArray[np.intp]) -> float:
        return binned_auroc(tables[:, chosen].sum(axis=1))

    def auprc(chosen: NDArray[np.intp]) -> float:
        return binned_auprc(tables[:, chosen].sum(axis=1))

    def mean(chosen: NDArray[np.intp]) -> float:
        return nan_mean(each[chosen])

    by_subject = f"{int(np.isfinite(each).sum())} of {n_patients} subjects; {counts}"
    return [
        Measure("window AUROC", of, result.auroc, *draws.interval(auroc, n_patients), "window", counts),
        Measure("window AUPRC", of, result.auprc, *draws.interval(auprc, n_patients), "window", counts),
        Measure("window AUROC", of, nan_mean(each), *draws.interval(mean, n_patients), "mean window", by_subject),
    ]


@dataclass(frozen=True, eq=False)
class _Windows:
    """All scored windows of all cases: the expert's label and whose they are."""

    labels: Bool
    patient: NDArray[np.intp]
    n_patients: int

    def parts(self) -> list[Bool]:
        return [self.patient == k for k in range(self.n_patients)]


def _histograms(values: Float, windows: _Windows) -> Float:
    """Count windows by score bin, shape (2, P, K): other and seizure, patient, bins of equal count."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros((2, windows.n_patients, 1))
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _AUROC_BINS)[1:-1]))
    bins = np.searchsorted(edges, values[known], side="right")
    tables = np.zeros((2, windows.n_patients, len(edges) + 1))
    np.add.at(tables, (windows.labels[known].astype(int), windows.patient[known], bins), 1.0)
    return tables


# --------------------------------------------------------------------------------------- evaluation


@dataclass(frozen=True)
class PatientResult:
    """Counts of one patient.

    Parameters
    ----------
    patient : str
        Who.
    n_recordings : int
        Recordings.
    event, sample : Tally
        Under both of SzCORE's rules.
    auroc : float
        Of the windows; NaN without scores, or when one kind of window is absent.
    floors : mapping of str to float
        The same of each floor.
    """

    patient: str
    n_recordings: int
    event: Tally
    sample: Tally
    auroc: float = math.nan
    floors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything that an evaluation found; every number names its rule.

    Parameters
    ----------
    measures : tuple of Measure
        All numbers.
    patients : tuple of PatientResult
        By patient.
    types : mapping of str to (int, int)
        By the expert's type of seizure: how many, and how many found.
    delays : ndarray, shape (E,)
        Onset delay of each expert event, s; NaN where not found.
    curves : mapping of str to OperatingCurve
        ``scores`` and each floor; empty without scores.
    reliability : Reliability or None
        Of the scores.
    cases : tuple of Case
        What was evaluated; the per-patient strips are drawn from it.
    model : str
        What made the detections.
    rule : EventRule or None
        How scores became events.
    notes : tuple of str
        What a reader must know.
    """

    measures: tuple[Measure, ...]
    patients: tuple[PatientResult, ...]
    types: Mapping[str, tuple[int, int]]
    delays: Float
    curves: Mapping[str, OperatingCurve]
    reliability: Reliability | None
    cases: tuple[Case, ...]
    model: str = ""
    rule: EventRule | None = None
    notes: tuple[str, ...] = ()

    @property
    def scored(self) -> float:
        """Fraction of the recordings' time that was scored; NaN when the detections came without scores."""
        known = [case.scores for case in self.cases if case.scores is not None]
        whole = sum(scores.duration for scores in known)
        return sum(scores.scored * scores.duration for scores in known) / whole if whole else math.nan

    def value(self, name: str, rule: str, of: str = "detections") -> float:
        """Return one number by its name and rule.

        Parameters
        ----------
        name, rule, of : str
            As in `Measure`.

        Returns
        -------
        float

        Raises
        ------
        KeyError
            If there is no such number.
        """
        for measure in self.measures:
            if (measure.name, measure.rule, measure.of) == (name, rule, of):
                return measure.value
        raise KeyError(f"{name} ({rule}, {of})")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; null where undefined."""
        found = self.delays[np.isfinite(self.delays)]
        calibration = self.reliability
        return {
            "format": "restcli-evaluation",
            "version": 1,
            "model": self.model or None,
            "rule": None if self.rule is None else vars(self.rule),
            "scorer": f"timescoring {version('timescoring')}",
            "rules": RULES,
            "n_recordings": len(self.cases),
            "hours": sum(case.expert.duration for case in self.cases) / 3600,
            "scored": plain(self.scored),
            "measures": [measure.to_dict() for measure in self.measures],
            "patients": [
                {
                    "patient": row.patient,
                    "n_recordings": row.n_recordings,
                    "event": row.event.to_dict(),
                    "sample": row.sample.to_dict(),
                    "auroc": plain(row.auroc),
                    "floors": {name: plain(auroc) for name, auroc in row.floors.items()},
                }
                for row in self.patients
            ],
            "types": {name: {"expert": n, "found": k} for name, (n, k) in self.types.items()},
            "delays": [float(delay) for delay in found],
            "curves": {
                name: {
                    "threshold": [float(x) for x in curve.threshold],
                    "sensitivity": [plain(float(x)) for x in curve.sensitivity],
                    "false_per_day": [plain(float(x)) for x in curve.false_per_day],
                }
                for name, curve in self.curves.items()
            },
            "reliability": None
            if calibration is None
            else {
                "predicted": [plain(float(x)) for x in calibration.predicted],
                "observed": [plain(float(x)) for x in calibration.observed],
                "counts": [int(x) for x in calibration.counts],
                "brier": plain(calibration.brier),
                "calibration_error": plain(calibration.calibration_error),
            },
            "notes": list(self.notes),
        }

    def patient_table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return heading and cells: SzCORE events, F1 of seconds, AUROC of windows beside that of the floors."""
        floors = tuple(self.patients[0].floors)
        head = ("patient", "recordings", "hours", "events", "found", "false", "false a day", "sample F1", "AUROC")
        rows = []
        for row in self.patients:
            event = row.event
            counts = (row.n_recordings, f"{event.seconds / 3600:.2f}", event.expert, event.found, event.false)
            ratios = (event.false_per_day, row.sample.f1, row.auroc, *(row.floors[name] for name in floors))
            rows.append((row.patient, *map(str, counts), *map(_number, ratios)))
        return (*head, *floors), rows

    def type_table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return heading and cells: expert events of each type, as marked, and those found."""
        rows: list[tuple[str, ...]] = [(name, str(n), str(k), _number(k / n)) for name, (n, k) in self.types.items()]
        return ("type", "marked", "found", "sensitivity"), rows

    def to_markdown(self) -> str:
        """Return tables for a report or a card."""
        hours = sum(case.expert.duration for case in self.cases) / 3600
        scored = "" if math.isnan(self.scored) else f", {100 * self.scored:.1f} % of it scored"
        head = f"{len(self.cases)} recordings of {len(self.patients)} patients, {hours:.2f} h{scored}."
        made = f" Detections by {self.model}." if self.model else ""
        rule = "" if self.rule is None else f" Events: {rule_text(self.rule)}."
        rows = [(m.name, m.of, _number(m.value), _interval(m.low, m.high), m.rule, m.counts) for m in self.measures]
        parts = [
            "# Evaluation",
            head + made + rule,
            _table(("measure", "of", "value", "95 % over patients", "rule", "counts"), rows),
            "## By patient",
            _table(*self.patient_table()),
        ]
        if self.types:
            parts += ["## By type of seizure", _table(*self.type_table())]
        used = dict.fromkeys(key for measure in self.measures for key in measure.rule.split("+"))
        named = [f"- **{key}**: {RULES[key]}" for key in [*used, *(["type"] if self.types else [])]]
        parts += ["## Rules", "\n".join([*named, f"- scorer: timescoring {version('timescoring')}"])]
        if self.notes:
            parts += ["## Notes", "\n".join(f"- {note}" for note in self.notes)]
        return "\n\n".join(parts) + "\n"


def rule_text(rule: EventRule) -> str:
    """Say in words how scores become events.

    Parameters
    ----------
    rule : EventRule
        Thresholds and seconds.

    Returns
    -------
    str

    Examples
    --------
    >>> rule_text(EventRule())
    'threshold 0.5, release 0.35, at least 3 s, gaps up to 3 s closed, mean over 3 s'
    """
    return (
        f"threshold {rule.threshold:g}, release {rule.release:g}, at least {rule.min_duration:g} s, "
        f"gaps up to {rule.max_gap:g} s closed, mean over {rule.smooth:g} s"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in lines)


def _number(value: float) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _interval(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{_number(low)} to {_number(high)}"


def evaluate_cases(
    cases: Sequence[Case],
    *,
    rule: EventRule | None = None,
    model: str = "",
    limits: Sequence[float] = (1.0, 10.0),
    draws: tuple[int, int] = (1000, 0),
) -> Evaluation:
    """Evaluate recordings under every rule.

    Parameters
    ----------
    cases : sequence of Case
        Recordings with both sides. Window measures, curves and reliability use those with scores; floors that all of
        these have stand beside the scores in every table.
    rule : EventRule or None
        How scores became events; needed for curves.
    model : str
        What made the detections.
    limits : sequence of float
        False alarms a day at which the sensitivity is given.
    draws : (int, int)
        Number and seed of the bootstrap draws over patients.

    Returns
    -------
    Evaluation

    Raises
    ------
    UsageError
        If there are no cases.
    AnnotationError
        If the two sides of a recording are not equally long.
    """
    if not cases:
        raise UsageError("evaluation", "no recordings", "expert marks and detected events of at least one")
    how = _Draws(*draws)
    patients = _by_patient(cases)
    measures = _count_measures("event", [row.event for row in patients], how)
    measures += _count_measures("sample", [row.sample for row in patients], how)
    matched = [match_events(case.expert, case.detected) for case in cases]
    delays = np.concatenate([delay for _, delay in matched])
    measures.append(_delay_measure(cases, [delay for _, delay in matched], how))
    judged = [case for case in cases if case.scores is not None]
    curves: dict[str, OperatingCurve] = {}
    calibration = None
    if judged:
        windows = _windows(judged)
        values: dict[str, list[Float]] = {"scores": [_probability(case) for case in judged]}
        for name in _shared_floors(judged):
            values[name] = [np.asarray(case.floors[name], dtype=float) for case in judged]
        for of, parts in values.items():
            measures += _window_measures(of, parts, windows, how)
            if rule is not None:
                curve = operating_curve(judged, rule, floor="" if of == "scores" else of)
                measures += _curve_measures(of, curve, limits, how)
                curves[of] = curve
        calibration = reliability(np.concatenate(values["scores"]), windows.labels)
    return Evaluation(
        tuple(measures),
        patients,
        _by_type(cases, [found for found, _ in matched]),
        delays,
        curves,
        calibration,
        tuple(cases),
        model,
        rule,
        tuple(_notes(cases)),
    )


def _by_patient(cases: Sequence[Case]) -> tuple[PatientResult, ...]:
    rows = []
    for patient in sorted({case.patient for case in cases}):
        own = [case for case in cases if case.patient == patient]
        judged = [case for case in own if case.scores is not None]
        auroc, floors = math.nan, {}
        if judged:
            labels = _windows(judged).labels
            auroc = score_windows(np.concatenate([_probability(case) for case in judged]), labels).auroc
            for name in _shared_floors([case for case in cases if case.scores is not None]):
                values = np.concatenate([np.asarray(case.floors[name], dtype=float) for case in judged])
                floors[name] = score_windows(values, labels).auroc
        rows.append(
            PatientResult(
                patient,
                len(own),
                total(score_events(case.expert, case.detected) for case in own),
                total(score_samples(case.expert, case.detected) for case in own),
                auroc,
                floors,
            )
        )
    return tuple(rows)


def _shared_floors(cases: Sequence[Case]) -> list[str]:
    """Name the floors that all cases have."""
    return [name for name in cases[0].floors if all(name in case.floors for case in cases)]


def _windows(cases: Sequence[Case]) -> _Windows:
    names = sorted({case.patient for case in cases})
    labels = [case.expert.mask(case.scores.time) for case in cases if case.scores is not None]
    who = [np.full(len(label), names.index(case.patient)) for case, label in zip(cases, labels, strict=True)]
    return _Windows(np.concatenate(labels), np.concatenate(who), len(names))


def _delay_measure(cases: Sequence[Case], delays: Sequence[Float], how: _Draws) -> Measure:
    """Median onset delay over all found events."""
    names = sorted({case.patient for case in cases})
    each = [
        np.concatenate([delay for case, delay in zip(cases, delays, strict=True) if case.patient == name])
        for name in names
    ]

    def median(chosen: NDArray[np.intp]) -> float:
        values = np.concatenate([each[k] for k in chosen])
        values = values[np.isfinite(values)]
        return float(np.median(values)) if values.size else math.nan

    low, high = how.interval(median, len(names))
    every = np.concatenate(each)
    n_found = int(np.isfinite(every).sum())
    counts = f"{n_found} of {len(every)} events found"
    return Measure("median onset delay, s", "detections", median(np.arange(len(names))), low, high, "delay", counts)


def _curve_measures(of: str, curve: OperatingCurve, limits: Sequence[float], how: _Draws) -> list[Measure]:
    """Read points off the curve; its intervals draw patients at every threshold alike."""
    readings: list[tuple[str, Callable[[OperatingCurve], float]]] = [
        *((f"sensitivity at {limit:g} false alarms a day", partial(_sensitivity_at, limit=limit)) for limit in limits),
        *((f"false alarms a day at sensitivity {goal:g}", partial(_false_at, goal=goal)) for goal in _GOALS),
    ]
    measures = []
    for name, read in readings:

        def statistic(chosen: NDArray[np.intp], read: Callable[[OperatingCurve], float] = read) -> float:
            return read(OperatingCurve.from_counts(curve.threshold, curve.counts[:, chosen]))

        interval = how.interval(statistic, curve.counts.shape[1])
        measures.append(Measure(name, of, read(curve), *interval, "curve", f"{len(curve.threshold)} thresholds"))
    return measures


def _sensitivity_at(curve: OperatingCurve, limit: float) -> float:
    return curve.sensitivity_at(limit)


def _false_at(curve: OperatingCurve, goal: float) -> float:
    return curve.false_at(goal)


def _by_type(cases: Sequence[Case], found: Sequence[Bool]) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for case, hits in zip(cases, found, strict=True):
        for event, hit in zip(case.expert, hits, strict=True):
            n, k = counts.get(event.label, (0, 0))
            counts[event.label] = (n + 1, k + int(hit))
    return dict(sorted(counts.items()))


def _notes(cases: Sequence[Case]) -> list[str]:
    """Say what the counts cannot."""
    notes = []
    lost = sum(int(event.stop + 1e-6) == int(event.onset + 1e-6) for case in cases for event in case.expert)
    if lost:
        notes.append(f"{lost} expert events hold no start of a whole second and do not count under SzCORE's rules")
    hidden = sum(_in_unscored(event, case.scores) for case in cases if case.scores is not None for event in case.expert)
    if hidden:
        notes.append(f"{hidden} expert events lie wholly in stretches that were not scored; they count as missed")
    silent = [case.patient for case in cases if not len(case.expert)]
    if silent:
        notes.append(f"{len(silent)} of {len(cases)} recordings have no expert event: they can only show false alarms")
    return notes


def _in_unscored(event: Event, scores: Scores) -> bool:
    inside = (scores.time >= event.onset) & (scores.time < event.stop)
    return bool(inside.any()) and not bool(np.isfinite(scores.probability[inside]).any())


# ------------------------------------------------------------------------------- files and trees


_PREFERRED = (".tsv", ".csv_bi", ".csv", ".tse", ".lbl", ".json", ".xml", ".edf", ".seizures")
_NO_MARKS = (
    "participants",
    "_channels",
    "_electrodes",
    "_scans",
    "_sessions",
    "_scores",
    "_run",
    "dataset_description",
)


def evaluate_pairs(
    expert: str | Path,
    detected: str | Path,
    *,
    allow_missing: bool = False,
    draws: tuple[int, int] = (1000, 0),
) -> Evaluation:
    """Evaluate tables of events: two files, or two mirrored trees.

    Parameters
    ----------
    expert, detected : str or Path
        Both files, or both folders with a table for each recording at the same place under the same name
        (``_events``, ``_eeg`` and the ending do not count).
    allow_missing : bool
        Leave out recordings without detected events instead of raising; the report says so.
    draws : (int, int)
        Number and seed of the bootstrap draws over patients.

    Returns
    -------
    Evaluation
        Patients by place and name, see `restcli.marks.layouts.patient_of`.

    Raises
    ------
    AnnotationError
        If marks cannot be read, or a recording has none on one side: a failed recording is not one without seizures.
    """
    sides = Path(expert), Path(detected)
    if sides[0].is_dir() != sides[1].is_dir():
        raise UsageError("EXPERT DETECTED", "a file and a folder", "two files or two folders")
    if not sides[0].is_dir():
        case, note = _pair(sides[0].stem, sides[0].stem, *sides)
        return _with_notes(evaluate_cases([case], draws=draws), [note])
    tables = [_tables(side) for side in sides]
    if not tables[0]:
        raise AnnotationError(str(sides[0]), "no tables of events in it", "marks such as X_events.tsv")
    missing = sorted(set(tables[0]) - set(tables[1]))
    if missing and (not allow_missing or len(missing) == len(tables[0])):
        raise AnnotationError(
            str(sides[1]),
            f"no events for {len(missing)} of {len(tables[0])} recordings: {', '.join(missing[:5])}",
            "a table for each, with a bckg row where none were found",
            "run the detection on them, or allow them to be missing",
        )
    pairs = [_pair(key, patient_of(key), tables[0][key], tables[1][key]) for key in tables[0] if key in tables[1]]
    notes = [note for _, note in pairs]
    if missing:
        notes.append(f"{len(missing)} of {len(tables[0])} recordings left out: no detected events ({missing[0]}, ...)")
    extra = len(set(tables[1]) - set(tables[0]))
    if extra:
        notes.append(f"{extra} recordings with detected events left out: no expert marks")
    return _with_notes(evaluate_cases([case for case, _ in pairs], draws=draws), notes)


def _with_notes(evaluation: Evaluation, notes: Iterable[str]) -> Evaluation:
    return replace(evaluation, notes=(*evaluation.notes, *(note for note in notes if note)))


def _tables(root: Path) -> dict[str, Path]:
    """Find tables by place and name without endings; the most telling form of each."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        ending = path.suffix.lower()
        stem = path.stem.removesuffix(".edf") if ending == ".seizures" else path.stem
        if ending not in _PREFERRED or not path.is_file() or stem in _NO_MARKS or stem.endswith(_NO_MARKS):
            continue
        if ending in {".json", ".xml", ".edf"} and not _speaks_of_events(path):
            continue
        key = (path.relative_to(root).parent / stem.removesuffix("_events").removesuffix("_eeg")).as_posix()
        if key not in found or _PREFERRED.index(ending) < _PREFERRED.index(found[key].suffix.lower()):
            found[key] = path
    return found


def _speaks_of_events(path: Path) -> bool:
    """Tell this program's JSON, EDFbrowser's XML and annotation-only EDF+ from other files of these endings."""
    with path.open("rb") as stream:
        head = stream.read(272)
    return b"restcli-events" in head or b"<annotationlist" in head or head[256:272].strip() == b"EDF Annotations"


def _pair(name: str, patient: str, expert: Path, detected: Path) -> tuple[Case, str]:
    """Read both sides; a difference under a second in the length is settled for the expert's, and said."""
    marks, found = _read_both(expert, detected)
    if abs(found.duration - marks.duration) > 1.0:
        raise AnnotationError(
            str(detected),
            f"events of a recording of {found.duration:.2f} s",
            f"events of one of {marks.duration:.2f} s, as the expert's marks say",
            "check that both belong together",
        )
    note = ""
    if int(found.duration) != int(marks.duration):
        note = f"{name}: expert's {marks.duration:.2f} s used, detections say {found.duration:.2f} s"
        note += " (szcore-evaluation would drop all detections)"
    if found.duration != marks.duration:
        found = merge_events(found.events, marks.duration, found.start)
    return Case(name, patient, marks, found), note


def _read_both(expert: Path, detected: Path) -> tuple[Events, Events]:
    """Read two tables of which at least one says how long the recording is."""
    try:
        found = read_events(detected)
    except UnknownLengthError:
        marks = read_events(expert)
        return marks, read_events(detected, duration=marks.duration, start=marks.start)
    try:
        return read_events(expert), found
    except UnknownLengthError:
        return read_events(expert, duration=found.duration, start=found.start), found
