"""Outcomes of attacks on the same images, and the doubts that comparing them raises.

Both a panel of attacks and the result of a suite are converted to `Outcomes`, so that each rule is
written only once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np

from trueshot.evaluation.doubt import Doubt
from trueshot.evaluation.result import EvaluationResult
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
    at_least,
    more_than,
    percent,
)
from trueshot.evaluation.tally import UNBROKEN, Flags, Trial, WorstCase

LOST = 0.2
"""Share of an attack's success that rounding must undo for the attack to count as lost."""
WIDEST = 0.1
"""Widest 95 % interval of a rate that raises no doubt."""
_LEFT_BY_GRADIENTS = 0.05  # share of the survivors that a blind attack may break without a doubt
# Other channels change more than rounding does; which attack survives them says nothing.
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
    """The outcome of one attack, or of several together, at one budget.

    Args:
        attack: Name to show.
        kind: Kind of attack.
        threat: Threat model; only outcomes of the same one are compared.
        budget: In levels.
        tried: Images tried: flags if known, otherwise their number.
        broken: Images misclassified after the file, likewise.
        broken_in_memory: Images misclassified before the file, likewise; None if not used.
    """

    attack: str
    kind: Kind
    threat: str
    budget: float
    tried: int | Flags
    broken: int | Flags
    broken_in_memory: int | Flags | None = None

    def meets_the_same(self, other: Outcome) -> bool:
        """Whether both were tried on the same images.

        If only numbers are known, equal numbers suffice, because survivors only get fewer.
        """
        if isinstance(self.tried, int) or isinstance(other.tried, int):
            same = _count(self.tried) == _count(other.tried)
        else:
            same = np.array_equal(self.tried, other.tried)
        return self.threat == other.threat and same

    def beats(self, other: Outcome) -> Difference:
        """Count the images that only this attack broke, and those that only `other` broke."""
        return _difference(self.broken, other.broken, _count(self.tried))

    @property
    def accuracy(self) -> float:
        """Share of the images tried that are classified correctly afterwards."""
        return 1 - _count(self.broken) / _count(self.tried)


Case = tuple[Outcome, Outcome]


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """All outcomes that are compared.

    Args:
        every: The outcomes in the order in which the attacks were tried.
        wrong: Images wrong without an attack, by threat model: flags if known, otherwise their
            number.
        far: Results at budgets where every image can be turned into the same grey: images right,
            all images, and the share of the largest class.
    """

    every: tuple[Outcome, ...]
    wrong: Mapping[str, int | Flags]
    far: tuple[tuple[int, int, float], ...] = ()

    def of(self, *kinds: Kind) -> list[Outcome]:
        """Return the outcomes of the given kinds."""
        return [each for each in self.every if each.kind in kinds]

    def pairs(self, first: Kind, second: Kind) -> list[Case]:
        """Pair outcomes of two kinds with the same images, the same budget and lossless files."""
        return [
            (one, other)
            for one, other in product(self.of(first), self.of(second))
            if one.budget == other.budget and one.threat in _EXACT_FILES
            if one.meets_the_same(other)
        ]


def outcomes_of_panel(panel: Panel) -> Outcomes:
    """Convert the outcomes of a panel, in which all attacks were tried on all images."""
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
            # A change within a smaller budget is also within this one.
            broken |= white & (budget <= FAR_BUDGET)
        majority = float(np.bincount(panel.labels).max() / len(panel.labels))
        far = ((int((~broken).sum()), len(broken), majority),)
    return Outcomes(every=tuple(every), wrong={"linf": panel.wrong}, far=far)


def outcomes_of_result(result: EvaluationResult) -> Outcomes:
    """Convert the trials and worst cases of a result; older ones give only counts."""
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
    in_memory: int | Flags = total - sum(case.right_before_file)
    if len(case.flags_before_file) == total:
        in_memory = np.array([flag == "0" for flag in case.flags_before_file], bool)
    return Outcome(
        attack="worst case",
        kind="worst-case",
        threat=case.threat,
        budget=case.budget,
        tried=total,
        broken=broken,
        broken_in_memory=in_memory,
    )


