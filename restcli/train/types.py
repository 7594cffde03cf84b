"""The readout of the type of seizure, fitted on the states of trained networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restcli.nn.rest import Rest
from restcli.train.store import SEIZURE, Examples
from restcli.train.traces import TraceReader

Float64Array = NDArray[np.float64]

_SHRINK = 1e-3  # of the squared parameters: the states of one network are nearly collinear


def fit_types(networks: Sequence[Rest], reader: TraceReader, examples: Examples) -> None:
    """Fit the type readout of all members together, in place, by multinomial logistic regression."""
    # `reader` has the members joined. In training the loss of the type is kept small, so that it does not bend the
    # states that find seizures. Each type has the same weight, and within it each recording.
    states, kinds, owners = _typed_states(reader, examples)
    if len(np.unique(kinds)) < 2:
        return
    share = np.zeros(len(kinds))
    for kind in np.unique(kinds):
        own, index, count = np.unique(owners[kinds == kind], return_inverse=True, return_counts=True)
        share[kinds == kind] = 1 / (len(own) * count[index])
    weight, bias = _regress(states, kinds, share / share.sum(), networks[0].config.n_types)
    width, members = networks[0].config.hidden, len(networks)
    for k, network in enumerate(networks):
        if network.fc_type is not None:
            part = weight[:, k * width : (k + 1) * width] * members  # the members' logits are averaged
            network.fc_type.load_state_dict({"weight": torch.from_numpy(part), "bias": torch.from_numpy(bias)})


def _typed_states(reader: TraceReader, examples: Examples) -> tuple[Float64Array, NDArray[np.int64], NDArray[np.int64]]:
    """Return the mean states after seconds of known type (S, H), the types (S,) and their recordings (S,)."""
    states = [np.zeros((0, reader.network.hidden))]
    kinds, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    stretches = [stretch for stretch in examples.stretches if (stretch.labels > SEIZURE).any()]
    for number, (stretch, mean) in enumerate(zip(stretches, reader.states(stretches), strict=True)):
        typed = np.flatnonzero(stretch.labels > SEIZURE)
        typed = typed[typed + reader.look_ahead < stretch.seconds]
        if len(typed):
            states.append(mean[typed + reader.look_ahead].astype(np.float64))
            kinds.append(stretch.labels[typed].astype(np.int64) - SEIZURE - 1)
            owners.append(np.full(len(typed), number))
    return np.concatenate(states), np.concatenate(kinds), np.concatenate(owners)


def _regress(
    states: Float64Array, kinds: NDArray[np.int64], share: Float64Array, n_types: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit weights (C, H) and biases (C,) that tell kinds apart; `share` sums to one."""
    centre, spread = states.mean(axis=0), states.std(axis=0) + 1e-9
    x, target, each = (torch.from_numpy(part) for part in ((states - centre) / spread, kinds, share))
    weight = torch.zeros((n_types, x.shape[1]), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(n_types, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = nn.functional.cross_entropy(x @ weight.T + bias, target, reduction="none")
        total = (each * entropy).sum() + _SHRINK * (weight**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    scaled = weight.detach().numpy() / spread
    shift = bias.detach().numpy() - scaled @ centre
    return scaled.astype(np.float32), shift.astype(np.float32)
