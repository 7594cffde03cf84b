"""Pictures: everything legible and inside the page, nothing short lost, the same bytes each time."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import unicodedata
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from restcli.cli import options
from restcli.detect.rule import to_events
from restcli.errors import OutputError
from restcli.evaluation.scoring import Case
from restcli.events import Event, EventRule, Events, Scores, Span
from restcli.output.pictures import PICTURES
from restcli.output.plots import style
from restcli.output.plots.curves import plot_curves, plot_reliability, plot_threshold_curve
from restcli.output.plots.eeg import TRACE_HEIGHT, draw_traces, fit_scale
from restcli.output.plots.event import EventPages, EventSheet, involved_traces, page_starts
from restcli.output.plots.head import head_order, involvement
from restcli.output.plots.overview import plot_overview, spread_labels
from restcli.output.plots.save import begin_save, save_figure
from restcli.output.plots.strips import plot_strips
from restcli.output.plots.style import DPI, time_ticks, wrap
from restcli.output.plots.traces import ECG_ROW, Traces
from restcli.output.shown import ACCEPTED, ADDED, NOT_JUDGED, REJECTED, UNSURE, Shown, detected
from restcli.signal.columns import Columns
from restcli.signal.filters import sensitivity
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19

START = datetime(2016, 11, 6, 22, 43, 4)
RULE = EventRule()
FOOTER = (
    "weights rest-bipolar-18 (sha256 3f9a1c0b77de) · probability ≥ 0.50 (release 0.35), lasting ≥ 3 s, "
    "gaps < 3 s joined, 3-s mean · 97.2 % of the recording scored"
)


def make_scores(duration, seizures=(), *, nodes=DOUBLE_BANANA, unscored=(), interval=False, dead=()):
    rng = np.random.default_rng(0)
    time = np.arange(int(duration)) + 0.5
    by_node = rng.uniform(0.0, 0.2, (len(time), len(nodes)))
    for onset, length in seizures:
        by_node[(time >= onset) & (time < onset + length)] += 0.7
    for span in unscored:
        by_node[(time >= span.start) & (time < span.stop)] = np.nan
    probability = by_node.mean(axis=1) if len(nodes) else np.full(len(time), np.nan)
    by_node[:, list(dead)] = np.nan
    band = np.clip(np.stack([probability - 0.1, probability + 0.1], axis=1), 0, 1) if interval else None
    return Scores(time, probability, by_node, tuple(nodes), 1.0, float(duration), tuple(unscored), band)


def make_trend(scores):
    rng = np.random.default_rng(1)
    known = np.where(np.isfinite(scores.probability), 1.0, np.nan)
    amplitude = 20 * np.exp(0.3 * rng.normal(size=len(known))) * known
    spectrum = rng.normal(size=(len(known), 101)) * known[:, None]
    return SimpleNamespace(time=scores.time, amplitude=amplitude, spectrum=spectrum)


def make_result(scores, *, start=START, rule=RULE, repairs=()):
    recording = SimpleNamespace(start=start, clock=start, repairs=repairs)
    events = to_events(scores, rule, start)
    return SimpleNamespace(scores=scores, events=events, rule=rule, trend=make_trend(scores), recording=recording)


def overview(scores, *, title="night.edf", footer=FOOTER, **options):
    result = make_result(scores, **options)
    return plot_overview(result, detected(result.events), title=title, footer=footer), result.events


def make_traces(begin, end, *, names=DOUBLE_BANANA, sfreq=200.0, gap=None, scale=40.0):
    rng = np.random.default_rng(2)
    time = np.arange(round(begin * sfreq), round(end * sfreq)) / sfreq
    data = scale * rng.normal(size=(len(names), len(time)))
    if gap is not None:
        data[:, (time >= gap[0]) & (time < gap[1])] = np.nan
    return Traces(time, data, tuple(names), sfreq, "1–70 Hz, longitudinal bipolar, zero phase")


def event_page(scores, *, traces=None, event=None, start=START, verdict=""):
    event = to_events(scores, RULE).events[0] if event is None else event
    if traces is None:
        starts = page_starts(event, scores.duration)
        traces = make_traces(starts[0], min(scores.duration, starts[0] + 10))
    result = make_result(scores, start=start)
    sheet = EventSheet(result, traces.names, title="night.edf", footer=FOOTER)
    return sheet.draw(EventPages(Shown(event, "1", verdict), (traces,)), 0)


def shown_texts(figure: Figure) -> list[Text]:
    """Every text that is drawn; tick labels outside the view are not."""
    figure.canvas.draw()
    hidden = set()
    for axes in figure.findobj(mpl.axes.Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            margin = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - margin <= tick.get_loc() <= high + margin:
                    hidden |= {tick.label1, tick.label2}
    visible = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [text for text in visible if text not in hidden]


def assert_legible(figure: Figure) -> None:
    """All text inside the page and no text over another."""
    texts = shown_texts(figure)
    assert texts
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    page = figure.bbox
    for words, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1, f"{words!r} leaves the page"
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Boxes include line spacing: neighbouring rows may share a pixel or two, letters do not.
        assert width <= 1 or height <= 2.5, f"{one!r} over {other!r}"


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in shown_texts(figure))


GAPS = (
    Span(100, 160, "gap in the recording"),
    Span(300, 330, "flat electrodes"),
    Span(400, 420, "mains interference drowns more than a third of the derivations"),
    Span(500, 507, "absurd amplitude"),
    Span(600, 605, "a fifth reason"),
)
OVERVIEWS = {
    "10-s clip": lambda: overview(make_scores(10, [(2, 6)]), start=None),
    "sub-second": lambda: overview(make_scores(0.5)),
    "3 min, edges": lambda: overview(make_scores(180, [(0, 12), (80, 5), (168, 12)], interval=True)),
    "30 min, gaps": lambda: overview(make_scores(1811, [(1380, 5), (1477, 6)], unscored=GAPS)),
    "2 h over midnight": lambda: overview(make_scores(7200, [(3000, 60), (5000, 90)])),
    "24 h": lambda: overview(make_scores(86400, [(5000, 5), (30000, 70), (86390, 10)], unscored=GAPS, interval=True)),
    "4 days": lambda: overview(make_scores(345600, [(5000, 50)], nodes=("F3", "C3", "O1"))),
    "no events": lambda: overview(make_scores(1800)),
    "60 events": lambda: overview(make_scores(14400, [(60 + 235 * i, 20) for i in range(60)])),
    "60 crowded events": lambda: overview(make_scores(86400, [(40000 + 30 * i, 10) for i in range(60)])),
    "not scored": lambda: overview(
        make_scores(1800, unscored=[Span(0, 1800, "fewer than 15 of 18 derivations usable")])
    ),
    "missing nodes": lambda: overview(make_scores(600, [(200, 30)], nodes=DOUBLE_BANANA[:15], dead=(0, 4))),
    "electrodes": lambda: overview(make_scores(600, [(200, 30)], nodes=ELECTRODES_19), start=None),
    "other nodes": lambda: overview(make_scores(600, [(200, 30)], nodes=("C3-C4", "FP1-F7"))),
    "unknown nodes": lambda: overview(make_scores(600, [(200, 30)], nodes=("LAH1-LAH2", "RAH1-RAH2"))),
    "long names": lambda: overview(make_scores(600), title="folder/" * 60 + "x.edf", footer=FOOTER * 4),
}


@pytest.mark.parametrize("case", OVERVIEWS)
def test_overview_is_legible(case):
    figure, _ = OVERVIEWS[case]()
    assert_legible(figure)


BANANA = make_scores(300, [(100, 30)])
EVENT_PAGES = {
    "bipolar": lambda: event_page(BANANA),
    "no clock": lambda: event_page(BANANA, start=None),
    "electrodes": lambda: event_page(make_scores(300, [(100, 30)], nodes=ELECTRODES_19)),
    "at the start": lambda: event_page(make_scores(300, [(0, 30)])),
    "at the end": lambda: event_page(make_scores(300, [(290, 10)])),
    "longer than the page": lambda: event_page(make_scores(300, [(50, 200)])),
    "over midnight": lambda: event_page(BANANA, start=datetime(2020, 1, 1, 23, 58, 20)),
    "10-s clip": lambda: event_page(make_scores(10, [(2, 6)])),
    "gap": lambda: event_page(BANANA, traces=make_traces(97, 107, gap=(101, 105))),
    "ECG": lambda: event_page(BANANA, traces=make_traces(97, 107, names=(*DOUBLE_BANANA, ECG_ROW))),
    "fractions of seconds": lambda: event_page(BANANA, start=START.replace(microsecond=312_500)),
    "unscored": lambda: event_page(make_scores(300, [(100, 9)], unscored=[Span(101, 105, "flat electrodes " * 5)])),
    "no signal": lambda: event_page(BANANA, traces=make_traces(90, 120, gap=(0, 300))),
    "few traces": lambda: event_page(BANANA, traces=make_traces(90, 120, names=DOUBLE_BANANA[3:9])),
    "other traces": lambda: event_page(BANANA, traces=make_traces(90, 120, names=("C3-C4", "C4-T4"))),
    "huge": lambda: event_page(BANANA, traces=make_traces(90, 120, scale=9000.0)),
    "tiny": lambda: event_page(BANANA, traces=make_traces(90, 120, scale=0.01)),
    "focal, many named": lambda: event_page(BANANA, event=Event(100.25, 200, "sz_foc", 0.7, DOUBLE_BANANA[:12])),
    "judged": lambda: event_page(BANANA, verdict=REJECTED),
    "nothing known": lambda: event_page(BANANA, event=Event(100.25, 0.0)),
}


@pytest.mark.parametrize("case", EVENT_PAGES)
def test_event_page_is_legible(case):
    assert_legible(EVENT_PAGES[case]())


def make_strips(n):
    expert = Events((Event(100, 50), Event(3000, 5)), 3600)
    detected = Events((Event(90, 70),), 3600)
    scores = make_scores(3600, unscored=(Span(0, 60, "gap"),))
    return [
        (f"sub-{i:02d}/ses-01/eeg/a_long_recording_name.edf", Case("", "", expert, detected, scores)) for i in range(n)
    ]


STEPS = np.arange(0, 1000, 50)
SMALL = {
    "curves": lambda: plot_curves(
        STEPS,
        {"training": np.exp(-STEPS / 300), "validation": np.where(STEPS % 100, np.nan, 0.5)},
        title="Training",
        footer=FOOTER,
    ),
    "no curves": lambda: plot_curves(STEPS, {}, title="Training", footer=FOOTER),
    "operating": lambda: plot_threshold_curve(
        np.array([0, 0.5, 3, 400.0]), np.array([0, 0.4, 0.8, 1.0]), chosen=(3.0, 0.8), title="Curve", footer=FOOTER
    ),
    "no operating": lambda: plot_threshold_curve(np.zeros(0), np.zeros(0), title="Curve", footer=FOOTER),
    "reliability": lambda: plot_reliability(
        [{"probability": p / 10 + 0.05, "ictal": p / 9, "n": n} for p, n in enumerate([10**6, *[300] * 8])],
        title="R",
        footer=FOOTER,
    ),
    "no reliability": lambda: plot_reliability([], title="R", footer=FOOTER),
    "strips": lambda: plot_strips(make_strips(40), title="Events", footer=FOOTER),
    "one strip": lambda: plot_strips(make_strips(1), title="Events", footer=FOOTER),
    "no strip": lambda: plot_strips([], title="Events", footer=FOOTER),
}


@pytest.mark.parametrize("case", SMALL)
def test_other_pictures_are_legible(case):
    assert_legible(SMALL[case]())


def test_extremes_lose_nothing():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(5000, 3))
    values[rng.uniform(size=values.shape) < 0.3] = np.nan
    time = np.arange(5000) + 0.5
    edges = np.linspace(0, 5000, 118)
    columns = Columns(edges, time, 1.0)
    low, high = columns.lowest(values), columns.highest(values)
    for second in range(5000):
        column = min(np.searchsorted(edges, time[second], side="right") - 1, 116)
        for node in np.flatnonzero(np.isfinite(values[second])):
            assert low[column, node] <= values[second, node] <= high[column, node]
    assert np.nanmax(high) == np.nanmax(values)
    assert np.nanmin(low) == np.nanmin(values)


def test_columns_finer_than_the_scores_have_no_holes_and_gaps_stay_empty():
    time = np.array([0.5, 1.5, 2.5, 10.25, 11.25])
    edges = np.linspace(0, 12, 241)
    high = Columns(edges, time, 1.0).highest(np.arange(5.0))
    centres = (edges[1:] + edges[:-1]) / 2
    known = (centres < 3) | ((centres > 9.75) & (centres < 11.75))
    np.testing.assert_array_equal(np.isfinite(high), known)
    np.testing.assert_array_equal(high[:20], 0.0)


def test_means_ignore_what_is_unknown():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, 2.0], [np.nan, 4.0]])
    means = Columns(np.array([0.0, 2.0, 4.0, 6.0]), np.arange(4) + 0.5, 1.0).means(values)
    np.testing.assert_array_equal(means, [[2.0, np.nan], [5.0, 3.0], [np.nan, np.nan]])


def curve(figure: Figure) -> np.ndarray:
    lines = [patch for patch in figure.findobj(StepPatch) if str(patch.get_label()).startswith("probability")]
    return np.asarray(lines[0].get_data().values)


def test_five_seconds_of_a_day_stay_visible():
    figure, events = overview(make_scores(86400, [(40000, 5)]))
    assert len(events) == 1
    assert np.nanmax(curve(figure)) > RULE.threshold
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    orange = (np.abs(pixels - np.array([0xC4, 0x4A, 0x00])).max(axis=2) < 12).any(axis=0)
    assert 2 <= orange.sum() <= 8


def test_a_day_takes_no_more_lines_than_an_hour():
    for axes_of_day, axes_of_hour in zip(*(overview(make_scores(n))[0].axes for n in (86400, 3600)), strict=True):
        steps = [
            [len(patch.get_data().values) for patch in axes.patches if isinstance(patch, StepPatch)]
            for axes in (axes_of_day, axes_of_hour)
        ]
        assert steps[0] == steps[1] and all(n < 700 for n in steps[0])


def test_what_was_not_scored_is_never_drawn_as_no_seizure():
    scores = make_scores(1288, unscored=[Span(200, 400, "gap in the recording")])
    figure, _ = overview(scores)
    values = curve(figure)
    centres = (np.arange(len(values)) + 0.5) * 1288 / len(values)
    np.testing.assert_array_equal(np.isnan(values), (centres > 200) & (centres < 400))
    assert "gap in the recording (3 min 20 s, 15.5 %)" in words(figure)


def test_scores_that_are_missing_without_a_reason_are_hatched_too():
    scores = make_scores(1000)
    holed = Scores(scores.time[100:], scores.probability[100:], scores.by_node[100:], scores.nodes, 1.0, 1000.0)
    assert "no score here (1 min 40 s, 10 %)" in words(overview(holed)[0])


def test_the_missing_end_of_a_recording_that_was_cut_off_is_shown():
    scores = make_scores(10, unscored=[Span(10, 1788, "cut off: missing from the file")])
    repairs = ("the file is cut off: 1778 records of the 1788 that the header announces are missing", "a label " * 40)
    figure, _ = overview(scores, repairs=repairs)
    assert_legible(figure)
    shown = words(figure)
    assert "lasts 0:00:10 · cut off, 29 min 38 s are missing" in shown
    assert "1778 records of the 1788 that the header announces are missing; 1 more in the run report" in shown
    assert "cut off: missing from the file (29 min 38 s, 99.4 %)" in shown
    values = curve(figure)
    assert np.isnan(values[len(values) // 50 :]).all()


@pytest.mark.parametrize("width", range(12, 60))
def test_lines_never_break_between_a_number_and_its_unit(width):
    shown = wrap("the file is cut off: 1778 s of the 1788 s that it announces, 99 % of it, are missing", width, most=2)
    assert not re.search(r"\d( …|\n)", shown)
    assert not re.search(r"(^|\s)(?!1778|1788|99)\d", shown)


def test_states_are_told_apart():
    assert "no events detected" in words(overview(make_scores(100))[0])
    nothing = words(overview(make_scores(100, unscored=[Span(0, 100, "flat")]))[0])
    assert "no events detected" not in nothing
    assert "nothing was scored" in nothing
    assert "not available" in words(overview(make_scores(100, nodes=DOUBLE_BANANA[:16]))[0])


def test_event_page_says_what_it_shows():
    page = words(event_page(BANANA, event=Event(100.0, 30.0, "sz", 0.7, ("F7-T3",))))
    assert "most involved" not in page
    for expected in (
        "µV/mm",
        "negative up",
        " µV\n",
        "22:44:44, 0:01:40.0 after the start",
        "22:44:44\n0:01:40",
        "Event 1, page 1 of 1: onset",
        "23 s are on no page",
        "Begins",
        "20 mm/s",
        "F7-T3",
        "1–70 Hz",
        "sha256 3f9a1c0b77de",
        "onset",
    ):
        assert expected in page


def test_all_nodes_are_those_that_could_be_judged():
    event = Event(100.0, 30.0, "sz", 0.7, ("all",))
    assert "\nall nodes\n" in words(event_page(BANANA, event=event))
    partly = make_scores(300, [(100, 30)], dead=(0, 5, 9))
    assert "all 15 nodes that could be judged" in words(event_page(partly, event=event))


def test_negative_is_up_and_the_heart_positive():
    traces = make_traces(90, 120, names=(*DOUBLE_BANANA, ECG_ROW), scale=0.0)
    traces.data[0, 500:520] = -50.0
    traces.data[-1, 500:520] = 50.0
    figure = event_page(BANANA, traces=traces)
    axes = next(axes for axes in figure.axes if len(axes.get_yticks()) == 19)
    lines = [line for line in axes.lines if len(line.get_xdata()) == len(traces.time)]
    for row in (0, -1):
        up = axes.transData.transform([(0, min(lines[row].get_ydata()))])[0, 1]
        assert up > axes.transData.transform([(0, axes.get_yticks()[row])])[0, 1] + 5
    assert "positive up" in words(figure)


@pytest.mark.parametrize(("channels", "expected"), [(("F7-T3",), ("F7-T3",)), (("C3",), ("F3-C3", "C3-P3"))])
def test_involved_derivations_are_coloured(channels, expected):
    assert involved_traces(DOUBLE_BANANA, Event(0, 1, channels=channels)) == expected
    assert involved_traces(DOUBLE_BANANA, Event(0, 1, channels=("all",))) == (), "no trace stands out"


def test_pages_follow_an_event_from_before_its_onset_to_after_its_end():
    short, long = Event(20.5, 15.0), Event(100.0, 300.0)
    assert page_starts(short, 600.0) == [17.0, 27.0]
    assert page_starts(long, 600.0) == [97.0, 107.0, 117.0, 247.0, 387.0, 397.0]
    assert page_starts(Event(0.0, 5.0), 600.0) == [0.0] and page_starts(Event(594.0, 6.0), 600.0) == [590.0]
    assert page_starts(Event(1.0, 5.0), 8.0) == [0.0]
    pages = EventPages(Shown(long, "1"), tuple(make_traces(first, first + 10) for first in page_starts(long, 600.0)))
    assert pages.hidden == 300 - 27 - 10 - 13
    assert [pages.headline(i).split(": ")[1] for i in (0, 1, 5)] == ["onset", "evolution", "end"]


def test_all_pages_of_an_event_share_a_scale_and_high_waves_are_drawn_whole():
    quiet, loud = make_traces(97, 107, scale=5.0), make_traces(107, 117, scale=300.0)
    scale = fit_scale([quiet, loud], [Event(100.0, 15.0)])
    assert scale.sensitivity >= fit_scale([loud], []).sensitivity / 2 > 7
    loud.data[4, 700:720] = 20_000.0
    panel = Figure().add_axes((0, 0, 1, 1))
    panel.set_ylim(20, -1)
    panel.set_yticks(range(18), DOUBLE_BANANA)
    draw_traces(panel, loud, scale)
    drawn = panel.lines[4].get_ydata()
    assert max(drawn) - 4 == pytest.approx(20_000 / scale.sensitivity / scale.row, rel=0.02)
    assert scale.row < TRACE_HEIGHT * 25.4 / 18


def test_numbers_of_events_never_touch_and_keep_their_order():
    names = [f"{number}" for number in range(1, 301)]
    labels, places = spread_labels([names[:60]], [100.0 + i for i in range(60)], pixel=1.0, end=1288.0)
    assert labels == names[:60] and min(np.diff(places)) >= 12 and places[0] >= 0 and places[-1] <= 1288
    labels, places = spread_labels([names], np.linspace(0, 1288, 300).tolist(), pixel=1.0, end=1288.0)
    assert list(filter(None, labels)) == names[9::10] and min(np.diff(places[9::10])) >= 12


def judged_overview(n, **options):
    verdicts = (ACCEPTED, REJECTED, UNSURE, ADDED, NOT_JUDGED)
    shown = [Shown(Event(20.0 * i, 9.0), f"{i + 1}", verdicts[i % 5], i % 5 == 0) for i in range(n)]
    return plot_overview(make_result(make_scores(20 * n + 20), **options), shown, title="night", footer=FOOTER)


def test_the_overview_names_the_verdict_on_each_event():
    figures = judged_overview(5), judged_overview(60, repairs=("the clock steps back " * 5,))
    few, many = map(words, figures)
    for figure in figures:
        assert_legible(figure)
    for expected in ("1 accepted, limits edited", "2 rejected", "3 unsure", "4 added", "5 not judged"):
        assert expected in few
    assert "After review: ✓ 1 accepted · ✗ 1 rejected · ? 1 unsure · + 1 added · – 1 not judged · * 1 with" in few
    for expected in ("46✓*", "52✗", "✗ 12 rejected", "Repaired: the clock steps back"):
        assert expected in many


def test_one_second_of_a_day_that_was_not_scored_is_marked():
    figure, _ = overview(make_scores(86400, unscored=[Span(40000, 40001, "absurd amplitude")]))
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    box = next(axes for axes in figure.axes if 0 < axes.get_position().height * 8.27 < 0.11).get_window_extent()
    middle = pixels[len(pixels) - round((box.y0 + box.y1) / 2), round(box.x0) + 2 : round(box.x1) - 2]
    assert 3 <= (np.abs(middle - 0x5A).max(axis=1) < 30).sum() <= 6


def test_labels_of_involved_derivations_alone_are_bold():
    figure = event_page(BANANA, event=Event(100.0, 30.0, "sz", 0.7, ("F7-T3",)))
    labels = next(axes for axes in figure.axes if len(axes.get_yticks()) == 18).get_yticklabels()
    assert [label.get_text() for label in labels if label.get_weight() == "bold"] == ["F7-T3"]


def test_a_page_made_larger_is_drawn_at_its_new_size(tmp_path):
    figure = event_page(BANANA)
    save_figure(figure, tmp_path / "page.png")
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 1, height)
    figure.set_dpi(50)
    image = mpl.image.imread(save_figure(figure, tmp_path / "larger.png"))
    assert image.shape[:2] == (int(height * 50), int((width + 1) * 50))


def test_involvement_averages_over_the_event_and_leaves_out_absent_nodes():
    scores = make_scores(20, [(5, 5)], dead=(3,))
    shares = involvement(scores, Event(5.0, 5.0))
    assert DOUBLE_BANANA[3] not in shares
    assert shares["FP1-F7"] == pytest.approx(np.mean(scores.by_node[5:10, 0]))
    assert involvement(scores, Event(5.1, 0.1))["FP1-F7"] == pytest.approx(scores.by_node[5, 0])


def test_sensitivity_follows_the_signal():
    quiet = sensitivity(np.full((2, 10), 20.0), 7.0)  # the usual one
    loud = sensitivity(np.full((2, 10), 200.0), 7.0)
    assert (quiet, loud) == (7.0, 30.0)
    assert sensitivity(np.full((2, 10), np.nan), 7.0) == 7.0


@pytest.mark.parametrize("nodes", [DOUBLE_BANANA, ELECTRODES_19, DOUBLE_BANANA[:3], ()])
def test_head_order_keeps_every_node_once(nodes):
    members = [name for _, group in head_order(nodes) for name in group]
    assert len(members) == len(set(members)) == (18 if nodes != ELECTRODES_19 else 19)
    assert set(nodes) <= set(members)


def test_ticks_are_round_on_the_clock():
    ticks, labels = time_ticks(0, 1811, start=datetime(2020, 1, 1, 23, 41, 3), most=8)
    assert labels[:5] == ["23:45", "23:50", "23:55", "00:00\n+1 day", "00:05"]
    assert ticks[0] == 237.0
    assert all(0 <= tick <= 1811 for tick in ticks)


@pytest.mark.parametrize("duration", [0.5, 1, 9, 59, 61, 600, 3599, 7201, 86400, 260000, 5e6])
@pytest.mark.parametrize("start", [None, START])
def test_ticks_are_never_many(duration, start):
    ticks, _ = time_ticks(0, duration, start=start, most=12)
    assert len(ticks) <= 13
    assert ticks or duration < 1 or start is not None


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_bytes_repeat(tmp_path, suffix):
    first = save_figure(overview(make_scores(600, [(50, 20)]))[0], tmp_path / f"a{suffix}").read_bytes()
    again = save_figure(overview(make_scores(600, [(50, 20)]))[0], tmp_path / f"b{suffix}").read_bytes()
    assert first == again
    assert not any(word in first for word in (b"Software", b"CreationDate", b"atplotlib", b"Producer"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.parametrize("suffix", [".png", pytest.param(".pdf", marks=pytest.mark.slow)])
def test_a_sheet_used_again_gives_the_bytes_of_a_fresh_one(tmp_path, suffix):
    pages = [
        (make_traces(90, 120), Event(100.25, 9.0, "sz", 0.7, ("F7-T3",))),
        (make_traces(240, 270, gap=(250, 252)), Event(250.0, 40.0, "sz_foc", 0.4, ("C3-P3", "T4-T6"))),
        (make_traces(0, 20), Event(2.0, 3.0)),
    ]
    sheet = EventSheet(make_result(BANANA), DOUBLE_BANANA, title="night.edf", footer=FOOTER)
    for number, (traces, event) in enumerate(pages, start=1):
        drawn = EventPages(Shown(event, f"{number}"), (traces,))
        again = save_figure(sheet.draw(drawn, 0), tmp_path / f"again{suffix}")
        fresh = EventSheet(make_result(BANANA), DOUBLE_BANANA, title="night.edf", footer=FOOTER)
        alone = fresh.draw(drawn, 0)
        assert again.read_bytes() == save_figure(alone, tmp_path / f"alone{suffix}").read_bytes()


def test_a_picture_begun_is_of_that_moment_and_words_stand_where_matplotlib_puts_them(tmp_path):
    sheet = EventSheet(make_result(BANANA), DOUBLE_BANANA, title="night.edf", footer=FOOTER)
    event = Event(100.25, 9.0, "sz", 0.7, ("F7-T3",))
    figure = sheet.draw(EventPages(Shown(event, "1"), (make_traces(97, 107),)), 0)
    write = begin_save(figure, tmp_path / "begun.png")
    figure.savefig(tmp_path / "plain.png", dpi=DPI)
    sheet.draw(EventPages(Shown(Event(160.0, 5.0), "2"), (make_traces(157, 167),)), 0)
    begun, plain = (mpl.image.imread(path)[..., :3] for path in (write(), tmp_path / "plain.png"))
    assert begun.shape == plain.shape
    ours, theirs = (
        image[: 1150 // 4 * 4, : 1632 // 4 * 4].reshape(287, 4, 408, 4, 3).mean((1, 3)) for image in (begun, plain)
    )
    assert np.abs(ours - theirs).max() < 0.35  # words move by up to half a pixel
    assert np.abs(ours - theirs).mean() < 0.002


def test_user_settings_change_nothing(tmp_path):
    first = save_figure(event_page(BANANA), tmp_path / "a.png").read_bytes()
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "lines.linewidth": 9, "savefig.dpi": 30}):
        again = save_figure(event_page(BANANA), tmp_path / "b.png").read_bytes()
        assert mpl.rcParams["font.size"] == 20
    assert first == again


def test_names_with_odd_signs_are_drawn(tmp_path):
    odd = "$x^$ 脳波 \\frac{ Ünïcode.edf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style.fontManager, "ttflist", [])
        figure, _ = overview(make_scores(60), title=odd, footer="$a$ 脳")
    assert "$x^$ NaoBo \\frac{ Ünïcode.edf" in words(figure) and "?" not in words(figure)
    assert_legible(overview(make_scores(60), title="שלום ไทย.edf")[0])
    save_figure(figure, tmp_path / "a.pdf")


def test_a_font_of_the_system_writes_what_the_usual_one_lacks():
    fonts = [font_manager.get_font(font_manager.findfont(f"{name}:bold")) for name in ("STIXGeneral", "DejaVu Sans")]
    ours, usual = (set(font.get_charmap()) for font in fonts)
    sign = next(chr(code) for code in sorted(ours - usual) if unicodedata.category(chr(code)) in ("Ll", "Lu", "Lo"))
    title = overview(make_scores(60), title=f"{sign}.edf")[0].texts[0]
    assert title.get_text() == f"{sign}.edf" and len(title.get_fontfamily()) == 2


@pytest.mark.parametrize("name", ["picture.gif", "picture"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"Expected \.png or \.pdf"):
        save_figure(Figure(), tmp_path / name)


def test_missing_folder_is_reported(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        save_figure(Figure(), tmp_path / "nowhere" / "a.png")


def test_a_full_disk_leaves_the_old_picture_and_no_scraps(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fill(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fill)
    with pytest.raises(OutputError, match="No space left on device"):
        save_figure(Figure(), path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "module://nowhere", "qtagg"])
def test_any_mplbackend_will_do(backend, tmp_path):
    code = (
        "import os, sys; from restcli.output.plots.save import save_figure;"
        "from restcli.output.plots.style import make_page; save_figure(make_page((2, 2), 'a', 'b'), sys.argv[1]);"
        "print(os.environ['MPLBACKEND'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, env=os.environ | {"MPLBACKEND": backend}, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == backend and (tmp_path / "a.png").exists()


def test_every_picture_of_the_registry_is_a_module_that_help_names():
    for name, shows in PICTURES.items():
        assert callable(import_module(f"restcli.output.plots.{name}").draw)
        assert shows in options.Plot.__metadata__[0].help


def test_pyplot_and_torch_stay_out():
    code = "import sys, restcli.output.plots.overview, restcli.output.plots.event; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"matplotlib.pyplot", "torch"} & set(loaded)
