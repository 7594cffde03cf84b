"""Spectra, good nodes and labels of the recordings to learn from, kept on disk by content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.events import Events
from restcli.files import make_folder, replacing
from restcli.signal.sequences import true_runs

N_BINS = 100  # bins kept of each second: 0 to 99 Hz, enough for every form of features

# What the second readout tells apart: focal, generalised, absence, tonic-clonic.
TYPES = ("sz_foc", "sz_gen", "sz_gen_nm_typical", "sz_gen_m_tonicClonic")

# Labels of a second: SEIZURE is one of unknown type, SEIZURE + 1 + k one of type TYPES[k].
UNKNOWN, BACKGROUND, SEIZURE = -1, 0, 1

_STORE_VERSION = 3

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
    ward: bool = False  # simulated as on a ward instead of by the training diet
    path: Path | None = None  # of a real recording
    content: str = ""  # SHA-256 of a real recording
    events: Events | None = None  # expert marks of a real recording


@dataclass(frozen=True, eq=False)
class Stretch:
    """An unbroken stretch of one recording."""

    spectra: Float16Array  # (T, N, 100), natural logarithm of the magnitudes
    present: NDArray[np.uint8]  # (T, N), 1 where a node takes part
    relative: Float32Array  # (T, N), amplitude relative to the node's usual one
    labels: Labels  # (T,)

    @property
    def seconds(self) -> int:
        """Its length."""
        return len(self.labels)

    @cached_property
    def ictal(self) -> NDArray[np.bool_]:
        """Whether each second is one of a seizure, (T,)."""
        return np.asarray(self.labels >= SEIZURE)


@dataclass(frozen=True, eq=False)
class Example:
    """A stretch to learn from, in a memory-mapped file of the store."""

    task: Task
    stretch: Stretch


@dataclass(frozen=True, eq=False)
class Examples:
    """The stretches of several recordings."""

    items: tuple[Example, ...]

    @property
    def stretches(self) -> list[Stretch]:
        """Return them without their tasks."""
        return [example.stretch for example in self.items]

    def labels(self) -> Labels:
        """Join the labels of all stretches."""
        return np.concatenate([np.zeros(0, np.int8), *(stretch.labels for stretch in self.stretches)])

    def subset(self, keep: Callable[[Task], bool]) -> Examples:
        """Return the examples whose task is to be kept."""
        return Examples(tuple(example for example in self.items if keep(example.task)))

    def summary(self) -> dict[str, dict[str, float]]:
        """Count recordings, patients, hours, seizures and ictal seconds of each source."""
        sources = dict.fromkeys(example.task.source for example in self.items)
        return {source: _count([e for e in self.items if e.task.source == source]) for source in sources}


def _count(examples: Sequence[Example]) -> dict[str, float]:
    ictal = [example.stretch.ictal for example in examples]
    return {
        "recordings": len({example.task.key for example in examples}),
        "patients": len({example.task.patient for example in examples}),
        "hours": round(sum(len(mask) for mask in ictal) / 3600, 3),
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


@dataclass(frozen=True)
class ExampleStore:
    """One file for each recording: a table of seconds, written whole or not at all and read by memory mapping."""

    folder: Path
    nodes: tuple[str, ...]

    def __post_init__(self) -> None:
        make_folder(self.folder)

    def path(self, task: Task) -> Path:
        """Return the file of a recording; with other nodes it is another one."""
        return self.folder / f"{content_key(_STORE_VERSION, self.nodes, N_BINS, task.key)}.npy"

    def add(self, task: Task, stretches: Sequence[Stretch]) -> None:
        """Write the stretches of one recording."""
        n_nodes = len(self.nodes)
        columns = [
            ("spectra", np.float16, (n_nodes, N_BINS)),
            ("present", np.uint8, (n_nodes,)),
            ("relative", np.float32, (n_nodes,)),
        ]
        numbers = [("labels", np.int8), ("stretch", np.int16)]
        table = np.zeros(sum(stretch.seconds for stretch in stretches), np.dtype([*columns, *numbers], align=True))
        begin = 0
        for number, stretch in enumerate(stretches):
            rows = table[begin : begin + stretch.seconds]
            rows["spectra"], rows["present"], rows["labels"] = stretch.spectra, stretch.present, stretch.labels
            rows["relative"], rows["stretch"] = stretch.relative, number
            begin += stretch.seconds
        with replacing(self.path(task)) as file:
            np.save(file, table)

    def examples(self, tasks: Sequence[Task]) -> Examples:
        """Return the examples of these tasks, all of which are in the store."""
        items = [Example(task, stretch) for task in tasks for stretch in _read(self.path(task))]
        if tasks and not items:
            raise UsageError("DATA", "no recording gives enough nodes", "recordings of the 10-20 system")
        return Examples(tuple(items))


def _read(path: Path) -> list[Stretch]:
    table = np.load(path, mmap_mode="r")
    ends = np.flatnonzero(np.diff(np.array(table["stretch"]), append=-1)) + 1
    parts = np.split(table, ends)[:-1]
    return [Stretch(rows["spectra"], rows["present"], rows["relative"], np.array(rows["labels"])) for rows in parts]
