"""Files that MNE reads: opened under the names that it expects; its warnings and errors are reworded."""

from __future__ import annotations

import io
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io.headers import names as listed
from restcli.io.recording import Recording
from restcli.io.uniform import SampleStore, Stored

JOIN = re.compile(r"(BAD |EDGE )?boundary|New Segment", re.IGNORECASE)
"""Beginnings of annotations at which stretches of signal were joined."""
WHOLE = "a complete recording with all its files side by side"
_EXPORT = "Export the recording as EDF from the EEG system"
_FIFF_UNIT_V = 107
# Types of channels from inside the head.
_DEPTH = frozenset({"seeg", "ecog", "dbs"})
# Beginnings of warnings, and what they mean for a recording; nothing where they concern what restcli does not use.
_WARNINGS = {
    "No PNT file exists": "its patient and device file (.PNT) is not beside it; clock times are unknown",
    "No LOG file exists": "its event log (.LOG) is not beside it",
    "Could not decode log": "remarks in its event log cannot be decoded; left out",
    "Event log version mismatch": "its event log is of another version than its samples",
    "Missing header in": "the first line of a header is missing; read as version 1.0",
    "MarkerFile": "the file of markers that its header names is not beside it; pauses are unknown",
    "No info on DataPoints": "its header does not give the number of samples; taken from the size of the file",
    "Data file name in EEG.data": "its header names other samples, not there; those with its own name are read",
    "At least one event has a sample index": "",
    "Omitted": "",
    "Limited": "",
    "Could not inspect .set file": "",
    "The data contains 'boundary' events": "",
    "No coordinate information found": "",
    "Unknown types found": "",
    "Online software filter detected": "",
    "Channels contain different": "",
    "Channel names are not unique": "channels share names; numbered in their order",
    "Could not parse meas date": "the start date or time is unreadable; clock times are unknown",
}
# Beginnings of errors that say more than their kind.
_ERRORS = {"The number of trials is": "it holds epochs, not a continuous recording"}
_OF_POSITIONS = "layout.py"  # works out where electrodes lie, which is not used
_OF_CODE = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ResourceWarning)


@dataclass(frozen=True)
class MneStore(SampleStore):
    """Files that MNE reads: the one that it is given, and its companions."""

    names: tuple[str, ...]  # by which MNE looks for them
    reader: str  # name of the function
    header: bytes = b""  # what MNE is given in place of the first file, where it cannot read that as it is
    module: str = "mne.io"
    options: tuple[tuple[str, Any], ...] = ()  # of the function

    @contextmanager
    def open(self) -> Iterator[Stored]:
        """Open the files for reading."""
        where = str(self.files[0])

        def read(picks: list[int], start: int, stop: int) -> NDArray[Any]:
            with foreign(where, "the file cannot be read to its end"):
                data: NDArray[Any] = raw.get_data(picks=picks, start=start, stop=stop, verbose="error")
            if data.shape[1] != stop - start:
                raise RecordingError(where, "the file ended before its last sample", WHOLE, "Copy it again")
            return data

        with self.raw() as (raw, _):
            yield read

    @contextmanager
    def raw(self) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """Give MNE's own object, and what its warnings mean."""
        where = str(self.files[0])
        read = self._function(where)
        with ExitStack() as stack:
            path = stack.enter_context(under_names(self.files, self.names, self.header))
            with foreign(where, "the file cannot be read by its format") as repairs:
                raw = read(path, preload=False, verbose="warning", **dict(self.options))
                names = [Path(name).resolve() for name in raw.filenames if name is not None]
            if not set(names) <= {file.resolve() for file in self.files}:
                what = "its samples are in a file other than the one beside it that has its own name"
                raise RecordingError(where, what, WHOLE, "Give both files the same name and export the header again")
            yield raw, tuple(dict.fromkeys(repairs))

    def _function(self, where: str) -> Callable[..., Any]:
        """Return the function that reads the file, or say which package is missing."""
        try:
            return cast("Callable[..., Any]", getattr(import_module(self.module), self.reader))
        except ModuleNotFoundError:
            package = self.module.split(".")[0]
            what = f"reading it needs the package {package}, which is not installed"
            raise RecordingError(where, what, remedy="pip install 'rest-eeg[vendor]', or export as EDF") from None


def units_of(raw: Any) -> list[str]:
    """Return "V" for channels of voltages, and nothing for others."""
    return ["V" if int(channel["unit"]) == _FIFF_UNIT_V else "" for channel in raw.info["chs"]]


def without_depth(recording: Recording, types: Sequence[str]) -> Recording:
    """Mark channels that are inside the head by MNE's channel types, and report them."""
    channels = tuple(
        replace(channel, inside=kind in _DEPTH) for channel, kind in zip(recording.channels, types, strict=True)
    )
    found = [channel.label for channel in channels if channel.inside]
    if not found:
        return recording
    note = f"{listed(found)}: of a type that lies inside the head; left out unless --channel-map names them"
    return replace(recording, channels=channels, repairs=(*recording.repairs, note))


@contextmanager
def foreign(where: str, what: str) -> Iterator[list[str]]:
    """Report the kind of any error of an MNE reader, without its text, which may quote the header; collect repairs."""
    repairs: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # Some readers print, even patient fields; stdout belongs to the results.
            with redirect_stdout(io.StringIO()):
                yield repairs
    except RecordingError:
        raise
    except FileNotFoundError:
        what = "a file that its header names is not beside it"
        raise RecordingError(where, what, WHOLE, "Copy all files") from None
    except Exception as error:
        known = (words for beginning, words in _ERRORS.items() if str(error).startswith(beginning))
        raise RecordingError(where, next(known, f"{what} ({type(error).__name__})"), WHOLE, _EXPORT) from None
    repairs += [words for warning in caught if (words := _in_our_words(warning))]


def _in_our_words(warning: warnings.WarningMessage) -> str:
    """Say what a warning means, without its text, which may quote the header."""
    if issubclass(warning.category, _OF_CODE) or Path(warning.filename).name == _OF_POSITIONS:
        return ""
    text = str(warning.message).strip()
    for beginning, words in _WARNINGS.items():
        if text.startswith(beginning):
            return words
    place = f"{Path(warning.filename).name}, line {warning.lineno}"
    return f"the library that reads it gave a warning unknown to restcli ({warning.category.__name__} at {place})"


@contextmanager
def under_names(files: Sequence[Path], names: Sequence[str], header: bytes = b"") -> Iterator[Path]:
    """Give the first of some files in a folder where all of them have these names: links, where they have others."""
    if not header and all(file.name == name for file, name in zip(files, names, strict=True)):
        yield files[0]
        return
    with tempfile.TemporaryDirectory(prefix="restcli-") as folder:
        links = [Path(folder, name) for name in names]
        for file, link in zip(files, links, strict=True):
            if header and link == links[0]:
                link.write_bytes(header)
            else:
                _link(file.resolve(), link)
            for name in (file.name, link.name.lower(), link.name.upper()):  # headers may spell them so
                if not link.with_name(name).exists():
                    _link(file.resolve(), link.with_name(name))
        yield links[0]


def _link(file: Path, link: Path) -> None:
    for make in (os.symlink, os.link):
        try:
            return make(file, link)
        except OSError:
            continue
    what = f"its name is not spelled as its format requires ({re.sub(r'.*[.]', '.', link.name)})"
    raise RecordingError(str(file), what, remedy=f"Rename it to {link.name}")
