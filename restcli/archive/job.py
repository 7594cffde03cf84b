"""One recording of an archive on one worker: annotate it, or say why not; knows neither ledger nor scheduler."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import socket
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restcli.detect.settings import Settings
from restcli.errors import OutputError, RecordingError, RestError
from restcli.io.registry import open_recording, recording_hash
from restcli.nn.weights import Weights, load_weights
from restcli.profiling import StageClock

if TYPE_CHECKING:
    from restcli.detect.detector import Detector
    from restcli.detect.result import Result

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_GLIMPSE = 65_536
# Of the files that scores are kept in, and of how scores are made: another number makes all be scored again.
SCORES_VERSION = 1
# One a user and a choice of GPUs: whoever sees another GPU need not wait for this one.
GPU_LOCK = Path(tempfile.gettempdir()) / "restcli-gpu-{}-{}.lock".format(
    os.getuid(), re.sub(r"\W", "_", os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
)


@dataclass(frozen=True)
class Parcel:
    """Weights on their way to a worker: with their bytes, so that no worker needs the file.

    Parameters
    ----------
    name : str
        File name without suffix.
    sha256 : str
        Of the file.
    content : bytes
        The file, tens of kilobytes.
    """

    name: str
    sha256: str
    content: bytes


@dataclass(frozen=True)
class Shelf:
    """Where scores are kept, and under which key.

    Parameters
    ----------
    folder : str
        Made when it is missing.
    settings : str
        Digest of all that changes scores, from `scoring_digest`.
    """

    folder: str
    settings: str

    def place(self, content: str) -> Path:
        """Return the file for a recording's content hash; folders of 256 keep directories short."""
        return Path(self.folder) / content[:2] / f"{content}-{self.settings[:16]}.safetensors"


def scoring_digest(weights: Weights, settings: Settings) -> str:
    """Digest everything that changes scores, so that equal digests mean equal scores for equal content.

    The device is left out: it changes scores by rounding only.
    """
    chosen = asdict(settings)
    for left_out in ("weights", "threshold", "device"):
        chosen.pop(left_out)
    text = json.dumps({"version": SCORES_VERSION, "weights": weights.sha256, **chosen}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Order:
    """What all recordings of a run have in common.

    Parameters
    ----------
    folder : str
        Folder of outputs.
    witness : str
        A file that a worker must see there: one that does not has another disk in that place.
    shelf : Shelf
        Where scores are kept.
    parcel : Parcel
        The weights.
    settings : Settings
        Its `weights` is a name for people.
    formats : tuple of str
        Event tables.
    plot : str
        Pictures.
    """

    folder: str
    witness: str
    shelf: Shelf
    parcel: Parcel
    settings: Settings
    formats: tuple[str, ...]
    plot: str


@dataclass(frozen=True)
class Task:
    """One recording.

    Parameters
    ----------
    source : str
        Its path.
    stem : str
        What its outputs' names begin with, relative to the folder of outputs.
    size, mtime_ns : int
        As listed; `content` counts only while they hold.
    content : str or None
        SHA-256 of its content when it is known.
    previous : tuple of str
        Outputs of an earlier run, relative to the folder of outputs; removed when they are not made again.
    """

    source: str
    stem: str
    size: int
    mtime_ns: int
    content: str | None
    previous: tuple[str, ...] = ()


def annotate_one(task: Task, order: Order) -> dict[str, Any]:
    """Annotate one recording and write its outputs; whatever goes wrong is returned, not raised.

    Parameters
    ----------
    task : Task
        The recording.
    order : Order
        What the run asks for.

    Returns
    -------
    dict
        Plain values. Always ``worker`` and ``stages``; ``error``, ``error_class`` and ``full`` when it failed, else
        ``hash``, ``size``, ``mtime_ns``, ``duration``, ``scored``, ``n_events``, ``events``, ``outputs``, ``reused``.

    Notes
    -----
    This holds the one broad ``except`` of the project: a recording must not stop an archive. The text of an error that
    nobody foresaw is left out, for it may quote a header; its kind and place are enough to mend it.
    """
    clock = StageClock()
    facts: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}"}
    try:
        facts |= _annotate(task, order, clock)
    except RestError as error:
        facts |= {"error": str(error), "error_class": type(error).__name__, "full": _is_full(error)}
    except Exception as error:
        text = f"{Path(task.source).name}: {_where(error)}; this is a bug of restcli, please report it"
        facts |= {"error": text, "error_class": type(error).__name__, "full": _is_full(error)}
    facts["stages"] = {stage: round(seconds, 4) for stage, seconds in clock.seconds.items()}
    return facts


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is at the bottom of an error, however often it was told anew on its way up."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _where(error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "restcli" in frame.filename]
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _annotate(task: Task, order: Order, clock: StageClock) -> dict[str, Any]:
    from restcli.output.bundle import Bundle

    if not Path(order.witness).exists():
        raise OutputError(order.folder, "this worker does not see it", "the same folder on every worker")
    before = _stamp(task.source)
    with clock("hash"):
        known = task.content is not None and before == (task.size, task.mtime_ns)
        content = task.content if known and task.content is not None else recording_hash(task.source)
    result, reused = _result(task, order, (content, before), clock=clock)
    with clock("outputs"):
        place = Path(order.folder) / task.stem
        # Times of this run go to the ledger: outputs made twice from the same are the same, byte for byte.
        bundle = Bundle(place.parent, place.name, order.formats, order.plot, overwrite=True)
        written = bundle.write(replace(result, stages={})).files
    try:
        _check_unchanged(task.source, before)
    except RecordingError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    outputs = _hashes(written, order.folder)
    for name in set(task.previous) - set(outputs):
        (Path(order.folder) / name).unlink(missing_ok=True)
    return {
        "hash": content,
        "size": before[0],
        "mtime_ns": before[1],
        "duration": result.scores.announced,
        "scored": result.scores.scored,
        "n_events": len(result.events),
        "outputs": outputs,
        "reused": reused,
        "events": _events(result, list(outputs)),
    }


