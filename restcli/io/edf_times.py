"""The time stamps of EDF+ records: where a recording was interrupted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError

_ONSET = re.compile(rb"([+-][0-9]+(?:[.,][0-9]*)?)\x14\x14")
_TIMES = "record times in order, without overlap"
_RE_EXPORT = "Export the recording again from the EEG system"
# Record times closer than this to where they belong are rounding: less than one sample at 200 Hz.
_JITTER = 0.005
# Clocks that are set back by up to this much while recording are smoothed over; beyond it the times mean nothing.
_SETBACK = 1.0
# Stamps that run away from the samples little by little are followed in steps of this size.
_DRIFT = 0.25
# Arrays reach from the first second to the last: longer gaps would fill the memory with nothing.
_LONGEST_GAPS = 14 * 86_400.0


def record_onset(raw: bytes) -> float:
    """Read the time stamp at the head of a record's annotations, from its first 32 bytes or more.

    Returns NaN when the bytes are blank, infinity when they are not a time stamp.

    >>> record_onset(b"+1.5" + bytes([20, 20, 0]))
    1.5
    """
    found = _ONSET.match(raw)
    if found:
        return float(found[1].replace(b",", b"."))
    return float("nan") if not raw.strip(b"\0 ") else float("inf")


def is_text_damaged(raw: bytes) -> bool:
    """Tell whether binary samples went through a conversion of line endings: every LF follows a CR.

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
    """When records were taken: runs of records without a gap."""

    first: tuple[int, ...] = (0,)  # first record of each run
    start: tuple[float, ...] = (0.0,)  # its time, seconds after the first record of the file
    origin: float = 0.0  # time of the first record after the header's start time, seconds
    repairs: tuple[str, ...] = ()


def timeline(onsets: NDArray[np.float64], step: float, kind: str, *, where: str) -> Timeline:
    """Find the gaps from the time stamps of records (`record_onset`) of `step` seconds.

    The kinds ``EDF+D`` and ``BDF+D`` announce gaps, ``+C`` denies them, others know no record times.
    """
    interrupted = kind.endswith("+D")
    known = np.isfinite(onsets)
    n_wrong, n_unknown = int(np.isinf(onsets).sum()), int((~known).sum())
    few = max(1, len(onsets) // 100)
    if kind.endswith(("+C", "+D")) and n_wrong > few:
        raise RecordingError(
            where,
            f"{n_wrong} of {len(onsets)} record time stamps are not where they belong: bytes were inserted or lost",
            "a time at the head of each record",
            "Copy the original again as a binary file",
        )
    if not known.any() or n_unknown > few:
        if interrupted:
            what = f"the file is interrupted (EDF+D) but {n_unknown} of {len(onsets)} records bear no time"
            raise RecordingError(where, what, _TIMES, _RE_EXPORT)
        return Timeline(repairs=("records bear no time stamps; taken as continuous",))
    lag = onsets - np.arange(len(onsets)) * step
    # A record without a time follows its predecessor; the first ones precede the first that has one.
    nearest = np.maximum.accumulate(np.where(known, np.arange(len(onsets)), int(np.argmax(known))))
    found = _runs(lag[nearest], step, interrupted=interrupted, where=where)
    if n_unknown:
        note = f"{n_unknown} record time stamps are unreadable; taken as following the one before"
        return replace(found, repairs=(note, *found.repairs))
    return found


def _runs(lag: NDArray[np.float64], step: float, *, interrupted: bool, where: str) -> Timeline:
    """Cut records into runs where their lag behind gapless time grows."""
    origin = float(lag[0])
    if abs(origin) > _LONGEST_GAPS:
        raise RecordingError(
            where, "the first record is stamped weeks away from the header's start", _TIMES, _RE_EXPORT
        )
    forward = np.maximum.accumulate(lag)
    rise = np.diff(forward)
    jumps = rise > _JITTER
    useless = _why_useless(lag, forward, step)
    if useless and interrupted:
        raise RecordingError(where, useless, _TIMES, _RE_EXPORT)
    if useless:
        return Timeline(origin=origin, repairs=(f"{useless}; ignored because the header says continuous",))
    if not interrupted and jumps.sum() > max(10, len(lag) // 10):
        note = "record times do not fit the duration of records; taken as continuous"
        return Timeline(origin=origin, repairs=(note,))
    repairs = []
    cuts = jumps
    slow = np.concatenate([[0.0], np.cumsum(np.where(jumps, 0.0, rise))])
    if slow[-1] > _DRIFT:
        drift = f"record times drift by {slow[-1]:.2f} s from the sampling rate"
        if interrupted:
            cuts = jumps | (np.diff(np.floor(slow / _DRIFT)) > 0)
        repairs.append(f"{drift}; {f'followed in steps of {_DRIFT} s' if interrupted else 'times follow the samples'}")
    setback = float(np.max(forward - lag))
    if setback > _JITTER:
        repairs.append(f"records overlap by up to {setback:.3f} s; moved to follow each other")
    if not interrupted and cuts.any():
        total = float(forward[-1] - forward[0])
        repairs.append(f"the header says continuous but record times show {cuts.sum()} gaps ({total:.3f} s)")
    if not -_JITTER < origin < 1.0:
        repairs.append(f"the first record is stamped {origin:.3f} s after the header's start; time 0 is there")
    first = np.concatenate([[0], np.flatnonzero(cuts) + 1])
    start = forward[first] - origin + first * step
    return Timeline(tuple(map(int, first)), tuple(map(float, start)), origin, tuple(repairs))


def _why_useless(lag: NDArray[np.float64], forward: NDArray[np.float64], step: float) -> str:
    """Say why record times cannot be believed; empty when they can."""
    if float(np.max(forward - lag)) > _SETBACK + 0.01 * step * len(lag):
        record = int(np.argmax(forward - lag > _SETBACK))
        return f"record times run backwards at record {record + 1}: records overlap or are shuffled"
    gaps = float(forward[-1] - lag[0])
    if gaps > _LONGEST_GAPS:
        hours = len(lag) * step / 3600
        return f"record times leave {gaps / 86_400:.0f} days of gaps between {hours:.1f} h of signal"
    return ""
