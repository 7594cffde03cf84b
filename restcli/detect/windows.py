"""Sliding windows over the segments of a recording, block by block on a few threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch

from restcli.detect.backends import Engine
from restcli.detect.settings import Settings
from restcli.detect.timeline import Timeline
from restcli.io.recording import Block, Recording, StoredBlock
from restcli.nn.readout import mean_over_nodes
from restcli.nn.windows import Inputs, Windows
from restcli.profiling import StageClock
from restcli.signal.montage import Montage
from restcli.signal.quality import Quality

Progress = Callable[[float, float], None]
Seconds = list[torch.Tensor]
"""What the network takes of some seconds: projections (N, T, H), presence (N, T), masks of K passes (N, T, K)."""


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
class _Task:
    """One block, and what its worker receives from the block before and hands on to the next."""

    block: Block | StoredBlock
    rows: slice  # of the timeline
    gates: torch.Tensor  # (N, T, K)
    earlier: Future[Seconds]  # the last seconds before the block, empty where a segment begins
    tail: Future[Seconds]


@dataclass(eq=False)
class Scorer:
    """Scores one recording: fills in its timeline."""

    engine: Engine
    recording: Recording
    montage: Montage
    settings: Settings
    clock: StageClock
    on_progress: Progress | None = None

    def __post_init__(self) -> None:
        self.timeline = Timeline.of(self.recording, self.engine.weights, self.settings.passes)
        self.columns = [self.engine.weights.nodes.index(node) for node in self.montage.nodes]

    def score(self) -> Timeline:
        """Read block after block while workers turn earlier ones into features and scores.

        Each worker uses one thread: blocks are independent except for the seconds that windows reach back, so that
        threads need not wait for each other within every matrix product.
        """
        backend = self.engine.backend
        running: deque[Future[float]] = deque()
        with one_thread_each() as n_threads:
            n_workers = min(n_threads, backend.max_workers)
            with worker_pool(n_workers, backend.device) as pool:
                for task in self._tasks():
                    self._finish(running, n_workers)  # memory holds one block a worker and the one just read
                    running.append(pool.submit(self._work, task))
                self._finish(running, 0)
        self.timeline.leave_out_open_inputs(self.engine.weights.look_ahead)
        return self.timeline

    def _finish(self, running: deque[Future[float]], n_left: int) -> None:
        while len(running) > n_left:
            done = running.popleft().result()
            if self.on_progress is not None:
                self.on_progress(done, self.recording.duration)

    def _tasks(self) -> Iterator[_Task]:
        """Read blocks and draw their masks, which depend on seed, pass, second of the segment and node alone."""
        backend, seed = self.engine.backend, self.settings.seed
        read = self.recording.stored_blocks if backend.on_gpu else self.recording.blocks
        sfreq = self.engine.weights.features.sfreq
        for block in read(self.montage.channels, sfreq=sfreq, seconds=backend.block_seconds, clock=self.clock):
            start = int(np.searchsorted(self.timeline.time, block.start))
            if self.timeline.second[start] == 0:  # a segment begins
                draws = [np.random.default_rng([seed, k]) for k in range(self.settings.passes)]
                tail: Future[Seconds] = Future()
                tail.set_result([])
            n_seconds = len(block.edges) - 1 if isinstance(block, StoredBlock) else block.saturated.shape[1]
            earlier, tail = tail, Future()
            yield _Task(block, slice(start, start + n_seconds), self._gates(draws, n_seconds), earlier, tail)

    def _gates(self, draws: list[np.random.Generator], n_seconds: int) -> torch.Tensor:
        rate, n_nodes = np.float32(self.engine.weights.config.fire_rate), len(self.engine.weights.nodes)
        gates = np.empty((n_nodes, n_seconds, len(draws)), dtype=np.float32)
        for k, draw in enumerate(draws):
            gates[..., k] = (draw.random((n_seconds, n_nodes), dtype=np.float32) <= rate).T / rate
        return torch.from_numpy(gates).to(self.engine.backend.device)

    def _work(self, task: _Task) -> float:
        """Compute features, wait for the seconds of the block before, hand on the last ones, score."""
        try:
            with self.clock("spectra"):
                seconds = [*self._features(task.block, task.rows), task.gates]
            if earlier := task.earlier.result():
                seconds = [torch.cat(pair, dim=1) for pair in zip(earlier, seconds, strict=True)]
            cut = max(0, seconds[0].shape[1] - self.engine.weights.window + 1)
            task.tail.set_result([part[:, cut:].clone() for part in seconds])  # copied, so that the others can be freed
        except BaseException as error:
            task.tail.set_exception(error)
            raise
        with self.clock("network"):
            self._read_out(seconds, task.rows)
        return task.block.start + len(task.gates[0])

    def _features(self, block: Block | StoredBlock, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Fill in what is known of the signals; return projections (N, T, H) and presence (N, T)."""
        timeline, backend = self.timeline, self.engine.backend
        summary, given = backend.summarise(block, self.montage.matrix, self.engine.weights.features)
        timeline.codes[rows, self.columns] = summary.codes
        timeline.rms[rows, self.columns] = summary.rms
        timeline.spectrum[rows] = summary.spectrum
        timeline.levels[rows, self.columns] = summary.levels
        features = torch.zeros((len(given), len(self.engine.weights.nodes), given.shape[-1]), device=backend.device)
        features[:, self.columns] = given
        good = torch.from_numpy(timeline.codes[rows] == Quality.GOOD).to(backend.device)
        features[~good] = 0.0
        return self.engine.network.l1(features).transpose(0, 1), good.T.float()

    def _read_out(self, seconds: Seconds, rows: slice) -> None:
        """Run the windows that end in these rows; a readout judges the second `look_ahead` earlier."""
        projected, present, gates = seconds
        engine, weights, timeline, step = self.engine, self.engine.weights, self.timeline, self.settings.step
        network, n_seconds = engine.network, projected.shape[1]
        before = rows.stop - n_seconds  # row of the first second given
        earliest = rows.start - int(timeline.second[rows.start]) + weights.look_ahead - before  # in this segment
        first = max(rows.start - before, earliest)
        last = range(first + (earliest - first) % step, n_seconds, step)
        if not last:
            return
        judged = slice(before + last.start - weights.look_ahead, before + n_seconds - weights.look_ahead, step)
        here = present[:, last.start :: step] == 1  # (N, B)
        mask = None if bool((present == 1).all()) else present

        def states(gate: torch.Tensor | None = None) -> torch.Tensor:
            inputs, windows = Inputs(projected, mask, gate), Windows(last, weights.window)
            return engine.backend.run_windows(network, inputs, engine.adjacency, windows)

        state = states()
        timeline.logits[judged] = torch.where(here, network.fc(state)[..., 0], torch.nan).T.cpu().numpy()
        if network.fc_type is not None and weights.types:
            pooled = mean_over_nodes(network.fc_type(state), here[..., None], 0)
            timeline.types[judged] = torch.softmax(pooled, dim=-1).cpu().numpy()
        for k in range(gates.shape[-1]):
            masked = network.fc(states(gates[..., k]))[..., 0]
            timeline.passes[judged, k] = mean_over_nodes(masked, here, 0).cpu().numpy()
