"""Command line of the benchmarks: ``python -m benchmarks [PART ...]``; the parts are the keys of `PARTS`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks import detectors, device, end_to_end, gpu, live, network, precision, review, roofline
from benchmarks.tables import machine, markdown

PARTS = {
    "end_to_end": end_to_end.measure,
    "network": network.measure,
    "gpu": gpu.measure,
    "device": device.measure,
    "detectors": detectors.measure,
    "roofline": roofline.measure,
    "precision": precision.measure,
    "review": review.measure,
    "live": live.measure,
}
OUT = Path(__file__).parent / "out"


def main() -> None:
    """Measure what was asked for, print tables, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help="what to measure; everything by default")
    parser.add_argument("--hours", default="0.5,2,8,24", help="lengths of the recordings for end_to_end")
    parser.add_argument("--repeats", type=int, default=3, help="medians are taken over so many runs")
    parser.add_argument("--folder", type=Path, help="where recordings are made and kept (1 GB for 24 h)")
    parser.add_argument("--recordings", type=Path, help="folder of real recordings for precision and device")
    parser.add_argument("--results", type=Path, help="write all that was measured so far to this Markdown file")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: one or more of {', '.join(PARTS)} were expected")
    OUT.mkdir(exist_ok=True)
    about = machine()
    print(markdown("machine", [{"what": key, "value": value} for key, value in about.items()]))
    with tempfile.TemporaryDirectory() as temporary:  # parts share their recordings
        options.folder = options.folder or Path(temporary)
        options.folder.mkdir(parents=True, exist_ok=True)
        for name in options.parts or PARTS:
            begin = time.perf_counter()
            tables = PARTS[name](options)
            for title, rows in tables.items():
                print(markdown(title, rows), flush=True)
            (OUT / f"{name}.json").write_text(json.dumps({"machine": about, "tables": tables}, indent=1) + "\n")
            print(f"({name}: {time.perf_counter() - begin:.0f} s)\n", flush=True)
    if options.results is not None:
        options.results.write_text(results(), encoding="utf-8")


def results() -> str:
    """Return everything under `OUT` as one Markdown text, each part with its machine and date."""
    parts = [(OUT.parent / "NOTES.md").read_text(encoding="utf-8")]
    for name in PARTS:
        kept = OUT / f"{name}.json"
        if kept.exists():
            found = json.loads(kept.read_text())
            about = "; ".join(f"{key} {value}" for key, value in found["machine"].items())
            tables = (markdown(title, rows) for title, rows in found["tables"].items())
            parts += [f"## {name.replace('_', ' ')}\n\n{about}\n", *tables]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
