"""Sliding windows over a recording: from a file to scores and events; knows nothing of the command line."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restcli.detect.gpu_features import choose_device, to_microvolts
from restcli.detect.gpu_features import summarise as summarise_there
from restcli.detect.settings import Settings, fit_montage, needed_nodes, rule_in_force
from restcli.detect.timeline import Piece, band_limit, count_bad, join_pieces, to_scores
from restcli.errors import RecordingError, RestError, UsageError
from restcli.events import EventRule, Events, Scores, to_events
from restcli.io.recording import Block, Recording, Segment, StoredBlock
from restcli.io.registry import open_recording
from restcli.nn.golden import GOLDEN_TOLERANCE, check_golden, golden_signal
from restcli.nn.rest import Rest, build_network
from restcli.nn.weights import Weights, load_weights
from restcli.nn.windows import Inputs, Windows, run_windows
from restcli.profiling import StageClock
from restcli.signal.features import SPECTRUM_BINS, magnitudes, spectra
from restcli.signal.montage import ElectrodeGraph, Montage, electrode_graph
from restcli.signal.quality import Quality, Summary, summarise

Float32Array = NDArray[np.float32]
Progress = Callable[[float, float], None]

_BLOCK_SECONDS = 300
_WINDOWS_AT_ONCE = 512
# A GPU wants much at a time.
_GPU_BLOCK_SECONDS = 1800
_GPU_WINDOWS_AT_ONCE = 4096
_MOST_WORKERS = 4
# Single nodes lean on faint bins, where transforms in float32 differ.
_NODE_TOLERANCE = 1e-2
_COMPARED_SECONDS = 30
_MICROVOLT_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class Trend:
    """Second by second summary of the signals, for pictures.

    Parameters
    ----------
    time : ndarray, shape (T,)
        Centres of the seconds, from the start of the recording.
    amplitude : ndarray, shape (T,)
        Median RMS over the good nodes, µV; NaN where none was good.
    spectrum : ndarray, shape (T, 101)
        Mean log10 power over the good nodes, bins 0..100 Hz; NaN where none was good.
    """

    time: NDArray[np.float64]
    amplitude: Float32Array
    spectrum: Float32Array


@dataclass(frozen=True, eq=False)
class Result:
    """All that is known after annotating one recording.

    Parameters
    ----------
    recording : Recording
        Metadata, repairs, segments.
    montage : Montage
        How the nodes were derived.
    weights : Weights
        What was used.
    settings : Settings
        What was asked for.
    rule : EventRule
        The rule in force.
    scores : Scores
        Probabilities along the recording.
    events : Events
        Seizures found; empty means looked and found none, read it with ``scores.scored``.
    trend : Trend
        Amplitude and spectrum along the recording.
    bad_seconds : dict of str to dict of str to int
        For each node, how many seconds were left out and why.
    band_limit : int or None
        Hz above which the recording holds nearly nothing (it was low-passed), or None.
    device : str
        Where the network ran, and why not on a GPU when one was looked for.
    stages : dict of str to float
        Seconds spent in each stage; stages overlap, so that their sum may exceed the wall time.
    """

    recording: Recording
    montage: Montage
    weights: Weights
    settings: Settings
    rule: EventRule
    scores: Scores
    events: Events
    trend: Trend
    bad_seconds: Mapping[str, Mapping[str, int]]
    band_limit: int | None
    device: str
    stages: Mapping[str, float]


def annotate(path: str | Path, settings: Settings | None = None, *, on_progress: Progress | None = None) -> Result:
    """Find seizures in a recording.

    Parameters
    ----------
    path : str or Path
        An EDF, EDF+, BDF recording, or another format that MNE reads.
    settings : Settings, optional
        Weights, step, threshold and so on.
    on_progress : callable, optional
        Called with seconds done and seconds in all.

    Returns
    -------
    Result

    Raises
    ------
    RecordingError
        If the recording cannot be used, with the reason.
    WeightsError
        If the weights cannot be used.

    Examples
    --------
    >>> import restcli
    >>> result = restcli.annotate("examples/absence.edf")  # doctest: +SKIP
    >>> [round(event.onset) for event in result.events]  # doctest: +SKIP
    """
    settings = settings or Settings()
    clock = StageClock()
    with clock("open"):
        recording = open_recording(path)
    with clock("weights"):
        detector = Detector(load_weights(settings.weights), settings.device)
    return detector.annotate(recording, settings, clock=clock, on_progress=on_progress)


@dataclass(frozen=True)
class _Way:
    """A way from blocks to states: where, whether from stored integers, and by which form of the recurrence."""

    name: str
    device: torch.device
    stored: bool
    run_windows: Callable[..., torch.Tensor]


_PLAIN = _Way("CPU", torch.device("cpu"), False, run_windows)


@dataclass(frozen=True, eq=False)
class _Engine:
    """The network made ready to go one way; never changed, so that several threads may use it."""

    way: _Way
    network: Rest
    adjacency: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.way.device


def _ways(device: torch.device) -> list[_Way]:
    """Give the ways there are on a device, the fastest first; the last one, plain on a CPU, needs no trial."""
    ways = [_PLAIN]
    if device.type == "cuda":
        from restcli.detect.gpu_kernel import fused_runner

        ways.insert(0, _Way("GPU", device, True, run_windows))
        if (fused := fused_runner()) is not None:
            ways.insert(0, _Way("fused kernel", device, True, fused))
    return ways


def _first_sound_way(weights: Weights, ways: list[_Way]) -> tuple[_Way, list[str]]:
    """Return the first way that gives the plain form's values, and why earlier ones were not taken."""
    reasons: list[str] = []
    for way in ways[:-1]:
        fault = _fault_of(way, weights)
        if not fault:
            return way, reasons
        reasons.append(f"{way.name} not used: {fault}")
    return ways[-1], reasons


