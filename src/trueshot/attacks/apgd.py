"""Auto-PGD: projected gradient ascent that adapts its own step size."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Budget, Norm, norm_of
from trueshot.attacks.calls import spend
from trueshot.attacks.losses import Loss, judge, margin, pull_back
from trueshot.attacks.projection import steepest
from trueshot.attacks.restarts import Targets, strongest, wrong_in_file

MOMENTUM = 0.75  # α: weight of the new step; the previous step has the rest
ENOUGH = 0.75  # ρ: share of steps that must raise the loss, or the step size is halved


@dataclass(frozen=True, kw_only=True)
class APGD:
    """Auto-PGD: long steps at first; without progress, half the step from the best point on.

    The strongest gradient attack for its cost, without a step size to choose. The algorithm only
    compares loss values, so instead of cross-entropy it uses the log odds against the true class,
    in float64: they rise and fall with cross-entropy and cannot saturate. With two classes the log
    odds are the margin, so both losses give the same attack, and running the second finds nothing
    new unless its `seed` differs.

    Args:
        budget: Largest change in levels; one number, or a tensor of shape (n,).
        steps: Gradients computed from each start.
        loss: `cross_entropy` (APGD-CE) or `margin`.
        norm: Norm of the budget and the steps: `linf` or `l2`.
        restarts: Number of starts; all but the first are always random. For each image the result
            with the largest margin in its file is kept, and an image that is misclassified in its
            file is not attacked again.
        random_start: Whether the first start too is a random point within the budget, instead of
            the image.
        seed: Seed of the random starts.
        early_exit: Stop on an image once it is misclassified, also after rounding to the levels of
            a file (`as_filed`). Otherwise, and if that never happens, the result is the point of
            the highest loss, not rounded.

    Raises:
        ValueError: `steps` or `restarts` is below 1, or `norm` is unknown.

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
                f"steps and restarts must be at least 1, got {self.steps} and {self.restarts}"
            )
        norm_of(self)

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Maximise the loss within the budget; return levels, not rounded to whole ones."""
        return strongest(self, detector, images, labels, self._climb)

    def _climb(self, detector: nn.Module, targets: Targets, start: Tensor) -> Tensor:
        result = start.clone()
        checkpoints = windows(self.steps)
        climbers = _Climbers.at(targets, start)
        for number in range(self.steps + 1):
            if not len(climbers.rows):
                return result
            attacked, rows = climbers.attacked, climbers.rows
            # The last point is judged, but no step is taken from it.
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
    """Return the checkpoints, each with the number of steps since the previous one.

    The first is at 22 % of the steps. Each window is shorter than the previous one by 3 % of the
    steps, down to 6 %.

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
    """Return a value that rises and falls with a loss and never saturates: float64, shape (n,).

    Args:
        logits: Shape (n, classes).
        labels: True classes, shape (n,).
        loss: `margin`, which is the value itself, or `cross_entropy`, for which the value is the
            log odds against the true class: cross-entropy is their softplus.
    """
    exact = logits.double()
    if loss == "margin":
        return margin(exact, labels)
    true = exact.gather(1, labels[:, None]).squeeze(1)
    return exact.scatter(1, labels[:, None], float("-inf")).logsumexp(1) - true


@dataclass
class _Climbers:
    """The images still under attack, and the state of the search for each.

    Args:
        targets: The images and their labels.
        rows: Their indices among the targets that the run started with.
        attacked: Current points.
        before: Points one step earlier.
        gradient: Gradient of the loss at the current points.
        best: Points of the highest loss so far.
        best_gradient: Gradient of the loss at `best`.
        step: Step size in levels, shape (n, 1, 1, 1).
        height: `height` of the loss at the current points.
        best_height: `height` of the loss at `best`.
        rises: Number of steps since the last checkpoint that raised the loss.
        checked_height: `best_height` at the last checkpoint.
        halved: Whether the step size was halved at the last checkpoint.
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
            height=-lowest,  # infinite: reaching the start does not count as a rise
            best_height=lowest,
            rises=torch.zeros_like(rows),
            checked_height=lowest,
            halved=torch.ones_like(rows, dtype=torch.bool),
        )

    def __getitem__(self, rows: Tensor) -> _Climbers:
        return _Climbers(*(getattr(self, each.name)[rows] for each in fields(self)))

    def look(self, detector: nn.Module, loss: Loss, *, slope: bool) -> Tensor:
        """Return the logits at the current points; update the best ones and, if `slope`, gradients.

        Gradients are not needed at the last point.
        """
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
        """Halve the step and return to the best point, for images without enough progress.

        That is where too few steps of the window raised the loss, or where the highest loss has not
        grown since a checkpoint that did not halve the step.
        """
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
        """Take a step along the gradient and, except at the first step, add momentum."""
        ball, here = self.targets.ball, self.attacked
        there = ball.project_(steepest(self.gradient, ball.norm).mul_(self.step).add_(here))
        if not first:
            past = (here - self.before).mul_(1 - MOMENTUM)
            there = ball.project_(there.sub_(here).mul_(MOMENTUM).add_(past).add_(here))
        self.before, self.attacked = here, there
