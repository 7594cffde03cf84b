"""Turns at reading a recording: pages that a person waits for come before strips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Event

_QUIET = 0.15  # s after an answer in which another request is likely: people turn several pages


class GoneError(Exception):
    """The window that asked has gone."""


class Turns:
    """Counts what people wait for; work in the background pauses while there is any."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._ahead = 0
        self._closed = False

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Let work in the background pause."""
        with self._changed:
            self._ahead += 1
        try:
            yield
        finally:
            with self._changed:
                self._ahead -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """End all work in the background."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait(self, gone: Event) -> None:
        """Wait until nothing is ahead or likely to be; GoneError when the background's work is no longer wanted."""
        with self._changed:
            while self._ahead and not self._closed:
                self._changed.wait_for(lambda: self._closed or not self._ahead)
                self._changed.wait(_QUIET)
        if self._closed or gone.is_set():
            raise GoneError
