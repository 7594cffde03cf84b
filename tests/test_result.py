"""What users do with a result in Python: annotations of MNE, tables, files, other thresholds, and how it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from edf_writer import noise, write_edf

import restcli
from restcli.errors import OutputError, RestError, UsageError
from restcli.events import Event, Events
from restcli.signal.montage import ELECTRODES_19


@pytest.fixture(scope="module")
def result(example: Path) -> restcli.Result:
    return restcli.annotate(example)


def test_to_mne_fits_the_recording(result: restcli.Result, example: Path) -> None:
    marks = result.to_mne()
    assert marks.orig_time is None
    n_events = len(result.events)
    spans = result.scores.unscored
    assert sorted(marks.onset) == sorted([e.onset for e in result.events] + [s.start for s in spans])
    texts = list(marks.description)
    assert texts.count("sz") + texts.count("sz_gen") + texts.count("sz_foc") == n_events == 3
    assert len([text for text in texts if text.startswith("not scored: ")]) == len(spans) > 0
    raw = mne.io.read_raw_edf(example, verbose="error")
    raw.set_annotations(marks)  # names of channels are checked here
    assert len(raw.annotations) == len(marks)


def test_to_mne_names_the_channels_of_the_recording(result: restcli.Result) -> None:
    label = {channel.label for channel in result.recording.channels}
    events = Events((Event(5, 10, "sz_foc", 0.9, ("F3-C3", "C3-P3")), Event(30, 5, channels=("all",))), 180)
    marks = replace(result, events=events).to_mne()
    named = dict(zip(marks.description.tolist(), marks.ch_names, strict=True))
    assert named["sz"] == () and set(named["sz_foc"]) <= label
    assert sorted(name.upper().split()[-1].split("-")[0] for name in named["sz_foc"]) == ["C3", "F3", "P3"]


def test_raw_with_a_late_first_sample_gets_its_annotations_back(toy_weights: Path) -> None:
    info = mne.create_info(list(ELECTRODES_19), 200, "eeg")
    raw = mne.io.RawArray(noise(19, 60, 200) * 1e-6, info, first_samp=5000, verbose="error")
    found = restcli.annotate(raw, weights=toy_weights)
    raw.set_annotations(found.to_mne())
    span = found.scores.unscored[-1]
    assert raw.annotations.onset[-1] - raw.first_time == pytest.approx(span.start)
    assert raw.annotations.duration[-1] == pytest.approx(span.stop - span.start, abs=0.01)


def test_to_frame(result: restcli.Result) -> None:
    frame = result.to_frame()
    assert frame["onset"].tolist() == [event.onset for event in result.events]
    assert frame.attrs["unscored"] and frame.attrs["duration"] == 180


def test_rescore_equals_annotating_again(result: restcli.Result, example: Path) -> None:
    for threshold in (0.1, 0.99):
        again = restcli.annotate(example, threshold=threshold)
        other = result.rescore(threshold)
        assert repr(other.events) == repr(again.events)  # NaN is not equal to itself
        assert other.rule == again.rule and other.settings == again.settings and other.scores is result.scores
        assert other.rescore().settings == other.settings
        assert repr(restcli.rescore(other)) == repr(other.rescore().events) == repr(other.events)
    with pytest.raises(UsageError, match="--threshold"):
        result.rescore(1.5)


def test_save_writes_what_the_command_writes(result: restcli.Result, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from restcli.cli.app import app

    files = result.save(tmp_path / "py", formats=("edf", "json"), plot="none")
    assert [path.name for path in files] == [
        *(f"absence_events.{kind}" for kind in ("tsv", "edf", "json")),
        "absence_burden.tsv",
        "absence_scores.csv",
        "absence_run.json",
    ]
    options = ["--out", str(tmp_path / "cli"), "--format", "edf,json", "--plot", "none"]
    done = CliRunner().invoke(app, ["annotate", str(result.recording.path), *options])
    assert done.exit_code == 0
    for path in files[:-1]:
        assert path.read_bytes() == (tmp_path / "cli" / path.name).read_bytes(), path.name
    report = json.loads(files[-1].read_text())
    assert report["settings"]["formats"] == ["edf", "json"]


def test_save_draws_an_array_under_a_name(toy_weights: Path, tmp_path: Path) -> None:
    found = restcli.annotate(noise(19, 40, 200), sfreq=200, ch_names=ELECTRODES_19, weights=toy_weights)
    files = found.save(tmp_path, name="patient 7", formats="csv")
    assert {path.name for path in files} >= {"patient 7_overview.png", "patient 7_events.csv", "patient 7_run.json"}
    assert json.loads(files[-1].read_text())["recording"]["format"] == "array"
    assert json.loads(files[-1].read_text())["pictures_failed"] == {}


def test_save_refuses(result: restcli.Result, tmp_path: Path, toy_weights: Path) -> None:
    for options, words in (
        ({"formats": "doc"}, "not an event format"),
        ({"plot": "gif"}, "not a kind of picture"),
        ({"name": "../up"}, "without folders"),
        ({"name": "a\0b"}, "cannot be named"),
    ):
        with pytest.raises(RestError, match=words):
            result.save(tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    (tmp_path / "absence_events.tsv").write_text("mine")
    with pytest.raises(OutputError, match="not an unchanged output"):
        result.save(tmp_path, plot="none")
    assert (tmp_path / "absence_events.tsv").read_text() == "mine"
    path = write_edf(tmp_path / "a_events.edf", noise(19, 40, 200), 200)
    found = restcli.annotate(path, weights=toy_weights)
    with pytest.raises(UsageError, match="over the recording"):
        found.save(tmp_path, name="a", formats="edf", plot="none", overwrite=True)


def test_the_outputs_of_another_recording_stay(toy_weights: Path, tmp_path: Path) -> None:
    night = write_edf(tmp_path / "night.edf", noise(19, 40, 200), 200)
    found = restcli.annotate(night, weights=toy_weights)
    for _ in range(2):
        found.save(tmp_path, plot="none")
    (tmp_path / "b").mkdir()
    other = restcli.annotate(write_edf(tmp_path / "b" / "night.edf", noise(19, 41, 200), 200), weights=toy_weights)
    with pytest.raises(OutputError, match="a recording with other contents"):
        other.save(tmp_path, plot="none")
    other.save(tmp_path, plot="none", overwrite=True)


def test_what_annotate_does_not_take_is_refused(example: Path) -> None:
    for options in ({"channel_map": ["x"]}, {"passes": 2.0}, {"channel_map": {"x": 1}}):
        with pytest.raises(UsageError):
            restcli.annotate(example, **options)  # type: ignore[arg-type]


def test_equal_events_are_equal(result: restcli.Result, example: Path) -> None:
    assert len(result.events) and restcli.annotate(example).events == result.events


def test_repr_is_one_line(result: restcli.Result) -> None:
    text = repr(result)
    assert text.startswith("<Result 'absence.edf': 3 events at threshold 0.") and "rest-default>" in text
    assert "% of 0:03:00 scored" in text and "\n" not in text


def test_html_escapes_names_and_holds_no_patient(tmp_path: Path, toy_weights: Path) -> None:
    path = write_edf(tmp_path / "<b>x<b> & y.edf", noise(19, 40, 200), 200)
    found = restcli.annotate(path, weights=toy_weights)
    some = tuple(Event(i, 0.5, confidence=0.5, channels=("<i>",)) for i in range(22))
    for shown in (found, replace(found, events=Events(some, 40))):
        text = shown._repr_html_()
        assert "&lt;b&gt;x&lt;b&gt; &amp; y.edf" in text and "<b>" not in text and "<i>" not in text
        assert "SECRET" not in text and "Doe" not in text and "not scored" in text
    assert "and 2 more events" in text and text.count("<tr>") == 21


def test_html_says_when_nothing_was_found(result: restcli.Result) -> None:
    text = replace(result, events=Events((), 180, unscored=result.scores.unscored))._repr_html_()
    assert "no event reached" in text and "that was scored" in text and "<table>" not in text
    assert np.isclose(result.scores.duration, 180)
