"""ONNX graphs run by onnxruntime on one thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

Float32Array = NDArray[np.float32]


def session_of(model: ModelProto | bytes) -> onnxruntime.InferenceSession:
    """Load a graph for one thread of the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def first_states(session: onnxruntime.InferenceSession, given: Mapping[str, Any]) -> dict[str, Float32Array]:
    """Return zeros for every input that is not given."""
    return {one.name: np.zeros(one.shape, np.float32) for one in session.get_inputs() if one.name not in given}


def run_seconds(model: ModelProto | bytes, given: Mapping[str, NDArray[Any]]) -> tuple[Float32Array, Float32Array]:
    """Feed seconds, each input with time as its first axis; return probability (T,) and that of each node (T, N)."""
    session = session_of(model)
    outputs, states = [one.name for one in session.get_outputs()], first_states(session, given)
    probability, by_node = [], []
    for t in range(len(next(iter(given.values())))):
        now = {name: values[t] for name, values in given.items()}
        found = dict(zip(outputs, session.run(None, now | states), strict=True))
        states = {name: found[f"{name}_next"] for name in states}
        probability.append(found["probability"][0])
        by_node.append(found["by_node"])
    return np.array(probability), np.stack(by_node)
