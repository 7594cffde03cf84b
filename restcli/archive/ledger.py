"""The ledger of an archive in SQLite: one row for each recording, event and output."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from restcli.archive.schema import APPLICATION, EVENT, SCHEMA, VERSION, expected_schema, schema_of
from restcli.archive.walk import Found, Skipped, is_inside, is_output_of, possible_stems
from restcli.errors import OutputError
from restcli.output.run_report import REPORT_END

PENDING, RUNNING, DONE, SAME, FAILED = "pending", "running", "done", "same", "failed"
STATES = (DONE, FAILED, SAME, RUNNING, PENDING)

_ROW = "id, path, size, mtime_ns, hash, stem"
_FACTS = ("worker", "stages", "seconds", "error_class", "error", "clock", "duration", "scored", "missing", "n_events")
_LAST_WALK = "seen = (SELECT MAX(id) FROM runs)"
_REMEDY = "Move it away and run the batch again: outputs stay, and cached scores are used again"


@dataclass(frozen=True)
class Keys:
    """What, beside a recording's content, its result depends on."""

    weights: str  # SHA-256 of the weights file
    settings: str  # digest of everything that determines scores
    rendering: str  # digest of everything that determines events, tables and pictures made from the same scores


@dataclass(frozen=True)
class LedgerRow:
    """A recording that is to be done."""

    id: int
    path: str  # relative to the archive
    size: int
    mtime_ns: int
    stem: str  # what its outputs' names begin with, relative to the folder of outputs
    hash: str | None = None  # SHA-256 of the content when it is known already; it counts while size and time hold
    # SHA-256 of the files that an earlier run made, by names relative to the folder of outputs
    outputs: Mapping[str, str] = field(default_factory=dict)
    source: str = ""  # path in the archive where `path` is a pseudonym; no ledger knows it


def is_complete(counts: Mapping[str, int], hidden: bool, n_acknowledged: int = 0) -> bool:
    """Tell whether all recordings, at least one, were scored or acknowledged, and nothing may hide more of them."""
    n_all = sum(counts.values())
    return not hidden and n_all > 0 and counts[DONE] + counts[SAME] + n_acknowledged == n_all


