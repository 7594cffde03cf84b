"""From verdicts to outputs: tables, pictures, burden and report after review, beside what was detected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from restcli.detect.result import Result, Trend
from restcli.detect.settings import Settings
from restcli.errors import AnnotationError
from restcli.events import Event, Events
from restcli.files import sha256_of
from restcli.marks.json import event_to_dict
from restcli.nn.config import RestConfig
from restcli.nn.weights import Weights
from restcli.output.bundle import Bundle, Reviewed, Written
from restcli.output.burden import burden_of
from restcli.output.shown import ACCEPTED, ADDED, NOT_JUDGED, REVIEWED, Shown
from restcli.review.agreement import Counts, Pair, compare_reviewers, count_verdicts
from restcli.review.entries import Entry
from restcli.review.journal import Journal, journal_of, of_result
from restcli.review.stored import StoredResult
from restcli.review.strip import sample_trend
from restcli.review.verdicts import PENDING, Review, ReviewedEvent, named_events, review_of, reviewed_events
from restcli.signal.features import SPECTRUM_BINS, FeatureConfig
from restcli.text import count, elapsed

# Fields of a run report that a review does not change.
_KEPT = "restcli disclaimer recording weights device settings rule montage quality scored".split()


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The verdicts on one stored result."""

    result: StoredResult
    entries: tuple[Entry, ...]  # on its events
    n_foreign: int  # on another recording, other events or weights; they are not applied
    n_damaged: int  # lines of the journal that are not entries

    @classmethod
    def of(cls, result: StoredResult) -> Verdicts:
        """Read the journal beside a result."""
        journal = Journal(journal_of(result.path))
        entries, n_foreign = of_result(journal.entries(), result.digest)
        return cls(result, entries, n_foreign, journal.n_damaged)

    def review(self, reviewer: str | None = None) -> Review:
        """Return what the verdicts, or those of one reviewer, amount to."""
        shown = named_events(self.result.found) | self.result.controls
        return review_of(self.entries, shown, reviewer=reviewer)

    @cached_property
    def pairs(self) -> dict[tuple[str, str], Pair]:
        """How each two reviewers agree."""
        shown = named_events(self.result.found) | self.result.controls
        return compare_reviewers(self.entries, shown, self.result.events)

    def check(self) -> None:
        """Refuse when there are no verdicts, or only verdicts on other events."""
        path = str(journal_of(self.result.path))
        if not self.entries and self.n_foreign:
            what = "holds only verdicts on another recording, or on other events or weights, than the result beside it"
            remedy = "Judge the events of this result, or bring back what was judged"
            raise AnnotationError(path, what, remedy=remedy)
        if not self.entries:
            raise AnnotationError(path, "holds no verdicts", "what restcli review writes", "Judge the events first")


@dataclass(frozen=True, eq=False)
class Applied:
    """What applying verdicts wrote, and what the verdicts say."""

    written: Written
    counts: Counts
    pairs: Mapping[tuple[str, str], Pair]
    remarks: tuple[str, ...]


def apply_verdicts(
    result: StoredResult, *, formats: Sequence[str] | None = None, plot: str | None = None, reviewer: str | None = None
) -> Applied:
    """Write the outputs of one recording after review; what was detected is left as it was.

    Event tables and pictures are those of the run unless others are asked for.
    """
    verdicts = Verdicts.of(result)
    verdicts.check()
    result.check()
    review = verdicts.review(reviewer)
    detected = result.events
    events = reviewed_events(review, detected)
    formats = result.report["settings"]["formats"] if formats is None else formats
    plot = result.report["settings"]["plot"] if plot is None else plot
    bundle = Bundle(result.folder, result.stem, ("json", *formats), plot, mark=REVIEWED)
    bundle.check()
    counts = count_verdicts(review, detected)
    reviewed = Reviewed(_report(verdicts, review, events, counts), shown_events(review, detected))
    written = bundle.write(_as_result(result, events, with_trend=plot != "none"), reviewed=reviewed)
    return Applied(written, counts, verdicts.pairs, _remarks(verdicts, review))


