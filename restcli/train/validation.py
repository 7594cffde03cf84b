"""Where a trained network operates: scores of examples, calibration, the rule for events; knows no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restcli.detect.timeline import INTERVAL, calibrate, relative_amplitude, spread_around
from restcli.evaluation import measures as scoring
from restcli.evaluation.measures import nan_mean
from restcli.events import EventRule, Scores, smooth_scores, to_events
from restcli.nn.baselines import BandPowerBaseline, amplitude_baseline, band_powers, fit_band_power
from restcli.nn.rest import Rest
from restcli.nn.weights import Calibration
from restcli.nn.windows import Inputs, Windows, run_windows
from restcli.signal.features import FeatureConfig, log_features, rms
from restcli.train.store import BACKGROUND, SEIZURE, SFREQ, UNKNOWN, Example, Examples

Float32Array = NDArray[np.float32]

_WINDOWS_AT_ONCE = 512
_DAY = 86_400.0
# Tolerances of SzCORE's event scoring: an alarm this near a seizure is not false.
_BEFORE, _AFTER = 30.0, 60.0


@dataclass(frozen=True, eq=False)
class Trace:
    """What a network says about one stretch, second by second.

    Parameters
    ----------
    logit : ndarray, shape (T,)
        Mean over the good nodes, at the second judged; NaN where there is none.
    amplitude : ndarray, shape (T,)
        Median RMS over the good nodes, µV; NaN where no node is good.
    types : ndarray, shape (T, C), or None
        Probability of each type.
    labels : ndarray of int8, shape (T,)
        UNKNOWN, BACKGROUND, SEIZURE or a type.
    bands : ndarray, shape (T, 10)
        From `restcli.nn.baselines.band_powers`; NaN where no node is good.
    passes : ndarray, shape (T, K), or None
        As `logit`, of each masked pass.
    """

    logit: Float32Array
    amplitude: Float32Array
    types: Float32Array | None
    labels: NDArray[np.int8]
    bands: NDArray[np.float64]
    passes: Float32Array | None = None


@dataclass(frozen=True)
class Reading:
    """How a network reads a recording: what its weights file says.

    Parameters
    ----------
    features : FeatureConfig
        Inputs.
    window, look_ahead : int
        Seconds.
    min_nodes : int
        Fewer good nodes, no score.
    """

    features: FeatureConfig
    window: int = 14
    look_ahead: int = 3
    min_nodes: int = 8


@torch.no_grad()
def trace_examples(
    network: Rest, examples: Examples, adjacency: Tensor, reading: Reading, *, n_passes: int = 0
) -> tuple[Trace, ...]:
    """Read every stretch as a detector would: windows that end at each second, without the mask.

    Parameters
    ----------
    network : Rest
        In evaluation mode.
    examples : Examples
        The stretches.
    adjacency : Tensor, shape (N, N)
        Graph weights.
    reading : Reading
        Inputs and windows.
    n_passes : int
        Masked passes beside, with seeds of their own.

    Returns
    -------
    tuple of Trace
    """
    return tuple(_trace(network, examples, example, (adjacency, reading), n_passes) for example in examples.items)


def _trace(network: Rest, examples: Examples, example: Example, how: tuple[Tensor, Reading], n_passes: int) -> Trace:
    reading = how[1]
    rows = slice(example.start, example.start + example.seconds)
    logs, projected, here = project(network, examples, example, how)
    present = examples.present[rows].astype(np.float32)
    usable = present.sum(axis=1) >= reading.min_nodes
    logit, types = _read_out(network, projected, here, how)
    passes = [
        _judged(_read_out(network, projected, here, how, gate)[0], usable, reading.look_ahead)
        for gate in _gates(network, projected, n_passes)
    ]
    return Trace(
        logit=_judged(logit, usable, reading.look_ahead),
        amplitude=median_amplitude(logs, present, reading.features),
        types=None if types is None else _shifted(types, reading.look_ahead),
        labels=np.where(usable, examples.labels[rows], UNKNOWN).astype(np.int8),
        bands=stretch_bands(examples, example),
        passes=np.stack(passes, axis=1) if passes else None,
    )


def project(
    network: Rest, examples: Examples, example: Example, how: tuple[Tensor, Reading]
) -> tuple[Float32Array, Tensor, Tensor]:
    """Give a network one stretch.

    Parameters
    ----------
    network : Rest
        Its first map is used.
    examples, example : Examples, Example
        The store, and a stretch of T seconds in it.
    how : (Tensor, Reading)
        Graph weights, whose device is used, and inputs.

    Returns
    -------
    logs : ndarray, shape (T, N, n_bins)
        Log spectra up to the highest bin used.
    projected : Tensor, shape (N, T, H)
        ``l1 x``.
    here : Tensor, shape (T, N)
        1 where a node is good.
    """
    adjacency, reading = how
    rows = slice(example.start, example.start + example.seconds)
    logs = np.asarray(examples.spectra[rows, :, : reading.features.range[1] + 1], dtype=np.float32)
    x = torch.from_numpy(log_features(logs, reading.features)).to(adjacency.device)
    here = torch.from_numpy(examples.present[rows].astype(np.float32)).to(adjacency.device)
    return logs, network.l1(x * here[..., None]).transpose(0, 1).contiguous(), here


def _gates(network: Rest, projected: Tensor, n_passes: int) -> Iterator[Tensor]:
    """Yield the masks of masked passes, (N, T), which depend on the number of the pass alone."""
    n_nodes, n_seconds, _ = projected.shape
    rate = network.config.fire_rate
    for k in range(n_passes):
        drawn = np.random.default_rng(k).random((n_nodes, n_seconds), dtype=np.float32) <= rate
        yield torch.from_numpy((drawn / rate).astype(np.float32)).to(projected.device)


def _read_out(
    network: Rest, projected: Tensor, here: Tensor, how: tuple[Tensor, Reading], gate: Tensor | None = None
) -> tuple[Float32Array, Float32Array | None]:
    """Return the mean logit, (T,), and the probability of each type, (T, C), at the second read out."""
    adjacency, reading = how
    logits, types = [], []
    n_seconds = projected.shape[1]
    for begin in range(0, n_seconds, _WINDOWS_AT_ONCE):
        last = range(begin, min(begin + _WINDOWS_AT_ONCE, n_seconds))
        state = run_windows(network, Inputs(projected, here.T, gate), adjacency, Windows(last, reading.window))
        part = here[last.start : last.stop]
        weight = part / part.sum(dim=1, keepdim=True).clamp(min=1)  # (B, N)
        logits.append((network.fc(state)[..., 0].T * weight).sum(dim=1))
        if network.fc_type is not None:
            mean = (network.fc_type(state).transpose(0, 1) * weight[..., None]).sum(dim=1)
            types.append(torch.softmax(mean, dim=-1))
    return torch.cat(logits).cpu().numpy(), torch.cat(types).cpu().numpy() if types else None


def _shifted(values: Float32Array, ahead: int) -> Float32Array:
    """Move readouts to the seconds that they judge; the last ones have none."""
    moved = np.full_like(values, np.nan)
    moved[: max(0, len(values) - ahead)] = values[ahead:]
    return moved


def _judged(logit: Float32Array, usable: NDArray[np.bool_], ahead: int) -> Float32Array:
    moved = _shifted(np.where(usable, logit, np.nan).astype(np.float32), ahead)
    return np.where(usable, moved, np.nan).astype(np.float32)


def median_amplitude(logs: Float32Array, present: Float32Array, features: FeatureConfig) -> Float32Array:
    """Median RMS over the good nodes, µV, shape (T,); NaN where no node is good."""
    amplitude = np.where(present > 0, rms(np.exp(logs), features), np.nan)
    result = np.full(len(logs), np.nan, dtype=np.float32)
    known = (present > 0).any(axis=1)
    result[known] = np.nanmedian(amplitude[known], axis=1)
    return result


def stretch_bands(examples: Examples, example: Example) -> NDArray[np.float64]:
    """Return the band powers of one stretch as a detector sees them, shape (T, 10); NaN where no node is good."""
    rows = slice(example.start, example.start + example.seconds)
    present = examples.present[rows].astype(np.float32)
    logs = np.asarray(examples.spectra[rows], dtype=np.float32)  # natural logarithm of |rFFT|, 0 where a node is away
    count = present.sum(axis=1, keepdims=True)
    mean = np.where(count > 0, (logs * present[..., None]).sum(axis=1) / np.maximum(count, 1), np.nan)
    return band_powers(2 * (mean - np.log(SFREQ / 2)) / np.log(10))


def fit_floor(examples: Examples) -> BandPowerBaseline:
    """Fit the plain regression on the training side.

    Parameters
    ----------
    examples : Examples
        With seizure and background.

    Returns
    -------
    BandPowerBaseline
    """
    features = np.concatenate([stretch_bands(examples, example) for example in examples.items])
    labels = np.concatenate([examples.labels_of(example) for example in examples.items])
    known = labels != UNKNOWN
    return fit_band_power(features[known], labels[known] >= SEIZURE)


def probabilities(traces: Sequence[Trace], calibration: Calibration) -> list[Float32Array]:
    """Return the calibrated probability of each second of each trace."""
    found = []
    for trace in traces:
        enough = np.isfinite(trace.amplitude)
        extra = relative_amplitude(trace.amplitude, enough, calibration)
        found.append(calibrate(trace.logit, extra, calibration))
    return found


def fit_calibration(traces: Sequence[Trace], start: Calibration) -> Calibration:
    """Fit scale and bias so that probabilities mean what they say on these traces.

    Parameters
    ----------
    traces : sequence of Trace
        Of validation examples.
    start : Calibration
        Its amplitude weight and prior are kept.

    Returns
    -------
    Calibration

    Notes
    -----
    Logistic regression on one variable by Newton's method. Seizures are far more common in training data than in a
    ward: a calibrated probability speaks of data like these.
    """
    values, targets = _stack(traces, start)
    scale, bias = 1.0, 0.0
    for _ in range(50):
        p = 1.0 / (1.0 + np.exp(-np.clip(scale * values + bias, -30, 30)))
        weight = p * (1 - p) + 1e-9
        gradient = np.array([((p - targets) * values).sum(), (p - targets).sum()])
        cross = (weight * values).sum()
        hessian = np.array([[(weight * values**2).sum() + 1e-6, cross], [cross, weight.sum() + 1e-6]])
        step = np.clip(np.linalg.solve(hessian, gradient), -2.0, 2.0)
        scale, bias = scale - step[0], bias - step[1]
        if np.abs(step).max() < 1e-9:
            break
    return replace(start, scale=float(max(scale, 1e-3)), bias=float(bias))


def _stack(traces: Sequence[Trace], calibration: Calibration) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Uncalibrated logits (fused with amplitude) and targets of all known seconds."""
    values, targets = [], []
    for trace in traces:
        extra = relative_amplitude(trace.amplitude, np.isfinite(trace.amplitude), calibration)
        known = np.isfinite(trace.logit) & (trace.labels != UNKNOWN)
        values.append((trace.logit + calibration.amplitude * extra)[known])
        targets.append(trace.labels[known] >= SEIZURE)
    return np.concatenate(values).astype(np.float64), np.concatenate(targets).astype(np.float64)


