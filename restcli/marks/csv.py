"""SzCORE's columns separated by commas, with clock times and what was not scored: for spreadsheets."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

from restcli.events import Events
from restcli.marks.szcore import COLUMNS, NOT_SCORED, channels, exact_seconds, probability, read_columns
from restcli.marks.table import Format, Head
from restcli.marks.types import BACKGROUND


def _matches(head: Head) -> bool:
    return {"onset", "duration"} <= head.columns and "\t" not in head.first


def _write(events: Events, stem: str) -> bytes:  # noqa: ARG001
    rows = [
        (
            event.onset,
            event.duration,
            event.label,
            probability(event.confidence, 4),
            channels(event),
            probability(event.label_confidence, 4),
            "",
        )
        for event in events
    ]
    rows = rows or [(0.0, events.duration, BACKGROUND, "n/a", "n/a", "n/a", "")]
    rows += [
        (span.start, span.stop - span.start, NOT_SCORED, "n/a", "n/a", "n/a", span.reason) for span in events.unscored
    ]
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow((*COLUMNS, "typeConfidence", "clock", "reason"))
    start = "n/a" if events.start is None else events.start.isoformat(sep=" ", timespec="milliseconds")
    for onset, duration, kind, confidence, names, certainty, reason in rows:
        clock = "n/a" if events.start is None else f"{events.start + timedelta(seconds=onset):%H:%M:%S}"
        common = (f"{onset:.3f}", f"{duration:.3f}", kind, confidence, names, start)
        table.writerow((*common, exact_seconds(events.duration), certainty, clock, reason))
    return stream.getvalue().encode("utf-8")


FORMATS = (Format("csv", "SzCORE's columns for spreadsheets", (".csv",), _matches, read_columns, _write),)
