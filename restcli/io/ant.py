"""ANT Neuro files (.cnt), with events (.evt or .trg) and segments (.seg) beside them, read by the package antio.

Its C code ends the process on some damaged files, so that it runs in another one (`ant_child`).
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from restcli.errors import RecordingError
from restcli.io import ant_child
from restcli.io.companions import check_unchanged, open_regular, read_header, sibling, stamps_of
from restcli.io.edf_header import check_length, decode, known_unit, microvolts, names
from restcli.io.mne_formats import at_joins
from restcli.io.mne_reader import under_names
from restcli.io.recording import Channel, Recording, Segment, to_samples
from restcli.signal import resampling
from restcli.signal.resampling import Signal
from restcli.text import count

_FORMAT = "an ANT Neuro recording (.cnt)"
_COPY = "Copy all its files again, or export it as EDF from the EEG system"
_ENDINGS = (".evt", ".seg", ".trg")
_MOST_CHANNELS = 4096
_MOST_CHUNKS = 64
_LONGEST_ANSWER = 2**26  # bytes on the recording as a whole
_UNTRIED = "read by the package antio, which was tried on made files only: check amplitudes"
_DAYS = (27_538, 73_050)  # that make sense as a date, counted from the end of 1899


@dataclass(frozen=True)
class AntSource:
    """Reads a recording through a process that lasts as long as it is open."""

    files: tuple[Path, ...]
    stamps: tuple[tuple[int, int], ...]
    rate: Fraction
    to_unit: tuple[float, ...] = ()  # for each channel

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return (self.rate,) * len(self.to_unit)

    @property
    def bytes_per_second(self) -> float:
        """Bytes of all signals in a second."""
        return float(4 * len(self.to_unit) * self.rate)

    @contextmanager
    def open(self) -> Iterator[AntHandle]:
        """Open the file for reading."""
        with self.process() as (process, _):
            yield AntHandle(self, process)

    @contextmanager
    def process(self) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
        """Start the process; give it, and what it says of the recording."""
        path = self.files[0]
        stem = path.stem if str(path).isprintable() else "recording"  # the library takes no other names
        wanted = [stem + ending for ending in (".cnt", *(file.suffix.lower() for file in self.files[1:]))]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        with under_names(self.files, wanted) as name:
            command = [sys.executable, "-P", ant_child.__file__, str(name.absolute())]
            pipe, null = subprocess.PIPE, subprocess.DEVNULL
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, env=environment) as process:
                try:
                    assert process.stdout is not None
                    line = process.stdout.readline(_LONGEST_ANSWER)
                    if not line.endswith(b"\n"):
                        raise _failed(process, str(path), "open it")
                    yield process, json.loads(line)
                finally:
                    process.kill()


@dataclass(frozen=True)
class AntHandle:
    """A recording that another process has opened."""

    source: AntSource
    process: subprocess.Popen[bytes]

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, None]:
        """Return stored samples in microvolts; digital limits are unknown."""
        where, n_channels = str(self.source.files[0]), len(self.source.to_unit)
        check_unchanged(self.source.files, self.source.stamps)
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            os.write(self.process.stdin.fileno(), f"{start} {stop}\n".encode())
        except BrokenPipeError:
            raise _failed(self.process, where, "read it to its end") from None
        raw = self.process.stdout.read(4 * n_channels * (stop - start))
        if len(raw) < 4 * n_channels * (stop - start):
            raise _failed(self.process, where, "read it to its end")
        data = np.frombuffer(raw, np.float32).reshape(-1, n_channels).T[list(channels)]
        return to_samples(data * np.array(self.source.to_unit)[list(channels), None]), None


def _failed(process: subprocess.Popen[bytes], where: str, aim: str) -> RecordingError:
    """Say why the process ended: in all cases but one, because of the file."""
    assert process.stdout is not None
    process.stdout.close()  # else a process that has more to say would not end
    process.communicate()
    if process.wait() == ant_child.NO_PACKAGE:
        what = "reading it needs the package antio, which is not installed"
        return RecordingError(where, what, remedy="pip install 'rest-eeg[ant]', or export as EDF")
    return RecordingError(where, f"it is damaged: the library antio cannot {aim}", _FORMAT, _COPY)


def is_ant(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is an ANT Neuro recording."""
    return (raw[:4], raw[8:12]) == (b"RIFF", b"CNT ") or (raw[:4], raw[12:16]) == (b"RF64", b"CNT ")


