"""Whatever is printed for people is one line without control characters and marks of direction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.cli.display import print_json, print_table
from restcli.cli.exits import note, say
from restcli.text import markdown_table

EVIL = "a\x1b[31m\x9b2J\u202egnp\u2066\nb\rc\x07"


def shown(text: str) -> str:
    """Return what is left of a text without line ends at its end; all of it must be harmless."""
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text[:-1].split("\n"))
    return text[:-1]


def test_lines_and_json_are_neutral(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    note(EVIL)
    out, err = capsys.readouterr()
    assert "\n" not in shown(out) and "\\x1b[31m" in out
    assert shown(err) == shown(out)
    print_json({EVIL: [EVIL]})
    out = capsys.readouterr().out
    assert "\n" not in shown(out)
    assert json.loads(out) == {EVIL: [EVIL]}


def test_a_table_without_rows_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("recording", "events"), [])
    assert capsys.readouterr().out.split() == ["recording", "events"]


def test_tables_are_neutral(capsys: pytest.CaptureFixture[str]) -> None:
    print_table((EVIL, "b"), [(EVIL, "[red]x")], title=EVIL)
    shown(capsys.readouterr().out)
    head, rule, row = markdown_table([EVIL, "b"], [[EVIL, "c|d"]]).split("\n")
    assert all(line.isprintable() for line in (head, rule, row))


def test_a_name_with_control_characters_reaches_no_terminal(toy_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / (EVIL.replace("/", "") + ".edf")
    write_edf(path, noise(19, 20, 200, seed=1), 200)
    out = ["--weights", str(toy_weights), "--plot", "none", "--out", str(tmp_path / "out")]
    answer = CliRunner().invoke(app, ["annotate", str(path), *out])
    assert answer.exit_code == 0, answer.output
    shown(answer.stdout)
    shown(answer.stderr)
    path.write_bytes(b"0" * 300)
    shown(CliRunner().invoke(app, ["info", str(path)]).stderr or "\n")
