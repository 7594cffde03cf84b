"""BrainVision, Persyst, EEGLAB and Nihon Kohden files."""

from __future__ import annotations

import configparser
import contextlib
import math
import pickle
import struct
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from foreign_files import write_brainvision, write_eeglab, write_nihon, write_persyst
from io_checks import close, refused, stored

from restcli.errors import RecordingError
from restcli.io.recording import Recording
from restcli.io.registry import files_of, open_recording


@pytest.mark.parametrize(("unit", "factor"), [("µV", 1), ("mV", 1e3), ("nV", 1e-3), ("V", 1e6)])
def test_brainvision(tmp_path: Path, unit: str, factor: float) -> None:
    path, values = write_brainvision(tmp_path, unit)
    recording = open_recording(path)
    assert recording.format == "BrainVision" and recording.duration == 2.5 and recording.repairs == ()
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16)
    assert [(c.label, c.unit, c.sfreq) for c in recording.channels] == [("Fp1", "µV", 200), ("Fp2", "µV", 200)]
    close(stored(recording), values * factor)
    blocks = list(recording.blocks([1], sfreq=200))
    close(blocks[0].data, values[1:, :400] * factor)
    assert open_recording(tmp_path / "a.eeg").format == "BrainVision"


def test_brainvision_dates_of_segments_give_true_pauses(tmp_path: Path) -> None:
    path, values = write_brainvision(tmp_path, markers="Mk2=New Segment,,301,1,0,20210302151516000000\n")
    recording = open_recording(path)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 1.5, 0), (3600, 3601, 1.5)]
    assert recording.repairs == () and recording.clock == recording.start
    close(list(recording.blocks([0], sfreq=200))[1].data, values[:1, 300:500])


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_brainvision_samples_that_are_absurd_are_not_known(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path)
    path.write_text(path.read_text().replace("INT_16", "IEEE_FLOAT_32"))
    stored = np.full((500, 2), 5, dtype="<f4")
    stored[[10, 20, 30], 0] = np.inf, -3e38, 1e30
    (tmp_path / "a.eeg").write_bytes(stored.tobytes())
    with open_recording(path).source.open() as handle:
        data, _ = handle.read([0, 1], 0, 500)
    assert np.flatnonzero(~np.isfinite(data[0])).tolist() == [10, 20, 30]
    assert np.isfinite(data[1]).all()


@pytest.mark.parametrize("date", ["", ",0", ",00000000000000000000"])
def test_brainvision_pause_of_unknown_length_leaves_the_clock_empty(tmp_path: Path, date: str) -> None:
    path, _ = write_brainvision(tmp_path, markers=f"Mk2=New Segment,,301,1,0{date}\n")
    recording = open_recording(path)
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 1.5), (1.5, 2.5)]
    assert "1 join between stretches of unknown distance" in recording.repairs[0]
    assert recording.start is not None and recording.clock is None and recording.clock_until == 1.5


@pytest.mark.parametrize(
    ("markers", "start", "until"),
    [
        ("Mk1=New Segment,,1,1,0\nMk2=New Segment,,301,1,0,20210302151516000000\n", None, 1.5),
        ("Mk1=New Segment,,301,1,0,20210302151516000000\n", None, 1.5),
        (
            "Mk1=New Segment,,301,1,0,20210302151516000000\nMk2=New Segment,,1,1,0,20210302141516000000\n",
            datetime(2021, 3, 2, 14, 15, 16),
            math.inf,
        ),
    ],
)
def test_brainvision_starts_at_the_date_of_its_first_sample(
    tmp_path: Path, markers: str, start: datetime | None, until: float
) -> None:
    path, _ = write_brainvision(tmp_path)
    marks = path.with_suffix(".vmrk")
    marks.write_text(marks.read_text().partition("Mk1=")[0] + markers)
    recording = open_recording(path)
    assert (recording.start, recording.clock_until) == (start, until)
    assert recording.segments[-1].start == (1.5 if start is None else 3600.0)


