"""The luma and the example tables of the JPEG standard, and how libjpeg scales them by quality."""

from __future__ import annotations

from functools import cache

Table = tuple[int, ...]

LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-T T.871, equal to ITU-R BT.601

# Tables K.1 (luminance) and K.2 (chrominance) of ITU-T T.81, row by row.
LUMA: Table = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMA: Table = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip


def scale_of(quality: int) -> int:
    """Return by how many per cent libjpeg scales the tables for a quality from 1 to 100.

    Source: `jpeg_quality_scaling` of libjpeg 6b.
    """
    return 5000 // quality if quality < 50 else 200 - 2 * quality


@cache
def standard_tables(quality: int) -> tuple[Table, Table]:
    """Return libjpeg's tables of luma and chroma for a quality from 1 to 100.

    Each has 64 steps from 1 to 255, row by row.

    Source: `jpeg_add_quant_table` of libjpeg 6b, baseline.
    """
    scale = scale_of(quality)
    luma, chroma = (
        tuple(min(max((step * scale + 50) // 100, 1), 255) for step in table)
        for table in (LUMA, CHROMA)
    )
    return luma, chroma
