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
    rounds = zip_longest(*[[(recording, start) for start in _starts(recording)] for recording in opened])
    wanted = [page for pages in rounds for page in pages if page is not None][:count]
    return [
        _save(recording, start, folder / f"page{i:02d}.png") for i, (recording, start) in enumerate(wanted, start=1)
    ]


def _events_of(recording: Recording) -> Events:
    name = recording.path.name.removesuffix("_eeg.edf") + "_events.tsv"
    return read_events(recording.path.with_name(name), duration=recording.duration, start=recording.start)


def _starts(recording: Recording) -> list[float]:
    last = max(0.0, recording.duration - _WIDTH)
    return [min(max(0.0, event.onset - _BEFORE), last) for event in _events_of(recording)] + [0.0]


def _save(recording: Recording, start: float, path: Path) -> Path:
    traces = read_traces(recording, start, start + _WIDTH)
    assert traces is not None  # simulated recordings have all electrodes
    footer = f"Simulated; {traces.filters}"
    events = [event for event in _events_of(recording) if event.stop > start and event.onset < start + _WIDTH]
    return save_figure(plot_traces(traces, events, title=recording.path.name, footer=footer), path)
