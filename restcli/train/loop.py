"""Training: from examples to a weights file, with its log, curves and card; knows nothing of the command line."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restcli.errors import OutputError, UsageError, WeightsError
from restcli.events import EventRule
from restcli.nn.baselines import BandPowerBaseline
from restcli.nn.config import RestConfig
from restcli.nn.golden import golden_logits
from restcli.nn.rest import Rest, join_networks, n_parameters
from restcli.nn.weights import Calibration, Weights, load_weights, save_weights
from restcli.signal.features import FeatureConfig, log_features
from restcli.signal.montage import DOUBLE_BANANA, electrode_graph
from restcli.train.card import card_text
from restcli.train.store import (
    SEIZURE,
    TYPES,
    UNKNOWN,
    Examples,
    Gathering,
    SplitRule,
    gather,
    split_examples,
)
from restcli.train.types import teach_types
from restcli.train.validation import (
    Reading,
    auroc,
    choose_rule,
    confusion_of_types,
    fit_calibration,
    fit_floor,
    measure,
    measure_intervals,
    probabilities,
    reliability,
    trace_examples,
)

Progress = Callable[[int, int, dict[str, float]], None]
TWO_BANDS = FeatureConfig(bands=((1, 13), (14, 40)))
"""Two bands z-scored apart: muscle over a seizure fills the upper one and leaves the rhythm in the lower one alone."""
LARGEST = 10_000
"""A REST has fewer parameters than this."""
_PASSES = 20


@dataclass(frozen=True)
class Augmentation:
    """What training changes at random in each chunk, so that the network cannot lean on it.

    Parameters
    ----------
    gain : float
        Standard deviation of the natural logarithm of a gain common to all nodes.
    node_gain : float
        The same for each node apart.
    drop : float
        Probability that 1 to `most_dropped` nodes are left out.
    most_dropped : int
        See `drop`.
    mirror : float
        Probability that left and right change places.
    noise : float
        Largest white noise added, µV of standard deviation; each chunk draws between 0 and this.
    lowpass : float
        Probability of a further low-pass filter at 20 to 70 Hz.
    """

    gain: float = 0.3
    node_gain: float = 0.0
    drop: float = 0.3
    most_dropped: int = 3
    mirror: float = 0.5
    noise: float = 0.0
    lowpass: float = 0.0


@dataclass(frozen=True)
class TrainSettings:
    """All that a training depends on besides the data.

    Parameters
    ----------
    features : FeatureConfig
        What the network sees.
    config : RestConfig or None
        Shape of the network; None takes 4 members of 8 hidden units and a type readout.
    nodes : tuple of str
        Nodes of the graph.
    seed : int
        Of the first parameters, the chunks drawn and the masks.
    steps : int
        Updates of the parameters.
    recordings, seconds : int, float
        What a plain ``sim:`` stands for.
    batch, chunk : int
        Chunks in a batch; seconds in a chunk.
    window, look_ahead : int
        Seconds that a score looks at in use; the output after second t judges second ``t - look_ahead``.
    rate : float
        Peak learning rate.
    loss : str
        ``bce`` or ``mse`` (the paper's).
    every_second : bool
        The loss is taken at every second of a chunk; else at its last one (the paper's).
    average : float
        Decay of the moving average of the parameters that is validated and saved; 0 saves the last ones.
    type_weight : float
        Weight of the loss of the type readout: small, so that it teaches its own parameters and not the state.
    augmentation : Augmentation
        Random changes to each chunk.
    split : str
        ``patient`` or ``official``.
    folds, fold : int
        One fold of `folds` validates.
    check_every : int
        Steps between validations; the best one is kept.
    false_alarms_per_day : float
        At most this many on the validation background: chooses the threshold.
    fusion : float
        Weight of the amplitude relative to the recording's own, added to the logit.
    smooth : int
        Seconds that this amplitude is averaged over.
    prior : float
        Seconds at 15 µV mixed into a recording's usual amplitude.
    start_from : str or Path or None
        Weights to start from instead of random ones.
    member : int
        Which of the config's members is being trained; `train` counts through them, each with a seed of its own.
    resume : bool
        Go on from an interrupted training in the same folder.
    device : str
        ``cpu`` or ``cuda``.
    workers : int
        Processes that prepare examples.
    cache : Path or None
        Folder of the store of spectra; None puts it into the output folder.
    name : str
        Of the weights file.
    """

    features: FeatureConfig = TWO_BANDS
    config: RestConfig | None = None
    nodes: tuple[str, ...] = DOUBLE_BANANA
    seed: int = 0
    steps: int = 700
    recordings: int = 1200
    seconds: float = 120.0
    batch: int = 64
    chunk: int = 30
    window: int = 14
    look_ahead: int = 3
    rate: float = 4e-3
    loss: str = "bce"
    every_second: bool = True
    average: float = 0.99
    type_weight: float = 0.05
    augmentation: Augmentation = field(default_factory=Augmentation)
    split: str = "patient"
    folds: int = 5
    fold: int = 0
    check_every: int = 100
    false_alarms_per_day: float = 12.0
    fusion: float = 1.0
    smooth: int = 5
    prior: float = 90.0
    start_from: str | Path | None = None
    member: int = 0
    resume: bool = True
    device: str = "cpu"
    workers: int = 1
    cache: Path | None = None
    name: str = "rest"

    def __post_init__(self) -> None:
        if self.loss not in ("bce", "mse"):
            raise UsageError("--loss", repr(self.loss), "'bce' or 'mse'")
        if self.steps < 1 or self.batch < 1 or self.check_every < 1:
            raise UsageError("--steps", f"{self.steps} steps of {self.batch} chunks", "at least 1 of each")
        if not 0 <= self.look_ahead < min(self.chunk, self.window):
            raise UsageError("--look-ahead", f"{self.look_ahead} s", "less than the chunk and the window")
        if self.config is not None and self.config.n_features != self.features.n_features:
            raise UsageError("config", f"{self.config.n_features} inputs", f"{self.features.n_features}")
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise UsageError("smooth", f"{self.smooth} s", "an odd number of seconds, to lie around each one")
        if self.device not in ("cpu", "cuda"):
            raise UsageError("--device", repr(self.device), "'cpu' or 'cuda'")

    @property
    def network(self) -> RestConfig:
        """Shape of the network to train."""
        return self.config or RestConfig(self.features.n_features, hidden=8, n_types=len(TYPES), members=4)


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training left behind.

    Parameters
    ----------
    weights : Weights
        As saved.
    path, log, card : Path
        Weights file, CSV log, Markdown card.
    curves : Path or None
        Picture of the log.
    rows : tuple of dict
        The log: step, loss, validation loss and AUROC.
    seconds : float
        Wall time of the training loop.
    """

    weights: Weights
    path: Path
    log: Path
    card: Path
    curves: Path | None
    rows: tuple[dict[str, float], ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class Batch:
    """Chunks ready for the network.

    Parameters
    ----------
    x : Tensor, shape (B, T, N, F)
        Features.
    present : Tensor, shape (B, T, N)
        1 where a node takes part.
    labels : Tensor of int64, shape (B, T)
        Labels of the seconds themselves, not shifted.
    """

    x: Tensor
    present: Tensor
    labels: Tensor


class Sampler:
    """Draws batches of chunks: which ones depends on the seed and the step alone.

    Parameters
    ----------
    examples : Examples
        The training side.
    settings : TrainSettings
        Batch, chunk, features, augmentation, seed.
    """

    _FROM_SEIZURE = 0.6
    _ON_ICTAL = 0.75

    def __init__(self, examples: Examples, settings: TrainSettings) -> None:
        self.examples, self.settings = examples, settings
        with_seizure = np.array([len(ictal) > 0 for ictal in examples.ictal])
        weight = examples.seconds.astype(np.float64)
        self._ictal = np.flatnonzero(with_seizure)
        self._quiet = np.flatnonzero(~with_seizure) if not with_seizure.all() else np.arange(len(with_seizure))
        self._quiet_weight = weight[self._quiet] / weight[self._quiet].sum()
        self._mirror = mirror_order(settings.nodes)

    def batch(self, step: int) -> Batch:
        """Return the batch of one step."""
        settings, examples = self.settings, self.examples
        rng = np.random.default_rng([settings.seed, step])
        size, chunk = settings.batch, settings.chunk
        n_nodes, n_bins = examples.spectra.shape[1], settings.features.range[1] + 1
        spectra = np.zeros((size, chunk, n_nodes, n_bins), dtype=np.float32)
        present = np.zeros((size, chunk, n_nodes), dtype=np.float32)
        labels = np.full((size, chunk), UNKNOWN, dtype=np.int64)
        for row in range(size):
            index, start = self._place(rng)
            example = examples.items[index]
            begin, n = example.start + start, min(chunk, example.seconds - start)
            spectra[row, :n] = examples.spectra[begin : begin + n, :, :n_bins]
            present[row, :n] = examples.present[begin : begin + n]
            labels[row, :n] = examples.labels[begin : begin + n]
        self._augment(spectra, present, rng)
        x = log_features(spectra, settings.features)
        return Batch(torch.from_numpy(x), torch.from_numpy(present), torch.from_numpy(labels))

    def _place(self, rng: np.random.Generator) -> tuple[int, int]:
        """Choose a stretch and the second that its chunk starts at."""
        chunk = self.settings.chunk
        if rng.random() < self._FROM_SEIZURE:
            index = int(rng.choice(self._ictal))
            last = max(0, int(self.examples.seconds[index]) - chunk)
            if rng.random() < self._ON_ICTAL:
                second = int(rng.choice(self.examples.ictal[index]))
                return index, int(np.clip(second - rng.integers(chunk), 0, last))
        else:
            index = int(rng.choice(self._quiet, p=self._quiet_weight))
            last = max(0, int(self.examples.seconds[index]) - chunk)
        return index, int(rng.integers(last + 1))

    def _augment(self, spectra: NDArray[np.float32], present: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Change chunks at random, in place; a gain or a filter is a sum on log magnitudes."""
        how = self.settings.augmentation
        size, _, n_nodes, n_bins = spectra.shape
        spectra += rng.normal(0, how.gain, (size, 1, 1, 1)).astype(np.float32)
        if how.node_gain:
            spectra += rng.normal(0, how.node_gain, (size, 1, n_nodes, 1)).astype(np.float32)
        if how.lowpass:
            filtered = (rng.random((size, 1)) < how.lowpass).astype(np.float32)
            cutoff = np.exp(rng.uniform(np.log(20), np.log(70), (size, 1)))
            order = rng.integers(1, 7, (size, 1))
            fall = -0.5 * np.log1p((np.arange(n_bins) / cutoff) ** (2 * order)) * filtered
            spectra += fall[:, None, None, :].astype(np.float32)
        if how.noise:
            # White noise of s µV has magnitudes of about s * sqrt(sfreq); powers add.
            level = rng.uniform(0, how.noise, (size, 1, 1, 1)) * math.sqrt(self.settings.features.sfreq)
            draws = rng.standard_exponential(spectra.shape, dtype=np.float32)
            power = np.exp(2 * spectra) + draws * np.square(level).astype(np.float32)
            np.log(np.maximum(power, np.float32(1e-6)), out=spectra)
            spectra *= np.float32(0.5)
        for row in range(size):
            if rng.random() < how.mirror:
                spectra[row] = spectra[row][:, self._mirror]
                present[row] = present[row][:, self._mirror]
            if rng.random() < how.drop:
                n_dropped = int(rng.integers(1, how.most_dropped + 1))
                present[row][:, rng.choice(n_nodes, min(n_dropped, n_nodes - 1), replace=False)] = 0


def mirror_order(nodes: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of nodes that swaps left and right.

    Examples
    --------
    >>> mirror_order(("FP1-F3", "FZ-CZ", "FP2-F4")).tolist()
    [2, 1, 0]
    """

    def swap(electrode: str) -> str:
        digits = "".join(c for c in electrode if c.isdigit())
        if not digits:
            return electrode
        number = int(digits)
        return electrode.removesuffix(digits) + str(number + 1 if number % 2 else number - 1)

    order = []
    for node in nodes:
        other = "-".join(swap(end) for end in node.split("-"))
        order.append(nodes.index(other) if other in nodes else nodes.index(node))
    return np.array(order, dtype=np.int64)


def batch_loss(
    network: Rest, batch: Batch, adjacency: Tensor, settings: TrainSettings, generator: torch.Generator | None
) -> Tensor:
    """Return the loss of one batch: seizure or not at each second, and the type where it is known.

    Notes
    -----
    The output after second t is compared with the label of second ``t - look_ahead``. The logits of the nodes that
    are present are averaged.
    """
    ahead = settings.look_ahead
    by_node, types = network(batch.x, adjacency, present=batch.present, generator=generator)
    weight = batch.present / batch.present.sum(dim=-1, keepdim=True).clamp(min=1)  # (B, T, N)
    logits = (by_node * weight).sum(dim=-1)[:, ahead:]  # (B, T')
    labels = batch.labels[:, : batch.labels.shape[1] - ahead]
    known = (labels != UNKNOWN) & (batch.present[:, ahead:].sum(dim=-1) > 0)
    if not settings.every_second:
        known = known.clone()
        known[:, :-1] = False
    target = (labels >= SEIZURE).float()
    if settings.loss == "mse":
        each = (torch.sigmoid(logits) - target) ** 2
    else:
        each = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = (each * known).sum() / known.sum().clamp(min=1)
    if types is not None and settings.type_weight > 0:
        loss = loss + settings.type_weight * _type_loss(types[:, ahead:], weight[:, ahead:], labels)
    return loss


def _type_loss(types: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the type on ictal seconds of known type, each type weighing the same; zero when there is none.

    Focal seizures are half of all seizures: without the balance the readout would call nearly everything focal.
    """
    typed = (labels > SEIZURE).flatten()
    mean = (types * weight[..., None]).sum(dim=-2).flatten(0, 1)  # (B T', C)
    target = (labels - SEIZURE - 1).clamp(min=0).flatten()
    each = nn.functional.cross_entropy(mean, target, reduction="none")
    shares = nn.functional.one_hot(target, types.shape[-1]).float() * typed[:, None].float()
    count = shares.sum(dim=0)  # (C,)
    by_type = (shares * each[:, None]).sum(dim=0) / count.clamp(min=1)
    return by_type.sum() / (count > 0).sum().clamp(min=1)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return the one-cycle learning rate: up over 30 % of the steps, then down, both along a cosine.

    References
    ----------
    Smith and Topin, *Super-convergence*, 2018.
    """
    rise = max(1.0, 0.3 * settings.steps)
    low, last = settings.rate / 25, settings.rate / 25e4
    if step < rise:
        return low + (settings.rate - low) * 0.5 * (1 - math.cos(math.pi * step / rise))
    phase = min(1.0, (step - rise) / max(1.0, settings.steps - 1 - rise))
    return last + (settings.rate - last) * 0.5 * (1 + math.cos(math.pi * phase))


@dataclass(eq=False)
class _State:
    """What a training carries from step to step; all of it goes into the checkpoint."""

    network: Rest
    optimizer: torch.optim.AdamW
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    best_loss: float = float("inf")
    step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Take sums in one order only, so that two runs give the same bytes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build_network(settings: TrainSettings) -> Rest:
    """Build the network to train, on torch-geometric's graph convolution, with seeded or given parameters.

    Raises
    ------
    UsageError
        If it has 10,000 parameters or more.
    WeightsError
        If `start_from` names weights of another shape.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch_geometric.nn import DenseGraphConv
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Rest(settings.network, convolution=DenseGraphConv)
    n_all = n_parameters(network) * settings.network.members
    if n_all >= LARGEST:
        raise UsageError("--hidden", f"{n_all} parameters", f"fewer than {LARGEST}, to stay a REST")
    if settings.start_from is not None:
        _take_over(network, load_weights(settings.start_from), settings)
    return network


def _take_over(network: Rest, weights: Weights, settings: TrainSettings) -> None:
    """Start from given weights; the type readout starts anew when they have none."""
    if weights.features != settings.features or weights.nodes != settings.nodes:
        raise WeightsError(
            weights.name,
            "its features or nodes differ from those asked for",
            "the same on both",
            "leave the features and nodes to the weights",
        )
    if weights.config.members != settings.network.members:
        raise WeightsError(weights.name, f"{weights.config.members} members", f"{settings.network.members}, as asked")
    member = weights.by_member()[settings.member]
    tensors = {key: torch.from_numpy(value.copy()) for key, value in member.items()}
    own = {key: value for key, value in network.state_dict().items() if key.startswith("fc_type")}
    try:
        network.load_state_dict(own | tensors)
    except RuntimeError as error:
        raise WeightsError(weights.name, "its parameters do not fit this network", "the same shape") from error


def fit(
    train_side: Examples,
    validation: Examples,
    settings: TrainSettings,
    *,
    checkpoint: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[Rest, list[dict[str, float]]]:
    """Train a network.

    Parameters
    ----------
    train_side, validation : Examples
        Patients apart.
    settings : TrainSettings
        Everything else.
    checkpoint : Path, optional
        File that an interrupted training goes on from.
    on_progress : callable, optional
        Called with step, steps and ``{'loss': ..., 'auroc': ...}``.

    Returns
    -------
    network : Rest
        With the parameters that were best on validation.
    rows : list of dict
        The log.

    Notes
    -----
    AdamW (decay 1e-4), one-cycle rate, gradients clipped to norm 1. Chunks, masks and first parameters depend on seed
    and step alone, so that a training that was interrupted ends with the same parameters.
    """
    with _one_thread():
        device = torch.device(settings.device)
        adjacency = torch.from_numpy(electrode_graph(settings.nodes).adjacency).to(device)
        network = build_network(settings).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-4)
        state = _State(network, optimizer, _copy(network), _copy(network))
        identity = _identity(settings, train_side, validation)
        if checkpoint is not None and settings.resume and checkpoint.exists():
            _load_checkpoint(checkpoint, state, identity)
        sampler = Sampler(train_side, settings)
        held_out = _Validation(validation, settings, adjacency)
        while state.step < settings.steps:
            loss = _advance(state, sampler, adjacency, settings)
            checked = state.step % settings.check_every == 0 or state.step == settings.steps
            if checked:
                _check(state, held_out, loss, settings)
                if checkpoint is not None:
                    _save_checkpoint(checkpoint, state, identity)
            if on_progress is not None:
                last = state.rows[-1] if state.rows else {}
                on_progress(state.step, settings.steps, {"loss": loss, "auroc": last.get("auroc", float("nan"))})
        network.load_state_dict(state.best)
        return network.eval(), state.rows


def _copy(network: Rest) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _advance(state: _State, sampler: Sampler, adjacency: Tensor, settings: TrainSettings) -> float:
    """Make one step of the optimizer; return the loss."""
    batch = sampler.batch(state.step)
    device = adjacency.device
    batch = Batch(batch.x.to(device), batch.present.to(device), batch.labels.to(device))
    generator = torch.Generator(device=device).manual_seed(settings.seed * 1_000_003 + state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(state.step, settings)
    state.network.train()
    state.optimizer.zero_grad()
    loss = batch_loss(state.network, batch, adjacency, settings, generator)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(state.network.parameters(), 1.0)
    state.optimizer.step()
    state.step += 1
    decay = min(settings.average, (1 + state.step) / (10 + state.step)) if settings.average else 0.0
    for key, value in state.network.state_dict().items():
        state.average[key].mul_(decay).add_(value.detach(), alpha=1 - decay)
    return float(loss.detach())


def _check(state: _State, held_out: _Validation, loss: float, settings: TrainSettings) -> None:
    """Validate the averaged parameters and keep them when they are the best so far."""
    current = _copy(state.network)
    state.network.load_state_dict(state.average)
    validation_loss, area = held_out(state.network)
    row = {"step": float(state.step), "rate": learning_rate(state.step - 1, settings), "loss": loss}
    state.rows.append(row | {"validation_loss": validation_loss, "auroc": area})
    if not validation_loss >= state.best_loss:
        state.best_loss, state.best = validation_loss, _copy(state.network)
    state.network.load_state_dict(current)


class _Validation:
    """Loss and AUROC on the validation side, whole stretches in one go, state carried along."""

    _SECONDS = 120

    def __init__(self, examples: Examples, settings: TrainSettings, adjacency: Tensor) -> None:
        self.examples, self.settings, self.adjacency = examples, settings, adjacency
        self.spans = [
            (e.start + a, min(self._SECONDS, e.seconds - a))
            for e in examples.items
            for a in range(0, e.seconds, self._SECONDS)
        ]

    @torch.no_grad()
    def __call__(self, network: Rest) -> tuple[float, float]:
        network.eval()
        logits, labels = [], []
        for first in range(0, len(self.spans), 32):
            logit, label = self._logits(network, self.spans[first : first + 32])
            logits.append(logit)
            labels.append(label)
        score, target = np.concatenate(logits), np.concatenate(labels) >= SEIZURE
        loss = float(np.mean(np.logaddexp(0, score) - score * target))
        return loss, auroc(score, target)

    def _logits(self, network: Rest, spans: Sequence[tuple[int, int]]) -> tuple[NDArray[Any], NDArray[Any]]:
        settings, examples, ahead = self.settings, self.examples, self.settings.look_ahead
        longest = max(n for _, n in spans)
        n_nodes, n_bins = examples.spectra.shape[1], settings.features.range[1] + 1
        logs = np.zeros((len(spans), longest, n_nodes, n_bins), dtype=np.float32)
        present = np.zeros((len(spans), longest, n_nodes), dtype=np.float32)
        labels = np.full((len(spans), longest), UNKNOWN, dtype=np.int8)
        for row, (start, n) in enumerate(spans):
            logs[row, :n] = examples.spectra[start : start + n, :, :n_bins]
            present[row, :n] = examples.present[start : start + n]
            labels[row, :n] = examples.labels[start : start + n]
        here = torch.from_numpy(present).to(self.adjacency.device)
        x = torch.from_numpy(log_features(logs, settings.features)).to(self.adjacency.device)
        by_node, _ = network(x, self.adjacency, present=here, masked=False)
        mean = (by_node * here).sum(dim=-1) / here.sum(dim=-1).clamp(min=1)
        judged = labels[:, : longest - ahead]
        known = (judged != UNKNOWN) & (present[:, ahead:].sum(axis=-1) > 0)
        return mean[:, ahead:].cpu().numpy()[known].astype(np.float64), judged[known]


def _fingerprint(settings: TrainSettings) -> str:
    """Return what must be equal for a checkpoint to be gone on from, as text."""
    table = asdict(settings)
    for left_out in (
        "resume",
        "workers",
        "cache",
        "device",
        "false_alarms_per_day",
        "fusion",
        "smooth",
        "prior",
        "name",
    ):
        table.pop(left_out)
    if settings.start_from is not None:  # by content: a path says nothing, and names folders of this machine
        table["start_from"] = load_weights(settings.start_from).sha256
    return json.dumps(table, sort_keys=True, default=str)


def _identity(settings: TrainSettings, *sides: Examples) -> str:
    """Return settings and data, both by content, as text: another data set is another training."""
    keys = [[example.task.key for example in side.items] for side in sides]
    return f"{_fingerprint(settings)} {hashlib.sha256(repr(keys).encode()).hexdigest()}"


def _save_checkpoint(path: Path, state: _State, identity: str) -> None:
    from safetensors.torch import save

    tensors = {f"model.{k}": v for k, v in state.network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    for name, parameter in state.network.named_parameters():
        for key, value in state.optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value.reshape(-1) if value.ndim == 0 else value
    meta = {"step": state.step, "best_loss": state.best_loss, "rows": state.rows, "identity": identity}
    content = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, {"rest": json.dumps(meta)})
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _load_checkpoint(path: Path, state: _State, identity: str) -> None:
    """Go on from a checkpoint of the same settings and data; another one's is left alone and written over."""
    from safetensors import safe_open

    device = next(state.network.parameters()).device
    with safe_open(str(path), "pt") as file:
        meta = json.loads(file.metadata()["rest"])
        if meta.get("identity") != identity:
            return
        tensors = {key: file.get_tensor(key).to(device) for key in file.keys()}  # noqa: SIM118  (it is no mapping)
    for prefix, target in (("average.", state.average), ("best.", state.best)):
        target.update({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state.network.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    for name, parameter in state.network.named_parameters():
        state.optimizer.state[parameter] = {
            "step": tensors[f"optimizer.step.{name}"].reshape(()).cpu(),
            "exp_avg": tensors[f"optimizer.exp_avg.{name}"],
            "exp_avg_sq": tensors[f"optimizer.exp_avg_sq.{name}"],
        }
    state.step, state.best_loss, state.rows = meta["step"], meta["best_loss"], meta["rows"]


def train(
    data: Sequence[str], out: str | Path, settings: TrainSettings | None = None, *, on_progress: Progress | None = None
) -> TrainResult:
    """Train weights and write them with their log, curves and card.

    Parameters
    ----------
    data : sequence of str
        ``sim:`` (simulated on the fly), ``sim:FIRST-LAST``, or paths of datasets.
    out : str or Path
        Folder; made if needed.
    settings : TrainSettings, optional
        Everything else.
    on_progress : callable, optional
        Called with things done, things in all, and a dictionary: empty while examples are prepared, then ``loss`` and
        ``auroc`` of the training.

    Returns
    -------
    TrainResult

    Raises
    ------
    UsageError, RestError
        If data or settings make no sense, or a recording cannot be used.
    OutputError
        If the folder cannot be written.
    """
    settings, out = settings or TrainSettings(), Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(out), f"cannot be made ({error.strerror})", "a writable folder") from error
    how = Gathering(
        settings.nodes, settings.cache or out / "cache", settings.recordings, settings.seconds, workers=settings.workers
    )
    examples = gather(data, how, on_progress=on_progress)
    rule = SplitRule(settings.split, settings.folds, settings.fold)
    train_side, validation = split_examples(examples, rule)
    floor = fit_floor(train_side)
    begin = time.perf_counter()
    networks, rows = _fit_members(train_side, validation, settings, out, on_progress=on_progress)
    _teach_types(networks, train_side, settings)
    seconds = time.perf_counter() - begin
    weights = finish(networks, validation, settings, floor=floor)
    weights = _with_provenance(weights, list(data), (train_side, validation), settings)
    return _write(out, weights, rows, settings, seconds)


def _fit_members(
    train_side: Examples, validation: Examples, settings: TrainSettings, out: Path, *, on_progress: Progress | None
) -> tuple[list[Rest], list[dict[str, float]]]:
    """Train the members one after another; an interrupted training goes on with the member it was at."""
    networks, rows = [], []
    members = settings.network.members
    for k in range(members):
        own = replace(settings, member=k, seed=settings.seed * members + k)

        def told(done: int, _: int, state: dict[str, float], before: int = k * settings.steps) -> None:
            if on_progress is not None:
                on_progress(before + done, members * settings.steps, state)

        network, log = fit(train_side, validation, own, checkpoint=checkpoint_path(out, own), on_progress=told)
        networks.append(network)
        rows += [{"member": float(k), **row} for row in log]
    return networks, rows


def _teach_types(networks: Sequence[Rest], train_side: Examples, settings: TrainSettings) -> None:
    if settings.network.n_types:
        adjacency = torch.from_numpy(electrode_graph(settings.nodes).adjacency).to(settings.device)
        reading = Reading(settings.features, settings.window, settings.look_ahead)
        with _one_thread():
            teach_types(networks, _joined(networks, settings), train_side, (adjacency, reading))


def _joined(networks: Sequence[Rest], settings: TrainSettings) -> Rest:
    return networks[0] if len(networks) == 1 else join_networks(networks).to(settings.device)


def checkpoint_path(out: Path, settings: TrainSettings) -> Path:
    """Return the file that a member's training goes on from."""
    return out / f"{settings.name}-{settings.member}.checkpoint"


def finish(
    networks: Sequence[Rest], validation: Examples, settings: TrainSettings, *, floor: BandPowerBaseline
) -> Weights:
    """Calibrate trained networks on validation, choose their rule and measure it there.

    Parameters
    ----------
    networks : sequence of Rest
        The trained members.
    validation : Examples
        Never trained on.
    settings : TrainSettings
        Fusion, false alarms a day.
    floor : BandPowerBaseline
        Fitted on the training side.

    Returns
    -------
    Weights
    """
    adjacency = torch.from_numpy(electrode_graph(settings.nodes).adjacency).to(settings.device)
    reading = Reading(settings.features, settings.window, settings.look_ahead)
    network = _joined(networks, settings)
    with _one_thread():
        n_passes = _PASSES if settings.network.has_intervals else 0
        traces = trace_examples(network.eval(), validation, adjacency, reading, n_passes=n_passes)
    # Stretches of two minutes stand for parts of long recordings, whose usual amplitude is their own: with a prior as
    # long as they are, they would be compared with 15 µV instead.
    typical = float(np.median([len(trace.labels) for trace in traces]))
    start = Calibration(
        amplitude=settings.fusion, smooth=settings.smooth, prior_seconds=min(settings.prior, typical / 2)
    )
    calibration = fit_calibration(traces, start)
    in_use = replace(calibration, prior_seconds=settings.prior)
    found = probabilities(traces, calibration)
    rule = choose_rule(traces, found, settings.false_alarms_per_day, EventRule())
    types = TYPES[: settings.network.n_types]
    metrics = {
        "validation": measure(traces, found, rule, floor=floor),
        "validation_in_use": measure(traces, probabilities(traces, in_use), rule, floor=floor),
        "calibrated_with_prior": calibration.prior_seconds,
        "reliability": reliability(traces, found),
    }
    if n_passes:
        metrics["intervals"] = measure_intervals(traces, found, calibration, rule)
    if types:
        metrics["types"] = {"names": list(types), "seizures": confusion_of_types(traces, len(types)).tolist()}
    return Weights(
        name=settings.name,
        config=settings.network,
        features=settings.features,
        nodes=settings.nodes,
        tensors=_stack(networks),
        window=settings.window,
        look_ahead=settings.look_ahead,
        min_nodes=reading.min_nodes,
        rule=rule,
        calibration=in_use,
        types=types,
        metrics=metrics,
        baseline=floor,
    )


def _stack(networks: Sequence[Rest]) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of one network, or those of several along a first axis."""
    parts = [{k: v.detach().cpu().numpy().astype(np.float32) for k, v in n.state_dict().items()} for n in networks]
    return parts[0] if len(parts) == 1 else {key: np.stack([part[key] for part in parts]) for key in parts[0]}


def _with_provenance(
    weights: Weights, data: list[str], sides: tuple[Examples, Examples], settings: TrainSettings
) -> Weights:
    """Say how the weights came to be; no clock time and no path of this machine, so that bytes can be compared."""
    table = json.loads(_fingerprint(settings))
    table.pop("member")
    provenance = {
        "data": [item if item.startswith("sim:") else Path(item).name for item in data],
        "training": sides[0].summary(),
        "validation": sides[1].summary(),
        "settings": table,
        "false_alarms_per_day_asked": settings.false_alarms_per_day,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    weights = replace(weights, provenance=provenance)
    return replace(weights, golden=golden_logits(weights))


def _write(
    out: Path, weights: Weights, rows: list[dict[str, float]], settings: TrainSettings, seconds: float
) -> TrainResult:
    """Write weights, log, curves and card; the checkpoint has done its work."""
    path, log = out / f"{settings.name}.safetensors", out / f"{settings.name}_log.csv"
    sha256 = save_weights(weights, path)
    weights = replace(weights, sha256=sha256)
    with log.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    card = out / f"{settings.name}.md"
    card.write_text(card_text(weights), encoding="utf-8")
    curves = _draw_curves(out / f"{settings.name}_curves.png", rows, settings)
    _draw_reliability(out / f"{settings.name}_reliability.png", weights)
    for k in range(settings.network.members):
        checkpoint_path(out, replace(settings, member=k)).unlink(missing_ok=True)
    return TrainResult(weights, path, log, card, curves, tuple(rows), seconds)


def _draw_curves(path: Path, rows: Sequence[dict[str, float]], settings: TrainSettings) -> Path:
    from restcli.output.plots.pages import plot_curves, save_figure

    members = settings.network.members
    table = {name: np.array([row[name] for row in rows]).reshape(members, -1) for name in rows[0]}
    step = table["step"][0]
    curves = {name: table[name].mean(axis=0) for name in ("loss", "validation_loss", "auroc")}
    title = f"Training of {settings.name}" + (f", mean of {members} members" if members > 1 else "")
    footer = f"seed {settings.seed}, {settings.loss}"
    figure = plot_curves(step, curves, quantity="loss, and AUROC of seconds", title=title, footer=footer)
    return save_figure(figure, path)


def _draw_reliability(path: Path, weights: Weights) -> None:
    from restcli.output.plots.pages import plot_reliability, save_figure

    bins = np.full((10, 3), np.nan)
    for row in weights.metrics["reliability"]:
        bins[min(int(row["probability"] * 10), 9)] = row["probability"], row["ictal"], row["n"]
    footer = f"{weights.name} ({weights.sha256[:8]}) · seconds of validation, never trained on"
    predicted, observed, counts = bins.T
    figure = plot_reliability(
        predicted, observed, np.nan_to_num(counts).astype(int), title="Reliability", footer=footer
    )
    save_figure(figure, path)
