"""Pictures of scores, events, traces and training made from plain arrays; knows neither signal files nor torch."""

from __future__ import annotations

import io
import math
import struct
import textwrap
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, no_type_check

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axes._secondary_axes import SecondaryAxis
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, PathPatch, Polygon, Rectangle, StepPatch
from matplotlib.path import Path as Outline
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from restcli.errors import OutputError
from restcli.events import Event, EventRule, Events, FloatArray, Scores, Span, smooth_scores
from restcli.signal.montage import DOUBLE_BANANA, ELECTRODES_19, electrode_position

# --- Style: one block, inches and points -----------------------------------------------------------------------------
PAGE = (11.69, 8.27)  # A4 landscape: µV/mm are true when printed at full size
SMALL_PAGE = (7.6, 5.2)
DPI = 140
FONT_TITLE, FONT_TEXT, FONT_SMALL, FONT_ROW = 12.0, 8.0, 7.0, 6.6
INK, GREY, DIM, FAINT, PALE = "#1a1a1a", "#5a5a5a", "#8a8a8a", "#b5b5b5", "#f0f0f0"
BLUE, BLUE_PALE, ORANGE, ORANGE_PALE = "#0a4fa3", "#b9d3f0", "#c44a00", "#ffe6c4"
SERIES = (BLUE, ORANGE, "#00795c", "#8a4b8f", INK)  # dark enough for white paper, apart for the colour-blind
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
HIDDEN = "#e4e4e4"  # under the hatching of what was not scored
HATCHES = ("////", "\\\\\\\\", "xxxx", "....")
PROBABILITY_COLOURS = ListedColormap(mpl.colormaps["magma_r"](np.linspace(0.0, 0.88, 256)), "involvement")
POWER_COLOURS = mpl.colormaps["cividis"]
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_TEXT,
    "text.parse_math": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "axes.labelsize": FONT_TEXT,
    "xtick.labelsize": FONT_SMALL,
    "ytick.labelsize": FONT_SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "legend.fontsize": FONT_SMALL,
    "legend.frameon": False,
    "savefig.dpi": "figure",
    "savefig.bbox": None,
}

# Time between ticks, seconds; longer recordings get whole days.
_TICK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400)
# Sensitivities of EEG machines, µV/mm; finer ones would only show noise.
_SENSITIVITIES = (5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
_SCALE_BARS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
_PACKING = 3  # of zlib: more takes longer and gains little
_ROOM = 3  # pixels around words, for letters that reach beyond their box
_NO_SCORE = "no score here"
_MAX_REASONS = 4
_DAY = 86400

# The head as a page is read: left to right, front to back.
_CHAINS = {
    "Left temporal": ("FP1-F7 F7-T3 T3-T5 T5-O1", "F7 T3 T5"),
    "Left parasagittal": ("FP1-F3 F3-C3 C3-P3 P3-O1", "FP1 F3 C3 P3 O1"),
    "Midline": ("FZ-CZ CZ-PZ", "FZ CZ PZ"),
    "Right parasagittal": ("FP2-F4 F4-C4 C4-P4 P4-O2", "FP2 F4 C4 P4 O2"),
    "Right temporal": ("FP2-F8 F8-T4 T4-T6 T6-O2", "F8 T4 T6"),
}
Groups = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, eq=False)
class OverviewTrend:
    """Amplitude and spectrum along a whole recording; NaN where unknown.

    Parameters
    ----------
    time : ndarray, shape (T,)
        Centres, seconds from the start of the recording, ascending.
    amplitude : ndarray, shape (T,)
        Median over nodes of the RMS amplitude, µV.
    spectrum : ndarray, shape (T, F)
        Mean over nodes of the log power, dB.
    frequencies : ndarray, shape (F,)
        Hz, ascending and evenly spaced.
    """

    time: FloatArray
    amplitude: FloatArray
    spectrum: FloatArray
    frequencies: FloatArray


@dataclass(frozen=True, eq=False)
class EventTraces:
    """The signals of one page around an event.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Seconds from the start of the recording, ascending; the page shows exactly this stretch.
    data : ndarray, shape (C, n)
        µV; NaN in gaps.
    names : tuple of str
        The C derivations.
    sfreq : float
        Hz.
    filters : str
        What was done to the signals, in words for the page.
    """

    time: FloatArray
    data: FloatArray
    names: tuple[str, ...]
    sfreq: float
    filters: str


@dataclass(frozen=True)
class Strip:
    """One recording's row in a picture of many.

    Parameters
    ----------
    name : str
        Row label.
    expert, detected : Events
        The two sides.
    unscored : tuple of Span
        What was not scored.
    """

    name: str
    expert: Events
    detected: Events
    unscored: tuple[Span, ...] = ()


@contextmanager
def _style() -> Iterator[None]:
    """Draw alike whatever the user's matplotlib settings say."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in _RC.items():
            mpl.rcParams[name] = value  # type: ignore[index]
        yield


# --- Files -----------------------------------------------------------------------------------------------------------


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure whole or not at all, with the same bytes each time.

    Parameters
    ----------
    figure : Figure
        Made by a function of this module.
    path : str or Path
        Ends in ``.png`` or ``.pdf``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        If the suffix is another one or the file cannot be written.
    """
    return begin_save(figure, path)()


@_style()
def begin_save(figure: Figure, path: str | Path) -> Callable[[], Path]:
    """Draw a figure now and write it later: `save_figure` in two steps.

    Parameters
    ----------
    figure, path
        As in `save_figure`.

    Returns
    -------
    callable
        Packs and writes the picture, returns its path. It may be called in another thread, and the figure may change
        meanwhile.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind == "png":
        canvas = figure.canvas if isinstance(figure.canvas, _Canvas) else _Canvas(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.array(canvas.get_renderer().buffer_rgba())[..., :3]  # type: ignore[no-untyped-call] # it is opaque
        return lambda: _write(path, _png(pixels, figure.dpi))
    if kind == "pdf":
        content = io.BytesIO()
        figure.savefig(content, format=kind, metadata=dict.fromkeys(("Creator", "Producer", "CreationDate")))
        return lambda: _write(path, content.getvalue())
    raise OutputError(str(path), f"pictures cannot be written as '{path.suffix}'", "expected .png or .pdf")


def _write(path: Path, content: bytes) -> Path:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise OutputError(
            str(path),
            f"the picture could not be written ({error.strerror or error})",
            remedy="check that the folder exists, is writable and has room",
        ) from error
    finally:
        if part.exists():
            part.unlink()
    return path


def _png(pixels: NDArray[np.uint8], dpi: float) -> bytes:
    """Pack pixels, (height, width, 3), as a PNG.

    Pages are mostly paper: without the filters that PNG has for photographs they are packed three times faster, into
    fewer bytes, and other threads can go on meanwhile.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    per_metre = round(dpi / 0.0254)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0),
        b"pHYs": struct.pack(">IIB", per_metre, per_metre, 1),
        b"IDAT": zlib.compress(rows.data, _PACKING),
        b"IEND": b"",
    }
    packed = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


class _Canvas(FigureCanvasAgg):
    """Agg's canvas with a renderer that keeps the pictures of words; one serves while the page keeps its size."""

    words: _Renderer | None = None

    def get_renderer(self) -> RendererAgg:
        """Return the renderer that everything on this canvas is drawn with."""
        shape = (*self.get_width_height(physical=True), self.figure.dpi)
        if self.words is None or (self.words.width, self.words.height, self.words.dpi) != shape:
            self.words = _Renderer(*shape)  # type: ignore[no-untyped-call]
        return self.words


class _Renderer(RendererAgg):
    """Agg's renderer, but what it has once written it copies: page after page carries the same words.

    Glyph by glyph, text takes most of the time of a page. Words stand on whole pixels, so that their picture is the
    same wherever they stand.
    """

    def draw_text(
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Text | None = None,
    ) -> None:
        """Write a line of text, its origin at ``x`` from the left and ``y`` from the top of the page, pixels."""
        if angle not in (0, 90):
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)  # type: ignore[no-untyped-call]
            return
        image, left, below = _written(s, prop.copy(), gc.get_rgb(), round(angle), dpi=self.dpi)
        self.draw_image(gc, round(x) - left, round(self.height) - round(y) - below, image)


