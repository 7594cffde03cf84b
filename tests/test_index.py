"""The page and the tables of an archive: right in sums, safe in names, alive in a browser without a network."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
import pytest

from restcli.archive.derivatives import describe_derivatives
from restcli.archive.index import write_index
from restcli.archive.ledger import Keys, Ledger
from restcli.archive.shards import ledger_name
from restcli.archive.survey import plain_reason, survey
from restcli.archive.tables import export_tables
from restcli.archive.walk import Found, Skipped
from restcli.marks.registry import WRITABLE
from restcli.output.pictures import PICTURES

KEYS = Keys("w" * 64, "s" * 64, "r" * 64)
EVIL = '<img src=x onerror="document.title=1">\n&.edf'


def event(onset: float, picture: str | None = None) -> dict[str, object]:
    return {"onset": onset, "duration": 9.5, "label": "sz", "confidence": 0.8, "channels": "F3,C3", "picture": picture}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return a folder with a ledger: two recordings done, one of them with events, one copy, two failed."""
    with Ledger(tmp_path / ledger_name(), write=True) as ledger:
        run, _ = ledger.begin_run(str(tmp_path / "archive"), KEYS, "{}")
        paths = ["a 1/b#.edf", EVIL, "c.edf", "d.edf", "e.edf"]
        skipped = [Skipped("locked", "cannot be read (Permission denied)", may_hide=True)]
        ledger.enter(run, [Found(path, 10, 5, path[:-4]) for path in paths], skipped=skipped, others={".txt": 5, "": 2})
        ids = {row.path: row.id for row in ledger.waiting(run, 9)}
        ledger.note("hash", {ids["c.edf"]: "h", ids[EVIL]: "h"})
        ledger.pair(run)
        good = {"worker": "w:1", "stages": "{}", "seconds": 1.5, "size": 10, "mtime_ns": 5, "scored": 0.9}
        good |= {"missing": 0.0, "notes": "repaired: 2 of 9 stamps\nusual amplitude 3 µV"}
        outputs = {"a 1/b#_events.tsv": "0", "a 1/b#_overview.png": "1", "a 1/b#_run.json": "2"}
        events = [event(100.0, "a 1/b#_event01.png"), event(9.0)]
        ledger.finish(
            ids["a 1/b#.edf"],
            KEYS,
            good
            | {
                "clock": "2026-01-31 23:59:00",
                "hash": "g",
                "duration": 3600.0,
                "n_events": 2,
                "events": events,
                "outputs": outputs,
            },
        )
        notes = "repaired: 10 of 9 stamps\nusual amplitude 3 µV"
        copied = {"hash": "h", "duration": 1800.0, "n_events": 0, "missing": 8.0, "notes": notes}
        ledger.finish(ids[EVIL], KEYS, good | copied)
        for path, size in (("d.edf", 3), ("e.edf", 77)):
            text = f"/archive/{path}: holds only {size} bytes, less than a header; an EDF recording was expected"
            ledger.finish(ids[path], KEYS, {"error": text, "error_class": "RecordingError", "worker": "w:1"})
        ledger.end_run(run)
    return tmp_path


def test_survey_sums_up(out: Path) -> None:
    facts = survey(out)
    assert facts["counts"] == {"done": 2, "failed": 2, "same": 1, "running": 0, "pending": 0}
    assert facts["eeg_hours"] == 1.5 and facts["scored_hours"] == pytest.approx((3600 + 1808) * 0.9 / 3600)
    assert facts["n_events"] == 2 and facts["n_with_events"] == 1 and facts["other_files"] == {"": 2, ".txt": 5}
    assert [(entry["reason"], entry["n"]) for entry in facts["failures"]] == [
        ("holds only 3 to 77 bytes, less than a header", 2)
    ]
    assert not facts["complete"]


def test_reason_without_its_own_parts() -> None:
    row = {"path": "x/a.edf", "error": "a.edf: not done after 8 s (--timeout); its worker was ended"}
    assert plain_reason(row) == "not done after 8 s (--timeout)"


