"""Positions of crops in a photograph: at native resolution, not overlapping, spread out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trueshot.images.jpeg_tables import LUMA_WEIGHTS

Bytes = npt.NDArray[np.uint8]

FLAT_DEVIATION = 3.0
MOST_PER_PHOTO = 1024
_LUMA = np.array(LUMA_WEIGHTS, np.float32)

Corners = npt.NDArray[np.int64]


def grid_corners(
    height: int, width: int, side: int, random: np.random.Generator, multiple: int = 1
) -> Corners:
    """Return the corners of a grid of crops that do not overlap, in an order that spreads them.

    The grid is as large as the photo allows, and shifted at random within the remaining margin.
    The first crop is chosen at random; each further one is the farthest from all before it.

    Args:
        height: Height of the photo, in pixels.
        width: Width of the photo, in pixels.
        side: Side of the crops, in pixels.
        random: Generator that shifts the grid and chooses the first crop.
        multiple: Corners are multiples of this many pixels. Crops with another side lie that much
            farther apart.

    Returns:
        Rows (y, x), shape (n, 2) with n at most 1024; n is 0 if the photo is smaller than a crop.
    """
    if min(height, width) < side:
        return np.zeros((0, 2), np.int64)
    step = -(-side // multiple) * multiple
    (rows, left_y), (columns, left_x) = (divmod(size - side, step) for size in (height, width))
    shift_y = multiple * int(random.integers(left_y // multiple + 1))
    shift_x = multiple * int(random.integers(left_x // multiple + 1))
    ys = shift_y + step * np.arange(rows + 1)
    xs = shift_x + step * np.arange(columns + 1)
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
    """Return the crop at a corner (y, x): a view of shape (side, side, 3)."""
    y, x = int(corner[0]), int(corner[1])
    return pixels[y : y + side, x : x + side]


def is_flat(crop: Bytes) -> bool:
    """Whether a crop is nearly flat: the standard deviation of its luma is below 3 levels.

    Examples are clear sky, a white wall or a black border. Such crops are used only when a photo
    has no others left, and they are counted.
    """
    return float((crop.astype(np.float32) @ _LUMA).std()) < FLAT_DEVIATION


def shares(available: Sequence[int], wanted: int) -> list[int]:
    """Distribute a number of crops over photos, as evenly as the photos allow.

    Args:
        available: Number of crops that each photo holds.
        wanted: Total number of crops to take, at most the sum of `available`.

    Returns:
        Number of crops to take from each photo; a remainder goes to the first photos.

    Raises:
        ValueError: More crops are wanted than available.
    """
    if wanted > sum(available):
        raise ValueError(
            f"wanted must be at most the {sum(available)} available crops, got {wanted}"
        )
    taken = [0] * len(available)
    while wanted > 0:
        open_photos = [i for i, held in enumerate(available) if held > taken[i]]
        each = wanted // len(open_photos)
        # The last round gives one more crop each to the first photos that have one left.
        for i in open_photos if each else open_photos[:wanted]:
            more = min(each or 1, available[i] - taken[i])
            taken[i] += more
            wanted -= more
    return taken
