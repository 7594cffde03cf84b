"""Annotate one recording and print the costs: ``python -m benchmarks.child FILE PLOT DEVICE``."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from restcli.profiling import StageClock


def _peak() -> int:
    """Return the peak memory of this process, KiB; getrusage would include its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


class TwoClocks(StageClock):
    """Wall time by stage, and the processor time of the thread that worked."""

    def __init__(self) -> None:
        super().__init__()
        self.processor = StageClock()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time spent in the block to `stage`, on both clocks."""
        begin = time.thread_time()
        try:
            with super().__call__(stage):
                yield
        finally:
            spent = time.thread_time() - begin
            with self._lock:
                self.processor.seconds[stage] = self.processor.seconds.get(stage, 0.0) + spent


def main(path: str, plot: str, device: str) -> None:
    """Do what ``restcli annotate --plot PLOT --device DEVICE`` does, stage by stage."""
    clock = TwoClocks()
    with clock("import"):
        from restcli.detect.detector import Detector
        from restcli.detect.settings import Settings
        from restcli.io.registry import open_recording
        from restcli.nn.weights import load_weights
        from restcli.output.bundle import Bundle
        from restcli.output.pictures import expect_pictures
    with clock("open"):
        recording = open_recording(path)
    with clock("weights"):
        detector = Detector(load_weights("rest-default"), device)
    wait_for_plots = expect_pictures(plot)
    result = detector.annotate(recording, Settings(), clock=clock)
    wait_for_plots()
    with tempfile.TemporaryDirectory() as folder:
        written = Bundle(Path(folder), "result", plot=plot).write(result, clock=clock)
        cpu, peak = time.process_time(), _peak()
    found = {
        "stages": clock.seconds,
        "processor": clock.processor.seconds,
        "cpu": cpu,
        "peak_mb": peak / 1024,
        "device": detector.engine.device,
        "n_parameters": result.weights.n_parameters,
        "duration": recording.duration,
        "events": len(result.events),
        "pictures": sum(path.suffix == f".{plot}" for path in written.files),
        "scored": result.scores.scored,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
