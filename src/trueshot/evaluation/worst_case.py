"""The worst case of each image over many attacks: the cheap and strong first, only survivors go on.

An image that an attack has broken at a budget counts as broken at every larger one, for its
attacked image lies within that budget too. So budgets go upwards, and no image is broken twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from torch import Tensor

from trueshot.attacks import Attack, as_filed, counted, perturb
from trueshot.evaluation.evaluator import Evaluator
from trueshot.evaluation.journal import Flags, Journal, Outcome, outcome_flags
from trueshot.evaluation.security import UNBROKEN, WRONG_CLEAN, Trial, WorstCase
from trueshot.pixels import psnr, ssim
from trueshot.progress import Advance

LOW_ENOUGH = 0.05  # of accuracy: beyond it there is nothing more to learn from larger budgets
_MOST_PSNR = 100.0  # of an image that was not changed, so that a mean is a number
_SSIM_IMAGES = 16  # of a trial: SSIM takes longer than many attacks

Channel = Callable[[Tensor], Tensor]
"""Levels as they were filed, to levels as they arrive; a function of each image alone."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """An attack of a suite.

    Args:
        name: Short name, for tables.
        make: The attack at a budget.
        wants_gradient: Of the detector that is judged; without it the attack only asks it.
        on_all: Tried on all images that were right without an attack, and not on survivors
            alone: what it breaks is then a figure of its own.
        far: Goes on at the budgets beyond the suite's own, where only the curve is wanted.
    """

    name: str
    make: Callable[[float], Attack]
    wants_gradient: bool = True
    on_all: bool = False
    far: bool = False


@dataclass(frozen=True, kw_only=True)
class Threat:
    """What an attacker may do: how much, with what, and what the image goes through afterwards.

    Args:
        name: As of `Trial.threat`.
        steps: The attacks, in the order in which they are tried.
        budgets: In levels of the threat's norm, upwards.
        far_budgets: Beyond those, until accuracy is at most 5 %: with the `far` steps only.
        channel: What the filed image goes through; None for a PNG, which keeps it as it is.

    Raises:
        ValueError: Budgets that do not rise from above 0.
    """

    name: str
    steps: tuple[Step, ...]
    budgets: tuple[float, ...]
    far_budgets: tuple[float, ...] = ()
    channel: Channel | None = None

    def __post_init__(self) -> None:
        budgets = (0.0, *self.budgets, *self.far_budgets)
        if any(low >= high for low, high in pairwise(budgets)):
            raise ValueError(f"{self.name}: budgets that rise from above 0 wanted, got {budgets}")

    @property
    def plan(self) -> list[tuple[float, tuple[Step, ...]]]:
        """Budgets upwards, each with its attacks."""
        far = tuple(step for step in self.steps if step.far)
        beyond = [(budget, far) for budget in self.far_budgets if far]
        return [*((budget, self.steps) for budget in self.budgets), *beyond]


@dataclass(frozen=True, kw_only=True)
class ThreatResult:
    """What came of one threat: worst cases in order of budget, and the trials on the way."""

    worst: tuple[WorstCase, ...]
    trials: tuple[Trial, ...]


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """How the images stand, in the middle of a cascade; changed in place."""

    broken_by: npt.NDArray[np.str_]
    wrong_in_memory: Flags

    @property
    def unbroken(self) -> Flags:
        found: Flags = self.broken_by == UNBROKEN
        return found

    def take(self, outcome: Outcome, name: str, same_in_memory: bool) -> None:
        self.broken_by[outcome.broken & self.unbroken] = name
        self.wrong_in_memory[outcome.broken_before_file] = True
        if same_in_memory:
            self.wrong_in_memory[outcome.broken] = True

    def worst_case(self, evaluator: Evaluator, threat: str, budget: float) -> WorstCase:
        return WorstCase(
            threat=threat,
            budget=budget,
            right=evaluator.per_class(self.unbroken),
            right_before_file=evaluator.per_class(~self.wrong_in_memory),
            total=evaluator.total,
            broken_by=tuple(self.broken_by.tolist()),
        )


def worst_cases(
    evaluator: Evaluator,
    threat: Threat,
    journal: Journal | None = None,
    advance: Advance = lambda steps, note: None,
) -> ThreatResult:
    """Try to break every image at every budget, upwards.

    Args:
        hearing: Detector and images.
        threat: What the attacker may do.
        journal: Where finished trials are kept.
        advance: Told of images that are done; in all `work(hearing, threat)`.

    Returns:
        The worst case at budget 0 and at each budget, and the trials. Before the file, an image
        counts as broken if any attack that was tried on it broke it there; if nothing but a PNG
        comes in between, what breaks it in the file could be done in memory, and counts there too.
    """
    journal = journal or Journal()
    standing = _clean(evaluator, threat.channel)
    advance(len(evaluator.part), f"{threat.name} clean")
    right_clean = standing.unbroken
    worst = [standing.worst_case(evaluator, threat.name, 0.0)]
    trials: list[Trial] = []
    for budget, steps in threat.plan:
        if budget in threat.far_budgets and worst[-1].accuracy <= LOW_ENOUGH:
            advance(len(evaluator.part) * len(steps), "")
            continue
        for step in steps:
            tried = right_clean if step.on_all else standing.unbroken
            outcome = _outcome(evaluator, threat, step, budget, tried, journal, advance)
            if outcome is not None:
                trials.append(outcome.trial)
                standing.take(outcome, step.name, same_in_memory=threat.channel is None)
        worst.append(standing.worst_case(evaluator, threat.name, budget))
    return ThreatResult(worst=tuple(worst), trials=tuple(trials))


def work(evaluator: Evaluator, threat: Threat) -> int:
    """Images to advance by in `worst_cases`."""
    return len(evaluator.part) * (1 + sum(len(steps) for _, steps in threat.plan))


def _clean(evaluator: Evaluator, channel: Channel | None) -> _Standing:
    """How the images stand before any attack, in memory and after the channel."""
    in_memory, arrived = [], []
    for images, labels in evaluator.everything():
        in_memory.append(evaluator.wrong(images, labels))
        arrived.append(
            in_memory[-1] if channel is None else evaluator.wrong(channel(images), labels)
        )
    names = np.where(np.concatenate(arrived), WRONG_CLEAN, UNBROKEN).astype("<U64")
    return _Standing(broken_by=names, wrong_in_memory=np.concatenate(in_memory))


def _outcome(
    evaluator: Evaluator,
    threat: Threat,
    step: Step,
    budget: float,
    tried: Flags,
    journal: Journal,
    advance: Advance,
) -> Outcome | None:
    """What an attack does: from the journal, or tried now; None if there is nobody to attack."""
    if not tried.any():
        advance(len(evaluator.part), "")
        return None
    attack = step.make(budget)
    outcome = journal.outcome(threat.name, step.name, repr(attack), tried)
    if outcome is not None:
        advance(len(evaluator.part), "")
        return outcome
    outcome = _attack(evaluator, threat, step.name, attack, budget, tried, advance)
    journal.enter_outcome(outcome)
    advance(len(evaluator.part) - int(tried.sum()), "")
    return outcome


def _attack(
    evaluator: Evaluator,
    threat: Threat,
    name: str,
    attack: Attack,
    budget: float,
    tried: Flags,
    advance: Advance,
) -> Outcome:
    """Attack images, file them, send them, and judge what arrives."""
    started = time.monotonic()
    places = np.flatnonzero(tried)
    broken, broken_before_file = np.zeros_like(tried), np.zeros_like(tried)
    noise: list[float] = []
    likeness: list[float] = []
    spent = np.zeros(2)
    for images, labels in evaluator.batches(places):
        here = places[len(noise) : len(noise) + len(images)]
        with counted(len(images)) as calls:
            attacked = perturb(attack, evaluator.detector, images, labels)
        spent += int(calls.forward.sum()), int(calls.backward.sum())
        filed = as_filed(attack, images, attacked)
        arrived = filed if threat.channel is None else threat.channel(filed)
        broken[here] = evaluator.wrong(arrived, labels)
        broken_before_file[here] = evaluator.wrong(attacked, labels)
        seen = arrived if arrived.shape == images.shape else filed
        noise += psnr(images, seen).clamp(max=_MOST_PSNR).tolist()
        few = max(0, _SSIM_IMAGES - len(likeness))
        likeness += ssim(images[:few], seen[:few]).tolist() if few else []
        advance(len(here), f"{threat.name} {name} {budget:g}")
    trial = Trial(
        attack=name,
        threat=threat.name,
        budget=budget,
        settings=repr(attack),
        tried=evaluator.per_class(tried),
        broken=evaluator.per_class(broken),
        broken_before_file=evaluator.per_class(broken_before_file),
        psnr=float(np.mean(noise)),
        ssim=float(np.mean(likeness)),
        calls=(float(spent[0]) / len(places), float(spent[1]) / len(places)),
        seconds=round(time.monotonic() - started, 3),
    )
    return Outcome(trial=trial, outcome_flags=outcome_flags(tried, broken, broken_before_file))
