"""The server of a review: what the browser gets, and what everybody else is refused."""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from edf_bytes import EdfFile
from edf_writer import noise, write_edf
from review_files import EVENTS, write_result
from typer.testing import CliRunner

from restcli.archive.audit import read_trail
from restcli.archive.ledger import Keys, Ledger
from restcli.cli.app import app
from restcli.cli.exits import Stopped
from restcli.cli.review import _say_mixture
from restcli.detect.detector import Detector
from restcli.detect.region import place_in_words
from restcli.detect.settings import Settings
from restcli.errors import OutputError
from restcli.io.registry import fingerprint_of, open_recording
from restcli.nn.weights import load_weights
from restcli.review.desk import OpenRecording, open_desk
from restcli.review.montages import views_of
from restcli.review.pages import PageRequest, read_page
from restcli.review.server import Server
from restcli.review.stored import read_result
from restcli.review.strip import sample_trend, strip_of
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Speaks raw HTTP, so that every header can be wrong."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __call__(self, path: str, body: object = None, *, method: str = "", **headers: str) -> Answer:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Host": f"127.0.0.1:{self.server.port}", "X-Token": self.server.token, "Connection": "close"}
        sent |= {"Content-Length": str(len(content)), "Content-Type": "application/json"} if content else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method or ('POST' if content else 'GET')} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in sent.items() if value]
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
            raw = b"".join(iter(lambda: connection.recv(65536), b""))
        return Answer(raw)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, toy_weights: Path) -> Path:
    return write_result(tmp_path_factory.mktemp("review"), toy_weights).parent


def _serving(server: Server) -> Iterator[Browser]:
    thread = Thread(target=server.run)
    thread.start()
    yield Browser(server)
    server.stop()
    thread.join()


@pytest.fixture
def browser(folder: Path) -> Iterator[Browser]:
    (folder / "night_review.jsonl").unlink(missing_ok=True)
    yield from _serving(Server(open_desk({"<b>night": folder / "night_run.json"}, reviewer="r1", blind=False)))


@pytest.fixture
def blind(folder: Path) -> Iterator[Browser]:
    (folder / "night_review.jsonl").unlink(missing_ok=True)
    yield from _serving(Server(open_desk({"night": folder / "night_run.json"}, reviewer="r1", blind=True)))


def unpack(content: bytes) -> tuple[dict[str, Any], np.ndarray]:
    length = int.from_bytes(content[:4], "little")
    head = json.loads(content[4 : 4 + length])
    data = np.frombuffer(content[4 + length :], dtype="<i2").reshape(len(head["traces"]), head["n"])
    return head, np.where(data == -32768, np.nan, data * np.array(head["scale"])[:, None])


def test_the_browser_gets_what_the_contract_says(browser: Browser) -> None:
    session = browser("/api/session").json
    assert session["reviewer"] == "r1"
    details = browser("/api/recordings/0").json
    assert session["recordings"][0] | {"scored": 0} == {
        "id": "0",
        "name": "<b>night",
        "hash": details["hash"],
        "n_events": 3,
        "n_judged": 0,
        "duration": 300.0,
        "scored": 0,
        "top_confidence": 0.9,
        "uncertain": 0.2,
        "reviewers": [],
        "read": [],
        "sample": False,
    }
    assert [event["id"] for event in details["detections"]] == ["e1", "e2", "e3"]
    assert details["detections"][0]["side"] == "left temporal"
    assert {view["id"] for view in details["montages"]} >= {"longitudinal", "transverse", "average", "cz", "recorded"}
    assert details["segments"] == [[0.0, 300.0]]
    strip = browser("/api/recordings/0/strip").json
    assert len(strip["time"]) == len(strip["probability"]) == len(strip["amplitude"]) == 300
    assert len(base64.b64decode(strip["spectrum"]["data"])) == strip["spectrum"]["rows"] * 40
    assert strip["places"].keys() == {"e1", "e2", "e3"}
    result = read_result(browser.server.desk.cases["0"].result.path)
    assert strip["places"]["e1"] == place_in_words(result.scores, result.found[0], result.rule.release) != ""
    head, data = unpack(browser("/api/recordings/0/page?start=40&seconds=10&montage=longitudinal&width=1600").body)
    assert (head["sfreq"], head["n"], head["traces"][0]) == (200.0, 2000, "FP1-F7")
    assert np.isfinite(data).all()


