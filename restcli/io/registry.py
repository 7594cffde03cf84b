"""Every signal format in one table; opening, listing and hashing recordings all read it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from restcli.errors import RecordingError, UsageError
from restcli.files import sha256_of
from restcli.io import ant, curry, edf, gdf, mff, micromed, mne_formats, nihon, persyst, vendor, xdf
from restcli.io.companions import ANY_FORMAT, check_regular, find_file, open_regular, sibling, unreadable
from restcli.io.edf_header import is_edf, is_whole_edf
from restcli.io.memory import in_memory
from restcli.io.recording import Recording
from restcli.io.research import is_egi, is_neuroscan, open_egi, open_neuroscan

_UNTRIED = "untried on real recordings; made files"
_PART = 65_536  # bytes of a file that its fingerprint takes at each of three places


@dataclass(frozen=True)
class Reader:
    """A signal format: how its files are recognised, which belong together, and how they are opened."""

    name: str  # for people
    endings: tuple[str, ...]  # in lower case, of the file that stands for a recording
    open: Callable[[tuple[Path, ...]], Recording]  # takes that file first and opens no others; RecordingError
    companions: Callable[[Path], tuple[Path, ...]] = lambda _: ()  # the other files, in a fixed order; RecordingError
    probe: Callable[[bytes], bool] = lambda _: False  # recognises the first 256 bytes of a file, whatever its ending
    samples: tuple[str, ...] = ()  # endings of files that a user may name instead of the header beside them
    package: str = ""  # library that reads the samples; empty when restcli does
    tried: str = _UNTRIED  # what the reader was tried on
    by_content: bool = False  # whether `probe` alone recognises files, because others have these endings too
    is_folder: bool = False  # whether a folder stands for a recording, instead of one of its files


_EDF = Reader("EDF or BDF", (".edf", ".bdf", ".rec"), edf.open_edf, probe=is_edf, tried="recordings of many systems")
_MADE = "made files"

READERS = (
    _EDF,
    Reader(
        "Persyst",
        (".lay",),
        persyst.open_persyst,
        persyst.companions,
        persyst.is_persyst,
        samples=(".dat",),
        tried=_MADE,
    ),
    Reader(
        "BrainVision",
        (".vhdr",),
        mne_formats.open_brainvision,
        mne_formats.brainvision_files,
        mne_formats.is_brainvision,
        samples=(".eeg", ".dat"),
        package="mne",
        tried=_MADE,
    ),
    Reader(
        "Nihon Kohden",
        (".eeg",),
        nihon.open_nihon,
        nihon.nihon_files,
        nihon.is_nihon,
        package="mne",
        tried="one recording, made files; EEG-1200 (needs eeg2edf): untried, made files",
    ),
    Reader(
        "EEGLAB",
        (".set",),
        mne_formats.open_eeglab,
        mne_formats.eeglab_files,
        samples=(".fdt",),
        package="mne",
        tried=_MADE,
    ),
    Reader("Neuroscan", (".cnt",), open_neuroscan, probe=is_neuroscan, package="mne", by_content=True),
    Reader("ANT Neuro", (".cnt",), ant.open_ant, ant.ant_files, ant.is_ant, package="antio", by_content=True),
    Reader("EGI simple binary", (".raw",), open_egi, probe=is_egi, package="mne", by_content=True),
    Reader("GDF", (".gdf",), gdf.open_gdf, probe=gdf.is_gdf),
    Reader("XDF", (".xdf",), xdf.open_xdf, probe=xdf.is_xdf),
    Reader("EGI MFF", (mff.ENDING,), mff.open_mff, mff.mff_files, is_folder=True),
    Reader("Nicolet", (".e",), vendor.open_nicolet, probe=vendor.is_nicolet, package="eeg2edf", by_content=True),
    Reader("Curry", (".cdt", ".dap"), curry.open_curry, curry.curry_files, curry.is_curry, samples=(".dat", ".rs3")),
    Reader("Micromed", (".trc",), micromed.open_micromed, probe=micromed.is_micromed, by_content=True),
)

_FOLDERS = next(reader for reader in READERS if reader.is_folder)
ENDINGS = frozenset(ending for reader in READERS if not reader.by_content for ending in reader.endings)
"""Endings that only recordings have."""
ALL_ENDINGS = frozenset(ending for reader in READERS for ending in reader.endings) | {".edf+", ".bdf+"}


COMPRESSED = "is compressed; unpack it first"
NO_SIGNALS = "holds annotations only, no signals"
_COMPRESSED = frozenset({".gz", ".zip", ".bz2", ".xz", ".7z", ".zst", ".rar", ".z"})
_PACKED = {".xdfz": ".xdf", ".mfz": ".mff"}  # compressed recordings with endings of their own
# Endings of other files that lie beside recordings and need not be opened.
_OTHERS = frozenset(
    ".txt .md .rst .log .csv .tsv .csv_bi .tse .tse_bi .lbl .lbl_bi .seizures .json .xml .yaml .yml .toml .ini .html "
    ".htm .pdf .doc .docx .xls .xlsx .ppt .pptx .png .jpg .jpeg .tif .tiff .gif .svg .bmp .mp4 .avi .mov .wmv .m2t "
    ".mp3 .wav .py .m .r .ipynb .sh .mat .npy .npz .h5 .hdf5 .fif .nii .dcm .parquet .sqlite .db .tar .vmrk .pnt .21e "
    ".fdt .dpa .dpo .rs3 .cef .ceo".split()
)


def is_recording(path: Path) -> bool:
    """Tell whether a file stands for a recording, and not for the samples of the header beside it or for marks.

    Where its ending does not say what it is, its first bytes do.
    """
    ending = path.suffix.lower()
    if is_folder_of_one(path):
        return True
    if path.name.startswith(".") or ending in _OTHERS | _COMPRESSED | _PACKED.keys() or _main_file(path) != path:
        return False
    if ending in ENDINGS:
        return not edf.is_annotations_only(path)
    try:
        with open_regular(path) as file:
            head = file.read(256)
        reader = next((reader for reader in READERS if reader is not _EDF and reader.probe(head)), None)
        if reader is not None:  # other files of a recording may begin as it does
            return reader.by_content or sibling(path, reader.endings) in (None, path)
    except RecordingError:
        return False
    return is_whole_edf(head) and not edf.is_annotations_only(path)


def is_folder_of_one(path: Path) -> bool:
    """Tell whether a folder stands for a recording, so that its files are not looked into one by one."""
    return not path.name.startswith(".") and path.suffix.lower() in _FOLDERS.endings and path.is_dir()


def why_no_recording(path: Path) -> str:
    """Say why a file that looks like a recording is passed over; empty for other files."""
    ending = path.suffix.lower()
    if path.name.startswith("."):
        return ""
    if ending in _PACKED and path.is_file():
        return "" if path.with_suffix(_PACKED[ending]).exists() else COMPRESSED
    if ending in _COMPRESSED and path.with_suffix("").suffix.lower() in ALL_ENDINGS:
        return "" if path.with_suffix("").exists() else COMPRESSED
    if ending in _OTHERS:
        return ""
    return NO_SIGNALS if edf.is_annotations_only(path) else ""


def _main_file(path: Path) -> Path:
    """Return the header beside a file of samples, the samples of a Curry header, or the file itself."""
    if is_folder_of_one(path.parent):
        return path.parent
    if path.suffix.lower() in curry.HEADERS:
        return find_file(path.with_suffix("")) or path
    for reader in READERS:
        if path.suffix.lower() in reader.samples:
            header = sibling(path, reader.endings)
            if header is not None:
                return header
    return path


def _find_reader(path: Path) -> tuple[Reader, Path]:
    """Return the reader of a recording and the file that stands for it: EDF and BDF by ending, others by content."""
    if is_folder_of_one(path) or is_folder_of_one(path.parent):
        return _FOLDERS, path if is_folder_of_one(path) else path.parent
    if path.suffix.lower() in _EDF.endings:
        return _EDF, path
    path = _main_file(path) if path.suffix.lower() in curry.HEADERS else path
    with open_regular(path) as file:
        head = file.read(256)
    for reader in READERS:
        if reader.probe(head):
            return reader, path
    path = _main_file(path)
    ending = path.suffix.lower()
    for reader in READERS:
        if ending in reader.endings and not (reader.by_content or reader.is_folder):
            return reader, path
    if any(ending in reader.samples for reader in READERS):
        raise RecordingError(str(path), "its header file is not beside it", ANY_FORMAT)
    return _EDF, path  # whose refusal says what the file seems to be


def _files_and_reader(path: str | os.PathLike[str]) -> tuple[tuple[Path, ...], Reader]:
    try:
        reader, main = _find_reader(Path(path))
        files = reader.companions(main) if reader.is_folder else (main, *reader.companions(main))
        for file in files:
            check_regular(file)
        return files, reader
    except OSError as error:
        raise unreadable(str(path), error) from None


def open_recording(path: Any, *, sfreq: float | None = None, ch_names: Sequence[str] | None = None) -> Recording:
    """Open a recording: read and repair its header, find its segments; signals stay where they are.

    Parameters
    ----------
    path : path, mne.io.BaseRaw or array_like, shape (n_channels, n_samples)
        A file of one of the formats that ``restcli formats`` lists; a Raw object of MNE; or samples in microvolts, NaN
        where nothing is known.
    sfreq : float, optional
        Sampling rate of an array, Hz.
    ch_names : sequence of str, optional
        Channel names of an array, such as ``"Fp1"``, ``"EEG FP1-REF"`` or ``"FP1-F7"``.

    Returns
    -------
    Recording

    Raises
    ------
    RecordingError
        If the file cannot be used; the reason is meant for the user.
    UsageError
        If an array has the wrong shape or unit, or the arguments do not fit together.

    Notes
    -----
    Of a Raw object, channels of ``info["bads"]`` are left out, stretches marked ``BAD_ACQ_SKIP`` are gaps, and it is
    cut where MNE marks a boundary; other annotations are not used. Where every channel of an array is NaN or masked
    for a second or more is a gap too. A second in which a channel is NaN, or which resampling mixes with it, is not
    used on that channel. Arrays do not say which samples were clipped.
    """
    if not isinstance(path, str | os.PathLike):
        return in_memory(path, sfreq=sfreq, ch_names=ch_names)
    if sfreq is not None or ch_names is not None:
        raise UsageError("sfreq, ch_names", f"given with the file {path}", "them with an array only", "Leave them out")
    files, reader = _files_and_reader(path)
    try:
        return replace(reader.open(files), fingerprint=fingerprint_of(files))
    except OSError as error:
        raise unreadable(str(path), error) from None


def fingerprint_of(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the beginning, middle and end of the files of a recording; copies have the same."""
    digest = hashlib.sha256()
    for path in files:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            for place in (0, size // 2, max(0, size - _PART)):
                file.seek(place)
                digest.update(file.read(_PART))
    return digest.hexdigest()


def files_of(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return the files of a recording, all regular: the one that stands for it, then its companions."""
    return _files_and_reader(path)[0]


def stamp_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the bytes of all files of a recording and a sum of their times, ns; both change with any of them.

    Only the file itself counts when its header does not name the others. Raises OSError when it is gone.
    """
    try:
        files = files_of(path)
    except RecordingError:  # opening it will say why
        files = (Path(path),)
    stamps = [file.stat() for file in files]
    return sum(stamp.st_size for stamp in stamps), sum(stamp.st_mtime_ns for stamp in stamps) % 2**63


def recording_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a recording's content in hexadecimal; of several files, that of their digests."""
    digests = []
    for part in files_of(path):
        try:
            digests.append(sha256_of(part))
        except OSError as error:
            raise unreadable(part, error) from None
    return digests[0] if len(digests) == 1 else hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()
