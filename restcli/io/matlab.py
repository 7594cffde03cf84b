"""A look through a MATLAB 5 file before scipy reads it, which crashes on types that it does not know."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from restcli.errors import RecordingError
from restcli.io.companions import open_regular

# Bytes of a value by the number of its type, after "MAT-File Format", The MathWorks, tables 1-1 and 1-3.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_UINT32, _MATRIX, _COMPRESSED = 6, 14, 15
_TEXTS, _COUNTS = (1, 16), (5, 6)
_KINDS = frozenset({*_SIZES, _MATRIX, _COMPRESSED})
# Classes of arrays.
_CELL, _STRUCT, _OBJECT, _CHAR, _SPARSE, _DOUBLE, _UINT64, _FUNCTION = 1, 2, 3, 4, 5, 6, 15, 16
# Version and byte order at the end of the header.
_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
_HDF5 = (b"\x00\x02IM", b"\x02\x00MI")
_IS_COMPLEX = 0x800
_DEEPEST = 100

Element = tuple[int, int, int]  # its type, and where its content begins and ends


class _DamagedError(Exception):
    """The bytes do not follow the format."""


def check_matlab(path: Path) -> None:
    """Refuse a MATLAB file whose elements do not fit into each other, and those of HDF5."""
    with open_regular(path) as file:
        raw = memoryview(file.read())
    mark = bytes(raw[124:128])
    if mark in _HDF5:
        what = "it is saved in MATLAB's format 7.3 (HDF5), which is not read"
        remedy = "Save the data set from EEGLAB in format 6 or 7, or as EDF"
        raise RecordingError(str(path), what, "an EEGLAB data set", remedy)
    order = _ORDERS.get(mark, "")
    try:
        if not order or 0 in raw[:4]:
            raise _DamagedError
        for kind, first, stop in _elements(raw, 128, len(raw), order):
            if kind == _COMPRESSED:
                inside = memoryview(zlib.decompress(raw[first:stop]))
                for element in _elements(inside, 0, len(inside), order):
                    _check_array(inside, element, order)
            else:
                _check_array(raw, (kind, first, stop), order)
    except (_DamagedError, zlib.error, struct.error):
        what = "its structure as a MATLAB file is damaged"
        raise RecordingError(str(path), what, "an EEGLAB data set", "Copy it again") from None


def _elements(raw: memoryview, at: int, end: int, order: str) -> Iterator[Element]:
    """Yield the elements that follow each other between two places."""
    tag = struct.Struct(f"{order}2I").unpack_from
    while at < end:
        kind, size = tag(raw, at)
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, size, first, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            if size > 4:
                raise _DamagedError
        else:
            first = at + 8
            after = first + size + (0 if kind == _COMPRESSED else -size % 8)
        if first + size > end or kind not in _KINDS:
            raise _DamagedError
        yield kind, first, first + size
        at = after


def _check_array(raw: memoryview, element: Element, order: str, depth: int = 0) -> None:
    """Check that an array holds what its class and its dimensions say."""
    if element[0] != _MATRIX or depth > _DEEPEST:
        raise _DamagedError
    parts = list(_elements(raw, element[1], element[2], order))
    if not parts:  # an empty field
        return
    if len(parts) < 2 or parts[0][0] != _UINT32 or parts[0][2] - parts[0][1] != 8:
        raise _DamagedError
    (flags,) = struct.unpack_from(f"{order}I", raw, parts[0][1])
    held, inside = _held(raw, parts, flags, order)
    for part in held:
        if (part[0] == _MATRIX) != inside:
            raise _DamagedError
        if inside:
            _check_array(raw, part, order, depth + 1)


def _held(raw: memoryview, parts: list[Element], flags: int, order: str) -> tuple[list[Element], bool]:
    """Return the elements that hold the values of an array of a class, and whether these are arrays themselves."""
    kind = flags & 0xFF
    if not _CELL <= kind <= _FUNCTION:  # objects of newer classes, which scipy takes as they are
        return [part for part in parts[1:] if part[0] == _MATRIX], True
    if len(parts) < 4 or parts[1][0] not in _COUNTS or parts[2][0] not in _TEXTS:
        raise _DamagedError
    n_values = math.prod(struct.unpack_from(f"{order}{(parts[1][2] - parts[1][1]) // 4}i", raw, parts[1][1]))
    rest = parts[3:]
    if kind in (_STRUCT, _OBJECT):
        rest = rest[1:] if kind == _OBJECT else rest
        if len(rest) < 2 or rest[0][0] not in _COUNTS or rest[1][0] not in _TEXTS:
            raise _DamagedError
        (width,) = struct.unpack_from(f"{order}i", raw, rest[0][1])
        n_values *= (rest[1][2] - rest[1][1]) // max(width, 1)
        rest = rest[2:]
    if kind in (_CELL, _STRUCT, _OBJECT) and len(rest) != n_values:
        raise _DamagedError
    numeric = _DOUBLE <= kind <= _UINT64
    if numeric and any(part[2] - part[1] != n_values * _SIZES.get(part[0], 0) for part in rest):
        raise _DamagedError
    n_complex = 1 if flags & _IS_COMPLEX else 0
    if len(rest) != {_CHAR: 1, _SPARSE: 3 + n_complex}.get(kind, 1 + n_complex if numeric else len(rest)):
        raise _DamagedError
    return rest, kind in (_CELL, _STRUCT, _OBJECT, _FUNCTION)
