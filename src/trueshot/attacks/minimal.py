"""The closest image that a detector is wrong about, and how far away it is."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trueshot.attacks.base import (
    Attack,
    Budget,
    Norm,
    as_filed,
    distance,
    norm_of,
    per_image,
    perturb,
    undisturbed,
)
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import judge, margin, pull_back
from trueshot.attacks.projection import steepest
from trueshot.pixels import LEVELS

# Farther than any two images of fewer than 10^9 values are from each other, in either norm.
NO_LIMIT = 1e7

_GROWTH = (0.05, 0.001)  # of the radius in a step: at the first, and at the last
_STEP = (1.0, 0.01)  # as a share of the radius: the same
_STRETCHES = (0.25, 0.5, 1.0)  # of the way from the closest image to the end of the budget

# The first-order distance to the boundary may be off by far, where a detector is flat at first,
# and a ball too large shrinks slowly: so it is believed up to a factor only. Where steps are few it
# is larger, so that the far end of the levels is within reach in a third of them.
_MOST_GROWTH = 2.0
_FIRST_RADIUS = 0.25  # levels, of every value
_OUTWARD = 1 / 3  # of the steps, later ones are short

# Beyond the closest image, as shares of the way: where rounding decides, the verdict is none.
_HAIRS = (0.0, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True, kw_only=True)
class FMN:
    """Fast minimum norm: the closest image, at any distance, that the detector is wrong about.

    A ball around the image shrinks while the detector is wrong at its edge and grows while it is
    right, and the attack climbs the margin inside.

    Args:
        budget: Levels; by default no limit. What is farther does not count.
        norm: `linf` or `l2`: what is to be small.
        steps: Gradients taken.
        filed: Where rounding to the levels of a file would undo the closest image, return one
            farther out in the same direction that lasts, if there is one within the budget.

    Raises:
        ValueError: Fewer than one step, or an unknown norm.

    Source: Pintor et al. 2021, arXiv:2102.12827, algorithm 1. Assumptions: steps are
    shares of the radius, for the published length of 1 suits the unit cube only; the direction is
    the steepest in the norm, in L∞ the sign of the gradient; and until an image is found, the
    radius goes a little beyond the estimated distance and at most doubles in a step, or grows by
    more where there are fewer than thirty steps.
    """

    budget: Budget = NO_LIMIT
    norm: Norm = "linf"
    steps: int = 100
    filed: bool = False

    def __post_init__(self) -> None:
        norm_of(self)
        if self.steps < 1:
            raise ValueError(f"one step or more wanted, got {self.steps}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The closest image found within the budget, or the image itself; levels in, levels out."""
        with undisturbed(detector) as target:
            right = places_right(target, images, labels)
            closest = Closest(images[right], self.norm)
            if len(right):
                self._search(target, closest, labels[right], right)
            return counting(self, detector, images, labels, right, closest)

    def _search(
        self, detector: nn.Module, closest: Closest, labels: Tensor, places: Tensor
    ) -> None:
        images = closest.images
        attacked, radius = images, torch.zeros_like(closest.distance)
        for step in range(self.steps):
            leaves, logits = judge(detector, attacked)
            # The cotangent of the margin has components of a half.
            gradient = 2 * pull_back(leaves, logits, labels, "margin")
            gap = margin(logits.detach(), labels)
            closest.offer(attacked, gap > 0)
            growth, length = (_annealed(*ends, step / self.steps) for ends in (_GROWTH, _STEP))
            radius = self._next_radius(closest, attacked, gap, gradient, radius, growth)
            reach = radius[:, None, None, None]
            moved = attacked + length * reach * steepest(gradient, self.norm)
            attacked = _into_ball(images, moved, reach, self.norm).clamp(0, LEVELS)
        spend(forward=self.steps, backward=self.steps, places=places)
        closest.offer(attacked, margin_at(detector, attacked, labels, places) > 0)

    def _next_radius(
        self,
        closest: Closest,
        attacked: Tensor,
        gap: Tensor,
        gradient: Tensor,
        radius: Tensor,
        growth: float,
    ) -> Tensor:
        images = closest.images
        slope = _dual(gradient, self.norm).clamp(min=torch.finfo(gap.dtype).tiny)
        # A little farther than the boundary, which would otherwise be neared and never crossed.
        to_boundary = (distance(self.norm, images, attacked) + gap.abs() / slope) * (1 + growth)
        first = distance(self.norm, images, images + _FIRST_RADIUS)
        most = max(_MOST_GROWTH, (LEVELS / _FIRST_RADIUS) ** (1 / (_OUTWARD * self.steps)))
        to_boundary = to_boundary.minimum(most * radius.maximum(first))
        farthest = distance(self.norm, images, _far_corner(images))
        outward = torch.where(closest.found, radius * (1 + growth), to_boundary)
        inward = torch.minimum(radius * (1 - growth), closest.distance)
        return torch.where(gap > 0, inward, outward).minimum(farthest)