def test_verdicts_are_kept_and_conflicts_told(browser: Browser, folder: Path) -> None:
    digest = browser("/api/recordings/0").json["hash"]
    verdict = {"hash": digest, "action": "accept", "event": "e1", "comment": "<script>", "after": 0}
    entry = browser("/api/recordings/0/verdicts", verdict).json["entry"]
    assert (entry["seq"], entry["reviewer"], entry["comment"]) == (1, "r1", "<script>")
    conflict = browser("/api/recordings/0/verdicts", verdict | {"action": "reject"})
    assert (conflict.status, conflict.json["entries"]) == (409, [entry])
    assert browser("/api/recordings/0/verdicts?after=0").json["entries"] == [entry]
    assert browser("/api/recordings/0/verdicts", verdict | {"hash": "0" * 64, "after": 1}).status == 409
    assert browser("/api/session").json["recordings"][0]["n_judged"] == 1
    assert len((folder / "night_review.jsonl").read_text().splitlines()) == 1


def test_a_verdict_that_is_sent_again_after_a_lost_answer_is_written_once(browser: Browser, folder: Path) -> None:
    digest = browser("/api/recordings/0").json["hash"]
    verdict = {"hash": digest, "action": "add", "onset": 1, "stop": 2, "uid": "0af", "after": 0}
    first = browser("/api/recordings/0/verdicts", verdict).json["entry"]
    again = browser("/api/recordings/0/verdicts", verdict | {"after": 0})
    assert (again.status, again.json["entry"]) == (200, first)
    assert len((folder / "night_review.jsonl").read_text().splitlines()) == 1
    assert browser("/api/recordings/0/verdicts", verdict | {"uid": "../x", "after": 1}).status == 400


def test_a_recording_read_to_its_end_is_told_until_that_is_undone(browser: Browser) -> None:
    digest = browser("/api/recordings/0").json["hash"]
    assert browser("/api/recordings/0/verdicts", {"hash": digest, "action": "read", "after": 0}).status == 200
    assert browser("/api/session").json["recordings"][0]["read"] == ["r1"]
    undo = {"hash": digest, "action": "undo", "undoes": 1, "after": 1}
    assert browser("/api/recordings/0/verdicts", undo).status == 200
    assert browser("/api/session").json["recordings"][0]["read"] == []


