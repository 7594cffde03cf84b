"""The montages that a reader may choose, and which channels and weights make each trace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from restcli.detect.settings import usable_labels
from restcli.io.recording import Recording
from restcli.signal.contacts import ECG
from restcli.signal.montage import CHAINS, ELECTRODES_19, derive, parse_label

_LONGITUDINAL, _ELECTRODES = ({name: chain[column] for name, chain in CHAINS.items()} for column in (0, 1))
_LEFT, _RIGHT = (tuple(name for name in CHAINS if name.startswith(side)) for side in ("left", "right"))
SIDES = ("left", *_LEFT, "right", *reversed(_RIGHT), "midline", "both sides")
_TRANSVERSE = {
    "frontal pole": "F7-FP1 FP1-FP2 FP2-F8",
    "frontal": "F7-F3 F3-FZ FZ-F4 F4-F8",
    "central": "A1-T3 T3-C3 C3-CZ CZ-C4 C4-T4 T4-A2",
    "parietal": "T5-P3 P3-PZ PZ-P4 P4-T6",
    "occipital": "T5-O1 O1-O2 O2-T6",
}
NAMES = {
    "longitudinal": "Longitudinal bipolar",
    "transverse": "Transverse bipolar",
    "average": "Average reference",
    "cz": "Cz reference",
    "ears": "Ear reference",
    "recorded": "As recorded",
}
_KINDS = {
    "ecg": ECG,
    "eog": re.compile(r"\b(EOG|LOC|ROC|E[12])\b|\bEOG", re.IGNORECASE),
    "emg": re.compile(r"\b(EMG|CHIN|DELT|DELTOID)\d*\b|\bEMG", re.IGNORECASE),
}


@dataclass(frozen=True)
class PageTrace:
    """One row of a page: the sum of some channels, each with a weight."""

    label: str
    group: str
    kind: str  # eeg, ecg, eog, emg or other
    weights: Mapping[int, float]  # by the index of the channel
    node: str | None = None  # what detected events call it
    unit: str = "µV"

    def to_dict(self) -> dict[str, str | None]:
        """Return what the page needs to know."""
        return {"label": self.label, "group": self.group, "kind": self.kind, "node": self.node, "unit": self.unit}


@dataclass(frozen=True)
class View:
    """A montage of traces."""

    traces: tuple[PageTrace, ...]

    @property
    def channels(self) -> tuple[int, ...]:
        """Indices of the channels that are read for it."""
        return tuple(sorted({channel for trace in self.traces for channel in trace.weights}))


def _channel_kind(recording: Recording, index: int, channel_map: Mapping[str, str]) -> str:
    """Say what a channel records, by its label."""
    channel = recording.channels[index]
    name = channel_map.get(channel.label, channel.label)
    if parse_label(name) is not None and channel.unit == "µV":
        return "eeg"
    return next((kind for kind, pattern in _KINDS.items() if pattern.search(name)), "other")


def views_of(recording: Recording, nodes: Sequence[str], channel_map: Mapping[str, str]) -> dict[str, View]:
    """Return the montages that the channels of a recording allow; ECG, EOG and EMG stand below each of them."""
    kinds = [_channel_kind(recording, index, channel_map) for index in range(len(recording.channels))]
    own = [
        PageTrace(channel.label, kind, kind, {index: 1.0}, _electrode(channel.label, channel_map), channel.unit)
        for index, (channel, kind) in enumerate(zip(recording.channels, kinds, strict=True))
        if not channel.problem
    ]
    below = tuple(trace for trace in own if trace.kind in _KINDS)
    plans = {
        "longitudinal": _LONGITUDINAL,
        "transverse": _TRANSVERSE,
        "average": _ELECTRODES,
        "cz": {group: _against(names, "CZ") for group, names in _ELECTRODES.items()},
        "ears": {group: _to_ears(names) for group, names in _ELECTRODES.items()},
    }
    views = {}
    for name, groups in plans.items():
        traces = _derived(recording, groups, channel_map, set(nodes), referential=name in {"average", "cz", "ears"})
        n_wanted = sum(len(names.split()) for names in groups.values())
        if len(traces) > (n_wanted / 2 if name != "longitudinal" else 0):  # two traces against Cz are not a montage
            views[name] = View((*traces, *below))
    order = {kind: place for place, kind in enumerate(("eeg", *_KINDS, "other"))}
    return views | {"recorded": View(tuple(sorted(own, key=lambda trace: order[trace.kind])))}


def _against(names: str, reference: str) -> str:
    return " ".join(f"{name}-{reference}" for name in names.split() if name != reference)


def _to_ears(names: str) -> str:
    """Take each electrode against the ear of its side; the midline against the left one."""
    return " ".join(f"{name}-{'A2' if name[-1] in '2468' else 'A1'}" for name in names.split())


def _derived(
    recording: Recording,
    groups: Mapping[str, str],
    channel_map: Mapping[str, str],
    nodes: set[str],
    *,
    referential: bool,
) -> tuple[PageTrace, ...]:
    """Derive the traces of a montage; those that the channels do not allow are left out."""
    wanted = {name: group for group, names in groups.items() for name in names.split()}
    montage = derive(usable_labels(recording, mapped=channel_map), tuple(wanted), channel_map=channel_map)
    found = []
    for row, name in enumerate(montage.nodes):
        used = np.flatnonzero(montage.matrix[row]).tolist()
        weights = {montage.channels[column]: float(montage.matrix[row, column]) for column in used}
        electrode = name.split("-")[0]
        node = name if name in nodes else electrode if referential and electrode in nodes else None
        found.append(PageTrace(name, wanted[name], "eeg", weights, node))
    return tuple(found)


def _electrode(label: str, channel_map: Mapping[str, str]) -> str | None:
    """Return the node that a recorded channel stands for, if any."""
    ends = parse_label(channel_map.get(label, label))
    if ends is None:
        return None
    name = ends[0] if ends[1].startswith("ref:") else "-".join(ends)
    return name if "-" in name or name in ELECTRODES_19 else None


def region_of(channels: Sequence[str]) -> str:
    """Say in words where most of an event's nodes lie; empty when they are unknown.

    >>> region_of(["F7-T3", "T3-T5", "FP1-F7"]), region_of(["C3-P3", "C4-P4"]), region_of(["all"])
    ('left temporal', 'both sides', 'both sides')
    """
    if not channels:
        return ""
    chains = [
        next((g for g, names in table.items() if node in names.split()), "")
        for node in channels
        for table in (_ELECTRODES if "-" not in node else _LONGITUDINAL,)
    ]
    known = [chain for chain in chains if chain]
    for side in ("left", "right", "midline"):
        own = [chain for chain in known if chain.startswith(side)]
        if known and len(own) > 2 / 3 * len(known):
            return max(dict.fromkeys(own), key=own.count)
    return "both sides"
