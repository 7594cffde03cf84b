"""SzCORE's columns separated by commas, with clock times and what was not scored: for spreadsheets."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

from restcli.events import Events
from restcli.marks.szcore import COLUMNS, NOT_SCORED, channels, exact_seconds, probability, read_columns
from restcli.marks.table import Format, Head
from restcli.marks.types import BACKGROUND
from restcli.text import spreadsheet_cell


def _matches(head: Head) -> bool:
    return {"onset", "duration"} <= head.columns and "\t" not in head.first


def _write(events: Events, stem: str) -> bytes:  # noqa: ARG001
    stream = io.StringIO()
    columns = (*COLUMNS, "typeConfidence", "clock", "reason")
    table = csv.DictWriter(stream, columns, restval="n/a", lineterminator="\n")
    table.writeheader()
    times = {"recordingDuration": exact_seconds(events.duration)}
    if events.start is not None:
        times["dateTime"] = events.start.isoformat(sep=" ", timespec="milliseconds")

    def write(onset: float, duration: float, **cells: str) -> None:
        if events.start is not None:
            cells["clock"] = f"{events.start + timedelta(seconds=onset):%H:%M:%S}"
        table.writerow({"onset": f"{onset:.3f}", "duration": f"{duration:.3f}"} | times | cells)

    for event in events:
        sure = {"confidence": event.confidence, "typeConfidence": event.label_confidence}
        cells = {name: probability(value, 4) for name, value in sure.items()}
        write(event.onset, event.duration, eventType=event.label, channels=spreadsheet_cell(channels(event)), **cells)
    if not events.events:
        write(0.0, events.duration, eventType=BACKGROUND)
    for span in events.unscored:
        write(span.start, span.stop - span.start, eventType=NOT_SCORED, reason=span.reason)
    return stream.getvalue().encode("utf-8")


FORMATS = (Format("csv", "SzCORE's columns for spreadsheets", (".csv",), _matches, read_columns, _write),)
