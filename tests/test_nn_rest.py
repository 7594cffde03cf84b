"""The network equals the paper's form on torch-geometric's own convolution."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from restcli.errors import UsageError
from restcli.nn.config import RestConfig
from restcli.nn.rest import Rest, n_parameters
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, electrode_graph


def _network(config: RestConfig, seed: int = 0) -> Rest:
    torch.manual_seed(seed)
    network = Rest(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def _adjacency(nodes: tuple[str, ...]) -> torch.Tensor:
    return torch.from_numpy(electrode_graph(nodes))


def _paper_form(
    network: Rest, x: torch.Tensor, edges: torch.Tensor, weight: torch.Tensor, fire_rate: float
) -> torch.Tensor:
    """The published update written down again on an edge list: state (N, H), mask drawn per entry, logits averaged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import GraphConv
    hidden = network.config.hidden
    first, second = GraphConv(hidden, hidden), GraphConv(hidden, hidden)
    first.load_state_dict(network.gc1.state_dict())
    second.load_state_dict(network.gc2.state_dict())
    torch.manual_seed(99)
    state = None
    for x_t in x:  # (N, F)
        h = network.l1(x_t) if state is None else network.l1(x_t) + network.l2(state)
        ds = second(first(h, edges, weight).relu(), edges, weight)
        gate = (torch.rand((1, *ds.shape)) <= fire_rate).float()[0]
        state = h + gate * ds
    return network.fc(state).mean()


def test_paper_network_has_8449_parameters() -> None:
    assert n_parameters(Rest(RestConfig(n_features=100))) == 8449


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_definition_equals_the_papers_edge_list_form_mask_included(seed: int) -> None:
    config = RestConfig(n_features=100, variant="RS", mask_per="entry", rescale=False)
    network, adjacency = _network(config, seed), _adjacency(ELECTRODES_19)
    edges = adjacency.nonzero().T
    weight = adjacency[edges[0], edges[1]]
    x = torch.randn(1, 14, 19, 100)
    torch.manual_seed(99)
    ours = network(x, adjacency, masked=True)[0][0, -1].mean()
    theirs = _paper_form(network, x[0], edges, weight, config.fire_rate)
    assert abs((ours - theirs).item()) < 1e-5


def test_training_form_on_torch_geometric_equals_inference_form() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import DenseGraphConv
    config, adjacency = RestConfig(n_features=41), _adjacency(DOUBLE_BANANA)
    plain = _network(config)
    trained = Rest(config, convolution=DenseGraphConv)
    trained.load_state_dict(plain.state_dict())
    x = torch.randn(3, 9, 18, 41)
    np.testing.assert_allclose(
        trained(x, adjacency, masked=False)[0].detach(), plain(x, adjacency, masked=False)[0].detach(), atol=1e-5
    )


def test_missing_node_equals_smaller_graph() -> None:
    config = RestConfig(n_features=5, hidden=6)
    network, graph = _network(config), electrode_graph(DOUBLE_BANANA)
    kept = [name for name in DOUBLE_BANANA if name not in ("FP1-F7", "P4-O2")]
    index = [DOUBLE_BANANA.index(name) for name in kept]
    x = torch.randn(1, 8, 18, 5)
    present = torch.zeros(1, 8, 18)
    present[:, :, index] = 1
    whole = network(x, torch.from_numpy(graph), present=present, masked=False)[0][..., index]
    part = network(x[:, :, index], torch.from_numpy(graph[np.ix_(index, index)]), masked=False)[0]
    np.testing.assert_allclose(whole.detach(), part.detach(), atol=1e-6)


def test_masks_are_seeded_and_ds_has_none() -> None:
    config, adjacency = RestConfig(n_features=5, hidden=6), _adjacency(DOUBLE_BANANA)
    network, x = _network(config), torch.randn(2, 6, 18, 5)

    def run(net: Rest, seed: int) -> torch.Tensor:
        return net(x, adjacency, masked=True, generator=torch.Generator().manual_seed(seed))[0]

    assert torch.equal(run(network, 1), run(network, 1))
    assert not torch.equal(run(network, 1), run(network, 2))
    plain = _network(RestConfig(n_features=5, hidden=6, variant="DS"))
    assert torch.equal(run(plain, 1), run(plain, 2))


def test_rescaled_mask_keeps_the_expectation() -> None:
    network = _network(RestConfig(n_features=5))
    gate = network.draw_gate(torch.zeros(200, 100, 32), torch.Generator().manual_seed(0))
    assert gate is not None
    assert abs(float(gate.mean()) - 1.0) < 0.02


def test_unknown_variant_is_refused() -> None:
    with pytest.raises(UsageError, match="DS, RS, RM"):
        RestConfig(n_features=5, variant="XS")
