"""What is shipped: weights inside the wheel, in a checkout and in an editable install; README true to the commands."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import restcli
from restcli.files import shipped
from restcli.nn.weights import DEFAULT_NAME

ROOT = Path(__file__).resolve().parent.parent


def test_public_names_are_listed_documented_and_lazy() -> None:
    assert set(dir(restcli)) == set(restcli.__all__) == {*restcli._MODULES, "__version__"}
    for name in restcli._MODULES:
        noun = getattr(restcli, name)
        assert noun.__name__ == name
        assert f"restcli.{restcli._MODULES[name]}" == noun.__module__ or name == "open_recording"
        assert re.search(r"^ *(Parameters|Returns)\n *-{7}", noun.__doc__, flags=re.MULTILINE), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = restcli.nothing
    code = "import sys, restcli; sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'mne', 'pandas')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_shows_the_public_names() -> None:
    import pydoc

    text = pydoc.render_doc(restcli, renderer=pydoc.plaintext)
    for name in restcli._MODULES:
        assert re.search(rf"\b{name}\(", text), name


def test_weights_are_found_beside_the_checkout() -> None:
    assert shipped("models") == Path(restcli.__file__).parent.parent / "models"
    assert (shipped("models") / f"{DEFAULT_NAME}.safetensors").is_file()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheel and the editable wheel."""
    pytest.importorskip("hatchling")
    code = (
        "import sys, os; from hatchling.builders.wheel import WheelBuilder;"
        "print(*WheelBuilder(os.getcwd()).build(directory=sys.argv[1], versions=[sys.argv[2]]))"
    )
    found = {}
    for kind in ("standard", "editable"):
        out = tmp_path_factory.mktemp(kind)
        subprocess.run([sys.executable, "-c", code, str(out), kind], cwd=ROOT, check=True, capture_output=True)
        found[kind] = next(out.glob("*.whl"))
    return found


def test_wheel_holds_package_and_weights_and_they_are_found_there(wheels: dict[str, Path], tmp_path: Path) -> None:
    assert wheels["standard"].name.startswith("rest_eeg-")
    with zipfile.ZipFile(wheels["standard"]) as archive:
        names = set(archive.namelist())
        assert {f"restcli/review/page/{name}" for name in ("index.html", "main.js", "style.css")} <= names
        assert f"restcli/models/{DEFAULT_NAME}.safetensors" in names
        assert f"restcli/models/{DEFAULT_NAME}.md" in names
        assert {f"restcli/examples/{name}" for name in ("absence.edf", "absence_expert.tsv")} <= names
        assert not any(name.startswith(("tests/", "examples/")) for name in names)
        archive.extractall(tmp_path)
    code = (
        "from restcli.files import shipped; from restcli.nn.weights import load_weights;"
        "print(shipped('models')); load_weights(); print(shipped('examples') / 'absence.edf')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    places = [tmp_path / "restcli" / "models", tmp_path / "restcli" / "examples" / "absence.edf"]
    assert done.stdout.splitlines() == [str(place) for place in places]


def test_editable_install_points_at_the_checkout(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["editable"]) as archive:
        pointer = next(name for name in archive.namelist() if name.endswith(".pth"))
        assert Path(archive.read(pointer).decode().strip()) == ROOT


def test_constraints_pin_every_dependency() -> None:
    pinned = {
        re.split(r"==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [name for group in project["optional-dependencies"].values() for name in group]
    for requirement in wanted:
        name = re.split(r"[<>=\[]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, name


def test_lock_file_pins_what_constraints_pin_with_hashes() -> None:
    pinned = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)

    def read(name: str) -> dict[str, str]:
        found = pinned.findall((ROOT / name).read_text())
        return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}

    constraints, lock = read("constraints.txt"), read("requirements.lock")
    assert {name: lock[name] for name in lock.keys() & constraints.keys()} == {
        name: constraints[name] for name in lock.keys() & constraints.keys()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        assert re.sub(r"[-_.]+", "-", re.split(r"[<>=\[]", requirement)[0]).lower() in lock
    entries = re.split(r"^(?=[\w.-]+==)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_page_of_licences_says_what_the_packages_say() -> None:
    spec = spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    assert spec is not None and spec.loader is not None
    licences = module_from_spec(spec)
    spec.loader.exec_module(licences)
    known = licences.known_rows()
    pinned = licences.pinned("constraints.txt")
    assert known.keys() == pinned.keys() | licences.pinned("requirements.lock").keys()
    assert not [name for name, licence in known.items() if licence == "not known"]
    here = {name: version(name) for name in pinned if licences.licence_of(name) and name not in licences.BY_HAND}
    compared = [name for name in pinned if here.get(name) == pinned[name]]
    assert len(compared) > 40
    assert {name: known[name] for name in compared} == {name: licences.licence_of(name) for name in compared}


def test_wheel_is_reproducible_and_runs_nothing_when_it_is_installed(wheels: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False).stdout.decode()
    if not listed:
        pytest.skip("not a checkout")
    for name in filter(None, listed.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())  # other times and permissions
    code = "from hatchling.builders.wheel import WheelBuilder; print(*WheelBuilder('.').build(versions=['standard']))"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    again = next((copy / "dist").glob("*.whl"))
    assert again.read_bytes() == wheels["standard"].read_bytes()
    with zipfile.ZipFile(again) as archive:
        names = archive.namelist()
        assert not [name for name in names if name.endswith((".pth", ".so", ".sh", ".exe")) or ".data/" in name]
        assert not [name for name in names if Path(name).name in ("setup.py", "make.py", "Makefile")]
        points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert points.split() == ["[console_scripts]", "restcli", "=", "restcli.cli.app:main"]


def test_readme_commands_exist() -> None:
    from typer.main import get_command

    from restcli.cli.app import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"^ +restcli ([a-z]+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE))
    assert named
    assert named <= commands, named - commands
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^ +make ([a-z]+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)) <= targets


def test_readme_python_runs() -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert code is not None
    done = subprocess.run([sys.executable, "-c", code[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    onset, fraction = float(done.stdout.split()[0]), float(done.stdout.split()[-1])
    assert 45 < onset < 55 and fraction > 0.9


def test_readme_says_once_that_restcli_is_not_a_medical_device() -> None:
    assert (ROOT / "README.md").read_text().count("medical device") == 1


def test_nothing_reaches_for_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was tried: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert restcli.annotate(ROOT / "examples" / "absence.edf").scores.n_scored > 0


def test_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "annotate.py")], capture_output=True, text=True, check=True
    )
    assert "of 180 s scored with rest-default" in done.stdout


@pytest.mark.slow
def test_notebook_runs() -> None:
    notebook = json.loads((ROOT / "examples" / "annotate.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5 and not any(cell.get("outputs") for cell in notebook["cells"])
    code = "\n".join([*cells, "assert len(result.events) == 3 and len(raw.annotations) > 3"])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT / "examples", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "absence_events.tsv" in done.stdout and "absence_run.json" in done.stdout


def test_shipped_weights_find_the_three_absences_of_the_example_and_nothing_else() -> None:
    from restcli.marks.registry import read_events

    expert = list(read_events(ROOT / "examples" / "absence_expert.tsv"))
    found = list(restcli.annotate(ROOT / "examples" / "absence.edf").events)
    assert len(expert) == len(found) == 3
    for mark, event in zip(expert, found, strict=True):
        assert event.onset < mark.stop and mark.onset < event.stop
