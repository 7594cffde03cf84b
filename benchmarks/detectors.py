"""Whole detectors side by side: ``restcli annotate`` against networks of published detectors, for 1 and 24 hours."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.end_to_end import run_command
from benchmarks.recordings import make_recording
from benchmarks.rivals import N_BINS, N_NODES, Dcrnn, SeizureTransformer
from benchmarks.tables import Rows, Tables, seconds_of
from restcli.nn.rest import n_parameters
from restcli.signal.montage import ELECTRODES_19, electrode_graph

# Parameters: of SeizureTransformer's code as published, and of DCRNN as the paper on REST prints them.
PUBLISHED_DETECTORS = {"SeizureTransformer": 37_848_897, "DCRNN": 126_000}
_MEASURED = 600  # seconds of EEG that a rival is measured on; its time is proportional to the length
_HOURS = (1.0, 24.0)
_DCRNN_WINDOW = 12


def measure(options: argparse.Namespace) -> Tables:
    """Time restcli from command to tables, start-up included, and the rivals' networks alone, all on the same cores."""
    ours = {hours: run_command(make_recording(options.folder, hours)) for hours in _HOURS}
    rows: Rows = [
        {
            "detector": "restcli annotate, from command to tables",
            "parameters": ours[1.0]["n_parameters"],
            "published": "",
            "1 h, s": ours[1.0]["command"],
            "24 h, s": ours[24.0]["command"],
            "24 h value": "measured",
        }
    ]
    for name, published, count, hour in _rivals():
        rows.append(
            {
                "detector": name,
                "parameters": count,
                "published": published,
                "1 h, s": hour,
                "24 h, s": 24 * hour,
                "24 h value": f"scaled from {_MEASURED // 60} min",
            }
        )
    for row in rows:
        for length in ("1 h", "24 h"):
            row[f"{length}: relative to restcli"] = row[f"{length}, s"] / rows[0][f"{length}, s"]
    growth = {"24 h / 1 h, start-up included": ours[24.0]["command"] / ours[1.0]["command"]}
    work = {hours: one["cpu"] - one["processor"]["import"] for hours, one in ours.items()}
    growth["24 h / 1 h, processor time without start-up"] = work[24.0] / work[1.0]
    return {
        f"detectors, {torch.get_num_threads()} threads": rows,
        "growth of restcli from 1 h to 24 h": [{"what": what, "ratio": ratio} for what, ratio in growth.items()],
    }


@torch.inference_mode()
def _rivals() -> list[tuple[str, int, int, float]]:
    """Name, published and built parameters, and seconds of network time for an hour of EEG."""
    torch.manual_seed(0)
    transformer = SeizureTransformer().eval()
    n_windows = _MEASURED * transformer.sfreq // transformer.n_samples
    raw = torch.randn(n_windows, N_NODES, transformer.n_samples)
    dcrnn = Dcrnn(torch.from_numpy(electrode_graph(ELECTRODES_19))).eval()
    spectra = torch.randn(_MEASURED, N_NODES, N_BINS)

    def clips(step: int) -> torch.Tensor:
        return spectra.unfold(0, _DCRNN_WINDOW, step).permute(0, 3, 1, 2)  # (B, T, N, F)

    def row(name: str, network: nn.Module, action: Callable[[], Any]) -> tuple[str, int, int, float]:
        begin = time.perf_counter()
        action()
        first = time.perf_counter() - begin
        # What takes long is measured once after the run that warms up, what is short three times.
        taken = seconds_of(action, repeats=1 if first > 3 else 3)
        published = next(count for key, count in PUBLISHED_DETECTORS.items() if name.startswith(key))
        return name, published, n_parameters(network), taken * 3600 / _MEASURED

    def in_parts(network: nn.Module, x: torch.Tensor, size: int) -> Callable[[], Any]:
        return lambda: [network(part) for part in x.split(size)]

    return [
        row("SeizureTransformer, 60-s windows end to end, network alone", transformer, in_parts(transformer, raw, 5)),
        row("DCRNN, 12-s clips, one score per second, network alone", dcrnn, in_parts(dcrnn, clips(1), 128)),
        row("DCRNN, 12-s clips end to end, network alone", dcrnn, in_parts(dcrnn, clips(_DCRNN_WINDOW), 128)),
    ]