def test_brainvision_clock_set_back_is_refused(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path, markers="Mk2=New Segment,,301,1,0,20210302141416000000\n")
    refused(path, "set back by 61.500 s")


def test_brainvision_units_that_mne_does_not_know(tmp_path: Path) -> None:
    for unit, factor in (("\u03bcV", 1), ("microvolt", 1), ("uV", 1)):
        path, values = write_brainvision(tmp_path, unit)
        recording = open_recording(path)
        assert {channel.unit for channel in recording.channels} == {"µV"}
        close(stored(recording), values * factor)
    recording = open_recording(write_brainvision(tmp_path, "mmHg")[0])
    assert [channel.unit for channel in recording.channels] == ["mmHg"] * 2


def test_brainvision_without_its_samples(tmp_path: Path) -> None:
    path, _ = write_brainvision(tmp_path)
    (tmp_path / "a.eeg").unlink()
    refused(path, "samples is not beside it")


def test_persyst(tmp_path: Path) -> None:
    path, values = write_persyst(tmp_path)
    recording = open_recording(path)
    assert (recording.format, recording.duration, recording.repairs) == ("Persyst", 4.0, ())
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16)
    assert [channel.label for channel in recording.channels] == ["Fp1-Ref", "Fp2-Ref"]
    close(stored(recording), values)
    assert b"Schmidt" not in pickle.dumps(recording) and open_recording(tmp_path / "a.dat").format == "Persyst"


def test_persyst_equals_mne(tmp_path: Path) -> None:
    import mne

    path, _ = write_persyst(tmp_path, patient="BirthDate=02/05/51\nSex=f\nHand=r\n")
    # MNE takes channels in the order of lines, so they are put in the order of samples.
    path.write_text(path.read_text().replace("Fp2-Ref=2\nFp1-Ref=1", "Fp1-Ref=1\nFp2-Ref=2").replace("C:\\EEG\\", ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw_persyst(path, preload=True, verbose="error")
    close(stored(open_recording(path)), raw.get_data() * 1e6)


def test_persyst_gaps_and_midnight(tmp_path: Path) -> None:
    path, values = write_persyst(tmp_path, times="250=86399.5\n500=0.5\n750=100.25\n")
    recording = open_recording(path)
    late = 86399.5 - 51316
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (late, 1), (86400 + 100.25 - 51316, 3)]
    blocks = list(recording.blocks([0], sfreq=250))
    assert [block.data.shape[1] for block in blocks] == [250, 500, 250]
    close(blocks[1].data, values[:1, 250:750])


def test_persyst_drift_cuts_nothing_and_is_reported(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="250=51317.003\n500=51318.06\n750=51319.12\n")
    text = path.read_text().replace("SamplingRate=250", "SamplingRate=2.5")
    path.write_text(text.replace("51317.003", "51416.1").replace("51318.06", "51516.2").replace("51319.12", "51616.3"))
    recording = open_recording(path)
    assert len(recording.segments) == 1 and "drift by 0.30 s" in recording.repairs[0]


def persyst_day(folder: Path, seconds: list[float]) -> Recording:
    """Write ten hours with a sample time each hour, at 0.02777... samples a second."""
    times = "".join(f"{100 * (k + 1)}={(51316 + second) % 86400:.3f}\n" for k, second in enumerate(seconds))
    path, _ = write_persyst(folder, times=times)
    path.write_text(path.read_text().replace("SamplingRate=250", f"SamplingRate={1 / 36:.12f}"))
    return open_recording(path)


def test_persyst_drift_between_sample_times_that_are_far_apart(tmp_path: Path) -> None:
    recording = persyst_day(tmp_path, [3600 * 1.001 * k for k in range(1, 10)])
    assert len(recording.segments) == 1 and recording.duration == pytest.approx(36_036, abs=0.1)
    assert "drift steadily by 32.40 s" in recording.repairs[0]


def test_persyst_pauses_are_no_drift(tmp_path: Path) -> None:
    pauses = np.cumsum([9, 5, 14, 8, 11, 6, 12, 10, 7]).tolist()
    recording = persyst_day(tmp_path, [3600 * (k + 1) + pause for k, pause in enumerate(pauses)])
    assert len(recording.segments) == 10 and recording.repairs == ()
    assert recording.segments[4].start == pytest.approx(4 * 3600 + pauses[3], abs=0.01)


def test_persyst_wrong_sample_time_is_ignored_and_reported(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="200=51346.8\n400=51317.6\n600=51318.4\n750=51349\n")
    recording = open_recording(path)
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (33, 3)]
    assert "wrong by up to 30.000 s" in recording.repairs[0]