def test_tables_hold_everything(out: Path) -> None:
    import pyarrow.parquet as parquet

    paths = export_tables(out)
    tables = ("recordings", "events", "reviewed_events")
    assert [path.name for path in paths] == [f"{name}.{kind}" for name in tables for kind in ("csv", "parquet")]
    with paths[0].open(newline="", encoding="utf-8") as stream:
        recordings = {row["path"]: row for row in csv.DictReader(stream)}
    assert len(recordings) == 5 and recordings["c.edf"]["same_as"] == EVIL
    assert recordings["a 1/b#.edf"]["seconds"] == "1.5" and recordings["d.edf"]["scored"] == ""
    assert json.loads(recordings["a 1/b#.edf"]["outputs"])[0] == "a 1/b#_events.tsv"
    with paths[2].open(newline="", encoding="utf-8") as stream:
        assert [row["onset"] for row in csv.DictReader(stream)] == ["100.0", "9.0"]
    table = parquet.read_table(paths[1])
    assert {row["path"]: row["duration"] for row in table.to_pylist()}["a 1/b#.edf"] == 3600.0
    assert parquet.read_table(paths[3]).num_rows == 2
    assert not list((out / "export").glob("*.part"))


def test_page_needs_no_network_and_escapes_names(out: Path) -> None:
    page = write_index(out).read_text(encoding="utf-8")
    assert not re.search(r"https?://|//|@import|<link|url\(", page)
    pictures = re.findall(r"<img[^>]*>", page)
    assert pictures == ['<img src="a%201/b%23_overview.png" alt="overview" loading="lazy">']
    assert "&lt;img" in page and "\\x0a" in page
    targets = set(re.findall(r'href="([^"]*)"', page))
    assert targets == {"a%201/b%23_event01.png", "a%201/b%23_overview.png"}
    assert "<td>0:01:40</td><td>00:00:40</td>" in page and "2026-01" not in page
    assert 'data-stem="a%201/b%23_"' in page and ">events.tsv overview.png run.json<" in page


def test_recording_that_lacks_its_end_is_not_a_clean_row(out: Path) -> None:
    facts = survey(out)
    assert facts["n_incomplete"] == 1 and facts["missing_hours"] == pytest.approx(8 / 3600)
    page = write_index(out).read_text(encoding="utf-8")
    assert page.count("incomplete: 8 s are missing") == 1 and "1</b> recordings are incomplete" in page


def test_repairs_and_doubts_are_told(out: Path) -> None:
    assert [(entry["reason"], entry["n"]) for entry in survey(out)["notes"]] == [
        ("repaired: 2 to 10 of 9 stamps", 2),
        ("usual amplitude 3 µV", 2),
    ]
    page = write_index(out).read_text(encoding="utf-8")
    assert "repaired: 2 of 9 stamps; usual amplitude 3 µV" in page and "<td>repaired: 2 to 10 of 9 stamps</td>" in page


