"""Read the marks of experts and write event tables; knows annotation formats, neither signals nor models."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import os
import re
import struct
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError, OutputError
from restcli.events import Event, Events, merge_events

KINDS = ("tsv", "csv_bi", "edf", "xml", "csv", "json")
"""Forms in which `write_events` writes."""

BACKGROUND = "bckg"
COLUMNS = {
    "onset": {"Description": "Begin of the event, from the start of the recording", "Units": "s"},
    "duration": {"Description": "Length of the event", "Units": "s"},
    "eventType": {"Description": "SzCORE event type; bckg: none found in what was scored, see the run report"},
    "confidence": {"Description": "Mean probability of the event, 0 to 1"},
    "channels": {"Description": "Nodes involved; all: everywhere"},
    "dateTime": {"Description": "Clock time of the start of the recording"},
    "recordingDuration": {"Description": "Length of the recording", "Units": "s"},
}
"""Columns of a SzCORE table in order, with what a BIDS dictionary (``events.json``) says of each."""

_TYPE = re.compile(r"sz(_[A-Za-z0-9]+)*")
_DAY = 86400.0
_SLACK = 1.0  # s; tables round, and headers round otherwise
_UNKNOWN_START = datetime(1985, 1, 1)  # what EDF software writes for an anonymised start

# Mapping of epilepsy2bids 0.0.7 (load_annotations/tuh.py). NEDC's own binary tables count nesz as seiz.
_TUSZ_TYPES = {
    "seiz": "sz",
    "fnsz": "sz_foc",
    "gnsz": "sz_gen",
    "spsz": "sz_foc_a",
    "cpsz": "sz_foc_ia",
    "absz": "sz_gen_nm",
    "tnsz": "sz_gen_m_tonic",
    "cnsz": "sz_gen_m_clonic",
    "tcsz": "sz_gen_m_tonicClonic",
    "atsz": "sz_gen_m_atonic",
    "mysz": "sz_gen_nm_myoclonic",
    "nesz": "sz",
}
# Other marks of the Temple University corpora: looked at, and not a seizure.
_TUSZ_OTHER = frozenset(
    "bckg (null) null spsw gped pled eybl artf eyem chew shiv musc elpp elst elec calb hphs trip slow intr "
    "eyem_chew eyem_shiv eyem_musc eyem_elec chew_shiv chew_musc chew_elec shiv_musc shiv_elec musc_elec".split()
)
_SEIZEIT_TYPES = {"fia": "sz_foc_ia", "fias": "sz_foc_ia", "fa": "sz_foc_a", "f-btc": "sz_foc_f2b"}
# SeizeIT1 gives no end for twelve seizures; its BIDS release counts them as 30 s (epilepsy2bids, seizeit.py).
_OPEN_SECONDS, _OPEN_CONFIDENCE = 30.0, 0.5


class UnknownLengthError(AnnotationError):
    """Marks that do not say how long their recording is, or when it began, where that is needed."""


@dataclass(frozen=True)
class _Row:
    """One mark as the file gives it; `label` is a SzCORE type, ``bckg`` or something else that is ignored.

    With `open_end` the stop is a guess that may lie beyond the recording.
    """

    line: int
    onset: float
    stop: float
    label: str
    confidence: float = math.nan
    channels: tuple[str, ...] = ()
    label_confidence: float = math.nan
    open_end: bool = False


@dataclass(frozen=True)
class _Table:
    """All marks of one file; `looked` says that an empty table means 'none found'."""

    rows: tuple[_Row, ...]
    duration: float | None = None
    start: datetime | None = None
    looked: bool = False


# ---------------------------------------------------------------------------------------------- writing


def write_events(events: Events, path: str | Path, kind: str) -> None:
    """Write one recording's events, whole or not at all.

    Parameters
    ----------
    events : Events
        What was found; empty means 'looked, found none' and is written as such.
    path : str or Path
        Target file; its folder must exist.
    kind : {'tsv', 'csv_bi', 'edf', 'xml', 'csv', 'json'}
        ``tsv`` SzCORE; ``csv_bi`` TUSZ/NEDC, one ``TERM`` channel; ``edf`` annotation-only EDF+; ``xml`` EDFbrowser;
        ``csv`` the SzCORE columns with clock times, for spreadsheets; ``json`` everything, unrounded.

    Raises
    ------
    OutputError
        If `kind` is unknown, an event type is not SzCORE's, or the file cannot be written.

    Notes
    -----
    Seconds are rounded to 10 ms in ``tsv``, .1 ms in ``csv_bi`` and ``edf``, .1 us in ``xml`` and 1 ms in ``csv``.
    In ``tsv`` an event shorter than 1 s is widened to 1 s around its middle, because the SzCORE scorer works on whole
    seconds and would lose it; ``recordingDuration`` has as many decimals as it needs to floor to the true second.
    No form holds anything about the patient.

    References
    ----------
    .. [1] Dan et al., "SzCORE: seizure community open-source research evaluation framework", Epilepsia, 2024.
    .. [2] Kemp and Olivan, "European data format 'plus' (EDF+)", Clin Neurophysiol 114, 2003.
    """
    target = Path(path)
    writer = _WRITERS.get(kind)
    if writer is None:
        raise OutputError(str(target), f"unknown kind {kind!r}", "one of " + ", ".join(KINDS))
    for event in events:
        if not _TYPE.fullmatch(event.label):
            raise OutputError(str(target), f"event type {event.label!r}", "a SzCORE event type such as sz or sz_foc")
    write_whole(target, writer(events, target))


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: to ``name.part`` in the same folder, then rename.

    Parameters
    ----------
    path : str or Path
        Target file.
    data : bytes
        Its whole content.

    Raises
    ------
    OutputError
        If the disk is full, the folder is missing or may not be written to; nothing is left behind, and a file that
        was there before is untouched.
    """
    target = Path(path)
    part = target.with_name(target.name + ".part")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        reason = error.strerror or type(error).__name__
        raise OutputError(str(target), reason, "a folder that can be written to", "choose another --out") from error
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _write_tsv(events: Events, path: Path) -> bytes:  # noqa: ARG001
    """Write SzCORE's table: LF, two decimals, ``n/a``, one bckg row when nothing was found."""
    clock = "n/a" if events.start is None else events.start.strftime("%Y-%m-%d %H:%M:%S")
    whole = _decimals(events.duration)
    lines = ["\t".join(COLUMNS)]
    rows = [_tsv_cells(event, events.duration) for event in _widen(events)]
    rows = rows or [("0.00", whole, BACKGROUND, "n/a", "n/a")]
    lines.extend("\t".join((*cells, clock, whole)) for cells in rows)
    return ("\n".join(lines) + "\n").encode("utf-8")


