"""BrainVision and EEGLAB files, read through MNE."""

from __future__ import annotations

import configparser
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from restcli.errors import RecordingError
from restcli.io.companions import ANY_FORMAT, check_regular, named_beside, read_header, renamed, sibling, stamps_of
from restcli.io.headers import PART_OF_SAMPLE, decode, length_notes
from restcli.io.matlab import check_matlab
from restcli.io.mne_reader import JOIN, WHOLE, MneStore, foreign, without_depth
from restcli.io.recording import Recording
from restcli.io.segments import at_joins
from restcli.io.uniform import one_piece

# Units that MNE turns into volts; it leaves values in others as they are.
_IN_VOLTS = ("V", "mV", "µV", "uV", "nV")
_MOST_CHANNELS = 4096
# Boundaries, which EEGLAB numbers -99 among events that have numbers.
_EEGLAB_JOIN = re.compile(rf"boundary|^-99(\.0*)?$|^({JOIN.pattern})", re.IGNORECASE)
_OTHER_SIZE = "the size of its file of samples is not what its header says"


@dataclass(frozen=True)
class _Header:
    """What restcli needs of a BrainVision header before MNE reads it."""

    samples: str  # name of its file
    markers: str  # name of its file, empty without one
    n_channels: int
    units: dict[int, str]  # of channels by their number, from 1
    n_samples: int  # that it announces, 0 when it does not
    sample_bytes: int  # 0 where they are numbers in a text
    vectorized: bool  # whether each channel lies by itself
    cut: str  # why the samples are not a continuous recording; empty when they are


