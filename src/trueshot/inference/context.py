"""The whole frame at reduced size: what is in the picture, not how it was recorded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]

SIDE = 256


def context_frame(pixels: Bytes, side: int = SIDE) -> Bytes:
    """A photograph as the context network sees it: squeezed to a square.

    Args:
        pixels: RGB bytes, shape (h, w, 3), upright.
        side: Of the square, in pixels.

    Returns:
        RGB bytes, shape (side, side, 3).
    """
    return squeezed(Image.fromarray(pixels), side)


def squeezed(
    image: Image.Image, side: int = SIDE, box: tuple[float, float, float, float] | None = None
) -> Bytes:
    """A part of an image, (left, upper, right, lower) in pixels, or all of it, as a square."""
    small = image.resize((side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=3)
    return np.asarray(small)
