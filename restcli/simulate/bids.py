"""Simulated recordings as a BIDS-EEG data set on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from restcli.errors import OutputError, UsageError
from restcli.events import Event, Events
from restcli.files import make_empty_folder, replacing, write_atomically
from restcli.marks.hed import HED_VERSION
from restcli.marks.registry import write_events
from restcli.marks.szcore import SIMULATED_COLUMNS
from restcli.signal.montage import DOUBLE_BANANA
from restcli.signal.sequences import true_runs
from restcli.simulate.draw import VERSION, Simulated, SimulateOptions, draw_long
from restcli.simulate.profiles import TRAINING, Profile
from restcli.simulate.waves import SFREQ, Float32Array, generator

# What amplifiers store: 100 Hz (old ambulatory) to 2,000 Hz (long-term monitoring); 200, 250, 256 and 500 lead.
_RATES = (100, 128, 200, 200, 250, 250, 256, 256, 256, 400, 500, 500, 512, 1000, 1024, 2000)
_MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
# How hospitals write the label of an electrode's channel.
_STYLES: dict[str, Callable[[str], str]] = {
    "plain": lambda name: name.capitalize() if name[0] != "A" else name,
    "tuh": lambda name: f"EEG {name}-REF",
    "tuh_le": lambda name: f"EEG {name}-LE",
    "siena": lambda name: f"EEG {name.capitalize()}",
    "modern": lambda name: _MODERN.get(name, name).capitalize() if name[0] != "A" else name.replace("A", "M"),
    "chbmit": lambda name: _MODERN.get(name, name),
}
_MARGIN = 1.0  # s on both sides of a segment while it is resampled; the filter reaches .1 s at most


@dataclass(frozen=True)
class DatasetSettings:
    """How much `write_dataset` writes."""

    recordings: int  # each of another person
    hours: float  # of each
    seizures_per_day: float = 24.0  # mean number of episodes in 24 h
    seed: int = 0
    profile: Profile = TRAINING

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError("--seed", f"{self.seed}", "0 or more")
        if self.recordings < 1 or not 60 <= self.hours * 3600 < math.inf or not 0 <= self.seizures_per_day <= 2000:
            raise UsageError(
                "simulate",
                f"{self.recordings} recordings of {self.hours} h with {self.seizures_per_day} seizures a day "
                "cannot be simulated",
                "at least one recording of a minute, 0 to 2,000 seizures a day",
            )


@dataclass(frozen=True)
class _Storage:
    """How one recording is stored."""

    rate: int  # Hz
    style: str
    start: datetime

    @property
    def bipolar(self) -> bool:
        """Whether derivations are stored instead of electrodes."""
        return self.style == "chbmit"


@dataclass
class _Written:
    """What the signal file holds, as its companion files describe it."""

    labels: tuple[str, ...]
    chain: dict[str, Any]
    events: list[Event] = field(default_factory=list)
    states: dict[str, list[list[float]]] = field(default_factory=dict)  # first and last second of each run
    drawn: list[dict[str, Any]] = field(default_factory=list)


def write_dataset(
    folder: str | Path, settings: DatasetSettings, *, on_progress: Callable[[int, int], None] | None = None
) -> tuple[Path, ...]:
    """Write simulated recordings as a BIDS-EEG data set into an empty folder; return the EDF+ files."""
    # BIDS: Pernet et al., Scientific Data 2019; SzCORE: Dan et al., Epilepsia 2024.
    root = make_empty_folder(folder)
    try:
        paths, people = [], ["participant_id\tage\tseizure_types"]
        for index in range(settings.recordings):
            path, person = _write_recording(root, settings, index)
            paths.append(path)
            people.append(person)
            if on_progress is not None:
                on_progress(index + 1, settings.recordings)
        write_atomically(root / "participants.tsv", "\n".join(people) + "\n")
        _write_description(root, settings)
    except OSError as error:
        raise OutputError(
            str(root), f"the data set could not be written ({error.strerror})", "a writable folder with enough room"
        ) from None
    return tuple(paths)


def _write_recording(root: Path, settings: DatasetSettings, index: int) -> tuple[Path, str]:
    """Write one recording and its companions; return its file and the participant's row."""
    name = f"sub-{index + 1:03d}"
    folder, stem = root / name / "ses-01" / "eeg", f"{name}_ses-01_task-szMonitoring_run-00"
    # Far from the small seeds that training uses.
    seed = int(np.random.SeedSequence([settings.seed, index]).generate_state(1, np.uint64)[0] >> 1)
    storage = _draw_storage(seed)
    seconds = float(round(settings.hours * 3600))
    options = SimulateOptions(profile=settings.profile)
    segments = draw_long(seed, seconds=seconds, seizures_per_day=settings.seizures_per_day, options=options)
    path = folder / f"{stem}_eeg.edf"
    # In the root, so that it is empty for the next run if the first recording is never finished.
    with replacing(path, part_in=root) as stream:  # pyedflib opens the same file by its name
        written = _write_edf(stream.name, segments, storage)
        folder.mkdir(parents=True)
    events = Events(tuple(written.events), seconds, storage.start)
    write_events(events, folder / f"{stem}_events.tsv", "tsv")
    _write_json(path.with_suffix(".json"), _sidecar(written, storage, seconds))
    drawn = {
        "version": VERSION,
        "seed": seed,
        "stored": {"rate": storage.rate, "style": storage.style},
        "events": [
            {"onset": e.onset, "duration": e.duration, "type": e.label, "onset_electrodes": list(e.channels)}
            for e in events
        ],
        "states": written.states,
        "pieces": written.drawn,
    }
    (root / "sourcedata").mkdir(exist_ok=True)
    _write_json(root / "sourcedata" / f"{stem}_drawn.json", drawn)
    age = next(row["age"] for row in written.drawn[0]["scene"] if row["what"] == "background")
    types = sorted({event.label for event in events}) or ["none"]
    return path, f"{name}\t{age:.4g}\t{','.join(types)}"


