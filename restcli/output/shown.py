"""Events as pictures show them: with a name, and after a review with the verdict on each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restcli.events import Event

REVIEWED = "_reviewed"  # in the names of what is written after a review
JOURNAL_END = "_review.jsonl"  # of the file with the verdicts on a result
ACCEPTED, REJECTED, UNSURE, ADDED, NOT_JUDGED = "accepted", "rejected", "unsure", "added", "not judged"
SIGNS = {ACCEPTED: "✓", REJECTED: "✗", UNSURE: "?", ADDED: "+", NOT_JUDGED: "–"}


@dataclass(frozen=True)
class Shown:
    """An event in a picture."""

    event: Event
    name: str  # its number among the events detected; a1 for one that a person added
    verdict: str = ""  # one of SIGNS; empty before a review
    edited: bool = False  # whether a reviewer moved its limits
    details: str = ""  # who judged it, and what was edited

    @property
    def is_seizure(self) -> bool:
        """Whether it counts as a seizure in tables and burden."""
        return self.verdict in ("", ACCEPTED, ADDED)

    @property
    def in_words(self) -> str:
        """Name and verdict."""
        return f"{self.name} {self.verdict}{', limits edited' if self.edited else ''}"

    @property
    def in_short(self) -> str:
        """Name and sign of the verdict; a star says that the limits were edited."""
        return f"{self.name}{SIGNS.get(self.verdict, '')}{'*' if self.edited else ''}"


def detected(events: Iterable[Event]) -> tuple[Shown, ...]:
    """Give events of a run their numbers."""
    return tuple(Shown(event, f"{number}") for number, event in enumerate(events, start=1))


def count_in_words(shown: Sequence[Shown]) -> str:
    """Count the verdicts, with the sign of each; empty before a review.

    >>> from restcli.events import Event
    >>> count_in_words([Shown(Event(1, 2), "1", ACCEPTED, edited=True), Shown(Event(9, 2), "a1", ADDED)])
    '✓ 1 accepted · + 1 added · * 1 with limits edited'
    """
    verdicts = [each.verdict for each in shown]
    words = [f"{SIGNS[verdict]} {verdicts.count(verdict)} {verdict}" for verdict in SIGNS if verdict in verdicts]
    n_edited = sum(each.edited for each in shown)
    return " · ".join([*words, *([f"* {n_edited} with limits edited"] if n_edited else [])])
