"""The usual amplitude of each node is known from its past alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from restcli.signal.features import RELATIVE_RANGE
from restcli.signal.usual import UsualAmplitude

T, N = 900, 5
RNG = np.random.default_rng(0)
AMPLITUDE = (5 + 0.3 * RNG.standard_normal((T, N))).astype(np.float32)
ALL = np.ones((T, N), dtype=bool)
SOME = RNG.random((T, N)) > 0.3


def run(amplitude: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
    return UsualAmplitude(amplitude.shape[1]).advance(amplitude, present)


def test_nothing_after_a_second_counts_for_it() -> None:
    later = AMPLITUDE.copy()
    later[500:] += 3
    one, other = run(AMPLITUDE, SOME), run(later, SOME)
    np.testing.assert_array_equal(one[:500], other[:500])
    assert (one[500:] != other[500:]).any()


@pytest.mark.parametrize("seed", range(4))
def test_pieces_give_what_the_whole_gives(seed: int) -> None:
    cuts = np.sort(np.random.default_rng(seed).integers(0, T + 1, 12))
    usual = UsualAmplitude(N)
    parts = [usual.advance(a, p) for a, p in zip(np.split(AMPLITUDE, cuts), np.split(SOME, cuts), strict=True)]
    np.testing.assert_array_equal(np.concatenate(parts), run(AMPLITUDE, SOME))
    usual = UsualAmplitude(N)
    parts = [usual.advance(AMPLITUDE[t : t + 1], SOME[t : t + 1]) for t in range(T)]
    np.testing.assert_array_equal(np.concatenate(parts), run(AMPLITUDE, SOME))


@pytest.mark.parametrize("nothing", [np.nan, -np.inf, 0.0, 1e3])
def test_absent_seconds_are_not_known_and_move_nothing(nothing: float) -> None:
    present, amplitude = ALL.copy(), AMPLITUDE.copy()
    present[200:400, 1] = present[:, 4] = False
    amplitude[~present] = nothing
    found, expected = run(amplitude, present), run(AMPLITUDE, ALL)
    assert (found[~present] == 0).all()
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:200], np.where(present, expected, 0)[:200])
    np.testing.assert_array_equal(found[:, [0, 2, 3]], expected[:, [0, 2, 3]])
    shorter = np.delete(AMPLITUDE[:, 1], slice(200, 400))[:, None]
    np.testing.assert_array_equal(found[400:, 1], run(shorter, np.ones(shorter.shape, bool))[200:, 0])


def test_a_louder_second_is_told_by_how_much_it_is_louder() -> None:
    amplitude = np.full((T, N), 5.0, dtype=np.float32)
    amplitude[600, 2] += 1.5
    amplitude[600, 3] -= 0.7
    found = run(amplitude, ALL)
    assert np.abs(found[599]).max() < 0.05
    np.testing.assert_allclose(found[600], [0, 0, 1.5, -0.7, 0], atol=0.05)
    np.testing.assert_allclose(found[601:], 0, atol=0.06)


def test_it_is_clipped_and_finds_its_way_back() -> None:
    amplitude = np.full((T, N), 5.0, dtype=np.float32)
    amplitude[300:330, 0], amplitude[300:330, 1] = 30.0, -30.0
    found = run(amplitude, ALL)
    assert (found[300:330, 0] == RELATIVE_RANGE[1]).sum() >= 10
    assert found[300, 1] == RELATIVE_RANGE[0]
    assert (found >= RELATIVE_RANGE[0]).all() and (found <= RELATIVE_RANGE[1]).all()
    np.testing.assert_array_equal(found[:, 2:], run(AMPLITUDE * 0 + 5, ALL)[:, 2:])


def test_another_amplitude_becomes_usual_in_time_sooner_when_it_is_quieter() -> None:
    amplitude = np.full((T, 2), 5.0, dtype=np.float32)
    amplitude[300:, 0] += 1
    amplitude[300:, 1] -= 1
    found = run(amplitude, ALL[:, :2])
    louder, quieter = (int(np.argmax(np.abs(found[301:, node]) < 0.5)) for node in (0, 1))
    assert 0 < quieter < louder
    assert louder > 60  # a seizure of a minute does not become usual
    assert np.abs(found[-1]).max() < 0.3
