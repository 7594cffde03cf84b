"""``restcli film``: an event as a film of the nodes deciding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from restcli.cli import options
from restcli.cli.display import progress_bar
from restcli.cli.exits import say

app = typer.Typer()


@app.command(epilog="Example: restcli film patient.edf --event 2")
def film(
    recording: Annotated[Path, typer.Argument(help="A recording.", show_default=False)],
    event: Annotated[int, typer.Option(min=1, help="Number of the event, as annotate counts them.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The film, .mp4 (through ffmpeg) or .gif; RECORDING_eventNN by default."),
    ] = None,
    weights: options.Weights = options.DEFAULT_WEIGHTS,
    threshold: options.Threshold = None,
    channel_map: options.ChannelMap = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Film an event: the probability at each node on the head, above the traces, from 10 s before onset to its end."""
    from restcli.files import check_free
    from restcli.output.film import check_film, film_kind, write_film

    path = out or Path(f"{recording.stem}_event{event:02d}{film_kind()}")
    check_film(path)
    check_free([path], overwrite=overwrite)
    from restcli.detect.detector import annotate
    from restcli.io.registry import open_recording

    settings = options.read_settings(weights=weights, threshold=threshold, channel_map=channel_map)
    with progress_bar(recording.name) as on_progress:
        result = annotate(open_recording(recording), settings, on_progress=on_progress)
    say(str(write_film(result, event, path)))
