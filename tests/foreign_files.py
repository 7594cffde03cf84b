"""Write small recordings of other formats than EDF for tests."""

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
[ChannelMap]
Fp2-Ref=2
Fp1-Ref=1
[SampleTimes]
0=51316.000
{times}[Comments]
0.0,0,0,100,Seizure = yes
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
    folder: Path,
    *,
    apart: bool = True,
    events: Sequence[tuple[str, float, float]] = (),
    labels: Sequence[str] = ("Fp1", "Fp2"),
    kinds: Sequence[str] = ("", ""),
    names: str = "a.fdt",
    n_trials: int = 1,
) -> tuple[Path, np.ndarray]:
    """Write 2 s of two channels at 250 Hz, with the samples in a file of their own or not."""
    values = np.random.default_rng(1).normal(0, 30, size=(2, 500)).astype(np.float32)
    locations = np.zeros(2, dtype=[("labels", object), ("type", object)])
    locations["labels"], locations["type"] = labels, kinds
    fields = {
        "srate": 250.0,
        "nbchan": 2.0,
        "pnts": 500.0 / n_trials,
        "trials": float(n_trials),
        "xmin": 0.0,
        "xmax": 1.996,
    }
    fields |= {"chanlocs": locations, "setname": "", "epoch": [], "icawinv": [], "ref": "common"}
    marks = np.array(list(events), dtype=[("type", object), ("latency", object), ("duration", object)])
    fields["event"] = marks if len(events) else []
    fields["data"] = names if apart else values
    if apart:
        (folder / "a.fdt").write_bytes(values.T.astype("<f4").tobytes())
    savemat(folder / "a.set", {"EEG": fields}, appendmat=False)
    return folder / "a.set", values


def write_neuroscan(
    folder: Path, *, width: int = 2, block: int = 1, events: Sequence[tuple[int, int]] = (), date: str = "03/15/21"
) -> tuple[Path, np.ndarray]:
    """Write 4 s of three channels at 250 Hz in blocks of samples; `events` are accept codes and samples.

    After the SETUP and ELECTLOC structures on http://paulbourke.net/dataformats/eeg/.
    """
    names, n_samples = ("Fp1", "Fp2", "Cz"), 1000
    high = 3000 if width == 2 else 10**6
    values = np.random.default_rng(1).integers(-high, high, size=(3, n_samples)).astype(f"<i{width}")
    samples = values.reshape(3, -1, block).transpose(1, 0, 2).tobytes()
    head = bytearray(900)
    head[:12] = b"Version 3.0\0"
    head[121:127] = b"Erika\0"
    head[225:247] = date.encode().ljust(10, b"\0") + b"14:15:16".ljust(12, b"\0")
    struct.pack_into("<H", head, 370, 3)
    struct.pack_into("<H", head, 376, 250)
    struct.pack_into("<i", head, 864, n_samples)
    struct.pack_into("<i", head, 886, 900 + 75 * 3 + len(samples))
    struct.pack_into("<i", head, 894, block * width if block > 1 else 0)
    scale, baseline = (0.5, 1.5, 0.25), (0, 7, -3)
    for name, sensitivity, zero in zip(names, scale, baseline, strict=True):
        place = bytearray(75)
        place[: len(name)] = name.encode()
        struct.pack_into("<h", place, 47, zero)
        struct.pack_into("<f", place, 59, sensitivity * 100)
        struct.pack_into("<f", place, 71, 2.048)
        head += place
    start = len(head)
    table = b"".join(struct.pack("<HBBi", 0, 0, code << 4, start + sample * 3 * width) for code, sample in events)
    (folder / "a.cnt").write_bytes(bytes(head) + samples + struct.pack("<Bii", 1, len(table), 0) + table)
    return folder / "a.cnt", (values - np.array(baseline)[:, None]) * np.array(scale)[:, None]


