"""The worker processes of a batch, on Dask: started here or found at an address."""

# mypy: disable-error-code="no-untyped-call,misc"
from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import dask
from dask.utils import key_split
from distributed import (
    CancelledError,
    Client,
    Future,
    KilledWorker,
    Nanny,
    Scheduler,
    SpecCluster,
    Worker,
    WorkerPlugin,
    wait,
)
from distributed.scheduler import DEFAULT_EXTENSIONS as SCHEDULER_EXTENSIONS
from distributed.security import Security
from distributed.worker import DEFAULT_EXTENSIONS as WORKER_EXTENSIONS

from restcli.archive.resources import PoolOptions, local_size
from restcli.errors import RestError

TICK = 0.5

# Seconds. Dask times its messages by the wall clock: after a larger setback it would hold them until the clock has
# caught up.
_SETBACK = 1.0
# A dead worker gets nothing for this long, or until the scheduler has noticed.
_REMEMBER_DEAD = 60.0
_PATIENCE = 600.0  # seconds to wait for a lost scheduler to come back
_NO_SCHEDULER = (OSError, TimeoutError, CancelledError, asyncio.CancelledError)
# A worker at its limit is ended and its recording blamed: pausing or spilling cannot help a single recording.
_LOCAL_CONFIG = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.scheduler.allowed-failures": 0,
    # A dead worker is started again; on a busy machine that takes longer than the 15 s after which Dask gives it up.
    "distributed.deploy.lost-worker-timeout": "1 day",
    # Dask makes the C library give every large array back at once: pictures then cost a quarter more time.
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    # Dask keeps logs for its dashboard; a long batch would fill its memory with them.
    "distributed.admin.low-level-log-length": 100,
    "distributed.admin.system-monitor.log-length": 100,
}


class SchedulerLost(Exception):  # noqa: N818
    """The scheduler went away; nothing is known to be wrong with any recording."""


@dataclass(frozen=True)
class Failure:
    """Why a task gave no result."""

    kind: str
    text: str
    fatal: bool = False  # no task can succeed


@dataclass(eq=False)
class RunningTask:
    """A function at work on a worker."""

    address: str  # of the worker
    future: Future[Any] = field(repr=False)
    since: float = field(default_factory=time.monotonic)


class QuietWorker(WorkerPlugin):
    """Keeps Ctrl-C from workers, so that they finish what they have; hides what libraries log."""

    idempotent = True

    def setup(self, worker: Any) -> None:  # noqa: ARG002
        """Set this up in a new worker process; called by Dask."""
        logging.getLogger().addHandler(logging.NullHandler())
        with suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class _NoHttp:
    """Leaves out Dask's HTTP server, which would listen without asking for a certificate."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start nothing."""


class LocalScheduler(_NoHttp, Scheduler):
    """A scheduler of this machine."""


class LocalWorker(_NoHttp, Worker):
    """A worker of this machine."""


