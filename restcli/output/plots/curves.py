"""Curves of training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from restcli.events import FloatArray
from restcli.output.plots.style import (
    BLUE,
    DASHES,
    FAINT,
    GREY,
    ORANGE,
    PALE,
    SERIES,
    SMALL_PAGE,
    make_page,
    printable,
    styled,
)


def _small_axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    axes = figure.add_axes((0.115, 0.2, 0.845, 0.66))
    axes.set(xlabel=x_label, ylabel=y_label)
    _light_frame(axes)
    return axes


def _light_frame(axes: Axes) -> None:
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


@styled()
def plot_curves(
    step: FloatArray, curves: Mapping[str, FloatArray], *, quantity: str, title: str, footer: str
) -> Figure:
    """Draw a training log: named curves by step."""
    figure = make_page(SMALL_PAGE, title, footer)
    axes = _small_axes(figure, "training step", quantity)
    for i, (name, values) in enumerate(curves.items()):
        known = np.isfinite(values)
        axes.plot(
            np.asarray(step)[known],
            np.asarray(values)[known],
            color=SERIES[i % 5],
            linestyle=DASHES[i % 5],
            linewidth=1.4,
            marker="o" if known.sum() < 30 else None,
            markersize=3,
            label=printable(name),
        )
    if curves:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(4, len(curves)), handlelength=3)
    return figure


@styled()
def plot_threshold_curve(
    false_alarms_per_day: FloatArray,
    sensitivity: FloatArray,
    *,
    chosen: tuple[float, float] | None = None,
    title: str,
    footer: str,
) -> Figure:
    """Draw sensitivity against false alarms per day as the threshold moves; the axis is linear below one, for zero."""
    figure = make_page(SMALL_PAGE, title, footer)
    axes = _small_axes(figure, "false alarms per day", "sensitivity (seizures found)")
    known = np.isfinite(false_alarms_per_day) & np.isfinite(sensitivity)
    x, y = np.asarray(false_alarms_per_day)[known], np.asarray(sensitivity)[known]
    order = np.lexsort((y, x))
    axes.plot(x[order], y[order], color=BLUE, linewidth=1.5, marker="o", markersize=3)
    axes.set_xscale("symlog", linthresh=1.0)
    top = max(2.0, float(x.max()) * 1.3 if x.size else 2.0, 0.0 if chosen is None else chosen[0] * 1.3)
    ticks = [tick for tick in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if tick <= top]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(-0.1, top), ylim=(-0.03, 1.03))
    axes.set_yticks(np.arange(0, 1.01, 0.2), [f"{tick:.0f} %" for tick in np.arange(0, 101, 20)])
    if chosen is not None and np.isfinite(chosen).all():
        axes.plot(
            *chosen,
            marker="D",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=ORANGE,
            markeredgewidth=1.8,
            linestyle="",
            label=f"threshold in use: {100 * chosen[1]:.0f} %, {chosen[0]:.1f} per day",
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


@styled()
def plot_reliability(
    predicted: FloatArray, observed: FloatArray, counts: NDArray[np.integer[Any]], *, title: str, footer: str
) -> Figure:
    """Draw the observed fraction of seizure against the predicted probability, and the number of scores in each bin."""
    figure = make_page((5.6, 6.2), title, footer)
    axes = figure.add_axes((0.15, 0.36, 0.8, 0.53))
    below = figure.add_axes((0.15, 0.17, 0.8, 0.13))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--", label="perfect")
    known = np.isfinite(predicted) & np.isfinite(observed)
    measured: dict[str, Any] = {"color": BLUE, "marker": "o", "markersize": 5, "linewidth": 1.4, "label": "measured"}
    axes.plot(np.asarray(predicted)[known], np.asarray(observed)[known], **measured)
    axes.legend(loc="upper left")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed fraction of seizure")
    edges = np.linspace(0, 1, len(counts) + 1)
    below.bar((edges[:-1] + edges[1:]) / 2, counts, width=0.9 / max(1, len(counts)), color=FAINT, edgecolor=GREY)
    below.set_yscale("log")
    top = math.ceil(math.log10(max(2, int(np.max(counts, initial=1)))))
    below.set(xlim=(-0.02, 1.02), ylim=(0.5, 10**top * 2), xlabel="probability", ylabel="scores")
    ticks = sorted({1, 10 ** ((top + 1) // 2), 10**top})
    below.set_yticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
    below.set_yticks([], minor=True)
    _light_frame(axes)
    _light_frame(below)
    return figure
