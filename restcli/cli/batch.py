"""``restcli batch``: annotate a whole archive, with a live display or a log, and stop when asked."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from restcli.cli import common, options
from restcli.cli.display import console, print_json
from restcli.cli.exits import DONE, SOME_FAILED, Stopped, note, say, stop_signals
from restcli.text import count, duration_in_words, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from restcli.archive.coordinator import BatchProgress, BatchSummary

_LOG_EVERY = 30.0  # s
_MOST_RUNNING = 8  # lines of the display
_INDENT = 13  # of what a report says, behind the word for it
_MOST_SHARDS = 9999  # as names of ledgers can tell
_NOTED = 10  # kinds of repairs and doubts in the status
_STRAY = "beside no result of the archive as it is now"  # of verdicts
_PSEUDONYMS = (
    'TOML file of lines "ward/name.edf" = "p017", outside OUT; missing lines are added to it. Outputs contain '
    "only the pseudonyms."
)


app = typer.Typer(
    name="batch",
    cls=options.runs_by_default("run"),
    no_args_is_help=True,
    help="Annotate a whole archive: restcli batch ARCHIVE OUT; the options are in restcli batch run --help.",
)

OutArgument = Annotated[Path, typer.Argument(help="Folder with the outputs of a batch.", show_default=False)]


def parse_shard(text: str | tuple[int, int]) -> tuple[int, int]:
    """Return K and N of ``K/N``."""
    if isinstance(text, tuple):
        return text
    first, slash, second = text.partition("/")
    if not (slash and first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second) <= _MOST_SHARDS):
        raise typer.BadParameter(f"{text!r} is not K/N with K from 1 to N, such as 3/16, and N up to {_MOST_SHARDS}")
    return int(first), int(second)


def parse_memory(text: str | int) -> int:
    """Return the bytes of a size such as ``4GiB``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kKMGT]?)(i?)B?", str(text))
    if not found:
        raise typer.BadParameter(f"{text!r} is not a size such as 4GiB")
    base = 1024 if found[3] else 1000
    size = int(float(found[1]) * base ** " KMGT".index(found[2].upper() or " "))
    if size < 2**28:
        raise typer.BadParameter(f"{text} is too little for a worker; it needs 256 MiB")
    return size


@dataclass
class Choices:
    """Options that are fields of `Request`."""

    shard: Annotated[Any, typer.Option(parser=parse_shard, metavar="K/N", help="Do part K of N.")] = "1/1"
    timeout: Annotated[float, typer.Option(min=1, help="Seconds after which a recording is given up.")] = 3600.0
    retry: Annotated[Literal["failed"] | None, typer.Option(help="Try recordings that failed again.")] = None
    formats: options.Format = "tsv"
    plot: options.Plot = "png"
    pseudonyms: Annotated[Path | None, options.output(help=_PSEUDONYMS)] = None


@dataclass
class Workers:
    """Options that are fields of `PoolOptions`."""

    panel: ClassVar = "Workers"

    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tls://host:port.")] = None
    tls_ca: Annotated[Path | None, typer.Option(help="Certificate of a tls:// scheduler's authority.")] = None
    tls_cert: Annotated[Path | None, typer.Option(help="Your certificate for a tls:// scheduler.")] = None
    tls_key: Annotated[Path | None, typer.Option(help="The key of your certificate.")] = None
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes on this machine.")] = None
    memory: Annotated[Any, typer.Option(parser=parse_memory, metavar="SIZE", help="Of one worker, such as 4GiB.")] = (
        None
    )


@app.command(epilog="Example: restcli batch /archive /results --workers 8")
@options.takes(chosen=Choices, pool=Workers, settings=options.AnnotationOptions)
def run(
    archive: Annotated[Path, typer.Argument(help="Folder of recordings, searched recursively.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder for outputs, ledger and index.", show_default=False)],
    *,
    chosen: Choices,
    pool: Workers,
    settings: options.AnnotationOptions,
) -> None:
    """Annotate every recording of an archive that is new or has changed.

    Ctrl-C once finishes the running recordings and stops; twice stops at once. The same command continues.

    Exit code: 0 every recording was scored, or its failure acknowledged; 1 some were not; 2 wrong usage; 3 the batch
    cannot go on.
    """
    from restcli.output.bundle import check_formats

    kinds = options.split_list(chosen.formats)
    check_formats(kinds, chosen.plot)
    asked = options.read_settings(**vars(settings))
    from restcli.archive.coordinator import Request, run_batch
    from restcli.archive.resources import PoolOptions

    given = vars(chosen) | {"formats": kinds, "retry": chosen.retry is not None}
    request = Request(archive, out, asked, **given)
    received: list[int] = []  # requests to stop: Ctrl-C, or the signals that batch systems send before they kill
    with stop_signals(lambda number, _frame: received.append(number)), _display() as show:

        def update(progress: BatchProgress) -> None:
            for facts in progress.finished:
                common.log("recording", **facts)
            show(progress)

        summary = run_batch(request, PoolOptions(**vars(pool)), on_update=update, wish=lambda: min(len(received), 2))
    (common.inform if summary.complete else note)(_summary_text(summary, out))
    if summary.n_named:
        common.inform(f"restcli: {summary.n_named} pseudonyms were added to {chosen.pseudonyms}; keep it away from OUT")
    common.log("finished", **summary.counts, complete=summary.complete)
    _follow_moved(out)
    if summary.stopped:
        raise typer.Exit(Stopped(received[0]).exit_code)
    raise typer.Exit(DONE if summary.complete else SOME_FAILED)


