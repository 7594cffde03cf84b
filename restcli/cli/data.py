"""``restcli data``: what a folder of recordings and expert marks holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restcli.cli import options
from restcli.cli.display import print_json, print_table
from restcli.cli.exits import note, say
from restcli.errors import RestError
from restcli.text import count, duration_in_words

if TYPE_CHECKING:
    from restcli.train.check import Inventory

app = typer.Typer(name="data", no_args_is_help=True)

_MOST_PROBLEMS = 50


@app.callback()
def _data() -> None:
    """Check a folder of recordings with expert marks: restcli data check FOLDER."""


@app.command(epilog="Example: restcli data check tusz/edf")
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of recordings with expert marks.", show_default=False)],
    as_json: options.Json = False,
) -> None:
    """Print what train and evaluate would read from a folder, and what is wrong with it; nothing is computed.

    docs/data.md describes the layouts. Exit code: 0 everything can be used; 3 there are problems.
    """
    from restcli.train.check import take_inventory

    inventory = take_inventory(folder)
    if as_json:
        print_json(inventory.to_dict())
    else:
        _print(inventory)
    if inventory.problems:
        raise typer.Exit(RestError.exit_code)


def _print(inventory: Inventory) -> None:
    """Print the verdict first, then tables, then problems and remarks on stderr."""
    found = inventory.found
    seizures = [seconds for each in found for _, seconds in each.seizures]
    hours = duration_in_words(sum(each.seconds for each in found))
    read = (
        f"{count(len(found), 'recording')} of {count(len({each.patient for each in found}), 'patient')}, "
        f"{count(len(seizures), 'seizure')} ({duration_in_words(sum(seizures))}) in {hours} of EEG"
    )
    verdict = f"not usable: {count(len(inventory.problems), 'problem')}; without them, " if inventory.problems else ""
    say(f"{verdict or 'usable: '}{read}", indent=0)
    if rows := inventory.rows():
        cells = [(name, *map(str, numbers), f"{length:.2f}") for name, *numbers, length in rows]
        print_table(("layout", "recordings", "patients", "seizures", "hours"), cells)
    if types := inventory.types():
        print_table(("type", "seizures", "seconds"), [(name, str(n), f"{length:.0f}") for name, n, length in types])
    if ignored := inventory.ignored():
        listed = ", ".join(f"{kind} in {n}" for kind, n in ignored.items())
        say(f"ignored, not about seizures: {listed}", indent=2)
    if unscored := sum(each.unscored for each in found):
        say(f"not judged by an expert: {duration_in_words(unscored)}", indent=2)
    for line in inventory.problems[:_MOST_PROBLEMS]:
        note(f"problem: {line}")
    if len(inventory.problems) > _MOST_PROBLEMS:
        note(f"and {len(inventory.problems) - _MOST_PROBLEMS} more; --json prints all")
    for line in [*inventory.left_out, *inventory.remarks]:
        note(line)
