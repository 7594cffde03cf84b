"""Where and how a recording is computed: one `Backend` for the CPU and two for GPUs, tried before they are used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from restcli.detect.gpu_features import summarise_block
from restcli.errors import UsageError
from restcli.io.recording import Block
from restcli.nn.golden import GOLDEN_TOLERANCE, golden_signal
from restcli.nn.rest import Rest, build_network
from restcli.nn.weights import Weights
from restcli.nn.windows import Inputs, Windows, run_windows
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import electrode_graph
from restcli.signal.quality import Summary, summarise

Summarise = Callable[[Any, NDArray[np.float32], FeatureConfig], tuple[Summary, torch.Tensor]]
RunWindows = Callable[[Rest, Inputs, torch.Tensor, Windows], torch.Tensor]

# Single nodes depend on faint bins, where transforms in float32 differ.
_NODE_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Backend:
    """How blocks become features and states of windows, and how much is taken at a time."""

    name: str
    device: torch.device
    summarise: Summarise  # (block, matrix, features) -> summary, network inputs (T, N, F)
    run_windows: RunWindows  # see `restcli.nn.windows.run_windows`
    on_gpu: bool = False  # it takes stored integers, and is compared with the CPU, which defines the result
    block_seconds: int = 300
    max_workers: int = 4  # as many as one reader keeps busy


@dataclass(eq=False)
class Engine:
    """The network ready to run on a backend; never changed, so that threads can share it."""

    weights: Weights
    backend: Backend

    def __post_init__(self) -> None:
        graph = torch.from_numpy(electrode_graph(self.weights.nodes).adjacency)
        self.network = build_network(self.weights).to(self.backend.device)
        self.adjacency = graph.to(self.backend.device)


def _summarise(block: Block, matrix: NDArray[np.float32], config: FeatureConfig) -> tuple[Summary, torch.Tensor]:
    """Judge a block and compute its features in numpy, which is faster on a CPU."""
    # A missing channel must not spoil the product for all; the nodes made of it are left out later.
    data = block.data if np.isfinite(block.data).all() else np.nan_to_num(block.data)
    # Through torch, because that keeps to the one thread of its worker.
    signal = (torch.from_numpy(matrix) @ torch.from_numpy(data)).numpy()  # (N, n)
    summary, features = summarise(block.data, block.saturated, signal, matrix, config)
    return summary, torch.from_numpy(features)


CPU = Backend("CPU", torch.device("cpu"), _summarise, run_windows)


def gpu_backend(name: str, device: torch.device, run: RunWindows) -> Backend:
    """Return a backend that takes stored integers to the device and computes everything there, in large pieces."""
    on_device = partial(summarise_block, device=device)
    return Backend(name, device, on_device, run, on_gpu=True, block_seconds=1800, max_workers=1)


def gpu_backends(device: torch.device) -> list[Backend]:
    """Return the backends of a GPU, the fastest first."""
    return [gpu_backend("fused kernel", device, run_fused), gpu_backend("GPU", device, run_windows)]


def run_fused(network: Rest, inputs: Inputs, adjacency: torch.Tensor, windows: Windows) -> torch.Tensor:
    """Run windows in the fused kernel; `ImportError` where there is no Triton, as in builds of torch for CPUs."""
    from restcli.detect import gpu_kernel

    return gpu_kernel.run_fused(network, inputs, adjacency, windows)


def choose_backend(weights: Weights, asked: str) -> tuple[Backend, list[str]]:
    """Return the fastest backend that computes what the CPU does, and why faster ones were not taken."""
    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError("--device", f"{asked!r} is not a device", "auto, cpu or cuda")
    device, reason = choose_device(asked)
    reasons = [reason] if reason else []
    for backend in gpu_backends(device) if device.type == "cuda" else ():
        fault = _fault_of(backend, weights)
        if not fault:
            return backend, reasons
        reasons.append(f"{backend.name} not used: {fault}")
    if asked == "cuda":
        raise UsageError(
            "--device", "; ".join(reasons), "a GPU that computes what a CPU does", "Pass --device cpu or auto"
        )
    return CPU, reasons


def choose_device(asked: str) -> tuple[torch.device, str]:
    """Return a GPU that works, unless the CPU was asked for; else the CPU and why it is not a GPU."""
    cpu = torch.device("cpu")
    if asked == "cpu":
        return cpu, ""
    if not torch.cuda.is_available():
        return cpu, "torch sees no GPU" if torch.version.cuda else "this torch is built without CUDA"
    try:
        one = torch.ones(16, 16, device="cuda")
        (one @ one).sum().item()
    except RuntimeError as error:  # a driver too old, a GPU too new or already full
        return cpu, f"the GPU cannot be used: {first_line(error)}"
    return torch.device("cuda", torch.cuda.current_device()), ""


def device_in_words(device: torch.device, reasons: list[str]) -> str:
    """Return where the network runs, and why nowhere faster."""
    return f"{device.type} ({'; '.join(reasons)})" if reasons else device.type


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its class."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _fault_of(backend: Backend, weights: Weights) -> str:
    """Try a backend on the test signal; return what is wrong with it, or nothing."""
    expected = _golden_windows(CPU, weights)
    try:
        found = _golden_windows(backend, weights)
    except Exception as error:  # compilers of kernels raise whatever the tools they call raise
        return first_line(error)
    off, off_mean = (found - expected).abs(), (found.mean(dim=-1) - expected.mean(dim=-1)).abs()
    # Compared so that NaN does not pass.
    if bool((off <= _NODE_TOLERANCE).all()) and bool((off_mean <= GOLDEN_TOLERANCE).all()):
        return ""
    return f"it computes other values than the CPU on the test signal, {off_mean.max():.2g} off"


@torch.no_grad()
def _golden_windows(backend: Backend, weights: Weights) -> torch.Tensor:
    """Return logits (3, B, N) of the test signal: without masks, with absent nodes, and with masked updates too."""
    n_nodes, length = len(weights.nodes), weights.window
    n_seconds = length + 6
    signal = golden_signal(n_nodes, weights.features.sfreq, n_seconds)
    block = Block(0.0, signal, np.zeros((n_nodes, n_seconds), dtype=np.float32))
    _, x = backend.summarise(block, np.eye(n_nodes, dtype=np.float32), weights.features)
    engine = Engine(weights, backend)
    projected = engine.network.l1(x).transpose(0, 1)  # (N, T, H)
    count = torch.arange(n_nodes * n_seconds, device=backend.device).view(n_nodes, n_seconds)
    present, gate = (count % 5 > 0).float(), (count % 3 > 0).float() * 1.5
    windows = Windows(range(max(0, length - 3), n_seconds), length)  # the first ones begin before the signal
    inputs = (Inputs(projected), Inputs(projected, present), Inputs(projected, present, gate))
    states = [backend.run_windows(engine.network, some, engine.adjacency, windows) for some in inputs]
    logits: torch.Tensor = engine.network.fc(torch.stack(states))[..., 0]  # (3, N, B)
    return logits.transpose(1, 2).cpu()
