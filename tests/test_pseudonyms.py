"""Names of recordings stay out of outputs where pseudonyms are asked for."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from test_cli import check_refused, restcli
from test_review_apply import ACCEPT, judge
from typer.testing import CliRunner

from restcli.archive.pseudonyms import Pseudonyms, read_pseudonyms, read_sources, read_table
from restcli.archive.walk import Found, is_output_of
from restcli.cli.app import app
from restcli.errors import OutputError, RestError, UsageError
from restcli.review.stored import read_result


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


def make_archive(archive: Path) -> None:
    """Write an archive in which every name tells who somebody is: good, copied, broken and hidden recordings."""
    for name, seed in (("Doequist_Jane/Doequist_Jane.edf", 1), ("Roebling.EDF", 2)):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        write_edf(archive / name, noise(19, 40, 200, seed=seed), 200)
    shutil.copy(archive / "Roebling.EDF", archive / "Doequist_Jane" / "Roebling copy.edf")
    (archive / "Doequist_Jane" / "Doequist_John.edf").write_text("no recording")
    (archive / "Doequist_Jane" / "Doequist_Jill.EEG").write_text("neither Nihon Kohden nor BrainVision")
    (archive / "Doequist_Jane.link.edf").symlink_to("nowhere")
    (archive / "Letter. Doequist").write_text("x")


def leaks(text: bytes | str) -> bool:
    """Tell whether a text holds a name of the archive."""
    return any(
        name in (text if isinstance(text, bytes) else text.encode()).lower() for name in (b"doequist", b"roebling")
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_of_a_batch_knows_the_names(toy_weights: Path, tmp_path: Path) -> None:
    archive, out, table = tmp_path / "archive", tmp_path / "out", tmp_path / "names.toml"
    make_archive(archive)
    table.write_text('"Doequist_Jane/Doequist_Jane.edf" = "p017"\n')
    log = tmp_path / "log.jsonl"
    chosen = ["--weights", str(toy_weights), "--threshold", "0.3", "--workers", "1", "--plot", "none"]
    command = ["batch", str(archive), str(out), "--pseudonyms", str(table), "--log", str(log), *chosen]
    done = restcli(*command)
    assert done.returncode == 1, done.stderr
    assert "5 pseudonyms were added" in done.stderr and table.stat().st_mode & 0o777 == 0o644
    names = tomllib.loads(table.read_text())
    assert len(names) == 6 and names["Doequist_Jane/Doequist_Jane.edf"] == "p017"
    assert len(list(out.glob("*_run.json"))) == 2 and (out / "p017_run.json").exists()
    judge(out / "p017_run.json", ACCEPT)
    applied = restcli("review", "apply", out, "--pseudonyms", table)
    assert applied.returncode == 0, applied.stderr
    answers = [restcli("batch", *words) for words in (("status", out), ("export", out), ("verify", out))]
    assert [answer.returncode for answer in answers] == [1, 0, 0], answers
    told = [entry for line in log.read_text().splitlines() if (entry := json.loads(line))["event"] == "recording"]
    scored = next(entry for entry in told if entry.get("pseudonym") == "p017.edf")
    assert scored["n_events"] > 0 and sum(scored["not_scored"].values()) == pytest.approx(4, abs=1)
    assert len([entry for entry in told if entry["state"] == "failed" and "header" in entry["reason"]]) == 2
    assert len([entry for entry in told if entry["state"] == "not read"]) == 1
    said = log.read_text() + "".join(answer.stdout + answer.stderr for answer in (done, applied, *answers))
    assert names["Doequist_Jane/Doequist_John.edf"] in said and not leaks(said), said
    for path in out.rglob("*"):
        assert not leaks(path.relative_to(out).as_posix())
        assert not path.is_file() or not leaks(path.read_bytes()), path
    # The table finds the recording for those who hold it, and for nobody else.
    report = out / "p017_run.json"
    with pytest.raises(RestError, match="which is not there"):
        _ = read_result(report).recording
    found = read_result(report, read_sources(table, str(archive))).recording
    assert found.path == Path("p017.edf") and found.read([0], 1.0, 2.0).any()
    write_edf(tmp_path / "Roebling.edf", noise(19, 20, 200), 200)
    with pytest.raises(OutputError, match=r"another recording than p017\.edf as it is now"):
        _ = read_result(report, {"p017.edf": tmp_path / "Roebling.edf"}).recording
    again = restcli(*command)
    assert again.returncode == 1 and "0 in this run" in again.stderr and tomllib.loads(table.read_text()) == names
    # One folder of outputs has either names or pseudonyms.
    check_refused(restcli("batch", archive, out, *chosen), 2, "was made with --pseudonyms")


def test_the_table_of_an_archive_stays_away_from_its_outputs(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="every reader of the outputs"):
        Pseudonyms(tmp_path / "out" / "names.toml", tmp_path / "out")


def test_pseudonyms_are_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "names.toml"
    odd = 'quoted " \n\x7f = \\ 日本.edf'
    first = Pseudonyms(table, tmp_path / "out")
    ((hidden,), _) = first.hide([Found(odd, 1, 1, "x")], ())
    assert table.stat().st_mode & 0o777 == 0o600 and read_table(table) == {odd: hidden.stem}
    assert first.source(hidden.path) == odd and is_output_of(hidden.path, f"{hidden.stem}_events.tsv")

    def full(descriptor: int, content: bytes) -> int:
        if len(content) > 5:
            return write(descriptor, content[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    write = os.write
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left"):
        Pseudonyms(table, tmp_path / "out").hide([Found("b.edf", 1, 1, "b")], ())
    assert read_table(table) == {odd: hidden.stem}


def test_a_dataset_with_pseudonyms_already_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub-1").mkdir()
    (tmp_path / "dataset_description.json").write_text("{}")
    answer = restcli("batch", tmp_path, tmp_path / "out", "--pseudonyms", tmp_path / "names.toml")
    check_refused(answer, 2, "BIDS dataset")


def test_a_table_takes_new_lines_whoever_wrote_it_before(tmp_path: Path) -> None:
    table = tmp_path / "names.toml"
    table.write_text('"a.edf" = "p1"')  # without an end of the line
    first, second = (Pseudonyms(table, tmp_path / "out") for _ in range(2))
    ((one,), _), ((other,), _) = (each.hide([Found("b.edf", 1, 1, "b")], ()) for each in (first, second))
    assert one.stem == other.stem and (first.n_added, second.n_added) == (1, 0)
    assert read_table(table) == {"a.edf": "p1", "b.edf": one.stem}


def test_endings_that_may_be_names_stay_out_of_outputs(tmp_path: Path) -> None:
    table = tmp_path / "names.toml"
    table.write_text('"Meyer.Anna" = "p1"\n"Meyer.EDF" = "p2"\n')
    found = [Found(name, 1, 1, name) for name in ("Meyer.Anna", "Meyer.EDF")]
    hidden, _ = Pseudonyms(table, tmp_path / "out").hide(found, ())
    assert [item.path for item in hidden] == ["p1", "p2.EDF"]
    assert read_sources(table, "ward") == {"p1": Path("ward/Meyer.Anna"), "p2.EDF": Path("ward/Meyer.EDF")}