def test_persyst_clock_set_back_is_refused(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="250=51287\n500=51288\n750=51349\n")
    refused(path, "set back by 30.000 s")


@pytest.mark.parametrize(
    ("test_time", "first", "start", "words"),
    [
        ("14:15:16.25", "51316.25", "14:15:16.250", ""),
        ("14:15:16", "51316.25", "14:15:16.250", ""),
        ("14:15:16", "0.0", "14:15:16", ""),
        ("14:15:16", "51318.5", "14:15:16", "+2.500 s from the test time"),
        ("00:00:00", "86399.5", "00:00:00", ""),
        ("14:15:16.5", "54916.5", "14:15:16.500", "+3600.000 s from"),
    ],
)
def test_persyst_two_clocks(tmp_path: Path, test_time: str, first: str, start: str, words: str) -> None:
    path, _ = write_persyst(tmp_path)
    path.write_text(
        path.read_text().replace("TestTime=14:15:16", f"TestTime={test_time}").replace("0=51316.000", f"0={first}")
    )
    recording = open_recording(path)
    assert recording.start == datetime.fromisoformat(f"2021-03-02 {start}") and recording.duration == 4
    assert words in " ".join(recording.repairs) and bool(recording.repairs) == bool(words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("WaveformCount=2", "WaveformCount=3", "counts 3"),
        ("DataType=0", "DataType=5", "KeyError"),
        ("SamplingRate=250", "", "KeyError"),
        ("Calibration=0.2", "Calibration=x", "ValueError"),
    ],
)
def test_broken_persyst_header(tmp_path: Path, old: str, new: str, words: str) -> None:
    path, _ = write_persyst(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    refused(path, words)


def test_persyst_without_the_name_of_its_samples(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    path.write_text(path.read_text().replace("File=C:\\EEG\\a.dat\n", ""))
    assert open_recording(path).repairs == ()


def test_persyst_without_its_samples(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path)
    (tmp_path / "a.dat").unlink()
    refused(path, "not beside it")


@pytest.mark.parametrize("apart", [False, True])
def test_eeglab(tmp_path: Path, apart: bool) -> None:
    path, values = write_eeglab(tmp_path, apart=apart)
    recording = open_recording(path)
    assert recording.format == "EEGLAB" and [c.label for c in recording.channels] == ["Fp1", "Fp2"]
    close(stored(recording), values)


def test_eeglab_boundaries_give_true_pauses(tmp_path: Path) -> None:
    events = [("boundary", 0.5, 1000), ("boundary", 100.5, 2500), ("spike", 120, 0), ("boundary", 300.5, 250)]
    recording = open_recording(write_eeglab(tmp_path, events=events)[0])
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (10.4, 0.4), pytest.approx((12.2, 1.2))]
    assert recording.duration == 13 and recording.repairs == () and recording.clock_until == np.inf


@pytest.mark.parametrize("length", [0, np.nan])
def test_eeglab_pause_of_unknown_length(tmp_path: Path, length: float) -> None:
    events = [("boundary", 100.5, 2500), ("boundary", 200.5, length), ("boundary", 300.5, 250)]
    recording = open_recording(write_eeglab(tmp_path, events=events)[0])
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (10.4, 0.4), (10.8, 0.8), (11.2, 1.2)]
    assert recording.clock_until == 10.8 and "2 joins between stretches" in recording.repairs[0]


DEFAULT = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 FZ CZ PZ".split()
NAMED = dict(enumerate([*(DEFAULT[k ^ 1] for k in range(16)), "FZ", "Cz", "PZ"]))


