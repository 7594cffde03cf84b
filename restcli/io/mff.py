"""EGI recordings (.mff): a folder with blocks of floats, one channel after the other, and headers in XML.

MNE reads them through mffpy, which drops blocks that do not fit and allocates memory for pauses.
"""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.companions import open_regular, read_header, reading, stamps_of
from restcli.io.headers import NO_CLOCK, length_notes
from restcli.io.mff_nets import electrodes_of
from restcli.io.recording import Recording
from restcli.io.segments import at_joins
from restcli.io.uniform import SampleStore, Stored, UniformSource, leave_out, one_piece, parts
from restcli.io.xml import parse_xml, text_of
from restcli.signal.montage import parse_label

ENDING = ".mff"
_FORMAT = "an EGI recording: a folder (.mff) with signal1.bin, info1.xml, epochs.xml and sensorLayout.xml"
_EXPORT = "Export it from Net Station as simple binary (.raw), or as EDF"
_MOST_CHANNELS = 1024
_MOST_BLOCKS = 2**22
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d:?\d\d|Z)?")
# Epochs give times in microseconds, or in nanoseconds since version 3 of the format.
_UNITS = (Fraction(1, 10**6), Fraction(1, 10**9))
_SAME = 0.01  # relative difference of lengths of epochs by their times and by their samples
_SHORTEST_PAUSE = 0.02  # s; epochs that follow each other closer are one stretch
_IN_HEAD, _REFERENCE = "0", "1"  # types of sensors that have a signal


@dataclass(frozen=True)
class _Blocks:
    """Where the blocks of a file of samples lie."""

    n_channels: int
    rate: int  # Hz
    starts: NDArray[np.int64]  # byte of the first sample of each block
    edges: NDArray[np.int64]  # first sample of each block, and the number of all samples
    cut: bool  # whether the file ends inside a block


def mff_files(path: Path) -> tuple[Path, ...]:
    """Return the samples and headers in the folder, in order; the folder may also hold films."""
    found = (file for file in path.iterdir() if file.suffix.lower() in {".bin", ".xml"} and file.name[:1] != ".")
    files = tuple(sorted(found))
    if not files:
        raise RecordingError(str(path), "the folder holds no samples (signal1.bin)", _FORMAT, "Copy the whole folder")
    return files


@dataclass(frozen=True)
class MffStore(SampleStore):
    """A file of samples."""

    blocks: _Blocks = field(repr=False)

    @contextmanager
    def open(self) -> Iterator[Stored]:
        """Open the file for reading."""
        blocks, where = self.blocks, str(self.files[0])
        with reading(self.files[0]) as file:

            def read(picks: list[int], start: int, stop: int) -> NDArray[Any]:
                data = np.empty((len(picks), stop - start), dtype="<f4")
                for block, low, high in parts(blocks.edges, start, stop):
                    begin, end = blocks.edges[block : block + 2].tolist()
                    for row, channel in enumerate(picks):
                        file.seek(int(blocks.starts[block]) + 4 * (channel * (end - begin) + low - begin))
                        raw = file.read(4 * (high - low))
                        if len(raw) != 4 * (high - low):
                            what = "the file ended before its last block"
                            raise RecordingError(where, what, remedy="Copy it again")
                        data[row, low - start : high - start] = np.frombuffer(raw, "<f4")
                return data

            yield read


def open_mff(files: tuple[Path, ...]) -> Recording:
    """Open an EGI folder; its epochs say where the recording was paused."""
    path, where = files[0].parent, str(files[0].parent)
    here = {file.name.lower(): file for file in files}
    if "categories.xml" in here:
        what = "it holds epochs or averages, not a continuous recording"
        raise RecordingError(where, what, remedy="Export the recording without segmentation")
    data, info = _signal_files(here, where)
    with open_regular(data) as file:
        blocks = _blocks(file, data.stat().st_size, where)
    sfreq, n_samples = blocks.rate, int(blocks.edges[-1])
    labels, reference, notes = _labels(here, blocks.n_channels, where)
    gains = _gains(info, blocks.n_channels, where)
    store = MffStore((data,), stamps_of((data,)), blocks)
    labels = _against_reference(store, labels, reference)
    channels = ((label, "µV") for label in labels)
    recording = one_piece(path, store, channels, length=n_samples, sfreq=sfreq)
    source = UniformSource(store, Fraction(sfreq), tuple(gains.tolist()))
    recording = replace(recording, format="EGI MFF", repairs=notes, source=source)
    bad = "its gain is not a positive number"
    wrong = np.flatnonzero(~(np.isfinite(gains) & (gains > 0))).tolist()
    recording = leave_out(recording, wrong, bad, f"{bad}; left out")
    if blocks.cut:
        note = "the file is cut off in its last block; what is left of it is not read"
        recording = replace(recording, repairs=(*recording.repairs, note))
    return _at_epochs(recording, here, blocks)


