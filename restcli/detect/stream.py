"""REST second by second, as the signal arrives."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.detect.detector import Detector
from restcli.detect.scoring import SecondBySecond
from restcli.detect.settings import Settings, needed_nodes
from restcli.detect.timeline import calibrate, few_nodes, most_frequent_fault, past_end, unusable_ahead
from restcli.nn.network import Recurrence, mean_over_nodes
from restcli.signal.open_inputs import spread_back
from restcli.signal.quality import Quality, summarise

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LiveScore:
    """What is known of a second once the network has looked ahead."""

    probability: float  # NaN where not scored
    by_node: Float32Array  # (N,), NaN for a node that was left out
    reason: str  # why it was not scored; empty when it was
    codes: NDArray[np.uint8]  # (N,), `Quality` of each node


class Stream:
    """Carries the state of REST through a signal that arrives second by second, as `annotate` does through a file.

    The same seconds give the same scores: see `restcli.detect.scoring.SecondBySecond`.
    """

    def __init__(
        self, detector: Detector, columns: list[int], matrix: Float32Array, settings: Settings | None = None
    ) -> None:
        self.detector, self.columns, self.matrix = detector, columns, matrix
        self._needed = needed_nodes(detector.weights, settings or Settings())
        self._ahead = detector.weights.look_ahead
        self._recent: deque[_Second] = deque(maxlen=self._ahead + 1)
        self._so_far = SecondBySecond(detector.weights.features, len(detector.weights.nodes))
        self.restart()

    def restart(self) -> None:
        """Begin anew after a gap."""
        self._so_far.begin()
        self._recurrence = Recurrence(self.detector.engine.network)
        self._recent.clear()
        self._begun = False

    def push(self, second: Float32Array, saturated: Float32Array) -> LiveScore | None:
        """Take one second of the montage's channels, (C, n) in µV, and the fraction of it at the limits, (C,).

        Return the score of the second `look_ahead` earlier; None while there is none since the beginning.
        """
        weights, network = self.detector.weights, self.detector.engine.network
        summary = summarise(second[:, None], saturated[:, None], self.matrix, weights.features)
        if len(self.columns) < len(weights.nodes):
            summary = summary.widened(self.columns, len(weights.nodes))
        features, present, _ = self._so_far.advance(summary)
        self._recurrence.advance(
            network.project(features)[0][:, None],
            present=present[0].astype(np.float32)[:, None, None],
            begins=None if self._begun else slice(None),
        )
        self._begun = True
        self._recent.append(_Second(summary.codes[0], present[0]))
        return self._score(self._recurrence.read_out()[:, 0, 0]) if len(self._recent) > self._ahead else None

    def finish(self) -> list[LiveScore]:
        """Judge the seconds of a segment that has ended whose scores the network cannot look ahead for."""
        left = list(self._recent)[-self._ahead :] if self._ahead else []
        ends = []
        for first in range(len(left)):
            codes = self._codes(left[first:])
            ends.append(self._unscored(codes, self._few_good(codes) or past_end(self._ahead)))
        return ends

    def _score(self, logits: Float32Array) -> LiveScore:
        """Judge the second `look_ahead` before the newest one, given the newest logits, (N,)."""
        recent, calibration = list(self._recent), self.detector.weights.calibration
        codes, present = self._codes(recent), recent[-1].present
        reason = self._few_good(codes)
        if not reason and np.count_nonzero(present) < self._needed:
            reason = unusable_ahead(self._ahead)
        if reason:
            return self._unscored(codes, reason)
        silent = (codes == Quality.NO_EEG) & (recent[0].codes == Quality.GOOD)
        read = present & ~silent
        mean = mean_over_nodes(np.where(read, logits, np.float32(0)), read, 0)
        by_node = calibrate(np.where(read & (codes == Quality.GOOD), logits, np.float32(np.nan)), calibration)
        return LiveScore(float(calibrate(mean, calibration)), by_node, "", codes)

    def _codes(self, seconds: list[_Second]) -> NDArray[np.uint8]:
        """Return what is wrong with each node in the first of some seconds, (N,), as the later ones tell."""
        present = np.stack([second.present for second in seconds])
        good = np.stack([second.codes == Quality.GOOD for second in seconds])
        codes = seconds[0].codes.copy()
        codes[spread_back(good & ~present, self._ahead)[0] & good[0]] = Quality.NO_EEG
        return codes

    def _few_good(self, codes: NDArray[np.uint8]) -> str:
        """Say that too few nodes are good; empty when there are enough."""
        if np.count_nonzero(codes == Quality.GOOD) >= self._needed:
            return ""
        return few_nodes(self._needed, most_frequent_fault(codes[None])[0])

    def _unscored(self, codes: NDArray[np.uint8], reason: str) -> LiveScore:
        return LiveScore(float("nan"), np.full(len(codes), np.nan, dtype=np.float32), reason, codes)


@dataclass(frozen=True, eq=False)
class _Second:
    """What later seconds need of an earlier one."""

    codes: NDArray[np.uint8]  # (N,)
    present: NDArray[np.bool_]  # (N,)