@lru_cache(maxsize=1024)
@no_type_check  # matplotlib's renderers have no types
def _written(
    words: str, prop: FontProperties, colour: tuple[float, ...], angle: int, *, dpi: float
) -> tuple[NDArray[np.uint8], int, int]:
    """Write words on nothing; returns the picture, bottom row first, and the place of their origin in it, pixels."""
    measured = RendererAgg(1, 1, dpi).get_text_width_height_descent(words, prop, False)
    width, height, descent = (math.ceil(size) + _ROOM for size in measured)
    left, right, above, below = (_ROOM, width, height, descent) if angle == 0 else (height, descent, width, _ROOM)
    sheet = RendererAgg(left + right, above + below, dpi)
    pen = sheet.new_gc()
    pen.set_foreground(colour, isRGBA=True)
    sheet.draw_text(pen, left, above, words, prop, angle)
    return np.ascontiguousarray(np.asarray(sheet.buffer_rgba())[::-1]), left, below


# --- Arrays ----------------------------------------------------------------------------------------------------------


def column_extremes(
    time: FloatArray, values: FloatArray, edges: FloatArray, *, step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the lowest and highest value in each picture column, so that nothing short is lost.

    Parameters
    ----------
    time : ndarray, shape (B,)
        Ascending; each value stands for `step` seconds around its time.
    values : ndarray, shape (B,) or (B, N)
        NaN where unknown.
    edges : ndarray, shape (K + 1,)
        Column edges, seconds, ascending.
    step : float
        Seconds.

    Returns
    -------
    tuple of ndarray, shape (K,) or (K, N)
        Lowest, highest; NaN where a column meets no known value.

    Examples
    --------
    >>> low, high = column_extremes(np.arange(6) + 0.5, np.array([0, 1, 0, 0, 0.5, 0]), np.array([0.0, 3, 6]), step=1)
    >>> high.tolist()
    [1.0, 0.5]
    """
    low = _reduce(np.fmin, time, values, edges=edges, step=step, empty=np.nan)
    return low, column_highest(time, values, edges, step=step)


def column_highest(time: FloatArray, values: FloatArray, edges: FloatArray, *, step: float) -> NDArray[np.float64]:
    """Find the highest value in each picture column; parameters and missing values as in `column_extremes`."""
    return _reduce(np.fmax, time, values, edges=edges, step=step, empty=np.nan)


def column_means(time: FloatArray, values: FloatArray, edges: FloatArray, *, step: float) -> NDArray[np.float64]:
    """Average what is known in each picture column; parameters as in `column_extremes`, NaN where nothing is known."""
    finite = np.isfinite(values)
    total = _reduce(np.add, time, np.where(finite, values, 0.0), edges=edges, step=step, empty=0.0)
    known = _reduce(np.add, time, finite, edges=edges, step=step, empty=0.0)
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _reduce(
    rule: np.ufunc, time: FloatArray, values: NDArray[Any], *, edges: FloatArray, step: float, empty: float
) -> NDArray[np.float64]:
    """Apply `rule` to the values that reach into each column; touching is not reaching into."""
    half = step / 2 - 1e-6 * step
    first = np.searchsorted(time, edges[:-1] - half, side="left")
    last = np.maximum(first, np.searchsorted(time, edges[1:] + half, side="right"))
    padded = np.concatenate([values, np.full((1, *values.shape[1:]), empty, dtype=np.float32)])
    reduced = rule.reduceat(padded, np.stack([first, last], axis=1).ravel(), axis=0, dtype=float)[::2]
    nothing = (last <= first).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.where(nothing, empty, reduced), dtype=np.float64)


def head_order(nodes: Sequence[str]) -> Groups:
    """Group nodes as a page is read: left temporal, left parasagittal, midline, right parasagittal, right temporal.

    Parameters
    ----------
    nodes : sequence of str
        Derivations or electrodes.

    Returns
    -------
    tuple of (str, tuple of str)
        Group and its nodes. A montage of the project is given whole, also with nodes that are missing here; nodes of no
        group come last as ``Other``.

    Examples
    --------
    >>> head_order(["C4", "C3"])[2]
    ('Midline', ('FZ', 'CZ', 'PZ'))
    """
    column = 0 if any("-" in node for node in nodes) or not nodes else 1
    groups = tuple((name, tuple(members[column].split())) for name, members in _CHAINS.items())
    known = {node for _, members in groups for node in members}
    if nodes and known.isdisjoint(nodes):
        return (("", tuple(nodes)),)
    other = tuple(node for node in nodes if node not in known)
    return (*groups, ("Other", other)) if other else groups


def involvement(scores: Scores, event: Event) -> dict[str, float]:
    """Average each node's probability over an event.

    Parameters
    ----------
    scores : Scores
        Of the recording.
    event : Event
        Of the same recording.

    Returns
    -------
    dict of str to float
        0 to 1 by node; nodes that took no part are left out.
    """
    inside = (scores.time >= event.onset) & (scores.time < event.stop)
    if not inside.any() and len(scores.time):
        inside[np.argmin(np.abs(scores.time - event.onset - event.duration / 2))] = True
    values = scores.by_node[inside]
    known = np.isfinite(values)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return {name: float(mean[i]) for i, name in enumerate(scores.nodes) if known[:, i].any()}


# --- Text and time ---------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Replace what the font cannot draw, so that no name of a file can spoil a page."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(sign if sign == "\n" or font.get_char_index(ord(sign)) else "?" for sign in text)


def _elapsed(seconds: float, *, digits: int = 0) -> str:
    """Print h:mm:ss."""
    total = round(seconds, digits)
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:0{3 + digits if digits else 2}.{digits}f}"


def _span(seconds: float) -> str:
    """Print a length of time in at most two units."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _shorten(text: str, length: int) -> str:
    """Take out a text's middle: the end of a file's name tells most."""
    if len(text) <= length:
        return text
    return text[: math.ceil((length - 1) / 2)] + "…" + text[len(text) - (length - 1) // 2 :]


def _fit(text: Text, width: float) -> Text:
    """Shorten a text in its middle until it is at most `width` inches wide."""
    figure = text.get_figure(root=True)
    if figure is None:
        return text
    whole = text.get_text()
    keep = len(whole)
    while keep > 4 and text.get_window_extent().width > width * figure.dpi:
        keep -= max(1, keep // 20)
        text.set_text(_shorten(whole, keep))
    return text


def _page(size: tuple[float, float], title: str, footer: str) -> Figure:
    """Make a sheet with its title and, at the foot, what produced the numbers."""
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    _Canvas(figure)
    width, height = size
    left = 0.15
    _fit(
        figure.text(left / width, 1 - 0.14 / height, _plain(title), fontsize=FONT_TITLE, weight="bold", va="top"),
        width - 2 * left,
    )
    lines = textwrap.wrap(_plain(footer), int((width - 2 * left) / 0.052))
    if len(lines) > 3:
        lines = [*lines[:2], lines[2] + " …"]
    figure.text(left / width, 0.1 / height, "\n".join(lines), fontsize=FONT_SMALL, color=GREY, va="bottom")
    return figure


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes placed in inches, without ticks."""
    page_width, page_height = figure.get_size_inches()
    axes = figure.add_axes((left / page_width, bottom / page_height, width / page_width, height / page_height))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_zorder(7)  # the frame stays visible around hatching and images
    return axes


def _margin_label(axes: Axes, text: str, *, inches: float = 0.55) -> None:
    """Write a panel's name in the left margin, level with its middle."""
    axes.annotate(
        text,
        (0, 0.5),
        (-inches * 72, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=FONT_TEXT,
        weight="bold",
        annotation_clip=False,
        linespacing=1.25,
    )


def time_ticks(begin: float, end: float, *, start: datetime | None, most: int) -> tuple[list[float], list[str]]:
    r"""Choose round instants and their labels.

    Parameters
    ----------
    begin, end : float
        Shown stretch, seconds from the start of the recording.
    start : datetime or None
        Clock time of the recording's start: labels are clock times; None: elapsed h:mm:ss.
    most : int
        At most about this many.

    Returns
    -------
    tuple of list
        Seconds from the start of the recording, and labels; the first of a later day carries ``+1 day``.

    Examples
    --------
    >>> time_ticks(0, 7200, start=datetime(2020, 1, 1, 23, 30), most=3)
    ([1800.0, 5400.0], ['00:00\n+1 day', '01:00'])
    """
    days = math.ceil((end - begin) / most / _DAY) * _DAY
    step = next((step for step in _TICK_STEPS if (end - begin) / step <= most), days)
    offset = (
        0.0
        if start is None
        else (start - datetime.combine(start.date(), datetime.min.time(), start.tzinfo)) / (timedelta(seconds=1))
    )
    ticks, labels = [], []
    day_before = 0 if begin <= 0 else int((offset + begin) // _DAY)
    for index in range(math.ceil((offset + begin) / step - 1e-9), math.floor((offset + end) / step + 1e-9) + 1):
        instant = index * step
        day, second = divmod(instant, _DAY)
        label = _elapsed(instant)
        if start is not None:
            label = f"{second // 3600:02d}:{second // 60 % 60:02d}" + (f":{second % 60:02d}" if step < 60 else "")
            label += f"\n+{day} day{'s' if day > 1 else ''}" if day > day_before else ""
            day_before = day
        ticks.append(float(instant - offset))
        labels.append(label)
    return ticks, labels


# --- Overview --------------------------------------------------------------------------------------------------------

_LEFT, _WIDTH = 1.5, 9.2
_N_COLUMNS = round(_WIDTH * DPI / 2)  # two pixels each: a single second of 24 hours can be seen


@_style()
def plot_overview(
    scores: Scores,
    events: Events,
    rule: EventRule,
    *,
    trend: OverviewTrend,
    title: str,
    footer: str,
    repairs: Sequence[str] = (),
) -> Figure:
    """Draw a whole recording on one page.

    Parameters
    ----------
    scores : Scores
        What was computed; spans not scored are hatched.
    events : Events
        Detected events; ``events.start`` gives the clock.
    rule : EventRule
        That made the events.
    trend : OverviewTrend
        Amplitude and spectrum.
    title, footer : str
        One line above; weights, rule and fraction scored below.
    repairs : sequence of str
        What was mended in the file: one that was cut off must not look whole.

    Returns
    -------
    Figure
        A4 landscape: probability, numbered events, nodes in head order, spectrogram, amplitude.

    Notes
    -----
    Each column of pixels shows the highest probability in its stretch, so that a seizure of seconds stays visible in
    a day; spectrum and amplitude are averaged.
    """
    figure = _page(PAGE, title, footer)
    duration = max(scores.duration, 1e-3)
    edges = np.linspace(0.0, duration, _N_COLUMNS + 1)
    places = {
        "amplitude": (1.42, 0.72),
        "spectrum": (2.24, 1.0),
        "nodes": (3.34, 2.5),
        "events": (5.92, 0.36),
        "probability": (6.34, 0.92),
    }
    panels = {name: _axes(figure, _LEFT, bottom, _WIDTH, height) for name, (bottom, height) in places.items()}
    for axes in panels.values():
        axes.set_xlim(0, duration)
    _draw_summary(figure, scores, events)
    if repairs:
        words = _plain(f"Mended: {'; '.join(repairs)}")
        place = (0.15 / PAGE[0], 1 - 0.57 / PAGE[1])
        _fit(figure.text(*place, words, fontsize=FONT_SMALL, weight="bold", va="top", color=INK), PAGE[0] - 0.3)
    _draw_probability(panels["probability"], scores, rule, edges)
    _draw_events(panels["events"], events, scores)
    _draw_nodes(panels["nodes"], scores, rule, edges)
    _draw_spectrum(panels["spectrum"], trend, edges)
    _draw_amplitude(panels["amplitude"], trend, edges)
    _shade_events(panels["probability"], events, edges)
    unscored = _unscored_columns(scores, edges)
    for axes in panels.values():
        _hatch_columns(axes, [columns for _, columns in unscored.values()], edges)
    _draw_time(panels, duration, events.start)
    _draw_reasons(figure, scores, unscored)
    return figure


def _draw_summary(figure: Figure, scores: Scores, events: Events) -> None:
    total = sum(event.duration for event in events)
    found = f"{len(events)} event{'s' * (len(events) != 1)} detected" + (f", {_span(total)} in all" if total else "")
    start = "" if events.start is None else f"starts {events.start:%H:%M:%S} · "
    text = f"{start}lasts {_elapsed(scores.duration)} · {found if scores.n_scored else 'nothing was scored'}"
    figure.text(0.15 / PAGE[0], 1 - 0.42 / PAGE[1], text, fontsize=FONT_TEXT, va="top", color=INK)


def _draw_probability(axes: Axes, scores: Scores, rule: EventRule, edges: FloatArray) -> None:
    width = max(1, round(rule.smooth / scores.step))
    high = column_highest(scores.time, smooth_scores(scores.probability, width), edges, step=scores.step)
    column = float(edges[1] - edges[0])
    label = f"probability ({rule.smooth:g}-s mean" if width > 1 else "probability ("
    label += f"; highest in each {_span(column)})" if column > scores.step else ")"
    label = label.replace(" ()", "").replace("(; ", "(")
    if scores.interval is not None:
        band = column_highest(scores.time, smooth_scores(scores.interval, width), edges, step=scores.step)
        _steps(axes, band[:, 1], edges, baseline=band[:, 0], color=BLUE_PALE, label="5–95 % of masked passes")
    else:
        _steps(axes, high, edges, baseline=0.0, color=BLUE_PALE)
    _steps(axes, high, edges, color=BLUE, linewidth=1.0, label=label)
    axes.axhline(rule.threshold, color=INK, linewidth=0.9, linestyle="--", label=f"threshold {rule.threshold:.2g}")
    axes.axhline(rule.release, color=INK, linewidth=0.8, linestyle=":", label=f"release {rule.release:.2g}")
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_facecolor("white")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.17), ncols=4, borderaxespad=0, handlelength=2.2, columnspacing=1.6
    )
    _margin_label(axes, "Seizure\nprobability")


def _shade_events(axes: Axes, events: Events, edges: FloatArray) -> None:
    if len(events):
        bars = [_wide_enough(event, float(edges[1] - edges[0]), float(edges[-1])) for event in events]
        axes.broken_barh(
            bars, (0, 1), transform=axes.get_xaxis_transform(), facecolor=ORANGE_PALE, edgecolor="none", zorder=0.5
        )


def _wide_enough(event: Event, least: float, end: float) -> tuple[float, float]:
    """Left edge and width of an event's bar: at least `least` seconds wide and inside the recording."""
    width = min(max(event.duration, least), end)
    return min(max(0.0, event.onset + event.duration / 2 - width / 2), end - width), width


def _draw_events(axes: Axes, events: Events, scores: Scores) -> None:
    axes.set_ylim(0, 1)
    _margin_label(axes, "Events")
    end = axes.get_xlim()[1]
    pixel = end / (_WIDTH * DPI)
    if not len(events):
        text = "no events detected" if scores.n_scored else "not scored"
        _say(axes, text)
        return
    axes.broken_barh([_wide_enough(event, 3 * pixel, end) for event in events], (0, 0.42), facecolor=ORANGE, zorder=4)
    for centre, text in number_labels([event.onset + event.duration / 2 for event in events], pixel=pixel):
        place = min(max(centre, 5 * len(text) * pixel), end - 5 * len(text) * pixel)
        axes.text(place, 0.5, text, ha="center", va="bottom", fontsize=FONT_SMALL, weight="bold", zorder=6)


def number_labels(centres: Sequence[float], *, pixel: float) -> list[tuple[float, str]]:
    """Give events their numbers from 1, joining neighbours whose numbers would touch (``4–7``).

    Parameters
    ----------
    centres : sequence of float
        Ascending, seconds.
    pixel : float
        Seconds a pixel.

    Returns
    -------
    list of (float, str)
        Place and text.

    Examples
    --------
    >>> number_labels([10, 12, 900], pixel=1.0)
    [(11.0, '1–2'), (900.0, '3')]
    """
    groups = [[index] for index in range(len(centres))]

    def label(group: list[int]) -> tuple[float, str]:
        text = f"{group[0] + 1}" if len(group) == 1 else f"{group[0] + 1}–{group[-1] + 1}"
        return (centres[group[0]] + centres[group[-1]]) / 2, text

    touching = True
    while touching:
        touching = False
        for index in range(len(groups) - 1, 0, -1):
            (left, left_text), (right, right_text) = label(groups[index - 1]), label(groups[index])
            if right - left < (4.7 * (len(left_text) + len(right_text)) + 4) * pixel:
                groups[index - 1 : index + 1] = [groups[index - 1] + groups[index]]
                touching = True
    return [label(group) for group in groups]


def _draw_nodes(axes: Axes, scores: Scores, rule: EventRule, edges: FloatArray) -> None:
    """Heat map: one row a node in head order, with room between the groups."""
    width = max(1, round(rule.smooth / scores.step))
    high = column_highest(scores.time, smooth_scores(scores.by_node, width), edges, step=scores.step)
    rows = {name: high[:, i] for i, name in enumerate(scores.nodes)}
    absent = np.full(len(edges) - 1, np.nan)
    labels: list[str] = []
    places: list[float] = []
    y = 0.0
    for group, members in head_order(scores.nodes):
        image = np.array([rows.get(name, absent) for name in members])
        axes.imshow(
            image,
            extent=(edges[0], edges[-1], y + len(members), y),
            aspect="auto",
            interpolation="nearest",
            cmap=PROBABILITY_COLOURS,
            vmin=0,
            vmax=1,
            zorder=2,
        )
        axes.annotate(
            group.replace(" ", "\n"),
            (0, y + len(members) / 2),
            (-0.55 * 72, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=FONT_TEXT,
            weight="bold",
            annotation_clip=False,
        )
        labels += members
        places += [y + 0.5 + i for i in range(len(members))]
        y += len(members) + 0.45
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(y - 0.45, 0)
    axes.set_facecolor(PALE)
    axes.set_yticks(places, labels, fontsize=FONT_ROW)
    axes.tick_params(axis="y", length=0, pad=2)
    for tick, name in zip(axes.get_yticklabels(), labels, strict=True):
        if name not in rows or not np.isfinite(rows[name]).any():
            tick.set_color(DIM)
            axes.text(
                edges[-1] * 0.995,
                places[labels.index(name)],
                "not available",
                ha="right",
                va="center",
                fontsize=FONT_ROW,
                color=GREY,
                zorder=3,
            )
    _colour_bar(axes, PROBABILITY_COLOURS, (0.0, 1.0), "probability\nat node")


def _colour_bar(axes: Axes, colours: Colormap, limits: tuple[float, float], label: str) -> None:
    """Put a colour scale right of a panel, with its name above no other text."""
    box = axes.get_position()
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    height = min(box.height, 1.2 / PAGE[1])
    bar = figure.add_axes((box.x1 + 0.1 / PAGE[0], box.y0 + (box.height - height) / 2, 0.12 / PAGE[0], height))
    figure.colorbar(ScalarMappable(Normalize(*limits), colours), cax=bar)
    bar.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    bar.tick_params(length=2, pad=2)
    bar.annotate(
        label,
        (1, 0.5),
        (22, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        rotation=90,
        va="center",
        ha="left",
        fontsize=FONT_SMALL,
        annotation_clip=False,
    )


def _draw_spectrum(axes: Axes, trend: OverviewTrend, edges: FloatArray) -> None:
    _margin_label(axes, "Spectrum\n(Hz)")
    axes.set_facecolor(PALE)
    if len(trend.frequencies) < 2 or not np.isfinite(trend.spectrum).any():
        _say(axes, "no spectrum")
        return
    power = column_means(trend.time, trend.spectrum, edges, step=_trend_step(trend))
    low, high = np.nanpercentile(power, [2, 99.5])
    high = max(high, low + 1.0)
    half = (trend.frequencies[1] - trend.frequencies[0]) / 2
    bottom, top = float(trend.frequencies[0] - half), float(trend.frequencies[-1] + half)
    axes.imshow(
        power.T,
        extent=(edges[0], edges[-1], bottom, top),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=POWER_COLOURS,
        vmin=low,
        vmax=high,
        zorder=2,
    )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_yticks([tick for tick in (10, 20, 30, 40, 60, 80) if bottom <= tick <= top])
    _colour_bar(axes, POWER_COLOURS, (low, high), "power (dB)")


def _trend_step(trend: OverviewTrend) -> float:
    return float(np.median(np.diff(trend.time))) if len(trend.time) > 1 else 1.0


def _draw_amplitude(axes: Axes, trend: OverviewTrend, edges: FloatArray) -> None:
    _margin_label(axes, "Amplitude\n(µV RMS)")
    positive = np.where(trend.amplitude > 0, trend.amplitude, np.nan)
    known = positive[np.isfinite(positive)]
    axes.set_yscale("log")
    bottom, top = (
        (min(5.0, float(np.percentile(known, 1)) * 0.8), max(100.0, float(known.max()) * 1.2))
        if (known.size)
        else (5.0, 100.0)
    )
    axes.set_ylim(max(bottom, 0.1), top)
    steps = (1, 2, 5) if top / bottom < 40 else (1,)
    ticks = [step * 10.0**power for power in range(-1, 5) for step in steps if bottom <= step * 10.0**power <= top]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    if not known.size:
        _say(axes, "no amplitude")
        return
    step = _trend_step(trend)
    low, high = column_extremes(trend.time, positive, edges, step=step)
    _steps(axes, high, edges, baseline=low, color=FAINT)
    means = np.exp(column_means(trend.time, np.log(positive), edges, step=step))
    _steps(axes, means, edges, color=INK, linewidth=0.9)


def _steps(axes: Axes, values: FloatArray, edges: FloatArray, *, baseline: Any = None, **style: Any) -> None:
    """Draw a value a column as steps, filled down to a baseline where there is one.

    `Axes.stairs` would also measure them, step by step, for limits that are set already.
    """
    filled = baseline is not None
    style |= {"linewidth": 0} if filled else {}
    axes.add_artist(StepPatch(values, edges, baseline=baseline, fill=filled, **style))


def _say(axes: Axes, text: str) -> None:
    axes.text(
        0.5,
        0.5,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )


def _unscored_columns(scores: Scores, edges: FloatArray) -> dict[str, tuple[float, NDArray[np.bool_]]]:
    """Seconds and columns (K,) by reason: columns mostly inside spans that were not scored, or without any score."""
    seconds: dict[str, float] = {}
    covered: dict[str, NDArray[np.float64]] = {}
    for span in scores.unscored:
        seconds[span.reason] = seconds.get(span.reason, 0.0) + span.stop - span.start
        inside = np.diff(np.clip(edges, span.start, max(span.start, span.stop)))
        covered[span.reason] = covered.get(span.reason, 0.0) + inside
    ranked = sorted(seconds, key=lambda reason: -seconds[reason])
    if len(ranked) > _MAX_REASONS:
        rest = ranked[_MAX_REASONS - 1 :]
        seconds["other reasons"] = sum(seconds.pop(reason) for reason in rest)
        covered["other reasons"] = np.sum([covered.pop(reason) for reason in rest], axis=0)
    _, high = column_extremes(scores.time, scores.probability, edges, step=scores.step)
    width = np.diff(edges)
    amount = np.array([*covered.values(), np.zeros(len(width))])
    main, total = amount.argmax(axis=0), amount.sum(axis=0)
    hidden = (total > 0.5 * width) | ~np.isfinite(high)
    result = {reason: (seconds[reason], hidden & (main == i) & (total > 0)) for i, reason in enumerate(covered)}
    left = hidden & (total <= 0)
    if left.any():
        unexplained = (1 - scores.scored) * scores.duration - sum(seconds.values())
        result[_NO_SCORE] = (unexplained if unexplained > 0 else float(width[left].sum()), left)
    return result


def _hatch_columns(axes: Axes, masks: Sequence[NDArray[np.bool_]], edges: FloatArray) -> None:
    for mask, hatch in zip(masks, _hatches(), strict=False):
        borders = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
        bars = [(edges[a], edges[b] - edges[a]) for a, b in zip(borders[::2], borders[1::2], strict=True)]
        if bars:
            axes.broken_barh(
                bars,
                (0, 1),
                transform=axes.get_xaxis_transform(),
                facecolor=HIDDEN,
                edgecolor=DIM,
                hatch=hatch,
                linewidth=0,
                zorder=3,
            )


def _hatches() -> tuple[str, ...]:
    return (*HATCHES, "")


def _draw_reasons(figure: Figure, scores: Scores, unscored: Mapping[str, tuple[float, NDArray[np.bool_]]]) -> None:
    """Explain the hatching at the foot of the page."""
    figure.text(0.15 / PAGE[0], 0.86 / PAGE[1], "Not scored", weight="bold", va="top")
    if not unscored:
        figure.text(_LEFT / PAGE[0], 0.86 / PAGE[1], "none", fontsize=FONT_SMALL, va="top")
        return
    handles = []
    for (reason, (seconds, _)), hatch in zip(unscored.items(), _hatches(), strict=False):
        share = 100 * seconds / max(scores.duration, 1e-9)
        text = textwrap.shorten(_plain(reason), 52, placeholder=" …")
        handles.append(
            Patch(
                facecolor=HIDDEN,
                edgecolor=DIM,
                hatch=hatch,
                linewidth=0,
                label=f"{text} ({_span(seconds)}, {min(share, 100.0):.3g} %)",
            )
        )
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_LEFT / PAGE[0], 0.89 / PAGE[1]),
        borderaxespad=0,
        borderpad=0,
        ncols=2 if len(handles) < 5 else 3,
        handlelength=2.4,
        handleheight=1.1,
        labelspacing=0.35,
    )


def _draw_time(panels: Mapping[str, Axes], duration: float, start: datetime | None) -> None:
    """Clock below and elapsed time above; elapsed below when there is no clock."""
    bottom, top = panels["amplitude"], panels["probability"]
    ticks, labels = time_ticks(0.0, duration, start=start, most=12)
    for axes in panels.values():
        axes.tick_params(axis="x", length=0)
        for tick in ticks:
            axes.axvline(tick, color=FAINT, linewidth=0.4, zorder=0.6)
    bottom.set_xticks(ticks, labels)
    bottom.tick_params(axis="x", length=3)
    _time_name(bottom, "Elapsed" if start is None else "Clock time", y=0.0, points=-9)
    if start is not None:
        other = top.secondary_xaxis("top")
        other.set_xticks(*time_ticks(0.0, duration, start=None, most=12))
        other.tick_params(axis="x", length=3, labelsize=FONT_SMALL, pad=2)
        _time_name(top, "Elapsed", y=1.0, points=9)


def _time_name(axes: Axes, text: str, *, y: float, points: float) -> None:
    axes.annotate(
        text,
        (0, y),
        (-0.55 * 72, points),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=FONT_SMALL,
        weight="bold",
        annotation_clip=False,
    )


# --- Event page ------------------------------------------------------------------------------------------------------

_TRACE_LEFT, _TRACE_WIDTH, _TRACE_BOTTOM, _TRACE_HEIGHT = 0.82, 8.1, 0.84, 6.2
_SIDE_LEFT, _SIDE_WIDTH = 9.2, 2.35
_GROUP_GAP = 0.6
_CLIP_ROWS = 1.4
_N_COLOURED = 6


@_style()
def plot_event(
    traces: EventTraces,
    event: Event,
    number: int,
    *,
    scores: Scores,
    title: str,
    footer: str,
    rule: EventRule | None = None,
    start: datetime | None = None,
) -> Figure:
    """Draw the traces around an event's onset as a clinician pages them, and a head map of involvement.

    Parameters
    ----------
    traces : EventTraces
        Longitudinal bipolar derivations, some 10 s before to 20 s after the onset.
    event : Event
        The event.
    number : int
        As on the overview.
    scores : Scores
        Of the recording.
    title, footer : str
        One line above; weights, rule and fraction scored below.
    rule : EventRule, optional
        Smooths the probability and gives its threshold.
    start : datetime, optional
        Clock time of the recording's start.

    Returns
    -------
    Figure
        A4 landscape.

    Notes
    -----
    Each trace is centred on its median and drawn with negative up. The sensitivity is the finest usual step at which
    95 % of the samples stay within 0.7 rows on the page and 1.25 rows in the event. For many pages of one recording
    `EventSheet` does the same faster.
    """
    sheet = EventSheet(traces.names, scores, title=title, footer=footer, rule=rule, start=start)
    return sheet.draw(traces, event, number)


class EventSheet:
    """A sheet for the event pages of one recording, drawn on again and again: what all pages share is made once.

    Parameters
    ----------
    names : sequence of str
        Derivations on the pages.
    scores, title, footer, rule, start
        As in `plot_event`.
    """

    @_style()
    def __init__(
        self,
        names: Sequence[str],
        scores: Scores,
        *,
        title: str,
        footer: str,
        rule: EventRule | None = None,
        start: datetime | None = None,
    ) -> None:
        self.scores, self.rule, self.start = scores, rule, start
        self.figure = figure = _page(PAGE, title, footer)
        self.strip = _axes(figure, _TRACE_LEFT, _TRACE_BOTTOM + _TRACE_HEIGHT + 0.08, _TRACE_WIDTH, 0.5)
        self.panel = _axes(figure, _TRACE_LEFT, _TRACE_BOTTOM, _TRACE_WIDTH, _TRACE_HEIGHT)
        self.head = _axes(figure, _SIDE_LEFT, 4.95, _SIDE_WIDTH, 2.55)
        self.rows = _trace_rows(names)
        _name_rows(self.panel, self.rows)
        _frame_strip(self.strip, rule)
        _name_time(self.panel, start)
        self.above = self.strip.secondary_xaxis("top")
        self.above.tick_params(axis="x", length=3, pad=2, labelsize=FONT_SMALL)
        _draw_empty_head(self.head)
        self.shared = {artist: artist.get_children() for artist in (figure, self.strip, self.panel, self.head)}

    @_style()
    def draw(self, traces: EventTraces, event: Event, number: int) -> Figure:
        """Draw one event's page in place of the page before; returns the sheet's only figure."""
        for place, shared in self.shared.items():
            for artist in set(place.get_children()).difference(shared):
                artist.remove()
        page = _page_limits(traces, event)
        shares = involvement(self.scores, event)
        coloured = most_involved(traces.names, event, shares)
        for axes in (self.strip, self.panel):
            axes.set_xlim(*page)
            _mark_event(axes, event, page)
        _draw_strip(self.strip, self.scores, self.rule, page)
        scale = _draw_traces(self.panel, self.rows, traces, event, coloured)
        _draw_grid(self.panel, self.strip, page, self.start)
        _count_from_onset(self.above, event.onset, page)
        _draw_scale_bar(self.panel, scale)
        _fill_head(self.head, self.scores.nodes, shares)
        facts = _facts(event, number, self.start, scale=scale, end=page[1]) | {"Signals": traces.filters}
        facts |= {"Blue, bold": "most involved derivations"} if coloured else {}
        hidden = [span.reason for span in self.scores.unscored if span.stop > page[0] and span.start < page[1]]
        facts |= {"Hatched: not scored": ", ".join(dict.fromkeys(hidden))} if hidden else {}
        _draw_facts(self.figure, facts)
        return self.figure


@dataclass(frozen=True)
class _Scale:
    """How µV became millimetres."""

    sensitivity: float  # µV/mm
    row: float  # µV between neighbouring rows
    clipped: bool


def _page_limits(traces: EventTraces, event: Event) -> tuple[float, float]:
    if len(traces.time) < 2:
        return event.onset - 10, event.onset + 20
    return float(traces.time[0]), float(traces.time[-1]) + 1 / traces.sfreq


def most_involved(names: Sequence[str], event: Event, shares: Mapping[str, float]) -> tuple[str, ...]:
    """Choose the traces to colour: those of the event's channels, strongest first, six at most.

    Parameters
    ----------
    names : sequence of str
        Derivations on the page.
    event : Event
        Its ``channels`` may be nodes of another kind: an electrode involves the derivations that touch it.
    shares : mapping of str to float
        From `involvement`.

    Returns
    -------
    tuple of str
    """

    def touches(name: str, node: str) -> bool:
        return name == node or ("-" not in node and node in name.split("-"))

    share = {name: max((v for node, v in shares.items() if touches(name, node)), default=-1.0) for name in names}
    everywhere = not event.channels or "all" in event.channels
    wanted = [n for n in names if everywhere or any(touches(n, node) for node in event.channels)]
    known = [name for name in wanted if share[name] >= 0 or not everywhere]
    return tuple(sorted(known, key=lambda name: -share[name])[:_N_COLOURED])


def sensitivity(data: FloatArray, room: float) -> float:
    """Choose the finest usual sensitivity at which 95 % of all samples stay within a room.

    Parameters
    ----------
    data : ndarray, shape (C, n)
        µV, centred; NaN in gaps.
    room : float
        Millimetres above and below the middle.

    Returns
    -------
    float
        µV/mm; 7 when nothing is known.

    Examples
    --------
    >>> sensitivity(np.full((2, 100), 60.0), 7.0)
    10.0
    """
    known = np.abs(data[np.isfinite(data)])
    wanted = float(np.percentile(known, 95)) / room if known.size else 7.0
    return float(next((step for step in _SENSITIVITIES if step >= wanted), _SENSITIVITIES[-1]))


def _centre(data: FloatArray) -> NDArray[np.float64]:
    """Take each trace's median away; a trace without samples stays empty."""
    centred = np.array(data, dtype=float)
    for i, known in enumerate(np.isfinite(centred)):
        if known.any():
            centred[i] -= np.median(centred[i, known])
    return centred


def _trace_rows(names: Sequence[str]) -> dict[str, float]:
    """Place each derivation, counted in rows down the page, with gaps between the chains."""
    rows: dict[str, float] = {}
    y = 0.0
    for _, members in head_order(names):
        rows |= {name: y + i for i, name in enumerate(members)}
        y += len(members) + _GROUP_GAP
    return rows


def _trace_scale(data: FloatArray, inside: NDArray[np.bool_], row_mm: float) -> _Scale:
    """Give the page 0.7 rows for what goes on, the event 1.25: it may reach into its neighbours."""
    step = max(sensitivity(data, 0.7 * row_mm), sensitivity(data[:, inside], 1.25 * row_mm) if inside.any() else 0.0)
    known = np.abs(data[np.isfinite(data)])
    return _Scale(step, step * row_mm, bool(known.size and known.max() > _CLIP_ROWS * step * row_mm))


def _name_rows(axes: Axes, rows: Mapping[str, float]) -> None:
    axes.set_ylim(max(rows.values(), default=0.0) + _CLIP_ROWS, -_CLIP_ROWS)  # grows down the page: negative is up
    axes.set_yticks(list(rows.values()), list(rows))
    axes.tick_params(axis="y", length=0, pad=3, labelsize=FONT_SMALL)


def _mark_event(axes: Axes, event: Event, page: tuple[float, float]) -> None:
    begin, end = max(event.onset, page[0]), min(event.stop, page[1])
    upright = axes.get_xaxis_transform()
    axes.add_artist(
        Rectangle((begin, 0), end - begin, 1, transform=upright, facecolor=ORANGE_PALE, linewidth=0, zorder=0.4)
    )
    _upright_lines(axes, [event.onset], color=ORANGE, linewidth=1.3, zorder=2.5)
    if event.stop < page[1]:
        _upright_lines(axes, [event.stop], color=ORANGE, linewidth=0.9, linestyle="--", zorder=2.5)


def _upright_lines(axes: Axes, places: Sequence[float], **style: Any) -> None:
    """Draw lines from the bottom of a panel to its top; as one artist, which is much faster than one a line."""
    lines = [((place, 0.0), (place, 1.0)) for place in places]
    axes.add_artist(LineCollection(lines, transform=axes.get_xaxis_transform(), **style))


def _draw_traces(
    axes: Axes, rows: Mapping[str, float], traces: EventTraces, event: Event, coloured: Sequence[str]
) -> _Scale:
    bottom, top = axes.get_ylim()
    data = _centre(traces.data)
    inside = (traces.time >= event.onset) & (traces.time < event.stop)
    scale = _trace_scale(data, inside, _TRACE_HEIGHT * 25.4 / (bottom - top))
    limit = _CLIP_ROWS * scale.row
    index = {name: i for i, name in enumerate(traces.names)}
    for name, place in rows.items():
        if name not in index or not np.isfinite(data[index[name]]).any():
            axes.text(
                0.01,
                place,
                "not available",
                transform=axes.get_yaxis_transform(),
                color=GREY,
                va="center",
                fontsize=FONT_ROW,
            )
            continue
        time, values = _thin(traces.time, data[index[name]])
        hot = name in coloured
        axes.add_artist(
            Line2D(
                time,
                place + np.clip(values, -limit, limit) / scale.row,
                color=BLUE if hot else INK,
                linewidth=0.95 if hot else 0.55,
                zorder=4 if hot else 3,
            )
        )
    _hatch_gaps(axes, traces)
    for tick, name in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(color=BLUE if name in coloured else INK, weight="bold" if name in coloured else "normal")
    return scale


def _thin(time: FloatArray, values: NDArray[np.float64]) -> tuple[FloatArray, NDArray[np.float64]]:
    """Keep the extremes of each half pixel of a long trace."""
    n_columns = round(_TRACE_WIDTH * DPI * 2)
    if len(time) <= 4 * n_columns:
        return time, values
    edges = np.linspace(time[0], time[-1], n_columns + 1)
    low, high = column_extremes(time, values, edges, step=0.0)
    return np.repeat((edges[:-1] + edges[1:]) / 2, 2), np.stack([low, high], axis=1).ravel()


def _hatch_gaps(axes: Axes, traces: EventTraces) -> None:
    missing = np.asarray(~np.isfinite(traces.data).any(axis=0))
    if len(traces.data) and missing.any():
        half = 0.5 / traces.sfreq
        edges = np.append(traces.time - half, traces.time[-1] + half)
        _hatch_columns(axes, [missing], edges)


def _frame_strip(axes: Axes, rule: EventRule | None) -> None:
    if rule is not None:
        axes.axhline(rule.threshold, color=INK, linewidth=0.8, linestyle="--", zorder=3)
        axes.annotate(
            f"threshold {rule.threshold:.2g}",
            (1, rule.threshold),
            (3, 0),
            textcoords="offset points",
            xycoords="axes fraction",
            va="center",
            fontsize=FONT_ROW,
            annotation_clip=False,
        )
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 1], ["0", "1"])
    axes.annotate(
        "Seizure\nprobability",
        (0, 0.5),
        (-14, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=FONT_SMALL,
        annotation_clip=False,
    )


def _draw_strip(axes: Axes, scores: Scores, rule: EventRule | None, page: tuple[float, float]) -> None:
    """Draw the probability above the traces."""
    width = max(1, round((rule or EventRule(smooth=0.0)).smooth / scores.step))
    edges = np.linspace(*page, round(_TRACE_WIDTH * DPI / 2) + 1)
    near = slice(*np.searchsorted(scores.time, [page[0] - width * scores.step, page[1] + width * scores.step]))
    high = column_highest(scores.time[near], smooth_scores(scores.probability[near], width), edges, step=scores.step)
    inside = (edges[:-1] >= 0) & (edges[1:] <= scores.duration + scores.step)
    _hatch_columns(axes, [~np.isfinite(high) & inside], edges)
    steps = Line2D(np.repeat(edges, 2)[1:-1], np.repeat(high, 2), color=BLUE, linewidth=1.1, zorder=4)
    axes.add_artist(steps)


def _name_time(panel: Axes, start: datetime | None) -> None:
    panel.tick_params(axis="x", length=3)
    panel.annotate(
        "Clock" if start is not None else "Elapsed",
        (0, 0),
        ((0.15 - _TRACE_LEFT) * 72, -9),
        xycoords="axes fraction",
        textcoords="offset points",
        va="center",
        fontsize=FONT_SMALL,
        weight="bold",
        annotation_clip=False,
    )


def _draw_grid(panel: Axes, strip: Axes, page: tuple[float, float], start: datetime | None) -> None:
    """Draw a line each second, heavier each 10 s; clock or elapsed time below."""
    n_seconds = math.ceil(page[1] - page[0])
    for most, width in ((min(n_seconds, 120), 0.3), (max(1, n_seconds // 10), 0.9)):
        ticks, _ = time_ticks(*page, start=start, most=most)
        for axes in (panel, strip):
            _upright_lines(axes, ticks, color=FAINT, linewidth=width, zorder=0.6)
    panel.set_xticks(*time_ticks(*page, start=start, most=9))


def _count_from_onset(above: SecondaryAxis, onset: float, page: tuple[float, float]) -> None:
    """Count seconds from the onset above the page."""
    ticks, _ = time_ticks(page[0] - onset, page[1] - onset, start=None, most=9)
    names = ["onset" if tick == 0 else f"{tick:+.0f} s".replace("-", "−") for tick in ticks]
    above.set_xticks([onset + tick for tick in ticks], names)


def _draw_scale_bar(axes: Axes, scale: _Scale) -> None:
    """Draw an upright bar right of the traces, one to two rows long."""
    size = next((bar for bar in _SCALE_BARS if bar >= 0.8 * scale.row), _SCALE_BARS[-1])
    low = axes.get_ylim()[0] - 0.6
    x = 1.012
    axes.add_artist(
        Line2D(
            [x, x],
            [low, low - size / scale.row],
            transform=axes.get_yaxis_transform(),
            color=INK,
            linewidth=2.2,
            clip_on=False,
            solid_capstyle="butt",
        )
    )
    axes.annotate(
        f"{size} µV",
        (x, low - size / scale.row / 2),
        (4, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        rotation=90,
        va="center",
        ha="left",
        annotation_clip=False,
    )


def _facts(event: Event, number: int, start: datetime | None, *, scale: _Scale, end: float) -> dict[str, str]:
    """Describe the event and the page in words."""
    clock = "" if start is None else f"{start + timedelta(seconds=event.onset):%H:%M:%S}, "
    confidence = "unknown" if math.isnan(event.confidence) else f"{event.confidence:.2f}"
    channels = ", ".join(event.channels) or "unknown"
    clipped = f", clipped at ±{_CLIP_ROWS * scale.row:.3g} µV" if scale.clipped else ""
    return {
        f"Event {number}": f"{event.label}, confidence {confidence}",
        "Onset": f"{clock}{_elapsed(event.onset, digits=1)} after the start",
        "Duration": f"{event.duration:.1f} s" + (", longer than this page" if event.stop > end else ""),
        "Involved": "all nodes" if channels == "all" else channels,
        "Sensitivity": f"{scale.sensitivity:g} µV/mm on A4, negative up{clipped}",
    }


def _draw_facts(figure: Figure, facts: Mapping[str, str]) -> None:
    """Name and value, one under the other, in the side column."""
    y = 4.75
    for name, value in facts.items():
        wrapped = textwrap.wrap(_plain(value), 36, max_lines=3 if name == "Involved" else 2, placeholder=" …") or [""]
        figure.text(_SIDE_LEFT / PAGE[0], y / PAGE[1], name, weight="bold", va="top")
        figure.text(_SIDE_LEFT / PAGE[0], (y - 0.15) / PAGE[1], "\n".join(wrapped), va="top", linespacing=1.2)
        y -= 0.25 + 0.14 * len(wrapped)


# --- Head map --------------------------------------------------------------------------------------------------------

_HEAD_RADIUS, _DISC = 1.2, 0.135


def project(name: str) -> tuple[float, float]:
    """Place an electrode on the flat head: azimuthal equidistant from the vertex, the circle of FP1 and O1 at radius 1.

    Parameters
    ----------
    name : str
        Electrode.

    Returns
    -------
    tuple of float
        x (right), y (front).

    Examples
    --------
    >>> tuple(round(value, 3) for value in project("T4"))
    (1.0, 0.0)
    """
    x, y, z = electrode_position(name)
    radius = math.acos(max(-1.0, min(1.0, z))) / (math.pi / 2)
    length = math.hypot(x, y)
    return (0.0, 0.0) if length < 1e-9 else (x / length * radius, y / length * radius)


def _draw_empty_head(axes: Axes) -> None:
    """Outline, names of the electrodes and scale: what every head shares."""
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.62, 1.48), aspect="equal", anchor="N")
    axes.axis("off")
    _draw_outline(axes)
    axes.text(0, 1.48, "Involvement in the event", ha="center", va="bottom", weight="bold")
    _draw_head_scale(axes)


def _fill_head(axes: Axes, nodes: Sequence[str], shares: Mapping[str, float]) -> None:
    """Involvement on the head: discs for electrodes, bars between them for derivations."""
    derivations = [node for node in head_nodes(nodes) if "-" in node]
    ends = {node: [project(name) for name in node.split("-")] for node in derivations}
    unknown = [ends[node] for node in derivations if node not in shares]
    known = sorted((node for node in derivations if node in shares), key=lambda node: shares[node])
    axes.add_artist(LineCollection(unknown, color=FAINT, linewidth=0.8, linestyle=":", zorder=2))
    bars = [ends[node] for node in known for _ in range(2)]  # the ink around a bar, then the bar, weakest first
    widths = [edge + 6 * shares[node] for node in known for edge in (3.6, 2.6)]
    colours = [colour for node in known for colour in (to_rgba(INK), PROBABILITY_COLOURS(shares[node]))]
    axes.add_artist(LineCollection(bars, colors=colours, linewidths=widths, capstyle="butt", zorder=2.5))
    fills = {name: PROBABILITY_COLOURS(shares[name]) if name in shares else to_rgba("white") for name in ELECTRODES_19}
    ghosts = [name not in shares and not derivations for name in ELECTRODES_19]
    axes.add_artist(
        EllipseCollection(
            2 * _DISC,
            2 * _DISC,
            0,
            units="xy",
            offsets=[project(name) for name in ELECTRODES_19],
            offset_transform=axes.transData,
            facecolors=list(fills.values()),
            linewidths=0.7,
            zorder=5,
            edgecolors=[FAINT if ghost else INK for ghost in ghosts],
            linestyles=[":" if ghost else "-" for ghost in ghosts],
        )
    )
    for name, ghost in zip(ELECTRODES_19, ghosts, strict=True):
        axes.text(
            *project(name),
            name,
            ha="center",
            va="center_baseline",
            fontsize=5.9,
            zorder=6,
            color=GREY if ghost else _readable(fills[name]),
        )


def head_nodes(nodes: Sequence[str]) -> tuple[str, ...]:
    """Nodes that the head map can place, completed to the whole montage so that missing ones show."""
    whole = DOUBLE_BANANA if any("-" in node for node in nodes) else ELECTRODES_19
    places = set(ELECTRODES_19)
    extra = [node for node in nodes if node not in whole and set(node.split("-")) <= places]
    return (*whole, *extra)


def _readable(fill: Any) -> str:
    """Black or white, whichever stands out from a fill."""
    red, green, blue = (value**2.2 for value in to_rgb(fill))
    return "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.2 else INK


def _draw_outline(axes: Axes) -> None:
    line: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "linewidth": 1.1}
    r = _HEAD_RADIUS
    axes.add_patch(Polygon([(-0.14, r - 0.02), (0, r + 0.17), (0.14, r - 0.02)], closed=True, zorder=0.5, **line))
    for side in (-1, 1):
        ear = np.array(
            [(1.0, 0.22), (1.12, 0.30), (1.15, 0.10), (1.12, 0.0), (1.13, -0.2), (1.06, -0.28), (1.0, -0.22)]
        )
        codes = [Outline.MOVETO, *[Outline.CURVE4] * 6]
        points = np.column_stack([side * ear[:, 0] * r, ear[:, 1]])
        axes.add_patch(PathPatch(Outline(points, codes), zorder=0.5, **line))
    axes.add_patch(Circle((0, 0), r, zorder=0.6, **line))


def _draw_head_scale(axes: Axes) -> None:
    """Draw a flat scale of probability under the head, labelled at its ends."""
    axes.imshow(
        np.linspace(0, 1, 64)[None], extent=(-0.6, 0.6, -1.5, -1.4), cmap=PROBABILITY_COLOURS, aspect="equal", zorder=1
    )
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.62, 1.48))
    for x, text, side in ((-0.66, "0", "right"), (0.66, "1", "left")):
        axes.text(x, -1.45, text, ha=side, va="center", fontsize=FONT_SMALL)
    axes.text(0, -1.56, "mean probability at the node", ha="center", va="top", fontsize=FONT_SMALL)


# --- Training and evaluation -----------------------------------------------------------------------------------------


def _small_axes(figure: Figure, x_label: str, y_label: str) -> Axes:
    axes = figure.add_axes((0.115, 0.2, 0.845, 0.66))
    axes.set(xlabel=x_label, ylabel=y_label)
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


@_style()
def plot_curves(
    step: FloatArray, curves: Mapping[str, FloatArray], *, quantity: str, title: str, footer: str
) -> Figure:
    """Draw a training log: one quantity (loss, AUROC) by step.

    Parameters
    ----------
    step : ndarray, shape (S,)
        Training steps.
    curves : mapping of str to ndarray, shape (S,)
        By name; NaN where not measured.
    quantity : str
        Name of the y axis.
    title, footer : str
        Above and below.

    Returns
    -------
    Figure
    """
    figure = _page(SMALL_PAGE, title, footer)
    axes = _small_axes(figure, "training step", quantity)
    for i, (name, values) in enumerate(curves.items()):
        known = np.isfinite(values)
        axes.plot(
            np.asarray(step)[known],
            np.asarray(values)[known],
            color=SERIES[i % 5],
            linestyle=DASHES[i % 5],
            linewidth=1.4,
            marker="o" if known.sum() < 30 else None,
            markersize=3,
            label=_plain(name),
        )
    if curves:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=min(4, len(curves)), handlelength=3)
    return figure


