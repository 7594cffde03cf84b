"""Hatching, steps, and bars of events along the columns of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch
from numpy.typing import NDArray

from restcli.events import Event, FloatArray
from restcli.output.plots.style import HATCHES, UNSCORED
from restcli.signal.sequences import true_runs


def hatch_columns(axes: Axes, masks: Sequence[NDArray[np.bool_]], edges: FloatArray) -> None:
    """Hatch the columns of each mask over the whole height of a panel, each mask in its own way."""
    for mask, hatch in zip(masks, HATCHES, strict=False):
        bars = [(edges[a], edges[b] - edges[a]) for a, b in true_runs(mask)]
        axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), zorder=3, hatch=hatch, **UNSCORED)


def draw_steps(axes: Axes, values: FloatArray, edges: FloatArray, *, baseline: Any = None, **look: Any) -> None:
    """Draw a value a column as steps, filled down to a baseline where there is one."""
    filled = baseline is not None
    axes.add_artist(StepPatch(values, edges, baseline=baseline, fill=filled, linewidth=0 if filled else 1.0, **look))


def event_bar(event: Event, least: float, end: float) -> tuple[float, float]:
    """Return the left edge and width of an event's bar: at least `least` seconds wide, inside the recording."""
    width = min(max(event.duration, least), end)
    return min(max(0.0, event.onset + event.duration / 2 - width / 2), end - width), width
