"""A result in a Python session: one line, and a table for notebooks. Neither contains header fields."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from restcli.output.text import DISCLAIMER, answer_text, event_table, quality_warnings, scored_text
from restcli.text import count, elapsed, percent

if TYPE_CHECKING:
    from restcli.detect.result import Result

_MOST_EVENTS = 20


def one_line(result: Result) -> str:
    """Describe a result in a line."""
    scores = result.scores
    return (
        f"<Result {result.recording.path.name!r}: {count(len(result.events), 'event')} at threshold "
        f"{result.rule.threshold:g}, {percent(scores.scored)} of {elapsed(scores.announced)} scored, "
        f"weights {result.weights.name}>"
    )


def to_html(result: Result) -> str:
    """Describe a result in HTML."""
    n_shown = min(len(result.events), _MOST_EVENTS)
    head, rows = event_table(replace(result.events, start=None), range(n_shown))
    cells = [f"<th>{heading}</th>" for heading in head], *([f"<td>{escape(cell)}</td>" for cell in row] for row in rows)
    table = "<table>" + "".join(f"<tr>{''.join(row)}</tr>" for row in cells) + "</table>" if rows else ""
    more = [f"and {count(len(result.events) - n_shown, 'more event')}"] if len(result.events) > n_shown else []
    lines = [*more, scored_text(result), *quality_warnings(result)]
    lines += [f"repaired: {repair}" for repair in result.recording.repairs]
    below = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return (
        f"<div><strong>{escape(result.recording.path.name)}</strong><div>{escape(answer_text(result))}</div>{table}"
        f"{below}<div><em>{escape(DISCLAIMER)}</em></div></div>"
    )
