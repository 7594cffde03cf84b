"""Write figures as PNG or PDF, with the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from restcli.errors import OutputError
from restcli.files import write_atomically
from restcli.output.plots.raster import pack_png, rasterize
from restcli.output.plots.style import styled


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as the suffix says, whole or not at all."""
    return begin_save(figure, path)()


@styled()
def begin_save(figure: Figure, path: str | Path) -> Callable[[], Path]:
    """Draw a figure now; the function returned writes it, in any thread, even if the figure has changed since."""
    path = Path(path)
    kind = path.suffix.lower()
    if kind == ".png":
        pixels, dpi = rasterize(figure), figure.dpi
        return lambda: write_atomically(path, pack_png(pixels, dpi))
    if kind == ".pdf":
        content = io.BytesIO()
        figure.savefig(content, format="pdf", metadata=dict.fromkeys(("Creator", "Producer", "CreationDate")))
        return lambda: write_atomically(path, content.getvalue())
    raise OutputError(str(path), f"pictures cannot be written as '{path.suffix}'", ".png or .pdf")
