"""REST in numpy: what runs on a CPU. The torch module `restcli.nn.rest.Rest` defines and trains the same network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from restcli.errors import WeightsError
from restcli.nn.checks import check_tensors
from restcli.nn.weights import Weights
from restcli.signal.features import REFERENCE_RATE, FeatureConfig
from restcli.signal.montage import electrode_graph
from restcli.signal.usual import first_inputs

FloatArray = NDArray[np.float32]
_Array = TypeVar("_Array")


@dataclass(frozen=True, eq=False)
class Network:
    """The parameters of all members, joined to one network of width H whose logits are the members' mean.

    Matrices multiply from the right. Those of a graph convolution stand one above the other: root, neighbours.
    """

    adjacency: FloatArray  # (N, N)
    projection: FloatArray  # (F, H)
    carry: FloatArray  # (H, H), from one state to the next
    carry_bias: FloatArray
    first: FloatArray  # (2 H, H), first graph convolution of the update
    first_bias: FloatArray
    second: FloatArray  # (2 H, H)
    second_bias: FloatArray
    readout: FloatArray  # (H, 1 + C), logit of a seizure and of each type
    readout_bias: FloatArray
    updates: int = 1  # a second

    @classmethod
    def of(cls, weights: Weights) -> Network:
        """Join the members of weights; `WeightsError` if the parameters do not fit the configuration."""
        try:
            check_tensors(weights)
        except ValueError as error:
            raise WeightsError(weights.name, str(error), "a file from restcli train") from error
        return cls.joined(weights.by_member(), weights.nodes, weights.config.inference_updates)

    @classmethod
    def joined(cls, members: Sequence[Mapping[str, FloatArray]], nodes: Sequence[str], updates: int = 1) -> Network:
        """Join the parameters of networks of one shape."""
        readouts = ("fc", "fc_type") if "fc_type.weight" in members[0] else ("fc",)
        n = np.float32(len(members))

        def convolution(name: str) -> FloatArray:
            return np.concatenate([_blocks(members, f"{name}.lin_{part}.weight") for part in ("root", "rel")])

        def side_by_side(name: str) -> FloatArray:
            return np.concatenate([member[name] for member in members], dtype=np.float32)

        return cls(
            adjacency=electrode_graph(nodes),
            projection=np.ascontiguousarray(side_by_side("l1.weight").T),
            carry=_blocks(members, "l2.weight"),
            carry_bias=side_by_side("l2.bias"),
            first=convolution("gc1"),
            first_bias=side_by_side("gc1.lin_rel.bias"),
            second=convolution("gc2"),
            second_bias=side_by_side("gc2.lin_rel.bias"),
            readout=np.concatenate(
                [np.concatenate([m[f"{r}.weight"] for r in readouts]).T / n for m in members], dtype=np.float32
            ),
            readout_bias=np.mean([np.concatenate([m[f"{r}.bias"] for r in readouts]) for m in members], axis=0),
            updates=updates,
        )

    @property
    def hidden(self) -> int:
        """Width of the state."""
        return len(self.carry)

    def project(self, features: FloatArray) -> FloatArray:
        """Return what the network takes of inputs, (..., N, F) to (..., N, H)."""
        flat = features.reshape(-1, features.shape[-1]) @ self.projection
        return flat.reshape(*features.shape[:-1], -1)


def _blocks(members: Sequence[Mapping[str, FloatArray]], name: str) -> FloatArray:
    """Put the members' matrices along a diagonal, so that they do not influence each other."""
    width = len(members[0][name])
    joined = np.zeros((width * len(members), width * len(members)), dtype=np.float32)
    for k, member in enumerate(members):
        joined[k * width : (k + 1) * width, k * width : (k + 1) * width] = member[name].T
    return joined


class Recurrence:
    """The states of B stretches that advance side by side, second by second.

    For each second: ``h = l1 x + l2 s`` (the second term only once a state exists), ``ds = gc2(relu(gc1(h)))``,
    ``s = h + mask * ds``. Nodes that are not present hold no state and send no message. The layout (N, B, H) makes the
    sum over neighbours one product and each linear map another.
    """

    def __init__(self, network: Network, n_lanes: int = 1) -> None:
        self.network = network
        shape = (len(network.adjacency), n_lanes, network.hidden)
        self.state = np.zeros(shape, dtype=np.float32)
        self._h, self._r = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
        self._both = np.empty((*shape[:2], 2 * shape[2]), dtype=np.float32)
        # As large as the state: numpy is several times slower where it has to broadcast.
        biases = (network.carry_bias, network.first_bias, network.second_bias)
        self._carry_bias, self._first_bias, self._second_bias = (np.tile(bias, (*shape[:2], 1)) for bias in biases)
        self._zero = np.zeros(shape, dtype=np.float32)

    def advance(
        self,
        projected: FloatArray,
        *,
        present: FloatArray | None = None,
        gate: FloatArray | None = None,
        begins: NDArray[np.intp] | slice | None = None,
    ) -> None:
        """Go on by one second, given its projections, (N, B, H).

        `present`, (N, B, 1), is 1 where a node takes part and None when all do; `gate`, (N, B, 1), multiplies the
        update (the random mask); `begins` are the lanes that have no state yet.
        """
        network, h = self.network, self._h
        for update in range(network.updates):
            _product(self.state, network.carry, h)
            h += self._carry_bias
            h += projected
            if begins is not None and update == 0:
                h[:, begins] = projected[:, begins]
            _multiply(h, present)
            hidden = self._convolve(h, network.first, self._first_bias, self._r)
            np.maximum(hidden, self._zero, out=hidden)
            _multiply(hidden, present)
            state = self._convolve(hidden, network.second, self._second_bias, self.state)
            _multiply(state, present)
            _multiply(state, gate)
            state += h

    def read_out(self) -> FloatArray:
        """Return the logits of each node, (N, B, 1 + C)."""
        logits = np.empty((*self.state.shape[:2], self.network.readout.shape[1]), dtype=np.float32)
        _product(self.state, self.network.readout, logits)
        logits += self.network.readout_bias
        return logits

    def _convolve(self, values: FloatArray, weight: FloatArray, bias: FloatArray, out: FloatArray) -> FloatArray:
        n_nodes, _, width = values.shape
        self._both[..., :width] = values
        self._both[..., width:] = (self.network.adjacency @ values.reshape(n_nodes, -1)).reshape(values.shape)
        _product(self._both, weight, out)
        out += bias
        return out


