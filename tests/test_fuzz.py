"""The fuzzer itself: every target runs, and a reader that breaks is found."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for the fuzz folder beside the tests

from fuzz.__main__ import run
from fuzz.mutations import broken_bytes, broken_json
from fuzz.targets import Target, check, targets
from restcli.errors import RecordingError, RestError, as_rest_error

TARGETS = targets()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_target_holds_for_a_moment(target: Target) -> None:
    counts: Counter[str] = Counter()
    assert run(target, 0.0, counts, at_once=10, same_each_time=True)
    assert counts[target.name] >= 10


def refusing(error: Exception) -> Target:
    def read(_: Path, drawn: bytes) -> None:
        if b"1e99" in drawn:
            raise error

    return Target("planted", broken_bytes(b"count = 5\nrate = 200\n"), read)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("x"), marks=pytest.mark.slow),
        pytest.param(MemoryError(), marks=pytest.mark.slow),
        as_rest_error("a.edf", KeyError("x")),
        RecordingError("a.edf", "of Erika"),
        RecordingError("a.edf", "x" * 5000),
    ],
)
def test_what_breaks_a_reader_is_found(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(refusing(error), 10.0, Counter(), at_once=2000)
    assert "1e99" in capsys.readouterr().err


def test_errors_for_people_are_no_find() -> None:
    check(Target("planted", st.just(b""), lambda *_: _raise(RecordingError("a.edf", "is empty"))), b"")


def _raise(error: RestError) -> None:
    raise error


def test_mutations_change_something() -> None:
    from hypothesis import find

    assert find(broken_bytes(b"a=1"), lambda data: b"1e99" in data)
    assert find(broken_json('{"a": {"b": 1}}'), lambda value: value == {"a": {}}) == {"a": {}}
