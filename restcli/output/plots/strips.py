"""Expert and detected events of many recordings, one row each."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from restcli.evaluation.scoring import Case
from restcli.output.plots import style
from restcli.output.plots.columns import event_bar

_ROW, _LEFT, _WIDTH = 0.26, 1.9, style.PAGE[0] - 2.2  # inches


@style.styled()
def plot_strips(rows: Sequence[tuple[str, Case]], *, title: str, footer: str) -> Figure:
    """Draw expert above detected events, one row for each recording and the name that it is given here."""
    height = max(2.6, 1.75 + _ROW * len(rows))
    figure = style.make_page((style.PAGE[0], height), title, footer)
    axes = style.add_panel(figure, _LEFT, 0.95, _WIDTH, height - 1.75)
    longest = max((case.expert.duration for _, case in rows), default=1.0)
    least = 3 * longest / (_WIDTH * style.DPI)
    axes.set(xlim=(0, longest), ylim=(max(1, len(rows)) - 0.5, -0.5))
    for y, (_, case) in enumerate(rows):
        duration, unscored = case.expert.duration, () if case.scores is None else case.scores.unscored
        axes.broken_barh([(0, duration)], (y - 0.4, 0.8), facecolor=style.PALE, zorder=1)
        spans = [(span.start, span.stop - span.start) for span in unscored]
        axes.broken_barh(spans, (y - 0.4, 0.8), hatch=style.HATCHES[0], zorder=2, **style.UNSCORED)
        for events, top, colour in ((case.expert, y - 0.4, style.INK), (case.detected, y + 0.02, style.ORANGE)):
            bars = [event_bar(event, least, duration) for event in events]
            axes.broken_barh(bars, (top, 0.38), facecolor=colour, zorder=3)
    axes.set_yticks(range(len(rows)), [style.shorten(style.printable(name), 29) for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks(*style.time_ticks(0.0, longest, start=None, most=10))
    axes.set_xlabel("elapsed (h:mm:ss)")
    keys = [Patch(facecolor=style.INK, label="expert"), Patch(facecolor=style.ORANGE, label="detected")]
    keys.append(Patch(hatch=style.HATCHES[0], label="not scored", **style.UNSCORED))
    axes.legend(handles=keys, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
    return figure
