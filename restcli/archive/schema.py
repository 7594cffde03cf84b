"""The tables of a ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

VERSION = 7
APPLICATION = 0x52455354  # "REST"
EVENT = ("onset", "duration", "label", "confidence", "channels", "picture")  # columns that say what an event is

# Types and ranges are part of the schema, and the schema of a ledger is compared with this one when it is opened.
SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, finished TEXT, archive TEXT NOT NULL, weights TEXT NOT NULL,
    settings TEXT NOT NULL CHECK (json_type(settings) = 'object' AND length(settings) < 1000000),
    others TEXT NOT NULL DEFAULT '{}' CHECK (json_type(others) = 'object')
) STRICT;
CREATE TABLE recordings (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL CHECK (size >= 0),
    mtime_ns INTEGER NOT NULL, fingerprint TEXT, hash TEXT, stem TEXT NOT NULL, seen INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'done', 'same', 'failed')),
    same_as INTEGER REFERENCES recordings(id) CHECK ((same_as IS NULL) = (state != 'same')),
    attempts INTEGER NOT NULL DEFAULT 0, worker TEXT, started TEXT, finished TEXT,
    seconds REAL CHECK (seconds >= 0), stages TEXT CHECK (json_type(stages) = 'object'),
    error_class TEXT, error TEXT CHECK (error IS NOT NULL OR state != 'failed'),
    acknowledged TEXT CHECK (acknowledged IS NULL OR error IS NOT NULL), -- why somebody accepts this error
    clock TEXT CHECK (length(clock) < 40), -- of the first sample, where times after it are known
    duration REAL CHECK (duration BETWEEN 0 AND 1e10), scored REAL CHECK (scored BETWEEN 0 AND 1),
    missing REAL CHECK (missing BETWEEN 0 AND 1e10), n_events INTEGER CHECK (n_events >= 0),
    notes TEXT NOT NULL DEFAULT '', -- repairs and doubts, one a line
    weights TEXT, settings TEXT, rendering TEXT, made_stem TEXT,
    CHECK (state != 'done' OR (duration IS NOT NULL AND scored IS NOT NULL AND missing IS NOT NULL
        AND n_events IS NOT NULL AND made_stem IS NOT NULL AND hash IS NOT NULL))
) STRICT;
CREATE INDEX recordings_by_turn ON recordings(state, size DESC, path);
CREATE INDEX recordings_by_size ON recordings(size, fingerprint);
CREATE INDEX recordings_by_hash ON recordings(hash);
CREATE TABLE outputs (
    recording INTEGER NOT NULL REFERENCES recordings(id) ON DELETE CASCADE, name TEXT NOT NULL, hash TEXT NOT NULL,
    PRIMARY KEY (recording, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    recording INTEGER NOT NULL REFERENCES recordings(id) ON DELETE CASCADE, number INTEGER NOT NULL,
    onset REAL NOT NULL CHECK (onset BETWEEN 0 AND 1e10), duration REAL NOT NULL CHECK (duration BETWEEN 0 AND 1e10),
    label TEXT NOT NULL, confidence REAL CHECK (confidence BETWEEN 0 AND 1), channels TEXT NOT NULL,
    picture TEXT, PRIMARY KEY (recording, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE skipped (
    path TEXT PRIMARY KEY, reason TEXT NOT NULL, may_hide INTEGER NOT NULL CHECK (may_hide IN (0, 1)),
    seen INTEGER NOT NULL
) STRICT;
"""


@cache
def expected_schema() -> frozenset[tuple[str, str]]:
    """Return name and SQL of everything in a new ledger."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SCHEMA)
        return schema_of(db)


def schema_of(db: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Return name and SQL of everything in a database."""
    return frozenset((str(row[0]), str(row[1])) for row in db.execute("SELECT name, sql FROM sqlite_master"))
