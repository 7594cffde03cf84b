"""Events in restcli's JSON: everything, unrounded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError
from restcli.events import Event, Events, Span
from restcli.marks.table import Format, Head, Row, Table, clock_time, decode, label_of, read_bytes


def _matches(head: Head) -> bool:
    return head.first.startswith("{")


def _read(path: Path) -> Table:
    try:
        content = json.loads(decode(read_bytes(path)))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(str(path), "is not valid JSON", "events as restcli writes them") from error
    if content.get("format") != "restcli-events":
        raise AnnotationError(str(path), "holds JSON of another kind", "events as restcli writes them")
    rows = tuple(_row(item, where) for item, where in _items(content, "events", path))
    unscored = []
    for item, where in _items(content, "notScored", path):
        reason = _typed(item, "reason", str, where)
        unscored.append(Span(_number(item, "start", where), _number(item, "stop", where), reason))
    return Table(
        rows,
        _number(content, "recordingDuration", str(path)),
        None if content.get("dateTime") is None else clock_time(_typed(content, "dateTime", str, str(path))),
        looked=True,
        unscored=tuple(unscored),
    )


def _row(item: Mapping[str, Any], where: str) -> Row:
    onset = _number(item, "onset", where)
    names = _typed(item, "channels", list, where)
    if not all(isinstance(name, str) for name in names):
        raise _mistyped("channels", where)
    return Row(
        where,
        onset,
        onset + _number(item, "duration", where),
        label_of(_typed(item, "eventType", str, where), where),
        _probability(item, "confidence", where),
        tuple(names),
        _probability(item, "typeConfidence", where),
    )


def _items(content: Mapping[str, Any], key: str, path: Path) -> list[tuple[Mapping[str, Any], str]]:
    items = _typed(content, key, list, str(path))
    if not all(isinstance(item, dict) for item in items):
        raise _mistyped(key, str(path))
    return [(item, f"{path}, {key}[{index}]") for index, item in enumerate(items)]


def _typed(item: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = item.get(key)
    if not isinstance(value, kind):
        raise _mistyped(key, where)
    return value


def _mistyped(key: str, where: str) -> AnnotationError:
    return AnnotationError(where, f"{key!r} is missing or of the wrong type", "events as restcli writes them")


def _number(item: Mapping[str, Any], key: str, where: str) -> float:
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise _mistyped(key, where)
    return float(value)


def _probability(item: Mapping[str, Any], key: str, where: str) -> float:
    return math.nan if item.get(key) is None else _number(item, key, where)


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
        "notScored": [{"start": span.start, "stop": span.stop, "reason": span.reason} for span in events.unscored],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


FORMATS = (Format("json", "everything, unrounded", (".json",), _matches, _read, _write),)
