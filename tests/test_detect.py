"""From a recording to scores: what is scored and what is not, on the recording's own clock."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edf_bytes import EdfFile
from edf_writer import noise, write_edf

import restcli
from restcli.detect.detector import Detector, annotate
from restcli.detect.settings import Settings
from restcli.errors import RecordingError, UsageError
from restcli.events import Span
from restcli.io.registry import open_recording
from restcli.nn.weights import load_weights
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19

N_SECONDS = 40


@pytest.fixture(scope="module")
def recording_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_edf(tmp_path_factory.mktemp("edf") / "noise.edf", noise(19, N_SECONDS, 200), 200)


@pytest.fixture(scope="module")
def detector(toy_weights: Path) -> Detector:
    return Detector(load_weights(toy_weights), "cpu")


def run(path: Path, detector: Detector, **settings: object) -> restcli.Result:
    return detector.annotate(open_recording(path), Settings(**settings))  # type: ignore[arg-type]


def test_step_takes_every_nth_score(recording_path: Path, detector: Detector) -> None:
    every, fifth = run(recording_path, detector), run(recording_path, detector, step=5)
    np.testing.assert_array_equal(fifth.scores.time, every.scores.time[::5])
    np.testing.assert_allclose(fifth.scores.probability, every.scores.probability[::5], atol=1e-6)
    assert fifth.scores.step == 5


def test_end_that_the_network_looks_past_is_not_scored(recording_path: Path, detector: Detector) -> None:
    result = run(recording_path, detector)
    assert np.isnan(result.scores.probability[-3:]).all()
    assert np.isfinite(result.scores.probability[:-3]).all()
    assert result.scores.scored == pytest.approx(1 - 3 / N_SECONDS)
    assert [(span.start, span.stop) for span in result.scores.unscored] == [(N_SECONDS - 3, N_SECONDS)]
    assert "ahead" in result.scores.unscored[0].reason


def test_what_the_file_lacks_is_not_scored(tmp_path: Path, detector: Detector) -> None:
    whole = write_edf(tmp_path / "cut.edf", noise(19, 60, 200), 200).read_bytes()
    (tmp_path / "cut.edf").write_bytes(whole[: len(whole) * 2 // 3])
    result = run(tmp_path / "cut.edf", detector)
    scores, missing = result.scores, result.recording.missing
    assert scores.duration + missing == 60
    assert 19 <= missing <= 21
    assert scores.unscored[-1] == Span(scores.duration, 60.0, "cut off: missing from the file")
    assert scores.scored == pytest.approx((scores.duration - 3) / 60)
    assert result.events.unscored == scores.unscored
    assert result.events.duration == scores.duration


def test_rescore_needs_no_signal(recording_path: Path, detector: Detector) -> None:
    result = run(recording_path, detector, threshold=0.6, types=True)
    again = restcli.rescore(result, threshold=0.01)
    assert again == run(recording_path, detector, threshold=0.01, types=True).events
    assert restcli.rescore(result) == result.events
    assert restcli.rescore(result.scores, rule=result.rule).events == result.events.events


def test_missing_electrodes_leave_the_graph(tmp_path: Path, detector: Detector) -> None:
    data = noise(19, 20, 200)
    path = write_edf(tmp_path / "few.edf", data[:17], 200, labels=[f"EEG {n}-REF" for n in ELECTRODES_19[:17]])
    result = run(path, detector)
    assert result.montage.missing == ("FZ-CZ", "CZ-PZ")
    column = result.scores.nodes.index("FZ-CZ")
    assert np.isnan(result.scores.by_node[:, column]).all()
    assert np.isfinite(result.scores.probability[:-3]).all()
    with pytest.raises(RecordingError, match=r"at least 18 nodes.*Accept fewer with --allow-missing"):
        run(path, detector, allow_missing=0)


def test_flat_electrode_leaves_the_graph_for_its_seconds(tmp_path: Path, detector: Detector) -> None:
    data = noise(19, 20, 200)
    bad = [ELECTRODES_19.index(name) for name in ("FP1", "F7")]
    data[bad, 1000:2000] = 3.0
    result = run(write_edf(tmp_path / "flat.edf", data, 200), detector)
    column = result.scores.nodes.index("FP1-F7")
    assert np.isnan(result.scores.by_node[2:10, column]).all()  # bad when read out at seconds 5..9, or when judged
    assert np.isfinite(result.scores.by_node[10:14, column]).all()
    assert set(result.bad_seconds) == {"FP1-F7", "F7-T3", "FP1-F3"}  # a difference to a dead electrode is no EEG
    assert np.isfinite(result.scores.probability[:-3]).all()


def test_dead_electrode_does_not_hide_in_a_difference(tmp_path: Path, detector: Detector) -> None:
    data = noise(19, 20, 200)
    data[ELECTRODES_19.index("T4")] = 0.0
    result = run(write_edf(tmp_path / "dead.edf", data, 200), detector)
    assert result.bad_seconds == {node: {"flat or disconnected": 20} for node in ("F8-T4", "T4-T6")}


def test_too_few_seconds_in_a_row_are_refused(tmp_path: Path, detector: Detector) -> None:
    data = noise(19, 40, 200)
    data[:, 1000:] = 0.0
    with pytest.raises(RecordingError, match=r"only 2 s in a row.*flat"):
        run(write_edf(tmp_path / "dying.edf", data, 200), detector)


def test_seconds_without_enough_nodes_are_not_scored_and_do_not_end_as_no_seizure(
    tmp_path: Path, detector: Detector
) -> None:
    data = noise(19, 30, 200)
    data[:, 2000:3000] = 0.0
    result = run(write_edf(tmp_path / "dead.edf", data, 200), detector)
    assert np.isnan(result.scores.probability[7:15]).all()
    reasons = [(span.start, span.stop, span.reason) for span in result.scores.unscored]
    assert reasons[0][:2] == (7, 10) and "unusable" in reasons[0][2]
    assert reasons[1][:2] == (10, 15) and "flat" in reasons[1][2]
    # What follows starts afresh and is scored.
    assert np.isfinite(result.scores.probability[15:27]).all()


def test_recording_without_anything_to_score_is_refused(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(RecordingError, match=r"nothing could be scored.*flat"):
        run(write_edf(tmp_path / "zero.edf", np.zeros((19, 4000)), 200), detector)


def test_recording_too_short_for_any_event_is_refused(tmp_path: Path, detector: Detector) -> None:
    result = run(write_edf(tmp_path / "six.edf", noise(19, 6, 200), 200), detector)
    assert result.scores.n_scored == 3
    with pytest.raises(RecordingError, match=r"too short.*at least 6 s"):
        run(write_edf(tmp_path / "five.edf", noise(19, 5, 200), 200), detector)


def test_channels_that_cannot_hold_what_the_weights_look_at_are_named(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(RecordingError, match=r"0 of 18 nodes.*sampled at 50 Hz"):
        run(write_edf(tmp_path / "slow.edf", noise(19, 30, 50), 50), detector)
    with pytest.raises(RecordingError, match=r"unit 'degC' is not a voltage"):
        run(write_edf(tmp_path / "warm.edf", noise(19, 30, 200), 200, units="degC"), detector)
    mangled = run(write_edf(tmp_path / "odd.edf", noise(19, 30, 200), 200, units="?V"), detector)
    assert any("microvolts assumed" in repair for repair in mangled.recording.repairs)


def test_step_longer_than_short_seizures_is_refused(recording_path: Path, detector: Detector) -> None:
    with pytest.raises(UsageError, match="--step"):
        run(recording_path, detector, step=15)


def test_intervals_need_weights_trained_under_such_a_mask(recording_path: Path, detector: Detector) -> None:
    paper = replace(detector.weights, config=replace(detector.weights.config, mask_per="entry"), golden=())
    with pytest.raises(UsageError, match="--passes"):
        run(recording_path, Detector(paper, "cpu"), passes=5)


def test_step_scores_the_same_fraction(recording_path: Path, detector: Detector) -> None:
    assert run(recording_path, detector, step=5).scores.scored == pytest.approx(37 / 40)


@pytest.mark.parametrize("sfreq", [100, 128, 250, 256, 500, 1000])
def test_sampling_rate_changes_little(tmp_path: Path, detector: Detector, sfreq: int) -> None:
    clock = np.arange(20 * sfreq) / sfreq
    waves = np.array(
        [30 * np.sin(2 * np.pi * (3 + k) * clock + k) + 5 * np.sin(2 * np.pi * 31 * clock) for k in range(19)]
    )
    found = run(write_edf(tmp_path / "a.edf", waves, sfreq), detector).scores
    clock = np.arange(20 * 200) / 200
    waves = np.array(
        [30 * np.sin(2 * np.pi * (3 + k) * clock + k) + 5 * np.sin(2 * np.pi * 31 * clock) for k in range(19)]
    )
    wanted = run(write_edf(tmp_path / "b.edf", waves, 200), detector).scores
    # Pure tones leave empty bins whose floor differs; the answer must not.
    assert np.nanmedian(np.abs(found.probability - wanted.probability)) < 0.05


def test_bipolar_and_referential_recordings_agree(tmp_path: Path, detector: Detector) -> None:
    data = noise(19, 20, 200)
    bipolar = np.array(
        [data[ELECTRODES_19.index(a)] - data[ELECTRODES_19.index(b)] for a, b in (n.split("-") for n in DOUBLE_BANANA)]
    )
    referential = run(write_edf(tmp_path / "ref.edf", data, 200), detector)
    chains = run(write_edf(tmp_path / "bip.edf", bipolar, 200, labels=list(DOUBLE_BANANA)), detector)
    assert (referential.montage.kind, chains.montage.kind) == ("referential", "bipolar")
    np.testing.assert_allclose(referential.scores.probability, chains.scores.probability, atol=2e-3)


def test_masked_passes_are_seeded_and_enclose(recording_path: Path, detector: Detector) -> None:
    one = run(recording_path, detector, passes=8, seed=1).scores
    two = run(recording_path, detector, passes=8, seed=1).scores
    other = run(recording_path, detector, passes=8, seed=2).scores
    assert one.interval is not None
    np.testing.assert_array_equal(one.interval, two.interval)
    assert not np.array_equal(one.interval, other.interval, equal_nan=True)
    np.testing.assert_array_equal(one.probability, other.probability)
    known = np.isfinite(one.probability)
    assert (one.interval[known, 0] <= one.probability[known]).all()
    assert (one.probability[known] <= one.interval[known, 1]).all()
    assert (one.interval[known, 0] < one.interval[known, 1]).any()
    assert np.isnan(one.interval[~known]).all()


def test_progress_is_reported(recording_path: Path, detector: Detector) -> None:
    seen: list[tuple[float, float]] = []
    detector.annotate(
        open_recording(recording_path), Settings(), on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (N_SECONDS, N_SECONDS)


@pytest.mark.parametrize(
    "bad",
    [
        *({"step": value} for value in (0, 1.5, "1", math.nan, [1])),
        *({"threshold": value} for value in (0.0, 1.5, "a", math.nan, [0.5])),
        *({"passes": value} for value in (1, -1, "5", 2.5)),
        *({"allow_missing": value} for value in (-1, "2", math.inf)),
        {"seed": "x"},
        *({"threads": value} for value in (-1, 1.5, "2")),
    ],
)
def test_senseless_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="--"):
        Settings(**bad)  # type: ignore[arg-type]


def test_unknown_device_is_refused(toy_weights: Path) -> None:
    with pytest.raises(UsageError, match="cpu or cuda"):
        Detector(load_weights(toy_weights), "tpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_gives_what_the_cpu_gives(recording_path: Path, toy_weights: Path, detector: Detector) -> None:
    there = run(recording_path, Detector(load_weights(toy_weights), "cuda")).scores
    here = run(recording_path, detector).scores
    np.testing.assert_allclose(there.probability, here.probability, atol=1e-4)


def test_annotate_opens_and_scores(recording_path: Path, toy_weights: Path) -> None:
    result = annotate(recording_path, Settings(weights=str(toy_weights)))
    assert result.recording.duration == N_SECONDS
    assert set(result.stages) >= {"open", "weights", "read", "spectra", "network", "events"}


def test_gap_stays_a_gap_and_what_follows_keeps_the_true_clock(tmp_path: Path, detector: Detector) -> None:
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    onsets = [f"+{second}" for second in (*range(20), *range(120, 150))]
    odd = EdfFile(labels=labels, counts=[200] * 19, n_records=50, kind="EDF+D", onsets=onsets)
    result = run(odd.write(tmp_path / "gap.edf"), detector, threshold=0.01)
    scores = result.scores
    assert scores.duration == 150
    at = {float(t): p for t, p in zip(scores.time, scores.probability, strict=True)}
    assert np.isfinite(at[16.5]) and np.isnan(at[17.5])  # the end of the first part
    assert all(np.isnan(at[t + 0.5]) for t in range(20, 120))
    assert np.isfinite(at[120.5]) and np.isfinite(at[146.5])
    gap = [span for span in scores.unscored if "gap" in span.reason]
    assert [(span.start, span.stop) for span in gap] == [(20, 120)]
    assert scores.scored == pytest.approx((17 + 27) / 150)
    # The threshold is so low that each scored stretch is one event: none spans the gap, the second has the true onset.
    assert [(event.onset, event.stop) for event in result.events] == [(0, 17), (120, 147)]
    # The state begins anew after the gap. What is usual there is known from before, which the tail alone does not know.
    alone = EdfFile(labels=labels, counts=[200] * 19, n_records=50, kind="EDF+D", onsets=onsets)
    path = alone.write(tmp_path / "again.edf")
    tail = open_recording(path).read(range(19), 120, 150)
    fresh = run(write_edf(tmp_path / "tail.edf", tail.astype(float), 200), detector).scores
    np.testing.assert_allclose(fresh.probability[:27], [at[120.5 + k] for k in range(27)], atol=2e-3)


def test_unreadable_channel_does_not_spoil_the_others(tmp_path: Path, detector: Detector) -> None:
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    digital = [(-32768, 32767)] * 18 + [(5, 5)]
    odd = EdfFile(labels=labels, counts=[200] * 19, n_records=20, digital=digital)
    result = run(odd.write(tmp_path / "dead.edf"), detector)
    assert result.montage.missing == ("CZ-PZ",)
    assert np.isfinite(result.scores.probability[:-3]).all()
