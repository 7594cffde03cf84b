"""Curry recordings: a text header (.cdt.dpa, .cdt.dpo or .dap) and a file of interleaved floats (.cdt or .dat).

MNE reads them through the package curryreader, which holds whole recordings in memory.
"""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from restcli.errors import RecordingError
from restcli.io import headers
from restcli.io.companions import check_regular, find_file, read_header, sibling
from restcli.io.recording import Recording
from restcli.io.records import RecordLayout, StoredSignal, from_records, with_samples

_FORMAT = "a Curry recording: a header (.cdt.dpa or .dap) and continuous samples beside it (.cdt or .dat)"
_EXPORT = "Export the recording from Curry as raw float data, or as EDF"
_COMPRESSED = "2912E8D8-F5C8-4E25-A8E7-A1385967DA09"
_MOST_CHANNELS = 4096
_LITTLE = "INTEL"
HEADERS = (".dpa", ".dpo")
"""Endings of headers after the whole name of the samples: ``a.cdt.dpa``."""
_START = ("StartYear", "StartMonth", "StartDay", "StartHour", "StartMin", "StartSec")


def is_curry(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a Curry header."""
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"DATA_PARAMETERS START")


def curry_files(path: Path) -> tuple[Path, ...]:
    """Return the header of a .cdt file, or the samples and labels of a .dap file."""
    found: tuple[Path | None, ...]
    if path.suffix.lower() == ".dap":
        found, missing = (sibling(path, (".dat",)), sibling(path, (".rs3",))), "file of samples (.dat) or labels (.rs3)"
    else:
        beside = (find_file(path.with_name(path.name + ending)) for ending in HEADERS)
        found, missing = (next((file for file in beside if file is not None), None),), "header (.cdt.dpa)"
    files = tuple(file for file in found if file is not None)
    if len(files) < len(found):
        raise RecordingError(str(path), f"its {missing} is not beside it", _FORMAT, "Copy all files")
    return files


def open_curry(files: tuple[Path, ...]) -> Recording:
    """Open a Curry recording; its samples are records of one float each channel."""
    path, where = files[0], str(files[0])
    is_header = path.suffix.lower() == ".dap"
    data, header, labels = (files[1], files[0], files[2]) if is_header else (files[0], files[1], files[1])
    layout, announced = _read(headers.decode(read_header(header)), headers.decode(read_header(labels)), where)
    status = check_regular(data)
    n_samples, rest = divmod(status.st_size, layout.record_bytes)
    if rest or not n_samples:
        what = "the size of its file of samples does not fit the number of channels in its header"
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    announced = announced if announced >= 0 else n_samples
    layout = with_samples(layout, n_samples, announced, incomplete=False, where=where)
    return from_records(path, layout, status, data=data)


def _read(text: str, labels: str, where: str) -> tuple[RecordLayout, int]:
    """Read a header and the text that names the channels, which may be the same; return the number of samples, too."""
    lines = _block(text, "DATA_PARAMETERS")
    fields = dict(re.findall(r"^[ \t]*(\w+)[ \t]*=[ \t]*([^\r\n]*?)[ \t\r]*$", lines, re.MULTILINE))
    try:
        n_channels, n_samples, n_trials = (int(fields[key]) for key in ("NumChannels", "NumSamples", "NumTrials"))
    except (KeyError, ValueError) as error:
        raise RecordingError(where, f"its header cannot be read ({type(error).__name__})", _FORMAT, _EXPORT) from None
    what = ""
    if _COMPRESSED in text.upper():
        what = "its samples are compressed"
    elif fields.get("DataFormat") == "ASCII" or fields.get("DataSampOrder") == "CHAN":
        what = "its samples are not stored as floats, all channels of a sample together"
    elif (fields.get("DataByteOrder") or _LITTLE) != _LITTLE:
        what = "its samples are not stored with the lowest byte first"
    elif n_trials != 1:
        what = "it holds epochs, not a continuous recording"
    elif not 0 < n_channels <= _MOST_CHANNELS:
        what = "its header gives an impossible number of channels"
    if what:
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    channels = _channels(text, labels, n_channels, where)
    repairs = headers.channel_notes((label, headers.unit_note(unit or "unknown")) for label, unit in channels)
    start = _start(fields)
    repairs += () if start else (headers.WRONG_CLOCK,)
    layout = RecordLayout(
        kind="Curry",
        start=start,
        data_start=0,
        record_bytes=4 * n_channels,
        sample_bytes=4,
        record_duration=1 / _rate(fields, where),
        signals=tuple(
            StoredSignal(label, headers.known_unit(unit), headers.microvolts(unit) or 1.0, 0.0, 0, 0, 1, place)
            for place, (label, unit) in enumerate(channels)
        ),
        repairs=repairs,
        form="<f4",
    )
    return layout, n_samples


def _block(text: str, name: str) -> str:
    """Return what stands between the lines that begin and end a block."""
    found = re.search(rf"^{name} START\b[^\n]*\n(.*?)^{name} END\b", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _lists(text: str, name: str) -> list[tuple[str, list[str]]]:
    """Return the lists of a name, one a group of channels, which the rest of the title names."""
    form = rf"^{name}(\w*) START_LIST\b[^\n]*\n(.*?)^{name}\1 END_LIST\b"
    return [(group, lines.splitlines()) for group, lines in re.findall(form, text, re.MULTILINE | re.DOTALL)]


def _channels(text: str, labels: str, n_channels: int, where: str) -> tuple[tuple[str, str], ...]:
    """Return the label and the unit of each stored channel: lists may name others, and give the places in the file."""
    named: list[tuple[str, str]] = []
    places: list[str] = []
    groups = _units(text)
    stored = dict(_lists(text, "CHAN_IN_FILE"))
    for group, lines in _lists(labels, "LABELS"):
        named += [(headers.printable(line), groups.get(group, "")) for line in lines]
        places += stored.get(group, [])
    if len(places) == len(named) and all(place.strip().isdecimal() for place in places):
        order = sorted((int(place), channel) for channel, place in enumerate(places) if int(place) > 0)
    else:
        order = [(place, place - 1) for place in range(1, len(named) + 1)] if not places else []
    if [place for place, _ in order] != list(range(1, n_channels + 1)):
        what = "its lists of labels and of channels in the file do not fit its number of channels"
        raise RecordingError(where, what, _FORMAT, _EXPORT)
    return tuple(named[channel] for _, channel in order)


def _units(text: str) -> dict[str, str]:
    """Return the unit of each group of channels."""
    groups = re.findall(r"^DEVICE_PARAMETERS(\w*) START\b", text, re.MULTILINE)
    found = {
        group: re.search(r"^[ \t]*DataUnit[ \t]*=[ \t]*(\S+)", _block(text, f"DEVICE_PARAMETERS{group}"), re.MULTILINE)
        for group in groups
    }
    return {group: unit[1] for group, unit in found.items() if unit}


def _rate(fields: dict[str, str], where: str) -> Fraction:
    """Return the sampling rate, which the header gives twice."""
    try:
        texts = [fields.get(key) or "0" for key in ("SampleTimeUsec", "SampleFreqHz")]
        if not all(re.fullmatch(r"\d{1,12}(\.\d{0,12})?", text, re.ASCII) for text in texts):
            raise ValueError
        interval, rate = map(Fraction, texts)
        sfreq = 1_000_000 / interval if interval else rate
    except (ValueError, ZeroDivisionError):
        sfreq = rate = Fraction(0)
    if not 0 < sfreq <= 10**6:
        what = "its header gives an impossible sampling rate"
    elif rate and abs(sfreq / rate - 1) > Fraction(1, 1000):
        what = "its header gives two sampling rates that contradict each other"
    else:
        return rate if rate.denominator == 1 and rate else sfreq  # the interval may be rounded
    raise RecordingError(where, what, _FORMAT, _EXPORT)


def _start(fields: dict[str, str]) -> datetime | None:
    """Read the clock time of the first sample."""
    try:
        return headers.clock_time(*(int(fields[key]) for key in _START), 1000 * int(fields.get("StartMillisec") or 0))
    except (KeyError, ValueError):
        return None
