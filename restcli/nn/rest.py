"""The network REST: its definition and its parameters; knows neither EEG nor files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from restcli.nn.config import RestConfig


class DenseConvolution(nn.Module):
    """Convolve over a weighted graph given as a dense matrix.

    Parameters
    ----------
    in_channels, out_channels : int
        Widths.

    Notes
    -----
    ``y_i = W_rel sum_j a_ij x_j + b + W_root x_i``: the same parameters under the same names as
    `torch_geometric.nn.DenseGraphConv` and `torch_geometric.nn.GraphConv`, so that inference needs no torch-geometric
    and training can use it.

    References
    ----------
    Morris et al., *Weisfeiler and Leman go neural: higher-order graph neural networks*, AAAI 2019.
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
    """REST: a linear recurrence over seconds whose state is mended by graph convolutions.

    Parameters
    ----------
    config : RestConfig
        Widths and update rule.
    convolution : callable
        Builds a graph convolution from two widths; it must name its parameters as `DenseConvolution` does. Training
        passes `torch_geometric.nn.DenseGraphConv`.

    Notes
    -----
    For each second t: ``h = l1 x_t + l2 s`` (the second term only once a state exists), ``ds = gc2(relu(gc1(h)))``,
    ``s = h + mask * ds``; the readout ``fc`` gives each node's logit. Parameters are named as in the paper's code.

    References
    ----------
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
        """Advance the state by one update.

        Parameters
        ----------
        projected : Tensor, shape (B, N, H)
            ``l1 x_t``.
        state : Tensor, shape (B, N, H), or None
            State before; None at the first second.
        adjacency : Tensor, shape (N, N)
            Graph weights, zero diagonal.
        gate : Tensor, broadcastable to (B, N, H), or None
            What the update is multiplied with: the random mask; None for the full update.
        present : Tensor, shape (B, N, 1), or None
            1 where the node takes part in this second; others hold no state and send no message.

        Returns
        -------
        Tensor, shape (B, N, H)
        """
        h = projected if state is None else projected + self.l2(state)
        if present is not None:
            h = h * present
        ds = torch.relu(self.gc1(h, adjacency))
        if present is not None:
            ds = ds * present
        ds = self.gc2(ds, adjacency)
        if present is not None:
            ds = ds * present
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
        """Run over all seconds of a batch of windows.

        Parameters
        ----------
        x : Tensor, shape (B, T, N, F)
            Features.
        adjacency : Tensor, shape (N, N)
            Graph weights.
        present : Tensor, shape (B, T, N), or None
            1 where a node takes part in a second.
        masked : bool or None
            Apply the random mask; by default only in training mode.
        generator : torch.Generator or None
            Source of the mask.

        Returns
        -------
        logits : Tensor, shape (B, T, N)
            Each node's logit after each second; average over the nodes that are present for the whole.
        types : Tensor, shape (B, T, N, n_types), or None

        Notes
        -----
        Without the mask the full update is used: of the deterministic rules tried (full, expected, one fixed mask) it
        ranked best on simulated and on real recordings, for networks trained with and without rescaling.
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
        if self.config.variant != "RM":
            return 1
        return int(torch.randint(1, 10, (1,), generator=generator)) if masked else self.config.updates


def join_networks(networks: Sequence[Rest]) -> Rest:
    """Put networks of one shape side by side as one wide network that gives the mean of their logits.

    Parameters
    ----------
    networks : sequence of Rest
        M networks of width H.

    Returns
    -------
    Rest
        Of width M H; its maps from state to state are block-diagonal, so that members do not hear each other, and one
        fast path serves both.
    """
    config, members = networks[0].config, len(networks)
    joined = Rest(replace(config, hidden=members * config.hidden, members=1))
    parts = [network.state_dict() for network in networks]
    tensors = {}
    for key in joined.state_dict():
        blocks = [part[key].detach().cpu() for part in parts]
        if key.startswith("fc"):  # the readouts take a mean over members
            tensors[key] = torch.cat(blocks, dim=1) / members if key.endswith("weight") else sum(blocks) / members
        elif key.endswith("bias") or key.startswith("l1"):
            tensors[key] = torch.cat(blocks)
        else:
            tensors[key] = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    joined.load_state_dict(tensors)
    return joined.train(networks[0].training)


