"""One recording of an archive on one worker: annotate it, or report why not."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restcli.archive.audit import was_made_by_batch
from restcli.archive.cache import ScoreCache, scoring_digest
from restcli.archive.gpu import UnfitWorkerError, turn_at
from restcli.archive.ledger import LedgerRow
from restcli.archive.walk import is_output_of
from restcli.detect.settings import Settings
from restcli.errors import OutputError, RecordingError, RestError, UsageError, as_rest_error
from restcli.files import resolve_output, sha256_of
from restcli.io.recording import Recording
from restcli.io.registry import files_of, fingerprint_of, open_recording, recording_hash, stamp_of
from restcli.nn.weights import Weights
from restcli.output.run_report import REPORT_END
from restcli.output.text import quality_warnings, unscored_reasons
from restcli.profiling import StageClock
from restcli.text import without_names

if TYPE_CHECKING:
    from restcli.detect.detector import Detector
    from restcli.detect.result import Result

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})
_detectors: dict[tuple[str, str], Detector] = {}  # of this process, by SHA-256 of weights and device


@dataclass(frozen=True)
class Plan:
    """What all recordings of a run have in common."""

    archive: str  # folder of recordings
    folder: str  # of outputs
    ledger: str  # a worker that does not see it has something else mounted there
    cache: ScoreCache
    weights: Weights  # sent along, so that no worker needs the file
    settings: Settings  # its `weights` is a name for people
    formats: tuple[str, ...]
    plot: str


def annotate_one(row: LedgerRow, plan: Plan) -> dict[str, Any]:
    """Annotate one recording and write its outputs; an error is returned, not raised."""
    clock = StageClock()
    facts: dict[str, Any] = {"worker": f"{socket.gethostname()}:{os.getpid()}"}
    try:
        facts |= _annotate(row, plan, clock)
    except Exception as error:  # no error may stop an archive
        text = str(as_rest_error(Path(row.path).name, error))
        if row.source:
            text = without_names(text, str(Path(plan.archive, row.source)), row.path)
        facts |= {"error": text, "error_class": type(error).__name__}
        facts |= {"full": _is_full(error), "fatal": isinstance(error, UnfitWorkerError)}
    facts["stages"] = json.dumps({stage: round(seconds, 4) for stage, seconds in clock.seconds.items()})
    facts["seconds"] = round(sum(clock.seconds.values()), 4)
    return facts


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk caused an error, however often it was raised again on its way up."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _annotate(row: LedgerRow, plan: Plan, clock: StageClock) -> dict[str, Any]:
    if not Path(plan.ledger).exists():
        raise OutputError(plan.folder, "is not visible to this worker", "the same folder on every worker")
    source = str(Path(plan.archive, row.source or row.path))
    place = resolve_output(plan.folder, row.stem)
    before = _stamp(source)
    with clock("hash"):
        is_known = row.hash is not None and before == (row.size, row.mtime_ns)
        content = str(row.hash) if is_known else recording_hash(source)
    with clock("open"):
        recording = open_recording(source)
        if row.source:
            recording = replace(recording, path=Path(row.path))
    result = _restored(recording, plan, content, clock)
    if result is None:
        result = _scored(recording, plan, clock)
        _check_unchanged(source, before)  # before anything is cached under the hash of what it was
        with clock("keep"):
            plan.cache.keep(content, result)
    with clock("outputs"):
        written = _write(result, plan, place, row.outputs)
    outputs = {path.relative_to(Path(plan.folder).resolve()).as_posix(): sha256_of(path) for path in written}
    try:
        _check_unchanged(source, before)
    except RecordingError:
        remove_outputs(plan.folder, outputs)
        raise
    remove_outputs(plan.folder, {name: digest for name, digest in row.outputs.items() if name not in outputs})
    return {
        "hash": content,
        "size": before[0],
        "mtime_ns": before[1],
        "clock": None if result.recording.clock is None else result.recording.clock.isoformat(sep=" "),
        "duration": result.scores.announced,
        "scored": result.scores.scored,
        "missing": result.recording.missing,
        "not_scored": {reason: round(seconds, 3) for reason, seconds in unscored_reasons(result.scores).items()},
        "n_events": len(result.events),
        "notes": "\n".join([*(f"repaired: {it}" for it in result.recording.repairs), *quality_warnings(result)]),
        "outputs": outputs,
        "events": _events(result, list(outputs)),
    }


def _write(result: Result, plan: Plan, place: Path, previous: Mapping[str, str]) -> tuple[Path, ...]:
    """Write the outputs; what the ledger knows as ours may be replaced, and nothing else."""
    from restcli.output.bundle import Bundle

    _check_recording(result, plan, place, previous)
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


def _check_recording(result: Result, plan: Plan, place: Path, previous: Mapping[str, str]) -> None:
    """Refuse to replace results of a recording with other contents that no batch made, such as those of annotate."""
    from restcli.output.bundle import recording_of

    report = place.with_name(f"{place.name}{REPORT_END}")
    if recording_of(report) in ("", result.recording.fingerprint):
        return
    digest = sha256_of(report)
    if digest not in previous.values() and not was_made_by_batch(Path(plan.ledger).parent, digest):
        what = "is about a recording with other contents, and no batch wrote it"
        remedy = f"Move {place.name}_* away and run the batch again with --retry failed"
        raise OutputError(str(report), what, "results of this recording, or none", remedy)


def _restored(recording: Recording, plan: Plan, content: str, clock: StageClock) -> Result | None:
    if not plan.cache.place(content).exists():
        return None
    with clock("restore"):
        return plan.cache.restore(content, recording, plan.weights, plan.settings)


def _scored(recording: Recording, plan: Plan, clock: StageClock) -> Result:
    if plan.cache.key != scoring_digest(plan.weights, plan.settings):
        remedy = "Install the same restcli on every worker, and start the workers again"
        raise UnfitWorkerError("workers", "they run another version of restcli than the coordinator", remedy=remedy)
    with clock("weights"):
        try:
            detector = _detector(plan.weights, plan.settings.device)
        except UsageError as error:  # no GPU here: this is no fault of the recording
            raise UnfitWorkerError(*error.args) from error
    with turn_at(detector.engine.device, clock):
        # The other processors belong to other workers.
        settings = replace(plan.settings, threads=plan.settings.threads or 1)
        # The run report tells what was asked for, whether scores were computed or kept.
        return replace(detector.annotate(recording, settings, clock=clock), settings=plan.settings)


def _detector(weights: Weights, device: str) -> Detector:
    """Build the network once for each process, and try the GPU when it is this process's turn."""
    from restcli.detect.detector import Detector

    if (weights.sha256, device) not in _detectors:
        with turn_at(device, StageClock()):
            _detectors[weights.sha256, device] = Detector(weights, device)
    return _detectors[weights.sha256, device]


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
    return [
        {
            "onset": event.onset,
            "duration": event.duration,
            "label": event.label,
            "confidence": None if math.isnan(event.confidence) else round(event.confidence, 6),
            "channels": ",".join(event.channels),
            "picture": next((name for name in outputs if Path(name).stem.endswith(f"_event{number:02d}")), None),
        }
        for number, event in enumerate(result.events, start=1)
    ]


