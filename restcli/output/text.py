"""What people read about a result: in the terminal, in footers, in the run report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from restcli.events import Events, Scores
from restcli.text import count, duration_in_words, elapsed, percent, some_of

if TYPE_CHECKING:
    from restcli.detect.result import Result

DISCLAIMER = "Not a medical device; for research. Every event must be judged by a person who reads EEG."

# Usual 1-40 Hz RMS of bipolar derivations, µV. Outside, a wrong unit or gain is likelier than unusual EEG. The median
# over minutes lies between 3.9 and 14 in 37 real recordings of adults; that of clips and seizures between 2.8 and 90.
_USUAL_RANGE = (2.5, 100.0)
_USUAL_RANGE_OF_MINUTES = (3.5, 60.0)
_MINUTES = 300  # seconds
_LEAST_BAND = 30  # Hz
_LEAST_BAD = 10  # seconds


def rule_text(result: Result) -> str:
    """Say in one line which weights and rule made the events, and how much was scored."""
    scores = result.scores
    return (
        f"weights {result.weights.name} ({result.weights.sha256[:8]}) · events: {result.rule.describe()} · "
        f"{percent(scores.scored)} of {elapsed(scores.announced)} scored"
    )


def unscored_reasons(scores: Scores) -> dict[str, float]:
    """Return the seconds that were not scored by reason, most first."""
    seconds: dict[str, float] = {}
    for span in scores.unscored:
        seconds[span.reason] = seconds.get(span.reason, 0.0) + span.stop - span.start
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def scored_text(result: Result) -> str:
    """Say by which rule and weights a recording was scored, and why parts of it were not."""
    worst = list(unscored_reasons(result.scores).items())[:3]
    left_out = [f"{seconds:.0f} s not scored ({reason})" for reason, seconds in worst if seconds >= 0.5]
    return "; ".join([rule_text(result), *left_out])


def answer_text(result: Result) -> str:
    """Say how many events there are in how much of the recording."""
    events = result.events
    scored = f"in the {percent(result.scores.scored)} of the recording that was scored"
    if not events:
        return f"no event reached {result.rule.threshold:.2f} {scored}"
    longest = max(events, key=lambda event: event.duration)
    return (
        f"{count(len(events), 'event')} {scored}, {duration_in_words(sum(e.duration for e in events))} in all; "
        f"the longest lasts {duration_in_words(longest.duration)}, from {elapsed(longest.onset)}"
    )


def event_table(events: Events, shown: Iterable[int]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return the headings and cells of a table of some events, by clock time where it is known."""
    start = events.start
    header = ("#", "elapsed" if start is None else "clock", "onset s", "duration s", "type", "confidence", "where")
    rows = [
        (
            str(index + 1),
            elapsed(event.onset) if start is None else f"{start + timedelta(seconds=event.onset):%H:%M:%S}",
            f"{event.onset:.1f}",
            f"{event.duration:.1f}",
            event.label,
            f"{event.confidence:.2f}",
            ", ".join(event.channels[:4]) + (f" +{len(event.channels) - 4}" if len(event.channels) > 4 else ""),
        )
        for index, event in ((index, events.events[index]) for index in shown)
    ]
    return header, rows


def usual_amplitude(result: Result) -> float | None:
    """Return the median over time of the nodes' median RMS in 1-40 Hz, µV; None when no second was good."""
    known = result.trend.amplitude[np.isfinite(result.trend.amplitude)]
    return float(np.median(known)) if known.size else None


def quality_warnings(result: Result) -> list[str]:
    """Say what makes a result doubtful although the recording was scored."""
    found = []
    usual = usual_amplitude(result)
    n_known = int(np.isfinite(result.trend.amplitude).sum())
    low, high = _USUAL_RANGE_OF_MINUTES if n_known >= _MINUTES else _USUAL_RANGE
    if usual is not None and not low <= usual <= high:
        found.append(
            f"usual amplitude {usual:.3g} µV, outside the {low:g} to {high:g} µV of scalp EEG: check unit and gain"
        )
    found += result.doubts
    if result.band_limit is not None:
        doubt = "; the weights were not trained for such a narrow band" if result.band_limit < _LEAST_BAND else ""
        found.append(f"the recording has little signal above about {result.band_limit} Hz (low-passed){doubt}")
    found += [_bad_nodes(reason, nodes) for reason, nodes in _often_bad(result).items()]
    if result.montage.duplicates:
        labels = ", ".join(result.recording.channels[i].label for i in result.montage.duplicates)
        found.append(f"repeated channels left out, the first of each kept: {labels}")
    if result.montage.contacts:
        labels = ", ".join(result.recording.channels[i].label for i in result.montage.contacts)
        found.append(f"left out as contacts of depth electrodes, although named like scalp electrodes: {labels}")
    return found


def _often_bad(result: Result) -> dict[str, dict[str, int]]:
    """Seconds by node, by reason, of nodes that were left out for long; missing ones are reported elsewhere."""
    least = max(_LEAST_BAD, 0.01 * len(result.trend.time))
    found: dict[str, dict[str, int]] = {}
    for node, counts in result.bad_seconds.items():
        for reason, seconds in counts.items():
            if node not in result.montage.missing and seconds >= least:
                found.setdefault(reason, {})[node] = seconds
    return found


def _bad_nodes(reason: str, seconds: Mapping[str, int]) -> str:
    worst = sorted(seconds, key=lambda node: -seconds[node])
    up_to = "up to " if len(worst) > 1 else ""
    return f"{some_of(worst, 4)} left out for {up_to}{seconds[worst[0]]} s: {reason}"