@dataclass(frozen=True)
class EventCounts:
    """Events found against events marked, counted over recordings.

    Parameters
    ----------
    n_seizures, n_found : int
        Marked seizures, and those that some event overlaps.
    n_false : int
        Events farther than 30 s before and 60 s after any marked seizure.
    background_seconds : float
        Scored seconds outside seizures.
    """

    n_seizures: int
    n_found: int
    n_false: int
    background_seconds: float

    @property
    def sensitivity(self) -> float:
        """Fraction of seizures found; NaN without any."""
        return self.n_found / self.n_seizures if self.n_seizures else float("nan")

    @property
    def false_alarms_per_day(self) -> float:
        """False events a day of background; NaN without any."""
        return self.n_false * _DAY / self.background_seconds if self.background_seconds else float("nan")


def count_events(traces: Sequence[Trace], found: Sequence[Float32Array], rule: EventRule) -> EventCounts:
    """Apply the rule and count seizures found and false alarms."""
    counts = np.zeros(3, dtype=np.int64)
    quiet = 0.0
    for trace, probability in zip(traces, found, strict=True):
        events = to_events(as_scores(probability), rule)
        spans = list(runs(trace.labels >= SEIZURE))
        scored = np.isfinite(probability)
        spans_scored = [(a, b) for a, b in spans if scored[a:b].any()]
        counts[0] += len(spans_scored)
        counts[1] += sum(any(e.onset < b and e.stop > a for e in events) for a, b in spans_scored)
        counts[2] += sum(
            not any(e.onset < b + _AFTER and e.stop > a - _BEFORE for a, b in spans)
            and not (trace.labels[int(e.onset) : int(e.stop)] == UNKNOWN).any()
            for e in events
        )
        quiet += float((scored & (trace.labels == BACKGROUND)).sum())
    return EventCounts(int(counts[0]), int(counts[1]), int(counts[2]), quiet)