def test_page_is_cut_when_it_would_stall_a_browser(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restcli.archive.index.MOST_ROWS", 3)
    page = write_index(out).read_text(encoding="utf-8")
    assert page.count("<tr>") == 5 + 2 + 2 + 3 + 1 + 1 and "2 more: <code>restcli batch export" in page


def test_page_in_a_browser(out: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    page = write_index(out)
    # The page sorts itself when its heading is clicked; this copy clicks and writes down what it then shows.
    probe = """<script>
    const column = (table, k) => [...document.querySelectorAll(`#${table} tbody tr`)].map(r => r.cells[k].textContent);
    const head = (table, k) => document.querySelectorAll(`#${table} th`)[k];
    const seen = {before: column("events", 2)};
    head("events", 2).firstChild.click(); seen.up = column("events", 2);
    seen.aria = head("events", 2).getAttribute("aria-sort");
    head("events", 2).firstChild.click(); seen.down = column("events", 2);
    head("recordings", 2).firstChild.click(); seen.empty_last = column("recordings", 2);
    seen.link = document.querySelector("#events a").href; seen.title = document.title;
    const field = document.querySelector("input");
    field.value = "b# 3600"; field.dispatchEvent(new Event("input"));
    seen.filtered = [...document.querySelectorAll("tbody tr:not([hidden])")].map(row => row.cells[0].textContent);
    seen.n = document.querySelectorAll("tbody tr").length; seen.said = document.querySelector("output").textContent;
    const files = document.querySelector("details"); files.open = true; files.dispatchEvent(new Event("toggle"));
    seen.files = [...files.querySelectorAll("a")].map(link => link.href);
    document.body.textContent = JSON.stringify(seen);
    </script></body>"""
    copy = out / "probe.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", probe), encoding="utf-8")
    alone = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command = [chromium, *alone, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", copy.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    seen = json.loads(re.search(r"<body>\s*(\{.*\})\s*</body>", shown, re.DOTALL)[1])  # type: ignore[index]
    assert seen["before"] == ["100.0", "9.0"]
    assert seen["up"] == ["9.0", "100.0"] and seen["aria"] == "ascending" and seen["down"] == ["100.0", "9.0"]
    assert seen["empty_last"] == ["1800", "3600", "", "", ""]
    assert seen["link"] == f"{out.as_uri()}/a%201/b%23_event01.png"
    assert seen["files"] == [f"{out.as_uri()}/a%201/b%23_{name}" for name in ("events.tsv", "overview.png", "run.json")]
    assert seen["title"] == "restcli: archive"
    assert seen["filtered"] == ["a 1/b#.edf"] and seen["said"] == f"1 of {seen['n']} rows"


def test_derivatives_are_described(tmp_path: Path) -> None:
    describe_derivatives(tmp_path / "d")
    described = json.loads((tmp_path / "d" / "dataset_description.json").read_text())
    assert {"Name", "BIDSVersion", "DatasetType", "GeneratedBy"} <= set(described)
    assert set(json.loads((tmp_path / "d" / "events.json").read_text())) >= {"onset", "duration", "eventType"}
    assert len((tmp_path / "d" / "README").read_text()) > 150  # what the BIDS validator calls very small
    ignored = (tmp_path / "d" / ".bidsignore").read_text().splitlines()
    assert "!/events.json" in ignored
    names = [*(f"events.{name}" for name in WRITABLE if name != "tsv"), *(f"{picture}01.png" for picture in PICTURES)]
    assert [name for name in names if not any(fnmatch(f"x_{name}", line) for line in ignored)] == []
    assert not any(fnmatch("x_events.tsv", line) for line in ignored)


def test_no_cell_of_an_exported_table_is_a_formula(tmp_path: Path) -> None:
    names = ["=1+1.edf", "+1.edf", "-1.edf", "@sum.edf", "\tx.edf", "plain.edf"]
    with Ledger(tmp_path / ledger_name(), write=True) as ledger:
        run, _ = ledger.begin_run(str(tmp_path / "archive"), KEYS, "{}")
        ledger.enter(run, [Found(name, 10, 5, name[:-4]) for name in names])
        ledger.plan(run, KEYS, retry=False)
        for row in ledger.waiting(run, 9):
            ledger.finish(row.id, KEYS, {"error": '=HYPERLINK("x")', "error_class": "RecordingError"})
        ledger.end_run(run)
    export_tables(tmp_path)
    with (tmp_path / "export" / "recordings.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {f"'{name}" for name in names[:-1]} | {"plain.edf"}
    assert {row["error"] for row in rows} == {'\'=HYPERLINK("x")'}
    assert {row["size"] for row in rows} == {"10"}
    table = pd.read_parquet(tmp_path / "export" / "recordings.parquet")
    assert set(table["path"]) == set(names), "other tables keep names as they are"
