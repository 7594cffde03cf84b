"""EDF, EDF+ and BDF files, read without other libraries.

MNE closes gaps, brings all channels to one rate, and does not say which samples lie at the digital limits or what it
repaired.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from restcli.errors import RecordingError
from restcli.io import edf_header, edf_times
from restcli.io.companions import open_regular
from restcli.io.headers import LONGEST
from restcli.io.recording import CUT_OFF, Recording
from restcli.io.records import RecordLayout, from_records

_LOST = re.compile(rb"\x15([0-9]{1,9}(?:\.[0-9]{1,6})?)\x14not scored: " + re.escape(CUT_OFF.encode()) + rb"\x14")
# Files that hold only annotations are small.
_LARGEST_ANNOTATIONS = 2**24


def is_annotations_only(path: Path) -> bool:
    """Recognise an EDF+ or BDF+ file without signals, which is not a recording, by its header."""
    try:
        if path.stat().st_size > _LARGEST_ANNOTATIONS:
            return False
        with open_regular(path) as file:
            head = file.read(256)
            labels = file.read(16 * int(head[252:256])) if edf_header.is_whole_edf(head) else b""
    except (OSError, RecordingError):
        return False  # opening it will say why
    found = {labels[place : place + 16].strip().lower() for place in range(0, len(labels), 16)}
    return bool(found) and found <= {b"edf annotations", b"bdf annotations"}


def open_edf(files: tuple[Path, ...]) -> Recording:
    """Open an EDF or BDF file."""
    with open_regular(files[0]) as file:
        return _open(files[0], file)


def _open(path: Path, file: BinaryIO) -> Recording:
    where, status = str(path), os.fstat(file.fileno())
    header = edf_header.read_header(file, where)
    file.seek(header.data_start)
    if edf_times.is_text_damaged(file.read(2**20)):
        raise RecordingError(
            where,
            "was damaged when it was copied: line endings were converted as in a text file, which shifts the samples",
            "the original bytes",
            "copy the original again as a binary file",
        )
    found = from_records(path, header, status, times=_timeline(file, header, where))
    lost = _converted_without(file, header)
    if not lost:
        return found
    note = f"the recording was cut off before it was converted: {lost:.10g} s after its end are missing"
    return replace(found, missing=found.missing + lost, repairs=(*found.repairs, note))


def _converted_without(file: BinaryIO, header: RecordLayout) -> float:
    """Return the seconds that a file converted by restcli says are missing, in the annotations of its first record."""
    if not header.annotations:
        return 0.0
    mark = header.annotations[0]
    file.seek(header.place(0, mark))
    found = _LOST.search(file.read(min(4096, mark.n_samples * header.sample_bytes)))
    lost = float(found[1]) if found else 0.0
    return lost if lost <= LONGEST else 0.0


def _timeline(file: BinaryIO, header: RecordLayout, where: str) -> edf_times.RecordTimes:
    """Read the time stamps of the records: all of them if gaps are announced or a sample of them shows one."""
    interrupted = header.kind.endswith("+D")
    if not header.annotations or header.annotations[0].n_samples == 0:
        if interrupted:
            what = "the file is interrupted (EDF+D) but has no annotations to say where the gaps are"
            raise RecordingError(where, what)
        return edf_times.RecordTimes()
    step = float(header.record_duration)
    some = np.unique(np.linspace(0, header.n_records - 1, 500).astype(int))
    onsets = _onsets(file, header, some)
    known = np.isfinite(onsets)
    if not known.any():  # millions of blank stamps need not be read
        return edf_times.timeline(onsets, step, header.kind, where=where)
    if not interrupted and known.all() and np.abs(onsets - onsets[0] - some * step).max() < 1e-3:
        return edf_times.timeline(onsets[:1], step, header.kind, where=where)
    return edf_times.timeline(_onsets(file, header, np.arange(header.n_records)), step, header.kind, where=where)


def _onsets(file: BinaryIO, header: RecordLayout, records: NDArray[np.intp]) -> NDArray[np.float64]:
    mark = header.annotations[0]
    length = min(48, mark.n_samples * header.sample_bytes)
    onsets = np.empty(len(records))
    for i, record in enumerate(records.tolist()):
        file.seek(header.place(record, mark))
        onsets[i] = edf_times.record_onset(file.read(length))
    return onsets
