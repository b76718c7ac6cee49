"""Free adversarial training: one pass teaches the network and finds the change it fears most.

Source: Shafahi et al. 2019, "Adversarial training for free!", arXiv:1904.12843; unlike there, the
change of a minibatch begins at random, so that an interrupted run can go on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trueshot.attacks import PGD, perturb
from trueshot.detector import Detector


class AnyOther(nn.Module):
    """Logits of many classes as two: the first, and any other."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        """Levels (n, 3, h, w) to logits (n, 2)."""
        return first_or_other(self.detector(images))


def first_or_other(logits: Tensor) -> Tensor:
    """Logits (n, classes) as those of class 0 and of any other, shape (n, 2)."""
    return torch.stack([logits[:, 0], logits[:, 1:].logsumexp(1)], 1)


def learn_replayed(
    loss_of: Callable[[Tensor], Tensor],
    images: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    budget: float,
    times: int,
    generator: torch.Generator,
) -> float:
    """Learn from one minibatch several times, each time from the change that the last one found.

    Args:
        loss_of: Levels to the loss.
        images: Levels, shape (n, 3, h, w).
        optimizer: Steps once each time.
        budget: Of the change, L∞, in levels.
        times: How often; the first change is random.
        generator: Of that.

    Returns:
        The last loss.
    """
    change = budget * (2 * torch.rand(images.shape, generator=generator) - 1)
    loss = images.new_zeros(())
    for _ in range(times):
        changed = (images + change).clamp(0, 255).requires_grad_()
        loss = loss_of(changed)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        assert changed.grad is not None
        change = (change + budget * changed.grad.sign()).clamp(-budget, budget)
    return float(loss.detach())


def attacked_scores(
    detector: Detector, images: Tensor, labels: Tensor, budget: float, steps: int = 5
) -> Tensor:
    """Log odds that images are not of class 0, after PGD against what each is.

    Args:
        detector: In evaluation mode.
        images: Levels, shape (n, 3, h, w).
        labels: 0 or 1, shape (n,).
        budget: L∞, in levels.
        steps: Of PGD.
    """
    judge = AnyOther(detector)
    attacked = perturb(PGD(budget=budget, steps=steps), judge, images, labels)
    with torch.inference_mode():
        logits: Tensor = judge(attacked)
    return logits[:, 1] - logits[:, 0]
