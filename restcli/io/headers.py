"""What headers of all formats have in common: texts, units, lengths, and notes on what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from restcli.errors import RecordingError
from restcli.text import some_of

_MICROVOLTS = {"uv": 1.0, "µv": 1.0, "μv": 1.0, "microv": 1.0, "microvolt": 1.0, "microvolts": 1.0}
_MICROVOLTS |= {"mv": 1e3, "millivolt": 1e3, "millivolts": 1e3, "v": 1e6, "volt": 1e6, "volts": 1e6}
_MICROVOLTS |= {"nv": 1e-3, "nanovolt": 1e-3, "nanovolts": 1e-3}
# Units of channels that hold other quantities (heart rate, saturation, pressure, ...): nothing to repair there.
_OTHER_UNITS = frozenset(
    "% mm cm sec s ms hz bpm brst/min /min 1/min degc °c c degf mmhg cmh2o l l/s l/min ml boolean bool "
    "g kohm ohm deg rad lux db n/a none bit bits count counts event".split()
)
LONGEST = 100 * 86_400
"""Seconds that a recording may last; beyond, its header is damaged."""
NO_CLOCK = "the start date or time is missing or unreadable; clock times are unknown"
WRONG_CLOCK = "the start date or time does not exist; clock times are unknown"
PART_OF_SAMPLE = "the last sample is incomplete; left out"
NO_UNIT = "no unit in the header; microvolts assumed"


def decode(raw: bytes) -> str:
    """Decode text as UTF-8, or as Latin-1 when it is not."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def printable(text: str) -> str:
    """Return a text without characters that would disturb terminals and tables."""
    return "".join(c for c in text if c.isprintable()).strip()


def with_reference(label: str, reference: str) -> str:
    """Name a channel with its reference, because channels may have different ones."""
    return f"{label}-{reference}" if reference and "-" not in label else label


def clock_time(*fields: int) -> datetime | None:
    """Return year, month, day, hour, minute, second and microseconds as a time; None if there is no such time."""
    try:
        return datetime(*fields)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None


def microvolts(unit: str) -> float | None:
    """Return how many microvolts a unit is, or None if it is not a voltage.

    >>> microvolts("mV"), microvolts("mmHg")
    (1000.0, None)
    """
    return _MICROVOLTS.get(unit.strip().lower().rstrip("."))


def known_unit(text: str) -> str:
    """Return "µV" for a voltage, another known unit as it is, and "unknown" for other text, which may name a patient.

    >>> known_unit("mV"), known_unit("mmHg"), known_unit("Schmidt"), known_unit("")
    ('µV', 'mmHg', 'unknown', '')
    """
    if microvolts(text) is not None:
        return "µV"
    return text if not text or text.lower() in _OTHER_UNITS else "unknown"


def unit_note(unit: str) -> str:
    """Say that a channel is left out because of its unit, if it is."""
    return "unit unknown; left out" if known_unit(unit) == "unknown" else ""


def names(labels: Iterable[str], limit: int = 6) -> str:
    """List labels for people, at most `limit` of them.

    >>> names(["Fp1", "Fp2"])
    "channels 'Fp1', 'Fp2'"
    """
    listed = [f"'{label}'" for label in labels]
    return f"channel{'s' if len(listed) > 1 else ''} {some_of(listed, limit)}"


def channel_notes(found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Report labels of channels with what is wrong with each, which is empty where nothing is.

    >>> channel_notes([("Fp1", "it is flat"), ("F7", ""), ("F8", "it is flat")])
    ("channels 'Fp1', 'F8': it is flat",)
    """
    labels: dict[str, list[str]] = {}
    for label, note in found:
        labels.setdefault(note, []).append(label)
    return tuple(f"{names(some)}: {note}" for note, some in labels.items() if note)


def length_notes(held: float, announced: float) -> tuple[str, ...]:
    """Report a file that holds less or more seconds than its header announces."""
    if announced > held:
        lost, whole = (f"{seconds:.10g} s" for seconds in (announced - held, announced))
        return (f"the file is cut off: {lost} of the {whole} that the header announces are missing",)
    if announced < held:
        whole, said = (f"{seconds:.10g} s" for seconds in (held, announced))
        return (f"the file holds more than the header announces: {whole} instead of {said}; all is read",)
    return ()


def check_length(seconds: float, where: str) -> None:
    """Refuse lengths that no recording has: a damaged header, or a file that was allocated but never written."""
    if not seconds <= LONGEST:
        days = f"{seconds / 86_400:,.0f}" if seconds < 1e9 else "millions of"
        raise RecordingError(where, f"the recording would last {days} days", f"at most {LONGEST // 86_400} days")
