"""Recordings that are in memory already: arrays in microvolts, and Raw objects of MNE."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError, UsageError
from restcli.io.edf_header import check_length
from restcli.io.edf_header import names as listed
from restcli.io.mne_reader import FIFF_UNIT_V, JOIN, without_depth
from restcli.io.recording import Channel, Recording, Segment, to_samples
from restcli.signal import resampling
from restcli.signal.montage import parse_labels
from restcli.signal.quality import FLAT_STD
from restcli.signal.resampling import Signal
from restcli.signal.sequences import true_runs
from restcli.text import count

# Standard deviations, µV, beyond which volts were taken for microvolts or microvolts for volts.
_TOO_SMALL, _TOO_LARGE = FLAT_STD, 1e5
_SECONDS_TRIED = 60


@dataclass(frozen=True, eq=False)
class MemorySource:
    """Samples of an array or of a Raw object; it is its own open handle."""

    values: Any  # ndarray (C, n), or mne.io.BaseRaw
    to_unit: NDArray[np.float64]  # (C,), factors to the units of the recording's channels
    rate: Fraction

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return (self.rate,) * len(self.to_unit)

    @property
    def n_samples(self) -> int:
        """Samples of each channel."""
        return int(self.values.shape[1] if isinstance(self.values, np.ndarray) else self.values.n_times)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of all signals in a second of 64-bit samples."""
        return float(8 * len(self.to_unit) * self.rate)

    @contextmanager
    def open(self) -> Iterator[MemorySource]:
        """Return the source itself."""
        yield self

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, None]:
        """Return samples in microvolts, NaN where they are not finite or absurd; digital limits are unknown."""
        picks = list(channels)
        if isinstance(self.values, np.ndarray):
            data = self.values[picks, start:stop]
        else:
            try:
                data = self.values.get_data(picks=picks, start=start, stop=stop, verbose="error")
            except Exception as error:  # its reader raises whatever it raises, in words that may quote the header
                raise RecordingError("Raw object", f"it cannot be read ({type(error).__name__})") from None
        return to_samples(data * self.to_unit[picks, None]), None


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
    memory = MemorySource(values, np.ones(len(names)), resampling.exact_rate(rate))
    usual = _usual_spread(memory, names)
    if 0 < usual < _TOO_SMALL:
        what = f"its EEG varies by {usual:.2g} µV only; it seems to be in volts or millivolts"
        raise UsageError("data", what, "microvolts", "Multiply volts by 1e6, millivolts by 1e3")
    known = np.zeros(values.shape[1], dtype=bool)
    problems = []
    for row in values:
        finite = np.isfinite(row)
        known |= finite
        problems.append("" if finite.any() else "it holds no number")
    channels = [(name, "µV", problem) for name, problem in zip(names, problems, strict=True)]
    if not known.any():
        raise UsageError("data", "every value is NaN", "microvolts, NaN where nothing is known")
    return _recording(memory, channels, true_runs(~known))


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
    names, sfreq = tuple(raw.ch_names), float(raw.info["sfreq"])
    volts = [int(channel["unit"]) == FIFF_UNIT_V for channel in raw.info["chs"]]
    memory = MemorySource(raw, np.where(volts, 1e6, 1.0), resampling.exact_rate(sfreq))
    usual = _usual_spread(memory, [name if volt else "" for name, volt in zip(names, volts, strict=True)])
    if usual > _TOO_LARGE:
        what = f"its EEG varies by {usual / 1e6:.2g} V; it seems to hold microvolts"
        raise UsageError("Raw object", what, "volts, as in all Raw objects of MNE", "Divide its samples by 1e6")
    channels = [(name, "µV" if volt else "", "") for name, volt in zip(names, volts, strict=True)]
    gaps, joins = _marks(raw)
    recording = _without_bad(_recording(memory, channels, gaps, joins), raw.info["bads"])
    recording = without_depth(recording, raw.get_channel_types())
    clock = raw.info["meas_date"]
    if clock is not None:
        clock = clock.replace(tzinfo=None) + timedelta(seconds=float(raw.first_time))
    path = next((Path(name) for name in raw.filenames if name is not None), Path("raw"))
    recording = replace(recording, path=path, format="mne.io.Raw", start=clock)
    if not joins:
        return recording
    until = joins[0] / sfreq
    note = (
        f"{count(len(joins), 'join')} between stretches of unknown distance; times after {until:.10g} s count stored "
        "signal only, and clock times are left out"
    )
    return replace(recording, repairs=(*recording.repairs, note), clock_until=until)


def _without_bad(recording: Recording, labels: Sequence[str]) -> Recording:
    """Leave out channels that somebody marked as bad, and report them."""
    channels = tuple(
        replace(channel, problem=channel.problem or "it is marked as bad") if channel.label in labels else channel
        for channel in recording.channels
    )
    found = [channel.label for channel in channels if channel.label in labels]
    notes = (f"{listed(found)}: marked as bad; left out",) if found else ()
    return replace(recording, channels=channels, repairs=(*recording.repairs, *notes))


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


def _recording(
    memory: MemorySource,
    channels: Sequence[tuple[str, str, str]],  # label, unit and problem
    gaps: Sequence[tuple[int, int]],
    joins: Sequence[int] = (),
) -> Recording:
    """Cut at joins and at gaps of a second or more; shorter gaps are left to the judgement of each second."""
    rate, n_samples = float(memory.rate), memory.n_samples
    known = np.ones(n_samples, dtype=bool)
    for first, last in gaps:
        known[first:last] = last - first < rate
    segments = []
    for first, last in true_runs(known):
        edges = [first, *(join for join in joins if first < join < last), last]
        segments += [Segment(low / rate, high / rate, low / rate) for low, high in pairwise(edges)]
    path = Path("array")
    check_length(n_samples / rate, str(path))
    return Recording(
        path=path,
        format="array",
        channels=tuple(
            Channel(label, unit, rate, n_samples, math.nan, math.nan, problem) for label, unit, problem in channels
        ),
        start=None,
        duration=n_samples / rate,
        segments=tuple(segments),
        repairs=(),
        source=memory,
    )


def _usual_spread(memory: MemorySource, names: Sequence[str]) -> float:
    """Return the standard deviation within a second, µV, of the liveliest EEG channel; 0 when there is none."""
    eeg = [row for row, ends in enumerate(parse_labels(names)) if ends is not None]
    n_samples = memory.n_samples
    length = min(n_samples, max(2, round(float(memory.rate))))
    if not eeg:
        return 0.0
    starts = np.unique(np.linspace(0, n_samples - length, _SECONDS_TRIED).astype(int)).tolist()
    spread = np.stack([memory.read(eeg, start, start + length)[0].std(axis=1, dtype=float) for start in starts])
    usual = [np.median(column[column > 0]) for column in spread.T if (column > 0).any()]
    return float(max(usual, default=0.0))
