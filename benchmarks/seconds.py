"""Seconds of EEG at 200 Hz as a device sees them, with what restcli says of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.detect.detector import Detector
from restcli.detect.rule import to_events
from restcli.detect.scoring import SecondBySecond
from restcli.detect.settings import Settings, fit_montage
from restcli.detect.stream import Stream
from restcli.events import Scores
from restcli.io.recording import Recording
from restcli.nn.weights import Weights
from restcli.signal.features import REFERENCE_RATE
from restcli.signal.quality import Quality, derive_seconds, summarise

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Seconds:
    """What goes in after one another, and what restcli's own stream answers."""

    microvolts: Float32Array  # (T, N, 200)
    good: NDArray[np.bool_]  # (T, N), nothing wrong in this second
    open: NDArray[np.bool_]  # (T, N), sounds like an open input
    begins: NDArray[np.bool_]  # (T,), a segment begins
    features: Float32Array  # (T, N, F)
    probability: Float32Array  # (T,), of the second look_ahead earlier; NaN where not scored
    by_node: Float32Array  # (T, N)


def seconds_of_recording(recording: Recording, weights: Weights) -> Seconds:
    """Read a recording at 200 Hz and let restcli's stream judge it."""
    montage = fit_montage(recording, weights, Settings())
    columns = [weights.nodes.index(node) for node in montage.nodes]
    stream = Stream(Detector(weights, "cpu"), columns, montage.matrix)
    so_far = SecondBySecond(weights.features, len(weights.nodes))
    parts: list[Seconds] = []
    stop = -1.0
    for block in recording.blocks(montage.channels, sfreq=REFERENCE_RATE, seconds=150):
        data = block.data.reshape(len(block.data), -1, REFERENCE_RATE)
        new = abs(block.start - stop) > 1e-6
        stop = block.start + data.shape[1]
        if new:
            so_far.begin()
            stream.restart()
        summary = summarise(data, block.saturated, montage.matrix, weights.features)
        microvolts = derive_seconds(data, montage.matrix)
        if len(columns) < len(weights.nodes):
            summary = summary.widened(columns, len(weights.nodes))
            wide = np.zeros((len(microvolts), len(weights.nodes), REFERENCE_RATE), np.float32)
            wide[:, columns] = microvolts
            microvolts = wide
        good = summary.codes == Quality.GOOD
        features, present, _ = so_far.advance(summary)
        answers = [stream.push(data[:, t], block.saturated[:, t]) for t in range(data.shape[1])]
        begins = np.zeros(len(good), dtype=bool)
        begins[0] = new
        absent = np.full(len(weights.nodes), np.nan, np.float32)
        parts.append(
            Seconds(
                microvolts,
                good,
                good & ~present,
                begins,
                features,
                np.array([np.nan if answer is None else answer.probability for answer in answers], np.float32),
                np.stack([absent if answer is None else answer.by_node for answer in answers]),
            )
        )
    fields = Seconds.__dataclass_fields__
    return Seconds(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def events_of(probability: Float32Array, weights: Weights) -> list[tuple[float, float]]:
    """Return onset and duration of the events in probabilities of consecutive seconds."""
    time = np.arange(len(probability)) + 0.5
    by_node = np.repeat(probability[:, None], len(weights.nodes), axis=1)
    scores = Scores(time, probability, by_node, weights.nodes, 1.0, float(len(probability)))
    return [(event.onset, event.duration) for event in to_events(scores, weights.rule)]
