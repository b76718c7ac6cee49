"""Outlines of media in photographs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def holds(outline: npt.NDArray[np.float64], box: Sequence[float]) -> bool:
    """Whether all corners of a box lie inside a convex outline.

    Args:
        outline: Corners (x, y), shape (n, 2), clockwise or anticlockwise.
        box: Left, upper, right and lower edge.
    """
    left, upper, right, lower = box
    corners = np.array([(left, upper), (right, upper), (left, lower), (right, lower)], float)
    edges = np.roll(outline, -1, 0) - outline
    ways = corners[:, None] - outline[None]
    turns = edges[None, :, 0] * ways[..., 1] - edges[None, :, 1] * ways[..., 0]
    return bool(((turns >= 0).all(1) | (turns <= 0).all(1)).all())