def _tsv_cells(event: Event, duration: float) -> tuple[str, ...]:
    """Round both ends to 10 ms, so that events stay disjoint and inside the recording."""
    last = math.floor(duration * 100 + 1e-6) / 100
    onset, stop = round(event.onset, 2), min(round(event.stop, 2), last)
    onset = max(0.0, min(onset, stop - 1.0))
    return (f"{onset:.2f}", f"{stop - onset:.2f}", event.label, _confidence(event.confidence), _channels(event))


def _widen(events: Events) -> Events:
    """Widen events under 1 s to 1 s, inside the recording; those that then touch become one."""
    if all(event.duration >= 1.0 for event in events):
        return events
    widened = []
    for event in events:
        if event.duration < 1.0:
            onset = min(max(0.0, event.onset + event.duration / 2 - 0.5), max(0.0, events.duration - 1.0))
            event = replace(event, onset=onset, duration=1.0)  # noqa: PLW2901
        widened.append(event)
    return merge_events(widened, events.duration, events.start)


def _decimals(seconds: float) -> str:
    """Print with two decimals, or as many (up to six) as keep the value; ``int()`` of it floors as the value does.

    Examples
    --------
    >>> _decimals(3600.0), _decimals(3599.999), _decimals(600.125)
    ('3600.00', '3599.999', '600.125')
    """
    for digits in range(2, 6):
        if abs(round(seconds, digits) - seconds) < 5e-7:
            return f"{seconds:.{digits}f}"
    return f"{seconds:.6f}"


def _confidence(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}"


def _channels(event: Event) -> str:
    return ",".join(event.channels) if event.channels else "n/a"


def _write_csv(events: Events, path: Path) -> bytes:  # noqa: ARG001
    """Write the columns of SzCORE separated by commas, with clock time and type confidence."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow((*COLUMNS, "typeConfidence", "clock"))
    start = "n/a" if events.start is None else events.start.isoformat(sep=" ", timespec="milliseconds")
    whole = _decimals(events.duration)
    for event in events:
        clock = "n/a" if events.start is None else f"{events.start + timedelta(seconds=event.onset):%H:%M:%S}"
        table.writerow(
            (
                f"{event.onset:.3f}",
                f"{event.duration:.3f}",
                event.label,
                "n/a" if math.isnan(event.confidence) else f"{event.confidence:.4f}",
                _channels(event),
                start,
                whole,
                "n/a" if math.isnan(event.label_confidence) else f"{event.label_confidence:.4f}",
                clock,
            )
        )
    if not events.events:
        clock = "n/a" if events.start is None else f"{events.start:%H:%M:%S}"
        table.writerow(("0.000", whole, BACKGROUND, "n/a", "n/a", start, whole, "n/a", clock))
    return stream.getvalue().encode("utf-8")


def _write_csv_bi(events: Events, path: Path) -> bytes:
    """Write TUSZ's binary table: ``seiz`` and ``bckg`` rows tile what was scored, on the one channel TERM."""
    lines = [
        "# version = csv_v1.0.0",
        f"# bname = {path.stem.removesuffix('_events')}",
        f"# duration = {events.duration:.4f} secs",
        "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt",
        "#",
        "channel,start_time,stop_time,label,confidence",
    ]
    position = 0.0
    for event in events:
        lines += _background_rows(position, event.onset, events)
        confidence = 1.0 if math.isnan(event.confidence) else event.confidence
        lines.append(f"TERM,{event.onset:.4f},{event.stop:.4f},seiz,{confidence:.4f}")
        position = event.stop
    lines += _background_rows(position, events.duration, events)
    return ("\n".join(lines) + "\n").encode("utf-8")


def _background_rows(start: float, stop: float, events: Events) -> list[str]:
    """Rows of background between two events; what was not scored is left out, for nothing is known of it."""
    rows, position = [], start
    for span in (*sorted(events.unscored, key=lambda s: s.start), None):
        end = stop if span is None else min(max(span.start, start), stop)
        if round(end - position, 4) > 0:
            rows.append(f"TERM,{position:.4f},{end:.4f},{BACKGROUND},1.0000")
        if span is not None:
            position = max(position, min(span.stop, stop))
    return rows


