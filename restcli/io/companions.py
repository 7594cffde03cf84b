"""The files of one recording: found beside each other, opened only when they are regular files."""

from __future__ import annotations

import io
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from restcli import files
from restcli.errors import RecordingError
from restcli.io.headers import decode

Stamps: TypeAlias = tuple[tuple[int, int], ...]
"""Size in bytes and time in nanoseconds of each file."""

ANY_FORMAT = "a recording in one of the formats that restcli formats lists"
# Headers of other makers are text of some kilobytes; Persyst adds comments.
_LONGEST_HEADER = 2**26


def unreadable(path: str | Path, error: OSError) -> RecordingError:
    """Explain why the system does not give a file."""
    denied = isinstance(error, PermissionError)
    reason = "you have no permission to read it" if denied else error.strerror or type(error).__name__
    return RecordingError(str(path), f"the file cannot be read ({reason})", ANY_FORMAT)


def check_regular(path: Path) -> os.stat_result:
    """Return the status of a file; refuse it unless it is regular or a link to a regular one."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise RecordingError(str(path), "the file does not exist", ANY_FORMAT) from None
    except OSError as error:
        raise unreadable(path, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise RecordingError(
            str(path),
            "this is a folder",
            ANY_FORMAT,
            "Name a file in it, or annotate all of them: restcli batch FOLDER OUT",
        )
    if not stat.S_ISREG(status.st_mode):
        raise RecordingError(str(path), "this is not a regular file", ANY_FORMAT)
    return status


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading, without ever waiting for a FIFO, a socket or a device."""
    check_regular(path)
    try:
        return files.open_regular(path)
    except OSError as error:
        raise unreadable(path, error) from None


@contextmanager
def reading(path: Path) -> Iterator[io.BufferedReader]:
    """Open a regular file while its samples are read; explain what the system refuses."""
    with open_regular(path) as file:
        try:
            yield file
        except OSError as error:
            raise unreadable(path, error) from None


def stamps_of(files: Sequence[Path]) -> Stamps:
    """Return the size and the time of each file as it is now."""
    return tuple((status.st_size, status.st_mtime_ns) for status in map(check_regular, files))


def check_unchanged(files: Sequence[Path], stamps: Stamps) -> None:
    """Refuse files that are not those whose stamps were taken."""
    if stamps_of(files) != stamps:
        raise changed(files[0])


def changed(path: Path) -> RecordingError:
    """Explain that a file is no longer the one that was opened."""
    return RecordingError(str(path), "the file changed while it was read", remedy="Try again when it is closed")


def read_header(path: Path) -> bytes:
    """Read a whole text header."""
    with open_regular(path) as file:
        raw = file.read(_LONGEST_HEADER + 1)
    if len(raw) > _LONGEST_HEADER:
        raise RecordingError(str(path), "the file is too large for a header", ANY_FORMAT)
    return raw


def sibling(path: Path, endings: Iterable[str]) -> Path | None:
    """Return the file beside `path` with the same name and one of the endings, whatever their case, or None."""
    return next((file for ending in endings if (file := find_file(path.with_suffix(ending))) is not None), None)


def siblings(path: Path, endings: Iterable[str]) -> tuple[Path, ...]:
    """Return the files beside `path` that have its name and the endings, without those that are not there."""
    return tuple(file for ending in endings if (file := sibling(path, (ending,))) is not None)


def find_file(path: Path) -> Path | None:
    """Return the file at a path, whatever the case of its name, or None."""
    if path.exists():
        return path
    try:
        status = path.parent.stat()
        # A folder that changed just now may change again within the resolution of its time.
        list_names = _names_in.__wrapped__ if time.time_ns() - status.st_mtime_ns < 2 * 10**9 else _names_in
        found = list_names(path.parent, status.st_mtime_ns).get(path.name.lower(), [])
    except OSError:
        return None
    if len(found) > 1:
        what = f"{len(found)} files beside each other have this name, spelled in different case"
        raise RecordingError(str(path), what, "one of them", "Move the others")
    return path.with_name(found[0]) if found else None


@lru_cache(maxsize=16)
def _names_in(folder: Path, _modified: int) -> dict[str, list[str]]:
    """Return the names of the files of a folder by their names in lower case."""
    names: dict[str, list[str]] = {}
    for file in folder.iterdir():
        names.setdefault(file.name.lower(), []).append(file.name)
    return names


def named_beside(header: Path, name: str, *, endings: Iterable[str]) -> Path | None:
    """Return the file that a header names, if it is there: it lies beside the header, and no other has its name.

    Without the last condition, renamed headers would have the samples of another patient read.
    """
    if re.search(r"[\\/:]", name) or name in {"", ".", ".."}:
        raise RecordingError(
            str(header), "it names a file with a folder", "the names of files that lie beside it", "Correct the header"
        )
    if Path(name).stem == header.stem and header.with_name(name).exists():
        return header.with_name(name)
    named, own = find_file(header.with_name(name)), sibling(header, endings)
    if named is None:
        return own
    what = ""
    if own is not None and not own.samefile(named):
        what = "it names a file other than the one beside it that has its own name"
    elif own is None and (theirs := sibling(named, (header.suffix,))) is not None and not theirs.samefile(header):
        what = "it names a file of another recording, whose header lies beside it"
    elif own is None and _is_named_twice(header, named):
        what = "another header beside it names the same file of samples"
    if what:
        raise RecordingError(str(header), what, "the file that belongs to it", "Correct the header or the names")
    return named


def _is_named_twice(header: Path, named: Path) -> bool:
    """Tell whether another header of the same kind names the same file."""
    others = (
        file for file in header.parent.iterdir() if file.suffix.lower() == header.suffix.lower() and file != header
    )
    return any(named.name.lower() in decode(read_header(file)).lower() for file in others)


def renamed(header: Path, name: str, found: Path) -> tuple[str, ...]:
    """Report a file whose name differs from the header's own, or from what it says."""
    if name and found.name.lower() != name.lower():
        return ("the header names a file of samples that is not there; the one with its own name is read",)
    if found.stem.lower() != header.stem.lower():
        return ("the header has another name than its file of samples",)
    return ()
