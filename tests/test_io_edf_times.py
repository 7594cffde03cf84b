"""Time stamps of EDF+ records: segments, gaps and clocks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from edf_bytes import EdfFile
from io_checks import close, joined, stored
from scipy.signal import resample_poly

from restcli import annotate
from restcli.errors import RecordingError
from restcli.io.registry import open_recording


def gapped(onsets: list[float], **fields: object) -> EdfFile:
    texts = [f"+{onset:.7g}" if onset >= 0 else f"{onset:.7g}" for onset in onsets]
    return EdfFile(**{"kind": "EDF+D", "onsets": texts, "n_records": len(onsets), **fields})


def test_gap_keeps_the_true_clock(tmp_path: Path) -> None:
    file = gapped([0, 1, 2, 3, 100.5, 101.5, 102.5])
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert [(s.start, s.stop, s.offset) for s in recording.segments] == [(0, 4, 0), (100.5, 103.5, 4)]
    assert recording.duration == 103.5 and recording.repairs == ()
    expected = file.microvolts()
    blocks = list(recording.blocks([0, 1], sfreq=256, seconds=2))
    assert [block.start for block in blocks] == [0, 2, 100.5, 102.5]
    close(blocks[2].data, expected[:, 4 * 256 : 6 * 256])
    trace = recording.read([0, 1], 3.5, 101)
    close(trace[:, :128], expected[:, 896:1024])
    assert np.isnan(trace[:, 128 : 97 * 256]).all()
    close(trace[:, 97 * 256 :], expected[:, 1024 : 1024 + 128])


def test_resampling_never_reaches_across_a_gap(tmp_path: Path) -> None:
    file = gapped([0, 1, 2, 3, 100, 101, 102])
    blocks = list(open_recording(file.write(tmp_path / "a.edf")).blocks([0, 1], sfreq=200))
    for block, part in zip(blocks, (slice(0, 1024), slice(1024, 1792)), strict=True):
        alone = resample_poly(file.microvolts()[:, part], 25, 32, axis=1, padtype="edge")
        np.testing.assert_allclose(block.data, alone, atol=1e-3 * np.abs(alone).max())


def test_discontinuous_file_without_gaps_is_one_segment(tmp_path: Path) -> None:
    recording = open_recording(gapped([float(k) for k in range(8)]).write(tmp_path / "a.edf"))
    assert recording.format == "EDF+D" and len(recording.segments) == 1 and recording.repairs == ()


def test_bdf_plus_d_has_gaps_too(tmp_path: Path) -> None:
    recording = open_recording(gapped([0, 1, 5], kind="BDF+D", bdf=True).write(tmp_path / "a.bdf"))
    assert recording.format == "BDF+D" and [s.start for s in recording.segments] == [0, 5]


def test_subsecond_start_moves_the_clock_not_the_signal(tmp_path: Path) -> None:
    recording = open_recording(gapped([0.25, 1.25, 2.25], kind="EDF+C").write(tmp_path / "a.edf"))
    assert recording.start == datetime(2021, 3, 2, 14, 15, 16, 250_000)
    assert recording.segments[0].start == 0 and recording.duration == 3 and recording.repairs == ()


def test_late_first_record_moves_the_clock_and_is_said(tmp_path: Path) -> None:
    recording = open_recording(gapped([60, 61, 62]).write(tmp_path / "a.edf"))
    assert recording.start == datetime(2021, 3, 2, 14, 16, 16) and "60.000 s after" in recording.repairs[0]


def test_rounded_record_times_are_no_gaps(tmp_path: Path) -> None:
    step = 0.976562
    file = gapped([round(k * step, 3) for k in range(40)], duration=str(step), counts=(250, 250))
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert len(recording.segments) == 1 and recording.channels[0].sfreq == 250 / step and recording.repairs == ()


def test_clock_set_back_a_little_is_repaired(tmp_path: Path) -> None:
    recording = open_recording(gapped([0, 1, 2, 2.9, 3.9, 9]).write(tmp_path / "a.edf"))
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 5), (9, 10)]
    assert "overlap by up to 0.100 s" in recording.repairs[0]


@pytest.mark.parametrize("onsets", [[0, 1, 50, 20, 21], [0, 0, 0, 0], [5, 4, 3, 2]])
def test_shuffled_record_times_are_refused(tmp_path: Path, onsets: list[float]) -> None:
    with pytest.raises(RecordingError, match="backwards"):
        open_recording(gapped(onsets).write(tmp_path / "a.edf"))


@pytest.mark.parametrize("pace", [0, -1, -0.5])
def test_short_records_whose_clock_stands_still_or_runs_backwards_are_refused(tmp_path: Path, pace: float) -> None:
    file = gapped([pace * 0.1 * k for k in range(100)], duration="0.1", counts=[4] * 2)
    with pytest.raises(RecordingError, match="backwards"):
        open_recording(file.write(tmp_path / "a.edf"))


def test_continuous_file_with_useless_times_is_continuous(tmp_path: Path) -> None:
    recording = open_recording(gapped([0.0] * 8, kind="EDF+C").write(tmp_path / "a.edf"))
    assert len(recording.segments) == 1 and recording.duration == 8 and "same time stamp" in recording.repairs[0]


def test_continuous_file_whose_times_show_a_gap(tmp_path: Path) -> None:
    recording = open_recording(gapped([0, 1, 2, 33, 34], kind="EDF+C").write(tmp_path / "a.edf"))
    assert [s.start for s in recording.segments] == [0, 33] and "show 1 gap" in recording.repairs[0]


def test_record_times_with_commas_and_stray_texts(tmp_path: Path) -> None:
    onsets = ["+0,5", b"+1,5\x14\x14\x00+1.7\x151\x14Seizure \xff\xfe\x14\x00", "+2,5"]
    recording = open_recording(EdfFile(kind="EDF+D", onsets=onsets, n_records=3).write(tmp_path / "a.edf"))
    assert len(recording.segments) == 1 and recording.duration == 3


def test_single_unreadable_time_follows_its_predecessor(tmp_path: Path) -> None:
    onsets = ["+0", b"garbage", "+2", "+9"]
    recording = open_recording(EdfFile(kind="EDF+D", onsets=onsets, n_records=4).write(tmp_path / "a.edf"))
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 3), (9, 10)] and "unreadable" in recording.repairs[0]


def test_misplaced_record_times_are_damage(tmp_path: Path) -> None:
    file = EdfFile(kind="EDF+C", onsets=[f"+{k}" for k in range(10)])
    raw, path = file.bytes(), tmp_path / "a.edf"
    path.write_bytes(raw[:2000] + b"\x05" * 7 + raw[2000:])
    with pytest.raises(RecordingError, match="not where they belong"):
        open_recording(path)


@pytest.mark.parametrize("onsets", [[b""] * 5, None])
def test_interrupted_file_without_times_is_refused(tmp_path: Path, onsets: list[bytes] | None) -> None:
    with pytest.raises(RecordingError, match="EDF\\+D"):
        open_recording(EdfFile(kind="EDF+D", onsets=onsets, n_records=5).write(tmp_path / "a.edf"))


def test_continuous_file_with_blank_times(tmp_path: Path) -> None:
    recording = open_recording(EdfFile(kind="EDF+C", onsets=[b""] * 5, n_records=5).write(tmp_path / "a.edf"))
    assert recording.duration == 5 and "no time stamps" in recording.repairs[0]


def test_last_partial_second_is_dropped_by_blocks_not_by_read(tmp_path: Path) -> None:
    file = EdfFile(duration="0.75", counts=(192, 192), n_records=5)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.duration == 3.75
    assert joined(recording, [0], sfreq=256).shape == (1, 768)
    close(stored(recording), file.microvolts())


def test_a_clock_that_drifts_is_followed_where_gaps_are_allowed(tmp_path: Path) -> None:
    onsets = [f"+{1.001 * k:.3f}" for k in range(1200)]
    file = EdfFile(counts=[4] * 2, n_records=1200, kind="EDF+D", onsets=onsets)
    recording = open_recording(file.write(tmp_path / "d.edf"))
    assert len(recording.segments) == 1 and recording.duration == pytest.approx(1201.2, abs=0.01)
    assert recording.channels[0].sfreq == pytest.approx(4 / 1.001, rel=1e-6)
    assert "drift steadily by 1.20 s" in recording.repairs[0] and "0.999001 times that rate" in recording.repairs[0]
    close(recording.read([0, 1], 0, recording.duration), file.microvolts())
    file = EdfFile(counts=[4] * 2, n_records=1200, kind="EDF+C", onsets=onsets)
    recording = open_recording(file.write(tmp_path / "c.edf"))
    assert (recording.duration, len(recording.segments)) == (1200, 1)
    assert any("drift by 1.20 s" in repair and "follow the samples" in repair for repair in recording.repairs)


def test_a_drift_of_less_than_a_step_is_reported_alone(tmp_path: Path) -> None:
    recording = open_recording(clocked(tmp_path, dict.fromkeys(range(1, 400), 0.001)))
    assert (recording.duration, len(recording.segments), recording.channels[0].sfreq) == (400, 1, 4)
    assert recording.repairs == ("time stamps drift by 0.40 s from the sampling rate; times follow the samples",)


def test_weeks_of_gaps_are_no_recording(tmp_path: Path) -> None:
    onsets = [f"+{k}" for k in range(9)] + ["+2592000"]
    with pytest.raises(RecordingError, match="30 days of gaps"):
        open_recording(EdfFile(kind="EDF+D", onsets=onsets).write(tmp_path / "d.edf"))
    recording = open_recording(EdfFile(kind="EDF+C", onsets=onsets).write(tmp_path / "c.edf"))
    assert recording.duration == 10
    assert any("30 days of gaps" in repair and "ignored" in repair for repair in recording.repairs)


def clocked(tmp_path: Path, lag: dict[int, float], n: int = 400, kind: str = "EDF+D", record: float = 1) -> Path:
    """Write records whose time stamps get ahead of the samples by steps, at the records named."""
    ahead = np.cumsum([lag.get(k, 0.0) for k in range(n)])
    texts = [f"{k * record + ahead[k]:+.3f}" for k in range(n)]
    file = EdfFile(counts=[4] * 2, n_records=n, kind=kind, onsets=texts, duration=f"{record:g}")
    return file.write(tmp_path / "clock.edf")


@pytest.mark.parametrize("size", [30, -30, 0.7, -0.7, 0.05])
@pytest.mark.parametrize(("at", "run"), [(100, 1), (100, 3), (1, 1), (398, 1)])
def test_a_few_wrong_stamps_are_ignored_and_reported(tmp_path: Path, size: float, at: int, run: int) -> None:
    recording = open_recording(clocked(tmp_path, {at: size, at + run: -size, 300: 25}))
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (325, 300)]
    assert len(recording.repairs) == 1 and f"wrong by up to {abs(size):.3f} s" in recording.repairs[0]


@pytest.mark.parametrize("steps", [{0: 30, 1: -30}, {0: 30, 3: -30}, {399: -30}, {397: -30}])
def test_wrong_stamps_at_the_ends_are_ignored_and_reported(tmp_path: Path, steps: dict[int, float]) -> None:
    recording = open_recording(clocked(tmp_path, steps))
    assert [(s.start, s.stop) for s in recording.segments] == [(0, 400)] and "wrong by" in recording.repairs[0]


def test_gaps_near_the_ends_and_short_stretches_between_gaps_are_kept(tmp_path: Path) -> None:
    recording = open_recording(clocked(tmp_path, {1: 5, 2: 7, 200: 3, 202: 4, 399: 6}))
    assert [s.offset for s in recording.segments] == [0, 1, 2, 200, 202, 399] and recording.repairs == ()


@pytest.mark.parametrize("back", [30, 3600, 1.5])
@pytest.mark.parametrize("ahead", [0, 20])
def test_a_clock_that_stays_set_back_is_refused(tmp_path: Path, back: float, ahead: float) -> None:
    path = clocked(tmp_path, {50: ahead, 200: -back, 300: 25})
    with pytest.raises(RecordingError, match=f"after stamp 200 of 400: the clock was set back by {back:.3f} s"):
        open_recording(path)
    recording = open_recording(clocked(tmp_path, {200: -back}, kind="EDF+C"))
    assert recording.duration == 400 and "set back" in recording.repairs[0] and "ignored" in recording.repairs[0]


def test_a_clock_set_back_by_less_than_a_second_costs_the_overlap_alone(tmp_path: Path) -> None:
    recording = open_recording(clocked(tmp_path, {200: -0.75, 300: 25}))
    spans = [(s.start, s.stop, s.offset) for s in recording.segments]
    assert spans == [(0, 199.25, 0), (199.25, 299.25, 200), (324.25, 424.25, 300)]
    assert "overlap by 0.750 s in all" in " ".join(recording.repairs)


@pytest.mark.parametrize("rate", [0.9952, 0.999, 1.001, 1.0048])
@pytest.mark.parametrize("record", [0.1, 1, 60])
@pytest.mark.parametrize("gap", [0, 25])
def test_steady_drift_cuts_nothing(tmp_path: Path, rate: float, record: float, gap: float) -> None:
    n = int(1200 / record)
    lag = dict.fromkeys(range(1, n), (rate - 1) * record)
    lag[n // 2] += gap
    recording = open_recording(clocked(tmp_path, lag, n=n, record=record))
    assert "drift steadily by" in recording.repairs[0]
    assert [s.start for s in recording.segments] == pytest.approx([0, 600 * rate + gap] if gap else [0], abs=0.02)
    assert recording.duration == pytest.approx(1200 * rate + gap, abs=0.02)


@pytest.mark.parametrize("rate", [0.9951, 1.0049])
def test_seizures_are_found_whatever_the_drift(tmp_path: Path, example: Path, rate: float) -> None:
    source = open_recording(example)
    values = np.tile(source.read(range(len(source.channels)), 0, source.duration), 3)

    class Example(EdfFile):
        def samples(self) -> list[np.ndarray]:
            return list(np.round(values * 10).astype(int))

    def events(name: str, rate: float) -> np.ndarray:
        texts = [f"+{rate * k:.3f}" for k in range(540)]
        fields = {"labels": [c.label for c in source.channels], "counts": [200] * len(values), "n_records": 540}
        file = Example(**fields, kind="EDF+D", onsets=texts, physical=[(-3276.8, 3276.7)] * len(values))
        result = annotate(file.write(tmp_path / name), threshold=0.6)  # far from where rounding decides
        assert result.scores.scored > 0.99
        return np.array([[event.onset, event.stop] for event in result.events])

    expected = events("steady.edf", 1.0)
    found = events("drift.edf", rate)
    assert len(expected) >= 6
    # Ends depend on where seconds are cut through discharges that fade.
    np.testing.assert_allclose(found[:, 0], expected[:, 0] * rate, atol=2.1)


@pytest.mark.parametrize("scatter", [0.015, 0.05])
def test_drift_is_found_in_stamps_that_scatter(tmp_path: Path, scatter: float) -> None:
    noise = np.random.default_rng(1).uniform(-scatter, scatter, 3600)
    texts = [f"{1.0005 * k + (30 if k > 2000 else 0) + noise[k]:+.3f}" for k in range(3600)]
    file = EdfFile(counts=[4] * 2, n_records=3600, kind="EDF+D", onsets=texts)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.channels[0].sfreq == pytest.approx(4 / 1.0005, rel=2e-5)
    assert [s.offset for s in recording.segments] == pytest.approx([0, 2001 * 1.0005], abs=0.5)


def test_a_clock_that_wanders_is_cut_where_it_is_half_a_second_away(tmp_path: Path) -> None:
    recording = open_recording(clocked(tmp_path, dict.fromkeys(range(1000), 0.003), n=2000))
    assert 1 < len(recording.segments) <= 6 and "does not run steadily" in " ".join(recording.repairs)
    for segment in recording.segments:
        rate = 4 / recording.channels[0].sfreq
        for inside in (0.0, segment.stop - segment.start):
            place = (segment.offset + inside) / rate
            assert segment.start + inside == pytest.approx(place + 0.003 * min(place, 1000), abs=0.6)


@pytest.mark.parametrize("rate", [0.5, 0.97, 0.994, 1.006, 1.03, 2])
@pytest.mark.parametrize("record", [0.5, 10])
@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
@pytest.mark.parametrize("n", [4, 120])
def test_stamps_that_agree_on_another_rate_are_refused(
    tmp_path: Path, rate: float, record: float, kind: str, n: int
) -> None:
    path = clocked(tmp_path, dict.fromkeys(range(1, n), (rate - 1) * record), n=n, record=record, kind=kind)
    with pytest.raises(
        RecordingError, match=f"contradict the sampling rate .*: by the stamps, signal of {record:g} s takes"
    ):
        open_recording(path)


def test_scattered_stamps_of_another_rate_are_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 600)
    for kind in ("EDF+C", "EDF+D"):
        texts = [f"{0.97 * k + noise[k]:+.3f}" for k in range(600)]
        file = EdfFile(counts=[4] * 2, n_records=600, kind=kind, onsets=texts)
        with pytest.raises(RecordingError, match="contradict the sampling rate"):
            open_recording(file.write(tmp_path / "a.edf"))


@pytest.mark.parametrize(("record", "digits"), [("1.02", 1), ("0.3", 1), ("0.0625", 2)])
def test_rounded_stamps_are_no_drift(tmp_path: Path, record: str, digits: int) -> None:
    texts = [f"{k * float(record):+.{digits}f}" for k in range(600)]
    file = EdfFile(counts=[25] * 2, n_records=600, kind="EDF+D", onsets=texts, duration=record)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.channels[0].sfreq == pytest.approx(25 / float(record), rel=1e-9)
    assert recording.duration == pytest.approx(600 * float(record), abs=1.01)


def test_pauses_after_each_of_long_records_are_gaps(tmp_path: Path) -> None:
    path = clocked(tmp_path, dict.fromkeys(range(1, 20), 30), n=20, record=60)
    assert [s.start for s in open_recording(path).segments] == [90 * k for k in range(20)]


def shuffled(order: str) -> list[int]:
    rng, stamps = np.random.default_rng(0), np.arange(400)
    if order == "all":
        rng.shuffle(stamps)
    elif order == "in blocks of 50":
        stamps = stamps.reshape(8, 50)[[3, 0, 7, 1, 6, 2, 5, 4]].ravel()
    elif order == "halves":
        stamps = np.roll(stamps, 200)
    elif order == "neighbours":
        stamps = stamps.reshape(-1, 2)[:, ::-1].ravel()
    elif order == "some":
        places = rng.choice(400, 40, replace=False)
        stamps[np.sort(places)] = stamps[places]
    return stamps.tolist()


@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
@pytest.mark.parametrize("order", ["all", "in blocks of 50", "halves", "neighbours", "some"])
def test_records_in_another_order_are_refused(tmp_path: Path, order: str, kind: str) -> None:
    with pytest.raises(RecordingError, match=r"backwards|contradict their neighbours"):
        open_recording(gapped(shuffled(order), kind=kind, counts=[4] * 2).write(tmp_path / "a.edf"))


def test_many_gaps_in_a_file_that_is_continuous_by_its_header_are_refused(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).uniform(1, 20, 78)
    with pytest.raises(RecordingError, match="78 gaps among 400 records, but the header says continuous"):
        open_recording(clocked(tmp_path, dict(zip(range(10, 400, 5), steps, strict=True)), kind="EDF+C"))


def test_scattered_stamps_cut_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 400)
    texts = [f"{k + noise[k]:+.3f}" for k in range(400)]
    file = EdfFile(counts=[4] * 2, n_records=400, kind="EDF+D", onsets=texts)
    recording = open_recording(file.write(tmp_path / "a.edf"))
    assert recording.segments[-1].stop == pytest.approx(400, abs=0.5) and recording.repairs != ()
    assert max(s.stop - s.start for s in recording.segments) > 100


@pytest.mark.parametrize(
    "spelled", ["+{}", "{}", "+0{}.0", "+{}.000000000000", "+ {}", " +{}", "+{}e0", "+{}.", "+{},0", "+{}\x150"]
)
@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
def test_time_stamps_may_be_spelled_in_any_way(tmp_path: Path, spelled: str, kind: str) -> None:
    texts = [spelled.format(k) for k in (1, 2, 3, 9)]
    recording = open_recording(EdfFile(kind=kind, onsets=texts, n_records=4).write(tmp_path / "a.edf"))
    assert [(s.start, s.offset) for s in recording.segments] == [(0, 0), (8, 3)]


def test_time_stamps_that_are_no_numbers_are_called_so(tmp_path: Path) -> None:
    texts = [f"+0:00:{k:02d}" for k in range(5)]
    with pytest.raises(RecordingError, match="not written as a number"):
        open_recording(EdfFile(kind="EDF+D", onsets=texts, n_records=5).write(tmp_path / "a.edf"))
