"""A live stream gives the scores and events that `annotate` gives of the same samples."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from edf_writer import noise, write_edf

from restcli.detect.alarms import Alarm
from restcli.detect.detector import Detector
from restcli.detect.result import Result
from restcli.detect.settings import Settings
from restcli.errors import RestError
from restcli.events import Event
from restcli.io.recording import Recording
from restcli.io.registry import open_recording
from restcli.live.monitor import Monitor, News, NewScore
from restcli.live.replay import Replay
from restcli.nn.weights import DEFAULT_NAME, load_weights
from restcli.signal.montage import ELECTRODES_19

PLAIN = Settings()
LABELS = [f"EEG {name}-REF" for name in ELECTRODES_19]


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(load_weights(DEFAULT_NAME), "cpu")


def random_chunks(seed: int, longest: float = 3.0) -> Callable[[], Fraction]:
    rng = np.random.default_rng(seed)
    return lambda: Fraction(int(rng.integers(1, int(longest * 1000))), 1000)


def watched(recording: Recording, detector: Detector, settings: Settings, seed: int = 0) -> tuple[Monitor, list[News]]:
    monitor = Monitor(detector, Replay(recording, 0, random_chunks(seed)), settings)
    return monitor, list(monitor.run())


def shown(event: Event) -> tuple[object, ...]:
    numbers = (round(value, 5) for value in (event.onset, event.stop, event.confidence, event.label_confidence))
    return (*map(str, numbers), event.label, event.channels)


def assert_live_equals_annotate(
    path: Path, detector: Detector, settings: Settings = PLAIN
) -> tuple[Result, list[News]]:
    recording = open_recording(path)
    result = detector.annotate(recording, settings)
    monitor, news = watched(recording, detector, settings)
    rows = [row for row in news if isinstance(row, NewScore)]
    np.testing.assert_array_equal([row.time for row in rows], result.scores.time)
    probability = np.array([row.score.probability for row in rows])
    np.testing.assert_allclose(probability, result.scores.probability, atol=1e-5, rtol=0)
    np.testing.assert_allclose([row.score.by_node for row in rows], result.scores.by_node, atol=1e-4, rtol=0)
    within = [span for span in result.scores.unscored if span.start < result.scores.duration]
    assert monitor.unscored == within
    assert [shown(event) for event in monitor.alarms.events] == [shown(event) for event in result.events]
    assert_alarms_make_sense(news, monitor)
    return result, news


def assert_alarms_make_sense(news: list[News], monitor: Monitor) -> None:
    alarms = [item for item in news if isinstance(item, Alarm)]
    begun = [alarm.number for alarm in alarms if alarm.state == "begin"]
    assert begun == list(range(1, len(begun) + 1))
    over = [alarm for alarm in alarms if alarm.state in ("end", "joined")]
    assert sorted(alarm.number for alarm in over) == begun
    assert [alarm.event for alarm in over if alarm.state == "end"] == list(monitor.alarms.events)
    assert all(alarm.at >= alarm.event.onset for alarm in alarms)
    told = [item.at for item in news if not isinstance(item, NewScore)]
    assert told == sorted(told)


def test_example(example: Path, detector: Detector) -> None:
    result, news = assert_live_equals_annotate(example, detector)
    assert len(result.events) >= 2
    begun = [alarm for alarm in news if isinstance(alarm, Alarm) and alarm.state == "begin"]
    assert all(3 < alarm.at - alarm.event.onset < 12 for alarm in begun)


def with_rhythm(n_seconds: int, sfreq: int) -> np.ndarray:
    """Noise with a rhythm that is found, a flat stretch and an absurd one."""
    data, clock = noise(19, n_seconds, sfreq, seed=3), np.arange(n_seconds * sfreq) / sfreq
    wave = 150 * np.sin(2 * np.pi * 3 * clock) * np.linspace(0.5, 1.5, 19)[:, None]
    data += np.where((clock > 20) & (clock < 40), wave, 0)
    data[:, 50 * sfreq : 53 * sfreq] = 0
    data[3, 60 * sfreq : 70 * sfreq] = 5
    return data


@pytest.mark.parametrize("sfreq", [100, 128, 200, 256, 500, 2000])
def test_rates(tmp_path: Path, detector: Detector, sfreq: int) -> None:
    path = write_edf(tmp_path / "a.edf", with_rhythm(90, sfreq), sfreq)
    result, _ = assert_live_equals_annotate(path, detector)
    assert any("flat" in span.reason for span in result.scores.unscored)


def test_rates_that_must_be_resampled(tmp_path: Path, detector: Detector) -> None:
    odd = EdfFile(labels=LABELS, counts=[401] * 19, n_records=25, duration="1.6")  # 250.625 Hz
    assert_live_equals_annotate(odd.write(tmp_path / "odd.edf"), detector)
    mixed = EdfFile(labels=LABELS, counts=[256] * 9 + [200] * 6 + [500] * 4, n_records=41, duration="1")
    assert_live_equals_annotate(mixed.write(tmp_path / "mixed.edf"), detector)
    slow = EdfFile(labels=LABELS, counts=[5999] * 19, n_records=1, duration="29.98")  # 200.1 Hz: a long filter
    assert_live_equals_annotate(slow.write(tmp_path / "slow.edf"), detector)


@pytest.mark.parametrize("counts", [200, 250, 256])
def test_gaps(tmp_path: Path, detector: Detector, counts: int) -> None:
    onsets = [f"+{second:.4g}" for second in (*range(30), *np.arange(42.5, 45), *range(50, 52), *range(60, 90))]
    gappy = EdfFile(labels=LABELS, counts=[counts] * 18 + [256], n_records=65, kind="EDF+D", onsets=onsets)
    result, news = assert_live_equals_annotate(gappy.write(tmp_path / "gap.edf"), detector)
    assert len(result.recording.segments) == 4
    assert next(item.reason for item in news if getattr(item, "what", "") == "input") == "samples were lost"


def test_a_gap_is_one_stretch_whatever_its_start(tmp_path: Path, detector: Detector) -> None:
    onsets = [f"+{second:.4g}" for second in (*range(30), *np.arange(90.05, 94), *np.arange(134.3, 150))]
    gappy = EdfFile(labels=LABELS, counts=[200] * 19, n_records=50, kind="EDF+D", onsets=onsets)
    result, _ = assert_live_equals_annotate(gappy.write(tmp_path / "gap.edf"), detector)
    assert sum("a gap" in span.reason for span in result.scores.unscored) == 2


def test_the_chunks_do_not_matter(tmp_path: Path, detector: Detector) -> None:
    recording = open_recording(write_edf(tmp_path / "a.edf", with_rhythm(30, 256), 256))
    said = []
    for size in (Fraction(1, 64), Fraction(1), Fraction(100)):
        monitor = Monitor(detector, Replay(recording, 0, lambda size=size: size), Settings())
        said.append([row.score.probability for row in monitor.run() if isinstance(row, NewScore)])
    np.testing.assert_array_equal(said[0], said[1])
    np.testing.assert_array_equal(said[0], said[2])


def test_bipolar_with_missing_nodes(tmp_path: Path, detector: Detector) -> None:
    data, nodes = with_rhythm(90, 200), detector.weights.nodes[2:15]
    at = ELECTRODES_19.index
    chains = np.array([data[at(a)] - data[at(b)] for a, b in (node.split("-") for node in nodes)])
    path = write_edf(tmp_path / "a.edf", chains, 200, labels=list(nodes))
    assert_live_equals_annotate(path, detector, Settings(allow_missing=8))


def test_a_network_without_look_ahead(tmp_path: Path) -> None:
    paper = Detector(load_weights("rest-paper"), "cpu")
    assert_live_equals_annotate(write_edf(tmp_path / "a.edf", with_rhythm(60, 256), 256), paper)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_real_recordings(real_recordings: list[Path], detector: Detector) -> None:
    n_used = 0
    for path in real_recordings:
        try:
            detector.annotate(open_recording(path))
        except RestError:
            continue
        assert_live_equals_annotate(path, detector)
        n_used += 1
    assert n_used >= 20
