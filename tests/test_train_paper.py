"""The paper's protocol on a small tree like TUSZ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from edf_writer import noise, write_edf
from test_cli import check_refused, restcli

from restcli.nn.config import RestConfig
from restcli.signal.montage import ELECTRODES_19
from restcli.train import paper
from restcli.train.settings import TrainSettings
from restcli.train.sources import build_examples, find_tasks

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
TUSZ = "# version = csv_v1.0.0\n# bname = x\n# duration = 60.00 secs\n# montage_file = x\n#\n"
TABLE = f"{TUSZ}channel,start_time,stop_time,label,confidence\nTERM,{{}},1.0000\n"
LABELS = [f"EEG {name}-REF" for name in ELECTRODES_19]
SETTINGS = TrainSettings(
    features=paper._INPUT, nodes=ELECTRODES_19, config=RestConfig(100, mask_per="entry", rescale=False)
)


def record(folder: Path, name: str, *, seed: int, seizure: bool) -> None:
    """Write a recording as TUSZ has it; its seizure is a rhythm of 5 Hz from 20.5 to 40 s on every other electrode."""
    patient = name[:8]
    path = folder / patient / "s001_2015" / "01_tcp_ar" / f"{name}.edf"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = noise(19, 60, 200, seed=seed)
    if seizure:
        data[::2, 4100:8000] += 80 * np.sin(2 * np.pi * 5 * np.arange(3900) / 200)
    write_edf(path, data, 200, labels=LABELS)
    rows = "20.5000,40.0000,seiz" if seizure else "0.0000,60.0000,bckg"
    path.with_suffix(".csv_bi").write_text(TABLE.format(rows))


@pytest.fixture(scope="module")
def tusz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tree with two recordings of one patient in each set."""
    root = tmp_path_factory.mktemp("tusz") / "edf"
    for number, split in enumerate(("train", "dev", "eval")):
        patient = f"aaaaaaa{number}"
        record(root / split, f"{patient}_s001_t000", seed=2 * number, seizure=True)
        record(root / split, f"{patient}_s001_t001", seed=2 * number + 1, seizure=False)
    return root


def test_windows_are_those_of_the_published_code(tusz: Path, tmp_path: Path) -> None:
    examples = build_examples(find_tasks([str(tusz / "train")], SETTINGS), SETTINGS, tmp_path)
    windows = paper.windows_of(examples, 8)
    # Of the recording with a seizure, those that it touches: 16-24, 24-32, 32-40 s; of the other, all whole ones.
    assert windows.positive.sum() == 3 and (~windows.positive).sum() == 7
    assert [start for (_, start), is_positive in zip(windows.places, windows.positive, strict=True) if is_positive] == [
        16,
        24,
        32,
    ]
    chosen = windows.balanced(np.random.default_rng(0))
    assert windows.positive[chosen].sum() == 3 and len(chosen) == 6


@pytest.mark.parametrize("variant", ["DS", pytest.param("RM", marks=pytest.mark.slow)])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
def test_a_network_learns_what_is_easy(
    tusz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, device: str
) -> None:
    monkeypatch.setattr(paper, "EPOCHS", 60)
    monkeypatch.setattr(paper, "_RATE", 2e-3)
    judge, (train, test) = paper._sides(build_examples(find_tasks([str(tusz)], SETTINGS), SETTINGS, tmp_path))
    config = RestConfig(100, variant=variant, mask_per="entry", rescale=False)
    settings = TrainSettings(features=paper._INPUT, nodes=ELECTRODES_19, config=config, device=device)
    sides = paper.windows_of(train, 4), paper.windows_of(test, 4)
    assert judge == "eval"
    first, again = (paper._trial(*sides, settings) for _ in range(2))
    assert first > 0.95 and (again == first or device == "cuda")  # sums on a GPU have no fixed order


def test_the_command_prints_the_table_beside_the_papers(
    tusz: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "EPOCHS", 1)
    monkeypatch.setattr(paper, "LENGTHS", (4, 14))
    monkeypatch.setattr(paper, "PUBLISHED", {variant: (row[0], row[-1]) for variant, row in paper.PUBLISHED.items()})
    done = restcli("train", "--recipe", "paper", tusz, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "|  | 4 s | 14 s |" and [line.split("|")[1].strip() for line in lines[2:]] == [
        *("REST (DS)", "paper", "REST (RS)", "paper", "REST (RM)", "paper")
    ]
    assert "| paper | 82.4 | 82.0 |" in lines and all(0 <= float(cell) <= 100 for cell in lines[2].split("|")[2:4])
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"paper.md", "cache"}
    assert "evaluated on those of eval" in (tmp_path / "runs" / "paper.md").read_text()


def test_what_the_protocol_needs_is_asked_for(tusz: Path, tmp_path: Path) -> None:
    done = restcli("train", "--recipe", "paper", tusz / "train", "--out", tmp_path)
    check_refused(done, 2, "has no eval or dev folder", "TUSZ as downloaded")
    record(tmp_path / "edf" / "train", "aaaaaaa9_s001_t000", seed=0, seizure=True)
    record(tmp_path / "edf" / "eval", "aaaaaaa9_s002_t000", seed=1, seizure=False)
    check_refused(
        restcli("train", "--recipe", "paper", tmp_path / "edf", "--out", tmp_path), 2, "1 patients are in both"
    )
