"""Nihon Kohden files (.EEG) with their electrode names (.21E), read through MNE."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from restcli.errors import RecordingError
from restcli.io.companions import open_regular, read_header, siblings, stamps_of
from restcli.io.headers import decode
from restcli.io.mne_formats import of_raw
from restcli.io.mne_reader import MneStore, foreign
from restcli.io.recording import Recording
from restcli.io.segments import at_blocks
from restcli.io.uniform import leave_out
from restcli.io.vendor import open_nihon_1200
from restcli.signal.montage import parse_label

_DEVICES = (b"EEG-1100", b"EEG-1200", b"EEG-2100", b"QI-403A ", b"DAE-2100")


@dataclass(frozen=True)
class _Block:
    """A stretch of signal without a pause."""

    n_samples: int
    start: datetime | None  # in whole seconds
    codes: tuple[int, ...]  # of the electrodes, which the .21E file names


def is_nihon(raw: bytes) -> bool:
    """Tell from the first bytes whether this is a Nihon Kohden file."""
    return raw.startswith(_DEVICES) and raw[0x81:0x89].startswith(_DEVICES)


def nihon_files(path: Path) -> tuple[Path, ...]:
    """Return the files with the device, the electrode names and the log that lie beside a Nihon Kohden file."""
    return siblings(path, (".PNT", ".21E", ".LOG"))


def open_nihon(files: tuple[Path, ...]) -> Recording:
    """Open a Nihon Kohden file; its blocks say when they began."""
    path, where = files[0], str(files[0])
    with open_regular(path) as file:
        head = file.read(16)
        if not head.startswith(_DEVICES):
            what = "this is not a Nihon Kohden file, and no BrainVision header (.vhdr) lies beside it"
            raise RecordingError(where, what, "a recording with all its files side by side")
    electrodes = next((file for file in files if file.suffix.lower() == ".21e"), None)
    if electrodes is None:
        what = "its file of electrode names (.21E) is not beside it, and default names would be guesses"
        raise RecordingError(where, what, remedy=f"Copy {path.stem}.21E from the EEG system to the same folder")
    wanted = (f"{path.stem}.EEG", *(path.stem + file.suffix.upper() for file in files[1:]))
    if head.startswith(b"EEG-1200") and _is_extended(_blocks(path)):
        recording, codes = open_nihon_1200(files, wanted)
        return _without_guesses(recording, codes, _named_codes(decode(read_header(electrodes))))
    store = MneStore(files, stamps_of(files), wanted, "read_raw_nihon")
    with store.raw() as (raw, repairs):
        units = ["" if kind == "stim" else "V" for kind in raw.get_channel_types()]
        recording = of_raw(raw, store, "Nihon Kohden", units, repairs=repairs)
    blocks = _blocks(path)
    recording = _without_guesses(recording, blocks[0].codes, _named_codes(decode(read_header(electrodes))))
    lengths = [block.n_samples / recording.channels[0].sfreq for block in blocks]
    return at_blocks(recording, [block.start for block in blocks], lengths)


def _is_extended(blocks: list[_Block]) -> bool:
    """Recognise a file with an extended header; in its place older readers find a single channel."""
    return len(blocks) == 1 and len(blocks[0].codes) <= 1


def _named_codes(text: str) -> set[int]:
    """Return the codes of the electrodes that a .21E file names."""
    sections = re.split(r"^\[", text, flags=re.MULTILINE)
    used = [part for part in sections if re.match(r"[^\n]*(ELECTRODE|REFERENCE)", part)]
    return {int(code) for part in used for code in re.findall(r"^(\d+)=\s*\S", part, re.MULTILINE)}


def _without_guesses(recording: Recording, codes: tuple[int, ...], named: set[int]) -> Recording:
    """Leave out electrodes whose name is only a default."""
    channels = recording.channels
    guessed = [i for i, code in enumerate(codes) if code not in named and parse_label(channels[i].label) is not None]
    problem = "the file of electrode names (.21E) does not name it"
    return leave_out(recording, guessed, problem, f"{problem}; the channel is left out")


def _blocks(path: Path) -> list[_Block]:
    """Read where the blocks of the first control block are, and what their headers say."""
    with open_regular(path) as file, foreign(str(path), "its blocks cannot be read"):

        def at(position: int, form: str) -> tuple[int, ...]:
            file.seek(position)
            return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))

        (control,) = at(0x92, "I")
        found = []
        for block in range(at(control + 17, "B")[0]):
            (begin,) = at(control + 18 + 20 * block, "I")
            rate, duration = at(begin + 0x1A, "HI")
            (n_channels,) = at(begin + 0x26, "B")
            codes = at(begin + 0x27, "B9x" * n_channels)
            found.append(_Block(duration * (rate & 0x3FFF) // 10, _clock(at(begin + 0x14, "6B")), codes))
    return found


def _clock(digits: tuple[int, ...]) -> datetime | None:
    """Read year, month, day, hour, minute and second from one byte each, whose hexadecimal digits are decimal."""
    try:
        year, month, day, hour, minute, second = (int(f"{byte:x}") for byte in digits)
        return datetime(year + (2000 if year < 80 else 1900), month, day, hour, minute, second)
    except ValueError:
        return None
