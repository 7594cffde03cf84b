"""What must not change: scores and events of real recordings, bytes of simulated ones, and the shipped weights.

``python -m benchmarks.ground_truth record FILE.npz --recordings ../shared/eeg`` keeps what today's code gives;
``compare`` in place of ``record`` lists every difference and exits 1 when there is one. Only doors that outlive the
modules behind them are used: `restcli.annotate`, ``restcli simulate`` and ``models/make.py``. The scores are those of a
CPU; another processor, or other versions of numpy, scipy or torch, may move them by more than is allowed here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import restcli

TOLERANCE = 1e-6
ROOT = Path(__file__).resolve().parents[1]
_SUFFIXES = {".edf", ".bdf", ".eeg"}
_SEEDS = (5, 8, 11)  # among the first dozen, the three that show the most kinds of seizures and mimics
_SIMULATE = ("--recordings", "5", "--hours", "0.05", "--seizures", "1200")

Facts = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def main() -> int:
    """Record or compare; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ground_truth", description=__doc__)
    parser.add_argument("command", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--recordings", type=Path, required=True, help="folder of real recordings")
    parser.add_argument("--weights", action="store_true", help="with compare: train the weights again (long)")
    options = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before torch is imported: a GPU's scores differ by more than TOLERANCE
    print(f"code: {Path(restcli.__file__).parent}", flush=True)
    if options.command == "compare":
        before = _load(options.file)
        return 1 if report(before, observe(options.recordings, train=options.weights)) else 0
    now = observe(options.recordings)
    _save(options.file, now)
    report(now, now)
    print(f"{options.file}: {options.file.stat().st_size:,} bytes")
    return 0


def observe(recordings: Path, *, train: bool = False) -> dict[str, Facts]:
    """Return the facts of every recording, simulated file and weights file, by name; the part before a ``/`` groups."""
    paths = {"examples/absence.edf": ROOT / "examples" / "absence.edf"}
    found = sorted(path for path in recordings.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    paths |= {path.relative_to(recordings).as_posix(): path for path in found}
    facts = {}
    for number, (name, path) in enumerate(paths.items(), start=1):
        if sys.stderr.isatty():
            print(f"\r{number}/{len(paths)} ", end="", file=sys.stderr, flush=True)
        facts[name] = _annotated(path)
    with tempfile.TemporaryDirectory() as temporary:
        for seed in _SEEDS:
            folder = Path(temporary) / f"seed{seed}"
            command = [*_command_line(), "simulate", str(folder), "--seed", str(seed), *_SIMULATE]
            facts |= _failure(f"simulated/seed{seed}", command)
        facts |= _hashes("simulated", Path(temporary), "*.edf", "*.tsv")
    if not train:
        return facts | _hashes("weights", ROOT / "models", "*.safetensors")
    with tempfile.TemporaryDirectory() as temporary:  # examples kept by earlier code would hide what this code makes
        out, cache = f"{temporary}/out", f"{temporary}/cache"
        command = [sys.executable, "models/make.py", "--out", out, "--cache", cache]
        return facts | _failure("weights/make.py", command) | _hashes("weights", Path(out), "*.safetensors")


def _annotated(path: Path) -> Facts:
    """Return scores and events of a recording, or the class of the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = restcli.annotate(path)
    except Exception as error:  # a crash is worth recording too: it must not become another one
        return {"error": f"{type(error).__name__} (exit code {getattr(error, 'exit_code', 'none')})"}
    scores, by_node = result.scores, np.asarray(result.scores.by_node)
    known = np.isfinite(by_node)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, by_node, 0).sum(axis=0, dtype=np.float64) / known.sum(axis=0)
    arrays: Arrays = {"time": np.asarray(scores.time, np.float64)}
    arrays |= {"probability": np.asarray(scores.probability, np.float32), "node_mean": mean.astype(np.float32)}
    if path.name == "absence.edf":
        arrays["by_node"] = by_node.astype(np.float32)
    events = [[e.onset, e.duration, e.label, e.confidence, *e.channels] for e in result.events]
    return {"scored": scores.scored, "events": events, "arrays": arrays}


def _command_line() -> list[str]:
    """Start ``restcli`` as this tree's pyproject.toml declares it: the installed script may belong to another tree."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["restcli"]
    module, function = declared.split(":")
    return [sys.executable, "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]


def _failure(name: str, command: list[str]) -> dict[str, Facts]:
    """Run a command from the root with the restcli that is imported here; returns its exit code only if it fails."""
    places = [str(Path(restcli.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    return {name: {"error": f"exit code {done.returncode}"}} if done.returncode else {}


def _hashes(group: str, folder: Path, *patterns: str) -> dict[str, Facts]:
    """Return the SHA-256 of the files in a folder that match."""
    paths = sorted(path for pattern in patterns for path in folder.rglob(pattern))
    return {
        f"{group}/{path.relative_to(folder).as_posix()}": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in paths
    }


def _save(path: Path, truth: Mapping[str, Facts]) -> None:
    """Keep facts as JSON, and the arrays of each kind one after the other as one array."""
    kept: dict[str, Facts] = {}
    joined: dict[str, list[NDArray[Any]]] = {}
    for name, facts in truth.items():
        arrays: Arrays = facts.get("arrays", {})
        kept[name] = {**facts, "arrays": {kind: array.shape for kind, array in arrays.items()}}
        for kind, array in arrays.items():
            joined.setdefault(kind, []).append(array.ravel())
    text = np.frombuffer(json.dumps(kept).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez_compressed(file, facts=text, **{kind: np.concatenate(parts) for kind, parts in joined.items()})


def _load(path: Path) -> dict[str, Facts]:
    """Read what `_save` wrote."""
    with np.load(path) as stored:
        joined = {kind: stored[kind] for kind in stored.files}
    truth: dict[str, Facts] = json.loads(joined.pop("facts").tobytes())
    for facts in truth.values():
        for kind, shape in facts["arrays"].items():
            size = int(np.prod(shape))
            facts["arrays"][kind], joined[kind] = joined[kind][:size].reshape(shape), joined[kind][size:]
    return truth


def report(before: Mapping[str, Facts], now: Mapping[str, Facts]) -> int:
    """Print a line for each group, and below it each difference; returns the number of differences."""
    total = 0
    for group in dict.fromkeys(name.split("/")[0] for name in [*before, *now]):
        names = [name for name in dict.fromkeys([*before, *now]) if name.split("/")[0] == group]
        faults = [f"  {name}: {fault}" for name in names for fault in differences(before.get(name), now.get(name))]
        there = [now[name] for name in names if name in now]
        errors = Counter(facts["error"] for facts in there if "error" in facts)
        counts = {"files": len(there), "scored": sum("scored" in facts for facts in there)}
        counts |= {"events": sum(len(facts.get("events", [])) for facts in there), **errors}
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        print(f"{group}: {told or 'nothing there'}; {len(faults)} differences", *faults, sep="\n", flush=True)
        total += len(faults)
    return total


def differences(before: Facts | None, now: Facts | None) -> Iterator[str]:
    """Say what differs between the facts of one file before and now."""
    if before is None or now is None:
        yield "was not recorded" if before is None else "is not there any more"
        return
    for key in ("error", "sha256"):
        if before.get(key) != now.get(key):
            yield f"{key} {before.get(key, 'none')} before, {now.get(key, 'none')} now"
    if "scored" not in before or "scored" not in now:
        return
    if not _close(before["scored"], now["scored"]):
        yield f"scored fraction {before['scored']} before, {now['scored']} now"
    for kind, array in before["arrays"].items():
        other = now["arrays"][kind]
        if array.shape != other.shape:
            yield f"{kind} of shape {array.shape} before, {other.shape} now"
        elif not _close(array, other):
            moved = int((np.isnan(array) != np.isnan(other)).sum())
            largest = np.nan_to_num(np.abs(array - other)).max()
            yield f"{kind}: largest difference {largest:.3g}; {moved} of {array.size} became NaN or a number"
    if not _same_events(before["events"], now["events"]):
        yield f"events before {before['events']}\n    events now    {now['events']}"


def _same_events(before: list[list[Any]], now: list[list[Any]]) -> bool:
    """Compare events exactly, but for the confidence, which is a mean of probabilities."""
    if len(before) != len(now):
        return False
    pairs = zip(before, now, strict=True)
    return all(a[:3] + a[4:] == b[:3] + b[4:] and _close(a[3], b[3]) for a, b in pairs)


def _close(before: Any, now: Any) -> bool:
    return bool(np.allclose(before, now, rtol=0, atol=TOLERANCE, equal_nan=True))


if __name__ == "__main__":
    sys.exit(main())