def _follow_moved(out: Path) -> None:
    """Let verdicts follow recordings that were moved, and name those that cannot."""
    from restcli.review.strays import follow_moved

    for stray in follow_moved(out):
        if stray.target is not None:
            common.inform(f"restcli: verdicts followed their recording to {stray.target}; apply them again")
        else:
            note(f"restcli: {stray.journal}: {_STRAY}. Bring the recording back, or move the verdicts away.")


@contextmanager
def _display() -> Iterator[Callable[[BatchProgress], None]]:
    """Show progress: a live panel in a terminal, else a line now and then."""
    terminal = console(err=True, wrap=True)
    if not terminal.is_terminal or common.is_quiet():
        yield _Log()
        return
    from rich.live import Live

    panel = _Panel()
    with Live(console=terminal, transient=True, auto_refresh=False) as live:
        yield lambda progress: live.update(panel.draw(progress), refresh=True)


class _Log:
    """A line for each failure, and one every half minute unless --quiet was given."""

    def __init__(self) -> None:
        self.after = time.monotonic() + _LOG_EVERY

    def __call__(self, progress: BatchProgress) -> None:
        for text in progress.news:
            note(f"restcli: {text}")
        if time.monotonic() >= self.after:
            self.after = time.monotonic() + _LOG_EVERY
            common.inform(f"restcli: {progress.stage}: {', '.join(_progress_parts(progress))}")


def _progress_parts(progress: BatchProgress) -> tuple[str, ...]:
    counts = progress.counts
    pace = progress.eeg_hours / progress.seconds * 3600 if progress.seconds > 0 else 0.0
    same = f" ({count(counts['same'], 'duplicate')})" if counts["same"] else ""
    return (
        f"{counts['done'] + counts['same']} of {sum(counts.values())} done{same}",
        f"{counts['failed']} failed",
        f"{len(progress.running)} running",
        f"{pace:,.0f} h of EEG an hour",
        f"time left {'unknown' if progress.left != progress.left else duration_in_words(progress.left)}",
    )


