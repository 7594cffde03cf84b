"""Pages of simulated recordings show what was written, not what would be drawn again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restcli.io.registry import open_recording
from restcli.marks.registry import read_events
from restcli.output.plots.simulated import save_pages
from restcli.output.plots.traces import read_traces
from restcli.simulate.bids import DatasetSettings, write_dataset


def test_pages_are_those_of_the_written_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_dataset(tmp_path / "data", DatasetSettings(2, 0.05, seizures_per_day=1500, seed=3))
    shown = []
    monkeypatch.setattr(
        "restcli.output.plots.simulated.plot_traces", lambda *page, **words: shown.append((page, words))
    )
    monkeypatch.setattr("restcli.output.plots.simulated.save_figure", lambda _, path: path)
    pages = save_pages(written, tmp_path / "pages", count=3)
    assert [page.name for page in pages] == ["page01.png", "page02.png", "page03.png"]
    assert [words["title"] for _, words in shown] == [written[0].name, written[1].name, written[0].name]
    for (traces, events), words in shown[:2]:
        path = next(path for path in written if path.name == words["title"])
        marks = read_events(path.with_name(path.name.replace("_eeg.edf", "_events.tsv")))
        assert events[0] == marks.events[0] and traces.limits[0] <= events[0].onset < traces.limits[1]
        recording = open_recording(path)
        np.testing.assert_array_equal(traces.data, read_traces(recording, *traces.limits).data)


def test_a_changed_file_changes_its_page(tmp_path: Path) -> None:
    written = write_dataset(tmp_path / "data", DatasetSettings(1, 0.05, seizures_per_day=1500, seed=3))
    (before,) = [page.read_bytes() for page in save_pages(written, tmp_path / "before", count=1)]
    content = written[0].read_bytes()
    header = int(content[184:192])
    written[0].write_bytes(content[:header] + bytes(len(content) - header))
    (after,) = [page.read_bytes() for page in save_pages(written, tmp_path / "after", count=1)]
    assert before != after
