"""Pages of 10 s for each event: traces from before its onset to its end, probability, and a map of the head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from restcli.detect.region import place_in_words
from restcli.detect.rule import evidence
from restcli.events import Event, EventRule, Scores
from restcli.output.plots import style
from restcli.output.plots.columns import draw_steps, hatch_columns
from restcli.output.plots.eeg import (
    PAPER_SPEED,
    TRACE_BOTTOM,
    TRACE_HEIGHT,
    TRACE_LEFT,
    TRACE_WIDTH,
    TraceScale,
    draw_grid,
    draw_traces,
    fit_scale,
    mark_event,
    trace_panel,
)
from restcli.output.plots.head import draw_empty_head, fill_head, involvement
from restcli.output.plots.style import PAGE, add_panel, beside, time_ticks, wrap, write
from restcli.output.plots.traces import ECG_ROW, Traces, read_traces, with_ecg
from restcli.output.shown import ADDED, REJECTED, Shown
from restcli.signal.columns import Columns
from restcli.text import duration_in_words, elapsed

if TYPE_CHECKING:
    from restcli.detect.result import Result

MOST_EVENTS = 6
_MOST_PAGES = 6  # of an event: the first three, one from the middle, the last two
_PAGE = 10.0  # seconds
_BEFORE, _AFTER = 3.0, 1.0  # seconds shown before the onset and after the end, at least
_SIDE_LEFT, _SIDE_WIDTH = 9.25, 2.3


def draw(result: Result, shown: Sequence[Shown], *, title: str, footer: str) -> Iterator[tuple[str, Figure]]:
    """Draw the pages of each event, or of the most confident ones; one figure is drawn again and again."""
    sheet: EventSheet | None = None
    for each in pictured_events(shown):
        traces = _read_pages(result, each.event)
        if traces:
            sheet = sheet or EventSheet(result, traces[0].names, title=title, footer=footer)
            pages = EventPages(each, traces)
            for i in range(len(traces)):
                yield f"event{each.name:0>2}" + (f"_p{i + 1}" if i else ""), sheet.draw(pages, i)


def pictured_events(shown: Sequence[Shown]) -> list[Shown]:
    """Return the events that get pages: those that a reviewer added first, rejected ones last."""

    def rank(each: Shown) -> tuple[bool, bool, float]:
        return each.verdict == REJECTED, each.verdict != ADDED, -float(np.nan_to_num(each.event.confidence))

    chosen = sorted(shown, key=rank)[:MOST_EVENTS]
    return [each for each in shown if each in chosen]


def page_starts(event: Event, duration: float) -> list[float]:
    """Choose where the pages of an event begin: one after the other, or onset, middle and end of a long one.

    >>> page_starts(Event(20.5, 15.0), 600), page_starts(Event(100.0, 300.0), 600)
    ([17.0, 27.0], [97.0, 107.0, 117.0, 247.0, 387.0, 397.0])
    """
    last = max(0.0, duration - _PAGE)
    first = min(max(0.0, math.floor(event.onset - _BEFORE)), last)
    n = max(1, math.ceil((min(event.stop + _AFTER, duration) - first) / _PAGE - 1e-6))
    chosen = range(n) if n <= _MOST_PAGES else [0, 1, 2, n // 2, n - 2, n - 1]
    return [min(first + _PAGE * i, last) for i in chosen]


def _read_pages(result: Result, event: Event) -> tuple[Traces, ...]:
    """Read the signals of an event's pages; nothing where no derivation can be made."""
    recording, channel_map = result.recording, result.settings.channel_map
    starts = page_starts(event, recording.duration)
    pages = [read_traces(recording, start, start + _PAGE, channel_map=channel_map) for start in starts]
    return tuple(with_ecg(page, recording) for page in pages if page is not None)


