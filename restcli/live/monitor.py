"""From chunks to scores, alarms and what is wrong with the input: the same scores and events as those of a file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from restcli.detect.alarms import Alarm, AlarmRule
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings, check_settings, fit_montage, rule_in_force
from restcli.detect.stream import LiveScore, Stream
from restcli.detect.timeline import GAP, PART
from restcli.events import Events, Span
from restcli.live.input import InputWatch, Trouble
from restcli.live.intake import Intake, Second
from restcli.live.source import Chunk, LiveSource, Silence
from restcli.live.status import Status, StatusWatch
from restcli.signal.features import analysis_rate
from restcli.signal.quality import Quality

_SHORTEST_GAP = 1.0  # s; shorter ones have no score of their own


@dataclass(frozen=True, eq=False)
class NewScore:
    """The score of a second."""

    time: float  # its centre, s from the start of the recording
    score: LiveScore


News = NewScore | Alarm | Trouble | Status


@dataclass(eq=False)
class Monitor:
    """Scores a stream of chunks as `annotate` scores a recording of them."""

    detector: Detector
    source: LiveSource
    settings: Settings
    rows: int = 0
    scored: int = 0  # seconds
    unscored: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        recording, weights = self.source.recording, self.detector.weights
        check_settings(weights, self.settings)
        self.montage = fit_montage(recording, weights, self.settings)
        rates = [recording.source.rates[channel] for channel in self.montage.channels]
        groups: dict[object, list[int]] = {}
        for row, rate in enumerate(rates):
            groups.setdefault(rate, []).append(row)
        self.groups = [[self.montage.channels[row] for row in rows] for rows in groups.values()]
        self.sfreq = analysis_rate(rates, weights.features)
        own = [rates[rows[0]] for rows in groups.values()]
        self.intake = Intake(list(groups.values()), own, self.sfreq, self.source.jitter)
        columns = [weights.nodes.index(node) for node in self.montage.nodes]
        self._stream = Stream(self.detector, columns, self.montage.matrix, self.settings)
        self.alarms = AlarmRule(rule_in_force(weights, self.settings), weights.nodes)
        self._input = InputWatch(weights.nodes, self.montage.nodes, weights.look_ahead)
        self._status = StatusWatch()
        self._times: list[float] = []  # of seconds that wait for the network to look ahead
        self._cursor, self._last, self._end, self._resumed = 0.0, 0.0, 0.0, 0.0
        self._begun = self._ending = False

    @property
    def until(self) -> float:
        """The end of the last second that has a row; after `finish`, the end of the stream."""
        return self._end or (self._last + 0.5 if self.rows else 0.0)

    def run(self) -> Iterator[News]:
        """Take chunks until the source ends."""
        for piece in self.source.chunks(self.groups):
            yield from self.take(piece)
        yield from self.finish()

    def take(self, piece: Chunk | Silence) -> Iterator[News]:
        """Take what the source gives."""
        if isinstance(piece, Silence):
            yield from self._input.silent(self.intake.now + piece.seconds, piece)
            return
        for found in self.intake.take(piece):
            if isinstance(found, Second):
                yield from self._second(found)
            else:
                self._resumed = found.resumes
                yield from self._input.broken(found)
                yield from self._end_segment()

    def finish(self, *, stopped: bool = False) -> Iterator[News]:
        """End: judge what waited, and end all alarms; where a user `stopped` it, the source had more to give."""
        self._ending = True  # at the end the network lacks its look-ahead; that is not a fault of the input
        for second in self.intake.close():
            yield from self._second(second)
        end = self.source.end if math.isfinite(self.source.end) and not stopped else self.intake.now
        yield from self._end_segment()
        yield from self._gap(end)
        if end - self.until > 1e-3:
            self.unscored.append(Span(self.until, end, PART))
        self._end = end
        yield from self.alarms.finish(end)
        yield from self._status.advance(self.events, end)

    def events(self) -> Events:
        """Return the events so far."""
        return Events(self.alarms.events, self.until, self.source.recording.clock, tuple(self.unscored))

    def _second(self, second: Second) -> Iterator[News]:
        if not self._begun:
            self._begun = True
            yield from self._gap(second.start)
        self._times.append(second.start + 0.5)
        self._cursor = second.start + 1.0
        score = self._stream.push(second.data, second.saturated)
        if score is not None:
            yield from self._row(self._times.pop(0), score)

    def _end_segment(self) -> Iterator[News]:
        waiting = list(self._stream.finish())
        for score in waiting[len(waiting) - len(self._times) :]:  # Ctrl-C may have come when some had been given
            yield from self._row(self._times.pop(0), score)
        self._stream.restart()
        self._begun = False

    def _gap(self, stop: float) -> Iterator[News]:
        """Give the seconds of a gap their empty scores."""
        if stop - self._cursor < _SHORTEST_GAP:
            return
        n_nodes = len(self.detector.weights.nodes)
        by_node = np.full(n_nodes, np.nan, dtype=np.float32)
        codes: NDArray[np.uint8] = np.full(n_nodes, Quality.MISSING, dtype=np.uint8)
        for k in range(math.floor(stop - self._cursor + 1e-6)):
            yield from self._row(self._cursor + k + 0.5, LiveScore(math.nan, by_node, GAP, codes))

    def _row(self, time: float, score: LiveScore) -> Iterator[News]:
        at = max(self.intake.now, self._resumed, time + 0.5)
        if score.reason:
            self._unscored(time, score.reason)
        else:
            self.scored += 1
        self._last = time
        # Before the row, which cannot be written to a full disk.
        yield from self.alarms.advance(time, score.probability, score.by_node, at=at)
        self.rows += 1
        yield NewScore(time, score)
        if not self._ending:
            yield from self._input.advance(time, score, at)
        yield from self._status.advance(self.events, at)

    def _unscored(self, time: float, reason: str) -> None:
        """Join neighbouring seconds with the same reason."""
        start, last = time - 0.5, self.unscored[-1] if self.unscored else Span(0.0, 0.0, "")
        follows = start - last.stop < 1.0 and abs(self._last - (last.stop - 0.5)) < 1e-6
        joined = last.reason == reason and follows
        self.unscored[len(self.unscored) - joined :] = [Span(last.start if joined else start, time + 0.5, reason)]
