"""The control for attacks: random noise of the same strength."""

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
    """Random noise as large as the budget. Images that it breaks need no attack.

    Args:
        budget: Size of the noise in levels; one number, or a tensor of shape (n,).
        norm: `linf`, or `l2`, where the noise is uniform on the sphere before it is clipped to
            [0, 255].
        signs: In L∞, change every level by the whole budget, up or down. This noise is the
            strongest, and a file can hold it if the budget is a whole number. If False, the noise
            is uniform within the budget.
        draws: Number of draws, of which the one with the largest margin is kept; a single draw
            needs no call of the detector.
        seed: Seed of the noise; each image has its own noise.

    Raises:
        ValueError: `draws` is below 1, or `norm` is unknown.
    """

    budget: Budget
    norm: Norm = "linf"
    signs: bool = True
    draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        norm_of(self)
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Add noise to levels; return levels."""
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
