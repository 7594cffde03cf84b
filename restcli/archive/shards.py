"""The ledgers in a folder of outputs: their names, which shards they are of, and which are missing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from restcli.archive.walk import LEDGER_PATTERN
from restcli.errors import OutputError, UsageError

_NAME = re.compile(r"ledger(?:-([1-9][0-9]{0,3})-of-([1-9][0-9]{0,3}))?\.sqlite")
_FEW = 10  # shards that a text names


def ledger_name(shard: int = 1, n_shards: int = 1) -> str:
    """Return the file name of a ledger; each shard has its own, so that shards need no common lock."""
    return "ledger.sqlite" if n_shards == 1 else f"ledger-{shard}-of-{n_shards}.sqlite"


def ledgers_in(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the ledgers in a folder, each with its shard and the number of shards."""
    found = {}
    for path in folder.glob(LEDGER_PATTERN):
        if match := _NAME.fullmatch(path.name):
            shard = (int(match[1] or 1), int(match[2] or 1))
            if shard[0] <= shard[1] and ledger_name(*shard) == path.name:
                found[path] = shard
    return dict(sorted(found.items(), key=lambda item: item[1]))


def find_ledgers(out: str | Path) -> tuple[Path, ...]:
    """Return the ledgers in a folder of outputs; raise OutputError if there are none, or not those of one division."""
    found = ledgers_in(Path(out))
    if not found:
        raise OutputError(str(out), "holds no ledger", "a folder that restcli batch wrote to")
    if len({number for _, number in found.values()}) > 1:
        names = ", ".join(path.name for path in found)
        expected = "ledgers of one number of shards"
        raise OutputError(str(out), f"holds ledgers that overlap: {names}", expected, "Move those that are older away")
    return tuple(found)


def missing_shards(out: str | Path) -> list[str]:
    """Return the shards that never ran, as K/N."""
    shards = ledgers_in(Path(out)).values()
    number = max((number for _, number in shards), default=1)
    ran = {shard for shard, _ in shards}
    return [f"{shard}/{number}" for shard in range(1, number + 1) if shard not in ran]


def batch_of(folder: Path) -> Path | None:
    """Return the folder of outputs of a batch that a folder is, or lies in; None if there is none."""
    place = folder.resolve()
    return next((each for each in (place, *place.parents) if ledgers_in(each)), None)


def check_no_batch(out: Path) -> None:
    """Refuse the results of a batch, whose ledger and index would go on telling what they told before."""
    if (batch := batch_of(out)) is not None:
        what = f"belongs to the results of a batch (in {batch})"
        raise UsageError(str(out), what, "a folder that no batch writes to", "Choose another folder with --out")


def shards_in_words(shards: Sequence[str]) -> str:
    """Name shards for people, a few at most."""
    rest = f" and {len(shards) - _FEW} more" if len(shards) > _FEW else ""
    return ", ".join(shards[:_FEW]) + rest
