"""Second-by-second results of a recording on its own clock, and their calibration; knows neither torch nor files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from restcli.events import Scores, Span
from restcli.nn.weights import Calibration, Weights
from restcli.signal.features import REFERENCE_RMS, SPECTRUM_BINS
from restcli.signal.quality import QUALITY_WORDS, Quality, upper_band_limit
from restcli.signal.sequences import running_mean

Float32Array = NDArray[np.float32]

INTERVAL = (5.0, 95.0)
"""Percentiles over masked passes that an interval lies between."""

_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Piece:
    """What was computed for one segment, one row a whole second.

    Parameters
    ----------
    start : float
        Seconds from the start of the recording.
    codes : ndarray, shape (T, N)
        `Quality` of each node.
    rms : ndarray, shape (T, N)
        µV.
    spectrum : ndarray, shape (T, 101)
        Mean log10 power over good nodes.
    logits : ndarray, shape (T, N)
        Logit of each node for each second judged; NaN where none was asked for or a node was away.
    passes : ndarray, shape (T, K), or None
        Whole logit of each masked pass.
    types : ndarray, shape (T, C), or None
        Probability of each type.
    """

    start: float
    codes: NDArray[np.uint8]
    rms: Float32Array
    spectrum: Float32Array
    logits: Float32Array
    asked: NDArray[np.bool_]
    passes: Float32Array | None = None
    types: Float32Array | None = None


@dataclass(frozen=True, eq=False)
class Track:
    """All pieces on the recording's clock, with rows for the gaps between them; shapes as in `Piece`."""

    time: NDArray[np.float64]
    codes: NDArray[np.uint8]
    rms: Float32Array
    spectrum: Float32Array
    logits: Float32Array
    asked: NDArray[np.bool_]
    in_gap: NDArray[np.bool_]
    to_end: NDArray[np.int64]
    passes: Float32Array | None
    types: Float32Array | None

    def amplitude(self) -> Float32Array:
        """Median RMS over the good nodes, µV, shape (T,); NaN where no node was good."""
        values = np.where(self.codes == Quality.GOOD, self.rms, np.nan)
        return _nan_median(values)

    def whole(self) -> Float32Array:
        """Mean logit over the nodes read out, shape (T,); NaN where there was none."""
        known = np.isfinite(self.logits)
        total = np.where(known, self.logits, 0.0).sum(axis=1)
        count = known.sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def to_scores(track: Track, weights: Weights, *, needed: int, step: int, duration: float) -> Scores:
    """Calibrate logits, say what was not scored and why, and keep the seconds asked for.

    Parameters
    ----------
    track : Track
        Every second of the recording.
    weights : Weights
        Calibration, look-ahead, names.
    needed : int
        Good nodes that a second must have.
    step : int
        Seconds between scores.
    duration : float
        Seconds of the whole recording.

    Returns
    -------
    Scores
    """
    enough = (track.codes == Quality.GOOD).sum(axis=1) >= needed
    kinds, reasons = _reasons(track, enough, weights.look_ahead, needed)
    usable = kinds == 0
    extra = relative_amplitude(track.amplitude(), enough, weights.calibration)
    keep, used = track.asked, (usable & track.asked)

    def probability(logits: Float32Array) -> Float32Array:
        column = (slice(None),) + (None,) * (logits.ndim - 1)
        return calibrate(np.where(used[column], logits, np.nan), extra[column], weights.calibration)[keep]

    interval = None
    if track.passes is not None:
        interval = np.full((int(keep.sum()), 2), np.nan)
        around = probability(spread_around(track.passes, track.whole()))[used[keep]]
        interval[used[keep]] = np.percentile(around, INTERVAL, axis=1).T
    return Scores(
        time=track.time[keep],
        probability=probability(track.whole()),
        by_node=probability(np.where(track.codes == Quality.GOOD, track.logits, np.nan)),
        nodes=weights.nodes,
        window=float(weights.window),
        step=float(step),
        duration=duration,
        unscored=_unscored_spans(track.time, kinds, reasons, duration=duration),
        interval=interval,
        types=weights.types,
        by_type=None if track.types is None else np.where(used[:, None], track.types, np.nan)[keep],
    )


def spread_around(passes: Float32Array, whole: Float32Array) -> Float32Array:
    """Lay the spread of masked passes, (T, K), around the full update, (T,), which is no mean of masked ones."""
    return np.asarray(passes - np.median(passes, axis=1, keepdims=True) + whole[:, None], dtype=np.float32)


