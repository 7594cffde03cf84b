"""What the ledgers of an archive say, as a page, as tables and in sums; decides nothing and reads no recording."""

from __future__ import annotations

import csv
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from restcli import __version__
from restcli.archive.ledger import DONE, QUARANTINED, STATES, Ledger, find_ledgers, is_complete
from restcli.archive.walk import outputs_folder
from restcli.errors import OutputError
from restcli.marks.szcore import COLUMNS

# A browser sorts this many rows in about a second; whoever has more wants `restcli batch export`.
MOST_ROWS = 20_000
_AT_ONCE = 5_000

RECORDING_COLUMNS = (
    "path",
    "state",
    "same_as",
    "size",
    "mtime_ns",
    "hash",
    "duration",
    "scored",
    "n_events",
    "attempts",
    "worker",
    "started",
    "finished",
    "seconds",
    "error_class",
    "error",
    "weights",
    "settings",
    "outputs",
)
EVENT_COLUMNS = (
    "path",
    "number",
    "onset",
    "duration",
    "label",
    "confidence",
    "channels",
    "picture",
    "hash",
    "weights",
)


class Book:
    """All ledgers of a folder of outputs, read as one.

    Parameters
    ----------
    out : str or Path
        Folder of outputs.

    Notes
    -----
    A recording that several ledgers know (an archive done whole and in shards) is told once: as done before failed,
    then as it was finished last.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        with ExitStack() as stack:
            self.ledgers = [stack.enter_context(Ledger(path)) for path in find_ledgers(out)]
            self._stack = stack.pop_all()
        self.run = max((ledger.last_run() for ledger in self.ledgers), key=lambda run: str(run.get("started", "")))
        self._owner: dict[str, int] = {}
        if len(self.ledgers) > 1:
            ranks: dict[str, tuple[int, str]] = {}
            for number, ledger in enumerate(self.ledgers):
                for row in ledger.recordings():
                    rank = (-STATES.index(row["state"]), row["finished"] or "")
                    if rank >= ranks.get(row["path"], (-99, "")):
                        ranks[row["path"]], self._owner[row["path"]] = rank, number

    def __enter__(self) -> Book:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def recordings(self) -> Iterator[dict[str, Any]]:
        """Yield recordings as plain values."""
        for number, ledger in enumerate(self.ledgers):
            for row in ledger.recordings():
                if self._owner.get(row["path"], number) == number:
                    yield row

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events as plain values."""
        for number, ledger in enumerate(self.ledgers):
            for row in ledger.events():
                if self._owner.get(row["path"], number) == number:
                    yield row

    def skipped(self) -> list[dict[str, Any]]:
        """Return what was not looked into; every shard walks the whole archive, so each thing is told once."""
        found = {item.path: item for ledger in self.ledgers for item in ledger.skipped()}
        return [vars(found[path]) for path in sorted(found)]


def survey(out: str | Path) -> dict[str, Any]:
    """Sum up an archive.

    Parameters
    ----------
    out : str or Path
        Folder of outputs.

    Returns
    -------
    dict
        Plain values: archive, counts by state, hours, events, failures by reason, what was not walked, complete.

    Raises
    ------
    OutputError
        If there is no ledger, or one that cannot be read.
    """
    with Book(out) as book:
        counts = dict.fromkeys(STATES, 0)
        seconds, scored, n_events, n_with_events = 0.0, 0.0, 0, 0
        failures: dict[str, dict[str, Any]] = {}
        for row in book.recordings():
            counts[row["state"]] += 1
            if row["state"] == DONE:
                seconds += row["duration"]
                scored += row["duration"] * row["scored"]
                n_events += row["n_events"]
                n_with_events += row["n_events"] > 0
            elif row["state"] == QUARANTINED:
                reason = plain_reason(row)
                entry = failures.setdefault(reason, {"reason": reason, "n": 0, "example": row["path"]})
                entry["n"] += 1
        skipped = book.skipped()
        hidden = any(item["may_hide"] for item in skipped)
        return {
            "restcli": __version__,
            "archive": book.run.get("archive", ""),
            "started": book.run.get("started"),
            "finished": book.run.get("finished"),
            "weights": book.run.get("weights"),
            "settings": json.loads(book.run.get("settings", "{}")),
            "n_other_files": book.run.get("n_others", 0),
            "counts": counts,
            "eeg_hours": seconds / 3600,
            "scored_hours": scored / 3600,
            "n_events": n_events,
            "n_with_events": n_with_events,
            "failures": sorted(failures.values(), key=lambda entry: -entry["n"]),
            "skipped": skipped,
            "complete": book.run.get("finished") is not None and is_complete(counts, hidden),
        }


def plain_reason(row: Mapping[str, Any]) -> str:
    """Return why a recording failed without what is its own: the file's name and numbers, so that reasons add up.

    Examples
    --------
    >>> plain_reason({"path": "a/b.edf", "error": "/archive/a/b.edf: is empty. Expected an EDF recording."})
    'is empty'
    """
    text = str(row["error"])
    name = str(row["path"]).rpartition("/")[2]
    tail = text.partition(f"{name}: ")[2] or text
    return re.sub(r"\d+(\.\d+)?", "#", re.split(r"; |\.(?: |$)", tail)[0])


