"""When records were taken, from their time stamps: gaps, drift, wrong stamps and clocks that were set back."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from restcli.errors import RecordingError
from restcli.signal.sequences import true_runs
from restcli.text import count

# A number in any spelling, perhaps a duration, then an annotation without text.
_ONSET = re.compile(
    rb"[\0 ]*([+-]?) *([0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]{1,2})? *(?:\x15[0-9.]*)?\x14[\x14\0]"
)
_TIMES = "time stamps in order, without overlap"
_RE_EXPORT = "Export the recording again from the EEG system"
# Times closer than this to where they belong are rounding: less than one sample at 200 Hz.
_JITTER = 0.005
# Clocks that run away from the samples by at most this fraction drift; a larger step is a gap. A steady drift between
# the two is a wrong rate: following it would cut the signal so often that seizures are lost.
_FASTEST_DRIFT = 0.005
_WRONG_RATE = 0.02
# Times follow the stamps when the samples are this far away from them, seconds.
_DRIFT = 0.5
_REPORTED_DRIFT = 0.1
# A clock set back by more, seconds, has two stretches of signal at the same times.
_SETBACK = 1.0
# So many stamps in a row may be wrong before the clock counts as set.
_FEW = 3
# Arrays reach from the first second to the last: longer gaps would fill the memory with nothing.
_LONGEST_GAPS = 14 * 86_400.0


def record_onset(raw: bytes) -> float:
    """Read the time stamp at the head of a record's annotations, from its first 32 bytes or more.

    Returns NaN when the bytes are blank, infinity when they are not a time stamp, minus infinity when almost one.

    >>> record_onset(b"+1.5" + bytes([20, 20, 0]))
    1.5
    """
    found = _ONSET.match(raw)
    if found:
        return float(found[1] + found[2].replace(b",", b".") + (found[3] or b""))
    if not raw.strip(b"\0 "):
        return math.nan
    return -math.inf if re.match(rb"[\0 ]*[+-]?[0-9 ]", raw) else math.inf


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
        raise _misplaced(onsets, where)
    if not known.any() or n_unknown > few:
        if interrupted:
            what = f"the file is interrupted (EDF+D) but {n_unknown} of {len(onsets)} records bear no time"
            raise RecordingError(where, what, _TIMES, _RE_EXPORT)
        return Timeline(repairs=("records bear no time stamps; taken as continuous",))
    # A record without a time follows its predecessor; the first ones precede the first that has one.
    nearest = np.maximum.accumulate(np.where(known, np.arange(len(onsets)), int(np.argmax(known))))
    places = np.arange(len(onsets), dtype=np.float64) * step
    stamps: NDArray[np.float64] = places + (onsets - places)[nearest]
    found = place(places, stamps, continuous=not interrupted, where=where)
    if n_unknown:
        note = f"{n_unknown} record time stamps are unreadable; taken as following the one before"
        return replace(found, repairs=(note, *found.repairs))
    return found


def _misplaced(onsets: NDArray[np.float64], where: str) -> RecordingError:
    """Say what stands where most or many records should have their time."""
    n_like, n_wrong = int(np.isneginf(onsets).sum()), int(np.isinf(onsets).sum())
    if n_like > n_wrong // 2:
        what = f"{n_wrong} of {len(onsets)} record time stamps are not written as a number and two bytes 20"
        return RecordingError(where, what, "a stamp such as '+1.5' at the head of each record", _RE_EXPORT)
    what = f"{n_wrong} of {len(onsets)} record time stamps are not where they belong: bytes were inserted or lost"
    remedy = "Copy the original again as a binary file"
    return RecordingError(where, what, "a time at the head of each record", remedy)


def place(
    places: NDArray[np.float64], stamps: NDArray[np.float64], *, continuous: bool = False, where: str
) -> Timeline:
    """Cut a signal into runs by the times stamped at some places of it, both in seconds; `first` counts the stamps.

    What a stamp and its place differ by is their lag. A few that leave the others and come back are wrong stamps, a
    rise is a gap, small steps are drift, and a fall is a clock that was set back. A `continuous` signal has no drift.
    """
    lag = stamps - places
    if abs(float(lag[0])) > _LONGEST_GAPS:
        what = "the first record is stamped weeks away from the header's start"
        raise RecordingError(where, what, _TIMES, _RE_EXPORT)
    intervals = np.diff(places, prepend=places[0])
    # Where most steps are alike, they are a wrong sampling rate and not one gap after the other.
    usual = float(np.median(np.abs(np.diff(lag)) / intervals[1:])) if len(lag) > 6 * _FEW else 0.0
    if not continuous and _FASTEST_DRIFT < usual < _WRONG_RATE:
        what = (
            f"the time stamps run away from the samples by {usual:.1%}: the header's rate or record duration is wrong"
        )
        raise RecordingError(where, what, _TIMES, _RE_EXPORT)
    limits = np.clip(max(_FASTEST_DRIFT, 2 * usual if usual < _WRONG_RATE else 0.0) * intervals, _JITTER, _DRIFT)
    lag, wrong, repairs = _without_wrong_stamps(lag, limits)
    origin = float(lag[0])
    first = _cuts(lag, limits, np.inf if continuous else _DRIFT)
    start = lag[first] - origin + places[first] - places[0]
    useless = wrong or _why_useless(lag, places, start)
    if useless and not continuous:
        remedy = "Export the signal before and after it as two files" if "set back" in useless else _RE_EXPORT
        raise RecordingError(where, useless, _TIMES, remedy)
    if useless:
        return Timeline(origin=origin, repairs=(f"{useless}; ignored because the header says continuous",))
    if continuous and len(first) - 1 > max(10, len(lag) // 10):
        note = "time stamps do not fit the record duration; taken as continuous"
        return Timeline(origin=origin, repairs=(note,))
    repairs += _report(lag, first, limits, continuous=continuous)
    if not -_JITTER < origin < 1.0:
        repairs.append(f"the first record is stamped {origin:.3f} s after the header's start; time 0 is there")
    return Timeline(tuple(map(int, first)), tuple(map(float, start)), origin, tuple(repairs))


def _without_wrong_stamps(
    lag: NDArray[np.float64], limits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], str, list[str]]:
    """Put stamps that a few neighbours on both sides contradict where those are; say if that cannot be done."""
    usual = median_filter(lag, 2 * _FEW + 1, mode="nearest")  # leaves what only rises, or only falls, as it is
    if len(lag) > 6 * _FEW:
        # At the ends there is one side only: stamps ahead of all that follow, or behind all that went before.
        head, tail = usual[: _FEW + 1], usual[-_FEW - 1 :]
        drift = _DRIFT + _FEW * float(limits.max())
        head[head > head[-1] + drift] = head[-1]
        tail[tail < tail[0] - drift] = tail[0]
    odd = np.abs(lag - usual) > limits
    for begin, end in true_runs(odd):
        if begin > 0 and end < len(lag) and abs(lag[end] - lag[begin - 1]) > _DRIFT:
            odd[begin:end] = False  # they do not come back
    if not odd.any():
        return lag, "", []
    largest = float(np.abs(lag - usual)[odd].max())
    if largest > _DRIFT and odd.sum() > max(_FEW, len(lag) // 100):
        return lag, f"{odd.sum()} of {len(lag)} time stamps contradict their neighbours by up to {largest:.3f} s", []
    which = f"time stamp {int(np.argmax(odd)) + 1} is" if odd.sum() == 1 else f"{odd.sum()} time stamps are"
    note = f"{which} wrong by up to {largest:.3f} s; ignored, as those before and after agree"
    return np.where(odd, usual, lag), "", [note]


def _cuts(lag: NDArray[np.float64], limits: NDArray[np.float64], drift: float) -> NDArray[np.intp]:
    """Return where runs begin: after a gap, and where the lag has drifted away from that of the run's begin."""
    first, level, top = [0], float(lag[0]), float(lag[0])
    for i, (value, limit) in enumerate(zip(lag.tolist(), limits.tolist(), strict=True)):
        if value - top > limit or abs(value - level) > drift:
            first.append(i)
            level = top = value
        elif value > top:
            top = value
    return np.array(first)


