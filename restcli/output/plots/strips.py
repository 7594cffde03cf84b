"""Expert and detected events of many recordings, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from restcli.events import Events, Span
from restcli.output.plots.columns import event_bar
from restcli.output.plots.style import (
    DIM,
    DPI,
    HATCHES,
    HIDDEN,
    INK,
    ORANGE,
    PAGE,
    PALE,
    add_panel,
    make_page,
    printable,
    shorten,
    styled,
    time_ticks,
)


@dataclass(frozen=True)
class Strip:
    """One recording's row in a picture of many."""

    name: str
    expert: Events
    detected: Events
    unscored: tuple[Span, ...] = ()


@styled()
def plot_strips(strips: Sequence[Strip], *, title: str, footer: str) -> Figure:
    """Draw expert above detected events, one row a recording."""
    row, left = 0.26, 1.9
    height = max(2.6, 1.75 + row * len(strips))
    figure = make_page((PAGE[0], height), title, footer)
    axes = add_panel(figure, left, 0.95, PAGE[0] - left - 0.3, height - 1.75)
    longest = max((strip.expert.duration for strip in strips), default=1.0)
    least = 3 * longest / ((PAGE[0] - left - 0.3) * DPI)
    axes.set(xlim=(0, longest), ylim=(max(1, len(strips)) - 0.5, -0.5))
    for y, strip in enumerate(strips):
        axes.broken_barh([(0, strip.expert.duration)], (y - 0.4, 0.8), facecolor=PALE, zorder=1)
        spans = [(span.start, span.stop - span.start) for span in strip.unscored]
        axes.broken_barh(
            spans, (y - 0.4, 0.8), facecolor=HIDDEN, edgecolor=DIM, hatch=HATCHES[0], linewidth=0, zorder=2
        )
        for events, top, colour in ((strip.expert, y - 0.4, INK), (strip.detected, y + 0.02, ORANGE)):
            axes.broken_barh(
                [event_bar(event, least, strip.expert.duration) for event in events],
                (top, 0.38),
                facecolor=colour,
                zorder=3,
            )
    axes.set_yticks(range(len(strips)), [shorten(printable(strip.name), 29) for strip in strips])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks(*time_ticks(0.0, longest, start=None, most=10))
    axes.set_xlabel("elapsed (h:mm:ss)")
    keys = [
        Patch(facecolor=INK, label="expert"),
        Patch(facecolor=ORANGE, label="detected"),
        Patch(facecolor=HIDDEN, edgecolor=DIM, hatch=HATCHES[0], linewidth=0, label="not scored"),
    ]
    axes.legend(handles=keys, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
    return figure
