"""The header of a Persyst recording (.lay): what its file of samples holds and when; knows no disks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path

from restcli.errors import RecordingError
from restcli.io import edf, edf_header, edf_times
from restcli.io.companions import ANY_FORMAT
from restcli.io.recording import Recording
from restcli.io.records import RecordSource

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


def open_persyst(path: Path) -> Recording:
    """Open a .lay file: interleaved samples are records of one sample.

    MNE refuses headers whose patient fields were removed, prints birth dates and does not see gaps.
    """
    where = str(path)
    raw = path.read_bytes()
    lay = parse_lay(edf_header.decode(raw), where)
    beside = [path.with_name(lay.data_name)] if lay.data_name else []
    data = next((p for p in [*beside, path.with_suffix(".dat")] if p.is_file()), None)
    if data is None:
        raise RecordingError(where, "its file of samples (.dat) is not beside it", ANY_FORMAT, "copy both files")
    status, width = data.stat(), lay.sample_bytes * len(lay.labels)
    n_samples, rest = divmod(max(0, status.st_size - lay.data_start), width)
    if n_samples == 0:
        raise RecordingError(where, "its file of samples is empty", ANY_FORMAT, "copy it again")
    repairs = [*lay.repairs, *(["the last sample is incomplete; left out"] if rest else [])]
    rail = 2 ** (8 * lay.sample_bytes - 1)
    signals = tuple(
        edf_header.EdfSignal(label, "µV", lay.calibration, 0.0, -rail, rail - 1, 1, place)
        for place, label in enumerate(lay.labels)
    )
    header = edf_header.EdfHeader(
        "Persyst",
        lay.start,
        lay.data_start,
        width,
        lay.sample_bytes,
        n_samples,
        1 / lay.sfreq,
        signals,
        (),
        tuple(repairs),
    )
    first, start, notes = sample_gaps(lay, n_samples)
    times = edf_times.Timeline(tuple(first), tuple(start), 0.0, notes)
    return edf.from_records(path, header, times, source=RecordSource.of(data, header, status))


def companions(path: Path) -> tuple[Path, ...]:
    """Return the file of samples that a .lay file names, when it is there."""
    text = path.read_bytes().decode("latin-1")
    found = re.search(r"^File\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    # Only the name counts: the folder in it is often that of the machine that recorded.
    name = re.split(r"[\\/]", found[1])[-1].replace("$b", path.stem) if found else ""
    return (path.with_name(name),) if name and path.with_name(name).exists() else ()
