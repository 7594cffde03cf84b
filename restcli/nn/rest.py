"""The network REST: its definition, which is trained."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restcli.nn.config import RestConfig


class DenseConvolution(nn.Module):
    """``y_i = W_rel sum_j a_ij x_j + b + W_root x_i`` over a dense graph (Morris et al., AAAI 2019).

    Parameters are named as in `torch_geometric.nn.DenseGraphConv`, so that training may use that one.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin_rel = nn.Linear(in_channels, out_channels, bias=True)
        self.lin_root = nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Convolve ``x`` (B, N, H_in) over ``adjacency`` (N, N) or (B, N, N); returns (B, N, H_out)."""
        y: Tensor = self.lin_rel(adjacency @ x) + self.lin_root(x)
        return y


class Rest(nn.Module):
    """REST: a linear recurrence over seconds whose state is updated by graph convolutions.

    For each second t: ``h = l1 x_t + l2 s`` (the second term only once a state exists), ``ds = gc2(relu(gc1(h)))``,
    ``s = h + mask * ds``; the readout ``fc`` gives each node's logit. Parameters are named as in the paper's code:
    Afzal, Chrysos, Cevher, Shoaran, *REST: Efficient and Accelerated EEG Seizure Analysis through Residual State
    Updates*, ICML 2024.
    """

    def __init__(self, config: RestConfig, convolution: Callable[[int, int], nn.Module] = DenseConvolution) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.l1 = nn.Linear(config.n_features, hidden, bias=False)
        self.l2 = nn.Linear(hidden, hidden)
        self.gc1 = convolution(hidden, hidden)
        self.gc2 = convolution(hidden, hidden)
        self.fc = nn.Linear(hidden, 1)
        self.fc_type = nn.Linear(hidden, config.n_types) if config.n_types else None

    def update(
        self,
        projected: Tensor,
        state: Tensor | None,
        adjacency: Tensor,
        *,
        gate: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Advance the state (B, N, H), None before the first second, by one update.

        `projected` is ``l1 x_t`` (B, N, H). `gate` multiplies the update (the random mask). `present` (B, N, 1) is 1
        for nodes that take part; others hold no state and send no message.
        """
        taking_part = 1.0 if present is None else present
        h = taking_part * (projected if state is None else projected + self.l2(state))
        hidden = taking_part * torch.relu(self.gc1(h, adjacency))
        ds = taking_part * self.gc2(hidden, adjacency)
        advanced: Tensor = h + (ds if gate is None else gate * ds)
        return advanced

    def draw_gate(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor | None:
        """Draw the random mask for one update, shape (B, N, 1) or (B, N, H); None for the variant DS."""
        config = self.config
        if config.variant == "DS":
            return None
        shape = like.shape if config.mask_per == "entry" else (*like.shape[:2], 1)
        gate = (torch.rand(shape, generator=generator, device=like.device) <= config.fire_rate).to(like.dtype)
        return gate / config.fire_rate if config.rescale else gate

    def forward(
        self,
        x: Tensor,
        adjacency: Tensor,
        *,
        present: Tensor | None = None,
        masked: bool | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run over all seconds of windows (B, T, N, F); return logits (B, T, N) and types (B, T, N, C) or None.

        `present` (B, T, N) is 1 where a node takes part. The random mask is applied in training mode only, unless
        `masked` says otherwise.
        """
        masked = self.training if masked is None else masked
        projected = self.l1(x)  # (B, T, N, H)
        state: Tensor | None = None
        states = []
        for t in range(x.shape[1]):
            here = None if present is None else present[:, t, :, None]
            for _ in range(self._n_updates(masked, generator)):
                gate = self.draw_gate(projected[:, t], generator) if masked else None
                state = self.update(projected[:, t], state, adjacency, gate=gate, present=here)
            states.append(state)
        stacked = torch.stack([s for s in states if s is not None], dim=1)  # (B, T, N, H)
        types = None if self.fc_type is None else self.fc_type(stacked)
        return self.fc(stacked)[..., 0], types

    def _n_updates(self, masked: bool, generator: torch.Generator | None) -> int:
        if masked and self.config.variant == "RM":
            device = None if generator is None else generator.device
            return int(torch.randint(1, 10, (1,), generator=generator, device=device))
        return self.config.inference_updates


def n_parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
