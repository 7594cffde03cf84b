"""Weights on real recordings, scored as by `restcli annotate`: ``python -m benchmarks.evaluation WEIGHTS ...``.

Prints Markdown tables: AUROC by group beside the baselines, results by recording, types of seizure; with
``--robustness`` the effect of changes in the recording chain. ``--into`` puts them between the marks of
a Markdown file.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.chain_changes import CHANGES, read_signals, write_signals
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.errors import RestError
from restcli.evaluation.dataset import baselines_of
from restcli.evaluation.measures import auroc as area
from restcli.evaluation.scoring import Tally, score_events, total
from restcli.events import Event, merge_events
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.nn.weights import Weights, load_weights
from restcli.text import markdown_table

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]

TOLERATED = 0.03
"""A change of the recording chain may move an AUROC by less than this."""

MARKS = ("<!-- tables: make evaluation -->", "<!-- end of tables -->")
_MAY_TRAIN = {f"Subject{k:02d}" for k in range(12)}
_TYPES_KNOWN = {"absence": "sz_gen_nm_typical"}
_NOTHING = np.zeros(0)
USED = "as used"


# ------------------------------------------------------------------------------------- recordings


@dataclass(frozen=True)
class Shared:
    """One line of ``recordings.csv``."""

    path: Path
    group: str  # folder: absence, iiic, chbmit or eegmat
    kind: str  # seizure, mimic, disputed or background
    seizures: tuple[tuple[float, float], ...]  # s, from and to
    known: tuple[float, float]  # s that the label holds for
    may_train: bool  # whether it may be training data: then it counts in no AUROC

    @property
    def name(self) -> str:
        """Short name for tables."""
        return self.path.stem.removeprefix("iiic_").removeprefix("chbmit_").removesuffix("_clip")

    def labels(self, time: Float) -> tuple[Bool, Bool]:
        """Tell for each second whether it is ictal, and whether it is known, each of shape (T,)."""
        ictal = np.zeros(len(time), dtype=bool)
        for start, stop in self.seizures:
            ictal |= (time >= start) & (time < stop)
        known = (time >= self.known[0]) & (time < self.known[1]) & (self.kind != "disputed")
        return ictal & known, known


def shared_recordings(folder: Path) -> tuple[Shared, ...]:
    """Read ``recordings.csv``."""

    def spans(text: str) -> tuple[tuple[float, float], ...]:
        pairs = [part.split("-") for part in text.split(";") if part]
        return tuple((float(start), float(stop)) for start, stop in pairs)

    found = []
    with (folder / "recordings.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            whole = ((0.0, float(row["duration"])),)
            known = whole if row["scored"] == "all" else spans(row["scored"])
            path = folder / row["path"]
            found.append(
                Shared(
                    path, path.parent.name, row["kind"], spans(row["seizures"]), known[0], row["subject"] in _MAY_TRAIN
                )
            )
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Judged:
    """A recording and what the weights say of it."""

    shared: Shared
    time: Float  # (T,)
    ictal: Bool  # (T,), as experts say
    known: Bool  # (T,), whether they say anything
    scores: dict[str, Float]  # (T,) of the network and of each baseline; NaN where not scored
    events: tuple[Event, ...]  # found at the weights' own rule
    types: tuple[str, ...]  # that `by_type` is about
    by_type: Float  # (T, C), probability of each type
    refused: str = ""  # why nothing could be scored; empty when something was

    @cached_property
    def tally(self) -> Tally:
        """Counts by SzCORE's event rule within the seconds that are known; none where experts disagree."""
        if self.shared.kind == "disputed" or self.refused:
            return Tally()
        start, stop = self.shared.known
        marks = [Event(a - start, b - a) for a, b in self.shared.seizures]
        found = [replace(event, onset=event.onset - start) for event in self.events]
        return score_events(merge_events(marks, stop - start), merge_events(found, stop - start))

    def values(self, of: str, *, ictal: bool) -> Float:
        """Scores of the known seconds of one kind."""
        values: Float = self.scores.get(of, _NOTHING)[self.known & (self.ictal == ictal)]
        return values


