"""The colour filter array, and demosaicing: interpolating the colours that it did not measure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from trueshot.simulation.colour import Linear, Plane

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")

# Source: Malvar, He, Cutler 2004, "High-quality linear interpolation for demosaicing of
# Bayer-patterned color images", figure 2; coefficients in eighths.
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]]
)
_ALONG = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]]
)
_ACROSS = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ]
)

IDEAL = np.eye(3)  # each filter passes its own colour only


def mosaic(light: Linear, pattern: str = "RGGB", filters: npt.ArrayLike = IDEAL) -> Plane:
    """Sample light through a colour filter array: one colour filter per photosite.

    Source: Bayer, US patent 3971065.

    Args:
        light: Shape (h, w, 3).
        pattern: The four filters from the top left, row by row; one of `PATTERNS`.
        filters: Shares of red, green and blue light that each filter passes, one row per filter:
            shape (3, 3).

    Returns:
        Raw values, shape (h, w).
    """
    shares = np.asarray(filters, np.float32)
    raw = np.empty(light.shape[:2], np.float32)
    for (y, x), channel in _places(pattern):
        raw[y::2, x::2] = sum(
            share * light[y::2, x::2, colour]
            for colour, share in enumerate(shares[channel])
            if share
        )
    return raw


def demosaic(raw: Plane, pattern: str = "RGGB", method: str = "malvar") -> Linear:
    """Interpolate all three channels from raw values.

    Args:
        raw: Raw values, shape (h, w).
        pattern: The four filters from the top left, row by row; one of `PATTERNS`.
        method: `bilinear`, `malvar`, or `edges` (interpolates along edges, not across them).

    Returns:
        Light, shape (h, w, 3); measured values are kept unchanged.

    Raises:
        ValueError: The pattern or the method is unknown.
    """
    if method not in METHODS:
        raise ValueError(
            f"unknown demosaicing method {method!r}; choose one of {', '.join(METHODS)}"
        )
    return METHODS[method](raw, pattern)


def _places(pattern: str) -> list[tuple[tuple[int, int], int]]:
    if pattern not in PATTERNS:
        raise ValueError(
            f"unknown colour filter array {pattern!r}; choose one of {', '.join(PATTERNS)}"
        )
    return [(divmod(i, 2), "RGB".index(name)) for i, name in enumerate(pattern)]


def spread(raw: Plane, pattern: str) -> Linear:
    """Put each raw value in its own channel, with 0 in the other two: shape (h, w, 3)."""
    planes = np.zeros((*raw.shape, 3), np.float32)
    for (y, x), channel in _places(pattern):
        planes[y::2, x::2, channel] = raw[y::2, x::2]
    return planes


def _bilinear(raw: Plane, pattern: str) -> Linear:
    planes = spread(raw, pattern)
    for channel in (0, 2):
        planes[..., channel] = _mean_of_colour(planes[..., channel])
    green = np.pad(planes[..., 1], 1, mode="reflect")
    beside = green[1:-1, :-2] + green[1:-1, 2:] + green[:-2, 1:-1] + green[2:, 1:-1]
    planes[..., 1] += np.float32(0.25) * beside
    return planes


def _mean_of_colour(plane: Plane) -> Plane:
    """Interpolate a plane measured at every second pixel of every second row, 0 elsewhere."""
    padded = np.pad(plane, 1, mode="reflect")
    rows = padded[1:-1] + np.float32(0.5) * (padded[:-2] + padded[2:])
    return np.asarray(rows[:, 1:-1] + np.float32(0.5) * (rows[:, :-2] + rows[:, 2:]))


def _malvar(raw: Plane, pattern: str) -> Linear:
    padded = np.pad(raw, 2, mode="reflect")
    image = spread(raw, pattern)
    places = dict(_places(pattern))
    for y, x in places:
        if places[y, x] == 1:
            row_colour = places[y, 1 - x]  # colour of the left and right neighbours
            image[y::2, x::2, row_colour] = _at(padded, _ALONG, y, x, raw.shape)
            image[y::2, x::2, 2 - row_colour] = _at(padded, _ALONG.T, y, x, raw.shape)
        else:
            image[y::2, x::2, 1] = _at(padded, _GREEN, y, x, raw.shape)
            image[y::2, x::2, 2 - places[y, x]] = _at(padded, _ACROSS, y, x, raw.shape)
    return image


def _at(
    padded: Plane, kernel: npt.NDArray[np.float64], y: int, x: int, shape: tuple[int, ...]
) -> Plane:
    """Apply a kernel, given in eighths, at every second pixel from (y, x)."""
    height, width = shape[0] - y, shape[1] - x
    total = np.zeros(((height + 1) // 2, (width + 1) // 2), np.float32)
    for i, j in np.argwhere(kernel):
        part = padded[y + i : y + i + height : 2, x + j : x + j + width : 2]
        total += np.float32(kernel[i, j] / 8) * part
    return total


def _edges(raw: Plane, pattern: str) -> Linear:
    """Interpolate green along the weaker gradient, then red and blue as differences from green.

    Source: Hamilton and Adams, US patent 5629734.
    """
    green = raw.copy()
    padded = np.pad(raw, 2, mode="reflect")
    for (y, x), channel in _places(pattern):
        if channel != 1:
            green[y::2, x::2] = _directed_green(padded, y, x, raw.shape)
    image = np.empty((*raw.shape, 3), np.float32)
    image[..., 1] = green
    differences = spread(raw - green, pattern)
    for channel in (0, 2):
        image[..., channel] = green + _mean_of_colour(differences[..., channel])
    return image


def _directed_green(padded: Plane, y: int, x: int, shape: tuple[int, ...]) -> Plane:
    def near(dy: int, dx: int) -> Plane:
        rows = slice(y + 2 + dy, y + 2 + dy + shape[0] - y, 2)
        return padded[rows, x + 2 + dx : x + 2 + dx + shape[1] - x : 2]

    centre = 2 * near(0, 0)
    bend_x, bend_y = centre - near(0, -2) - near(0, 2), centre - near(-2, 0) - near(2, 0)
    left, right, above, below = near(0, -1), near(0, 1), near(-1, 0), near(1, 0)
    change_x = np.abs(left - right) + np.abs(bend_x)
    change_y = np.abs(above - below) + np.abs(bend_y)
    along_x, along_y = (left + right) / 2 + bend_x / 4, (above + below) / 2 + bend_y / 4
    even = (along_x + along_y) / 2
    result: Plane = np.where(
        change_x < change_y, along_x, np.where(change_y < change_x, along_y, even)
    )
    return result


METHODS: dict[str, Callable[[Plane, str], Linear]] = {
    "bilinear": _bilinear,
    "malvar": _malvar,
    "edges": _edges,
}
