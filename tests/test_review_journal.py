"""Verdicts survive whatever happens to the process that writes them, and are never applied to other events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from restcli.errors import UsageError
from restcli.events import Event, Events
from restcli.review.entries import parse_entry
from restcli.review.journal import ConflictError, Journal, of_result
from restcli.review.verdicts import named_events, review_of, reviewed_events

HASH = "0" * 64
DETECTED = {"e1": Event(10, 5, "sz", 0.9), "e2": Event(40, 5, "sz", 0.7), "e3": Event(70, 5, "sz", 0.6)}


def verdict(action: str = "accept", event: str = "e1", **more: Any) -> dict[str, Any]:
    return {"reviewer": "r1", "hash": HASH, "action": action, "event": event} | more


def test_entries_are_numbered_and_read_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x_review.jsonl")
    assert journal.entries() == ()
    first = journal.append(verdict(comment="spike-wave, \u2028 4/s"), after=0)
    second = journal.append(verdict("add", "", onset=1, stop=3.5), after=1)
    assert (first.seq, second.seq, second.event) == (1, 2, "a1")
    assert Journal(journal.path).entries() == (first, second)
    assert Journal(journal.path).entries(after=1) == (second,)


def test_two_windows_cannot_overwrite_each_other(tmp_path: Path) -> None:
    one, other = (Journal(tmp_path / "x_review.jsonl") for _ in range(2))
    first = one.append(verdict(), after=0)
    with pytest.raises(ConflictError) as caught:
        other.append(verdict("reject"), after=0)
    assert caught.value.entries == (first,)
    assert other.append(verdict("reject"), after=1).seq == 2
    assert [entry.action for entry in one.entries()] == ["accept", "reject"]


def test_of_many_windows_at_once_one_wins_each_number(tmp_path: Path) -> None:
    def write() -> None:
        journal = Journal(tmp_path / "x_review.jsonl")
        after = 0
        for _ in range(5):
            while True:
                try:
                    after = journal.append(verdict(), after=after).seq
                    break
                except ConflictError as conflict:
                    after = conflict.entries[-1].seq

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal = Journal(tmp_path / "x_review.jsonl")
    assert [entry.seq for entry in journal.entries()] == list(range(1, 21))
    assert journal.n_damaged == 0


@pytest.mark.parametrize("cut", [1, 20, 90])
def test_a_line_that_a_killed_process_left_unfinished_costs_no_other(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path / "x_review.jsonl")
    journal.append(verdict(), after=0)
    journal.append(verdict("reject", "e2"), after=1)
    torn = journal.path.read_bytes()[:-cut]
    journal.path.write_bytes(torn)
    again = Journal(journal.path)
    assert [entry.seq for entry in again.entries()] == [1]
    known = 2 if cut == 1 else 1  # of the line only its end was lost
    if cut == 1:
        with pytest.raises(ConflictError):
            again.append(verdict("unsure", "e3"), after=1)
    assert again.append(verdict("unsure", "e3"), after=known).seq == known + 1
    assert journal.path.read_bytes().startswith(torn), "what was in the file stays in it"
    assert [entry.action for entry in Journal(journal.path).entries()][-1] == "unsure"


def test_a_killed_writer_loses_nothing_that_it_reported(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from restcli.review.journal import Journal\n"
        "journal, seq = Journal(Path(sys.argv[1])), 0\n"
        f"content = {verdict()!r}\n"
        "while True:\n"
        "    seq = journal.append(content, after=seq).seq\n"
        "    print(seq, flush=True)\n"
    )
    path = tmp_path / "x_review.jsonl"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        reported = [int(writer.stdout.readline()) for _ in range(30)]
        os.kill(writer.pid, signal.SIGKILL)
        reported += [int(line) for line in writer.stdout if line.endswith("\n")]
    journal = Journal(path)
    last = journal.append(verdict("reject"), after=len(journal.entries()) + _torn(path)).seq
    assert [entry.seq for entry in journal.entries()] == list(range(1, last + 1))
    assert last > reported[-1]


def _torn(path: Path) -> int:
    """Tell whether the last line is whole but for its end."""
    last = path.read_bytes().rpartition(b"\n")[2]
    try:
        parse_entry(json.loads(last), "last")
    except (ValueError, UsageError):
        return 0
    return 1


def test_damaged_lines_and_copies_are_left_out_and_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x_review.jsonl")
    journal.append(verdict(), after=0)
    line = journal.path.read_text()
    journal.path.write_text(line + "{}\n[1\n" + line + '{"a": ' * 2000 + "\n")
    again = Journal(journal.path)
    assert len(again.entries()) == 1
    assert again.n_damaged == 4


def test_a_journal_that_another_program_changed_is_read_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "x_review.jsonl")
    journal.append(verdict("accept"), after=0)
    journal.append(verdict("reject", "e2"), after=1)
    journal.path.write_bytes(journal.path.read_bytes().replace(b"accept", b"unsure"))  # of the same length
    assert [entry.action for entry in journal.entries()] == ["unsure", "reject"]
    whole = journal.path.read_bytes()
    journal.path.unlink()
    journal.path.write_bytes(whole.replace(b'"e2"', b'"e3"'))
    assert [entry.event for entry in journal.entries()] == ["e1", "e3"]
    journal.path.unlink()
    with pytest.raises(ConflictError, match="another program deleted or edited it") as caught:
        journal.append(verdict(), after=2)
    assert (caught.value.entries, journal.entries(), journal.generation) == ((), (), 3)
    assert journal.append(verdict(), after=0).seq == 1


def test_a_link_in_place_of_the_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    (tmp_path / "x_review.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(Exception, match="could not be written"):
        Journal(tmp_path / "x_review.jsonl").append(verdict(), after=0)
    assert (tmp_path / "other").read_text() == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "delete"},
        {"event": "../e1"},
        {"event": "e1", "onset": 3},
        {"onset": 5, "stop": 4},
        {"onset": float("nan"), "stop": 4},
        {"onset": True, "stop": 4},
        {"label": "<b>"},
        {"reviewer": "Jane Doe"},
        {"hash": "x"},
        {"comment": "x" * 2001},
        {"comment": "\ud800"},
        {"more": 1},
        {"action": "remove"},
        {"action": "undo"},
        {"undoes": -1},
    ],
)
def test_what_makes_no_sense_is_refused_without_quoting_it(wrong: dict[str, Any]) -> None:
    content = {"seq": 1, "time": "2026-01-01T00:00:00Z"} | verdict()
    parse_entry(content, "entry")
    with pytest.raises(UsageError) as caught:
        parse_entry(content | wrong, "entry")
    assert "Jane" not in str(caught.value)


def entries(tmp_path: Path, *contents: dict[str, Any]) -> Any:
    journal = Journal(tmp_path / "x_review.jsonl")
    for after, content in enumerate(contents):
        journal.append(content, after=after)
    return journal.entries()


def test_verdicts_make_reviewed_events_and_leave_open_what_nobody_decided(tmp_path: Path) -> None:
    written = entries(
        tmp_path,
        verdict("reject", "e1"),
        verdict("accept", "e1", onset=11, stop=17, label="sz_foc"),
        verdict("unsure", "e2"),
        verdict("add", "", onset=90, stop=95),
    )
    review = review_of(written, DETECTED)
    events = reviewed_events(review, Events(tuple(DETECTED.values()), 100.0))
    assert [(event.onset, event.stop, event.label) for event in events] == [(11, 17, "sz_foc"), (90, 95, "sz")]
    reasons = ["detected; the reviewer is unsure", "detected, but judged by nobody"]
    assert [(span.start, span.reason) for span in events.unscored] == list(zip((40, 70), reasons, strict=True))
    assert (review.judged, events.events[0].confidence) == (2, 0.9)


def test_undo_takes_back_and_can_be_taken_back(tmp_path: Path) -> None:
    contents = [verdict("accept"), verdict("reject"), verdict("undo", "", undoes=2)]
    assert review_of(entries(tmp_path, *contents), DETECTED).items["e1"].state == "accepted"
    journal = Journal(tmp_path / "x_review.jsonl")
    journal.append(verdict("undo", "", undoes=3), after=3)
    assert review_of(journal.entries(), DETECTED).items["e1"].state == "rejected"


def test_removed_additions_are_gone_and_their_names_are_not_used_again(tmp_path: Path) -> None:
    add = verdict("add", "", onset=1, stop=3)
    review = review_of(entries(tmp_path, add, verdict("remove", "a1"), add), DETECTED)
    assert [item.id for item in review.of("a")] == ["a2"]


def test_each_reviewer_has_a_word_of_their_own(tmp_path: Path) -> None:
    written = entries(tmp_path, verdict(), verdict("reject", reviewer="r2"))
    states = [review_of(written, DETECTED, reviewer=name).items["e1"].state for name in (None, "r1", "r2")]
    assert states == ["rejected", "accepted", "rejected"]


def test_verdicts_on_other_events_do_not_count(tmp_path: Path) -> None:
    written = entries(tmp_path, verdict(), verdict("reject", hash="1" * 64))
    own, n_foreign = of_result(written, HASH)
    assert ([entry.action for entry in own], n_foreign) == (["accept"], 1)
    assert named_events(DETECTED.values()) == DETECTED