def write_egi(folder: Path, *, version: int = 4, bits: int = 0, span: int = 0) -> tuple[Path, np.ndarray]:
    """Write 4 s of three channels and one kind of event at 250 Hz, in microvolts unless `bits` and `span` say more."""
    values = np.random.default_rng(1).integers(-3000, 3000, size=(4, 1000))
    values[3] = 0
    values[3, 100] = 1
    form = {2: ">i2", 4: ">f4", 6: ">f8"}[version & ~1]
    head = struct.pack(">i6hi5hih", version, 2021, 3, 15, 14, 15, 16, 250, 250, 3, 1, bits, span, 1000, 1) + b"stim"
    (folder / "a.raw").write_bytes(head + values.astype(form).T.tobytes())
    return folder / "a.raw", values[:3] * (span / 2**bits if bits else 1.0)


def _wide(text: str, size: int) -> bytes:
    return text.encode("utf-16-le").ljust(size, b"\0")


def write_nicolet(folder: Path, *, lengths: Sequence[float] = (2, 2), pause: float = 30) -> tuple[Path, np.ndarray]:
    """Write segments of two channels against different references at 256 Hz, as eeg2edf describes the format."""
    values = np.random.default_rng(1).integers(-3000, 3000, size=(2, int(256 * sum(lengths)))).astype("<i2")
    table = bytearray(760 + 2 * 552)
    struct.pack_into("<I", table, 752, 2)
    for place, (label, reference) in zip((760, 1312), (("Fp1", "CS2"), ("F3", "C3")), strict=True):
        for at, text in ((0, label), (0x80, label), (0xC0, reference)):
            table[place + at : place + at + 64] = _wide(text, 64)
        struct.pack_into("<dddd", table, place + 0x100, 0.5, 70.0, 256.0, 0.25)
    segments, day = b"", 44_270 + 14.25 / 24  # 2021-03-15 14:15, counted from 1899-12-30
    for length in lengths:
        segments += struct.pack("<ddd", day, 0, length).ljust(152, b"\0")
        day += (length + pause) / 86_400
    parts = {"{A271CCCB-515D-4590-B6A1-DC170C8D6EE2}": bytes(table), "SegmentStream": segments}
    parts |= {"0": values[0].tobytes(), "1": values[1].tobytes()}
    index = 0xB0 + 84 * len(parts)
    head = bytearray(index)
    head[:16] = bytes.fromhex("0fc37b1ccf2d6d4b8aea1f64ced2b917")
    struct.pack_into("<I", head, 0x18, index)
    struct.pack_into("<I", head, 0xAC, len(parts))
    entries, at = struct.pack("<Q", len(parts)), index + 8 + 24 * len(parts)
    for number, (name, content) in enumerate(parts.items()):
        place = 0xB0 + 84 * number
        head[place : place + 84] = _wide(name, 80) + struct.pack("<I", number + 1)
        entries += struct.pack("<QQII", number + 1, at, len(content), len(content))
        at += len(content)
    (folder / "a.e").write_bytes(bytes(head) + entries + b"".join(parts.values()))
    return folder / "a.e", -0.25 * values


