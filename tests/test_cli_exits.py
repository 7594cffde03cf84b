"""How restcli ends: signals, closed pipes, full disks, usage errors and bugs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from edf_writer import noise, write_edf
from test_cli import RESTCLI, check_refused, restcli

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture(scope="module")
def edf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edf(tmp_path_factory.mktemp("edf") / "night.edf", noise(19, 30, 200), 200)


def run_with_stdout(stdout: IO[Any] | int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RESTCLI, *map(str, arguments)], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [("--help",), ("annotate", "--help"), ("info", "EDF", "--json"), ("info", "EDF")])
def test_a_closed_pipe_ends_quietly(arguments: Sequence[str], edf: Path, toy_weights: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_with_stdout(writer, *[edf if part == "EDF" else part for part in arguments])
    os.close(writer)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("--help",), ("info", "EDF", "--json"), ("info", "EDF")])
def test_a_full_disk_behind_stdout_is_one_clear_error(arguments: Sequence[str], edf: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_with_stdout(full, *[edf if part == "EDF" else part for part in arguments])
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["restcli: standard output: could not be written (No space left on device)."]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_annotate_notices_a_full_stdout_before_it_scores(edf: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_with_stdout(full, "annotate", edf, "-o", tmp_path / "out")
    assert done.returncode == 3
    assert done.stderr.splitlines() == ["restcli: standard output: could not be written (No space left on device)."]
    assert not (tmp_path / "out").exists()


def test_json_of_a_name_that_is_not_text_stays_json(tmp_path: Path, toy_weights: Path) -> None:
    path = tmp_path / os.fsdecode(b"b\xff.edf")
    path.write_text("no signals")
    out = tmp_path / "stdout"
    with out.open("w", encoding="utf-8") as stdout:
        done = run_with_stdout(stdout, "annotate", path, "--json", "-w", toy_weights, "-o", tmp_path)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(out.read_text(encoding="utf-8"))["events"] is None


USAGE_ERRORS = [
    ("annotate", "x.edf", "--step", "0"),
    ("annotate", "x.edf", "--threshold", "2"),
    ("annotate", "x.edf", "--plot", "gif"),
    ("annotate", "x.edf", "--format", "docx"),
    ("annotate", "x.edf", "--device", "tpu"),
    ("annotate", "x.edf", "--passes", "1"),
    ("annotate", "x.edf", "--channel-map", "absent.toml"),
    ("annotate", "x.edf", "y/x.edf"),
    ("annotate",),
    ("info", "x.edf", "--nonsense"),
    ("evaluate", "x"),
    ("evaluate", "x", "--weights", "rest-default", "--device", "tpu"),
    ("evaluate", "x", "--weights", "rest-default", "--skip-missing"),
    ("evaluate", "x", "y", "--threshold", "0.7"),
    ("evaluate", "x", "y", "--device", "cpu"),
    ("train", "sim:", "--loss", "hinge"),
    ("train", "sim:", "--variant", "XY"),
    ("train", "sim:", "--steps", "0"),
    ("train", "sim:", "--device", "tpu"),
    ("simulate", "x", "--hours", "-1"),
    ("simulate", "x", "--recordings", "0"),
    ("annotate", "x.edf", "--passes", "2", "--seed", "-5"),
    ("batch", "x", "y", "--retry", "all"),
    ("batch", "x", "y", "--shard", "5/4"),
    ("batch", "x", "y", "--shard", "0/2"),
    ("batch", "x", "y", "--plot", "gif"),
    ("batch", "x", "y", "--memory", "100MiB"),
    ("batch", "x", "y", "--workers", "0"),
    ("batch", "x", "y", "--timeout", "0"),
    ("batch", "x", "y", "--passes", "1"),
    ("batch", "x", "y", "--format", "docx"),
    ("batch", "x", "y", "--memory", "much"),
    ("unknown",),
]


def test_what_libraries_say_of_themselves_is_not_printed() -> None:
    chatter = "logging.getLogger('matplotlib.font_manager').warning('building the font cache'); warnings.warn('old')"
    program = (
        f"import logging, warnings\nfrom restcli.cli import app\ndef run(_):\n    {chatter}\n    return 0\n"
        "app.exits.run = run\napp.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_usage_errors_come_before_the_heavy_imports() -> None:
    code = (
        "import sys, json\n"
        "from restcli.cli.app import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['restcli', *arguments]\n"
        "    try:\n"
        "        main()\n"
        "    except SystemExit as left:\n"
        "        heavy = {'torch', 'mne', 'matplotlib', 'sklearn', 'distributed', 'pandas'} & set(sys.modules)\n"
        "        if left.code != 2 or heavy:\n"
        "            sys.exit(f'{arguments}: exit code {left.code}, imported {heavy}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(USAGE_ERRORS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def interrupted(number: int) -> Any:
    """Return a function that sends this process a signal in the middle of its work."""

    def send(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        for _ in range(1000):  # the handler runs between two instructions
            pass
        raise AssertionError("the signal was ignored")

    return send


@pytest.fixture
def not_shielded() -> Iterator[None]:
    """Let a closing terminal reach these tests, even when they were started with nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("not_shielded")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_annotate_and_leaves_no_half_output(
    number: int, edf: Path, toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restcli.detect.detector import Detector

    real = Detector.annotate

    def annotate(self: Detector, recording: Any, settings: Any, **options: Any) -> Any:
        return real(self, recording, settings, **{**options, "on_progress": interrupted(number)})

    monkeypatch.setattr(Detector, "annotate", annotate)
    before = [signal.getsignal(each) for each in SIGNALS]
    done = restcli("annotate", edf, "-w", toy_weights, "-o", tmp_path / "out")
    assert done.returncode == 128 + number
    assert done.stderr.splitlines() == ["restcli: nothing was written for night.edf", "restcli: stopped"]
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.usefixtures("not_shielded")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("work", "arguments"),
    [
        ("restcli.train.training.train", ("train", "sim:0-5", "-o", "runs")),
        ("restcli.simulate.bids.write_dataset", ("simulate", "sim")),
        ("restcli.evaluation.dataset.evaluate_dataset", ("evaluate", "data", "--weights", "rest-default")),
    ],
)
def test_a_signal_stops_the_other_commands(
    number: int, work: str, arguments: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, interrupted(number))
    done = restcli(*arguments)
    assert done.returncode == 128 + number
    assert done.stderr.splitlines()[-1] == "restcli: stopped"
    assert ("the data set in sim is incomplete" in done.stderr) == (arguments[0] == "simulate")


