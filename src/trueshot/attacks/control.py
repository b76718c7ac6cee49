"""The control of an experiment with attacks: noise of the same strength, without aim."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, Norm, norm_of, per_image, undisturbed
from trueshot.attacks.minimal import margin_at
from trueshot.attacks.randomness import drawn, generators
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True)
class UniformNoise:
    """Random noise of the length of the budget: what it breaks, no attack has to be found for.

    Args:
        budget: Levels; one number, or a tensor of shape (n,).
        norm: `linf`, or `l2`: uniform on the sphere, before what leaves [0, 255] is cut off.
        signs: In L∞ the whole budget up or down at every level, which is the strongest and, with
            a whole budget, what a file can hold; if not, uniform inside the budget.
        draws: Of so many, that with the largest margin is kept; one needs no call of the detector.
        seed: Of the noise; each image has its own.

    Raises:
        ValueError: Fewer than one draw, or an unknown norm.
    """

    budget: Budget
    norm: Norm = "linf"
    signs: bool = True
    draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        norm_of(self)
        if self.draws < 1:
            raise ValueError(f"one draw or more wanted, got {self.draws}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Add noise; levels in, levels out."""
        budget = per_image(self.budget, images)
        sources = generators(images, self.seed)
        best = self._noisy(sources, images, budget)
        if self.draws == 1:
            return best
        with undisturbed(detector) as target:
            gap = margin_at(target, best, labels)
            for _ in range(self.draws - 1):
                tried = self._noisy(sources, images, budget)
                reached = margin_at(target, tried, labels)
                better = reached > gap
                best = torch.where(better[:, None, None, None], tried, best)
                gap = torch.where(better, reached, gap)
        return best

    def _noisy(self, sources: list[torch.Generator], images: Tensor, budget: Tensor) -> Tensor:
        shape = images.shape[1:]
        if self.norm == "l2":
            noise = drawn(sources, lambda source: torch.randn(shape, generator=source), images)
            noise = noise / noise.square().sum((1, 2, 3), keepdim=True).sqrt()
        else:
            noise = drawn(sources, lambda source: torch.rand(shape, generator=source), images)
            noise = torch.where(noise < 0.5, -1.0, 1.0) if self.signs else 2 * noise - 1
        return (images + budget * noise.to(images)).clamp(0, LEVELS)
