"""Training: same seed same bytes, resume is no different, patients never straddle, the loss judges the right second."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from restcli.errors import UsageError, WeightsError
from restcli.events import EventRule
from restcli.nn.config import RestConfig
from restcli.nn.golden import golden_logits
from restcli.nn.rest import join_networks, n_parameters
from restcli.nn.weights import Calibration, load_weights
from restcli.signal.features import FeatureConfig, log_features
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, electrode_graph
from restcli.train.loop import (
    Batch,
    Sampler,
    TrainSettings,
    batch_loss,
    build_network,
    fit,
    learning_rate,
    mirror_order,
    train,
)
from restcli.train.store import (
    BACKGROUND,
    SEIZURE,
    UNKNOWN,
    Example,
    Examples,
    Gathering,
    Piece,
    SplitRule,
    Store,
    Task,
    gather,
    split_examples,
)
from restcli.train.types import teach_types
from restcli.train.validation import (
    Reading,
    Trace,
    _gates,
    auroc,
    choose_rule,
    confusion_of_types,
    count_events,
    fit_calibration,
    measure_intervals,
    probabilities,
    runs,
    trace_examples,
)

NODES = DOUBLE_BANANA
FEATURES = FeatureConfig(bands=((1, 20),))
TINY = TrainSettings(
    features=FEATURES,
    config=RestConfig(n_features=21, hidden=6, n_types=4),
    steps=12,
    batch=8,
    chunk=12,
    check_every=4,
    recordings=8,
    seconds=40.0,
    folds=2,
)


def _examples(n: int = 8, seconds: int = 40) -> Examples:
    """Recordings with a rhythm at 5 Hz in their second half, when even; a different kind of seizure in turns."""
    rng = np.random.default_rng(0)
    spectra = rng.normal(0, 1, (n * seconds, len(NODES), 100)).astype(np.float16)
    labels = np.zeros(n * seconds, dtype=np.int8)
    items = []
    for i in range(n):
        items.append(Example(Task(f"key{i}", "made", f"patient{i}"), i * seconds, seconds))
        if i % 2 == 0:
            part = slice(i * seconds + seconds // 2, (i + 1) * seconds)
            spectra[part, :, 5] += 6
            labels[part] = SEIZURE + 1 + (i // 2) % 4
    return Examples(tuple(items), spectra, np.ones((n * seconds, len(NODES)), dtype=np.uint8), labels)


def _flat(network: torch.nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel() for p in network.parameters()])


def test_same_seed_same_parameters_and_another_seed_others() -> None:
    examples = _examples()
    first, again = (fit(examples, examples, TINY)[0] for _ in range(2))
    other, _ = fit(examples, examples, replace(TINY, seed=1))
    assert np.array_equal(_flat(first), _flat(again))
    assert not np.array_equal(_flat(first), _flat(other))


def test_resume_after_interruption_ends_with_the_same_parameters(tmp_path: Path) -> None:
    examples = _examples()
    whole, rows = fit(examples, examples, TINY)

    class InterruptionError(Exception):
        pass

    def stop(done: int, total: int, values: dict[str, float]) -> None:
        if done == 6:
            raise InterruptionError

    checkpoint = tmp_path / "rest.checkpoint"
    with pytest.raises(InterruptionError):
        fit(examples, examples, TINY, checkpoint=checkpoint, on_progress=stop)
    seen: list[int] = []
    resumed, resumed_rows = fit(
        examples, examples, TINY, checkpoint=checkpoint, on_progress=lambda done, total, values: seen.append(done)
    )
    assert seen[0] == 5  # the last checkpoint was written after step 4
    assert np.array_equal(_flat(whole), _flat(resumed))
    assert rows == resumed_rows


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(tmp_path: Path) -> None:
    examples = _examples()
    checkpoint = tmp_path / "rest.checkpoint"
    fit(examples, examples, TINY, checkpoint=checkpoint)
    seen: list[int] = []
    fit(
        examples,
        examples,
        replace(TINY, rate=1e-3),
        checkpoint=checkpoint,
        on_progress=lambda done, total, values: seen.append(done),
    )
    assert seen[0] == 1


def test_a_checkpoint_of_other_data_is_not_gone_on_from(tmp_path: Path) -> None:
    examples = _examples()
    checkpoint = tmp_path / "rest.checkpoint"
    fit(examples, examples, TINY, checkpoint=checkpoint)
    seen: list[int] = []
    fewer = examples.subset(lambda task: task.key != "key7")
    fit(fewer, examples, TINY, checkpoint=checkpoint, on_progress=lambda done, total, values: seen.append(done))
    assert seen[0] == 1


def test_a_clear_rhythm_is_learnt() -> None:
    examples = _examples()
    settings = replace(TINY, steps=60, rate=2e-2, check_every=30, average=0.9)
    _, rows = fit(examples, examples, settings)
    assert rows[-1]["auroc"] > 0.95
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"] < 1.0


@pytest.mark.parametrize("variant", ["DS", "RS", "RM"])
@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_variants_and_losses_train(variant: str, loss: str) -> None:
    examples = _examples()
    config = replace(TINY.network, variant=variant)
    network, rows = fit(examples, examples, replace(TINY, steps=3, check_every=3, config=config, loss=loss))
    assert np.isfinite(_flat(network)).all()
    assert np.isfinite(rows[-1]["loss"])


def test_output_after_second_t_is_compared_with_the_label_look_ahead_before() -> None:
    settings = replace(TINY, look_ahead=3, type_weight=0.0)
    network = build_network(settings)
    adjacency = torch.from_numpy(electrode_graph(NODES).adjacency)
    batch = Sampler(_examples(), settings).batch(0)
    labels = torch.full_like(batch.labels, UNKNOWN)
    labels[:, 4] = SEIZURE
    batch = Batch(batch.x, torch.ones_like(batch.present), labels)
    network.eval()
    got = batch_loss(network, batch, adjacency, settings, None)
    logits = network(batch.x, adjacency)[0].mean(dim=-1)
    expected = torch.nn.functional.softplus(-logits[:, 7]).mean()
    torch.testing.assert_close(got, expected)


def test_the_papers_loss_looks_at_the_last_second_alone() -> None:
    settings = replace(TINY, loss="mse", every_second=False, look_ahead=0, type_weight=0.0)
    network = build_network(settings).eval()
    adjacency = torch.from_numpy(electrode_graph(NODES).adjacency)
    batch = Sampler(_examples(), settings).batch(0)
    logits = network(batch.x, adjacency, present=batch.present)[0]
    mean = (logits * batch.present).sum(dim=-1) / batch.present.sum(dim=-1)
    target = (batch.labels[:, -1] >= SEIZURE).float()
    expected = ((torch.sigmoid(mean[:, -1]) - target) ** 2).mean()
    torch.testing.assert_close(batch_loss(network, batch, adjacency, settings, None), expected)


def test_absent_nodes_and_padding_change_nothing() -> None:
    settings = replace(TINY, steps=1)
    network = build_network(settings).eval()
    adjacency = torch.from_numpy(electrode_graph(NODES).adjacency)
    batch = Sampler(_examples(), settings).batch(0)
    present = torch.ones_like(batch.present)
    present[..., 3] = 0
    poisoned = batch.x.clone()
    poisoned[:, :, 3] = 1e3
    losses = [
        batch_loss(network, Batch(x, present, batch.labels), adjacency, settings, None) for x in (batch.x, poisoned)
    ]
    torch.testing.assert_close(losses[0], losses[1])


def test_batches_depend_on_seed_and_step_alone() -> None:
    sampler = Sampler(_examples(), TINY)
    first, _, again = sampler.batch(3), sampler.batch(4), sampler.batch(3)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.present, again.present)
    assert not torch.equal(first.x, sampler.batch(5).x)


def test_chunks_are_balanced_towards_seizures() -> None:
    sampler = Sampler(_examples(n=40), replace(TINY, batch=400))
    ictal = (sampler.batch(0).labels >= SEIZURE).any(dim=1).float().mean()
    assert 0.45 < float(ictal) < 0.7


def test_mirror_swaps_hemispheres_and_is_its_own_inverse() -> None:
    for nodes in (DOUBLE_BANANA, ELECTRODES_19):
        order = mirror_order(nodes)
        assert np.array_equal(order[order], np.arange(len(nodes)))
        weights = electrode_graph(nodes).adjacency
        np.testing.assert_allclose(weights[np.ix_(order, order)], weights, atol=1e-6)
    assert DOUBLE_BANANA[mirror_order(DOUBLE_BANANA)[0]] == "FP2-F8"


def test_rate_rises_then_falls() -> None:
    settings = replace(TINY, steps=100, rate=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert int(np.argmax(rates)) in (29, 30, 31)
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[-1] < 1e-4


def test_default_network_is_a_rest() -> None:
    assert n_parameters(build_network(TrainSettings())) < 10_000
    with pytest.raises(UsageError, match="fewer than 10000"):
        build_network(TrainSettings(config=RestConfig(n_features=41, hidden=64)))


def test_features_of_stored_logarithms_equal_features_of_spectra() -> None:
    from restcli.signal.features import spectra

    magnitude = np.exp(np.random.default_rng(0).normal(2, 1, (5, 3, 101))).astype(np.float32)
    for config in (
        FeatureConfig(),
        FeatureConfig(bands=((0, 99),), amplitude=False),
        FeatureConfig(bands=((1, 13), (14, 40))),
    ):
        np.testing.assert_allclose(log_features(np.log(magnitude), config), spectra(magnitude, config), atol=1e-5)


# --- examples -------------------------------------------------------------------------------------------------------


def test_patients_never_straddle_the_split_and_each_validates_once() -> None:
    tasks = [Task(f"k{i}", "made", f"patient{i % 7}") for i in range(50)]
    for seed in (0, 1):
        for task in tasks:
            sides = [SplitRule(folds=5, fold=fold, seed=seed).side(task) for fold in range(5)]
            assert sorted(sides) == ["train"] * 4 + ["validation"]
            twins = {SplitRule(folds=5, seed=seed).side(t) for t in tasks if t.patient == task.patient}
            assert len(twins) == 1


def test_an_official_evaluation_set_is_never_touched() -> None:
    tasks = {split: Task("k", "tusz", "p", split) for split in ("train", "dev", "eval", "")}
    official = {split: SplitRule("official").side(task) for split, task in tasks.items()}
    assert (official["train"], official["dev"], official["eval"]) == ("train", "validation", "neither")
    assert official[""] in ("train", "validation")
    assert SplitRule("patient").side(tasks["eval"]) == "neither"


def test_a_side_without_seizure_is_refused() -> None:
    examples = _examples(n=8)
    quiet = examples.subset(lambda task: int(task.key.removeprefix("key")) % 2 == 1)
    with pytest.raises(UsageError, match="has no seizure"):
        split_examples(quiet, SplitRule(folds=2))


def test_store_drops_what_an_interruption_left(tmp_path: Path) -> None:
    piece = Piece(np.ones((5, 2, 100), np.float16), np.ones((5, 2), np.uint8), np.arange(5, dtype=np.int8))
    store = Store(tmp_path, ("A", "B"))
    with store.locked():
        store.append("one", [piece])
    with next(tmp_path.glob("*.labels")).open("ab") as file:
        file.write(b"\x07\x07")
    with store.locked():
        store.append("two", [piece, piece])
        examples = store.examples([Task("two", "made", "p"), Task("one", "made", "q")])
    assert [(e.start, e.seconds) for e in examples.items] == [(5, 5), (10, 5), (0, 5)]
    assert examples.labels.tolist() == [0, 1, 2, 3, 4] * 3


def test_simulated_examples_are_kept_and_do_not_depend_on_workers(tmp_path: Path) -> None:
    how = Gathering(NODES, tmp_path / "a", recordings=3, seconds=20.0)
    first = gather(["sim:"], how)
    calls: list[int] = []
    again = gather(["sim:"], how, on_progress=lambda done, total, values: calls.append(done))
    apart = gather(["sim:0-2"], replace(how, cache=tmp_path / "b", workers=2))
    assert calls == []
    assert np.array_equal(first.spectra, again.spectra)
    assert np.array_equal(first.spectra, apart.spectra)
    assert np.array_equal(first.labels, apart.labels)
    assert first.summary()["simulated"]["recordings"] == len({e.task.key for e in first.items})


def test_recordings_on_disk_give_the_examples_that_their_marks_say(tmp_path: Path) -> None:
    from restcli.io.registry import open_recording
    from restcli.marks.layouts import find_items
    from restcli.simulate.bids import DatasetSettings, write_dataset

    write_dataset(tmp_path / "data", DatasetSettings(recordings=3, hours=0.05, seizures_per_day=1000.0, seed=1))
    examples = gather([str(tmp_path / "data")], Gathering(NODES, tmp_path / "cache"))
    items = {item.recording_path: item for item in find_items(tmp_path / "data")}
    assert len(items) == 3
    assert len({example.task.patient for example in examples.items}) == 3
    assert any(ictal.size for ictal in examples.ictal)
    for example in examples.items:
        assert example.task.path is not None
        item = items[example.task.path]
        assert example.seconds == int(open_recording(item.recording_path).duration)
        expected = item.events.mask(np.arange(example.seconds) + 0.5)
        assert np.array_equal(examples.labels_of(example) >= SEIZURE, expected)
    assert examples.present.mean() > 0.7


def test_nonsense_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sim:FIRST-LAST"):
        gather(["sim:some"], Gathering(NODES, tmp_path))


# --- operating point ------------------------------------------------------------------------------------------------


def _trace(logit: list[float], labels: list[int]) -> Trace:
    return Trace(
        np.array(logit, np.float32),
        np.full(len(logit), 15, np.float32),
        None,
        np.array(labels, dtype=np.int8),
        np.zeros((len(logit), 10)),
    )


def test_auroc_counts_ties_half() -> None:
    target = np.array([False, True, False, True])
    assert auroc(np.array([0.0, 0.0, 0.0, 0.0]), target) == 0.5
    assert auroc(np.array([0.0, 1.0, 0.5, 2.0]), target) == 1.0
    assert np.isnan(auroc(np.zeros(2), np.zeros(2, dtype=bool)))


def test_calibration_mends_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 4000)
    ictal = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * logit - 1)))
    trace = _trace(list(logit), list(ictal.astype(int) * SEIZURE))
    calibration = fit_calibration([trace], Calibration())
    assert calibration.scale == pytest.approx(0.5, abs=0.08)
    assert calibration.bias == pytest.approx(-1, abs=0.15)


def test_threshold_keeps_to_the_false_alarms_asked_for() -> None:
    rng = np.random.default_rng(1)
    labels = np.zeros(4000, dtype=int)
    labels[2000:2030] = SEIZURE
    logit = np.where(labels == SEIZURE, 4, -3 + rng.normal(0, 2, 4000))
    trace = _trace(list(logit), list(labels))
    found = probabilities([trace], Calibration())
    loose, strict = (choose_rule([trace], found, per_day, EventRule()) for per_day in (2000.0, 1.0))
    assert loose.threshold < strict.threshold
    assert strict.release < strict.threshold
    counts = count_events([trace], found, strict)
    assert (counts.n_seizures, counts.n_found, counts.n_false) == (1, 1, 0)
    assert counts.background_seconds == 3970


def test_alarm_beside_a_seizure_or_where_nothing_is_known_is_not_false() -> None:
    labels = np.zeros(400, dtype=np.int8)
    labels[200:210] = SEIZURE
    labels[380:] = UNKNOWN
    probability = np.zeros(400, dtype=np.float32)
    for first in (50, 175, 385):  # far, within 30 s, unknown
        probability[first : first + 8] = 1
    counts = count_events(
        [Trace(probability, probability, None, labels, np.zeros((400, 10)))], [probability], EventRule()
    )
    assert (counts.n_found, counts.n_false) == (0, 1)


def test_intervals_are_measured_by_what_they_tell() -> None:
    logit = np.array([3.0, -3.0, 0.2, -0.2, np.nan], np.float32)
    spread = np.linspace(-1, 1, 21, dtype=np.float32)
    trace = replace(
        _trace(list(logit), [SEIZURE, BACKGROUND, BACKGROUND, BACKGROUND, BACKGROUND]),
        passes=(logit[:, None] + 5 + spread * [[0.1], [0.1], [1], [1], [1]]).astype(np.float32),
    )
    calibration = Calibration()
    found = probabilities([trace], calibration)
    told = measure_intervals([trace], found, calibration, EventRule(threshold=0.5))
    assert (told["passes"], told["seconds"], told["straddling"]) == (21, 4, 0.5)
    assert (told["wrong_where_straddling"], told["wrong_elsewhere"]) == (0.5, 0.0)
    assert 0.1 < told["mean_width"] < 0.3


def test_masked_passes_differ_from_each_other_and_repeat() -> None:
    network = build_network(TINY)
    masks, again = ([gate.numpy() for gate in _gates(network, torch.zeros(18, 400, 6), 3)] for _ in range(2))
    rate = network.config.fire_rate
    for number, mask in enumerate(masks):
        assert mask.shape == (18, 400)
        np.testing.assert_array_equal(mask, again[number])
        np.testing.assert_allclose(np.unique(mask), [0, 1 / rate])
        assert mask.mean() == pytest.approx(1, abs=0.1)
        assert not any(np.array_equal(mask, other) for other in masks[:number])


def test_runs() -> None:
    assert list(runs(np.array([True, True, False, True]))) == [(0, 2), (3, 4)]
    assert BACKGROUND < SEIZURE


# --- the whole road -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_train_writes_weights_log_curves_and_card_the_same_twice(tmp_path: Path, cache: Path) -> None:
    settings = replace(TINY, cache=cache, recordings=12)
    first, again = (train(["sim:"], tmp_path / name, settings) for name in ("a", "b"))
    assert first.path.read_bytes() == again.path.read_bytes()
    weights = load_weights(first.path)
    assert weights.golden
    assert weights.types[2] == "sz_gen_nm_typical"
    assert weights.metrics["validation"]["background_hours"] > 0
    assert weights.baseline is not None and len(weights.baseline.slope) == 10
    assert weights.metrics["validation"]["auroc_band_power_floor"] > 0
    assert all(f"auroc {floor} floor" in first.card.read_text() for floor in ("amplitude", "band power"))
    assert first.log.read_text().splitlines()[0] == "member,step,rate,loss,validation_loss,auroc"
    assert "wrong side" in first.card.read_text() and weights.metrics["intervals"]["passes"] == 20
    assert weights.metrics["intervals"]["mean_width"] > 0
    assert f"({weights.name}_reliability.png)" in first.card.read_text()
    assert (first.path.parent / f"{weights.name}_reliability.png").stat().st_size > 1000
    assert first.curves is not None
    assert first.curves.stat().st_size > 1000
    assert not list(first.path.parent.glob("*.part"))
    assert str(tmp_path) not in json.dumps(weights.provenance)


def test_fine_tuning_starts_from_given_weights(tmp_path: Path, cache: Path) -> None:
    settings = replace(TINY, cache=cache, recordings=12, steps=4)
    first = train(["sim:"], tmp_path / "a", settings)
    tuned = train(["sim:"], tmp_path / "b", replace(settings, start_from=first.path, rate=0.0, average=0.0))
    for key, value in first.weights.tensors.items():
        np.testing.assert_allclose(tuned.weights.tensors[key], value, atol=1e-6)
    assert tuned.weights.provenance["settings"]["start_from"] == first.weights.sha256
    assert str(tmp_path) not in json.dumps(tuned.weights.provenance)
    with pytest.raises(WeightsError, match="features or nodes"):
        train(["sim:"], tmp_path / "c", replace(settings, start_from=first.path, features=FeatureConfig(), config=None))


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
    assert [row["member"] for row in both.rows] == [0.0, 1.0]
    tuned = train(["sim:"], tmp_path / "tuned", replace(pair, start_from=both.path, rate=0.0, average=0.0))
    np.testing.assert_allclose(tuned.weights.tensors["l1.weight"], loaded.tensors["l1.weight"], atol=1e-6)
    with pytest.raises(WeightsError, match="2 members"):
        train(["sim:"], tmp_path / "other", replace(single, config=shape, start_from=both.path))


def test_types_are_taught_on_the_joint_states_of_members() -> None:
    """Each type has a rhythm of its own, and networks that never learnt: the readout tells their states apart."""
    examples = _examples(n=16)
    for k in range(4):
        examples.spectra[examples.labels == SEIZURE + 1 + k, :, 8 + 3 * k] += 6
    config = RestConfig(n_features=21, hidden=6, n_types=4)
    networks = [build_network(replace(TINY, config=config, seed=seed)).eval() for seed in range(2)]
    adjacency = torch.from_numpy(electrode_graph(NODES).adjacency)
    reading = Reading(FEATURES, window=6, look_ahead=1)
    before = [network.fc.weight.detach().clone() for network in networks]
    teach_types(networks, join_networks(networks), examples, (adjacency, reading))
    traces = trace_examples(join_networks(networks), examples, adjacency, reading)
    table = confusion_of_types(traces, 4)
    assert table.sum() > 4
    assert np.trace(table) > 0.9 * table.sum()
    for network, weight in zip(networks, before, strict=True):
        torch.testing.assert_close(network.fc.weight, weight)


def test_card_tells_both_priors_of_the_usual_amplitude(tmp_path: Path, cache: Path) -> None:
    """Stretches of 40 s are parts of long recordings: calibrated with 20 s at 15 µV, used with 90 s."""
    made = train(["sim:"], tmp_path, replace(TINY, cache=cache, recordings=12, fusion=2.0))
    metrics = made.weights.metrics
    assert made.weights.calibration.prior_seconds == 90.0
    assert metrics["calibrated_with_prior"] == 20.0
    assert metrics["validation"]["brier"] != metrics["validation_in_use"]["brier"]
    told = made.card.read_text()
    assert "mix 20 s at 15 µV" in told
    assert "in use 90 s" in told
    assert metrics["intervals"]["mean_width"] > 0


def test_settings_that_make_no_sense_are_refused() -> None:
    for bad in ({"smooth": 4}, {"loss": "hinge"}, {"steps": 0}, {"look_ahead": 14}, {"device": "tpu"}):
        with pytest.raises(UsageError):
            replace(TINY, **bad)
    with pytest.raises(UsageError):
        SplitRule(folds=1)


def test_the_command_line_has_the_same_defaults() -> None:
    import inspect

    from restcli.cli.train import train as command

    told = {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}
    settings = TrainSettings()
    for name in ("steps", "seed", "recordings", "loss", "split", "folds", "fold", "resume", "device", "workers"):
        assert told[name] == getattr(settings, name), name
    assert told["false_alarms"] == settings.false_alarms_per_day
    for name in ("variant", "hidden", "members"):
        assert told[name] == getattr(settings.network, name), name
