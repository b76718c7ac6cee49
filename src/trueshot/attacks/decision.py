"""RayS: an attack that uses only the predicted class, no logits and no gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, per_image, undisturbed
from trueshot.attacks.calls import spend
from trueshot.pixels import LEVELS


@dataclass(frozen=True, kw_only=True)
class RayS:
    """Ray search in L∞: find the direction of signs in which the decision boundary is nearest.

    Blocks of signs are flipped, with half the block size in each round; a flip is kept if it brings
    the detector to a wrong class at a smaller distance. Only the predicted class is used, so
    neither rounded logits nor hidden gradients mislead the attack.

    Args:
        budget: Largest change in levels; one number, or a tensor of shape (n,). If the closest
            image found is farther away, the original image is returned.
        queries: Maximum number of detector calls per image.
        tolerance: Precision, in levels, of the distance to the boundary in a direction.
        early_exit: Stop on an image once a misclassified one is found within the budget, as
            published. From a budget of 1 on, its distance is rounded up to whole levels, as in a
            file. Otherwise go on to closer ones.

    Raises:
        ValueError: `queries` is below 3, or `tolerance` is not positive.

    Source: Chen and Gu 2020, arXiv:2006.12792, algorithms 2 and 3. At the end the distance is
    rounded up to whole levels, as in a file, where the budget and the detector allow it.
    """

    budget: Budget
    queries: int = 1000
    tolerance: float = 0.02
    early_exit: bool = True

    def __post_init__(self) -> None:
        if self.queries < 3 or self.tolerance <= 0:
            raise ValueError(
                "queries must be at least 3 and tolerance above 0, "
                f"got {self.queries} and {self.tolerance}"
            )

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return a misclassified image within the budget, or the image itself, in levels."""
        budget = per_image(self.budget, images).flatten()
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
        # One query goes to the image itself and one to the rounding at the end.
        for _ in range(self.queries - 2):
            if self.early_exit:
                going = going[_in_file(rays.radius, budget)[going] > budget[going]]
            if not len(going):
                break
            tried, radius = rays.trial(going)
            wrong = _wrong(detector, tried, rays.labels[going], rays.places[going])
            rays.learn(going, radius, wrong, self.tolerance)
        rays.fit_all()


class _Rays:
    """State of the search, separate for each image; one query is made for all images at once.

    `direction` and `radius` are the best found so far; `radius` is infinite before the first. The
    next direction to try is `direction` with one block flipped: number `block` of `blocks` equal
    blocks. At first `blocks` is 0, and `direction` itself is tried. If `searching`, the boundary in
    that direction lies in (`low`, `high`]; if not, the next query asks whether it is nearer than
    `radius` at all.
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
        """Return the next images to query, and their distances from the originals, shape (k,)."""
        middle = (self.low[which] + self.high[which]) / 2
        radius = torch.where(self.searching[which], middle, self.radius[which].clamp(max=LEVELS))
        change = radius[:, None] * self._turned(which)
        images = self.images[which]
        return (images + change.view_as(images)).clamp(0, LEVELS), radius

    def learn(self, which: Tensor, radius: Tensor, wrong: Tensor, tolerance: float) -> None:
        """Update the search with the answers to the queries from `trial`."""
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
        """Adopt the results of distance searches that were still running."""
        better = (self.searching & (self.high < self.radius)).nonzero().flatten()
        self.direction[better] = self._turned(better)
        self.radius[better] = self.high[better]

    def _turned(self, which: Tensor) -> Tensor:
        start, end = self._block_of(which)
        values = torch.arange(self.direction.shape[1], device=start.device)
        turned = (values >= start[:, None]) & (values < end[:, None])
        return torch.where(turned, -self.direction[which], self.direction[which])

    def _block_of(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return the index of the flipped block's first value, and of the one after its last."""
        blocks, count = self.blocks[which], self.direction.shape[1]
        size = -(-count // blocks.clamp(min=1)) * (blocks > 0)
        start = self.block[which] * size
        return start, (start + size).clamp(max=count)

    def _advance(self, which: Tensor) -> None:
        """Go to the next block, and after the last one to blocks of half the size, at least 1."""
        count = self.direction.shape[1]
        _, end = self._block_of(which)
        last = (self.blocks[which] == 0) | (end == count)
        finer = (2 * self.blocks[which]).clamp(min=1)
        finer = torch.where(self.blocks[which] >= count, self.blocks[which], finer)
        self.blocks[which] = torch.where(last, finer, self.blocks[which])
        self.block[which] = torch.where(last, 0, self.block[which] + 1)
        self.low[which] = 0


def _ends(detector: nn.Module, rays: _Rays, budget: Tensor) -> Tensor:
    """Return the closest images within the budget, at whole distances if possible, or originals."""
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


def _in_file(radius: Tensor, budget: Tensor) -> Tensor:
    """Round distances up to whole levels; a file holds none of a budget below 1."""
    return torch.where(budget < 1, radius, radius.ceil())


def _at(rays: _Rays, radius: Tensor) -> Tensor:
    radius = torch.where(radius.isfinite(), radius, 0)
    change = radius[:, None] * rays.direction
    return (rays.images + change.view_as(rays.images)).clamp(0, LEVELS)


def _wrong(
    detector: nn.Module, images: Tensor, labels: Tensor, places: Tensor | None = None
) -> Tensor:
    """Whether the detector predicts another class: all that this attack learns from it."""
    with torch.no_grad():
        named: Tensor = detector(images).argmax(1)
    spend(forward=1, places=places)
    return named.ne(labels)