def test_the_browser_can_ask_for_tables_after_review(browser: Browser, folder: Path) -> None:
    refused = browser("/api/apply", {"recording": "0"})
    assert (refused.status, "holds no verdicts" in refused.json["error"]) == (400, True)
    digest = browser("/api/recordings/0").json["hash"]
    verdict = {"hash": digest, "action": "accept", "event": "e1", "after": 0}
    assert browser("/api/recordings/0/verdicts", verdict).status == 200
    assert "night_events_reviewed.tsv" in browser("/api/apply", {"recording": "0"}).json["files"]
    assert not list(folder.glob("audit*")), "a result outside of an archive has no trail"
    with Ledger(folder / "ledger.sqlite", write=True) as opened:
        opened.begin_run(str(folder / "archive"), Keys("w", "s", "r"), "{}")
    try:
        assert browser("/api/apply", {"recording": "0"}).status == 200
        entry = read_trail(folder / "audit.jsonl").entries[0]
        assert (entry["what"], entry["report"]) == ("verdicts", "night_run_reviewed.json")
    finally:
        for made in (*folder.glob("ledger*"), *folder.glob("audit*"), folder / "index.html"):
            made.unlink(missing_ok=True)
    for wrong in ({"recording": "9"}, {"recording": ["0"]}, {}):
        assert browser("/api/apply", wrong).status == 404
    assert browser("/api/apply", {"recording": "0"}, X_Token="").status == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Host": "127.0.0.1.evil.example:PORT"},
        {"Host": "127.0.0.1:PORT@evil.example"},
        {"Host": "127.0.0.1:PORT, evil.example"},
        {"Host": "127.0.0.1:PORT\r\nHost: evil.example"},
        {"Host": "[::1]:PORT"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:PORT"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1:PORT.evil.example"},
        {"Sec_Fetch_Site": "same-site"},
        {"X_Token": "TOKENx"},
        {"Sec_Fetch_Site": "cross-site"},
        {"X_Token": ""},
        {"X_Token": "wrong"},
        {"X_Token": "wr\u00f6ng"},
    ],
)
def test_other_sites_and_other_users_are_refused(browser: Browser, folder: Path, wrong: dict[str, str]) -> None:
    own = {"PORT": str(browser.server.port), "TOKEN": browser.server.token}
    for name, value in own.items():
        wrong = {header: text.replace(name, value) for header, text in wrong.items()}
    digest = browser("/api/recordings/0").json["hash"]
    for path in ("/api/session", "/api/recordings/0", "/api/recordings/0/page", "/api/nothing"):
        answer = browser(path, **wrong)
        assert answer.status in (400, 403), path
        assert b"night" not in answer.body
    verdict = {"hash": digest, "action": "accept", "event": "e1", "after": 0}
    assert browser("/api/recordings/0/verdicts", verdict, **wrong).status in (400, 403)
    assert not (folder / "night_review.jsonl").exists()


def test_every_answer_forbids_what_the_page_does_not_need(browser: Browser) -> None:
    for answer in (browser("/"), browser("/api/session"), browser("/page/none.js"), browser("/x", X_Token="")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert "tornado" not in str(answer.headers)


def test_the_token_in_an_address_and_other_methods_are_refused(browser: Browser, folder: Path) -> None:
    token, host = browser.server.token, f"127.0.0.1:{browser.server.port}"
    assert browser(f"/api/session?token={token}", X_Token="").status == 403
    assert browser("http://evil.example/api/session").status in (400, 403, 404)
    assert browser(f"http://{host}/api/session", X_Token="").status in (400, 403, 404)
    for method in ("OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "GET\tX"):
        answer = browser("/api/recordings/0/verdicts", method=method, Origin=f"http://{host}")
        assert answer.status in (400, 405), method
        assert not any("access-control" in name for name in answer.headers)
    assert not (folder / "night_review.jsonl").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/page/../stored.py",
        "/page/%2e%2e/stored.py",
        "/page//etc/passwd",
        "/page/..%2fstored.py",
        "/page/",
        "/page/..%5cstored.py",
        "/page/%00index.html",
        "/page/main.js%00",
        "/page/.%2e/desk.py",
    ],
)
def test_nothing_but_the_files_of_the_page_is_served(browser: Browser, path: str) -> None:
    assert browser(path).status == 404


