"""Recordings in memory: arrays and Raw objects give what the file gives; wrong input is refused with the reason."""

from __future__ import annotations

import pickle
import warnings
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import pytest
from edf_writer import noise, write_edf

import restcli
from restcli.errors import UsageError
from restcli.events import Span
from restcli.signal.montage import ELECTRODES_19

SFREQ = 256.0


def raw_of(data: np.ndarray, sfreq: float = SFREQ, names: tuple[str, ...] = ELECTRODES_19) -> mne.io.BaseRaw:
    return mne.io.RawArray(data * 1e-6, mne.create_info(list(names), sfreq, "eeg"), verbose="error")


def same_scores(one: restcli.Result, other: restcli.Result) -> None:
    assert one.scores.unscored == other.scores.unscored and one.scores.duration == other.scores.duration
    np.testing.assert_allclose(one.scores.probability, other.scores.probability, rtol=0, atol=1e-5)
    np.testing.assert_allclose(one.scores.by_node, other.scores.by_node, rtol=0, atol=1e-5)
    assert [(e.onset, e.duration, e.channels) for e in one.events] == [
        (e.onset, e.duration, e.channels) for e in other.events
    ]


@pytest.fixture(scope="module")
def from_file(example: Path) -> restcli.Result:
    return restcli.annotate(example)


def test_array_read_with_pyedflib_equals_the_file(example: Path, from_file: restcli.Result) -> None:
    import pyedflib

    with pyedflib.EdfReader(str(example)) as file:
        data = np.stack([file.readSignal(i) for i in range(file.signals_in_file)])
        sfreq, names = file.getSampleFrequency(0), file.getSignalLabels()
    found = restcli.annotate(data, sfreq=sfreq, ch_names=names)
    same_scores(found, from_file)
    assert len(found.events) == 3 and found.recording.format == "array" and found.recording.start is None
    same_scores(restcli.annotate(restcli.open_recording(data.astype("f4"), sfreq=sfreq, ch_names=names)), from_file)


def test_raw_equals_the_file(example: Path, from_file: restcli.Result) -> None:
    for preload in (False, True):
        raw = mne.io.read_raw_edf(example, preload=preload, verbose="error")
        found = restcli.annotate(raw)
        same_scores(found, from_file)
        assert found.recording.path == example and found.recording.start == from_file.recording.start


def test_resampled_array_equals_the_file(tmp_path: Path, toy_weights: Path) -> None:
    path = write_edf(tmp_path / "a.edf", noise(19, 60, SFREQ), SFREQ)
    raw = mne.io.read_raw_edf(path, verbose="error")
    expected = restcli.annotate(path, weights=toy_weights)
    same_scores(restcli.annotate(raw, weights=toy_weights), expected)
    data = raw.get_data() * 1e6
    same_scores(restcli.annotate(data, sfreq=SFREQ, ch_names=raw.ch_names, weights=toy_weights), expected)


@pytest.mark.parametrize("sfreq", [200.0, SFREQ])
def test_nan_is_not_scored(sfreq: float, toy_weights: Path) -> None:
    data = noise(19, 90, sfreq)
    length = int(sfreq)
    data[:, 30 * length : 40 * length] = np.nan  # a gap
    data[:, 60 * length + 5] = np.nan  # too short for a gap
    data[3, 70 * length + 5] = np.inf
    result = restcli.annotate(data, sfreq=sfreq, ch_names=ELECTRODES_19, weights=toy_weights)
    assert [(s.start, s.stop) for s in result.recording.segments] == [(0, 30), (40, 90)]
    assert Span(30.0, 40.0, "no signal: a gap in the recording") in result.scores.unscored
    probability = result.scores.probability
    assert np.isnan(probability[30:40]).all() and np.isnan(probability[60]) and np.isfinite(probability[72])
    assert np.isfinite(probability[40:50]).all()
    lost = {node: counts["no signal"] for node, counts in result.bad_seconds.items()}
    assert min(lost.values()) == 11 and max(lost.values()) == 12


