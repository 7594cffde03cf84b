"""Imports between packages go down one list, and heavy libraries stay in the packages that ARCHITECTURE.md names."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = (
    *(
        "cli",
        "live",
        "review",
        "archive",
        "train",
        "output",
        "evaluation",
        "simulate",
        "export",
        "detect",
        "marks",
        "nn",
        "io",
        "events",
    ),
    *("signal", "files", "text", "profiling", "errors"),
)
HEAVY = {
    "torch": ("nn.rest", "nn.gpu", "train", "archive.gpu"),
    "torch_geometric": ("train",),
    "typer": ("cli",),
    "rich": ("cli",),
    "matplotlib": ("output.plots",),
    "dask": ("archive",),
    "distributed": ("archive",),
    "mne": ("io", "detect.result"),
    "tornado": ("review",),
    "sklearn": ("nn", "evaluation", "simulate"),
    "timescoring": ("evaluation",),
    "pyarrow": ("archive",),
    "pylsl": ("live",),
    "onnx": ("export",),
}
# Methods of `Result` that users call on it but that are the output package's work; imported when they are called.
UPWARD = {"detect.result": ("output.bundle.", "output.notebook.")}
FORBIDDEN = ("pickle", "joblib", "requests", "http", "urllib.request")
MODULES = sorted(path for path in (ROOT / "restcli").rglob("*.py") if path != ROOT / "restcli" / "__init__.py")


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "restcli").with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, *, on_import: bool = False) -> list[str]:
    """List what a module imports; with `on_import` only what it imports as it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(tree.body if on_import else ast.walk(tree))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [
        f"{node.module}.{alias.name}" for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    ]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_go_down_the_list(path: Path) -> None:
    own = LAYERS.index(_name(path).split(".")[0])
    for name in _imports(path):
        library, _, rest = name.partition(".")
        allowed_up = rest.startswith(UPWARD.get(_name(path), ()))
        if library == "restcli" and rest != "__version__" and not allowed_up:
            assert LAYERS.index(rest.split(".")[0]) >= own, f"{_name(path)} imports {name}"
        allowed = HEAVY.get(library)
        assert not allowed or any(f"{_name(path)}.".startswith(f"{place}.") for place in allowed), name
        assert not name.startswith(FORBIDDEN), f"{_name(path)} imports {name}"


@pytest.mark.parametrize("name", UPWARD)
def test_imports_go_up_only_when_a_method_is_called(name: str) -> None:
    path = ROOT / "restcli" / f"{name.replace('.', '/')}.py"
    assert not [found for found in _imports(path, on_import=True) if found.startswith("restcli.output")]


def test_the_picture_of_the_packages_is_complete() -> None:
    packages = {path.parent.name for path in (ROOT / "restcli").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "restcli").glob("*.py")} - {"__init__"}
    assert packages | modules == set(LAYERS)
    architecture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [name for name in LAYERS if f"`{name}`" not in architecture] == []
