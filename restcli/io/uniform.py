"""Recordings whose channels have one sampling rate, whichever library or code of our own reads their samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from restcli.io.companions import Stamps, check_unchanged
from restcli.io.headers import check_length, known_unit, microvolts, names
from restcli.io.recording import Channel, Recording, Segment, to_samples
from restcli.signal import resampling
from restcli.signal.resampling import Signal

Stored: TypeAlias = Callable[[list[int], int, int], NDArray[Any]]
"""Takes channels, a first sample and the one after the last; returns stored samples, (C, n)."""


@dataclass(frozen=True)
class SampleStore:
    """Where samples are: plain data, no open handle."""

    files: tuple[Path, ...]
    stamps: Stamps

    def open(self) -> AbstractContextManager[Stored]:
        """Open the files for reading."""
        raise NotImplementedError


@dataclass(frozen=True)
class UniformSource:
    """Reads a store, as long as its files do not change."""

    store: SampleStore
    rate: Fraction  # Hz
    to_unit: tuple[float, ...]  # for each channel

    @property
    def rates(self) -> tuple[Fraction, ...]:
        """Exact sampling rate of each channel."""
        return (self.rate,) * len(self.to_unit)

    @contextmanager
    def open(self) -> Iterator[UniformHandle]:
        """Open the store for reading."""
        with self.store.open() as stored:
            yield UniformHandle(self, stored)


@dataclass(frozen=True)
class UniformHandle:
    """An open store."""

    source: UniformSource
    stored: Stored

    def read(self, channels: Sequence[int], start: int, stop: int) -> tuple[Signal, None]:
        """Return stored samples in microvolts, NaN where they are absurd; digital limits are unknown."""
        picks = list(channels)
        check_unchanged(self.source.store.files, self.source.store.stamps)
        data = self.stored(picks, start, stop)
        with np.errstate(over="ignore", invalid="ignore"):
            return to_samples(data * np.array(self.source.to_unit)[picks, None]), None


def parts(edges: NDArray[np.int64], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield the blocks that hold some samples, and which of them, by the first sample of each and the end of all."""
    first = int(np.searchsorted(edges, start, side="right")) - 1
    for block in range(first, int(np.searchsorted(edges, stop))):
        yield block, max(start, int(edges[block])), min(stop, int(edges[block + 1]))


def one_piece(
    path: Path, store: SampleStore, channels: Iterable[tuple[str, str]], *, length: int, sfreq: float
) -> Recording:
    """Make a recording without pauses of channels, given by label and unit; its format and start are left open."""
    duration, rate = length / sfreq, resampling.exact_rate(sfreq)
    check_length(duration, str(path))
    found = tuple(channels)
    return Recording(
        path,
        format="",
        channels=tuple(
            Channel(label, known_unit(unit), float(rate), length, math.nan, math.nan) for label, unit in found
        ),
        start=None,
        duration=duration,
        segments=(Segment(0.0, duration, 0.0),),
        repairs=(),
        source=UniformSource(store, rate, tuple(microvolts(unit) or 1.0 for _, unit in found)),
    )


def leave_out(recording: Recording, places: Iterable[int], problem: str, note: str) -> Recording:
    """Leave out channels whose samples have no meaning, and report them."""
    found = set(places)
    if not found:
        return recording
    channels = tuple(
        replace(channel, problem=channel.problem or problem) if place in found else channel
        for place, channel in enumerate(recording.channels)
    )
    labels = names(recording.channels[place].label for place in sorted(found))
    return replace(recording, channels=channels, repairs=(*recording.repairs, f"{labels}: {note}"))