def is_brainvision(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a BrainVision header."""
    return raw.removeprefix(b"\xef\xbb\xbf").startswith(
        (b"Brain Vision Data Exchange Header", b"BrainVision Data Exchange Header")
    )


def brainvision_files(path: Path) -> tuple[Path, ...]:
    """Return the files of samples and of markers that a BrainVision header names."""
    header = _brainvision_header(path)
    files = [named_beside(path, header.samples, endings=(".eeg", ".dat"))]
    if files[0] is None:
        raise RecordingError(str(path), "its file of samples is not beside it", WHOLE, "Copy all files")
    if header.markers:
        files.append(named_beside(path, header.markers, endings=(".vmrk",)))
    return tuple(file for file in files if file is not None)


def _brainvision_header(path: Path) -> _Header:
    """Read the names of the files of samples and of markers, and the units of channels."""
    text = decode(read_header(path)).partition("\n")[2].split("[Comment]")[0]
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read_string(text)
        sections = {name.lower(): settings[name] for name in settings}
        infos = sections["common infos"]
        samples, markers = (name.replace("$b", path.stem) for name in (infos["DataFile"], infos.get("MarkerFile", "")))
        n_channels, n_samples = (int(infos.get(key, "0")) for key in ("NumberOfChannels", "DataPoints"))
        form = dict(sections.get("binary infos", {})).get("binaryformat", "INT_16")
        fields = {
            int(key[2:]): [*value.split(","), "", "", ""]
            for key, value in dict(sections.get("channel infos", {})).items()
        }
    except (configparser.Error, KeyError, ValueError) as error:
        what = f"its header cannot be read ({type(error).__name__})"
        raise RecordingError(str(path), what, "a BrainVision header (.vhdr)") from None
    units = {number: values[3].strip() or "µV" for number, values in fields.items()}
    return _Header(
        samples,
        markers,
        n_channels,
        units,
        max(0, n_samples),
        0 if infos.get("DataFormat", "").upper() == "ASCII" else 4 if form.endswith("32") else 2,
        infos.get("DataOrientation", "").upper() == "VECTORIZED",
        _cut({key: infos.get(key, "").upper() for key in ("SegmentationType", "Averaged", "DataType")}),
    )


def _cut(said: dict[str, str]) -> str:
    """Say why samples are not a continuous recording, by what a header says of them."""
    if said["SegmentationType"] not in {"", "NOTSEGMENTED"}:
        return "the file holds segments (epochs), not a continuous recording"
    if said["Averaged"] not in {"", "NO"} or said["DataType"] not in {"", "TIMEDOMAIN"}:
        return "the file holds averages or spectra, not a recording"
    return ""


def open_brainvision(files: tuple[Path, ...]) -> Recording:
    """Open a BrainVision header; dates of new segments say how long pauses were."""
    path = files[0]
    header = _brainvision_header(path)
    if not 0 < header.n_channels <= _MOST_CHANNELS or header.n_channels != len(header.units):
        what = "the header gives an impossible number of channels"  # MNE would allocate memory for them
        raise RecordingError(str(path), what, f"1 to {_MOST_CHANNELS} channels, each with its line")
    if header.cut:
        raise RecordingError(str(path), header.cut, remedy="Export the recording without segments")
    size, width = check_regular(files[1]).st_size, header.sample_bytes * header.n_channels
    n_held, rest = divmod(size, width) if width else (header.n_samples, 0)
    if header.vectorized and (rest or header.n_samples not in (0, n_held)):
        raise RecordingError(str(path), _OTHER_SIZE, WHOLE, "Copy all files again")
    text, markers = b"", header.markers
    if len(files) == 3 and not markers.endswith(".vmrk"):  # MNE takes no other ending
        markers = "markers.vmrk"  # in ASCII, because the header may be in any encoding
        text = _naming_markers(read_header(path), markers)
    wanted = (f"{path.stem}.vhdr", header.samples, markers)[: len(files)]
    store = MneStore(files, stamps_of(files), wanted, "read_raw_brainvision", text)
    with store.raw() as (raw, repairs):
        texts = [header.units.get(number + 1, "µV") for number in range(len(raw.ch_names))]
        units = ["V" if unit in _IN_VOLTS else unit for unit in texts]
        noted = (*repairs, *renamed(path, header.samples, files[1]))
        recording = of_raw(raw, store, "BrainVision", units, repairs=noted)
    recording = _with_length(recording, n_held, header.n_samples or n_held, incomplete=rest > 0)
    if len(files) < 3:
        return recording
    places, dates, doubts = _new_segments(decode(read_header(files[2])))
    # MNE takes the first date in the file, of any segment.
    start = dates[0] if places[:1] == [0] else None
    recording = replace(recording, start=start, repairs=recording.repairs + doubts)
    edges = np.array(places) / recording.channels[0].sfreq
    seconds = [math.nan if date is None or start is None else (date - start).total_seconds() for date in dates]
    return at_joins(recording, edges, np.array(seconds) - edges)


def _with_length(recording: Recording, held: int, announced: int, *, incomplete: bool) -> Recording:
    """Compare the samples of a file with those that its header announces."""
    rate = recording.channels[0].sfreq
    notes = length_notes(held / rate, announced / rate)
    notes += (PART_OF_SAMPLE,) if incomplete else ()
    missing = max(0, announced - held) / rate
    return replace(recording, repairs=recording.repairs + notes, missing=missing)


def _naming_markers(header: bytes, name: str) -> bytes:
    """Return the bytes of a header with another name for its file of markers."""
    return re.sub(
        rb"^([ \t]*MarkerFile[ \t]*[=:])[^\r\n]*",
        lambda found: found[1] + name.encode(),
        header,
        count=1,
        flags=re.MULTILINE | re.IGNORECASE,
    )


def _new_segments(text: str) -> tuple[list[int], list[datetime | None], tuple[str, ...]]:
    """Return where stretches begin, in samples from the first one, when, and what cannot be read of that."""
    found: dict[int, datetime | None] = {}
    doubts: tuple[str, ...] = ()
    for line in re.findall(r"^Mk\d+=New Segment,(.*)$", text, re.MULTILINE | re.IGNORECASE):
        fields = [part.strip() for part in line.split(",")]
        if len(fields) > 1 and fields[1].isdecimal():
            written = fields[4] if len(fields) > 4 else ""
            date = found[max(0, int(fields[1]) - 1)] = _date(written)
            if date is None and written.strip("0"):  # 0 stands for an unknown date
                doubts = ("the date of a segment is unreadable; clock times there are unknown",)
    places = sorted(found)
    return places, [found[sample] for sample in places], doubts


def _date(written: str) -> datetime | None:
    """Read the date of a segment, which may lack fractions of a second."""
    try:
        return datetime.strptime(f"{written:0<20}", "%Y%m%d%H%M%S%f") if 14 <= len(written) <= 20 else None
    except ValueError:
        return None


def eeglab_files(path: Path) -> tuple[Path, ...]:
    """Return the file of samples beside an EEGLAB data set, if they are not in it."""
    samples = sibling(path, (".fdt",))
    return (samples,) if samples else ()


def open_eeglab(files: tuple[Path, ...]) -> Recording:
    """Open an EEGLAB data set; boundaries say how much signal was cut out there."""
    import mne

    path = files[0]
    check_matlab(path)
    names = tuple(path.stem + ending for ending in (".set", ".fdt"))[: len(files)]
    store = MneStore(files, stamps_of(files), names, "read_raw_eeglab")
    with store.raw() as (raw, repairs):
        if repairs and names[0] != path.name:  # MNE saw no other files that the header may name
            what = "its header may name the samples of another recording"
            raise RecordingError(str(path), what, remedy=f"Rename both files to {' and '.join(names)}")
        apart = any(str(name).lower().endswith(".fdt") for name in raw.filenames)
        if apart and store.stamps[-1][0] != 4 * len(raw.ch_names) * raw.n_times:
            raise RecordingError(str(path), _OTHER_SIZE, WHOLE, "Save the data set again from EEGLAB")
        units = ["" if kind == "stim" else "V" for kind in raw.get_channel_types()]
        recording = of_raw(raw, store, "EEGLAB", units, repairs=repairs)
        if not any(_EEGLAB_JOIN.search(text) for text in raw.annotations.description):
            return recording
        with foreign(str(path), "its events cannot be read"):  # those of `raw` are cut at its end
            marks = mne.read_annotations(path)
    order = [i for i in np.argsort(marks.onset, kind="stable") if _EEGLAB_JOIN.search(marks.description[i])]
    pauses = np.where(marks.duration[order] > 0, marks.duration[order], math.nan)
    pauses[marks.onset[order] <= 0] = 0.0  # what was cut out before the first sample
    return at_joins(recording, marks.onset[order], np.cumsum(pauses))


def of_raw(raw: Any, store: MneStore, kind: str, units: Sequence[str], *, repairs: tuple[str, ...]) -> Recording:
    """Make a recording without pauses of what MNE has opened; `units` are those of its values."""
    path, sfreq, clock = store.files[0], float(raw.info["sfreq"]), raw.info["meas_date"]
    if not raw.ch_names or raw.n_times == 0:
        raise RecordingError(str(path), "the file holds no signals", ANY_FORMAT)
    if not 0 < sfreq <= 1e6:
        raise RecordingError(str(path), "the header gives an impossible sampling rate", "at most 1 MHz")
    channels = zip(raw.ch_names, units, strict=True)
    recording = one_piece(path, store, channels, length=int(raw.n_times), sfreq=sfreq)
    start = clock.replace(tzinfo=None) if clock is not None else None
    return without_depth(replace(recording, format=kind, start=start, repairs=repairs), raw.get_channel_types())
