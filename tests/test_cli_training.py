"""The commands that simulate, train and evaluate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from test_cli import check_refused, restcli

from restcli.events import Event, Events
from restcli.marks.registry import write_events


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number in range(3):
        place = folder / f"p{number}"
        place.mkdir()
        write_edf(place / f"p{number}_r1.edf", noise(19, 60, 200, seed=number), 200)
        events = (Event(20.0, 15.0, "sz_foc"),) if number else ()
        write_events(Events(events, 60.0), place / f"p{number}_r1_events.tsv", "tsv")
    return folder


def test_evaluate_two_trees(dataset: Path, tmp_path: Path) -> None:
    detected = tmp_path / "detected"
    shutil.copytree(dataset, detected)
    write_events(Events((), 60.0), detected / "p1" / "p1_r1_events.tsv", "tsv")
    done = restcli("evaluate", dataset, detected, "--json", "-o", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = {m["name"]: m["value"] for m in report["measures"] if m["rule"] == "event+pooled"}
    assert found["sensitivity"] == pytest.approx(0.5)
    assert {path.name for path in (tmp_path / "report").iterdir()} >= {"evaluation.json", "evaluation.md", "strips.png"}


def test_evaluate_table_names_rules_and_counts(dataset: Path) -> None:
    done = restcli("evaluate", dataset, dataset)
    assert done.returncode == 0, done.stderr
    assert "sensitivity" in done.stdout and "event" in done.stdout
    assert "By patient" in done.stdout and "p2" in done.stdout
    assert "By type" in done.stdout and "sz_foc" in done.stdout


def test_one_patient_has_no_interval(dataset: Path) -> None:
    (table,) = (dataset / "p1").glob("p1_r1_events.tsv")
    done = restcli("evaluate", table, table)
    assert done.returncode == 0 and "sensitivity: 1.000, rule" in done.stdout
    assert "(95 % CI over patients" in restcli("evaluate", dataset, dataset).stdout


def test_missing_detection_is_an_error_not_a_background(dataset: Path, tmp_path: Path) -> None:
    detected = tmp_path / "detected"
    shutil.copytree(dataset, detected)
    (detected / "p2" / "p2_r1_events.tsv").unlink()
    check_refused(restcli("evaluate", dataset, detected), 3, "no events for 1 of 3")
    assert restcli("evaluate", dataset, detected, "--skip-missing").returncode == 0


def test_evaluate_with_weights_detects_and_shows_the_baselines(
    dataset: Path, toy_weights: Path, tmp_path: Path
) -> None:
    done = restcli("evaluate", dataset, "--weights", toy_weights, "--json", "-o", tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["model"].startswith("toy (")
    baselines = {"amplitude baseline", "band-power baseline"}
    assert {"scores"} | baselines <= {measure["of"] for measure in report["measures"]}
    assert baselines <= set(report["curves"])
    assert {path.name for path in tmp_path.iterdir()} >= {"operating_scores.png", "reliability.png"}


def test_evaluate_exits_1_when_a_recording_could_not_be_evaluated(
    dataset: Path, toy_weights: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset, tmp_path / "data")
    marks = sorted((tmp_path / "data").rglob("*_events.tsv"))[0]
    marks.write_text(marks.read_text().splitlines()[0] + "\n1e9\t5\tsz\n")
    done = restcli("evaluate", tmp_path / "data", "--weights", toy_weights)
    assert done.returncode == 1 and "not scored, counted nowhere" in done.stderr


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden"])
def test_weights_have_names_without_folders(tmp_path: Path, name: str) -> None:
    check_refused(restcli("train", "sim:", "-o", tmp_path / "runs", "--name", name), 2, "--name")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("train", "sim:", "-o", "runs", "--false-alarms", "nan"),
        ("simulate", "sim", "--hours", "nan"),
        ("simulate", "sim", "--seed", "-5"),
        ("batch", ".", "out", "--timeout", "nan"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    check_refused(restcli(*words), 2, words[-1].lstrip("-"))
    assert not list(tmp_path.iterdir())


def test_evaluate_needs_exactly_one_other_side(dataset: Path, toy_weights: Path) -> None:
    check_refused(restcli("evaluate", dataset), 2, "one of the two")
    check_refused(restcli("evaluate", dataset, dataset, "--weights", toy_weights), 2, "one of the two")


def test_train_refuses_recordings_without_marks(tmp_path: Path) -> None:
    write_edf(tmp_path / "alone.edf", noise(19, 20, 200), 200)
    done = restcli("train", tmp_path, "-o", tmp_path / "runs", "--steps", "1")
    assert done.returncode == 3
    assert "alone" in done.stderr


def test_train_writes_weights_card_log_and_annotate_uses_them(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tiny-wide-0.checkpoint").touch()  # of another training
    done = restcli(
        "train",
        "sim:0-5",
        "-o",
        tmp_path / "runs",
        "--steps",
        "2",
        "--folds",
        "2",
        "--name",
        "tiny",
        "--variant",
        "DS",
        "--ward",
        "0",
    )
    assert done.returncode == 0, done.stderr
    assert "stopped" not in done.stderr
    assert "WARNING: too little background for a threshold" in done.stderr
    weights = Path(done.stdout.strip())
    assert weights.name == "tiny.safetensors"
    assert {path.suffix for path in weights.parent.iterdir()} >= {".safetensors", ".md", ".csv", ".png"}
    used = restcli(
        "annotate", dataset / "p0" / "p0_r1.edf", "-w", weights, "-o", tmp_path / "out", "--plot", "none", "--json"
    )
    assert used.returncode == 0, used.stderr
    assert json.loads(used.stdout)["weights"]["name"] == "tiny"


def test_train_refuses_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "rest.safetensors").write_bytes(b"mine")
    refused = restcli("train", "sim:0-5", "-o", tmp_path)
    check_refused(refused, 3, "already exists")
    assert "--overwrite" in refused.stderr and (tmp_path / "rest.safetensors").read_bytes() == b"mine"
    check_refused(restcli("train", "sim:0-5", "-o", tmp_path / "a", "--split", "official"), 2, "no official split")
    check_refused(restcli("train", "sim:0-5", "-o", tmp_path / "b", "--from", "rest-paper", "--hidden", "8"), 3, "32")


def stopped_training(monkeypatch: pytest.MonkeyPatch, out: Path, left: str, *options: str) -> str:
    """Interrupt a training beside a checkpoint of this name; return what stderr says."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("restcli.train.training.train", interrupted)
    out.mkdir()
    (out / left).touch()
    done = restcli("train", "sim:0-5", "-o", out, "--members", "2", "--ward", "0", *options)
    assert done.returncode == 130
    return done.stderr


