"""Write small EDF+ files for tests."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import edfio
import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from restcli.signal.montage import ELECTRODES_19

START = datetime.datetime(2024, 5, 6, 23, 59, 30)


def noise(n_channels: int, seconds: float, sfreq: float, *, seed: int = 0, scale: float = 20.0) -> NDArray[np.float64]:
    """Return noise whose spectrum falls from 3 Hz up as that of EEG does, µV, shape (n_channels, n)."""
    white = np.random.default_rng(seed).standard_normal((n_channels, round(seconds * sfreq)))
    kept = np.exp(-2 * np.pi * 3 / sfreq)
    return scale * np.sqrt(1 - kept**2) * np.asarray(lfilter([1.0], [1.0, -kept], white))


def write_edf(
    path: Path,
    data: NDArray[np.float64],
    sfreq: float,
    *,
    labels: Sequence[str] | None = None,
    units: str = "uV",
    limit: float = 3200.0,
) -> Path:
    """Write an EDF+C recording of the 19 electrodes (or of `labels`), one record a second."""
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19] if labels is None else labels
    signals = [
        edfio.EdfSignal(
            np.clip(row, -limit, limit), sfreq, label=label, physical_dimension=units, physical_range=(-limit, limit)
        )
        for label, row in zip(labels, data, strict=True)
    ]
    patient = edfio.Patient(code="SECRET-ID-77", name="Doe_Jane", birthdate=datetime.date(1980, 2, 3), sex="F")
    edf = edfio.Edf(
        signals,
        patient=patient,
        recording=edfio.Recording(startdate=START.date()),
        starttime=START.time(),
        data_record_duration=1,
    )
    edf.write(path)
    return path
