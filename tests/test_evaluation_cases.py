"""Evaluations of recordings, files and trees: every number by its rule, with its interval and its counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_cli import restcli

from restcli.detect.alarms import alarm_times
from restcli.detect.rule import to_events
from restcli.errors import AnnotationError
from restcli.evaluation.cases import evaluate_cases
from restcli.evaluation.curve import OperatingCurve, operating_curve
from restcli.evaluation.measures import auprc, auroc
from restcli.evaluation.report import Evaluation
from restcli.evaluation.scoring import RULES, Case, Tally
from restcli.events import Event, EventRule, Events, Scores, Span
from restcli.output.evaluation import write_evaluation

HOUR = 3600.0
RULE = EventRule(threshold=0.5, release=0.4, min_duration=3.0, max_gap=3.0, smooth=1.0)
DRAWS = 100


def events(*spans: tuple[float, float], duration: float = HOUR, label: str = "sz") -> Events:
    return Events(tuple(Event(a, b - a, label) for a, b in spans), duration)


def scored(*spans: tuple[float, float, float], duration: float = HOUR, missing: tuple[int, int] = (0, 0)) -> Scores:
    probability = np.full(int(duration), 0.05)
    for start, stop, level in spans:
        probability[int(start) : int(stop)] = level
    probability[slice(*missing)] = np.nan
    time = np.arange(int(duration)) + 0.5
    unscored = (Span(*map(float, missing), "flat"),) if missing[1] else ()
    return Scores(time, probability, np.zeros((len(time), 0)), (), 1.0, duration, unscored)


def case(patient: str, expert: Events, scores: Scores, **baselines: np.ndarray) -> Case:
    return Case(f"{patient}/night", patient, expert, to_events(scores, RULE), scores, baselines)


def three_patients() -> list[Case]:
    return [
        case("ana", events((500, 560), (2000, 2030)), scored((505, 560, 0.9), (1000, 1020, 0.6))),
        case("ben", events((700, 730)), scored((3000, 3010, 0.55), missing=(600, 800))),
        case("cleo", events(), scored((100, 110, 0.7))),
    ]


# ------------------------------------------------------------------------------- the dataset rule


def test_counts_are_summed_in_each_subject_and_then_averaged_over_subjects() -> None:
    result = evaluate_cases(three_patients(), rule=RULE, n_draws=DRAWS)
    assert [(row.patient, row.event.expert, row.event.found, row.event.false) for row in result.patients] == [
        ("ana", 2, 1, 1),
        ("ben", 1, 0, 1),
        ("cleo", 0, 0, 1),
    ]
    assert result.value("sensitivity", "event+subject") == pytest.approx((0.5 + 0.0) / 2)  # cleo is NaN: left out
    assert result.value("sensitivity", "event+pooled") == pytest.approx(1 / 3)
    assert result.value("precision", "event+subject") == pytest.approx((0.5 + 0 + 0) / 3)
    assert result.value("F1", "event+subject") == pytest.approx((2 / 4 + 0 + 0) / 3)
    assert result.value("false alarms a day", "event+subject") == pytest.approx(24.0)


def test_several_recordings_of_a_patient_are_summed_before_dividing() -> None:
    cases = [
        Case("a1", "ana", events((500, 560)), events((500, 560))),
        Case("a2", "ana", events((500, 560), (900, 960), (2000, 2060), duration=7200.0), events(duration=7200.0)),
    ]
    result = evaluate_cases(cases, n_draws=DRAWS)
    assert result.patients[0].event == Tally(4, 1, 0, 10800.0)
    assert result.value("sensitivity", "event+subject") == 0.25


def test_sample_rule_counts_seconds() -> None:
    result = evaluate_cases(three_patients(), n_draws=DRAWS)
    assert result.patients[0].sample == Tally(90, 55, 20, HOUR)
    assert result.value("sensitivity", "sample+pooled") == pytest.approx(55 / 120)
    with pytest.raises(KeyError):
        result.value("sensitivity", "sample+nowhere")


def test_intervals_are_over_patients_and_seeded() -> None:
    one, again, other = (evaluate_cases(three_patients(), n_draws=200, seed=seed) for seed in (1, 1, 2))
    assert one.measures == again.measures or one.to_dict()["measures"] == again.to_dict()["measures"]
    assert one.to_dict()["measures"] != other.to_dict()["measures"]
    sensitivity = next(m for m in one.measures if m.name == "sensitivity" and m.rule == "event+subject")
    assert (sensitivity.low, sensitivity.high) == (0.0, 0.5)
    alone = evaluate_cases(three_patients()[:1], n_draws=DRAWS)
    assert all(math.isnan(measure.low) for measure in alone.measures)


def test_events_of_another_recording_are_refused() -> None:
    with pytest.raises(AnnotationError):
        evaluate_cases([Case("x", "x", events(), events(duration=10.0))])


def test_no_seizure_at_all_gives_undefined_and_not_zero() -> None:
    result = evaluate_cases([Case("x", "x", events(), events())], n_draws=DRAWS)
    assert math.isnan(result.value("sensitivity", "event+subject"))
    assert math.isnan(result.value("F1", "event+pooled"))
    assert math.isnan(result.value("median onset delay, s", "delay"))
    assert result.value("false alarms a day", "event+pooled") == 0.0
    assert "| undefined |" in result.to_markdown()


# --------------------------------------------------------------------------------------- windows


def test_windows_that_were_not_scored_are_left_out_and_said() -> None:
    result = evaluate_cases(three_patients(), rule=RULE, n_draws=DRAWS)
    cases = three_patients()
    pooled = np.concatenate([c.scores.probability for c in cases if c.scores])
    labels = np.concatenate([c.expert.mask(c.scores.time) for c in cases if c.scores])
    assert result.value("window AUROC", "window", "scores") == auroc(pooled, labels)
    assert result.value("window AUPRC", "window", "scores") == auprc(pooled, labels)
    window = next(m for m in result.measures if m.rule == "window")
    assert window.counts == "90 seizure and 10510 other windows of 10800"  # ben's seizure was not scored
    assert result.scored == pytest.approx(1 - 200 / 10800)
    assert "1 expert events lie entirely in stretches that were not scored; they count as missed" in result.notes
    mean = next(m for m in result.measures if m.rule == "mean window" and m.of == "scores")
    assert mean.counts.startswith("1 of 3 subjects")
    assert mean.value == result.patients[0].auroc


def test_baselines_stand_beside_the_scores_in_every_table() -> None:
    generator = np.random.default_rng(0)
    cases = []
    for one in three_patients():
        assert one.scores is not None
        loud = one.expert.mask(one.scores.time) * 1.0 + generator.normal(0, 0.01, 3600)
        cases.append(replace(one, baselines={"amplitude": loud}))
    result = evaluate_cases(cases, rule=RULE, n_draws=DRAWS)
    assert {m.of for m in result.measures} == {"detections", "scores", "amplitude"}
    assert result.value("window AUROC", "window", "amplitude") == 1.0
    assert result.value("sensitivity at 1 false alarms a day", "curve", "amplitude") == 1.0
    assert set(result.curves) == {"scores", "amplitude"}
    head, rows = result.patient_table()
    assert head[-2:] == ("AUROC", "amplitude")
    assert rows[0][-1] == "1.000"
    assert result.to_dict()["patients"][0]["baselines"] == {"amplitude": 1.0}
    assert "| amplitude |" in result.to_markdown()


def test_tables_without_scores_have_no_window_measures() -> None:
    result = evaluate_cases(
        [replace(one, scores=None, baselines={}) for one in three_patients()], rule=RULE, n_draws=DRAWS
    )
    assert {m.of for m in result.measures} == {"detections"}
    assert result.reliability is None and not result.curves and math.isnan(result.scored)
    assert math.isnan(result.patients[0].auroc)


# -------------------------------------------------------------------------------- operating curve


def test_curve_ends_without_alarms_and_holds_the_point_in_use() -> None:
    cases = three_patients()
    curve = operating_curve(cases, RULE)
    assert (np.diff(curve.threshold) > 0).all()
    assert curve.sensitivity[-1] == 0.0 and curve.false_per_day[-1] == 0.0
    assert curve.sensitivity_at(0.0) == pytest.approx(1 / 3)  # at .9 only ana's seizure is left
    assert curve.sensitivity_at(1e9) == np.nanmax(curve.sensitivity)
    assert curve.false_at(0.3) == 0.0
    assert math.isnan(curve.false_at(1.01))


def test_curve_of_recordings_without_seizures_has_no_sensitivity() -> None:
    curve = operating_curve(three_patients()[2:], RULE)
    assert np.isnan(curve.sensitivity).all() and math.isnan(curve.sensitivity_at(10.0))
    assert math.isnan(curve.false_at(0.5))


def test_no_empty_curve_is_drawn_and_the_notes_say_why(tmp_path: Path) -> None:
    found = evaluate_cases(three_patients()[2:], rule=RULE)
    assert found.curves and any("sensitivity is undefined" in line for line in found.notes)
    write_evaluation(found, tmp_path)
    assert [path.name for path in tmp_path.glob("*.png") if "operating" in path.name] == []


def test_curve_of_a_baseline_is_the_same_on_any_scale() -> None:
    generator = np.random.default_rng(0)
    cases = [
        replace(
            one,
            baselines={"a": (v := generator.normal(size=3600) + 5 * one.expert.mask(one.scores.time)), "b": 3 * v**3},
        )
        for one in three_patients()
        if one.scores
    ]
    a, b = (operating_curve(cases, replace(RULE, min_duration=1.0), baseline=name) for name in "ab")
    assert (a.sensitivity == b.sensitivity).all() and (a.false_per_day == b.false_per_day).all()


def test_everything_unscored_gives_a_curve_without_alarms() -> None:
    one = case("ana", events((5, 10), duration=60.0), scored(duration=60.0, missing=(0, 60)))
    curve = operating_curve([one], RULE)
    assert curve.sensitivity.tolist() == [0.0] and curve.false_per_day.tolist() == [0.0]


def test_operating_points_have_intervals_over_patients() -> None:
    result = evaluate_cases(three_patients(), rule=RULE, n_draws=300)
    point = next(m for m in result.measures if m.name == "sensitivity at 1 false alarms a day")
    # draws without ben find one of ana's two seizures, draws without ana none
    assert (point.value, point.low, point.high) == (pytest.approx(1 / 3), 0.0, 0.5)


def test_operating_points_by_hand() -> None:
    curve = OperatingCurve(np.array([0.1, 0.5, 0.9]), np.array([1.0, 0.8, 0.2]), np.array([50.0, 5.0, 0.0]))
    assert [curve.sensitivity_at(limit) for limit in (0, 4.9, 5, 60)] == [0.2, 0.2, 0.8, 1.0]
    assert [curve.false_at(goal) for goal in (0.1, 0.8, 0.81)] == [0.0, 5.0, 50.0]


# ------------------------------------------------------------------------------- types and delays


def test_alarm_latency_counts_from_the_expert_onset() -> None:
    recordings = [*three_patients(), case("dora", events((100, 130)), scored())]  # the last one without an alarm
    late = [alarm_times(one.scores, RULE, 3) for one in recordings if one.scores is not None]
    assert late[3] == []
    assert late[0] == [511.0, 1006.0]  # three seconds of an event, and the look-ahead of three
    known = [replace(one, alarms=tuple(at)) for one, at in zip(recordings, late, strict=True)]
    result = evaluate_cases(known, rule=RULE, n_draws=DRAWS)
    assert result.value("median alarm latency, s", "latency") == 11.0
    assert result.value("90 % of alarm latencies, s", "latency") == 11.0
    assert result.value("median onset delay, s", "delay") == 5.0
    with pytest.raises(KeyError):
        evaluate_cases(recordings, rule=RULE, n_draws=DRAWS).value("median alarm latency, s", "latency")


def test_types_count_expert_events_as_marked() -> None:
    expert = Events((Event(100, 10, "sz_foc"), Event(150, 10, "sz_gen"), Event(900, 10, "sz_foc")), HOUR)
    result = evaluate_cases([Case("x", "x", expert, events((155, 158)))], n_draws=DRAWS)
    assert result.types == {"sz_foc": (2, 1), "sz_gen": (1, 1)}  # 155 s lies within 60 s of the end of the first
    assert result.delays[:2].tolist() == [55.0, 5.0] and math.isnan(result.delays[2])
    assert result.value("median onset delay, s", "delay") == 30.0
    assert "| sz_foc | 2 | 1 | 0.500 |" in result.to_markdown()


def test_marks_that_szcore_cannot_see_are_said() -> None:
    result = evaluate_cases([Case("x", "x", events((110.2, 110.9)), events())], n_draws=DRAWS)
    assert result.notes[0].startswith("1 expert events contain no start of a whole second")


# ---------------------------------------------------------------------------------------- output


def test_every_number_names_its_rule() -> None:
    result = evaluate_cases(three_patients(), rule=RULE, model="rest-test", n_draws=DRAWS)
    for measure in result.measures:
        assert measure.rule and set(measure.rule.split("+")) <= set(RULES)
        assert measure.counts
    text = result.to_markdown()
    for key in ("event", "sample", "subject", "pooled", "window", "delay", "curve", "type"):
        assert f"- **{key}**: {RULES[key]}" in text
    assert "timescoring 0." in text and "rest-test" in text and RULE.describe() in text
    assert "98.1 % of it scored" in text
    lacking = case("ana", events(), scored(missing=(600, 601)))
    assert "99.9 % of it scored" in evaluate_cases([lacking], n_draws=DRAWS).to_markdown()  # 3599 of 3600 s are not all


def test_json_has_no_nan() -> None:
    result = evaluate_cases(three_patients(), rule=RULE, model="rest-test", n_draws=DRAWS)
    again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert again["n_recordings"] == 3 and again["hours"] == 3.0 and again["rule"]["threshold"] == 0.5
    assert again["patients"][2]["event"]["sensitivity"] is None
    assert len(again["curves"]["scores"]["threshold"]) == len(result.curves["scores"].threshold)
    assert again["reliability"]["counts"] == [int(n) for n in result.reliability.counts] if result.reliability else True


@pytest.mark.parametrize(("patients", "interval"), [("a", ""), ("ab", " (95 % CI over patients: 1.000 to 1.000)")])
def test_the_command_begins_with_three_headlines(tmp_path: Path, patients: str, interval: str) -> None:
    for folder in ("expert", "detected"):
        for patient in patients:
            (tmp_path / folder / f"sub-{patient}").mkdir(parents=True)
            rows = "onset\tduration\teventType\trecordingDuration\n50\t20\tsz\t180\n"
            (tmp_path / folder / f"sub-{patient}" / f"sub-{patient}_events.tsv").write_text(rows)
    first = restcli("evaluate", tmp_path / "expert", tmp_path / "detected").stdout.splitlines()[:3]
    assert [line.partition(":")[0] for line in first] == ["sensitivity", "false alarms a day", "window AUROC"]
    assert first[0] == f"sensitivity: 1.000{interval}, rule event+pooled"
    assert "needs scores" in first[2]


def test_the_curve_of_recordings_without_seizures_has_no_sensitivity() -> None:
    counts = np.array([[[0, 0, 2, 86400.0]], [[0, 0, 2, 86400.0]], [[0, 0, 0, 86400.0]]])
    curve = OperatingCurve.from_counts(np.array([0.2, 0.4, 0.9]), counts)
    _, rows = Evaluation.curve_table(SimpleNamespace(curves={"scores": curve}))  # type: ignore[arg-type]
    assert rows == [("0.900", "undefined", "0.000"), ("0.400", "undefined", "2.000")]
