"""Persyst recordings: a text header (.lay) and a file of interleaved samples (.dat).

MNE refuses headers whose patient fields were removed, prints birth dates and does not see gaps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np

from restcli.errors import RecordingError
from restcli.io.companions import check_regular, named_beside, read_header, renamed, sibling
from restcli.io.edf_times import RecordTimes, place
from restcli.io.headers import LONGEST, decode, printable
from restcli.io.recording import Recording
from restcli.io.records import RecordLayout, StoredSignal, from_records, with_samples
from restcli.text import count

_WIDTHS = {"0": 2, "7": 4}
_FORMAT = "a Persyst header (.lay) with [FileInfo] and [ChannelMap]"
_REMEDY = "Export the recording again from Persyst, or as EDF"
# Clocks of one file that differ by more, seconds, contradict each other.
_SAME = 1.0


@dataclass(frozen=True)
class LayHeader:
    """What a .lay file says; patient fields are neither kept nor quoted."""

    layout: RecordLayout  # whose records are single samples, not counted yet
    data_name: str  # file of samples, without the folder that it had when it was written
    times: tuple[tuple[int, float], ...]  # stored sample and second of the day, where the file notes them
    unread: int | None  # first stored sample after those whose noted time cannot be read


def is_persyst(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a Persyst header."""
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(b"[fileinfo]")


def companions(path: Path) -> tuple[Path, ...]:
    """Return the file of samples of a .lay file."""
    name = _read(path).data_name
    data = named_beside(path, name, endings=(".dat",)) if name else sibling(path, (".dat",))
    if data is None:
        raise RecordingError(str(path), "its file of samples (.dat) is not beside it", _FORMAT, "Copy both files")
    return (data,)


def open_persyst(files: tuple[Path, ...]) -> Recording:
    """Open a .lay file: interleaved samples are records of one sample."""
    path, data = files
    where = str(path)
    lay, status = _read(path), check_regular(data)
    layout, step = lay.layout, lay.layout.record_duration
    n_samples, rest = divmod(max(0, status.st_size - layout.data_start), layout.record_bytes)
    if n_samples == 0:
        raise RecordingError(where, "its file of samples is empty", remedy="Copy it again")
    # Times are noted up to the end.
    noted = max((sample for sample, _ in lay.times if sample * step <= LONGEST), default=0)
    layout = replace(layout, repairs=layout.repairs + renamed(path, lay.data_name, data))
    layout = with_samples(layout, n_samples, max(noted, n_samples), incomplete=rest > 0, where=where)
    recording = from_records(path, layout, status, times=sample_times(lay, n_samples, where), data=data)
    if lay.unread is None or not 0 < lay.unread < n_samples:
        return recording
    last = recording.segments[-1]
    return replace(recording, clock_until=last.start + float(lay.unread * step) - last.offset)


def _read(path: Path) -> LayHeader:
    return parse_lay(decode(read_header(path)), str(path))


def parse_lay(text: str, where: str) -> LayHeader:
    """Read the text of a .lay file."""
    sections = _sections(text)
    info = {key.lower(): value for key, value in sections.get("fileinfo", [])}
    try:
        n_channels, width = int(info["waveformcount"]), _WIDTHS[info.get("datatype", "0")]
        rate, calibration = (float(info[key].replace(",", ".")) for key in ("samplingrate", "calibration"))
        data_start = int(info.get("headerlength") or 0)
        places = [(int(number.split(",")[0]), label) for label, number in sections["channelmap"]]
    except (KeyError, ValueError) as error:
        what = f"its header cannot be read ({type(error).__name__} in [FileInfo] or [ChannelMap])"
        raise RecordingError(where, what, _FORMAT, _REMEDY) from None
    what = _contradiction(n_channels, [place for place, _ in places])
    if not (0 < rate <= 10**6 and 0 < abs(calibration) < math.inf and 0 <= data_start < 2**63):
        what = "its header gives an impossible rate, scale or size"
    elif info.get("filetype", "interleaved").lower() != "interleaved":
        what = "its header says that samples are not interleaved"
    if what:
        raise RecordingError(where, what, _FORMAT, _REMEDY)
    start, repairs = _start({key.lower(): value for key, value in sections.get("patient", [])})
    times, unread, doubts = _noted_times(sections.get("sampletimes", []))
    start, differing = _agree(start, times, Fraction(rate).limit_denominator(10**6))
    rail = 2 ** (8 * width - 1)
    layout = RecordLayout(
        kind="Persyst",
        start=start,
        data_start=data_start,
        record_bytes=width * n_channels,
        sample_bytes=width,
        record_duration=1 / Fraction(info["samplingrate"].replace(",", ".")),
        signals=tuple(
            StoredSignal(printable(label), "µV", calibration, 0.0, -rail, rail - 1, 1, place)
            for place, (_, label) in enumerate(sorted(places))
        ),
        repairs=repairs + doubts + differing,
    )
    return LayHeader(layout, re.split(r"[\\/]", info.get("file", ""))[-1], times, unread)


