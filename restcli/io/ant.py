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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io import ant_child
from restcli.io.companions import open_regular, read_header, siblings, stamps_of
from restcli.io.headers import NO_CLOCK, channel_notes, decode, printable, unit_note, with_reference
from restcli.io.mne_reader import under_names
from restcli.io.recording import Recording
from restcli.io.segments import at_joins, without
from restcli.io.uniform import SampleStore, Stored, one_piece
from restcli.text import count

_FORMAT = "an ANT Neuro recording (.cnt)"
_COPY = "Copy all its files again, or export it as EDF from the EEG system"
_MOST_CHANNELS = 4096
_MOST_CHUNKS = 64
_LONGEST_ANSWER = 2**26  # bytes on the recording as a whole
_UNTRIED = "read by the package antio, which was tried on made files only: check amplitudes"
_DAYS = (27_538, 73_050)  # that make sense as a date, counted from the end of 1899


@dataclass(frozen=True)
class AntStore(SampleStore):
    """Files that another process reads, which lasts as long as they are open."""

    @contextmanager
    def open(self) -> Iterator[Stored]:
        """Open the file for reading."""
        where = str(self.files[0])
        with self.process() as (process, said):
            n_channels = len(said["channels"])

            def read(picks: list[int], start: int, stop: int) -> NDArray[Any]:
                assert process.stdin is not None and process.stdout is not None
                try:
                    os.write(process.stdin.fileno(), f"{start} {stop}\n".encode())
                except BrokenPipeError:
                    raise _failed(process, where, "read it to its end") from None
                raw = process.stdout.read(4 * n_channels * (stop - start))
                if len(raw) < 4 * n_channels * (stop - start):
                    raise _failed(process, where, "read it to its end")
                return np.frombuffer(raw, np.float32).reshape(-1, n_channels).T[picks]

            yield read

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


def _failed(process: subprocess.Popen[bytes], where: str, aim: str) -> RecordingError:
    """Say why the process ended: the package is missing, or the file is damaged."""
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
    return siblings(path, (".evt", ".seg", ".trg"))


def open_ant(files: tuple[Path, ...]) -> Recording:
    """Open an ANT Neuro file: segments say how long pauses were; without its amplifier nothing was recorded."""
    path, where = files[0], str(files[0])
    store, sfreq = AntStore(files, stamps_of(files)), _rate(path)
    with store.process() as (_, said):
        pass
    n_samples = said["n_samples"]
    if not 0 < len(said["channels"]) <= _MOST_CHANNELS or n_samples <= 0:
        raise RecordingError(where, "its header gives an impossible number of channels or samples", _FORMAT, _COPY)
    channels = [_channel(texts) for texts in said["channels"]]
    recording = one_piece(path, store, channels, length=n_samples, sfreq=sfreq)
    start = _start(said["start"])
    repairs = channel_notes((label, unit_note(unit or "unknown")) for label, unit in channels)
    repairs += () if start else (NO_CLOCK,)
    if said["unreadable"]:
        repairs += (f"{count(said['unreadable'], 'event')} unreadable, perhaps of interruptions; left out",)
    recording = replace(recording, format="ANT Neuro", start=start, repairs=(*repairs, _UNTRIED))
    text = next((decode(read_header(file)) for file in files if file.suffix.lower() == ".seg"), None)
    joins = [(place, math.nan) for kind, place, _ in said["events"] if kind == "join"]
    joins = joins if text is None else _segments(text, said["start"], recording)
    places, lags = (np.array([join[k] for join in joins]) for k in (0, 1))
    return _without(at_joins(recording, places / sfreq, lags), _stretches(said["events"], n_samples), sfreq)


def _rate(path: Path) -> float:
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
        raise RecordingError(str(path), "its header gives no valid sampling rate", _FORMAT, _COPY)
    return rate


def _channel(texts: Sequence[str]) -> tuple[str, str]:
    """Return the label of a channel, with its reference, and its unit."""
    label, unit, reference = (printable(decode(text.encode("latin-1"))) for text in texts)
    return with_reference(label, reference), unit


def _start(said: Sequence[float]) -> datetime | None:
    """Read the clock time of the first sample: a day with its fraction, and the fraction of its second."""
    days, fraction = said
    if not (_DAYS[0] <= days <= _DAYS[1] and 0 <= fraction < 1):
        return None
    return datetime(1899, 12, 30) + timedelta(seconds=round(days * 86_400) + fraction)


def _stretches(events: Sequence[tuple[str, int, int]], n_samples: int) -> list[tuple[int, int]]:
    """Return the ranges of samples without an amplifier or with impedance measurements."""
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


def _without(recording: Recording, stretches: Sequence[tuple[int, int]], sfreq: float) -> Recording:
    """Leave out samples that are no EEG, and report how long they last."""
    if not stretches:
        return recording
    recording = without(recording, [(first / sfreq, last / sfreq) for first, last in stretches])
    if not recording.segments:
        raise RecordingError(str(recording.path), "its amplifier was disconnected all the time", _FORMAT)
    seconds = sum(last - first for first, last in stretches) / sfreq
    note = f"its amplifier was disconnected, or measured impedances, for {seconds:.10g} s; not scored"
    return replace(recording, repairs=(*recording.repairs, note))


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
