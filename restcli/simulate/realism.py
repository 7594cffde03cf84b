"""What tells simulated EEG from real EEG, in background and in seizures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal

from restcli.detect.settings import usable_labels
from restcli.errors import UsageError
from restcli.io.registry import open_recording
from restcli.marks.layouts import find_items
from restcli.signal.montage import CHAINS, DOUBLE_BANANA, Montage, derive
from restcli.signal.sequences import true_runs
from restcli.simulate.chain import draw_chain
from restcli.simulate.draw import SimulateOptions, draw
from restcli.simulate.waves import SFREQ, BoolArray, Float32Array, FloatArray, generator
from restcli.text import markdown_table

WINDOW = 4  # s
_N = round(WINDOW * SFREQ)
_MOST = 20  # windows of one block and kind that are compared
_FEWEST_NODES = 8
# Both sides are filtered alike, so that recording chains do not give them away.
_WIDE = signal.butter(4, (1, 30), "bandpass", fs=SFREQ, output="sos")
_RHYTHM = signal.butter(4, (3, 13), "bandpass", fs=SFREQ, output="sos")
_HERTZ = np.fft.rfftfreq(_N, 1 / SFREQ)
_BANDS = ((1, 2), (2, 4), (4, 6), (6, 8), (8, 13), (13, 20), (20, 30))
_LEFT, _RIGHT = (
    [CHAINS[f"{side} {chain}"][0].split() for chain in ("temporal", "parasagittal")] for side in ("left", "right")
)
_PAIRS = {
    "neighbours": [pair for chain in (*_LEFT, *_RIGHT) for pair in pairwise(chain)],
    "sides": [pair for chains in zip(_LEFT, _RIGHT, strict=True) for pair in zip(*chains, strict=True)],
}
PEOPLE = 60  # simulated ones, half of them with a seizure
_FIRST_SEED = 1_000_000  # far from the seeds of training
# Columns of a table of windows, beside its features: person, state, whether in a seizure, and the ln magnitude at 1 to
# 30 Hz, median of the derivations.
_SPECTRUM = [f"{hertz} Hz" for hertz in range(1, 31)]
_NO_FEATURES = ["group", "state", "ictal", "side", *_SPECTRUM]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What tells simulated from real windows of one kind."""

    auroc: dict[str, float]  # of real-or-simulated classifiers on unseen people; .5 at best
    single: list[tuple[str, float, float, float]]  # feature, its AUROC (above .5: larger in simulation), both medians
    windows: tuple[int, int]  # real, simulated
    groups: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Realism:
    """How simulated EEG differs from that of a folder of real recordings."""

    comparisons: dict[str, Comparison]  # background, seizure
    spectra: dict[str, dict[str, list[float]]]  # median ln magnitude at 1..30 Hz by side and state
    nearest: dict[str, int]  # how many real people's background looks most like each simulated state

    def to_text(self) -> str:
        """Return everything but the spectra as Markdown."""
        nearest = ", ".join(f"{state} {n}" for state, n in self.nearest.items())
        lines = ["# How simulated EEG differs from real EEG\n"]
        for kind, one in self.comparisons.items():
            (real, simulated), (patients, people) = one.windows, one.groups
            lines.append(f"## {kind.capitalize()}\n")
            lines.append(f"{real} real windows ({WINDOW} s) of {patients} people, {simulated} simulated of {people}.\n")
            auroc = [(name, f"{value:.3f}") for name, value in one.auroc.items()]
            lines.append(markdown_table(("real or simulated?", "AUROC"), auroc))
            single = [(name, f"{auroc:.3f}", f"{a:.2f}", f"{b:.2f}") for name, auroc, a, b in one.single]
            lines.append("\n" + markdown_table(("feature alone", "AUROC", "real", "simulated"), single) + "\n")
        lines.append(f"Simulated state with the nearest background spectrum, by people: {nearest}.\n")
        return "\n".join(lines)


