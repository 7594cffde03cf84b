"""The house keeps its floors: imports go downward only, and heavy libraries live where ARCHITECTURE.md says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = sorted(path for path in (ROOT / "restcli").glob("*.py") if path.stem != "__init__")
HEAVY = {
    "torch": {"model", "kernels", "device", "detect", "stream", "job", "operating", "train", "type_readout"},
    "triton": {"kernels"},
    "torch_geometric": {"train"},
    "typer": {"cli", "cli_batch", "cli_learn"},
    "rich": {"cli", "cli_batch", "cli_learn", "terminal"},
    "matplotlib": {"plots", "sim_plots"},
    "dask": {"batch", "workers"},
    "distributed": {"batch", "workers"},
    "mne": {"recording"},
    "sklearn": {"floors", "scoring", "sim_realism"},
    "timescoring": {"scoring"},
    "pandas": {"index"},
    "pyarrow": {"index"},
}


def _levels() -> dict[str, int]:
    """Read the table of ARCHITECTURE.md."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return {room: int(level) for level, room in re.findall(r"^\| (\d+) \| ([a-z_]+) \|", text, flags=re.MULTILINE)}


def _imports(path: Path) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = tuple(node.module.split("."))
            found += [(*module, alias.name) if module == ("restcli",) else module for alias in node.names]
    return found


def test_every_room_stands_in_the_table() -> None:
    assert {path.stem for path in ROOMS} == set(_levels())


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_imports_go_downward(path: Path) -> None:
    levels = _levels()
    for name in _imports(path):
        if name[0] == "restcli" and len(name) > 1 and name[1] in levels:
            assert levels[name[1]] < levels[path.stem] or name[1] == path.stem, f"{path.stem} imports {name[1]}"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    for name in _imports(path):
        if name[0] in HEAVY:
            assert path.stem in HEAVY[name[0]], f"{path.stem} imports {name[0]}"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_every_room_says_what_it_knows(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring and docstring.splitlines()[0].endswith(".")


def test_no_pickle_and_no_network() -> None:
    for path in ROOMS:
        for name in _imports(path):
            assert name[0] not in {"pickle", "joblib", "requests", "http"}, f"{path.stem} imports {name[0]}"
            assert name[:2] != ("urllib", "request"), f"{path.stem} reaches for the network"
