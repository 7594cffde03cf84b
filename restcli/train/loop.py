"""The training loop of one network: losses, learning rate, validation and checkpoints."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from restcli.errors import UsageError
from restcli.evaluation.measures import auroc
from restcli.files import write_atomically
from restcli.nn.network import mean_over_nodes
from restcli.nn.rest import Rest, n_parameters
from restcli.nn.weights import load_weights
from restcli.signal.features import log_features, rms_of_logs
from restcli.signal.montage import electrode_graph
from restcli.train.sampler import Batch, Sampler, padded
from restcli.train.settings import TrainSettings
from restcli.train.sources import TrainProgress
from restcli.train.store import SEIZURE, TYPES, UNKNOWN, Examples

LARGEST = 10_000  # a REST has fewer parameters
_VALIDATION_SECONDS, _VALIDATION_BATCH = 120, 32

LogRow = dict[str, float]  # of the log: step, rate, loss, validation loss, AUROC


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread; threads that share the small products of this network lose more than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batch_loss(
    network: Rest, batch: Batch, adjacency: Tensor, settings: TrainSettings, generator: torch.Generator | None
) -> Tensor:
    """Return the loss of seizure or not at each second, plus that of the type where it is known.

    The output after second t is compared with the label of second ``t - look_ahead``.
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
    """Cross-entropy of the type on ictal seconds of known type, each type with the same weight; else zero."""
    # Focal seizures are half of all seizures: without the balance the readout would call nearly everything focal.
    typed = (labels > SEIZURE).flatten()
    mean = (types * weight[..., None]).sum(dim=-2).flatten(0, 1)  # (B T', C)
    target = (labels - SEIZURE - 1).clamp(min=0).flatten()
    each = nn.functional.cross_entropy(mean, target, reduction="none")
    shares = nn.functional.one_hot(target, types.shape[-1]).float() * typed[:, None].float()
    count = shares.sum(dim=0)  # (C,)
    by_type = (shares * each[:, None]).sum(dim=0) / count.clamp(min=1)
    return by_type.sum() / (count > 0).sum().clamp(min=1)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return the one-cycle rate (Smith and Topin, 2018): up over 30 % of the steps, then down, along cosines."""
    rise = max(1.0, 0.3 * settings.steps)
    low, last = settings.rate / 25, settings.rate / 25e4
    if step < rise:
        return low + (settings.rate - low) * 0.5 * (1 - math.cos(math.pi * step / rise))
    phase = min(1.0, (step - rise) / max(1.0, settings.steps - 1 - rise))
    return last + (settings.rate - last) * 0.5 * (1 + math.cos(math.pi * phase))


def adjacency_of(settings: TrainSettings) -> Tensor:
    """Return the graph's weights, (N, N), on the device of a training."""
    return torch.from_numpy(electrode_graph(settings.nodes)).to(settings.device)


def build_network(settings: TrainSettings) -> Rest:
    """Build one member, on torch-geometric's graph convolution, with seeded or given parameters."""
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
        weights = load_weights(settings.start_from)
        given = weights.by_member()[settings.member]
        own = network.state_dict()
        for key in own:
            if key in given and (not key.startswith("fc_type") or weights.types == TYPES):
                own[key] = torch.from_numpy(given[key].copy())
        network.load_state_dict(own)
    return network


@dataclass(eq=False)
class _State:
    """What a training carries from step to step; all of it goes into the checkpoint."""

    network: Rest
    optimizer: torch.optim.AdamW
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    least_fault: float = float("inf")
    step: int = 0
    rows: list[LogRow] = field(default_factory=list)


def fit(
    train_side: Examples,
    validation: Examples,
    settings: TrainSettings,
    *,
    checkpoint: Path | None = None,
    on_progress: TrainProgress | None = None,
) -> tuple[Rest, list[LogRow]]:
    """Train one member; return it with the parameters that were best on validation, and the log."""
    # AdamW (decay 1e-4), one-cycle rate, gradients clipped to norm 1. Chunks, masks and first parameters depend only
    # on seed and step, so that a training that was interrupted ends with the same parameters.
    with one_thread():  # sums in one order only, so that two runs give the same bytes
        adjacency = adjacency_of(settings)
        network = build_network(settings).to(settings.device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-4)
        state = _State(network, optimizer, _copy(network), _copy(network))
        identity = _identity(settings, train_side, validation)
        if checkpoint is not None and settings.resume and checkpoint.exists():
            _load_checkpoint(checkpoint, state, identity)
        if settings.start_from is not None and not state.rows:  # a fine-tuning ends no worse than it began
            _check(state, validation, adjacency, float("nan"), settings)
        sampler = Sampler(train_side, settings)
        while state.step < settings.steps:
            loss = _advance(state, sampler, adjacency, settings)
            if state.step % settings.check_every == 0 or state.step == settings.steps:
                _check(state, validation, adjacency, loss, settings)
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
    batch = sampler.batch(state.step).to(adjacency.device)
    generator = torch.Generator(device=adjacency.device).manual_seed(settings.seed * 1_000_003 + state.step)
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


