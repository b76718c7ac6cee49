"""Doubts from comparing attacks with each other, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product

from trueshot.evaluation.result import Doubt
from trueshot.evaluation.sanity_checks.panel import (
    ELSEWHERE,
    FAR_BUDGET,
    GRADIENT,
    ITERATIVE,
    MORE,
    ONE_STEP,
    Panel,
)
from trueshot.evaluation.sanity_checks.significance import LEVEL, Difference, at_least

LOST = 0.2
"""Share of an attack's success that rounding has to undo before it is called lost."""

Case = tuple[str, float]
Differences = Mapping[Case, Difference]


def significant(differences: Differences) -> tuple[Case, Difference] | None:
    """The least likely of several differences, if chance does not explain it.

    The more are looked at, the less likely it has to be (Bonferroni).
    """
    if not differences:
        return None
    case = min(differences, key=lambda each: differences[each].chance)
    found = differences[case]
    return (case, found) if found.chance < LEVEL / len(differences) else None


def compared(panel: Panel) -> Iterator[Doubt]:
    """Doubts about a panel; without a gradient there is nothing to compare."""
    if panel.far is None:
        return
    found = [
        _one_step(panel),
        _rising(panel),
        _far_from_chance(panel),
        _blind(panel),
        _longer(panel),
        _elsewhere(panel),
        _above_clean(panel),
        _lost(panel),
    ]
    yield from (doubt for doubt in found if doubt is not None)


def _one_step(panel: Panel) -> Doubt | None:
    return _stronger(panel, "one-step-beats-iterative", ONE_STEP, ITERATIVE)


def _longer(panel: Panel) -> Doubt | None:
    return _stronger(panel, "more-iterations-still-help", MORE, ITERATIVE)


def _elsewhere(panel: Panel) -> Doubt | None:
    return _stronger(panel, "random-start-helps", ELSEWHERE, ITERATIVE)


def _stronger(panel: Panel, name: str, first: str, second: str) -> Doubt | None:
    """One attack breaks more images than another, and chance does not explain it."""
    found = significant(
        {
            (first, budget): Difference.of(
                panel.broken(first, budget), panel.broken(second, budget)
            )
            for budget in panel.budgets
        }
    )
    return _doubt(panel, name, found, second) if found else None


def _blind(panel: Panel) -> Doubt | None:
    found = significant(
        {
            (name, budget): Difference.of(panel.broken(name, budget), panel.white_box(budget))
            for name, budget in product(panel.blind, panel.budgets)
        }
    )
    if not found:
        return None
    return _doubt(panel, "black-box-beats-white-box", found, "the attacks along the gradient")


def _doubt(panel: Panel, name: str, found: tuple[Case, Difference], second: str) -> Doubt:
    (first, budget), difference = found
    return Doubt(
        name=name,
        finding=f"At {budget:g} levels {first} broke {difference.gained} of "
        f"{len(panel.wrong)} images that {second} did not break, against {difference.lost} the "
        "other way round.",
        evidence=_evidence(difference, budget, len(panel.wrong)),
    )


def _rising(panel: Panel) -> Doubt | None:
    pairs = list(combinations(panel.budgets, 2))
    differences = {
        (f"{name} {low:g}", high): Difference.of(panel.broken(name, low), panel.broken(name, high))
        for name in (ONE_STEP, ITERATIVE, MORE)
        for low, high in pairs
    }
    found = significant(differences)
    if not found:
        return None
    (case, high), difference = found
    name, low = case.rsplit(" ", 1)
    rates = [1 - panel.broken(name, budget).mean() for budget in (float(low), high)]
    return Doubt(
        name="accuracy-rises-with-budget",
        finding=f"Under {name} accuracy rises from {_percent(rates[0])} at {low} to "
        f"{_percent(rates[1])} at {high:g} levels.",
        evidence=_evidence(difference, high, len(panel.wrong)) | {"from_budget": float(low)},
    )


def _far_from_chance(panel: Panel) -> Doubt | None:
    assert panel.far is not None
    broken = panel.far.copy()
    for name, budget in product(GRADIENT, panel.budgets):
        # Within a smaller budget is within this one.
        broken |= panel.broken(name, budget) & (budget <= FAR_BUDGET)
    total, right = len(broken), int((~broken).sum())
    classes = set(panel.labels.tolist())
    majority = max(float((panel.labels == label).mean()) for label in classes)
    # One verdict for the same grey is right for one class only: at most the larger one.
    chance = at_least(right, total, max(majority, 0.5))
    if chance >= LEVEL:
        return None
    return Doubt(
        name="large-budget-does-not-reach-chance",
        finding=f"At {FAR_BUDGET:g} levels, where every image can be made the same grey, attacks "
        f"along the gradient leave {_percent(right / total)} right; one grey cannot be right for "
        f"more than {_percent(max(majority, 0.5))}.",
        evidence={"budget": FAR_BUDGET, "accuracy": right / total, "chance": chance},
    )


def _above_clean(panel: Panel) -> Doubt | None:
    found = significant(
        {
            (name, budget): Difference.of(panel.wrong, panel.broken(name, budget))
            for name, budget in product(GRADIENT, panel.budgets)
        }
    )
    if not found:
        return None
    (name, budget), difference = found
    rates = [1 - panel.wrong.mean(), 1 - panel.broken(name, budget).mean()]
    return Doubt(
        name="attacked-above-clean",
        finding=f"{_percent(rates[0])} are right without an attack, {_percent(rates[1])} under "
        f"{name} at {budget:g} levels.",
        evidence=_evidence(difference, budget, len(panel.wrong))
        | {"clean": float(rates[0]), "attacked": float(rates[1])},
    )


def _lost(panel: Panel) -> Doubt | None:
    differences = {}
    for name, budget in product((ITERATIVE, MORE), panel.budgets):
        in_file, in_memory = panel.outcomes[name, budget]
        difference = Difference.of(in_memory, in_file)
        fooled = int((in_memory & ~panel.wrong).sum())
        if difference.gained - difference.lost >= LOST * max(1, fooled):
            differences[name, budget] = difference
    found = significant(differences)
    if not found:
        return None
    (name, budget), difference = found
    in_file, in_memory = panel.outcomes[name, budget]
    return Doubt(
        name="attack-lost-by-rounding",
        finding=f"At {budget:g} levels {name} breaks {int((in_memory & ~panel.wrong).sum())} "
        f"images in memory; of these, {difference.gained} are right again when their levels are "
        "whole, as in a file.",
        evidence=_evidence(difference, budget, len(panel.wrong)),
    )


def _evidence(difference: Difference, budget: float, images: int) -> dict[str, float]:
    return {
        "budget": budget,
        "images": float(images),
        "gained": float(difference.gained),
        "lost": float(difference.lost),
        "chance": difference.chance,
    }


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"
