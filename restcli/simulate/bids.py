"""Simulated recordings as a BIDS-EEG dataset on disk; knows files and formats, not how a recording is drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from restcli.errors import OutputError, UsageError
from restcli.events import Event, Events
from restcli.marks.registry import write_events
from restcli.marks.szcore import SIMULATED_COLUMNS
from restcli.signal.montage import DOUBLE_BANANA
from restcli.simulate.draw import VERSION, Simulated, SimulateOptions, draw_long
from restcli.simulate.waves import SFREQ, Float32Array

# What amplifiers store: 100 Hz (old ambulatory) to 2,000 Hz (long-term monitoring); 200, 250, 256 and 500 lead.
RATES = (100, 128, 200, 200, 250, 250, 256, 256, 256, 400, 500, 500, 512, 1000, 1024, 2000)
_MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
# How hospitals write the label of an electrode's channel.
STYLES: dict[str, Callable[[str], str]] = {
    "plain": lambda name: name.capitalize() if name[0] != "A" else name,
    "tuh": lambda name: f"EEG {name}-REF",
    "tuh_le": lambda name: f"EEG {name}-LE",
    "siena": lambda name: f"EEG {name.capitalize()}",
    "modern": lambda name: _MODERN.get(name, name).capitalize() if name[0] != "A" else name.replace("A", "M"),
    "chbmit": lambda name: _MODERN.get(name, name),
}
_MARGIN = 1.0  # s on both sides of a piece while it is resampled; the filter reaches .1 s at most


@dataclass(frozen=True)
class DatasetPlan:
    """What `write_dataset` writes.

    Parameters
    ----------
    recordings : int
        How many, each of another person.
    hours : float
        Length of each.
    seizures_per_day : float
        Mean number of seizure episodes in 24 h.
    seed : int
        Of the whole dataset.
    options : SimulateOptions
        What to simulate.
    """

    recordings: int
    hours: float
    seizures_per_day: float = 24.0
    seed: int = 0
    options: SimulateOptions = field(default_factory=SimulateOptions)

    def __post_init__(self) -> None:
        if self.recordings < 1 or self.hours * 3600 < 60 or not 0 <= self.seizures_per_day <= 2000:
            raise UsageError(
                "simulate",
                f"{self.recordings} recordings of {self.hours} h with {self.seizures_per_day} seizures a day",
                "at least one recording of a minute, 0 to 2,000 seizures a day",
            )


@dataclass(frozen=True)
class _Storage:
    """How one recording is stored: rate, label style, start."""

    rate: int
    style: str
    start: datetime

    @property
    def bipolar(self) -> bool:
        """Tell whether derivations are stored instead of electrodes."""
        return self.style == "chbmit"


def write_dataset(
    folder: str | Path, plan: DatasetPlan, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Path, ...]:
    """Write simulated recordings as a BIDS-EEG dataset; the same plan gives the same bytes.

    Parameters
    ----------
    folder : str or Path
        New or empty folder.
    plan : DatasetPlan
        How many, how long, which.
    on_progress : callable, optional
        Called with recordings done and in all.

    Returns
    -------
    tuple of Path
        The EDF+ files.

    Raises
    ------
    OutputError
        If the folder holds something already or cannot be written.

    Notes
    -----
    For each recording: EDF+ with labels, sampling rate and montage as one of many hospitals stores them, a SzCORE
    events table, a sidecar, and in ``sourcedata/`` the JSON of everything drawn. Signals are made at 200 Hz and
    resampled by a polyphase filter, so rates above 200 Hz hold nothing above 100 Hz. Headers name no person.

    References
    ----------
    Pernet et al., *EEG-BIDS, an extension to the brain imaging data structure for electroencephalography*, Scientific
    Data 2019. Dan et al., *SzCORE*, Epilepsia 2024.
    """
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise OutputError(str(root), "the folder is not empty", "a new or empty folder", "name another folder")
        people, written = [], []
        for index in range(plan.recordings):
            path, person = _write_recording(root, plan, index)
            written.append(path)
            people.append(person)
            if on_progress is not None:
                on_progress(index + 1, plan.recordings)
        _write_description(root, plan, people)
    except OSError as error:
        raise OutputError(
            str(root), f"cannot be written ({error.strerror})", "a folder that can be written to"
        ) from None
    return tuple(written)


def _seed(plan: DatasetPlan, index: int) -> int:
    """Give each recording its own seed, far from the small seeds that training streams."""
    return int(np.random.SeedSequence([plan.seed, index]).generate_state(1, np.uint64)[0] >> 1)


def _write_recording(root: Path, plan: DatasetPlan, index: int) -> tuple[Path, dict[str, Any]]:
    name = f"sub-{index + 1:03d}"
    stem = f"{name}_ses-01_task-szMonitoring_run-00"
    folder = root / name / "ses-01" / "eeg"
    folder.mkdir(parents=True)
    seed = _seed(plan, index)
    rng = np.random.Generator(np.random.PCG64([seed, 2]))
    storage = _Storage(
        int(rng.choice(RATES)),
        str(rng.choice([*STYLES, "tuh", "chbmit"])),
        datetime(2000, 1, 1) + timedelta(seconds=int(rng.integers(0, 86400))),
    )
    seconds = float(round(plan.hours * 3600))
    pieces = draw_long(seed, seconds=seconds, seizures_per_day=plan.seizures_per_day, options=plan.options)
    path = folder / f"{stem}_eeg.edf"
    log = _write_edf(path, pieces, storage)
    events = Events(tuple(log.events), seconds, storage.start)
    write_events(events, folder / f"{stem}_events.tsv", "tsv")
    _write_json(folder / f"{stem}_eeg.json", _sidecar(log, storage, seconds))
    drawn = {"version": VERSION, "seed": seed, "stored": {"rate": storage.rate, "style": storage.style}}
    events_drawn = [
        {"onset": e.onset, "duration": e.duration, "type": e.label, "onset_electrodes": list(e.channels)}
        for e in events
    ]
    drawn |= {"events": events_drawn, "states": log.states, "pieces": log.drawn}
    (root / "sourcedata").mkdir(exist_ok=True)
    _write_json(root / "sourcedata" / f"{stem}_drawn.json", drawn)
    ages = [row["age"] for piece in log.drawn for row in piece["scene"] if row["what"] == "background"]
    person = {"participant_id": name, "age": ages[0], "types": sorted({event.label for event in events}) or ["none"]}
    return path, person


@dataclass
class _Log:
    """What was written beside the signal."""

    labels: tuple[str, ...]
    chain: dict[str, Any]
    events: list[Event]
    states: dict[str, list[list[float]]]
    drawn: list[dict[str, Any]]


def _write_edf(path: Path, pieces: Iterable[Simulated], storage: _Storage) -> _Log:
    """Write the pieces as one EDF+ file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    writer = None
    log: _Log | None = None
    start = 0.0
    try:
        for piece, data in _resampled(pieces, storage.rate):
            labels, signals = _channels(piece.labels, data, storage)
            if log is None or writer is None:
                log = _Log(labels, piece.drawn["chain"], [], {}, [])
                limit = _limit(log.chain) * (2 if storage.bipolar else 1)
                writer = _open_edf(part, labels, storage, log.chain, limit)
            digital = np.clip(np.round(signals * (32767 / limit)), -32768, 32767).astype(np.int32)
            writer.writeSamples(list(np.ascontiguousarray(digital)), digital=True)
            log.events += [replace(event, onset=event.onset + start) for event in piece.events]
            for state, mask in piece.states.items():
                log.states.setdefault(state, []).extend(_runs(mask, start))
            log.drawn.append(piece.drawn)
            start += piece.events.duration
    finally:
        if writer is not None:
            writer.close()
    if log is None:
        raise UsageError("simulate", "nothing to write", "a recording of a minute or more")
    part.replace(path)
    return log


