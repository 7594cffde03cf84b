"""Errors that a user can act on."""

from __future__ import annotations


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
        parts = [self.what, f"Expected {self.expected}" if self.expected else "", _capitalised(self.remedy)]
        return f"{self.where}: " + " ".join(f"{part.rstrip('.')}." for part in parts if part)


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


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