def _nan_median(values: Float32Array) -> Float32Array:
    """Median along the last axis ignoring NaN, NaN where all are; numpy's own warns and is slow for many rows."""
    ordered = np.sort(values, axis=-1)  # NaN last
    count = np.isfinite(values).sum(axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    rows = np.arange(len(values))
    middle = (ordered[rows, low] + ordered[rows, np.minimum(high, values.shape[-1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan).astype(np.float32)


def join_pieces(pieces: Sequence[Piece], duration: float, *, n_nodes: int, n_passes: int) -> Track:
    """Lay the pieces on the recording's clock; gaps become rows that hold nothing."""
    rows: list[Piece] = []
    times, in_gap, to_end = [], [], []
    cursor = 0.0
    for piece in [*pieces, None]:
        start = duration if piece is None else piece.start
        n_gap = int(np.floor(start - cursor + 1e-6)) if start - cursor >= 1.0 else 0
        if n_gap:
            rows.append(_empty_piece(n_gap, n_nodes, n_passes, pieces))
            times.append(cursor + np.arange(n_gap) + 0.5)
            in_gap.append(np.ones(n_gap, dtype=bool))
            to_end.append(np.zeros(n_gap, dtype=np.int64))
        if piece is not None:
            n_seconds = len(piece.codes)
            rows.append(piece)
            times.append(piece.start + np.arange(n_seconds) + 0.5)
            in_gap.append(np.zeros(n_seconds, dtype=bool))
            to_end.append(np.arange(n_seconds, 0, -1) - 1)
            cursor = piece.start + n_seconds
    return Track(
        time=np.concatenate(times),
        codes=_joined([row.codes for row in rows]),
        rms=_joined([row.rms for row in rows]),
        spectrum=_joined([row.spectrum for row in rows]),
        logits=_joined([row.logits for row in rows]),
        asked=_joined([row.asked for row in rows]),
        in_gap=_joined(in_gap),
        to_end=_joined(to_end),
        passes=None if n_passes == 0 else _joined([row.passes for row in rows if row.passes is not None]),
        types=_join_types(rows),
    )


def _joined(tables: Sequence[NDArray[_Number]]) -> NDArray[_Number]:
    """Lay tables end to end; a single one, the usual case, is not copied: a day's spectra fill 35 MB."""
    return tables[0] if len(tables) == 1 else np.concatenate(tables)


def _join_types(rows: Sequence[Piece]) -> Float32Array | None:
    tables = [row.types for row in rows if row.types is not None]
    return _joined(tables) if len(tables) == len(rows) and rows else None


def _empty_piece(n_seconds: int, n_nodes: int, n_passes: int, pieces: Sequence[Piece]) -> Piece:
    types = next((piece.types for piece in pieces if piece.types is not None), None)
    nothing = np.full((n_seconds, n_nodes), np.nan, dtype=np.float32)
    return Piece(
        start=0.0,
        codes=np.full((n_seconds, n_nodes), Quality.MISSING, dtype=np.uint8),
        rms=nothing,
        spectrum=np.full((n_seconds, SPECTRUM_BINS), np.nan, dtype=np.float32),
        logits=nothing,
        asked=np.ones(n_seconds, dtype=bool),
        passes=np.full((n_seconds, n_passes), np.nan, dtype=np.float32) if n_passes else None,
        types=None if types is None else np.full((n_seconds, types.shape[1]), np.nan, dtype=np.float32),
    )


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
    track: Track, enough: NDArray[np.bool_], look_ahead: int, needed: int
) -> tuple[NDArray[np.intp], list[str]]:
    """For each second why it was not scored: an index into a list of reasons, whose first is empty for scored ones."""
    read_out = np.concatenate([enough[look_ahead:], np.zeros(min(look_ahead, len(enough)), dtype=bool)])
    words = [QUALITY_WORDS[code] for code in Quality]
    reasons = [
        "",
        "no signal: a gap in the recording",
        f"past the end: the network looks {look_ahead} s ahead",
        f"unusable {look_ahead} s ahead, where the network looks",
        *(f"fewer than {needed} good nodes: {word}" for word in words),
    ]
    worst = np.zeros(len(enough), dtype=np.intp)
    worst[~enough] = 4 + _most_frequent_fault(track.codes[~enough])
    kinds = (track.in_gap, ~enough, track.to_end < look_ahead, ~read_out)
    return np.select(kinds, (1, worst, 2, 3), default=0), reasons


def _most_frequent_fault(codes: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the code other than GOOD that most nodes have, shape (T,); the first node's counts where they tie."""
    faults = [code for code in Quality if code != Quality.GOOD]
    found = codes[..., None] == np.array(faults, dtype=np.uint8)  # (T, N, faults)
    first = np.where(found.any(axis=1), found.argmax(axis=1), codes.shape[1])
    rank = found.sum(axis=1) * (codes.shape[1] + 1) - first
    return np.asarray(np.array(faults, dtype=np.intp)[rank.argmax(axis=1)])


def _unscored_spans(
    seconds: NDArray[np.float64], kinds: NDArray[np.intp], reasons: Sequence[str], *, duration: float
) -> tuple[Span, ...]:
    """Join neighbouring seconds with the same reason; what follows the last whole second is named too."""
    spans: list[Span] = []
    new = (np.diff(kinds) != 0) | (np.diff(seconds) >= 2.0)  # a lost part of a second does not part neighbours
    edges = np.flatnonzero(np.concatenate([[True], new, [True]])) if len(seconds) else np.zeros(0, dtype=np.intp)
    for first, after in pairwise(edges.tolist()):
        if kinds[first]:
            start, stop = float(seconds[first]) - 0.5, min(float(seconds[after - 1]) + 0.5, duration)
            spans.append(Span(start, stop, reasons[kinds[first]]))
    end = float(seconds[-1]) + 0.5 if len(seconds) else 0.0
    if duration - end > 1e-3:
        spans.append(Span(end, duration, "less than a whole second"))
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
