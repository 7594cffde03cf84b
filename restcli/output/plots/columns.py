"""What a column of pixels shows of the values in its stretch, hatching, and bars of events."""

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


def column_extremes(
    time: FloatArray, values: FloatArray, edges: FloatArray, *, step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the lowest and highest value in each column between `edges`: (B,) or (B, N) to (K,) or (K, N).

    Each value stands for `step` seconds around its time. Columns without a known value are NaN.

    >>> low, high = column_extremes(np.arange(6) + 0.5, np.array([0, 1, 0, 0, 0.5, 0]), np.array([0.0, 3, 6]), step=1)
    >>> high.tolist()
    [1.0, 0.5]
    """
    low = _reduce(np.fmin, time, values, edges=edges, step=step, empty=np.nan)
    return low, column_highest(time, values, edges, step=step)


def column_highest(time: FloatArray, values: FloatArray, edges: FloatArray, *, step: float) -> NDArray[np.float64]:
    """Find the highest value in each column, as in `column_extremes`."""
    return _reduce(np.fmax, time, values, edges=edges, step=step, empty=np.nan)


def column_means(time: FloatArray, values: FloatArray, edges: FloatArray, *, step: float) -> NDArray[np.float64]:
    """Average the known values in each column, as in `column_extremes`."""
    finite = np.isfinite(values)
    total = _reduce(np.add, time, np.where(finite, values, 0.0), edges=edges, step=step, empty=0.0)
    known = _reduce(np.add, time, finite, edges=edges, step=step, empty=0.0)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _reduce(
    rule: np.ufunc, time: FloatArray, values: NDArray[Any], *, edges: FloatArray, step: float, empty: float
) -> NDArray[np.float64]:
    """Apply `rule` to the values that reach into each column; touching is not reaching into."""
    half = step / 2 - 1e-6 * step
    first = np.searchsorted(time, edges[:-1] - half, side="left")
    last = np.maximum(first, np.searchsorted(time, edges[1:] + half, side="right"))
    padded = np.concatenate([values, np.full((1, *values.shape[1:]), empty, dtype=np.float32)])
    reduced = rule.reduceat(padded, np.stack([first, last], axis=1).ravel(), axis=0, dtype=float)[::2]
    nothing = (last <= first).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.where(nothing, empty, reduced), dtype=np.float64)


def hatch_columns(axes: Axes, masks: Sequence[NDArray[np.bool_]], edges: FloatArray) -> None:
    """Hatch the columns of each mask over the whole height of a panel, each mask with its own hatching."""
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
