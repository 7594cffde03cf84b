"""What docs/data.md shows is what is read, and restcli data check names every problem with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from edf_writer import noise, write_edf
from test_cli import check_refused, restcli
from test_marks_layouts import put

from restcli.train.check import take_inventory

ROOT = Path(__file__).resolve().parent.parent
SECTIONS = {
    section.partition("\n")[0]: section
    for section in (ROOT / "docs" / "data.md").read_text(encoding="utf-8").split("\n## ")
    if "```tree" in section
}
# Patient, split and seizures by layout as the page describes them.
WANTED = {
    "BIDS-EEG with SzCORE events": [("corpus/sub-01", "", [("sz_foc_ia", 15.0), ("sz", 8.0)])],
    "TUSZ as downloaded": [("aaaaaaac", "dev", [("sz_foc", 18.5)])],
    "CHB-MIT": [("chb01", "", [("sz", 25.0)])],
    "Siena": [("PN14", "", [("sz_foc_a", 20.0)])],
    "SeizeIT1": [("P_ID01", "", [("sz_foc_ia", 15.0), ("sz_foc_f2b", 12.0)])],
    "A plain folder": [("ana", "", [("sz", 15.0), ("sz_foc", 8.0)]), ("ben", "", [])],
}


def minute(path: Path) -> None:
    import datetime

    import edfio

    path.parent.mkdir(parents=True, exist_ok=True)
    edf = edfio.read_edf(write_edf(path, noise(19, 60, 100), 100))
    edf.starttime = datetime.time(19, 39, 33)
    edf.write(path)


def build(section: str, root: Path) -> Path:
    """Make the files of a section of the page."""
    (tree,) = re.findall(r"```tree\n(.*?)```", section, flags=re.DOTALL)
    tables = dict(re.findall(r"```table (\S+)\n(.*?)```", section, flags=re.DOTALL))
    for name in tree.split():
        if name.endswith(".edf"):
            minute(root / name)
        else:
            put(root / name, tables.pop(name))
    assert not tables
    return root / tree.partition("/")[0]


def test_every_layout_with_files_of_its_own_is_on_the_page() -> None:
    assert SECTIONS.keys() == WANTED.keys()


@pytest.mark.parametrize("title", WANTED)
def test_the_page_shows_what_is_read(title: str, tmp_path: Path) -> None:
    inventory = take_inventory(build(SECTIONS[title], tmp_path))
    assert inventory.problems == []
    assert [(each.patient, each.split, list(each.seizures)) for each in inventory.found] == WANTED[title]


def test_check_prints_what_would_be_read(tmp_path: Path) -> None:
    folder = build(SECTIONS["A plain folder"], tmp_path)
    with (folder / "ana" / "night_events.tsv").open("a") as table:
        table.write("55.0\t1.0\tchewing\n")
    done = restcli("data", "check", folder)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first == "usable: 2 recordings of 2 patients, 2 seizures (23 s) in 2 min of EEG"
    assert "ignored, not about seizures: chewing in 1" in rest
    assert "only one patient has seizures" in done.stderr
    assert json.loads(restcli("data", "check", folder, "--json").stdout)["usable"] is True


def test_check_names_every_problem_with_file_and_line(tmp_path: Path) -> None:
    folder = build(SECTIONS["A plain folder"], tmp_path)
    put(folder / "ana" / "night_events.tsv", "onset\tduration\teventType\n10.0\t15.0\tsz\n90.0\t8.0\tsz\n")
    (folder / "ben" / "morning_events.csv").unlink()
    (folder / "cleo").mkdir()
    write_edf(folder / "cleo" / "few.edf", noise(4, 20, 100), 100, labels=["EEG F3", "EEG C3", "EEG P3", "ECG"])
    put(folder / "cleo" / "few_events.csv", "onset,duration,eventType\n0,20,bckg\n")
    done = restcli("data", "check", folder)
    check_refused(done, 3, "night_events.tsv, line 3", "morning.edf: has no marks", "few.edf: only 2 of 18 nodes")
    assert done.stdout.startswith("not usable: 3 problems")


def test_check_names_a_table_beside_a_recording_that_lacks_columns(tmp_path: Path) -> None:
    folder = build(SECTIONS["A plain folder"], tmp_path)
    (folder / "ben" / "morning_events.csv").rename(folder / "ben" / "morning_marks.csv")
    put(folder / "ben" / "morning_marks.csv", "begin,duration,what\n10.0,15.0,Jane's seizure\n")
    put(folder / "ana" / "night.tsv", "start;stop\n1;2\n")
    inventory = take_inventory(folder)
    lacks = "morning_marks.csv lacks the columns onset, eventType (between tabs or commas)"
    assert [lacks in problem and "has no marks" in problem for problem in inventory.problems] == [True]
    (left_out,) = inventory.left_out
    assert left_out.startswith(f"left out: {folder / 'ana' / 'night.tsv'} lacks the columns onset, duration, eventType")
    put(folder / "ben" / "morning_events.tsv", "begin\tduration\n10.0\t15.0\n")
    (problem,) = take_inventory(folder).problems
    assert "morning_events.tsv: the format of the table is unknown; it lacks the columns onset, eventType" in problem
    assert "Jane" not in str(inventory.problems)
