"""What attacks did to the same images, and the doubts that comparing them raises.

A panel of attacks, run for that, and a result of a suite are both read as `Outcomes`, so that each
rule stands here once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np

from trueshot.evaluation.result import UNBROKEN, Doubt, EvaluationResult, Trial, WorstCase
from trueshot.evaluation.sanity_checks.panel import (
    ELSEWHERE,
    FAR_BUDGET,
    GRADIENT,
    ITERATIVE,
    MORE,
    ONE_STEP,
    Panel,
)
from trueshot.evaluation.sanity_checks.significance import (
    LEVEL,
    Difference,
    Flags,
    at_least,
    more_than,
)

LOST = 0.2
"""Share of an attack's success that rounding has to undo before it is called lost."""
WIDEST = 0.1
"""Width of a 95 % interval up to which a rate is worth being given to the percent."""
_LEFT_BY_GRADIENTS = 0.05  # of survivors: what a blind attack may find that the others missed
# Elsewhere a file changes more than rounding does, and which attack survives it is no sign.
_EXACT_FILES = frozenset({"linf", "l2", "png"})

Kind = Literal[
    "one-step",
    "iterative",
    "longer",
    "random-start",
    "blind",
    "all-gradient",
    "worst-case",
    "other",
]
_KINDS: Mapping[str, Kind] = {
    "FGSM": "one-step",
    "LeastLikelyClass": "one-step",
    "PGD": "iterative",
    "APGD": "iterative",
    "UniformNoise": "blind",
    "Square": "blind",
    "RayS": "blind",
    "Transfer": "blind",
}
_OF_PANEL: Mapping[str, Kind] = {
    ONE_STEP: "one-step",
    ITERATIVE: "iterative",
    MORE: "longer",
    ELSEWHERE: "random-start",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What one attack, or many together, did at one budget.

    Args:
        attack: For people.
        kind: What it stands for.
        threat: Only outcomes of one threat are compared.
        budget: Levels.
        tried: Images, and which of them if that is known.
        broken: Of those judged wrongly in the end, and which.
        broken_in_memory: The same before the file; None where it says nothing.
    """

    attack: str
    kind: Kind
    threat: str
    budget: float
    tried: int | Flags
    broken: int | Flags
    broken_in_memory: int | Flags | None = None

    def meets_the_same(self, other: Outcome) -> bool:
        """Whether both were tried on the same images: survivors only get fewer."""
        if isinstance(self.tried, int) or isinstance(other.tried, int):
            same = _count(self.tried) == _count(other.tried)
        else:
            same = np.array_equal(self.tried, other.tried)
        return self.threat == other.threat and same

    def beats(self, other: Outcome) -> Difference:
        """Images that this one broke and the other one did not, and the other way round."""
        return _difference(self.broken, other.broken, _count(self.tried))

    @property
    def accuracy(self) -> float:
        """Share of the images tried that are right afterwards."""
        return 1 - _count(self.broken) / _count(self.tried)


Case = tuple[Outcome, Outcome]


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Outcomes in the order in which attacks were tried.

    Args:
        every: All of them.
        wrong: Images that were wrong without an attack, per threat; which ones, if known.
        far: Of what is left where every image can be made the same grey: right, of so many, and
            the share of the largest class.
    """

    every: tuple[Outcome, ...]
    wrong: Mapping[str, int | Flags]
    far: tuple[tuple[int, int, float], ...] = ()

    def of(self, *kinds: Kind) -> list[Outcome]:
        """Those of some kinds."""
        return [each for each in self.every if each.kind in kinds]

    def pairs(self, first: Kind, second: Kind) -> list[Case]:
        """Two kinds of attack on the same images, within the same budget, before exact files."""
        return [
            (one, other)
            for one, other in product(self.of(first), self.of(second))
            if one.budget == other.budget and one.threat in _EXACT_FILES
            if one.meets_the_same(other)
        ]


def outcomes_of_panel(panel: Panel) -> Outcomes:
    """All attacks of a panel met all images."""
    everything = np.ones_like(panel.wrong)

    def outcome(name: str, kind: Kind, budget: float, broken: Flags, **more: Flags) -> Outcome:
        given = {"tried": everything, "broken": broken, **more}
        return Outcome(attack=name, kind=kind, threat="linf", budget=budget, **given)

    every = []
    for (name, budget), (in_file, in_memory) in panel.outcomes.items():
        memory = {"broken_in_memory": in_memory} if name in (ITERATIVE, MORE) else {}
        every.append(outcome(name, _OF_PANEL.get(name, "blind"), budget, in_file, **memory))
    far: tuple[tuple[int, int, float], ...] = ()
    if panel.far is not None:
        broken = panel.far.copy()
        for budget in panel.budgets:
            white = panel.white_box(budget)
            every.append(outcome("what follows the gradient", "all-gradient", budget, white))
            # Within a smaller budget is within this one.
            broken |= white & (budget <= FAR_BUDGET)
        majority = float(np.bincount(panel.labels).max() / len(panel.labels))
        far = ((int((~broken).sum()), len(broken), majority),)
    return Outcomes(every=tuple(every), wrong={"linf": panel.wrong}, far=far)


def outcomes_of_result(result: EvaluationResult) -> Outcomes:
    """Trials and worst cases; of results of format 1 only the counts are known."""
    every = [_of_trial(trial) for trial in result.trials]
    cases = [case for threat in result.threats for case in result.curve(threat)]
    clean = {case.threat: sum(case.total) - sum(case.right) for case in cases if case.budget == 0}
    far = tuple(
        (sum(case.right), sum(case.total), max(case.total) / sum(case.total))
        for case in cases
        if case.threat in ("linf", "png") and case.budget >= FAR_BUDGET
    )
    return Outcomes(every=(*every, *map(_of_case, cases)), wrong=clean, far=far)


def _of_trial(trial: Trial) -> Outcome:
    known = bool(trial.flags)
    return Outcome(
        attack=trial.attack,
        kind=_KINDS.get(trial.settings.partition("(")[0], "other"),
        threat=trial.threat,
        budget=trial.budget,
        tried=trial.was_tried if known else sum(trial.tried),
        broken=trial.was_broken if known else sum(trial.broken),
    )


def _of_case(case: WorstCase) -> Outcome:
    total = sum(case.total)
    broken: int | Flags = total - sum(case.right)
    if len(case.broken_by) == total:
        broken = np.array([name != UNBROKEN for name in case.broken_by], bool)
    return Outcome(
        attack="worst case",
        kind="worst-case",
        threat=case.threat,
        budget=case.budget,
        tried=total,
        broken=broken,
        broken_in_memory=total - sum(case.right_before_file),
    )


def compared(outcomes: Outcomes) -> Iterator[Doubt]:
    """Doubts from comparing attacks with each other, on the same images."""
    stronger = [
        ("one-step-beats-iterative", outcomes.pairs("one-step", "iterative")),
        ("more-iterations-still-help", outcomes.pairs("longer", "iterative")),
        ("random-start-helps", outcomes.pairs("random-start", "iterative")),
    ]
    found = [_stronger(name, cases) for name, cases in stronger]
    found += [_rising(outcomes), _far_from_chance(outcomes), _blind(outcomes), _lost(outcomes)]
    found.append(_above_clean(outcomes))
    yield from (doubt for doubt in found if doubt is not None)


def beaten_certificates(result: EvaluationResult) -> list[Doubt]:
    """A doubt if any attack made a verdict wrong that was proven right: one image is enough."""
    radii = np.array(result.certified_radii)
    for trial in result.trials if len(radii) else ():
        if trial.threat != "linf" or len(trial.flags) != len(radii):
            continue
        beaten = int((trial.was_broken & (radii >= trial.budget)).sum())
        if beaten:
            return [
                Doubt(
                    name="attack-beats-certificate",
                    finding=f"{trial.attack}, {trial.budget:g} levels: broke {beaten} images that "
                    "were proven right at this budget.",
                    evidence={"budget": trial.budget, "beaten": float(beaten)},
                )
            ]
    return []


def significant(differences: Sequence[Difference]) -> int | None:
    """The place of the least likely of several differences, if chance does not explain it.

    The more are looked at, the less likely it has to be (Bonferroni).
    """
    if not differences:
        return None
    place = min(range(len(differences)), key=lambda each: differences[each].chance)
    return place if differences[place].chance < LEVEL / len(differences) else None


def _stronger(name: str, cases: Sequence[Case]) -> Doubt | None:
    """One attack breaks more images than another, and chance does not explain it."""
    place = significant([first.beats(second) for first, second in cases])
    if place is None:
        return None
    first, second = cases[place]
    return Doubt(
        name=name,
        finding=f"{first.threat}, {first.budget:g} levels: of the same {_count(first.tried)} "
        f"images {first.attack} broke {_count(first.broken)}, {second.attack} "
        f"{_count(second.broken)}.",
        evidence=_evidence(first.beats(second), first),
    )


def _rising(outcomes: Outcomes) -> Doubt | None:
    able = outcomes.of("one-step", "iterative", "longer", "worst-case", "other")
    cases = [
        (low, high)
        for low, high in combinations(sorted(able, key=lambda one: one.budget), 2)
        if low.attack == high.attack and low.budget < high.budget and low.meets_the_same(high)
    ]
    place = significant([low.beats(high) for low, high in cases])
    if place is None:
        return None
    low, high = cases[place]
    return Doubt(
        name="accuracy-rises-with-budget",
        finding=f"{low.attack}, {low.threat}: accuracy rises from {_percent(low.accuracy)} at "
        f"{low.budget:g} to {_percent(high.accuracy)} at {high.budget:g} levels, on the same "
        "images.",
        evidence=_evidence(low.beats(high), high) | {"from_budget": low.budget},
    )


def _far_from_chance(outcomes: Outcomes) -> Doubt | None:
    for right, total, majority in outcomes.far:
        # One verdict for the same grey is right for one class only: at most the largest one.
        share = max(0.5, majority)
        chance = at_least(right, total, share)
        if chance < LEVEL:
            return Doubt(
                name="large-budget-does-not-reach-chance",
                finding=f"At {FAR_BUDGET:g} levels, where every image can be made the same grey, "
                f"{_percent(right / total)} are still right; one grey cannot be right for more "
                f"than {_percent(share)}.",
                evidence={"budget": FAR_BUDGET, "accuracy": right / total, "chance": chance},
            )
    return None


def _blind(outcomes: Outcomes) -> Doubt | None:
    """A blind attack breaks more than those along the gradient, or much of what they left."""
    beside: Kind = "all-gradient" if outcomes.of("all-gradient") else "iterative"
    found = _stronger("black-box-beats-white-box", outcomes.pairs("blind", beside))
    if found or beside == "all-gradient":
        return found
    for number, one in enumerate(outcomes.every):
        if one.kind != "blind" or one.threat not in _EXACT_FILES:
            continue
        before = [
            other
            for other in outcomes.every[:number]
            if (other.threat, other.budget) == (one.threat, one.budget) and other.kind != "blind"
        ]
        left, broken = _count(one.tried), _count(one.broken)
        # It was tried on survivors if the attacks before it left no more than that.
        survivors = any(_count(o.tried) - _count(o.broken) >= left for o in before)
        if survivors and more_than(_LEFT_BY_GRADIENTS, broken, left):
            return Doubt(
                name="black-box-beats-white-box",
                finding=f"{one.threat}, {one.budget:g} levels: {one.attack} broke {broken} of the "
                f"{left} images that no attack along the gradient had broken.",
                evidence={"budget": one.budget, "tried": float(left), "broken": float(broken)},
            )
    return None


def _lost(outcomes: Outcomes) -> Doubt | None:
    cases = []
    for one in outcomes.every:
        if one.broken_in_memory is None or one.budget == 0 or one.threat not in _EXACT_FILES:
            continue
        difference = _difference(one.broken_in_memory, one.broken, _count(one.tried))
        in_memory, wrong = one.broken_in_memory, outcomes.wrong.get(one.threat, 0)
        if isinstance(in_memory, int) or isinstance(wrong, int):
            fooled = _count(in_memory) - _count(wrong)
        else:
            fooled = int((in_memory & ~wrong).sum())
        if difference.gained - difference.lost >= LOST * max(1, fooled):
            cases.append((one, difference, fooled))
    place = significant([difference for _, difference, _ in cases])
    if place is None:
        return None
    one, difference, fooled = cases[place]
    return Doubt(
        name="attack-lost-by-rounding",
        finding=f"{one.threat}, {one.budget:g} levels: {one.attack} breaks {fooled} images in "
        f"memory; of these, {difference.gained} are right again when their levels are whole, as "
        "in a file.",
        evidence=_evidence(difference, one),
    )


def _above_clean(outcomes: Outcomes) -> Doubt | None:
    """More is right under attack than without one; known where an attack met all images."""
    attempts = [each for each in outcomes.every if each.attack in GRADIENT]
    wrong = outcomes.wrong.get("linf", 0)
    differences = [_difference(wrong, each.broken, _count(each.tried)) for each in attempts]
    place = significant(differences)
    if place is None:
        return None
    one, clean = attempts[place], 1 - _count(wrong) / _count(attempts[place].tried)
    return Doubt(
        name="attacked-above-clean",
        finding=f"{_percent(clean)} are right without an attack, {_percent(one.accuracy)} under "
        f"{one.attack} at {one.budget:g} levels.",
        evidence=_evidence(differences[place], one) | {"clean": clean, "attacked": one.accuracy},
    )


def noticed_in_figures(result: EvaluationResult) -> Iterator[Doubt]:
    """Doubts that need no comparison of attacks."""
    kinds = {_KINDS.get(trial.settings.partition("(")[0], "other") for trial in result.trials}
    if kinds == {"blind"}:
        names = sorted({trial.attack for trial in result.trials})
        yield Doubt(
            name="no-gradients",
            finding=f"Nothing was tried that follows a gradient, only {', '.join(names)}.",
        )
    clean = [case for case in result.worst if case.budget == 0][:1]
    for right, total in ((case.right, case.total) for case in (*clean, *result.changes[:1])):
        held = [(r, t) for r, t in zip(right, total, strict=True) if t]
        if len(held) > 1 and sorted(r / t for r, t in held)[-2:] == [0.0, 1.0]:
            yield one_verdict(sum(total))
            break
    rated = [each.interval for each in (*result.worst, *result.changes)]
    low, high = max(rated, key=lambda one: one[1] - one[0], default=(0, 0))
    if high - low > WIDEST:
        yield Doubt(
            name="too-few-images",
            finding=f"{result.images_in_words}: a 95 % interval reaches from {_percent(low)} to "
            f"{_percent(high)}{'' if result.groups else ', and crops of one photo widen it'}.",
            evidence=_counted(result) | {"low": low, "high": high},
        )


def _counted(result: EvaluationResult) -> dict[str, float]:
    groups = {"groups": float(result.group_count)} if result.group_count is not None else {}
    return {"images": float(sum(result.total)), **groups}


def one_verdict(images: int) -> Doubt:
    """The doubt that a detector says the same of everything."""
    return Doubt(
        name="one-verdict-for-all",
        finding=f"All {images} images, of more than one class, get the same verdict.",
        evidence={"images": float(images)},
    )


def _count(images: int | Flags) -> int:
    return images if isinstance(images, int) else int(images.sum())


def _difference(first: int | Flags, second: int | Flags, total: int) -> Difference:
    if isinstance(first, int) or isinstance(second, int):
        return Difference.at_most(_count(first), _count(second), total)
    return Difference.of(first, second)


def _evidence(difference: Difference, one: Outcome) -> dict[str, float]:
    return {
        "budget": one.budget,
        "images": float(_count(one.tried)),
        "gained": float(difference.gained),
        "lost": float(difference.lost),
        "chance": difference.chance,
    }


def _percent(rate: float) -> str:
    return f"{100 * rate:.0f} %"
