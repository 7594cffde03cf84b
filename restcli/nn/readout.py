"""From the values of nodes to one value, for numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import TypeVar

_Array = TypeVar("_Array")


def mean_over_nodes(values: _Array, present: _Array, axis: int) -> _Array:
    """Average finite `values` along the node axis, weighted by `present` (1 or 0, same shape); 0 where none is."""
    mean: _Array = (values * present).sum(axis) / present.sum(axis).clip(min=1)  # type: ignore[operator,attr-defined]
    return mean