def test_nan_at_both_ends_and_a_dead_channel(toy_weights: Path) -> None:
    data = noise(19, 60, 200)
    data[:, :1000], data[:, -1000:], data[0] = np.nan, np.nan, np.nan
    result = restcli.annotate(data, sfreq=200, ch_names=ELECTRODES_19, weights=toy_weights)
    assert result.recording.duration == 60 and result.scores.duration == 60
    assert (result.scores.unscored[0].start, result.scores.unscored[0].stop) == (0, 5)
    assert result.scores.unscored[-1].stop == 60 and result.scores.scored < 0.85
    assert set(result.montage.missing) == {"FP1-F7", "FP1-F3"}


def test_raw_gaps_joins_and_clock(toy_weights: Path) -> None:
    raw = raw_of(noise(19, 90, SFREQ))
    raw.set_meas_date(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    raw.crop(tmin=10)
    when = raw.info["meas_date"]
    raw.set_annotations(mne.Annotations([40.0], [10.0], ["BAD_ACQ_SKIP"], orig_time=when))
    recording = restcli.open_recording(raw)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 30, 0), (40, 80, 40)]
    assert recording.start == datetime(2020, 1, 2, 3, 4, 15) and recording.repairs == ()
    result = restcli.annotate(raw, weights=toy_weights)
    assert np.isnan(result.scores.probability[30:40]).all() and np.isfinite(result.scores.probability[40:70]).all()
    joined = mne.concatenate_raws([raw_of(noise(19, 30, SFREQ)), raw_of(noise(19, 30, SFREQ))], verbose="error")
    recording = restcli.open_recording(joined)
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 30), (30, 60)]
    assert "unknown distance" in recording.repairs[0] and recording.clock_until == 30


def test_raw_names_no_patient_and_other_channels_stay_out() -> None:
    names = (*ELECTRODES_19, "STI 014")
    raw = mne.io.RawArray(
        np.concatenate([noise(19, 30, 200) * 1e-6, np.ones((1, 6000))]),
        mne.create_info(list(names), 200, ["eeg"] * 19 + ["stim"]),
        verbose="error",
    )
    raw.info["subject_info"] = {"his_id": "SECRET-77", "last_name": "Doe"}
    recording = restcli.open_recording(raw)
    assert "SECRET" not in repr(recording) and "Doe" not in repr(recording)
    assert [channel.unit for channel in recording.channels] == ["µV"] * 19 + ["µV"]
    assert recording.path == Path("raw")


def test_bad_channels_and_masked_samples_are_not_used(toy_weights: Path) -> None:
    data = noise(19, 30, 200)
    raw = mne.io.RawArray(1e-6 * data, mne.create_info(list(ELECTRODES_19), 200, "eeg"), verbose="error")
    raw.info["bads"] = ["FP1"]
    result = restcli.annotate(raw, weights=toy_weights)
    assert "channel 'FP1': marked as bad; left out" in result.recording.repairs
    assert not any("FP1" in node.split("-") for node in result.montage.nodes)
    masked = np.ma.masked_array(data, mask=np.zeros(data.shape, dtype=bool))
    masked[:, 2000:3000] = np.ma.masked
    recording = restcli.open_recording(masked, sfreq=200, ch_names=ELECTRODES_19)
    assert [(segment.start, segment.stop) for segment in recording.segments] == [(0, 10), (15, 30)]


def test_array_recording_is_plain_data() -> None:
    data = noise(19, 5, 200)
    recording = restcli.open_recording(data, sfreq=200, ch_names=ELECTRODES_19)
    copy = pickle.loads(pickle.dumps(recording))  # noqa: S301
    np.testing.assert_array_equal(copy.read([3], 1, 2)[0], data[3, 200:400].astype("f4"))
    whole = restcli.open_recording(np.rint(data).astype("i2"), sfreq=200, ch_names=ELECTRODES_19)
    np.testing.assert_array_equal(whole.read([0], 0, 5)[0], np.rint(data[0]))


