"""GDF recordings of versions 1 and 2."""

from __future__ import annotations

import pickle
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from foreign_files import write_gdf
from io_checks import close, refused

from restcli.io import records, segments
from restcli.io.registry import is_recording, open_recording

NOON = datetime(2021, 3, 15, 14, 15, 16, 250_000)


@pytest.mark.parametrize("version", ["1.25", "1.95", "2.20", "2.51"])
@pytest.mark.parametrize("kind", [1, 3, 5, 16, 17, 279])
def test_versions_and_types_of_numbers(tmp_path: Path, version: str, kind: int) -> None:
    path, values = write_gdf(tmp_path, version=version, kind=kind)
    recording = open_recording(path)
    assert (recording.format, recording.duration, recording.missing) == ("GDF", 4, 0)
    assert recording.start is not None and abs((recording.start - NOON).total_seconds()) < 1e-3
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [
        *((name, "µV", 250) for name in ("Fp1", "Fp2", "Cz")),
        ("ECG", "µV", 50),
    ]
    assert recording.repairs == () and is_recording(path)
    close(recording.read([0, 1, 2], 0, 4), values)
    close(pickle.loads(pickle.dumps(recording)).read([2, 0], 0.3, 3.1), values[[2, 0], 75:775])  # noqa: S301
    assert np.isnan(recording.channels[0].maximum) == (kind in (16, 17))
    assert not any(name in repr(recording) for name in ("Erika", "Schmidt"))


@pytest.mark.parametrize("version", ["1.25", "2.20"])
@pytest.mark.parametrize(("unit", "found"), [("mV", "µV"), ("V", "µV"), ("nV", "µV"), ("", "µV"), ("mmHg", "")])
def test_units(tmp_path: Path, version: str, unit: str, found: str) -> None:
    path, values = write_gdf(tmp_path, version=version, unit=unit)
    recording = open_recording(path)
    close(recording.read([0, 1, 2], 0, 4), values)
    if found:
        assert recording.channels[0].unit == found
    else:
        assert recording.channels[0].unit != "µV"
    assert [("microvolts assumed" in note) for note in recording.repairs] == (
        [True] if not unit else [False][: len(recording.repairs)]
    )


@pytest.mark.parametrize("version", ["1.25", "2.20"])
def test_new_segments_are_pauses_of_unknown_length(tmp_path: Path, version: str) -> None:
    path, _ = write_gdf(tmp_path, version=version, segments=(1, 251, 501))
    recording = open_recording(path)
    assert [s.offset for s in recording.segments] == [0, 1, 2] and recording.clock is None
    assert "2 joins between stretches of unknown distance" in recording.repairs[0]


def test_more_segments_than_seconds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = write_gdf(tmp_path, segments=range(1, 200))
    assert len(open_recording(path).segments) == 199
    monkeypatch.setattr(segments, "_MOST_JOINS", 100)
    refused(path, "198 joins between stretches in 4 s")


@pytest.mark.parametrize("version", ["1.21", "2.20"])
def test_events_without_a_rate_are_at_that_of_the_signal(tmp_path: Path, version: str) -> None:
    path, _ = write_gdf(tmp_path, version=version, segments=(1, 251))
    raw, table = bytearray(path.read_bytes()), 1280 + 8 * 800
    rate = slice(table + 1, table + 4) if version < "1.94" else slice(table + 4, table + 8)
    raw[rate] = bytes(rate.stop - rate.start)
    path.write_bytes(raw)
    assert [s.offset for s in open_recording(path).segments] == [0, 1]


def test_limits_of_integers_are_seen(tmp_path: Path) -> None:
    path, _ = write_gdf(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[1280 : 1280 + 250] = struct.pack("<h", 30_000) * 125
    path.write_bytes(raw)
    (block,) = open_recording(path).blocks([0], sfreq=250.0)
    np.testing.assert_allclose(block.saturated, [[0.5, 0, 0, 0]])


@pytest.mark.parametrize("kind", [3, 17, 279])
def test_long_records_are_read_in_parts(tmp_path: Path, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path, values = write_gdf(tmp_path, kind=kind)
    monkeypatch.setattr(records, "LONGEST_RECORD", 100)
    close(open_recording(path).read([2, 1], 0.1, 3.9), values[[2, 1], 25:975])


def test_files_that_are_cut_off_or_were_not_closed(tmp_path: Path) -> None:
    path, values = write_gdf(tmp_path)
    path.write_bytes(path.read_bytes()[: 1280 + 5 * 800 + 3])
    recording = open_recording(path)
    assert (recording.duration, recording.missing) == (2.5, 1.5) and "1.5 s of the 4 s" in recording.repairs[0]
    close(recording.read([0], 0, 2.5), values[:1, :625])
    path, values = write_gdf(tmp_path, n_records=-1)
    close(open_recording(path).read([0], 0, 4), values[:1])


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (4, b"3", "not a GDF file"),
        (252, b"\0\0", "impossible number of channels"),
        (184, b"\1", "states its own size incorrectly"),
        (244, bytes(8), "impossible duration"),
        (236, bytes(8), "no complete record"),
        (256 + 4 * 216, b"\xff" * 4, "impossible types or numbers"),
        (256 + 4 * 220, b"\x63", "impossible types or numbers"),
        (256 + 4 * 220 + 12, b"\1", "cannot be read together"),
    ],
)
def test_headers_that_make_no_sense_are_refused(tmp_path: Path, place: int, value: bytes, words: str) -> None:
    path, _ = write_gdf(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[place : place + len(value)] = value
    path.write_bytes(raw)
    refused(path, words)


def test_doubtful_channels_and_dates_are_reported(tmp_path: Path) -> None:
    path, _ = write_gdf(tmp_path)
    raw = bytearray(path.read_bytes())
    struct.pack_into("<d", raw, 256 + 4 * 104, 25.0)  # the lowest value of Fp1
    struct.pack_into("<I", raw, 256 + 4 * 220 + 12, 1)  # the type of the ECG
    struct.pack_into("<I", raw, 256 + 4 * 216 + 12, 50)
    struct.pack_into("<Q", raw, 168, 0)
    path.write_bytes(raw)
    recording = open_recording(path)
    assert recording.start is None and "clock times are unknown" in recording.repairs[-1]
    assert "'Fp1': its range is empty" in recording.repairs[0] and "another type" in recording.repairs[1]
    assert [bool(c.problem) for c in recording.channels] == [True, False, False, True]
