"""Errors that a user can act on."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

_DEBUG = "RESTCLI_DEBUG"


class RestError(Exception):
    """A problem that a user can act on.

    Reported as ``{where}: {what}. Expected {expected}. {Remedy}.``
    """

    exit_code = 3

    def __init__(self, where: str, what: str, expected: str = "", remedy: str = "") -> None:
        self.where = where  # file, option or object at fault; never a patient's name or identifier
        self.what = what  # what is wrong, a clause
        self.expected = expected  # continues the sentence "Expected ..."
        self.remedy = remedy  # an imperative sentence, only if it can help
        super().__init__(where, what, expected, remedy)

    def __str__(self) -> str:
        remedy = self.remedy[:1].upper() + self.remedy[1:]
        parts = [self.what, f"Expected {self.expected}" if self.expected else "", remedy]
        return f"{self.where}: " + " ".join(f"{part.rstrip('.')}." for part in parts if part)


class UsageError(RestError):
    """An option or argument that makes no sense."""

    exit_code = 2


class RecordingError(RestError):
    """A recording that cannot be used."""


class WeightsError(RestError):
    """A weights file that cannot be used."""


class AnnotationError(RestError):
    """Expert marks or event tables that cannot be read."""


class OutputError(RestError):
    """An output that could not be written."""


class InternalError(RestError):
    """A fault of restcli itself."""

    exit_code = 70


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def as_rest_error(where: str, error: Exception) -> RestError:
    """Return any exception as an error to print: kind and place, but not its text, which may quote a file."""
    if isinstance(error, RestError):
        return error
    if os.environ.get(_DEBUG):
        traceback.print_exception(error)
    if isinstance(error, OSError) and error.strerror:
        return RestError(str(error.filename or where), f"could not be read or written ({error.strerror})")
    if isinstance(error, MemoryError):
        return RestError(where, "there is not enough memory", remedy="Use a machine with more memory")
    return InternalError(
        where,
        f"unexpected {type(error).__name__} in {_place(error)}",
        remedy=f"This is a bug, please report it; {_DEBUG}=1 shows the traceback",
    )


def _place(error: Exception) -> str:
    """Return the module, line and function of restcli that the exception passed last."""
    package = Path(__file__).resolve().parent
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(package)]
    if not frames:
        return "a library"
    path = Path(frames[-1].filename).relative_to(package.parent).as_posix()
    return f"{path}:{frames[-1].lineno} ({frames[-1].name})"
