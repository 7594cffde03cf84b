"""The networks alone: REST in its variants and forms against the rivals of its paper, same inputs, same run."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks.rivals import N_BINS, N_NODES, N_SECONDS, rivals
from benchmarks.tables import Rows, Tables, seconds_of
from restcli.detect.detector import Detector
from restcli.detect.stream import Stream
from restcli.nn.config import RestConfig
from restcli.nn.network import Lanes, Network, scan
from restcli.nn.rest import Rest, n_parameters
from restcli.nn.weights import load_weights
from restcli.signal.features import REFERENCE_RATE
from restcli.signal.montage import ELECTRODES_19, electrode_graph

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
_RM_UPDATES = 5  # the mean of the paper's 1 to 9
_BULK = 256
_SHIPPED = "REST as shipped"


def measure(options: argparse.Namespace) -> Tables:
    """Time every network on each device there is."""
    tables: Tables = {}
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # rivals and REST alike: one core, so that a busy machine treats them alike
    try:
        for device in ("cpu", "cuda"):
            title = f"networks, {N_SECONDS}-s windows, {device}" + (", one thread, float32" if device == "cpu" else "")
            if device == "cuda" and not torch.cuda.is_available():
                tables[title] = [{"network": "all", "result": "not run here: no GPU"}]
            else:
                tables[title] = _networks(torch.device(device), options.repeats)
        tables["a day second by second, numpy, one thread"] = _day(options.repeats)
        tables["one state update, cpu, one thread"] = _updates(options.repeats)
    finally:
        torch.set_num_threads(before)
    return tables


def _rest(variant: str) -> Rest:
    torch.manual_seed(0)
    updates = _RM_UPDATES if variant == "RM" else 1
    config = RestConfig(n_features=N_BINS, variant=variant, mask_per="entry", rescale=False, updates=updates)
    network = Rest(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(0.5)  # random weights of full size would let the state grow over the window
    return network


@torch.inference_mode()
def _networks(device: torch.device, repeats: int) -> Rows:
    adjacency = torch.from_numpy(electrode_graph(ELECTRODES_19).adjacency)
    windows = torch.randn(_BULK, N_SECONDS, N_NODES, N_BINS, generator=torch.Generator().manual_seed(1)).to(device)
    rows: Rows = []
    for name, rival in rivals(adjacency).items():
        rows.append(_row(name, rival.to(device), rival, windows, repeats))
    adjacency = adjacency.to(device)
    for variant in ("DS", "RS", "RM"):
        network = _rest(variant).to(device)
        masked = variant != "DS"

        def whole(x: Tensor, network: Rest = network, masked: bool = masked) -> Tensor:
            logits: Tensor = network(x, adjacency, masked=masked)[0][:, -1].mean(dim=-1)
            return logits

        rows.append(_row(f"REST {variant}", network, whole, windows, repeats))
    for column, ratio in (("bulk, ms/window", "bulk / fastest rival"), ("batch 1, ms", "batch 1 / fastest rival")):
        fastest = min(row[column] for row in rows if not row["network"].startswith("REST"))
        for row in rows:
            row[ratio] = row[column] / fastest
    return rows


def _day(repeats: int) -> Rows:
    """Time the shipped network through a day: lanes of 300 s with a warm-up, as `restcli annotate` runs them."""
    weights = load_weights("rest-default")
    network, memory = Network.of(weights), weights.memory
    n_lanes, length = 24, 300
    shape = (length + memory, len(weights.nodes), n_lanes)
    rng = np.random.default_rng(0)
    projected = rng.standard_normal((*shape, network.hidden), dtype=np.float32)
    lanes = Lanes(projected, np.ones(shape, np.float32), np.zeros(n_lanes, np.intp))
    scale = 86_400 / (n_lanes * length)
    with threadpool_limits(1, "blas"):
        carried = scale * seconds_of(lambda: scan(network, lanes), repeats=repeats, clock=time.thread_time)
    return [{"what": f"{_SHIPPED}, {network.hidden} wide", "s": carried, "EEG s per s": 86_400 / carried}]


def _row(
    name: str, network: nn.Module, run: Callable[[Tensor], Tensor], windows: Tensor, repeats: int
) -> dict[str, Any]:
    device = windows.device

    def timed(x: Tensor) -> Callable[[], None]:
        def action() -> None:
            run(x)
            if device.type == "cuda":
                torch.cuda.synchronize()

        return action

    # One thread's processor time is little disturbed by a busy machine; a GPU is waited for by the clock on the wall.
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    alone = seconds_of(timed(windows[:1]), repeats=30 * repeats, clock=clock)
    begin = clock()
    timed(windows)()
    slow = clock() - begin > 1  # such need no median of many
    bulk = seconds_of(timed(windows), repeats=1 if slow else 1 + 2 * repeats, clock=clock) / len(windows)
    parameters, _, published_ms = PUBLISHED.get(name.split(",")[0], (0, 0.0, 0.0))
    count = n_parameters(network)
    return {
        "network": name,
        "parameters": count,
        "published": parameters,
        "built / published": count / parameters,
        "weights, kB": count * 4 / 1000,
        "batch 1, ms": alone * 1000,
        "paper, ms": published_ms,
        "bulk, ms/window": bulk * 1000,
        "EEG s per s, step 1 s": 1 / bulk,
    }


@torch.inference_mode()
def _updates(repeats: int) -> Rows:
    """Latency of one more second: the network's update alone, and a bedside stream from microvolts to probability."""
    adjacency = torch.from_numpy(electrode_graph(ELECTRODES_19).adjacency)
    rows: Rows = []
    x = torch.randn(1, N_NODES, N_BINS)
    for variant in ("DS", "RM"):
        network = _rest(variant)
        state = torch.randn(1, N_NODES, network.config.hidden)

        def update(network: Rest = network, state: Tensor = state) -> Tensor:
            projected = network.l1(x)
            for _ in range(network.config.updates):
                state = network.update(projected, state, adjacency)
            logit: Tensor = network.fc(state)
            return logit

        rows.append(_update_row(f"REST {variant}, network alone", seconds_of(update, repeats=100 * repeats)))
    gru = rivals(adjacency)["GRU"]
    flat, hidden = x.flatten(1)[:, None], torch.randn(2, 1, 64)
    alone = seconds_of(lambda: gru.cell(flat, hidden), repeats=100 * repeats)  # type: ignore[operator]
    rows.append(_update_row("GRU, network alone", alone))
    detector = Detector(load_weights("rest-default"), "cpu")
    nodes = len(detector.weights.nodes)
    stream = Stream(detector, list(range(nodes)), np.eye(nodes, dtype=np.float32))
    second = np.random.default_rng(0).standard_normal((nodes, REFERENCE_RATE), dtype=np.float32) * 20
    still = np.zeros(nodes, dtype=np.float32)
    push = seconds_of(lambda: stream.push(second, still), repeats=30 * repeats)
    rows.append(_update_row(f"{_SHIPPED}: Stream.push, µV to probability", push))
    return rows


def _update_row(name: str, seconds: float) -> dict[str, Any]:
    return {"what": name, "µs": seconds * 1e6, "share of the second, %": seconds * 100}
