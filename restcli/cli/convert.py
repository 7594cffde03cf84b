"""``restcli convert``: any recording as EDF+ without patient data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restcli.cli import options
from restcli.cli.common import inform
from restcli.cli.display import print_json
from restcli.cli.exits import note
from restcli.errors import UsageError

app = typer.Typer()


@app.command(epilog="Example: restcli convert patient.nk patient.edf")
def convert(
    recording: Annotated[Path, typer.Argument(help="A recording in any format that restcli reads.")],
    out: Annotated[Path, typer.Argument(help="The EDF+ file to write: NAME.edf.")],
    events: Annotated[Path | None, typer.Option(help="Table of events to write into the file as annotations.")] = None,
    keep_date: Annotated[bool, typer.Option("--keep-date", help="Keep the date, not only the time of day.")] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write a recording as EDF+ (EDF+D if it has gaps) without name, birth date or other fields of its header.

    The time of day is kept; the date only with --keep-date. Labels of channels and the texts of --events are copied.
    """
    from restcli.files import check_free
    from restcli.io.registry import files_of, open_recording
    from restcli.marks.registry import read_events
    from restcli.output.edf import write_edf

    if out.suffix.lower() != ".edf":
        raise UsageError("OUT", f"{out} does not end in .edf", "the name of an EDF file")
    source = open_recording(recording)
    if out.exists() and any(out.samefile(file) for file in files_of(recording)):
        raise UsageError(str(out), "is a file of the recording itself", remedy="Choose another name")
    check_free([out], overwrite=overwrite)
    marks = None if events is None else read_events(events, duration=source.duration, start=source.clock)
    remarks = [f"repaired: {repair}" for repair in source.repairs]
    remarks += write_edf(source, out, marks, keep_date=keep_date)
    if as_json:
        n_events = None if marks is None else len(marks)
        print_json({"recording": str(recording), "written": str(out), "events": n_events, "remarks": remarks})
        return
    for line in remarks:
        note(line)
    inform(f"written: {out}; check labels and annotations for names before you pass it on")
