"""``restcli train``: weights from simulated or real recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from restcli.cli.display import training_progress
from restcli.cli.exits import note, say

if TYPE_CHECKING:
    from restcli.train.settings import TrainSettings

app = typer.Typer()


@app.command()
def train(
    data: Annotated[
        list[str],
        typer.Argument(help="sim: (simulated), or folders in BIDS, TUSZ, CHB-MIT, Siena or plain layout."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, card, log and curves.")] = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="Name of the weights file.")] = "rest",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Updates of the parameters of each member.")] = 700,
    seed: Annotated[int, typer.Option("--seed", help="The same data and seed give the same bytes.")] = 0,
    recordings: Annotated[
        int, typer.Option("--recordings", min=1, help="Number of recordings that a plain sim: stands for.")
    ] = 1200,
    variant: Annotated[
        Literal["DS", "RS", "RM"] | None,
        typer.Option(
            "--variant",
            help="DS: one full update a second; RS (default): one masked update; RM: several masked updates.",
        ),
    ] = None,
    hidden: Annotated[
        int | None, typer.Option("--hidden", min=1, help="Width of the state; 8 by default, 32 in the paper.")
    ] = None,
    members: Annotated[
        int | None,
        typer.Option("--members", min=1, help="Networks side by side whose logits are averaged; 4 by default."),
    ] = None,
    loss: Annotated[Literal["bce", "mse"], typer.Option("--loss", help="Loss; mse in the paper.")] = "bce",
    split: Annotated[
        Literal["patient", "official"],
        typer.Option("--split", help="Split by patient, or as the data set defines it (TUSZ)."),
    ] = "patient",
    folds: Annotated[int, typer.Option("--folds", min=2, help="Number of folds, of which one is for validation.")] = 5,
    fold: Annotated[int, typer.Option("--fold", min=0, help="The fold for validation, counted from 0.")] = 0,
    false_alarms: Annotated[
        float,
        typer.Option(
            "--false-alarms-per-day", min=0, help="Most false alarms a day on validation data; sets the threshold."
        ),
    ] = 12.0,
    start_from: Annotated[
        str | None, typer.Option("--from", help="Weights to fine-tune; nodes, features and shape are theirs.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--restart", help="Continue an interrupted training, or start again.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace weights of the same name.")] = False,
    device: Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")] = "cpu",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that prepare examples.")] = 1,
) -> None:
    """Train weights on simulated or real recordings. No patient is on both sides of the split.

    A recording without expert marks is an error; it is never taken as background.
    """
    from dataclasses import replace

    from restcli.train.settings import TrainSettings, adopt
    from restcli.train.training import train as run

    settings = TrainSettings(
        seed=seed,
        steps=steps,
        recordings=recordings,
        loss=loss,
        split=split,
        folds=folds,
        fold=fold,
        false_alarms_per_day=false_alarms,
        start_from=start_from,
        resume=resume,
        overwrite=overwrite,
        device=device,
        workers=workers,
        name=name,
    )
    settings = adopt(settings)
    shape = {"variant": variant, "hidden": hidden, "members": members}
    if given := {key: value for key, value in shape.items() if value is not None}:
        settings = replace(settings, config=replace(settings.network, **given))  # type: ignore[arg-type]
    with _hint_to_resume(out, settings), training_progress(settings.steps) as on_progress:
        result = run(data, out, settings, on_progress=on_progress)
    say(str(result.path))
    note(f"card: {result.card}  log: {result.log}  ({result.seconds:.0f} s of training)")


@contextmanager
def _hint_to_resume(out: Path, settings: TrainSettings) -> Iterator[None]:
    """Say how to continue a training that was stopped, if one of its members has left a checkpoint."""
    from restcli.train.loop import checkpoint_path

    try:
        yield
    except BaseException:
        members = range(settings.network.members)
        if any(checkpoint_path(out, settings.of_member(k)).exists() for k in members):
            command = "the same command" + ("" if settings.resume else " without --restart")
            note(f"stopped before the end: {command} continues from the last validation")
        raise
