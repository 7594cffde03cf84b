"""Measure the simulator: its speed, and what tells its background from real background.

``python -m benchmarks.simulator OUT [RECORDINGS]`` writes ``simulator.json`` and pictures to OUT. RECORDINGS are those
of EEGMAT with a table of events each; simulated ones are of such people, through such a chain. For any others there is
``restcli simulate OUT --realism RECORDINGS``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from matplotlib.figure import Figure

from benchmarks.recordings import CHAIN
from restcli.output.plots.simulated import save_pages
from restcli.simulate.bids import DatasetSettings, write_dataset
from restcli.simulate.draw import SimulateOptions, draw
from restcli.simulate.realism import Realism, measure

_EEGMAT_CHAIN = replace(CHAIN, high_pass=0.5, high_order=2, low_pass=42.0, noise=0.3, mains=0.0, step=0.01)


def speed() -> dict[str, float]:
    """Return how many times faster than real time recordings of 120 s are drawn."""
    n, seconds = 40, 120
    rates = {}
    for workers in (1, 2):
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(draw, range(workers)))  # the start of the processes does not count
            began = time.perf_counter()
            list(pool.map(draw, range(n)))
            rates[f"{workers} processes"] = round(n * seconds / (time.perf_counter() - began))
    return rates


def realism_figure(result: Realism) -> Figure:
    """Draw what tells simulated from real EEG: spectra by state, and the features that give it away."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, *others = figure.subplots(1, 1 + len(result.comparisons))
    for side, style in (("real", "k-"), ("simulated", "-")):
        for state, row in result.spectra[side].items():
            dashed = "--" if state == "seizure" else style
            left.plot(range(1, 31), row, dashed, label=f"{side}, {state}", linewidth=1)
    left.set(xlabel="frequency / Hz", ylabel="ln magnitude, median", title="spectra")
    left.legend(fontsize=6)
    for axis, (kind, one) in zip(others, result.comparisons.items(), strict=True):
        names, scores = zip(*[(name, auroc) for name, auroc, _, _ in one.single[:15]], strict=True)
        axis.barh(range(len(names)), np.array(scores) - 0.5, left=0.5, color="tab:orange")
        axis.set_yticks(range(len(names)), names, fontsize=7)
        axis.invert_yaxis()
        axis.set(xlim=(0, 1), xlabel="AUROC alone", title=f"{kind}: {one.auroc['boosting']:.2f} with all")
    return figure


def main(out: Path, recordings: Path | None) -> None:
    """Measure, write, print."""
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {
        "times_real_time": speed(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    written = write_dataset(out / "recordings", DatasetSettings(6, 120 / 3600, seizures_per_day=1000))
    save_pages(written, out / "pages", count=12)
    if recordings is not None:
        options = SimulateOptions(ages=(17.0, 27.0), state="awake", healthy=True, artefacts=0.25, chain=_EEGMAT_CHAIN)
        result = measure(recordings, options)
        report["realism"] = {kind: asdict(one) for kind, one in result.comparisons.items()}
        realism_figure(result).savefig(out / "realism.png", dpi=90)
    text = json.dumps(report, indent=1) + "\n"
    (out / "simulator.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
