"""``restcli recalibrate``: a threshold for one ward, from the verdicts of its reviewers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from restcli.cli import options
from restcli.cli.common import inform
from restcli.cli.display import print_json
from restcli.cli.exits import note, say
from restcli.errors import UsageError

app = typer.Typer()


@app.command(epilog="Example: restcli recalibrate rest-default results --name rest-ward")
def recalibrate(
    weights: Annotated[str, typer.Argument(help="Name of shipped weights, or path of a weights file.")],
    reviewed: Annotated[list[Path], typer.Argument(help="Folders with outputs and verdicts.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the new weights and their card.")] = Path(),
    name: Annotated[str | None, typer.Option(help="Name of the new weights.", show_default="WEIGHTS-ward")] = None,
    false_alarms_per_day: Annotated[
        float, typer.Option("--false-alarms", min=0.01, help="Most false alarms a day; sets the threshold.")
    ] = 12.0,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Set threshold and calibration from verdicts on what the weights found; the network stays as it is.

    It refuses when there are too few verdicts.
    """
    from restcli.files import check_free, check_stem
    from restcli.nn.weights import load_weights
    from restcli.review.agreement import interval_text
    from restcli.review.journal import journal_of
    from restcli.review.recalibrate import recalibrate as run
    from restcli.review.stored import read_result

    if not math.isfinite(false_alarms_per_day):
        raise UsageError("--false-alarms", f"{false_alarms_per_day}", "a number of false alarms a day")
    loaded = load_weights(weights)
    chosen = f"{loaded.name}-ward" if name is None else name
    check_stem("--name", chosen)
    check_free((out / f"{chosen}{end}" for end in (".safetensors", ".md")), overwrite=overwrite)
    reports = {path.resolve(): path for place in reviewed for path in _reports_in(place)}  # each once
    judged = [read_result(path) for path in reports.values() if journal_of(path).exists()]
    done = run(loaded, judged, per_day=false_alarms_per_day, out=out, name=chosen)
    if as_json:
        print_json({"weights": str(done.path), "card": str(done.card), **done.facts, "notes": list(done.notes)})
        return
    say(str(done.path))
    facts = done.facts
    inform(
        f"{facts['verdicts']} verdicts, {facts['seizures']} confirmed seizures, {facts['scored_hours']:.1f} h; "
        f"threshold {facts['threshold']:g} (before: {facts['threshold_before']:g})"
    )
    inform(f"expected false alarms a day: {interval_text(facts['false_alarms_per_day'])}")
    inform(f"expected sensitivity: {interval_text(facts['sensitivity'])}")
    for line in done.notes:
        note(line)
    inform(f"card: {done.card}")


def _reports_in(place: Path) -> tuple[Path, ...]:
    from restcli.review.stored import find_results

    if not place.exists():
        raise UsageError(str(place), "does not exist", "a folder with outputs and verdicts, or a run report")
    return find_results(place) if place.is_dir() else (place,)
