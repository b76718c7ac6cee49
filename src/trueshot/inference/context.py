"""The whole frame at reduced size: it shows what is in the picture, not how it was recorded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]

SIDE = 256


def context_frame(pixels: Bytes, side: int = SIDE) -> Bytes:
    """Squeeze a photograph to a square, the input of the context network.

    Args:
        pixels: RGB bytes, shape (h, w, 3), upright.
        side: Height and width of the square, in pixels.

    Returns:
        RGB bytes, shape (side, side, 3).
    """
    return squeezed(Image.fromarray(pixels), side)


def squeezed(
    image: Image.Image, side: int = SIDE, box: tuple[float, float, float, float] | None = None
) -> Bytes:
    """Resize an image, or its part `box` (left, upper, right, lower) in pixels, to a square."""
    small = image.resize((side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=3)
    return np.asarray(small)
