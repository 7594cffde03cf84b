"""The network on a GPU, through torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from restcli.nn.network import FloatArray, Lanes
from restcli.nn.rest import build_network
from restcli.nn.weights import Weights
from restcli.signal.montage import electrode_graph

_Masks = tuple[torch.Tensor, torch.Tensor | None]  # presence and gate


def find_gpu() -> tuple[torch.device | None, str]:
    """Return a GPU that works, or None and why there is none."""
    if not torch.cuda.is_available():
        return None, "torch sees no GPU" if torch.version.cuda else "this torch is built without CUDA"
    try:
        one = torch.ones(16, 16, device="cuda")
        (one @ one).sum().item()
    except RuntimeError as error:  # a driver too old, a GPU too new or already full
        return None, f"the GPU cannot be used: {str(error).strip().splitlines()[0]}"
    return torch.device("cuda", torch.cuda.current_device()), ""


def scan_on(weights: Weights, device: torch.device) -> Callable[[Lanes], FloatArray]:
    """Return a function that runs lanes on a device, see `restcli.nn.network.scan`."""
    network = build_network(weights).to(device)
    adjacency = torch.from_numpy(electrode_graph(weights.nodes).adjacency).to(device)

    def advance(projected: torch.Tensor, state: torch.Tensor | None, masks: _Masks) -> torch.Tensor:
        for _ in range(network.config.inference_updates):
            state = network.update(projected, state, adjacency, gate=masks[1], present=masks[0])
        assert state is not None  # there is at least one update
        return state

    @torch.no_grad()
    def scan(lanes: Lanes) -> FloatArray:
        def there(values: FloatArray) -> torch.Tensor:
            return torch.from_numpy(values).to(device).transpose(1, 2)  # (T, B, N, ...)

        projected, present = there(lanes.projected), there(lanes.present[..., None])
        gates = None if lanes.gate is None else there(lanes.gate[..., None])
        begins, state, logits = torch.from_numpy(lanes.begins).to(device), None, []
        for t, (x, here) in enumerate(zip(projected, present, strict=True)):
            masks = (here, None if gates is None else gates[t])
            first = advance(x, None, masks)
            state = (
                first if state is None else torch.where((begins == t)[:, None, None], first, advance(x, state, masks))
            )
            logits.append(network.read_out(state))
        return np.asarray(torch.stack(logits).transpose(1, 2).cpu().numpy())

    return scan