def test_nihon_kohden_names_and_kinds_are_those_of_the_file(tmp_path: Path) -> None:
    path, values = write_nihon(tmp_path, names=NAMED)
    recording = open_recording(path)
    assert [(c.label, c.unit, c.problem) for c in recording.channels] == [(name, "µV", "") for name in NAMED.values()]
    np.testing.assert_allclose(stored(recording), values, atol=0.1)
    assert recording.start is None and "clock times are unknown" in recording.repairs[0]


@pytest.mark.parametrize("names", [("n.EEG", "n.21e"), ("n.eeg", "n.21E"), ("n.eeg", "n.21e"), ("N.Eeg", "n.21E")])
def test_nihon_kohden_case_of_names_does_not_count(tmp_path: Path, names: tuple[str, str]) -> None:
    path, values = write_nihon(tmp_path, names=NAMED)
    path.with_suffix(".21E").rename(tmp_path / names[1])
    path = path.rename(tmp_path / names[0])
    recording = open_recording(path)
    assert [channel.label for channel in recording.channels][:2] == ["FP2", "FP1"]
    np.testing.assert_allclose(stored(recording), values, atol=0.1)
    assert tmp_path / names[1] in files_of(path)


def test_nihon_kohden_without_electrode_names_is_refused(tmp_path: Path) -> None:
    path, _ = write_nihon(tmp_path)
    refused(path, "electrode names")
    path, _ = write_nihon(tmp_path, names={0: "Fp2"})
    recording = open_recording(path)
    assert [c.problem == "" for c in recording.channels] == [True, *[False] * 18]
    assert "does not name it" in " ".join(recording.repairs)


def test_nihon_kohden_blocks_give_true_pauses(tmp_path: Path) -> None:
    path, values = write_nihon(tmp_path, names=NAMED, dates=("210302141516", "210302142516"))
    recording = open_recording(path)
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 2, 0), (600, 602, 2)]
    np.testing.assert_allclose(list(recording.blocks([0], sfreq=200))[1].data, values[:1, 400:], atol=0.1)
    path, _ = write_nihon(tmp_path, names=NAMED, dates=("210302141516", "000000000000"))
    assert open_recording(path).clock_until == 2


def test_nihon_kohden_equals_its_edf_export(shared_eeg: Path) -> None:
    folder = shared_eeg / "edf_quirks" / "mne-testing-data" / "NihonKohden"
    native, export = open_recording(folder / "MB0400FU.EEG"), open_recording(folder / "MB0400FU.EDF")
    assert (native.format, export.format) == ("Nihon Kohden", "EDF+D")
    assert native.start == export.start and native.duration == export.duration
    for name in ("Fp1", "O2"):
        a = next(i for i, c in enumerate(native.channels) if c.label.split("-")[0].upper() == name.upper())
        b = next(i for i, c in enumerate(export.channels) if name.upper() + "-" in c.label.upper())
        np.testing.assert_allclose(stored(native, [a]), stored(export, [b]), atol=0.2)


FOREIGN = {
    "read_raw_brainvision": lambda folder: write_brainvision(folder)[0],
    "read_raw_eeglab": lambda folder: write_eeglab(folder)[0],
    "read_raw_nihon": lambda folder: write_nihon(folder, names=NAMED)[0],
}


