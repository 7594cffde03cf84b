"""Means along time that leave out what is missing; knows nothing of what they are means of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def running_mean(values: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Average over a centred window, leaving out what is missing; missing stays missing.

    Parameters
    ----------
    values : ndarray, shape (T,) or (T, N)
        NaN where missing.
    width : int
        Values in the window; 1 changes nothing. An even window reaches one value farther back than ahead.

    Returns
    -------
    ndarray, same shape

    Examples
    --------
    >>> running_mean(np.array([0.0, 4.0, np.nan, 2.0]), 3).tolist()
    [2.0, 2.0, nan, 2.0]
    """
    values = np.asarray(values, dtype=float)
    finite = np.isfinite(values)
    if width <= 1 or len(values) == 0:
        return np.where(finite, values, np.nan)
    nothing = np.zeros((1, *values.shape[1:]))
    total = np.cumsum(np.concatenate([nothing, np.where(finite, values, 0.0)]), axis=0)
    count = np.cumsum(np.concatenate([nothing, finite]), axis=0)
    low = np.clip(np.arange(len(values)) - width // 2, 0, len(values))
    high = np.clip(np.arange(len(values)) - width // 2 + width, 0, len(values))
    return np.where(finite, (total[high] - total[low]) / np.maximum(count[high] - count[low], 1), np.nan)
