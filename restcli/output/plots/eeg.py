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
from restcli.output.plots.traces import ECG_ROW, Traces
from restcli.signal.filters import sensitivity
from restcli.text import elapsed

_SCALE_BARS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
# Inches, of the panel of traces.
_MM = 25.4  # in an inch
PAPER_SPEED = 20  # mm/s on a page of 10 s
TRACE_LEFT, TRACE_WIDTH, TRACE_BOTTOM, TRACE_HEIGHT = 0.92, 10 * PAPER_SPEED / _MM, 0.84, 6.2
_GROUP_GAP = 0.6  # rows between chains
_EDGE = 1.4  # rows above the first and below the last one


@dataclass(frozen=True)
class TraceScale:
    """How µV become millimetres, the same on all pages of an event."""

    sensitivity: float  # µV/mm
    ecg: float  # µV/mm
    row: float  # mm between neighbouring rows


def _centre(data: FloatArray) -> NDArray[np.float64]:
    """Subtract each trace's median; a trace without samples stays empty."""
    centred = np.array(data, dtype=float)
    for i, known in enumerate(np.isfinite(centred)):
        if known.any():
            centred[i] -= np.median(centred[i, known])
    return centred


def fit_scale(pages: Sequence[Traces], events: Sequence[Event]) -> TraceScale:
    """Fit 95 % of all samples into 0.7 rows, and those in an event into 1.25: traces may reach into neighbours."""
    names = pages[0].names
    eeg = [name != ECG_ROW for name in names]
    row = TRACE_HEIGHT * _MM / (max(_rows(names).values(), default=0.0) + 2 * _EDGE)
    data = np.concatenate([_centre(page.data) for page in pages], axis=1)
    time = np.concatenate([page.time for page in pages])
    inside = np.zeros(len(time), dtype=bool)
    for event in events:
        inside |= (time >= event.onset) & (time < event.stop)
    step = max(sensitivity(data[eeg], 0.7 * row), sensitivity(data[eeg][:, inside], 1.25 * row))
    ecg = data[~np.array(eeg)]
    peaks = np.abs(ecg[np.isfinite(ecg)])
    return TraceScale(step, sensitivity(np.percentile(peaks, [99.5]), row) if peaks.size else step, row)


def _rows(names: Sequence[str]) -> dict[str, float]:
    """Place names down the page in their chains, one apart."""
    rows: dict[str, float] = {}
    y = 0.0
    for _, members in head_order(names):
        rows |= {name: y + i for i, name in enumerate(members)}
        y += len(members) + _GROUP_GAP
    return rows


def trace_panel(figure: Figure, names: Sequence[str], width: float, start: datetime | None) -> Axes:
    """Make the panel of traces, its rows labelled and its time named."""
    panel = style.add_panel(figure, TRACE_LEFT, TRACE_BOTTOM, width, TRACE_HEIGHT)
    rows = _rows(names)
    panel.set_ylim(max(rows.values(), default=0.0) + _EDGE, -_EDGE)  # grows down the page: negative is up
    panel.set_yticks(list(rows.values()), list(rows))
    panel.tick_params(axis="y", length=0, pad=3, labelsize=style.FONT_SMALL)
    panel.tick_params(axis="x", length=3)
    words = "Elapsed" if start is None else "Clock\nElapsed"
    label: dict[str, Any] = {"fontsize": style.FONT_SMALL, "weight": "bold", "linespacing": 1.2}
    write(figure, style.LEFT, TRACE_BOTTOM - 0.07, words, **label)
    return panel


def mark_event(axes: Axes, event: Event, page: tuple[float, float]) -> None:
    """Shade an event, with a solid line at its onset and a dashed one at its end."""
    begin, end = max(event.onset, page[0]), min(event.stop, page[1])
    shade: dict[str, Any] = {"facecolor": style.ORANGE_PALE, "linewidth": 0, "zorder": 0.4}
    axes.add_artist(Rectangle((begin, 0), end - begin, 1, transform=axes.get_xaxis_transform(), **shade))
    if event.onset >= page[0]:
        _upright_lines(axes, [event.onset], color=style.ORANGE, linewidth=1.3, zorder=2.5)
    if event.stop < page[1]:
        _upright_lines(axes, [event.stop], color=style.ORANGE, linewidth=0.9, linestyle="--", zorder=2.5)


def _upright_lines(axes: Axes, places: Sequence[float], **look: Any) -> None:
    """Draw lines from the bottom of a panel to its top, as one artist: much faster than one for each line."""
    lines = [((place, 0.0), (place, 1.0)) for place in places]
    axes.add_artist(LineCollection(lines, transform=axes.get_xaxis_transform(), **look))


def draw_traces(axes: Axes, traces: Traces, scale: TraceScale, *, coloured: Sequence[str] = ()) -> None:
    """Draw the traces, centred on their medians, negative up except for the ECG, and a scale bar; they may cross."""
    units = [scale.row * (-scale.ecg if name == ECG_ROW else scale.sensitivity) for name in traces.names]
    samples = dict(zip(traces.names, _centre(traces.data) / np.array(units)[:, None], strict=True))
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


def draw_grid(panels: Sequence[Axes], page: tuple[float, float], start: datetime | None) -> None:
    """Draw a line each second, heavier each 5 s; clock and elapsed time below the first panel."""
    n_seconds = math.ceil(page[1] - page[0])
    for most, width in ((n_seconds, 0.3), (max(1, n_seconds // 5), 0.9)):
        ticks, _ = time_ticks(*page, start=start, most=most)
        for axes in panels:
            _upright_lines(axes, ticks, color=style.FAINT, linewidth=width, zorder=0.6)
    ticks, labels = time_ticks(*page, start=start, most=10)
    if start is not None:
        digits = 0 if all(abs(tick - round(tick)) < 1e-3 for tick in ticks) else 1
        clocks = [label.partition("\n") for label in labels]
        labels = [
            f"{clock}\n{elapsed(tick, digits=digits)}" + (f"\n{day}" if day else "")
            for tick, (clock, _, day) in zip(ticks, clocks, strict=True)
        ]
    panels[0].set_xticks(ticks, labels)


def _draw_scale_bar(axes: Axes, scale: TraceScale) -> None:
    """Draw an upright bar right of the traces, one to two rows long."""
    row = scale.row * scale.sensitivity
    size = next((bar for bar in _SCALE_BARS if bar >= 0.8 * row), _SCALE_BARS[-1])
    low = axes.get_ylim()[0] - 0.6
    x, high, place = 1.012, low - size / row, axes.get_yaxis_transform()
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
    draw_traces(panel, traces, fit_scale([traces], events))
    draw_grid([panel], traces.limits, None)
    return figure