ODD = (
    {"event": {"e1": 1}},
    {"event": ["e1"]},
    {"event": None},
    {"event": "e1\n"},
    {"event": "E1"},
    {"action": "accept "},
    {"action": ["accept"]},
    {"action": "remove"},
    {"after": True},
    {"after": 1.5},
    {"after": -1},
    {"reviewer": "../x"},
    {"reviewer": "r1\n"},
    {"reviewer": "<b>"},
    {"reviewer": 7},
    {"comment": "x" * 2001},
    {"comment": "\x00"},
    {"comment": "\ud800"},
    {"comment": {"a": []}},
    {"label": "<script>"},
    {"label": "sz\n"},
    {"side": "x" * 61},
    {"uid": 7},
    {"uid": "ZZ"},
    {"undoes": "1"},
    {"onset": 5},
    {"seq\x00": 1},
)
ODD_LIMITS = (
    {"onset": 5, "stop": 5},
    {"onset": 5, "stop": 4},
    {"onset": -1, "stop": 4},
    {"onset": True, "stop": 4},
    {"onset": "1", "stop": 4},
    {"onset": 1, "stop": 1e308},
    {"onset": math.nan, "stop": 4},
    {"onset": 1, "stop": math.inf},
    {"onset": [1], "stop": {}},
    {"stop": 4},
    {},
)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/recordings/7", None, 404),
        ("/api/recordings/../0", None, 404),
        ("/api/recordings/0/page?start=nan", None, 400),
        ("/api/recordings/0/page?seconds=1e9", None, 400),
        ("/api/recordings/0/page?width=-1", None, 400),
        ("/api/recordings/0/page?montage=../x", None, 400),
        ("/api/recordings/0/verdicts?after=-1", None, 400),
        ("/api/recordings/0/verdicts", b"[1]", 400),
        ("/api/recordings/0/verdicts", b"{" * 60_000, 400),
        ("/api/recordings/0/verdicts", b"\xff", 400),
        ("/api/recordings/0/verdicts", {"hash": "HASH", "action": "accept", "event": "e9", "after": 0}, 400),
        ("/api/recordings/0/verdicts", {"hash": "HASH", "action": "accept", "event": "c1", "after": 0}, 400),
        ("/api/recordings/0/verdicts", {"hash": "HASH", "action": "add", "onset": 1, "stop": 301, "after": 0}, 400),
        ("/api/recordings/0/verdicts", {"hash": "HASH", "action": "accept", "event": "e1", "after": "0"}, 400),
        ("/api/recordings/0/verdicts", {"hash": "HASH", "action": "accept", "event": "e1", "time": "x" * 60000}, 200),
        ("/api/recordings/0/verdicts", {"hash": "HASH", "action": "accept", "event": "e1", "x": 1}, 400),
        *(("/api/recordings/0/verdicts", {"action": "accept", "event": "e1"} | odd, 400) for odd in ODD),
        *(("/api/recordings/0/verdicts", {"action": "add"} | limits, 400) for limits in ODD_LIMITS),
        *(("/api/recordings/0/verdicts", body, 400) for body in (b"[" * 60_000, b"null", b'"x"', b"{}{}")),
    ],
)
def test_nonsense_is_answered_in_a_sentence(browser: Browser, path: str, body: Any, status: int) -> None:
    if isinstance(body, dict):
        body = {"after": 0} | body | {"hash": browser("/api/recordings/0").json["hash"]}
    answer = browser(path, body)
    assert answer.status == status, answer.body
    assert status == 200 or ("error" in answer.json and "unexpected" not in answer.json["error"])


def test_huge_bodies_and_plain_forms_are_refused(browser: Browser) -> None:
    with pytest.raises((AssertionError, ConnectionError, IndexError, ValueError)):
        assert browser("/api/recordings/0/verdicts", b"x" * 2_000_000).status == 200
    assert browser("/api/recordings/0/verdicts", b"{}", Content_Type="text/plain").status == 400
    assert browser("/api/session").status == 200


def test_blind_readers_cannot_tell_events_from_control_stretches(blind: Browser, folder: Path) -> None:
    details = blind("/api/recordings/0").json
    shown = details["detections"]
    assert len(shown) > len(EVENTS)
    assert {(event["label"], event["confidence"], event["side"]) for event in shown} == {("sz", None, "")}
    assert {len(event["id"]) for event in shown} == {9}
    assert {event["onset"] % 1 for event in shown} == {0.0}, "fractions of a second would tell them apart"
    assert details["threshold"] is None
    strip = blind("/api/recordings/0/strip").json
    assert (strip["probability"], strip["places"]) == (None, {})
    assert blind("/api/session").json["recordings"][0]["top_confidence"] is None
    for after, event in enumerate(shown):
        verdict = {"hash": details["hash"], "action": "reject", "event": event["id"], "after": after}
        assert blind("/api/recordings/0/verdicts", verdict).json["entry"]["event"] == event["id"]
    written = [json.loads(line)["event"] for line in (folder / "night_review.jsonl").read_text().splitlines()]
    assert {"e1", "e2", "e3", "c1"} <= set(written)


