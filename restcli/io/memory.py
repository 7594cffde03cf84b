"""Recordings that are in memory already: arrays in microvolts, and Raw objects of MNE."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError, UsageError
from restcli.io.companions import Stamps
from restcli.io.mne_reader import JOIN, units_of, without_depth
from restcli.io.recording import Recording
from restcli.io.segments import at_joins, without
from restcli.io.uniform import SampleStore, Stored, leave_out, one_piece
from restcli.signal.montage import parse_labels
from restcli.signal.quality import FLAT_STD
from restcli.signal.sequences import true_runs

# Standard deviations, µV, beyond which volts were taken for microvolts or microvolts for volts.
_TOO_SMALL, _TOO_LARGE = FLAT_STD, 1e5
_SECONDS_TRIED = 60


@dataclass(frozen=True, eq=False)
class MemoryStore(SampleStore):
    """Samples of an array or of a Raw object."""

    files: tuple[Path, ...] = ()
    stamps: Stamps = ()
    values: Any = None  # ndarray (C, n), or mne.io.BaseRaw

    @contextmanager
    def open(self) -> Iterator[Stored]:
        """Return what reads the samples."""
        yield self._of_array if isinstance(self.values, np.ndarray) else self._of_raw

    def _of_array(self, picks: list[int], start: int, stop: int) -> NDArray[Any]:
        return np.asarray(self.values[picks, start:stop])

    def _of_raw(self, picks: list[int], start: int, stop: int) -> NDArray[Any]:
        try:
            return np.asarray(self.values.get_data(picks=picks, start=start, stop=stop, verbose="error"))
        except Exception as error:  # of any kind; its text may quote the header
            raise RecordingError("Raw object", f"it cannot be read ({type(error).__name__})") from None


def in_memory(source: Any, *, sfreq: float | None = None, ch_names: Sequence[str] | None = None) -> Recording:
    """Make a recording of an array or a Raw object; see `restcli.open_recording`."""
    mne = sys.modules.get("mne")  # without it there is no Raw object
    if mne is None or not isinstance(source, mne.io.BaseRaw):
        return _of_array(source, sfreq, ch_names)
    if sfreq is not None or ch_names is not None:
        raise UsageError("sfreq, ch_names", "a Raw object has its own", remedy="Leave them out")
    return _of_raw(source)


def _of_array(source: Any, sfreq: Any, ch_names: Sequence[str] | None) -> Recording:
    if sfreq is None or ch_names is None:
        what = f"given without sampling rate or channel names ({type(source).__name__})"
        expected = "a path, an mne.io.Raw, or an array (channels, samples) in microvolts with sfreq= and ch_names="
        raise UsageError("recording", what, expected)
    names = _checked_names(ch_names)
    values = _checked_array(source, len(names))
    rate = float(sfreq) if isinstance(sfreq, Real) else math.nan
    if not 1 <= rate <= 1e6:
        raise UsageError("sfreq", f"{sfreq!r}", "1 Hz to 1 MHz")
    store = MemoryStore(values=values)
    recording = one_piece(Path("array"), store, [(name, "µV") for name in names], length=values.shape[1], sfreq=rate)
    recording = replace(recording, format="array")
    usual = _usual_spread(recording)
    if 0 < usual < _TOO_SMALL:
        what = f"its EEG varies by {usual:.2g} µV only; it seems to be in volts or millivolts"
        raise UsageError("data", what, "microvolts", "Multiply volts by 1e6, millivolts by 1e3")
    known = np.zeros(values.shape[1], dtype=bool)
    channels = []
    for row, channel in zip(values, recording.channels, strict=True):
        finite = np.isfinite(row)
        known |= finite
        channels.append(replace(channel, problem="" if finite.any() else "it holds no number"))
    if not known.any():
        raise UsageError("data", "every value is NaN", "microvolts, NaN where nothing is known")
    return _without_gaps(replace(recording, channels=tuple(channels)), true_runs(~known))


def _checked_names(ch_names: Any) -> tuple[str, ...]:
    listed = isinstance(ch_names, Iterable) and not isinstance(ch_names, str)
    names = tuple(ch_names) if listed else (None,)
    if not all(isinstance(name, str) for name in names):
        raise UsageError("ch_names", f"{type(ch_names).__name__} is not a list of names", "one name for each channel")
    return tuple(map(str, names))


def _checked_array(source: Any, n_channels: int) -> NDArray[Any]:
    try:
        values = np.asarray(source)
    except ValueError:
        raise UsageError("data", "rows of different lengths", "an array, shape (channels, samples)") from None
    shape = " x ".join(map(str, values.shape)) or "a single value"
    if values.dtype.kind not in "iuf":
        raise UsageError("data", f"values of type {values.dtype}", "real numbers, in microvolts")
    if values.ndim != 2 or values.shape[0] != n_channels:
        turned = values.ndim == 2 and values.shape[1] == n_channels
        raise UsageError(
            "data",
            f"an array of {shape} with {n_channels} channel names" + ("; it seems to be transposed" if turned else ""),
            "shape (channels, samples), one name for each channel",
            "Pass data.T" if turned else "",
        )
    if 0 in values.shape:
        raise UsageError("data", f"an empty array of {shape}", "shape (channels, samples)")
    if isinstance(source, np.ma.MaskedArray) and np.ma.is_masked(source):
        values = np.where(np.ma.getmaskarray(source), np.nan, values)
    if values.shape[1] < values.shape[0]:
        what = f"an array of {shape} has fewer samples than channels"
        raise UsageError("data", what, "shape (channels, samples)", "Pass data.T if it is transposed")
    return values


def _of_raw(raw: Any) -> Recording:
    sfreq, clock = float(raw.info["sfreq"]), raw.info["meas_date"]
    path = next((Path(name) for name in raw.filenames if name is not None), Path("raw"))
    channels = zip(raw.ch_names, units_of(raw), strict=True)
    recording = one_piece(path, MemoryStore(values=raw), channels, length=int(raw.n_times), sfreq=sfreq)
    usual = _usual_spread(recording)
    if usual > _TOO_LARGE:
        what = f"its EEG varies by {usual / 1e6:.2g} V; it seems to hold microvolts"
        raise UsageError("Raw object", what, "volts, as in all Raw objects of MNE", "Divide its samples by 1e6")
    if clock is not None:
        clock = clock.replace(tzinfo=None) + timedelta(seconds=float(raw.first_time))
    gaps, joins = _marks(raw)
    bad = [place for place, name in enumerate(raw.ch_names) if name in raw.info["bads"]]
    recording = leave_out(recording, bad, "it is marked as bad", "marked as bad; left out")
    recording = without_depth(replace(recording, format="mne.io.Raw", start=clock), raw.get_channel_types())
    recording = at_joins(recording, np.array(joins) / sfreq, np.full(len(joins), math.nan))
    return _without_gaps(recording, gaps)


def _marks(raw: Any) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the samples that were not acquired, and those where stretches of signal were joined."""
    gaps, joins = np.zeros(raw.n_times, dtype=bool), set()
    marks, sfreq = raw.annotations, float(raw.info["sfreq"])
    for onset, duration, text in zip(marks.onset, marks.duration, marks.description, strict=True):
        first = round((float(onset) - raw.first_time) * sfreq)
        if text.upper().startswith("BAD_ACQ_SKIP"):
            gaps[max(0, first) : max(0, first + round(float(duration) * sfreq))] = True
        elif JOIN.match(text) and 0 < first < raw.n_times:
            joins.add(first)
    return true_runs(gaps), sorted(joins)


def _without_gaps(recording: Recording, gaps: Sequence[tuple[int, int]]) -> Recording:
    """Cut at gaps of a second or more, in samples; shorter ones are left to the judgement of each second."""
    rate = recording.channels[0].sfreq
    return without(recording, [(first / rate, last / rate) for first, last in gaps if last - first >= rate])


def _usual_spread(recording: Recording) -> float:
    """Return the standard deviation within a second, µV, of the liveliest EEG channel; 0 when there is none."""
    names = [channel.label if channel.unit == "µV" else "" for channel in recording.channels]
    eeg = [row for row, ends in enumerate(parse_labels(names)) if ends is not None]
    if not eeg:
        return 0.0
    n_samples = recording.channels[0].n_samples
    length = min(n_samples, max(2, round(recording.channels[0].sfreq)))
    starts = np.unique(np.linspace(0, n_samples - length, _SECONDS_TRIED).astype(int)).tolist()
    with recording.source.open() as handle:
        spread = np.stack([handle.read(eeg, start, start + length)[0].std(axis=1, dtype=float) for start in starts])
    usual = [np.median(column[column > 0]) for column in spread.T if (column > 0).any()]
    return float(max(usual, default=0.0))
