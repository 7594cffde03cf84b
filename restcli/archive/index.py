"""The index page of an archive: recordings, events and failures, with links to pictures; it needs no network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from restcli.archive.ledger import DONE
from restcli.archive.reviews import Reviews
from restcli.archive.shards import shards_in_words
from restcli.archive.survey import Book, sum_up
from restcli.archive.walk import is_output_of
from restcli.files import replacing
from restcli.marks.reviewed import COUNTED
from restcli.text import duration_in_words, elapsed, visible

# A browser sorts this many rows in about a second; for more there is `restcli batch export`.
MOST_ROWS = 10_000


_FEW = {
    "failures": ("Failures by reason", {"count": "n", "reason": "reason", "example": "example"}),
    "notes": ("Repairs and warnings", {"count": "n", "what": "reason", "example": "example"}),
    "skipped": ("Skipped", {"path": "path", "reason": "reason"}),
}  # tables that are left out when they are empty: titles, and keys of rows by headings
_EVENTS = "recording,#,onset s,elapsed,clock,duration s,type,confidence,where,page,verdict".split(",")
_RECORDINGS = "recording,state,duration s,scored %,events,overview,files,review,note".split(",")


def write_index(out: str | Path) -> Path:
    """Write ``index.html`` from the ledgers in a folder of outputs."""
    from jinja2 import Environment, PackageLoader

    page = Path(out) / "index.html"
    environment = Environment(
        loader=PackageLoader("restcli.archive", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"visible": visible, "shards": shards_in_words}
    with Book(out) as book, replacing(page) as stream:
        facts = sum_up(book)
        place = os.path.relpath(book.folder, out)
        content = environment.get_template("index.html.j2").stream(
            facts=facts,
            n_recordings=sum(facts["counts"].values()),
            missing=duration_in_words(3600 * facts["missing_hours"]),
            tables=_tables(facts, book, "" if place == "." else f"{place}/"),
            most_rows=MOST_ROWS,
        )
        content.enable_buffering(50)
        content.dump(stream, encoding="utf-8")
    return page


def _tables(facts: Mapping[str, Any], book: Book, place: str) -> Iterator[dict[str, Any]]:
    """Yield the tables of the page, without the rows that it has no room for."""
    for name, (title, keys) in _FEW.items():
        if facts[name]:
            rows = [[entry[key] for key in keys.values()] for entry in facts[name]]
            yield {"name": name, "title": title, "headings": keys, "rows": rows[:MOST_ROWS], "n_rows": len(rows)}
    reviews = Reviews(book.folder)
    events = (_event_cells(row | reviews.verdict(row), place) for row in islice(book.events(), MOST_ROWS))
    yield {"name": "events", "title": "Events", "headings": _EVENTS, "rows": events, "n_rows": facts["n_events"]}
    recordings = (
        _recording_cells(row | reviews.columns(row), reviews, place) for row in islice(book.recordings(), MOST_ROWS)
    )
    n_rows = sum(facts["counts"].values())
    yield {"name": "recordings", "title": "Recordings", "headings": _RECORDINGS, "rows": recordings, "n_rows": n_rows}


def _event_cells(row: Mapping[str, Any], place: str) -> tuple[Any, ...]:
    return (
        row["path"],
        row["number"],
        f"{row['onset']:.1f}",
        elapsed(row["onset"]),
        "" if row["clock"] is None else _time_of_day(row["clock"], row["onset"]),
        f"{row['duration']:.1f}",
        row["label"],
        "" if row["confidence"] is None else f"{row['confidence']:.2f}",
        row["channels"].replace(",", ", "),
        _link(place + row["picture"], "page") if row["picture"] else "",
        f"{row['verdict']} ({row['reviewer']})" if row.get("reviewer") else "",
    )


def _time_of_day(start: str, onset: float) -> str:
    """Return the clock time of an event without its date; nothing where the ledger holds no time."""
    try:
        return f"{datetime.fromisoformat(start) + timedelta(seconds=onset):%H:%M:%S}"
    except (ValueError, OverflowError):
        return ""


def _recording_cells(row: Mapping[str, Any], reviews: Reviews, place: str) -> tuple[Any, ...]:
    if row["state"] != DONE:
        error = str(row["error"] or "")  # begins with the recording's place, which the first cell shows
        same = f"same content as {row['same_as_path']}" if row["same_as_path"] else ""
        note = error.partition(f"{Path(row['path']).name}: ")[2] or error or same
        if row["acknowledged"]:
            note = f"{note.rstrip('.')}; acknowledged: {row['acknowledged']}"
        return (row["path"], row["state"], "", "", "", "", "", "", note)
    missing = [f"incomplete: {duration_in_words(row['missing'])} are missing"] if row["missing"] > 0 else []
    names = [name for name in json.loads(row["outputs"]) if is_output_of(row["path"], name)]
    overview = next((name for name in names if Path(name).stem.endswith("_overview")), None)
    stem = f"{row['made_stem']}_"
    files = [name.removeprefix(stem) for name in (*names, *reviews.outputs(row))]
    return (
        row["path"],
        row["state"],
        f"{row['duration']:.0f}",
        f"{int(row['scored'] * 1000) / 10:g}",
        row["n_events"],
        _link(place + overview, "overview") | {"image": overview.endswith(".png")} if overview else "",
        {"stem": quote(place + stem), "files": files} if files else "",
        _review_cell(row),
        "; ".join([*missing, *row["notes"].splitlines()]),
    )


def _review_cell(row: Mapping[str, Any]) -> str:
    """Say what reviewers made of a recording, and whether that was about an earlier result."""
    if not row.get("reviewers"):
        return ""
    counts = ", ".join(f"{row[f'n_{name}']} {name.replace('_', ' ')}" for name in COUNTED if row[f"n_{name}"])
    outdated = "" if row["review"] == "current" else f" ({row['review']})"
    return f"{row['reviewers'].replace(',', ', ')}: {counts or 'nothing to judge'}{outdated}"


def _link(target: str, text: str) -> dict[str, Any]:
    return {"target": quote(target), "text": text}
