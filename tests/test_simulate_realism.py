"""Realism: like is told from unlike, in background and in seizures, and the command writes it down."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import check_refused, restcli

from restcli.simulate.bids import DatasetSettings, write_dataset
from restcli.simulate.draw import SimulateOptions
from restcli.simulate.realism import compare, simulated_windows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def people() -> list[pd.DataFrame]:
    return list(simulated_windows(range(16), SimulateOptions(1.0)))


def _changed(people: list[pd.DataFrame], feature: str, by: float) -> list[pd.DataFrame]:
    return [one.assign(group="real-" + one["group"], **{feature: one[feature] + by}) for one in people]


@pytest.mark.parametrize("ictal", [False, True])
def test_like_is_told_from_unlike(people: list[pd.DataFrame], ictal: bool) -> None:
    for one in people:
        assert np.isfinite(one.select_dtypes("number")).all(axis=None)
    first, second = people[::2], people[1::2]
    alike = compare(_changed(first, "waxing", 0.0), second, ictal=ictal)
    other = compare(_changed(first, "waxing", 2.0), second, ictal=ictal)
    assert alike is not None and other is not None
    assert other.auroc["boosting without amplitude"] > 0.95 > alike.auroc["boosting without amplitude"]
    assert other.single[0][0] == "waxing" and other.single[0][1] < 0.05  # smaller in simulation


def test_too_few_people_are_not_compared(people: list[pd.DataFrame]) -> None:
    assert compare(people[:1], people[1:], ictal=True) is None


def test_the_command_writes_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restcli.simulate.realism.PEOPLE", 4)
    write_dataset(tmp_path / "data", DatasetSettings(2, 0.05, 2000.0, seed=5))
    done = restcli("simulate", tmp_path / "out", "--realism", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "realism.md").read_text().strip() == done.stdout.strip()
    written = json.loads((tmp_path / "out" / "realism.json").read_text())
    assert written["comparisons"].keys() == {"background", "seizure"}
    assert len(written["spectra"]["real"]["seizure"]) == 30 and sum(written["nearest"].values()) == 2
    one = tmp_path / "data" / "sub-001"
    check_refused(restcli("simulate", tmp_path / "other", "--realism", one), 2, "too few people")
