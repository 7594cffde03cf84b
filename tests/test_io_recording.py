"""Reading recordings in blocks: resampling, saturation, files that change, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from io_checks import close, joined, stored
from scipy.signal import resample_poly

from restcli.errors import RecordingError, UsageError
from restcli.io import recording as door
from restcli.io import records
from restcli.io.registry import open_recording
from restcli.signal import resampling

RATES = [100, 128, 199.98, 250, 256, 256.41, 512 / 3, 500, 512, 1000, 5000]


def at_rate(rate: float) -> EdfFile:
    """A file of some 11 s whose rate is exactly `rate` = count / duration."""
    whole = Fraction(rate).limit_denominator(1000)
    return EdfFile(
        counts=(whole.numerator,) * 2, duration=str(whole.denominator), n_records=max(1, 12 // whole.denominator)
    )


@pytest.mark.parametrize("rate", RATES)
def test_resampling_does_not_depend_on_block_size(tmp_path: Path, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = open_recording(at_rate(rate).write(tmp_path / "a.edf"))
    assert recording.channels[0].sfreq == pytest.approx(rate)
    monkeypatch.setattr(door, "_SHORTEST_BLOCK", 3)
    monkeypatch.setattr(door, "_BLOCK_SAMPLES", 1)
    monkeypatch.setattr(resampling, "_TILE", 150)
    resampling.bank.cache_clear()
    whole = joined(recording, [0, 1], sfreq=200, seconds=600)
    assert whole.shape == (2, 200 * int(recording.duration)) and np.isfinite(whole).all()
    for seconds in (1, 7, 60):
        np.testing.assert_array_equal(joined(recording, [0, 1], sfreq=200, seconds=seconds), whole)
    resampling.bank.cache_clear()
    if recording.duration < 100:
        ratio = resampling.ratio_of(Fraction(200), recording.source.rates[0])
        oracle = resample_poly(stored(recording), ratio.numerator, ratio.denominator, axis=1, padtype="edge")
        np.testing.assert_allclose(whole, oracle[:, : whole.shape[1]], atol=2e-3 * np.abs(oracle).max())


@pytest.mark.parametrize("rate", [100, 256, 199.98, 512, 5000])
def test_sine_comes_out_at_its_time_and_size(rate: float) -> None:
    rate_fraction = resampling.exact_rate(rate)
    ratio = resampling.ratio_of(Fraction(200), rate_fraction)
    n_seconds = 30
    time = np.arange(int(rate * (n_seconds + 4))) / rate
    tiles = resampling.widen((400, 400 + 200 * 20), ratio)
    low, high = resampling.support(tiles, ratio)
    signal = 30 * np.sin(2 * np.pi * 7 * time) + 50_000
    padded = np.pad(signal, (max(0, -low), max(0, high - len(signal))), mode="edge")[
        max(0, low) : max(0, low) + high - low
    ]
    out = resampling.resample(padded[None].astype(np.float32), low, tiles, ratio)[0, 400 - tiles[0] : 4400 - tiles[0]]
    expected = 30 * np.sin(2 * np.pi * 7 * (np.arange(400, 4400) / 200)) + 50_000
    # A constant of 50 mV leaves no ripple beyond the rounding of float32.
    assert np.abs(out - expected).max() < 0.1


@pytest.mark.parametrize("rate", ["200.004", "199.9990", "256.001", "250.0025"])
def test_rates_close_to_a_simple_one_keep_the_clock(rate: str) -> None:
    stored = Fraction(rate)
    ratio = resampling.ratio_of(Fraction(200), stored)
    n_samples = round(86_400 * stored)  # a day
    assert abs(float(n_samples * ratio / 200) - 86_400) < 0.005


def test_rate_20_ppm_above_200_is_resampled(tmp_path: Path) -> None:
    # 50 001 samples in 250 s
    file = EdfFile(labels=["a"], counts=(50_001,), duration="250", n_records=2)
    times = np.arange(100_002) / 200.004
    wave = np.round(20_000 * np.sin(2 * np.pi * 5 * times)).astype(int)
    file.samples = lambda: [wave]  # type: ignore[method-assign]
    recording = open_recording(file.write(tmp_path / "a.edf"))
    data = joined(recording, [0], sfreq=200, seconds=60)
    expected = (20_000 * np.sin(2 * np.pi * 5 * np.arange(data.shape[1]) / 200) + 32768) * 6400 / 65535 - 3200
    assert np.abs(data[0] - expected)[1000:-1000].max() < 4  # of 1953; the interpolation is good to 0.1 %


def test_content_above_the_new_nyquist_is_removed(tmp_path: Path) -> None:
    ratio = Fraction(2, 5)
    time = np.arange(500 * 60) / 500
    tone = np.sin(2 * np.pi * 130 * time)[None].astype(np.float32)
    out = resampling.resample(
        np.pad(tone, ((0, 0), (200, 20000)), mode="edge"), -200, resampling.widen((0, 8000), ratio), ratio
    )
    assert np.abs(out[0, 400:8000]).max() < 0.01


def test_channels_of_different_rates_in_one_call(tmp_path: Path) -> None:
    file = EdfFile(labels=["a", "b", "c", "d"], counts=(256, 200, 512, 1), n_records=30)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    together = joined(recording, [2, 3, 0, 1], sfreq=200)
    for row, channel in enumerate([2, 3, 0, 1]):
        np.testing.assert_array_equal(together[row], joined(recording, [channel], sfreq=200)[0])
    scale = 6400 / 65535
    close(together[3], (file.samples()[1] + 32768) * scale - 3200)


@pytest.mark.parametrize(("duration", "count", "n_records"), [("10", 2560, 3), ("0.1", 20, 57), ("30", 6000, 1)])
def test_any_record_duration(tmp_path: Path, duration: str, count: int, n_records: int) -> None:
    file = EdfFile(duration=duration, counts=(count,) * 2, n_records=n_records)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.duration == pytest.approx(float(duration) * n_records)
    close(stored(recording), file.microvolts())
    start, rate = 1.5, recording.channels[0].sfreq
    close(recording.read([1], start, start + 2), file.microvolts()[1:, int(start * rate) : int((start + 2) * rate)])


@pytest.mark.parametrize("bdf", [False, True])
def test_records_too_long_to_hold_are_read_in_parts(tmp_path: Path, bdf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    file = EdfFile(duration="15", counts=(3000,) * 2, n_records=3, bdf=bdf)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    whole = stored(recording)
    monkeypatch.setattr(records, "LONGEST_RECORD", 1024)
    np.testing.assert_array_equal(stored(recording), whole)
    close(whole, file.microvolts())


def test_channel_without_samples(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(counts=(256, 0)).write(tmp_path / "a.edf"))
    assert "holds no samples" in recording.repairs[0]
    data = joined(recording, [0, 1], sfreq=200)
    assert np.isfinite(data[0]).all() and np.isnan(data[1]).all()


def test_rates_asked_for_must_be_whole(tmp_path: Path) -> None:
    recording = open_recording(EdfFile().write(tmp_path / "a.edf"))
    with pytest.raises(UsageError, match="whole numbers"):
        next(recording.blocks([0], sfreq=199.5))


def test_read_outside_the_recording_is_nan(tmp_path: Path) -> None:
    file = EdfFile()
    recording = open_recording(file.write(tmp_path / "a.edf"))
    trace = recording.read([0], -1, 11)
    assert np.isnan(trace[0, :256]).all() and np.isnan(trace[0, -256:]).all()
    close(trace[:, 256:-256], file.microvolts()[:1])
    assert recording.read([0], 20, 21).shape == (1, 256) and recording.read([0], 3, 3).shape == (1, 0)
    resampled = recording.read([0], 2, 5, sfreq=200)
    np.testing.assert_array_equal(resampled, joined(recording, [0], sfreq=200)[:, 400:1000])


def test_saturation_counts_stored_samples_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = EdfFile(digital=[(-2048, 2047)] * 2, counts=(250, 250))
    values = [np.zeros(2500, int), np.zeros(2500, int)]
    values[0][250:500] = 2047  # second 1 all
    values[0][500:550] = -2048  # second 2 one fifth
    values[1][600] = 2047
    monkeypatch.setattr(EdfFile, "samples", lambda self: values)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    for seconds in (600, 1, 3):
        found = np.concatenate([b.saturated for b in recording.blocks([0, 1], sfreq=200, seconds=seconds)], axis=1)
        expected = np.zeros((2, 10))
        expected[0, 1:3] = 1, 0.2
        expected[1, 2] = 1 / 250
        np.testing.assert_allclose(found, expected, atol=1e-7)


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    blocks = open_recording(path).blocks([0], sfreq=200, seconds=2)
    next(blocks)
    os.truncate(path, 5000)
    with pytest.raises(RecordingError, match="changed while"):
        next(blocks)


def test_short_read_is_an_error_not_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    recording = open_recording(path)
    os.truncate(path, 5000)
    status = path.stat()
    object.__setattr__(recording.source, "size", 5000)
    object.__setattr__(recording.source, "modified", status.st_mtime_ns)
    with pytest.raises(RecordingError, match="ended before its last record"):
        list(recording.blocks([0], sfreq=200))


def test_file_that_vanishes(tmp_path: Path) -> None:
    path = EdfFile().write(tmp_path / "a.edf")
    recording = open_recording(path)
    path.unlink()
    with pytest.raises(RecordingError, match="does not exist"):
        recording.read([0], 0, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Two hours of 23 channels are 85 MB of samples and 265 MB as float32 at 256 Hz."""
    file = EdfFile(labels=[f"E{i}" for i in range(23)], counts=(256,) * 23, n_records=10)
    raw = file.bytes()
    head = len(raw) - 10 * 23 * 512
    path = tmp_path / "long.edf"
    with path.open("wb") as out:
        out.write(raw[:236] + b"7200    " + raw[244:head])
        for _ in range(720):
            out.write(raw[head:])
    script = (
        "import resource, sys\n"
        "from restcli.io.registry import open_recording\n"
        "import scipy.signal\n"
        "recording = open_recording(sys.argv[1])\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "n = sum(b.data.shape[1] for b in recording.blocks(range(23), sfreq=200, seconds=60))\n"
        "print(n, peak() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    n_samples, grown = map(int, run.stdout.split())
    assert n_samples == 7200 * 200
    assert grown < 60_000 * (1024 if sys.platform == "darwin" else 1), f"{grown} kB"
