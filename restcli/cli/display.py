"""The terminal: consoles on stdout and stderr, tables, and progress bars."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from restcli.cli.exits import note, say

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
    """Print a value on one line of stdout; bytes of a file name that are not text are escaped."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    say(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def print_table(
    rows: Sequence[Sequence[str]], header: Mapping[str, str], *, title: str | None = None, err: bool = False
) -> None:
    """Print a table; `header` maps each heading to the side on which its column is aligned."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=None if title is None else escape(title), title_justify="left")
    for heading, side in header.items():
        table.add_column(heading, justify="right" if side == "right" else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console(err=err, wrap=True).print(table)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float, float], None] | None]:
    """Show progress on stderr while the block runs; yields the callback, or None when stderr is no terminal."""
    terminal = console(err=True)
    if not terminal.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=min(done, total), total=total)


@contextmanager
def training_progress(steps: int) -> Iterator[Callable[[float, float, Mapping[str, float]], None]]:
    """Show the preparation of examples, then loss, AUROC and time left; lines for a log when stderr is no terminal."""
    terminal = console(err=True)
    if not terminal.is_terminal:
        yield _log_training
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=terminal) as bar:
        preparing = bar.add_task("examples", total=None, state="")
        training = bar.add_task("training", total=steps, state="")

        def on_progress(done: float, total: float, state: Mapping[str, float]) -> None:
            task = training if state else preparing
            bar.update(task, completed=done, total=total, state=_state_text(state))

        yield on_progress


def _log_training(done: float, total: float, state: Mapping[str, float]) -> None:
    if int(done) % max(1, int(total) // 10) == 0:
        note(f"{int(done)}/{int(total)}  {_state_text(state) or 'examples'}")


def _state_text(state: Mapping[str, float]) -> str:
    return "  ".join(f"{key} {value:.3f}" for key, value in state.items() if value == value)
