"""What a weights file may say: types, ranges, shapes, and a rule that can fire."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import numpy as np

from restcli.nn.config import RestConfig
from restcli.signal.features import AMPLITUDE_RANGE, RELATIVE_RANGE, SPECTRUM_BINS
from restcli.signal.montage import electrode_graph, electrode_position

if TYPE_CHECKING:
    from restcli.nn.weights import Weights

LARGEST_FILE = 16 << 20  # bytes: the largest network that a configuration allows, and metadata
_LARGEST_HEADER = 1 << 19
_MOST_NODES = 64
_LONGEST_TEXT = 100
_N_GOLDEN = 8
_SECONDS = 100  # for which a bound on the logit is followed
_POINT = re.compile("sensitive|balanced|specific")
_TYPE = re.compile(r"sz(_[a-zA-Z0-9]{1,12}){0,4}")

# Numbers without an entry must be finite and below 1e4.
_BOUNDS = {
    "memory": (1, 3600),
    "look_ahead": (0, 600),
    "features.floor": (1e-12, 1e3),
    "points.sensitivity": (0, 1),
    "points.false_alarms_per_day": (0, 1e6),
    "points.asked": (0, 1e6),
    "rule.threshold": (1e-9, 0.9996),  # log odds count as 8 at most
    "rule.release": (1e-9, 0.9996),
    "rule.min_duration": (0, 60),
    "rule.max_gap": (0, 60),
    "rule.smooth": (0, 60),
    "rule.long": (0, 120),
    "rule.lift": (-20, 20),
    "calibration.scale": (1e-6, 1e4),
    "config.n_types": (0, 32),
}


def check_header(content: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file; ValueError before anything large is made of it."""
    size = int.from_bytes(content[:8], "little")
    if not 2 <= size <= min(_LARGEST_HEADER, len(content) - 8):
        raise ValueError("no header")
    header = json.loads(content[8 : 8 + size])
    tensors = [entry for key, entry in header.items() if key != "__metadata__"]
    if len(tensors) > 64 or any(entry["dtype"] != "F32" or len(entry["shape"]) > 3 for entry in tensors):
        raise ValueError("tensors of another kind")
    return dict(header)


