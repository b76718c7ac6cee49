"""Projected gradient descent, an attack of many steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, Norm, norm_of
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import Loss, image_gradient, judge, pull_back
from trueshot.attacks.projection import Ball, steepest
from trueshot.attacks.restarts import Targets, strongest, wrong_in_file


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient descent in L∞ or L2: FGSM in small steps, by default from the image.

    Accuracy that a detector has under FGSM but loses under PGD was only apparent: the defence had
    only hidden the gradient, and not moved the decision boundary.

    Args:
        budget: Largest change in levels; one number, or a tensor of shape (n,).
        steps: Gradients computed from each start.
        relative_step: Step size as a share of the budget.
        loss: `margin` or `cross_entropy`; with two classes both give the same direction.
        early_exit: Stop on an image once it is misclassified, also after rounding to the levels of
            a file (`as_filed`). For use where only success counts: such images end nearer to the
            boundary than the budget allows.
        norm: Norm of the budget and the steps: `linf`, with steps along the sign of the gradient,
            or `l2`, with steps along the gradient.
        random_start: Whether the first start too is a random point within the budget, instead of
            the image.
        restarts: Number of starts; all but the first are always random. For each image the result
            with the largest margin in its file is kept, and an image that is misclassified in its
            file is not attacked again.
        seed: Seed of the random starts.

    Raises:
        ValueError: `steps` or `restarts` is below 1, `relative_step` is not positive, or `norm` is
            unknown.

    Source: Madry et al. 2018, arXiv:1706.06083, who start at a random point.
    """

    budget: Budget
    steps: int = 10
    relative_step: float = 0.25
    loss: Loss = "margin"
    early_exit: bool = False
    norm: Norm = "linf"
    random_start: bool = False
    restarts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.relative_step <= 0:
            raise ValueError(
                "steps must be at least 1 and relative_step above 0, "
                f"got {self.steps} and {self.relative_step}"
            )
        if self.restarts < 1:
            raise ValueError(f"restarts must be at least 1, got {self.restarts}")
        norm_of(self)

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Maximise the loss within the budget; return levels, not rounded to whole ones."""
        climb = self._climb_while_right if self.early_exit else self._climb
        return strongest(self, detector, images, labels, climb)

    def _climb(self, detector: nn.Module, targets: Targets, start: Tensor) -> Tensor:
        attacked = start
        for _ in range(self.steps):
            gradient = image_gradient(detector, attacked, targets.labels, self.loss)
            attacked = self._step(targets.ball, attacked, gradient)
        spend(forward=self.steps, backward=self.steps, places=targets.places)
        return attacked

    def _climb_while_right(self, detector: nn.Module, targets: Targets, start: Tensor) -> Tensor:
        result, attacked = start.clone(), start
        rows = torch.arange(len(start), device=start.device)
        for _ in range(self.steps):
            leaves, logits = judge(detector, attacked)
            gradient = pull_back(leaves, logits, targets.labels, self.loss)
            spend(forward=1, backward=1, places=targets.places)
            right = ~wrong_in_file(self, detector, targets, attacked, logits.detach())
            if not bool(right.any()):
                break
            if not bool(right.all()):
                gradient, attacked, rows = gradient[right], attacked[right], rows[right]
                targets = targets[right]
            attacked = self._step(targets.ball, attacked, gradient)
            result[rows] = attacked
        return result

    def _step(self, ball: Ball, attacked: Tensor, gradient: Tensor) -> Tensor:
        step = steepest(gradient, self.norm).mul_(self.relative_step * ball.budget)
        return ball.project_(step.add_(attacked))
