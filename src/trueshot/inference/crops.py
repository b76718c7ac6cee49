"""Which crops of a photograph are judged: spread over all of it, those with some texture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.card import InputContract
from trueshot.images.orientation import upright_corner

Bytes = npt.NDArray[np.uint8]

BLOCK = 8  # crops lie on the grid of JPEG blocks, so that what a grid looks like is always the same
FLAT_DEVIATION = 3.0  # as in data sets: clear sky, a white wall, a black border
_SPARSE = 4  # texture is measured on each so manieth pixel, unless that would call a crop flat


@dataclass(frozen=True, kw_only=True)
class CropSelection:
    """Where crops lie.

    Args:
        corners: Upper left corners (y, x), by rows.
        flat: Share of the places in question, in [0, 1], that show next to nothing.
    """

    corners: tuple[tuple[int, int], ...]
    flat: float


def select_crops(pixels: Bytes, side: int, most: int) -> CropSelection:
    """Choose crops that do not overlap, at native resolution.

    The photograph is divided into at most `most` cells of whole crops, as even as can be; of each
    cell, that crop is taken which shows the most, of five that lie in its middle and corners. Flat
    ones are left out. The choice depends on the pixels alone.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        side: Of the crops.
        most: Of the crops.

    Returns:
        The places: none if the photograph is smaller than a crop, or flat all over.
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
    """Choose crops as the card of a detector says.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        contract: How many, of which size, and where.
    """
    choose = grid_crops if contract.places == "grid" else select_crops
    return choose(pixels, contract.side, contract.crops)


def grid_crops(pixels: Bytes, side: int, most: int) -> CropSelection:
    """Crops that do not overlap, in the middles of the cells of `select_crops`, flat or not.

    The choice depends on the size of the photograph alone: no change of its levels moves a crop.

    Args:
        pixels: RGB bytes, shape (h, w, 3).
        side: Of the crops.
        most: Of the crops.
    """
    corners = grid_corners(pixels.shape[0], pixels.shape[1], side, most)
    flat = sum(_texture(pixels, y, x, side) < FLAT_DEVIATION for y, x in corners)
    return CropSelection(corners=corners, flat=flat / max(1, len(corners)))


def grid_corners(height: int, width: int, side: int, most: int) -> tuple[tuple[int, int], ...]:
    """Upper left corners (y, x) of the crops of `grid_crops`."""
    rows, columns = _cells(height // side, width // side, most)
    ys = [_candidates(_span(height, rows, row), side)[1] for row in range(rows)]
    xs = [_candidates(_span(width, columns, column), side)[1] for column in range(columns)]
    return tuple((y, x) for y in ys for x in xs)


def upright_corners(
    corners: tuple[tuple[int, int], ...], side: int, size: tuple[int, ...], orientation: int
) -> tuple[tuple[int, int], ...]:
    """Corners in the stored picture as corners in the upright one; `size` is of the stored one."""
    if orientation == 1:
        return corners
    height, width = size[:2]
    return tuple(upright_corner(each, side, (height, width), orientation) for each in corners)


def cut(pixels: Bytes, corners: tuple[tuple[int, int], ...], side: int) -> Bytes:
    """The crops at these corners, shape (n, side, side, 3)."""
    if not corners:
        return np.zeros((0, side, side, 3), np.uint8)
    return np.stack([pixels[y : y + side, x : x + side] for y, x in corners])


def _cells(rows: int, columns: int, most: int) -> tuple[int, int]:
    """Rows and columns of cells: as many as allowed, then as nearly square as can be."""
    if rows * columns <= most:
        return rows, columns
    options = [(down, min(columns, most // down)) for down in range(1, min(rows, most) + 1)]

    def worth(cells: tuple[int, int]) -> tuple[float, float]:
        down, across = cells
        elongation = abs(math.log((rows / down) / (columns / across)))
        return down * across / most - 0.25 * elongation, -elongation

    return max(options, key=worth)


def _span(size: int, cells: int, number: int) -> tuple[int, int]:
    """First pixel, on the grid of blocks, and the one after the last."""
    return size * number // cells // BLOCK * BLOCK, size * (number + 1) // cells


def _candidates(span: tuple[int, int], side: int) -> tuple[int, ...]:
    """Beginning, middle and end of where a crop may begin in a span."""
    first, last = span[0], max(span[0], (span[1] - side) // BLOCK * BLOCK)
    return first, (first + last) // 2 // BLOCK * BLOCK, last


def _five(ys: tuple[int, ...], xs: tuple[int, ...]) -> set[tuple[int, int]]:
    corners = {(y, x) for y in (ys[0], ys[2]) for x in (xs[0], xs[2])}
    return corners | {(ys[1], xs[1])}


def _texture(pixels: Bytes, y: int, x: int, side: int) -> float:
    """Standard deviation of green, in levels.

    A grid whose period divides the sparse step looks flat on it, and grids are what is looked for:
    what looks flat is measured again on all pixels.
    """
    green = pixels[y : y + side, x : x + side, 1]
    sparse = _deviation(green[::_SPARSE, ::_SPARSE])
    return sparse if sparse >= FLAT_DEVIATION else _deviation(green)


def _deviation(green: Bytes) -> float:
    """As `std`, in a third of the time: sums of so many squares of bytes are exact."""
    values = green.astype(np.float64).ravel()
    mean = float(values.sum()) / values.size
    return math.sqrt(max(0.0, float(values @ values) / values.size - mean**2))