def write_nihon_1200(folder: Path, *, names: Mapping[int, str], dates: Sequence[str]) -> tuple[Path, np.ndarray]:
    """Write blocks of 2 s of 19 electrodes at 200 Hz behind the extended header of the EEG-1200."""
    version, step = b"EEG-1200A V01.00", 6399.902 / 65535
    values = np.random.default_rng(1).integers(-3000, 3000, size=(19, 400 * len(dates)))
    head = bytearray(0x400)
    head[:16] = head[0x81:0x91] = version
    head[0x91] = 1
    struct.pack_into("<I", head, 0x92, 0x200)
    head[0x211] = 1
    struct.pack_into("<I", head, 0x212, 0x400)
    stub = bytearray(0x27 + 10)
    stub[0x14:0x1A] = bytes.fromhex(dates[0])
    struct.pack_into("<HI", stub, 0x1A, 200, 10)
    stub[0x26] = 1
    stub += bytes(200 * 2 * 2)
    extension = 0x400 + len(stub)
    control = extension + 0x40
    fore = bytearray(0x40)
    fore[1:17] = version
    fore[0x11] = 1
    struct.pack_into("<I", fore, 0x12, control)
    table, blocks = bytearray(0x14 + 24 * len(dates)), b""
    struct.pack_into("<H", table, 0x11, len(dates))
    for number, date in enumerate(dates):
        struct.pack_into("<Q", table, 0x14 + 24 * number, control + len(table) + len(blocks))
        block = bytearray(0x48 + 190)
        block[:17] = b"\x01TIME141516000000"
        block[0x14:0x28] = f"20{date}000000".encode()
        struct.pack_into("<II", block, 0x28, 200, 20)
        struct.pack_into("<I", block, 0x44, 19)
        block[0x48::10] = bytes(range(19))
        part = values[:, 400 * number : 400 * (number + 1)] + 0x8000
        blocks += bytes(block) + np.vstack([part, 0 * part[:1]]).astype("<u2").T.tobytes()
    (folder / "n.EEG").write_bytes(bytes(head) + bytes(stub) + bytes(fore) + bytes(table) + blocks)
    lines = "".join(f"{code:04d}={name}\r\n" for code, name in names.items())
    (folder / "n.21E").write_text(f"[ELECTRODE]\r\n{lines}")
    return folder / "n.EEG", values * step


def write_curry(
    folder: Path, *, version: int = 8, unit: str = "uV", changes: Mapping[str, str] | None = None
) -> tuple[Path, np.ndarray]:
    """Write 4 s of three electrodes and a trigger at 250 Hz, stored in another order than listed; in `unit`."""
    values = np.random.default_rng(1).normal(0, 30, size=(4, 1000)).astype("<f4")
    fields = dict(
        pair.split("=")
        for pair in "FileVersion=802 NumSamples=1000 NumChannels=4 NumTrials=1 SampleFreqHz=250 TriggerOffsetUsec=0 "
        "DataFormat=FLOAT DataByteOrder=INTEL DataSampOrder=SAMP AmplifierInfo=Erika SampleTimeUsec=4000 "
        "StartYear=2021 StartMonth=3 StartDay=15 StartHour=14 StartMin=15 StartSec=16 StartMillisec=250".split()
    )
    parameters = "".join(f"   {key:<20} =  {value}\n" for key, value in {**fields, **(changes or {})}.items())
    head = f"DATA_PARAMETERS START\n{parameters}DATA_PARAMETERS END\n"
    labels = ""
    for group, names, places, units in (
        ("", ("Ref", "Fp1", "Fp2", "Cz"), (0, 3, 1, 2), unit),
        ("_OTHERS", ("Trigger",), (4,), ""),
    ):
        head += f"DEVICE_PARAMETERS{group} START\n   DataUnit             =  {units}\n"
        head += f"   NumChanThisGroup     =  {len(names)}\nDEVICE_PARAMETERS{group} END\n"
        for name, lines in (("CHAN_IN_FILE", places), ("LABELS", names)):
            text = f"{name}{group} START\n   ListDescription = x\n{name}{group} END\n\n{name}{group} START_LIST\n"
            text += "".join(f"{line}\n" for line in lines) + f"{name}{group} END_LIST\n"
            head, labels = (head + text, labels) if name == "CHAN_IN_FILE" else (head, labels + text)
    if version == 8:
        path = folder / "c.cdt"
        path.write_bytes(values.T.tobytes())
        (folder / "c.cdt.dpa").write_text(head + labels)
        return path, values
    (folder / "c.dat").write_bytes(values.T.tobytes())
    (folder / "c.dap").write_text(head)
    (folder / "c.rs3").write_text(labels)
    return folder / "c.dap", values


