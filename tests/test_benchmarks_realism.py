"""Realism: like is told from unlike."""

from __future__ import annotations

import numpy as np
from simulator import plain_chain

from benchmarks.realism import Background, describe, realism
from restcli.simulate.draw import SimulateOptions, draw


def made_backgrounds(first: int, gain: float = 1.0) -> list[Background]:
    options = SimulateOptions(0.0, healthy=True, state="awake", chain=plain_chain())
    made = (draw(seed, seconds=20, options=options) for seed in range(first, first + 8))
    return [Background(one.labels[:19], one.data[:19] * np.float32(gain)) for one in made]


def test_realism_tells_like_from_unlike() -> None:
    names, table = describe(made_backgrounds(100)[0])
    assert table.shape == (20, len(names)) and np.isfinite(table).all()
    alike = realism(made_backgrounds(100), made_backgrounds(200))
    louder = realism(made_backgrounds(100), made_backgrounds(100, gain=20.0))
    assert alike.auroc["logistic_shape"] < 0.8
    assert louder.auroc["boosting"] > 0.85 and louder.single[0][0] == "ln_rms" and louder.single[0][1] > 0.9
    assert alike.seconds == {"real": 160, "simulated": 160}
