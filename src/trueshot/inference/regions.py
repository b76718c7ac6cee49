"""Locates the display or print in a photograph by overlaying all kinds of evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.ndimage

Floats = npt.NDArray[np.float64]
Point = tuple[int, int]

CELLS = 48  # along the longer side of a photograph
_SHARE = 0.5  # share of the highest evidence from which a cell belongs to the region
_LEAST = 0.1  # share of the strongest kind's contribution below which a kind is ignored


@dataclass(frozen=True, kw_only=True)
class Region:
    """A part of the photograph.

    Args:
        outline: Corners (y, x) in pixels, clockwise: a convex polygon.
        share: Share of the photograph that the region covers, in [0, 1]; the convex outline may
            enclose more.
    """

    outline: tuple[Point, ...]
    share: float


class KindOfEvidence(Protocol):
    """What one kind of evidence found in a photograph."""

    @property
    def features(self) -> Mapping[str, float]:
        """Inputs of the kind's linear model, by name."""

    def by_cell(self, rows: int, columns: int, cell: float) -> Floats:
        """Return the evidence for a recapture, at least 0, in each cell of a grid.

        Args:
            rows: Number of rows of the grid.
            columns: Number of columns of the grid.
            cell: Height and width of a cell, in pixels of the photograph.

        Returns:
            Shape (rows, columns).
        """


def most_convincing_place(
    shape: tuple[int, int], kinds: Mapping[str, KindOfEvidence], contributions: Mapping[str, float]
) -> Region | None:
    """Outline the connected part of a photograph with the strongest evidence for a recapture.

    The map of each kind is scaled to a maximum of 1; the maps are added, weighted by the
    contribution of each kind to the score of the photograph.

    Args:
        shape: Height and width of the photograph.
        kinds: The evidence found, by kind.
        contributions: What each kind adds to the score; kinds against a recapture are left out.

    Returns:
        The region; None if no kind supports a recapture.
    """
    cell = max(shape) / CELLS
    rows, columns = (max(1, round(size / cell)) for size in shape)
    strongest = max(contributions.values(), default=0.0)
    if strongest <= 0:
        return None
    places = np.zeros((rows, columns))
    for kind, weight in contributions.items():
        if weight < _LEAST * strongest:  # true of a kind without data, which adds 0
            continue
        found = kinds[kind].by_cell(rows, columns, cell)
        if found.max() > 0:
            places += weight * found / found.max()
    if places.max() <= 0:
        return None
    inside = places >= _SHARE * places.max()
    parts, _ = scipy.ndimage.label(inside)
    inside = parts == parts[np.unravel_index(int(np.argmax(places)), places.shape)]
    inside = scipy.ndimage.binary_fill_holes(inside)
    return Region(outline=_outline(inside, shape), share=float(inside.mean()))


def excess(values: Floats) -> Floats:
    """Return the excess of each value over 0 and the midpoint of the lowest and highest value."""
    return np.maximum(values - max(0.0, float(values.min() + values.max()) / 2), 0)


def _outline(inside: npt.NDArray[np.bool_], shape: tuple[int, int]) -> tuple[Point, ...]:
    """Return the convex hull of the cells in pixels, clockwise from its upper left."""
    ys, xs = np.nonzero(inside)
    points = {
        (y + down, x + across)
        for y, x in zip(ys, xs, strict=True)
        for down in (0, 1)
        for across in (0, 1)
    }
    hull = _hull(sorted((int(x), int(y)) for y, x in points))
    height, width = inside.shape
    return tuple((round(y * shape[0] / height), round(x * shape[1] / width)) for x, y in hull)


def _hull(points: list[Point]) -> list[Point]:
    """Return the convex hull of sorted points by Andrew's monotone chain."""
    halves = []
    for ordered in (points, points[::-1]):
        chain: list[Point] = []
        for point in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        halves.append(chain[:-1])
    return [*halves[0], *halves[1]]


def _turn(a: Point, b: Point, c: Point) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
