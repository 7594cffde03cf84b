"""The strip of a whole recording under the page: probability, amplitude and spectrum, thinned out."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.detect.result import Trend
from restcli.detect.rule import smooth_scores
from restcli.events import FloatArray
from restcli.io.recording import Recording
from restcli.review.stored import StoredResult
from restcli.signal.features import SPECTRUM_BINS, FeatureConfig, magnitudes, mean_log_power, rms
from restcli.signal.montage import Montage

_MOST_POINTS, _BINS = 2000, 40
_USUAL_RATE = 200.0  # Hz, where seconds of the recording are no whole number of samples
_LOWEST, _HIGHEST = 2, 99.5  # percentiles of the power that the colours span


def sample_trend(recording: Recording, montage: Montage) -> Trend:
    """Return amplitude and spectrum of seconds evenly spread over a recording, all of them while it is short."""
    n_seconds = math.floor(recording.duration)
    n_places = min(n_seconds, _MOST_POINTS)
    places = ((np.arange(n_places) + 0.5) * (n_seconds / max(1, n_places))).astype(int)
    amplitude = np.full(len(places), np.nan, dtype=np.float32)
    spectrum = np.full((len(places), SPECTRUM_BINS), np.nan, dtype=np.float32)
    for row, (level, power) in enumerate(_seconds(recording, montage, places)):
        amplitude[row], spectrum[row] = level, power
    return Trend(places + 0.5, amplitude, spectrum)


def _seconds(
    recording: Recording, montage: Montage, places: NDArray[np.intp]
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """Yield the median RMS over the nodes, and their mean log power, of single seconds; NaN in gaps."""
    rates = {float(recording.source.rates[channel]) for channel in montage.channels}
    highest = max(rates, default=_USUAL_RATE)
    sfreq = highest if highest == int(highest) and highest >= 100 else _USUAL_RATE
    config = FeatureConfig(sfreq=sfreq)
    for second in places.tolist():
        data = recording.read(montage.channels, float(second), second + 1.0, sfreq=sfreq)
        signal = np.einsum("nc,ct->nt", montage.matrix, np.nan_to_num(data))
        lost = (montage.matrix != 0)[:, ~np.isfinite(data).all(axis=1)].any(axis=1)
        magnitude = magnitudes(np.asarray(signal, dtype=np.float32), sfreq)
        good = ~lost & (np.ptp(signal, axis=1) > 0)
        levels = rms(magnitude, config)[0, good]
        level = float(np.median(levels)) if levels.size else math.nan
        yield level, mean_log_power(magnitude, good[None, :], config)[0]


def strip_of(result: StoredResult, trend: Trend, *, blind: bool) -> dict[str, Any]:
    """Return the strip as the contract with the browser has it; null where nothing is known."""
    n_points = max(1, min(_MOST_POINTS, math.ceil(result.duration / result.scores.step)))
    edges = np.linspace(0.0, max(result.duration, 1e-3), n_points + 1)
    probability = None
    if not blind:
        smooth = smooth_scores(result.scores.probability, result.rule.width(result.scores.step))
        probability = _rounded(_highest(result.scores.time, smooth, edges), 4)
    rows = max(1, min(_MOST_POINTS, len(trend.time)))
    power = _means(trend.time, trend.spectrum[:, 1 : _BINS + 1], np.linspace(0.0, edges[-1], rows + 1))
    data = base64.b64encode(_as_bytes(power)).decode("ascii")
    return {
        "time": np.round((edges[:-1] + edges[1:]) / 2, 3).tolist(),
        "probability": probability,
        "amplitude": _rounded(_means(trend.time, trend.amplitude[:, None], edges)[:, 0], 2),
        "spectrum": {"rows": rows, "bins": _BINS, "low": 1, "high": _BINS, "data": data},
    }


def _columns(time: FloatArray, edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the column of each instant."""
    return np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(edges) - 2)


def _highest(time: FloatArray, values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.full(len(edges) - 1, np.nan)
    np.fmax.at(out, _columns(time, edges), values)
    return out


def _means(time: NDArray[np.float64], values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average (T, K) in each column, leaving out NaN; NaN where nothing is known."""
    place = _columns(time, edges)
    known = np.isfinite(values).all(axis=1)
    total = np.zeros((len(edges) - 1, values.shape[1]))
    count = np.zeros(len(edges) - 1)
    np.add.at(total, place[known], values[known])
    np.add.at(count, place[known], 1)
    return np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)


def _as_bytes(power: NDArray[np.float64]) -> bytes:
    """Turn log power into 1 to 255, the quietest and the loudest two in a hundred alike; 0 is unknown."""
    known = np.isfinite(power)
    if not known.any():
        return bytes(power.size)
    low, high = np.percentile(power[known], [_LOWEST, _HIGHEST])
    levels = 1 + 254 * np.clip((np.nan_to_num(power) - low) / max(high - low, 0.1), 0, 1)
    return np.where(known, np.rint(levels), 0).astype(np.uint8).tobytes()


def _rounded(values: NDArray[np.float64], digits: int) -> list[float | None]:
    return [None if value != value else round(value, digits) for value in values.tolist()]
