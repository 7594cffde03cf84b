"""Pseudonyms: what outputs call recordings, from a table for those who may know their names."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from restcli.archive.walk import Found, Skipped
from restcli.errors import UsageError
from restcli.files import appending, read_toml
from restcli.io.registry import ALL_ENDINGS
from restcli.text import without_names

_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_LINE = '"name.edf" = "pseudonym" on each line'


def read_table(path: Path) -> dict[str, str]:
    """Read a TOML file of lines ``"name.edf" = "pseudonym"``. No error quotes a name."""
    table = read_toml(path, _LINE, quoted=False)
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


def shown_path(path: Path, table: Mapping[str, str]) -> Path:
    """Return what outputs call a recording: its path, or with a table its pseudonym without a folder."""
    return Path(called(path.name, table[path.name])) if table else path


class Pseudonyms:
    """The table of an archive, by paths in it; what it lacks is added, and on the disk before it is used."""

    def __init__(self, path: Path, out: Path) -> None:
        if path.resolve().is_relative_to(out.resolve()):
            what = f"lies in {out}, where every reader of the outputs could look names up"
            raise UsageError(str(path), what, "a place that only you can read")
        self.path, self.n_added = path, 0
        self._table: dict[str, str] = {}
        self._taken: set[str] = set()
        self._size = 0  # bytes of the table as it was read or written last
        if path.exists():
            self._learn(read_table(path))
        self._sources: dict[str, str] = {}  # paths in the archive, by what outputs call them

    def hide(self, found: Sequence[Found], skipped: Sequence[Skipped]) -> tuple[list[Found], tuple[Skipped, ...]]:
        """Return what a walk found in a folder, under pseudonyms."""
        paths = [item.path for item in found] + [item.path for item in skipped]
        self._add([path for path in paths if path not in self._table])
        hidden = []
        for item in found:
            stem = self._table[item.path]
            path = called(item.path, stem)
            self._sources[path] = item.path
            hidden.append(replace(item, path=path, stem=stem))
        named = ((item, self._table[item.path]) for item in skipped)
        return hidden, tuple(
            replace(item, path=name, reason=without_names(item.reason, item.path, name)) for item, name in named
        )

    def source(self, path: str) -> str:
        """Return the path in the archive of a recording that outputs call `path`."""
        return self._sources[path]

    def _add(self, names: Sequence[str]) -> None:
        """Draw pseudonyms and append them to the table, to which other batches may add at the same time."""
        if not names:
            return
        with appending(self.path, mode=0o600) as file:
            if file.size != self._size:
                self._learn(read_table(self.path))
            new = {name: self._draw() for name in names if name not in self._table}
            if new:
                lines = (f"{_quoted(name)} = {_quoted(pseudonym)}" for name, pseudonym in new.items())
                file.add("\n".join(lines).encode())
            self._size = file.size
        self._learn(new)
        self.n_added += len(new)

    def _learn(self, table: Mapping[str, str]) -> None:
        self._table |= table
        self._taken |= {pseudonym.casefold() for pseudonym in table.values()}

    def _draw(self) -> str:
        """Draw a pseudonym that reveals nothing, not even an order."""
        while (drawn := f"r{secrets.token_hex(6)}") in self._taken:
            pass
        self._taken.add(drawn)
        return drawn


def read_sources(path: Path, archive: str) -> dict[str, Path]:
    """Return the places of an archive's recordings by what outputs call them."""
    return {called(name, pseudonym): Path(archive, name) for name, pseudonym in read_table(path).items()}


def called(path: str, pseudonym: str) -> str:
    """Return what outputs call a recording: its pseudonym, and its ending unless that may be part of a name.

    >>> called("ward/Doe.EDF", "p1"), called("ward/Doe.Jane", "p2")
    ('p1.EDF', 'p2')
    """
    ending = PurePosixPath(path).suffix
    return pseudonym + (ending if ending.lower() in ALL_ENDINGS else "")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
