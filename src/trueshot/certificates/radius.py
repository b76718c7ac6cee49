"""Certified radii: proofs that no change of up to so many levels flips a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trueshot.detector import Detector, scores_of
from trueshot.inference.proof import ROUNDING
from trueshot.networks import LipschitzNetwork
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True, eq=False)
class CertifiedRadius:
    """Verdict and certified radii of each image; the sign of the score is the verdict.

    Args:
        recaptured: Whether the score is 0 or more, shape (n,).
        score: Score minus the threshold, in levels divided by the detector's `scale`, shape (n,).
        linf: L∞ radius in levels, shape (n,): changing every value by up to this much keeps the
            verdict.
        l2: L2 radius in levels, shape (n,), for the square root of the summed squares of all
            changes.
        l2_per_level: Change in L2, in levels, that can move a score as far as one level in L∞ can.
    """

    recaptured: Tensor
    score: Tensor
    linf: Tensor
    l2: Tensor
    l2_per_level: float


def is_certifiable(detector: Detector) -> bool:
    """Whether a detector has certified radii: its network is a `LipschitzNetwork`."""
    return isinstance(detector.network, LipschitzNetwork)


@torch.no_grad()
def certified_radius(detector: Detector, images: Tensor, threshold: float = 0.0) -> CertifiedRadius:
    """Certify the verdicts on images.

    Args:
        detector: Detector with a `LipschitzNetwork`, whose score moves no farther than the image.
        images: Levels in [0, 255], float, shape (n, 3, h, w).
        threshold: Lowest score at which an image counts as recaptured.

    Returns:
        Verdicts with radii of 0 or more. The radii hold for files too, because rounding to whole
        levels and clipping to 0 … 255 leave fewer changes, never more.

    Raises:
        TypeError: The detector's network has no certified radii.
        ValueError: The images are not float, of another shape, or smaller than a window.
    """
    network = detector.network
    if not isinstance(network, LipschitzNetwork):
        raise TypeError(f"{type(network).__name__}: this network has no certified radii")
    score = scores_of(detector(images).double()) - threshold
    levels = detector.scale  # input is levels / scale: a level moves the score by up to 1 / scale
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
