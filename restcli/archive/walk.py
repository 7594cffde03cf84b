"""Find the recordings of an archive, and name what could not be looked into."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from restcli.errors import RecordingError, UsageError
from restcli.io.registry import ENDINGS, NO_SIGNALS, is_folder_of_one, is_recording, stamp_of, why_no_recording

LEDGER_PATTERN = "ledger*.sqlite"
DERIVATIVES = ("derivatives", "restcli")

# Folders of a BIDS dataset that hold no raw recordings.
_NOT_RAW = frozenset({"derivatives", "sourcedata", "code", "stimuli"})
# Longest name in bytes that leaves room in 255 for endings such as "_event01_p2_reviewed.png" and a random suffix.
_LONGEST_STEM = 180
_EVENTS = re.compile(r"_events(_reviewed)?\.[^.]+$")  # of outputs
_NOT_UTF8 = re.compile("[\ud800-\udfff]")  # bytes of a name that Python could not decode
_REMEDY = "Move ledger*.sqlite*, index.html and .restcli out of it, and choose another folder for outputs"


@dataclass(frozen=True)
class Found:
    """A recording in the archive."""

    path: str  # relative to the archive, with "/"
    size: int  # bytes, companion files included
    mtime_ns: int  # latest modification; only ever compared for equality, so that clocks may go backwards
    stem: str  # what the names of its outputs begin with, relative to the folder of outputs, with "/"


@dataclass(frozen=True)
class Skipped:
    """Something that was not looked into."""

    path: str  # relative to the archive, printable
    reason: str
    may_hide: bool  # whether recordings may have been missed because of it


@dataclass(frozen=True)
class Listing:
    """What one folder holds."""

    recordings: tuple[Found, ...]
    skipped: tuple[Skipped, ...]
    others: Mapping[str, int]  # files that are not recordings, by ending


def is_bids(archive: str | Path) -> bool:
    """Tell whether a folder is a BIDS dataset: a dataset_description.json beside folders of subjects."""
    folder = Path(archive)
    return (folder / "dataset_description.json").is_file() and any(folder.glob("sub-*"))


def outputs_folder(archive: str | Path, out: str | Path) -> Path:
    """Return where outputs go: `out` itself, or a derivatives dataset in it when the archive is BIDS."""
    folder = Path(out)
    if not is_bids(archive) or folder.resolve().parts[-2:] == DERIVATIVES:
        return folder
    return folder.joinpath(*DERIVATIVES)


def shard_of(path: str, n_shards: int) -> int:
    """Return the shard, 1 to `n_shards`, that a relative path falls into; the same on every machine."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % n_shards + 1


def check_archive(archive: str | Path, out: str | Path) -> None:
    """Raise UsageError when an archive cannot be walked, or when outputs would go, or went, into the archive itself."""
    root = Path(archive)
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(str(archive), what, "the folder that holds the recordings")
    if root.resolve() == Path(out).resolve():
        raise UsageError(str(out), "is the archive itself", remedy="Choose another folder for outputs, beside it")
    try:
        is_poisoned = any(path.match(LEDGER_PATTERN) for path in root.iterdir())
    except OSError as error:
        raise UsageError(str(archive), f"cannot be read ({error.strerror})", "a readable folder") from error
    if is_poisoned:
        raise UsageError(str(archive), "holds the ledger of an earlier batch that wrote into it", remedy=_REMEDY)


