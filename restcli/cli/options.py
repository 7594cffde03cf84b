"""Options that several commands share; each is defined once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_type_hints

import typer
from typer.core import TyperGroup

from restcli.output.pictures import PICTURES

if TYPE_CHECKING:
    from restcli.detect.settings import Settings

OUTPUTS = "Outputs"  # heading of options in --help
DEFAULT_WEIGHTS = "rest-default"
_OWN = "the weights' own"


def output(*names: str, **look: Any) -> Any:
    """Declare an option below the heading of outputs."""
    return typer.Option(*names, rich_help_panel=OUTPUTS, **look)


Weights = Annotated[str, typer.Option("--weights", "-w", help="Name of shipped weights, or path of a weights file.")]
Step = Annotated[int, typer.Option(min=1, help="Seconds between scores.")]
_THRESHOLD_HELP = "Probability that an event must reach, above 0 and at most 1."
Threshold = Annotated[float | None, typer.Option(help=_THRESHOLD_HELP, show_default="that of --sensitivity")]


def _instead_of_the_files(context: typer.Context, chosen: str) -> str:
    """Let an operating point that was typed take the place of the threshold of a settings file."""
    if given_among(context, {"sensitivity"}) and context.default_map:
        context.default_map = {name: value for name, value in context.default_map.items() if name != "threshold"}
    return chosen


Sensitivity = Annotated[
    Literal["sensitive", "balanced", "specific"],
    typer.Option(
        callback=_instead_of_the_files,
        metavar="POINT",  # names that together are too wide for a narrow terminal are listed in the help
        help="Operating point of the weights: sensitive, balanced or specific; see restcli info WEIGHTS.",
    ),
]
Types = Annotated[bool, typer.Option("--types", help="Experimental: also read out the type of each seizure.")]
Passes = Annotated[int, typer.Option(min=0, help="Masked passes for an interval around each probability; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Seed of the masked passes.")]
AllowMissing = Annotated[int | None, typer.Option(min=0, help="Nodes that a recording may lack.", show_default=_OWN)]
ChannelMap = Annotated[Path | None, typer.Option(help='TOML file, one line for each channel: "their label" = "F3".')]
Device = Annotated[
    Literal["cpu", "cuda"],
    typer.Option(help="Where the network computes. A GPU takes longer to start than it saves."),
]
Threads = Annotated[
    int, typer.Option(min=0, help="Number of threads; 0 for one per processor, at most four, one in each worker.")
]
Format = Annotated[str, output("--format", "-f", help="Event tables, comma-separated; see restcli formats.")]
_PLOT_HELP = f"Format of the pictures: {'; '.join(PICTURES.values())}."
Plot = Annotated[Literal["png", "pdf", "none"], output(help=_PLOT_HELP)]
_PSEUDONYMS_HELP = 'TOML file, one line for each recording: "name.edf" = "p017". Outputs contain only the pseudonym.'
Pseudonyms = Annotated[Path | None, output(help=_PSEUDONYMS_HELP)]
Overwrite = Annotated[bool, output("--overwrite", help="Replace existing files.")]
Json = Annotated[bool, output("--json", help="Print JSON on stdout instead of a table.")]


@dataclass
class DetectionOptions:
    """Options of annotate, batch and evaluate; each is the field of `Settings` with its name."""

    panel: ClassVar = "Detection"

    step: Step = 1
    threshold: Threshold = None
    sensitivity: Sensitivity = "balanced"
    allow_missing: AllowMissing = None
    channel_map: ChannelMap = None
    device: Device = "cpu"
    threads: Threads = 0


@dataclass
class AnnotationOptions(DetectionOptions):
    """Options of the commands that annotate, which choose every field of `Settings`."""

    weights: Weights = DEFAULT_WEIGHTS
    types: Types = False
    passes: Passes = 0
    seed: Seed = 0


def takes(**groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of dataclasses as options, below the heading `panel` of each in its --help."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        parameters = [each for each in signature(command, eval_str=True).parameters.values() if each.name not in groups]
        for parameter in parameters:
            _call_numbers_n(parameter.annotation)
        for group in groups.values():
            hints = get_type_hints(group, include_extras=True)
            for each in fields(group):
                option = hints[each.name].__metadata__[0]
                _call_numbers_n(hints[each.name])
                option.rich_help_panel = option.rich_help_panel or getattr(group, "panel", None)
            parameters += [
                Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
                for each in fields(group)
            ]

        @wraps(command)
        def run(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{each.name: given.pop(each.name) for each in fields(group)})
            command(**given)

        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _call_numbers_n(annotation: Any) -> None:
    """Let --help say N instead of FLOAT RANGE, which leaves no room for names of options in a narrow terminal."""
    kind, *described = get_args(annotation) or (annotation,)
    if described and set(get_args(kind) or (kind,)) <= {int, float, NoneType}:
        described[0].metavar = described[0].metavar or "N"


def runs_by_default(command: str) -> type[TyperGroup]:
    """Return a group of commands in which one need not be named: ``batch ARCHIVE OUT`` is ``batch run ARCHIVE OUT``."""

    class RunsByDefault(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
                args = [command, *args]
            return super().parse_args(ctx, args)

    return RunsByDefault


def read_settings(*, channel_map: Path | None, **chosen: Any) -> Settings:
    """Return the settings that the options of a command ask for."""
    from restcli.detect.settings import Settings, read_channel_map

    return Settings(channel_map=read_channel_map(channel_map), **chosen)


def given_among(context: typer.Context, names: Collection[str]) -> str:
    """Return the first of some options that was typed on the command line, as it is typed; empty if none was."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            return max(parameter.opts, key=len)
    return ""


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated option."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
