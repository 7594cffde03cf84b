"""Recordings to measure with: 23 channels at 256 Hz, simulated brain signals, one seizure an hour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from restcli.signal.montage import ELECTRODES_19
from restcli.simulate.chain import Chain
from restcli.simulate.draw import SimulateOptions, draw

SFREQ, N_CHANNELS = 256, 23
_LABELS = (*(f"EEG {name}-REF" for name in ELECTRODES_19), "EEG A1-REF", "EEG A2-REF", "ECG", "RESP")
_LIMIT = 3200
_SECONDS = 120
CHAIN = Chain(
    reference="ears",
    high_pass=0.3,
    high_order=1,
    low_pass=70.0,
    low_order=4,
    notch=50.0,
    notch_quality=10.0,
    noise=0.5,
    mains=0.5,
    mains_frequency=50.0,
    missing=(),
    step=0.1,
    limit=3200.0,
    gain=1.0,
    mismatch=0.05,
    drift=1.0,
)


def make_recording(folder: Path, hours: float, n_channels: int = N_CHANNELS) -> Path:
    """Write a recording unless it is there already; an hour of signal is drawn and repeated, as are channels."""
    path = folder / (f"bench_{hours:g}h.edf" if n_channels == N_CHANNELS else f"bench_{hours:g}h_{n_channels}.edf")
    n_seconds = round(hours * 3600)
    if path.exists():
        return path
    labels = (*_LABELS, *(f"X{number}" for number in range(1, n_channels - N_CHANNELS + 1)))
    hour = _hour(folder)[:, np.arange(n_channels) % N_CHANNELS]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(_header(n_seconds, labels))
        for begin in range(0, n_seconds, 3600):
            file.write(hour[: min(3600, n_seconds - begin)].tobytes())
    part.replace(path)
    return path


def _hour(folder: Path) -> NDArray[np.int16]:
    """Return an hour of records (seconds, channels, samples), drawn once."""
    kept = folder / "hour.npy"
    if kept.exists():
        return np.asarray(np.load(kept, mmap_mode="r"))
    rng = np.random.default_rng(0)
    parts = []
    for seed in range(3600 // _SECONDS):
        share = 1.0 if seed == 10 else 0.0
        one = draw(seed, seconds=_SECONDS, options=SimulateOptions(share, chain=CHAIN))
        rows = [one.labels.index(name) for name in ELECTRODES_19]
        data = resample_poly(one.data[rows], SFREQ, 200, axis=1)[:, : _SECONDS * SFREQ]
        more = rng.standard_normal((N_CHANNELS - len(rows), data.shape[1])) * 20
        parts.append(np.concatenate([data, more]))
    stored = np.clip(np.rint(np.concatenate(parts, axis=1) * (32767 / _LIMIT)), -32767, 32767).astype("<i2")
    hour = np.ascontiguousarray(stored.reshape(N_CHANNELS, 3600, SFREQ).transpose(1, 0, 2))
    np.save(kept, hour)
    return hour


def _header(n_records: int, labels: tuple[str, ...]) -> bytes:
    def text(value: Any, width: int) -> bytes:
        return str(value).ljust(width).encode("ascii")

    n = len(labels)
    parts = [
        text("0", 8),
        text("X X X X", 80),
        text("Startdate X X X X", 80),
        text("01.01.85", 8),
        text("22.00.00", 8),
        text(256 * (n + 1), 8),
        text("", 44),
        text(n_records, 8),
        text(1, 8),
        text(n, 4),
        b"".join(text(label, 16) for label in labels),
        text("", 80) * n,
        text("uV", 8) * n,
        text(-_LIMIT, 8) * n,
        text(_LIMIT, 8) * n,
        text(-32767, 8) * n,
        text(32767, 8) * n,
        text("", 80) * n,
        text(SFREQ, 8) * n,
        text("", 32) * n,
    ]
    return b"".join(parts)
