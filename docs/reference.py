"""Hook of mkdocs: writes the commands, and what Python may import, into their pages, from the code itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.main import get_command

import restcli
from restcli.cli.app import app
from restcli.cli.settings_file import commands_of


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the mark of a page by its content."""
    for mark, text in (("<!-- commands -->", commands_text), ("<!-- python -->", python_text)):
        if mark in markdown:
            markdown = markdown.replace(mark, text())
    return re.sub(r"<!-- (\S+\.md)(?:: (.+?))? -->", lambda found: file_text(*found.groups()), markdown)


def file_text(name: str, section: str | None) -> str:
    """Return a file of the source without its pictures, or the content of one of its sections."""
    text = (Path(__file__).resolve().parent.parent / name).read_text(encoding="utf-8")
    if section is not None:
        text = re.split(r"^## ", text.partition(f"\n## {section}\n")[2], flags=re.MULTILINE)[0]
    if name == "ARCHITECTURE.md":
        text = text.partition("\n")[2]  # the page has a heading of its own
    return re.sub(r"!\[[^]]*\]\([^)]*\)", "", text)


def python_text() -> str:
    """Return the directives of mkdocstrings for what `restcli` makes public, functions first."""
    public = [(name, getattr(restcli, name)) for name in restcli.__all__ if not name.startswith("_")]
    public.sort(key=lambda each: (isinstance(each[1], type), each[0].lower()))
    places = ((name, f"{found.__module__}.{found.__qualname__}") for name, found in public)
    return "\n\n".join(f"::: {place}\n    options:\n      heading: restcli.{name}" for name, place in places)


def commands_text() -> str:
    """Return a section for each command: what it does, an example, its arguments and options."""
    return "\n\n".join(_section(words, command) for words, command in commands_of(get_command(app)))


def _section(words: tuple[str, ...], command: Any) -> str:
    example = (command.epilog or "").removeprefix("Example: ")
    rows = "\n".join(_row(each) for each in command.params if each.name != "help")
    table = f"| option | meaning | default |\n|---|---|---|\n{rows}"
    return f"## restcli {' '.join(words)}\n\n{command.help or ''}\n\n    {example}\n\n{table}"


def _row(parameter: Any) -> str:
    named = parameter.param_type_name == "option"
    name = ", ".join(f"`{each}`" for each in parameter.opts) if named else f"**{parameter.name.upper()}**"
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    default = "" if not named or shown in (None, False, "") else str(shown)
    return f"| {name} | {(parameter.help or '').replace('|', '&#124;')} | {default} |"
