"""What REST needs on a small device, beside the rivals of its paper: weights, flash, RAM, instructions, latency."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.compiled import BOARD_TOOLS, missing_tools, run_here, run_on_board, write_sources
from benchmarks.forms import Form, forms
from benchmarks.network import PUBLISHED, side_by_side
from benchmarks.rivals import N_BINS, N_NODES, N_SECONDS
from benchmarks.seconds import Seconds, events_of, seconds_of_recording
from benchmarks.tables import Rows, Tables
from restcli.errors import RecordingError
from restcli.export.c import c_files
from restcli.io.registry import open_recording
from restcli.nn.rest import n_parameters
from restcli.nn.weights import Weights, list_weights, load_weights

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLE = _ROOT / "examples" / "absence.edf"
_GOERTZEL = Path(__file__).parent / "board" / "goertzel.c"
_CLOCK = 150e6  # Hz, of a usual Cortex-M4F
_FIT = ("Transformer", "LSTM", "GRU", "DCRNN", "REST DS")  # those whose weights a microcontroller's flash may hold


def measure(options: argparse.Namespace) -> Tables:
    """Compile and run the shipped weights on an emulated Cortex-M4F, and compare forms and recordings."""
    missing = missing_tools((*BOARD_TOOLS, "gcc"))
    if missing:
        return {"device": [{"network": "all", "result": f"not run here: {missing} not installed"}]}
    with tempfile.TemporaryDirectory() as folder:
        return {
            "device: Cortex-M4F, one second of EEG": [*_boards(Path(folder)), *_rivals(options.repeats)],
            "spectrum of 18 nodes, two algorithms": _transforms(Path(folder)),
            "int8 against float32, by recording": _by_recording(Path(folder), options.recordings),
        }


def _boards(folder: Path) -> Rows:
    """Run each of the shipped weights in both forms on the board; sizes are those of the whole image."""
    rows: Rows = []
    for name in list_weights():
        weights = load_weights(name)
        seconds = seconds_of_recording(open_recording(_EXAMPLE), weights)
        for int8 in (False, True):
            place = folder / f"{name}-{int8}"
            write_sources(weights, place, int8=int8)
            found, sizes = run_on_board(place, seconds)
            off = float(np.nanmax(np.abs(found.probability - seconds.probability)))
            rows.append(
                {
                    "network": f"{name}, {'int8' if int8 else 'float32'}",
                    "parameters": weights.n_parameters,
                    "weights, kB": _weight_bytes(weights, int8=int8) / 1000,
                    "flash, kB": sizes.flash / 1000,
                    "RAM, kB": (sizes.static + found.stack) / 1000,
                    "of which stack, kB": found.stack / 1000,
                    "million instructions": found.instructions.max() / 1e6,
                    "% of 150 MHz": 100 * found.instructions.max() / _CLOCK,
                    "max difference from restcli": off,
                }
            )
    return rows


def _weight_bytes(weights: Weights, *, int8: bool) -> int:
    """Count the bytes of all parameters that the probability needs, with the scales of rows."""
    used = {key: value for key, value in weights.tensors.items() if not key.startswith("fc_type")}
    if not int8:
        return sum(4 * value.size for value in used.values())
    width = weights.config.hidden * weights.config.members
    matrices = [key for key in used if key.endswith("weight") and key != "fc.weight"]
    return sum(value.size if key in matrices else 4 * value.size for key, value in used.items()) + (
        4 * width * len(matrices)
    )


def _rivals(repeats: int) -> Rows:
    """Compute the least that networks of the paper's sizes need; only their latency on this machine is measured."""
    rows: Rows = []
    built = {name: form for name, form in forms().items() if name in _FIT}
    latency = side_by_side({name: form.run_window(1) for name, form in built.items()}, repeats)
    for name, form in built.items():
        count, inputs = n_parameters(form.network), 4 * N_NODES * N_BINS
        if form.second is None:
            inputs *= N_SECONDS
        rows.append(
            {
                "network": f"{name}, as in the paper",
                "parameters": count,
                "weights, kB": count * 4 / 1000,
                "flash, kB": f"> {count * 4 / 1000:,.0f}, int8 > {count / 1000:,.0f}",
                "RAM, kB": f"> {inputs / 1000:.0f} (inputs)",
                "million instructions": f"> {least_multiply_adds(form) / 1e6:.2g} (multiply-adds)",
                "paper's memory, kB": PUBLISHED[name][1] * 1000,
                f"window of {N_SECONDS} s on this computer, ms": 1000 * latency[name],
            }
        )
    return rows


