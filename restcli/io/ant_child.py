"""Reads an ANT Neuro file in a process of its own, because the C code of the package antio can end the process.

A script with one argument, the file. It answers with a line of JSON, and then, to each line "START STOP", with samples.
What the file says of the patient is not asked for, and the texts of events stay here.
"""

from __future__ import annotations

import array
import faulthandler
import json
import os
import sys
from typing import Any

NO_PACKAGE = 3
"""Exit status when antio cannot be imported."""
_PATIENCE = 60  # seconds for the header, and for each stretch of samples
_VALUES = 2**16  # read at a time, because they become Python floats
_KINDS = {
    "amplifier disconnected": "off",
    "9001": "off",
    "amplifier reconnected": "on",
    "9002": "on",
    "__": "join",
}


def main(path: str) -> None:
    """Answer requests until there are no more; end when an answer takes too long, even inside the C code."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the library may print
    faulthandler.dump_traceback_later(_PATIENCE, exit=True)
    try:
        # The Python functions of antio keep everything they have read in memory.
        from antio.libeep import pyeep
    except ImportError:
        sys.exit(NO_PACKAGE)
    handle = pyeep.read(path)
    if handle < 0:
        sys.exit(1)
    found = _header(pyeep, handle)
    answer = json.dumps(found).encode() + b"\n"
    while True:
        faulthandler.cancel_dump_traceback_later()
        answers.write(answer)
        answers.flush()
        asked = sys.stdin.readline().split()
        if not asked:
            return
        faulthandler.dump_traceback_later(_PATIENCE, exit=True)
        answer = _samples(pyeep, handle, len(found["channels"]), (int(asked[0]), int(asked[1])))


def _header(pyeep: Any, handle: int) -> dict[str, Any]:
    """Return what is needed to read the recording: texts are in Latin-1, bytes as they are in the file."""
    fields = (pyeep.get_channel_label, pyeep.get_channel_unit, pyeep.get_channel_reference)
    events, unreadable = [], 0
    for index in range(pyeep.get_trigger_count(handle)):
        try:
            code, place, length, condition, description, impedances = pyeep.get_trigger(handle, index)
        except UnicodeDecodeError:
            unreadable += 1
            continue
        kind = _KINDS.get((condition or "").lower()) or _KINDS.get(code or "")
        if impedances is not None and (description or "").lower() == "impedance":
            kind = "impedance"
        if kind:
            events.append((kind, place, length))
    return {
        "channels": [
            [(field(handle, channel) or b"").decode("latin-1") for field in fields]
            for channel in range(pyeep.get_channel_count(handle))
        ],
        "n_samples": pyeep.get_sample_count(handle),
        "start": pyeep.get_start_date_and_fraction(handle),
        "events": events,
        "unreadable": unreadable,
    }


def _samples(pyeep: Any, handle: int, n_channels: int, span: tuple[int, int]) -> bytes:
    """Return samples as floats in the computer's own order of bytes, all channels of a sample together."""
    found, step = array.array("f"), max(1, _VALUES // n_channels)
    for first in range(*span, step):
        found.extend(pyeep.get_samples(handle, first, min(first + step, span[1])))
    if len(found) != n_channels * (span[1] - span[0]):  # the caller waits for exactly that many
        sys.exit(1)
    return found.tobytes()


if __name__ == "__main__":
    main(sys.argv[1])
