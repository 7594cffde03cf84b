"""The worker processes of a batch, on Dask: started here or found at an address; decides nothing about recordings."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask
from dask.system import CPU_COUNT
from dask.utils import key_split
from distributed import CancelledError, Client, Future, KilledWorker, LocalCluster, WorkerPlugin, get_worker, wait
from distributed.scheduler import DEFAULT_EXTENSIONS as SCHEDULER_EXTENSIONS
from distributed.system import MEMORY_LIMIT
from distributed.utils import sync
from distributed.worker import DEFAULT_EXTENSIONS as WORKER_EXTENSIONS

from restcli.archive.ledger import Row
from restcli.errors import RestError, UsageError

TICK = 0.5

_BYTES_PER_WORKER = 2 * 2**30
_BYTES_PER_CONTEXT = 2**29
_TOPIC = "restcli-started"
_MAPPED_AT_ONCE = 64
_WATCH = 0.05
# Dask times its messages by the wall clock; set back by more than this, it would hold them until it has caught up.
_SETBACK = 1.0
# A worker that was ended gets nothing for this long, or until the scheduler has noticed.
_MOURNING = 60.0
_NO_SCHEDULER = (OSError, TimeoutError, CancelledError, asyncio.CancelledError)


@dataclass(frozen=True)
class Crew:
    """Who does the work.

    Parameters
    ----------
    scheduler : str or None
        Address of a Dask scheduler; None starts worker processes on this machine.
    workers : int or None
        Worker processes on this machine; None takes one a core while memory lasts.
    memory : int or None
        Bytes that one of them may take; None divides the memory of the machine.
    patience : float
        Seconds to wait for a lost scheduler to come back.
    """

    scheduler: str | None = None
    workers: int | None = None
    memory: int | None = None
    patience: float = 600.0

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError("--workers", str(self.workers), "1 or more")
        if self.memory is not None and self.memory < 2**28:
            raise UsageError("--memory", f"{self.memory} bytes", "at least 256 MiB a worker")


def local_size(crew: Crew, gpu: int | None = None) -> tuple[int, int]:
    """Return how many worker processes to start on this machine, and the bytes that each may take.

    One a core, as long as each has 2 GiB; limits of a container or a batch system count. Where there is a GPU of `gpu`
    bytes each holds a context on it: these may take half of its memory, the other half is for the one that scores.
    """
    most = max(1, int(MEMORY_LIMIT * 0.9 // _BYTES_PER_WORKER))
    if gpu is not None:
        most = max(1, min(most, gpu // 2 // _BYTES_PER_CONTEXT))
    n_workers = crew.workers if crew.workers is not None else min(CPU_COUNT, most)
    memory = crew.memory if crew.memory is not None else int(MEMORY_LIMIT * 0.9 / n_workers)
    return n_workers, memory


def gpu_memory() -> int | None:
    """Return the bytes of the smallest GPU of this machine, or None; asks the driver, for torch is not at home here."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        return min(int(line) for line in told.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


@dataclass
class Flight:
    """A recording on its way through a worker.

    Parameters
    ----------
    row : Row
        Of the ledger.
    attempt : int
        1, or 2 when it is tried again.
    key : str
        Name of the Dask task.
    address, pid, since : str, int, float
        Worker, its process, and monotonic time at which it began; until the worker has told: the one that it was given
        to, 0, and when it was given.
    """

    row: Row
    attempt: int
    key: str
    address: str = ""
    pid: int = 0
    since: float = math.nan


class Lost(Exception):  # noqa: N818
    """The scheduler went away; nothing is known to be wrong with any recording."""


