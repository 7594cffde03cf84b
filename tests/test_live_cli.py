"""The command ``restcli live``: its files, its lines, its hook."""

from __future__ import annotations

import errno
import io
import json
import math
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from restcli.cli.app import app
from restcli.cli.exits import Stopped, run
from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.errors import OutputError
from restcli.events import Event, Events
from restcli.io.registry import open_recording
from restcli.live.monitor import Monitor, NewScore
from restcli.live.outputs import Hook, Outputs, Tables
from restcli.live.replay import Replay
from restcli.live.status import Status, StatusWatch
from restcli.marks.registry import read_events
from restcli.marks.reviewed import is_detected
from restcli.nn.weights import DEFAULT_NAME, load_weights


def live(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["restcli", "live", *map(str, arguments)])
    return run(app)


def annotate(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["restcli", "annotate", *map(str, arguments)])
    return run(app)


def test_the_tables_are_those_of_annotate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path) -> None:
    assert live(monkeypatch, "--replay", example, "--speed", 0, "--out", tmp_path / "live") == 0
    assert annotate(monkeypatch, example, "--out", tmp_path / "file", "--plot", "none", "--device", "cpu") == 0
    mine, theirs = (tmp_path / part / "absence_events.tsv" for part in ("live", "file"))
    assert mine.read_text() == theirs.read_text()
    ours, other = (pd.read_csv(tmp_path / part / "absence_scores.csv") for part in ("live", "file"))
    assert list(ours.columns) == list(other.columns)
    np.testing.assert_allclose(ours.to_numpy(), other.to_numpy(), atol=2e-4)
    lines = [json.loads(line) for line in (tmp_path / "live" / "absence_live.jsonl").read_text().splitlines()]
    assert [lines[0]["kind"], lines[-1]["kind"]] == ["start", "end"]
    assert lines[-1]["scored_s"] == 177
    assert is_detected(mine), "and no expert's marks"
    assert lines[-1]["not_scored"][-1]["reason"].startswith("past the end")


def test_a_replayed_recording_has_its_pseudonym_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(example, tmp_path / "DoeJane.edf")
    (tmp_path / "names.toml").write_text('"DoeJane.edf" = "p017"')
    out = tmp_path / "out"
    words = ("--speed", 0, "--out", out, "--pseudonyms", tmp_path / "names.toml")
    assert live(monkeypatch, "--replay", tmp_path / "DoeJane.edf", *words) == 0
    assert {path.name for path in out.iterdir()} == {
        f"p017_{end}" for end in ("events.tsv", "scores.csv", "live.jsonl")
    }
    said = capsys.readouterr()
    texts = [said.out, said.err, *(path.read_text() for path in out.iterdir())]
    assert not any("DoeJane" in text for text in texts)
    assert live(monkeypatch, "--stdin", *words) == 2
    assert "--pseudonyms: needs a recording that is replayed" in capsys.readouterr().err


def test_existing_files_are_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "absence_scores.csv").write_text("mine")
    assert live(monkeypatch, "--replay", example, "--speed", 0, "--out", tmp_path) == 3
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "absence_scores.csv").read_text() == "mine"
    quiet = ("--overwrite", "--quiet")
    assert live(monkeypatch, "--replay", example, "--speed", 0, "--out", tmp_path, *quiet) == 0
    said = capsys.readouterr()
    assert said.err == "" and "seizure 1 since" in said.out, "alarms are what is asked for"


def test_the_tables_are_valid_at_any_moment(tmp_path: Path, example: Path) -> None:
    monitor = Monitor(Detector(load_weights(DEFAULT_NAME), "cpu"), Replay(open_recording(example), 0), Settings())
    outputs = Outputs(monitor, Tables(tmp_path, "a"))
    n_events = set()
    for news in monitor.run():
        outputs.take(news)
        events = read_events(tmp_path / "a_events.tsv")
        assert monitor.until - 11 < events.duration <= monitor.until
        assert all(event.stop <= events.duration for event in events)
        assert len((tmp_path / "a_scores.csv").read_text().splitlines()) == monitor.rows + 1
        n_events.add(len(events))
    outputs.close()
    assert n_events == set(range(len(monitor.alarms.events) + 1))
    assert read_events(tmp_path / "a_events.tsv").duration == monitor.until == 180


