"""What is known after one recording was annotated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.detect.settings import Settings
from restcli.events import EventRule, Events, Scores
from restcli.io.recording import Recording
from restcli.nn.weights import Weights
from restcli.signal.montage import Montage

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trend:
    """Second by second summary of the signals, for pictures; NaN where no node was good."""

    time: NDArray[np.float64]  # (T,), centres of the seconds, from the start of the recording
    amplitude: Float32Array  # (T,), median RMS over the good nodes, µV
    spectrum: Float32Array  # (T, 101), mean log10 power over the good nodes, bins 0..100 Hz


@dataclass(frozen=True, eq=False)
class Result:
    """Everything that is known after one recording was annotated.

    Parameters
    ----------
    recording : Recording
        Metadata, repairs, segments.
    montage : Montage
        How the nodes were derived from the channels.
    weights : Weights
        The network that was used.
    settings : Settings
        What was asked for.
    rule : EventRule
        The rule that turned scores into events.
    scores : Scores
        Probabilities along the recording.
    events : Events
        Seizures found. Without events, ``scores.scored`` says how much of the recording was looked at.
    trend : Trend
        Amplitude and spectrum along the recording.
    bad_seconds : dict of str to dict of str to int
        For each node, how many seconds were left out, by reason.
    band_limit : int or None
        Frequency in Hz above which the recording holds nearly nothing because it was low-passed, or None.
    device : str
        Where the network ran, and why not on a GPU when one was looked for.
    stages : dict of str to float
        Seconds spent in each stage; stages overlap, so their sum may exceed the wall time.
    """

    recording: Recording
    montage: Montage
    weights: Weights
    settings: Settings
    rule: EventRule
    scores: Scores
    events: Events
    trend: Trend
    bad_seconds: Mapping[str, Mapping[str, int]]
    band_limit: int | None
    device: str
    stages: Mapping[str, float]
