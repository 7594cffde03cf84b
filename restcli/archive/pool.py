"""The worker processes of a batch, on Dask: started here or found at an address."""

# mypy: disable-error-code="no-untyped-call,misc"
from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
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
    get_worker,
    wait,
)
from distributed.scheduler import DEFAULT_EXTENSIONS as SCHEDULER_EXTENSIONS
from distributed.security import Security
from distributed.utils import sync
from distributed.worker import DEFAULT_EXTENSIONS as WORKER_EXTENSIONS

from restcli.archive.resources import PoolOptions, local_size
from restcli.errors import RestError

TICK = 0.5

_TOPIC = "restcli-started"
_WATCH = 0.05
# Dask times its messages by the wall clock; set back by more than this, it would hold them until it has caught up.
_SETBACK = 1.0
# A dead worker gets nothing for this long, or until the scheduler has noticed.
_REMEMBER_DEAD = 60.0
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

    key: str  # name of the Dask task
    address: str  # of the worker
    future: Future[Any] = field(repr=False)
    pid: int = 0  # of the worker's process once the task has begun there
    since: float = field(default_factory=time.monotonic)  # when it began; until that is reported, when it was given


class IgnoreInterrupts(WorkerPlugin):
    """Lets a Ctrl-C of the terminal reach the coordinator alone, so that workers finish what they have."""

    idempotent = True

    def setup(self, worker: Any) -> None:  # noqa: ARG002
        """Ignore the signal; Dask calls this in each new worker process."""
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)


class LocalScheduler(Scheduler):
    """A scheduler without Dask's HTTP server, which would listen without asking for a certificate."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start nothing."""