def remove_outputs(folder: str | Path, outputs: Mapping[str, str]) -> None:
    """Remove outputs that no longer say anything true, as long as nobody has changed them."""
    for name, digest in outputs.items():
        with suppress(OSError, OutputError):
            path = resolve_output(folder, name)
            if path.is_file() and not path.is_symlink() and sha256_of(path) == digest:
                path.unlink()


def earlier_outputs(out: Path, folder: Path, row: LedgerRow) -> Mapping[str, str]:
    """Return what earlier batches made for a recording, as the ledger or, without an entry there, a trail proves."""
    from restcli.output.bundle import listed_outputs

    if row.outputs:
        return row.outputs
    try:
        report = resolve_output(folder, f"{row.stem}{REPORT_END}")
        listed = listed_outputs(report)
        digest = sha256_of(report) if listed else ""
    except (OSError, OutputError):
        return {}
    if not listed or not was_made_by_batch(out, digest):
        return {}
    place, slash, _ = row.stem.rpartition("/")
    found = {f"{place}{slash}{name}": value for name, value in (listed | {report.name: digest}).items()}
    return {name: value for name, value in found.items() if is_output_of(row.path, name)}


def finish_leftovers(folder: str | Path, stem: str) -> None:
    """Complete or remove what a killed worker left of the outputs of a recording."""
    from restcli.output.bundle import clear_leftovers

    with suppress(OSError, OutputError):
        place = resolve_output(folder, stem)
        clear_leftovers(place.parent, place.name)


def hash_many(paths: Sequence[str], column: str) -> list[str | None]:
    """Return the ``hash`` of whole recordings or the ``fingerprint`` of parts; None where one cannot be read."""
    found: list[str | None] = []
    for path in paths:
        try:
            found.append(recording_hash(path) if column == "hash" else fingerprint_of(files_of(path)))
        except (OSError, RestError):
            found.append(None)
    return found
