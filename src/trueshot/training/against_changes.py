"""Learning from images that are changed against the network, in one step from a random start.

Source: Wong, Rice, Kolter 2020, "Fast is better than free: revisiting adversarial training",
arXiv:2001.03994. Half of the loss is that of the random start, as Goodfellow et al. 2015 mix clean
and adversarial images: without it a network that was fine-tuned soon says the same of all images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trueshot.attacks import PGD, perturb
from trueshot.detector import Detector

_STEP = 1.25  # of the budget, as in the source


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


def backward_from_both(
    loss_of: Callable[[Tensor], Tensor],
    images: Tensor,
    budget: float,
    generator: torch.Generator,
) -> float:
    """Leave in the parameters the gradient of the mean loss of both: random, and changed.

    Args:
        loss_of: Levels to the loss.
        images: Levels, shape (n, 3, h, w).
        budget: Of the change, L∞, in levels.
        generator: Of its start.

    Returns:
        The mean loss.
    """
    change = budget * (2 * torch.rand(images.shape, generator=generator) - 1)
    begun = (images + change).clamp(0, 255).requires_grad_()
    first = loss_of(begun)
    (first / 2).backward()
    assert begun.grad is not None
    change = (change + _STEP * budget * begun.grad.sign()).clamp(-budget, budget)
    second = loss_of((images + change).clamp(0, 255))
    (second / 2).backward()
    return float((first + second).detach()) / 2


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
