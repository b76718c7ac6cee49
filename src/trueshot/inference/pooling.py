"""Scores of crops made one by region: a display may fill a tenth of the photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Corners = tuple[tuple[int, int], ...]

_REACH = 1.6  # distances from a crop to its nearest neighbour that are still its surroundings
_FEWEST = 3  # crops that a region is to rest on; what is missing counts as the mean of all


@dataclass(frozen=True, kw_only=True)
class TextureRegion:
    """Where in a photograph the scores of crops are highest.

    Args:
        score: Mean of the scores of the crops there.
        overall: Mean of all crops.
        highest_third: Mean of the third of the crops that score highest, wherever they lie.
        highest: Of all crops.
        local: Of each crop, the mean of its surroundings, shape (n,).
        box: Top, left, bottom and right of the crops of the region, in pixels.
    """

    score: float
    overall: float
    highest_third: float
    highest: float
    local: Floats
    box: tuple[int, int, int, int]


def most_convincing_region(corners: Corners, scores: Floats, side: int) -> TextureRegion:
    """Find the crop whose surroundings have the highest mean.

    One high score among low ones is chance; neighbours that agree are a surface. Surroundings are
    the crops within 1.6 times the usual distance from one crop to the next. Where they are fewer
    than three (at a corner, beside flat parts), the mean of all crops stands for those missing.

    Args:
        corners: Upper left corners (y, x) of the crops, at least one.
        scores: Of the crops, shape (n,).
        side: Of the crops, in pixels.
    """
    places = np.array(corners, np.float64)
    apart = np.hypot(*np.moveaxis(places[:, None] - places[None], -1, 0))
    overall = float(scores.mean())
    reach = _REACH * _usual_distance(apart, side)
    near = apart <= reach
    counts = near.sum(1)
    missing = np.maximum(_FEWEST - counts, 0)
    local = (near @ scores + missing * overall) / (counts + missing)
    best = int(np.argmax(local))
    region = places[near[best]]
    top, left = region.min(0).astype(int)
    bottom, right = region.max(0).astype(int) + side
    return TextureRegion(
        score=float(local[best]),
        overall=overall,
        highest_third=float(np.sort(scores)[-max(1, len(scores) // 3) :].mean()),
        highest=float(scores.max()),
        local=local,
        box=(int(top), int(left), int(bottom), int(right)),
    )


def _usual_distance(apart: Floats, side: int) -> float:
    """From a crop to the next: the median of the nearest ones."""
    if len(apart) < 2:
        return float(side)
    others = apart + np.diag(np.full(len(apart), np.inf))
    return float(max(np.median(others.min(1)), side))
