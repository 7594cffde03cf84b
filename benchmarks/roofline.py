"""How far each stage is from what the machine could do: counted bytes and operations against measured rates."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.child import TwoClocks
from benchmarks.recordings import N_CHANNELS, SFREQ, make_recording
from benchmarks.tables import Rows, Tables, seconds_of
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.io.registry import open_recording
from restcli.nn.weights import Weights, load_weights
from restcli.output.bundle import Bundle

_HOURS = 2.0
_USED = 19  # channels of the recording that the montage needs
_LANE_SECONDS = 300


def measure(options: argparse.Namespace) -> Tables:
    """Compare the processor time of each stage on one thread with the least that its bytes and operations allow."""
    rates = _rates(options.repeats)
    weights = load_weights("rest-default")
    measured = _stages(make_recording(options.folder, _HOURS), weights, options.repeats)
    rows: Rows = []
    for stage, (n_bytes, n_operations) in counts(weights, _HOURS * 3600).items():
        least = n_bytes / rates["copy, bytes/s"] + n_operations / rates["matrix product, FLOP/s"]
        rows.append(
            {
                "stage": stage,
                "GB moved": n_bytes / 1e9,
                "GFLOP": n_operations / 1e9,
                "bound, s": least,
                "measured, s": measured[stage],
                "measured / bound": measured[stage] / least,
            }
        )
    # Fixed costs write little: their bound is near zero and a ratio would say nothing.
    for stage in ("open", "pictures"):
        rows.append(
            {
                "stage": stage,
                "GB moved": "",
                "GFLOP": "",
                "bound, s": "",
                "measured, s": measured[stage],
                "measured / bound": "independent of length",
            }
        )
    machine: Rows = [{"rate": name, "value": f"{value / 1e9:.3g} G"} for name, value in rates.items()]
    return {"rates of one thread": machine, f"lower bound of each stage, {_HOURS:g} h, one thread": rows}


def counts(weights: Weights, n_seconds: float) -> dict[str, tuple[float, float]]:
    """Count the bytes moved and the floating-point operations of each stage for 23 channels at 256 Hz."""
    n, f = len(weights.nodes), weights.features.n_features
    h = weights.config.hidden * weights.config.members  # members stand side by side
    sample = 4  # bytes of a float32
    stored = _USED * SFREQ * sample
    transform = 2.5 * SFREQ * math.log2(SFREQ) * n  # the usual count of a real FFT
    derive = n * SFREQ  # one subtraction a sample
    bins = SFREQ // 2 + 1
    moved = stored + n * SFREQ * sample * 2 + n * bins * sample * 2 + n * f * sample
    projection = 2 * n * f * h
    linear = 2 * h * weights.config.hidden  # members are independent: blocks, though they are multiplied whole
    update = n * 5 * linear + 2 * (2 * n * n * h)  # five linear maps and two sums over neighbours
    again = 1 + weights.memory / _LANE_SECONDS  # warm-up
    text = 8 * (n + 2)  # a row of scores: time, probability and nodes
    counted = {
        "read": (N_CHANNELS * SFREQ * 2 + stored, _USED * SFREQ * 2),  # scale and shift
        "spectra": (moved, transform + derive),
        "network": (again * n * h * sample, projection + again * update),
        "events": (n * 3 * sample, 0.0),  # logits, quality and amplitude of each node
        "tables": (text + (n + 1) * sample, 0.0),
    }
    return {stage: (n_bytes * n_seconds, n_flop * n_seconds) for stage, (n_bytes, n_flop) in counted.items()}


def _rates(repeats: int) -> dict[str, float]:
    """Measure copying and multiplying on one thread; the best of several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        source = np.ones(2**24, dtype=np.float32)
        target = np.empty_like(source)
        one = torch.randn(768, 768)
        place = torch.empty_like(one)

        def best(action: object) -> float:
            return min(seconds_of(action, repeats=1, clock=time.thread_time) for _ in range(5 * repeats))  # type: ignore[arg-type]

        copy = 2 * source.nbytes / best(lambda: np.copyto(target, source))
        product = 2 * 768**3 / best(lambda: torch.mm(one, one, out=place))
    finally:
        torch.set_num_threads(before)
    return {"copy, bytes/s": copy, "matrix product, FLOP/s": product}


def _stages(path: Path, weights: Weights, repeats: int) -> dict[str, float]:
    """Return the least processor time of each stage; one worker thread, so that stages do not disturb each other."""
    detector = Detector(weights, "cpu")
    found: dict[str, list[float]] = {}
    for _ in range(repeats + 1):
        clock = TwoClocks()
        with clock("open"):
            recording = open_recording(path)
        result = detector.annotate(recording, Settings(threads=1), clock=clock)
        with tempfile.TemporaryDirectory() as folder:
            Bundle(Path(folder), "result").write(result, clock=clock)
        for stage, seconds in clock.processor.seconds.items():
            found.setdefault(stage, []).append(seconds)
    return {stage: min(values) for stage, values in found.items()}
