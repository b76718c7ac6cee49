"""What a colour profile says of the width of its colours; nothing is converted by it."""

from __future__ import annotations

import struct

_SRGB_AREA = 0.109  # of the triangle of its primaries in the CIE chart (x, y), adapted to D50
_WIDE = 1.1  # times that; Display P3 has 1.3 of it, Adobe RGB 1.4
_MOST_TAGS = 200


def is_wide(icc_profile: bytes) -> bool:
    """Whether the primaries of an RGB profile span clearly more than those of sRGB."""
    try:
        corners = [_chromaticity(icc_profile, name) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    except (struct.error, ValueError, ZeroDivisionError):
        return False  # grey, CMYK, made of tables, or damaged
    (ax, ay), (bx, by), (cx, cy) = corners
    return abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2 > _WIDE * _SRGB_AREA


def _chromaticity(icc_profile: bytes, name: bytes) -> tuple[float, float]:
    """x and y of the colour that a tag holds."""
    (count,) = struct.unpack_from(">I", icc_profile, 128)
    for number in range(min(count, _MOST_TAGS)):
        tag, at, _ = struct.unpack_from(">4sII", icc_profile, 132 + 12 * number)
        if tag == name:
            big_x, big_y, big_z = struct.unpack_from(">3i", icc_profile, at + 8)
            total = big_x + big_y + big_z
            return big_x / total, big_y / total
    raise ValueError("no such tag")
