"""``restcli simulate``: recordings with known seizures."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from restcli.cli.common import inform
from restcli.cli.display import progress_bar
from restcli.cli.exits import Stopped, note, say
from restcli.text import count

if TYPE_CHECKING:
    from restcli.simulate import profiles as simulated

app = typer.Typer()
Profile = Literal["training", "ward"]


@app.command(epilog="Example: restcli simulate sim --hours 2 --seed 1")
def simulate(
    out: Annotated[Path, typer.Argument(help="New or empty folder for the BIDS data set.")],
    recordings: Annotated[int, typer.Option("--recordings", "-n", min=1, help="How many, one person each.")] = 10,
    hours: Annotated[float, typer.Option(help="Length of each recording, at least a minute.")] = 0.5,
    seizures_per_day: Annotated[float, typer.Option("--seizures", min=0, max=2000, help="Mean number in 24 h.")] = 24.0,
    profile: Annotated[
        Profile,
        typer.Option(help="How often states, artefacts and mimics occur: as in training (dense), or as on a ward."),
    ] = "training",
    seed: Annotated[int, typer.Option(help="The same options and seed give the same bytes.")] = 0,
    plot: Annotated[int, typer.Option(min=0, help="Number of example pages to draw.")] = 0,
    realism: Annotated[
        Path | None,
        typer.Option(help="Folder of real recordings with marks: write to OUT how simulated EEG differs from it."),
    ] = None,
) -> None:
    """Write simulated recordings with known seizures as a BIDS-EEG data set."""
    from restcli.simulate.bids import DatasetSettings, write_dataset
    from restcli.simulate.profiles import PROFILES

    if realism is not None:
        _measure_realism(out, realism, PROFILES[profile])
        return
    settings = DatasetSettings(recordings, hours, seizures_per_day, seed, PROFILES[profile])
    try:
        with progress_bar("simulate") as on_progress:
            written = write_dataset(out, settings, on_progress=on_progress)
    except Stopped:
        note(f"restcli: the data set in {out} is incomplete")
        raise
    if plot:
        from restcli.output.plots.simulated import save_pages

        save_pages(written, out / "pages", count=plot)
    say(str(out))
    inform(f"{count(len(written), 'recording')} of {hours:g} h")


def _measure_realism(out: Path, folder: Path, profile: simulated.Profile) -> None:
    """Write ``realism.json`` and ``realism.md``, and print the latter."""
    from restcli.files import make_empty_folder, write_atomically
    from restcli.simulate.draw import SimulateOptions
    from restcli.simulate.realism import measure

    make_empty_folder(out)
    with progress_bar("simulate") as on_progress:
        found = measure(folder, SimulateOptions(profile=profile), on_progress=on_progress)
    write_atomically(out / "realism.json", json.dumps(asdict(found), indent=1) + "\n")
    write_atomically(out / "realism.md", found.to_text())
    for line in found.to_text().splitlines():
        say(line)
