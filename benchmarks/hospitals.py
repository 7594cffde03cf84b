"""What fine-tuning with recordings of another hospital brings: ``python -m benchmarks.hospitals``.

The hospital is simulated, with one recording chain of its own and the prevalence of a ward; the shipped weights learnt
from all chains and from the training diet. Each person is on one side alone.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chain_changes import Signals, write_signals
from benchmarks.tables import markdown
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.evaluation.measures import auroc
from restcli.evaluation.scoring import score_events, total
from restcli.events import Events
from restcli.io.registry import open_recording
from restcli.marks.registry import write_events
from restcli.nn.weights import load_weights
from restcli.simulate.chain import Chain, draw_chain
from restcli.simulate.draw import SimulateOptions, draw
from restcli.simulate.profiles import WARD
from restcli.simulate.waves import generator
from restcli.train.settings import FINE_TUNING, TrainSettings
from restcli.train.training import train

_SECONDS = 120.0
_FIRST_SEED = 20_000_000  # far from all that networks learn from and thresholds are chosen on


def hospital_chain() -> Chain:
    """Return the chain of the new hospital: average reference, 1 to 35 Hz, low gain."""
    return replace(
        draw_chain(generator(1)),
        reference="average",
        high_pass=1.0,
        low_pass=35.0,
        low_order=4,
        gain=0.6,
        missing=(),
        bridge=(),
    )


def write_hospital(folder: Path, first_seed: int, *, seizures: int, quiet: int) -> dict[Path, Events]:
    """Write recordings until so many seizures are in them, and so many without any, as a plain folder with marks."""
    folder.mkdir(parents=True)
    written: dict[Path, Events] = {}
    seed, found = first_seed, 0
    while found < seizures or len(written) < quiet:
        share = 0.0 if len(written) < quiet else 1.0
        options = SimulateOptions(seizure_share=share, chain=hospital_chain(), profile=WARD)
        drawn = draw(seed, seconds=_SECONDS, options=options)
        place = folder / f"p{seed}"
        place.mkdir()
        path = write_signals(Signals(drawn.labels, drawn.data, 200), place / f"p{seed}_r1.edf")
        write_events(drawn.events, place / f"p{seed}_r1_events.tsv", "tsv")
        written[path] = drawn.events
        seed, found = seed + 1, found + len(drawn.events)
    return written


def measure_on(weights: Path | str, recordings: dict[Path, Events]) -> dict[str, float]:
    """Return what weights reach on recordings: AUROC of seconds, and events at the balanced point by SzCORE's rule."""
    detector, tallies = Detector(load_weights(weights), "cpu"), []
    scores, targets = [], []
    for path, events in recordings.items():
        result = detector.annotate(open_recording(path), Settings())
        tallies.append(score_events(events, result.events))
        middle, probability = result.scores.time, result.scores.probability
        ictal = np.any([(middle >= e.onset) & (middle < e.stop) for e in events], axis=0) | np.zeros(len(middle), bool)
        known = np.isfinite(probability)
        scores.append(probability[known])
        targets.append(ictal[known])
    tally = total(tallies)
    return {
        "AUROC of seconds": auroc(np.concatenate(scores, dtype=np.float64), np.concatenate(targets, dtype=np.bool_)),
        "seizures": tally.expert,
        "found": tally.found,
        "false alarms": tally.false,
    }


def fine_tune(folder: Path, out: Path, **given: Any) -> Path:
    """Fine-tune the default weights as `restcli train FOLDER --from rest-default` does, but for settings given."""
    settings = TrainSettings(start_from="rest-default", name="tuned", **(FINE_TUNING | given))
    return train([str(folder)], out, settings).path


def main() -> None:
    """Make the hospital, fine-tune with more and more of its seizures, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hospitals", description=__doc__)
    parser.add_argument("--seizures", default="5,20,100", help="numbers of seizures to fine-tune with")
    parser.add_argument("--test", type=int, default=60, help="seizures to test on, in people never trained on")
    parser.add_argument("--ward", type=int, default=60, help="simulated recordings that thresholds are chosen on")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        test = write_hospital(root / "test", _FIRST_SEED, seizures=options.test, quiet=options.test // 2)
        rows = [{"seizures to learn from": 0, **measure_on("rest-default", test)}]
        print(markdown("fine-tuning", rows), flush=True)
        for number, count in enumerate(map(int, options.seizures.split(",")), 1):
            folder = root / f"train{count}"
            write_hospital(folder, _FIRST_SEED + 100_000 * number, seizures=count, quiet=max(2, count // 2))
            how = {"ward": options.ward, "workers": options.workers, "cache": root / "cache"}
            tuned = fine_tune(folder, root / f"out{count}", **how)
            rows.append({"seizures to learn from": count, **measure_on(tuned, test)})
            print(markdown("fine-tuning", rows), flush=True)


if __name__ == "__main__":
    main()
