"""Entries of a review journal: what a person decided, checked before it is written or believed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from restcli.errors import UsageError
from restcli.marks.types import SZCORE_TYPE

ACTIONS = ("accept", "reject", "unsure", "edit", "add", "remove", "comment", "read", "undo")
REVIEWER = re.compile(r"[\w.-]{1,40}")
_EVENT = re.compile(r"[eac]\d{1,6}")  # detected, added, control stretch
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UID = re.compile(r"[0-9a-f]{1,40}")
_TIME = re.compile(r"[0-9T:.Z+-]{1,40}")
_LONGEST_COMMENT, _LONGEST_SIDE = 2000, 60


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


_FIELDS = tuple(field.name for field in fields(Entry))


def parse_entry(content: Any, where: str) -> Entry:
    """Check plain values and return them as an entry; UsageError says what is wrong, without quoting free text."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise UsageError(where, "is not an object", "the fields of an entry")
    if unknown := sorted(set(content) - set(_FIELDS)):
        raise UsageError(where, f"{len(unknown)} unknown fields", f"only {', '.join(_FIELDS)}")
    given = {name: value for name, value in content.items() if value is not None}
    for name, pattern in (("reviewer", REVIEWER), ("hash", _DIGEST), ("time", _TIME)):
        _check(isinstance(given.get(name), str) and pattern.fullmatch(given[name]), where, name)
    _check(given.get("action") in ACTIONS, where, "action")
    _check(not given.get("uid") or (isinstance(given["uid"], str) and _UID.fullmatch(given["uid"])), where, "uid")
    _check("seq" in given, where, "seq")
    for name in ("seq", "undoes"):
        _check(name not in given or (type(given[name]) is int and 0 < given[name] < 2**53), where, name)
    for name in ("onset", "stop"):
        _check(name not in given or _is_second(given[name]), where, name)
        given |= {name: float(given[name])} if name in given else {}
    for name, longest in (("comment", _LONGEST_COMMENT), ("side", _LONGEST_SIDE), ("event", 7), ("label", 60)):
        text = given.get(name, "")
        _check(isinstance(text, str) and len(text) <= longest and _is_text(text), where, name)
    _check(not given.get("label") or SZCORE_TYPE.fullmatch(given["label"]), where, "label")
    _check_action(given, where)
    return Entry(**given)


def _check_action(given: Mapping[str, Any], where: str) -> None:
    action, has_limits = given["action"], "onset" in given and "stop" in given
    if action == "undo":
        _check("undoes" in given, where, "undoes")
    if action in {"read", "undo"}:
        return
    _check(_EVENT.fullmatch(given.get("event", "")), where, "event")
    _check(("onset" in given) == ("stop" in given), where, "stop")
    _check(has_limits or action != "add", where, "onset")
    if has_limits:
        _check(given["onset"] < given["stop"], where, "stop")
    if action in {"add", "remove"}:
        _check(given["event"].startswith("a"), where, "event")


def _check(fine: object, where: str, name: str) -> None:
    if not fine:
        raise UsageError(where, f"{name!r} is missing or makes no sense", "an entry as docs/review.md describes it")


def _is_second(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and 0 <= value < 1e9


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return "\x00" not in text