def _fault_of(way: _Way, weights: Weights) -> str:
    """Try a way on the test signal; say what is wrong with it, or nothing."""
    expected = _golden_windows(_PLAIN, weights)
    try:
        found = _golden_windows(way, weights)
    except Exception as error:  # compilers of kernels raise whatever the tools they call raise
        return _first_line(error)
    off, off_mean = (found - expected).abs(), (found.mean(dim=-1) - expected.mean(dim=-1)).abs()
    # Compared so that NaN is no agreement.
    if bool((off <= _NODE_TOLERANCE).all()) and bool((off_mean <= GOLDEN_TOLERANCE).all()):
        return ""
    return f"it computes other values than the CPU on the test signal, {off_mean.max():.2g} off"


def _tell(device: torch.device, reasons: list[str]) -> str:
    return f"{device.type} ({'; '.join(reasons)})" if reasons else device.type


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@torch.no_grad()
def _golden_windows(way: _Way, weights: Weights) -> torch.Tensor:
    """Go a way with the test signal: logits without masks, with absent nodes, and with masked updates, (3, B, N)."""
    n_nodes, length = len(weights.nodes), weights.window
    n_seconds = length + 6
    signal = golden_signal(n_nodes, weights.features.sfreq, n_seconds)
    if way.stored:
        data, matrix = torch.from_numpy(signal).to(way.device), torch.eye(n_nodes, device=way.device)
        unsaturated = torch.zeros(n_nodes, n_seconds, device=way.device)
        _, x = summarise_there(data, unsaturated, matrix, weights.features)
    else:
        x = torch.from_numpy(spectra(magnitudes(signal, weights.features.sfreq), weights.features)).to(way.device)
    network = build_network(weights).to(way.device)
    adjacency = torch.from_numpy(electrode_graph(weights.nodes).adjacency).to(way.device)
    projected = network.l1(x).transpose(0, 1)  # (N, T, H)
    count = torch.arange(n_nodes * n_seconds, device=way.device).view(n_nodes, n_seconds)
    present, gate = (count % 5 > 0).float(), (count % 3 > 0).float() * 1.5
    windows = Windows(range(max(0, length - 3), n_seconds), length)  # the first ones begin before the signal
    inputs = (Inputs(projected), Inputs(projected, present), Inputs(projected, present, gate))
    states = torch.stack([way.run_windows(network, some, adjacency, windows) for some in inputs])
    logits: torch.Tensor = network.fc(states)[..., 0]  # (3, N, B)
    return logits.transpose(1, 2).cpu()


