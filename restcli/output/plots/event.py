"""One page for each event: traces around its onset, probability, and a map of the head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from restcli.detect.rule import evidence
from restcli.events import Event, EventRule, Events, Scores
from restcli.output.plots import style
from restcli.output.plots.columns import Columns, draw_steps, hatch_columns
from restcli.output.plots.eeg import (
    CLIP_ROWS,
    TRACE_BOTTOM,
    TRACE_HEIGHT,
    TRACE_LEFT,
    TRACE_WIDTH,
    TraceScale,
    draw_grid,
    draw_traces,
    mark_event,
    trace_panel,
)
from restcli.output.plots.head import draw_empty_head, fill_head, involvement
from restcli.output.plots.style import PAGE, add_panel, beside, time_ticks, wrap, write
from restcli.output.plots.traces import Traces, read_traces
from restcli.text import elapsed

if TYPE_CHECKING:
    from restcli.detect.result import Result

MOST_PAGES = 6
_BEFORE, _AFTER = 10.0, 20.0  # seconds around an onset
_SIDE_LEFT, _SIDE_WIDTH = 9.2, 2.35
_N_COLOURED = 6


def draw(result: Result, *, title: str, footer: str) -> Iterator[tuple[str, Figure]]:
    """Draw a page for each event, or for the most confident ones; the figure is the same one each time."""
    sheet: EventSheet | None = None
    for number, event in pictured_events(result.events):
        start = max(0.0, event.onset - _BEFORE)
        channel_map = dict(result.settings.channel_map)
        traces = read_traces(result.recording, start, start + _BEFORE + _AFTER, channel_map=channel_map)
        if traces is not None:
            sheet = sheet or EventSheet(result, traces.names, title=title, footer=footer)
            yield f"event{number:02d}", sheet.draw(traces, event, number)


def pictured_events(events: Events) -> list[tuple[int, Event]]:
    """Return the events that get a page, with their numbers."""
    numbered = list(enumerate(events, start=1))
    ranked = sorted(numbered, key=lambda pair: -np.nan_to_num(pair[1].confidence))
    return sorted(ranked[:MOST_PAGES])


class EventSheet:
    """The event pages of one recording, drawn one after the other on one figure: what they share is made once."""

    @style.styled()
    def __init__(self, result: Result, names: Sequence[str], *, title: str, footer: str) -> None:
        self.scores, self.rule, self.start = result.scores, result.rule, result.recording.clock
        self.figure = figure = style.make_page(PAGE, title, footer)
        self.strip = add_panel(figure, TRACE_LEFT, TRACE_BOTTOM + TRACE_HEIGHT + 0.08, TRACE_WIDTH, 0.5)
        self.panel = trace_panel(figure, names, TRACE_WIDTH, self.start)
        self.head = add_panel(figure, _SIDE_LEFT, 4.95, _SIDE_WIDTH, 2.55)
        _frame_strip(self.strip, self.rule)
        self.above = self.strip.secondary_xaxis("top")
        self.above.tick_params(axis="x", length=3, pad=2, labelsize=style.FONT_SMALL)
        draw_empty_head(self.head)
        self.shared = {artist: artist.get_children() for artist in (figure, self.strip, self.panel, self.head)}

    @style.styled()
    def draw(self, traces: Traces, event: Event, number: int) -> Figure:
        """Draw one event's page in place of the page before; returns the one figure."""
        for place, shared in self.shared.items():
            for artist in set(place.get_children()).difference(shared):
                artist.remove()
        page = traces.limits
        shares = involvement(self.scores, event)
        coloured = most_involved(traces.names, event, shares)
        for axes in (self.strip, self.panel):
            axes.set_xlim(*page)
            mark_event(axes, event, page)
        _draw_strip(self.strip, self.scores, self.rule, page)
        scale = draw_traces(self.panel, traces, [event], coloured=coloured)
        draw_grid([self.panel, self.strip], page, self.start)
        ticks, _ = time_ticks(page[0] - event.onset, page[1] - event.onset, start=None, most=9)
        names = ["onset" if tick == 0 else f"{tick:+.0f} s".replace("-", "−") for tick in ticks]
        self.above.set_xticks([event.onset + tick for tick in ticks], names)
        fill_head(self.head, self.scores.nodes, shares)
        facts = _facts(event, number, self.start, scale=scale, end=page[1]) | {"Signals": traces.filters}
        if coloured:
            facts["Blue, bold"] = "most involved derivations"
        hidden = [span.reason for span in self.scores.unscored if span.stop > page[0] and span.start < page[1]]
        if hidden:
            facts["Hatched: not scored"] = ", ".join(dict.fromkeys(hidden))
        _draw_facts(self.figure, facts)
        return self.figure


