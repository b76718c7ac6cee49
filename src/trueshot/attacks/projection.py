"""The room that a budget leaves around images, and steps and starts in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trueshot.attacks.base import Budget, Norm, per_image
from trueshot.attacks.randomness import drawn
from trueshot.pixels import LEVELS

_ROUNDS = 4  # with three, the share is exact to the last digits already
_IMAGE = (1, 2, 3)


@dataclass(frozen=True)
class Ball:
    """What lies within a budget of images and between the levels 0 and 255, for each by itself.

    Args:
        norm: `linf` or `l2`.
        images: The middle: levels, shape (n, 3, h, w).
        budget: The radius: levels, shape (n, 1, 1, 1).
        low: Smallest level of each value that the budget and the box allow, shape of `images`.
        high: Largest level, the same.
    """

    norm: Norm
    images: Tensor
    budget: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, images: Tensor, budget: Budget, norm: Norm) -> Ball:
        """The ball around images.

        Raises:
            ValueError: The budget is none: see `per_image`.
        """
        radius = per_image(budget, images).expand(len(images), 1, 1, 1)
        low, high = (images - radius).clamp_(min=0), (images + radius).clamp_(max=LEVELS)
        return cls(norm, images, radius, low, high)

    def __getitem__(self, rows: Tensor) -> Ball:
        """The same for some of the images."""
        images, budget, low, high = (
            each[rows] for each in (self.images, self.budget, self.low, self.high)
        )
        return Ball(self.norm, images, budget, low, high)

    def project_(self, points: Tensor) -> Tensor:
        """The points of the ball that lie nearest to these, in L2; written over them.

        Both hold afterwards, budget and box. In L2 a change is cut to the box after it is scaled,
        and what the cut has left of the budget goes to the values that were not cut.
        """
        if self.norm == "linf":
            return points.clamp_(self.low, self.high)
        change = points.sub_(self.images)
        # Cut afterwards, so that rounding leaves no level outside.
        return self._shortened(change).add_(self.images).clamp_(self.low, self.high)

    def _shortened(self, change: Tensor) -> Tensor:
        """The change in the box, scaled by the largest share that the budget has room for.

        The nearest point is `clamp(share * change)` with the share for which its length is the
        budget. Each round takes for cut what was cut in the round before, so the share grows
        towards that one and never over it: wherever the rounds end, the budget holds.
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
        """A point of the ball for each image, uniform in it but for the cut to the box.

        Args:
            sources: Of randomness, one for each image: see `generators`.
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
        start = torch.empty_like(self.images).copy_(change)  # in their layout: calls are faster
        return self.project_(start.mul_(self.budget).add_(self.images))


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The change of length 1 that climbs most, per image; none where the gradient is zero.

    Args:
        gradient: Of any length, shape (n, 3, h, w).
        norm: In which length is meant: `linf`, where it is the sign, or `l2`.
    """
    if norm == "linf":
        return gradient.sign()
    # First to a largest component of 1: squares of small numbers would be none.
    largest = gradient.abs().amax(_IMAGE, keepdim=True)
    unit = gradient / torch.where(largest > 0, largest, 1)
    length = unit.square().sum(_IMAGE, keepdim=True).sqrt_()
    return unit.div_(torch.where(length > 0, length, 1))


def _share(room: Tensor, wanted: Tensor) -> Tensor:
    """By what to multiply, at most 1, so that squares that sum to `wanted` sum to `room`."""
    fits = wanted <= room
    return torch.where(fits, 1, room / torch.where(fits, 1, wanted)).sqrt_()
