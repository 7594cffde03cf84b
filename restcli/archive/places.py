"""Where the recordings of an archive are now, by its ledgers: an archive may be moved after it was annotated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from restcli.archive.ledger import Ledger
from restcli.archive.shards import batch_of, ledgers_in
from restcli.archive.walk import is_inside, outputs_folder
from restcli.output.run_report import REPORT_END


def place_of(report: Path) -> Path | None:
    """Return where the last run found the recording of a run report; None if no ledger knows it."""
    folder = report.parent.resolve()
    out = batch_of(folder)
    for ledger in () if out is None else ledgers_in(out):
        archive, paths = _known(ledger, ledger.stat().st_mtime_ns)
        root = outputs_folder(archive, ledger.parent)
        if folder.is_relative_to(root):
            stem = (folder / report.name.removesuffix(REPORT_END)).relative_to(root).as_posix()
            if stem in paths:
                return Path(archive, paths[stem])
    return None


@lru_cache(maxsize=16)
def _known(ledger: Path, _changed: int) -> tuple[str, Mapping[str, str]]:
    """Return the archive of the last run, and the recordings in it by what the names of their outputs begin with."""
    with Ledger(ledger) as opened:
        paths = {row["made_stem"]: row["path"] for row in opened.recordings() if is_inside(row["path"])}
        return str(opened.last_run().get("archive", "")), paths
