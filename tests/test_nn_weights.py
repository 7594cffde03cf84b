"""Weights files are whole, checked, and found wherever the package is."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from restcli.detect.detector import Detector
from restcli.errors import OutputError, WeightsError
from restcli.nn.golden import golden_logits
from restcli.nn.weights import DEFAULT_NAME, _digest, find_weights, list_weights, load_weights, save_weights
from restcli.train.card import card_text

ROOT = Path(__file__).resolve().parent.parent


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


def with_metadata(source: Path, path: Path, *, sealed: bool = True, **changes: object) -> Path:
    """Write a weights file whose metadata say something else."""
    content = source.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    meta = json.loads(header["__metadata__"]["restcli"])
    for name, value in changes.items():
        *parts, last = name.split(".")
        place = meta
        for part in parts:
            place = place[part]
        place[last] = value
        if value is None:
            del place[last]
    if sealed:
        meta["sha256"] = _digest(load(content), {key: value for key, value in meta.items() if key != "sha256"})
    header["__metadata__"]["restcli"] = json.dumps(meta)
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


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rule.threshold", value) for value in (NAN, INF, 0, -0.1, 1, 1.5, True, "0.5", [0.5], 10**400)),
        *(("rule.release", value) for value in (NAN, 0, 0.51, -1)),
        *(("rule.smooth", value) for value in (NAN, -1, 1e9)),
        *(("rule.min_duration", value) for value in (NAN, INF, -1, 1e9)),
        *(("rule.max_gap", value) for value in (NAN, 1e9)),
        ("rule.unknown", 1),
        *(("calibration.scale", value) for value in (NAN, 0, -1, 1e-300, 1e300)),
        *(("calibration.bias", value) for value in (NAN, INF, -1e9)),
        *((f"config.{name}", value) for name in ("members", "hidden", "updates") for value in (0, 10**9, 8.0, True)),
        *((f"config.{name}", value) for name in ("n_features", "n_types") for value in (-1, 7, 10**9)),
        ("config.fire_rate", NAN),
        ("config.variant", "XX"),
        ("config.variant", "X" * 300_000),
        ("config.mask_per", "X" * 300_000),
        *(("memory", value) for value in (0, -1, 10**9, 120.5, "120", NAN)),
        *(("look_ahead", value) for value in (-1, 10**9)),
        *(("min_nodes", value) for value in (0, 19, 10**9)),
        ("features.floor", 0),
        *(("features.bands", value) for value in ([], [[1, 10**9]], [[40, 1]], [[5, 5]], [[-3, 36]], [[1, 40, 2]], 3)),
        *(("nodes", value) for value in ([], ["FP1-F7"] * 18, ["MOON"], "FP1", [3], ["FP1-F7-T3"], None)),
        *(("golden", value) for value in ([], [0.0] * 7, [NAN] * 8, ["x"] * 8, None)),
        *(("types", value) for value in (["sz_foc"], ["=cmd()", "sz"], [3, 4])),
        ("provenance", 3),
        ("metrics", "text"),
        *((f"floor.{name}", value) for name in ("centre", "slope") for value in ([0.0], [NAN] * 10, ["x"] * 10)),
        ("floor.scale", [0.0] * 10),
    ],
)
def test_metadata_that_make_no_sense_are_refused(toy_weights: Path, tmp_path: Path, name: str, value: object) -> None:
    path = with_metadata(toy_weights, tmp_path / "odd.safetensors", **{name: value})
    with pytest.raises(
        WeightsError, match=r"metadata (make no sense|lack a field)|not a restcli weights file"
    ) as raised:
        load_weights(path)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("value", ["Erika" * 1000, [1] * 10_000, 10**400, "\x1b[2J"])
def test_an_odd_version_is_not_quoted(toy_weights: Path, tmp_path: Path, value: object) -> None:
    path = with_metadata(toy_weights, tmp_path / "odd.safetensors", format_version=value)
    with pytest.raises(WeightsError, match="format version unknown"):
        load_weights(path)


@pytest.mark.parametrize(("name", "value"), [("rule.threshold", 0.1), ("calibration.bias", 3.0), ("look_ahead", 0)])
def test_changed_metadata_are_noticed(toy_weights: Path, tmp_path: Path, name: str, value: object) -> None:
    path = with_metadata(toy_weights, tmp_path / "changed.safetensors", sealed=False, **{name: value})
    with pytest.raises(WeightsError, match="SHA-256"):
        load_weights(path)


def test_rule_that_can_never_fire_is_refused(toy_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(toy_weights)
    silent = dict(weights.tensors) | {"fc.weight": 0 * weights.tensors["fc.weight"]}
    for odd in (
        replace(weights, tensors=silent, rule=replace(weights.rule, threshold=0.9)),
        replace(weights, rule=replace(weights.rule, threshold=1.0)),
    ):
        with pytest.raises(WeightsError, match=r"rule\.threshold"):
            save_weights(odd, tmp_path / "silent.safetensors")
    assert not list(tmp_path.iterdir())


def test_tensors_of_other_shapes_types_and_values_are_refused(toy_weights: Path, tmp_path: Path) -> None:
    content = toy_weights.read_bytes()
    meta = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    good = load(content)
    for odd in (
        good | {"l2.weight": good["l2.weight"][:, :31].copy()},
        good | {"extra": np.zeros(3, dtype=np.float32)},
        good | {"l1.weight": good["l1.weight"].astype(np.float64)},
        good | {"fc.bias": np.full(1, np.nan, dtype=np.float32)},
        {name: tensor for name, tensor in good.items() if name != "fc.bias"},
    ):
        told = json.loads(meta["restcli"])
        told.pop("sha256")
        told["sha256"] = _digest(odd, told)
        path = tmp_path / "odd.safetensors"
        path.write_bytes(save(odd, metadata={"restcli": json.dumps(told)}))
        with pytest.raises(WeightsError, match=r"parameters|not a restcli weights file"):
            load_weights(path)


def test_no_weights_file_takes_long_or_much_memory(toy_weights: Path, tmp_path: Path) -> None:
    content = toy_weights.read_bytes()
    path = tmp_path / "huge.safetensors"

    def sparse() -> None:
        path.write_bytes((1 << 39).to_bytes(8, "little"))
        os.truncate(path, 1 << 40)

    def long_header() -> None:
        path.write_bytes((1 << 23).to_bytes(8, "little") + b'{"a":' + b"[" * (1 << 23))

    def deep() -> None:
        with_metadata(toy_weights, path, sealed=False)
        text = json.dumps({"__metadata__": {"restcli": '{"a":' + "[" * 200_000 + "]" * 200_000 + "}"}}).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text)

    def fifo() -> None:
        path.unlink()
        os.mkfifo(path)

    def large() -> None:
        path.write_bytes(content + b"\0" * (1 << 28))

    for make in (sparse, long_header, large, deep, fifo):
        make()
        tracemalloc.start()
        begin = time.perf_counter()
        with pytest.raises(WeightsError):
            load_weights(path)
        seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100e6, make.__name__
        assert seconds < 5, make.__name__  # far above what it takes, so that a busy machine passes


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


def test_the_card_of_shipped_weights_is_what_their_file_gives() -> None:
    written_by_hand = runpy.run_path(str(ROOT / "models" / "make.py"))["ON_REAL_RECORDINGS"]
    for name in list_weights():
        path = find_weights(name)
        assert path.with_suffix(".md").read_text(encoding="utf-8") == card_text(load_weights(path)) + written_by_hand


def test_path_wins_over_name(toy_weights: Path, tmp_path: Path) -> None:
    copy = tmp_path / "rest-default"
    shutil.copy(toy_weights, copy)
    assert find_weights(copy) == copy