class LocalWorker(Worker):
    """A worker without Dask's HTTP server."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """Start nothing."""


def run_task(key: str, function: Callable[..., Any], *args: Any) -> Any:
    """Report which process begins, then call the function; this is what workers run.

    Work begins when the scheduler has answered: if it dies or never releases the interpreter, a message that was
    still to be sent would never be.
    """
    worker = get_worker()
    message = {"key": key, "address": worker.address, "pid": os.getpid()}
    sync(worker.loop, worker.scheduler.log_event, topic=_TOPIC, msg=message)
    return function(*args)


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
        self._started: dict[str, tuple[int, float]] = {}
        self._addresses: list[str] = []
        self._dead: dict[str, float] = {}  # since when; the scheduler may not have noticed yet
        self._asked = -math.inf
        self._skew = time.time() - time.monotonic()
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> WorkerPool:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        if self.options.scheduler is None:
            self._start_cluster()
        else:
            try:
                self._connect()
            except SchedulerLost as error:
                raise RestError(
                    "--scheduler",
                    f"no scheduler answers at {self.options.scheduler}",
                    "the address of a running Dask scheduler"
                    + (", with certificates that it accepts" if self.options.is_encrypted else ""),
                    "Start one with: dask scheduler",
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
        self._resources.close()

    def _start_cluster(self) -> None:
        """Start a scheduler and workers that listen on loopback, only to holders of this run's certificate."""
        # In force as long as the cluster is: workers that are started again read them again.
        self._resources.enter_context(dask.config.set(_LOCAL_CONFIG))
        scratch = self._resources.enter_context(
            tempfile.TemporaryDirectory(prefix="restcli-", ignore_cleanup_errors=True)
        )
        security = Security.temporary()
        listening = {"host": "127.0.0.1", "protocol": "tls", "security": security}
        scheduler = {
            "cls": LocalScheduler,
            "options": listening | {"dashboard": False, "port": 0, "extensions": _without_spans(SCHEDULER_EXTENSIONS)},
        }
        worker = {
            "cls": Nanny,
            "options": listening
            | {
                "nthreads": 1,
                "memory_limit": self.memory,
                "worker_class": LocalWorker,
                "dashboard": False,
                "extensions": _without_spans(WORKER_EXTENSIONS),
                "local_directory": scratch,
                "silence_logs": logging.CRITICAL,
            },
        }
        self.cluster = SpecCluster(
            scheduler=scheduler,
            workers=dict.fromkeys(range(self.n_workers), worker),
            worker=worker,
            security=security,
            silence_logs=logging.CRITICAL,
        )
        self._client = Client(self.cluster)
        self._client.register_plugin(IgnoreInterrupts())
        self._client.subscribe_topic(_TOPIC, self._note_start)

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
            self._client.subscribe_topic(_TOPIC, self._note_start)
        except (*_NO_SCHEDULER, ValueError) as error:
            raise SchedulerLost from error

    def reconnect(self, is_enough: Callable[[], bool]) -> bool:
        """Wait for a lost scheduler, or start another of our own; return False when `is_enough` first.

        Raises RestError if it does not come back in time.
        """
        deadline = time.monotonic() + self.options.patience
        self._asked = -math.inf
        if self.cluster is not None:
            self.abandon()
            self.__exit__()
            self._start_cluster()
            return True
        self.running.clear()
        while not is_enough():
            if self._client is not None:
                with contextlib.suppress(*_NO_SCHEDULER):
                    self._client.close(timeout=1)
                self._client = None
            try:
                self._connect()
                return True
            except SchedulerLost:
                if time.monotonic() > deadline:
                    raise RestError(
                        "--scheduler",
                        f"no scheduler answers at {self.options.scheduler} any more",
                        "a running Dask scheduler",
                        "Start it and run the batch again; it continues where it stopped",
                    ) from None
                time.sleep(TICK)
        return False

    def _note_start(self, event: tuple[float, Any]) -> None:
        _, message = event
        self._started[message["key"]] = (message["pid"], time.monotonic())

    def _note_starts(self) -> None:
        """Enter which process began what; forget what was reported of tasks that have ended already."""
        for key in set(self._started) - {task.key for task in self.running}:
            self._started.pop(key, None)
        for task in self.running:
            if task.key in self._started:
                task.pid, task.since = self._started.pop(task.key)

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._client is None or self._client.status not in ("running", "newly-created"):
            raise SchedulerLost
        try:
            return getattr(self._client, method)(*args, **kwargs)
        except _NO_SCHEDULER as error:
            raise SchedulerLost from error

    def free(self) -> list[str]:
        """Return the addresses of the workers that have nothing to do."""
        self._ask()
        return sorted(set(self._addresses) - {task.address for task in self.running} - set(self._dead))

    def _ask(self) -> None:
        """Ask which workers there are, unless that was asked just now."""
        if time.monotonic() - self._asked > _WATCH:
            self._addresses = list(self._call("nthreads"))
            self._asked = time.monotonic()
            recent = time.monotonic() - _REMEMBER_DEAD
            self._dead = {a: when for a, when in self._dead.items() if a in self._addresses and when > recent}

    def submit(self, address: str, function: Callable[..., Any], *args: Any) -> RunningTask:
        """Give a task to one free worker, and to that one alone.

        While it is still starting, or when it is gone, Dask would choose a busy one, and two tasks on one worker die
        together.
        """
        key = f"restcli-{uuid.uuid4().hex}"
        future = self._call(
            "submit",
            run_task,
            key,
            function,
            *args,
            key=key,
            pure=False,
            retries=0,
            workers=[address],
            allow_other_workers=False,
        )
        task = RunningTask(key, address, future)
        self.running.append(task)
        return task

    def ended(self) -> list[tuple[RunningTask, Any]]:
        """Wait a short time; return the tasks that ended, each with its result or a `Failure`.

        Raises SchedulerLost if the scheduler went away, or the clock was set back, which may silence it for as long.
        """
        self._wait()
        found: list[tuple[RunningTask, Any]] = []
        self._note_starts()
        for task in list(self.running):
            status = task.future.status
            if status in ("cancelled", "lost"):
                raise SchedulerLost
            if status != "pending":
                outcome = self._outcome(task)
            elif time.monotonic() - task.since > self.timeout:
                self._kill(task)
                outcome = Failure("Timeout", f"not done after {self.timeout:g} s (--timeout); its worker was ended")
            elif self._is_dead(task):
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
            raise SchedulerLost
        if not self.running:
            time.sleep(TICK)
            self._ask()
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
            return Failure(
                kind, f"restcli could not be imported ({kind}); install the same restcli on every worker", fatal=True
            )
        return Failure(kind, f"the worker could not do it ({kind})")

    def _is_dead(self, task: RunningTask) -> bool:
        self._ask()
        if task.address in self._addresses:
            return False
        self._call("cancel", [task.future])
        return True

    def _killed(self, task: RunningTask) -> Failure:
        self._mark_dead(task.address)
        limit = f"its limit of {self.memory / 2**30:.1f} GiB" if self.cluster else "its limit"
        return Failure(KilledWorker.__name__, f"its worker was killed (memory above {limit}, or a crash)")

    def _mark_dead(self, address: str) -> None:
        """Give this worker nothing more, and ask soon which there are."""
        self._dead[address] = time.monotonic()
        self._asked = -math.inf

    def _kill(self, task: RunningTask) -> None:
        """End the worker process in which a task hangs; its nanny starts another."""
        self._call("cancel", [task.future])
        self._mark_dead(task.address)
        if self.cluster is not None and task.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(task.pid, signal.SIGKILL)
        else:
            self._call("restart_workers", [task.address], timeout=30, raise_for_error=False)

    def abandon(self) -> None:
        """Stop at once whatever is running; workers of our own are killed."""
        with contextlib.suppress(SchedulerLost):
            self._call("cancel", [task.future for task in self.running])
        self.running.clear()
        if self.cluster is None:
            return
        for nanny in self.cluster.workers.values():
            nanny.auto_restart = False
            with contextlib.suppress(ProcessLookupError, TypeError):
                os.kill(nanny.pid, signal.SIGKILL)