def _resampled(pieces: Iterable[Simulated], rate: int) -> Iterable[tuple[Simulated, Float32Array]]:
    """Resample consecutive pieces as if they were one, holding back one piece to know what follows."""
    margin = round(_MARGIN * SFREQ)
    divisor = int(np.gcd(rate, 200))
    before: Float32Array | None = None
    waiting: Simulated | None = None

    def resample(piece: Simulated, after: Float32Array | None) -> Float32Array:
        if rate == SFREQ:
            return piece.data
        left = piece.data[:, :1].repeat(margin, axis=1) if before is None else before
        right = piece.data[:, -1:].repeat(margin, axis=1) if after is None else after
        joined = np.concatenate([left, piece.data, right], axis=1)
        out = resample_poly(joined, rate // divisor, 200 // divisor, axis=1)
        cut = round(_MARGIN * rate)
        return np.asarray(out[:, cut:-cut], dtype=np.float32)

    for piece in pieces:
        if waiting is not None:
            yield waiting, resample(waiting, piece.data[:, :margin])
            before = waiting.data[:, -margin:]
        waiting = piece
    if waiting is not None:
        yield waiting, resample(waiting, None)


def _channels(labels: Sequence[str], data: Float32Array, storage: _Storage) -> tuple[tuple[str, ...], Float32Array]:
    """Name the channels as the hospital does; in the bipolar style derive them, one of them twice as CHB-MIT has it."""
    style = STYLES[storage.style]
    if not storage.bipolar:
        return tuple(style(name) for name in labels), data
    index = {name: i for i, name in enumerate(labels)}
    names, rows = [], []
    for derivation in (*DOUBLE_BANANA, "T4-T6"):
        first, second = derivation.split("-")
        if first in index and second in index:
            names.append(f"{style(first)}-{style(second)}")
            rows.append(data[index[first]] - data[index[second]])
    counted = {name: names.count(name) for name in names}
    numbered = [f"{n}-{names[:i].count(n)}" if counted[n] > 1 else n for i, n in enumerate(names)]
    return tuple(numbered), np.stack(rows)


def _limit(chain: Mapping[str, Any]) -> float:
    """Return the physical maximum of the file: the converter's, unless its step would not fit into 16 bits."""
    return round(min(float(chain["limit"]), 32767 * float(chain["step"])), 1)


def _open_edf(path: Path, labels: Sequence[str], storage: _Storage, chain: Mapping[str, Any], limit: float) -> Any:
    import pyedflib

    filters = f"HP:{chain['high_pass']:g}Hz LP:{chain['low_pass']:g}Hz N:{chain['notch']:g}Hz"
    writer = pyedflib.EdfWriter(str(path), len(labels), file_type=pyedflib.FILETYPE_EDFPLUS)
    writer.setStartdatetime(storage.start)
    writer.setSignalHeaders(
        [
            {
                "label": label,
                "dimension": "uV",
                "sample_frequency": storage.rate,
                "physical_max": limit,
                "physical_min": -limit,
                "digital_max": 32767,
                "digital_min": -32767,
                "prefilter": filters,
                "transducer": "simulated",
            }
            for label in labels
        ]
    )
    return writer


def _runs(mask: NDArray[np.bool_], start: float) -> list[list[float]]:
    """Return the runs of a mask over seconds as [first, end] in seconds of the recording."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [[start + float(a), start + float(b)] for a, b in zip(steps[::2], steps[1::2], strict=True)]


def _sidecar(log: _Log, storage: _Storage, seconds: float) -> dict[str, Any]:
    chain = log.chain
    software = {
        name: {"cutoff (Hz)": chain[key]}
        for name, key in (("high-pass", "high_pass"), ("low-pass", "low_pass"), ("notch", "notch"))
        if chain[key]
    }
    return {
        "TaskName": "szMonitoring",
        "EEGReference": "bipolar" if storage.bipolar else chain["reference"],
        "SamplingFrequency": storage.rate,
        "PowerLineFrequency": chain["mains_frequency"],
        "SoftwareFilters": software or "n/a",
        "HardwareFilters": "n/a",
        "EEGChannelCount": len(log.labels),
        "EEGPlacementScheme": "10-20",
        "RecordingType": "continuous",
        "RecordingDuration": seconds,
        "Manufacturer": "n/a",
    }


def _write_description(root: Path, plan: DatasetPlan, people: Sequence[Mapping[str, Any]]) -> None:
    _write_json(
        root / "dataset_description.json",
        {
            "Name": f"Simulated EEG with seizures, seed {plan.seed}",
            "BIDSVersion": "1.8.0",
            "DatasetType": "raw",
            "HEDVersion": "score_1.1.0",
            "License": "CC0",
            "GeneratedBy": [{"Name": "restcli simulate", "Version": str(VERSION)}],
        },
    )
    rows = ["participant_id\tage\tseizure_types"]
    for person in people:
        age = "n/a" if person["age"] is None else f"{float(person['age']):.4g}"
        rows.append(f"{person['participant_id']}\t{age}\t{','.join(person['types'])}")
    _write_text(root / "participants.tsv", "\n".join(rows) + "\n")
    _write_json(
        root / "participants.json",
        {
            "age": {"Description": "age of the simulated person", "Units": "years"},
            "seizure_types": {"Description": "SzCORE event types that occur, or none"},
        },
    )
    _write_json(root / "events.json", SIMULATED_COLUMNS)
    _write_text(root / ".bidsignore", "sourcedata/\n")
    hours = plan.recordings * plan.hours
    _write_text(
        root / "README",
        f"{plan.recordings} simulated recordings, {hours:g} h in all, seed {plan.seed}. No person was recorded.\n"
        "Signals were made at 200 Hz and resampled: above 100 Hz there is nothing. Neonates are not simulated.\n"
        "sourcedata/ holds, for each recording, everything that was drawn.\n",
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
