"""Second-by-second results of a recording on its own clock, and their calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restcli.detect.rule import logistic
from restcli.events import Scores, Span
from restcli.io.recording import CUT_OFF, Recording
from restcli.nn.network import mean_over_nodes
from restcli.nn.weights import Calibration, Weights
from restcli.signal.features import SPECTRUM_BINS
from restcli.signal.open_inputs import spread_back
from restcli.signal.quality import QUALITY_WORDS, Quality, upper_band_limit

Float32Array = NDArray[np.float32]

INTERVAL = (5.0, 95.0)
"""Percentiles over masked passes that an interval lies between."""

GAP = "no signal: a gap in the recording"
PART = "less than a whole second"


@dataclass(frozen=True, eq=False)
class Timeline:
    """What is computed for each whole second of a recording, one row each; gaps have rows that hold nothing.

    All arrays are made once for the whole recording: lists of small arrays kept between large temporary ones would
    leave the memory of a long recording full of holes.
    """

    time: NDArray[np.float64]  # (T,), centres of the seconds, from the start of the recording
    in_gap: NDArray[np.bool_]  # (T,)
    second: NDArray[np.int64]  # (T,), whole seconds before it in its segment or gap
    to_end: NDArray[np.int64]  # (T,), whole seconds after it in its segment; 0 in a gap
    codes: NDArray[np.uint8]  # (T, N), `Quality` of each node
    rms: Float32Array  # (T, N), µV
    spectrum: Float32Array  # (T, 101), mean log10 power over good nodes
    present: NDArray[np.bool_]  # (T, N), whether a node took part in the network's update
    logits: Float32Array  # (T, N), NaN where the second or the node was not scored
    passes: Float32Array  # (T, K), mean logit of each masked pass
    types: Float32Array  # (T, C), probability of each type
    duration: float  # seconds
    missing: float  # seconds that the header announces after `duration`

    @classmethod
    def of(cls, recording: Recording, weights: Weights, n_passes: int) -> Timeline:
        """Lay out the seconds of a recording; nothing is known of them yet."""
        starts, lengths, gaps = zip(*_stretches(recording), strict=True)
        second = np.concatenate([np.arange(n_seconds) for n_seconds in lengths])
        in_gap = np.repeat(gaps, lengths)
        n_rows, n_nodes = len(second), len(weights.nodes)

        def unknown(*shape: int) -> Float32Array:
            return np.full((n_rows, *shape), np.nan, dtype=np.float32)

        return cls(
            time=np.repeat(starts, lengths) + second + 0.5,
            in_gap=in_gap,
            second=second,
            to_end=np.where(in_gap, 0, np.repeat(lengths, lengths) - 1 - second),
            codes=np.full((n_rows, n_nodes), Quality.MISSING, dtype=np.uint8),
            rms=unknown(n_nodes),
            spectrum=unknown(SPECTRUM_BINS),
            present=np.zeros((n_rows, n_nodes), dtype=bool),
            logits=unknown(n_nodes),
            passes=unknown(n_passes),
            types=unknown(len(weights.types)),
            duration=recording.duration,
            missing=recording.missing,
        )

    def segments(self) -> Iterator[slice]:
        """Yield the rows of each segment."""
        for start in np.flatnonzero((self.second == 0) & ~self.in_gap).tolist():
            yield slice(start, start + int(self.to_end[start]) + 1)

    def leave_out_open_inputs(self, look_ahead: int) -> None:
        """Mark nodes that held no EEG, as far as the readout could know, and drop their scores."""
        codes = final_codes(self.codes, self.present, look_ahead)
        self.logits[codes != self.codes] = np.nan
        self.codes[:] = codes
        self.spectrum[~(self.codes == Quality.GOOD).any(axis=1)] = np.nan

    def amplitude(self) -> Float32Array:
        """Median RMS over the good nodes, µV, shape (T,); NaN where no node was good."""
        return nan_median(np.where(self.codes == Quality.GOOD, self.rms, np.nan))

    def whole(self) -> Float32Array:
        """Mean logit over the nodes read out, shape (T,); NaN where there was none."""
        known = np.isfinite(self.logits)
        mean = mean_over_nodes(np.where(known, self.logits, 0.0), known, 1)
        return np.where(known.any(axis=1), mean, np.nan).astype(np.float32)


def final_codes(codes: NDArray[np.uint8], present: NDArray[np.bool_], look_ahead: int) -> NDArray[np.uint8]:
    """Return codes (T, N) that also mark nodes without EEG, as known from the seconds that the readout had seen."""
    good = codes == Quality.GOOD
    return np.where(spread_back(good & ~present, look_ahead) & good, np.uint8(Quality.NO_EEG), codes)


def _stretches(recording: Recording) -> Iterator[tuple[float, int, bool]]:
    """Yield start, whole seconds and whether it is a gap, of segments and gaps of a second or more."""
    cursor = 0.0
    for segment in recording.segments:
        n_seconds = int(np.floor(segment.stop - segment.start + 1e-6))
        if n_seconds:
            yield from _gap(cursor, segment.start)
            yield segment.start, n_seconds, False
            cursor = segment.start + n_seconds
    yield from _gap(cursor, recording.duration)


def _gap(start: float, stop: float) -> Iterator[tuple[float, int, bool]]:
    if stop - start >= 1.0:
        yield start, int(np.floor(stop - start + 1e-6)), True


def to_scores(timeline: Timeline, weights: Weights, *, needed: int, step: int) -> Scores:
    """Calibrate logits, find what was not scored and why, and keep the seconds asked for.

    `needed` is the number of good nodes that a second must have, `step` the number of seconds between scores.
    """
    enough = (timeline.codes == Quality.GOOD).sum(axis=1) >= needed
    present = timeline.present.sum(axis=1) >= needed
    kinds, reasons = _reasons(timeline, enough, present, weights.look_ahead, needed=needed)
    keep: NDArray[np.bool_] = timeline.in_gap | (timeline.second % step == 0)  # gaps keep every second
    used = (kinds == 0) & keep
    whole = timeline.whole()

    def probability(logits: Float32Array) -> Float32Array:
        column = (slice(None),) + (None,) * (logits.ndim - 1)
        return calibrate(np.where(used[column], logits, np.nan), weights.calibration)[keep]

    interval = None
    if timeline.passes.shape[1]:
        interval = np.full((int(keep.sum()), 2), np.nan)
        around = probability(spread_around(timeline.passes, whole))[used[keep]]
        interval[used[keep]] = np.percentile(around, INTERVAL, axis=1).T
    return Scores(
        time=timeline.time[keep],
        probability=probability(whole),
        by_node=probability(np.where(timeline.codes == Quality.GOOD, timeline.logits, np.nan)),
        nodes=weights.nodes,
        step=float(step),
        duration=timeline.duration,
        unscored=_unscored_spans(timeline, kinds, reasons),
        interval=interval,
        types=weights.types,
        by_type=np.where(used[:, None], timeline.types, np.nan)[keep] if weights.types else None,
    )


def spread_around(passes: Float32Array, whole: Float32Array) -> Float32Array:
    """Centre the spread of masked passes, (T, K), on the full update, (T,), which is not the mean of masked ones."""
    return np.asarray(passes - np.median(passes, axis=1, keepdims=True) + whole[:, None], dtype=np.float32)


def nan_median(values: Float32Array) -> Float32Array:
    """Median along the last axis ignoring NaN, NaN where all are; numpy's own warns and is slow for many rows."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    rows = np.arange(len(values))
    middle = (ordered[rows, low] + ordered[rows, np.minimum(high, values.shape[-1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan).astype(np.float32)


def calibrate(logit: Float32Array, calibration: Calibration) -> Float32Array:
    """Return probabilities; NaN stays NaN."""
    return np.asarray(logistic(calibration.scale * logit + calibration.bias), dtype=np.float32)


def _reasons(
    timeline: Timeline, enough: NDArray[np.bool_], present: NDArray[np.bool_], look_ahead: int, *, needed: int
) -> tuple[NDArray[np.intp], list[str]]:
    """Return why each second was not scored, as indices into a list of reasons; the first, empty, is "scored"."""
    read_out = np.concatenate([present[look_ahead:], np.zeros(min(look_ahead, len(present)), dtype=bool)])
    reasons = [
        "",
        GAP,
        past_end(look_ahead),
        unusable_ahead(look_ahead),
        *(few_nodes(needed, code) for code in Quality),
    ]
    worst = np.zeros(len(enough), dtype=np.intp)
    worst[~enough] = 4 + most_frequent_fault(timeline.codes[~enough])
    kinds = (timeline.in_gap, ~enough, timeline.to_end < look_ahead, ~read_out)
    return np.select(kinds, (1, worst, 2, 3), default=0), reasons


def past_end(look_ahead: int) -> str:
    """Say that the signal ends before the network has looked ahead."""
    return f"past the end: the network looks {look_ahead} s ahead"


def unusable_ahead(look_ahead: int) -> str:
    """Say that the network cannot look ahead."""
    return f"unusable {look_ahead} s ahead, where the network looks"


def few_nodes(needed: int, code: int) -> str:
    """Say that too few nodes are good, and what is wrong with most of the others."""
    return f"fewer than {needed} good nodes: {QUALITY_WORDS[Quality(code)]}"


def most_frequent_fault(codes: NDArray[np.uint8]) -> NDArray[np.intp]:
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
        spans.append(Span(end, duration, PART))
    if timeline.missing > 0:
        spans.append(Span(duration, duration + timeline.missing, CUT_OFF))
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
