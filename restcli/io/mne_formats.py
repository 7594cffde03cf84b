"""BrainVision, Nihon Kohden and EEGLAB files, read through MNE."""

from __future__ import annotations

import configparser
import io
import math
import re
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
from restcli.io.companions import ANY_FORMAT, check_regular, named_beside, read_header, sibling
from restcli.io.edf_header import check_length, decode
from restcli.io.recording import Channel, Recording, Segment
from restcli.signal import resampling
from restcli.signal.resampling import Signal

_FORMATS = {".vhdr": "BrainVision", ".eeg": "Nihon Kohden", ".set": "EEGLAB"}
_WHOLE = "a complete recording with all its files side by side"


def brainvision_files(path: Path) -> tuple[Path, ...]:
    """Return the files of samples and of markers that a BrainVision header names."""
    text = decode(read_header(path)).partition("\n")[2].split("[Comment]")[0]
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read_string(text)
        infos = {name.lower(): settings[name] for name in settings}["common infos"]
        samples, markers = infos["DataFile"], infos.get("MarkerFile", "")
    except (configparser.Error, KeyError) as error:
        what = f"its header cannot be read ({type(error).__name__})"
        raise RecordingError(str(path), what, "a BrainVision header (.vhdr)") from None
    files = [named_beside(path, samples, endings=(".eeg", ".dat"))]
    if files[0] is None:
        raise RecordingError(str(path), "its file of samples is not beside it", _WHOLE, "Copy all files")
    if markers:
        files.append(named_beside(path, markers, endings=(".vmrk",)))
    return tuple(file for file in files if file is not None)


def nihon_kohden_files(path: Path) -> tuple[Path, ...]:
    """Return the files with the device, the electrode names and the log that lie beside a Nihon Kohden file."""
    found = (sibling(path, (ending,)) for ending in (".PNT", ".21E", ".LOG"))
    return tuple(file for file in found if file is not None)


def eeglab_files(path: Path) -> tuple[Path, ...]:
    """Return the file of samples beside an EEGLAB data set, if they are not in it."""
    samples = sibling(path, (".fdt",))
    return (samples,) if samples else ()


@dataclass(frozen=True)
class MneSource:
    """Reads a recording through MNE."""

    files: tuple[Path, ...]  # the one that MNE is given, and its companions
    stamps: tuple[tuple[int, int], ...]  # size and time of each
    to_unit: tuple[float, ...]  # for each channel
    rate: Fraction

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return (self.rate,) * len(self.to_unit)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of all signals in a second, as MNE holds them."""
        return float(8 * len(self.to_unit) * self.rate)

    @contextmanager
    def open(self) -> Iterator[MneHandle]:
        """Open the files for reading."""
        yield MneHandle(self, _read_raw(self.files[0]))


@dataclass(frozen=True)
class MneHandle:
    """A recording that MNE has opened."""

    source: MneSource
    raw: Any

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, None]:
        """Return stored samples in microvolts; digital limits are unknown."""
        where = str(self.source.files[0])
        if _stamps(self.source.files) != self.source.stamps:
            raise RecordingError(where, "the file changed while it was read", remedy="Try again when it is closed")
        with _foreign(where, "the file cannot be read to its end"):
            data = self.raw.get_data(picks=list(channels), start=start, stop=stop, verbose="error")
        if data.shape[1] != stop - start:
            raise RecordingError(where, "the file ended before its last sample", _WHOLE, "Copy it again")
        data *= np.array(self.source.to_unit)[list(channels), None]
        return data.astype(np.float32), None


@contextmanager
def _foreign(where: str, what: str) -> Iterator[None]:
    """Report whatever a reader of MNE raises by its kind alone, for its words may quote the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Some readers print, even patient fields; stdout belongs to the results.
            with redirect_stdout(io.StringIO()):
                yield
    except Exception as error:
        remedy = "Export the recording as EDF from the EEG system"
        raise RecordingError(where, f"{what} ({type(error).__name__})", _WHOLE, remedy) from None


def _read_raw(path: Path) -> Any:
    import mne

    with _foreign(str(path), f"the file cannot be read as {_FORMATS[path.suffix.lower()]}"):
        return mne.io.read_raw(path, preload=False, verbose="error")


def _stamps(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    return tuple((status.st_size, status.st_mtime_ns) for status in map(check_regular, files))


def open_mne(files: tuple[Path, ...]) -> Recording:
    """Open a recording through MNE."""
    path, where = files[0], str(files[0])
    stamps = _stamps(files)
    raw = _read_raw(path)
    read = {Path(name).resolve() for name in raw.filenames if name is not None}
    if not read <= {file.resolve() for file in files}:
        what = "its samples are in a file other than the one beside it that has its own name"
        raise RecordingError(where, what, _WHOLE, "Give both files the same name and export the header again")
    n_samples, sfreq = int(raw.n_times), float(raw.info["sfreq"])
    if not raw.ch_names or n_samples == 0:
        raise RecordingError(where, "the file holds no signals", ANY_FORMAT)
    if not 0 < sfreq <= 1e6:
        raise RecordingError(where, "the header gives an impossible sampling rate", "at most 1 MHz")
    check_length(n_samples / sfreq, where)
    rate = resampling.exact_rate(sfreq)
    volts = [int(channel["unit"]) == 107 for channel in raw.info["chs"]]  # FIFF_UNIT_V
    channels = tuple(
        Channel(label, "µV" if volt else "", float(rate), n_samples, math.nan, math.nan)
        for label, volt in zip(raw.ch_names, volts, strict=True)
    )
    source = MneSource(files, stamps, tuple(1e6 if volt else 1.0 for volt in volts), rate)
    clock = raw.info["meas_date"]
    start = clock.replace(tzinfo=None) if clock is not None else None
    segments, repairs = _joined(raw, n_samples, sfreq)
    kind = _FORMATS[path.suffix.lower()]
    return Recording(path, kind, channels, start, segments[-1].stop, segments, repairs, source)


def _joined(raw: Any, n_samples: int, sfreq: float) -> tuple[tuple[Segment, ...], tuple[str, ...]]:
    """Cut at the marks where stretches of signal were joined; how long the gaps were is not known."""
    cuts = {0, n_samples}
    for onset, text in zip(raw.annotations.onset, raw.annotations.description, strict=True):
        if re.match(r"(BAD |EDGE )?boundary|New Segment", str(text), re.IGNORECASE):
            cuts.add(min(max(0, round((float(onset) - raw.first_time) * sfreq)), n_samples))
    edges = [cut / sfreq for cut in sorted(cuts)]
    segments = tuple(Segment(low, high, low) for low, high in pairwise(edges))
    n_joins = len(segments) - 1
    note = f"{n_joins} joins between stretches of unknown distance; times after the first count stored signal only"
    return segments, (note,) if n_joins else ()
