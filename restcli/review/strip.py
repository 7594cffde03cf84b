"""The strip of a whole recording under the page: probability, amplitude and spectrum, thinned out."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.detect.region import place_in_words
from restcli.detect.result import Trend
from restcli.detect.rule import evidence
from restcli.detect.timeline import nan_median
from restcli.events import Scores
from restcli.io.recording import Recording
from restcli.review.stored import StoredResult
from restcli.signal.columns import Columns
from restcli.signal.features import SPECTRUM_BINS, FeatureConfig, analysis_rate
from restcli.signal.montage import Montage
from restcli.signal.quality import Quality, summarise

_MOST_POINTS, _BINS = 2000, 40
_AT_ONCE = 30  # seconds read together
_LOWEST, _HIGHEST = 2, 99.5  # percentiles of the power that the colours span


def sample_trend(recording: Recording, montage: Montage, *, pause: Callable[[], None] = lambda: None) -> Trend:
    """Return amplitude and spectrum of seconds evenly spread over a recording, all of them while it is short.

    `pause` is called before each read: it may wait for what matters more, or end the reading with an error.
    """
    n_seconds = math.floor(recording.duration)
    n_places = min(n_seconds, _MOST_POINTS)
    places = ((np.arange(n_places) + 0.5) * (n_seconds / max(1, n_places))).astype(int)
    nothing = np.zeros(0, np.float32), np.zeros((0, SPECTRUM_BINS), np.float32)
    pieces = zip(nothing, *_pieces(recording, montage, places, pause), strict=True)
    amplitude, spectrum = (np.concatenate(parts) for parts in pieces)
    return Trend(places + 0.5, amplitude, spectrum)


def _pieces(
    recording: Recording, montage: Montage, places: NDArray[np.intp], pause: Callable[[], None]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield the median RMS over the nodes, (T,), and their mean log power, (T, 101), of the seconds; NaN in gaps."""
    config = FeatureConfig()
    sfreq = analysis_rate([recording.source.rates[channel] for channel in montage.channels], config)
    for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):  # seconds next to each other
        for first in range(0, len(run), _AT_ONCE):
            part = run[first : first + _AT_ONCE]
            pause()
            data = recording.read(montage.channels, float(part[0]), float(part[-1] + 1), sfreq=sfreq)
            seconds = data.reshape(len(data), len(part), -1)
            still = np.zeros(seconds.shape[:2], dtype=np.float32)
            summary = summarise(seconds, still, montage.matrix, config)
            yield nan_median(np.where(summary.codes == Quality.GOOD, summary.rms, np.nan)), summary.spectrum


def strip_of(result: StoredResult, scores: Scores, trend: Trend, *, blind: bool) -> dict[str, Any]:
    """Return the strip in the form that the browser expects; null where nothing is known."""
    n_points = max(1, min(_MOST_POINTS, math.ceil(result.duration / scores.step)))
    edges = np.linspace(0.0, max(result.duration, 1e-3), n_points + 1)
    probability = None
    if not blind:
        smooth = evidence(scores.probability, result.rule, scores.step)
        probability = _rounded(Columns(edges, scores.time, scores.step).highest(smooth), 4)
    rows = max(1, min(_MOST_POINTS, len(trend.time)))
    power = Columns(np.linspace(0.0, edges[-1], rows + 1), trend.time, 1.0).means(trend.spectrum[:, 1 : _BINS + 1])
    data = base64.b64encode(_as_bytes(power)).decode("ascii")
    events = [] if blind else list(enumerate(result.found, start=1))
    places = {f"e{number}": place_in_words(scores, event, result.rule.release) for number, event in events}
    return {
        "places": places,
        "time": np.round((edges[:-1] + edges[1:]) / 2, 3).tolist(),
        "probability": probability,
        "amplitude": _rounded(Columns(edges, trend.time, 1.0).means(trend.amplitude), 2),
        "spectrum": {"rows": rows, "bins": _BINS, "low": 1, "high": _BINS, "data": data},
    }


def _as_bytes(power: NDArray[np.float64]) -> bytes:
    """Turn log power into 1 to 255, clipped at two percentiles; 0 is unknown."""
    known = np.isfinite(power)
    if not known.any():
        return bytes(power.size)
    low, high = np.percentile(power[known], [_LOWEST, _HIGHEST])
    levels = 1 + 254 * np.clip((np.nan_to_num(power) - low) / max(high - low, 0.1), 0, 1)
    return np.where(known, np.rint(levels), 0).astype(np.uint8).tobytes()


def _rounded(values: NDArray[np.float64], digits: int) -> list[float | None]:
    return [None if value != value else round(value, digits) for value in values.tolist()]
