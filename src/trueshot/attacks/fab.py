"""FAB: repeated projection onto the decision boundary of the linearised detector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, Norm, distance, norm_of, per_image, undisturbed
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import judge
from trueshot.attacks.minimal import Closest, counting, margin_at, places_right
from trueshot.attacks.randomness import drawn, generators
from trueshot.pixels import LEVELS

# As published: overshoot, step back towards the image, largest pull towards it, final steps.
_OVERSHOOT = 1.05
_BACK = 0.9
_MOST_PULL = 0.1
_LAST_STEPS = 3

_MOST_BITS = 126  # up to this exponent, a power of two and its inverse are float32 numbers


@dataclass(frozen=True, kw_only=True)
class FAB:
    """Fast adaptive boundary attack: find the closest misclassified image, towards one class.

    It uses neither the length of the gradient nor a step size, so a defence that only makes the
    gradient small does not mislead it.

    Args:
        budget: Largest change in levels; one number, or a tensor of shape (n,). If the closest
            image found is farther away, the original image is returned.
        norm: Norm of the budget and the distance: `linf` or `l2`.
        steps: Gradients computed per restart.
        restarts: Number of runs: the first starts at the image, the others at random points near
            it.
        seed: Seed of the random points.
        filed: See `FMN`; on by default, because within a budget only images that a file can hold
            count.

    Raises:
        ValueError: `steps` or `restarts` is below 1, or `norm` is unknown.

    Source: Croce and Hein 2020, arXiv:1907.02044, algorithm 1, towards the class that is second
    best at the image; with two classes, the other one.
    """

    budget: Budget
    norm: Norm = "linf"
    steps: int = 50
    restarts: int = 1
    seed: int = 0
    filed: bool = True

    def __post_init__(self) -> None:
        norm_of(self)
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(
                f"steps and restarts must be at least 1, got {self.steps} and {self.restarts}"
            )

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the closest image found within the budget, or the image itself, in levels."""
        budget = per_image(self.budget, images)
        with undisturbed(detector) as target:
            right = places_right(target, images, labels)
            closest = Closest(images[right], self.norm)
            if len(right):
                self._search(target, closest, labels[right], budget[right], right)
            return counting(self, detector, images, labels, right, closest)

    def _search(
        self,
        detector: nn.Module,
        closest: Closest,
        labels: Tensor,
        budget: Tensor,
        places: Tensor,
    ) -> None:
        images = closest.images
        goals = _second_best(detector, images, labels, places)
        sources = generators(images, self.seed)
        for restart in range(self.restarts):
            start = images
            if restart:
                radius = closest.distance[:, None, None, None].minimum(budget) / 2
                start = (images + radius * _unit(sources, images, self.norm)).clamp(0, LEVELS)
            self._run(detector, closest, start, labels, goals, places)
        _pull_in(detector, closest, labels, places)

    def _run(
        self,
        detector: nn.Module,
        closest: Closest,
        start: Tensor,
        labels: Tensor,
        goals: Tensor,
        places: Tensor,
    ) -> None:
        images, attacked = closest.images, start
        for _ in range(self.steps):
            value, gradient = _linearised(detector, attacked, labels, goals)
            spend(forward=1, backward=1, places=places)
            at_image = value + (gradient * (images - attacked)).sum((1, 2, 3))
            ahead = onto_boundary(attacked, gradient, value, self.norm)
            aside = onto_boundary(images, gradient, at_image, self.norm)
            pull = _pull(ahead, aside, self.norm)
            attacked = (1 - pull) * (attacked + _OVERSHOOT * ahead)
            attacked = (attacked + pull * (images + _OVERSHOOT * aside)).clamp_(0, LEVELS)
            wrong = margin_at(detector, attacked, labels, places) > 0
            closest.offer(attacked, wrong)
            nearer = images + _BACK * (attacked - images)
            attacked = torch.where(wrong[:, None, None, None], nearer, attacked)


