"""A result in a folder of outputs: run report, scores and events that belong together."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from restcli.archive.places import place_of
from restcli.detect.settings import usable_labels
from restcli.errors import OutputError, RestError
from restcli.events import Event, EventRule, Events, Scores, Span
from restcli.files import files_below, read_json, sha256_of
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.marks.json import row_of, span_of
from restcli.nn.checks import read_value
from restcli.output.run_report import REPORT_END
from restcli.signal.montage import Montage, derive

_WHOLE = "the outputs of one run of restcli, unchanged"
_ROWS = 4096  # of scores that are read together
_APART, _TRIES = 30.0, 200  # s between a control stretch and the nearest event or unscored stretch; places tried
_AGAIN = "Annotate the recording again"
# What a run report holds, by place.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "restcli": str,
    "disclaimer": str,
    "device": str,
    "quality": dict,
    "outputs": dict,
    "recording.path": str,
    "recording.fingerprint": str,
    "recording.duration_s": (int, float),
    "recording.n_channels": int,
    "recording.segments": list,
    "weights.name": str,
    "weights.sha256": str,
    "settings.weights": str,
    "settings.step": (int, float),
    "settings.threshold": (int, float, type(None)),
    "settings.plot": str,
}
_LONGEST = 1e10  # s


@dataclass(frozen=True, eq=False)
class StoredResult:
    """The outputs of an earlier run on a recording."""

    folder: Path
    stem: str  # what the names of the outputs begin with
    report: Mapping[str, Any]  # the run report
    sources: Mapping[str, Path] = field(default_factory=dict)  # places of recordings that have pseudonyms

    @property
    def path(self) -> Path:
        """Path of the run report."""
        return self.folder / f"{self.stem}{REPORT_END}"

    @property
    def duration(self) -> float:
        """Seconds of the recording."""
        return float(self.report["recording"]["duration_s"])

    @property
    def rule(self) -> EventRule:
        """The rule that turned scores into events."""
        return EventRule(**self.report["rule"])

    @property
    def unscored(self) -> tuple[Span, ...]:
        """What was not scored."""
        return tuple(Span(**span) for span in self.report["scored"]["not_scored"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the recording, the events and the weights that found them: what a verdict refers to."""
        named = {
            "recording": self.report["recording"]["fingerprint"],
            "weights": self.report["weights"]["sha256"],
            "duration": self.duration,
            "events": self.report["events"],
        }
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()

    def _find_source(self, called: str) -> Path:
        """Look from this folder, from that of the report and those above it, then where a batch found it last."""
        named, above = self.sources.get(called, Path(called)), self.folder.resolve()
        places = (named, *(folder / named for folder in (above, *above.parents)))
        found = next((place for place in places if place.exists()), None) or place_of(self.path)
        if found is None or not found.exists():
            what = f"describes the recording {Path(called).name}, which is not there"
            remedy = "Bring it back; if its archive was moved, run restcli batch on its archive again"
            pseudonyms = ", or pass --pseudonyms if the batch had them"
            raise OutputError(str(self.path), what, "the recording that was annotated", remedy + pseudonyms)
        return found

    @cached_property
    def recording(self) -> Recording:
        """The recording, opened; OutputError when it is another one than the report describes."""
        called = self.report["recording"]["path"]
        recording = open_recording(self._find_source(called))
        described = self.report["recording"]
        same = (
            abs(recording.duration - self.duration) < 1e-3
            and len(recording.channels) == described["n_channels"]
            and len(recording.segments) == len(described["segments"])
            and described["fingerprint"] in ("", recording.fingerprint)
        )
        if not same:
            what = f"describes another recording than {Path(called).name} as it is now"
            raise OutputError(str(self.path), what, _WHOLE, _AGAIN)
        return replace(recording, path=Path(called)) if called in self.sources else recording

    @cached_property
    def found(self) -> tuple[Event, ...]:
        """The events that were detected, without opening the recording."""
        return tuple(_event(item) for item in self.report["events"])

    @cached_property
    def controls(self) -> dict[str, Event]:
        """Control stretches of a blind reading by id: as many and as long as the events, at random, away from them."""
        step = float(self.report["settings"]["step"])
        generator = np.random.default_rng(int(self.digest[:16], 16))  # the same stretches for the same events
        detected = [(event.onset, event.stop) for event in self.found]
        taken = np.array(detected + [(span.start, span.stop) for span in self.unscored], dtype=float).reshape(-1, 2)
        chosen: list[Event] = []
        for onset, stop in detected:
            length = stop - onset
            # Whole steps away from the event: an onset between the scores would tell a control stretch from an event.
            lowest, highest = np.ceil(-onset / step), max(0.0, np.floor((self.duration - length - onset) / step))
            starts = np.round(onset + step * generator.integers(int(lowest), int(highest) + 1, _TRIES), 6)
            apart = (starts[:, None] + length + _APART < taken[:, 0]) | (starts[:, None] - _APART > taken[:, 1])
            free = starts[apart.all(axis=1)]
            if len(free):
                taken = np.vstack([taken, (free[0], free[0] + length)])
                chosen.append(Event(float(free[0]), length))
        return {f"c{number}": event for number, event in enumerate(sorted(chosen), start=1)}

    @property
    def events(self) -> Events:
        """The events that were detected."""
        return Events(self.found, self.duration, self.recording.clock, self.unscored)

    @cached_property
    def montage(self) -> Montage:
        """How the nodes follow from the channels."""
        channel_map = dict(self.report["settings"]["channel_map"])
        return derive(
            usable_labels(self.recording, mapped=channel_map), self.report["montage"]["nodes"], channel_map=channel_map
        )

    @cached_property
    def scores(self) -> Scores:
        """The scores, from their table; OutputError when it was changed."""
        return self.read_scores()

    def read_scores(self, pause: Callable[[], None] = lambda: None) -> Scores:
        """Read the scores once, some rows at a time; `pause` is called before each part."""
        import pandas as pd

        path, parts = self._unchanged(f"{self.stem}_scores.csv"), []
        kinds: defaultdict[str, Any] = defaultdict(lambda: np.float32, time=np.float64)
        with pd.read_csv(path, dtype=kinds, chunksize=_ROWS) as reader:
            for part in reader:
                pause()
                parts.append(part)
        table = pd.concat(parts)
        fixed = [name for name in table.columns if name == "time" or name.startswith(("probability", "type_"))]
        nodes = [name for name in table.columns if name not in fixed]
        types = [name for name in fixed if name.startswith("type_")]
        has_interval = "probability_low" in fixed
        return Scores(
            time=table["time"].to_numpy(),
            probability=table["probability"].to_numpy(),
            by_node=table[nodes].to_numpy(),
            nodes=tuple(nodes),
            step=float(self.report["settings"]["step"]),
            duration=self.duration,
            unscored=self.unscored,
            interval=table[["probability_low", "probability_high"]].to_numpy() if has_interval else None,
            types=tuple(name.removeprefix("type_") for name in types),
            by_type=table[types].to_numpy() if types else None,
        )

    def check(self) -> None:
        """Raise OutputError when tables are missing or were changed since the run report was written."""
        for name in self.report["outputs"]:
            if name.endswith((".csv", ".tsv")):
                self._unchanged(name)

    def _unchanged(self, name: str) -> Path:
        path = self.folder / name
        digest = self.report["outputs"].get(name)
        if digest is None or not path.is_file() or sha256_of(path) != digest:
            raise OutputError(str(path), "is missing or does not belong to the run report beside it", _WHOLE, _AGAIN)
        return path