def measure(
    folder: Path, options: SimulateOptions, *, on_progress: Callable[[int, int], None] | None = None
) -> Realism:
    """Compare real recordings with simulated ones, half of the simulated people with a seizure."""
    real = list(real_windows(folder))
    simulated: list[pd.DataFrame] = []
    for index in range(PEOPLE):
        chosen = replace(options, seizure_share=float(index % 2))
        simulated += simulated_windows([_FIRST_SEED + index], chosen)
        if on_progress is not None:
            on_progress(index + 1, PEOPLE)
    compared = {kind: compare(real, simulated, ictal=kind == "seizure") for kind in ("background", "seizure")}
    found = {kind: one for kind, one in compared.items() if one is not None}
    if not found:
        raise UsageError(str(folder), "too few people to compare with", "usable recordings of at least two people")
    spectra = {side: _median_spectra(group) for side, group in (("real", real), ("simulated", simulated))}
    states = {state: np.array(row) for state, row in spectra["simulated"].items() if state != "seizure"}
    nearest: Counter[str] = Counter()
    for _, rows in pd.concat(real).query("not ictal").groupby("group"):
        own = np.array(_median_spectrum(rows))
        nearest[min(states, key=lambda state: float(np.std(states[state] - own)))] += 1
    return Realism(found, spectra, dict(nearest))


