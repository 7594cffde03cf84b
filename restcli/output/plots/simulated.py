"""Pages of simulated recordings, read back from the files that were written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from restcli.events import Events
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.marks.registry import read_events
from restcli.output.plots.eeg import plot_traces
from restcli.output.plots.save import save_figure
from restcli.output.plots.traces import read_traces

_WIDTH, _BEFORE = 15.0, 5.0  # seconds of a page, and of it before the onset of a seizure


def save_pages(recordings: Sequence[Path], folder: Path, *, count: int) -> list[Path]:
    """Write at most `count` pages: the first seizure of each recording, the second of each, and so on, then a start."""
    folder.mkdir(exist_ok=True)
    opened = [open_recording(path) for path in recordings[:count]]
    rounds = zip_longest(*map(_pages_of, opened))
    wanted = [page for pages in rounds for page in pages if page is not None][:count]
    return [_save(page, folder / f"page{i:02d}.png") for i, page in enumerate(wanted, start=1)]


def _pages_of(recording: Recording) -> list[tuple[Recording, Events, float]]:
    """Return the recording, its events and the start of each page: one for each seizure, and the beginning."""
    name = recording.path.name.removesuffix("_eeg.edf") + "_events.tsv"
    events = read_events(recording.path.with_name(name), duration=recording.duration, start=recording.start)
    last = max(0.0, recording.duration - _WIDTH)
    starts = [min(max(0.0, event.onset - _BEFORE), last) for event in events]
    return [(recording, events, start) for start in (*starts, 0.0)]


def _save(page: tuple[Recording, Events, float], path: Path) -> Path:
    recording, events, start = page
    traces = read_traces(recording, start, start + _WIDTH)
    assert traces is not None  # simulated recordings have all electrodes
    footer = f"Simulated; {traces.filters}"
    shown = [event for event in events if event.stop > start and event.onset < start + _WIDTH]
    return save_figure(plot_traces(traces, shown, title=recording.path.name, footer=footer), path)
