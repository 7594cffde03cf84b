"""Weights files: load, save, list and check them, without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError, RestError, WeightsError
from restcli.events import EventRule
from restcli.files import shipped, write_atomically
from restcli.io.companions import open_regular
from restcli.nn.baselines import BandPowerBaseline
from restcli.nn.checks import LARGEST_FILE, check_header, check_weights, read_value
from restcli.nn.config import RestConfig
from restcli.signal.features import FeatureConfig

FORMAT_VERSION = 2
# Names how scores follow from signals, see docs/definition.md; weights serve the definition they were trained under.
DEFINITION = "carried-1"
DEFAULT_NAME = "rest-default"
_METADATA_KEY = "restcli"
_DIGEST_KEY = "sha256"  # of the parameters and of all other metadata
_MADE_BY = "a file from restcli train"
_BASELINE_KEY = "floor"  # what files call the band-power baseline

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Calibration:
    """From a logit to a probability: the logistic function of ``scale * logit + bias``."""

    scale: float = 1.0
    bias: float = 0.0


FINGERPRINT = 10  # digits of a recording's SHA-256 that weights keep of what they were trained on

BALANCED = "balanced"
SENSITIVITIES = ("sensitive", BALANCED, "specific")


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold, and what to expect of it on the data named in the weights' metrics."""

    name: str  # one of `SENSITIVITIES`
    threshold: float
    sensitivity: float  # share of seizures found; NaN where there were none
    false_alarms_per_day: float
    asked: float  # false alarms a day at most, for which the threshold was chosen


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
    rule: EventRule = field(default_factory=EventRule)  # at the balanced operating point
    points: tuple[OperatingPoint, ...] = ()  # most sensitive first; empty when no threshold was chosen on background
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


_KINDS = get_type_hints(Weights)
_PLAIN = "config features nodes memory look_ahead min_nodes rule points calibration types golden".split()


def list_weights() -> tuple[str, ...]:
    """Return the names of the shipped weights, the default first."""
    names = sorted(path.stem for path in shipped("models").glob("*.safetensors"))
    return tuple(sorted(names, key=lambda name: name != DEFAULT_NAME))


def find_weights(name: str | Path) -> Path:
    """Return the path of a weights file, given as it is or as a shipped name."""
    path = Path(name)
    if path.is_file():
        return path
    own = shipped("models") / f"{name}.safetensors"
    if own.is_file():
        return own
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
    content = read_content(path)
    tensors, meta = _parse(path, content)
    version = meta.get("format_version")
    if version != FORMAT_VERSION or meta.get("definition") != DEFINITION:
        version = version if type(version) is int and abs(version) < 1000 else "unknown"
        raise WeightsError(
            path.name,
            f"has format version {version} and was trained for another definition of scores",
            f"version {FORMAT_VERSION} and definition {DEFINITION}, which this restcli computes",
            "Install the restcli that made it, or train the weights again with restcli train",
        )
    if meta.pop(_DIGEST_KEY, None) != _digest(tensors, meta):
        raise WeightsError(
            path.name, "the content does not match its SHA-256", "an unchanged file", "Copy the file again"
        )
    return _from_metadata(path, meta, tensors, hashlib.sha256(content).hexdigest())


def read_content(path: Path) -> bytes:
    """Read a whole weights file, unless it is too large to be one."""
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_FILE + 1)
    except RecordingError as error:
        raise WeightsError(error.where, error.what, "a .safetensors file") from None
    if len(content) > LARGEST_FILE:
        raise WeightsError(path.name, "is too large for weights", f"at most {LARGEST_FILE >> 20} MiB")
    return content


def _parse(path: Path, content: bytes) -> tuple[Tensors, dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        meta = dict(json.loads(check_header(content)["__metadata__"][_METADATA_KEY]))
        json.dumps(meta)  # raises RecursionError if it is nested too deeply to be written again
        return dict(sorted(load(content).items())), meta
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(path.name, "is not a restcli weights file", "safetensors with restcli metadata") from error


def _from_metadata(path: Path, meta: dict[str, Any], tensors: Tensors, sha256: str) -> Weights:
    try:
        baseline = meta.get(_BASELINE_KEY)
        weights = Weights(
            name=path.stem,
            tensors=tensors,
            sha256=sha256,
            provenance=dict(meta["provenance"]),
            metrics=dict(meta["metrics"]),
            baseline=None if baseline is None else read_value(BandPowerBaseline, baseline, "baseline"),
            **{name: read_value(_KINDS[name], meta[name], name) for name in _PLAIN},
        )
        check_weights(weights)
    except RestError as error:
        raise WeightsError(path.name, f"the metadata make no sense ({error.where}: {error.what})", _MADE_BY) from error
    except KeyError as error:
        raise WeightsError(path.name, "the metadata lack a field", _MADE_BY) from error
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        why = f" ({error})" if type(error) is ValueError else ""
        raise WeightsError(path.name, f"the metadata make no sense{why}", _MADE_BY) from error
    return weights


def save_weights(weights: Weights, path: str | Path) -> str:
    """Write a weights file whole or not at all and return its SHA-256; the same weights give the same bytes."""
    from safetensors.numpy import save

    try:
        check_weights(weights)
    except ValueError as error:
        raise WeightsError(weights.name, f"cannot be saved ({error})", "weights that can be used") from error
    meta = asdict(weights)
    tensors = {key: np.ascontiguousarray(value) for key, value in sorted(meta.pop("tensors").items())}
    for left_out in ("name", "sha256"):
        meta.pop(left_out)
    meta[_BASELINE_KEY] = meta.pop("baseline")
    meta |= {"format_version": FORMAT_VERSION, "definition": DEFINITION}
    meta[_DIGEST_KEY] = _digest(tensors, meta)
    content = save(tensors, metadata={_METADATA_KEY: json.dumps(meta, sort_keys=True)})
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def _digest(tensors: Tensors, meta: Mapping[str, Any]) -> str:
    """Hash metadata, and parameters by name, shape and bytes."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for key in sorted(tensors):
        digest.update(f"{key}{tensors[key].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[key], dtype="<f4").tobytes())
    return digest.hexdigest()
