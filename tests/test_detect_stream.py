"""A stream says second by second what `annotate` says of the whole recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from edf_writer import noise, write_edf
from numpy.typing import NDArray

from restcli.detect.detector import Detector
from restcli.detect.scoring import Scorer, SecondBySecond
from restcli.detect.settings import Settings, fit_montage, needed_nodes
from restcli.detect.stream import LiveScore, Stream
from restcli.detect.timeline import Timeline, to_scores
from restcli.errors import RestError
from restcli.events import Scores
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.nn.weights import DEFAULT_NAME, load_weights
from restcli.profiling import StageClock
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19
from restcli.signal.quality import QUALITY_WORDS, Quality, Summary, summarise


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(load_weights(DEFAULT_NAME), "cpu")


def scorer_of(recording: Recording, detector: Detector, settings: Settings) -> Scorer:
    return Scorer(
        detector.engine, recording, fit_montage(recording, detector.weights, settings), settings, StageClock()
    )


def live(scorer: Scorer, detector: Detector) -> list[LiveScore | None]:
    """Stream a recording; return what is known in the end of each row of its timeline."""
    timeline, ahead = scorer.timeline, detector.weights.look_ahead
    stream = Stream(detector, scorer.columns, scorer.montage.matrix, scorer.settings)
    said: list[LiveScore | None] = [None] * len(timeline.time)
    blocks = scorer.recording.blocks(scorer.montage.channels, sfreq=scorer.sfreq, seconds=1)
    for number, (row, block) in enumerate(zip(np.flatnonzero(~timeline.in_gap).tolist(), blocks, strict=True)):
        if timeline.second[row] == 0 and number:
            stream.restart()
        score = stream.push(block.data, block.saturated[:, 0])
        assert (score is None) == (timeline.second[row] < ahead)
        if score is not None:
            said[row - ahead] = score
    return said


def offline(scorer: Scorer, detector: Detector) -> tuple[Timeline, Scores]:
    timeline = scorer.score()
    needed = needed_nodes(detector.weights, scorer.settings)
    return timeline, to_scores(timeline, detector.weights, needed=needed, step=1)


def assert_live_equals_offline(
    recording: Recording, detector: Detector, settings: Settings | None = None
) -> tuple[Timeline, Scores]:
    """Compare probabilities, what was not scored and why, and what was wrong with each node."""
    scorer = scorer_of(recording, detector, settings or Settings())
    said = live(scorer, detector)
    timeline, scores = offline(scorer, detector)
    judged = (timeline.to_end >= detector.weights.look_ahead) & ~timeline.in_gap
    assert np.isnan(scores.probability[~judged]).all()
    assert [score is not None for score in said] == judged.tolist()
    known = [score for score in said if score is not None]
    probability = np.array([score.probability for score in known])
    by_node = np.array([score.by_node for score in known]).reshape(-1, len(scores.nodes))
    np.testing.assert_allclose(probability, scores.probability[judged], atol=1e-5, rtol=0)
    np.testing.assert_allclose(by_node, scores.by_node[judged], atol=1e-5, rtol=0)
    np.testing.assert_array_equal([score.codes for score in known], timeline.codes[judged])
    assert [score.reason for score in known] == [reason_at(scores, time) for time in timeline.time[judged]]
    assert np.isnan(probability).tolist() == [bool(score.reason) for score in known]
    return timeline, scores


def reason_at(scores: Scores, time: float) -> str:
    return next((span.reason for span in scores.unscored if span.start < time < span.stop), "")


def test_example(example: Path, detector: Detector) -> None:
    recording = open_recording(example)
    _, scores = assert_live_equals_offline(recording, detector)
    np.testing.assert_array_equal(scores.probability, detector.annotate(recording).scores.probability)
    assert np.nanmax(scores.probability) > 0.7


def damaged(n_seconds: int, sfreq: int, *, seed: int = 0) -> NDArray[np.float64]:
    """EEG-like noise whose channels have every fault at some time, alone and many at once."""
    data, clock = noise(19, n_seconds, sfreq, seed=seed), np.arange(n_seconds * sfreq) / sfreq
    rng = np.random.default_rng(seed)

    def span(start: int, stop: int) -> slice:
        return slice(start * sfreq, stop * sfreq)

    data[0, span(3, 5)] = 7.0  # flat
    data[1, span(6, 7)] += 2500 * np.sin(2 * np.pi * 3 * clock)[span(6, 7)]  # absurd
    data[2, span(8, 10)] += 400 * np.sin(2 * np.pi * 50 * clock)[span(8, 10)]  # drowned in hum
    data[4, span(9, 11)] = (
        1e5 * np.sign(np.sin(2 * np.pi * 3 * clock + 0.1))[span(9, 11)]
    )  # beyond the amplifier's limits
    data[:, span(20, 23)] = 0.0  # too few nodes are left
    data[:14, span(27, 28)] = 0.0
    some = slice(5, 9)  # open inputs, then all of them
    data[some, span(34, 60)] = 0.4 * rng.standard_normal((4, 26 * sfreq))
    data[:, span(64, 90)] = 0.6 * rng.standard_normal((19, 26 * sfreq))
    data[:, span(100, n_seconds)] *= 3
    return data


@pytest.mark.parametrize("sfreq", [128, 200, 250, 256, 500])
def test_every_fault_at_rates_of_its_own(tmp_path: Path, detector: Detector, sfreq: int) -> None:
    recording = open_recording(write_edf(tmp_path / "a.edf", damaged(115, sfreq), sfreq))
    timeline, scores = assert_live_equals_offline(recording, detector)
    assert set(np.unique(timeline.codes)) == set(Quality) - {Quality.MISSING}
    assert np.isfinite(scores.probability[:17]).all()
    assert np.isnan(scores.probability[20:23]).all()
    assert any(QUALITY_WORDS[Quality.NO_EEG] in span.reason for span in scores.unscored)
    assert np.isfinite(scores.probability[93:112]).all()


def test_a_rate_that_has_no_bins_of_whole_hertz_is_resampled(tmp_path: Path, detector: Detector) -> None:
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    odd = EdfFile(labels=labels, counts=[400] * 19, n_records=25, duration="1.6")  # 250 Hz, in odd records
    assert_live_equals_offline(open_recording(odd.write(tmp_path / "a.edf")), detector)
    odd = EdfFile(labels=labels, counts=[401] * 19, n_records=25, duration="1.6")
    recording = open_recording(odd.write(tmp_path / "b.edf"))
    assert scorer_of(recording, detector, Settings()).sfreq == 200
    assert_live_equals_offline(recording, detector)


def test_bipolar_recording_with_missing_nodes(tmp_path: Path, detector: Detector) -> None:
    data, nodes = damaged(115, 200), DOUBLE_BANANA[2:15]
    at = ELECTRODES_19.index
    chains = np.array([data[at(a)] - data[at(b)] for a, b in (node.split("-") for node in nodes)])
    recording = open_recording(write_edf(tmp_path / "a.edf", chains, 200, labels=list(nodes)))
    timeline, _ = assert_live_equals_offline(recording, detector, Settings(allow_missing=8))
    assert (timeline.codes == Quality.MISSING).all(axis=0).sum() == 5


@pytest.mark.parametrize("average", [False, True])
def test_referential_recording_with_missing_nodes(tmp_path: Path, detector: Detector, average: bool) -> None:
    data = damaged(115, 250)[:16]
    if average:
        data -= data.mean(axis=0)
    labels = [f"EEG {name}-{'AVG' if average else 'REF'}" for name in ELECTRODES_19[:16]]
    recording = open_recording(write_edf(tmp_path / "a.edf", data, 250, labels=labels))
    timeline, _ = assert_live_equals_offline(recording, detector)
    assert (timeline.codes == Quality.MISSING).all(axis=0).any()


def test_nodes_referenced_to_the_mean_of_all(tmp_path: Path) -> None:
    paper = Detector(load_weights("rest-paper"), "cpu")
    recording = open_recording(write_edf(tmp_path / "a.edf", damaged(115, 256), 256))
    assert_live_equals_offline(recording, paper)


@pytest.mark.parametrize("counts", [200, 256])
def test_gap_begins_anew(tmp_path: Path, detector: Detector, counts: int) -> None:
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    onsets = [f"+{second}" for second in (*range(30), *range(42, 45), *range(50, 52), *range(60, 90))]
    odd = EdfFile(labels=labels, counts=[counts] * 19, n_records=65, kind="EDF+D", onsets=onsets)
    recording = open_recording(odd.write(tmp_path / "gap.edf"))
    timeline, scores = assert_live_equals_offline(recording, detector)
    assert len(list(timeline.segments())) == 4
    assert np.isfinite(scores.probability).sum() == 27 + 27


def test_amplitude_relative_to_the_past_is_known_on_both_sides_of_a_gap(tmp_path: Path, toy_weights: Path) -> None:
    toy = Detector(load_weights(toy_weights), "cpu")
    assert toy.weights.features.relative
    labels = [f"EEG {name}-REF" for name in ELECTRODES_19]
    onsets = [f"+{second}" for second in (*range(45), *range(60, 101))]
    odd = EdfFile(labels, [200] * 19, n_records=86, kind="EDF+D", onsets=onsets, physical=[(-320, 320)] * 19)
    recording = open_recording(odd.write(tmp_path / "loud.edf"))  # louder than is usual
    _, scores = assert_live_equals_offline(recording, toy)
    tail = recording.read(range(19), 60, 101).astype(float)
    alone = open_recording(write_edf(tmp_path / "tail.edf", tail, 200, limit=320.0))
    _, fresh = assert_live_equals_offline(alone, toy)
    assert np.abs(scores.probability[60:98] - fresh.probability[:38]).max() > 1e-3  # the part before told what is usual


def features_of(detector: Detector, summaries: list[Summary]) -> list[NDArray[np.float32]]:
    so_far = SecondBySecond(detector.weights.features, len(detector.weights.nodes))
    parts = [so_far.advance(summary) for summary in summaries]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.mark.parametrize(
    ("name", "sfreq"),
    [(DEFAULT_NAME, sfreq) for sfreq in (128, 200, 250, 256, 500)] + [("rest-paper", 200), ("rest-paper", 500)],
)
def test_features_are_bitwise_equal(tmp_path: Path, name: str, sfreq: int) -> None:
    detector = Detector(load_weights(name), "cpu")
    recording = open_recording(write_edf(tmp_path / "a.edf", damaged(115, sfreq), sfreq))
    scorer, config = scorer_of(recording, detector, Settings()), detector.weights.features
    matrix = scorer.montage.matrix
    blocks = list(recording.blocks(scorer.montage.channels, sfreq=sfreq, seconds=1))
    seconds = np.stack([block.data for block in blocks], axis=1)
    saturated = np.concatenate([block.saturated for block in blocks], axis=1)
    whole = features_of(detector, [summarise(seconds, saturated, matrix, config)])
    pieces = [summarise(block.data[:, None], block.saturated, matrix, config) for block in blocks]
    for one, other in zip(whole, features_of(detector, pieces), strict=True):
        assert len(one) == 115
        np.testing.assert_array_equal(one, other)
    assert 0.3 < whole[1].mean() < 0.9  # present at times


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_real_recordings(real_recordings: list[Path], detector: Detector) -> None:
    n_used = 0
    for path in real_recordings:
        try:
            recording = open_recording(path)
            scorer_of(recording, detector, Settings())
        except RestError:
            continue
        assert_live_equals_offline(recording, detector)
        n_used += 1
    assert n_used >= 20
