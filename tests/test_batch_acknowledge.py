"""Known failures: acknowledged with a reason, until the file or its error changes; and what --quiet leaves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer
from test_cli import check_refused, restcli
from test_ledger import KEYS, begin, do_all, found

from restcli.archive.coordinator import BatchProgress
from restcli.archive.index import write_index
from restcli.archive.ledger import STATES, Ledger
from restcli.archive.tables import export_tables
from restcli.cli import batch, common

OLD = found("a.edf")
BAD = found("ward/bad.edf")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return the outputs of a batch in which one of two recordings failed."""
    with Ledger(tmp_path / "ledger.sqlite", write=True) as ledger:
        do_all(ledger, begin(ledger, OLD, BAD), fail=("ward/bad.edf",))
    return tmp_path


def test_an_acknowledged_failure_is_shown_and_does_not_make_exit_1(out: Path) -> None:
    assert restcli("batch", "status", out).returncode == 1
    done = restcli("batch", "acknowledge", out, "/archive/ward/bad.edf", "--reason", "cable broke")
    assert done.returncode == 0, done.stderr
    status = restcli("batch", "status", out)
    assert status.returncode == 0
    assert "acknowledged ward/bad.edf: is bad (cable broke)" in status.stdout and "1 failed" in status.stdout
    page = write_index(out).read_text(encoding="utf-8")
    assert "is bad; acknowledged: cable broke" in page
    assert "(not every recording was scored; 1 of the failures acknowledged)" in page
    tables = {
        path.name: path.read_text(encoding="utf-8") for path in export_tables(out, out / "t") if path.suffix == ".csv"
    }
    assert "cable broke" in tables["recordings.csv"]
    facts = json.loads(restcli("batch", "status", out, "--json").stdout)
    assert facts["complete"] is True and facts["failures"] == [] and len(facts["acknowledged"]) == 1


@pytest.mark.parametrize("name", ["a.edf", "absent.edf", "ward"])
def test_only_failures_can_be_acknowledged(out: Path, name: str) -> None:
    check_refused(restcli("batch", "acknowledge", out, name, "--reason", "known"), 2, "not a recording that failed")
    assert restcli("batch", "status", out).returncode == 1


def test_a_reason_is_needed(out: Path) -> None:
    check_refused(restcli("batch", "acknowledge", out, "ward/bad.edf", "--reason", " "), 2, "--reason")


@pytest.mark.parametrize("change", ["nothing", "retry", "file", "error"])
def test_an_acknowledgement_lasts_until_file_or_error_change(out: Path, change: str) -> None:
    with Ledger(out / "ledger.sqlite", write=True) as ledger:
        assert ledger.acknowledge("ward/bad.edf", "cable broke")
        bad = found("ward/bad.edf", size=11) if change == "file" else BAD
        run = begin(ledger, OLD, bad, retry=change in ("retry", "error"))
        if change == "error":
            row = ledger.waiting(run, 1)[0]
            ledger.finish(row.id, KEYS, {"error": f"{row.path}: is empty", "error_class": "RecordingError"})
        do_all(ledger, run, fail=("ward/bad.edf",))
        assert ledger.n_acknowledged() == (change in ("nothing", "retry"))


def test_quiet_leaves_failures_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_LOG_EVERY", 0.0)
    progress = BatchProgress("annotating", dict.fromkeys(STATES, 0), news=("failed: 'x.edf': is empty",))
    for level, lines in ((common.USUAL, 2), (common.QUIET, 1)):
        monkeypatch.setattr(common._state, "level", level)
        with batch._display() as show:
            show(progress)
        printed = capsys.readouterr().err.splitlines()
        assert len(printed) == lines and printed[0] == "restcli: failed: 'x.edf': is empty"


def test_status_fits_a_terminal(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with Ledger(out / "ledger.sqlite", write=True) as ledger:
        ledger.acknowledge("ward/bad.edf", "a long explanation of why nobody can do anything about this recording")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    with pytest.raises(typer.Exit):
        batch.status(out)
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= 60 and any(line.startswith(" " * 13 + "nobody") for line in lines), lines
