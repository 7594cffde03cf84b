"""Which worker processes a batch may use, and how many of them this machine has room for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT

from restcli.errors import UsageError

_BYTES_PER_WORKER = 2 * 2**30
_BYTES_PER_CONTEXT = 2**29


@dataclass(frozen=True)
class PoolOptions:
    """Which worker processes to use."""

    scheduler: str | None = None  # address of a Dask scheduler; None starts workers on this machine
    workers: int | None = None  # on this machine; None takes one for each core while memory lasts
    memory: int | None = None  # bytes that one of them may take; None divides the memory of the machine
    tls_ca: Path | None = None  # certificate of the authority that signed the scheduler's
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        files = {"--tls-ca": self.tls_ca, "--tls-cert": self.tls_cert, "--tls-key": self.tls_key}
        for option, path in files.items():
            if self.is_encrypted and path is None:
                raise UsageError(option, "is missing", "a file in PEM format, which a tls:// scheduler needs")
            if not self.is_encrypted and path is not None:
                raise UsageError(option, "is only used with an encrypted scheduler", "--scheduler tls://host:port")
            if path is not None and not path.is_file():
                raise UsageError(option, f"{path} is not a file", "a file in PEM format")

    @property
    def is_encrypted(self) -> bool:
        """Whether scheduler and client must both show certificates."""
        return self.scheduler is not None and self.scheduler.startswith("tls://")

    @property
    def warning(self) -> str:
        """What is unsafe about the scheduler, or nothing."""
        if self.scheduler is None or self.is_encrypted:
            return ""
        return (
            f"{self.scheduler} is not encrypted: everyone who can reach it can run programs as the user of its "
            "workers and read their recordings; use tls:// (see docs/archives.md)"
        )


def local_size(options: PoolOptions, gpu: int | None = None) -> tuple[int, int]:
    """Return how many workers have room on this machine and on half of a GPU of `gpu` bytes, and the bytes for each."""
    most = max(1, int(MEMORY_LIMIT * 0.9 // _BYTES_PER_WORKER))
    if gpu is not None:
        most = max(1, min(most, gpu // 2 // _BYTES_PER_CONTEXT))
    n_workers = options.workers if options.workers is not None else min(CPU_COUNT, most)
    memory = options.memory if options.memory is not None else int(MEMORY_LIMIT * 0.9 / n_workers)
    return n_workers, memory
