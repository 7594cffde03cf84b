"""Where an event begins and how it spreads, in words."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.detect.region import place_in_words
from restcli.events import Event, Scores
from restcli.signal.montage import DOUBLE_BANANA

LEFT_TEMPORAL, RIGHT_TEMPORAL = ("F7-T3", "T3-T5"), ("F8-T4", "T4-T6")
LEFT, RIGHT = (tuple(n for n in DOUBLE_BANANA if any(c in n for c in odd)) for odd in ("13579", "2468"))


def words(*parts: tuple[tuple[str, ...], int], nodes: tuple[str, ...] = DOUBLE_BANANA) -> str:
    """Say where an event of 40 s begins in which nodes take part from so many seconds after its onset on."""
    by_node = np.full((60, len(nodes)), 0.1)
    for members, first in parts:
        by_node[10 + first : 50, [nodes.index(name) for name in members]] = 0.8
    scores = Scores(np.arange(60) + 0.5, by_node.mean(axis=1), by_node, nodes, 1.0, 60.0)
    return place_in_words(scores, Event(10.0, 40.0), 0.4)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(LEFT_TEMPORAL, 0)], "left temporal, stays on that side"),
        ([(LEFT_TEMPORAL, 0), (RIGHT, 12)], "left temporal, spreads to right after 12 s"),
        ([(("C4-P4", "P4-O2"), 0)], "right parietal, stays on that side"),
        ([(("P3-O1", "T5-O1", "P4-O2", "T6-O2"), 0)], "occipital, both sides"),
        ([(LEFT, 0), (RIGHT[:5], 0)], "both sides at once, most left"),
        ([(LEFT, 0)], "left, stays on that side"),
        ([(DOUBLE_BANANA, 0)], "both sides"),
    ],
)
def test_side_region_and_spread(parts: list[tuple[tuple[str, ...], int]], expected: str) -> None:
    assert words(*parts) == expected


def test_nothing_is_said_where_a_side_is_not_recorded() -> None:
    assert words((LEFT_TEMPORAL, 0), nodes=LEFT) == ""