def real_windows(folder: Path) -> Iterator[pd.DataFrame]:
    """Describe the recordings of a folder with expert marks."""
    for item in find_items(folder):
        recording = open_recording(item.recording_path)
        montage = derive(usable_labels(recording), DOUBLE_BANANA)
        if len(montage.nodes) < _FEWEST_NODES:
            continue
        events = item.marks.read(recording)
        for block in recording.blocks(montage.channels, sfreq=SFREQ):
            ictal = events.mask(block.start + np.arange(block.data.shape[1] // round(SFREQ)) + 0.5)
            found = describe(np.nan_to_num(block.data), montage, ictal, np.ones_like(ictal))
            if found is not None:
                yield found.assign(group=f"{item.source}/{item.patient}", state="real")


def simulated_windows(seeds: Sequence[int], options: SimulateOptions) -> Iterator[pd.DataFrame]:
    """Describe recordings of two minutes, without what the machine does, through a mild chain of their own."""
    for seed in seeds:
        chain = draw_chain(generator(seed, 5))
        mild = replace(chain, low_pass=0.0, high_pass=min(chain.high_pass, 0.5), mains=0.0, missing=())
        made = draw(seed, options=replace(options, chain=options.chain or mild))
        montage = derive(made.labels, DOUBLE_BANANA)
        ictal = made.events.mask(np.arange(made.data.shape[1] // round(SFREQ)) + 0.5)
        known = ~made.states.get("machine", np.zeros_like(ictal)) & ~made.states.get("postictal", np.zeros_like(ictal))
        found = describe(made.data[list(montage.channels)], montage, ictal, known)
        if found is not None:
            state = next(row["state"] for row in made.drawn["scene"] if row["what"] == "background")
            yield found.assign(group=f"sim-{seed}", state=state)


def describe(data: Float32Array, montage: Montage, ictal: BoolArray, known: BoolArray) -> pd.DataFrame | None:
    """Describe windows that lie wholly inside or wholly outside of seizures; None without any."""
    starts: list[int] = []
    for mask in (ictal & known, ~ictal & known):
        found = [s for a, b in true_runs(mask) for s in range(a, b - WINDOW + 1, WINDOW)]
        starts += found[:: max(1, -(-len(found) // _MOST))]
    if not starts:
        return None
    wide = signal.sosfiltfilt(_WIDE, montage.matrix @ data, axis=1)
    rhythm = signal.hilbert(signal.sosfiltfilt(_RHYTHM, wide, axis=1), axis=1)
    at = np.array(starts)[:, None] * round(SFREQ) + np.arange(_N)
    x, y = wide[:, at].transpose(1, 0, 2), rhythm[:, at].transpose(1, 0, 2)  # (W, N, n)
    fine = np.median(x.std(axis=2), axis=1) > 0.5
    if not fine.any():
        return None
    x, y = x[fine], y[fine]
    power = np.abs(np.fft.rfft(x * np.hanning(_N), axis=2)) ** 2
    lines = np.log(np.sqrt(np.stack([power[..., np.abs(_HERTZ - f) <= 0.5].mean(axis=2) for f in range(1, 31)], 2)))
    features = {**_shape(x, power), **_rhythm(y, power), **_space(x, y, montage.nodes), **_envelope(x)}
    spectra = dict(zip(_SPECTRUM, np.median(lines, axis=1).astype(np.float32).T, strict=True))
    return pd.DataFrame({**features, **spectra, "ictal": ictal[np.array(starts)[fine]]})


def _shape(x: FloatArray, power: FloatArray) -> dict[str, FloatArray]:
    total = power[..., (_HERTZ >= 1) & (_HERTZ < 30)].sum(axis=2)
    found = {
        f"{low}-{high} Hz": np.median(
            np.log(power[..., (low <= _HERTZ) & (high > _HERTZ)].sum(axis=2) / total + 1e-9), axis=1
        )
        for low, high in _BANDS
    }
    spread = x.std(axis=2)
    found["amplitude"] = np.median(np.log(spread / 15 + 1e-9), axis=1)
    found["kurtosis"] = np.median(np.log((x**4).mean(axis=2) / spread**4), axis=1)
    found["roughness"] = np.median(np.log(np.abs(np.diff(x, axis=2)).mean(axis=2) / spread), axis=1)
    return found


def _rhythm(y: NDArray[Any], power: FloatArray) -> dict[str, FloatArray]:
    """Describe how steady 3-13 Hz is where it is strongest: cycles, waxing and waning, one frequency or many."""
    size = np.abs(y)
    best = (size**2).mean(axis=2).argmax(axis=1)
    rows = np.arange(len(y))
    strongest, envelope = y[rows, best], size[rows, best]
    found = {name: np.zeros(len(y)) for name in ("cycle jitter", "waxing", "one frequency")}
    band = (_HERTZ >= 3) & (_HERTZ <= 13)
    for i, wave in enumerate(strongest.real):
        crossings = np.flatnonzero((wave[:-1] < 0) & (wave[1:] >= 0))
        found["cycle jitter"][i] = np.std(np.log(np.diff(crossings))) if len(crossings) > 3 else 0.0
        found["waxing"][i] = np.std(np.log(envelope[i].reshape(-1, 50).mean(axis=1) + 1e-9))
        lines = power[i, best[i]][band]
        found["one frequency"][i] = np.convolve(lines, np.ones(5), "same").max() / lines.sum()
    return found


def _space(x: FloatArray, y: NDArray[Any], nodes: Sequence[str]) -> dict[str, FloatArray]:
    """Describe where the power is, and how derivations go together at 3-13 Hz."""
    share = np.sort((x**2).mean(axis=2), axis=1)[:, ::-1]
    unit = y / np.sqrt((np.abs(y) ** 2).sum(axis=2, keepdims=True) + 1e-12)
    coherence = np.einsum("wit,wjt->wij", unit, unit.conj(), optimize=True)
    strength = np.abs(coherence) - np.eye(len(nodes))
    by_node = strength.sum(axis=2) / (len(nodes) - 1)
    lag = np.abs(np.sin(np.angle(coherence))) * strength
    found = {
        "concentration": np.log(share[:, : max(1, len(nodes) // 4)].sum(axis=1) / share.sum(axis=1)),
        "coupling": by_node.mean(axis=1),
        "hub": by_node.max(axis=1) - by_node.mean(axis=1),
        "lag": lag.sum(axis=(1, 2)) / strength.sum(axis=(1, 2)),
    }
    scaled = x / (x.std(axis=2, keepdims=True) + 1e-9)
    for name, pairs in _PAIRS.items():
        known = [(nodes.index(a), nodes.index(b)) for a, b in pairs if a in nodes and b in nodes]
        found[f"correlation of {name}"] = np.mean(
            [(scaled[:, a] * scaled[:, b]).mean(axis=1) for a, b in known], axis=0
        )
    return found


def _envelope(x: FloatArray) -> dict[str, FloatArray]:
    """Describe how the amplitude of all derivations together goes up and down: spread and autocorrelation."""
    level = np.log(np.sqrt((x**2).mean(axis=1)).reshape(len(x), -1, 20).mean(axis=2) + 1e-9)  # every .1 s
    level = level - level.mean(axis=1, keepdims=True)
    variance = (level**2).mean(axis=1) + 1e-9
    found = {"envelope spread": np.sqrt(variance)}
    for steps in (2, 5, 10):
        found[f"envelope after {steps / 10:g} s"] = (level[:, :-steps] * level[:, steps:]).mean(axis=1) / variance
    return found


def compare(real: Sequence[pd.DataFrame], simulated: Sequence[pd.DataFrame], *, ictal: bool) -> Comparison | None:
    """Compare windows of one kind from at least two people each; None with fewer."""
    from sklearn.metrics import roc_auc_score

    rows = pd.concat(one.assign(side=side) for side, tables in enumerate((real, simulated)) for one in tables)
    rows = rows[rows["ictal"] == ictal]
    people = [rows["group"][rows["side"] == i].nunique() for i in (0, 1)]
    if min(people) < 2:
        return None
    names = [str(name) for name in rows if name not in _NO_FEATURES]
    table, side, group = rows[names].to_numpy(), rows["side"].to_numpy(), rows["group"].to_numpy()
    shape = [i for i, name in enumerate(names) if name != "amplitude"]
    auroc = {
        "boosting": _distinguish(table, side, group, trees=True),
        "boosting without amplitude": _distinguish(table[:, shape], side, group, trees=True),
        "logistic without amplitude": _distinguish(table[:, shape], side, group, trees=False),
    }
    medians = [np.median(table[side == i], axis=0) for i in (0, 1)]
    single = [
        (name, float(roc_auc_score(side, table[:, i])), float(medians[0][i]), float(medians[1][i]))
        for i, name in enumerate(names)
    ]
    single.sort(key=lambda row: -abs(row[1] - 0.5))
    return Comparison(auroc, single, (int((side == 0).sum()), int((side == 1).sum())), (people[0], people[1]))


def _distinguish(table: FloatArray, side: NDArray[Any], group: NDArray[Any], *, trees: bool) -> float:
    """Return the AUROC of a real-or-simulated classifier over folds of whole people, each person weighing the same."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    people = min(len(set(group[side == i])) for i in (0, 1))
    folds = StratifiedGroupKFold(n_splits=min(4, people), shuffle=True, random_state=0)
    model = (
        HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, class_weight="balanced", random_state=0)
        if trees
        else LogisticRegression(C=0.2, max_iter=1000, class_weight="balanced")
    )
    whole = make_pipeline(StandardScaler(), model)
    score = cross_val_predict(whole, table, side, groups=group, cv=folds, method="predict_proba")
    return float(roc_auc_score(side, score[:, 1]))


def _median_spectra(windows: Sequence[pd.DataFrame]) -> dict[str, list[float]]:
    """Return the median spectrum of the background in each state, and of seizures."""
    rows = pd.concat(windows)
    kinds = rows["state"].mask(rows["ictal"], "seizure")
    return {str(kind): _median_spectrum(part) for kind, part in rows.groupby(kinds)}


def _median_spectrum(rows: pd.DataFrame) -> list[float]:
    found: list[float] = np.round(np.median(rows[_SPECTRUM].to_numpy(), axis=0), 3).tolist()
    return found
