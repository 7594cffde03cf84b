"""The pictures of a result: one module of `restcli.output.plots` each, found by this table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from restcli.output.shown import REVIEWED, Shown, detected

if TYPE_CHECKING:
    from restcli.detect.result import Result

PLOTS = ("png", "pdf", "none")
# Module in restcli.output.plots, and what it shows. Its function ``draw(result, shown, *, title, footer)`` yields
# pairs of the end of a file's name and a figure; `shown` are the events.
PICTURES = {
    "overview": "the whole recording on one page",
    "event": "pages of traces for each event, six events at most",
}


def draw_pictures(
    result: Result, folder: Path, stem: str, kind: str, *, reviewed: Sequence[Shown] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Draw every picture into a folder, after a review with the events that were judged.

    Returns the names of the files, and why a picture could not be drawn.
    """
    from restcli.output.text import DISCLAIMER, rule_text

    mark = "" if reviewed is None else REVIEWED
    shown = detected(result.events) if reviewed is None else reviewed

    names: list[str] = []
    failed: dict[str, str] = {}
    title = re.sub(r"[\x00-\x1f\x7f]+", " ", stem) + (" · after review" if mark else "")
    page = {"title": title, "footer": f"{rule_text(result)} · {DISCLAIMER}"}
    writing: list[Future[Path]] = []
    with ThreadPoolExecutor(1) as pool:  # packs and writes one page while the next is drawn
        for picture in PICTURES:
            try:
                begin_save = import_module("restcli.output.plots.save").begin_save
                for name, figure in import_module(f"restcli.output.plots.{picture}").draw(result, shown, **page):
                    write = begin_save(figure, folder / f"{stem}_{name}{mark}.{kind}")
                    names.append(f"{stem}_{name}{mark}.{kind}")
                    writing.append(pool.submit(write))
            except Exception as error:  # whatever is wrong with matplotlib, tables must be written
                failed[picture] = type(error).__name__  # its text may quote a file
    for page_written in writing:
        page_written.result()
    return names, failed


def count_pictured(names: Iterable[str]) -> int:
    """Count the events that have pages, by the names of the files.

    >>> count_pictured(["a_events.tsv", "a_overview.png", "a_event01.png", "a_event01_p2.png", "a_event13.png"])
    2
    """
    return sum(bool(re.search(r"_event\d+\.(png|pdf)$", name)) for name in names)


def expect_pictures(plot: str) -> Callable[[], None]:
    """Import matplotlib in a thread while a recording is scored; returns a function that waits for the end of that."""
    if plot == "none":
        return lambda: None
    thread = Thread(target=_import_plots, name="restcli-plots", daemon=True)
    thread.start()
    return thread.join


def _import_plots() -> None:
    with suppress(Exception):  # reported when pictures are drawn
        for picture in PICTURES:
            import_module(f"restcli.output.plots.{picture}")
