"""What is wrong with the input: not scored and why, electrodes off and on, a source that goes silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from restcli.detect.stream import LiveScore
from restcli.detect.timeline import unusable_ahead
from restcli.live.intake import SegmentEnd
from restcli.live.source import Silence
from restcli.signal.quality import QUALITY_WORDS, Quality

_WHOLE = "input"
_NODE_SECONDS = 5  # s that a node must be bad, or good again, before it is said
_SILENT = 3.0  # s


@dataclass(frozen=True)
class Trouble:
    """The input, or one node of it, is lost or back."""

    what: str  # "input" or the name of a node
    state: Literal["begin", "end"]
    reason: str
    start: float  # s from the start of the recording: of the trouble, or when it ended
    at: float  # s, when this was said


class InputWatch:
    """Says once when input is lost and once when it is back."""

    def __init__(self, nodes: Sequence[str], used: Sequence[str], look_ahead: int) -> None:
        self._ahead = unusable_ahead(look_ahead)  # the reason follows at once
        self._columns = [(nodes.index(node), node) for node in used]
        self._for = dict.fromkeys(used, 0)  # seconds for which a node has differed from its reported state
        self.lost: dict[str, str] = {}  # by node, or "input": the reason

    def silent(self, now: float, silence: Silence) -> Iterator[Trouble]:
        """Note that nothing arrives."""
        if silence.seconds >= _SILENT and _WHOLE not in self.lost:
            yield self._begin(_WHOLE, silence.reason, now - silence.seconds, now)

    def broken(self, end: SegmentEnd) -> Iterator[Trouble]:
        """Note that signal is missing between two chunks."""
        if _WHOLE not in self.lost:
            yield self._begin(_WHOLE, end.reason, end.stop, end.resumes)

    def advance(self, time: float, score: LiveScore, at: float) -> Iterator[Trouble]:
        """Take the next score."""
        if score.reason and score.reason != self._ahead and _WHOLE not in self.lost:
            yield self._begin(_WHOLE, score.reason, time - 0.5, at)
        if not score.reason:
            if _WHOLE in self.lost:
                yield self._end(_WHOLE, time - 0.5, at)
            yield from self._nodes(time, score, at)

    def _nodes(self, time: float, score: LiveScore, at: float) -> Iterator[Trouble]:
        for column, node in self._columns:
            bad = score.codes[column] != Quality.GOOD
            if bad == (node in self.lost):
                self._for[node] = 0
                continue
            self._for[node] += 1
            if self._for[node] < _NODE_SECONDS:
                continue
            self._for[node] = 0
            start = time + 0.5 - _NODE_SECONDS
            if bad:
                yield self._begin(node, QUALITY_WORDS[Quality(score.codes[column])], start, at)
            else:
                yield self._end(node, start, at)

    def _begin(self, what: str, reason: str, start: float, at: float) -> Trouble:
        self.lost[what] = reason
        return Trouble(what, "begin", reason, start, at)

    def _end(self, what: str, start: float, at: float) -> Trouble:
        return Trouble(what, "end", self.lost.pop(what), start, at)
