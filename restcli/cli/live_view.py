"""What people see of a live stream: a view that fills one screen, or a line for each alarm."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from restcli.detect.alarms import Alarm
from restcli.live.input import Trouble
from restcli.live.monitor import Monitor, News, NewScore
from restcli.live.status import Status
from restcli.text import duration_in_words, elapsed, some_of, visible

if TYPE_CHECKING:
    from rich.console import RenderableType

_BARS = "▁▂▃▄▅▆▇█"
_CELLS, _MINUTE = 60, 60
_SHOWN = 5  # alarms


def line_of(news: News) -> str:
    """Return a line for people; empty for a score, and for an update."""
    if isinstance(news, Alarm):
        event, number = news.event, news.number
        where = ", ".join(event.channels[:4]) or "unknown"
        if news.state == "begin":
            return f"{elapsed(news.at)}  seizure {number} since {elapsed(event.onset)}, {where}"
        if news.state == "end":
            lasted = f"lasted {duration_in_words(event.duration)}, confidence {event.confidence:.2f}, {where}"
            return f"{elapsed(news.at)}  seizure {number} ended: onset {elapsed(event.onset)}, {lasted}"
        return (
            f"{elapsed(news.at)}  seizure {number} is part of seizure {news.joined}" if news.state == "joined" else ""
        )
    if isinstance(news, Trouble):
        state = "lost" if news.state == "begin" else "back"
        return f"{elapsed(news.at)}  {news.what} {state}" + (f": {news.reason}" if news.state == "begin" else "")
    if isinstance(news, Status):
        if news.state == "end":
            return f"{elapsed(news.at)}  the rule for electrographic status epilepticus is no longer met"
        spent = duration_in_words(news.seizure)
        return f"{elapsed(news.at)}  ELECTROGRAPHIC STATUS EPILEPTICUS by rule: {spent} of seizure in the last hour"
    return ""


class LiveView:
    """Keeps what is shown, and draws it, perhaps in another thread."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._minute: deque[float] = deque(maxlen=_CELLS)  # probabilities, NaN where not scored
        self._hour: deque[float] = deque(maxlen=_CELLS)  # the highest of each minute
        self._highest, self._n = math.nan, 0
        self._reason = ""
        self._lines: deque[str] = deque(maxlen=_SHOWN)
        self._lost: dict[str, str] = {}

    def take(self, news: News) -> None:
        """Note what is new."""
        if isinstance(news, NewScore):
            probability, self._reason = news.score.probability, news.score.reason
            self._minute.append(probability)
            self._highest = max((p for p in (self._highest, probability) if p == p), default=math.nan)
            self._n += 1
            if self._n % _MINUTE == 0:
                self._hour.append(self._highest)
                self._highest = math.nan
            return
        if isinstance(news, Trouble):
            self._lost[news.what] = news.reason
            if news.state == "end":
                del self._lost[news.what]
        line = line_of(news)
        if line:
            self._lines.append(line)

    def draw(self) -> RenderableType:
        """Return the view."""
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        monitor = self._monitor
        rule, grid = monitor.alarms.rule, Table.grid(padding=(0, 2))
        lasting = monitor.alarms.lasting
        for name, value, style in (
            ("seizure", self._seizure(), "bold red" if lasting else "yellow" if self._reason else "green"),
            ("now", self._now(), ""),
            ("last minute", _cells(self._minute), "cyan"),
            ("last hour", _cells(self._hour), "cyan"),
            ("input", self._lost.get("input", "good"), "bold yellow" if "input" in self._lost else "green"),
            ("nodes", self._nodes(), "yellow" if set(self._lost) - {"input"} else "green"),
            ("scored", f"{monitor.scored} of {monitor.rows} s", ""),
            *(("" if k else "alarms", line, "") for k, line in enumerate(list(self._lines))),
        ):
            grid.add_row(Text(name, "dim"), Text(visible(value), style))
        title = f"restcli live · {monitor.source.recording.path.name} · {elapsed(monitor.intake.now)}"
        foot = f"{monitor.detector.weights.name} · threshold {rule.threshold:.2f} · not a medical device · Ctrl-C ends"
        return Panel(grid, title=Text(visible(title)), subtitle=Text(foot, "dim"), title_align="left", width=100)

    def _seizure(self) -> str:
        lasting = self._monitor.alarms.lasting
        if not lasting:
            return "unknown" if self._reason or "input" in self._lost else "none now"
        event = lasting[-1]
        where = ", ".join(event.channels[:4])
        return f"SEIZURE since {elapsed(event.onset)} ({duration_in_words(event.duration)}): {where}"

    def _now(self) -> str:
        if not self._minute:
            return "waiting for signal"
        if "input" in self._lost:
            return "unknown"
        return f"not scored: {self._reason}" if self._reason else f"probability {self._minute[-1]:.2f}"

    def _nodes(self) -> str:
        used = self._monitor.montage.nodes
        left_out = [f"{node} ({reason})" for node, reason in list(self._lost.items()) if node in used]
        good = f"{len(used) - len(left_out)} of {len(self._monitor.detector.weights.nodes)} good"
        return f"{good}; left out: {some_of(left_out, 3)}" if left_out else good


def _cells(values: deque[float]) -> str:
    """Draw values as bars, newest on the right; ``×`` where nothing was scored."""
    bars = ("×" if math.isnan(value) else _BARS[min(len(_BARS) - 1, int(value * len(_BARS)))] for value in list(values))
    return "".join(bars).rjust(_CELLS)
