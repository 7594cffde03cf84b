"""Files written whole or not at all, read only when they are regular, and their hashes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import stat
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from restcli.errors import OutputError, RestError, UsageError

_PART = re.compile(r"\.[0-9a-f]{12}\.part")
_LARGEST = 1 << 28  # bytes of a table or report


def shipped(folder: str) -> Path:
    """Return a folder that restcli ships: inside the wheel, or beside the package in a checkout."""
    package = Path(str(files("restcli")))
    return package / folder if (package / folder).is_dir() else package.parent / folder


def not_written(where: str | Path, error: OSError) -> OutputError:
    """Return the error to raise when a file cannot be written."""
    what = f"could not be written ({error.strerror or error})"
    return OutputError(str(where), what, remedy="Check that the folder exists, is writable and has room")


@contextmanager
def replacing(path: str | Path, *, part_in: Path | None = None) -> Iterator[BinaryIO]:
    """Open a hidden ``.part`` file, beside `path` or in a folder, and rename it if the block ends without error."""
    target = Path(path)
    folder = part_in or target.parent
    _clear_parts(folder.absolute())
    try:
        with _new_part(folder) as stream:
            try:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                Path(stream.name).replace(target)
            finally:
                with suppress(OSError):
                    Path(stream.name).unlink(missing_ok=True)
    except OSError as error:
        raise not_written(path, error) from error


def _new_part(folder: Path) -> BinaryIO:
    """Make a file of a free name, as several processes may write the same target, and lock it while it is open."""
    while True:
        stream = (folder / f".{secrets.token_hex(6)}.part").open("xb")
        with suppress(OSError):  # a file system without locks, where leftovers stay
            fcntl.flock(stream, fcntl.LOCK_EX)
        if Path(stream.name).exists():  # else another process took it for a leftover before it was locked
            return stream
        stream.close()


@lru_cache(maxsize=1000)
def _clear_parts(folder: Path) -> None:
    """Remove, once per process, what killed processes left in a folder; files that are being written are spared."""
    with suppress(OSError):
        for place in [item for item in folder.iterdir() if _PART.fullmatch(item.name) and not item.is_symlink()]:
            with suppress(OSError), place.open("r+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                place.unlink()


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it, those in hidden folders aside; raise where it cannot be looked into."""
    for place, inside, names in os.walk(folder, onerror=refuse_folder):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names))


def refuse_folder(error: OSError) -> NoReturn:
    """Refuse a folder that cannot be looked into, as `os.walk` passes over it in silence."""
    what, remedy = f"cannot be looked into ({error.strerror})", "Change its permissions, or move it elsewhere"
    raise RestError(str(error.filename), what, "a folder that can be read", remedy) from error


def make_folder(path: str | Path) -> Path:
    """Make a folder, and those above it, unless it exists."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder cannot be made ({error.strerror or error})"
        raise OutputError(str(path), what, remedy="Choose another folder") from error
    return Path(path)


def make_empty_folder(path: str | Path) -> Path:
    """Make a folder unless it exists, and refuse one that holds something."""
    folder = make_folder(path)
    _clear_parts(folder.absolute())
    if any(folder.iterdir()):
        raise OutputError(str(path), "the folder is not empty", "a new or empty folder", "Name another folder")
    return folder


def check_free(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse to write over files that are there, unless the user asked for it."""
    if not overwrite and (taken := [path for path in paths if path.exists() or path.is_symlink()]):
        remedy = "Choose another name or folder, or pass --overwrite"
        raise OutputError(str(taken[0]), "already exists", "a name that is free", remedy)


def check_stem(option: str, name: str) -> None:
    """Refuse a name for outputs that would lead out of their folder."""
    if not name or Path(name).name != name:
        raise UsageError(option, f"{name!r} is not a file name", "a name without folders")


def resolve_output(folder: str | Path, name: str) -> Path:
    """Return the place of an output; raise OutputError if a link leads it out of the folder of outputs."""
    root = Path(folder).resolve()
    place = root / name
    if not place.parent.resolve().is_relative_to(root):
        raise OutputError(str(place.parent), "leads out of the folder of outputs", remedy="Remove the link")
    return place


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Write a file whole or not at all; text is written as UTF-8 with its line ends unchanged."""
    with replacing(path) as stream:
        stream.write(content.encode("utf-8") if isinstance(content, str) else content)
    return Path(path)


class LineFile:
    """A file of lines, open and locked; a last line that a killed process left unfinished is ended, and stays."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        if self.size and os.pread(descriptor, 1, self.size - 1) != b"\n":
            self.add(b"")

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.descriptor).st_size

    def add(self, line: bytes, *, sync: bool = True) -> None:
        """Add a line, on the disk when this returns unless `sync` is off; on an error the file stays as it was."""
        before, rest = self.size, line + b"\n"
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
            if sync:
                os.fsync(self.descriptor)
        except OSError:
            os.ftruncate(self.descriptor, before)
            raise


@contextmanager
def appending(path: Path, *, mode: int = 0o666) -> Iterator[LineFile]:
    """Open a file of lines, made if it is missing, and hold its lock, which ends with the process at the latest."""
    try:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
        try:
            _check_regular(os.fstat(descriptor))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_new:
                _sync_folder(path.parent)
            yield LineFile(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise not_written(path, error) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a regular file, or the one that a link leads to, for reading; OSError for a FIFO, a socket or a device."""
    _check_regular(Path(path).stat())  # from outside, because devices may act on being opened
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        _check_regular(os.fstat(descriptor))  # what was opened, in case the name has changed hands
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")


def read_regular(path: str | Path) -> bytes:
    """Read a regular file; OSError when there is none that can be read, or when it is far too large for a table."""
    with open_regular(path) as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(errno.EFBIG, "the file is too large")
    return content


def read_json(path: str | Path) -> Any:
    """Read a JSON file; whatever its content, it raises nothing but OSError and ValueError."""
    try:
        return json.loads(read_regular(path).decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_toml(path: str | Path, expected: str, *, quoted: bool = True) -> dict[str, Any]:
    """Read a user's file of TOML; the UsageError when that cannot be done may quote it only if `quoted`."""
    try:
        return tomllib.loads(read_regular(path).decode("utf-8"))
    except OSError as error:
        raise UsageError(str(path), f"cannot be read ({error.strerror})", "a TOML file that can be read") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(str(path), f"is not TOML ({error})" if quoted else "is not TOML", expected) from None


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
