"""Annotation lists of EDFbrowser, whose onsets are clock times."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.events import Events
from restcli.marks.annotations import Annotation, from_annotations, to_annotations
from restcli.marks.table import UNKNOWN_START, Format, Head, Table, number, read_bytes

_CLOCK = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d+)?")


def _matches(head: Head) -> bool:
    return head.first.startswith("<") and any("<annotationlist" in line for line in head.lines)


def _read(path: Path) -> Table:
    data = read_bytes(path)
    try:
        if b"<!ENTITY" in data:
            raise ValueError("entities can grow without end")
        root = ET.fromstring(data)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise AnnotationError(str(path), "is not valid XML", "an annotationlist of EDFbrowser") from error
    if _tag(root) != "annotationlist":
        raise AnnotationError(str(path), "holds XML of another kind", "an annotationlist of EDFbrowser")
    marks = []
    for index, item in enumerate((item for item in root.iter() if _tag(item) == "annotation"), 1):
        where = f"{path}, annotation {index}"
        texts = {_tag(part): "".join(part.itertext()).strip() for part in item}
        moment, fraction = _moment(texts.get("onset", ""), where)
        length = number(texts.get("duration") or "0", where)
        marks.append((moment, fraction, length, texts.get("description", "")))
    if not marks:
        return Table(())
    first = min(marks)[0]
    anonymous = timedelta(0) <= first - UNKNOWN_START < timedelta(days=30)
    origin = UNKNOWN_START if anonymous else datetime.combine(first.date(), time())
    annotations = [Annotation((mark[0] - origin).total_seconds() + mark[1], *mark[2:]) for mark in marks]
    return replace(from_annotations(annotations, str(path)), origin=origin)


def _tag(item: ET.Element) -> str:
    """Return the name of an element, without its namespace; comments have none."""
    return item.tag.rpartition("}")[2].lower() if isinstance(item.tag, str) else ""


def _moment(text: str, where: str) -> tuple[datetime, float]:
    """Return a clock time in whole seconds and the fraction of a second, which may have seven digits."""
    found = _CLOCK.fullmatch(text.strip())
    try:
        if found is not None:
            return datetime.fromisoformat(found[1]), float(found[2] or 0.0)
    except ValueError:
        pass
    raise AnnotationError(where, "the onset is not a clock time", "local time as in 2016-11-06T13:43:14.0000000")


def _write(events: Events, stem: str) -> bytes:  # noqa: ARG001
    root = ET.Element("annotationlist")
    begin = events.start or UNKNOWN_START
    for mark in to_annotations(events):
        annotation = ET.SubElement(root, "annotation")
        whole, ticks = divmod(round(mark.onset * 1e7) + begin.microsecond * 10, 10_000_000)
        clock = begin.replace(microsecond=0) + timedelta(seconds=whole)
        ET.SubElement(annotation, "onset").text = f"{clock.isoformat()}.{ticks:07d}"
        ET.SubElement(annotation, "duration").text = f"{mark.duration:.4f}"
        ET.SubElement(annotation, "description").text = mark.text
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


FORMATS = (Format("xml", "EDFbrowser's annotation list", (".xml",), _matches, _read, _write),)
