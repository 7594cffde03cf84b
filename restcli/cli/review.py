"""``restcli review``: judge what was found, in the browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from restcli.cli import options
from restcli.cli.common import inform, is_quiet
from restcli.cli.display import print_json, print_table
from restcli.cli.exits import DONE, SOME_FAILED, Stopped, caught, note, say, stop_signals
from restcli.errors import OutputError, RestError, UsageError
from restcli.text import count

if TYPE_CHECKING:
    from restcli.review.agreement import Counts
    from restcli.review.apply import Applied
    from restcli.review.desk import Desk

app = typer.Typer(
    name="review",
    cls=options.runs_by_default("open"),
    no_args_is_help=True,
    help="Judge events in the browser: restcli review PATH; the options are in restcli review open --help.",
)

PathArgument = Annotated[
    Path, typer.Argument(help="A recording, or a folder with outputs of restcli.", show_default=False)
]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the outputs of a recording.")]

Names = Annotated[
    Path | None,
    typer.Option("--pseudonyms", help="The table given to restcli batch, to find the recordings.", show_default=False),
]


@app.command("open", epilog="Example: restcli review results --reviewer anna")
def open_(
    path: PathArgument,
    out: OutOption = Path(),
    reviewer: Annotated[str, typer.Option(help="Your pseudonym in the journal of verdicts.")] = "r1",
    blind: Annotated[
        bool, typer.Option("--blind", help="Hide probabilities and mix events with control stretches.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address and open no browser.")] = False,
    pseudonyms: Names = None,
) -> None:
    """Open the reading room: page through recordings and judge each event; Ctrl-C closes it.

    A recording without a result is annotated first. Verdicts are saved at once to X_review.jsonl beside the outputs.
    """
    from restcli.review.entries import REVIEWER

    if not REVIEWER.fullmatch(reviewer):
        raise UsageError("--reviewer", f"{reviewer!r}", "up to 40 letters, digits, '.', '-' and '_'")
    reports = _reports(path, out, annotate=True)
    from restcli.review.desk import open_desk
    from restcli.review.server import Server

    desk = open_desk(reports, reviewer=reviewer, blind=blind, sources=_sources(path, pseudonyms))
    for line in desk.left_out:
        note(f"restcli: left out: {line}")
    if blind:
        _say_mixture(desk)
    server = Server(desk, port)
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        server.stop()

    with TemporaryDirectory(prefix="restcli-") as private, stop_signals(stop):
        say(server.address)
        inform("restcli: Ctrl-C closes the reading room")
        if not no_browser:
            _open_browser(server.address, Path(private))
        server.run()
    _say_where_verdicts_are(reports)
    if received and received[0] != signal.SIGINT:  # Ctrl-C is how a reading room is closed
        raise Stopped(received[0])


def _say_mixture(desk: Desk) -> None:
    """Say when a blind reading has fewer control stretches than events."""
    mixture = desk.mixture()
    if mixture["controls"] < mixture["events"]:
        what = f"{mixture['controls']} control stretches for {count(mixture['events'], 'event')}"
        note(f"restcli: blind reading: {what}; the recordings have no room for more")


def _say_where_verdicts_are(reports: Mapping[str, Path]) -> None:
    from restcli.review.journal import journal_of

    journals = [journal for journal in map(journal_of, reports.values()) if journal.exists()]
    if len(journals) > 1:
        folder = os.path.commonpath(journal.parent for journal in journals)
        inform(f"restcli: verdicts on {len(journals)} recordings are in {folder} (*_review.jsonl)")
    else:
        inform(f"restcli: verdicts are in {journals[0]}" if journals else "restcli: closed without verdicts")


def _open_browser(address: str, private: Path) -> None:
    """Open the browser on a file that only this user can read: all users see the arguments of a program."""
    page = private / "review.html"
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={address}">', encoding="utf-8")
    webbrowser.open(page.as_uri())


@app.command("apply", epilog="Example: restcli review apply results")
def apply_(
    path: PathArgument,
    out: OutOption = Path(),
    formats: Annotated[
        str | None,
        typer.Option("--format", "-f", help="Event tables, as for annotate.", show_default="those of the run"),
    ] = None,
    plot: Annotated[
        Literal["png", "pdf", "none"] | None, typer.Option(help="Pictures.", show_default="as in the run")
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Apply only the verdicts of this reviewer.", show_default="the last word counts")
    ] = None,
    pseudonyms: Names = None,
    as_json: options.Json = False,
) -> None:
    """Write event tables, pictures, burden and report after review (X_..._reviewed); detected tables stay as they were.

    In a folder, every recording with verdicts. Exit code: 0 done; 1 some of several recordings failed.
    """
    from restcli.review.apply import apply_verdicts
    from restcli.review.journal import journal_of
    from restcli.review.stored import read_result
    from restcli.review.trail import enter_applied

    reports = _reports(path, out, annotate=False)
    judged = {name: report for name, report in reports.items() if journal_of(report).exists()}
    if not judged:
        raise OutputError(str(path), "holds no journal of verdicts", "what restcli review writes", "Judge events first")
    kinds = None if formats is None else options.split_list(formats)
    sources = _sources(path, pseudonyms)
    applied: dict[str, Applied] = {}
    for name, report in judged.items():
        try:
            applied[name] = apply_verdicts(read_result(report, sources), formats=kinds, plot=plot, reviewer=reviewer)
        except Exception as error:
            problem = caught(name, error)
            if len(judged) == 1 or isinstance(problem, UsageError):
                raise problem from error
            note(f"restcli: {problem}")
    enter_applied(applied.values())
    _report_applied(applied, as_json=as_json)
    raise typer.Exit(DONE if len(applied) == len(judged) else SOME_FAILED)


def _report_applied(applied: Mapping[str, Applied], *, as_json: bool) -> None:
    """Print what became of the detections, recording by recording and in all."""
    from restcli.review.agreement import Counts, Pair

    total = sum((each.counts for each in applied.values()), Counts())
    pairs: dict[tuple[str, str], Pair] = {}
    for each in applied.values():
        for reviewers, pair in each.pairs.items():
            pairs[reviewers] = pairs.get(reviewers, Pair()) + pair
    if as_json:
        rows = {
            name: {"files": [str(f) for f in each.written.files], **each.written.report["review"]}
            for name, each in applied.items()
        }
        together = [{"reviewers": each, **pair.to_dict()} for each, pair in pairs.items()]
        print_json({"recordings": rows, "all": total.to_dict() | {"between_reviewers": together}})
        return
    if applied and not is_quiet():
        _print_counts(applied, total)
    for reviewers, pair in pairs.items():
        units = pair.to_dict().items()
        inform(f"{' and '.join(reviewers)}: {'; '.join(_agreement_text(found, unit) for unit, found in units)}")
    for name, each in applied.items():
        for remark in (*each.remarks, *each.written.report["remarks"]):
            note(f"{name}: {remark}")
        files = each.written.files
        inform(f"written: {files[0]} and {len(files) - 1} more beside it")


def _print_counts(applied: Mapping[str, Applied], total: Counts) -> None:
    """Print a table of verdicts, and the measures that follow from them."""
    from restcli.review.agreement import interval_text, rejected_in_words

    header = ("recording", "accepted", "rejected", "unsure", "not judged", "added")
    names = ("accepted", "rejected", "unsure", "not_judged", "added")
    print_table(header, [(k, *(str(getattr(v.counts, name)) for name in names)) for k, v in applied.items()])
    facts = total.to_dict()
    for name, found in facts.items():
        if isinstance(found, dict) and "low" in found:
            say(f"{name.replace('_', ' ')}: {interval_text(found)}", indent=2)
    say(rejected_in_words(total), indent=2)
    inform(f"by {facts['rule']}; {facts['intervals']}. {facts['caveat']}")


def _agreement_text(found: Mapping[str, Any], unit: str) -> str:
    """Say how two reviewers agree on events or seconds."""
    if found["agreement"] is None:
        return f"no {unit} judged by both"
    kappa = "undefined" if found["kappa"] is None else f"{found['kappa']:.2f}"
    return f"{100 * found['agreement']:.1f} % of {found['n']} {unit} alike, kappa {kappa}"


def _reports(path: Path, out: Path, *, annotate: bool) -> dict[str, Path]:
    """Return run reports by the names that people see; a recording without one is annotated first, or refused."""
    from restcli.io.registry import is_folder_of_one
    from restcli.output.run_report import REPORT_END
    from restcli.review.stored import find_results

    if path.is_dir() and not is_folder_of_one(path):
        found = find_results(path)
        if not found:
            raise OutputError(str(path), "holds no run reports", "a folder that restcli annotate or batch wrote to")
        return {place.relative_to(path).as_posix().removesuffix(REPORT_END): place for place in found}
    if path.name.endswith(REPORT_END):
        return {path.name.removesuffix(REPORT_END): path}
    report = out / f"{path.stem}{REPORT_END}"
    if not report.is_file() and annotate:
        _annotate(path, out)
    if not report.is_file():
        remedy = "Name the folder of its outputs with --out"
        raise OutputError(str(report), "does not exist", "the run report of this recording", remedy)
    _check_source(report, path)
    return {path.name: report}


def _sources(path: Path, pseudonyms: Path | None) -> Mapping[str, Path]:
    """Return the places of recordings by the pseudonyms of a batch."""
    if pseudonyms is None:
        return {}
    from restcli.archive.pseudonyms import read_sources
    from restcli.archive.survey import Book

    with Book(path) as book:
        return read_sources(pseudonyms, str(book.run.get("archive", "")))


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
