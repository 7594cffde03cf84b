"""Evaluate recordings under every named rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from restcli.evaluation.curve import OperatingCurve, operating_curve
from restcli.evaluation.measures import (
    Statistic,
    auprc,
    auroc,
    binned_auprc,
    binned_auroc,
    bootstrap,
    reliability,
)
from restcli.evaluation.report import Evaluation, Measure, PatientResult
from restcli.evaluation.scoring import (
    Bool,
    Case,
    Float,
    Tally,
    alarm_events,
    match_events,
    score_events,
    score_samples,
    total,
)
from restcli.events import Event, EventRule, Scores
from restcli.signal.sequences import nan_mean

Interval = Callable[[Statistic, int], tuple[float, float]]  # of a statistic over so many patients

_POINTS = {
    **{f"sensitivity at {at:g} false alarms a day": (OperatingCurve.sensitivity_at, at) for at in (1.0, 10.0)},
    **{f"false alarms a day at sensitivity {at:g}": (OperatingCurve.false_at, at) for at in (0.5, 0.8)},
}
_BINS = 4096  # of scores: exact ranks would be sorted again for every draw of the bootstrap
_RATIOS = {"sensitivity": "sensitivity", "precision": "precision", "F1": "f1", "false alarms a day": "false_per_day"}


def evaluate_cases(
    cases: Sequence[Case],
    *,
    rule: EventRule | None = None,
    model: str = "",
    n_draws: int = 1000,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Evaluate recordings; scores also give window measures, reliability and, with a rule, curves.

    Either all cases have scores, and the same baselines, or none has.
    """
    interval = partial(bootstrap, n_draws=n_draws, seed=seed)
    patients = _by_patient(cases)
    matched = [match_events(case.expert, case.detected) for case in cases]
    delays = [delay for _, delay in matched]
    measures = _count_measures("event", [row.event for row in patients], interval)
    measures += _count_measures("sample", [row.sample for row in patients], interval)
    measures.append(_delay_measure("median onset delay, s", cases, delays, interval))
    measures += _latency_measures(cases, interval)
    curves: dict[str, OperatingCurve] = {}
    bins = None
    if cases[0].scores is not None:
        windows = _Windows.of(cases)
        for name in ("", *cases[0].baselines):
            of = name or "scores"
            measures += _window_measures(of, _values(cases, name), windows, interval)
            if rule is not None:
                curves[of] = operating_curve(cases, rule, baseline=name)
                measures += _curve_measures(of, curves[of], interval)
        bins = reliability(_values(cases), windows.labels)
    return Evaluation(
        tuple(measures),
        patients,
        _by_type(cases, [found for found, _ in matched]),
        np.concatenate(delays),
        curves,
        bins,
        tuple(cases),
        model,
        rule,
        (*_notes(cases), *notes),
    )


@dataclass(frozen=True, eq=False)
class _Windows:
    """All windows of some cases: the expert's label and the patient's number, each of shape (B,)."""

    labels: Bool
    patient: NDArray[np.intp]
    n_patients: int

    @staticmethod
    def of(cases: Sequence[Case]) -> _Windows:
        names = sorted({case.patient for case in cases})
        labels = [case.labels() for case in cases]
        patient = np.repeat([names.index(case.patient) for case in cases], [len(label) for label in labels])
        return _Windows(np.concatenate(labels), patient, len(names))


def _values(cases: Sequence[Case], baseline: str = "") -> Float:
    """Join the scores, or one baseline, of all cases."""
    return np.concatenate([case.values(baseline) for case in cases])


def _by_patient(cases: Sequence[Case]) -> tuple[PatientResult, ...]:
    baselines, rows = list(cases[0].baselines), []
    for patient in sorted({case.patient for case in cases}):
        own = [case for case in cases if case.patient == patient]
        labels = np.concatenate([case.labels() for case in own])
        area, *areas = (auroc(_values(own, name), labels) for name in ("", *baselines))
        event = total(score_events(case.expert, case.detected) for case in own)
        sample = total(score_samples(case.expert, case.detected) for case in own)
        rows.append(PatientResult(patient, len(own), event, sample, area, dict(zip(baselines, areas, strict=True))))
    return tuple(rows)


def _count_measures(kind: str, tallies: Sequence[Tally], interval: Interval) -> list[Measure]:
    """Measure one rule as mean over subjects (as SzCORE does) and pooled; one tally a patient."""
    table = np.array([[t.expert, t.found, t.false, t.seconds] for t in tallies], dtype=float)
    whole, n = total(tallies), len(tallies)
    unit = "events" if kind == "event" else "s"
    counts = f"{whole.found} of {whole.expert} {unit} found, {whole.false} false, {whole.seconds / 3600:.2f} h"
    measures = []
    for name, ratio in _RATIOS.items():
        shown = "false seconds a day" if kind == "sample" and ratio == "false_per_day" else name
        each: Float = np.array([getattr(tally, ratio) for tally in tallies], dtype=float)

        def by_subject(chosen: NDArray[np.intp], each: Float = each) -> float:
            return nan_mean(each[chosen])

        def pooled(chosen: NDArray[np.intp], ratio: str = ratio) -> float:
            return float(getattr(Tally(*table[chosen].sum(axis=0)), ratio))

        known = f"{int(np.isfinite(each).sum())} of {n} subjects; {counts}"
        for grouping, statistic, behind in (("subject", by_subject, known), ("pooled", pooled, counts)):
            value, bounds = statistic(np.arange(n)), interval(statistic, n)
            measures.append(Measure(shown, "detections", value, *bounds, f"{kind}+{grouping}", behind))
    return measures


