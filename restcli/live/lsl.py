"""Streams of the lab streaming layer (LSL): signal in, alarms and probabilities out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError, RestError, UsageError
from restcli.io.headers import microvolts
from restcli.io.recording import to_samples
from restcli.live.source import Chunk, Silence, describe

_PULL, _MOST_SAMPLES = 0.25, 100_000
_RETRY = 2.0  # s between looks for a stream that broke off
_STALE = 10.0  # s of silence after which it is looked for again: a cable that was pulled out closes no connection
_AGAIN = "Start the stream, or name it with --lsl"


def _library() -> Any:
    """Import pylsl, which loads a C library."""
    try:
        import pylsl
    except (ImportError, OSError, RuntimeError) as error:
        raise RestError(
            "pylsl",
            f"cannot be used ({type(error).__name__})",
            "pylsl with its C library",
            "Install it with pip install 'rest-eeg[live]'",
        ) from error
    return pylsl


@dataclass(frozen=True)
class StreamFacts:
    """What a user says of a stream that does not say it itself."""

    labels: tuple[str, ...] = ()
    unit: str = ""
    sfreq: float | None = None
    clips_at: float | None = None  # µV


class LslSource:
    """An LSL stream, found by its name or by another property, such as ``type=EEG``."""

    # Amplifiers are read in bursts: their stamps wander without a sample being lost.
    jitter = 0.25
    end = math.inf

    def __init__(self, wanted: str, facts: StreamFacts = StreamFacts(), *, wait: float = 10.0) -> None:
        self._lsl, self._wanted, self._facts, self._where = _library(), wanted, facts, f"lsl {wanted}"
        self._inlet = self._open(wait)
        info = self._inlet.info(timeout=5.0)
        self._layout = self._layout_of(info)
        labels, units, rate = self._layout
        self._scale = np.array([microvolts(unit) or 1.0 for unit in units])
        channels = [(label, unit, rate, math.nan, math.nan) for label, unit in zip(labels, units, strict=True)]
        self.recording = describe(self._where, channels, kind="LSL")

    def chunks(self, groups: Sequence[Sequence[int]]) -> Iterator[Chunk | Silence]:
        """Yield what arrives; a stream that breaks off is looked for until it is back."""
        (group,) = groups
        picks, last = list(group), time.monotonic()
        looked = last
        while True:
            try:
                samples, stamps = self._inlet.pull_chunk(
                    timeout=_PULL, max_samples=_MOST_SAMPLES, min_samples=1, as_numpy=True
                )
            except RuntimeError:  # every error of pylsl
                yield Silence(time.monotonic() - last, "the stream broke off")
                self._reopen()
                continue
            now = time.monotonic()
            if len(stamps) == 0:
                yield Silence(now - last)
                if now - max(last, looked) >= _STALE:
                    looked = now
                    self._reopen()
                continue
            values = to_samples(np.asarray(samples, dtype=float).T[picks] * self._scale[picks, None])
            waited, last = now - last, now
            for piece in _pieces(values, np.asarray(stamps, dtype=float), 1 / self._layout[2] + self.jitter):
                yield self._chunk(*piece, waited)
                waited = math.inf  # what was pulled together came together

    def _chunk(self, values: NDArray[np.float32], stamp: float, waited: float) -> Chunk:
        limit = self._facts.clips_at
        return Chunk((values,), (None if limit is None else np.abs(values) >= limit,), stamp, waited)

    def _open(self, wait: float) -> Any:
        name, _, value = self._wanted.rpartition("=")
        found = self._lsl.resolve_byprop(name or "name", value, timeout=wait)
        if not found:
            raise RecordingError(self._where, f"no such stream within {wait:g} s", remedy=_AGAIN)
        if len(found) > 1 and not name:
            what = f"{len(found)} streams have this name"
            raise RecordingError(self._where, what, "one", "Name it by --lsl source_id=...")
        # liblsl would recover a stream whatever its channels have become.
        inlet = self._lsl.StreamInlet(found[0], recover=False, processing_flags=self._lsl.proc_clocksync)
        inlet.open_stream(timeout=wait)
        return inlet

    def _reopen(self) -> None:
        try:
            inlet = self._open(_RETRY)
            info = inlet.info(timeout=5.0)
        except (RecordingError, RuntimeError):
            return
        if self._layout_of(info) != self._layout:
            raise RecordingError(self._where, "came back with other channels, units or rate", remedy="Start again")
        self._inlet = inlet

    def _layout_of(self, info: Any) -> tuple[tuple[str, ...], tuple[str, ...], float]:
        """Return labels, units and rate: what the user says, else what the stream says."""
        where, facts, n = self._where, self._facts, int(info.channel_count())
        labels, units = _described(info, n)
        if facts.labels and len(facts.labels) != n:
            raise UsageError("--labels", f"{len(facts.labels)} names", f"one for each of the stream's {n} channels")
        labels = facts.labels or labels
        if not any(labels):
            raise RecordingError(where, "does not name its channels", "names", "Pass --labels FP1,F3,...")
        units = (facts.unit,) * n if facts.unit else units
        if not any(units):
            raise RecordingError(where, "does not say its unit", "a unit", "Pass --unit uV, mV or V")
        rate = facts.sfreq or float(info.nominal_srate())
        if rate <= 0:
            raise RecordingError(where, "does not say its sampling rate", "a rate in Hz", "Pass --sfreq")
        return labels, units, rate


def _described(info: Any, n_channels: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return labels and units of a stream's description, empty where it has none."""
    one = info.desc().child("channels").child("channel")
    found: list[tuple[str, str]] = []
    while not one.empty() and len(found) < n_channels:
        found.append((one.child_value("label").strip(), one.child_value("unit").strip()))
        one = one.next_sibling("channel")
    found += [("", "")] * (n_channels - len(found))
    labels, units = zip(*found, strict=True)
    return labels, units


def _pieces(
    values: NDArray[np.float32], stamps: NDArray[np.float64], longest: float
) -> Iterator[tuple[NDArray[np.float32], float]]:
    """Cut what was pulled where its stamps jump."""
    steps = np.diff(stamps)
    edges = [0, *(np.flatnonzero((steps > longest) | (steps < -longest)) + 1).tolist(), len(stamps)]
    for first, stop in pairwise(edges):
        yield values[:, first:stop], float(stamps[first])


class Publisher:
    """Two LSL streams: alarms as markers in JSON, and a probability each second for the whole and for each node."""

    def __init__(self, name: str, nodes: Sequence[str]) -> None:
        lsl = _library()
        markers = lsl.StreamInfo(f"{name}-alarms", "Markers", 1, lsl.IRREGULAR_RATE, "string", f"restcli-{name}-alarms")
        scores = lsl.StreamInfo(name, "Probability", 1 + len(nodes), 1.0, "float32", f"restcli-{name}")
        scores.set_channel_labels(["probability", *nodes])
        self._markers, self._scores = lsl.StreamOutlet(markers), lsl.StreamOutlet(scores)

    def score(self, probability: float, by_node: NDArray[np.float32]) -> None:
        """Send the score of a second; NaN where it was not scored."""
        self._scores.push_sample([probability, *by_node.tolist()])

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a marker."""
        self._markers.push_sample([json.dumps(message)])
