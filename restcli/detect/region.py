"""Where an event begins and when it reaches the other side, in words, from the probabilities of its nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import log_odds
from restcli.events import Event, Scores
from restcli.signal.montage import DOUBLE_BANANA, opposite
from restcli.signal.sequences import nan_mean, running_mean, true_runs

_ONSET = 10.0  # seconds in which an event begins
_LATERAL = 0.5  # log odds by which one side must exceed the other to be named: 5 bilateral simulated events stay below
# Log odds by which a region must exceed the next to be named. Where none does, the strongest is rarely the right one
# (models/EVALUATION.md).
_REGIONAL = 1.0
_SMOOTH, _LASTING = 3, 3  # scores: that a node is averaged over, and that a side takes part for
_AT_ONCE = 2.0  # seconds within which both sides begin together
# Nodes that see each region on the left; those on the right are their opposites.
_REGIONS = {
    "frontal": ("FP1-F7", "FP1-F3", "F3-C3"),
    "temporal": ("F7-T3", "T3-T5"),
    "central": ("F3-C3", "C3-P3"),
    "parietal": ("C3-P3", "P3-O1"),
    "occipital": ("P3-O1", "T5-O1"),
}
_SIDES = {
    "left": tuple(node for node in DOUBLE_BANANA if "1" in node or "3" in node),
    "right": tuple(node for node in DOUBLE_BANANA if "2" in node or "4" in node),
}


def place_in_words(scores: Scores, event: Event, level: float) -> str:
    """Say where an event begins and how it spreads, such as ``left temporal, spreads to right after 12 s``.

    The region is left out unless it stands out.
    A side takes part while half of its nodes reach `level`. Empty where too few nodes are known.
    """
    inside = slice(*np.searchsorted(scores.time, [event.onset - 1e-6, event.stop]))
    values = running_mean(scores.by_node[inside], _SMOOTH)
    table = {name: values[:, column] for column, name in enumerate(scores.nodes)}
    began = np.asarray(scores.time[inside] < event.onset + _ONSET)
    odds = {name: nan_mean(log_odds(row[began])) for name, row in table.items()}
    levels = {side: nan_mean([odds.get(node, math.nan) for node in nodes]) for side, nodes in _SIDES.items()}
    if not all(map(math.isfinite, levels.values())):
        return ""
    if abs(levels["left"] - levels["right"]) < _LATERAL:
        region = _region_that_stands_out(odds, ("left", "right"))
        return f"{region}, both sides" if region else "both sides"
    side, other = sorted(levels, key=lambda name: -levels[name])
    place = f"{side} {_region_that_stands_out(odds, (side,))}".rstrip()
    first = _first_taking_part([table[node] for node in _SIDES[other] if node in table], level)
    if first is None:
        return f"{place}, stays on that side"
    after = max(0.0, scores.cover(inside.start + first)[0] - event.onset)
    return (
        f"both sides at once, most {place}" if after <= _AT_ONCE else f"{place}, spreads to {other} after {after:.0f} s"
    )


def _region_that_stands_out(odds: dict[str, float], sides: Sequence[str]) -> str:
    """Name the strongest region, or nothing where another is nearly as strong."""
    strengths = {}
    for region, left in _REGIONS.items():
        names = [name if side == "left" else opposite(name) for side in sides for name in left]
        strengths[region] = nan_mean([odds.get(name, math.nan) for name in names])
    known = sorted((region for region in strengths if math.isfinite(strengths[region])), key=strengths.__getitem__)
    return known[-1] if len(known) > 1 and strengths[known[-1]] - strengths[known[-2]] >= _REGIONAL else ""


def _first_taking_part(rows: Sequence[NDArray[np.float64]], level: float) -> int | None:
    """Return the first score of a run in which half of the nodes reach a level."""
    values = np.stack(rows, axis=1)
    known = np.isfinite(values).sum(axis=1)
    part = np.asarray((known > 0) & (2 * (values >= level).sum(axis=1) >= known))
    return next((first for first, stop in true_runs(part) if stop - first >= min(_LASTING, len(part))), None)