def write_micromed(
    folder: Path, *, width: int = 2, cuts: Sequence[tuple[int, int]] = (), units: Sequence[int] = (0, 0, 1)
) -> tuple[Path, np.ndarray]:
    """Write 4 s of three channels at 256 Hz, a multiple of the basic rate, with ranges of their own; in microvolts.

    After the description of header type 4 in neo's `MicromedRawIO`.
    """
    top = 2 ** (8 * width) - 1
    values = np.random.default_rng(1).integers(1, top, size=(3, 1024)).astype(f"<u{width}")
    head = bytearray(640)
    head[:25] = b"* MICROMED  Brain-Quick *"
    head[64:69] = b"Erika"
    head[128:134] = bytes((15, 3, 121, 14, 15, 16))
    labels = bytearray(5 * 128)
    zero, most = (top + 1) // 2, (3200, 1600, 3)
    for code, name, unit, high in zip((3, 1, 4), ("Fp1", "Fp2", "Cz"), units, most, strict=True):
        at = 128 * code
        labels[at + 2 : at + 2 + len(name)] = name.encode()
        labels[at + 8 : at + 10] = b"G2"
        last = min(top, 2**31 - 1)
        struct.pack_into("<5ih8xH", labels, at + 14, 0, last, min(zero, 2**30), -high, high, unit, 2)
    tables = {"ORDER": struct.pack("<3H", 3, 1, 4).ljust(512, b"\0"), "LABCOD": bytes(labels)}
    tables["TRONCA"] = b"".join(struct.pack("<II", *cut) for cut in cuts).ljust(80, b"\0")
    at = 640
    for number, (name, content) in enumerate(tables.items()):
        struct.pack_into("<8sII", head, 176 + 16 * number, name.encode().ljust(8), at, len(content))
        at += len(content)
    struct.pack_into("<IHHHHH", head, 138, at, 3, 3 * width, 128, width, 0)
    head[175] = 4
    (folder / "m.trc").write_bytes(bytes(head) + b"".join(tables.values()) + values.T.tobytes())
    scale = np.array(
        [2 * high / (top + 1) * {0: 1.0, 1: 1e3, -1: 1e-3}[unit] for high, unit in zip(most, units, strict=True)]
    )
    return folder / "m.trc", (values.astype(float) - zero) * scale[:, None]