def compared(outcomes: Outcomes) -> Iterator[Doubt]:
    """Yield the doubts raised by comparing attacks on the same images."""
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
    """Return a doubt if any attack broke an image that was proven right; one image is enough."""
    radii = np.array(result.certified_radii)
    for trial in result.trials if len(radii) else ():
        is_linf = trial.threat != "l2" and result.per_epsilon.get(trial.threat, 1.0) == 1.0
        if not is_linf or len(trial.flags) != len(radii):
            continue
        broken = trial.was_broken_before_file
        if trial.threat in _EXACT_FILES:  # no channel changes the image beyond the budget
            broken = broken | trial.was_broken
        beaten = int((broken & (radii >= trial.budget)).sum())
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
    """Return the index of the most significant difference; None if chance may explain it.

    The significance level is divided by the number of differences (Bonferroni).
    """
    if not differences:
        return None
    place = min(range(len(differences)), key=lambda each: differences[each].chance)
    return place if differences[place].chance < LEVEL / len(differences) else None


def _stronger(name: str, cases: Sequence[Case]) -> Doubt | None:
    """Return a doubt if the first attack of a pair breaks significantly more than the second."""
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
        finding=f"{low.attack}, {low.threat}: accuracy rises from {percent(low.accuracy)} at "
        f"{low.budget:g} to {percent(high.accuracy)} at {high.budget:g} levels, on the same "
        "images.",
        evidence=_evidence(low.beats(high), high) | {"from_budget": low.budget},
    )


def _far_from_chance(outcomes: Outcomes) -> Doubt | None:
    for right, total, majority in outcomes.far:
        # All greys get the same verdict, which is right for one class only: at most the largest.
        share = max(0.5, majority)
        chance = at_least(right, total, share)
        if chance < LEVEL:
            return Doubt(
                name="large-budget-does-not-reach-chance",
                finding=f"At {FAR_BUDGET:g} levels, where every image can be made the same grey, "
                f"{percent(right / total)} are still right; one grey cannot be right for more "
                f"than {percent(share)}.",
                evidence={"budget": FAR_BUDGET, "accuracy": right / total, "chance": chance},
            )
    return None


def _blind(outcomes: Outcomes) -> Doubt | None:
    """Return a doubt if a blind attack beats gradient attacks, or breaks much of what they left."""
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
        # The attack was tried on survivors if an earlier attack left at least as many images.
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
    flagged = not (isinstance(one.broken_in_memory, int) or isinstance(one.broken, int))
    undone = difference.gained if flagged else difference.gained - difference.lost  # at least
    return Doubt(
        name="attack-lost-by-rounding",
        finding=f"{one.threat}, {one.budget:g} levels: {one.attack} breaks {fooled} images in "
        f"memory; of these, {undone} are right again when their levels are whole, as in a file.",
        evidence=_evidence(difference, one),
    )


def _above_clean(outcomes: Outcomes) -> Doubt | None:
    """Return a doubt if more images are right under an attack of the panel than without one."""
    wrong = outcomes.wrong.get("linf", 0)
    if isinstance(wrong, int):  # a result, whose attacks were not all tried on all images
        return None
    attempts = [each for each in outcomes.every if each.attack in GRADIENT]
    differences = [_difference(wrong, each.broken, _count(each.tried)) for each in attempts]
    place = significant(differences)
    if place is None:
        return None
    one, clean = attempts[place], 1 - _count(wrong) / _count(attempts[place].tried)
    return Doubt(
        name="attacked-above-clean",
        finding=f"{percent(clean)} are right without an attack, {percent(one.accuracy)} under "
        f"{one.attack} at {one.budget:g} levels.",
        evidence=_evidence(differences[place], one) | {"clean": clean, "attacked": one.accuracy},
    )


def noticed_in_figures(result: EvaluationResult) -> Iterator[Doubt]:
    """Yield the doubts that need no comparison of attacks."""
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
            finding=f"{result.images_in_words}: a 95 % interval reaches from {percent(low)} to "
            f"{percent(high)}{'' if result.groups else ', and crops of one photo widen it'}.",
            evidence=_counted(result) | {"low": low, "high": high},
        )


def _counted(result: EvaluationResult) -> dict[str, float]:
    groups = {"groups": float(result.group_count)} if result.group_count is not None else {}
    return {"images": float(sum(result.total)), **groups}


def one_verdict(images: int) -> Doubt:
    """Build the doubt that a detector gives all images the same verdict."""
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
