"""Sliding windows over shared seconds: the fast path beside `Rest.forward`, with the same result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from restcli.nn.rest import Rest


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the network takes of consecutive seconds."""

    projected: Tensor  # (N, T, H): l1 x, computed once and shared by all windows that contain the second
    present: Tensor | None = None  # (N, T): 1 where a node takes part; None when all do
    gate: Tensor | None = None  # (N, T): multiplier of the update, for masked passes


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
    begin = windows.last[0] - windows.length + 1
    n_before = max(0, -begin)  # seconds without any node, put before the first so that all windows are of one length
    seconds = slice(max(0, begin), windows.last[-1] + 1)
    projected = inputs.projected[:, seconds]
    present, gate = (mask if mask is None else mask[:, seconds, None] for mask in (inputs.present, inputs.gate))
    if n_before:
        before = (0, 0, n_before, 0)
        present = pad(torch.ones_like(projected[..., :1]) if present is None else present, before)
        gate = gate if gate is None else pad(gate, before)
        projected = pad(projected, before)
    scale = present if gate is None else gate if present is None else present * gate  # of the update, (N, T, 1)
    update = _Update(network, adjacency, len(windows.last))
    carried = update.carried_bias if scale is None else scale * update.carried_bias  # into the next update
    again = projected + update.state_bias + carried  # for a further update in the same second
    later = again
    if scale is not None:
        later = projected + update.state_bias
        later[:, 1:] += carried[:, :-1]
    if n_before:
        later[:, n_before] = projected[:, n_before]  # no state comes before it
    for offset in range(windows.length):
        second = slice(offset, offset + windows.last[-1] - windows.last[0] + 1, windows.last.step)
        here, by = (mask if mask is None else mask[:, second].reshape(-1, 1) for mask in (present, scale))
        if offset == 0:
            update.begin(projected[:, second], here)
        else:
            update.carry(later[:, second], here)
        update.correct(here, by)
        for _ in range(network.config.inference_updates - 1):
            update.carry(again[:, second], here)
            update.correct(here, by)
    return update.state(by).view(len(projected), len(windows.last), -1)


def linear_maps(network: Rest) -> tuple[list[Tensor], list[Tensor]]:
    """Return the matrices of l2, of gc1 (root, neighbours) and of gc2, to multiply from the right, and their biases."""
    convolutions: Any = (network.gc1, network.gc2)
    maps = [network.l2, *(part for both in convolutions for part in (both.lin_root, both.lin_rel))]
    return [part.weight.T for part in maps], [network.l2.bias, *(both.lin_rel.bias for both in convolutions)]


class _Update:
    """The update of one batch of windows, in buffers that are allocated once and small enough to stay in the cache.

    `h` is the state before its update, `r` the hidden layer of the update, `q` its sum over neighbours, all (N B, H).
    """

    def __init__(self, network: Rest, adjacency: Tensor, n_windows: int) -> None:
        (l2, self.root1, self.rel1, self.root2, self.rel2), biases = linear_maps(network)
        self.state_bias, self.bias1, self.bias2 = biases
        self.carries = (l2, self.root2 @ l2, self.rel2 @ l2)  # of h, r and q
        self.carried_bias = self.bias2 @ l2
        self.adjacency = adjacency
        shape = (len(adjacency) * n_windows, len(l2))
        self.h, self.spare, self.r, self.q = (l2.new_empty(shape) for _ in range(4))

    def begin(self, projected: Tensor, present: Tensor | None) -> None:
        """Form `h` of the first second, before which there is no state; `projected` is (N, B, H)."""
        self.h.view(projected.shape).copy_(projected)
        _multiply(self.h, present)

    def carry(self, projected: Tensor, present: Tensor | None) -> None:
        """Form `h` of the next second: its projection, biases included, and what the state carries over."""
        h = self.spare
        h.view(projected.shape).copy_(projected)
        for values, carry in zip((self.h, self.r, self.q), self.carries, strict=True):
            h.addmm_(values, carry)
        _multiply(h, present)
        self.h, self.spare = h, self.h

    def correct(self, present: Tensor | None, scale: Tensor | None) -> None:
        """Compute the hidden layer and its sum over neighbours, both multiplied with the update's mask."""
        r, q = self.r, self.q
        self._sum_over_neighbours(self.h)
        torch.addmm(self.bias1, self.h, self.root1, out=r)
        r.addmm_(q, self.rel1).relu_()
        _multiply(r, present)
        self._sum_over_neighbours(r)
        _multiply(r, scale)
        _multiply(q, scale)

    def _sum_over_neighbours(self, values: Tensor) -> None:
        n_nodes = len(self.adjacency)
        torch.mm(self.adjacency, values.view(n_nodes, -1), out=self.q.view(n_nodes, -1))

    def state(self, scale: Tensor | None) -> Tensor:
        """Form the state after the last update."""
        state = _multiply(self.spare.copy_(self.bias2.expand_as(self.spare)), scale)
        return self.h + state.addmm_(self.r, self.root2).addmm_(self.q, self.rel2)


def _multiply(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values.mul_(mask)