class Closest:
    """Of each image the closest wrongly judged one that was offered so far."""

    def __init__(self, images: Tensor, norm: Norm) -> None:
        self.images, self.norm = images, norm
        self.best = images
        self.distance = images.new_full((len(images),), math.inf)

    @property
    def found(self) -> Tensor:
        """Images for which there is one: (n,)."""
        return self.distance.isfinite()

    def offer(self, candidates: Tensor, wrong: Tensor) -> None:
        """Keep those candidates that are judged wrongly, (n,), and closer than what there was."""
        away = distance(self.norm, self.images, candidates)
        better = wrong & (away < self.distance)
        self.best = torch.where(better[:, None, None, None], candidates, self.best)
        self.distance = torch.where(better, away, self.distance)

    def confirm(self, detector: nn.Module, labels: Tensor, places: Tensor) -> None:
        """Keep only images that the detector itself is wrong about.

        The search asks one that is folded, which is equal up to rounding: at the boundary that may
        be the whole difference. Such an image is moved a hair farther out, or given up.
        """
        nearest, unsure = self.best, self.found
        for hair in _HAIRS:
            if not bool(unsure.any()):
                return
            farther = nearest
            if hair:
                change = (1 + hair) * (nearest - self.images)
                farther = (self.images + change).clamp(0, LEVELS)
            lasts = unsure & (margin_at(detector, farther, labels, places) > 0)
            away = distance(self.norm, self.images, farther)
            self.best = torch.where(lasts[:, None, None, None], farther, self.best)
            self.distance = torch.where(lasts, away, self.distance)
            unsure = unsure & ~lasts
        self.distance = torch.where(unsure, math.inf, self.distance)


def boundary_distance(
    detector: nn.Module, images: Tensor, labels: Tensor, attack: Attack
) -> Tensor:
    """How far an attack has to change each image, in levels, until the detector is wrong.

    Args:
        detector: What is attacked; left as it was.
        images: Levels in [0, 255], shape (n, 3, h, w).
        labels: True classes, shape (n,).
        attack: One that looks for the closest image: `FMN`, `FAB`, `RayS`. Its `filed` and
            `early_exit`, which are content with less, are turned off.

    Returns:
        Shape (n,), in the norm of the attack: 0 where the detector is wrong already, infinite
        where the attack found nothing. An upper bound of the true distance; what the attack
        returns is judged again, and does not count unless the detector is wrong about it.
    """
    attacked = perturb(_to_the_end(attack), detector, images, labels)
    with undisturbed(detector):
        wrong = margin_at(detector, images, labels) > 0
        found = margin_at(detector, attacked, labels) > 0
    away = distance(norm_of(attack), images, attacked)
    away = torch.where(found, away, math.inf)
    return torch.where(wrong, 0.0, away)


def _to_the_end(attack: Any) -> Any:
    names = {each.name for each in dataclasses.fields(attack)} & {"filed", "early_exit"}
    return dataclasses.replace(attack, **dict.fromkeys(names, False))


def margin_at(
    detector: nn.Module, images: Tensor, labels: Tensor, places: Tensor | None = None
) -> Tensor:
    """Margins, shape (n,), without a gradient; the call is counted, see `spend` for `places`."""
    with torch.no_grad():
        logits = detector(images)
    spend(forward=1, places=places)
    return margin(logits, labels)


def places_right(detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Numbers of the images that the detector judges rightly, shape (k,)."""
    return (margin_at(detector, images, labels) <= 0).nonzero().flatten()


def counting(
    attack: Any,
    detector: nn.Module,
    images: Tensor,
    labels: Tensor,
    places: Tensor,
    closest: Closest,
) -> Tensor:
    """The images, with the closest of some places where they are within an attack's budget.

    Args:
        attack: A frozen dataclass with `budget`, `norm` and `filed`.
        detector: Itself, in evaluation mode, and not as it is folded.
        images: All of them, shape (n, 3, h, w).
        labels: Shape (n,).
        places: Numbers of the images that were attacked, shape (k,).
        closest: What was found for these.
    """
    budget = per_image(attack.budget, images).expand(len(images), 1, 1, 1).flatten()
    if len(places):
        closest.confirm(detector, labels[places], places)
    within = closest.distance <= budget[places]
    result = images.clone()
    result[places[within]] = closest.best[within]
    if attack.filed:
        _stretch(attack, detector, images, labels, places[within], result, budget)
    return result


def _stretch(
    attack: Any,
    detector: nn.Module,
    images: Tensor,
    labels: Tensor,
    places: Tensor,
    result: Tensor,
    budget: Tensor,
) -> None:
    """Move what rounding would undo farther out, in place."""
    nearest = result.clone()
    for stretch in (0.0, *_STRETCHES):
        if not len(places):
            return
        there, limit = images[places], budget[places]
        change = nearest[places] - there
        away = distance(attack.norm, there, nearest[places])
        factor = 1 + stretch * (limit - away) / away
        farther = (there + factor[:, None, None, None] * change).clamp(0, LEVELS)
        if stretch == 0:
            farther = nearest[places]
        rounded = as_filed(dataclasses.replace(attack, budget=limit), there, farther)
        lasts = margin_at(detector, rounded, labels[places], places) > 0
        result[places[lasts]] = farther[lasts]
        places = places[~lasts]


def _dual(gradient: Tensor, norm: Norm) -> Tensor:
    """How fast a loss rises at most with the distance, shape (n,)."""
    if norm == "linf":
        return gradient.abs().sum((1, 2, 3))
    # First to a largest component of 1: squares of large numbers would be infinite.
    largest = gradient.abs().amax((1, 2, 3))
    unit = gradient / torch.where(largest > 0, largest, 1)[:, None, None, None]
    return largest * unit.square().sum((1, 2, 3)).sqrt()


def _into_ball(images: Tensor, attacked: Tensor, radius: Tensor, norm: Norm) -> Tensor:
    if norm == "linf":
        return attacked.clamp(images - radius, images + radius)
    change = attacked - images
    length = change.square().sum((1, 2, 3), keepdim=True).sqrt()
    factor = radius / length.clamp(min=torch.finfo(length.dtype).tiny)
    return images + change * factor.clamp(max=1)


def _far_corner(images: Tensor) -> Tensor:
    return torch.where(images < LEVELS / 2, LEVELS, 0.0).to(images)


def _annealed(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
