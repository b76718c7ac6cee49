"""Base class and helpers for attacks that wrap another attack."""

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
    """Base class of attacks that wrap another one, with its budget and norm."""

    attack: Attack

    @property
    def budget(self) -> Budget:
        """Budget of the inner attack."""
        return self.attack.budget

    @property
    def norm(self) -> Norm:
        """Norm of the inner attack."""
        return norm_of(self.attack)

    @abstractmethod
    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack levels; return levels."""

    def _name_after_attack(self, suffix: str) -> None:
        """Set the field `name`, if it is empty, to the inner attack's name and `suffix`."""
        if not getattr(self, "name", ""):
            object.__setattr__(self, "name", f"{name_of(self.attack)}-{suffix}")


def name_of(attack: Attack) -> str:
    """Return an attack's field `name`, or its class name in lower case."""
    return str(getattr(attack, "name", "")) or type(attack).__name__.lower()


def attack_network(
    attack: Attack,
    network: nn.Module,
    times: int,
    detector: nn.Module,
    images: Tensor,
    labels: Tensor,
) -> Tensor:
    """Run an attack on a network of levels that calls the detector `times` in each of its calls.

    Each call of the network is counted as `times` calls of the detector.
    """
    target = Detector(network, classes=classes_of(detector, images))
    with counted(len(images)) as calls:
        attacked = attack(target, images, labels)
    for place in range(len(images)):
        forward, backward = int(calls.forward[place]), int(calls.backward[place])
        spend(forward=times * forward, backward=times * backward, places=torch.tensor([place]))
    return attacked
