"""Batches: reproducible, balanced, mirrored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from train_examples import NODES, TINY, made_examples

from restcli.signal.features import FeatureConfig, log_features, rms_of_logs
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, electrode_graph
from restcli.train.sampler import Sampler, mirror_order
from restcli.train.store import SEIZURE


def test_batches_depend_on_seed_and_step_alone() -> None:
    sampler = Sampler(made_examples(), TINY)
    first, _, again = sampler.batch(3), sampler.batch(4), sampler.batch(3)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.present, again.present)
    assert not torch.equal(first.x, sampler.batch(5).x)


def test_chunks_are_balanced_towards_seizures() -> None:
    sampler = Sampler(made_examples(n=40), replace(TINY, batch=400))
    ictal = (sampler.batch(0).labels >= SEIZURE).any(dim=1).float().mean()
    assert 0.45 < float(ictal) < 0.7


def test_generalised_seizures_are_drawn_four_times_as_often() -> None:
    labels = Sampler(made_examples(n=40), replace(TINY, batch=800)).batch(0).labels.numpy().max(axis=1)
    counts = np.bincount(labels, minlength=SEIZURE + 5)[SEIZURE + 1 :]  # focal, generalised, absence, tonic-clonic
    assert 2.5 < counts[1] / counts[0] < 6 and 2.5 < counts[2] / counts[3] < 6


def test_mirror_swaps_hemispheres_and_is_its_own_inverse() -> None:
    for nodes in (DOUBLE_BANANA, ELECTRODES_19):
        order = mirror_order(nodes)
        assert np.array_equal(order[order], np.arange(len(nodes)))
        weights = electrode_graph(nodes)
        np.testing.assert_allclose(weights[np.ix_(order, order)], weights, atol=1e-6)
    assert DOUBLE_BANANA[mirror_order(DOUBLE_BANANA)[0]] == "FP2-F8"


def test_a_batch_holds_the_features_of_the_seconds_chosen() -> None:
    """Nothing but a common gain is changed here: what is z-scored stays, and the amplitude moves alike everywhere."""
    features = FeatureConfig(bands=((1, 13), (14, 20)))
    examples = made_examples(n=1)
    stretch = examples.stretches[0]
    stretch.relative[:] = np.random.default_rng(3).normal(size=stretch.relative.shape)
    plain = replace(TINY.augmentation, drop=0.0, mirror=0.0)
    config = replace(TINY.network, n_features=features.n_features)
    settings = replace(TINY, features=features, config=config, augmentation=plain, chunk=stretch.seconds)
    logs = stretch.spectra.astype(np.float32)
    expected = log_features(logs, rms_of_logs(logs, features), stretch.relative, features)
    batch = Sampler(examples, settings).batch(0)
    assert batch.x.shape == (TINY.batch, stretch.seconds, len(NODES), 22)
    for x in batch.x.numpy():
        np.testing.assert_allclose(x[..., :20], expected[..., :20], atol=1e-3)
        np.testing.assert_array_equal(x[..., 21], stretch.relative)
        gain = x[:20, :, 20] - expected[:20, :, 20]  # later seconds are as loud as amplitudes are told
        np.testing.assert_allclose(gain, gain[0, 0], atol=1e-3)


def test_mirrored_chunks_are_mirrored_whole() -> None:
    examples = made_examples(n=1)
    stretch, order = examples.stretches[0], mirror_order(NODES)
    stretch.relative[:] = np.arange(len(NODES)) / 10
    stretch.spectra[..., 7] = np.arange(len(NODES))
    stretch.present[:, 0] = 0
    features = FeatureConfig(bands=((1, 20),))
    how = replace(TINY.augmentation, drop=0.0, mirror=1.0, gain=0.0)
    config = replace(TINY.network, n_features=features.n_features)
    settings = replace(TINY, features=features, config=config, augmentation=how, chunk=stretch.seconds)
    batch, logs = Sampler(examples, settings).batch(0), stretch.spectra.astype(np.float32)
    expected = log_features(logs, rms_of_logs(logs, features), stretch.relative, features)[:, order]
    np.testing.assert_allclose(batch.x[0].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(batch.present[0].numpy(), stretch.present[:, order])
