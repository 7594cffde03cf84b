"""Make the shipped weights from nothing but seeds and the simulator: `make weights`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from restcli.nn.config import RestConfig
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import ELECTRODES_19
from restcli.train.settings import TWO_BANDS, Augmentation, TrainSettings
from restcli.train.training import train

DATA = ["sim:"]
# Without a readout of types, which on real seizures was no better than chance.
DEFAULT = TrainSettings(
    name="rest-default",
    recordings=900,
    steps=500,
    config=RestConfig(n_features=TWO_BANDS.n_features, hidden=8, n_types=0, members=4),
)
# The paper's plain form: 0-99 Hz of 19 electrodes, MSE at the end of 14 s, a mask for every entry, not rescaled; no
# amplitudes, no moving average.
_PAPER_INPUT = FeatureConfig(bands=((0, 99),), amplitude=False, relative=False)
PAPER = TrainSettings(
    name="rest-paper",
    recordings=600,
    features=_PAPER_INPUT,
    config=RestConfig(n_features=_PAPER_INPUT.n_features, mask_per="entry", rescale=False),
    nodes=ELECTRODES_19,
    chunk=14,
    look_ahead=0,
    rate=2e-3,
    loss="mse",
    every_second=False,
    average=0.0,
    augmentation=Augmentation(gain=0.0, drop=0.0, mirror=0.0),
)


ON_REAL_RECORDINGS = """
## On real recordings

`EVALUATION.md` in the same folder compares these weights with baselines on real recordings and shows where they fail.
The recipes were chosen with results on those recordings in view: the size, regularity and spread of simulated seizures,
how often generalised ones are drawn, the size of mimics, the width and number of members, the relative amplitude, the
gain jitter and the two time scales of the event rule (`rest-paper` is older and has none of the last three). No
parameter or threshold was fitted to them.
"""


def main() -> None:
    """Train and write both weights with their cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--only", choices=[DEFAULT.name, PAPER.name])
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed of the same recipe, to see how much seeds differ"
    )
    parser.add_argument("--cache", type=Path, default=Path("build/cache"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; the bytes are the same")
    arguments = parser.parse_args()

    for settings in (DEFAULT, PAPER):
        if arguments.only in (None, settings.name):
            chosen = replace(
                settings, seed=arguments.seed, cache=arguments.cache, workers=arguments.workers, overwrite=True
            )
            result = train(DATA, arguments.out, chosen, on_progress=_show)
            result.card.write_text(result.card.read_text(encoding="utf-8") + ON_REAL_RECORDINGS, encoding="utf-8")
            sys.stderr.write(f"\n{result.path}: {result.weights.sha256} after {result.seconds:.0f} s\n")


def _show(done: int, total: int, values: dict[str, float]) -> None:
    if done % 50 == 0 or done == total:
        sys.stderr.write(f"\r{done}/{total} " + " ".join(f"{name} {value:.3f}" for name, value in values.items()))


if __name__ == "__main__":
    main()