def ant_files(path: Path) -> tuple[Path, ...]:
    """Return the files of events and of segments."""
    found = (sibling(path, (ending,)) for ending in _ENDINGS)
    return tuple(file for file in found if file is not None)


def open_ant(files: tuple[Path, ...]) -> Recording:
    """Open an ANT Neuro file: segments say how long pauses were; without its amplifier nothing was recorded."""
    path, where = files[0], str(files[0])
    source = AntSource(files, stamps_of(files), _rate(path))
    with source.process() as (_, said):
        pass
    n_samples, rate = said["n_samples"], float(source.rate)
    if not 0 < len(said["channels"]) <= _MOST_CHANNELS or n_samples <= 0:
        raise RecordingError(where, "its header gives an impossible number of channels or samples", _FORMAT, _COPY)
    check_length(n_samples / rate, where)
    channels, factors, repairs = _channels(said["channels"], n_samples, rate)
    start = _start(said["start"])
    repairs += () if start else ("the start date or time is missing or unreadable; clock times are unknown",)
    if said["unreadable"]:
        repairs += (f"{count(said['unreadable'], 'event')} unreadable, perhaps of interruptions; left out",)
    recording = Recording(
        path,
        "ANT Neuro",
        channels,
        start,
        n_samples / rate,
        (Segment(0.0, n_samples / rate, 0.0),),
        (*repairs, _UNTRIED),
        replace(source, to_unit=factors),
    )
    text = next((decode(read_header(file)) for file in files if file.suffix.lower() == ".seg"), None)
    joins = [(place, math.nan) for kind, place, _ in said["events"] if kind == "join"]
    joins = joins if text is None else _segments(text, said["start"], recording)
    recording = at_joins(recording, np.array([place for place, _ in joins]) / rate, np.array([lag for _, lag in joins]))
    return _without(recording, [(low / rate, high / rate) for low, high in _stretches(said["events"], n_samples)])


def _rate(path: Path) -> Fraction:
    """Read the sampling rate, which the library cuts to a whole number; refuse a file that was cut off."""
    with open_regular(path) as file:
        head, size = file.read(16), file.seek(0, os.SEEK_END)
        width = 8 if head[:4] == b"RF64" else 4
        if not is_ant(head) or 4 + width + int.from_bytes(head[4 : 4 + width], "little") > size + 1:
            what = "the file is cut off: it is shorter than its header says"
            raise RecordingError(str(path), what, _FORMAT, _COPY)
        place, header = 8 + width, b""
        for _ in range(_MOST_CHUNKS):
            file.seek(min(place, size))
            chunk = file.read(4 + width)
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"eeph":
                header = file.read(min(length, 2**22))
                break
            place += 4 + width + length + length % 2
    found = re.search(rb"^\[Sampling Rate\]\s*(\d{1,9}(\.\d{0,20})?)\s*$", header, re.MULTILINE)
    rate = float(found[1]) if found else 0.0
    if not 0 < rate <= 1e6:
        raise RecordingError(str(path), "its header gives no possible sampling rate", _FORMAT, _COPY)
    return resampling.exact_rate(rate)