def test_json_hook_and_marks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hook = tmp_path / "hook.py"
    hook.write_text(f"import sys\nopen({str(tmp_path / 'said')!r}, 'a').write(sys.argv[1] + ' ' + sys.stdin.read())\n")
    (tmp_path / "marks.tsv").write_text("onset\tduration\teventType\trecordingDuration\n44.00\t20.00\tsz\t180.00\n")
    command = f"{sys.executable} {hook} 'two words;'"
    options = ["--json", "--exec", command, "--marks", tmp_path / "marks.tsv"]
    assert live(monkeypatch, "--replay", example, "--speed", 0, "--out", tmp_path, *options) == 0
    said = (tmp_path / "said").read_text().splitlines()
    assert all(line.startswith("two words; {") for line in said)
    printed = capsys.readouterr().out.splitlines()
    messages = [json.loads(line) for line in printed if line.startswith("{")]
    alarms = [message for message in messages if message["kind"] == "alarm"]
    key = lambda alarm: (alarm["number"], alarm["state"], alarm["at"])  # noqa: E731
    assert sorted(key(json.loads(line.split("; ", 1)[1])) for line in said) == sorted(map(key, alarms))
    assert sum(message["kind"] == "score" for message in messages) == 180
    late = alarms[0]["at"] - 44
    assert f"latency from the expert's onset: median {late:.1f} s, 90 % within {late:.1f} s" in printed
    assert any(line.startswith("alarms: 1 of 1") for line in printed)


def test_a_hook_that_fails_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert live(monkeypatch, "--replay", example, "--speed", 0, "--out", tmp_path, "--exec", "/nowhere/x") == 0
    assert "/nowhere/x could not be started" in capsys.readouterr().err


def test_commands_that_hang_are_few_and_share_the_time_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, started, said = [0.0], [], []

    class Hanging:
        returncode = None

        def __init__(self, words: list[str], **_: object) -> None:
            self.stdin = io.BytesIO()
            started.append(words)

        def poll(self) -> None:
            return None

        def wait(self, timeout: float) -> None:
            clock[0] += timeout
            raise subprocess.TimeoutExpired("hang", timeout)

    monkeypatch.setattr("restcli.live.outputs.subprocess.Popen", Hanging)
    monkeypatch.setattr("restcli.live.outputs.time", SimpleNamespace(monotonic=lambda: clock[0]))
    hook = Hook.of("hang", said.append)
    for _ in range(20):
        hook.run({"kind": "alarm", "state": "begin"})
    assert started == [["hang", "alarm", "begin"]] * 16
    assert said == ["--exec: hang was not started for this alarm begin: 16 started before are still running"] * 4
    hook.close(5.0)
    assert clock == [5.0]
    assert said[4:] == ["--exec: hang is still running (commands: 16)"]


def test_an_alarm_is_raised_although_the_disk_is_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(self: Tables, monitor: Monitor) -> None:
        if monitor.alarms.lasting:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Tables, "write_events", full)
    command = f"{sys.executable} -c \"import sys; open({str(tmp_path / 'said')!r}, 'w').write(str(sys.argv))\""
    options = ["--speed", 0, "--out", tmp_path, "--exec", command]
    assert live(monkeypatch, "--replay", example, *options) == 3
    assert "No space left" in capsys.readouterr().err
    assert "'alarm', 'begin'" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("ending", ["scores.csv", "live.jsonl"])