class Shield(WorkerPlugin):
    """Lets a Ctrl-C of the terminal reach the coordinator alone, so that workers finish what they have."""

    idempotent = True

    def setup(self, worker: Any) -> None:  # noqa: ARG002
        """Ignore the signal; Dask calls this in each new worker process."""
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def begin(key: str, work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Tell which process begins, then do the work; this is what workers run.

    Work begins when the scheduler has answered: if it dies or never lets go of the interpreter, a message that was
    still to be sent would never be.
    """
    worker = get_worker()
    message = {"key": key, "address": worker.address, "pid": os.getpid()}
    sync(worker.loop, worker.scheduler.log_event, topic=_TOPIC, msg=message)
    return work(*args)


def _without_spans(extensions: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the part of Dask that notes something of each task for as long as a cluster lives."""
    return {name: extension for name, extension in extensions.items() if name != "spans"}


class Hands:
    """The cluster as the coordinator sees it.

    Parameters
    ----------
    crew : Crew
        Which cluster.
    gpu : int or None
        Bytes of this machine's GPU, when workers here will use it.
    """

    def __init__(self, crew: Crew, *, gpu: int | None = None) -> None:
        self.crew = crew
        self.n_workers, self.memory = local_size(crew, gpu)
        self.cluster: LocalCluster | None = None
        self._client: Client | None = None
        self._started: dict[str, tuple[str, int, float]] = {}
        self._addresses: list[str] = []
        self._busy: set[str] = set()
        self._dead: dict[str, float] = {}  # when they were ended; the scheduler may not have noticed yet
        self._asked = -math.inf
        self._skew = time.time() - time.monotonic()
        self._config = contextlib.ExitStack()

    def __enter__(self) -> Hands:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        if self.crew.scheduler is None:
            self._start_cluster()
        else:
            try:
                self._connect(self.crew.scheduler)
            except Lost as error:
                raise RestError(
                    "--scheduler",
                    f"none answers at {self.crew.scheduler}",
                    "the address of a running Dask scheduler",
                    "start one with: dask scheduler",
                ) from error
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(*_NO_SCHEDULER):
            if self._client is not None:
                self._client.close(timeout=2)
        with contextlib.suppress(*_NO_SCHEDULER):
            if self.cluster is not None:
                self.cluster.close(timeout=10)
        self._client = self.cluster = None
        self._config.close()

    def _start_cluster(self) -> None:
        # A worker at its limit is ended and its recording blamed: pausing or spilling cannot help a single recording.
        settings = {
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": 0.95,
            "distributed.scheduler.allowed-failures": 0,
            # Dask makes the C library give every large array back at once: pictures then cost a quarter more time.
            "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
            # Dask remembers what it did, for its pages; a long batch would fill its memory with that.
            "distributed.admin.low-level-log-length": 100,
            "distributed.admin.system-monitor.log-length": 100,
        }
        # In force as long as the cluster is: workers that are started again read them again.
        self._config.enter_context(dask.config.set(settings))
        # Nothing listens to another machine; the pages that Dask serves (no dashboard without bokeh) stay on loopback.
        self.cluster = LocalCluster(
            n_workers=self.n_workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=self.memory,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            extensions=_without_spans(WORKER_EXTENSIONS),
            scheduler_kwargs={"extensions": _without_spans(SCHEDULER_EXTENSIONS)},
        )
        self._client = Client(self.cluster)
        self._client.register_plugin(Shield())
        self._client.subscribe_topic(_TOPIC, self._note_start)

    def _connect(self, address: str) -> None:
        try:
            self._client = Client(address, timeout=5)
            self._client.subscribe_topic(_TOPIC, self._note_start)
        except (*_NO_SCHEDULER, ValueError) as error:
            raise Lost from error

    def reconnect(self, is_enough: Callable[[], bool]) -> bool:
        """Wait for a lost scheduler, or start another of our own; returns False when someone has had enough of waiting.

        Raises
        ------
        RestError
            If it does not come back in time.
        """
        deadline = time.monotonic() + self.crew.patience
        self._asked = -math.inf
        if self.cluster is not None:
            self.abandon(())
            self.__exit__()
            self._start_cluster()
            return True
        while not is_enough():
            if self._client is not None:
                with contextlib.suppress(*_NO_SCHEDULER):
                    self._client.close(timeout=1)
                self._client = None
            try:
                self._connect(str(self.crew.scheduler))
                return True
            except Lost:
                if time.monotonic() > deadline:
                    raise RestError(
                        "--scheduler",
                        f"none answers at {self.crew.scheduler} any more",
                        "a running Dask scheduler",
                        "start it and run the batch again; it goes on where it was",
                    ) from None
                time.sleep(TICK)
        return False

    def _note_start(self, event: tuple[float, Any]) -> None:
        _, message = event
        self._started[message["key"]] = (message["address"], message["pid"], time.monotonic())

    def note_starts(self, flights: Iterable[Flight]) -> None:
        """Enter who began what into the flights; forget what was told of recordings that have ended already."""
        flights = list(flights)
        for key in set(self._started) - {flight.key for flight in flights}:
            self._started.pop(key, None)
        for flight in flights:
            if flight.key in self._started:
                flight.address, flight.pid, flight.since = self._started.pop(flight.key)

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._client is None or self._client.status not in ("running", "newly-created"):
            raise Lost
        try:
            return getattr(self._client, method)(*args, **kwargs)
        except _NO_SCHEDULER as error:
            raise Lost from error

    def n_free(self, flights: Iterable[Flight]) -> int:
        """Return how many worker processes have no recording; one each, so that none is blamed for another's death."""
        self._ask()
        self._busy = {flight.address for flight in flights}
        return len(set(self._addresses) - self._busy - set(self._dead))

    def _ask(self) -> None:
        """Ask who is there, unless that was asked just now."""
        if time.monotonic() - self._asked > _WATCH:
            self._addresses = list(self._call("nthreads"))
            self._asked = time.monotonic()
            recent = time.monotonic() - _MOURNING
            self._dead = {a: when for a, when in self._dead.items() if a in self._addresses and when > recent}

    def bereave(self, future: Future[Any], flight: Flight) -> dict[str, Any] | None:
        """Return what became of a recording whose worker is gone, or None while it is there."""
        self._ask()
        if flight.address in self._addresses:
            return None
        self._call("cancel", [future])
        return self._killed(flight)

    def submit(self, flight: Flight, work: Callable[..., dict[str, Any]], *args: Any, avoid: str) -> Future[Any]:
        """Give a recording to a worker that has none, to another than `avoid` where there is one.

        To that one alone: while it is still starting, or when it is gone, Dask would choose a busy one, and two
        recordings on one worker die together.
        """
        free = set(self._addresses) - self._busy - set(self._dead)
        flight.address = min(free, key=lambda address: (address == avoid, address))
        flight.since = time.monotonic()
        future: Future[Any] = self._call(
            "submit",
            begin,
            flight.key,
            work,
            *args,
            key=flight.key,
            pure=False,
            retries=0,
            workers=[flight.address],
            allow_other_workers=False,
        )
        return future

    def map(
        self,
        job: Callable[[Sequence[str]], list[str | None]],
        chunks: Sequence[Sequence[str]],
        is_enough: Callable[[], bool],
    ) -> Iterator[list[str | None]]:
        """Yield the results of a light job in order; what fails counts as unknown.

        `is_enough` is asked about twice a second; once it is true the job is dropped where it stands, for a large file
        on a slow disk may take minutes and nothing of it would be lost.
        """
        for first in range(0, len(chunks), _MAPPED_AT_ONCE):
            part = chunks[first : first + _MAPPED_AT_ONCE]
            futures = self._call("map", job, part, pure=False)
            for future, chunk in zip(futures, part, strict=True):
                while not is_enough():
                    if self.wait([future]):
                        break
                else:
                    self.abandon(futures)
                    return
                try:
                    yield [None] * len(chunk) if future.exception() is not None else future.result()
                except _NO_SCHEDULER as error:
                    raise Lost from error

    def wait(self, futures: Sequence[Future[Any]]) -> list[Future[Any]]:
        """Return those that ended within a short time.

        Raises
        ------
        Lost
            If the scheduler went away, or the clock was set back, which may silence it for as long.
        """
        skew, before = time.time() - time.monotonic(), self._skew
        self._skew = skew
        if skew < before - _SETBACK:
            raise Lost
        if not futures:
            time.sleep(TICK)
            self.n_free(())
            return []
        try:
            wait(futures, timeout=TICK, return_when="FIRST_COMPLETED")
        except TimeoutError:
            pass
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            raise Lost from error
        ended = [future for future in futures if future.status != "pending"]
        if any(future.status in ("cancelled", "lost") for future in ended):
            raise Lost
        return ended

    def outcome(self, future: Future[Any], flight: Flight) -> dict[str, Any]:
        """Return what became of a recording; a worker that died is an outcome too."""
        key_split.cache_clear()  # Dask would remember the names of the last 100,000 tasks
        try:
            error = future.exception(timeout=_MOURNING)
            if error is None:
                return dict(future.result(timeout=_MOURNING))
        except _NO_SCHEDULER as lost:
            raise Lost from lost
        name, kind = flight.row.path.rpartition("/")[2], type(error).__name__
        if isinstance(error, KilledWorker):
            return self._killed(flight)
        if isinstance(error, ImportError):
            facts = {"error": f"restcli could not be imported ({kind})", "fatal": True}
        else:
            facts = {"error": f"{name}: the worker could not do it ({kind})"}
        return {"worker": flight.address, "error_class": kind} | facts

    def _killed(self, flight: Flight) -> dict[str, Any]:
        self._bury(flight.address)
        limit = f"its limit of {self.memory / 2**30:.1f} GiB" if self.cluster else "its limit"
        why = f"its worker was killed while it was being done (memory above {limit}, or a crash)"
        text = f"{flight.row.path.rpartition('/')[2]}: {why}"
        return {"worker": flight.address, "error_class": KilledWorker.__name__, "error": text}

    def _bury(self, *addresses: str) -> None:
        """Give these workers nothing more, and ask soon who is there."""
        self._dead |= dict.fromkeys(addresses, time.monotonic())
        self._asked = -math.inf

    def kill(self, future: Future[Any], flight: Flight) -> None:
        """End the worker process that a recording hangs in; its nanny starts another."""
        self._call("cancel", [future])
        self._bury(flight.address)
        if self.cluster is not None and flight.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(flight.pid, signal.SIGKILL)
        else:
            self._call("restart_workers", [flight.address], timeout=30, raise_for_error=False)

    def abandon(self, futures: Sequence[Future[Any]]) -> None:
        """Stop at once whatever is in flight."""
        with contextlib.suppress(Lost):
            self._call("cancel", list(futures))
        if self.cluster is None:
            return
        for nanny in self.cluster.workers.values():
            nanny.auto_restart = False
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.kill(nanny.pid, signal.SIGKILL)
