"""Events in restcli's JSON: everything, unrounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError
from restcli.events import Event, Events, Span
from restcli.marks.table import Format, Head, Row, Table, clock_time, decode, label_of, read_bytes


def _matches(head: Head) -> bool:
    return head.first.startswith("{") and b"restcli-events" in head.raw


def read_table(path: Path) -> Table:
    """Read a table of events as `_write` makes it."""
    where = str(path)
    try:
        content = json.loads(decode(read_bytes(path)))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(where, "is not valid JSON", "events as restcli writes them") from error
    if content.get("format") != "restcli-events":
        raise AnnotationError(where, "holds JSON of another kind", "events as restcli writes them")
    start = None if content.get("dateTime") is None else _value(content, "dateTime", str, where)
    return Table(
        tuple(row_of(item, place) for item, place in _items(content, "events", where)),
        _value(content, "recordingDuration", float, where),
        clock_time(start),
        looked=True,
        unscored=tuple(span_of(item, place) for item, place in _items(content, "notScored", where)),
    )


def span_of(item: Mapping[str, Any], where: str) -> Span:
    """Read a stretch that was not scored."""
    start, stop = (_value(item, key, float, where) for key in ("start", "stop"))
    return Span(start, stop, _value(item, "reason", str, where))


def _items(content: Mapping[str, Any], key: str, where: str) -> list[tuple[Mapping[str, Any], str]]:
    """Return the objects of a list with their places."""
    items = [(item, f"{where}, {key}[{index}]") for index, item in enumerate(_value(content, key, list, where))]
    if not all(isinstance(item, dict) for item, _ in items):
        raise _mistyped(key, where)
    return items


def row_of(item: Mapping[str, Any], where: str) -> Row:
    """Read an event as `event_to_dict` describes it."""
    onset = _value(item, "onset", float, where)
    names = _value(item, "channels", list, where)
    if not all(isinstance(name, str) for name in names):
        raise _mistyped("channels", where)
    confidence, certainty = (
        math.nan if item.get(key) is None else _value(item, key, float, where)
        for key in ("confidence", "typeConfidence")
    )
    label = label_of(_value(item, "eventType", str, where), where)
    return Row(where, onset, onset + _value(item, "duration", float, where), label, confidence, tuple(names), certainty)


def _value(item: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    """Return a value that must be of a type; a number must be finite."""
    value: Any = item.get(key)
    if kind is float and type(value) in {int, float} and abs(value) < 1e12:
        return float(value)
    if kind is float or not isinstance(value, kind):
        raise _mistyped(key, where)
    return value


def _mistyped(key: str, where: str) -> AnnotationError:
    return AnnotationError(where, f"{key!r} is missing or of the wrong type", "events as restcli writes them")


def event_to_dict(event: Event) -> dict[str, Any]:
    """Turn an event into plain values for JSON: null for what is unknown."""
    return {
        "onset": event.onset,
        "duration": event.duration,
        "eventType": event.label,
        "confidence": None if math.isnan(event.confidence) else event.confidence,
        "channels": list(event.channels),
        "typeConfidence": None if math.isnan(event.label_confidence) else event.label_confidence,
    }


def _write(events: Events, stem: str) -> bytes:  # noqa: ARG001
    content = {
        "format": "restcli-events",
        "version": 1,
        "recordingDuration": events.duration,
        "dateTime": None if events.start is None else events.start.isoformat(),
        "events": [event_to_dict(event) for event in events],
        "notScored": [asdict(span) for span in events.unscored],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


FORMATS = (Format("json", "everything, unrounded", (".json",), _matches, read_table, _write),)
