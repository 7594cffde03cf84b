"""From the blocks of a recording to a logit for each second and node."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from restcli.detect.backends import Engine
from restcli.detect.settings import Settings
from restcli.detect.timeline import Timeline
from restcli.io.recording import Block, Recording
from restcli.nn.network import Lanes, mean_over_nodes, shares
from restcli.profiling import StageClock
from restcli.signal.features import FeatureConfig, Float32Array, analysis_rate, log_features, mean_log
from restcli.signal.montage import Montage
from restcli.signal.open_inputs import Listener, NoiseListener
from restcli.signal.quality import Quality, Summary, summarise
from restcli.signal.usual import UsualAmplitude

Progress = Callable[[float, float], None]

# Seconds of a block at most; lanes that are scanned side by side, and how long they are.
_BLOCK_SECONDS = 150
_LANES = 24
_LANE_SECONDS = (60, 300)
_GATE_SECONDS = 600


class SecondBySecond:
    """What is carried from one second of a segment to the next, up to the network's inputs.

    This is the definition of a score, which ``docs/definition.md`` explains step by step: all that is known at a second
    follows from it and those before, so that a file, cut anywhere, and a stream give the same scores.
    Simulated examples are not judged `together`: the shipped weights were trained without that.
    """

    def __init__(self, features: FeatureConfig, n_nodes: int, *, together: bool = True) -> None:
        self._features, self._n_nodes, self._together = features, n_nodes, together
        self._usual = UsualAmplitude(n_nodes)
        self.begin()

    def begin(self) -> None:
        """Begin a segment; the usual amplitude is that of the segments before."""
        self._usual.settle()
        self._listener, self._noise = Listener(self._n_nodes), NoiseListener(self._n_nodes)

    def advance(self, summary: Summary) -> tuple[Float32Array, NDArray[np.bool_], Float32Array]:
        """Take the next seconds of the segment; return inputs (T, N, F), presence and relative amplitude (T, N)."""
        good = summary.codes == Quality.GOOD
        present = good & ~self._listener.advance(summary.levels, good)
        if self._together:
            present &= ~self._noise.advance(summary.noise, good)
        relative = self._usual.advance(mean_log(summary.logs), present)
        features = log_features(summary.logs, summary.rms, relative, self._features)
        features[~present] = 0.0
        return features, present, relative


@dataclass(frozen=True)
class _Lane:
    """Rows of a timeline, in one segment, that the state is carried through."""

    begin: int  # where the state begins
    first: int  # the first one whose readout is kept
    stop: int


@dataclass(eq=False)
class _Group:
    """Lanes that are scanned side by side, filled in as the blocks of the recording arrive."""

    lanes: Sequence[_Lane]
    projected: Float32Array  # (T, N, B, H)
    present: Float32Array  # (T, N, B)
    blocks: list[Future[float]] = field(default_factory=list)

    @classmethod
    def of(cls, lanes: Sequence[_Lane], n_nodes: int, hidden: int) -> _Group:
        shape = (max(lane.stop - lane.begin for lane in lanes), n_nodes, len(lanes))
        return cls(lanes, np.zeros((*shape, hidden), np.float32), np.ones(shape, np.float32))

    def fill(self, rows: slice, projected: Float32Array, present: NDArray[np.bool_]) -> None:
        """Put the seconds of a block where lanes have them."""
        for number, lane in enumerate(self.lanes):
            start, stop = max(rows.start, lane.begin), min(rows.stop, lane.stop)
            if start < stop:
                there, here = (slice(start - base, stop - base) for base in (lane.begin, rows.start))
                self.projected[there, :, number] = projected[here]
                self.present[there, :, number] = present[here]


@dataclass(eq=False)
class Scorer:
    """Scores one recording: fills in its timeline."""

    engine: Engine
    recording: Recording
    montage: Montage
    settings: Settings
    clock: StageClock
    on_progress: Progress | None = None
    block_seconds: int = _BLOCK_SECONDS
    lane_seconds: int | None = None  # by default what keeps all threads busy

    def __post_init__(self) -> None:
        weights = self.engine.weights
        self.timeline = Timeline.of(self.recording, weights, self.settings.passes)
        self.columns = [weights.nodes.index(node) for node in self.montage.nodes]
        rates = [self.recording.source.rates[channel] for channel in self.montage.channels]
        self.sfreq = analysis_rate(rates, weights.features)

    def score(self) -> Timeline:
        """Read block after block while workers turn earlier ones into inputs, and scan what is complete."""
        n_workers = self.settings.threads or available_processors()
        groups = deque(self._groups(n_workers))
        running: deque[Future[float]] = deque()
        open_groups: list[_Group] = []
        previous: Future[SecondBySecond] | None = None
        # One thread each: threads that share a small product wait for each other longer than they compute.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_workers, "restcli") as pool:
            try:
                for block in self.recording.blocks(
                    self.montage.channels, sfreq=self.sfreq, seconds=self.block_seconds, clock=self.clock
                ):
                    rows = self._rows(block)
                    while groups and groups[0][0].begin < rows.stop:
                        open_groups.append(_Group.of(groups.popleft(), *self._width()))
                    handed_on: Future[SecondBySecond] = Future()
                    task = pool.submit(self._work, block, rows, open_groups[:], previous, handed_on)
                    running.append(task)
                    for group in open_groups:
                        group.blocks.append(task)
                    previous = handed_on
                    for group in [group for group in open_groups if group.lanes[-1].stop <= rows.stop]:
                        open_groups.remove(group)
                        running.append(pool.submit(self._scan, group))
                    self._finish(running, n_workers + 1)  # memory holds few blocks at a time
                self._finish(running, 0)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
        self.timeline.leave_out_open_inputs(self.engine.weights.look_ahead)
        return self.timeline

    def _width(self) -> tuple[int, int]:
        return len(self.engine.weights.nodes), self.engine.network.hidden

    def _finish(self, running: deque[Future[float]], n_left: int) -> None:
        while len(running) > n_left:
            done = running.popleft().result()
            if self.on_progress is not None and done:
                self.on_progress(done, self.recording.duration)

    def _rows(self, block: Block) -> slice:
        start = int(np.searchsorted(self.timeline.time, block.start))
        return slice(start, start + block.saturated.shape[1])

    def _groups(self, n_workers: int) -> Iterator[list[_Lane]]:
        """Cut the segments into lanes, and put as many side by side as make a scan efficient."""
        memory, timeline = self.engine.weights.memory, self.timeline
        n_rows = int(np.count_nonzero(~timeline.in_gap))
        length = self.lane_seconds or int(np.clip(n_rows / (n_workers * _LANES), *_LANE_SECONDS))
        lanes = []
        for rows in timeline.segments():
            for first, after in pairwise([*range(rows.start, rows.stop, length), rows.stop]):
                lanes.append(_Lane(max(rows.start, first - memory), first, after))
        n_lanes = min(_LANES, max(1, -(-len(lanes) // n_workers)))
        for k in range(0, len(lanes), n_lanes):
            yield lanes[k : k + n_lanes]

    def _work(
        self,
        block: Block,
        rows: slice,
        groups: Sequence[_Group],
        previous: Future[SecondBySecond] | None,
        handed_on: Future[SecondBySecond],
    ) -> float:
        """Compute the spectra of a block, go on from the block before, and fill in what the network takes."""
        try:
            with self.clock("spectra"):
                summary = self._summarise(block, rows)
            so_far = previous.result() if previous else SecondBySecond(self.engine.weights.features, self._width()[0])
            if self.timeline.second[rows.start] == 0:
                so_far.begin()
            with self.clock("spectra"):
                features, present, _ = so_far.advance(summary)
            handed_on.set_result(so_far)
        except BaseException as error:
            handed_on.set_exception(error)
            raise
        with self.clock("spectra"):
            self.timeline.present[rows] = present
            projected = self.engine.network.project(features)
            for group in groups:
                group.fill(rows, projected, present)
        return block.start + float(block.saturated.shape[1])

    def _summarise(self, block: Block, rows: slice) -> Summary:
        """Summarise a block, and keep what the timeline keeps; nodes that cannot be derived are missing."""
        weights, timeline = self.engine.weights, self.timeline
        seconds = block.data.reshape(len(block.data), -1, self.sfreq)
        summary = summarise(seconds, block.saturated, self.montage.matrix, weights.features)
        if len(self.columns) < len(weights.nodes):
            summary = summary.widened(self.columns, len(weights.nodes))
        timeline.codes[rows], timeline.rms[rows], timeline.spectrum[rows] = summary.codes, summary.rms, summary.spectrum
        return summary

    def _scan(self, group: _Group) -> float:
        """Carry the states through the lanes of a group and keep the readouts; returns 0, as it reads no seconds."""
        for block in group.blocks:
            block.result()
        with self.clock("network"):
            begins = np.zeros(len(group.lanes), dtype=np.intp)
            lanes = Lanes(group.projected, group.present, begins)
            logits = self.engine.scan(lanes)
            passes = [
                self.engine.scan(Lanes(group.projected, group.present, begins, self._gates(k, group)))[..., 0]
                for k in range(self.settings.passes)
            ]
            for number, lane in enumerate(group.lanes):
                read = slice(lane.first - lane.begin, lane.stop - lane.begin)
                self._keep(lane, logits[read, :, number], [masked[read, :, number] for masked in passes])
        return 0.0

    def _gates(self, k: int, group: _Group) -> Float32Array:
        """Draw the masks of a pass, (T, N, B); they depend only on seed, pass, second of the segment and node."""
        rate, gates = np.float32(self.engine.weights.config.fire_rate), np.ones_like(group.present)
        for number, lane in enumerate(group.lanes):
            low, high = (int(self.timeline.second[row]) for row in (lane.begin, lane.stop - 1))
            parts = range(low // _GATE_SECONDS, high // _GATE_SECONDS + 1)
            shape = (_GATE_SECONDS, gates.shape[1])
            drawn = [np.random.default_rng([self.settings.seed, k, part]).random(shape, np.float32) for part in parts]
            chosen = np.concatenate(drawn)[low - parts[0] * _GATE_SECONDS :][: high + 1 - low]
            gates[: len(chosen), :, number] = (chosen <= rate) / rate
        return gates

    def _keep(self, lane: _Lane, logits: Float32Array, passes: Sequence[Float32Array]) -> None:
        """Write the readouts of a lane, (T, N, 1 + C), where the seconds that they judge have their rows."""
        timeline, ahead = self.timeline, self.engine.weights.look_ahead
        skip = max(0, ahead - int(timeline.second[lane.first]))  # the first readouts of a segment judge nothing
        rows = slice(lane.first + skip, lane.stop)
        if rows.start >= rows.stop:
            return
        judged, here = slice(rows.start - ahead, rows.stop - ahead), timeline.present[rows]
        timeline.logits[judged] = np.where(here, logits[skip:, :, 0], np.nan)
        if timeline.types.shape[1]:
            timeline.types[judged] = shares(
                mean_over_nodes(logits[skip:, :, 1:], here[..., None].astype(np.float32), 1)
            )
        for k, masked in enumerate(passes):
            timeline.passes[judged, k] = mean_over_nodes(masked[skip:], here, 1)


def available_processors() -> int:
    """Return how many processors this process may use, four at most: one reader keeps no more busy."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, found)
