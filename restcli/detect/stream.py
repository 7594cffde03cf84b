"""REST second by second, as the signal arrives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.detect.detector import Detector
from restcli.detect.scoring import SecondBySecond
from restcli.detect.settings import Settings, needed_nodes
from restcli.detect.timeline import (
    calibrate,
    few_nodes,
    final_codes,
    most_frequent_fault,
    past_end,
    unusable_ahead,
)
from restcli.nn.network import Recurrence, mean_over_nodes
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
    """Carries the state of REST through seconds as they arrive; the same seconds give the same scores as in a file."""

    def __init__(
        self, detector: Detector, columns: list[int], matrix: Float32Array, settings: Settings | None = None
    ) -> None:
        self.detector, self.columns, self.matrix = detector, columns, matrix
        self._needed = needed_nodes(detector.weights, settings or Settings())
        self._ahead = detector.weights.look_ahead
        self._so_far = SecondBySecond(detector.weights.features, len(detector.weights.nodes))
        self.restart()

    def restart(self) -> None:
        """Start again after a gap."""
        self._so_far.begin()
        self._recurrence = Recurrence(self.detector.engine.network)
        n_nodes = len(self.detector.weights.nodes)
        self._codes = np.zeros((0, n_nodes), dtype=np.uint8)  # of the last seconds, as far as the network looks ahead
        self._present = np.zeros((0, n_nodes), dtype=bool)

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
            begins=None if len(self._codes) else slice(None),
        )
        self._codes = np.concatenate([self._codes, summary.codes])[-self._ahead - 1 :]
        self._present = np.concatenate([self._present, present])[-self._ahead - 1 :]
        return self._score(self._recurrence.read_out()[:, 0, 0]) if len(self._codes) > self._ahead else None

    def finish(self) -> list[LiveScore]:
        """Judge the last seconds of a segment that has ended: the network cannot look ahead of them."""
        stop = len(self._codes)
        return [self._unscored(first, past_end(self._ahead)) for first in range(max(0, stop - self._ahead), stop)]

    def _score(self, logits: Float32Array) -> LiveScore:
        """Judge the second `look_ahead` before the newest one, given the newest logits, (N,)."""
        codes, present, calibration = self._known(0), self._present[-1], self.detector.weights.calibration
        if min(np.count_nonzero(codes == Quality.GOOD), np.count_nonzero(present)) < self._needed:
            return self._unscored(0, unusable_ahead(self._ahead))
        read = present & ~((codes == Quality.NO_EEG) & (self._codes[0] == Quality.GOOD))
        mean = mean_over_nodes(np.where(read, logits, np.float32(0)), read, 0)
        by_node = calibrate(np.where(read & (codes == Quality.GOOD), logits, np.float32(np.nan)), calibration)
        return LiveScore(float(calibrate(mean, calibration)), by_node, "", codes)

    def _known(self, first: int) -> NDArray[np.uint8]:
        """Return what is wrong with each node in one of the last seconds, (N,), as known from the later ones."""
        codes: NDArray[np.uint8] = final_codes(self._codes[first:], self._present[first:], self._ahead)[0]
        return codes

    def _unscored(self, first: int, reason: str) -> LiveScore:
        """Judge one of the last seconds as not scored, for too few good nodes if that is so, else for `reason`."""
        codes = self._known(first)
        if np.count_nonzero(codes == Quality.GOOD) < self._needed:
            reason = few_nodes(self._needed, most_frequent_fault(codes[None])[0])
        return LiveScore(float("nan"), np.full(len(codes), np.nan, dtype=np.float32), reason, codes)
