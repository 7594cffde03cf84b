"""A whole archive on Dask: what to do next, what became of it, and going on after anything; knows no signals."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restcli import __version__
from restcli.archive.index import describe_derivatives, write_index
from restcli.archive.job import (
    Order,
    Parcel,
    Shelf,
    Task,
    annotate_one,
    glimpse_many,
    hash_many,
    scoring_digest,
    unpack,
)
from restcli.archive.ledger import Keys, Ledger, Row, is_complete, ledger_name
from restcli.archive.pool import TICK, Crew, Flight, Hands, Lost, gpu_memory
from restcli.archive.walk import is_bids, outputs_folder, shard_of, walk_archive
from restcli.detect.settings import Settings
from restcli.errors import OutputError, RestError, UsageError
from restcli.marks.registry import WRITABLE
from restcli.nn.weights import find_weights
from restcli.output.bundle import clear_leftovers

if TYPE_CHECKING:
    from distributed import Future

MOST_ATTEMPTS = 2
GOING, FINISHING, STOPPING = 0, 1, 2

_GLIMPSES_AT_ONCE, _HASHES_AT_ONCE = 64, 4


@dataclass(frozen=True)
class Request:
    """What a user asks of a whole archive.

    Parameters
    ----------
    archive, out : Path
        Where recordings are, where outputs go.
    settings : Settings
        As for one recording.
    formats : tuple of str
        Event tables beside the ``tsv``.
    plot : str
        ``png``, ``pdf`` or ``none``.
    shard : tuple of (int, int)
        Which part of how many this batch does; (1, 1) is everything.
    retry : bool
        Give recordings that failed another chance.
    timeout : float
        Seconds after which a recording that is not done is taken to hang.
    """

    archive: Path
    out: Path
    settings: Settings
    formats: tuple[str, ...] = ("tsv",)
    plot: str = "png"
    shard: tuple[int, int] = (1, 1)
    retry: bool = False
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        shard, n_shards = self.shard
        if not 1 <= shard <= n_shards:
            raise UsageError("--shard", f"{shard}/{n_shards}", "K/N with K from 1 to N")
        for kind in self.formats:
            if kind not in WRITABLE:
                raise UsageError("--format", repr(kind), f"one or more of {', '.join(WRITABLE)}")
        if self.plot not in ("png", "pdf", "none"):
            raise UsageError("--plot", repr(self.plot), "one of png, pdf, none")
        if not self.timeout > 0:
            raise UsageError("--timeout", str(self.timeout), "seconds, more than 0")


@dataclass(frozen=True)
class Progress:
    """Where a batch stands.

    Parameters
    ----------
    stage : str
        In words.
    counts : dict of str to int
        Recordings of the archive in each state.
    in_flight : tuple of (str, float)
        Path and seconds of those being done.
    n_now : int
        Recordings that this run has finished.
    eeg_hours : float
        Hours of recording that this run has finished.
    seconds : float
        Wall time of this run.
    left : float
        Seconds to go, from the bytes left; NaN while unknown.
    news : tuple of str
        What happened since the last report, for a log.
    """

    stage: str
    counts: dict[str, int]
    in_flight: tuple[tuple[str, float], ...] = ()
    n_now: int = 0
    eeg_hours: float = 0.0
    seconds: float = 0.0
    left: float = math.nan
    news: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """What a batch came to.

    Parameters
    ----------
    counts : dict of str to int
        Recordings of the archive in each state.
    n_hidden : int
        Things that were not looked into and may hide recordings.
    n_now : int
        Recordings done or given up in this run.
    stopped : bool
        Whether someone stopped it.
    """

    counts: dict[str, int]
    n_hidden: int
    n_now: int
    stopped: bool

    @property
    def complete(self) -> bool:
        """Whether every recording was scored."""
        return is_complete(self.counts, bool(self.n_hidden))


def run_batch(
    request: Request,
    crew: Crew | None = None,
    *,
    on_update: Callable[[Progress], None] | None = None,
    wish: Callable[[], int] | None = None,
) -> Summary:
    """Annotate every recording of an archive that needs it, and keep the ledger.

    Parameters
    ----------
    request : Request
        What to do.
    crew : Crew, optional
        Who does it; by default as many processes as this machine has room for.
    on_update : callable, optional
        Called with a `Progress` about twice a second.
    wish : callable, optional
        Asked about twice a second: `GOING`, `FINISHING` (finish what is in flight) or `STOPPING` (stop now).

    Returns
    -------
    Summary

    Raises
    ------
    UsageError
        If archive, folder of outputs or an option cannot be used.
    WeightsError
        If the weights cannot be used.
    OutputError
        If the ledger is damaged or in use, or the disk is full.
    RestError
        If no scheduler can be reached.
    """
    parcel = pack(request.settings.weights)
    unpack(parcel)  # refuses bad weights before anything is done
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(request.out), f"cannot be made ({error.strerror})", "a writable folder") from error
    with Ledger(request.out / ledger_name(*request.shard), write=True) as ledger:
        coordinator = _Coordinator(request, crew or Crew(), ledger, parcel)
        coordinator.on_update = on_update or (lambda _: None)
        coordinator.wish = wish or (lambda: GOING)
        return coordinator.run()


def pack(weights: str) -> Parcel:
    """Read a weights file to send it to workers."""
    path = find_weights(weights)
    content = path.read_bytes()
    return Parcel(path.stem, hashlib.sha256(content).hexdigest(), content)


def keys_of(request: Request, parcel: Parcel) -> Keys:
    """Return what, beside its content, the result of a recording depends on."""
    rendering = json.dumps([request.settings.threshold, sorted(set(request.formats)), request.plot])
    return Keys(
        parcel.sha256,
        scoring_digest(unpack(parcel), request.settings),
        hashlib.sha256(rendering.encode()).hexdigest(),
    )


class _Coordinator:
    """Alone writes the ledger, alone decides; holds no more in memory than what is in flight."""

    def __init__(self, request: Request, crew: Crew, ledger: Ledger, parcel: Parcel) -> None:
        self.request, self.ledger = request, ledger
        self.on_update: Callable[[Progress], None] = lambda _: None
        self.wish: Callable[[], int] = lambda: GOING
        self.hands = Hands(crew, gpu=None if request.settings.device == "cpu" else gpu_memory())
        self.keys = keys_of(request, parcel)
        self.archive = request.archive.resolve()
        self.folder = outputs_folder(request.archive, request.out).resolve()
        settings = replace(request.settings, weights=parcel.name)
        self.parcel, self.settings = parcel, settings
        self.shelf = Shelf(str(request.out.resolve() / ".restcli" / "scores"), self.keys.settings)
        self.flights: dict[Future[Any], Flight] = {}
        self.again: deque[tuple[Row, str]] = deque()  # to be tried again, and the worker to avoid
        self.news: list[str] = []
        self.halt: RestError | None = None
        self.run_id = 0
        self.began, self.tell_after = time.monotonic(), -math.inf
        self.n_now, self.eeg_seconds, self.bytes_now = 0, 0.0, 0

    # ---- the whole

    def run(self) -> Summary:
        asked = {"settings": asdict(self.settings), "formats": self.request.formats, "plot": self.request.plot}
        words = json.dumps(asked | {"restcli": __version__, "shard": self.request.shard}, ensure_ascii=False)
        self.run_id, left = self.ledger.begin_run(str(self.archive), self.keys, words)
        for row in left:
            self._sweep(row)
        self._walk()
        self.ledger.plan(self.run_id, self.keys, retry=self.request.retry)
        self._check_outputs()
        if self.ledger.waiting(self.run_id, 1) or self.ledger.twins(self.run_id, "fingerprint"):
            self._tell("starting workers", at_once=True)
            with self.hands:
                self._look_for_copies()
                self._work()
        if self.wish() == GOING and self.halt is None:
            self.ledger.end_run(self.run_id)  # a run that was cut short has not seen everything
        try:
            if is_bids(self.archive):
                describe_derivatives(self.folder)
            write_index(self.request.out)
        except OutputError:
            if self.halt is None:
                raise  # else the reason why the batch stopped says more
        self._tell("finished", at_once=True)
        if self.halt is not None:
            raise self.halt
        hidden = sum(item.may_hide for item in self.ledger.skipped())
        return Summary(self.ledger.counts(), hidden, self.n_now, self.wish() != GOING)

    def _walk(self) -> None:
        shard, n_shards = self.request.shard
        for listing in walk_archive(self.archive, self.request.out):
            if self.wish() != GOING:
                break  # nothing is in flight yet that could be finished
            mine = (found for found in listing.recordings if shard_of(found.path, n_shards) == shard)
            self.ledger.enter(self.run_id, mine, skipped=listing.skipped, n_others=listing.n_others)
            self._tell("walking the archive")

    def _check_outputs(self) -> None:
        """Do again what the ledger calls done but whose run report is gone, or empty after a power cut."""
        for row_id, report in self.ledger.reports(self.run_id):
            if self.wish() != GOING:
                break
            try:
                whole = (self.folder / report).stat().st_size > 0
            except OSError:
                whole = False
            if not whole:
                self.ledger.reopen(row_id)

    def _look_for_copies(self) -> None:
        """Find copies, again when the scheduler was lost meanwhile; give up when someone wants to stop."""
        while self.wish() == GOING:
            try:
                self._find_twins()
                return
            except Lost:
                self._recover()

    def _find_twins(self) -> None:
        """Hash what may be the same recording twice: first a glimpse of files of one size, then whole files."""
        for column, job, at_once in (
            ("fingerprint", glimpse_many, _GLIMPSES_AT_ONCE),
            ("hash", hash_many, _HASHES_AT_ONCE),
        ):
            twins = self.ledger.twins(self.run_id, column)
            chunks = [twins[i : i + at_once] for i in range(0, len(twins), at_once)]
            paths = [[str(self.archive / path) for _, path in chunk] for chunk in chunks]
            # Shorter than the chunks when someone wants to stop.
            for chunk, values in zip(chunks, self.hands.map(job, paths, self._is_enough), strict=False):
                found = {row: value for (row, _), value in zip(chunk, values, strict=True) if value is not None}
                self.ledger.note(column, found)
        if self.wish() != GOING:
            return
        self.ledger.pair(self.run_id)
        self._remove(self.ledger.outputs_of_copies(self.run_id))

    def _is_enough(self) -> bool:
        self._tell("looking for copies")
        return self.wish() != GOING

    def _work(self) -> None:
        """Keep every worker busy until nothing waits, or someone wants to stop."""
        while True:
            wish = self.wish()
            if wish == STOPPING:
                break
            try:
                if wish == GOING and self.halt is None:
                    self._submit()
                if not self.flights and (wish != GOING or self.halt is not None or not self._is_waiting()):
                    break
                for future in self.hands.wait(list(self.flights)):
                    self._land(future)
                self._end_overdue()
            except Lost:
                self._recover()
            self._tell("annotating")
        self.ledger.put_back_all()
        if self.flights:
            self.hands.abandon(list(self.flights))
            for flight in self.flights.values():
                self._sweep(flight.row)

    def _is_waiting(self) -> bool:
        return bool(self.again) or bool(self.ledger.waiting(self.run_id, 1))

    # ---- one recording

    def _submit(self) -> None:
        """Give recordings to free workers, those to be tried again first."""
        while self.hands.n_free(self.flights.values()) > 0:
            if self.again:
                row, avoid = self.again.popleft()
                self._send(row, attempt=2, avoid=avoid)
            elif rows := self.ledger.waiting(self.run_id, 1):
                self._send(rows[0], attempt=1)
            else:
                break

    def _send(self, row: Row, *, attempt: int, avoid: str = "") -> None:
        task = Task(str(self.archive / row.path), row.stem, row.size, row.mtime_ns, row.hash, row.outputs)
        flight = Flight(row, attempt, f"restcli-{row.id}-{attempt}-{uuid.uuid4().hex[:8]}")
        order = Order(
            str(self.folder),
            str(self.ledger.path.resolve()),
            self.shelf,
            self.parcel,
            self.settings,
            self.request.formats,
            self.request.plot,
        )
        self.ledger.start(row.id, attempt)
        self.flights[self.hands.submit(flight, annotate_one, task, order, avoid=avoid)] = flight

    def _land(self, future: Future[Any]) -> None:
        """Enter what became of a recording, or let it be tried once more on another worker."""
        outcome = self.hands.outcome(future, self.flights[future])
        flight = self.flights.pop(future)
        if outcome.get("fatal"):
            self.ledger.put_back(flight.row.id)
            self.halt = self.halt or RestError("workers", outcome["error"], "restcli installed on every worker")
            return
        self._settle(flight, outcome)

    def _settle(self, flight: Flight, outcome: dict[str, Any]) -> None:
        row, error = flight.row, outcome.get("error")
        if error is None:
            self.n_now += 1
            self.eeg_seconds += outcome["duration"]
            self.bytes_now += row.size
            self.ledger.finish(row.id, self.keys, outcome)
            return
        self._sweep(row)
        if flight.attempt < MOST_ATTEMPTS:
            self.again.append((row, flight.address))
            return
        if outcome.get("full"):
            self.ledger.put_back(row.id)
            remedy = "free some and run the batch again; it goes on where it was"
            self.halt = self.halt or OutputError(str(self.request.out), str(error), "room on the disk", remedy)
            return
        self.n_now += 1
        self.bytes_now += row.size
        self._remove(row.outputs)  # what an earlier content or setting gave must not pass for this one's
        self.ledger.finish(row.id, self.keys, outcome)
        reason = str(error).removeprefix(f"{self.archive / row.path}: ").removeprefix(f"{Path(row.path).name}: ")
        self.news.append(f"failed: {row.path!r}: {reason}")

    def _end_overdue(self) -> None:
        """Kill the workers of recordings that take too long, and settle those whose workers are gone."""
        limit = self.request.timeout
        self.hands.note_starts(self.flights.values())
        for future, flight in list(self.flights.items()):
            if future.status != "pending":
                continue
            if time.monotonic() - flight.since > limit:
                self.hands.kill(future, flight)
                text = f"{Path(flight.row.path).name}: not done after {limit:g} s (--timeout); its worker was ended"
                outcome = {"error": text, "error_class": "Timeout", "worker": flight.address}
            elif (gone := self.hands.bereave(future, flight)) is not None:
                outcome = gone
            else:
                continue
            del self.flights[future]
            self._settle(flight, outcome)

    def _recover(self) -> None:
        """Wait for the scheduler to come back; what was in flight is no one's fault and waits for its turn again."""
        where = self.hands.crew.scheduler or "home"
        self.news.append(f"the scheduler at {where} was lost, or the clock was set back; connecting again")
        self.ledger.put_back_all()
        self.flights.clear()
        self.again.clear()
        self._tell("waiting for the scheduler", at_once=True)
        if self.hands.reconnect(lambda: self.wish() != GOING):
            self.news.append("the scheduler is back")

    def _remove(self, outputs: Iterable[str]) -> None:
        """Remove outputs that no longer say anything true."""
        for name in outputs:
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)

    def _sweep(self, row: Row) -> None:
        """Remove the hidden workshop that a worker left when it was killed."""
        place = self.folder / row.stem
        clear_leftovers(place.parent, place.name)

    def _tell(self, stage: str, *, at_once: bool = False) -> None:
        """Report, but never spend more than a twentieth of the time on counting."""
        begin = time.monotonic()
        if begin < self.tell_after and not at_once:
            return
        counts, left = self.ledger.counts(), self.ledger.bytes_left()
        self.tell_after = time.monotonic() + max(TICK, 20 * (time.monotonic() - begin))
        seconds = begin - self.began
        flights = tuple((flight.row.path, max(0.0, begin - flight.since)) for flight in self.flights.values())
        news, self.news = tuple(self.news), []
        to_go = left * seconds / self.bytes_now if self.bytes_now else math.nan
        self.on_update(Progress(stage, counts, flights, self.n_now, self.eeg_seconds / 3600, seconds, to_go, news))