def test_an_interrupted_training_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = stopped_training(monkeypatch, tmp_path / "a", "rest-1.checkpoint")
    assert "the same command continues from the last validation" in said
    said = stopped_training(monkeypatch, tmp_path / "b", "rest-1.checkpoint", "--restart")
    assert "the same command without --restart continues from the last validation" in said


@pytest.mark.parametrize("left", ["rest-wide-0.checkpoint", "rest-2.checkpoint", "rest-0.checkpoint.part"])
def test_another_training_s_checkpoint_is_not_ours(left: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "continues" not in stopped_training(monkeypatch, tmp_path / "a", left)


@pytest.mark.slow
def test_simulate_writes_a_dataset_that_evaluate_reads(toy_weights: Path, tmp_path: Path) -> None:
    arguments = ("--recordings", "2", "--hours", "0.02", "--seizures", "2000", "--seed", "3")
    done = restcli("simulate", tmp_path / "sim", *arguments, "--plot", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sim" / "pages" / "page01.png").exists()
    again = restcli("simulate", tmp_path / "again", *arguments)
    assert again.returncode == 0, again.stderr
    for path in (tmp_path / "again").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "sim" / path.relative_to(tmp_path / "again")).read_bytes()
    ward = restcli("simulate", tmp_path / "ward", *arguments, "--profile", "ward")
    assert ward.returncode == 0, ward.stderr
    assert "profile ward" in json.loads((tmp_path / "ward" / "dataset_description.json").read_text())["Name"]
    report = json.loads(restcli("evaluate", tmp_path / "sim", "--weights", toy_weights, "--json").stdout)
    assert report["n_recordings"] == 2
    check_refused(restcli("simulate", tmp_path / "sim", *arguments), 3, "not empty")
