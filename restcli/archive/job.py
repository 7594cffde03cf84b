"""One recording of an archive on one worker: annotate it, or report why not."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import socket
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restcli.archive.cache import PACKAGE, ScoreCache, scoring_digest
from restcli.archive.gpu import UnfitWorkerError, turn_at
from restcli.detect.settings import Settings
from restcli.errors import OutputError, RecordingError, RestError
from restcli.files import sha256_of
from restcli.io.companions import open_regular
from restcli.io.registry import open_recording, recording_hash, stamp_of
from restcli.nn.weights import Weights, load_weights
from restcli.profiling import StageClock

if TYPE_CHECKING:
    from restcli.detect.detector import Detector
    from restcli.detect.result import Result

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_GLIMPSE = 65_536


@dataclass(frozen=True)
class PackedWeights:
    """Weights on their way to a worker: with their bytes, so that no worker needs the file."""

    name: str  # file name without suffix
    sha256: str
    content: bytes


@dataclass(frozen=True)
class Plan:
    """What all recordings of a run have in common."""

    folder: str  # of outputs
    ledger: str  # a worker that does not see it has another disk in that place
    cache: ScoreCache
    weights: PackedWeights
    settings: Settings  # its `weights` is a name for people
    formats: tuple[str, ...]
    plot: str


@dataclass(frozen=True)
class Job:
    """One recording."""

    source: str
    stem: str  # what its outputs' names begin with, relative to the folder of outputs
    size: int  # as listed; `content` counts only while size and time hold
    mtime_ns: int
    content: str | None = None  # SHA-256 of its content when it is known
    previous: Mapping[str, str] | None = None  # names and SHA-256 of outputs of an earlier run


def annotate_one(job: Job, plan: Plan) -> dict[str, Any]:
    """Annotate one recording and write its outputs; whatever goes wrong is returned, not raised.

    The result holds plain values: always ``worker``, ``stages`` and ``seconds``; ``error``, ``error_class`` and
    ``full`` if it failed, else what `restcli.archive.ledger.Ledger.finish` enters.
    """
    clock = StageClock()
    facts: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}"}
    try:
        facts |= _annotate(job, plan, clock)
    except RestError as error:
        facts |= {"error": str(error), "error_class": type(error).__name__, "full": _is_full(error)}
        facts["fatal"] = isinstance(error, UnfitWorkerError)
    except Exception as error:
        # A recording must not stop an archive. The text is left out, for it may quote a header.
        text = f"{Path(job.source).name}: {_where(error)}. This is a bug of restcli, please report it."
        facts |= {"error": text, "error_class": type(error).__name__, "full": _is_full(error)}
    facts["stages"] = json.dumps({stage: round(seconds, 4) for stage, seconds in clock.seconds.items()})
    facts["seconds"] = round(sum(clock.seconds.values()), 4)
    return facts


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is at the bottom of an error, however often it was raised anew on its way up."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _where(error: Exception) -> str:
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if Path(frame.filename).is_relative_to(PACKAGE)]
    place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _annotate(job: Job, plan: Plan, clock: StageClock) -> dict[str, Any]:
    if not Path(plan.ledger).exists():
        raise OutputError(plan.folder, "is not visible to this worker", "the same folder on every worker")
    place = resolve_output(plan.folder, job.stem)
    before = _stamp(job.source)
    with clock("hash"):
        known = job.content is not None and before == (job.size, job.mtime_ns)
        content = job.content if known and job.content is not None else recording_hash(job.source)
    result = _result(job, plan, content, before, clock=clock)
    previous = dict(job.previous or {})
    with clock("outputs"):
        written = _write(result, plan, place, previous)
    outputs = {path.relative_to(Path(plan.folder).resolve()).as_posix(): sha256_of(path) for path in written}
    try:
        _check_unchanged(job.source, before)
    except RecordingError:
        remove_outputs(plan.folder, outputs)
        raise
    remove_outputs(plan.folder, {name: digest for name, digest in previous.items() if name not in outputs})
    return {
        "hash": content,
        "size": before[0],
        "mtime_ns": before[1],
        "duration": result.scores.announced,
        "scored": result.scores.scored,
        "missing": result.recording.missing,
        "n_events": len(result.events),
        "outputs": outputs,
        "events": _events(result, list(outputs)),
    }


def _write(result: Result, plan: Plan, place: Path, previous: Mapping[str, str]) -> tuple[Path, ...]:
    """Write the outputs; what the ledger knows as ours may be replaced, and nothing else."""
    from restcli.output.bundle import Bundle

    root = Path(plan.folder).resolve()
    owned = {Path(name).name: digest for name, digest in previous.items() if (root / name).parent == place.parent}
    bundle = Bundle(place.parent, place.name, plan.formats, plan.plot, owned=owned)
    try:
        # Times of this run go to the ledger: outputs made twice from the same are the same, byte for byte.
        return bundle.write(replace(result, stages={})).files
    except OutputError as error:
        if not error.remedy.endswith("--overwrite"):
            raise
        remedy = "Move it away and run the batch again with --retry failed"
        raise OutputError(error.where, error.what, error.expected, remedy) from error


def _result(job: Job, plan: Plan, content: str, before: tuple[int, int], *, clock: StageClock) -> Result:
    """Take cached scores when there are some, else score the recording and cache its scores."""
    with clock("open"):
        recording = open_recording(job.source)
    if plan.cache.place(content).exists():
        with clock("restore"):
            restored = plan.cache.restore(content, recording, unpack(plan.weights), plan.settings)
        if restored is not None:
            return restored
    if plan.cache.key != scoring_digest(unpack(plan.weights), plan.settings):
        remedy = "Install the same restcli on every worker, and start the workers again"
        raise UnfitWorkerError("workers", "they run another version of restcli than the coordinator", remedy=remedy)
    with clock("weights"):
        detector = _detector(plan.weights, plan.settings.device)
    with turn_at(detector.engine.backend.device.type, clock):
        result = detector.annotate(recording, plan.settings, clock=clock)
    _check_unchanged(job.source, before)  # before anything is cached under the hash of what it was
    with clock("keep"):
        plan.cache.keep(content, result)
    return result


@lru_cache(maxsize=4)
def unpack(packed: PackedWeights) -> Weights:
    """Return the weights, once for each process."""
    with tempfile.TemporaryDirectory(prefix="restcli-") as folder:
        path = Path(folder) / f"{packed.name}.safetensors"
        path.write_bytes(packed.content)
        return load_weights(path)


@lru_cache(maxsize=2)
def _detector(packed: PackedWeights, device: str) -> Detector:
    """Build the network once for each process, on one thread, and try the GPU when it is this process's turn."""
    import torch

    from restcli.detect.detector import Detector

    torch.set_num_threads(1)
    with turn_at("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu", StageClock()):
        return Detector(unpack(packed), device)


