"""RayS: an attack that sees verdicts only, no logits and no gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, per_image, undisturbed
from trueshot.attacks.calls import spend
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True)
class RayS:
    """Ray searching in L∞: of the directions of signs, the one in which the boundary is nearest.

    Blocks of signs are turned over, of half the size in each round; a turn is kept if the detector
    is wrong at a smaller distance. Of the detector nothing but the class that it names is used, so
    neither rounded logits nor hidden gradients deceive it.

    Args:
        budget: Levels; one number, or a tensor of shape (n,). Where the closest image found is
            farther, the image itself is returned.
        queries: Calls of the detector on each image, at most.
        tolerance: Levels up to which the distance in a direction is searched for.
        early_exit: Let an image be once one within the budget is found, as published; otherwise
            go on to closer ones.

    Raises:
        ValueError: Fewer than three queries, or no tolerance.

    Source: Chen and Gu 2020, arXiv:2006.12792, algorithms 2 and 3. At the end the distance is
    rounded up to whole levels, as a file has them, where the budget and the detector allow it.
    """

    budget: Budget
    queries: int = 1000
    tolerance: float = 0.02
    early_exit: bool = True

    def __post_init__(self) -> None:
        if self.queries < 3 or self.tolerance <= 0:
            raise ValueError(
                "three queries or more and some tolerance wanted, "
                f"got {self.queries} and {self.tolerance}"
            )

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """A wrongly judged image within the budget, or the image itself; levels in, levels out."""
        budget = per_image(self.budget, images).expand(len(images), 1, 1, 1).flatten()
        result = images.clone()
        with undisturbed(detector) as target:
            right = (~_wrong(target, images, labels)).nonzero().flatten()
            if len(right):
                rays = _Rays(images[right], labels[right], right)
                self._search(target, rays, budget[right])
                result[right] = _ends(target, rays, budget[right])
        return result

    def _search(self, detector: nn.Module, rays: _Rays, budget: Tensor) -> None:
        going = torch.arange(len(rays.images), device=rays.images.device)
        # One query is spent on the image itself and one on the end.
        for _ in range(self.queries - 2):
            if self.early_exit:
                going = going[rays.radius[going].ceil() > budget[going].floor()]
            if not len(going):
                break
            tried, radius = rays.trial(going)
            wrong = _wrong(detector, tried, rays.labels[going], rays.places[going])
            rays.learn(going, radius, wrong, self.tolerance)
        rays.fit_all()


class _Rays:
    """Where the search stands, for each image by itself: all of them take a query at once.

    `direction` and `radius` are the best so far, infinite before there is one. The next direction
    is `direction` with one block turned over: the block with number `block` of `blocks` equal ones;
    of no blocks in the beginning, which is the direction itself. Its boundary is in (`low`, `high`]
    if `searching`; if not, the next query asks whether it is nearer than `radius` at all.
    """

    def __init__(self, images: Tensor, labels: Tensor, places: Tensor) -> None:
        self.images, self.labels, self.places = images, labels, places
        self.direction = torch.ones_like(images).flatten(1)
        self.radius = images.new_full((len(images),), torch.inf)
        self.low = torch.zeros_like(self.radius)
        self.high = torch.zeros_like(self.radius)
        self.searching = torch.zeros_like(labels, dtype=torch.bool)
        self.blocks, self.block = torch.zeros_like(labels), torch.zeros_like(labels)

    def trial(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """What to ask next of these images, and how far from the image that is: (k,)."""
        middle = (self.low[which] + self.high[which]) / 2
        radius = torch.where(self.searching[which], middle, self.radius[which].clamp(max=LEVELS))
        change = radius[:, None] * self._turned(which)
        images = self.images[which]
        return (images + change.view_as(images)).clamp(0, LEVELS), radius

    def learn(self, which: Tensor, radius: Tensor, wrong: Tensor, tolerance: float) -> None:
        """Go on after the answers to what `trial` asked."""
        searching = self.searching[which]
        self.low[which] = torch.where(searching & ~wrong, radius, self.low[which])
        self.high[which] = torch.where(wrong, radius, self.high[which])
        found = searching & (self.high[which] - self.low[which] <= tolerance)
        better = which[found & (self.high[which] < self.radius[which])]
        self.direction[better] = self._turned(better)
        self.radius[better] = self.high[better]
        over = found | (~searching & ~wrong)
        self.searching[which] = (searching | wrong) & ~found
        self._advance(which[over])

    def fit_all(self) -> None:
        """Take over what searches that were not ended have found."""
        better = (self.searching & (self.high < self.radius)).nonzero().flatten()
        self.direction[better] = self._turned(better)
        self.radius[better] = self.high[better]

    def _turned(self, which: Tensor) -> Tensor:
        start, end = self._block_of(which)
        values = torch.arange(self.direction.shape[1], device=start.device)
        turned = (values >= start[:, None]) & (values < end[:, None])
        return torch.where(turned, -self.direction[which], self.direction[which])

    def _block_of(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """First value, and the one after the last, of the block that is turned over."""
        blocks, count = self.blocks[which], self.direction.shape[1]
        size = -(-count // blocks.clamp(min=1)) * (blocks > 0)
        start = self.block[which] * size
        return start, (start + size).clamp(max=count)

    def _advance(self, which: Tensor) -> None:
        """To the next block; after the last to the first of half the size, down to one value."""
        count = self.direction.shape[1]
        _, end = self._block_of(which)
        last = (self.blocks[which] == 0) | (end == count)
        finer = (2 * self.blocks[which]).clamp(min=1)
        finer = torch.where(self.blocks[which] >= count, self.blocks[which], finer)
        self.blocks[which] = torch.where(last, finer, self.blocks[which])
        self.block[which] = torch.where(last, 0, self.block[which] + 1)
        self.low[which] = 0


def _ends(detector: nn.Module, rays: _Rays, budget: Tensor) -> Tensor:
    """The closest images found, at whole distances where that is possible; else the images."""
    exact = rays.radius
    within = exact <= budget
    whole = exact.ceil()
    reach = torch.where(within, exact, 0)
    up = (whole <= budget) & (whole > exact)
    if bool(up.any()):
        which = up.nonzero().flatten()
        tried = _at(rays, whole)[which]
        wrong = _wrong(detector, tried, rays.labels[which], rays.places[which])
        reach[which] = torch.where(wrong, whole[which], exact[which])
    return _at(rays, reach)


def _at(rays: _Rays, radius: Tensor) -> Tensor:
    radius = torch.where(radius.isfinite(), radius, 0)
    change = radius[:, None] * rays.direction
    return (rays.images + change.view_as(rays.images)).clamp(0, LEVELS)


def _wrong(
    detector: nn.Module, images: Tensor, labels: Tensor, places: Tensor | None = None
) -> Tensor:
    """Whether the detector names another class: all that this attack learns from it."""
    with torch.no_grad():
        named: Tensor = detector(images).argmax(1)
    spend(forward=1, places=places)
    return named.ne(labels)
