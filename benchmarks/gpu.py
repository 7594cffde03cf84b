"""The GPU against the processor of the same machine: a day annotated, the network alone, and a step of training."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.end_to_end import median_run, run_command
from benchmarks.forms import forms
from benchmarks.recordings import make_recording
from benchmarks.rivals import N_BINS, N_NODES, N_SECONDS
from benchmarks.tables import Rows, Tables, seconds_of
from restcli.detect.backends import engine_on
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.io.registry import open_recording
from restcli.nn.network import Lanes
from restcli.nn.weights import load_weights
from restcli.train.loop import adjacency_of, batch_loss, build_network
from restcli.train.sampler import Batch
from restcli.train.settings import TrainSettings

_DEVICES = ("cpu", "cuda")
_LANES = (1, 24, 240)
_LANE_SECONDS = 480  # the longest lane of a day, with the seconds that let the state forget
_STEPS = 5
_BULK = 256  # windows at once


def measure(options: argparse.Namespace) -> Tables:
    """Measure all three on both devices; without a GPU the table says so."""
    if not torch.cuda.is_available():
        return {"GPU": [{"what": "all", "result": "not run here: no GPU"}]}
    return {
        "command to tables": _commands(options),
        "same results": _same(options),
        f"the network alone, {_LANE_SECONDS} s in lanes side by side": _network(options.repeats),
        f"windows of {N_SECONDS} s on the GPU, torch": _windows(options.repeats),
        "a step of training": _training(options.repeats),
    }


def _commands(options: argparse.Namespace) -> Rows:
    rows: Rows = []
    for hours in sorted(float(text) for text in options.hours.split(",")):
        path = make_recording(options.folder, hours)
        runs = [[run_command(path, device=device) for device in _DEVICES] for _ in range(options.repeats)]
        cpu, cuda = (median_run(list(same)) for same in zip(*runs, strict=True))
        for one in (cpu, cuda):
            rows.append(
                {
                    "hours": hours,
                    "device": one["device"],
                    "command to tables, s": one["command"],
                    "start-up of the network, s": one["stages"]["weights"],
                    "stage network, s": one["stages"]["network"],
                    "processor s": one["cpu"],
                    "peak memory, MB": round(one["peak_mb"]),
                    "speed-up over CPU": cpu["command"] / one["command"],
                }
            )
    return rows


def _same(options: argparse.Namespace) -> Rows:
    """Compare scores and events of the shortest recording; every reader and all spectra are the processor's."""
    path = make_recording(options.folder, min(float(text) for text in options.hours.split(",")))
    rows: Rows = []
    for name in ("rest-default", "rest-paper"):
        found = [
            Detector(load_weights(name), device).annotate(open_recording(path), Settings(weights=name))
            for device in _DEVICES
        ]
        scores = [result.scores.probability for result in found]
        spans = [[(event.onset, event.stop, event.label) for event in result.events] for result in found]
        farthest = float(np.nanmax(np.abs(scores[1] - scores[0])))
        rows.append(
            {
                "weights": name,
                "largest score difference": f"{farthest:.1e}",
                "events": len(spans[0]),
                "same events": "yes" if spans[0] == spans[1] else "no",
            }
        )
    return rows


def _network(repeats: int) -> Rows:
    weights, rows = load_weights("rest-default"), []
    rng = np.random.default_rng(0)
    for n_lanes in _LANES:
        times = {}
        for device in _DEVICES:
            engine = engine_on(weights, device)
            shape = (_LANE_SECONDS, len(weights.nodes), n_lanes)
            projected = rng.standard_normal((*shape, engine.network.hidden), dtype=np.float32)
            lanes = Lanes(projected, np.ones(shape, np.float32), np.zeros(n_lanes, np.intp))
            times[device] = seconds_of(lambda e=engine, x=lanes: e.scan(x), repeats=repeats)
        rows.append(
            {"lanes": n_lanes, "cpu, one thread, s": times["cpu"], "cuda, s": times["cuda"]}
            | {"CPU / GPU": times["cpu"] / times["cuda"]}
        )
    return rows


@torch.inference_mode()
def _windows(repeats: int) -> Rows:
    x = torch.randn(_BULK, N_SECONDS, N_NODES, N_BINS, device="cuda")
    rows: Rows = []
    for name, form in forms().items():
        network = form.window.to("cuda")

        def run(windows: torch.Tensor, network: torch.nn.Module = network) -> None:
            network(windows)
            torch.cuda.synchronize()

        alone, bulk = (seconds_of(lambda part=part: run(part), repeats=10 * repeats) for part in (x[:1], x))
        rows.append({"network": name, "batch 1, ms": 1000 * alone, "bulk, ms/window": 1000 * bulk / len(x)})
    return rows


def _training(repeats: int) -> Rows:
    rows: Rows = []
    for batch in (TrainSettings().batch, 16 * TrainSettings().batch):
        times = {device: _step(TrainSettings(device=device, batch=batch), repeats) for device in _DEVICES}
        rows.append(
            {
                "chunks": batch,
                "cpu, s": times["cpu"],
                "cuda, s": times["cuda"],
                "CPU / GPU": times["cpu"] / times["cuda"],
            }
        )
    return rows


def _step(settings: TrainSettings, repeats: int) -> float:
    """Return the median seconds of a step of the optimizer on drawn chunks."""
    drawn = torch.Generator().manual_seed(0)
    shape = (settings.batch, settings.chunk, len(settings.nodes))
    batch = Batch(
        torch.randn(*shape, settings.features.n_features, generator=drawn),
        torch.ones(*shape),
        torch.randint(0, 2, shape[:2], generator=drawn),
    ).to(torch.device(settings.device))
    network, adjacency = build_network(settings).to(settings.device), adjacency_of(settings)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate)
    generator = torch.Generator(device=settings.device).manual_seed(0)

    def step() -> None:
        optimizer.zero_grad()
        batch_loss(network, batch, adjacency, settings, generator).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        _wait(settings.device)

    return seconds_of(step, repeats=_STEPS * repeats)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
