"""EEG traces on a page as a clinician reads them: rows by chains, negative up, one scale for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from restcli.events import Event, FloatArray
from restcli.output.plots import style
from restcli.output.plots.columns import hatch_columns
from restcli.output.plots.head import head_order
from restcli.output.plots.style import PAGE, beside, time_ticks, write
from restcli.output.plots.traces import Traces

# Sensitivities of EEG machines, µV/mm; finer ones would only show noise.
_SENSITIVITIES = (5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
_SCALE_BARS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
# Inches, of the panel of traces.
TRACE_LEFT, TRACE_WIDTH, TRACE_BOTTOM, TRACE_HEIGHT = 0.82, 8.1, 0.84, 6.2
_GROUP_GAP = 0.6  # rows between chains
CLIP_ROWS = 1.4  # traces are cut off this far from their row


@dataclass(frozen=True)
class TraceScale:
    """How µV became millimetres."""

    sensitivity: float  # µV/mm
    row: float  # µV between neighbouring rows
    clipped: bool


def sensitivity(data: FloatArray, room: float) -> float:
    """Choose the finest usual sensitivity at which 95 % of all samples stay within a room.

    >>> sensitivity(np.full((2, 100), 60.0), 7.0)
    10.0
    """
    known = np.abs(data[np.isfinite(data)])
    wanted = float(np.percentile(known, 95)) / room if known.size else 7.0
    return float(next((step for step in _SENSITIVITIES if step >= wanted), _SENSITIVITIES[-1]))


def _centre(data: FloatArray) -> NDArray[np.float64]:
    """Take each trace's median away; a trace without samples stays empty."""
    centred = np.array(data, dtype=float)
    for i, known in enumerate(np.isfinite(centred)):
        if known.any():
            centred[i] -= np.median(centred[i, known])
    return centred


def _trace_scale(data: FloatArray, inside: NDArray[np.bool_], row_mm: float) -> TraceScale:
    """Fit 95 % of all samples into 0.7 rows, and those in an event into 1.25: they may reach into neighbours."""
    step = max(sensitivity(data, 0.7 * row_mm), sensitivity(data[:, inside], 1.25 * row_mm) if inside.any() else 0.0)
    known = np.abs(data[np.isfinite(data)])
    return TraceScale(step, step * row_mm, bool(known.size and known.max() > CLIP_ROWS * step * row_mm))


def trace_panel(figure: Figure, names: Sequence[str], width: float, start: datetime | None) -> Axes:
    """Make the panel of traces, its rows labelled and its time named."""
    panel = style.add_panel(figure, TRACE_LEFT, TRACE_BOTTOM, width, TRACE_HEIGHT)
    rows: dict[str, float] = {}
    y = 0.0
    for _, members in head_order(names):
        rows |= {name: y + i for i, name in enumerate(members)}
        y += len(members) + _GROUP_GAP
    panel.set_ylim(max(rows.values(), default=0.0) + CLIP_ROWS, -CLIP_ROWS)  # grows down the page: negative is up
    panel.set_yticks(list(rows.values()), list(rows))
    panel.tick_params(axis="y", length=0, pad=3, labelsize=style.FONT_SMALL)
    panel.tick_params(axis="x", length=3)
    words = "Elapsed" if start is None else "Clock"
    write(figure, style.LEFT, TRACE_BOTTOM - 0.07, words, fontsize=style.FONT_SMALL, weight="bold")
    return panel


def mark_event(axes: Axes, event: Event, page: tuple[float, float]) -> None:
    """Shade an event, with a line at its onset and a broken one at its end."""
    begin, end = max(event.onset, page[0]), min(event.stop, page[1])
    shade: dict[str, Any] = {"facecolor": style.ORANGE_PALE, "linewidth": 0, "zorder": 0.4}
    axes.add_artist(Rectangle((begin, 0), end - begin, 1, transform=axes.get_xaxis_transform(), **shade))
    _upright_lines(axes, [event.onset], color=style.ORANGE, linewidth=1.3, zorder=2.5)
    if event.stop < page[1]:
        _upright_lines(axes, [event.stop], color=style.ORANGE, linewidth=0.9, linestyle="--", zorder=2.5)