def _channels(
    said: Sequence[Sequence[str]], n_samples: int, rate: float
) -> tuple[tuple[Channel, ...], tuple[float, ...], tuple[str, ...]]:
    """Return channels, named with their reference; the factors to their units; and what is wrong with these."""
    channels, factors, unknown = [], [], []
    for texts in said:
        label, unit, reference = (
            "".join(c for c in decode(text.encode("latin-1")) if c.isprintable()).strip() for text in texts
        )
        label = f"{label}-{reference}" if reference and "-" not in label else label
        channels.append(Channel(label, known_unit(unit), rate, n_samples, math.nan, math.nan))
        factors.append(microvolts(unit) or 1.0)
        unknown += [label] if known_unit(unit) in {"", "unknown"} else []
    return tuple(channels), tuple(factors), (f"{names(unknown)}: unit unknown; left out",) if unknown else ()


def _start(said: Sequence[float]) -> datetime | None:
    """Read the clock time of the first sample: a day with its fraction, and the fraction of its second."""
    days, fraction = said
    if not (_DAYS[0] <= days <= _DAYS[1] and 0 <= fraction < 1):
        return None
    return datetime(1899, 12, 30) + timedelta(seconds=round(days * 86_400) + fraction)


def _stretches(events: Sequence[tuple[str, int, int]], n_samples: int) -> list[tuple[int, int]]:
    """Return the samples of times without an amplifier, and of measurements of impedances."""
    found: list[tuple[int, int]] = []
    events = sorted(events, key=lambda event: event[1])
    switched = [kind for kind, _, _ in events if kind in {"off", "on"}]
    off = 0 if switched[:1] == ["on"] else None
    for kind, place, length in events:
        if kind == "off" and off is None:
            off = place
        elif kind == "on" and off is not None:
            found.append((off, place))
            off = None
        elif kind == "impedance":
            found.append((place, place + length))
    found += [] if off is None else [(off, n_samples)]
    return [(max(0, first), min(last, n_samples)) for first, last in found if first < min(last, n_samples)]


def _without(recording: Recording, stretches: Sequence[tuple[float, float]]) -> Recording:
    """Leave out stretches, in seconds of stored signal, in which there was no EEG."""
    segments = recording.segments
    for first, last in stretches:
        kept = []
        for segment in segments:
            shift, stop = segment.start - segment.offset, segment.offset + segment.stop - segment.start
            parts = ((segment.offset, min(first, stop)), (max(last, segment.offset), stop))
            kept += [Segment(low + shift, high + shift, low) for low, high in parts if low < high]
        segments = tuple(kept)
    if not segments:
        raise RecordingError(str(recording.path), "its amplifier was disconnected all the time", _FORMAT)
    if not stretches:
        return recording
    seconds = sum(last - first for first, last in stretches)
    note = f"its amplifier was disconnected, or measured impedances, for {seconds:.10g} s; not scored"
    return replace(recording, segments=segments, repairs=(*recording.repairs, note))


def _segments(text: str, start: Sequence[float], recording: Recording) -> list[tuple[int, float]]:
    """Return where segments after the first begin, in samples, and how many seconds of pauses lie before each."""
    number = re.search(r"^NumberSegments=(\d{1,6})\s*$", text, re.MULTILINE)
    rows = re.findall(r"^\s*(\d{1,6}\.?\d{0,20})\s+(0?\.?\d{0,20})\s+(\d{1,10})\s*$", text, re.MULTILINE)
    n_samples, rate = recording.channels[0].n_samples, recording.channels[0].sfreq
    lengths = [int(length) for _, _, length in rows]
    place = n_samples - sum(lengths)
    if number is None or int(number[1]) != len(rows) + 1 or place <= 0:
        raise RecordingError(str(recording.path), "its list of segments (.seg) does not fit the file", _FORMAT, _COPY)
    joins, begun = [], _start(start)
    for (days, fraction, _), length in zip(rows, lengths, strict=True):
        at = _start((float(days), float(fraction)))
        joins.append((place, (at - begun).total_seconds() - place / rate if at and begun else math.nan))
        place += length
    return joins
