"""The signals of a page: read from a recording, derived, and filtered for display."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from restcli.detect.settings import usable_labels
from restcli.events import FloatArray
from restcli.io.recording import Recording
from restcli.signal.montage import DOUBLE_BANANA, derive
from restcli.signal.sequences import true_runs

_SFREQ = 200.0
_BAND = (0.5, 40.0)  # Hz
_MARGIN = 5.0  # s read on both sides of a page, for the filter
_SHORTEST = 40  # samples; shorter runs only lose their mean


@dataclass(frozen=True, eq=False)
class Traces:
    """The signals of one page, which shows exactly this stretch."""

    time: FloatArray  # (n,), seconds from the start of the recording
    data: FloatArray  # (C, n), µV; NaN in gaps
    names: tuple[str, ...]  # the C derivations
    sfreq: float  # Hz
    filters: str  # in words

    @property
    def limits(self) -> tuple[float, float]:
        """First and last second of the page."""
        return float(self.time[0]), float(self.time[-1]) + 1 / self.sfreq


def read_traces(
    recording: Recording, start: float, stop: float, *, channel_map: Mapping[str, str] | None = None
) -> Traces | None:
    """Read a stretch in the longitudinal bipolar montage; None when no derivation can be made."""
    montage = derive(usable_labels(recording), DOUBLE_BANANA, channel_map=dict(channel_map or {}))
    if not montage.nodes:
        return None
    start, stop = max(0.0, start), min(recording.duration, stop)
    begin, end = max(0.0, start - _MARGIN), min(recording.duration, stop + _MARGIN)
    channels = recording.read(montage.channels, begin, end, sfreq=_SFREQ)
    data = np.einsum("nc,ct->nt", montage.matrix, channels)  # a matrix product would wait for several threads
    first = round((start - begin) * _SFREQ)
    shown = _band_pass(data)[:, first : first + round((stop - start) * _SFREQ)]
    filters = f"{_BAND[0]:g}-{_BAND[1]:g} Hz, longitudinal bipolar"
    return Traces(start + np.arange(shown.shape[1]) / _SFREQ, shown, montage.nodes, _SFREQ, filters)


def _band_pass(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filter each gap-free run without shifting it."""
    filtered = np.full_like(data, np.nan)
    for begin, end in true_runs(np.asarray(np.isfinite(data).all(axis=0))):
        part = data[:, begin:end]
        long = end - begin > _SHORTEST
        filtered[:, begin:end] = _butterworth(part) if long else part - part.mean(axis=1, keepdims=True)
    return filtered


def _butterworth(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a second-order Butterworth filter forwards and backwards, by its spectrum.

    Written out because importing scipy.signal takes longer than drawing a page. As in scipy.signal.sosfiltfilt, both
    ends are continued by their point reflection.
    """
    margin = min(part.shape[1] - 1, round(_MARGIN * _SFREQ))
    before = 2 * part[:, :1] - part[:, margin:0:-1]
    after = 2 * part[:, -1:] - part[:, -2 : -margin - 2 : -1]
    whole = np.concatenate([before, part, after], axis=1)
    # Warped as the bilinear transform warps frequencies, so that the response is that of the sampled filter.
    low, high = np.tan(np.pi * np.array(_BAND) / _SFREQ)
    frequency = np.tan(np.pi * np.fft.rfftfreq(whole.shape[1])[1:])
    gain = np.zeros(len(frequency) + 1, dtype=np.float32)
    gain[1:] = 1 / (1 + ((frequency**2 - low * high) / (frequency * (high - low))) ** 4)
    filtered = scipy.fft.irfft(scipy.fft.rfft(whole, axis=1) * gain, n=whole.shape[1], axis=1)
    return np.asarray(filtered[:, margin : margin + part.shape[1]], dtype=np.float32)
