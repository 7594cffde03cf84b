"""Sliding windows over shared seconds: the fast path beside `Rest.forward`, with the same result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from restcli.nn.rest import Rest


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the network takes of consecutive seconds."""

    projected: Tensor  # (N, T, H): l1 x, computed once and shared by all windows that contain the second
    present: Tensor | None = None  # (N, T): 1 where a node takes part; None when all do
    gate: Tensor | None = None  # (N, T): multiplier of the update, for masked passes

    def seconds(self, first: int, stop: int) -> Inputs:
        """Return the seconds from `first` up to `stop`."""
        parts = (self.projected, self.present, self.gate)
        return Inputs(*(part if part is None else part[:, first:stop] for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Windows:
    """Which seconds a batch of B windows sees; a window that reaches back beyond second 0 starts there."""

    last: range  # index of the last second of each window, B >= 1
    length: int  # seconds


@torch.no_grad()
def run_windows(network: Rest, inputs: Inputs, adjacency: Tensor, windows: Windows) -> Tensor:
    """Return the state (N, B, H) after the last second of each window, equal to `Rest.forward` on each window alone.

    Node-major layout makes the sum over neighbours one ``(N, N) x (N, B H)`` product and each linear map one
    ``(N B, H) x (H, H)`` product. Between two seconds of a window the state itself is never formed: with
    ``r = relu(gc1(h))``, and since masks multiply whole rows, ``h' = l1 x' + l2(h + gc2(r))`` is linear in ``h``, ``r``
    and ``A r``, so that l2 is multiplied into gc2 beforehand and its bias into the projections. The seconds that
    windows with equal steps see at one time are a strided slice of the projections; nothing is gathered.
    """
    last, length = windows.last, windows.length
    n_early = min(len(last), max(0, -(-(length - 1 - last[0]) // last.step)))
    parts = [  # windows that begin before the first second are all of different lengths
        _run(network, inputs, adjacency, Windows(range(end, end + 1), end + 1)) for end in last[:n_early]
    ]
    if n_early < len(last):
        parts.append(_run(network, inputs, adjacency, Windows(last[n_early:], length)))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _run(network: Rest, inputs: Inputs, adjacency: Tensor, windows: Windows) -> Tensor:
    """Run windows that all have their full length."""
    last, length = windows.last, windows.length
    inputs = inputs.seconds(last[0] - length + 1, last[-1] + 1)
    projected = inputs.projected
    present, gate = (None if mask is None else mask[..., None] for mask in (inputs.present, inputs.gate))
    scale = present if gate is None else gate if present is None else present * gate  # of the update, (N, T, 1)
    maps = _fold(network)
    carry = maps.carry_bias if scale is None else scale * maps.carry_bias  # what gc2's bias becomes in the next update
    again = projected + maps.state_bias + carry  # (N, T, H), for a further update in the same second
    later = again
    if scale is not None:
        later = projected + maps.state_bias
        later[:, 1:] += carry[:, :-1]
    step = _Step(adjacency, maps, (len(projected), len(last), projected.shape[2]), like=projected)
    for offset in range(length):
        second = slice(offset, offset + last[-1] - last[0] + 1, last.step)
        here, by = (None if mask is None else mask[:, second] for mask in (present, scale))  # (N, B, 1)
        if offset == 0:
            step.begin(projected[:, second], here)
        else:
            step.carry(later[:, second], here)
        step.correct(here, by)
        for _ in range(network.config.inference_updates - 1):
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

    `h` is the state before its update, `r` the hidden layer of the update, `q` its sum over neighbours.
    """

    def __init__(self, adjacency: Tensor, maps: _Maps, shape: tuple[int, int, int], *, like: Tensor) -> None:
        self.adjacency, self.maps = adjacency, maps
        self.h, self.spare, self.r, self.q = (_Buffer(shape, like) for _ in range(4))

    def begin(self, projected: Tensor, present: Tensor | None) -> None:
        """Form `h` of the first second, before which there is no state."""
        self.h.whole.copy_(projected)
        if present is not None:
            self.h.whole.mul_(present)

    def carry(self, projected: Tensor, present: Tensor | None) -> None:
        """Form `h` of the next second: its projection, biases included, and what the state carries over."""
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