# ---- tables


def export_tables(out: str | Path, folder: str | Path) -> tuple[Path, ...]:
    """Write one table of recordings and one of events, each as CSV and as Parquet.

    Parameters
    ----------
    out : str or Path
        Folder of outputs with its ledgers.
    folder : str or Path
        Where to; made when it is missing.

    Returns
    -------
    tuple of Path
        recordings.csv, recordings.parquet, events.csv, events.parquet.

    Raises
    ------
    OutputError
        If a ledger cannot be read or a table cannot be written.
    """
    folder = Path(folder)
    with Book(out) as book:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return (
                *_export(map(_recording_row, book.recordings()), RECORDING_COLUMNS, folder / "recordings"),
                *_export(map(_event_row, book.events()), EVENT_COLUMNS, folder / "events"),
            )
        except OSError as error:
            raise OutputError(str(folder), f"cannot be written ({error.strerror})", "a writable folder") from error


def _recording_row(row: Mapping[str, Any]) -> dict[str, Any]:
    stages = json.loads(row["stages"] or "{}")
    outputs = list(json.loads(row["outputs"] or "{}")) if row["state"] == DONE else []
    return {name: row.get(name) for name in RECORDING_COLUMNS} | {
        "same_as": row["same_as_path"],
        "seconds": round(sum(stages.values()), 4) if stages else None,
        "outputs": json.dumps(outputs, ensure_ascii=False),
    }


def _event_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in EVENT_COLUMNS}


_WHOLE = frozenset({"size", "mtime_ns", "n_events", "attempts", "number"})
_REAL = frozenset({"duration", "scored", "seconds", "onset", "confidence"})


def _export(rows: Iterable[dict[str, Any]], columns: tuple[str, ...], stem: Path) -> tuple[Path, Path]:
    """Write rows a few thousand at a time, so that memory does not grow with the archive."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {name: pa.int64() if name in _WHOLE else pa.float64() if name in _REAL else pa.string() for name in columns}
    schema = pa.schema(list(kinds.items()))
    text, binary = stem.with_suffix(".csv"), stem.with_suffix(".parquet")
    with (
        _whole(text) as csv_part,
        _whole(binary) as parquet_part,
        csv_part.open("w", encoding="utf-8", newline="") as stream,
        parquet.ParquetWriter(parquet_part, schema, compression="zstd") as store,
    ):
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        for some in _batched(rows):
            writer.writerows(some)
            store.write_table(pa.Table.from_pylist(some, schema=schema))
    return text, binary


def _batched(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Give a name to write to, which replaces `path` when all went well."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


# ---- the page


def write_index(out: str | Path) -> Path:
    """Write ``index.html``: recordings, events, failures by reason, with links to pictures; needs no network.

    Parameters
    ----------
    out : str or Path
        Folder of outputs with its ledgers.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If a ledger cannot be read or the page cannot be written.
    """
    page = Path(out) / "index.html"
    facts = survey(out)
    try:
        with _whole(page) as part, part.open("w", encoding="utf-8") as stream, Book(out) as book:
            place = os.path.relpath(outputs_folder(facts["archive"], out), out)
            _write_page(stream, facts, book, "" if place == "." else f"{place}/")
    except OSError as error:
        raise OutputError(str(page), f"cannot be written ({error.strerror})", "room on the disk") from error
    return page


def _write_page(stream: IO[str], facts: Mapping[str, Any], book: Book, place: str) -> None:
    stream.write(_HEAD)
    stream.write(f"<h1>Seizure detection in {_text(facts['archive'])}</h1>\n")
    counts = facts["counts"]
    n_all = sum(counts.values())
    state = "every recording was scored" if facts["complete"] else "not every recording was scored"
    stream.write(
        f"<p><b>{n_all}</b> recordings: "
        + ", ".join(f"<b>{n}</b> {name}" for name, n in counts.items())
        + f" ({state}). <b>{facts['n_events']}</b> events in <b>{facts['n_with_events']}</b> recordings; "
        f"{facts['eeg_hours']:.1f} h of EEG, {facts['scored_hours']:.1f} h of it scored. "
        f"Weights <code>{_text((facts['weights'] or '')[:12])}</code>, restcli {__version__}. "
        "Not a medical device: every event must be judged by a person who reads EEG.</p>\n"
    )
    if facts["failures"]:
        _table(
            stream,
            "failures",
            "Failures by reason",
            ("count", "reason", "example"),
            ((entry["n"], entry["reason"], entry["example"]) for entry in facts["failures"]),
        )
    if facts["skipped"]:
        _table(
            stream,
            "skipped",
            "Not walked",
            ("path", "reason"),
            ((item["path"], item["reason"]) for item in facts["skipped"]),
        )
    headings = ("recording", "#", "onset s", "duration s", "type", "confidence", "where", "page")
    _table(stream, "events", "Events", headings, (_event_cells(row, place) for row in book.events()))
    headings = ("recording", "state", "duration s", "scored %", "events", "overview", "table", "note")
    _table(stream, "recordings", "Recordings", headings, (_recording_cells(row, place) for row in book.recordings()))
    stream.write(_SCRIPT + "</body>\n</html>\n")


class _Link(str):
    """A cell that is HTML already."""


def _event_cells(row: Mapping[str, Any], place: str) -> tuple[Any, ...]:
    confidence = "" if row["confidence"] is None else f"{row['confidence']:.2f}"
    picture = _link(place + row["picture"], "page") if row["picture"] else ""
    return (
        row["path"],
        row["number"],
        f"{row['onset']:.1f}",
        f"{row['duration']:.1f}",
        row["label"],
        confidence,
        row["channels"].replace(",", ", "),
        picture,
    )


def _recording_cells(row: Mapping[str, Any], place: str) -> tuple[Any, ...]:
    done = row["state"] == DONE
    outputs = list(json.loads(row["outputs"] or "{}")) if done else []
    overview = next((name for name in outputs if Path(name).stem.endswith("_overview")), None)
    table = next((name for name in outputs if name.endswith("_events.tsv")), None)
    note = row["error"] or (f"same content as {row['same_as_path']}" if row["same_as_path"] else "")
    return (
        row["path"],
        row["state"],
        f"{row['duration']:.0f}" if done else "",
        f"{int(row['scored'] * 1000) / 10:g}" if done else "",
        row["n_events"] if done else "",
        _link(place + overview, "overview") if overview else "",
        _link(place + table, "table") if table else "",
        note,
    )


def _table(stream: IO[str], name: str, title: str, headings: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Write one sortable table, row by row."""
    stream.write(f'<h2>{title}</h2>\n<table id="{name}">\n<thead><tr>')
    stream.write("".join(f'<th aria-sort="none"><button>{_text(heading)}</button></th>' for heading in headings))
    stream.write("</tr></thead>\n<tbody>\n")
    n_rows = 0
    for row in rows:
        n_rows += 1
        if n_rows <= MOST_ROWS:
            cells = (cell if isinstance(cell, _Link) else _text(cell) for cell in row)
            stream.write("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n")
    stream.write("</tbody>\n</table>\n")
    if n_rows == 0:
        stream.write("<p>none</p>\n")
    if n_rows > MOST_ROWS:
        stream.write(f"<p>{n_rows - MOST_ROWS} more: <code>restcli batch export</code> writes them all.</p>\n")