def _marks(events: Events) -> list[tuple[float, float, str]]:
    """Onset, duration and text of each event; one bckg mark over everything when nothing was found."""
    marks = []
    for event in events:
        parts = [event.label, _confidence(event.confidence), _channels(event)]
        while parts[-1] == "n/a":
            parts.pop()
        marks.append((event.onset, event.duration, " | ".join(parts)))
    marks = marks or [(0.0, events.duration, BACKGROUND)]
    return marks + [(span.start, span.stop - span.start, f"not scored: {span.reason}") for span in events.unscored]


def _write_edf(events: Events, path: Path) -> bytes:  # noqa: ARG001
    """Write an annotation-only EDF+ file that starts when the recording does."""
    import edfio

    marks = [edfio.EdfAnnotation(round(onset, 4), round(length, 4), text) for onset, length, text in _marks(events)]
    begin = events.start or _UNKNOWN_START
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a start between two whole seconds is meant
        file = edfio.Edf(
            [],
            patient=edfio.Patient(),
            recording=edfio.Recording(startdate=None if events.start is None else begin.date()),
            starttime=begin.time().replace(tzinfo=None),
            annotations=marks,
        )
        return bytes(file.to_bytes())


def _write_xml(events: Events, path: Path) -> bytes:  # noqa: ARG001
    """Write EDFbrowser's annotation list: clock times, at least one annotation, a declared encoding."""
    root = ET.Element("annotationlist")
    begin = events.start or _UNKNOWN_START
    for onset, length, description in _marks(events):
        annotation = ET.SubElement(root, "annotation")
        whole, ticks = divmod(round(onset * 1e7) + begin.microsecond * 10, 10_000_000)
        clock = begin.replace(microsecond=0, tzinfo=None) + timedelta(seconds=whole)
        ET.SubElement(annotation, "onset").text = f"{clock:%Y-%m-%dT%H:%M:%S}.{ticks:07d}"
        ET.SubElement(annotation, "duration").text = f"{length:.4f}"
        ET.SubElement(annotation, "description").text = description
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _write_json(events: Events, path: Path) -> bytes:  # noqa: ARG001
    """Write everything unrounded; null for what is not known."""
    content = {
        "format": "restcli-events",
        "version": 1,
        "recordingDuration": events.duration,
        "dateTime": None if events.start is None else events.start.isoformat(),
        "events": [event_to_dict(event) for event in events],
        "notScored": [{"start": s.start, "stop": s.stop, "reason": s.reason} for s in events.unscored],
    }
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def event_to_dict(event: Event) -> dict[str, Any]:
    """Turn an event into plain values for JSON: null for what is not known.

    Parameters
    ----------
    event : Event
        Seconds from the start of the recording.

    Returns
    -------
    dict
        Keys onset, duration, eventType, confidence, channels, typeConfidence.
    """
    return {
        "onset": event.onset,
        "duration": event.duration,
        "eventType": event.label,
        "confidence": None if math.isnan(event.confidence) else event.confidence,
        "channels": list(event.channels),
        "typeConfidence": None if math.isnan(event.label_confidence) else event.label_confidence,
    }


_WRITERS: dict[str, Callable[[Events, Path], bytes]] = {
    "tsv": _write_tsv,
    "csv_bi": _write_csv_bi,
    "edf": _write_edf,
    "xml": _write_xml,
    "csv": _write_csv,
    "json": _write_json,
}


# ---------------------------------------------------------------------------------------------- reading


def read_events(path: str | Path, *, duration: float | None = None, start: datetime | None = None) -> Events:
    """Read the marks of one recording, whatever common form they are in.

    Parameters
    ----------
    path : str or Path
        SzCORE/BIDS events TSV, TUSZ ``csv``, ``csv_bi``, ``tse`` or ``lbl``, CHB-MIT ``.seizures``, SeizeIT TSV, an
        EDF+ or BDF+ file with annotations, EDFbrowser XML, or this program's CSV or JSON.
    duration : float or None
        Seconds of the recording; needed by the forms that do not hold it.
    start : datetime or None
        Clock time of the recording's start; needed by EDFbrowser XML, whose onsets are clock times.

    Returns
    -------
    Events
        Overlapping marks are joined. Empty only when the file says that someone looked and found nothing.

    Raises
    ------
    AnnotationError
        If the file cannot be understood, holds no row at all (nobody looked), speaks of a recording of another
        length, or marks something outside it.
    UnknownLengthError
        If `duration` or `start` is needed.
    """
    source = Path(path)
    table = _reader_for(source, _read_bytes(source, 65536))(source, start)
    return _to_events(table, str(source), duration, start)


def _read_bytes(path: Path, limit: int = -1) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(limit)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AnnotationError(str(path), reason, "a readable file of marks") from error
    if not data.strip():
        raise AnnotationError(str(path), "an empty file", "marks, or a row that says that none were found")
    return data


def _read_text(path: Path) -> str:
    return _decode(_read_bytes(path))


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


_Reader = Callable[[Path, datetime | None], _Table]


def _reader_for(path: Path, head: bytes) -> _Reader:
    """Choose by content where content speaks, else by name."""
    if head[:8] in {b"0       ", b"\xffBIOSEMI"}:
        return _read_edf
    if path.suffix == ".seizures":
        return _read_wfdb
    text = _decode(head)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    content = [line for line in lines if not line.startswith("#")]
    first = re.sub(r"\s*=\s*", " = ", content[0]).lower() if content else ""
    if first.startswith("{"):
        return _read_json
    if first.startswith(("<?xml", "<annotationlist")):
        return _read_xml
    if first.startswith("version = tse"):
        return _read_tse
    if first.startswith("version = lbl"):
        return _read_lbl
    columns = {name.strip() for name in re.split(r"[,\t]", first)}
    if {"channel", "start_time", "stop_time", "label"} <= columns:
        return _read_tusz
    if {"onset", "duration"} <= columns:
        return _read_columns
    if any("seizeit" in line.lower() for line in lines[:3]) or path.stem.endswith("_a1"):
        return _read_seizeit
    raise AnnotationError(str(path), "marks in a form that is not known", _KNOWN, _summary_hint(first, text))


