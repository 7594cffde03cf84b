"""``restcli evaluate``: compare detected seizures with those that experts marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restcli.cli import options
from restcli.cli.display import print_json, print_table, progress_bar
from restcli.cli.exits import note
from restcli.errors import UsageError

if TYPE_CHECKING:
    from restcli.evaluation.report import Evaluation
    from restcli.output.plots.strips import Strip

app = typer.Typer()


@app.command()
def evaluate(
    expert: Annotated[Path, typer.Argument(help="Expert marks (file or folder); with --weights, a folder of data.")],
    detected: Annotated[
        Path | None, typer.Argument(help="Detected events: a file, or a folder of the same structure.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", help="Detect with these weights instead of reading DETECTED.")
    ] = None,
    step: options.Step = 1,
    threshold: options.Threshold = None,
    allow_missing: options.AllowMissing = None,
    channel_map: options.ChannelMap = None,
    device: options.Device = "auto",
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out recordings without detected events.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for JSON, Markdown and pictures.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap over patients.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Compare detections with expert marks: SzCORE event and sample rules, AUROC of windows, delays.

    The options from --step to --device apply with --weights.
    """
    if (detected is None) == (weights is None):
        raise UsageError("evaluate", "needs either DETECTED or --weights", "one of the two")
    if weights is None and detected is not None:
        from restcli.evaluation.files import evaluate as compare

        evaluation = compare(expert, detected, skip_missing=skip_missing, seed=seed)
    else:
        from restcli.evaluation.dataset import evaluate_dataset

        settings = options.read_settings(
            weights=weights,
            step=step,
            threshold=threshold,
            allow_missing=allow_missing,
            channel_map=channel_map,
            device=device,
        )
        with progress_bar(str(expert)) as on_progress:
            evaluation = evaluate_dataset([expert], settings, seed=seed, on_progress=on_progress)
    if out is not None:
        write_evaluation(evaluation, out)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print_evaluation(evaluation)


def _print_evaluation(evaluation: Evaluation) -> None:
    """Print every measure with its rule, counts and interval, then patients and types; notes go to stderr."""
    rows = []
    for measure in evaluation.measures:
        interval = "n/a" if measure.low != measure.low else f"{measure.low:.3f} to {measure.high:.3f}"
        value = "n/a" if measure.value != measure.value else f"{measure.value:.3f}"
        rows.append((measure.name, measure.of, value, interval, measure.rule, measure.counts))
    headings = ("measure", "of", "value", "95 % over patients", "rule", "counts")
    print_table(rows, {heading: "right" if heading == "value" else "left" for heading in headings})
    for title, (head, body) in (("By patient", evaluation.patient_table()), ("By type", evaluation.type_table())):
        if body:
            print_table(body, {heading: "left" if heading == head[0] else "right" for heading in head}, title=title)
    for line in evaluation.notes:
        note(line)


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and the pictures, each whole or not at all."""
    from restcli.errors import OutputError
    from restcli.files import write_atomically
    from restcli.output.plots.curves import plot_reliability, plot_threshold_curve
    from restcli.output.plots.save import save_figure
    from restcli.output.plots.strips import plot_strips

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(out), f"cannot be made ({error.strerror})", "a writable folder") from error
    told = json.dumps(evaluation.to_dict(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / "evaluation.json", told)
    write_atomically(out / "evaluation.md", evaluation.to_markdown())
    footer = f"{evaluation.model or 'detections as given'} · {len(evaluation.cases)} recordings"
    save_figure(
        plot_strips(_strips(evaluation), title="Expert and detected seizures", footer=footer), out / "strips.png"
    )
    in_use = evaluation.value("false alarms a day", "event+pooled"), evaluation.value("sensitivity", "event+pooled")
    for of, curve in evaluation.curves.items():
        figure = plot_threshold_curve(
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
    from restcli.output.plots.strips import Strip

    strips: list[Strip] = []
    for row in evaluation.patients:
        own = [case for case in evaluation.cases if case.patient == row.patient]
        for number, case in enumerate(own, start=1):
            name = row.patient if len(own) == 1 else f"{row.patient} {number} of {len(own)}"
            unscored = () if case.scores is None else case.scores.unscored
            strips.append(Strip(name, case.expert, case.detected, unscored))
    return strips