def read_result(path: Path, sources: Mapping[str, Path] | None = None) -> StoredResult:
    """Read a run report, ``X_run.json``; what it describes is read when it is asked for."""
    try:
        report = read_json(path)
        _check_report(report, path.name)
        result = StoredResult(path.parent, path.name.removesuffix(REPORT_END), report, sources or {})
        names = [Path(name).name == name for name in report["outputs"]]
        events = result.found
        complete = bool(result.digest) and all(names)
    except OSError as error:
        raise OutputError(str(path), f"cannot be read ({error.strerror or error})", "a run report") from error
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError, RestError) as error:
        what = "is not a run report of this version of restcli"
        raise OutputError(str(path), what, _WHOLE, _AGAIN) from error
    if not complete or any(event.stop > result.duration + 1e-3 for event in events):
        raise OutputError(str(path), "holds events or names that cannot be its own", _WHOLE, _AGAIN)
    return result


def _check_report(report: Mapping[str, Any], where: str) -> None:
    """Check all that a review uses of a run report, which may have been edited; raises various errors."""
    for place, kind in _KINDS.items():
        value: Any = report
        for name in place.split("."):
            value = value[name]
        _expect(isinstance(value, kind) and not isinstance(value, bool), place)
    settings, outputs = report["settings"], report["outputs"]
    pairs = [(theirs, ours) for theirs, ours in settings["channel_map"]]
    texts = [*settings["formats"], *report["montage"]["nodes"], *outputs.values(), *(t for pair in pairs for t in pair)]
    _expect(all(isinstance(text, str) for text in texts), "texts")
    _expect(0 <= report["recording"]["duration_s"] <= _LONGEST, "recording.duration_s")
    _expect(settings["step"] >= 1 and float(settings["step"]).is_integer(), "settings.step")
    rule = read_value(EventRule, report["rule"], "rule")
    _expect(all(math.isfinite(value) for value in vars(rule).values()) and 0 < rule.threshold <= 1, "rule")
    for item in report["events"]:
        row_of(item, where)
    for item in report["scored"]["not_scored"]:
        span_of(item, where)


def _expect(fine: bool, place: str) -> None:
    if not fine:
        raise ValueError(place)


def find_results(place: Path) -> tuple[Path, ...]:
    """Return the run reports in a folder and below it, in order of their names."""
    found = (path for path in files_below(place) if path.name.endswith(REPORT_END) and not path.name.startswith("."))
    return tuple(sorted(path for path in found if path.is_file() and not path.is_symlink()))


def _event(item: Mapping[str, Any]) -> Event:
    """Return an event of a run report; null is unknown."""
    unknown = [math.nan if item[name] is None else float(item[name]) for name in ("confidence", "typeConfidence")]
    onset, duration = float(item["onset"]), float(item["duration"])
    return Event(onset, duration, str(item["eventType"]), unknown[0], tuple(map(str, item["channels"])), unknown[1])
