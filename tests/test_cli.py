"""The commands annotate and info: outputs, exit codes, stdout for data and stderr for people."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from edf_writer import noise, write_edf

from restcli.cli.app import main

RESTCLI = [sys.executable, "-c", "import sys; from restcli.cli.app import main; sys.argv[0] = 'restcli'; main()"]


@dataclass(frozen=True)
class Done:
    """Exit code, stdout and stderr of a command."""

    returncode: int
    stdout: str
    stderr: str


def restcli(*arguments: object) -> Done:
    """Run the command line in this process (a fresh one for each call would spend minutes importing)."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["restcli", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def edf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edf(tmp_path_factory.mktemp("edf") / "night.edf", noise(19, 30, 200), 200)


def check_refused(done: Done, code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from restcli.cli.app import app; from typer.testing import CliRunner;"
        "result = CliRunner().invoke(app, ['--help']); assert result.exit_code == 0, result.output;"
        "heavy = {'torch', 'pandas', 'matplotlib', 'numpy', 'mne', 'scipy', 'dask', 'sklearn'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert restcli("--version").stdout.startswith("restcli 0.")


def test_annotate_writes_outputs_and_prints_a_table(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    done = restcli("annotate", edf, "-w", toy_weights, "-o", tmp_path / "out", "--threshold", 0.01)
    assert done.returncode == 0, done.stderr
    assert "onset" in done.stdout and "night" not in done.stderr.split("written")[0]
    assert "\x1b[" not in done.stdout + done.stderr, "no colours when this is no terminal"
    assert "90.0 % of 0:00:30 scored" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "night_events.tsv",
        "night_burden.tsv",
        "night_scores.csv",
        "night_overview.png",
        *(f"night_event01{page}.png" for page in ("", "_p2", "_p3")),
        "night_run.json",
    }


def test_json_is_alone_on_stdout(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    done = restcli("annotate", edf, "-w", toy_weights, "-o", tmp_path, "--json", "--plot", "none")
    report = json.loads(done.stdout)
    assert report["scored"]["fraction"] == pytest.approx(0.9)
    assert isinstance(report["events"], list)


def test_profile_names_every_stage_of_the_users_own_recording(toy_weights: Path, tmp_path: Path) -> None:
    path = write_edf(tmp_path / "fast.edf", noise(19, 30, 256), 256)
    done = restcli("annotate", path, "--weights", toy_weights, "--out", tmp_path / "out", "--profile")
    assert done.returncode == 0, done.stderr
    table = done.stderr[done.stderr.index("time by stage") :]
    for stage in (
        "open",
        "import",
        "weights",
        "read",
        "spectra",
        "network",
        "events",
        "tables",
        "pictures",
    ):
        assert f"\n{stage} " in table, stage
    assert "scored on c" in done.stderr  # cpu or cuda, and why not the latter


def test_nothing_found_is_said_with_what_was_scored(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    done = restcli("annotate", edf, "-w", toy_weights, "-o", tmp_path, "--threshold", 1, "--plot", "none")
    assert done.returncode == 0
    assert "no event reached 1.00 in the 90.0 % of the recording that was scored" in done.stdout


def test_failure_never_reads_as_no_seizure(toy_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "text.edf").write_text("these are no signals, only words")
    done = restcli("annotate", tmp_path / "text.edf", "-w", toy_weights, "-o", tmp_path, "--json")
    check_refused(done, 3, "text.edf")
    report = json.loads(done.stdout)
    assert report["events"] is None and report["error"]
    assert list(tmp_path.glob("*_events*")) == []


def test_failure_says_that_earlier_outputs_are_not_its_own(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "night.edf"
    path.write_bytes(edf.read_bytes())
    fixed = ("-w", toy_weights, "-o", tmp_path / "out", "--plot", "none")
    assert restcli("annotate", path, *fixed).returncode == 0
    path.write_text("no signals any more")
    check_refused(restcli("annotate", path, *fixed), 3, "earlier run")


@pytest.mark.parametrize("make", ["empty", "directory", "missing", "text", "short", "no_eeg"])
def test_unusable_input_exits_3_with_a_reason(make: str, toy_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "input.edf"
    if make == "empty":
        path.touch()
    elif make == "directory":
        path.mkdir()
    elif make == "text":
        path.write_text("hello " * 200)
    elif make == "short":
        write_edf(path, noise(19, 3, 200), 200)
    elif make == "no_eeg":
        write_edf(path, noise(3, 30, 200), 200, labels=["ECG", "SpO2", "EMG chin"])
    done = restcli("annotate", path, "-w", toy_weights, "-o", tmp_path / "out")
    check_refused(done, 3, "input.edf")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_exits_3(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "closed.edf"
    path.write_bytes(edf.read_bytes())
    path.chmod(0)
    check_refused(restcli("annotate", path, "-w", toy_weights), 3, "closed.edf")


def test_output_folder_that_is_a_file_is_refused(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("I am a file")
    check_refused(restcli("annotate", edf, "-w", toy_weights, "-o", tmp_path / "out"), 3, "out")


def test_full_disk_leaves_nothing(edf: Path, toy_weights: Path) -> None:
    done = restcli("annotate", edf, "-w", toy_weights, "-o", "/dev/full/out")
    check_refused(done, 3, "/dev/full")


def test_two_inputs_with_the_same_name_are_refused_before_anything_is_done(
    edf: Path, toy_weights: Path, tmp_path: Path
) -> None:
    other = tmp_path / "Night.EDF"
    other.write_bytes(edf.read_bytes())
    done = restcli("annotate", edf, other, "-w", toy_weights, "-o", tmp_path / "out")
    check_refused(done, 2, "same names")
    assert not (tmp_path / "out").exists()


def test_one_bad_of_three_exits_1_and_does_the_others(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.edf", tmp_path / "good.edf"
    bad.write_text("no signals")
    good.write_bytes(edf.read_bytes())
    done = restcli("annotate", edf, bad, good, "-w", toy_weights, "-o", tmp_path / "out", "--plot", "none")
    check_refused(done, 1, "bad.edf", "1 of 3 recordings failed")
    assert len(list((tmp_path / "out").glob("*_run.json"))) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--step", "0"),
        ("--threshold", "2"),
        ("--format", "docx"),
        ("--plot", "gif"),
        ("--device", "tpu"),
        ("--nonsense",),
    ],
)
def test_wrong_usage_exits_2(edf: Path, toy_weights: Path, tmp_path: Path, arguments: Sequence[str]) -> None:
    check_refused(restcli("annotate", edf, "-w", toy_weights, "-o", tmp_path, *arguments), 2)


def test_channel_map_names_channels(toy_weights: Path, tmp_path: Path) -> None:
    from restcli.signal.montage import ELECTRODES_19

    labels = [f"chan {i}" for i in range(19)]
    path = write_edf(tmp_path / "odd.edf", noise(19, 20, 200), 200, labels=labels)
    check_refused(restcli("annotate", path, "-w", toy_weights, "-o", tmp_path), 3, "--channel-map")
    table = "\n".join(f'"{label}" = "{name}"' for label, name in zip(labels, ELECTRODES_19, strict=True))
    (tmp_path / "map.toml").write_text(table)
    done = restcli(
        "annotate", path, "-w", toy_weights, "-o", tmp_path, "--channel-map", tmp_path / "map.toml", "--plot", "none"
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "map.toml").write_text('"chan 0" = "NOWHERE"')
    check_refused(restcli("info", path, "-w", toy_weights, "--channel-map", tmp_path / "map.toml"), 2, "NOWHERE")
    (tmp_path / "map.toml").write_text('"absent" = "F3"')
    check_refused(restcli("info", path, "-w", toy_weights, "--channel-map", tmp_path / "map.toml"), 2, "absent")


def test_info_describes_a_recording_without_torch(edf: Path, toy_weights: Path) -> None:
    done = restcli("info", edf, "-w", toy_weights, "--json")
    report = json.loads(done.stdout)
    assert report["usable"] is True
    assert report["duration_s"] == 30
    assert "Doe" not in done.stdout and "SECRET" not in done.stdout
    assert restcli("info", edf, "-w", toy_weights).stdout.count("\n") > 5


def test_info_says_why_not(toy_weights: Path, tmp_path: Path) -> None:
    path = write_edf(tmp_path / "ecg.edf", noise(2, 20, 200), 200, labels=["ECG", "SpO2"])
    done = restcli("info", path, "-w", toy_weights)
    assert done.returncode == 3
    assert "0 of 18 nodes" in done.stdout


def test_info_describes_weights(toy_weights: Path) -> None:
    report = json.loads(restcli("info", toy_weights, "--json").stdout)
    assert (report["kind"], report["usable"], report["memory"]) == ("weights", True, 120)


def test_recordings_are_never_written_over(edf: Path, toy_weights: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "p.edf", tmp_path / "p_events.edf"
    for path in (first, second):
        path.write_bytes(edf.read_bytes())
    done = restcli("annotate", first, second, "-w", toy_weights, "-o", tmp_path, "--format", "edf", "--overwrite")
    check_refused(done, 2, "p_events.edf", "would be written")
    assert second.read_bytes() == edf.read_bytes()


@pytest.mark.parametrize("name", ["x" * 240 + ".edf", os.fsdecode(b"b\xff\xe9.edf")])
def test_names_that_outputs_cannot_have_do_not_stop_the_others(
    edf: Path, toy_weights: Path, tmp_path: Path, name: str
) -> None:
    odd, good = tmp_path / name, tmp_path / "good.edf"
    for path in (odd, good):
        path.write_bytes(edf.read_bytes())
    done = restcli("annotate", odd, good, "-w", toy_weights, "-o", tmp_path / "out", "--plot", "none")
    check_refused(done, 1, "1 of 2 recordings failed")
    assert (tmp_path / "out" / "good_run.json").exists()
