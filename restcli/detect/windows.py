"""Sliding windows over the segments of a recording, block by block on a few threads."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch

from restcli.detect.backends import Backend, Engine
from restcli.detect.settings import Settings
from restcli.detect.timeline import Timeline
from restcli.io.recording import Block, Recording, StoredBlock
from restcli.nn.readout import mean_over_nodes
from restcli.nn.weights import Weights
from restcli.nn.windows import Inputs, Windows
from restcli.profiling import StageClock
from restcli.signal.montage import Montage
from restcli.signal.quality import Quality

Progress = Callable[[float, float], None]


@dataclass(frozen=True, eq=False)
class Scorer:
    """What scores recordings with one montage."""

    weights: Weights
    engine: Engine
    settings: Settings
    montage: Montage
    clock: StageClock

    def on(self, backend: Backend) -> Scorer:
        """Return the same on another backend."""
        return replace(self, engine=Engine.build(self.weights, backend))

    def score(self, recording: Recording, on_progress: Progress | None) -> Timeline:
        """Read block after block while workers turn earlier ones into features and scores.

        Each worker uses one thread: blocks are independent except for the seconds that windows reach back, so that
        threads need not wait for each other within every matrix product.
        """
        backend = self.engine.backend
        options = {"sfreq": self.weights.features.sfreq, "seconds": backend.block_seconds, "clock": self.clock}
        timeline = Timeline.of(recording, self.weights, self.settings)
        starts = [segment.start - 1e-6 for segment in recording.segments]
        runs: dict[int, _SegmentRun] = {}
        running: deque[Future[float]] = deque()

        def finish(n_left: int) -> None:
            while len(running) > n_left:
                done = running.popleft().result()
                if on_progress is not None:
                    on_progress(done, recording.duration)

        with one_thread_each() as n_threads:
            n_workers = min(n_threads, backend.max_workers)
            with worker_pool(n_workers, backend.device) as pool:
                for block in backend.read(recording, self.montage.channels, **options):
                    number = bisect_right(starts, block.start) - 1
                    if number not in runs:
                        runs[number] = _SegmentRun(self, timeline, timeline.first[number])
                    finish(n_workers)  # memory holds one block a worker and the one just read
                    running.append(runs[number].submit(pool, block))
                finish(0)
        timeline.leave_out_open_inputs(self.weights.look_ahead)
        return timeline


class _Threads:
    """How many threads torch had before the first of those who are inside `one_thread_each` now."""

    lock = Lock()
    n_inside = 0
    before = 1


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Let torch use one thread in this thread and in those started meanwhile; yields how many it used before.

    Threads that wait for each other within every small product lose more than they gain, above all on a busy machine.
    Torch keeps the number for each thread and gives new threads the one set last: of several threads in here at a
    time, all restore what was there before the first.
    """
    with _Threads.lock:
        here = torch.get_num_threads()
        if _Threads.n_inside == 0:
            _Threads.before = here
        before = _Threads.before
        _Threads.n_inside += 1
        torch.set_num_threads(1)
    try:
        yield before
    finally:
        with _Threads.lock:
            _Threads.n_inside -= 1
            torch.set_num_threads(before)


def _begin_thread(device: torch.device) -> None:
    torch.get_num_threads()  # the first call in a thread takes the number set last anywhere: call it before setting
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # each thread has its own