def test_a_failing_clean_up_does_not_hide_a_stop(
    edf: Path, toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def confused(path: Path) -> None:
        try:
            interrupted(signal.SIGTERM)()
        finally:
            raise ValueError(path)

    monkeypatch.setattr("restcli.io.registry.open_recording", confused)
    done = restcli("annotate", edf, tmp_path / "next.edf", "-w", toy_weights, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (128 + signal.SIGTERM, "restcli: stopped")


def test_nohup_shields_from_a_closing_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("restcli.simulate.bids.write_dataset", interrupted(signal.SIGHUP))
        done = restcli("simulate", tmp_path / "sim")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "AssertionError" in done.stderr


def broken(path: Path) -> None:
    raise ValueError("Doe, Jane 1980-01-01")


def test_a_bug_is_reported_by_kind_and_place_without_values(
    edf: Path, toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("restcli.io.registry.open_recording", broken)
    arguments = ("annotate", edf, "-w", toy_weights, "-o", tmp_path)
    done = restcli(*arguments, "--json")
    check_refused(done, 70, "night.edf: unexpected ValueError in restcli/cli/annotate.py:", "This is a bug")
    assert "Doe" not in done.stderr + done.stdout
    assert json.loads(done.stdout)["error"] in done.stderr
    check_refused(restcli("info", edf), 70, "unexpected ValueError in restcli/cli/info.py:")
    monkeypatch.setenv("RESTCLI_DEBUG", "1")
    assert "Traceback" in restcli(*arguments).stderr


def test_a_bug_in_one_recording_does_not_stop_the_next(
    edf: Path, toy_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restcli.io import registry

    real = registry.open_recording
    other = tmp_path / "other.edf"
    other.write_bytes(edf.read_bytes())
    monkeypatch.setattr(registry, "open_recording", lambda path: broken(path) if path == edf else real(path))
    done = restcli("annotate", edf, other, "-w", toy_weights, "-o", tmp_path / "out", "--plot", "none")
    check_refused(done, 1, "unexpected ValueError", "1 of 2 recordings failed")
    assert (tmp_path / "out" / "other_run.json").exists()


def test_an_error_of_the_system_names_its_file(edf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(path: Path) -> None:
        Path(path).with_name("gone.edf").read_bytes()

    monkeypatch.setattr("restcli.io.registry.open_recording", vanish)
    check_refused(restcli("info", edf), 3, "gone.edf: could not be read or written (No such file or directory).")


def test_a_closed_stdout_is_an_error_and_a_closed_stderr_is_not(edf: Path) -> None:
    command = f'"{sys.executable}" -c "from restcli.cli.app import main; main()" info "{edf}"'
    closed = subprocess.run(["sh", "-c", f"{command} >&-"], capture_output=True, text=True, check=False)
    assert closed.returncode == 3 and "standard output: could not be written" in closed.stderr
    assert "Traceback" not in closed.stderr and closed.stderr.count("restcli:") == 1
    quiet = subprocess.run(["sh", "-c", f"{command} 2>&-"], capture_output=True, text=True, check=False)
    assert quiet.returncode == 0 and "usable" in quiet.stdout