def _without_spans(extensions: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the part of Dask that remembers each task for as long as a cluster lives."""
    return {name: extension for name, extension in extensions.items() if name != "spans"}


class WorkerPool:
    """Workers that each do one task at a time, so that none is blamed for another's death."""

    def __init__(self, options: PoolOptions, *, timeout: float = math.inf, gpu: int | None = None) -> None:
        self.options, self.timeout = options, timeout
        self.n_workers, self.memory = local_size(options, gpu)
        self.running: list[RunningTask] = []
        self.cluster: SpecCluster | None = None
        self._client: Client | None = None
        self._dead: dict[str, float] = {}  # since when; the scheduler may not have noticed yet
        self._skew = time.time() - time.monotonic()
        self._resources = ExitStack()

    def __enter__(self) -> WorkerPool:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        if self.options.scheduler is None:
            self._start_cluster()
            return self
        try:
            self._connect()
        except SchedulerLost as error:
            accepted = ", with certificates that it accepts" if self.options.is_encrypted else ""
            raise self._no_answer(f"Start one with: dask scheduler{accepted}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._disconnect()
        with suppress(*_NO_SCHEDULER):
            if self.cluster is not None:
                self.cluster.close(timeout=10)
        self.cluster = None
        self._resources.close()

    def _no_answer(self, remedy: str) -> RestError:
        return RestError("--scheduler", f"no scheduler answers at {self.options.scheduler}", remedy=remedy)

    def _start_cluster(self) -> None:
        """Start a scheduler and workers that listen on loopback, only to holders of this run's certificate."""
        # In force as long as the cluster is: workers that are started again read them again.
        self._resources.enter_context(dask.config.set(_LOCAL_CONFIG))
        scratch = tempfile.TemporaryDirectory(prefix="restcli-", ignore_cleanup_errors=True)
        security = Security.temporary()
        common = {"host": "127.0.0.1", "protocol": "tls", "security": security, "dashboard": False}
        scheduler = {"port": 0, "extensions": _without_spans(SCHEDULER_EXTENSIONS)}
        worker = {
            "nthreads": 1,
            "memory_limit": self.memory,
            "worker_class": LocalWorker,
            "extensions": _without_spans(WORKER_EXTENSIONS),
            "local_directory": self._resources.enter_context(scratch),
            "silence_logs": logging.CRITICAL,
        }
        self.cluster = SpecCluster(
            scheduler={"cls": LocalScheduler, "options": common | scheduler},
            workers={number: {"cls": Nanny, "options": common | worker} for number in range(self.n_workers)},
            security=security,
            silence_logs=logging.CRITICAL,
        )
        self._client = Client(self.cluster)
        self._client.register_plugin(QuietWorker())

    def _connect(self) -> None:
        options, security = self.options, None
        if options.is_encrypted:
            security = Security(
                tls_ca_file=str(options.tls_ca),
                tls_client_cert=str(options.tls_cert),
                tls_client_key=str(options.tls_key),
                require_encryption=True,
            )
        try:
            self._client = Client(options.scheduler, timeout=5, security=security)
        except (*_NO_SCHEDULER, ValueError) as error:
            raise SchedulerLost from error

    def _disconnect(self) -> None:
        with suppress(*_NO_SCHEDULER):
            if self._client is not None:
                self._client.close(timeout=2)
        self._client = None

    def reconnect(self, is_enough: Callable[[], bool]) -> bool:
        """Wait for a lost scheduler, or start another of our own; return False if `is_enough` says so first."""
        deadline = time.monotonic() + _PATIENCE
        if self.cluster is not None:
            self.abandon()
            self.__exit__()
            self._start_cluster()
            return True
        self.running.clear()
        while not is_enough():
            self._disconnect()
            try:
                self._connect()
                return True
            except SchedulerLost:
                if time.monotonic() > deadline:
                    remedy = "Start it again and run the batch again; it continues where it stopped"
                    raise self._no_answer(remedy) from None
                time.sleep(TICK)
        return False

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._client is None or self._client.status not in ("running", "newly-created"):
            raise SchedulerLost
        try:
            return getattr(self._client, method)(*args, **kwargs)
        except _NO_SCHEDULER as error:
            raise SchedulerLost from error

    def _tasks_by_worker(self) -> dict[str, Any]:
        """Ask for all workers and their tasks, including those of other clients."""
        found: dict[str, Any] = self._call("processing")
        recent = time.monotonic() - _REMEMBER_DEAD
        self._dead = {address: since for address, since in self._dead.items() if address in found and since > recent}
        return found

    def free(self) -> list[str]:
        """Return the addresses of the workers without a task of ours; those busy for others come last."""
        tasks = self._tasks_by_worker()
        free = tasks.keys() - {task.address for task in self.running} - self._dead.keys()
        return sorted(free, key=lambda address: (len(tasks[address]) > 0, address))

    def submit(self, address: str, function: Callable[..., Any], *args: Any) -> RunningTask:
        """Give a task to this free worker and no other: two tasks on one worker die together."""
        placed = {"workers": [address], "allow_other_workers": False}
        task = RunningTask(address, self._call("submit", function, *args, pure=False, retries=0, **placed))
        self.running.append(task)
        return task

    def ended(self) -> list[tuple[RunningTask, Any]]:
        """Wait a short time; return the tasks that ended, each with its result or a `Failure`."""
        self._wait()
        found: list[tuple[RunningTask, Any]] = []
        addresses = self._tasks_by_worker()
        for task in list(self.running):
            status = task.future.status
            if status in ("cancelled", "lost"):
                raise SchedulerLost
            if status != "pending":
                outcome = self._outcome(task)
            elif time.monotonic() - task.since > self.timeout:
                self._end_worker(task)
                outcome = Failure("Timeout", f"not done after {self.timeout:g} s (--timeout); its worker was ended")
            elif task.address not in addresses:
                self._call("cancel", [task.future])
                outcome = self._killed(task)
            else:
                continue
            self.running.remove(task)
            found.append((task, outcome))
        return found

    def _wait(self) -> None:
        skew, before = time.time() - time.monotonic(), self._skew
        self._skew = skew
        if skew < before - _SETBACK:
            raise SchedulerLost  # it may be silent for as long
        if not self.running:
            time.sleep(TICK)
            return
        try:
            wait([task.future for task in self.running], timeout=TICK, return_when="FIRST_COMPLETED")
        except TimeoutError:
            pass
        except (OSError, CancelledError, asyncio.CancelledError) as error:
            raise SchedulerLost from error

    def _outcome(self, task: RunningTask) -> Any:
        key_split.cache_clear()  # Dask would remember the names of the last 100,000 tasks
        try:
            error = task.future.exception(timeout=_REMEMBER_DEAD)
            if error is None:
                return task.future.result(timeout=_REMEMBER_DEAD)
        except _NO_SCHEDULER as lost:
            raise SchedulerLost from lost
        kind = type(error).__name__
        if isinstance(error, KilledWorker):
            return self._killed(task)
        if isinstance(error, ImportError):
            text = f"restcli could not be imported ({kind}); install the same restcli on every worker"
            return Failure(kind, text, fatal=True)
        return Failure(kind, f"the worker could not do it ({kind})")

    def _killed(self, task: RunningTask) -> Failure:
        self._dead[task.address] = time.monotonic()
        limit = f"its limit of {self.memory / 2**30:.1f} GiB" if self.cluster else "its limit"
        return Failure(KilledWorker.__name__, f"its worker was killed (memory above {limit}, or a crash)")

    def _end_worker(self, task: RunningTask) -> None:
        """End the worker process in which a task hangs; its nanny starts another."""
        self._call("cancel", [task.future])
        self._dead[task.address] = time.monotonic()
        if self.cluster is None:
            self._call("restart_workers", [task.address], timeout=30, raise_for_error=False)
        for nanny in self._nannies():
            if nanny.worker_address == task.address:
                _kill_process(nanny)

    def abandon(self) -> None:
        """Stop at once whatever is running; workers of our own are killed."""
        with suppress(SchedulerLost):
            self._call("cancel", [task.future for task in self.running])
        self.running.clear()
        for nanny in self._nannies():
            nanny.auto_restart = False
            _kill_process(nanny)

    def _nannies(self) -> list[Any]:
        return [] if self.cluster is None else list(self.cluster.workers.values())


def _kill_process(nanny: Any) -> None:
    with suppress(ProcessLookupError, TypeError):  # it has none while it starts another
        os.kill(nanny.pid, signal.SIGKILL)
