"""REST as a bedside device runs it, second by second."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from restcli.detect.detector import Detector
from restcli.detect.timeline import calibrate, relative_amplitude
from restcli.signal.features import magnitudes, rms, spectra
from restcli.signal.open_inputs import WINDOW, levels_of_seconds, sounds_open
from restcli.signal.quality import Quality, node_quality

Float32Array = NDArray[np.float32]


@dataclass
class Stream:
    """REST as a bedside device runs it: one state update a second, without looking back at the signal.

    The score that comes back after second t judges second ``t - look_ahead``. Both must have enough good nodes, as in
    `annotate`. Saturation of a channel cannot be seen in node signals: pass such nodes as NaN. An open input is found
    once 11 s hold nothing else. Probabilities differ
    from those of `annotate` in three ways: the state is carried through the whole recording instead of being rebuilt
    for each window; the usual amplitude is the one known up to now, not that of the whole recording; and amplitude is
    averaged over no more than ``look_ahead`` seconds after the one judged.

    Besides the state, one amplitude a second is kept, about 4 MB a day.
    """

    detector: Detector
    state: torch.Tensor | None = field(default=None, repr=False)
    amplitudes: list[float] = field(default_factory=list, repr=False)
    enough: list[bool] = field(default_factory=list, repr=False)
    good: deque[NDArray[np.bool_]] = field(init=False, repr=False)
    levels: deque[Float32Array] = field(default_factory=lambda: deque(maxlen=WINDOW), repr=False)

    def __post_init__(self) -> None:
        self.good = deque(maxlen=self.detector.weights.look_ahead + 1)

    def push(self, second: Float32Array) -> tuple[float, Float32Array]:
        """Take one second of node signals (N, sfreq) in µV, NaN for a missing node; return what is now known.

        That is the probability, and the one at each node, (N,), of the second `look_ahead` earlier: NaN when too few
        nodes are good, or the node is missing, now or in the second judged.
        """
        logits = self._update(second)
        weights = self.detector.weights
        judged = len(self.enough) - 1 - weights.look_ahead
        if judged < 0 or not (self.enough[judged] and self.enough[-1]):
            return float("nan"), np.full(len(logits), np.nan, dtype=np.float32)
        known, enough = np.asarray(self.amplitudes, dtype=np.float32), np.asarray(self.enough)
        extra = relative_amplitude(known, enough, weights.calibration)[judged]
        whole = calibrate(np.asarray(np.nanmean(logits)), np.asarray(extra), weights.calibration)
        nodes = calibrate(np.where(self.good[0], logits, np.nan), np.asarray(extra), weights.calibration)
        return float(whole), nodes

    def _update(self, second: Float32Array) -> Float32Array:
        """Advance the state by one second; return the logit of each node, (N,), NaN where it is not good."""
        weights, engine = self.detector.weights, self.detector.engine
        magnitude = magnitudes(second, weights.features.sfreq)
        codes = node_quality(second, magnitude, np.zeros((len(second), 1), np.uint8), sfreq=weights.features.sfreq)[0]
        self.levels.append(levels_of_seconds(second))
        good = codes == Quality.GOOD
        if len(self.levels) == WINDOW:
            good &= ~sounds_open(np.mean(self.levels, axis=0))
        features = np.nan_to_num(spectra(magnitude, weights.features))
        device = engine.backend.device
        present = torch.from_numpy(good.astype(np.float32))[None, :, None].to(device)
        projected = engine.network.l1(torch.from_numpy(features).to(device))
        for _ in range(weights.config.inference_updates):
            self.state = engine.network.update(projected, self.state, engine.adjacency, present=present)
        self.amplitudes.append(float(np.median(rms(magnitude, weights.features)[0][good])) if good.any() else np.nan)
        self.enough.append(int(good.sum()) >= weights.min_nodes)
        self.good.append(good)
        return np.where(good, engine.network.fc(self.state)[0, :, 0].cpu().numpy(), np.float32(np.nan))
