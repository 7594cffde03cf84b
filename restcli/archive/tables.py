"""The tables of a whole archive that users export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from restcli.archive.reviews import Reviews
from restcli.archive.survey import Book
from restcli.files import check_free, make_folder, replacing, resolve_output
from restcli.text import spreadsheet_cell

_TEXT, _WHOLE, _REAL = "string", "Int64", "Float64"
RECORDING_COLUMNS = (
    "path id state same_as size mtime_ns hash clock duration scored missing n_events notes attempts worker "
    "started finished seconds error_class error acknowledged weights settings outputs review reviewers "
    "n_accepted n_rejected n_unsure n_not_judged n_added"
).split()
EVENT_COLUMNS = "path number onset duration label confidence channels picture hash weights verdict reviewer".split()
REVIEWED_COLUMNS = "path number onset duration label confidence channels review reviewers".split()
_COUNTS = tuple(name for name in RECORDING_COLUMNS if name.startswith("n_"))
_KINDS = dict.fromkeys(("id", "size", "mtime_ns", "attempts", "number", *_COUNTS), _WHOLE) | dict.fromkeys(
    ("duration", "scored", "missing", "seconds", "onset", "confidence"), _REAL
)
_AT_ONCE = 5_000


def export_tables(out: Path, folder: Path | None = None, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write recordings, events and events after review, each as CSV and Parquet, from the ledgers in `out`.

    Without a folder they go to `out`, where they replace those of an earlier export.
    """
    if folder is None:
        folder = resolve_output(out, "export/name").parent
    else:
        stems = (folder / name for name in ("recordings", "events", "reviewed_events"))
        check_free((stem.with_suffix(end) for stem in stems for end in (".csv", ".parquet")), overwrite=overwrite)
    make_folder(folder)
    with Book(out) as book:
        reviews = Reviews(book.folder)
        recordings = (row | {"same_as": row["same_as_path"]} | reviews.columns(row) for row in book.recordings())
        events = (row | reviews.verdict(row) for row in book.events())
        reviewed = (event for row in book.recordings() for event in reviews.events(row))
        return (
            *_export(recordings, RECORDING_COLUMNS, folder / "recordings"),
            *_export(events, EVENT_COLUMNS, folder / "events"),
            *_export(reviewed, REVIEWED_COLUMNS, folder / "reviewed_events"),
        )


def _export(rows: Iterable[dict[str, Any]], columns: Sequence[str], stem: Path) -> tuple[Path, Path]:
    """Write rows a few thousand at a time, so that memory does not grow with the archive."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {_TEXT: pa.string(), _WHOLE: pa.int64(), _REAL: pa.float64()}
    schema = pa.schema([(name, kinds[_KINDS.get(name, _TEXT)]) for name in columns])
    paths = stem.with_suffix(".csv"), stem.with_suffix(".parquet")
    with ExitStack() as stack:
        csv, binary = (stack.enter_context(replacing(path)) for path in paths)
        text = TextIOWrapper(csv, encoding="utf-8", newline="")
        store = stack.enter_context(parquet.ParquetWriter(binary, schema, compression="zstd"))
        for number, frame in enumerate(_frames(rows, columns)):
            _for_spreadsheets(frame).to_csv(text, index=False, header=number == 0, lineterminator="\n")
            store.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
        text.flush()
        text.detach()
    return paths


def _for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose texts no spreadsheet takes for formulas."""
    names = [name for name in map(str, frame) if name not in _KINDS]
    return frame.assign(**{name: frame[name].map(spreadsheet_cell, na_action="ignore") for name in names})


def _frames(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the rows as typed frames, at least one."""
    waiting = iter(rows)
    while True:
        some = list(islice(waiting, _AT_ONCE))
        yield pd.DataFrame(some, columns=list(columns)).astype({name: _KINDS.get(name, _TEXT) for name in columns})
        if len(some) < _AT_ONCE:
            return
