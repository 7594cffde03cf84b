"""``restcli evaluate``: compare detected seizures with those that experts marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restcli.cli import options
from restcli.cli.display import print_json, print_table, progress_bar
from restcli.cli.exits import note, say
from restcli.errors import UsageError

if TYPE_CHECKING:
    from restcli.evaluation.report import Evaluation

app = typer.Typer()


_HEADLINES = (
    ("sensitivity", "detections", "event+pooled"),
    ("false alarms a day", "detections", "event+pooled"),
    ("window AUROC", "scores", "window"),
)


@app.command(epilog="Example: restcli evaluate expert.tsv patient_events.tsv")
@options.takes(detection=options.DetectionOptions)
def evaluate(
    context: typer.Context,
    expert: Annotated[Path, typer.Argument(help="Expert marks (file or folder); with --weights, a folder of data.")],
    detected: Annotated[Path | None, typer.Argument(help="Detected events: a file, or a folder like EXPERT.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", "-w", help="Detect with these, without DETECTED.")] = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out recordings without detected events.")
    ] = False,
    out: Annotated[Path | None, options.output("--out", "-o", help="Folder for JSON, Markdown and pictures.")] = None,
    overwrite: options.Overwrite = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap over patients.")] = 0,
    as_json: options.Json = False,
    *,
    detection: options.DetectionOptions,
) -> None:
    """Compare detections with expert marks: SzCORE event and sample rules, AUROC of windows, delays.

    The options from --step to --threads apply with --weights.

    Exit code: 0 done; 1 some recordings could not be evaluated; 2 wrong usage; 3 nothing could be evaluated.
    """
    if (detected is None) == (weights is None):
        raise UsageError("evaluate", "needs either DETECTED or --weights", "one of the two")
    _check_effects(context, detection, is_detecting=weights is not None)
    if out is not None:
        from restcli.output.evaluation import check_place

        check_place(out, overwrite=overwrite)
    if weights is None and detected is not None:
        from restcli.evaluation.files import evaluate as compare

        evaluation = compare(expert, detected, skip_missing=skip_missing, seed=seed)
    else:
        from restcli.evaluation.dataset import evaluate_dataset

        settings = options.read_settings(weights=weights, **vars(detection))
        with progress_bar(str(expert)) as on_progress:
            evaluation = evaluate_dataset(expert, settings, seed=seed, on_progress=on_progress)
    if out is not None:
        from restcli.output.evaluation import write_evaluation

        write_evaluation(evaluation, out)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print_evaluation(evaluation)
    if evaluation.n_failed:
        raise typer.Exit(1)


def _check_effects(context: typer.Context, detection: options.DetectionOptions, *, is_detecting: bool) -> None:
    """Refuse options that would be ignored."""
    unfit, other = ({"skip_missing"}, "give DETECTED") if is_detecting else (vars(detection).keys(), "pass --weights")
    if given := options.given_among(context, unfit):
        raise UsageError(given, "has no effect here", remedy=f"Leave it out, or {other}")


def _print_evaluation(evaluation: Evaluation) -> None:
    """Print three headlines, every measure with rule, counts and interval, patients and types; notes on stderr."""
    _, rows = evaluation.measure_table()
    for name, of, rule in _HEADLINES:
        cells = next((row for row in rows if (row[0], row[1], row[4]) == (name, of, rule)), None)
        interval = f" (95 % CI over patients: {cells[3]})" if cells and cells[3] else ""  # one patient has none
        figure = "needs scores" if cells is None else f"{cells[2]}{interval}"
        say(f"{name}: {figure}, rule {rule}", indent=2)
    say("")
    print_table(*evaluation.measure_table())
    for title, (head, body) in (
        ("By patient", evaluation.patient_table()),
        ("By type of seizure", evaluation.type_table()),
        ("Operating curve", evaluation.curve_table()),
        ("Operating points", evaluation.point_table()),
    ):
        if body:
            print_table(head, body, title=title)
    for line in evaluation.notes:
        note(line)
