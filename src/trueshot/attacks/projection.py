"""The ball of a budget around images: projection onto it, random starts in it, steepest steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trueshot.attacks.base import Budget, Norm, per_image
from trueshot.attacks.randomness import drawn
from trueshot.pixels import LEVELS

_ROUNDS = 4  # after three rounds the share is already exact to the last digits
_IMAGE = (1, 2, 3)


@dataclass(frozen=True)
class Ball:
    """All points within a budget of each image and within the box of levels 0 to 255.

    Args:
        norm: `linf` or `l2`.
        images: Centres, in levels, shape (n, 3, h, w).
        budget: Radii in levels, shape (n, 1, 1, 1).
        low: Smallest level of each value that budget and box allow, shape of `images`.
        high: Largest level of each value that budget and box allow, shape of `images`.
    """

    norm: Norm
    images: Tensor
    budget: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, images: Tensor, budget: Budget, norm: Norm) -> Ball:
        """Return the ball around images.

        Raises:
            ValueError: The budget is invalid, see `per_image`.
        """
        radius = per_image(budget, images)
        low, high = (images - radius).clamp_(min=0), (images + radius).clamp_(max=LEVELS)
        return cls(norm, images, radius, low, high)

    def __getitem__(self, rows: Tensor) -> Ball:
        """Return the ball around some of the images."""
        images, budget, low, high = (
            each[rows] for each in (self.images, self.budget, self.low, self.high)
        )
        return Ball(self.norm, images, budget, low, high)

    def project_(self, points: Tensor) -> Tensor:
        """Replace points, in place, by the points of the ball that are nearest in L2.

        The result is within both budget and box. For an L2 budget, the change is scaled and clipped
        to the box, and the budget that clipping frees goes to the values that were not clipped.
        """
        if self.norm == "linf":
            return points.clamp_(self.low, self.high)
        change = points.sub_(self.images)
        # Clip again, because rounding could leave a level outside.
        return self._shortened(change).add_(self.images).clamp_(self.low, self.high)

    def _shortened(self, change: Tensor) -> Tensor:
        """Return the change clipped to the box, scaled by the largest share that the budget allows.

        The nearest point is `clamp(share * change)`, with the share at which its length equals the
        budget. Each round treats as clipped what the round before clipped, so the share grows
        towards that value and never beyond it: whenever the rounds end, the budget holds.
        """
        low, high = self.low - self.images, self.high - self.images
        radius, squares = self.budget.square(), change.square()
        share = _share(radius, squares.sum(_IMAGE, keepdim=True))
        for _ in range(_ROUNDS):
            moved = change * share
            cut = moved.clamp(low, high)
            free = cut == moved
            if bool(free.all()):
                return cut
            spent = cut.square().masked_fill_(free, 0).sum(_IMAGE, keepdim=True)
            rest = squares.where(free, 0).sum(_IMAGE, keepdim=True)
            share = _share((radius - spent).clamp_(min=0), rest)
        return (change * share).clamp_(low, high)

    def random_start(self, sources: list[torch.Generator]) -> Tensor:
        """Draw a random point of the ball for each image, uniformly except for clipping to the box.

        Args:
            sources: Random generators, one for each image, see `generators`.
        """
        if not len(self.images):
            return self.images
        shape = self.images.shape[1:]
        if self.norm == "linf":
            change = drawn(sources, lambda s: 2 * torch.rand(shape, generator=s) - 1, self.images)
        else:
            towards = drawn(sources, lambda s: torch.randn(shape, generator=s), self.images)
            radius = drawn(sources, lambda s: torch.rand((1, 1, 1), generator=s), self.images)
            change = steepest(towards, "l2").mul_(radius.pow(1 / shape.numel()))
        start = torch.empty_like(self.images).copy_(change)  # in the images' memory layout: faster
        return self.project_(start.mul_(self.budget).add_(self.images))


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the change of length 1 with the steepest ascent, per image; 0 where the gradient is 0.

    Args:
        gradient: Gradient of any length, shape (n, 3, h, w).
        norm: Norm of the change: `linf`, where it is the sign of the gradient, or `l2`.
    """
    if norm == "linf":
        return gradient.sign()
    # Scale the largest component to 1 first: squares of small numbers would be 0.
    largest = gradient.abs().amax(_IMAGE, keepdim=True)
    unit = gradient / torch.where(largest > 0, largest, 1)
    length = unit.square().sum(_IMAGE, keepdim=True).sqrt_()
    return unit.div_(torch.where(length > 0, length, 1))


def _share(room: Tensor, wanted: Tensor) -> Tensor:
    """Return the factor, at most 1, that reduces a sum of squares from `wanted` to `room`."""
    fits = wanted <= room
    return torch.where(fits, 1, room / torch.where(fits, 1, wanted)).sqrt_()
