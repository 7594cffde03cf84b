"""Weights as C99: one header and one source, without heap, for 200-Hz derivations on a small device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from string import Template
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
_MOST_NODES = 32  # bits of a mask


def c_files(weights: Weights, *, int8: bool = False) -> dict[str, str]:
    """Return the texts of ``rest.h`` and ``rest.c``; `int8` stores matrices in bytes, with a scale for each row."""
    Network.of(weights)  # refuses parameters that do not fit
    if len(weights.nodes) > _MOST_NODES:
        raise WeightsError(weights.name, f"has {len(weights.nodes)} nodes", f"at most {_MOST_NODES} for C")
    config, features = weights.config, weights.features
    title = f"REST in C99, {'int8' if int8 else 'float32'} weights"
    header = _filled(
        "rest.h.in",
        title=title,
        version=__version__,
        name=weights.name,
        sha256=weights.sha256 or "unknown",
        definition=DEFINITION,
        nodes=len(weights.nodes),
        node_names=_lines(weights.nodes, indent="   "),
        rate=REFERENCE_RATE,
        features=features.n_features,
        width=config.hidden * config.members,
        look_ahead=weights.look_ahead,
        min_nodes=weights.min_nodes,
        rule=_rule(weights),
        buffers=_BUFFER.format("h") + (_BUFFER.format("projected") if config.inference_updates > 1 else ""),
    )
    relative = features.relative
    source = _filled(
        "rest.c.in",
        title=title,
        tables=_tables(weights, int8=int8),
        row_of=_ROW_OF_BYTES if int8 else _ROW_OF_FLOATS,
        usual=_USUAL if relative else "",
        amplitudes=(_AMPLITUDE if features.amplitude else "    (void)total;\n") + (_RELATIVE if relative else ""),
        init=_INIT if relative else "",
        begin="    settle(r);\n" if relative else "",
        settle=_SETTLE if relative else "",
        updates=_UPDATES if config.inference_updates > 1 else "    update(r, present, r->known == 0);\n",
    )
    return {"rest.h": header, "rest.c": source}


def _filled(template: str, **values: Any) -> str:
    text = files("restcli.export").joinpath(template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _rule(weights: Weights) -> str:
    """Write the event rule as constants, whatever its fields are."""
    found = {key: value for key, value in asdict(weights.rule).items() if isinstance(value, int | float)}
    return "\n".join(f"#define REST_RULE_{key.upper()} ({_number(value)})" for key, value in found.items())


def _tables(weights: Weights, *, int8: bool) -> str:
    """Write all constants of the source."""
    config, features, relative = weights.config, weights.features, weights.features.relative
    members, low, high = weights.by_member(), *features.range
    lowest, highest = (min(low, BANDS[0][0]), max(high, BANDS[-1][1])) if relative else (low, high)
    readout = np.concatenate([member["fc.weight"][0] for member in members]) / np.float32(len(members))
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
        "READOUT_BIAS": f"({_number(np.mean([member['fc.bias'][0] for member in members]))})",
        "LISTENED": WINDOW,
    }
    if features.amplitude:
        constants["REFERENCE_RMS"] = _number(REFERENCE_RMS)
    turn = 2 * np.pi * np.arange(REFERENCE_RATE) / REFERENCE_RATE
    parts = [
        "\n".join(f"#define {key} {value}" for key, value in constants.items()),
        f"typedef {'int8_t' if int8 else 'float'} weight;",
        _MATRIX,
        f"static const uint8_t bands[BANDS][2] = {{{', '.join(f'{{{a}, {b}}}' for a, b in features.bands)}}};",
        _array("float", "cosine", np.cos(turn)),
        *([_array("float", "share", _shares())] if relative else []),
        *_graph(Network.of(weights).adjacency),
        *(_matrix(name, members, key, int8=int8) for name, key in MATRICES.items()),
        *(_array("float", name, _stacked(members, key)) for name, key in _BIASES.items()),
        _array("float", "readout", readout),
        _LAYERS,
    ]
    return "\n\n".join(parts)


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


def _matrix(name: str, members: Sequence[Tensors], key: str, *, int8: bool) -> str:
    """Write one row of weights for each entry of the state, as floats or as bytes with a scale for each row."""
    rows = _stacked(members, key)
    of_features = int(name == "projection")
    if not int8:
        whole = f"static const matrix {name} = {{{name}_rows, 0, {rows.shape[1]}, {of_features}}};"
        return f"{_array('weight', f'{name}_rows', rows)}\n{whole}"
    quantised, scale = to_bytes(rows)
    whole = f"static const matrix {name} = {{{name}_rows, {name}_scale, {rows.shape[1]}, {of_features}}};"
    tables = _array("weight", f"{name}_rows", quantised), _array("float", f"{name}_scale", scale)
    return "\n".join([*tables, whole])


def to_bytes(rows: Float32Array) -> tuple[NDArray[np.int8], Float32Array]:
    """Round each row to whole multiples, -127 to 127, of a step of its own."""
    scale = np.maximum(np.abs(rows).max(axis=1), 1e-12) / 127
    return np.rint(rows / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def _stacked(members: Sequence[Tensors], key: str) -> Float32Array:
    return np.concatenate([member[key] for member in members])


def _array(kind: str, name: str, values: NDArray[Any]) -> str:
    flat = np.asarray(values).ravel()
    texts = [_number(value) for value in flat] if kind == "float" or flat.dtype.kind == "f" else map(str, flat.tolist())
    return f"static const {kind} {name}[{flat.size}] = {{\n{_lines(texts, indent='    ')}}};"


def _number(value: float) -> str:
    """Write a number so that C reads the same float."""
    text = f"{np.float32(value):.9g}"
    return f"{text if set(text) & set('.e') else text + '.0'}f"


def _lines(words: Iterable[str], *, indent: str, width: int = 110) -> str:
    """Fill lines with words, a comma between them."""
    lines, line = [], indent
    for word in words:
        if len(line) + len(word) > width:
            lines.append(line.rstrip())
            line = indent
        line += f"{word}, "
    return "\n".join([*lines, line.rstrip(" ,")])


_BIASES = {"carry_bias": "l2.bias", "first_bias": "gc1.lin_rel.bias", "second_bias": "gc2.lin_rel.bias"}
_BUFFER = "    float {}[REST_NODES][REST_WIDTH];\n"
_MATRIX = """\
typedef struct {
    const weight *rows; /* REST_WIDTH of them */
    const float *scale; /* of each row, where weights are bytes */
    int columns;
    int of_features; /* or of the part of the state that belongs to the row's member */
} matrix;

