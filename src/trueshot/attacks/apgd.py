"""Auto-PGD: projected gradient ascent that finds the length of its steps by itself."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, Norm, norm_of
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import Loss, judge, margin, pull_back
from trueshot.attacks.projection import steepest
from trueshot.attacks.restarts import Targets, strongest, wrong_in_file

MOMENTUM = 0.75  # α: share of the new step, beside the one before
ENOUGH = 0.75  # ρ: share of the steps that must have climbed, or the steps are too long


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Auto-PGD: long steps at first, halved where they no longer climb, from the best point on.

    The strongest attack by gradient for its price, without a length of step to choose. Heights of
    the loss are only ever compared, so in place of cross-entropy the logarithm of the odds against
    the true class is taken, in float64: it rises and falls with cross-entropy and cannot saturate.
    With two classes that is the margin: both losses give one attack, and the second of them finds
    nothing new unless its `seed` is another.

    Args:
        budget: Levels; one number, or a tensor of shape (n,).
        steps: Gradients taken from each start.
        loss: `cross_entropy` (APGD-CE) or `margin`.
        norm: Of the budget and the steps: `linf` or `l2`.
        restarts: Starts. All but the first are random in any case. Of each image the result that
            is furthest on the wrong side in its file is kept; an image that is wrong in its file
            is not attacked again.
        random_start: Start at a random point within the budget instead of the image.
        seed: Of the random starts.
        early_exit: Let an image be once the detector is wrong about it, also when its levels are
            rounded to those of a file (`as_filed`). Otherwise, and where that does not happen, the
            result is the point of the highest loss, as it is in memory.

    Raises:
        ValueError: Fewer than one step or start, or an unknown norm.

    Source: Croce and Hein 2020, arXiv:2003.01690, algorithm 1.
    """

    budget: Budget
    steps: int = 50
    loss: Loss = "cross_entropy"
    norm: Norm = "linf"
    restarts: int = 1
    random_start: bool = True
    seed: int = 0
    early_exit: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or self.restarts < 1:
            raise ValueError(
                f"one step and one start or more wanted, got {self.steps} and {self.restarts}"
            )
        norm_of(self)

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Climb the loss inside the budget; levels in, levels out, not rounded to whole ones."""
        return strongest(self, detector, images, labels, self._climb)

    def _climb(self, detector: nn.Module, targets: Targets, start: Tensor) -> Tensor:
        result = start.clone()
        checkpoints = windows(self.steps)
        climbers = _Climbers.at(targets, start)
        for number in range(self.steps + 1):
            if not len(climbers.rows):
                return result
            attacked, rows = climbers.attacked, climbers.rows
            # The last point is judged, but nothing starts from it.
            logits = climbers.look(detector, self.loss, slope=number < self.steps)
            if self.early_exit:
                wrong = wrong_in_file(self, detector, climbers.targets, attacked, logits)
                if bool(wrong.any()):
                    result[rows[wrong]] = attacked[wrong]
                    climbers = climbers[~wrong]
            if number in checkpoints:
                climbers.halve_where_stuck(checkpoints[number])
            if number < self.steps:
                climbers.move(first=number == 0)
        result[climbers.rows] = climbers.best
        return result


def windows(steps: int) -> dict[int, int]:
    """Checkpoints, and for each the number of steps since the one before.

    The first is at 22 % of the steps. Each window is 3 % of them shorter than the one before it,
    and none shorter than 6 %.

    Source: Croce and Hein 2020, section 3.
    """
    found, last, share, window = {}, 0, 22, 22
    while share <= 100:
        checkpoint = -(-share * steps // 100)
        if checkpoint > last:
            found[checkpoint] = checkpoint - last
            last = checkpoint
        window = max(window - 3, 6)
        share += window
    return found


def height(logits: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """What rises and falls with a loss and never saturates: float64, shape (n,).

    Args:
        logits: Shape (n, classes).
        labels: True classes, shape (n,).
        loss: `margin`, or `cross_entropy`, for which it is the logarithm of the odds against the
            true class: cross-entropy is its softplus.
    """
    exact = logits.double()
    if loss == "margin":
        return margin(exact, labels)
    true = exact.gather(1, labels[:, None]).squeeze(1)
    return exact.scatter(1, labels[:, None], float("-inf")).logsumexp(1) - true


@dataclass
class _Climbers:
    """The images that are still climbing, and what is remembered of each.

    Args:
        targets: Of the attack.
        rows: Their numbers among the targets that the climb began with.
        attacked: Where they are.
        before: Where they were a step ago.
        gradient: Of the loss where they are.
        best: Where the loss was highest.
        best_gradient: Of the loss there.
        step: Length of a step in levels, shape (n, 1, 1, 1).
        height: Of the loss where they are.
        best_height: Of the loss at best.
        rises: Steps since the last checkpoint that have climbed.
        checked_height: The best height at the last checkpoint.
        halved: Whether the step was halved there.
    """

    targets: Targets
    rows: Tensor
    attacked: Tensor
    before: Tensor
    gradient: Tensor
    best: Tensor
    best_gradient: Tensor
    step: Tensor
    height: Tensor
    best_height: Tensor
    rises: Tensor
    checked_height: Tensor
    halved: Tensor

    @classmethod
    def at(cls, targets: Targets, start: Tensor) -> _Climbers:
        lowest = start.new_full((len(start),), float("-inf"), dtype=torch.float64)
        rows = torch.arange(len(start), device=start.device)
        return cls(
            targets,
            rows,
            attacked=start,
            before=start,
            gradient=torch.zeros_like(start),
            best=start.clone(),
            best_gradient=torch.zeros_like(start),
            step=2 * targets.ball.budget,
            height=-lowest,  # so that to come to the start is no rise
            best_height=lowest,
            rises=torch.zeros_like(rows),
            checked_height=lowest,
            halved=torch.ones_like(rows, dtype=torch.bool),
        )

    def __getitem__(self, rows: Tensor) -> _Climbers:
        return _Climbers(*(getattr(self, each.name)[rows] for each in fields(self)))

    def look(self, detector: nn.Module, loss: Loss, *, slope: bool) -> Tensor:
        """Judge where they are, take the gradient if wanted, remember the best; the logits."""
        labels = self.targets.labels
        leaves, logits = judge(detector, self.attacked)
        if slope:
            self.gradient = pull_back(leaves, logits, labels, loss)
        spend(forward=1, backward=int(slope), places=self.targets.places)
        now = height(logits.detach(), labels, loss)
        self.rises += now > self.height
        better = now > self.best_height
        self.best[better] = self.attacked[better]
        self.best_gradient[better] = self.gradient[better]
        self.best_height = torch.where(better, now, self.best_height)
        self.height = now
        return logits.detach()

    def halve_where_stuck(self, window: int) -> None:
        """Where too few steps have climbed, go on from the best point with half the step."""
        too_long = self.rises < ENOUGH * window
        no_gain = ~self.halved & (self.best_height <= self.checked_height)
        stuck = too_long | no_gain
        self.step = torch.where(stuck[:, None, None, None], self.step / 2, self.step)
        self.attacked = self.attacked.clone()
        self.attacked[stuck] = self.best[stuck]
        self.gradient[stuck] = self.best_gradient[stuck]
        self.height = torch.where(stuck, self.best_height, self.height)
        self.halved, self.checked_height = stuck, self.best_height
        self.rises = torch.zeros_like(self.rises)

    def move(self, *, first: bool) -> None:
        """Take a step up the gradient and, but for the first, some of the step before again."""
        ball, here = self.targets.ball, self.attacked
        there = ball.project_(steepest(self.gradient, ball.norm).mul_(self.step).add_(here))
        if not first:
            past = (here - self.before).mul_(1 - MOMENTUM)
            there = ball.project_(there.sub_(here).mul_(MOMENTUM).add_(past).add_(here))
        self.before, self.attacked = here, there
