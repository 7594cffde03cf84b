"""Other libraries as judges of what is read from EDF and BDF files."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from io_checks import close, stored

from restcli.errors import RecordingError
from restcli.io.registry import open_recording


def mne_microvolts(path: Path) -> tuple[list[str], np.ndarray]:
    import mne

    reader = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = reader(path, preload=True, stim_channel=None, verbose="error")
    return raw.ch_names, raw.get_data() * 1e6


@pytest.mark.parametrize(
    "file",
    [
        EdfFile(),
        EdfFile(bdf=True),
        EdfFile(units=["mV", "mV"]),
        EdfFile(physical=[(3200, -3200)] * 2),
        EdfFile(physical=[(-187470, 187470)] * 2, digital=[(-100, 1000)] * 2),
        EdfFile(kind="EDF+C", onsets=[f"+{k}" for k in range(10)]),
        EdfFile(claimed=-1),
        EdfFile(duration="0.5", counts=(100, 100)),
        EdfFile(labels=["T8-P8", "T8-P8"]),
    ],
)
def test_equal_to_mne(tmp_path: Path, file: EdfFile) -> None:
    path = file.write(tmp_path / ("a.bdf" if file.bdf else "a.edf"))
    close(stored(open_recording(path)), mne_microvolts(path)[1])


def quirk_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".edf", ".bdf", ".eeg"})


def test_real_files_equal_pyedflib(shared_eeg: Path) -> None:
    import pyedflib

    files = [shared_eeg / "chbmit" / "chbmit_chb01_03_clip.edf", *sorted((shared_eeg / "iiic").glob("*.edf"))[:2]]
    files.append(shared_eeg / "edf_quirks" / "edfjs" / "sample.edf")
    for path in files:
        recording = open_recording(path)
        with pyedflib.EdfReader(str(path)) as reader:
            for channel in range(min(4, len(recording.channels))):
                assert recording.channels[channel].label == reader.getLabel(channel)
                close(stored(recording, [channel])[0], reader.readSignal(channel))
            assert recording.start == reader.getStartdatetime()
            assert recording.duration == reader.getFileDuration()


def test_real_files_equal_edfio(shared_eeg: Path) -> None:
    import edfio

    for path in sorted((shared_eeg / "eegmat").glob("*.edf"))[:2]:
        recording = open_recording(path)
        signals = edfio.read_edf(path).signals
        factor = {"uV": 1.0, "mV": 1e3}
        for channel in (0, len(signals) - 1):
            expected = signals[channel].data * factor[signals[channel].physical_dimension]
            close(stored(recording, [channel])[0], expected)


def test_every_quirk_file_opens_or_is_refused(shared_eeg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Walk them all, print what became of them, and compare the samples with MNE's wherever one rate allows."""
    lines: dict[str, list[str]] = {}
    folder = shared_eeg / "edf_quirks"
    n_files = n_compared = 0
    for path in quirk_files(folder):
        n_files += 1
        name = str(path.relative_to(folder))
        try:
            recording = open_recording(path)
        except RecordingError as refusal:
            lines.setdefault(f"refused: {refusal.what}", []).append(name)
            continue
        outcome = "; ".join(recording.repairs) or "opened as it is"
        lines.setdefault(f"{recording.format}: {outcome}", []).append(name)
        picks = list(range(min(3, len(recording.channels))))
        block = next(recording.blocks(picks, sfreq=200, seconds=30), None)
        assert block is None or block.data.shape[0] == len(picks)
        if (
            path.suffix != ".EEG"
            and len({c.sfreq for c in recording.channels}) == 1
            and "V" in recording.channels[0].unit
        ):
            expected = mne_microvolts(path)[1][picks]
            close(stored(recording, picks)[:, : expected.shape[1]], expected)
            n_compared += 1
    with capsys.disabled():
        sys.stdout.write("\n")
        for outcome, members in sorted(lines.items(), key=lambda item: -len(item[1])):
            sys.stdout.write(f"{len(members):4d}  {outcome}  (e.g. {members[0]})\n")
    refusals = [name for outcome, members in lines.items() if outcome.startswith("refused") for name in members]
    assert n_files >= 100 and n_compared >= 40
    assert sorted(Path(name).name for name in refusals) == [
        "S001R01.edf",
        "S001R02.edf",
        "SC4001EC-Hypnogram.bdf",
        "SC4001EC-Hypnogram.edf",
    ]


def test_real_headers_of_mixed_rates_equal_mne_group_by_group(shared_eeg: Path) -> None:
    import mne

    path = shared_eeg / "edf_quirks" / "pyedflib/pyedflib/tests/data/test_generator_datarec_generator_2.bdf"
    recording = open_recording(path)
    for index, channel in enumerate(recording.channels):
        raw = mne.io.read_raw_bdf(path, include=[channel.label], stim_channel=None, preload=True, verbose="error")
        assert raw.info["sfreq"] == channel.sfreq
        close(stored(recording, [index]), raw.get_data() * 1e6)
