"""Where news of a live stream goes: growing tables, lines of JSON, and a command for alarms."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from restcli import __version__
from restcli.detect.alarms import Alarm
from restcli.errors import UsageError
from restcli.evaluation.scoring import plain
from restcli.events import Scores
from restcli.files import appending, check_free, make_folder, not_written, sha256_of
from restcli.live.input import Trouble
from restcli.live.lsl import Publisher
from restcli.live.monitor import Monitor, News, NewScore
from restcli.marks.json import event_to_dict
from restcli.marks.registry import write_events
from restcli.output.bundle import scores_csv
from restcli.output.text import DISCLAIMER

Message = dict[str, Any]

_EVENTS_EVERY = 10.0  # s between tables of events without news
_MOST_RUNNING = 16  # commands of --exec at once: one that hangs must not fill the machine


def message_of(news: News, monitor: Monitor) -> Message:
    """Describe news in plain values for JSON; times are seconds from the start of the recording."""
    if isinstance(news, NewScore):
        score = news.score
        told = {"time": news.time, "probability": score.probability, "not_scored": score.reason or None}
        return dict(plain({"kind": "score", **told}))
    start = monitor.source.recording.clock
    clock = None if start is None else (start + timedelta(seconds=news.at)).isoformat(timespec="seconds")
    if isinstance(news, Alarm):
        told = {"number": news.number, "state": news.state, **event_to_dict(news.event), "joined": news.joined or None}
        return dict(plain({"kind": "alarm", **told, "at": news.at, "clock": clock}))
    return dict(plain({"kind": "input" if isinstance(news, Trouble) else "status", **asdict(news), "clock": clock}))


def opening(monitor: Monitor) -> Message:
    """Describe what is monitored and how."""
    recording, weights, montage = monitor.source.recording, monitor.detector.weights, monitor.montage
    return {
        "kind": "start",
        "restcli": __version__,
        "disclaimer": DISCLAIMER,
        "source": str(recording.path),
        "start": None if recording.clock is None else recording.clock.isoformat(timespec="seconds"),
        "weights": weights.name,
        "sha256": weights.sha256,
        "rule": asdict(monitor.alarms.rule),
        "look_ahead_s": weights.look_ahead,
        "channels": [recording.channels[channel].label for channel in montage.channels],
        "nodes": list(montage.nodes),
        "missing": list(montage.missing),
    }


def closing(monitor: Monitor) -> Message:
    """Say what was found and what was not scored."""
    end = {"kind": "end", "duration": monitor.until, "scored_s": monitor.scored}
    found = {"events": [event_to_dict(event) for event in monitor.alarms.events]}
    return dict(plain(end | found | {"not_scored": [asdict(span) for span in monitor.unscored]}))


class Tables:
    """The files X_scores.csv, X_events.tsv and X_live.jsonl, which are valid at any moment."""

    def __init__(self, folder: Path, stem: str, *, overwrite: bool = False) -> None:
        make_folder(folder)
        paths = [folder / f"{stem}_{end}" for end in ("events.tsv", "scores.csv", "live.jsonl")]
        self._events, self._scores, self._lines = paths
        check_free(paths, overwrite=overwrite)
        for path in paths:
            path.unlink(missing_ok=True)
        self._open = ExitStack()
        self._files = {path: self._open.enter_context(appending(path)) for path in (self._scores, self._lines)}
        self._begun, self._next = False, 0.0

    def line(self, message: Mapping[str, Any]) -> None:
        """Add a line to X_live.jsonl."""
        self._add(self._lines, json.dumps(message, ensure_ascii=False))

    def score(self, row: NewScore, monitor: Monitor) -> None:
        """Add a score; write the events too, now and then."""
        nodes, probability = monitor.detector.weights.nodes, np.array([row.score.probability])
        by_node = row.score.by_node[None]
        head, line = scores_csv(Scores(np.array([row.time]), probability, by_node, nodes, 1.0, row.time + 0.5))
        self._add(self._scores, (line if self._begun else head + line).removesuffix("\n"))
        self._begun = True
        if row.time >= self._next:
            self.write_events(monitor)

    def write_events(self, monitor: Monitor) -> None:
        """Write the table of events so far, whole."""
        self._next = monitor.until + _EVENTS_EVERY
        if monitor.rows:
            write_events(monitor.events(), self._events, "tsv")

    def close(self, monitor: Monitor) -> Message:
        """Write the last table of events and the last line, which proves that the table is ours; return the line."""
        with self._open:
            self.write_events(monitor)
            written = {self._events.name: sha256_of(self._events)} if self._events.is_file() else {}
            end = closing(monitor) | {"outputs": written}
            self.line(end)
        return end

    def _add(self, path: Path, line: str) -> None:
        try:
            self._files[path].add(line.encode(), sync=False)  # a second's score is not worth waiting for the disk
        except OSError as error:
            raise not_written(path, error) from error


@dataclass
class Hook:
    """A command that is started for each alarm of any kind, and reads the message as JSON on standard input."""

    command: tuple[str, ...]
    note: Callable[[str], None]
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, text: str, note: Callable[[str], None]) -> Hook:
        """Split a command as a shell would, without running one."""
        try:
            command = tuple(shlex.split(text))
        except ValueError as error:
            raise UsageError("--exec", f"cannot be split into words ({error})", "a command and its arguments") from None
        if not command:
            raise UsageError("--exec", "is empty", "a command and its arguments")
        return cls(command, note)

    def run(self, message: Message) -> None:
        """Start the command with the kind and state of a message as further arguments; do not wait for it."""
        self._reap()
        kind, state, running = str(message["kind"]), str(message["state"]), len(self._running)
        if running >= _MOST_RUNNING:
            why = f"{running} started before are still running"
            self.note(f"--exec: {self.command[0]} was not started for this {kind} {state}: {why}")
            return
        try:
            process = subprocess.Popen(
                [*self.command, kind, state],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        except OSError as error:
            self.note(f"--exec: {self.command[0]} could not be started ({error.strerror})")
            return
        self._running.append(process)
        assert process.stdin is not None
        with suppress(OSError), process.stdin as pipe:  # a command need not read it
            pipe.write(json.dumps(message).encode() + b"\n")  # fits into the pipe, so that no command can hold it up

    def close(self, seconds: float = 5.0) -> None:
        """Give all that still run a little time together."""
        until = time.monotonic() + seconds
        for process in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        self._reap()
        if self._running:
            self.note(f"--exec: {self.command[0]} is still running (commands: {len(self._running)})")

    def _reap(self) -> None:
        for process in [process for process in self._running if process.poll() is not None]:
            self._running.remove(process)
            if process.returncode:
                self.note(f"--exec: {self.command[0]} failed with exit code {process.returncode}")


@dataclass
class Outputs:
    """Everything that takes news of a monitor, but the display."""

    monitor: Monitor
    tables: Tables
    hook: Hook | None = None
    publisher: Publisher | None = None
    alarms: list[Alarm] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tables.line(opening(self.monitor))

    def take(self, news: News) -> None:
        """Pass news on: first to those who wait for an alarm, then to the tables, for which the disk may be full."""
        if isinstance(news, NewScore):
            if self.publisher is not None:
                self.publisher.score(news.score.probability, news.score.by_node)
            self.tables.score(news, self.monitor)
            return
        message = message_of(news, self.monitor)
        if self.hook is not None:
            self.hook.run(message)
        if self.publisher is not None:
            self.publisher.say(message)
        if isinstance(news, Alarm):
            self.alarms.append(news)
            self.tables.write_events(self.monitor)
        self.tables.line(message)

    def close(self) -> Message:
        """Write what is known at the end, and return it."""
        try:
            return self.tables.close(self.monitor)
        finally:
            if self.hook is not None:
                self.hook.close()