def _draw_storage(seed: int) -> _Storage:
    rng = generator(seed, 2)
    return _Storage(
        int(rng.choice(_RATES)),
        str(rng.choice([*_STYLES, "tuh", "chbmit"])),
        datetime(2000, 1, 1) + timedelta(seconds=int(rng.integers(0, 86400))),
    )


def _write_edf(path: str, segments: Iterable[Simulated], storage: _Storage) -> _Written:
    start = 0.0
    with ExitStack() as stack:
        for segment, data in _resampled(segments, storage.rate):
            labels, signals = _channels(segment.labels, data, storage)
            if start == 0.0:
                written = _Written(labels, segment.drawn["chain"])
                # The converter's limit, unless its step needs more than 16 bits.
                limit = round(min(written.chain["limit"], 32767 * written.chain["step"]), 1)
                limit *= 2 if storage.bipolar else 1
                writer = stack.enter_context(_edf_writer(path, written, storage, limit))
            digital = np.clip(np.round(signals * (32767 / limit)), -32768, 32767).astype(np.int32)
            writer.writeSamples(list(np.ascontiguousarray(digital)), digital=True)
            written.events += [replace(event, onset=event.onset + start) for event in segment.events]
            for state, mask in segment.states.items():
                runs = [[start + float(first), start + float(stop)] for first, stop in true_runs(mask)]
                written.states.setdefault(state, []).extend(runs)
            written.drawn.append(segment.drawn)
            start += segment.events.duration
    return written


