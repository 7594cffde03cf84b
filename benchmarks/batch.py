"""What a batch costs and gains, as ratios within one run: two workers, overhead, resume, memory; see RESULTS-batch.md.

Run: python -m benchmarks.batch [--quick] [workers|overhead|resume|memory ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_RECORDINGS = 40
SECONDS = 1800


def make_archive(folder: Path, n_recordings: int, seconds: int) -> Path:
    """Simulate recordings, no two alike."""
    from restcli.simulate.bids import DatasetSettings, write_dataset

    settings = DatasetSettings(seed=1, recordings=n_recordings, hours=seconds / 3600, seizures_per_day=24)
    write_dataset(folder, settings)
    return folder


def run_batch(archive: Path, out: Path, *options: str) -> float:
    """Run the command; returns wall seconds."""
    begin = time.perf_counter()
    command = [
        sys.executable,
        "-c",
        "from restcli.cli.app import main; main()",
        "batch",
        str(archive),
        str(out),
        *options,
    ]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def measure_workers(work: Path, n_recordings: int, seconds: int, *, repeats: int) -> None:
    """Two workers against one, pictures included, in turn."""
    archive = make_archive(work / "workers", n_recordings, seconds)
    ratios = []
    for turn in range(repeats):
        took = {n: run_batch(archive, work / f"out-{n}-{turn}", "--workers", str(n)) for n in (1, 2)}
        ratios.append(took[1] / took[2])
        print(f"workers: 1 took {took[1]:.1f} s, 2 took {took[2]:.1f} s, ratio {ratios[-1]:.2f}", flush=True)
    print(f"| two workers against one, {n_recordings} x {seconds / 60:g} min | {statistics.median(ratios):.2f} |")
    shutil.rmtree(archive)


_LOOP = """
import sys, time, torch
torch.set_num_threads(1)
from pathlib import Path
import restcli
from restcli.output.bundle import Bundle
begin, annotating = None, 0.0
for number, path in enumerate(sorted(Path(sys.argv[1]).glob("sub-*/**/*.edf"))):
    start = time.perf_counter()
    result = restcli.annotate(path)
    annotating += time.perf_counter() - start if number else 0.0
    Bundle(Path(sys.argv[2]), path.stem, plot=sys.argv[3]).write(result)
    if number == 0:
        begin = time.perf_counter()