class Judge:
    """Judges recordings with one set of weights."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.detector = Detector(weights, "cpu")

    def __call__(self, shared: Shared, recording: Recording, *, baselines: bool = True) -> Judged:
        """Annotate a recording as `restcli annotate` does."""
        try:
            result = self.detector.annotate(recording, Settings())
        except RestError as error:
            no = np.zeros(0, dtype=bool)
            return Judged(shared, _NOTHING, no, no, {}, (), (), np.zeros((0, 0)), refused=str(error).split("; ")[0])
        scores = {USED: np.asarray(result.scores.probability, dtype=float)}
        if baselines:
            scores |= baselines_of(result)
        time = np.asarray(result.scores.time, dtype=float)
        by_type = result.scores.by_type
        return Judged(
            shared,
            time,
            *shared.labels(time),
            scores=scores,
            events=tuple(result.events),
            types=result.scores.types,
            by_type=np.zeros((len(time), 0)) if by_type is None else np.asarray(by_type, dtype=float),
        )


# --------------------------------------------------------------------------------------- measures


def _of_group(group: str, kind: str = "") -> Callable[[Judged], bool]:
    return lambda judged: judged.shared.group == group and (not kind or judged.shared.kind == kind)


def _mimic(judged: Judged) -> bool:
    return judged.shared.kind == "mimic"


def _any(judged: Judged) -> bool:  # noqa: ARG001
    return True


COMPARISONS: dict[str, tuple[Callable[[Judged], bool], Callable[[Judged], bool]]] = {
    "absence": (_of_group("absence"), _of_group("absence")),
    "IIIC seizures against mimics": (_of_group("iiic", "seizure"), _mimic),
    "all ictal against EEGMAT 12-17": (_any, _of_group("eegmat")),
    "CHB-MIT pooled": (_of_group("chbmit"), _of_group("chbmit")),
    "all ictal against mimics": (_any, _mimic),
    "all ictal against all other": (_any, _any),
}
CLIPS_MEAN = "CHB-MIT, mean of clips"


def auroc(ictal: Iterable[Float], other: Iterable[Float]) -> float:
    """Per-second AUROC of some seconds against others; NaN where a side is empty."""
    sides = [np.concatenate([np.zeros(0), *side]) for side in (ictal, other)]
    labels = np.repeat([True, False], [len(side) for side in sides])
    scores = np.concatenate(sides)
    return area(scores[np.isfinite(scores)], labels[np.isfinite(scores)])


def compare(judged: Sequence[Judged], of: str) -> dict[str, float]:
    """Compute every comparison for one score; recordings that may be training data are left out."""
    used = [one for one in judged if not one.shared.may_train]
    found = {}
    for name, (left, right) in COMPARISONS.items():
        ictal = [one.values(of, ictal=True) for one in used if left(one)]
        other = [one.values(of, ictal=False) for one in used if right(one)]
        found[name] = auroc(ictal, other)
    clips = [within(one, of) for one in used if one.shared.group == "chbmit"]
    found[CLIPS_MEAN] = float(np.mean(clips)) if clips else math.nan
    return found


def within(judged: Judged, of: str) -> float:
    """AUROC within one recording; NaN without both kinds of seconds."""
    return auroc([judged.values(of, ictal=True)], [judged.values(of, ictal=False)])


# ----------------------------------------------------------------------------------------- tables


def group_table(results: dict[str, list[Judged]]) -> str:
    """AUROC of each group: each weights file, then the baselines."""
    names = [*COMPARISONS, CLIPS_MEAN]
    rows: list[list[object]] = []
    for name, judged in results.items():
        rows.append([name, *_row(judged, USED, names)])
    # The amplitude baseline is the same for all weights that share nodes and bands; others are fitted with the weights.
    for name, judged in results.items():
        baselines = [of for of in judged[0].scores if of != USED]
        rows += [[f"{of} ({name})", *_row(judged, of, names)] for of in baselines]
    return markdown_table(["per-second AUROC", *names], _without_repeats(rows))


def _row(judged: Sequence[Judged], of: str, names: Sequence[str]) -> list[object]:
    found = compare(judged, of)
    return [found[name] for name in names]


def _without_repeats(rows: Sequence[list[object]]) -> list[list[object]]:
    """Leave out a baseline that an earlier row gave already."""
    seen: dict[str, list[object]] = {}
    for row in rows:
        kind = str(row[0]).partition(" (")[0]
        seen.setdefault(f"{kind or row[0]} {[f'{x:.3f}' for x in row[1:]]}", row)
    return list(seen.values())


def recording_table(results: dict[str, list[Judged]]) -> str:
    """Each recording at the weights' own rule, one line each; those that may be training data in one line."""
    head = ["recording", "expert label"]
    for name in results:
        head += [f"{name}: AUROC", "found", "false alarms", "mean probability of labelled seconds"]
    first = next(iter(results.values()))
    baselines = [of for of in first[0].scores if of != USED]
    head += baselines
    rows = []
    for index, one in enumerate(first):
        if one.shared.may_train:
            continue
        row: list[object] = [one.shared.name, _experts(one.shared)]
        for judged in results.values():
            row += _recording_cells(judged, index)
        row += [_separation(first, index, of) for of in baselines]
        rows.append(row)
    tail: list[object] = ["EEGMAT 0-11 (possible training data)", "background"]
    for judged in results.values():
        tail += ["", "", sum(one.tally.false for one in judged if one.shared.may_train), ""]
    rows.append(tail + [""] * (len(head) - len(tail)))
    return markdown_table(head, rows)