def _resampled(segments: Iterable[Simulated], rate: int) -> Iterator[tuple[Simulated, Float32Array]]:
    """Resample consecutive segments as if they were one; each waits until the next one is known."""
    margin, cut = round(_MARGIN * SFREQ), round(_MARGIN * rate)
    divisor = int(np.gcd(rate, 200))
    before: Float32Array | None = None
    waiting: Simulated | None = None
    for segment in chain(segments, [None]):
        if waiting is not None:
            data = waiting.data
            left = data[:, :1].repeat(margin, axis=1) if before is None else before
            right = data[:, -1:].repeat(margin, axis=1) if segment is None else segment.data[:, :margin]
            joined = np.concatenate([left, data, right], axis=1)
            out = resample_poly(joined, rate // divisor, 200 // divisor, axis=1)
            yield waiting, np.asarray(out[:, cut:-cut], dtype=np.float32)
            before = data[:, -margin:]
        waiting = segment


def _channels(labels: Sequence[str], data: Float32Array, storage: _Storage) -> tuple[tuple[str, ...], Float32Array]:
    """Name the channels as the hospital does; the bipolar style stores derivations, one of them twice as in CHB-MIT."""
    style = _STYLES[storage.style]
    if not storage.bipolar:
        return tuple(style(name) for name in labels), data
    index = {name: i for i, name in enumerate(labels)}
    names, rows = [], []
    for derivation in (*DOUBLE_BANANA, "T4-T6"):
        first, second = derivation.split("-")
        if first in index and second in index:
            names.append(f"{style(first)}-{style(second)}")
            rows.append(data[index[first]] - data[index[second]])
    numbered = [f"{n}-{names[:i].count(n)}" if names.count(n) > 1 else n for i, n in enumerate(names)]
    return tuple(numbered), np.stack(rows)


def _edf_writer(path: str, written: _Written, storage: _Storage, limit: float) -> Any:
    import pyedflib

    header: dict[str, Any] = {
        "dimension": "uV",
        "sample_frequency": storage.rate,
        "physical_max": limit,
        "physical_min": -limit,
        "digital_max": 32767,
        "digital_min": -32767,
        "prefilter": "HP:{high_pass:g}Hz LP:{low_pass:g}Hz N:{notch:g}Hz".format(**written.chain),
        "transducer": "simulated",
    }
    writer = pyedflib.EdfWriter(path, len(written.labels), file_type=pyedflib.FILETYPE_EDFPLUS)
    writer.setStartdatetime(storage.start)
    writer.setSignalHeaders([{"label": label, **header} for label in written.labels])
    return writer


def _sidecar(written: _Written, storage: _Storage, seconds: float) -> dict[str, Any]:
    made = written.chain
    filters = {"high-pass": made["high_pass"], "low-pass": made["low_pass"], "notch": made["notch"]}
    software = {name: {"cutoff (Hz)": corner} for name, corner in filters.items() if corner}
    return {
        "TaskName": "szMonitoring",
        "EEGReference": "bipolar" if storage.bipolar else made["reference"],
        "SamplingFrequency": storage.rate,
        "PowerLineFrequency": made["mains_frequency"],
        "SoftwareFilters": software or "n/a",
        "HardwareFilters": "n/a",
        "EEGChannelCount": len(written.labels),
        "EEGPlacementScheme": "10-20",
        "RecordingType": "continuous",
        "RecordingDuration": seconds,
        "Manufacturer": "n/a",
    }


def _write_description(root: Path, settings: DatasetSettings) -> None:
    _write_json(
        root / "dataset_description.json",
        {
            "Name": f"Simulated EEG with seizures, profile {settings.profile.name}, seed {settings.seed}",
            "BIDSVersion": "1.8.0",
            "DatasetType": "raw",
            "HEDVersion": HED_VERSION,
            "License": "CC0",
            "GeneratedBy": [{"Name": "restcli simulate", "Version": str(VERSION)}],
        },
    )
    _write_json(
        root / "participants.json",
        {
            "age": {"Description": "age of the simulated person", "Units": "years"},
            "seizure_types": {"Description": "SzCORE event types that occur, or none"},
        },
    )
    _write_json(root / "events.json", SIMULATED_COLUMNS)
    write_atomically(root / ".bidsignore", "sourcedata/\n")
    hours = settings.recordings * settings.hours
    write_atomically(
        root / "README",
        f"{settings.recordings} simulated recordings, {hours:g} h in all, seed {settings.seed}. "
        "No person was recorded.\n"
        "Signals were simulated at 200 Hz and resampled; they have no content above 100 Hz. "
        "Neonates are not simulated.\n"
        "sourcedata/ lists the random draws of each recording.\n",
    )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
