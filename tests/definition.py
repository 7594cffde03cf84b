"""The definition of the network, `Rest`, run over whole stretches for each member of weights."""

from __future__ import annotations

import numpy as np
import torch

from restcli.nn.network import FloatArray
from restcli.nn.rest import Rest
from restcli.nn.weights import Tensors, Weights
from restcli.signal.montage import electrode_graph


def mean_logits(
    weights: Weights, x: FloatArray, present: FloatArray | None = None, gate: FloatArray | None = None
) -> FloatArray:
    """Return the members' mean logits and types, (T, N, 1 + C), of inputs (T, N, F) from their beginning."""
    here = np.ones(x.shape[:2], np.float32) if present is None else present
    return np.asarray(np.mean([_logits(weights, tensors, x, here, gate) for tensors in weights.by_member()], axis=0))


@torch.no_grad()
def _logits(
    weights: Weights, tensors: Tensors, x: FloatArray, present: FloatArray, gate: FloatArray | None
) -> FloatArray:
    network, adjacency = Rest(weights.config).eval(), torch.from_numpy(electrode_graph(weights.nodes))
    network.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in tensors.items()})
    inputs, here = torch.from_numpy(x)[None], torch.from_numpy(present)[None]
    if gate is None:
        logits, types = network(inputs, adjacency, present=here, masked=False)
        return np.asarray(torch.cat([logits[..., None], *([] if types is None else [types])], dim=-1)[0].numpy())
    state, found = None, []
    for t, projected in enumerate(network.l1(inputs)[0]):
        for _ in range(weights.config.inference_updates):
            mask = torch.from_numpy(gate[t])[None, :, None]
            state = network.update(projected[None], state, adjacency, gate=mask, present=here[:, t, :, None])
        readouts = [network.fc(state), *([] if network.fc_type is None else [network.fc_type(state)])]
        found.append(torch.cat(readouts, dim=-1)[0].numpy())
    return np.stack(found)
