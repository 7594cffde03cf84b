"""A gain that cannot be is told in the terminal and in the run report; the page of an archive shows the same words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from typer.testing import CliRunner

from restcli.cli.app import app


@pytest.mark.parametrize(
    ("factor", "warned"),
    [(1.0, False), (1 / 3, True), (1 / 10, True), (10.0, True)],
    ids=["as it is", "/3", "/10", "x10"],
)
def test_an_amplitude_of_no_scalp_eeg_is_warned_of(
    toy_weights: Path, tmp_path: Path, factor: float, warned: bool
) -> None:
    signal = noise(19, 320, 200, seed=1)
    signal *= factor * 6.0 / signal.std()  # 8.5 µV between neighbours, where real recordings have 3.9 to 14
    write_edf(tmp_path / "a.edf", signal, 200)
    chosen = ["--weights", str(toy_weights), "--plot", "none", "--out", str(tmp_path)]
    answer = CliRunner().invoke(app, ["annotate", str(tmp_path / "a.edf"), *chosen])
    assert answer.exit_code == 0, answer.output
    words = "check unit and gain"
    assert (words in answer.stderr) == warned
    report = json.loads((tmp_path / "a_run.json").read_text())
    assert any(words in warning for warning in report["quality"]["warnings"]) == warned