class Detector:
    """Weights made ready to score recordings on one device.

    Parameters
    ----------
    weights : Weights
        From `restcli.nn.weights.load_weights`.
    device : str
        ``auto`` takes a GPU that works and else the CPU; ``cpu``; ``cuda``.

    Raises
    ------
    UsageError
        If the device is unknown or ``cuda`` cannot be used.
    WeightsError
        If this version computes something else than the weights were trained on.

    Notes
    -----
    On a GPU stored integers go there as they are, and everything up to the scores is done there (``stored``).
    Before that the way to be taken is tried on the test signal: one that fails, or gives other values than the plain
    form on a CPU, is not taken, and ``device_told`` says why. With each recording the first seconds are made both ways
    and compared. When a GPU fails at a recording, its memory full or its driver gone, that one is scored on the CPU.
    """

    def __init__(self, weights: Weights, device: str = "auto") -> None:
        self.weights, self.asked = weights, device
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError("--device", repr(device), "auto, cpu or cuda")
        best, why = choose_device(device)
        if device == "cuda" and why:
            raise UsageError("--device", why, "a GPU that torch can use", "use --device cpu or auto")
        self.graph: ElectrodeGraph = electrode_graph(weights.nodes)
        with _one_thread_each():
            check_golden(weights)
            way, reasons = _first_sound_way(weights, _ways(best))
        if device == "cuda" and way.device.type != "cuda":
            raise UsageError(
                "--device", "; ".join(reasons), "a GPU that computes what a CPU does", "use --device cpu or auto"
            )
        self.engine = self._build(way)
        self.device_told = _tell(way.device, [why, *reasons] if why else reasons)

    def _build(self, way: _Way) -> _Engine:
        network, adjacency = build_network(self.weights), torch.from_numpy(self.graph.adjacency)
        return _Engine(way, network.to(way.device), adjacency.to(way.device))

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.engine.device

    @property
    def network(self) -> Rest:
        """The network, on its device."""
        return self.engine.network

    @property
    def adjacency(self) -> torch.Tensor:
        """The graph's weights, on the network's device."""
        return self.engine.adjacency

    def annotate(
        self,
        recording: Recording,
        settings: Settings,
        *,
        clock: StageClock | None = None,
        on_progress: Progress | None = None,
    ) -> Result:
        """Score an opened recording and turn the scores into events.

        Parameters
        ----------
        recording : Recording
            From `restcli.io.recording.open_recording`.
        settings : Settings
            Its `weights` and `device` have been dealt with already.
        clock : StageClock, optional
            Collects the time spent by stage.
        on_progress : callable, optional
            Called with seconds done and seconds in all.

        Returns
        -------
        Result

        Raises
        ------
        RecordingError
            If too few nodes can be derived, nothing is long enough to score, or a GPU asked for by name fails.
        """
        clock = clock or StageClock()
        needed = needed_nodes(self.weights, settings)
        self._check_settings(settings)
        montage = fit_montage(recording, self.weights, settings)
        pieces, device_told = self._score(recording, montage, settings, clock=clock, on_progress=on_progress)
        with clock("events"):
            track = join_pieces(pieces, recording.duration, n_nodes=len(self.weights.nodes), n_passes=settings.passes)
            scores = to_scores(track, self.weights, needed=needed, step=settings.step, duration=recording.duration)
            rule = rule_in_force(self.weights, settings)
            events = to_events(scores, rule, recording.start)
        longest = longest_run(scores)
        if longest < rule.min_duration:
            told = "nothing could be scored" if longest == 0 else f"only {longest:g} s in a row could be scored"
            raise RecordingError(
                str(recording.path),
                f"{told}: {_main_reason(scores)}",
                f"at least {rule.min_duration:g} s in a row with {needed} good nodes, or no event could be found",
                "see restcli info for what the file holds",
            )
        return Result(
            recording=recording,
            montage=montage,
            weights=self.weights,
            settings=settings,
            rule=rule,
            scores=scores,
            events=events,
            trend=Trend(track.time, track.amplitude(), track.spectrum),
            bad_seconds=count_bad(track.codes, self.weights.nodes),
            band_limit=band_limit(track.spectrum),
            device=device_told,
            stages=dict(clock.seconds),
        )

    def _score(
        self,
        recording: Recording,
        montage: Montage,
        settings: Settings,
        *,
        clock: StageClock,
        on_progress: Progress | None,
    ) -> tuple[list[Piece], str]:
        """Score all segments; tells where, and why on a CPU when a GPU has failed at this recording."""
        engine, told = self.engine, self.device_told
        if engine.way.stored:
            try:
                self._check_microvolts(recording, montage)
                return self._score_segments(
                    recording, montage, settings, engine=engine, clock=clock, on_progress=on_progress
                ), told
            except RestError:
                raise
            except Exception as error:  # torch, drivers and compilers of kernels raise whatever they raise
                reason = f"the GPU failed: {_first_line(error)}"
                if self.asked == "cuda":
                    raise RecordingError(
                        str(recording.path), reason, "a GPU with room to work", "use --device cpu or auto"
                    ) from error
            engine = self._build(_PLAIN)
            told = _tell(engine.device, [reason])
        pieces = self._score_segments(recording, montage, settings, engine=engine, clock=clock, on_progress=on_progress)
        return pieces, told

    def _check_microvolts(self, recording: Recording, montage: Montage) -> None:
        """Compare the first seconds as the device makes them from stored integers with those made on the CPU."""
        asked: dict[str, Any] = {"sfreq": self.weights.features.sfreq, "seconds": _COMPARED_SECONDS}
        here = next(recording.blocks(montage.channels, **asked), None)
        there = next(recording.stored_blocks(montage.channels, **asked), None)
        if here is None or not isinstance(there, StoredBlock):
            return
        found, saturated = (part.cpu().numpy() for part in to_microvolts(there, self.device))
        if not np.allclose(found, here.data, rtol=1e-4, atol=_MICROVOLT_TOLERANCE, equal_nan=True):
            raise ArithmeticError("it makes other microvolts of stored integers than the CPU")
        if not np.allclose(saturated, here.saturated, atol=1e-4):
            raise ArithmeticError("it counts other samples at the amplifier's limits than the CPU")

    def _check_settings(self, settings: Settings) -> None:
        """Refuse what these weights cannot do."""
        if settings.step > self.weights.window:
            raise UsageError(
                "--step", f"{settings.step} s", f"at most {self.weights.window} s, or parts would be in no window"
            )
        if settings.passes and not self.weights.config.has_intervals:
            raise UsageError(
                "--passes",
                f"weights {self.weights.name} were not trained under a rescaled mask for each node",
                "weights such as rest-default",
            )

    def _score_segments(
        self,
        recording: Recording,
        montage: Montage,
        settings: Settings,
        *,
        engine: _Engine,
        clock: StageClock,
        on_progress: Progress | None,
    ) -> list[Piece]:
        """Read block after block while workers turn earlier ones into features and scores.

        A GPU is fed by one worker. On a CPU there are as many as torch may use threads, up to the four that one reader
        keeps busy, and each has one thread of its own: blocks are independent but for the seconds that windows reach
        back, so that threads need not wait for each other within every matrix product.
        """
        sfreq = self.weights.features.sfreq
        blocks: Iterator[Block | StoredBlock] = (
            recording.stored_blocks(montage.channels, sfreq=sfreq, seconds=_GPU_BLOCK_SECONDS, clock=clock)
            if engine.way.stored
            else recording.blocks(montage.channels, sfreq=sfreq, seconds=_BLOCK_SECONDS, clock=clock)
        )
        runs: dict[int, _SegmentRun] = {}
        starts = [segment.start - 1e-6 for segment in recording.segments]
        underway: deque[Future[float]] = deque()

        def finish(n_left: int) -> None:
            while len(underway) > n_left:
                done = underway.popleft().result()
                if on_progress is not None:
                    on_progress(done, recording.duration)

        with _one_thread_each() as n_threads:
            n_workers = 1 if engine.way.stored else min(n_threads, _MOST_WORKERS)
            with _pool(n_workers, engine.device) as pool:
                for block in blocks:
                    number = bisect_right(starts, block.start) - 1
                    if number not in runs:
                        runs[number] = _SegmentRun(
                            self.weights, engine, settings, montage, segment=recording.segments[number], clock=clock
                        )
                    finish(n_workers)  # memory holds one block a worker and the one just read
                    underway.append(runs[number].submit(pool, block))
                finish(0)
        return [run.piece for _, run in sorted(runs.items())]


