"""A whole archive: decide what to do next, enter the outcome, and go on after anything."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from restcli import __version__
from restcli.archive.audit import Trail, facts_of, trail_name
from restcli.archive.cache import RULE_SETTINGS, ScoreCache, scoring_digest
from restcli.archive.derivatives import check_ours, describe_derivatives
from restcli.archive.gpu import gpu_memory
from restcli.archive.index import write_index
from restcli.archive.job import Plan, annotate_one, earlier_outputs, finish_leftovers, hash_many, remove_outputs
from restcli.archive.ledger import DONE, FAILED, Keys, Ledger, LedgerRow, is_complete, now
from restcli.archive.pool import TICK, Failure, RunningTask, SchedulerLost, WorkerPool
from restcli.archive.pseudonyms import Pseudonyms
from restcli.archive.refusals import check_earlier_runs
from restcli.archive.resources import PoolOptions
from restcli.archive.shards import ledger_name
from restcli.archive.walk import check_archive, is_bids, outputs_folder, shard_of, walk_archive
from restcli.detect.settings import Settings, check_settings
from restcli.errors import OutputError, RestError, UsageError
from restcli.files import make_folder, resolve_output, sha256_of
from restcli.nn.weights import Weights, load_weights
from restcli.output.run_report import REPORT_END
from restcli.text import without_names

GOING, FINISHING, STOPPING = 0, 1, 2

# What identifies copies, and for how many recordings a task finds it: one slow file must not delay the others.
_COPY_FINDERS = {"fingerprint": 64, "hash": 1}


@dataclass(frozen=True)
class Request:
    """What a user asks of a whole archive."""

    archive: Path
    out: Path  # folder of outputs
    settings: Settings
    formats: tuple[str, ...] = ("tsv",)  # event tables
    plot: str = "png"  # png, pdf or none
    shard: tuple[int, int] = (1, 1)  # which part of how many this batch does
    retry: bool = False  # give recordings that failed another chance
    timeout: float = 3600.0  # seconds after which a recording that is not done counts as failed
    pseudonyms: Path | None = None  # table of names that outputs have in place of those in the archive

    def __post_init__(self) -> None:
        if not self.timeout >= 1:
            raise UsageError("--timeout", f"{self.timeout} s", "1 or more")


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch has come."""

    stage: str  # in words
    counts: dict[str, int]  # recordings of the archive in each state
    running: tuple[tuple[str, float], ...] = ()  # path and seconds of those being done
    eeg_hours: float = 0.0  # that this run has finished
    seconds: float = 0.0  # wall time of this run
    left: float = math.nan  # seconds to go, from the bytes left; NaN while unknown
    news: tuple[str, ...] = ()  # what went wrong since the last report, for people
    finished: tuple[dict[str, Any], ...] = ()  # what was finished or not read since, for a log: without names


@dataclass(frozen=True)
class BatchSummary:
    """How a batch ended."""

    counts: dict[str, int]  # recordings of the archive in each state
    n_hidden: int  # things that were not looked into and may hide recordings
    n_now: int  # recordings done or given up in this run
    stopped: bool  # whether someone stopped it
    n_acknowledged: int = 0  # of those that failed, how many somebody has acknowledged
    n_named: int = 0  # pseudonyms that were added to their table

    @property
    def complete(self) -> bool:
        """Whether every recording was scored, or its failure acknowledged."""
        return is_complete(self.counts, bool(self.n_hidden), self.n_acknowledged)


def run_batch(
    request: Request,
    options: PoolOptions | None = None,
    *,
    on_update: Callable[[BatchProgress], None] = lambda _: None,
    wish: Callable[[], int] = lambda: GOING,
) -> BatchSummary:
    """Annotate every recording of an archive that needs it, and keep the ledger.

    `on_update` and `wish` (`GOING`, `FINISHING` what runs, or `STOPPING` now) are called about twice a second.
    """
    weights = load_weights(request.settings.weights)
    check_settings(weights, request.settings)  # before anything is done
    check_archive(request.archive, request.out)
    check_ours(request.out, outputs_folder(request.archive, request.out) if is_bids(request.archive) else None)
    pseudonyms = request.pseudonyms is not None
    check_earlier_runs(request.archive, request.out, n_shards=request.shard[1], pseudonyms=pseudonyms)
    make_folder(request.out)
    with Ledger(request.out / ledger_name(*request.shard), write=True) as ledger:
        return _Coordinator(request, options or PoolOptions(), ledger, weights).run(on_update, wish)


