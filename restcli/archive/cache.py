"""The score cache: what a recording was scored with, exactly, under a key of everything that determines scores."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restcli.detect.rule import to_events
from restcli.detect.settings import Settings, fit_montage, rule_in_force
from restcli.events import Scores, Span
from restcli.files import read_regular, resolve_output, write_atomically
from restcli.io.recording import Recording
from restcli.nn.weights import Weights
from restcli.signal.features import SPECTRUM_BINS

if TYPE_CHECKING:
    from restcli.detect.result import Result

PACKAGE = Path(__file__).parent.parent
# The sources and libraries that scores follow from; this module fixes the form in which they are stored.
_SOURCES = ("signal", "io", "nn", "detect", "events.py", "archive/cache.py")
_LIBRARIES = ("mne",)  # reads files; others compute the same up to rounding
# Settings that only choose events among the scores, and those that change no result by more than rounding.
RULE_SETTINGS = ("threshold", "sensitivity")
_NO_SETTING_OF_SCORES = ("weights", "device", "threads")  # the weights count by their content
_META = "restcli-scores"
_ARRAYS = ("time", "probability", "by_node", "interval", "by_type")  # of the scores
# Bins of the spectrum that pictures show are 1..40 Hz; the others are not stored.
_STORED_BINS = 41


def sources_digest(package: Path = PACKAGE) -> str:
    """Digest the source files that scores follow from."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        place = package / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\0".encode())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def own_sources_digest() -> str:
    """Digest the sources of this process, once."""
    return sources_digest()


def scoring_digest(weights: Weights, settings: Settings) -> str:
    """Digest everything that determines scores."""
    left_out = {*RULE_SETTINGS, *_NO_SETTING_OF_SCORES}
    chosen = {name: value for name, value in asdict(settings).items() if name not in left_out}
    text = json.dumps({"sources": own_sources_digest(), "weights": weights.sha256, **chosen}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ScoreCache:
    """Scores in a hidden folder, one file for each content of a recording and key."""

    folder: str  # of outputs
    key: str  # from `scoring_digest`

    def place(self, content: str) -> Path:
        """Return the file for a recording's content hash; folders of 256 keep directories short."""
        return Path(self.folder) / ".restcli" / "scores" / content[:2] / f"{content}-{self.key[:16]}.safetensors"

    def keep(self, content: str, result: Result) -> None:
        """Store the exact scores, trend and quality of a result: the whole file or none."""
        from safetensors.numpy import save

        place = self.place(content)
        resolve_output(self.folder, place.relative_to(self.folder).as_posix())
        scores, trend = vars(result.scores), result.trend
        arrays: dict[str, Any] = {name: scores[name] for name in _ARRAYS} | {
            "trend_time": trend.time,
            "amplitude": trend.amplitude,
            "spectrum": trend.spectrum[:, :_STORED_BINS],
        }
        meta = {
            "scores": {name: value for name, value in scores.items() if name not in _ARRAYS},
            "bad_seconds": {node: dict(counts) for node, counts in result.bad_seconds.items()},
            "band_limit": result.band_limit,
            "device": result.device,
            "doubts": result.doubts,
        }
        tensors = {name: np.ascontiguousarray(values) for name, values in arrays.items() if values is not None}
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, save(tensors, metadata={_META: json.dumps(meta, sort_keys=True, default=asdict)}))

    def restore(self, content: str, recording: Recording, weights: Weights, settings: Settings) -> Result | None:
        """Make a result from stored scores with the rule in force now, reading no signal; None if none is stored."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        from restcli.detect.result import Result, Trend

        try:
            stored = read_regular(self.place(content))
            arrays = load(stored)
            header = json.loads(stored[8 : 8 + int.from_bytes(stored[:8], "little")])
            meta = json.loads(header["__metadata__"][_META])
            scores = _scores(arrays, meta)
            spectrum = np.full((len(arrays["spectrum"]), SPECTRUM_BINS), np.nan, dtype=np.float32)
            spectrum[:, : arrays["spectrum"].shape[1]] = arrays["spectrum"]
            trend = Trend(arrays["trend_time"], arrays["amplitude"], spectrum)
            others = {name: meta[name] for name in ("bad_seconds", "band_limit", "device")}
            others["doubts"] = tuple(meta["doubts"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError):
            return None
        rule = rule_in_force(weights, settings)
        return Result(
            recording=recording,
            montage=fit_montage(recording, weights, settings),
            weights=weights,
            settings=settings,
            rule=rule,
            scores=scores,
            events=to_events(scores, rule, recording.clock),
            trend=trend,
            stages={},
            **others,
        )


def _scores(arrays: dict[str, Any], meta: dict[str, Any]) -> Scores:
    named = meta["scores"]
    named |= {name: arrays.get(name) for name in _ARRAYS}
    named |= {"nodes": tuple(named["nodes"]), "types": tuple(named["types"])}
    return Scores(**named | {"unscored": tuple(Span(**span) for span in named["unscored"])})
