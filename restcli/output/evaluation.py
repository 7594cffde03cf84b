"""An evaluation on disk: JSON, Markdown and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from restcli.evaluation.report import Evaluation
from restcli.evaluation.scoring import Case
from restcli.files import check_free, make_folder, write_atomically
from restcli.output.plots.curves import plot_reliability, plot_threshold_curve
from restcli.output.plots.save import save_figure
from restcli.output.plots.strips import plot_strips
from restcli.text import count


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder with files that `write_evaluation` would write over."""
    names = ("evaluation.json", "evaluation.md", "strips.png", "reliability.png")
    check_free([*(out / name for name in names), *out.glob("operating_*.png")], overwrite=overwrite)


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write ``evaluation.json``, ``evaluation.md`` and the pictures, each whole or not at all."""
    make_folder(out)
    write_atomically(out / "evaluation.json", json.dumps(evaluation.to_dict(), indent=1, ensure_ascii=False) + "\n")
    write_atomically(out / "evaluation.md", evaluation.to_markdown())
    footer = f"{evaluation.model or 'detections as given'} · {count(len(evaluation.cases), 'recording')}"
    strips = plot_strips(_named(evaluation), title="Expert and detected seizures", footer=footer)
    save_figure(strips, out / "strips.png")
    in_use = evaluation.value("false alarms a day", "event+pooled"), evaluation.value("sensitivity", "event+pooled")
    drawn = {of: curve for of, curve in evaluation.curves.items() if np.isfinite(curve.sensitivity).any()}
    for of, curve in drawn.items():
        figure = plot_threshold_curve(
            curve.false_per_day,
            curve.sensitivity,
            chosen=in_use if of == "scores" else None,
            title=f"Operating curve of {of}, SzCORE event rule",
            footer=footer,
        )
        save_figure(figure, out / f"operating_{of.replace(' ', '_')}.png")
    if evaluation.reliability is not None:
        figure = plot_reliability(evaluation.reliability.rows(), title="Reliability", footer=footer)
        save_figure(figure, out / "reliability.png")


def _named(evaluation: Evaluation) -> list[tuple[str, Case]]:
    """Order recordings by patient; one of several of a patient is named by its number, as file names may be long."""
    named: list[tuple[str, Case]] = []
    for row in evaluation.patients:
        own = [case for case in evaluation.cases if case.patient == row.patient]
        numbers = [f" {number} of {len(own)}" for number in range(1, len(own) + 1)] if len(own) > 1 else [""]
        named += [(row.patient + number, case) for number, case in zip(numbers, own, strict=True)]
    return named
