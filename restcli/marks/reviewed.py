"""Folders that ``restcli review apply`` wrote to, as data with expert marks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from restcli.errors import AnnotationError
from restcli.events import Span
from restcli.files import files_below, read_json, sha256_of
from restcli.io.registry import files_of, fingerprint_of
from restcli.marks.json import read_table, row_of
from restcli.marks.table import Table

REPORT_END, EVENTS_END = "_run_reviewed.json", "_events_reviewed.json"
NOT_READ = "nobody read the whole recording"
COUNTED = ("accepted", "rejected", "unsure", "not_judged", "added")
_DECIDED = COUNTED[:2]


def is_detected(table: Path) -> bool:
    """Whether a table is as annotate, batch or live wrote it, by the run report or the log of live beside it."""
    stem = table.name.rpartition("_events")[0]
    report, log = (table.with_name(f"{stem}_{end}") for end in ("run.json", "live.jsonl"))
    try:
        if report.is_file() and read_json(report)["outputs"][table.name] == sha256_of(table):
            return True
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return log.is_file() and _is_of_live(table, log)


def _is_of_live(table: Path, log: Path) -> bool:
    """Whether live wrote a table; the log of one that was killed cannot tell what was changed since."""
    try:
        last = json.loads(log.read_bytes().splitlines()[-1])
        return bool(last["kind"] != "end" or last["outputs"].get(table.name) == sha256_of(table))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return True


def find_reviewed(root: Path) -> dict[Path, Path]:
    """Return recordings with their report after review, from the reports in a folder and below it."""
    found = {}
    files = sorted(files_below(root)) if root.is_dir() else []
    for report in (path for path in files if path.name.endswith(REPORT_END)):
        source = Path(read_reviewed(report)["recording"]["path"])
        recording = source if source.is_absolute() or source.exists() else report.parent / source
        if not recording.exists():
            remedy = "Bring it back, or remove this report; if it was moved, its verdicts can be applied again"
            raise AnnotationError(str(report), f"the recording {source.name} is not there", remedy=remedy)
        found[recording] = report
    return found


def read_claims(report: Path, recording: Path) -> Table:
    """Return what reviewers decided: only about the events that they judged, unless one read the whole recording.

    AnnotationError when the recording is another one now.
    """
    content = read_reviewed(report)
    if content["recording"]["fingerprint"] not in ("", fingerprint_of(files_of(recording))):  # "" of arrays
        what = f"holds verdicts on another recording than {recording.name} as it is now"
        remedy = "Bring the recording back that was judged, or annotate, review and apply again"
        raise AnnotationError(str(report), what, "verdicts on the recording itself", remedy)
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


def read_reviewed(report: Path) -> Mapping[str, Any]:
    """Read a report after review; AnnotationError unless everything that is used of it is of the right kind."""
    try:
        content: dict[str, Any] = read_json(report)
        review, verdicts = content["review"], content["review"]["verdicts"]
        texts = [*(content["recording"][name] for name in ("path", "fingerprint"))]
        texts += [review["of"]["report"], *review["reviewers"], *review["read_whole_by"]]
        texts += [each[name] for each in verdicts for name in ("event", "verdict")]
        texts += [each["reviewer"] for each in verdicts if each["reviewer"] is not None]
        whole = [type(review["agreement"][name]) is int for name in COUNTED]
        fine = isinstance(content["outputs"], dict) and all(whole) and all(isinstance(text, str) for text in texts)
        for item in (*content["events"], *verdicts):
            row_of(item, str(report))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AnnotationError):
        fine = False
    if not fine:
        what, expected = "is not a report of restcli review", "what restcli review apply writes"
        raise AnnotationError(str(report), what, expected, "Apply the verdicts again")
    return content