def _experts(shared: Shared) -> str:
    return f"{len(shared.seizures)} seizures" if len(shared.seizures) > 1 else shared.kind


def _recording_cells(judged: Sequence[Judged], index: int) -> list[object]:
    one = judged[index]
    if one.refused:
        return ["not scored", "", "", ""]
    values = one.scores[USED][one.known if one.known.any() else slice(None)]
    mean = float(np.nanmean(values)) if np.isfinite(values).any() else math.nan
    found = f"{one.tally.found} of {one.tally.expert}" if one.tally.expert else ""
    false = "" if one.shared.kind == "disputed" else one.tally.false
    return [_separation(judged, index, USED), found, false, mean]


def _separation(judged: Sequence[Judged], index: int, of: str) -> float | str:
    """AUROC within a recording; a clip of one kind against the other kind's clips of its group, EEGMAT against all."""
    one = judged[index]
    value = within(one, of)
    if not math.isnan(value):
        return value
    if one.shared.kind == "disputed" or one.refused:
        return ""
    if one.ictal.any():
        return auroc([one.values(of, ictal=True)], [o.values(of, ictal=False) for o in judged if _mimic(o)])
    used = [o for o in judged if not o.shared.may_train and (one.shared.group in ("eegmat", o.shared.group))]
    return auroc([o.values(of, ictal=True) for o in used], [one.values(of, ictal=False)])


def type_table(results: dict[str, list[Judged]]) -> str:
    """Show what the second readout says of each real seizure: mean over its seconds that were scored."""
    rows = []
    for name, judged in results.items():
        for one in judged:
            for start, stop in one.shared.seizures:
                if one.refused or not one.types:
                    continue
                inside = (one.time >= start) & (one.time < stop) & np.isfinite(one.scores[USED])
                if not inside.any():
                    continue
                mean = one.by_type[inside].mean(axis=0)
                best = int(mean.argmax())
                true = _TYPES_KNOWN.get(one.shared.group, "not stated")
                labels = {e.label for e in one.events if e.onset < stop and e.stop > start}
                rows.append(
                    [
                        name,
                        one.shared.name,
                        f"{start:g}-{stop:g}",
                        true,
                        one.types[best],
                        float(mean[best]),
                        ", ".join(sorted(labels)) or "not found",
                    ]
                )
    return markdown_table(
        ["weights", "recording", "s", "true type", "predicted type", "probability", "label written"], rows
    )


def summary_table(results: dict[str, list[Judged]]) -> str:
    """Events at each weights' own rule, by group; false alarms with the hours they were looked for in."""
    rows = []
    for name, judged in results.items():
        row: list[object] = [name]
        for group in ("absence", "chbmit", "iiic"):
            whole = total(one.tally for one in judged if one.shared.group == group)
            row.append(f"{whole.found} of {whole.expert}")
        for part in (_of_group("absence"), _mimic, _of_group("eegmat")):
            whole = total(one.tally for one in judged if part(one))
            row.append(f"{whole.false} in {whole.seconds / 3600:.2f} h")
        rows.append(row)
    head = [
        "weights",
        "absences",
        "CHB-MIT",
        "IIIC",
        *(f"false alarms: {part}" for part in ("absence", "mimics", "EEGMAT 0-17")),
    ]
    return markdown_table(head, rows)


# ------------------------------------------------------------------------------------- robustness


