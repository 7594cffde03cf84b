"""One recording on one worker, its cached scores, and what may be removed of earlier outputs."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from edf_writer import noise, write_edf

import restcli
from restcli.archive import cache, gpu, job
from restcli.archive.audit import Trail
from restcli.archive.coordinator import Request, keys_of
from restcli.archive.ledger import LedgerRow
from restcli.detect.settings import Settings
from restcli.files import sha256_of
from restcli.nn.weights import load_weights
from restcli.profiling import StageClock


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edf(tmp_path_factory.mktemp("job") / "a.edf", noise(19, 30, 200, seed=1), 200)


def make_plan(out: Path, weights: Path, key: str | None = None) -> job.Plan:
    out.mkdir(exist_ok=True)
    (out / "ledger.sqlite").touch()
    loaded, settings = load_weights(str(weights)), Settings(threshold=0.3)
    scores = cache.ScoreCache(str(out / "scores"), key or cache.scoring_digest(loaded, settings))
    return job.Plan("/", str(out), str(out / "ledger.sqlite"), scores, loaded, settings, (), "none")


# ---- the key of cached scores


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package's sources."""
    copy = tmp_path / "restcli"
    shutil.copytree(Path(restcli.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "models"))
    return copy


@pytest.mark.parametrize("name", ["signal/features.py", "io/edf.py", "nn/rest.py", "detect/detector.py", "events.py"])
def test_key_changes_with_the_sources_of_scores(package: Path, name: str) -> None:
    before = cache.sources_digest(package)
    assert before == cache.sources_digest(package) == cache.sources_digest()
    with (package / name).open("a") as file:
        file.write("\n# changed\n")
    assert cache.sources_digest(package) != before


def test_key_changes_with_a_new_module_and_not_with_pictures(package: Path) -> None:
    before = cache.sources_digest(package)
    (package / "output" / "bundle.py").write_text("")
    assert cache.sources_digest(package) == before
    (package / "signal" / "new.py").write_text("")
    assert cache.sources_digest(package) != before


def test_key_changes_with_settings_that_change_scores(toy_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_weights(toy_weights)
    keys = [
        cache.scoring_digest(weights, Settings(**chosen))
        for chosen in ({}, {"threshold": 0.9}, {"device": "cpu"}, {"step": 2}, {"passes": 4}, {"seed": 1})
    ]
    assert len(set(keys[:3])) == 1 and len(set(keys[2:])) == 4
    monkeypatch.setattr(cache, "own_sources_digest", lambda: "other")
    assert cache.scoring_digest(weights, Settings()) != keys[0]


def test_every_setting_is_part_of_a_key(toy_weights: Path, tmp_path: Path) -> None:
    others = {
        "step": 2,
        "threshold": 0.9,
        "allow_missing": 3,
        "channel_map": (("a", "F3"),),
        "passes": 4,
        "seed": 1,
        "sensitivity": "specific",
        "types": True,
    }
    # Weights count by their content; device and threads change no result by more than rounding.
    assert others.keys() == {field.name for field in fields(Settings)} - {"weights", "device", "threads"}
    weights = load_weights(toy_weights)
    chosen = [{}, *({name: value} for name, value in others.items())]
    keys = {keys_of(Request(tmp_path, tmp_path / "out", Settings(**each)), weights) for each in chosen}
    assert len(keys) == len(chosen)


def test_worker_of_another_version_stops_the_batch(recording: Path, toy_weights: Path, tmp_path: Path) -> None:
    outcome = job.annotate_one(
        LedgerRow(1, str(recording), 1, 1, "a"), make_plan(tmp_path / "out", toy_weights, "0" * 64)
    )
    assert outcome["fatal"] and "another version" in outcome["error"]
    assert not list((tmp_path / "out").glob("a_*"))


def test_a_worker_without_the_gpu_asked_for_stops_the_batch(
    recording: Path, toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(gpu, "LOCK_FOLDER", tmp_path / "locks")
    plan = make_plan(tmp_path / "out", toy_weights)
    plan = replace(plan, settings=replace(plan.settings, device="cuda"))
    outcome = job.annotate_one(LedgerRow(1, str(recording), 1, 1, "a"), plan)
    assert outcome["fatal"] and "Pass --device cpu" in outcome["error"]


# ---- what may be removed


def test_only_unchanged_outputs_inside_the_folder_are_removed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "ward").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (out / "linked").symlink_to(tmp_path / "elsewhere")
    names = ["ward/a_events.tsv", "ward/edited_events.tsv", "../victim", "linked/a_events.tsv"]
    for name in names:
        (out / name).write_text("x")
    outputs = dict.fromkeys(names, hashlib.sha256(b"x").hexdigest())
    (out / "ward" / "edited_events.tsv").write_text("by hand")
    job.remove_outputs(out, outputs)
    assert [name for name in names if (out / name).exists()] == names[1:]


def test_outputs_are_not_written_through_a_link(recording: Path, toy_weights: Path, tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "out", toy_weights)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "ward").symlink_to(tmp_path / "elsewhere")
    outcome = job.annotate_one(LedgerRow(1, str(recording), 1, 1, "ward/a"), plan)
    assert "leads out of the folder of outputs" in outcome["error"] and not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["a_events.tsv", "a_run.json"])
