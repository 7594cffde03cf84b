"""Numbers and tables in words, the same in the terminal, reports, pictures and pages."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path


def duration_in_words(seconds: float) -> str:
    """Return a length of time in at most two units.

    >>> [duration_in_words(value) for value in (4.25, 75, 3600, 93_780)]
    ['4.2 s', '1 min 15 s', '1 h', '26 h 3 min']
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 and seconds != int(seconds) else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def percent(fraction: float) -> str:
    """Return a fraction as a percentage that never rounds up to 100.

    >>> percent(0.9999), percent(1.0)
    ('99.9 %', '100 %')
    """
    return "100 %" if fraction >= 1 else f"{math.floor(fraction * 1000) / 10:.1f} %"


def visible(text: object) -> str:
    r"""Return one line of text for people; control characters and marks of direction, as in file names, are escaped.

    >>> print(visible("two\nlines"))
    two\x0alines
    """
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def without_names(text: str, path: str, word: str = "FILE") -> str:
    """Return a message with a word in place of the names by which it may call a recording or its companions.

    >>> without_names("/ward/Doe.vhdr: doe.eeg is not beside it", "/ward/Doe.vhdr")
    'FILE: FILE.eeg is not beside it'
    """
    place = Path(path)
    folders = [folder for folder in map(str, place.parents) if folder not in (".", "/")]
    names = {str(Path(path).absolute()), path, place.name, place.stem, *folders} - {""}
    either = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.sub(rf"(?<!\w)({either})(?!\w)", lambda _: word, text, flags=re.IGNORECASE)


def spreadsheet_cell(text: str) -> str:
    """Return a cell for a CSV file, after an apostrophe if a spreadsheet would take it for a formula.

    >>> spreadsheet_cell("=1+1"), spreadsheet_cell("a.edf")
    ("'=1+1", 'a.edf')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def elapsed(seconds: float, *, digits: int = 0) -> str:
    """Return a position in a recording as ``h:mm:ss``.

    >>> elapsed(3725.04, digits=1)
    '1:02:05.0'
    """
    minutes, rest = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:0{3 + digits if digits else 2}.{digits}f}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "event"), count(3, "event")
    ('1 event', '3 events')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some_of(texts: Sequence[str], limit: int) -> str:
    """Return a list of at most so many texts, with the number of the others.

    >>> some_of(["Fp1", "Fp2", "F7"], 2)
    'Fp1, Fp2 and 1 more'
    """
    return ", ".join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table, floats with three decimals, without a line end after its last row.

    >>> print(markdown_table(["a", "b"], [[0.12345, "x"]]))
    | a | b |
    |---|---|
    | 0.123 | x |
    """

    def cell(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else visible(value).replace("|", "\\|")

    rule = "|---" * len(header) + "|"
    head, *body = ["| " + " | ".join(map(cell, row)) + " |" for row in [header, *rows]]
    return "\n".join([head, rule, *body])
