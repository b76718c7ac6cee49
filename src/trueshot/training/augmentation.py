"""Augmentation: the same crops, seen another way each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trueshot.pixels import Bytes

SYMMETRIES = 8


def turn(pixels: Bytes, ways: npt.NDArray[np.integer]) -> Bytes:
    """Turn and mirror square images, while they still are bytes.

    Args:
        pixels: Shape (n, side, side, 3).
        ways: 0 to 7 for each image, shape (n,): so many quarter turns, from 4 on of its mirror
            image.

    Returns:
        A new array of the same shape.
    """
    turned = np.empty_like(pixels)
    for image, way, out in zip(pixels, ways, turned, strict=True):
        upright = image[:, ::-1] if way >= SYMMETRIES // 2 else image
        out[:] = np.rot90(upright, int(way) % 4)
    return turned
