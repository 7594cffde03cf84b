"""From simulated or real recordings to examples in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from restcli.detect.scoring import SecondBySecond
from restcli.detect.settings import usable_labels
from restcli.errors import RecordingError, UsageError
from restcli.events import Events
from restcli.io.recording import Recording
from restcli.signal.features import REFERENCE_RATE, FeatureConfig, analysis_rate
from restcli.signal.montage import Montage, derive
from restcli.signal.quality import summarise
from restcli.train.settings import TrainSettings
from restcli.train.store import (
    N_BINS,
    UNKNOWN,
    Examples,
    ExampleStore,
    Float32Array,
    Labels,
    Stretch,
    Task,
    content_key,
    type_label,
)
from restcli.train.workers import worker_pool

if TYPE_CHECKING:
    from restcli.simulate.draw import Simulated

SIMULATED = "sim:"
_WARD_SECONDS, _WARD_SEIZURES = 1200.0, 96.0  # length, and seizures a day: more than on a ward, to count enough of them
_WARD_SEED = 10_000_000  # far from the seeds that networks learn from
MIN_NODES = 8  # a real recording with fewer is an error; a simulated one gives no example

TrainProgress = Callable[[int, int, dict[str, float]], None]


def find_tasks(data: Sequence[str], settings: TrainSettings) -> tuple[Task, ...]:
    """List the recordings of ``sim:``, ``sim:FIRST-LAST`` (seeds) or folders, after checking that each can be used."""
    tasks: list[Task] = []
    for item in data:
        found = _simulated_tasks(item, settings) if item.startswith(SIMULATED) else _real_tasks(Path(item), settings)
        tasks += found
    if not tasks:
        raise UsageError("DATA", "no recordings", "'sim:' or folders of recordings with expert marks")
    return tuple(tasks)


def ward_tasks(settings: TrainSettings) -> tuple[Task, ...]:
    """List the recordings that thresholds are chosen on, simulated as on a ward."""
    key, seeds = ("ward", _simulator_version(), _WARD_SECONDS, _WARD_SEIZURES), range(settings.ward)
    return tuple(
        Task(content_key(*key, seed), "ward", f"ward-{seed}", seed=_WARD_SEED + seed, seconds=_WARD_SECONDS, ward=True)
        for seed in seeds
    )


def build_examples(
    tasks: Sequence[Task], settings: TrainSettings, cache: Path, *, on_progress: TrainProgress | None = None
) -> Examples:
    """Make the examples of tasks, or fetch them from the store in `cache`."""
    store = ExampleStore(cache, settings.nodes)
    missing = [task for task in {task.key: task for task in tasks}.values() if not store.path(task).exists()]
    for done, (task, stretches) in enumerate(_compute(missing, settings), start=len(tasks) - len(missing) + 1):
        store.add(task, stretches)
        if on_progress is not None:
            on_progress(done, len(tasks), {})
    return store.examples(tasks)


def _real_tasks(path: Path, settings: TrainSettings) -> list[Task]:
    from restcli.io.registry import open_recording, recording_hash
    from restcli.marks.layouts import find_items

    tasks = []
    for item in find_items(path):
        recording = open_recording(item.recording_path)
        montage_of(recording, settings.nodes)
        events = item.marks.read(recording)
        marks = repr([(e.onset, e.duration, e.label) for e in events] + [(s.start, s.stop) for s in events.unscored])
        content = recording_hash(item.recording_path)
        key = content_key("real", content, marks)
        patient = f"{item.source}/{item.patient}"
        tasks.append(
            Task(key, item.source, patient, item.split or "", path=item.recording_path, content=content, events=events)
        )
    return tasks


def montage_of(recording: Recording, nodes: tuple[str, ...]) -> Montage:
    """Return the montage of a real recording; refuse one with too few nodes to learn from."""
    montage = derive(usable_labels(recording), nodes)
    if len(montage.nodes) < MIN_NODES:
        what = f"only {len(montage.nodes)} of {len(nodes)} nodes can be derived"
        remedy = "Leave the recording out, or rename its channels"
        raise RecordingError(str(recording.path), what, f"at least {MIN_NODES}", remedy)
    return montage


def _simulated_tasks(item: str, settings: TrainSettings) -> list[Task]:
    span = item.removeprefix(SIMULATED)
    try:
        first, last = (int(part) for part in span.split("-")) if span else (0, settings.recordings - 1)
    except ValueError as error:
        raise UsageError(item, "not a range of seeds", "'sim:' or 'sim:FIRST-LAST'") from error
    version, seconds = _simulator_version(), settings.seconds
    return [
        Task(content_key("sim", version, seed, seconds), "simulated", f"sim-{seed}", seed=seed, seconds=seconds)
        for seed in range(first, last + 1)
    ]


@cache
def _simulator_version() -> str:
    """Fingerprint of what the simulator draws: another simulator gives other examples."""
    from restcli.simulate.draw import VERSION, draw

    digest = hashlib.sha256(str(VERSION).encode())
    for seed in range(8):
        digest.update(draw(seed, seconds=20.0).data.tobytes())
    return digest.hexdigest()[:16]


def _compute(tasks: Sequence[Task], settings: TrainSettings) -> Iterator[tuple[Task, list[Stretch]]]:
    """Compute stretches in order, in this process or in several; the result is the same."""
    work = partial(compute_stretches, nodes=settings.nodes)
    if settings.workers <= 1 or len(tasks) < 2:
        yield from ((task, work(task)) for task in tasks)
        return
    with worker_pool(settings.workers) as pool:
        yield from zip(tasks, pool.map(work, tasks, chunksize=4), strict=True)


def compute_stretches(task: Task, *, nodes: tuple[str, ...]) -> list[Stretch]:
    """Turn one recording into examples, one for each unbroken stretch."""
    return _recorded_stretches(task, nodes) if task.seed is None else _simulated_stretches(task, nodes)


def _simulated_stretches(task: Task, nodes: tuple[str, ...]) -> list[Stretch]:
    reading = None
    found = []
    for drawn in _drawn(task):
        montage = derive(drawn.labels, nodes)
        if len(montage.nodes) < MIN_NODES:
            return []
        reading = reading or _Stretches(montage, nodes, together=False)
        data = drawn.data[list(montage.channels)]
        seconds = data[:, : data.shape[1] // REFERENCE_RATE * REFERENCE_RATE].reshape(len(data), -1, REFERENCE_RATE)
        labels = _second_labels(drawn.events, 0.0, seconds.shape[1])
        still = np.zeros(seconds.shape[:2], dtype=np.float32)
        found.append(reading.next(seconds, still, labels))
    return [_joined(found)]


def _drawn(task: Task) -> Iterator[Simulated]:
    """Draw a recording by the training diet, or segment by segment as on a ward."""
    from restcli.simulate.draw import SimulateOptions, draw, draw_long
    from restcli.simulate.profiles import WARD

    assert task.seed is not None  # the caller looked
    if task.ward:
        options = SimulateOptions(profile=WARD)
        yield from draw_long(task.seed, seconds=task.seconds, seizures_per_day=_WARD_SEIZURES, options=options)
    else:
        yield draw(task.seed, seconds=task.seconds)


def _joined(parts: Sequence[Stretch]) -> Stretch:
    columns = ("spectra", "present", "relative", "labels")
    return Stretch(*(np.concatenate([getattr(part, column) for part in parts]) for column in columns))


def _recorded_stretches(task: Task, nodes: tuple[str, ...]) -> list[Stretch]:
    from restcli.io.registry import open_recording

    assert task.path is not None and task.events is not None  # as `find_tasks` makes them
    recording = open_recording(task.path)
    montage = montage_of(recording, nodes)
    groups: list[list[Stretch]] = []
    end = float("nan")
    sfreq = analysis_rate([recording.source.rates[channel] for channel in montage.channels], FeatureConfig())
    for block in recording.blocks(montage.channels, sfreq=sfreq):
        labels = _second_labels(task.events, block.start, block.saturated.shape[1])
        if not abs(block.start - end) <= 1e-6:
            groups.append([])
            reading = _Stretches(montage, nodes)
        seconds = block.data.reshape(len(block.data), -1, sfreq)
        groups[-1].append(reading.next(seconds, block.saturated, labels))
        end = block.start + len(labels)
    return [_joined(group) for group in groups]


class _Stretches:
    """Turns the seconds of one stretch into examples, as detection sees them."""

    def __init__(self, montage: Montage, nodes: tuple[str, ...], *, together: bool = True) -> None:
        self._montage, self._nodes = montage, nodes
        self._columns = [nodes.index(name) for name in montage.nodes]
        self._so_far = SecondBySecond(FeatureConfig(), len(nodes), together=together)

    def next(self, seconds: Float32Array, saturated: Float32Array, labels: Labels) -> Stretch:
        """Take the next seconds of the channels, (C, T, n)."""
        summary = summarise(seconds, saturated, self._montage.matrix, FeatureConfig())
        summary = summary.widened(self._columns, len(self._nodes))
        _, present, relative = self._so_far.advance(summary)
        spectra = np.where(present[..., None], summary.logs[..., :N_BINS], 0).astype(np.float16)
        return Stretch(spectra, present.astype(np.uint8), relative, labels)


def _second_labels(events: Events, start: float, n_seconds: int) -> Labels:
    """Label each second by what holds at its middle; nothing is learnt where the marks claim nothing."""
    middle = start + np.arange(n_seconds) + 0.5
    labels = np.zeros(n_seconds, dtype=np.int8)
    for span in events.unscored:
        labels[(middle >= span.start) & (middle < span.stop)] = UNKNOWN
    for event in events:
        labels[(middle >= event.onset) & (middle < event.stop)] = type_label(event.label)
    return labels