def test_a_write_that_is_cut_short_leaves_no_part_of_a_line(tmp_path: Path, example: Path, ending: str) -> None:
    monitor = Monitor(Detector(load_weights(DEFAULT_NAME), "cpu"), Replay(open_recording(example), 0), Settings())
    tables, path = Tables(tmp_path, "a"), tmp_path / f"a_{ending}"
    scores = (news for news in monitor.run() if isinstance(news, NewScore))
    tables.score(next(scores), monitor)
    tables.line({"kind": "start"})
    before, (soft, hard) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        with pytest.raises(OutputError, match=path.name):
            tables.score(next(scores), monitor) if ending == "scores.csv" else tables.line({"kind": "status"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    tables.close(monitor)
    assert path.read_bytes().startswith(before)


@pytest.mark.parametrize(
    ("number", "end", "code"), [(signal.SIGPIPE, None, 141), (signal.SIGINT, None, 130), (signal.SIGINT, math.inf, 0)]
)
def test_no_second_is_lost_when_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, example: Path, number: int, end: float | None, code: int
) -> None:
    @contextmanager
    def stopping(monitor: Monitor, *, as_json: bool) -> Iterator[Callable[[object], None]]:
        monitor.source.end = end or monitor.source.end

        def show(news: object) -> None:
            if isinstance(news, NewScore) and news.time > 50:
                raise Stopped(number)

        yield show

    monkeypatch.setattr("restcli.cli.live._display", stopping)
    assert live(monkeypatch, "--replay", example, "--speed", 0, "--out", tmp_path) == code
    times = pd.read_csv(tmp_path / "absence_scores.csv")["time"]
    assert times.tolist() == [second + 0.5 for second in range(len(times))]
    assert 53 <= len(times) < 60


@pytest.mark.parametrize("arguments", [(), ("--stdin", "--lsl", "x"), ("--stdin", "--marks", "x")])
def test_one_source_is_needed(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert live(monkeypatch, *arguments) == 2
    assert "Expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "code", "what"),
    [
        ("--name", "../evil", 2, "'../evil' is not a file name"),
        ("--speed", "nan", 2, "--speed: is nan"),
        ("--marks", "missing.tsv", 3, "missing.tsv"),
        ("--out", "batch/inner", 2, "belongs to the results of a batch"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    example: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    option: str,
    value: str,
    code: int,
    what: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batch").mkdir()
    (tmp_path / "batch" / "ledger.sqlite").touch()
    options = {"--out": "out", "--speed": 0} | {option: value}
    words = [word for pair in options.items() for word in pair]
    assert live(monkeypatch, "--replay", example, *words) == code
    assert what in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["batch", "ledger.sqlite"]


def test_ctrl_c_ends_in_order(tmp_path: Path, example: Path) -> None:
    program = "from restcli.cli.app import main; main()"
    options = ["live", "--replay", str(example), "--speed", "8", "--out", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-c", program, *options], stderr=subprocess.PIPE, text=True) as process:
        scores, deadline = tmp_path / "absence_scores.csv", time.monotonic() + 60
        while time.monotonic() < deadline and (not scores.exists() or scores.read_bytes().count(b"\n") < 12):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, "Traceback" in said) == (130, False)
    *_, end = map(json.loads, (tmp_path / "absence_live.jsonl").read_text().splitlines())
    rows = pd.read_csv(scores)
    assert end["kind"] == "end"
    assert end["duration"] == read_events(tmp_path / "absence_events.tsv").duration >= len(rows) >= 11
    assert rows["probability"].tail(3).isna().all()  # the network could look no further ahead


def test_the_view(example: Path) -> None:
    from rich.console import Console

    from restcli.cli.live_view import LiveView

    monitor = Monitor(Detector(load_weights(DEFAULT_NAME), "cpu"), Replay(open_recording(example), 0), Settings())
    view = LiveView(monitor)
    screen = Console(width=110, record=True, file=io.StringIO())
    seen = ""
    for news in monitor.run():
        view.take(news)
        if monitor.rows in (60, 120):
            screen.print(view.draw())
            seen += screen.export_text()
    assert "SEIZURE since 0:00:" in seen
    assert "none now" in seen
    assert "18 of 18 good" in seen


def test_status_begins_and_ends_with_the_rule_over_the_last_hour() -> None:
    said: list[Status] = []
    watch, found = StatusWatch(), [Event(600.0 * k, 130.0) for k in range(1, 7)]  # 13 minutes of seizure in all
    for now in range(0, 9000, 5):
        events = [replace(e, duration=min(e.duration, now - e.onset)) for e in found if e.onset < now]
        said += watch.advance(lambda now=now, events=events: Events(tuple(events), float(now)), float(now))
    assert [item.state for item in said] == ["begin", "end"]
    assert said[0].at == 3670.0  # 12 of the last 60 minutes: five events, and 70 s of the sixth
    assert 720 <= said[0].seizure < 730
    assert said[1].at == pytest.approx(600 + 3600 + 70 - 10, abs=11)
    assert watch.met is False


def test_a_seizure_that_lasts_ten_minutes_is_status() -> None:
    watch = StatusWatch()
    for now in range(0, 700, 10):
        events = Events((Event(50.0, now - 50.0),) if now > 50 else (), float(now))
        if list(watch.advance(lambda events=events: events, float(now))):
            break
    assert now == 650


def test_no_second_is_given_twice_when_the_end_is_interrupted(example: Path) -> None:
    monitor = Monitor(Detector(load_weights(DEFAULT_NAME), "cpu"), Replay(open_recording(example), 0), Settings())
    times: list[float] = []
    for news in monitor.run():
        times += [news.time] if isinstance(news, NewScore) else []
        if len(times) == 179:  # the network looks 3 s ahead: the last three come at the end
            break
    times += [news.time for news in monitor.finish() if isinstance(news, NewScore)]
    assert times == [second + 0.5 for second in range(180)]
