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
from scipy.signal import resample_poly

from restcli.output.plots.simulated import pages, realism_figure
from restcli.simulate.chain import Chain
from restcli.simulate.draw import SimulateOptions, draw
from restcli.simulate.realism import Background, realism

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


def main(out: Path, recordings: Path | None) -> None:
    """Measure, write, print."""
    out.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {
        "times_real_time": speed(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    for seed in range(6):
        for number, figure in enumerate(pages(draw(seed), count=2)):
            figure.savefig(out / f"page_{seed}_{number}.png", dpi=80)
    if recordings is not None:
        result = realism(real_background(recordings), simulated_background(5000))
        report["realism"] = {"auroc": result.auroc, "seconds": result.seconds, "single": result.single[:12]}
        realism_figure(result).savefig(out / "realism.png", dpi=90)
    text = json.dumps(report, indent=1) + "\n"
    (out / "simulator.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