def test_a_blind_reading_says_how_many_control_stretches_it_has(
    tmp_path: Path, toy_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = replace(EVENTS[0], onset=5.0, duration=290.0)
    for name, event, controls in (("short", EVENTS[0], 1), ("whole", whole, 0)):
        report = write_result(tmp_path, toy_weights, name=name, events=(event,))
        desk = open_desk({name: report}, reviewer="r1", blind=True)
        assert desk.session()["blind"] == {"events": 1, "controls": controls}
        _say_mixture(desk)
        assert ("0 control stretches for 1 event;" in capsys.readouterr().err) == (controls == 0)


def test_blind_readers_do_not_see_what_others_decided(blind: Browser) -> None:
    details = blind("/api/recordings/0").json
    secret = {"hash": details["hash"], "reviewer": "r2", "action": "comment", "comment": "spikes", "after": 0}
    assert blind("/api/recordings/0/verdicts", secret | {"event": details["detections"][0]["id"]}).status == 200
    for answer in (blind("/api/recordings/0"), blind("/api/recordings/0/verdicts?after=0")):
        assert b"spikes" not in answer.body
        assert b"r2" not in answer.body
    assert [entry["seq"] for entry in blind("/api/recordings/0/verdicts?after=0").json["entries"]] == [1]


def test_the_sensitivity_follows_the_waves_that_the_page_shows(tmp_path: Path, toy_weights: Path) -> None:
    report = write_result(tmp_path, toy_weights)
    plain = noise(19, 300, 200)
    drift = 2000 * np.sin(2 * np.pi * 0.03 * np.arange(60_000) / 200) * np.linspace(-1, 1, 19)[:, None]
    found = []
    loud = plain.copy()
    loud[:, 40 * 200 : 60 * 200] *= 20  # an event
    for waves in (plain, plain + drift, 4 * plain, loud):
        path = write_edf(tmp_path / "night.edf", waves, 200)
        content = json.loads(report.read_text())
        content["recording"]["fingerprint"] = fingerprint_of([path])
        report.write_text(json.dumps(content))
        found.append(OpenRecording("0", "night", read_result(report), "r1").default_sensitivity)
    assert found[0] == found[1] < found[2] and found[0] < found[3]


def test_a_strip_waits_for_what_people_wait_for_and_ends_with_its_window(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, shown, begun, ended = Event(), Event(), Event(), Event()
    order: list[str] = []

    def page(*_: object) -> bytes:
        asked.set()
        assert shown.wait(30)
        order.append("page")
        return b""

    def strip(_: object, pause: Callable[[], None]) -> dict[str, str]:
        begun.set()
        if order == ["page", "strip"]:  # the second window is closed while its strip is read
            try:
                while True:
                    pause()
            finally:
                ended.set()
        pause()
        order.append("strip")
        return {}

    monkeypatch.setattr(OpenRecording, "page", page)
    monkeypatch.setattr(OpenRecording, "strip", strip)
    threads = [Thread(target=browser, args=(f"/api/recordings/0/{what}",)) for what in ("page", "strip")]
    threads[0].start()
    assert asked.wait(30)
    threads[1].start()
    assert begun.wait(30)
    threads[1].join(0.3)  # long enough for a strip that does not wait
    shown.set()
    for thread in threads:
        thread.join()
    assert order == ["page", "strip"]
    begun.clear()
    with socket.create_connection(("127.0.0.1", browser.server.port)) as window:
        head = f"Host: 127.0.0.1:{browser.server.port}\r\nX-Token: {browser.server.token}"
        window.sendall(f"GET /api/recordings/0/strip HTTP/1.1\r\n{head}\r\n\r\n".encode())
        assert begun.wait(30)
    assert ended.wait(30)


def test_closing_the_room_ends_a_strip_that_is_being_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(open_desk({"night": folder / "night_run.json"}, reviewer="r1", blind=False))
    begun, ended = Event(), Event()

    def strip(_: object, pause: Callable[[], None]) -> None:
        begun.set()
        try:
            while True:
                pause()
        finally:
            ended.set()

    monkeypatch.setattr(OpenRecording, "strip", strip)
    thread = Thread(target=server.run)
    thread.start()
    with socket.create_connection(("127.0.0.1", server.port)) as window:
        head = f"Host: 127.0.0.1:{server.port}\r\nX-Token: {server.token}"
        window.sendall(f"GET /api/recordings/0/strip HTTP/1.1\r\n{head}\r\n\r\n".encode())
        assert begun.wait(30)
        server.stop()
        thread.join()
        assert ended.wait(30)


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path, toy_weights: Path) -> None:
    report = write_result(tmp_path, toy_weights, seconds=30, events=())
    read_result(report).check()
    with (tmp_path / "night_scores.csv").open("a") as table:
        table.write("30.5,0.9\n")
    with pytest.raises(OutputError, match="does not belong"):
        read_result(report).check()
    write_edf(tmp_path / "night.edf", noise(19, 31, 200), 200)
    with pytest.raises(OutputError, match="another recording"):
        read_result(report).recording  # noqa: B018
    report.write_text(report.read_text().replace('"rule"', '"role"'))
    with pytest.raises(OutputError, match="not a run report"):
        read_result(report)


def test_gaps_are_gaps_and_filters_stop_at_them(tmp_path: Path) -> None:
    onsets = [f"+{second}" for second in (0, 1, *range(11, 29))]
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    file = EdfFile(labels, [200] * 19, 20, kind="EDF+D", onsets=onsets)
    recording = open_recording(file.write(tmp_path / "gap.edf"))
    view = views_of(recording, DOUBLE_BANANA, {})["average"]
    _, data = unpack(read_page(recording, view, PageRequest(0, 20, 0.5, 70, 50, 1600)))
    lost = np.isnan(data)
    assert lost[:, 200 * 2 : 200 * 11].all()
    assert not lost[:, 200 * 11 :].any()
    assert not lost[:, : 200 * 2].any()


def test_montages_are_offered_where_channels_allow_most_of_them(tmp_path: Path) -> None:
    recording = open_recording(write_edf(tmp_path / "b.edf", noise(18, 3, 200), 200, labels=DOUBLE_BANANA))
    views = views_of(recording, DOUBLE_BANANA, {})
    assert set(views) == {"longitudinal", "recorded"}, "in a double banana the midline hangs in the air"
    labels = [*(f"{name}-REF" for name in (*ELECTRODES_19, "A1", "A2")), "ECG", "EOG1"]
    recording = open_recording(write_edf(tmp_path / "r.edf", noise(23, 3, 200), 200, labels=labels))
    views = views_of(recording, DOUBLE_BANANA, {})
    assert set(views) == {"longitudinal", "transverse", "average", "cz", "ears", "recorded"}
    for name, count in {"longitudinal": 18, "transverse": 20, "average": 19, "cz": 18, "ears": 19}.items():
        kinds = [trace.kind for trace in views[name].traces]
        assert kinds == ["eeg"] * count + ["ecg", "eog"], name
    assert [trace.label for trace in views["ears"].traces[:3]] == ["F7-A1", "T3-A1", "T5-A1"]


def test_the_strip_shows_the_amplitude_and_spectrum_that_detection_saw(
    folder: Path, toy_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = read_result(folder / "night_run.json")
    seen = (
        Detector(load_weights(toy_weights), "cpu").annotate(result.recording, Settings(weights=str(toy_weights))).trend
    )
    shown = sample_trend(result.recording, result.montage)
    np.testing.assert_allclose(shown.time, seen.time)
    np.testing.assert_allclose(shown.amplitude, seen.amplitude, rtol=0.05)
    np.testing.assert_allclose(shown.spectrum[:, 1:40], seen.spectrum[:, 1:40], atol=0.05)
    monkeypatch.setattr("restcli.review.strip._MOST_POINTS", 60)
    fewer = sample_trend(result.recording, result.montage)
    np.testing.assert_allclose(fewer.amplitude, seen.amplitude[2::5], rtol=0.05)
    strip = strip_of(result, result.scores, fewer, blind=False)
    assert len(strip["amplitude"]) == 60 and None not in strip["amplitude"]


def test_scores_are_read_in_parts_that_let_others_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_result(folder / "night_run.json").scores
    monkeypatch.setattr("restcli.review.stored._ROWS", 70)
    turns: list[int] = []
    parts = read_result(folder / "night_run.json").read_scores(lambda: turns.append(1))
    assert len(turns) == math.ceil(len(whole.time) / 70) > 2
    for name in ("time", "probability", "by_node"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert whole.time.dtype == np.float64


def test_a_page_is_thinned_out_without_folding_high_frequencies(tmp_path: Path) -> None:
    time = np.arange(60 * 1000) / 1000
    tone = np.repeat(100 * np.sin(2 * np.pi * 480 * time)[None], 19, axis=0) * np.linspace(0.5, 1, 19)[:, None]
    recording = open_recording(write_edf(tmp_path / "fast.edf", tone.astype(np.float32), 1000))
    view = views_of(recording, DOUBLE_BANANA, {})["recorded"]
    head, data = unpack(read_page(recording, view, PageRequest(10, 30, 0, 0, 0, 500)))
    assert head["n"] <= 4 * 500
    assert np.abs(data).max() < 2
    whole, data = unpack(read_page(recording, view, PageRequest(10, 1, 0, 0, 0, 500)))
    assert (whole["sfreq"], round(float(np.abs(data[-1]).max()))) == (1000.0, 100)


def test_the_token_is_not_in_what_the_browser_is_started_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def note(address: str) -> None:
        path = Path(address.removeprefix("file://"))
        opened.append((address, path.read_text(), path.parent.stat().st_mode & 0o777))
        os.kill(os.getpid(), signal.SIGTERM)  # before the server answers anything

    monkeypatch.setattr("webbrowser.open", note)
    with pytest.raises(Stopped):
        CliRunner().invoke(app, ["review", str(folder)])
    ((address, page, mode),) = opened
    token = page.split("token=")[1].rstrip('">')
    assert len(token) > 30 and token not in address and mode == 0o700
    assert not Path(address.removeprefix("file://")).exists()


@pytest.mark.parametrize("names", [[], ["night"], ["night", "day"]])
def test_ctrl_c_is_the_end_of_a_review_and_says_where_verdicts_are(
    names: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: os.kill(os.getpid(), signal.SIGINT))
    for stem in {"night", *names}:
        for output in folder.glob("night_*"):
            shutil.copy(output, tmp_path / output.name.replace("night", stem))
    (tmp_path / "night_review.jsonl").unlink(missing_ok=True)
    for stem in names:
        (tmp_path / f"{stem}_review.jsonl").touch()
    done = CliRunner().invoke(app, ["review", str(tmp_path)])
    said = (
        "closed without verdicts",
        f"verdicts are in {tmp_path / 'night_review.jsonl'}",
        f"verdicts on 2 recordings are in {tmp_path} (*_review.jsonl)",
    )
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines()[-1] == f"restcli: {said[len(names)]}"


@pytest.mark.slow
def test_the_command_serves_and_ends_with_ctrl_c(folder: Path) -> None:
    program = "from restcli.cli.app import main; main()"
    command = [sys.executable, "-c", program, "review", str(folder), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        base, _, token = address.partition("/?token=")
        asked = urllib.request.Request(f"{base}/api/recordings/0/strip", headers={"X-Token": token})
        thread = Thread(target=_ask_often, args=(asked, running))
        thread.start()  # the signal comes while answers are made
        os.kill(running.pid, signal.SIGINT)
        assert running.wait(60) == 0
        thread.join()


def _ask_often(asked: urllib.request.Request, running: subprocess.Popen[str]) -> None:
    while running.poll() is None:
        with suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(asked, timeout=10).read()
