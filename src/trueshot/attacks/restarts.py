"""Several starts of one attack, each on the images that earlier starts have not broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Attack, Norm, as_filed, lengthened, undisturbed
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import margin
from trueshot.attacks.projection import Ball
from trueshot.attacks.randomness import generators


class Climbing(Attack, Protocol):
    """The settings that gradient attacks share: a dataclass with these fields."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def norm(self) -> Norm: ...
    @property
    def early_exit(self) -> bool: ...
    @property
    def random_start(self) -> bool: ...
    @property
    def restarts(self) -> int: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Targets:
    """Images under attack.

    Args:
        ball: The images, and the ball in which their attacked versions may lie.
        labels: True classes, shape (n,).
        places: Indices of the images in the batch that the attack was called with, shape (n,).
    """

    ball: Ball
    labels: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Tensor) -> Targets:
        """Return some of the targets."""
        return Targets(self.ball[rows], self.labels[rows], self.places[rows])


Climb = Callable[[nn.Module, Targets, Tensor], Tensor]
"""One run of an attack: takes the detector, targets and starts; returns attacked images."""


def strongest(
    attack: Climbing, detector: nn.Module, images: Tensor, labels: Tensor, climb: Climb
) -> Tensor:
    """Run an attack from one start after another; keep each image's result of the largest margin.

    Margins are measured after rounding to the levels of a file. An image that is misclassified in
    its file is not attacked again; with early exit, neither is one misclassified before any attack.

    With early exit in L2, an image still classified correctly in its file is tried once more, with
    its change scaled up as far as the budget allows (`lengthened`): rounding removes most of a
    small change that is spread over many values.

    Args:
        attack: Settings of the attack.
        detector: Detector to attack; left unchanged.
        images: Levels, shape (n, 3, h, w).
        labels: True classes, shape (n,).
        climb: One run of the attack.

    Returns:
        Attacked images, not rounded.
    """
    targets = _targets(attack, images, labels)
    sources = generators(images, attack.seed) if _draws(attack) else []
    found, best = images.clone(), images.new_full((len(images),), float("-inf"))
    with undisturbed(detector) as judge:
        if attack.early_exit and attack.random_start and len(targets):
            # If the first start is the image itself, the run finds these images by itself.
            targets = targets[_margins(judge, images, targets) <= 0]
        for number in range(attack.restarts):
            if not len(targets):
                break
            attacked = climb(judge, targets, _start(attack, targets, sources, number))
            spread = attack.early_exit and attack.norm == "l2"
            if attack.restarts == 1 and not spread:
                return found.index_copy_(0, targets.places, attacked)
            filed = _filed(attack, targets.ball, attacked)
            margins = _margins(judge, filed, targets)
            if spread:
                attacked, margins = _lengthened(judge, targets, attacked, filed, margins)
            better = margins > best[targets.places]
            found[targets.places[better]] = attacked[better]
            best[targets.places[better]] = margins[better]
            targets = targets[margins <= 0]
    return found


def wrong_in_file(
    attack: Climbing, detector: nn.Module, targets: Targets, attacked: Tensor, logits: Tensor
) -> Tensor:
    """Return which attacked images are misclassified in memory and in a file: boolean, shape (n,).

    Rounding to the levels of a file moves some images back across the boundary. Only images that
    are misclassified in memory are rounded, and only those that rounding changes are judged again.

    Args:
        attack: Settings of the attack.
        detector: Detector under attack.
        targets: Original images.
        attacked: Attacked images, not rounded.
        logits: Logits of the attacked images.
    """
    wrong = margin(logits, targets.labels) > 0
    rows = wrong.nonzero().squeeze(1)
    if len(rows):
        filed = _filed(attack, targets.ball[rows], attacked[rows])
        changed = (filed != attacked[rows]).flatten(1).any(1)
        doubtful = rows[changed]
        if len(doubtful):
            wrong[doubtful] = _margins(detector, filed[changed], targets[doubtful]) > 0
    return wrong


def _lengthened(
    detector: nn.Module, targets: Targets, attacked: Tensor, filed: Tensor, margins: Tensor
) -> tuple[Tensor, Tensor]:
    """Retry images still correct in their file with a larger change; return images and margins."""
    rows = (margins <= 0).nonzero().squeeze(1)
    ball = targets.ball[rows]
    longer = lengthened(ball.images, attacked[rows], ball.budget)
    changed = ((longer != filed[rows]) & (longer != ball.images)).flatten(1).any(1)
    rows, longer = rows[changed], longer[changed]
    if not len(rows):
        return attacked, margins
    reached = _margins(detector, longer, targets[rows])
    better = reached > margins[rows]
    attacked, margins = attacked.clone(), margins.clone()
    attacked[rows[better]], margins[rows[better]] = longer[better], reached[better]
    return attacked, margins


def _targets(attack: Climbing, images: Tensor, labels: Tensor) -> Targets:
    places = torch.arange(len(images), device=images.device)
    return Targets(Ball.around(images, attack.budget, attack.norm), labels, places)


def _draws(attack: Climbing) -> bool:
    return attack.random_start or attack.restarts > 1


def _start(
    attack: Climbing, targets: Targets, sources: list[torch.Generator], number: int
) -> Tensor:
    """Return starting points: random, or the images at the first start if it is not random."""
    if number == 0 and not attack.random_start:
        return targets.ball.images
    return targets.ball.random_start([sources[place] for place in targets.places.tolist()])


def _filed(attack: Climbing, ball: Ball, attacked: Tensor) -> Tensor:
    return as_filed(replace(attack, budget=ball.budget.flatten()), ball.images, attacked)


@torch.no_grad()
def _margins(detector: nn.Module, images: Tensor, targets: Targets) -> Tensor:
    spend(forward=1, places=targets.places)
    return margin(detector(images), targets.labels)
