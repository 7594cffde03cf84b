"""The benchmarks compare like with like: rivals of the published sizes, counts that follow from shapes."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import review
from benchmarks.chain_changes import CHANGES, LOST, Signals, read_signals, write_signals
from benchmarks.detectors import PUBLISHED_DETECTORS
from benchmarks.device import least_multiply_adds
from benchmarks.evaluation import MARKS, USED, Judge, compare, put_into, shared_recordings, within
from benchmarks.forms import forms, to_onnx
from benchmarks.hospitals import fine_tune, measure_on, write_hospital
from benchmarks.network import PUBLISHED
from benchmarks.recordings import N_CHANNELS, SFREQ, make_recording
from benchmarks.rivals import N_BINS, N_NODES, N_SECONDS, SeizureTransformer, rivals
from benchmarks.roofline import _LANE_SECONDS, counts
from benchmarks.runtime import session_of
from benchmarks.tables import markdown
from restcli.io.registry import open_recording
from restcli.nn.rest import n_parameters
from restcli.nn.weights import load_weights
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, derive, electrode_graph


@pytest.mark.slow
def test_pages_of_a_review_are_timed_in_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "_TURNS", 5)
    pytest.importorskip("playwright", reason="Playwright is not installed (pip install '.[dev]')")
    if not (shutil.which("chromium") or shutil.which("chromium-browser")):
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    (rows,) = review.measure(Namespace(folder=tmp_path, hours="0.03")).values()
    assert [row["channels"] for row in rows] == [32, 32]
    assert all(0 < float(row["next page, median"]) < 60_000 and float(row["server, peak MB"]) > 0 for row in rows)


@pytest.mark.slow
def test_rivals_have_the_published_sizes_and_judge_each_window_alone() -> None:
    built = rivals(torch.from_numpy(electrode_graph(ELECTRODES_19)))
    x = torch.randn(2, N_SECONDS, N_NODES, N_BINS)
    for name, network in built.items():
        assert n_parameters(network) == pytest.approx(PUBLISHED[name][0], rel=0.05), name
        logits = network(x)
        assert logits.shape == (2,)
        torch.testing.assert_close(network(x[1:]), logits[1:], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_onnx_gives_what_torch_gives_and_seconds_one_by_one_what_windows_give() -> None:
    x = torch.randn(1, N_SECONDS, N_NODES, N_BINS)
    for name, form in forms().items():
        if name in ("CNN-LSTM", "ResNet-LSTM", "REST RS", "REST RM"):  # as the LSTM, or random
            continue
        logit = form.window(x).item()
        session = session_of(to_onnx(form.window, x))
        [found] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert found.item() == pytest.approx(logit, abs=1e-4), name
        if form.second is None:
            continue
        session, states = session_of(to_onnx(form.second, x[:, 0], *form.state)), [one.numpy() for one in form.state]
        names = [one.name for one in session.get_inputs()]
        for t in range(N_SECONDS):
            found, *states = session.run(None, dict(zip(names, [x[:, t].numpy(), *states], strict=True)))
        if not name.startswith("REST"):  # REST's state begins without a term that a state of zeros has
            assert found.item() == pytest.approx(logit, abs=1e-4), name


def test_multiply_adds_of_rivals_follow_their_shapes() -> None:
    found = {name: least_multiply_adds(form) for name, form in forms().items() if name in ("GRU", "REST DS")}
    assert found["GRU"] == 3 * 64 * (N_NODES * N_BINS + 64 + 64 + 64) + 64
    assert found["REST DS"] == N_NODES * (32 * N_BINS + 5 * 32 * 32 + 32)


@torch.inference_mode()
def test_seizure_transformer_has_the_published_size_and_gives_a_probability_for_each_sample() -> None:
    network = SeizureTransformer().eval()
    widths = (19, 32, 64, 128, 256, 512)
    down = sum(a * b * k + b for a, b, k in zip(widths, widths[1:], (11, 9, 7, 7, 5), strict=False))
    up = sum(a * b * k + b for a, b, k in zip((512, 512, 256, 128, 64), widths[:0:-1], (3, 5, 5, 7, 7), strict=True))
    residual = sum(2 * (512 * 512 * k + 512 + 2 * 512) for k in (3, 3, 3, 3, 2, 3, 2))
    layer = 4 * (512 * 512 + 512) + 2 * 512 * 2048 + 2048 + 512 + 4 * 512
    assert down + residual + 8 * layer + up + 32 * 11 + 1 == PUBLISHED_DETECTORS["SeizureTransformer"]
    assert n_parameters(network) == PUBLISHED_DETECTORS["SeizureTransformer"]
    probability = network(torch.randn(1, N_NODES, SeizureTransformer.n_samples))
    assert probability.shape == (1, SeizureTransformer.n_samples)
    assert ((probability >= 0) & (probability <= 1)).all()


def test_counted_operations_of_the_network_follow_its_shape() -> None:
    weights = load_weights("rest-default")
    n, f, w = len(weights.nodes), weights.features.n_features, weights.config.hidden
    h = w * weights.config.members
    update = 2 * (2 * n * n * h)  # both sums over neighbours
    update += 5 * (2 * n * h * w)  # the state carried on, and both convolutions of a node and of its neighbours
    by_hand = 2 * n * f * h + (1 + weights.memory / _LANE_SECONDS) * update  # each lane begins with a warm-up
    assert counts(weights, 1.0)["network"][1] == pytest.approx(by_hand)


@pytest.mark.slow
def test_recording_to_measure_with_is_usable(tmp_path: Path) -> None:
    recording = open_recording(make_recording(tmp_path, 0.02))
    assert (len(recording.channels), recording.channels[0].sfreq) == (N_CHANNELS, SFREQ)
    assert (recording.duration, recording.repairs) == (72.0, ())


def test_tables_are_aligned() -> None:
    lines = markdown("t", [{"a": "x", "b": 1.0}, {"a": "long", "b": 12345.6}]).splitlines()
    assert lines[0] == "### t"
    assert lines[2:] == ["| a | b |", "|---|---|", "| x | 1 |", "| long | 12,346 |"]


def _signals(sfreq: int = 200) -> Signals:
    rng = np.random.default_rng(0)
    labels = (*ELECTRODES_19, "A1", "A2")
    return Signals(labels, rng.normal(0, 20, (len(labels), 4 * sfreq)).astype(np.float32), sfreq)


def test_changes_of_reference_leave_every_difference_of_electrodes_as_it_was() -> None:
    original = _signals()
    montage = derive(original.labels, DOUBLE_BANANA)
    nodes = montage.matrix @ original.data[list(montage.channels)]
    for name in ("average reference", "linked ears", "bipolar derivations only"):
        changed = CHANGES[name](original)
        assert changed is not None
        again = derive(changed.labels, DOUBLE_BANANA)
        np.testing.assert_allclose(again.matrix @ changed.data[list(again.channels)], nodes, atol=1e-3)
        assert CHANGES["average reference"](CHANGES["bipolar derivations only"](original) or original) is None
    without = CHANGES["reference Cz"](original)
    assert without is not None
    assert "CZ" not in without.labels


def test_changes_filter_resample_amplify_and_lose() -> None:
    time = np.arange(0, 10, 1 / 500)
    wave = np.sin(2 * np.pi * 10 * time) + np.sin(2 * np.pi * 50 * time) + np.sin(2 * np.pi * 90 * time)
    original = Signals(("F3", "C3"), np.stack([wave, wave]).astype(np.float32), 500)

    def level(name: str, hertz: int) -> float:
        changed = CHANGES[name](original)
        assert changed is not None
        spectrum = np.abs(np.fft.rfft(changed.data[-1, -4 * changed.sfreq :])) / (2 * changed.sfreq)
        return float(spectrum[4 * hertz])

    assert [level("low-pass 35 Hz", f) for f in (10, 50, 90)] == pytest.approx([1, 0.23, 0.02], abs=0.03)
    assert [level("notch 50 Hz", f) for f in (10, 50, 90)] == pytest.approx([1, 0, 1], abs=0.03)
    assert [level("sampled at 250 Hz", f) for f in (10, 50, 90)] == pytest.approx([1, 1, 1], abs=0.03)
    assert level("gain x 2", 10) == pytest.approx(2, abs=0.01)
    assert CHANGES["sampled at 500 Hz"](original) is None
    assert CHANGES["low-pass 100 Hz"](_signals()) is None
    lost = CHANGES[f"without electrodes {', '.join(LOST)}"](original)
    assert lost is not None
    assert lost.labels == ("C3",)


def test_changed_recording_is_written_as_it_is(tmp_path: Path) -> None:
    original = _signals(256)
    recording = open_recording(write_signals(original, tmp_path / "changed.edf"))
    again = read_signals(recording)
    assert (again.labels, again.sfreq, recording.repairs) == (original.labels, 256, ())
    np.testing.assert_allclose(again.data, original.data, atol=0.02)


def test_real_recordings_are_judged_beside_the_baselines(shared_eeg: Path) -> None:
    judge = Judge(load_weights("rest-default"))
    clips = [shared for shared in shared_recordings(shared_eeg) if shared.group == "chbmit"][:2]
    judged = [judge(clip, open_recording(clip.path)) for clip in clips]
    assert {USED, "amplitude baseline"} <= set(judged[0].scores)
    assert [one.tally.found for one in judged] == [1, 1]
    assert compare(judged, USED)["CHB-MIT pooled"] > 0.8
    assert within(judged[0], "amplitude baseline") > 0.9
    assert np.isnan(compare(judged, USED)["absence"])


def test_what_is_unknown_or_may_be_trained_on_counts_nowhere(shared_eeg: Path) -> None:
    table = {shared.name: shared for shared in shared_recordings(shared_eeg)}
    ictal, known = table["sparcnet_SZ_sample1"].labels(np.arange(50) + 0.5)
    assert np.flatnonzero(known).tolist() == np.flatnonzero(ictal).tolist() == list(range(20, 30))
    assert not table["irr_C_Sample03"].labels(np.arange(10) + 0.5)[1].any()
    assert table["Subject11_2"].may_train
    assert not table["Subject12_1"].may_train


def test_tables_go_between_their_marks(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    put_into(path, "new")
    assert path.read_text() == f"before\n{MARKS[0]}\n\nnew\n{MARKS[1]}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(SystemExit, match="no '<!-- tables"):
        put_into(path, "new")


@pytest.mark.slow
def test_fine_tuning_on_another_hospital_finds_what_the_default_weights_find_and_more(tmp_path: Path) -> None:
    test = write_hospital(tmp_path / "test", 40_000_000, seizures=10, quiet=3)
    write_hospital(tmp_path / "train", 41_000_000, seizures=12, quiet=6)
    tuned = fine_tune(tmp_path / "train", tmp_path / "out", steps=100, ward=0)
    before, after = (measure_on(weights, test, budget=1) for weights in ("rest-default", tuned))
    assert after["AUROC of seconds"] > before["AUROC of seconds"]
    assert after["found"] >= before["found"]
    assert after["found with at most 1 false alarms"] >= before["found with at most 1 false alarms"]
    kept = load_weights(tuned)
    default = load_weights("rest-default")
    assert kept.points == default.points  # too little background for others
    assert kept.calibration == default.calibration  # and they still mean the same
