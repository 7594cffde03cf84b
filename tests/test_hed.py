"""HED tags of the tables of events: what hedtools, without a network, says of everything that is written."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from test_cli import restcli
from test_review_apply import ACCEPT, judge

from restcli.archive.derivatives import describe_derivatives
from restcli.events import Event, Events
from restcli.marks.hed import HED_TAGS, HED_VERSION
from restcli.marks.registry import write_events
from restcli.marks.szcore import COLUMNS, SIMULATED_COLUMNS
from restcli.simulate.bids import DatasetSettings, write_dataset

pytestmark = pytest.mark.slow  # reading the schema takes hedtools 5 s


@pytest.fixture(autouse=True)
def hed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return hedtools, which is not to reach for the network."""
    hed = pytest.importorskip("hed", reason="hedtools is not installed")
    from hed.schema import hed_cache

    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(hed_cache, "HED_CACHE_DIRECTORY", str(tmp_path_factory.mktemp("hed")))
    return hed


def issues_of(table: Path, sidecar: Path) -> list[dict[str, Any]]:
    """Return what hedtools says of one table and of the file that describes its columns, warnings too."""
    from hed import Sidecar, TabularInput, load_schema_version
    from hed.errors import ErrorHandler

    schema = load_schema_version(HED_VERSION)
    described = Sidecar(str(sidecar))
    found = described.validate(schema, error_handler=ErrorHandler(check_for_warnings=True))
    return [*found, *TabularInput(str(table), sidecar=described).validate(schema)]


def issues_of_dataset(root: Path) -> list[dict[str, Any]]:
    """Return what hedtools says of a BIDS data set, by the schema that its description names."""
    from hed.tools import BidsDataset

    dataset = BidsDataset(str(root))
    assert dataset.schema.version == "score_1.1.0"
    assert dataset.file_groups["events"].datafile_dict and dataset.file_groups["events"].has_hed
    return list(dataset.validate(check_for_warnings=True))


def write_types(folder: Path, types: Sequence[str]) -> Path:
    """Write a table with an event of each type, and the description of its columns."""
    events = tuple(Event(20.0 * k, 10.0, kind) for k, kind in enumerate(types))
    write_events(Events(events, 20.0 * len(types)), folder / "a_events.tsv", "tsv")
    return folder / "a_events.tsv"


def test_every_type_of_szcore_has_valid_tags(tmp_path: Path) -> None:
    seizures = [name for name in HED_TAGS if name != "bckg"]
    assert len(seizures) == 71
    table = write_types(tmp_path, seizures)
    assert [line.split("\t")[2] for line in table.read_text().splitlines()[1:]] == seizures
    for columns in (COLUMNS, SIMULATED_COLUMNS):
        (tmp_path / "events.json").write_text(json.dumps(columns))
        assert issues_of(table, tmp_path / "events.json") == []


@pytest.mark.parametrize(
    "wrong", ["Epileptic-seizur", "Unclassified-epileptic-seizure, Unclassified-epileptic-seizure"]
)
def test_a_wrong_tag_is_found(tmp_path: Path, wrong: str) -> None:
    columns = json.loads(json.dumps(COLUMNS))
    columns["eventType"]["HED"]["sz"] = wrong
    (tmp_path / "events.json").write_text(json.dumps(columns))
    assert issues_of(write_types(tmp_path, ["sz"]), tmp_path / "events.json")


def test_simulated_data_sets_are_valid(tmp_path: Path) -> None:
    write_dataset(tmp_path / "sim", DatasetSettings(2, 0.1, 600.0, 1))
    assert issues_of_dataset(tmp_path / "sim") == []


def test_what_annotate_and_review_write_fits_the_description_of_an_archive(tmp_path: Path, example: Path) -> None:
    shutil.copy(example, tmp_path / "a.edf")
    assert restcli("annotate", tmp_path / "a.edf", "--out", tmp_path, "--plot", "none").returncode == 0
    judge(tmp_path / "a_run.json", ACCEPT)
    assert restcli("review", "apply", tmp_path).returncode == 0
    describe_derivatives(tmp_path)
    for name in ("a_events.tsv", "a_events_reviewed.tsv"):
        assert issues_of(tmp_path / name, tmp_path / "events.json") == []
    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (tmp_path / "a_events.tsv").rename(folder / "sub-01_task-szMonitoring_events.tsv")
    (tmp_path / "a_events_reviewed.tsv").unlink()
    assert issues_of_dataset(tmp_path) == []
