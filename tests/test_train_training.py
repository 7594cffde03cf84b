"""From data to weights: files, fine-tuning, members, types, and what is refused before any work."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from train_examples import FEATURES, TINY, made_examples

from restcli.errors import OutputError, UsageError, WeightsError
from restcli.nn.config import RestConfig
from restcli.nn.golden import golden_logits
from restcli.nn.network import NEVER, Network, memory_of
from restcli.nn.weights import load_weights
from restcli.train.assembly import reader_of
from restcli.train.loop import build_network
from restcli.train.settings import FINE_TUNING, TrainSettings, adopt
from restcli.train.store import SEIZURE
from restcli.train.training import train
from restcli.train.types import fit_types
from restcli.train.validation import confusion_of_types


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_train_writes_weights_log_curves_and_card_the_same_twice(tmp_path: Path, cache: Path) -> None:
    settings = replace(TINY, cache=cache, recordings=12)
    first, again = (train(["sim:"], tmp_path / name, settings) for name in ("a", "b"))
    assert first.path.read_bytes() == again.path.read_bytes()
    weights = load_weights(first.path)
    assert weights.golden
    assert weights.types[2] == "sz_gen_nm_typical"
    assert weights.metrics["validation"]["hours"] > 0
    assert weights.baseline is not None and len(weights.baseline.slope) == 10
    assert weights.metrics["validation"]["auroc_band_power_baseline"] > 0
    assert all(f"AUROC of {name} baseline" in first.card.read_text() for name in ("amplitude", "band power"))
    assert first.log.read_text().splitlines()[0] == "member,step,rate,loss,validation_loss,auroc"
    assert "nan %" not in first.card.read_text()
    assert "wrong side" in first.card.read_text() and weights.metrics["intervals"]["passes"] == 20
    assert weights.metrics["intervals"]["mean_width"] > 0
    assert f"({weights.name}_reliability.png)" in first.card.read_text()
    assert (first.path.parent / f"{weights.name}_reliability.png").stat().st_size > 1000
    assert first.curves.stat().st_size > 1000
    assert not list(first.path.parent.glob("*.part"))
    assert str(tmp_path) not in json.dumps(weights.provenance)


@pytest.mark.slow
def test_a_stopped_training_says_where_it_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, cache: Path) -> None:
    two = replace(TINY.network, members=2)
    settings = replace(TINY, cache=cache, recordings=12, steps=4, check_every=2, config=two)

    def stop(done: int, total: int, state: dict[str, float]) -> None:
        if state and done == total - 1:
            raise KeyboardInterrupt

    said: list[str] = []
    whole = train(["sim:"], tmp_path / "whole", settings, on_resume=said.append)
    assert said == []
    with pytest.raises(KeyboardInterrupt):
        train(["sim:"], tmp_path / "a", settings, on_progress=stop)
    again = train(["sim:"], tmp_path / "a", settings, on_resume=said.append)
    assert said == ["resumes: member 1 at step 4, member 2 at step 2 of 4"]
    assert again.path.read_bytes() == whole.path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(["sim:"], tmp_path / "b", settings, on_progress=stop)
    train(["sim:"], tmp_path / "b", replace(settings, steps=3), on_resume=said.append)
    assert "belongs to other settings or data and is not used" in said[1]


@pytest.mark.slow
def test_fine_tuning_starts_from_given_weights(tmp_path: Path, cache: Path) -> None:
    settings = replace(TINY, cache=cache, recordings=12, steps=4)
    first = train(["sim:"], tmp_path / "a", settings)
    tuned = train(["sim:"], tmp_path / "b", replace(settings, start_from=first.path, rate=0.0, average=0.0))
    for key, value in first.weights.tensors.items():
        np.testing.assert_allclose(tuned.weights.tensors[key], value, atol=1e-6)
    assert tuned.weights.provenance["settings"]["start_from"] == first.weights.sha256
    elsewhere = train(["sim:50-61"], tmp_path / "c", replace(settings, start_from=first.path, rate=0.0, average=0.0))
    assert elsewhere.weights.calibration == first.weights.calibration, "a threshold that is kept keeps its meaning"
    assert f"SHA-256 {first.weights.sha256[:8]}: scale and bias are theirs" in elsewhere.card.read_text()
    assert "none was fitted to the data above" in elsewhere.card.read_text()
    assert "come from these data alone" in first.card.read_text()
    assert "calibrated on the validation data" in first.card.read_text()
    assert pd.read_csv(elsewhere.log)["step"][0] == 0, "what it began with is a candidate"
    assert str(tmp_path) not in json.dumps(tuned.weights.provenance)


@pytest.mark.slow
def test_members_are_trained_apart_and_used_side_by_side(tmp_path: Path, cache: Path) -> None:
    single = replace(TINY, cache=cache, recordings=12, steps=4)
    shape = replace(single.network, hidden=6)
    pair = replace(single, config=replace(shape, members=2), seed=1)
    both = train(["sim:"], tmp_path / "pair", pair)
    for k, seed in enumerate((2, 3)):
        alone = train(["sim:"], tmp_path / f"alone{k}", replace(single, config=shape, seed=seed))
        for key, value in alone.weights.tensors.items():
            if not key.startswith("fc_type"):  # taught on the states of all members together
                np.testing.assert_array_equal(both.weights.tensors[key][k], value)
    loaded = load_weights(both.path)
    assert loaded.n_parameters == 2 * sum(value.size for value in alone.weights.tensors.values())
    np.testing.assert_allclose(golden_logits(loaded), loaded.golden, atol=1e-4)
    assert pd.read_csv(both.log)["member"].tolist() == [0.0, 1.0]
    at_once = train(["sim:"], tmp_path / "at once", replace(pair, workers=2))
    assert at_once.path.read_bytes() == both.path.read_bytes()
    tuned = train(["sim:"], tmp_path / "tuned", replace(pair, start_from=both.path, rate=0.0, average=0.0))
    np.testing.assert_allclose(tuned.weights.tensors["l1.weight"], loaded.tensors["l1.weight"], atol=1e-6)
    with pytest.raises(WeightsError, match="members is 2 in these weights and 1 in the network asked for"):
        train(["sim:"], tmp_path / "other", replace(single, config=shape, start_from=both.path))


def test_types_are_fitted_on_the_joint_states_of_members() -> None:
    """Each type has a rhythm of its own, and networks that never learnt: the readout tells their states apart."""
    examples = made_examples(n=16)
    for stretch in examples.stretches:
        for k in range(4):
            stretch.spectra[stretch.labels == SEIZURE + 1 + k, :, 8 + 3 * k] += 6
    config = RestConfig(n_features=21, hidden=6, n_types=4)
    networks = [build_network(replace(TINY, config=config, seed=seed)).eval() for seed in range(2)]
    settings = replace(TINY, config=config, look_ahead=1)
    before = [network.fc.weight.detach().clone() for network in networks]
    fit_types(networks, reader_of(networks, settings), examples)
    traces = reader_of(networks, settings).traces(examples.stretches)
    table = confusion_of_types(traces, 4)
    assert table.sum() > 4
    assert np.trace(table) > 0.9 * table.sum()
    for network, weight in zip(networks, before, strict=True):
        torch.testing.assert_close(network.fc.weight, weight)


@pytest.mark.slow
def test_weights_remember_for_as_long_as_was_measured_and_the_card_says_so(tmp_path: Path, cache: Path) -> None:
    made = train(["sim:"], tmp_path, replace(TINY, cache=cache, recordings=12))
    assert made.weights.memory == memory_of(Network.of(made.weights), FEATURES)
    told = any("does not forget" in line for line in made.weights.metrics["warnings"])
    assert told == (made.weights.memory == NEVER)
    assert ("does not forget;" if told else f"forgets within {made.weights.memory} s;") in made.card.read_text()
    assert made.weights.metrics["intervals"]["mean_width"] > 0


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="look_ahead"):
        replace(TINY, look_ahead=12)
    with pytest.raises(UsageError, match="fold 5 of 2"):
        replace(TINY, fold=5)


def test_the_command_line_has_the_same_defaults() -> None:
    import inspect

    from restcli.cli.train import train as command

    told = {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}
    settings = TrainSettings()
    steps = inspect.signature(command).parameters["steps"].annotation.__metadata__[0]
    assert steps.show_default == f"{settings.steps}; {FINE_TUNING['steps']} with --from"
    for name in (
        "seed",
        "recordings",
        "loss",
        "split",
        "folds",
        "fold",
        "device",
        "workers",
        "false_alarms_per_day",
        "ward",
    ):
        assert told[name] == getattr(settings, name), name
    assert told["restart"] != settings.resume
    assert (told["variant"], told["hidden"], told["members"]) == (None, None, None)  # as the weights of --from


# --- refused before any work ----------------------------------------------------------------------------------------


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any preparation of examples fail the test."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("examples were prepared")

    monkeypatch.setattr("restcli.train.training.build_examples", work)


@pytest.mark.slow
def test_fine_tuning_takes_nodes_features_and_seconds_from_the_weights(tmp_path: Path) -> None:
    paper = load_weights("rest-paper")
    settings = adopt(TrainSettings(start_from="rest-paper"))
    assert (settings.nodes, settings.features, settings.network) == (paper.nodes, paper.features, paper.config)
    assert settings.look_ahead == paper.look_ahead
    assert adopt(settings) == settings
    result = train(["sim:"], tmp_path, replace(settings, recordings=12, seconds=30.0, steps=1, folds=2, ward=0))
    assert result.weights.nodes == paper.nodes


@pytest.mark.usefixtures("no_work")
def test_another_shape_than_that_of_the_weights_is_refused(tmp_path: Path) -> None:
    settings = adopt(TrainSettings(start_from="rest-paper"))
    with pytest.raises(WeightsError, match=r"hidden is 32 in these weights and 8 .* Leave out --hidden"):
        train(["sim:"], tmp_path, replace(settings, config=replace(settings.network, hidden=8)))
    with pytest.raises(WeightsError, match=r"absent.safetensors"):
        train(["sim:"], tmp_path, TrainSettings(start_from=tmp_path / "absent.safetensors"))


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("ending", [".safetensors", ".md", "_log.csv"])
def test_existing_weights_are_not_replaced_unless_asked(tmp_path: Path, ending: str) -> None:
    existing = tmp_path / f"rest{ending}"
    existing.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"already exists.*--overwrite"):
        train(["sim:"], tmp_path, TrainSettings())
    assert existing.read_bytes() == b"mine"
    with pytest.raises(AssertionError, match="examples were prepared"):
        train(["sim:"], tmp_path, TrainSettings(overwrite=True))


@pytest.mark.usefixtures("no_work")
def test_other_faults_are_found_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="have no official split"):
        train(["sim:"], tmp_path, TrainSettings(split="official"))
    with pytest.raises(UsageError, match="fewer than 10000"):
        train(["sim:"], tmp_path, TrainSettings(config=RestConfig(n_features=42, hidden=64)))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="the folder cannot be made"):
        train(["sim:"], tmp_path / "file" / "runs", TrainSettings())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.usefixtures("no_work")
def test_a_gpu_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no GPU"):
        train(["sim:"], tmp_path, TrainSettings(device="cuda"))