def _noted_times(
    noted: Sequence[tuple[str, str]],
) -> tuple[tuple[tuple[int, float], ...], int | None, tuple[str, ...]]:
    """Return times of samples, the first sample after them whose time cannot be read, and a note on such times."""
    numbered = [(int(sample), second) for sample, second in noted if re.fullmatch(r"\d{1,15}", sample)]
    read = [(n, float(s.replace(",", "."))) for n, s in numbered if re.fullmatch(r"\d{1,9}([.,]\d*)?", s)]
    times, n_unread = dict(read), len(noted) - len(read)
    latest = max(times, default=0)
    unread = min((sample for sample, _ in numbered if sample > latest), default=None)
    note = f"{count(n_unread, 'sample time')} cannot be read; pauses there are unknown"
    return tuple(sorted(times.items())), unread, (note,) if n_unread else ()


def _contradiction(count: int, places: Sequence[int]) -> str:
    """Say what is wrong with the places of channels in a sample: counted from 0 or 1, each occurs once."""
    if count != len(places) or count < 1:
        return f"its header names {len(places)} channels and counts {count}"
    if min(places) not in (0, 1) or sorted(places) != list(range(min(places), min(places) + count)):
        return "the places that its header gives the channels leave some out or occur twice"
    return ""


def _sections(text: str) -> dict[str, list[tuple[str, str]]]:
    sections: dict[str, list[tuple[str, str]]] = {}
    lines: list[tuple[str, str]] = []
    for line in text.splitlines():
        title = re.fullmatch(r"\s*\[(.+)\]\s*", line)
        if title:
            lines = sections.setdefault(title[1].strip().lower(), [])
        elif "=" in line:
            # Labels may hold anything but the number after the last sign; other keys hold no sign.
            key, _, value = line.rpartition("=") if lines is sections.get("channelmap") else line.partition("=")
            lines.append((key.strip(), value.strip()))
    return sections


def _start(patient: dict[str, str]) -> tuple[datetime | None, tuple[str, ...]]:
    """Read the date and time of the test; the other patient fields are not looked at."""
    written = f"{patient.get('testdate', '')} {patient.get('testtime', '').replace(',', '.')}"
    for date in ("%m/%d/%Y", "%d-%m-%Y", "%Y.%m.%d"):
        for time in ("%H:%M:%S", "%H:%M:%S.%f"):
            try:
                return datetime.strptime(written, f"{date} {time}"), ()
            except ValueError:
                continue
    return None, ("the test date or time is missing or unreadable; clock times are unknown",)


def _agree(
    start: datetime | None, times: tuple[tuple[int, float], ...], sfreq: Fraction
) -> tuple[datetime | None, tuple[str, ...]]:
    """Compare the test time with the first sample time, which may count from the start instead of from midnight."""
    if start is None or not times or times[0] == (0, 0.0):
        return start, ()
    of_day = (start - start.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
    later = (times[0][1] - float(times[0][0] / sfreq) - of_day + 43_200) % 86_400 - 43_200
    if abs(later) > _SAME:
        return start, (f"the first sample time is {later:+.3f} s from the test time; clock times follow the test time",)
    # A test time without fractions is cut to whole seconds.
    return (start + timedelta(seconds=later), ()) if later > 0 and not start.microsecond else (start, ())


def sample_times(header: LayHeader, n_samples: int, where: str) -> RecordTimes:
    """Find gaps from the times of the day that the header notes for some samples."""
    noted = [(sample, second) for sample, second in header.times if sample < n_samples]
    if not noted:
        return RecordTimes()
    sfreq = 1 / header.layout.record_duration
    if noted[0][0] > 0:
        noted.insert(0, (0, noted[0][1] - float(noted[0][0] / sfreq)))
    samples, seconds = (np.array(column) for column in zip(*noted, strict=True))
    # Times of the day begin anew at midnight.
    seconds = seconds + 86_400.0 * np.cumsum(np.diff(seconds, prepend=seconds[0]) < -43_200)
    found = place(samples / float(sfreq), seconds - seconds[0], sampled=True, where=where)
    return replace(found, first=tuple(int(samples[stamp]) for stamp in found.first))
