"""Where nodes are on the head: their order on a page, and the map of their involvement in an event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import Circle, Ellipse, Polygon

from restcli.events import Event, Scores
from restcli.output.plots.style import FAINT, FONT_SMALL, GREY, INK, PROBABILITY_COLOURS
from restcli.signal.montage import CHAINS, DOUBLE_BANANA, ELECTRODES_19, electrode_position

_RADIUS, _DISC = 1.2, 0.135


def head_order(nodes: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Group nodes by chains, from left temporal to right temporal; a known montage is completed with absent nodes.

    >>> head_order(["C4", "C3"])[2]
    ('Midline', ('FZ', 'CZ', 'PZ'))
    """
    column = 0 if any("-" in node for node in nodes) or not nodes else 1
    groups = tuple((name.capitalize(), tuple(members[column].split())) for name, members in CHAINS.items())
    known = {node for _, members in groups for node in members}
    if nodes and known.isdisjoint(nodes):
        return (("", tuple(nodes)),)
    other = tuple(node for node in nodes if node not in known)
    return (*groups, ("Other", other)) if other else groups


def involvement(scores: Scores, event: Event) -> dict[str, float]:
    """Average each node's probability over an event."""
    inside = (scores.time >= event.onset) & (scores.time < event.stop)
    if not inside.any() and len(scores.time):
        inside[np.argmin(np.abs(scores.time - event.onset - event.duration / 2))] = True
    values = scores.by_node[inside]
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return {name: float(mean[i]) for i, name in enumerate(scores.nodes) if known[:, i].any()}


def _derivations(nodes: Sequence[str]) -> list[str]:
    """Return the derivations that the map can place, completed to the whole montage so that missing ones show."""
    if not any("-" in node for node in nodes):
        return []
    placed = set(ELECTRODES_19)
    return list(dict.fromkeys([*DOUBLE_BANANA, *(node for node in nodes if set(node.split("-")) <= placed)]))


def project(name: str) -> tuple[float, float]:
    """Place an electrode on the flat head: azimuthal equidistant from the vertex, the circle of FP1 and O1 at radius 1.

    >>> tuple(round(value, 3) for value in project("T4"))
    (1.0, 0.0)
    """
    x, y, z = electrode_position(name)
    radius = math.acos(max(-1.0, min(1.0, z))) / (math.pi / 2)
    length = math.hypot(x, y)
    return (0.0, 0.0) if length < 1e-9 else (x / length * radius, y / length * radius)


def draw_empty_head(axes: Axes, title: str = "Involvement in the event", scale: str = "mean probability") -> None:
    """Outline, name and scale: what every head shares."""
    line: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "linewidth": 1.1, "zorder": 0.5}
    axes.add_patch(Polygon([(-0.14, _RADIUS - 0.02), (0, _RADIUS + 0.17), (0.14, _RADIUS - 0.02)], **line))
    for side in (-1, 1):
        axes.add_patch(Ellipse((side * _RADIUS, 0), 0.3, 0.55, **line))
    axes.add_patch(Circle((0, 0), _RADIUS, **(line | {"zorder": 0.6})))
    axes.text(0, 1.48, title, ha="center", va="bottom", weight="bold")
    axes.imshow(np.linspace(0, 1, 64)[None], extent=(-0.6, 0.6, -1.5, -1.4), cmap=PROBABILITY_COLOURS)
    for x, words in ((-0.68, "0"), (0.68, "1")):
        axes.text(x, -1.45, words, ha="center", va="center", fontsize=FONT_SMALL)
    axes.text(0, -1.56, f"{scale} at the node", ha="center", va="top", fontsize=FONT_SMALL)
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.62, 1.48), aspect="equal", anchor="N")
    axes.axis("off")


def fill_head(axes: Axes, nodes: Sequence[str], shares: Mapping[str, float]) -> None:
    """Involvement on the head: discs for electrodes, bars between them for derivations."""
    derivations = _derivations(nodes)
    ends = {node: [project(name) for name in node.split("-")] for node in derivations}
    unknown = [ends[node] for node in derivations if node not in shares]
    known = sorted((node for node in derivations if node in shares), key=lambda node: shares[node])
    axes.add_artist(LineCollection(unknown, color=FAINT, linewidth=0.8, linestyle=":", zorder=2))
    bars = [ends[node] for node in known for _ in range(2)]  # the ink around a bar, then the bar, weakest first
    widths = [edge + 6 * shares[node] for node in known for edge in (3.6, 2.6)]
    colours = [colour for node in known for colour in (to_rgba(INK), PROBABILITY_COLOURS(shares[node]))]
    axes.add_artist(LineCollection(bars, colors=colours, linewidths=widths, capstyle="butt", zorder=2.5))
    fills = {name: PROBABILITY_COLOURS(shares[name]) if name in shares else to_rgba("white") for name in ELECTRODES_19}
    ghosts = [name not in shares and not derivations for name in ELECTRODES_19]
    places = [project(name) for name in ELECTRODES_19]
    discs = EllipseCollection(2 * _DISC, 2 * _DISC, 0, units="xy", offsets=places, offset_transform=axes.transData)
    discs.set(facecolors=list(fills.values()), linewidths=0.7, zorder=5)
    discs.set(edgecolors=[FAINT if ghost else INK for ghost in ghosts], linestyles=[":" if g else "-" for g in ghosts])
    axes.add_artist(discs)
    centred: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 5.9, "zorder": 6}
    for place, name, ghost in zip(places, ELECTRODES_19, ghosts, strict=True):
        axes.text(*place, name, color=GREY if ghost else _readable(fills[name]), **centred)


def _readable(fill: Any) -> str:
    """Black or white, whichever stands out from a fill."""
    red, green, blue = (value**2.2 for value in to_rgb(fill))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.2 else INK
