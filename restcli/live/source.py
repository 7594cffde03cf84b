"""What a source of live signal gives: its channels, and then chunk after chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from restcli.errors import UsageError
from restcli.io.headers import microvolts
from restcli.io.recording import Channel, Recording, Segment
from restcli.signal.resampling import Signal, exact_rate


@dataclass(frozen=True, eq=False)
class Chunk:
    """Samples of all groups of channels of one rate, as they have arrived; a group may have none."""

    values: tuple[Signal, ...]  # (C, n) for each group, µV, NaN where nothing is known
    at_limit: tuple[NDArray[np.bool_] | None, ...]  # which of them lie at the amplifier's limits
    stamp: float | None = None  # when the first sample was taken, by the source's clock, s; None: it follows
    waited: float = math.inf  # s since the chunk before came, by this machine's clock; inf when not measured
    begins: bool = False  # whether the source says that signal is missing before it


@dataclass(frozen=True)
class Silence:
    """Nothing has come for a while."""

    seconds: float
    reason: str = "the source is silent"


class LiveSource(Protocol):
    """Where live signal comes from."""

    recording: Recording  # its channels, and when it starts; without an end
    jitter: float  # s that stamps may be off without signal being lost
    end: float  # s at which the source will end; inf when it does not know

    def chunks(self, groups: Sequence[Sequence[int]]) -> Iterator[Chunk | Silence]:
        """Yield what arrives of groups of channels until the source ends."""


@dataclass(frozen=True)
class Rates:
    """Sampling rates where a file would be read: a stream cannot be opened again."""

    rates: tuple[Fraction, ...]

    def open(self) -> Any:
        """Refuse: what has passed cannot be read again."""
        raise UsageError("stream", "its signal has passed", "a recording")


def describe(
    name: str, channels: Sequence[tuple[str, str, float, float, float]], *, kind: str, start: datetime | None = None
) -> Recording:
    """Describe a stream of channels (label, unit, Hz, limits in µV or NaN) as a recording without an end."""
    return Recording(
        path=Path(name),
        format=kind,
        channels=tuple(
            Channel(label, "µV" if microvolts(unit) else unit, rate, 0, low, high)
            for label, unit, rate, low, high in channels
        ),
        start=start,
        duration=math.inf,
        segments=(Segment(0.0, math.inf, 0.0),),
        repairs=(),
        source=Rates(tuple(exact_rate(rate) for _, _, rate, *_ in channels)),
    )
