"""What a review works on: stored results with their journals, as the browser asks for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli import __version__
from restcli.errors import OutputError, UsageError
from restcli.events import Event
from restcli.review.entries import Entry
from restcli.review.journal import Journal, journal_of, of_result
from restcli.review.montages import NAMES, SIDES, View, region_of, views_of
from restcli.review.pages import PageRequest, derive_traces, read_page
from restcli.review.stored import StoredResult, read_result
from restcli.review.strip import sample_trend, strip_of
from restcli.review.verdicts import PENDING, Review, named_events, review_of
from restcli.signal.filters import filter_runs, sensitivity
from restcli.text import count

_COARSEST = 100  # µV/mm that the page offers
_ROOM, _ROOM_OF_EVENTS = 6.0, 9.0  # mm that all but the largest waves may take; rows are about 5 mm apart
# The types that a reader may choose: SzCORE names, and words.
_TYPES = (
    ("sz", "seizure"),
    ("sz_foc", "focal"),
    ("sz_foc_a", "focal, aware"),
    ("sz_foc_ia", "focal, impaired awareness"),
    ("sz_foc_f2b", "focal to bilateral"),
    ("sz_gen", "generalised"),
    ("sz_gen_nm", "absence"),
    ("sz_gen_m_tonicClonic", "tonic-clonic"),
    ("sz_gen_m_tonic", "tonic"),
    ("sz_gen_m_spasms", "spasms"),
    ("sz_uo", "unknown onset"),
)
_SAMPLE, _SEED = 20, 0  # recordings without events that are drawn to estimate what is missed
_LOOKS, _LOOK_RATE = 8, 200.0  # stretches of 10 s that the sensitivity is chosen by, and their rate, Hz


@dataclass(eq=False)
class OpenRecording:
    """One recording on the desk."""

    id: str
    name: str
    result: StoredResult
    reviewer: str
    blind: bool = False
    sample: bool = False  # drawn at random among those without events
    _strip: dict[str, Any] | None = None

    @cached_property
    def journal(self) -> Journal:
        """The journal beside the outputs."""
        return Journal(journal_of(self.result.path))

    def _shown(self, entries: Sequence[Entry] = ()) -> dict[str, Event]:
        """Return the events that verdicts may refer to, by id; control stretches, which take time, only if one does."""
        has_controls = self.blind or any(entry.event[:1] == "c" for entry in entries)
        return named_events(self.result.found) | (self.result.controls if has_controls else {})

    @cached_property
    def _aliases(self) -> dict[str, str]:
        """Ids as the browser knows them; in blind mode they do not tell an event from a control stretch."""
        if not self.blind:
            return {name: name for name in self._shown()}
        mixed = {name: hashlib.sha256(f"{self.result.digest}{name}".encode()).hexdigest()[:8] for name in self._shown()}
        return {name: f"x{digest}" for name, digest in mixed.items()}

    def entries(self, after: int = 0) -> tuple[Entry, ...]:
        """Return the journal's entries on these events."""
        return of_result(self.journal.entries(after), self.result.digest)[0]

    def review(self, reviewer: str | None = None) -> Review:
        """Return the state of the review."""
        entries = self.entries()
        return review_of(entries, self._shown(entries), reviewer=reviewer)

    def outward(self, entry: Entry) -> dict[str, Any]:
        """Return an entry as the browser knows it; in blind mode nothing of what other reviewers decided."""
        if self.blind and entry.reviewer != self.reviewer:
            return Entry(entry.seq, entry.time, "", entry.hash, "hidden").to_dict()
        return entry.to_dict() | {"event": self._aliases.get(entry.event, entry.event)}

    def append(self, content: Mapping[str, Any]) -> Entry:
        """Write a verdict that the browser sent; the hash must be that of the events shown."""
        known = {alias: name for name, alias in self._aliases.items()}
        entry = {name: value for name, value in content.items() if name not in {"after", "seq", "time"}}
        after = content.get("after", 0)
        if type(after) is not int or after < 0:
            raise UsageError("verdict", "'after' is not a number of an entry", "the last seq that is known")
        name = entry.get("event")
        if entry.get("action") not in ("add", "read", "undo"):
            is_own = isinstance(name, str) and name.startswith("a")
            if not isinstance(name, str) or (name not in known and not is_own):
                raise UsageError("verdict", "refers to an event that is not shown", "the id of an event")
            entry["event"] = known.get(name, name)
        stop = entry.get("stop")
        if isinstance(stop, int | float) and stop > self.result.duration + 1e-3:
            raise UsageError("verdict", "ends after the recording", f"at most {self.result.duration:.2f} s")
        return self.journal.append(entry, after=after)

    def summary(self) -> dict[str, Any]:
        """Return the line of the queue."""
        review, events = self.review(self.reviewer if self.blind else None), self.result.found
        sure = [event.confidence for event in events if not math.isnan(event.confidence)]
        near = min((abs(value - self.result.rule.threshold) for value in sure), default=None)
        report = self.result.report["scored"]
        return {
            "id": self.id,
            "name": self.name,
            "hash": self.result.digest,
            "n_events": len(self._aliases),
            "n_judged": sum(review.items[name].state != PENDING for name in self._aliases),
            "duration": self.result.duration,
            "scored": report["fraction"],
            "top_confidence": None if self.blind or not sure else max(sure),
            "uncertain": None if self.blind or near is None else round(near, 6),
            "reviewers": list(review.reviewers),
            "read": sorted(review.read_by),
            "sample": self.sample,
        }

    @cached_property
    def views(self) -> dict[str, View]:
        """The montages that can be shown."""
        channel_map = dict(self.result.report["settings"]["channel_map"])
        return views_of(self.result.recording, self.result.report["montage"]["nodes"], channel_map)

    @cached_property
    def default_sensitivity(self) -> int:
        """The finest usual sensitivity, µV/mm, at which 95 % of all samples have room, those of events more."""
        last, events = max(0.0, self.result.duration - 10.0), self.result.found
        chosen = np.linspace(0, len(events) - 1, min(len(events), _LOOKS)).astype(int)
        middles = [(events[k].onset + events[k].stop) / 2 - 5.0 for k in chosen]
        looks = ((np.linspace(0, last, _LOOKS).tolist(), _ROOM), (np.clip(middles, 0, last).tolist(), _ROOM_OF_EVENTS))
        return min(_COARSEST, max(round(sensitivity(self._eeg(places), room)) for places, room in looks))

    def _eeg(self, places: Sequence[float]) -> NDArray[np.float32]:
        """Read 10 s from each of some places as the page shows them, (N, n)."""
        view = next(iter(self.views.values()))
        rows = [trace.kind == "eeg" for trace in view.traces]
        read = [np.zeros((sum(rows), 0), np.float32)]
        for place in places:
            stored = self.result.recording.read(view.channels, place, place + 10.0, sfreq=_LOOK_RATE)
            read.append(filter_runs(derive_traces(view, stored)[rows], _LOOK_RATE, high_pass=0.5, low_pass=70.0))
        return np.concatenate(read, axis=1)

    def details(self) -> dict[str, Any]:
        """Return everything but signals and strip."""
        result, recording = self.result, self.result.recording
        entries, n_foreign = of_result(self.journal.entries(), result.digest)
        return {
            "id": self.id,
            "name": self.name,
            "duration": result.duration,
            "clock": None if recording.clock is None else f"{recording.clock:%H:%M:%S}",
            "montages": [
                {"id": name, "name": NAMES[name], "traces": [trace.to_dict() for trace in view.traces]}
                for name, view in self.views.items()
            ],
            "segments": [[segment.start, segment.stop] for segment in recording.segments],
            "threshold": None if self.blind else result.rule.threshold,
            "hash": result.digest,
            "types": _TYPES,
            "sides": SIDES,
            "unscored": [[span.start, span.stop, span.reason] for span in result.unscored],
            "default_sensitivity": self.default_sensitivity,
            "detections": self._detections(),
            "verdicts": [self.outward(entry) for entry in entries],
            "generation": self.journal.generation,
            "note": self._note(n_foreign),
        }

    def _detections(self) -> list[dict[str, Any]]:
        events = self._shown()
        shown = [(alias, events[name]) for name, alias in self._aliases.items()]
        return [
            {
                "id": alias,
                "onset": event.onset,
                "stop": event.stop,
                "label": "sz" if self.blind else event.label,
                "confidence": None if self.blind or math.isnan(event.confidence) else event.confidence,
                "channels": [] if self.blind else list(event.channels),
                "side": "" if self.blind else region_of(event.channels),
            }
            for alias, event in sorted(shown, key=lambda pair: pair[1].onset)
        ]

    def _note(self, n_foreign: int) -> str:
        notes = []
        if n_foreign:
            verdicts = f"{count(n_foreign, 'verdict')} in the journal"
            notes.append(f"{verdicts} refer to another recording, other events or weights and do not apply")
        if self.journal.n_damaged:
            notes.append(
                f"{count(self.journal.n_damaged, 'line')} of the journal could not be read and are left as they are"
            )
        return "; ".join(notes)

    def strip(self, pause: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Return the strip of the whole recording, made once; see `sample_trend` for `pause`."""
        if self._strip is None:
            trend = sample_trend(self.result.recording, self.result.montage, pause=pause)
            self._strip = strip_of(self.result, self.result.read_scores(pause), trend, blind=self.blind)
        return self._strip

    def page(self, montage: str, asked: PageRequest) -> bytes:
        """Return a page of signal."""
        if montage not in self.views:
            raise UsageError("montage", "is not one of this recording", f"one of {', '.join(self.views)}")
        return read_page(self.result.recording, self.views[montage], asked)


@dataclass(frozen=True, eq=False)
class Desk:
    """All recordings of a review."""

    cases: Mapping[str, OpenRecording]
    reviewer: str
    blind: bool = False
    left_out: tuple[str, ...] = ()  # why results are not among them

    def mixture(self) -> dict[str, int]:
        """Count what a blind reading mixes."""
        results = [case.result for case in self.cases.values()]
        return {
            "events": sum(len(result.found) for result in results),
            "controls": sum(len(result.controls) for result in results),
        }

    def session(self) -> dict[str, Any]:
        """Return the queue."""
        return {
            "recordings": [case.summary() for case in self.cases.values()],
            "reviewer": self.reviewer,
            "blind": self.mixture() if self.blind else None,
            "version": __version__,
        }


def open_desk(
    reports: Mapping[str, Path], *, reviewer: str, blind: bool, sources: Mapping[str, Path] | None = None
) -> Desk:
    """Put stored results on the desk: run reports by the names that people see; of several, one may be unreadable."""
    results, left_out = dict[str, StoredResult](), []
    for name, path in reports.items():
        try:
            results[name] = read_result(path, sources)
        except OutputError as error:
            if len(reports) == 1:
                raise
            left_out.append(str(error))
    empty = [name for name, result in results.items() if not result.found]
    drawn = set(np.random.default_rng(_SEED).permutation(empty)[:_SAMPLE].tolist()) if len(results) > 1 else set()
    cases = {
        str(number): OpenRecording(str(number), name, result, reviewer, blind, sample=name in drawn)
        for number, (name, result) in enumerate(results.items())
    }
    return Desk(cases, reviewer, blind, tuple(left_out))
