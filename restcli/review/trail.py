"""Applied verdicts in the audit trail and the index page of the archive that a result belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from restcli.archive.audit import Trail, trail_name
from restcli.archive.index import write_index
from restcli.archive.ledger import now
from restcli.archive.shards import batch_of
from restcli.files import sha256_of
from restcli.review.apply import Applied


def enter_applied(applied: Iterable[Applied]) -> None:
    """Enter verdicts that were applied; results outside of archives have no trail."""
    changed = set[Path]()
    for each in applied:
        path, review = each.written.files[-1].resolve(), each.written.report["review"]
        out = batch_of(path.parent)
        if out is not None:
            facts = {name: review[name] for name in ("reviewers", "of", "journal")}
            entry = {"what": "verdicts", "report": path.relative_to(out).as_posix(), "result": sha256_of(path), **facts}
            Trail(out / trail_name()).append(now(), entry)
            changed.add(out)
    for out in changed:
        Trail(out / trail_name()).append(now(), {"what": "index", "index": sha256_of(write_index(out))})