def test_foreign_file_is_not_overwritten(recording: Path, toy_weights: Path, tmp_path: Path, name: str) -> None:
    plan = make_plan(tmp_path / "out", toy_weights)
    (tmp_path / "out" / name).write_text("by hand")
    task = LedgerRow(1, str(recording), 1, 1, "a")
    outcome = job.annotate_one(task, plan)
    assert "not an unchanged output" in outcome["error"] and "--retry failed" in outcome["error"]
    assert (tmp_path / "out" / name).read_text() == "by hand" and len(list((tmp_path / "out").glob("a_*"))) == 1
    owned = {name: hashlib.sha256(b"by hand").hexdigest()}  # what the ledger knows as ours
    assert "error" not in job.annotate_one(LedgerRow(1, str(recording), 1, 1, "a", outputs=owned), plan)
    assert (tmp_path / "out" / name).read_text() != "by hand"


def test_results_of_another_recording_are_not_replaced(recording: Path, toy_weights: Path, tmp_path: Path) -> None:
    plan, row = make_plan(tmp_path / "out", toy_weights), LedgerRow(1, str(recording), 1, 1, "a")
    other = write_edf(tmp_path / "other.edf", noise(19, 30, 200, seed=2), 200)
    assert "error" not in job.annotate_one(LedgerRow(2, str(other), 1, 1, "a"), plan)
    report = tmp_path / "out" / "a_run.json"
    kept = report.read_bytes()
    outcome = job.annotate_one(row, plan)
    assert "a recording with other contents" in outcome["error"] and report.read_bytes() == kept
    Trail(tmp_path / "out" / "audit.jsonl").append("2026-01-01", {"what": "done", "result": sha256_of(report)})
    assert "error" not in job.annotate_one(row, plan)  # what an earlier batch made is brought up to date


# ---- files that are not


def test_pipe_in_place_of_a_recording_is_an_error_at_once(toy_weights: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.edf")
    assert all(job.hash_many([str(tmp_path / "a.edf")], column) == [None] for column in ("fingerprint", "hash"))
    outcome = job.annotate_one(
        LedgerRow(1, str(tmp_path / "a.edf"), 1, 1, "a"), make_plan(tmp_path / "out", toy_weights)
    )
    assert outcome["error_class"] == "RecordingError" and "regular file" in outcome["error"]


def test_truncated_recording_reports_what_is_missing(recording: Path, toy_weights: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.edf"
    short.write_bytes(recording.read_bytes()[: -8 * 19 * 200 * 2])
    outcome: dict[str, Any] = job.annotate_one(
        LedgerRow(1, str(short), 1, 1, "short"), make_plan(tmp_path / "out", toy_weights)
    )
    assert outcome["missing"] == pytest.approx(8, abs=1), outcome
    assert any(line.startswith("repaired: the file is cut off: 8 s") for line in outcome["notes"].splitlines())


def test_doubts_are_noted_also_where_scores_come_from_the_cache(toy_weights: Path, tmp_path: Path) -> None:
    loud = write_edf(tmp_path / "a.edf", noise(19, 30, 200, seed=1, scale=300.0), 200)
    plan = make_plan(tmp_path / "out", toy_weights)
    first, again = (job.annotate_one(LedgerRow(1, str(loud), 1, 1, stem), plan)["notes"] for stem in ("a", "b"))
    assert "usual amplitude" in first and first == again


# ---- the lock of the GPU


def make_fifo(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.mkfifo(folder / "gpu-all.lock")


def make_link(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "gpu-all.lock").symlink_to(folder.parent / "victim")


@pytest.mark.parametrize(
    "make",
    [
        make_fifo,
        make_link,
        lambda folder: folder.write_text("x"),
        lambda folder: folder.mkdir(0o777) or folder.chmod(0o777),
        lambda folder: folder.parent.joinpath("mine").mkdir(0o700) or folder.symlink_to("mine"),
        lambda folder: folder.mkdir(0o700) or os.chown(folder, 12345, -1),
    ],
    ids=["fifo", "link", "file", "open to all", "linked folder", "owned by another"],
)
def test_lock_of_the_gpu_that_others_prepared_is_refused(make: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpu, "LOCK_FOLDER", tmp_path / "restcli-0")
    try:
        make(tmp_path / "restcli-0")
    except PermissionError:
        pytest.skip("only root gives files to others")
    with pytest.raises(gpu.UnfitWorkerError, match="for you alone"), gpu.turn_at("cuda", StageClock()):
        pass
    assert not (tmp_path / "victim").exists()


def test_lock_of_the_gpu_lies_in_a_folder_for_its_user_alone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(gpu, "LOCK_FOLDER", tmp_path / "restcli-0")
    for _ in range(2):
        with gpu.turn_at("cuda", StageClock()):
            assert (tmp_path / "restcli-0").stat().st_mode & 0o777 == 0o700
