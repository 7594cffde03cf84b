"""Measure the simulator: speed on one core and two, and what tells its background from real background.

Usage: ``python benchmarks/simulator.py OUT [SHARED_EEG]``. Writes ``simulator.json`` and pictures to OUT. The real
background is EEGMAT, subjects 0-11; the simulated side goes through a chain like EEGMAT's (linked ears, .5-45 Hz, 50-Hz
notch, artefacts cleaned), because otherwise the chain is what gives it away.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import mne
import numpy as np
from scipy.signal import resample_poly

from restcli.output.plots.simulated import pages, realism_figure
from restcli.simulate.chain import Chain
from restcli.simulate.draw import COMPONENTS, FIRST, SimulateOptions, draw, stream
from restcli.simulate.realism import Background, Realism, realism

EEGMAT_CHAIN = Chain(
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


def simulated_background(components: frozenset[str], first_seed: int) -> list[Background]:
    """Draw 24 healthy young people awake, with few artefacts, through a chain like EEGMAT's."""
    ages = (17.0, 27.0) if "people" in components else None
    options = SimulateOptions(0.0, components, ages, "awake", True, 0.25, EEGMAT_CHAIN)
    drawn = (draw(first_seed + seed, seconds=100, options=options) for seed in range(24))
    return [Background(one.labels[:19], one.data[:19]) for one in drawn]


def speed() -> dict[str, float]:
    """Return how many times faster than real time recordings of 120 s are drawn."""
    draw(0)
    began = time.perf_counter()
    for seed in range(40):
        draw(seed)
    one = 40 * 120 / (time.perf_counter() - began)
    arrivals = [time.perf_counter() for _ in stream(0, 120, workers=2)]
    two = 100 * 120 / (arrivals[-1] - arrivals[19])  # without the start of the processes
    return {"one_core": round(one), "two_cores": round(two)}


def main(out: Path, shared: Path | None) -> None:
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
    if shared is not None:
        real = real_background(shared)
        for name, components in (("first", FIRST), ("all", COMPONENTS - {"machine"})):
            result: Realism = realism(real, simulated_background(components, 5000))
            report[f"realism_{name}"] = {
                "auroc": result.auroc,
                "seconds": result.seconds,
                "single": result.single[:12],
            }
            realism_figure(result).savefig(out / f"realism_{name}.png", dpi=90)
    (out / "simulator.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
