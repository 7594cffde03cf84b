"""Check the outputs of an archive against its ledgers and audit trails, and say what was changed by hand."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restcli.archive.audit import ACKNOWLEDGED, PATTERN, Reading, facts_of, read_trail, trail_name
from restcli.archive.derivatives import DESCRIPTIONS
from restcli.archive.ledger import DONE, FAILED, Ledger
from restcli.archive.shards import find_ledgers, missing_shards, shards_in_words
from restcli.archive.walk import is_inside, outputs_folder
from restcli.errors import OutputError
from restcli.files import read_json, resolve_output, sha256_of
from restcli.marks.registry import WRITABLE
from restcli.output.pictures import PLOTS
from restcli.output.run_report import REPORT_END

_NOT_OUTPUTS = (".restcli", "export")  # folders of caches, and of tables that can be exported again
_KINDS = "|".join(sorted({*WRITABLE, "csv", "json", *PLOTS} - {"none"}))
_OUTPUT = re.compile(rf".+_[a-z0-9]+(_p[0-9])?(_reviewed)?\.({_KINDS})", re.DOTALL)


@dataclass(frozen=True)
class Verified:
    """What a check found."""

    n_outputs: int  # files whose content was compared
    heads: Mapping[str, str]  # last hash of each trail; noted elsewhere, it reveals any later change
    faults: tuple[str, ...]  # what was changed, removed or added by hand
    remarks: tuple[str, ...]


def verify(out: Path, heads: Collection[str] = ()) -> Verified:
    """Check chains, ledgers and output hashes; `heads` are hashes noted earlier, which must still be in the chains."""
    ledgers = find_ledgers(out)
    readings = {path.name: read_trail(path) for path in sorted(out.glob(PATTERN))}
    faults = [fault for reading in readings.values() for fault in reading.faults]
    known = {entry["hash"] for reading in readings.values() for entry in reading.entries}
    faults += [f"no trail holds the noted hash {head[:12]}" for head in heads if head not in known]
    outputs: dict[str, str] = {}
    for path in ledgers:
        with Ledger(path) as ledger:
            archive = str(ledger.last_run().get("archive", ""))
            prefix = outputs_folder(archive, out).relative_to(out)
            outputs |= {(prefix / name).as_posix(): digest for name, digest in ledger.all_outputs().items()}
            reading = readings.get(trail_name(path.name))
            faults += [f"{trail_name(path.name)}: is missing"] if reading is None else _check(ledger, reading)
    reviewed, wrong = _reviewed(out, readings)
    faults += wrong + _check_index(out, readings)
    faults += _check_files(out, outputs | reviewed)
    known_files = {*outputs, *reviewed, *((prefix / name).as_posix() for name in DESCRIPTIONS)}
    faults += [f"{name}: was added" for name in _added(out, Path(archive), known_files)]
    remarks = [remark for reading in readings.values() for remark in reading.remarks]
    if missing := missing_shards(out):
        remarks.append(f"these shards never ran, so that nothing of theirs was checked: {shards_in_words(missing)}")
    heads_now = {name: reading.head for name, reading in readings.items()}
    return Verified(len(outputs) + len(reviewed), heads_now, tuple(faults), tuple(remarks))


def _check(ledger: Ledger, reading: Reading) -> Iterator[str]:
    """Compare what a ledger says of each recording with the last word of the trail on it."""
    name, outputs = ledger.path.name, ledger.all_outputs()
    last = {str(entry.get("path")): entry for entry in reading.entries if entry["what"] in (DONE, FAILED)}
    reasons = {
        str(entry.get("path")): entry.get("reason") for entry in reading.entries if entry["what"] == ACKNOWLEDGED
    }
    events: dict[str, list[dict[str, Any]]] = {}
    for event in ledger.events():
        events.setdefault(event["path"], []).append(event)
    for row in ledger.recordings():
        if row["state"] not in (DONE, FAILED):
            continue
        entry = last.get(row["path"])
        if entry is None:
            yield f"{name}: {row['path']!r} is {row['state']}, but the trail does not mention it"
            continue
        accepted = row["acknowledged"]
        if accepted is not None and accepted != reasons.get(row["path"]):
            yield f"{name}: {row['path']!r} is acknowledged, but the trail does not say so"
        report = f"{row['made_stem']}{REPORT_END}"
        said = facts_of(row, events.get(row["path"], ()), outputs.get(report) if row["state"] == DONE else None)
        if row["state"] == FAILED and entry.get("input") is None:
            said["input"] = None  # not known then; found since, when a copy came
        if changed := [key for key, value in said.items() if entry.get(key) != value]:
            yield f"{name}: the row of {row['path']!r} was changed ({', '.join(changed)})"


def _reviewed(out: Path, readings: Mapping[str, Reading]) -> tuple[dict[str, str], list[str]]:
    """Return the outputs after review, by name with their hashes, that the trails vouch for."""
    found: dict[str, str] = {}
    faults: list[str] = []
    entries = [entry for reading in readings.values() for entry in reading.entries if entry["what"] == "verdicts"]
    for name, digest in {str(entry.get("report")): str(entry.get("result")) for entry in entries}.items():
        found[name] = digest
        path = _place(out, name)
        if path is None or sha256_of(path) != digest:
            faults.append(f"{name}: its tables and pictures could not be checked")
            continue
        try:
            listed = dict(read_json(path)["outputs"])
            found |= {Path(name).with_name(output).as_posix(): str(value) for output, value in listed.items()}
        except (OSError, ValueError, KeyError, TypeError):
            faults.append(f"{name}: lists something other than outputs beside it")
    return found, faults


def _check_index(out: Path, readings: Mapping[str, Reading]) -> list[str]:
    """Compare the index page with the one that was written last."""
    entries = [entry for reading in readings.values() for entry in reading.entries if entry.get("index")]
    if not entries:
        return []
    newest = max(str(entry["time"]) for entry in entries)
    written = {str(entry["index"]) for entry in entries if str(entry["time"]) == newest}
    page = out / "index.html"
    return [] if page.is_file() and sha256_of(page) in written else ["index.html: is missing or was changed"]


def _check_files(out: Path, outputs: Mapping[str, str]) -> Iterator[str]:
    for name, digest in sorted(outputs.items()):
        path = _place(out, name)
        if path is None:
            yield f"{name}: is missing"
        elif sha256_of(path) != digest:
            yield f"{name}: was changed"


def _place(out: Path, name: str) -> Path | None:
    """Return the path of a file in the folder of outputs; None if there is none, or only a link."""
    try:
        path = resolve_output(out, name)
        return path if is_inside(name) and path.is_file() and not path.is_symlink() else None
    except (OSError, ValueError, OutputError):  # such as a name too long to be there
        return None


def _added(out: Path, archive: Path, known: Collection[str]) -> Iterator[str]:
    """Yield files that look like outputs and that neither a ledger nor a trail knows."""
    for place, folders, files in os.walk(out):
        folders[:] = [name for name in folders if Path(place, name).resolve() != archive]
        if Path(place) == out:
            folders[:] = [name for name in folders if name not in _NOT_OUTPUTS]
        names = (Path(place, file).relative_to(out).as_posix() for file in files if _OUTPUT.fullmatch(file))
        yield from sorted(name for name in names if name not in known)