def onto_boundary(images: Tensor, gradient: Tensor, value: Tensor, norm: Norm) -> Tensor:
    """Compute the exact smallest change within [0, 255] that makes a linear function 0.

    Every level moves along the gradient until it reaches 0 or 255, at speed 1 (L∞) or at the speed
    of its gradient component (L2), for the time that makes the function 0. The function's progress
    is increasing, concave and piecewise linear in time, so Newton's method from below reaches the
    right piece after a few steps, without sorting.

    Args:
        images: Levels in [0, 255], shape (n, 3, h, w).
        gradient: Gradient of the function, same shape.
        value: Value of the function at the images, shape (n,).
        norm: Norm in which the change is smallest.

    Returns:
        Changes, same shape as the images. If the function is not 0 anywhere in [0, 255], the change
        that brings it closest to 0.

    Source: the problem is stated in section 2.2 of the paper that `FAB` cites.
    """
    axes = (1, 2, 3)
    # Scale the largest component below 1, by a power of two: squares would over- or underflow.
    _, exponent = torch.frexp(gradient.abs().amax(axes))
    exponent = exponent.clamp(-_MOST_BITS, _MOST_BITS)
    gradient = torch.ldexp(gradient, -exponent[:, None, None, None])
    value = torch.ldexp(value, -exponent)
    wanted = value.abs()[:, None, None, None]
    towards = gradient.sign() * -value.sign()[:, None, None, None]
    room = torch.where(towards > 0, LEVELS - images, images)
    weight = gradient.abs()
    speed = towards.abs() if norm == "linf" else weight
    time = torch.zeros_like(wanted)
    going = wanted > 0
    for _ in range(images[0].numel()):
        path = speed * time
        free = path < room
        slope = (weight * speed * free).sum(axes, keepdim=True)
        missing = wanted - (weight * path.minimum(room)).sum(axes, keepdim=True)
        # Once no level can move any farther, the slope is zero, and no time is enough.
        later = torch.where(slope > 0, time + missing / slope, torch.inf)
        going = going & (later > time)
        time = torch.where(going, later, time)
        # Where no further level has reached 0 or 255, the piece was the right one.
        going = going & (free & (speed * time > room)).flatten(1).any(1)[:, None, None, None]
        if not bool(going.any()):
            break
    path = torch.where(speed > 0, speed * time, 0.0)
    return towards * path.minimum(room)


def _linearised(
    detector: nn.Module, attacked: Tensor, labels: Tensor, goals: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the logit of the goal minus the true one, shape (n,), and its gradient."""
    leaves, logits = judge(detector, attacked)
    with torch.enable_grad():
        chosen = logits.gather(1, torch.stack([goals, labels], 1))
        value = chosen[:, 0] - chosen[:, 1]
        (gradient,) = torch.autograd.grad(value.sum(), leaves)
    return value.detach(), gradient


def _second_best(detector: nn.Module, images: Tensor, labels: Tensor, places: Tensor) -> Tensor:
    with torch.no_grad():
        logits = detector(images)
    spend(forward=1, places=places)
    others: Tensor = logits.scatter(1, labels[:, None], float("-inf"))
    return others.argmax(1)


def _pull(ahead: Tensor, aside: Tensor, norm: Norm) -> Tensor:
    """Weight of the point projected from the original image, shape (n, 1, 1, 1): equation 9."""
    nothing = torch.zeros_like(ahead)
    first, second = (distance(norm, change, nothing) for change in (ahead, aside))
    tiny = torch.finfo(first.dtype).tiny
    share = first / (first + second).clamp(min=tiny)
    return share.clamp(max=_MOST_PULL)[:, None, None, None]


def _unit(sources: list[torch.Generator], images: Tensor, norm: Norm) -> Tensor:
    """Draw a random change of length 1 for each image."""
    shape = images.shape[1:]
    if norm == "linf":
        change = drawn(sources, lambda source: 2 * torch.rand(shape, generator=source) - 1, images)
    else:
        change = drawn(sources, lambda source: torch.randn(shape, generator=source), images)
    length = distance(norm, change, torch.zeros_like(change))
    unit: Tensor = change / length[:, None, None, None]
    return unit


def _pull_in(detector: nn.Module, closest: Closest, labels: Tensor, places: Tensor) -> None:
    """Run the final search, equation 14: where the margin changes sign on the line to the image."""
    images, best = closest.images, closest.best
    low = torch.zeros_like(closest.distance)
    high = torch.ones_like(low)
    below = margin_at(detector, images, labels, places)
    above = margin_at(detector, best, labels, places)
    for _ in range(_LAST_STEPS):
        share = low - below * (high - low) / (above - below).clamp(min=1e-30)
        share = torch.where(closest.found, share.clamp(low, high), high)
        candidates = images + share[:, None, None, None] * (best - images)
        gap = margin_at(detector, candidates, labels, places)
        closest.offer(candidates, gap > 0)
        low, below = torch.where(gap > 0, low, share), torch.where(gap > 0, below, gap)
        high, above = torch.where(gap > 0, share, high), torch.where(gap > 0, gap, above)
