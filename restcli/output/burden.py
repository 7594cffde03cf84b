"""Seizure burden: how much of each hour was seizure, in the words of ACNS, with what was not scored carried along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.events import Events

HOUR, FIVE_MINUTES = 3600.0, 300.0
_WORDS = ((0.9, "continuous"), (0.5, "abundant"), (0.1, "frequent"), (0.01, "occasional"), (0.0, "rare"))
_LONGEST, _SHARE = 600.0, 0.2  # s in a stretch, or of an hour
RULES = {
    "prevalence": "fraction of the scored time: none, rare (below 1 %), occasional (from 1 %), frequent (from 10 %), "
    "abundant (from 50 %), continuous (from 90 %); terms of ACNS 2021 for rhythmic and periodic patterns, applied to "
    "seizures",
    "status": "ACNS 2021 electrographic status epilepticus: 10 min continuously, or 20 % (12 min) of any 60 min",
    "source": "Hirsch et al., Critical Care EEG Terminology: 2021 Version, J Clin Neurophysiol 38:1-29",
}
MET, NOT_MET, NOT_EXCLUDED, UNKNOWN = "met", "not met", "not excluded by what was scored", "not scored"

Stretches = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Period:
    """Some minutes of a recording."""

    start: float  # s
    stop: float
    seizure: float  # seconds
    unscored: float  # seconds

    @property
    def word(self) -> str:
        """The ACNS word for the share of the scored time that was seizure."""
        scored = self.stop - self.start - self.unscored
        if scored <= 0.5:
            return UNKNOWN
        share = self.seizure / scored
        return "none" if share <= 0 else next(word for least, word in _WORDS if share >= least)


@dataclass(frozen=True)
class Burden:
    """The seizure burden of a recording."""

    whole: Period
    periods: dict[float, tuple[Period, ...]]  # by their length, s
    longest: float  # s, longest event
    status: str  # whether the rule for electrographic status epilepticus is met
    most: float  # s of seizure in the worst 60 minutes

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the run report; the periods are in the table."""
        return {
            "seizure_s": round(self.whole.seizure, 3),
            "not_scored_s": round(self.whole.unscored, 3),
            "longest_event_s": round(self.longest, 3),
            "most_in_60_min_s": round(self.most, 3),
            "prevalence": self.whole.word,
            "electrographic_status": self.status,
            "rules": RULES,
        }

    def to_table(self) -> str:
        """Return the periods as a table separated by tabs."""
        lines = ["start\tstop\tperiod\tseizure\tnot_scored\tprevalence_acns_2021"]
        for length, periods in self.periods.items():
            for each in periods:
                numbers = (each.start, each.stop, length, each.seizure, each.unscored)
                lines.append("\t".join([*(f"{number:.2f}" for number in numbers), each.word]))
        return "\n".join(lines) + "\n"


def burden_of(events: Events, announced: float) -> Burden:
    """Measure the burden of events; what the header announces beyond the recording counts as not scored."""
    length = max(announced, events.duration)
    seizures = _joined([(event.onset, event.stop) for event in events])
    lost = [(span.start, span.stop) for span in events.unscored] + [(events.duration, length)]
    unscored = _without(_joined(lost), seizures)
    whole = Period(0.0, length, _seconds(seizures), _seconds(unscored))
    periods = {period: _periods(length, period, seizures, unscored) for period in (FIVE_MINUTES, HOUR)}
    most, likely = _most(seizures, length), _most(_joined([*seizures, *unscored]), length)
    at_most = max((stop - start for start, stop in _joined([*seizures, *unscored])), default=0.0)
    longest = max((stop - start for start, stop in seizures), default=0.0)
    status = NOT_MET
    if longest >= _LONGEST or most >= _SHARE * HOUR:
        status = MET
    elif at_most >= _LONGEST or likely >= _SHARE * HOUR:
        status = NOT_EXCLUDED
    return Burden(whole, periods, max((event.duration for event in events), default=0.0), status, most)


def _periods(length: float, period: float, seizures: Stretches, unscored: Stretches) -> tuple[Period, ...]:
    edges = [*np.arange(0.0, length, period).tolist(), length]
    inside, lost = (np.diff(_until(stretches, edges)).tolist() for stretches in (seizures, unscored))
    return tuple(Period(*row) for row in zip(edges[:-1], edges[1:], inside, lost, strict=True) if row[1] > row[0])


def _until(stretches: Stretches, instants: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seconds of disjoint stretches before each instant."""
    if not stretches:
        return np.zeros(len(instants))
    edges = np.array(stretches, dtype=float).ravel()
    seconds = np.zeros(len(edges))
    seconds[1::2] = np.cumsum(edges[1::2] - edges[::2])
    seconds[2::2] = seconds[1:-1:2]
    return np.interp(instants, edges, seconds)


def _most(stretches: Stretches, length: float) -> float:
    """Return the most seconds of disjoint stretches in any 60 minutes, which begin or end with one of them."""
    last = max(0.0, length - HOUR)
    edges = np.array([edge for start, stop in stretches for edge in (start, stop - HOUR)] or [0.0])
    starts = np.clip(edges, 0.0, last)
    return float((_until(stretches, starts + HOUR) - _until(stretches, starts)).max())


def _joined(stretches: Stretches) -> list[tuple[float, float]]:
    """Sort stretches and join those that touch; empty ones are left out."""
    joined: list[tuple[float, float]] = []
    for start, stop in sorted(stretches):
        if joined and start <= joined[-1][1] + 1e-6:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        elif stop > start:
            joined.append((start, stop))
    return joined


def _without(stretches: Stretches, others: Stretches) -> list[tuple[float, float]]:
    """Return stretches without the parts that lie in others."""
    left = []
    for start, stop in stretches:
        inside = [(low, high) for low, high in others if low < stop and high > start]
        edges = [start, *(edge for other in inside for edge in other), stop]
        left += [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if high > low]
    return left


def _seconds(stretches: Stretches) -> float:
    return sum(stop - start for start, stop in stretches)
