"""Weights files: load, save, list and check them; knows neither recordings nor torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import OutputError, WeightsError
from restcli.events import EventRule
from restcli.nn.baselines import BandPowerFloor
from restcli.nn.config import RestConfig
from restcli.signal.features import FeatureConfig

FORMAT_VERSION = 1
DEFAULT_NAME = "rest-default"
_METADATA_KEY = "restcli"

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Calibration:
    """From the network's logit to a probability.

    Parameters
    ----------
    scale, bias : float
        ``logit' = scale * (logit + amplitude * a) + bias``.
    amplitude : float
        Weight of a, the log amplitude relative to the recording's own usual amplitude, clipped to -1..2.5.
    smooth : int
        Seconds that a is averaged over, centred; odd. A seizure outlasts most artefacts, and one second's RMS is noisy.
    prior_seconds : float
        How many seconds at 15 µV are mixed into the recording's usual amplitude, so that a clip that is seizure from
        end to end is not compared with itself alone.
    """

    scale: float = 1.0
    bias: float = 0.0
    amplitude: float = 0.0
    prior_seconds: float = 60.0
    smooth: int = 1

    def __post_init__(self) -> None:
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise ValueError(f"smooth {self.smooth}, not an odd number of seconds")


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained network with all that is needed to use it as it was trained.

    Parameters
    ----------
    name : str
        File name without suffix.
    config : RestConfig
        Widths and update rule.
    features : FeatureConfig
        What the network sees of a second.
    nodes : tuple of str
        Nodes of the graph, in the network's order.
    window : int
        Seconds that one score looks at.
    look_ahead : int
        The readout after second t judges second ``t - look_ahead``.
    min_nodes : int
        Fewer good nodes than this and a second is not scored.
    rule : EventRule
        From scores to events.
    calibration : Calibration
        From logits to probabilities.
    types : tuple of str
        SzCORE event types of the second readout.
    tensors : dict of ndarray
        Parameters by name; those of several members are stacked along a first axis.
    provenance : dict
        Data, seed, split, steps, versions: how these weights came to be.
    metrics : dict
        What was measured with them.
    golden : tuple of float
        Logits on the fixed test signal (`golden_logits`), to show that what is computed here is what
        was trained.
    floor : BandPowerFloor or None
        The plain regression fitted on the same training data, to stand beside the network; None in files older than it.
    sha256 : str
        Hash of the file, empty before it is saved.
    """

    name: str
    config: RestConfig
    features: FeatureConfig
    nodes: tuple[str, ...]
    tensors: Tensors
    window: int = 14
    look_ahead: int = 3
    min_nodes: int = 8
    rule: EventRule = field(default_factory=EventRule)
    calibration: Calibration = field(default_factory=Calibration)
    types: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    golden: tuple[float, ...] = ()
    floor: BandPowerFloor | None = None
    sha256: str = ""

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(tensor.size for tensor in self.tensors.values())


def member_tensors(weights: Weights) -> tuple[Tensors, ...]:
    """Return the parameters of each member network.

    Raises
    ------
    ValueError
        If the parameters are not those of as many members as the shape says.
    """
    if weights.config.members == 1:
        return (weights.tensors,)
    if any(len(stack) != weights.config.members for stack in weights.tensors.values()):
        raise ValueError("members")
    return tuple({key: stack[k] for key, stack in weights.tensors.items()} for k in range(weights.config.members))


def models_folder() -> Path:
    """Return the folder of the shipped weights: inside the wheel, or beside the package in a checkout."""
    inside = Path(str(files("restcli"))) / "models"
    return inside if inside.is_dir() else Path(str(files("restcli"))).parent / "models"


def list_weights() -> tuple[str, ...]:
    """Return the names of the shipped weights, the default first."""
    names = sorted(path.stem for path in models_folder().glob("*.safetensors"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_NAME))


