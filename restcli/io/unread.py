"""Recordings that are recognised but not read, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from restcli.errors import RecordingError


@dataclass(frozen=True)
class Unread:
    """A signal format that restcli does not read."""

    name: str  # for people
    endings: tuple[str, ...]
    why: str
    remedy: str
    probe: Callable[[bytes], bool] = lambda _: False  # tells it from the first bytes of a file


UNREAD = (
    Unread(
        "ANT Neuro",
        (".cnt",),
        "the only library that reads it (antio) crashes on some damaged files, and takes restcli with it",
        "Export it as EDF from the EEG system",
        lambda raw: raw[:4] in (b"RIFF", b"RF64") and raw[8:12] == b"CNT ",
    ),
)


def refuse_unread(path: Path, head: bytes) -> None:
    """Refuse a file by its first bytes in a format that is not read."""
    found = next((kind for kind in UNREAD if kind.probe(head)), None)
    if found is not None:
        what = f"this is a recording in the format {found.name}, which is not read ({found.why})"
        raise RecordingError(str(path), what, remedy=found.remedy)


def why_unread(head: bytes) -> str:
    """Say that a file is a recording that is not read, by its first bytes; empty for others."""
    found = next((kind for kind in UNREAD if kind.probe(head)), None)
    return f"is a recording in the format {found.name}, which is not read" if found is not None else ""
