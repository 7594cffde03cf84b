"""Paper, fonts, colours and words that all pictures share. Sizes are in inches and points."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from anyascii import anyascii
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from restcli.output.plots.raster import Canvas
from restcli.text import elapsed

PAGE = (11.69, 8.27)  # A4 landscape: µV/mm are true when printed at full size
DPI = 140
FONT_TITLE, FONT_TEXT, FONT_SMALL, FONT_ROW = 12.0, 8.0, 7.0, 6.6
INK, GREY, DIM, FAINT, PALE = "#1a1a1a", "#5a5a5a", "#8a8a8a", "#b5b5b5", "#f0f0f0"
BLUE, BLUE_PALE, ORANGE, ORANGE_PALE = "#0a4fa3", "#b9d3f0", "#c44a00", "#ffefd9"
SERIES = (BLUE, ORANGE, "#00795c", "#8a4b8f", INK)  # dark enough for white paper, apart for the colour-blind
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
LINE: dict[str, Any] = {"linewidth": 1.4, "markersize": 4}
UNSCORED: dict[str, Any] = {"facecolor": "#e4e4e4", "edgecolor": DIM, "linewidth": 0}  # beside one of the hatchings
HATCHES = ("////", "\\\\\\\\", "xxxx", "....", "")
# Background stays pale, also where a column shows the highest of many seconds.
_STEPS = np.linspace(0.0, 1.0, 256)
_STRENGTH = np.minimum(1.0, 0.2 + 1.6 * _STEPS)[:, None]
PROBABILITY_COLOURS = ListedColormap(1 - (1 - mpl.colormaps["magma_r"](0.88 * _STEPS**2.2)) * _STRENGTH, "involvement")
POWER_COLOURS = mpl.colormaps["cividis"]
_FAMILY = "DejaVu Sans"
_RC: Any = {
    "font.family": _FAMILY,
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
    "image.aspect": "auto",
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,
    "legend.fontsize": FONT_SMALL,
    "legend.frameon": False,
    "savefig.dpi": "figure",
    "savefig.bbox": None,
}
LEFT = 0.15  # inches, where texts begin
# Seconds between ticks; longer recordings get whole days.
_TICK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400)
_DAY = 86400


@contextmanager
def styled() -> Iterator[None]:
    """Draw the same whatever the user's matplotlib settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def make_page(size: tuple[float, float], title: str, footer: str) -> Figure:
    """Make a sheet with its title and, at the foot, what produced the numbers."""
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    Canvas(figure)
    width = size[0] - 2 * LEFT
    title, families = _title_and_fonts(title)
    look: dict[str, Any] = {"fontsize": FONT_TITLE, "weight": "bold", "family": families}
    _fit(write(figure, LEFT, size[1] - 0.14, title, **look), width * DPI)
    words = wrap(footer, int(width / 0.052), most=3)
    write(figure, LEFT, 0.1, words, fontsize=FONT_SMALL, color=GREY, va="bottom")
    return figure


def write(figure: Figure, x: float, y: float, words: str, *, va: str = "top", **look: Any) -> Text:
    """Write on a page, `x` inches from its left and `y` from its bottom edge."""
    width, height = figure.get_size_inches()
    return figure.text(x / width, y / height, words, va=va, **look)


def add_panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Add axes placed in inches, without ticks."""
    page_width, page_height = figure.get_size_inches()
    axes = figure.add_axes((left / page_width, bottom / page_height, width / page_width, height / page_height))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_zorder(7)  # the frame stays visible around hatching and images
    return axes


def clear(place: Axes | Figure, shared: Sequence[Artist]) -> None:
    """Remove everything except what all pages share."""
    for artist in set(place.get_children()).difference(shared):
        artist.remove()


def beside(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    offset: tuple[float, float],
    *,
    xycoords: Any = "axes fraction",
    **look: Any,
) -> None:
    """Write outside a panel: `at` in fractions of the panel unless `xycoords` is given, `offset` in points."""
    outside: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
    axes.annotate(text, at, offset, xycoords=xycoords, **outside, **look)


def margin_label(axes: Axes, text: str, *, at: tuple[float, float] = (0, 0.5), **look: Any) -> None:
    """Write a name in the left margin, usually level with the panel's middle."""
    look = {"ha": "right", "fontsize": FONT_TEXT, "weight": "bold", "linespacing": 1.25} | look
    beside(axes, text, at, (-0.55 * 72, 0.0), **look)


