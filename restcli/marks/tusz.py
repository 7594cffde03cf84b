"""Tables of the Temple University corpora: csv, csv_bi, and tse and lbl of version 1.5."""

from __future__ import annotations

import math
import re
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.events import Events
from restcli.marks.table import Format, Head, Row, Table, number, numbered_lines, optional_number, read_cells
from restcli.marks.types import BACKGROUND, TUSZ_TYPES

# Other labels of the Temple University corpora: somebody looked, and it is not a seizure.
_NO_SEIZURE = frozenset(
    "bckg (null) null spsw gped pled eybl artf eyem chew shiv musc elpp elst elec calb hphs trip slow intr "
    "eyem_chew eyem_shiv eyem_musc eyem_elec chew_shiv chew_musc chew_elec shiv_musc shiv_elec musc_elec".split()
)


def _matches(head: Head) -> bool:
    return {"channel", "start_time", "stop_time", "label"} <= head.columns


def _label(text: str, where: str) -> str:
    name = text.strip().lower()
    if name not in TUSZ_TYPES and name not in _NO_SEIZURE:
        raise AnnotationError(where, "the label is unknown", "a label of the TUH corpora such as bckg or fnsz")
    return TUSZ_TYPES.get(name, BACKGROUND)


def _read(path: Path) -> Table:
    """Read one row for each channel and event (csv) or for each event on the channel TERM (csv_bi)."""
    rows = []
    for where, cells in read_cells(path):
        channel = cells["channel"].upper()
        onset, stop = number(cells["start_time"], where), number(cells["stop_time"], where)
        label, confidence = _label(cells["label"], where), optional_number(cells.get("confidence"), where)
        rows.append(Row(where, onset, stop, label, confidence, () if channel == "TERM" else (channel,)))
    duration = None
    for where, text in numbered_lines(path):
        if found := re.match(r"#\s*duration\s*=\s*(\S+)", text):
            duration = number(found[1], where)
    return Table(tuple(rows), duration)


def _write(events: Events, stem: str) -> bytes:
    """Write ``seiz`` and ``bckg`` rows that tile what was scored."""
    lines = [
        "# version = csv_v1.0.0",
        f"# bname = {stem.removesuffix('_events')}",
        f"# duration = {events.duration:.4f} secs",
        "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt",
        "#",
        "channel,start_time,stop_time,label,confidence",
    ]
    position = 0.0
    for event in events:
        lines += _background(position, event.onset, events)
        confidence = 1.0 if math.isnan(event.confidence) else event.confidence
        lines.append(f"TERM,{event.onset:.4f},{event.stop:.4f},seiz,{confidence:.4f}")
        position = event.stop
    lines += _background(position, events.duration, events)
    return ("\n".join(lines) + "\n").encode("utf-8")


def _background(start: float, stop: float, events: Events) -> list[str]:
    """Write rows of background between two events, without what was not scored."""
    rows, position = [], start
    gaps = sorted((min(max(span.start, start), stop), min(span.stop, stop)) for span in events.unscored)
    for end, after in [*gaps, (stop, stop)]:
        if round(end - position, 4) > 0:
            rows.append(f"TERM,{position:.4f},{end:.4f},{BACKGROUND},1.0000")
        position = max(position, after)
    return rows


def _version(name: str, head: Head) -> bool:
    return re.sub(r"\s*=\s*", "=", head.first).startswith(f"version={name}")


def _read_tse(path: Path) -> Table:
    """Read start, stop, label and probability; the rows tile the recording."""
    rows = []
    for where, text in numbered_lines(path):
        if text.startswith("#") or text.lower().startswith("version"):
            continue
        cells = text.split()
        if len(cells) not in (3, 4):
            raise AnnotationError(where, f"the row has {len(cells)} cells", "start, stop, label and probability")
        confidence = number(cells[3], where) if len(cells) > 3 else math.nan
        label = _label(cells[2], where)
        rows.append(Row(where, number(cells[0], where), number(cells[1], where), label, confidence))
    return Table(tuple(rows), max((row.stop for row in rows), default=None))


def _read_lbl(path: Path) -> Table:
    """Read marks of channels, each a list of probabilities over numbered symbols."""
    montage: dict[str, str] = {}
    symbols: dict[str, list[str]] = {}
    rows = []
    for where, text in numbered_lines(path):
        key, _, value = (part.strip() for part in text.partition("="))
        if key == "montage":
            index, _, name = value.partition(",")
            montage[index.strip()] = name.partition(":")[0].strip().upper()
        elif key.startswith("symbols"):
            symbols[re.sub(r"\D", "", key)] = re.findall(r"\d+\s*:\s*'([^']*)'", value)
        elif key == "label":
            rows.append(_lbl_row(value, symbols, montage, where))
    return Table(tuple(rows), max((row.stop for row in rows), default=None))


def _lbl_row(value: str, symbols: dict[str, list[str]], montage: dict[str, str], where: str) -> Row:
    found = re.fullmatch(r"\{(\d+),\s*\d+,\s*(\S+),\s*(\S+),\s*([\d-]+),\s*\[([^\]]*)\]\s*\}", value)
    odds = [number(part, where) for part in found[5].split(",")] if found else []
    names = symbols.get(found[1], []) if found else []
    if found is None or len(odds) != len(names):
        raise AnnotationError(where, "the line is not of lbl_v1.0.0", "level, sublevel, start, stop, channel, [odds]")
    label = _label(names[odds.index(max(odds))], where)
    channels = (montage[found[4]],) if found[4] in montage else ()
    return Row(where, number(found[2], where), number(found[3], where), label, max(odds), channels)


FORMATS = (
    Format(
        "csv_bi",
        "TUSZ / NEDC tables, csv and csv_bi",
        (".csv_bi", ".csv"),
        _matches,
        _read,
        _write,
        holds_unscored=False,
    ),
    Format("tse", "TUSZ 1.5, events", (".tse", ".tse_bi"), lambda head: _version("tse", head), _read_tse),
    Format("lbl", "TUSZ 1.5, channels", (".lbl", ".lbl_bi"), lambda head: _version("lbl", head), _read_lbl),
)
