"""Weights files: load, save, list and check them, without torch."""

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

from restcli.errors import WeightsError
from restcli.events import EventRule
from restcli.files import write_atomically
from restcli.nn.baselines import BandPowerBaseline
from restcli.nn.config import RestConfig
from restcli.signal.features import FeatureConfig

FORMAT_VERSION = 2
# Names how scores follow from signals, see docs/definition.md; weights serve the definition they were trained under.
DEFINITION = "carried-1"
DEFAULT_NAME = "rest-default"
_METADATA_KEY = "restcli"
_BASELINE_KEY = "floor"  # what files call the band-power baseline

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Calibration:
    """From a logit to a probability: the logistic function of ``scale * logit + bias``."""

    scale: float = 1.0
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained network with everything needed to use it as it was trained."""

    name: str  # file name without suffix
    config: RestConfig
    features: FeatureConfig  # what the network sees of a second
    nodes: tuple[str, ...]  # of the graph, in the network's order
    tensors: Tensors  # parameters by name; those of several members are stacked along a first axis
    memory: int = 120  # seconds after which the state no longer shows what came before
    look_ahead: int = 3  # the readout after second t judges second t - look_ahead
    min_nodes: int = 8  # a second with fewer good nodes is not scored
    rule: EventRule = field(default_factory=EventRule)
    calibration: Calibration = field(default_factory=Calibration)
    types: tuple[str, ...] = ()  # SzCORE event types of the second readout
    provenance: Mapping[str, Any] = field(default_factory=dict)  # data, seed, split, steps, versions
    metrics: Mapping[str, Any] = field(default_factory=dict)  # measured when the weights were made
    golden: tuple[float, ...] = ()  # logits on the fixed test signal, see `restcli.nn.golden`
    baseline: BandPowerBaseline | None = None  # fitted on the same training data
    sha256: str = ""  # of the file; empty before it is saved

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return sum(tensor.size for tensor in self.tensors.values())

    def by_member(self) -> tuple[Tensors, ...]:
        """Return the parameters of each member network; `ValueError` if there are not as many as configured."""
        members = self.config.members
        if members == 1:
            return (self.tensors,)
        if any(len(stack) != members for stack in self.tensors.values()):
            raise ValueError("members")
        return tuple({key: stack[k] for key, stack in self.tensors.items()} for k in range(members))


def models_folder() -> Path:
    """Return the folder of the shipped weights: inside the wheel, or beside the package in a checkout."""
    package = Path(str(files("restcli")))
    return package / "models" if (package / "models").is_dir() else package.parent / "models"


def list_weights() -> tuple[str, ...]:
    """Return the names of the shipped weights, the default first."""
    names = sorted(path.stem for path in models_folder().glob("*.safetensors"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_NAME))


def find_weights(name: str | Path) -> Path:
    """Return the path of a weights file, given as it is or as a shipped name."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = models_folder() / f"{name}.safetensors"
    if shipped.is_file():
        return shipped
    known = ", ".join(list_weights()) or "none"
    raise WeightsError(str(name), "there are no such weights", f"a .safetensors file or a shipped name: {known}")


def load_weights(name: str | Path = DEFAULT_NAME) -> Weights:
    """Load weights and check that the file is intact.

    Parameters
    ----------
    name : str or Path
        Shipped name, or path of a ``.safetensors`` file.

    Returns
    -------
    Weights
        Network parameters with their configuration, calibration, event rule and provenance.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another format version, or not a weights file of restcli.

    Examples
    --------
    >>> load_weights("rest-default").look_ahead
    3
    """
    path = find_weights(name)
    content = path.read_bytes()
    tensors, meta = _parse(path, content)
    if meta.get("format_version") != FORMAT_VERSION or meta.get("definition") != DEFINITION:
        raise WeightsError(
            path.name,
            f"has format version {meta.get('format_version')} and was trained for another definition of scores",
            f"version {FORMAT_VERSION} and definition {DEFINITION}, which this restcli computes",
            "Install the restcli that made it, or train the weights again with restcli train",
        )
    if meta.get("tensors_sha256") != _digest(tensors):
        raise WeightsError(
            path.name, "the parameters do not match their SHA-256", "an unchanged file", "Copy the file again"
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
        raise WeightsError(path.name, "is not a restcli weights file", "safetensors with restcli metadata") from error
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
            memory=int(meta["memory"]),
            look_ahead=int(meta["look_ahead"]),
            min_nodes=int(meta["min_nodes"]),
            rule=EventRule(**meta["rule"]),
            calibration=Calibration(**meta["calibration"]),
            types=tuple(meta["types"]),
            provenance=meta["provenance"],
            metrics=meta["metrics"],
            golden=tuple(meta["golden"]),
            baseline=_baseline(meta.get(_BASELINE_KEY)),
            sha256=sha256,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            path.name, f"the metadata cannot be understood ({error})", "metadata written by restcli"
        ) from error


def _baseline(meta: Mapping[str, Any] | None) -> BandPowerBaseline | None:
    if meta is None:
        return None
    centre, scale, slope = (tuple(float(value) for value in meta[key]) for key in ("centre", "scale", "slope"))
    return BandPowerBaseline(centre, scale, slope, float(meta["intercept"]))


def save_weights(weights: Weights, path: str | Path) -> str:
    """Write a weights file whole or not at all and return its SHA-256; the same weights give the same bytes."""
    from safetensors.numpy import save

    meta = asdict(weights)
    tensors = {key: np.ascontiguousarray(value) for key, value in sorted(meta.pop("tensors").items())}
    for left_out in ("name", "sha256"):
        meta.pop(left_out)
    meta[_BASELINE_KEY] = meta.pop("baseline")
    meta |= {"format_version": FORMAT_VERSION, "definition": DEFINITION, "tensors_sha256": _digest(tensors)}
    content = save(tensors, metadata={_METADATA_KEY: json.dumps(meta, sort_keys=True)})
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def _digest(tensors: Tensors) -> str:
    """Hash parameters by name, shape and bytes."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key}{tensors[key].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[key], dtype="<f4").tobytes())
    return digest.hexdigest()
