"""When records were taken, from their time stamps: gaps, drift, wrong stamps and clocks that were set back."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

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
# A shorter pause, seconds, does not count as a gap: cutting there would cost more than a splice of a few samples.
_SHORTEST_GAP = 0.02
# Clocks that run away steadily from the samples by at most this fraction drift; beyond, the rate in the header or the
# stamps are wrong.
_FASTEST_DRIFT = 0.005
# Stamps at least so far apart, seconds, that leave more than this fraction between them may have a pause after each.
_SPARSE, _PAUSES = 60.0, 0.05
# So much of all steps between stamps must agree on a rate.
_MOST = 0.75
# Drift in all, seconds, from which times follow the stamps; a wandering clock is followed in steps of it.
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
    # A flat line at 2573 is stored as CR LF, too, but always at the same place in a sample (of 2 or 3 bytes).
    return all(len({place % width for place in places}) > 1 for width in (2, 3))


@dataclass(frozen=True)
class RecordTimes:
    """When records were taken: runs of records without a gap."""

    first: tuple[int, ...] = (0,)  # first record of each run
    start: tuple[float, ...] = (0.0,)  # its time, seconds after the first record of the file
    origin: float = 0.0  # time of the first record after the header's start time, seconds
    pace: Fraction = Fraction(1)  # seconds by the stamps for each second by the header's rate
    repairs: tuple[str, ...] = ()


def timeline(onsets: NDArray[np.float64], step: float, kind: str, *, where: str) -> RecordTimes:
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
            what = f"the file is interrupted (EDF+D) but {n_unknown} of {len(onsets)} records have no time"
            raise RecordingError(where, what, _TIMES, _RE_EXPORT)
        return RecordTimes(repairs=("records have no time stamps; taken as continuous",))
    # A record without a time follows its predecessor; the first ones precede the first that has one.
    nearest = np.maximum.accumulate(np.where(known, np.arange(len(onsets)), int(np.argmax(known))))
    places = np.arange(len(onsets), dtype=np.float64) * step
    stamps: NDArray[np.float64] = places + (onsets - places)[nearest]
    if not interrupted and len(stamps) > 1 and (stamps == stamps[0]).all() and abs(stamps[0]) <= _LONGEST_GAPS:
        return RecordTimes(repairs=("all records have the same time stamp; taken as continuous",))
    found = place(places, stamps, continuous=not interrupted, sampled=True, where=where)
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
    places: NDArray[np.float64],
    stamps: NDArray[np.float64],
    *,
    continuous: bool = False,
    sampled: bool = False,
    where: str,
) -> RecordTimes:
    """Cut a signal into runs by the times stamped at some places of it, both in seconds; `first` counts the stamps.

    What a stamp and its place differ by is their lag. A few that leave the others and come back are wrong stamps, a
    rise is a gap, a steady change is drift, and a fall is a clock that was set back. Stamps `sampled` along the signal,
    instead of noted at its pauses, tell its true rate; a `continuous` signal keeps the header's.
    """
    lag = stamps - places
    if abs(float(lag[0])) > _LONGEST_GAPS:
        what = "the first record is stamped weeks away from the header's start"
        raise RecordingError(where, what, _TIMES, _RE_EXPORT)
    usual = _usual_drift(places, stamps) if sampled else 0.0
    _refuse_other_rate(places, usual, continuous=continuous, where=where)
    usual = usual if abs(usual) <= _FASTEST_DRIFT else 0.0  # else pauses after each stretch
    lag -= usual * places
    limits = _limits(places, lag)
    lag, wrong, repairs = _without_wrong_stamps(lag, limits)
    whole = lag + usual * places
    if not wrong and continuous and _is_shuffled(places, whole):
        wrong = "time stamps run backwards again and again: records are shuffled"
    if wrong:
        raise RecordingError(where, wrong, _TIMES, _RE_EXPORT)
    # Stamps that run backwards tell no rate, and those that agree with the header in the end agree with its rate.
    tell = sampled and not (np.diff(whole) < -_DRIFT).any() and abs(whole[-1] - whole[0]) > _DRIFT
    slope = usual + _slope(places, lag, limits) if tell else 0.0
    _refuse_other_rate(places, slope, continuous=continuous, where=where)
    drift, pace = slope * float(places[-1] - places[0]), Fraction(1)
    if abs(drift) > _DRIFT and abs(slope) <= _FASTEST_DRIFT and not continuous:
        pace += Fraction(slope).limit_denominator(10**6)
        places, whole = places * float(pace), whole - places * float(pace - 1)
        repairs.append(
            f"time stamps drift steadily by {drift:.2f} s from the sampling rate; the signal is taken as sampled at "
            f"{float(1 / pace):.6f} times that rate"
        )
    found = _runs(places, whole, limits, continuous=continuous, where=where)
    return replace(found, pace=pace, repairs=(*repairs, *found.repairs))


def _runs(
    places: NDArray[np.float64],
    lag: NDArray[np.float64],
    limits: NDArray[np.float64],
    *,
    continuous: bool,
    where: str,
) -> RecordTimes:
    """Cut at gaps, where a clock was set back, and where it wandered away."""
    origin = float(lag[0])
    first = _cuts(lag, limits, np.inf if continuous else _DRIFT)
    start = lag[first] - origin + places[first] - places[0]
    useless = _why_useless(lag, places, start)
    if useless and not continuous:
        remedy = "Export the signal before and after it as two files" if "set back" in useless else _RE_EXPORT
        raise RecordingError(where, useless, _TIMES, remedy)
    if useless:
        return RecordTimes(origin=origin, repairs=(f"{useless}; ignored because the header says continuous",))
    if continuous and len(first) - 1 > max(10, len(lag) // 10):
        what = f"time stamps show {len(first) - 1} gaps among {len(lag)} records, but the header says continuous"
        raise RecordingError(where, what, "stamps that follow each other, or EDF+D", _RE_EXPORT)
    repairs = _report(lag, first, limits, continuous=continuous)
    if not -_JITTER < origin < 1.0:
        repairs.append(f"the first record is stamped {origin:.3f} s after the header's start; time 0 is there")
    return RecordTimes(tuple(map(int, first)), tuple(map(float, start)), origin, repairs=tuple(repairs))


def _usual_drift(places: NDArray[np.float64], stamps: NDArray[np.float64]) -> float:
    """Return by what fraction stamps run ahead of their places if most of them agree on it, else 0."""
    if len(stamps) <= _FEW:
        return 0.0
    intervals, steps = np.diff(places), np.diff(stamps)
    usual = float(np.median(steps / intervals)) - 1
    alike = np.abs(steps - (1 + usual) * intervals) <= _SHORTEST_GAP + 1e-4 * intervals
    # Where stamps are rounded to more than that, most steps may be alike, but not those that make up for it.
    overall = float((stamps[-1] - stamps[0]) / (places[-1] - places[0])) - 1
    return usual if alike.mean() >= _MOST and (overall - usual) * np.sign(usual) >= -_FASTEST_DRIFT else 0.0


def _limits(places: NDArray[np.float64], lag: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far a stamp may be from where the one before puts it: rounding, scatter and changes of drift."""
    scatter = 3 * float(np.median(np.abs(np.diff(lag)))) if len(lag) > 6 * _FEW else 0.0
    drift = 1.2 * _FASTEST_DRIFT * np.diff(places, prepend=places[0])
    return np.clip(drift, min(_DRIFT, max(_SHORTEST_GAP, scatter)), _DRIFT)


