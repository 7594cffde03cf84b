"""Measure the simulator: its speed, and what tells its background from real background.

``python -m benchmarks.simulator OUT [RECORDINGS]`` writes ``simulator.json`` and pictures to OUT. The real background
is EEGMAT, subjects 0-11; the simulated one goes through a similar chain, else the chain is what gives it away.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mne
import numpy as np
from matplotlib.figure import Figure
from scipy.signal import resample_poly

from benchmarks.realism import Background, Realism, realism
from restcli.output.plots.simulated import save_pages
from restcli.signal.montage import DOUBLE_BANANA
from restcli.simulate.bids import DatasetSettings, write_dataset
from restcli.simulate.chain import Chain
from restcli.simulate.draw import SimulateOptions, draw

_EEGMAT_CHAIN = Chain(
    reference="ears",
    high_pass=0.5,
    high_order=2,
    low_pass=42.0,
    low_order=4,
    notch=50.0,
    notch_quality=10.0,
    noise=0.3,
    mains=0.0,
    mains_frequency=50.0,
    missing=(),
    step=0.01,
    limit=3200.0,
    gain=1.0,
    mismatch=0.05,
    drift=1.0,
)


def real_background(folder: Path) -> list[Background]:
    """Read EEGMAT, subjects 0-11, at 200 Hz."""
    found = []
    for subject in range(12):
        for session in (1, 2):
            raw = mne.io.read_raw_edf(
                folder / "eegmat" / f"Subject{subject:02d}_{session}.edf", preload=True, verbose="ERROR"
            )
            data = resample_poly(raw.get_data(picks=range(19)) * 1e6, 2, 5, axis=1)
            found.append(Background(tuple(raw.ch_names[:19]), data.astype(np.float32)))
    return found


def simulated_background(first_seed: int, count: int = 24) -> list[Background]:
    """Draw healthy young people awake, with few artefacts and none of the machine, through a chain like EEGMAT's."""
    options = SimulateOptions(
        seizure_share=0.0, ages=(17.0, 27.0), state="awake", healthy=True, artefacts=0.25, chain=_EEGMAT_CHAIN
    )
    found: list[Background] = []
    seed = first_seed
    while len(found) < count:
        one = draw(seed, seconds=100, options=options)
        if "machine" not in one.states:
            found.append(Background(one.labels[:19], one.data[:19]))
        seed += 1
    return found


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
    """Draw what tells simulated background from real: spectra, amplitude, correlation, the most telling features."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    colours = {"real": "black", "simulated": "tab:orange"}
    hertz = np.arange(1, 41)
    for side, rows in result.spectra.items():
        low, middle, high = np.percentile(rows, [10, 50, 90], axis=0)
        axes[0, 0].plot(hertz, middle, color=colours[side], label=f"{side} ({len(rows)} recordings)")
        axes[0, 0].fill_between(hertz, low, high, color=colours[side], alpha=0.15, linewidth=0)
    axes[0, 0].set(xlabel="frequency / Hz", ylabel="ln magnitude, median of a recording", title="spectra")
    axes[0, 0].legend(fontsize=7)
    for side, values in result.amplitude.items():
        axes[0, 1].hist(values, bins=60, density=True, histtype="step", color=colours[side], label=side)
    axes[0, 1].set(xlabel="ln(RMS 1-40 Hz / 15 µV)", ylabel="density", title="amplitude of a second")
    names, scores = zip(*result.single[:15], strict=True)
    axes[0, 2].barh(range(len(names)), np.array(scores) - 0.5, left=0.5, color="tab:orange")
    axes[0, 2].set_yticks(range(len(names)), names, fontsize=7)
    axes[0, 2].invert_yaxis()
    axes[0, 2].set(xlim=(0, 1), xlabel="AUROC alone", title="what gives it away")
    for axis, (side, table) in zip(axes[1], result.correlation.items(), strict=False):
        image = axis.imshow(table, vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set_xticks(range(18), DOUBLE_BANANA, fontsize=5, rotation=90)
        axis.set_yticks(range(18), DOUBLE_BANANA, fontsize=5)
        axis.set_title(f"correlation, {side}")
    figure.colorbar(image, ax=axes[1, 1], shrink=0.7)
    axes[1, 2].axis("off")
    lines = ["real or simulated?", "AUROC on unseen recordings"]
    lines += [f"{side}: {count} s" for side, count in result.seconds.items()]
    lines += [f"{name}: {value:.3f}" for name, value in result.auroc.items()]
    axes[1, 2].text(0, 0.5, "\n".join(lines), fontsize=9, va="center")
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
        result = realism(real_background(recordings), simulated_background(5000))
        report["realism"] = {"auroc": result.auroc, "seconds": result.seconds, "single": result.single[:12]}
        realism_figure(result).savefig(out / "realism.png", dpi=90)
    text = json.dumps(report, indent=1) + "\n"
    (out / "simulator.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
