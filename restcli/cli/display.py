"""The terminal: consoles on stdout and stderr, and a progress bar; knows no commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, err: bool = False) -> Console:
    """Return a rich console on stdout or stderr; plain when that is not a terminal."""
    from rich.console import Console

    screen = Console(stderr=err, highlight=False, soft_wrap=True)
    if not screen.is_terminal:
        screen.width = 160  # a file or a pipe has no edge to fold at
    return screen


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float, float], None] | None]:
    """Show progress on stderr while the block runs, when stderr is a terminal; yields the callback or None."""
    terminal = console(err=True)
    if not terminal.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=min(done, total), total=total)
