"""What a training depends on besides the data."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from restcli.errors import UsageError, WeightsError
from restcli.events import EventRule
from restcli.nn.config import RestConfig
from restcli.nn.weights import load_weights
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import DOUBLE_BANANA
from restcli.train.store import TYPES

# Two bands, each z-scored by itself: muscle over a seizure fills the upper one and does not touch the lower one.
TWO_BANDS = FeatureConfig(bands=((1, 13), (14, 40)))
# Two time scales, see docs/training-log.md; the release lies .7 of log odds below the threshold.
BASE_RULE = EventRule(threshold=0.5, release=0.3318, smooth=5.0, long=21.0, lift=0.8)
# Fields of `TrainSettings` for a fine-tuning, where nothing else is asked for, see `benchmarks.hospitals`.
FINE_TUNING: dict[str, Any] = {"steps": 200, "rate": 1e-3, "check_every": 20}
# They change neither the parameters nor what they are trained on.
_NOT_TRAINED = set("resume overwrite workers cache device false_alarms_per_day rule ward name".split())


@dataclass(frozen=True)
class Augmentation:
    """What is changed at random in each chunk, so that the network cannot rely on it."""

    gain: float = 0.1  # standard deviation of the natural logarithm of a gain common to all nodes
    drop: float = 0.3  # probability that 1 to 3 nodes are left out
    mirror: float = 0.5  # probability that left and right change places


@dataclass(frozen=True)
class TrainSettings:
    """What a training depends on besides the data."""

    features: FeatureConfig = TWO_BANDS  # what the network sees
    config: RestConfig | None = None  # shape of the network; None takes the default, or that of `start_from`
    nodes: tuple[str, ...] = DOUBLE_BANANA
    seed: int = 0  # of the first parameters, the chunks drawn and the masks
    steps: int = 700  # updates of the parameters of each member
    recordings: int = 1200  # what a plain "sim:" stands for
    seconds: float = 120.0  # length of each of them
    batch: int = 64  # chunks
    chunk: int = 30  # seconds
    look_ahead: int = 3  # the output after second t judges second t - look_ahead
    rate: float = 4e-3  # peak learning rate
    loss: str = "bce"  # or "mse" (the paper's)
    every_second: bool = True  # take the loss at every second of a chunk, else at its last one (the paper's)
    average: float = 0.99  # decay of the moving average of the parameters that is saved; 0 saves the last ones
    type_weight: float = 0.05  # of the loss of the type readout: small, so that it does not bend the state
    augmentation: Augmentation = field(default_factory=Augmentation)
    split: str = "patient"  # or "official"
    folds: int = 5
    fold: int | None = None  # the one that validates; None for the first that leaves seizures on both sides
    check_every: int = 100  # steps between validations; the best one is kept
    rule: EventRule = BASE_RULE  # its threshold holds when none can be chosen
    # At most this many at the balanced point, by SzCORE's event rule. The simulated ward is far denser in mimics and
    # artefacts than a real one: where it has 80 a day there was none in 1.7 h of real background.
    false_alarms_per_day: float = 80.0
    ward: int = 60  # simulated recordings of 20 minutes, as on a ward, that thresholds are chosen on
    start_from: str | Path | None = None  # weights to fine-tune; see `adopt`
    member: int = 0  # which of the config's members is trained; each has a seed of its own
    resume: bool = True  # go on from an interrupted training in the same folder
    overwrite: bool = False  # replace weights of this name
    device: str = "cpu"
    workers: int = 1  # processes that prepare examples and train members; the result is the same
    cache: Path | None = None  # folder of the example store; None puts it into the output folder
    name: str = "rest"

    def __post_init__(self) -> None:
        if not 0 <= (self.fold or 0) < self.folds:
            raise UsageError("--fold", f"fold {self.fold} of {self.folds}", "at least 2 folds, counted from 0")
        if not math.isfinite(self.false_alarms_per_day):
            raise UsageError("--false-alarms", f"{self.false_alarms_per_day}", "a number of false alarms a day")
        if not 0 <= self.look_ahead < self.chunk:
            raise UsageError("look_ahead", f"{self.look_ahead} s", "less than the chunk")

    @property
    def network(self) -> RestConfig:
        """Shape of the network to train."""
        return self.config or RestConfig(self.features.n_features, hidden=8, n_types=len(TYPES), members=4)

    def of_member(self, k: int) -> TrainSettings:
        """Return the settings of one member's training."""
        return replace(self, member=k, seed=self.seed * self.network.members + k)

    def trained_by(self) -> dict[str, Any]:
        """Return what must be equal to go on from a checkpoint, in plain values without any path."""
        table = {key: value for key, value in asdict(self).items() if key not in _NOT_TRAINED}
        if self.start_from is not None:
            table["start_from"] = load_weights(self.start_from).sha256
        plain: dict[str, Any] = json.loads(json.dumps(table, sort_keys=True))
        return plain


def adopt(settings: TrainSettings) -> TrainSettings:
    """Take from the weights that a training starts from what it cannot change.

    These are inputs, nodes, look-ahead and rule, and the shape unless a config of the same shape is given.
    """
    if settings.start_from is None:
        return settings
    weights = load_weights(settings.start_from)
    own = replace(weights.config, n_types=len(TYPES) if weights.types else 0)
    config = settings.config or own
    for name in ("members", "hidden", "n_features"):
        asked, given = getattr(config, name), getattr(own, name)
        if asked != given:
            what = f"{name} is {given} in these weights and {asked} in the network asked for"
            raise WeightsError(weights.name, what, "the same shape", f"Leave out --{name}")
    taken = {name: getattr(weights, name) for name in ("features", "nodes", "look_ahead", "rule")}
    return replace(settings, config=config, **taken)