def find_weights(name: str | Path) -> Path:
    """Return the file of shipped weights by name, or a path as it is.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = models_folder() / f"{name}.safetensors"
    if shipped.is_file():
        return shipped
    known = ", ".join(list_weights()) or "none"
    raise WeightsError(str(name), "no such weights", f"a .safetensors file or one of the shipped names: {known}")


def load_weights(name: str | Path = DEFAULT_NAME) -> Weights:
    """Load weights and check that they are whole.

    Parameters
    ----------
    name : str or Path
        Shipped name or path of a ``.safetensors`` file.

    Returns
    -------
    Weights

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another format version, or is no restcli weights file.
    """
    path = find_weights(name)
    content = path.read_bytes()
    tensors, meta = _parse(path, content)
    if meta.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            path.name,
            f"format version {meta.get('format_version')}",
            f"version {FORMAT_VERSION}, which this restcli reads",
            "install a matching restcli or train the weights again",
        )
    if meta.get("tensors_sha256") != _digest(tensors):
        raise WeightsError(
            path.name, "the parameters do not match their SHA-256", "an unchanged file", "fetch it again"
        )
    return _from_metadata(path, meta, tensors, hashlib.sha256(content).hexdigest())


def _parse(path: Path, content: bytes) -> tuple[Tensors, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        meta = json.loads(header["__metadata__"][_METADATA_KEY])
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(path.name, "not a restcli weights file", "safetensors with restcli metadata") from error
    return {key: np.asarray(value, dtype=np.float32) for key, value in sorted(tensors.items())}, dict(meta)


def _from_metadata(path: Path, meta: dict[str, Any], tensors: Tensors, sha256: str) -> Weights:
    try:
        features = dict(meta["features"])
        features["bands"] = tuple((int(low), int(high)) for low, high in features["bands"])
        return Weights(
            name=path.stem,
            config=RestConfig(**meta["config"]),
            features=FeatureConfig(**features),
            nodes=tuple(meta["nodes"]),
            tensors=tensors,
            window=int(meta["window"]),
            look_ahead=int(meta["look_ahead"]),
            min_nodes=int(meta["min_nodes"]),
            rule=EventRule(**meta["rule"]),
            calibration=Calibration(**meta["calibration"]),
            types=tuple(meta["types"]),
            provenance=meta["provenance"],
            metrics=meta["metrics"],
            golden=tuple(meta["golden"]),
            floor=_floor(meta.get("floor")),
            sha256=sha256,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(path.name, f"metadata not understood ({error})", "metadata written by restcli") from error


def _floor(meta: Mapping[str, Any] | None) -> BandPowerFloor | None:
    if meta is None:
        return None
    centre, scale, slope = (tuple(float(value) for value in meta[key]) for key in ("centre", "scale", "slope"))
    return BandPowerFloor(centre, scale, slope, float(meta["intercept"]))


def save_weights(weights: Weights, path: str | Path) -> str:
    """Write a weights file whole or not at all.

    Parameters
    ----------
    weights : Weights
        Its `sha256` is ignored.
    path : str or Path
        Ends in ``.safetensors``.

    Returns
    -------
    str
        SHA-256 of the file; the same weights give the same bytes.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    from safetensors.numpy import save

    path = Path(path)
    meta = asdict(weights)
    tensors = {key: np.ascontiguousarray(value) for key, value in sorted(meta.pop("tensors").items())}
    for left_out in ("name", "sha256"):
        meta.pop(left_out)
    meta |= {"format_version": FORMAT_VERSION, "tensors_sha256": _digest(tensors)}
    text = json.dumps(meta, sort_keys=True)
    content = save(tensors, metadata={_METADATA_KEY: text})
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            str(path), f"could not be written ({error.strerror})", "a writable folder with space"
        ) from error
    return hashlib.sha256(content).hexdigest()


def _digest(tensors: Tensors) -> str:
    """Hash parameters by name, shape and bytes."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tensors[key].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[key], dtype="<f4").tobytes())
    return digest.hexdigest()
