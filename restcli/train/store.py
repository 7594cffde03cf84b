"""Spectra, good nodes and labels of the recordings to learn from, kept on disk by content."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.events import Events
from restcli.files import make_folder
from restcli.signal.sequences import true_runs

SFREQ = 200.0
N_BINS = 100  # bins kept of each second: 0 to 99 Hz, enough for every form of features

# What the second readout tells apart: focal, generalised, absence, tonic-clonic.
TYPES = ("sz_foc", "sz_gen", "sz_gen_nm_typical", "sz_gen_m_tonicClonic")

# Labels of a second: SEIZURE is one of unknown type, SEIZURE + 1 + k one of type TYPES[k].
UNKNOWN, BACKGROUND, SEIZURE = -1, 0, 1

_STORE_VERSION = 1

Float16Array = NDArray[np.float16]
Float32Array = NDArray[np.float32]
Labels = NDArray[np.int8]


@dataclass(frozen=True)
class Task:
    """One recording to learn from."""

    key: str  # hash of everything that its examples depend on
    source: str  # data set, for the card
    patient: str  # never on both sides of a split
    split: str = ""  # train, dev or eval where a data set says so
    seed: int | None = None  # of a simulated recording
    seconds: float = 0.0  # length of a simulated recording
    path: Path | None = None  # of a real recording
    events: Events | None = None  # expert marks of a real recording


@dataclass(frozen=True, eq=False)
class Stretch:
    """An unbroken stretch of one recording, as computed."""

    spectra: Float16Array  # (T, N, 100), natural logarithm of the magnitudes
    present: NDArray[np.uint8]  # (T, N), 1 where a node is good
    labels: Labels  # (T,)


@dataclass(frozen=True)
class Example:
    """Where an unbroken stretch lies in the store."""

    task: Task
    start: int
    seconds: int

    @property
    def rows(self) -> slice:
        """Its seconds in the arrays of the store."""
        return slice(self.start, self.start + self.seconds)


@dataclass(frozen=True, eq=False)
class Examples:
    """Stretches of recordings in the arrays of the whole store, seconds one after another."""

    items: tuple[Example, ...]
    spectra: Float16Array  # (S, N, 100), memory-mapped
    present: NDArray[np.uint8]  # (S, N)
    labels: Labels  # (S,)

    def subset(self, keep: Callable[[Task], bool]) -> Examples:
        """Return the examples whose task is to be kept."""
        return Examples(tuple(e for e in self.items if keep(e.task)), self.spectra, self.present, self.labels)

    def labels_of(self, example: Example) -> Labels:
        """Return the labels of one stretch, shape (T,)."""
        return self.labels[example.rows]

    @cached_property
    def ictal(self) -> tuple[NDArray[np.int64], ...]:
        """For each stretch, its ictal seconds (indices within it)."""
        return tuple(np.flatnonzero(self.labels_of(e) >= SEIZURE) for e in self.items)

    @cached_property
    def seconds(self) -> NDArray[np.int64]:
        """Length of each stretch, shape (n,)."""
        return np.array([e.seconds for e in self.items], dtype=np.int64)

    def summary(self) -> dict[str, dict[str, float]]:
        """Count recordings, patients, hours, seizures and ictal seconds of each source."""
        return {source: self._count(source) for source in dict.fromkeys(e.task.source for e in self.items)}

    def _count(self, source: str) -> dict[str, float]:
        own = [example for example in self.items if example.task.source == source]
        ictal = [self.labels_of(example) >= SEIZURE for example in own]
        return {
            "recordings": len({example.task.key for example in own}),
            "patients": len({example.task.patient for example in own}),
            "hours": round(sum(example.seconds for example in own) / 3600, 3),
            "seizures": sum(len(true_runs(mask)) for mask in ictal),
            "ictal_seconds": sum(int(mask.sum()) for mask in ictal),
        }


def content_key(*parts: object) -> str:
    """Hash what something depends on."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def type_label(name: str) -> int:
    """Return the label of a SzCORE event type.

    >>> [type_label(name) for name in ("bckg", "sz", "sz_foc_ia", "sz_gen_nm_typical", "sz_gen_m_tonic")]
    [0, 1, 2, 4, 3]
    """
    if name.startswith("bckg"):
        return BACKGROUND
    if name.startswith("sz_foc_f2b"):  # focal first, tonic-clonic later: it teaches neither
        return SEIZURE
    matching = [k for k, kind in enumerate(TYPES) if name == kind or name.startswith(f"{kind}_")]
    return SEIZURE + 1 + max(matching, key=lambda k: len(TYPES[k])) if matching else SEIZURE


@dataclass
class Store:
    """Three growing binary files and an index; another set of nodes is another store.

    What an interruption left without a line in the index is cut off when the store is opened again.
    """

    folder: Path
    nodes: tuple[str, ...]
    index: dict[str, list[tuple[int, int]]] = field(default_factory=dict, init=False)  # start and seconds, by key

    def __post_init__(self) -> None:
        make_folder(self.folder)
        self._stem = f"spectra-{content_key(_STORE_VERSION, self.nodes, N_BINS)[:12]}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out while the store grows, and read its index."""
        with self._path("lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._load()
            yield

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self._stem}.{suffix}"

    def _load(self) -> None:
        self.index = {}
        if self._path("jsonl").exists():
            for line in self._path("jsonl").read_text().splitlines():
                entry = json.loads(line)
                self.index[entry["key"]] = [(int(a), int(b)) for a, b in entry["pieces"]]
        self._end = max((a + n for spans in self.index.values() for a, n in spans), default=0)
        widths = {"f16": len(self.nodes) * N_BINS * 2, "present": len(self.nodes), "labels": 1}  # bytes of a second
        for suffix, width in widths.items():
            with self._path(suffix).open("ab") as file:
                file.truncate(self._end * width)

    def append(self, key: str, stretches: Sequence[Stretch]) -> None:
        """Add the stretches of one recording."""
        spans = []
        for stretch in stretches:
            arrays: dict[str, NDArray[Any]] = {
                "f16": stretch.spectra,
                "present": stretch.present,
                "labels": stretch.labels,
            }
            for suffix, array in arrays.items():
                with self._path(suffix).open("ab") as file:
                    file.write(np.ascontiguousarray(array).tobytes())
            spans.append((self._end, len(stretch.labels)))
            self._end += len(stretch.labels)
        self.index[key] = spans
        with self._path("jsonl").open("a") as file:
            file.write(json.dumps({"key": key, "pieces": spans}) + "\n")

    def examples(self, tasks: Sequence[Task]) -> Examples:
        """Return the examples of these tasks, all of which are in the store."""
        items = tuple(Example(task, start, n) for task in tasks for start, n in self.index[task.key])
        if not items:
            raise UsageError("DATA", "no recording gives enough nodes", "recordings of the 10-20 system")
        n_nodes = len(self.nodes)
        spectra = np.memmap(self._path("f16"), np.float16, "r", shape=(self._end, n_nodes, N_BINS))
        present = np.fromfile(self._path("present"), dtype=np.uint8).reshape(-1, n_nodes)
        return Examples(items, spectra, present, np.fromfile(self._path("labels"), dtype=np.int8))
