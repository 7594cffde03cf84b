"""Runs and means along time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def true_runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return where `mask` is true, as half-open index ranges ``(start, stop)`` in order.

    >>> true_runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def running_mean(values: NDArray[np.floating], width: int, *, least: int = 1) -> NDArray[np.float64]:
    """Average (T,) or (T, N) over a centred window of `width` values, leaving out NaN; what is NaN stays NaN.

    A window with fewer than `least` values gives NaN. An even one reaches one value farther back than ahead.

    >>> running_mean(np.array([0.0, 4.0, np.nan, 2.0]), 3).tolist()
    [2.0, 2.0, nan, 2.0]
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    if width <= 1 or len(values) == 0:
        return np.where(finite, values, np.nan)
    behind, ahead = width // 2, width - width // 2
    total, count = (_sums(part, behind, ahead) for part in (np.where(finite, values, 0.0), finite))
    known = count[width:] - count[:-width]
    return np.where(finite & (known >= least), (total[width:] - total[:-width]) / np.maximum(known, 1), np.nan)


def _sums(values: NDArray[Any], behind: int, ahead: int) -> NDArray[Any]:
    """Sum up along the first axis, the ends repeated as far as windows reach beyond them, shape (T + width, ...)."""
    sums = np.zeros((behind + len(values) + ahead, *values.shape[1:]), dtype=np.result_type(values, np.int64))
    stop = behind + 1 + len(values)
    np.cumsum(values, axis=0, out=sums[behind + 1 : stop])
    sums[stop:] = sums[stop - 1]
    return sums


def nan_mean(values: Any) -> float:
    """Average numbers that are not NaN; NaN when there is none."""
    known = np.asarray(values, dtype=float)[np.isfinite(values)]
    return float(known.mean()) if known.size else math.nan
