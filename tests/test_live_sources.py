"""What goes wrong with a live source, and what each source says and asks for."""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from edf_writer import noise

from restcli.detect.detector import Detector
from restcli.detect.settings import Settings
from restcli.errors import RecordingError, UsageError
from restcli.live.frames import Frames
from restcli.live.input import Trouble
from restcli.live.intake import JUMPED, LOST, Intake, Second, SegmentEnd
from restcli.live.monitor import Monitor, News, NewScore
from restcli.live.source import Chunk, Silence
from restcli.nn.weights import DEFAULT_NAME, load_weights
from restcli.signal.montage import ELECTRODES_19

SFREQ = 200


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(load_weights(DEFAULT_NAME), "cpu")


def header(**more: Any) -> str:
    channels = [{"label": name, "unit": "mV", "sfreq": SFREQ, **more} for name in ELECTRODES_19]
    return json.dumps({"channels": channels, "start": "2030-01-02T03:04:05"})


def frame(data: np.ndarray, stamp: float | None = None) -> str:
    values = [[None if math.isnan(x) else x for x in row] for row in (data / 1000).tolist()]
    return json.dumps({"data": values} | ({} if stamp is None else {"time": stamp}))


def frames_of(data: np.ndarray, stamps: list[float | None]) -> Frames:
    pieces = np.split(data, len(stamps), axis=1)
    return Frames([header(), *(frame(piece, stamp) for piece, stamp in zip(pieces, stamps, strict=True))])


def news_of(detector: Detector, frames: Frames) -> tuple[Monitor, list[News]]:
    monitor = Monitor(detector, frames, Settings())
    return monitor, list(monitor.run())


def troubles(news: list[News]) -> list[tuple[str, str, str]]:
    return [(item.what, item.state, item.reason) for item in news if isinstance(item, Trouble)]


def test_frames_are_scored_as_an_array_is(detector: Detector) -> None:
    data = noise(19, 30, SFREQ, seed=1)
    monitor, news = news_of(detector, frames_of(data, [1000.0 + k for k in range(30)]))
    import restcli

    scores = restcli.annotate(data.astype(np.float32), sfreq=SFREQ, ch_names=list(ELECTRODES_19), device="cpu").scores
    said = [row.score.probability for row in news if isinstance(row, NewScore)]
    np.testing.assert_allclose(said, scores.probability, atol=1e-5, rtol=0)
    assert monitor.unscored == list(scores.unscored)
    assert str(monitor.events().start) == "2030-01-02 03:04:05"
    assert troubles(news) == []


def test_lost_samples_are_not_scored_and_an_alarm(detector: Detector) -> None:
    stamps = [1000.0 + k for k in range(20)] + [1007.4 + k for k in range(20, 40)]
    monitor, news = news_of(detector, frames_of(noise(19, 40, SFREQ, seed=1), stamps))
    assert troubles(news) == [("input", "begin", LOST), ("input", "end", LOST)]
    assert {span.reason for span in monitor.unscored if 20 <= span.start < 27} == {"no signal: a gap in the recording"}
    assert monitor.until == pytest.approx(47.4)
    first = next(row.time for row in news if isinstance(row, NewScore) and row.time > 20 and not row.score.reason)
    assert first == pytest.approx(27.9)


def test_a_clock_that_is_set_back_loses_no_time(detector: Detector) -> None:
    stamps = [1000.0 + k for k in range(20)] + [5.0 + k for k in range(20)]
    monitor, news = news_of(detector, frames_of(noise(19, 40, SFREQ, seed=1), stamps))
    assert troubles(news) == [("input", "begin", JUMPED), ("input", "end", JUMPED)]
    assert monitor.until == 40.0


@pytest.mark.parametrize(
    ("waited", "resumes", "reason"),
    [(3.0, 1.0, JUMPED), (40.0, 41.0, JUMPED), (9e4, 9e4, LOST), (math.inf, 1.0, JUMPED)],
)
def test_a_clock_that_is_set_forward_is_told_from_lost_samples(waited: float, resumes: float, reason: str) -> None:
    intake, piece = Intake([[0]], [Fraction(SFREQ)], SFREQ, 0.25), np.zeros((1, SFREQ), np.float32)
    assert len(list(intake.take(Chunk((piece,), (None,), 7.0, waited=1.0)))) == 1
    end, second = intake.take(Chunk((piece,), (None,), 90_007.0, waited=waited))
    assert end == SegmentEnd(1.0, resumes, reason)
    assert isinstance(second, Second)
    assert second.start == resumes


