"""What fewer bits change: probabilities and events with rounded weights or rounded inputs of the recurrence."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.tables import Rows, Tables
from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.settings import Settings
from restcli.errors import RestError
from restcli.io.registry import open_recording
from restcli.nn.weights import Weights, load_weights

_EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "absence.edf"
_SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "eeg"


def measure(options: argparse.Namespace) -> Tables:
    """Compare every form with float32 on the example and on real recordings, if there are any."""
    weights = replace(load_weights("rest-default"), golden=())
    plain = Detector(weights, "cpu")
    known = {path: result for path in _recordings(options.recordings) if (result := _try(plain, path)) is not None}
    rows: Rows = []
    for name, build in _forms(weights).items():
        detector = build()
        pairs = [(result, detector.annotate(open_recording(path), Settings())) for path, result in known.items()]
        rows.append({"form": name} | _difference(pairs))
    return {
        f"fewer bits, {len(known)} recordings, {sum(len(r.events) for r in known.values())} events in float32": rows
    }


def _recordings(folder: Path | None) -> Iterable[Path]:
    yield _EXAMPLE
    if folder is not None:
        yield from sorted(folder.rglob("*.edf"))
    for kind in () if folder is not None else ("absence", "iiic", "chbmit", "eegmat"):
        yield from sorted((_SHARED / kind).glob("*.edf"))


def _try(detector: Detector, path: Path) -> Result | None:
    try:
        return detector.annotate(open_recording(path), Settings())
    except RestError:
        return None  # recordings that cannot be used say nothing about precision


def _forms(weights: Weights) -> dict[str, Callable[[], Detector]]:
    half, brain = torch.float16, torch.bfloat16
    return {
        "weights float16": lambda: _stored(weights, lambda w: w.to(half).to(w.dtype)),
        "weights bfloat16": lambda: _stored(weights, lambda w: w.to(brain).to(w.dtype)),
        "weights int8, one scale per row": lambda: _stored(weights, _int8),
        "projections float16": lambda: _rounded(weights, half),
        "projections bfloat16": lambda: _rounded(weights, brain),
        "weights and projections float16": lambda: _rounded(_with(weights, lambda w: w.to(half).to(w.dtype)), half),
    }


def _with(weights: Weights, change: Callable[[Tensor], Tensor]) -> Weights:
    tensors = {name: change(torch.from_numpy(value.copy())).numpy() for name, value in weights.tensors.items()}
    return replace(weights, tensors=tensors)


def _stored(weights: Weights, change: Callable[[Tensor], Tensor]) -> Detector:
    return Detector(_with(weights, change), "cpu")


def _int8(weight: Tensor) -> Tensor:
    if weight.ndim < 2:
        return weight  # biases are few and stay
    scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
    return torch.round(weight / scale) * scale


class _Rounded(nn.Module):
    def __init__(self, inner: nn.Module, kind: torch.dtype) -> None:
        super().__init__()
        self.inner, self.kind = inner, kind

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out.to(self.kind).to(out.dtype)


def _rounded(weights: Weights, kind: torch.dtype) -> Detector:
    detector = Detector(weights, "cpu")
    detector.engine.network.l1 = _Rounded(detector.engine.network.l1, kind)  # type: ignore[assignment]
    return detector


def _difference(pairs: list[tuple[Result, Result]]) -> dict[str, object]:
    def times(result: Result) -> set[tuple[float, float]]:
        return {(event.onset, event.duration) for event in result.events}

    away = np.concatenate([np.abs(a.scores.probability - b.scores.probability) for a, b in pairs])
    away = away[np.isfinite(away)]
    return {
        "largest change of probability": float(away.max()),
        "99.9 % below": float(np.quantile(away, 0.999)),
        "median": float(np.median(away)),
        "events lost, new or moved": sum(len(times(a) ^ times(b)) for a, b in pairs),
        "recordings whose events differ": sum(times(a) != times(b) for a, b in pairs),
    }
