"""Files written whole or not at all, and their hashes; every output of the project goes through here."""

from __future__ import annotations

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


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