@dataclass(frozen=True)
class Windows:
    """Which seconds a batch of windows sees.

    Parameters
    ----------
    last : range
        Index of each of B windows' last second; B is at least 1, the step too.
    length : int
        Seconds in a window; seconds before index 0 do not exist and the window starts later.
    """

    last: range
    length: int


@torch.no_grad()
def run_windows(
    network: Rest,
    projected: Tensor,
    adjacency: Tensor,
    windows: Windows,
    *,
    present: Tensor | None = None,
    gate: Tensor | None = None,
) -> Tensor:
    """Return the state after the last second of each window: the fast path for sliding windows.

    Parameters
    ----------
    network : Rest
        Its parameters are used; results equal `Rest.forward` on each window alone.
    projected : Tensor, shape (N, T, H)
        ``l1 x`` of every second, computed once and shared by all windows that contain it.
    adjacency : Tensor, shape (N, N)
        Graph weights.
    windows : Windows
        Last second and length of each of B windows.
    present : Tensor, shape (N, T), or None
        1 where a node takes part in a second; None when all do.
    gate : Tensor, shape (N, T), or None
        Multiplier of the update for each node and second, for masked passes.

    Returns
    -------
    Tensor, shape (N, B, H)

    Notes
    -----
    Node-major layout makes the sum over neighbours one ``(N, N) x (N, B H)`` product and each linear map one
    ``(N B, H) x (H, H)`` product. Between two seconds of a window the state itself is never formed: with
    ``r = relu(gc1(h))``, and since masks multiply whole rows, ``h' = l1 x' + l2(h + gc2(r))`` is linear in ``h``, ``r``
    and ``A r``, so that l2 is multiplied into gc2 beforehand and its bias into the projections. The seconds that
    windows with equal steps see at one time are a strided slice of `projected`; nothing is gathered.
    """
    n_nodes, _, hidden = projected.shape
    last, length = windows.last, windows.length
    n_early = min(len(last), max(0, -(-(length - 1 - last[0]) // last.step)))
    parts = [  # windows that begin before the first second are shorter, each in its own way
        _run(network, projected, adjacency, Windows(range(end, end + 1), end + 1), masks=(present, gate))
        for end in last[:n_early]
    ]
    if n_early < len(last):
        parts.append(_run(network, projected, adjacency, Windows(last[n_early:], length), masks=(present, gate)))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1).reshape(n_nodes, len(last), hidden)


def _run(
    network: Rest, projected: Tensor, adjacency: Tensor, windows: Windows, *, masks: tuple[Tensor | None, Tensor | None]
) -> Tensor:
    """Run windows that all have their full length; see `run_windows`."""
    n_nodes, _, hidden = projected.shape
    last, length = windows.last, windows.length
    seen = slice(last[0] - length + 1, last[-1] + 1)
    projected = projected[:, seen]
    present, gate = (None if mask is None else mask[:, seen, None] for mask in masks)
    scale = present if gate is None else gate if present is None else present * gate  # of the update, (N, T, 1)
    maps = _fold(network)
    carry = maps.carry_bias if scale is None else scale * maps.carry_bias  # what gc2's bias becomes in the next update
    again = projected + maps.state_bias + carry  # (N, T, H), for a further update in the same second
    later = again
    if scale is not None:
        later = projected + maps.state_bias
        later[:, 1:] += carry[:, :-1]
    step = _Step(adjacency, maps, (n_nodes, len(last), hidden), like=projected)
    n_updates = network.config.updates if network.config.variant == "RM" else 1
    for offset in range(length):
        second = slice(offset, offset + last[-1] - last[0] + 1, last.step)
        here, by = (None if mask is None else mask[:, second] for mask in (present, scale))  # (N, B, 1)
        if offset == 0:
            step.begin(projected[:, second], here)
        else:
            step.carry(later[:, second], here)
        step.correct(here, by)
        for _ in range(n_updates - 1):
            step.carry(again[:, second], here)
            step.correct(here, by)
    return step.state(by)


@dataclass(frozen=True, eq=False)
class _Maps:
    """The linear maps of one update, transposed to multiply from the right, with l2 multiplied into gc2."""

    root1: Tensor
    rel1: Tensor
    bias1: Tensor
    root2: Tensor
    rel2: Tensor
    bias2: Tensor
    carry: Tensor
    carry_root: Tensor
    carry_rel: Tensor
    carry_bias: Tensor
    state_bias: Tensor


def _fold(network: Rest) -> _Maps:
    root1, rel1, bias1 = _maps_of(network.gc1)
    root2, rel2, bias2 = _maps_of(network.gc2)
    carry, state_bias = network.l2.weight.T, network.l2.bias
    return _Maps(root1, rel1, bias1, root2, rel2, bias2, carry, root2 @ carry, rel2 @ carry, bias2 @ carry, state_bias)


def _maps_of(convolution: Any) -> tuple[Tensor, Tensor, Tensor]:
    root, rel = convolution.lin_root, convolution.lin_rel
    return root.weight.T, rel.weight.T, rel.bias


class _Buffer:
    """Values of each node of each window (N, B, H), with the views of them that products take."""

    def __init__(self, shape: tuple[int, int, int], like: Tensor) -> None:
        self.whole = like.new_empty(shape)
        self.rows = self.whole.view(-1, shape[2])  # (N B, H), for linear maps
        self.by_node = self.whole.view(shape[0], -1)  # (N, B H), for sums over neighbours


class _Step:
    """Buffers of one batch of windows: allocated once, small enough to stay in the cache.

    `h` is the state before its correction, `r` the hidden layer of the correction, `q` its sum over neighbours.
    """

    def __init__(self, adjacency: Tensor, maps: _Maps, shape: tuple[int, int, int], *, like: Tensor) -> None:
        self.adjacency, self.maps = adjacency, maps
        self.h, self.spare, self.r, self.q = (_Buffer(shape, like) for _ in range(4))

    def begin(self, projected: Tensor, present: Tensor | None) -> None:
        """Take the first second, before which there is no state."""
        self.h.whole.copy_(projected)
        if present is not None:
            self.h.whole.mul_(present)

    def carry(self, projected: Tensor, present: Tensor | None) -> None:
        """Take the next second's projection, biases included, and add what the state hands on."""
        h, maps = self.spare, self.maps
        h.whole.copy_(projected)
        h.rows.addmm_(self.h.rows, maps.carry)
        h.rows.addmm_(self.r.rows, maps.carry_root)
        h.rows.addmm_(self.q.rows, maps.carry_rel)
        if present is not None:
            h.whole.mul_(present)
        self.h, self.spare = h, self.h

    def correct(self, present: Tensor | None, scale: Tensor | None) -> None:
        """Compute the hidden layer and its sum over neighbours, both multiplied with the update's mask."""
        maps, r, q = self.maps, self.r, self.q
        torch.mm(self.adjacency, self.h.by_node, out=q.by_node)
        torch.addmm(maps.bias1, self.h.rows, maps.root1, out=r.rows)
        r.rows.addmm_(q.rows, maps.rel1)
        r.rows.relu_()
        if present is not None:
            r.whole.mul_(present)
        torch.mm(self.adjacency, r.by_node, out=q.by_node)
        if scale is not None:
            r.whole.mul_(scale)
            q.whole.mul_(scale)

    def state(self, scale: Tensor | None) -> Tensor:
        """Form the state after the last update."""
        maps, state = self.maps, self.spare
        state.whole.copy_(maps.bias2.expand_as(state.whole) if scale is None else scale * maps.bias2)
        state.rows.addmm_(self.r.rows, maps.root2)
        state.rows.addmm_(self.q.rows, maps.rel2)
        return self.h.whole + state.whole


def n_parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