def now() -> str:
    """Return the current time as text for people; no decision depends on it, so that clocks may go backwards."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Ledger:
    """An open ledger; only the coordinator opens one for writing, and a second writer is refused."""

    def __init__(self, path: str | Path, *, write: bool = False) -> None:
        self.path = Path(path)
        with self._explained(), ExitStack() as stack:
            self._check_files()
            if write:
                stack.enter_context(closing(self._lock()))
            # Opened only for reading, SQLite would not look at the CHECK constraints.
            mode = "rwc" if write else "rw" if os.access(self.path, os.W_OK) else "ro"
            uri = f"{self.path.resolve().as_uri()}?mode={mode}"
            self._db = stack.enter_context(closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)))
            self._db.row_factory = sqlite3.Row
            self._check(write=write)
            self._open = stack.pop_all()

    def _check_files(self) -> None:
        """Refuse links and FIFOs in place of what SQLite opens."""
        for base in (self.path, self._lock_path):
            for place in (base, *(base.with_name(f"{base.name}-{end}") for end in ("wal", "shm", "journal"))):
                if place.is_symlink() or (place.exists() and not place.is_file()):
                    raise self._foreign(place, "is a link or not a regular file")

    @property
    def _lock_path(self) -> Path:
        return self.path.with_suffix(".lock")

    def _lock(self) -> sqlite3.Connection:
        """Hold an exclusive lock on a separate file; the system releases it however this process ends."""
        guard = sqlite3.connect(self._lock_path, isolation_level=None, timeout=0.0)
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            guard.close()
            if "not a database" in str(error):
                raise self._foreign(self._lock_path, "is a file of something other than restcli") from None
            if "locked" not in str(error):
                raise
            remedy = "Wait until it has ended"
            raise OutputError(str(self.path), "another batch is writing to it", remedy=remedy) from None
        return guard

    def _check(self, *, write: bool) -> None:
        """Create a new ledger, or check that an existing one is whole and ours."""
        if write:
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;")
            if not schema_of(self._db):
                marks = f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION};"
                self._db.executescript(f"BEGIN; {marks} {SCHEMA} COMMIT;")
        else:
            self._db.execute("PRAGMA query_only=ON")
        if self._pragma("application_id") != APPLICATION:
            raise OutputError(str(self.path), "is not a restcli ledger", remedy="Move it away")
        if (found := self._pragma("user_version")) != VERSION:
            remedy = "Use the restcli that wrote it, or move it away and run the batch again (cached scores are kept)"
            raise OutputError(str(self.path), f"is a ledger of version {found}", f"version {VERSION}", remedy)
        if schema_of(self._db) != expected_schema():
            raise self._damaged("its tables are not those of a ledger")
        answer = str(self._pragma("quick_check(1)"))  # types and CHECK constraints of all rows
        if answer != "ok":
            raise self._damaged(answer.replace("\n", " "))

    def _pragma(self, name: str) -> Any:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    def close(self) -> None:
        """Close the file and release the lock."""
        self._open.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _damaged(self, why: str) -> OutputError:
        what = f"is damaged or was changed by something other than restcli ({why})"
        return OutputError(str(self.path), what, remedy=_REMEDY)

    def _foreign(self, place: Path, what: str) -> OutputError:
        expected = f"a file that restcli keeps beside {self.path.name}, or none"
        return OutputError(str(place), what, expected, "Move it away and run the batch again")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of SQLite into errors that a user can act on."""
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            text, where = str(error), str(self.path)
            if "full" in text or "I/O" in text:
                remedy = "Make room on the disk and run the batch again; it continues where it stopped"
                raise OutputError(where, f"could not be written ({text})", remedy=remedy) from error
            if "locked" in text or "unable to open" in text or "readonly" in text:
                raise OutputError(where, f"could not be opened ({text})", "a folder that can be written to") from error
            raise self._damaged(text) from error

    def _do(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        with self._explained():
            return self._db.execute(sql, values).fetchall()

    def _do_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        with self._explained():
            self._db.executemany(sql, values)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Make several changes as one: all of them or none."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._do("ROLLBACK")
            raise
        self._do("COMMIT")

    def _row(self, values: sqlite3.Row) -> LedgerRow:
        """Read a row that will be acted on; its names must be those that restcli gives."""
        outputs = self._do("SELECT name, hash FROM outputs WHERE recording = ?", (values["id"],))
        row = LedgerRow(**dict(values), outputs=dict(map(tuple, outputs)))
        are_ours = all(is_output_of(row.path, name) for name in row.outputs)
        if not (is_inside(row.path) and row.stem in possible_stems(row.path) and are_ours):
            raise self._damaged(f"row {row.id} names files that are not its own")
        return row

    # ---- a run

    def begin_run(self, archive: str, keys: Keys, settings: str) -> tuple[int, list[LedgerRow]]:
        """Open a run; return its number and the recordings that an earlier run left unfinished, now pending again."""
        with self._together():
            left = [self._row(r) for r in self._do(f"SELECT {_ROW} FROM recordings WHERE state = 'running'")]
            self.put_back_all()
            found = self._do(
                "INSERT INTO runs (started, archive, weights, settings) VALUES (?, ?, ?, ?) RETURNING id",
                (now(), archive, keys.weights, settings),
            )
        return int(found[0][0]), left

    def end_run(self, run: int) -> None:
        """Note when a run ended."""
        self._do("UPDATE runs SET finished = ? WHERE id = ?", (now(), run))

    def enter(
        self,
        run: int,
        recordings: Iterable[Found],
        *,
        skipped: Iterable[Skipped] = (),
        others: Mapping[str, int] | None = None,
    ) -> None:
        """Enter what a walk found; a recording of another size or time than before becomes pending."""
        changed = "size != excluded.size OR mtime_ns != excluded.mtime_ns"
        with self._together():
            self._do_many(
                "INSERT INTO recordings (path, size, mtime_ns, stem, seen, state) VALUES (?, ?, ?, ?, ?, 'pending') "
                "ON CONFLICT (path) DO UPDATE SET seen = excluded.seen, stem = excluded.stem, "
                f"state = CASE WHEN {changed} THEN 'pending' ELSE state END, "
                f"same_as = CASE WHEN {changed} THEN NULL ELSE same_as END, "
                f"acknowledged = CASE WHEN {changed} THEN NULL ELSE acknowledged END, "
                f"hash = CASE WHEN {changed} THEN NULL ELSE hash END, "
                f"fingerprint = CASE WHEN {changed} THEN NULL ELSE fingerprint END, "
                "size = excluded.size, mtime_ns = excluded.mtime_ns",
                ((found.path, found.size, found.mtime_ns, found.stem, run) for found in recordings),
            )
            self._do_many(
                "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?)",
                ((item.path, item.reason, item.may_hide, run) for item in skipped),
            )
            if others:
                sums = Counter(json.loads(self._do("SELECT others FROM runs WHERE id = ?", (run,))[0][0]))
                sums.update(others)
                self._do("UPDATE runs SET others = ? WHERE id = ?", (json.dumps(sums), run))

    def plan(self, run: int, keys: Keys, *, retry: bool) -> None:
        """Make pending what must be done again: other keys, another place, a copy whose original is gone, a retry."""
        values = {"run": run, "retry": retry, **vars(keys)}
        other = "(weights IS NOT :weights OR settings IS NOT :settings OR rendering IS NOT :rendering)"
        gone = (
            "NOT EXISTS (SELECT 1 FROM recordings p WHERE p.id = recordings.same_as AND p.seen = :run "
            "AND p.hash = recordings.hash)"
        )
        with self._together():
            self._do(
                "UPDATE recordings SET state = 'pending', same_as = NULL WHERE seen = :run AND ("
                f"(state = 'done' AND ({other} OR made_stem IS NOT stem)) OR (state = 'same' AND {gone}) "
                f"OR (state = 'failed' AND (:retry OR {other})))",
                values,
            )
            self._do("UPDATE recordings SET attempts = 0 WHERE seen = ? AND state = 'pending'", (run,))
            self._do("DELETE FROM skipped WHERE seen != ?", (run,))

    def reports(self, run: int) -> list[tuple[int, str]]:
        """Return id and run report of the recordings that are done, relative to the folder of outputs."""
        reports = []
        for row_id, path, stem in self._do(
            "SELECT id, path, made_stem FROM recordings WHERE seen = ? AND state = 'done'", (run,)
        ):
            if not is_output_of(path, f"{stem}{REPORT_END}"):
                raise self._damaged("a row names a run report that is not its own")
            reports.append((row_id, f"{stem}{REPORT_END}"))
        return reports

    def twins(self, run: int, column: str) -> list[tuple[int, str]]:
        """Return id and path of recordings of one size (for ``hash``, and one fingerprint) that lack this column."""
        alike = {"fingerprint": "size", "hash": "size, fingerprint"}[column]
        known = "" if column == "fingerprint" else "AND fingerprint IS NOT NULL"
        found = self._do(
            f"SELECT id, path FROM recordings WHERE seen = :run AND {column} IS NULL {known} AND ({alike}) IN "
            f"(SELECT {alike} FROM recordings WHERE seen = :run GROUP BY {alike} HAVING COUNT(*) > 1) ORDER BY path",
            {"run": run},
        )
        return [(row_id, path) for row_id, path in found if is_inside(path)]

    def note(self, column: str, values: Mapping[int, str | None]) -> None:
        """Note fingerprints or hashes by id."""
        with self._together():
            self._do_many(f"UPDATE recordings SET {column} = ? WHERE id = ?", ((v, row) for row, v in values.items()))

    def pair(self, run: int) -> None:
        """Let every recording whose content is already that of another point to it instead of being done.

        One that failed is nobody's original, and points only to one that is done.
        """
        self._do(
            "WITH ranked AS (SELECT id, FIRST_VALUE(id) OVER alike first, FIRST_VALUE(state) OVER alike found "
            "FROM recordings WHERE seen = :run AND hash IS NOT NULL WINDOW alike AS "
            "(PARTITION BY hash ORDER BY state = 'failed', state != 'done', state = 'same', path)) "
            "UPDATE recordings SET state = 'same', same_as = ranked.first, error = NULL, error_class = NULL, "
            "acknowledged = NULL "
            "FROM ranked WHERE ranked.id = recordings.id AND ranked.first != ranked.id "
            "AND (recordings.state IN ('pending', 'same') OR (recordings.state = 'failed' AND ranked.found = 'done'))",
            {"run": run},
        )

    def copies(self, run: int) -> Iterator[LedgerRow]:
        """Yield the copies of other recordings, each with outputs that it still had of its own, and forget those."""
        copies = "state = 'same' AND seen = ?"
        with self._explained():
            yield from map(self._row, self._db.execute(f"SELECT {_ROW} FROM recordings WHERE {copies}", (run,)))
        self._do(f"DELETE FROM outputs WHERE recording IN (SELECT id FROM recordings WHERE {copies})", (run,))

    def waiting(self, run: int, count: int) -> list[LedgerRow]:
        """Return the next recordings to do, the largest first."""
        found = self._do(
            f"SELECT {_ROW} FROM recordings INDEXED BY recordings_by_turn WHERE state = 'pending' AND seen = ? "
            "ORDER BY size DESC, path LIMIT ?",
            (run, count),
        )
        return [self._row(r) for r in found]

    def start(self, row_id: int, attempt: int) -> None:
        """Note that a recording was given to a worker."""
        self._do(
            "UPDATE recordings SET state = 'running', attempts = ?, started = ? WHERE id = ?", (attempt, now(), row_id)
        )

    def put_back(self, row_id: int) -> None:
        """Make a recording pending again."""
        self._do("UPDATE recordings SET state = 'pending' WHERE id = ?", (row_id,))

    def put_back_all(self) -> None:
        """Make everything that was running pending again."""
        self._do("UPDATE recordings SET state = 'pending' WHERE state = 'running'")

    def finish(self, row_id: int, keys: Keys, outcome: Mapping[str, Any]) -> bool:
        """Enter the outcome of `annotate_one`, failed if it holds an ``error``; tell whether that is acknowledged.

        Copies of what failed wait for their own turn: it may have failed for its name, its place or its worker.
        """
        known = {name: outcome[name] for name in ("hash", "size", "mtime_ns") if name in outcome}
        facts = {name: outcome.get(name) for name in _FACTS} | known | vars(keys) | {"finished": now()}
        facts["notes"] = outcome.get("notes", "")
        facts["state"] = DONE if facts["error"] is None else FAILED
        columns = ", ".join(f"{name} = :{name}" for name in facts)
        with self._together():
            [(acknowledged,)] = self._do(
                f"UPDATE recordings SET {columns}, made_stem = stem, "
                "acknowledged = CASE WHEN error IS :error THEN acknowledged END WHERE id = :id RETURNING acknowledged",
                facts | {"id": row_id},
            )
            for table in ("events", "outputs"):
                self._do(f"DELETE FROM {table} WHERE recording = ?", (row_id,))
            if facts["state"] == FAILED:
                self._do("UPDATE recordings SET state = 'pending', same_as = NULL WHERE same_as = ?", (row_id,))
            self._do_many(
                "INSERT INTO outputs VALUES (?, ?, ?)",
                ((row_id, name, digest) for name, digest in outcome.get("outputs", {}).items()),
            )
            self._do_many(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                ((row_id, k, *map(event.get, EVENT)) for k, event in enumerate(outcome.get("events", ()), start=1)),
            )
        return acknowledged is not None

    # ---- questions

    def acknowledge(self, path: str, reason: str) -> bool:
        """Accept that a recording failed, until its file or its error changes; False if it has not failed."""
        sql = "UPDATE recordings SET acknowledged = ? WHERE path = ? AND state = 'failed' RETURNING id"
        return bool(self._do(sql, (reason, path)))

    def n_acknowledged(self) -> int:
        """Return how many failures of the last walk somebody has acknowledged."""
        sql = f"SELECT COUNT(*) FROM recordings WHERE {_LAST_WALK} AND state = 'failed' AND acknowledged IS NOT NULL"
        return int(self._do(sql)[0][0])

    def last_run(self) -> dict[str, Any]:
        """Return the last run as plain values; empty when there was none."""
        found = self._do("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
        return dict(found[0]) if found else {}

    def gone(self) -> dict[str, str]:
        """Return the hashes of recordings that the last walk did not find, by what their outputs' names begin with."""
        found = self._do(
            f"SELECT path, made_stem, hash FROM recordings WHERE NOT {_LAST_WALK} AND made_stem IS NOT NULL "
            "AND hash IS NOT NULL"
        )
        return {stem: digest for path, stem, digest in found if is_output_of(path, f"{stem}{REPORT_END}")}

    def counts(self) -> dict[str, int]:
        """Return how many recordings of the last walk are in each state."""
        sql = f"SELECT state, COUNT(*) FROM recordings WHERE {_LAST_WALK} GROUP BY state"
        return dict.fromkeys(STATES, 0) | dict(map(tuple, self._do(sql)))

    def bytes_left(self) -> int:
        """Return the bytes of the recordings that are pending or running."""
        waiting = f"{_LAST_WALK} AND state IN ('pending', 'running')"
        return int(self._do(f"SELECT COALESCE(SUM(size), 0) FROM recordings WHERE {waiting}")[0][0])

    def recordings(self) -> Iterator[dict[str, Any]]:
        """Yield the recordings of the last walk as plain values in order of their paths, outputs as a JSON list."""
        yield from self._rows(
            "SELECT r.*, p.path AS same_as_path, (SELECT json_group_array(name) FROM outputs o "
            "WHERE o.recording = r.id AND r.state = 'done') AS outputs "
            "FROM recordings r LEFT JOIN recordings p ON p.id = r.same_as "
            f"WHERE r.{_LAST_WALK} ORDER BY r.path"
        )

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the recordings of the last walk that are done, in order of path and onset."""
        for row in self._rows(
            "SELECT r.path, r.hash, r.weights, r.made_stem, r.clock, e.* FROM recordings r "
            "JOIN events e ON e.recording = r.id "
            f"WHERE r.{_LAST_WALK} AND r.state = 'done' ORDER BY r.path, e.number"
        ):
            if row["picture"] is not None and not is_output_of(row["path"], row["picture"]):
                raise self._damaged("an event names a picture that is not its own")
            yield row

    def all_outputs(self) -> dict[str, str]:
        """Return the SHA-256 of all outputs, by names relative to the folder of outputs."""
        return dict(map(tuple, self._do("SELECT name, hash FROM outputs")))

    def _rows(self, sql: str) -> Iterator[dict[str, Any]]:
        with self._explained():
            yield from map(dict, self._db.execute(sql))

    def skipped(self) -> list[Skipped]:
        """Return what the last walk did not look into."""
        found = self._do("SELECT path, reason, may_hide FROM skipped ORDER BY path")
        return [Skipped(path, reason, bool(may_hide)) for path, reason, may_hide in found]
