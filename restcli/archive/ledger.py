"""The ledger of an archive in SQLite: one row a recording, one row an event; knows neither signals nor workers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from restcli.archive.walk import LEDGER_PATTERN, Found, Skipped
from restcli.errors import OutputError

VERSION = 1
_APPLICATION = 0x52455354  # "REST"

PENDING, RUNNING, DONE, SAME, QUARANTINED = "pending", "running", "done", "same", "quarantined"
STATES = (DONE, QUARANTINED, SAME, RUNNING, PENDING)

_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, archive TEXT NOT NULL, weights TEXT NOT NULL,
    settings TEXT NOT NULL, n_others INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    fingerprint TEXT, hash TEXT, stem TEXT NOT NULL, seen INTEGER NOT NULL, state TEXT NOT NULL,
    same_as INTEGER REFERENCES recordings(id), attempts INTEGER NOT NULL DEFAULT 0, worker TEXT,
    started TEXT, finished TEXT, stages TEXT, error_class TEXT, error TEXT,
    duration REAL, scored REAL, n_events INTEGER,
    weights TEXT, settings TEXT, rendering TEXT, made_stem TEXT, outputs TEXT
);
CREATE INDEX recordings_by_turn ON recordings(state, size DESC, path);
CREATE INDEX recordings_by_size ON recordings(size, fingerprint);
CREATE INDEX recordings_by_hash ON recordings(hash);
CREATE TABLE events (
    recording INTEGER NOT NULL REFERENCES recordings(id) ON DELETE CASCADE, number INTEGER NOT NULL,
    onset REAL NOT NULL, duration REAL NOT NULL, label TEXT NOT NULL, confidence REAL, channels TEXT NOT NULL,
    picture TEXT, PRIMARY KEY (recording, number)
) WITHOUT ROWID;
CREATE TABLE skipped (path TEXT PRIMARY KEY, reason TEXT NOT NULL, may_hide INTEGER NOT NULL, seen INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class Keys:
    """What, beside a recording's content, its result depends on.

    Parameters
    ----------
    weights : str
        SHA-256 of the weights file.
    settings : str
        Digest of all that changes scores.
    rendering : str
        Digest of all that changes events, tables and pictures made from the same scores.
    """

    weights: str
    settings: str
    rendering: str


@dataclass(frozen=True)
class Row:
    """A recording whose turn it is.

    Parameters
    ----------
    id : int
        In the ledger.
    path : str
        Relative to the archive.
    size, mtime_ns : int
        As found by the walk.
    hash : str or None
        SHA-256 of the content when it is known already.
    stem : str
        What its outputs' names begin with, relative to the folder of outputs.
    attempts : int
        How often it was begun.
    outputs : tuple of str
        Files that an earlier run made, relative to the folder of outputs.
    """

    id: int
    path: str
    size: int
    mtime_ns: int
    hash: str | None
    stem: str
    attempts: int
    outputs: tuple[str, ...]


_EVENT = ("onset", "duration", "label", "confidence", "channels", "picture")


def is_complete(counts: Mapping[str, int], hidden: bool) -> bool:
    """Tell whether there were recordings, all were scored, and nothing was out of sight that may hide more.

    Parameters
    ----------
    counts : mapping of str to int
        Recordings in each state.
    hidden : bool
        Whether something could not be looked into.
    """
    n_all = sum(counts.values())
    return not hidden and n_all > 0 and counts[DONE] + counts[SAME] == n_all


_ROW = "id, path, size, mtime_ns, hash, stem, attempts, outputs"


def _row(values: sqlite3.Row) -> Row:
    fields = dict(values)
    listed = fields.pop("outputs")
    return Row(**fields, outputs=tuple(json.loads(listed)) if listed else ())


def now() -> str:
    """Return the present as text for people; nothing is ever decided by it, so that clocks may go backwards."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def ledger_name(shard: int = 1, n_shards: int = 1) -> str:
    """Return the file name of a ledger; each shard has its own, so that shards need no common lock.

    Examples
    --------
    >>> ledger_name(), ledger_name(2, 8)
    ('ledger.sqlite', 'ledger-2-of-8.sqlite')
    """
    return "ledger.sqlite" if n_shards == 1 else f"ledger-{shard}-of-{n_shards}.sqlite"


