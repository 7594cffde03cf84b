"""Options from a file: ``restcli.toml`` in the current folder, or the file of ``--config``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from restcli.errors import UsageError
from restcli.files import read_toml

FOUND = "restcli.toml"
_RUN_BY_DEFAULT: dict[tuple[str, ...], tuple[str, ...]] = {
    ("batch", "run"): ("batch",),
    ("review", "open"): ("review",),
}
_NEVER = {"config", "help"}
# A file that merely lies in a folder must not start programs, trust a machine that may (a Dask scheduler answers with
# code), or send results away.
_NEVER_FOUND = {"exec", "scheduler", "publish"}


def adopt(context: typer.Context, wanted: Path | None) -> Path | None:
    """Make a settings file's values the defaults of a command and return its path, or None if it has none."""
    path = wanted or Path(FOUND)
    if context.resilient_parsing or (wanted is None and not path.is_file()):
        return None
    chosen = read_settings_file(path)
    words = command_words(context)
    values = chosen.get((), {}) | chosen.get(words, {})
    own = options_of(context.command)
    defaults = {}
    for key, value in values.items():
        if key not in own:
            continue  # an option of other commands, for all that have it
        if wanted is None and key in _NEVER_FOUND:
            raise UsageError(str(path), f"{key} is only taken from a file that --config names")
        try:
            own[key].process_value(context, value)
        except typer.BadParameter as error:
            raise UsageError(str(path), f"{key} = {_toml(value)} cannot be used ({error.message})") from error
        defaults[own[key].name] = value
    context.default_map = defaults
    return path if defaults else None


def command_words(context: Any) -> tuple[str, ...]:
    """Return the words that people type to call a command, without the program's name."""
    return () if context.parent is None else _table_of((*command_words(context.parent), context.info_name))


def read_settings_file(path: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the values of a file by command, () for every command; UsageError for what no command has."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    _collect(read_toml(path, "lines such as threshold = 0.8"), (), found)
    known = {words: set(options) for words, options in every_option().items()}
    known[()] = set().union(*known.values())
    for words, values in found.items():
        if words not in known and values:
            raise UsageError(str(path), f"[{'.'.join(words)}] is not a command", "such as [annotate] or [batch]")
        for key in values.keys() - known.get(words, set()):
            near = get_close_matches(key, known[words], 1)
            hint = f"Perhaps {near[0]} is meant" if near else "restcli info --settings lists them"
            raise UsageError(str(path), f"{key} is not an option that can be set", "a name without its dashes", hint)
    return found


def _collect(content: Mapping[str, Any], words: tuple[str, ...], found: dict[tuple[str, ...], dict[str, Any]]) -> None:
    for key, value in content.items():
        if isinstance(value, dict):
            found.setdefault((*words, key), {})
            _collect(value, (*words, key), found)
        else:
            found.setdefault(words, {})[key] = value


def every_option() -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the options of each command by the table that sets them."""
    from typer.main import get_command

    from restcli.cli.app import app

    return {_table_of(words): options_of(command) for words, command in commands_of(get_command(app))}


def commands_of(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with the words that call it."""
    below = getattr(command, "commands", None)
    if below is None:
        yield words, command
    for name, each in (below or {}).items():
        yield from commands_of(each, (*words, name))


def options_of(command: Any) -> dict[str, Any]:
    """Return the options of a command by their names without dashes."""
    named = {max(each.opts, key=len).lstrip("-"): each for each in command.params if each.param_type_name == "option"}
    return {name: each for name, each in named.items() if name not in _NEVER}


def _table_of(words: tuple[str, ...]) -> tuple[str, ...]:
    return _RUN_BY_DEFAULT.get(words, words)


def settings_lines(config: Path | None) -> list[str]:
    """Return all options as the lines of a settings file: those that are set, and defaults as comments."""
    path = config or Path(FOUND)
    chosen = read_settings_file(path) if config is not None or path.is_file() else {}
    lines = [f"# Settings of {path}. Comments are defaults." if chosen else f"# There is no {FOUND}: all are defaults."]
    for words, options in every_option().items():
        lines += ["", f"[{'.'.join(words)}]"]
        values = {key: value for key, value in chosen.get((), {}).items() if key in options} | chosen.get(words, {})
        for key, option in options.items():
            default = option.default
            comment = f"  # {option.show_default}" if isinstance(option.show_default, str) else ""
            if key in values:
                lines.append(f"{key} = {_toml(values[key])}")
            else:
                lines.append(f"# {key} ={comment}" if default is None else f"# {key} = {_toml(default)}")
    return lines


def _toml(value: Any) -> str:
    return json.dumps(value if isinstance(value, bool | int | float | str) else str(value), ensure_ascii=False)
