"""Square: random search with squares, which uses logits but no gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, Norm, per_image, undisturbed
from trueshot.attacks.minimal import margin_at, places_right
from trueshot.attacks.randomness import drawn, generators
from trueshot.pixels import LEVELS

# Numbers of queries, out of 10,000, after which the share of pixels in a square is halved.
_HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_FULL_SCHEDULE = 10_000
_BEFORE = 2  # queries before the first square: the image itself, and the stripes
_BLOCK = 512  # queries whose random numbers are drawn at once


@dataclass(frozen=True, kw_only=True)
class Square:
    """Square attack in L∞: squares at random positions in random colours, kept if the margin grows.

    It uses no gradient: where it is stronger than gradient attacks, the gradient is hidden. Every
    level it tries is changed by the whole budget, or clipped to 0 or 255. A budget above 1 that is
    not a whole number is rounded down, because only whole levels survive in a file (`as_filed`). So
    every image it tries could be a file, and rounding undoes nothing.

    Args:
        budget: Largest change in levels; one number, or a tensor of shape (n,). A budget below 1 is
            used as it is: results then hold for levels in memory, but not for files.
        queries: Maximum number of detector calls per image; the search stops on an image once it
            is misclassified.
        first_share: Share of the pixels in the first squares.
        seed: Seed of the squares; each image has its own squares.
        norm: `linf`. The L2 variant of the attack is not implemented.

    Raises:
        ValueError: `queries` is below 2, `first_share` is outside (0, 1], or `norm` is not `linf`.

    Source: Andriushchenko et al. 2020, arXiv:1912.00049, algorithms 1 and 2; the schedule is
    stretched to the number of queries, and the first share is that of AutoAttack.
    """

    budget: Budget
    queries: int = 1000
    first_share: float = 0.8
    seed: int = 0
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        if self.norm != "linf":
            raise ValueError(f"Square is implemented for linf only, not for {self.norm!r}")
        if self.queries < 2 or not 0 < self.first_share <= 1:
            raise ValueError(
                "queries must be at least 2 and first_share in (0, 1], "
                f"got {self.queries} and {self.first_share}"
            )

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Search within the budget until the detector is wrong; return levels."""
        budget = per_image(self.budget, images)
        budget = torch.where(budget < 1, budget, budget.floor())
        result = images.clone()
        with undisturbed(detector) as target:
            places = places_right(target, images, labels)
            if len(places):
                best = self._search(target, images[places], labels[places], budget[places], places)
                result[places] = best
        return result

    def _search(
        self, detector: nn.Module, images: Tensor, labels: Tensor, budget: Tensor, places: Tensor
    ) -> Tensor:
        result = images.clone()
        sources = generators(images, self.seed)
        low, high = (images - budget).clamp(min=0), (images + budget).clamp(max=LEVELS)
        going = torch.arange(len(images), device=images.device)
        best = torch.where(_stripes(sources, images) > 0, high, low)
        gap = margin_at(detector, best, labels, places)
        for query in range(self.queries - _BEFORE):
            if query % _BLOCK == 0:
                numbers = _numbers(sources, min(_BLOCK, self.queries - _BEFORE - query), images)
            done = gap > 0
            if bool(done.any()):
                result[going[done]] = best[done]
                best, gap, going, labels, low, high, places = (
                    each[~done] for each in (best, gap, going, labels, low, high, places)
                )
            if not len(going):
                return result
            side = self.side(query, images.shape[-2], images.shape[-1])
            tried = _with_square(best, low, high, numbers[going, query % _BLOCK], side)
            reached = margin_at(detector, tried, labels, places)
            better = reached > gap
            best = torch.where(better[:, None, None, None], tried, best)
            gap = torch.where(better, reached, gap)
        result[going] = best
        return result

    def side(self, query: int, height: int, width: int) -> int:
        """Return the side, in pixels, of the square tried after `query` others."""
        squares = max(self.queries - _BEFORE, 1)
        published = int(query / squares * _FULL_SCHEDULE)
        halvings = sum(published > after for after in _HALVED_AFTER)
        pixels = self.first_share / 2**halvings * height * width
        return min(max(round(math.sqrt(pixels)), 1), height, width)


def _stripes(sources: list[torch.Generator], images: Tensor) -> Tensor:
    """Draw the starting point: vertical stripes of one pixel, with a random sign per channel."""
    _, channels, height, width = images.shape
    signs = drawn(
        sources, lambda source: torch.rand((channels, 1, width), generator=source) - 0.5, images
    )
    return signs.expand(-1, -1, height, -1)


def _numbers(sources: list[torch.Generator], count: int, images: Tensor) -> Tensor:
    """Draw numbers in [0, 1) for each image and square: row, column, and one for each channel."""
    shape = (count, 2 + images.shape[1])
    return drawn(sources, lambda source: torch.rand(shape, generator=source), images)


def _with_square(best: Tensor, low: Tensor, high: Tensor, numbers: Tensor, side: int) -> Tensor:
    """Change a square of each image by the whole budget, up or down per channel."""
    *_, height, width = best.shape
    top, left = (
        (numbers[:, axis, None] * (length - side + 1)).floor()
        for axis, length in enumerate((height, width))
    )
    rows, columns = (torch.arange(length, device=best.device) for length in (height, width))
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    up = numbers[:, 2:, None, None] >= 0.5
    return torch.where(inside, torch.where(up, high, low), best)
