"""Strategies that break good files."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import strategies as st

NUMBERS = "0 -1 1e99 -1e308 1e-320 nan inf NaN 1e14 99999999999999999999 2147483648 65536 0x10 1,5 .  ٣ ½ 1_0".split(
    " "
)
TEXTS = [
    "",
    "\0",
    "\x1b[2J",
    "\u202e",
    "=1+1",
    "A" * 5000,
    "../../x",
    "/etc/passwd",
    "[",
    '"',
    "<",
    "&x;",
    "\r",
    "9999",
    "true",
]
_TOKEN = re.compile(rb"[^\s,;:=<>\"\[\]\x14\x15\0]+")


@st.composite
def broken_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """Change a file in up to four places: bits, bytes, tokens, lines, its end."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(("byte", "token", "token", "token", "insert", "cut", "end", "repeat", "field")))
        if kind == "byte" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "token":
            tokens = list(_TOKEN.finditer(bytes(data[:20_000])))
            if tokens:
                token = draw(st.sampled_from(tokens))
                data[token.start() : token.end()] = draw(hostile_text()).encode("utf-8", "surrogatepass")
        elif kind == "field":  # of a header with fields of 8 characters
            place = at // 8 * 8
            data[place : place + 8] = draw(hostile_text()).encode("utf-8", "surrogatepass")[:8].ljust(8)
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=40))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 300))]
        elif kind == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 300))] * draw(st.integers(1, 20))
        else:
            del data[at:]
    return bytes(data)


def hostile_text() -> st.SearchStrategy[str]:
    """Draw a number or text that a reader may stumble over."""
    return st.sampled_from(NUMBERS + TEXTS) | st.integers().map(str) | st.text(max_size=12)


def hostile_value() -> st.SearchStrategy[Any]:
    """Draw a value of JSON."""
    plain = st.none() | st.booleans() | st.integers() | st.floats() | hostile_text()
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner))


@st.composite
def broken_json(draw: st.DrawFn, good: str) -> Any:
    """Change one to three values somewhere in a JSON document, or remove them."""
    document = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        node, parent, key = document, None, None
        while isinstance(node, dict | list) and node and (parent is None or draw(st.integers(0, 5))):
            parent = node
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            node = node[key]
        if parent is None:
            return draw(hostile_value())
        if draw(st.integers(0, 5)):
            parent[key] = draw(hostile_value())
        else:
            del parent[key]
    return document