@contextmanager
def worker_pool(n_workers: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Yield workers of one thread each; after an error what they have not begun is dropped."""
    # OpenMP counts threads for each thread: what the main thread set does not reach the workers.
    pool = ThreadPoolExecutor(n_workers, "restcli", initializer=_begin_thread, initargs=(device,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Seconds:
    """What the network needs of some consecutive seconds."""

    first: int  # row of the first second in the timeline
    projected: torch.Tensor  # (N, T, H)
    present: torch.Tensor  # (N, T)
    gates: tuple[torch.Tensor, ...]  # (N, T), one for each masked pass

    def after(self, earlier: _Seconds) -> _Seconds:
        """Put earlier seconds before these."""
        gates = tuple(torch.cat(pair, dim=1) for pair in zip(earlier.gates, self.gates, strict=True))
        projected = torch.cat([earlier.projected, self.projected], dim=1)
        return _Seconds(earlier.first, projected, torch.cat([earlier.present, self.present], dim=1), gates)

    def tail(self, n_seconds: int) -> _Seconds:
        """Copy the last seconds, so that the others can be freed."""
        cut = max(0, self.projected.shape[1] - n_seconds)
        gates = tuple(gate[:, cut:].clone() for gate in self.gates)
        return _Seconds(self.first + cut, self.projected[:, cut:].clone(), self.present[:, cut:].clone(), gates)


class _SegmentRun:
    """Fills in the rows of one segment, block by block."""

    def __init__(self, scorer: Scorer, timeline: Timeline, first: int) -> None:
        self.weights, self.engine, self.settings = scorer.weights, scorer.engine, scorer.settings
        self.montage, self.clock = scorer.montage, scorer.clock
        self.timeline, self.first, self.next = timeline, first, first
        self.columns = [self.weights.nodes.index(node) for node in self.montage.nodes]
        n_nodes, n_passes = len(self.weights.nodes), self.settings.passes
        self.draws = [np.random.default_rng([self.settings.seed, k]) for k in range(n_passes)]
        none = torch.zeros((n_nodes, 0), device=self.engine.backend.device)
        hidden = self.engine.network.config.hidden
        self.tail: Future[_Seconds] = Future()  # what windows of the next block reach back to
        self.tail.set_result(_Seconds(first, none[..., None].expand(-1, -1, hidden), none, (none,) * n_passes))

    def submit(self, pool: ThreadPoolExecutor, block: Block | StoredBlock) -> Future[float]:
        """Hand the segment's next block to a worker; the future gives the second of the recording that is done."""
        n_seconds = len(block.edges) - 1 if isinstance(block, StoredBlock) else block.saturated.shape[1]
        rows = slice(self.next, self.next + n_seconds)
        self.next = rows.stop
        earlier, self.tail = self.tail, Future()
        work = _Work(block, rows, self._draw_gates(n_seconds), earlier, self.tail)
        return pool.submit(self._work, work)

    def _draw_gates(self, n_seconds: int) -> tuple[torch.Tensor, ...]:
        """Draw masks that depend on seed, pass, second and node alone, so that chunking cannot change them."""
        rate, n_nodes = np.float32(self.weights.config.fire_rate), len(self.weights.nodes)
        drawn = [(draw.random((n_seconds, n_nodes), dtype=np.float32) <= rate).T / rate for draw in self.draws]
        return tuple(torch.from_numpy(gate.astype(np.float32)).to(self.engine.backend.device) for gate in drawn)

    def _work(self, work: _Work) -> float:
        """Compute features, wait for the seconds of the block before, hand on the last ones, score."""
        try:
            with self.clock("spectra"):
                projected, present = self._features(work.block, work.rows)
            seconds = _Seconds(work.rows.start, projected, present, work.gates).after(work.earlier.result())
            work.tail.set_result(seconds.tail(self.weights.window - 1))
        except BaseException as error:
            work.tail.set_exception(error)
            raise
        with self.clock("network"):
            for readouts in self._readouts(work.rows):
                self._read_out(seconds, readouts)
        return work.block.start + len(present.T)

    def _features(self, block: Block | StoredBlock, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Fill in what is known of the signals; return projections (N, T, H) and presence (N, T)."""
        timeline, backend = self.timeline, self.engine.backend
        summary, given = backend.summarise(block, self.montage.matrix, self.weights.features)
        timeline.codes[rows, self.columns] = summary.codes
        timeline.rms[rows, self.columns] = summary.rms
        timeline.spectrum[rows] = summary.spectrum
        timeline.levels[rows, self.columns] = summary.levels
        features = torch.zeros((len(given), len(self.weights.nodes), given.shape[-1]), device=backend.device)
        features[:, self.columns] = given
        good = torch.from_numpy(timeline.codes[rows] == Quality.GOOD).to(backend.device)
        features[~good] = 0.0
        return self.engine.network.l1(features).transpose(0, 1), good.T.float()

    def _readouts(self, rows: slice) -> Iterator[range]:
        """Yield the seconds after which the state is read out, in batches."""
        step, ahead, most = self.settings.step, self.weights.look_ahead, self.engine.backend.windows_at_once
        earliest = self.first + ahead
        start = max(rows.start, earliest)
        asked = range(start + (earliest - start) % step, rows.stop, step)
        for begin in range(0, len(asked), most):
            yield asked[begin : begin + most]

    def _read_out(self, seconds: _Seconds, readouts: range) -> None:
        """Run the windows that end at these seconds; their scores belong to the seconds `look_ahead` earlier."""
        network, timeline, ahead = self.engine.network, self.timeline, self.weights.look_ahead
        last = range(readouts.start - seconds.first, readouts.stop - seconds.first, readouts.step)
        judged = slice(readouts.start - ahead, readouts.stop - ahead, readouts.step)
        present = None if bool((seconds.present == 1).all()) else seconds.present
        here = seconds.present[:, last.start : last.stop : last.step] == 1  # (N, B)
        state = self._states(Inputs(seconds.projected, present), last)
        timeline.logits[judged] = torch.where(here, network.fc(state)[..., 0], torch.nan).T.cpu().numpy()
        if network.fc_type is not None and self.weights.types:
            pooled = mean_over_nodes(network.fc_type(state), here[..., None], 0)
            timeline.types[judged] = torch.softmax(pooled, dim=-1).cpu().numpy()
        for k, gate in enumerate(seconds.gates):
            masked = self._states(Inputs(seconds.projected, present, gate), last)
            timeline.passes[judged, k] = mean_over_nodes(network.fc(masked)[..., 0], here, 0).cpu().numpy()

    def _states(self, inputs: Inputs, last: range) -> torch.Tensor:
        # Before the segment's first second there is nothing; inside it the inputs always reach far enough back.
        windows = Windows(last, self.weights.window)
        return self.engine.backend.run_windows(self.engine.network, inputs, self.engine.adjacency, windows)


@dataclass(frozen=True, eq=False)
class _Work:
    """One block of a segment, and what its worker receives from the block before and hands on to the next."""

    block: Block | StoredBlock
    rows: slice  # of the timeline
    gates: tuple[torch.Tensor, ...]
    earlier: Future[_Seconds]
    tail: Future[_Seconds]