def say(axes: Axes, text: str) -> None:
    """Write in the middle of an empty panel why it is empty."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", zorder=6, bbox=box)


def printable(text: str) -> str:
    """Transliterate what the font cannot draw, so that no file name can spoil a page.

    >>> printable("脳波 Ünïcode")
    'NaoBo Ünïcode'
    """
    font = get_font(findfont(_FAMILY))
    whole = unicodedata.normalize("NFC", text)
    drawn = (c == "\n" or (font.get_char_index(ord(c)) and not _needs_shaping(c)) for c in whole)
    return "".join(c if plain else anyascii(c) for c, plain in zip(whole, drawn, strict=True))


def _needs_shaping(sign: str) -> bool:
    """Return whether a sign is written from the right or joins its neighbours, which matplotlib cannot draw."""
    return unicodedata.bidirectional(sign) in ("R", "AL", "AN") or unicodedata.category(sign) in ("Mn", "Mc")


def _title_and_fonts(title: str) -> tuple[str, list[str]]:
    """Return a title in its own script with fonts of this system that have it, or else in Latin letters."""
    whole = unicodedata.normalize("NFC", title)
    font = get_font(findfont(_FAMILY))
    missing = {sign for sign in whole if not font.get_char_index(ord(sign))}
    if missing and not any(map(_needs_shaping, whole)):
        for entry in fontManager.ttflist:
            if not re.search("last ?resort|blank", entry.name, re.IGNORECASE) and _has_all(entry.fname, missing):
                bold = findfont(FontProperties(family=entry.name, weight="bold"))
                if _has_all(bold, missing):
                    return whole, [_FAMILY, entry.name]
    return printable(title).strip() or "recording without a printable name", [_FAMILY]


def _has_all(path: str, signs: set[str]) -> bool:
    with suppress(Exception):  # fonts of the system may be damaged
        font = get_font(path)
        return all(font.get_char_index(ord(sign)) for sign in signs)
    return False


def wrap(text: str, width: int, *, most: int) -> str:
    """Break a text into lines between words, never between a number and its unit; what does not fit becomes ' …'.

    >>> wrap("a second, then 1778 s are missing", 16, most=2).splitlines()
    ['a second, then', '1778 s are …']
    """
    joined = re.sub(r"(?<=\d) (?=[^\W\d]|%)", "\u00a0", printable(text))
    lines = textwrap.wrap(joined, width, max_lines=most, placeholder=" …", break_on_hyphens=False)
    return "\n".join(lines).replace("\u00a0", " ")


def shorten(text: str, length: int) -> str:
    """Cut the middle out of a text: the end of a file name says most."""
    if len(text) <= length:
        return text
    return text[: math.ceil((length - 1) / 2)] + "…" + text[len(text) - (length - 1) // 2 :]


def _fit(text: Text, width: float) -> None:
    """Shorten a text in its middle until it is at most `width` pixels wide."""
    whole = text.get_text()
    keep = len(whole)
    while keep > 4 and text.get_window_extent().width > width:
        keep -= max(1, keep // 20)
        text.set_text(shorten(whole, keep))


def time_ticks(begin: float, end: float, *, start: datetime | None, most: int) -> tuple[list[float], list[str]]:
    r"""Choose round instants and their labels.

    >>> time_ticks(0, 7200, start=datetime(2020, 1, 1, 23, 30), most=3)
    ([1800.0, 5400.0], ['00:00\n+1 day', '01:00'])
    """
    days = math.ceil((end - begin) / most / _DAY) * _DAY
    step = next((step for step in _TICK_STEPS if (end - begin) / step <= most), days)
    midnight = None if start is None else start.replace(hour=0, minute=0, second=0, microsecond=0)
    offset = 0.0 if start is None or midnight is None else (start - midnight).total_seconds()
    ticks, labels = [], []
    day_before = 0 if begin <= 0 else int((offset + begin) // _DAY)
    for index in range(math.ceil((offset + begin) / step - 1e-9), math.floor((offset + end) / step + 1e-9) + 1):
        instant = index * step
        day, second = divmod(instant, _DAY)
        label = elapsed(instant)
        if start is not None:
            label = f"{second // 3600:02d}:{second // 60 % 60:02d}" + (f":{second % 60:02d}" if step < 60 else "")
            label += f"\n+{day} day{'s' if day > 1 else ''}" if day > day_before else ""
            day_before = day
        ticks.append(float(instant - offset))
        labels.append(label)
    return ticks, labels