def write_mff(
    folder: Path,
    *,
    net: str = "HydroCel GSN 32 1.0",
    pauses: Sequence[float] = (0.0,),
    nano: bool = False,
    reference: bool = True,
    changes: Mapping[str, tuple[str, str]] | None = None,
) -> tuple[Path, np.ndarray]:
    """Write epochs of 2 s at 250 Hz, each after its pause, of 32 sensors and the reference at the vertex.

    After the tables in mffpy's modules `header_block` and `xml_files`; `changes` are of texts in files. In microvolts.
    """
    root = folder / "a.mff"
    root.mkdir(exist_ok=True)
    n_channels, n_samples = 33, 500 * len(pauses)
    values = np.random.default_rng(1).normal(0, 30, size=(n_channels, n_samples)).astype("<f4")
    values[-1] *= not reference
    raw, blocks, shape = b"", [100, 100, 300], 0
    for number in range(3 * len(pauses)):
        begin = 500 * (number // 3) + sum(blocks[: number % 3])
        count = blocks[number % 3]
        if count == shape:  # as the block before
            raw += struct.pack("<i", 0)
        else:
            optional = struct.pack("<ii2qi", 24, 1, len(blocks), n_samples, n_channels) if not number else bytes(4)
            length = 16 + 8 * n_channels + len(optional)
            raw += struct.pack("<4i", 1, length, 4 * count * n_channels, n_channels)
            raw += (4 * count * np.arange(n_channels, dtype="<i4")).tobytes()
            raw += np.full(n_channels, (250 << 8) + 32, "<i4").tobytes() + optional
        raw += values[:, begin : begin + count].tobytes()
        shape = count
    (root / "signal1.bin").write_bytes(raw)
    (root / "signal2.bin").write_bytes(b"polygraphy")
    gains = np.linspace(0.5, 1.5, n_channels)
    second, times, at = 10**9 if nano else 10**6, "", 0.0
    for number, pause in enumerate(pauses):
        at += pause
        begin, end = (f"<{name}Time>{round(t * second)}</{name}Time>" for name, t in (("begin", at), ("end", at + 2)))
        first, last = 3 * number + 1, 3 * number + 3
        times += f"<epoch>{begin}{end}<firstBlock>{first}</firstBlock><lastBlock>{last}</lastBlock></epoch>"
        at += 2
    sensor = "<sensor><name>{}</name><number>{}</number><type>{}</type><x>0</x><y>0</y><z>0</z></sensor>"
    rows = [sensor.format("", k, 0) for k in range(1, 33)] + [sensor.format("VREF", 33, 1), sensor.format("COM", 34, 2)]
    channels = "".join(f'<ch n="{k + 1}">{gain!r}</ch>' for k, gain in enumerate(gains.tolist()))
    start = "2021-03-15T14:15:16.250000" + ("000" if nano else "") + "+01:00"
    texts = {
        "info.xml": ("info_mff", "fileInfo", f"<mffVersion>3</mffVersion><recordTime>{start}</recordTime>"),
        "info1.xml": (
            "info_n_mff",
            "dataInfo",
            "<generalInformation><fileDataType><EEG><sensorLayoutName>x</sensorLayoutName></EEG></fileDataType>"
            "</generalInformation><calibrations><calibration><beginTime>0</beginTime><type>GCAL</type><channels>"
            f"{channels}</channels></calibration></calibrations>",
        ),
        "info2.xml": (
            "info_n_mff",
            "dataInfo",
            "<generalInformation><fileDataType><PNSData/></fileDataType></generalInformation>",
        ),
        "epochs.xml": ("epochs_mff", "epochs", times),
        "sensorLayout.xml": (
            "sensorLayout_mff",
            "sensorLayout",
            f"<name>{net}</name><sensors>{''.join(rows)}</sensors>",
        ),
        "subject.xml": ("subject_mff", "patient", "<fields><field><name>Erika Schmidt</name></field></fields>"),
    }
    for name, (space, tag, content) in texts.items():
        text = f'<?xml version="1.0" encoding="UTF-8"?><{tag} xmlns="http://www.egi.com/{space}">{content}</{tag}>'
        (root / name).write_text(text.replace(*(changes or {}).get(name, ("\n", ""))), encoding="utf-8")
    return root, values * gains[:, None]


def write_gdf(
    folder: Path,
    *,
    version: str = "2.20",
    kind: int = 3,
    unit: str = "uV",
    segments: Sequence[int] = (),
    n_records: int | None = None,
) -> tuple[Path, np.ndarray]:
    """Write 8 records of half a second of three channels at 250 Hz and one at 50 Hz; in microvolts.

    `segments` are samples, from 1, at which segments begin. After https://arxiv.org/abs/cs/0608052, tables 3 to 7.
    """
    number, form = float(version), {1: "<i1", 3: "<i2", 5: "<i4", 16: "<f4", 17: "<f8", 279: "<i4"}[kind]
    top = {1: 120}.get(kind, 30_000)
    values = np.random.default_rng(1).integers(-top, top, size=(3, 1000))
    slow = np.zeros(200, dtype=int)
    names, counts = ("Fp1", "Fp2", "Cz", "ECG"), (125, 125, 125, 25)
    old = number < 1.9
    columns = [[name.encode().ljust(16, b"\0") for name in names], [b"Ag/AgCl".ljust(80)] * 4]
    codes = {"uV": 4275, "mV": 4274, "V": 4256, "nV": 4276, "": 0, "mmHg": 3872}
    if not old:
        columns.append([bytes(6)] * 4)
    columns.append([unit.encode().ljust(8, b"\0") if old else struct.pack("<H", codes[unit])] * 4)
    low, high = (-75.0, -75.0, -50.0, -75.0), (25.0, 75.0, 50.0, 75.0)
    columns += [[struct.pack("<d", value) for value in limits] for limits in (low, high)]
    columns += [[struct.pack("<q" if old else "<d", sign * top)] * 4 for sign in (-1, 1)]
    columns.append([bytes(80)] * 4)  # filters
    columns.append([struct.pack("<I", count) for count in counts])
    columns += [[struct.pack("<I", kind)] * 4, [bytes(32)] * 4]
    head = bytearray(256)
    head[:8] = f"GDF {version}".encode()
    head[8:30] = b"P 01 Erika_Schmidt".ljust(22)
    if old:
        head[168:184] = b"2021031514151625"
        struct.pack_into("<q", head, 184, 5 * 256)
        struct.pack_into("<I", head, 252, 4)
    else:
        days = 738_230 + (14 * 3600 + 15 * 60 + 16.25) / 86_400
        struct.pack_into("<QQHxx", head, 168, round(days * 2**32), 723_000 << 32, 5)
        struct.pack_into("<H", head, 252, 4)
    struct.pack_into("<q", head, 236, 8 if n_records is None else n_records)
    struct.pack_into("<d", head, 244, 0.5) if number >= 2.21 else struct.pack_into("<II", head, 244, 1, 2)
    raw = bytes(head) + b"".join(b"".join(column) for column in columns)
    for record in range(8):
        parts = [*values[:, 125 * record : 125 * (record + 1)], slow[:25]]
        for part in parts:
            stored = part.astype(form).tobytes()
            raw += stored if kind != 279 else b"".join(stored[k : k + 3] for k in range(0, len(stored), 4))
    n_events = len(segments) + 1
    size = struct.pack("<I", n_events)
    raw += b"\1" + ((250).to_bytes(3, "little") + size if number < 1.94 else size[:3] + struct.pack("<f", 250))
    raw += struct.pack(f"<{n_events}I", *segments, 77) + struct.pack(f"<{n_events}H", *[0x7FFE] * (n_events - 1), 0x300)
    (folder / "g.gdf").write_bytes(raw)
    factor = {"uV": 1.0, "mV": 1e3, "V": 1e6, "nV": 1e-3, "": 1.0, "mmHg": 1.0}[unit]
    scale = np.array([h - w for w, h in zip(low, high, strict=True)])[:3, None] / (2 * top)
    return folder / "g.gdf", ((values + top) * scale + np.array(low)[:3, None]) * factor


def _chunk(kind: int, content: bytes, width: int = 4) -> bytes:
    return bytes([width]) + (len(content) + 2).to_bytes(width, "little") + struct.pack("<H", kind) + content


def write_xdf(
    folder: Path,
    *,
    unit: str = "microvolts",
    form: str = "float32",
    stamped: str = "first",
    times: np.ndarray | None = None,
    offsets: Sequence[tuple[float, float]] = (),
    changes: tuple[str, str] = ("\n", ""),
    streams: int = 1,
) -> tuple[Path, np.ndarray]:
    """Write 4 s, or as many samples as there are times, of two channels at 250 Hz in chunks of 100, beside markers.

    `stamped` tells which samples of a chunk have their time: all, first, some or none. After
    https://github.com/sccn/xdf/wiki/Specifications; in `unit`.
    """
    times = 5000 + np.arange(1000) / 250 if times is None else times
    dtype = {"float32": "<f4", "double64": "<f8", "int16": "<i2"}[form]
    values = np.random.default_rng(1).integers(-3000, 3000, size=(len(times), 2)).astype(dtype)
    channel = f"<channel><label>{{}}</label><unit>{unit}</unit><type>EEG</type></channel>"
    header = (
        "<?xml version='1.0'?><info><name>Erika Schmidt</name><type>EEG</type><channel_count>2</channel_count>"
        f"<nominal_srate>250</nominal_srate><channel_format>{form}</channel_format><desc><channels>"
        f"{channel.format('Fp1')}{channel.format('Fp2')}</channels></desc></info>"
    ).replace(*changes)
    marks = header.replace("<type>EEG</type><channel_c", "<type>Markers</type><channel_c").replace(form, "string")
    raw = b"XDF:" + _chunk(
        1, b"<?xml version='1.0'?><info><version>1.0</version><datetime>2021-03-15T14:15:16+0100</datetime></info>", 1
    )
    for number in range(streams):
        raw += _chunk(2, struct.pack("<I", 7 + number) + header.encode())
    raw += _chunk(2, struct.pack("<I", 3) + marks.encode()) + _chunk(5, bytes(16), 8)
    for when, offset in offsets:
        raw += _chunk(4, struct.pack("<Idd", 7, when, offset))
    for begin in range(0, len(times), 100):
        part = b""
        for sample in range(begin, min(begin + 100, len(times))):
            has = {"all": True, "none": False, "first": sample == begin, "some": sample % 3 == 0}[stamped]
            part += struct.pack("<Bd", 8, times[sample]) if has else b"\0"
            part += values[sample].tobytes()
        size = min(100, len(times) - begin)
        for number in range(streams):
            raw += _chunk(3, struct.pack("<IBB", 7 + number, 1, size) + part)
        raw += _chunk(3, struct.pack("<IBB", 3, 1, 1) + struct.pack("<BdBB", 8, times[begin], 1, 5) + b"Erika")
    raw += _chunk(6, struct.pack("<I", 7) + b"<info><sample_count>1000</sample_count></info>")
    (folder / "x.xdf").write_bytes(raw)
    return folder / "x.xdf", values.T.astype(float)


def write_ant(
    folder: Path, *, rf64: bool = False, unit: str = "uV", date: str = "44270", seconds: int = 8
) -> tuple[Path, np.ndarray]:
    """Write an ANT Neuro recording at 250 Hz with antio, and information on the patient, which antio does not write."""
    from antio.libeep import pyeep

    path = folder / "a.cnt"
    channels = pyeep.create_channel_info()
    for label, reference in (("Fp1", "CPz"), ("Fp2", "CPz"), ("Cz", "CPz"), ("BIP1", "")):
        pyeep.add_channel(channels, label, reference, unit)
    handle = pyeep.write_cnt(str(path), 250, channels, int(rf64))
    values = np.round(np.random.default_rng(7).normal(0, 40, (4, 250 * seconds)) * 128) / 128
    pyeep.add_samples(handle, values.T.ravel().tolist(), 4)
    pyeep.close(handle)
    form = "<Q" if rf64 else "<I"
    text = f"[StartDate]\n{date}.5942824074\n[StartFraction]\n0.25\n[SubjectName]\nErika Schmidt\n".encode()
    text += b"\n" * (len(text) % 2)
    raw = bytearray(path.read_bytes() + b"info" + struct.pack(form, len(text)) + text)
    struct.pack_into(form, raw, 4, len(raw) - 4 - struct.calcsize(form))
    path.write_bytes(raw)
    return path, values


def write_ant_events(path: Path, events: Sequence[tuple[float, float, str, str]], *, start: float) -> None:
    """Write events beside an ANT Neuro recording: seconds, duration, condition and description."""

    def text(words: str) -> bytes:
        return bytes([len(words)]) + words.encode()

    raw = struct.pack("<3I3i", 0, 0, 0, 100, 0, 0) + struct.pack("<i", -1) + text("class dcEventsLibrary_c")
    raw += text("") + struct.pack("<I", len(events))
    for seconds, duration, condition, description in events:
        raw += struct.pack("<i", -1) + text("class dcEventMarker_c") + struct.pack("<i16si", 0, bytes(16), 0)
        raw += text("") + text("") + struct.pack("<2ib2d", 0, 0, 0, duration, 0.0)
        raw += struct.pack("<2d", start, 0.25 + seconds)
        fields = [("Condition", struct.pack("<hi", 8, 2 * len(condition)) + condition.encode("utf-16-le"))]
        if description == "impedance":
            fields.append(("Impedance", struct.pack("<hhfI2f", 0x2000, 4, 0.0, 2, 5.0, 5.0)))
        raw += struct.pack("<i", len(fields))
        raw += b"".join(text(name) + value + text("") for name, value in fields)
        raw += text("") + text("") + text(description) + struct.pack("<bb", 0, 0)
    path.with_suffix(".evt").write_bytes(raw)
