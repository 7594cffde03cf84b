"""Write small EDF+ files for tests."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import edfio
import numpy as np
from numpy.typing import NDArray

from restcli.signal.montage import ELECTRODES_19

START = datetime.datetime(2024, 5, 6, 23, 59, 30)


def noise(n_channels: int, seconds: float, sfreq: float, *, seed: int = 0, scale: float = 20.0) -> NDArray[np.float64]:
    """Return smooth noise, µV, shape (n_channels, n)."""
    generator = np.random.default_rng(seed)
    white = generator.standard_normal((n_channels, round(seconds * sfreq)))
    return scale * np.apply_along_axis(lambda row: np.convolve(row, np.ones(5) / np.sqrt(5), "same"), 1, white)


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
