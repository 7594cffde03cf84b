"""The container of the SzCORE benchmark, without Docker where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from edf_writer import noise, write_edf

from restcli.marks.registry import read_events

ROOT = Path(__file__).resolve().parent.parent
HEADER = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration"
# As the entry point runs in the image: without torch.
PROGRAM = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "torch_geometric"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from restcli.cli.app import main
main()
"""


def contained(data: Path, output: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, "szcore", "--data", str(data), "--into", str(output), *more]
    kept = {key: value for key, value in os.environ.items() if key not in ("INPUT", "OUTPUT")}
    return subprocess.run(
        command, env=kept | environment, capture_output=True, text=True, cwd=ROOT, check=False, timeout=120
    )


def test_the_example(tmp_path: Path, example: Path) -> None:
    done = contained(example.parent, tmp_path, INPUT=example.name, OUTPUT="sub-01/eeg/a_events.tsv")
    assert done.returncode == 0, done.stderr
    table = tmp_path / "sub-01" / "eeg" / "a_events.tsv"
    lines = table.read_text().splitlines()
    assert lines[0] == HEADER
    assert {line.split("\t")[-1] for line in lines[1:]} == {"180.00"}
    assert len(read_events(table)) == 3
    assert [path.name for path in table.parent.iterdir()] == ["a_events.tsv"]


def test_no_seizure_and_a_length_of_two_decimals(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf", noise(19, 30, 256, seed=1), 256)
    raw = bytearray((tmp_path / "a.edf").read_bytes())
    raw[244:252] = b"1.000333"  # seconds of a record: 30.00999 in all
    (tmp_path / "a.edf").write_bytes(bytes(raw))
    done = contained(tmp_path, tmp_path, "--threshold", "1", INPUT="a.edf", OUTPUT="a.tsv")
    assert done.returncode == 0, done.stderr
    (row,) = (tmp_path / "a.tsv").read_text().splitlines()[1:]
    cells = row.split("\t")
    assert (cells[0], cells[1], cells[2], cells[-1]) == ("0.00", "30.01", "bckg", "30.01")


def test_a_failure_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_bytes(b"0" * 300)
    done = contained(tmp_path, tmp_path, INPUT="a.edf", OUTPUT="a.tsv")
    assert (done.returncode, (tmp_path / "a.tsv").exists()) == (3, False)
    done = contained(tmp_path, tmp_path, OUTPUT="a.tsv")
    assert done.returncode == 2
    assert "-e INPUT=" in done.stderr


def test_a_file_in_a_folder_that_cannot_be_written_to(
    tmp_path: Path, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restcli.cli import szcore

    (tmp_path / "tmp.tsv").touch()  # the benchmark makes it for us, in a folder of its own
    inode = (tmp_path / "tmp.tsv").stat().st_ino
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    szcore._write(tmp_path / "tmp.tsv", b"table")
    assert (tmp_path / "tmp.tsv").read_bytes() == b"table"
    assert (tmp_path / "tmp.tsv").stat().st_ino == inode


# What the benchmark's schema (config/schema.json of esl-epfl/szcore) asks for.
FIELDS = {"title", "short_title", "image", "authors", "license", "version", "date_released", "abstract", "repository"}
PERSON = {"given_names", "family_names", "affiliation", "email"}


def test_the_description_fits_the_schema() -> None:
    described: dict[str, Any] = yaml.safe_load((ROOT / "szcore.yaml").read_text(encoding="utf-8"))
    assert {"title", "short_title", "image", "authors", "license"} <= set(described) <= FIELDS | {"datasets"}
    assert re.fullmatch(r".+/.+:.+", described["image"])
    assert date.fromisoformat(described["date_released"])
    assert described["authors"]
    assert all(set(author) <= PERSON and all(author.values()) for author in described["authors"])
    assert described["datasets"]
    assert all(isinstance(described[key], str) and described[key] for key in set(described) - {"authors", "datasets"})
    import restcli

    assert described["version"] == restcli.__version__
    assert described["image"].endswith(f":{restcli.__version__}")


def test_the_image_is_as_the_contract_says() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    steps = [line.split(" ", 1) for line in lines if line and line[0].isupper()]
    last = [text for step, text in steps if step == "FROM"]
    assert len(last) == 2
    assert dict(steps)["ENTRYPOINT"] == '["restcli"]'
    assert dict(steps)["CMD"] == '["szcore"]'
    assert dict(steps)["USER"] == "restcli"
    copied = [text.split() for step, text in steps if step == "COPY" and "--from" not in text]
    for name in (name for names in copied for name in names[:-1]):
        assert (ROOT / name).exists(), name
        assert f"!{name}" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_image_can_be_built_and_run(tmp_path: Path, example: Path) -> None:
    builder = shutil.which("podman") or shutil.which("docker")
    if builder is None or subprocess.run([builder, "info"], capture_output=True, check=False).returncode:
        pytest.skip("neither podman nor docker works here")
    built = subprocess.run([builder, "build", "-t", "restcli-test", str(ROOT)], capture_output=True, check=False)
    if built.returncode:
        pytest.skip("the base image or the packages cannot be downloaded here")
    tmp_path.chmod(0o777)
    mounts = ["-v", f"{example.parent}:/data:ro", "-v", f"{tmp_path}:/output"]
    names = ["-e", f"INPUT={example.name}", "-e", "OUTPUT=a.tsv"]
    run = [builder, "run", "--rm", "--network", "none", "--read-only", *mounts, *names, "restcli-test"]
    subprocess.run(run, check=True)
    assert len(read_events(tmp_path / "a.tsv")) == 3
    size = subprocess.run(
        [builder, "image", "inspect", "-f", "{{.Size}}", "restcli-test"], capture_output=True, text=True, check=True
    )
    assert int(size.stdout) < np.float64(1.2e9)