def walk_archive(archive: str | Path, out: str | Path) -> Iterator[Listing]:
    """Walk an archive folder by folder, except `out` and other folders with a ledger.

    Links to folders are followed last and each folder is walked once: loops end, and a recording has the path of its
    real place.
    """
    check_archive(archive, out)
    root, bids, own = Path(archive), is_bids(archive), _identity(out)
    known = dict.fromkeys(map(_identity, root.resolve().parents), "holds the archive, and was reached by a link")
    folders, links = [""], list[str]()
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            identity = _identity(root / folder)
            with os.scandir(root / folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            yield Listing((), (Skipped(folder, f"cannot be read ({error.strerror})", may_hide=True),), {})
            continue
        if identity in known:
            yield Listing((), (Skipped(folder, known[identity], may_hide=False),), {})
            continue
        known[identity] = "was walked already, and was reached again by a link"
        if identity == own or any(PurePosixPath(entry.name).match(LEDGER_PATTERN) for entry in entries):
            yield Listing((), (_skip_outputs(root, folder),), {})
            continue
        contents = _sort(folder, entries, is_bids_root=bids and not folder)
        recordings, unusable = _recordings(root, folder, contents.files, bids=bids)
        folders += reversed(contents.folders)
        links += contents.links
        yield Listing(recordings, (*contents.skipped, *unusable), _by_ending(contents.files, recordings))


def _identity(path: str | Path) -> tuple[int, int] | None:
    """Return what identifies a folder under any of its names; None if it does not exist."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@dataclass
class _Contents:
    """The entries of one folder by kind."""

    files: list[str] = field(default_factory=list)  # names, also of folders that are recordings
    folders: list[str] = field(default_factory=list)  # paths relative to the archive, as in the others
    links: list[str] = field(default_factory=list)  # to folders
    skipped: list[Skipped] = field(default_factory=list)


def _sort(folder: str, entries: Sequence[os.DirEntry[str]], *, is_bids_root: bool) -> _Contents:
    contents = _Contents()
    for entry in entries:
        path, reason = _join(folder, entry.name), ""
        if entry.name.startswith(".") or (is_bids_root and entry.name in _NOT_RAW):
            continue
        try:
            is_folder = entry.is_dir() and not is_folder_of_one(Path(entry.path))
            is_file = entry.is_file() or (entry.is_dir() and not is_folder)
            if _NOT_UTF8.search(entry.name):
                reason = "its name is not valid UTF-8; rename it" if is_folder or _has_ending(entry.name) else ""
            elif is_folder:
                (contents.links if entry.is_symlink() else contents.folders).append(path)
            elif is_file:
                contents.files.append(entry.name)
            elif _has_ending(entry.name):
                reason = "is not a regular file, or is a link that leads nowhere"
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
        if reason:
            contents.skipped.append(Skipped(_printable(path), reason, may_hide=True))
    return contents


def _recordings(
    root: Path, folder: str, files: Sequence[str], *, bids: bool
) -> tuple[tuple[Found, ...], list[Skipped]]:
    """Pick the recordings from the files of a folder, with the size and time of all their files."""
    place = root / folder
    names = [name for name in files if is_recording(place / name)]
    reasons = ((name, why_no_recording(place / name)) for name in sorted(set(files).difference(names)))
    skipped = [
        Skipped(_join(folder, name), reason, may_hide=reason != NO_SIGNALS) for name, reason in reasons if reason
    ]
    found = []
    for name, stem in output_stems(names, bids=bids).items():
        try:
            found.append(Found(_join(folder, name), *stamp_of(place / name), _join(folder, stem)))
        except (OSError, RecordingError) as error:
            reason = error.what if isinstance(error, RecordingError) else f"cannot be read ({error.strerror})"
            skipped.append(Skipped(_join(folder, name), reason, may_hide=True))
    return tuple(found), skipped


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _skip_outputs(root: Path, folder: str) -> Skipped:
    """Say why a folder of outputs is not walked; recordings in it would be missed."""
    names = (name for _, folders, files in os.walk(root / folder) for name in (*files, *folders))
    if any(_has_ending(name) and not _EVENTS.search(name) for name in names):
        return Skipped(folder, f"holds recordings beside the outputs of a batch; {_REMEDY.lower()}", may_hide=True)
    return Skipped(folder, "holds outputs of restcli", may_hide=False)


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _by_ending(files: Sequence[str], recordings: Sequence[Found]) -> dict[str, int]:
    """Count the files that are not recordings by their endings, in lower case."""
    taken = {PurePosixPath(found.path).name for found in recordings}
    others = [PurePosixPath(name.lower()) for name in files if name not in taken]
    return Counter("".join(name.suffixes[-2:] if name.suffix == ".gz" else name.suffixes[-1:]) for name in others)


def _has_ending(name: str) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in ENDINGS


# ---- names of outputs


def output_stems(names: Sequence[str], *, bids: bool = False) -> dict[str, str]:
    """Name the outputs of each recording of a folder, no two alike even where case does not count.

    >>> output_stems(["a.edf", "b.edf", "B.bdf"])
    {'a.edf': 'a', 'b.edf': 'b.edf', 'B.bdf': 'B.bdf'}
    """
    stems = {name: _stem(name, bids=bids) for name in names}
    counts = Counter(stem.casefold() for stem in stems.values())
    return {name: _shortened(name if counts[stem.casefold()] > 1 else stem) for name, stem in stems.items()}


def _stem(name: str, *, bids: bool) -> str:
    stem = PurePosixPath(name).stem
    return stem.removesuffix("_eeg") if bids else stem


def _shortened(stem: str) -> str:
    raw = stem.encode()
    if len(raw) <= _LONGEST_STEM:
        return stem
    return raw[:_LONGEST_STEM].decode(errors="ignore") + "-" + hashlib.sha256(raw).hexdigest()[:8]


def possible_stems(path: str) -> frozenset[str]:
    """Return every stem that `output_stems` can give to a recording at this relative path.

    >>> sorted(possible_stems("ward/a_eeg.edf"))
    ['ward/a', 'ward/a_eeg', 'ward/a_eeg.edf']
    """
    folder, slash, name = path.rpartition("/")
    stems = (_stem(name, bids=True), _stem(name, bids=False), name)
    return frozenset(folder + slash + _shortened(stem) for stem in stems)


def is_inside(path: str) -> bool:
    """Tell whether a relative path with ``/`` stays in the folder that it starts from."""
    parts = path.split("/")
    return "\0" not in path and not {"", ".", ".."} & set(parts)


def is_output_of(path: str, name: str) -> bool:
    """Tell whether `name`, relative to the folder of outputs, can be an output of the recording at `path`.

    >>> [is_output_of("ward/a.edf", f"ward/a_{name}") for name in ("events.tsv", "event01_p2.png", "x/../b.tsv")]
    [True, True, False]
    """
    stems = (stem for stem in possible_stems(path) if name.startswith(f"{stem}_"))
    ending = re.compile(r"_[a-z0-9]+(_p[0-9])?\.[a-z0-9._]+")
    return is_inside(path) and any(ending.fullmatch(name[len(stem) :]) for stem in stems)
