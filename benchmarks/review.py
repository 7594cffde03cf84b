"""How soon a page of EEG is on the screen, in a browser, and what memory the server takes."""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.recordings import make_recording
from benchmarks.tables import Rows, Tables

if TYPE_CHECKING:
    from playwright.sync_api import Page

_CHANNELS = 32
_TURNS = 40  # pages turned one after the other, and as many places gone to
_COMMAND = [sys.executable, "-c", "from restcli.cli.app import main; main()"]
# The time from a key to the page on the screen, which the page itself measures, in ms; None while another one is shown.
_SHOWN = """start => { const { dataset } = document.querySelector('#traces');
return Math.abs(dataset.start - start) < 0.01 ? Number(dataset.ms) : null; }"""


def measure(options: argparse.Namespace) -> Tables:
    """Read the longest recording as a person does: page by page, and from place to place."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        print("review: left out, Chromium is not installed (apt-get install chromium)")
        return {}
    hours = max(float(text) for text in options.hours.split(","))
    path = make_recording(options.folder, hours, n_channels=_CHANNELS)
    out = options.folder / "review"
    subprocess.run([*_COMMAND, "annotate", str(path), "--out", str(out), "--plot", "none"], check=True)
    rows: Rows = [{"hours": hours, "channels": _CHANNELS} | found for found in _read(path, out, binary)]
    return {"review: milliseconds from key press to page on screen": rows}


def _read(path: Path, out: Path, binary: str) -> Iterator[dict[str, Any]]:
    from playwright.sync_api import sync_playwright

    with _serving(path, out) as (address, pid), sync_playwright() as control:
        browser = control.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        begin = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#traces[data-shown]")
        first = time.perf_counter() - begin
        for while_read in (True, False):  # the strip of the whole recording
            if not while_read:
                page.wait_for_selector("#strip[aria-busy='false']", timeout=600_000)
            strip = time.perf_counter() - begin
            turned, gone = _turn(page, 0 if while_read else 3), _go(page, seed=while_read)
            yield {
                "strip": "loading" if while_read else f"loaded after {strip:.1f} s",
                "first page, s": first,
                "next page, median": statistics.median(turned),
                "next page, 95th percentile": statistics.quantiles(turned, n=20)[-1],
                "another place, median": statistics.median(gone),
                "another place, 95th percentile": statistics.quantiles(gone, n=20)[-1],
                "server, peak MB": _peak(pid) / 1024,
            }
        browser.close()


@contextmanager
def _serving(path: Path, out: Path) -> Iterator[tuple[str, int]]:
    command = [*_COMMAND, "review", str(path), "--out", str(out), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip(), server.pid
        finally:
            server.terminate()


def _turn(page: Page, start: int) -> list[float]:
    """Turn page after page at a quick reader's pace: neighbours are read meanwhile, by halves of a page."""
    _jump(page, start)
    found = []
    for turn in range(1, _TURNS + 1):
        page.wait_for_timeout(300)
        page.keyboard.press("PageDown")
        found.append(page.wait_for_function(_SHOWN, arg=start + 10 * turn).json_value())
    return found


def _go(page: Page, *, seed: int) -> list[float]:
    """Go to places that were not read before, a second at each."""
    rng, found = random.Random(seed), []
    duration = int(page.get_attribute("#strip", "aria-valuemax") or 0)
    for _ in range(_TURNS):
        page.wait_for_timeout(1000)
        found.append(_jump(page, rng.randrange(0, duration - 10)))
    return found


def _jump(page: Page, start: int) -> float:
    page.keyboard.press("g")
    page.fill("#goto-elapsed", str(start))
    page.keyboard.press("Enter")
    return float(page.wait_for_function(_SHOWN, arg=start).json_value())


def _peak(pid: int) -> int:
    """Return the peak memory of a process, KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
