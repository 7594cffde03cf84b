"""The terminal: consoles on stdout and stderr, tables, and progress bars."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from restcli.cli.common import is_quiet
from restcli.cli.exits import say
from restcli.text import visible

if TYPE_CHECKING:
    from rich.console import Console


def console(*, err: bool = False, wrap: bool = False) -> Console:
    """Return a rich console on stdout or stderr, plain when that is not a terminal."""
    from rich.console import Console

    screen = Console(stderr=err, highlight=False, soft_wrap=not wrap)
    if not screen.is_terminal:
        screen.width = 160  # a file or a pipe has no edge to fold at
    return screen


def print_json(value: Any) -> None:
    """Print a value on one line of stdout; what a terminal must not see is escaped as JSON escapes it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    say("".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text))


def in_words(value: Any) -> str:
    """Return a plain value as text for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {in_words(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        parts = [in_words(part) for part in value]
        return ("; " if any(" " in part for part in parts) else ", ").join(parts) or "none"
    return "unknown" if value is None else str(value)


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None, err: bool = False
) -> None:
    """Print a table, columns of numbers aligned on the right."""
    from rich.cells import cell_len
    from rich.markup import escape
    from rich.table import Table

    screen = console(err=err, wrap=True)
    shown = [[visible(cell) for cell in row] for row in rows]
    columns = [(visible(heading), cells) for heading, *cells in zip(header, *shown, strict=True)]
    widest = [max(map(cell_len, " ".join((heading, *column)).split()), default=1) for heading, column in columns]
    pad = 2 if sum(widest) + 2 * len(widest) <= screen.width else 1
    screen.width = max(screen.width, sum(widest) + pad * len(widest))  # a word is never broken
    table = Table(
        title=None if title is None else escape(visible(title)), title_justify="left", box=None, padding=(0, pad, 0, 0)
    )
    for (heading, column), width in zip(columns, widest, strict=True):
        justify: Literal["right", "left"] = "right" if all(map(_is_number, column)) else "left"
        table.add_column(heading, justify=justify, min_width=width, header_style="bold")
    for row in shown:
        table.add_row(*map(escape, row))
    screen.print(table)


def _is_number(cell: str) -> bool:
    return cell in ("", "n/a") or re.fullmatch(r"-?[0-9][0-9,]*(\.[0-9]+)?", cell) is not None


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[..., None] | None]:
    """Show progress on stderr while the block runs; yields the callback, or None when stderr is not a terminal."""
    terminal = console(err=True)
    if not terminal.is_terminal or is_quiet():
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[state]}"), console=terminal, transient=True) as bar:
        task = bar.add_task(visible(label), total=None, state="")

        def update(done: float, total: float, state: Mapping[str, float] | None = None) -> None:
            bar.update(task, completed=min(done, total), total=total, state=state_text(state or {}))

        yield update


def state_text(state: Mapping[str, float]) -> str:
    """Return numbers by name, without those that are not known."""
    return "  ".join(f"{key} {value:.3f}" for key, value in state.items() if value == value)