def find_ledgers(out: str | Path) -> tuple[Path, ...]:
    """Return the ledgers in a folder of outputs.

    Raises
    ------
    OutputError
        If there is none.
    """
    found = tuple(sorted(Path(out).glob(LEDGER_PATTERN)))
    if not found:
        raise OutputError(str(out), "holds no ledger", "a folder that restcli batch wrote to")
    return found


class Ledger:
    """An open ledger; only the coordinator opens one for writing.

    Parameters
    ----------
    path : str or Path
        The SQLite file; made when it is missing and `write` is true.
    write : bool
        Open for writing, alone: a second writer is refused.

    Raises
    ------
    OutputError
        If it is damaged, in use, no ledger, or of a newer version.
    """

    def __init__(self, path: str | Path, *, write: bool = False) -> None:
        self.path = Path(path)
        with self._explained(), ExitStack() as stack:
            if write:
                stack.enter_context(closing(self._lock()))
            uri = f"{self.path.resolve().as_uri()}?mode={'rwc' if write else 'ro'}"
            self._db = stack.enter_context(closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)))
            self._db.row_factory = sqlite3.Row
            self._check(write=write)
            self._open = stack.pop_all()

    def _lock(self) -> sqlite3.Connection:
        """Hold an exclusive lock on a file of its own; the system lets go of it however this process ends."""
        guard = sqlite3.connect(self.path.with_suffix(".lock"), isolation_level=None, timeout=0.0)
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
                "wait for it, or give each batch its own --shard",
            ) from None
        return guard

    def _check(self, *, write: bool) -> None:
        """Make a new ledger, or make sure that an old one is whole and ours."""
        n_tables = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if write:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA foreign_keys=ON")
        if write and n_tables == 0:
            self._db.executescript(
                f"BEGIN; PRAGMA application_id={_APPLICATION}; PRAGMA user_version={VERSION}; {_SCHEMA} COMMIT;"
            )
        if self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise OutputError(str(self.path), "is no restcli ledger", "a ledger", "move it away")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION:
            raise OutputError(
                str(self.path),
                f"is a ledger of version {found}",
                f"version {VERSION}",
                "use the restcli that wrote it, or another folder",
            )
        if write:
            answer = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)

    def close(self) -> None:
        """Close the file and let go of the lock."""
        self._open.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says into what a user can do."""
        try:
            yield
        except sqlite3.Error as error:
            text, where = str(error), str(self.path)
            if "full" in text or "I/O" in text:
                raise OutputError(
                    where,
                    f"could not be written ({text})",
                    "room on the disk",
                    "free some and run the batch again; it goes on where it was",
                ) from error
            if "locked" in text or "unable to open" in text or "readonly" in text:
                raise OutputError(where, f"could not be opened ({text})", "a folder that can be written to") from error
            raise OutputError(
                where,
                f"is damaged ({text})",
                "a whole SQLite file",
                "move it away and run the batch again: outputs stay, and events are made again from stored scores",
            ) from error

    def _do(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        with self._explained():
            return self._db.execute(sql, values).fetchall()

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

    # ---- a run

    def begin_run(self, archive: str, keys: Keys, settings: str) -> tuple[int, list[Row]]:
        """Open a run.

        Parameters
        ----------
        archive : str
            Root of the archive.
        keys : Keys
            In force.
        settings : str
            JSON of all settings, for people.

        Returns
        -------
        int
            Number of the run.
        list of Row
            Recordings that an earlier run left unfinished; they wait for their turn again.
        """
        with self._together():
            left = [_row(r) for r in self._do(f"SELECT {_ROW} FROM recordings WHERE state = 'running'")]
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
        self, run: int, recordings: Iterable[Found], *, skipped: Iterable[Skipped] = (), n_others: int = 0
    ) -> None:
        """Enter what a walk found; a recording of another size or time than before waits for its turn again."""
        changed = "size != excluded.size OR mtime_ns != excluded.mtime_ns"
        with self._together(), self._explained():
            self._db.executemany(
                "INSERT INTO recordings (path, size, mtime_ns, stem, seen, state) VALUES (?, ?, ?, ?, ?, 'pending') "
                "ON CONFLICT (path) DO UPDATE SET seen = excluded.seen, stem = excluded.stem, "
                f"state = CASE WHEN {changed} THEN 'pending' ELSE state END, "
                f"hash = CASE WHEN {changed} THEN NULL ELSE hash END, "
                f"fingerprint = CASE WHEN {changed} THEN NULL ELSE fingerprint END, "
                "size = excluded.size, mtime_ns = excluded.mtime_ns",
                ((found.path, found.size, found.mtime_ns, found.stem, run) for found in recordings),
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?)",
                ((item.path, item.reason, item.may_hide, run) for item in skipped),
            )
            if n_others:
                self._db.execute("UPDATE runs SET n_others = n_others + ? WHERE id = ?", (n_others, run))

    def plan(self, run: int, keys: Keys, *, retry: bool) -> None:
        """Decide which of the recordings that the walk saw must be done.

        Parameters
        ----------
        run : int
            From `begin_run`.
        keys : Keys
            A result made with others is made again; so is one whose place has changed.
        retry : bool
            Whether recordings that failed with these keys get another chance.
        """
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
            self._do("UPDATE recordings SET attempts = 0 WHERE seen = :run AND state = 'pending'", values)
            self._do("DELETE FROM skipped WHERE seen != ?", (run,))

    def reports(self, run: int) -> Iterator[tuple[int, str]]:
        """Yield id and run report of the recordings that are done, relative to the folder of outputs."""
        sql = "SELECT id, made_stem FROM recordings WHERE seen = ? AND state = 'done'"
        for row_id, stem in self._do(sql, (run,)):
            yield int(row_id), f"{stem}_run.json"

    def reopen(self, row_id: int) -> None:
        """Let a recording that was done be done again."""
        self._do("UPDATE recordings SET state = 'pending', attempts = 0 WHERE id = ?", (row_id,))

    def twins(self, run: int, column: str) -> list[tuple[int, str]]:
        """Return id and path of recordings that may equal another one and lack their fingerprint or hash.

        Parameters
        ----------
        run : int
            From `begin_run`.
        column : str
            ``fingerprint``: those of the same size; ``hash``: those of the same size and fingerprint.
        """
        alike = {"fingerprint": "size", "hash": "size, fingerprint"}[column]
        known = "" if column == "fingerprint" else "AND fingerprint IS NOT NULL"
        found = self._do(
            f"SELECT id, path FROM recordings WHERE seen = ?1 AND {column} IS NULL {known} AND ({alike}) IN "
            f"(SELECT {alike} FROM recordings WHERE seen = ?1 GROUP BY {alike} HAVING COUNT(*) > 1) ORDER BY path",
            (run,),
        )
        return [(int(r[0]), str(r[1])) for r in found]

    def note(self, column: str, values: Mapping[int, str]) -> None:
        """Note fingerprints or hashes by id."""
        if column not in ("fingerprint", "hash"):
            raise ValueError(column)
        with self._together(), self._explained():
            self._db.executemany(
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

    def outputs_of_copies(self, run: int) -> list[str]:
        """Take the outputs that copies of another recording still had of their own, and forget them."""
        mine = "seen = ? AND state = 'same' AND outputs IS NOT NULL"
        found = self._do(f"SELECT outputs FROM recordings WHERE {mine}", (run,))
        self._do(f"UPDATE recordings SET outputs = NULL WHERE {mine}", (run,))
        return [name for row in found for name in json.loads(row["outputs"])]

    def waiting(self, run: int, count: int) -> list[Row]:
        """Return the next recordings to do, the largest first."""
        found = self._do(
            f"SELECT {_ROW} FROM recordings INDEXED BY recordings_by_turn WHERE state = 'pending' AND seen = ? "
            "ORDER BY size DESC, path LIMIT ?",
            (run, count),
        )
        return [_row(r) for r in found]

    def start(self, row_id: int, attempt: int) -> None:
        """Note that a recording was given to a worker."""
        self._do(
            "UPDATE recordings SET state = 'running', attempts = ?, started = ? WHERE id = ?", (attempt, now(), row_id)
        )

    def put_back(self, row_id: int) -> None:
        """Let a recording wait for its turn again."""
        self._do("UPDATE recordings SET state = 'pending' WHERE id = ? AND state = 'running'", (row_id,))

    def put_back_all(self) -> None:
        """Let everything that was in flight wait for its turn again."""
        self._do("UPDATE recordings SET state = 'pending' WHERE state = 'running'")

    def finish(self, row_id: int, keys: Keys, outcome: Mapping[str, Any]) -> None:
        """Enter what became of a recording, in one piece.

        Parameters
        ----------
        row_id : int
            Of the recording.
        keys : Keys
            In force.
        outcome : Mapping
            From `restcli.archive.job.annotate_one`: with ``error`` the recording is quarantined, else it is done.
        """
        failed = outcome.get("error") is not None
        values = {
            "id": row_id,
            "state": QUARANTINED if failed else DONE,
            "finished": now(),
            "w": keys.weights,
            "s": keys.settings,
            "r": keys.rendering,
            "stages": json.dumps(outcome.get("stages", {})),
            "outputs": json.dumps(outcome.get("outputs", {}), ensure_ascii=False),
        }
        names = ("worker", "error_class", "error", "duration", "scored", "n_events", "hash", "size", "mtime_ns")
        values |= {name: outcome.get(name) for name in names}
        with self._together(), self._explained():
            self._db.execute(
                "UPDATE recordings SET state = :state, finished = :finished, stages = :stages, worker = :worker, "
                "error_class = :error_class, error = :error, duration = COALESCE(:duration, duration), "
                "scored = :scored, n_events = :n_events, hash = COALESCE(:hash, hash), size = COALESCE(:size, size), "
                "mtime_ns = COALESCE(:mtime_ns, mtime_ns), weights = :w, settings = :s, rendering = :r, "
                "made_stem = stem, outputs = :outputs WHERE id = :id",
                values,
            )
            self._db.execute("DELETE FROM events WHERE recording = ?", (row_id,))
            self._db.executemany(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        row_id,
                        number,
                        e["onset"],
                        e["duration"],
                        e["label"],
                        e["confidence"],
                        e["channels"],
                        e["picture"],
                    )
                    for number, e in enumerate(outcome.get("events", ()), start=1)
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
        """Return the bytes of the recordings that wait or are being done."""
        found = self._do(
            "SELECT COALESCE(SUM(size), 0) FROM recordings "
            "WHERE state IN ('pending', 'running') AND seen = (SELECT MAX(id) FROM runs)"
        )
        return int(found[0][0])

    def recordings(self) -> Iterator[dict[str, Any]]:
        """Yield the recordings of the last walk as plain values, in order of their paths."""
        with self._explained():
            yield from map(
                dict,
                self._db.execute(
                    "SELECT r.*, p.path AS same_as_path FROM recordings r LEFT JOIN recordings p ON p.id = r.same_as "
                    "WHERE r.seen = (SELECT MAX(id) FROM runs) ORDER BY r.path"
                ),
            )

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the recordings of the last walk that are done, in order of path and onset."""
        with self._explained():
            yield from map(
                dict,
                self._db.execute(
                    "SELECT r.path, r.stem, r.hash, r.weights, e.* FROM recordings r "
                    "JOIN events e ON e.recording = r.id "
                    "WHERE r.seen = (SELECT MAX(id) FROM runs) AND r.state = 'done' ORDER BY r.path, e.number"
                ),
            )

    def skipped(self) -> list[Skipped]:
        """Return what the last walk did not look into."""
        found = self._do("SELECT path, reason, may_hide FROM skipped ORDER BY path")
        return [Skipped(str(r[0]), str(r[1]), bool(r[2])) for r in found]
