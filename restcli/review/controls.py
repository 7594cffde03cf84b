"""Control stretches of a blind reading: as many and as long as the events, at random, away from them."""

from __future__ import annotations

import numpy as np

from restcli.events import Event
from restcli.review.stored import StoredResult

_APART = 30.0  # s between a control stretch and the nearest event or unscored stretch
_TRIES = 200


def control_stretches(result: StoredResult) -> dict[str, Event]:
    """Return control stretches by id; the same ones each time for the same events."""
    step = float(result.report["settings"]["step"])
    generator = np.random.default_rng(int(result.digest[:16], 16))
    detected = [(event.onset, event.stop) for event in result.found]
    taken = np.array(detected + [(span.start, span.stop) for span in result.unscored], dtype=float).reshape(-1, 2)
    found: list[Event] = []
    for onset, stop in detected:
        length = stop - onset
        # Whole steps away from the event: an onset between the scores would tell a control stretch from an event.
        lowest, highest = np.ceil(-onset / step), max(0.0, np.floor((result.duration - length - onset) / step))
        starts = np.round(onset + step * generator.integers(int(lowest), int(highest) + 1, _TRIES), 6)
        apart = (starts[:, None] + length + _APART < taken[:, 0]) | (starts[:, None] - _APART > taken[:, 1])
        free = starts[apart.all(axis=1)]
        if len(free):
            taken = np.vstack([taken, (free[0], free[0] + length)])
            found.append(Event(float(free[0]), length))
    return {f"c{number}": event for number, event in enumerate(sorted(found), start=1)}
