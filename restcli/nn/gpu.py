"""The network on a GPU, through torch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from restcli.errors import first_line
from restcli.nn.network import FloatArray, Lanes, Network
from restcli.nn.weights import Weights


def find_gpu() -> tuple[torch.device | None, str]:
    """Return a GPU that works, or None and why there is none."""
    if not torch.cuda.is_available():
        return None, "torch sees no GPU" if torch.version.cuda else "this torch is built without CUDA"
    try:
        one = torch.ones(16, 16, device="cuda")
        (one @ one).sum().item()
    except RuntimeError as error:  # a driver too old, a GPU too new or already full
        return None, f"the GPU cannot be used: {first_line(error)}"
    return torch.device("cuda", torch.cuda.current_device()), ""


def scan_on(weights: Weights, device: torch.device) -> Callable[[Lanes], FloatArray]:
    """Return a function that does on a device what `restcli.nn.network.scan` does on the CPU."""
    network = Network.of(weights)

    def there(values: FloatArray) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    given = {name: there(values) for name, values in vars(network).items() if name != "updates"}

    def convolve(x: torch.Tensor, name: str) -> torch.Tensor:
        near = (given["adjacency"] @ x.flatten(1)).view_as(x)
        return torch.cat([x, near], dim=-1) @ given[name] + given[f"{name}_bias"]

    @torch.no_grad()
    def scan(lanes: Lanes) -> FloatArray:
        present = there(lanes.present[..., None])
        gates = present if lanes.gate is None else there(lanes.gate[..., None])
        begins, logits = torch.from_numpy(lanes.begins).to(device)[:, None], []
        state = torch.zeros(lanes.projected.shape[1:], device=device)  # (N, B, H)
        for t, (x, here, gate) in enumerate(zip(there(lanes.projected), present, gates, strict=True)):
            for update in range(network.updates):
                h = x + state @ given["carry"] + given["carry_bias"]
                h = here * (torch.where(begins == t, x, h) if update == 0 else h)
                hidden = here * convolve(h, "first").relu()
                state = h + gate * here * convolve(hidden, "second")
            logits.append(state @ given["readout"] + given["readout_bias"])
        found: FloatArray = torch.stack(logits).cpu().numpy()
        return found

    return scan
