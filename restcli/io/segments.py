"""Where stretches of stored signal lie in time: runs of stamps, joins, blocks with a clock of their own, and pauses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.edf_times import RecordTimes, place
from restcli.io.recording import Recording, Segment
from restcli.text import count

_MOST_JOINS = 10_000  # unless fewer than one a second


def of_runs(times: RecordTimes, edges: Sequence[int], step: Fraction) -> tuple[Segment, ...]:
    """Return segments of runs of records, or of samples, of `step` seconds; `edges` has one more than there are."""
    # Where the clock went back, samples that share their times with the next run are left out.
    return tuple(
        Segment(start, min(start + float((after - first) * step), following), float(first * step))
        for (start, following), (first, after) in zip(pairwise([*times.start, math.inf]), pairwise(edges), strict=True)
    )


def at_joins(recording: Recording, joins: NDArray[np.float64], lag: NDArray[np.float64]) -> Recording:
    """Cut a recording where stretches were joined, at some seconds of stored signal.

    `lag` says how many seconds of pauses lie before each; NaN where that is not known.
    """
    rate, length = recording.channels[0].sfreq, recording.segments[0].stop
    joins = np.floor(joins * rate + 0.5) / rate  # EEGLAB puts boundaries between samples
    inside = (joins > 0) & (joins < length)
    if not inside.any():
        return recording
    if inside.sum() > max(_MOST_JOINS, length):
        what = f"it has {count(int(inside.sum()), 'join')} between stretches in {length:g} s"
        raise RecordingError(str(recording.path), what, "a continuous recording", "Export it again")
    places = np.concatenate([[0.0], joins[inside]])
    ahead = lag[joins <= 0]
    lag = np.concatenate([[0.0], lag[inside] - (ahead[-1] if len(ahead) else 0.0)])
    n_known = int(np.argmax(np.isnan(lag))) if np.isnan(lag).any() else len(lag)
    times = place(places[:n_known], (places + lag)[:n_known], where=str(recording.path))
    # Within a run of known times, and after the last of them, times go on as the stored signal does.
    first = np.array(times.first)
    run = np.searchsorted(first, np.arange(len(places)), side="right") - 1
    starts = np.array(times.start)[run] + places - places[first[run]]
    ends = np.minimum(starts + np.diff(places, append=length), np.append(starts[1:], math.inf))
    segments = tuple(map(Segment, starts.tolist(), ends.tolist(), places.tolist()))
    repairs, until = recording.repairs + times.repairs, math.inf
    if n_known < len(places):
        until = float(starts[n_known])
        n_joins = count(len(places) - n_known, "join")
        repairs += (
            f"{n_joins} between stretches of unknown distance; times after {until:.10g} s count stored signal only, "
            "and clock times are left out",
        )
    return replace(recording, segments=segments, duration=segments[-1].stop, repairs=repairs, clock_until=until)


def at_blocks(recording: Recording, starts: Sequence[datetime | None], lengths: Sequence[float]) -> Recording:
    """Place consecutive blocks, of some lengths in seconds, by their start times, which are whole seconds."""
    places = np.cumsum([0.0, *lengths[:-1]])
    begin = starts[0] or datetime.min
    lag = np.array([math.nan if start is None else (start - begin).total_seconds() for start in starts]) - places
    latest = np.fmax.accumulate(lag)
    lag[latest - lag < 1] = latest[latest - lag < 1]
    return at_joins(recording, places, lag)


def without(recording: Recording, stretches: Sequence[tuple[float, float]]) -> Recording:
    """Leave out stretches, in seconds of stored signal, in which there was no EEG."""
    kept = []
    for segment in recording.segments:
        shift, begin = segment.start - segment.offset, segment.offset
        end = segment.stop - shift
        for first, last in sorted(stretches):
            if begin < min(first, end):
                kept.append(Segment(begin + shift, min(first, end) + shift, begin))
            begin = max(begin, last)
        if begin < end:
            kept.append(Segment(begin + shift, segment.stop, begin))
    return replace(recording, segments=tuple(kept))
