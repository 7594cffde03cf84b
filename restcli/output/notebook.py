"""A result in a Python session: one line, and a table for notebooks. Neither holds anything of a header."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from restcli.output.text import DISCLAIMER, percent, quality_warnings, scored_text
from restcli.text import count, elapsed

if TYPE_CHECKING:
    from restcli.detect.result import Result

_MOST_EVENTS = 20
_HEADINGS = ("#", "onset", "duration s", "type", "confidence", "where")


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
    lines = [scored_text(result), *quality_warnings(result)]
    lines += [f"repaired: {repair}" for repair in result.recording.repairs]
    below = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return (
        f"<div><strong>{escape(result.recording.path.name)}</strong>{_table(result)}"
        f"{below}<div><em>{escape(DISCLAIMER)}</em></div></div>"
    )


def _table(result: Result) -> str:
    if len(result.events) == 0:
        scored = percent(result.scores.scored)
        return f"<div>no event reached {result.rule.threshold:.2f} in the {scored} that was scored</div>"
    rows = [
        (
            str(number),
            elapsed(event.onset),
            f"{event.duration:.1f}",
            event.label,
            f"{event.confidence:.2f}",
            ", ".join(event.channels),
        )
        for number, event in enumerate(result.events.events[:_MOST_EVENTS], start=1)
    ]
    head = "".join(f"<th>{heading}</th>" for heading in _HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    n_more = len(result.events) - len(rows)
    more = f"<div>and {count(n_more, 'more event')}</div>" if n_more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