def _result(task: Task, order: Order, known: tuple[str, tuple[int, int]], *, clock: StageClock) -> tuple[Result, bool]:
    """Take kept scores when there are some, else score the recording and keep its scores."""
    from restcli.archive.cache import keep_result, restore_result

    content, before = known
    with clock("open"):
        recording = open_recording(task.source)
    place = order.shelf.place(content)
    if place.exists():
        with clock("restore"):
            restored = restore_result(place, recording, unpack(order.parcel), order.settings)
        if restored is not None:
            return restored, True
    with clock("weights"):
        detector = _detector(order.parcel, order.settings.device)
    with turn_at(detector.device.type, clock):
        result = detector.annotate(recording, order.settings, clock=clock)
    _check_unchanged(task.source, before)  # before anything is kept under the hash of what it was
    with clock("keep"):
        place.parent.mkdir(parents=True, exist_ok=True)
        keep_result(result, place)
    return result, False


@lru_cache(maxsize=4)
def unpack(parcel: Parcel) -> Weights:
    """Return the weights in a parcel, once for each process."""
    with tempfile.TemporaryDirectory(prefix="restcli-") as folder:
        path = Path(folder) / f"{parcel.name}.safetensors"
        path.write_bytes(parcel.content)
        return load_weights(path)


@lru_cache(maxsize=2)
def _detector(parcel: Parcel, device: str) -> Detector:
    """Build the network once for each process, on one thread, and try the GPU when it is this process's turn."""
    import torch

    from restcli.detect.detector import Detector

    torch.set_num_threads(1)
    with turn_at("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu", StageClock()):
        return Detector(unpack(parcel), device)


@contextmanager
def turn_at(device: str, clock: StageClock) -> Iterator[None]:
    """Let one process of this machine at a time have the GPU; the CPU needs no turns.

    Parameters
    ----------
    device : str
        Type of the device that scores: ``cuda`` or ``cpu``.
    clock : StageClock
        Told how long the turn was waited for, as ``gpu_wait``.

    Notes
    -----
    While one process scores, the others hash (which brings the next recording into memory), write and draw. The lock
    is the system's own: however a process ends, by a signal too, the next has its turn.
    """
    if device != "cuda":
        yield
        return
    import fcntl

    import torch

    with GPU_LOCK.open("ab") as file:
        with clock("gpu_wait"):
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(RuntimeError):  # a GPU that has failed
                torch.cuda.empty_cache()  # or the next process would find the memory taken


def _stamp(source: str) -> tuple[int, int]:
    """Return size and time as the walk of the archive counts them."""
    from restcli.archive.walk import stamp_of

    try:
        return stamp_of(source)
    except OSError as error:
        raise RecordingError(source, f"cannot be read ({error.strerror})", "the file that was listed") from error


def _check_unchanged(source: str, before: tuple[int, int]) -> None:
    if _stamp(source) != before:
        raise RecordingError(source, "changed while it was read", remedy="run the batch again when it is closed")


def _hashes(written: Sequence[Path], folder: str) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in written}


def _events(result: Result, outputs: Sequence[str]) -> list[dict[str, Any]]:
    """Return the events as rows of the ledger, each with its picture when there is one."""
    rows = []
    for number, event in enumerate(result.events, start=1):
        picture = next((n for n in outputs if Path(n).stem.endswith(f"_event{number:02d}")), None)
        confidence = None if math.isnan(event.confidence) else round(event.confidence, 6)
        rows.append(
            {
                "onset": event.onset,
                "duration": event.duration,
                "label": event.label,
                "confidence": confidence,
                "channels": ",".join(event.channels),
                "picture": picture,
            }
        )
    return rows


def glimpse_many(paths: Sequence[str]) -> list[str | None]:
    """Hash the beginning, middle and end of files: equal files have equal glimpses. None where one cannot be read."""
    return [_glimpse(path) for path in paths]


def _glimpse(path: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            size = file.seek(0, os.SEEK_END)
            for place in (0, max(0, size // 2), max(0, size - _GLIMPSE)):
                file.seek(place)
                digest.update(file.read(_GLIMPSE))
    except OSError:
        return None
    return digest.hexdigest()


def hash_many(paths: Sequence[str]) -> list[str | None]:
    """Hash whole recordings; None where one cannot be read."""
    hashes: list[str | None] = []
    for path in paths:
        try:
            hashes.append(recording_hash(path))
        except RestError:
            hashes.append(None)
    return hashes
