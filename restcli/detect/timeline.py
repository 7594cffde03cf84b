"""Second-by-second results of a recording on its own clock, and their calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.events import Scores, Span
from restcli.io.recording import Recording
from restcli.nn.readout import mean_over_nodes
from restcli.nn.weights import Calibration, Weights
from restcli.signal.features import REFERENCE_RMS
from restcli.signal.quality import QUALITY_WORDS, Quality, upper_band_limit
from restcli.signal.sequences import running_mean

Float32Array = NDArray[np.float32]

INTERVAL = (5.0, 95.0)
"""Percentiles over masked passes that an interval lies between."""


@dataclass(frozen=True, eq=False)
class SegmentScores:
    """What was computed for one segment, one row for each whole second."""

    start: float  # seconds from the start of the recording
    codes: NDArray[np.uint8]  # (T, N), `Quality` of each node
    rms: Float32Array  # (T, N), µV
    spectrum: Float32Array  # (T, 101), mean log10 power over good nodes
    logits: Float32Array  # (T, N), for each second judged; NaN where not asked for or where a node was left out
    asked: NDArray[np.bool_]  # (T,), whether the settings want a score
    passes: Float32Array | None = None  # (T, K), mean logit of each masked pass
    types: Float32Array | None = None  # (T, C), probability of each type
    is_gap: bool = False

    def time(self) -> NDArray[np.float64]:
        """Centres of the seconds, from the start of the recording, (T,)."""
        return self.start + np.arange(len(self.codes), dtype=np.float64) + 0.5

    def to_end(self) -> NDArray[np.int64]:
        """Whole seconds that follow each one in the segment, (T,); 0 in gaps."""
        return np.arange(len(self.codes), dtype=np.int64)[::-1] * (not self.is_gap)


@dataclass(frozen=True, eq=False)
class Timeline:
    """All segments on the recording's clock, with rows for the gaps between them; shapes as in `SegmentScores`."""

    time: NDArray[np.float64]  # (T,), centres of the seconds
    codes: NDArray[np.uint8]
    rms: Float32Array
    spectrum: Float32Array
    logits: Float32Array
    asked: NDArray[np.bool_]
    in_gap: NDArray[np.bool_]  # (T,)
    to_end: NDArray[np.int64]  # (T,), whole seconds that follow in the segment
    passes: Float32Array | None
    types: Float32Array | None
    duration: float  # seconds
    missing: float  # seconds that the header announces after `duration`

    def amplitude(self) -> Float32Array:
        """Median RMS over the good nodes, µV, shape (T,); NaN where no node was good."""
        return _nan_median(np.where(self.codes == Quality.GOOD, self.rms, np.nan))

    def whole(self) -> Float32Array:
        """Mean logit over the nodes read out, shape (T,); NaN where there was none."""
        known = np.isfinite(self.logits)
        mean = mean_over_nodes(np.where(known, self.logits, 0.0), known, 1)
        return np.where(known.any(axis=1), mean, np.nan).astype(np.float32)


def join_segments(segments: Sequence[SegmentScores], recording: Recording) -> Timeline:
    """Lay segments on the recording's clock; gaps become rows that hold nothing."""
    rows: list[SegmentScores] = []
    cursor = 0.0
    for segment in [*segments, None]:
        gap = (recording.duration if segment is None else segment.start) - cursor
        if gap >= 1.0:
            rows.append(_gap(cursor, int(np.floor(gap + 1e-6)), like=segments[0]))
        if segment is not None:
            rows.append(segment)
            cursor = segment.start + len(segment.codes)

    def joined(name: str) -> Any:
        tables = [getattr(row, name) for row in rows]
        # A single table, the usual case, is not copied: a day's spectra fill 35 MB.
        return tables[0] if len(tables) == 1 or tables[0] is None else np.concatenate(tables)

    return Timeline(
        time=np.concatenate([row.time() for row in rows]),
        codes=joined("codes"),
        rms=joined("rms"),
        spectrum=joined("spectrum"),
        logits=joined("logits"),
        asked=joined("asked"),
        in_gap=np.concatenate([np.full(len(row.codes), row.is_gap) for row in rows]),
        to_end=np.concatenate([row.to_end() for row in rows]),
        passes=joined("passes"),
        types=joined("types"),
        duration=recording.duration,
        missing=recording.missing,
    )


