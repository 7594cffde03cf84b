"""Every event format: events come back, files are written whole, and nothing but AnnotationError escapes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from marks_tables import FOUND, NONE, START, written

from restcli import files
from restcli.errors import AnnotationError, OutputError
from restcli.events import Event, Events, Span
from restcli.marks.registry import WRITABLE, read_events, write_events


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("events", [FOUND, NONE], ids=["found", "none"])
def test_every_form_comes_back(tmp_path: Path, kind: str, events: Events) -> None:
    again = read_events(written(events, tmp_path, kind), duration=3600.0, start=START)
    assert again.duration == 3600.0 and again.start == START
    assert [(event.onset, event.duration) for event in again] == [(event.onset, event.duration) for event in events]
    if kind != "csv_bi":
        assert [event.label for event in again] == [event.label for event in events]
        assert [event.channels for event in again] == [event.channels for event in events]
    assert [event.confidence for event in again] == [event.confidence for event in events]
    if kind in {"csv", "json"}:
        assert repr(again) == repr(events)


@pytest.mark.parametrize("kind", WRITABLE)
def test_the_same_events_give_the_same_bytes(tmp_path: Path, kind: str) -> None:
    assert written(FOUND, tmp_path, kind).read_bytes() == written(FOUND, tmp_path, kind).read_bytes()


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / f"night.{kind}"
    path.write_bytes(b"before")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_events(FOUND, path, kind)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == [path.name]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "x", b"x")
    assert names(tmp_path) == []


def test_a_missing_folder_or_a_folder_as_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere.*could not be written .No such file"):
        write_events(FOUND, tmp_path / "nowhere" / "x.tsv", "tsv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").touch()
    with pytest.raises(OutputError):
        write_events(FOUND, tmp_path / "folder", "tsv")
    assert names(tmp_path) == ["folder"]


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, *args: object, **keywords: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "y.tsv").touch()
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(OutputError, match="Permission denied"):
        write_events(FOUND, tmp_path / "x.tsv", "tsv")
    assert names(tmp_path) == ["y.tsv"]
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(AnnotationError, match="Permission denied"):
        read_events(tmp_path / "y.tsv")


def test_an_unknown_kind_or_type_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the format 'mat' is unknown"):
        write_events(FOUND, tmp_path / "x", "mat")
    with pytest.raises(OutputError, match="the event type 'sz-foc' is unknown"):
        write_events(Events((Event(1.0, 2.0, "sz-foc"),), 10.0), tmp_path / "x", "tsv")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"", "the file is empty"),
        ("a.tsv", b" \n\n", "the file is empty"),
        ("a.txt", b"hello\n", "the format of the table is unknown"),
        ("a.tsv", b"onset\tduration\n1\t2\n", "there is no column eventType"),
        ("a.json", b'{"events": []}', "the format of the table is unknown"),
        ("a.json", b'{"format": "restcli-events",', "is not valid JSON"),
        ("a.xml", b"<?xml version='1.0'?><a>", "the format of the table is unknown"),
        ("a.xml", b"<?xml version='1.0'?><annotationlist>", "is not valid XML"),
        ("a.edf", b"0       " + b" " * 500, "the annotations cannot be read"),
        ("a.edf.seizures", b"\x00\xec\x0b", "stops in the middle"),
        ("a.edf.seizures", bytes.fromhex("00840000"), r"unpaired '\]'"),
        ("a.edf.seizures", bytes.fromhex("00800000"), "never ends"),
        ("x-summary.txt", b"Data Sampling Rate: 256 Hz\n", "Give the folder"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match=message):
        read_events(tmp_path / name, duration=100.0)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no\.tsv: cannot be read .No such file"):
        read_events(tmp_path / "no.tsv")


@pytest.mark.parametrize("name", WRITABLE)
def test_what_was_not_scored_is_read_back_where_the_format_holds_it(tmp_path: Path, name: str) -> None:
    spans = (Span(10.0, 20.0, ""), Span(30.0, 60.0, "cut off: missing from the file"))
    write_events(Events((Event(1.0, 4.0),), 30.0, START, spans), tmp_path / f"cut.{name}", name)
    again = read_events(tmp_path / f"cut.{name}", duration=30.0, start=START)
    assert again.unscored == (spans if WRITABLE[name].holds_unscored else ())
