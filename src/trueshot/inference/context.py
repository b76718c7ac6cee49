"""The whole frame at reduced size: it shows what is in the picture, not how it was recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from PIL import Image

from trueshot.inference.regions import excess

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SIDE = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextView:
    """What the context network sees in a whole frame.

    Args:
        logit: Log odds that the frame shows a medium.
        looks_like: Kind of medium that the frame looks most like, even if there is probably none.
        places: What each position adds to `logit`, shape (rows, columns).
    """

    logit: float
    looks_like: str
    places: Floats

    @property
    def features(self) -> dict[str, float]:
        """Inputs of the linear model of context, by name."""
        return {"logit": self.logit}

    def by_cell(self, rows: int, columns: int, cell: float) -> Floats:
        """Resize the `excess` of the positions to a grid over the frame."""
        zoom = (rows / self.places.shape[0], columns / self.places.shape[1])
        found: Floats = scipy.ndimage.zoom(
            excess(self.places), zoom, order=1, grid_mode=True, mode="nearest"
        )
        return found


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
