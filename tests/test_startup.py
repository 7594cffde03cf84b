"""Scoring on a CPU loads neither torch nor what only other formats and pictures need: they take longer than scoring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "torch_geometric",
    "matplotlib",
    "pandas",
    "mne",
    "sklearn",
    "distributed",
    "scipy.fft",
    "numpy",
    "numpy.f2py",
)
REPORT = "; print('loaded:', *sorted(set({heavy}) & set(sys.modules)))"


def loaded(code: str, *arguments: str) -> list[str]:
    """Run code in a fresh interpreter; return which of the heavy libraries it has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT.format(heavy=HEAVY), *arguments],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("loaded:").split()


COMMAND = """
import sys
from restcli.cli.app import main
try:
    sys.argv[0] = "restcli"
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def test_what_is_looked_for_is_noticed() -> None:
    assert set(loaded("import sys, pandas, scipy.fft")) >= {"pandas", "scipy.fft", "numpy", "numpy.f2py"}


@pytest.mark.parametrize(
    "call",
    [
        "restcli.annotate(sys.argv[1], device='cpu')",
        "restcli.annotate(sys.argv[1], passes=2, threads=2)",
        "restcli.rescore(restcli.annotate(sys.argv[1]), threshold=0.9)",
        "restcli.Detector(restcli.load_weights('rest-paper')).annotate(restcli.open_recording(sys.argv[1]))",
    ],
)
def test_annotate_in_python(example: Path, call: str) -> None:
    assert loaded(f"import sys, restcli; {call}", str(example)) == ["numpy"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["annotate", "--plot", "none", "--device", "cpu"],
        ["annotate", "--plot", "none", "--passes", "2"],
        ["info"],
    ],
)
def test_command_line(example: Path, tmp_path: Path, arguments: list[str]) -> None:
    command, *options = arguments
    place = ["--out", str(tmp_path)] if command == "annotate" else []
    assert loaded(COMMAND.strip() + "\nNone", command, str(example), *place, *options) == ["numpy"]
    assert bool(list(tmp_path.iterdir())) == (command == "annotate")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["annotate", "--help"], ["info", "--settings"]])
def test_what_reads_no_signal_needs_no_arrays(arguments: list[str]) -> None:
    assert loaded(COMMAND.strip() + "\nNone", *arguments) == []


@pytest.mark.slow
def test_a_gpu_asked_for_brings_torch(example: Path) -> None:
    allowed = "except Exception as error:\n    assert '--device' in str(error)"
    code = f"import sys, restcli\ntry:\n    restcli.annotate(sys.argv[1], device='cuda')\n{allowed}\nNone"
    assert "torch" in loaded(code, str(example))
