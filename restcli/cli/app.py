"""The command line: ``restcli COMMAND``. Commands import what they need when they run, so that help is quick."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer

from restcli import __version__
from restcli.cli import common, exits

# In the order of --help; each is a module of this package with an `app`.
COMMANDS = (
    "demo annotate info batch live review recalibrate evaluate data train simulate convert film szcore export formats"
)

app = typer.Typer(
    name="restcli",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some recordings failed, 2 wrong usage, 3 an input cannot be used, "
    "70 a bug in restcli, 128 + n stopped by signal n.",
)
for name in COMMANDS.split():
    group: Any = import_module(f"restcli.cli.{name}").app
    for each in group.registered_commands:
        each.callback = common.with_common(each.callback)
    app.add_typer(group)


def main() -> None:
    """Run the command line and leave with its exit code."""
    # What libraries say is for programmers: what matters of it, restcli says in its own words.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
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
