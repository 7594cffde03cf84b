"""Names of recordings stay out of outputs where pseudonyms are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from typer.testing import CliRunner

from restcli.cli.app import app
from restcli.cli.pseudonyms import read_pseudonyms
from restcli.errors import UsageError


def test_outputs_have_the_pseudonym_alone(toy_weights: Path, tmp_path: Path) -> None:
    source, out, table = tmp_path / "Doe_Jane" / "Doe_Jane.edf", tmp_path / "out", tmp_path / "names.toml"
    source.parent.mkdir()
    write_edf(source, noise(19, 40, 200, seed=1), 200)
    table.write_text('"Doe_Jane.edf" = "p017"\n')
    chosen = ["--weights", str(toy_weights), "--threshold", "0.3", "--format", "csv,edf,xml,json,csv_bi"]
    answer = CliRunner().invoke(app, ["annotate", str(source), "--out", str(out), "--pseudonyms", str(table), *chosen])
    assert answer.exit_code == 0, answer.output
    assert "Doe" not in answer.output and "p017" in answer.output
    names = {path.name for path in out.iterdir()}
    assert {"p017_run.json", "p017_events.tsv", "p017_overview.png", "p017_event01.png"} <= names
    for path in out.iterdir():
        assert path.name.startswith("p017_")
        assert b"Doe" not in path.read_bytes(), path.name


@pytest.mark.parametrize(
    "text",
    [
        '"other.edf" = "p1"',
        '"Doe.edf" = "Doe/p1"',
        '"Doe.edf" = ""',
        '"Doe.edf" = 3',
        '"Doe.edf" = "p1"\n"b.edf" = "P1"',
        '"Doe.edf = p1',
        '"Doe.edf" = "../p1"',
    ],
)
def test_bad_pseudonyms_are_refused_without_quoting_names(tmp_path: Path, text: str) -> None:
    table = tmp_path / "names.toml"
    table.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_pseudonyms(table, [Path("Doe.edf")])
    assert "Doe" not in str(raised.value)
