"""Adversarial training of a small network on whole frames.

    python -m trueshot.training.robust_context MANIFEST OUT [setting=value …]

Each minibatch is shown several times. Each time, the change of its images takes a further step up
the loss, and one backward pass gives the gradients of both weights and change. Source: Shafahi et
al. 2019, "Adversarial training for free!", arXiv:1904.12843. The network starts with random
weights: one pretrained on ImageNet relies on details that a change of one level wipes out, and does
not unlearn that in the time available on a CPU. The budget rises from 0, because at full budget the
first steps learn nothing. A running mean of the weights is judged and kept (docs/training.md).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from trueshot.attacks import PGD, perturb
from trueshot.detector import Detector, scores_of
from trueshot.networks.efficientnet_lite import OFFSET, SCALE
from trueshot.networks.resnet import WIDTH, ResNet
from trueshot.pixels import to_levels
from trueshot.training.context_recipe import ContextRecipe
from trueshot.training.frame_augmentation import augmented, seen
from trueshot.training.frame_run import Run, command, drawn_frames, run
from trueshot.training.frames import Frame, open_frame
from trueshot.training.steps import keep

_STEP = 3  # random number stream of the steps
_RISING, _WARMING = 0.3, 0.05  # shares of the steps over which budget and learning rate rise
_CHUNK = 50  # frames judged at a time


@dataclass(frozen=True, kw_only=True)
class RobustContextRecipe:
    """All settings of an adversarial training run.

    Args:
        side: Side of the network's input in pixels.
        width: Number of filters in the network's first stage.
        steps: Number of steps, each on one minibatch.
        batch: Frames per minibatch.
        replays: How often each minibatch is shown.
        budget: L∞ budget of the change, in levels.
        learning_rate: Scale of the learning rate, which rises over a twentieth of the steps and
            falls linearly to 0.
        weight_decay: Weight decay of AdamW.
        averaging: Share of the running mean of the weights that is kept at each showing.
        colours: See `ContextRecipe`.
        close: See `ContextRecipe`.
        judged: Number of frames of each class that a validation attacks.
        judged_budget: Budget of the ten-step PGD of validations, in levels.
        validate_every: Steps between validations.
        seed: Seed of initial weights, order, augmentation and the initial change.
    """

    side: int = 96
    width: int = WIDTH
    steps: int = 2000
    batch: int = 64
    replays: int = 4
    budget: float = 3.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    averaging: float = 0.998
    colours: float = 0.7
    close: float = 0.3
    judged: int = 125
    judged_budget: float = 2.0
    validate_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.steps, self.batch, self.replays, self.judged, self.validate_every)
        if self.side < 32 or min(counts) < 1:
            raise ValueError(
                "side must be at least 32 px; steps, batch, replays, judged and validate_every "
                "at least 1"
            )

    @property
    def frames(self) -> ContextRecipe:
        """The settings by which frames are resized and augmented."""
        return ContextRecipe(side=self.side, colours=self.colours, close=self.close)


def train_robust_context(
    frames: Sequence[Frame], out: Path, recipe: RobustContextRecipe
) -> Detector:
    """Train a network; an interrupted run resumes, and ends with the same bits.

    Args:
        frames: Frames of all parts, of which train and validation are used.
        out: Folder of the run, see `frame_run.run`.
        recipe: Settings of the run.

    Returns:
        The detector with the best validation score under attack.

    Raises:
        RunError: The folder holds another run.
        DatasetError: A part lacks a class.
    """
    return run(frames, out, recipe, partial(_Training, recipe))


class _Training(Run):
    average: Detector

    def __init__(
        self, recipe: RobustContextRecipe, training: Sequence[Frame], validation: Sequence[Frame]
    ) -> None:
        self.recipe, self.training = recipe, training
        self.facts = {**asdict(recipe), "network": {"name": "resnet", "width": recipe.width}}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            network = ResNet(width=recipe.width)
        self.detector = Detector(network, offset=OFFSET, scale=SCALE)
        self.detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.detector).eval()
        self.optimizer = torch.optim.AdamW(
            self.detector.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        shown = [
            frame
            for label in range(2)
            for frame in [each for each in validation if each.label == label][: recipe.judged]
        ]
        self.labels = torch.tensor([frame.label for frame in shown])
        images = [seen(open_frame(frame), recipe.frames) for frame in shown]
        self.levels = to_levels(np.stack(images))

    def step(self, number: int) -> float:
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(recipe, number)
        chosen = drawn_frames(self.training, recipe.seed, recipe.batch, number)
        random = np.random.default_rng((recipe.seed, _STEP, number))
        images = [
            augmented(open_frame(each), recipe.frames, random, each.outline) for each in chosen
        ]
        levels = to_levels(np.stack(images))
        labels = torch.tensor([frame.label for frame in chosen])
        budget = recipe.budget * min(1.0, number / (_RISING * recipe.steps))
        change = torch.from_numpy(random.uniform(-budget, budget, levels.shape).astype(np.float32))
        losses = []
        self.detector.train()
        for showing in range(recipe.replays):
            changed = (levels + change).clamp(0, 255).requires_grad_()
            loss = functional.cross_entropy(self.detector(changed), labels)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            keep(self.average, self.detector, number * recipe.replays + showing, recipe.averaging)
            assert changed.grad is not None
            change = (change + budget * changed.grad.sign()).clamp(-budget, budget)
            losses.append(float(loss.detach()))
        return sum(losses) / len(losses)

    def judge(self) -> float:
        attack = PGD(budget=self.recipe.judged_budget, steps=10)
        return auc_under(attack, self.average, self.levels, self.labels)


def auc_under(attack: PGD, detector: Detector, levels: Tensor, labels: Tensor) -> float:
    """Compute the AUC on attacked frames.

    Args:
        attack: Attack on each frame, away from its true class.
        detector: Detector of two classes, in evaluation mode.
        levels: Frames in levels, shape (n, 3, h, w).
        labels: True classes, 0 or 1, shape (n,).
    """
    scores = []
    for some, theirs in zip(levels.split(_CHUNK), labels.split(_CHUNK), strict=True):
        attacked = perturb(attack, detector, some, theirs)
        with torch.inference_mode():
            scores.append(scores_of(detector(attacked)))
    return float(roc_auc_score(labels.numpy(), torch.cat(scores).numpy()))


def _rate(recipe: RobustContextRecipe, step: int) -> float:
    done = (step + 1) / (recipe.steps + 1)
    return recipe.learning_rate * min(1.0, done / _WARMING) * (1 - done)


if __name__ == "__main__":
    sys.exit(command(train_robust_context, RobustContextRecipe()))
