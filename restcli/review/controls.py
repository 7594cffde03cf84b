"""Control stretches of a blind reading: as many and as long as the events, at random, away from them."""

from __future__ import annotations

import numpy as np

from restcli.events import Event
from restcli.review.stored import StoredResult

_APART = 30.0  # s between a control stretch and the nearest event or unscored stretch
_TRIES = 200


def control_stretches(result: StoredResult) -> dict[str, Event]:
    """Return control stretches by id; the same ones each time for the same events."""
    generator = np.random.default_rng(int(result.digest[:16], 16))
    detected = [(event.onset, event.stop) for event in result.found]
    taken = detected + [(span.start, span.stop) for span in result.unscored]
    found: list[Event] = []
    for onset, stop in detected:
        length = stop - onset
        for _ in range(_TRIES):
            start = round(float(generator.uniform(0, max(0.0, result.duration - length))), 2)
            if all(start + length + _APART < low or start - _APART > high for low, high in taken):
                taken.append((start, start + length))
                found.append(Event(start, length))
                break
    return {f"c{number}": event for number, event in enumerate(sorted(found), start=1)}
