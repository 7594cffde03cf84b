"""Options that several commands share; each is defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from restcli.output.pictures import PICTURES

if TYPE_CHECKING:
    from restcli.detect.settings import Settings

DEFAULT_WEIGHTS = "rest-default"
_OWN = "the weights' own"

Weights = Annotated[str, typer.Option("--weights", "-w", help="Name of shipped weights, or path of a weights file.")]
Step = Annotated[int, typer.Option(min=1, help="Seconds between scores.")]
Threshold = Annotated[
    float | None, typer.Option(min=0, max=1, help="Probability that an event must reach.", show_default=_OWN)
]
Passes = Annotated[int, typer.Option(min=0, help="Masked passes for an interval around each probability; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Seed of the masked passes.")]
AllowMissing = Annotated[int | None, typer.Option(min=0, help="Nodes that a recording may lack.", show_default=_OWN)]
ChannelMap = Annotated[Path | None, typer.Option(help='TOML file, one line for each channel: "their label" = "F3".')]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes a GPU if it can.")]
Format = Annotated[
    str, typer.Option("--format", "-f", help="Event tables, comma-separated: tsv, csv_bi, edf, xml, csv, json.")
]
_PLOT_HELP = f"Format of the pictures: {'; '.join(PICTURES.values())}."
Plot = Annotated[Literal["png", "pdf", "none"], typer.Option(help=_PLOT_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]


def read_settings(*, channel_map: Path | None, **chosen: Any) -> Settings:
    """Return the settings that the options of a command ask for."""
    from restcli.detect.settings import Settings, read_channel_map

    return Settings(channel_map=read_channel_map(channel_map), **chosen)


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated option."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
