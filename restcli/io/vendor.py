"""Nicolet (.e) files and Nihon Kohden's EEG-1200, read through the optional package eeg2edf."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from restcli.io.companions import stamps_of
from restcli.io.headers import with_reference
from restcli.io.mne_formats import of_raw
from restcli.io.mne_reader import MneStore, foreign, units_of
from restcli.io.recording import Recording
from restcli.io.segments import at_blocks

_MODULE = "eeg2edf.mne"
_UNTRIED = "read by the package eeg2edf, which could not be tried on a real recording of this kind: check amplitudes"
_NICOLET = bytes.fromhex("0fc37b1ccf2d6d4b8aea1f64ced2b917")


def is_nicolet(raw: bytes) -> bool:
    """Tell from its first bytes whether a file is a Nicolet recording."""
    return raw.startswith(_NICOLET)


def open_nicolet(files: tuple[Path, ...]) -> Recording:
    """Open a Nicolet file; its segments say when they began."""
    path = files[0]
    store = MneStore(files, stamps_of(files), (path.name,), "read_raw_nicolet", module=_MODULE)
    with store.raw() as (raw, repairs):
        recording = of_raw(raw, store, "Nicolet", units_of(raw), repairs=(*repairs, _UNTRIED))
        found = raw._raw_extras[0]
    given, segments = found["header"]["channels"], found["header"]["segments"]
    labels = [with_reference(given[index]["label"], given[index]["reference"]) for index in found["channels"]]
    channels = (replace(channel, label=label) for channel, label in zip(recording.channels, labels, strict=True))
    recording = replace(recording, channels=tuple(channels), start=segments[0]["start"])
    return at_blocks(recording, [segment["start"] for segment in segments], [s["duration"] for s in segments])


def open_nihon_1200(files: tuple[Path, ...], names: tuple[str, ...]) -> tuple[Recording, tuple[int, ...]]:
    """Open a Nihon Kohden file with an extended header; returns the codes of its channels as well."""
    options = (("block", "all"), ("no_log", True), ("marker_channel", False), ("all_channels", True))
    store = MneStore(files, stamps_of(files), names, "read_raw_nihon_kohden", module=_MODULE, options=options)
    with store.raw() as (raw, repairs):
        recording = of_raw(raw, store, "Nihon Kohden", units_of(raw), repairs=(*repairs, _UNTRIED))
    with foreign(str(files[0]), "its blocks cannot be read"):
        from eeg2edf.nihon_kohden import nk

        blocks = nk.read_blocks(str(files[0]))
        starts = [datetime.strptime(block["start"][:14], "%Y%m%d%H%M%S") for block in blocks]
    lengths = [block["n_samples"] / block["sfreq"] for block in blocks]
    return at_blocks(replace(recording, start=starts[0]), starts, lengths), tuple(blocks[0]["e21_index"])