def _gap(start: float, n_seconds: int, *, like: SegmentScores) -> SegmentScores:
    """Return rows without any value, as wide as those of a segment."""

    def unknown(table: Float32Array) -> Float32Array:
        return np.full((n_seconds, table.shape[1]), np.nan, dtype=np.float32)

    return SegmentScores(
        start=start,
        codes=np.full((n_seconds, like.codes.shape[1]), Quality.MISSING, dtype=np.uint8),
        rms=unknown(like.rms),
        spectrum=unknown(like.spectrum),
        logits=unknown(like.logits),
        asked=np.ones(n_seconds, dtype=bool),
        passes=None if like.passes is None else unknown(like.passes),
        types=None if like.types is None else unknown(like.types),
        is_gap=True,
    )


def to_scores(timeline: Timeline, weights: Weights, *, needed: int, step: int) -> Scores:
    """Calibrate logits, find what was not scored and why, and keep the seconds asked for.

    `needed` is the number of good nodes that a second must have, `step` the number of seconds between scores.
    """
    enough = (timeline.codes == Quality.GOOD).sum(axis=1) >= needed
    kinds, reasons = _reasons(timeline, enough, weights.look_ahead, needed)
    extra = relative_amplitude(timeline.amplitude(), enough, weights.calibration)
    keep, used = timeline.asked, (kinds == 0) & timeline.asked
    whole = timeline.whole()

    def probability(logits: Float32Array) -> Float32Array:
        column = (slice(None),) + (None,) * (logits.ndim - 1)
        return calibrate(np.where(used[column], logits, np.nan), extra[column], weights.calibration)[keep]

    interval = None
    if timeline.passes is not None:
        interval = np.full((int(keep.sum()), 2), np.nan)
        around = probability(spread_around(timeline.passes, whole))[used[keep]]
        interval[used[keep]] = np.percentile(around, INTERVAL, axis=1).T
    return Scores(
        time=timeline.time[keep],
        probability=probability(whole),
        by_node=probability(np.where(timeline.codes == Quality.GOOD, timeline.logits, np.nan)),
        nodes=weights.nodes,
        window=float(weights.window),
        step=float(step),
        duration=timeline.duration,
        unscored=_unscored_spans(timeline, kinds, reasons),
        interval=interval,
        types=weights.types,
        by_type=None if timeline.types is None else np.where(used[:, None], timeline.types, np.nan)[keep],
    )


def spread_around(passes: Float32Array, whole: Float32Array) -> Float32Array:
    """Centre the spread of masked passes, (T, K), on the full update, (T,), which is not the mean of masked ones."""
    return np.asarray(passes - np.median(passes, axis=1, keepdims=True) + whole[:, None], dtype=np.float32)


def _nan_median(values: Float32Array) -> Float32Array:
    """Median along the last axis ignoring NaN, NaN where all are; numpy's own warns and is slow for many rows."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    rows = np.arange(len(values))
    middle = (ordered[rows, low] + ordered[rows, np.minimum(high, values.shape[-1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan).astype(np.float32)


def relative_amplitude(amplitude: Float32Array, enough: NDArray[np.bool_], calibration: Calibration) -> Float32Array:
    """Log amplitude of each second over the recording's usual one, clipped to -1..2.5, averaged, shape (T,)."""
    known = enough & np.isfinite(amplitude)
    if calibration.amplitude == 0 or not known.any():
        return np.zeros(len(amplitude), dtype=np.float32)
    logs = np.log(np.maximum(amplitude[known], 1e-3))
    prior = np.full(round(calibration.prior_seconds), np.log(REFERENCE_RMS))
    usual = float(np.median(np.concatenate([logs, prior])))
    relative = np.log(np.maximum(np.nan_to_num(amplitude, nan=REFERENCE_RMS), 1e-3)) - usual
    clipped = np.clip(relative, -1.0, 2.5)
    mean = running_mean(np.where(known, clipped, np.nan), calibration.smooth)
    return np.where(known, mean, clipped).astype(np.float32)


