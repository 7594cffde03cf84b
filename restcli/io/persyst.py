"""The header of a Persyst recording (.lay): what its file of samples holds and when; knows no disks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from restcli.errors import RecordingError

_WIDTHS = {"0": 2, "7": 4}
_FORMAT = "a Persyst header (.lay) with [FileInfo] and [ChannelMap] was expected"
_REMEDY = "export the recording again from Persyst, or as EDF"
# Smaller steps of the clock are rounding.
_JITTER = 0.005


@dataclass(frozen=True)
class LayHeader:
    """What a .lay file says; patient fields are neither kept nor quoted.

    Parameters
    ----------
    data_name : str
        Name of the file of samples, without its folder.
    sfreq : Fraction
        Hz.
    calibration : float
        Microvolts for each step.
    sample_bytes, data_start : int
        Bytes of a sample, and of what precedes the first one.
    labels : tuple of str
        In the order of the stored samples.
    start : datetime or None
        Clock time of the first sample.
    times : tuple of (int, float)
        Stored sample and second of the day, where the file notes them.
    repairs : tuple of str
        What was wrong, and what was done.
    """

    data_name: str
    sfreq: Fraction
    calibration: float
    sample_bytes: int
    data_start: int
    labels: tuple[str, ...]
    start: datetime | None
    times: tuple[tuple[int, float], ...]
    repairs: tuple[str, ...]


def parse_lay(text: str, where: str) -> LayHeader:
    """Read a .lay file.

    Parameters
    ----------
    text : str
        The whole file.
    where : str
        Name for errors.

    Returns
    -------
    LayHeader

    Raises
    ------
    RecordingError
        If the samples cannot be found or scaled.
    """
    sections = _sections(text)
    info = {key.lower(): value for key, value in sections.get("fileinfo", [])}
    try:
        count, width = int(info["waveformcount"]), _WIDTHS[info.get("datatype", "0")]
        sfreq = Fraction(info["samplingrate"].replace(",", "."))
        calibration = float(info["calibration"].replace(",", "."))
        data_start = int(info.get("headerlength") or 0)
        places = [(int(number.split(",")[0]), label) for label, number in sections["channelmap"]]
    except (KeyError, ValueError, ZeroDivisionError) as error:
        problem = f"its header cannot be read ({type(error).__name__} in [FileInfo] or [ChannelMap])"
        raise RecordingError(where, problem, _FORMAT, _REMEDY) from None
    if count != len(places) or count < 1 or not 0 < sfreq <= 10**6 or data_start < 0:
        raise RecordingError(where, f"its header names {len(places)} channels and counts {count}", _FORMAT, _REMEDY)
    name = re.split(r"[\\/]", info.get("file", ""))[-1]
    labels = tuple("".join(c for c in label if c.isprintable()).strip() for _, label in sorted(places))
    start, repairs = _start({key.lower(): value for key, value in sections.get("patient", [])})
    times = []
    for sample, second in sections.get("sampletimes", []):
        if re.fullmatch(r"\d+", sample) and re.fullmatch(r"\d+(\.\d+)?", second):
            times.append((int(sample), float(second)))
    return LayHeader(name, sfreq, calibration, width, data_start, labels, start, tuple(sorted(times)), tuple(repairs))


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


def _start(patient: dict[str, str]) -> tuple[datetime | None, list[str]]:
    """Read the date and time of the test; the other patient fields are not looked at."""
    written = f"{patient.get('testdate', '')} {patient.get('testtime', '')}"
    for form in ("%m/%d/%Y", "%d-%m-%Y", "%Y.%m.%d"):
        try:
            return datetime.strptime(written, form + " %H:%M:%S"), []
        except ValueError:
            continue
    return None, ["the test date or time is missing or unreadable; clock times are unknown"]


def sample_gaps(header: LayHeader, n_samples: int) -> tuple[list[int], list[float], tuple[str, ...]]:
    """Find gaps from the times that the header notes for some samples.

    Parameters
    ----------
    header : LayHeader
        See `parse_lay`.
    n_samples : int
        Samples that the file of samples holds.

    Returns
    -------
    first : list of int
        First sample of each run without gaps.
    start : list of float
        Its time after the first sample of the file, seconds.
    repairs : tuple of str
        What was wrong, and what was done.
    """
    first, start, repairs = [0], [0.0], []
    noted = [(sample, second) for sample, second in header.times if sample < n_samples]
    clock, days = (noted[0][1] if noted else 0.0), 0.0
    origin = clock - (float(noted[0][0] / header.sfreq) if noted else 0.0)
    for sample, second in noted[1:]:
        # Times of the day begin anew at midnight.
        days += 86_400.0 if second + days < clock - 43_200 else 0.0
        clock = second + days
        lag = clock - origin - start[-1] - float((sample - first[-1]) / header.sfreq)
        if lag > _JITTER:
            first.append(sample)
            start.append(clock - origin)
        elif lag < -1.0:
            repairs.append("a sample time runs backwards; ignored")
    return first, start, tuple(dict.fromkeys(repairs))
