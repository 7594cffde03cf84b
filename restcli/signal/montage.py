"""Electrode names, derivations, positions and the electrode graph."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from restcli.signal.contacts import contact_families, is_contact

# The electrodes of the REST and DCRNN papers, in their published order.
ELECTRODES_19 = tuple("FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 FZ CZ PZ".split())

# Derivations and electrodes of each chain, left to right and front to back, as pages are read.
CHAINS = {
    "left temporal": ("FP1-F7 F7-T3 T3-T5 T5-O1", "F7 T3 T5"),
    "left parasagittal": ("FP1-F3 F3-C3 C3-P3 P3-O1", "FP1 F3 C3 P3 O1"),
    "midline": ("FZ-CZ CZ-PZ", "FZ CZ PZ"),
    "right parasagittal": ("FP2-F4 F4-C4 C4-P4 P4-O2", "FP2 F4 C4 P4 O2"),
    "right temporal": ("FP2-F8 F8-T4 T4-T6 T6-O2", "F8 T4 T6"),
}
# The longitudinal bipolar montage ("double banana"), 18 derivations.
DOUBLE_BANANA = tuple(node for derivations, _ in CHAINS.values() for node in derivations.split())

# The 10-10 names of 10-20 positions, mastoids for ears, and common slips of the pen.
ALIASES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6", "M1": "A1", "M2": "A2", "TP9": "A1", "TP10": "A2"}
ALIASES |= {"01": "O1", "02": "O2", "0Z": "OZ", "FP01": "FP1", "FP02": "FP2", "C03": "C3", "C04": "C4"}

# Inclination from the vertex and azimuth from the nasion (left negative), degrees:
# the sphere of the REST and DCRNN papers.
_ANGLES = {
    "FP1": (90, -18),
    "F7": (90, -54),
    "T3": (90, -90),
    "T5": (90, -126),
    "O1": (90, -162),
    "F3": (60.15, -39.27),
    "C3": (45, -90),
    "P3": (60.15, -140.73),
    "FP2": (90, 18),
    "F8": (90, 54),
    "T4": (90, 90),
    "T6": (90, 126),
    "O2": (90, 162),
    "F4": (60.15, 39.27),
    "C4": (45, 90),
    "P4": (60.15, 140.73),
    "FZ": (45, 0),
    "CZ": (0, 0),
    "PZ": (45, 180),
    "A1": (120, -95),
    "A2": (120, 95),
}

# Electrodes that can carry a derivation but have no place in the graph: lower temporal, sphenoidal, midline ends.
_OTHER_ELECTRODES = frozenset(
    "FPZ AFZ FCZ CPZ POZ OZ IZ NZ T1 T2 T9 T10 F9 F10 P9 P10 FT9 FT10 TP7 TP8 FT7 FT8 SP1 SP2 PG1 PG2 CB1 CB2 "
    "AF3 AF4 AF7 AF8 F1 F2 F5 F6 FC1 FC2 FC3 FC4 FC5 FC6 C1 C2 C5 C6 CP1 CP2 CP3 CP4 CP5 CP6 "
    "P1 P2 P5 P6 PO3 PO4 PO7 PO8".split()
)

# What may stand after the hyphen of a referential label: the name of a reference, not an electrode.
_REFERENCES = frozenset("REF LE AR AVG AVE AV CAR REFERENCE G1 G2 GND 0 LER A1A2 A1+A2 M1M2 LINKED MW MOY".split())

# So many electrodes against one name of another kind show that it is a common reference, such as CS2 in "F7-CS2",
# unless it names what was computed from several electrodes.
_MANY = 6
_COMPUTED = frozenset("CSD LAP LAPL LAPLACE LAPLACIAN HJORTH SL".split())

_KERNEL_CUTOFF = 0.9
_OTHER_SIDE = str.maketrans("12345678", "21436587")


@cache
def electrode_position(name: str) -> tuple[float, float, float]:
    """Return the place of one of the 19 electrodes, A1 or A2 on the unit sphere: x right, y front, z up.

    >>> electrode_position("CZ")
    (0.0, 0.0, 1.0)
    """
    inclination, azimuth = np.radians(_ANGLES[name])
    x, y, z = np.sin(inclination) * np.sin(azimuth), np.sin(inclination) * np.cos(azimuth), np.cos(inclination)
    return float(x), float(y), float(z)


def opposite(node: str) -> str:
    """Return the node on the other side of the head; odd numbers are left, even ones right."""
    return node.translate(_OTHER_SIDE)


def parse_label(label: str) -> tuple[str, str] | None:
    """Read a channel label as an electrode against a reference (``ref:NAME``, or ``ref:``), or as a derivation.

    Returns None unless this is a known EEG channel. Whole tokens are matched, so ``C3P`` is not ``C3``.

    >>> [parse_label(label) for label in ("EEG T7-REF", "FP1-F7", "Fp2", "EEG C3P-REF")]
    [('T3', 'ref:REF'), ('FP1', 'F7'), ('FP2', 'ref:'), None]
    """
    return _parse(label, _REFERENCES)


def parse_labels(labels: Sequence[str]) -> list[tuple[str, str] | None]:
    """Read the labels of a recording as `parse_label` does, where many electrodes share a reference of any name.

    >>> parse_labels(["F3-CS2", "F4-CS2", "C3-CS2", "C4-CS2", "O1-CS2", "O2-CS2", "X-CS2"])[4:]
    [('O1', 'ref:CS2'), ('O2', 'ref:CS2'), None]
    """
    ends = [tokens for label in labels if len(tokens := _tokens(label)) == 2]
    electrodes: dict[str, set[str | None]] = {}
    for first, second in ends:
        if _electrode(first) is not None and _electrode(second) is None:
            electrodes.setdefault(second, set()).add(_electrode(first))
    common = {name for name, found in electrodes.items() if len(found) >= _MANY} - _COMPUTED
    return [_parse(label, _REFERENCES | common) for label in labels]


def _tokens(label: str) -> list[str]:
    """Return the ends of a channel in capitals, without what stands before and after them."""
    text = re.sub(r"[\x00\s]+", " ", label).strip().upper()
    text = re.sub(r"^(?:EEG|POL)(?:[ _:.]+|(?=[A-Z]))", "", text)
    text = re.sub(r"^\d+ +(?=[A-Z])", "", text)  # a running number before the name
    # CHB-MIT prints repeated derivations as "T8-P8-0", "T8-P8-1": the last digit is a number, not a reference.
    tokens = [token.strip() for token in re.split(r"\s*[-–/_]\s*|\s+", text) if token.strip()]
    if len(tokens) == 3 and tokens[2] in {"0", "1", "2", "3"} and _electrode(tokens[1]) is not None:
        tokens = tokens[:2]
    return tokens


def _parse(label: str, references: Set[str]) -> tuple[str, str] | None:
    tokens = _tokens(label)
    if not 1 <= len(tokens) <= 2:
        return None
    electrode = _electrode(tokens[0])
    if electrode is None:
        return None
    if len(tokens) == 1:
        return electrode, "ref:"
    other = _electrode(tokens[1])
    if other is not None:
        return (electrode, other) if other != electrode else None
    if tokens[1] in references:
        return electrode, f"ref:{tokens[1]}"
    return None


def _electrode(token: str) -> str | None:
    token = token.rstrip(".")
    name = ALIASES.get(token, token)
    return name if name in _ANGLES or name in _OTHER_ELECTRODES else None


def electrode_graph(nodes: Sequence[str]) -> NDArray[np.float32]:
    """Return the weights of the graph of the REST and DCRNN papers on electrodes or derivations, (N, N), symmetric.

    Nodes up to 0.9 apart are joined by ``exp(-(distance / width) ** 2)``, where the width is the standard deviation of
    all 19 x 19 distances between the electrodes, also for derivations (Tang et al., *Self-supervised graph neural
    networks for improved electroencephalographic seizure analysis*, ICLR 2022; Afzal et al., ICML 2024).

    >>> int((electrode_graph(ELECTRODES_19) > 0).sum() // 2)
    36
    """
    distance = _distances(nodes)
    near = (distance <= _KERNEL_CUTOFF) & ~np.eye(len(nodes), dtype=bool)
    width = _distances(ELECTRODES_19).std()
    return np.where(near, np.exp(-((distance / width) ** 2)), 0.0).astype(np.float32)


def node_position(node: str) -> NDArray[np.float64]:
    """Return the place of a node on the unit sphere, (3,); of a derivation, the projected midpoint."""
    point = np.mean([electrode_position(name) for name in node.split("-")], axis=0)
    return np.asarray(point / np.linalg.norm(point), dtype=np.float64)


def _distances(nodes: Sequence[str]) -> NDArray[np.float64]:
    positions = np.array([node_position(node) for node in nodes])
    return np.asarray(np.linalg.norm(positions[:, None] - positions[None], axis=-1))


@dataclass(frozen=True, eq=False)
class Montage:
    """How the nodes of a graph are computed from the channels of a recording."""

    nodes: tuple[str, ...]  # the N nodes that can be derived, in the order asked for
    missing: tuple[str, ...]  # nodes asked for that cannot be derived
    channels: tuple[int, ...]  # indices of the C channels used, ascending
    matrix: NDArray[np.float32]  # (N, C), node signals = matrix @ channel signals
    kind: str  # "referential", "bipolar", "mixed" or "none": what the channels are
    duplicates: tuple[int, ...] = ()  # channels left out because an earlier one carries the same derivation
    contacts: tuple[int, ...] = ()  # channels left out because they number contacts, though named like electrodes


def derive(labels: Sequence[str], nodes: Sequence[str], *, channel_map: Mapping[str, str] | None = None) -> Montage:
    """Find how each node, ``FP1-F7`` or ``FP1`` (against the mean of those found), follows from the channels.

    The map takes labels in the file to our names (``F3`` or ``F3-C3``); an empty name leaves the channel out. Labels
    that number the contacts of depth electrodes name no electrode unless the map says so. The result may have no nodes
    at all; the caller decides how many are enough.

    Channels are edges between electrodes (a referential channel joins its electrode to the reference), so a node
    ``A-B`` is the signed sum along the shortest path from A to B: one channel of a bipolar recording, the difference
    of two referential ones, or a chain. Electrode nodes need a common reference: the largest connected part is taken
    and referenced to its own average.
    """
    channel_map = channel_map or {}
    contacts = _contacts(labels, channel_map)
    edges, duplicates = _channel_edges(["" if i in contacts else label for i, label in enumerate(labels)], channel_map)
    bipolar = ["-" in node for node in nodes]
    paths: dict[str, dict[int, float]] = {}
    if all(bipolar):
        for node in nodes:
            first, second = node.split("-")
            path = _paths_from(edges, first).get(second)
            if path is not None:
                paths[node] = path
    else:
        paths = _average_referenced(edges, nodes)
    channels = sorted({index for path in paths.values() for index in path})
    column = {index: i for i, index in enumerate(channels)}
    found = tuple(node for node in nodes if node in paths)
    matrix = np.zeros((len(found), len(channels)), dtype=np.float32)
    for row, node in enumerate(found):
        for index, weight in paths[node].items():
            matrix[row, column[index]] = weight
    missing = tuple(node for node in nodes if node not in paths)
    return Montage(found, missing, tuple(channels), matrix, _kind(edges, channels), duplicates, contacts)


def _contacts(labels: Sequence[str], channel_map: Mapping[str, str]) -> tuple[int, ...]:
    """Return channels named like electrodes that are none, as the other labels show."""
    open_to_doubt = [label for label in labels if label not in channel_map and label.strip() not in channel_map]
    families = contact_families(open_to_doubt)
    if not families:
        return ()
    doubted = set(open_to_doubt)
    read = zip(labels, parse_labels(labels), strict=True)
    return tuple(i for i, (label, ends) in enumerate(read) if ends and label in doubted and is_contact(label, families))


Edge = tuple[str, str, int]


def _channel_edges(labels: Sequence[str], channel_map: Mapping[str, str]) -> tuple[list[Edge], tuple[int, ...]]:
    """Channels as (electrode, other end, channel index); repeated ones are reported, not used."""
    edges: list[Edge] = []
    seen: set[tuple[str, str]] = set()
    duplicates = []
    mapped = [channel_map.get(label, channel_map.get(label.strip(), label)) for label in labels]
    for index, ends in enumerate(parse_labels(mapped)):
        if ends is None:
            continue
        if ends in seen:
            duplicates.append(index)
            continue
        seen.add(ends)
        edges.append((*ends, index))
    return edges, tuple(duplicates)


def _paths_from(edges: Sequence[Edge], origin: str) -> dict[str, dict[int, float]]:
    """Shortest signed sums of channels giving ``V(origin) - V(end)`` for every reachable end (breadth first)."""
    # For each end: (other end, channel, sign), where sign * channel = potential here minus potential there.
    table: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
    for first, second, index in edges:
        table[first].append((second, index, 1.0))
        table[second].append((first, index, -1.0))
    if origin not in table:
        return {}
    paths: dict[str, dict[int, float]] = {origin: {}}
    queue = deque([origin])
    while queue:
        here = queue.popleft()
        for there, index, sign in table[here]:
            if there not in paths:
                paths[there] = paths[here] | {index: sign}
                queue.append(there)
    return paths


def _average_referenced(edges: Sequence[Edge], nodes: Sequence[str]) -> dict[str, dict[int, float]]:
    """Electrode potentials against the mean of the largest connected set of wanted electrodes."""
    best: dict[str, dict[int, float]] = {}
    ends = {end for edge in edges for end in edge[:2]}
    for origin in sorted(ends, key=lambda end: (not end.startswith("ref:"), end)):
        if origin in best:
            continue
        reached = _paths_from(edges, origin)
        found = {node: reached[node] for node in nodes if node in reached}
        if len(found) > len(best):
            # V(node) - V(origin) is minus the path from the origin.
            best = {node: {index: -sign for index, sign in path.items()} for node, path in found.items()}
    if len(best) < 2:
        return {}
    mean: dict[int, float] = {}
    for path in best.values():
        for index, weight in path.items():
            mean[index] = mean.get(index, 0.0) + weight / len(best)
    return {
        node: {i: path.get(i, 0.0) - mean.get(i, 0.0) for i in sorted(path.keys() | mean.keys())}
        for node, path in best.items()
    }


def _kind(edges: Sequence[Edge], channels: Sequence[int]) -> str:
    used = [(first, end) for first, end, i in edges if i in set(channels)]
    # Fp1-CPz, F3-CPz, ...: an electrode that is the other end of most channels is a reference.
    counts = Counter(end for _, end in used)
    common = {end for end, count in counts.items() if count > max(4, len(used) / 2)}
    kinds = {"referential" if end.startswith(("ref:", "A1", "A2")) or end in common else "bipolar" for _, end in used}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else "none"
