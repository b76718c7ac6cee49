"""Where crops lie in a photograph: native resolution, apart from each other, spread over it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

FLAT_DEVIATION = 3.0
MOST_PER_PHOTO = 1024
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Corners = npt.NDArray[np.int64]


def grid_corners(
    height: int, width: int, side: int, random: np.random.Generator, multiple: int = 1
) -> Corners:
    """Corners of a grid of crops that do not overlap, in an order that spreads them.

    The grid is as large as the photo allows, and shifted at random within what is left over. In
    the order, each crop is the one farthest from all before it; the first is chosen at random.

    Args:
        height: Of the photo.
        width: Of the photo.
        side: Of the crops.
        random: Shifts the grid and chooses the first crop.
        multiple: Corners are multiples of so many pixels, if the side is one.

    Returns:
        Rows (y, x), shape (n, 2) with n at most 1024; 0 if the photo is smaller than a crop.
    """
    rows, columns = height // side, width // side
    if rows == 0 or columns == 0:
        return np.zeros((0, 2), np.int64)
    shift_y = multiple * int(random.integers((height - rows * side) // multiple + 1))
    shift_x = multiple * int(random.integers((width - columns * side) // multiple + 1))
    ys = shift_y + side * np.arange(rows)
    xs = shift_x + side * np.arange(columns)
    corners = np.stack(np.meshgrid(ys, xs, indexing="ij"), -1).reshape(-1, 2)
    return corners[_spread(corners, int(random.integers(len(corners))))]


def _spread(corners: Corners, first: int) -> list[int]:
    order = [first]
    distances = ((corners - corners[first]) ** 2).sum(1)
    for _ in range(min(len(corners), MOST_PER_PHOTO) - 1):
        following = int(distances.argmax())
        order.append(following)
        distances = np.minimum(distances, ((corners - corners[following]) ** 2).sum(1))
    return order


def cut(pixels: Bytes, corner: Sequence[int] | Corners, side: int) -> Bytes:
    """The crop at a corner (y, x): a view of shape (side, side, 3)."""
    y, x = int(corner[0]), int(corner[1])
    return pixels[y : y + side, x : x + side]


def is_flat(crop: Bytes) -> bool:
    """Whether a crop shows next to nothing: its luma deviates by less than 3 levels.

    Clear sky, a white wall, a black border: such crops are taken only when a photo has no others
    left, and are counted.
    """
    return float((crop.astype(np.float32) @ _LUMA).std()) < FLAT_DEVIATION


def shares(available: Sequence[int], wanted: int) -> list[int]:
    """Divide a number of crops over photos as evenly as what they hold allows.

    Args:
        available: Crops that each photo holds.
        wanted: Crops to take in all, at most the sum of `available`.

    Returns:
        Crops to take of each photo; those that come first get one more where it does not divide.
    """
    if wanted > sum(available):
        raise ValueError(f"{wanted} crops wanted of {sum(available)}")
    taken = [0] * len(available)
    while wanted > 0:
        open_photos = [i for i, held in enumerate(available) if held > taken[i]]
        each = wanted // len(open_photos)
        # A last round of one more each, for the first of those that hold one more.
        for i in open_photos if each else open_photos[:wanted]:
            more = min(each or 1, available[i] - taken[i])
            taken[i] += more
            wanted -= more
    return taken
