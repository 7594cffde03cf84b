"""Write small BrainVision, Persyst and EEGLAB recordings for tests."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

LAY = """[FileInfo]
File=C:\\EEG\\a.dat
FileType=Interleaved
SamplingRate=250
HeaderLength=0
Calibration=0.2
WaveformCount=2
DataType=0
[Patient]
First=Erika
Last=Schmidt
{patient}TestDate=03/02/2021
TestTime=14:15:16
[SampleTimes]
0=51316.000
{times}[Comments]
0.0,0,0,100,Seizure = yes
[ChannelMap]
Fp2-Ref=2
Fp1-Ref=1
"""


def write_brainvision(folder: Path, unit: str = "µV", markers: str = "") -> tuple[Path, np.ndarray]:
    """Write 2.5 s of two channels at 200 Hz; returns the header and the samples in `unit`."""
    values = np.random.default_rng(1).integers(-3000, 3000, size=(500, 2)).astype("<i2")
    (folder / "a.eeg").write_bytes(values.tobytes())
    (folder / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\n"
        f"[Marker Infos]\nMk1=New Segment,,1,1,0,20210302141516000000\n{markers}",
        encoding="utf-8",
    )
    (folder / "a.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\n"
        "MarkerFile=a.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=5000\n"
        f"[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\nCh1=Fp1,,0.1,{unit}\nCh2=Fp2,,0.1,{unit}\n",
        encoding="utf-8",
    )
    return folder / "a.vhdr", values.T * 0.1


def write_persyst(folder: Path, patient: str = "", times: str = "") -> tuple[Path, np.ndarray]:
    """Write 4 s of two channels at 250 Hz; returns the header and the samples in microvolts."""
    values = np.random.default_rng(1).integers(-3000, 3000, size=(1000, 2)).astype("<i2")
    (folder / "a.dat").write_bytes(values.tobytes())
    (folder / "a.lay").write_text(LAY.format(patient=patient, times=times), encoding="latin-1")
    return folder / "a.lay", values.T * 0.2


def write_nihon(
    folder: Path, *, names: Mapping[int, str] | None = None, dates: Sequence[str] = ("210302141516",)
) -> tuple[Path, np.ndarray]:
    """Write blocks of 2 s of 19 electrodes at 200 Hz, one a date, and the electrode names of codes in a .21E file."""
    version, step = b"EEG-1100C V01.00", 6399.902 / 65535
    head = bytearray(0x1800)
    head[0:16] = head[0x81:0x91] = head[0x401:0x411] = version
    head[0x91] = head[0x17FE] = 1
    head[0x92:0x96] = struct.pack("<I", 0x400)
    head[0x411] = len(dates)
    values = np.random.default_rng(1).integers(-3000, 3000, size=(19, 400 * len(dates)))
    for number, date in enumerate(dates):
        head[0x412 + 20 * number : 0x416 + 20 * number] = struct.pack("<I", len(head))
        block = bytearray(0x27 + 190)
        block[0x14:0x1A] = bytes.fromhex(date)
        block[0x1A:0x20] = struct.pack("<HI", 200 | 0xC000, 20)
        block[0x26] = 19
        block[0x27::10] = bytes(range(19))
        part = values[:, 400 * number : 400 * (number + 1)] + 0x8000
        head += block + np.vstack([part, 0 * part[:1]]).astype("<u2").T.tobytes()
    (folder / "n.EEG").write_bytes(head)
    (folder / "n.21E").unlink(missing_ok=True)
    if names:
        lines = "".join(f"{code:04d}={name}\r\n" for code, name in names.items())
        (folder / "n.21E").write_text(f"[ELECTRODE]\r\n{lines}")
    return folder / "n.EEG", values * step - 3200 + 32768 * step


def write_eeglab(
    folder: Path, *, apart: bool = True, events: Sequence[tuple[str, float, float]] = ()
) -> tuple[Path, np.ndarray]:
    """Write 2 s of two channels at 250 Hz, with the samples in a file of their own or not."""
    values = np.random.default_rng(1).normal(0, 30, size=(2, 500)).astype(np.float32)
    locations = np.zeros(2, dtype=[("labels", object)])
    locations["labels"] = ["Fp1", "Fp2"]
    fields = {"srate": 250.0, "nbchan": 2.0, "pnts": 500.0, "trials": 1.0, "xmin": 0.0, "xmax": 1.996}
    fields |= {"chanlocs": locations, "setname": "", "epoch": [], "icawinv": [], "ref": "common"}
    marks = np.array(list(events), dtype=[("type", object), ("latency", object), ("duration", object)])
    fields["event"] = marks if len(events) else []
    fields["data"] = "a.fdt" if apart else values
    if apart:
        (folder / "a.fdt").write_bytes(values.T.astype("<f4").tobytes())
    savemat(folder / "a.set", {"EEG": fields}, appendmat=False)
    return folder / "a.set", values
