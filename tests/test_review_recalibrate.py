"""A ward's threshold follows from its verdicts, or is refused; the network is the same to the last bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from review_files import write_result
from test_review_apply import judge
from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.errors import UsageError
from restcli.nn.weights import load_weights
from restcli.review.recalibrate import _choose, recalibrate
from restcli.review.stored import find_results, read_result

SURE, DOUBTFUL = 0.9, 0.6  # of seizures and of false alarms
BURSTS = {100.0 * k + 50: SURE if k % 2 else DOUBTFUL for k in range(1, 11)}


def ward(folder: Path, weights: Path, names: str = "abc", *, read: bool = True) -> Path:
    for name in names:
        report = write_result(folder, weights, name=name, seconds=1200, bursts=BURSTS)
        events = read_result(report).found
        assert len(events) == len(BURSTS)
        verdicts = [
            {"action": "accept" if event.confidence > 0.7 else "reject", "event": f"e{number}"}
            for number, event in enumerate(events, start=1)
        ]
        judge(report, *verdicts, *([{"action": "read"}] if read else []))
    return folder


def results(folder: Path) -> list:
    return [read_result(path) for path in find_results(folder)]


def test_the_threshold_separates_what_reviewers_confirmed_from_what_they_rejected(
    tmp_path: Path, toy_weights: Path
) -> None:
    weights = load_weights(toy_weights)
    folder = ward(tmp_path / "out", toy_weights)
    for path in folder.glob("*.edf"):
        path.unlink()  # their scores are enough
    done = recalibrate(weights, results(folder), per_day=100.0, out=tmp_path / "new", name="ward")
    new = load_weights(done.path)
    assert all(np.array_equal(new.tensors[key], value) for key, value in weights.tensors.items())
    assert new.golden == weights.golden
    line = new.calibration.scale / weights.calibration.scale

    def shifted(probability: float) -> float:
        bias = new.calibration.bias - weights.calibration.bias * line
        return 1 / (1 + np.exp(-(line * np.log(probability / (1 - probability)) + bias)))

    assert shifted(DOUBTFUL) < new.rule.threshold <= shifted(SURE)
    assert new.rule.release <= new.rule.threshold
    facts = new.provenance["recalibration"]
    assert (facts["verdicts"], facts["seizures"], facts["read_whole"]) == (30, 15, 3)
    assert (facts["false_alarms_per_day"]["value"], facts["sensitivity"]["value"]) == (0.0, 1.0)
    assert facts["false_alarms_per_day"]["high"] > 50 and facts["sensitivity"]["low"] < 0.9
    assert facts["from_sha256"] == weights.sha256
    card = done.card.read_text()
    assert "30 by r1 on 3 recordings" in card and "Model card of toy" in card


def test_no_threshold_is_chosen_below_one_that_gives_too_many_false_alarms() -> None:
    # At the lowest threshold false alarms have become one long event with a seizure, and seem to be few.
    rates = np.array([0.0, 9.0, 1.0, 0.0])
    counts = np.column_stack([np.ones(4), np.ones(4), rates, np.full(4, 86400.0)])
    assert [_choose(counts, most) for most in (10.0, 5.0, 0.5, -1.0)] == [0, 2, 3, 3]


def test_without_a_whole_reading_no_lower_threshold_and_no_calibration(tmp_path: Path, toy_weights: Path) -> None:
    weights = load_weights(toy_weights)
    folder = ward(tmp_path / "out", toy_weights, read=False)
    done = recalibrate(weights, results(folder), per_day=5000.0, out=tmp_path / "new", name="ward")
    assert (done.weights.rule.threshold, done.weights.calibration) == (weights.rule.threshold, weights.calibration)
    assert not done.facts["calibrated"]
    assert any("a lower one may" in note for note in done.notes)


def test_too_few_verdicts_and_those_on_other_weights_are_refused(tmp_path: Path, toy_weights: Path) -> None:
    weights = load_weights(toy_weights)
    folder = ward(tmp_path / "out", toy_weights, "a")
    with pytest.raises(UsageError, match=r"10 verdicts on 1 recording with 5 confirmed seizures .* too few"):
        recalibrate(weights, results(folder), per_day=100.0, out=tmp_path / "new", name="ward")
    ward(folder, toy_weights, "bc")
    with pytest.raises(UsageError, match="scored hours are too few"):
        recalibrate(weights, results(folder), per_day=1.0, out=tmp_path / "new", name="ward")
    with pytest.raises(
        UsageError, match=r"0 verdicts .* anything; 3 recordings left out: their events were found by other"
    ):
        recalibrate(load_weights(), results(folder), per_day=100.0, out=tmp_path / "new", name="ward")
    assert not (tmp_path / "new").exists()


def test_verdicts_count_once_however_their_folder_is_given(tmp_path: Path, toy_weights: Path) -> None:
    folder = ward(tmp_path / "out", toy_weights)
    shutil.copytree(folder, tmp_path / "copy")
    command = ["recalibrate", str(toy_weights), "--false-alarms", "100", "--json", "--out", str(tmp_path / "new")]
    done = CliRunner().invoke(app, [*command, str(folder), str(folder), str(folder / "a_run.json")])
    assert json.loads(done.stdout)["verdicts"] == 30
    for place, words in ((tmp_path / "typo", "does not exist"), (tmp_path / "copy", "is the same result as")):
        refused = CliRunner().invoke(app, [*command, "--overwrite", str(folder), str(place)])
        assert isinstance(refused.exception, UsageError) and words in str(refused.exception)
    refused = CliRunner().invoke(app, ["recalibrate", str(toy_weights), str(folder), "--false-alarms", "nan"])
    assert isinstance(refused.exception, UsageError) and "--false-alarms" in str(refused.exception)


def test_the_command_writes_weights_that_find_fewer_false_alarms(tmp_path: Path, toy_weights: Path) -> None:
    folder, run = ward(tmp_path / "out", toy_weights), CliRunner()
    options = ["recalibrate", str(toy_weights), str(folder), "--out", str(tmp_path), "--name", "w", "--json"]
    done = run.invoke(app, [*options, "--false-alarms", "100"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["weights"] == str(tmp_path / "w.safetensors")
    quiet = [*options[:-1], "--quiet", "--overwrite", "--false-alarms", "100"]
    assert set(run.invoke(app, quiet).output.splitlines()) <= {
        str(tmp_path / "w.safetensors"),
        *json.loads(done.stdout)["notes"],
    }
    again = run.invoke(app, options)
    assert again.exit_code != 0 and "already exists" in str(again.exception)
