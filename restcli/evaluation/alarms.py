"""How late alarms are, and how many are false."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restcli.evaluation.scoring import match_events, score_events
from restcli.events import Event, Events


def alarm_events(alarms: Sequence[tuple[float, Event]], duration: float) -> Events:
    """Return the events of alarms as a ward has them: from the moment of the alarm on."""
    starts = [min(at, duration) for at, _ in alarms]
    ends = [*starts, duration][1:]
    shown = [
        Event(start, max(0.0, min(max(event.stop, start), end) - start), event.label, event.confidence)
        for start, end, (_, event) in zip(starts, ends, alarms, strict=True)
    ]
    return Events(tuple(shown), duration)


def compare_alarms(expert: Events, detected: Events, alarms: Sequence[tuple[float, Event]]) -> list[str]:
    """Say in words how late alarms (when, event) were, beside false alarms a day; by the rules of `evaluate`."""
    found, delays = match_events(expert, alarm_events(alarms, detected.duration))
    tally = score_events(expert, detected)
    lines = [f"alarms: {int(found.sum())} of {len(expert)} expert events (-30/+60 s, any overlap)"]
    if found.any():
        median, late = np.percentile(delays[found], [50, 90])
        lines.append(f"latency from the expert's onset: median {median:.1f} s, 90 % within {late:.1f} s")
    lines.append(f"false alarms: {tally.false} (SzCORE events), {tally.false_per_day:.2f} a day")
    return lines