def _stamp(source: str) -> tuple[int, int]:
    try:
        return stamp_of(source)
    except OSError as error:
        raise RecordingError(source, f"cannot be read ({error.strerror})", "the file that was listed") from error


def _check_unchanged(source: str, before: tuple[int, int]) -> None:
    if _stamp(source) != before:
        raise RecordingError(source, "changed while it was read", remedy="Run the batch again when it is closed")


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


# ---- outputs of earlier runs


def resolve_output(folder: str | Path, name: str) -> Path:
    """Return the place of an output; raise OutputError if a link leads it out of the folder of outputs."""
    root = Path(folder).resolve()
    place = root / name
    if not place.parent.resolve().is_relative_to(root):
        raise OutputError(str(place.parent), "leads out of the folder of outputs", remedy="Remove the link")
    return place


def remove_outputs(folder: str | Path, outputs: Mapping[str, str]) -> None:
    """Remove outputs that no longer say anything true, as long as nobody has changed them."""
    for name, digest in outputs.items():
        with suppress(OSError, OutputError):
            path = resolve_output(folder, name)
            if path.is_file() and not path.is_symlink() and sha256_of(path) == digest:
                path.unlink()


def finish_leftovers(folder: str | Path, stem: str) -> None:
    """Complete or remove what a killed worker left of the outputs of a recording."""
    from restcli.output.bundle import clear_leftovers

    with suppress(OSError, OutputError):
        place = resolve_output(folder, stem)
        clear_leftovers(place.parent, place.name)


# ---- copies


def glimpse_many(paths: Sequence[str]) -> list[str | None]:
    """Hash the beginning, middle and end of files: equal files have equal glimpses. None where one cannot be read."""
    return [_glimpse(path) for path in paths]


def _glimpse(path: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with open_regular(Path(path)) as file:
            size = file.seek(0, os.SEEK_END)
            for place in (0, max(0, size // 2), max(0, size - _GLIMPSE)):
                file.seek(place)
                digest.update(file.read(_GLIMPSE))
    except (OSError, RestError):
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
