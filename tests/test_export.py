"""Exported weights say what restcli says, second by second: ONNX, C on this machine, C on a Cortex-M4F."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import onnx
import pytest
import torch
from edf_writer import noise
from numpy.typing import NDArray
from typer.testing import CliRunner

from benchmarks.compiled import BOARD_TOOLS, Answers, missing_tools, run_here, run_on_board, write_sources
from benchmarks.runtime import run_seconds
from benchmarks.seconds import Seconds, events_of, seconds_of_recording
from restcli.cli.app import app
from restcli.detect.timeline import calibrate
from restcli.export.c import c_files
from restcli.export.onnx import network_graph, second_graph
from restcli.io.registry import open_recording
from restcli.nn.config import RestConfig
from restcli.nn.rest import Rest
from restcli.nn.weights import Weights, list_weights, load_weights
from restcli.signal.features import FeatureConfig
from restcli.signal.montage import ELECTRODES_19

needs_gcc = pytest.mark.skipif(bool(missing_tools(["gcc"])), reason="gcc is not installed")
needs_board = pytest.mark.skipif(
    bool(missing_tools(BOARD_TOOLS)), reason=f"not installed: {missing_tools(BOARD_TOOLS)}"
)


def many_updates() -> Weights:
    """Return weights of another form: several updates a second, two members, no look-ahead, electrodes, all bins."""
    config = RestConfig(n_features=100, hidden=8, members=2, variant="RM", updates=3)
    torch.manual_seed(1)
    networks = [Rest(config).state_dict() for _ in range(2)]
    tensors = {key: 0.5 * np.stack([network[key].numpy() for network in networks]) for key in networks[0]}
    features = FeatureConfig(bands=((0, 99),), amplitude=False, relative=False)
    return Weights("many", config, features, ELECTRODES_19, tensors, look_ahead=0)


@pytest.fixture(params=["toy", "many updates", *list_weights()])
def weights(request: pytest.FixtureRequest, toy_weights: Path) -> Weights:
    if request.param == "many updates":
        return many_updates()
    return load_weights(toy_weights if request.param == "toy" else request.param)


def seconds_with_faults(weights: Weights) -> Seconds:
    """Make EEG with a gap, a node that comes and goes, seconds without any, and an electrode that opens and returns."""
    data = noise(19, 70, 200)
    data *= 1 + np.repeat(np.arange(70) % 13 == 0, 200)  # amplitudes that move the usual ones
    rows = {name: row for row, name in enumerate(ELECTRODES_19)}
    data[rows["T5"], 1000:1600] = 0
    data[:, 6000:6400] = 0
    data[[rows[name] for name in ("F3", "F4", "O1")], 7000:10600] = np.random.default_rng(1).normal(0, 1, (3, 3600))
    raw = mne.io.RawArray(data * 1e-6, mne.create_info(list(ELECTRODES_19), 200, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([20], [3], ["BAD_ACQ_SKIP"]))
    seconds = seconds_of_recording(open_recording(raw), weights)
    assert seconds.begins.sum() == 2
    assert not seconds.good.all() and seconds.open.any()
    assert 20 < np.isfinite(seconds.probability).sum() < len(seconds.probability)
    return seconds


def check(found: Answers, expected: Seconds, weights: Weights) -> None:
    assert np.array_equal(found.verdict == 0, np.isfinite(expected.probability))
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4)
    np.testing.assert_allclose(calibrate(found.logit, weights.calibration), expected.by_node, atol=1e-3)


def from_microvolts(seconds: Seconds, weights: Weights) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return probability and that of each node, from the graph that takes microvolts."""
    given = {name: getattr(seconds, name) for name in ("microvolts", "good", "open")}
    return run_seconds(second_graph(weights), given | {"begins": seconds.begins[:, None]})


def check_graphs(seconds: Seconds, weights: Weights, *, whole: float) -> int:
    """Compare the network's graph to 1e-5, and the one from microvolts to `whole`; return how many seconds."""
    probability, by_node = from_microvolts(seconds, weights)
    np.testing.assert_allclose(probability, seconds.probability, atol=whole)
    np.testing.assert_allclose(by_node, seconds.by_node, atol=10 * whole)
    present, begins = seconds.good & ~seconds.open, seconds.begins[:, None]
    given = {"features": seconds.features, "present": present, "begins": begins}
    alone, _ = run_seconds(network_graph(weights), given)
    # The network alone does not know which nodes have turned out to be open since the second that it judges.
    ahead = weights.look_ahead
    recently = np.array([seconds.open[max(0, t - ahead) : t + 1].any() for t in range(len(alone))])
    calm = np.isfinite(seconds.probability) & ~recently
    np.testing.assert_allclose(alone[calm], seconds.probability[calm], atol=1e-5)
    return int(calm.sum())


def test_graphs_say_what_restcli_says(weights: Weights) -> None:
    assert check_graphs(seconds_with_faults(weights), weights, whole=1e-5) > 20


