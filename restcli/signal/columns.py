"""What a column of pixels shows of the values in its stretch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Columns:
    """What columns of pixels between `edges`, (K + 1,), show of values, (B,) or (B, N); NaN where none is known.

    Each value stands for `step` seconds around its time and shows in every column that these reach into.

    >>> columns = Columns(np.array([0.0, 3, 6]), np.arange(6) + 0.5, step=1)
    >>> columns.highest(np.array([0, 1, 0, 0, 0.5, 0])).tolist()
    [1.0, 0.5]
    """

    def __init__(self, edges: NDArray[np.floating], time: NDArray[np.floating], step: float) -> None:
        half = step / 2 - 1e-6 * step  # touching is not reaching into
        first = np.searchsorted(time, edges[:-1] - half, side="left")
        last = np.maximum(first, np.searchsorted(time, edges[1:] + half, side="right"))
        self.edges, self._empty = edges, last <= first
        self._bounds = np.stack([first, last], axis=1).ravel()

    def lowest(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the lowest value in each column, (K,) or (K, N)."""
        return self._reduce(np.fmin, values, np.nan)

    def highest(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the highest value in each column."""
        return self._reduce(np.fmax, values, np.nan)

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Average the known values in each column."""
        known = np.isfinite(values)
        total, count = (self._reduce(np.add, part, 0.0) for part in (np.where(known, values, 0.0), known))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _reduce(self, rule: np.ufunc, values: NDArray[Any], empty: float) -> NDArray[np.float64]:
        padded = np.concatenate([values, np.full((1, *values.shape[1:]), empty, dtype=np.float32)])
        reduced = rule.reduceat(padded, self._bounds, axis=0, dtype=float)[::2]
        nothing = self._empty.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(np.where(nothing, empty, reduced), dtype=np.float64)
