"""Films of events."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import restcli
from restcli.detect.result import Result
from restcli.errors import OutputError, UsageError
from restcli.output.film import check_film, write_film
from restcli.output.plots.film import RATE, Film
from restcli.output.plots.traces import read_traces


@pytest.fixture(scope="module")
def result(example: Path) -> Result:
    return restcli.annotate(example, device="cpu")


@pytest.mark.slow
def test_a_gif_is_small_and_as_long_as_it_should_be(result: Result, tmp_path: Path) -> None:
    event = result.events.events[0]
    path = write_film(result, 1, tmp_path / "films" / "a.gif")
    seconds = event.duration + 10
    assert path.stat().st_size < 3e6 * seconds / 60
    with Image.open(path) as film:
        assert film.width == 480
        lasts = 0
        for frame in range(film.n_frames):  # frames that do not differ are joined
            film.seek(frame)
            lasts += film.info["duration"]
        assert film.info["loop"] == 0
    assert lasts / 1000 == pytest.approx(seconds, abs=1.1)
    assert path.read_bytes() == write_film(result, 1, tmp_path / "b.gif").read_bytes()


def test_the_cursor_moves_and_the_head_changes_with_the_seconds(result: Result) -> None:
    event = result.events.events[0]
    traces = read_traces(result.recording, event.onset - 4, event.onset + 4)
    assert traces is not None
    frames = list(Film(result, event, traces, "a").frames())
    assert len(frames) == 8 * RATE
    head = [frame[30:250, :210].astype(int) for frame in frames]
    changed = [bool((one != other).any()) for one, other in pairwise(head)]
    assert all(changed[k] == ((k + 1) % RATE == 0) for k in range(len(changed)))
    where = [np.flatnonzero((frame[400] == (0xC4, 0x4A, 0x00)).all(axis=1)) for frame in frames]
    places = [columns.min() if k * 1 < 4 * RATE else columns.max() for k, columns in enumerate(where)]
    assert places == sorted(places)
    assert places[-1] - places[0] > 200


def test_a_film_of_no_event_is_refused(result: Result, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--event"):
        write_film(result, len(result.events) + 1, tmp_path / "a.gif")
    with pytest.raises(UsageError, match=r"\.mp4 or \.gif"):
        check_film(tmp_path / "a.avi")


def test_an_mp4_without_ffmpeg_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(OutputError, match="ffmpeg"):
        check_film(tmp_path / "a.mp4")


@pytest.mark.slow
def test_an_mp4(result: Result, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not on this machine")
    path = write_film(result, 1, tmp_path / "a.mp4")
    shown = ["-show_entries", "stream=width,nb_frames", "-of", "csv=p=0"]
    said = subprocess.run(["ffprobe", "-v", "error", *shown, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("480,")
    assert path.stat().st_size < 3e6 / 2