def read_value(kind: Any, value: Any, name: str) -> Any:
    """Make a number, text, tuple or dataclass of plain values; ValueError for values and fields of another type."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        if not isinstance(value, Mapping) or value.keys() - hints.keys():
            raise ValueError(f"{name} has other fields")
        return kind(**{key: read_value(hints[key], part, f"{name}.{key}") for key, part in value.items()})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        kinds = [inner[0]] * len(value) if inner[-1] is ... else inner
        return tuple(read_value(one, part, name) for one, part in zip(kinds, value, strict=True))
    allowed = (int, float) if kind is float else (kind,)  # a float may be written as an integer
    if type(value) not in allowed:
        raise ValueError(f"{name} is a {type(value).__name__}, not a {kind.__name__}")
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise ValueError(f"{name} is a text of {len(value)} characters")
    return value


def check_weights(weights: Weights) -> None:
    """Raise ValueError unless the weights can be used as they are: ranges, names, shapes, rule."""
    for name in ("memory", "look_ahead", "min_nodes"):
        _check_range(name, getattr(weights, name))
    for part in ("config", "features", "rule", "calibration"):
        for key, value in asdict(getattr(weights, part)).items():
            if isinstance(value, int | float):
                _check_range(f"{part}.{key}", value)
    if weights.rule.release > weights.rule.threshold:
        raise ValueError("rule.release lies above rule.threshold")
    _check_points(weights)
    _check_graph(weights)
    _check_inputs(weights)
    _check_numbers("golden", weights.golden, _N_GOLDEN)
    if weights.baseline is not None:
        for name in ("centre", "scale", "slope"):
            _check_numbers(f"baseline.{name}", getattr(weights.baseline, name), 10)
        _check_range("baseline.intercept", weights.baseline.intercept)
        if min(weights.baseline.scale) <= 0:
            raise ValueError("baseline.scale is not above 0")
    if len(weights.types) != weights.config.n_types or not all(map(_TYPE.fullmatch, weights.types)):
        raise ValueError("types are not those of the network")
    check_tensors(weights)
    _check_rule_can_fire(weights)


def _check_range(name: str, value: float) -> None:
    low, high = _BOUNDS.get(name, (-1e4, 1e4))
    if not low <= value <= high:
        raise ValueError(f"{name} is {value:g}, not between {low:g} and {high:g}")


def _check_numbers(name: str, values: tuple[float, ...], count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} holds {len(values)} numbers, not {count}")
    for value in values:
        _check_range(name, value)


def _check_points(weights: Weights) -> None:
    for point in weights.points:
        if not _POINT.fullmatch(point.name):
            raise ValueError("an operating point has another name than sensitive, balanced and specific")
        _check_range("rule.threshold", point.threshold)
        for name in ("sensitivity", "false_alarms_per_day", "asked"):
            value = getattr(point, name)
            if not math.isnan(value):  # not known
                _check_range(f"points.{name}", value)
    if len({point.name for point in weights.points}) != len(weights.points):
        raise ValueError("two operating points have one name")


def _check_graph(weights: Weights) -> None:
    nodes = weights.nodes
    if not 0 < len(nodes) <= _MOST_NODES or len(set(nodes)) != len(nodes):
        raise ValueError(f"nodes are not 1 to {_MOST_NODES} different ones")
    for node in nodes:
        ends = node.split("-")
        try:
            n_places = len({electrode_position(end) for end in ends})
        except KeyError:  # none of the 10-20 system
            n_places = 0
        if n_places != len(ends) or len(ends) > 2:
            raise ValueError("nodes are not all electrodes or derivations of the 10-20 system")
    if not 1 <= weights.min_nodes <= len(nodes):
        raise ValueError(f"min_nodes is {weights.min_nodes} of {len(nodes)} nodes")


def _check_inputs(weights: Weights) -> None:
    bands = weights.features.bands
    if not bands or not all(0 <= low < high < SPECTRUM_BINS for low, high in bands):
        raise ValueError("features.bands are not pairs of hertz up to 100")
    if any(low <= high for (_, high), (low, _) in pairwise(bands)):
        raise ValueError("features.bands overlap")


def _shapes(config: RestConfig) -> dict[str, tuple[int, ...]]:
    h = config.hidden
    shapes: dict[str, tuple[int, ...]] = {"l1.weight": (h, config.n_features), "l2.weight": (h, h), "l2.bias": (h,)}
    for name in ("gc1", "gc2"):
        shapes |= {f"{name}.lin_{part}.weight": (h, h) for part in ("root", "rel")} | {f"{name}.lin_rel.bias": (h,)}
    outputs = {"fc": 1} | ({"fc_type": config.n_types} if config.n_types else {})
    for name, n in outputs.items():
        shapes |= {f"{name}.weight": (n, h), f"{name}.bias": (n,)}
    return shapes


def check_tensors(weights: Weights) -> None:
    """Raise ValueError unless the parameters have the shapes that configuration and features ask for."""
    if weights.config.n_features != weights.features.n_features:
        raise ValueError("config.n_features is not the number of features")
    stack = (weights.config.members,) if weights.config.members > 1 else ()
    wanted = {name: (*stack, *shape) for name, shape in _shapes(weights.config).items()}
    if {name: tensor.shape for name, tensor in weights.tensors.items()} != wanted:
        raise ValueError("the parameters do not fit the configuration")
    if not all(np.isfinite(tensor).all() for tensor in weights.tensors.values()):
        raise ValueError("parameters are not finite")


def _check_rule_can_fire(weights: Weights) -> None:
    """Refuse a threshold above every probability that the network could give for any input."""
    calibration = weights.calibration
    threshold = max(weights.rule.threshold, *(point.threshold for point in weights.points), 0)
    odds = math.inf if threshold >= 1 else math.log(threshold / (1 - threshold))
    if not _can_reach(weights, (odds - calibration.bias) / calibration.scale):
        raise ValueError("no signal can reach rule.threshold")


def _can_reach(weights: Weights, logit: float) -> bool:
    """Bound the mean logit by absolute values, second by second; most networks pass the bound within a few seconds."""
    features = weights.features
    largest = [math.sqrt(high - low + 1) for low, high in features.bands for _ in range(low, high + 1)]
    largest += [max(map(abs, AMPLITUDE_RANGE))] * features.amplitude + [
        max(map(abs, RELATIVE_RANGE))
    ] * features.relative
    reach = float(electrode_graph(weights.nodes).sum(axis=1).max())
    members = weights.by_member()
    sizes = [{name: np.abs(value.astype(np.float64)) for name, value in member.items()} for member in members]
    states = [np.zeros(weights.config.hidden) for _ in members]

    def convolve(p: Mapping[str, Any], name: str, x: Any) -> Any:
        return (p[f"{name}.lin_root.weight"] + reach * p[f"{name}.lin_rel.weight"]) @ x + p[f"{name}.lin_rel.bias"]

    before = -math.inf
    for _ in range(_SECONDS):
        bounds = []
        for k, p in enumerate(sizes):
            h = p["l1.weight"] @ np.array(largest) + p["l2.weight"] @ states[k] + p["l2.bias"]
            states[k] = h + convolve(p, "gc2", convolve(p, "gc1", h))
            bounds.append(float(p["fc.weight"][0] @ states[k]) + float(members[k]["fc.bias"][0]))
        bound = sum(bounds) / len(bounds)
        if bound >= logit:
            return True
        if bound - before <= 1e-9 * abs(bound):
            return False  # the bound has converged below
        before = bound
    return math.isfinite(logit)
