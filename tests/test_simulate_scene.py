"""Head and scene: dipoles, mirrored fields, components with generators of their own, layers of a wanted size."""

from __future__ import annotations

import numpy as np
import pytest

from restcli.simulate.head import INDEX, MIRROR, dipole_maps, direction, positions
from restcli.simulate.scene import Scene, derivation_rms
from restcli.simulate.waves import generator


def test_a_dipole_is_seen_best_above_it() -> None:
    radial = dipole_maps(generator(0), np.repeat(direction("C3")[None], 200, axis=0), depth=(0.75, 0.8))
    assert np.abs(radial[:19]).max(axis=0) == pytest.approx(1)
    best = np.argmax(np.abs(radial[:19]), axis=0)
    assert np.mean(best == INDEX["C3"]) > 0.7


def test_the_mirror_swaps_left_and_right() -> None:
    assert np.allclose(positions()[MIRROR], positions() * [-1, 1, 1])


def test_components_draw_from_their_own_chance() -> None:
    scene = Scene((1,), 200)
    assert scene.rng("a").random() != scene.rng("b").random()
    assert scene.rng("a").random() == Scene((1,), 400).rng("a").random()


def test_what_lies_outside_the_scene_is_cut() -> None:
    scene = Scene((1,), 200)
    ones = np.ones(21, dtype=np.float32)
    for start in (-0.5, 0.5, -5.0, 5.0):
        scene.add(ones, start, np.ones(200, dtype=np.float32))
    assert np.array_equal(scene.data[0], np.ones(200))
    scene.mark("x", -3, 3.2)
    scene.mark("x", 0.9, 39.1)
    assert scene.states["x"].tolist() == [True]


@pytest.mark.parametrize("rise", [0.1, 1.2])
def test_a_layer_rises_as_wanted_while_it_lasts(rise: float) -> None:
    scene = Scene((1,), 4000)
    scene.data += (20 * generator(1).standard_normal(scene.data.shape)).astype(np.float32)
    before, span = scene.data.copy(), scene.span(5.0, 10.0)
    usual = scene.usual(span)
    with scene.layer():
        scene.data[:, span] += (5 * generator(2).standard_normal((21, 2000))).astype(np.float32)
        scene.data *= scene.layer_gain(span, usual, rise)
    assert np.median(np.log(derivation_rms(scene.data[:, span]) / usual)) == pytest.approx(rise, abs=0.05)
    assert np.array_equal(scene.data[:, :1000], before[:, :1000])


def test_a_layer_rises_by_no_more_than_an_electrode_may_have() -> None:
    scene = Scene((1,), 4000)
    scene.data += (300 * generator(1).standard_normal(scene.data.shape)).astype(np.float32)
    span = scene.span(0.0, 20.0)
    usual = scene.usual(span)
    with scene.layer():
        scene.data += (5 * generator(2).standard_normal(scene.data.shape)).astype(np.float32)
        factor = scene.layer_gain(span, usual, 4.0)
        assert float(np.abs(scene.data[:19]).max() * factor) == pytest.approx(900, rel=1e-4)
