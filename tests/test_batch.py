"""Archives: what is done, in which order of faults, and what is left when something dies."""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edf_bytes import EdfFile
from edf_writer import noise, write_edf

from restcli.archive import pool, resources
from restcli.archive.audit import Trail
from restcli.archive.coordinator import FINISHING, GOING, BatchProgress, BatchSummary, Request, run_batch
from restcli.archive.gpu import gpu_memory
from restcli.archive.ledger import Ledger, LedgerRow
from restcli.archive.resources import PoolOptions
from restcli.archive.shards import ledger_name
from restcli.archive.survey import Book, survey
from restcli.archive.tables import export_tables
from restcli.archive.verify import verify
from restcli.archive.walk import output_stems, shard_of, walk_archive
from restcli.detect.settings import Settings
from restcli.errors import OutputError, RestError, UsageError
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights

HERE = Path(__file__).resolve().parent
MAIN = "from restcli.cli.app import main; main()"
pytestmark = pytest.mark.timeout(600)  # a busy machine takes minutes to start worker processes again
STARTED: list[subprocess.Popen[str]] = []
QUIET = ("--plot", "none", "--threshold", "0.3")


def make(path: Path, seed: int, seconds: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_edf(path, noise(19, seconds, 200, seed=seed), 200)


def tree(folder: Path, *, but: tuple[str, ...] = ("ledger", "audit", "index.html")) -> dict[str, str]:
    """Hash every output of a folder but ledger and page, which tell times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(but)
    }


def states(out: Path) -> dict[str, str]:
    with Book(out) as book:
        return {row["path"]: row["state"] for row in book.recordings()}


def rows(out: Path) -> dict[str, dict[str, Any]]:
    with Book(out) as book:
        return {row["path"]: row for row in book.recordings()}


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return six different recordings of 30 s to copy from."""
    folder = tmp_path_factory.mktemp("recordings")
    return [make(folder / f"{seed}.edf", seed) for seed in range(6)]


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """Start a Dask cluster as a hospital would have it: a scheduler and two worker processes."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.worker.memory.pause": False}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
    ):
        yield cluster.scheduler_address


@pytest.fixture
def batch(scheduler: str, toy_weights: Path, tmp_path: Path) -> Callable[..., BatchSummary]:
    """Return a function that runs a batch on the cluster."""

    def run(
        archive: Path,
        out: Path,
        *,
        settings: Settings | None = None,
        on_update: Any = None,
        wish: Any = None,
        **chosen: Any,
    ) -> BatchSummary:
        settings = settings or Settings(weights=str(toy_weights), threshold=0.3)
        request = Request(archive, out, settings, **({"plot": "none"} | chosen))
        return run_batch(
            request, PoolOptions(scheduler), on_update=on_update or (lambda _: None), wish=wish or (lambda: GOING)
        )

    return run


def start(
    archive: Path, out: Path, weights: Path, *options: str, faults: Path | None = None, code: str = MAIN
) -> subprocess.Popen[str]:
    """Start the command in a process group of its own, with two workers of its own."""
    env = dict(os.environ)
    env.pop("MALLOC_TRIM_THRESHOLD_", None)  # a cluster of Dask's own in this process leaves it here
    fixed = [str(archive), str(out), "--weights", str(weights), "--workers", "2", *QUIET]
    if faults is not None:
        env |= {"DASK_DISTRIBUTED__WORKER__PRELOAD": str(HERE / "batch_faults.py"), "RESTCLI_TEST_MARKS": str(faults)}
    command = [sys.executable, "-c", code, "batch", *fixed, *options]
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    STARTED.append(process)
    return process


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """End what a test that failed has left."""
    yield
    while STARTED:
        process = STARTED.pop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def end(process: subprocess.Popen[str], seconds: float = 400.0) -> str:
    """Wait for a process; returns what it said to people."""
    try:
        return process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise AssertionError(process.communicate()[1]) from None


def wait_for(condition: Callable[[], Any], seconds: float = 200.0) -> Any:
    """Return what the condition gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def marked(marks: Path) -> list[Path]:
    """Return the marks of workers that wait at a recording; each holds the worker's process id."""
    return sorted(path for path in marks.iterdir() if path.name != "go" and path.suffix != ".part")


def bids_names(root: Path) -> set[str]:
    """Return what a validator looks at in a BIDS dataset: everything but hidden files and what .bidsignore names."""
    patterns = (root / ".bidsignore").read_text().split()
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    def is_ignored(name: str) -> bool:
        """Judge as gitignore does: the last pattern that fits decides, a slash in front ties it to the root."""
        verdict = False
        for pattern in patterns:
            plain = pattern.lstrip("!")
            here = name if plain.startswith("/") else name.rpartition("/")[2]
            if any(fnmatch.fnmatchcase(here, plain.strip("/") + rest) for rest in ("", "/*")):
                verdict = not pattern.startswith("!")
        return verdict

    return {name for name in names if not name.startswith(".") and not is_ignored(name)}


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


# ---- walking


def test_walk_finds_recordings_and_says_what_it_did_not_look_into(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    for name in ("a.edf", "deep/er/b.BDF", "deep/x.vhdr", "deep/x.eeg", "deep/nk.EEG", "note.txt", ".hidden.edf"):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        (archive / name).write_text("x")
    (archive / "deep" / "x.vhdr").write_text("Brain Vision Data Exchange Header File\n[Common Infos]\nDataFile=x.eeg\n")
    (archive / "deep" / "loop").symlink_to("..")
    (archive / "above").symlink_to(tmp_path)
    (archive / "broken.edf").symlink_to("nowhere")
    os.mkfifo(archive / "pipe.edf")
    (archive / "out").mkdir()
    (archive / "out" / "c.edf").write_text("x")
    (archive / "other").mkdir()
    (archive / "other" / "ledger.sqlite").write_text("x")
    (archive / "other" / "d_events.edf").write_text("x")
    (archive / "poisoned").mkdir()
    (archive / "poisoned" / "ledger-1-of-2.sqlite").write_text("x")
    (archive / "poisoned" / "d.edf").write_text("x")
    Path(os.fsdecode(os.fsencode(archive) + b"/\xe4.edf")).write_text("x")
    listings = list(walk_archive(archive, archive / "out"))
    found = {item.path: item for listing in listings for item in listing.recordings}
    assert sorted(found) == ["a.edf", "deep/er/b.BDF", "deep/nk.EEG", "deep/x.vhdr"]
    assert found["deep/x.vhdr"].size == (archive / "deep" / "x.vhdr").stat().st_size + 1  # with its samples
    assert sum(sum(listing.others.values()) for listing in listings) == 2
    skipped = {item.path: item.may_hide for listing in listings for item in listing.skipped}
    assert skipped == {
        "above": False,
        "deep/loop": False,
        "other": False,
        "poisoned": True,
        "out": True,  # c.edf would be missed
        "broken.edf": True,
        "pipe.edf": True,
        "\\xe4.edf": True,
    }


def test_walk_counts_what_it_passes_over_by_ending(tmp_path: Path) -> None:
    for name in ("a.edf+", "b"):
        EdfFile().write(tmp_path / name)
    EdfFile(labels=(), counts=(), onsets=["+0"], n_records=1).write(tmp_path / "a_events.edf")
    for name in ("c.edf.gz", "a_events.tsv", "b_events.TSV", "LICENSE"):
        (tmp_path / name).write_bytes(b"x")
    (listing,) = walk_archive(tmp_path, tmp_path / "out")
    assert sorted(found.path for found in listing.recordings) == ["a.edf+", "b"]
    assert listing.others == {".edf.gz": 1, ".tsv": 2, ".edf": 1, "": 1}
    assert [(item.path, item.may_hide) for item in listing.skipped] == [("a_events.edf", False), ("c.edf.gz", True)]


@pytest.mark.parametrize("place", ["w/a.edf", "w/deep/a.edf", "linked/deep/a.edf"])
def test_recordings_in_the_folder_of_outputs_are_missed_aloud(tmp_path: Path, place: str) -> None:
    archive, real = tmp_path / "archive", tmp_path / "real"
    for folder in (archive, real):
        folder.mkdir()
    (archive / "linked").symlink_to(real)
    path = archive / place
    path.parent.mkdir(parents=True)
    path.touch()
    (out := archive / place.split("/")[0]).joinpath("ledger.sqlite").touch()
    (out / "b_events.edf").touch()
    for chosen in (out, tmp_path / "elsewhere"):
        (hidden,) = (item for listing in walk_archive(archive, chosen) for item in listing.skipped if item.may_hide)
        assert hidden.path == out.name and "holds recordings" in hidden.reason


def test_unreadable_folder_may_hide_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    skipped = [item for listing in walk_archive(tmp_path, tmp_path / "o") for item in listing.skipped]
    assert [(item.path, item.may_hide) for item in skipped] == [("locked", True)]
    assert "Permission denied" in skipped[0].reason


def test_linked_folder_elsewhere_is_walked_once(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.edf").write_text("x")
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "one").symlink_to(tmp_path / "disk")
    (archive / "two").symlink_to(tmp_path / "disk")
    listings = list(walk_archive(archive, tmp_path / "out"))
    assert [item.path for listing in listings for item in listing.recordings] == ["one/a.edf"]


@pytest.mark.parametrize("name", ["missing", "file"])
def test_archive_must_be_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError):
        list(walk_archive(tmp_path / name, tmp_path / "out"))


@pytest.mark.parametrize("out", ["archive", "archive/../archive", "link"])
def test_outputs_never_go_into_the_archive_itself(
    recordings: list[Path], toy_weights: Path, tmp_path: Path, out: str
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(recordings[0], archive)
    (tmp_path / "link").symlink_to(archive)
    with pytest.raises(UsageError, match="is the archive itself"):
        run_batch(Request(archive, tmp_path / out, Settings(weights=str(toy_weights))))
    assert [path.name for path in archive.iterdir()] == ["0.edf"]


@pytest.mark.parametrize("out", ["out", "archive/out"])
def test_archive_with_a_ledger_in_it_is_named_with_the_remedy(toy_weights: Path, tmp_path: Path, out: str) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "a.edf").write_text("x")
    (archive / "ledger-2-of-3.sqlite").write_text("x")
    with pytest.raises(UsageError, match=r"holds the ledger of an earlier batch.*Move ledger"):
        run_batch(Request(archive, tmp_path / out, Settings(weights=str(toy_weights))))
    assert not (tmp_path / out).exists()


def test_output_names_never_meet() -> None:
    names = ["a.edf", "A.bdf", "b.edf", "ü" * 120 + ".edf", "ü" * 120 + "x.edf"]
    stems = output_stems(names)
    assert stems["a.edf"] == "a.edf" and stems["A.bdf"] == "A.bdf" and stems["b.edf"] == "b"
    assert len({stem.casefold() for stem in stems.values()}) == len(names)
    assert all(len(f"{stem}_overview.png.part".encode()) < 255 for stem in stems.values())


def test_shards_divide_the_paths() -> None:
    shards = [shard_of(f"ward/{i}.edf", 4) for i in range(400)]
    assert all(70 <= shards.count(k) <= 130 for k in (1, 2, 3, 4))


# ---- a cluster that is there already


def test_messy_archive(batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    names = ["a.edf", "ward 1/two\nlines.edf", "ward 1/日本 & <b>.edf", "z/copy of a.edf"]
    for name, source in zip(names, [0, 1, 2, 0], strict=True):
        (archive / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recordings[source], archive / name)
    (archive / "bad.edf").write_text("no recording")
    (archive / "notes.txt").write_text("x")
    (archive / "z" / "loop").symlink_to("..")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in archive.rglob("*.edf")}
    finished: list[dict[str, Any]] = []
    summary = batch(archive, out, on_update=lambda progress: finished.extend(progress.finished))
    told = sorted((facts["state"], facts.get("reason", "")) for facts in finished)
    assert [state for state, _ in told] == ["done", "done", "done", "failed"] and "bytes" in told[-1][1]
    assert not any(name in str(finished) for name in ("bad.edf", "ward 1", "日本", "two\\n"))
    assert {facts["recording"] for facts in finished} <= {row["id"] for row in rows(out).values()}
    assert states(out) == {
        names[0]: "done",
        names[1]: "done",
        names[2]: "done",
        names[3]: "same",
        "bad.edf": "failed",
    }
    assert not summary.complete and summary.n_now == 4
    assert rows(out)[names[3]]["same_as_path"] == "a.edf"
    clock = open_recording(archive / "a.edf").clock
    assert clock is not None and rows(out)["a.edf"]["clock"] == str(clock)
    failed = rows(out)["bad.edf"]
    assert failed["attempts"] == 2 and failed["error_class"] == "RecordingError" and "bytes" in failed["error"]
    assert {str(path.relative_to(out)) for path in out.rglob("*_events.tsv")} == {
        "a_events.tsv",
        "ward 1/two\nlines_events.tsv",
        "ward 1/日本 & <b>_events.tsv",
    }
    assert before == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in archive.rglob("*.edf")}
    assert not list(out.rglob("*.part"))
    told = (out / "index.html").read_text() + json.dumps(survey(out)) + json.dumps(rows(out))
    assert "SECRET" not in told and "Doe" not in told


