"""Films of events: MP4 through ffmpeg, or GIF."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restcli.errors import OutputError, UsageError
from restcli.files import make_folder, write_atomically
from restcli.text import count

if TYPE_CHECKING:
    from restcli.detect.result import Result

Pixels = NDArray[np.uint8]

_FFMPEG = ("-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24")
_H264 = ("-c:v", "libx264", "-crf", "26", "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-bitexact")


def film_kind() -> str:
    """Return the ending of films that can be made here."""
    return ".mp4" if shutil.which("ffmpeg") else ".gif"


def check_film(path: Path) -> None:
    """Refuse a film of another kind, or one that needs a program that is not installed."""
    if path.suffix not in (".mp4", ".gif"):
        raise UsageError("--out", f"films cannot be written as '{path.suffix}'", ".mp4 or .gif")
    if path.suffix == ".mp4" and not shutil.which("ffmpeg"):
        raise OutputError(
            str(path), "an MP4 needs ffmpeg, which is not installed", remedy="Install it, or write a .gif"
        )


def write_film(result: Result, number: int, path: Path) -> Path:
    """Film one event, counted from 1: ten seconds before its onset to its end."""
    from restcli.output.plots.film import BEFORE, RATE, Film
    from restcli.output.plots.traces import read_traces

    if not 1 <= number <= len(result.events):
        found = count(len(result.events), "event")
        raise UsageError("--event", f"{number}, but {found} found in {result.recording.path.name}", "an event's number")
    event = result.events.events[number - 1]
    limits = float(np.floor(max(0.0, event.onset - BEFORE))), float(np.ceil(event.stop))
    traces = read_traces(result.recording, *limits, channel_map=result.settings.channel_map)
    if traces is None:
        raise OutputError(str(path), "no derivation can be drawn", "electrodes of the 10-20 system")
    make_folder(path.parent)
    frames = Film(result, event, traces, result.recording.path.name).frames()
    return _write_mp4(frames, path, RATE) if path.suffix == ".mp4" else _write_gif(frames, path, RATE)


def _write_gif(frames: Iterator[Pixels], path: Path, rate: int) -> Path:
    """Write a GIF in which each frame holds only what has changed; all share one palette."""
    from PIL import Image

    from restcli.output.plots.film import colours

    palette = Image.new("P", (1, 1))
    palette.putpalette(colours())
    pages = [Image.fromarray(pixels).quantize(palette=palette, dither=Image.Dither.NONE) for pixels in frames]
    content = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": pages[1:], "loop": 0, "disposal": 1, "optimize": True}
    pages[0].save(content, "GIF", duration=1000 // rate, **options)
    return write_atomically(path, content.getvalue())


def _write_mp4(frames: Iterator[Pixels], path: Path, rate: int) -> Path:
    first = next(frames)
    height, width = first.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "film.mp4"
        shape = ("-s", f"{width}x{height}", "-r", str(rate), "-i", "-")
        command = ["ffmpeg", *_FFMPEG, *shape, *_H264, str(made)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            try:
                for pixels in (first, *frames):
                    process.stdin.write(np.ascontiguousarray(pixels).tobytes())
                process.stdin.close()
            except OSError:
                pass  # ffmpeg has ended; its exit code is checked below
        if process.returncode or not made.exists():
            raise OutputError(
                str(path), f"ffmpeg failed (exit code {process.returncode})", remedy="Write a .gif instead"
            )
        return write_atomically(path, made.read_bytes())
