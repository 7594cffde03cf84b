"""All event formats: reading, writing and listing go through here."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from importlib import import_module
from pathlib import Path

from restcli.errors import AnnotationError, OutputError
from restcli.events import Events
from restcli.files import write_atomically
from restcli.marks.table import Format, head_of, to_events
from restcli.marks.types import SZCORE_TYPE

# A new format is a module with a tuple FORMATS and its name in this list.
_MODULES = ("szcore", "tusz", "edfplus", "edfbrowser_xml", "csv", "json", "chbmit", "seizeit")

FORMATS: tuple[Format, ...] = tuple(
    form for name in _MODULES for form in import_module(f"restcli.marks.{name}").FORMATS
)
WRITABLE: dict[str, Format] = {form.name: form for form in FORMATS if form.write is not None}
"""Formats by the name that ``--format`` takes."""

ENDINGS: tuple[str, ...] = tuple(dict.fromkeys(ending for form in FORMATS for ending in form.endings))
"""Endings of tables; of several tables of one recording the first counts."""


def ending_of(path: str | Path) -> str:
    """Return the ending of a file name that a table of events may have, empty if it has none."""
    name = Path(path).name.lower()
    return next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.endswith(ending)), "")


def find_format(path: str | Path) -> Format | None:
    """Return the format of a file by its content, None for a file that is not a table of events."""
    source = Path(path)
    head = head_of(source)
    return next((form for form in FORMATS if form.matches(head)), None)


def lacks_columns(path: Path) -> str:
    """Say which columns keep a table from being read as one of SzCORE's."""
    missing = [name for name in ("onset", "duration", "eventType") if name.lower() not in head_of(path).columns]
    return f"lacks the columns {', '.join(missing)} (between tabs or commas)"


def may_hold_events(path: Path) -> bool:
    """Whether a file is a table of events, or one that cannot be read: `read_events` then says why."""
    try:
        return find_format(path) is not None
    except AnnotationError:
        return True


def read_events(path: str | Path, *, duration: float | None = None, start: datetime | None = None) -> Events:
    """Read the events of one recording in any of `FORMATS`; some hold no `duration` or `start` (UnknownLengthError)."""
    source = Path(path)
    form = find_format(source)
    if form is None:
        known = "; ".join(f"{form.title} ({', '.join(form.endings)})" for form in FORMATS)
        remedy = "Give the folder of the data set if this is a list of many recordings"
        lacking = f"; it {lacks_columns(source)}" if source.suffix.lower() in {".csv", ".tsv"} else ""
        raise AnnotationError(str(source), f"the format of the table is unknown{lacking}", known, remedy)
    return to_events(form.read(source), str(source), duration, start)


def write_events(events: Events, path: str | Path, name: str) -> str:
    """Write events in the format `name`, whole or not at all; return a remark on what the file cannot hold, or ''."""
    target = Path(path)
    form = WRITABLE.get(name)
    if form is None or form.write is None:
        raise OutputError(str(target), f"the format {name!r} is unknown", f"one of {', '.join(WRITABLE)}")
    unknown = [event.label for event in events if not SZCORE_TYPE.fullmatch(event.label)]
    if unknown:
        raise OutputError(
            str(target), f"the event type {unknown[0]!r} is unknown", "a SzCORE type such as sz or sz_foc"
        )
    if events.start is not None:
        events = replace(events, start=events.start.replace(tzinfo=None))
    write_atomically(target, form.write(events, target.stem))
    return form.remark(events)
