"""Entries of a review journal: what a person decided, checked before it is written or believed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from restcli.errors import UsageError
from restcli.marks.types import SZCORE_TYPE

ACTIONS = ("accept", "reject", "unsure", "edit", "add", "remove", "comment", "read", "undo")
REVIEWER = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True)
class Entry:
    """One line of a journal."""

    seq: int  # counted from 1 along the journal
    time: str  # when it was written, UTC; only for people
    reviewer: str  # pseudonym
    hash: str  # of the events and weights that were shown
    action: str  # one of ACTIONS
    event: str = ""  # e1: detected; a1: added by a person; c1: control stretch; empty for read and undo
    onset: float | None = None  # seconds; of an event that is edited or added
    stop: float | None = None
    label: str = ""  # SzCORE type; empty where it is not changed
    side: str = ""
    comment: str = ""
    undoes: int | None = None  # seq of the entry that an undo takes back
    uid: str = ""  # made by the writer, so that one decision that is sent twice is written once

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def _is_text(pattern: str) -> Callable[[Any], object]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value)


def _is_seq(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**53


def _is_second(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and 0 <= value < 1e9


_LETTER = r"[^\0\ud800-\udfff]"  # of free text; no lone surrogates, which UTF-8 does not have
_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "seq": _is_seq,
    "time": _is_text(r"[0-9T:.Z+-]{1,40}"),
    "reviewer": _is_text(REVIEWER.pattern),
    "hash": _is_text(r"[0-9a-f]{64}"),
    "action": lambda value: value in ACTIONS,
    "event": _is_text(r"([eac]\d{1,6})?"),
    "onset": _is_second,
    "stop": _is_second,
    "label": _is_text(rf"(?=.{{0,60}}\Z)({SZCORE_TYPE.pattern})?"),
    "side": _is_text(f"{_LETTER}{{0,60}}"),
    "comment": _is_text(f"{_LETTER}{{0,2000}}"),
    "undoes": _is_seq,
    "uid": _is_text(r"[0-9a-f]{0,40}"),
}  # of the fields of an entry
_REQUIRED = ("seq", "time", "reviewer", "hash", "action")


def parse_entry(content: Any, where: str) -> Entry:
    """Check plain values and return them as an entry; UsageError says what is wrong, without quoting free text."""
    if not isinstance(content, Mapping):
        raise UsageError(where, "is not an object", "the fields of an entry")
    if unknown := content.keys() - _CHECKS.keys():
        raise UsageError(where, f"{len(unknown)} unknown fields", f"only {', '.join(_CHECKS)}")
    given = {name: value for name, value in content.items() if value is not None}
    for name in (*_REQUIRED, *given):
        _check(name in given and _CHECKS[name](given[name]), where, name)
    given |= {name: float(given[name]) for name in ("onset", "stop") if name in given}
    _check_action(given, where)
    return Entry(**given)


def _check_action(given: Mapping[str, Any], where: str) -> None:
    action, has_limits = given["action"], "onset" in given and "stop" in given
    if action == "undo":
        _check("undoes" in given, where, "undoes")
    if action in {"read", "undo"}:
        return
    _check(given.get("event"), where, "event")
    _check(("onset" in given) == ("stop" in given), where, "stop")
    _check(has_limits or action != "add", where, "onset")
    if has_limits:
        _check(given["onset"] < given["stop"], where, "stop")
    if action in {"add", "remove"}:
        _check(given["event"].startswith("a"), where, "event")


def _check(fine: object, where: str, name: str) -> None:
    if not fine:
        raise UsageError(where, f"{name!r} is missing or not valid", "an entry as docs/review.md describes it")
