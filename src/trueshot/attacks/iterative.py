"""Attacks of many steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trueshot.attacks.base import Budget, per_image, undisturbed
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import Loss, image_gradient, judge, margin, pull_back
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
        early_exit: Let an image be once the detector is wrong about it, for when only that is
            asked: such images keep less distance to the boundary than the budget allows, and
            rounding to a file's levels may bring some of them back.

    Raises:
        ValueError: Fewer than one step, or a step of no length.

    Source: Madry et al. 2018, arXiv:1706.06083, without a random start.
    """

    budget: Budget
    steps: int = 10
    relative_step: float = 0.25
    loss: Loss = "margin"
    early_exit: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.relative_step <= 0:
            raise ValueError(
                f"one step or more of some length wanted, got {self.steps} of {self.relative_step}"
            )

    def __call__(self, detector: Detector, images: Tensor, labels: Tensor) -> Tensor:
        """Climb the loss inside the budget; levels in, levels out, not rounded to whole ones."""
        budget = per_image(self.budget, images).expand(len(images), 1, 1, 1)
        with undisturbed(detector) as target:
            if self.early_exit:
                return self._climb_while_right(target, images, labels, budget)
            return self._climb(target, images, labels, budget)

    def _climb(self, detector: Detector, images: Tensor, labels: Tensor, budget: Tensor) -> Tensor:
        low, high = _bounds(images, budget)
        attacked = images
        for _ in range(self.steps):
            gradient = image_gradient(detector, attacked, labels, self.loss)
            attacked = self._step(attacked, gradient, budget, low, high)
        spend(forward=self.steps, backward=self.steps)
        return attacked

    def _climb_while_right(
        self, detector: Detector, images: Tensor, labels: Tensor, budget: Tensor
    ) -> Tensor:
        result, attacked = images.clone(), images
        low, high = _bounds(images, budget)
        places = torch.arange(len(images), device=images.device)
        for _ in range(self.steps):
            leaves, logits = judge(detector, attacked)
            gradient = pull_back(leaves, logits, labels, self.loss)
            spend(forward=1, backward=1, places=places)
            right = margin(logits.detach(), labels) <= 0
            if not bool(right.any()):
                break
            gradient, attacked, labels, budget, low, high, places = (
                each[right] for each in (gradient, attacked, labels, budget, low, high, places)
            )
            attacked = self._step(attacked, gradient, budget, low, high)
            result[places] = attacked
        return result

    def _step(
        self, attacked: Tensor, gradient: Tensor, budget: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        step = gradient.sign().mul_(self.relative_step * budget)
        return step.add_(attacked).clamp_(low, high)


def _bounds(images: Tensor, budget: Tensor) -> tuple[Tensor, Tensor]:
    return (images - budget).clamp_(min=0), (images + budget).clamp_(max=LEVELS)
