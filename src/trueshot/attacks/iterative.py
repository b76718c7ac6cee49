"""Attacks of many steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trueshot.attacks.base import Budget, per_image, undisturbed
from trueshot.attacks.losses import Loss, image_gradient
from trueshot.detector import Detector
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient descent in L∞, from the image itself: FGSM in small steps.

    What a detector loses under it beyond FGSM it only seemed to have: a defence that FGSM does not
    get past because it has bent the gradient, and not because it has moved the boundary.

    Args:
        budget: Levels; one number, or a tensor of shape (n,).
        steps: Gradients taken.
        relative_step: Length of a step, as a share of the budget.
        loss: `margin`, or `cross_entropy`; with two classes both give one direction.

    Raises:
        ValueError: Fewer than one step, or a step of no length.

    Source: Madry et al. 2018, arXiv:1706.06083, without a random start.
    """

    budget: Budget
    steps: int = 10
    relative_step: float = 0.25
    loss: Loss = "margin"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.relative_step <= 0:
            raise ValueError(
                f"one step or more of some length wanted, got {self.steps} of {self.relative_step}"
            )

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        """Climb the loss inside the budget; levels in, levels out, not rounded to whole ones."""
        budget = per_image(self.budget, images)
        low, high = (images - budget).clamp(min=0), (images + budget).clamp(max=LEVELS)
        attacked = images
        with undisturbed(detector):
            for _ in range(self.steps):
                gradient = image_gradient(detector, attacked, labels, self.loss)
                step = self.relative_step * budget * gradient.sign()
                attacked = (attacked + step).clamp(low, high)
        return attacked.detach()