GOOD = noise(19, 20, 200)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        (GOOD, {}, "without sampling rate or channel names"),
        (GOOD, {"sfreq": 200}, "without sampling rate or channel names"),
        (None, {}, "NoneType"),
        (GOOD.T, {"sfreq": 200, "ch_names": ELECTRODES_19}, "seems to be transposed.*Pass data.T"),
        (GOOD[:18], {"sfreq": 200, "ch_names": ELECTRODES_19}, "18 x 4000 with 19 channel names"),
        (GOOD[0], {"sfreq": 200, "ch_names": ELECTRODES_19}, "an array of 4000"),
        (GOOD[:, :0], {"sfreq": 200, "ch_names": ELECTRODES_19}, "an empty array of 19 x 0"),
        ([], {"sfreq": 200, "ch_names": []}, "an array of 0 with 0 channel names"),
        ([[1, 2], [3]], {"sfreq": 200, "ch_names": ["a", "b"]}, "rows of different lengths"),
        (GOOD, {"sfreq": 200, "ch_names": 19}, "int is not a list of names"),
        (GOOD, {"sfreq": 200, "ch_names": ELECTRODES_19, "settings": 0.5}, "given as float"),
        (GOOD[:, :10], {"sfreq": 200, "ch_names": ELECTRODES_19}, "fewer samples than channels"),
        (GOOD * 1j, {"sfreq": 200, "ch_names": ELECTRODES_19}, "complex128"),
        (GOOD.astype(str), {"sfreq": 200, "ch_names": ELECTRODES_19}, "real numbers"),
        (GOOD * 1e-6, {"sfreq": 200, "ch_names": ELECTRODES_19}, "in volts or millivolts"),
        (GOOD * 1e-3, {"sfreq": 200, "ch_names": ELECTRODES_19}, "in volts or millivolts"),
        (GOOD * np.nan, {"sfreq": 200, "ch_names": ELECTRODES_19}, "every value is NaN"),
        (GOOD, {"sfreq": 0, "ch_names": ELECTRODES_19}, "sfreq: 0"),
        (GOOD, {"sfreq": float("nan"), "ch_names": ELECTRODES_19}, "sfreq: nan"),
        (GOOD, {"sfreq": "200", "ch_names": ELECTRODES_19}, "sfreq: '200'"),
        (GOOD, {"sfreq": 200, "ch_names": "F3"}, "str is not a list of names"),
        (GOOD, {"sfreq": 200, "ch_names": range(19)}, "range is not a list of names"),
        ("a.edf", {"sfreq": 200}, "given with the file a.edf"),
        (raw_of(GOOD), {"sfreq": 200}, "a Raw object has its own"),
        (raw_of(GOOD * 1e6), {}, "seems to hold microvolts"),
        (restcli.open_recording(raw_of(GOOD)), {"ch_names": ELECTRODES_19}, "a Recording has its own"),
        (raw_of(GOOD), {"treshold": 0.5}, "there is no setting 'treshold'"),
        (raw_of(GOOD), {"settings": restcli.Settings(), "threshold": 0.5}, "given together with threshold"),
        (raw_of(GOOD), {"threshold": 1.5}, "--threshold"),
    ],
)
def test_wrong_input_is_refused(data: object, options: dict[str, object], words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match=words):
            restcli.annotate(data, **options)


@pytest.mark.parametrize("factor", [0.0, 1e35])
def test_arrays_without_eeg_are_refused_without_a_remedy_for_files(factor: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(restcli.errors.RecordingError, match="could be scored") as caught:
            restcli.annotate(GOOD * factor, sfreq=200, ch_names=ELECTRODES_19)
    assert caught.value.remedy == ""


def test_settings_as_keywords(example: Path) -> None:
    data = restcli.open_recording(example)
    result = restcli.annotate(data, threshold=0.9, step=2, channel_map={})
    assert result.settings == restcli.Settings(threshold=0.9, step=2) and result.rule.threshold == 0.9


def test_a_raw_that_cannot_be_read_says_nothing_of_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_of(GOOD)

    def fail(*arguments: object, **options: object) -> None:
        raise ValueError("Doe_Jane")

    monkeypatch.setattr(raw, "get_data", fail)
    with pytest.raises(restcli.errors.RecordingError, match="cannot be read") as caught:
        restcli.open_recording(raw)
    assert "Doe" not in str(caught.value)
