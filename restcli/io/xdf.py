"""XDF recordings of LabRecorder: the stream of EEG among the streams of a file, at the times of its samples."""

from __future__ import annotations

import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.companions import open_regular, stamps_of
from restcli.io.edf_times import place
from restcli.io.headers import NO_UNIT, channel_notes, check_length, unit_note
from restcli.io.recording import Recording
from restcli.io.segments import of_runs
from restcli.io.uniform import UniformSource, one_piece
from restcli.io.xdf_chunks import FORMAT, MAGIC, Contents, Form, XdfStore, list_chunks, split
from restcli.io.xml import parse_xml, text_of
from restcli.text import count

_CONVERT = "Convert its EEG stream to EDF, or pass it to restcli.annotate as an array"
_MOST_CHANNELS = 1024
_TYPES = {"float32": "<f4", "double64": "<f8", "int8": "<i1", "int16": "<i2", "int32": "<i4", "int64": "<i8"}
# Where the time of a sample differs by more, seconds, from what the one before lets expect, there may be a gap.
_JUMP = 0.02
_MOST_STAMPS = 4.0  # used in a second of signal
_LATEST = 1e12  # s; what is beyond is no time
_RESET = 1.0  # s, by which the offset of a clock changes between two measurements if it was set
_COVERED = 0.5  # of the recording, that measurements must reach over to tell how its clock drifts
_CLOCK_NOTE = "clock times follow the date in the file's header, which may differ from the first sample by seconds"


@dataclass(frozen=True)
class _Stream:
    """What the header of a stream says."""

    number: int
    sfreq: float  # Hz
    form: Form
    channels: tuple[tuple[str, str], ...]  # labels and units, which may be empty


