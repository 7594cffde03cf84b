"""Frames of a film: the nodes deciding, second by second, above the traces that they see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from restcli.detect.rule import evidence
from restcli.events import Event
from restcli.output.plots import style
from restcli.output.plots.columns import hatch_columns
from restcli.output.plots.eeg import mark_event
from restcli.output.plots.head import draw_empty_head, fill_head, head_order
from restcli.output.plots.raster import Canvas, rasterize
from restcli.output.plots.style import add_panel, shorten, time_ticks, write
from restcli.output.plots.traces import Traces
from restcli.text import elapsed

if TYPE_CHECKING:
    from restcli.detect.result import Result

Pixels = NDArray[np.uint8]

RATE = 4  # frames a second
BEFORE = 10.0  # s of the film before the onset
_SIZE, _DPI = (4.8, 5.6), 100
_PAGE = 10.0  # s of traces at a time
_SHADES, _EDGES = 20, 5  # colours of a GIF: of the map of probabilities, and from paper to ink
_ROWS = 1.2  # rows that 98 % of the samples stay within


class Film:
    """Draws an event from ten seconds before its onset to its end."""

    @style.styled()
    def __init__(self, result: Result, event: Event, traces: Traces, name: str) -> None:
        self.result, self.event, self.traces = result, event, traces
        self.start, self.stop = traces.limits
        scores = result.scores
        self._smooth = evidence(scores.probability, result.rule, scores.step)
        self._lifted = self._rows()
        self.figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor="white")
        Canvas(self.figure)
        title = style.printable(shorten(name, 44))
        write(self.figure, 0.08, _SIZE[1] - 0.07, title, fontsize=style.FONT_TEXT, weight="bold")
        self.head = add_panel(self.figure, 0.05, 3.05, 2.05, 2.25)
        self.strip = add_panel(self.figure, 2.45, 3.6, 2.2, 1.1)
        self.panel = add_panel(self.figure, 0.55, 0.38, 4.05, 2.62)
        draw_empty_head(self.head, "REST, node by node", "probability")
        self._draw_strip()
        self._frame_panel()
        write(self.figure, 0.08, 0.05, "Not a medical device.", fontsize=5.5, color=style.GREY, va="bottom")
        self._shared = {place: place.get_children() for place in (self.figure, self.head, self.panel)}

    def frames(self) -> Iterator[Pixels]:
        """Yield the frames, (height, width, 3); what moves within a second is drawn on its pixels."""
        page, n_frames = -1, round((self.stop - self.start) * RATE)
        still: Pixels = np.zeros((0, 0, 3), np.uint8)
        for number in range(n_frames):
            now = self.start + number / RATE
            if number % RATE == 0:
                if int((now - self.start) // _PAGE) != page:
                    page = int((now - self.start) // _PAGE)
                    self._turn(page)
                self._draw_second(now)
                still = rasterize(self.figure)
            frame = still.copy()
            for axes in (self.strip, self.panel):
                _draw_cursor(frame, axes, now)
            yield frame

    @style.styled()
    def _turn(self, page: int) -> None:
        """Show the next traces."""
        style.clear(self.panel, self._shared[self.panel])
        first = self.start + page * _PAGE
        limits = (first, first + _PAGE)
        self.panel.set_xlim(*limits)
        if self.event.stop > limits[0] and self.event.onset < limits[1]:
            mark_event(self.panel, self.event, limits)
        time = self.traces.time
        inside = (time >= limits[0]) & (time < limits[1])
        lines = [np.column_stack([time[inside], row[inside]]) for row in self._lifted]
        self.panel.add_artist(LineCollection(lines, colors=style.INK, linewidths=0.5, zorder=3))
        missing = np.asarray(~np.isfinite(self.traces.data[:, inside]).any(axis=0))
        if inside.any():
            hatch_columns(self.panel, [missing], np.append(time[inside], time[inside][-1] + 1 / self.traces.sfreq))
        self.panel.set_xticks(*time_ticks(first, first + _PAGE - 1, start=None, most=5))

    @style.styled()
    def _draw_second(self, now: float) -> None:
        """Show what the nodes say of a second."""
        for place in (self.figure, self.head):
            style.clear(place, self._shared[place])
        scores = self.result.scores
        row = int(np.clip(np.searchsorted(scores.time + scores.step / 2, now + 1e-6), 0, len(scores.time) - 1))
        by_node, probability = scores.by_node[row], float(self._smooth[row])
        shares = {name: float(p) for name, p in zip(scores.nodes, by_node, strict=True) if np.isfinite(p)}
        fill_head(self.head, scores.nodes, shares)
        known = np.isfinite(probability)
        words = f"{elapsed(now)}   probability {probability:.2f}" if known else f"{elapsed(now)}   not scored"
        write(self.figure, 2.45, 5.28, words, fontsize=style.FONT_TEXT)
        if self.event.onset <= now < self.event.stop:
            write(self.figure, 2.45, 5.08, "SEIZURE", fontsize=9.5, weight="bold", color=style.ORANGE)

    def _draw_strip(self) -> None:
        """Draw the probability of the whole film."""
        axes, scores, rule = self.strip, self.result.scores, self.result.rule
        axes.set_xlim(self.start, self.stop)
        axes.set_ylim(-0.03, 1.03)
        mark_event(axes, self.event, (self.start, self.stop))
        axes.axhline(rule.threshold, color=style.INK, linewidth=0.8, linestyle="--", zorder=3)
        axes.step(scores.time, self._smooth, where="mid", color=style.BLUE, linewidth=1.3, zorder=4)
        axes.set_yticks([0, 1], ["0", "1"])
        axes.tick_params(labelsize=style.FONT_ROW, length=2, pad=2)
        axes.set_xticks(*time_ticks(self.start, self.stop, start=None, most=4))
        axes.set_title("Seizure probability", fontsize=style.FONT_SMALL, pad=3, loc="left")

    def _frame_panel(self) -> None:
        names = list(self._places)
        self.panel.set_ylim(len(names) - 0.2, -0.8)  # grows down: negative is up, as on paper
        self.panel.set_yticks(range(len(names)), names)
        self.panel.tick_params(axis="y", length=0, pad=2, labelsize=5.5)
        self.panel.tick_params(axis="x", length=2, pad=2, labelsize=style.FONT_ROW)

    def _rows(self) -> NDArray[np.float64]:
        """Return the traces in rows, centred, at one scale for the whole film."""
        order = [name for _, members in head_order(self.traces.names) for name in members]
        self._places = {name: row for row, name in enumerate(name for name in order if name in self.traces.names)}
        data = np.array(self.traces.data, dtype=float)
        known = np.abs(data[np.isfinite(data)])
        scale = max(float(np.percentile(known, 98)) if known.size else 0.0, 20.0) / _ROWS
        places = np.array([self._places[name] for name in self.traces.names])
        return places[:, None] + np.clip(data / scale, -1.6, 1.6)


def colours() -> list[int]:
    """Return the colours that films are drawn in, as red, green, blue, ...: those of the map, and inks with edges."""
    found = [style.PROBABILITY_COLOURS(share)[:3] for share in np.linspace(0, 1, _SHADES)]
    for paper in ("#ffffff", style.ORANGE_PALE):
        for ink in (style.INK, style.BLUE, style.ORANGE):
            low, high = np.array(to_rgb(paper)), np.array(to_rgb(ink))
            found += [tuple(low + (high - low) * share) for share in np.linspace(0, 1, _EDGES)]
    chosen: list[int] = np.unique(np.rint(np.array(found) * 255).astype(int), axis=0).ravel().tolist()
    return chosen


def _draw_cursor(frame: Pixels, axes: Axes, now: float) -> None:
    """Draw an upright line over a panel."""
    (x, low), (_, high) = axes.transData.transform([(now, edge) for edge in axes.get_ylim()])
    column, height = round(float(x)), len(frame)
    rows = slice(height - round(float(max(low, high))), height - round(float(min(low, high))))
    frame[rows, max(0, column - 1) : column + 1] = (0xC4, 0x4A, 0x00)
