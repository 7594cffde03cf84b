"""Damaged event tables in every format: nothing but valid events or an AnnotationError without free text comes out."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marks_tables import FOUND, HEADER, START, TUSZ, written

from restcli.errors import AnnotationError
from restcli.events import Event, Events, Span
from restcli.marks.chbmit import read_summary
from restcli.marks.registry import FORMATS, WRITABLE, find_format, read_events, write_events
from restcli.marks.siena import read_list
from restcli.marks.table import head_of, number

UNSCORED = Events(FOUND.events, 3600.0, START, (Span(100.0, 160.5, "flat"), Span(3500.0, 3600.0, "no EEG")))
LBL = (
    b"version = lbl_v1.0.0\n\nmontage = 0, FP1-F7: EEG FP1-REF -- EEG F7-REF\nnumber_of_levels = 1\nlevel[0] = 3\n"
    b"symbols[0] = {0: '(null)', 1: 'bckg', 2: 'fnsz'}\nlabel = {0, 0, 0.0, 10.0, 0, [0.0, 1.0, 0.0]}\n"
    b"label = {0, 0, 10.0000, 3600.0, 0, [0.0, 0.0, 1.0]}\n"
)
READ_ONLY = {
    "x.tse": b"version = tse_v1.0.0\n\n0.0000 10.2775 bckg 1.0000\n10.2775 3600.0 gnsz 1.0000\n",
    "x.lbl": LBL,
    "x.csv": TUSZ.replace("301.00", "3600").encode() + b"FP1-F7,36.8868,183.3055,cpsz,1.0000\n",
    "x_a1.tsv": b"# Source: SeizeIt1\n404\t457\tFIA\tHem:L\n900\tNone\tF-BTC\tNC\n",
    "x.edf.seizures": bytes.fromhex("00ec0b0000b4008000ec000000280084") + b"\0\0",
}
SUMMARY = b"File Name: a_01.edf\nNumber of Seizures in File: 1\nSeizure Start Time: 417 s\nSeizure End Time: 532 s\n"
SIENA = (
    b"Seizure n 1\nFile name: PN00-1.edf\nRegistration start time: 19.39.33\nRegistration end time:  20.22.58\n"
    b"Seizure start time: 19.58.36\nSeizure end time: 19.59.46\n"
)
# What a written file does not give back.
LOST = {
    "tsv": ("type confidence", "fraction of the start", "not scored"),
    "csv_bi": ("type", "unknown confidence", "channels", "type confidence", "start", "not scored"),
    "edf": ("type confidence", "duration"),
    "xml": ("type confidence", "start", "duration"),
    "csv": (),
    "json": (),
}
NASTY = (
    *(b"nan", b"inf", b"-1", b"1e400", b"1_0", b"\xd9\xa3", b"", b'"', b"\0", b"\xff\xfe", b"[" * 5000, b"{" * 5000),
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"9" * 5000,
        b"99.99.99",
        b"2016-13-45T25:61:61",
        b"+01:00",
        b"Z",
        b"a" * 140_000,
    ),
    *(b"0 seconds", b"\t", b",", b"\n", b"\r", b"\x1c", b"<!ENTITY a 'b'>", b"## time resolution: 0", b"sz", b"bckg"),
)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("valid")
    files = {name: written(UNSCORED, folder, name).read_bytes() for name in WRITABLE}
    return {f"x_events.{name}": data for name, data in files.items()} | READ_ONLY


def only_annotation_errors(path: Path) -> None:
    """Read a file in every way; whatever comes out can be written and is inside the recording."""
    readers = (
        lambda: read_events(path, duration=3600.0, start=START),
        lambda: read_events(path),
        lambda: read_summary(path),
        lambda: read_list(path, {"PN00-1.edf": START}),
    )
    for read in readers:
        try:
            found = read()
        except AnnotationError as error:
            assert str(path) in error.where
            continue
        if isinstance(found, Events):
            write_events(found, path.with_name("again.json"), "json")
            assert all(0 <= event.onset <= event.stop <= found.duration + 1e-6 for event in found)


def test_every_format_is_recognised_and_read(valid: dict[str, bytes], tmp_path: Path) -> None:
    seen = set()
    for name, data in valid.items():
        (tmp_path / name).write_bytes(data)
        (form,) = (form for form in FORMATS if form.matches(head_of(tmp_path / name)))
        assert find_format(tmp_path / name) is form and name.endswith(form.endings)
        assert len(read_events(tmp_path / name, duration=3600.0, start=START)) in {1, 2}
        seen.add(form.name)
    assert seen == {form.name for form in FORMATS}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_raises_nothing_else(valid: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    files = valid | {"s.txt": SUMMARY, "l.txt": SIENA}
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = start + data.draw(st.sampled_from([0, 1, 4, 8, 30]))
        content = content[:start] + data.draw(st.sampled_from(NASTY) | st.binary(max_size=8)) + content[stop:]
    (tmp_path / name).write_bytes(content)
    only_annotation_errors(tmp_path / name)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cell_of_another_kind_raises_nothing_else(
    valid: dict[str, bytes], tmp_path: Path, data: st.DataObject
) -> None:
    """Replace a whole token, so that what surrounds it stays valid."""
    files = valid | {"s.txt": SUMMARY, "l.txt": SIENA}
    name = data.draw(st.sampled_from(sorted(set(files) - {"x_events.edf", "x.edf.seizures"})))
    tokens = [(m.start(), m.end()) for m in re.finditer(rb"[\w.:]+", files[name])]
    start, stop = data.draw(st.sampled_from(tokens))
    (tmp_path / name).write_bytes(files[name][:start] + data.draw(st.sampled_from(NASTY)) + files[name][stop:])
    only_annotation_errors(tmp_path / name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(READ_ONLY)), head=st.sampled_from([b"", *NASTY]), content=st.binary(max_size=600))
def test_random_bytes_raise_nothing_else(tmp_path: Path, name: str, head: bytes, content: bytes) -> None:
    (tmp_path / name).write_bytes(head + content)
    only_annotation_errors(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("events", "seizures"),
        ("events", [3]),
        ("events", [{"onset": "1", "duration": 2}]),
        ("notScored", [{"start": 1, "stop": 2, "reason": 3}]),
        ("notScored", None),
        ("recordingDuration", True),
        ("recordingDuration", 10**400),
        ("recordingDuration", "3600"),
        ("dateTime", 5),
        ("format", ["restcli-events"]),
    ],
)
def test_mistyped_json_is_refused(tmp_path: Path, name: str, change: object) -> None:
    content = json.loads(written(UNSCORED, tmp_path, "json").read_text()) | {name: change}
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"x\.json"):
        read_events(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("key", "value"), [("channels", "T3"), ("channels", [3]), ("eventType", 5), ("confidence", "1")]
)
def test_a_mistyped_json_event_is_named(tmp_path: Path, key: str, value: object) -> None:
    content = json.loads(written(UNSCORED, tmp_path, "json").read_text())
    content["events"][1][key] = value
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=rf"x\.json, events\[1\]: '{key}'"):
        read_events(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"format": "restcli-events", "a":' + b'{"a":' * 100_000, "is not valid JSON"),
        ("a.xml", b"<?xml version='1.0' encoding='klingon'?><annotationlist/>", "is not valid XML"),
        ("a.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><annotationlist>&b;</annotationlist>", "is not valid XML"),
        ("a.edf.seizures", (63 << 10 | 24).to_bytes(2, "little") + b"## time resolution: 0.00" + bytes(2), None),
        (
            "a.edf.seizures",
            (63 << 10 | 24).to_bytes(2, "little") + b"## time resolution: 0.00" + b"\0\x80\0\x84" + bytes(2),
            "the stream is damaged",
        ),
        ("a.tsv", (HEADER + "1\t2\tsz\tn/a\t" + "T" * 140_000 + "\tn/a\t100\n").encode(), "a.tsv, line 2: the line"),
    ],
)
def test_odd_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str | None) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match=message or "no row"):
        read_events(tmp_path / name, duration=100.0, start=START)


@pytest.mark.parametrize("text", ["\x1c5", "5\x1f", "\u20075", "5\x85"])
def test_numbers_may_stand_among_separators_of_any_kind(text: str) -> None:
    assert number(text, "here") == 5


def test_a_clock_time_with_a_zone_is_refused(tmp_path: Path) -> None:
    text = written(FOUND, tmp_path, "xml").read_text().replace("13:43:14.0000000", "13:43:14.0000000+01:00")
    (tmp_path / "x.xml").write_text(text)
    with pytest.raises(AnnotationError, match=r"x\.xml, annotation 1: the onset is not a clock time"):
        read_events(tmp_path / "x.xml", duration=3600.0, start=START)


def test_an_unclosed_quote_swallows_no_row(tmp_path: Path) -> None:
    rows = '0\t5\tsz\tn/a\tn/a\tn/a\t100\t"spike\n20\t9\tsz\tn/a\tn/a\tn/a\t100\tend"\n'
    (tmp_path / "x.tsv").write_text(HEADER.replace("\n", "\tnote\n") + rows)
    assert [event.onset for event in read_events(tmp_path / "x.tsv")] == [0.0, 20.0]


@pytest.mark.parametrize("form", [form.name for form in FORMATS])
def test_free_text_is_never_quoted(valid: dict[str, bytes], tmp_path: Path, form: str) -> None:
    """Put a name into each token in turn: no message repeats it."""
    for name, content in valid.items():
        (tmp_path / name).write_bytes(content)
        found = find_format(tmp_path / name)
        if found is None or found.name != form or form in {"edf", "seizures"}:
            continue
        for match in re.finditer(rb"[\w.:]+", content):
            (tmp_path / name).write_bytes(content[: match.start()] + b"Mustermann" + content[match.end() :])
            try:
                read_events(tmp_path / name, duration=3600.0, start=START)
            except AnnotationError as error:
                assert "Mustermann" not in str(error)


NAMES = st.sampled_from([(), ("all",), ("T3",), ("FP1-F7", "T5", "CZ")])
KNOWN = st.none() | st.integers(0, 100).map(lambda percent: percent / 100)


@st.composite
def recordings(draw: st.DrawFn) -> Events:
    """Events and stretches that were not scored, with times that every format holds."""
    edges = sorted(draw(st.lists(st.integers(0, 3599), min_size=0, max_size=12, unique=True)))
    events, spans = [], []
    for start, stop in zip(edges[::2], edges[1::2], strict=False):
        if draw(st.booleans()):
            spans.append(Span(float(start), float(stop), draw(st.sampled_from(["flat", "mains, 50 Hz", "a gap"]))))
            continue
        label = draw(st.sampled_from(["sz", "sz_foc_ia", "sz_gen_m_tonicClonic"]))
        confidence, certainty = draw(KNOWN), draw(KNOWN)
        events.append(
            Event(
                float(start),
                float(stop - start) or 1.0,
                label,
                math.nan if confidence is None else confidence,
                draw(NAMES),
                math.nan if certainty is None else certainty,
            )
        )
    start_time = draw(st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2080, 1, 1)))
    start_time = start_time and start_time.replace(microsecond=0) + timedelta(milliseconds=250)
    return Events(tuple(events), 3600.0, start_time, tuple(spans))


@pytest.mark.parametrize("name", WRITABLE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=recordings())
def test_what_a_format_can_hold_comes_back(tmp_path: Path, name: str, events: Events) -> None:
    lost = LOST[name]
    duration = 3600.0 if "duration" in lost else None
    again = read_events(
        written(events, tmp_path, name), duration=duration, start=events.start if "start" in lost else None
    )
    assert [(event.onset, event.stop) for event in again] == [(event.onset, event.stop) for event in events]
    assert again.duration == events.duration and again.ignored == ()
    pairs = list(zip(again, events, strict=True))
    assert "type" in lost or all(ours.label == theirs.label for ours, theirs in pairs)
    assert "channels" in lost or all(ours.channels == theirs.channels for ours, theirs in pairs)
    for ours, theirs in pairs:
        unknown = "unknown confidence" in lost and math.isnan(theirs.confidence)
        assert repr(ours.confidence) == ("1.0" if unknown else repr(theirs.confidence))
    assert "type confidence" in lost or all(
        repr(ours.label_confidence) == repr(theirs.label_confidence) for ours, theirs in pairs
    )
    seconds = events.start and events.start.replace(microsecond=0)
    assert again.start == (seconds if "fraction of the start" in lost else events.start) or "start" in lost
    assert ("not scored" in lost) == (again.unscored != events.unscored) or not events.unscored
