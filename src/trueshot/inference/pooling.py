"""Pools crop scores by region, because a display may fill only a tenth of the photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.inference.regions import excess

Floats = npt.NDArray[np.float64]
Corners = tuple[tuple[int, int], ...]

_REACH = 1.6  # radius of a crop's surroundings, in usual distances between neighbours
_FEWEST = 3  # crops wanted in a region; missing ones count as the mean of all crops


@dataclass(frozen=True, kw_only=True)
class TextureRegion:
    """The region of a photograph where the scores of crops are highest.

    Args:
        score: Mean score of the crops in the region.
        overall: Mean score of all crops.
        highest_third: Mean score of the highest-scoring third of the crops, wherever they lie.
        highest: Highest score of all crops.
        corners: Upper left corners (y, x) of the crops.
        local: For each crop, the mean score of its surroundings, shape (n,).
    """

    score: float
    overall: float
    highest_third: float
    highest: float
    corners: Corners
    local: Floats

    @property
    def features(self) -> dict[str, float]:
        """Inputs of the linear model of texture, by name."""
        return {
            "region": self.score,
            "overall": self.overall,
            "highest third": self.highest_third,
            "highest": self.highest,
        }

    def by_cell(self, rows: int, columns: int, cell: float) -> Floats:
        """Give each cell of a grid the `excess` of the nearest crop's local mean."""
        y, x = np.mgrid[:rows, :columns] * cell
        places = np.array(self.corners, np.float64)
        away = (y[..., None] - places[:, 0]) ** 2 + (x[..., None] - places[:, 1]) ** 2
        return np.asarray(excess(self.local)[away.argmin(-1)])


def most_convincing_region(corners: Corners, scores: Floats, side: int) -> TextureRegion:
    """Find the crop whose surroundings have the highest mean score.

    One high score among low ones may be chance; neighbours that agree are a surface. The
    surroundings of a crop are all crops, itself included, within 1.6 times the usual distance from
    one crop to the next. Where they are fewer than three (at a corner, beside flat parts), the mean
    of all crops stands in for the missing ones.

    Args:
        corners: Upper left corners (y, x) of the crops, at least one.
        scores: Scores of the crops, shape (n,).
        side: Height and width of the crops, in pixels.
    """
    places = np.array(corners, np.float64)
    apart = np.hypot(*np.moveaxis(places[:, None] - places[None], -1, 0))
    overall = float(scores.mean())
    reach = _REACH * _usual_distance(apart, side)
    near = apart <= reach
    counts = near.sum(1)
    missing = np.maximum(_FEWEST - counts, 0)
    local = (near @ scores + missing * overall) / (counts + missing)
    return TextureRegion(
        score=float(local.max()),
        overall=overall,
        highest_third=float(np.sort(scores)[-max(1, len(scores) // 3) :].mean()),
        highest=float(scores.max()),
        corners=corners,
        local=local,
    )


def _usual_distance(apart: Floats, side: int) -> float:
    """Return the median distance from a crop to its nearest neighbour, at least `side`."""
    if len(apart) < 2:
        return float(side)
    others = apart + np.diag(np.full(len(apart), np.inf))
    return float(max(np.median(others.min(1)), side))
