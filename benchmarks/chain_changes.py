"""Changes that hospitals make to a recording: reference, filters, sampling rate, gain, lost electrodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from restcli.io.recording import Recording
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, parse_label

LOST = ("F3", "T5", "O2")
RATES = (100, 128, 250, 256, 500, 512, 1000, 2000)
_EARS = ("A1", "A2")
_HEADROOM = 1.1


@dataclass(frozen=True, eq=False)
class Signals:
    """The EEG channels of a recording."""

    labels: tuple[str, ...]  # electrodes (F3) or derivations (F3-C3)
    data: NDArray[np.float32]  # (C, n), µV
    sfreq: int

    @property
    def referential(self) -> bool:
        """Whether the channels are electrodes against one reference."""
        return all("-" not in label for label in self.labels)

    def keep(self, labels: Sequence[str]) -> Signals:
        """Return these channels alone, in this order."""
        rows = [self.labels.index(label) for label in labels]
        return replace(self, labels=tuple(labels), data=self.data[rows])

    def with_data(self, data: NDArray[np.floating]) -> Signals:
        """Return other samples of the same channels."""
        return replace(self, data=np.asarray(data, dtype=np.float32))


Change = Callable[[Signals], Signals | None]
"""Returns None where a change makes no sense: a reference for derivations, a filter above half the sampling rate."""


def read_signals(recording: Recording) -> Signals:
    """Read the channels of the 10-20 system, which share one sampling rate; a derivation stored twice is read once."""
    found: dict[str, int] = {}
    for index, channel in enumerate(recording.channels):
        name = parse_label(channel.label)
        if name is not None and channel.unit == "µV":
            label = name[0] if name[1].startswith("ref:") else "-".join(name)
            found.setdefault(label, index)
    if set(ELECTRODES_19) <= set(found):  # a derivation among electrodes, such as A2-A1, adds nothing
        found = {label: index for label, index in found.items() if label in (*ELECTRODES_19, *_EARS)}
    data = recording.read(list(found.values()), 0.0, recording.duration)
    sfreq = recording.channels[next(iter(found.values()))].sfreq
    return Signals(tuple(found), data, int(sfreq))


def write_signals(signals: Signals, path: Path) -> Path:
    """Write the whole seconds as EDF+ with one record a second, without clipping."""
    import pyedflib

    limit = round(max(500.0, _HEADROOM * float(np.abs(signals.data).max())), 1)
    writer = pyedflib.EdfWriter(str(path), len(signals.labels), file_type=pyedflib.FILETYPE_EDFPLUS)
    writer.setSignalHeaders(
        [
            {
                "label": label,
                "dimension": "uV",
                "sample_frequency": signals.sfreq,
                "physical_max": limit,
                "physical_min": -limit,
                "digital_max": 32767,
                "digital_min": -32767,
                "prefilter": "",
                "transducer": "",
            }
            for label in signals.labels
        ]
    )
    whole = signals.data.shape[1] // signals.sfreq * signals.sfreq
    step = 60 * signals.sfreq
    for start in range(0, whole, step):
        part = signals.data[:, start : min(start + step, whole)]
        stored = np.round(part * np.float32(32767 / limit)).astype(np.int32)
        writer.writeSamples(list(np.ascontiguousarray(stored)), digital=True)
    writer.close()
    return path


def _against_cz(signals: Signals) -> Signals | None:
    """Refer to Cz, which then is no channel."""
    if not signals.referential:
        return None
    cz = signals.data[signals.labels.index("CZ")]
    others = [label for label in signals.labels if label != "CZ"]
    return replace(signals, data=signals.data - cz).keep(others)


def _against_average(signals: Signals) -> Signals | None:
    if not signals.referential:
        return None
    electrodes = signals.keep(ELECTRODES_19)
    return electrodes.with_data(electrodes.data - electrodes.data.mean(axis=0))


def _against_ears(signals: Signals) -> Signals | None:
    if not set(_EARS) <= set(signals.labels):
        return None
    ears = signals.keep(_EARS).data.mean(axis=0)
    electrodes = signals.keep(ELECTRODES_19)
    return electrodes.with_data(electrodes.data - ears)


def _bipolar(signals: Signals) -> Signals | None:
    """Keep only the double banana."""
    if not signals.referential:
        return None
    row = {label: signals.data[index] for index, label in enumerate(signals.labels)}
    ends = [derivation.split("-") for derivation in DOUBLE_BANANA]
    return replace(signals, labels=DOUBLE_BANANA, data=np.stack([row[first] - row[second] for first, second in ends]))


def _without_lost(signals: Signals) -> Signals:
    return signals.keep([label for label in signals.labels if not set(label.split("-")) & set(LOST)])


def _filtered(kind: str, order: int, corner: float) -> Change:
    """Return a causal Butterworth filter, settled at the first sample."""

    def change(signals: Signals) -> Signals | None:
        if 2 * corner >= signals.sfreq:
            return None
        sections = signal.butter(order, corner, kind, fs=signals.sfreq, output="sos")
        settled = signal.sosfilt_zi(sections)[:, None, :] * signals.data[None, :, :1]
        return signals.with_data(signal.sosfilt(sections, signals.data, axis=-1, zi=settled)[0])

    return change


def _notched(corner: float) -> Change:
    def change(signals: Signals) -> Signals:
        above, below = signal.iirnotch(corner, 30.0, fs=signals.sfreq)
        settled = signal.lfilter_zi(above, below)[None, :] * signals.data[:, :1]
        return signals.with_data(signal.lfilter(above, below, signals.data, axis=-1, zi=settled)[0])

    return change


def _at_rate(sfreq: int) -> Change:
    def change(signals: Signals) -> Signals | None:
        if sfreq == signals.sfreq:
            return None
        divisor = gcd(sfreq, signals.sfreq)
        # One channel after another: half an hour at 2,000 Hz would fill the memory.
        rows = [
            signal.resample_poly(row, sfreq // divisor, signals.sfreq // divisor, padtype="line").astype(np.float32)
            for row in signals.data
        ]
        return replace(signals, data=np.stack(rows), sfreq=sfreq)

    return change


def _amplified(gain: float) -> Change:
    return lambda signals: signals.with_data(signals.data * np.float32(gain))


CHANGES: dict[str, Change] = {
    "written again unchanged": lambda signals: signals,
    "reference Cz": _against_cz,
    "average reference": _against_average,
    "linked ears": _against_ears,
    "bipolar derivations only": _bipolar,
    **{f"low-pass {corner} Hz": _filtered("lowpass", 4, corner) for corner in (35, 50, 70, 100)},
    **{f"high-pass {corner:g} Hz": _filtered("highpass", 1, corner) for corner in (0.1, 0.5, 1.0)},
    **{f"notch {corner} Hz": _notched(corner) for corner in (50, 60)},
    **{f"sampled at {sfreq:,} Hz": _at_rate(sfreq) for sfreq in RATES},
    **{f"gain x {gain:g}": _amplified(gain) for gain in (0.5, 2.0)},
    f"without electrodes {', '.join(LOST)}": _without_lost,
}
