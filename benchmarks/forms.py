"""REST and its rivals as ONNX graphs: a window of seconds at once, or one more second with the state given."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rivals import N_BINS, N_NODES, N_SECONDS, Dcrnn, Recurrent, rivals
from benchmarks.runtime import session_of
from restcli.nn.config import RestConfig
from restcli.nn.rest import Rest
from restcli.signal.montage import ELECTRODES_19, electrode_graph

RM_UPDATES = 5  # the mean of the paper's 1 to 9
VARIANTS = ("DS", "RS", "RM")


class RestWindow(nn.Module):
    """The paper's REST over a window: masked updates for RS and RM, logit after the last second."""

    def __init__(self, network: Rest, adjacency: Tensor) -> None:
        super().__init__()
        self.network = network
        self.adjacency: Tensor
        self.register_buffer("adjacency", adjacency)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, N, F) to (B,)."""
        projected, state = self.network.l1(x), None
        for t in range(x.shape[1]):
            state = self.advance(projected[:, t], state)
        return self.network.fc(state)[..., 0].mean(dim=-1)

    def advance(self, projected: Tensor, state: Tensor | None) -> Tensor:
        """Go on by one second."""
        for _ in range(self.network.config.inference_updates):
            gate = self.network.draw_gate(projected)
            state = self.network.update(projected, state, self.adjacency, gate=gate)
        return state


class RestSecond(nn.Module):
    """One more second of REST."""

    def __init__(self, window: RestWindow) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, N, F) and the state to a logit and the state."""
        state = self.window.advance(self.window.network.l1(x), state)
        return self.window.network.fc(state).mean(), state


class RecurrentSecond(nn.Module):
    """One more second of an LSTM or a GRU; the state of an LSTM is two tensors."""

    def __init__(self, network: Recurrent) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Map (1, N, F) and the states to a logit and the states."""
        out, state = self.network.cell(x.flatten(1)[:, None], state if len(state) > 1 else state[0])
        return self.network.head(out[:, -1]), *(state if isinstance(state, tuple) else (state,))


class DcrnnSecond(nn.Module):
    """One more second of DCRNN."""

    def __init__(self, network: Dcrnn) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, N, F) and the states of all layers to a logit and the states."""
        after = []
        for cell, state in zip(self.network.cells, states, strict=True):
            x = cell(x, state, self.network.supports)
            after.append(x)
        return self.network.head(torch.relu(x)).amax(dim=1)[:, 0], torch.stack(after)


@dataclass(frozen=True, eq=False)
class Form:
    """One network and its inputs."""

    network: nn.Module  # whose parameters count
    window: nn.Module
    second: nn.Module | None = None  # None where a window is no chain of seconds, or that was not built
    state: tuple[Tensor, ...] = ()

    def run_window(self, batch: int) -> Callable[[], object]:
        """Return an action that runs a batch of windows in onnxruntime."""
        return _action(self.window, torch.randn(batch, N_SECONDS, N_NODES, N_BINS))

    def run_second(self) -> Callable[[], object] | None:
        """Return an action that runs one more second, where that can be."""
        return None if self.second is None else _action(self.second, torch.randn(1, N_NODES, N_BINS), *self.state)


def forms() -> dict[str, Form]:
    """Return the rivals and the variants of REST in their paper's size, with weights from a seed."""
    adjacency = torch.from_numpy(electrode_graph(ELECTRODES_19))
    found = {}
    for name, rival in rivals(adjacency).items():
        if isinstance(rival, Recurrent):
            n_states = 2 if isinstance(rival.cell, nn.LSTM) else 1
            found[name] = Form(rival, rival, RecurrentSecond(rival), (torch.zeros(2, 1, 64),) * n_states)
        elif isinstance(rival, Dcrnn):
            found[name] = Form(rival, rival, DcrnnSecond(rival), (torch.zeros(len(rival.cells), 1, N_NODES, 32),))
        else:
            found[name] = Form(rival, rival)
    for variant in VARIANTS:
        window = RestWindow(paper_rest(variant), adjacency)
        state = torch.zeros(1, N_NODES, window.network.config.hidden)
        found[f"REST {variant}"] = Form(window.network, window, RestSecond(window), (state,))
    return found


def paper_rest(variant: str) -> Rest:
    """Return REST as in its paper, with weights from a seed."""
    torch.manual_seed(0)
    updates = RM_UPDATES if variant == "RM" else 1
    config = RestConfig(n_features=N_BINS, variant=variant, mask_per="entry", rescale=False, updates=updates)
    network = Rest(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(0.5)  # random weights of full size would let the state grow over the window
    return network


def to_onnx(network: nn.Module, *inputs: Tensor) -> bytes:
    """Trace a network into an ONNX graph of these shapes."""
    out, fast = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused operator that ONNX does not have
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter speaks of its successor, which needs one more package
            torch.onnx.export(network.eval(), inputs, out, dynamo=False, opset_version=17)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return out.getvalue()


def _action(network: nn.Module, *inputs: Tensor) -> Callable[[], object]:
    session = session_of(to_onnx(network, *inputs))
    names = [one.name for one in session.get_inputs()]
    given: dict[str, np.ndarray] = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return lambda: session.run(None, given)