def _product(values: FloatArray, weight: FloatArray, out: FloatArray) -> None:
    """Multiply all rows, (N, B, K), in one matrix product; numpy makes one for each node of three dimensions."""
    np.matmul(values.reshape(-1, len(weight)), weight, out=out.reshape(-1, weight.shape[1]))


def _multiply(values: FloatArray, by: FloatArray | None) -> None:
    if by is not None:
        values *= by


@dataclass(frozen=True, eq=False)
class Lanes:
    """B stretches of up to T seconds side by side; what follows the end of a shorter one is computed but not used."""

    projected: FloatArray  # (T, N, B, H)
    present: FloatArray  # (T, N, B), 1 where a node takes part
    begins: NDArray[np.intp]  # (B,), the second from which each one holds signal
    gate: FloatArray | None = None  # (T, N, B)


def scan(network: Network, lanes: Lanes) -> FloatArray:
    """Run all lanes from their beginnings; return the logits after each second, (T, N, B, 1 + C)."""
    n_seconds, n_nodes, n_lanes, _ = lanes.projected.shape
    recurrence = Recurrence(network, n_lanes)
    logits = np.empty((n_seconds, n_nodes, n_lanes, network.readout.shape[1]), dtype=np.float32)
    everywhere = bool((lanes.present == 1).all())
    for t in range(n_seconds):
        begins = np.flatnonzero(lanes.begins == t)
        recurrence.advance(
            lanes.projected[t],
            present=None if everywhere else lanes.present[t, ..., None],
            gate=None if lanes.gate is None else lanes.gate[t, ..., None],
            begins=begins if len(begins) else None,
        )
        logits[t] = recurrence.read_out()
    return logits


def mean_over_nodes(values: _Array, present: _Array, axis: int) -> _Array:
    """Average finite `values` of numpy or torch over nodes, weighted by `present` (1 or 0); 0 where none is."""
    mean: _Array = (values * present).sum(axis) / present.sum(axis).clip(min=1)  # type: ignore[operator,attr-defined]
    return mean


def shares(logits: FloatArray) -> FloatArray:
    """Turn logits of alternatives along the last axis into probabilities that add up to one."""
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True, initial=-np.inf))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), dtype=np.float32)


_TOLERANCE = 1e-5
_MEMORIES = (30, 60, 90, 120, 180, 240, 360, 600)
NEVER = 3600  # s, for a network that does not forget: the state of all but long segments is carried from their start


def memory_of(network: Network, features: FeatureConfig) -> int:
    """Return how many seconds of signal must come before a second so that nothing earlier moves its logits by 1e-5."""
    # Measured on noise of several colours and on one second repeated, with and without absent nodes, because the
    # spectrum decides how slowly a network forgets. As other signals may be forgotten more slowly, it is the next
    # larger of the numbers tried; `NEVER` when none is enough.
    longest, after = _MEMORIES[-1], 30
    begins = np.array([0, *(2 * longest - memory for memory in _MEMORIES)])
    worst = np.zeros(len(_MEMORIES))
    for seconds, present in _test_signals(2 * longest + after, len(network.adjacency)):
        inputs = first_inputs(seconds, present, features) * present[..., None]
        projected = np.repeat(network.project(inputs)[:, :, None], len(begins), axis=2)
        masks = np.repeat(present.astype(np.float32)[..., None], len(begins), axis=2)
        logits = scan(network, Lanes(projected, masks, begins))[2 * longest :]
        worst = np.maximum(worst, np.abs(logits - logits[:, :, :1]).max(axis=(0, 1, 3))[1:])
    enough = [larger for larger, found in zip(_MEMORIES[1:], worst, strict=False) if found <= _TOLERANCE]
    return enough[0] if enough else NEVER


def _test_signals(n_seconds: int, n_nodes: int) -> Iterator[tuple[FloatArray, NDArray[np.bool_]]]:
    """Yield seconds of 200 samples, (T, N, 200) in µV, and which nodes are present."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((n_seconds, n_nodes, REFERENCE_RATE), dtype=np.float32)
    walk = np.cumsum(3 * noise, axis=-1)
    low = sliding_window_view(20 * noise, 5, axis=-1).mean(axis=-1) * np.sqrt(5, dtype=np.float32)
    low = np.pad(low, ((0, 0), (0, 0), (2, 2)), mode="edge")
    averaged = low - low.mean(axis=1, keepdims=True)
    everywhere, some = np.ones((n_seconds, n_nodes), dtype=bool), np.ones((n_seconds, n_nodes), dtype=bool)
    some[:, ::7] = False
    for signal in (15 * noise, averaged, walk, np.broadcast_to(walk[:1], walk.shape)):
        for present in (everywhere, some):
            yield signal, present
