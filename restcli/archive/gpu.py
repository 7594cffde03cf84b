"""One GPU shared by the worker processes of a machine."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from restcli.errors import RestError
from restcli.profiling import StageClock

# Others may write to the folder for temporary files, but not to this folder in it.
LOCK_FOLDER = Path(tempfile.gettempdir()) / f"restcli-{os.getuid()}"


class UnfitWorkerError(RestError):
    """A worker that cannot do any recording as the coordinator wants it."""


@contextmanager
def turn_at(device: str, clock: StageClock) -> Iterator[None]:
    """Let one process of this machine at a time score on the GPU; the lock of one that dies passes on."""
    if device != "cuda":
        yield
        return
    import torch

    with _open_lock() as file:
        with clock("gpu_wait"):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(RuntimeError):  # a GPU that has failed
                torch.cuda.empty_cache()  # or the next process would find the memory taken


def _open_lock() -> BinaryIO:
    """Open the lock of this user and choice of GPUs; whoever sees another GPU need not wait for this one."""
    visible = re.sub(r"\W", "_", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
    place = LOCK_FOLDER / f"gpu-{visible}.lock"
    try:
        LOCK_FOLDER.mkdir(mode=0o700, exist_ok=True)
        folder = LOCK_FOLDER.lstat()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        if stat.S_ISDIR(folder.st_mode) and folder.st_uid == os.getuid() and not folder.st_mode & 0o077:
            file = os.fdopen(os.open(place, flags, 0o600), "wb")
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid():
                return file
            file.close()
    except OSError:
        pass  # taken by someone else, as below
    raise UnfitWorkerError(
        str(LOCK_FOLDER),
        "the lock of the GPU in it was not made by restcli for you alone",
        remedy="Remove this folder, or set TMPDIR to a folder of your own",
    )


def gpu_memory() -> int | None:
    """Return the bytes of the smallest GPU of this machine, or None; asks the driver, which is quicker than torch."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
        return min(int(line) for line in answer.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
