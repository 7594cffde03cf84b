"""EEG traces on a page as a clinician reads them: rows by chains, negative up, one scale for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from restcli.output.plots.columns import hatch_columns
from restcli.output.plots.head import head_order
from restcli.output.plots.style import (
    BLUE,
    FAINT,
    FONT_ROW,
    FONT_SMALL,
    FONT_TEXT,
    GREY,
    INK,
    ORANGE,
    ORANGE_PALE,
    PAGE,
    add_panel,
    beside,
    make_page,
    styled,
    time_ticks,
)
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


def trace_rows(names: Sequence[str]) -> dict[str, float]:
    """Place each derivation, counted in rows down the page, with gaps between the chains."""
    rows: dict[str, float] = {}
    y = 0.0
    for _, members in head_order(names):
        rows |= {name: y + i for i, name in enumerate(members)}
        y += len(members) + _GROUP_GAP
    return rows


def _trace_scale(data: FloatArray, inside: NDArray[np.bool_], row_mm: float) -> TraceScale:
    """Fit 95 % of all samples into 0.7 rows, and those in an event into 1.25: they may reach into neighbours."""
    step = max(sensitivity(data, 0.7 * row_mm), sensitivity(data[:, inside], 1.25 * row_mm) if inside.any() else 0.0)
    known = np.abs(data[np.isfinite(data)])
    return TraceScale(step, step * row_mm, bool(known.size and known.max() > CLIP_ROWS * step * row_mm))


def name_rows(axes: Axes, rows: Mapping[str, float]) -> None:
    """Label the rows of traces."""
    axes.set_ylim(max(rows.values(), default=0.0) + CLIP_ROWS, -CLIP_ROWS)  # grows down the page: negative is up
    axes.set_yticks(list(rows.values()), list(rows))
    axes.tick_params(axis="y", length=0, pad=3, labelsize=FONT_SMALL)


def mark_event(axes: Axes, event: Event, page: tuple[float, float]) -> None:
    """Shade an event, with a line at its onset and a broken one at its end."""
    begin, end = max(event.onset, page[0]), min(event.stop, page[1])
    upright = axes.get_xaxis_transform()
    axes.add_artist(
        Rectangle((begin, 0), end - begin, 1, transform=upright, facecolor=ORANGE_PALE, linewidth=0, zorder=0.4)
    )
    _upright_lines(axes, [event.onset], color=ORANGE, linewidth=1.3, zorder=2.5)
    if event.stop < page[1]:
        _upright_lines(axes, [event.stop], color=ORANGE, linewidth=0.9, linestyle="--", zorder=2.5)


def _upright_lines(axes: Axes, places: Sequence[float], **style: Any) -> None:
    """Draw lines from the bottom of a panel to its top; as one artist, which is much faster than one a line."""
    lines = [((place, 0.0), (place, 1.0)) for place in places]
    axes.add_artist(LineCollection(lines, transform=axes.get_xaxis_transform(), **style))


def draw_traces(
    axes: Axes, rows: Mapping[str, float], traces: Traces, events: Sequence[Event], *, coloured: Sequence[str] = ()
) -> TraceScale:
    """Draw the traces, centred on their medians and with negative up; returns their scale."""
    bottom, top = axes.get_ylim()
    data = _centre(traces.data)
    inside = np.zeros(len(traces.time), dtype=bool)
    for event in events:
        inside |= (traces.time >= event.onset) & (traces.time < event.stop)
    scale = _trace_scale(data, inside, TRACE_HEIGHT * 25.4 / (bottom - top))
    limit = CLIP_ROWS * scale.row
    index = {name: i for i, name in enumerate(traces.names)}
    for name, place in rows.items():
        if name not in index or not np.isfinite(data[index[name]]).any():
            where = axes.get_yaxis_transform()
            axes.text(0.01, place, "not available", transform=where, color=GREY, va="center", fontsize=FONT_ROW)
            continue
        line: dict[str, Any] = {"color": INK, "linewidth": 0.55, "zorder": 3}
        if name in coloured:
            line = {"color": BLUE, "linewidth": 0.95, "zorder": 4}
        axes.add_artist(Line2D(traces.time, place + np.clip(data[index[name]], -limit, limit) / scale.row, **line))
    _hatch_gaps(axes, traces)
    for tick, name in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(color=BLUE if name in coloured else INK, weight="bold" if name in coloured else "normal")
    return scale


def _hatch_gaps(axes: Axes, traces: Traces) -> None:
    missing = np.asarray(~np.isfinite(traces.data).any(axis=0))
    if len(traces.data) and missing.any():
        half = 0.5 / traces.sfreq
        edges = np.append(traces.time - half, traces.time[-1] + half)
        hatch_columns(axes, [missing], edges)


def name_time(panel: Axes, start: datetime | None) -> None:
    """Say below the traces what their time is."""
    panel.tick_params(axis="x", length=3)
    words, offset = "Elapsed" if start is None else "Clock", ((0.15 - TRACE_LEFT) * 72, -9)
    beside(panel, words, (0, 0), offset, fontsize=FONT_SMALL, weight="bold")


def draw_grid(panels: Sequence[Axes], page: tuple[float, float], start: datetime | None) -> None:
    """Draw a line each second, heavier each 10 s; clock or elapsed time below the first panel."""
    n_seconds = math.ceil(page[1] - page[0])
    for most, width in ((min(n_seconds, 120), 0.3), (max(1, n_seconds // 10), 0.9)):
        ticks, _ = time_ticks(*page, start=start, most=most)
        for axes in panels:
            _upright_lines(axes, ticks, color=FAINT, linewidth=width, zorder=0.6)
    panels[0].set_xticks(*time_ticks(*page, start=start, most=9))


def draw_scale_bar(axes: Axes, scale: TraceScale) -> None:
    """Draw an upright bar right of the traces, one to two rows long."""
    size = next((bar for bar in _SCALE_BARS if bar >= 0.8 * scale.row), _SCALE_BARS[-1])
    low = axes.get_ylim()[0] - 0.6
    x, place = 1.012, axes.get_yaxis_transform()
    bar: dict[str, Any] = {"color": INK, "linewidth": 2.2, "clip_on": False, "solid_capstyle": "butt"}
    axes.add_artist(Line2D([x, x], [low, low - size / scale.row], transform=place, **bar))
    beside(axes, f"{size} µV", (x, low - size / scale.row / 2), (4, 0), xycoords=place, rotation=90, ha="left")


@styled()
def plot_traces(traces: Traces, events: Sequence[Event], *, title: str, footer: str) -> Figure:
    """Draw one page of traces with the events in it."""
    figure = make_page(PAGE, title, footer)
    panel = add_panel(figure, TRACE_LEFT, TRACE_BOTTOM, PAGE[0] - TRACE_LEFT - 0.6, TRACE_HEIGHT)
    panel.set_xlim(*traces.limits)
    rows = trace_rows(traces.names)
    name_rows(panel, rows)
    name_time(panel, None)
    for event in events:
        mark_event(panel, event, traces.limits)
        where, left = panel.get_xaxis_transform(), max(event.onset, traces.limits[0])
        panel.text(left, 1.005, event.label, transform=where, color=ORANGE, va="bottom", fontsize=FONT_TEXT)
    scale = draw_traces(panel, rows, traces, events)
    draw_grid([panel], traces.limits, None)
    draw_scale_bar(panel, scale)
    return figure
