"""The ledger of an archive in SQLite: one row for each recording, event and output."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from restcli.archive.schema import APPLICATION, SCHEMA, VERSION, expected_schema, schema_of
from restcli.archive.walk import LEDGER_PATTERN, Found, Skipped, is_inside, is_output_of, possible_stems
from restcli.errors import OutputError

PENDING, RUNNING, DONE, SAME, QUARANTINED = "pending", "running", "done", "same", "quarantined"
STATES = (DONE, QUARANTINED, SAME, RUNNING, PENDING)

_ROW = "id, path, size, mtime_ns, hash, stem, attempts"
_EVENT = ("onset", "duration", "label", "confidence", "channels", "picture")


@dataclass(frozen=True)
class Keys:
    """What, beside a recording's content, its result depends on."""

    weights: str  # SHA-256 of the weights file
    settings: str  # digest of everything that determines scores
    rendering: str  # digest of everything that determines events, tables and pictures made from the same scores


@dataclass(frozen=True)
class Row:
    """A recording whose turn it is."""

    id: int
    path: str  # relative to the archive
    size: int
    mtime_ns: int
    hash: str | None  # SHA-256 of the content when it is known already
    stem: str  # what its outputs' names begin with, relative to the folder of outputs
    attempts: int
    outputs: Mapping[str, str]  # SHA-256 of the files that an earlier run made, by names relative to that folder


def is_complete(counts: Mapping[str, int], hidden: bool) -> bool:
    """Tell whether there were recordings, all were scored, and nothing that may hide more was skipped."""
    n_all = sum(counts.values())
    return not hidden and n_all > 0 and counts[DONE] + counts[SAME] == n_all


