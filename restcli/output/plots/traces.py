"""The signals of a page: read from a recording, derived, and filtered for display."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from restcli.detect.settings import usable_labels
from restcli.events import FloatArray
from restcli.io.recording import Recording
from restcli.signal.contacts import ECG
from restcli.signal.filters import filter_runs
from restcli.signal.montage import DOUBLE_BANANA, derive

_SFREQ = 200.0
_BAND = (0.5, 40.0)  # Hz
_MARGIN = 5.0  # s read on both sides of a page, for the filter
ECG_ROW = "ECG"  # the name of its trace, independent of its label in the file


@dataclass(frozen=True, eq=False)
class Traces:
    """The signals of one page, which shows exactly this stretch."""

    time: FloatArray  # (n,), seconds from the start of the recording
    data: FloatArray  # (C, n), µV; NaN in gaps
    names: tuple[str, ...]  # the C derivations, and perhaps the ECG
    sfreq: float  # Hz
    filters: str  # in words

    @property
    def limits(self) -> tuple[float, float]:
        """First and last second of the page."""
        return float(self.time[0]), float(self.time[-1]) + 1 / self.sfreq


def read_traces(
    recording: Recording, start: float, stop: float, *, channel_map: Sequence[tuple[str, str]] = ()
) -> Traces | None:
    """Read a stretch in the longitudinal bipolar montage; None when no derivation can be made."""
    mapped = dict(channel_map)
    montage = derive(usable_labels(recording, mapped=mapped), DOUBLE_BANANA, channel_map=mapped)
    if not montage.nodes:
        return None
    start, stop = max(0.0, start), min(recording.duration, stop)
    shown = _filtered(recording, montage.channels, montage.matrix, start=start, stop=stop)
    filters = f"{_BAND[0]:g}-{_BAND[1]:g} Hz, longitudinal bipolar"
    return Traces(start + np.arange(shown.shape[1]) / _SFREQ, shown, montage.nodes, _SFREQ, filters)


def with_ecg(traces: Traces, recording: Recording) -> Traces:
    """Add the first channel that is named an ECG as a last row, if there is one."""
    channel = next((i for i, label in enumerate(usable_labels(recording)) if ECG.search(label)), None)
    if channel is None:
        return traces
    start, stop = traces.limits
    ecg = _filtered(recording, (channel,), np.ones((1, 1)), start=start, stop=stop)
    return replace(traces, data=np.concatenate([traces.data, ecg]), names=(*traces.names, ECG_ROW))


def _filtered(
    recording: Recording, channels: Sequence[int], matrix: FloatArray, *, start: float, stop: float
) -> FloatArray:
    """Read sums of channels, each row of a matrix with its weights, and filter them; (N, n), µV."""
    signals = recording.read(channels, start - _MARGIN, stop + _MARGIN, sfreq=_SFREQ)
    data = np.einsum("nc,ct->nt", matrix, signals)  # a matrix product would wait for several threads
    first = round(_MARGIN * _SFREQ)
    filtered = filter_runs(data, _SFREQ, high_pass=_BAND[0], low_pass=_BAND[1])
    return filtered[:, first : first + round((stop - start) * _SFREQ)]
