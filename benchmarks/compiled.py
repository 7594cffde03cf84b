"""The exported C, compiled for this machine and for a Cortex-M4F that qemu runs, fed with seconds of EEG."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.seconds import Seconds
from restcli.export.c import c_files
from restcli.nn.weights import Weights
from restcli.signal.features import REFERENCE_RATE

_BOARD = Path(__file__).parent / "board"
_WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wdouble-promotion")
_SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_CORTEX = ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-O2", "-fno-math-errno")
_LINKED = ("-nostartfiles", "--specs=nano.specs", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
_TICK = 40  # instructions: SysTick runs at 25 MHz of a clock on which each instruction takes a nanosecond
BOARD_TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")


@dataclass(frozen=True, eq=False)
class Answers:
    """What the compiled network said after each second."""

    verdict: NDArray[np.int32]  # (T,)
    probability: NDArray[np.float32]  # (T,), NaN unless scored
    logit: NDArray[np.float32]  # (T, N), NaN where a node was left out
    instructions: NDArray[np.int64]  # (T,), 0 on a host
    stack: int  # bytes; 0 on a host


@dataclass(frozen=True)
class Sizes:
    """Bytes of an image, from its map."""

    flash: int
    static: int  # RAM without the stack


def missing_tools(names: Sequence[str]) -> str:
    """Name the programs that are not installed; empty when all are."""
    return ", ".join(name for name in names if shutil.which(name) is None)


def write_sources(weights: Weights, folder: Path, *, int8: bool = False) -> None:
    """Write the exported C into a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in c_files(weights, int8=int8).items():
        (folder / name).write_text(text, encoding="utf-8")


def run_here(folder: Path, seconds: Seconds) -> Answers:
    """Compile for this machine, with sanitizers, and feed it."""
    program = folder / "host"
    if not program.exists():
        sources = (folder / "rest.c", _BOARD / "main.c")
        _run(["gcc", *_WARNINGS, *_SANITIZERS, f"-I{folder}", *map(str, sources), "-lm", "-o", str(program)], folder)
    return _answers(_run([str(program)], folder, given=_records(seconds)), seconds)


def run_on_board(folder: Path, seconds: Seconds) -> tuple[Answers, Sizes]:
    """Compile for a Cortex-M4F and feed it in qemu, which counts instructions."""
    image, layout = folder / "board.elf", folder / "board.map"
    sources = (folder / "rest.c", _BOARD / "main.c", _BOARD / "start.c")
    linked = (*_LINKED, f"-T{_BOARD / 'board.ld'}", f"-Wl,-Map={layout}")
    _run(
        [
            "arm-none-eabi-gcc",
            *_CORTEX,
            *_WARNINGS,
            *linked,
            f"-I{folder}",
            *map(str, sources),
            "-lm",
            "-o",
            str(image),
        ],
        folder,
    )
    (folder / "in.bin").write_bytes(_records(seconds))
    machine = ("-M", "mps2-an386", "-display", "none", "-icount", "shift=0", "-monitor", "none", "-serial", "none")
    _run(["qemu-system-arm", *machine, "-semihosting", "-kernel", str(image)], folder)
    return _answers((folder / "out.bin").read_bytes(), seconds), _sizes(layout.read_text(encoding="utf-8"))


def _run(command: Sequence[str], folder: Path, *, given: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-3000:]}")
    return done.stdout


def _records(seconds: Seconds) -> bytes:
    n_nodes = seconds.good.shape[1]
    bits = (1 << np.arange(n_nodes)).astype(np.uint32)
    kind = np.dtype([("head", "<u4", 3), ("microvolts", "<f4", (n_nodes, REFERENCE_RATE))])
    records = np.zeros(len(seconds.good), dtype=kind)
    masks = (seconds.begins, seconds.good @ bits, seconds.open @ bits)
    records["head"] = np.stack([mask.astype(np.uint32) for mask in masks], axis=1)
    records["microvolts"] = seconds.microvolts
    return records.tobytes()


def _answers(found: bytes, seconds: Seconds) -> Answers:
    n_seconds, n_nodes = seconds.good.shape
    kind = np.dtype([("verdict", "<i4"), ("ticks", "<u4"), ("probability", "<f4"), ("logit", "<f4", n_nodes)])
    if len(found) != n_seconds * kind.itemsize + 4:
        raise RuntimeError(f"{len(found)} bytes came back of {n_seconds} seconds")
    table = np.frombuffer(found[:-4], dtype=kind)
    stack = int.from_bytes(found[-4:], "little")
    instructions = table["ticks"].astype(np.int64) * _TICK
    return Answers(table["verdict"], table["probability"], table["logit"], instructions, stack)


def _sizes(layout: str) -> Sizes:
    """Add up the sections of a linker map."""
    found = re.findall(r"^(\.[\w.]+)\s+0x[0-9a-f]+\s+(0x[0-9a-f]+)", layout, flags=re.MULTILINE)
    size = {name: int(value, 16) for name, value in found if name in (".text", ".ARM.exidx", ".data", ".bss")}
    return Sizes(size[".text"] + size.get(".ARM.exidx", 0) + size[".data"], size[".data"] + size[".bss"])