class _Panel:
    """The live display; remembers the last failures."""

    def __init__(self) -> None:
        self.failures: deque[str] = deque(maxlen=5)

    def draw(self, progress: BatchProgress) -> RenderableType:
        """Lay out a bar with the counts below it, what is running, and the last failures (newest first, in full)."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        def line(text: str, style: str = "") -> Text:
            return Text(visible(text), style=style, overflow="ellipsis", no_wrap=True)

        self.failures.extendleft(progress.news)
        counts = progress.counts
        finished = counts["done"] + counts["same"] + counts["failed"]
        bar = ProgressBar(total=max(1, sum(counts.values())), completed=finished)
        lines: list[RenderableType] = [Padding(bar, 0)]  # the bar alone would not end its line
        first, *others = _progress_parts(progress)
        lines += [line(f"{progress.stage}: {first}", "bold"), line(", ".join(others))]
        running = progress.running
        lines += [line(f"{seconds:6.0f} s  {path}", "dim") for path, seconds in running[:_MOST_RUNNING]]
        if len(running) > _MOST_RUNNING:
            lines.append(line(f"          and {len(running) - _MOST_RUNNING} more running", "dim"))
        lines += [Text(visible(text), style="red", overflow="fold") for text in self.failures]
        return Group(*lines)


def _summary_text(summary: BatchSummary, out: Path) -> str:
    counts = summary.counts
    text = (
        f"restcli: {counts['done']} of {sum(counts.values())} recordings scored, "
        f"{count(counts['same'], 'duplicate')}, "
        f"{counts['failed']} failed, {counts['pending']} remaining; {summary.n_now} in this run; see {out}/index.html"
    )
    if summary.n_acknowledged:
        text += f"; {summary.n_acknowledged} of the failures are acknowledged"
    if summary.n_hidden:
        text += f"; {count(summary.n_hidden, 'place')} could not be read (restcli batch status {out})"
    return text


@app.command(epilog="Example: restcli batch status /results")
def status(out: OutArgument, as_json: options.Json = False) -> None:
    """Print how far a batch is, what failed and why.

    Exit code: 0 every recording of every shard was scored, or its failure acknowledged; else 1.
    """
    from restcli.archive.survey import survey
    from restcli.review.strays import find_strays

    facts = survey(out)
    facts["stray_verdicts"] = [str(stray.journal) for stray in find_strays(out)]
    if as_json:
        print_json(facts)
    else:
        for line in _status_lines(facts):
            say(line, indent=_INDENT)
    raise typer.Exit(DONE if facts["complete"] else SOME_FAILED)


def _status_lines(facts: dict[str, Any]) -> Iterator[str]:
    from restcli.archive.shards import shards_in_words

    counts = facts["counts"]
    yield f"archive      {facts['archive'] or ''}"
    yield f"recordings   {sum(counts.values())}: " + ", ".join(f"{n} {state}" for state, n in counts.items())
    if facts["missing_shards"]:
        yield f"never ran    --shard {shards_in_words(facts['missing_shards'])}; their recordings are not counted"
    yield f"EEG          {facts['eeg_hours']:.2f} h, of which {facts['scored_hours']:.2f} h scored"
    if facts["n_incomplete"]:
        yield f"incomplete   {facts['n_incomplete']} recordings; {facts['missing_hours']:.2f} h are missing from them"
    yield f"events       {facts['n_events']} in {count(facts['n_with_events'], 'recording')}"
    for failure in facts["failures"]:
        yield f"failed       {failure['n']} x {failure['reason']}, e.g. {failure['example']}"
    for item in facts["acknowledged"]:
        yield f"acknowledged {item['path']}: {item['reason']} ({item['acknowledged']})"
    for entry in facts["notes"][:_NOTED]:
        yield f"noted        {entry['n']} x {entry['reason']}, e.g. {entry['example']}"
    if len(facts["notes"]) > _NOTED:
        yield f"noted        {len(facts['notes']) - _NOTED} more repairs and doubts: see index.html"
    if others := facts["other_files"]:
        endings = ", ".join(f"{n} {ending or 'without ending'}" for ending, n in others.items())
        yield f"passed over  {count(sum(others.values()), 'other file')}: {endings}"
    for item in facts["skipped"]:
        yield f"not read     {item['path']}: {item['reason']}"
    for journal in facts["stray_verdicts"]:
        yield f"verdicts     {journal}: {_STRAY}"


@app.command(epilog="Example: restcli batch verify /results")
def verify(
    out: OutArgument,
    head: Annotated[
        list[str] | None, typer.Option(help="A hash that an earlier check printed; the trail must still hold it.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Check the outputs of a batch against its ledgers and audit trails; say what was changed by hand.

    Exit code: 0 nothing was changed; 1 something was, see the lines printed.
    """
    from restcli.archive.verify import verify as check

    found = check(out, head or ())
    if as_json:
        print_json(asdict(found))
    else:
        for fault in found.faults:
            say(f"changed      {fault}", indent=_INDENT)
        for remark in found.remarks:
            say(f"noted        {remark}", indent=_INDENT)
        for trail, last in found.heads.items():
            say(f"head         {trail} {last}")
        say(f"compared     {found.n_outputs} files: {len(found.faults) or 'nothing'} changed by hand")
    raise typer.Exit(SOME_FAILED if found.faults else DONE)


@app.command(epilog="Example: restcli batch acknowledge /results ward/broken.edf --reason 'cable broke'")
def acknowledge(
    out: OutArgument,
    recording: Annotated[str, typer.Argument(help="A recording that failed, as restcli batch status names it.")],
    reason: Annotated[str, typer.Option(help="Why it is accepted; kept in the ledger and shown by status.")],
) -> None:
    """Accept that a recording fails: batch and status do not end with 1 for it, until its file or its error changes.

    It still counts as not scored, and status, index and tables keep saying so.
    """
    from restcli.archive.survey import acknowledge as accept

    accept(out, recording, reason)
    common.inform(f"restcli: acknowledged: {recording}")


@app.command(epilog="Example: restcli batch export /results --to tables")
def export(
    out: OutArgument,
    to: Annotated[Path | None, typer.Option("--to", help="Folder for the tables.", show_default="OUT/export")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write one table of recordings and one of events for the whole archive, each as CSV and Parquet."""
    from restcli.archive.shards import missing_shards, shards_in_words
    from restcli.archive.tables import export_tables

    for path in export_tables(out, to, overwrite=overwrite):
        say(str(path))
    if missing := missing_shards(out):
        note(f"restcli: the tables lack the recordings of --shard {shards_in_words(missing)}, which never ran")
