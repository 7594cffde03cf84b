"""One page of signal: read, derived, filtered, thinned out and packed for the browser."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.io.recording import Recording
from restcli.review.montages import View
from restcli.signal.filters import filter_runs

_LONGEST = 120.0  # s
_MARGIN = 5.0  # s read on both sides, for the filters
_SAMPLES_A_PIXEL = 4
_NO_SIGNAL = -32768
_FINEST = 0.001  # µV per integer


@dataclass(frozen=True)
class PageRequest:
    """What the browser asks for."""

    start: float = 0.0  # s
    seconds: float = 10.0
    high_pass: float = 0.0  # Hz; 0 for none
    low_pass: float = 0.0
    notch: float = 0.0
    width: float = 1600.0  # pixels

    def __post_init__(self) -> None:
        numbers = (self.start, self.seconds, self.high_pass, self.low_pass, self.notch)
        fine = all(map(math.isfinite, numbers)) and min(numbers) >= 0 and 0 < self.seconds <= _LONGEST
        if not fine or not 1 <= self.width <= 20_000 or max(numbers[2:]) > 10_000:
            raise UsageError("page", "a number is out of range", f"seconds up to {_LONGEST:g}, frequencies in Hz")


def read_page(recording: Recording, view: View, asked: PageRequest) -> bytes:
    """Return a page in the form that the browser expects: a header in JSON, then 16-bit integers by trace."""
    sfreq = _rate(recording, view, asked)
    n_samples = round(asked.seconds * sfreq)
    margin = round(_MARGIN * sfreq) / sfreq
    stored = recording.read(view.channels, asked.start - margin, asked.start + asked.seconds + margin, sfreq=sfreq)
    shown = _filtered(derive_traces(view, stored), view, asked, sfreq)
    first = round(margin * sfreq)
    shown = shown[:, first : first + n_samples]
    scale, integers = _packed(shown)
    header = {
        "sfreq": sfreq,
        "start": asked.start,
        "n": shown.shape[1],
        "traces": [trace.label for trace in view.traces],
        "scale": [round(value, 9) for value in scale.tolist()],
    }
    text = json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + integers.tobytes()


def _rate(recording: Recording, view: View, asked: PageRequest) -> float:
    """Return the highest rate of the channels shown, or a whole part of it when there are more samples than pixels."""
    rates = [float(recording.source.rates[channel]) for channel in view.channels]
    highest = max(rates, default=1.0)
    return highest / max(1, math.ceil(asked.seconds * highest / (_SAMPLES_A_PIXEL * asked.width)))


def derive_traces(view: View, stored: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make the traces of a montage from its channels; one without signal spoils only the traces that use it."""
    read = dict(zip(view.channels, stored, strict=True))
    signal = np.zeros((len(view.traces), stored.shape[1]), dtype=np.float32)
    for row, trace in enumerate(view.traces):
        for channel, weight in trace.weights.items():
            signal[row] += np.float32(weight) * read[channel]
    return signal


def _filtered(signal: NDArray[np.float32], view: View, asked: PageRequest, sfreq: float) -> NDArray[np.float32]:
    """Filter the traces; channels that are not a voltage of the head or body are shown unchanged."""
    lost = ~np.isfinite(signal)
    groups: dict[bytes, list[int]] = {}
    for row, trace in enumerate(view.traces):
        if trace.kind != "other":
            groups.setdefault(lost[row].tobytes(), []).append(row)
    corners = {"high_pass": asked.high_pass, "low_pass": asked.low_pass, "notch": asked.notch}
    for rows in groups.values():  # of traces that have their gaps in the same places
        signal[rows] = filter_runs(signal[rows], sfreq, **corners)
    return signal


def _packed(data: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Turn traces into integers around their medians: an offset would cost resolution and moves nothing on the page."""
    known = np.isfinite(data)
    scale = np.ones(len(data))
    integers = np.full(data.shape, _NO_SIGNAL, dtype="<i2")
    for row, inside in enumerate(known):
        if inside.any():
            values = data[row, inside] - np.median(data[row, inside])
            scale[row] = max(float(np.abs(values).max()) / 32767, _FINEST)
            integers[row, inside] = np.rint(values / scale[row])
    return scale, integers
