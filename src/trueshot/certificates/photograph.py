"""A whole photograph's verdict and how far it is proven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from trueshot.certificates.radius import certified_radius
from trueshot.detector import Detector, evaluating
from trueshot.inference.crops import grid_corners
from trueshot.inference.proof import ROUNDING
from trueshot.pixels import LEVELS, to_levels

Pooling = Literal["mean", "maximum"]

_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class CertifiedPhotograph:
    """A verdict, and what is proven of it.

    Args:
        recaptured: Whether the score is 0 or more.
        score: Levels above the threshold.
        linf: Levels: no change of every value by up to so many turns the verdict.
        l2: Likewise of the length of a change of the whole photograph.
        places: Upper left corners (y, x) of the tiles that were judged.
    """

    recaptured: bool
    score: float
    linf: float
    l2: float
    places: tuple[tuple[int, int], ...]


def certify_photograph(
    detector: Detector,
    pixels: npt.NDArray[np.uint8],
    *,
    side: int = 256,
    most: int = 64,
    pooling: Pooling = "mean",
    threshold: float = 0.0,
) -> CertifiedPhotograph:
    """Judge tiles at places that the size of a photograph decides, and pool their scores.

    A mean or a maximum moves no farther than the tile that moves most. Where tiles lie may not
    depend on what they show: an adversary would choose them.

    Args:
        detector: As of `certified_radius`; judged in evaluation mode.
        pixels: RGB bytes, shape (h, w, 3).
        side: Of the tiles; less where the photograph is smaller.
        most: Tiles, at most: of larger photographs they stand apart.
        pooling: `maximum` for displays that fill a part of the frame; it wants a threshold of its
            own, for the highest of many scores is high.
        threshold: Score from which on a photograph counts as recaptured.

    Raises:
        TypeError: Nothing can be proven of the detector's network.
        ValueError: A photograph that no window fits in.
    """
    height, width = pixels.shape[:2]
    side = min(side, height, width)
    places = grid_corners(height, width, side, most)
    scores, per_level = [], 0.0
    with evaluating(detector):
        for first in range(0, len(places), _BATCH):
            tiles = [pixels[y : y + side, x : x + side] for y, x in places[first : first + _BATCH]]
            found = certified_radius(detector, to_levels(np.stack(tiles)))
            scores.append(found.score)
            per_level = found.l2_per_level
    every = torch.cat(scores)
    pooled = every.mean() if pooling == "mean" else every.amax()
    score = float(pooled) - threshold
    linf = max(0.0, abs(score) * detector.scale - ROUNDING)
    return CertifiedPhotograph(
        recaptured=score >= 0,
        score=score,
        linf=min(linf, LEVELS),
        l2=linf * per_level,
        places=places,
    )
