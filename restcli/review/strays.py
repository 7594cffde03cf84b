"""Verdicts whose recording has another place in the archive now, or none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from restcli.archive.ledger import DONE, SAME
from restcli.archive.shards import missing_shards
from restcli.archive.survey import Book
from restcli.archive.walk import is_output_of, possible_stems
from restcli.errors import OutputError
from restcli.output.run_report import REPORT_END
from restcli.output.shown import JOURNAL_END
from restcli.review.journal import Journal, journal_of
from restcli.review.stored import read_result


@dataclass(frozen=True)
class Stray:
    """A journal that is beside no current result."""

    journal: Path
    target: Path | None = None  # the journal of the result that its verdicts are on; None if that has verdicts already


def find_strays(out: Path) -> list[Stray]:
    """Return the stray journals of a batch, unless recordings may not have been seen because a walk was cut short."""
    with Book(out) as book:
        if missing_shards(out) or any(run.get("finished") is None for run in book.runs):
            return []
        folder, former = book.folder, _former_stems(book)
    strays = []
    for stem, candidates in sorted(former.items()):
        journal = folder / f"{stem}{JOURNAL_END}"
        if journal.is_file():
            reports = _judged_in(journal, [folder / f"{candidate}{REPORT_END}" for candidate in candidates])
            targets = [target for target in map(journal_of, reports) if not target.exists()]
            strays.append(Stray(journal, next(iter(targets), None)))
    return strays


def follow_moved(out: Path) -> list[Stray]:
    """Move stray journals to the results that their verdicts are on; return all that were stray."""
    strays = find_strays(out)
    for stray in strays:
        if stray.target is not None:
            with suppress(FileNotFoundError):  # another shard that ends now may have moved it
                stray.journal.rename(stray.target)
    return strays


def _former_stems(book: Book) -> Mapping[str, set[str]]:
    """Return what names of outputs began with before, and what those of the recordings that it can be begin with."""
    in_use, by_hash = set[str](), defaultdict[str, set[str]](set)
    former = defaultdict[str, set[str]](set)
    for row in book.recordings():
        if row["state"] != SAME:
            in_use |= {row["stem"], row["made_stem"]}
        if row["state"] == DONE and is_output_of(row["path"], f"{row['made_stem']}{REPORT_END}"):
            by_hash[row["hash"]].add(row["made_stem"])
            for stem in possible_stems(row["path"]):
                former[stem].add(row["made_stem"])
    for ledger in book.ledgers:
        for stem, digest in ledger.gone().items():
            former[stem] |= by_hash.get(digest, set())
    return {stem: former[stem] for stem in former.keys() - in_use}


def _judged_in(journal: Path, reports: Iterable[Path]) -> list[Path]:
    """Return the run reports of the results that a journal has verdicts on."""
    found = []
    try:
        judged = {entry.hash for entry in Journal(journal).entries()}
        found = [report for report in sorted(reports) if read_result(report).digest in judged]
    except OutputError:
        pass  # what cannot be read is not known to belong together
    return found
