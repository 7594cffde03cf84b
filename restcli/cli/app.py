"""The command line: ``restcli COMMAND``. Commands import what they need when they run, so that help is quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from restcli import __version__
from restcli.cli import (
    annotate,
    batch,
    common,
    convert,
    data,
    demo,
    evaluate,
    exits,
    export,
    film,
    formats,
    info,
    live,
    recalibrate,
    review,
    simulate,
    szcore,
    train,
)

COMMANDS = (
    demo,
    annotate,
    info,
    batch,
    live,
    review,
    recalibrate,
    evaluate,
    data,
    train,
    simulate,
    convert,
    film,
    szcore,
    export,
    formats,
)  # in the order of --help; each has an `app`

app = typer.Typer(
    name="restcli",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some recordings failed, 2 wrong usage, 3 an input cannot be used, "
    "70 a bug in restcli, 128 + n stopped by signal n.",
)
for module in COMMANDS:
    groups = [module.app, *(group.typer_instance for group in module.app.registered_groups)]
    common.give_all(each for group in groups if group is not None for each in group.registered_commands)
    app.add_typer(module.app)


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(exits.run(app))


def _version(wanted: bool) -> None:
    if wanted:
        exits.say(f"restcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find seizures in EEG recordings with REST."""
