"""``restcli review``: judge what was found, in the browser."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from restcli.cli import options
from restcli.cli.exits import note, say
from restcli.errors import OutputError, RestError, UsageError

app = typer.Typer()
review_app = typer.Typer(
    name="review",
    cls=options.runs_by_default("open"),
    no_args_is_help=True,
    help="Judge events in the browser: restcli review PATH; the options are in restcli review open --help.",
)
app.add_typer(review_app)

PathArgument = Annotated[
    Path, typer.Argument(help="A recording, or a folder with outputs of restcli.", show_default=False)
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the outputs of a recording.")]


@review_app.command("open")
def open_(
    path: PathArgument,
    out: OutOption = Path(),
    reviewer: Annotated[str, typer.Option(help="Your pseudonym in the journal of verdicts.")] = "r1",
    blind: Annotated[
        bool, typer.Option("--blind", help="Hide probabilities and mix events with control stretches.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open nothing.")] = False,
) -> None:
    """Open the reading room: page through recordings and judge each event; Ctrl-C closes it.

    A recording without a result is annotated first. Verdicts are saved at once to X_review.jsonl beside the outputs.
    """
    from restcli.review.entries import REVIEWER

    if not REVIEWER.fullmatch(reviewer):
        raise UsageError("--reviewer", f"{reviewer!r}", "up to 40 letters, digits, '.', '-' and '_'")
    reports = _reports(path, out)
    from restcli.review.desk import open_desk
    from restcli.review.server import Server

    server = Server(open_desk(reports, reviewer=reviewer, blind=blind), port)
    say(server.address)
    if not no_browser:
        webbrowser.open(server.address)
    note("restcli: Ctrl-C closes the reading room")
    asyncio.run(server.serve())


def _reports(path: Path, out: Path) -> dict[str, Path]:
    """Return run reports by the names that people see; a recording without one is annotated first."""
    from restcli.review.stored import REPORT_END, find_results

    if path.is_dir():
        found = find_results(path)
        if not found:
            raise OutputError(str(path), "holds no run reports", "a folder that restcli annotate or batch wrote to")
        return {place.relative_to(path).as_posix().removesuffix(REPORT_END): place for place in found}
    if path.name.endswith(REPORT_END):
        return {path.name.removesuffix(REPORT_END): path}
    report = out / f"{path.stem}{REPORT_END}"
    if not report.is_file():
        _annotate(path, out)
    _check_source(report, path)
    return {path.name: report}


def _annotate(path: Path, out: Path) -> None:
    """Annotate in another process, whose memory ends with it."""
    program = [sys.executable, "-c", "from restcli.cli.app import main; main()"]
    done = subprocess.run([*program, "annotate", str(path), "--out", str(out)], stdout=sys.__stderr__, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)


def _check_source(report: Path, path: Path) -> None:
    """Refuse a result of another recording of the same name."""
    from restcli.review.stored import read_result

    source = read_result(report).recording.path
    if not (source.exists() and path.exists() and source.samefile(path)):
        what = f"is the result of another recording of this name ({source.parent})"
        raise RestError(str(report), what, remedy="Choose another folder with --out")
