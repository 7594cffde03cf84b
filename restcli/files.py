"""Files written whole or not at all, and their hashes; every output of the project goes through here."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from restcli.errors import OutputError


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a hidden ``.part`` file for writing and rename it to `path` when the block ends without an error."""
    target = Path(path)
    part = target.with_name(f".{secrets.token_hex(6)}.part")  # several processes may write the same file
    try:
        with part.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        raise OutputError(
            str(path),
            f"could not be written ({error.strerror or error})",
            remedy="Check that the folder exists, is writable and has room",
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def make_folder(path: str | Path) -> Path:
    """Make a folder, and those above it, unless it exists."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder cannot be made ({error.strerror or error})"
        raise OutputError(str(path), what, remedy="Choose another folder") from error
    return Path(path)


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

    def add(self, line: bytes) -> None:
        """Add a line, on the disk when this returns."""
        rest = line + b"\n"
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]
        os.fsync(self.descriptor)


@contextmanager
def appending(path: Path) -> Iterator[LineFile]:
    """Open a file of lines, made if it is missing, and hold its lock, which ends with the process at the latest."""
    try:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_new:
                _sync_folder(path.parent)
            yield LineFile(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        what = f"could not be written ({error.strerror or error})"
        raise OutputError(str(path), what, "a file in a folder with room on the disk that can be written to") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
