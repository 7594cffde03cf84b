"""Feed broken files to every reader until the time is over, and show what breaks one."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from fuzz.targets import Target, check, targets

_AT_ONCE = 100  # examples of a target before it is another's turn


def run(target: Target, seconds: float, counts: Counter[str]) -> bool:
    """Fuzz one target for so long, or until it breaks; tell whether it held."""
    end = time.monotonic() + seconds

    @settings(
        max_examples=_AT_ONCE,
        deadline=None,
        database=DirectoryBasedExampleDatabase(".hypothesis/fuzz"),
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn=target.broken)
    def example(drawn: object) -> None:
        counts[target.name] += 1
        check(target, drawn)

    while time.monotonic() < end:
        try:
            example()
        except Exception:
            traceback.print_exc()
            return False
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
