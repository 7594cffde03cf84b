"""What every command takes: how much it says, a log, and a file of settings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from restcli.cli import options
from restcli.cli.exits import note
from restcli.cli.settings_file import FOUND, adopt, command_words
from restcli.errors import UsageError
from restcli.files import not_written

QUIET, USUAL, VERBOSE = range(3)


@dataclass
class _State:
    """How much the running command says, and where it logs."""

    level: int = USUAL
    log: Path | None = None
    command: str = ""  # as people type it, such as batch or batch status


_state = _State()


def _remember_command(context: typer.Context, path: Path | None) -> Path | None:
    """Let the log name the command."""
    _state.command = " ".join(command_words(context))
    return path


@dataclass
class Common:
    """Options of every command."""

    panel: ClassVar = "Messages and settings"

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only problems and the data asked for.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more about how results were obtained.")] = (
        False
    )
    log: Annotated[
        Path | None,
        typer.Option("--log", callback=_remember_command, help="Append JSON lines without names of files or patients."),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            is_eager=True,
            callback=adopt,
            show_default=f"{FOUND} in this folder, if there is one",
            help="TOML file of options; see restcli info --settings.",
        ),
    ] = None


def with_common(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every command."""

    @wraps(command)
    def run(*, common: Common, **given: Any) -> None:
        if common.quiet and common.verbose:
            raise UsageError("--quiet", "excludes --verbose", "one of the two")
        _state.level = QUIET if common.quiet else VERBOSE if common.verbose else USUAL
        _state.log = _checked(common.log)
        log("started", command=_state.command)
        if common.config is not None:
            inform(f"restcli: settings of {common.config}; restcli info --settings shows them")
        command(**given)

    return options.takes(common=Common)(run)


def is_quiet() -> bool:
    """Tell whether only problems may be printed."""
    return _state.level == QUIET


def inform(text: str) -> None:
    """Print a line on stderr unless --quiet was given."""
    if _state.level > QUIET:
        note(text)


def detail(text: str) -> None:
    """Print a line on stderr if --verbose was given."""
    if _state.level == VERBOSE:
        note(text)


def _checked(path: Path | None) -> Path | None:
    """Refuse to append to a file that is not a log, such as a recording."""
    if path is not None and path.is_file():
        try:
            with path.open("rb") as stream:
                is_log = stream.read(1) in (b"", b"{")
        except OSError as error:
            raise UsageError("--log", f"{path} cannot be read ({error.strerror})", "a file that can be read") from error
        if not is_log:
            raise UsageError("--log", f"{path} holds something other than a log", "JSON lines, or a new file")
    return path


def log(event: str, **facts: Any) -> None:
    """Append a line to the file of --log; facts must not hold names of files, which may be those of patients."""
    if _state.log is None:
        return
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **facts}
    try:
        with _state.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    except OSError as error:
        raise not_written(_state.log, error) from error
