"""Chooses the crops of a photograph to judge: spread over all of it, by default with texture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.card import InputContract
from trueshot.images.orientation import upright_corner

Bytes = npt.NDArray[np.uint8]

BLOCK = 8  # crops are aligned to JPEG blocks, so that the block grid always looks the same
FLAT_DEVIATION = 3.0  # levels, as in data sets; below: clear sky, a white wall, a black border
_SPARSE = 4  # texture is measured on every fourth row and column, unless flat there


@dataclass(frozen=True, kw_only=True)
class CropSelection:
    """The positions of the chosen crops.

    Args:
        corners: Upper left corners (y, x), by rows.
        flat: Share, in [0, 1], of the cells of the photograph that show next to nothing.
    """

    corners: tuple[tuple[int, int], ...]
    flat: float


def select_crops(pixels: Bytes, side: int, most: int) -> CropSelection:
    """Choose crops that do not overlap, at native resolution.

    The photograph is divided evenly into at most `most` cells, each at least as large as a crop. Of
    five crops in the middle and the corners of a cell, the one with the most texture is taken; if
    it is flat, it is left out. The choice depends only on the pixels.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        side: Height and width of the crops, in pixels.
        most: Maximum number of crops.

    Returns:
        The positions; none if the photograph is smaller than a crop, or flat all over.
    """
    height, width = pixels.shape[:2]
    rows, columns = _cells(height // side, width // side, most)
    corners, flat = [], 0
    for row in range(rows):
        for column in range(columns):
            ys = _candidates(_span(height, rows, row), side)
            xs = _candidates(_span(width, columns, column), side)
            texture, y, x = max((_texture(pixels, y, x, side), -y, -x) for y, x in _five(ys, xs))
            if texture < FLAT_DEVIATION:
                flat += 1
            else:
                corners.append((-y, -x))
    return CropSelection(corners=tuple(corners), flat=flat / max(1, rows * columns))


def places_of(pixels: Bytes, contract: InputContract) -> CropSelection:
    """Choose crops as the input contract of a detector specifies.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        contract: Number, size and placement of the crops.
    """
    choose = grid_crops if contract.places == "grid" else select_crops
    return choose(pixels, contract.side, contract.crops)


def grid_crops(pixels: Bytes, side: int, most: int) -> CropSelection:
    """Choose the crops in the middles of the cells of `select_crops`, flat or not.

    The choice depends only on the size of the photograph: no change of its levels moves a crop.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        side: Height and width of the crops, in pixels.
        most: Maximum number of crops.
    """
    corners = grid_corners(pixels.shape[0], pixels.shape[1], side, most)
    flat = sum(_texture(pixels, y, x, side) < FLAT_DEVIATION for y, x in corners)
    return CropSelection(corners=corners, flat=flat / max(1, len(corners)))


def grid_corners(height: int, width: int, side: int, most: int) -> tuple[tuple[int, int], ...]:
    """Return the upper left corners (y, x) of the crops of `grid_crops`."""
    rows, columns = _cells(height // side, width // side, most)
    ys = [_candidates(_span(height, rows, row), side)[1] for row in range(rows)]
    xs = [_candidates(_span(width, columns, column), side)[1] for column in range(columns)]
    return tuple((y, x) for y in ys for x in xs)


def upright_corners(
    corners: tuple[tuple[int, int], ...], side: int, size: tuple[int, ...], orientation: int
) -> tuple[tuple[int, int], ...]:
    """Convert corners in the stored picture, of shape `size`, to corners in the upright one."""
    if orientation == 1:
        return corners
    height, width = size[:2]
    return tuple(upright_corner(each, side, (height, width), orientation) for each in corners)


def cut(pixels: Bytes, corners: tuple[tuple[int, int], ...], side: int) -> Bytes:
    """Cut out the crops at these corners, shape (n, side, side, 3)."""
    if not corners:
        return np.zeros((0, side, side, 3), np.uint8)
    return np.stack([pixels[y : y + side, x : x + side] for y, x in corners])


def _cells(rows: int, columns: int, most: int) -> tuple[int, int]:
    """Return the numbers of rows and columns of cells: many cells, weighed against square ones."""
    if rows * columns <= most:
        return rows, columns
    options = [(down, min(columns, most // down)) for down in range(1, min(rows, most) + 1)]

    def worth(cells: tuple[int, int]) -> tuple[float, float]:
        down, across = cells
        elongation = abs(math.log((rows / down) / (columns / across)))
        return down * across / most - 0.25 * elongation, -elongation

    return max(options, key=worth)


def _span(size: int, cells: int, number: int) -> tuple[int, int]:
    """Return the first pixel of a cell, on the block grid, and the one after its last."""
    return size * number // cells // BLOCK * BLOCK, size * (number + 1) // cells


def _candidates(span: tuple[int, int], side: int) -> tuple[int, ...]:
    """Return the first, middle and last pixel at which a crop may start in a span."""
    first, last = span[0], max(span[0], (span[1] - side) // BLOCK * BLOCK)
    return first, (first + last) // 2 // BLOCK * BLOCK, last


def _five(ys: tuple[int, ...], xs: tuple[int, ...]) -> set[tuple[int, int]]:
    corners = {(y, x) for y in (ys[0], ys[2]) for x in (xs[0], xs[2])}
    return corners | {(ys[1], xs[1])}


def _texture(pixels: Bytes, y: int, x: int, side: int) -> float:
    """Return the standard deviation of green, in levels.

    A grid whose period divides the sampling step looks flat when sampled, and grids are what the
    detector looks for; so a crop that looks flat is measured again on all pixels.
    """
    green = pixels[y : y + side, x : x + side, 1]
    sparse = _deviation(green[::_SPARSE, ::_SPARSE])
    return sparse if sparse >= FLAT_DEVIATION else _deviation(green)


def _deviation(green: Bytes) -> float:
    """Compute the same as `std` in a third of the time; the sums of squared bytes are exact."""
    values = green.astype(np.float64).ravel()
    mean = float(values.sum()) / values.size
    return math.sqrt(max(0.0, float(values @ values) / values.size - mean**2))