def test_drift_moves_nothing() -> None:
    intake = Intake([[0]], [Fraction(SFREQ)], SFREQ, 0.02)
    found: list[Second | SegmentEnd] = []
    for k in range(3600):
        piece = np.zeros((1, SFREQ), np.float32)
        found += intake.take(Chunk((piece,), (None,), 7.0 + k * (1 + 4e-4), waited=1.0))  # 1.4 s in all
    assert [second.start for second in found if isinstance(second, Second)] == list(range(3600))


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("lossy", [0, 1])
@pytest.mark.parametrize("kept", [0, 50])
def test_a_rate_that_loses_samples_alone_moves_nothing(kept: int, lossy: int, stamped: bool) -> None:
    rates = (Fraction(100), Fraction(200))
    intake, found = Intake([[0], [1]], rates, SFREQ, 0.02), []
    for k in range(60):  # every sample says its second
        counts = [kept if 20 <= k < 30 and group == lossy else int(rate) for group, rate in enumerate(rates)]
        parts = tuple(np.full((1, count), k, np.float32) for count in counts)
        found += intake.take(Chunk(parts, (None, None), 7.0 + k if stamped else None))
    found += intake.close()
    ends = [item for item in found if isinstance(item, SegmentEnd)]
    assert {(item.stop, item.reason) for item in ends[:1]} == {(20.0, LOST)}
    seconds = [item for item in found if isinstance(item, Second)]
    assert [item.start for item in seconds] == [*range(20), *range(30, 60)]
    for item in seconds:
        np.testing.assert_allclose(item.data[:, 50:150], item.start, atol=1e-2)
    assert intake.now == 60.0


def test_frames_of_two_rates_are_not_lost_by_rounding() -> None:
    rates = (Fraction(256), Fraction(100))
    intake, found, done = Intake([[0], [1]], rates, SFREQ, 0.02), [], [0, 0]
    for k in range(1, 600):
        counts = [math.floor(k * rate / 11) - n for rate, n in zip(rates, done, strict=True)]
        done = [n + count for n, count in zip(done, counts, strict=True)]
        parts = tuple(np.zeros((1, count), np.float32) for count in counts)
        found += intake.take(Chunk(parts, (None, None), 7.0 + (k - 1) / 11))
    assert [item.start for item in found] == list(range(len(found)))
    assert len(found) >= 53


def test_an_electrode_comes_off_and_on_again(detector: Detector) -> None:
    data = noise(19, 60, SFREQ, seed=1)
    data[ELECTRODES_19.index("T3"), 20 * SFREQ : 40 * SFREQ] = 3.0
    _, news = news_of(detector, frames_of(data, [None] * 60))
    said = [item for item in news if isinstance(item, Trouble)]
    assert [(item.what, item.state, item.start) for item in said] == [
        ("F7-T3", "begin", 20.0),
        ("T3-T5", "begin", 20.0),
        ("F7-T3", "end", 40.0),
        ("T3-T5", "end", 40.0),
    ]
    assert {item.reason for item in said} == {"flat or disconnected"}


def test_saturation_is_not_scored(detector: Detector) -> None:
    data = noise(19, 40, SFREQ, seed=1)
    data[:, 20 * SFREQ : 30 * SFREQ : 7] = 500.0
    lines = [header(minimum=-0.5, maximum=0.5), *(frame(piece) for piece in np.split(data, 40, axis=1))]
    monitor, news = news_of(detector, Frames(lines))
    clipped = "fewer than 8 good nodes: clipped at the amplifier's limits"
    assert ("input", "begin", clipped) in troubles(news)
    assert [(span.start, span.stop) for span in monitor.unscored if span.reason == clipped] == [(20.0, 30.0)]


