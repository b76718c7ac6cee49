"""Certified accuracy: how many images are proven right at each budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trueshot.certificates.radius import certified_radius
from trueshot.datasets import Part
from trueshot.detector import Detector, evaluating


@dataclass(frozen=True, kw_only=True)
class CertifiedAccuracy:
    """Number of images, by class, that are judged rightly under every change within a budget.

    Args:
        budgets: L∞ budgets in levels; a budget of 0 only requires a right verdict.
        right: Number of certified images by budget and class, shape (budgets, 2).
        total: Number of images of each class.
        radii: Certified L∞ radius of each image in levels; -1 where the verdict is wrong.
    """

    budgets: tuple[float, ...]
    right: tuple[tuple[int, int], ...]
    total: tuple[int, int]
    radii: npt.NDArray[np.float64]

    @property
    def balanced(self) -> tuple[float, ...]:
        """Mean of the two classes' shares of certified images, at each budget."""
        original, recaptured = self.total
        return tuple((first / original + last / recaptured) / 2 for first, last in self.right)


def certified_accuracy(
    detector: Detector, part: Part, budgets: Sequence[float], batch: int = 64
) -> CertifiedAccuracy:
    """Compute the certified accuracy on labelled images. No attack is run.

    Args:
        detector: See `certified_radius`; used in evaluation mode.
        part: Labelled images of both classes.
        budgets: L∞ budgets in levels, 0 or more.
        batch: Images per batch; it does not affect the result.

    Raises:
        TypeError: The detector's network has no certified radii.
        ValueError: A class has no images.
    """
    labels = np.asarray(part.labels)
    total = (int((labels == 0).sum()), int((labels == 1).sum()))
    if min(total) == 0:
        raise ValueError(f"both classes must have images, got {total}")
    radii = np.empty(len(part))
    with evaluating(detector):
        for first in range(0, len(part), batch):
            images, wanted = part.batch(slice(first, first + batch))
            found = certified_radius(detector, images)
            right = (found.recaptured == (wanted == 1)).numpy()
            radii[first : first + batch] = np.where(right, found.linf.numpy(), -1.0)
    counted = [[int((radii[labels == c] >= budget).sum()) for c in (0, 1)] for budget in budgets]
    return CertifiedAccuracy(
        budgets=tuple(budgets),
        right=tuple((first, last) for first, last in counted),
        total=total,
        radii=radii,
    )
