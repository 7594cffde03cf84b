"""Headers written in XML, without what could make a small file grow without end."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from restcli.errors import RecordingError
from restcli.io.headers import printable

_LARGEST = 2**22  # bytes; elements take up to 25 times as much memory


def parse_xml(raw: bytes, where: str, expected: str) -> ET.Element:
    """Return the root of a document, with the names of its elements as they are without namespaces."""
    if len(raw) > _LARGEST:
        raise RecordingError(where, "its header is too large", expected)
    try:
        if re.search(rb"<!(ENTITY|DOCTYPE)", raw, re.IGNORECASE) or b"\0" in raw[:200]:
            raise ValueError("it defines entities, or is not written in one byte a character")
        root = ET.fromstring(raw)
    except (ET.ParseError, ValueError, LookupError) as error:
        what = f"its header is not valid XML ({type(error).__name__})"
        raise RecordingError(where, what, expected, "Copy it again") from None
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    return root


def text_of(element: ET.Element, path: str) -> str:
    """Return the printable text of an element below another; empty without one."""
    return printable(element.findtext(path) or "")