def test_samples_that_are_not_known_are_not_scored(detector: Detector) -> None:
    data = noise(19, 40, SFREQ, seed=1)
    data[:, 25 * SFREQ + 3] = np.nan
    _, news = news_of(detector, frames_of(data, [None] * 40))
    assert [row.time for row in news if isinstance(row, NewScore) and "no signal" in row.score.reason] == [25.5]


def test_a_silent_source_is_an_alarm(detector: Detector) -> None:
    monitor = Monitor(detector, frames_of(noise(19, 20, SFREQ, seed=1), [None] * 20), Settings())
    for chunk in monitor.source.chunks(monitor.groups):
        list(monitor.take(chunk))
    assert list(monitor.take(Silence(2.0))) == []
    (said,) = monitor.take(Silence(4.0))
    assert said == Trouble("input", "begin", "the source is silent", 20.0, 24.0)
    assert list(monitor.take(Silence(5.0))) == []


def test_silence_is_noticed_between_frames() -> None:
    held = threading.Event()

    def lines() -> Iterator[str]:
        yield header()
        held.wait(20)

    source = Frames(lines()).chunks([list(range(19))])
    assert isinstance(next(source), Silence)
    held.set()
    assert all(isinstance(piece, Silence) for piece in source)


@pytest.mark.parametrize(
    ("lines", "where", "what"),
    [
        ([], "line 1", "missing"),
        (["[]"], "line 1", "not a JSON object"),
        (['{"channels": [{"label": "F3"}]}'], "line 1", "describe the channels"),
        (['{"channels": [{"label": "F3", "unit": "uV", "sfreq": 0}]}'], "line 1", "sampled"),
        ([header(), '{"data": [[1]]}'], "line 2", "19 channels"),
        ([header(), frame(np.zeros((19, 5))), '{"data": [' + "[1]," * 18 + "[1,2]]}"], "line 3", "different lengths"),
        ([header(), '{"data": [' + '["x"],' * 18 + "[1]]}"], "line 2", "other than samples"),
        ([header(), '{"time": "soon", "data": [' + "[1]," * 18 + "[1]]}"], "line 2", "time"),
        (["[" * 100_000], "line 1", "not a JSON object"),
        ([header(minimum="low")], "line 1", "describe the channels"),
        ([header(maximum=[])], "line 1", "describe the channels"),
        ([header(minimum=10**400)], "line 1", "describe the channels"),
        ([header().replace(f": {SFREQ}", ": 1" + "0" * 400)], "line 1", "describe the channels"),
        ([header(), '{"data": ' + "[" * 100_000], "line 2", "not a JSON object"),
        ([header(), '{"data": [' + "[1]," * 18 + "[1" + "0" * 400 + "]]}"], "line 2", "other than samples"),
        ([header(), '{"time": 1' + "0" * 400 + ', "data": [' + "[1]," * 18 + "[1]]}"], "line 2", "time"),
    ],
)
def test_frames_that_are_wrong(lines: list[str], where: str, what: str) -> None:
    with pytest.raises(RecordingError, match=what) as raised:
        list(Frames(io.StringIO("\n".join(lines))).chunks([list(range(19))]))
    assert where in str(raised.value)


