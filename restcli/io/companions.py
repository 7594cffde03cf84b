"""The files of one recording: found beside each other, opened only when they are regular files."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from restcli.errors import RecordingError

ANY_FORMAT = "an EDF, BDF, BrainVision, Nihon Kohden, Persyst or EEGLAB recording was expected"


def unreadable(path: str | Path, error: OSError) -> RecordingError:
    """Explain why the system does not give a file."""
    denied = isinstance(error, PermissionError)
    reason = "you have no permission to read it" if denied else error.strerror or type(error).__name__
    return RecordingError(str(path), f"cannot be read ({reason})", ANY_FORMAT, "check the file and its permissions")


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file, or a link to one; a FIFO, a socket or a device is refused without waiting for it."""
    try:
        # Devices may act on being opened, so the first look is from outside; the second closes the race.
        regular = stat.S_ISREG(path.stat().st_mode)
        if regular:
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            descriptor = os.open(path, flags)
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if regular:
                return os.fdopen(descriptor, "rb")
            os.close(descriptor)
    except OSError as error:
        raise unreadable(path, error) from None
    raise RecordingError(str(path), "is not a regular file", ANY_FORMAT)


def sibling(path: Path, endings: Iterable[str]) -> Path | None:
    """Return the file beside `path` that has its name and one of the endings, in lower or upper case."""
    for ending in endings:
        for spelling in (ending, ending.lower(), ending.upper()):
            other = path.with_suffix(spelling)
            if other.exists():
                return other
    return None