def most_involved(names: Sequence[str], event: Event, shares: Mapping[str, float]) -> tuple[str, ...]:
    """Choose the traces to colour: those of the event's channels, strongest first, six at most."""

    def touches(name: str, node: str) -> bool:
        return name == node or ("-" not in node and node in name.split("-"))

    share = {name: max((v for node, v in shares.items() if touches(name, node)), default=-1.0) for name in names}
    everywhere = not event.channels or "all" in event.channels
    wanted = [n for n in names if everywhere or any(touches(n, node) for node in event.channels)]
    known = [name for name in wanted if share[name] >= 0 or not everywhere]
    return tuple(sorted(known, key=lambda name: -share[name])[:_N_COLOURED])


def _frame_strip(axes: Axes, rule: EventRule) -> None:
    axes.axhline(rule.threshold, color=style.INK, linewidth=0.8, linestyle="--", zorder=3)
    beside(axes, f"threshold {rule.threshold:.2g}", (1, rule.threshold), (3, 0), fontsize=style.FONT_ROW)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 1], ["0", "1"])
    beside(axes, "Seizure\nprobability", (0, 0.5), (-14, 0), ha="right", fontsize=style.FONT_SMALL)


def _draw_strip(axes: Axes, scores: Scores, rule: EventRule, page: tuple[float, float]) -> None:
    """Draw the probability above the traces."""
    reach = rule.look_ahead + scores.step
    edges = np.linspace(*page, round(TRACE_WIDTH * style.DPI / 2) + 1)
    near = slice(*np.searchsorted(scores.time, [page[0] - reach, page[1] + reach]))
    high = Columns(edges, scores.time[near], scores.step).highest(evidence(scores.probability[near], rule, scores.step))
    inside = (edges[:-1] >= 0) & (edges[1:] <= scores.duration + scores.step)
    hatch_columns(axes, [~np.isfinite(high) & inside], edges)
    draw_steps(axes, high, edges, color=style.BLUE, zorder=4)


def _facts(event: Event, number: int, start: datetime | None, *, scale: TraceScale, end: float) -> dict[str, str]:
    """Describe the event and the page in words."""
    clock = "" if start is None else f"{start + timedelta(seconds=event.onset):%H:%M:%S}, "
    confidence = "unknown" if math.isnan(event.confidence) else f"{event.confidence:.2f}"
    channels = ", ".join(event.channels) or "unknown"
    clipped = f", clipped at ±{CLIP_ROWS * scale.row:.3g} µV" if scale.clipped else ""
    return {
        f"Event {number}": f"{event.label}, confidence {confidence}",
        "Onset": f"{clock}{elapsed(event.onset, digits=1)} after the start",
        "Duration": f"{event.duration:.1f} s" + (", longer than this page" if event.stop > end else ""),
        "Involved": "all nodes" if channels == "all" else channels,
        "Sensitivity": f"{scale.sensitivity:g} µV/mm on A4, negative up{clipped}",
    }


def _draw_facts(figure: Figure, facts: Mapping[str, str]) -> None:
    """Name and value, one under the other, in the side column."""
    y = 4.75
    for name, value in facts.items():
        words = wrap(value, 36, most=3 if name == "Involved" else 2)
        write(figure, _SIDE_LEFT, y, name, weight="bold")
        write(figure, _SIDE_LEFT, y - 0.15, words, linespacing=1.2)
        y -= 0.25 + 0.14 * (1 + words.count("\n"))
