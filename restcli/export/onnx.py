"""Weights as ONNX graphs of standard operators: the network alone, and all from microvolts to a probability."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restcli import __version__
from restcli.errors import UsageError
from restcli.io.recording import LARGEST
from restcli.nn.network import Network
from restcli.nn.weights import DEFINITION, Weights
from restcli.signal import usual
from restcli.signal.features import (
    AMPLITUDE_RANGE,
    BANDS,
    REFERENCE_RATE,
    REFERENCE_RMS,
    RELATIVE_RANGE,
)
from restcli.signal.open_inputs import WINDOW

if TYPE_CHECKING:
    from onnx import ModelProto

_OPSET, _IR = 17, 8  # of 2022, so that old runtimes read them
_Shape = Sequence[int]

# What a user must know of each input and output; states begin as zeros and are given back after each second.
_MEANINGS = {
    "features": "inputs of each node, as restcli computes them",
    "microvolts": "one second of each node, uV, 200 samples",
    "good": "whether nothing is wrong with a node in this second: connected, not flat or clipped, no mains hum",
    "open": "whether a node has sounded like an open input over the last 11 s",
    "present": "whether a node takes part: good and not open",
    "begins": "true in the first second of a recording and after a gap",
    "probability": "of a seizure in the second look_ahead before this one; NaN where it cannot be said",
    "by_node": "the same, read out at each node; NaN for nodes that were left out",
}


def network_graph(weights: Weights) -> ModelProto:
    """Return the graph ``(features, present, begins, state) -> (probability, by_node, state)`` of one second."""
    graph = _Graph(weights)
    n_nodes, state = len(weights.nodes), graph.state_shape
    graph.take("features", (n_nodes, weights.features.n_features))
    graph.take("present", (n_nodes,), kind="BOOL")
    graph.take("begins", (1,), kind="BOOL")
    graph.take("state", state)
    present = graph("Cast", "present", to=graph.kinds.FLOAT)
    advanced = _advance(graph, "features", present)
    graph.give("state_next", advanced, state)
    enough = graph("GreaterOrEqual", graph("ReduceSum", present, keepdims=1), graph.number(weights.min_nodes))
    _read_out(graph, advanced, read=present, shown="present", enough=enough)
    return graph.model("rest_network")


def second_graph(weights: Weights) -> ModelProto:
    """Return the graph of one second from microvolts at 200 Hz, with all that seconds hand on as explicit states."""
    graph, ahead = _Graph(weights), weights.look_ahead
    n_nodes, state = len(weights.nodes), graph.state_shape
    graph.take("microvolts", (n_nodes, REFERENCE_RATE))
    for mask in ("good", "open"):
        graph.take(mask, (n_nodes,), kind="BOOL")
    graph.take("begins", (1,), kind="BOOL")
    graph.take("state", state)
    total = graph("ReduceSum", "microvolts", graph.constant("last", [1]), keepdims=0)
    finite = graph("Equal", graph("Sub", total, total), graph.number(0))
    largest = graph("ReduceMax", graph("Abs", "microvolts"), axes=[1], keepdims=0)
    possible = graph("And", finite, graph("Less", largest, graph.number(LARGEST)))
    good = graph("Cast", graph("And", "good", possible), to=graph.kinds.FLOAT)
    present = graph("Mul", good, graph("Cast", graph("Not", "open"), to=graph.kinds.FLOAT))
    features = _features(graph, present)
    advanced = _advance(graph, features, present)
    graph.give("state_next", advanced, state)
    goods, presents = (_recent(graph, name, now, ahead) for name, now in (("good", good), ("present", present)))
    then, silent = _silent(graph, goods, presents, ahead)
    heard = graph("Sub", graph.number(1), silent)
    shown, read = graph("Mul", then, heard), graph("Mul", present, heard)
    least = graph.number(weights.min_nodes)
    enough = [graph("GreaterOrEqual", graph("ReduceSum", mask, keepdims=1), least) for mask in (shown, present)]
    some = graph("Greater", graph("ReduceSum", read, keepdims=1), graph.number(0))
    shown = graph("Greater", graph("Mul", shown, read), graph.number(0))
    _read_out(graph, advanced, read=read, shown=shown, enough=graph("And", graph("And", *enough), some))
    return graph.model("rest_second")


class _Graph:
    """A graph in the making: calling it adds an operator and returns the name of what it computes."""

    def __init__(self, weights: Weights) -> None:
        try:
            import onnx
        except ImportError as error:
            raise UsageError(
                "--to onnx", "the package onnx is not installed", remedy="Run pip install 'rest-eeg[export]'"
            ) from error
        Network.of(weights)  # refuses parameters that do not fit
        self._onnx, self.weights = onnx, weights
        self.kinds = onnx.TensorProto
        self.members = weights.by_member()
        self.state_shape = (len(self.members), len(weights.nodes), weights.config.hidden)
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def __call__(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def take(self, name: str, shape: _Shape, kind: str = "FLOAT") -> str:
        """Declare an input."""
        self._inputs.append(self._value(name, shape, kind))
        return name

    def give(self, name: str, value: str, shape: _Shape) -> None:
        """Declare an output."""
        self("Identity", value, out=name)
        self._outputs.append(self._value(name, shape, "FLOAT"))

    def constant(self, name: str, values: Any, kind: type = np.float32) -> str:
        """Store an array, once under each name; whole numbers as int64, others as `kind`."""
        array = np.asarray(values)
        self._constants[name] = array.astype(kind if array.dtype.kind == "f" else np.int64)
        return name

    def number(self, value: float) -> str:
        """Store a number, shape (1,)."""
        return self.constant(f"number_{value!r}", [float(value)])

    def parameter(self, key: str) -> str:
        """Store a parameter of all members, (M, in, out) or (M, 1, out)."""
        stack = np.stack([member[key] for member in self.members])
        return self.constant(key, stack.swapaxes(1, 2) if stack.ndim == 3 else stack[:, None])

    def _value(self, name: str, shape: _Shape, kind: str) -> Any:
        meaning = _MEANINGS.get(name, "zeros at first; give back what came out of the second before")
        if name.endswith("_next"):
            meaning = f"{name.removesuffix('_next')} for the next second"
        return self._onnx.helper.make_tensor_value_info(name, getattr(self.kinds, kind), list(shape), meaning)

    def model(self, name: str) -> ModelProto:
        """Return the whole, checked."""
        helper = self._onnx.helper
        constants = [
            self._onnx.numpy_helper.from_array(np.asarray(value, order="C"), key)
            for key, value in self._constants.items()
        ]
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, constants)
        model: ModelProto = helper.make_model(
            graph,
            producer_name="restcli",
            producer_version=__version__,
            ir_version=_IR,
            opset_imports=[helper.make_opsetid("", _OPSET)],
        )
        helper.set_model_props(model, metadata(self.weights))
        self._onnx.checker.check_model(model, full_check=True)
        return model


def metadata(weights: Weights) -> dict[str, str]:
    """Return what a user of a graph must know of the weights, as texts."""
    facts: Mapping[str, Any] = {
        "weights": weights.name,
        "weights_sha256": weights.sha256,
        "definition": DEFINITION,
        "nodes": weights.nodes,
        "units": "uV",
        "sampling_rate": REFERENCE_RATE,
        "features": asdict(weights.features),
        "look_ahead": weights.look_ahead,
        "min_nodes": weights.min_nodes,
        "memory": weights.memory,
        "threshold": weights.rule.threshold,
        "rule": asdict(weights.rule),
        "calibration": asdict(weights.calibration),
        "inputs_and_outputs": _MEANINGS,
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}


def _advance(graph: _Graph, features: str, present: str) -> str:
    """Add the updates of one second; return the state (M, N, h)."""
    column = graph("Unsqueeze", present, graph.constant("last", [1]))  # (N, 1)
    projected = graph("MatMul", features, graph.parameter("l1.weight"))
    adjacency = graph.constant("adjacency", Network.of(graph.weights).adjacency)
    state = "state"
    for update in range(graph.weights.config.inference_updates):
        carried = graph("Add", graph("MatMul", state, graph.parameter("l2.weight")), graph.parameter("l2.bias"))
        h = graph("Add", projected, carried)
        if update == 0:
            h = graph("Where", "begins", projected, h)
        h = graph("Mul", h, column)
        hidden = graph("Mul", graph("Relu", _convolve(graph, "gc1", h, adjacency)), column)
        change = graph("Mul", _convolve(graph, "gc2", hidden, adjacency), column)
        state = graph("Add", h, change)
    return state


def _convolve(graph: _Graph, name: str, values: str, adjacency: str) -> str:
    own = graph("MatMul", values, graph.parameter(f"{name}.lin_root.weight"))
    around = graph("MatMul", graph("MatMul", adjacency, values), graph.parameter(f"{name}.lin_rel.weight"))
    return graph("Add", graph("Add", own, around), graph.parameter(f"{name}.lin_rel.bias"))


def _read_out(graph: _Graph, state: str, *, read: str, shown: str, enough: str) -> None:
    """Give the probability from the nodes `read`, if there are enough, and that of each node `shown`."""
    n_nodes, axis = len(graph.weights.nodes), graph.constant("first", [0])
    summed = graph("ReduceSum", graph("MatMul", state, graph.parameter("fc.weight")), axis, keepdims=0)
    bias = float(np.mean([member["fc.bias"] for member in graph.members]))
    logits = graph("Div", graph("Squeeze", summed, graph.constant("last", [1])), graph.number(len(graph.members)))
    logits = graph("Add", logits, graph.constant("readout_bias", [bias]))
    total = graph("ReduceSum", graph("Mul", logits, read), keepdims=1)
    count = graph("Max", graph("ReduceSum", read, keepdims=1), graph.number(1))
    unknown = graph.constant("unknown", [np.nan])
    probability = graph("Where", enough, _calibrate(graph, graph("Div", total, count)), unknown)
    by_node = graph("Where", graph("And", enough, shown), _calibrate(graph, logits), unknown)
    graph.give("probability", probability, (1,))
    graph.give("by_node", by_node, (n_nodes,))


def _calibrate(graph: _Graph, logit: str) -> str:
    calibration = graph.weights.calibration
    scaled = graph("Mul", logit, graph.constant("scale", [calibration.scale]))
    value = graph("Add", scaled, graph.constant("bias", [calibration.bias]))
    return graph("Sigmoid", _clip(graph, value, (-30.0, 30.0)))


def _clip(graph: _Graph, value: str, limits: tuple[float, float]) -> str:
    return graph("Min", graph("Max", value, graph.number(limits[0])), graph.number(limits[1]))


def _recent(graph: _Graph, name: str, now: str, ahead: int) -> str:
    """Keep the last `ahead` rows of a mask; return them with the newest one, oldest first, (ahead + 1, N)."""
    row = graph("Unsqueeze", now, graph.constant("first", [0]))
    if not ahead:
        return row
    shape = (ahead, len(graph.weights.nodes))
    before = graph("Where", "begins", graph.number(0), graph.take(f"{name}_before", shape))
    rows = graph("Concat", before, row, axis=0)
    later = graph("Slice", rows, graph.constant("last", [1]), graph.constant("end", [ahead + 1]))
    graph.give(f"{name}_before_next", later, shape)
    return rows


def _silent(graph: _Graph, goods: str, presents: str, ahead: int) -> tuple[str, str]:
    """Return which nodes were good in the second judged, and which of those have turned out to be open inputs."""
    then = graph("Gather", goods, graph.constant("oldest", 0), axis=0)
    start = max(0, ahead - (WINDOW - 1))
    found = graph("Sub", goods, presents)
    found = graph("Slice", found, graph.constant("heard", [start]), graph.constant("end", [ahead + 1]))
    return then, graph("Mul", then, graph("ReduceMax", found, axes=[0], keepdims=0))


def _features(graph: _Graph, present: str) -> str:
    """Add the inputs of each node, (N, F), 0 where it does not take part."""
    config = graph.weights.features
    there = graph("Greater", graph("Unsqueeze", present, graph.constant("last", [1])), graph.number(0))
    samples = graph("Where", there, "microvolts", graph.number(0))
    power = _power(graph, samples, 1 + max(config.range[1], BANDS[-1][1]))
    floored = graph("Max", power, graph.constant("floor", [config.floor**2]))
    logs = graph("Mul", graph("Log", floored), graph.number(0.5))
    parts = [_z_scored(graph, logs, band) for band in config.bands]
    if config.amplitude:
        low, high = config.range
        total = graph("ReduceSum", _bins(graph, power, (max(1, low), high)), graph.constant("last", [1]), keepdims=1)
        rms = graph("Div", graph("Sqrt", graph("Mul", total, graph.number(2))), graph.number(REFERENCE_RATE))
        ratio = graph("Div", graph("Max", rms, graph.number(1e-6)), graph.number(REFERENCE_RMS))
        parts.append(_clip(graph, graph("Log", ratio), AMPLITUDE_RANGE))
    if config.relative:
        relative = _relative(graph, logs, present)
        parts.append(graph("Unsqueeze", relative, graph.constant("last", [1])))
    return graph("Where", there, graph("Concat", *parts, axis=1), graph.number(0))


def _power(graph: _Graph, samples: str, n_bins: int) -> str:
    """Add the squared magnitudes of the first bins, (N, bins), as products with waves from a table of one turn."""
    turn = 2 * np.pi * np.arange(REFERENCE_RATE) / REFERENCE_RATE
    step, zero = graph.constant("one", 1), graph.constant("zero", 0)
    time, bins = (
        graph("Range", zero, graph.constant(f"up_to_{stop}", stop), step) for stop in (REFERENCE_RATE, n_bins)
    )
    phase = graph("Mul", graph("Unsqueeze", time, graph.constant("last", [1])), bins)
    place = graph("Mod", phase, graph.constant("turn", REFERENCE_RATE))
    squares = []
    samples = graph("Cast", samples, to=graph.kinds.DOUBLE)  # sums of large samples leave small bins
    for name, wave in (("cosine", np.cos(turn)), ("sine", np.sin(turn))):
        waves = graph("Gather", graph.constant(name, wave, np.float64), place, axis=0)
        part = graph("MatMul", samples, waves)
        squares.append(graph("Mul", part, part))
    return graph("Cast", graph("Add", *squares), to=graph.kinds.FLOAT)


def _bins(graph: _Graph, values: str, band: tuple[int, int]) -> str:
    low, high = band
    start, stop = (graph.constant(f"bin_{k}", [k]) for k in (low, high + 1))
    return graph("Slice", values, start, stop, graph.constant("last", [1]))


def _z_scored(graph: _Graph, logs: str, band: tuple[int, int]) -> str:
    given, last = _bins(graph, logs, band), graph.constant("last", [1])
    around = graph("Sub", given, graph("ReduceMean", given, axes=[1], keepdims=1))
    square = graph("ReduceSum", graph("Mul", around, around), last, keepdims=1)
    spread = graph("Sqrt", graph("Div", square, graph.number(band[1] - band[0])))
    return graph("Div", around, graph("Add", spread, graph.constant("tiny", [1e-10])))


def _relative(graph: _Graph, logs: str, present: str) -> str:
    """Add the amplitude relative to the usual one, (N,), and the recursion of the latter."""
    n_nodes, number = len(graph.weights.nodes), graph.number
    held = {name: graph.take(name, (n_nodes,)) for name in ("level", "seconds", "step", "seen")}
    held["waiting"] = graph.take("waiting", (1,))
    held = _settled(graph, held, "begins")
    means = [graph("ReduceMean", _bins(graph, logs, band), axes=[1], keepdims=0) for band in BANDS]
    amplitude = graph("Div", graph("Sum", *means), number(len(BANDS)))
    above = graph("Sub", amplitude, graph("Add", held["level"], number(usual.PRIOR)))
    above = graph("Mul", above, present)
    rise, fall = (
        graph("Min", graph("Add", held["seconds"], number(first)), number(later))
        for first, later in ((usual.FIRST_RISE, usual.RISE), (usual.FIRST_FALL, usual.FALL))
    )
    up = graph("Div", graph("Min", above, number(usual.LARGEST_RISE)), rise)
    step = graph("Where", graph("Greater", above, number(0)), up, graph("Div", above, fall))
    held["step"] = graph("Add", held["step"], step)
    held["seen"] = graph("Add", held["seen"], present)
    held["waiting"] = graph("Add", held["waiting"], number(1))
    full = graph("GreaterOrEqual", held["waiting"], number(usual.STRIDE))
    for name, value in _settled(graph, held, full).items():
        graph.give(f"{name}_next", value, (1,) if name == "waiting" else (n_nodes,))
    return _clip(graph, above, RELATIVE_RANGE)


def _settled(graph: _Graph, held: Mapping[str, str], when: str) -> dict[str, str]:
    """Take the steps that wait, where `when` is true."""
    level = graph("Add", held["level"], held["step"])
    seconds = graph("Min", graph("Add", held["seconds"], held["seen"]), graph.number(usual.RISE))
    moved = {"level": level, "seconds": seconds} | dict.fromkeys(("step", "seen", "waiting"), graph.number(0))
    return {name: graph("Where", when, moved[name], held[name]) for name in held}
