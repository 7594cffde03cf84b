"""What a batch is refused for before it does anything: one folder of outputs is one archive, done in one way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restcli.archive.audit import last_begins
from restcli.archive.shards import batch_of, ledgers_in
from restcli.archive.walk import is_bids
from restcli.errors import UsageError

_OTHER_FOLDER = "Choose another folder for outputs"


def check_earlier_runs(archive: Path, out: Path, *, n_shards: int, pseudonyms: bool) -> None:
    """Refuse a batch that does not continue those that wrote to `out` before, as their ledgers and trails tell."""
    if pseudonyms and is_bids(archive):
        what = "the archive is a BIDS dataset, whose names are pseudonyms already"
        raise UsageError("--pseudonyms", what, remedy="Leave it out")
    if (outer := batch_of(out.resolve().parent)) is not None:
        raise UsageError(str(out), f"lies among the results of another batch (in {outer})", remedy=_OTHER_FOLDER)
    _check_shards(out, n_shards)
    for begin in last_begins(out):
        _check_pseudonyms(out, begin, pseudonyms)
        _check_same_archive(archive, out, begin)


def _check_shards(out: Path, n_shards: int) -> None:
    """Refuse another number of shards: no run would look again at what some ledgers say."""
    for path, (_, number) in ledgers_in(out).items():
        if number != n_shards:
            earlier = "without --shard" if number == 1 else f"with --shard K/{number}"
            remedy = f"{_OTHER_FOLDER}, or move ledger*.sqlite* away (cached scores are used again)"
            what = f"holds the results of a batch {earlier} ({path.name})"
            raise UsageError(str(out), what, "the same number of shards in every run", remedy)


def _check_pseudonyms(out: Path, begin: Mapping[str, Any], pseudonyms: bool) -> None:
    run = begin.get("run")
    earlier = isinstance(run, dict) and bool(run.get("pseudonyms"))
    if earlier != pseudonyms:
        what = f"was made {'with' if earlier else 'without'} --pseudonyms"
        raise UsageError(str(out), what, remedy="Do the same again, or choose another folder for outputs")


def _check_same_archive(archive: Path, out: Path, begin: Mapping[str, Any]) -> None:
    """Refuse another archive, whose recordings of the same names would replace results; one that was moved is fine."""
    earlier = Path(str(begin.get("archive", "")))
    try:
        is_other = any(earlier.iterdir()) and not earlier.samefile(archive)  # an empty place is where it was mounted
    except (OSError, ValueError):
        return
    if is_other:
        raise UsageError(str(out), f"holds the results of another archive, {earlier}", remedy=_OTHER_FOLDER)
