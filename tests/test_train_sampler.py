"""Batches: reproducible, balanced, mirrored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from train_examples import TINY, made_examples

from restcli.signal.features import FeatureConfig, log_features
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


def test_mirror_swaps_hemispheres_and_is_its_own_inverse() -> None:
    for nodes in (DOUBLE_BANANA, ELECTRODES_19):
        order = mirror_order(nodes)
        assert np.array_equal(order[order], np.arange(len(nodes)))
        weights = electrode_graph(nodes).adjacency
        np.testing.assert_allclose(weights[np.ix_(order, order)], weights, atol=1e-6)
    assert DOUBLE_BANANA[mirror_order(DOUBLE_BANANA)[0]] == "FP2-F8"


def test_features_of_stored_logarithms_equal_features_of_spectra() -> None:
    from restcli.signal.features import spectra

    magnitude = np.exp(np.random.default_rng(0).normal(2, 1, (5, 3, 101))).astype(np.float32)
    for config in (
        FeatureConfig(),
        FeatureConfig(bands=((0, 99),), amplitude=False),
        FeatureConfig(bands=((1, 13), (14, 40))),
    ):
        np.testing.assert_allclose(log_features(np.log(magnitude), config), spectra(magnitude, config), atol=1e-5)