def _xml(here: dict[str, Path], name: str, where: str) -> ET.Element:
    if name not in here:
        raise RecordingError(where, f"its file {name} is missing", _FORMAT, "Copy the whole folder")
    return parse_xml(read_header(here[name]), where, _FORMAT)


def _signal_files(here: dict[str, Path], where: str) -> tuple[Path, ET.Element]:
    """Return the file of EEG samples and its header: others hold polygraphic signals."""
    for name, file in here.items():
        found = re.fullmatch(r"signal(\d+)\.bin", name)
        if found and f"info{found[1]}.xml" in here:
            info = _xml(here, f"info{found[1]}.xml", where)
            if info.find("generalInformation/fileDataType/EEG") is not None:
                return file, info
    raise RecordingError(where, "it holds no signals of the type EEG", _FORMAT, _EXPORT)


def _blocks(file: BinaryIO, size: int, where: str) -> _Blocks:
    """Find the blocks: each has a header, or the number 0 where that of the one before holds."""
    starts, counts, at, step, cut = list[int](), list[int](), 0, 0, False
    shape: tuple[int, int] | None = None
    while at < size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 4 or (head[:4] == b"\1\0\0\0" and len(head) < 16):
            cut = True
            break
        length = 4
        if head[:4] != b"\0\0\0\0":
            length, step, found = _block_header(file, head, where)
            if shape not in (None, found):
                what = "its blocks have different numbers of channels or sampling rates"
                raise RecordingError(where, what, _FORMAT, _EXPORT)
            shape = found
        if shape is None or len(starts) > _MOST_BLOCKS:
            raise _damaged(where)
        cut = at + length + step > size
        if cut:
            break
        starts.append(at + length)
        counts.append(step // (4 * shape[0]))
        at += length + step
    if not starts or shape is None:
        raise RecordingError(where, "its file of samples holds no complete block", _FORMAT, "Copy it again")
    return _Blocks(*shape, np.array(starts), np.concatenate([[0], np.cumsum(counts)]), cut)


def _block_header(file: BinaryIO, head: bytes, where: str) -> tuple[int, int, tuple[int, int]]:
    """Return the bytes of a block's header and of its samples, and its number of channels and rate."""
    flag, length, step, n_channels = struct.unpack("<4i", head)
    if flag != 1 or not 0 < n_channels <= _MOST_CHANNELS or not 16 + 8 * n_channels <= length <= 2**20:
        raise _damaged(where)
    tables = np.frombuffer(file.read(8 * n_channels).ljust(8 * n_channels, b"\0"), "<u4").reshape(2, -1)
    forms = set(tables[1].tolist())
    if step <= 0 or step % (4 * n_channels) or (tables[0] != np.arange(n_channels) * (step // n_channels)).any():
        raise _damaged(where)
    if len(forms) != 1 or (form := forms.pop()) & 0xFF != 32 or not form >> 8:
        what = "its samples are not floats of 32 bits, all at one sampling rate"
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    return length, step, (n_channels, form >> 8)


def _damaged(where: str) -> RecordingError:
    return RecordingError(where, "the headers of its blocks of samples make no sense", _FORMAT, "Copy it again")


def _labels(here: dict[str, Path], n_channels: int, where: str) -> tuple[list[str], int | None, tuple[str, ...]]:
    """Name the channels by their sensors, or, in a known net, by the 10-20 system; return the reference's place."""
    layout = _xml(here, "sensorlayout.xml", where)
    sensors = [s for s in layout.iter("sensor") if text_of(s, "type") in (_IN_HEAD, _REFERENCE)]
    if len(sensors) != n_channels:
        what = f"its layout has {len(sensors)} sensors and its samples {n_channels} channels"
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    electrodes = electrodes_of(text_of(layout, "name"))
    labels, reference = [], None
    for place, sensor in enumerate(sensors):
        number, name = text_of(sensor, "number"), text_of(sensor, "name")
        labels.append(electrodes.get(number) or ("" if electrodes else name) or f"E{number}")
        if text_of(sensor, "type") == _REFERENCE:
            reference = place
    note = "electrodes of a HydroCel net are named by the places of the 10-20 system next to them (table of EGI)"
    return labels, reference, (note,) if electrodes else ()


def _against_reference(store: MffStore, labels: Sequence[str], reference: int | None) -> list[str]:
    """Name channels against the reference if its own channel holds only zeros; otherwise they have another one."""
    if reference is None or parse_label(labels[reference]) is None:
        return list(labels)
    n_samples, length = int(store.blocks.edges[-1]), min(int(store.blocks.edges[-1]), store.blocks.rate)
    with store.open() as stored:
        for start in (0, (n_samples - length) // 2, n_samples - length):
            if stored([reference], start, start + length).any():
                return list(labels)
    name = labels[reference]
    named = [f"{label}-{name}" if parse_label(label) is not None else label for label in labels]
    return [*named[:reference], "VREF", *named[reference + 1 :]]


def _gains(info: ET.Element, n_channels: int, where: str) -> NDArray[np.float64]:
    """Return the measured gain of each channel, which samples are to be multiplied by."""
    gains = np.ones(n_channels)
    kinds = [c for c in info.iter("calibration") if text_of(c, "type") == "GCAL"]
    if len(kinds) > 1:
        what = "its gains were measured more than once, so that amplitudes are in doubt"
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    for entry in (entry for kind in kinds for entry in kind.iter("ch")):
        try:
            place, value = int(entry.get("n", "")) - 1, float(entry.text or "nan")
        except ValueError:
            place, value = -1, float("nan")
        if 0 <= place < len(gains):
            gains[place] = value
    return gains


def _at_epochs(recording: Recording, here: dict[str, Path], blocks: _Blocks) -> Recording:
    """Place the stretches between pauses where epochs.xml says, and find the clock time of the first."""
    where = str(recording.path)
    epochs = _epochs(here, where)
    if [first for _, _, first, _ in epochs] != [1, *(last + 1 for *_, last in epochs[:-1])]:
        raise RecordingError(where, "its epochs leave out blocks of samples, or are not in order", _FORMAT, _EXPORT)
    n_blocks = len(blocks.starts)
    held = [epoch for epoch in epochs if epoch[2] <= n_blocks]
    joins = np.array([blocks.edges[first - 1] for _, _, first, _ in held]) / blocks.rate
    lengths = np.diff(joins, append=recording.duration)
    time = _record_time(here, where)
    unit = _unit_of([epoch for epoch in held if epoch[3] <= n_blocks], lengths, time)
    if unit is None:
        what = "the times of its epochs contradict its number of samples and its sampling rate"
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    begins = np.array([float(begin * unit) for begin, *_ in held])
    announced = sum(float((end - begin) * unit) for begin, end, *_ in epochs)
    missing = max(0.0, announced - recording.duration) if epochs[-1][3] > n_blocks else 0.0
    if epochs[-1][3] != n_blocks and not missing:
        raise RecordingError(where, "its epochs and its blocks of samples contradict each other", _FORMAT, _EXPORT)
    notes = length_notes(recording.duration, recording.duration + round(missing, 3)) if missing else ()
    start, doubts = _start(time, begins[0])
    repairs = (*recording.repairs, *notes, *doubts)
    lag, kept = begins - joins, [0]
    kept += [place for place in range(1, len(lag)) if abs(lag[place] - lag[place - 1]) > _SHORTEST_PAUSE]
    recording = replace(recording, start=start, repairs=repairs, missing=missing)
    return at_joins(recording, joins[kept], lag[kept])


def _epochs(here: dict[str, Path], where: str) -> list[tuple[int, int, int, int]]:
    """Return begin time, end time, first block and last block of each epoch."""
    found: list[tuple[int, int, int, int]] = []
    for epoch in _xml(here, "epochs.xml", where).iter("epoch"):
        texts = [text_of(epoch, name) for name in ("beginTime", "endTime", "firstBlock", "lastBlock")]
        if not all(re.fullmatch(r"\d{1,18}", text, re.ASCII) for text in texts):
            found = []
            break
        begin, end, first, last = map(int, texts)
        found.append((begin, end, first, last))
    if not found or not all(begin < end and 0 < first <= last for begin, end, first, last in found):
        raise RecordingError(where, "its epochs cannot be read", _FORMAT, "Copy the whole folder again")
    return found


def _unit_of(
    epochs: Sequence[tuple[int, int, int, int]], lengths: NDArray[np.float64], time: re.Match[str] | None
) -> Fraction | None:
    """Return the unit of times, seconds, in which epochs last as long as their samples; None if neither fits."""
    if not epochs:  # the start has the digits of the unit
        return _UNITS[time is not None and len(time[2] or "") == len(".123456789")]
    stored = float(lengths[: len(epochs)].sum())
    said = sum(end - begin for begin, end, *_ in epochs)
    return next((unit for unit in _UNITS if abs(float(said * unit) - stored) <= max(0.1, _SAME * stored)), None)


def _record_time(here: dict[str, Path], where: str) -> re.Match[str] | None:
    """Return the parts of the time at which the clock of the epochs was 0; nothing else of info.xml is used."""
    try:
        return _TIME.fullmatch(text_of(_xml(here, "info.xml", where), "recordTime"))
    except RecordingError:
        return None


def _start(time: re.Match[str] | None, begin: float) -> tuple[datetime | None, tuple[str, ...]]:
    """Return the clock time of the first sample."""
    with suppress(ValueError, OverflowError):
        if time is not None:
            start = datetime.fromisoformat(time[1]) + timedelta(seconds=float(time[2] or 0))
            return start + timedelta(seconds=begin), ()
    return None, (NO_CLOCK,)
