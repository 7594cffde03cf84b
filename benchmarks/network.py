"""The networks alone: REST in its variants and forms against the rivals of its paper, same inputs, same runtime."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.forms import Form, forms
from benchmarks.rivals import N_SECONDS
from benchmarks.runtime import first_states, session_of
from benchmarks.tables import Rows, Tables, seconds_of
from restcli.detect.detector import Detector
from restcli.detect.stream import Stream
from restcli.export.onnx import network_graph, second_graph
from restcli.nn.network import Lanes, Network, scan
from restcli.nn.rest import n_parameters
from restcli.nn.weights import Weights, load_weights
from restcli.signal.features import REFERENCE_RATE

# Parameters, megabytes and milliseconds a window as printed in the paper (its GPU, batch not said).
PUBLISHED = {
    "LSTM": (536_000, 2.147, 3.254),
    "GRU": (402_000, 1.61, 2.12),
    "CNN-LSTM": (6_000_000, 22.8, 5.624),
    "ResNet-LSTM": (6_900_000, 27.6, 6.78),
    "DCRNN": (126_000, 0.884, 9.670),
    "Transformer": (48_300, 0.193, 2.5),
    "REST DS": (8_400, 0.037, 0.615),
    "REST RS": (8_400, 0.037, 0.710),
    "REST RM": (8_400, 0.037, 1.292),
}
_BULK = 64
_DAY = 86_400
_SLOW = 0.02  # s
_SHIPPED = "REST as shipped"


def measure(options: argparse.Namespace) -> Tables:
    """Time every network in onnxruntime on one thread, and a day as restcli runs it."""
    one_window, one_second, a_day = _on_one_thread(options.repeats)
    weights = load_weights("rest-default")
    return {
        f"one window of {N_SECONDS} s, onnxruntime, one thread": one_window,
        "one more second with the state carried, onnxruntime, one thread": one_second,
        "a day with a score each second, onnxruntime, one thread": a_day,
        "the shipped network, one thread": _shipped(weights, options.repeats),
    }


def side_by_side(actions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median processor time of each action, all run in turn so that a busy machine treats them alike."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(1 + 10 * repeats):
        for name, action in actions.items():
            if len(found[name]) > repeats and found[name][0] > _SLOW:
                continue  # such need no median of many
            for _ in range(5 if turn and found[name][0] < _SLOW else 1):
                begin = time.thread_time()
                action()
                found[name].append(time.thread_time() - begin)
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def _processor_time(action: Callable[[], object], repeats: int) -> float:
    """One thread's processor time is little disturbed by a busy machine."""
    return seconds_of(action, repeats=repeats, clock=time.thread_time)


def _on_one_thread(repeats: int) -> tuple[Rows, Rows, Rows]:
    """Time a window, one more second, and a day by windows or by seconds, whichever the network allows."""
    built = forms()
    windows = side_by_side({name: form.run_window(1) for name, form in built.items()}, repeats)
    chains = {name: form.run_second() for name, form in built.items()}
    seconds = side_by_side({name: action for name, action in chains.items() if action is not None}, repeats)
    bulk = side_by_side({name: form.run_window(_BULK) for name, form in built.items()}, 1)
    days: Rows = []
    for name in built:
        days.append({"network": name, "how": f"windows, {_BULK} at once", "s": bulk[name] / _BULK * _DAY})
        if name in seconds:
            days.append({"network": name, "how": "the state carried", "s": seconds[name] * _DAY})
    return (
        _compared(
            [
                {"network": name, **_size(name, built[name]), "ms": 1000 * taken, "paper, ms": PUBLISHED[name][2]}
                for name, taken in windows.items()
            ],
            "ms",
        ),
        _compared([{"network": name, "µs": 1e6 * taken} for name, taken in seconds.items()], "µs"),
        _compared(days, "s"),
    )


def _size(name: str, form: Form) -> dict[str, Any]:
    count, published = n_parameters(form.network), PUBLISHED[name][0]
    return {
        "parameters": count,
        "published": published,
        "built / published": count / published,
        "weights, kB": count * 4 / 1000,
    }


def _compared(rows: Rows, column: str) -> Rows:
    """Say how many times as long as REST DS each one takes, its quickest way."""
    rest = min(row[column] for row in rows if row["network"] == "REST DS")
    return [row | {"times REST DS": row[column] / rest} for row in rows]


def _shipped(weights: Weights, repeats: int) -> Rows:
    """Time one more second and a day: in numpy as restcli runs it, and the exported graphs in onnxruntime."""
    network, n_nodes = Network.of(weights), len(weights.nodes)
    n_lanes, length = 24, 300
    shape = (length + weights.memory, n_nodes, n_lanes)
    rng = np.random.default_rng(0)
    projected = rng.standard_normal((*shape, network.hidden), dtype=np.float32)
    lanes = Lanes(projected, np.ones(shape, np.float32), np.zeros(n_lanes, np.intp))
    second = rng.standard_normal((n_nodes, REFERENCE_RATE), dtype=np.float32) * 20
    stream = Stream(Detector(weights, "cpu"), list(range(n_nodes)), np.eye(n_nodes, dtype=np.float32))
    still, yes = np.zeros(n_nodes, np.float32), np.ones(n_nodes, bool)
    masks = {"good": yes, "open": ~yes, "begins": np.zeros(1, bool)}
    features = rng.standard_normal((n_nodes, weights.features.n_features), dtype=np.float32)
    network_alone = {"features": features, "present": yes, "begins": np.zeros(1, bool)}
    with threadpool_limits(1, "blas"):
        scanned = _processor_time(lambda: scan(network, lanes), repeats) / (n_lanes * length)
        pushed = _processor_time(lambda: stream.push(second, still), 30 * repeats)
    found = {
        "network, numpy, 24 stretches side by side as in annotate": scanned,
        "network, onnxruntime, second by second": _graph_time(network_graph(weights), network_alone, repeats),
        "µV to probability, numpy, Stream.push": pushed,
        "µV to probability, onnxruntime": _graph_time(second_graph(weights), masks | {"microvolts": second}, repeats),
    }
    width = f"{_SHIPPED}, {network.hidden} wide"
    return [
        {"what": f"{width}: {what}", "µs a second of EEG": 1e6 * taken, "a day, s": taken * _DAY}
        for what, taken in found.items()
    ]


def _graph_time(model: Any, given: dict[str, Any], repeats: int) -> float:
    session = session_of(model)
    everything = given | first_states(session, given)
    return _processor_time(lambda: session.run(None, everything), 100 * repeats)
