"""Whole recordings: same seed, same bytes; options that are obeyed; long ones without seams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from simulator import SZCORE_TYPES

from restcli.errors import UsageError
from restcli.simulate.background import draw_brain, posterior_frequency
from restcli.simulate.bids import _resampled
from restcli.simulate.draw import SEGMENT, SimulateOptions, draw, draw_long
from restcli.simulate.head import ELECTRODES_21
from restcli.simulate.waves import generator


def test_same_seed_same_bytes_and_other_seed_others() -> None:
    first, again, other = draw(11, seconds=30), draw(11, seconds=30), draw(12, seconds=30)
    assert first.data.tobytes() == again.data.tobytes()
    assert json.dumps(first.drawn) == json.dumps(again.drawn)
    assert first.events == again.events
    assert first.data.tobytes() != other.data.tobytes()


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import hashlib; from restcli.simulate.draw import draw;"
        "print(hashlib.sha256(b''.join(draw(s, seconds=60).data.tobytes() for s in range(3))).hexdigest())"
    )
    sums = set()
    for threads in ("1", "2"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        result = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        sums.add(result.stdout)
    assert len(sums) == 1


def test_recordings_are_sound() -> None:
    shares, levels = [], []
    for seed in range(16):
        made = draw(seed, seconds=60)
        assert made.data.dtype == np.float32 and made.data.shape == (len(made.labels), 12000)
        assert np.isfinite(made.data).all()
        assert set(made.labels) <= set(ELECTRODES_21) and len(made.labels) >= 18
        assert all(len(mask) == 60 for mask in made.states.values())
        assert {event.label for event in made.events} <= SZCORE_TYPES
        assert all(set(event.channels) <= {*ELECTRODES_21, "all"} and event.channels for event in made.events)
        assert json.loads(json.dumps(made.drawn, allow_nan=False))["seed"] == seed
        shares.append(made.events.mask(np.arange(60) + 0.5).mean())
        levels.append(np.median(made.data.std(axis=1)))
    assert 0.05 < np.mean(shares) < 0.6
    # Electrodes of people show 5-100 uV, not mV and not nV.
    assert 8 < np.median(levels) < 80


def test_options_are_obeyed() -> None:
    options = SimulateOptions(0.0, ages=(1.5, 8), state="awake", healthy=True)
    for seed in range(5):
        made = draw(seed, seconds=20, options=options)
        background = next(row for row in made.drawn["scene"] if row["what"] == "background")
        assert 1.5 <= background["age"] <= 8 and background["state"] == "awake"
        assert not made.events.events and "mimic" not in made.states
    assert len(draw(0, seconds=60, options=SimulateOptions(1.0)).events) > 0


def test_people_that_nobody_can_be_are_refused() -> None:
    with pytest.raises(UsageError):
        draw(0, seconds=10, options=SimulateOptions(state="infant"))


def test_the_posterior_rhythm_grows_up() -> None:
    assert (
        posterior_frequency(0.4)
        < 5
        < posterior_frequency(1.0)
        < 7
        < posterior_frequency(4)
        < 9
        < posterior_frequency(25)
    )
    young = [b.base for b in (draw_brain(generator(i)) for i in range(300)) if b.age < 12]
    old = [b.base for b in (draw_brain(generator(i)) for i in range(300)) if b.age > 20]
    assert np.median(young) > 1.5 * np.median(old)


def test_a_long_recording_comes_in_pieces_without_seams() -> None:
    seconds = 2 * SEGMENT + 100
    pieces = list(draw_long(8, seconds=seconds, seizures_per_day=300))
    assert [piece.data.shape[1] / 200 for piece in pieces] == [SEGMENT, SEGMENT, 100]
    assert len({piece.labels for piece in pieces}) == 1
    assert len({json.dumps(piece.drawn["chain"]) for piece in pieces}) == 1
    for before, after in pairwise(pieces):
        step = np.abs(after.data[:, 0] - before.data[:, -1])
        usual = np.abs(np.diff(before.data[:, -600:], axis=1)).max(axis=1)
        assert np.all(step <= 2 * usual + 2)


@pytest.mark.slow
def test_seizures_a_day_are_kept_on_average() -> None:
    counts = [sum(bool(p.events.events) for p in draw_long(s, seconds=600, seizures_per_day=288)) for s in range(8)]
    assert 0.8 < np.mean(counts) < 3.2  # 2 episodes expected in each
    assert not any(len(p.events) for p in draw_long(1, seconds=400, seizures_per_day=0))


@pytest.mark.parametrize("rate", [100, 200, 256, 500])
def test_resampling_in_pieces_is_resampling_at_once(rate: int) -> None:
    pieces = list(draw_long(8, seconds=SEGMENT + 100, seizures_per_day=0))
    parts = [data for _, data in _resampled(pieces, rate)]
    joined = replace(pieces[0], data=np.concatenate([piece.data for piece in pieces], axis=1))
    (whole,) = [data for _, data in _resampled([joined], rate)]
    assert whole.shape[1] == 400 * rate
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() < 0.02
