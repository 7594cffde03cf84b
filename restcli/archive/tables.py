"""The tables of a whole archive that users export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from restcli.archive.survey import Book
from restcli.errors import OutputError
from restcli.files import replacing

_TEXT, _WHOLE, _REAL = "string", "Int64", "Float64"
RECORDING_COLUMNS = {
    "path": _TEXT,
    "state": _TEXT,
    "same_as": _TEXT,
    "size": _WHOLE,
    "mtime_ns": _WHOLE,
    "hash": _TEXT,
    "duration": _REAL,
    "scored": _REAL,
    "missing": _REAL,
    "n_events": _WHOLE,
    "attempts": _WHOLE,
    "worker": _TEXT,
    "started": _TEXT,
    "finished": _TEXT,
    "seconds": _REAL,
    "error_class": _TEXT,
    "error": _TEXT,
    "weights": _TEXT,
    "settings": _TEXT,
    "outputs": _TEXT,
}
EVENT_COLUMNS = {
    "path": _TEXT,
    "number": _WHOLE,
    "onset": _REAL,
    "duration": _REAL,
    "label": _TEXT,
    "confidence": _REAL,
    "channels": _TEXT,
    "picture": _TEXT,
    "hash": _TEXT,
    "weights": _TEXT,
}
_AT_ONCE = 5_000


def export_tables(out: str | Path, folder: str | Path) -> tuple[Path, ...]:
    """Write recordings.csv, recordings.parquet, events.csv and events.parquet from the ledgers in `out`."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(folder), f"cannot be written ({error.strerror})", "a writable folder") from error
    with Book(out) as book:
        recordings = (row | {"same_as": row["same_as_path"]} for row in book.recordings())
        return (
            *_export(recordings, RECORDING_COLUMNS, folder / "recordings"),
            *_export(book.events(), EVENT_COLUMNS, folder / "events"),
        )


def _export(rows: Iterable[dict[str, Any]], columns: Mapping[str, str], stem: Path) -> tuple[Path, Path]:
    """Write rows a few thousand at a time, so that memory does not grow with the archive."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {_TEXT: pa.string(), _WHOLE: pa.int64(), _REAL: pa.float64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns.items()])
    paths = stem.with_suffix(".csv"), stem.with_suffix(".parquet")
    with ExitStack() as stack:
        csv, binary = (stack.enter_context(replacing(path)) for path in paths)
        text = TextIOWrapper(csv, encoding="utf-8", newline="")
        store = stack.enter_context(parquet.ParquetWriter(binary, schema, compression="zstd"))
        for number, frame in enumerate(_frames(rows, columns)):
            frame.to_csv(text, index=False, header=number == 0, lineterminator="\n")
            store.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
        text.flush()
        text.detach()
    return paths


def _frames(rows: Iterable[dict[str, Any]], columns: Mapping[str, str]) -> Iterator[pd.DataFrame]:
    """Yield the rows as typed frames, at least one."""
    waiting = iter(rows)
    while True:
        some = list(islice(waiting, _AT_ONCE))
        yield pd.DataFrame(some, columns=list(columns)).astype(dict(columns))
        if len(some) < _AT_ONCE:
            return
