"""Only regular files are opened, nothing is written through links out of a folder of outputs, odd JSON is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from review_files import REPORT
from typer.testing import CliRunner

from restcli.archive.audit import Trail, read_trail
from restcli.archive.cache import ScoreCache
from restcli.archive.ledger import Ledger
from restcli.cli.app import app
from restcli.detect.settings import read_channel_map
from restcli.errors import AnnotationError, OutputError, RestError, UsageError
from restcli.evaluation.files import _tables
from restcli.files import read_json, read_toml, replacing, resolve_output, sha256_of
from restcli.marks.layouts import look_for_items
from restcli.marks.registry import read_events
from restcli.marks.reviewed import find_reviewed, is_detected, read_reviewed
from restcli.output.bundle import Bundle
from restcli.review.apply import Verdicts
from restcli.review.journal import Journal
from restcli.review.stored import find_results, read_result

OPENERS: dict[str, Callable[[Path], Any]] = {
    "a.json": read_json,
    "a.toml": lambda path: read_toml(path, "lines"),
    "a.png": sha256_of,
    "map.toml": read_channel_map,
    "a_events.tsv": read_events,
    "a_run.json": read_result,
    "a_run_reviewed.json": read_reviewed,
    "a_review.jsonl": lambda path: Journal(path).append({"action": "read"}, after=0),
    "b_review.jsonl": lambda path: Journal(path).entries(),
    "audit.jsonl": lambda path: Trail(path).append("2026-01-01", {"what": "end"}),
    "audit-1-of-2.jsonl": read_trail,
    "ledger.sqlite": lambda path: Ledger(path, write=True),
    "ledger.sqlite-journal": lambda path: Ledger(path.with_name("ledger.sqlite"), write=True),
    "ledger.sqlite-wal": lambda path: Ledger(path.with_name("ledger.sqlite")),
    "ledger.lock": lambda path: Ledger(path.with_name("ledger.sqlite"), write=True),
    "ledger.lock-journal": lambda path: Ledger(path.with_name("ledger.sqlite"), write=True),
}


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    killed = "import os, sys; from restcli.files import replacing\nwith replacing(sys.argv[1]): os.kill(os.getpid(), 9)"
    program = "import sys; from restcli.files import write_atomically; write_atomically(sys.argv[1], 'new')"

    def run(text: str, name: str) -> int:
        return subprocess.run([sys.executable, "-c", text, str(tmp_path / name)], check=False).returncode

    foreign = tmp_path / ".mine.part"
    foreign.touch()
    assert run(killed, "b.edf") == -signal.SIGKILL
    (left,) = tmp_path.glob(".????????????.part")
    with replacing(tmp_path / "a.edf") as stream:
        stream.write(b"old")
        assert run(program, "c.edf") == 0
        assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.edf", "c.edf", foreign.name}
    assert (tmp_path / "a.edf").read_bytes() == b"old"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", OPENERS)
def test_a_pipe_in_place_of_a_file_is_an_error_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises((OSError, RestError)):
        OPENERS[name](tmp_path / name)


@pytest.mark.timeout(30)
def test_a_pipe_in_place_of_a_run_report_or_cached_scores_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a_run.json")
    with pytest.raises(OutputError, match="exists"):
        Bundle(tmp_path, "a").check()
    cache = ScoreCache(str(tmp_path), "k" * 16)
    cache.place("c" * 64).parent.mkdir(parents=True)
    os.mkfifo(cache.place("c" * 64))
    nothing: Any = None
    assert cache.restore("c" * 64, nothing, nothing, nothing) is None


@pytest.mark.parametrize("name", [".restcli", ".restcli/scores", ".restcli/scores/cc", "export", "derivatives"])
def test_links_lead_nothing_out_of_the_folder_of_outputs(name: str, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    (out / name).parent.mkdir(parents=True)
    elsewhere.mkdir()
    (out / name).symlink_to(elsewhere)
    nothing: Any = None
    actions: dict[str, Callable[[], Any]] = {
        "export": lambda: CliRunner().invoke(app, ["batch", "export", str(out)], catch_exceptions=False),
        "derivatives": lambda: resolve_output(out, "derivatives/restcli/name"),
    }
    with pytest.raises(OutputError, match="leads out"):
        actions.get(name, lambda: ScoreCache(str(out), "k" * 16).keep("c" * 64, nothing))()
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\x00"])
def test_odd_json_and_toml_are_errors(text: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"a = {text}")
    with pytest.raises(UsageError, match="is not TOML"):
        read_toml(tmp_path / "a", "lines")
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_json(tmp_path / "a")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("scored", 1.5),
        ("scored.not_scored", "x"),
        ("scored.not_scored.0", {}),
        ("scored.not_scored.0.start", "\x1b[2J"),
        ("settings", None),
        ("settings.step", 0),
        ("settings.step", float("nan")),
        ("settings.channel_map", [1]),
        ("settings.formats", [1]),
        ("events.0.onset", float("nan")),
        ("events.0.onset", 10**400),
        ("events.0.channels", "all"),
        ("recording.duration_s", float("inf")),
        ("recording.segments", 3),
        ("rule.threshold", "0.5"),
        ("rule.smooth", float("inf")),
        ("outputs", {"a_events.tsv": 1}),
        ("montage.nodes", None),
    ],
)
def test_a_mistyped_run_report_is_refused(place: str, value: object, tmp_path: Path) -> None:
    (tmp_path / "a_run.json").write_text(json.dumps(REPORT))
    assert Verdicts.of(read_result(tmp_path / "a_run.json")).review().judged == 0
    report = node = json.loads(json.dumps(REPORT))
    *above, last = (int(name) if name.isdecimal() else name for name in place.split("."))
    for name in above:
        node = node[name]
    node[last] = value
    (tmp_path / "a_run.json").write_text(json.dumps(report))
    with pytest.raises(OutputError, match="not a run report"):
        read_result(tmp_path / "a_run.json")


EVENT = {
    "onset": 1.0,
    "duration": 5.0,
    "eventType": "sz",
    "confidence": None,
    "channels": ["C3"],
    "typeConfidence": None,
}
VERDICT = EVENT | {"event": "e1", "verdict": "accepted", "reviewer": "r1"}


def reviewed(**change: Any) -> dict[str, Any]:
    review: dict[str, Any] = {"reviewers": ["r1"], "read_whole_by": [], "of": {"report": "h"}, "verdicts": [VERDICT]}
    review["agreement"] = dict.fromkeys(("accepted", "rejected", "unsure", "not_judged", "added"), 1)
    content: dict[str, Any] = {"recording": {"path": "a.edf", "fingerprint": ""}, "events": [EVENT], "outputs": {}}
    return (
        content
        | {"review": review | {key: value for key, value in change.items() if key != "events"}}
        | ({"events": change["events"]} if "events" in change else {})
    )


@pytest.mark.parametrize(
    "change",
    [
        {"events": [1]},
        {"events": {"a": 1}},
        {"events": [EVENT | {"onset": "<b>"}]},
        {"events": [EVENT | {"channels": [1]}]},
        {"verdicts": [1]},
        {"verdicts": [VERDICT | {"verdict": {}}]},
        {"verdicts": [VERDICT | {"reviewer": 1}]},
        {"reviewers": [1]},
        {"reviewers": 1},
        {"read_whole_by": None},
        {"of": {"report": []}},
        {"agreement": {"accepted": "x"}},
        {"agreement": dict.fromkeys(("accepted", "rejected", "unsure", "not_judged", "added"), "1")},
    ],
)
def test_a_mistyped_report_after_review_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(reviewed()))
    read_reviewed(tmp_path / "good.json")
    (tmp_path / "a.json").write_text(json.dumps(reviewed(**change)))
    with pytest.raises(AnnotationError, match="not a report"):
        read_reviewed(tmp_path / "a.json")


@pytest.mark.parametrize("look", [look_for_items, find_results, find_reviewed, _tables])
def test_a_folder_that_cannot_be_looked_into_is_named(
    look: Callable[..., object], tmp_path: Path, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patient in ("a", "b"):
        (tmp_path / patient).mkdir()
        shutil.copy(example, tmp_path / patient)
    scan = os.scandir

    def refuse(place: str) -> object:  # root may look into every folder
        if Path(place).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RestError, match=r"b: cannot be looked into \(Permission denied\)"):
        look(tmp_path, *((is_detected,) if look is _tables else ()))
