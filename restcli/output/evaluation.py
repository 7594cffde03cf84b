"""An evaluation on disk: JSON, Markdown and pictures."""

from __future__ import annotations

import json
from pathlib import Path

from restcli.errors import OutputError
from restcli.evaluation.report import Evaluation
from restcli.files import write_atomically
from restcli.output.plots.curves import plot_reliability, plot_threshold_curve
from restcli.output.plots.save import save_figure
from restcli.output.plots.strips import Strip, plot_strips
from restcli.text import count


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and the pictures, each whole or not at all."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(out), f"the folder cannot be created ({error.strerror})", "a writable folder") from error
    write_atomically(out / "evaluation.json", json.dumps(evaluation.to_dict(), indent=1, ensure_ascii=False) + "\n")
    write_atomically(out / "evaluation.md", evaluation.to_markdown())
    footer = f"{evaluation.model or 'detections as given'} · {count(len(evaluation.cases), 'recording')}"
    strips = plot_strips(_strips(evaluation), title="Expert and detected seizures", footer=footer)
    save_figure(strips, out / "strips.png")
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
    strips: list[Strip] = []
    for row in evaluation.patients:
        own = [case for case in evaluation.cases if case.patient == row.patient]
        for number, case in enumerate(own, start=1):
            name = row.patient if len(own) == 1 else f"{row.patient} {number} of {len(own)}"
            unscored = () if case.scores is None else case.scores.unscored
            strips.append(Strip(name, case.expert, case.detected, unscored))
    return strips
