"""The loop: same seed same bytes, resume makes no difference, the loss judges the right second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from train_examples import NODES, TINY, made_examples

from restcli.errors import UsageError
from restcli.nn.config import RestConfig
from restcli.nn.rest import n_parameters
from restcli.signal.montage import electrode_graph
from restcli.train.loop import batch_loss, build_network, fit, learning_rate
from restcli.train.sampler import Batch, Sampler
from restcli.train.settings import TrainSettings
from restcli.train.store import SEIZURE, UNKNOWN


def _flat(network: torch.nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])


def test_same_seed_same_parameters_and_another_seed_others() -> None:
    examples = made_examples()
    first, again = (fit(examples, examples, TINY)[0] for _ in range(2))
    other, _ = fit(examples, examples, replace(TINY, seed=1))
    assert np.array_equal(_flat(first), _flat(again))
    assert not np.array_equal(_flat(first), _flat(other))


def test_resume_after_interruption_ends_with_the_same_parameters(tmp_path: Path) -> None:
    examples = made_examples()
    whole, rows = fit(examples, examples, TINY)

    class InterruptionError(Exception):
        pass

    def stop(done: int, total: int, values: dict[str, float]) -> None:
        if done == 6:
            raise InterruptionError

    checkpoint = tmp_path / "rest.checkpoint"
    with pytest.raises(InterruptionError):
        fit(examples, examples, TINY, checkpoint=checkpoint, on_progress=stop)
    seen: list[int] = []
    resumed, resumed_rows = fit(
        examples, examples, TINY, checkpoint=checkpoint, on_progress=lambda done, total, values: seen.append(done)
    )
    assert seen[0] == 5  # the last checkpoint was written after step 4
    assert np.array_equal(_flat(whole), _flat(resumed))
    assert rows == resumed_rows


def test_what_diverged_takes_the_place_of_nothing_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    examples, nothing = made_examples(), float("nan")

    def kept(*losses: float) -> np.ndarray:
        found = iter(losses)
        monkeypatch.setattr("restcli.train.loop.validate", lambda *_: (next(found), 0.5))
        return _flat(fit(examples, examples, TINY)[0])

    first, last = kept(0.5, 0.6, 0.6), kept(0.6, 0.6, 0.5)
    assert not np.array_equal(first, last)
    assert np.array_equal(kept(0.5, nothing, 0.6), first) and np.array_equal(kept(0.5, 0.6, nothing), first)
    assert np.array_equal(kept(nothing, nothing, 0.5), last)


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(tmp_path: Path) -> None:
    examples = made_examples()
    checkpoint = tmp_path / "rest.checkpoint"
    fit(examples, examples, TINY, checkpoint=checkpoint)
    seen: list[int] = []
    fit(
        examples,
        examples,
        replace(TINY, rate=1e-3),
        checkpoint=checkpoint,
        on_progress=lambda done, total, values: seen.append(done),
    )
    assert seen[0] == 1


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path) -> None:
    examples = made_examples()
    checkpoint = tmp_path / "rest.checkpoint"
    fit(examples, examples, TINY, checkpoint=checkpoint)
    seen: list[int] = []
    fewer = examples.subset(lambda task: task.key != "key7")
    fit(fewer, examples, TINY, checkpoint=checkpoint, on_progress=lambda done, total, values: seen.append(done))
    assert seen[0] == 1


def test_a_clear_rhythm_is_learnt() -> None:
    examples = made_examples()
    settings = replace(TINY, steps=60, rate=2e-2, check_every=30, average=0.9)
    _, rows = fit(examples, examples, settings)
    assert rows[-1]["auroc"] > 0.95
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"] < 1.0


@pytest.mark.parametrize("variant", ["DS", "RS", "RM"])
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_variants_and_losses_train(variant: str, loss: str) -> None:
    examples = made_examples()
    config = replace(TINY.network, variant=variant)
    network, rows = fit(examples, examples, replace(TINY, steps=3, check_every=3, config=config, loss=loss))
    assert np.isfinite(_flat(network)).all()
    assert np.isfinite(rows[-1]["loss"])


def test_output_after_second_t_is_compared_with_the_label_look_ahead_before() -> None:
    settings = replace(TINY, look_ahead=3, type_weight=0.0)
    network = build_network(settings)
    adjacency = torch.from_numpy(electrode_graph(NODES))
    batch = Sampler(made_examples(), settings).batch(0)
    labels = torch.full_like(batch.labels, UNKNOWN)
    labels[:, 4] = SEIZURE
    batch = Batch(batch.x, torch.ones_like(batch.present), labels)
    network.eval()
    got = batch_loss(network, batch, adjacency, settings, None)
    logits = network(batch.x, adjacency)[0].mean(dim=-1)
    expected = torch.nn.functional.softplus(-logits[:, 7]).mean()
    torch.testing.assert_close(got, expected)


def test_the_papers_loss_looks_at_the_last_second_alone() -> None:
    settings = replace(TINY, loss="mse", every_second=False, look_ahead=0, type_weight=0.0)
    network = build_network(settings).eval()
    adjacency = torch.from_numpy(electrode_graph(NODES))
    batch = Sampler(made_examples(), settings).batch(0)
    logits = network(batch.x, adjacency, present=batch.present)[0]
    mean = (logits * batch.present).sum(dim=-1) / batch.present.sum(dim=-1)
    target = (batch.labels[:, -1] >= SEIZURE).float()
    expected = ((torch.sigmoid(mean[:, -1]) - target) ** 2).mean()
    torch.testing.assert_close(batch_loss(network, batch, adjacency, settings, None), expected)


def test_absent_nodes_and_padding_change_nothing() -> None:
    settings = replace(TINY, steps=1)
    network = build_network(settings).eval()
    adjacency = torch.from_numpy(electrode_graph(NODES))
    batch = Sampler(made_examples(), settings).batch(0)
    present = torch.ones_like(batch.present)
    present[..., 3] = 0
    poisoned = batch.x.clone()
    poisoned[:, :, 3] = 1e3
    losses = [
        batch_loss(network, Batch(x, present, batch.labels), adjacency, settings, None) for x in (batch.x, poisoned)
    ]
    torch.testing.assert_close(losses[0], losses[1])


def test_rate_rises_then_falls() -> None:
    settings = replace(TINY, steps=100, rate=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert int(np.argmax(rates)) in (29, 30, 31)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[-1] < 1e-4


def test_default_network_is_a_rest() -> None:
    assert n_parameters(build_network(TrainSettings())) < 10_000
    with pytest.raises(UsageError, match="fewer than 10000"):
        build_network(TrainSettings(config=RestConfig(n_features=42, hidden=64)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_as_the_cpu_does_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    examples = made_examples()
    unmasked = replace(TINY, config=replace(TINY.network, fire_rate=1.0))  # masks are drawn differently on a GPU
    here, rows = fit(examples, examples, unmasked)
    there, rows_there = fit(examples, examples, replace(unmasked, device="cuda"), checkpoint=tmp_path / "whole")
    np.testing.assert_allclose(_flat(there.cpu()), _flat(here), atol=1e-4)
    assert rows_there[-1]["auroc"] == pytest.approx(rows[-1]["auroc"], abs=1e-3)

    def stop(done: int, total: int, values: dict[str, float]) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            examples,
            examples,
            replace(unmasked, device="cuda"),
            checkpoint=tmp_path / "part",
            on_progress=stop,
        )
    resumed, _ = fit(examples, examples, replace(unmasked, device="cuda"), checkpoint=tmp_path / "part")
    np.testing.assert_allclose(_flat(resumed.cpu()), _flat(there), atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("variant", ["DS", "RS", "RM"])
def test_variants_train_on_a_gpu(variant: str) -> None:
    examples = made_examples()
    settings = replace(TINY, steps=60, rate=2e-2, check_every=30, average=0.9, device="cuda")
    _, rows = fit(examples, examples, replace(settings, config=replace(TINY.network, variant=variant)))
    assert rows[-1]["auroc"] > 0.9