def is_xdf(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is an XDF recording."""
    return raw.startswith(MAGIC)


def open_xdf(files: tuple[Path, ...]) -> Recording:
    """Open the only stream of EEG of a file; its time stamps tell the gaps."""
    path, where = files[0], str(files[0])
    with open_regular(path) as file:
        if not is_xdf(file.read(4)):
            raise RecordingError(where, "this is not an XDF file", FORMAT)
        stamps = stamps_of(files)
        contents = list_chunks(file, os.fstat(file.fileno()).st_size, where)
        stream = _stream_of_eeg(contents, where)
        chunks, times = _read_times(file, contents, stream)
    n_samples = len(times)
    if not n_samples:
        raise RecordingError(where, "its EEG stream holds no samples", FORMAT)
    edges = np.concatenate([[0], np.cumsum(chunks[:, 2])])
    store = XdfStore(files, stamps, stream.form, chunks[:, :2], edges)
    channels = ((label, unit or "uV") for label, unit in stream.channels)
    recording = one_piece(path, store, channels, length=n_samples, sfreq=stream.sfreq)
    start = _start(contents, where)
    notes = channel_notes((label, NO_UNIT if not unit else "") for label, unit in stream.channels)
    notes += channel_notes((label, unit_note(unit or "uV")) for label, unit in stream.channels)
    if contents.damaged:
        notes = ("the file is damaged or cut off; what follows in it is not read", *notes)
    recording = replace(recording, format="XDF", start=start, repairs=notes + ((_CLOCK_NOTE,) if start else ()))
    _synchronize(times, contents.clocks.get(stream.number, []), where)
    return _placed(recording, times)


def _stream_of_eeg(contents: Contents, where: str) -> _Stream:
    """Return the only stream of EEG that holds samples."""
    headers = {number: parse_xml(raw, where, FORMAT) for number, raw in contents.streams.items()}
    eeg = [number for number, root in headers.items() if text_of(root, "type").lower() == "eeg"]
    full = [number for number in eeg if contents.samples.get(number)]
    what = ""
    if not headers:
        what = "it holds no streams"
    elif not eeg:
        what = f"none of its {count(len(headers), 'stream')} is of the type EEG"
    elif not full:
        what = "its EEG stream holds no samples"
    elif len(full) > 1:
        what = f"it holds {len(full)} streams of EEG, each with channels and a clock of its own"
    if what:
        raise RecordingError(where, what, FORMAT, _CONVERT if len(full) > 1 else "")
    return _stream(full[0], headers[full[0]], where)


def _stream(number: int, root: ET.Element, where: str) -> _Stream:
    """Read the header of a stream."""
    texts = [text_of(root, name) for name in ("channel_count", "nominal_srate", "channel_format")]
    n_channels = int(texts[0]) if re.fullmatch(r"\d{1,4}", texts[0], re.ASCII) else 0
    rate = float(texts[1]) if re.fullmatch(r"\d{1,9}(\.\d*)?([eE][+-]?\d{1,2})?", texts[1], re.ASCII) else math.nan
    what = ""
    if not 0 < n_channels <= _MOST_CHANNELS:
        what = "its EEG stream gives an impossible number of channels"
    elif rate == 0:
        what = "its EEG stream has no regular sampling rate"
    elif not 0.01 <= rate <= 1e6:
        what = "its EEG stream gives an impossible sampling rate"
    elif texts[2] not in _TYPES:
        what = "the samples of its EEG stream are not numbers"
    if what:
        raise RecordingError(where, what, FORMAT, _CONVERT)
    channels = [(text_of(each, "label"), text_of(each, "unit")) for each in root.findall("desc/channels/channel")]
    channels = channels or [(f"Ch{place}", "") for place in range(1, n_channels + 1)]  # a map can name them
    if len(channels) != n_channels:
        what = f"its EEG stream has {n_channels} channels and names {len(channels)}"
        raise RecordingError(where, what, "a label for each channel", _CONVERT)
    return _Stream(number, rate, Form(_TYPES[texts[2]], n_channels), tuple(channels))


def _read_times(file: BinaryIO, contents: Contents, stream: _Stream) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return place, length and samples of each chunk of a stream, and the time of each sample."""
    chunks, times, following = [], [], math.nan
    for at, length in contents.samples[stream.number]:
        file.seek(at)
        found = split(file.read(length), stream.form)
        if found is None:
            contents.damaged = True
            break
        if len(found[0]):
            chunks.append((at, length, len(found[0])))
            stamps = np.where(np.abs(found[0]) < _LATEST, found[0], math.nan)
            times.append(_filled(stamps, following, stream.sfreq))
            following = float(times[-1][-1]) + 1 / stream.sfreq
    return np.array(chunks, dtype=np.int64).reshape(-1, 3), np.concatenate([[], *times])


def _filled(times: NDArray[np.float64], following: float, rate: float) -> NDArray[np.float64]:
    """Place samples without a time one interval after the one before; `following` is the time expected first."""
    known = np.isfinite(times)
    if known.all():
        return times
    if not known[0]:
        at = int(np.argmax(known)) if known.any() else 0
        first = times[at] - at / rate if known.any() else 0.0
        times[0] = following if math.isfinite(following) else first
        known[0] = True
    nearest = np.maximum.accumulate(np.where(known, np.arange(len(times)), 0))
    filled: NDArray[np.float64] = times[nearest] + (np.arange(len(times)) - nearest) / rate
    return filled


def _synchronize(times: NDArray[np.float64], offsets: Sequence[tuple[float, float]], where: str) -> None:
    """Turn times of the stream's clock into those of the recorder's, by a line through the offsets measured."""
    measured = np.array([pair for pair in offsets if all(abs(value) < _LATEST for value in pair)]).reshape(-1, 2)
    if len(measured) < 2:
        return
    when, offset = measured.T
    if (np.abs(np.diff(offset)) > _RESET).any() or (np.diff(when) <= 0).any():
        what = "the clock of its EEG stream was set, or its computer started again, during the recording"
        raise RecordingError(where, what, "one clock from beginning to end", _CONVERT)
    if when[-1] - when[0] < _COVERED * (times[-1] - times[0]):
        return  # what two clocks differ by from the beginning on does not matter
    centre = when.mean()
    near = np.abs(offset - np.median(offset)) <= 5 * np.median(np.abs(offset - np.median(offset))) + 1e-3
    if near.sum() < 2:
        return
    slope, level = np.polyfit(when[near] - centre, offset[near], 1)
    times *= 1 + slope
    times += level - slope * centre


def _placed(recording: Recording, times: NDArray[np.float64]) -> Recording:
    """Cut a stream at its gaps; one stamp stands for several samples, because single stamps are early or late."""
    source = recording.source
    assert isinstance(source, UniformSource)
    rate = float(source.rate)
    first = _anchors(times, rate)
    places = first / rate
    bounds = np.append(first, len(times)).tolist()
    usual = np.array([np.median(times[low:high] - np.arange(low, high) / rate) for low, high in pairwise(bounds)])
    usual -= usual[0]
    found = place(places, places + usual, sampled=True, where=str(recording.path))
    true_rate = source.rate / found.pace
    edges = [*(int(first[anchor]) for anchor in found.first), len(times)]
    segments = of_runs(found, edges, 1 / true_rate)
    check_length(segments[-1].stop, str(recording.path))
    return replace(
        recording,
        channels=tuple(replace(channel, sfreq=float(true_rate)) for channel in recording.channels),
        duration=segments[-1].stop,
        segments=segments,
        repairs=recording.repairs + found.repairs,
        source=replace(source, rate=true_rate),
    )


def _anchors(times: NDArray[np.float64], rate: float) -> NDArray[np.int64]:
    """Return the samples from which times are taken: one a second, and where the time of a sample jumps."""
    n_samples = len(times)
    regular = np.arange(0, n_samples, max(1, math.ceil(rate)))
    jumps, least = np.diff(times), _JUMP
    jumps -= 1 / rate
    np.abs(jumps, out=jumps)
    most = max(16, int(_MOST_STAMPS * n_samples / rate))
    while (jumps > least).sum() > most:
        least *= 2
    return np.unique(np.concatenate([regular, np.flatnonzero(jumps > least) + 1])).astype(np.int64)


def _start(contents: Contents, where: str) -> datetime | None:
    """Read the date in the file's header; nothing else of it is used."""
    if not contents.header:
        return None
    text = text_of(parse_xml(contents.header, where, FORMAT), "datetime")
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", text)
    try:
        return datetime.fromisoformat(found[1]) if found else None
    except ValueError:
        return None
