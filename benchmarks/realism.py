"""How simulated background differs from real background, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restcli.signal.features import FeatureConfig, log_features, log_magnitude, rms_of_logs, spectra
from restcli.signal.montage import DOUBLE_BANANA, derive
from restcli.simulate.waves import SFREQ, Float32Array

FloatArray = NDArray[np.float64]

# Pairs of derivations whose correlation is compared: neighbours that share an electrode (how local the sources are) and
# the same place left and right (how much both halves of the brain work together).
_CHAINS = (
    "FP1-F7 F7-T3 T3-T5 T5-O1",
    "FP1-F3 F3-C3 C3-P3 P3-O1",
    "FP2-F8 F8-T4 T4-T6 T6-O2",
    "FP2-F4 F4-C4 C4-P4 P4-O2",
)
_NEIGHBOURS = tuple(pair for chain in _CHAINS for pair in zip(chain.split()[:-1], chain.split()[1:], strict=True))
_HOMOLOGOUS = tuple(
    pair for left, right in ((0, 2), (1, 3)) for pair in zip(_CHAINS[left].split(), _CHAINS[right].split(), strict=True)
)
_CONFIG = FeatureConfig(relative=False)
_BANDS = {"delta": (1, 3), "theta": (4, 7), "alpha": (8, 12), "beta": (13, 24), "gamma": (25, 40)}


@dataclass(frozen=True, eq=False)
class Background:
    """A recording without seizures."""

    labels: tuple[str, ...]  # C channels
    data: Float32Array  # (C, n), µV at 200 Hz


@dataclass(frozen=True, eq=False)
class Realism:
    """What distinguishes simulated from real background, by group: ``real`` and ``simulated``."""

    auroc: dict[str, float]  # of real-or-simulated classifiers of single seconds of unseen recordings; .5 at best
    single: tuple[tuple[str, float], ...]  # AUROC of each feature (above .5: larger in simulation), most telling first
    spectra: dict[str, FloatArray]  # (R, 40), median ln magnitude at 1..40 Hz of each recording
    amplitude: dict[str, FloatArray]  # (S,), ln of each second's RMS over 15 µV, median of the derivations
    correlation: dict[str, FloatArray]  # (18, 18), median correlation of derivations; NaN where absent
    seconds: dict[str, int]  # how many were compared


def realism(real: Sequence[Background], simulated: Sequence[Background], *, seed: int = 0) -> Realism:
    """Compare real and simulated background, at least four recordings each, made with similar recording chains.

    Classifiers: ``logistic`` and ``boosting`` on all features, ``logistic_shape`` without the amplitude.
    """
    tables, sides, recordings = [], [], []
    for side, group in enumerate((real, simulated)):
        for number, recording in enumerate(group):
            names, table = describe(recording)
            tables.append(table)
            sides.append(np.full(len(table), side))
            recordings.append(np.full(len(table), side * 10_000 + number))
    features, side_of, recording_of = np.concatenate(tables), np.concatenate(sides), np.concatenate(recordings)
    shape = [i for i, name in enumerate(names) if not name.startswith("ln_rms")]
    auroc = {
        "logistic": _distinguish(features, side_of, recording_of, seed, trees=False),
        "logistic_shape": _distinguish(features[:, shape], side_of, recording_of, seed, trees=False),
        "boosting": _distinguish(features, side_of, recording_of, seed, trees=True),
    }
    return Realism(
        auroc,
        _alone(names, features, side_of),
        {"real": _median_spectra(real), "simulated": _median_spectra(simulated)},
        {name: features[side_of == i, names.index("ln_rms")] for i, name in enumerate(("real", "simulated"))},
        {"real": _median_correlation(real), "simulated": _median_correlation(simulated)},
        {"real": int((side_of == 0).sum()), "simulated": int((side_of == 1).sum())},
    )


def describe(recording: Background) -> tuple[list[str], FloatArray]:
    """Describe each second of a recording by named features, (T, F).

    First the network's own inputs (z-scored log spectra and amplitude, medians over the derivations), then how they
    differ between derivations, how spiky the signal is, and how derivations correlate.
    """
    nodes, signal = _derivations(recording)
    logs = _log_spectra(signal)
    amplitude = rms_of_logs(logs, _CONFIG)
    inputs = log_features(logs, amplitude, np.zeros_like(amplitude), _CONFIG)  # (T, N, 41)
    n_seconds = len(inputs)
    blocks = signal[:, : n_seconds * 200].reshape(len(nodes), n_seconds, 200).transpose(1, 0, 2)
    blocks = blocks - blocks.mean(axis=2, keepdims=True)
    spread = blocks.std(axis=2) + 1e-6
    columns: dict[str, NDArray[np.floating]] = {
        f"z_{hertz}Hz": np.median(inputs[:, :, hertz - 1], axis=1) for hertz in range(1, 41)
    }
    columns["ln_rms"] = np.median(inputs[:, :, 40], axis=1)
    columns["ln_rms_spread"] = inputs[:, :, 40].std(axis=1)
    for name, (low, high) in _BANDS.items():
        columns[f"spread_{name}"] = inputs[:, :, low - 1 : high].mean(axis=2).std(axis=1)
    columns["roughness"] = np.median(np.log(np.abs(np.diff(blocks, axis=2)).mean(axis=2) / spread + 1e-6), axis=1)
    columns["kurtosis"] = np.median(np.log((blocks**4).mean(axis=2) / spread**4 + 1e-6), axis=1)
    scaled = blocks / spread[..., None]
    for name, pairs in (("neighbours", _NEIGHBOURS), ("sides", _HOMOLOGOUS)):
        known = [(nodes.index(a), nodes.index(b)) for a, b in pairs if a in nodes and b in nodes]
        columns[f"correlation_{name}"] = np.mean([(scaled[:, a] * scaled[:, b]).mean(axis=1) for a, b in known], axis=0)
    return list(columns), np.stack(list(columns.values()), axis=1).astype(np.float64)


def _derivations(recording: Background) -> tuple[list[str], Float32Array]:
    montage = derive(recording.labels, DOUBLE_BANANA)
    return list(montage.nodes), np.asarray(montage.matrix @ recording.data[list(montage.channels)], dtype=np.float32)


def _log_spectra(signal: Float32Array) -> Float32Array:
    """Return the log magnitudes of each second, (N, n) to (T, N, 101)."""
    whole = signal.shape[1] // SFREQ * SFREQ
    seconds = signal[:, :whole].reshape(len(signal), -1, SFREQ).swapaxes(0, 1)
    return log_magnitude(spectra(seconds), _CONFIG)


def _median_spectra(group: Sequence[Background]) -> FloatArray:
    rows = []
    for recording in group:
        logs = _log_spectra(_derivations(recording)[1])
        rows.append(np.median(logs[:, :, 1:41], axis=(0, 1)))
    return np.array(rows, dtype=np.float64)


def _median_correlation(group: Sequence[Background]) -> FloatArray:
    tables = np.full((len(group), len(DOUBLE_BANANA), len(DOUBLE_BANANA)), np.nan)
    for table, recording in zip(tables, group, strict=True):
        nodes, signal = _derivations(recording)
        index = [DOUBLE_BANANA.index(node) for node in nodes]
        table[np.ix_(index, index)] = np.corrcoef(signal)
    return np.asarray(np.nanmedian(tables, axis=0))


def _alone(names: list[str], features: FloatArray, side_of: NDArray[np.int_]) -> tuple[tuple[str, float], ...]:
    """Return the AUROC of each feature by itself, most telling first."""
    from sklearn.metrics import roc_auc_score

    scores = [(name, float(roc_auc_score(side_of, features[:, i]))) for i, name in enumerate(names)]
    return tuple(sorted(scores, key=lambda item: -abs(item[1] - 0.5)))


def _distinguish(
    features: FloatArray, side_of: NDArray[np.int_], recording_of: NDArray[np.int_], seed: int, *, trees: bool
) -> float:
    """Return the AUROC of a real-or-simulated classifier over four folds of whole recordings."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if trees:
        model = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=8, class_weight="balanced", random_state=seed
        )
    else:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.2, max_iter=500, class_weight="balanced"))
    score = np.zeros(len(side_of))
    folds = StratifiedGroupKFold(n_splits=4, shuffle=True, random_state=seed)
    for train, test in folds.split(features, side_of, recording_of):
        model.fit(features[train], side_of[train])
        score[test] = model.predict_proba(features[test])[:, 1]
    return float(roc_auc_score(side_of, score))