@pytest.mark.parametrize("n_good", [0, 1])
@pytest.mark.parametrize("error", [OSError(5, "broken"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd")])
def test_lines_that_cannot_be_read_end_the_stream_with_an_error(n_good: int, error: Exception) -> None:
    def lines() -> Iterator[str]:
        yield from [header()] * n_good
        raise error

    with pytest.raises(RecordingError, match=f"line {n_good + 1}"):
        list(Frames(lines()).chunks([list(range(19))]))


def test_absurd_samples_are_not_scored_and_warn_of_nothing(detector: Detector) -> None:
    data = noise(19, 40, SFREQ, seed=1)
    data[:5, 25 * SFREQ], data[5:, 25 * SFREQ] = 1e30, 1e300
    _, news = news_of(detector, frames_of(data, [None] * 40))
    assert [row.time for row in news if isinstance(row, NewScore) and 20 < row.time < 30 and row.score.reason] == [
        22.5,
        25.5,
    ]


def test_lines_without_samples_are_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("restcli.live.frames.time", SimpleNamespace(monotonic=lambda: next(clock)))
    empty = [frame(np.zeros((19, 0)))] * 3
    pieces = list(Frames([header(), *empty]).chunks([list(range(9)), list(range(9, 19))]))
    assert isinstance(pieces[-1], Silence)
    assert pieces[-1].seconds > 3


def test_a_unit_that_is_no_voltage_is_not_used(detector: Detector) -> None:
    lines = [header().replace("mV", "bpm")]
    with pytest.raises(RecordingError, match="bpm"):
        Monitor(detector, Frames(lines), Settings())


@pytest.fixture(scope="module")
def lsl() -> Any:
    try:
        import pylsl
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"pylsl cannot be used here ({type(error).__name__})")
    return pylsl


def outlet(lsl: Any, name: str, labels: tuple[str, ...], unit: str = "microvolts", sfreq: float = SFREQ) -> Any:
    info = lsl.StreamInfo(name, "EEG", len(labels), sfreq, "float32", f"{name}-id")
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", unit)
    return lsl.StreamOutlet(info)


def test_an_lsl_stream_in_and_out(lsl: Any, detector: Detector) -> None:
    from restcli.live.lsl import LslSource, Publisher

    stream = outlet(lsl, "restcli-test", ELECTRODES_19, "volts")
    source = LslSource("restcli-test")
    assert {channel.unit for channel in source.recording.channels} == {"µV"}
    monitor = Monitor(detector, source, Settings())
    data, begun = noise(19, 20, SFREQ, seed=1).astype(np.float32), lsl.local_clock()
    publisher = Publisher("restcli-out", detector.weights.nodes)
    inlet = lsl.StreamInlet(lsl.resolve_byprop("name", "restcli-out", timeout=10)[0])
    inlet.open_stream(timeout=10)
    for k in range(20):
        piece = np.ascontiguousarray(data[:, k * SFREQ : (k + 1) * SFREQ].T / 1e6)
        stream.push_chunk(piece, begun + k + 1 - 1 / SFREQ)  # the stamp of the last sample
    rows: list[NewScore] = []
    deadline = time.monotonic() + 30
    for piece in source.chunks(monitor.groups):
        rows += [item for item in monitor.take(piece) if isinstance(item, NewScore)]
        if len(rows) >= 17 or time.monotonic() > deadline:
            break
    rows += [item for item in monitor.finish() if isinstance(item, NewScore)]
    lines = [header(), *(frame(piece) for piece in np.split(data.astype(float), 20, axis=1))]
    expected = [item for item in news_of(detector, Frames(lines))[1] if isinstance(item, NewScore)]
    np.testing.assert_allclose(
        [row.score.probability for row in rows], [row.score.probability for row in expected], atol=1e-4
    )
    publisher.score(rows[0].score.probability, rows[0].score.by_node)
    sample, _ = inlet.pull_sample(timeout=10)
    assert sample[0] == pytest.approx(rows[0].score.probability, abs=1e-6)
    markers = lsl.StreamInlet(lsl.resolve_byprop("name", "restcli-out-alarms", timeout=10)[0])
    markers.open_stream(timeout=10)
    publisher.say({"kind": "alarm", "state": "begin"})
    assert json.loads(markers.pull_sample(timeout=10)[0][0]) == {"kind": "alarm", "state": "begin"}


@pytest.mark.slow
def test_what_an_lsl_stream_does_not_say_is_asked_for(lsl: Any) -> None:
    from restcli.live.lsl import LslSource, StreamFacts

    kept = [outlet(lsl, "restcli-bare", ("", ""), ""), outlet(lsl, "restcli-odd", ("F3", "C3"), "", sfreq=0.0)]
    with pytest.raises(RecordingError, match="--labels"):
        LslSource("restcli-bare")
    with pytest.raises(RecordingError, match="--unit"):
        LslSource("restcli-bare", StreamFacts(labels=("F3", "C3")))
    with pytest.raises(RecordingError, match="--sfreq"):
        LslSource("restcli-odd", StreamFacts(unit="uV"))
    with pytest.raises(UsageError, match="2 channels"):
        LslSource("restcli-bare", StreamFacts(labels=("F3",)))
    source = LslSource("source_id=restcli-bare-id", StreamFacts(("F3", "C3"), "mV"))
    assert str(source.recording.path) == "lsl source_id=restcli-bare-id"  # names of streams may name patients
    assert [channel.label for channel in source.recording.channels] == ["F3", "C3"]
    with pytest.raises(RecordingError, match="no such stream"):
        LslSource("restcli-none", wait=0.5)
    assert len(kept) == 2


@pytest.mark.slow
def test_an_lsl_stream_that_comes_back(lsl: Any, detector: Detector) -> None:
    from restcli.live.lsl import LslSource

    data = noise(19, 60, SFREQ, seed=1).astype(np.float32).T
    ended = threading.Event()

    def amplifier() -> None:
        for part in range(2):
            stream = outlet(lsl, "restcli-back", ELECTRODES_19)
            stream.wait_for_consumers(20)
            begin = lsl.local_clock()  # stamps of the samples, so that it does not matter when this thread has its turn
            for k in range(80):
                stamp = begin + (k + 1) * 40 / SFREQ
                stream.push_chunk(np.ascontiguousarray(data[k * 40 : (k + 1) * 40]), stamp)
                time.sleep(max(0.0, stamp - lsl.local_clock()))
            del stream
            if part == 0:
                time.sleep(4)
        ended.set()

    thread = threading.Thread(target=amplifier)
    thread.start()
    source = LslSource("restcli-back")
    monitor = Monitor(detector, source, Settings())
    news: list[News] = []
    deadline = time.monotonic() + 90
    for piece in source.chunks(monitor.groups):
        news += list(monitor.take(piece))
        if ended.is_set() or time.monotonic() > deadline:
            break
    thread.join()
    said = [item for item in news if isinstance(item, Trouble) and item.what == "input"]
    assert [item.state for item in said[:2]] == ["begin", "end"]
    assert 14 < said[0].start < 18
    assert any(3 < span.stop - span.start < 12 and "gap" in span.reason for span in monitor.unscored)
    assert monitor.scored > 16


@pytest.mark.parametrize(
    ("labels", "unit", "what"),
    [
        (("C3", "F3"), "microvolts", "other channels, units or rate"),
        (("F3", "C3"), "millivolts", "other channels, units or rate"),
        (("", ""), "microvolts", "does not name its channels"),
    ],
)
def test_an_lsl_stream_that_comes_back_as_another(lsl: Any, labels: tuple[str, ...], unit: str, what: str) -> None:
    from restcli.live.lsl import LslSource

    name = f"restcli-{labels[0]}-{unit}"
    stream = outlet(lsl, name, ("F3", "C3"))
    pieces = LslSource(name).chunks([[0, 1]])
    stream.push_chunk(np.zeros((SFREQ, 2), np.float32))
    while not isinstance(next(pieces), Chunk):
        pass
    del stream
    stream, deadline = outlet(lsl, name, labels, unit), time.monotonic() + 60
    with pytest.raises(RecordingError, match=what):
        while time.monotonic() < deadline:
            stream.push_chunk(np.zeros((SFREQ // 4, 2), np.float32))
            assert not isinstance(next(pieces), Chunk), "its samples would be taken for other channels"


def test_an_lsl_stream_whose_cable_was_pulled_out_is_looked_for(lsl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from restcli.live.lsl import LslSource

    monkeypatch.setattr("restcli.live.lsl._STALE", 1.5)
    stream, deadline = outlet(lsl, "restcli-cable", ("F3", "C3")), time.monotonic() + 20
    source = LslSource("restcli-cable")
    monkeypatch.setattr(source, "_inlet", SimpleNamespace(pull_chunk=lambda **_: ([], [])))
    for piece in source.chunks([[0, 1]]):
        if isinstance(piece, Chunk) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
        stream.push_chunk(np.zeros((SFREQ // 4, 2), np.float32))
    assert isinstance(piece, Chunk)
