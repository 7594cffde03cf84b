"""Make worker processes fail on recordings whose names say so; Dask loads this file into each of them."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restcli.archive import job
from restcli.io.recording import Recording

# Dask may load this file twice into one process: the second time must not wrap the first.
_open = getattr(job.open_recording, "original", job.open_recording)
_hash_many = getattr(job.hash_many, "original", job.hash_many)
_blocks = getattr(Recording.blocks, "original", Recording.blocks)


def open_or_fail(path: str) -> Recording:
    name = Path(path).name
    if name.startswith("hang"):
        re.match(r"(a+)+$", "a" * 60 + "b")  # for longer than anybody waits, and no other thread may run meanwhile
    if name.startswith("memory"):
        hoard = []
        while True:
            hoard.append(b"x" * 50_000_000)
            time.sleep(0.01)
    if name.startswith("bug"):
        raise ValueError("SECRET-ID-77")
    if name.startswith("wait"):
        wait_for_go(name)
    return _open(path)


def wait_for_go(name: str) -> None:
    """Say which process is here, and stay until the test allows to go on."""
    marks = Path(os.environ["RESTCLI_TEST_MARKS"])
    (marks / f"{name}.part").write_text(str(os.getpid()))
    (marks / f"{name}.part").rename(marks / name)
    while not (marks / "go").exists():
        time.sleep(0.02)


def blocks_or_die(self: Recording, *args: Any, **kwargs: Any) -> Any:
    """Die between two blocks: always, or the first time only."""
    for block in _blocks(self, *args, **kwargs):
        yield block
        if self.path.name.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.path.name.startswith("once"):
            mark = Path(os.environ["RESTCLI_TEST_MARKS"]) / self.path.name
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)


def hash_or_dawdle(paths: Sequence[str], column: str) -> list[str | None]:
    """Wait at files whose names say so, as with a slow disk."""
    for path in paths:
        if column == "hash" and Path(path).name.startswith("copy"):
            wait_for_go(Path(path).name)
    return _hash_many(paths, column)


setattr(open_or_fail, "original", _open)  # noqa: B010
setattr(hash_or_dawdle, "original", _hash_many)  # noqa: B010
setattr(blocks_or_die, "original", _blocks)  # noqa: B010
job.open_recording = open_or_fail
job.hash_many = hash_or_dawdle
Recording.blocks = blocks_or_die
