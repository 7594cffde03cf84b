"""Weights files are whole, checked, and found wherever the package is."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restcli.detect.detector import Detector
from restcli.errors import OutputError, WeightsError
from restcli.nn.golden import golden_logits
from restcli.nn.weights import DEFAULT_NAME, find_weights, list_weights, load_weights, save_weights


def test_round_trip_keeps_everything(toy_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(toy_weights)
    copy = tmp_path / "toy.safetensors"
    assert save_weights(weights, copy) == weights.sha256
    again = load_weights(copy)
    for name, value in vars(weights).items():
        if name == "tensors":
            for key, tensor in value.items():
                np.testing.assert_array_equal(tensor, again.tensors[key])
        else:
            assert getattr(again, name) == value, name


def test_a_file_older_than_the_band_power_baseline_is_read_without_it(toy_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(toy_weights)
    assert weights.baseline is not None
    save_weights(replace(weights, baseline=None), tmp_path / "old.safetensors")
    assert load_weights(tmp_path / "old.safetensors").baseline is None


def test_same_weights_same_bytes(toy_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(toy_weights)
    save_weights(weights, tmp_path / "a.safetensors")
    save_weights(weights, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_damaged_parameter_is_refused(toy_weights: Path, tmp_path: Path) -> None:
    content = bytearray(toy_weights.read_bytes())
    content[-3] ^= 0xFF
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(damaged)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_other_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a restcli weights file"):
        load_weights(path)


def test_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(WeightsError, match="a shipped name: .*" + DEFAULT_NAME):
        load_weights("no-such-weights")


def with_metadata(source: Path, path: Path, **changes: object) -> Path:
    """Write a weights file whose metadata say something else."""
    content = source.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = json.loads(header["__metadata__"]["restcli"]) | changes
    header["__metadata__"]["restcli"] = json.dumps({key: value for key, value in meta.items() if value is not None})
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 99},
        {"format_version": 1, "definition": None},  # windows of 14 s
        {"format_version": 1},
        {"definition": "windows"},
        {"definition": None},
    ],
)
def test_weights_of_another_definition_are_refused_with_the_remedy(
    toy_weights: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    load_weights(with_metadata(toy_weights, tmp_path / "same.safetensors"))
    path = with_metadata(toy_weights, tmp_path / "other.safetensors", **changes)
    with pytest.raises(WeightsError, match="format version") as raised:
        load_weights(path)
    text = str(raised.value)
    assert f"has format version {changes.get('format_version', 2)}" in text
    assert "definition carried-1" in text
    assert "restcli train" in text


def test_weights_of_another_computation_are_refused(toy_weights: Path) -> None:
    weights = load_weights(toy_weights)
    Detector(weights, "cpu")
    with pytest.raises(WeightsError, match="other values"):
        Detector(replace(weights, golden=tuple(value + 0.01 for value in weights.golden)), "cpu")
    other = replace(weights, features=replace(weights.features, bands=((2, 41),)))
    with pytest.raises(WeightsError, match="other values"):
        Detector(other, "cpu")


def test_parameters_that_do_not_fit_are_refused(toy_weights: Path) -> None:
    weights = load_weights(toy_weights)
    tensors = {key: value for key, value in weights.tensors.items() if key != "fc.bias"}
    with pytest.raises(WeightsError, match="do not fit"):
        Detector(replace(weights, tensors=tensors, golden=()), "cpu")


def test_unwritable_folder_is_an_output_error(toy_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        save_weights(load_weights(toy_weights), tmp_path / "missing" / "x.safetensors")


def test_shipped_weights_are_small_and_compute_what_they_were_trained_on() -> None:
    names = list_weights()
    assert names[0] == DEFAULT_NAME
    for name in names:
        weights = load_weights(name)
        assert weights.n_parameters < 10_000
        assert find_weights(name).stat().st_size < 60_000
        assert sum(tensor.nbytes for tensor in weights.tensors.values()) < 40_000
        np.testing.assert_allclose(golden_logits(weights), weights.golden, atol=1e-3)
        assert weights.provenance and weights.metrics
        assert find_weights(name).with_suffix(".md").exists(), "a card stands beside the weights"


def test_path_wins_over_name(toy_weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "rest-default"
    shutil.copy(toy_weights, copy)
    assert find_weights(copy) == copy