def runs(mask: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of a mask that are true, as (first, one past the last)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from ((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))


def as_scores(probability: Float32Array) -> Scores:
    """Give a row of probabilities, one a second, the clock that the rule for events needs."""
    n_seconds = len(probability)
    return Scores(
        time=np.arange(n_seconds) + 0.5,
        probability=probability,
        by_node=np.zeros((n_seconds, 0), dtype=np.float32),
        nodes=(),
        window=1.0,
        step=1.0,
        duration=float(n_seconds),
    )


def choose_rule(traces: Sequence[Trace], found: Sequence[Float32Array], per_day: float, base: EventRule) -> EventRule:
    """Choose the lowest threshold that keeps to a number of false alarms a day.

    Parameters
    ----------
    traces : sequence of Trace
        Of validation examples.
    found : sequence of ndarray
        Their probabilities.
    per_day : float
        At most this many false alarms a day of background.
    base : EventRule
        Its durations and smoothing are kept; the release is one unit of logit below the threshold.

    Returns
    -------
    EventRule
        With the highest threshold tried when none is strict enough; read off what it reaches with `count_events`.
    """
    peaks = np.concatenate([smooth_scores(p, max(1, round(base.smooth))) for p in found])
    known = peaks[np.isfinite(peaks)]
    grid = np.unique(np.clip(np.round(np.quantile(known, np.linspace(0.5, 0.9995, 60)), 4), 0.02, 0.999))
    rule = base
    for threshold in grid:
        rule = with_threshold(base, float(threshold))
        if count_events(traces, found, rule).false_alarms_per_day <= per_day:
            return rule
    return rule


def with_threshold(base: EventRule, threshold: float) -> EventRule:
    """Return the rule with another threshold and a release one unit of logit below it."""
    logit = np.log(threshold / (1 - threshold)) - 1.0
    return replace(base, threshold=round(threshold, 4), release=round(float(1 / (1 + np.exp(-logit))), 4))


def auroc(score: NDArray[Any], target: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve (ties count half); NaN when a class is absent.

    Examples
    --------
    >>> auroc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    n_positive, n = int(target.sum()), len(target)
    if n_positive in (0, n):
        return float("nan")
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2
    total = float(rank[index][target].sum())
    return (total - n_positive * (n_positive + 1) / 2) / (n_positive * (n - n_positive))


def measure(
    traces: Sequence[Trace], found: Sequence[Float32Array], rule: EventRule, *, floor: BandPowerBaseline
) -> dict[str, Any]:
    """Measure probabilities and events on traces; every ratio with its counts.

    Parameters
    ----------
    traces : sequence of Trace
        With labels.
    found : sequence of ndarray
        Probabilities.
    rule : EventRule
        For the events.
    floor : BandPowerBaseline
        Fitted on training examples.

    Returns
    -------
    dict
        Per-second AUROC of the network and of both floors (over the same seconds), Brier score, counts.
    """
    score, labels = np.concatenate(found), np.concatenate([trace.labels for trace in traces])
    amplitude = np.concatenate([amplitude_baseline(trace.amplitude[:, None]) for trace in traces])
    bands = np.concatenate([floor.predict(trace.bands) for trace in traces])
    known = np.isfinite(score) & (labels != UNKNOWN) & np.isfinite(amplitude) & np.isfinite(bands)
    target = labels[known] >= SEIZURE
    counts = count_events(traces, found, rule)
    return {
        "seconds": int(known.sum()),
        "ictal_seconds": int(target.sum()),
        "auroc_seconds": auroc(score[known], target),
        "auroc_amplitude_floor": auroc(amplitude[known], target),
        "auroc_band_power_floor": auroc(bands[known], target),
        "brier": float(np.mean((score[known] - target) ** 2)),
        "seizures": counts.n_seizures,
        "seizures_found": counts.n_found,
        "sensitivity": counts.sensitivity,
        "false_alarms": counts.n_false,
        "background_hours": counts.background_seconds / 3600,
        "false_alarms_per_day": counts.false_alarms_per_day,
    }


def confusion_of_types(traces: Sequence[Trace], n_types: int) -> NDArray[np.int64]:
    """Count seizures of known type by the type read out over them, shape (C, C): row true, column found."""
    table = np.zeros((n_types, n_types), dtype=np.int64)
    for trace in traces:
        if trace.types is None:
            continue
        for first, last in runs(trace.labels > SEIZURE):
            true = int(np.bincount(trace.labels[first:last]).argmax()) - SEIZURE - 1
            part = trace.types[first:last]
            part = part[np.isfinite(part).all(axis=1)]
            if len(part):
                table[true, int(part.mean(axis=0).argmax())] += 1
    return table


def reliability(traces: Sequence[Trace], found: Sequence[Float32Array]) -> list[dict[str, float]]:
    """Compare probabilities with how often they were right, in equal bins of probability; empty ones are left out."""
    labels = np.concatenate([trace.labels for trace in traces])
    score = np.where(labels != UNKNOWN, np.concatenate(found), np.nan)
    bins = scoring.reliability(score, labels >= SEIZURE)
    columns = (bins.predicted.tolist(), bins.observed.tolist(), bins.counts.tolist())
    return [{"probability": p, "ictal": ictal, "n": n} for p, ictal, n in zip(*columns, strict=True) if n]


def measure_intervals(
    traces: Sequence[Trace], found: Sequence[Float32Array], calibration: Calibration, rule: EventRule
) -> dict[str, float]:
    """Tell what the interval over masked passes is worth: whether it straddles the threshold where the network errs.

    Parameters
    ----------
    traces : sequence of Trace
        With masked passes.
    found : sequence of ndarray
        Probabilities of the full update.
    calibration : Calibration
        Of these.
    rule : EventRule
        Its threshold parts right from wrong.

    Returns
    -------
    dict
        Seconds, their mean width, the fraction whose interval holds the threshold, and the fraction of these and of the
        other seconds that lie on the wrong side of it.
    """
    widths, unsure, wrong = [], [], []
    for trace, probability in zip(traces, found, strict=True):
        assert trace.passes is not None  # the caller asked for them; this tells the type checker
        extra = relative_amplitude(trace.amplitude, np.isfinite(trace.amplitude), calibration)
        known = np.isfinite(probability) & (trace.labels != UNKNOWN)
        around = calibrate(spread_around(trace.passes, trace.logit), extra[:, None], calibration)[known]
        low, high = np.percentile(around, INTERVAL, axis=1) if known.any() else np.zeros((2, 0))
        widths.append(high - low)
        unsure.append((low < rule.threshold) & (high >= rule.threshold))
        wrong.append((probability[known] >= rule.threshold) != (trace.labels[known] >= SEIZURE))
    width, straddles, errs = (np.concatenate(parts) for parts in (widths, unsure, wrong))
    return {
        "passes": 0 if traces[0].passes is None else traces[0].passes.shape[1],
        "seconds": len(width),
        "mean_width": float(width.mean()),
        "straddling": float(straddles.mean()),
        "wrong_where_straddling": nan_mean(errs[straddles].astype(float)),
        "wrong_elsewhere": nan_mean(errs[~straddles].astype(float)),
    }
