"""The nouns that all packages share: scores, events, and the rule that turns one into the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RestError, UsageError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True)
class Span:
    """A stretch of the recording that was not scored."""

    start: float  # seconds from the start of the recording
    stop: float
    reason: str  # in words for a user


@dataclass(frozen=True, eq=False)
class Scores:
    """Seizure probability along a recording; NaN means *not scored*, never "no seizure".

    Parameters
    ----------
    time : ndarray, shape (B,)
        Seconds from the start of the recording: the centre of the second that each score judges.
    probability : ndarray, shape (B,)
        Seizure probability, 0 to 1; NaN where not scored.
    by_node : ndarray, shape (B, N)
        Probability read out at each node; NaN where a node was left out.
    nodes : tuple of str
        Names of the N nodes.
    step : float
        Seconds between scores.
    duration : float
        Seconds of the recording that the file holds, gaps included.
    unscored : tuple of Span
        What was not scored, and why. What the header announces and the file lacks lies beyond `duration`.
    interval : ndarray, shape (B, 2), or None
        5th and 95th percentile of the probability over masked passes.
    types : tuple of str
        SzCORE event types of the C columns of `by_type`.
    by_type : ndarray, shape (B, C), or None
        Probability of each type, given a seizure.

    Raises
    ------
    RestError
        If shapes disagree or a probability lies outside 0 to 1.
    """

    time: FloatArray
    probability: FloatArray
    by_node: FloatArray
    nodes: tuple[str, ...]
    step: float
    duration: float
    unscored: tuple[Span, ...] = ()
    interval: FloatArray | None = None
    types: tuple[str, ...] = ()
    by_type: FloatArray | None = None

    def __post_init__(self) -> None:
        n_scores = len(self.time)
        if self.probability.shape != (n_scores,) or self.by_node.shape != (n_scores, len(self.nodes)):
            raise RestError(
                "scores",
                f"time {self.time.shape}, probability {self.probability.shape}, by_node {self.by_node.shape}",
                "shapes (B,), (B,), (B, N)",
            )
        finite = self.probability[np.isfinite(self.probability)]
        if finite.size and (finite.min() < 0 or finite.max() > 1):
            raise RestError("scores", "a probability lies outside 0..1", "probabilities, not logits")

    @property
    def n_scored(self) -> int:
        """Number of scores that are not NaN."""
        return int(np.isfinite(self.probability).sum())

    @property
    def announced(self) -> float:
        """Seconds of the recording, with those that its header announces and its file lacks."""
        return max([self.duration, *(span.stop for span in self.unscored)])

    @property
    def scored(self) -> float:
        """Fraction of the announced recording that was scored, 0 to 1."""
        whole = self.announced
        if whole <= 0 or self.n_scored == 0:
            return 0.0
        # Spans account for gaps between scores longer than a second, the count of scores for lost parts of a second.
        by_spans = 1.0 - sum(span.stop - span.start for span in self.unscored) / whole
        return max(0.0, min(1.0, by_spans, self.n_scored * self.step / whole))

    def cover(self, index: int) -> tuple[float, float]:
        """Return start and stop of what a score stands for, in seconds.

        It begins with the second that is judged and ends at the next score, or before that at what was not scored.
        """
        centre = float(self.time[index])
        start = max(0.0, centre - min(self.step, 1.0) / 2)
        stop = min([self.duration, start + self.step, *(span.start for span in self.unscored if span.start > centre)])
        return start, stop

    def to_frame(self) -> pd.DataFrame:
        """Return the scores as a table.

        Returns
        -------
        pandas.DataFrame
            One row for each score: ``time``, ``probability``, ``interval_low`` and ``interval_high`` if there are
            intervals, one column for each node and one for each type. ``not_scored`` says why the probability is
            NaN, and is empty where it is known.
        """
        import pandas as pd

        table: dict[str, NDArray[np.generic]] = {"time": self.time, "probability": self.probability}
        if self.interval is not None:
            table |= {"interval_low": self.interval[:, 0], "interval_high": self.interval[:, 1]}
        table |= {node: self.by_node[:, column] for column, node in enumerate(self.nodes)}
        if self.by_type is not None:
            table |= {kind: self.by_type[:, column] for column, kind in enumerate(self.types)}
        reasons = np.where(np.isfinite(self.probability), "", "not scored").astype(object)
        for span in self.unscored:
            reasons[(self.time >= span.start) & (self.time < span.stop) & (reasons != "")] = span.reason
        return pd.DataFrame({**table, "not_scored": reasons})


@dataclass(frozen=True, order=True)
class Event:
    """One event, in seconds from the start of the recording.

    Parameters
    ----------
    onset, duration : float
        Seconds.
    label : str
        SzCORE event type, e.g. ``sz`` or ``sz_foc``.
    confidence : float
        Highest evidence of the event, a probability; NaN when unknown.
    channels : tuple of str
        Nodes involved, most involved first; empty when unknown, ``("all",)`` for everywhere.
    label_confidence : float
        Probability of the type given a seizure; NaN when only ``sz`` is claimed.
    """

    onset: float
    duration: float
    label: str = "sz"
    confidence: float = math.nan
    channels: tuple[str, ...] = ()
    label_confidence: float = math.nan

    @property
    def stop(self) -> float:
        """End of the event in seconds from the start of the recording."""
        return self.onset + self.duration


@dataclass(frozen=True)
class Events:
    """Seizures of one recording: sorted, disjoint and inside it.

    Without events and without `unscored` spans, the whole recording was looked at and nothing was found.

    Parameters
    ----------
    events : tuple of Event
        Seizure events.
    duration : float
        Seconds of the recording.
    start : datetime or None
        Clock time of the recording's start, when known.
    unscored : tuple of Span
        Stretches that were not looked at: outside the events, nothing is claimed there.
    ignored : tuple of str
        Types of rows that the reader of a table left out because they are not about seizures.

    Raises
    ------
    RestError
        If events overlap, are unsorted or leave the recording.
    """

    events: tuple[Event, ...]
    duration: float
    start: datetime | None = None
    unscored: tuple[Span, ...] = ()
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        previous = 0.0
        for event in self.events:
            fits = event.duration >= 0 and event.onset >= previous - 1e-6 and event.stop <= self.duration + 1e-6
            if not fits:  # NaN fits nowhere
                raise RestError(
                    "events",
                    f"event {event.onset:.3f} s + {event.duration:.3f} s in a recording of {self.duration:.3f} s",
                    "sorted, disjoint events inside the recording",
                )
            previous = event.stop

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def mask(self, time: FloatArray) -> NDArray[np.bool_]:
        """Return which instants `time`, shape (B,), in seconds, lie inside an event."""
        inside = np.zeros(len(time), dtype=bool)
        for event in self.events:
            inside |= (time >= event.onset) & (time < event.stop)
        return inside

    def to_frame(self) -> pd.DataFrame:
        """Return the events as a table.

        Returns
        -------
        pandas.DataFrame
            One row for each event: ``onset``, ``duration``, ``label``, ``confidence``, ``label_confidence`` and
            ``channels``, joined by commas. ``attrs["duration"]`` holds the seconds of the recording and
            ``attrs["unscored"]`` the stretches without a claim as (start, stop, reason): a table without rows means
            "no seizure found" only outside of them.
        """
        import pandas as pd

        frame = pd.DataFrame(
            {
                "onset": [event.onset for event in self.events],
                "duration": [event.duration for event in self.events],
                "label": [event.label for event in self.events],
                "confidence": [event.confidence for event in self.events],
                "label_confidence": [event.label_confidence for event in self.events],
                "channels": [",".join(event.channels) for event in self.events],
            }
        ).astype(dict.fromkeys(("onset", "duration", "confidence", "label_confidence"), float))
        frame = frame.astype(dict.fromkeys(("label", "channels"), "str"))  # of a table without rows, too
        unscored = [(span.start, span.stop, span.reason) for span in self.unscored]
        frame.attrs = {"duration": self.duration, "unscored": unscored}
        return frame


def merge_events(events: Sequence[Event], duration: float, start: datetime | None = None) -> Events:
    """Sort events, clip them to the recording and join those that overlap (per-channel marks, say).

    A joined event keeps the label when all agree, else ``sz``; the highest confidence; the union of channels.
    """
    merged: list[Event] = []
    for event in sorted(events):
        onset, stop = max(0.0, event.onset), min(duration, event.stop)
        if stop <= onset:
            continue
        clipped = replace(event, onset=onset, duration=stop - onset)
        if merged and onset <= merged[-1].stop:
            merged[-1] = _join(merged[-1], clipped)
        else:
            merged.append(clipped)
    return Events(tuple(merged), duration, start)


def _join(first: Event, second: Event) -> Event:
    channels = tuple(dict.fromkeys(first.channels + second.channels))
    if "all" in channels:
        channels = ("all",)
    same = first.label == second.label
    return Event(
        first.onset,
        max(first.stop, second.stop) - first.onset,
        first.label if same else "sz",
        float(np.fmax(first.confidence, second.confidence)),
        channels,
        float(np.fmax(first.label_confidence, second.label_confidence)) if same else math.nan,
    )


def check_threshold(threshold: object, where: str) -> None:
    """Refuse what cannot be a threshold; `where` names the option or argument."""
    if not (isinstance(threshold, Real) and 0 < float(threshold) <= 1):
        raise UsageError(where, f"{threshold!r}", "a probability above 0 and at most 1")


@dataclass(frozen=True)
class EventRule:
    """The rule that turns scores into events, see `restcli.detect.rule.to_events`; stored with the weights."""

    threshold: float = 0.5  # an event must reach this evidence, a probability
    release: float = 0.35  # it lasts while the mean over `smooth` stays at or above this probability (hysteresis)
    min_duration: float = 3.0  # seconds; shorter events are dropped
    max_gap: float = 3.0  # seconds; events closer than this are joined
    smooth: float = 3.0  # seconds; width of the centred mean of log odds
    long: float = 0.0  # seconds; width of a second, longer mean, for quiet seizures that last; 0 for none
    lift: float = 0.0  # log odds added to the longer mean, which background does not raise as far as the shorter one

    def with_threshold(self, threshold: float) -> EventRule:
        """Return the rule with another threshold; the release follows at the same distance in log odds.

        >>> EventRule(threshold=0.5, release=0.25).with_threshold(0.9).release
        0.75
        """
        old, release, new = (min(max(p, 1e-6), 1 - 1e-6) for p in (self.threshold, self.release, threshold))
        odds = new / (1 - new) * release / (1 - release) * (1 - old) / old
        return replace(self, threshold=threshold, release=min(round(odds / (1 + odds), 9), threshold))

    def width(self, step: float) -> int:
        """Return how many scores, `step` seconds apart, the shorter mean covers."""
        return max(1, round(self.smooth / step))

    def long_width(self, step: float) -> int:
        """Return how many scores the longer mean covers; 0 when there is none."""
        return max(1, round(self.long / step)) if self.long else 0

    @property
    def look_ahead(self) -> float:
        """Seconds of scores after a moment that can still raise its evidence."""
        return max(self.smooth, self.long) / 2

    @property
    def means(self) -> str:
        """The means in words."""
        return f"mean over {self.smooth:g} s" + (f", or over {self.long:g} s with {self.lift:+g}" if self.long else "")

    def describe(self) -> str:
        """Return the rule in words.

        >>> EventRule().describe()
        'threshold 0.5, release 0.35, at least 3 s, gaps up to 3 s closed, mean over 3 s'
        """
        return (
            f"threshold {self.threshold:g}, release {self.release:g}, at least {self.min_duration:g} s, "
            f"gaps up to {self.max_gap:g} s closed, {self.means}"
        )