@pytest.mark.parametrize("reader", FOREIGN)
@pytest.mark.parametrize(
    "error",
    [
        configparser.Error("Erika Schmidt"),
        RecursionError("Erika Schmidt"),
        MemoryError(),
        UnicodeDecodeError("utf-8", b"Erika", 0, 1, "Schmidt"),
        AssertionError("Erika Schmidt"),
        struct.error("Erika Schmidt"),
        ExceptionGroup("Erika Schmidt", [ValueError("x")]),
    ],
)
def test_foreign_exceptions_are_reported_by_their_kind(
    tmp_path: Path, reader: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mne

    path = FOREIGN[reader](tmp_path)
    recording = open_recording(path)

    def failing(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(mne.io, reader, failing)
    with pytest.raises(RecordingError, match=type(error).__name__) as caught:
        open_recording(path)
    assert "Schmidt" not in str(caught.value)
    with pytest.raises(RecordingError, match=type(error).__name__):
        recording.read([0], 0, 1)
    monkeypatch.undo()
    monkeypatch.setattr(mne.io.BaseRaw, "get_data", failing)
    with pytest.raises(RecordingError, match=type(error).__name__):
        recording.read([0], 0, 1)


@pytest.mark.parametrize("reader", FOREIGN)
def test_warnings_of_readers_become_repairs(tmp_path: Path, reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mne

    path, original = FOREIGN[reader](tmp_path), getattr(mne.io, reader)
    before = open_recording(path).repairs

    def warning(*args: object, **options: object) -> object:
        mne.utils.warn("Schmidt, Erika has odd electrodes")
        warnings.warn("old code", DeprecationWarning, stacklevel=1)
        return original(*args, **options)

    monkeypatch.setattr(mne.io, reader, warning)
    repairs = open_recording(path).repairs
    assert len(repairs) == len(before) + 1 and "Schmidt" not in " ".join(repairs)
    assert any("a warning unknown to restcli (RuntimeWarning" in repair for repair in repairs)


def cut_files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix in {".vhdr", ".set", ".EEG", ".lay", ".21E", ".vmrk"}
    )


def test_damaged_files_are_refused_or_read_but_never_break(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for write in (*FOREIGN.values(), write_persyst):
        write(tmp_path)
    for path in cut_files(tmp_path):
        raw = path.read_bytes()
        main = {".21E": tmp_path / "n.EEG", ".vmrk": tmp_path / "a.vhdr"}.get(path.suffix, path)
        for size in (0, 10, 300, len(raw) // 2, len(raw) - 1):
            path.write_bytes(raw[:size])
            with contextlib.suppress(RecordingError):
                open_recording(main)
        for _ in range(30):
            damaged = bytearray(raw)
            for place in rng.integers(0, min(len(raw), 7000), 20):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            with contextlib.suppress(RecordingError):
                open_recording(main)
        path.write_bytes(raw)


def test_persyst_sample_times_with_a_decimal_comma_give_gaps_and_unreadable_ones_are_reported(tmp_path: Path) -> None:
    path, _ = write_persyst(tmp_path, times="500=51348,000\n")
    recording = open_recording(path)
    assert [(segment.start, segment.stop) for segment in recording.segments] == [(0, 2), (32, 34)]
    assert recording.repairs == ()
    path, _ = write_persyst(tmp_path, times="500=about noon\n")
    recording = open_recording(path)
    assert "1 sample time cannot be read; pauses there are unknown" in recording.repairs
    assert recording.start is not None and recording.clock is None and recording.clock_until == 2


@pytest.mark.parametrize(("date", "reported"), [("2021-03-02 14:15", True), ("2021030214151", True), ("0" * 20, False)])
def test_brainvision_date_that_is_unreadable_is_reported(tmp_path: Path, date: str, reported: bool) -> None:
    path, _ = write_brainvision(tmp_path)
    markers = tmp_path / "a.vmrk"
    markers.write_text(markers.read_text("utf-8").replace("20210302141516000000", date), "utf-8")
    recording = open_recording(path)
    assert recording.start is None
    assert any("date of a segment is unreadable" in note for note in recording.repairs) == reported


@pytest.mark.parametrize("fraction", ["", "0", "000"])
def test_brainvision_dates_with_few_or_no_digits_of_fractions(tmp_path: Path, fraction: str) -> None:
    path, _ = write_brainvision(tmp_path, markers=f"Mk2=New Segment,,201,1,0,20210302141617{fraction}\n")
    markers = tmp_path / "a.vmrk"
    markers.write_text(markers.read_text("utf-8").replace("20210302141516000000", f"20210302141516{fraction}"), "utf-8")
    recording = open_recording(path)
    assert recording.start is not None and recording.start.isoformat() == "2021-03-02T14:15:16"
    assert [segment.start for segment in recording.segments] == [0, 61]
