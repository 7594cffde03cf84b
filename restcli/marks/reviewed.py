"""Folders that ``restcli review apply`` wrote to, as data with expert marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError
from restcli.events import Span
from restcli.marks.json import read_table
from restcli.marks.table import Table

REPORT_END, EVENTS_END = "_run_reviewed.json", "_events_reviewed.json"
NOT_READ = "nobody read the whole recording"
_DECIDED = ("accepted", "rejected")


def find_reviewed(root: Path) -> dict[Path, Path]:
    """Return recordings with their report after review, from the reports in a folder and below it."""
    found = {}
    for report in sorted(root.rglob(f"*{REPORT_END}")) if root.is_dir() else []:
        source = Path(_read(report)["recording"]["path"])
        recording = source if source.is_absolute() or source.exists() else report.parent / source
        if not recording.is_file():
            remedy = "Bring it back, or remove this report"
            raise AnnotationError(str(report), f"the recording {source.name} is not there", remedy=remedy)
        found[recording] = report
    return found


def read_claims(report: Path) -> Table:
    """Return what reviewers decided: only about the events that they judged, unless one read the whole recording."""
    content = _read(report)
    table = read_table(report.with_name(report.name.removesuffix(REPORT_END) + EVENTS_END))
    if content["review"]["read_whole_by"] or table.duration is None:
        return table
    decided = sorted(
        (float(each["onset"]), float(each["onset"] + each["duration"]))
        for each in content["review"]["verdicts"]
        if each["verdict"] in _DECIDED
    )
    edges = [0.0, *(edge for stretch in decided for edge in stretch), table.duration]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return replace(table, unscored=(*table.unscored, *(Span(*gap, NOT_READ) for gap in gaps if gap[1] > gap[0])))


def _read(report: Path) -> Mapping[str, Any]:
    try:
        content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        known = content["recording"]["path"], content["review"]["read_whole_by"], content["review"]["verdicts"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise AnnotationError(str(report), "cannot be read", "a report of restcli review apply") from error
    if not isinstance(known[0], str):
        raise AnnotationError(str(report), "does not name its recording", "a report of restcli review apply")
    return content
