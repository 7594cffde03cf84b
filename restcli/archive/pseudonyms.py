"""Pseudonyms: what outputs call recordings, from a table that stays with whoever may know their names."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from restcli.archive.walk import Found, Skipped
from restcli.errors import OutputError, UsageError
from restcli.files import read_toml
from restcli.text import without_names

_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_LINE = '"name.edf" = "pseudonym" on each line'


def read_table(path: Path) -> dict[str, str]:
    """Read a TOML file of lines ``"name.edf" = "pseudonym"``. No error quotes a name."""
    try:
        table = read_toml(path)
    except OSError as error:
        raise UsageError(str(path), f"cannot be read ({error.strerror})", "a TOML file that can be read") from None
    except ValueError:
        raise UsageError(str(path), "is not TOML", _LINE) from None
    for number, pseudonym in enumerate(table.values(), start=1):
        if not isinstance(pseudonym, str) or not _PSEUDONYM.fullmatch(pseudonym):
            what = f"entry {number} has no pseudonym"
            raise UsageError(str(path), what, "up to 60 letters, digits, '.', '-' and '_'")
    if len({pseudonym.casefold() for pseudonym in table.values()}) < len(table):
        raise UsageError(str(path), "gives two recordings one pseudonym", "a different one for each")
    return table


def read_pseudonyms(path: Path | None, recordings: Sequence[Path]) -> Mapping[str, str]:
    """Read the table for recordings that are given one by one; every one must be in it, by the name of its file."""
    if path is None:
        return {}
    table = read_table(path)
    if unknown := sum(recording.name not in table for recording in recordings):
        raise UsageError(str(path), f"has no pseudonym for {unknown} of {len(recordings)} recordings", _LINE)
    return table


class Pseudonyms:
    """The table of an archive, by paths in it; what it lacks is added, and on the disk before it is used."""

    def __init__(self, path: Path, out: Path) -> None:
        if path.resolve().is_relative_to(out.resolve()):
            what = f"lies in {out}, where every reader of the outputs could look names up"
            raise UsageError(str(path), what, "a place that only you can read")
        self.path, self.n_added = path, 0
        self._table = read_table(path) if path.exists() else {}
        self._taken = {pseudonym.casefold() for pseudonym in self._table.values()}
        self._sources: dict[str, str] = {}  # paths in the archive, by what outputs call them

    def hide(self, found: Sequence[Found], skipped: Sequence[Skipped]) -> tuple[list[Found], tuple[Skipped, ...]]:
        """Return what a walk found in a folder, under pseudonyms."""
        paths = [item.path for item in found] + [item.path for item in skipped]
        self._add([path for path in paths if path not in self._table])
        hidden = []
        for item in found:
            called = _called(item.path, self._table)
            self._sources[called] = item.path
            hidden.append(replace(item, path=called, stem=self._table[item.path]))
        named = ((item, self._table[item.path]) for item in skipped)
        return hidden, tuple(
            replace(item, path=name, reason=without_names(item.reason, item.path, name)) for item, name in named
        )

    def source(self, path: str) -> str:
        """Return the path in the archive of a recording that outputs call `path`."""
        return self._sources[path]

    def _add(self, names: Sequence[str]) -> None:
        """Draw pseudonyms and append them to the table, which other shards may do at the same time."""
        if not names:
            return
        new = {name: self._draw() for name in names}
        lines = "".join(f"{_quoted(name)} = {_quoted(pseudonym)}\n" for name, pseudonym in new.items()).encode()
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                end = os.lseek(descriptor, 0, os.SEEK_END)
                try:
                    while lines:
                        lines = lines[os.write(descriptor, lines) :]
                    os.fsync(descriptor)
                except OSError:
                    os.ftruncate(descriptor, end)  # half a line would spoil the table
                    raise
            finally:
                os.close(descriptor)
        except OSError as error:
            what = f"new pseudonyms could not be added ({error.strerror or error})"
            raise OutputError(str(self.path), what, "a file that can be written to, with room on the disk") from error
        self._table |= new
        self.n_added += len(new)

    def _draw(self) -> str:
        """Return a pseudonym that tells nothing, not even an order."""
        while (drawn := f"r{secrets.token_hex(6)}") in self._taken:
            pass
        self._taken.add(drawn)
        return drawn


def read_sources(path: Path, archive: str) -> dict[str, Path]:
    """Return the places of an archive's recordings by what outputs call them."""
    table = read_table(path)
    return {_called(name, table): Path(archive, name) for name in table}


def _called(path: str, table: Mapping[str, str]) -> str:
    """Return the path that outputs tell in place of a path in the archive."""
    return table[path] + PurePosixPath(path).suffix


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
