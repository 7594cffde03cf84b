"""``restcli convert``: what is written reads back alike with pyedflib, edfio, MNE and our own reader; no patient."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
from edf_bytes import EdfFile
from edf_writer import noise, write_edf
from foreign_files import (
    write_brainvision,
    write_curry,
    write_eeglab,
    write_egi,
    write_micromed,
    write_neuroscan,
    write_nihon,
    write_persyst,
)
from typer.testing import CliRunner

import restcli
from restcli.cli.app import app
from restcli.events import Event, Events, Span
from restcli.io.recording import Recording
from restcli.marks.registry import read_events
from restcli.output.edf import write_edf as convert
from restcli.signal.montage import ELECTRODES_19


def samples(recording: Recording) -> list[np.ndarray]:
    with recording.source.open() as handle:
        return [handle.read([i], 0, c.n_samples)[0][0] for i, c in enumerate(recording.channels)]


def steps_of(path: Path) -> list[float]:
    """Return one digital step of each signal."""
    ranges = [(s.physical_range, s.digital_max - s.digital_min) for s in edfio.read_edf(path).signals]
    return [abs(high - low) / n_steps for (low, high), n_steps in ranges]


def test_16_bit_samples_come_back_bit_for_bit(example: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.edf"
    assert convert(restcli.open_recording(example), out) == ()
    one, other = edfio.read_edf(example), edfio.read_edf(out)
    assert [signal.label for signal in other.signals] == [signal.label for signal in one.signals]
    for before, after in zip(one.signals, other.signals, strict=True):
        np.testing.assert_array_equal(before.digital, after.digital)
        np.testing.assert_allclose(before.data, after.data, rtol=0, atol=1e-3)
    assert restcli.open_recording(out).repairs == ()


def test_three_other_readers_agree(tmp_path: Path) -> None:
    import pyedflib

    path, _ = write_brainvision(tmp_path)
    recording, out = restcli.open_recording(path), tmp_path / "out.edf"
    convert(recording, out, Events((Event(0.25, 1.5, "sz_foc", 0.75, ("FP1-F7",)),), recording.duration))
    expected, step = np.stack(samples(recording)), steps_of(out)[0]
    n_samples = expected.shape[1]
    with pyedflib.EdfReader(str(out)) as file:
        assert file.getPatientName() in {"", "X"} and file.getSignalLabels() == ["Fp1", "Fp2"]
        read = np.stack([file.readSignal(i) for i in range(2)])
        marks = file.readAnnotations()
    np.testing.assert_allclose(read[:, :n_samples], expected, rtol=0, atol=step)
    assert [list(column) for column in marks] == [[0.25], [1.5], ["sz_foc | 0.75 | FP1-F7"]]
    edf = edfio.read_edf(out)
    np.testing.assert_allclose(np.stack([s.data for s in edf.signals]), expected, rtol=0, atol=step)
    assert [(a.onset, a.duration, a.text) for a in edf.annotations] == [(0.25, 1.5, "sz_foc | 0.75 | FP1-F7")]
    raw = mne.io.read_raw_edf(out, verbose="error")
    np.testing.assert_allclose(raw.get_data() * 1e6, expected, rtol=0, atol=step)
    assert raw.annotations.description.tolist() == ["sz_foc | 0.75 | FP1-F7"]
    found = list(read_events(out, duration=recording.duration))
    assert [(e.onset, e.duration, e.label, e.confidence, e.channels) for e in found] == [
        (0.25, 1.5, "sz_foc", 0.75, ("FP1-F7",))
    ]


def _write_nihon(folder: Path) -> tuple[Path, np.ndarray]:
    return write_nihon(folder, names=dict(enumerate(ELECTRODES_19)), dates=("210315141516", "210315141616"))


@pytest.mark.parametrize(
    "make",
    [
        write_persyst,
        write_eeglab,
        write_brainvision,
        _write_nihon,
        write_neuroscan,
        write_egi,
        write_curry,
        write_micromed,
    ],
)
def test_other_formats(make: object, tmp_path: Path) -> None:
    path, _ = make(tmp_path)  # type: ignore[operator]
    recording, out = restcli.open_recording(path), tmp_path / "out.edf"
    convert(recording, out)
    back = restcli.open_recording(out)
    assert (back.duration, back.segments) == (recording.duration, recording.segments)
    assert [c.label for c in back.channels] == [c.label for c in recording.channels]
    steps = steps_of(out)
    for index, (one, other) in enumerate(zip(samples(recording), samples(back), strict=True)):
        np.testing.assert_allclose(other, one, rtol=0, atol=steps[index])
        assert back.channels[index].maximum > 0


def test_gaps_stay_gaps(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="250=51316.75\n500=51400.5\n750=51401.5\n")
    recording, out = restcli.open_recording(path), tmp_path / "out.edf"
    assert len(recording.segments) > 1
    convert(recording, out, Events((Event(84.0, 1.0),), recording.duration), keep_date=True)
    back = restcli.open_recording(out)
    assert back.format == "EDF+D" and back.repairs == () and back.start == recording.start
    for one, other in zip(recording.segments, back.segments, strict=True):
        assert other.start == pytest.approx(one.start) and other.stop == pytest.approx(one.stop)
        assert other.offset == pytest.approx(one.offset)
    for one, other in zip(samples(recording), samples(back), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=steps_of(out)[0])
    assert edfio.read_edf(out).reserved == "EDF+D"
    assert [event.onset for event in read_events(out, duration=recording.duration)] == [84.0]


@pytest.mark.parametrize("kept", [10, 7])  # of the new file, which may be cut off again
def test_what_a_cut_off_recording_lacks_stays_unscored(kept: int, tmp_path: Path) -> None:
    recording = restcli.open_recording(EdfFile(claimed=40).write(tmp_path / "in.edf"))
    assert (recording.duration, recording.missing) == (10.0, 30.0)
    span, out = Span(10.0, 40.0, "cut off: missing from the file"), tmp_path / "out.edf"
    convert(recording, out, Events((Event(2.0, 5.0),), 10.0, unscored=(span,)))
    marks = {(mark.onset, mark.duration, mark.text) for mark in edfio.read_edf(out).annotations}
    assert marks == {(2.0, 5.0, "sz"), (10.0, 30.0, "not scored: cut off: missing from the file")}
    content = out.read_bytes()
    out.write_bytes(content[: len(content) - (10 - kept) * ((len(content) - 256 * 4) // 10)])
    back = restcli.open_recording(out)
    assert (back.duration, back.missing) == (kept, 40.0 - kept)
    assert "30 s after its end are missing" in back.repairs[-1]
    events = read_events(out, duration=back.duration)
    assert (len(events), events.unscored) == (1, (span,))


def test_no_clock_where_a_pause_is_unknown(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path, markers="Mk2=New Segment,,301,1,0,0\n")
    out = tmp_path / "out.edf"
    convert(restcli.open_recording(path), out, keep_date=True)
    start = restcli.open_recording(out).start
    assert start is None or f"{start:%H:%M:%S}" == "00:00:00"


@pytest.mark.slow
def test_real_recordings_come_back(shared_eeg: Path, tmp_path: Path) -> None:
    found, out = 0, tmp_path / "out.edf"
    for path in sorted(path for path in shared_eeg.rglob("*") if path.suffix.lower() in {".edf", ".bdf", ".eeg"}):
        try:
            recording = restcli.open_recording(path)
        except restcli.errors.RestError:
            continue
        if path.stat().st_size > 2**20 or any(c.problem for c in recording.channels):
            continue
        remarks = convert(recording, out, keep_date=True)
        back = restcli.open_recording(out)
        assert len(back.segments) == len(recording.segments), path
        lost = any("less than a record" in remark for remark in remarks)
        for one, other in zip(recording.segments, back.segments, strict=True):
            assert other.start == pytest.approx(one.start, abs=1e-5), path
            assert lost or other.stop == pytest.approx(one.stop, abs=1e-5), path
        whole = not lost and len(back.channels) == len(recording.channels)
        steps = steps_of(out)
        for index, (one, other) in enumerate(zip(samples(recording), samples(back), strict=False)):
            if whole:
                np.testing.assert_allclose(other, one, rtol=1e-6, atol=steps[index], err_msg=str(path))
        found += 1
    assert found > 20


def test_raw_with_fraction_of_a_second_and_odd_rate(tmp_path: Path) -> None:
    raw = mne.io.RawArray(noise(19, 20, 199.98) * 1e-6, mne.create_info(list(ELECTRODES_19), 199.98, "eeg"))
    raw.set_meas_date(datetime.fromisoformat("2020-01-02T03:04:05.250+00:00"))
    recording, out = restcli.open_recording(raw), tmp_path / "out.edf"
    assert convert(recording, out, keep_date=True) == ()  # whole records of 200 samples, not of 50 s
    back = restcli.open_recording(out)
    assert back.start == recording.start and back.channels[0].sfreq == pytest.approx(199.98, rel=1e-6)
    assert back.channels[0].n_samples == raw.n_times == 4000


@pytest.mark.parametrize("rate", [1024.0005, 199.98, 333.333])
def test_rates_whose_records_the_header_rounds_are_read_by_others(rate: float, tmp_path: Path) -> None:
    import pyedflib

    recording = restcli.open_recording(noise(2, 30, rate), sfreq=rate, ch_names=["Fp1", "Fp2"])
    convert(recording, tmp_path / "out.edf")
    with pyedflib.EdfReader(str(tmp_path / "out.edf")) as file:  # which checks that time stamps follow the header
        read = file.readSignal(0)
    np.testing.assert_allclose(read, samples(recording)[0][: len(read)], atol=steps_of(tmp_path / "out.edf")[0])


def test_channels_without_a_unit_do_not_come_back_as_microvolts(tmp_path: Path) -> None:
    path, _ = write_egi(tmp_path)
    convert(restcli.open_recording(path), tmp_path / "out.edf")
    assert [channel.unit for channel in restcli.open_recording(tmp_path / "out.edf").channels] == [*["µV"] * 3, "n/a"]


@pytest.mark.parametrize(("rate", "record", "length"), [(256, 1, 600), (200, 10, 600), (1000, 0.1, 100)])
def test_the_true_rate_of_a_drifting_clock_comes_back(rate: int, record: float, length: int, tmp_path: Path) -> None:
    n = round(length / record)
    onsets = [f"+{1.0049 * k * record:.3f}" for k in range(n)]
    file = EdfFile(kind="EDF+D", onsets=onsets, n_records=n, duration=str(record), counts=(round(rate * record),) * 2)
    source = restcli.open_recording(file.write(tmp_path / "a.edf"))
    convert(source, tmp_path / "b.edf")
    back = restcli.open_recording(tmp_path / "b.edf")
    assert back.channels[0].sfreq == pytest.approx(source.channels[0].sfreq, rel=1e-6)
    assert back.duration == pytest.approx(source.duration, abs=1.1 * max(record, 1)) and back.repairs == ()


def test_wide_ranges_long_names_and_nan_are_reported(tmp_path: Path) -> None:
    data = noise(19, 20, 200)
    data[0] += np.linspace(-2e5, 2e5, data.shape[1])
    data[1, 2000:2400] = np.nan
    data[2, 0] = -2e7
    names = [*ELECTRODES_19[:18], "EEG CZ with a name of µ length"]
    out = tmp_path / "out.edf"
    remarks = convert(restcli.open_recording(data, sfreq=200, ch_names=names), out)
    text = "\n".join(remarks)
    assert "one digital step is 6.1 µV" in text and "'EEG CZ with a na'" in text
    assert "samples without a value are written at the lower limit: 'FP2'" in text
    assert "channel 'F3' left out" in text
    back = restcli.open_recording(out)
    block = next(back.blocks([0, 1], sfreq=200))
    np.testing.assert_allclose(block.data[0], data[0], atol=steps_of(out)[0])
    assert block.saturated[1].tolist() == [1.0 if second in (10, 11) else 0.0 for second in range(20)]


def test_many_long_annotations_fit(tmp_path: Path) -> None:
    data = noise(19, 10, 200)
    events = Events(tuple(Event(i / 10, 0.05, channels=tuple(ELECTRODES_19)) for i in range(99)), 10)
    out = tmp_path / "out.edf"
    convert(restcli.open_recording(data, sfreq=200, ch_names=ELECTRODES_19), out, events)
    assert len(edfio.read_edf(out).annotations) == 99
    assert len(mne.io.read_raw_edf(out, verbose="error").annotations) == 99


def test_nothing_of_the_patient_and_no_date(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "in.edf", noise(19, 20, 256), 256)
    out = tmp_path / "out.edf"
    done = CliRunner().invoke(app, ["convert", str(path), str(out)])
    assert done.exit_code == 0 and "written" in done.stderr
    head = out.read_bytes()[:256]
    for word in (b"SECRET", b"Doe", b"2024", b"MAY", b"06.05", b"1980"):
        assert word not in head
    assert restcli.open_recording(out).start == datetime(1985, 1, 1, 23, 59, 30)
    done = CliRunner().invoke(app, ["convert", str(path), str(out), "--keep-date", "--overwrite"])
    assert done.exit_code == 0 and restcli.open_recording(out).start == datetime(2024, 5, 6, 23, 59, 30)


def test_command_writes_events_and_json(example: Path, tmp_path: Path) -> None:
    table, out = example.with_name("absence_expert.tsv"), tmp_path / "out.edf"
    done = CliRunner().invoke(app, ["convert", str(example), str(out), "--events", str(table), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"recording": str(example), "written": str(out), "events": 3, "remarks": []}
    assert [round(e.onset, 2) for e in read_events(out)] == [round(e.onset, 2) for e in read_events(table)]


def test_command_refuses(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "in.edf", noise(19, 5, 200), 200)
    taken = tmp_path / "taken.edf"
    taken.write_text("mine")
    link = tmp_path / "link.edf"
    link.symlink_to(path)
    before = path.read_bytes()
    for out, options, code, words in (
        (taken, [], 3, "already exists"),
        (tmp_path / "out.bdf", [], 2, "does not end in .edf"),
        (path, ["--overwrite"], 2, "a file of the recording itself"),
        (link, ["--overwrite"], 2, "a file of the recording itself"),
        (tmp_path / "none" / "out.edf", [], 3, "could not be written"),
    ):
        done = CliRunner().invoke(app, ["convert", str(path), str(out), *options])
        assert words in str(done.exception) and done.exception.exit_code == code, done  # type: ignore[union-attr]
    assert taken.read_text() == "mine" and path.read_bytes() == before
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "fields",
    [
        {"digital": [(-2048, 2047), (-2048, 2047)]},  # with samples outside
        {"physical": [(3200, -3200), (3200, -3200)]},
        {"physical": [(-3.2, 3.2), (-3.2, 3.2)], "units": ["mV", "mV"]},
        {"counts": (256, 128)},
        {
            "duration": "0.5",
            "onsets": ["+0", "+0.5", "+1", "+5", "+5.5", "+6", "+6.5", "+7", "+7.5", "+8"],
            "kind": "EDF+D",
        },
        {"bdf": True},
    ],
)
def test_odd_files_come_back(fields: dict[str, object], tmp_path: Path) -> None:
    path = EdfFile(**fields).write(tmp_path / "in.edf")  # type: ignore[arg-type]
    recording, out = restcli.open_recording(path), tmp_path / "out.edf"
    remarks = convert(recording, out)
    back = restcli.open_recording(out)
    assert back.segments == recording.segments and back.duration == recording.duration
    assert [c.sfreq for c in back.channels] == [c.sfreq for c in recording.channels]
    steps = steps_of(out)
    for index, (one, other) in enumerate(zip(samples(recording), samples(back), strict=True)):
        np.testing.assert_allclose(other, one, rtol=0, atol=steps[index] if "bdf" in fields else 2e-3)
    assert remarks == ()
