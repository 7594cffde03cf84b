"""Tables as text, the machine in words, and repeated timing."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from restcli import __version__
from restcli.text import markdown_table

Rows = list[dict[str, Any]]
Tables = dict[str, Rows]


def machine() -> dict[str, str]:
    """Describe the machine, the versions and the date, and how busy the machine was before."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "gpu": gpu,
        "load before": f"{os.getloadavg()[0]:.1f} runnable processes" if hasattr(os, "getloadavg") else "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "restcli": f"{__version__} {_commit()}",
    }


def _commit() -> str:
    """Return the commit measured, with a plus when files were changed since."""
    try:
        found = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    wide = any(line.startswith("flags") and "avx512f" in line for line in lines)
    return name + (" (AVX-512)" if wide else "")


def markdown(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table; numbers to three figures."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(column, "")) for column in columns] for row in rows]
    return f"### {title}\n\n{markdown_table(columns, cells)}\n"


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds_of(
    action: Callable[[], object], *, repeats: int = 5, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of an action after one warm-up run."""
    action()
    found = []
    for _ in range(repeats):
        begin = clock()
        action()
        found.append(clock() - begin)
    return statistics.median(found)
