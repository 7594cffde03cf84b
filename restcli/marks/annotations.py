"""Events as annotations with free text, which EDF+ and EDFbrowser's XML share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from restcli.errors import AnnotationError
from restcli.events import Events, Span
from restcli.marks.szcore import NOT_SCORED, channels, probability
from restcli.marks.table import Row, Table, channel_names
from restcli.marks.types import BACKGROUND, known_type, names_seizure, resembles_seizure

_OPENS = re.compile(r"(?<![a-z])(onset|start\w*|begin\w*|on)\b", re.IGNORECASE)
_CLOSES = re.compile(r"(?<![a-z])(end\w*|stop\w*|offset|off|over|finish\w*)\b", re.IGNORECASE)
_PREFIX = f"{NOT_SCORED}:"


@dataclass(frozen=True)
class Annotation:
    """A text at a time."""

    onset: float  # s
    duration: float  # s
    text: str


def to_annotations(events: Events) -> list[Annotation]:
    """Describe each event and what was not scored; one bckg annotation over everything when nothing was found."""
    found = []
    for event in events:
        parts = [event.label, probability(event.confidence), channels(event)]
        while parts[-1] == "n/a":
            parts.pop()
        found.append(Annotation(event.onset, event.duration, " | ".join(parts)))
    found = found or [Annotation(0.0, events.duration, BACKGROUND)]
    return found + [
        Annotation(span.start, span.stop - span.start, f"{_PREFIX} {span.reason}".rstrip()) for span in events.unscored
    ]


def from_annotations(annotations: Iterable[Annotation], where: str) -> Table:
    """Find seizures among annotations; one without length must be one of a pair of start and end."""
    rows: list[Row] = []
    unscored: list[Span] = []
    opened: float | None = None
    for mark in annotations:
        stop = mark.onset + mark.duration
        if mark.text.startswith(_PREFIX):
            unscored.append(Span(mark.onset, stop, mark.text.removeprefix(_PREFIX).strip()))
            continue
        text = mark.text.partition("@@")[0]
        label = known_type(text.partition("|")[0]) or ("sz" if names_seizure(text) else None)
        if label == BACKGROUND:
            if text == BACKGROUND:  # other spellings are remarks on the EEG
                rows.append(Row(where, mark.onset, stop, BACKGROUND))
        elif label is None and resembles_seizure(text):
            what = f"the annotation at {mark.onset:.2f} s may mean a seizure"
            raise AnnotationError(where, what, "a word such as 'seizure', or a SzCORE type such as sz_foc")
        elif label is None:
            continue
        elif mark.duration > 0:
            rows.append(_row(mark, label, where))
        elif _CLOSES.search(text) and opened is not None:
            rows.append(Row(where, opened, mark.onset, "sz"))
            opened = None
        elif _OPENS.search(text) and opened is None:
            opened = mark.onset
        else:
            what = f"the seizure annotation at {mark.onset:.2f} s has no length"
            raise AnnotationError(where, what, "a duration, or a pair such as 'seizure start' and 'seizure end'")
    if opened is not None:
        raise AnnotationError(where, f"the seizure that starts at {opened:.2f} s never ends", "its end")
    return Table(tuple(rows), unscored=tuple(unscored))


def _row(mark: Annotation, label: str, where: str) -> Row:
    """Read "type | confidence | channels" or "text@@channel"."""
    text, _, channel = mark.text.partition("@@")
    parts = [part.strip() for part in text.split("|")]
    confidence = float(parts[1]) if len(parts) > 1 and re.fullmatch(r"[01](\.\d+)?", parts[1]) else math.nan
    names = (channel.strip(),) if channel.strip() else channel_names(parts[2] if len(parts) > 2 else None)
    return Row(where, mark.onset, mark.onset + mark.duration, label, confidence, names)