@_style()
def plot_operating_curve(
    false_alarms_per_day: FloatArray,
    sensitivity: FloatArray,
    *,
    chosen: tuple[float, float] | None = None,
    title: str,
    footer: str,
) -> Figure:
    """Draw sensitivity against false alarms a day as the threshold moves.

    Parameters
    ----------
    false_alarms_per_day, sensitivity : ndarray, shape (K,)
        One point a threshold; sensitivity 0 to 1.
    chosen : tuple of float, optional
        The point of the threshold in use.
    title, footer : str
        Above and below.

    Returns
    -------
    Figure
        Logarithmic above one false alarm a day, linear below, so that zero has a place.
    """
    figure = _page(SMALL_PAGE, title, footer)
    axes = _small_axes(figure, "false alarms per day", "sensitivity (seizures found)")
    known = np.isfinite(false_alarms_per_day) & np.isfinite(sensitivity)
    x, y = np.asarray(false_alarms_per_day)[known], np.asarray(sensitivity)[known]
    order = np.lexsort((y, x))
    axes.plot(x[order], y[order], color=BLUE, linewidth=1.5, marker="o", markersize=3)
    axes.set_xscale("symlog", linthresh=1.0)
    top = max(2.0, float(x.max()) * 1.3 if x.size else 2.0, 0.0 if chosen is None else chosen[0] * 1.3)
    ticks = [tick for tick in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if tick <= top]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlim=(-0.1, top), ylim=(-0.03, 1.03))
    axes.set_yticks(np.arange(0, 1.01, 0.2), [f"{tick:.0f} %" for tick in np.arange(0, 101, 20)])
    if chosen is not None and np.isfinite(chosen).all():
        axes.plot(
            *chosen,
            marker="D",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=ORANGE,
            markeredgewidth=1.8,
            linestyle="",
            label=f"threshold in use: {100 * chosen[1]:.0f} %, {chosen[0]:.1f} per day",
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


@_style()
def plot_reliability(
    predicted: FloatArray, observed: FloatArray, counts: NDArray[np.integer[Any]], *, title: str, footer: str
) -> Figure:
    """Draw how often what was given probability p was a seizure.

    Parameters
    ----------
    predicted, observed : ndarray, shape (K,)
        Mean probability and fraction of seizure in each bin; NaN in empty bins.
    counts : ndarray of int, shape (K,)
        Scores in each bin.
    title, footer : str
        Above and below.

    Returns
    -------
    Figure
    """
    figure = _page((5.6, 6.2), title, footer)
    axes = figure.add_axes((0.15, 0.36, 0.8, 0.53))
    below = figure.add_axes((0.15, 0.17, 0.8, 0.13))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle="--", label="perfect")
    known = np.isfinite(predicted) & np.isfinite(observed)
    axes.plot(
        np.asarray(predicted)[known],
        np.asarray(observed)[known],
        color=BLUE,
        marker="o",
        markersize=5,
        linewidth=1.4,
        label="measured",
    )
    axes.legend(loc="upper left")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed fraction of seizure")
    edges = np.linspace(0, 1, len(counts) + 1)
    below.bar((edges[:-1] + edges[1:]) / 2, counts, width=0.9 / max(1, len(counts)), color=FAINT, edgecolor=GREY)
    below.set_yscale("log")
    below.set(
        xlim=(-0.02, 1.02),
        ylim=(0.5, 10 ** math.ceil(math.log10(max(2, int(np.max(counts, initial=1))))) * 2),
        xlabel="probability",
        ylabel="scores",
    )
    top = math.ceil(math.log10(max(2, int(np.max(counts, initial=1)))))
    ticks = sorted({1, 10 ** ((top + 1) // 2), 10**top})
    below.set_yticks(ticks, [f"{tick:,}".replace(",", " ") for tick in ticks])
    below.set_yticks([], minor=True)
    for panel in (axes, below):
        panel.grid(color=PALE, linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    return figure


@_style()
def plot_strips(strips: Sequence[Strip], *, title: str, footer: str) -> Figure:
    """Draw expert above detected events, one row a recording.

    Parameters
    ----------
    strips : sequence of Strip
        Rows, top to bottom; some 60 stay legible.
    title, footer : str
        Above and below.

    Returns
    -------
    Figure
        As high as its rows need.
    """
    row, left = 0.26, 1.9
    height = max(2.6, 1.75 + row * len(strips))
    figure = _page((PAGE[0], height), title, footer)
    axes = _axes(figure, left, 0.95, PAGE[0] - left - 0.3, height - 1.75)
    longest = max((strip.expert.duration for strip in strips), default=1.0)
    least = 3 * longest / ((PAGE[0] - left - 0.3) * DPI)
    axes.set(xlim=(0, longest), ylim=(max(1, len(strips)) - 0.5, -0.5))
    for y, strip in enumerate(strips):
        axes.broken_barh([(0, strip.expert.duration)], (y - 0.4, 0.8), facecolor=PALE, zorder=1)
        spans = [(span.start, span.stop - span.start) for span in strip.unscored]
        axes.broken_barh(
            spans, (y - 0.4, 0.8), facecolor=HIDDEN, edgecolor=DIM, hatch=HATCHES[0], linewidth=0, zorder=2
        )
        for events, top, colour in ((strip.expert, y - 0.4, INK), (strip.detected, y + 0.02, ORANGE)):
            axes.broken_barh(
                [_wide_enough(event, least, strip.expert.duration) for event in events],
                (top, 0.38),
                facecolor=colour,
                zorder=3,
            )
    axes.set_yticks(range(len(strips)), [_shorten(_plain(strip.name), 29) for strip in strips])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks(*time_ticks(0.0, longest, start=None, most=10))
    axes.set_xlabel("elapsed (h:mm:ss)")
    keys = [
        Patch(facecolor=INK, label="expert"),
        Patch(facecolor=ORANGE, label="detected"),
        Patch(facecolor=HIDDEN, edgecolor=DIM, hatch=HATCHES[0], linewidth=0, label="not scored"),
    ]
    axes.legend(handles=keys, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3)
    return figure
