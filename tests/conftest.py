"""Fixtures shared by all tests: the real recordings when they are beside the project."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import pytest
from hypothesis import settings

mpl.use("agg")
# The same inputs in every run; `make fuzz` looks for new ones.
settings.register_profile("same each time", derandomize=True, database=None)
settings.load_profile("same each time")
# Loaded by workers alone: looking for doctests in it would let the faults into this process, and from it everywhere.
collect_ignore = ["batch_faults.py"]
_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_eeg() -> Path:
    """Return the folder of real recordings, or skip."""
    folder = Path(os.environ.get("RESTCLI_SHARED_EEG", _ROOT.parent / "shared" / "eeg"))
    if not (folder / "recordings.csv").exists():
        pytest.skip("the real recordings (../shared/eeg) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def real_recordings(shared_eeg: Path) -> list[Path]:
    """Return the real recordings that are not there for their oddities."""
    return sorted(path for path in shared_eeg.rglob("*.edf") if "edf_quirks" not in path.parts)


@pytest.fixture(scope="session")
def example() -> Path:
    """Return the shipped excerpt with three absences."""
    return _ROOT / "examples" / "absence.edf"


@pytest.fixture(scope="session")
def toy_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a weights file with random parameters: whole in form, useless in substance."""
    import torch

    from restcli.nn.baselines import BandPowerBaseline
    from restcli.nn.config import RestConfig
    from restcli.nn.golden import golden_logits
    from restcli.nn.rest import Rest
    from restcli.nn.weights import Weights, save_weights
    from restcli.signal.features import FeatureConfig
    from restcli.signal.montage import DOUBLE_BANANA

    config = RestConfig(n_features=42, n_types=2)
    torch.manual_seed(0)
    tensors = {key: value.detach().numpy().copy() for key, value in Rest(config).state_dict().items()}
    weights = Weights(
        "toy",
        config,
        FeatureConfig(),
        DOUBLE_BANANA,
        tensors,
        types=("sz_foc", "sz_gen"),
        provenance={"data": "none"},
        baseline=BandPowerBaseline((0.0,) * 10, (1.0,) * 10, (0.25,) * 10, -1.5),
    )
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    save_weights(replace(weights, golden=golden_logits(weights)), path)
    return path
