"""Feed broken files to every reader until the time is over, and show what breaks one."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import HypothesisWarning

from fuzz.targets import Target, check, targets


def run(
    target: Target, seconds: float, counts: Counter[str], *, at_once: int = 100, same_each_time: bool = False
) -> bool:
    """Fuzz one target for so long, at least `at_once` inputs, or until it breaks; tell whether it held."""
    end = time.monotonic() + seconds

    @settings(
        max_examples=at_once,
        deadline=None,
        derandomize=same_each_time,
        database=None if same_each_time else DirectoryBasedExampleDatabase(f".hypothesis/fuzz/{target.name}"),
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )
    @given(drawn=target.broken)
    def example(drawn: object) -> None:
        counts[target.name] += 1
        check(target, drawn)

    while True:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HypothesisWarning)  # an input is large
                example()
        except Exception:
            traceback.print_exc()
            return False
        if time.monotonic() >= end:
            return True


def main() -> int:
    """Run all targets; exit code 1 when one broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--only", help="part of a target's name")
    arguments = parser.parse_args()
    chosen = [target for target in targets() if (arguments.only or "").lower() in target.name.lower()]
    counts: Counter[str] = Counter()
    broken = []
    for target in chosen:
        held = run(target, 60 * arguments.minutes / max(1, len(chosen)), counts)
        broken += [] if held else [target.name]
        print(f"{target.name}: {counts[target.name]} inputs, {'held' if held else 'BROKEN, see above'}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
