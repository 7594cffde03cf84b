"""What people meet when they teach and test: the commands simulate, train and evaluate; no algorithms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restcli.cli.display import console, progress_bar
from restcli.errors import UsageError

if TYPE_CHECKING:
    from restcli.evaluation.report import Evaluation
    from restcli.output.plots.pages import Strip
    from restcli.train.loop import TrainSettings

VARIANTS_HELP = "DS one full update a second, RS one masked update, RM several masked updates."


def simulate(
    out: Annotated[Path, typer.Argument(help="New or empty folder for the BIDS data set.")],
    recordings: Annotated[int, typer.Option("--recordings", "-n", help="How many, each of another person.")] = 10,
    hours: Annotated[float, typer.Option("--hours", help="Length of each recording.")] = 0.5,
    seizures_per_day: Annotated[float, typer.Option("--seizures-per-day", help="Mean number in 24 h.")] = 24.0,
    seed: Annotated[int, typer.Option("--seed", help="Same options and seed, same bytes.")] = 0,
    plot: Annotated[int, typer.Option("--plot", help="How many pages of the first recordings to draw.")] = 0,
) -> None:
    """Write simulated recordings with known seizures as a BIDS-EEG data set."""
    from restcli.simulate.bids import DatasetPlan, write_dataset

    plan = DatasetPlan(recordings=recordings, hours=hours, seizures_per_day=seizures_per_day, seed=seed)
    with progress_bar("simulate") as on_progress:
        written = write_dataset(out, plan, on_progress=on_progress)
    if plot > 0:
        _draw_simulated(out / "pages", plot, seed)
    typer.echo(f"{out}")
    typer.echo(f"{len(written)} recordings of {hours:g} h", err=True)


def _draw_simulated(folder: Path, n_pages: int, seed: int) -> None:
    """Draw pages of recordings of two minutes, to look at what the simulator makes."""
    from restcli.output.plots.pages import save_figure
    from restcli.output.plots.simulated import pages
    from restcli.simulate.draw import draw

    folder.mkdir(exist_ok=True)
    for number in range(n_pages):
        figure = pages(draw(seed + number), count=1)[0]
        save_figure(figure, folder / f"page{number + 1:02d}.png")


def train(
    data: Annotated[
        list[str], typer.Argument(help="sim: (simulated), or folders in BIDS, TUSZ, CHB-MIT, Siena or plain layout.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for weights, card, log and curves.")] = Path("runs"),
    name: Annotated[str, typer.Option("--name", help="Name of the weights file.")] = "rest",
    steps: Annotated[int, typer.Option("--steps", help="Updates of the parameters of each member.")] = 700,
    seed: Annotated[int, typer.Option("--seed", help="Same data and seed, same bytes.")] = 0,
    recordings: Annotated[int, typer.Option("--recordings", help="How many a plain sim: stands for.")] = 1200,
    variant: Annotated[str, typer.Option("--variant", help=VARIANTS_HELP)] = "RS",
    hidden: Annotated[int, typer.Option("--hidden", help="Width of the state; 32 in the paper.")] = 8,
    members: Annotated[int, typer.Option("--members", help="Networks side by side, logits averaged.")] = 4,
    loss: Annotated[str, typer.Option("--loss", help="bce, or mse as in the paper.")] = "bce",
    split: Annotated[str, typer.Option("--split", help="patient, or official (TUSZ).")] = "patient",
    folds: Annotated[int, typer.Option("--folds", help="One fold of this many validates.")] = 5,
    fold: Annotated[int, typer.Option("--fold", help="Which one.")] = 0,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms-per-day", help="At most this many on validation: sets the threshold.")
    ] = 12.0,
    start_from: Annotated[str | None, typer.Option("--from", help="Weights to fine-tune.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--restart", help="The same command goes on after an interruption.")
    ] = True,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    workers: Annotated[int, typer.Option("--workers", help="Processes that prepare examples.")] = 1,
) -> None:
    """Train weights on simulated or real recordings; patients never stand on both sides of the split.

    A recording without marks is an error, never background.
    """
    from dataclasses import replace

    from restcli.nn.config import RestConfig
    from restcli.train.loop import TrainSettings
    from restcli.train.loop import train as run

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
        device=device,
        workers=workers,
        name=name,
    )
    shape = vars(settings.network) | {"variant": variant, "hidden": hidden, "members": members}
    settings = replace(settings, config=RestConfig(**shape))
    with _way_on_told(out, settings), learning_display(settings) as on_progress:
        result = run(data, out, settings, on_progress=on_progress)
    typer.echo(f"{result.path}")
    typer.echo(f"card: {result.card}  log: {result.log}  ({result.seconds:.0f} s of training)", err=True)


@contextmanager
def _way_on_told(out: Path, settings: TrainSettings) -> Iterator[None]:
    """Say how to go on when a training is stopped, if one of its members has left a checkpoint."""
    from dataclasses import replace

    from restcli.train.loop import checkpoint_path

    try:
        yield
    except BaseException:
        members = range(settings.network.members)
        if any(checkpoint_path(out, replace(settings, member=k)).exists() for k in members):
            command = "the same command" + ("" if settings.resume else " without --restart")
            typer.echo(f"stopped before the end: {command} goes on from the last validation", err=True)
        raise


@contextmanager
def learning_display(settings: TrainSettings) -> Iterator[Any]:
    """Show what is prepared, then loss, AUROC and time left, when stderr is a terminal; else a line now and then."""
    terminal = console(err=True)
    if not terminal.is_terminal:
        yield _plain_progress
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=terminal) as bar:
        preparing = bar.add_task("examples", total=None, state="")
        training = bar.add_task("training", total=settings.steps, state="")

        def on_progress(done: float, total: float, state: Mapping[str, float]) -> None:
            if state:
                text = "  ".join(f"{key} {value:.3f}" for key, value in state.items() if value == value)
                bar.update(training, completed=done, total=total, state=text)
            else:
                bar.update(preparing, completed=done, total=total)

        yield on_progress


def _plain_progress(done: float, total: float, state: Mapping[str, float]) -> None:
    """Print a line for a log every tenth of the way."""
    if int(done) % max(1, int(total) // 10) == 0:
        told = "  ".join(f"{key} {value:.3f}" for key, value in state.items() if value == value) or "examples"
        typer.echo(f"{int(done)}/{int(total)}  {told}", err=True)


def evaluate(
    expert: Annotated[Path, typer.Argument(help="Expert marks (file or folder); with --weights, a data folder.")],
    detected: Annotated[Path | None, typer.Argument(help="Detected events: a file or a mirrored folder.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", help="Detect with these weights instead of reading DETECTED.")
    ] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", help="With --weights: another threshold.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Leave out recordings without detected events, and say so.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for JSON, Markdown and pictures.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap over patients.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the machine form on stdout.")] = False,
) -> None:
    """Compare detections with experts under named rules (SzCORE events and samples, window AUROC, delays)."""
    if detected is not None and weights is None:
        from restcli.evaluation.files import evaluate as compare

        evaluation = compare(expert, detected, allow_missing=allow_missing, seed=seed)
    elif weights is not None and detected is None:
        from restcli.detect.settings import Settings
        from restcli.evaluation.dataset import evaluate_dataset

        with progress_bar(str(expert)) as on_progress:
            settings = Settings(weights=weights, threshold=threshold)
            evaluation = evaluate_dataset([expert], settings, seed=seed, on_progress=on_progress)
    else:
        raise UsageError("evaluate", "DETECTED and --weights exclude each other and one is needed", "one of the two")
    if out is not None:
        write_evaluation(evaluation, out)
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict(), ensure_ascii=False))
    else:
        show_evaluation(evaluation)


def show_evaluation(evaluation: Evaluation) -> None:
    """Print every measure with its rule, counts and interval, patients and types on stdout, notes on stderr."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for heading in ("measure", "of", "value", "95 % over patients", "rule", "counts"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for measure in evaluation.measures:
        interval = "n/a" if measure.low != measure.low else f"{measure.low:.3f} to {measure.high:.3f}"
        value = "n/a" if measure.value != measure.value else f"{measure.value:.3f}"
        table.add_row(measure.name, measure.of, value, interval, measure.rule, escape(measure.counts))
    screen = console()
    screen.soft_wrap = False
    screen.print(table)
    for title, (head, rows) in (("By patient", evaluation.patient_table()), ("By type", evaluation.type_table())):
        part = Table(title=title, title_justify="left")
        for heading in head:
            part.add_column(heading, justify="left" if heading == head[0] else "right")
        for row in rows:
            part.add_row(*map(escape, row))
        if rows:
            screen.print(part)
    notes = console(err=True)
    for note in evaluation.notes:
        notes.print(escape(note))


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and the pictures, each whole or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    from restcli.errors import OutputError
    from restcli.marks.annotations import write_whole
    from restcli.output.plots.pages import plot_operating_curve, plot_reliability, plot_strips, save_figure

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(out), f"cannot be made ({error.strerror})", "a writable folder") from error
    told = json.dumps(evaluation.to_dict(), indent=1, ensure_ascii=False) + "\n"
    write_whole(out / "evaluation.json", told.encode())
    write_whole(out / "evaluation.md", evaluation.to_markdown().encode())
    footer = f"{evaluation.model or 'detections as given'} · {len(evaluation.cases)} recordings"
    save_figure(
        plot_strips(_strips(evaluation), title="Expert and detected seizures", footer=footer), out / "strips.png"
    )
    in_use = evaluation.value("false alarms a day", "event+pooled"), evaluation.value("sensitivity", "event+pooled")
    for of, curve in evaluation.curves.items():
        figure = plot_operating_curve(
            curve.false_per_day,
            curve.sensitivity,
            chosen=in_use if of == "scores" else None,
            title=f"Operating curve of {of}, SzCORE event rule",
            footer=footer,
        )
        save_figure(figure, out / f"operating_{of.replace(' ', '_')}.png")
    table = evaluation.reliability
    if table is not None:
        figure = plot_reliability(table.predicted, table.observed, table.counts, title="Reliability", footer=footer)
        save_figure(figure, out / "reliability.png")


def _strips(evaluation: Evaluation) -> list[Strip]:
    """Order recordings by patient; one of several of a patient is named by its number, as file names may be long."""
    from restcli.output.plots.pages import Strip

    strips: list[Strip] = []
    for row in evaluation.patients:
        own = [case for case in evaluation.cases if case.patient == row.patient]
        for number, case in enumerate(own, start=1):
            name = row.patient if len(own) == 1 else f"{row.patient} {number} of {len(own)}"
            unscored = () if case.scores is None else case.scores.unscored
            strips.append(Strip(name, case.expert, case.detected, unscored))
    return strips
