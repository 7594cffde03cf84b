"""One folder of outputs: one archive, one division into shards, with or without pseudonyms; and all shards count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_ledger import begin, do_all, found
from typer.testing import CliRunner

from restcli.archive.coordinator import Request, run_batch
from restcli.archive.index import write_index
from restcli.archive.ledger import Ledger
from restcli.archive.shards import ledger_name
from restcli.archive.survey import survey
from restcli.archive.verify import verify
from restcli.cli.app import app
from restcli.detect.settings import Settings
from restcli.errors import OutputError, UsageError

Shard = tuple[int, int]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(toy_weights: Path, out: Path, tmp_path: Path) -> Callable[..., None]:
    """Return a function that runs a batch over an archive without recordings, which needs no workers."""

    def run(archive: str = "archive", *, shard: Shard = (1, 1), pseudonyms: Path | None = None) -> None:
        folder = tmp_path / archive
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").touch()
        settings = Settings(weights=str(toy_weights))
        run_batch(Request(folder, out, settings, plot="none", shard=shard, pseudonyms=pseudonyms))

    return run


def move_ledgers_away(out: Path) -> None:
    for path in out.glob("ledger*"):
        path.unlink()


def finish(out: Path, shard: Shard, name: str) -> None:
    """Make the ledger of a shard with one recording that is done."""
    with Ledger(out / ledger_name(*shard), write=True) as ledger:
        do_all(ledger, begin(ledger, found(name)))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 2), (1, 1), "batch with --shard K/2"),
        ((1, 1), (1, 2), "batch without --shard"),
        ((2, 2), (2, 3), "batch with --shard K/2"),
    ],
)
def test_another_number_of_shards_is_refused(
    run: Callable[..., None], out: Path, first: Shard, second: Shard, expected: str
) -> None:
    run(shard=first)
    with pytest.raises(UsageError, match=expected):
        run(shard=second)
    assert not (out / ledger_name(*second)).exists()
    run(shard=first)
    move_ledgers_away(out)
    run(shard=second)


def test_an_archive_is_complete_when_every_shard_ended(tmp_path: Path) -> None:
    finish(tmp_path, (1, 2), "a.edf")
    facts = survey(tmp_path)
    assert facts["missing_shards"] == ["2/2"] and not facts["complete"]
    answer = CliRunner().invoke(app, ["batch", "status", str(tmp_path)])
    assert answer.exit_code == 1 and "--shard 2/2" in answer.output
    answer = CliRunner().invoke(app, ["batch", "export", str(tmp_path)])
    assert answer.exit_code == 0 and "--shard 2/2" in answer.output
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "--shard 2/2" in page and "(not every recording was scored)" in page
    assert any("2/2" in remark for remark in verify(tmp_path).remarks)
    finish(tmp_path, (2, 2), "b.edf")
    facts = survey(tmp_path)
    assert facts["complete"] and facts["counts"]["done"] == 2 and facts["missing_shards"] == []
    with Ledger(tmp_path / ledger_name(2, 2), write=True) as ledger:
        begin(ledger, found("b.edf"))  # and was stopped
    assert not survey(tmp_path)["complete"]


def test_ledgers_that_overlap_are_not_added_up(tmp_path: Path) -> None:
    finish(tmp_path, (1, 1), "a.edf")
    finish(tmp_path, (1, 2), "a.edf")
    with pytest.raises(OutputError, match=r"overlap: ledger\.sqlite, ledger-1-of-2\.sqlite"):
        survey(tmp_path)


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("shard", [(1, 2), (2, 2)])
@pytest.mark.parametrize("first", [False, True])
def test_names_and_pseudonyms_never_meet(
    run: Callable[..., None], out: Path, tmp_path: Path, first: bool, shard: Shard, away: bool
) -> None:
    tables = {True: tmp_path / "names.toml", False: None}
    run(shard=(1, 2), pseudonyms=tables[first])
    if away:
        move_ledgers_away(out)
    with pytest.raises(UsageError, match=f"was made {'with' if first else 'without'} --pseudonyms"):
        run(shard=shard, pseudonyms=tables[not first])
    run(shard=shard, pseudonyms=tables[first])


@pytest.mark.parametrize("away", [False, True])
def test_results_of_another_archive_are_not_replaced(
    run: Callable[..., None], out: Path, tmp_path: Path, away: bool
) -> None:
    run("archive")
    if away:
        move_ledgers_away(out)
    with pytest.raises(UsageError, match="holds the results of another archive"):
        run("other")
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    run("link")
    (tmp_path / "archive").rename(tmp_path / "renamed")
    run("renamed")
    (tmp_path / "renamed").rename(tmp_path / "mounted elsewhere")
    (tmp_path / "renamed").mkdir()  # where it was mounted
    run("mounted elsewhere")


def test_a_batch_leaves_the_results_of_another_alone(run: Callable[..., None], out: Path, tmp_path: Path) -> None:
    finish(tmp_path, (1, 1), "out/a.edf")
    with pytest.raises(UsageError, match="results of another batch"):
        run()
    assert not out.exists()


def test_annotate_leaves_the_results_of_a_batch_alone(tmp_path: Path) -> None:
    """It would replace tables while ledger, index and trail go on telling the earlier result."""
    finish(tmp_path, (1, 2), "a.edf")
    (tmp_path / "ward").mkdir()
    example = str(Path(__file__).parent.parent / "examples" / "absence.edf")
    for folder in (tmp_path, tmp_path / "ward", tmp_path / "new"):
        answer = CliRunner().invoke(app, ["annotate", example, "--out", str(folder), "--plot", "none"])
        assert isinstance(answer.exception, UsageError) and "results of a batch" in str(answer.exception)
    assert not list(tmp_path.rglob("absence_*"))
    (tmp_path / ledger_name(1, 2)).rename(tmp_path / "ledger.sqlite.old")
    answer = CliRunner().invoke(app, ["annotate", example, "--out", str(tmp_path), "--plot", "none"])
    assert answer.exit_code == 0, answer.output