def _check(state: _State, validation: Examples, adjacency: Tensor, loss: float, settings: TrainSettings) -> None:
    """Validate the averaged parameters and keep them when they are the best so far."""
    current = _copy(state.network)
    state.network.load_state_dict(state.average)
    validation_loss, area = validate(state.network.eval(), validation, adjacency, settings)
    row = {"step": float(state.step), "rate": learning_rate(max(0, state.step - 1), settings), "loss": loss}
    state.rows.append(row | {"validation_loss": validation_loss, "auroc": area})
    # The few recordings of a fine-tuning have their own share of seizures, which is all that the loss would follow.
    fault = validation_loss if settings.start_from is None else 1 - area
    # Parameters that diverged have no measure (NaN) and never replace parameters that have one.
    if fault < state.least_fault or not math.isfinite(state.least_fault):
        state.least_fault, state.best = fault, _copy(state.network)
    state.network.load_state_dict(current)


@torch.no_grad()
def validate(network: Rest, examples: Examples, adjacency: Tensor, settings: TrainSettings) -> tuple[float, float]:
    """Return loss and AUROC over whole stretches, cut to two minutes, the state carried along."""
    chunks = [
        (stretch, slice(begin, min(begin + _VALIDATION_SECONDS, stretch.seconds)))
        for stretch in examples.stretches
        for begin in range(0, stretch.seconds, _VALIDATION_SECONDS)
    ]
    logits, targets, ahead = [], [], settings.look_ahead
    for first in range(0, len(chunks), _VALIDATION_BATCH):
        batch = chunks[first : first + _VALIDATION_BATCH]
        longest = max(part.stop - part.start for _, part in batch)
        logs, present, relative, labels = padded(batch, longest, settings.features.range[1] + 1)
        here = torch.from_numpy(present).to(adjacency.device)
        inputs = log_features(logs, rms_of_logs(logs, settings.features), relative, settings.features)
        x = torch.from_numpy(inputs).to(adjacency.device)
        by_node, _ = network(x, adjacency, present=here, masked=False)
        mean = mean_over_nodes(by_node, here, -1)
        judged = labels[:, : longest - ahead]
        known = (judged != UNKNOWN) & (present[:, ahead:].sum(axis=-1) > 0)
        logits.append(mean[:, ahead:].cpu().numpy()[known].astype(np.float64))
        targets.append(judged[known] >= SEIZURE)
    score, target = np.concatenate(logits), np.concatenate(targets)
    return float(np.mean(np.logaddexp(0, score) - score * target)), auroc(score, target)


def checkpoint_path(out: Path, settings: TrainSettings) -> Path:
    """Return the file from which a member's training resumes."""
    return out / f"{settings.name}-{settings.member}.checkpoint"


def step_to_go_on_from(path: Path, settings: TrainSettings, *sides: Examples) -> int | None:
    """Return the step at which a member's training resumes; None if what was left belongs to other settings or data."""
    if not (settings.resume and path.exists()):
        return 0
    found = torch.load(path, map_location="cpu", weights_only=True)
    return int(found["step"]) if found["identity"] == _identity(settings, *sides) else None


def _identity(settings: TrainSettings, *sides: Examples) -> str:
    """Return a text that identifies a training by the content of its settings and data."""
    keys = [[example.task.key for example in side.items] for side in sides]
    return f"{settings.trained_by()} {hashlib.sha256(repr(keys).encode()).hexdigest()}"


def _save_checkpoint(path: Path, state: _State, identity: str) -> None:
    content = io.BytesIO()
    networks = {"network": state.network.state_dict(), "average": state.average, "best": state.best}
    progress = {"step": state.step, "least_fault": state.least_fault, "rows": state.rows}
    torch.save({**networks, **progress, "optimizer": state.optimizer.state_dict(), "identity": identity}, content)
    write_atomically(path, content.getvalue())


def _load_checkpoint(path: Path, state: _State, identity: str) -> None:
    """Go on from a checkpoint of the same settings and data; any other is ignored, and replaced later."""
    found = torch.load(path, map_location=next(state.network.parameters()).device, weights_only=True)
    if found["identity"] != identity:
        return
    state.network.load_state_dict(found["network"])
    state.optimizer.load_state_dict(found["optimizer"])
    state.average, state.best = found["average"], found["best"]
    state.step, state.least_fault, state.rows = found["step"], found["least_fault"], found["rows"]