def shown_events(review: Review, detected: Events) -> tuple[Shown, ...]:
    """Return every detected or confirmed event with its verdict, as pictures show it."""
    found = named_events(detected)
    items = [item for item in review.items.values() if item.id in found or item.state != PENDING]
    items = [item for item in items if not item.id.startswith("c") or item.state == ACCEPTED]
    return tuple(_shown(item, found.get(item.id)) for item in sorted(items, key=lambda item: item.event.onset))


def _shown(item: ReviewedEvent, found: Event | None) -> Shown:
    verdict = NOT_JUDGED if item.state == PENDING else item.state
    if found is None and verdict == ACCEPTED:
        verdict = ADDED
    edited = found is not None and (item.event.onset, item.event.stop) != (found.onset, found.stop)
    details = [f"by {item.reviewer}"] if item.reviewer else []
    if found is not None and edited:
        details.append(f"found from {elapsed(found.onset, digits=1)} to {elapsed(found.stop, digits=1)}")
    if item.id.startswith("c"):
        details.append("in a control stretch")
    return Shown(item.event, item.id.removeprefix("e"), verdict, edited, ", ".join(details))


def _report(verdicts: Verdicts, review: Review, events: Events, counts: Counts) -> dict[str, Any]:
    result = verdicts.result
    journal = journal_of(result.path)
    return {name: result.report[name] for name in _KEPT} | {
        "recording": result.report["recording"] | {"path": str(result.recording.path)},  # where it is now
        "events": [event_to_dict(event) for event in events],
        "burden": burden_of(events, result.scores.announced).to_dict(),
        "review": {
            "reviewers": list(review.reviewers),
            "read_whole_by": list(review.read_by),
            "of": {"report": sha256_of(result.path), "events": result.digest},
            "journal": {"name": journal.name, "sha256": sha256_of(journal), "verdicts": len(verdicts.entries)},
            "left_out": {"other_events": verdicts.n_foreign, "damaged_lines": verdicts.n_damaged},
            "verdicts": [_describe(item) for item in review.items.values() if item.reviewer or item.id[0] == "e"],
            "open": [vars(span) for span in events.unscored if span not in result.unscored],
            "agreement": counts.to_dict(),
            "between_reviewers": [{"reviewers": names, **pair.to_dict()} for names, pair in verdicts.pairs.items()],
        },
    }


def _describe(item: ReviewedEvent) -> dict[str, Any]:
    """Return a verdict as plain values; comments stay in the journal."""
    return {
        "event": item.id,
        "verdict": item.state,
        "reviewer": item.reviewer or None,
        "edited": item.edited,
        "side": item.side or None,
        **event_to_dict(item.event),
    }


def _remarks(verdicts: Verdicts, review: Review) -> tuple[str, ...]:
    remarks = []
    if verdicts.n_foreign:
        remarks.append(
            f"{count(verdicts.n_foreign, 'verdict')} on another recording, other events or weights were not applied"
        )
    if verdicts.n_damaged:
        remarks.append(f"{count(verdicts.n_damaged, 'line')} of the journal could not be read")
    n_open = len(review.of("e")) - review.judged
    if n_open:
        remarks.append(f"{count(n_open, 'event')} that nobody judged: neither seizure nor background in the outputs")
    return tuple(remarks)


def _as_result(result: StoredResult, events: Events, *, with_trend: bool) -> Result:
    """Put together what pictures and tables are made from, which does not take the network's parameters."""
    report = result.report
    # Outputs only name the weights.
    named = report["weights"]
    weights = Weights(named["name"], RestConfig(0), FeatureConfig(), result.scores.nodes, {}, sha256=named["sha256"])
    settings = {name: report["settings"][name] for name in ("weights", "step", "threshold", "channel_map")}
    settings["channel_map"] = tuple(tuple(pair) for pair in settings["channel_map"])
    empty = Trend(np.zeros(0), np.zeros(0, np.float32), np.zeros((0, SPECTRUM_BINS), np.float32))
    return Result(
        recording=result.recording,
        montage=result.montage,
        weights=weights,
        settings=Settings(**settings),
        rule=result.rule,
        scores=replace(result.scores, unscored=events.unscored),  # what is open is hatched in the pictures
        events=events,
        trend=sample_trend(result.recording, result.montage) if with_trend else empty,
        bad_seconds={},
        band_limit=None,
        device=report["device"],
        stages={},
    )
