"""The verdict on a whole photograph, and the radius up to which it is certified."""

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
    """The verdict on a photograph, with certified radii.

    Args:
        recaptured: Whether the score is 0 or more.
        score: Pooled score minus the threshold, in levels divided by the detector's `scale`.
        linf: L∞ radius in levels: changing every value by up to this much keeps the verdict.
        l2: L2 radius in levels, for the length of a change of the whole photograph.
        places: Upper left corners (y, x) of the judged tiles.
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
    """Judge tiles on a grid, pool their scores, and certify the verdict.

    A mean or maximum moves no farther than the tile score that moves most. The grid depends only on
    the size of the photograph: if it depended on the content, an adversary could choose the tiles.

    Args:
        detector: See `certified_radius`; used in evaluation mode.
        pixels: RGB bytes, shape (h, w, 3).
        side: Side of the tiles in pixels; smaller if the photograph is smaller.
        most: Maximum number of tiles; on larger photographs they have gaps between them.
        pooling: `mean`, or `maximum` for displays that fill only part of the frame. `maximum`
            needs its own threshold, because the highest of many scores is high.
        threshold: Lowest score at which a photograph counts as recaptured.

    Raises:
        TypeError: The detector's network has no certified radii.
        ValueError: The photograph is smaller than the network's window.
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
