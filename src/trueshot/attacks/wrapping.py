"""What attacks that are made of another one have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.base import Attack, Budget, Norm, classes_of, norm_of
from trueshot.attacks.calls import counted, spend
from trueshot.detector import Detector


@dataclass(frozen=True)
class Wrapper(ABC):
    """An attack made of another one, whose budget and norm are its own."""

    attack: Attack

    @property
    def budget(self) -> Budget:
        """Of the attack inside."""
        return self.attack.budget

    @property
    def norm(self) -> Norm:
        """Of the attack inside."""
        return norm_of(self.attack)

    @abstractmethod
    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack; levels in, levels out."""

    def _name_after_attack(self, suffix: str) -> None:
        """Give it, where its field `name` is empty, that of the attack inside and this."""
        if not getattr(self, "name", ""):
            object.__setattr__(self, "name", f"{name_of(self.attack)}-{suffix}")


def name_of(attack: Attack) -> str:
    """An attack's field `name`, or its class's in small letters."""
    return str(getattr(attack, "name", "")) or type(attack).__name__.lower()


def attack_network(
    attack: Attack,
    network: nn.Module,
    times: int,
    detector: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """Run an attack against a network, of levels, that asks the detector `times` at each call.

    What the attack counts as one call of its detector is entered as so many of this one.
    """
    target = Detector(network, classes=classes_of(detector, images))
    with counted(len(images)) as calls:
        attacked = attack(target, images, labels)
    for place in range(len(images)):
        forward, backward = int(calls.forward[place]), int(calls.backward[place])
        spend(forward=times * forward, backward=times * backward, places=torch.tensor([place]))
    return attacked
