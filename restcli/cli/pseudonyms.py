"""Names that outputs are given in place of those of recordings."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from restcli.errors import UsageError

_PSEUDONYM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_LINE = '"name.edf" = "pseudonym" on each line'


def read_pseudonyms(path: Path | None, recordings: Sequence[Path]) -> Mapping[str, str]:
    """Read a TOML file of lines ``"name.edf" = "pseudonym"``; every recording must be in it. No error quotes a name."""
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(str(path), f"cannot be read ({error.strerror})", "a TOML file that can be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError(str(path), "is not TOML", _LINE) from None
    for number, pseudonym in enumerate(table.values(), start=1):
        if not isinstance(pseudonym, str) or not _PSEUDONYM.fullmatch(pseudonym):
            what = f"entry {number} has no pseudonym"
            raise UsageError(str(path), what, "up to 60 letters, digits, '.', '-' and '_'")
    if len({pseudonym.casefold() for pseudonym in table.values()}) < len(table):
        raise UsageError(str(path), "gives two recordings one pseudonym", "a different one for each")
    if unknown := sum(recording.name not in table for recording in recordings):
        raise UsageError(str(path), f"has no pseudonym for {unknown} of {len(recordings)} recordings", _LINE)
    return table