def robustness(
    judges: dict[str, Judge], recordings: Sequence[Shared], base: dict[str, list[Judged]], tell: Callable[[str], None]
) -> str:
    """Change every evaluation recording in every way and compare; one table for each weights file.

    A recording that a change makes no sense for stands in the groups as it is; a group without any changed one is
    left empty.
    """
    used = [index for index, shared in enumerate(recordings) if not shared.may_train and shared.kind != "disputed"]
    signals = {index: read_signals(open_recording(recordings[index].path)) for index in used}
    names = [*COMPARISONS, CLIPS_MEAN]
    rows: dict[str, list[list[object]]] = {name: [] for name in judges}
    before = {name: compare(judged, USED) for name, judged in base.items()}
    for name in judges:
        rows[name].append(["AUROC of the original recordings", *(before[name][column] for column in names)])
    for what, change in CHANGES.items():
        tell(what)
        judged = {name: list(base[name]) for name in judges}
        groups = set()
        with tempfile.TemporaryDirectory() as folder:
            for index in used:
                changed = change(signals[index])
                if changed is None:
                    continue
                groups.add(recordings[index].group)
                path = write_signals(changed, Path(folder) / f"{recordings[index].path.stem}.edf")
                for name, judge in judges.items():
                    judged[name][index] = judge(recordings[index], open_recording(path), baselines=False)
                path.unlink()
        for name in judges:
            after = compare(judged[name], USED)
            cells = [_change_cell(after[c] - before[name][c], _touched(c, groups)) for c in names]
            lost = sum(bool(a.refused) and not b.refused for a, b in zip(judged[name], base[name], strict=True))
            rows[name].append([f"{what} ({lost} recordings refused)" if lost else what, *cells])
    parts = []
    for name, lines in rows.items():
        parts += [f"#### {name}", markdown_table(["change of AUROC", *names], lines)]
    return "\n\n".join(parts)


def _touched(comparison: str, groups: set[str]) -> bool:
    """Whether a change reached the recordings that a comparison is named after."""
    own = {"absence": "absence", "IIIC": "iiic", "CHB-MIT": "chbmit"}
    needed = next((group for start, group in own.items() if comparison.startswith(start)), None)
    return bool(groups) if needed is None else needed in groups


def _change_cell(change: float, touched: bool) -> str:
    if not touched or math.isnan(change):
        return ""
    text = f"{change:+.3f}"
    return f"**{text}**" if abs(change) >= TOLERATED else text


# ------------------------------------------------------------------------------------------- main


def tables(weights: Sequence[Path], folder: Path, tell: Callable[[str], None], *, changes: bool = False) -> str:
    """Return all tables as Markdown; `tell` is called with what is being done."""
    recordings = shared_recordings(folder)
    judges = {path.stem: Judge(load_weights(path)) for path in weights}
    results: dict[str, list[Judged]] = {name: [] for name in judges}
    for shared in recordings:
        recording = open_recording(shared.path)
        for name, judge in judges.items():
            results[name].append(judge(shared, recording))
        tell(shared.name)
    identity = ", ".join(f"{name} (SHA-256 {judge.weights.sha256[:8]})" for name, judge in judges.items())
    parts = [
        f"Weights: {identity}. Recordings are scored as by `restcli annotate`: quality rules, windows of "
        "whole seconds, the last seconds of each file not scored. AUROC is per second; events are counted by SzCORE's "
        "rule.",
        "### AUROC by group",
        group_table(results),
        "### Events, by the rule of each weights file",
        summary_table(results),
        "### By recording",
        "AUROC within the recording if it has both ictal and other seconds; otherwise, of a seizure clip against all "
        "clips of mimics, of a clip of mimics against the IIIC seizures, or of an EEGMAT recording against all ictal "
        "seconds.",
        recording_table(results),
    ]
    if any(one.types for judged in results.values() for one in judged):
        parts += ["### Types of seizure", type_table(results)]
    if changes:
        parts += [
            "### Changes of the recording chain",
            f"Bold: {TOLERATED:g} or more. Filters are causal (low-pass Butterworth of order 4, "
            "high-pass of order 1, notch with a quality factor of 30). Empty: the change does not apply to these "
            "recordings, or the weights refuse every changed recording.",
            robustness(judges, recordings, results, tell),
        ]
    return "\n\n".join(parts) + "\n"


def put_into(path: Path, text: str) -> None:
    """Replace what stands between the marks of a Markdown file."""
    before, found, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    _, closed, after = rest.partition(MARKS[1])
    if not found or not closed:
        sys.exit(f"{path}: no '{MARKS[0]}' and '{MARKS[1]}' in it; put both where the tables belong")
    path.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    """Judge, print, and put the tables where they belong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("weights", nargs="+", type=Path, help=".safetensors files, such as seeds of one recipe")
    parser.add_argument("--recordings", type=Path, default=Path("../shared/eeg"), help="folder with recordings.csv")
    parser.add_argument("--robustness", action="store_true", help="also change the recording chain")
    parser.add_argument("--into", type=Path, help="Markdown file to put the tables into, between its marks")
    options = parser.parse_args()
    begin = time.perf_counter()

    def tell(text: str) -> None:
        print(f"\r{time.perf_counter() - begin:6.0f} s  {text:<40}", end="", file=sys.stderr, flush=True)

    text = tables(options.weights, options.recordings, tell, changes=options.robustness)
    print(file=sys.stderr)
    print(text)
    if options.into is not None:
        put_into(options.into, text)


if __name__ == "__main__":
    main()
