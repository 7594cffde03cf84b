"""Tables of SeizeIT1 (``X_a1.tsv``): comments, then start, stop, type and comment."""

from __future__ import annotations

import math
from pathlib import Path

from restcli.errors import AnnotationError
from restcli.marks.table import Format, Head, Row, Table, label_of, number, numbered_lines, optional_number
from restcli.marks.types import OTHER

# SeizeIT1 gives no end for twelve seizures; its BIDS release counts them as 30 s (epilepsy2bids, seizeit.py).
_OPEN_SECONDS, _OPEN_CONFIDENCE = 30.0, 0.5


def _matches(head: Head) -> bool:
    ours = any("seizeit" in line for line in head.lines[:3]) or head.path.stem.endswith("_a1")
    return ours and not {"onset", "duration"} <= head.columns


def _read(path: Path) -> Table:
    rows = []
    for where, text in numbered_lines(path):
        if text.startswith("#"):
            continue
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) < 3:
            raise AnnotationError(where, f"the row has {len(cells)} cells", "start, stop, type and comment")
        onset, stop, confidence = number(cells[0], where), optional_number(cells[1], where), math.nan
        open_end = math.isnan(stop)
        if open_end:
            stop, confidence = onset + _OPEN_SECONDS, _OPEN_CONFIDENCE
        label = label_of(cells[2], where)
        if label.startswith(OTHER):
            raise AnnotationError(where, "the type is unknown", "FIA, FA or F-BTC")
        rows.append(Row(where, onset, stop, label, confidence, open_end=open_end))
    return Table(tuple(rows), looked=True)


FORMATS = (Format("seizeit", "SeizeIT1", (".tsv",), _matches, _read),)
