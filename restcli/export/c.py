"""Weights as C99: one header and one source, without heap, for 200-Hz derivations on a small device."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli import __version__
from restcli.errors import WeightsError
from restcli.io.recording import LARGEST
from restcli.nn.network import Network
from restcli.nn.weights import DEFINITION, Tensors, Weights
from restcli.signal import usual
from restcli.signal.features import (
    AMPLITUDE_RANGE,
    BANDS,
    REFERENCE_RATE,
    REFERENCE_RMS,
    RELATIVE_RANGE,
    Float32Array,
)
from restcli.signal.open_inputs import WINDOW

MATRICES = {
    "projection": "l1.weight",
    "carry": "l2.weight",
    "first_root": "gc1.lin_root.weight",
    "first_near": "gc1.lin_rel.weight",
    "second_root": "gc2.lin_root.weight",
    "second_near": "gc2.lin_rel.weight",
}
_BIASES = {"carry_bias": "l2.bias", "first_bias": "gc1.lin_rel.bias", "second_bias": "gc2.lin_rel.bias"}
_MOST_NODES = 32  # bits of a mask


def c_files(weights: Weights, *, int8: bool = False) -> dict[str, str]:
    """Return the texts of ``rest.h`` and ``rest.c``; `int8` stores matrices in bytes, with a scale for each row."""
    from jinja2 import Environment, PackageLoader

    Network.of(weights)  # refuses parameters that do not fit
    if len(weights.nodes) > _MOST_NODES:
        raise WeightsError(weights.name, f"has {len(weights.nodes)} nodes", f"at most {_MOST_NODES} for C")
    templates = Environment(
        loader=PackageLoader("restcli.export", "."), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    templates.filters["number"] = _number
    facts = _facts(weights, int8=int8)
    return {name: templates.get_template(f"{name}.j2").render(facts) for name in ("rest.h", "rest.c")}


def _facts(weights: Weights, *, int8: bool) -> dict[str, Any]:
    """Return what the templates say of weights."""
    config, features = weights.config, weights.features
    return {
        "title": f"REST in C99, {'int8' if int8 else 'float32'} weights",
        "version": __version__,
        "name": weights.name,
        "sha256": weights.sha256 or "unknown",
        "definition": DEFINITION,
        "nodes": len(weights.nodes),
        "node_names": _filled(weights.nodes, indent="   "),
        "rate": REFERENCE_RATE,
        "features": features.n_features,
        "width": config.hidden * config.members,
        "look_ahead": weights.look_ahead,
        "min_nodes": weights.min_nodes,
        "rule": asdict(weights.rule),
        "int8": int8,
        "updates": config.inference_updates,
        "amplitude": features.amplitude,
        "amplitude_range": ", ".join(map(_number, AMPLITUDE_RANGE)),
        "relative": features.relative,
        "relative_range": ", ".join(map(_number, RELATIVE_RANGE)),
        "rise": _number(usual.RISE),
        "fall": _number(usual.FALL),
        "first_rise": _number(usual.FIRST_RISE),
        "first_fall": _number(usual.FIRST_FALL),
        "largest_rise": _number(usual.LARGEST_RISE),
        "prior": _number(usual.PRIOR),
        "stride": usual.STRIDE,
        "constants": _constants(weights),
        "bands": f"{{{', '.join(f'{{{low}, {high}}}' for low, high in features.bands)}}}",
        "tables": _tables(weights, int8=int8),
    }


def _constants(weights: Weights) -> dict[str, Any]:
    config, features = weights.config, weights.features
    low, high = features.range
    lowest, highest = (min(low, BANDS[0][0]), max(high, BANDS[-1][1])) if features.relative else (low, high)
    readout_bias = np.mean([member["fc.bias"][0] for member in weights.by_member()])
    constants = {
        "HIDDEN": config.hidden,
        "COLUMNS": max(features.n_features, config.hidden),
        "UPDATES": config.inference_updates,
        "LOWEST_USED": low,
        "HIGHEST_USED": high,
        "LOWEST": lowest,
        "HIGHEST": highest,
        "BANDS": len(features.bands),
        "FLOOR": _number(features.floor**2),
        "LARGEST": _number(LARGEST),
        "SCALE": _number(weights.calibration.scale),
        "BIAS": f"({_number(weights.calibration.bias)})",
        "READOUT_BIAS": f"({_number(readout_bias)})",
        "LISTENED": WINDOW,
    }
    return constants | ({"REFERENCE_RMS": _number(REFERENCE_RMS)} if features.amplitude else {})


def _tables(weights: Weights, *, int8: bool) -> Iterator[str]:
    """Write each array of the source."""
    members = weights.by_member()
    yield _array("float", "cosine", np.cos(2 * np.pi * np.arange(REFERENCE_RATE) / REFERENCE_RATE))
    if weights.features.relative:
        yield _array("float", "share", _shares())
    yield from _graph(Network.of(weights).adjacency)
    for name, key in MATRICES.items():
        yield _matrix(name, _stacked(members, key), int8=int8)
    for name, key in _BIASES.items():
        yield _array("float", name, _stacked(members, key))
    yield _array("float", "readout", _stacked(members, "fc.weight") / np.float32(len(members)))


def _shares() -> NDArray[np.float64]:
    """Return the shares that bins have in the mean log amplitude."""
    shares = np.zeros(BANDS[-1][1] + 1)
    for low, high in BANDS:
        shares[low : high + 1] = 1 / (len(BANDS) * (high - low + 1))
    return shares


def _graph(adjacency: Float32Array) -> Iterable[str]:
    """Write each node's neighbours one after another."""
    counts = np.count_nonzero(adjacency, axis=1)
    yield _array("uint16_t", "first_edge", np.concatenate([[0], np.cumsum(counts)]))
    yield _array("uint8_t", "neighbour", np.nonzero(adjacency)[1])
    yield _array("float", "nearness", adjacency[adjacency != 0])


