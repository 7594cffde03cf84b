"""Hook of mkdocs: writes the commands and their options into commands.md, from the code itself."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from restcli.cli.app import app
from restcli.cli.settings_file import commands_of

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the mark of the page by the commands."""
    return markdown.replace(MARK, commands_text()) if MARK in markdown else markdown


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
