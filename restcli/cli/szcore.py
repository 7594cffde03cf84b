"""``restcli szcore``: what a container of the SzCORE benchmark runs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restcli.cli import options
from restcli.cli.exits import note
from restcli.errors import UsageError
from restcli.text import percent

if TYPE_CHECKING:
    from restcli.events import Events

app = typer.Typer()


@app.command(epilog="Example: restcli szcore --input patient.edf --output patient.tsv")
def szcore(
    recording: Annotated[str, typer.Option("--input", envvar="INPUT", help="The recording, below --data.")] = "",
    table: Annotated[str, typer.Option("--output", envvar="OUTPUT", help="The table of events, below --into.")] = "",
    data: Annotated[Path, typer.Option(help="Folder of recordings.")] = Path("/data"),
    into: Annotated[Path, typer.Option(help="Folder of tables.")] = Path("/output"),
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    threshold: options.Threshold = None,
) -> None:
    """Annotate one recording as SzCORE's containers do: INPUT below /data, the table of events to OUTPUT below /output.

    Nothing else is written. If the recording cannot be used, there is no table and the exit code is 3.
    """
    for name, given in (("INPUT", recording), ("OUTPUT", table)):
        if not given:
            raise UsageError(name, "is not set", "the name of a file", f"Run the container with -e {name}=...")
    from restcli.detect.detector import annotate
    from restcli.detect.settings import Settings
    from restcli.io.registry import open_recording
    from restcli.marks.registry import WRITABLE
    from restcli.output.bundle import check_no_recording

    settings = Settings(weights=weights, threshold=threshold, device="cpu")
    check_no_recording(into / table)
    result = annotate(open_recording(data / recording), settings)
    form = WRITABLE["tsv"]
    assert form.write is not None
    _write(into / table, form.write(_in_centiseconds(result.events), Path(table).stem))
    if result.scores.scored < 1:
        note(f"restcli: {percent(result.scores.scored)} of {recording} was scored; the table format cannot show this")


def _in_centiseconds(events: Events) -> Events:
    """Round the length of a recording as the tables of the benchmark do, which drops tables of another length."""
    duration = round(events.duration, 2)
    kept = [replace(event, duration=min(event.stop, duration) - event.onset) for event in events]
    return replace(events, events=tuple(kept), duration=duration)


def _write(path: Path, content: bytes) -> None:
    """Write a table whole; into an existing file where its folder may not be written to, as in the benchmark."""
    from restcli.files import make_folder, not_written, write_atomically

    if path.is_file() and not os.access(path.parent, os.W_OK):
        try:
            path.write_bytes(content)
        except OSError as error:
            raise not_written(path, error) from error
    else:
        make_folder(path.parent)
        write_atomically(path, content)