def keys_of(request: Request, weights: Weights) -> Keys:
    """Return what, beside its content, the result of a recording depends on."""
    settings = request.settings
    rule = [getattr(settings, name) for name in RULE_SETTINGS]
    rendering = json.dumps([*rule, sorted(set(request.formats)), request.plot])
    digest = hashlib.sha256(rendering.encode()).hexdigest()
    return Keys(weights.sha256, scoring_digest(weights, settings), digest)


class _Coordinator:
    """Makes all decisions and is the only one to write the ledger; holds in memory only what is running."""

    def __init__(self, request: Request, options: PoolOptions, ledger: Ledger, weights: Weights) -> None:
        self.request, self.ledger = request, ledger
        self.trail = Trail(request.out / trail_name(ledger.path.name))
        gpu = gpu_memory() if request.settings.device == "cuda" else None
        self.pool = WorkerPool(options, timeout=request.timeout, gpu=gpu)
        self.keys = keys_of(request, weights)
        self.archive = request.archive.resolve()
        inside = outputs_folder(request.archive, request.out).relative_to(request.out) / "name"
        self.folder = resolve_output(request.out, inside.as_posix()).parent.resolve()
        self.settings = replace(request.settings, weights=weights.name)
        self.plan = Plan(
            str(self.archive),
            str(self.folder),
            str(ledger.path.resolve()),
            ScoreCache(str(request.out.resolve()), self.keys.settings),
            weights,
            self.settings,
            request.formats,
            request.plot,
        )
        self.names = None if request.pseudonyms is None else Pseudonyms(request.pseudonyms, request.out)
        self.running: dict[RunningTask, LedgerRow] = {}
        self.failed_on: dict[int, str] = {}  # worker that failed with a recording which is to be tried again
        self.news = [options.warning] if options.warning else []
        self.finished: list[dict[str, Any]] = []
        self.halt: RestError | None = None
        self.run_id = 0
        self.began, self.report_after = time.monotonic(), -math.inf
        self.n_now, self.eeg_seconds, self.bytes_now = 0, 0.0, 0

    def run(self, on_update: Callable[[BatchProgress], None], wish: Callable[[], int]) -> BatchSummary:
        self.on_update, self.wish, request = on_update, wish, self.request
        asked: dict[str, Any] = {"settings": asdict(self.settings), "formats": request.formats, "plot": request.plot}
        asked |= {"pseudonyms": self.names is not None}
        words = json.dumps(asked | {"restcli": __version__, "shard": request.shard}, ensure_ascii=False)
        self.run_id, left = self.ledger.begin_run(str(self.archive), self.keys, words)
        facts = {"archive": str(self.archive), "weights": self.keys.weights, "run": json.loads(words)}
        self.trail.append(now(), {"what": "begin", **facts})
        for row in left:
            finish_leftovers(self.folder, row.stem)
        self._walk()
        self.ledger.plan(self.run_id, self.keys, retry=request.retry)
        self._check_outputs()
        if self.ledger.waiting(self.run_id, 1) or self.ledger.twins(self.run_id, "fingerprint"):
            self._report("starting workers", at_once=True)
            try:
                with self.pool:
                    self._find_copies()
                    self._work()
            finally:  # its workers have ended, whatever stopped them
                for row in self.running.values():
                    finish_leftovers(self.folder, row.stem)
        if self.wish() == GOING and self.halt is None:
            self.ledger.end_run(self.run_id)  # a run that was cut short has not seen everything
        try:
            if is_bids(self.archive):
                describe_derivatives(self.folder)
            page = write_index(request.out)
            self.trail.append(now(), {"what": "end", "counts": self.ledger.counts(), "index": sha256_of(page)})
        except OutputError:
            if self.halt is None:
                raise  # else the reason why the batch stopped says more
        self._report("finished", at_once=True)
        if self.halt is not None:
            raise self.halt
        hidden = sum(item.may_hide for item in self.ledger.skipped())
        stopped, n_acknowledged = self.wish() != GOING, self.ledger.n_acknowledged()
        n_named = 0 if self.names is None else self.names.n_added
        return BatchSummary(self.ledger.counts(), hidden, self.n_now, stopped, n_acknowledged, n_named)

    def _walk(self) -> None:
        shard, n_shards = self.request.shard
        for listing in walk_archive(self.archive, self.request.out):
            if self.wish() != GOING:
                break  # nothing is running yet that could be finished
            mine = [found for found in listing.recordings if shard_of(found.path, n_shards) == shard]
            skipped, others = listing.skipped, listing.others
            hidden = (without_names(item.reason, item.path) for item in skipped if item.may_hide)
            self.finished += [{"state": "not read", "reason": reason} for reason in hidden]
            if self.names is not None:
                ours = [item for item in skipped if shard_of(item.path, n_shards) == shard]
                mine, skipped = self.names.hide(mine, ours)
                others = {".*": sum(others.values())} if others else {}  # an ending can be part of a name
            self.ledger.enter(self.run_id, mine, skipped=skipped, others=others)
            self._report("walking the archive")

    def _check_outputs(self) -> None:
        """Redo what the ledger calls done but whose run report is gone, or empty after a power cut."""
        for row_id, report in self.ledger.reports(self.run_id):
            if self.wish() != GOING:
                break
            try:
                whole = (self.folder / report).stat().st_size > 0
            except OSError:
                whole = False
            if not whole:
                self.ledger.put_back(row_id)

    # ---- copies

    def _find_copies(self) -> None:
        """Hash what may be copies: first small parts of files of one size, then whole files."""
        for column, at_once in _COPY_FINDERS.items():
            twins = self.ledger.twins(self.run_id, column)
            waiting = deque(twins[i : i + at_once] for i in range(0, len(twins), at_once))
            running: dict[RunningTask, list[tuple[int, str]]] = {}
            while waiting or running:
                if self.wish() != GOING:
                    self.pool.abandon()  # hashing may take minutes, and nothing of it would be lost
                    return
                try:
                    for address in self.pool.free()[: len(waiting)]:
                        places = [str(self.archive / (self._source(path) or path)) for _, path in waiting[0]]
                        task = self.pool.submit(address, hash_many, places, column)
                        running[task] = waiting.popleft()
                    for task, hashes in self.pool.ended():
                        ids = [row_id for row_id, _ in running.pop(task)]
                        if not isinstance(hashes, Failure):  # after a failure a recording has no copy
                            self.ledger.note(column, dict(zip(ids, hashes, strict=True)))
                except SchedulerLost:
                    waiting.extend(running.values())
                    running.clear()
                    self._recover()
                self._report("looking for copies")
        self.ledger.pair(self.run_id)
        for row in self.ledger.copies(self.run_id):
            self._remove_earlier(row)

    def _remove_earlier(self, row: LedgerRow) -> None:
        """Remove outputs of an earlier content or setting, which must not pass for those of this one."""
        remove_outputs(self.folder, earlier_outputs(self.request.out, self.folder, row))

    # ---- recordings

    def _work(self) -> None:
        """Keep every worker busy until nothing waits, or someone wants to stop."""
        while (wish := self.wish()) != STOPPING:
            going = wish == GOING and self.halt is None
            try:
                if going:
                    with self._halting():
                        self._submit()
                if not self.running and not (going and self.ledger.waiting(self.run_id, 1)):
                    break
                for task, outcome in self.pool.ended():
                    with self._halting():
                        self._settle(task, outcome)
            except SchedulerLost:
                self._recover()
            self._report("annotating")
        with self._halting():
            self.ledger.put_back_all()
        if self.running:
            self.pool.abandon()

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """Start nothing more once trail or ledger cannot be written; what is running may finish."""
        try:
            yield
        except OutputError as error:
            self.halt = self.halt or error

    def _submit(self) -> None:
        """Give recordings to free workers; one that failed goes to another worker if there is one."""
        while (free := self.pool.free()) and (rows := self.ledger.waiting(self.run_id, 1)):
            row = replace(rows[0], source=self._source(rows[0].path))
            avoid = self.failed_on.get(row.id)
            address = min(free, key=lambda address: address == avoid)
            self.ledger.start(row.id, 1 if avoid is None else 2)
            self.running[self.pool.submit(address, annotate_one, row, self.plan)] = row

    def _source(self, path: str) -> str:
        """Return the path in the archive of a recording that outputs know by a pseudonym, else nothing."""
        return "" if self.names is None else self.names.source(path)

    def _settle(self, task: RunningTask, outcome: dict[str, Any] | Failure) -> None:
        """Enter the outcome of a recording, or let it be tried once more on another worker."""
        row = self.running.pop(task)
        has_failed = self.failed_on.pop(row.id, None) is not None
        if isinstance(outcome, Failure):
            text = f"{Path(row.path).name}: {outcome.text}"
            outcome = {"error": text, "error_class": outcome.kind, "worker": task.address, "fatal": outcome.fatal}
        error = outcome.get("error")
        if error is None:
            self._finish(row, outcome)
            self.eeg_seconds += outcome["duration"]
            return
        finish_leftovers(self.folder, row.stem)
        if outcome.get("fatal"):
            self.ledger.put_back(row.id)
            self.halt = self.halt or RestError("workers", error.partition(": ")[2])
        elif not has_failed:
            self.ledger.put_back(row.id)
            self.failed_on[row.id] = task.address
        elif outcome.get("full"):
            self.ledger.put_back(row.id)
            remedy = "Make room on the disk and run the batch again; it continues where it stopped"
            self.halt = self.halt or OutputError(str(self.request.out), error, remedy=remedy)
        else:
            self._remove_earlier(row)
            reason = error.removeprefix(f"{self.archive / row.path}: ").removeprefix(f"{Path(row.path).name}: ")
            if not self._finish(row, outcome):
                self.news.append(f"failed: {row.path!r}: {reason}")

    def _finish(self, row: LedgerRow, outcome: dict[str, Any]) -> bool:
        """Enter an outcome in ledger and trail; tell whether it is a failure that somebody acknowledged."""
        self.n_now += 1
        self.bytes_now += row.size
        state = DONE if outcome.get("error") is None else FAILED
        made = outcome.get("outputs", {}).get(f"{row.stem}{REPORT_END}")
        known = {"path": row.path, "state": state, "hash": row.hash, "notes": "", **outcome}
        known |= {"weights": self.keys.weights, "settings": self.keys.settings}
        self.finished.append(self._for_log(row, known))
        # First the trail: what the ledger calls finished is always there.
        self.trail.append(now(), facts_of(known, outcome.get("events", ()), made))
        return self.ledger.finish(row.id, self.keys, outcome)

    def _for_log(self, row: LedgerRow, known: dict[str, Any]) -> dict[str, Any]:
        """Return what a log says about a recording: every reason, but no name."""
        error = known.get("error")
        facts = {"state": known["state"], "recording": row.id, "input": known["hash"]}
        facts |= {} if self.names is None else {"pseudonym": row.path}
        if error is not None:
            return facts | {"reason": error if self.names else without_names(error, str(self.archive / row.path))}
        told = ("duration", "missing", "scored", "not_scored", "n_events", "seconds")
        return facts | {name: known[name] for name in told} | {"notes": known["notes"].splitlines()}

    def _recover(self) -> None:
        """Wait for the scheduler to come back; what was running is not to blame and becomes pending again."""
        where = self.pool.options.scheduler or "this machine"
        self.news.append(f"the scheduler at {where} was lost, or the clock was set back; connecting again")
        self.ledger.put_back_all()
        self.running.clear()
        self.failed_on.clear()
        self._report("waiting for the scheduler", at_once=True)
        if self.pool.reconnect(lambda: self.wish() != GOING):
            self.news.append("the scheduler is back")

    def _report(self, stage: str, *, at_once: bool = False) -> None:
        """Report progress, but never spend more than a twentieth of the time on counting."""
        begin = time.monotonic()
        if begin < self.report_after and not at_once:
            return
        counts, left = self.ledger.counts(), self.ledger.bytes_left()
        self.report_after = time.monotonic() + max(TICK, 20 * (time.monotonic() - begin))
        seconds = begin - self.began
        running = tuple((row.path, max(0.0, begin - task.since)) for task, row in self.running.items())
        news, self.news = tuple(self.news), []
        finished, self.finished = tuple(self.finished), []
        to_go = left * seconds / self.bytes_now if self.bytes_now else math.nan
        self.on_update(BatchProgress(stage, counts, running, self.eeg_seconds / 3600, seconds, to_go, news, finished))