def _window_measures(of: str, values: Float, windows: _Windows, interval: Interval) -> list[Measure]:
    """Measure how values (B,) rank windows: all together, and in each patient who has both kinds."""
    labels, n, known = windows.labels, windows.n_patients, np.isfinite(values)
    own = [windows.patient == k for k in range(n)]
    each = np.array([auroc(values[part], labels[part]) for part in own], dtype=float)
    tables = _histograms(values, windows)
    n_seizure = int((known & labels).sum())
    counts = f"{n_seizure} seizure and {int(known.sum()) - n_seizure} other windows of {len(values)}"
    by_subject = f"{int(np.isfinite(each).sum())} of {n} subjects; {counts}"
    area = interval(lambda chosen: binned_auroc(tables[:, chosen].sum(axis=1)), n)
    precision = interval(lambda chosen: binned_auprc(tables[:, chosen].sum(axis=1)), n)
    mean = interval(lambda chosen: nan_mean(each[chosen]), n)
    return [
        Measure("window AUROC", of, auroc(values, labels), *area, "window", counts),
        Measure("window AUPRC", of, auprc(values, labels), *precision, "window", counts),
        Measure("window AUROC", of, nan_mean(each), *mean, "mean window", by_subject),
    ]


def _histograms(values: Float, windows: _Windows) -> Float:
    """Count windows by bin of equal count, shape (2, P, K): other and seizure, patient, bin."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros((2, windows.n_patients, 1))
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, _BINS)[1:-1]))
    bins = np.searchsorted(edges, values[known], side="right")
    tables = np.zeros((2, windows.n_patients, len(edges) + 1))
    np.add.at(tables, (windows.labels[known].astype(int), windows.patient[known], bins), 1.0)
    return tables


def _latency_measures(cases: Sequence[Case], interval: Interval) -> list[Measure]:
    """Measure how late live alarms would have been, where that is known."""
    alarms = [(case, list(zip(case.alarms, case.detected, strict=True))) for case in cases if case.alarms is not None]
    if not alarms:
        return []
    late = [match_events(case.expert, alarm_events(pairs, case.detected.duration))[1] for case, pairs in alarms]
    named = {"median alarm latency, s": 50, "90 % of alarm latencies, s": 90}
    return [_delay_measure(name, cases, late, interval, percent=percent) for name, percent in named.items()]


def _delay_measure(
    name: str, cases: Sequence[Case], delays: Sequence[Float], interval: Interval, *, percent: int = 0
) -> Measure:
    """Take a percentile of the delays of all found events: of detections, or with `percent` of alarms."""
    names = sorted({case.patient for case in cases})
    pairs = list(zip(cases, delays, strict=True))
    each = [np.concatenate([delay for case, delay in pairs if case.patient == name]) for name in names]

    def at_percent(chosen: NDArray[np.intp]) -> float:
        values = np.concatenate([each[k] for k in chosen])
        values = values[np.isfinite(values)]
        return float(np.percentile(values, percent or 50)) if values.size else math.nan

    every = np.concatenate(each)
    counts = f"{int(np.isfinite(every).sum())} of {len(every)} events found"
    value, bounds = at_percent(np.arange(len(names))), interval(at_percent, len(names))
    return Measure(name, "detections", value, *bounds, "latency" if percent else "delay", counts)


def _curve_measures(of: str, curve: OperatingCurve, interval: Interval) -> list[Measure]:
    """Measure points of the curve; the bootstrap draws the same patients at every threshold."""
    measures = []
    for name, (point, at) in _POINTS.items():

        def drawn(
            chosen: NDArray[np.intp], point: Callable[[OperatingCurve, float], float] = point, at: float = at
        ) -> float:
            return point(OperatingCurve.from_counts(curve.threshold, curve.counts[:, chosen]), at)

        bounds = interval(drawn, curve.counts.shape[1])
        measures.append(Measure(name, of, point(curve, at), *bounds, "curve", f"{len(curve.threshold)} thresholds"))
    return measures


def _by_type(cases: Sequence[Case], found: Sequence[Bool]) -> dict[str, tuple[int, int]]:
    """Count the expert's events of each type, and those found."""
    labels = np.array([event.label for case in cases for event in case.expert], dtype=object)
    hits = np.concatenate(found)
    return {kind: (int((labels == kind).sum()), int(hits[labels == kind].sum())) for kind in sorted(set(labels))}


def _notes(cases: Sequence[Case]) -> list[str]:
    """Say what the counts do not show."""
    notes = []
    lost = sum(int(event.stop + 1e-6) == int(event.onset + 1e-6) for case in cases for event in case.expert)
    if lost:
        notes.append(f"{lost} expert events contain no start of a whole second and are not counted by SzCORE's rules")
    hidden = sum(_in_unscored(event, case.scores) for case in cases if case.scores is not None for event in case.expert)
    if hidden:
        notes.append(f"{hidden} expert events lie entirely in stretches that were not scored; they count as missed")
    ignored = sorted({kind for case in cases for kind in case.expert.ignored})
    if ignored:
        notes.append(f"rows of these types in the experts' tables are not about seizures: {', '.join(ignored)}")
    silent = sum(not len(case.expert) for case in cases)
    if silent == len(cases):
        notes.append("no recording has an expert event: sensitivity is undefined, and no operating curve is drawn")
    elif silent:
        notes.append(f"{silent} of {len(cases)} recordings have no expert event: they can only show false alarms")
    return notes


def _in_unscored(event: Event, scores: Scores) -> bool:
    inside = (scores.time >= event.onset) & (scores.time < event.stop)
    return bool(inside.any()) and not bool(np.isfinite(scores.probability[inside]).any())
