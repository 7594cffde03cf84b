"""What the ledgers of an archive say together: rows and sums."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from restcli import __version__
from restcli.archive.audit import ACKNOWLEDGED, Trail, trail_name
from restcli.archive.ledger import DONE, FAILED, STATES, Ledger, is_complete, now
from restcli.archive.shards import find_ledgers, missing_shards
from restcli.archive.walk import outputs_folder
from restcli.errors import OutputError, UsageError


class Book:
    """All ledgers of a folder of outputs, read as one: each shard has recordings of its own."""

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        with ExitStack() as stack:
            self.ledgers = [stack.enter_context(Ledger(path)) for path in find_ledgers(out)]
            self._stack = stack.pop_all()
        self.runs = [ledger.last_run() for ledger in self.ledgers]
        self.run = max(self.runs, key=lambda run: str(run.get("started", "")))

    @property
    def folder(self) -> Path:
        """Folder that the names of outputs are relative to."""
        return outputs_folder(str(self.run.get("archive", "")), self.out)

    def __enter__(self) -> Book:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def recordings(self) -> Iterator[dict[str, Any]]:
        """Yield recordings as plain values."""
        for ledger in self.ledgers:
            yield from ledger.recordings()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events as plain values."""
        for ledger in self.ledgers:
            yield from ledger.events()

    def skipped(self) -> list[dict[str, Any]]:
        """Return what was not looked into; every shard walks the whole archive, so each thing is reported once."""
        found = {item.path: item for ledger in self.ledgers for item in ledger.skipped()}
        return [vars(found[path]) for path in sorted(found)]

    def settings(self) -> dict[str, Any]:
        """Return the settings of the last run."""
        try:
            settings: dict[str, Any] = json.loads(self.run.get("settings", "{}"))
        except (ValueError, RecursionError):
            raise OutputError(str(self.out), "its ledger holds settings that cannot be read") from None
        return settings


def survey(out: str | Path) -> dict[str, Any]:
    """Sum up an archive: counts by state, hours, events, failures by reason, what was not walked."""
    with Book(out) as book:
        return sum_up(book)


def acknowledge(out: str | Path, recording: str, reason: str) -> None:
    """Accept the failure of a recording, named by its path in the archive, in the ledgers that hold it."""
    if not reason.strip():
        raise UsageError("--reason", "is empty", "why this failure is accepted")
    accepted = False
    for path in find_ledgers(out):
        with Ledger(path, write=True) as ledger:
            archive = Path(str(ledger.last_run().get("archive", "")))
            place = Path(recording)
            if place.is_absolute() and place.is_relative_to(archive):
                place = place.relative_to(archive)
            if ledger.acknowledge(place.as_posix(), reason.strip()):
                entry = {"what": ACKNOWLEDGED, "path": place.as_posix(), "reason": reason.strip()}
                Trail(path.with_name(trail_name(path.name))).append(now(), entry)
                accepted = True
    if not accepted:
        what = "is not a recording that failed in this batch"
        raise UsageError(recording, what, "a path below the archive", "restcli batch status lists failures")


def sum_up(book: Book) -> dict[str, Any]:
    """Sum up an open book, as plain values."""
    counts = dict.fromkeys(STATES, 0)
    sums: dict[str, float] = dict.fromkeys(("eeg_hours", "scored_hours", "missing_hours"), 0.0)
    sums |= dict.fromkeys(("n_incomplete", "n_events", "n_with_events"), 0)
    failures, notes = _Alike(), _Alike()
    acknowledged: list[dict[str, str]] = []
    for row in book.recordings():
        counts[row["state"]] += 1
        if row["state"] == DONE:
            sums["eeg_hours"] += row["duration"] / 3600
            sums["scored_hours"] += (row["duration"] + row["missing"]) * row["scored"] / 3600
            sums["missing_hours"] += row["missing"] / 3600
            sums["n_incomplete"] += row["missing"] > 0
            sums["n_events"] += row["n_events"]
            sums["n_with_events"] += row["n_events"] > 0
            for text in row["notes"].splitlines():
                notes.add(text, row["path"])
        elif row["state"] == FAILED:
            if row["acknowledged"] is None:
                failures.add(plain_reason(row), row["path"])
            else:
                entry = {"path": row["path"], "reason": plain_reason(row), "acknowledged": row["acknowledged"]}
                acknowledged.append(entry)
    skipped = book.skipped()
    hidden = any(item["may_hide"] for item in skipped)
    missing = missing_shards(book.out)
    ended = not missing and all(run.get("finished") is not None for run in book.runs)
    return {
        "restcli": __version__,
        **{name: book.run.get(name) for name in ("archive", "started", "finished", "weights")},
        "settings": book.settings(),
        "other_files": dict(sorted(json.loads(book.run.get("others", "{}")).items())),
        "counts": counts,
        **sums,
        "failures": failures.to_list(),
        "acknowledged": acknowledged,
        "notes": notes.to_list(),
        "skipped": skipped,
        "missing_shards": missing,
        "complete": ended and is_complete(counts, hidden, len(acknowledged)),
    }


_NUMBER = re.compile(r"(?<![A-Za-z\d])\d+(?::\d+)*(?:\.\d+)?")  # also a time such as 0:01:40


class _Alike:
    """Texts that differ only in their numbers, counted together."""

    def __init__(self) -> None:
        self._paths: dict[tuple[str, ...], list[str]] = {}  # by what stands between the numbers
        self._numbers: dict[tuple[str, ...], list[set[str]]] = {}  # by place in the text

    def add(self, text: str, path: str) -> None:
        """Count the text of a recording."""
        form, numbers = tuple(_NUMBER.split(text)), _NUMBER.findall(text)
        self._paths.setdefault(form, []).append(path)
        for seen, number in zip(self._numbers.setdefault(form, [set() for _ in numbers]), numbers, strict=True):
            seen.add(number)

    def to_list(self) -> list[dict[str, Any]]:
        """Return each text with how often it occurs and an example, most frequent first; unequal numbers as A to B."""
        found = []
        for (first, *others), paths in self._paths.items():
            numbers = map(_span, self._numbers[(first, *others)])
            reason = first + "".join(number + text for number, text in zip(numbers, others, strict=True))
            found.append({"reason": reason, "n": len(paths), "example": paths[0]})
        return sorted(found, key=lambda entry: -entry["n"])


def _span(numbers: set[str]) -> str:
    ordered = sorted(numbers, key=lambda text: [float(part) for part in text.split(":")])
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def plain_reason(row: Mapping[str, Any]) -> str:
    """Return why a recording failed, without the file's name, so that equal reasons add up.

    >>> plain_reason({"path": "a/b.edf", "error": "/archive/a/b.edf: is empty. Expected an EDF recording."})
    'is empty'
    """
    text = str(row["error"])
    name = str(row["path"]).rpartition("/")[2]
    tail = text.partition(f"{name}: ")[2] or text
    return re.split(r"; |\.(?: |$)", tail)[0]
