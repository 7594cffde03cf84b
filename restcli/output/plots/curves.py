"""Curves of training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from restcli.events import FloatArray
from restcli.output.plots import style


def _small_page(title: str, footer: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = style.make_page((7.6, 5.2), title, footer)
    axes = figure.add_axes((0.115, 0.2, 0.845, 0.66))
    axes.set(xlabel=x_label, ylabel=y_label)
    _light_frame(axes)
    return figure, axes


def _light_frame(axes: Axes) -> None:
    axes.grid(color=style.PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@style.styled()
def plot_curves(step: FloatArray, curves: Mapping[str, FloatArray], *, title: str, footer: str) -> Figure:
    """Draw a training log: named curves by step."""
    figure, axes = _small_page(title, footer, "training step", "loss, and AUROC of seconds")
    for (name, values), colour, dashes in zip(curves.items(), style.SERIES, style.DASHES, strict=False):
        known = np.isfinite(values)
        marker = "o" if known.sum() < 30 else None
        axes.plot(step[known], values[known], color=colour, linestyle=dashes, marker=marker, label=name, **style.LINE)
    if curves:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(curves), handlelength=3)
    return figure


@style.styled()
def plot_threshold_curve(
    false_alarms_per_day: FloatArray,
    sensitivity: FloatArray,
    *,
    chosen: tuple[float, float] | None = None,
    title: str,
    footer: str,
) -> Figure:
    """Draw sensitivity against false alarms per day at each threshold, on an axis that is linear below one."""
    figure, axes = _small_page(title, footer, "false alarms per day", "sensitivity (seizures found)")
    known = np.isfinite(false_alarms_per_day) & np.isfinite(sensitivity)
    x, y = false_alarms_per_day[known], sensitivity[known]
    order = np.lexsort((y, x))
    axes.plot(x[order], y[order], color=style.BLUE, marker="o", **style.LINE)
    if chosen is not None and np.isfinite(chosen).all():
        label = f"threshold in use: {100 * chosen[1]:.0f} %, {chosen[0]:.1f} per day"
        axes.plot(*chosen, "D", markersize=8, fillstyle="none", color=style.ORANGE, markeredgewidth=1.8, label=label)
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    top = max([2.0, *x * 1.3, 0.0 if chosen is None else chosen[0] * 1.3])
    axes.set_xscale("symlog", linthresh=1.0)
    ticks = [tick for tick in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if tick <= top]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(-0.1, top), ylim=(-0.03, 1.03))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    return figure


@style.styled()
def plot_reliability(bins: Sequence[Mapping[str, float]], *, title: str, footer: str) -> Figure:
    """Draw the fraction of seizure against the probability, and the number of scores, of each tenth that has some."""
    figure = style.make_page((5.6, 6.2), title, footer)
    axes = figure.add_axes((0.15, 0.36, 0.8, 0.53))
    below = figure.add_axes((0.15, 0.17, 0.8, 0.13))
    predicted, observed, counts = (np.array([row[name] for row in bins]) for name in ("probability", "ictal", "n"))
    axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.9, linestyle="--", label="perfectly calibrated")
    axes.plot(predicted, observed, color=style.BLUE, marker="o", label="measured", **style.LINE)
    axes.legend(loc="upper left")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed fraction of seizure")
    centres = (np.minimum(np.floor(predicted * 10), 9) + 0.5) / 10
    below.bar(centres, counts, width=0.09, color=style.FAINT, edgecolor=style.GREY)
    below.set_yscale("log")
    top = math.ceil(math.log10(max([2, *counts])))
    below.set(xlim=(-0.02, 1.02), ylim=(0.5, 10**top * 2), xlabel="probability", ylabel="scores")
    ticks = sorted({1, 10 ** ((top + 1) // 2), 10**top})
    below.set_yticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
    below.set_yticks([], minor=True)
    _light_frame(axes)
    _light_frame(below)
    return figure
