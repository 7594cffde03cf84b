"""The recurrence over sliding windows as one kernel for GPUs, in Triton, which comes with torch's builds for CUDA.

`restcli.nn.windows.run_windows` defines the result.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from restcli.nn.rest import Rest
from restcli.nn.windows import Inputs, Windows, linear_maps


@torch.no_grad()
def run_fused(network: Rest, inputs: Inputs, adjacency: Tensor, windows: Windows) -> Tensor:
    """Return the state after the last second of each window, as `run_windows` does.

    One program takes one window from its first second to its last. State and parameters stay in registers and shared
    memory; of each second the projections (N, H) are read, and only the last state is written. Products are in float32.
    """
    n_nodes, n_seconds, hidden = inputs.projected.shape
    maps, biases = linear_maps(network)
    present = torch.ones_like(inputs.projected[..., 0]) if inputs.present is None else inputs.present
    scale = present if inputs.gate is None else present * inputs.gate
    state = inputs.projected.new_empty(n_nodes, len(windows.last), hidden)
    tensors = (inputs.projected, present, scale, adjacency, torch.stack(maps), torch.stack(biases))
    _run[(len(windows.last),)](
        *(tensor.contiguous() for tensor in tensors),
        state,
        windows.last.start,
        windows.last.step,
        windows.length,
        n_seconds,
        N=n_nodes,
        H=hidden,
        NP=max(16, triton.next_power_of_2(n_nodes)),  # sizes of tiles: products need 16
        HP=max(16, triton.next_power_of_2(hidden)),
        UPDATES=network.config.inference_updates,
    )
    return state


# Triton reads the source of what it compiles: no types, and names of one letter as in the network's definition.
@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _square(place, index, n):  # type: ignore[no-untyped-def]
    inside = (index[:, None] < n) & (index[None, :] < n)
    return tl.load(place + index[:, None] * n + index[None, :], mask=inside, other=0.0)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _times(left, right):  # type: ignore[no-untyped-def]
    return tl.dot(left, right, input_precision="ieee")


# Not specialised, or each recording would have the kernel compiled again.
@triton.jit(do_not_specialize=["first", "step", "length", "n_seconds"])  # type: ignore[untyped-decorator,unused-ignore]
def _run(  # type: ignore[no-untyped-def]
    projected,
    present,
    scale,
    adjacency,
    maps,
    biases,
    state,
    first,
    step,
    length,
    n_seconds,
    N: tl.constexpr,
    H: tl.constexpr,
    NP: tl.constexpr,
    HP: tl.constexpr,
    UPDATES: tl.constexpr,
):
    window = tl.program_id(0)
    node, unit = tl.arange(0, NP), tl.arange(0, HP)
    inside = (node[:, None] < N) & (unit[None, :] < H)
    a = _square(adjacency, node, N)
    w = _square(maps, unit, H)
    r1, q1 = _square(maps + H * H, unit, H), _square(maps + 2 * H * H, unit, H)
    r2, q2 = _square(maps + 3 * H * H, unit, H), _square(maps + 4 * H * H, unit, H)
    b = tl.load(biases + unit, mask=unit < H, other=0.0)
    b1 = tl.load(biases + H + unit, mask=unit < H, other=0.0)
    b2 = tl.load(biases + 2 * H + unit, mask=unit < H, other=0.0)
    last = first + window * step
    begin = tl.maximum(last - length + 1, 0)
    s = tl.zeros((NP, HP), dtype=tl.float32)
    for second in range(begin, last + 1):
        x = tl.load(projected + (node[:, None] * n_seconds + second) * H + unit[None, :], mask=inside, other=0.0)
        here = tl.load(present + node * n_seconds + second, mask=node < N, other=0.0)[:, None]
        by = tl.load(scale + node * n_seconds + second, mask=node < N, other=0.0)[:, None]
        for again in range(UPDATES):
            known = tl.where((second > begin) | (again > 0), 1.0, 0.0)  # a first second has no state before it
            h = (x + known * (_times(s, w) + b[None, :])) * here
            r = tl.maximum(_times(h, r1) + _times(_times(a, h), q1) + b1[None, :], 0.0) * here
            s = h + by * (_times(r, r2) + _times(_times(a, r), q2) + b2[None, :])
    place = state + (node[:, None] * tl.num_programs(0) + window) * H + unit[None, :]
    tl.store(place, s, mask=inside)
