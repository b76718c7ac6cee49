"""Augmentation of crops by rotation and mirroring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trueshot.pixels import Bytes

SYMMETRIES = 8


def turn(pixels: Bytes, ways: npt.NDArray[np.integer]) -> Bytes:
    """Rotate and mirror square images, as bytes.

    Args:
        pixels: Bytes, shape (n, side, side, 3).
        ways: One of eight ways for each image, shape (n,): 0 to 3 are quarter turns of the image, 4
            to 7 are 0 to 3 quarter turns of its mirror image.

    Returns:
        A new array of the same shape.
    """
    turned = np.empty_like(pixels)
    for image, way, out in zip(pixels, ways, turned, strict=True):
        upright = image[:, ::-1] if way >= SYMMETRIES // 2 else image
        out[:] = np.rot90(upright, int(way) % 4)
    return turned