print((time.perf_counter() - begin) / number, annotating / number)
"""


def measure_overhead(work: Path, n_recordings: int, seconds: int, *, repeats: int) -> None:
    """One worker against a bare loop in one process that writes the same outputs, in turn, with pictures and without.

    The pace is that of each recording after the first, which pays for imports in both. What a batch does beside: hash
    each recording and each output, keep the scores, talk to the worker, keep the ledger. What it does once (processes
    started, copies looked for, imports, the page) is told apart. The files are read once before, so that neither side
    waits for the disk in the other's stead.
    """
    archive = make_archive(work / "overhead", n_recordings, seconds)
    for plot in ("png", "none"):
        found = [_overhead(archive, work / f"{plot}-{turn}", plot, n_recordings) for turn in range(repeats)]
        ratio, bare_ratio, once = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"| overhead a recording, {n_recordings} x {seconds / 60:g} min, --plot {plot} | {100 * ratio:+.1f} % |")
        print(f"| the same against `annotate` alone, nothing written | {100 * bare_ratio:+.1f} % |")
        print(f"| once for each batch, with the first recording | {once:.1f} s |", flush=True)
    shutil.rmtree(archive)


def _overhead(archive: Path, out: Path, plot: str, n_recordings: int) -> tuple[float, float, float]:
    """Return the overhead against a loop that writes, against one that does not, and the seconds spent once."""
    for path in archive.rglob("*.edf"):
        path.read_bytes()
    command = [sys.executable, "-c", _LOOP, str(archive), str(out / "loop"), plot]
    env = dict(os.environ, OMP_NUM_THREADS="1")
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    loop, annotating = map(float, answer.split())
    took = run_batch(archive, out / "batch", "--workers", "1", "--plot", plot)
    each = pace(out / "batch")
    print(f"overhead, {plot}: loop {loop:.3f} s (annotate {annotating:.3f} s), batch {each:.3f} s", flush=True)
    shutil.rmtree(out)
    return each / loop - 1, each / annotating - 1, took - (n_recordings - 1) * each


def pace(out: Path) -> float:
    """Return wall seconds a recording after the first, from the moments at which outputs were finished."""
    moments = sorted(path.stat().st_mtime for path in out.rglob("*_run.json"))
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def finished_ledger(folder: Path, n_recordings: int) -> tuple[Path, Path]:
    """Make an archive of empty files and the ledger that a batch over it would have left."""
    from restcli.archive.coordinator import Request, keys_of
    from restcli.archive.ledger import Ledger
    from restcli.archive.shards import ledger_name
    from restcli.archive.walk import walk_archive
    from restcli.detect.settings import Settings
    from restcli.nn.weights import load_weights

    archive, out = folder / "archive", folder / "out"
    for number in range(n_recordings):
        place = archive / f"{number // 1000:04d}"
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"{number:07d}.edf").open("wb") as file:
            file.truncate(number + 1)  # of no two the same size, so that none looks like a copy
    out.mkdir(parents=True)
    request = Request(archive, out, Settings())
    keys = keys_of(request, load_weights(request.settings.weights))
    with Ledger(out / ledger_name(), write=True) as ledger:
        run, _ = ledger.begin_run(str(archive), keys, "{}")
        for listing in walk_archive(archive, out):
            ledger.enter(run, listing.recordings)
        while rows := ledger.waiting(run, 1000):
            for row in rows:
                report = out / f"{row.stem}_run.json"
                report.parent.mkdir(parents=True, exist_ok=True)
                report.write_text("{}")
                ledger.finish(row.id, keys, _OUTCOME | {"size": row.size, "mtime_ns": row.mtime_ns, "hash": row.path})
        ledger.end_run(run)
    return archive, out


_OUTCOME = {
    "worker": "w:1",
    "stages": '{"read": 0.1}',
    "duration": 1800.0,
    "scored": 0.99,
    "missing": 0.0,
    "n_events": 1,
    "outputs": {},
    "events": [{"onset": 1.0, "duration": 9.0, "label": "sz", "confidence": 0.9, "channels": "all", "picture": None}],
}


def measure_resume(work: Path, sizes: tuple[int, ...]) -> None:
    """Run a batch over archives that are finished: wall time, memory and bytes of the ledger by size."""
    for size in sizes:
        archive, out = finished_ledger(work / f"resume-{size}", size)
        begin = time.perf_counter()
        peak = peak_memory("from restcli.cli.app import main; main()", "batch", str(archive), str(out))
        took = time.perf_counter() - begin
        ledger = (out / "ledger.sqlite").stat().st_size
        print(f"| resume of {size} finished | {took:.2f} s | peak {peak:.0f} MiB | ledger {ledger / size:.0f} B each |")
        shutil.rmtree(work / f"resume-{size}")


def peak_memory(code: str, *arguments: str) -> float:
    """Run Python code; returns the largest resident memory of that process alone, MiB."""
    told = "import atexit, resource, sys; atexit.register(lambda: print(resource.getrusage(0).ru_maxrss, flush=True));"
    command = [sys.executable, "-c", told + code, *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return int(answer.stdout.split()[-1]) / 1024


_NOTHING = """
import sys, restcli.archive.coordinator as batch
from pathlib import Path
from restcli.detect.settings import Settings
from restcli.archive.resources import PoolOptions
import benchmarks.batch
batch.annotate_one = benchmarks.batch.do_nothing
batch.run_batch(batch.Request(Path(sys.argv[1]), Path(sys.argv[2]), Settings()), PoolOptions(workers=2))
"""


def do_nothing(task: object, _: object) -> dict[str, object]:
    """Stand in for the annotation of a recording."""
    return {**_OUTCOME, "size": task.size, "mtime_ns": task.mtime_ns, "hash": task.path}  # type: ignore[attr-defined]


def measure_memory(work: Path, sizes: tuple[int, ...]) -> None:
    """Send recordings through the whole coordinator with workers that do nothing: memory and pace by number."""
    for size in sizes:
        archive, out = finished_ledger(work / f"memory-{size}", size)
        (out / "ledger.sqlite").unlink()
        begin = time.perf_counter()
        peak = peak_memory(_NOTHING, str(archive), str(out))
        took = time.perf_counter() - begin
        print(
            f"| coordinator, {size} recordings | peak {peak:.0f} MiB | {1000 * took / size:.1f} ms each |", flush=True
        )
        shutil.rmtree(work / f"memory-{size}")


def main() -> None:
    """Measure what is asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["workers", "overhead", "resume", "memory"])
    parser.add_argument("--quick", action="store_true", help="smaller archives")
    parser.add_argument("--repeats", type=int, default=3, help="how often each ratio is measured")
    chosen = parser.parse_args()
    n_recordings, seconds = (8, 600) if chosen.quick else (N_RECORDINGS, SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "workers" in chosen.what:
            measure_workers(work, n_recordings, seconds, repeats=chosen.repeats)
        if "overhead" in chosen.what:
            measure_overhead(work, n_recordings // 2, seconds, repeats=chosen.repeats)
        if "resume" in chosen.what:
            measure_resume(work, (500, 5000) if chosen.quick else (500, 5000, 50_000))
        if "memory" in chosen.what:
            measure_memory(work, (100, 1000) if chosen.quick else (100, 1000, 10_000))


if __name__ == "__main__":
    main()
