"""What tests of reading recordings have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restcli.errors import RecordingError
from restcli.io.recording import Recording
from restcli.io.registry import open_recording


def stored(recording: Recording, channels: list[int] | None = None) -> np.ndarray:
    """Everything at the stored rate."""
    picks = list(range(len(recording.channels))) if channels is None else channels
    return recording.read(picks, 0, recording.duration)


def joined(recording: Recording, channels: list[int], **options: object) -> np.ndarray:
    return np.concatenate([block.data for block in recording.blocks(channels, **options)], axis=1)


def close(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def refused(path: Path, words: str) -> None:
    with pytest.raises(RecordingError, match=words) as caught:
        open_recording(path)
    assert caught.value.exit_code == 3 and str(caught.value).startswith(str(path))
