"""The journal of a review, X_review.jsonl: one line for each decision, appended and on the disk before it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from restcli.errors import OutputError, RestError
from restcli.files import appending
from restcli.output.run_report import REPORT_END
from restcli.output.shown import JOURNAL_END
from restcli.review.entries import Entry, parse_entry


def journal_of(report: Path) -> Path:
    """Return the journal beside a run report."""
    return report.with_name(report.name.removesuffix(REPORT_END) + JOURNAL_END)


class ConflictError(RestError):
    """A verdict on a state that is outdated; `entries` are those that the writer has not seen."""

    entries: tuple[Entry, ...] = ()


class Journal:
    """The entries of one journal, as far as they were read; every process and thread may append to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_damaged = 0  # lines that are not entries, such as the last one of a process that was killed
        self._entries: list[Entry] = []
        self.generation = 0  # how often what had been read was found deleted or edited
        self._read = b""  # whole lines
        self._guard = Lock()

    def entries(self, after: int = 0) -> tuple[Entry, ...]:
        """Return the entries after a `seq`, as the file is now; a line that is not finished yet is left for later."""
        with self._guard:
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except FileNotFoundError:
                self._forget()
            except OSError as error:
                what = f"the journal could not be read ({error.strerror or error})"
                raise OutputError(str(self.path), what, "a file that can be read") from error
            else:
                try:
                    self._update(descriptor)
                finally:
                    os.close(descriptor)
            return tuple(entry for entry in self._entries if entry.seq > after)

    def append(self, content: Mapping[str, Any], *, after: int) -> Entry:
        """Write one entry, completed by `seq`, time and, for ``add``, `event`; ConflictError if `after` is not last.

        It is on the disk when this returns. An entry whose `uid` is there already is returned as it was written.
        """
        with self._guard, appending(self.path) as file:
            self._update(file.descriptor)
            if known := [entry for entry in self._entries if entry.uid and entry.uid == content.get("uid")]:
                return known[0]
            last = self._entries[-1].seq if self._entries else 0
            later = tuple(entry for entry in self._entries if entry.seq > after and entry.hash == content.get("hash"))
            if later or after > last:
                what = (
                    "another window has saved verdicts meanwhile" if later else "another program deleted or edited it"
                )
                conflict = ConflictError(self.path.name, what, "verdicts on all of it")
                conflict.entries = later
                raise conflict
            entry = self._complete(content, last + 1)
            file.add(json.dumps(entry.to_dict(), ensure_ascii=False, allow_nan=False).encode("utf-8"))
            self._update(file.descriptor)
        return entry

    def _complete(self, content: Mapping[str, Any], seq: int) -> Entry:
        filled = dict(content) | {"seq": seq, "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        if filled.get("action") == "add":
            numbers = [int(entry.event[1:]) for entry in self._entries if entry.event.startswith("a")]
            filled["event"] = f"a{max(numbers, default=0) + 1}"
        return parse_entry(filled, str(self.path))

    def _update(self, descriptor: int) -> None:
        """Read the whole lines that were appended since, or all of them if the earlier ones are not the same."""
        content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        whole = content[: content.rfind(b"\n") + 1]
        if not whole.startswith(self._read):
            self._forget()
        new, self._read = whole[len(self._read) :], whole
        for line in new.split(b"\n"):
            entry = _parse_line(line)
            if entry is None:
                self.n_damaged += bool(line.strip())
            elif not self._entries or entry.seq > self._entries[-1].seq:
                self._entries.append(entry)
            else:  # a copy of a line, or two journals joined
                self.n_damaged += 1

    def _forget(self) -> None:
        self.generation += bool(self._read)
        self._entries, self._read, self.n_damaged = [], b"", 0


def _parse_line(line: bytes) -> Entry | None:
    try:
        return parse_entry(json.loads(line.decode("utf-8")), "journal")
    except (ValueError, RecursionError, RestError):
        return None


def of_result(entries: tuple[Entry, ...], digest: str) -> tuple[tuple[Entry, ...], int]:
    """Return the entries on the events with this hash, and how many are on others and must not be applied."""
    own = tuple(entry for entry in entries if entry.hash == digest)
    return own, len(entries) - len(own)