def test_graphs_are_small_and_plain_and_say_what_they_are(weights: Weights) -> None:
    for graph in (network_graph(weights), second_graph(weights)):
        assert len(graph.SerializeToString()) < 60_000
        assert {one.domain for one in graph.opset_import} == {node.domain for node in graph.graph.node} == {""}
        facts = {entry.key: entry.value for entry in graph.metadata_props}
        assert json.loads(facts["nodes"]) == list(weights.nodes)
        assert (facts["weights_sha256"], facts["units"]) == (weights.sha256, "uV")
        assert json.loads(facts["threshold"]) == json.loads(facts["rule"])["threshold"] == weights.rule.threshold


@needs_gcc
def test_c_says_what_restcli_says(weights: Weights, tmp_path: Path) -> None:
    seconds = seconds_with_faults(weights)
    write_sources(weights, tmp_path)
    check(run_here(tmp_path, seconds), seconds, weights)


@needs_gcc
def test_samples_that_are_no_numbers_are_not_good(toy_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(toy_weights)
    seconds = seconds_with_faults(weights)
    seconds.microvolts[~seconds.good] = 7.0
    good, microvolts = np.ones_like(seconds.good), seconds.microvolts.copy()
    odd = [np.nan, 1e10, np.inf, -1e25, -np.inf, 3e38]  # the squares of large ones overflow
    microvolts[:, :, 100][~seconds.good] = np.resize(odd, (~seconds.good).sum())
    spoiled = replace(seconds, good=good, microvolts=microvolts)
    write_sources(weights, tmp_path)
    check(run_here(tmp_path, spoiled), seconds, weights)
    np.testing.assert_allclose(from_microvolts(spoiled, weights)[0], seconds.probability, atol=1e-5)


@needs_gcc
def test_bytes_take_a_quarter_and_change_little(toy_weights: Path, tmp_path: Path) -> None:
    weights = load_weights(toy_weights)
    seconds = seconds_with_faults(weights)
    write_sources(weights, tmp_path, int8=True)
    found = run_here(tmp_path, seconds)
    assert np.array_equal(found.verdict == 0, np.isfinite(seconds.probability))
    off = np.abs(found.probability - seconds.probability)
    assert 0 < np.nanmax(off) < 0.05
    assert len(c_files(weights, int8=True)["rest.c"]) < 0.6 * len(c_files(weights)["rest.c"])


@needs_board
@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_board_says_what_restcli_says_within_its_means(toy_weights: Path, tmp_path: Path, int8: bool) -> None:
    weights = load_weights(toy_weights)
    seconds = seconds_with_faults(weights)
    write_sources(weights, tmp_path, int8=int8)
    found, sizes = run_on_board(tmp_path, seconds)  # linking fails beyond 64 KB of flash and 37 KB of RAM
    if int8:
        np.testing.assert_allclose(found.probability, run_here(tmp_path, seconds).probability, atol=1e-4)
    else:
        check(found, seconds, weights)
    assert sizes.flash < 64 * 1024
    assert 256 < found.stack < 2048
    assert sizes.static + found.stack < 37_000
    assert 0 < found.instructions.max() < 3_000_000


@needs_gcc
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_recordings_have_the_same_scores_and_events(shared_eeg: Path, tmp_path: Path) -> None:
    weights = load_weights("rest-default")
    lower = replace(weights, rule=weights.rule.with_threshold(0.3))
    write_sources(weights, tmp_path)
    n_events = 0
    for group in ("absence", "chbmit", "iiic", "eegmat"):
        for path in sorted((shared_eeg / group).glob("*.edf")):
            seconds = seconds_of_recording(open_recording(path), weights)
            found = run_here(tmp_path, seconds)
            check(found, seconds, weights)
            events = events_of(seconds.probability, lower)
            assert events_of(found.probability, lower) == events, path.name
            n_events += len(events)
            check_graphs(seconds, weights, whole=2e-5)  # twice the rounding of restcli's own transforms
    assert n_events > 10


def test_command_writes_what_was_asked_for(toy_weights: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> int:
        done = CliRunner().invoke(app, ["export", str(toy_weights), "--out", str(tmp_path), *arguments])
        assert done.output == "" or "--quiet" not in arguments
        return done.exit_code

    assert run("--to", "onnx") == run("--to", "c", "--int8") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("rest.c", "rest.h", "toy_network.onnx", "toy_second.onnx"),
    ]
    onnx.checker.check_model(str(tmp_path / "toy_second.onnx"))
    assert load_weights(toy_weights).sha256 in (tmp_path / "rest.h").read_text()
    assert run("--to", "c") != 0
    assert run("--to", "onnx", "--int8", "--overwrite") != 0
    assert run("--to", "c", "--overwrite", "--quiet") == 0
    assert "int8_t weight" not in (tmp_path / "rest.c").read_text()
