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
    stream = io.StringIO()
    columns = (*COLUMNS, "typeConfidence", "clock", "reason")
    table = csv.DictWriter(stream, columns, restval="n/a", lineterminator="\n")
    table.writeheader()
    for event in events:
        cells = {
            "confidence": probability(event.confidence, 4),
            "typeConfidence": probability(event.label_confidence, 4),
        }
        cells |= {"eventType": event.label, "channels": channels(event)}
        table.writerow(_times(event.onset, event.duration, events) | cells)
    if not events.events:
        table.writerow(_times(0.0, events.duration, events) | {"eventType": BACKGROUND})
    for span in events.unscored:
        cells = {"eventType": NOT_SCORED, "reason": span.reason}
        table.writerow(_times(span.start, span.stop - span.start, events) | cells)
    return stream.getvalue().encode("utf-8")


def _times(onset: float, duration: float, events: Events) -> dict[str, str]:
    times = {
        "onset": f"{onset:.3f}",
        "duration": f"{duration:.3f}",
        "recordingDuration": exact_seconds(events.duration),
    }
    if events.start is None:
        return times
    start, clock = events.start, events.start + timedelta(seconds=onset)
    return times | {"dateTime": start.isoformat(sep=" ", timespec="milliseconds"), "clock": f"{clock:%H:%M:%S}"}


FORMATS = (Format("csv", "SzCORE's columns for spreadsheets", (".csv",), _matches, read_columns, _write),)
