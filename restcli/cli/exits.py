"""How restcli ends: exit codes, signals, closed pipes, and every error in one line."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from restcli.errors import OutputError, RestError, as_rest_error
from restcli.text import visible

DONE, SOME_FAILED = 0, 1

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal or a closed pipe ends the command. Not an Exception, so that no command takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """Return 128 plus the number of the signal, as shells do."""
        return 128 + self.number


def run(command: Callable[[], object]) -> int:
    """Run a command and return its exit code; an error is printed as one line on stderr."""
    stdout, stderr = _Stream(sys.stdout or _closed(), data=True), _Stream(sys.stderr or _closed(), data=False)
    with redirect_stdout(stdout), redirect_stderr(stderr), stop_signals(_stop):
        try:
            return _run(command)
        except Stopped as stopped:
            if stopped.number != signal.SIGPIPE:
                note("restcli: stopped")
            return stopped.exit_code


def _closed() -> TextIO:
    """Stand for a stream that was closed before the start (``>&-``): nothing can be written."""
    return Path(os.devnull).open(encoding="utf-8")


def _run(command: Callable[[], object]) -> int:
    code = DONE
    try:
        try:
            command()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else DONE
        sys.stdout.flush()
    except Exception as error:
        problem = caught("restcli", error)
        note(f"restcli: {problem}")
        return problem.exit_code
    return code


def caught(where: str, error: Exception) -> RestError:
    """Return an exception as an error to print; raises the `Stopped` that a clean-up or a library replaced by it."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, Stopped):
            raise behind
        behind = behind.__context__
    return as_rest_error(where, error)


def say(text: str, *, indent: int | None = None) -> None:
    """Print a line on stdout; one for people has an indent, of the lines that follow its first in a terminal."""
    shown = visible(text) if indent is None else _folded(visible(text), sys.stdout, indent)
    sys.stdout.write(f"{shown}\n")
    sys.stdout.flush()


def check_stdout() -> None:
    """Find out before the work whether standard output can take its result."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file, as in tests
        return
    try:
        os.write(descriptor, b"")  # enough for a closed or full device
    except OSError as error:
        raise _not_said(error) from error


def _not_said(error: OSError) -> OutputError:
    return OutputError("standard output", f"could not be written ({error.strerror or 'it is closed'})")


def note(text: str) -> None:
    """Print a line for people on stderr."""
    sys.stderr.write(f"{_folded(visible(text), sys.stderr)}\n")


def _folded(text: str, stream: TextIO, indent: int = 0) -> str:
    """Return a line with line ends between words where a terminal would break it anywhere; unchanged elsewhere."""
    if not stream.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


@contextmanager
def stop_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle Ctrl-C, SIGTERM and SIGHUP in this way while the block runs; ``nohup`` still shields from SIGHUP."""
    before = {number: signal.getsignal(number) for number in _STOPPING}
    handled = [number for number in before if number == signal.SIGINT or before[number] is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in _STOPPING:
        if other != signal.SIGINT:
            signal.signal(
                other, signal.SIG_IGN
            )  # a terminal that closes sends several, which must not stop the clean-up
    raise Stopped(number)


class _Stream:
    """A standard stream: lost data ends the command in an orderly way, lost notes do not matter."""

    def __init__(self, stream: TextIO, *, data: bool) -> None:
        self._stream, self._data = stream, data

    def write(self, text: str) -> int:
        """Write text; characters that the stream cannot encode are escaped."""
        with self._guarded():
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        with self._guarded():
            self._stream.flush()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._close()
            if self._data and isinstance(error, BrokenPipeError):
                raise Stopped(signal.SIGPIPE) from None
            if self._data:
                raise _not_said(error) from error

    def _close(self) -> None:
        """Let the interpreter's own flush at the end succeed."""
        with suppress(OSError, ValueError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