def test_second_run_does_only_what_is_new(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in recordings[:2]:
        shutil.copy(source, archive)
    assert batch(archive, out).complete
    done = tree(out)
    assert batch(archive, out).n_now == 0
    shutil.copy(recordings[2], archive)
    (archive / "0.edf").touch()  # same content at another time: read to be hashed, not scored
    (out / "1_run.json").unlink()  # what vouches for outputs is gone
    summary = batch(archive, out)
    assert summary.n_now == 3 and summary.complete
    assert "network" not in json.loads(rows(out)["0.edf"]["stages"])
    assert {name: tree(out)[name] for name in done} == done


@pytest.mark.parametrize("away", [False, True])
def test_what_an_earlier_content_gave_does_not_outlive_a_failure(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path, away: bool
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in recordings[:3]:
        shutil.copy(source, archive)
    assert batch(archive, out).complete
    (archive / "0.edf").write_text("no signals any more")
    shutil.copy(archive / "2.edf", archive / "1.edf")
    for ledger in out.glob("ledger*") if away else ():
        ledger.unlink()
    assert not batch(archive, out).complete
    found = states(out)
    assert sorted(found.values()) == ["done", "failed", "same"] and found["0.edf"] == "failed"
    (done,) = (Path(name).stem for name in found if found[name] == "done")
    assert {path.name for path in out.glob("*_events.tsv")} == {f"{done}_events.tsv"}
    assert {path.name.partition("_")[0] for path in out.glob("[0-2]_*")} == {done}
    assert verify(out).faults == ()


def test_empty_archive_is_not_complete(batch: Callable[..., BatchSummary], tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    assert not batch(tmp_path / "archive", tmp_path / "out").complete


@pytest.mark.slow
def test_other_threshold_reads_no_signal(
    batch: Callable[..., BatchSummary], recordings: list[Path], toy_weights: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    source = Path(shutil.copy(recordings[0], archive))
    high, low = (Settings(weights=str(toy_weights), threshold=value) for value in (0.99, 0.3))
    chosen = {"plot": "png", "formats": ("edf", "csv_bi", "xml", "json", "csv")}
    batch(archive, tmp_path / "changed", settings=high, **chosen)
    assert rows(tmp_path / "changed")["0.edf"]["n_events"] == 0
    batch(archive, tmp_path / "changed", settings=low, **chosen)
    batch(archive, tmp_path / "fresh", settings=low, **chosen)
    assert rows(tmp_path / "changed")["0.edf"]["n_events"] > 0
    assert tree(tmp_path / "changed") == tree(tmp_path / "fresh")
    # Wipe the samples without a trace in size or time: nobody looks at them again.
    status, events = source.stat(), (tmp_path / "fresh" / "0_events.tsv").read_text()
    with source.open("r+b") as file:
        file.seek(256 * 30)
        file.write(bytes(status.st_size - 256 * 30))
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    batch(archive, tmp_path / "changed", settings=high, plot="none")
    batch(archive, tmp_path / "changed", settings=low, plot="none")
    assert (tmp_path / "changed" / "0_events.tsv").read_text() == events
    assert not list((tmp_path / "changed").glob("*.png"))


def test_results_equal_those_of_annotate(
    batch: Callable[..., BatchSummary], recordings: list[Path], toy_weights: Path, tmp_path: Path
) -> None:
    import restcli
    from restcli.output.bundle import Bundle

    archive = tmp_path / "archive"
    archive.mkdir()
    source = shutil.copy(recordings[3], archive)
    batch(archive, tmp_path / "out")
    result = restcli.annotate(source, Settings(weights=str(toy_weights), threshold=0.3))
    Bundle(tmp_path / "alone", "3", plot="none").write(result)
    for name in ("3_events.tsv", "3_scores.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_moved_recording_takes_its_scores_along(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    (archive / "new").mkdir(parents=True)
    shutil.copy(recordings[0], archive / "a.edf")
    batch(archive, out)
    (archive / "a.edf").rename(archive / "new" / "b.edf")
    assert batch(archive, out).complete
    assert states(out) == {"new/b.edf": "done"}
    assert "network" not in json.loads(rows(out)["new/b.edf"]["stages"])


def test_name_that_meets_another_moves_its_outputs(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    shutil.copy(recordings[0], archive / "a.edf")
    batch(archive, out)
    shutil.copy(recordings[1], archive / "A.rec")
    batch(archive, out)
    assert sorted(path.name for path in out.glob("*_events.tsv")) == ["A.rec_events.tsv", "a.edf_events.tsv"]


def test_failed_recordings_get_another_chance_when_asked(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    (archive / "a.edf").write_text("bad")
    assert batch(archive, out).n_now == 1
    assert batch(archive, out).n_now == 0
    news: list[str] = []
    told: dict[str, Any] = {
        "retry": True,
        "on_update": lambda now: news.extend(line for line in now.news if "failed" in line),
    }
    assert batch(archive, out, **told).n_now == 1
    assert len(news) == 1 and news.pop().startswith("failed: 'a.edf'")
    with Ledger(out / "ledger.sqlite", write=True) as ledger:
        assert ledger.acknowledge("a.edf", "cable broke")
    assert batch(archive, out, **told).complete and not news  # what is known is no news: no mail from cron
    shutil.copy(recordings[0], archive / "a.edf")
    assert batch(archive, out).complete


def test_shards_together_do_everything(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in recordings:
        shutil.copy(source, archive)
    first = batch(archive, out, shard=(1, 2))
    second = batch(archive, out, shard=(2, 2))
    assert first.n_now > 0 and second.n_now > 0 and first.n_now + second.n_now == 6
    facts = survey(out)
    assert facts["counts"]["done"] == 6 and facts["complete"]
    for ledger in out.glob("ledger*"):
        ledger.unlink()
    assert batch(archive, out).complete  # whole, with the scores that the shards kept
    assert survey(out)["counts"]["done"] == 6
    assert all("network" not in json.loads(row["stages"]) for row in rows(out).values())


def test_worker_needs_no_weights_file(
    batch: Callable[..., BatchSummary], recordings: list[Path], toy_weights: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.copy(recordings[0], archive)
    weights = Path(shutil.copy(toy_weights, tmp_path / "gone.safetensors"))
    seen: list[str] = []

    def remove(progress: BatchProgress) -> None:
        seen.append(progress.stage)
        weights.unlink(missing_ok=True)

    summary = batch(archive, tmp_path / "out", settings=Settings(weights=str(weights)), on_update=remove)
    assert seen[0] == "walking the archive" and summary.complete


def test_worker_that_sees_another_disk_is_told(
    batch: Callable[..., BatchSummary], recordings: list[Path], toy_weights: Path, tmp_path: Path
) -> None:
    from restcli.archive.cache import ScoreCache
    from restcli.archive.job import Plan, annotate_one

    plan = Plan(
        "/",
        str(tmp_path),
        str(tmp_path / "ledger.sqlite"),
        ScoreCache(str(tmp_path), "s"),
        load_weights(str(toy_weights)),
        Settings(),
        (),
        "none",
    )
    outcome = annotate_one(LedgerRow(1, str(recordings[0]), 1, 1, "a"), plan)
    assert outcome["error_class"] == "OutputError" and "not visible" in outcome["error"]
    assert not (tmp_path / "a_events.tsv").exists()


def test_bids_archive_becomes_a_derivatives_dataset(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "bids", tmp_path / "bids" / "derivatives" / "restcli"
    eeg = archive / "sub-01" / "ses-01" / "eeg"
    eeg.mkdir(parents=True)
    (archive / "dataset_description.json").write_text("{}")
    name = "sub-01_ses-01_task-szMonitoring_run-00"
    shutil.copy(recordings[0], eeg / f"{name}_eeg.edf")
    for folder in ("derivatives/other/sub-01/eeg", "sourcedata"):
        (archive / folder).mkdir(parents=True)
        shutil.copy(recordings[1], archive / folder / "x_eeg.edf")
    assert batch(archive, out, plot="png", formats=("csv_bi", "edf", "xml", "csv", "json")).complete
    export_tables(out, out / "export")
    assert (out / "sub-01" / "ses-01" / "eeg" / f"{name}_events.tsv").read_text().startswith("onset\tduration\t")
    assert bids_names(out) == {
        "README",
        "dataset_description.json",
        "events.json",
        f"sub-01/ses-01/eeg/{name}_events.tsv",
    }
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative" and described["GeneratedBy"][0]["Name"] == "restcli"
    assert states(out) == {f"sub-01/ses-01/eeg/{name}_eeg.edf": "done"}
    assert batch(archive, tmp_path / "elsewhere").complete
    assert (tmp_path / "elsewhere/derivatives/restcli/sub-01/ses-01/eeg" / f"{name}_events.tsv").exists()


def test_corrupt_ledger_is_refused_and_outputs_are_safe(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    shutil.copy(recordings[0], archive)
    batch(archive, out)
    outputs = tree(out)
    ledger = out / ledger_name()
    ledger.write_bytes(b"\x00" * 20_000)
    with pytest.raises(OutputError, match="Move it away"):
        batch(archive, out)
    assert tree(out) == outputs
    ledger.rename(out / "damaged")
    assert batch(archive, out).complete
    assert "network" not in json.loads(rows(out)["0.edf"]["stages"])  # events from stored scores
    (out / "damaged").unlink()
    assert tree(out) == outputs


@pytest.mark.slow
def test_recording_that_changes_while_it_is_read(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    growing = Path(shutil.copy(recordings[0], archive / "growing.edf"))
    code = "import os, sys, time\nwhile True:\n    os.utime(sys.argv[1]); time.sleep(0.002)"
    writer = subprocess.Popen([sys.executable, "-c", code, str(growing)])
    try:
        first = growing.stat().st_mtime_ns
        wait_for(lambda: growing.stat().st_mtime_ns != first)
        batch(archive, out)
    finally:
        writer.kill()
        writer.wait()
    row = rows(out)["growing.edf"]
    assert row["state"] == "failed" and "changed while it was read" in row["error"]
    assert not list(out.glob("growing*")) and not list((out / ".restcli").rglob("*.safetensors"))
    assert batch(archive, out).complete  # it rests now, and its time is another


@pytest.mark.slow
@pytest.mark.parametrize(("full", "size"), [("", "400k"), ("derivatives/restcli", "60k")])
def test_full_disk_stops_the_batch_and_space_lets_it_go_on(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path, full: str, size: str
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    small = out / full  # everything, or only what workers write: a BIDS archive keeps its ledger elsewhere
    small.mkdir(parents=True)
    for number, source in enumerate(recordings):
        (archive / f"sub-{number}").mkdir(parents=True)
        shutil.copy(source, archive / f"sub-{number}")
    if full:
        (archive / "dataset_description.json").write_text("{}")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("no permission to mount a small disk")
    try:
        with pytest.raises(OutputError, match="room on the disk"):
            batch(archive, out)
        assert not list(out.rglob("*.part"))
        whole = list(out.rglob("*_run.json"))
        for report in whole:  # what is there is whole
            for name, digest in json.loads(report.read_text())["outputs"].items():
                assert hashlib.sha256((report.parent / name).read_bytes()).hexdigest() == digest
        assert 0 < len(whole) < 6 and "failed" not in states(out).values()
        subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
        assert batch(archive, out).complete
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_a_trail_that_cannot_be_written_stops_the_batch_in_order(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in recordings[:3]:
        shutil.copy(source, archive)
    append = Trail.append

    def fail(self: Trail, time: str, facts: dict[str, Any]) -> None:
        if facts["what"] == "done":
            raise OutputError("audit.jsonl", "could not be written", "room on the disk")
        append(self, time, facts)

    with monkeypatch.context() as broken:
        broken.setattr(Trail, "append", fail)
        with pytest.raises(OutputError, match=r"audit\.jsonl"):
            batch(archive, out)
    assert set(states(out).values()) == {"pending"} and not list(out.rglob("*.part"))
    assert batch(archive, out).complete


@pytest.mark.slow
def test_nobody_answers_at_an_address(recordings: list[Path], toy_weights: Path, tmp_path: Path) -> None:
    shutil.copy(recordings[0], tmp_path)
    request = Request(tmp_path, tmp_path / "out", Settings(weights=str(toy_weights)))
    with pytest.raises(RestError, match=r"no scheduler answers at tcp://127\.0\.0\.1:1"):
        run_batch(request, PoolOptions("tcp://127.0.0.1:1"))


def test_wish_to_finish_ends_after_what_is_in_flight(
    scheduler: str, recordings: list[Path], toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in recordings:
        shutil.copy(source, archive)
    begun: list[int] = []
    begin = Ledger.start
    monkeypatch.setattr(Ledger, "start", lambda self, row, attempt: begun.append(row) or begin(self, row, attempt))
    request = Request(archive, out, Settings(weights=str(toy_weights)), plot="none")
    summary = run_batch(request, PoolOptions(scheduler), wish=lambda: FINISHING if begun else GOING)
    assert summary.stopped and 0 < summary.counts["done"] < 6
    assert summary.counts["running"] == 0 and summary.counts["done"] == summary.n_now
    assert run_batch(request, PoolOptions(scheduler)).complete


# ---- processes that die


@pytest.fixture(scope="module")
def poisoned(recordings: list[Path], toy_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Run one archive with every poison in it."""
    folder = tmp_path_factory.mktemp("poisoned")
    archive = folder / "archive"
    archive.mkdir()
    names = ["good 1.edf", "good 2.edf", "good 3.edf", "hang.edf", "kill.edf", "once.edf", "memory.edf", "bug.edf"]
    for number, name in enumerate(names):
        content = bytearray(recordings[number % 6].read_bytes())
        content[-3] ^= number  # no two alike
        (archive / name).write_bytes(content)
    process = start(archive, folder / "out", toy_weights, "--timeout", "40", "--memory", "1500MiB", faults=folder)
    errors = end(process)
    assert process.returncode == 1, errors
    return folder / "out", errors


@pytest.mark.slow
def test_poison_fails_and_the_others_are_done(poisoned: tuple[Path, str]) -> None:
    out, errors = poisoned
    assert states(out) == {
        "bug.edf": "failed",
        "hang.edf": "failed",
        "kill.edf": "failed",
        "memory.edf": "failed",
        "good 1.edf": "done",
        "good 2.edf": "done",
        "good 3.edf": "done",
        "once.edf": "done",
    }, errors
    assert {name: row["attempts"] for name, row in rows(out).items()} == {
        "bug.edf": 2,
        "hang.edf": 2,
        "kill.edf": 2,
        "memory.edf": 2,
        "once.edf": 2,
        "good 1.edf": 1,
        "good 2.edf": 1,
        "good 3.edf": 1,
    }


@pytest.mark.slow
def test_reasons_are_told(poisoned: tuple[Path, str]) -> None:
    out, errors = poisoned
    reasons = {name: row["error"] for name, row in rows(out).items() if row["error"]}
    assert "--timeout" in reasons["hang.edf"]
    assert "worker was killed" in reasons["kill.edf"] and "1.5 GiB" in reasons["memory.edf"]
    assert "ValueError in restcli/archive/job.py" in reasons["bug.edf"] and "SECRET" not in reasons["bug.edf"]
    assert all(f"failed: '{name}'" in errors for name in reasons)
    assert "Traceback" not in errors and "distributed" not in errors and "\x1b" not in errors


@pytest.mark.slow
def test_nothing_half_is_left(poisoned: tuple[Path, str]) -> None:
    out, _ = poisoned
    assert not list(out.rglob("*.part"))
    assert {path.name for path in out.glob("*_run.json")} == {
        f"{name}_run.json" for name in ("good 1", "good 2", "good 3", "once")
    }


@pytest.mark.slow
def test_resume_after_the_coordinator_is_killed(
    recordings: list[Path], toy_weights: Path, tmp_path: Path, batch: Callable[..., BatchSummary]
) -> None:
    archive, out, marks = tmp_path / "archive", tmp_path / "out", tmp_path / "marks"
    archive.mkdir()
    marks.mkdir()
    for number, source in enumerate(recordings):
        shutil.copy(source, archive / (f"wait {source.name}" if number > 1 else source.name))
    process = start(archive, out, toy_weights, faults=marks)
    wait_for(lambda: len(marked(marks)) == 2 and list(out.glob("*_run.json")) and "done" in states(out).values())
    workers = [int(path.read_text()) for path in marked(marks)]
    process.kill()
    process.communicate()
    wait_for(lambda: all(map(is_gone, workers)))
    found = states(out)
    assert "running" in found.values() and "done" in found.values()
    assert batch(archive, out).complete
    assert batch(archive, tmp_path / "whole").complete
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.slow
def test_clock_that_goes_backwards(recordings: list[Path], toy_weights: Path, tmp_path: Path) -> None:
    archive, out, marks = tmp_path / "archive", tmp_path / "out", tmp_path / "marks"
    archive.mkdir()
    marks.mkdir()
    for number, source in enumerate(recordings[:4]):
        place = Path(shutil.copy(source, archive / f"wait {source.name}"))
        os.utime(place, ns=(0, (-1, 0, 10**18, 4 * 10**18)[number]))  # files from before the epoch and from the future
    code = (
        f"import os, time; real = time.time; marks = {str(marks)!r};"
        "time.time = lambda: real() - 3600.0 * min(len(os.listdir(marks)), 2);"
        "from restcli.cli.app import main; main()"
    )
    process = start(archive, out, toy_weights, faults=marks, code=code)
    wait_for(lambda: marked(marks))
    (marks / "go").touch()
    errors = end(process)
    assert process.returncode == 0, errors
    assert "the clock was set back" in errors
    assert set(states(out).values()) == {"done"}
    with Ledger(out / ledger_name(), write=True) as ledger:  # and by the true clock all of that is still done
        assert ledger.counts()["done"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(recordings: list[Path], toy_weights: Path, tmp_path: Path, times: int) -> None:
    archive, out, marks = tmp_path / "archive", tmp_path / "out", tmp_path / "marks"
    archive.mkdir()
    marks.mkdir()
    for source in recordings:
        shutil.copy(source, archive / f"wait {source.name}")
    process = start(archive, out, toy_weights, faults=marks)
    wait_for(lambda: marked(marks))
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: everyone in the foreground gets it
        time.sleep(0.5)  # two signals at the same time would be one
    if times == 1:
        (marks / "go").touch()
    errors = end(process)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    found = list(states(out).values())
    assert "running" not in found and "failed" not in found and "pending" in found
    if times == 1:
        assert "done" in found
    else:
        assert not list(out.rglob("*.part"))


@pytest.mark.slow
def test_ctrl_c_is_heard_while_copies_are_looked_for(recordings: list[Path], toy_weights: Path, tmp_path: Path) -> None:
    archive, out, marks = tmp_path / "archive", tmp_path / "out", tmp_path / "marks"
    archive.mkdir()
    marks.mkdir()
    for number in range(12):
        shutil.copy(recordings[0], archive / f"copy {number}.edf")
    process = start(archive, out, toy_weights, faults=marks)
    workers = [int(path.read_text()) for path in wait_for(lambda: marked(marks))]
    # Dask's choice for the C library, slow for arrays, is not made here.
    assert b"MALLOC_TRIM_THRESHOLD_" not in Path(f"/proc/{workers[0]}/environ").read_bytes()
    os.killpg(process.pid, signal.SIGINT)
    errors = end(process)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and set(states(out).values()) == {"pending"}
    wait_for(lambda: all(map(is_gone, workers)))


@pytest.mark.slow
def test_files_that_cannot_be_hashed_in_time_do_not_stop_the_others(
    recordings: list[Path], toy_weights: Path, tmp_path: Path
) -> None:
    archive, out, marks = tmp_path / "archive", tmp_path / "out", tmp_path / "marks"
    archive.mkdir()
    marks.mkdir()
    for name, source in (("copy 1.edf", 0), ("copy 2.edf", 0), ("c.edf", 1)):
        shutil.copy(recordings[source], archive / name)
    process = start(archive, out, toy_weights, "--timeout", "40", faults=marks)
    errors = end(process)
    assert process.returncode == 0, errors
    assert states(out) == {"copy 1.edf": "done", "copy 2.edf": "done", "c.edf": "done"}
    assert len(marked(marks)) == 2  # the hashing of both was begun, and given up


@pytest.mark.slow
def test_scheduler_lost_and_back(recordings: list[Path], toy_weights: Path, tmp_path: Path) -> None:
    archive, out, marks = tmp_path / "archive", tmp_path / "out", tmp_path / "marks"
    archive.mkdir()
    marks.mkdir()
    for source in recordings:
        shutil.copy(source, archive / f"wait {source.name}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    env = dict(os.environ) | {"RESTCLI_TEST_MARKS": str(marks)}

    def cluster() -> list[subprocess.Popen[bytes]]:
        scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
        worker = [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-dashboard",
            "--preload",
            str(HERE / "batch_faults.py"),
        ]
        return [
            subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for command in (scheduler, worker)
        ]

    processes = cluster()
    news: list[str] = []

    def note(progress: BatchProgress) -> None:
        news.extend(progress.news)
        if progress.running and "killed" not in news and marked(marks):
            (marks / "go").touch()
            news.append("killed")
            for process in processes:
                process.kill()
                process.wait()
            processes.extend(cluster())

    request = Request(archive, out, Settings(weights=str(toy_weights)), plot="none")
    host, port = address.removeprefix("tcp://").split(":")

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    try:
        wait_for(answers)
        summary = run_batch(request, PoolOptions(address), on_update=note)
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=20)
    assert summary.complete and any("was lost" in text for text in news) and "the scheduler is back" in news
    assert all(row["attempts"] == 1 for row in rows(out).values())


def test_nothing_is_remembered_of_tasks_that_ended() -> None:
    assert "spans" not in pool._without_spans(pool.SCHEDULER_EXTENSIONS)


# ---- one GPU

_TURNS = """
import sys, time
from restcli.archive.gpu import turn_at
from restcli.profiling import StageClock
for _ in range(3):
    with turn_at("cuda", StageClock()):
        begin = time.monotonic()
        print("has it", flush=True)
        time.sleep(float(sys.argv[1]))
        print(begin, time.monotonic(), flush=True)
"""


@pytest.mark.slow
def test_processes_take_turns_at_the_gpu_and_a_dead_one_gives_way(tmp_path: Path) -> None:
    env = dict(os.environ, TMPDIR=str(tmp_path))

    def begin(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _TURNS, str(seconds)]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)

    greedy = begin(600)
    assert greedy.stdout is not None and greedy.stdout.readline() == "has it\n"
    others = [begin(0.1) for _ in range(2)]
    time.sleep(1)
    greedy.kill()
    greedy.communicate()
    killed = time.monotonic()
    told = [line.split() for other in others for line in other.communicate(timeout=60)[0].splitlines()]
    turns = sorted((float(a), float(b)) for a, b in told if a != "has")
    assert len(turns) == 6 and turns[0][0] > killed - 0.1
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(turns))


def test_only_scoring_takes_the_gpu(
    recordings: list[Path], toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restcli.archive import gpu, job

    held = []

    class OnGpu:
        """The detector of the CPU, said to be on a GPU."""

        engine = SimpleNamespace(device="cuda")

        def annotate(self, *args: Any, **kwargs: Any) -> Any:
            held.append(is_held())
            return detector.annotate(*args, **kwargs)

    def is_held() -> bool:
        with gpu._open_lock() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    monkeypatch.setattr(gpu, "LOCK_FOLDER", tmp_path / "locks")
    loaded, settings = load_weights(str(toy_weights)), Settings(threshold=0.3)
    detector = job._detector(loaded, "cpu")
    monkeypatch.setattr(job, "_detector", lambda *_: OnGpu())
    from restcli.output.bundle import Written

    monkeypatch.setattr(
        "restcli.output.bundle.Bundle.write", lambda *_, **__: held.append(is_held()) or Written((), {}, ())
    )
    (tmp_path / "ledger.sqlite").touch()
    cache = job.ScoreCache(str(tmp_path), job.scoring_digest(loaded, settings))
    plan = job.Plan("/", str(tmp_path), str(tmp_path / "ledger.sqlite"), cache, loaded, settings, (), "none")
    outcome = job.annotate_one(LedgerRow(1, str(recordings[0]), 1, 1, "a"), plan)
    assert held == [True, False] and "gpu_wait" in outcome["stages"], outcome


def test_workers_leave_room_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MEMORY_LIMIT", 100 * 2**30)
    monkeypatch.setattr(resources, "CPU_COUNT", 32)
    assert [resources.local_size(PoolOptions(), gpu)[0] for gpu in (None, 80 * 2**30, 8 * 2**30, 2**29)] == [
        32,
        32,
        8,
        1,
    ]
    assert resources.local_size(PoolOptions(workers=3), 2**29)[0] == 3  # who says a number gets it


def test_gpu_is_found_by_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 81559\necho 24576\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpu_memory() == 24576 * 2**20
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpu_memory() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho no devices were found\nexit 6\n")
    assert gpu_memory() is None


@pytest.mark.gpu
def test_workers_share_a_gpu(recordings: list[Path], toy_weights: Path, tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    archive = tmp_path / "archive"
    archive.mkdir()
    for source in recordings:
        shutil.copy(source, archive)
    scores = {}
    for device in ("cpu", "cuda"):
        settings = Settings(weights=str(toy_weights), device=device)
        assert run_batch(Request(archive, tmp_path / device, settings, plot="none"), PoolOptions(workers=3)).complete
        assert all(("gpu_wait" in row["stages"]) == (device == "cuda") for row in rows(tmp_path / device).values())
        files = sorted((tmp_path / device).glob("*_scores.csv"))
        scores[device] = np.concatenate([np.genfromtxt(file, delimiter=",", skip_header=1) for file in files])
    np.testing.assert_allclose(scores["cuda"], scores["cpu"], atol=2e-4)


# ---- people


def shown(progress: BatchProgress, *, width: int, panel: Any = None) -> list[str]:
    """Draw the live panel as a terminal of this width would show it."""
    from rich.console import Console

    from restcli.cli.batch import _Panel

    screen = Console(width=width, height=24, force_terminal=True, color_system=None, file=io.StringIO())
    screen.print((panel or _Panel()).draw(progress))
    return screen.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 150])
def test_panel_fits_its_terminal_and_tells_everything(width: int) -> None:
    from rich.cells import cell_len

    names = tuple((f"ward {n}/日本\n[red]{'lang ' * 40}.edf", 3.0 + n) for n in range(11))
    news = tuple(f"failed: 'bad {n}.edf': holds only {n} bytes {'and more ' * 12}(end {n})" for n in range(9))
    counts = {"done": 7, "same": 2, "failed": 9, "running": 11, "pending": 1}
    lines = shown(BatchProgress("annotating", counts, names, 100.0, 360.0, 5000.0, news), width=width)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[1].startswith("annotating: 9 of 30 done (2 duplicates)")
    assert lines[2].startswith("9 failed, 11 running, 1,000 h of EEG")
    assert lines[3].startswith("     3 s  ward 0/日本\\x0a[red]lang") and "3 more running" in lines[11]
    told = "".join(line.strip() for line in lines[12:])
    assert told.index("bad 8") < told.index("bad 4") and "bad 3" not in told and "(end 4)" in told
    assert shown(BatchProgress("walking the archive", dict.fromkeys(counts, 0)), width=80)[-2:] == [
        "walking the archive: 0 of 0 done",
        "0 failed, 0 running, 0 h of EEG an hour, time left unknown",
    ]


def test_log_is_a_line_now_and_then_and_one_for_each_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from restcli.cli import batch as cli_batch

    clock = [0.0]
    monkeypatch.setattr(cli_batch.time, "monotonic", lambda: clock[0])
    log = cli_batch._Log()
    progress = BatchProgress("annotating", {"done": 7, "same": 0, "failed": 1}, (("a.edf", 1.0),), 2.0, 60.0, 45.0)
    for clock[0] in (1.0, 29.0, 31.0, 32.0):
        log(progress)
    log(replace(progress, news=("failed: 'two\\nlines.edf': is empty",)))
    assert capsys.readouterr().err.splitlines() == [
        "restcli: annotating: 7 of 8 done, 1 failed, 1 running, 120 h of EEG an hour, time left 45 s",
        "restcli: failed: 'two\\nlines.edf': is empty",
    ]


def test_status_and_export_of_a_batch(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from restcli.cli.app import app

    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    shutil.copy(recordings[0], archive)
    (archive / "bad.edf").write_text("bad")
    batch(archive, out)
    answer = CliRunner().invoke(app, ["batch", "status", str(out), "--json"])
    facts = json.loads(answer.output)
    assert answer.exit_code == 1 and facts["counts"]["done"] == 1 and facts["failures"][0]["example"] == "bad.edf"
    assert "1 x the file holds only 3 bytes" in CliRunner().invoke(app, ["batch", "status", str(out)]).output
    answer = CliRunner().invoke(app, ["batch", "export", str(out)])
    assert answer.exit_code == 0 and len(answer.output.split()) == 6
    assert export_tables(out, tmp_path / "tables")[1].exists()


def test_ledger_is_readable_while_a_batch_runs(
    batch: Callable[..., BatchSummary], recordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for source in recordings[:3]:
        shutil.copy(source, archive)
    seen = []
    begin = Ledger.start

    def begin_and_look(self: Ledger, row_id: int, attempt: int) -> None:
        begin(self, row_id, attempt)
        seen.append(survey(out)["counts"]["running"])

    monkeypatch.setattr(Ledger, "start", begin_and_look)
    assert batch(archive, out).complete
    assert len(seen) == 3 and min(seen) >= 1
    with pytest.raises(OutputError, match="another batch"), Ledger(out / ledger_name(), write=True):
        batch(archive, out)
