"""JPEG: libjpeg's quantisation tables for a quality, and saving and reading back an image."""

from __future__ import annotations

import io
import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
import simplejpeg
from PIL import Image

from trueshot.images.jpeg_tables import Table, standard_tables
from trueshot.pixels import Bytes

Tables = tuple[Table, Table]

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def quantisation_tables(quality: int) -> Tables:
    """Return libjpeg's quantisation tables for a quality.

    Args:
        quality: 1 to 100.

    Returns:
        The luminance and the chrominance table, each 64 steps from 1 to 255, row by row.

    Raises:
        ValueError: `quality` is not a whole number from 1 to 100.
    """
    return standard_tables(checked_quality(quality))


def checked_quality(quality: SupportsIndex) -> int:
    """Return a JPEG quality as an `int`.

    Raises:
        ValueError: `quality` is not a whole number from 1 to 100.
    """
    try:
        whole = int(operator.index(quality))
    except TypeError:
        whole = 0
    if not 1 <= whole <= 100:
        raise ValueError(f"quality must be a whole number from 1 to 100, got {quality!r}")
    return whole


def checked_tables(tables: Sequence[Sequence[int]]) -> Tables:
    """Return the two quantisation tables of a baseline JPEG as tuples of `int`.

    Raises:
        ValueError: `tables` are not two tables of 64 whole steps from 1 to 255.
    """
    try:
        found = tuple(tuple(int(operator.index(step)) for step in table) for table in tables)
    except TypeError as error:
        raise ValueError(f"tables must contain whole numbers: {error}") from error
    if [len(table) for table in found] != [64, 64]:
        raise ValueError(
            f"tables must be two tables of 64 steps, got lengths {[len(table) for table in found]}"
        )
    if not all(1 <= step <= 255 for table in found for step in table):
        raise ValueError("tables must contain steps from 1 to 255 only")
    return found[0], found[1]


def through_jpeg(pixels: Bytes, subsampling: str, how: int | Tables) -> Bytes:
    """Save an image as a baseline JPEG in memory, and read it back.

    Pillow encodes it, as in `images.write_jpeg`. The fast decoder of `images.read_image` decodes
    it, to the same bytes as Pillow would.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        subsampling: Chroma subsampling, one of `SUBSAMPLINGS`.
        how: A quality, or the two quantisation tables.

    Returns:
        RGB bytes of the same shape.
    """
    settings: dict[str, Any] = {"subsampling": subsampling}
    if isinstance(how, int):
        settings["quality"] = how
    else:
        settings["qtables"] = [list(table) for table in how]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", **settings)
    decoded: Bytes = simplejpeg.decode_jpeg(file.getvalue(), colorspace="RGB", strict=True)
    return np.ascontiguousarray(decoded)
