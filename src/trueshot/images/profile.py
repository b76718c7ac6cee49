"""Detects a wide colour gamut declared by a file; no colours are converted.

A file declares its gamut by an ICC profile, or by the number of its primaries in ITU-T H.273: in
the chunk cICP of a PNG, in the box `colr` (`nclx`) of HEIF and AVIF.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SRGB_AREA = 0.109  # area of its primaries' triangle in CIE (x, y), adapted to D50
_WIDE = 1.1  # times that area; Display P3 has 1.3, Adobe RGB 1.4
_MOST_TAGS = 200

_WIDE_PRIMARIES = {4, 8, 9, 10, 11, 12}  # NTSC of 1953, film, BT.2020, XYZ, DCI-P3, Display P3
_MOST_BOXES, _MOST_ASSOCIATIONS = 1000, 10_000  # camera files have some hundred


def has_wide_gamut(data: bytes, icc_profile: bytes) -> bool:
    """Whether a file declares a gamut clearly larger than sRGB.

    Args:
        data: The whole file.
        icc_profile: Its ICC profile, empty for none. In a PNG, cICP takes precedence over it.
    """
    try:
        if data.startswith(b"\x89PNG"):
            primaries = _of_png(data)
            return is_wide(icc_profile) if primaries is None else primaries in _WIDE_PRIMARIES
        of_boxes = data[4:8] == b"ftyp" and _of_boxes(data) in _WIDE_PRIMARIES
    except (struct.error, LookupError):
        of_boxes = False  # a part is missing or damaged; no pixel depends on it
    return of_boxes or is_wide(icc_profile)


def is_wide(icc_profile: bytes) -> bool:
    """Whether the primaries of an RGB profile span a clearly larger gamut than sRGB."""
    try:
        corners = [_chromaticity(icc_profile, name) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (struct.error, ValueError, ZeroDivisionError):
        return False  # a grey, CMYK or table-based profile, or a damaged one
    (ax, ay), (bx, by), (cx, cy) = corners
    return abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2 > _WIDE * _SRGB_AREA


def _chromaticity(icc_profile: bytes, name: bytes) -> tuple[float, float]:
    """Return the CIE x and y of the colour in a tag."""
    (count,) = struct.unpack_from(">I", icc_profile, 128)
    for number in range(min(count, _MOST_TAGS)):
        tag, at, _ = struct.unpack_from(">4sII", icc_profile, 132 + 12 * number)
        if tag == name:
            big_x, big_y, big_z = struct.unpack_from(">3i", icc_profile, at + 8)
            total = big_x + big_y + big_z
            return big_x / total, big_y / total
    raise ValueError("no such tag")


def _of_png(data: bytes) -> int | None:
    """Return the number of the primaries in the chunk cICP, which precedes the pixels, or None."""
    at = 8
    for _ in range(_MOST_BOXES):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"cICP", b"IDAT", b"IEND"):
            return data[at + 8] if (kind, size) == (b"cICP", 4) else None
        at += 12 + size
    return None


def _of_boxes(data: bytes) -> int | None:
    """Return the number of the primaries of the main picture of a HEIF or AVIF file, or None.

    Source: ISO/IEC 14496-12, 8.11 (meta, pitm) and 12.1.5 (colr); ISO/IEC 23008-12, 9.3 (ipma).
    """
    at, end = _places(data, 0, len(data))[b"meta"]
    inside = _places(data, at + 4, end)
    at, _ = inside[b"pitm"]
    (main,) = struct.unpack_from(">I" if data[at] else ">H", data, at + 4)
    tables = _places(data, *inside[b"iprp"])
    properties = [*_boxes(data, *tables[b"ipco"])]
    for number in _associated(data, tables[b"ipma"][0], main):
        kind, at, _ = properties[number - 1]
        if number and kind == b"colr" and data[at : at + 4] == b"nclx":
            return int.from_bytes(data[at + 4 : at + 6], "big")
    return None


def _associated(data: bytes, at: int, item: int) -> Iterator[int]:
    """Yield the numbers, from 1, of an item's properties in the ipma table at `at`."""
    flags, count = struct.unpack_from(">II", data, at)
    names, numbers = ">IB" if flags >> 24 else ">HB", "H" if flags & 1 else "B"
    at += 8
    for _ in range(min(count, _MOST_ASSOCIATIONS)):
        name, many = struct.unpack_from(names, data, at)
        at += struct.calcsize(names)
        if name == item:
            found = struct.unpack_from(f">{many}{numbers}", data, at)
            yield from (number & (0x7FFF if flags & 1 else 0x7F) for number in found)
            return
        at += many * struct.calcsize(numbers)


def _places(data: bytes, at: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Return start and end of the contents of boxes, by name."""
    return {kind: (start, stop) for kind, start, stop in _boxes(data, at, end)}


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box between `at` and `end`, with start and end of its contents."""
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 16 if size == 1 else 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        stop = end if size == 0 else min(at + size, end)
        if stop < at + head:
            return
        yield kind, at + head, stop
        at = stop