def _upright_lines(axes: Axes, places: Sequence[float], **look: Any) -> None:
    """Draw lines from the bottom of a panel to its top; as one artist, which is much faster than one a line."""
    lines = [((place, 0.0), (place, 1.0)) for place in places]
    axes.add_artist(LineCollection(lines, transform=axes.get_xaxis_transform(), **look))


def draw_traces(axes: Axes, traces: Traces, events: Sequence[Event], *, coloured: Sequence[str] = ()) -> TraceScale:
    """Draw the traces, centred on their medians and with negative up, and their scale bar; returns their scale."""
    bottom, top = axes.get_ylim()
    data = _centre(traces.data)
    inside = np.zeros(len(traces.time), dtype=bool)
    for event in events:
        inside |= (traces.time >= event.onset) & (traces.time < event.stop)
    scale = _trace_scale(data, inside, TRACE_HEIGHT * 25.4 / (bottom - top))
    samples = dict(zip(traces.names, np.clip(data / scale.row, -CLIP_ROWS, CLIP_ROWS), strict=True))
    grey: dict[str, Any] = {"color": style.GREY, "va": "center", "fontsize": style.FONT_ROW}
    for place, tick in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        name = tick.get_text()
        chosen = name in coloured
        colour, width, weight = (style.BLUE, 0.95, "bold") if chosen else (style.INK, 0.55, "normal")
        tick.set(color=colour, weight=weight)
        if name in samples and np.isfinite(samples[name]).any():
            line = Line2D(traces.time, place + samples[name], color=colour, linewidth=width, zorder=4 if chosen else 3)
            axes.add_artist(line)
        else:
            axes.text(0.01, place, "not available", transform=axes.get_yaxis_transform(), **grey)
    missing = np.asarray(~np.isfinite(traces.data).any(axis=0))
    hatch_columns(axes, [missing], np.append(traces.time, traces.limits[1]) - 0.5 / traces.sfreq)
    _draw_scale_bar(axes, scale)
    return scale


def draw_grid(panels: Sequence[Axes], page: tuple[float, float], start: datetime | None) -> None:
    """Draw a line each second, heavier each 10 s; clock or elapsed time below the first panel."""
    n_seconds = math.ceil(page[1] - page[0])
    for most, width in ((min(n_seconds, 120), 0.3), (max(1, n_seconds // 10), 0.9)):
        ticks, _ = time_ticks(*page, start=start, most=most)
        for axes in panels:
            _upright_lines(axes, ticks, color=style.FAINT, linewidth=width, zorder=0.6)
    panels[0].set_xticks(*time_ticks(*page, start=start, most=9))


def _draw_scale_bar(axes: Axes, scale: TraceScale) -> None:
    """Draw an upright bar right of the traces, one to two rows long."""
    size = next((bar for bar in _SCALE_BARS if bar >= 0.8 * scale.row), _SCALE_BARS[-1])
    low = axes.get_ylim()[0] - 0.6
    x, high, place = 1.012, low - size / scale.row, axes.get_yaxis_transform()
    bar: dict[str, Any] = {"color": style.INK, "linewidth": 2.2, "clip_on": False, "solid_capstyle": "butt"}
    axes.add_artist(Line2D([x, x], [low, high], transform=place, **bar))
    beside(axes, f"{size} µV", (x, (low + high) / 2), (4, 0), xycoords=place, rotation=90, ha="left")


@style.styled()
def plot_traces(traces: Traces, events: Sequence[Event], *, title: str, footer: str) -> Figure:
    """Draw one page of traces with the events in it."""
    figure = style.make_page(PAGE, title, footer)
    panel = trace_panel(figure, traces.names, PAGE[0] - TRACE_LEFT - 0.6, None)
    panel.set_xlim(*traces.limits)
    label: dict[str, Any] = {"transform": panel.get_xaxis_transform(), "color": style.ORANGE, "va": "bottom"}
    for event in events:
        mark_event(panel, event, traces.limits)
        panel.text(max(event.onset, traces.limits[0]), 1.005, event.label, **label)
    draw_traces(panel, traces, events)
    draw_grid([panel], traces.limits, None)
    return figure
