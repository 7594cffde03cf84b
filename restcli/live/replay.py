"""A recording as if it were live."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from restcli.io.recording import Handle, Recording, Segment
from restcli.live.source import Chunk, Rates, Silence

_CHUNK = Fraction(1, 4)  # s


class Replay:
    """Gives the samples of a recording chunk by chunk, as fast as asked."""

    jitter = 0.0  # its stamps are exact

    def __init__(
        self, recording: Recording, speed: float = 1.0, chunk_seconds: Callable[[], Fraction] = lambda: _CHUNK
    ) -> None:
        self._file, self._speed, self._chunk_seconds = recording, speed, chunk_seconds
        self.end = recording.duration
        self.recording = replace(
            recording,
            duration=math.inf,
            segments=(Segment(0.0, math.inf, 0.0),),
            source=Rates(recording.source.rates),
        )

    def chunks(self, groups: Sequence[Sequence[int]]) -> Iterator[Chunk | Silence]:
        """Yield the samples of all segments; `speed` seconds of them in each second, or without waiting."""
        begun = time.monotonic()
        with self._file.source.open() as handle:
            for segment in self._file.segments:
                for chunk, stop in self._of_segment(handle, segment, groups):
                    if self._speed:
                        time.sleep(max(0.0, begun + stop / self._speed - time.monotonic()))
                    yield chunk

    def _of_segment(
        self, handle: Handle, segment: Segment, groups: Sequence[Sequence[int]]
    ) -> Iterator[tuple[Chunk, float]]:
        rates = [self._file.source.rates[group[0]] for group in groups]
        origins, lengths = zip(*(self._file.stored_span(segment, group[0]) for group in groups), strict=True)
        done = [0] * len(groups)
        position = Fraction(0)
        while any(n < length for n, length in zip(done, lengths, strict=True)):
            first, begins = done[:], position == 0
            position += self._chunk_seconds()
            done = [min(math.ceil(position * rate), n) for rate, n in zip(rates, lengths, strict=True)]
            parts = [
                handle.read(group, origin + low, origin + high)
                if high > low
                else (np.zeros((len(group), 0), np.float32), None)
                for group, origin, low, high in zip(groups, origins, first, done, strict=True)
            ]
            values, limits = zip(*parts, strict=True)
            stamp = segment.start + float(first[0] / rates[0])
            yield Chunk(values, limits, stamp, begins=begins and segment.start > 0), segment.start + float(position)
