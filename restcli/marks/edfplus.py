"""Annotations of EDF+ and BDF+ files, with signals or without."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.events import Events
from restcli.marks.annotations import Annotation, from_annotations, to_annotations
from restcli.marks.table import UNKNOWN_START, Format, Head, Table, read_bytes


def _matches(head: Head) -> bool:
    return head.raw[:8] in {b"0       ", b"\xffBIOSEMI"}


def _read(path: Path) -> Table:
    import edfio

    reader = edfio.read_bdf if read_bytes(path, 1) == b"\xff" else edfio.read_edf
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = reader(path)
            marks = [Annotation(mark.onset, mark.duration or 0.0, mark.text) for mark in file.annotations]
            # With gaps the stored length is not the true one.
            whole = float(file.duration) if file.num_signals and not file.reserved.endswith("+D") else None
    except Exception as error:  # edfio raises whatever a damaged file makes of its arithmetic
        raise AnnotationError(str(path), "the annotations cannot be read", "EDF+ or BDF+") from error
    table = replace(from_annotations(marks, str(path)), duration=whole)
    with suppress(ValueError):  # an anonymised start
        return replace(table, start=file.startdatetime)
    return table


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
FORMATS = (Format("edf", _TITLE, (".edf", ".bdf"), _matches, _read, _write, _remark, "edfio"),)
