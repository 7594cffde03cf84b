"""Write EDF and BDF files byte by byte, so that any field can be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

_KEPT = 0.9  # of each sample in the next: white noise is no EEG


@dataclass
class EdfFile:
    """A small recording; every field can be overridden, `header` replaces raw bytes at a place."""

    labels: Sequence[str | bytes] = ("EEG Fp1-REF", "EEG Fp2-REF")
    counts: Sequence[int] = (256, 256)
    n_records: int = 10
    duration: str = "1"
    units: Sequence[str | bytes] = ()
    physical: Sequence[tuple[object, object]] = ()
    digital: Sequence[tuple[object, object]] = ()
    kind: str = ""
    date: str = "02.03.21"
    time: str = "14.15.16"
    claimed: object = None
    onsets: Sequence[str | bytes] | None = None
    bdf: bool = False
    header: dict[int, bytes] = field(default_factory=dict)
    tail: bytes = b""
    seed: int = 0

    def samples(self) -> list[np.ndarray]:
        """Stored integers of each ordinary signal, as one array each."""
        rng = np.random.default_rng(self.seed)
        scale = 2**18 if self.bdf else 3000
        white = [rng.normal(0, scale * np.sqrt(1 - _KEPT**2), self.n_records * n) for n in self.counts]
        return [np.clip(lfilter([1.0], [1.0, -_KEPT], row), -8 * scale, 8 * scale).astype(int) for row in white]

    def microvolts(self, factor: float = 1.0) -> np.ndarray:
        """Expected values when all signals share rate and calibration."""
        limits = self.physical[0] if self.physical else (-3200, 3200)
        low, high = self.digital[0] if self.digital else self._rails
        scale = (limits[1] - limits[0]) / (high - low)
        return ((np.array(self.samples()) - low) * scale + limits[0]) * factor

    @property
    def _rails(self) -> tuple[int, int]:
        return (-(2**23), 2**23 - 1) if self.bdf else (-(2**15), 2**15 - 1)

    def bytes(self) -> bytes:
        labels, counts, n = list(self.labels), list(self.counts), len(self.labels)
        units = [*(self.units or ["uV"] * n)]
        physical = [*(self.physical or [(-3200, 3200)] * n)]
        digital = [*(self.digital or [self._rails] * n)]
        width = 3 if self.bdf else 2
        if self.onsets is not None:
            labels.append(("BDF" if self.bdf else "EDF") + " Annotations")
            counts.append(-(-40 // width))
            units.append("")
            physical.append((-1, 1))
            digital.append(self._rails)
        claimed = self.n_records if self.claimed is None else self.claimed
        head = b"\xffBIOSEMI" if self.bdf else b"0       "
        head += _pad("X X X X", 80) + _pad("Startdate X X X X", 80) + _pad(self.date, 8) + _pad(self.time, 8)
        head += _pad(256 * (len(labels) + 1), 8) + _pad(self.kind, 44) + _pad(claimed, 8) + _pad(self.duration, 8)
        head += _pad(len(labels), 4)
        empty = [""] * len(labels)
        columns = [
            labels,
            empty,
            units,
            [low for low, _ in physical],
            [high for _, high in physical],
            [low for low, _ in digital],
            [high for _, high in digital],
            empty,
            counts,
            empty,
        ]
        for size, column in zip((16, 80, 8, 8, 8, 8, 8, 80, 8, 32), columns, strict=True):
            head += b"".join(_pad(value, size) for value in column)
        raw = bytearray(head)
        for place, patch in self.header.items():
            raw[place : place + len(patch)] = patch
        return bytes(raw) + self._records(width) + self.tail

    def _records(self, width: int) -> bytes:
        out, samples = [], self.samples()
        for record in range(self.n_records):
            for signal, count in zip(samples, self.counts, strict=True):
                part = signal[record * count : (record + 1) * count].astype("<i4")
                out.append(part.view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
            if self.onsets is not None:
                onset = self.onsets[record]
                tal = onset if isinstance(onset, bytes) else f"{onset}\x14\x14\x00".encode()
                out.append(tal.ljust(-(-40 // width) * width, b"\0"))
        return b"".join(out)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.bytes())
        return path

    def field(self, column: int, signal: int) -> int:
        """Place of a field of the signal part of the header: column 0 label ... 8 samples in a record."""
        n = len(self.labels) + (self.onsets is not None)
        widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
        return 256 + n * sum(widths[:column]) + signal * widths[column]


def _pad(value: object, width: int) -> bytes:
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
    assert len(raw) <= width, (value, width)
    return raw.ljust(width)