typedef struct {
    const matrix *root, *near;
    const float *bias;
} convolution;"""
_LAYERS = """\
static const convolution layers[2] = {
    {&first_root, &first_near, first_bias},
    {&second_root, &second_near, second_bias},
};"""
_ROW_OF_FLOATS = """\
    (void)buffer;
    return m->rows + row * m->columns;
"""
_ROW_OF_BYTES = """\
    const weight *from = m->rows + row * m->columns;
    for (int i = 0; i < m->columns; i++) {
        buffer[i] = m->scale[row] * (float)from[i];
    }
    return buffer;
"""
_AMPLITUDE = f"""\
    total = sqrtf(2.0f * total) / (float)REST_RATE;
    *out++ = clip(logf((total > 1e-6f ? total : 1e-6f) / REFERENCE_RMS), \
{_number(AMPLITUDE_RANGE[0])}, {_number(AMPLITUDE_RANGE[1])});
"""
_RELATIVE = """\
    float amplitude = 0.0f;
    for (int k = 1; k < (int)(sizeof share / sizeof *share); k++) {
        amplitude += share[k] * power[k];
    }
    *out = relative_to_usual(r, node, amplitude);
"""
_USUAL = f"""\
static float relative_to_usual(rest *r, int node, float amplitude)
{{
    const float above = amplitude - r->level[node], known = r->seconds[node];
    const float rise = known + {_number(usual.FIRST_RISE)} < {_number(usual.RISE)} \
? known + {_number(usual.FIRST_RISE)} : {_number(usual.RISE)};
    const float fall = known + {_number(usual.FIRST_FALL)} < {_number(usual.FALL)} \
? known + {_number(usual.FIRST_FALL)} : {_number(usual.FALL)};
    r->step[node] += above > 0.0f \
? (above < {_number(usual.LARGEST_RISE)} ? above : {_number(usual.LARGEST_RISE)}) / rise : above / fall;
    r->seen[node] += 1.0f;
    return clip(above, {_number(RELATIVE_RANGE[0])}, {_number(RELATIVE_RANGE[1])});
}}

static void settle(rest *r)
{{
    for (int node = 0; node < REST_NODES; node++) {{
        r->level[node] += r->step[node];
        r->seconds[node] = clip(r->seconds[node] + r->seen[node], 0.0f, {_number(usual.RISE)});
    }}
    memset(r->step, 0, sizeof r->step);
    memset(r->seen, 0, sizeof r->seen);
    r->held = 0;
}}

"""
_INIT = f"""\
    for (int node = 0; node < REST_NODES; node++) {{
        r->level[node] = {_number(usual.PRIOR)};
    }}
"""
_SETTLE = f"""\
    if (++r->held == {usual.STRIDE}) {{
        settle(r);
    }}
"""
_UPDATES = """\
    memmove(r->projected, r->h, sizeof r->h);
    for (int k = 0; k < UPDATES; k++) {
        memmove(r->h, r->projected, sizeof r->h);
        update(r, present, r->known == 0 && k == 0);
    }
"""