class _Threads:
    """How many threads torch had before the first of those entered who are at work now."""

    lock = Lock()
    n_inside = 0
    before = 1


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Let torch use one thread in this thread and in those that begin meanwhile; gives how many it had.

    Threads that wait for each other within every small product lose more than they win, above all on a busy machine.
    Torch keeps the number for each thread, and hands the one set last to threads that begin: several may be in here at
    a time, so all of them go back to what was there before the first.
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
    """Hold this thread to one: when it first asks it is given the number set last anywhere, so ask before."""
    torch.get_num_threads()
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # each thread has its own, and kernels run on it


@contextmanager
def _pool(n_workers: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Give workers; when something goes wrong what they have not begun is dropped."""
    # OpenMP keeps the number of threads for each thread apart: what the main thread set does not reach these.
    pool = ThreadPoolExecutor(n_workers, "restcli", initializer=_begin_thread, initargs=(device,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Inputs:
    """What the network needs of some seconds in a row.

    Parameters
    ----------
    first : int
        Index of the first second in its segment.
    projected : Tensor, shape (N, T, H)
        ``l1 x``.
    present : Tensor, shape (N, T)
        1 where a node takes part.
    gates : tuple of Tensor, each of shape (N, T)
        One a masked pass.
    """

    first: int
    projected: torch.Tensor
    present: torch.Tensor
    gates: tuple[torch.Tensor, ...]

    def after(self, earlier: _Inputs) -> _Inputs:
        """Join the seconds before to these."""
        gates = tuple(torch.cat(pair, dim=1) for pair in zip(earlier.gates, self.gates, strict=True))
        projected = torch.cat([earlier.projected, self.projected], dim=1)
        return _Inputs(earlier.first, projected, torch.cat([earlier.present, self.present], dim=1), gates)

    def tail(self, n_seconds: int) -> _Inputs:
        """Keep the last seconds only."""
        cut = max(0, self.projected.shape[1] - n_seconds)
        gates = tuple(gate[:, cut:].clone() for gate in self.gates)
        return _Inputs(self.first + cut, self.projected[:, cut:].clone(), self.present[:, cut:].clone(), gates)


class _SegmentRun:
    """Features and scores of one segment.

    Results go into arrays made once for the whole segment: lists of small arrays kept between large temporary ones
    would leave the memory of a long recording full of holes.
    """

    def __init__(
        self,
        weights: Weights,
        engine: _Engine,
        settings: Settings,
        montage: Montage,
        *,
        segment: Segment,
        clock: StageClock,
    ) -> None:
        self.weights, self.engine, self.settings, self.montage, self.clock = weights, engine, settings, montage, clock
        self.columns = [weights.nodes.index(node) for node in montage.nodes]
        n_seconds, n_nodes = int(np.floor(segment.stop - segment.start + 1e-6)), len(weights.nodes)
        asked = np.zeros(n_seconds, dtype=bool)
        asked[:: settings.step] = True
        self.piece = Piece(
            start=segment.start,
            codes=np.full((n_seconds, n_nodes), Quality.MISSING, dtype=np.uint8),
            rms=_nothing(n_seconds, n_nodes),
            spectrum=_nothing(n_seconds, SPECTRUM_BINS),
            logits=_nothing(n_seconds, n_nodes),
            asked=asked,
            passes=_nothing(n_seconds, settings.passes) if settings.passes else None,
            types=_nothing(n_seconds, len(weights.types)) if weights.types else None,
        )
        self.draws = [np.random.default_rng([settings.seed, k]) for k in range(settings.passes)]
        nothing = torch.zeros((n_nodes, 0), device=engine.device)
        before = _Inputs(
            0, nothing[..., None].expand(-1, -1, engine.network.config.hidden), nothing, (nothing,) * settings.passes
        )
        self.n_taken = 0  # seconds of the blocks handed in so far
        self.tail: Future[_Inputs] = Future()  # what windows of the next block reach back to
        self.tail.set_result(before)

    def submit(self, pool: ThreadPoolExecutor, block: Block | StoredBlock) -> Future[float]:
        """Hand the segment's next block to a worker; the future gives the recording's second that is then done."""
        n_seconds = len(block.edges) - 1 if isinstance(block, StoredBlock) else block.saturated.shape[1]
        first, self.n_taken = self.n_taken, self.n_taken + n_seconds
        earlier, self.tail = self.tail, Future()
        return pool.submit(self._work, block, first, self._draw_gates(n_seconds), link=(earlier, self.tail))

    def _draw_gates(self, n_seconds: int) -> tuple[torch.Tensor, ...]:
        """Masks depend on seed, pass, second and node alone, so chunking cannot change them."""
        rate, n_nodes = np.float32(self.weights.config.fire_rate), len(self.weights.nodes)
        drawn = [(draw.random((n_seconds, n_nodes), dtype=np.float32) <= rate).T / rate for draw in self.draws]
        return tuple(torch.from_numpy(gate.astype(np.float32)).to(self.engine.device) for gate in drawn)

    def _work(
        self,
        block: Block | StoredBlock,
        first: int,
        gates: tuple[torch.Tensor, ...],
        *,
        link: tuple[Future[_Inputs], Future[_Inputs]],
    ) -> float:
        """Compute features, wait for those of the block before, hand on the last ones, score."""
        earlier, tail = link
        try:
            with self.clock("spectra"):
                projected, present = self._features(block, first)
            inputs = _Inputs(first, projected, present, gates).after(earlier.result())
            tail.set_result(inputs.tail(self.weights.window - 1))
        except BaseException as error:
            tail.set_exception(error)
            raise
        n_seconds = present.shape[1]
        with self.clock("network"):
            for readouts in self._readouts(first, first + n_seconds):
                self._read_out(inputs, readouts)
        return block.start + n_seconds

    def _features(self, block: Block | StoredBlock, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Fill in quality, amplitude and spectrum; return projections (N, T, H) and presence (N, T)."""
        piece, device = self.piece, self.engine.device
        summary, given = self._summarise_there(block) if self.engine.way.stored else self._summarise(block)
        n_seconds, n_nodes = len(given), len(self.weights.nodes)
        rows = slice(first, first + n_seconds)
        piece.codes[rows, self.columns] = summary.codes
        piece.rms[rows, self.columns] = summary.rms
        piece.spectrum[rows] = summary.spectrum
        features = torch.zeros((n_seconds, n_nodes, given.shape[-1]), device=device)
        features[:, self.columns] = given
        good = torch.from_numpy(piece.codes[rows] == Quality.GOOD).to(device)
        features[~good] = 0.0
        return self.engine.network.l1(features).transpose(0, 1), good.T.float()

    def _summarise(self, block: Block | StoredBlock) -> tuple[Summary, torch.Tensor]:
        """Judge a block and compute its features (T, N', F) in numpy, which is the faster on a CPU."""
        assert isinstance(block, Block)
        matrix = self.montage.matrix
        # What is missing in one channel must not spoil the product for all; nodes made of it are left out below.
        data = block.data if np.isfinite(block.data).all() else np.nan_to_num(block.data)
        # Through torch, because it keeps to the one thread of this worker.
        signal = (torch.from_numpy(matrix) @ torch.from_numpy(data)).numpy()  # (N', n)
        summary, features = summarise(block.data, block.saturated, signal, matrix, self.weights.features)
        return summary, torch.from_numpy(features)

    def _summarise_there(self, block: Block | StoredBlock) -> tuple[Summary, torch.Tensor]:
        """Do the same on the device, from integers as they are stored where the file has them."""
        device = self.engine.device
        if isinstance(block, StoredBlock):
            data, saturated = to_microvolts(block, device)
        else:
            data, saturated = (torch.from_numpy(part).to(device) for part in (block.data, block.saturated))
        matrix = torch.from_numpy(self.montage.matrix).to(device)
        return summarise_there(data, saturated, matrix, self.weights.features)

    def _readouts(self, start: int, stop: int) -> Iterator[range]:
        """Give the seconds after which the state is read out, in batches."""
        step, ahead = self.settings.step, self.weights.look_ahead
        start = max(start, ahead)
        asked = range(start + (ahead - start) % step, stop, step)
        most = _GPU_WINDOWS_AT_ONCE if self.engine.way.stored else _WINDOWS_AT_ONCE
        for begin in range(0, len(asked), most):
            yield asked[begin : begin + most]

    def _read_out(self, inputs: _Inputs, readouts: range) -> None:
        """Run the windows that end at these seconds and put what they say beside the seconds that they judge."""
        network, adjacency, ahead = self.engine.network, self.engine.adjacency, self.weights.look_ahead
        last = range(readouts.start - inputs.first, readouts.stop - inputs.first, readouts.step)
        judged = slice(readouts.start - ahead, readouts.stop - ahead, readouts.step)
        # Before the segment's first second there is nothing; inside it the inputs always reach far enough back.
        windows = Windows(last, self.weights.window)
        present = None if bool((inputs.present == 1).all()) else inputs.present
        state = self.engine.way.run_windows(network, Inputs(inputs.projected, present), adjacency, windows)
        here = inputs.present[:, last.start : last.stop : last.step] == 1  # (N, B)
        count = here.sum(dim=0).clamp(min=1)
        self.piece.logits[judged] = torch.where(here, network.fc(state)[..., 0], torch.nan).T.cpu().numpy()
        if network.fc_type is not None and self.piece.types is not None:
            pooled = (network.fc_type(state) * here[..., None]).sum(dim=0) / count[:, None]
            self.piece.types[judged] = torch.softmax(pooled, dim=-1).cpu().numpy()
        for k, gate in enumerate(inputs.gates):
            masked = self.engine.way.run_windows(network, Inputs(inputs.projected, present, gate), adjacency, windows)
            value = torch.where(here, network.fc(masked)[..., 0], 0.0).sum(dim=0) / count
            if self.piece.passes is not None:
                self.piece.passes[judged, k] = value.cpu().numpy()


def _nothing(n_seconds: int, width: int) -> Float32Array:
    return np.full((n_seconds, width), np.nan, dtype=np.float32)


def longest_run(scores: Scores) -> float:
    """Return the longest stretch scored without a break, seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], np.isfinite(scores.probability), [False]]).astype(np.int8)))
    return float(np.max(edges[1::2] - edges[::2], initial=0)) * scores.step


def _main_reason(scores: Scores) -> str:
    if not scores.unscored:
        return "it holds no whole second"
    return max(scores.unscored, key=lambda span: span.stop - span.start).reason
