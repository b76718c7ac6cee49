"""A small panel of attacks, each run on all of the same images, so that they can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from trueshot.attacks import FGSM, PGD, Attack, as_filed, perturb
from trueshot.attacks.control import UniformNoise
from trueshot.attacks.square import Square
from trueshot.detector import Detector, evaluating
from trueshot.errors import BrokenPromiseError
from trueshot.evaluation.sanity_checks.random_numbers import in_chunks, random_numbers_from, wrong
from trueshot.evaluation.tally import Flags

Make = Callable[[float], Attack]

STEPS, MORE_STEPS = 20, 80
QUERIES = 200
FAR_BUDGET = 128.0
"""Half the range of levels: within this budget every image can be turned into the same grey."""

ONE_STEP, ITERATIVE, MORE, ELSEWHERE = "FGSM", f"PGD-{STEPS}", f"PGD-{MORE_STEPS}", "random start"
GRADIENT = (ONE_STEP, ITERATIVE, MORE, ELSEWHERE)
_LENGTH = 2.5  # total length of the steps of PGD, in budgets


class Broken(NamedTuple):
    """Images misclassified after an attack, each of shape (n,)."""

    in_file: Flags
    in_memory: Flags


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The outcome of each attack on each image.

    Args:
        wrong: Images misclassified without an attack, shape (n,).
        budgets: In levels, increasing.
        outcomes: Outcomes by name of the attack and budget.
        blind: Names of the attacks that do not follow the detector's gradient.
        far: Images misclassified after PGD at `FAR_BUDGET`, shape (n,); None if the detector has
            no gradient.
        labels: True classes, shape (n,).
    """

    wrong: Flags
    budgets: tuple[float, ...]
    outcomes: dict[tuple[str, float], Broken]
    blind: tuple[str, ...]
    far: Flags | None
    labels: npt.NDArray[np.int64]

    def broken(self, name: str, budget: float) -> Flags:
        """Return the images misclassified from the file, shape (n,)."""
        return self.outcomes[name, budget].in_file

    def white_box(self, budget: float) -> Flags:
        """Return the images broken by any attack that follows the gradient, shape (n,)."""
        found = [self.broken(name, budget) for name in GRADIENT]
        return np.asarray(np.logical_or.reduce(found), bool)


def run_panel(
    detector: Detector,
    images: Tensor,
    labels: Tensor,
    *,
    budgets: Sequence[float],
    seed: int,
    gradient: bool,
    unusual: Sequence[Make] = (),
) -> Panel:
    """Run every attack of the panel on every image.

    Args:
        detector: The detector; left unchanged.
        images: Levels as read from a file, shape (n, 3, h, w).
        labels: True classes, shape (n,).
        budgets: Budgets in levels.
        seed: Seed of the attacks, and of the detector's own random numbers, if it draws any.
        gradient: Whether the detector has a gradient.
        unusual: Factories of further attacks that do not follow the gradient; each takes a budget.
    """

    def run(attack: Attack) -> Broken:
        return _run(attack, detector, images, labels, seed)

    budgets = tuple(sorted(budgets))
    outcomes: dict[tuple[str, float], Broken] = {}
    blind: list[str] = []
    for budget in budgets:
        if gradient:
            outcomes |= {(n, budget): run(a) for n, a in _gradient_attacks(budget, seed)}
        for name, attack in _blind_attacks(budget, seed, unusual):
            outcomes[name, budget] = run(attack)
            blind.append(name)
    with random_numbers_from(seed, images.device), evaluating(detector):
        clean = wrong(detector, images, labels).cpu().numpy()
    far = _pgd(FAR_BUDGET, STEPS)
    return Panel(
        wrong=clean,
        budgets=budgets,
        outcomes=outcomes,
        blind=tuple(dict.fromkeys(blind)),
        far=run(far).in_file if gradient else None,
        labels=labels.cpu().numpy(),
    )


def _pgd(budget: float, steps: int) -> PGD:
    return PGD(budget=budget, steps=steps, relative_step=_LENGTH / steps)


def _gradient_attacks(budget: float, seed: int) -> Iterator[tuple[str, Attack]]:
    yield ONE_STEP, FGSM(budget=budget)
    yield ITERATIVE, _pgd(budget, STEPS)
    yield MORE, _pgd(budget, MORE_STEPS)
    yield (
        ELSEWHERE,
        PGD(
            budget=budget,
            steps=STEPS,
            relative_step=_LENGTH / STEPS,
            random_start=True,
            seed=seed,
        ),
    )


def _blind_attacks(
    budget: float, seed: int, unusual: Sequence[Make]
) -> Iterator[tuple[str, Attack]]:
    yield "noise", UniformNoise(budget=budget, seed=seed)
    yield "Square", Square(budget=budget, queries=QUERIES, seed=seed)
    for number, make in enumerate(unusual, 1):
        attack = make(budget)
        name = getattr(attack, "name", "")
        yield f"{type(attack).__name__} {name or number}", attack


def _run(attack: Attack, detector: Detector, images: Tensor, labels: Tensor, seed: int) -> Broken:
    """Run an attack and judge its results; if it breaks its promise, the images stay unchanged.

    A promise is broken, for instance, by images that are NaN.
    """

    def attacked(some: Tensor, of_them: Tensor) -> Tensor:
        try:
            return perturb(attack, detector, some, of_them)
        except BrokenPromiseError:
            return some

    # A random detector draws other numbers during the attack than for the verdict.
    with random_numbers_from(seed + 1, images.device):
        in_memory = in_chunks(images, labels, attacked)
    in_file = as_filed(attack, images, in_memory)
    with random_numbers_from(seed, images.device), evaluating(detector):
        verdicts = [wrong(detector, some, labels) for some in (in_file, in_memory)]
    return Broken(*(verdict.cpu().numpy() for verdict in verdicts))
