"""Minimum-norm attacks: the closest misclassified image, and its distance."""

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

# More than the distance between any two images of fewer than 10^9 values, in either norm.
NO_LIMIT = 1e7

_GROWTH = (0.05, 0.001)  # relative change of the radius per step, at the first and the last step
_STEP = (1.0, 0.01)  # step size as a share of the radius, at the first and the last step
_STRETCHES = (0.25, 0.5, 1.0)  # shares of the way from the closest image to the end of the budget

# The first-order estimate of the distance to the boundary can be far too large where a detector is
# flat, and a ball that is too large shrinks slowly. So the radius grows by at most this factor per
# step. With few steps the factor is larger, so that a third of them can reach the most distant
# levels.
_MOST_GROWTH = 2.0
_FIRST_RADIUS = 0.25  # change of every value, in levels
_OUTWARD = 1 / 3  # share of the steps for the way outward, since later steps are short

# Shares of the distance by which to move past the closest image, where rounding can decide.
_HAIRS = (0.0, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True, kw_only=True)
class FMN:
    """Fast minimum norm: find the closest misclassified image, at any distance.

    A ball around the image shrinks while the detector is wrong at its edge and grows while it is
    right; inside it, the attack maximises the margin.

    Args:
        budget: Largest change in levels, by default unlimited; images farther away do not count.
        norm: Norm to minimise, `linf` or `l2`.
        steps: Gradients computed.
        filed: If rounding to the levels of a file would undo the closest image, return one farther
            out in the same direction that survives it, if there is one within the budget.

    Raises:
        ValueError: `steps` is below 1, or `norm` is unknown.

    Source: Pintor et al. 2021, arXiv:2102.12827, algorithm 1. Assumptions: steps are shares of the
    radius, because the published length of 1 suits only images in [0, 1]; the direction is the
    steepest in the norm, in L∞ the sign of the gradient; until a misclassified image is found, the
    radius goes slightly beyond the estimated distance and at most doubles per step, or grows by
    more if there are fewer than thirty steps.
    """

    budget: Budget = NO_LIMIT
    norm: Norm = "linf"
    steps: int = 100
    filed: bool = False

    def __post_init__(self) -> None:
        norm_of(self)
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the closest image found within the budget, or the image itself, in levels."""
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
            # The margin's cotangent has components of ±0.5 instead of ±1.
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
        # Slightly beyond the boundary, which would otherwise be approached but never crossed.
        to_boundary = (distance(self.norm, images, attacked) + gap.abs() / slope) * (1 + growth)
        first = distance(self.norm, images, images + _FIRST_RADIUS)
        most = max(_MOST_GROWTH, (LEVELS / _FIRST_RADIUS) ** (1 / (_OUTWARD * self.steps)))
        to_boundary = to_boundary.minimum(most * radius.maximum(first))
        farthest = distance(self.norm, images, _far_corner(images))
        outward = torch.where(closest.found, radius * (1 + growth), to_boundary)
        inward = torch.minimum(radius * (1 - growth), closest.distance)
        return torch.where(gap > 0, inward, outward).minimum(farthest)


class Closest:
    """The closest misclassified image offered so far, for each original image."""

    def __init__(self, images: Tensor, norm: Norm) -> None:
        self.images, self.norm = images, norm
        self.best = images
        self.distance = images.new_full((len(images),), math.inf)

    @property
    def found(self) -> Tensor:
        """Whether there is a misclassified image for each original, shape (n,)."""
        return self.distance.isfinite()

    def offer(self, candidates: Tensor, wrong: Tensor) -> None:
        """Keep candidates that are misclassified (`wrong`, shape (n,)) and closer than before."""
        away = distance(self.norm, self.images, candidates)
        better = wrong & (away < self.distance)
        self.best = torch.where(better[:, None, None, None], candidates, self.best)
        self.distance = torch.where(better, away, self.distance)

    def confirm(self, detector: nn.Module, labels: Tensor, places: Tensor) -> None:
        """Keep only images that the original detector misclassifies.

        The search uses the folded detector, which is equal up to rounding, and at the boundary
        rounding can decide. An image on which they differ is moved slightly farther out, or
        dropped.
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
    """Compute how far an attack has to change each image, in levels, to have it misclassified.

    Args:
        detector: Detector to attack; left unchanged.
        images: Levels in [0, 255], shape (n, 3, h, w).
        labels: True classes, shape (n,).
        attack: An attack that looks for the closest image: `FMN`, `FAB` or `RayS`. Its `filed` and
            `early_exit` are turned off, because they accept images that are not the closest.

    Returns:
        Distances in the norm of the attack, shape (n,): 0 where the image is misclassified already,
        infinite where the attack found nothing. Each is an upper bound of the true distance. The
        attack's results are judged again and count only if they are misclassified.
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
    """Return margins, shape (n,), without gradients; count the call, see `spend` for `places`."""
    with torch.no_grad():
        logits = detector(images)
    spend(forward=1, places=places)
    return margin(logits, labels)


def places_right(detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the indices of the images that the detector classifies correctly, shape (k,)."""
    return (margin_at(detector, images, labels) <= 0).nonzero().flatten()


def counting(
    attack: Any,
    detector: nn.Module,
    images: Tensor,
    labels: Tensor,
    places: Tensor,
    closest: Closest,
) -> Tensor:
    """Return the images, each replaced by the closest one found if it is within the budget.

    Args:
        attack: The attack, a frozen dataclass with `budget`, `norm` and `filed`.
        detector: The original detector, not a folded one, in evaluation mode.
        images: All images of the batch, shape (n, 3, h, w).
        labels: True classes, shape (n,).
        places: Indices of the images that were attacked, shape (k,).
        closest: Results for these images.
    """
    budget = per_image(attack.budget, images).flatten()
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
    """Move results that rounding would undo farther out, in place."""
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
    """Return the steepest slope of a loss over distance, the gradient's dual norm, shape (n,)."""
    if norm == "linf":
        return gradient.abs().sum((1, 2, 3))
    # Scale the largest component to 1 first: squares of large numbers would be infinite.
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
