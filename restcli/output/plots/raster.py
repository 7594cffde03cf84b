"""A fast renderer for pages that are mostly text and white: cached words and plain PNG packing."""

from __future__ import annotations

import math
import struct
import zlib
from functools import lru_cache
from typing import Any, no_type_check

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from numpy.typing import NDArray

_PACKING = 3  # zlib level: more takes longer and gains little
_ROOM = 3  # pixels around words, because letters may reach beyond their box


def rasterize(figure: Figure) -> NDArray[np.uint8]:
    """Draw a figure; returns its pixels, (height, width, 3)."""
    canvas = figure.canvas if isinstance(figure.canvas, Canvas) else Canvas(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.array(canvas.get_renderer().buffer_rgba())  # type: ignore[no-untyped-call]
    return np.asarray(pixels[..., :3])  # pages are opaque


def pack_png(pixels: NDArray[np.uint8], dpi: float) -> bytes:
    """Pack pixels, (height, width, 3), as a PNG.

    Pages are mostly white: without PNG's filters they pack three times faster and smaller, and without the GIL.
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


class Canvas(FigureCanvasAgg):
    """Agg's canvas with a renderer that caches text; one renderer serves while the page keeps its size."""

    words: _Renderer | None = None

    def get_renderer(self) -> RendererAgg:
        """Return the renderer that everything on this canvas is drawn with."""
        shape = (*self.get_width_height(physical=True), self.figure.dpi)
        if self.words is None or (self.words.width, self.words.height, self.words.dpi) != shape:
            self.words = _Renderer(*shape)  # type: ignore[no-untyped-call]
        return self.words


class _Renderer(RendererAgg):
    """Agg's renderer with text that is rendered once and then copied: the pages of a recording share most words.

    Rendering glyphs takes most of the time of a page. Text stands on whole pixels, so that it looks the same anywhere.
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
    """Render text on a transparent image; returns it bottom row first, and where the text's origin is in it, pixels."""
    measured = RendererAgg(1, 1, dpi).get_text_width_height_descent(words, prop, False)
    width, height, descent = (math.ceil(size) + _ROOM for size in measured)
    left, right, above, below = (_ROOM, width, height, descent) if angle == 0 else (height, descent, width, _ROOM)
    sheet = RendererAgg(left + right, above + below, dpi)
    pen = sheet.new_gc()
    pen.set_foreground(colour, isRGBA=True)
    sheet.draw_text(pen, left, above, words, prop, angle)
    return np.ascontiguousarray(np.asarray(sheet.buffer_rgba())[::-1]), left, below
