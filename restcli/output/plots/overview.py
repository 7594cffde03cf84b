"""A whole recording on one page: probability, events, nodes, spectrum and amplitude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, StepPatch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from restcli.detect.rule import smooth_scores
from restcli.events import EventRule, Events, FloatArray, Scores
from restcli.output.plots.columns import column_extremes, column_highest, column_means, event_bar, hatch_columns
from restcli.output.plots.head import head_order
from restcli.output.plots.style import (
    BLUE,
    BLUE_PALE,
    DIM,
    DPI,
    FAINT,
    FONT_ROW,
    FONT_SMALL,
    FONT_TEXT,
    GREY,
    HATCHES,
    HIDDEN,
    INK,
    MARGIN_NAME,
    ORANGE,
    ORANGE_PALE,
    PAGE,
    PALE,
    POWER_COLOURS,
    PROBABILITY_COLOURS,
    add_panel,
    beside,
    make_page,
    margin_label,
    say,
    styled,
    time_ticks,
    wrap,
)
from restcli.text import count, duration_in_words, elapsed

if TYPE_CHECKING:
    from restcli.detect.result import Result, Trend

_LEFT, _WIDTH = 1.5, 9.2  # inches, of all panels
_N_COLUMNS = round(_WIDTH * DPI / 2)  # two pixels each: a single second of 24 hours can be seen
_NO_SCORE = "no score here"
_MAX_REASONS = 4
_LOWEST, _HIGHEST = 1, 40  # Hz, of the spectrum shown


def draw(result: Result, *, title: str, footer: str) -> Iterator[tuple[str, Figure]]:
    """Draw the whole recording on one page."""
    yield "overview", plot_overview(result, title=title, footer=footer)


@styled()
def plot_overview(result: Result, *, title: str, footer: str) -> Figure:
    """Draw a whole recording on one page: each column of pixels shows the highest probability in its stretch."""
    scores, events, rule, trend = result.scores, result.events, result.rule, result.trend
    figure = make_page(PAGE, title, footer)
    duration = max(scores.announced, 1e-3)
    edges = np.linspace(0.0, duration, _N_COLUMNS + 1)
    places = {
        "amplitude": (1.42, 0.72),
        "spectrum": (2.24, 1.0),
        "nodes": (3.34, 2.5),
        "events": (5.92, 0.36),
        "probability": (6.34, 0.92),
    }
    panels = {name: add_panel(figure, _LEFT, bottom, _WIDTH, height) for name, (bottom, height) in places.items()}
    for axes in panels.values():
        axes.set_xlim(0, duration)
    _draw_summary(figure, scores, events)
    if result.recording.repairs:
        words = _repairs_in_a_line(result.recording.repairs, 180)
        figure.text(0.15 / PAGE[0], 1 - 0.57 / PAGE[1], words, fontsize=FONT_SMALL, weight="bold", va="top", color=INK)
    _draw_probability(panels["probability"], scores, rule, edges)
    _draw_events(panels["events"], events, scores)
    _draw_nodes(panels["nodes"], scores, rule, edges)
    _draw_spectrum(panels["spectrum"], trend, edges)
    _draw_amplitude(panels["amplitude"], trend, edges)
    _shade_events(panels["probability"], events, edges)
    unscored = _unscored_columns(scores, edges)
    for axes in panels.values():
        hatch_columns(axes, [columns for _, columns in unscored.values()], edges)
    _draw_time(panels, duration, events.start)
    _draw_reasons(figure, scores, unscored)
    return figure


def _repairs_in_a_line(repairs: Sequence[str], width: int) -> str:
    """Name as many repairs as fit whole, and count the others."""
    line = ""
    for n in range(len(repairs), 0, -1):
        others = f"; {len(repairs) - n} more in the run report" if n < len(repairs) else ""
        line = f"Repaired: {'; '.join(repairs[:n])}{others}"
        if len(line) <= width:
            break
    return wrap(line, width, most=1)


def _draw_summary(figure: Figure, scores: Scores, events: Events) -> None:
    total = sum(event.duration for event in events)
    found = f"{count(len(events), 'event')} detected" + (f", {duration_in_words(total)} in all" if total else "")
    start = "" if events.start is None else f"starts {events.start:%H:%M:%S} · "
    missing = scores.announced - scores.duration
    cut_off = f"cut off, {duration_in_words(missing)} are missing · " if missing > 0 else ""
    text = f"{start}lasts {elapsed(scores.duration)} · {cut_off}{found if scores.n_scored else 'nothing was scored'}"
    figure.text(0.15 / PAGE[0], 1 - 0.42 / PAGE[1], text, fontsize=FONT_TEXT, va="top", color=INK)


def _draw_probability(axes: Axes, scores: Scores, rule: EventRule, edges: FloatArray) -> None:
    width = max(1, round(rule.smooth / scores.step))
    high = column_highest(scores.time, smooth_scores(scores.probability, width), edges, step=scores.step)
    column = float(edges[1] - edges[0])
    label = f"probability ({rule.smooth:g}-s mean" if width > 1 else "probability ("
    label += f"; highest in each {duration_in_words(column)})" if column > scores.step else ")"
    label = label.replace(" ()", "").replace("(; ", "(")
    if scores.interval is not None:
        band = column_highest(scores.time, smooth_scores(scores.interval, width), edges, step=scores.step)
        _steps(axes, band[:, 1], edges, baseline=band[:, 0], color=BLUE_PALE, label="5–95 % of masked passes")
    else:
        _steps(axes, high, edges, baseline=0.0, color=BLUE_PALE)
    _steps(axes, high, edges, color=BLUE, linewidth=1.0, label=label)
    axes.axhline(rule.threshold, color=INK, linewidth=0.9, linestyle="--", label=f"threshold {rule.threshold:.2g}")
    axes.axhline(rule.release, color=INK, linewidth=0.8, linestyle=":", label=f"release {rule.release:.2g}")
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_facecolor("white")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.17), ncols=4, borderaxespad=0, handlelength=2.2, columnspacing=1.6
    )
    margin_label(axes, "Seizure\nprobability")


def _steps(axes: Axes, values: FloatArray, edges: FloatArray, *, baseline: Any = None, **style: Any) -> None:
    """Draw a value a column as steps, filled down to a baseline where there is one."""
    filled = baseline is not None
    style |= {"linewidth": 0} if filled else {}
    axes.add_artist(StepPatch(values, edges, baseline=baseline, fill=filled, **style))


def _shade_events(axes: Axes, events: Events, edges: FloatArray) -> None:
    if len(events):
        bars = [event_bar(event, float(edges[1] - edges[0]), float(edges[-1])) for event in events]
        axes.broken_barh(
            bars, (0, 1), transform=axes.get_xaxis_transform(), facecolor=ORANGE_PALE, edgecolor="none", zorder=0.5
        )


def _draw_events(axes: Axes, events: Events, scores: Scores) -> None:
    axes.set_ylim(0, 1)
    margin_label(axes, "Events")
    end = axes.get_xlim()[1]
    pixel = end / (_WIDTH * DPI)
    if not len(events):
        say(axes, "no events detected" if scores.n_scored else "not scored")
        return
    axes.broken_barh([event_bar(event, 3 * pixel, end) for event in events], (0, 0.42), facecolor=ORANGE, zorder=4)
    for centre, text in number_labels([event.onset + event.duration / 2 for event in events], pixel=pixel):
        place = min(max(centre, 5 * len(text) * pixel), end - 5 * len(text) * pixel)
        axes.text(place, 0.5, text, ha="center", va="bottom", fontsize=FONT_SMALL, weight="bold", zorder=6)


def number_labels(centres: Sequence[float], *, pixel: float) -> list[tuple[float, str]]:
    """Give events their numbers from 1, joining neighbours whose numbers would touch (``4–7``).

    >>> number_labels([10, 12, 900], pixel=1.0)
    [(11.0, '1–2'), (900.0, '3')]
    """
    groups = [[index] for index in range(len(centres))]

    def label(group: list[int]) -> tuple[float, str]:
        text = f"{group[0] + 1}" if len(group) == 1 else f"{group[0] + 1}–{group[-1] + 1}"
        return (centres[group[0]] + centres[group[-1]]) / 2, text

    touching = True
    while touching:
        touching = False
        for index in range(len(groups) - 1, 0, -1):
            (left, left_text), (right, right_text) = label(groups[index - 1]), label(groups[index])
            if right - left < (4.7 * (len(left_text) + len(right_text)) + 4) * pixel:
                groups[index - 1 : index + 1] = [groups[index - 1] + groups[index]]
                touching = True
    return [label(group) for group in groups]


def _draw_nodes(axes: Axes, scores: Scores, rule: EventRule, edges: FloatArray) -> None:
    """Heat map: one row a node in head order, with space between the groups."""
    width = max(1, round(rule.smooth / scores.step))
    high = column_highest(scores.time, smooth_scores(scores.by_node, width), edges, step=scores.step)
    rows = {name: high[:, i] for i, name in enumerate(scores.nodes)}
    absent = np.full(len(edges) - 1, np.nan)
    places: dict[str, float] = {}
    y = 0.0
    for group, members in head_order(scores.nodes):
        extent = (edges[0], edges[-1], y + len(members), y)
        _draw_image(axes, np.array([rows.get(name, absent) for name in members]), extent, PROBABILITY_COLOURS, (0, 1))
        middle, style = (0, y + len(members) / 2), {"ha": "right", "fontsize": FONT_TEXT, "weight": "bold"}
        beside(axes, group.replace(" ", "\n"), middle, MARGIN_NAME, xycoords=axes.get_yaxis_transform(), **style)
        places |= {name: y + 0.5 + i for i, name in enumerate(members)}
        y += len(members) + 0.45
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(y - 0.45, 0)
    axes.set_facecolor(PALE)
    axes.set_yticks(list(places.values()), list(places), fontsize=FONT_ROW)
    axes.tick_params(axis="y", length=0, pad=2)
    right: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": FONT_ROW, "color": GREY, "zorder": 3}
    for tick, (name, place) in zip(axes.get_yticklabels(), places.items(), strict=True):
        if name not in rows or not np.isfinite(rows[name]).any():
            tick.set_color(DIM)
            axes.text(edges[-1] * 0.995, place, "not available", **right)
    _colour_bar(axes, PROBABILITY_COLOURS, (0.0, 1.0), "probability\nat node")


def _draw_image(
    axes: Axes, image: FloatArray, extent: tuple[float, ...], colours: Colormap, limits: tuple[float, float]
) -> None:
    origin: Any = "lower" if extent[2] < extent[3] else "upper"
    low, high = limits
    axes.imshow(
        image,
        extent=extent,  # type: ignore[arg-type]
        origin=origin,
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=low,
        vmax=high,
        zorder=2,
    )


def _colour_bar(axes: Axes, colours: Colormap, limits: tuple[float, float], label: str) -> None:
    """Put a colour scale with its name right of a panel."""
    box, figure = axes.get_position(), axes.figure
    height = min(box.height, 1.2 / PAGE[1])
    bar = figure.add_axes((box.x1 + 0.1 / PAGE[0], box.y0 + (box.height - height) / 2, 0.12 / PAGE[0], height))
    figure.colorbar(ScalarMappable(Normalize(*limits), colours), cax=bar)
    bar.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    bar.tick_params(length=2, pad=2)
    beside(bar, label, (1, 0.5), (22, 0), rotation=90, ha="left", fontsize=FONT_SMALL)


def _draw_spectrum(axes: Axes, trend: Trend, edges: FloatArray) -> None:
    margin_label(axes, "Spectrum\n(Hz)")
    axes.set_facecolor(PALE)
    decibels = trend.spectrum[:, _LOWEST : _HIGHEST + 1] * 10
    if not np.isfinite(decibels).any():
        say(axes, "no spectrum")
        return
    power = column_means(trend.time, decibels, edges, step=_trend_step(trend))
    low, high = np.nanpercentile(power, [2, 99.5])
    high = max(high, low + 1.0)
    _draw_image(axes, power.T, (edges[0], edges[-1], _LOWEST - 0.5, _HIGHEST + 0.5), POWER_COLOURS, (low, high))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_yticks([10, 20, 30, 40])
    _colour_bar(axes, POWER_COLOURS, (low, high), "power (dB)")


def _trend_step(trend: Trend) -> float:
    return float(np.median(np.diff(trend.time))) if len(trend.time) > 1 else 1.0


def _draw_amplitude(axes: Axes, trend: Trend, edges: FloatArray) -> None:
    margin_label(axes, "Amplitude\n(µV RMS)")
    positive = np.where(trend.amplitude > 0, trend.amplitude, np.nan)
    known = positive[np.isfinite(positive)]
    axes.set_yscale("log")
    bottom, top = 5.0, 100.0
    if known.size:
        bottom, top = min(bottom, float(np.percentile(known, 1)) * 0.8), max(top, float(known.max()) * 1.2)
    axes.set_ylim(max(bottom, 0.1), top)
    steps = (1, 2, 5) if top / bottom < 40 else (1,)
    ticks = [step * 10.0**power for power in range(-1, 5) for step in steps if bottom <= step * 10.0**power <= top]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    if not known.size:
        say(axes, "no amplitude")
        return
    step = _trend_step(trend)
    low, high = column_extremes(trend.time, positive, edges, step=step)
    _steps(axes, high, edges, baseline=low, color=FAINT)
    means = np.exp(column_means(trend.time, np.log(positive), edges, step=step))
    _steps(axes, means, edges, color=INK, linewidth=0.9)


def _unscored_columns(scores: Scores, edges: FloatArray) -> dict[str, tuple[float, NDArray[np.bool_]]]:
    """Seconds and columns (K,) by reason: columns mostly inside spans that were not scored, or without any score."""
    seconds: dict[str, float] = {}
    covered: dict[str, NDArray[np.float64]] = {}
    for span in scores.unscored:
        seconds[span.reason] = seconds.get(span.reason, 0.0) + span.stop - span.start
        inside = np.diff(np.clip(edges, span.start, max(span.start, span.stop)))
        covered[span.reason] = covered.get(span.reason, 0.0) + inside
    ranked = sorted(seconds, key=lambda reason: -seconds[reason])
    if len(ranked) > _MAX_REASONS:
        rest = ranked[_MAX_REASONS - 1 :]
        seconds["other reasons"] = sum(seconds.pop(reason) for reason in rest)
        covered["other reasons"] = np.sum([covered.pop(reason) for reason in rest], axis=0)
    _, high = column_extremes(scores.time, scores.probability, edges, step=scores.step)
    width = np.diff(edges)
    amount = np.array([*covered.values(), np.zeros(len(width))])
    main, total = amount.argmax(axis=0), amount.sum(axis=0)
    hidden = (total > 0.5 * width) | ~np.isfinite(high)
    result = {reason: (seconds[reason], hidden & (main == i) & (total > 0)) for i, reason in enumerate(covered)}
    left = hidden & (total <= 0)
    if left.any():
        unexplained = (1 - scores.scored) * scores.announced - sum(seconds.values())
        result[_NO_SCORE] = (unexplained if unexplained > 0 else float(width[left].sum()), left)
    return result


def _draw_reasons(figure: Figure, scores: Scores, unscored: Mapping[str, tuple[float, NDArray[np.bool_]]]) -> None:
    """Explain the hatching at the foot of the page."""
    figure.text(0.15 / PAGE[0], 0.86 / PAGE[1], "Not scored", weight="bold", va="top")
    if not unscored:
        figure.text(_LEFT / PAGE[0], 0.86 / PAGE[1], "none", fontsize=FONT_SMALL, va="top")
        return
    handles = []
    for (reason, (seconds, _)), hatch in zip(unscored.items(), HATCHES, strict=False):
        share = 100 * seconds / max(scores.announced, 1e-9)
        text = wrap(reason, 52, most=1)
        label = f"{text} ({duration_in_words(seconds)}, {min(share, 100.0):.3g} %)"
        handles.append(Patch(facecolor=HIDDEN, edgecolor=DIM, hatch=hatch, linewidth=0, label=label))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_LEFT / PAGE[0], 0.89 / PAGE[1]),
        borderaxespad=0,
        borderpad=0,
        ncols=2 if len(handles) < 5 else 3,
        handlelength=2.4,
        handleheight=1.1,
        labelspacing=0.35,
    )


def _draw_time(panels: Mapping[str, Axes], duration: float, start: datetime | None) -> None:
    """Clock below and elapsed time above; elapsed below when there is no clock."""
    bottom, top = panels["amplitude"], panels["probability"]
    ticks, labels = time_ticks(0.0, duration, start=start, most=12)
    for axes in panels.values():
        axes.tick_params(axis="x", length=0)
        for tick in ticks:
            axes.axvline(tick, color=FAINT, linewidth=0.4, zorder=0.6)
    bottom.set_xticks(ticks, labels)
    bottom.tick_params(axis="x", length=3)
    _time_name(bottom, "Elapsed" if start is None else "Clock time", y=0.0, points=-9)
    if start is not None:
        other = top.secondary_xaxis("top")
        other.set_xticks(*time_ticks(0.0, duration, start=None, most=12))
        other.tick_params(axis="x", length=3, labelsize=FONT_SMALL, pad=2)
        _time_name(top, "Elapsed", y=1.0, points=9)


def _time_name(axes: Axes, text: str, *, y: float, points: float) -> None:
    beside(axes, text, (0, y), (MARGIN_NAME[0], points), ha="right", fontsize=FONT_SMALL, weight="bold")
