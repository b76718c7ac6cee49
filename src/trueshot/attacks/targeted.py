"""Targeted attacks, which try to reach one particular class."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import classes_of
from trueshot.attacks.wrapping import Wrapper
from trueshot.detector import Detector


@dataclass(frozen=True)
class Targeted(Wrapper):
    """Any attack, made to reach one class instead of leaving the true one.

    The inner attack sees a detector of two classes, "any other" and the target. Their logits are
    the largest logit of the other classes and the logit of the target, so the margin compares the
    target with the best of the others. So cross-entropy, margin, early exit, restarts and
    gradient-free searches all aim at the target. Images that belong to the target class, or that
    the detector already assigns to it, may be left unchanged.

    Args:
        attack: Inner attack, of any kind; its budget and norm apply.
        target: Index of the class to reach, in the order of the logits.
        name: Name of the attack; by default that of the inner attack with the target.

    Source: Carlini and Wagner 2017, arXiv:1608.04644, section V: the loss f6.
    """

    _: KW_ONLY
    target: int
    name: str = ""

    def __post_init__(self) -> None:
        self._name_after_attack(f"to-{self.target}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack levels; return levels.

        Raises:
            ValueError: The detector has no class `target`.
        """
        classes = classes_of(detector, images)
        if not 0 <= self.target < len(classes):
            raise ValueError(
                f"target {self.target} is not one of the detector's {len(classes)} classes"
            )
        network = _AgainstTheOthers(detector, self.target)
        two = Detector(network, classes=("any other", classes[self.target]))
        attacked = self.attack(two, images, torch.zeros_like(labels))
        there = (labels == self.target)[:, None, None, None]
        return torch.where(there, images, attacked)


class _AgainstTheOthers(nn.Module):
    """A detector of two logits: the largest of the other classes, and that of the target."""

    def __init__(self, detector: nn.Module, target: int) -> None:
        super().__init__()
        self.detector = detector
        self.target = target

    def forward(self, images: Tensor) -> Tensor:
        logits = self.detector(images)
        others = torch.cat([logits[:, : self.target], logits[:, self.target + 1 :]], 1)
        return torch.stack([others.amax(1), logits[:, self.target]], 1)