def now() -> str:
    """Return the present as text for people; nothing is ever decided by it, so that clocks may go backwards."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def ledger_name(shard: int = 1, n_shards: int = 1) -> str:
    """Return the file name of a ledger; each shard has its own, so that shards need no common lock.

    >>> ledger_name(), ledger_name(2, 8)
    ('ledger.sqlite', 'ledger-2-of-8.sqlite')
    """
    return "ledger.sqlite" if n_shards == 1 else f"ledger-{shard}-of-{n_shards}.sqlite"


def find_ledgers(out: str | Path) -> tuple[Path, ...]:
    """Return the ledgers in a folder of outputs; raise OutputError if there are none."""
    found = tuple(sorted(Path(out).glob(LEDGER_PATTERN)))
    if not found:
        raise OutputError(str(out), "holds no ledger", "a folder that restcli batch wrote to")
    return found


class Ledger:
    """An open ledger; only the coordinator opens one for writing, and a second writer is refused."""

    def __init__(self, path: str | Path, *, write: bool = False) -> None:
        self.path = Path(path)
        with self._explained(), ExitStack() as stack:
            if self.path.is_symlink() or self._lock_path.is_symlink():
                raise self._damaged("it is a link")
            if write:
                stack.enter_context(closing(self._lock()))
            # Opened only for reading, SQLite would not look at the CHECK constraints.
            mode = "rwc" if write else "rw" if os.access(self.path, os.W_OK) else "ro"
            uri = f"{self.path.resolve().as_uri()}?mode={mode}"
            self._db = stack.enter_context(closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)))
            self._db.row_factory = sqlite3.Row
            self._check(write=write)
            self._open = stack.pop_all()

    @property
    def _lock_path(self) -> Path:
        return self.path.with_suffix(".lock")

    def _lock(self) -> sqlite3.Connection:
        """Hold an exclusive lock on a separate file; the system releases it however this process ends."""
        guard = sqlite3.connect(self._lock_path, isolation_level=None, timeout=0.0)
        try:
            guard.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            guard.close()
            if "locked" not in str(error):
                raise
            raise OutputError(
                str(self.path),
                "another batch is writing to it",
                "one batch at a time for each ledger",
                "Wait for it, or give each batch its own --shard",
            ) from None
        return guard

    def _check(self, *, write: bool) -> None:
        """Make a new ledger, or make sure that an old one is whole and ours."""
        if not write:
            self._db.execute("PRAGMA query_only=ON")
        else:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            if not schema_of(self._db):
                self._db.executescript(
                    f"BEGIN; PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; {SCHEMA} COMMIT;"
                )
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise OutputError(str(self.path), "is not a restcli ledger", "a ledger", "Move it away")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION:
            raise OutputError(
                str(self.path),
                f"is a ledger of version {found}",
                f"version {VERSION}",
                "Use the restcli that wrote it, or another folder",
            )
        if schema_of(self._db) != expected_schema():
            raise self._damaged("its tables are not those of a ledger")
        answer = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]  # types and CHECK constraints of all rows
        if answer != "ok":
            raise self._damaged(answer.replace("\n", " "))

    def close(self) -> None:
        """Close the file and release the lock."""
        self._open.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _damaged(self, why: str) -> OutputError:
        return OutputError(
            str(self.path),
            f"is damaged or was changed by something else than restcli ({why})",
            "a whole ledger",
            "Move it away and run the batch again: outputs stay, and cached scores are used again",
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite reports into what a user can do."""
        try:
            yield
        except (sqlite3.Error, OverflowError) as error:
            text, where = str(error), str(self.path)
            if "full" in text or "I/O" in text:
                raise OutputError(
                    where,
                    f"could not be written ({text})",
                    "room on the disk",
                    "Free some and run the batch again; it continues where it stopped",
                ) from error
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
        """Make several changes one: all of them or none."""
        self._do("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._do("ROLLBACK")
            raise
        self._do("COMMIT")

    def _row(self, values: sqlite3.Row) -> Row:
        """Read a row that will be acted on; its names must be those that restcli gives."""
        outputs = {
            str(name): str(digest)
            for name, digest in self._do("SELECT name, hash FROM outputs WHERE recording = ?", (values["id"],))
        }
        row = Row(**dict(values), outputs=outputs)
        wrong = [name for name in outputs if not is_output_of(row.path, name)]
        if not is_inside(row.path) or row.stem not in possible_stems(row.path) or wrong:
            raise self._damaged(f"row {row.id} names files that are not its own")
        return row

    # ---- a run

    def begin_run(self, archive: str, keys: Keys, settings: str) -> tuple[int, list[Row]]:
        """Open a run; return its number and the recordings that an earlier run left unfinished, now pending again."""
        with self._together():
            left = [self._row(r) for r in self._do(f"SELECT {_ROW} FROM recordings WHERE state = 'running'")]
            self._do("UPDATE recordings SET state = 'pending' WHERE state = 'running'")
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
        values = {"run": run, "retry": retry, "w": keys.weights, "s": keys.settings, "r": keys.rendering}
        other = "(weights IS NOT :w OR settings IS NOT :s OR rendering IS NOT :r)"
        gone = (
            "NOT EXISTS (SELECT 1 FROM recordings p WHERE p.id = recordings.same_as AND p.seen = :run "
            "AND p.hash = recordings.hash)"
        )
        with self._together():
            self._do(
                "UPDATE recordings SET state = 'pending', same_as = NULL WHERE seen = :run AND ("
                f"(state = 'done' AND ({other} OR made_stem IS NOT stem)) OR (state = 'same' AND {gone}) "
                f"OR (state = 'quarantined' AND (:retry OR {other})))",
                values,
            )
            self._do("UPDATE recordings SET attempts = 0 WHERE seen = ? AND state = 'pending'", (run,))
            self._do("DELETE FROM skipped WHERE seen != ?", (run,))

    def reports(self, run: int) -> list[tuple[int, str]]:
        """Return id and run report of the recordings that are done, relative to the folder of outputs."""
        found = self._do("SELECT id, path, made_stem FROM recordings WHERE seen = ? AND state = 'done'", (run,))
        reports = [(int(row["id"]), str(row["path"]), f"{row['made_stem']}_run.json") for row in found]
        if not all(is_output_of(path, report) for _, path, report in reports):
            raise self._damaged("a row names a run report that is not its own")
        return [(row_id, report) for row_id, _, report in reports]

    def reopen(self, row_id: int) -> None:
        """Make a recording that was done pending again."""
        self._do("UPDATE recordings SET state = 'pending', attempts = 0 WHERE id = ?", (row_id,))

    def twins(self, run: int, column: str) -> list[tuple[int, str]]:
        """Return id and path of recordings that may be copies and lack `column`.

        ``fingerprint``: those of the same size; ``hash``: those of the same size and fingerprint.
        """
        alike = {"fingerprint": "size", "hash": "size, fingerprint"}[column]
        known = "" if column == "fingerprint" else "AND fingerprint IS NOT NULL"
        found = self._do(
            f"SELECT id, path FROM recordings WHERE seen = ?1 AND {column} IS NULL {known} AND ({alike}) IN "
            f"(SELECT {alike} FROM recordings WHERE seen = ?1 GROUP BY {alike} HAVING COUNT(*) > 1) ORDER BY path",
            (run,),
        )
        return [(int(r[0]), str(r[1])) for r in found if is_inside(str(r[1]))]

    def note(self, column: str, values: Mapping[int, str]) -> None:
        """Note fingerprints or hashes by id."""
        if column not in ("fingerprint", "hash"):
            raise ValueError(column)
        with self._together():
            self._do_many(
                f"UPDATE recordings SET {column} = ? WHERE id = ?", [(value, key) for key, value in values.items()]
            )

    def pair(self, run: int) -> None:
        """Let every recording whose content is already that of another point to it instead of being done."""
        self._do(
            "WITH ranked AS (SELECT id, FIRST_VALUE(id) OVER (PARTITION BY hash ORDER BY state != 'done', path) first "
            "FROM recordings WHERE seen = ?1 AND hash IS NOT NULL) "
            "UPDATE recordings SET state = 'same', same_as = ranked.first, error = NULL, error_class = NULL "
            "FROM ranked WHERE ranked.id = recordings.id AND ranked.first != ranked.id "
            "AND recordings.state IN ('pending', 'same', 'quarantined')",
            (run,),
        )

    def outputs_of_copies(self, run: int) -> dict[str, str]:
        """Return the outputs that copies of another recording still had of their own, and forget them."""
        copies = "state = 'same' AND seen = ? AND EXISTS (SELECT 1 FROM outputs WHERE recording = recordings.id)"
        found: dict[str, str] = {}
        for values in self._do(f"SELECT {_ROW} FROM recordings WHERE {copies}", (run,)):
            found |= self._row(values).outputs
        self._do(f"DELETE FROM outputs WHERE recording IN (SELECT id FROM recordings WHERE {copies})", (run,))
        return found

    def waiting(self, run: int, count: int) -> list[Row]:
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
        """Make a running recording pending again."""
        self._do("UPDATE recordings SET state = 'pending' WHERE id = ? AND state = 'running'", (row_id,))

    def put_back_all(self) -> None:
        """Make everything that was running pending again."""
        self._do("UPDATE recordings SET state = 'pending' WHERE state = 'running'")

    def finish(self, row_id: int, keys: Keys, outcome: Mapping[str, Any]) -> None:
        """Enter the outcome of `restcli.archive.job.annotate_one`: quarantined if it holds an ``error``, else done."""
        names = ("worker", "error_class", "error", "duration", "scored", "missing", "n_events", "hash", "size")
        values = {name: outcome.get(name) for name in (*names, "mtime_ns", "stages", "seconds")}
        values |= {"id": row_id, "finished": now(), "w": keys.weights, "s": keys.settings, "r": keys.rendering}
        values["state"] = DONE if outcome.get("error") is None else QUARANTINED
        with self._together():
            self._do(
                "UPDATE recordings SET state = :state, finished = :finished, stages = :stages, seconds = :seconds, "
                "worker = :worker, error_class = :error_class, error = :error, "
                "duration = COALESCE(:duration, duration), scored = :scored, missing = :missing, "
                "n_events = :n_events, hash = COALESCE(:hash, hash), size = COALESCE(:size, size), "
                "mtime_ns = COALESCE(:mtime_ns, mtime_ns), weights = :w, settings = :s, rendering = :r, "
                "made_stem = stem WHERE id = :id",
                values,
            )
            for table in ("events", "outputs"):
                self._do(f"DELETE FROM {table} WHERE recording = ?", (row_id,))
            self._do_many(
                "INSERT INTO outputs VALUES (?, ?, ?)",
                ((row_id, name, digest) for name, digest in outcome.get("outputs", {}).items()),
            )
            self._do_many(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (row_id, number, *(event[name] for name in _EVENT))
                    for number, event in enumerate(outcome.get("events", ()), start=1)
                ),
            )

    # ---- questions

    def last_run(self) -> dict[str, Any]:
        """Return the last run as plain values; empty when there was none."""
        found = self._do("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
        return dict(found[0]) if found else {}

    def counts(self) -> dict[str, int]:
        """Return how many recordings of the last walk are in each state."""
        sql = "SELECT state, COUNT(*) FROM recordings WHERE seen = (SELECT MAX(id) FROM runs) GROUP BY state"
        found = {str(state): int(n) for state, n in self._do(sql)}
        return {state: found.get(state, 0) for state in STATES}

    def bytes_left(self) -> int:
        """Return the bytes of the recordings that are pending or running."""
        found = self._do(
            "SELECT COALESCE(SUM(size), 0) FROM recordings "
            "WHERE state IN ('pending', 'running') AND seen = (SELECT MAX(id) FROM runs)"
        )
        return int(found[0][0])

    def recordings(self) -> Iterator[dict[str, Any]]:
        """Yield the recordings of the last walk as plain values in order of their paths, outputs as a JSON list."""
        yield from self._rows(
            "SELECT r.*, p.path AS same_as_path, (SELECT json_group_array(name) FROM outputs o "
            "WHERE o.recording = r.id AND r.state = 'done') AS outputs "
            "FROM recordings r LEFT JOIN recordings p ON p.id = r.same_as "
            "WHERE r.seen = (SELECT MAX(id) FROM runs) ORDER BY r.path"
        )

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the recordings of the last walk that are done, in order of path and onset."""
        for row in self._rows(
            "SELECT r.path, r.hash, r.weights, e.* FROM recordings r JOIN events e ON e.recording = r.id "
            "WHERE r.seen = (SELECT MAX(id) FROM runs) AND r.state = 'done' ORDER BY r.path, e.number"
        ):
            if row["picture"] is not None and not is_output_of(row["path"], row["picture"]):
                raise self._damaged("an event names a picture that is not its own")
            yield row

    def _rows(self, sql: str) -> Iterator[dict[str, Any]]:
        with self._explained():
            yield from map(dict, self._db.execute(sql))

    def skipped(self) -> list[Skipped]:
        """Return what the last walk did not look into."""
        found = self._do("SELECT path, reason, may_hide FROM skipped ORDER BY path")
        return [Skipped(str(r[0]), str(r[1]), bool(r[2])) for r in found]
