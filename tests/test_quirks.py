"""Every odd file that could be found is annotated, or refused for a reason that a user understands."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from restcli.detect.detector import Detector
from restcli.detect.settings import Settings, fit_montage
from restcli.errors import RecordingError
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights

SUFFIXES = {".edf", ".bdf", ".eeg"}


def outcome(path: Path, detector: Detector) -> str:
    """Annotate one file; returns 'annotated' or the kind of reason it was refused for."""
    try:
        recording = open_recording(path)
    except RecordingError as error:
        return check_reason(error, path, "cannot be read")
    try:
        fit_montage(recording, detector.weights, Settings())
    except RecordingError as error:
        short = "too short" in str(error)
        return check_reason(error, path, "too short" if short else "not the electrodes of a scalp EEG")
    try:
        result = detector.annotate(recording, Settings())
    except RecordingError as error:
        return check_reason(error, path, "too bad to score one second")
    assert 0 < result.scores.scored <= 1
    return "annotated"


def check_reason(error: RecordingError, path: Path, kind: str) -> str:
    assert error.exit_code == 3
    assert str(error).startswith(str(path))
    assert error.what and (error.expected or error.remedy), "a refusal says what was expected or what to do"
    assert not re.search(r"Traceback|Error\(|object at 0x", str(error))
    return f"refused: {kind}"


def test_every_quirk_is_annotated_or_refused(shared_eeg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    detector = Detector(load_weights(), "cpu")
    files = sorted(p for p in (shared_eeg / "edf_quirks").rglob("*") if p.suffix.lower() in SUFFIXES)
    assert len(files) > 160
    table: dict[str, Counter[str]] = {}
    for path in files:
        source = path.relative_to(shared_eeg / "edf_quirks").parts[0]
        table.setdefault(source, Counter())[outcome(path, detector)] += 1
    with capsys.disabled():
        print("\noutcomes of the odd files")
        for source, counts in table.items():
            print(f"  {source:18s} " + "; ".join(f"{n} {what}" for what, n in counts.most_common()))
    total = sum(table.values(), Counter())
    assert total["annotated"] >= 2
    # Every clinical header of epilepsy2bids has its electrodes found: its files are only too short to score.
    assert set(table["epilepsy2bids"]) <= {"annotated", "refused: too short"}
