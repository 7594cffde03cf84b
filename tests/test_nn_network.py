"""The network in numpy, and torch's on a device, equal the definition `Rest.forward` over the whole of each stretch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from definition import mean_logits

from restcli.errors import WeightsError
from restcli.nn.config import RestConfig
from restcli.nn.gpu import scan_on
from restcli.nn.network import NEVER, FloatArray, Lanes, Network, Recurrence, _test_signals, memory_of, scan
from restcli.nn.rest import Rest
from restcli.nn.weights import Weights
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19

FEATURES = FeatureConfig(bands=((1, 7),), amplitude=False, relative=False)
N = len(DOUBLE_BANANA)
RNG = np.random.default_rng(0)


def made_weights(*, std: float = 0.15, nodes: tuple[str, ...] = DOUBLE_BANANA, **shape: object) -> Weights:
    config = RestConfig(FEATURES.n_features, hidden=6, **shape)  # type: ignore[arg-type]
    torch.manual_seed(3)
    members = []
    for _ in range(config.members):
        network = Rest(config)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=std)
        members.append({key: value.detach().numpy() for key, value in network.state_dict().items()})
    stacked = {key: np.stack([member[key] for member in members]) for key in members[0]}
    tensors = stacked if config.members > 1 else {key: value[0] for key, value in stacked.items()}
    types = tuple(f"sz_{k}" for k in range(config.n_types))
    return Weights("made", config, FEATURES, nodes, tensors, types=types)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that share small products wait for each other
    yield
    torch.set_num_threads(before)


SHAPES = {
    "one member": made_weights(),
    "types": made_weights(n_types=3),
    "members": made_weights(n_types=2, members=3),
    "several updates": made_weights(variant="RM", updates=3, members=2),
    "no mask": made_weights(variant="DS"),
    "electrodes": made_weights(nodes=ELECTRODES_19),
}


def draw(shape: tuple[int, ...], *, absent: bool) -> FloatArray:
    """Draw which nodes take part, (T, N, B): some at times, one never, and at one second none at all."""
    present = (RNG.random(shape) > 0.3 * absent).astype(np.float32)
    if absent:
        present[:, 5] = 0
        present[7] = 0
    return present


@pytest.mark.parametrize("runner", ["numpy", "torch"])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_lanes_equal_the_definition(name: str, absent: bool, gated: bool, runner: str) -> None:
    weights = SHAPES[name]
    n_seconds, begins = 40, np.array([0, 0, 3, 25, 39])
    shape = (n_seconds, len(weights.nodes), len(begins))
    x = RNG.standard_normal((*shape, weights.features.n_features), dtype=np.float32)
    present = draw(shape, absent=absent)
    gate = ((RNG.random(shape) < 0.5) * np.float32(2)).astype(np.float32) if gated else None
    network = Network.of(weights)
    lanes = Lanes(network.project(x), present, begins, gate)
    found = scan(network, lanes) if runner == "numpy" else scan_on(weights, torch.device("cpu"))(lanes)
    assert found.shape == (*shape, 1 + weights.config.n_types)
    assert found.dtype == np.float32
    for lane, begin in enumerate(begins.tolist()):
        expected = mean_logits(
            weights, x[begin:, :, lane], present[begin:, :, lane], None if gate is None else gate[begin:, :, lane]
        )
        np.testing.assert_allclose(found[begin:, :, lane], expected, atol=1e-5, rtol=1e-5)
        assert np.abs(expected).max() > 0.1


def test_absent_nodes_tell_others_nothing_and_hold_nothing() -> None:
    weights = SHAPES["several updates"]
    network = Network.of(weights)
    x = RNG.standard_normal((20, N, 1, FEATURES.n_features), dtype=np.float32)
    present = draw((20, N, 1), absent=True)
    poisoned = np.where(present[..., None] > 0, x, np.float32(1e3))
    begins = np.zeros(1, dtype=np.intp)
    one, other = (scan(network, Lanes(network.project(values), present, begins)) for values in (x, poisoned))
    np.testing.assert_array_equal(one, other)
    recurrence = Recurrence(network)
    for t, projected in enumerate(network.project(poisoned)):
        recurrence.advance(projected, present=present[t, ..., None], begins=slice(None) if t == 0 else None)
        assert (recurrence.state[present[t, :, 0] == 0] == 0).all()
        np.testing.assert_array_equal(recurrence.read_out(), one[t])


def test_the_members_mean_is_what_joined_members_say() -> None:
    weights = SHAPES["members"]
    x, present = RNG.standard_normal((15, N, FEATURES.n_features), dtype=np.float32), np.ones((15, N), np.float32)
    network = Network.of(weights)
    lanes = Lanes(network.project(x[:, :, None]), present[..., None], np.zeros(1, dtype=np.intp))
    single = replace(weights.config, members=1)
    apart = [mean_logits(replace(weights, config=single, tensors=t), x, present) for t in weights.by_member()]
    np.testing.assert_allclose(scan(network, lanes)[:, :, 0], np.mean(apart, axis=0), atol=1e-5)
    assert network.hidden == 18


def test_a_network_that_does_not_forget_is_told() -> None:
    weights = made_weights(std=0.02)
    weights.tensors["l2.weight"][:] = np.eye(6)
    assert memory_of(Network.of(weights), FEATURES) == NEVER


def test_memory_is_as_long_as_the_past_is_felt() -> None:
    quick, slow = made_weights(std=0.02), made_weights(std=0.02)
    for tensor in (slow.tensors["l2.weight"],):
        tensor[:] = 0.95 * np.eye(6)
    lengths = [memory_of(Network.of(weights), FEATURES) for weights in (quick, slow)]
    assert lengths[0] == 60  # 30 are enough, and the next larger one is taken
    assert 180 < lengths[1] <= 600  # 0.95 ** 180 is 1e-4
    x = RNG.standard_normal((1200, N, 2, FEATURES.n_features), dtype=np.float32)
    x[-lengths[1] :, :, 1] = x[-lengths[1] :, :, 0]
    network = Network.of(slow)
    present, begins = np.ones(x.shape[:3], np.float32), np.array([0, len(x) - lengths[1]])
    logits = scan(network, Lanes(network.project(x), present, begins))
    np.testing.assert_allclose(logits[-1, :, 0], logits[-1, :, 1], atol=2e-5)
    late = scan(network, Lanes(network.project(x), present, np.array([0, len(x) - 60])))
    assert np.abs(late[-1, :, 0] - late[-1, :, 1]).max() > 1e-4


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("fc.bias"),
        lambda tensors: tensors.update({"l1.weight": tensors["l1.weight"][:, 1:]}),
        lambda tensors: tensors.update({"l2.weight": tensors["l2.weight"][:5, :5]}),
        lambda tensors: tensors.update({"gc1.lin_rel.weight": np.zeros((5, 6), np.float32)}),
        lambda tensors: tensors.update({"fc_type.weight": np.zeros((2, 6), np.float32)}),
        lambda tensors: tensors.update({"gc2.lin_rel.bias": np.zeros(5, np.float32)}),
        lambda tensors: tensors.update({"l2.bias": np.zeros(1, np.float32)}),
    ],
)
def test_parameters_that_do_not_fit_are_refused(change: object) -> None:
    weights = made_weights()
    tensors = dict(weights.tensors)
    change(tensors)  # type: ignore[operator]
    with pytest.raises(WeightsError, match="do not fit"):
        Network.of(replace(weights, tensors=tensors))


def test_memory_is_measured_on_low_passed_noise_against_the_average_too() -> None:
    found = []
    for seconds, _ in _test_signals(20, N):
        power = (np.abs(np.fft.rfft(seconds, axis=-1)) ** 2).mean(axis=(0, 1))
        averaged = np.abs(seconds.mean(axis=1)).max() < 1e-3
        found.append(averaged and 5 < power[1:20].mean() / power[60:90].mean() < 1000)
    assert sum(found) == 2  # with and without absent nodes
