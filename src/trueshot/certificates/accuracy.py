"""How many images are proven right, at each budget."""

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
    """Counts of images that no change within a budget makes wrong, by their class.

    Args:
        budgets: In levels, L∞; 0 asks for a right verdict alone.
        right: Per budget and class, shape (budgets, 2).
        total: Images of each class.
        radii: Of each image: L∞ levels up to which it is proven right; below 0 where it is wrong.
    """

    budgets: tuple[float, ...]
    right: tuple[tuple[int, int], ...]
    total: tuple[int, int]
    radii: npt.NDArray[np.float64]

    @property
    def balanced(self) -> tuple[float, ...]:
        """Mean of both classes' shares, at each budget."""
        original, recaptured = self.total
        return tuple((first / original + last / recaptured) / 2 for first, last in self.right)


def certified_accuracy(
    detector: Detector, part: Part, budgets: Sequence[float], batch: int = 64
) -> CertifiedAccuracy:
    """Prove what can be proven of images whose class is known: no attack is run.

    Args:
        detector: As of `certified_radius`; judged in evaluation mode.
        part: Images of both classes.
        budgets: Levels, L∞, 0 or more.
        batch: Images at a time; it does not change a result.

    Raises:
        TypeError: Nothing can be proven of its network.
        ValueError: A class without images.
    """
    labels = np.asarray(part.labels)
    total = (int((labels == 0).sum()), int((labels == 1).sum()))
    if min(total) == 0:
        raise ValueError(f"images of both classes wanted, got {total}")
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
