"""The time stamps of EDF+ records: where a recording was interrupted; knows neither disks nor signals."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError

_ONSET = re.compile(rb"([+-][0-9]+(?:[.,][0-9]*)?)\x14\x14")
_TIMES = "record times in order, without overlap"
_RE_EXPORT = "export the recording again from the EEG system"
# Record times closer than this to where they belong are rounding: less than one sample at 200 Hz.
_JITTER = 0.005
# Clocks that are set back by up to this much while recording are smoothed over; more than that is no clock.
_SETBACK = 1.0
# Stamps that run away from the samples little by little are followed in steps of this size.
_DRIFT = 0.25
# Arrays reach from the first second to the last: longer gaps would fill the memory with nothing.
_LONGEST_GAPS = 14 * 86_400.0


def record_onset(raw: bytes) -> float:
    """Read the time stamp at the head of a record's annotations.

    Parameters
    ----------
    raw : bytes
        The record's annotation bytes, at least the first 32.

    Returns
    -------
    float
        Seconds; NaN when the bytes are blank, infinity when they are no time stamp.

    Examples
    --------
    >>> record_onset(b"+1.5" + bytes([20, 20, 0]))
    1.5
    """
    found = _ONSET.match(raw)
    if found:
        return float(found[1].replace(b",", b"."))
    return float("nan") if not raw.strip(b"\0 ") else float("inf")


def is_text_damaged(raw: bytes) -> bool:
    """Tell whether binary samples went through a conversion of line endings: every LF follows a CR.

    Examples
    --------
    >>> is_text_damaged(bytes(range(256)) * 30)
    False
    """
    places = [found.start() for found in re.finditer(b"\r\n", raw)]
    if len(places) < 12 or len(places) != raw.count(b"\n"):
        return False
    # A flat line at 2573 is stored as CR LF, too, but always at the same place of a sample (of 2 or 3 bytes).
    return all(len({place % width for place in places}) > 1 for width in (2, 3))


@dataclass(frozen=True)
class Timeline:
    """When records were taken: runs of records without a gap.

    Parameters
    ----------
    first : tuple of int
        First record of each run.
    start : tuple of float
        Its time, seconds after the first record of the file.
    origin : float
        Time of the first record after the header's start time, seconds.
    repairs : tuple of str
        What was wrong, and what was done.
    """

    first: tuple[int, ...]
    start: tuple[float, ...]
    origin: float = 0.0
    repairs: tuple[str, ...] = ()


def timeline(onsets: NDArray[np.float64], step: float, kind: str, *, where: str) -> Timeline:
    """Find the gaps of a recording from the time stamps of its records.

    Parameters
    ----------
    onsets : ndarray, shape (n_records,)
        From `record_onset`.
    step : float
        Duration of a record, seconds.
    kind : str
        ``EDF+D`` or ``BDF+D`` announce gaps, ``+C`` denies them, others know no record times.
    where : str
        Name for errors.

    Returns
    -------
    Timeline

    Raises
    ------
    RecordingError
        If the time stamps are needed and make no sense.
    """
    interrupted = kind.endswith("+D")
    repairs: list[str] = []
    known = np.isfinite(onsets)
    n_wrong, n_unknown = int(np.isinf(onsets).sum()), int((~known).sum())
    if kind.endswith(("+C", "+D")) and n_wrong > max(1, len(onsets) // 100):
        raise RecordingError(
            where,
            f"{n_wrong} of {len(onsets)} record time stamps are not where they belong: bytes were inserted or lost",
            "a time at the head of each record",
            "copy the original again as a binary file",
        )
    if not known.any() or (n_unknown > max(1, len(onsets) // 100) and not interrupted):
        if interrupted:
            raise RecordingError(
                where, "is interrupted (EDF+D) but its records bear no times: gaps cannot be placed", _TIMES, _RE_EXPORT
            )
        return Timeline((0,), (0.0,), 0.0, ("records bear no time stamps; taken as continuous",))
    if n_unknown > max(1, len(onsets) // 100):
        raise RecordingError(
            where, f"is interrupted (EDF+D) but {n_unknown} of {len(onsets)} records bear no time", _TIMES, _RE_EXPORT
        )
    if n_unknown:
        repairs.append(f"{n_unknown} record time stamps are unreadable; taken as following the one before")
    lag = onsets - np.arange(len(onsets)) * step
    # A record without a time follows its predecessor; the first ones precede the first that has one.
    nearest = np.maximum.accumulate(np.where(known, np.arange(len(onsets)), int(np.argmax(known))))
    return _runs(lag[nearest], step, repairs, interrupted=interrupted, where=where)


def _runs(lag: NDArray[np.float64], step: float, repairs: list[str], *, interrupted: bool, where: str) -> Timeline:
    """Cut records into runs where their lag behind gapless time grows."""
    origin = float(lag[0])
    forward = np.maximum.accumulate(lag)
    setback = float(np.max(forward - lag))
    rise = np.diff(forward)
    jumps = rise > _JITTER
    slow = np.concatenate([[0.0], np.cumsum(np.where(jumps, 0.0, rise))])
    cuts = np.flatnonzero(jumps) + 1
    if setback > _SETBACK + 0.01 * step * len(lag):
        if interrupted:
            record = int(np.argmax(forward - lag > _SETBACK))
            raise RecordingError(
                where,
                f"record times run backwards at record {record + 1}: records overlap or are shuffled",
                _TIMES,
                _RE_EXPORT,
            )
        repairs.append("record times run backwards; ignored because the header says continuous")
        return Timeline((0,), (0.0,), origin, tuple(repairs))
    if not interrupted and len(cuts) > max(10, len(lag) // 10):
        repairs.append("record times do not fit the duration of records; taken as continuous")
        return Timeline((0,), (0.0,), origin, tuple(repairs))
    if forward[-1] - origin > _LONGEST_GAPS:
        days = (forward[-1] - origin) / 86_400
        if interrupted:
            raise RecordingError(
                where,
                f"record times leave {days:.0f} days of gaps between {len(lag) * step / 3600:.1f} h of signal",
                _TIMES,
                _RE_EXPORT,
            )
        repairs.append(f"record times leave {days:.0f} days of gaps; ignored because the header says continuous")
        return Timeline((0,), (0.0,), origin, tuple(repairs))
    if slow[-1] > _DRIFT and interrupted:
        drift = f"record times drift by {slow[-1]:.2f} s from the sampling rate"
        repairs.append(f"{drift}; followed in steps of {_DRIFT} s")
        cuts = np.flatnonzero(jumps | (np.diff(np.floor(slow / _DRIFT)) > 0)) + 1
    elif slow[-1] > _DRIFT:
        repairs.append(f"record times drift by {slow[-1]:.2f} s from the sampling rate; times follow the samples")
    if setback > _JITTER:
        repairs.append(f"records overlap by up to {setback:.3f} s; moved to follow each other")
    if not interrupted and len(cuts):
        total = float(forward[-1] - forward[0])
        repairs.append(f"the header says continuous but record times show {len(cuts)} gaps ({total:.3f} s)")
    if not -_JITTER < origin < 1.0:
        repairs.append(f"the first record is stamped {origin:.3f} s after the header's start; time 0 is there")
    first = np.concatenate([[0], cuts])
    start = forward[first] - origin + first * step
    return Timeline(tuple(map(int, first)), tuple(map(float, start)), origin, tuple(repairs))
