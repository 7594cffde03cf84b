"""A whole recording on one page: probability, events, nodes, spectrum and amplitude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from restcli.detect.rule import evidence, smooth_scores
from restcli.events import Event, EventRule, Events, FloatArray, Scores
from restcli.output.burden import burden_of
from restcli.output.plots import style
from restcli.output.plots.columns import draw_steps, event_bar, hatch_columns
from restcli.output.plots.head import head_order
from restcli.output.plots.style import DPI, PAGE, beside, margin_label, say, time_ticks, wrap, write
from restcli.output.shown import Shown, count_in_words
from restcli.output.text import unscored_reasons
from restcli.signal.columns import Columns
from restcli.signal.sequences import true_runs
from restcli.text import count, duration_in_words, elapsed

if TYPE_CHECKING:
    from restcli.detect.result import Result, Trend

_LEFT, _WIDTH = 1.5, 9.2  # inches, of all panels
_N_COLUMNS = round(_WIDTH * DPI / 2)  # two pixels each: a single second of 24 hours can be seen
_PLACES = {  # bottom and height of each panel, inches
    "amplitude": (1.42, 0.72),
    "spectrum": (2.24, 1.0),
    "nodes": (3.34, 2.34),
    "hidden": (5.74, 0.1),
    "events": (5.9, 0.38),
    "probability": (6.34, 0.92),
}
_NO_SEIZURE: dict[str, Any] = {"facecolor": "white", "edgecolor": style.GREY, "linewidth": 0.8}  # rejected, open
_NO_SCORE, _OTHER = "no score here", "other reasons"
_MAX_REASONS = 4
_LINE = 180  # letters of the smaller lines across the page
_LOWEST, _HIGHEST = 1, 40  # Hz, of the spectrum shown


def draw(result: Result, shown: Sequence[Shown], *, title: str, footer: str) -> Iterator[tuple[str, Figure]]:
    """Draw the whole recording on one page."""
    yield "overview", plot_overview(result, shown, title=title, footer=footer)


@style.styled()
def plot_overview(result: Result, shown: Sequence[Shown], *, title: str, footer: str) -> Figure:
    """Draw a whole recording on one page: each column of pixels shows the highest probability in its stretch."""
    scores, events, rule, trend = result.scores, result.events, result.rule, result.trend
    figure = style.make_page(PAGE, title, footer)
    duration = max(scores.announced, 1e-3)
    edges = np.linspace(0.0, duration, _N_COLUMNS + 1)
    panels = {name: style.add_panel(figure, _LEFT, low, _WIDTH, height) for name, (low, height) in _PLACES.items()}
    write(figure, style.LEFT, PAGE[1] - 0.4, _summary(scores, events))
    note = _note(shown, result.recording.repairs)
    write(figure, style.LEFT, PAGE[1] - 0.54, note, fontsize=style.FONT_SMALL, weight="bold")
    columns = Columns(edges, scores.time, scores.step)
    _draw_probability(panels["probability"], scores, rule, columns)
    _draw_events(panels, shown, scores, edges)
    _draw_nodes(panels["nodes"], scores, rule, columns)
    trend_step = float(np.median(np.diff(trend.time))) if len(trend.time) > 1 else 1.0
    trend_columns = Columns(edges, trend.time, trend_step)
    _draw_spectrum(panels["spectrum"], trend, trend_columns)
    _draw_amplitude(panels["amplitude"], trend, trend_columns)
    unscored = _unscored_columns(scores, columns)
    _draw_hidden(panels["hidden"], scores, unscored, edges)
    for name, axes in panels.items():
        axes.set_xlim(0, duration)
        if name != "hidden":
            hatch_columns(axes, [hidden for _, hidden in unscored.values()], edges)
    _draw_time(figure, panels, duration, events.start)
    _draw_reasons(figure, scores, unscored)
    return figure


def _summary(scores: Scores, events: Events) -> str:
    total = sum(event.duration for event in events)
    found = f"{count(len(events), 'event')}" + (f", {duration_in_words(total)} in all" if total else "")
    start = "" if events.start is None else f"starts {events.start:%H:%M:%S} · "
    missing = scores.announced - scores.duration
    cut_off = f"cut off, {duration_in_words(missing)} are missing · " if missing > 0 else ""
    burden = burden_of(events, scores.announced)
    found += f" · burden (ACNS): {burden.whole.word}; electrographic status: {burden.status}"
    return f"{start}lasts {elapsed(scores.duration)} · {cut_off}{found if scores.n_scored else 'nothing was scored'}"


def _note(shown: Sequence[Shown], repairs: Sequence[str]) -> str:
    """Count the verdicts; name as many repairs as fit whole behind them, and count the others."""
    verdicts = count_in_words(shown)
    line = begin = f"After review: {verdicts}" if verdicts else ""
    for n in range(len(repairs), 0, -1):
        others = f"; {len(repairs) - n} more in the run report" if n < len(repairs) else ""
        line = f"{begin}{' · ' if begin else ''}Repaired: {'; '.join(repairs[:n])}{others}"
        if len(line) <= _LINE:
            break
    return wrap(line, _LINE, most=1)


def _draw_probability(axes: Axes, scores: Scores, rule: EventRule, columns: Columns) -> None:
    width, edges = rule.width(scores.step), columns.edges
    column = float(edges[1])
    high = columns.highest(evidence(scores.probability, rule, scores.step))
    shown = [rule.means] if width > 1 or rule.long else []
    shown += [f"highest in each {duration_in_words(column)}"] if column > scores.step else []
    if scores.interval is not None:
        band = columns.highest(smooth_scores(scores.interval, width))
        label = "5–95 % of masked passes"
        draw_steps(axes, band[:, 1], edges, baseline=band[:, 0], color=style.BLUE_PALE, label=label)
    else:
        draw_steps(axes, high, edges, baseline=0.0, color=style.BLUE_PALE)
    label = f"probability ({'; '.join(shown)})" if shown else "probability"
    draw_steps(axes, high, edges, color=style.BLUE, label=label)
    line: dict[str, Any] = {"color": style.INK, "linewidth": 0.9}
    axes.axhline(rule.threshold, linestyle="--", label=f"threshold {rule.threshold:.2g}", **line)
    axes.axhline(rule.release, linestyle=":", label=f"release {rule.release:.2g}", **line)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.17), ncols=4, borderaxespad=0, columnspacing=1.6)
    margin_label(axes, "Seizure\nprobability")


def _draw_events(panels: Mapping[str, Axes], shown: Sequence[Shown], scores: Scores, edges: FloatArray) -> None:
    """Draw numbered bars, and shade the events behind the probability."""
    axes, end = panels["events"], float(edges[-1])
    axes.set_ylim(0, 1)
    if not shown:
        margin_label(axes, "Events")
        say(axes, "no events detected" if scores.n_scored else "not scored")
        return
    shades = [event_bar(each.event, float(edges[1]), end) for each in shown if each.is_seizure]
    panels["probability"].broken_barh(shades, (-1, 3), facecolor=style.ORANGE_PALE, zorder=0.5)
    pixel = end / (_WIDTH * DPI)
    bars = [event_bar(each.event, 3 * pixel, end) for each in shown]
    seizures = [each.is_seizure for each in shown]
    for chosen, look in ((True, {"facecolor": style.ORANGE}), (False, _NO_SEIZURE)):
        axes.broken_barh(
            [bar for bar, own in zip(bars, seizures, strict=True) if own is chosen], (0, 0.32), zorder=4, **look
        )
    centres = [left + width / 2 for left, width in bars]
    forms = [each.in_words for each in shown], [each.in_short for each in shown]
    labels, places = spread_labels(forms, centres, pixel=pixel, end=end)
    first = next(i for i, label in enumerate(labels, start=1) if label)
    margin_label(axes, "Events" if first == 1 else f"Events\n(every {first}{'nd' if first == 2 else 'th'})")
    drawn = [(c, label, place) for c, label, place in zip(centres, labels, places, strict=True) if label]
    leaders = [((centre, 0.32), (place, 0.54)) for centre, _, place in drawn]
    axes.add_artist(LineCollection(leaders, color=style.ORANGE, linewidth=0.6, zorder=4))
    for _, label, place in drawn:
        axes.text(place, 0.54, label, ha="center", va="bottom", fontsize=style.FONT_ROW, zorder=6)


def spread_labels(
    forms: Sequence[Sequence[str]], centres: Sequence[float], *, pixel: float, end: float
) -> tuple[list[str], list[float]]:
    """Choose the first form of labels that has room, or every second, fifth, ... of the last form; move them aside.

    No two touch. Returns a label for each event, empty for one that gets none, and its place.

    >>> spread_labels([["1", "2", "3"]], [100.0, 102.0, 500.0], pixel=1.0, end=900.0)
    (['1', '2', '3'], [95.0, 107.0, 500.0])
    """
    steps = [power * digit for power in (1, 10, 100, 1000, 10_000) for digit in (1, 2, 5)]
    for step, form in [*((1, form) for form in forms), *((step, forms[-1]) for step in steps[1:])]:
        numbers = list(range(step - 1, len(centres), step))
        room = np.array([(9.0 * len(form[i]) + 3) * pixel for i in numbers])
        if room.sum() <= end:
            break
    # Least squares with a distance between neighbours: their mean where they would overlap, and so on.
    before = np.concatenate([[0.0], np.cumsum((room[1:] + room[:-1]) / 2)])
    groups: list[tuple[float, int]] = []
    for wanted in np.array(centres)[numbers] - before:
        value, size = float(wanted), 1
        while groups and groups[-1][0] > value:
            other, n = groups.pop()
            value, size = (value * size + other * n) / (size + n), size + n
        groups.append((value, size))
    free = np.repeat([value for value, _ in groups], [size for _, size in groups])
    inside = np.clip(free, room[0] / 2, end - before[-1] - room[-1] / 2) + before
    places = dict(zip(numbers, inside.tolist(), strict=True))
    order = range(len(centres))
    return [form[i] if i in places else "" for i in order], [places.get(i, 0.0) for i in order]


def _draw_nodes(axes: Axes, scores: Scores, rule: EventRule, columns: Columns) -> None:
    """Heat map: one row a node in head order, with space between the groups."""
    edges, high = columns.edges, columns.highest(smooth_scores(scores.by_node, rule.width(scores.step)))
    rows = {name: high[:, i] for i, name in enumerate(scores.nodes)}
    absent = np.full(len(edges) - 1, np.nan)
    places: dict[str, float] = {}
    y = -0.45
    for group, members in head_order(scores.nodes):
        top, y = y + 0.45, y + 0.45 + len(members)
        image = axes.imshow(
            np.array([rows.get(name, absent) for name in members]),
            extent=(edges[0], edges[-1], y, top),
            cmap=style.PROBABILITY_COLOURS,
            vmin=0,
            vmax=1,
            zorder=2,
        )
        margin_label(axes, group.replace(" ", "\n"), at=(0, (top + y) / 2), xycoords=axes.get_yaxis_transform())
        places |= {name: top + 0.5 + i for i, name in enumerate(members)}
    axes.set_ylim(y, 0)
    axes.set_facecolor(style.PALE)
    axes.set_yticks(list(places.values()), list(places), fontsize=style.FONT_ROW)
    axes.tick_params(axis="y", length=0, pad=2)
    right: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": style.FONT_ROW, "zorder": 3}
    for tick, (name, place) in zip(axes.get_yticklabels(), places.items(), strict=True):
        if not np.isfinite(rows.get(name, absent)).any():
            tick.set_color(style.DIM)
            axes.text(edges[-1] * 0.995, place, "not available", color=style.GREY, **right)
    _colour_bar(image, "probability\nat node")


def _colour_bar(image: AxesImage, label: str) -> None:
    """Put a colour scale with its name right of a panel."""
    box, figure = image.axes.get_position(), image.axes.figure
    height = min(box.height, 1.2 / PAGE[1])
    bar = figure.add_axes((box.x1 + 0.1 / PAGE[0], box.y0 + (box.height - height) / 2, 0.12 / PAGE[0], height))
    figure.colorbar(image, cax=bar)
    bar.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    bar.tick_params(length=2, pad=2)
    beside(bar, label, (1, 0.5), (22, 0), rotation=90, ha="left", fontsize=style.FONT_SMALL)


def _draw_spectrum(axes: Axes, trend: Trend, columns: Columns) -> None:
    margin_label(axes, "Spectrum\n(Hz)")
    axes.set_facecolor(style.PALE)
    decibels = trend.spectrum[:, _HIGHEST : _LOWEST - 1 : -1] * 10
    if not np.isfinite(decibels).any():
        say(axes, "no spectrum")
        return
    power = columns.means(decibels)
    low, high = np.nanpercentile(power, [2, 99.5])
    extent = (columns.edges[0], columns.edges[-1], _LOWEST - 0.5, _HIGHEST + 0.5)
    image = axes.imshow(power.T, extent=extent, cmap=style.POWER_COLOURS, vmin=low, vmax=max(high, low + 1.0), zorder=2)
    axes.set_yticks([10, 20, 30, 40])
    _colour_bar(image, "power (dB)")


def _draw_amplitude(axes: Axes, trend: Trend, columns: Columns) -> None:
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
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    if not known.size:
        say(axes, "no amplitude")
        return
    draw_steps(axes, columns.highest(positive), columns.edges, baseline=columns.lowest(positive), color=style.FAINT)
    draw_steps(axes, np.exp(columns.means(np.log(positive))), columns.edges, color=style.INK)


def _unscored_columns(scores: Scores, columns: Columns) -> dict[str, tuple[float, NDArray[np.bool_]]]:
    """Seconds and columns (K,) by reason: columns mostly inside spans that were not scored, or without any score."""
    reasons = list(unscored_reasons(scores))
    if len(reasons) > _MAX_REASONS:
        reasons[_MAX_REASONS - 1 :] = [_OTHER]
    edges, seconds = columns.edges, np.zeros(len(reasons))
    width = np.diff(edges)
    covered = np.zeros((len(reasons) + 1, len(width)))  # the last row stays zero
    for span in scores.unscored:
        row = reasons.index(span.reason if span.reason in reasons else _OTHER)
        seconds[row] += span.stop - span.start
        covered[row] += np.diff(np.clip(edges, span.start, max(span.start, span.stop)))
    main, total = covered.argmax(axis=0), covered.sum(axis=0)
    hidden = (total > 0.5 * width) | ~np.isfinite(columns.highest(scores.probability))
    result = {name: (float(seconds[row]), hidden & (main == row) & (total > 0)) for row, name in enumerate(reasons)}
    left = hidden & (total <= 0)
    if left.any():
        unexplained = (1 - scores.scored) * scores.announced - float(seconds.sum())
        result[_NO_SCORE] = (unexplained if unexplained > 0 else float(width[left].sum()), left)
    return result


def _draw_hidden(
    axes: Axes, scores: Scores, unscored: Mapping[str, tuple[float, NDArray[np.bool_]]], edges: FloatArray
) -> None:
    """Mark every second that was not scored, however short beside the recording; panels are hatched for most of one."""
    margin_label(axes, "Not scored", fontsize=style.FONT_SMALL)
    end = float(edges[-1])
    spans = [Event(span.start, span.stop - span.start) for span in scores.unscored if span.stop > span.start]
    bars = [event_bar(span, 4 * end / (_WIDTH * DPI), end) for span in spans]
    _, left = unscored.get(_NO_SCORE, (0.0, np.zeros(len(edges) - 1, dtype=bool)))
    bars += [(edges[a], edges[b] - edges[a]) for a, b in true_runs(left)]
    axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), facecolor=style.GREY, zorder=4)


def _draw_reasons(figure: Figure, scores: Scores, unscored: Mapping[str, tuple[float, NDArray[np.bool_]]]) -> None:
    """Explain the hatching at the foot of the page."""
    write(figure, style.LEFT, 0.86, "Not scored", weight="bold")
    if not unscored:
        write(figure, _LEFT, 0.86, "none", fontsize=style.FONT_SMALL)
        return
    handles = []
    for (reason, (seconds, _)), hatch in zip(unscored.items(), style.HATCHES, strict=False):
        share = min(100 * seconds / max(scores.announced, 1e-9), 100.0)
        label = f"{wrap(reason, 52, most=1)} ({duration_in_words(seconds)}, {share:.3g} %)"
        handles.append(Patch(hatch=hatch, label=label, **style.UNSCORED))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_LEFT / PAGE[0], 0.89 / PAGE[1]),
        borderaxespad=0,
        borderpad=0,
        ncols=2 if len(handles) < 5 else 3,
        handleheight=1.1,
        labelspacing=0.35,
    )


def _draw_time(figure: Figure, panels: Mapping[str, Axes], duration: float, start: datetime | None) -> None:
    """Clock below and elapsed time above; elapsed below when there is no clock."""
    bottom, top = panels["amplitude"], panels["probability"]
    ticks, labels = time_ticks(0.0, duration, start=start, most=12)
    for axes in panels.values():
        for tick in ticks:
            axes.axvline(tick, color=style.FAINT, linewidth=0.4, zorder=0.6)
    bottom.set_xticks(ticks, labels)
    bottom.tick_params(axis="x", length=3)
    name: dict[str, Any] = {"fontsize": style.FONT_SMALL, "weight": "bold", "va": "center"}
    write(figure, style.LEFT, _PLACES["amplitude"][0] - 0.125, "Elapsed" if start is None else "Clock time", **name)
    if start is not None:
        other = top.secondary_xaxis("top")
        other.set_xticks(*time_ticks(0.0, duration, start=None, most=12))
        other.tick_params(axis="x", length=3, labelsize=style.FONT_SMALL, pad=2)
        write(figure, style.LEFT, sum(_PLACES["probability"]) + 0.125, "Elapsed", **name)