def _why_useless(lag: NDArray[np.float64], places: NDArray[np.float64], start: NDArray[np.float64]) -> str:
    """Say why record times cannot be believed; empty when they can."""
    length = float(places[-1] - places[0])
    falls = -np.minimum(np.diff(lag), 0.0)
    if len(falls) and falls.max() > _SETBACK:
        record = int(np.argmax(falls > _SETBACK))
        size = f"{falls[record]:.3f} s"
        return f"time stamps run backwards after stamp {record + 1} of {len(lag)}: the clock was set back by {size}"
    if float(np.max(np.maximum.accumulate(lag) - lag)) > _SETBACK + 0.01 * length or (np.diff(start) <= 0).any():
        return "time stamps run backwards again and again: records overlap or are shuffled"
    gaps = float(lag.max() - lag[0])
    if gaps > _LONGEST_GAPS:
        return f"time stamps leave {gaps / 86_400:.0f} days of gaps between {length / 3600:.1f} h of signal"
    return ""


def _report(
    lag: NDArray[np.float64], first: NDArray[np.intp], limits: NDArray[np.float64], *, continuous: bool
) -> list[str]:
    """Say what times were not taken as they are."""
    repairs = []
    steps = np.diff(lag, prepend=lag[0])
    gaps = first[steps[first] > limits[first]]
    drift = float(lag[-1] - lag[0] - steps[gaps].sum())
    if abs(drift) > _REPORTED_DRIFT:
        how = "times follow the samples" if continuous or abs(drift) <= _DRIFT else f"followed in steps of {_DRIFT} s"
        repairs.append(f"time stamps drift by {drift:.2f} s from the sampling rate; {how}")
    runs = np.split(lag, first[1:])
    overlap = max(float(np.max(np.maximum.accumulate(run) - run)) for run in runs)
    if overlap > _JITTER:
        repairs.append(f"records overlap by up to {overlap:.3f} s; moved to follow each other")
    lost = -float(np.minimum(np.diff(lag[first]), 0.0).sum())
    if lost > 0:
        repairs.append(f"records overlap by {lost:.3f} s in all where the clock went back; the first of both is cut")
    if continuous and len(first) > 1:
        total = float(lag[-1] - lag[0]) - drift
        repairs.append(
            f"the header says continuous but time stamps show {count(len(first) - 1, 'gap')} ({total:.3f} s)"
        )
    return repairs
