"""Attacks from other libraries, as second opinions on our own (extra `robustness`).

Their results depend on the batch that an image is in, and their detector calls are not counted;
otherwise they keep the guarantees of every attack here. No result of theirs is called AutoAttack,
which consists of more attacks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trueshot.attacks.base import undisturbed
from trueshot.attacks.projection import Ball
from trueshot.errors import TrueshotError
from trueshot.pixels import LEVELS

_HINT = "install it with: pip install 'trueshot[robustness]'"


@dataclass(frozen=True, kw_only=True)
class PyAutoAttackAPGD:
    """APGD on cross-entropy in L∞ from pyautoattack, which follows the authors' own code.

    Args:
        budget: Largest change in levels, one number.
        steps: Gradients computed.
        seed: Seed of the random start.

    Raises:
        TrueshotError: pyautoattack is not installed.

    Source: Croce, Hein 2020, arXiv:2003.01690, as pyautoattack packages it.
    """

    budget: float
    steps: int = 50
    seed: int = 0

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack levels; return levels."""
        apgd = _imported("pyautoattack.autopgd_base", "APGDAttack", "pyautoattack")

        def attack(units: Callable[[Tensor], Tensor], pixels: Tensor) -> Any:
            climb = apgd(
                units,
                n_iter=self.steps,
                norm="Linf",
                eps=self.budget / LEVELS,
                seed=self.seed,
                loss="ce",
                device=images.device,
            )
            return climb.perturb(pixels, labels)

        return _in_units(attack, detector, images, self.budget)


@dataclass(frozen=True, kw_only=True)
class FoolboxPGD:
    """Projected gradient descent in L∞ with a random start, from foolbox.

    Args:
        budget: Largest change in levels, one number.
        steps: Gradients computed.
        relative_step: Step size as a share of the budget.
        seed: Seed of the random start.

    Raises:
        TrueshotError: foolbox is not installed.

    Source: Madry et al. 2018, arXiv:1706.06083; Rauber et al. 2020, foolbox.
    """

    budget: float
    steps: int = 20
    relative_step: float = 0.1
    seed: int = 0

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack levels; return levels."""
        descent = _imported("foolbox.attacks", "LinfPGD", "foolbox")
        model = _imported("foolbox", "PyTorchModel", "foolbox")

        def attack(units: Callable[[Tensor], Tensor], pixels: Tensor) -> Any:
            torch.manual_seed(self.seed)
            climb = descent(
                steps=self.steps, abs_stepsize=self.relative_step * self.budget / LEVELS
            )
            network = _Units(units).eval()
            adapter = model(network, bounds=(0, 1), device=images.device)
            _, found, _ = climb(adapter, pixels, labels, epsilons=self.budget / LEVELS)
            return found

        return _in_units(attack, detector, images, self.budget)


class _Units(torch.nn.Module):
    """A function of images in [0, 1], wrapped as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, pixels: Tensor) -> Tensor:
        return self.function(pixels)


def _in_units(
    attack: Callable[[Callable[[Tensor], Tensor], Tensor], Any],
    detector: nn.Module,
    images: Tensor,
    budget: float,
) -> Tensor:
    """Run an attack on images scaled to [0, 1]; clip its result to the budget after rounding."""
    if not len(images):
        return images
    with undisturbed(detector) as target:
        found: Tensor = attack(lambda pixels: target(pixels * LEVELS), images / LEVELS)
    ball = Ball.around(images, budget, "linf")
    return ball.project_(found.detach().to(images) * LEVELS)


def _imported(module: str, name: str, package: str) -> Any:
    from importlib import import_module

    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise TrueshotError(f"{package} is not installed ({error}); {_HINT}") from error