def _refuse_other_rate(places: NDArray[np.float64], drift: float, *, continuous: bool, where: str) -> None:
    """Refuse stamps that agree with each other on another rate than the header's."""
    interval = float(np.median(np.diff(places))) if len(places) > 1 else 0.0
    sparse = not continuous and drift > _PAUSES and interval >= _SPARSE
    if abs(drift) <= _FASTEST_DRIFT or drift <= -1 or sparse:
        return
    what = (
        "its time stamps contradict the sampling rate or record duration in its header: by the stamps, signal of "
        f"{interval:.6g} s takes {(1 + drift) * interval:.6g} s"
    )
    remedy = "Correct the header if the stamps are right, or export the recording again"
    raise RecordingError(where, what, f"a difference of at most {_FASTEST_DRIFT:.1%}", remedy)


def _is_shuffled(places: NDArray[np.float64], lag: NDArray[np.float64]) -> bool:
    """Tell stamps that run backwards more than once, or that are those of a continuous signal in another order."""
    n_back = int(np.count_nonzero(np.diff(lag) < -_SETBACK))
    in_order = np.sort(lag + places)
    moved = in_order - in_order[0] - (places - places[0])
    return n_back > 1 or (n_back == 1 and float(np.abs(moved).max()) < _SETBACK)


def _median(lag: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the running median of lags; no wrong stamp is seen in it."""
    windows = sliding_window_view(np.pad(lag, _FEW, mode="edge"), 2 * _FEW + 1)
    # Some rows at a time: numpy's median copies them.
    parts = [np.median(windows[begin : begin + 2**16], axis=1) for begin in range(0, len(lag), 2**16)]
    return np.concatenate(parts)


def _slope(places: NDArray[np.float64], lag: NDArray[np.float64], limits: NDArray[np.float64]) -> float:
    """Return by what fraction stamps run ahead within runs that have neither gaps nor set-backs."""
    smooth = _median(lag) if len(lag) > 6 * _FEW else lag
    run = np.cumsum(np.abs(np.diff(smooth, prepend=smooth[0])) > limits)
    x, y = (values - (np.bincount(run, values) / np.bincount(run))[run] for values in (places, lag))
    return float(x @ y / (x @ x)) if x.any() else 0.0


def _without_wrong_stamps(
    lag: NDArray[np.float64], limits: NDArray[np.float64]
) -> tuple[NDArray[np.float64], str, list[str]]:
    """Correct stamps that a few neighbours on both sides contradict; say if that cannot be done."""
    usual = _median(lag)  # leaves what only rises, or only falls, as it is
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
    """Return where runs begin: after a gap, and where the lag has drifted away from that at the start of the run."""
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
    gaps = first[np.abs(steps[first]) > limits[first]]
    drift = float(lag[-1] - lag[0] - steps[gaps].sum())
    if len(gaps) < len(first) - 1:
        repairs.append(f"the clock does not run steadily against the samples; followed in steps of {_DRIFT} s")
    elif abs(drift) > _REPORTED_DRIFT:
        repairs.append(f"time stamps drift by {drift:.2f} s from the sampling rate; times follow the samples")
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
