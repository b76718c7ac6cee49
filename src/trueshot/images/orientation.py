"""The eight EXIF orientations, and how to turn a picture upright."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Corner = tuple[int, int]

# By EXIF orientation: whether to reverse rows, to reverse columns, and then to transpose.
_TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (True, False, True),
    7: (True, True, True),
    8: (False, True, True),
}
_BACK = {6: 8, 8: 6}  # all others are their own inverse


def upright(stored: Pixels, orientation: int) -> Pixels:
    """Return stored pixels as a viewer shows them, without copying.

    Args:
        stored: Shape (…, h, w, 3).
        orientation: EXIF orientation, 1 to 8.
    """
    rows, columns, swapped = _TURNS[orientation]
    turned: npt.NDArray[Any] = stored[..., :: -1 if rows else 1, :: -1 if columns else 1, :]
    return turned.swapaxes(-3, -2) if swapped else turned


def lying(pixels: Pixels, orientation: int) -> Pixels:
    """Return upright pixels as they are stored, without copying: the inverse of `upright`."""
    return upright(pixels, _BACK.get(orientation, orientation))


def upright_corner(corner: Corner, side: int, size: tuple[int, int], orientation: int) -> Corner:
    """Return the upper left corner (y, x) of a square after its picture is turned upright.

    Args:
        corner: Its upper left corner (y, x) in the stored picture.
        side: Height and width of the square.
        size: Height and width of the stored picture.
        orientation: As in `upright`.
    """
    rows, columns, swapped = _TURNS[orientation]
    y = size[0] - side - corner[0] if rows else corner[0]
    x = size[1] - side - corner[1] if columns else corner[1]
    return (x, y) if swapped else (y, x)
