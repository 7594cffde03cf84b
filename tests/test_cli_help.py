"""First steps: the demonstration, examples and headings in --help, completion, hints after a wrong word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_cli import RESTCLI, check_refused, restcli
from typer.main import get_command
from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.cli.demo import program_name


def leaves(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield words, command
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, *words, name)


COMMANDS = dict(leaves(get_command(app)))


def test_demo_needs_no_checkout_and_ends_with_a_command_that_works(tmp_path: Path) -> None:
    out = tmp_path / "first"
    done = restcli("demo", "--out", out)
    assert done.returncode == 0, done.stderr
    assert {"absence_events.tsv", "absence_overview.png", "absence_event03.png"} <= {p.name for p in out.iterdir()}
    assert "marked 3 seizures" in done.stdout
    *_, review, annotate = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert annotate == "restcli annotate patient.edf"
    assert restcli(*shlex.split(review)[1:3], "--help").returncode == 0 and Path(review.split()[-1]) == out


def test_a_program_off_the_path_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / ".venv" / "bin" / "restcli"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(script)])
    assert program_name() == os.path.join(".venv", "bin", "restcli")  # noqa: PTH118
    monkeypatch.setenv("PATH", str(script.parent))
    assert program_name() == "restcli"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_can_be_typed(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    assert command.epilog and command.epilog.startswith("Example: restcli "), words
    line = shlex.split(command.epilog.removeprefix("Example: restcli "))
    assert line[0] == words[0]
    rest = line[len(words) :] if tuple(line[: len(words)]) == words else line[1:]  # batch A B is batch run A B
    command.make_context(" ".join(words), rest, resilient_parsing=False)


def test_options_stand_below_headings() -> None:
    text = restcli("annotate", "-h").stdout
    for heading in ("Outputs", "Detection"):
        assert f" {heading} " in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_and_completes(shell: str, tmp_path: Path) -> None:
    env = os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"  # the shell is named, not found out
    done = subprocess.run(
        [*RESTCLI, "--install-completion", shell], env=env, capture_output=True, text=True, check=True
    )
    assert f"{shell} completion installed" in done.stdout
    if shell == "bash":
        asked = {"_RESTCLI_COMPLETE": "complete_bash", "COMP_WORDS": "restcli anno", "COMP_CWORD": "1"}
        done = subprocess.run(RESTCLI, env=env | asked, capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["annotate"]


def test_a_word_that_is_nearly_a_command_gets_a_hint() -> None:
    check_refused(restcli("anotate", "x.edf"), 2, "Did you mean", "annotate")


def test_a_folder_is_for_batch(tmp_path: Path) -> None:
    check_refused(restcli("annotate", tmp_path), 3, "this is a folder", "restcli batch FOLDER OUT")


@pytest.mark.parametrize(
    "columns", [60, 80, 200, *(pytest.param(n, marks=pytest.mark.slow) for n in (64, 72, 100, 140))]
)
def test_no_word_of_the_help_is_cut(columns: int) -> None:
    for words, command in COMMANDS.items():
        shown, whole = (_help_of(words, width) for width in (columns, 2000))
        assert max(map(len, shown.splitlines())) <= columns
        wanted = _words_of(whole, f"{command.help} {command.epilog}", *(each.help or "" for each in command.params))
        cut = wanted - _words_of(shown)
        assert not cut, words
        assert "\u2026" not in shown and not re.search(r"\d\.\d{5}", shown), words


@cache
def _help_of(words: tuple[str, ...], columns: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.rich_utils.MAX_WIDTH", columns)
        return CliRunner().invoke(app, [*words, "--help"]).output


def _words_of(*texts: str) -> set[str]:
    """Return words, without the frames and brackets that only the page has."""
    return set(re.sub(r"\[default:|\)\]|[│─╭╮╰╯()]", " ", " ".join(texts)).split())
