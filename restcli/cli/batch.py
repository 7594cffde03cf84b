"""What people meet of a batch: its commands, its display, its log, Ctrl-C; decides nothing about recordings."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from restcli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from restcli.archive.coordinator import Progress, Summary

_EXIT_DONE, _EXIT_SOME_FAILED, _EXIT_STOPPED = 0, 1, 130
_LOG_EVERY = 30.0
_MOST_FLIGHTS = 8


class _RunsByDefault(TyperGroup):
    """``restcli batch ARCHIVE OUT`` means ``restcli batch run ARCHIVE OUT``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


batch_app = typer.Typer(
    name="batch",
    cls=_RunsByDefault,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Annotate a whole archive: restcli batch ARCHIVE OUT [OPTIONS]; see restcli batch run --help.",
)

OutArgument = Annotated[Path, typer.Argument(help="Folder of outputs of a batch.", show_default=False)]


@batch_app.command()
def run(
    archive: Annotated[Path, typer.Argument(help="Folder of recordings, walked to its depth.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder for outputs, ledger and index.", show_default=False)],
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, tcp://host:port.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes on this machine.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Memory of one worker, e.g. 4GiB.")] = None,
    shard: Annotated[str, typer.Option("--shard", help="Do part K of N, for array jobs: K/N.")] = "1/1",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds after which a recording is given up.")] = 3600.0,
    retry: Annotated[str | None, typer.Option("--retry", help="'failed': try those that failed again.")] = None,
    formats: Annotated[
        str, typer.Option("--format", "-f", help="More event tables, comma-separated: csv_bi,edf,xml,csv,json.")
    ] = "tsv",
    plot: Annotated[str, typer.Option("--plot", help="Pictures: png, pdf or none.")] = "png",
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="Shipped name or path of a weights file.")
    ] = "rest-default",
    step: Annotated[int, typer.Option("--step", help="Seconds between scores.")] = 1,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Probability an event must reach; default: the weights' own.")
    ] = None,
    allow_missing: Annotated[
        int | None, typer.Option("--allow-missing", help="How many of the weights' nodes may be missing.")
    ] = None,
    channel_map: Annotated[
        Path | None, typer.Option("--channel-map", help="TOML file, one line a channel: 'their label' = 'our name'.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Annotate every recording of an archive that is new or changed; what was done before is left alone.

    Exit code: 0 every recording was scored; 1 some were not; 2 wrong usage; 3 the batch could not go on; 130 stopped.
    Ctrl-C once finishes what is in flight and stops, twice stops now; running the same command again goes on.
    """
    from restcli.archive.coordinator import Request, run_batch
    from restcli.archive.pool import Crew, parse_memory
    from restcli.detect.settings import Settings, read_channel_map

    settings = Settings(
        weights=weights,
        step=step,
        threshold=threshold,
        allow_missing=allow_missing,
        device=device,
        channel_map=read_channel_map(channel_map),
    )
    if retry not in (None, "failed"):
        raise UsageError("--retry", repr(retry), "failed")
    kinds = tuple(part.strip() for part in formats.split(",") if part.strip())
    request = Request(
        archive, out, settings, kinds, plot, shard=_parse_shard(shard), retry=retry is not None, timeout=timeout
    )
    crew = Crew(scheduler, workers, None if memory is None else parse_memory(memory))
    with _stop_by_hand() as wish, _display() as show:
        summary = run_batch(request, crew, on_update=show, wish=wish)
    typer.echo(_last_words(summary, out), err=True)
    if summary.stopped:
        raise typer.Exit(_EXIT_STOPPED)
    raise typer.Exit(_EXIT_DONE if summary.complete else _EXIT_SOME_FAILED)


def _parse_shard(text: str) -> tuple[int, int]:
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal()):
        raise UsageError("--shard", repr(text), "K/N, e.g. 3/16")
    return int(first), int(second)


@contextmanager
def _stop_by_hand() -> Iterator[Any]:
    """Count the requests to stop: Ctrl-C, or the signal that batch systems send before they kill."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = {which: signal.signal(which, note) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: min(count, 2)
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


@contextmanager
def _display() -> Iterator[Any]:
    """Show progress: a live panel in a terminal, now and then a line in a log."""
    from rich.console import Console

    terminal = Console(stderr=True, highlight=False)
    if not terminal.is_terminal:
        yield _Log()
        return
    from rich.live import Live

    panel = _Panel()
    with Live(console=terminal, transient=True, auto_refresh=False) as live:
        yield lambda progress: live.update(panel.draw(progress), refresh=True)


class _Log:
    """A line for each failure and every half minute, and nothing else."""

    def __init__(self) -> None:
        self.after = time.monotonic() + _LOG_EVERY

    def __call__(self, progress: Progress) -> None:
        for text in progress.news:
            typer.echo(f"restcli: {_one_line(text)}", err=True)
        if time.monotonic() >= self.after:
            self.after = time.monotonic() + _LOG_EVERY
            typer.echo(f"restcli: {progress.stage}: {progress_line(progress)}", err=True)


def progress_line(progress: Progress) -> str:
    """Say in one line where a batch stands."""
    return ", ".join(_progress_parts(progress))


def _progress_parts(progress: Progress) -> tuple[str, ...]:
    counts = progress.counts
    n_all = sum(counts.values())
    pace = progress.eeg_hours / progress.seconds * 3600 if progress.seconds > 0 else 0.0
    copies = f" ({counts['same']} copies)" if counts["same"] else ""
    return (
        f"{counts['done'] + counts['same']} of {n_all} done{copies}",
        f"{counts['quarantined']} failed",
        f"{len(progress.in_flight)} in flight",
        f"{pace:,.0f} EEG hours an hour",
        f"time left {_span_text(progress.left)}",
    )


def _span_text(seconds: float) -> str:
    """Round a time to what a person waits by."""
    if seconds != seconds:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Panel:
    """The live display; remembers the last failures."""

    def __init__(self) -> None:
        self.failures: deque[str] = deque(maxlen=5)

    def draw(self, progress: Progress) -> RenderableType:
        """Lay out: a bar with the counts below it, what is in flight, the last failures (newest first, in full)."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        def line(text: str, style: str = "") -> Text:
            return Text(_one_line(text), style=style, overflow="ellipsis", no_wrap=True)

        self.failures.extendleft(progress.news)
        counts = progress.counts
        n_all = max(1, sum(counts.values()))
        ended = counts["done"] + counts["same"] + counts["quarantined"]
        # The bar ends no line of its own.
        lines: list[RenderableType] = [Padding(ProgressBar(total=n_all, completed=ended), 0)]
        first, *others = _progress_parts(progress)
        lines += [line(f"{progress.stage}: {first}", "bold"), line(", ".join(others))]
        flights = progress.in_flight
        lines += [line(f"{seconds:6.0f} s  {path}", "dim") for path, seconds in flights[:_MOST_FLIGHTS]]
        if len(flights) > _MOST_FLIGHTS:
            lines.append(line(f"          and {len(flights) - _MOST_FLIGHTS} more in flight", "dim"))
        lines += [Text(_one_line(text), style="red", overflow="fold") for text in self.failures]
        return Group(*lines)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in text)


def _last_words(summary: Summary, out: Path) -> str:
    counts = summary.counts
    text = (
        f"restcli: {counts['done']} of {sum(counts.values())} recordings scored, {counts['same']} copies of them, "
        f"{counts['quarantined']} failed, {counts['pending']} to go; {summary.n_now} in this run; see {out}/index.html"
    )
    if summary.n_hidden:
        text += f"; {summary.n_hidden} places could not be looked into (restcli batch status {out})"
    return text


@batch_app.command()
def status(
    out: OutArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the machine form.")] = False,
) -> None:
    """Say how far a batch is, what failed and why. Exit code 0 when every recording was scored, else 1."""
    from restcli.archive.index import survey

    facts = survey(out)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for line in _status_lines(facts):
            typer.echo(line)
    raise typer.Exit(_EXIT_DONE if facts["complete"] else _EXIT_SOME_FAILED)


def _status_lines(facts: dict[str, Any]) -> Iterator[str]:
    counts = facts["counts"]
    yield f"archive      {_one_line(facts['archive'])}"
    yield f"recordings   {sum(counts.values())}: " + ", ".join(f"{n} {state}" for state, n in counts.items())
    yield f"EEG          {facts['eeg_hours']:.2f} h, of which {facts['scored_hours']:.2f} h scored"
    yield f"events       {facts['n_events']} in {facts['n_with_events']} recordings"
    for failure in facts["failures"]:
        yield f"failed       {failure['n']} x {failure['reason']}, e.g. {_one_line(failure['example'])}"
    for item in facts["skipped"]:
        yield f"not walked   {_one_line(item['path'])}: {item['reason']}"


@batch_app.command()
def export(
    out: OutArgument,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the tables; default: OUT/export.")] = None,
) -> None:
    """Write one table of recordings and one of events for the whole archive, each as CSV and Parquet."""
    from restcli.archive.index import export_tables

    for path in export_tables(out, out / "export" if to is None else to):
        typer.echo(str(path))


if __name__ == "__main__":
    sys.exit(batch_app())