@dataclass(frozen=True, eq=False)
class EventPages:
    """What the pages of one event show."""

    shown: Shown
    traces: tuple[Traces, ...]  # of each page

    @property
    def event(self) -> Event:
        """The event."""
        return self.shown.event

    @cached_property
    def scale(self) -> TraceScale:
        """The scale that all pages share."""
        return fit_scale(self.traces, [self.event])

    @cached_property
    def hidden(self) -> float:
        """Seconds of the event that are on no page."""
        shown, covered = 0.0, self.event.onset
        for page in self.traces:
            begin, end = max(page.limits[0], covered), min(page.limits[1], self.event.stop)
            shown += max(0.0, end - begin)
            covered = max(covered, end)
        return max(0.0, self.event.duration - shown)

    @property
    def verdict(self) -> str:
        """What a reviewer decided, for the title of the page."""
        return f"Event {self.shown.in_words} {self.shown.details}"

    def headline(self, page: int) -> str:
        """Say which part of the event a page shows."""
        begin, end = self.traces[page].limits
        onset, stop = begin <= self.event.onset < end, begin < self.event.stop <= end
        part = " and ".join(word for word, here in (("onset", onset), ("end", stop)) if here) or "evolution"
        return f"page {page + 1} of {len(self.traces)}: {part}"


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
    def draw(self, pages: EventPages, index: int) -> Figure:
        """Draw a page of an event in place of the page before; returns the one figure."""
        figure = self.figure
        for place, shared in self.shared.items():
            style.clear(place, shared)
        event, traces = pages.event, pages.traces[index]
        page = (traces.limits[0], traces.limits[0] + _PAGE)
        coloured = involved_traces(traces.names, event)
        for axes in (self.strip, self.panel):
            axes.set_xlim(*page)
            mark_event(axes, event, page)
        _draw_strip(self.strip, self.scores, self.rule, page)
        draw_traces(self.panel, traces, pages.scale, coloured=coloured)
        draw_grid([self.panel, self.strip], page, self.start)
        ticks, _ = time_ticks(page[0] - event.onset, page[1] - event.onset, start=None, most=10)
        names = ["onset" if tick == 0 else f"{tick:+.0f} s".replace("-", "−") for tick in ticks]
        self.above.set_xticks([event.onset + tick for tick in ticks], names)
        fill_head(self.head, self.scores.nodes, involvement(self.scores, event))
        facts = self._facts(pages, index)
        if coloured:
            facts["Blue, bold"] = "the derivations involved"
        hidden = [span.reason for span in self.scores.unscored if span.stop > page[0] and span.start < page[1]]
        if hidden:
            facts["Hatched: not scored"] = ", ".join(dict.fromkeys(hidden))
        _draw_facts(self.figure, facts)
        if pages.shown.verdict:
            write(figure, style.LEFT, PAGE[1] - 0.34, pages.verdict, weight="bold", color=style.ORANGE)
        return figure

    def _facts(self, pages: EventPages, index: int) -> dict[str, str]:
        """Describe the event and the page in words."""
        event, scale, traces = pages.event, pages.scale, pages.traces[index]
        clock = "" if self.start is None else f"{self.start + timedelta(seconds=event.onset):%H:%M:%S}, "
        confidence = "unknown" if math.isnan(event.confidence) else f"{event.confidence:.2f}"
        channels = ", ".join(event.channels) or "unknown"
        if channels == "all":
            n_known, n_nodes = len(involvement(self.scores, event)), len(self.scores.nodes)
            channels = "all nodes" if n_known == n_nodes else f"all {n_known} nodes that could be judged"
        hidden = f", of which {duration_in_words(pages.hidden)} are on no page" if pages.hidden >= 0.05 else ""
        ecg = f"; ECG {scale.ecg:g} µV/mm, positive up" if ECG_ROW in traces.names else ""
        place = place_in_words(self.scores, event, self.rule.release)
        return {
            f"Event {pages.shown.name}, {pages.headline(index)}": f"{event.label}, confidence {confidence}",
            "Onset": f"{clock}{elapsed(event.onset, digits=1)} after the start",
            "Duration": f"{event.duration:.1f} s{hidden}",
            **({"Begins": place} if place else {}),
            "Involved": channels,
            "Sensitivity": f"{scale.sensitivity:g} µV/mm on each page, negative up{ecg}",
            "Signals": f"{traces.filters}; {PAPER_SPEED} mm/s when printed on A4",
        }


def involved_traces(names: Sequence[str], event: Event) -> tuple[str, ...]:
    """Choose the traces to colour: those of the event's channels; none where all take part or none is known."""

    def touches(name: str, node: str) -> bool:
        return name == node or ("-" not in node and node in name.split("-"))

    return tuple(name for name in names if any(touches(name, node) for node in event.channels))


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


def _draw_facts(figure: Figure, facts: Mapping[str, str]) -> None:
    """Name and value, one under the other, in the side column."""
    y = 4.75
    for name, value in facts.items():
        words = wrap(value, 36, most=4 if name == "Involved" else 2)
        write(figure, _SIDE_LEFT, y, name, weight="bold")
        write(figure, _SIDE_LEFT, y - 0.15, words, linespacing=1.2)
        y -= 0.25 + 0.14 * (1 + words.count("\n"))
