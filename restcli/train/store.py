"""Examples to learn from: spectra and labels of recordings, kept on disk by content; knows no torch."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.detect.settings import usable_labels
from restcli.errors import OutputError, RestError, UsageError
from restcli.events import Events
from restcli.signal.montage import Montage, derive
from restcli.signal.quality import Quality, judge

SFREQ = 200.0
N_BINS = 100
"""Bins kept of each second: 0..99 Hz, enough for every feature form."""

TYPES = ("sz_foc", "sz_gen", "sz_gen_nm_typical", "sz_gen_m_tonicClonic")
"""What the second readout tells apart: focal, generalised, absence, tonic-clonic."""

UNKNOWN, BACKGROUND, SEIZURE = -1, 0, 1
"""Labels of a second; ``SEIZURE + 1 + k`` is a seizure of type ``TYPES[k]``, `SEIZURE` one of unknown type."""

SIMULATED = "sim:"
_SMALLEST = 1e-3
_STORE_VERSION = 1

Progress = Callable[[int, int, dict[str, float]], None]
Float16Array = NDArray[np.float16]


@dataclass(frozen=True)
class Task:
    """One recording to turn into examples.

    Parameters
    ----------
    key : str
        Hash of everything that its examples depend on.
    source : str
        Dataset, for the card.
    patient : str
        Never on both sides of a split.
    split : str
        ``train``, ``dev``, ``eval`` where a dataset says so, else empty.
    seed : int, or None
        Seed of a simulated recording.
    seconds : float
        Length of a simulated recording.
    path : Path, or None
        File of a real recording.
    events : Events, or None
        Expert marks of a real recording.
    """

    key: str
    source: str
    patient: str
    split: str = ""
    seed: int | None = None
    seconds: float = 0.0
    path: Path | None = None
    events: Events | None = None


@dataclass(frozen=True, eq=False)
class Piece:
    """An unbroken stretch of one recording, as computed.

    Parameters
    ----------
    spectra : ndarray of float16, shape (T, N, 100)
        Natural logarithm of the magnitudes.
    present : ndarray of uint8, shape (T, N)
        1 where a node is good.
    labels : ndarray of int8, shape (T,)
        UNKNOWN, BACKGROUND, SEIZURE or a type.
    """

    spectra: Float16Array
    present: NDArray[np.uint8]
    labels: NDArray[np.int8]


@dataclass(frozen=True)
class Example:
    """Where an unbroken stretch lies in the store."""

    task: Task
    start: int
    seconds: int


@dataclass(frozen=True, eq=False)
class Examples:
    """Stretches of recordings with their spectra, good nodes and labels on disk.

    Parameters
    ----------
    items : tuple of Example
        The stretches.
    spectra : ndarray of float16, shape (S, N, 100)
        Of the whole store, seconds one after another (memory-mapped).
    present : ndarray of uint8, shape (S, N)
        1 where a node is good.
    labels : ndarray of int8, shape (S,)
        Label of each second.
    """

    items: tuple[Example, ...]
    spectra: Float16Array
    present: NDArray[np.uint8]
    labels: NDArray[np.int8]

    def subset(self, keep: Callable[[Task], bool]) -> Examples:
        """Return the examples whose task is to be kept."""
        return Examples(tuple(e for e in self.items if keep(e.task)), self.spectra, self.present, self.labels)

    def labels_of(self, example: Example) -> NDArray[np.int8]:
        """Labels of one stretch, shape (T,)."""
        return self.labels[example.start : example.start + example.seconds]

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
        table: dict[str, dict[str, Any]] = {}
        for example, ictal in zip(self.items, self.ictal, strict=True):
            row = table.setdefault(
                example.task.source, {"recordings": set(), "patients": set(), "s": 0, "seizures": 0, "ictal_s": 0}
            )
            row["recordings"].add(example.task.key)
            row["patients"].add(example.task.patient)
            row["s"] += example.seconds
            row["seizures"] += int(np.count_nonzero(np.diff(ictal) > 1)) + int(ictal.size > 0)
            row["ictal_s"] += int(ictal.size)
        return {
            source: {
                "recordings": len(row["recordings"]),
                "patients": len(row["patients"]),
                "hours": round(row["s"] / 3600, 3),
                "seizures": row["seizures"],
                "ictal_seconds": row["ictal_s"],
            }
            for source, row in table.items()
        }


@dataclass(frozen=True)
class Gathering:
    """How examples are made and where they are kept.

    Parameters
    ----------
    nodes : tuple of str
        Nodes of the graph.
    cache : Path
        Folder of the store.
    recordings : int
        Simulated recordings that a plain ``sim:`` stands for.
    seconds : float
        Length of each, s.
    min_nodes : int
        A recording that gives fewer nodes is an error.
    workers : int
        Processes; 1 works in this one.
    """

    nodes: tuple[str, ...]
    cache: Path
    recordings: int = 1500
    seconds: float = 120.0
    min_nodes: int = 8
    workers: int = 1


def gather(data: Sequence[str], how: Gathering, *, on_progress: Progress | None = None) -> Examples:
    """Make, or fetch from the store, the examples of all data.

    Parameters
    ----------
    data : sequence of str
        ``sim:`` (or ``sim:FIRST-LAST``, seeds), or paths of datasets.
    how : Gathering
        Nodes, store, processes.
    on_progress : callable, optional
        Called with recordings done, recordings in all, and an empty dictionary.

    Returns
    -------
    examples : Examples

    Raises
    ------
    UsageError
        If there are no data.
    RestError
        If a recording cannot be used or has no annotation.
    """
    tasks = tuple(task for item in data for task in find_tasks(item, how))
    if not tasks:
        raise UsageError("DATA", "no recordings", "'sim:' or folders of recordings with expert marks")
    store = Store(how.cache, how.nodes)
    with store.locked():
        missing = [task for task in {task.key: task for task in tasks}.values() if task.key not in store.index]
        done = len(tasks) - len(missing)
        for task, pieces in _compute(missing, how):
            store.append(task.key, pieces)
            done += 1
            if on_progress is not None:
                on_progress(done, len(tasks), {})
        return store.examples(tasks)


def find_tasks(item: str, how: Gathering) -> tuple[Task, ...]:
    """List the recordings that one item of data stands for."""
    if item.startswith(SIMULATED):
        return _simulated_tasks(item, how)
    from restcli.io.registry import recording_hash
    from restcli.marks.layouts import find_items

    tasks = []
    for found in find_items(Path(item)):
        events = found.events
        marks = repr([(e.onset, e.duration, e.label) for e in events])
        key = _hash("real", recording_hash(found.recording_path), marks)
        patient = f"{found.source}/{found.patient}"
        tasks.append(Task(key, found.source, patient, found.split or "", path=found.recording_path, events=events))
    return tuple(tasks)


def _simulated_tasks(item: str, how: Gathering) -> tuple[Task, ...]:
    span = item.removeprefix(SIMULATED)
    try:
        first, last = (int(part) for part in span.split("-")) if span else (0, how.recordings - 1)
    except ValueError as error:
        raise UsageError(item, "not a range of seeds", "'sim:' or 'sim:FIRST-LAST'") from error
    version = _simulator_version()
    return tuple(
        Task(_hash("sim", version, seed, how.seconds), "simulated", f"sim-{seed}", seed=seed, seconds=how.seconds)
        for seed in range(first, last + 1)
    )


@cache
def _simulator_version() -> str:
    """Fingerprint of what the simulator draws: another simulator, other examples; its comments do not count."""
    from restcli.simulate.draw import VERSION, draw

    digest = hashlib.sha256(str(VERSION).encode())
    for seed in range(8):
        digest.update(draw(seed, seconds=20.0).data.tobytes())
    return digest.hexdigest()[:16]


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _compute(tasks: Sequence[Task], how: Gathering) -> Iterator[tuple[Task, list[Piece]]]:
    """Compute pieces in order, in this process or in several; the result is the same."""
    work = partial(compute_pieces, nodes=how.nodes, min_nodes=how.min_nodes)
    if how.workers <= 1 or len(tasks) < 2:
        yield from ((task, work(task)) for task in tasks)
        return
    with ProcessPoolExecutor(how.workers, mp_context=get_context("spawn")) as pool:
        yield from zip(tasks, pool.map(work, tasks, chunksize=4), strict=True)


def compute_pieces(task: Task, *, nodes: tuple[str, ...], min_nodes: int) -> list[Piece]:
    """Turn one recording into examples.

    Parameters
    ----------
    task : Task
        A simulated or a real recording.
    nodes : tuple of str
        Nodes of the graph.
    min_nodes : int
        Fewer nodes make a real recording an error, and a simulated one no example.

    Returns
    -------
    list of Piece
        One for each unbroken stretch.

    Raises
    ------
    RestError
        If a real recording gives too few nodes.
    """
    if task.seed is not None:
        from restcli.simulate.draw import draw

        drawn = draw(task.seed, seconds=task.seconds)
        montage = derive(drawn.labels, nodes)
        if len(montage.nodes) < min_nodes:
            return []
        data = drawn.data[list(montage.channels)]
        saturated = np.zeros((len(data), int(data.shape[1] // SFREQ)), dtype=np.float32)
        return [_piece(data, saturated, (montage, nodes), _second_labels(drawn.events, 0.0, saturated.shape[1]))]
    return _recording_pieces(task, nodes, min_nodes)


def _recording_pieces(task: Task, nodes: tuple[str, ...], min_nodes: int) -> list[Piece]:
    from restcli.io.registry import open_recording

    assert task.path is not None  # tells the type checker what find_tasks made sure of
    assert task.events is not None
    recording = open_recording(task.path)
    montage = derive(usable_labels(recording), nodes)
    if len(montage.nodes) < min_nodes:
        raise RestError(
            str(task.path),
            f"only {len(montage.nodes)} of {len(nodes)} nodes can be derived",
            f"at least {min_nodes}",
            "leave the recording out, or rename its channels",
        )
    groups: list[list[Piece]] = []
    end = float("nan")
    for block in recording.blocks(montage.channels, sfreq=SFREQ):
        labels = _second_labels(task.events, block.start, block.saturated.shape[1])
        piece = _piece(block.data, block.saturated, (montage, nodes), labels)
        if abs(block.start - end) > 0.5 or not groups:
            groups.append([])
        groups[-1].append(piece)
        end = block.start + len(labels)
    return [_join(group) for group in groups]


def _piece(
    data: NDArray[np.float32],
    saturated: NDArray[np.float32],
    place: tuple[Montage, tuple[str, ...]],
    labels: NDArray[np.int8],
) -> Piece:
    """Spectra and quality of the nodes found, put where the whole graph has them; judged as detection does."""
    montage, nodes = place
    signal = np.asarray(montage.matrix @ np.nan_to_num(data), dtype=np.float32)
    magnitude, codes = judge(data, saturated, signal, montage.matrix, sfreq=SFREQ)
    good = codes == Quality.GOOD
    column = [nodes.index(name) for name in montage.nodes]
    spectra = np.zeros((len(magnitude), len(nodes), N_BINS), dtype=np.float16)
    logs = np.log(np.maximum(np.nan_to_num(magnitude[..., :N_BINS]), _SMALLEST))
    spectra[:, column] = np.where(good[..., None], logs, 0.0)
    present = np.zeros((len(magnitude), len(nodes)), dtype=np.uint8)
    present[:, column] = good
    return Piece(spectra, present, labels[: len(magnitude)])


def _second_labels(events: Events, start: float, n_seconds: int) -> NDArray[np.int8]:
    """Label each second by what holds at its middle."""
    middle = start + np.arange(n_seconds) + 0.5
    labels = np.zeros(n_seconds, dtype=np.int8)
    for event in events:
        inside = (middle >= event.onset) & (middle < event.stop)
        labels[inside] = type_label(event.label)
    return labels


def type_label(name: str) -> int:
    """Return the label of a SzCORE event type.

    Examples
    --------
    >>> [type_label(name) for name in ("bckg", "sz", "sz_foc_ia", "sz_gen_nm_typical", "sz_gen_m_tonic")]
    [0, 1, 2, 4, 3]
    """
    if name.startswith("bckg"):
        return BACKGROUND
    if name.startswith("sz_foc_f2b"):  # focal first, tonic-clonic later: it teaches neither
        return SEIZURE
    matching = [k for k, kind in enumerate(TYPES) if name == kind or name.startswith(f"{kind}_")]
    return SEIZURE + 1 + max(matching, key=lambda k: len(TYPES[k])) if matching else SEIZURE


def _join(pieces: Sequence[Piece]) -> Piece:
    return Piece(
        np.concatenate([p.spectra for p in pieces]),
        np.concatenate([p.present for p in pieces]),
        np.concatenate([p.labels for p in pieces]),
    )


@dataclass
class Store:
    """Spectra of many recordings in one file, found again by key.

    Parameters
    ----------
    folder : Path
        Made if needed.
    nodes : tuple of str
        Nodes; another set of nodes is another store.

    Notes
    -----
    Seconds are appended to three plain binary files, then a line to an index. What an interruption left without a
    line is cut off when the store is opened again.
    """

    folder: Path
    nodes: tuple[str, ...]
    index: dict[str, list[tuple[int, int]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(str(self.folder), "cannot be made", "a folder for the store of spectra") from error
        self._stem = f"spectra-{_hash(_STORE_VERSION, self.nodes, N_BINS)[:12]}"

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
        self._end = max((a + n for pieces in self.index.values() for a, n in pieces), default=0)
        for suffix, width in self._widths().items():
            with self._path(suffix).open("ab") as file:
                file.truncate(self._end * width)

    def _widths(self) -> dict[str, int]:
        """Bytes of one second in each file."""
        n_nodes = len(self.nodes)
        return {"f16": n_nodes * N_BINS * 2, "present": n_nodes, "labels": 1}

    def append(self, key: str, pieces: Sequence[Piece]) -> None:
        """Add the pieces of one recording."""
        spans = []
        for piece in pieces:
            for suffix, array in (("f16", piece.spectra), ("present", piece.present), ("labels", piece.labels)):
                with self._path(suffix).open("ab") as file:
                    file.write(np.ascontiguousarray(array).tobytes())
            spans.append((self._end, len(piece.labels)))
            self._end += len(piece.labels)
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


@dataclass(frozen=True)
class SplitRule:
    """How patients are parted into training and validation.

    Parameters
    ----------
    kind : str
        ``patient`` (by a hash of the patient and the seed), or ``official`` (what the dataset says; a dataset that says
        nothing is parted by patient).
    folds, fold : int
        One fold in `folds` validates.
    seed : int
        Another seed, another parting.
    """

    kind: str = "patient"
    folds: int = 10
    fold: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("patient", "official"):
            raise UsageError("split", repr(self.kind), "'patient' or 'official'")
        if self.folds < 2 or not 0 <= self.fold < self.folds:
            raise UsageError("folds", f"fold {self.fold} of {self.folds}", "at least 2 folds, and a fold among them")

    def side(self, task: Task) -> str:
        """Return ``train``, ``validation`` or ``neither`` (an official evaluation set is never touched)."""
        if task.split == "eval":
            return "neither"
        if self.kind == "official" and task.split:
            return {"train": "train", "dev": "validation"}.get(task.split, "neither")
        place = int(_hash("fold", self.seed, task.patient), 16) % self.folds
        return "validation" if place == self.fold else "train"


def split_examples(examples: Examples, rule: SplitRule) -> tuple[Examples, Examples]:
    """Part examples into training and validation; patients never straddle.

    Raises
    ------
    UsageError
        If a side is empty, or training or validation has no seizure or no background.
    """
    sides = (
        examples.subset(lambda task: rule.side(task) == "train"),
        examples.subset(lambda task: rule.side(task) == "validation"),
    )
    for name, side in zip(("training", "validation"), sides, strict=True):
        labels = np.concatenate([side.labels_of(e) for e in side.items]) if side.items else np.zeros(0, dtype=np.int8)
        if not (labels >= SEIZURE).any() or not (labels == BACKGROUND).any():
            raise UsageError(
                "DATA",
                f"the {name} side has no {'seizure' if not (labels >= SEIZURE).any() else 'background'}",
                "seizures and background on both sides of the split",
                "give more recordings, or another fold",
            )
    return sides[0], sides[1]


def describe(rule: SplitRule) -> dict[str, Any]:
    """Return the rule as plain values, for the card."""
    return asdict(rule)
