"""Where the network runs: numpy on a CPU, torch on a GPU that gives the same values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from restcli.errors import UsageError, first_line
from restcli.nn.golden import GOLDEN_TOLERANCE
from restcli.nn.network import FloatArray, Lanes, Network, scan
from restcli.nn.weights import Weights

_N_TRIED = 40  # seconds that a GPU is tried on


@dataclass(eq=False)
class Engine:
    """The network ready to run; never changed, so that threads can share it."""

    weights: Weights
    on_gpu: Callable[[Lanes], FloatArray] | None = None
    network: Network = field(init=False)

    def __post_init__(self) -> None:
        self.network = Network.of(self.weights)

    def scan(self, lanes: Lanes) -> FloatArray:
        """Return the logits of all lanes, (T, N, B, 1 + C)."""
        return scan(self.network, lanes) if self.on_gpu is None else self.on_gpu(lanes)

    @property
    def device(self) -> str:
        """Where the network runs."""
        return "cpu" if self.on_gpu is None else "cuda"


def engine_on(weights: Weights, device: str) -> Engine:
    """Return an engine on a device; a GPU must compute what the CPU does."""
    if device not in ("cpu", "cuda"):
        raise UsageError("--device", f"{device!r} is not a device", "cpu or cuda")
    if device == "cpu":
        return Engine(weights)
    from restcli.nn.gpu import find_gpu, scan_on  # loads torch, which takes longer than scoring hours on a CPU

    found, fault = find_gpu()
    if found is not None:
        engine = Engine(weights, scan_on(weights, found))
        fault = fault_of(engine)
        if not fault:
            return engine
    raise UsageError("--device", fault, "a GPU that computes what a CPU does", "Pass --device cpu")


def fault_of(engine: Engine) -> str:
    """Try a GPU on drawn inputs, with absent nodes and with masks; return what is wrong with it, or nothing."""
    rng = np.random.default_rng(0)
    shape = (_N_TRIED, len(engine.weights.nodes), 5)
    projected = engine.network.project(
        rng.standard_normal((*shape, engine.weights.features.n_features), dtype=np.float32)
    )
    some = (rng.random(shape) > 0.2).astype(np.float32)
    begins = np.arange(shape[2]) * 2
    begun = np.broadcast_to((np.arange(shape[0])[:, None] >= begins)[:, None], shape)
    try:
        for present, gate in ((np.ones(shape, np.float32), None), (some, None), (some, some * np.float32(1.5))):
            lanes = Lanes(projected, present, begins, gate)
            off = float(np.abs(engine.scan(lanes) - scan(engine.network, lanes))[begun].max())
            if not off <= GOLDEN_TOLERANCE:  # NaN must not pass
                return f"it computes other values than the CPU, {off:.2g} off"
    except Exception as error:  # drivers raise whatever the tools they call raise
        return first_line(error)
    return ""
