"""The recurrence over sliding windows as one kernel for GPUs, in Triton, which comes with torch's builds for CUDA.

`restcli.nn.windows.run_windows` defines the result.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restcli.nn.rest import Rest
from restcli.nn.windows import Inputs, Windows

try:
    import triton
    import triton.language as tl
except ImportError:  # builds of torch for CPUs come without it
    triton = None


def fused_runner() -> Callable[..., Tensor] | None:
    """Return what runs sliding windows as one kernel, or None where there is no Triton."""
    return None if triton is None else run_fused


@torch.no_grad()
def run_fused(
    network: Rest,
    inputs: Inputs,
    adjacency: Tensor,
    windows: Windows,
) -> Tensor:
    """Return the state after the last second of each window, as `run_windows` does.

    One program takes one window from its first second to its last. State and parameters stay in registers and shared
    memory; of each second the projections (N, H) are read, and only the last state is written. Products are in float32.
    """
    projected, present, gate = inputs.projected, inputs.present, inputs.gate
    n_nodes, n_seconds, hidden = projected.shape
    maps = [network.l2.weight, network.l2.bias]
    for convolution in (network.gc1, network.gc2):
        maps += [convolution.get_parameter(name) for name in ("lin_root.weight", "lin_rel.weight", "lin_rel.bias")]
    state = projected.new_empty(n_nodes, len(windows.last), hidden)
    masks = [projected if mask is None else mask.contiguous() for mask in (present, gate)]
    _run[(len(windows.last),)](
        projected.contiguous(),
        *masks,
        adjacency.contiguous(),
        *(tensor.contiguous() for tensor in maps),
        state,
        windows.last.start,
        windows.last.step,
        windows.length,
        n_seconds,
        N=n_nodes,
        H=hidden,
        NP=_room(n_nodes),
        HP=_room(hidden),
        UPDATES=network.config.inference_updates,
        HAS_PRESENT=present is not None,
        HAS_GATE=gate is not None,
    )
    return state


def _room(size: int) -> int:
    """Return the size of a tile: a power of two, at least 16 for products."""
    return max(16, 1 << (size - 1).bit_length())


if triton is not None:
    # Triton reads the source of what it compiles: no types, and names of one letter as in the network's definition.
    @triton.jit  # type: ignore[untyped-decorator,unused-ignore]
    def _square(place, rows, columns, n_rows, n_columns):  # type: ignore[no-untyped-def]
        inside = (rows[:, None] < n_rows) & (columns[None, :] < n_columns)
        return tl.load(place + rows[:, None] * n_columns + columns[None, :], mask=inside, other=0.0)

    @triton.jit  # type: ignore[untyped-decorator,unused-ignore]
    def _times(left, right):  # type: ignore[no-untyped-def]
        return tl.dot(left, right, input_precision="ieee")

    # Not specialised, or each recording would have the kernel compiled again.
    @triton.jit(do_not_specialize=["first", "step", "length", "n_seconds"])  # type: ignore[untyped-decorator,unused-ignore]
    def _run(  # type: ignore[no-untyped-def]
        projected,
        present,
        gate,
        adjacency,
        l2,
        l2_bias,
        root1,
        rel1,
        bias1,
        root2,
        rel2,
        bias2,
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
        HAS_PRESENT: tl.constexpr,
        HAS_GATE: tl.constexpr,
    ):
        window = tl.program_id(0)
        node, unit = tl.arange(0, NP), tl.arange(0, HP)
        inside = (node[:, None] < N) & (unit[None, :] < H)
        a = _square(adjacency, node, node, N, N)
        w, b = tl.trans(_square(l2, unit, unit, H, H)), tl.load(l2_bias + unit, mask=unit < H, other=0.0)
        r1, q1 = tl.trans(_square(root1, unit, unit, H, H)), tl.trans(_square(rel1, unit, unit, H, H))
        r2, q2 = tl.trans(_square(root2, unit, unit, H, H)), tl.trans(_square(rel2, unit, unit, H, H))
        b1 = tl.load(bias1 + unit, mask=unit < H, other=0.0)
        b2 = tl.load(bias2 + unit, mask=unit < H, other=0.0)
        last = first + window * step
        begin = tl.maximum(last - length + 1, 0)
        s = tl.zeros((NP, HP), dtype=tl.float32)
        for second in range(begin, last + 1):
            x = tl.load(projected + (node[:, None] * n_seconds + second) * H + unit[None, :], mask=inside, other=0.0)
            here = (node < N).to(tl.float32)
            if HAS_PRESENT:
                here = tl.load(present + node * n_seconds + second, mask=node < N, other=0.0)
            scale = here
            if HAS_GATE:
                scale = here * tl.load(gate + node * n_seconds + second, mask=node < N, other=0.0)
            for again in range(UPDATES):
                known = tl.where((second > begin) | (again > 0), 1.0, 0.0)  # a first second has no state before it
                h = (x + known * (_times(s, w) + b[None, :])) * here[:, None]
                r = tl.maximum(_times(h, r1) + _times(_times(a, h), q1) + b1[None, :], 0.0) * here[:, None]
                s = h + scale[:, None] * (_times(r, r2) + _times(_times(a, r), q2) + b2[None, :])
        place = state + (node[:, None] * tl.num_programs(0) + window) * H + unit[None, :]
        tl.store(place, s, mask=inside)
