"""Formats of other makers, read through MNE."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from restcli.errors import RecordingError
from restcli.io.companions import ANY_FORMAT, unreadable
from restcli.io.recording import Channel, Recording, Segment
from restcli.signal import resampling
from restcli.signal.resampling import Signal

_FORMATS = {".vhdr": "BrainVision", ".eeg": "Nihon Kohden", ".set": "EEGLAB"}
# What readers raise on files that they cannot make sense of.
_READER_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
)


@dataclass(frozen=True)
class MneSource:
    """Reads a format of another maker through MNE."""

    path: Path
    n_channels: int
    rate: Fraction
    to_unit: tuple[float, ...]
    stamps: tuple[tuple[Path, int, int], ...]

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return (self.rate,) * self.n_channels

    @property
    def bytes_per_second(self) -> float:
        """Bytes of all signals in a second, as MNE holds them."""
        return float(8 * self.n_channels * self.rate)

    @contextmanager
    def open(self) -> Iterator[MneHandle]:
        """Open the file for reading."""
        yield MneHandle(self, _read_raw(self.path, str(self.path)))


@dataclass(frozen=True)
class MneHandle:
    """An open file of another maker."""

    source: MneSource
    raw: Any

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, None]:
        """Return stored samples in microvolts; digital limits are unknown."""
        where = str(self.source.path)
        if any(_stamp(path) != (size, modified) for path, size, modified in self.source.stamps):
            raise RecordingError(where, "changed while it was read", remedy="try again when it is closed")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = self.raw.get_data(picks=list(channels), start=start, stop=stop, verbose="error")
        except _READER_ERRORS as error:
            raise RecordingError(where, f"cannot be read on ({type(error).__name__})", "a complete file") from None
        if data.shape[1] != stop - start:
            raise RecordingError(where, "ended before its last sample", "a complete file", "copy it again")
        data *= np.array(self.source.to_unit)[list(channels), None]
        return data.astype(np.float32), None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return status.st_size, status.st_mtime_ns


def _read_raw(path: Path, where: str) -> Any:
    import mne

    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise RecordingError(where, "its header file is not beside it", ANY_FORMAT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Some readers print, even patient fields; stdout belongs to the results.
            with redirect_stdout(io.StringIO()):
                return mne.io.read_raw(path, preload=False, verbose="error")
    except _READER_ERRORS as error:
        # The reader's own words may quote the header, so only the kind of error is told.
        raise RecordingError(
            where,
            f"cannot be read as {kind} ({type(error).__name__})",
            "a complete recording with all its files side by side",
            "export it as EDF from the EEG system",
        ) from None


def open_mne(path: Path) -> Recording:
    """Open a recording through MNE."""
    where = str(path)
    raw = _read_raw(path, where)
    rate = resampling.exact_rate(raw.info["sfreq"])
    volts = [int(channel["unit"]) == 107 for channel in raw.info["chs"]]  # FIFF_UNIT_V
    nan = float("nan")
    channels = tuple(
        Channel(label, "µV" if volt else "", float(rate), raw.n_times, nan, nan)
        for label, volt in zip(raw.ch_names, volts, strict=True)
    )
    if not channels or raw.n_times == 0:
        raise RecordingError(where, "holds no signals", ANY_FORMAT)
    files = {path, *(Path(name) for name in raw.filenames if name is not None)}
    stamps = tuple((name, *_stamp(name)) for name in sorted(files))
    source = MneSource(path, len(channels), rate, tuple(1e6 if volt else 1.0 for volt in volts), stamps)
    clock = raw.info["meas_date"]
    start = clock.replace(tzinfo=None) if clock is not None else None
    segments, repairs = _joined(raw)
    kind = _FORMATS[path.suffix.lower()]
    return Recording(path, kind, channels, start, segments[-1].stop, segments, repairs, source)


def _joined(raw: Any) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Cut at the marks where a maker joined pieces of signal; how long the gaps were is not told."""
    sfreq = float(raw.info["sfreq"])
    cuts = {0, raw.n_times}
    for onset, text in zip(raw.annotations.onset, raw.annotations.description, strict=True):
        if re.match(r"(BAD |EDGE )?boundary|New Segment", str(text), re.IGNORECASE):
            cuts.add(min(max(0, round((float(onset) - raw.first_time) * sfreq)), raw.n_times))
    edges = [cut / sfreq for cut in sorted(cuts)]
    segments = tuple(Segment(low, high, low) for low, high in pairwise(edges))
    n_joins = len(segments) - 1
    note = f"{n_joins} joins between pieces of unknown distance; times after the first count stored signal only"
    return segments, (note,) if n_joins else ()


def brainvision_files(path: Path) -> tuple[Path, ...]:
    """Return the file of samples that a BrainVision header names, when it is there."""
    text = path.read_bytes().decode("latin-1")
    found = re.search(r"^DataFile\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    name = re.split(r"[\\/]", found[1])[-1].replace("$b", path.stem) if found else ""
    return (path.with_name(name),) if name and path.with_name(name).exists() else ()


def eeglab_files(path: Path) -> tuple[Path, ...]:
    """Return the .fdt file of an EEGLAB data set, when it is there."""
    return tuple(p for p in (path.with_suffix(".fdt"),) if p.exists())