_KNOWN = "SzCORE TSV, TUSZ csv/csv_bi/tse/lbl, CHB-MIT .seizures, SeizeIT TSV, EDF+, EDFbrowser XML, CSV or JSON"


def _summary_hint(first: str, text: str) -> str:
    if first.startswith("data sampling rate") or "Registration start time" in text:
        return "give the folder: this list speaks of many recordings"
    return "see the list of forms in the documentation"


def _to_events(table: _Table, where: str, duration: float | None, start: datetime | None) -> Events:
    """Check the rows against the recording and join what overlaps."""
    length = duration if duration is not None else table.duration
    if length is None:
        raise UnknownLengthError(where, "no duration of the recording in it", "the recording", "give the recording too")
    if table.duration is not None and abs(table.duration - length) > _SLACK:
        raise AnnotationError(
            where,
            f"marks of a recording of {table.duration:.2f} s",
            f"marks of one of {length:.2f} s",
            "check that both belong together",
        )
    seizures = [row for row in table.rows if row.label.startswith("sz")]
    looked = table.looked or any(row.label == BACKGROUND for row in table.rows)
    if not seizures and not looked:
        what = "no row that speaks of seizures" if table.rows else "no rows"
        expected = "seizure rows, or a bckg row that says that none were found"
        raise AnnotationError(where, what, expected, "settle whether anyone looked; it is never taken as background")
    for row in seizures:
        _check_row(row, where, length)
    events = [
        Event(row.onset, row.stop - row.onset, row.label, row.confidence, row.channels, row.label_confidence)
        for row in seizures
    ]
    result = merge_events(events, length, start if start is not None else table.start)
    if seizures and not result.events:
        raise AnnotationError(f"{where}, line {seizures[0].line}", "a seizure without length", "stop after onset")
    return result


def _check_row(row: _Row, where: str, length: float) -> None:
    place = f"{where}, line {row.line}" if row.line else where
    if not (math.isfinite(row.onset) and math.isfinite(row.stop)):
        raise AnnotationError(place, "a time that is no number", "onset and stop in seconds")
    if row.onset < 0 or row.stop < row.onset:
        raise AnnotationError(place, f"a seizure from {row.onset:.2f} to {row.stop:.2f} s", "0 <= onset <= stop")
    if max(row.onset, 0.0 if row.open_end else row.stop) > length + _SLACK:
        raise AnnotationError(
            place,
            f"a seizure that ends at {row.stop:.2f} s",
            f"an end inside the recording of {length:.2f} s",
            "check that marks and recording belong together",
        )


