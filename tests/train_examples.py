"""Made-up examples and small settings for tests of training."""

from __future__ import annotations

import numpy as np

from restcli.nn.config import RestConfig
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import DOUBLE_BANANA
from restcli.train.settings import TrainSettings
from restcli.train.store import SEIZURE, Example, Examples, Stretch, Task

NODES = DOUBLE_BANANA
FEATURES = FeatureConfig(bands=((1, 20),), relative=False)
TINY = TrainSettings(
    features=FEATURES,
    config=RestConfig(n_features=21, hidden=6, n_types=4),
    steps=12,
    batch=8,
    chunk=12,
    check_every=4,
    recordings=8,
    seconds=40.0,
    folds=2,
    ward=0,
)


def made_examples(n: int = 8, seconds: int = 40) -> Examples:
    """Recordings with a rhythm at 5 Hz in their second half, when even; a different kind of seizure in turns."""
    spectra = np.random.default_rng(0).normal(0, 1, (n, seconds, len(NODES), 100)).astype(np.float16)
    items = []
    for i in range(n):
        shape = (seconds, len(NODES))
        quiet = np.zeros(seconds, np.int8)
        stretch = Stretch(spectra[i], np.ones(shape, np.uint8), np.zeros(shape, np.float32), quiet)
        if i % 2 == 0:
            stretch.spectra[seconds // 2 :, :, 5] += 6
            stretch.labels[seconds // 2 :] = SEIZURE + 1 + (i // 2) % 4
        items.append(Example(Task(f"key{i}", "made", f"patient{i}"), stretch))
    return Examples(tuple(items))
