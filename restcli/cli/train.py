"""``restcli train``: weights from simulated or real recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

from restcli.cli import options
from restcli.cli.common import inform
from restcli.cli.display import progress_bar, state_text
from restcli.cli.exits import note, say

if TYPE_CHECKING:
    from restcli.train.settings import TrainSettings

app = typer.Typer()

_VARIANTS = "DS: one full update a second; RS: one masked update; RM: several masked updates."
_HIDDEN = "Width of the state; 32 in the paper."
_MEMBERS = "Networks side by side whose logits are averaged."
_SPLITS = "patient, or official: as the data set defines it (TUSZ)."
_FALSE_ALARMS = (
    "Most false alarms a day at the balanced point; 1.5 times as many at the sensitive, half at the specific."
)
_WARD = "Simulated 20-minute recordings, as on a ward, for choosing thresholds; 0 for none."
_RECIPE = (
    "paper: follow the paper's protocol on TUSZ and print its table beside the paper's. No weights are written; the "
    "other options that apply are --out, --seed, --device, --workers and --overwrite."
)
_FOLD = "The validation fold, counted from 0; by default the first with seizures and background on both sides."
_STEPS = "Updates of the parameters of each member."
_START_FROM = "Weights to fine-tune; they determine nodes, features and shape."


@dataclass
class Training:
    """Options for `TrainSettings`, which takes too long to import for --help."""

    panel: ClassVar = "Training"

    name: Annotated[str, typer.Option(help="Name of the weights file.")] = "rest"
    steps: Annotated[int | None, typer.Option(min=1, help=_STEPS, show_default="700; 200 with --from")] = None
    seed: Annotated[int, typer.Option(help="The same data and seed give the same bytes.")] = 0
    recordings: Annotated[int, typer.Option(min=1, help="Number of simulated recordings for a plain sim:.")] = 1200
    loss: Annotated[Literal["bce", "mse"], typer.Option(help="Loss; mse in the paper.")] = "bce"
    split: Annotated[Literal["patient", "official"], typer.Option(metavar="RULE", help=_SPLITS)] = "patient"
    folds: Annotated[int, typer.Option(min=2, help="Number of folds; one of them is for validation.")] = 5
    fold: Annotated[int | None, typer.Option(min=0, help=_FOLD, show_default=False)] = None
    false_alarms_per_day: Annotated[float, typer.Option("--false-alarms", min=0, help=_FALSE_ALARMS)] = 80.0
    ward: Annotated[int, typer.Option(min=0, help=_WARD)] = 60
    start_from: Annotated[str | None, typer.Option("--from", help=_START_FROM)] = None
    restart: Annotated[bool, typer.Option("--restart", help="Start a stopped training from the beginning.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to compute.")] = "cpu"
    workers: Annotated[int, typer.Option(min=1, help="Processes that prepare examples and train members.")] = 1


@dataclass
class Shape:
    """Options that are fields of `RestConfig`; without a choice they are those of the weights of --from."""

    panel: ClassVar = "Network"

    variant: Annotated[Literal["DS", "RS", "RM"] | None, typer.Option(help=_VARIANTS, show_default="RS")] = None
    hidden: Annotated[int | None, typer.Option(min=1, help=_HIDDEN, show_default="8")] = None
    members: Annotated[int | None, typer.Option(min=1, help=_MEMBERS, show_default="4")] = None


@app.command(epilog="Example: restcli train sim: tusz/edf --out runs")
@options.takes(chosen=Training, shape=Shape)
def train(
    data: Annotated[list[str], typer.Argument(help="sim: (simulated), or folders of recordings with expert marks.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, card, log and curves.")] = Path("runs"),
    recipe: Annotated[Literal["paper"] | None, typer.Option(help=_RECIPE, show_default=False)] = None,
    *,
    chosen: Training,
    shape: Shape,
) -> None:
    """Train weights on simulated or real recordings. No patient is on both sides of the split.

    Folders may have the layout of BIDS, TUSZ, CHB-MIT or Siena, or be plain.

    A recording without expert marks is an error; it is never taken as background.
    """
    from restcli.marks.layouts import passed_over
    from restcli.train.settings import FINE_TUNING, TrainSettings, adopt
    from restcli.train.sources import SIMULATED
    from restcli.train.training import train as run

    given = {name: value for name, value in vars(chosen).items() if name != "restart" and value is not None}
    usual = {} if chosen.start_from is None else FINE_TUNING
    settings = adopt(TrainSettings(**(usual | given), resume=not chosen.restart))
    if wanted := {name: value for name, value in vars(shape).items() if value is not None}:
        settings = replace(settings, config=replace(settings.network, **wanted))
    if recipe == "paper":
        from restcli.train.paper import reproduce

        with progress_bar("train") as bar:
            place = reproduce(data, out, settings, on_progress=bar or _log)
        for line in place.read_text(encoding="utf-8").split("\n\n")[0].splitlines():
            say(line)
        inform(f"details, and differences from the paper: {place}")
        return
    for folder in (item for item in data if not item.startswith(SIMULATED)):
        for line in passed_over(folder):
            note(line)
    members = f" ({settings.network.members} members x {settings.steps} steps)" if settings.network.members > 1 else ""
    with _hint_to_resume(out, settings), progress_bar(f"train{members}") as bar:
        result = run(data, out, settings, on_progress=bar or _log, on_resume=lambda text: inform(f"restcli: {text}"))
    say(str(result.path))
    for line in result.warnings:
        note(f"WARNING: {line}")
    inform(f"card: {result.card}  log: {result.log}  ({result.seconds:.0f} s of training)")


def _log(done: float, total: float, state: Mapping[str, float]) -> None:
    if int(done) % max(1, int(total) // 10) == 0:
        what = f"steps of all members  {state_text(state)}" if state else "recordings prepared"
        inform(f"{int(done)}/{int(total)} {what}")


@contextmanager
def _hint_to_resume(out: Path, settings: TrainSettings) -> Iterator[None]:
    """Say how to continue a training that was stopped, if one of its members has left a checkpoint."""
    from restcli.train.loop import checkpoint_path

    try:
        yield
    except BaseException:
        members = range(settings.network.members)
        if any(checkpoint_path(out, settings.of_member(k)).exists() for k in members):
            restart = "" if settings.resume else " without --restart"
            note(f"stopped before the end: the same command{restart} continues from the last validation")
        raise
