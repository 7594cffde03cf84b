"""What commands say and where: the answer first, quiet and verbose, the log, the settings file, narrow terminals."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from test_cli import RESTCLI, check_refused, restcli
from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.cli.display import print_table
from restcli.cli.settings_file import every_option


def test_the_answer_comes_first_then_the_table_and_one_quiet_line(example: Path, tmp_path: Path) -> None:
    done = restcli("annotate", example, "--out", tmp_path, "--plot", "none")
    answer, heading, *events = done.stdout.splitlines()
    assert answer.startswith("absence.edf: 3 events in the 98.3 % of the recording that was scored")
    assert heading.split()[0] == "#" and len(events) == 3
    assert len(done.stderr.splitlines()) == 1 and "written: " in done.stderr
    verbose = restcli("annotate", example, "--out", tmp_path, "--plot", "none", "--verbose").stderr
    assert "weights rest-default" in verbose and len(verbose.splitlines()) == 2


def test_many_events_are_summarised(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restcli.cli.annotate._MOST_SHOWN", 2)
    monkeypatch.setattr("restcli.cli.annotate._SHOWN_OF_MANY", 1)
    done = restcli("annotate", example, "--out", tmp_path, "--plot", "none")
    answer, _, event, rest = done.stdout.splitlines()
    assert ": 3 events" in answer and event.split()[0] in "123"
    assert rest == "showing the 1 most confident; absence_events.tsv holds all"


def test_quiet_prints_problems_alone(example: Path, tmp_path: Path) -> None:
    done = restcli("annotate", example, "--out", tmp_path, "--plot", "none", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    check_refused(restcli("annotate", tmp_path / "absent.edf", "--quiet"), 3, "does not exist")
    check_refused(restcli("annotate", example, "--quiet", "--verbose"), 2, "--verbose")


def test_the_log_names_no_file(toy_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Doe_Jane"
    folder.mkdir()
    good = write_edf(folder / "Doe_1970.edf", noise(19, 30, 200), 200)
    bad = folder / "Roe_1980.edf"
    bad.write_text("no signals")
    log = tmp_path / "log.jsonl"
    out = tmp_path / "out"
    out.write_text("in the way")
    for place in (folder, out):  # the second fails with names of files in the messages
        restcli("annotate", bad, good, "-w", toy_weights, "-o", place, "--plot", "none", "--log", log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "failed", "annotated", "started", "failed", "failed"]
    assert lines[1]["recording"] == 1 and lines[1]["reason"] and lines[2]["scored"] == pytest.approx(0.9)
    assert not re.search("Doe|Roe|1970|1980", log.read_text())
    check_refused(restcli("formats", "--log", tmp_path / "absent" / "log"), 3, "could not be written")


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (("batch", "ward", "out"), "batch"),
        (("batch", "run", "ward", "out"), "batch"),
        (("batch", "status", "out"), "batch status"),
        (("review", "out"), "review"),
        (("review", "apply", "out"), "review apply"),
        (("data", "check", "ward"), "data check"),
        (("export", "absent", "--to", "c"), "export"),
        (("formats",), "formats"),
    ],
)
def test_the_log_names_the_command_as_it_is_typed(
    typed: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(app, [*typed, "--log", "log.jsonl"])
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["command"] == named


def in_terminal(columns: int, folder: Path, *arguments: object) -> tuple[int, list[str]]:
    """Run the command in a terminal; return its exit code and the lines that stay."""
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    env = os.environ | {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen([*RESTCLI, *map(str, arguments)], stdout=terminal, stderr=terminal, env=env, cwd=folder)
    os.close(terminal)
    received = b""
    while True:
        try:
            received += os.read(main, 4096)
        except OSError:  # the terminal was closed
            break
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received.decode()).split("\r")
    return process.wait(), [line.strip("\n") for line in text if "━" not in line]


@pytest.mark.parametrize("columns", [60, 200])
def test_terminals_break_lines_between_words(example: Path, tmp_path: Path, columns: int) -> None:
    code, lines = in_terminal(columns, tmp_path, "annotate", example, "--out", "o", "--plot", "none", "--verbose")
    assert code == 0 and max(map(len, lines)) <= columns
    assert len([line for line in lines if len(line) > 60]) == (0 if columns == 60 else 3)
    words = " ".join(lines).split()
    for whole in ("confidence", "duration", "recording", "o/absence_*", "rest-default", "release"):
        assert whole in words, whole


@pytest.mark.parametrize("arguments", [("formats",), ("data", "check", "."), ("info", "absence.edf")])
def test_what_commands_say_fits_a_terminal(example: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    shutil.copy(example, tmp_path)
    _, lines = in_terminal(80, tmp_path, *arguments)
    assert len(lines) > 3 and max(map(len, lines)) <= 80, max(lines, key=len)


def test_tables_never_break_a_word(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restcli.cli.display.console", _narrow)
    print_table(["key", "content"], [["antidisestablishmentarianism", "several words that need more than one line"]])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2 and lines[1].startswith("antidisestablishmentarianism ")


def _narrow(**_: object) -> object:
    from rich.console import Console

    return Console(file=sys.stdout, width=40, highlight=False)


def test_info_begins_with_the_verdict(example: Path, tmp_path: Path) -> None:
    assert restcli("info", example).stdout.startswith("usable: nodes 18 of 18")
    ecg = write_edf(tmp_path / "ecg.edf", noise(2, 20, 200), 200, labels=["ECG", "SpO2"])
    assert restcli("info", ecg).stdout.startswith("not usable: ")


def test_settings_come_from_a_file_and_what_is_typed_comes_first(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("restcli.toml").write_text('threshold = 0.8\n[annotate]\nplot = "none"\nout = "here"\njson = true\n')
    report = json.loads(restcli("annotate", example).stdout)
    assert report["settings"]["threshold"] == 0.8 and not list(Path("here").glob("*.png"))
    assert json.loads(restcli("annotate", example, "--threshold", "0.7").stdout)["settings"]["threshold"] == 0.7
    point = json.loads(restcli("annotate", example, "--sensitivity", "specific").stdout)["settings"]
    assert point["threshold"] is None and point["sensitivity"] == "specific", "what is typed comes before the file"
    Path("other.toml").write_text("[annotate]\nthreshold = 0.6\nplot = 'none'\njson = true\n")
    done = restcli("annotate", example, "--config", "other.toml")
    assert json.loads(done.stdout)["settings"]["threshold"] == 0.6 and "other.toml" in done.stderr
    shown = tomllib.loads(restcli("info", "--settings").stdout)
    assert shown["annotate"] == {"threshold": 0.8, "plot": "none", "out": "here", "json": True}
    assert {"threshold": 0.8}.items() <= shown["batch"].items() and "plot" not in shown["batch"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("treshold = 0.8", ("treshold", "Perhaps threshold is meant")),
        ("[anotate]\nstep = 1", ("anotate", "not a command")),
        ('threshold = "high"', ("threshold", "cannot be used")),
        ("[annotate]\nplot = 'gif'", ("plot", "cannot be used")),
        ("no toml", ("not TOML",)),
    ],
)
def test_a_wrong_settings_file_is_refused_with_its_name(
    text: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("restcli.toml").write_text(text)
    check_refused(restcli("annotate", "absent.edf"), 2, "restcli.toml", *words)


@pytest.mark.parametrize(
    ("setting", "command"),
    [
        ("[live]\nexec = 'touch done'", ("live", "--replay", "absent.edf")),
        ("[live]\npublish = 'ward-3'", ("live", "--replay", "absent.edf")),
        ("[batch]\nscheduler = 'tcp://192.0.2.1:8786'", ("batch", "absent", "out")),
        ("scheduler = 'tcp://192.0.2.1:8786'", ("batch", "run", "absent", "out")),
    ],
)
def test_a_settings_file_that_merely_lies_there_starts_nothing_and_sends_nothing(
    setting: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("restcli.toml").write_text(f"{setting}\n")
    check_refused(restcli(*command), 2, "--config")


def test_every_option_can_be_set() -> None:
    known = every_option()
    assert {"threshold", "plot", "quiet", "log"} <= known[("annotate",)].keys() & known[("batch",)].keys()
    assert ("batch", "status") in known
