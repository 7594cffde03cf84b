"""SzCORE / HED-SCORE event tables of BIDS, and the description of their columns (``events.json``)."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError
from restcli.events import Event, Events, Span, merge_events
from restcli.marks.hed import HED_TAGS
from restcli.marks.table import (
    Format,
    Head,
    Row,
    Table,
    channel_names,
    clock_time,
    label_of,
    number,
    optional_number,
    read_cells,
)
from restcli.marks.types import BACKGROUND, names_seizure, resembles_seizure

COLUMNS: dict[str, dict[str, Any]] = {
    "onset": {"Description": "Start of the event, from the start of the recording", "Units": "s"},
    "duration": {"Description": "Duration of the event", "Units": "s"},
    "eventType": {
        "Description": "SzCORE event type; bckg: no seizure detected in the scored part, see the run report",
        "HED": HED_TAGS,
    },
    "confidence": {"Description": "Highest seizure probability in the event after smoothing, 0 to 1"},
    "channels": {"Description": "Nodes involved, most involved first; all: more than two thirds of the nodes"},
    "dateTime": {"Description": "Clock time of the start of the recording"},
    "recordingDuration": {"Description": "Duration of the recording", "Units": "s"},
}
"""Columns of a table of detected events in order, as a BIDS dictionary (``events.json``) describes them."""

SIMULATED_COLUMNS = COLUMNS | {
    "eventType": {
        "Description": "SzCORE event type of the simulated seizure; bckg: the recording has no seizure",
        "HED": HED_TAGS,
    },
    "confidence": {"Description": "n/a: the seizures are known"},
    "channels": {
        "Description": "Electrodes with at least half of the peak field at onset, strongest first; all: most electrodes"
    },
}
"""The same columns where the events are those that were simulated."""

NOT_SCORED = "not scored"
# Columns that name the type, the first of which counts, and others that may say more.
_TYPES = ("eventtype", "trial_type", "event_type")
_OTHER_TYPES = ("hed", "value", "event", "label", "description")


def _matches(head: Head) -> bool:
    return {"onset", "duration"} <= head.columns and "\t" in head.first


def read_columns(path: Path) -> Table:
    """Read a table with SzCORE's columns, separated by tabs or commas."""
    rows, unscored, durations, start = [], [], set[float](), None
    for where, cells in read_cells(path):
        kind = next((cells[name] for name in _TYPES if name in cells), None)
        if kind is None:
            raise AnnotationError(str(path), "there is no column eventType", "the columns " + ", ".join(COLUMNS))
        onset, length = number(cells["onset"], where), optional_number(cells["duration"], where)
        label = label_of(kind, where)
        other = not label.startswith(("sz", BACKGROUND)) and kind != NOT_SCORED
        if not label.startswith("sz") and (
            any(resembles_seizure(cells.get(name, "")) for name in (*_TYPES, *_OTHER_TYPES))
            or (other and any(map(names_seizure, cells.values())))
        ):
            what = "its type does not name a seizure, but another column may"
            raise AnnotationError(where, what, "columns that agree")
        if math.isnan(length) and (label.startswith("sz") or kind == NOT_SCORED):
            raise AnnotationError(where, "the row has no duration", "a duration in seconds")
        if kind == NOT_SCORED:
            unscored.append(Span(onset, onset + length, cells.get("reason", "")))
            continue
        confidence, certainty = (optional_number(cells.get(name), where) for name in ("confidence", "typeconfidence"))
        names = channel_names(cells.get("channels"))
        rows.append(Row(where, onset, onset + length, label, confidence, names, certainty))
        duration = optional_number(cells.get("recordingduration"), where)
        durations |= set() if math.isnan(duration) else {duration}
        start = start or clock_time(cells.get("datetime"))
    if len(durations) > 1:
        raise AnnotationError(str(path), "the rows name several recordingDuration", "one recording in a table")
    return Table(tuple(rows), max(durations, default=None), start, unscored=tuple(unscored))


def _write(events: Events, stem: str) -> bytes:  # noqa: ARG001
    """Write two decimals; widen events under 1 s, which SzCORE's scorer would lose as it works on whole seconds."""
    clock = "n/a" if events.start is None else events.start.isoformat(sep=" ", timespec="seconds")
    whole = exact_seconds(events.duration)
    widened = merge_events([_widened(event, events.duration) for event in events], events.duration)
    rows = [_cells(event, events.duration) for event in widened]
    rows = rows or [("0.00", whole, BACKGROUND, "n/a", "n/a")]
    lines = ["\t".join(COLUMNS), *("\t".join((*cells, clock, whole)) for cells in rows)]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _cells(event: Event, duration: float) -> tuple[str, ...]:
    """Round both ends to 10 ms, so that events stay disjoint and inside the recording."""
    last = math.floor(duration * 100 + 1e-6) / 100
    onset, stop = round(event.onset, 2), min(round(event.stop, 2), last)
    onset = max(0.0, min(onset, stop - 1.0))
    return f"{onset:.2f}", f"{stop - onset:.2f}", event.label, probability(event.confidence), channels(event)


def _widened(event: Event, duration: float) -> Event:
    """Widen an event under 1 s to 1 s, inside the recording."""
    if event.duration >= 1.0:
        return event
    onset = max(0.0, min(event.onset + event.duration / 2 - 0.5, duration - 1.0))
    return replace(event, onset=onset, duration=1.0)


def exact_seconds(seconds: float) -> str:
    """Print with two decimals, or as many (up to six) as keep the value; ``int()`` of it floors as the value does.

    >>> exact_seconds(3600.0), exact_seconds(3599.999), exact_seconds(600.125)
    ('3600.00', '3599.999', '600.125')
    """
    for digits in range(2, 6):
        if abs(round(seconds, digits) - seconds) < 5e-7:
            return f"{seconds:.{digits}f}"
    return f"{seconds:.6f}"


def probability(value: float, digits: int = 2) -> str:
    """Print a probability, ``n/a`` if it is unknown."""
    return "n/a" if math.isnan(value) else f"{value:.{digits}f}"


def channels(event: Event) -> str:
    """List the channels of an event, ``n/a`` if they are unknown."""
    return ",".join(event.channels) if event.channels else "n/a"


FORMATS = (
    Format("tsv", "SzCORE / HED-SCORE events of BIDS", (".tsv",), _matches, read_columns, _write, holds_unscored=False),
)
