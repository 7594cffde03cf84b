"""Options that several commands share; each is defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from restcli.detect.settings import Settings

DEFAULT_WEIGHTS = "rest-default"

Recording = Annotated[
    list[Path], typer.Argument(help="EDF, BDF or other EEG recordings.", show_default=False, readable=False)
]
Weights = Annotated[
    str, typer.Option("--weights", "-w", help="Name of shipped weights, or path of a weights file (.safetensors).")
]
Step = Annotated[int, typer.Option("--step", min=1, help="Seconds between scores.")]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", min=0, max=1, help="Probability that an event must reach. [default: the weights' own]"),
]
Passes = Annotated[
    int,
    typer.Option("--passes", min=0, help="Masked passes that give an interval around each probability; 0 for none."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the masked passes.")]
AllowMissing = Annotated[
    int | None,
    typer.Option(
        "--allow-missing", min=0, help="Nodes that may be missing from the recording. [default: the weights' own]"
    ),
]
ChannelMap = Annotated[
    Path | None,
    typer.Option("--channel-map", help='TOML file with a line for each channel: "their label" = "our name".'),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option("--device", help="Where to compute; auto takes a GPU that is as exact."),
]
Format = Annotated[
    str, typer.Option("--format", "-f", help="Event tables to write, comma-separated: tsv,csv_bi,edf,xml,csv,json.")
]
Plot = Annotated[Literal["png", "pdf", "none"], typer.Option("--plot", help="Format of the pictures.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]


def read_settings(*, channel_map: Path | None, **chosen: Any) -> Settings:
    """Return the settings that the options of a command ask for."""
    from restcli.detect.settings import Settings, read_channel_map

    return Settings(channel_map=read_channel_map(channel_map), **chosen)


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated option."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
