"""Nicolet (.e) files and Nihon Kohden's EEG-1200, read through the optional package eeg2edf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from restcli.io.companions import stamps_of
from restcli.io.mne_formats import at_joins, of_raw
from restcli.io.mne_reader import FIFF_UNIT_V, MneSource, foreign
from restcli.io.recording import Recording

_MODULE = "eeg2edf.mne"
_UNTRIED = "read by the package eeg2edf, which could not be tried on a real recording of this kind: check amplitudes"
_NICOLET = bytes.fromhex("0fc37b1ccf2d6d4b8aea1f64ced2b917")


def is_nicolet(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a Nicolet recording."""
    return raw.startswith(_NICOLET)


def open_nicolet(files: tuple[Path, ...]) -> Recording:
    """Open a Nicolet file; its segments say when they began."""
    path = files[0]
    source = MneSource("read_raw_nicolet", files, (path.name,), stamps_of(files), module=_MODULE)
    with source.raw() as (raw, repairs):
        recording = of_raw(raw, source, "Nicolet", _units(raw), repairs=(*repairs, _UNTRIED))
        found = raw._raw_extras[0]
    labels = [_label(found["header"]["channels"][index]) for index in found["channels"]]
    channels = (replace(channel, label=label) for channel, label in zip(recording.channels, labels, strict=True))
    recording, segments = replace(recording, channels=tuple(channels)), found["header"]["segments"]
    return _at_blocks(recording, [segment["start"] for segment in segments], [s["duration"] for s in segments])


def open_nihon_1200(files: tuple[Path, ...], names: tuple[str, ...]) -> tuple[Recording, tuple[int, ...]]:
    """Open a Nihon Kohden file with an extended header; returns the codes of its channels, too."""
    options = (("block", "all"), ("no_log", True), ("marker_channel", False), ("all_channels", True))
    source = MneSource("read_raw_nihon_kohden", files, names, stamps_of(files), module=_MODULE, options=options)
    with source.raw() as (raw, repairs):
        recording = of_raw(raw, source, "Nihon Kohden", _units(raw), repairs=(*repairs, _UNTRIED))
    with foreign(str(files[0]), "its blocks cannot be read"):
        from eeg2edf.nihon_kohden import nk

        blocks = nk.read_blocks(str(files[0]))
        starts = [datetime.strptime(block["start"][:14], "%Y%m%d%H%M%S") for block in blocks]
    lengths = [block["n_samples"] / block["sfreq"] for block in blocks]
    return _at_blocks(recording, starts, lengths), tuple(blocks[0]["e21_index"])


def _label(channel: Mapping[str, str]) -> str:
    """Name a channel with its reference, for channels need not have the same one."""
    name, reference = channel["label"], channel["reference"]
    return f"{name}-{reference}" if reference and "-" not in name else name


def _units(raw: Any) -> list[str]:
    """Return "V" for voltages: eeg2edf marks other units as none."""
    return ["V" if int(channel["unit"]) == FIFF_UNIT_V else "" for channel in raw.info["chs"]]


def _at_blocks(recording: Recording, starts: Sequence[datetime], lengths: Sequence[float]) -> Recording:
    """Put stretches that lie one after the other in the file to where their starts say; those have whole seconds."""
    places = np.cumsum([0.0, *lengths[:-1]])
    lag = np.array([(start - starts[0]).total_seconds() for start in starts]) - places
    latest = np.fmax.accumulate(lag)
    lag[latest - lag < 1] = latest[latest - lag < 1]
    return at_joins(replace(recording, start=starts[0]), places, lag)
