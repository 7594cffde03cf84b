"""The audit trail of an archive: one line for each change of the outputs, with the hash of the line before."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restcli.archive.schema import EVENT
from restcli.errors import UsageError
from restcli.files import appending
from restcli.io.companions import open_regular

PATTERN = "audit*.jsonl"
ACKNOWLEDGED = "acknowledged"
_OPERATOR = "RESTCLI_OPERATOR"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,40}")
_LONGEST = 1 << 20  # bytes of a line
# What is hashed of a recording in the ledger, beside what the trail repeats.
_ROW = "duration scored missing n_events notes error_class error".split()


def trail_name(ledger: str = "ledger.sqlite") -> str:
    """Return the file name of the trail that belongs to a ledger; each shard has its own."""
    return Path(ledger).name.replace("ledger", "audit", 1).replace(".sqlite", ".jsonl")


def facts_of(row: Mapping[str, Any], events: Iterable[Mapping[str, Any]], report: str | None) -> dict[str, Any]:
    """Return what a trail says of a recording that is finished; `report` is the SHA-256 of its run report."""
    values = [_plain(row.get(name)) for name in _ROW] + [[_plain(event[name]) for name in EVENT] for event in events]
    return {
        "what": row["state"],
        "path": row["path"],
        "input": row["hash"],
        "weights": row["weights"],
        "settings": row["settings"],
        "result": report,
        "ledger": hashlib.sha256(json.dumps(values).encode()).hexdigest(),
    }


def _plain(value: object) -> object:
    return float(value) if isinstance(value, int) else value  # as SQLite returns a REAL


def operator() -> str:
    """Return the pseudonym of the person who runs this: RESTCLI_OPERATOR, or a hash of login name and machine."""
    given = os.environ.get(_OPERATOR)
    if given is None:
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            login = str(os.getuid())
        return "op-" + hashlib.sha256(f"{login}@{socket.gethostname()}".encode()).hexdigest()[:8]
    if not _NAME.fullmatch(given):
        raise UsageError(_OPERATOR, "is not a pseudonym", "up to 40 letters, digits, '.', '-' and '_'")
    return given


class Trail:
    """A trail that is written to; several processes may append to one."""

    def __init__(self, path: Path) -> None:
        self.path, self.operator = path, operator()

    def append(self, time: str, facts: Mapping[str, Any]) -> None:
        """Add a line, on the disk when this returns."""
        with appending(self.path) as file:
            tail = os.pread(file.descriptor, _LONGEST, max(0, file.size - _LONGEST))
            number, previous = _last(tail)
            entry = {"number": number + 1, "time": time, "who": self.operator, **facts}
            file.add(json.dumps(_sealed(entry, previous), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _sealed(entry: Mapping[str, Any], previous: str) -> dict[str, Any]:
    """Return an entry with the hash of the one before and its own."""
    whole = {**entry, "previous": previous}
    return {**whole, "hash": hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()}


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the entry on a line; None if the line holds none."""
    try:
        entry = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    whole = isinstance(entry, dict) and {"number", "time", "who", "what", "previous", "hash"} <= entry.keys()
    return entry if whole and isinstance(entry["number"], int) and isinstance(entry["hash"], str) else None


def _last(tail: bytes) -> tuple[int, str]:
    """Return number and hash of the last entry."""
    for line in reversed(tail.split(b"\n")):
        if entry := _parse(line):
            return entry["number"], entry["hash"]
    return 0, ""


def last_begins(out: Path) -> list[dict[str, Any]]:
    """Return the last ``begin`` of each trail in a folder of outputs."""
    found = list[dict[str, Any]]()
    for path in sorted(out.glob(PATTERN)):
        begins = (entry for entry in _entries_with(path, "begin") if entry["what"] == "begin")
        found += deque(begins, maxlen=1)
    return found


def was_made_by_batch(out: Path, report: str) -> bool:
    """Tell whether a trail in a folder of outputs has the run report with this SHA-256."""
    return any(entry.get("result") == report for path in out.glob(PATTERN) for entry in _entries_with(path, report))


def _entries_with(path: Path, word: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a trail that hold a word; the others are not parsed, because there may be a million."""
    with open_regular(path) as file:
        for line in iter(lambda: file.readline(_LONGEST), b""):
            if word.encode() in line and (entry := _parse(line)):
                yield entry


@dataclass(frozen=True)
class Reading:
    """What a trail says, and what is wrong with it."""

    entries: tuple[dict[str, Any], ...]
    faults: tuple[str, ...]  # each shows that the trail was changed by hand
    remarks: tuple[str, ...]  # lines that a killed process left
    head: str  # hash of the last entry


def read_trail(path: Path) -> Reading:
    """Read a trail and follow its chain."""
    entries, faults, remarks, torn = [], list[str](), list[str](), list[int]()
    number, previous = 0, ""
    with open_regular(path) as file:
        for count, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), start=1):
            entry = _parse(line)
            if entry is None:
                torn += [count] if line.strip() else []
                continue
            place = f"{path.name}, line {count}"
            if entry["number"] != number + 1 or entry["previous"] != previous:
                faults.append(f"{place}: does not follow the line before; lines were removed, added or moved")
            unsealed = {key: value for key, value in entry.items() if key not in ("previous", "hash")}
            if _sealed(unsealed, entry["previous"])["hash"] != entry["hash"]:
                faults.append(f"{place}: was changed")
            number, previous = entry["number"], entry["hash"]
            entries.append(entry)
    if torn:
        remarks.append(f"{path.name}: unfinished or unreadable lines: {', '.join(map(str, torn[:10]))}")
    return Reading(tuple(entries), tuple(faults), tuple(remarks), previous)
