"""How far a verdict is proven: no change of up to so many levels turns it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trueshot.detector import Detector
from trueshot.inference.proof import ROUNDING
from trueshot.networks import LipschitzNetwork
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True, eq=False)
class CertifiedRadius:
    """Of each image; the verdict is that of the sign of the score.

    Args:
        recaptured: Whether the score is 0 or more, shape (n,).
        score: Levels above the threshold, shape (n,).
        linf: Levels: no change of every value by up to this many turns the verdict, shape (n,).
        l2: Likewise of the square root of the sum of squares of all changes, shape (n,).
        l2_per_level: Levels in L2 that move a score by as much as one level in L∞ does.
    """

    recaptured: Tensor
    score: Tensor
    linf: Tensor
    l2: Tensor
    l2_per_level: float


def is_certifiable(detector: Detector) -> bool:
    """Whether radii are known of a detector: of its network, and of nothing learned before it."""
    return isinstance(detector.network, LipschitzNetwork)


@torch.no_grad()
def certified_radius(detector: Detector, images: Tensor, threshold: float = 0.0) -> CertifiedRadius:
    """Prove verdicts.

    Args:
        detector: Of a network whose score moves no farther than the image.
        images: Levels in [0, 255], float, shape (n, 3, h, w).
        threshold: Score from which on an image counts as recaptured, where it is not 0.

    Returns:
        Radii of 0 or more. Whole levels and levels within 0 and 255 are changes like all others,
        so a radius holds for files, too.

    Raises:
        TypeError: Nothing can be proven of its network.
        ValueError: Images of another shape.
    """
    network = detector.network
    if not isinstance(network, LipschitzNetwork):
        raise TypeError(f"{type(network).__name__}: nothing is proven of this network")
    logits = detector(images).double()
    score = logits[:, 1] - logits[:, 0] - threshold
    levels = detector.scale  # a network that is given levels / scale moves by that much less
    radius = (score.abs() * levels - ROUNDING).clamp(min=0)
    height, width = images.shape[2:]
    per_level = network.amplitudes.l2_scale(height, width)
    return CertifiedRadius(
        recaptured=score >= 0,
        score=score,
        linf=radius.clamp(max=LEVELS),
        l2=radius * per_level,
        l2_per_level=per_level,
    )