def _text(value: Any) -> str:
    """Escape for HTML; control characters, which file names may hold, become visible."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))
    return html.escape(shown)


def _link(target: str, text: str) -> _Link:
    return _Link(f'<a href="{html.escape(quote(target))}">{text}</a>')


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>restcli: archive</title>
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #1a1a1a; background: #fff; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
th { white-space: nowrap; }
td { max-width: 40rem; overflow-wrap: break-word; font-variant-numeric: tabular-nums; }
td:first-child, td:last-child { overflow-wrap: anywhere; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid #1f5fa8; }
th[aria-sort="ascending"] button::after { content: " \\25B2"; }
th[aria-sort="descending"] button::after { content: " \\25BC"; }
a { color: #1f5fa8; }
</style>
</head>
<body>
"""

_SCRIPT = """<script>
"use strict";
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map(row => {
      const text = row.cells[column].textContent;
      return [row, text, text === "" ? NaN : Number(text)];
    });
    rows.sort(([, a, x], [, b, y]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
      return up ? order : -order;
    });
    body.append(...rows.map(([row]) => row));
  }));
}
</script>
"""


# ---- BIDS

_README = f"""Seizures that restcli {__version__} found by itself.
Not a medical device: every event must be judged by a person who reads EEG.

For each recording *_events.tsv lists events in the SzCORE form (events.json describes its columns). Beside it lie
scores, pictures and a run report, for which BIDS has no place; .bidsignore names them. index.html shows everything.
"""
# What BIDS has no place for: beside tables, and in the root when the ledger is kept there.
_NOT_BIDS = """*_scores.csv
*_run.json
*_overview.*
*_event[0-9]*.*
*_events.csv*
*_events.edf
*_events.xml
*_events.json
!/events.json
/index.html
/ledger*
/export
/.restcli
"""


def describe_derivatives(folder: str | Path) -> None:
    """Make a folder of outputs a BIDS derivatives dataset: its description, what its columns mean, what is not BIDS.

    Parameters
    ----------
    folder : str or Path
        Root of the derivatives dataset.

    Raises
    ------
    OutputError
        If something cannot be written.

    References
    ----------
    BIDS 1.10, Derivatives: ``DatasetType`` and ``GeneratedBy`` are required of a derivatives dataset.
    """
    root = Path(folder)
    description = {
        "Name": "Seizures found by restcli",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "restcli", "Version": __version__, "Description": "Automatic; not a medical device"}],
    }
    files = {
        "dataset_description.json": json.dumps(description, indent=1) + "\n",
        "events.json": json.dumps(COLUMNS, indent=1) + "\n",
        "README": _README,
        ".bidsignore": _NOT_BIDS,
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with _whole(root / name) as part:
                part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(str(root), f"cannot be written ({error.strerror})", "a writable folder") from error
