"""``restcli demo``: the shipped example, annotated."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from restcli.cli import options
from restcli.cli.annotate import Job
from restcli.cli.common import inform
from restcli.cli.exits import DONE, check_stdout, say
from restcli.text import count, elapsed

app = typer.Typer()


@app.command(epilog="Example: restcli demo --out demo")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the outputs.")] = Path("demo"),
) -> None:
    """Annotate the shipped example, three minutes of EEG with three absence seizures, and say what to do next."""
    from restcli.files import shipped
    from restcli.marks.registry import read_events

    check_stdout()
    recording = shipped("examples") / "absence.edf"
    inform(f"Annotating {recording}: three minutes of EEG of a child with absence seizures.")
    writing = {"formats": ("tsv",), "plot": "png", "overwrite": False}
    code = Job(options.read_settings(channel_map=None), out, writing, as_json=False, profile=False).run([recording])
    marks = read_events(recording.with_name("absence_expert.tsv"))
    times = ", ".join(elapsed(mark.onset) for mark in marks)
    say("")
    say(f"A technologist marked {count(len(marks), 'seizure')}: at {times}.")
    program = program_name()
    overview = out / "absence_overview.png"
    say("")
    say(f"Look at {overview}, then judge the events in the browser, or annotate a recording of your own:", indent=0)
    say("")
    say(f"    {program} review {out}")
    say(f"    {program} annotate patient.edf")
    if code != DONE:
        raise typer.Exit(code)


def program_name() -> str:
    """Return what to type to run this program again: its name, or its path where the name would not be found."""
    started = Path(sys.argv[0])
    found = shutil.which("restcli")
    if started.name.startswith("restcli") and not (found and started.exists() and Path(found).samefile(started)):
        return os.path.relpath(started) if started.exists() else "restcli"
    return "restcli"