def calibrate(logit: Float32Array, extra: Float32Array, calibration: Calibration) -> Float32Array:
    """Return probabilities; NaN stays NaN."""
    value = calibration.scale * (logit + calibration.amplitude * extra) + calibration.bias
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(value, -30.0, 30.0))), dtype=np.float32)


def _reasons(
    timeline: Timeline, enough: NDArray[np.bool_], look_ahead: int, needed: int
) -> tuple[NDArray[np.intp], list[str]]:
    """Return why each second was not scored, as indices into a list of reasons; the first, empty, is "scored"."""
    read_out = np.concatenate([enough[look_ahead:], np.zeros(min(look_ahead, len(enough)), dtype=bool)])
    reasons = [
        "",
        "no signal: a gap in the recording",
        f"past the end: the network looks {look_ahead} s ahead",
        f"unusable {look_ahead} s ahead, where the network looks",
        *(f"fewer than {needed} good nodes: {QUALITY_WORDS[code]}" for code in Quality),
    ]
    worst = np.zeros(len(enough), dtype=np.intp)
    worst[~enough] = 4 + _most_frequent_fault(timeline.codes[~enough])
    kinds = (timeline.in_gap, ~enough, timeline.to_end < look_ahead, ~read_out)
    return np.select(kinds, (1, worst, 2, 3), default=0), reasons


def _most_frequent_fault(codes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the code other than GOOD that most nodes have, shape (T,); the first node's counts where they tie."""
    faults = [code for code in Quality if code != Quality.GOOD]
    found = codes[..., None] == np.array(faults, dtype=np.uint8)  # (T, N, faults)
    first = np.where(found.any(axis=1), found.argmax(axis=1), codes.shape[1])
    rank = found.sum(axis=1) * (codes.shape[1] + 1) - first
    return np.asarray(np.array(faults, dtype=np.intp)[rank.argmax(axis=1)])


def _unscored_spans(timeline: Timeline, kinds: NDArray[np.intp], reasons: Sequence[str]) -> tuple[Span, ...]:
    """Join neighbouring seconds with the same reason; what follows the last whole second is reported too."""
    spans: list[Span] = []
    seconds, duration = timeline.time, timeline.duration
    new = (np.diff(kinds) != 0) | (np.diff(seconds) >= 2.0)  # a lost part of a second does not separate neighbours
    edges = np.flatnonzero(np.concatenate([[True], new, [True]]))
    for first, after in pairwise(edges.tolist()):
        if kinds[first]:
            start, stop = float(seconds[first]) - 0.5, min(float(seconds[after - 1]) + 0.5, duration)
            spans.append(Span(start, stop, reasons[kinds[first]]))
    end = float(seconds[-1]) + 0.5
    if duration - end > 1e-3:
        spans.append(Span(end, duration, "less than a whole second"))
    if timeline.missing > 0:
        spans.append(Span(duration, duration + timeline.missing, "cut off: missing from the file"))
    return tuple(spans)


def count_bad(codes: NDArray[np.uint8], nodes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the seconds that each node was left out of, by reason in words; nodes that were always good are absent."""
    counts: dict[str, dict[str, int]] = {}
    for column, node in enumerate(nodes):
        found = {QUALITY_WORDS[code]: int(np.count_nonzero(codes[:, column] == code)) for code in Quality if code}
        if any(found.values()):
            counts[node] = {word: count for word, count in found.items() if count}
    return counts


def band_limit(spectrum: Float32Array) -> int | None:
    """Recognise a low-passed recording from its log10 spectra (T, 101); see `upper_band_limit`."""
    known = spectrum[np.isfinite(spectrum[:, 1])]
    if len(known) < 60:
        return None
    stride = max(1, len(known) // 2000)
    return upper_band_limit(10.0 ** np.median(known[::stride], axis=0).astype(np.float64))
