"""From the values of nodes to one value, for numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Array = TypeVar("_Array")


def mean_over_nodes(values: _Array, present: _Array, axis: int) -> _Array:
    """Average finite `values` along the node axis, weighted by `present` (1 or 0, same shape); 0 where none is."""
    mean: _Array = (values * present).sum(axis) / present.sum(axis).clip(min=1)  # type: ignore[operator,attr-defined]
    return mean


def shares(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn logits of alternatives along the last axis into probabilities that add up to one."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), dtype=np.float32)
