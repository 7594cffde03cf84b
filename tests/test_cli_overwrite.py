"""No command writes over a file that is not its own, unless it is asked to, and none finds out only after its work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_cli import check_refused, restcli

MINE = "mine"


@pytest.fixture
def data(tmp_path: Path, example: Path) -> Path:
    """Return a folder with a recording, expert marks and detected events."""
    for folder in ("archive", "expert", "detected"):
        (tmp_path / folder).mkdir()
    shutil.copy(example, tmp_path / "archive" / "a.edf")
    shutil.copytree(tmp_path / "archive", tmp_path / "bids" / "sub-1" / "eeg")
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    rows = "onset\tduration\teventType\trecordingDuration\n50\t4\tsz\t180\n"
    for folder in ("expert", "detected"):
        (tmp_path / folder / "a_events.tsv").write_text(rows)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("train sim:0-3 --recipe paper --out {0}", "paper.md"),
        ("train sim:0-3 --out {0}", "rest_log.csv"),
        ("evaluate {1}/expert {1}/detected --out {0}", "evaluation.md"),
        ("evaluate {1}/expert {1}/detected --out {0}", "operating_scores.png"),
        ("film {1}/archive/a.edf --out {0}/a.gif", "a.gif"),
        ("convert {1}/archive/a.edf {0}/b.edf", "b.edf"),
        ("export rest-default --to c --out {0}", "rest.c"),
        ("recalibrate rest-default {1} --out {0}", "rest-default-ward.md"),
        ("live --replay {1}/archive/a.edf --speed 0 --out {0}", "a_scores.csv"),
        ("annotate {1}/archive/a.edf --out {0}", "a_events.tsv"),
        ("simulate {0} --realism {1}/expert", "realism.md"),
        ("simulate {0}", "README"),
        ("batch {1}/archive {0}", "index.html"),
        ("batch {1}/bids {0}/derivatives/restcli", "derivatives/restcli/README"),
    ],
)
def test_what_is_there_stays(data: Path, words: str, taken: str) -> None:
    place = data / "out"
    (place / taken).parent.mkdir(parents=True)
    (place / taken).write_text(MINE)
    done = restcli(*words.format(place, data).split())
    assert done.returncode in (2, 3) and (taken in done.stderr or "not empty" in done.stderr), done.stderr
    assert [path for path in place.rglob("*") if path.is_file()] == [place / taken]
    assert (place / taken).read_text() == MINE


def test_an_evaluation_is_replaced_when_asked_to(data: Path) -> None:
    words = ["evaluate", data / "expert", data / "detected", "--out", data / "out"]
    assert restcli(*words).returncode == 0
    check_refused(restcli(*words), 3, "evaluation.json: already exists", "pass --overwrite")
    assert restcli(*words, "--overwrite").returncode == 0


@pytest.mark.slow
def test_tables_of_an_archive_replace_their_own_alone(data: Path) -> None:
    assert restcli("batch", data / "archive", data / "out", "--plot", "none", "--workers", "1").returncode == 0
    assert restcli("batch", data / "archive", data / "out", "--plot", "none").returncode == 0  # again: its own files
    for _ in range(2):
        assert restcli("batch", "export", data / "out").returncode == 0
    (data / "expert" / "events.csv").write_text(MINE)
    check_refused(restcli("batch", "export", data / "out", "--to", data / "expert"), 3, "events.csv: already exists")
    assert (data / "expert" / "events.csv").read_text() == MINE
    for ledger in (data / "out").glob("ledger*"):
        ledger.unlink()
    assert restcli("batch", data / "archive", data / "out", "--plot", "none").returncode == 0


def test_a_log_is_not_appended_to_another_file(data: Path) -> None:
    recording = data / "archive" / "a.edf"
    before = recording.read_bytes()
    check_refused(restcli("formats", "--log", recording), 2, "holds something other than a log")
    assert recording.read_bytes() == before
    for _ in range(2):
        assert restcli("formats", "--log", data / "log.jsonl").returncode == 0


def test_a_recording_is_never_replaced(tmp_path: Path, example: Path) -> None:
    for name in ("night.edf", "night_events.edf"):
        shutil.copy(example, tmp_path / name)
    check_refused(
        restcli("annotate", tmp_path / "night.edf", "--out", tmp_path, "--format", "edf", "--overwrite"),
        3,
        "is a recording, which is never replaced",
    )
    folders = ("--data", tmp_path, "--into", tmp_path)
    done = restcli("szcore", *folders, "--input", "night.edf", "--output", "night.edf")
    check_refused(done, 3, "is a recording, which is never replaced")
    assert {path.read_bytes() for path in tmp_path.glob("*.edf")} == {example.read_bytes()}


def test_a_recording_is_not_written_over_however_its_folder_is_spelled(tmp_path: Path) -> None:
    names = [tmp_path / "w" / name for name in ("x.edf", "x_events.edf")]
    (tmp_path / "w").mkdir()
    (tmp_path / "link").symlink_to("w")
    for name in names:
        name.write_bytes(b"EEG")
    for out in (tmp_path / "w", tmp_path / "w" / ".." / "w", tmp_path / "link"):
        done = restcli("annotate", *names, "--out", out, "--format", "edf", "--overwrite")
        check_refused(done, 2, "is one of the recordings")
    assert [name.read_bytes() for name in names] == [b"EEG"] * 2
