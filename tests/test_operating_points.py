"""Operating points of weights: chosen by name, overruled by a threshold, and told by an evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from restcli.detect.settings import Settings, rule_in_force
from restcli.errors import UsageError, WeightsError
from restcli.evaluation.dataset import _at, _learnt_from
from restcli.evaluation.scoring import Case, Tally
from restcli.events import Event, Events, Scores
from restcli.io.registry import recording_hash
from restcli.nn.weights import BALANCED, FINGERPRINT, OperatingPoint, Weights, load_weights, save_weights

POINTS = tuple(
    OperatingPoint(name, threshold, 0.5, 1.0, 2.0)
    for name, threshold in (("sensitive", 0.3), (BALANCED, 0.6), ("specific", 0.9))
)


@pytest.fixture
def weights(toy_weights: Path) -> Weights:
    toy = load_weights(toy_weights)
    return replace(toy, rule=toy.rule.with_threshold(0.6), points=POINTS)


def test_points_are_chosen_by_name_and_overruled_by_a_threshold(weights: Weights) -> None:
    found = {name: rule_in_force(weights, Settings(sensitivity=name)).threshold for name in ("sensitive", "specific")}
    assert found == {"sensitive": 0.3, "specific": 0.9}
    assert rule_in_force(weights, Settings()) == weights.rule
    assert rule_in_force(weights, Settings(sensitivity="specific", threshold=0.2)).threshold == 0.2


def test_points_that_are_not_there_are_refused(weights: Weights) -> None:
    with pytest.raises(UsageError, match="one of sensitive, balanced, specific"):
        Settings(sensitivity="high")
    bare = replace(weights, points=())
    assert rule_in_force(bare, Settings()) == bare.rule
    with pytest.raises(UsageError, match=r"no operating point 'specific'.*--threshold"):
        rule_in_force(bare, Settings(sensitivity="specific"))


def test_points_travel_with_the_weights(weights: Weights, tmp_path: Path) -> None:
    save_weights(weights, tmp_path / "w.safetensors")
    assert load_weights(tmp_path / "w.safetensors").points == POINTS


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1.0},  # no probability reaches it
        {"threshold": 0.9999},
        {"threshold": float("nan")},
        {"name": "\x1b[2J"},
        {"name": "balanced"},
        {"sensitivity": 1.5},
        {"false_alarms_per_day": -1.0},
        {"asked": float("inf")},
    ],
)
def test_points_that_make_no_sense_are_refused(weights: Weights, tmp_path: Path, change: dict[str, Any]) -> None:
    odd = replace(weights, points=(*POINTS[:2], replace(POINTS[2], **change)))
    with pytest.raises(WeightsError, match="cannot be saved"):
        save_weights(odd, tmp_path / "w.safetensors")


def test_an_evaluation_counts_at_each_point(weights: Weights) -> None:
    probability = np.full(600, 0.05)
    probability[100:130] = 0.7
    time = np.arange(600) + 0.5
    scores = Scores(time, probability, np.zeros((600, 0)), (), 1.0, 600.0)
    case = Case("a", "patient", Events((Event(100, 30),), 600), Events((), 600), scores, {})
    tallies = [_at(point, [case], weights).event for point in POINTS]
    assert [tally.found for tally in tallies] == [1, 1, 0]
    assert tallies[0] == Tally(1, 1, 0, 600.0)


def test_recordings_that_weights_learnt_from_are_known_by_their_content(weights: Weights, tmp_path: Path) -> None:
    for name in ("seen", "unseen"):
        (tmp_path / f"{name}.edf").write_bytes(name.encode())
    items: Any = [SimpleNamespace(recording_path=tmp_path / f"{name}.edf") for name in ("seen", "unseen")]
    (tmp_path / "seen.edf").rename(tmp_path / "renamed.edf")
    items[0].recording_path = tmp_path / "renamed.edf"
    known = [recording_hash(tmp_path / "renamed.edf")[:FINGERPRINT]]
    (line,) = _learnt_from(items, replace(weights, provenance={"recordings": known}))
    assert line.startswith("WARNING: 1 of 2 recordings were used to train")
    assert _learnt_from(items, weights) == []