def _matrix(name: str, rows: Float32Array, *, int8: bool) -> str:
    """Write one row of weights for each entry of the state, as floats or as bytes with a scale for each row."""
    quantised, scale = to_bytes(rows) if int8 else (rows, None)
    texts = [_array("weight", f"{name}_rows", quantised)]
    if scale is not None:
        texts.append(_array("float", f"{name}_scale", scale))
    scale_name, of_features = f"{name}_scale" if int8 else 0, int(name == "projection")
    texts.append(f"static const matrix {name} = {{{name}_rows, {scale_name}, {rows.shape[1]}, {of_features}}};")
    return "\n".join(texts)


def to_bytes(rows: Float32Array) -> tuple[NDArray[np.int8], Float32Array]:
    """Round each row to whole multiples, -127 to 127, of a step of its own."""
    scale = np.maximum(np.abs(rows).max(axis=1), 1e-12) / 127
    return np.rint(rows / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def _stacked(members: Sequence[Tensors], key: str) -> Float32Array:
    return np.concatenate([member[key] for member in members])


def _array(kind: str, name: str, values: NDArray[Any]) -> str:
    flat = np.asarray(values).ravel()
    texts = [_number(value) for value in flat] if kind == "float" or flat.dtype.kind == "f" else map(str, flat.tolist())
    return f"static const {kind} {name}[{flat.size}] = {{\n{_filled(texts, indent='    ')}}};"


def _number(value: float) -> str:
    """Write a number so that C reads the same float."""
    text = f"{np.float32(value):.9g}"
    return f"{text if set(text) & set('.e') else text + '.0'}f"


def _filled(words: Iterable[str], *, indent: str) -> str:
    """Fill lines with words, a comma between them."""
    look: Any = {"initial_indent": indent, "subsequent_indent": indent, "break_on_hyphens": False}
    return textwrap.fill(", ".join(words), 111, **look)