def _number(text: str, path: Path, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise AnnotationError(f"{path}, line {line}", f"{text.strip()!r} where a number should be", "seconds") from None


def _maybe(text: str | None, path: Path, line: int) -> float:
    """Return a number, or NaN for ``n/a`` and blanks."""
    if text is None or text.strip().lower() in {"", "n/a", "na", "nan", "none"}:
        return math.nan
    return _number(text, path, line)


def _names(text: str | None) -> tuple[str, ...]:
    if text is None or text.strip().lower() in {"", "n/a", "na", "nan", "none"}:
        return ()
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _clock(text: str | None) -> datetime | None:
    if text is None or text.strip().lower() in {"", "n/a", "na", "nan", "none"}:
        return None
    with suppress(ValueError):
        return datetime.fromisoformat(text.strip())
    return None


def _read_columns(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read a table with SzCORE's columns, separated by tabs or commas."""
    lines = _read_text(path).splitlines()
    above = next(index for index, text in enumerate(lines) if text.strip() and not text.startswith("#"))
    header = lines[above]
    reader = csv.DictReader(lines[above:], delimiter="\t" if "\t" in header else ",")
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    kind = next((name for name in ("eventType", "trial_type", "event_type") if name in names), None)
    if kind is None:
        raise AnnotationError(str(path), "no column eventType", "the columns " + ", ".join(COLUMNS))
    rows, durations, clock = [], set(), None
    for cells in reader:
        line = reader.line_num + above
        if None in cells or None in cells.values():
            raise AnnotationError(f"{path}, line {line}", "too few or too many cells", f"{len(names)} cells")
        onset = _number(cells["onset"], path, line)
        length = _maybe(cells["duration"], path, line)
        label = _event_type(cells[kind].strip())
        confidence = _maybe(cells.get("confidence"), path, line)
        certainty = _maybe(cells.get("typeConfidence"), path, line)
        rows.append(_Row(line, onset, onset + length, label, confidence, _names(cells.get("channels")), certainty))
        whole = _maybe(cells.get("recordingDuration"), path, line)
        durations |= set() if math.isnan(whole) else {whole}
        clock = clock or _clock(cells.get("dateTime"))
    if durations and max(durations) - min(durations) > 1e-6:
        raise AnnotationError(str(path), "several recordingDuration", "one recording in a table")
    return _Table(tuple(rows), durations.pop() if durations else None, clock)


def _event_type(text: str) -> str:
    """Take SzCORE's types, with the hyphens of its documentation, and the word seizure; leave others as they are."""
    label = text.replace("-", "_")
    if _TYPE.fullmatch(label):
        return label
    if text.lower() in {"seizure", "seiz"}:
        return "sz"
    return BACKGROUND if text.lower() in {"bckg", "background"} else f"other:{text}"


def _read_tusz(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read TUSZ's csv (one row a channel and event) and csv_bi (one channel, TERM)."""
    rows, duration, columns = [], None, None
    for line, text in enumerate(_read_text(path).splitlines(), 1):
        found = re.match(r"#\s*duration\s*=\s*([\d.]+)", text)
        if found:
            duration = _number(found[1], path, line)
        if not text.strip() or text.startswith("#"):
            continue
        cells = [cell.strip() for cell in text.split(",")]
        if columns is None:
            columns = [cell.lower() for cell in cells]
            continue
        if len(cells) != len(columns):
            raise AnnotationError(f"{path}, line {line}", f"{len(cells)} cells", f"{len(columns)} cells")
        row = dict(zip(columns, cells, strict=True))
        channels = () if row["channel"].upper() == "TERM" else (row["channel"].upper(),)
        rows.append(
            _Row(
                line,
                _number(row["start_time"], path, line),
                _number(row["stop_time"], path, line),
                _tusz_type(row["label"], path, line),
                _maybe(row.get("confidence"), path, line),
                channels,
            )
        )
    return _Table(tuple(rows), duration)


def _tusz_type(label: str, path: Path, line: int) -> str:
    name = label.strip().lower()
    if name in _TUSZ_TYPES:
        return _TUSZ_TYPES[name]
    if name in _TUSZ_OTHER:
        return BACKGROUND
    raise AnnotationError(f"{path}, line {line}", f"label {label!r}", "a label of the TUH corpora such as bckg or fnsz")


def _read_tse(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read TUSZ 1.5's tse: start, stop, label, probability; its rows tile the recording."""
    rows = []
    for line, text in enumerate(_read_text(path).splitlines(), 1):
        if not text.strip() or text.startswith("#") or text.lower().startswith("version"):
            continue
        cells = text.split()
        if len(cells) not in (3, 4):
            raise AnnotationError(f"{path}, line {line}", f"{len(cells)} cells", "start stop label probability")
        onset, stop = _number(cells[0], path, line), _number(cells[1], path, line)
        confidence = _number(cells[3], path, line) if len(cells) > 3 else math.nan
        rows.append(_Row(line, onset, stop, _tusz_type(cells[2], path, line), confidence))
    return _Table(tuple(rows), max((row.stop for row in rows), default=None))


def _read_lbl(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read TUSZ 1.5's lbl: per-channel marks as a list of probabilities over named symbols."""
    montage: dict[int, str] = {}
    symbols: dict[int, dict[int, str]] = {}
    rows = []
    for line, text in enumerate(_read_text(path).splitlines(), 1):
        key, _, value = (part.strip() for part in text.partition("="))
        try:
            if key == "montage":
                number, _, name = value.partition(",")
                montage[int(number)] = name.partition(":")[0].strip().upper()
            elif key.startswith("symbols"):
                symbols[int(re.sub(r"\D", "", key))] = ast.literal_eval(value)
            elif key == "label":
                level, _, onset, stop, channel, odds = ast.literal_eval("[" + value.strip("{}") + "]")
                best = max(range(len(odds)), key=odds.__getitem__)
                label = _tusz_type(symbols[level][best], path, line)
                names = (montage[channel],) if channel in montage else ()
                rows.append(_Row(line, float(onset), float(stop), label, float(odds[best]), names))
        except (ValueError, SyntaxError, KeyError, TypeError):
            raise AnnotationError(f"{path}, line {line}", "a line that is not lbl", "lbl_v1.0.0") from None
    return _Table(tuple(rows), max((row.stop for row in rows), default=None))


def _read_seizeit(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read SeizeIT1's marks: comments, then start, stop, type, comment; no rows means that none were found."""
    rows = []
    for line, text in enumerate(_read_text(path).splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) < 3:
            raise AnnotationError(f"{path}, line {line}", f"{len(cells)} cells", "start, stop, type, comment")
        onset, stop, confidence = _number(cells[0], path, line), _maybe(cells[1], path, line), math.nan
        open_end = math.isnan(stop)
        if open_end:
            stop, confidence = onset + _OPEN_SECONDS, _OPEN_CONFIDENCE
        label = _SEIZEIT_TYPES.get(cells[2].lower())
        if label is None:
            raise AnnotationError(f"{path}, line {line}", f"type {cells[2]!r}", "FIA, FA or F-BTC")
        rows.append(_Row(line, onset, stop, label, confidence, open_end=open_end))
    return _Table(tuple(rows), looked=True)


def _read_json(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read this program's JSON."""
    try:
        content = json.loads(_read_text(path))
        if content["format"] != "restcli-events":
            raise KeyError("format")
        rows = tuple(
            _Row(
                0,
                float(item["onset"]),
                float(item["onset"]) + float(item["duration"]),
                _event_type(item["eventType"]),
                math.nan if item["confidence"] is None else float(item["confidence"]),
                tuple(item["channels"]),
                math.nan if item["typeConfidence"] is None else float(item["typeConfidence"]),
            )
            for item in content["events"]
        )
        return _Table(rows, float(content["recordingDuration"]), _clock(content["dateTime"]), looked=True)
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(str(path), "JSON of another kind", "events as restcli writes them") from error


# ------------------------------------------------------------------------------- marks as free text


_SEIZURE = re.compile(r"(?<![a-z])(sz|seiz)", re.IGNORECASE)
_DENIED = re.compile(r"\b(no|not|non|post|pseudo\w*|psychogenic|without|previous|history|last)\b", re.IGNORECASE)
_OPENS = re.compile(r"(?<![a-z])(onset|start\w*|begin\w*|on)\b", re.IGNORECASE)
_CLOSES = re.compile(r"(?<![a-z])(end\w*|stop\w*|offset|off|over|finish\w*)\b", re.IGNORECASE)


def _text_rows(marks: Sequence[tuple[float, float, str]], where: str) -> tuple[_Row, ...]:
    """Turn annotations with free text into rows; a mark without length must be one of a pair of start and end."""
    rows: list[_Row] = []
    opened: float | None = None
    for onset, length, whole in marks:
        text, _, channel = whole.partition("@@")
        parts = [part.strip() for part in text.split("|")]
        label = _event_type(parts[0])
        if label == BACKGROUND:
            rows.append(_Row(0, onset, onset + length, BACKGROUND))
            continue
        if label.startswith("other:"):
            if not _SEIZURE.search(text) or _DENIED.search(text):
                continue
            label = "sz"
        if length <= 0 and _CLOSES.search(text) and opened is not None:
            rows.append(_Row(0, opened, onset, "sz"))
            opened = None
        elif length <= 0 and _OPENS.search(text) and opened is None:
            opened = onset
        elif length <= 0:
            raise AnnotationError(
                where,
                f"a seizure mark at {onset:.2f} s without a length",
                "a duration, or a pair of marks such as 'seizure start' and 'seizure end'",
                "give it a length",
            )
        else:
            confidence = float(parts[1]) if len(parts) > 1 and re.fullmatch(r"[\d.]+", parts[1]) else math.nan
            names = (channel.strip(),) if channel.strip() else _names(parts[2] if len(parts) > 2 else None)
            rows.append(_Row(0, onset, onset + length, label, confidence, names))
    if opened is not None:
        raise AnnotationError(where, f"a seizure that starts at {opened:.2f} s and never ends", "its end")
    return tuple(rows)


def _read_edf(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read the annotations of an EDF+ or BDF+ file, with signals or without."""
    import edfio

    reader = edfio.read_bdf if _read_bytes(path, 1) == b"\xff" else edfio.read_edf
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = reader(path)
            marks = [(mark.onset, mark.duration or 0.0, mark.text) for mark in file.annotations]
            gapless = file.num_signals and not file.reserved.endswith(
                "+D"
            )  # with gaps the stored length is not the true
            duration = float(file.duration) if gapless else None
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError) as error:
        raise AnnotationError(str(path), "annotations that cannot be read", "EDF+ or BDF+") from error
    with suppress(ValueError):
        begin = file.startdatetime
        return _Table(_text_rows(marks, str(path)), duration, begin)
    return _Table(_text_rows(marks, str(path)), duration)


def _read_xml(path: Path, start: datetime | None) -> _Table:
    """Read EDFbrowser's XML, whose onsets are clock times."""
    try:
        root = ET.fromstring(_read_bytes(path))
        raw = [
            (
                item.findtext("onset", "").strip(),
                float(item.findtext("duration") or 0.0),
                item.findtext("description", "").strip(),
            )
            for item in root.findall("annotation")
        ]
        marks = []
        for text, length, description in raw:
            clock, _, fraction = text.partition(".")
            moment = datetime.fromisoformat(clock)
            begin = start or (_UNKNOWN_START if moment.date() == _UNKNOWN_START.date() else None)
            if begin is None:
                raise UnknownLengthError(
                    str(path), "onsets as clock times", "the recording's start", "give the recording"
                )
            onset = (moment - begin.replace(tzinfo=None)).total_seconds() + float(f"0.{fraction or 0}")
            marks.append((round(onset, 7), length, description))
    except (ET.ParseError, ValueError) as error:
        raise AnnotationError(str(path), "XML of another kind", "an annotationlist of EDFbrowser") from error
    return _Table(_text_rows(marks, str(path)))


# ---------------------------------------------------------------------------------------- CHB-MIT


def _read_wfdb(path: Path, start: datetime | None) -> _Table:  # noqa: ARG001
    """Read CHB-MIT's .seizures: ``[`` and ``]`` in a WFDB annotation stream."""
    try:
        marks = parse_wfdb(_read_bytes(path))
    except struct.error:
        raise AnnotationError(str(path), "a stream that stops in the middle", "a WFDB annotation file") from None
    rows: list[_Row] = []
    opened: float | None = None
    for moment, symbol in marks:
        if symbol == "[" and opened is None:
            opened = moment
        elif symbol == "]" and opened is not None:
            rows.append(_Row(0, opened, moment, "sz"))
            opened = None
        elif symbol in "[]":
            raise AnnotationError(str(path), f"an unpaired {symbol!r} at {moment:.2f} s", "pairs of [ and ]")
    if opened is not None:
        raise AnnotationError(str(path), f"a seizure that starts at {opened:.2f} s and never ends", "pairs of [ and ]")
    return _Table(tuple(rows))


def parse_wfdb(data: bytes, sfreq: float = 256.0) -> list[tuple[float, str]]:
    """Parse a WFDB (MIT) annotation stream.

    Parameters
    ----------
    data : bytes
        Little-endian 16-bit words: 6 bits of code, 10 bits of interval since the last annotation.
    sfreq : float
        Samples a second of the intervals (CHB-MIT: 256), unless the stream itself says otherwise.

    Returns
    -------
    list of (float, str)
        Seconds from the start, and the symbol: ``[`` for code 32, ``]`` for 33, else the code in digits.

    References
    ----------
    .. [1] https://physionet.org/physiotools/wag/annot-5.htm

    Examples
    --------
    >>> parse_wfdb(bytes.fromhex("00ec0b0000b4008000ec000000280084 0000"))
    [(2996.0, '['), (3036.0, ']')]
    """
    position = sample = 0
    marks: list[tuple[int, str]] = []
    while True:
        (word,) = struct.unpack_from("<H", data, position)
        position += 2
        code, interval = word >> 10, word & 0x3FF
        if code == 0 and interval == 0:
            break
        if code == 59:  # SKIP: a 32-bit interval, high word first (PDP-endian)
            high, low = struct.unpack_from("<hH", data, position)
            position += 4
            sample += (high << 16) + low
        elif code == 63:  # AUX: bytes of text, padded to an even number
            found = re.match(rb"## time resolution: ([\d.]+)", data[position : position + interval])
            sfreq = float(found[1]) if found else sfreq
            position += interval + interval % 2
        elif code < 60:  # 60, 61, 62 set number, subtype and channel of the last annotation
            sample += interval
            marks.append((sample, {32: "[", 33: "]"}.get(code, str(code))))
    return [(sample / sfreq, symbol) for sample, symbol in marks]


def read_chbmit_summary(path: str | Path) -> dict[str, Events]:
    """Read a CHB-MIT ``chbNN-summary.txt``.

    Parameters
    ----------
    path : str or Path
        The summary.

    Returns
    -------
    dict of str to Events
        File name to its seizures. The duration is the difference of the clock times, NaN where there are none
        (chb24); the recording itself knows better. Start is None: the summary has no date.

    Raises
    ------
    AnnotationError
        With the line, if a count of seizures and its seizures disagree, or a line cannot be read.

    Notes
    -----
    Known oddities: hours beyond 24 and unpadded, ``Seizure Start Time`` with and without a number, a wrong number
    (chb09_08), blocks ``Channels changed`` between files, spaces around everything.
    """
    source = Path(path)
    blocks: dict[str, dict[str, Any]] = {}
    block: dict[str, Any] | None = None
    for line, text in enumerate(_read_text(source).splitlines(), 1):
        key, _, value = (part.strip() for part in text.partition(":"))
        name = key.lower()
        if name == "file name":
            block = {"line": line, "seizures": [], "count": None, "clock": {}}
            blocks[value] = block
        elif block is None:
            continue
        elif name in {"file start time", "file end time"}:
            block["clock"][name] = _summary_clock(value, source, line)
        elif name == "number of seizures in file":
            block["count"] = int(_number(value, source, line))
        elif re.fullmatch(r"seizure\s*\d*\s*start time", name):
            block["seizures"].append([line, _number(value.split()[0] if value else "", source, line), None])
        elif re.fullmatch(r"seizure\s*\d*\s*end time", name):
            if not block["seizures"] or block["seizures"][-1][2] is not None:
                raise AnnotationError(f"{source}, line {line}", "an end without a start", "pairs of start and end")
            block["seizures"][-1][2] = _number(value.split()[0] if value else "", source, line)
    if not blocks:
        raise AnnotationError(str(source), "no 'File Name:' line", "a CHB-MIT summary")
    return {name: _summary_events(content, source) for name, content in blocks.items()}


def _summary_clock(text: str, path: Path, line: int) -> float:
    found = re.fullmatch(r"(\d{1,2}):(\d{1,2}):(\d{1,2})", text)
    if found is None:
        raise AnnotationError(f"{path}, line {line}", f"{text!r} where a clock time should be", "hh:mm:ss")
    hours, minutes, seconds = (int(part) for part in found.groups())
    return 3600.0 * hours + 60.0 * minutes + seconds


def _summary_events(block: Mapping[str, Any], path: Path) -> Events:
    seizures, clock = block["seizures"], block["clock"]
    if block["count"] is None or block["count"] != len(seizures) or any(stop is None for _, _, stop in seizures):
        raise AnnotationError(
            f"{path}, line {block['line']}",
            f"{len(seizures)} seizures where {block['count']} are announced",
            "a start and an end for each seizure",
        )
    duration = math.nan
    if len(clock) == 2:
        duration = (clock["file end time"] - clock["file start time"]) % _DAY or math.nan
    events = []
    for line, onset, stop in seizures:
        if not 0 <= onset < stop:
            raise AnnotationError(f"{path}, line {line}", f"a seizure from {onset:g} to {stop:g} s", "start < end")
        events.append(Event(onset, stop - onset))
    return Events(tuple(events), duration)


# ------------------------------------------------------------------------------------------ Siena

# Misprints of the published lists (version 1.0.0), each found by comparing the list with the header of the recording.
_SIENA_FILES = {"PN01.edf": "PN01-1.edf", "PN11-.edf": "PN11-1.edf"}
_SIENA_TIMES = {
    ("PN00-3.edf", "seizure end", "19.29.29"): "18.29.29",  # the recording ends at 18.57.13
    ("PN10-7.8.9.edf", "registration start", "1 6.49.25"): "16.49.25",
    ("PN14-3.edf", "registration start", "16.17.45"): "19.17.45",  # start + 41,995 s is the listed end
    ("PN05-3.edf", "registration start", "06.01.23"): "06.01.13",  # the header's
}
_TIME = re.compile(r"(?<![\d.:])(\d{1,2})[.:](\d{1,2})[.:](\d{1,2})(?![\d.:]\d)")


def read_siena_list(path: str | Path, *, starts: Mapping[str, datetime] | None = None) -> dict[str, Events]:
    """Read a Siena ``Seizures-list-PNxx.txt``.

    Parameters
    ----------
    path : str or Path
        The list.
    starts : mapping of str to datetime, or None
        Start of each recording from its header, by file name; it goes before the list's own time.

    Returns
    -------
    dict of str to Events
        Name of the recording (misprints corrected) to its seizures. The duration is that of the list's registration
        times, NaN when it has none. Recordings that the list does not name are absent.

    Raises
    ------
    AnnotationError
        With the line, for a time that cannot be read or a seizure outside its recording.

    Notes
    -----
    Onsets are clock times, taken modulo one day. Where a line gives a clinical and an electrical onset the electrical
    one counts; of two ends joined by "or" the first. Files named with the letter O, ``PN01.edf``, ``PN11-.edf`` and
    four misprinted times are corrected by name; anything else that does not fit is an error.
    """
    source = Path(path)
    blocks = _siena_blocks(source)
    if not blocks:
        raise AnnotationError(str(source), "no seizure in it", "a Siena list of seizures")
    events: dict[str, list[Event]] = {}
    durations: dict[str, float] = {}
    for block in blocks:
        name = block.file
        begin = block.begin
        if starts is not None and name in starts:
            moment = starts[name]
            begin = 3600.0 * moment.hour + 60.0 * moment.minute + moment.second
        if begin is None:
            raise AnnotationError(f"{source}, line {block.line}", "no registration start", "a time for the recording")
        duration = math.nan if block.end is None else (block.end - begin) % _DAY
        onset, stop = (block.onset - begin) % _DAY, (block.stop - begin) % _DAY
        if not onset < stop or stop > duration + _SLACK:
            raise AnnotationError(
                f"{source}, line {block.line}",
                f"a seizure from {onset:.0f} to {stop:.0f} s in a recording of {duration:.0f} s",
                "start < end, both inside the recording",
            )
        events.setdefault(name, []).append(Event(onset, stop - onset))
        durations[name] = max(duration, stop) if not math.isnan(duration) else math.nan
    return {name: Events(tuple(sorted(found)), durations[name]) for name, found in events.items()}


@dataclass
class _SienaBlock:
    """One seizure of a Siena list, in seconds of the day."""

    line: int
    file: str
    begin: float | None
    end: float | None
    onset: float = math.nan
    stop: float = math.nan


def _siena_blocks(path: Path) -> list[_SienaBlock]:
    """Read line by line: file and registration lines set the context, a seizure's start and end close it."""
    blocks: list[_SienaBlock] = []
    context: dict[str, Any] = {}
    onset: float | None = None
    for line, text in enumerate(_read_text(path).splitlines(), 1):
        key, _, value = (part.strip() for part in text.partition(":"))
        name = " ".join(key.lower().split())
        if name == "file name":
            file = _siena_name(value)
            if context.get("file") != file:
                context = {"file": file}
        elif name in {"registration start time", "registration end time"}:
            context[name] = _siena_time(context.get("file", ""), name[:-5], value, f"{path}, line {line}")
        elif name in {"seizure start time", "start time"}:
            onset = _siena_time(context.get("file", ""), "seizure start", value, f"{path}, line {line}")
        elif name in {"seizure end time", "end time"}:
            if onset is None or "file" not in context:
                raise AnnotationError(f"{path}, line {line}", "an end without a start", "pairs of start and end")
            stop = _siena_time(context["file"], "seizure end", value, f"{path}, line {line}")
            begin, end = context.get("registration start time"), context.get("registration end time")
            blocks.append(_SienaBlock(line, context["file"], begin, end, onset, stop))
            onset = None
    if onset is not None:
        raise AnnotationError(str(path), "a seizure without an end", "pairs of start and end")
    return blocks


def _siena_name(text: str) -> str:
    """Correct the misprinted names of recordings.

    Examples
    --------
    >>> [_siena_name(name) for name in ("PN00-1.edf", "PNO6-1.edf", "PN01.edf", "PN11-.edf")]
    ['PN00-1.edf', 'PN06-1.edf', 'PN01-1.edf', 'PN11-1.edf']
    """
    name = text.split()[0] if text.split() else ""
    name = re.sub(r"^PNO", "PN0", name)
    return _SIENA_FILES.get(name, name)


def _siena_time(file: str, what: str, text: str, where: str) -> float:
    """Seconds of the day of a time such as ``19.58.36``, ``21:51:02`` or ``16:13.23``."""
    text = _SIENA_TIMES.get((file, what, text), text)
    found = list(_TIME.finditer(text))
    rest = re.sub(r"\([^)]*\)|\bop+ure\b|[;,]", "", _TIME.sub("", text), flags=re.IGNORECASE)
    if not found or rest.strip():
        raise AnnotationError(where, f"{text!r} where a clock time should be", "hh.mm.ss")
    chosen = found[0]
    for match in found[1:]:
        if re.match(r"\s*\(\s*electr", text[match.end() :], re.IGNORECASE):
            chosen = match
    hours, minutes, seconds = (int(part) for part in chosen.groups())
    if hours > 23 or minutes > 59 or seconds > 59:
        raise AnnotationError(where, f"{chosen[0]!r} where a clock time should be", "hh.mm.ss")
    return 3600.0 * hours + 60.0 * minutes + seconds
