"""Errors are written as sentences, whatever their parts look like."""

import pickle

import pytest

from restcli.errors import RecordingError, RestError


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("a.edf", "is empty"), "a.edf: is empty."),
        (("a.edf", "is empty", "an EDF recording"), "a.edf: is empty. Expected an EDF recording."),
        (("a.edf", "is empty.", "", "copy it again"), "a.edf: is empty. Copy it again."),
        (("--step", "0", "1 or more.", "Pass --step 1."), "--step: 0. Expected 1 or more. Pass --step 1."),
        (("x", "y", "", "--overwrite"), "x: y. --overwrite."),
    ],
)
def test_messages_are_sentences(parts: tuple[str, ...], text: str) -> None:
    assert str(RestError(*parts)) == text


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(RecordingError("a", "b", "c", "d")))  # noqa: S301
    assert isinstance(error, RecordingError)
    assert str(error) == "a: b. Expected c. D."
