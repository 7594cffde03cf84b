"""Neuroscan (.cnt) and EGI (.raw) files, read through MNE after a look of our own at their headers."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.companions import open_regular, stamps_of
from restcli.io.headers import WRONG_CLOCK, clock_time
from restcli.io.mne_formats import of_raw
from restcli.io.mne_reader import MneStore
from restcli.io.recording import Recording
from restcli.io.segments import at_joins

_CNT_HEADER, _CNT_CHANNEL = 900, 75  # bytes
# Accept codes of events at which the recording was interrupted.
_INTERRUPTIONS = (11, 14)
_MOST_CHANNELS = 1024
_COPY = "Copy the file again, or export the recording as EDF"
# Version, date and time, milliseconds, rate, channels, gain, bits, range, samples, events.
_EGI = struct.Struct(">i6hi5hih")


@dataclass(frozen=True)
class _CntLayout:
    """Where the samples of a Neuroscan file lie."""

    n_channels: int
    start: int  # byte of the first sample
    events: int  # byte of the table of events, which follows the last sample
    sample_bytes: int


def is_neuroscan(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a Neuroscan recording."""
    return raw.startswith(b"Version 3.")


def open_neuroscan(files: tuple[Path, ...]) -> Recording:
    """Open a Neuroscan file; where the recording was interrupted, the length of the pause is unknown."""
    path = files[0]
    with open_regular(path) as file:
        head = file.read(_CNT_HEADER)
        layout = _cnt_layout(head, file.seek(0, 2), str(path))
        file.seek(layout.events)
        joins = _interruptions(file.read(2**24), layout)
    options = (("data_format", f"int{8 * layout.sample_bytes}"),)
    store = MneStore(files, stamps_of(files), (path.name,), "read_raw_cnt", options=options)
    with store.raw() as (raw, repairs):
        recording = of_raw(raw, store, "Neuroscan", ["V"] * len(raw.ch_names), repairs=repairs)
    if recording.start is not None and recording.start.day <= 12:
        note = "the header does not say whether its date is month/day/year, as it was read, or day/month/year"
        recording = replace(recording, repairs=(*recording.repairs, note))
    places = np.array(joins) / recording.channels[0].sfreq
    return at_joins(recording, places, np.full(len(places), math.nan))


def _cnt_layout(head: bytes, size: int, where: str) -> _CntLayout:
    """Find out whether samples have 16 or 32 bits; a wrong guess would read noise."""
    expected = "as many samples of 16 or 32 bits as its header says"
    if len(head) < _CNT_HEADER:
        raise RecordingError(where, "the file ends inside its own header", remedy=_COPY)
    (n_channels,), (n_samples,) = struct.unpack_from("<H", head, 370), struct.unpack_from("<i", head, 864)
    (events,) = struct.unpack_from("<i", head, 886)
    start = _CNT_HEADER + _CNT_CHANNEL * n_channels
    if not 0 < n_channels <= _MOST_CHANNELS:
        what = "the header gives an impossible number of channels"
        raise RecordingError(where, what, f"1 to {_MOST_CHANNELS} channels")
    if not start < events <= size:
        raise RecordingError(
            where, "the file is cut off, or its header does not say where samples end", expected, _COPY
        )
    width, rest = divmod(events - start, n_channels * n_samples) if n_samples > 0 else (0, 0)
    if rest or width not in (2, 4):
        raise RecordingError(where, "its number of samples and its size contradict each other", expected, _COPY)
    return _CntLayout(n_channels, start, events, width)


def _interruptions(table: bytes, layout: _CntLayout) -> list[int]:
    """Return the samples at which the recording was interrupted."""
    if len(table) < 9:
        return []
    kind, length = struct.unpack_from("<Bi", table)
    size = 8 if kind == 1 else 19
    n_events = max(0, min(length, len(table) - 9)) // size
    form = np.dtype({"names": ["accept", "place"], "formats": ["u1", "<i4"], "offsets": [3, 4], "itemsize": size})
    found = np.frombuffer(table, form, n_events, 9)
    places: NDArray[np.int64] = found["place"][np.isin(found["accept"] >> 4, _INTERRUPTIONS)].astype(np.int64)
    if kind != 3:  # bytes, not samples
        places = (places - layout.start) // (layout.n_channels * layout.sample_bytes)
    return sorted(set(places[places > 0].tolist()))


def is_egi(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is an EGI simple binary file: they must make sense as its header."""
    if len(raw) < _EGI.size:
        return False
    version, year, month, day, hour, minute, second, milli, rate, n_channels, *_ = _EGI.unpack_from(raw)
    in_time = hour < 24 and minute < 60 and second < 60 and 0 <= milli < 1000 and min(hour, minute, second) >= 0
    date = 1980 <= year < 2200 and 1 <= month <= 12 and 1 <= day <= 31
    sized = 0 < rate <= 32_000 and 0 < n_channels <= _MOST_CHANNELS
    return bool(2 <= version <= 7 and date and in_time and sized)


def open_egi(files: tuple[Path, ...]) -> Recording:
    """Open an EGI simple binary file without segments."""
    path, where = files[0], str(files[0])
    with open_regular(path) as file:
        head, size = file.read(_EGI.size), file.seek(0, 2)
    fields = _EGI.unpack(head)
    version, (n_channels, _, bits, span, n_samples, n_events) = fields[0], fields[9:]
    if version % 2:
        what = "the file holds segments (epochs), not a continuous recording"
        raise RecordingError(where, what, remedy="Export the recording without segments")
    held = (size - _EGI.size - 4 * n_events) / ((n_channels + n_events) * {2: 2, 4: 4, 6: 8}[version])
    if not 0 < n_samples <= held or not 0 <= n_events < 2**10:
        raise RecordingError(where, "the file is cut off: it holds fewer samples than its header says", remedy=_COPY)
    store = MneStore(files, stamps_of(files), (path.name,), "read_raw_egi")
    # Integers are calibrated in microvolts by the range of the amplifier, and MNE does not turn these into volts.
    unit = "µV" if bits and span else "V"
    with store.raw() as (raw, repairs):
        units = [unit if re.fullmatch(r"E\d+", name) else "" for name in raw.ch_names]
        recording = of_raw(raw, store, "EGI", units, repairs=repairs)
    start = clock_time(*fields[1:7], 1000 * fields[7])  # MNE takes it for local time
    repairs = recording.repairs if start else (*recording.repairs, WRONG_CLOCK)
    return replace(recording, start=start, repairs=repairs)