@torch.no_grad()
def least_multiply_adds(form: Form) -> int:
    """Count the products with weights in one more second, or in a window where there is no state to carry."""
    found = 0

    def count(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
        nonlocal found
        if isinstance(module, nn.Linear):
            found += module.weight.numel() * given[0].numel() // module.in_features
        elif isinstance(module, nn.MultiheadAttention):
            n_tokens = given[0].numel() // module.embed_dim
            found += n_tokens * (module.in_proj_weight.numel() + module.out_proj.weight.numel())
        elif isinstance(module, nn.RNNBase):
            n_steps = given[0].numel() // module.input_size
            found += n_steps * sum(value.numel() for key, value in module.named_parameters() if "weight" in key)

    network = form.second or form.window
    hooks = [module.register_forward_hook(count) for module in network.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it passes by the modules
    try:
        if form.second is None:
            network(torch.zeros(1, N_SECONDS, N_NODES, N_BINS))
        else:
            network(torch.zeros(1, N_NODES, N_BINS), *form.state)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for hook in hooks:
            hook.remove()
    return found


def _transforms(folder: Path) -> Rows:
    """Replace the transform in the exported C by Goertzel's recursion and count instructions again."""
    weights = load_weights("rest-default")
    whole = seconds_of_recording(open_recording(_EXAMPLE), weights)
    seconds = Seconds(*(getattr(whole, name)[:30] for name in Seconds.__dataclass_fields__))
    own = c_files(weights)["rest.c"]
    pattern = r"static void spectrum_of\(.*?\n}\n"
    rows: Rows = []
    for name, text in (
        ("transform of 5 x 5 x 4 points", own),
        ("Goertzel's recursion", re.sub(pattern, _GOERTZEL.read_text(encoding="utf-8"), own, flags=re.DOTALL)),
        ("none", re.sub(pattern, _NO_SPECTRUM, own, flags=re.DOTALL)),
    ):
        place = folder / f"transform-{len(rows)}"
        write_sources(weights, place)
        (place / "rest.c").write_text(_used(text), encoding="utf-8")
        found, sizes = run_on_board(place, seconds)
        off = float(np.nanmax(np.abs(found.probability - seconds.probability)))
        instructions = int(found.instructions.max())
        rows.append({"spectrum": name, "million instructions": instructions / 1e6, "flash, kB": sizes.flash / 1000})
        rows[-1]["max difference from restcli"] = off if name != "none" else ""
    return rows


_NO_SPECTRUM = """\
static void spectrum_of(const float *samples, float (*transform)[REST_RATE], float *power)
{
    for (int k = LOWEST; k <= HIGHEST; k++) {
        power[k] = samples[k] + transform[0][k];
    }
}
"""


def _used(text: str) -> str:
    """Let helpers of a transform that was replaced stay unused."""
    for name in ("twiddled", "pass_of_five", "pass_of_four"):
        text = text.replace(f"static void {name}(", f"__attribute__((unused)) static void {name}(")
    return text


def _by_recording(folder: Path, recordings: Path | None) -> Rows:
    """Run both forms over recordings on this machine; `recordings` is a folder with a table of them."""
    rows: Rows = []
    weights = load_weights("rest-default")
    for int8 in (False, True):
        write_sources(weights, folder / f"here-{int8}", int8=int8)
    for path in _paths(recordings):
        try:
            seconds = seconds_of_recording(open_recording(path), weights)
        except RecordingError:
            continue
        expected = events_of(seconds.probability, weights)
        row: dict[str, Any] = {"recording": path.stem, "s": len(seconds.good), "events": len(expected)}
        for int8, form in ((False, "float32"), (True, "int8")):
            found = run_here(folder / f"here-{int8}", seconds).probability
            off = np.abs(found - seconds.probability)
            row[f"{form}: max difference"] = float(np.nanmax(off)) if np.isfinite(off).any() else ""
            row[f"{form}: same seconds scored"] = bool((np.isnan(found) == np.isnan(seconds.probability)).all())
            row[f"{form}: events"] = _compared(expected, events_of(found, weights))
        rows.append(row)
    return rows


def _paths(recordings: Path | None) -> Iterator[Path]:
    yield _EXAMPLE
    if recordings is not None:
        for group in ("absence", "chbmit", "iiic", "eegmat"):
            yield from sorted((recordings / group).glob("*.edf"))


def _compared(expected: list[tuple[float, float]], found: list[tuple[float, float]]) -> str:
    if expected == found:
        return "same"
    if len(expected) != len(found):
        return f"{len(found)} in place of {len(expected)}"
    return f"moved by up to {np.abs(np.subtract(expected, found)).max():g} s"
