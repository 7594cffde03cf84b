"""What a run report must hold before anything of it is used: it may have been changed by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from restcli.events import EventRule
from restcli.marks.json import row_of, span_of
from restcli.nn.checks import read_value
from restcli.signal.features import FeatureConfig

_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "restcli": str,
    "disclaimer": str,
    "device": str,
    "quality": dict,
    "outputs": dict,
    "recording.path": str,
    "recording.fingerprint": str,
    "recording.duration_s": (int, float),
    "recording.n_channels": int,
    "recording.segments": list,
    "weights.name": str,
    "weights.sha256": str,
    "settings.weights": str,
    "settings.step": (int, float),
    "settings.threshold": (int, float, type(None)),
    "settings.plot": str,
}
_LONGEST = 1e10  # s


def check_report(report: Mapping[str, Any], where: str) -> None:
    """Look at all that a review uses; ValueError, KeyError, TypeError or RestError where it is of another kind."""
    for place, kind in _KINDS.items():
        value: Any = report
        for name in place.split("."):
            value = value[name]
        _expect(isinstance(value, kind) and not isinstance(value, bool), place)
    settings, outputs = report["settings"], report["outputs"]
    pairs = [(theirs, ours) for theirs, ours in settings["channel_map"]]
    texts = [*settings["formats"], *report["montage"]["nodes"], *outputs.values(), *(t for pair in pairs for t in pair)]
    _expect(all(isinstance(text, str) for text in texts), "texts")
    _expect(0 <= report["recording"]["duration_s"] <= _LONGEST, "recording.duration_s")
    _expect(settings["step"] >= 1 and float(settings["step"]).is_integer(), "settings.step")
    rule = read_value(EventRule, report["rule"], "rule")
    _expect(all(math.isfinite(value) for value in vars(rule).values()) and 0 < rule.threshold <= 1, "rule")
    read_features(report)
    for item in report["events"]:
        row_of(item, where)
    for item in report["scored"]["not_scored"]:
        span_of(item, where)


def read_features(report: Mapping[str, Any]) -> FeatureConfig:
    """Return what the network saw of a second."""
    features: FeatureConfig = read_value(FeatureConfig, report["weights"]["features"], "features")
    return features


def _expect(fine: bool, place: str) -> None:
    if not fine:
        raise ValueError(place)
