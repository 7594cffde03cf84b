"""Annotations of EDF+ and BDF+ files, with signals or without."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from restcli.errors import AnnotationError, RecordingError
from restcli.events import Events
from restcli.io.companions import open_regular
from restcli.io.edf_header import read_header
from restcli.io.edf_times import record_onset
from restcli.io.headers import LONGEST, decode
from restcli.io.records import RecordLayout, StoredSignal
from restcli.marks.annotations import Annotation, from_annotations, to_annotations
from restcli.marks.table import SLACK, UNKNOWN_START, Format, Head, Table
from restcli.marks.types import resembles_seizure

_MOST_RECORDS = 10**7  # with annotations; more are those of a damaged header


def _matches(head: Head) -> bool:
    return head.raw[:8] in {b"0       ", b"\xffBIOSEMI"}


def _read(path: Path) -> Table:
    try:
        with open_regular(path) as file:
            header = read_header(file, str(path), marks=True)
            if header.annotations and header.n_records > _MOST_RECORDS:
                raise RecordingError(str(path), f"the header makes {header.n_records} records of the file")
            lists = [_lists(file, header, mark) for mark in header.annotations]
            file.seek(88)
            has_date = b"Startdate X" not in file.read(80)
    except RecordingError as error:
        what = f"the annotations cannot be read: {error.what}"
        raise AnnotationError(str(path), what, "EDF+ or BDF+ with annotations", error.remedy) from error
    except OSError as error:
        raise AnnotationError(str(path), "the annotations cannot be read", "EDF+ or BDF+") from error
    if not lists:
        return Table(())
    stamps = [record_onset(raw) for raw in (lists[0][0], lists[0][-1])]
    begin = stamps[0] if abs(stamps[0]) <= LONGEST else 0.0
    marks = [mark for raws in lists for raw in raws for mark in _marks(raw, begin, path)]
    table = from_annotations(sorted(marks, key=lambda mark: mark.onset), str(path))
    whole, last = float(header.n_records * header.record_duration), float(header.record_duration)
    # With gaps the stored length is not the true one.
    gaps = header.kind.endswith("+D") or abs(stamps[1] - begin + last - whole) > SLACK
    start = header.start + timedelta(seconds=begin) if header.start and has_date else None
    return replace(table, start=start, duration=whole if header.signals and not gaps else None)


def _lists(file: BinaryIO, header: RecordLayout, signal: StoredSignal) -> list[bytes]:
    """Read the list of annotations in each record."""
    lists = []
    for record in range(header.n_records):
        file.seek(header.place(record, signal))
        lists.append(file.read(signal.n_samples * header.sample_bytes))
    return lists


def _marks(raw: bytes, begin: float, path: Path) -> Iterator[Annotation]:
    """Yield the annotations of a list, times counted from `begin`; times without a text are those of records."""
    for part in raw.split(b"\0"):
        times, *texts = part.split(b"\x14")
        onset, _, length = (_decimal(time) for time in times.partition(b"\x15"))
        for text in filter(str.strip, map(decode, texts)):
            if math.isfinite(onset):
                yield Annotation(onset - begin, max(0.0, length) if math.isfinite(length) else 0.0, text)
            elif resembles_seizure(text):
                raise AnnotationError(str(path), "the time of an annotation that may mean a seizure cannot be read")


def _decimal(raw: bytes) -> float:
    """Read a time in any common spelling; NaN where there is none."""
    text = raw.strip().replace(b",", b".")
    return float(text) if re.fullmatch(rb"[+-]? *(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?", text) else math.nan


def _remark(events: Events) -> str:
    if events.start is None or 1985 <= events.start.year <= 2084:
        return ""
    return f"the date {events.start.date()} is written as unknown: EDF+ holds 1985 to 2084"


def _write(events: Events, stem: str) -> bytes:  # noqa: ARG001
    """Write an annotation-only EDF+ file that starts when the recording does."""
    import edfio

    begin = events.start or UNKNOWN_START
    known = events.start is not None and not _remark(events)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a start between two whole seconds is meant
        file = edfio.Edf(
            [],
            patient=edfio.Patient(),
            recording=edfio.Recording(startdate=begin.date() if known else None),
            starttime=begin.time(),
            annotations=[
                edfio.EdfAnnotation(round(mark.onset, 4), round(mark.duration, 4), mark.text)
                for mark in to_annotations(events)
            ],
        )
        return bytes(file.to_bytes())


_TITLE = "annotation-only EDF+; read also from EDF+ and BDF+ recordings"
FORMATS = (Format("edf", _TITLE, (".edf", ".bdf"), _matches, _read, _write, _remark, package="edfio"),)
