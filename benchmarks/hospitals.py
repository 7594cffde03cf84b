"""What fine-tuning with recordings of another hospital brings: ``python -m benchmarks.hospitals``.

The hospital is simulated: an intensive care unit with one recording chain of its own, all of whose seizures are
non-convulsive. The shipped weights learnt from all chains and from the training diet, which has no seizures of this
form. Each person is on one side alone.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.chain_changes import Signals, write_signals
from benchmarks.tables import markdown
from restcli.detect.detector import Detector
from restcli.detect.rule import logistic, to_events
from restcli.detect.settings import Settings
from restcli.evaluation.measures import auroc
from restcli.evaluation.scoring import score_events, total
from restcli.events import Events
from restcli.io.registry import open_recording
from restcli.marks.registry import write_events
from restcli.nn.weights import load_weights
from restcli.simulate.chain import Chain, draw_chain
from restcli.simulate.draw import SimulateOptions, draw
from restcli.simulate.profiles import WARD, Profile
from restcli.simulate.waves import generator
from restcli.train.settings import FINE_TUNING, TrainSettings
from restcli.train.training import train

_SECONDS = 120.0
_BUDGET = 5  # false alarms at which weights are compared, whatever their thresholds
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


def hospital_profile() -> Profile:
    """Return the prevalence of the new hospital: adults in intensive care with non-convulsive seizures."""
    return replace(
        WARD,
        name="intensive care",
        ages={"infant": 0.0, "child": 0.0, "young": 0.1, "adult": 0.5, "old": 0.4},
        sick=dict.fromkeys(WARD.sick, 1.0),
        seizures={kind: float(kind == "nonconvulsive") for kind in WARD.seizures},
    )


def write_hospital(folder: Path, first_seed: int, *, seizures: int, quiet: int) -> dict[Path, Events]:
    """Write recordings until so many seizures are in them, and so many without any, as a plain folder with marks."""
    folder.mkdir(parents=True)
    written: dict[Path, Events] = {}
    seed, found = first_seed, 0
    while found < seizures or len(written) < quiet:
        share = 0.0 if len(written) < quiet else 1.0
        options = SimulateOptions(seizure_share=share, chain=hospital_chain(), profile=hospital_profile())
        drawn = draw(seed, seconds=_SECONDS, options=options)
        place = folder / f"p{seed}"
        place.mkdir()
        path = write_signals(Signals(drawn.labels, drawn.data, 200), place / f"p{seed}_r1.edf")
        write_events(drawn.events, place / f"p{seed}_r1_events.tsv", "tsv")
        written[path] = drawn.events
        seed, found = seed + 1, found + len(drawn.events)
    return written


def measure_on(weights: Path | str, recordings: dict[Path, Events], *, budget: int | None = None) -> dict[str, float]:
    """Return what weights reach on recordings: AUROC of seconds, and events at the balanced point by SzCORE's rule.

    `budget` adds how many seizures are found at the lowest threshold with so many false alarms at most.
    """
    loaded = load_weights(weights)
    detector = Detector(loaded, "cpu")
    results = [(events, detector.annotate(open_recording(path), Settings())) for path, events in recordings.items()]
    scores, targets = [], []
    for events, result in results:
        middle, probability = result.scores.time, result.scores.probability
        ictal = np.any([(middle >= e.onset) & (middle < e.stop) for e in events], axis=0) | np.zeros(len(middle), bool)
        known = np.isfinite(probability)
        scores.append(probability[known])
        targets.append(ictal[known])
    tally = total(score_events(events, result.events) for events, result in results)
    found: dict[str, float] = {
        "AUROC of seconds": auroc(np.concatenate(scores, dtype=np.float64), np.concatenate(targets, dtype=np.bool_)),
        "seizures": tally.expert,
        "found": tally.found,
        "false alarms": tally.false,
    }
    if budget is not None:
        rules = [loaded.rule.with_threshold(round(float(level), 4)) for level in logistic(np.arange(60, -40, -2) / 10)]
        swept = (total(score_events(e, to_events(r.scores, rule)) for e, r in results) for rule in rules)
        kept = [tally.found for tally in itertools.takewhile(lambda tally: tally.false <= budget, swept)]
        found[f"found with at most {budget} false alarms"] = kept[-1] if kept else 0
    return found


def fine_tune(folder: Path, out: Path, **given: Any) -> Path:
    """Fine-tune the default weights as `restcli train FOLDER --from rest-default` does, but for settings given."""
    settings = TrainSettings(start_from="rest-default", name="tuned", **(FINE_TUNING | given))
    return train([str(folder)], out, settings).path


def main() -> None:
    """Make the hospital, learn from more and more of its seizures, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hospitals", description=__doc__)
    parser.add_argument("--seizures", default="5,20,100", help="numbers of seizures to fine-tune with")
    parser.add_argument("--test", type=int, default=60, help="seizures to test on, in people never trained on")
    parser.add_argument("--ward", type=int, default=60, help="simulated recordings that thresholds are chosen on")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        how = {"ward": options.ward, "workers": options.workers, "cache": root / "cache"}
        test = write_hospital(root / "test", _FIRST_SEED, seizures=options.test, quiet=options.test // 2)
        rows: list[dict[str, Any]] = []

        def add(name: str, weights: Path | str) -> None:
            rows.append({"weights": name, **measure_on(weights, test, budget=_BUDGET)})
            print(markdown("another hospital", rows), flush=True)

        add("rest-default", "rest-default")
        for number, count in enumerate(map(int, options.seizures.split(",")), 1):
            folder = root / f"train{count}"
            write_hospital(folder, _FIRST_SEED + 100_000 * number, seizures=count, quiet=max(2, count // 2))
            add(f"fine-tuned with {count} seizures", fine_tune(folder, root / f"out{count}", **how))


if __name__ == "__main__":
    main()
