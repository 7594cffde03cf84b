"""What lies in an archive: recordings, and what cannot be walked; opens no recording and keeps no record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from restcli.errors import UsageError

ENDINGS = frozenset({".edf", ".bdf", ".rec", ".vhdr", ".eeg", ".lay", ".set"})
LEDGER_PATTERN = "ledger*.sqlite"
DERIVATIVES = ("derivatives", "restcli")

# Files of samples that belong to a header file of the same name; they count for its size and time.
_SAMPLES = {".vhdr": (".eeg", ".dat"), ".lay": (".dat",), ".set": (".fdt",)}
# Folders of a BIDS dataset that hold no raw recordings.
_NOT_RAW = frozenset({"derivatives", "sourcedata", "code", "stimuli"})
# Longest name (bytes) that leaves room for "_event01.png" and the random part of a workshop in 255.
_LONGEST_STEM = 180


@dataclass(frozen=True)
class Found:
    """A recording in the archive.

    Parameters
    ----------
    path : str
        Relative to the archive, with ``/``.
    size : int
        Bytes, files of samples that belong to it included.
    mtime_ns : int
        Latest modification, ns; only ever compared for equality, so that clocks may go backwards.
    stem : str
        What the names of its outputs begin with, relative to the folder of outputs, with ``/``.
    """

    path: str
    size: int
    mtime_ns: int
    stem: str


@dataclass(frozen=True)
class Skipped:
    """Something that was not looked into.

    Parameters
    ----------
    path : str
        Relative to the archive, printable.
    reason : str
        Why.
    may_hide : bool
        Whether recordings may have been missed because of it.
    """

    path: str
    reason: str
    may_hide: bool


@dataclass(frozen=True)
class Listing:
    """What one folder holds.

    Parameters
    ----------
    recordings : tuple of Found
        In order of their names.
    skipped : tuple of Skipped
        What was not looked into.
    n_others : int
        Files that are no recordings by their ending.
    """

    recordings: tuple[Found, ...]
    skipped: tuple[Skipped, ...]
    n_others: int


def is_bids(archive: str | Path) -> bool:
    """Tell whether a folder is a BIDS dataset: a dataset_description.json beside folders of subjects."""
    folder = Path(archive)
    return (folder / "dataset_description.json").is_file() and any(folder.glob("sub-*"))


def outputs_folder(archive: str | Path, out: str | Path) -> Path:
    """Return where outputs go: `out` itself, or a derivatives dataset in it when the archive is BIDS.

    Parameters
    ----------
    archive : str or Path
        The archive.
    out : str or Path
        Folder of outputs given by the user; one that already ends in ``derivatives/restcli`` is that dataset.
    """
    folder = Path(out)
    if not is_bids(archive) or folder.resolve().parts[-2:] == DERIVATIVES:
        return folder
    return folder.joinpath(*DERIVATIVES)


def shard_of(path: str, n_shards: int) -> int:
    """Return the shard, 1 to `n_shards`, that a relative path falls into; the same on every machine.

    Examples
    --------
    >>> shard_of("ward/a.edf", 1)
    1
    """
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % n_shards + 1


def stamp_of(path: str | Path) -> tuple[int, int]:
    """Return size and modification time of a recording as the walk counts them, files of samples included.

    Raises
    ------
    OSError
        If it is not there.
    """
    path = Path(path)
    ending = path.suffix.lower()
    parts = [path.stat()]
    if ending in _SAMPLES:
        wanted = {path.stem.lower() + other for other in _SAMPLES[ending]}
        with os.scandir(path.parent) as entries:
            parts += [entry.stat() for entry in entries if entry.name.lower() in wanted]
    return sum(part.st_size for part in parts), max(part.st_mtime_ns for part in parts)


def walk_archive(archive: str | Path, out: str | Path) -> Iterator[Listing]:
    """Walk an archive folder by folder.

    Parameters
    ----------
    archive : str or Path
        Its root.
    out : str or Path
        Folder of outputs, never walked even when it lies in the archive; nor is any other that holds a ledger.

    Yields
    ------
    Listing
        One a folder. Links to folders are followed last and each folder is walked once, so that a recording has the
        path of its real place and loops end.

    Raises
    ------
    UsageError
        If `archive` is no folder that can be read.
    """
    root = Path(archive)
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise UsageError(str(archive), what, "the folder that holds the recordings")
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise UsageError(str(archive), f"cannot be read ({error.strerror})", "a readable folder") from error
    yield from _Walk(root, Path(out)).listings()


class _Walk:
    """One walk: which folders were visited, which links wait."""

    def __init__(self, root: Path, out: Path) -> None:
        self.root = root
        self.bids = is_bids(root)
        self.visited: set[tuple[int, int]] = set()
        self.out = _identity(out)
        real = root.resolve()
        self.above = {_identity(parent) for parent in real.parents}
        self.links: list[str] = []

    def listings(self) -> Iterator[Listing]:
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            listing, inside = self._scan(folder)
            waiting += reversed(inside)
            yield listing
            while not waiting and self.links:
                link = self.links.pop(0)
                reason = self._why_not(link)
                if reason is None:
                    waiting.append(link)
                else:
                    yield Listing((), (Skipped(link, reason, may_hide=False),), 0)

    def _why_not(self, link: str) -> str | None:
        """Say why a link to a folder is not followed, or None."""
        identity = _identity(self.root / link)
        if identity in self.visited:
            return "a link to a folder that was walked already"
        if identity in self.above:
            return "a link to a folder that holds the archive"
        return None

    def _scan(self, folder: str) -> tuple[Listing, list[str]]:
        """List one folder and name the folders in it, in order."""
        place = self.root / folder
        try:
            status = place.stat()
            self.visited.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            return Listing((), (Skipped(folder, f"cannot be read ({error.strerror})", may_hide=True),), 0), []
        if (status.st_dev, status.st_ino) == self.out or any(
            PurePosixPath(e.name).match(LEDGER_PATTERN) for e in found
        ):
            return Listing((), (Skipped(folder, "holds outputs of restcli", may_hide=False),), 0), []
        skipped: list[Skipped] = []
        files: dict[str, os.stat_result] = {}
        inside: list[str] = []
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            reason = _bad_name(entry.name)
            try:
                if entry.is_dir():
                    if reason:
                        skipped.append(Skipped(_printable(path), reason, may_hide=True))
                    elif not self._is_left_out(folder, entry.name):
                        (self.links if entry.is_symlink() else inside).append(path)
                elif _is_recording(entry.name) and (reason or not entry.is_file()):
                    reason = reason or "is no ordinary file, or a link that leads nowhere"
                    skipped.append(Skipped(_printable(path), reason, may_hide=True))
                elif not entry.name.startswith(".") and not reason:
                    files[entry.name] = entry.stat()
            except OSError as error:
                skipped.append(Skipped(_printable(path), f"cannot be read ({error.strerror})", may_hide=True))
        recordings = _recordings(folder, files, bids=self.bids)
        return Listing(recordings, tuple(skipped), len(files) - len(recordings)), inside

    def _is_left_out(self, folder: str, name: str) -> bool:
        return name.startswith(".") or (self.bids and not folder and name in _NOT_RAW)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bad_name(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no valid UTF-8; rename it"
    return ""


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_recording(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in ENDINGS


def _recordings(folder: str, files: Mapping[str, os.stat_result], *, bids: bool) -> tuple[Found, ...]:
    """Pick recordings from the files of a folder; a BrainVision ``.eeg`` belongs to its ``.vhdr``."""
    lower = {name.lower(): name for name in files}
    names = []
    for name in files:
        ending = PurePosixPath(name).suffix.lower()
        header = f"{name[: -len(ending)].lower()}.vhdr" if ending else ""
        if _is_recording(name) and not (ending == ".eeg" and header in lower):
            names.append(name)
    stems = output_stems(names, bids=bids)
    found = []
    for name in names:
        ending = PurePosixPath(name).suffix.lower()
        base = name[: -len(ending)].lower()
        parts = [files[name]]
        parts += [files[lower[base + other]] for other in _SAMPLES.get(ending, ()) if base + other in lower]
        path, stem = (f"{folder}/{part}" if folder else part for part in (name, stems[name]))
        found.append(Found(path, sum(part.st_size for part in parts), max(part.st_mtime_ns for part in parts), stem))
    return tuple(found)


def output_stems(names: Sequence[str], *, bids: bool = False) -> dict[str, str]:
    """Give each recording of a folder a name for its outputs, no two alike even where case does not count.

    Parameters
    ----------
    names : sequence of str
        File names of the recordings in one folder.
    bids : bool
        Leave out the ``_eeg`` suffix, which the suffix of each output replaces.

    Returns
    -------
    dict of str to str
        The name without its ending; the whole name where two recordings would meet.

    Examples
    --------
    >>> output_stems(["a.edf", "b.edf", "B.bdf"])
    {'a.edf': 'a', 'b.edf': 'b.edf', 'B.bdf': 'B.bdf'}
    """
    stems = {name: _stem(name, bids=bids) for name in names}
    counts: dict[str, int] = {}
    for stem in stems.values():
        counts[stem.casefold()] = counts.get(stem.casefold(), 0) + 1
    return {name: _shortened(name if counts[stem.casefold()] > 1 else stem) for name, stem in stems.items()}


def _stem(name: str, *, bids: bool) -> str:
    stem = PurePosixPath(name).stem
    return stem.removesuffix("_eeg") if bids else stem


def _shortened(stem: str) -> str:
    raw = stem.encode()
    if len(raw) <= _LONGEST_STEM:
        return stem
    return raw[:_LONGEST_STEM].decode(errors="ignore") + "-" + hashlib.sha256(raw).hexdigest()[:8]
